"""Neighbours: cells whose closures meet in dimension ``d - 1``, and the linear regions they form.

Two cells belong to one linear region if their affine maps are exactly equal and they are
neighbours; the regions are the connected components (theory T13). Values on walls are ignored, so a
jump between two equal pieces does not part them, and cells that differ in two winners may share a
piece of wall. On a slice the maps are those of the slice's parameters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Protocol

import networkx as nx

from tropattn.polyhedra.integer_rows import Frame, Row, on_wall, strictly_feasible, tightened
from tropattn.regions.budget import Budget

__all__ = ["WalledCell", "adjacency", "region_graph", "share_wall"]


class WalledCell(Protocol):
    """An open polyhedron: rows ``r`` with ``<r, (p, 1)> < 0`` inside, and coordinates near it."""

    @property
    def walls(self) -> tuple[Row, ...]:
        """Primitive integer rows; some may be redundant."""
        ...

    @property
    def frame(self) -> Frame:
        """Local coordinates in which the cell is of order 1."""
        ...

    def key(self) -> tuple[int, ...]:
        """A tuple that is equal exactly for equal maps."""
        ...


def region_graph(
    cells: Sequence[WalledCell], spanning: bool = False, budget: Budget | None = None
) -> nx.Graph[int]:
    """The graph on cells with an edge where two of equal map share a piece of wall (T13).

    Its components are the linear regions. ``spanning`` leaves out edges between cells that are
    connected already, which is faster and has the same components. ``budget`` is told the number of
    cells and of those still to be joined.
    """
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        groups[cell.key()].append(i)
    graph: nx.Graph[int] = nx.empty_graph(len(cells))
    joined = nx.utils.UnionFind(range(len(cells)))
    left = len(cells)
    for members in groups.values():
        left -= len(members)
        for i, j, row in _opposite(cells, members):
            if budget is not None:
                budget.tell(len(cells), left + len(members))
            if spanning and joined[i] == joined[j]:
                continue
            if share_wall(cells[i], cells[j], row):
                graph.add_edge(i, j)
                joined.union(i, j)
    return graph


def adjacency(cells: Sequence[WalledCell]) -> nx.Graph[int]:
    """The graph on cells with an edge where two closures meet in dimension ``d - 1``."""
    graph: nx.Graph[int] = nx.empty_graph(len(cells))
    for i, j, row in _opposite(cells, range(len(cells))):
        if share_wall(cells[i], cells[j], row):
            graph.add_edge(i, j)
    return graph


def _opposite(
    cells: Sequence[WalledCell], members: Sequence[int]
) -> Iterator[tuple[int, int, Row]]:
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


def share_wall(first: WalledCell, second: WalledCell, row: Row) -> bool:
    """Whether the closures of two cells meet in dimension ``d - 1`` inside the hyperplane ``row``.

    They do exactly if some point of the hyperplane satisfies all other rows of both strictly.
    """
    opposite = tuple(-v for v in row)
    rows = [r for r in dict.fromkeys([*first.walls, *second.walls]) if r not in (row, opposite)]
    local = first.frame.local([row, *rows])
    return strictly_feasible(on_wall(local[0], local[1:]))
