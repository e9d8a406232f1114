"""The table of engines: a new one is a file of its own and a word here."""

from __future__ import annotations

from tropattn.regions.euler.plane import EulerPlane
from tropattn.regions.euler.strata import Strata
from tropattn.regions.lines.envelopes import Envelopes
from tropattn.regions.lines.moving_tokens import MovingTokens
from tropattn.regions.networks.layerwise import Layerwise
from tropattn.regions.networks.linear_regions import LinearRegions
from tropattn.regions.networks.relu_plane import ReluPlane
from tropattn.regions.question import Engine
from tropattn.regions.search.direct_sum import DirectSum
from tropattn.regions.search.enumeration import Enumeration

__all__ = ["ENGINES", "engines_table"]

OF_HEADS: tuple[Engine, ...] = (EulerPlane(), Strata(), Enumeration())
"""Those that count the groups of a direct sum."""

ENGINES: tuple[Engine, ...] = (
    MovingTokens(),
    ReluPlane(),
    LinearRegions(),
    Layerwise(),
    Envelopes(),
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
