"""Layers, fixed layers and whole sequences: hard limits, ties, shared keys, log-lifted channels."""

from fractions import Fraction

import numpy as np
import pytest
from reference import softmax

from tropattn.attention.evaluated.forward import attend, attention_scores, attention_weights
from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.heads.head import AttentionHead
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial

H, N, D, WIDTH, VALUE = 4, 6, 5, 2, 3


def stacks(seed, shared=H):
    rng = np.random.default_rng(seed)
    return {
        "W_Q": rng.normal(size=(H, D, WIDTH)),
        "W_K": rng.normal(size=(shared, D, WIDTH)),
        "W_V": rng.normal(size=(shared, D, VALUE)),
        "W_O": rng.normal(size=(H, VALUE, D)),
        "b_Q": rng.normal(size=(H, WIDTH)),
        "b_K": rng.normal(size=(shared, WIDTH)),
        "b_V": rng.normal(size=(shared, VALUE)),
        "b_O": rng.normal(size=D),
    }


def plain_output(arrays, x, states, *, sinks=None, residual=True, **how):
    """Compute the layer's soft output, head by head from the definition."""
    total = arrays["b_O"] + (x if residual else 0)
    group = H // len(arrays["W_K"])
    for h in range(H):
        part = {name: arrays[name][h] for name in ("W_Q", "W_O", "b_Q")}
        part |= {name: arrays[name][h // group] for name in ("W_K", "W_V", "b_K", "b_V")}
        sink = None if sinks is None else sinks[h]
        total = total + softmax.head(part, x, states, scale=WIDTH**-0.5, sink=sink, **how)[1]
    return total


# ------------------------------------------------------------------------------------ evaluation


@pytest.mark.parametrize("temperature", [0.3, 1, 2])
@pytest.mark.parametrize("shared", [1, 2, 4])
def test_shared_key_heads(shared, temperature):
    arrays = stacks(shared, shared)
    rng = np.random.default_rng(0)
    states, queries = rng.normal(size=(N, D)), rng.normal(size=(3, D))
    sinks = [0.5, -1, 0, 2]
    rope = RotaryEmbedding(20.0)
    layer = AttentionLayer.from_arrays(**arrays, rope=rope, sinks=sinks, residual=False)
    got = layer.fix(states)(queries, temperature=temperature)
    how = {"sinks": sinks, "residual": False, "rope": (20.0, "half"), "temperature": temperature}
    for x, row in zip(queries, got, strict=True):
        np.testing.assert_allclose(row, plain_output(arrays, x, states, **how), atol=1e-12, rtol=0)
    group = H // shared
    assert layer.heads[0].W_K is layer.heads[group - 1].W_K


def test_one_bias_and_mask_a_head():
    arrays = stacks(2)
    rng = np.random.default_rng(1)
    states, x = rng.normal(size=(N, D)), rng.normal(size=D)
    bias = rng.normal(size=(H, N))
    mask = rng.random(size=(H, N)) < 0.6
    mask[:, 2] = True
    fixed = AttentionLayer.from_arrays(**arrays).fix(states, bias=bias, mask=mask)
    total = arrays["b_O"] + x
    for h in range(H):
        part = {name: value[h] for name, value in arrays.items() if name != "b_O"}
        how = {"scale": WIDTH**-0.5, "bias": bias[h], "mask": mask[h]}
        total = total + softmax.head(part, x, states, **how)[1]
        assert fixed.tokens[h].tolist() == np.flatnonzero(mask[h]).tolist()
    np.testing.assert_allclose(fixed(x, temperature=1), total, atol=1e-12, rtol=0)


def test_hard_is_the_limit_of_soft_away_from_walls():
    rng = np.random.default_rng(5)
    fixed = AttentionLayer.from_arrays(**stacks(5)).fix(rng.normal(size=(N, D)))
    queries = rng.normal(size=(200, D))
    gaps = np.min([head.gap(queries) for head in fixed.heads], axis=0)
    far = queries[gaps > 0.01]
    assert len(far) > 100
    np.testing.assert_allclose(fixed(far), fixed(far, temperature=1e-4), atol=1e-12, rtol=0)
    np.testing.assert_allclose(fixed(far), fixed(far, temperature=1e-320), atol=1e-12, rtol=0)


def test_routing_is_the_argmax_and_names_tokens():
    rng = np.random.default_rng(6)
    states, queries = rng.normal(size=(N, D)), rng.normal(size=(20, D))
    arrays = stacks(6)
    mask = [True, False, True, True, False, True]
    fixed = AttentionLayer.from_arrays(**arrays, sinks=[50, -50, 0, 0]).fix(states, mask=mask)
    routes = fixed.routing(queries)
    assert routes.dtype == np.int64
    assert routes.shape == (20, H)
    assert fixed.routing(queries[0]).tolist() == routes[0].tolist()
    for h in range(H):
        assert fixed.tokens[h].tolist() == [0, 2, 3, 5, -1]
        assert (routes[:, h] == fixed.heads[h].scores(queries).argmax(axis=1)).all()
    assert (fixed.tokens[0][routes[:, 0]] == -1).all()
    assert (fixed.tokens[1][routes[:, 1]] >= 0).all()


def test_exact_ties_are_averaged_with_multiplicity():
    f = TropicalPolynomial([[0], [1], [1], [2]], [0, 0, 0, -9])
    fixed = FixedLayer([f], [[[0], [3], [6], [100]]], residual=False)
    assert fixed([0.0]).tolist() == [3.0]  # 0, 3 and 6 tie
    assert fixed([1.0]).tolist() == [4.5]  # equal terms: 3 and 6
    assert fixed([-1.0]).tolist() == [0.0]
    assert fixed.routing([[0.0], [1.0], [-1.0]]).ravel().tolist() == [0, 1, 0]
    # Decided in rationals: one third of a wall is not a double.
    g = TropicalPolynomial([[0], [3]], [0, -1])
    wall = np.array([Fraction(1, 3)], dtype=object)
    assert FixedLayer([g], [[[0], [1]]])(wall).tolist() == [Fraction(1, 3) + Fraction(1, 2)]


def test_equal_tokens_average_to_themselves():
    rng = np.random.default_rng(3)
    states = rng.normal(size=(N, D))
    states[[1, 2, 4]] = states[0]
    layer = AttentionLayer.from_arrays(**stacks(3))
    fixed = layer.fix(states)
    alone = layer.fix(states[[0, 3, 5]])
    queries = rng.normal(size=(50, D))
    assert (fixed(queries) == alone(queries)).all()
    assert [len(head.distinct[0]) for head in fixed.heads] == [3] * H


# ------------------------------------------------------------------------------------- own key


def test_own_key():
    rng = np.random.default_rng(7)
    states = rng.normal(size=(N, D))
    layer = AttentionLayer.from_arrays(**stacks(7))
    assert layer.fix(states).tokens[0].tolist() == list(range(N))
    assert layer.fix(states, own_key="excluded").tokens[0].tolist() == list(range(N - 1))
    third = layer.fix(states, query_position=2, own_key="excluded")
    assert third.tokens[0].tolist() == [0, 1, 3, 4, 5]
    with pytest.raises(InvalidInput, match="the first token has no other key"):
        layer.fix(states[:1], own_key="excluded")
    with pytest.raises(InvalidInput, match="exactly one row at the query's position 9, got 0"):
        layer.fix(states, query_position=9, own_key="excluded")
    with pytest.raises(InvalidInput, match="exactly one row at the query's position 0, got 6"):
        layer.fix(states, positions=[0] * N, own_key="excluded")
    with pytest.raises(InvalidInput, match="own_key: 'frozen' or 'excluded' needed, got 'live'"):
        layer.fix(states, own_key="live")
    with pytest.raises(InvalidInput, match="mask: at least one kept key"):
        layer.fix(states[:2], mask=[False, True], own_key="excluded")


def test_one_position_is_no_rotation():
    rng = np.random.default_rng(8)
    states, queries = rng.normal(size=(N, D)), rng.normal(size=(9, D))
    layer = AttentionLayer.from_arrays(**stacks(8), rope=RotaryEmbedding(1e4))
    still = layer.without_rope().fix(states)
    together = layer.fix(states, positions=[4] * N, query_position=4)
    for one, other in zip(still.heads, together.heads, strict=True):
        assert (one.keys == other.keys).all()
    assert (still(queries) == together(queries)).all()
    assert (still(queries) != layer.fix(states)(queries)).any()


# ---------------------------------------------------------------------------------- log-lifted


def test_log_lifted_is_the_limit_of_the_soft_channel():
    rng = np.random.default_rng(9)
    arrays = {name: value[:1] for name, value in stacks(9).items() if name != "b_O"}
    fixed = AttentionLayer.from_arrays(**arrays).fix(rng.normal(size=(N, D)))
    lifted = rng.normal(size=(N, 2))
    polys = fixed.log_lifted(lifted)
    assert len(polys) == 3
    queries = rng.normal(size=(30, D))
    scores = fixed.heads[0].scores(queries)
    for tau in (0.1, 0.01, 0.003):
        for c in range(2):
            # tau * log of the channel  sum_j p_j exp(v_jc / tau), in steps that do not overflow.
            top = (scores + lifted[:, c]) / tau
            below = scores / tau
            soft = tau * (np.logaddexp.reduce(top, axis=1) - np.logaddexp.reduce(below, axis=1))
            limit = polys[c](queries) - polys[2](queries)
            assert np.abs(soft - limit).max() <= tau * np.log(N) + 1e-12
            assert (polys[c].maps[0].matrix == fixed.heads[0].maps[0].matrix).all()


def test_log_lifted_of_several_heads_is_exact():
    f, g = TropicalPolynomial([[0], [1]], [0.1, 0]), TropicalPolynomial([[2]])
    fixed = FixedLayer([f, g], [[[0], [0]], [[0]]])
    polys = fixed.log_lifted([[[0.2], [1]], [[5, 7]]])
    assert [p.n_terms for p in polys] == [2, 2, 1, 1, 1]
    assert polys[0].biases[0] == Fraction(0.1) + Fraction(0.2)
    assert polys[3].biases.tolist() == [7.0]
    with pytest.raises(InvalidInput, match=r"values\[1\]: shape \(1, d_v\) .* got \(2, 1\)"):
        fixed.log_lifted([[[0], [1]], [[5], [7]]])
    with pytest.raises(InvalidInput, match=r"values: one array a head needed \(2\), got 1"):
        fixed.log_lifted([[[0], [1]]])


# -------------------------------------------------------------------------------------- stages


def test_stage_maps_agree_with_the_hard_layer():
    rng = np.random.default_rng(10)
    for residual in (True, False):
        fixed = AttentionLayer.from_arrays(**stacks(10), residual=residual).fix(
            rng.normal(size=(N, D))
        )
        (stage,) = fixed.stages()
        assert stage.units is fixed.heads
        for x in rng.normal(size=(10, D)):
            step = stage.maps(fixed.routing(x))
            got = x @ step.matrix + step.offset.astype(float)
            np.testing.assert_allclose(got, fixed(x), atol=1e-13, rtol=0)


def test_stage_offsets_are_not_rounded():
    f = TropicalPolynomial([[0], [1]])
    fixed = FixedLayer([f, f, f], [[[0.1], [0.3]], [[0.2], [0.2]], [[0.3], [0.1]]])
    maps = fixed.stages()[0].maps
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in doubles.
    assert (0.1 + 0.2) + 0.3 != (0.3 + 0.2) + 0.1
    first, second = maps((0, 0, 0)).offset, maps((1, 0, 1)).offset
    assert first[0] == second[0] == Fraction(0.1) + Fraction(0.2) + Fraction(0.3)
    whole = FixedLayer([f], [[[1], [2]]], b_O=[0.5]).stages()[0].maps((1,)).offset
    assert whole.dtype == np.float64


def test_stage_maps_average_equal_terms():
    f = TropicalPolynomial([[0], [1], [1], [1]])
    fixed = FixedLayer([f], [[[0], [1], [1], [2]]])
    maps = fixed.stages()[0].maps
    assert maps((1,)).offset[0] == maps((3,)).offset[0] == Fraction(4, 3)
    assert maps(((0, 3),)).offset.tolist() == [1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "at least one head needed"),
        (([1], [[[0]]]), "tropical polynomials needed, got int"),
        (("f", [[[0]]]), r"values\[0\]: shape \(2, 1\) needed, got \(1, 1\)"),
        (("f", [[[0, 0], [0, 0]]]), r"values\[0\]: shape \(2, 1\) needed, got \(2, 2\)"),
        (("f", 3), r"values: one array a head needed \(1\), got int"),
        (("f", [[[0], [0]]], [[0, 1, 2]]), r"tokens\[0\]: 2 integers needed"),
        (("f", [[[0], [0]]], None, [1, 2]), r"b_O: 1 numbers needed"),
    ],
)
def test_bad_fixed_layers(arguments, message):
    heads, *rest = arguments
    if heads == "f":
        heads = [TropicalPolynomial([[0], [1]])]
    with pytest.raises(InvalidInput, match=message):
        FixedLayer(heads, *rest)


@pytest.mark.parametrize(
    ("x", "temperature", "message"),
    [
        ([1.0, 2.0], 0, "x: 1 coordinates needed, got 2"),
        ([np.nan], 0, "x: finite numbers needed"),
        ([[1.0], [2.0, 3.0]], 0, "x: a rectangular array"),
        (1.0, 0, "x: shape"),
        ([1.0], -1, "temperature: a finite number >= 0 needed, got -1"),
        ([1.0], np.inf, "temperature: a finite number >= 0 needed, got inf"),
        ([1.0], "warm", "temperature: a finite number >= 0 needed, got 'warm'"),
    ],
)
def test_bad_evaluations(x, temperature, message):
    fixed = FixedLayer([TropicalPolynomial([[0], [1]])], [[[0], [1]]])
    with pytest.raises(InvalidInput, match=message):
        fixed(x, temperature)


def test_bad_layers():
    arrays = stacks(1)
    with pytest.raises(InvalidInput, match=r"W_K: a number of key heads that divides the 4 .* 3"):
        AttentionLayer.from_arrays(**{**arrays, "W_K": np.ones((3, D, WIDTH))})
    with pytest.raises(InvalidInput, match="W_V: 4 heads needed along the first axis, got 2"):
        AttentionLayer.from_arrays(**{**arrays, "W_V": np.ones((2, D, VALUE))})
    with pytest.raises(InvalidInput, match="b_O: 5 numbers needed"):
        AttentionLayer.from_arrays(**{**arrays, "b_O": [1]})
    with pytest.raises(InvalidInput, match="heads: at least one needed, got none"):
        AttentionLayer([])
    with pytest.raises(InvalidInput, match="heads: AttentionHead values needed, got int at 0"):
        AttentionLayer([3])
    one = AttentionHead([[1]], [[1]], [[1]], [[1]])
    two = AttentionHead(np.eye(2), np.eye(2), np.eye(2), np.eye(2))
    with pytest.raises(
        InvalidInput, match=r"heads: equal widths .* \(1, 1, 1\) needed, got \(2, 2"
    ):
        AttentionLayer([one, two])
    narrow = AttentionHead([[1]], [[1]], [[1]], [[1, 2]])
    with pytest.raises(InvalidInput, match=r"W_O into R\^1 needed for a residual layer, got R\^2"):
        AttentionLayer([narrow])
    layer = AttentionLayer([one, one])
    with pytest.raises(InvalidInput, match=r"bias: shape \(3,\) or \(2, 3\) needed, got \(1, 3\)"):
        layer.fix([[1], [2], [3]], bias=[[0, 0, 0]])
    with pytest.raises(InvalidInput, match=r"mask: booleans of shape \(3,\) or \(2, 3\) needed"):
        layer.fix([[1], [2], [3]], mask=[[True, True, True]])


# ----------------------------------------------------------------------------- whole sequences


@pytest.mark.parametrize("layout", ["half", "adjacent"])
def test_scores_under_rope_turn_each_key_by_its_distance(layout):
    # The definition, one pair of tokens at a time; both sides at once would turn queries as well.
    rope = RotaryEmbedding(20.0, layout)
    head = AttentionLayer.from_arrays(**stacks(5), rope=rope).heads[0]
    rows = np.random.default_rng(6).normal(size=(7, head.d_model))
    found = attention_scores(head, rows, causal=False)
    for i, x in enumerate(rows):
        keys = rope.rotate(rows @ head.W_K + head.b_K, np.arange(7) - i)
        right = head.scale * keys @ (x @ head.W_Q + head.b_Q)
        np.testing.assert_allclose(found[i], right, atol=1e-13, rtol=0)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("temperature", [0, 0.5, 1])
@pytest.mark.parametrize("rope", [None, RotaryEmbedding(5.0, "adjacent")])
def test_a_sequence_is_its_fixed_layers(rope, temperature, causal):
    rng = np.random.default_rng(11)
    states = rng.normal(size=(2, N, D))
    states[1, 3] = states[1, 1]
    layer = AttentionLayer.from_arrays(**stacks(11, 2), rope=rope, sinks=[0, 1, -1, 0.5])
    got = attend(layer, states, temperature=temperature, causal=causal)
    for sequence, rows in zip(states, got, strict=True):
        alone = attend(layer, sequence, temperature=temperature, causal=causal)
        np.testing.assert_allclose(alone, rows, atol=1e-12, rtol=0)
        for i in range(N):
            fixed = layer.fix(sequence[: i + 1] if causal else sequence, query_position=i)
            expected = fixed(sequence[i], temperature=temperature)
            np.testing.assert_allclose(rows[i], expected, atol=1e-12, rtol=0)


def test_hard_sequences_share_exact_ties():
    head = AttentionHead(np.eye(1), np.eye(1), np.eye(1), np.eye(1), sink=1)
    weights = attention_weights(head, np.array([[1.0], [1.0], [-2.0]]), temperature=0)
    assert weights.tolist() == [[0.5, 0, 0, 0.5], [1 / 3, 1 / 3, 0, 1 / 3], [0, 0, 1, 0]]


def test_bad_sequences():
    layer = AttentionLayer([AttentionHead([[1], [1]], [[1]], [[1]], [[1, 1]])])
    with pytest.raises(InvalidInput, match="queries and keys read from the same states"):
        attend(layer, [[1.0]])
    layer = AttentionLayer([AttentionHead([[1]], [[1]], [[1]], [[1]])])
    with pytest.raises(InvalidInput, match=r"states: shape \(N, 1\) or \(m, N, 1\)"):
        attend(layer, [1.0])
    with pytest.raises(InvalidInput, match="states: finite numbers needed"):
        attend(layer, [[np.nan]])


def test_stage_offsets_of_all_sizes():
    f = TropicalPolynomial([[0]])
    for numbers in [(1e300, 1e-300), (5e-324, 5e-324), (1.5e308, 1.5e308), (0.0, -0.0), (0.5, 3)]:
        first, second = numbers
        fixed = FixedLayer([f, f], [[[first]], [[second]]], b_O=[0.25])
        offset = fixed.stages()[0].maps((0, 0)).offset
        total = Fraction(first) + Fraction(second) + Fraction(1, 4)
        assert Fraction(offset[0]) == total
        fits = total < Fraction(1.7e308) and Fraction(float(total)) == total
        assert (offset.dtype == np.float64) == fits
    third = Fraction(1, 3)
    fixed = FixedLayer([f], [np.array([[third]], dtype=object)], b_O=[0.5])
    assert fixed.stages()[0].maps((0,)).offset[0] == third + Fraction(1, 2)
