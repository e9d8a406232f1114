"""Stacks whose keys move: what a layer does to a sequence of states that all move (theory T11).

Where keys move, scores are products of two states and no tropical polynomials of one of them. So
these layers reach the engine of lines in their own shape: what a head reads from a query and from
a key, which tokens see which, and what every token goes through by itself. Engines see these
values only, never tokens or models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tropattn._types import Array
from tropattn.tropical.stage import RoutingStage
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value

__all__ = ["BilinearHead", "MovesTokens", "MovingAttention", "MovingPointwise", "TokenStack"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BilinearHead(Value):
    """A head's score ``scale <query(x), key(y) R>`` of two states, and the value of the second.

    Attributes
    ----------
    query, key : affine maps to R^{d_head}; ``scale`` a positive number.
    value : affine maps, applied one after the other.
    turn : the matrix ``R`` by the position of the key minus that of the query, or None.
    sink : the score of one more key, whose value is 0, or None.
    """

    query: AffineMap
    key: AffineMap
    value: tuple[AffineMap, ...]
    scale: Any
    turn: Callable[[int], Array] | None = None
    sink: Any = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MovingAttention(Value):
    """Every moving token: ``x -> [x +] offset + sum_h value_h`` of the key that wins.

    Attributes
    ----------
    heads : the heads; ``offset`` (d_out,).
    seen : (first, stop) of the keys that each token of the sequence sees.
    residual : whether the state that entered the layer is added.
    before : one affine map per token, applied to the states before the heads read them, or None.
    context : (N, d) what the heads read from tokens that stand still, or None where all move.
    """

    heads: tuple[BilinearHead, ...]
    offset: Array
    seen: tuple[tuple[int, int], ...]
    residual: bool
    before: tuple[AffineMap, ...] | None = None
    context: Array | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MovingPointwise(Value):
    """Every moving token by itself: ``x -> [x +] stage(before(x))``; no stage leaves ``before``."""

    stage: RoutingStage | None
    residual: bool = False
    before: tuple[AffineMap, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TokenStack(Value):
    """Layers on ``n_tokens`` states of R^width, of which the tokens ``moving`` (ascending) move.

    The variable is the states of the moving tokens, side by side.
    """

    layers: tuple[MovingAttention | MovingPointwise, ...]
    n_tokens: int
    width: int
    moving: tuple[int, ...]

    @property
    def dim(self) -> int:
        """Dimension of the variable."""
        return len(self.moving) * self.width


@runtime_checkable
class MovesTokens(Protocol):
    """A target of the engine of moving tokens."""

    def live_stack(self) -> TokenStack:
        """The layers as the engine reads them."""
        ...
