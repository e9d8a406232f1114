"""DistilBERT: BERT without segments, under names of its own."""

from __future__ import annotations

from pathlib import Path

from tropattn.attention.loading import bert, stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.tensors import Tensors, first_prefix
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model

__all__ = ["DISTILBERT", "ENTRIES"]

NAMES = {
    "layer": "transformer.layer.{}.",
    "q": "attention.q_lin",
    "k": "attention.k_lin",
    "v": "attention.v_lin",
    "o": "attention.out_lin",
    "norm after attention": "sa_layer_norm",
    "up": "ffn.lin1",
    "down": "ffn.lin2",
    "norm after mlp": "output_layer_norm",
}
ENTRIES = Entries(
    {
        **{name: bert.READ[name] for name in bert.READ if name != "type_vocab_size"},
        "pad_token_id": 0,
        # Of training, and of tables that the file holds.
        "sinusoidal_pos_embds": None,
        "dropout": None,
        "qa_dropout": None,
        "seq_classif_dropout": None,
    },
    {**bert.FIXED, "layer_norm_eps": (1e-12,)},
    {
        "dim": "hidden_size",
        "n_heads": "num_attention_heads",
        "n_layers": "num_hidden_layers",
        "hidden_dim": "intermediate_size",
        "activation": "hidden_act",
    },
)
PARTS = list(NAMES.values())[1:]


def _load(tensors: Tensors, config: Config, folder: Path | Words | None, _: int | None) -> Model:
    config = config.under(ENTRIES)
    width, n_heads = stacking.widths(config, "hidden_size", "num_attention_heads")
    prefix = first_prefix(tensors, bert.NAMES["word"], ("", "distilbert."))
    norms = [bert.norm(tensors, config, prefix + bert.NAMES["norm"], width)]
    layers, blocks = [], []
    listed = config.needed("num_hidden_layers")
    for index in range(stacking.count_layers(tensors, prefix + NAMES["layer"], PARTS, listed)):
        at = prefix + NAMES["layer"].format(index)
        stems = {part: at + name for part, name in NAMES.items()}
        layer, block, after = bert.encoder_layer(tensors, config, stems, width, n_heads)
        layers.append(layer)
        blocks.append(block)
        norms.append(after)
    sizes = {"word": "vocab_size", "position": "max_position_embeddings"}
    word, positions = (
        tensors.weight(prefix + bert.NAMES[part], (config.count(size), width))
        for part, size in sizes.items()
    )
    return text_model(
        config,
        folder,
        "DistilBertTokenizer",
        layers,
        word,
        positions=positions,
        norms=norms[:-1],
        causal=False,
        blocks=blocks,
    )


DISTILBERT = ModelFamily(("distilbert",), _load)
