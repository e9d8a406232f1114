"""Signs of determinants of points of R^k, in integers, each point read once and only on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import flint

from tropattn.threads import check

__all__ = ["ExactRows"]


class ExactRows:
    """Homogeneous integer rows of ``n`` points, of infinity (number n) and of means of points.

    ``exact(indices)`` gives rows of R^k in rationals. A point ``p`` becomes a positive multiple of
    ``(p, 1)``; infinity, straight down, is ``(0, ..., 0, -1, 0)``.

    >>> rows = ExactRows(lambda js: flint.fmpq_mat([[int(j), int(j) ** 2] for j in js]), 3, 2)
    >>> rows.sign([0, 1, 2]), rows.sign([0, 2, 3])      # left of 0 -> 1; right of 0 -> 2
    (1, -1)
    """

    def __init__(self, exact: Callable[[Any], flint.fmpq_mat], n: int, k: int) -> None:
        self._exact = exact
        self._rows: dict[int, list[Any]] = {n: [0] * (k - 1) + [-1, 0]}
        self._means: dict[int, list[int]] = {}
        self.n, self.k = n, k
        self.count = 0

    def set_mean(self, index: int, members: Iterable[int]) -> None:
        """Let the number ``index``, above n, stand for the mean of the members."""
        self._rows.pop(index, None)
        self._means[index] = [int(j) for j in members]

    def set_row(self, index: int, row: list[Any]) -> None:
        """Let the number ``index``, above n, stand for given integers."""
        self._rows[index] = row

    def need(self, indices: Iterable[int]) -> None:
        """Read all these points at once, where they have not been read."""
        wanted = {int(j) for j in indices}
        for j in list(wanted):
            wanted.update(self._means.get(j, []))
        fresh = sorted(j for j in wanted if j < self.n and j not in self._rows)
        if fresh:
            matrix = self._exact(fresh)
            for i, j in enumerate(fresh):
                row = flint.fmpq_mat(1, self.k, [matrix[i, c] for c in range(self.k)])
                whole, denominator = row.numer_denom()
                self._rows[j] = [*whole.entries(), denominator]
        for j in wanted:
            if j not in self._rows:
                self._rows[j] = self._mean(self._means[j])

    def _mean(self, members: Sequence[int]) -> list[Any]:
        total = [flint.fmpq(0)] * self.k
        for j in members:
            row = self._rows[j]
            total = [s + flint.fmpq(v, row[-1]) for s, v in zip(total, row, strict=False)]
        matrix = flint.fmpq_mat(1, self.k, [s / len(members) for s in total])
        whole, denominator = matrix.numer_denom()
        return [*whole.entries(), denominator]

    def row(self, index: int) -> list[Any]:
        """The integers of one point."""
        if index not in self._rows:
            self.need([index])
        return self._rows[index]

    def sign(self, indices: Sequence[int]) -> int:
        """Sign of the determinant of the steps from the first of k + 1 points to the others."""
        self.count += 1
        if self.count % 64 == 0:
            check()
        rows = self._rows
        try:
            flat = [v for j in indices for v in rows[j]]
        except KeyError:
            self.need(indices)
            flat = [v for j in indices for v in rows[j]]
        value = flint.fmpz_mat(self.k + 1, self.k + 1, flat).det()
        sign = (value > 0) - (value < 0)
        return -sign if self.k & 1 else sign

    def normal(self, facet: Sequence[int]) -> list[Any]:
        """The functional, up to a factor, that vanishes on k independent points: k + 1 integers."""
        flat: list[Any] = []
        for j in facet:
            flat += self.row(int(j))
        kernel, nullity = flint.fmpz_mat(self.k, self.k + 1, flat).nullspace()
        if nullity != 1:
            raise ArithmeticError("independent points needed")
        return [kernel[c, 0] for c in range(self.k + 1)]
