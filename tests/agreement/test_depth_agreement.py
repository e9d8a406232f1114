"""Counting across depth against brute force in rationals: patterns, maps, linear regions."""

from __future__ import annotations

import random

import numpy as np
import pytest
from reference import deep
from reference.layerwise import count_layerwise, count_linear_regions, list_layerwise

from tropattn import Box, FixedLayer, Line, Slice, TropicalPolynomial, sample_regions
from tropattn.attention.networks.feedforward import Affine, FeedForward, Maxout
from tropattn.attention.networks.network import Network
from tropattn.regions.bounds.networks import depth as depth_bound


def build(layers):
    """A reference network as one of the library's."""
    made = []
    for layer in layers:
        if layer["kind"] == "attention":
            heads = [TropicalPolynomial(*unit) for unit in layer["units"]]
            fixed = FixedLayer(
                heads, layer["values"], b_O=layer["offset"], residual=layer["residual"]
            )
            made.append(fixed)
        elif layer["kind"] == "relu":
            names = ("W_1", "b_1", "W_2", "b_2")
            made.append(FeedForward(*(layer[n] for n in names), residual=layer["residual"]))
        elif layer["kind"] == "maxout":
            slopes, shifts = zip(*layer["units"], strict=True)
            made.append(Maxout(slopes, shifts))
        else:
            made.append(Affine(layer["matrix"], layer["offset"]))
    return Network(made)


def random_domain(rng, d):
    """A domain, the affine map from its parameters, and its rows for the reference."""
    identity = [[int(i == k) for k in range(d)] for i in range(d)], [0] * d
    choice = rng.random()
    if choice < 0.35:
        return None, identity, []
    if choice < 0.7 or d == 1:
        low = [rng.randint(-4, -1) for _ in range(d)]
        high = [rng.randint(1, 4) for _ in range(d)]
        rows = []
        for k in range(d):
            axis = [int(i == k) for i in range(d)]
            rows += [(axis, high[k]), ([-v for v in axis], -low[k])]
        return Box(low, high), identity, rows
    origin = [rng.randint(-2, 2) for _ in range(d)]
    if choice < 0.85:
        direction = [1, *(rng.randint(-2, 2) for _ in range(d - 1))]
        rows = [([1], 2), ([-1], 3)]
        return Line(origin, direction, -3, 2), ([direction], origin), rows
    basis = [[1, 0, *(rng.randint(-2, 2) for _ in range(d - 2))]]
    basis.append([0, 1, *(rng.randint(-2, 2) for _ in range(d - 2))])
    rows = [([1, 0], 2), ([-1, 0], 2), ([0, 1], 2), ([0, -1], 2)]
    return Slice(origin, basis, Box([-2, -2], [2, 2])), (basis, origin), rows


def check(seed, regions=True):
    rng = random.Random(seed)
    d = rng.randint(1, 3)
    layers = deep.random_network(rng, d)
    domain, start, rows = random_domain(rng, d)
    expected = deep.pieces(layers, start, rows)
    net = build(layers)
    stages = net.stages()
    found = list_layerwise(stages, domain, threads=1)
    assert [tuple(p) for p in found.patterns.tolist()] == sorted(p.pattern for p in expected)
    by_pattern = {p.pattern: p for p in expected}
    for pattern, step in zip(found.patterns.tolist(), found.maps(), strict=True):
        piece = by_pattern[tuple(pattern)]
        assert step.matrix.tolist() == piece.matrix
        assert step.offset.tolist() == piece.offset
    counted = count_layerwise(stages, domain, threads=1 + seed % 2)
    assert counted.value == len(expected) <= depth_bound(net, domain).value
    law = "gaussian" if domain is None else None
    sampled = sample_regions(net, 200, seed=seed, domain=domain, distribution=law, threads=1)
    assert sampled.value <= counted.value
    if regions:
        joined = count_linear_regions(stages, domain, threads=1)
        if len(expected) <= 40:  # the reference tries all pairs
            assert joined.value == deep.linear_regions(expected)
        assert joined.value <= len(expected)
        assert joined.value == len(found.linear_regions())
    return net, found


LATER = [pytest.param(block, marks=pytest.mark.slow) for block in range(5, 13)]


@pytest.mark.long
@pytest.mark.parametrize("block", [*range(5), *LATER])
def test_random_networks(block):
    """520 cases, 200 in each run.

    Attention, ReLU, maxout, affine; ties, duplicates, dead units, slices.
    """
    for seed in range(40 * block, 40 * (block + 1)):
        check(seed)


@pytest.mark.slow
def test_many_random_networks():
    """5,000 further cases; ``pytest -m slow -k test_many_random_networks``."""
    for seed in range(1000, 6000):
        check(seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_generic_weights_have_as_many_regions_as_cells(seed):
    """T13: Gaussian values and residual blocks jump or bend at every wall."""
    rng = np.random.default_rng([13, seed])
    d = int(rng.integers(1, 4))
    layers = []
    for _ in range(int(rng.integers(2, 4))):
        heads = [TropicalPolynomial(rng.normal(size=(3, d)), rng.normal(size=3)) for _ in range(2)]
        layers.append(FixedLayer(heads, [rng.normal(size=(3, d)) for _ in heads]))
        if rng.random() < 0.5:
            first, second = rng.normal(size=(d, 3)), rng.normal(size=(3, d))
            layers.append(FeedForward(first, rng.normal(size=3), second))
    stages, box = Network(layers).stages(), Box.cube(-1, 1, d)
    cells = count_layerwise(stages, box)
    assert cells.value > 2
    assert count_linear_regions(stages, box).value == cells.value


@pytest.mark.long
def test_witnesses_route_as_their_patterns_say():
    """The network itself, at each witness, in rationals."""
    from fractions import Fraction

    for seed in range(40):
        net, found = check(seed, regions=False)
        points = [[Fraction(float(v)) for v in row] for row in found.witnesses]
        for row, pattern in zip(points, found.patterns.tolist(), strict=True):
            assert net.routing(np.array(row, dtype=object)).tolist() == pattern


@pytest.mark.long
def test_neighbours_against_the_reference():
    """The adjacency graph: every pair of cells, by brute force."""
    for seed in range(300, 340):
        rng = random.Random(seed)
        d = rng.randint(1, 2)
        layers = deep.random_network(rng, d)
        domain, start, rows = random_domain(rng, d)
        expected = sorted(deep.pieces(layers, start, rows), key=lambda p: p.pattern)
        if len(expected) > 15:
            continue
        graph = list_layerwise(build(layers).stages(), domain).adjacency()
        for i in range(len(expected)):
            for j in range(i):
                assert graph.has_edge(i, j) == deep.touch(expected[i], expected[j])
