"""The second wing: tokens that move through layers of attention.

    tokens -> flow or hardmax layers -> trajectory -> clusters, leaders, energy, horizons
    Gaussian -> closure -> covariance run -> phase

A layer's scores are the tropical polynomial of ``tropattn.tropical`` with the tokens as slopes, at
every temperature; ``regions.count`` counts its cells. Names are imported when first used.

>>> from tropattn.dynamics import Hardmax, simulate
>>> run = simulate(Hardmax(1), [[2], [1]], 3, engine="exact")
>>> run.leaders[0], run.states[3, 1, 0]
((0,), Fraction(15, 8))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tropattn.dynamics import closed_forms
    from tropattn.dynamics.diagnosis import (
        cluster_labels,
        metastable_windows,
        soft_hard_error,
        soft_hard_horizon,
    )
    from tropattn.dynamics.flow import (
        Flow,
        Head,
        attention_layer,
        residual_layer,
        sa,
        usa,
        velocity,
    )
    from tropattn.dynamics.gaussian import Gaussian, closure, freezing_level, simulate_gaussian
    from tropattn.dynamics.gram import sync_diagram
    from tropattn.dynamics.hardmax import Hardmax, coalescence_horizon, leader_margins
    from tropattn.dynamics.limits import basins, cells_per_layer, hardmax_limit
    from tropattn.dynamics.phase import Phase, classify
    from tropattn.dynamics.sentiment import SentimentModel, load_sentiment
    from tropattn.dynamics.trajectory import Trajectory, simulate

__all__ = [
    "Flow",
    "Gaussian",
    "Hardmax",
    "Head",
    "Phase",
    "SentimentModel",
    "Trajectory",
    "attention_layer",
    "basins",
    "cells_per_layer",
    "classify",
    "closed_forms",
    "closure",
    "cluster_labels",
    "coalescence_horizon",
    "freezing_level",
    "hardmax_limit",
    "leader_margins",
    "load_sentiment",
    "metastable_windows",
    "residual_layer",
    "sa",
    "simulate",
    "simulate_gaussian",
    "soft_hard_error",
    "soft_hard_horizon",
    "sync_diagram",
    "usa",
    "velocity",
]


def __dir__() -> list[str]:
    return sorted(__all__)


_NAMES = {
    "diagnosis": ("cluster_labels", "metastable_windows", "soft_hard_error", "soft_hard_horizon"),
    "flow": ("Flow", "Head", "attention_layer", "residual_layer", "sa", "usa", "velocity"),
    "gaussian": ("Gaussian", "closure", "freezing_level", "simulate_gaussian"),
    "gram": ("sync_diagram",),
    "hardmax": ("Hardmax", "coalescence_horizon", "leader_margins"),
    "limits": ("basins", "cells_per_layer", "hardmax_limit"),
    "phase": ("Phase", "classify"),
    "sentiment": ("SentimentModel", "load_sentiment"),
    "trajectory": ("Trajectory", "simulate"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "closed_forms":
        return importlib.import_module(f"{__name__}.closed_forms")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
