"""Signs of determinants of points of R^k, in integers, each point read once and only on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import hull_integers
from tropattn._types import Array
from tropattn.threads import check

__all__ = ["ExactRows"]

_TOGETHER = 4
"""Up to so many dimensions determinants are taken of many matrices at once, by minors."""

_COMPILED = 6
"""Up to so many dimensions determinants of integers of known length are taken in compiled code."""

_CHUNK = 2000
"""Determinants between two looks at an interruption."""


class ExactRows:
    """Homogeneous integer rows of ``n`` points, of infinity (number n) and of means of points.

    ``exact(indices)`` gives rows of R^k in rationals; ``whole(indices)``, where it is given, the
    same points as an array of Python's integers below ``2**bits`` in size, each column times a
    positive number, which changes no sign.
    A point ``p`` becomes a positive multiple of ``(p, 1)``; infinity, straight down, is
    ``(0, ..., 0, -1, 0)``.

    >>> rows = ExactRows(lambda js: flint.fmpq_mat([[int(j), int(j) ** 2] for j in js]), 3, 2)
    >>> rows.sign([0, 1, 2]), rows.sign([0, 2, 3])      # left of 0 -> 1; right of 0 -> 2
    (1, -1)
    """

    def __init__(
        self,
        exact: Callable[[Any], flint.fmpq_mat],
        n: int,
        k: int,
        whole: Callable[[Array], Array] | None = None,
        bits: int = 0,
    ) -> None:
        self._exact, self._whole = exact, whole
        self._rows: dict[int, list[Any]] = {n: [0] * (k - 1) + [-1, 0]}
        self._means: dict[int, list[int]] = {}
        self._known: dict[tuple[int, ...], int] = {}
        self.n, self.k = n, k
        self.count = 0
        self._digits = None if whole is None or k > _COMPILED else _Digits(n, k, bits)

    def as_given(self) -> ExactRows:
        """The same points with no column scaled."""
        return self if self._whole is None else ExactRows(self._exact, self.n, self.k)

    def set_mean(self, index: int, members: Iterable[int]) -> None:
        """Let the number ``index``, above n, stand for the mean of the members."""
        self._rows.pop(index, None)
        self._means[index] = [int(j) for j in members]
        if self._digits is not None:
            self._digits.known[index] = False

    def set_row(self, index: int, row: list[Any]) -> None:
        """Let the number ``index``, above n, stand for given integers."""
        self._rows[index] = row
        if self._digits is not None:
            self._digits.known[index] = False

    def need(self, indices: Iterable[int]) -> None:
        """Read all these points at once, where they have not been read."""
        wanted = {int(j) for j in indices}
        for j in list(wanted):
            wanted.update(self._means.get(j, []))
        fresh = sorted(j for j in wanted if j < self.n and j not in self._rows)
        if fresh and self._whole is not None:
            rows = self._whole(np.array(fresh, np.int64))
            self._rows.update(zip(fresh, ([*row, 1] for row in rows.tolist()), strict=True))
        elif fresh:
            matrix = self._exact(fresh)
            for i, j in enumerate(fresh):
                row = flint.fmpq_mat(1, self.k, [matrix[i, c] for c in range(self.k)])
                whole, denominator = row.numer_denom()
                self._rows[j] = [*map(int, whole.entries()), int(denominator)]
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
        return [*map(int, whole.entries()), int(denominator)]

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
            chosen = [rows[j] for j in indices]
        except KeyError:
            self.need(indices)
            chosen = [rows[j] for j in indices]
        if self.k == 3:
            value = _volume(*chosen)
            return (value > 0) - (value < 0)
        value = flint.fmpz_mat(self.k + 1, self.k + 1, [v for row in chosen for v in row]).det()
        sign = (value > 0) - (value < 0)
        return -sign if self.k & 1 else sign

    def signs(self, batch: NDArray[np.int64]) -> NDArray[np.int8]:
        """The same for each row of (m, k + 1) numbers; the first of each must not be infinity.

        What was found of the same points before, in whatever order, is not computed again.

        >>> rows = ExactRows(lambda js: flint.fmpq_mat([[int(j), int(j) ** 2] for j in js]), 3, 2)
        >>> rows.signs(np.array([[0, 1, 2], [0, 2, 3], [0, 1, 1]])).tolist()
        [1, -1, 0]
        """
        digits = self.digits(batch)
        if digits is not None:
            check()
            self.count += len(batch)
            signs = np.empty(len(batch), np.int8)
            hull_integers.determinant_signs(*digits, batch, signs)
            return signs
        if self.k > _TOGETHER:
            return np.array([self.sign(row) for row in batch.tolist()], np.int8)
        turned = np.zeros(len(batch), np.bool_)
        for a, b in combinations(range(self.k + 1), 2):
            turned ^= batch[:, a] > batch[:, b]
        keys = [*map(tuple, np.sort(batch, axis=1).tolist())]
        fresh = np.flatnonzero([key not in self._known for key in keys])
        for j, sign in zip(fresh.tolist(), self._fresh_signs(batch[fresh]).tolist(), strict=True):
            self._known[keys[j]] = -sign if turned[j] else sign
        signs = np.array([self._known[key] for key in keys], np.int8)
        return np.where(turned, -signs, signs)

    def _fresh_signs(self, batch: NDArray[np.int64]) -> NDArray[np.int8]:
        """``signs`` in few dimensions, of many matrices at a time."""
        out = [np.zeros(0, np.int8)]
        for begin in range(0, len(batch), _CHUNK):
            check()
            names, place = np.unique(batch[begin : begin + _CHUNK], return_inverse=True)
            self.need(names)
            table = np.array([self._rows[j] for j in names.tolist()], dtype=object)
            points = table[place.reshape(-1, self.k + 1)]
            first, others = points[:, :1], points[:, 1:]
            if (table[:, -1] == 1).all():
                steps = others[:, :, :-1] - first[:, :, :-1]
            else:
                steps = others[:, :, :-1] * first[:, :, -1:] - first[:, :, :-1] * others[:, :, -1:]
            values = _determinants(steps)
            out.append((values > 0).astype(np.int8) - (values < 0).astype(np.int8))
        self.count += len(batch)
        return np.concatenate(out)

    def digits(self, numbers: NDArray[np.int64]) -> tuple[Array, Array] | None:
        """Digits and weights for ``hull_integers``, in which at least these numbers are known."""
        if self._digits is None or self._whole is None:
            return None
        fresh = self._digits.unknown(numbers)
        points, others = fresh[fresh < self.n], fresh[fresh >= self.n].tolist()
        known = True
        if len(points):
            known = self._digits.take(points, self._whole(points), 1)
        if others:
            self.need(others)
            rows = np.array([self._rows[j] for j in others], object)
            known = self._digits.take(others, rows[:, :-1], rows[:, -1]) and known
        return (self._digits.table, self._digits.weights) if known else None

    def normal(self, facet: Sequence[int]) -> list[Any]:
        """The functional, up to a factor, that vanishes on k independent points: k + 1 integers."""
        flat: list[Any] = []
        for j in facet:
            flat += self.row(int(j))
        kernel, nullity = flint.fmpz_mat(self.k, self.k + 1, flat).nullspace()
        if nullity != 1:
            raise ArithmeticError("independent points needed")
        return [kernel[c, 0] for c in range(self.k + 1)]


class _Digits:
    """Rows as digits of a length for k + 1 times each number, numbers up to n + 3."""

    def __init__(self, n: int, k: int, bits: int) -> None:
        self._limit = (k + 1) << bits
        length = (2 * self._limit).bit_length()
        self.table = np.zeros((n + 4, k, 1 + length // hull_integers.BITS), np.int64)
        self.weights = np.zeros(n + 4, np.int64)
        self.known = np.zeros(n + 4, np.bool_)

    def unknown(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers in a batch whose digits are not known."""
        return np.unique(batch[~self.known[batch]])

    def take(self, numbers: Array, rows: Array, weights: Array | int) -> bool:
        """Write the digits of rows with homogeneous weights; False where one is too long."""
        if (np.abs(rows) > self._limit).any() or np.any(weights > rows.shape[1]):
            return False
        left, half = rows, 1 << (hull_integers.BITS - 1)
        for t in range(self.table.shape[2]):
            digit = (left + half) % (2 * half) - half
            self.table[numbers, :, t] = digit
            left = (left - digit) // (2 * half)
        self.weights[numbers] = weights
        self.known[numbers] = True
        return True


def _volume(a: list[int], b: list[int], c: list[int], d: list[int]) -> int:
    """The determinant of the steps from a to b, c, d in R^3, times a positive number."""
    x, y, z, w = a
    (b1, b2, b3, v), (c1, c2, c3, u), (d1, d2, d3, t) = b, c, d
    if w == v == u == t:
        b1, b2, b3 = b1 - x, b2 - y, b3 - z
        c1, c2, c3 = c1 - x, c2 - y, c3 - z
        d1, d2, d3 = d1 - x, d2 - y, d3 - z
    else:
        b1, b2, b3 = b1 * w - x * v, b2 * w - y * v, b3 * w - z * v
        c1, c2, c3 = c1 * w - x * u, c2 * w - y * u, c3 * w - z * u
        d1, d2, d3 = d1 * w - x * t, d2 * w - y * t, d3 * w - z * t
    return b1 * (c2 * d3 - c3 * d2) - b2 * (c1 * d3 - c3 * d1) + b3 * (c1 * d2 - c2 * d1)


def _determinants(matrices: Array) -> Array:
    """Determinants of integer matrices (m, k, k), by the minors of the first 1, 2, ... rows."""
    k = matrices.shape[1]
    minors: dict[tuple[int, ...], Any] = {(c,): matrices[:, 0, c] for c in range(k)}
    for r in range(1, k):
        larger = {}
        for chosen in combinations(range(k), r + 1):
            total: Any = 0
            for place, c in enumerate(chosen):
                part = matrices[:, r, c] * minors[chosen[:place] + chosen[place + 1 :]]
                total = total - part if (r + place) & 1 else total + part
            larger[chosen] = total
        minors = larger
    return minors[tuple(range(k))]
