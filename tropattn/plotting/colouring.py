"""Fills that differ across every wall of a picture."""

from __future__ import annotations

from typing import Any

import networkx as nx

from tropattn.plotting.style import FILLS

__all__ = ["colouring"]

_COLOURS = 8


def colouring(nodes: list[Any], edges: list[tuple[Any, Any]]) -> dict[Any, str]:
    """Fills that differ across every edge, all about equally often.

    Taken in smallest-last order, a cell of a plane picture meets at most 5 coloured neighbours.

    >>> found = colouring([0, 1, 2], [(0, 1), (1, 2)])
    >>> found[0] != found[1] != found[2]
    True
    """
    graph: nx.Graph[Any] = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((a, b) for a, b in edges if a in graph and b in graph)
    used = dict.fromkeys(FILLS[:_COLOURS], 0)
    chosen: dict[Any, str] = {}
    for node in nx.coloring.strategy_smallest_last(graph, {}):
        taken = {chosen[other] for other in graph[node] if other in chosen}
        fill = min(used, key=lambda name: (name in taken, used[name]))
        used[fill] += 1
        chosen[node] = fill
    return chosen
