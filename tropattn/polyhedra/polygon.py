"""Convex polygons cut by half-planes: in doubles for drawing, in integers where corners count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_fractions
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Box, Domain

__all__ = [
    "Polygon",
    "Row",
    "as_window",
    "bounding_window",
    "cross",
    "cut_by_walls",
    "cut_exactly",
    "exact_corners",
    "exact_polygon",
    "integer_row",
    "value_at",
    "window_polygon",
]


Row = tuple[int, int, int]
"""A line ``a x + b y + c = 0``, or a point ``(x, y) / z`` with ``z > 0``, in integers."""


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """A convex polygon with a label on each side.

    Attributes
    ----------
    vertices : (m, 2), counterclockwise; empty (0, 2) for the empty polygon.
    labels : (m,) int64, entry ``i`` names the side from vertex ``i`` to vertex ``i + 1``; -1 is a
        side of the window.

    >>> square = Polygon.box([0, 0], [2, 2])
    >>> square.cut([[1, 0]], [1], [7]).area, square.cut([[1, 0]], [1], [7]).labels.tolist()
    (2.0, [-1, 7, -1, -1])
    """

    vertices: NDArray[np.float64]
    labels: NDArray[np.int64]

    @classmethod
    def box(cls, low: Any, high: Any) -> Polygon:
        """The rectangle ``low <= x <= high``."""
        (a, b), (c, d) = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        return cls(np.array([[a, b], [c, b], [c, d], [a, d]]), np.full(4, -1, dtype=np.int64))

    def __bool__(self) -> bool:
        return len(self.vertices) > 2

    @property
    def area(self) -> float:
        """Area, at least 0."""
        x, y = (self.vertices - self.vertices[:1]).T if self else np.zeros((2, 1))
        return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2

    @property
    def centroid(self) -> NDArray[np.float64]:
        """Centre of mass; the mean of the vertices where the area vanishes."""
        base = self.vertices.mean(axis=0)
        x, y = (self.vertices - base).T
        cross = x * np.roll(y, -1) - y * np.roll(x, -1)
        if not cross.sum() > 0:
            return base
        middle = np.column_stack([x + np.roll(x, -1), y + np.roll(y, -1)])
        return base + cross @ middle / (3 * cross.sum())

    def cut(self, normals: Any, offsets: Any, labels: Any) -> Polygon:
        """The part with ``normals @ x <= offsets``; new sides carry the labels of their rows.

        The most violated row cuts first, so rows that do not touch the polygon cost one product.
        Cost O(n m) per side of the result, for n rows.
        """
        rows = np.asarray(normals, dtype=float)
        right = np.asarray(offsets, dtype=float)
        names = np.asarray(labels, dtype=np.int64)
        length = np.linalg.norm(rows, axis=1)
        proper = length > 0
        if (right[~proper] < 0).any():
            return _EMPTY
        rows = rows[proper] / length[proper, None]
        right, names = right[proper] / length[proper], names[proper]
        polygon = self
        # Each pass removes one violated row for good, up to rounding; a second cut by the same row
        # could only chase rounding errors.
        open_rows = np.ones(len(rows), dtype=bool)
        while polygon and open_rows.any():
            excess = polygon.vertices @ rows.T - right
            worst = np.where(open_rows, excess.max(axis=0), -np.inf)
            i = int(worst.argmax())
            if worst[i] <= 1e-12 * (np.abs(polygon.vertices).max() + abs(right[i])):
                break
            polygon = polygon._half(excess[:, i], int(names[i]))
            open_rows[i] = False
        return polygon

    def _half(self, excess: Array, label: int) -> Polygon:
        """Keep the vertices with excess <= 0 and close the gap with one labelled side."""
        inside = excess <= 0
        if not inside.any():
            return _EMPTY
        points, names = [], []
        count = len(excess)
        for i in range(count):
            j = (i + 1) % count
            if inside[i]:
                points.append(self.vertices[i])
                names.append(int(self.labels[i]))
            if inside[i] != inside[j]:
                t = excess[i] / (excess[i] - excess[j])
                points.append(self.vertices[i] + t * (self.vertices[j] - self.vertices[i]))
                # Leaving the half-plane starts the new side, coming back resumes the old one.
                names.append(label if inside[i] else int(self.labels[i]))
        return Polygon(np.array(points), np.array(names, dtype=np.int64))


_EMPTY = Polygon(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))


def window_polygon(window: Any) -> Polygon:
    """The polygon of a bounded window: a 2-D ``Box`` or ``Polytope``, or a pair (low, high).

    Raises
    ------
    InvalidInput : None, another dimension, an unbounded window or one without interior.

    >>> window_polygon(([0, 0], [1, 3])).area
    3.0
    """
    window = as_window(window)
    if isinstance(window, Box) and window.bounded:
        return Polygon.box(window.low, window.high)
    corners = exact_corners(window).astype(np.float64)
    return Polygon(corners, np.full(len(corners), -1))


def as_window(window: Any) -> Domain:
    """A window of the plane as a domain: one as it is, a pair (low, high) as a ``Box``.

    Raises
    ------
    InvalidInput : None, what is no pair, another dimension.
    """
    if window is None:
        raise InvalidInput(
            "window: a bounded window needed to draw, got the whole plane; give low and high."
        )
    if not isinstance(window, Domain):
        try:
            low, high = window
        except (TypeError, ValueError):
            raise InvalidInput(
                f"window: a pair (low, high) of points of the plane needed, got {window!r}; "
                "e.g. ([-1, -1], [1, 1])."
            ) from None
        window = Box(low, high)
    if window.dim != 2 or window.embedding is not None:
        raise InvalidInput(
            f"window: a window of the plane needed, got {window.describe()}; use two coordinates."
        )
    return window


def exact_corners(window: Domain) -> Array:
    """Corners of a bounded set of the plane with interior, in rationals, counterclockwise (k, 2).

    Raises
    ------
    InvalidInput : a set that is unbounded or has no interior.

    Cost ``O(m k)`` for m walls and k corners.

    >>> [[str(v) for v in corner] for corner in exact_corners(Box([0, 0], [1, 3])).tolist()]
    [['1', '0'], ['1', '3'], ['0', '3'], ['0', '0']]
    """
    _, points = exact_polygon(window)
    corners = [(Fraction(x, z), Fraction(y, z)) for x, y, z in points]
    return np.array(corners, dtype=object)


def exact_polygon(window: Domain) -> tuple[list[Row], list[Row]]:
    """Sides and corners of the same in integers, as ``cut_exactly`` takes and returns them."""
    # Beyond all doubles, and so beyond the corners of all but absurd windows.
    far = 2**1100
    points: list[Row] = [(-far, far, 1), (-far, -far, 1), (far, -far, 1), (far, far, 1)]
    sides = [cross(points[m], points[m - 1]) for m in range(4)]
    for row, right in zip(*(as_fractions(side).tolist() for side in window.walls), strict=True):
        sides, points = cut_exactly(sides, points, integer_row((*row, -right)))
    if not points:
        raise InvalidInput(
            f"window: a window with interior needed, got {window.describe()} without; loosen it."
        )
    if any(max(abs(x), abs(y)) == far * z for x, y, z in points):
        raise InvalidInput(
            f"window: a bounded window needed to draw, got {window.describe()}; "
            "give low and high for both coordinates."
        )
    return sides, points


def cut_exactly(sides: list[Row], points: list[Row], row: Row) -> tuple[list[Row], list[Row]]:
    """The part of a polygon with ``row . z <= 0``, in integers; nothing where that is flat.

    Points are rays ``(x, y, z)`` with ``z > 0``, counterclockwise; side m, a row that is negative
    inside, ends in point m. Cost O(m).

    >>> square = [(0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 1, 1)]
    >>> sides = [cross(square[m], square[m - 1]) for m in range(4)]
    >>> cut_exactly(sides, square, (1, 1, -1))[1]       # x + y <= 1
    [(0, 1, 1), (0, 0, 1), (1, 0, 1)]
    """
    values = [value_at(row, point) for point in points]
    if max(values, default=0) <= 0:
        return sides, points
    count = len(points)
    if min(values) >= 0:
        return [], []
    # Points beyond the row are one run: from the first point after it to the last before it.
    first = next(m for m in range(count) if values[m] <= 0 and values[m - 1] > 0)
    inside = [(first + m) % count for m in range(count)]
    inside = inside[: next(m for m in range(count) if values[inside[m]] > 0)]
    after = (inside[-1] + 1) % count
    cut, left = [row], []
    if values[first] < 0:
        cut.append(sides[first])
        left.append(cross(row, sides[first]))
    cut += [sides[m] for m in inside[1:]]
    left += [points[m] for m in inside]
    if values[inside[-1]] < 0:
        cut.append(sides[after])
        left.append(cross(sides[after], row))
    return cut, left


def cut_by_walls(walls: Sequence[Sequence[Any]], sides: list[Row], points: list[Row]) -> Polygon:
    """The polygon of ``exact_polygon`` cut by walls, exactly, its corners rounded once.

    Sides carry the number of their wall, -1 those that were there before.

    >>> from tropattn.polyhedra.domain import Box
    >>> cut_by_walls([(1, 0, -1)], *exact_polygon(Box([0, 0], [2, 2]))).area     # x >= 1
    2.0
    """
    names = {integer_row(row): i for i, row in enumerate(walls)} | dict.fromkeys(sides, -1)
    for row in walls:
        sides, points = cut_exactly(sides, points, integer_row(row))
    # There a side ends in its corner, here it starts there.
    labels = np.roll([names[side] for side in sides], -1)
    return Polygon(np.array([(x / z, y / z) for x, y, z in points]), labels)


def cross(first: Row, second: Row) -> Row:
    """Where two rows vanish, without common divisors; the row of a line through two points."""
    (a, b, c), (x, y, z) = first, second
    u, v, w = b * z - c * y, c * x - a * z, a * y - b * x
    divisor = gcd(u, v, w)
    return u // divisor, v // divisor, w // divisor


def value_at(row: Row, point: Row) -> int:
    """The value of a row at a point, in integers."""
    return row[0] * point[0] + row[1] * point[1] + row[2] * point[2]


def integer_row(numbers: Sequence[Any]) -> Row:
    """The positive multiple of three rationals that is integer without common divisors.

    >>> integer_row([0.5, Fraction(1, 3), 0])
    (3, 2, 0)
    """
    x, y, z = (Fraction(v) for v in numbers)
    size = lcm(x.denominator, y.denominator, z.denominator)
    a, b, c = int(x * size), int(y * size), int(z * size)
    divisor = gcd(a, b, c) or 1
    return a // divisor, b // divisor, c // divisor


def bounding_window(points: Any, margin: float) -> tuple[Array, Array]:
    """The square box round some points of the plane, widened by ``margin`` times its side.

    >>> [side.tolist() for side in bounding_window([[0, 0], [2, 1]], 0.5)]
    [[-1.0, -1.5], [3.0, 2.5]]
    """
    rows = np.asarray(points, dtype=float)
    low, high = rows.min(axis=0), rows.max(axis=0)
    side = float((high - low).max())
    side = side if side > 0 else max(1.0, float(np.abs(rows).max()))
    centre, half = (low + high) / 2, side * (0.5 + margin)
    return centre - half, centre + half
