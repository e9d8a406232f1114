"""The last map of a model file beside transformers: the logits of small random models."""

import numpy as np
import pytest

from tropattn.study.unembedding import read_unembedding

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SMALL = {
    "vocab_size": 23,
    "hidden_size": 8,
    "intermediate_size": 10,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "pad_token_id": 1,
    "initializer_range": 0.5,
}
DECODER = {**SMALL, "num_key_value_heads": 1, "head_dim": 4}
EXPERTS = {**DECODER, "num_local_experts": 2, "num_experts_per_tok": 1}
CASES = {
    "bert": ("BertForMaskedLM", SMALL, "transform.LayerNorm"),
    "bert untied": (
        "BertForMaskedLM",
        {**SMALL, "tie_word_embeddings": False},
        "transform.LayerNorm",
    ),
    "camembert": ("CamembertForMaskedLM", SMALL, "layer_norm"),
    "gemma2": ("Gemma2ForCausalLM", {**DECODER, "final_logit_softcapping": None}, "model.norm"),
    "gemma3": ("Gemma3ForCausalLM", DECODER, "model.norm"),
    "gpt2": ("GPT2LMHeadModel", {"vocab_size": 23, "n_embd": 8, "n_head": 2}, "ln_f"),
    "gpt neox": ("GPTNeoXForCausalLM", SMALL, "final_layer_norm"),
    "gpt neox tied": (
        "GPTNeoXForCausalLM",
        {**SMALL, "tie_word_embeddings": True},
        "final_layer_norm",
    ),
    "gpt-oss": ("GptOssForCausalLM", EXPERTS, "model.norm"),
    "llama": ("LlamaForCausalLM", DECODER, "model.norm"),
    "llama tied": ("LlamaForCausalLM", {**DECODER, "tie_word_embeddings": True}, "model.norm"),
    "mistral": ("MistralForCausalLM", DECODER, "model.norm"),
    "mixtral": ("MixtralForCausalLM", EXPERTS, "model.norm"),
    "olmo2": ("Olmo2ForCausalLM", DECODER, "model.norm"),
    "phi3": ("Phi3ForCausalLM", {**SMALL, "num_key_value_heads": 1}, "model.norm"),
    "qwen2": ("Qwen2ForCausalLM", DECODER, "model.norm"),
    "qwen3": ("Qwen3ForCausalLM", DECODER, "model.norm"),
    "roberta": ("RobertaForMaskedLM", SMALL, "layer_norm"),
    "smollm3": ("SmolLM3ForCausalLM", DECODER, "model.norm"),
    "xlm-roberta": ("XLMRobertaForMaskedLM", SMALL, "layer_norm"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_logits_are_the_last_map_of_the_last_norm(name, tmp_path, in_doubles):
    made, settings, norm = CASES[name]
    kind = getattr(transformers, made)
    torch.manual_seed(0)
    model = kind._from_config(kind.config_class(**settings), dtype=torch.float64).eval()
    for tensor in model.state_dict().values():
        if tensor.dim() == 1:
            tensor.add_(0.3 * torch.randn_like(tensor))
    if hasattr(model.config, "_experts_implementation"):
        model.set_experts_implementation("eager")
    model.save_pretrained(tmp_path)
    (place,) = [part for part, _ in model.named_modules() if part.endswith(norm)]
    given = []
    model.get_submodule(place).register_forward_pre_hook(lambda _, args: given.append(args[0]))
    with torch.no_grad():
        logits = model(torch.tensor([[3, 5, 7, 9]])).logits[0].numpy()
    last = read_unembedding(str(tmp_path))
    rows = last.norm(given[0][0].numpy()) @ last.rows.T
    rows = rows if last.bias is None else rows + last.bias
    # The norm's own epsilon, which moves no winner, is not read.
    np.testing.assert_allclose(rows, logits, rtol=0, atol=1e-3 * np.abs(logits).max())
    assert (rows.argmax(axis=1) == logits.argmax(axis=1)).all()
