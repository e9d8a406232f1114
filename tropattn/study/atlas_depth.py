"""The partition of a plane behind each layer of a network, as an atlas draws it (T12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.networks.network import Network
from tropattn.errors import BudgetExceeded
from tropattn.polyhedra.domain import Slice
from tropattn.polyhedra.polygon import Polygon, cut_by_walls, exact_polygon
from tropattn.regions.budget import Budget
from tropattn.regions.networks.layerwise import LayerwiseRefinement
from tropattn.tropical.stage import stages_of

__all__ = ["Partition", "behind_layers"]


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """The cells behind a layer, counted from 0: polygons in the plane's parameters.

    ``winners`` are the keys that the heads of that layer choose in each cell, by their tokens; none
    behind layers without heads. Where cells are too many, ``kind`` is ``"lower"`` and no cell is
    there.
    """

    layer: int
    kind: str
    value: int
    polygons: tuple[Polygon, ...] = ()
    winners: tuple[tuple[int, ...], ...] = ()


def behind_layers(net: Network, plane: Slice, max_cells: int) -> Iterator[Partition]:
    """The partitions behind each layer that routes, in order, up to one with too many cells.

    Cost: one refinement layer by layer for each depth, of which the last is the dearest.
    """
    assert plane.window is not None
    window = exact_polygon(plane.window)
    for k, layer in enumerate(net.layers):
        stages = list(stages_of(Network(net.layers[: k + 1])))
        if max(unit.n_terms for unit in stages[-1].units) == 1:
            continue
        try:
            cells = LayerwiseRefinement(stages, plane).levels(Budget(max_cells))[-1]
        except BudgetExceeded as error:
            yield Partition(k, "lower", error.lower)
            return
        winners: list[tuple[int, ...]] = []
        if isinstance(layer, FixedLayer):
            width = len(layer.heads)
            winners = [
                tuple(int(own[j]) for own, j in zip(layer.tokens, c.pattern[-width:], strict=True))
                for c in cells
            ]
        polygons = tuple(cut_by_walls(cell.walls, *window) for cell in cells)
        yield Partition(k, "exact", len(cells), polygons, tuple(winners))
