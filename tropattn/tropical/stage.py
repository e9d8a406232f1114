"""Routing stages: the one shape in which every layer reaches the counting engines.

A stage is a list of routing units (tropical polynomials of the current state) and, for networks,
the affine map that each routing pattern applies to the state (theory T12). A list of heads is a
stage without maps. Engines, samplers and bounds see stages only, never tokens or keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import as_fractions, fraction_array, freeze
from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap

__all__ = ["Always", "LiveTerm", "Readout", "RoutingStage", "stages_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """What winning *terms* add to the state: ``x -> [x +] offset + sum_h s_h(x) * weights_h``.

    ``s_h`` is the score of unit h's winner, so ReLU and maxout layers are of this kind, while an
    attention layer adds constants (theory T12). ``weights`` (H, d_out), ``offset`` (d_out,).
    """

    weights: NDArray[Any]
    offset: NDArray[Any]
    residual: bool

    def map(self, units: Sequence[TropicalPolynomial], pattern: Sequence[Any]) -> AffineMap:
        """The affine map of one pattern, multiplied out in rationals. Cost ``O(H d d_out)``.

        >>> relu = TropicalPolynomial([[0], [1]])
        >>> step = Readout(np.array([[3.0]]), np.zeros(1), True).map([relu], (1,))
        >>> step.matrix.tolist(), step.offset.tolist()       # x + 3 max(0, x), right of 0
        ([[Fraction(4, 1)]], [Fraction(0, 1)])
        """
        weights, total = as_fractions(self.weights), as_fractions(self.offset).copy()
        dim = units[0].dim
        matrix = as_fractions(np.eye(dim) if self.residual else np.zeros((dim, len(total)))).copy()
        for unit, choice, row in zip(units, pattern, weights, strict=True):
            # Tied terms are equal functions, so any of them will do.
            index = int(np.ravel(choice)[0])
            term = unit.exact_terms([index])
            slope = fraction_array(term)[0]
            matrix += np.outer(slope[:-1], row)
            total += slope[-1] * row
        return AffineMap(freeze(matrix), freeze(total))


@dataclass(frozen=True, slots=True, eq=False)
class Always:
    """The maps of a stage that does the same to the state whatever wins."""

    step: AffineMap

    def __call__(self, pattern: Sequence[Any]) -> AffineMap:
        """The one map."""
        return self.step


@dataclass(frozen=True, slots=True, eq=False)
class LiveTerm:
    """A term whose value moves with the state: where it wins alone, ``x @ matrix`` is added (T12).

    Where ``n`` equal terms win together, each gives an ``n``-th of its value. ``matrix`` is
    (d, d_out); constants belong to the stage's offset.
    """

    unit: int
    term: int
    matrix: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class RoutingStage:
    """Units on one common space, and what each pattern ``(j_1, ..., j_H)`` does to the state.

    ``maps`` takes a pattern to an affine map, or is None where only the cells are asked for. An
    entry of the pattern may be a sequence of tied terms, over which the layer averages. Without a
    ``readout`` a map is one matrix for all patterns, plus the ``live`` terms that win, and the
    offset is a sum over the units of what each winner adds; with one the output are scores of
    winners, and ``maps`` follows from it.
    """

    units: tuple[TropicalPolynomial, ...]
    maps: Callable[[Sequence[Any]], AffineMap] | None = None
    readout: Readout | None = None
    live: tuple[LiveTerm, ...] = ()

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
    if hasattr(target, "live_stack"):
        raise InvalidInput(
            f"target: fixed keys needed, got {type(target).__name__}, whose keys are live; those "
            "are counted and enumerated on lines only: use count_regions or enumerate_regions with "
            "a Line."
        )
    raise InvalidInput(
        "target: a TropicalPolynomial, a list of them, a FixedLayer or a Network needed, got "
        f"{type(target).__name__}; build one with TropicalPolynomial or layer.fix(states)."
    )
