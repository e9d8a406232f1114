"""Norms of queries and keys, soft caps, biases of positions, partial rotations: by definition."""

import numpy as np
import pytest

import tropattn as ta
from tropattn.attention.evaluated.forward import attention_scores, attention_weights
from tropattn.attention.heads.head import AttentionHead
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.logits import HeadNorm
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.attention.networks.model import Model
from tropattn.tropical.terms import AffineMap

D, K, N = 5, 4, 9


def arrays(seed):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(1, D, K)) for _ in range(3)] + [rng.normal(size=(1, K, D))]
    return weights, rng.normal(size=(N, D)), rng


def rms(rows, weight, eps):
    return weight * rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + eps)


def turned(row, place, turns, factor):
    """A query or a key at a place, its first pairs turned one by one."""
    out, half = row.copy(), len(turns)
    for i, turn in enumerate(turns):
        c, s = np.cos(place * turn), np.sin(place * turn)
        a, b = row[i], row[half + i]
        out[i], out[half + i] = factor * (a * c - b * s), factor * (b * c + a * s)
    return out


def by_definition(weights, rows, q_weight, k_weight, eps, turns, factor, cap):
    query, key = (
        rms(rows @ w[0], v, eps) for w, v in zip(weights[:2], (q_weight, k_weight), strict=True)
    )
    out = np.empty((N, N))
    for i in range(N):
        for j in range(N):
            a, b = turned(query[i], i, turns, factor), turned(key[j], j, turns, factor)
            out[i, j] = cap * np.tanh(a @ b / np.sqrt(K) / cap)
    return out


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_norms_and_caps_move_no_wall(seed, causal):
    weights, rows, rng = arrays(seed)
    q_weight, k_weight = rng.normal(size=K), rng.normal(size=K)
    turns, factor, eps, cap = (0.7,), 1.3, 0.05, 2.0
    layer = AttentionLayer.from_arrays(
        *weights,
        rope=RotaryEmbedding(1e4, turns=turns, factor=factor),
        q_norms=[HeadNorm(q_weight, eps)],
        k_norms=[HeadNorm(k_weight, eps)],
        cap=cap,
        residual=False,
    )
    expected = by_definition(weights, rows, q_weight, k_weight, eps, turns, factor, cap)
    (head,) = layer.heads
    found = attention_scores(head, rows, causal=causal)
    seen = np.isfinite(found)
    assert seen.all() != causal
    np.testing.assert_allclose(found[seen], expected[seen], atol=1e-12)
    hard = attention_weights(head, rows, temperature=0, causal=causal)
    expected = np.where(seen, expected, -np.inf)
    assert (hard.argmax(axis=1) == expected.argmax(axis=1)).all()
    soft = np.exp(expected - expected.max(axis=1, keepdims=True))
    soft /= soft.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(attention_weights(head, rows, causal=causal), soft, atol=1e-12)
    for place in range(N):
        context = rows[: place + 1] if causal else rows
        fixed = layer.fix(context, query_position=place)
        assert fixed.routing(rows[place])[0] == expected[place].argmax()
        out = soft[place] @ (rows @ weights[2][0] @ weights[3][0])
        np.testing.assert_allclose(fixed(rows[place], temperature=1), out, atol=1e-12)
        # The polynomial is homogeneous: the norm of the query is no part of it.
        scores = fixed.heads[0].scores(rows[place])
        np.testing.assert_allclose(fixed.heads[0].scores(3 * rows[place]), 3 * scores, rtol=1e-12)


def test_a_norm_of_all_heads_together():
    weights, rows, rng = arrays(5)
    whole = AffineMap(rng.normal(size=(D, 7)), rng.normal(size=7))
    norm = HeadNorm([1, 2, 3, 4], 0.1, whole)
    layer = AttentionLayer.from_arrays(*weights, q_norms=[norm], residual=False)
    size = np.sqrt(((rows @ whole.matrix + whole.offset) ** 2).mean(axis=1) + 0.1)
    query = norm.weight * (rows @ weights[0][0]) / size[:, None]
    expected = query @ (rows @ weights[1][0]).T / 2
    found = attention_scores(layer.heads[0], rows, causal=False)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_biases_of_positions():
    weights, rows, _ = arrays(6)
    layer = AttentionLayer.from_arrays(*weights, slants=[0.25], residual=False)
    plain = rows @ weights[0][0] @ (rows @ weights[1][0]).T / 2
    places = np.arange(N)
    expected = plain + 0.25 * (places - places[:, None])
    found = attention_scores(layer.heads[0], rows, causal=False)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    fixed = layer.fix(rows, query_position=3)
    np.testing.assert_allclose(fixed.heads[0].scores(rows[3]), expected[3], atol=1e-12)
    hard = attention_weights(layer.heads[0], rows, temperature=0, causal=False)
    assert (hard.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_windows_to_both_sides():
    weights, rows, _ = arrays(7)
    layer = AttentionLayer.from_arrays(*weights, window=3, residual=False)
    near = np.abs(np.arange(N)[:, None] - np.arange(N)) < 3
    shares = attention_weights(layer.heads[0], rows, causal=False, window=3)
    assert ((shares > 0) == near).all()
    assert layer.fix(rows, query_position=4).tokens[0].tolist() == [2, 3, 4, 5, 6]


NORM = HeadNorm(np.ones(K))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"slant": 1.0, "q_norm": NORM}, "slant: nothing added to the scores needed"),
        ({"sink": 1.0, "cap": 3.0}, "sink: nothing added to the scores needed"),
        ({"cap": 0}, "cap: a positive number or None needed, got 0"),
        ({"cap": "high"}, "cap: a positive number or None needed, got 'high'"),
        ({"q_norm": HeadNorm(np.ones(3))}, "q_norm: a HeadNorm with 4 weights or None needed"),
        ({"k_norm": 3}, "k_norm: a HeadNorm with 4 weights or None needed, got 3"),
        ({"rope": RotaryEmbedding(1e4, turns=(1.0, 2.0, 3.0))}, "rope: an even d_head needed"),
    ],
)
def test_what_cannot_stand_together(more, message):
    weights, _, _ = arrays(8)
    with pytest.raises(ta.InvalidInput, match=message):
        AttentionHead(*(weight[0] for weight in weights), **more)


@pytest.mark.parametrize("more", [{"q_norms": [NORM]}, {"k_norms": [NORM]}, {"cap": 2.0}])
def test_biases_and_moving_keys_are_refused(more):
    weights, rows, _ = arrays(9)
    layer = AttentionLayer.from_arrays(*weights, **more)
    model = Model([layer], rows)
    with pytest.raises(ta.InvalidInput, match="norms, position biases and soft caps"):
        model.network([0, 1], own_key="live")
    if "k_norms" not in more:
        with pytest.raises(ta.InvalidInput, match="bias: nothing added to the scores needed"):
            layer.fix(rows, bias=np.ones(N))


def test_norms_that_are_not_read():
    for eps, weight, message in [(-1, [1], "eps: a number >= 0"), (0, [np.nan], "weight: finite")]:
        with pytest.raises(ta.InvalidInput, match=message):
            HeadNorm(weight, eps)
    with pytest.raises(ta.InvalidInput, match="a zero one; give eps > 0"):
        HeadNorm([1.0], 0).factors(np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(ta.InvalidInput, match="turns, factor: finite angles"):
        RotaryEmbedding(1e4, turns=(1.0,), factor=-1.0)
