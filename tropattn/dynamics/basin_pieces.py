"""Basins of leaders in a window of the plane as exact polygons.

A probe at ``x`` steps to ``x + g (z_j - x)`` where token j wins, and winners do not change under
scaling: in the variable ``y_t = (1 + alpha)^t x_t`` a layer is ``y + alpha (1 + alpha)^t z_j``, a
residual attention layer (theory T12). So basins are unions of cells of a network, which the
layer-by-layer engine finds exactly.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from tropattn.arrays import fraction_array, of_kind
from tropattn.dynamics.hardmax import Hardmax
from tropattn.dynamics.limits import settled_layers
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Box
from tropattn.polyhedra.polygon import Polygon, cut_by_walls, exact_polygon
from tropattn.regions.budget import Budget
from tropattn.regions.networks.layerwise import LayerwiseRefinement
from tropattn.tropical.stage import RoutingStage, Selected

__all__ = ["basin_pieces"]


_MAX_CELLS = 20_000
_FURTHER = (0, 2, 5)
"""Layers beyond the settled one that are tried until every piece has a leader."""


def basin_pieces(model: Hardmax, tokens: Any, window: Box) -> list[tuple[Polygon, int]]:
    """The window cut into convex pieces, each with the leader that its probes tend to.

    Parameters
    ----------
    model, tokens : as for ``basins``; tokens of the plane.
    window : a box in R^2.

    Returns
    -------
    list
        (polygon, leader) pairs that tile the window: a piece for each sequence of winners. Leader
        -1 where five layers after the settled one no leader has won yet.

    Raises
    ------
    InvalidInput : tokens that are not in the plane.
    Inconclusive : no settled layer. BudgetExceeded : more than 20,000 pieces.

    Notes
    -----
    Walls are exact, corners rounded once. Cost: O(n) for each piece and layer, in rationals.

    >>> square = [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    >>> pieces = basin_pieces(Hardmax(1), square, Box([-2, -2], [2, 2]))
    >>> sorted((leader, polygon.area) for polygon, leader in pieces)
    [(0, 4.0), (1, 4.0), (2, 4.0), (3, 4.0)]
    """
    of_kind("model", model, Hardmax, "basins are those of hardmax layers")
    if model.check_tokens(tokens).shape[1] != 2:
        raise InvalidInput("tokens: two coordinates needed for polygons; use basins elsewhere.")
    states, leaders, settled = settled_layers(model, tokens, _FURTHER[-1])
    growth = 1 + Fraction(model.alpha)
    stages = []
    for t, state in enumerate(states):
        rows = fraction_array(state)
        values = Fraction(model.alpha) * growth**t * rows
        update = Selected((values,), np.zeros(2), residual=True)
        stages.append(RoutingStage((model.polynomial(rows),), update))
    found: list[tuple[tuple[int, ...], Any]] = []
    for more in _FURTHER:
        refinement = LayerwiseRefinement(stages[: settled + more + 1], window)
        cells = refinement.levels(Budget(_MAX_CELLS))[-1]
        found = [(cell.pattern, cell.walls) for cell in cells]
        if all(_leader(pattern, settled, leaders) >= 0 for pattern, _ in found):
            break
    whole = exact_polygon(window)
    return [
        (cut_by_walls(walls, *whole), _leader(pattern, settled, leaders))
        for pattern, walls in found
    ]


def _leader(pattern: tuple[int, ...], settled: int, leaders: frozenset[int]) -> int:
    return next((j for j in pattern[settled:] if j in leaders), -1)
