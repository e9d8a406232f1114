"""Open polyhedra as integer rows: ``<row, (p, 1)> < 0`` for all of them, decided exactly.

Doubles come in only behind a change to *local coordinates* that centre and scale a cell, so that
one of width 1e-9 is as easy as one of width 1. The change is exact as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cmp_to_key

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.polyhedra.cone import interior_direction
from tropattn.polyhedra.inner import nearest_double
from tropattn.polyhedra.strict import Verdict
from tropattn.tolerance import UNIT

__all__ = [
    "EXACT",
    "Frame",
    "Row",
    "by_angle",
    "corners",
    "framed",
    "on_wall",
    "primitive",
    "strictly_feasible",
    "tightened",
    "unit_rows",
]

Row = tuple[int, ...]

EXACT = 2**53
"""Integers below it are doubles."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Local coordinates ``q`` of the parameters, ``p = 2**grid * shift + 2**scale * q``."""

    shift: tuple[int, ...]
    grid: int = 0
    scale: int = 0

    def local(self, rows: Sequence[Row]) -> list[Row]:
        """Integer rows (slope, intercept) in ``p`` as positive multiples of rows in ``q``.

        >>> Frame((3,), 0, 1).local([(1, -4)])        # p - 4 with p = 3 + 2 q
        [(2, -1)]
        """
        low = min(self.grid, self.scale, 0)
        stretch, move, lift = self.scale - low, self.grid - low, -low
        out = []
        for row in rows:
            total = sum(a * w for a, w in zip(row, self.shift, strict=False))
            constant = (row[-1] << lift) + (total << move)
            out.append((*(a << stretch for a in row[:-1]), constant))
        return out

    def around(self, q: Array, slack: float) -> Frame:
        """The frame centred near the local point ``q``, with ``slack`` (> 0) as its unit."""
        # Centre and unit need not be exact: any invertible change of coordinates will do.
        scale = self.scale + math.frexp(slack)[1]
        grid = scale - 3
        shift = []
        for w, v in zip(self.shift, q.tolist(), strict=True):
            up = self.grid - grid
            kept = w << up if up >= 0 else w >> -up
            shift.append(kept + round(math.ldexp(v, self.scale - grid)))
        return Frame(tuple(shift), grid, scale)

    def to_parameters(self, q: Array) -> NDArray[np.float64]:
        """Parameters (m, k) of local points (m, k), in doubles."""
        below = flint.fmpq(2) ** self.grid
        low = [nearest_double(w * below) for w in self.shift]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array(low) + np.ldexp(q, self.scale)


def primitive(row: Sequence[int]) -> Row:
    """The row divided by the greatest common divisor of its entries."""
    common = math.gcd(*row)
    return tuple(v // common for v in row) if common > 1 else tuple(row)


def unit_rows(rows: Sequence[Row]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Integer rows as unit vectors in doubles, and bounds on the entrywise error.

    >>> unit_rows([(3, 4)])[0].tolist()
    [[0.6, 0.8]]
    """
    width = len(rows[0]) if rows else 0
    if all(-EXACT < v < EXACT for row in rows for v in row):
        near = np.array(rows, dtype=np.float64).reshape(-1, width)
        lost = 0.0
    else:
        # Over the power of two above the largest: integers of any size divide with one rounding.
        sizes = [1 << max(v.bit_length() for v in row) for row in rows]
        near = np.array([[v / size for v in row] for row, size in zip(rows, sizes, strict=True)])
        lost = UNIT
    size = np.abs(near).max(axis=1, keepdims=True)
    near = near / np.exp2(np.frexp(np.where(size > 0, size, 1.0))[1])
    length = np.sqrt((near**2).sum(axis=1, keepdims=True))
    length = np.where(length > 0, length, 1.0)
    return near / length, 3.0 * UNIT + 1.01 * lost / length[:, 0]


def framed(walls: Sequence[Row], frame: Frame, q: Array) -> tuple[tuple[Row, ...], Frame]:
    """The walls without repetitions, and a frame around the local point ``q`` inside them."""
    walls = tuple(dict.fromkeys(walls))
    if not walls:
        return walls, frame
    near, _ = unit_rows(frame.local(walls))
    slope = np.sqrt((near[:, :-1] ** 2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        slack = float((-(near[:, :-1] @ q + near[:, -1]) / slope).min())
    return walls, frame.around(q, slack) if 0 < slack < 1e30 else frame


def tightened(walls: tuple[Row, ...], frame: Frame, spare: int = 0) -> tuple[Row, ...]:
    """The walls without redundant ones; up to ``spare`` walls are left as they are."""
    k = len(walls[0]) - 1 if walls else 0
    if len(walls) <= max(k, spare, 1):
        return walls
    if k == 1:
        low, high = _ends(walls)
        return tuple(wall for wall in (low, high) if wall is not None)
    local = frame.local(walls)
    keep = list(range(len(walls)))
    for i in range(len(walls)):
        others = [j for j in keep if j != i]
        if not strictly_feasible(on_wall(local[i], [local[j] for j in others])):
            keep = others
    return tuple(walls[i] for i in keep)


def corners(walls: Sequence[Row]) -> list[Row]:
    """Homogeneous corners ``(p w, w)``, ``w > 0``, of a bounded interval or polygon, exactly.

    ``walls`` without redundant ones. Empty where the set is unbounded, or has more dimensions.

    >>> corners([(1, 0, -1), (0, 1, -1), (-1, -1, 0)])
    [(1, 1, 1), (-1, 1, 1), (1, -1, 1)]
    """
    k = len(walls[0]) - 1 if walls else 0
    if k == 1:
        low, high = _ends(walls)
        return [] if low is None or high is None else [(low[1], -low[0]), (-high[1], high[0])]
    if k != 2 or len(walls) < 3:
        return []
    sides = sorted(walls, key=cmp_to_key(by_angle))
    found = []
    for (a, b, c), (d, e, f) in zip(sides, sides[1:] + sides[:1], strict=True):
        weight = a * e - b * d
        if weight <= 0:
            return []
        found.append((b * f - c * e, c * d - a * f, weight))
    inside = all(sum(map(int.__mul__, wall, corner)) <= 0 for wall in walls for corner in found)
    return found if inside else []


def by_angle(one: Row, two: Row) -> int:
    """Order of outward normals by angle, from the positive first axis counterclockwise."""
    upper = [row[1] > 0 or (row[1] == 0 and row[0] > 0) for row in (one, two)]
    if upper[0] != upper[1]:
        return -1 if upper[0] else 1
    return -1 if one[0] * two[1] - one[1] * two[0] > 0 else 1


def on_wall(wall: Row, rows: Sequence[Row]) -> list[Row]:
    """The rows as functions on the hyperplane ``<wall, (p, 1)> = 0``, one coordinate solved for.

    >>> on_wall((2, 1, 0), [(0, 1, -3)])        # y < 3 on y = -2x, twice
    [(2, -6)]
    """
    k = max(range(len(wall) - 1), key=lambda i: abs(wall[i]))
    pivot, sign = abs(wall[k]), 1 if wall[k] > 0 else -1
    out = []
    for row in rows:
        factor = sign * row[k]
        combined = [pivot * a - factor * b for a, b in zip(row, wall, strict=True)]
        out.append((*combined[:k], *combined[k + 1 :]))
    return out


def strictly_feasible(rows: Sequence[Row]) -> bool:
    """Whether some point ``p`` has ``<row, (p, 1)> < 0`` for every integer row, exactly.

    >>> strictly_feasible([(1, -1), (-1, 0)]), strictly_feasible([(1, 0), (-1, 0)])
    (True, False)
    """
    if any(not any(row[:-1]) and row[-1] >= 0 for row in rows):
        return False
    rows = [row for row in rows if any(row[:-1])]
    if not rows:
        return True
    width = len(rows[0])
    if width == 2:
        low, high = _ends(rows)
        # -c / a is the end; both denominators are taken positive.
        return low is None or high is None or low[1] * high[0] < high[1] * low[0]
    complete = [*rows, (0,) * (width - 1) + (-1,)]
    flat = [v for row in complete for v in row]
    found = interior_direction(
        *unit_rows(complete), lambda: flint.fmpq_mat(len(complete), width, flat)
    )
    return not isinstance(found, Verdict)


def _ends(rows: Sequence[Row]) -> tuple[Row | None, Row | None]:
    """The tightest lower and the tightest upper bound among rows ``a p + c < 0``, ``a != 0``."""
    low: Row | None = None
    high: Row | None = None
    for row in rows:
        a, c = row
        if a > 0:
            if high is None or c * high[0] > high[1] * a:
                high = row
        elif low is None or c * -low[0] > low[1] * -a:
            low = row
    return low, high
