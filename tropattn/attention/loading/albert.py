"""ALBERT: a narrow embedding, a projection, and one block that all layers share."""

from __future__ import annotations

from pathlib import Path

from tropattn.attention.blocks import Block
from tropattn.attention.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.bert import FIXED
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.loading.vocabulary import Words, read_words
from tropattn.attention.model import Model
from tropattn.attention.padding import Padding
from tropattn.tropical.terms import AffineMap

__all__ = ["ENTRIES", "NAMES", "load_albert"]

NAMES = {
    "word": "embeddings.word_embeddings.weight",
    "position": "embeddings.position_embeddings.weight",
    "type": "embeddings.token_type_embeddings.weight",
    "norm": "embeddings.LayerNorm",
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


ENTRIES = Entries(
    {
        "hidden_size": None,
        "embedding_size": None,
        "num_attention_heads": None,
        "num_hidden_layers": None,
        "intermediate_size": None,
        "vocab_size": None,
        "max_position_embeddings": None,
        "type_vocab_size": None,
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    },
    # More groups or inner layers would be more than one shared block.
    {**FIXED, "num_hidden_groups": (1,), "inner_group_num": (1,)},
)
PARTS = [NAMES[part] for part in (*"qkvo", "norm after attention", "up", "down", "norm after mlp")]


def load_albert(tensors: Tensors, config: Config, folder: Path | None) -> Model:
    """Build an ALBERT model. Raises ``InvalidInput`` for anything that does not fit."""
    config = config.under(ENTRIES)
    d_model, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    narrow = config.needed("embedding_size")
    prefix = first_prefix(tensors, NAMES["word"], ("", "albert."))
    eps = config.number("layer_norm_eps")
    at = prefix + NAMES["layer"]
    for layer in (at.replace("groups.0", "groups.{}"), at.replace("layers.0", "layers.{}")):
        stacking.count_layers(tensors, layer, PARTS, 1)
    parts = stacking.attention(
        tensors, {part: at + NAMES[part] for part in "qkvo"}, d_model, n_heads
    )
    layer = AttentionLayer.from_arrays(**parts, variable="post-normalisation state")
    mlp = stacking.mlp(
        tensors,
        at + NAMES["up"],
        at + NAMES["down"],
        d_model,
        config.count("intermediate_size"),
        config.activation("hidden_act"),
    )
    between = stacking.layer_norm(tensors, at + NAMES["norm after attention"], d_model, eps)
    after = stacking.layer_norm(tensors, at + NAMES["norm after mlp"], d_model, eps)
    n_layers = config.needed("num_hidden_layers")
    embedding = tensors.weight(prefix + NAMES["word"], (config.count("vocab_size"), narrow))
    longest = config.count("max_position_embeddings")
    positions = tensors.weight(prefix + NAMES["position"], (longest, narrow))
    kinds = tensors.weight(prefix + NAMES["type"], (config.count("type_vocab_size"), narrow))
    words = Words(None, None)
    if folder is not None:
        words = read_words(folder, len(embedding), "albert")
    stem = prefix + NAMES["projection"]
    return Model(
        [layer] * n_layers,
        embedding,
        words.vocabulary,
        positions=positions + kinds[0],
        norms=[
            stacking.layer_norm(tensors, prefix + NAMES["norm"], narrow, eps),
            *[after] * (n_layers - 1),
        ],
        causal=False,
        blocks=[Block(mlp, between, norm_first=False)] * n_layers,
        projection=AffineMap(
            tensors.weight(stem + ".weight", (d_model, narrow)).T,
            tensors.weight(stem + ".bias", (d_model,)),
        ),
        tokenizer=words.tokenizer,
        padding=Padding.of(config.token("pad_token_id")),
        unread=config.unread,
    )
