"""ViT and DeiT: images as tokens, norms first, every token sees every other."""

from __future__ import annotations

from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.evaluated.patches import Patches
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput

__all__ = ["ENTRIES", "FIXED", "IN_MEMORY", "NAMES", "READ", "VIT", "images"]

NAMES = {
    "first": "embeddings.cls_token",
    "position": "embeddings.position_embeddings",
    "patch": "embeddings.patch_embeddings.projection",
    "layer": "encoder.layer.{}.",
    "q": "attention.attention.query",
    "k": "attention.attention.key",
    "v": "attention.attention.value",
    "o": "attention.output.dense",
    "norm before attention": "layernorm_before",
    "norm before mlp": "layernorm_after",
    "up": "intermediate.dense",
    "down": "output.dense",
}

IN_MEMORY = NAMES | {
    "layer": "layers.{}.",
    "q": "attention.q_proj",
    "k": "attention.k_proj",
    "v": "attention.v_proj",
    "o": "attention.o_proj",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
}
"""Names inside a module of transformers 5, which files do not have."""


READ = {
    "hidden_size": None,
    "num_attention_heads": None,
    "head_dim": None,
    "num_hidden_layers": None,
    "intermediate_size": None,
    "image_size": None,
    "patch_size": None,
    "num_channels": 3,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "qkv_bias": True,
    "tie_word_embeddings": True,
}
FIXED = {"is_decoder": (False,), "add_cross_attention": (False,), "pruned_heads": ({},)}
ENTRIES = {
    "vit": Entries(READ, FIXED),
    "deit": Entries(READ, FIXED),
}
PARTS = (*"qkvo", "norm before attention", "norm before mlp", "up", "down")


def _load(tensors: Tensors, config: Config, _folder: object, _n_heads: object) -> Model:
    family = config.family
    config = config.under(ENTRIES[family])
    d_model, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    prefix = first_prefix(tensors, NAMES["first"], ("", family + "."))
    inside = prefix + IN_MEMORY["layer"].format(0) + IN_MEMORY["q"] + ".weight"
    names = IN_MEMORY if inside in tensors.shapes else NAMES
    eps = config.number("layer_norm_eps")
    inner, activation = config.count("intermediate_size"), config.activation("hidden_act")
    layers, norms, blocks = [], [], []
    listed, bias = config.needed("num_hidden_layers"), config.flag("qkv_bias")
    parts = [names[part] for part in PARTS]
    for index in range(stacking.count_layers(tensors, prefix + names["layer"], parts, listed)):
        at = prefix + names["layer"].format(index)
        stems = {part: at + names[part] for part in PARTS}
        arrays = stacking.attention(
            tensors, stems, d_model, (n_heads, n_heads), d_model // n_heads, (bias, True)
        )
        layers.append(
            AttentionLayer.from_arrays(
                **arrays, residual=False, variable="post-normalisation state"
            )
        )
        norms.append(stacking.layer_norm(tensors, stems["norm before attention"], d_model, eps))
        before = stacking.layer_norm(tensors, stems["norm before mlp"], d_model, eps)
        mlp = stacking.mlp(tensors, stems, d_model, inner, activation)
        blocks.append(Block(mlp, before, norm_first=True))
    second = "embeddings.distillation_token" if family == "deit" else None
    patches, positions = images(tensors, config, prefix, d_model, second)
    return Model(
        layers,
        None,
        positions=positions,
        norms=norms,
        causal=False,
        blocks=blocks,
        patches=patches,
        unread=config.unread,
    )


def images(
    tensors: Tensors, config: Config, prefix: str, d_model: int, second: str | None = None
) -> tuple[Patches, Array]:
    """How images become tokens, and the positions of these; ``second`` follows the class token."""
    height, width = _pair(config, "image_size")
    patch = _pair(config, "patch_size")
    if patch[0] != patch[1] or height % patch[0] or width % patch[1]:
        raise InvalidInput(
            f"{config.where}: square patches that fill the image needed, got {patch} in "
            f"{(height, width)}; other grids are not read."
        )
    shape = (d_model, config.needed("num_channels"), *patch)
    stem = prefix + NAMES["patch"]
    names = [prefix + name for name in (NAMES["first"], second) if name is not None]
    first = np.vstack([tensors.weight(name, (1, 1, d_model))[0] for name in names])
    patches = Patches(
        tensors.weight(stem + ".weight", shape),
        tensors.weight(stem + ".bias", (d_model,)),
        first,
        (height, width),
    )
    n_tokens = len(first) + (height // patch[0]) * (width // patch[0])
    return patches, tensors.weight(prefix + NAMES["position"], (1, n_tokens, d_model))[0]


def _pair(config: Config, name: str) -> tuple[int, int]:
    """Read one side length for both sides, or two."""
    value: Any = config.values.get(name)
    if isinstance(value, list | tuple) and len(value) == 2:
        sides = Config(config.where, {f"{name}[{i}]": side for i, side in enumerate(value)})
        return sides.needed(f"{name}[0]"), sides.needed(f"{name}[1]")
    side = config.needed(name)
    return side, side


VIT = ModelFamily(("vit", "deit"), _load)
