"""Every entry of ``config.json``: dropped, null, or of another value, against transformers.

For each family a small random model is saved by transformers; each entry of its configuration, and
each that the family's table names, is then changed in the file, and both sides read the folder
again. Where both read it, they agree to 1e-6 in all attention weights; a change that only one of
the two refuses is no contradiction: transformers refuses null and wrong types, this package what it
does not implement.
"""

import json
import random

import numpy as np
import pytest

from tropattn.attention.evaluated.forward import attention_weights
from tropattn.attention.loading import (
    albert,
    bert,
    bloom,
    dinov2,
    distilbert,
    gemma,
    gpt2,
    gpt_neox,
    gpt_oss,
    llama,
    load,
    mixtral,
    modernbert,
    olmo2,
    opt,
    phi3,
    qwen,
    smollm3,
    vit,
)
from tropattn.errors import InvalidInput

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

V = 23
IDS = [5, 9, 3, 7, 9, 11, 20, 2, 8, 4, 14]
SMALL = {
    "vocab_size": V,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
GPT2 = {
    "vocab_size": V,
    "n_embd": 16,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 32,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
VIT = {k: v for k, v in SMALL.items() if k not in ("vocab_size", "max_position_embeddings")}
LLAMA = {**SMALL, "num_key_value_heads": 2}
WINDOW = {**LLAMA, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}
KINDS = ["sliding_attention", "full_attention", "sliding_attention"]
LONG = {"rope_type": "longrope", "short_factor": [1.0, 2.0], "long_factor": [2.0, 4.0]}
GEMMA = {**LLAMA, "head_dim": 6, "query_pre_attn_scalar": 9, "sliding_window": 4}
BASES = {
    "bert": ("Bert", SMALL, bert.ENTRIES["bert"]),
    "roberta": ("Roberta", {**SMALL, "pad_token_id": 1}, bert.ENTRIES["roberta"]),
    "roberta pad 0": ("Roberta", SMALL, bert.ENTRIES["roberta"]),
    "albert": ("Albert", {**SMALL, "embedding_size": 6}, albert.ENTRIES),
    "gpt2": ("GPT2", GPT2, gpt2.ENTRIES),
    "gpt2 by layer": ("GPT2", {**GPT2, "scale_attn_by_inverse_layer_idx": True}, gpt2.ENTRIES),
    "llama": ("Llama", LLAMA, llama.ENTRIES["llama"]),
    "llama biased": (
        "Llama",
        {**LLAMA, "attention_bias": True, "mlp_bias": True, "head_dim": 6},
        llama.ENTRIES["llama"],
    ),
    "mistral": ("Mistral", {**LLAMA, "sliding_window": 4}, llama.ENTRIES["mistral"]),
    "mistral 8": (
        "Mistral",
        {**LLAMA, "num_attention_heads": 8, "num_key_value_heads": 8, "sliding_window": None},
        llama.ENTRIES["mistral"],
    ),
    "qwen2": ("Qwen2", LLAMA, qwen.ENTRIES["qwen2"]),
    "qwen2 window": ("Qwen2", WINDOW, qwen.ENTRIES["qwen2"]),
    "qwen2 kinds": ("Qwen2", {**WINDOW, "layer_types": KINDS}, qwen.ENTRIES["qwen2"]),
    "qwen3": ("Qwen3", {**LLAMA, "head_dim": 6}, qwen.ENTRIES["qwen3"]),
    "qwen3 window": ("Qwen3", {**WINDOW, "head_dim": 4}, qwen.ENTRIES["qwen3"]),
    "olmo2": ("Olmo2", LLAMA, olmo2.ENTRIES["olmo2"]),
    "smollm3": ("SmolLM3", {**LLAMA, "no_rope_layer_interval": 2}, smollm3.ENTRIES["smollm3"]),
    "phi3": ("Phi3", {**LLAMA, "sliding_window": 6}, phi3.ENTRIES["phi3"]),
    "phi3 long": ("Phi3", {**LLAMA, "rope_parameters": LONG}, phi3.ENTRIES["phi3"]),
    "gemma2": ("Gemma2", GEMMA, gemma.ENTRIES["gemma2"]),
    "gemma3": ("Gemma3Text", {**GEMMA, "layer_types": KINDS}, gemma.ENTRIES["gemma3_text"]),
    "gpt neox": ("GPTNeoX", {**SMALL, "hidden_size": 32}, gpt_neox.ENTRIES),
    "gpt-oss": (
        "GptOss",
        {**GEMMA, "num_local_experts": 4, "num_experts_per_tok": 2},
        gpt_oss.ENTRIES["gpt_oss"],
    ),
    "mixtral": (
        "Mixtral",
        {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
        mixtral.ENTRIES["mixtral"],
    ),
    "electra": ("Electra", {**SMALL, "embedding_size": 6}, bert.ENTRIES["electra"]),
    "xlm-roberta": ("XLMRoberta", {**SMALL, "pad_token_id": 1}, bert.ENTRIES["xlm-roberta"]),
    "distilbert": (
        "DistilBert",
        {"vocab_size": V, "dim": 16, "hidden_dim": 20, "n_layers": 2, "n_heads": 4},
        distilbert.ENTRIES,
    ),
    "modernbert": ("ModernBert", {**SMALL, "local_attention": 6}, modernbert.ENTRIES),
    "opt": ("OPT", {**SMALL, "ffn_dim": 20, "word_embed_proj_dim": 16}, opt.ENTRIES),
    "bloom": ("Bloom", {**SMALL, "n_layer": 2, "n_head": 4}, bloom.ENTRIES),
    "bloom in parts": (
        "Bloom",
        {**SMALL, "n_layer": 2, "n_head": 4, "pretraining_tp": 2},
        bloom.ENTRIES,
    ),
    "deit": ("DeiT", {**VIT, "image_size": 12, "patch_size": 4}, vit.ENTRIES["deit"]),
    "dinov2": ("Dinov2", {**VIT, "image_size": 12, "patch_size": 4}, dinov2.ENTRIES),
    "vit": (
        "ViT",
        {**VIT, "image_size": 12, "patch_size": 4, "num_channels": 3},
        vit.ENTRIES["vit"],
    ),
    "vit unbiased": (
        "ViT",
        {**VIT, "image_size": 12, "patch_size": 4, "num_channels": 2, "qkv_bias": False},
        vit.ENTRIES["vit"],
    ),
}
OTHERS = {
    "hidden_act": ["relu", "gelu", "gelu_new", "silu", "swish", "gelu_pytorch_tanh", "tanh"],
    "activation_function": ["relu", "gelu", "gelu_new", "silu", "gelu_pytorch_tanh", "quick_gelu"],
    "layer_types": [["full_attention"] * 3, ["sliding_attention"] * 3, KINDS, KINDS[:2]],
    "max_window_layers": [0, 1, 2, 3, 28],
    "sliding_window": [1, 2, 4, 5, 32],
    "pad_token_id": [0, 1, 2, 3, 16],
    "position_embedding_type": ["absolute", "relative_key"],
    "rope_theta": [50.0, 1e6, 7],
    "rope_parameters": [
        {"rope_type": "default", "rope_theta": 50.0},
        {"rope_type": "default"},
        {"type": "default", "rope_theta": 9.0},
        {"rope_theta": 30.0},
        {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8},
        {"rope_type": "yarn", "factor": 2.0, "attention_factor": 1.7, "truncate": False},
        {
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 12,
        },
        {"rope_type": "default", "partial_rotary_factor": 0.5},
        {"rope_type": "linear", "factor": 4.0, "partial_rotary_factor": 0.5},
        {"rope_type": "yarn", "factor": 2.0, "partial_rotary_factor": 0.75},
        {"rope_type": "default", "mrope_section": [1, 1]},
        {"full_attention": {"rope_type": "linear", "factor": 2.0}},
        {**LONG, "attention_factor": 1.3},
        {**LONG, "factor": 4.0, "original_max_position_embeddings": 16},
        {},
    ],
    "rope_scaling": [
        {"rope_type": "default", "rope_theta": 50.0},
        {"rope_type": "default"},
        {"type": "linear", "factor": 2.0},
        {"rope_type": "dynamic", "factor": 2.0},
        LONG,
        {**LONG, "type": "su", "rope_type": "su"},
        {},
    ],
    "rope_local_base_freq": [40.0],
    "rotary_pct": [0.5, 1.0],
    "rotary_emb_base": [40.0],
    "original_max_position_embeddings": [8, 12, 16],
    "no_rope_layers": [[1, 1, 0], [0, 0, 0, 0], [1, 1]],
    "hidden_activation": ["relu", "gelu", "gelu_pytorch_tanh"],
    "attn_logit_softcapping": [2.0, 30.0],
    "num_experts": [4, 3],
    "local_attention": [2, 5, 8],
    "global_attn_every_n_layers": [1, 2],
    "global_rope_theta": [30.0],
    "local_rope_theta": [30.0],
    "hidden_size": [16, 8, 32],
    "partial_rotary_factor": [1.0, 0.5],
    "quantization_config": [{"bits": 8}],
    "num_key_value_heads": [1, 2, 4, 8],
    "head_dim": [2, 4, 6, 8],
    "image_size": [8, 12, 16, [12, 12]],
    "model_type": ["bert", "roberta", "llama", "mistral", "qwen2", "gpt2", "qwen3", "phi3"],
}
"""Legal values of entries that are no plain truth value or number."""


def others(name, value, draw):
    """Other legal values of an entry."""
    if name in OTHERS:
        return [other for other in OTHERS[name] if other != value]
    if isinstance(value, bool) or value is None:
        return [True, False]
    if isinstance(value, int):
        return [value + 1, 2 * value, max(1, value // 2), draw.randrange(1, 40)]
    if isinstance(value, float):
        return [value * 2, value / 2 + 0.01, draw.uniform(0.01, 1)]
    return []


def saved(family, settings, folder):
    """Save a random model; biases and norms are random too."""
    config = getattr(transformers, family + "Config")(**settings)
    torch.manual_seed(len(family))
    made = getattr(transformers, family + "Model")._from_config(config, dtype=torch.float64)
    for name, tensor in made.state_dict().items():
        if tensor.dim() == 1 and "inv_freq" not in name:
            tensor.add_(0.3 * torch.randn_like(tensor))
    made.save_pretrained(folder)


def reference(folder, image):
    """Attention weights by transformers, None where it does not read the folder whole."""
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            empty = transformers.AutoModel.from_config(config)
        # The default sizes of a family fit no small model, and need gigabytes.
        if sum(part.numel() for part in empty.parameters()) > 10**6:
            return None
        made, info = transformers.AutoModel.from_pretrained(
            folder,
            attn_implementation="eager",
            dtype=torch.float64,
            output_loading_info=True,
            local_files_only=True,
        )
        missing = [name for name in info["missing_keys"] if "pooler" not in name]
        if missing or info["mismatched_keys"] or info.get("error_msgs"):
            return None
        made.eval()
        if hasattr(made.config, "_experts_implementation"):
            made.set_experts_implementation("eager")
        given = {"input_ids": torch.tensor([IDS])}
        if image is not None:
            given = {"pixel_values": torch.tensor(image)[None]}
        with torch.no_grad():
            out = made(**given, output_attentions=True).attentions
    except Exception:  # noqa: BLE001 (whatever a configuration makes it raise)
        return None
    found = [weights[0].numpy() for weights in out]
    return found if all(np.isfinite(weights).all() for weights in found) else None


def ours(folder, image):
    """Attention weights by this package; ``InvalidInput`` where it refuses."""
    model = load(folder)
    rows = model.states(IDS if image is None else image)
    return [
        np.stack(
            [
                # The last column is a sink's, if there is one.
                attention_weights(head, state, causal=model.causal, window=layer.window)[
                    :, : len(state)
                ]
                for head in layer.heads
            ]
        )
        for layer, state in zip(model.layers, rows, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BASES)
def test_every_entry_is_honoured_or_refused(name, in_doubles, tmp_path, capsys):
    family, settings, entries = BASES[name]
    draw = random.Random(name)
    transformers.logging.set_verbosity_error()
    saved(family, settings, tmp_path)
    image = None
    if family in ("ViT", "DeiT", "Dinov2"):
        shape = (settings.get("num_channels", 3), 12, 12)
        image = np.random.default_rng(0).standard_normal(shape)
    path = tmp_path / "config.json"
    base = json.loads(path.read_text())
    named = sorted({*base, *entries.read, *entries.fixed, *entries.names, "is_causal"})
    cases = [("as saved", base)]
    for entry in named:
        if entry in base:
            cases.append((f"{entry} dropped", {k: v for k, v in base.items() if k != entry}))
        cases.append((f"{entry} null", {**base, entry: None}))
        for other in others(entry, base.get(entry), draw):
            cases.append((f"{entry} {other!r}", {**base, entry: other}))
    counts, wrong = dict.fromkeys(("equal", "refused", "refused by the reference"), 0), []
    for what, values in cases:
        path.write_text(json.dumps(values))
        expected = reference(tmp_path, image)
        try:
            found = ours(tmp_path, image)
        except InvalidInput:
            counts["refused"] += 1
            continue
        if expected is None:
            counts["refused by the reference"] += 1
            continue
        same = [w.shape for w in found] == [w.shape for w in expected]
        if same and max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True)) < 1e-6:
            counts["equal"] += 1
        else:
            wrong.append(what)
    with capsys.disabled():
        print(f"\n{name}: {len(cases)} cases, {counts}", end="")  # noqa: T201
    assert not wrong, wrong
    assert counts["equal"] > len(cases) / 4
