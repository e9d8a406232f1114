"""Strict homogeneous systems ``R z < 0`` in rationals: a point, or the reason why there is none.

Gordan (1873): exactly one of the two holds, either some ``z`` has ``R z < 0`` in every row, or some
``y >= 0``, ``y != 0`` has ``y R = 0``. The rows with ``y > 0`` can be taken affinely independent,
so at most D + 1 of them: a *Farkas basis*. This is the slow path behind every count.
"""

from __future__ import annotations

from dataclasses import dataclass

import flint

from tropattn.threads import check

__all__ = ["Verdict", "primitive_rows", "strictly_negative"]


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
    flat: list[flint.fmpz] = []
    for i in range(rows.nrows()):
        check()
        entries = [rows[i, k] for k in range(rows.ncols())]
        common = flint.fmpz(1)
        for v in entries:
            common = common.lcm(v.q)
        whole = [v.p * (common // v.q) for v in entries]
        content = flint.fmpz(0)
        for v in whole:
            content = content.gcd(v)
        flat += [v // content for v in whole] if content > 1 else whole
    return flint.fmpz_mat(rows.nrows(), rows.ncols(), flat)


def strictly_negative(rows: flint.fmpq_mat) -> Verdict:
    """Decide ``R z < 0`` exactly, for an m x D rational matrix.

    Phase one of the simplex method on ``R' y = 0, sum(y) = 1, y >= 0``; the most violated row
    enters until nothing improves for a while, then Bland's rule, which cannot cycle.

    >>> R = flint.fmpq_mat(2, 1, [1, 2])
    >>> bool(strictly_negative(R)), bool(strictly_negative(flint.fmpq_mat(2, 1, [1, -2])))
    (True, False)
    """
    whole = primitive_rows(rows)
    m, dim = whole.nrows(), whole.ncols()
    if m == 0:
        return Verdict(tuple(flint.fmpq(int(k == dim - 1)) for k in range(dim)))
    for i in range(m):
        if all(whole[i, k] == 0 for k in range(dim)):
            return Verdict(None, (i,), (flint.fmpq(1),))
    # Columns of the phase-one program are the rows with a 1 appended.
    columns = flint.fmpq_mat(
        m, dim + 1, [v for i in range(m) for v in [*(whole[i, k] for k in range(dim)), 1]]
    )
    basis, inverse = _start(columns, dim)
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
