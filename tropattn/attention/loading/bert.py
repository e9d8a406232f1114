"""BERT and RoBERTa: the norm stands behind each half of a block, so states are normalised.

The state that enters a layer's heads left the norm of the layer before (of the embedding, for
layer 0), and the residual adds that same state.
"""

from __future__ import annotations

from pathlib import Path

from tropattn.attention.blocks import Block
from tropattn.attention.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.loading.vocabulary import Words, read_words
from tropattn.attention.model import Model

__all__ = ["NAMES", "load_bert"]

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

UNREAD = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({},),
}


def load_bert(tensors: Tensors, config: Config, folder: Path | None) -> Model:
    """Build a BERT or RoBERTa model. Raises ``InvalidInput`` for anything that does not fit."""
    config.refuse(UNREAD, "scores of another form are not read")
    d_model, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    family = "roberta" if config.family == "roberta" else "bert"
    prefix = first_prefix(tensors, NAMES["word"], ("", family + "."))
    eps = config.number("layer_norm_eps", 1e-12)
    inner, activation = config.count("intermediate_size"), config.activation("hidden_act", "gelu")
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
    if family == "roberta":
        # Positions are counted from the padding token's id plus one.
        positions = positions[int(config.values.get("pad_token_id") or 1) + 1 :]
    kinds = tensors.weight(prefix + NAMES["type"], (None, d_model))
    words = Words(None, None)
    if folder is not None:
        words = read_words(folder, len(embedding), wordpiece=family == "bert")
    return Model(
        layers,
        embedding,
        words.vocabulary,
        # A context is one segment, so every token has type 0.
        positions=positions + kinds[0],
        norms=norms[:-1],
        causal=False,
        blocks=blocks,
        tokenizer=words.tokenizer,
    )
