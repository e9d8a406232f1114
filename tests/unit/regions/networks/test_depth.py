"""Counting across depth: constructions that attain the bound, named examples, limits."""

from __future__ import annotations

from fractions import Fraction
from math import comb, isqrt
from pathlib import Path

import numpy as np
import pytest
from reference.layerwise import count_layerwise, count_linear_regions, list_layerwise

import tropattn as ta
from tropattn import (
    Box,
    BudgetExceeded,
    FixedLayer,
    Interrupted,
    InvalidInput,
    Line,
    Slice,
    TropicalPolynomial,
    count_regions,
)
from tropattn.attention.constructions import digit_transformer, sawtooth_transformer
from tropattn.attention.networks.feedforward import Affine, FeedForward
from tropattn.attention.networks.network import Network, fixed_network
from tropattn.regions.bounds import layer as layer_bound
from tropattn.regions.bounds.networks import depth as depth_bound

MODEL = str(Path(ta.__file__).parent / "data" / "maximum.safetensors")


def digit_sizes(low, high):
    """All (N, d, L) with d L >= 2 and low < N^{dL} <= high."""
    return [
        (n, d, places // d)
        for places in range(2, high.bit_length())
        for n in range(2, isqrt(high) + 1)
        if low < n**places <= high
        for d in range(1, places + 1)
        if places % d == 0
    ]


def check_digits(n, d, depth):
    net = digit_transformer(n, d, depth)
    found = count_layerwise(net.stages())
    assert found.value == n ** (d * depth) == depth_bound(net).value
    assert found.stats["exact_decisions"] == 0
    box = Box.cube(-1, n**depth + 1, d)
    assert 1 <= ta.sample_regions(net, 300, seed=0, domain=box).value <= found.value


def test_digit_sizes_are_all():
    sizes = digit_sizes(0, 10_000)
    assert len(sizes) == len(set(sizes)) == 316
    assert {(100, 1, 2), (100, 2, 1), (2, 13, 1), (2, 1, 13), (10, 2, 2), (2, 1, 2)} <= set(sizes)


@pytest.mark.parametrize("n, d, depth", digit_sizes(0, 700))
def test_digit_transformer_attains_the_bound(n, d, depth):
    """T15: exactly N^{dL} cells, which is the bound T14."""
    check_digits(n, d, depth)


@pytest.mark.slow
@pytest.mark.parametrize("n, d, depth", digit_sizes(700, 100_000))
def test_digit_transformer_to_a_hundred_thousand(n, d, depth):
    """All 770 sizes; ``pytest -m slow -k test_digit_transformer_to_a_hundred_thousand``."""
    check_digits(n, d, depth)


MILLION = [(10, 3, 2), (31, 2, 2), (10, 6, 1), (100, 3, 1), (1000, 2, 1), (10, 2, 3), (5, 4, 2)]
MILLION += [(2, 1, 18), (3, 2, 6), (4, 3, 3), (7, 1, 7), (2, 9, 2), (2, 3, 6), (15, 5, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("n, d, depth", MILLION)
def test_digit_transformer_to_a_million(n, d, depth):
    """``pytest -m slow -k test_digit_transformer_to_a_million``."""
    assert 200_000 < n ** (d * depth) <= 1_000_000
    check_digits(n, d, depth)


def test_cells_of_width_one_among_a_trillion():
    """Ten thousand billion cells, counted in a window of a hundred; and one in rationals."""
    net = digit_transformer(10, 1, 13)
    window = Box([1234567890123.5], [1234567890223.5])
    assert count_layerwise(net.stages(), window).value == 101
    thirds = [Fraction(10**13, 3), Fraction(10**13, 3) + 20]
    box = Box(np.array(thirds[:1], dtype=object), np.array(thirds[1:], dtype=object))
    assert count_layerwise(net.stages(), box).value == 21


def test_digits_far_beyond_doubles():
    """Integers of 67 bits: doubles cannot tell the cells apart, local coordinates can."""
    net = digit_transformer(10, 1, 20)
    low = 12345678901234567890
    box = Box(np.array([low], dtype=object), np.array([low + 30], dtype=object))
    assert count_layerwise(net.stages(), box).value == 30


def test_singular_piece_merges_and_averages():
    """T12: behind a dead ReLU two keys tie on a whole cell; it is counted, its values averaged."""
    dead = FeedForward([[1]], [0], [[1]], residual=False)
    head = FixedLayer([TropicalPolynomial([[1], [2], [0]], [0, 0, -1])], [[[1], [4], [9]]])
    net = Network([dead, head])
    found = list_layerwise(net.stages())
    assert found.patterns.tolist() == [[0, 0], [1, 1]]
    left, right = found.maps()
    assert (left.matrix.tolist(), left.offset.tolist()) == ([[0]], [Fraction(5, 2)])
    assert (right.matrix.tolist(), right.offset.tolist()) == ([[1]], [4])
    assert net([-3.0]).tolist() == [2.5]


def test_central_keys_off_the_centre():
    """T14: four central keys on a line off the centre give 4 cells, where T7 in rank 1 says 2."""
    slopes = [[t, -t * t] for t in range(4)]
    head = FixedLayer([TropicalPolynomial(slopes)], [[[0, 0]] * 4])
    net = Network([Affine([[2, 0]], [0, 1]), head])
    assert count_layerwise(net.stages()).value == 4
    assert layer_bound([4], 1, central=True).value == 2
    assert depth_bound(net).value == 4


def test_bound_takes_the_rank_of_the_pieces():
    """A layer behind a map of rank 1 counts in dimension 1; behind fixed values in dimension 0."""
    square = [TropicalPolynomial([[0, 0], [1, 0]]), TropicalPolynomial([[0, 0], [0, 1]], [0, -1])]
    head = FixedLayer(square, [np.zeros((2, 2))] * 2)
    assert depth_bound(Network([head, head])).value == 16
    assert depth_bound(Network([Affine([[1, 1], [1, 1]]), head])).value == 3
    fixed = FixedLayer(square, [np.eye(2)] * 2, residual=False)
    assert depth_bound(Network([fixed, head])).value == 4
    assert depth_bound(Network([head, head]), Line([0, 0], [1, 2])).value == 9


def test_patterns_of_all_layers_stand_side_by_side():
    found = list_layerwise(digit_transformer(2, 1, 2).stages())
    assert found.patterns.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert [step.offset.tolist() for step in found.maps()] == [[0], [-1], [-2], [-3]]
    assert all(a < b for a, b in zip(found.witnesses[:-1, 0], found.witnesses[1:, 0], strict=True))
    assert sorted(found.adjacency().edges) == [(0, 1), (1, 2), (2, 3)]


def test_result_does_not_depend_on_threads():
    stages = sawtooth_transformer(2, 1, 2, 2).stages()
    box = Box.cube(0, 1, 2)
    one, two = (count_layerwise(stages, box, threads=t) for t in (1, 2))
    assert one.value == two.value == 256
    drop = {"seconds"}
    assert {k: v for k, v in one.stats.items() if k not in drop} == {
        k: v for k, v in two.stats.items() if k not in drop
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_budget_carries_a_lower_bound(threads):
    stages = digit_transformer(3, 2, 3).stages()
    with pytest.raises(BudgetExceeded) as caught:
        count_layerwise(stages, max_cells=100, threads=threads)
    assert 100 < caught.value.lower <= 729
    with pytest.raises(BudgetExceeded) as caught:
        count_linear_regions(stages, max_cells=100, threads=threads)
    assert 0 <= caught.value.lower <= 729
    with pytest.raises(BudgetExceeded):
        list_layerwise(stages, max_cells=100)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [count_layerwise, count_linear_regions])
def test_interruption_carries_a_lower_bound(threads, count):
    def stop(found, left):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        count(digit_transformer(2, 1, 14).stages(), threads=threads, report=stop)
    assert 0 < caught.value.lower < 2**14


def test_bad_input():
    net = digit_transformer(2, 2, 1)
    with pytest.raises(InvalidInput, match="domain"):
        count_layerwise(net.stages(), Box([0], [1]))
    with pytest.raises(InvalidInput, match="domain"):
        count_layerwise(net.stages(), ta.Polytope([[1, 0], [-1, 0]], [0, -1]))
    with pytest.raises(InvalidInput, match="of"):
        count_layerwise(net.stages(), of="walls")
    heads = ta.RoutingStage((TropicalPolynomial([[0, 0], [1, 0]]),))
    with pytest.raises(InvalidInput, match="target"):
        count_layerwise([heads, heads])
    with pytest.raises(InvalidInput, match="stages"):
        count_layerwise([*net.stages(), *digit_transformer(2, 1, 1).stages()])


def test_one_stage_agrees_with_the_engine_of_one_layer():
    rng = np.random.default_rng(5)
    for dim in (1, 2, 3):
        heads = [
            TropicalPolynomial(rng.normal(size=(5, dim)), rng.normal(size=5)) for _ in range(3)
        ]
        expected = count_regions(heads, engine="enumeration").value
        assert count_layerwise([ta.RoutingStage(tuple(heads))]).value == expected


def test_log_lifted_cells_of_one_layer():
    """T4: at most C(N + d_v, d_v + 1) common cells; constant values add no cell."""
    rng = np.random.default_rng(2)
    for n, d_v in ((3, 1), (4, 2), (5, 3)):
        head = TropicalPolynomial(rng.normal(size=(n, 2)), rng.normal(size=n))
        fixed = FixedLayer([head], [np.zeros((n, 2))])
        lifted = fixed.log_lifted(rng.normal(size=(n, d_v)))
        value = count_regions(lifted).value
        assert count_regions(head).value <= value <= comb(n + d_v, d_v + 1)
        assert count_layerwise([ta.RoutingStage(tuple(lifted))]).value == value
        same = fixed.log_lifted(np.ones((n, d_v)))
        assert count_regions(same).value == count_regions(head).value


@pytest.mark.long
@pytest.mark.parametrize("keys_from", ["hard", "soft"])
def test_shipped_model_through_both_layers(keys_from):
    """The last token's state moves in a plane: count, bound, witnesses, and dense samples."""
    model = ta.load(MODEL)
    text = "83052="
    net = fixed_network(model, text, keys_from=keys_from)
    plane = Slice.through([model.embedded(model.tokens(text[:-1] + c))[-1] for c in "159"])
    found = list_layerwise(net.stages(), plane)
    assert 1 < ta.sample_regions(net, 2000, seed=0, domain=plane).value <= len(found)
    one = count_regions(net.layers[0], plane).value
    assert one <= len(found) <= depth_bound(net, plane).value
    assert count_layerwise(net.stages(), plane).value == len(found)
    patterns = {tuple(p) for p in found.patterns.tolist()}
    for row, pattern in zip(found.witnesses[:20], found.patterns[:20], strict=True):
        assert (net.routing(row) == pattern).all()
    rng = np.random.default_rng(0)
    low, high = plane.window.low, plane.window.high
    points = plane.to_ambient(low + rng.random((3000, 2)) * (high - low))
    clear = np.ones(len(points), dtype=bool)
    state = points
    for fixed in net.layers:
        clear &= np.min([head.gap(state) for head in fixed.heads], axis=0) > 1e-9
        state = fixed(state)
    seen = {tuple(p) for p in net.routing(points[clear]).tolist()}
    assert clear.mean() > 0.99
    assert seen <= patterns
    assert len(seen) > len(patterns) / 4


@pytest.mark.long
def test_wide_relu_network_on_a_square_against_samples():
    """Gaussian weights: every pattern of 40,000 points is a cell, every cell is real."""
    rng = np.random.default_rng([16, 2])
    blocks = [
        FeedForward(rng.normal(size=(a, b)), rng.normal(size=b) / 3, np.eye(b), residual=False)
        for a, b in ((2, 12), (12, 8))
    ]
    net = Network(blocks)
    box = Box.cube(-1, 1, 2)
    found = list_layerwise(net.stages(), box)
    assert count_layerwise(net.stages(), box).value == len(found) <= depth_bound(net, box).value
    assert 1 < ta.sample_regions(net, 2000, seed=0, domain=box).value <= len(found)
    first = count_regions(blocks[0].stages()[0], box).value
    assert first <= len(found)
    points = rng.uniform(-1, 1, (40_000, 2))
    hidden = points @ blocks[0].W_1 + blocks[0].b_1
    after = np.maximum(hidden, 0) @ blocks[1].W_1 + blocks[1].b_1
    scores = np.hstack([hidden, after])
    clear = (np.abs(scores) > 1e-9).all(axis=1)
    seen = {tuple(p) for p in (scores[clear] > 0).astype(int).tolist()}
    patterns = {tuple(p) for p in found.patterns.tolist()}
    # A dead unit ties its two terms at 0 only where it is 0 itself, so the names agree.
    assert seen <= patterns
    # The cells that no sample met are real: their witnesses route so in rationals.
    rows = np.array([[Fraction(v) for v in row] for row in found.witnesses.tolist()], dtype=object)
    assert (net.routing(rows) == found.patterns).all()
