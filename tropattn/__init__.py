"""tropattn: how attention at zero temperature cuts up space, counted exactly.

The package reads in the order of its data flow, each row using only the rows below it in
``docs/architecture.md``:

    weights -> heads -> tropical polynomials = power diagrams -> Newton polytopes
            -> Minkowski sum = common refinement -> cells, counted and listed
            -> bound and sampler as independent witnesses -> record -> report, plots

Names are imported when first used, so that ``tropattn --help`` answers at once and a command can
be stopped while it still loads.

>>> import tropattn as ta
>>> head = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
>>> int(ta.count_regions(head)), int(ta.bounds.layer([3], 2))
(3, 3)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tropattn import errors

if TYPE_CHECKING:
    from tropattn import dynamics, plotting
    from tropattn.attention import constructions, initialisers
    from tropattn.attention.evaluated.residual import ResidualSteering, steer_residual
    from tropattn.attention.heads.fixed import FixedLayer
    from tropattn.attention.heads.head import AttentionHead
    from tropattn.attention.heads.layer import AttentionLayer
    from tropattn.attention.heads.rotary import RotaryEmbedding
    from tropattn.attention.loading import from_torch, load, load_polynomials
    from tropattn.attention.networks.feedforward import Affine, FeedForward, Maxout
    from tropattn.attention.networks.model import Model
    from tropattn.attention.networks.moving import LiveNetwork
    from tropattn.attention.networks.network import Network
    from tropattn.errors import (
        BudgetExceeded,
        Degenerate,
        EngineError,
        Inconclusive,
        Interrupted,
        InvalidInput,
        TropAttnError,
    )
    from tropattn.polyhedra.domain import Box, Line, Polytope, Slice
    from tropattn.polyhedra.minkowski import MinkowskiSum, minkowski_sum
    from tropattn.polyhedra.polyhedron import Polyhedron
    from tropattn.regions import bounds
    from tropattn.regions.complex import RegionComplex
    from tropattn.regions.count import count_regions, enumerate_regions, upper_bound
    from tropattn.regions.decisions import DecisionBoundary, decision_boundary
    from tropattn.regions.faces import FaceComplex, FaceCount, count_faces, face_complex
    from tropattn.regions.lines.envelopes import LineCells, line_cells
    from tropattn.regions.measure import CellMeasure, cell_measure
    from tropattn.regions.polygons.cells import PlaneCells, plane_cells
    from tropattn.regions.result import RegionCount
    from tropattn.regions.sampling.estimates import Sample, merge_samples
    from tropattn.regions.sampling.sampler import draw_sample, sample_regions
    from tropattn.tropical import temperature
    from tropattn.tropical.geometry.live_terms import LiveTerms, live_terms
    from tropattn.tropical.geometry.newton import NewtonPolytope
    from tropattn.tropical.geometry.subdivision import mixed_subdivision, mixed_volume, subdivision
    from tropattn.tropical.polynomial import PowerDiagram, TropicalPolynomial
    from tropattn.tropical.reading import read
    from tropattn.tropical.stage import RoutingStage
    from tropattn.tropical.steering import Steering, Wall, nearest_walls, steer

__all__ = [
    "Affine",
    "AttentionHead",
    "AttentionLayer",
    "Box",
    "BudgetExceeded",
    "CellMeasure",
    "DecisionBoundary",
    "Degenerate",
    "EngineError",
    "FaceComplex",
    "FaceCount",
    "FeedForward",
    "FixedLayer",
    "Inconclusive",
    "Interrupted",
    "InvalidInput",
    "Line",
    "LineCells",
    "LiveNetwork",
    "LiveTerms",
    "Maxout",
    "MinkowskiSum",
    "Model",
    "Network",
    "NewtonPolytope",
    "PlaneCells",
    "Polyhedron",
    "Polytope",
    "PowerDiagram",
    "RegionComplex",
    "RegionCount",
    "ResidualSteering",
    "RotaryEmbedding",
    "RoutingStage",
    "Sample",
    "Slice",
    "Steering",
    "TropAttnError",
    "TropicalPolynomial",
    "Wall",
    "bounds",
    "cell_measure",
    "constructions",
    "count_faces",
    "count_regions",
    "decision_boundary",
    "draw_sample",
    "dynamics",
    "enumerate_regions",
    "face_complex",
    "from_torch",
    "initialisers",
    "line_cells",
    "live_terms",
    "load",
    "load_polynomials",
    "merge_samples",
    "minkowski_sum",
    "mixed_subdivision",
    "mixed_volume",
    "nearest_walls",
    "plane_cells",
    "plotting",
    "read",
    "sample_regions",
    "steer",
    "steer_residual",
    "subdivision",
    "temperature",
    "upper_bound",
]

_NAMES = {
    "attention.heads.fixed": ("FixedLayer",),
    "attention.evaluated.residual": ("ResidualSteering", "steer_residual"),
    "attention.networks.feedforward": ("Affine", "FeedForward", "Maxout"),
    "attention.heads.head": ("AttentionHead",),
    "attention.heads.layer": ("AttentionLayer",),
    "attention.networks.moving": ("LiveNetwork",),
    "attention.loading": ("from_torch", "load", "load_polynomials"),
    "attention.networks.model": ("Model",),
    "attention.networks.network": ("Network",),
    "attention.heads.rotary": ("RotaryEmbedding",),
    "errors": errors.__all__,
    "polyhedra.domain": ("Box", "Line", "Polytope", "Slice"),
    "polyhedra.minkowski": ("MinkowskiSum", "minkowski_sum"),
    "polyhedra.polyhedron": ("Polyhedron",),
    "regions.complex": ("RegionComplex",),
    "regions.count": ("count_regions", "enumerate_regions", "upper_bound"),
    "regions.decisions": ("DecisionBoundary", "decision_boundary"),
    "regions.faces": ("FaceComplex", "FaceCount", "count_faces", "face_complex"),
    "regions.sampling.estimates": ("Sample", "merge_samples"),
    "regions.lines.envelopes": ("LineCells", "line_cells"),
    "regions.measure": ("CellMeasure", "cell_measure"),
    "regions.polygons.cells": ("PlaneCells", "plane_cells"),
    "regions.result": ("RegionCount",),
    "regions.sampling.sampler": ("draw_sample", "sample_regions"),
    "tropical.geometry.live_terms": ("LiveTerms", "live_terms"),
    "tropical.geometry.newton": ("NewtonPolytope",),
    "tropical.polynomial": ("PowerDiagram", "TropicalPolynomial"),
    "tropical.reading": ("read",),
    "tropical.stage": ("RoutingStage",),
    "tropical.steering": ("Steering", "Wall", "nearest_walls", "steer"),
    "tropical.geometry.subdivision": ("mixed_subdivision", "mixed_volume", "subdivision"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_PARTS = {
    "bounds": "regions.bounds",
    "constructions": "attention.constructions",
    "initialisers": "attention.initialisers",
    "temperature": "tropical.temperature",
}
"""Modules among the public names; every other module of the package has its own name."""


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    try:
        return import_module(f"{__name__}.{_PARTS.get(name, name)}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
