"""DINOv2: ViT with other names, and a scale on what each half of a block adds."""

from __future__ import annotations

from tropattn.attention.evaluated.blocks import Block, Scaling
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import stacking, vit
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput

__all__ = ["DINOV2", "ENTRIES"]

NAMES = {part: vit.NAMES[part] for part in "qkvo"} | {
    "norm before attention": "norm1",
    "scale after attention": "layer_scale1.lambda1",
    "norm before mlp": "norm2",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
    "scale after mlp": "layer_scale2.lambda1",
}
IN_MEMORY = NAMES | {part: vit.IN_MEMORY[part] for part in "qkvo"}
ENTRIES = Entries(
    {
        **{name: vit.READ[name] for name in vit.READ if name != "intermediate_size"},
        "mlp_ratio": 4,
        "layer_norm_eps": 1e-6,
        # Of training, of masked images, and of what is returned.
        "layerscale_value": None,
        "drop_path_rate": None,
        "use_mask_token": None,
        "apply_layernorm": None,
        "reshape_hidden_states": None,
        "out_features": None,
        "out_indices": None,
        "stage_names": None,
        "intermediate_size": None,
    },
    {**vit.FIXED, "use_swiglu_ffn": (False,)},
)


def _load(tensors: Tensors, config: Config, _folder: object, _n_heads: object) -> Model:
    config = config.under(ENTRIES)
    width, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    prefix = first_prefix(tensors, vit.NAMES["first"], ("", "dinov2."))
    place = f"{prefix}encoder.layer.{{}}."
    fused = place.format(0) + IN_MEMORY["q"] + ".weight" in tensors.shapes
    names = IN_MEMORY if fused else NAMES
    inner, activation = config.needed("mlp_ratio") * width, config.activation("hidden_act")
    heads, eps, bias = (n_heads, n_heads), config.number("layer_norm_eps"), config.flag("qkv_bias")
    layers, norms, blocks = [], [], []
    listed = config.needed("num_hidden_layers")
    for index in range(stacking.count_layers(tensors, place, names.values(), listed)):
        stems = {part: place.format(index) + name for part, name in names.items()}
        arrays = stacking.attention(tensors, stems, width, heads, width // n_heads, (bias, True))
        more = {"residual": False, "variable": "post-normalisation state"}
        layers.append(AttentionLayer.from_arrays(**arrays, **more))
        norms.append(stacking.layer_norm(tensors, stems["norm before attention"], width, eps))
        before = stacking.layer_norm(tensors, stems["norm before mlp"], width, eps)
        first, second = (
            Scaling(tensors.weight(stems[f"scale after {half}"], (width,)))
            for half in ("attention", "mlp")
        )
        mlp = stacking.mlp(tensors, stems, width, inner, activation)
        blocks.append(Block(mlp, before, True, first, second))
    patches, positions = vit.images(tensors, config, prefix, width)
    if patches.size[0] != patches.size[1]:
        raise InvalidInput(
            f"{config.where}: square images as image_size needed, got {patches.size}; the "
            "reference interpolates positions for others."
        )
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


DINOV2 = ModelFamily(("dinov2",), _load)
