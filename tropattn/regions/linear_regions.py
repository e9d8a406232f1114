"""Linear regions: cells joined where nothing but the routing changes between them (theory T13).

Two cells belong together if their affine maps are exactly equal and their closures meet in
dimension ``d - 1``; the regions are the connected components. Values on walls are ignored, so a
jump between two equal pieces does not part them, and cells that differ in two winners may share a
piece of wall. On a slice the maps are those of the slice's parameters.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import networkx as nx

from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.integer_rows import Row, on_wall, strictly_feasible, tightened
from tropattn.regions.depth_cells import DepthCell
from tropattn.regions.result import RegionCount
from tropattn.tropical.stage import RoutingStage

if TYPE_CHECKING:
    from tropattn.regions.depth import Report

__all__ = ["adjacency", "count_linear_regions", "region_graph", "share_wall"]


def count_linear_regions(
    stages: Sequence[RoutingStage],
    domain: Domain | None = None,
    *,
    max_cells: int | None = None,
    threads: int | None = None,
    report: Report | None = None,
) -> RegionCount:
    """Count the linear regions of a sequence of stages exactly (theory T13).

    Parameters and errors as in ``regions.depth.count_depth``; a lower bound that an error carries
    counts distinct maps. ``stats`` has the number of cells. Cost: that of listing the cells, and
    one small linear program for each pair of cells with one map that lie on opposite sides of one
    hyperplane.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> from tropattn.tropical.stage import Linear
    >>> import numpy as np
    >>> idle = RoutingStage((TropicalPolynomial([[0], [1]]),), Linear(np.eye(1), np.zeros(1)))
    >>> found = count_linear_regions([idle])        # two cells with one map
    >>> found.value, found.stats["cells"]
    (1, 2)
    """
    from tropattn.regions.depth import Tower, all_cells, domain_name

    started = time.perf_counter()
    tower = Tower(stages, domain)
    cells = all_cells(
        tower, mapped=True, max_cells=max_cells, threads=threads, report=report, distinct=True
    )
    graph = region_graph(cells, spanning=True, report=report)
    value = nx.number_connected_components(graph)
    stats: dict[str, Any] = {"cells": len(cells), "stages": len(stages), **tower.inner.stats()}
    stats["maps"] = len({cell.key() for cell in cells})
    stats["seconds"] = time.perf_counter() - started
    where = domain_name(stages, domain)
    return RegionCount(value, "exact", "linear_regions", where, "depth", True, 0, stats)


def region_graph(
    cells: Sequence[DepthCell], spanning: bool = False, report: Report | None = None
) -> nx.Graph[int]:
    """The graph on cells with an edge where two of equal map share a piece of wall (T13).

    Its components are the linear regions. ``spanning`` leaves out edges between cells that are
    connected already, which is faster and has the same components. ``report`` is called with the
    number of cells and of those still to be joined, a few times a second.
    """
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        groups[cell.key()].append(i)
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(len(cells)))
    joined = nx.utils.UnionFind(range(len(cells)))
    clock, left = time.monotonic(), len(cells)
    for members in groups.values():
        left -= len(members)
        for i, j, row in _opposite(cells, members):
            if report is not None and time.monotonic() - clock > 0.25:
                clock = time.monotonic()
                report(len(cells), left + len(members))
            if spanning and joined[i] == joined[j]:
                continue
            if share_wall(cells[i], cells[j], row):
                graph.add_edge(i, j)
                joined.union(i, j)
    return graph


def adjacency(cells: Sequence[DepthCell]) -> nx.Graph[int]:
    """The graph on cells with an edge where two closures meet in dimension ``d - 1``."""
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(len(cells)))
    for i, j, row in _opposite(cells, range(len(cells))):
        if share_wall(cells[i], cells[j], row):
            graph.add_edge(i, j)
    return graph


def _opposite(cells: Sequence[DepthCell], members: Sequence[int]) -> Iterator[tuple[int, int, Row]]:
    """Pairs of cells that have a wall in one hyperplane, from opposite sides, and the wall."""
    if len(members) < 2:
        return
    sides: dict[Row, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i in members:
        for row in tightened(cells[i].walls, cells[i].frame):
            lead = next(v for v in row if v != 0)
            up = row if lead > 0 else tuple(-v for v in row)
            sides[up][lead < 0].append(i)
    for row, (below, above) in sides.items():
        for i, j in product(below, above):
            yield i, j, row


def share_wall(first: DepthCell, second: DepthCell, row: Row) -> bool:
    """Whether the closures of two cells meet in dimension ``d - 1`` inside the hyperplane ``row``.

    They do exactly if some point of the hyperplane satisfies all other rows of both strictly.
    """
    opposite = tuple(-v for v in row)
    rows = [r for r in dict.fromkeys([*first.walls, *second.walls]) if r not in (row, opposite)]
    local = first.frame.local([row, *rows])
    return strictly_feasible(on_wall(local[0], local[1:]))
