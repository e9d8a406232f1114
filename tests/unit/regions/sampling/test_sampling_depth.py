"""Sampling across depth: no cell is invented, none is lost to ties, and any split is the same."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from reference import deep

import tropattn as ta
from tropattn import (
    Affine,
    Box,
    FeedForward,
    FixedLayer,
    InvalidInput,
    Line,
    Maxout,
    Network,
    RoutingStage,
    Slice,
    TropicalPolynomial,
    count_regions,
    draw_sample,
    merge_samples,
    sample_regions,
)
from tropattn.attention.constructions import digit_transformer, sawtooth_transformer
from tropattn.attention.networks.network import fixed_network
from tropattn.regions.sampling import networks as cascade
from tropattn.regions.sampling.error_bounds import norm_bound, step_of_stage
from tropattn.regions.sampling.networks import NetworkSampler
from tropattn.tropical.terms import AffineMap

MODEL = str(Path(ta.__file__).parent / "data" / "maximum.safetensors")


def build(layers):
    """A reference network as one of the library's."""
    made = []
    for layer in layers:
        if layer["kind"] == "attention":
            heads = [TropicalPolynomial(*unit) for unit in layer["units"]]
            made.append(
                FixedLayer(heads, layer["values"], None, layer["offset"], layer["residual"])
            )
        elif layer["kind"] == "relu":
            arrays = [layer[name] for name in ("W_1", "b_1", "W_2", "b_2")]
            made.append(FeedForward(*arrays, residual=layer["residual"]))
        elif layer["kind"] == "maxout":
            made.append(Maxout(*zip(*layer["units"], strict=True)))
        else:
            made.append(Affine(layer["matrix"], layer["offset"]))
    return Network(made)


def random_case(seed):
    """A small network of 2 or 3 layers with ties and dead units; a domain and its reference."""
    rng = random.Random(seed)
    d = rng.randint(1, 3)
    layers = deep.random_network(rng, d)
    identity = [[int(i == k) for k in range(d)] for i in range(d)]
    bounds = [(row, 3) for row in identity] + [([-v for v in row], 2) for row in identity]
    if seed % 3 == 0:
        return layers, None, (identity, [0] * d), []
    if seed % 3 == 1 or d == 1:
        return layers, Box([-2] * d, [3] * d), (identity, [0] * d), bounds
    origin = [rng.randint(-2, 2) for _ in range(d)]
    direction = [1, *(rng.randint(-2, 2) for _ in range(d - 1))]
    line = Line(origin, direction, -2, 3)
    return layers, line, ([direction], origin), [([1], 3), ([-1], 2)]


def exact_patterns(pieces, points):
    """The pattern of each point, by the definition in rationals; None on a wall."""
    found = []
    for point in points:
        x = [Fraction(float(v)) for v in point]
        inside = [
            piece.pattern
            for piece in pieces
            if all(sum(a * v for a, v in zip(n, x, strict=True)) < b for n, b in piece.rows)
        ]
        assert len(inside) <= 1
        found.append(inside[0] if inside else None)
    return found


@pytest.mark.long
@pytest.mark.parametrize("block", range(4))
def test_patterns_of_random_networks(block):
    """60 networks: each draw of given states has the pattern of the definition, walls have none."""
    for seed in range(15 * block, 15 * block + 15):
        layers, domain, start, rows = random_case(seed)
        pieces = deep.pieces(layers, start, rows)
        rng = np.random.default_rng(seed)
        points = rng.uniform(-4, 4, (150, len(start[0])))
        # Half-integers lie on walls of integer data, on some of them and beside others.
        points[:50] = np.round(2 * points[:50]) / 2
        expected = exact_patterns(pieces, points)
        sample = draw_sample(build(layers), 150, seed=0, domain=domain, distribution=points)
        counts = Counter(pattern for pattern in expected if pattern is not None)
        assert sorted(sample.counts.tolist()) == sorted(counts.values())
        assert sample.discarded == expected.count(None)


@pytest.mark.long
@pytest.mark.parametrize("block", range(6))
def test_never_more_than_the_exact_count_and_all_of_it(block):
    """120 networks: points and lines <= exact; enough chords find every cell."""
    for seed in range(1000 + 20 * block, 1020 + 20 * block):
        layers, domain, _, _ = random_case(seed)
        net = build(layers)
        exact = count_regions(net, domain, threads=1).value
        law = {"distribution": "gaussian"} if domain is None else {}
        points = sample_regions(net, 3000, seed=seed, domain=domain, **law)
        assert 1 <= points.value <= exact
        found, chords = 0, 800
        # Case 1102 has a cell of width 0.015 in a cube of side 5.
        while found < exact and chords <= 2**20:
            options = {"seed": seed, "domain": domain, "method": "lines", **law}
            found = sample_regions(net, chords, **options).value
            chords *= 4
        assert found == exact


@pytest.mark.slow
def test_many_random_networks_by_samples():
    """2,000 further networks; ``pytest -m slow -k test_many_random_networks_by_samples``."""
    for seed in range(10_000, 12_000):
        layers, domain, start, rows = random_case(seed)
        pieces = deep.pieces(layers, start, rows)
        points = np.random.default_rng(seed).uniform(-4, 4, (100, len(start[0])))
        points[:50] = np.round(2 * points[:50]) / 2
        expected = exact_patterns(pieces, points)
        sample = draw_sample(build(layers), 100, seed=0, domain=domain, distribution=points)
        counts = Counter(pattern for pattern in expected if pattern is not None)
        assert sorted(sample.counts.tolist()) == sorted(counts.values())
        assert sample.discarded == expected.count(None)


def digit_sizes(low, high):
    """All (N, d, L) with L >= 2 and low < N^{dL} <= high."""
    return [
        (n, d, depth)
        for n in range(2, 101)
        for d in range(1, 7)
        for depth in range(2, 14)
        if low < n ** (d * depth) <= high
    ]


def check_digits(n, d, depth, chords):
    """On a line one chord crosses all cells."""
    chords = 16 if d == 1 else chords
    net = digit_transformer(n, d, depth)
    box = Box.cube(-1, n**depth, d)
    points = sample_regions(net, 4000, seed=0, domain=box)
    lines = sample_regions(net, chords, seed=0, domain=box, method="lines")
    assert points.value <= lines.value == n ** (d * depth)
    assert points.stats["discarded"] == 0


@pytest.mark.parametrize("n, d, depth", digit_sizes(0, 700))
def test_digit_transformers_are_found_whole(n, d, depth):
    """T15: all N^{dL} cells."""
    check_digits(n, d, depth, 6000)


@pytest.mark.slow
@pytest.mark.parametrize("n, d, depth", digit_sizes(700, 10_000))
def test_larger_digit_transformers_are_found_whole(n, d, depth):
    """``pytest -m slow -k test_larger_digit_transformers_are_found_whole``."""
    check_digits(n, d, depth, 100_000)


def test_sawtooth_transformer_is_found_whole():
    """T15: (2 w N)^{dL} linear regions, each one cell, on the unit square."""
    net, box = sawtooth_transformer(2, 1, 2, 2), Box.cube(0, 1, 2)
    exact = count_regions(net, box).value
    assert sample_regions(net, 4000, seed=0, domain=box, method="lines").value == exact == 256


@pytest.mark.long
def test_digits_far_beyond_doubles():
    """Thirteen and twenty digits: windows of 101 and 30 cells, the latter between two doubles."""
    window = Box([1234567890123.5], [1234567890223.5])
    low = 12345678901234567890
    beyond = Box(np.array([low], dtype=object), np.array([low + 30], dtype=object))
    for depth, box, cells in ((13, window, 101), (20, beyond, 30)):
        net = digit_transformer(10, 1, depth)
        points = sample_regions(net, 2000, seed=0, domain=box)
        assert (points.value, points.stats["discarded"]) == (cells, 0)
        assert sample_regions(net, 16, seed=0, domain=box, method="lines").value == cells


@pytest.fixture(name="transformer")
def _transformer():
    """Attention and ReLU blocks in turn, 4 layers on R^6."""
    rng = np.random.default_rng(4)
    layers = []
    for _ in range(2):
        heads = [
            TropicalPolynomial(rng.standard_normal((9, 6)), rng.standard_normal(9)) for _ in "abc"
        ]
        layers.append(FixedLayer(heads, [rng.standard_normal((9, 6)) for _ in heads]))
        weights = rng.standard_normal((6, 11)), rng.standard_normal(11)
        layers.append(FeedForward(*weights, rng.standard_normal((11, 6)) / 3))
    return Network(layers)


@pytest.mark.long
@pytest.mark.parametrize(
    "method, size, cuts", [("points", 20_001, [1, 513, 9000]), ("lines", 600, [16, 480, 512])]
)
def test_threads_and_splits_change_nothing(transformer, method, size, cuts):
    options = {"seed": 11, "distribution": "gaussian", "method": method}
    whole = draw_sample(transformer, size, threads=1, **options)
    others = [draw_sample(transformer, size, threads=threads, **options) for threads in (2, 4)]
    edges = [0, *cuts, size]
    parts = [draw_sample(transformer, b - a, start=a, **options) for a, b in pairwise(edges)]
    for other in [*others, merge_samples(parts[::-1])]:
        assert np.array_equal(whole.hashes, other.hashes)
        assert np.array_equal(whole.counts, other.counts)
        assert np.array_equal(whole.firsts, other.firsts)
        assert whole.stats() == other.stats()
    with pytest.raises(InvalidInput, match="one target"):
        shallow = Network(transformer.layers[:2])
        merge_samples([whole, draw_sample(shallow, 16, **{**options, "seed": 1})])


@pytest.mark.long
def test_points_route_as_the_network_does(transformer):
    """Patterns of 300 Gaussian states as ``routing`` gives them in rationals, one hash each."""
    states = np.random.default_rng(0).standard_normal((300, 6))
    exact = np.empty(states.shape, dtype=object)
    exact.ravel()[:] = [Fraction(v) for v in states.ravel().tolist()]
    patterns = Counter(map(tuple, transformer.routing(exact).tolist()))
    for net in (transformer, Network(transformer.layers[::-1])):
        sample = draw_sample(net, 300, seed=0, distribution=states)
        if net is transformer:
            assert sorted(sample.counts.tolist()) == sorted(patterns.values())
        assert sample.discarded == 0


@pytest.mark.long
@pytest.mark.parametrize("shared", [1, 16, 10**9])
def test_deep_networks_are_decided_beyond_doubles(shared, monkeypatch):
    """Thirty layers stretch errors past every lead; balls and pieces decide each draw, and alike.

    ``shared`` sends open draws to pieces, to both or to balls; ties behind dead units always meet
    pieces in the end.
    """
    monkeypatch.setattr(cascade, "_SHARED", shared)
    rng = np.random.default_rng(6)
    first = 4 * rng.standard_normal((2, 5)), rng.standard_normal(5)
    layers = [FeedForward(*first, np.eye(5), residual=False)]
    for _ in range(28):
        first, last = rng.standard_normal((5, 6)), rng.standard_normal((6, 5))
        layers.append(FeedForward(first, rng.standard_normal(6), last, residual=False))
    layers.append(FixedLayer([TropicalPolynomial(rng.standard_normal((4, 5)))], [np.eye(4, 5)]))
    net = Network(layers)
    states = rng.standard_normal((40, 2))
    exact = np.empty(states.shape, dtype=object)
    exact.ravel()[:] = [Fraction(v) for v in states.ravel().tolist()]
    patterns = Counter(map(tuple, net.routing(exact).tolist()))
    sample = draw_sample(net, 40, seed=0, distribution=states)
    assert sample.discarded == 0
    assert sorted(sample.counts.tolist()) == sorted(patterns.values())
    steps = NetworkSampler(net.stages(), None).steps
    assert np.prod([step.growth for step in steps]) > 1e16


def test_errors_of_states_are_within_their_bounds(transformer):
    """Each bound holds, and is at most a million times what is lost."""
    states = np.random.default_rng(1).standard_normal((64, 6))
    stages = NetworkSampler(transformer.stages(), None)
    blocks = np.ascontiguousarray(states.reshape(2, 32, 6).transpose(0, 2, 1))
    size = np.sqrt(1 + (states**2).sum(axis=1)) * 1.00000001
    flow = stages._follow(64, blocks, size, np.ones(64, bool), None, 3)
    assert flow.kept.all()
    truth = np.empty(states.shape, dtype=object)
    truth.ravel()[:] = [Fraction(v) for v in states.ravel().tolist()]
    for layer in transformer.layers[:3]:
        truth = layer(truth)
    got = flow.states.transpose(0, 2, 1).reshape(64, -1)
    lost = [
        float(sum((Fraction(a) - b) ** 2 for a, b in zip(x, y, strict=True))) ** 0.5
        for x, y in zip(got.tolist(), truth.tolist(), strict=True)
    ]
    assert (np.array(lost) <= flow.error).all()
    assert flow.error.max() < 1e6 * max(lost)
    assert (flow.reach >= np.sqrt(1 + (got**2).sum(axis=1))).all()


def test_walls_within_rounding_never_make_a_cell():
    """States on a wall of the second layer, exactly and up to a third that no double holds."""
    first = FixedLayer([TropicalPolynomial([[0], [1]])], [[[0], [Fraction(1, 3)]]])
    last = FixedLayer([TropicalPolynomial([[0], [1]], [0, -1])], [[[0], [0]]])
    net = Network([first, last])
    near = np.nextafter(2 / 3, [0.0, 1.0])
    states = np.array([[2 / 3], [near[0]], [near[1]], [0.5], [0.75], [-1.0]])
    sample = draw_sample(net, 6, seed=0, distribution=states)
    # The doubles beside 2/3 are on one side or the other, and 256 bits tell.
    exact = np.array([[Fraction(v)] for v in states[:, 0].tolist()], dtype=object)
    patterns = Counter(map(tuple, net.routing(exact).tolist()))
    assert sample.discarded == 0
    assert sorted(sample.counts.tolist()) == sorted(patterns.values())
    on_wall = FixedLayer([TropicalPolynomial([[0], [1]])], [[[0], [0.25]]])
    result = sample_regions(Network([on_wall, last]), 3, seed=0, distribution=np.full((3, 1), 0.75))
    assert (result.value, result.stats["discarded"]) == (0, 3)


def test_ties_on_a_whole_piece_are_merged_and_averaged():
    """T12: behind a dead ReLU two keys tie; the mean of their values puts the next wall at 5/2."""
    dead = FeedForward(np.eye(2), [0, 100], np.eye(2), [0, -100], residual=False)
    keys = TropicalPolynomial([[1, 0], [2, 0], [0, 0]], [0, 0, -1])
    head = FixedLayer([keys], [[[1, 0], [4, 0], [9, 0]]])
    last = FixedLayer([TropicalPolynomial([[0, 0], [-1, 1]])], [np.zeros((2, 2))])
    net, box = Network([dead, head, last]), Box([-1, 2], [-0.5, 3])
    assert count_regions(net, box).value == 2
    sample = draw_sample(net, 2000, seed=0, domain=box)
    assert (len(sample), sample.discarded) == (2, 0)
    # Half of the box on each side: 2000 fair coins, 5 standard deviations.
    assert abs(sample.counts[0] - 1000) < 112
    assert sample_regions(net, 16, seed=0, domain=box, method="lines").value == 2
    wide = Box([-1, 1], [1, 9])
    exact = count_regions(net, wide).value
    assert sample_regions(net, 2000, seed=0, domain=wide).value == exact


def test_slices_on_which_terms_agree():
    """Two keys that differ only across the slice are one key on it."""
    heads = [TropicalPolynomial([[0, 0], [1, 0], [1, 5]])]
    net = Network(
        [FixedLayer(heads, [[[0, 0], [1, 1], [3, 1]]]), FixedLayer(heads, [np.eye(3, 2)])]
    )
    plane = Slice([0, 0], [[1, 0]], ([-2], [2]))
    exact = count_regions(net, plane).value
    found = sample_regions(net, 500, seed=0, domain=plane)
    assert (found.value, found.stats["discarded"]) == (exact, 0)
    assert sample_regions(net, 16, seed=0, domain=plane, method="lines").value == exact


def test_shipped_model_through_both_layers():
    model = ta.load(MODEL)
    net = fixed_network(model, "83052=")
    plane = Slice.through([model.embedded(model.tokens("83052" + c))[-1] for c in "159"])
    exact = count_regions(net, plane).value
    assert sample_regions(net, 5000, seed=0, domain=plane).value <= exact
    assert sample_regions(net, 1000, seed=0, domain=plane, method="lines").value == exact


def test_wide_relu_network_is_found_whole():
    """Every cell of a random 2-12-8 network in a square by chords; points find most of them."""
    rng = np.random.default_rng([16, 2])
    blocks = [
        FeedForward(rng.normal(size=(a, b)), rng.normal(size=b) / 3, np.eye(b), residual=False)
        for a, b in ((2, 12), (12, 8))
    ]
    net, box = Network(blocks), Box.cube(-1, 1, 2)
    exact = count_regions(net, box).value
    points = sample_regions(net, 20_000, seed=0, domain=box).value
    assert exact / 2 < points <= exact
    assert sample_regions(net, 8000, seed=0, domain=box, method="lines").value == exact


@pytest.mark.long
def test_small_cells_behind_other_layers():
    """The 167 cells of a layer in a box of R^5 behind a map, and 30 behind a block: by chords."""
    rng = np.random.default_rng(4)
    shapes = [(4, 5)] * 4
    heads = [TropicalPolynomial(rng.standard_normal(s), rng.standard_normal(4)) for s in shapes]
    last = FixedLayer(heads, [np.zeros((4, 5))] * 4)
    both = np.hstack([np.eye(5), -np.eye(5)])
    block = FeedForward(both, np.zeros(10), 2 * both.T, residual=False)
    cases = [(Affine(2 * np.eye(5)), Box.cube(-1.5, 1.5, 5), 167)]
    cases.append((block, Box.cube(0.001, 1.5, 5), 30))
    for first, box, cells in cases:
        net = Network([first, last])
        assert count_regions(net, box).value == cells
        assert sample_regions(net, 200_000, seed=0, domain=box).value < cells
        assert sample_regions(net, 100_000, seed=0, domain=box, method="lines").value == cells


# ---- bounds and bad input -----------------------------------------------------------------------


def test_norm_bounds():
    rng = np.random.default_rng(3)
    for shape in ((1, 1), (3, 7), (40, 5), (60, 60)):
        a = rng.standard_normal(shape) * 10.0 ** rng.uniform(-3, 3)
        true = np.linalg.norm(a, 2)
        assert true <= norm_bound(a) <= 1.02 * true
    assert norm_bound(np.zeros((2, 3))) == 0


def test_steps_need_updates():
    unit = TropicalPolynomial([[0], [1]])
    bare = RoutingStage((unit,))
    with pytest.raises(InvalidInput, match="bare polynomials"):
        step_of_stage(bare)
    with pytest.raises(InvalidInput, match="bare polynomials"):
        bare.maps((0,))
    with pytest.raises(InvalidInput, match="update: Linear"):
        RoutingStage((unit,), lambda pattern: AffineMap(np.eye(1), np.zeros(1)))
    target = SimpleNamespace(stages=lambda: [bare, bare])
    with pytest.raises(InvalidInput, match="target"):
        sample_regions(target, 10, seed=0, distribution="gaussian")
    flat = FeedForward([[1]], [0], [[1, 1]], residual=False)
    target = SimpleNamespace(stages=lambda: [*flat.stages(), bare])
    with pytest.raises(InvalidInput, match="widths"):
        sample_regions(target, 10, seed=0, distribution="gaussian")
    net = digit_transformer(2, 2, 2)
    with pytest.raises(InvalidInput, match="domain"):
        sample_regions(net, 10, seed=0, domain=Box([0], [1]))
    with pytest.raises(InvalidInput, match="neither"):
        sample_regions(net, 10, seed=0)
    with pytest.raises(InvalidInput, match="states of shape"):
        sample_regions(net, 10, seed=0, distribution=[[0.0]])


def test_nothing_inside_the_domain():
    """States outside: points are discarded, chords may still cross the domain."""
    net, far = digit_transformer(2, 1, 2), Box([100], [101])
    options = {"seed": 0, "domain": far, "distribution": np.zeros((16, 1))}
    found = sample_regions(net, 16, **options)
    assert (found.value, found.stats["discarded"]) == (0, 16)
    assert sample_regions(net, 16, method="lines", **options).value == 1
    plane, away = digit_transformer(2, 2, 2), Box([100, 100], [101, 101])
    options |= {"domain": away, "distribution": np.zeros((16, 2))}
    found = sample_regions(plane, 160, method="lines", **options)
    assert found.value <= 1
    assert found.stats["discarded"] > 100
