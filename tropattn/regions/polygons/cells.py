"""Cells of heads in a bounded window of a plane as polygons: areas, and who touches whom.

Two roads. Where keys are many and the walls are proved to meet in simple crossings only, the cells
are the faces of their graph (``plane_graph``): patterns and neighbours are proved, and corners are
doubles with an error bound. Elsewhere the patterns come from the enumeration engine, proved, and
corners and neighbours from exact numbers (``plane_exact``), which also place the corners of the
graph whose bound is too large, such as those of keys that are nearly equal. Both roads run in
coordinates of the window (``plane_frame``), so that a tiny or far one is drawn as well as any.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_fractions, is_whole
from tropattn.errors import EngineError, InvalidInput
from tropattn.polyhedra.domain import Domain, as_domain
from tropattn.regions.budget import Budget
from tropattn.regions.polygons.exact import ExactCells
from tropattn.regions.polygons.half_edges import graph_cells
from tropattn.regions.polygons.window import UnitWindow, window_frame
from tropattn.regions.result import one_cell
from tropattn.regions.search.enumeration import explore
from tropattn.tables import Tabular, winners_by_head
from tropattn.threads import aside, interrupted, stoppable
from tropattn.tolerance import UNIT
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.stage import stages_of
from tropattn.values import Value, counted

__all__ = ["FEW_KEYS", "PlaneCells", "plane_cells"]


FEW_KEYS = 48
"""Keys in all up to which cells are few, and kernels of the graph not worth compiling."""

_NEAR = 2.0**-33
"""Corners that may be off by more than this times the window's area are placed exactly.

The areas are in the window's own coordinates, where no cell's perimeter is more than 8: so each is
right to 1e-9 of the window's.
"""


@dataclass(frozen=True, eq=False, repr=False)
class PlaneCells(Tabular, Value):
    """The cells of a layer in a window of a plane.

    Attributes
    ----------
    patterns : (R, H) int32 winners, in lexicographic order.
    local, offsets : (V, 2) corners u, counterclockwise; cell r has
        ``local[offsets[r]:offsets[r + 1]]``. In the plane's parameters ``centre + scale * u``.
        Corners of a cell thinner than doubles can draw may be equal.
    centre, scale : (2,) ``Fraction``s; they put the window into (-1, 1)^2.
    neighbours : (V,) the cell beyond the side that ends in each corner, proved; -1 beyond the
        window.
    """

    _SHAPES: ClassVar[tuple[str, ...]] = (".geojson",)

    patterns: NDArray[np.int32]
    local: NDArray[np.float64]
    offsets: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    centre: Array
    scale: Array

    def __repr__(self) -> str:
        heads = counted(self.patterns.shape[1], "head")
        return f"PlaneCells({counted(len(self), 'cell')} of {heads} in a window of a plane)"

    def __len__(self) -> int:
        return len(self.patterns)

    @cached_property
    def corners(self) -> NDArray[np.float64]:
        """Corners in the plane's parameters, (V, 2): those of ``local``, rounded."""
        near = self.centre.astype(np.float64)
        lost = (self.centre - as_fractions(near)).astype(np.float64)
        return near + (self.local * self.scale.astype(np.float64) + lost)

    def rows(self) -> list[dict[str, Any]]:
        """A row a cell: its number, the winner of each head, its area and number of sides."""
        sides = np.diff(self.offsets).tolist()
        parts = zip(self.patterns.tolist(), self.areas.tolist(), sides, strict=True)
        return [
            {"cell": r, **winners_by_head(pattern), "area": area, "sides": side}
            for r, (pattern, area, side) in enumerate(parts)
        ]

    def _shapes(self, ending: str) -> str:
        features = []
        for r, row in enumerate(self.rows()):
            ring = self.polygon(r).tolist()
            beyond = self.neighbours[self.offsets[r] : self.offsets[r + 1]]
            near = sorted({int(i) for i in beyond if i >= 0})
            shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
            features.append(
                {"type": "Feature", "geometry": shape, "properties": {**row, "neighbours": near}}
            )
        return json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False)

    def polygon(self, cell: int) -> NDArray[np.float64]:
        """Corners of one cell, (k, 2)."""
        if not is_whole(cell) or not -len(self) <= cell < len(self):
            raise InvalidInput(
                f"cell: an index in 0..{len(self) - 1} needed, got {cell!r}; rows of patterns."
            )
        cell = int(cell) % len(self)
        return self.corners[self.offsets[cell] : self.offsets[cell + 1]]

    @property
    def areas(self) -> NDArray[np.float64]:
        """Area of each cell in the plane's parameters, (R,), to 1e-9 of the window's."""
        # One side at a time: the area of a window may pass the doubles, and is infinite then.
        with np.errstate(over="ignore"):
            return self._local_areas * float(self.scale[0]) * float(self.scale[1])

    @cached_property
    def _local_areas(self) -> NDArray[np.float64]:
        first = np.repeat(self.offsets[:-1], np.diff(self.offsets))
        following = np.arange(len(self.local)) + 1
        following[self.offsets[1:] - 1] = self.offsets[:-1]
        a = self.local - self.local[first]
        b = a[following]
        cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        return np.abs(np.add.reduceat(cross, self.offsets[:-1])) / 2

    def adjacency(self) -> nx.Graph[int]:
        """The graph on cells with an edge where two of them share a side."""
        graph: nx.Graph[int] = nx.empty_graph(len(self))
        cells = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        inner = self.neighbours >= 0
        graph.add_edges_from(
            zip(cells[inner].tolist(), self.neighbours[inner].tolist(), strict=True)
        )
        return graph


@stoppable(one_cell)
def plane_cells(
    target: Any,
    domain: Domain,
    *,
    max_cells: int = 1_000_000,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
    time_limit: float | None = None,
) -> PlaneCells:
    """Cells of heads in a bounded window of a plane, as polygons (theory T10).

    Parameters
    ----------
    target : heads (``TropicalPolynomial``s, or a ``FixedLayer``) on R^2, on R^d with a ``Slice``.
    domain : a bounded ``Box`` or ``Polytope`` in R^2, or a ``Slice`` with a bounded window.
    stop : an event that ends the call from another thread, as in ``count_regions``.

    Raises
    ------
    InvalidInput : several layers, or a domain that is not a bounded piece of a plane.
    BudgetExceeded, Interrupted : with ``.lower``.
    EngineError : cells that do not tile the window, which contradicts the proofs.

    Cost ``O(sum_h N_h^2)`` for the diagrams, then ``O(log R)`` per cell, ``O(1)`` for each pair of
    a wall and a head, and the output, whose largest part is ``patterns``. Of a few keys, or where
    walls do not meet in simple crossings: that of ``enumerate_regions``, and some 0.2 ms per cell
    in exact numbers.

    >>> from tropattn import Box, TropicalPolynomial
    >>> cells = plane_cells([TropicalPolynomial([[0, 0], [1, 0]])], Box([-1, -1], [3, 1]))
    >>> cells.patterns.tolist(), cells.areas.round(9).tolist(), list(cells.adjacency().edges)
    ([[0], [1]], [2.0, 6.0], [(0, 1)])
    """
    stages, where = stages_of(target), as_domain(domain)
    budget = Budget.checked(max_cells, threads)
    budget.report = report
    if len(stages) != 1 or where is None or where.dim != 2:
        got = "the whole space" if where is None else where.describe()
        raise InvalidInput(
            f"domain: a bounded window of a plane and one layer needed, got {got} and "
            f"{len(stages)} layers; pass a Box in R^2 or a Slice with a window."
        )
    refinement = aside(Refinement.ready(stages[0].units, where).without_twins)
    frame = aside(window_frame, refinement)
    few = len(refinement.terms) <= FEW_KEYS
    graph = None if few else graph_cells(frame.system, budget)
    if graph is None:
        found = explore(refinement, budget, emit=True)
        patterns = refinement.pattern(np.vstack(found.patterns))
        patterns = patterns[np.lexsort(patterns.T[::-1])]
    else:
        patterns = graph[0]
    try:
        cells = aside(_drawn, frame, patterns, graph, refinement)
        _check(cells, frame)
    except KeyboardInterrupt:
        # All are found, not yet all drawn.
        raise interrupted(len(patterns)) from None
    return cells


def _drawn(
    frame: UnitWindow,
    patterns: Array,
    graph: tuple[Array, Array, Array, Array] | None,
    refinement: Refinement,
) -> PlaneCells:
    """All cells as polygons: from the graph of walls, or exactly where there is none."""
    drawn = ExactCells(frame, patterns).outlines() if graph is None else _placed(frame, *graph)
    # A twin repeats a column before it, so the order of the rows stays lexicographic.
    return PlaneCells(refinement.of_all_heads(patterns), *drawn, frame.centre, frame.scale)


def _placed(
    frame: UnitWindow, patterns: Array, corners: Array, offsets: Array, neighbours: Array
) -> tuple[Array, Array, Array]:
    """Corners (V, 2), offsets and neighbours of the graph, each corner near its place.

    Where doubles leave a corner open, it is computed exactly from the two walls that meet there.
    """
    limit = _NEAR * frame.polygon.area
    rough = np.flatnonzero(~(corners[:, 2] <= limit))
    local = np.ascontiguousarray(corners[:, :2])
    if len(rough):
        cells = np.searchsorted(offsets, rough, side="right") - 1
        following = np.where(rough + 1 < offsets[cells + 1], rough + 1, offsets[cells])
        sides = np.column_stack([cells, neighbours[rough], neighbours[following]])
        used, numbers = np.unique(np.concatenate([cells, sides[sides >= 0]]), return_inverse=True)
        sides[sides >= 0] = numbers[len(cells) :]
        exact = ExactCells(frame, patterns[used])
        local[rough] = [exact.place(*row) for row in sides.tolist()]
    return local, offsets, np.maximum(neighbours, -1)


def _check(cells: PlaneCells, frame: UnitWindow) -> None:
    """The areas add up to the window's, in its own coordinates and up to rounding."""
    total = cells._local_areas.sum()
    if not abs(total - frame.polygon.area) <= 64 * UNIT * (len(cells.local) + 16):
        raise EngineError(
            f"cells: areas that add up to {frame.polygon.area} needed, got {total}; "
            "please report the input."
        )
