"""The engine of linear regions: cells joined where nothing but the routing changes between them."""

from __future__ import annotations

import networkx as nx

from tropattn.regions.adjacency import region_graph
from tropattn.regions.networks.layerwise import LayerwiseRefinement, all_cells, kept_cells
from tropattn.regions.question import Engine, Found, Question

__all__ = ["LinearRegions"]


class LinearRegions(Engine):
    """Lists the cells, and joins those of one map that share a piece of wall (theory T13).

    A lower bound that an error carries counts distinct maps.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> from tropattn.tropical.stage import Linear, RoutingStage
    >>> import numpy as np
    >>> idle = RoutingStage((TropicalPolynomial([[0], [1]]),), Linear(np.eye(1), np.zeros(1)))
    >>> found = LinearRegions().count(Question((idle,), of="linear_regions"))
    >>> found.value, found.stats["cells"]           # two cells with one map
    (1, 2)
    """

    name, label, ranges = "enumeration", "depth", True
    kinds = ("regions",)
    where = "linear regions of a layer or network, any domain"
    idea = "the cells of `depth`, joined where maps are equal and closures meet (T13)"
    cost = "that of the cells, and a small program per pair with one map and one hyperplane"
    otherwise = "it always can"

    def count(self, question: Question) -> Found:
        """The number of regions; ``stats`` has that of the cells and of the distinct maps."""
        refinement = LayerwiseRefinement(question.stages, question.domain)
        search = question.search("linear regions", question.stages)
        if search is None:
            cells = all_cells(refinement, question.budget, mapped=True, distinct=True)
            work = refinement.inner
        else:
            cells, work = kept_cells(refinement, question.budget, search)
        maps = len({cell.key() for cell in cells})
        stats = {"cells": len(cells), "stages": len(question.stages), **work.stats(), "maps": maps}
        if search is not None and not search.job.whole:
            # Cells that join two of these may be missing: distinct maps are regions in any case.
            return Found(maps, stats, self.label)
        graph = region_graph(cells, spanning=True, budget=question.budget)
        return Found(nx.number_connected_components(graph), stats, self.label)
