"""BERT and RoBERTa: the norm stands behind each half of a block, so states are normalised.

The state that enters a layer's heads left the norm of the layer before (of the embedding, for
layer 0), and the residual adds that same state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tropattn.attention.blocks import Block
from tropattn.attention.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.loading.vocabulary import Words, read_words
from tropattn.attention.model import Model
from tropattn.attention.padding import Padding
from tropattn.errors import InvalidInput

__all__ = ["ENTRIES", "FIXED", "NAMES", "load_bert"]

Array = NDArray[Any]

NAMES = {
    "word": "embeddings.word_embeddings.weight",
    "position": "embeddings.position_embeddings.weight",
    "type": "embeddings.token_type_embeddings.weight",
    "norm": "embeddings.LayerNorm",
    "layer": "encoder.layer.{}.",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "o": "attention.output.dense",
    "norm after attention": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm after mlp": "output.LayerNorm",
}

PARTS = [NAMES[part] for part in (*"qkvo", "norm after attention", "up", "down", "norm after mlp")]

FIXED = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({},),
}

_READ = {
    "hidden_size": None,
    "num_attention_heads": None,
    "num_hidden_layers": None,
    "intermediate_size": None,
    "vocab_size": None,
    "max_position_embeddings": None,
    "type_vocab_size": None,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    # The unembedding is no part of the states.
    "tie_word_embeddings": True,
}
ENTRIES = {
    "bert": Entries({**_READ, "pad_token_id": 0}, FIXED),
    "roberta": Entries({**_READ, "pad_token_id": 1}, FIXED),
}


def load_bert(tensors: Tensors, config: Config, folder: Path | None) -> Model:
    """Build a BERT or RoBERTa model. Raises ``InvalidInput`` for anything that does not fit."""
    family = "roberta" if config.family == "roberta" else "bert"
    config = config.under(ENTRIES[family])
    d_model, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    prefix = first_prefix(tensors, NAMES["word"], ("", family + "."))
    eps = config.number("layer_norm_eps")
    inner, activation = config.count("intermediate_size"), config.activation("hidden_act")
    norms = [stacking.layer_norm(tensors, prefix + NAMES["norm"], d_model, eps)]
    layers, blocks = [], []
    listed = config.needed("num_hidden_layers")
    for index in range(stacking.count_layers(tensors, prefix + NAMES["layer"], PARTS, listed)):
        at = prefix + NAMES["layer"].format(index)
        parts = stacking.attention(
            tensors, {part: at + NAMES[part] for part in "qkvo"}, d_model, n_heads
        )
        layers.append(AttentionLayer.from_arrays(**parts, variable="post-normalisation state"))
        mlp = stacking.mlp(
            tensors, at + NAMES["up"], at + NAMES["down"], d_model, inner, activation
        )
        between = stacking.layer_norm(tensors, at + NAMES["norm after attention"], d_model, eps)
        blocks.append(Block(mlp, between, norm_first=False))
        norms.append(stacking.layer_norm(tensors, at + NAMES["norm after mlp"], d_model, eps))
    embedding = tensors.weight(prefix + NAMES["word"], (config.count("vocab_size"), d_model))
    longest = config.count("max_position_embeddings")
    positions = tensors.weight(prefix + NAMES["position"], (longest, d_model))
    kinds = tensors.weight(prefix + NAMES["type"], (config.count("type_vocab_size"), d_model))
    # A context is one segment, so every token has type 0.
    positions = positions + kinds[0]
    padding = Padding.of(config.token("pad_token_id"))
    if family == "roberta":
        positions, padding = _behind_padding(config, positions)
    words = Words(None, None)
    if folder is not None:
        words = read_words(folder, len(embedding), family)
    return Model(
        layers,
        embedding,
        words.vocabulary,
        positions=positions,
        norms=norms[:-1],
        causal=False,
        blocks=blocks,
        tokenizer=words.tokenizer,
        padding=padding,
        unread=config.unread,
    )


def _behind_padding(config: Config, positions: Array) -> tuple[Array, Padding]:
    """RoBERTa's positions, counted from the padding token's id plus one, and padding's own row."""
    pad = config.token("pad_token_id")
    if pad is None or pad + 1 >= len(positions):
        raise InvalidInput(
            f"{config.where}: pad_token_id below {len(positions) - 1} needed, one less than the "
            f"positions, got {pad}; positions are counted from it."
        )
    return positions[pad + 1 :], Padding(pad, positions[pad])
