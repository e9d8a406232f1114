"""Weights of one matrix for all heads, as the families store them, cut into one array per head."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.attention.evaluated.blocks import MLP
from tropattn.attention.evaluated.norms import LayerNorm
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.tensors import Tensors, named
from tropattn.errors import InvalidInput

__all__ = [
    "attention",
    "bias",
    "columns_by_head",
    "count_layers",
    "layer_norm",
    "mlp",
    "rows_by_head",
    "widths",
    "word",
]


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
    if config.count("head_dim") not in (None, d_model // n_heads):
        raise InvalidInput(
            f"{config.where}: head_dim {d_model // n_heads} as {width} and {heads} say needed, got "
            f"{config.count('head_dim')}; heads of another width are not read in this family."
        )
    return d_model, n_heads


def count_layers(
    tensors: Tensors, layer: str, parts: Iterable[str], listed: int | None, unread: str = ""
) -> int:
    """Return the number of layers in a file, all of whose tensors are among known parts.

    Parameters
    ----------
    layer : where a layer's tensors begin, with ``{}`` for its number.
    parts : their names behind it, without ``.weight`` and ``.bias``.
    listed : the number that the configuration gives, if any.
    unread : one more name that may be there, of a buffer that takes no part in the numbers.

    Raises
    ------
    InvalidInput : a tensor of another name inside a layer, or another number of layers.
    """
    before, after = (re.escape(part) for part in layer.split("{}"))
    pattern = re.compile(rf"{before}(\d{{1,4}}){after}(.+)")
    known = {part + end for part in parts for end in (".weight", ".bias", ".gamma", ".beta", "")}
    found, unknown = set(), []
    for name in tensors.shapes:
        match = pattern.fullmatch(name)
        if match is not None:
            found.add(int(match[1]))
            if match[2] not in known and match[2] not in unread.split():
                unknown.append(name)
    if unknown:
        raise InvalidInput(
            f"{tensors.path}: layers of {_listed(parts)} only needed, got {named(unknown)} as "
            "well; this is another family, which is not read."
        )
    count = len(found) if listed is None else listed
    if found != set(range(count)):
        raise InvalidInput(
            f"{tensors.path}: layers 0..{count - 1} needed, got {sorted(found)[:8]}; the file is "
            "incomplete, or the configuration belongs to another."
        )
    return count


def _listed(parts: Iterable[str]) -> str:
    names = list(parts)
    return ", ".join(names) if len(names) < 20 else named(names)


def attention(
    tensors: Tensors,
    stems: Mapping[str, str],
    d_model: int,
    heads: tuple[int, int],
    d_head: int,
    biased: tuple[bool | None, bool | None] = (True, True),
) -> dict[str, Any]:
    """Return arguments of ``AttentionLayer.from_arrays`` from four matrices.

    ``stems`` has the tensor names of "q", "k", "v" and "o" without ``.weight`` and ``.bias``,
    stored output by input; ``heads`` are the numbers of query and of key heads; ``biased`` says
    whether "q", "k" and "v", and whether "o" have a bias, as ``bias`` takes it.
    """
    found: dict[str, Any] = {}
    for part, count in zip("qkv", (heads[0], heads[1], heads[1]), strict=True):
        stored = tensors.weight(stems[part] + ".weight", (count * d_head, d_model))
        found[f"W_{part.upper()}"] = columns_by_head(stored, count)
        offset = bias(tensors, stems[part] + ".bias", count * d_head, biased[0])
        found[f"b_{part.upper()}"] = None if offset is None else offset.reshape(count, d_head)
    out = tensors.weight(stems["o"] + ".weight", (d_model, heads[0] * d_head))
    found["b_O"] = bias(tensors, stems["o"] + ".bias", d_model, biased[1])
    return found | {"W_O": rows_by_head(out, heads[0])}


def bias(tensors: Tensors, name: str, length: int, wanted: bool | None) -> Array | None:
    """Return a bias (length,) where the configuration wants one; None leaves it to the file.

    Raises ``InvalidInput`` for one that is missing, and for one that the configuration leaves out:
    the reference would not add it.
    """
    if wanted:
        return tensors.weight(name, (length,))
    if wanted is not None and name in tensors.shapes:
        raise InvalidInput(
            f"{tensors.path}: no {name} needed as the configuration says, got one; "
            "the files do not belong together."
        )
    return tensors.optional(name, (length,))


def mlp(
    tensors: Tensors,
    stems: Mapping[str, str],
    d_model: int,
    inner: int | None,
    activation: str,
    biased: bool | None = True,
) -> MLP:
    """Return the MLP of matrices stored output by input: "up", "down" and, if named, "gate"."""
    up = tensors.weight(stems["up"] + ".weight", (inner, d_model), narrow=True)
    sizes = {"up": len(up), "down": d_model} | ({"gate": len(up)} if "gate" in stems else {})
    gate = None
    if "gate" in stems:
        gate = tensors.weight(stems["gate"] + ".weight", up.shape, narrow=True).T
    down = tensors.weight(stems["down"] + ".weight", (d_model, len(up)), narrow=True)
    b_up, b_down, *b_gate = (
        bias(tensors, stems[part] + ".bias", size, biased) for part, size in sizes.items()
    )
    return MLP(up.T, b_up, down.T, b_down, activation, gate, *b_gate)


def word(tensors: Tensors, name: str, tied: bool) -> str:
    """The embedding's name; tied files may hold it as the unembedding only."""
    swapped = tied and name not in tensors.shapes and "lm_head.weight" in tensors.shapes
    return "lm_head.weight" if swapped else name


def layer_norm(tensors: Tensors, stem: str, width: int, eps: float) -> LayerNorm:
    """Return the norm with tensors ``stem.weight`` and ``stem.bias``."""
    return LayerNorm(
        tensors.vector(stem + ".weight", width), tensors.vector(stem + ".bias", width), eps
    )
