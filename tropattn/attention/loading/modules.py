"""Modules of torch in memory: single attention layers, models of transformers, and any others."""

from __future__ import annotations

from typing import Any

import numpy as np

from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.families import build
from tropattn.attention.loading.hooked import hooked_layers
from tropattn.attention.loading.memory import Memory, import_torch
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput

__all__ = ["from_torch"]


def from_torch(
    module: Any, inputs: Any = None, position: int = -1
) -> Model | AttentionLayer | tuple[FixedLayer, ...]:
    """Read a torch module's weights (theory T1, T12); what happens to it later is not seen.

    Parameters
    ----------
    module : a model of transformers (``load`` names the families), a
        ``torch.nn.TransformerEncoderLayer`` or a ``torch.nn.MultiheadAttention``.
    inputs : of any model of transformers, TransformerLens or timm, of a
        ``torch.nn.TransformerEncoder`` and others (``hooked.hooked_layers``) whose weights are
        ``softmax(scale <q, k> + bias)``: token ids (n,), or a mapping of its own inputs, for one
        sequence; outside transformers also states (n, d) or an image (channels, height, width).
    position : with ``inputs``, the token whose state moves.

    Returns
    -------
    Model, AttentionLayer or tuple of FixedLayer
        With ``inputs`` one ``FixedLayer`` a layer of the model, compared with the model's own
        weights (``hooked.hooked_layers``); its variable is the input of the attention. Without, a
        model for one of transformers, else the attention layer alone. Its variable is the query's
        input of a ``MultiheadAttention``, and of a ``TransformerEncoderLayer`` the layer's
        input, or with ``norm_first`` what leaves the norm before its heads.

    Raises
    ------
    InvalidInput : torch is not installed, another module, learned extra keys (``add_bias_kv``),
        keys and values of different widths, quantised weights, a family that is not read, or, with
        ``inputs``, attention of another form, with the layer, head and difference.

    Notes
    -----
    Cost: one copy of the weights in doubles. Dropout and masks are no part of the result.

    Examples
    --------
    >>> from_torch(3)       # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tropattn.errors.InvalidInput: module: ...
    """
    torch = import_torch("module")
    if inputs is not None and isinstance(module, torch.nn.Module):
        return hooked_layers(module, inputs, position)
    if inputs is not None:
        raise InvalidInput(
            f"inputs: a torch module beside them needed, got {type(module).__name__}; leave them "
            "out."
        )
    if isinstance(module, torch.nn.MultiheadAttention):
        return _attention(module, "query input", residual=False)
    if isinstance(module, torch.nn.TransformerEncoderLayer):
        if module.norm_first:
            return _attention(module.self_attn, "post-normalisation state", residual=False)
        return _attention(module.self_attn, "layer input", residual=True)
    settings: Any = getattr(module, "config", None)
    if not isinstance(module, torch.nn.Module) or not hasattr(settings, "to_dict"):
        raise InvalidInput(
            "module: a model of transformers, a torch.nn.TransformerEncoderLayer or a "
            f"torch.nn.MultiheadAttention needed, got {type(module).__name__}; for other modules "
            "build AttentionLayer.from_arrays."
        )
    name = type(module).__name__
    config = Config(f"config of {name}", dict(settings.to_dict()))
    return build(Memory.of(name, dict(module.state_dict())), config, None)


def _attention(module: Any, variable: str, *, residual: bool) -> AttentionLayer:
    tensors = Memory.of(type(module).__name__, dict(module.state_dict()))
    width, n_heads = int(module.embed_dim), int(module.num_heads)
    if module.bias_k is not None or module.bias_v is not None:
        raise InvalidInput(
            "module: attention without add_bias_kv needed, got a learned extra key; "
            "build AttentionLayer.from_arrays and add its key to the states."
        )
    if module.kdim != module.vdim:
        raise InvalidInput(
            f"module: keys and values read from the same states needed, got widths {module.kdim} "
            f"and {module.vdim}; build AttentionLayer.from_arrays."
        )
    if "in_proj_weight" in tensors.shapes:
        query, key, value = np.split(tensors.weight("in_proj_weight", (3 * width, width)), 3)
    else:
        query = tensors.weight("q_proj_weight", (width, width))
        key = tensors.weight("k_proj_weight", (width, module.kdim))
        value = tensors.weight("v_proj_weight", (width, module.vdim))
    offsets = tensors.optional("in_proj_bias", (3 * width,))
    biases = (None, None, None) if offsets is None else np.split(offsets, 3)
    b_query, b_key, b_value = (
        None if part is None else part.reshape(n_heads, -1) for part in biases
    )
    return AttentionLayer.from_arrays(
        stacking.columns_by_head(query, n_heads),
        stacking.columns_by_head(key, n_heads),
        stacking.columns_by_head(value, n_heads),
        stacking.rows_by_head(tensors.weight("out_proj.weight", (width, width)), n_heads),
        b_query,
        b_key,
        b_value,
        tensors.optional("out_proj.bias", (width,)),
        # add_zero_attn appends a key and a value of zeros, whose logit is 0 for every query.
        sinks=[0.0] * n_heads if module.add_zero_attn else None,
        residual=residual,
        variable=variable,
    )
