"""ALBERT: a narrow embedding, a projection, and one block that all layers share."""

from __future__ import annotations

from pathlib import Path

from tropattn.attention.loading import bert, stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model

__all__ = ["ALBERT", "ENTRIES", "NAMES"]

NAMES = {
    "projection": "encoder.embedding_hidden_mapping_in",
    "layer": "encoder.albert_layer_groups.0.albert_layers.0.",
    "q": "attention.query",
    "k": "attention.key",
    "v": "attention.value",
    "o": "attention.dense",
    "norm after attention": "attention.LayerNorm",
    "up": "ffn",
    "down": "ffn_output",
    "norm after mlp": "full_layer_layer_norm",
}
"""Those of the embedding are BERT's."""

ENTRIES = Entries(
    {**bert.READ, "embedding_size": None, "hidden_act": "gelu_new", "pad_token_id": 0},
    # More groups or inner layers would be more than one shared block.
    {**bert.FIXED, "num_hidden_groups": (1,), "inner_group_num": (1,)},
)
PARTS = [NAMES[part] for part in (*"qkvo", "norm after attention", "up", "down", "norm after mlp")]


def _load(tensors: Tensors, config: Config, folder: Path | Words | None, _: int | None) -> Model:
    config = config.under(ENTRIES)
    d_model, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    narrow = config.needed("embedding_size")
    prefix = first_prefix(tensors, bert.NAMES["word"], ("", "albert."))
    at = prefix + NAMES["layer"]
    for layer in (at.replace("groups.0", "groups.{}"), at.replace("layers.0", "layers.{}")):
        stacking.count_layers(tensors, layer, PARTS, 1)
    stems = {part: at + name for part, name in NAMES.items()}
    layer, block, after = bert.encoder_layer(tensors, config, stems, d_model, n_heads)
    n_layers = config.needed("num_hidden_layers")
    embedding, positions = bert.embeddings(tensors, config, prefix, narrow)
    stem = prefix + NAMES["projection"]
    first = bert.norm(tensors, config, prefix + bert.NAMES["norm"], narrow)
    return text_model(
        config,
        folder,
        "AlbertTokenizer",
        [layer] * n_layers,
        embedding,
        positions=positions,
        norms=[first, *[after] * (n_layers - 1)],
        causal=False,
        blocks=[block] * n_layers,
        projection=bert.projected(tensors, stem, narrow, d_model),
    )


ALBERT = ModelFamily(("albert",), _load)
