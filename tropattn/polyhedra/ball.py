"""The largest ball in a polyhedron: a centre proposed in doubles, its radius enclosed by proof.

With integer rows ``<a_i, x> + c_i <= 0``, a ball of centre x and radius r lies inside exactly if
``<a_i, x> + c_i + r |a_i| <= 0`` for all i. Any x gives the lower bound
``min_i -(<a_i, x> + c_i) / |a_i|``, any weights ``y >= 0`` with ``sum_i y_i a_i = 0`` the upper
bound ``-sum_i y_i c_i / sum_i y_i |a_i|`` (duality). Both are computed in rationals, the square
roots enclosed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import fraction, freeze, rational
from tropattn.errors import InvalidInput
from tropattn.polyhedra import _highs
from tropattn.polyhedra.inner import inner_point
from tropattn.polyhedra.integer_rows import Row
from tropattn.polyhedra.strict import strictly_negative
from tropattn.values import Value

__all__ = ["Ball", "inscribed_ball"]

_BITS = 128


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ball(Value):
    """A largest ball in a polyhedron.

    Attributes
    ----------
    centre : (d,) rationals.
    lower, upper : doubles around the largest radius of a ball inside; that of radius ``lower``
        around ``centre`` lies inside.
    """

    centre: NDArray[np.object_]
    lower: float
    upper: float

    def __repr__(self) -> str:
        return f"Ball(radius {self.lower:.6g} to {self.upper:.6g} in R^{len(self.centre)})"


def inscribed_ball(rows: Sequence[Row], dim: int) -> Ball:
    """The largest ball in ``<row, (x, 1)> <= 0``; rows are integers of length dim + 1.

    Raises ``InvalidInput`` where there is no interior. Cost: a program in doubles, and exact ones
    of the size of ``strict``.

    >>> ball = inscribed_ball([(-1, 0), (1, -3)], 1)
    >>> [float(v) for v in ball.centre], round(ball.lower, 9), round(ball.upper, 9)
    ([1.5], 1.5, 1.5)
    """
    matrix = flint.fmpq_mat(len(rows), dim + 1, [v for row in rows for v in row])
    point = inner_point(matrix)
    if point is None:
        raise InvalidInput(
            "inscribed_ball: a polyhedron with interior needed, got one without; it is empty or "
            "lies in a hyperplane."
        )
    proper = [row for row in rows if any(row[:-1])]
    slopes = flint.fmpq_mat(len(proper), dim, [v for row in proper for v in row[:-1]])
    open_ended = strictly_negative(slopes)
    if open_ended or not proper:
        return Ball(_fractions(point), math.inf, math.inf)
    weights = [
        weight / _content(proper[i])
        for i, weight in zip(open_ended.support, open_ended.weights, strict=True)
    ]
    least = _upper(proper, open_ended.support, weights)
    best = _lower(proper, point)
    # Twice, since the second time the unit is right.
    for _ in range(2):
        moved, support = _proposed(proper, point, best)
        near = _lower(proper, moved)
        if near > best:
            point, best = moved, near
        chosen = _balanced(proper, support)
        if chosen is not None:
            least = min(least, _upper(proper, *chosen))
    return Ball(_fractions(point), best, least)


def _fractions(point: list[flint.fmpq]) -> NDArray[np.object_]:
    found = np.empty(len(point), dtype=object)
    found[:] = [fraction(v) for v in point]
    return freeze(found)


def _content(row: Row) -> int:
    """What ``strict`` divides the slope by."""
    return math.gcd(*row[:-1])


def _length(row: Row) -> flint.arb:
    return flint.arb(flint.fmpz(sum(v * v for v in row[:-1]))).sqrt()


def _lower(rows: list[Row], point: list[flint.fmpq]) -> float:
    """A lower bound on the distance of an inner point to the nearest wall."""
    with flint.ctx.workprec(_BITS):
        found = []
        for row in rows:
            slack = -sum((a * v for a, v in zip(row, point, strict=False)), flint.fmpq(row[-1]))
            found.append(float((flint.arb(slack) / _length(row)).lower()))
    return math.nextafter(min(found), -math.inf)


def _upper(rows: list[Row], support: Sequence[int], weights: Sequence[flint.fmpq]) -> float:
    """An upper bound on the radius, from weights under which the slopes cancel."""
    with flint.ctx.workprec(_BITS):
        top = -sum((w * rows[i][-1] for i, w in zip(support, weights, strict=True)), flint.fmpq(0))
        below = sum(
            (flint.arb(w) * _length(rows[i]) for i, w in zip(support, weights, strict=True)),
            flint.arb(0),
        )
        return math.nextafter(float((flint.arb(top) / below).upper()), math.inf)


def _proposed(
    rows: list[Row], point: list[flint.fmpq], unit: float
) -> tuple[list[flint.fmpq], list[int]]:
    """A better centre, by a program in doubles around ``point``, and the rows that hold it."""
    scale = rational(unit) if unit > 0 else flint.fmpq(1)
    normals, slacks = np.zeros((len(rows), len(point))), np.zeros(len(rows))
    with flint.ctx.workprec(_BITS):
        for i, row in enumerate(rows):
            length = _length(row)
            normals[i] = [float(v / length) for v in row[:-1]]
            slack = -sum((a * v for a, v in zip(row, point, strict=False)), flint.fmpq(row[-1]))
            slacks[i] = min(float(flint.arb(slack / scale) / length), 1e15)
    centre, weights = _highs.largest_ball(normals, slacks)
    moved = [v + scale * rational(float(q)) for v, q in zip(point, centre.tolist(), strict=True)]
    order = np.argsort(-weights, kind="stable")
    return moved, order[weights[order] > 1e-9].tolist()


def _balanced(rows: list[Row], support: list[int]) -> tuple[list[int], list[flint.fmpq]] | None:
    """Positive weights under which the slopes of these rows cancel, if they are unique."""
    while support:
        flat = [rows[i][k] for k in range(len(rows[0]) - 1) for i in support]
        matrix = flint.fmpq_mat(flint.fmpz_mat(len(rows[0]) - 1, len(support), flat))
        echelon, rank = matrix.rref()
        if rank == len(support) - 1:
            weights = [-echelon[i, rank] for i in range(rank)] + [flint.fmpq(1)]
            straight = all(echelon[i, i] == 1 for i in range(rank))
            return (support, weights) if straight and all(w > 0 for w in weights) else None
        if rank == len(support):
            return None
        # More rows than needed hold the ball: the least of them is let go.
        support = support[:-1]
    return None
