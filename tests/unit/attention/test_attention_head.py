"""Heads, rotations and their polynomials against plain softmax attention."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from reference import softmax

from tropattn.attention.heads.head import AttentionHead
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.linear import exact_sum, row_products
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.errors import InvalidInput

N, D, WIDTH, VALUE = 7, 5, 4, 3


def weights(seed, *names):
    rng = np.random.default_rng(seed)
    shapes = {
        "W_Q": (D, WIDTH),
        "W_K": (D, WIDTH),
        "W_V": (D, VALUE),
        "W_O": (VALUE, D),
        "b_Q": (WIDTH,),
        "b_K": (WIDTH,),
        "b_V": (VALUE,),
    }
    return {name: rng.normal(size=shapes[name]) for name in names or shapes}


CASES = {
    "no biases": ({}, {}, ("W_Q", "W_K", "W_V", "W_O")),
    "query bias": ({}, {}, ("W_Q", "W_K", "W_V", "W_O", "b_Q")),
    "all biases": ({}, {}, ()),
    "scale": ({"scale": 0.3}, {}, ()),
    "additive bias": ({}, {"bias": [0.5, -1, 2, 0, 0.25, 3, -2]}, ()),
    "mask": ({}, {"mask": [True, False, True, True, False, False, True]}, ()),
    "rope half": ({"rope": (1e4, "half")}, {}, ()),
    "rope adjacent": ({"rope": (100.0, "adjacent")}, {"query_position": 2}, ()),
    "positions": ({"rope": (50.0, "half")}, {"positions": [3, 9, 1, 4, 7, 20, 6]}, ()),
    "sink": ({"sink": 0.7}, {"mask": [True, True, False, True, True, True, True]}, ()),
    "everything": (
        {"sink": -0.4, "rope": (10.0, "adjacent"), "scale": 0.8},
        {
            "bias": [0.5, -1, 2, 0, 0.25, 3, -2],
            "mask": [True, False, True, True, True, True, True],
            "positions": [0, 2, 4, 6, 8, 10, 12],
            "query_position": 5,
        },
        (),
    ),
}


@pytest.mark.parametrize("temperature", [0.3, 1, 2])
@pytest.mark.parametrize("case", CASES)
def test_soft_layer_is_plain_softmax_attention(case, temperature):
    own, context, names = CASES[case]
    rng = np.random.default_rng(len(case))
    arrays = weights(3, *names)
    states, queries = rng.normal(size=(N, D)), rng.normal(size=(4, D))
    rope = RotaryEmbedding(*own["rope"]) if "rope" in own else None
    head = AttentionHead(**arrays, **{**own, "rope": rope})
    b_O = rng.normal(size=D)
    fixed = AttentionLayer([head], b_O).fix(states, **context)
    how = {"scale": head.scale, **own, **context, "temperature": temperature}
    for x, got in zip(queries, fixed(queries, temperature=temperature), strict=True):
        _, output = softmax.head(arrays, x, states, **how)
        np.testing.assert_allclose(got, x + b_O + output, rtol=0, atol=1e-12)


def test_scores_are_the_logits_term_by_term():
    arrays = weights(5)
    rng = np.random.default_rng(1)
    states, x = rng.normal(size=(N, D)), rng.normal(size=D)
    head = AttentionHead(**arrays, rope=RotaryEmbedding(1e3))
    expected = softmax.logits(arrays, x, states, scale=1 / math.sqrt(WIDTH), rope=(1e3, "half"))
    np.testing.assert_allclose(head.scores(states).scores(x), expected, rtol=0, atol=1e-12)


def test_factors_are_kept():
    head = AttentionHead(**weights(5))
    poly = head.scores(np.eye(D))
    assert (poly.maps[0].matrix == head.W_Q).all()
    assert (poly.maps[0].offset == head.b_Q).all()
    assert poly.keys.shape == (D, WIDTH)
    assert poly.dim == D


def test_query_of_another_width():
    rng = np.random.default_rng(0)
    arrays = {**weights(2), "W_Q": rng.normal(size=(3, WIDTH)), "W_O": rng.normal(size=(VALUE, 3))}
    states, x = rng.normal(size=(N, D)), rng.normal(size=3)
    fixed = AttentionLayer([AttentionHead(**arrays)]).fix(states)
    _, output = softmax.head(arrays, x, states, scale=0.5)
    np.testing.assert_allclose(fixed(x, temperature=1), x + output, rtol=0, atol=1e-12)


def test_key_bias_drops_out_without_rope_and_not_with_it():
    arrays = weights(8)
    rng = np.random.default_rng(4)
    states, queries = rng.normal(size=(N, D)), 3 * rng.normal(size=(400, D))
    plain = AttentionHead(**arrays)
    unbiased = replace(plain, b_K=None)
    assert (plain.scores(states).argmax(queries) == unbiased.scores(states).argmax(queries)).all()
    turned = replace(plain, rope=RotaryEmbedding(2.0), b_K=5 * arrays["b_K"])
    other = replace(turned, b_K=None)
    assert (turned.scores(states).argmax(queries) != other.scores(states).argmax(queries)).any()


def test_equal_states_have_equal_keys_bit_for_bit():
    rng = np.random.default_rng(0)
    state = rng.normal(size=37)
    other = rng.normal(size=(50, 37))
    other[[3, 17, 41]] = state
    head = AttentionHead(*rng.normal(size=(3, 37, 6)), rng.normal(size=(6, 37)))
    keys, values = head.keys(other), head.values(other)
    alone, value = head.keys(state[None]), head.values(state[None])
    assert (keys[[3, 17, 41]] == alone).all()
    assert (values[[3, 17, 41]] == value).all()


@pytest.mark.parametrize("layout", ["half", "adjacent"])
def test_rotation_is_relative(layout):
    rope = RotaryEmbedding(30.0, layout)
    rng = np.random.default_rng(6)
    q, k = rng.normal(size=(2, 8))
    for p, other in [(0, 0), (3, 9), (12, 1)]:
        both = softmax.rotate(q, p, 30.0, layout) @ softmax.rotate(k, other, 30.0, layout)
        turned = rope.rotate(k[None], np.array([other - p]))[0]
        assert q @ turned == pytest.approx(both, abs=1e-13)
    assert (rope.rotate(k[None], np.array([0])) == k).all()


def test_exact_weights_stay_exact():
    third = Fraction(1, 3)
    head = AttentionHead(
        [[third]], [[third]], [[1]], [[1]], b_Q=[Fraction(1, 7)], scale=third, sink=third
    )
    terms = head.scores([[Fraction(1, 5)], [1]]).exact_terms().table()
    assert [[Fraction(int(v.p), int(v.q)) for v in row] for row in terms] == [
        [third**3 / 5, third**2 / 35],
        [third**3, third**2 / 7],
        [0, third],
    ]


def test_row_products_and_exact_sums():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(6, 5)), rng.normal(size=(5, 3))
    in_order = np.zeros((6, 3))
    for i in range(5):
        in_order += np.multiply.outer(a[:, i], b[i])
    assert (row_products("a", a, b) == in_order).all()
    several = np.stack([a[::2], a[1::2]])[:, ::-1]
    assert (row_products("a", several, b)[1] == in_order[5::-2]).all()
    rows, column = np.array([[0.1, 0.2]]), np.array([[Fraction(1)], [Fraction(1)]])
    assert row_products("a", rows, column)[0, 0] == Fraction(0.1) + Fraction(0.2)
    assert exact_sum(np.array([0.1]), np.array([0.2]))[0] == Fraction(0.1) + Fraction(0.2)
    assert exact_sum(np.array([1e308]), np.array([1e308]))[0] == 2 * Fraction(1e308)
    with pytest.raises(InvalidInput, match="states: products with the weights below"):
        row_products("states", np.array([[1e200]]), np.array([[1e200]]))


def head_with(**changes):
    return AttentionHead(**{**weights(1), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"W_Q": np.ones(3)}, r"W_Q: shape \(d_model, d_head\) needed, got .* \(3,\)"),
        ({"W_Q": [[1, 2], [3]]}, "W_Q: a rectangular array"),
        ({"W_Q": np.full((D, WIDTH), np.nan)}, "W_Q: finite numbers needed, got nan"),
        ({"W_K": np.ones((D, 3))}, r"W_K: as many columns as W_Q needed \(4\), got 3"),
        ({"W_V": np.ones((2, VALUE))}, r"W_V: as many rows as W_K needed \(5\), got 2"),
        ({"W_O": np.ones((2, D))}, r"W_O: as many rows as W_V has columns needed \(3\), got 2"),
        ({"W_O": np.ones((VALUE, 0))}, "W_O: at least one row and one column"),
        ({"b_Q": [1, 2]}, "b_Q: 4 numbers needed .* got 2"),
        ({"b_V": np.ones((1, 3))}, "b_V: shape"),
        ({"scale": 0}, "scale: a positive number needed, got 0"),
        ({"scale": -1.0}, "scale: a positive number needed, got -1"),
        ({"scale": np.inf}, "scale: finite numbers needed"),
        ({"scale": "big"}, "scale: real numbers needed"),
        ({"sink": np.nan}, "sink: finite numbers needed"),
        ({"sink": [1, 2]}, "sink: shape one number needed"),
        ({"rope": 1e4}, "rope: a RotaryEmbedding or None needed, got float"),
    ],
)
def test_bad_heads(changes, message):
    with pytest.raises(InvalidInput, match=message):
        head_with(**changes)


def test_bad_rotations():
    odd = np.ones((D, 3))
    with pytest.raises(InvalidInput, match="rope: an even d_head needed, got 3"):
        head_with(W_Q=odd, W_K=odd, b_Q=None, b_K=None, rope=RotaryEmbedding(1e4))
    with pytest.raises(InvalidInput, match="theta: a positive number needed, got -1"):
        RotaryEmbedding(-1)
    with pytest.raises(InvalidInput, match="theta: a positive number needed, got 'x'"):
        RotaryEmbedding("x")
    with pytest.raises(InvalidInput, match="layout: 'half' or 'adjacent' needed, got 'third'"):
        RotaryEmbedding(1e4, "third")
    with pytest.raises(InvalidInput, match="an even d_head needed, got 3"):
        RotaryEmbedding(1e4).rotate(np.ones((1, 3)), np.array([0]))


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"bias": [1, 2]}, "bias: 7 numbers needed .* got 2"),
        ({"bias": [-np.inf, *range(6)]}, "bias: finite numbers needed, got -inf at .*a mask drops"),
        ({"mask": [1, 0, 1, 1, 1, 1, 1]}, "mask: 7 booleans needed, .* of int64"),
        ({"mask": [True]}, r"mask: 7 booleans needed, .* shape \(1,\)"),
        ({"mask": [[True], [True, False]]}, "mask: 7 booleans needed"),
        ({"mask": [False] * 7}, "mask: at least one kept key needed, got 7 masked ones"),
        ({"positions": [0, 1]}, r"positions: 7 integers needed, .* shape \(2,\)"),
        ({"positions": [0.5] * 7}, "positions: 7 integers needed, .* float64"),
        ({"positions": [2**40] * 7}, r"positions: integers below 2\*\*31"),
        ({"query_position": 1.5}, "query_position: an integer below .* got 1.5"),
    ],
)
def test_bad_contexts(context, message):
    states = np.ones((N, D))
    with pytest.raises(InvalidInput, match=message):
        head_with().scores(states, **context)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (np.ones((0, D)), r"states: shape \(N, 5\) with N >= 1 needed, got \(0, 5\)"),
        (np.ones((2, 4)), r"states: shape \(N, 5\) with N >= 1 needed, got \(2, 4\)"),
        (np.ones(D), r"states: shape \(N, 5\) needed"),
        ([[np.inf] * D], "states: finite numbers needed"),
        ([[1e308] * D], "states: products with the weights below"),
    ],
)
def test_bad_states(states, message):
    with pytest.raises(InvalidInput, match=message):
        head_with(W_K=np.full((D, WIDTH), 10.0)).scores(states)


def test_values_are_frozen():
    given = weights(1)
    head = AttentionHead(**given)
    given["W_Q"][0, 0] = 99
    assert head.W_Q[0, 0] != 99
    with pytest.raises(ValueError, match="read-only"):
        head.W_Q[0, 0] = 1
    with pytest.raises(AttributeError):
        head.scale = 2
    assert replace(head, scale=2.0).W_Q is head.W_Q
