"""Llama weights against the reference implementation, where it is installed."""

from pathlib import Path

import numpy as np
import pytest

from tropattn.attention.evaluated.forward import attention_weights
from tropattn.attention.loading import load

NAMES = ("addformer", "subformer", "mulformer", "divformer")
TEXTS = ("12+34=", "((1.5-2)^3)/4=", "0123456789+-*/=.()^% QR")


def folder(name):
    """Find the folder of one of mathformer's four trained models, read where it is installed."""
    mathformer = pytest.importorskip("mathformer")
    return Path(mathformer.__file__).parent / name


@pytest.mark.parametrize("name", NAMES)
def test_mathformer_loads(name):
    model = load(folder(name))
    assert len(model.layers) == 1
    assert len(model.layers[0].heads) == 2
    assert model.embedding.shape == (27, 8)
    assert model.max_length == 64
    assert model.layers[0].variable == "post-normalisation state"
    assert model.tokens("1+2=").tolist() == [5, 14, 6, 18]
    assert [head.n_terms for head in model.fix("12+34=").heads] == [6, 6]
    # The whole vocabulary as keys at one place; id 0 is the padding token, here a key like others.
    states = model.states(range(27), mask=[1] * 27)[0]
    assert model.layers[0].without_rope().fix(states).heads[0].n_terms == 27


@pytest.fixture
def reference(monkeypatch):
    """Read a model with the reference implementation, in double precision throughout.

    As it stands, it normalises, rotates and takes the softmax in single precision.
    """
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama")

    def norm(self, x):
        return self.weight * x * (x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon) ** -0.5

    def rotary(self, x, position_ids):
        width, theta = self.config.head_dim, self.config.rope_parameters["rope_theta"]
        steps = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        angles = position_ids[..., None] * torch.cat([steps, steps])
        return angles.cos(), angles.sin()

    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(modeling.LlamaRMSNorm, "forward", norm)
    monkeypatch.setattr(modeling.LlamaRotaryEmbedding, "forward", rotary)
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim=dim))
    return lambda place: modeling.LlamaForCausalLM.from_pretrained(
        place, attn_implementation="eager", dtype=torch.float64
    ).eval()


def assert_layer_0_agrees(model, network, ids):
    """Compare states, logits, weights and outputs of every token in layer 0."""
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama")
    block = network.model.layers[0]
    seen = {}
    block.input_layernorm.register_forward_hook(lambda _m, _i, out: seen.update(states=out))
    block.self_attn.q_proj.register_forward_hook(lambda _m, _i, out: seen.update(q=out))
    block.self_attn.k_proj.register_forward_hook(lambda _m, _i, out: seen.update(k=out))
    block.self_attn.register_forward_hook(lambda _m, _i, out: seen.update(out=out[0]))
    heads = model.layers[0].heads
    with torch.no_grad():
        found = network(torch.tensor(ids[None]), output_attentions=True).attentions[0][0]
        cos, sin = network.model.rotary_emb(seen["q"], position_ids=torch.arange(len(ids))[None])
        q, k = (seen[part].view(1, len(ids), -1, heads[0].d_head).transpose(1, 2) for part in "qk")
        q, k = modeling.apply_rotary_pos_emb(q, k, cos, sin)
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        logits = (q @ k.transpose(2, 3) * heads[0].d_head ** -0.5)[0].numpy()
    states = model.states(ids)[0]
    close = {"atol": 1e-11, "rtol": 0}
    np.testing.assert_allclose(states, seen["states"][0].numpy(), **close)
    for i, state in enumerate(states):
        fixed = model.fix(ids, position=i)
        for h, head in enumerate(fixed.heads):
            np.testing.assert_allclose(head.scores(state), logits[h, i, : i + 1], **close)
        out = seen["out"][0, i].numpy()
        np.testing.assert_allclose(fixed(state, temperature=1), out, **close)
    for h, head in enumerate(heads):
        np.testing.assert_allclose(attention_weights(head, states), found[h].numpy(), **close)


@pytest.mark.parametrize("name", NAMES)
def test_mathformer_computes_as_the_reference(name, reference):
    model = load(folder(name))
    for text in TEXTS:
        assert_layer_0_agrees(model, reference(folder(name)), model.tokens(text))


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shared", [1, 2, 4])
def test_random_llama_computes_as_the_reference(stored, shared, reference, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(shared)
    config = transformers.LlamaConfig(
        vocab_size=19,
        hidden_size=12,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=shared,
        head_dim=6,
        attention_bias=True,
        rms_norm_eps=1e-3,
        rope_parameters={"rope_type": "default", "rope_theta": 77.0},
        initializer_range=0.5,
    )
    network = transformers.LlamaForCausalLM(config)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    network.to(getattr(torch, stored)).save_pretrained(tmp_path)
    model = load(tmp_path)
    assert len(model.layers) == 2
    ids = np.random.default_rng(shared).integers(0, 19, 11)
    assert_layer_0_agrees(model, reference(tmp_path), ids)
    # Layer 1 from its own states: the same arithmetic with the second layer's weights.
    last = network.model.layers[1].self_attn.q_proj.weight.detach().double().numpy()
    stacked = np.hstack([head.W_Q for head in model.layers[1].heads])
    assert (stacked == last.T).all()
