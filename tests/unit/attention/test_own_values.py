"""Own values that move off lines: cells, maps and regions against brute force (theory T12)."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from reference import deep
from reference.layerwise import count_layerwise, count_linear_regions, list_layerwise

import tropattn as ta
from tropattn import AttentionHead, AttentionLayer, Box, FixedLayer, Line, TropicalPolynomial
from tropattn.attention.heads.fixed import OwnValue
from tropattn.attention.networks.feedforward import FeedForward
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.network import Network
from tropattn.errors import InvalidInput
from tropattn.regions.bounds.networks import depth as depth_bound


def entries(rng, *shape):
    """Integers in -2..2, nested lists."""
    if len(shape) == 1:
        return [rng.randint(-2, 2) for _ in range(shape[0])]
    return [entries(rng, *shape[1:]) for _ in range(shape[0])]


def random_attention(rng, d):
    """One layer: the reference's dictionary and the library's fixed layer."""
    n = rng.randint(1, 3)
    states = entries(rng, n, d)
    own = rng.randrange(n)
    if n > 1 and rng.random() < 0.3:  # a second token with the own token's state
        states[(own + 1) % n] = list(states[own])
    heads = []
    for _ in range(rng.randint(1, 2)):
        width = rng.randint(1, 2)
        shapes = {"W_Q": (d, width), "W_K": (d, width), "W_V": (d, 1), "W_O": (1, d)}
        head = {name: entries(rng, *shape) for name, shape in shapes.items()}
        head |= {"b_Q": entries(rng, width), "b_K": entries(rng, width), "b_V": entries(rng, 1)}
        if rng.random() < 0.15:
            head["W_O"] = [[0] * d]
        heads.append(head)
    offset, residual = entries(rng, d), rng.random() < 0.75
    expected = deep.attention_of(heads, states, own, offset, residual)
    layer = AttentionLayer(
        [AttentionHead(**head, scale=1) for head in heads], b_O=offset, residual=residual
    )
    return expected, layer.fix(states, query_position=own, own_value="live")


def random_case(seed):
    """Two layers at least one of which is attention, in both forms, and a domain."""
    rng = random.Random(seed)
    d = rng.randint(1, 2)
    reference, layers = [], []
    kinds = rng.choice([["a", "a"], ["a", "r"], ["r", "a"], ["a", "r", "a"]])
    for kind in kinds:
        if kind == "a":
            expected, layer = random_attention(rng, d)
        else:
            m = rng.randint(1, 3)
            arrays = {"W_1": entries(rng, d, m), "b_1": entries(rng, m)}
            arrays |= {"W_2": entries(rng, m, d), "b_2": entries(rng, d)}
            arrays["residual"] = rng.random() < 0.7
            expected, layer = {"kind": "relu", **arrays}, FeedForward(**arrays)
        reference.append(expected)
        layers.append(layer)
    identity = [[int(i == k) for k in range(d)] for i in range(d)], [0] * d
    if rng.random() < 0.5:
        return reference, Network(layers), None, identity, []
    rows = []
    for axis in identity[0]:
        rows += [(axis, 3), ([-v for v in axis], 4)]
    return reference, Network(layers), Box([-4] * d, [3] * d), identity, rows


@pytest.mark.long
@pytest.mark.parametrize("block", range(8))
def test_against_brute_force(block):
    """160 networks: patterns, exact maps, linear regions, the bound and the sampler."""
    for seed in range(20 * block, 20 * (block + 1)):
        reference, net, domain, start, rows = random_case(seed)
        expected = deep.pieces(reference, start, rows)
        stages = net.stages()
        found = list_layerwise(stages, domain, threads=1)
        by_pattern = {piece.pattern: piece for piece in expected}
        assert [tuple(p) for p in found.patterns.tolist()] == sorted(by_pattern)
        for pattern, step in zip(found.patterns.tolist(), found.maps(), strict=True):
            piece = by_pattern[tuple(pattern)]
            assert step.matrix.tolist() == piece.matrix
            assert step.offset.tolist() == piece.offset
        counted = count_layerwise(stages, domain, threads=1)
        assert counted.value == len(expected) <= depth_bound(net, domain).value
        regions = count_linear_regions(stages, domain, threads=1).value
        assert regions <= len(expected)
        if len(expected) <= 40:  # the reference tries all pairs
            assert regions == deep.linear_regions(expected)
        law = "gaussian" if domain is None else None
        for method in ("points", "lines"):
            sampled = ta.sample_regions(
                net, 200, seed=seed, domain=domain, distribution=law, method=method, threads=1
            )
            assert sampled.value <= len(expected)
        for point, pattern in zip(found.witnesses, found.patterns.tolist(), strict=True):
            exact = np.array([Fraction(float(v)) for v in point], dtype=object)
            assert net.routing(exact).tolist() == pattern
            piece = by_pattern[tuple(pattern)]
            image = [
                sum(x * row[c] for x, row in zip(exact, piece.matrix, strict=True)) + shift
                for c, shift in enumerate(piece.offset)
            ]
            assert net(exact).tolist() == image
            assert np.allclose(net(point), np.array(image, dtype=float), atol=1e-9)


@pytest.mark.long
def test_the_cases_are_not_empty():
    """Own values matter in most of them: with fixed values the maps are others."""
    moved = 0
    for seed in range(160):
        reference, _, _, start, rows = random_case(seed)
        fixed = [
            dict(layer, own=[None] * len(layer["units"])) if "own" in layer else layer
            for layer in reference
        ]
        live, still = deep.pieces(reference, start, rows), deep.pieces(fixed, start, rows)
        moved += [p.matrix for p in live] != [p.matrix for p in still]
    assert moved > 80


@pytest.mark.long
@pytest.mark.parametrize("method", ["points", "lines"])
def test_the_sampler_finds_all_cells_of_a_deep_stack(method):
    """Four layers with live own values, in doubles and behind them; every cell is large enough."""
    rng = np.random.default_rng(5)
    for d, n in ((2, 3), (3, 4)):
        layers = []
        for _ in range(3):
            arrays = [rng.normal(size=(2, d, d)) for _ in range(4)]
            layer = AttentionLayer.from_arrays(*arrays, b_Q=rng.normal(size=(2, d)))
            layers.append(layer.fix(rng.normal(size=(n, d)), own_value="live"))
        net, box = Network(layers), Box.cube(-2, 2, d)
        exact = ta.count_regions(net, box, threads=1).value
        found = ta.sample_regions(net, 20_000, seed=1, domain=box, method=method, threads=1)
        assert exact > 20
        assert 0.5 * exact < found.value <= exact
        assert found.stats["discarded"] == 0


def test_sampled_states_are_those_of_the_network():
    """The last layer's winners at random points, by evaluation in rationals."""
    rng = random.Random(11)
    d = 2
    layers = [random_attention(rng, d)[1] for _ in range(4)]
    net = Network(layers)
    cells = {tuple(p) for p in list_layerwise(net.stages(), None).patterns.tolist()}
    points = np.random.default_rng(0).normal(size=(400, d)) * 3
    exact = np.array([[Fraction(float(v)) for v in row] for row in points], dtype=object)
    assert {tuple(p) for p in net.routing(exact).tolist()} <= cells


# ---- evaluation and special cases --------------------------------------------------------------


def test_soft_and_hard_own_values():
    """By hand: keys 1 and -1, the own token the second, values 10 x."""
    layer = AttentionLayer([AttentionHead([[1]], [[1]], [[1]], [[10]], b_V=[2], scale=1)])
    fixed = layer.fix([[1], [-1]], own_value="live")
    # right of 0 the first token's value 10 (1 + 2), left of 0 the own one, 10 (x + 2)
    assert fixed([[3.0], [-3.0]]).tolist() == [[33.0], [-13.0]]
    assert fixed([0.0]).tolist() == [25.0]  # a tie: half of 30, half of 20
    third = fixed(np.array([Fraction(-1, 3)], dtype=object))
    assert third.tolist() == [Fraction(-1, 3) + 10 * (2 - Fraction(1, 3))]
    weight = 1 / (1 + np.exp(-2 * 3.0))
    soft = 3 + weight * 30 + (1 - weight) * 10 * (3 + 2)
    assert np.isclose(fixed([3.0], temperature=1)[0], soft, rtol=1e-14)
    (stage,) = fixed.stages()
    assert stage.maps is not None
    assert stage.maps((1,)).matrix.tolist() == [[11.0]]
    assert stage.maps([(0, 1)]).matrix.tolist() == [[6.0]]


def test_soft_equals_attention_with_the_state_as_a_token():
    """At temperature 1: the own value of the state itself, the own key frozen at the reference."""
    rng = np.random.default_rng(2)
    arrays = [rng.normal(size=(3, 4, 4)) for _ in range(4)]
    layer = AttentionLayer.from_arrays(*arrays, b_V=rng.normal(size=(3, 4)))
    states = rng.normal(size=(5, 4))
    live = layer.fix(states, own_value="live")
    # at the reference state nothing has moved
    assert np.allclose(live(states[-1], 1), layer.fix(states)(states[-1], 1), atol=1e-13)
    x = rng.normal(size=4)
    total = x.copy()
    for head in layer.heads:
        scores = (states @ head.W_K) @ (x @ head.W_Q) * head.scale
        weights = np.exp(scores) / np.exp(scores).sum()
        rows = np.vstack([states[:-1], x]) @ head.W_V + head.b_V
        total += weights @ rows @ head.W_O
    assert np.allclose(live(x, 1), total, atol=1e-13)


def test_a_twin_of_the_own_token_halves_the_slope():
    """Both keys win everywhere together: half of x plus half of the twin's constant."""
    layer = AttentionLayer([AttentionHead([[1]], [[1]], [[1]], [[1]])])
    fixed = layer.fix([[4], [4]], own_value="live")
    assert fixed([[-2.0], [6.0]]).tolist() == [[-1.0], [11.0]]
    assert ta.count_regions(fixed).value == 1
    (only,) = list_layerwise(Network([fixed]).stages()).maps()
    assert (only.matrix.tolist(), only.offset.tolist()) == ([[Fraction(3, 2)]], [2])


def test_keys_that_tie_behind_a_dead_relu():
    """A constant state makes all keys of the next layer tie; own and other values are averaged."""
    zero = FeedForward([[0]], [-1], [[1]], [3], residual=False)  # x -> 3
    layer = AttentionLayer([AttentionHead([[1]], [[0]], [[1]], [[1]])])  # all scores 0
    net = Network([zero, layer.fix([[1], [2]], own_value="live")])
    (only,) = list_layerwise(net.stages()).maps()
    assert only.offset.tolist() == [3 + Fraction(1 + 3, 2)]
    assert net([9.0]).tolist() == [5.0]


def test_zero_values_are_no_regions():
    """M = 0 and equal constants: cells without a jump are one linear region."""
    head = AttentionHead([[1]], [[1]], [[1]], [[0]], scale=1)
    fixed = AttentionLayer([head]).fix([[1], [-1]], own_value="live")
    assert ta.count_regions(fixed).value == 2
    assert ta.count_regions(fixed, of="linear_regions").value == 1


def test_an_own_value_can_collapse_a_cell():
    """Left of 0 the state is x - x = 0: the second layer's head is constant there."""
    first = FixedLayer(
        [TropicalPolynomial([[0], [1]])], [[[0], [0]]], own=[OwnValue(0, -np.eye(1))]
    )
    second = TropicalPolynomial([[0], [1], [2]], [0, -1, -4])
    net = Network([first, FixedLayer([second], [[[0], [1], [2]]])])
    found = ta.enumerate_regions(net)
    assert found.patterns.tolist() == [[0, 0], [1, 0], [1, 1], [1, 2]]
    assert found.maps()[0].matrix.tolist() == [[0]]
    assert ta.count_regions(net, Line([-1.0], [2.0], 0, 1)).value == 2  # x from -1 to 1


def test_low_rank_values_stay_low_rank():
    """W_V W_O is not rounded: without residual the image is a line, however odd the weights."""
    rng = np.random.default_rng(3)
    head = AttentionHead(
        np.zeros((3, 1)), np.zeros((3, 1)), rng.normal(size=(3, 1)), rng.normal(size=(1, 3))
    )
    fixed = AttentionLayer([head], residual=False).fix(rng.normal(size=(1, 3)), own_value="live")
    normals = rng.normal(size=(3, 3, 1))
    heads = [TropicalPolynomial(np.hstack([np.zeros((3, 1)), n]).T, [0, 1]) for n in normals]
    net = Network([fixed, FixedLayer(heads, [np.zeros((2, 3))] * 3)])
    assert ta.count_regions(net).value == 4  # three points on a line
    assert depth_bound(net).value == 4
    assert ta.sample_regions(net, 2000, seed=0, distribution="gaussian", method="lines").value == 4


def test_heads_that_do_not_see_their_own_token():
    """A mask that hides the own key of one head leaves that head's values constant."""
    head = AttentionHead([[1]], [[1]], [[1]], [[1]])
    fixed = AttentionLayer([head, head]).fix(
        [[1], [2]], mask=[[True, False], [True, True]], own_value="live"
    )
    assert fixed.own is not None
    assert [value and value.term for value in fixed.own] == [None, 1]


def test_models_pass_it_on():
    """Own values of the last token in every layer."""
    layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
    model = Model([layer, layer], [[1], [2]])
    assert model.fix([0, 1], own_value="live")([5.0]).tolist() == [10.0]
    net = model.network([0, 1], own_value="live")
    assert isinstance(net, Network)
    assert net([5.0]).tolist() == [20.0]
    assert net.approximation is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"own_key": "excluded"}, "own_key='frozen'"),
        ({"query_position": 7}, "0 rows"),
        ({"positions": [1, 1], "query_position": 1}, "2 rows"),
    ],
)
def test_refused(arguments, words):
    """An own value needs an own key."""
    layer = AttentionLayer([AttentionHead([[1]], [[1]], [[1]], [[1]])])
    with pytest.raises(InvalidInput, match=words):
        layer.fix([[1], [2]], own_value="live", **arguments)


def test_refused_words_and_shapes():
    """Unknown words, cross attention, and own values that do not fit."""
    layer = AttentionLayer([AttentionHead([[1]], [[1]], [[1]], [[1]])])
    with pytest.raises(InvalidInput, match="'fixed' or 'live'"):
        layer.fix([[1]], own_value="moving")  # pyright: ignore[reportArgumentType]
    cross = AttentionHead([[1], [1]], [[1]], [[1]], [[1, 0]])
    with pytest.raises(InvalidInput, match="same states"):
        AttentionLayer([cross]).fix([[1], [2]], own_value="live")
    f = TropicalPolynomial([[0], [1]])
    with pytest.raises(InvalidInput, match="a term in"):
        FixedLayer([f], [[[0], [0]]], own=[OwnValue(2, np.eye(1))])
    with pytest.raises(InvalidInput, match="a head needed"):
        FixedLayer([f], [[[0], [0]]], own=[])
