"""What a ``Model`` is given, checked: each reader raises ``InvalidInput`` for what does not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tropattn._types import Array
from tropattn.attention.evaluated.norms import Norm
from tropattn.attention.evaluated.patches import Patches
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.linear import shared
from tropattn.errors import InvalidInput

__all__ = ["fitting", "is_special", "read_entry", "read_layers", "read_norms", "read_vocabulary"]


def fitting(name: str, value: Any, shape: tuple[int | None, int]) -> Array | None:
    """Read a table of rows of one width, None for none; (None, d) stands for any number of rows."""
    if value is None:
        return None
    rows = "max_length" if shape[0] is None else shape[0]
    array = shared(name, value, 2, shape=f"({rows}, {shape[1]})")
    if array.shape[1] != shape[1] or len(array) != (shape[0] or len(array)) or not len(array):
        raise InvalidInput(
            f"{name}: shape ({rows}, {shape[1]}) needed to fit the embedding, got {array.shape}; "
            "check the file."
        )
    return array


def read_entry(embedding: Any, patches: Patches | None) -> tuple[Array | None, int, int]:
    """The embedding, the number of its tokens, and the width of what it gives."""
    if embedding is None and patches is not None:
        return None, 0, len(patches.bias)
    table = shared("embedding", embedding, 2, shape="(V, d)")
    n_tokens, width = table.shape
    if not n_tokens or not width:
        raise InvalidInput(
            f"embedding: shape (V, d) with V, d >= 1 needed, got {table.shape}; "
            "give one row a token."
        )
    return table, n_tokens, width


def read_layers(layers: Any, width: int) -> tuple[AttentionLayer, ...]:
    """Read layers whose states have one width."""
    units = tuple(layers) if isinstance(layers, Sequence) else (layers,)
    if not units:
        raise InvalidInput("layers: at least one needed, got none; pass AttentionLayer values.")
    for place, layer in enumerate(units):
        if not isinstance(layer, AttentionLayer):
            raise InvalidInput(
                f"layers: AttentionLayer values needed, got {type(layer).__name__} at {place}; "
                "build one with AttentionLayer(heads)."
            )
        head = layer.heads[0]
        if (head.d_query, head.d_model, head.d_out) != (width, width, width):
            raise InvalidInput(
                f"layers: states of width {width} as in the embedding needed, got "
                f"{(head.d_query, head.d_model, head.d_out)} for layer {place}; check the shapes."
            )
    return units


def read_norms(norms: Any, widths: list[int]) -> tuple[Norm | None, ...]:
    """Read one norm or None per layer, or no norms, of the widths of what enters them."""
    units = tuple(norms)
    if units and len(units) != len(widths):
        raise InvalidInput(
            f"norms: one a layer needed ({len(widths)}), got {len(units)}; give all or none."
        )
    for place, norm in enumerate(units):
        if norm is None:
            continue
        if not isinstance(norm, Norm) or norm.width != widths[place]:
            raise InvalidInput(
                f"norms: RMSNorm or LayerNorm values of width {widths[place]} needed, got another "
                f"at {place}; build one with RMSNorm(weight, eps)."
            )
    return units


def is_special(token: str) -> bool:
    """Whether a token stands for no text of its own, such as ``<s>`` or ``[SEP]``."""
    return len(token) > 2 and token[0] + token[-1] in ("<>", "[]")


def read_vocabulary(vocabulary: Any, n_tokens: int) -> tuple[str, ...] | None:
    """Read distinct strings, at most one per token, or None."""
    if vocabulary is None:
        return None
    tokens = tuple(vocabulary)
    if not all(isinstance(token, str) for token in tokens):
        raise InvalidInput("vocabulary: strings needed, got something else; give one string an id.")
    if len(set(tokens)) != len(tokens):
        twice = Counter(tokens).most_common(1)[0][0]
        raise InvalidInput(
            f"vocabulary: distinct strings needed, got {twice!r} twice; give each id its own token."
        )
    if len(tokens) > n_tokens:
        raise InvalidInput(
            f"vocabulary: at most {n_tokens} tokens needed, one a row of the embedding, got "
            f"{len(tokens)}; check that both belong to one model."
        )
    return tokens
