"""Families of Hugging Face: what is read without torch, and one clear error for what is not."""

import builtins
import importlib
import json
import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from tropattn.attention.evaluated.blocks import MLP
from tropattn.attention.evaluated.norms import LayerNorm
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import families, from_torch, load
from tropattn.attention.loading.bloom import BLOOM
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.rotations import layered_groups, rotation
from tropattn.errors import InvalidInput

V, D, M = 7, 4, 6
RNG = np.random.default_rng(0)


def linear(stem, rows, columns):
    return {f"{stem}.weight": (rows, columns), f"{stem}.bias": (rows,)}


def norm(stem, width=D):
    return {f"{stem}.weight": (width,), f"{stem}.bias": (width,)}


def bert_shapes():
    at, embed = "encoder.layer.0.", "embeddings."
    shapes = {
        embed + "word_embeddings.weight": (V, D),
        embed + "position_embeddings.weight": (8, D),
        embed + "token_type_embeddings.weight": (2, D),
        **norm(embed + "LayerNorm"),
        **norm(at + "attention.output.LayerNorm"),
        **norm(at + "output.LayerNorm"),
        **linear(at + "intermediate.dense", M, D),
        **linear(at + "output.dense", D, M),
        **linear(at + "attention.output.dense", D, D),
    }
    for part in ("query", "key", "value"):
        shapes |= linear(f"{at}attention.self.{part}", D, D)
    return shapes


BERT = {
    "model_type": "bert",
    "hidden_size": D,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "intermediate_size": M,
    "vocab_size": V,
}


def save(folder, config=BERT, shapes=None, prefix="", **changes):
    arrays = {
        prefix + name: np.random.default_rng(len(name)).normal(size=shape).astype("f4")
        for name, shape in (bert_shapes() if shapes is None else shapes).items()
    }
    arrays |= {name.replace("__", "."): array for name, array in changes.items()}
    kept = {name: array for name, array in arrays.items() if array is not None}
    save_file(kept, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_bert_by_hand(tmp_path):
    model = load(save(tmp_path))
    arrays = {
        name: np.random.default_rng(len(name)).normal(size=shape).astype("f4").astype(float)
        for name, shape in bert_shapes().items()
    }
    ids = [3, 1, 3]
    x = arrays["embeddings.word_embeddings.weight"][ids]
    x = x + arrays["embeddings.position_embeddings.weight"][:3]
    x = x + arrays["embeddings.token_type_embeddings.weight"][0]
    x = x - x.mean(axis=1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-12)
    x = x * arrays["embeddings.LayerNorm.weight"] + arrays["embeddings.LayerNorm.bias"]
    np.testing.assert_allclose(model.states(ids)[0], x, atol=1e-14, rtol=0)
    stem = "encoder.layer.0.attention.self."
    query = x @ arrays[stem + "query.weight"].T + arrays[stem + "query.bias"]
    key = x @ arrays[stem + "key.weight"].T + arrays[stem + "key.bias"]
    fixed = model.fix(ids, position=1)
    for h, head in enumerate(fixed.heads):
        part = slice(2 * h, 2 * h + 2)
        logits = key[:, part] @ query[1, part] / math.sqrt(2)
        np.testing.assert_allclose(head.scores(x[1]), logits, atol=1e-13, rtol=0)
    assert fixed.variable == "post-normalisation state"
    assert not model.causal
    assert model.max_length == 8


def test_prefix_old_names_and_vocabulary(tmp_path):
    plain = load(save(tmp_path))
    shapes = bert_shapes()
    old = {"embeddings.LayerNorm.gamma": (D,), "embeddings.LayerNorm.beta": (D,)}
    renamed = {k: v for k, v in shapes.items() if not k.startswith("embeddings.LayerNorm")} | old
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\nab\n##c\n", encoding="utf-8")
    model = load(save(tmp_path, shapes=renamed, prefix="bert."))
    assert model.embedding.shape == plain.embedding.shape
    assert model.tokens("ABC abd").tolist() == [1, 3, 4, 0, 2]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert load(tmp_path).tokens("ABC abc").tolist() == [1, 0, 3, 4, 2]
    with pytest.raises(InvalidInput, match="text: at least one word needed, got none"):
        load(tmp_path).tokens("  ")
    with pytest.raises(InvalidInput, match="ids: at most 8 tokens needed, got 12"):
        load(tmp_path).tokens("ab " * 10)
    # Old configurations do not say the family, but these names and two segments do.
    unsaid = {**BERT, "model_type": None, "type_vocab_size": 2}
    (tmp_path / "config.json").write_text(json.dumps(unsaid))
    assert (load(tmp_path).embedding == model.embedding).all()


def test_yarn_turns_an_even_number_of_coordinates():
    group = {"rope_type": "yarn", "factor": 2.0, "partial_rotary_factor": 0.75, "rope_theta": 9.0}
    config = Config("config.json", {"max_position_embeddings": 8, "partial_rotary_factor": 1})
    assert (
        rotation(config, {**group, "partial_rotary_factor": 0.5}, 4, partial=True).rotated(4) == 2
    )
    with pytest.raises(InvalidInput, match="an even number of coordinates as partial_rotary_fac"):
        rotation(config, group, 4, partial=True)


WEIGHT = "encoder__layer__0__attention__self__query__weight"
SECOND = "encoder__layer__1__attention__self__query__weight"
DISTANCE = "encoder__layer__0__attention__self__distance_embedding__weight"


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        ({"model_type": "t5"}, {}, "model_type 'albert', 'bert', .* needed, got 't5'"),
        ({"model_type": None}, {}, "model_type .* needed, got None"),
        ({"position_embedding_type": "relative_key"}, {}, "absolute as position_embedding_type"),
        ({"is_decoder": True}, {}, "False as is_decoder needed, got 'True'"),
        ({"quantization_config": {"bits": 8}}, {}, "no entry as quantization_config needed"),
        ({"attn_logit_softcapping": 50.0}, {}, "no entry as attn_logit_softcapping needed"),
        ({"pruned_heads": {"0": [1]}}, {}, "as pruned_heads needed"),
        ({"hidden_act": "mish"}, {}, "one of gelu, .* as hidden_act needed, got 'mish'"),
        ({"hidden_size": None}, {}, "an entry hidden_size needed, got none"),
        ({"hidden_size": 8}, {}, r"LayerNorm.weight: shape \(8\) needed, got \(4,\)"),
        ({"num_attention_heads": 3}, {}, "hidden_size in num_attention_heads equal heads needed"),
        ({"head_dim": 4}, {}, "head_dim 2 as hidden_size and num_attention_heads say needed, got"),
        (
            {"num_hidden_layers": 2},
            {},
            r"layers 0..1 needed, got \[0\]; the file is incomplete",
        ),
        ({}, {SECOND: np.ones((D, D), "f4")}, r"layers 0..0 needed, got \[0, 1\]; the file is"),
        ({}, {DISTANCE: np.ones((5, 2), "f4")}, "only needed, got .*distance_embedding.* another"),
        ({"intermediate_size": 5}, {}, r"dense.weight: shape \(5, 4\) needed, got \(6, 4\)"),
        ({"vocab_size": 9}, {}, r"word_embeddings.weight: shape \(9, 4\) needed, got \(7, 4\)"),
        ({}, {WEIGHT: None}, "tensor encoder.layer.0.attention.self.query.weight needed"),
        ({}, {WEIGHT: np.ones((D, D), "i1")}, "floating point weights needed, got int8; quantised"),
        ({}, {WEIGHT: np.ones((D, D), bool)}, "one of F64, .* needed, got BOOL"),
        ({}, {WEIGHT: np.full((D, D), np.nan)}, "finite numbers needed, got NaN"),
    ],
)
def test_bad_bert_files(config, changes, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        load(save(tmp_path, {**BERT, **config}, **changes))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("vocab.txt", "a\na\n", "distinct tokens needed, .* got 1 distinct ones in 2 lines"),
        ("vocab.txt", "\n".join("abcdefgh"), "at most 7 distinct tokens needed"),
        ("vocab.txt", "a\nb", r"vocabulary: \[UNK\] needed for WordPiece"),
        ("tokenizer_config.json", "{", "tokenizer_config.json: a JSON object needed"),
        ("tokenizer_config.json", '{"tokenizer_class": "BertJapaneseTokenizer"}', "BertJapanese"),
        ("tokenizer_config.json", '{"auto_map": {"AutoTokenizer": ["a", "b"]}}', "code of its own"),
        ("tokenizer_config.json", '{"do_lower_case": 3}', "true or false as do_lower_case needed"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"9": {"content": "new"}}}', "id 9"),
        ("tokenizer_config.json", '{"cls_token": 3}', "special tokens as strings needed, got '3'"),
        ("tokenizer.json", "{", "files of a tokenizer as the package tokenizers reads it needed"),
    ],
)
def test_bad_vocabularies_refuse_the_text_not_the_model(name, text, message, tmp_path):
    save(tmp_path)
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n")
    (tmp_path / name).write_text(text)
    model = load(tmp_path)
    assert model.fix([1, 2]).heads[0].n_terms == 2
    with pytest.raises(InvalidInput, match=message):
        model.tokens("a text")


def test_families_need_a_configuration(tmp_path):
    save(tmp_path)
    with pytest.raises(InvalidInput, match=r"n_heads: 2 needed as in .*config.json, got 4"):
        load(tmp_path, n_heads=4)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InvalidInput, match=r"this family is not read without config.json"):
        load(tmp_path)


def test_sums_of_bloom_without_offsets_are_refused():
    values = {"model_type": "bloom", "slow_but_exact": True, "pretraining_tp": 2}
    with pytest.raises(InvalidInput, match="false as slow_but_exact needed, got 'True'; beside"):
        BLOOM.load(None, Config("config.json", values, family="bloom"), None, None)


def test_truncation_of_one_kind_of_layers_is_refused():
    group = {"rope_type": "yarn", "factor": 2.0, "truncate": False}
    entries = {"rope_parameters": {"full_attention": group}, "rope_scaling": None, "a": 9, "b": 9}
    with pytest.raises(InvalidInput, match="True as truncate needed, got 'False'"):
        layered_groups(Config("config.json", entries), ("a", "b"))


# ---- parts of a split model --------------------------------------------------------------------


def split(folder):
    save(folder)
    names = list(bert_shapes())
    arrays = {
        name: np.random.default_rng(len(name)).normal(size=shape).astype("f4")
        for name, shape in bert_shapes().items()
    }
    (folder / "model.safetensors").unlink()
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, chosen in parts.items():
        save_file({name: arrays[name] for name in chosen}, folder / part)
    listed = {name: part for part, chosen in parts.items() for name in chosen}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": listed}))
    return index, listed


def test_split_model(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = load(save(tmp_path / "whole"))
    index, _ = split(tmp_path / "parts")
    for path in (index, tmp_path / "parts"):
        assert (load(path).states([1, 2])[0] == whole.states([1, 2])[0]).all()


def test_bad_parts(tmp_path):
    index, listed = split(tmp_path)
    name = next(iter(listed))
    for entry in ("../a.safetensors", "/etc/passwd", "a.bin", 3):
        index.write_text(json.dumps({"weight_map": {**listed, name: entry}}))
        with pytest.raises(InvalidInput, match="names of safetensors files in the same folder"):
            load(tmp_path)
    index.write_text(json.dumps({"weight_map": {**listed, "new.weight": "a.safetensors"}}))
    with pytest.raises(InvalidInput, match=r"tensor new.weight in a.safetensors needed"):
        load(tmp_path)
    for text, message in (("{}", "weight_map, tensor to file, needed"), ("{", "a JSON object")):
        index.write_text(text)
        with pytest.raises(InvalidInput, match=message):
            load(tmp_path)
    index.write_text(json.dumps({"weight_map": listed}))
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(InvalidInput, match=r"the part b.safetensors needed beside it, got none"):
        load(tmp_path)


# ---- without torch -----------------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch):
    """Make torch, transformers and tokenizers look absent."""
    found = importlib.import_module

    def absent(name, *rest):
        if name.split(".")[0] in ("torch", "transformers", "tokenizers"):
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    original = builtins.__import__

    def refuse(name, *rest, **more):
        assert name.split(".")[0] not in ("torch", "transformers", "tokenizers")
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_without_torch(bare, tmp_path):
    assert load(save(tmp_path)).fix([1, 2]).heads[0].n_terms == 2
    with pytest.raises(InvalidInput, match=r"module: the package torch needed .*pip install"):
        from_torch(object())
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"the package torch needed to read it, .*safetensors"):
        load(tmp_path / "pytorch_model.bin")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"text: the package tokenizers needed .*or pass ids"):
        load(tmp_path).tokens("a text")


# ---- pieces ------------------------------------------------------------------------------------


def test_layer_norm():
    x = RNG.normal(size=(3, 5))
    weight, bias = RNG.normal(size=(2, 5))
    expected = weight * (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 0.1)
    np.testing.assert_allclose(LayerNorm(weight, bias, 0.1)(x), expected + bias, atol=1e-14, rtol=0)
    with pytest.raises(InvalidInput, match="bias: 5 numbers needed"):
        LayerNorm(weight, [1.0])
    with pytest.raises(InvalidInput, match="rows other than 0 needed under a norm with eps 0"):
        LayerNorm([1.0, 1.0], eps=0)([[2.0, 2.0]])


def test_activations():
    x = np.array([[-2.0, 0.5]])
    normal = [0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x[0]]
    expected = {
        "gelu": x[0] * normal,
        "relu": [0.0, 0.5],
        "silu": x[0] / (1 + np.exp(-x[0])),
    }
    for name, values in expected.items():
        got = MLP(np.eye(2), None, np.eye(2), None, name)(x)[0]
        np.testing.assert_allclose(got, values, atol=1e-15, rtol=0)
    tanh = MLP(np.eye(2), None, np.eye(2), None, "gelu_new")(x)[0]
    np.testing.assert_allclose(tanh, expected["gelu"], atol=1e-3, rtol=0)
    with pytest.raises(InvalidInput, match="activation: one of gelu"):
        MLP(np.eye(2), None, np.eye(2), None, "mish")


def test_window():
    one = np.ones((1, 1, 1))
    layer = AttentionLayer.from_arrays(one, one, one, one, window=2)
    assert layer.fix([[1], [2], [3]]).tokens[0].tolist() == [1, 2]
    assert layer.fix([[1], [2], [3]], query_position=0, mask=[True, False, False]).heads
    assert layer.without_rope().window is None
    for window in (0, -1, 1.5, True):
        with pytest.raises(InvalidInput, match="window: a positive integer or None needed"):
            AttentionLayer.from_arrays(one, one, one, one, window=window)


# ---- entries of the configuration ---------------------------------------------------------------


@pytest.mark.parametrize("given", [{"pad_token_id": 0}, {"pad_token_id": 3}, {}])
def test_roberta_counts_positions_from_the_padding_token(given, tmp_path):
    # The first token has the position behind the padding token's id, which is 1 where none is said.
    pad = given.get("pad_token_id", 1)
    model = load(save(tmp_path, {**BERT, "model_type": "roberta", **given}))
    table = np.random.default_rng(len("embeddings.position_embeddings.weight"))
    table = table.normal(size=(8, D)).astype("f4").astype(float)
    kinds = np.random.default_rng(len("embeddings.token_type_embeddings.weight"))
    rows = table + kinds.normal(size=(2, D)).astype("f4").astype(float)[0]
    assert (model.positions == rows[pad + 1 :]).all()
    ids = [5, 4, pad, 6]
    places = [pad + 1, pad + 2, pad, pad + 3]
    assert (model.embedded(ids) == model.embedding[ids] + rows[places]).all()
    with pytest.raises(InvalidInput, match=f"the padding token {pad} at place 2, got none"):
        model.states(ids)
    assert model.states(ids, "1,1,0,1")[0].shape == (4, D)


def test_roberta_needs_a_padding_token_that_leaves_positions(tmp_path):
    for pad in (None, 7, -1, True):
        with pytest.raises(InvalidInput, match="pad_token_id"):
            load(save(tmp_path, {**BERT, "model_type": "roberta", "pad_token_id": pad}))


def test_the_family_by_the_architectures(tmp_path):
    plain = {k: v for k, v in BERT.items() if k != "model_type"}
    model = load(save(tmp_path, {**plain, "architectures": ["BertForMaskedLM"]}))
    assert (model.states([1, 2])[0] == load(save(tmp_path)).states([1, 2])[0]).all()
    for listed in (["BertGenerationEncoder"], ["BertModel", "RobertaModel"], [], "BertModel"):
        with pytest.raises(
            InvalidInput, match=r"model_type 'albert', .* needed, got None with arch"
        ):
            load(save(tmp_path, {**plain, "architectures": listed}))


def test_entries_that_nobody_knows_are_listed(tmp_path):
    given = {**BERT, "hidden_dropout_prob": 0.1, "new_scale": 2.0, "another": None}
    assert load(save(tmp_path, given)).unread == ("another", "new_scale")


# ---- names that wrappers put in -----------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    ["_orig_mod.", "module.", "module._orig_mod.bert.", "model.language_model.", "model.bert."],
)
def test_names_of_wrappers_are_taken_off(prefix, tmp_path):
    right = load(save(tmp_path)).states([1, 2])[0]
    assert (load(save(tmp_path, prefix=prefix)).states([1, 2])[0] == right).all()


def test_names_within_the_names_are_taken_off(tmp_path):
    right = load(save(tmp_path)).fix([1, 2]).heads[0].slopes
    arrays = {
        name.replace("layer.0.", "layer.0._orig_mod.").replace("self.", "self.module."): (
            np.random.default_rng(len(name)).normal(size=shape).astype("f4")
        )
        for name, shape in bert_shapes().items()
    }
    save_file(arrays, tmp_path / "model.safetensors")
    assert (load(tmp_path).fix([1, 2]).heads[0].slopes == right).all()


def test_names_that_may_mean_two_models_are_shown(tmp_path):
    twice = {p + name: shape for p in ("", "bert.") for name, shape in bert_shapes().items()}
    with pytest.raises(InvalidInput, match=r"one tensor .* got bert.embed.*, embeddings.word"):
        load(save(tmp_path, shapes=twice))
    with pytest.raises(InvalidInput, match=r"tensor embeddings.* needed, got other.embeddings"):
        load(save(tmp_path, prefix="other."))
    clash = {p + name: shape for p in ("", "module.") for name, shape in bert_shapes().items()}
    assert load(save(tmp_path, shapes=clash)).embedding.shape == (V, D)


TOY = """
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading.config import Entries
from tropattn.attention.loading.family import ModelFamily
from tropattn.attention.networks.model import Model

def load(tensors, config, folder, n_heads):
    config = config.under(Entries({"heads": 1}))
    parts = [tensors.weight(name, (None, None))[None] for name in ("q", "k", "v", "o")]
    layer = AttentionLayer.from_arrays(*parts, residual=config.family == "toy")
    return Model([layer], tensors.weight("words", (None, None)), unread=config.unread)

TOY = ModelFamily(("toy", "toy2"), load, lambda tensors, _: "q" in tensors.shapes)
"""


def test_a_family_is_one_file_and_one_word(tmp_path, monkeypatch):
    """By its name, by the class of transformers, and without a configuration."""
    (tmp_path / "a_toy_family.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    toy = importlib.import_module("a_toy_family")
    folder = tmp_path / "model"
    folder.mkdir()
    arrays = {name: np.ones((2, 2), "f4") for name in "qkvo"} | {"words": np.eye(2, dtype="f4")}
    save_file(arrays, folder / "model.safetensors")
    with pytest.raises(InvalidInput, match=r"this family is not read without config\.json"):
        load(folder)
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, toy.TOY))
    assert load(folder).layers[0].residual
    for config, residual in (
        ({"model_type": "toy", "other": 1}, True),
        ({"model_type": "toy2", "other": 1}, False),
        ({"architectures": ["Toy2ForMaskedLM"], "other": 1}, False),
        ({"other": 1}, True),
    ):
        (folder / "config.json").write_text(json.dumps(config))
        model = load(folder)
        assert (model.layers[0].residual, model.unread) == (residual, ("other",))
    with pytest.raises(InvalidInput, match="n_heads: 1 needed"):
        load(folder, n_heads=2)
