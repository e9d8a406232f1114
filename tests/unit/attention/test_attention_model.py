"""Models: tokens, states, contexts of single tokens, logits."""

import importlib.resources
import json

import numpy as np
import pytest
from reference import softmax

from tropattn.attention.evaluated.norms import RMSNorm
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.loading import load
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput

V, D, WIDTH, LENGTH = 5, 3, 2, 6


def layer_arrays(rng):
    return {
        "W_Q": rng.normal(size=(2, D, WIDTH)),
        "b_Q": rng.normal(size=(2, WIDTH)),
        "W_K": rng.normal(size=(2, D, WIDTH)),
        "W_V": rng.normal(size=(2, D, WIDTH)),
        "W_O": rng.normal(size=(2, WIDTH, D)),
        "b_O": rng.normal(size=D),
    }


def parts(seed, depth=2):
    rng = np.random.default_rng(seed)
    return {
        "layers": [layer_arrays(rng) for _ in range(depth)],
        "embedding": rng.normal(size=(V, D)),
        "positions": rng.normal(size=(LENGTH, D)),
        "unembedding": rng.normal(size=(D, V)),
        "b_U": rng.normal(size=V),
    }


def model_of(given, **changes):
    arrays = {**given, **changes}
    layers = [AttentionLayer.from_arrays(**layer, scale=0.7) for layer in arrays.pop("layers")]
    embedding = arrays.pop("embedding")
    return Model(layers, embedding, arrays.pop("vocabulary", "abc=."), **arrays)


def plain_states(given, ids, causal=True):
    """All states after each layer, token by token from the definition."""
    x = given["embedding"][ids] + given["positions"][: len(ids)]
    out = [x]
    for layer in given["layers"]:
        rows = []
        for i in range(len(ids)):
            seen = x[: i + 1] if causal else x
            total = x[i] + layer["b_O"]
            for h in range(2):
                part = {name: value[h] for name, value in layer.items() if name != "b_O"}
                total = total + softmax.head(part, x[i], seen, scale=0.7)[1]
            rows.append(total)
        x = np.array(rows)
        out.append(x)
    return out


@pytest.mark.parametrize("causal", [True, False])
def test_states_and_logits(causal):
    given = parts(1)
    model = model_of(given, causal=causal)
    ids = [0, 3, 3, 1, 4]
    plain = plain_states(given, ids, causal)
    states = model.states(ids)
    assert len(states) == 2
    for got, expected in zip(states, plain, strict=False):
        np.testing.assert_allclose(got, expected, atol=1e-12, rtol=0)
    logits = plain[-1] @ given["unembedding"] + given["b_U"]
    np.testing.assert_allclose(model(ids), logits, atol=1e-12, rtol=0)
    np.testing.assert_allclose(model([ids, ids])[1], logits, atol=1e-12, rtol=0)
    assert (model("a==b.") == model(ids)).all()


def test_hard_logits_chain_hard_layers():
    given = parts(2)
    model = model_of(given)
    ids = [1, 2, 0, 4]
    x = model.states(ids)[0]
    for layer in model.layers:
        x = np.array([layer.fix(x[: i + 1])(x[i]) for i in range(len(ids))])
    expected = x @ given["unembedding"] + given["b_U"]
    np.testing.assert_allclose(model(ids, temperature=0), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_fix_drops_later_tokens(layer):
    model = model_of(parts(3))
    ids = [0, 1, 2, 3, 4]
    states = model.states(ids)[layer]
    fixed = model.fix(ids, layer=layer, position=2)
    assert [row.tolist() for row in fixed.tokens] == [[0, 1, 2]] * 2
    assert fixed.variable == "layer input"
    own = model.layers[layer].fix(states[:3])
    assert all((a.keys == b.keys).all() for a, b in zip(fixed.heads, own.heads, strict=True))
    same = model.fix(states, layer=layer, position=-3)
    assert all((a.keys == b.keys).all() for a, b in zip(fixed.heads, same.heads, strict=True))
    assert model.fix(ids, own_key="excluded").tokens[0].tolist() == [0, 1, 2, 3]
    # The soft fixed layer, at the token's own state, is what the model does there.
    if layer == 0:
        after = model.states(ids)[1][2]
        np.testing.assert_allclose(fixed(states[2], temperature=1), after, atol=1e-12, rtol=0)


def test_fix_keeps_later_tokens_of_a_bidirectional_model():
    model = model_of(parts(3), causal=False)
    fixed = model.fix([0, 1, 2, 3], position=1, own_key="excluded")
    assert fixed.tokens[0].tolist() == [0, 2, 3]


def test_keys_of_equal_tokens_do_not_depend_on_the_context():
    model = model_of(parts(4))
    short, long = model.fix([2, 1], position=-1), model.fix([2, 1, 0, 4, 3, 3], position=1)
    assert (short.heads[0].keys == long.heads[0].keys).all()


def test_norms_make_layer_0_the_only_one():
    rng = np.random.default_rng(0)
    norms = [RMSNorm(rng.normal(size=D)), RMSNorm(rng.normal(size=D))]
    given = parts(5)
    model = model_of(given, norms=norms, positions=None, unembedding=None, b_U=None, max_length=4)
    x = given["embedding"][[1, 2]]
    expected = norms[0].weight * x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6)
    (states,) = model.states([1, 2])
    np.testing.assert_allclose(states, expected, atol=1e-14, rtol=0)
    assert model.fix(states, layer=1).tokens[0].tolist() == [0, 1]
    with pytest.raises(InvalidInput, match=r"layer: 0 needed for ids .* got 1; pass the states"):
        model.fix([1, 2], layer=1)
    with pytest.raises(InvalidInput, match="model: attention layers and an unembedding only"):
        model([1, 2])
    with pytest.raises(InvalidInput, match="ids: at most 4 tokens needed, got 5"):
        model.states([0] * 5)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "ids: at least one token needed, got none"),
        ("", "ids: at least one token needed, got none"),
        ([0, 5], "ids: 0..4 needed, got 5 at place 1"),
        ([-1], "ids: 0..4 needed, got -1 at place 0"),
        ([0] * 7, "ids: at most 6 tokens needed, got 7"),
        ([0.5], r"ids: integers needed, got \[0.5\]"),
        ([True], r"ids: integers needed, got \[True\]"),
        ([10**30], "ids: integers needed, got"),
        (None, "ids: integers needed, got None"),
        (3, r"ids: one sequence of integers needed, got shape \(\)"),
        ([[0], [1, 2]], "ids: integers needed"),
        ("ab?", r"text: characters of the vocabulary \(abc=.\) needed, got '\?' at place 2"),
        ([[1.0, 2.0]], r"states: shape \(N, 3\) with N >= 1 needed, got \(1, 2\)"),
        (np.empty((0, D)), r"states: shape \(N, 3\) with N >= 1 needed"),
    ],
)
def test_bad_contexts(ids, message):
    with pytest.raises(InvalidInput, match=message):
        model_of(parts(1)).fix(ids)


def test_ids_and_text():
    model = model_of(parts(1))
    assert model.ids("0,1, 2").tolist() == [0, 1, 2]
    assert model.ids(range(3)).tolist() == [0, 1, 2]
    with pytest.raises(InvalidInput, match="ids: integers needed, got '1,x'"):
        model.ids("1,x")
    with pytest.raises(InvalidInput, match="text: a string needed, got int"):
        model.tokens(3)
    with pytest.raises(InvalidInput, match="text: a model with a vocabulary needed"):
        model_of(parts(1), vocabulary=None).tokens("a")
    with pytest.raises(InvalidInput, match=r"text: a vocabulary of single characters .* 'the'"):
        model_of(parts(1), vocabulary=["the", "a"]).tokens("a")
    assert model_of(parts(1), vocabulary=["<pad>", "a"]).tokens("aa").tolist() == [1, 1]


def test_bad_places():
    model = model_of(parts(1))
    with pytest.raises(InvalidInput, match=r"layer: an integer in -2..1 needed, got 2"):
        model.fix("ab", layer=2)
    with pytest.raises(InvalidInput, match=r"position: an integer in -2..1 needed, got -3"):
        model.fix("ab", position=-3)
    with pytest.raises(InvalidInput, match=r"position: an integer in -2..1 needed, got 0.5"):
        model.fix("ab", position=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embedding": np.ones((V, 4))}, "layers: states of width 4 as in the embedding"),
        ({"embedding": np.ones((0, D))}, "embedding: shape .V, d. with V, d >= 1"),
        ({"positions": np.ones((LENGTH, 2))}, r"positions: shape \(max_length, 3\) needed"),
        ({"unembedding": np.ones((D, 2))}, r"unembedding: shape \(3, 5\) needed"),
        ({"unembedding": None}, "b_U: an unembedding needed beside it"),
        ({"b_U": [1]}, "b_U: 5 numbers needed"),
        ({"vocabulary": "abcdefg"}, "vocabulary: at most 5 tokens needed"),
        ({"vocabulary": "aab"}, "vocabulary: distinct strings needed, got 'a' twice"),
        ({"vocabulary": [1, 2]}, "vocabulary: strings needed"),
        ({"norms": [RMSNorm(np.ones(D))]}, r"norms: one a layer needed \(2\), got 1"),
        ({"norms": [RMSNorm(np.ones(2))] * 2}, "norms: RMSNorm or LayerNorm values of width 3"),
        ({"layers": []}, "layers: at least one needed"),
    ],
)
def test_bad_models(changes, message):
    with pytest.raises(InvalidInput, match=message):
        model_of(parts(1), **changes)


def test_bad_norms():
    with pytest.raises(InvalidInput, match="eps: a number >= 0 needed, got -1"):
        RMSNorm([1.0], -1)
    with pytest.raises(InvalidInput, match="rows other than 0 needed under a norm with eps 0"):
        RMSNorm([1.0], 0)([[0.0]])


# ----------------------------------------------------------------------- the model that is shipped


@pytest.fixture(scope="module")
def shipped():
    place = importlib.resources.files("tropattn") / "data" / "maximum.safetensors"
    if not place.is_file():
        pytest.skip("no trained model in the package")
    return load(place)


@pytest.mark.parametrize("temperature", [1, 0])
def test_shipped_model_names_the_largest_digit(shipped, temperature):
    lists = np.random.default_rng(12).integers(0, 10, size=(3000, 9))
    lists[:1000] = lists[:1000] * np.arange(1, 11).repeat(100)[:, None] // 11
    ids = np.pad(lists, ((0, 0), (0, 1)), constant_values=shipped.vocabulary.index("="))
    answers = shipped(ids, temperature=temperature)[:, -1].argmax(axis=1)
    assert (answers == lists.max(axis=1)).mean() > 0.998
    assert json.dumps(shipped.vocabulary[:3]) == '["0", "1", "2"]'


def test_shipped_model_in_context(shipped):
    fixed = shipped.fix("314159265=", layer=0)
    assert fixed.variable == "residual stream"
    state = shipped.states("314159265=")
    np.testing.assert_allclose(fixed(state[0][-1], temperature=1), state[1][-1], atol=1e-11)
