"""ModernBERT: norms first, rotations, and windows to both sides in two layers of three."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.evaluated.norms import LayerNorm
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.decoder import sliding
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.rotations import layered_groups, longest, rotation
from tropattn.attention.loading.tensors import Tensors, cut, first_prefix
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model

__all__ = ["ENTRIES", "MODERNBERT"]

NAMES = {
    "norm before attention": "attn_norm",
    "q": "attn.q",
    "k": "attn.k",
    "v": "attn.v",
    "o": "attn.Wo",
    "norm before mlp": "mlp_norm",
    "gate": "mlp.gate",
    "up": "mlp.up",
    "down": "mlp.Wo",
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
        "hidden_activation": "gelu",
        "norm_eps": 1e-5,
        "norm_bias": False,
        "attention_bias": False,
        "mlp_bias": False,
        "layer_types": None,
        "global_attn_every_n_layers": 3,
        "local_attention": 128,
        "rope_parameters": None,
        "rope_scaling": None,
        "global_rope_theta": 160_000.0,
        "local_rope_theta": 10_000.0,
        "partial_rotary_factor": 1,
        "pad_token_id": 50283,
        "tie_word_embeddings": True,
    },
    {
        "add_cross_attention": (False,),
        "pruned_heads": ({},),
        "is_decoder": (False,),
        "is_causal": (False,),
        "position_embedding_type": ("absolute",),
        "original_max_position_embeddings": (),
        # The reference takes it in the place of half of local_attention.
        "sliding_window": (),
    },
)


def _norm(tensors: Tensors, config: Config, stem: str, width: int) -> LayerNorm:
    bias = stacking.bias(tensors, stem + ".bias", width, config.flag("norm_bias"))
    return LayerNorm(tensors.weight(stem + ".weight", (width,)), bias, config.number("norm_eps"))


def _whole(tensors: Tensors, config: Config, width: int) -> Tensors:
    inner = config.needed("intermediate_size")
    parts = zip("qkv", range(3), strict=True)
    rows: dict[str, dict[str, Any]] = {
        "attn.Wqkv": {NAMES[part]: range(at * width, (at + 1) * width) for part, at in parts},
        "mlp.Wi": {NAMES["gate"]: range(inner), NAMES["up"]: range(inner, 2 * inner)},
    }
    return cut(tensors, rows)


def _load(tensors: Tensors, config: Config, folder: Path | Words | None, _: int | None) -> Model:
    config = config.under(ENTRIES)
    width, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    tensors = _whole(tensors, config, width)
    prefix = first_prefix(tensors, "embeddings.tok_embeddings.weight", ("", "model."))
    groups = layered_groups(config, ("global_rope_theta", "local_rope_theta"), both=True)
    inner, activation = config.count("intermediate_size"), config.activation("hidden_activation")
    layers, blocks, norms = [], [], []
    listed, biased = config.needed("num_hidden_layers"), config.flag("attention_bias")
    names = f"{prefix}layers.{{}}."
    n_layers = stacking.count_layers(tensors, names, NAMES.values(), listed)
    for index in range(n_layers):
        stems = {part: names.format(index) + name for part, name in NAMES.items()}
        typed = config.values["layer_types"] is not None
        others = not typed and index % config.needed("global_attn_every_n_layers") != 0
        slides = sliding(config, index, n_layers, others)
        d_head = width // n_heads
        arrays = stacking.attention(
            tensors, stems, width, (n_heads, n_heads), d_head, (biased, biased)
        )
        group = groups["sliding_attention" if slides else "full_attention"]
        layers.append(
            AttentionLayer.from_arrays(
                **arrays,
                rope=rotation(config, group, d_head),
                residual=False,
                variable="post-normalisation state",
                # Half the window to each side, the farthest key included.
                window=config.needed("local_attention") // 2 + 1 if slides else None,
            )
        )
        # The embedding's own norm stands in for the first.
        before = stems["norm before attention"]
        norms.append(_norm(tensors, config, before, width) if index else None)
        mlp = stacking.mlp(tensors, stems, width, inner, activation, config.flag("mlp_bias"))
        between = _norm(tensors, config, stems["norm before mlp"], width)
        blocks.append(Block(mlp, between, norm_first=True))
    shape = (config.count("vocab_size"), width)
    word = tensors.weight(prefix + "embeddings.tok_embeddings.weight", shape)
    limits = [longest(config, group) for group in groups.values()]
    return text_model(
        config,
        folder,
        "PreTrainedTokenizer",
        layers,
        _norm(tensors, config, prefix + "embeddings.norm", width)(word),
        norms=norms,
        causal=False,
        max_length=min((limit for limit in limits if limit is not None), default=None),
        blocks=blocks,
    )


MODERNBERT = ModelFamily(("modernbert",), _load)
