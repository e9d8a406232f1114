"""Models in memory with one context of theirs, without code of their families."""

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
        ([[1, 2]], r"inputs: token ids .* got int64 numbers of shape \(1, 2\); ids are integers"),
        ([1.5], r"inputs: token ids .* got float64 numbers of shape \(1,\); ids are integers"),
        ([], r"inputs: token ids .* got none, of shape \(0,\); give one token at least"),
        ([None], "got list; text goes through"),
        (torch.ones(2, 3, dtype=torch.bfloat16), "Tensor that numpy does not read .*BFloat16"),
        ({"nothing": 1}, "inputs: what LlamaModel takes needed"),
        ([99], "inputs: what LlamaModel takes needed"),
    ]:
        with pytest.raises(ta.InvalidInput, match=message):
            from_torch(made, inputs)
    with pytest.raises(ta.InvalidInput, match=r"position: an integer in -7..6 needed, got 9"):
        from_torch(made, IDS, 9)
    with pytest.raises(ta.InvalidInput, match="a torch module beside them needed, got int"):
        from_torch(3, IDS)
    with pytest.raises(ta.InvalidInput, match=r"scaled_dot_product_attention needed, got Linear"):
        from_torch(torch.nn.Linear(2, 2), [[1.0, 2.0]])
    # The model itself is left as it was.
    assert made.config._attn_implementation == "eager"
    assert "tropattn" not in transformers.AttentionInterface._global_mapping


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["gpt2", "gpt-oss"])
def test_a_context_of_one_token(name):
    made = network(*{**KNOWN, **OTHERS}[name])
    layers = from_torch(made, [3], -1)
    assert len(layers) == 2
    for fixed in layers:
        # Sinks are one more key, which is no token.
        assert [kept[kept >= 0].tolist() for kept in fixed.tokens] == [[0]] * 4


# ---- other libraries than transformers ----------------------------------------------------------


def same_weights(layers, states, weights, position):
    """Compare soft weights with the model's own: states (L, N, d), weights (L, H, N, N)."""
    assert len(layers) == len(weights) == len(states)
    for fixed, rows, own in zip(layers, states, weights, strict=True):
        for h in range(len(fixed.heads)):
            expected = own[h, position][fixed.tokens[h]]
            assert own[h, position].sum() == pytest.approx(expected.sum())
            np.testing.assert_allclose(soft(fixed, h, rows[position]), expected, atol=1e-6)


def encoder(batch_first, norm_first):
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(
        16, 4, 20, batch_first=batch_first, norm_first=norm_first
    )
    return torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()


def own_weights(made, src, more):
    """States and weights of an encoder of torch, which gives them where they are asked for."""
    states, weights = [], []

    def ask(attention):
        real = attention.forward

        def asked(query, key, value, **given):
            given.update(need_weights=True, average_attn_weights=False, is_causal=False)
            out, own = real(query, key, value, **given)
            states.append((query[0] if attention.batch_first else query[:, 0]).detach().numpy())
            weights.append(own[0].detach().numpy())
            return out, own

        attention.forward = asked

    for layer in made.layers:
        ask(layer.self_attn)
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    made(src, **more)
    torch.backends.mha.set_fastpath_enabled(before)
    return states, weights


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_encoders_of_torch(batch_first, norm_first):
    made = encoder(batch_first, norm_first)
    rows = np.random.default_rng(0).normal(size=(7, 16))
    src = torch.tensor(rows)[None] if batch_first else torch.tensor(rows)[:, None]
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)
    padding = torch.tensor([[False] * 5 + [True] * 2])
    ways = [
        (rows, {}),
        ({"src": src, "mask": hidden}, {"mask": hidden}),
        ({"src": src, "mask": hidden, "is_causal": True}, {"mask": hidden}),
        ({"src": src, "src_key_padding_mask": padding}, {"src_key_padding_mask": padding}),
    ]
    fast = torch.backends.mha.get_fastpath_enabled()
    for inputs, more in ways:
        states, weights = own_weights(encoder(batch_first, norm_first).double(), src, more)
        same_weights(from_torch(made, inputs, 4), states, weights, 4)
    # Torch itself is left as it was.
    assert torch.nn.functional.scaled_dot_product_attention.__module__ == "torch._C._nn"
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_a_layer_alone_is_fixed_without_inputs():
    torch.manual_seed(0)
    made = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    rows = np.random.default_rng(0).normal(size=(7, 16))
    with pytest.raises(ta.InvalidInput, match=r"inputs: none beside .*, got ndarray; .*fix.states"):
        from_torch(made, rows, 0)
    parts = dict.fromkeys(("query", "key", "value"), torch.tensor(rows)[None])
    (heard,) = from_torch(made, {**parts, "need_weights": False}, 0)
    assert (heard.routing(rows) == from_torch(made).fix(rows).routing(rows)).all()


def test_attention_that_is_refused_outside_transformers():
    decoder = torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(16, 4, 20), 1).eval()
    rows = torch.randn(7, 1, 16, dtype=torch.float64)
    with pytest.raises(ta.InvalidInput, match="cross-attention is not read"):
        from_torch(decoder, {"tgt": rows, "memory": rows[:4]})
    made = encoder(True, True)
    batch = rows.transpose(0, 1).expand(2, -1, -1)
    with pytest.raises(ta.InvalidInput, match="queries and keys of one sequence needed"):
        from_torch(made, {"src": batch})
    for inputs in ("text", [["a"]], np.zeros((0, 16)), np.zeros(3)):
        with pytest.raises(ta.InvalidInput, match=r"token ids .n,., states .n, d., an image or a"):
            from_torch(made, inputs)
    with pytest.raises(ta.InvalidInput, match="inputs: what TransformerEncoder takes needed"):
        from_torch(made, IDS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("more", [{}, {"init_values": 0.1}, {"class_token": False}])
def test_images_of_timm(more):
    vit = pytest.importorskip("timm.models.vision_transformer", reason="needs pip install timm")
    torch.manual_seed(0)
    sizes = {"img_size": 8, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 4}
    more = {"global_pool": "avg", **more} if "class_token" in more else more
    made = vit.VisionTransformer(**sizes, **more).eval()
    image = np.random.default_rng(0).normal(size=(3, 8, 8))
    layers = from_torch(made, image, 2)
    states, weights = [], []
    for block in made.double().blocks:
        # The road of timm without torch's function, which keeps its weights.
        block.attn.fused_attn = False
        block.attn.register_forward_pre_hook(
            lambda _module, given: states.append(given[0][0].detach().numpy())
        )
        block.attn.attn_drop.register_forward_pre_hook(
            lambda _module, given: weights.append(given[0][0].detach().numpy())
        )
    made(torch.tensor(image)[None])
    same_weights(layers, states, weights, 2)
    with pytest.raises(ta.InvalidInput, match=r"queries as .* in layer 0, head "):
        from_torch(vit.VisionTransformer(**sizes, qk_norm=True).eval(), image)


LENS = {
    "n_layers": 2,
    "d_model": 16,
    "n_ctx": 16,
    "d_head": 4,
    "n_heads": 4,
    "d_mlp": 20,
    "d_vocab": 23,
    "act_fn": "gelu",
    "normalization_type": "LN",
    "initializer_range": 0.4,
    "seed": 1,
}
WINDOWS = {"window_size": 3, "use_local_attn": True, "attn_types": ["local", "global"]}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"positional_embedding_type": "rotary", "rotary_dim": 4},
        {"n_key_value_heads": 2},
        {"attn_scores_soft_cap": 3.0},
        {"attention_dir": "bidirectional"},
        {"use_attn_scale": False},
        WINDOWS,
    ],
)
def test_hooked_transformers(more):
    lens = pytest.importorskip("transformer_lens", reason="needs pip install transformer_lens")
    if "HookedTransformer" not in dir(lens):
        pytest.skip("needs transformer_lens before version 4, which has HookedTransformer")
    made = lens.HookedTransformer(lens.HookedTransformerConfig(**LENS, **more))
    layers = from_torch(made, IDS, 4)
    assert made.cfg.dtype == torch.float32
    _, seen = made.run_with_cache(torch.tensor([IDS]))
    names = [f"blocks.{layer}." for layer in range(2)]
    states = [seen[name + "ln1.hook_normalized"][0].double().numpy() for name in names]
    weights = [seen[name + "attn.hook_pattern"][0].double().numpy() for name in names]
    same_weights(layers, states, weights, 4)
    for refused in ({"positional_embedding_type": "alibi"}, {"use_split_qkv_input": True}):
        made = lens.HookedTransformer(lens.HookedTransformerConfig(**LENS, **refused))
        with pytest.raises(ta.InvalidInput, match=r"weights as .* in layer 0|one sequence needed"):
            from_torch(made, IDS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "qwen3"])
def test_transformer_bridges(name, tmp_path):
    lens = pytest.importorskip("transformer_lens", reason="needs pip install transformer_lens")
    if "TransformerBridge" not in dir(lens):
        pytest.skip("needs transformer_lens from version 3 on, which has TransformerBridge")
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({str(i): i for i in range(23)}, unk_token="0"))
    special = {"unk_token": "0", "pad_token": "0", "bos_token": "1", "eos_token": "2"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special)
    tokenizer.save_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    family, settings = {**KNOWN, "qwen3": ("Qwen3", {**SMALL, "head_dim": 4})}[name]
    kind = family + ("LMHeadModel" if family == "GPT2" else "ForCausalLM")
    torch.manual_seed(1)
    config = getattr(transformers, family + "Config")(**settings, architectures=[kind])
    inner = getattr(transformers, kind)._from_config(config, attn_implementation="eager").eval()
    made = lens.TransformerBridge.boot_transformers(
        "tiny", hf_model=inner, tokenizer=tokenizer, device="cpu"
    )
    if name == "qwen3":
        with pytest.raises(ta.InvalidInput, match=r"queries as .* in layer 0"):
            from_torch(made, IDS)
        return
    layers = from_torch(made, IDS, 4)
    _, seen = made.run_with_cache(torch.tensor([IDS]))
    names = [f"blocks.{layer}.attn." for layer in range(2)]
    states = [seen[name + "hook_in"][0].double().numpy() for name in names]
    weights = [seen[name + "hook_pattern"][0].double().numpy() for name in names]
    same_weights(layers, states, weights, 4)
