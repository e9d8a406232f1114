"""Extreme rays of pointed cones given by many generators: the adjacency oracle of Minkowski sums.

A vertex of a polytope sees its neighbours along the extreme rays of the cone of edge directions.
Doubles decide with proven signs (``_kernels.rays``); what they leave open goes to rationals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import rays as kernel
from tropattn.threads import check, in_order
from tropattn.tolerance import UNIT

__all__ = ["Directions", "spans_extreme_ray"]

_CHUNK = 128
_SMALL = 10_000


class Directions:
    """A growing list of primitive integer vectors, numbered, each with its reading in doubles.

    >>> known = Directions(2)
    >>> known.number((1, 0)), known.number((0, 1)), known.number((1, 0))
    (0, 1, 0)
    """

    __slots__ = ("_numbers", "dim", "exact_decisions", "vectors")

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.vectors: list[tuple[int, ...]] = []
        self._numbers: dict[tuple[int, ...], int] = {}
        self.exact_decisions = 0

    def number(self, vector: tuple[int, ...]) -> int:
        """The number of a vector, a new one if it was not met before."""
        found = self._numbers.setdefault(vector, len(self.vectors))
        if found == len(self.vectors):
            self.vectors.append(vector)
        return found

    def doubles(self) -> tuple[NDArray[np.float64], float, bool]:
        """Rows in doubles, a bound on their entries' errors, and whether they are exact integers.

        Small integers stay as they are, so that zeros can be proved; others become unit rows.
        """
        if max((abs(v) for row in self.vectors for v in row), default=0) <= _SMALL:
            rows = np.array(self.vectors, dtype=np.float64)
            return rows.reshape(len(self.vectors), self.dim), 0.0, True
        rows = np.zeros((len(self.vectors), self.dim))
        for i, vector in enumerate(self.vectors):
            # Doubles end at 2**1023; what a shift drops is far below the rounding of the rest.
            drop = max(0, max(abs(v) for v in vector).bit_length() - 900)
            rows[i] = [float(v >> drop) for v in vector]
            rows[i] /= np.abs(rows[i]).max()
        length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
        return rows / length, 8 * UNIT, False

    def extreme(self, members: NDArray[np.int64], threads: int | None = None) -> NDArray[np.bool_]:
        """For rows of distinct direction numbers (-1 for none), which span extreme rays.

        Each row's cone must be pointed. Cost: one linear program per member, D rows each.

        >>> known = Directions(2)
        >>> cone = [[known.number(v) for v in [(1, 0), (1, 1), (1, 2)]]]
        >>> known.extreme(np.array(cone)).tolist()
        [[True, False, True]]
        """
        vectors, rho, whole = self.doubles()
        verdicts = np.zeros(members.shape, np.int8)
        bases = np.zeros((*members.shape, self.dim), np.int64)
        flag = np.zeros(1, np.int64)

        def work(start: int) -> None:
            stop = min(start + _CHUNK, len(members))
            given, room = (vectors, rho, whole, members), kernel.make_room(self.dim)
            kernel.extreme_members(*given, start, stop, room, verdicts, bases, flag)

        for _ in in_order(work, range(0, len(members), _CHUNK), threads, flag):
            pass
        found = verdicts == kernel.EXTREME
        for m, k in np.argwhere((verdicts == kernel.OPEN) & (members >= 0)).tolist():
            check()
            row = members[m].tolist()
            found[m, k] = spans_extreme_ray(
                [self.vectors[c] if c >= 0 else None for c in row], k, bases[m, k].tolist()
            )
            self.exact_decisions += 1
        return found


def spans_extreme_ray(
    generators: Sequence[tuple[int, ...] | None], k: int, basis: Sequence[int] | None = None
) -> bool:
    """Whether generator ``k`` of a pointed cone is no non-negative combination of the others.

    Rationals throughout: a proposed basis is tried first (numbers >= 0 are positions, ``-1 - i``
    artificial columns), then the simplex method with Bland's rule, which always ends.

    >>> spans_extreme_ray([(1, 0), (1, 1), (1, 2)], 1), spans_extreme_ray([(1, 0), (1, 2)], 1)
    (False, True)
    """
    target = generators[k]
    assert target is not None
    dim = len(target)
    others = [c for c, v in enumerate(generators) if v is not None and c != k]
    flat = [generators[c][i] for i in range(dim) for c in others]  # type: ignore[index]
    program = _Program(flint.fmpz_mat(dim, len(others), flat), target)
    if basis is not None:
        at = {c: i for i, c in enumerate(others)}
        verdict = program.read([at[c] if c >= 0 else c for c in basis])
        if verdict is not None:
            return verdict
    return program.solve()


class _Program:
    """``columns x = b, x >= 0`` in rationals."""

    def __init__(self, columns: flint.fmpz_mat, target: Sequence[int]) -> None:
        self.columns = flint.fmpq_mat(columns)
        self.dim = columns.nrows()
        self.target = flint.fmpq_mat(flint.fmpz_mat(self.dim, 1, list(target)))
        self.signs = [1 if v >= 0 else -1 for v in target]

    def _inverse(self, basis: Sequence[int]) -> flint.fmpq_mat | None:
        size = self.dim
        matrix = flint.fmpq_mat(size, size)
        for j, c in enumerate(basis):
            if c < 0:
                matrix[-1 - c, j] = self.signs[-1 - c]
            else:
                for i in range(size):
                    matrix[i, j] = self.columns[i, c]
        try:
            return matrix.inv()
        except ZeroDivisionError:
            return None

    def _gains(self, basis: Sequence[int], inverse: flint.fmpq_mat) -> tuple[flint.fmpq, list[Any]]:
        """What is left of the artificial part at a basis, and what each column takes off it."""
        price = flint.fmpq_mat(1, self.dim, [int(c < 0) for c in basis]) * inverse
        return (price * self.target)[0, 0], (price * self.columns).entries()

    def read(self, basis: Sequence[int]) -> bool | None:
        """What a basis proves: True (extreme), False (a combination), None (neither)."""
        inverse = self._inverse(basis)
        if inverse is None:
            return None
        values = (inverse * self.target).entries()
        if all(v >= 0 for v in values) and all(
            v == 0 for v, c in zip(values, basis, strict=True) if c < 0
        ):
            return False
        left, gains = self._gains(basis, inverse)
        return True if left > 0 and all(v <= 0 for v in gains) else None

    def solve(self) -> bool:
        """Bland's rule from the artificial basis; the last basis proves the answer."""
        basis = [-1 - i for i in range(self.dim)]
        while True:
            verdict = self.read(basis)
            if verdict is not None:
                return verdict
            inverse = self._inverse(basis)
            assert inverse is not None
            _, gains = self._gains(basis, inverse)
            enter = next(c for c, gain in enumerate(gains) if gain > 0)
            column = inverse * flint.fmpq_mat(
                self.dim, 1, [self.columns[i, enter] for i in range(self.dim)]
            )
            level = inverse * self.target
            leave = min(
                (i for i in range(self.dim) if column[i, 0] > 0),
                key=lambda i: (level[i, 0] / column[i, 0], basis[i]),
            )
            basis[leave] = enter
