"""GPT-NeoX: norms first, attention and MLP side by side, heads that rotate in part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.rotations import longest, rope_group, rotation
from tropattn.attention.loading.tensors import Tensors, cut, first_prefix
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model

__all__ = ["ENTRIES", "GPT_NEOX", "fused_heads"]

NAMES = {
    "norm before attention": "input_layernorm",
    "q": "attention.q",
    "k": "attention.k",
    "v": "attention.v",
    "o": "attention.dense",
    "norm before mlp": "post_attention_layernorm",
    "up": "mlp.dense_h_to_4h",
    "down": "mlp.dense_4h_to_h",
}
ENTRIES = Entries(
    {
        "hidden_size": None,
        "num_attention_heads": None,
        "head_dim": None,
        "num_hidden_layers": None,
        "intermediate_size": None,
        "vocab_size": None,
        "max_position_embeddings": None,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "use_parallel_residual": True,
        "attention_bias": True,
        "rotary_pct": 0.25,
        "rotary_emb_base": 1e4,
        "rope_parameters": None,
        "rope_scaling": None,
        # The reference reads the two above in the place of these.
        "rope_theta": None,
        "partial_rotary_factor": None,
        "is_causal": True,
        "pad_token_id": None,
        "tie_word_embeddings": False,
    },
    {
        "add_cross_attention": (False,),
        "pruned_heads": ({},),
        "is_decoder": (False, True),
        "original_max_position_embeddings": (),
    },
)
BUFFERS = "attention.bias attention.masked_bias attention.rotary_emb.inv_freq"
"""Causal masks and frequencies that old files hold beside the weights."""


def fused_heads(fused: str, n_heads: int, d_model: int) -> dict[str, dict[str, Any]]:
    """Rows of a fused projection in which query, key and value of each head lie side by side."""
    rows = np.arange(3 * d_model).reshape(n_heads, 3, -1)
    return {fused: {NAMES[part]: rows[:, at].ravel() for at, part in enumerate("qkv")}}


def _load(tensors: Tensors, config: Config, folder: Path | Words | None, _: int | None) -> Model:
    config = config.under(ENTRIES)
    width, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    tensors = cut(tensors, fused_heads("attention.query_key_value", n_heads, width))
    first = f"layers.0.{NAMES['norm before attention']}.weight"
    prefix = first_prefix(tensors, first, ("", "gpt_neox."))
    eps, group = config.number("layer_norm_eps"), rope_group(config)
    theirs = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
    group = {name: config.values[other] for name, other in theirs.items()} | group
    rope = rotation(config, group, width // n_heads, partial=True)
    inner, activation = config.count("intermediate_size"), config.activation("hidden_act")
    layers, norms, blocks = [], [], []
    listed, biased = config.needed("num_hidden_layers"), config.flag("attention_bias")
    names = f"{prefix}layers.{{}}."
    for index in range(stacking.count_layers(tensors, names, NAMES.values(), listed, BUFFERS)):
        stems = {part: names.format(index) + name for part, name in NAMES.items()}
        arrays = stacking.attention(
            tensors, stems, width, (n_heads, n_heads), width // n_heads, (biased, biased)
        )
        more = {"residual": False, "variable": "post-normalisation state"}
        layers.append(AttentionLayer.from_arrays(**arrays, rope=rope, **more))
        norms.append(stacking.layer_norm(tensors, stems["norm before attention"], width, eps))
        before = stacking.layer_norm(tensors, stems["norm before mlp"], width, eps)
        mlp = stacking.mlp(tensors, stems, width, inner, activation)
        parallel = config.flag("use_parallel_residual")
        blocks.append(Block(mlp, before, norm_first=True, parallel=parallel))
    return text_model(
        config,
        folder,
        "GPTNeoXTokenizer",
        layers,
        tensors.weight(prefix + "embed_in.weight", (config.count("vocab_size"), width)),
        norms=norms,
        causal=config.causal(),
        max_length=longest(config, group),
        blocks=blocks,
    )


GPT_NEOX = ModelFamily(("gpt_neox",), _load)
