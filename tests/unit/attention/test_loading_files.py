"""Reading files: exact conversion, and one clear error for each thing that may be wrong."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from tropattn.attention.loading import load, load_polynomials
from tropattn.attention.loading.safetensor import TensorFile
from tropattn.errors import InvalidInput

V, D, WIDTH, HEADS = 4, 6, 2, 3


def own_arrays(seed=0, depth=2):
    rng = np.random.default_rng(seed)
    shapes = {"embedding": (V, D), "positions": (5, D), "unembedding": (D, V), "b_U": (V,)}
    for layer in range(depth):
        for name, shape in {
            "W_Q": (HEADS, D, WIDTH),
            "b_Q": (HEADS, WIDTH),
            "W_K": (HEADS, D, WIDTH),
            "W_V": (HEADS, D, WIDTH),
            "W_O": (HEADS, WIDTH, D),
            "b_O": (D,),
        }.items():
            shapes[f"layers.{layer}.{name}"] = shape
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


METADATA = {
    "format": "tropattn",
    "version": "1",
    "vocabulary": json.dumps(list("abcd")),
    "causal": "true",
    "scale": "0.5",
}


def save_own(path, metadata=None, **changes):
    arrays = {**own_arrays(), **{name.replace("__", "."): v for name, v in changes.items()}}
    save_file(
        {name: array for name, array in arrays.items() if array is not None},
        path,
        metadata={k: v for k, v in {**METADATA, **(metadata or {})}.items() if v is not None},
    )
    return path


LLAMA = {
    "model.embed_tokens.weight": (9, 8),
    "model.norm.weight": (8,),
    "model.layers.0.input_layernorm.weight": (8,),
    "model.layers.0.self_attn.q_proj.weight": (8, 8),
    "model.layers.0.self_attn.k_proj.weight": (4, 8),
    "model.layers.0.self_attn.v_proj.weight": (4, 8),
    "model.layers.0.self_attn.o_proj.weight": (8, 8),
    "model.layers.0.post_attention_layernorm.weight": (8,),
    "model.layers.0.mlp.gate_proj.weight": (3, 8),
    "model.layers.0.mlp.up_proj.weight": (3, 8),
    "model.layers.0.mlp.down_proj.weight": (8, 3),
}
CONFIG = {"model_type": "llama", "num_attention_heads": 2, "num_key_value_heads": 1}


def save_llama(folder, config=None, vocabulary=None, **changes):
    rng = np.random.default_rng(1)
    arrays = {name: rng.normal(size=shape) for name, shape in LLAMA.items()}
    arrays |= {name.replace("__", "."): array for name, array in changes.items()}
    save_file(
        {name: array for name, array in arrays.items() if array is not None},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    if vocabulary is not None:
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return folder


def raw_file(path, tensors):
    """Write a safetensors file by hand; ``tensors`` maps a name to (dtype, shape, bytes)."""
    header, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


# --------------------------------------------------------------------------------- good files


def test_own_format(tmp_path):
    model = load(save_own(tmp_path / "own.safetensors"))
    arrays = own_arrays()
    assert model.vocabulary == ("a", "b", "c", "d")
    assert model.causal
    assert model.max_length == 5
    assert len(model.layers) == 2
    for index, layer in enumerate(model.layers):
        assert layer.variable == "residual stream"
        assert layer.residual
        assert (layer.b_O == arrays[f"layers.{index}.b_O"]).all()
        for h, head in enumerate(layer.heads):
            assert head.scale == 0.5
            for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q"):
                assert (getattr(head, name) == arrays[f"layers.{index}.{name}"][h]).all()
    assert model("abcd").shape == (4, V)
    # A folder with one file stands for the file.
    assert (load(tmp_path)("dab") == model("dab")).all()
    assert (load(str(tmp_path))("dab") == model("dab")).all()


def test_llama_with_and_without_configuration(tmp_path):
    config = {**CONFIG, "rope_theta": 500.0, "rms_norm_eps": 1e-3, "max_position_embeddings": 3}
    model = load(save_llama(tmp_path, config, {"<s>": 0, "x": 1, "y": 4}))
    first, second = model.layers[0].heads
    assert first.W_K is second.W_K
    assert first.d_head == 4
    assert first.rope.theta == 500
    assert first.rope.layout == "half"
    assert model.norms[0].eps == 1e-3
    assert model.max_length == 3
    assert not model.layers[0].residual
    assert model.vocabulary == ("<s>", "x", "<unused 2>", "<unused 3>", "y")
    assert model.tokens("xy").tolist() == [1, 4]
    stored = TensorFile.open(tmp_path / "model.safetensors")
    query = stored.read("model.layers.0.self_attn.q_proj.weight")
    out = stored.read("model.layers.0.self_attn.o_proj.weight")
    assert (second.W_Q == query[4:].T).all()
    assert (second.W_O == out[:, 4:].T).all()
    (tmp_path / "config.json").unlink()
    (tmp_path / "vocab.json").unlink()
    plain = load(tmp_path / "model.safetensors", n_heads=2)
    assert plain.vocabulary is None
    assert plain.layers[0].heads[0].rope.theta == 1e4
    assert plain.norms[0].eps == 1e-6
    with pytest.raises(InvalidInput, match=r"number of heads needed, .* load\(path, n_heads=...\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("given", "theta"),
    [
        ({}, 1e4),
        ({"rope_theta": 7.0}, 7.0),
        ({"rope_theta": 7.0, "rope_scaling": {"rope_type": "default", "rope_theta": 50.0}}, 50.0),
        ({"rope_theta": 7.0, "rope_parameters": {"rope_theta": 50.0}}, 50.0),
        ({"rope_theta": 7.0, "rope_parameters": {"rope_type": "default"}}, 7.0),
        ({"rope_scaling": {"rope_theta": 3.0}, "rope_parameters": {"rope_theta": 50.0}}, 3.0),
        ({"rope_scaling": {}, "rope_parameters": {"rope_theta": 50.0}}, 50.0),
    ],
)
def test_the_base_of_rope_stands_in_three_places(given, theta, tmp_path):
    model = load(save_llama(tmp_path, {**CONFIG, **given}))
    assert model.layers[0].heads[0].rope.theta == theta


@pytest.mark.parametrize(
    ("given", "window", "causal"),
    [
        ({"model_type": "llama", "is_causal": False}, None, False),
        ({"model_type": "llama", "is_causal": None}, None, False),
        # What the reference takes where nothing is said.
        ({"model_type": "mistral"}, 4096, True),
        ({"model_type": "mistral", "sliding_window": None}, None, True),
        ({"model_type": "mistral", "sliding_window": 5}, 5, True),
        ({"model_type": "mistral", "sliding_window": None, "is_causal": False}, None, False),
    ],
)
def test_windows_and_sight_of_a_configuration(given, window, causal, tmp_path):
    model = load(save_llama(tmp_path, {**CONFIG, **given}))
    assert (model.layers[0].window, model.causal) == (window, causal)


@pytest.mark.parametrize(
    ("given", "window"),
    [
        ({"sliding_window": 5}, None),
        # Windows begin at layer 28 where nothing is said.
        ({"use_sliding_window": True, "sliding_window": 5}, None),
        ({"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 0}, 5),
        ({"use_sliding_window": True, "max_window_layers": 0}, 4096),
        ({"use_sliding_window": True, "layer_types": ["sliding_attention"]}, 4096),
        ({"use_sliding_window": True, "layer_types": ["full_attention"]}, None),
    ],
)
def test_windows_of_qwen2(given, window, tmp_path):
    biases = {
        ATTENTION + f"{part}_proj__bias": np.ones(n)
        for part, n in zip("qkv", (8, 4, 4), strict=True)
    }
    model = load(save_llama(tmp_path, {**CONFIG, "model_type": "qwen2", **given}, **biases))
    assert model.layers[0].window == window
    assert model.layers[0].heads[0].b_Q.tolist() == [1.0] * 4


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "F64"])
def test_narrow_floats_are_read_exactly(kind, tmp_path):
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(size=9), [0.0, -0.0, 1e-40]])
    if kind == "BF16":
        upper = (values.astype("<f4").view("<u4") >> 16).astype("<u2")
        data = upper.tobytes()
        # Sign, exponent and 7 bits of fraction, spelled out.
        expected = []
        for bits in upper.tolist():
            sign, exponent, fraction = bits >> 15, bits >> 7 & 255, bits & 127
            size = fraction / 128 * 2.0**-126 if exponent == 0 else 0.0
            if exponent:
                size = (1 + fraction / 128) * 2.0 ** (exponent - 127)
            expected.append(-size if sign else size)
    else:
        narrow = values.astype({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[kind])
        data, expected = narrow.tobytes(), [float(v) for v in narrow]
    path = raw_file(tmp_path / "a.safetensors", {"a": (kind, [3, 4], data)})
    got = TensorFile.open(path).read("a")
    assert got.dtype == np.float64
    assert got.ravel().tolist() == expected
    assert not got.flags.writeable


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_polynomials(suffix, tmp_path):
    path = tmp_path / f"heads{suffix}"
    rng = np.random.default_rng(4)
    save = save_file if suffix == ".safetensors" else lambda arrays, p: np.savez(p, **arrays)
    slopes, intercepts = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3))
    save({"slopes": slopes, "intercepts": intercepts}, path)
    polys = load_polynomials(path)
    assert [(p.slopes == a).all() for p, a in zip(polys, slopes, strict=True)] == [True, True]
    assert (polys[1].intercepts == intercepts[1]).all()
    save({"slopes": np.arange(6).reshape(1, 3, 2)}, path)
    assert load_polynomials(path)[0].slopes.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert load_polynomials(path)[0].intercepts.tolist() == [0, 0, 0]
    unequal = {f"slopes_{h}": np.full((h + 1, 2), float(h)) for h in range(11)}
    save({**unequal, "intercepts_2": np.array([1.0, 2, 3])}, path)
    polys = load_polynomials(path)
    assert [p.n_terms for p in polys] == list(range(1, 12))
    assert polys[10].slopes[0, 0] == 10
    assert polys[2].intercepts.tolist() == [1, 2, 3]


# -------------------------------------------------------------------------------- broken files


class Bomb:
    """Unpickling this would raise."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def broken(kind, whole):
    """Bytes of a damaged file, made from those of a whole one."""
    return {
        "empty": b"",
        "short": whole[:7],
        "cut in the header": whole[:40],
        "cut in the numbers": whole[:-8],
        "longer": whole + b"12345678",
        "noise": bytes(range(256)) * 20,
        "pickle": pickle.dumps(Bomb()),
        "old pickle": pickle.dumps(Bomb(), protocol=0),
        "huge header": b"\xff" * 8 + whole[8:],
        "text": b"slopes: 1, 2, 3",
    }[kind]


KINDS = [
    *("empty", "short", "cut in the header", "cut in the numbers", "longer", "noise", "pickle"),
    *("old pickle", "huge header", "text"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_broken_safetensors(kind, tmp_path):
    path = save_own(tmp_path / "model.safetensors")
    path.write_bytes(broken(kind, path.read_bytes()))
    for read in (load, load_polynomials):
        with pytest.raises(InvalidInput, match=r"model.safetensors: a complete safetensors file"):
            read(path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("longer", "huge header")])
def test_broken_npz(kind, tmp_path):
    path = tmp_path / "heads.npz"
    np.savez(path, slopes=np.ones((2, 3, 4)))
    path.write_bytes(broken(kind, path.read_bytes()))
    with pytest.raises(InvalidInput, match=r"heads.npz: a complete .npz archive of number arrays"):
        load_polynomials(path)


def test_damaged_everywhere(tmp_path):
    """Each byte of a file in turn is another one: a value or an ``InvalidInput``, nothing else."""
    own = save_own(tmp_path / "own.safetensors", embedding=np.ones((V, D)))
    heads = tmp_path / "heads.npz"
    np.savez_compressed(heads, slopes=np.ones((1, 2, 2)))
    rng = np.random.default_rng(5)
    for path, read in ((own, load), (heads, load_polynomials)):
        whole = path.read_bytes()
        damaged = path.with_name("damaged" + path.suffix)
        for place in [*range(min(len(whole), 400)), *rng.integers(0, len(whole), 100).tolist()]:
            other = bytearray(whole)
            other[place] ^= int(rng.integers(1, 256))
            damaged.write_bytes(other)
            try:
                read(damaged)
            except InvalidInput as error:
                assert len(str(error)) > 20


def npz_with(path, **members):
    """Write an archive with raw members, given as bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return path


def test_objects_are_never_unpickled(tmp_path):
    path = tmp_path / "heads.npz"
    np.savez(path, slopes=np.array([[[1, Bomb()]]], dtype=object))
    with pytest.raises(InvalidInput, match=r"Object arrays cannot be loaded .*never read"):
        load_polynomials(path)
    npz_with(path, slopes__npy=pickle.dumps(Bomb()))
    with pytest.raises(InvalidInput, match=r"a complete .npz archive"):
        load_polynomials(path)
    npz_with(path, slopes=b"no array at all")
    with pytest.raises(InvalidInput, match="members that are no arrays"):
        load_polynomials(path)
    stream = io.BytesIO()
    np.save(stream, np.ones((1, 2, 2)))
    path.write_bytes(stream.getvalue())
    with pytest.raises(InvalidInput, match=r"a complete .npz archive"):
        load_polynomials(path)


def test_lying_archives(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9, 10**9)}
    )
    path = npz_with(tmp_path / "heads.npz", slopes__npy=stream.getvalue())
    with pytest.raises(InvalidInput, match=r"a complete .npz archive"):
        load_polynomials(path)


# ----------------------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize("read", [load, load_polynomials])
@pytest.mark.parametrize("path", ["/nowhere/model.safetensors", "\0", "x" * 5000, None, 3])
def test_no_such_file(read, path):
    with pytest.raises(InvalidInput, match="path: an existing file or folder needed, got"):
        read(path)


def test_folders_and_suffixes(tmp_path):
    with pytest.raises(InvalidInput, match=r"a folder with model.safetensors needed, got no files"):
        load(tmp_path)
    with pytest.raises(InvalidInput, match=r"an .npz or .safetensors file needed, got a folder"):
        load_polynomials(tmp_path)
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InvalidInput, match=r"needed, got model.pt; export"):
        load(tmp_path)
    with pytest.raises(InvalidInput, match=r"needed, got .pt; export the weights as safetensors"):
        load(tmp_path / "model.pt")
    for name in ("model-1.safetensors", "model-2.safetensors"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"one safetensors file needed, got model-1.safetensors"):
        load(tmp_path)
    np.savez(tmp_path / "heads.npz", slopes=np.ones((1, 1, 1)))
    with pytest.raises(InvalidInput, match=r"needed for a model, got .npz; load_polynomials"):
        load(tmp_path / "heads.npz")
    with pytest.raises(InvalidInput, match=r"an .npz or .safetensors file needed, got .pt"):
        load_polynomials(tmp_path / "model.pt")
    for value in (0, -1, 1.5, "two"):
        with pytest.raises(InvalidInput, match="n_heads: a positive integer needed"):
            load(tmp_path, n_heads=value)


def test_unknown_families(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"encoder.layer.0.attention.self.query.weight": np.ones((2, 2))}, path)
    with pytest.raises(InvalidInput, match=r"got format None and encoder.layer.0.attention.*read"):
        load(path)
    save_file({"a": np.ones(1)}, path, metadata={"format": "other"})
    with pytest.raises(InvalidInput, match="got format 'other' and a; this family is not read"):
        load(path)
    save_file({"slopes": np.ones((1, 1, 1))}, path)
    with pytest.raises(InvalidInput, match="got polynomials; use load_polynomials"):
        load(path)
    raw_file(path, {})
    with pytest.raises(InvalidInput, match="got format None and no tensors"):
        load(path)


@pytest.mark.parametrize(
    ("metadata", "changes", "message"),
    [
        ({"version": "2"}, {}, "format version '1' needed, got '2'"),
        ({"version": None}, {}, "format version '1' needed, got None"),
        ({"scale": "-1"}, {}, "a positive number as metadata 'scale' needed, got '-1'"),
        ({"scale": "nan"}, {}, "a positive number as metadata 'scale' needed, got 'nan'"),
        ({"scale": "half"}, {}, "a positive number as metadata 'scale' needed, got 'half'"),
        ({"scale": None}, {}, "a positive number as metadata 'scale' needed, got None"),
        ({"causal": "yes"}, {}, "'true' or 'false' as metadata 'causal' needed, got 'yes'"),
        ({"vocabulary": "abcd"}, {}, "a JSON list of 4 strings as metadata 'vocabulary'"),
        ({"vocabulary": None}, {}, "a JSON list of 4 strings .* got None"),
        ({"vocabulary": '["a"]'}, {}, "a JSON list of 4 strings as metadata 'vocabulary'"),
        ({"vocabulary": "[" * 10**5}, {}, "a JSON list of 4 strings as metadata"),
        ({"vocabulary": '["a", "a", "b", "c"]'}, {}, "vocabulary: distinct strings needed"),
        ({"vocabulary": '["a", 1, "b", "c"]'}, {}, "vocabulary: strings needed"),
        ({"vocabulary": '["a", [1], "b", "c"]'}, {}, "vocabulary: strings needed"),
        ({}, {"embedding": None}, "tensor embedding needed, got b_U, layers.0.W_K"),
        ({}, {"layers__1__b_O": None}, "tensor layers.1.b_O needed"),
        ({}, {"layers__3__b_O": np.ones(D)}, r"layers numbered 0, 1, ... needed, got \[0, 1, 3\]"),
        ({}, {"layers__0__W_X": np.ones(D)}, "got layers.0.W_X as well"),
        ({}, {"extra": np.ones(D)}, "needed, got extra as well"),
        ({}, {"embedding": np.ones((V, 7))}, r"layers.0.W_Q: shape \(any, 7, any\) needed"),
        ({}, {"embedding": np.ones((0, D))}, r"embedding: shape \(any, any\) needed, got \(0, 6\)"),
        ({}, {"positions": np.ones(D)}, r"positions: shape \(any, 6\) needed, got \(6,\)"),
        ({}, {"unembedding": np.ones((V, D))}, r"unembedding: shape \(6, 4\) needed, got \(4, 6\)"),
        ({}, {"b_U": np.ones(3)}, r"b_U: shape \(4\) needed, got \(3,\)"),
        ({}, {"layers__0__W_K": np.ones((2, D, WIDTH))}, r"W_K: shape \(3, 6, 2\) needed, got"),
        ({}, {"layers__1__W_O": np.ones((HEADS, D, WIDTH))}, r"W_O: shape \(3, 2, 6\) needed, got"),
        ({}, {"b_U": np.array([1, np.nan, 0, 0])}, r"b_U: finite numbers .* at index \(1,\)"),
        ({}, {"embedding": np.full((V, D), np.inf, "f2")}, "embedding: finite numbers needed"),
        ({}, {"b_U": np.ones(V, bool)}, "b_U: one of F64, .* needed, got BOOL"),
        ({}, {"b_U": np.ones(V, complex)}, "b_U: one of F64, .* needed, got"),
    ],
)
def test_bad_own_files(metadata, changes, message, tmp_path):
    if np.iscomplexobj(changes.get("b_U")):
        changes["b_U"] = changes["b_U"].astype(np.complex64)
    path = save_own(tmp_path / "model.safetensors", metadata, **changes)
    with pytest.raises(InvalidInput, match=message):
        load(path)


ATTENTION = "model__layers__0__self_attn__"


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (
            {"model_type": "mamba"},
            {},
            "model_type .*'llama', .* needed, got 'mamba'; other families",
        ),
        ({"num_attention_heads": 3}, {}, "q_proj.weight: rows in 3 equal heads needed, got 8"),
        ({"num_attention_heads": 0}, {}, "a positive integer as num_attention_heads needed, got"),
        ({"num_attention_heads": "2"}, {}, "a positive integer as num_attention_heads needed, got"),
        ({"num_attention_heads": None}, {}, r"number of heads needed, .* load\(path, n_heads"),
        ({"num_key_value_heads": 2}, {}, "k_proj.weight: rows for a number of key heads that"),
        ({"head_dim": 2}, {}, r"q_proj.weight: shape \(4, 8\) needed, got \(8, 8\)"),
        ({"num_hidden_layers": 2}, {}, r"layers 0..1 needed, got \[0\]; the file is incomplete"),
        ({"rms_norm_eps": -1}, {}, "a positive number as rms_norm_eps needed, got '-1'"),
        ({"rms_norm_eps": 10**400}, {}, "a positive number as rms_norm_eps needed, got '1000"),
        ({"rope_theta": [1]}, {}, r"a positive number as rope_theta needed, got '\[1\]'"),
        (
            {"rope_theta": float("nan")},
            {},
            "config.json: a JSON object needed, got NaN, which is no",
        ),
        ({"rope_parameters": [1]}, {}, "a JSON object as rope_parameters needed"),
        (
            {"rope_parameters": {"full": {"rope_theta": 1.0}}},
            {},
            "'default', .* needed, got \"\\['full'",
        ),
        ({"sliding_window": 4}, {}, "no entry as sliding_window needed, got '4'"),
        ({"model_type": "mistral", "is_causal": False}, {}, "is_causal true beside a sliding win"),
        ({"model_type": "mistral", "layer_types": ["full_attention"]}, {}, "as layer_types needed"),
        (
            {"model_type": "qwen2", "layer_types": ["sliding_attention"]},
            {},
            "use_sliding_window true needed",
        ),
        ({"rope_scaling": {"type": "axial"}}, {}, "rope_type 'default', .* needed, got 'axial'"),
        ({"rope_scaling": {"type": "linear"}}, {}, "a positive number as factor needed, got 'None"),
        (
            {"rope_parameters": {"rope_type": "llama3", "factor": 2}},
            {},
            "an entry max_position_embeddings needed, got none|as low_freq_factor needed",
        ),
        ({"rope_parameters": {"sections": [1]}}, {}, r"rope_type .* needed, got \"\['sections'\]"),
        ({"partial_rotary_factor": 0.5}, {}, "partial_rotary_factor 1 needed"),
        ({}, {ATTENTION + "q_norm__weight": np.ones(4)}, "got .*q_norm.weight as well; this is"),
        ({}, {ATTENTION + "v_proj__weight": None}, "tensor .*v_proj.weight needed"),
        ({}, {ATTENTION + "v_proj__weight": np.ones((8, 8))}, r"v_proj.weight: shape \(4, 8\)"),
        ({}, {ATTENTION + "o_proj__weight": np.ones((8, 6))}, r"o_proj.weight: shape \(8, 8\)"),
        ({}, {ATTENTION + "q_proj__bias": np.ones(8)}, "no model.*q_proj.bias needed as the conf"),
        (
            {"attention_bias": True},
            {ATTENTION + "q_proj__bias": np.ones(4)},
            r"q_proj.bias: shape \(8\) needed, got",
        ),
        ({}, {"model__embed_tokens__weight": None}, "tensor model.embed_tokens.weight needed"),
        ({}, {"model__embed_tokens__weight": np.ones((9, 4))}, r"shape \(4\) needed, got \(8,\)"),
    ],
)
def test_bad_llama_files(config, changes, message, tmp_path):
    save_llama(tmp_path, {**CONFIG, **config}, **changes)
    with pytest.raises(InvalidInput, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", "{", "config.json: a JSON object needed, got .*; the file is damaged"),
        ("config.json", "[1]", "config.json: a JSON object needed, got list; this is another"),
        ("config.json", "[" * 10**5, "config.json: a JSON object needed, got .*recursion"),
    ],
)
def test_bad_companions(name, text, message, tmp_path):
    save_llama(tmp_path, CONFIG)
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=message):
        load(tmp_path)


@pytest.mark.parametrize("text", ['{"a": "b"}', '{"a": 1, "b": 1}', '{"a": 9}', "{}"])
def test_bad_vocabularies_refuse_the_text_not_the_model(text, tmp_path):
    save_llama(tmp_path, CONFIG)
    (tmp_path / "vocab.json").write_text(text)
    model = load(tmp_path)
    assert model.vocabulary is None
    with pytest.raises(InvalidInput, match=r"vocab.json: one distinct id in 0..8 a token needed"):
        model.tokens("a")


def test_undecodable_companion(tmp_path):
    save_llama(tmp_path, CONFIG)
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InvalidInput, match=r"config.json: a JSON object needed"):
        load(tmp_path)


def test_contradicting_heads(tmp_path):
    save_llama(tmp_path, CONFIG)
    assert len(load(tmp_path, n_heads=2).layers[0].heads) == 2
    with pytest.raises(InvalidInput, match=r"n_heads: 2 needed as in .*config.json, got 4"):
        load(tmp_path, n_heads=4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"keys": np.ones((1, 2))}, "'slopes' with optional 'intercepts', .* needed, got keys"),
        ({}, "needed, got no tensors; rename"),
        ({"intercepts": np.ones((1, 2))}, "needed, got intercepts"),
        ({"slopes": np.ones((1, 2, 2)), "slopes_0": np.ones((2, 2))}, "got slopes, slopes_0"),
        ({"slopes_0": np.ones((2, 2)), "slopes_2": np.ones((2, 2))}, "got slopes_0, slopes_2"),
        ({"slopes_0": np.ones((2, 2)), "intercepts_1": np.ones(2)}, "got intercepts_1, slopes_0"),
        ({"slopes_00": np.ones((2, 2))}, "needed, got slopes_00"),
        ({"slopes": np.ones((2, 2))}, r"slopes: shape \(H, N, d\) needed, got .* \(2, 2\)"),
        ({"slopes": np.ones((2, 0, 2))}, r"slopes: shape \(H, N, d\) without zeros needed"),
        ({"slopes": np.full((1, 1, 1), np.nan)}, "slopes: finite numbers needed"),
        ({"slopes": np.ones((1, 1, 1)), "intercepts": np.ones(1)}, r"intercepts: shape \(H, N\)"),
        (
            {"slopes": np.ones((1, 1, 1)), "intercepts": np.ones((1, 2))},
            r"intercepts: shape \(1, 1\) needed, one a slope, got \(1, 2\)",
        ),
        ({"slopes_0": np.ones(3)}, r"slopes_0: shape \(N, d\) needed"),
        (
            {"slopes_0": np.ones((1, 2)), "slopes_1": np.ones((1, 3))},
            "slopes_1: 2 columns as in slopes_0 needed, got 3",
        ),
        (
            {"slopes_0": np.ones((1, 2)), "intercepts_0": np.ones(2)},
            "head 0: intercepts: one a term needed",
        ),
        ({"slopes": np.array([[["1"]]])}, "slopes: real numbers needed"),
        ({"slopes": np.ones((1, 1, 1), complex)}, "slopes: real numbers needed"),
    ],
)
def test_bad_polynomials(arrays, message, tmp_path):
    np.savez(tmp_path / "heads.npz", **arrays)
    with pytest.raises(InvalidInput, match=message):
        load_polynomials(tmp_path / "heads.npz")
    if all(array.dtype == np.float64 for array in arrays.values()):
        save_file(arrays, tmp_path / "heads.safetensors")
        with pytest.raises(InvalidInput, match=message):
            load_polynomials(tmp_path / "heads.safetensors")
