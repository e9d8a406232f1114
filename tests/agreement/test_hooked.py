"""Models of transformers in memory with one context of theirs, without code of their families."""

import numpy as np
import pytest

import tropattn as ta
from tropattn.attention.loading import from_torch

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

IDS = [3, 9, 4, 11, 7, 3, 5]
SMALL = {
    "vocab_size": 23,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.4,
    "pad_token_id": 0,
}
PLAIN = {name: value for name, value in SMALL.items() if name != "num_key_value_heads"}
GPT2 = {"vocab_size": 23, "n_embd": 16, "n_layer": 2, "n_head": 4, "initializer_range": 0.4}
KNOWN = {
    "bert": ("Bert", PLAIN),
    "gpt2": ("GPT2", GPT2),
    "gpt neox": ("GPTNeoX", PLAIN),
    "llama": ("Llama", SMALL),
    "mistral": ("Mistral", {**SMALL, "sliding_window": 3}),
    "gemma2": ("Gemma2", {**SMALL, "head_dim": 4, "attn_logit_softcapping": 2.0}),
}
OTHERS = {
    "cohere": ("Cohere", SMALL),
    "gpt-oss": ("GptOss", {**SMALL, "head_dim": 4, "num_local_experts": 3}),
    "granite": ("Granite", {**SMALL, "attention_multiplier": 0.3}),
    "helium": ("Helium", {**SMALL, "head_dim": 4}),
    "stablelm": ("StableLm", SMALL),
    "starcoder2": ("Starcoder2", SMALL),
}


def network(family, settings):
    torch.manual_seed(1)
    if "num_local_experts" in settings:
        settings = {**settings, "num_experts_per_tok": 2}
    config = getattr(transformers, family + "Config")(**settings)
    made = getattr(transformers, family + "Model")._from_config(
        config, attn_implementation="eager", dtype=torch.float64
    )
    if hasattr(made.config, "_experts_implementation"):
        made.set_experts_implementation("eager")
    return made.eval()


def soft(fixed, head, state):
    scores = fixed.heads[head].scores(state[None])
    if fixed.logits is not None:
        scores = fixed.logits[head](state[None], scores)
    powers = np.exp(scores[0] - scores.max())
    return powers / powers.sum()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KNOWN)
def test_the_same_cells_as_the_family(name):
    made = network(*KNOWN[name])
    model = from_torch(made)
    entering = model.states(IDS)
    for position in (-1, 2):
        layers = from_torch(made, IDS, position)
        assert len(layers) == len(model.layers)
        for index, fixed in enumerate(layers):
            same = model.fix(IDS, index, position)
            state = entering[index][position]
            for h in range(len(fixed.heads)):
                assert (fixed.tokens[h] == same.tokens[h]).all()
                np.testing.assert_allclose(soft(fixed, h, state), soft(same, h, state), atol=1e-4)
            states = np.random.default_rng(0).normal(size=(200, 16))
            assert (fixed.routing(states) == same.routing(states)).mean() > 0.999


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OTHERS)
def test_families_without_code(name):
    made = network(*OTHERS[name])
    with torch.no_grad():
        weights = made(torch.tensor([IDS]), output_attentions=True).attentions
    heard = []
    for part in made.modules():
        if type(part).__name__.endswith("Attention"):
            part.register_forward_pre_hook(
                lambda _m, args, given: heard.append(
                    (args[0] if args else given["hidden_states"])[0].numpy()
                ),
                with_kwargs=True,
            )
    with torch.no_grad():
        made(torch.tensor([IDS]))
    entering = list(heard)
    layers = from_torch(made, {"input_ids": torch.tensor([IDS])}, 4)
    assert len(layers) == 2
    for fixed, own, states in zip(layers, weights, entering, strict=True):
        for h in range(4):
            row = soft(fixed, h, states[4])
            kept = fixed.tokens[h] >= 0
            expected = own[0, h, 4].numpy()[fixed.tokens[h][kept]]
            np.testing.assert_allclose(row[kept], expected, atol=1e-5)


class Bent(torch.nn.Linear):
    """Queries that are no affine function of the state."""

    def forward(self, x):
        return super().forward(x) + 0.1 * super().forward(x) ** 2


@pytest.mark.filterwarnings("ignore")
def test_what_is_refused():
    made = network("Llama", SMALL)
    layer = made.layers[1].self_attn
    bent = Bent(16, 16, bias=False, dtype=torch.float64)
    bent.load_state_dict(layer.q_proj.state_dict())
    layer.q_proj = bent
    with pytest.raises(ta.InvalidInput, match=r"queries as .* difference of .* in layer 1, head "):
        from_torch(made, IDS)
    made = network("Qwen3", {**SMALL, "head_dim": 4})
    with pytest.raises(ta.InvalidInput, match=r"queries as .* difference of .* in layer 0, head "):
        from_torch(made, IDS)
    made = network("Bloom", {**PLAIN, "n_layer": 1, "n_head": 4})
    with pytest.raises(ta.InvalidInput, match="attention through transformers' interface needed"):
        from_torch(made, IDS)
    made = network("Llama", SMALL)
    for inputs, message in [
        ("text", "inputs: token ids .n,. or a mapping needed, got str"),
        ([[1, 2]], "inputs: token ids"),
        ([1.5], "inputs: token ids"),
        ({"nothing": 1}, "inputs: what LlamaModel takes needed"),
        ([99], "inputs: what LlamaModel takes needed"),
    ]:
        with pytest.raises(ta.InvalidInput, match=message):
            from_torch(made, inputs)
    with pytest.raises(ta.InvalidInput, match=r"position: an integer in -7..6 needed, got 9"):
        from_torch(made, IDS, 9)
    with pytest.raises(ta.InvalidInput, match="a model of transformers beside them needed"):
        from_torch(torch.nn.Linear(2, 2), IDS)
    # The model itself is left as it was.
    assert made.config._attn_implementation == "eager"
    assert "tropattn" not in transformers.AttentionInterface._global_mapping
