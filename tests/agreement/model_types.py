"""Which models of transformers are read: small random ones of every kind, tried one by one.

python tests/agreement/model_types.py        # prints the table of docs/models.md
"""

import os
import sys
import tempfile
import warnings

import tropattn as ta

SMALL = {
    "vocab_size": 23,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
KEYS = {"num_key_value_heads": 2}
HEADS = {**KEYS, "head_dim": 4}
IMAGE = {"image_size": 8, "patch_size": 4, "num_channels": 3}
GPT = {"vocab_size": 23, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 16}
NAMED = {"d_model": 16, "n_layers": 2, "n_heads": 4}
TYPES = {
    "albert": {"embedding_size": 6},
    "apertus": KEYS,
    "arcee": KEYS,
    "bart": {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1},
    "bert": {},
    "bert-generation": {},
    "big_bird": {"attention_type": "original_full"},
    "bloom": {"n_layer": 2, "n_head": 4},
    "camembert": {"pad_token_id": 1},
    "codegen": {**GPT, "rotary_dim": 2},
    "cohere": KEYS,
    "ctrl": {**GPT, "dff": 20},
    "data2vec-text": {"pad_token_id": 1},
    "deberta-v2": {},
    "deit": IMAGE,
    "dinov2": {**IMAGE, "mlp_ratio": 2},
    "distilbert": {"dim": 16, "hidden_dim": 20, "n_layers": 2, "n_heads": 4},
    "electra": {"embedding_size": 6},
    "ernie": {},
    "esm": {"mask_token_id": 1, "position_embedding_type": "rotary"},
    "exaone4": HEADS,
    "falcon": {"num_kv_heads": 4},
    "gemma": HEADS,
    "gemma2": HEADS,
    "gemma3_text": HEADS,
    "glm": {**HEADS, "partial_rotary_factor": 0.5},
    "glm4": {**HEADS, "partial_rotary_factor": 0.5},
    "gpt2": GPT,
    "gpt_bigcode": GPT,
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    "gpt_neox": {},
    "gpt_oss": {**HEADS, "num_local_experts": 3, "num_experts_per_tok": 2},
    "gptj": {**GPT, "rotary_dim": 2},
    "granite": KEYS,
    "helium": HEADS,
    "ijepa": IMAGE,
    "llama": KEYS,
    "mamba": {},
    "mistral": {**KEYS, "sliding_window": 4},
    "mixtral": {**KEYS, "num_local_experts": 3, "num_experts_per_tok": 2},
    "modernbert": {},
    "mpnet": {},
    "mpt": {**NAMED, "max_seq_len": 16},
    "nemotron": KEYS,
    "olmo": KEYS,
    "olmo2": KEYS,
    "opt": {"ffn_dim": 20, "word_embed_proj_dim": 16},
    "persimmon": {},
    "phi": {},
    "phi3": KEYS,
    "qwen2": KEYS,
    "qwen3": HEADS,
    "rembert": {"input_embedding_size": 6},
    "roberta": {"pad_token_id": 1},
    "roberta-prelayernorm": {"pad_token_id": 1},
    "roformer": {"embedding_size": 16},
    "smollm3": KEYS,
    "stablelm": KEYS,
    "starcoder2": KEYS,
    "vit": IMAGE,
    "xglm": {"d_model": 16, "ffn_dim": 20, "num_layers": 2, "attention_heads": 4},
    "xlm-roberta": {"pad_token_id": 1},
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 4, "d_inner": 20},
}
IDS = [3, 9, 4, 11, 7]


def network(kind):
    """A small random model of a kind."""
    import torch
    import transformers

    config = transformers.AutoConfig.for_model(kind, **{**SMALL, **TYPES[kind]})
    torch.manual_seed(0)
    made = transformers.AutoModel.from_config(config)
    if hasattr(made.config, "_experts_implementation"):
        made.set_experts_implementation("eager")
    return made.eval()


def given(kind):
    import torch

    if "image_size" in TYPES[kind]:
        return {"pixel_values": torch.zeros(1, 3, 8, 8, dtype=torch.float64)}
    return IDS


def answer(question):
    """What a call says: yes, or why not, in a few words."""
    try:
        question()
    except ta.InvalidInput as error:
        return next((words for part, words in WHY.items() if part in str(error)), "no")
    return "yes"


WHY = {
    "model_type": "no",
    "has its own": "no: attention outside transformers' interface",
    "queries as": "no: norms of queries, or other queries than affine ones",
    "inputs: what": "no: does not run in doubles",
    "several sequences": "no: does not run on several sequences",
}


def row(kind):
    made = network(kind)
    with tempfile.TemporaryDirectory() as folder:
        made.save_pretrained(folder)
        files = answer(lambda: ta.load(folder))
    return f"| `{kind}` | {files} | {answer(lambda: ta.from_torch(made, given(kind)))} |"


def table():
    """The table, one row a kind of model."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    lines = ["| `model_type` | `load`, `from_torch(model)` | `from_torch(model, inputs)` |"]
    lines.append("|---|---|---|")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines += [row(kind) for kind in sorted(TYPES)]
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if len(sys.argv) > 1:
        for kind in sys.argv[1:]:
            print(row(kind))  # noqa: T201
    else:
        print(table())  # noqa: T201
