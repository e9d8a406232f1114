"""Strict homogeneous systems ``R z < 0`` in rationals: a point, or the reason why there is none.

Gordan (1873): exactly one of the two holds, either some ``z`` has ``R z < 0`` in every row, or some
``y >= 0``, ``y != 0`` has ``y R = 0``. The rows with ``y > 0`` can be taken affinely independent,
so at most D + 1 of them: a *Farkas basis*. This is the slow path behind every count. Where the
simplex method in doubles ends, the exact one begins and mostly ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import flint
import numpy as np

from tropattn._types import Array
from tropattn.threads import check

__all__ = ["Verdict", "likely_support", "primitive_rows", "strictly_negative"]

_SMALL = 1e-11
"""What a method in doubles takes for nothing; a wrong guess costs steps, nothing else."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``point`` with every row negative, or ``support`` and positive ``weights`` summing to 1."""

    point: tuple[flint.fmpq, ...] | None
    support: tuple[int, ...] = ()
    weights: tuple[flint.fmpq, ...] = ()

    def __bool__(self) -> bool:
        return self.point is not None


def primitive_rows(rows: flint.fmpq_mat) -> flint.fmpz_mat:
    """Positive multiples of the rows with coprime integer entries (zero rows stay zero)."""
    width = rows.ncols()
    return flint.fmpz_mat(rows.nrows(), width, _coprime(rows))


def _coprime(rows: flint.fmpq_mat) -> list[int]:
    """The entries of ``primitive_rows``, row after row."""
    flat: list[int] = []
    width = rows.ncols()
    given = [int(v) for v in rows.numer_denom()[0].entries()]
    for at in range(0, len(given), max(1, width)):
        check()
        row = given[at : at + width]
        content = math.gcd(*row)
        flat += [v // content for v in row] if content > 1 else row
    return flat


def strictly_negative(rows: flint.fmpq_mat) -> Verdict:
    """Decide ``R z < 0`` exactly, for an m x D rational matrix.

    Phase one of the simplex method on ``R' y = 0, sum(y) = 1, y >= 0``; the most violated row
    enters until nothing improves for a while, then Bland's rule, which cannot cycle.

    >>> R = flint.fmpq_mat(2, 1, [1, 2])
    >>> bool(strictly_negative(R)), bool(strictly_negative(flint.fmpq_mat(2, 1, [1, -2])))
    (True, False)
    """
    m, dim = rows.nrows(), rows.ncols()
    if m == 0:
        return Verdict(tuple(flint.fmpq(int(k == dim - 1)) for k in range(dim)))
    flat = _coprime(rows)
    whole = [flat[i * dim : (i + 1) * dim] for i in range(m)]
    for i in range(m):
        if not any(whole[i]):
            return Verdict(None, (i,), (flint.fmpq(1),))
    # Columns of the phase-one program are the rows with a 1 appended.
    columns = flint.fmpq_mat(m, dim + 1, [v for row in whole for v in (*row, 1)])
    basis, inverse = _start(columns, dim)
    basis, inverse = _guessed(whole, basis, inverse) or (basis, inverse)
    stalled, previous = 0, None
    while True:
        check()
        weights = [inverse[i, dim] for i in range(dim + 1)]
        cost = flint.fmpq_mat(1, dim + 1, [int(b < 0) for b in basis])
        multipliers = cost * inverse
        infeasibility = multipliers[0, dim]
        if infeasibility == 0:
            kept = [i for i in range(dim + 1) if weights[i] > 0]
            return Verdict(None, tuple(basis[i] for i in kept), tuple(weights[i] for i in kept))
        gains = columns * multipliers.transpose()
        violated = [i for i in range(m) if gains[i, 0] > 0]
        if not violated:
            return Verdict(tuple(multipliers[0, k] for k in range(dim)))
        stalled = stalled + 1 if infeasibility == previous else 0
        previous = infeasibility
        entering = violated[0] if stalled > dim else max(violated, key=lambda i: gains[i, 0])
        column = inverse * flint.fmpq_mat(
            dim + 1, 1, [columns[entering, k] for k in range(dim + 1)]
        )
        leaving = _leaving(column, weights, basis)
        _pivot(inverse, column, leaving)
        basis[leaving] = entering


def _start(columns: flint.fmpq_mat, dim: int) -> tuple[list[int], flint.fmpq_mat]:
    """Row 0 and the artificials (numbered -1, -2, ...) that cover it with values >= 0."""
    inverse = flint.fmpq_mat(dim + 1, dim + 1)
    for k in range(dim):
        sign = -1 if columns[0, k] > 0 else 1
        inverse[k, k] = sign
        inverse[k, dim] = -sign * columns[0, k]
    inverse[dim, dim] = 1
    return [-1 - k for k in range(dim)] + [0], inverse


def _guessed(
    whole: list[list[int]], basis: list[int], inverse: flint.fmpq_mat
) -> tuple[list[int], flint.fmpq_mat] | None:
    """A basis where doubles see no gain, with its exact inverse; None where it is not feasible."""
    size = len(basis)
    signs = [int(inverse[k, k]) for k in range(size - 1)]
    try:
        rows = np.array(whole, dtype=float)
    except OverflowError:
        return None
    guess = _in_doubles(rows, basis, np.array(signs))
    square = flint.fmpq_mat(size, size)
    for i, b in enumerate(guess):
        if b < 0:
            square[-1 - b, i] = signs[-1 - b]
            continue
        for k, v in enumerate((*whole[b], 1)):
            square[k, i] = v
    try:
        exact = square.inv()
    except ZeroDivisionError:
        return None
    return (guess, exact) if all(exact[i, size - 1] >= 0 for i in range(size)) else None


def likely_support(rows: Array) -> list[int]:
    """The rows of a likely Farkas basis of ``R z < 0``, in increasing order, by doubles alone.

    >>> likely_support(np.array([[1.0, 0.5], [2.0, 1.0], [-1.0, -0.5]]))
    [0, 2]
    """
    width = rows.shape[1]
    signs = np.where(rows[0] > 0, -1, 1)
    return sorted({b for b in _in_doubles(rows, [*range(-1, -1 - width, -1), 0], signs) if b >= 0})


def _in_doubles(rows: Array, basis: list[int], signs: Array) -> list[int]:
    """The same method in doubles, from the same first basis; where it ends is a guess."""
    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    rows = np.c_[rows / np.where(largest > 0, largest, 1.0), np.ones(len(rows))]
    basis, size = [*basis], len(basis)
    inverse = np.diag([*signs, 1.0])
    inverse[:-1, -1] = -signs * rows[0, :-1]
    for _ in range(20 * size):
        check()
        cost = np.array([float(b < 0) for b in basis])
        gains = rows @ (cost @ inverse)
        entering = int(gains.argmax())
        column = inverse @ rows[entering]
        able = column > _SMALL
        if gains[entering] <= _SMALL or not able.any():
            break
        ratios = np.full(size, np.inf)
        ratios[able] = inverse[able, -1] / column[able]
        leaving = int(ratios.argmin())
        row = inverse[leaving] / column[leaving]
        inverse -= np.outer(column, row)
        inverse[leaving] = row
        basis[leaving] = entering
    return basis


def _leaving(column: flint.fmpq_mat, weights: list[flint.fmpq], basis: list[int]) -> int:
    """Smallest ratio; among ties the smallest label, so artificials leave first (Bland)."""
    best: flint.fmpq | None = None
    leaving = -1
    for i, weight in enumerate(weights):
        if column[i, 0] > 0:
            ratio = weight / column[i, 0]
            if best is None or ratio < best or (ratio == best and basis[i] < basis[leaving]):
                best, leaving = ratio, i
    return leaving


def _pivot(inverse: flint.fmpq_mat, column: flint.fmpq_mat, leaving: int) -> None:
    size = inverse.nrows()
    pivot_row = [inverse[leaving, k] / column[leaving, 0] for k in range(size)]
    for i in range(size):
        factor = column[i, 0]
        if i != leaving and factor != 0:
            for k in range(size):
                if pivot_row[k] != 0:
                    inverse[i, k] = inverse[i, k] - factor * pivot_row[k]
    for k in range(size):
        inverse[leaving, k] = pivot_row[k]
