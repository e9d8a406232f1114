"""Every family against transformers: states, logits, weights and winners of all heads and layers.

Small random configurations, in double precision throughout: where the reference asks for single
precision it gets doubles.
"""

import numpy as np
import pytest

from tropattn.attention.evaluated.forward import attend, attention_scores, attention_weights
from tropattn.attention.loading import from_torch, load

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

N, V = 13, 23
SMALL = {
    "vocab_size": V,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "initializer_range": 0.4,
    "pad_token_id": 0,
}
TRAINED = {"original_max_position_embeddings": 8}
ROPES = {
    "linear": {"rope_type": "linear", "factor": 3.0, "rope_theta": 50.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 50.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "rope_theta": 30.0,
        **TRAINED,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 30.0, **TRAINED},
    "yarn scales": {
        "rope_type": "yarn",
        "factor": 4.0,
        "rope_theta": 30.0,
        "mscale": 0.7,
        "mscale_all_dim": 1.3,
        "beta_fast": 2.0,
        "beta_slow": 0.5,
        "truncate": False,
        **TRAINED,
    },
}
LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.5, 2.0, 4.0],
    "long_factor": [2.0, 3.0, 4.0, 9.0],
}
KINDS = ["sliding_attention", "full_attention", "sliding_attention"]
QWEN3 = {**SMALL, "head_dim": 6}
GEMMA = {**SMALL, "head_dim": 6, "query_pre_attn_scalar": 9, "sliding_window": 4}
ENCODER = {k: v for k, v in SMALL.items() if k != "num_key_value_heads"}
PLAIN = {k: v for k, v in ENCODER.items() if k not in ("vocab_size", "max_position_embeddings")}
DISTIL = {
    "vocab_size": V,
    "dim": 16,
    "hidden_dim": 20,
    "n_layers": 3,
    "n_heads": 4,
    "max_position_embeddings": 32,
    "initializer_range": 0.4,
    "activation": "relu",
}
NEOX = {k: v for k, v in SMALL.items() if k != "num_key_value_heads"} | {"hidden_size": 32}
MIXTRAL = {**SMALL, "num_local_experts": 5, "num_experts_per_tok": 2}

CASES = {
    **{
        f"llama {name}": ("Llama", {**SMALL, "head_dim": 8, "rope_parameters": rope})
        for name, rope in ROPES.items()
    },
    "qwen3": ("Qwen3", QWEN3),
    "qwen3 biased": ("Qwen3", {**QWEN3, "attention_bias": True, "rms_norm_eps": 0.01}),
    "qwen3 window": (
        "Qwen3",
        {**QWEN3, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
    ),
    "qwen3 yarn": ("Qwen3", {**QWEN3, "rope_parameters": ROPES["yarn"]}),
    "olmo2": ("Olmo2", {**SMALL, "rms_norm_eps": 1e-3}),
    "olmo2 biased": ("Olmo2", {**SMALL, "attention_bias": True}),
    "smollm3": ("SmolLM3", {**SMALL, "no_rope_layer_interval": 2}),
    "smollm3 window": (
        "SmolLM3",
        {
            **SMALL,
            "no_rope_layers": [1, 0, 1],
            "use_sliding_window": True,
            "sliding_window": 4,
            "attention_bias": True,
            "mlp_bias": True,
        },
    ),
    "phi3": ("Phi3", {**SMALL, "sliding_window": 5}),
    "phi3 partial": (
        "Phi3",
        {**SMALL, "hidden_size": 32, "rope_parameters": {"partial_rotary_factor": 0.5}},
    ),
    "phi3 long": (
        "Phi3",
        {
            **SMALL,
            "hidden_size": 32,
            "max_position_embeddings": 64,
            "original_max_position_embeddings": 16,
            "rope_parameters": LONG,
        },
    ),
    "gemma2": ("Gemma2", {**GEMMA, "attn_logit_softcapping": 3.0}),
    "gemma2 without cap": (
        "Gemma2",
        {**GEMMA, "attn_logit_softcapping": None, "layer_types": KINDS, "attention_bias": True},
    ),
    "gemma3": ("Gemma3Text", {**GEMMA, "layer_types": KINDS}),
    "gemma3 linear": (
        "Gemma3Text",
        {
            **GEMMA,
            "layer_types": KINDS,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 99.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
            },
        },
    ),
    "gpt neox": ("GPTNeoX", NEOX),
    "gpt neox in a row": (
        "GPTNeoX",
        {
            **NEOX,
            "use_parallel_residual": False,
            "attention_bias": False,
            "rope_parameters": {**ROPES["linear"], "partial_rotary_factor": 0.5},
        },
    ),
    "distilbert": ("DistilBert", DISTIL),
    "electra": ("Electra", {**ENCODER, "embedding_size": 6}),
    "electra wide": ("Electra", {**ENCODER, "embedding_size": 16}),
    "xlm-roberta": ("XLMRoberta", {**ENCODER, "pad_token_id": 1}),
    "camembert": ("Camembert", {**ENCODER, "pad_token_id": 1}),
    "modernbert": ("ModernBert", {**ENCODER, "local_attention": 6}),
    "modernbert biased": (
        "ModernBert",
        {
            **ENCODER,
            "local_attention": 5,
            "layer_types": KINDS,
            "norm_bias": True,
            "attention_bias": True,
            "mlp_bias": True,
            "rope_parameters": {"full_attention": ROPES["linear"]},
        },
    ),
    "deit": ("DeiT", {**PLAIN, "image_size": [6, 9], "patch_size": 3, "num_channels": 2}),
    "dinov2": ("Dinov2", {**PLAIN, "image_size": 9, "patch_size": 3, "mlp_ratio": 2}),
    "opt": ("OPT", {**ENCODER, "ffn_dim": 20, "word_embed_proj_dim": 16, "init_std": 0.4}),
    "opt unbiased": (
        "OPT",
        {
            **ENCODER,
            "ffn_dim": 20,
            "word_embed_proj_dim": 16,
            "init_std": 0.4,
            "enable_bias": False,
        },
    ),
    "bloom": ("Bloom", {**ENCODER, "n_layer": 3, "n_head": 4}),
    "bloom of six heads": ("Bloom", {**ENCODER, "hidden_size": 24, "n_layer": 2, "n_head": 6}),
    "gpt-oss": ("GptOss", {**MIXTRAL, "head_dim": 6, "sliding_window": 4}),
    "gpt-oss linear": (
        "GptOss",
        {
            **MIXTRAL,
            "head_dim": 6,
            "layer_types": KINDS,
            "sliding_window": 5,
            "swiglu_limit": 0.5,
            "attention_bias": False,
            "rope_parameters": ROPES["linear"],
        },
    ),
    "mixtral": ("Mixtral", MIXTRAL),
    "mixtral window": ("Mixtral", {**MIXTRAL, "sliding_window": 3, "num_experts_per_tok": 3}),
}


def network(family, settings, seed=1):
    """A random model; biases, norms and whatever else has one axis are random too."""
    config = getattr(transformers, family + "Config")(**settings)
    torch.manual_seed(seed)
    made = getattr(transformers, family + "Model")._from_config(
        config, attn_implementation="eager", dtype=torch.float64
    )
    if hasattr(made.config, "_experts_implementation"):
        made.set_experts_implementation("eager")
    with torch.no_grad():
        for part in made.parameters():
            if part.dim() == 1:
                part.add_(0.3 * torch.randn_like(part))
    return made.eval()


def a_context(model):
    rng = np.random.default_rng(4)
    if model.embedding is None:
        return rng.normal(size=(model.patches.weight.shape[1], *model.patches.size))
    return rng.integers(2, V, N)


def run_reference(made, context):
    given = {"input_ids": torch.tensor(context)[None]}
    if context.ndim == 3:
        given = {"pixel_values": torch.tensor(context)[None]}
    with torch.no_grad():
        out = made(**given, output_attentions=True, output_hidden_states=True)
    return [weights[0].numpy() for weights in out.attentions]


def assert_agrees(model, context, weights, logits):
    """Compare all heads of all layers, and the polynomials that are counted at three places."""
    assert len(weights) == len(model.layers) == len(logits)
    for layer, rows, wanted, before in zip(
        model.layers, model.states(context), weights, logits, strict=True
    ):
        how = {"causal": model.causal, "window": layer.window}
        for h, head in enumerate(layer.heads):
            soft = attention_weights(head, rows, **how)[:, : len(rows)]
            np.testing.assert_allclose(soft, wanted[h], atol=1e-9, rtol=0)
            scores = attention_scores(head, rows, **how)
            seen = np.isfinite(scores)
            if head.sink is not None:
                # The reference takes the largest logit off first; the sink's column is the last.
                scores = scores - scores.max(axis=1, keepdims=True)
            scores, given = np.where(seen, scores, 0), np.where(seen, before[h], 0)
            if head.slant is not None:
                # Positions are counted from the query here, from the start there.
                scores, given = scores - scores[:, :1], given - given[:, :1]
                scores, given = np.where(seen, scores, 0), np.where(seen, given, 0)
            np.testing.assert_allclose(scores, given, atol=1e-9)
            hard = attention_weights(head, rows, temperature=0, **how)
            top = np.sort(np.where(seen, before[h], -np.inf), axis=1)
            clear = top[:, -1] - top[:, -2] > 1e-6
            assert (hard.argmax(axis=1) == np.where(seen, before[h], -np.inf).argmax(axis=1))[
                clear
            ].all()
        for place in (0, len(rows) // 2, len(rows) - 1):
            context_rows = rows[: place + 1] if model.causal else rows
            fixed = layer.fix(context_rows, query_position=place)
            out = attend(layer, rows, causal=model.causal)[place]
            np.testing.assert_allclose(fixed(rows[place], temperature=1), out, atol=1e-9)
            for h, head in enumerate(fixed.heads):
                kept = fixed.tokens[h]
                real = wanted[h][place][kept[kept >= 0]]
                if len(real) > 1 and np.diff(np.sort(real))[-1] > 1e-6:
                    winner = kept[head.argmax(rows[place])]
                    assert winner == wanted[h][place].argmax() or winner < 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_family(name, tmp_path, in_doubles):
    family, settings = CASES[name]
    made = network(family, settings)
    made.save_pretrained(tmp_path)
    model = load(tmp_path)
    context = a_context(model)
    in_doubles.clear()
    weights = run_reference(made, context)
    assert_agrees(model, context, weights, in_doubles)
    direct = from_torch(made)
    for a, b in zip(model.states(context), direct.states(context), strict=True):
        assert (a == b).all()
