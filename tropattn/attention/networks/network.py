"""A network of fixed layers: one token's state moves, everything else stands still (theory T12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.attention.evaluated.forward import attend
from tropattn.attention.heads.fixed import FixedLayer, read_temperature
from tropattn.attention.networks.feedforward import Affine, FeedForward, Maxout, read_points
from tropattn.attention.networks.transformer import Transformer, one_moving, read_warmth
from tropattn.errors import InvalidInput
from tropattn.tropical.stage import RoutingStage
from tropattn.values import Value, counted

__all__ = ["Network", "fixed_network"]

Layer = FixedLayer | FeedForward | Affine | Maxout


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class Network(Value):
    """The composition of layers ``x -> layer_L(... layer_1(x))``, keys and values fixed (T12).

    Parameters
    ----------
    layers : ``FixedLayer``, ``FeedForward``, ``Maxout`` or ``Affine`` values, first to last; each
        takes the width that the one before it gives.
    approximation : what was replaced to make the network piecewise affine, in one line, or None
        where it is the model itself.

    Raises
    ------
    InvalidInput : no layers, other objects, or widths that do not fit.

    Examples
    --------
    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> step = FixedLayer([TropicalPolynomial([[0], [1]])], [[[0], [-1]]])     # x - [x > 0]
    >>> net = Network([step, step])
    >>> net([[-0.5], [0.5], [1.5]]).tolist(), net.routing([[-0.5], [0.5], [1.5]]).tolist()
    ([[-0.5], [-0.5], [-0.5]], [[0, 0], [1, 0], [1, 1]])
    """

    layers: tuple[Layer, ...]
    approximation: str | None

    def __init__(self, layers: Sequence[Layer], approximation: str | None = None) -> None:
        given = tuple(layers) if isinstance(layers, Sequence) else (layers,)
        if not given:
            raise InvalidInput("layers: at least one needed, got none; pass layer.fix(states).")
        for place, layer in enumerate(given):
            if not isinstance(layer, Layer):
                raise InvalidInput(
                    "layers: FixedLayer, FeedForward, Affine or Maxout values needed, got "
                    f"{type(layer).__name__} at {place}; fix an AttentionLayer's context first."
                )
            if place and layer.dim != given[place - 1].d_out:
                raise InvalidInput(
                    f"layers: a layer on R^{given[place - 1].d_out} needed at {place}, got one on "
                    f"R^{layer.dim}; widths of consecutive layers must agree."
                )
        object.__setattr__(self, "layers", given)
        object.__setattr__(self, "approximation", approximation)

    @property
    def dim(self) -> int:
        """Dimension of the state that enters."""
        return self.layers[0].dim

    @property
    def d_out(self) -> int:
        """Dimension of the state that leaves."""
        return self.layers[-1].d_out

    def __call__(self, x: Any, temperature: float = 0) -> Array:
        """Return the output, (d_out,) or (m, d_out): hard attention at 0, soft above.

        At temperature 0 exact ties are averaged, and exact input gives exact output. Raises
        ``InvalidInput`` for another width or NaN. Cost: the layers', one after the other.
        """
        warmth = read_temperature(temperature)
        state, single = read_points(x, self.dim)
        for layer in self.layers:
            state = layer(state, warmth)
        return state[0] if single else state

    def routing(self, x: Any) -> NDArray[np.int64]:
        """Return the winners of all units of all layers, (n_units,) or (m, n_units).

        Ties give the smallest index. In doubles the states of later layers are rounded; exact
        input (``Fraction``) gives the exact routing.
        """
        state, single = read_points(x, self.dim)
        parts = []
        for layer in self.layers:
            parts.append(layer.routing(state))
            state = layer(state)
        out = np.hstack(parts)
        return out[0] if single else out

    def stages(self) -> tuple[RoutingStage, ...]:
        """The stages that the engines count, one per layer, first to last.

        >>> [stage.dim for stage in Network([Affine([[1, 2]]), Affine([[1], [1]])]).stages()]
        [1, 2]
        """
        return tuple(stage for layer in self.layers for stage in layer.stages())

    def __repr__(self) -> str:
        how = "" if self.approximation is None else f", {self.approximation}"
        return f"Network({counted(len(self.layers), 'layer')}, R^{self.dim} -> R^{self.d_out}{how})"


def fixed_network(
    model: Transformer,
    ids_or_states: Any,
    position: int | None = -1,
    keys_from: Literal["hard", "soft"] = "hard",
    own_key: Literal["frozen", "excluded"] = "frozen",
    own_value: Literal["fixed", "live"] = "fixed",
    mask: Any = None,
) -> Network:
    """Fix the context of one token in all layers of a model and let its state move (theory T12).

    Parameters
    ----------
    model : an attention-only ``Model`` (no norms, no blocks).
    ids_or_states : text, token ids, or the states (N, d) that enter layer 0.
    position : the token that moves; a causal model drops the tokens after it.
    keys_from : which network gives the other tokens' states, hence the keys and values of later
        layers: "soft", attention at temperature 1, as trained; "hard", at temperature 0.
    own_key : "frozen", the token's own key and value stay where the context has them in every
        layer; "excluded", it has none.
    own_value : with a frozen key, "live" reads the token's own value from its moving state.
    mask : as in ``Model.fix``.

    Raises
    ------
    InvalidInput : a model with norms or blocks, or arguments as in ``Model.fix``.

    Notes
    -----
    In a causal model the other tokens never see the moving one, so their states are what the
    network computes; in others they are held at their reference values. Cost of one forward pass.

    >>> from tropattn.attention.heads.layer import AttentionLayer
    >>> from tropattn.attention.networks.model import Model
    >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
    >>> net = fixed_network(Model([layer, layer], [[1], [2]]), [0, 1])
    >>> net([5.0]).tolist()             # 5 + 2, then + 4, the second token's state after layer 1
    [11.0]
    """
    warmth = read_warmth(keys_from)
    if model.norms or model.blocks or model.projection is not None:
        raise InvalidInput(
            "model: attention layers only needed, got one with norms or other blocks, whose "
            "states are not piecewise affine; pass approximate=True (--approximate) or analyse "
            "one layer with model.fix."
        )
    rows, place, kept = one_moving(model, ids_or_states, position, mask)
    layers = []
    for depth, layer in enumerate(model.layers):
        fixed = layer.fix(
            rows, mask=kept, query_position=place, own_key=own_key, own_value=own_value
        )
        layers.append(fixed)
        if depth + 1 < len(model.layers):
            rows = attend(layer, rows, temperature=warmth, causal=model.causal, mask=kept)
    return Network(layers)
