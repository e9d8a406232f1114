"""Routing stages: the one shape in which every layer reaches the counting engines.

A stage is a list of routing units (tropical polynomials of the current state) and, for networks,
the affine map that each routing pattern applies to the state (theory T12). A list of heads is a
stage without maps. Engines, samplers and bounds see stages only, never tokens or keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap

__all__ = ["RoutingStage", "on_parameters", "stages_of"]


@dataclass(frozen=True, slots=True, eq=False)
class RoutingStage:
    """Units on one common space, and what each pattern ``(j_1, ..., j_H)`` does to the state.

    ``maps`` takes a pattern to an affine map, or is None where only the cells are asked for.
    """

    units: tuple[TropicalPolynomial, ...]
    maps: Callable[[Sequence[int]], AffineMap] | None = None

    def __post_init__(self) -> None:
        if not self.units:
            raise InvalidInput("target: at least one head needed, got none; pass polynomials.")
        for h, unit in enumerate(self.units):
            if not isinstance(unit, TropicalPolynomial):
                raise InvalidInput(
                    f"target: tropical polynomials needed, got {type(unit).__name__} at {h}; "
                    "build one with TropicalPolynomial(slopes, intercepts)."
                )
            if unit.dim != self.units[0].dim:
                raise InvalidInput(
                    f"target: heads on one space needed, got R^{self.units[0].dim} for head 0 and "
                    f"R^{unit.dim} for head {h}; pull them back to a common variable."
                )

    @property
    def dim(self) -> int:
        """Dimension of the state that enters the stage."""
        return self.units[0].dim


def stages_of(target: Any) -> tuple[RoutingStage, ...]:
    """The stages of a polynomial, a sequence of polynomials, a ``FixedLayer`` or a ``Network``."""
    if isinstance(target, TropicalPolynomial):
        return (RoutingStage((target,)),)
    if isinstance(target, RoutingStage):
        return (target,)
    if hasattr(target, "stages"):
        return tuple(target.stages())
    if isinstance(target, Sequence) and not isinstance(target, str | bytes):
        return (RoutingStage(tuple(target)),)
    raise InvalidInput(
        "target: a TropicalPolynomial, a list of them, a FixedLayer or a Network needed, got "
        f"{type(target).__name__}; build one with TropicalPolynomial or layer.fix(states)."
    )


def on_parameters(
    units: Sequence[TropicalPolynomial], domain: Domain | None
) -> tuple[TropicalPolynomial, ...]:
    """The units as polynomials of the domain's parameters (factors kept)."""
    if domain is None:
        return tuple(units)
    for unit in units:
        if unit.dim != domain.ambient_dim:
            raise InvalidInput(
                f"domain: a set in R^{unit.dim} needed, got {domain.describe()}; "
                "domain and target must share their variable."
            )
    if domain.embedding is None:
        return tuple(units)
    matrix, offset = domain.embedding
    return tuple(unit.pullback(matrix, offset) for unit in units)
