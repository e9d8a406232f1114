"""Convex polygons cut by half-planes, in doubles: for drawing, never for counting.

Only the corners of a window are exact, before they are rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import as_fractions
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Box, Domain

__all__ = ["Polygon", "bounding_window", "exact_corners", "window_polygon"]

Array = NDArray[Any]


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
        Cost O(n m) a side of the result, for n rows.
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
    if isinstance(window, Box) and window.bounded:
        return Polygon.box(window.low, window.high)
    corners = exact_corners(window).astype(np.float64)
    return Polygon(corners, np.full(len(corners), -1))


def exact_corners(window: Domain) -> Array:
    """Corners of a bounded set of the plane with interior, in rationals, counterclockwise (k, 2).

    Raises
    ------
    InvalidInput : a set that is unbounded or has no interior.

    Cost ``O(m k)`` for m walls and k corners.

    >>> [[str(v) for v in corner] for corner in exact_corners(Box([0, 0], [1, 3])).tolist()]
    [['1', '0'], ['1', '3'], ['0', '3'], ['0', '0']]
    """
    # Beyond all doubles, and so beyond the corners of all but absurd windows.
    far = Fraction(2) ** 1100
    corners = [(-far, -far), (far, -far), (far, far), (-far, far)]
    for row, right in zip(*(as_fractions(side).tolist() for side in window.walls), strict=True):
        slack = [right - row[0] * x - row[1] * y for x, y in corners]
        kept = []
        for i, (x, y) in enumerate(corners):
            after = (i + 1) % len(corners)
            if slack[i] >= 0:
                kept.append((x, y))
            if slack[i] * slack[after] < 0:
                share = slack[i] / (slack[i] - slack[after])
                u, v = corners[after]
                kept.append((x + share * (u - x), y + share * (v - y)))
        corners = kept
    found = np.array(corners, dtype=object).reshape(-1, 2)
    x, y = (found - found[:1]).T
    if len(found) < 3 or not (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 0:
        raise InvalidInput(
            f"window: a window with interior needed, got {window.describe()} without; loosen it."
        )
    if (np.abs(found) == far).any():
        raise InvalidInput(
            f"window: a bounded window needed to draw, got {window.describe()}; "
            "give low and high for both coordinates."
        )
    return found


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
