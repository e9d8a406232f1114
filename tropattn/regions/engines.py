"""The table of engines: a new one is a file of its own and a word here."""

from __future__ import annotations

from tropattn.regions.depth import Layerwise
from tropattn.regions.direct_sum import DirectSum
from tropattn.regions.enumeration import Enumeration
from tropattn.regions.line import Line
from tropattn.regions.linear_regions import LinearRegions
from tropattn.regions.live_lines import MovingTokens
from tropattn.regions.plane import Plane
from tropattn.regions.question import Engine
from tropattn.regions.relu_plane import ReluPlane
from tropattn.regions.subsets import Strata

__all__ = ["ENGINES", "engines_table"]

OF_HEADS: tuple[Engine, ...] = (Plane(), Strata(), Enumeration())
"""Those that count the groups of a direct sum."""

ENGINES: tuple[Engine, ...] = (
    MovingTokens(),
    ReluPlane(),
    LinearRegions(),
    Layerwise(),
    Line(),
    DirectSum(OF_HEADS),
    *OF_HEADS,
)
"""In the order in which they are asked; the last one of each kind of question never refuses."""


def engines_table() -> str:
    """The engines as the Markdown table of docs/engines.md."""
    head = (
        "| engine | where | idea | cost | when it cannot prove its case |\n|---|---|---|---|---|\n"
    )
    rows = []
    for engine in ENGINES:
        asked = f", by name `{engine.name}`" if engine.label else ""
        name = f"`{engine.label or engine.name}`{asked}"
        row = (name, engine.where, engine.idea, engine.cost, engine.otherwise)
        rows.append(f"| {' | '.join(row)} |\n")
    return head + "".join(rows)
