"""Padding in front, behind and within, against transformers' ``attention_mask`` (its eager mode).

Rows of padding are left out on both sides: nothing sees them, and implementations differ there.
"""

import numpy as np
import pytest

from tropattn.attention.evaluated.forward import attention_weights
from tropattn.attention.loading import load

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SMALL = {
    "vocab_size": 23,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
GPT2 = {"vocab_size": 23, "n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 32}
HEADS = {**SMALL, "num_key_value_heads": 2, "head_dim": 6}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
KINDS = ["sliding_attention", "full_attention", "sliding_attention"]
DISTIL = {
    "vocab_size": 23,
    "dim": 16,
    "hidden_dim": 20,
    "n_layers": 3,
    "n_heads": 4,
    "max_position_embeddings": 32,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
CASES = {
    "bert": ("Bert", SMALL),
    "roberta": ("Roberta", {**SMALL, "pad_token_id": 1}),
    "albert": ("Albert", {**SMALL, "embedding_size": 6}),
    "gpt2": ("GPT2", {**GPT2, "initializer_range": 0.3, "pad_token_id": 0}),
    "llama": ("Llama", {**SMALL, "num_key_value_heads": 2}),
    "llama to both sides": ("Llama", {**SMALL, "is_causal": False}),
    "mistral": ("Mistral", {**SMALL, "num_key_value_heads": 2, "sliding_window": 3}),
    "qwen2": ("Qwen2", {**SMALL, "num_key_value_heads": 2}),
    "qwen3": ("Qwen3", HEADS),
    "olmo2": ("Olmo2", {**SMALL, "num_key_value_heads": 2}),
    "smollm3": ("SmolLM3", {**SMALL, "num_key_value_heads": 2, "no_rope_layer_interval": 2}),
    "phi3": ("Phi3", {**SMALL, "sliding_window": 4}),
    "mixtral": ("Mixtral", {**HEADS, **EXPERTS, "sliding_window": 3}),
    "gemma2": ("Gemma2", {**HEADS, "sliding_window": 4, "attn_logit_softcapping": 3.0}),
    "gemma3": ("Gemma3Text", {**HEADS, "sliding_window": 4, "layer_types": KINDS}),
    "gpt neox": ("GPTNeoX", {**SMALL, "hidden_size": 32}),
    "gpt-oss": ("GptOss", {**HEADS, **EXPERTS, "sliding_window": 4}),
    "distilbert": ("DistilBert", DISTIL),
    "electra": ("Electra", {**SMALL, "embedding_size": 6}),
    "xlm-roberta": ("XLMRoberta", {**SMALL, "pad_token_id": 1}),
    "camembert": ("Camembert", {**SMALL, "pad_token_id": 1}),
    "modernbert": ("ModernBert", {**SMALL, "local_attention": 4}),
}
MASKS = {
    "in front": [0, 0, 0, 1, 1, 1, 1, 1, 1],
    "behind": [1, 1, 1, 1, 1, 1, 0, 0, 0],
    "within": [1, 1, 0, 1, 0, 0, 1, 1, 1],
    "none": [1] * 9,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_padding_as_transformers_masks_it(name, tmp_path, monkeypatch):
    family, settings = CASES[name]
    # In single precision the softmax of a row without any key is NaN, which then spreads.
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim=-1, **_: softmax(x, dim=dim))
    transformers.logging.set_verbosity_error()
    config = getattr(transformers, family + "Config")(**settings)
    torch.manual_seed(1)
    made = getattr(transformers, family + "Model")._from_config(
        config, attn_implementation="eager", dtype=torch.float64
    )
    if hasattr(made.config, "_experts_implementation"):
        made.set_experts_implementation("eager")
    for tensor in made.parameters():
        if tensor.dim() == 1:
            tensor.data.add_(0.3 * torch.randn_like(tensor))
    made.eval().save_pretrained(tmp_path)
    model = load(tmp_path)
    pad = settings.get("pad_token_id")
    for padded in (True, False):
        for mask in MASKS.values():
            kept = np.array(mask, dtype=bool)
            ids = np.array([5, 9, 3, 7, 9, 11, 20, 2, 8])
            ids = np.where(kept, ids, pad) if padded else ids
            given = {
                "input_ids": torch.tensor(ids)[None],
                "attention_mask": torch.tensor(mask)[None],
            }
            with torch.no_grad():
                out = made(**given, output_attentions=True, output_hidden_states=True)
            states = model.states(ids, mask)
            for index, layer in enumerate(model.layers):
                for h, head in enumerate(layer.heads):
                    weights = attention_weights(
                        head,
                        states[index],
                        causal=model.causal,
                        window=layer.window,
                        mask=None if kept.all() else kept,
                    )[:, : len(kept)]
                    right = out.attentions[index][0, h].numpy()
                    np.testing.assert_allclose(weights[kept], right[kept], atol=1e-6, rtol=0)
                last = int(np.flatnonzero(kept)[-1])
                fixed = model.fix(ids, index, last, mask=mask)
                state = states[index][last][None]
                scores = fixed.heads[0].scores(state)
                if fixed.logits is not None and fixed.logits[0] is not None:
                    scores = fixed.logits[0](state, scores)
                soft = np.exp(scores[0] - scores.max())
                real = fixed.tokens[0] >= 0
                right = out.attentions[index][0, 0, last].numpy()[fixed.tokens[0][real]]
                np.testing.assert_allclose((soft / soft.sum())[real], right, atol=1e-6, rtol=0)
