"""Figures: drawn from exact counts, in doubles, without global matplotlib state.

Every function returns a ``matplotlib.figure.Figure`` of its own; ``save`` writes it.
"""

from __future__ import annotations

from tropattn.outputs import save
from tropattn.plotting.along import line
from tropattn.plotting.decisions import boundary
from tropattn.plotting.duality import dual
from tropattn.plotting.growth import growth
from tropattn.plotting.hull import polytope
from tropattn.plotting.plane import diagram, panels, partition
from tropattn.plotting.space import space

__all__ = [
    "boundary",
    "diagram",
    "dual",
    "growth",
    "line",
    "panels",
    "partition",
    "polytope",
    "save",
    "space",
]


def __dir__() -> list[str]:
    return sorted(__all__)
