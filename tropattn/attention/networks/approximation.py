"""A trained model as an ordinary network: norms frozen, activations made ReLU (theory T12).

A norm divides by a size that depends on the state, and GELU bends everywhere, so a model that has
them is not piecewise affine. Its *approximation* at a context is: each norm keeps the size that the
moving token has there, in the network as trained, and each activation becomes ReLU, which it
follows far from 0; ``Network.approximation`` says in words what was replaced. Products of weights
are rounded; the doubles that come out are the data of the approximation.
"""

from __future__ import annotations

from typing import Any, Literal

from tropattn._types import Array
from tropattn.arrays import freeze, to_float
from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.evaluated.forward import attend
from tropattn.attention.evaluated.norms import frozen
from tropattn.attention.heads.fixed import FixedLayer, OwnValue
from tropattn.attention.heads.linear import row_products
from tropattn.attention.networks.feedforward import Affine, FeedForward
from tropattn.attention.networks.network import Layer, Network
from tropattn.attention.networks.transformer import Transformer, one_moving
from tropattn.errors import InvalidInput
from tropattn.tropical.terms import AffineMap

__all__ = ["approximate_network", "entering_states"]


def approximate_network(
    model: Transformer,
    ids: Any,
    position: int | None = -1,
    own_key: Literal["frozen", "excluded"] = "frozen",
    own_value: Literal["fixed", "live"] = "fixed",
    mask: Any = None,
) -> Network:
    """Return all layers of a model with norms as a network that approximates it (theory T12).

    Parameters
    ----------
    model : with norms and the blocks between them.
    ids : text, token ids or an image; the context.
    position : the token that moves; a causal model drops the tokens after it.
    own_key, own_value, mask : as in ``Model.fix``.

    Returns
    -------
    Network
        Its variable is the residual stream that enters layer 0 where norms stand first, else the
        state that enters the heads of layer 0 (``entering_states``); its output is the stream
        behind the last block, before the norm that follows. Keys and values are those of the
        trained network with soft attention, and at each norm the scale is that of the token there.

    Raises
    ------
    InvalidInput : a model without blocks, an MLP with a gate, or arguments as in ``Model.fix``.

    Notes
    -----
    With ReLU in the model and temperature 1 the network agrees with the model at the token's own
    state, up to rounding. Cost of a forward pass, and of ``L`` products (d, d) by (d, m).

    >>> from tropattn.attention.heads.layer import AttentionLayer
    >>> from tropattn.attention.networks.model import Model
    >>> import numpy as np
    >>> from tropattn.attention.evaluated.blocks import MLP
    >>> from tropattn.attention.evaluated.norms import RMSNorm
    >>> one, norm = [[[1.0]]], RMSNorm([1.0], eps=0)
    >>> layer = AttentionLayer.from_arrays(one, one, one, one, residual=False)
    >>> block = Block(MLP(np.eye(1), None, np.eye(1), None, "gelu"), norm, norm_first=True)
    >>> net = approximate_network(Model([layer], [[1], [2]], norms=[norm], blocks=[block]), [0, 1])
    >>> net.approximation
    "norms frozen at this context's scales, gelu replaced by ReLU"
    >>> round(float(net([2.0])[0]), 12)                   # 2 + 1, whose norm is 1 again
    4.0
    """
    _check(model)
    stream, place, kept = one_moving(model, ids, position, mask)
    layers: list[Layer] = []
    for index, layer in enumerate(model.layers):
        before = model.norms[index]
        assert before is not None
        norm = frozen(before, stream[place : place + 1])[0]
        entering = before(stream)
        if index == 0 and model.projection is not None:
            entering = _projected(model.projection, entering)
            norm = _composed(norm, model.projection)
        fixed = layer.fix(
            entering,
            mask=kept,
            query_position=place,
            own_key=own_key,
            own_value=own_value,
            rounded=True,
        )
        left = attend(layer, entering, causal=model.causal, mask=kept)
        if layer.residual:
            layers += [Affine(norm.matrix, norm.offset)] if index else []
            layers.append(fixed)
            stream = left
        else:
            layers.append(_behind(norm, fixed))
            stream = stream + left
        block = model.blocks[index]
        layers += _block(block, stream[place : place + 1])
        stream = block(stream)
    return Network(layers, _words(model))


def entering_states(
    model: Transformer, ids: Any, position: int, mask: Any = None
) -> tuple[Array, int]:
    """Return the context's states in the network's variable, (N, d), and the token's place.

    Raises ``InvalidInput`` as ``Model.fix`` does.

    >>> from tropattn.attention.heads.layer import AttentionLayer
    >>> from tropattn.attention.networks.model import Model
    >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
    >>> entering_states(Model([layer], [[1], [2]]), [0, 1], -1)[0].tolist()
    [[1.0], [2.0]]
    """
    rows, place, _ = one_moving(model, ids, position, mask)
    if model.norms and model.layers[0].residual:
        rows = rows if model.norms[0] is None else model.norms[0](rows)
        rows = rows if model.projection is None else _projected(model.projection, rows)
    return rows, place


def _check(model: Transformer) -> None:
    if not (model.norms and model.blocks) or None in model.norms:
        raise InvalidInput(
            "model: norms and the blocks between them needed, got one without; analyse one layer "
            "with model.fix."
        )
    if any(head.logits is not None for layer in model.layers for head in layer.heads):
        raise InvalidInput(
            "model: scores without norms of queries and soft caps needed, got some; analyse one "
            "layer with model.fix."
        )
    for index, block in enumerate(model.blocks):
        mlp, _ = block.parts()
        if mlp.W_gate is not None:
            raise InvalidInput(
                f"model: MLPs without a gate needed, got a gated {mlp.activation} in layer "
                f"{index}; there two moving factors are multiplied, which no choice of activation "
                "makes piecewise affine. Analyse one layer with model.fix."
            )


def _words(model: Transformer) -> str:
    names = {block.parts()[0].activation for block in model.blocks} - {"relu"}
    replaced = "".join(f", {name} replaced by ReLU" for name in sorted(names))
    return f"norms frozen at this context's scales{replaced}"


def _projected(step: AffineMap, rows: Array) -> Array:
    return row_products("states", rows, step.matrix) + step.offset


def _composed(first: AffineMap, then: AffineMap) -> AffineMap:
    return AffineMap(
        freeze(first.matrix @ then.matrix), freeze(first.offset @ then.matrix + then.offset)
    )


def _behind(norm: AffineMap, fixed: FixedLayer) -> FixedLayer:
    """The layer of the state before the norm, which it is added to: ``r -> r + attn(norm(r))``."""
    heads = [head.pullback(norm.matrix, norm.offset) for head in fixed.heads]
    values = list(fixed.values)
    own: list[OwnValue | None] = [None] * len(heads)
    for h, value in enumerate(fixed.own or ()):
        if value is not None:
            matrix = to_float(value.matrix)[0]
            rows = to_float(values[h])[0].copy()
            rows[value.term] += norm.offset @ matrix
            values[h] = rows
            own[h] = OwnValue(value.term, norm.matrix @ matrix)
    return FixedLayer(heads, values, fixed.tokens, fixed.b_O, True, fixed.variable, own)


def _block(block: Block, reference: Array) -> list[Layer]:
    """The MLP with its norm frozen at the token's state (1, d)."""
    mlp, before = block.parts()
    norm = frozen(before, reference)[0]
    if not block.norm_first:
        return [Affine(norm.matrix, norm.offset), FeedForward(*mlp.doubles(), residual=True)]
    first, shift, second, last = mlp.doubles()
    bias = norm.offset @ first + (0.0 if shift is None else shift)
    return [FeedForward(norm.matrix @ first, bias, second, last, residual=True)]
