"""Contexts of 4,000 tokens: the states of every layer, and one layer fixed, in every family.

    python tests/benchmarks/bench_contexts.py [FAMILY ...]

Small random models of transformers, 4 layers of 4 heads on 64 dimensions, saved and read as files;
an image of 63 x 63 patches where the family reads images. Printed is the table of docs/models.md:
processor seconds of ``model.states`` and of ``model.fix`` for the last token of the last layer. All
are of one model in single threads (``OMP_NUM_THREADS=1``), with kernels that are compiled already.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

import numpy as np
import torch
import transformers

import tropattn as ta
from tropattn.attention.loading.families import FAMILIES

N, V, SIDE = 4000, 50, 63
SIZES = {
    "vocab_size": V,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": N + 8,
    "pad_token_id": 0,
}
KEYS = {"num_key_value_heads": 2}
EXPERTS = {**KEYS, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2}
IMAGE = {"image_size": 4 * SIDE, "patch_size": 4}
MORE: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bloom": {"n_layer": 4, "n_head": 4},
    "deit": IMAGE,
    "dinov2": {**IMAGE, "mlp_ratio": 2},
    "distilbert": {"dim": 64, "hidden_dim": 128, "n_layers": 4, "n_heads": 4},
    "electra": {"embedding_size": 16},
    "gemma2": {**KEYS, "head_dim": 16},
    "gemma3_text": {**KEYS, "head_dim": 16},
    "gpt2": {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": N},
    "gpt_oss": EXPERTS,
    "mixtral": EXPERTS,
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 64},
    "qwen3": {**KEYS, "head_dim": 16},
    "vit": IMAGE,
}
DECODERS = ("llama", "mistral", "olmo2", "phi3", "qwen2", "smollm3")


def row(kind: str) -> str:
    """A line of the table."""
    more = MORE.get(kind, KEYS if kind in DECODERS else {})
    config = transformers.AutoConfig.for_model(kind, **{**SIZES, **more})
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        transformers.AutoModel.from_config(config).save_pretrained(folder)
        model = ta.load(folder)
        rng = np.random.default_rng(0)
        image = model.embedding is None
        context = rng.normal(size=(3, 4 * SIDE, 4 * SIDE)) if image else rng.integers(2, V, N)
        start = time.process_time()
        states = model.states(context)
        middle = time.process_time()
        fixed = model.layers[-1].fix(states[-1], query_position=-1)
        end = time.process_time()
    tokens = max(len(kept) for kept in fixed.tokens)
    seconds = f"{middle - start:.1f} | {end - middle:.2f}"
    return f"| `{kind}` | {len(states[0])} | {tokens} | {seconds} |"


def main() -> None:
    """Print the table, or the lines of the families named."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    names = sorted(name for family in FAMILIES for name in family.model_types)
    print("| `model_type` | tokens | keys in sight | states, s | one layer fixed, s |")
    print("|---|---|---|---|---|")
    for kind in sys.argv[1:] or names:
        print(row(kind), flush=True)


if __name__ == "__main__":
    main()
