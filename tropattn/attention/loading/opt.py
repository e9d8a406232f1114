"""OPT: norms first, causal, learned positions, ReLU."""

from __future__ import annotations

from pathlib import Path

from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.padding import Padding
from tropattn.errors import InvalidInput

__all__ = ["ENTRIES", "OPT"]

NAMES = {
    "norm before attention": "self_attn_layer_norm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.out_proj",
    "norm before mlp": "final_layer_norm",
    "up": "fc1",
    "down": "fc2",
}
ENTRIES = Entries(
    {
        "hidden_size": None,
        "num_attention_heads": None,
        "num_hidden_layers": None,
        "ffn_dim": None,
        "vocab_size": None,
        "max_position_embeddings": None,
        "activation_function": "relu",
        "word_embed_proj_dim": None,
        "enable_bias": True,
        "is_causal": True,
        "pad_token_id": 1,
        "tie_word_embeddings": True,
        "dropout": None,
        "layerdrop": None,
        "init_std": None,
        # The norm behind the last layer.
        "_remove_final_layer_norm": None,
    },
    {
        "do_layer_norm_before": (True,),
        "layer_norm_elementwise_affine": (True,),
        "add_cross_attention": (False,),
        "pruned_heads": ({},),
    },
)
_OFFSET = 2
"""Positions are counted from here on."""


def _load(tensors: Tensors, config: Config, folder: Path | Words | None, _: int | None) -> Model:
    config = config.under(ENTRIES)
    width, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    if config.count("word_embed_proj_dim") not in (None, width):
        raise InvalidInput(
            f"{config.where}: word_embed_proj_dim {width} as hidden_size needed, got "
            f"{config.count('word_embed_proj_dim')}; projected embeddings are not read."
        )
    prefix = first_prefix(tensors, "embed_tokens.weight", ("decoder.", "model.decoder."))
    heads, biased = (n_heads, n_heads), config.flag("enable_bias")
    inner, activation = config.count("ffn_dim"), config.activation("activation_function")
    layers, norms, blocks = [], [], []
    names, listed = f"{prefix}layers.{{}}.", config.needed("num_hidden_layers")
    for index in range(stacking.count_layers(tensors, names, NAMES.values(), listed)):
        stems = {part: names.format(index) + name for part, name in NAMES.items()}
        arrays = stacking.attention(
            tensors, stems, width, heads, width // n_heads, (biased, biased)
        )
        more = {"residual": False, "variable": "post-normalisation state"}
        layers.append(AttentionLayer.from_arrays(**arrays, **more))
        norms.append(stacking.layer_norm(tensors, stems["norm before attention"], width, 1e-5))
        before = stacking.layer_norm(tensors, stems["norm before mlp"], width, 1e-5)
        mlp = stacking.mlp(tensors, stems, width, inner, activation, biased)
        blocks.append(Block(mlp, before, norm_first=True))
    longest, token = config.count("max_position_embeddings"), config.token("pad_token_id")
    rows = None if longest is None else longest + _OFFSET
    return text_model(
        config,
        folder,
        "GPT2Tokenizer",
        layers,
        tensors.weight(prefix + "embed_tokens.weight", (config.count("vocab_size"), width)),
        # Positions are counted without padding, by the mask.
        None if token is None else Padding(token, refused=True),
        positions=tensors.weight(prefix + "embed_positions.weight", (rows, width))[_OFFSET:],
        norms=norms,
        causal=config.causal(),
        blocks=blocks,
    )


OPT = ModelFamily(("opt",), _load)
