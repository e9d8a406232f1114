"""GPT-2: norms first, causal, matrices stored input by output, queries, keys and values fused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tropattn.attention.evaluated.blocks import MLP, Block
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model

__all__ = ["ENTRIES", "GPT2", "NAMES"]

NAMES = {
    "word": "wte.weight",
    "position": "wpe.weight",
    "layer": "h.{}.",
    "norm before attention": "ln_1",
    "qkv": "attn.c_attn",
    "o": "attn.c_proj",
    "norm before mlp": "ln_2",
    "up": "mlp.c_fc",
    "down": "mlp.c_proj",
}


ENTRIES = Entries(
    {
        "n_embd": None,
        "n_head": None,
        "n_layer": None,
        "n_inner": None,
        "n_positions": None,
        "vocab_size": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "is_causal": True,
        "pad_token_id": None,
        "tie_word_embeddings": True,
    },
    {"add_cross_attention": (False,), "pruned_heads": ({},)},
    {
        "hidden_size": "n_embd",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
        "max_position_embeddings": "n_positions",
    },
)
PARTS = [
    NAMES[part] for part in ("norm before attention", "qkv", "o", "norm before mlp", "up", "down")
]
MASKS = "attn.bias attn.masked_bias"
"""Causal masks that old files hold beside the weights."""


def _load(tensors: Tensors, config: Config, folder: Path | Words | None, _: int | None) -> Model:
    config = config.under(ENTRIES)
    d_model, n_heads = stacking.widths(config, "n_embd", "n_head")
    prefix = first_prefix(tensors, NAMES["layer"].format(0) + "ln_1.weight", ("", "transformer."))
    eps = config.number("layer_norm_epsilon")
    layers, norms, blocks = [], [], []
    names, listed = prefix + NAMES["layer"], config.needed("n_layer")
    for index in range(stacking.count_layers(tensors, names, PARTS, listed, MASKS)):
        at = prefix + NAMES["layer"].format(index)
        norms.append(
            stacking.layer_norm(tensors, at + NAMES["norm before attention"], d_model, eps)
        )
        layers.append(_layer(tensors, config, at, index, d_model, n_heads))
        before = stacking.layer_norm(tensors, at + NAMES["norm before mlp"], d_model, eps)
        blocks.append(Block(_mlp(tensors, config, at, d_model), before, norm_first=True))
    word = stacking.word(tensors, prefix + NAMES["word"], config.flag("tie_word_embeddings"))
    return text_model(
        config,
        folder,
        "GPT2Tokenizer",
        layers,
        tensors.weight(word, (config.count("vocab_size"), d_model)),
        positions=tensors.weight(
            prefix + NAMES["position"], (config.count("n_positions"), d_model)
        ),
        norms=norms,
        causal=config.causal(),
        blocks=blocks,
    )


def _layer(
    tensors: Tensors, config: Config, at: str, index: int, d_model: int, n_heads: int
) -> AttentionLayer:
    fused = tensors.weight(at + NAMES["qkv"] + ".weight", (d_model, 3 * d_model))
    query, key, value = (
        stacking.columns_by_head(part.T, n_heads) for part in np.split(fused, 3, axis=1)
    )
    offsets = tensors.weight(at + NAMES["qkv"] + ".bias", (3 * d_model,))
    b_query, b_key, b_value = (part.reshape(n_heads, -1) for part in np.split(offsets, 3))
    scale = 1.0
    if config.flag("scale_attn_weights"):
        scale = float(1 / np.sqrt(d_model // n_heads))
    if config.flag("scale_attn_by_inverse_layer_idx"):
        scale /= index + 1
    out = tensors.weight(at + NAMES["o"] + ".weight", (d_model, d_model))
    return AttentionLayer.from_arrays(
        query,
        key,
        value,
        stacking.rows_by_head(out.T, n_heads),
        b_query,
        b_key,
        b_value,
        tensors.weight(at + NAMES["o"] + ".bias", (d_model,)),
        scale=scale,
        residual=False,
        variable="post-normalisation state",
    )


def _mlp(tensors: Tensors, config: Config, at: str, d_model: int) -> MLP:
    first = tensors.weight(
        at + NAMES["up"] + ".weight", (d_model, config.count("n_inner")), narrow=True
    )
    inner = first.shape[1]
    return MLP(
        first,
        tensors.weight(at + NAMES["up"] + ".bias", (inner,)),
        tensors.weight(at + NAMES["down"] + ".weight", (inner, d_model), narrow=True),
        tensors.weight(at + NAMES["down"] + ".bias", (d_model,)),
        config.activation("activation_function"),
    )


GPT2 = ModelFamily(("gpt2",), _load)
