"""BLOOM: norms first, causal, and in the place of positions a bias that falls with distance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from tropattn._types import Floats
from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import stacking
from tropattn.attention.loading.config import Config, Entries
from tropattn.attention.loading.family import ModelFamily, text_model
from tropattn.attention.loading.gpt_neox import fused_heads
from tropattn.attention.loading.tensors import Tensors, cut, first_prefix
from tropattn.attention.loading.vocabulary import Words
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.padding import Padding

__all__ = ["BLOOM", "ENTRIES", "slants"]

NAMES = {
    "norm before attention": "input_layernorm",
    "q": "attention.q",
    "k": "attention.k",
    "v": "attention.v",
    "o": "self_attention.dense",
    "norm before mlp": "post_attention_layernorm",
    "up": "mlp.dense_h_to_4h",
    "down": "mlp.dense_4h_to_h",
}
ENTRIES = Entries(
    {
        "hidden_size": None,
        "n_head": None,
        "n_layer": None,
        "vocab_size": None,
        "layer_norm_epsilon": 1e-5,
        "is_causal": True,
        "pad_token_id": None,
        "tie_word_embeddings": True,
        "slow_but_exact": False,
        "pretraining_tp": 1,
        # Of how products are summed in training, and of lengths, which the model does not bound.
        "seq_length": None,
        "hidden_dropout": None,
        "attention_softmax_in_fp32": None,
        "masked_softmax_fusion": None,
        "bias_dropout_fusion": None,
        "offset_alibi": None,
        "skip_bias_add": None,
        "skip_bias_add_qkv": None,
        "n_inner": None,
        "unk_token_id": None,
    },
    {
        "apply_residual_connection_post_layernorm": (False,),
        "add_cross_attention": (False,),
        "pruned_heads": ({},),
    },
    {"num_attention_heads": "n_head", "num_hidden_layers": "n_layer", "n_embed": "hidden_size"},
)


def slants(n_heads: int) -> Floats:
    """The slope of each head's bias (Press, Smith, Lewis, arXiv 2108.12409), in single precision.

    >>> slants(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    whole = 2 ** math.floor(math.log2(n_heads))
    base = np.float32(2 ** (-(2 ** -(math.log2(whole) - 3))))
    found = [base**power for power in range(1, whole + 1)]
    if whole != n_heads:
        between = np.float32(2 ** (-(2 ** -(math.log2(2 * whole) - 3))))
        rest = min(whole, n_heads - whole)
        found += [between**power for power in range(1, 1 + 2 * rest, 2)]
    return np.array(found, dtype=np.float32).astype(np.float64)


def _load(tensors: Tensors, config: Config, folder: Path | Words | None, _: int | None) -> Model:
    config = config.under(ENTRIES)
    if config.flag("slow_but_exact") and (config.count("pretraining_tp") or 1) > 1:
        why = "beside a pretraining_tp above 1 the reference leaves offsets out."
        raise config.broken("false", "slow_but_exact", True, why)
    width, n_heads = stacking.widths(config, "hidden_size", "n_head")
    tensors = cut(tensors, fused_heads("self_attention.query_key_value", n_heads, width))
    prefix = first_prefix(tensors, "word_embeddings.weight", ("", "transformer."))
    eps, heads = config.number("layer_norm_epsilon"), (n_heads, n_heads)
    layers, norms, blocks = [], [], []
    names, listed = f"{prefix}h.{{}}.", config.needed("n_layer")
    for index in range(stacking.count_layers(tensors, names, NAMES.values(), listed)):
        stems = {part: names.format(index) + name for part, name in NAMES.items()}
        arrays = stacking.attention(tensors, stems, width, heads, width // n_heads)
        more = {"residual": False, "variable": "post-normalisation state"}
        layers.append(AttentionLayer.from_arrays(**arrays, slants=slants(n_heads), **more))
        norms.append(stacking.layer_norm(tensors, stems["norm before attention"], width, eps))
        before = stacking.layer_norm(tensors, stems["norm before mlp"], width, eps)
        mlp = stacking.mlp(tensors, stems, width, 4 * width, "gelu_new")
        blocks.append(Block(mlp, before, norm_first=True))
    word = tensors.weight(prefix + "word_embeddings.weight", (config.count("vocab_size"), width))
    first = stacking.layer_norm(tensors, prefix + "word_embeddings_layernorm", width, eps)
    token = config.token("pad_token_id")
    return text_model(
        config,
        folder,
        "PreTrainedTokenizer",
        layers,
        first(word),
        # Padding takes no part in the distances, so it cannot stand among the tokens.
        None if token is None else Padding(token, refused=True),
        norms=norms,
        causal=config.causal(),
        blocks=blocks,
    )


BLOOM = ModelFamily(("bloom",), _load)
