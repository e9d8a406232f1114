"""Cells of heads in a window of the plane in exact numbers: corners, and who is beyond each side.

A point of the plane is a ray ``(x, y, z)`` of integers with ``z > 0``, a wall an integer row that
vanishes on it. The patterns of all cells are given, so nothing is decided but places: cells in
lexicographic order share the polygons of their first heads, and a point is compared with all heads
once, however many cells meet there. Doubles only leave out keys that are clearly not the best.
"""

from __future__ import annotations

import numpy as np

from tropattn._types import Array
from tropattn.errors import EngineError
from tropattn.polyhedra.polygon import Row, cross, cut_exactly, exact_polygon, integer_row, value_at
from tropattn.regions.polygons.window import UnitWindow
from tropattn.threads import check
from tropattn.tolerance import UNIT

__all__ = ["ExactCells"]

Pattern = tuple[int, ...]


class ExactCells:
    """Exact places for cells of given patterns, (R, H) keys in lexicographic order.

    Only keys that win in one of them are looked at, so ``outlines`` needs the patterns of all cells
    and ``place`` those on both sides of the walls in question.
    """

    def __init__(self, frame: UnitWindow, patterns: Array) -> None:
        self._frame = frame
        self._patterns: list[Pattern] = [tuple(row) for row in patterns.tolist()]
        self._keys = [np.unique(column) for column in patterns.T]
        self._rows: list[dict[int, Row]] = []
        near = []
        for unit, keys in zip(frame.system.units, self._keys, strict=True):
            numerators = unit.exact_terms(keys).numer_denom()[0].tolist()
            rows: list[Row] = [(int(x), int(y), int(z)) for x, y, z in numerators]
            self._rows.append(dict(zip(keys.tolist(), rows, strict=True)))
            # The winner in the middle is subtracted, so that differences are not lost in rounding.
            base = max(rows, key=lambda row: row[2])
            moved = [_minus(row, base) for row in rows]
            size = max(1, *(abs(v) for row in moved for v in row))
            near += [[v / size for v in row] for row in moved]
        self._near = np.array(near)
        self._starts = np.cumsum([0, *(len(keys) for keys in self._keys)])
        self._walls: dict[tuple[int, int, int], Row] = {}
        self._best: dict[Row, tuple[list[int], dict[int, list[int]]]] = {}

    def outlines(self) -> tuple[Array, Array, Array]:
        """Corners (V, 2), each rounded once, offsets (R + 1,) and the cell beyond each side (V,).

        As in ``PlaneCells``. Some 0.2 ms per cell: O(n) for each corner, n keys that win somewhere.

        Raises
        ------
        EngineError : a pattern without a cell, or a side with none beyond it.
        """
        number = {pattern: r for r, pattern in enumerate(self._patterns)}
        corners: list[tuple[float, float]] = []
        beyond: list[int] = []
        offsets = [0]
        heads = len(self._keys)
        levels = [exact_polygon(self._frame.window)]
        outer = set(levels[0][0])
        before: Pattern = ()
        for r, pattern in enumerate(self._patterns):
            check()
            shared = next((h for h, j in enumerate(before) if j != pattern[h]), len(before))
            del levels[shared + 1 :]
            for h in range(shared, heads):
                levels.append(self._within(*levels[-1], h, pattern[h]))
            before = pattern
            sides, points = levels[-1]
            for m, point in enumerate(points):
                corners.append(_rounded(point))
                if sides[m] in outer:
                    beyond.append(-1)
                else:
                    other = self._beyond(pattern, sides[m], points[m - 1], point)
                    beyond.append(number.get(other, r))
            offsets.append(len(corners))
            if r in beyond[offsets[r] :]:
                raise EngineError(
                    f"cells: a cell beyond every side needed, got none beside {pattern}; "
                    "please report the input."
                )
        return np.array(corners).reshape(-1, 2), np.array(offsets), np.array(beyond, np.int64)

    def place(self, cell: int, first: int, second: int) -> tuple[float, float]:
        """Where two sides of a cell meet, the first of which ends there, as a corner in doubles.

        A side is the number of the cell beyond, or -1 - i for wall i of ``frame.system``.
        """
        rows = [self._side(cell, other) for other in (first, second)]
        return _rounded(cross(*rows))

    def _side(self, cell: int, other: int) -> Row:
        if other < 0:
            return integer_row(self._frame.system.given_walls[-1 - other])
        mine, theirs = self._patterns[cell], self._patterns[other]
        h = next(h for h, j in enumerate(mine) if j != theirs[h])
        return self._wall(h, mine[h], theirs[h])

    def _wall(self, head: int, winner: int, other: int) -> Row:
        """The row by which another key of a head beats the winner."""
        found = self._walls.get((head, winner, other))
        if found is None:
            rows = self._rows[head]
            found = integer_row(_minus(rows[other], rows[winner]))
            self._walls[head, winner, other] = found
        return found

    def _within(
        self, sides: list[Row], points: list[Row], head: int, winner: int
    ) -> tuple[list[Row], list[Row]]:
        """The part of a polygon where a key is the best of its head."""
        at = 0
        while at < len(points):
            best, ties = self._top(points[at])
            at += 1
            if best[head] != winner and winner not in ties.get(head, ()):
                sides, points = cut_exactly(sides, points, self._wall(head, winner, best[head]))
                at = 0
        if not points:
            raise EngineError(
                f"cells: a cell where key {winner} of head {head} wins needed, got none; "
                "please report the input."
            )
        return sides, points

    def _top(self, point: Row) -> tuple[list[int], dict[int, list[int]]]:
        """A best key of each head at a point, and all of them where there are several."""
        found = self._best.get(point)
        if found is not None:
            return found
        x, y = _rounded(point)
        scores = self._near @ np.array([x, y, 1.0])
        highest = np.maximum.reduceat(scores, self._starts[:-1])
        counts = np.diff(self._starts)
        # Entries at most 1, each rounded once, as are x and y: an error below 16 roundings.
        close = np.flatnonzero(scores >= np.repeat(highest - 64 * UNIT, counts))
        head = np.searchsorted(self._starts, close, side="right") - 1
        best: list[int] = [-1] * len(counts)
        several: dict[int, list[int]] = {}
        for h, i in zip(head.tolist(), (close - self._starts[head]).tolist(), strict=True):
            key = int(self._keys[h][i])
            if best[h] < 0:
                best[h] = key
            else:
                several.setdefault(h, [best[h]]).append(key)
        ties = {}
        for h, keys in several.items():
            exact = [value_at(self._rows[h][key], point) for key in keys]
            top = max(exact)
            equal = [key for key, value in zip(keys, exact, strict=True) if value == top]
            best[h] = equal[0]
            if len(equal) > 1:
                ties[h] = equal
        self._best[point] = best, ties
        return best, ties

    def _beyond(self, pattern: Pattern, side: Row, start: Row, end: Row) -> Pattern:
        """The pattern just beyond a side: of the keys tied all along it the steepest outwards."""
        first, last = self._top(start)[1], self._top(end)[1]
        other = list(pattern)
        c = next(c for c in range(3) if side[c] != 0)
        for h in first.keys() & last.keys():
            rows = self._rows[h]
            tied = [key for key in first[h] if key in last[h]]
            # The rows of tied keys differ by multiples of the side's.
            sign = 1 if side[c] > 0 else -1
            other[h] = max(tied, key=lambda key, rows=rows, sign=sign: sign * rows[key][c])
        return tuple(other)


def _minus(first: Row, second: Row) -> Row:
    return first[0] - second[0], first[1] - second[1], first[2] - second[2]


def _rounded(point: Row) -> tuple[float, float]:
    return point[0] / point[2], point[1] / point[2]
