"""Cells of heads in a bounded window of a plane as polygons: areas, and who touches whom.

Two roads. Where the walls are proved to meet in simple crossings only, the cells are the faces of
their graph (``plane_graph``): patterns and neighbours are proved, corners and areas are doubles.
Elsewhere the patterns come from the enumeration engine, proved, and each cell is cut out of the
window by itself: corners, areas and neighbours are then computed in doubles, and a cell thinner
than doubles can draw has no corners.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import plane
from tropattn.errors import Interrupted, InvalidInput
from tropattn.polyhedra.domain import Domain, Slice
from tropattn.polyhedra.polygon import Polygon, window_polygon
from tropattn.regions.enumeration import explore
from tropattn.regions.plane import Heads
from tropattn.regions.plane_graph import graph_cells
from tropattn.threads import in_order
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.stage import stages_of

__all__ = ["PlaneCells", "plane_cells"]

Array = NDArray[Any]

_CELLS = 2_000
"""Cells in a work range."""


@dataclass(frozen=True, eq=False)
class PlaneCells:
    """The cells of a layer in a window of a plane.

    Attributes
    ----------
    patterns : (R, H) int32 winners, in lexicographic order.
    corners, offsets : (V, 2) corners in the plane's parameters, counterclockwise; cell r has
        ``corners[offsets[r]:offsets[r + 1]]``.
    neighbours : (V,) the cell beyond the side that ends in each corner; -1 beyond the window.
    """

    patterns: NDArray[np.int32]
    corners: NDArray[np.float64]
    offsets: NDArray[np.int64]
    neighbours: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.patterns)

    def polygon(self, cell: int) -> NDArray[np.float64]:
        """Corners of one cell, (k, 2)."""
        return self.corners[self.offsets[cell] : self.offsets[cell + 1]]

    @property
    def areas(self) -> NDArray[np.float64]:
        """Area of each cell in the plane's parameters, (R,)."""
        first = np.repeat(self.offsets[:-1], np.diff(self.offsets))
        following = np.arange(len(self.corners)) + 1
        drawn = np.diff(self.offsets) > 0
        following[self.offsets[1:][drawn] - 1] = self.offsets[:-1][drawn]
        a = self.corners - self.corners[first]
        b = self.corners[following] - self.corners[first]
        cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        areas = np.zeros(len(self))
        areas[drawn] = np.abs(np.add.reduceat(cross, self.offsets[:-1][drawn])) / 2
        return areas

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
    stages = stages_of(target)
    if len(stages) != 1 or domain is None or domain.dim != 2:
        where = "the whole space" if domain is None else domain.describe()
        raise InvalidInput(
            f"domain: a bounded window of a plane and one layer needed, got {where} and "
            f"{len(stages)} layers; pass a Box in R^2 or a Slice with a window."
        )
    window = window_polygon(domain.window if isinstance(domain, Slice) else domain)
    refinement = Refinement.of(stages[0].units, domain)
    found = graph_cells(refinement, max_cells, threads, report)
    if found is None:
        found = _overlay(refinement, window, max_cells, threads, report)
    return PlaneCells(*found)


def _overlay(
    refinement: Refinement,
    window: Polygon,
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
    cut = _cutter(refinement, window, rows)

    def work(first: int) -> tuple[Array, Array, Array]:
        corners, offsets, beyond = cut(first)
        sought = _words(refinement.pattern(np.maximum(beyond, 0)), keys)
        at = np.minimum(np.searchsorted(words, sought), len(words) - 1)
        met = (beyond[:, 0] >= 0) & (words[at] == sought)
        return refinement.to_parameters(corners), np.diff(offsets), np.where(met, at, -1)

    try:
        parts = list(in_order(work, range(0, len(rows), _CELLS), threads))
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: {len(rows)} cells found, not yet all drawn.", len(rows)
        ) from None
    corners, sizes, neighbours = (np.concatenate(column) for column in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return refinement.pattern(rows), corners, offsets, neighbours


def _words(patterns: Array, keys: int) -> Array:
    """Rows of keys, each below ``keys``, as bytes strings of the same order, (m,)."""
    rows = np.ascontiguousarray(patterns.astype("u1" if keys <= 2**8 else ">u4"))
    return rows.view(f"S{rows.itemsize * rows.shape[1]}").ravel()


def _cutter(
    refinement: Refinement, window: Polygon, rows: Array
) -> Callable[[int], tuple[Array, Array, Array]]:
    """Cut out cells ``first .. first + _CELLS``: corners (V, 3), offsets, winners beyond (V, H)."""
    heads = Heads(refinement)
    rays = np.column_stack([window.vertices, np.ones(len(window.vertices))]) / refinement.scaling
    rays /= np.abs(rays).max(axis=1, keepdims=True)
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
                float(heads.sizes.max()),
                float(heads.errors.max()),
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
