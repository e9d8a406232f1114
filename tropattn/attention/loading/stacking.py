"""Weights of one matrix for all heads, as the families store them, cut into one array a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.attention.blocks import MLP
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.tensors import Tensors
from tropattn.attention.norms import LayerNorm
from tropattn.errors import InvalidInput

__all__ = ["attention", "columns_by_head", "layer_norm", "mlp", "rows_by_head", "widths"]

Array = NDArray[Any]


def columns_by_head(stored: Array, n_heads: int) -> Array:
    """Cut (heads * d_head, d_in), output by input, into (heads, d_in, d_head).

    >>> columns_by_head(np.array([[1, 2], [3, 4]]), 2).tolist()
    [[[1], [2]], [[3], [4]]]
    """
    return np.swapaxes(stored.reshape(n_heads, -1, stored.shape[1]), 1, 2)


def rows_by_head(stored: Array, n_heads: int) -> Array:
    """Cut an output matrix (d_out, heads * d_v), output by input, into (heads, d_v, d_out).

    >>> rows_by_head(np.array([[1, 2], [3, 4]]), 2).tolist()
    [[[1, 3]], [[2, 4]]]
    """
    return stored.T.reshape(n_heads, -1, stored.shape[0])


def widths(config: Config, width: str, heads: str) -> tuple[int, int]:
    """Return ``d_model`` and the number of heads under the family's names for them.

    >>> widths(Config("config.json", {"n_embd": 6, "n_head": 3}), "n_embd", "n_head")
    (6, 3)
    """
    d_model, n_heads = config.needed(width), config.needed(heads)
    if d_model % n_heads:
        raise InvalidInput(
            f"{config.where}: {width} in {heads} equal heads needed, got {d_model} and {n_heads}; "
            "restore the file that came with the weights."
        )
    return d_model, n_heads


def attention(
    tensors: Tensors, stems: Mapping[str, str], d_model: int, n_heads: int, bias: bool = True
) -> dict[str, Any]:
    """Return arguments of ``AttentionLayer.from_arrays`` from four square matrices.

    ``stems`` has the tensor names of "q", "k", "v" and "o" without ``.weight`` and ``.bias``,
    stored output by input; ``bias`` says whether "q", "k" and "v" have one.
    """
    found: dict[str, Any] = {}
    for part in "qkvo":
        stored = tensors.weight(stems[part] + ".weight", (d_model, d_model))
        cut = rows_by_head if part == "o" else columns_by_head
        found[f"W_{part.upper()}"] = cut(stored, n_heads)
        offset = None
        if bias or part == "o":
            offset = tensors.weight(stems[part] + ".bias", (d_model,))
        if offset is not None and part != "o":
            offset = offset.reshape(n_heads, -1)
        found[f"b_{part.upper()}"] = offset
    return found


def mlp(
    tensors: Tensors, up: str, down: str, d_model: int, inner: int | None, activation: str
) -> MLP:
    """Return the MLP of two matrices stored output by input, each with a bias."""
    first = tensors.weight(up + ".weight", (inner, d_model), narrow=True)
    second = tensors.weight(down + ".weight", (d_model, len(first)), narrow=True)
    return MLP(
        first.T,
        tensors.weight(up + ".bias", (len(first),)),
        second.T,
        tensors.weight(down + ".bias", (d_model,)),
        activation,
    )


def layer_norm(tensors: Tensors, stem: str, width: int, eps: float) -> LayerNorm:
    """Return the norm with tensors ``stem.weight`` and ``stem.bias``."""
    return LayerNorm(
        tensors.vector(stem + ".weight", width), tensors.vector(stem + ".bias", width), eps
    )
