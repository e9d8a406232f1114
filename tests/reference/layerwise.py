"""Stages asked of the engines of networks, past the door, which gives one stage to others."""

from __future__ import annotations

from tropattn.regions.budget import Budget
from tropattn.regions.networks.layerwise import Layerwise
from tropattn.regions.networks.linear_regions import LinearRegions
from tropattn.regions.networks.relu_plane import ReluPlane
from tropattn.regions.question import Question


def _question(stages, domain, of="cells", **budget):
    return Question(tuple(stages), domain, of, budget=Budget(**budget))


def count_layerwise(stages, domain=None, **budget):
    """The cells of stages, an engine's ``Found``."""
    return Layerwise().count(_question(stages, domain, **budget))


def count_linear_regions(stages, domain=None, **budget):
    """The linear regions of stages."""
    return LinearRegions().count(_question(stages, domain, "linear_regions", **budget))


def list_layerwise(stages, domain=None, **budget):
    """The cells of stages with their exact walls and maps."""
    return Layerwise().cells(_question(stages, domain, **budget))


def count_relu_plane(stages, domain, **budget):
    """The cells of ReLU and affine stages on a window of a plane."""
    return ReluPlane().count(_question(stages, domain, **budget))


def on_relu_plane(stages, domain):
    """Whether the plane engine of networks takes them."""
    return ReluPlane().refuses(_question(stages, domain)) is None
