"""The planar graph of all walls in a bounded window of a plane, and the cells as its faces.

The walls of a head are arcs between its vertices (``regions/euler``). Walked along, each arc meets
the walls of the other heads in a proved order, and so does each side of the window. These orders
determine the graph (theory T10 counts its faces): which half-edge comes next round a face, which
face lies beyond it, and which winner changes there. So patterns, neighbours and the number of cells
are proved, and only coordinates are doubles. Where heads touch otherwise than in simple crossings,
or doubles do not decide, there is no graph (None), and the caller takes another road.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tropattn._kernels import half_edges
from tropattn._kernels.diagrams import ARC
from tropattn._types import Array
from tropattn.regions.budget import Budget
from tropattn.regions.euler.diagrams import HeadColumns, grouped, start_polygons
from tropattn.regions.euler.plane import EulerTally
from tropattn.threads import aside, in_order, interrupted
from tropattn.tropical.refinement import Refinement

__all__ = ["graph_cells"]

_PAIRS = 200_000
"""Pairs of an arc and a head in a work range, about 0.05 s."""

_CELLS = 20_000
"""Cells in a work range."""

_MOST = 2**30
"""Pieces that 32-bit half-edges can name."""


@dataclass(frozen=True, eq=False)
class _Walls:
    """Walls and sides of the window as arcs, over the live keys.

    Attributes
    ----------
    heads : the heads with their live keys (n of them) only.
    keys : (n,) the index of each live key in its head, as patterns name it.
    arcs : (E, ARC) walls, head by head, then sides of the window. bounds : (H + 1,) of the heads.
    names : (E, 4) int64 and links, key to keys across its walls: see ``_kernels/half_edges``.
    """

    heads: HeadColumns
    keys: Array
    arcs: Array
    bounds: Array
    names: Array
    links: half_edges.Links

    @property
    def inner(self) -> int:
        """Number of arcs that are walls."""
        return int(self.bounds[-1])


def graph_cells(refinement: Refinement, budget: Budget) -> tuple[Array, Array, Array, Array] | None:
    """Patterns, corners, offsets and neighbours as in ``PlaneCells``, or None if not proved.

    Corners (V, 3) have their error bound as third entry, and beyond wall i of the window is -1 - i.

    Cost ``O(sum_h N_h^2 + A H + X log X)`` for A walls and X crossings, and the size of the output.

    Raises
    ------
    BudgetExceeded, Interrupted : with ``.lower``.
    """
    walls, threads = _walls(refinement, budget.threads), budget.threads
    if walls is None:
        return None
    tally = EulerTally(np.diff(walls.heads.starts).tolist(), sphere=False)
    try:
        found = _crossings(walls, tally, budget)
        return None if found is None else _faces(refinement, walls, found, tally.cells, threads)
    except KeyboardInterrupt:
        raise interrupted(tally.lower) from None


def _walls(refinement: Refinement, threads: int | None) -> _Walls | None:
    heads = HeadColumns(refinement)
    start = aside(start_polygons, refinement)
    if start is None or len(start.counts) != 1 or heads.terms.shape[0] != 3:
        return None
    parts = heads.diagrams(start, threads)
    if parts is None:
        return None
    live = np.concatenate([part for _, part in parts])
    rows = np.cumsum(live) - 1
    names = [
        _named(arcs, rows[heads.starts[h] : heads.starts[h + 1]])
        for h, (arcs, _) in enumerate(parts)
    ]
    heads.keep([part for _, part in parts])
    count = int(start.counts[0])
    sides = np.zeros((count, ARC))
    rays, errors = start.rays[0, :count], start.ray_errors[0, :count]
    sides[:, 0:3], sides[:, 3:6] = np.roll(rays, 1, axis=0), rays
    sides[:, 6], sides[:, 7] = np.roll(errors, 1), errors
    names.append(np.repeat(start.labels[0, :count, None], 4, axis=1).astype(np.int64))
    named = np.vstack(names)
    bounds = np.cumsum([0, *(len(arcs) for arcs, _ in parts)])
    return _Walls(
        heads,
        np.concatenate(refinement.kept)[live],
        np.vstack([*(arcs for arcs, _ in parts), sides]),
        bounds,
        named,
        _links(named[: bounds[-1]], int(live.sum())),
    )


def _named(arcs: Array, rows: Array) -> Array:
    """The last columns of a head's arcs with its rows numbered anew; walls keep their numbers."""
    names = arcs[:, 8:12].astype(np.int64)
    return np.where(names >= 0, rows[np.maximum(names, 0)], names)


def _links(names: Array, count: int) -> half_edges.Links:
    row = np.concatenate([names[:, 0], names[:, 1]])
    across = np.concatenate([names[:, 1], names[:, 0]])
    arcs = np.arange(len(names), dtype=np.int32)
    codes = np.concatenate([2 * arcs + 1, 2 * arcs])
    order, first = grouped(row, count)
    return half_edges.Links(first, across[order], codes[order])


def _crossings(
    walls: _Walls, tally: EulerTally, budget: Budget
) -> tuple[Array, Array, Array] | None:
    """Codes, shares (m, 2) and number of crossings along each arc; ``tally`` counts along."""
    heads = walls.heads
    rows = np.ascontiguousarray(heads.terms.T)
    step = max(16, _PAIRS // len(heads.all))
    ranges = [
        (h, a, min(a + step, int(walls.bounds[h + 1])))
        for h in heads.all
        for a in range(int(walls.bounds[h]), int(walls.bounds[h + 1]), step)
    ]
    ranges.append((-1, walls.inner, len(walls.arcs)))
    stop = np.zeros(1, np.int64)

    def work(part: tuple[int, int, int]) -> Any:
        h, a, b = part
        given = rows, heads.starts, heads.sizes, heads.errors, walls.links
        kinds = np.int64, np.int32, np.float64, np.float64, np.float64
        room = 2 * (b - a) * len(heads.all) + 64
        while True:
            found = half_edges.Crossings(*(np.empty(room, kind) for kind in kinds))
            status, made = half_edges.walk(walls.arcs, a, b, h, *given, found, stop)
            if status != half_edges.FULL:
                found = half_edges.Crossings(*(part[:made] for part in found))
                return _in_order(found, b - a, status)
            room *= 2

    parts = []
    for i, (status, *found) in enumerate(in_order(work, ranges, budget.threads, stop)):
        if status != half_edges.PROVED:
            return None
        parts.append(found)
        h, _, end = ranges[i]
        if h >= 0:
            # Each crossing is found from both of its arcs: count it from the earlier head's.
            after = walls.bounds[h + 1]
            tally.add(int((found[0] >= 2 * after).sum()), h + 1 if end == after else h)
        budget.limit(tally.lower, "or use count_regions")
        budget.say(tally.lower, len(ranges) - i - 1)
    codes, shares, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return codes, shares, counts


def _in_order(
    found: half_edges.Crossings, arcs: int, status: int
) -> tuple[int, Array, Array, Array]:
    """Codes and places of crossings, arc by arc and along each, and their number on each arc.

    A place is a share of the arc and the width of its interval; where the intervals of one arc are
    not disjoint, the status says so.
    """
    order = np.lexsort([found.low, found.arc])
    arc, low, high = found.arc[order], found.low[order], found.high[order]
    if ((arc[1:] == arc[:-1]) & ~(high[:-1] < low[1:])).any() and status == half_edges.PROVED:
        status = half_edges.UNPROVED
    places = np.column_stack([found.share[order], high - low])
    return status, found.codes[order], places, np.bincount(arc, minlength=arcs)


def _faces(
    refinement: Refinement,
    walls: _Walls,
    crossings: tuple[Array, Array, Array],
    total: int,
    threads: int | None,
) -> tuple[Array, Array, Array, Array] | None:
    """The cells of the graph, ``total`` of them by Euler's relation; None if anything differs."""
    codes, shares, counts = crossings
    first = np.concatenate([[0], np.cumsum(counts + 1)])
    if first[-1] > _MOST:
        return None
    following = np.full(2 * first[-1], -1, np.int32)
    if not aside(half_edges.join, first, codes, walls.names, walls.inner, walls.links, following):
        return None
    face = np.full(len(following), -1, np.int32)
    begin, sides, rank = (np.empty(total, np.int32) for _ in range(3))
    if aside(half_edges.trace, following, face, begin, sides) != total:
        return None
    given = face, first, walls.names, walls.bounds, _places(walls), rank
    if not aside(half_edges.ranks, *given, np.empty((11, total), np.int32)):
        return None
    order = np.empty(total, np.int32)
    order[rank] = np.arange(total, dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(sides[order], dtype=np.int64)])
    owner = np.repeat(np.arange(len(walls.arcs), dtype=np.int32), counts + 1)
    graph = half_edges.Graph(first, codes, walls.inner, owner, following, face, begin, rank)
    corners, neighbours = _outline(refinement, walls, graph, order, offsets, shares, threads)
    patterns = _patterns(walls, graph, order)
    return None if patterns is None else (patterns, corners, offsets, neighbours)


def _patterns(walls: _Walls, graph: half_edges.Graph, order: Array) -> Array | None:
    """Winners in each cell, from those in the window's first corner on; None if sides disagree."""
    first, face, rank = graph.first, graph.face, graph.rank
    starts = walls.heads.starts
    # The walk along the first side has proved that one key of each head wins clearly here.
    scores = walls.arcs[walls.inner, 0:3] @ walls.heads.terms
    patterns = np.empty((len(order), len(walls.heads.all)), np.int32)
    stack, seen = np.empty(len(order), np.int32), np.zeros(len(order), np.bool_)
    stack[0] = rank[face[2 * first[walls.inner]]]
    seen[stack[0]] = True
    for h in walls.heads.all:
        best = starts[h] + scores[starts[h] : starts[h + 1]].argmax()
        patterns[stack[0], h] = walls.keys[best]
    given = order, walls.names, walls.bounds, walls.keys
    agree = aside(half_edges.spread, graph, *given, patterns, stack, seen)
    return patterns if agree and seen.all() else None


def _places(walls: _Walls) -> Array:
    """Place of each live key among those of its head, by index."""
    places = np.empty(len(walls.keys), np.int64)
    for a, b in zip(walls.heads.starts[:-1], walls.heads.starts[1:], strict=True):
        places[a:b] = walls.keys[a:b].argsort().argsort()
    return places


def _outline(
    refinement: Refinement,
    walls: _Walls,
    graph: half_edges.Graph,
    order: Array,
    offsets: Array,
    shares: Array,
    threads: int | None,
) -> tuple[Array, Array]:
    """Corners (V, 3) and neighbours (V,) of all cells."""
    scale = refinement.scaling[:2] / refinement.scaling[2]
    ends = np.empty((len(walls.arcs), 2, 3))
    aside(half_edges.places, walls.arcs, walls.names, walls.inner, walls.links, scale, ends)
    out = np.empty((offsets[-1], 3)), np.empty(offsets[-1], np.int64)
    ranges = range(0, len(order), _CELLS)

    def work(a: int) -> None:
        b = min(a + _CELLS, len(order))
        parts = walls.arcs, walls.names, shares, ends, scale
        half_edges.write(graph, order, offsets, *parts, a, b, out)

    for _ in in_order(work, ranges, threads):
        pass
    return out
