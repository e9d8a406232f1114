"""The plane engine: cells of heads in the plane, and of central heads in R^3, by Euler's relation.

On the sphere of directions of three columns (``Refinement``: the plane with its homogenising
coordinate, or three central dimensions) the walls of head h are a graph X_h of arcs. Where walls of
different heads meet in isolated points only, no three of them in one point and none at a vertex,

    R = 1 + sum_h (R_h - 1) + X   on an open convex part,   R = 2 + sum_h (R_h - 2) + X   on it all,

X the number of crossings (theory T9, T10; on the whole sphere the sum runs over heads with more
than one cell). So no cell is ever built: the cost is that of H diagrams and of the crossings. The
kernel proves what it uses; where heads touch otherwise (three walls in one point, a vertex on a
wall, walls that overlap) or doubles do not decide, ``euler_count`` returns None and the full
overlay, which is the enumeration engine, takes over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import plane
from tropattn.errors import Interrupted
from tropattn.threads import in_order
from tropattn.tropical.refinement import Refinement

__all__ = ["Heads", "euler_count", "start_polygons"]

Array = NDArray[Any]

_RANGE = 20_000_000
"""Scores a work range computes, about 0.05 s."""

_HEIGHTS = (0.1, 0.1 / 2**6, 0.1 / 2**12)
"""Heights of the first cone over a simplex: low ones are wide and cost digits."""


def euler_count(
    refinement: Refinement,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> tuple[int, dict[str, int]] | None:
    """Number of cells and the work done, or None where the heads are not proved generic.

    Cost O(sum_h N_h^2 + A n + X N), for A arcs, n live keys in all, X crossings and N keys a head.
    """
    heads = Heads(refinement)
    start = start_polygons(refinement)
    parts = None if start is None else heads.diagrams(start, threads)
    if parts is None:
        return None
    stop = np.zeros(1, np.int64)
    arcs = np.vstack([p for p, _ in parts])
    owners = np.repeat(np.arange(len(parts)), [len(p) for p, _ in parts])
    heads.keep([live for _, live in parts])
    cells = [n for n in np.diff(heads.starts).tolist() if n > 1]
    sphere = not len(refinement.walls)
    total = 2 + sum(n - 2 for n in cells) if sphere else 1 + sum(n - 1 for n in cells)
    step = max(16, _RANGE // (1 + heads.terms.shape[1]))
    ranges = [(a, min(a + step, len(arcs))) for a in range(0, len(arcs), step)]
    crossed = 0
    try:
        found = in_order(lambda r: heads.crossings(arcs, owners, *r, stop), ranges, threads)
        for i, (part, status) in enumerate(found):
            if status != plane.PROVED:
                stop[0] = 1
                return None
            crossed += int(part)
            if report is not None:
                report(total + crossed, len(ranges) - i - 1)
    except KeyboardInterrupt:
        stop[0] = 1
        lower = max(1, total + crossed)
        raise Interrupted(f"interrupted: at least {lower} cells before the stop.", lower) from None
    return total + crossed, {"arcs": len(arcs), "crossings": crossed}


class Heads:
    """The heads column by column, with the bounds that the kernels use."""

    def __init__(self, refinement: Refinement) -> None:
        starts = refinement.starts
        self.terms = np.ascontiguousarray(refinement.terms.T)
        self.starts = starts.astype(np.int64)
        self.all = range(len(starts) - 1)
        spans = [slice(starts[h], starts[h + 1]) for h in self.all]
        self.sizes = np.array([np.abs(refinement.terms[s]).max() for s in spans])
        self.errors = np.array([refinement.errors[s].max() for s in spans])

    def keep(self, live: list[Array]) -> None:
        """Drop dead rows: ``live`` (N_h,) bool for each head."""
        self.terms = np.ascontiguousarray(self.terms[:, np.concatenate(live)])
        self.starts = np.concatenate([[0], np.cumsum([part.sum() for part in live])])

    def diagrams(
        self, start: tuple[Array, ...], threads: int | None
    ) -> list[tuple[Array, Array]] | None:
        """Arcs and live rows of each head; None where a diagram is not proved."""
        stop = np.zeros(1, np.int64)
        parts = []
        found = in_order(lambda h: self.diagram(h, start, stop), self.all, threads)
        for arcs, live, status in found:
            if status != plane.PROVED:
                stop[0] = 1
                return None
            parts.append((arcs, live))
        return parts

    def diagram(self, h: int, start: tuple[Array, ...], stop: Array) -> tuple[Array, Array, int]:
        """Arcs of one head, which of its rows are live, and the kernel's status."""
        mine = np.ascontiguousarray(self.terms[:, self.starts[h] : self.starts[h + 1]])
        live = np.zeros(mine.shape[1], np.bool_)
        arcs = np.empty((3 * len(start[0]) * mine.shape[1] + 16, plane.ARC))
        room = start[1].shape[1] + mine.shape[1]
        made, status = plane.diagram(
            mine,
            self.sizes[h],
            self.errors[h],
            start[0],
            start[1:],
            live,
            arcs,
            0,
            plane.make_polygon(room),
            np.empty(room, np.int8),
            np.empty(mine.shape[1]),
            stop,
        )
        return arcs[:made], live, status

    def crossings(self, arcs: Array, owners: Array, a: int, b: int, stop: Array) -> Any:
        """Crossings of a range of arcs with later heads, and the kernel's status."""
        return plane.crossings(
            arcs, owners, self.terms, self.starts, self.sizes, self.errors, a, b, stop
        )


def start_polygons(refinement: Refinement) -> tuple[Array, ...] | None:
    """Pointed polygons that tile the domain: the four cones over a simplex, cut by the walls.

    The simplex has integer corners, so the cones tile exactly; one of them alone where the domain
    fits in it, for which flatter ones are tried. None where a wall's position
    is not proved.
    """
    walls = refinement.walls
    tiles = _tiles(refinement, refinement.interior[0] if len(walls) else np.zeros(3), _HEIGHTS[0])
    if tiles is None or len(tiles[0]) == 1 or not len(walls):
        return tiles
    # Inner normals add up to a direction that has all of the domain on its side.
    middle = -walls.sum(axis=0)
    for height in _HEIGHTS:
        one = _tiles(refinement, middle, height)
        if one is not None and len(one[0]) == 1:
            return one
    return tiles


def _tiles(refinement: Refinement, middle: Array, height: float) -> tuple[Array, ...] | None:
    """Start polygons from the cones over one simplex."""
    walls, errors = refinement.walls, refinement.wall_rho
    cones = np.empty((4, 3, 3))
    plane.simplex_cones(middle, cones, height)
    room = 3 + len(walls)
    parts = []
    for corners in cones:
        part = (
            np.empty((room, 3)),
            np.empty(room),
            np.empty(room, np.int64),
            np.empty((room, 3)),
            np.empty(room),
        )
        count = plane.start_polygon(corners, walls, errors, *part)
        if count < 0:
            return None
        if count and (part[2][:count] > -1_000_000).all():
            parts = [(count, *part)]
            break
        if count:
            parts.append((count, *part))
    columns = [np.stack(c) for c in zip(*[p[1:] for p in parts], strict=True)]
    return np.array([p[0] for p in parts]), *columns
