"""Cells of heads in a bounded window of a plane as polygons: areas, and who touches whom.

Two roads. Where the walls are proved to meet in simple crossings only, the cells are the faces of
their graph (``plane_graph``): patterns and neighbours are proved, corners and areas are doubles.
Elsewhere the patterns come from the enumeration engine, proved, and each cell is cut out of the
window by itself: corners, areas and neighbours are then computed in doubles, and a cell thinner
than doubles can draw has no corners. Both roads run in coordinates of the window
(``plane_frame``), so that a tiny or far one is drawn as well as any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import plane
from tropattn.arrays import as_fractions
from tropattn.errors import Interrupted, InvalidInput
from tropattn.polyhedra.domain import Domain, as_domain
from tropattn.regions.enumeration import explore
from tropattn.regions.plane import Heads
from tropattn.regions.plane_frame import Frame, window_frame
from tropattn.regions.plane_graph import graph_cells
from tropattn.threads import in_order
from tropattn.tolerance import UNIT
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.stage import stages_of

__all__ = ["PlaneCells", "plane_cells"]

Array = NDArray[Any]

_CELLS = 2_000
"""Cells in a work range."""

_UNDECIDED = -2
"""Stands for a neighbour that doubles do not tell."""


@dataclass(frozen=True, eq=False)
class PlaneCells:
    """The cells of a layer in a window of a plane.

    Attributes
    ----------
    patterns : (R, H) int32 winners, in lexicographic order.
    local, offsets : (V, 2) corners u, counterclockwise; cell r has
        ``local[offsets[r]:offsets[r + 1]]``. In the plane's parameters ``centre + scale * u``.
    centre, scale : (2,) ``Fraction``s; they put the window into (-1, 1)^2.
    neighbours : (V,) the cell beyond the side that ends in each corner; -1 beyond the window; -2
        where doubles do not decide it. Two cells name each other or do not.
    """

    patterns: NDArray[np.int32]
    local: NDArray[np.float64]
    offsets: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    centre: Array
    scale: Array

    def __len__(self) -> int:
        return len(self.patterns)

    @cached_property
    def corners(self) -> NDArray[np.float64]:
        """Corners in the plane's parameters, (V, 2): those of ``local``, rounded."""
        near = self.centre.astype(np.float64)
        lost = (self.centre - as_fractions(near)).astype(np.float64)
        return near + (self.local * self.scale.astype(np.float64) + lost)

    def polygon(self, cell: int) -> NDArray[np.float64]:
        """Corners of one cell, (k, 2)."""
        return self.corners[self.offsets[cell] : self.offsets[cell + 1]]

    @property
    def areas(self) -> NDArray[np.float64]:
        """Area of each cell in the plane's parameters, (R,)."""
        first = np.repeat(self.offsets[:-1], np.diff(self.offsets))
        following = np.arange(len(self.local)) + 1
        drawn = np.diff(self.offsets) > 0
        following[self.offsets[1:][drawn] - 1] = self.offsets[:-1][drawn]
        a = self.local - self.local[first]
        b = self.local[following] - self.local[first]
        cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        areas = np.zeros(len(self))
        areas[drawn] = np.abs(np.add.reduceat(cross, self.offsets[:-1][drawn])) / 2
        return areas * float(self.scale[0] * self.scale[1])

    def adjacency(self) -> nx.Graph[int]:
        """The graph on cells with an edge where two of them share a side."""
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(len(self)))
        cells = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        inner = self.neighbours >= 0
        graph.add_edges_from(
            zip(cells[inner].tolist(), self.neighbours[inner].tolist(), strict=True)
        )
        return graph


def plane_cells(
    target: Any,
    domain: Domain,
    *,
    max_cells: int = 1_000_000,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> PlaneCells:
    """Cells of heads in a bounded window of a plane, as polygons (theory T10).

    Parameters
    ----------
    target : heads (``TropicalPolynomial``s, or a ``FixedLayer``) on R^2, on R^d with a ``Slice``.
    domain : a bounded ``Box`` or ``Polytope`` in R^2, or a ``Slice`` with a bounded window.

    Raises
    ------
    InvalidInput : several layers, or a domain that is not a bounded piece of a plane.
    BudgetExceeded, Interrupted : with ``.lower``.

    Cost ``O(sum_h N_h^2)`` for the diagrams, then ``O(log R)`` a cell, ``O(1)`` for each pair of a
    wall and a head, and the output, whose largest part is ``patterns``. Where walls do not meet in
    simple crossings: that of ``enumerate_regions`` and ``O(n)`` a corner, for n keys in all.

    >>> from tropattn import Box, TropicalPolynomial
    >>> cells = plane_cells([TropicalPolynomial([[0, 0], [1, 0]])], Box([-1, -1], [3, 1]))
    >>> cells.patterns.tolist(), cells.areas.round(9).tolist(), list(cells.adjacency().edges)
    ([[0], [1]], [2.0, 6.0], [(0, 1)])
    """
    stages, where = stages_of(target), as_domain(domain)
    if len(stages) != 1 or where is None or where.dim != 2:
        got = "the whole space" if where is None else where.describe()
        raise InvalidInput(
            f"domain: a bounded window of a plane and one layer needed, got {got} and "
            f"{len(stages)} layers; pass a Box in R^2 or a Slice with a window."
        )
    refinement = Refinement.of(stages[0].units, where).without_twins()
    frame = window_frame(refinement)
    found = graph_cells(frame.system, max_cells, threads, report)
    if found is None:
        found = _overlay(refinement, frame, max_cells, threads, report)
    patterns, *rest = found
    # A twin repeats a column before it, so the order of the rows stays lexicographic.
    return PlaneCells(refinement.of_all_heads(patterns), *rest, frame.centre, frame.scale)


def _overlay(
    refinement: Refinement,
    frame: Frame,
    max_cells: int,
    threads: int | None,
    report: Callable[[int, int], None] | None,
) -> tuple[Array, Array, Array, Array]:
    """Patterns, corners, offsets and neighbours by enumeration, each cell cut out by itself."""
    outcome = explore(refinement, emit=True, max_cells=max_cells, threads=threads, report=report)
    rows = np.vstack(outcome.patterns)
    keys = 1 + int(max(kept.max() for kept in refinement.kept))
    words = _words(refinement.pattern(rows), keys)
    order = np.argsort(words)
    rows, words = rows[order], words[order]
    cut = _cutter(frame, frame.rows[rows])

    def work(first: int) -> tuple[Array, Array, Array]:
        corners, offsets, beyond = cut(first)
        sought = _words(frame.system.pattern(np.maximum(beyond, 0)), keys)
        at = np.minimum(np.searchsorted(words, sought), len(words) - 1)
        at = np.where(words[at] == sought, at, _UNDECIDED)
        at = np.where(beyond[:, 0] >= 0, at, -1)
        return corners[:, :2] / corners[:, 2:], np.diff(offsets), at

    try:
        parts = list(in_order(work, range(0, len(rows), _CELLS), threads))
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {len(rows)} cells found, not yet all drawn.", len(rows)
        ) from None
    corners, sizes, neighbours = (np.concatenate(column) for column in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return refinement.pattern(rows), corners, offsets, _mutual(offsets, neighbours)


def _mutual(offsets: Array, neighbours: Array) -> Array:
    """Neighbours, undecided where the other cell does not name this one."""
    cells = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    inner = neighbours >= 0
    here, there = cells[inner], neighbours[inner]
    seen = np.isin(here * len(offsets) + there, there * len(offsets) + here)
    neighbours[np.flatnonzero(inner)[~seen]] = _UNDECIDED
    return neighbours


def _words(patterns: Array, keys: int) -> Array:
    """Rows of keys, each below ``keys``, as bytes strings of the same order, (m,)."""
    rows = np.ascontiguousarray(patterns.astype("u1" if keys <= 2**8 else ">u4"))
    return rows.view(f"S{rows.itemsize * rows.shape[1]}").ravel()


def _cutter(frame: Frame, rows: Array) -> Callable[[int], tuple[Array, Array, Array]]:
    """Cut out cells ``first .. first + _CELLS``: corners (V, 3), offsets, winners beyond (V, H)."""
    heads = Heads(frame.system)
    # The kernel allows for rounding by size: here 64 rounded operations, or the error itself.
    sizes = np.abs(heads.terms).max(axis=0) + frame.system.errors / (64 * UNIT)
    rays = np.column_stack([frame.polygon.vertices, np.ones(len(frame.polygon.vertices))])
    # Row m holds the side that ends in corner m, negative inside.
    sides = np.cross(rays, np.roll(rays, 1, axis=0))
    still = np.zeros(len(rays))
    start = (np.ascontiguousarray(sides), still, np.full(len(rays), -1), rays, still)
    stop = np.zeros(1, np.int64)

    def cut(first: int) -> tuple[Array, Array, Array]:
        mine = rows[first : first + _CELLS].astype(np.int64)
        room = 8 * len(mine) + 64
        while True:
            corners = np.empty((room, 3))
            offsets = np.zeros(len(mine) + 1, np.int64)
            beyond = np.empty((room, mine.shape[1]), np.int32)
            done = plane.polygons(
                mine,
                heads.terms,
                heads.starts,
                sizes,
                start,
                corners,
                offsets,
                beyond,
                stop,
            )
            if done == len(mine):
                return corners[: offsets[-1]], offsets, beyond[: offsets[-1]]
            room *= 2

    return cut
