"""Diagrams of single heads on the sphere of directions of three columns, and their crossings.

The walls of a head are arcs between its vertices. A small head is cut out of polygons that tile
the domain, a large one read from a proved hull (``hull_arcs``); then its arcs are walked against
the heads after it. The kernels prove each sign or say that they cannot (``_kernels/diagrams``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import clipping, diagrams
from tropattn._types import Array
from tropattn.regions.euler.hull_arcs import hull_arcs
from tropattn.threads import in_order, interrupted
from tropattn.tropical.refinement import Refinement

__all__ = ["HeadColumns", "grouped", "start_polygons"]

_HEIGHTS = (0.1, 0.1 / 2**6, 0.1 / 2**12)
"""Heights of the first cone over a simplex: low ones are wide and cost digits."""

_MANY = 100
"""From this many keys on a hull is faster than cutting each cell out."""

_ROWS = 400
"""Rows of heads that are worth a work item of their own."""


class HeadColumns:
    """The heads column by column, with the bounds that the kernels use."""

    def __init__(self, refinement: Refinement) -> None:
        self.refinement = refinement
        starts = refinement.starts
        self.terms = np.ascontiguousarray(refinement.terms.T)
        self.starts = starts.astype(np.int64)
        self.all = range(len(starts) - 1)
        spans = [slice(starts[h], starts[h + 1]) for h in self.all]
        self.sizes = np.array([np.abs(refinement.terms[s]).max() for s in spans])
        self.errors = np.array([refinement.errors[s].max() for s in spans])

    @property
    def extent(self) -> tuple[int, int]:
        """The number of rows and of heads."""
        return self.terms.shape[1], len(self.starts) - 1

    def _together(self) -> list[range]:
        """Runs of heads with about ``_ROWS`` rows: work for one thread."""
        parts = self.starts[:-1] // _ROWS
        ends = [*(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
        return [range(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    def keep(self, live: list[Array]) -> None:
        """Drop dead rows: ``live`` (N_h,) bool for each head."""
        self.terms = np.ascontiguousarray(self.terms[:, np.concatenate(live)])
        self.starts = np.concatenate([[0], np.cumsum([part.sum() for part in live])])

    def of_rows(self, rows: Array) -> NDArray[np.int64]:
        """The heads of stacked rows."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def links(self, sides: Array) -> tuple[Array, ...]:
        """For each row the rows that it shares a wall with, as the kernel ``links`` finds them.

        ``sides`` (w, 2): the two rows of each wall, counted through all heads.
        """
        count, n_heads = self.extent
        row, other = sides.ravel(), sides[:, ::-1].ravel()
        order, offsets = grouped(row, count)
        apart = np.ascontiguousarray((self.terms[:, other] - self.terms[:, row])[:, order].T)
        begin = np.full(n_heads, -1, np.int64)
        begin[self.of_rows(sides[:, 1])] = sides[:, 1]
        return offsets, other[order], apart, begin

    def diagrams(
        self, start: clipping.Tiles, threads: int | None
    ) -> list[tuple[Array, Array]] | None:
        """Arcs and live rows of each head; None where a diagram is not proved."""
        stop = np.zeros(1, np.int64)
        live = [np.zeros(n, np.bool_) for n in np.diff(self.starts).tolist()]
        parts: list[tuple[Array, Array]] = []

        def work(some: range) -> list[tuple[Array, int]]:
            most = max(len(live[h]) for h in some)
            scratch = clipping.make_polygon(start.rows.shape[1] + most)
            return [one(h, scratch) for h in some]

        def one(h: int, scratch: clipping.ClippedPolygon) -> tuple[Array, int]:
            arcs = hull_arcs(self.refinement, h) if len(live[h]) >= _MANY else None
            if arcs is not None:
                live[h][arcs[:, 8:10].astype(np.int64)] = True
                return arcs, diagrams.PROVED
            mine = np.ascontiguousarray(self.terms[:, self.starts[h] : self.starts[h + 1]])
            arcs = np.empty((3 * len(start.counts) * mine.shape[1] + 16, diagrams.ARC))
            scores = np.empty(mine.shape[1])
            found = np.empty((3, mine.shape[1]), np.int64)
            given = mine, self.sizes[h], self.errors[h], start
            made, status = diagrams.diagram(*given, live[h], arcs, 0, scratch, scores, found, stop)
            return arcs[:made], status

        try:
            for made in in_order(work, self._together(), threads, stop):
                for arcs, status in made:
                    if status != diagrams.PROVED:
                        return None
                    parts.append((arcs, live[len(parts)]))
        except KeyboardInterrupt:
            # Every row marked so far is proved, and its cell holds one of the refinement.
            raise interrupted(max([1, *(int(mine.sum()) for mine in live)])) from None
        return parts


def grouped(rows: Array, count: int) -> tuple[Array, Array]:
    """An order that puts equal rows together, and where each of ``count`` rows begins in it.

    >>> [part.tolist() for part in grouped(np.array([2, 0, 2]), 3)]
    [[1, 0, 2], [0, 1, 1, 3]]
    """
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
    return np.argsort(rows, kind="stable"), starts


def start_polygons(refinement: Refinement) -> clipping.Tiles | None:
    """Pointed polygons that tile the domain: the four cones over a simplex, cut by the walls.

    The simplex has integer corners, so the cones tile exactly; one of them alone where the domain
    fits in it, for which flatter ones are tried. None where a wall's position
    is not proved.
    """
    walls = refinement.walls
    tiles = _tiles(refinement, refinement.interior[0] if len(walls) else np.zeros(3), _HEIGHTS[0])
    if tiles is None or len(tiles.counts) == 1 or not len(walls):
        return tiles
    # Inner normals add up to a direction that has all of the domain on its side.
    middle = -walls.sum(axis=0)
    for height in _HEIGHTS:
        one = _tiles(refinement, middle, height)
        if one is not None and len(one.counts) == 1:
            return one
    return tiles


def _tiles(refinement: Refinement, middle: Array, height: float) -> clipping.Tiles | None:
    """Start polygons from the cones over one simplex."""
    room = 3 + len(refinement.walls)
    tiles, cones, polygon = (
        clipping.make_tiles(room),
        np.empty((6, 4, 3)),
        clipping.make_polygon(room),
    )
    # What is read-only is of another type, for which the kernels would be compiled again.
    rows = refinement.walls.copy()
    used = clipping.tile(middle, height, rows, refinement.wall_rho, cones, polygon, tiles)
    return clipping.Tiles(*(part[:used] for part in tiles)) if used else None
