"""Cells of heads in a bounded window of a plane as polygons: areas, and who touches whom.

The patterns come from the enumeration engine and are proved; corners, areas and neighbours are
computed in doubles, for measuring and drawing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import plane
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, Slice
from tropattn.polyhedra.polygon import Polygon, window_polygon
from tropattn.regions.enumeration import explore
from tropattn.regions.plane import Heads
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
    beyond : (V, H) winners just beyond the side that ends in each corner; -1 beyond the window.
    """

    patterns: NDArray[np.int32]
    corners: NDArray[np.float64]
    offsets: NDArray[np.int64]
    beyond: NDArray[np.int32]

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
        following[self.offsets[1:] - 1] = self.offsets[:-1]
        a = self.corners - self.corners[first]
        b = self.corners[following] - self.corners[first]
        cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        return np.abs(np.add.reduceat(cross, self.offsets[:-1])) / 2

    def adjacency(self) -> nx.Graph[int]:
        """The graph on cells with an edge where two of them share a side."""
        index = {pattern.tobytes(): i for i, pattern in enumerate(self.patterns)}
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(len(self)))
        cells = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        for cell, pattern in zip(cells.tolist(), self.beyond, strict=True):
            other = index.get(pattern.tobytes())
            if other is not None:
                graph.add_edge(cell, other)
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

    Cost of ``enumerate_regions`` and O(n) a corner, for n keys in all.

    >>> from tropattn import Box, TropicalPolynomial
    >>> cells = plane_cells([TropicalPolynomial([[0, 0], [1, 0]])], Box([-1, -1], [3, 1]))
    >>> cells.patterns.tolist(), cells.areas.tolist(), list(cells.adjacency().edges)
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
    outcome = explore(refinement, emit=True, max_cells=max_cells, threads=threads, report=report)
    rows = np.vstack(outcome.patterns)
    patterns = refinement.pattern(rows)
    order = np.lexsort(patterns.T[::-1])
    return _polygons(refinement, window, rows[order], patterns[order], threads)


def _polygons(
    refinement: Refinement,
    window: Polygon,
    rows: Array,
    patterns: Array,
    threads: int | None,
) -> PlaneCells:
    heads = Heads(refinement)
    rays = np.column_stack([window.vertices, np.ones(len(window.vertices))]) / refinement.scaling
    rays /= np.abs(rays).max(axis=1, keepdims=True)
    # Row m holds the side that ends in corner m, negative inside.
    sides = np.cross(rays, np.roll(rays, 1, axis=0))
    still = np.zeros(len(rays))
    start = (np.ascontiguousarray(sides), still, np.full(len(rays), -1), rays, still)
    stop = np.zeros(1, np.int64)

    def work(first: int) -> tuple[Array, Array, Array]:
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

    corners, sizes, beyond = [], [], []
    for part, offsets, other in in_order(work, range(0, len(rows), _CELLS), threads):
        corners.append(part)
        sizes.append(np.diff(offsets))
        beyond.append(other)
    outside = np.vstack(beyond)
    named = np.where(outside < 0, -1, refinement.pattern(np.maximum(outside, 0)))
    return PlaneCells(
        patterns,
        refinement.to_parameters(np.vstack(corners)),
        np.concatenate([[0], np.cumsum(np.concatenate(sizes))]),
        named.astype(np.int32),
    )
