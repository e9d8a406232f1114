"""BERT, RoBERTa and ELECTRA: the norm stands behind each half of a block, so states are normalised.

The state that enters a layer's heads left the norm of the layer before (of the embedding, for
layer 0), and the residual adds that same state.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tropattn._types import Array
from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.evaluated.norms import LayerNorm
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.padding import Padding
from tropattn.errors import InvalidInput
from tropattn.tropical.terms import AffineMap

__all__ = [
    "BERT",
    "ENTRIES",
    "FIXED",
    "NAMES",
    "PARTS",
    "READ",
    "embeddings",
    "encoder_layer",
    "norm",
    "projected",
]


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

READ = {
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
_SUMMARY = {"summary_last_dropout": None}
ENTRIES = {
    "bert": Entries({**READ, "pad_token_id": 0}, FIXED),
    "electra": Entries({**READ, "pad_token_id": 0, "embedding_size": 128, **_SUMMARY}, FIXED),
    **{
        name: Entries({**READ, "pad_token_id": 1}, FIXED)
        for name in ("roberta", "xlm-roberta", "camembert")
    },
}
TOKENIZERS = {
    "bert": "BertTokenizer",
    "electra": "ElectraTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
}


def _load(tensors: Tensors, config: Config, folder: Path | Words | None, _: int | None) -> Model:
    family = config.family
    config = config.under(ENTRIES[family])
    d_model, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    behind = family in ("roberta", "xlm-roberta", "camembert")
    stem = "roberta." if behind else family + "."
    prefix = first_prefix(tensors, NAMES["word"], ("", stem))
    narrow = config.needed("embedding_size") if family == "electra" else d_model
    norms = [norm(tensors, config, prefix + NAMES["norm"], narrow)]
    layers, blocks = [], []
    listed = config.needed("num_hidden_layers")
    for index in range(stacking.count_layers(tensors, prefix + NAMES["layer"], PARTS, listed)):
        at = prefix + NAMES["layer"].format(index)
        stems = {part: at + name for part, name in NAMES.items()}
        layer, block, after = encoder_layer(tensors, config, stems, d_model, n_heads)
        layers.append(layer)
        blocks.append(block)
        norms.append(after)
    embedding, positions = embeddings(tensors, config, prefix, narrow)
    padding, projection = None, None
    if narrow != d_model:
        projection = projected(tensors, prefix + "embeddings_project", narrow, d_model)
    if behind:
        positions, padding = _behind_padding(config, positions)
    return text_model(
        config,
        folder,
        TOKENIZERS[family],
        layers,
        embedding,
        padding,
        projection=projection,
        positions=positions,
        norms=norms[:-1],
        causal=False,
        blocks=blocks,
    )


def embeddings(tensors: Tensors, config: Config, prefix: str, width: int) -> tuple[Array, Array]:
    """Words (V, width), and positions with type 0: a context is one segment."""
    sizes = ("vocab_size", "max_position_embeddings", "type_vocab_size")
    word, position, kind = (
        tensors.weight(prefix + NAMES[part], (config.count(size), width))
        for part, size in zip(("word", "position", "type"), sizes, strict=True)
    )
    return word, position + kind[0]


def projected(tensors: Tensors, stem: str, narrow: int, width: int) -> AffineMap:
    """The map from the embedding's states to those of the layers (ELECTRA, ALBERT)."""
    matrix = tensors.weight(stem + ".weight", (width, narrow)).T
    return AffineMap(matrix, tensors.weight(stem + ".bias", (width,)))


def norm(tensors: Tensors, config: Config, stem: str, width: int) -> LayerNorm:
    """The norm of a stem, with the configuration's epsilon."""
    return stacking.layer_norm(tensors, stem, width, config.number("layer_norm_eps"))


def encoder_layer(
    tensors: Tensors, config: Config, stems: Mapping[str, str], d_model: int, n_heads: int
) -> tuple[AttentionLayer, Block, LayerNorm]:
    """One layer with the block behind it, and the norm after both; ``stems`` as in ``NAMES``."""
    parts = stacking.attention(tensors, stems, d_model, (n_heads, n_heads), d_model // n_heads)
    inner, activation = config.count("intermediate_size"), config.activation("hidden_act")
    mlp = stacking.mlp(tensors, stems, d_model, inner, activation)
    between = norm(tensors, config, stems["norm after attention"], d_model)
    return (
        AttentionLayer.from_arrays(**parts, variable="post-normalisation state"),
        Block(mlp, between, norm_first=False),
        norm(tensors, config, stems["norm after mlp"], d_model),
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


def _recognises(tensors: Tensors, config: Config) -> bool:
    """Whether the names are BERT's, with two segments: RoBERTa's are alike and have one."""
    names = NAMES["word"], NAMES["type"], NAMES["layer"].format(0) + NAMES["q"] + ".weight"
    found = any(all(p + name in tensors.shapes for name in names) for p in ("", "bert."))
    return found and config.values.get("type_vocab_size") == 2


BERT = ModelFamily(tuple(ENTRIES), _load, _recognises)
