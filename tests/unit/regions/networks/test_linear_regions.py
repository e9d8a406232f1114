"""Linear regions: joined cells, the sawtooth, named examples (T13, T15)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from reference.layerwise import count_layerwise, count_linear_regions, list_layerwise

from tropattn import Box, FixedLayer, Slice, TropicalPolynomial, sample_regions
from tropattn.attention.constructions import digit_transformer, sawtooth_transformer
from tropattn.attention.networks.feedforward import Affine, FeedForward
from tropattn.attention.networks.network import Network
from tropattn.regions.bounds.networks import depth as depth_bound


def regions(net, domain=None):
    return count_linear_regions(net.stages(), domain).value


def test_cells_that_differ_in_two_winners_share_a_wall():
    """T13: four cells, three regions, though no two cells of one map differ in one winner."""
    first = FixedLayer([TropicalPolynomial([[0, 0], [1, 0]])], [[[0, 0], [0, 1]]])
    second = FixedLayer([TropicalPolynomial([[0, 0], [0, 1]])], [[[0, 1], [0, 0]]])
    net = Network([first, second])
    found = list_layerwise(net.stages())
    assert found.patterns.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert found.linear_regions() == [[0, 3], [1], [2]]
    assert regions(net) == 3
    assert found.adjacency().has_edge(0, 3)
    assert not found.adjacency().has_edge(1, 2)


def test_equal_maps_that_touch_in_a_point_stay_apart():
    """A checkerboard of two values: opposite quadrants meet in the origin only."""
    x, y = TropicalPolynomial([[0, 0], [1, 0]]), TropicalPolynomial([[0, 0], [0, 1]])
    net = Network(
        [
            FixedLayer([x, y], [[[0, 0], [1, 0]], [[0, 0], [1, 0]]], residual=False),
            # 0, 1, 1, 2 -> 0, 1, 1, 0
            FeedForward([[1, 1], [0, 0]], [0, -1], [[1], [-2]], residual=False),
        ]
    )
    assert count_layerwise(net.stages()).value == 4
    assert regions(net) == 4


def test_a_layer_without_effect_is_one_region():
    idle = FixedLayer([TropicalPolynomial([[0, 0], [1, 2], [3, -1]])], [np.zeros((3, 2))])
    assert count_layerwise(Network([idle]).stages()).value == 3
    assert regions(Network([idle])) == 1
    # On a slice the maps are those of its parameters: the second coordinate is projected away.
    shift = FixedLayer([TropicalPolynomial([[0, 0], [1, 0]])], [[[0, 0], [0, 5]]])
    drop = Network([shift, Affine([[1], [0]])])
    assert regions(drop) == 1
    assert regions(drop, Slice([0, 0], [[1, 1]])) == 1


def test_two_relus_that_cancel():
    """relu(x) - relu(-x) = x: two cells, one region."""
    net = Network([FeedForward([[1, -1]], [0, 0], [[1], [-1]], residual=False)])
    assert count_layerwise(net.stages()).value == 2
    assert regions(net) == 1


def test_digits_all_have_different_maps():
    net = digit_transformer(3, 2, 2)
    assert regions(net) == 81 == depth_bound(net).value


SAWTEETH = [
    ((4, 1, 1, 1), 8),
    ((4, 1, 1, 2), 64),
    ((3, 2, 1, 2), 144),
    ((2, 1, 1, 4), 256),
    ((2, 1, 2, 1), 16),
    ((3, 1, 2, 1), 36),
    ((2, 1, 2, 2), 256),
    ((2, 1, 3, 1), 64),
    ((3, 1, 3, 1), 216),
]


@pytest.mark.long
@pytest.mark.parametrize("sizes, expected", SAWTEETH)
def test_sawtooth(sizes, expected):
    """T15: (2wN)^{dL} linear regions on the unit cube, for (N, w, d, L)."""
    n_keys, teeth, dim, depth = sizes
    net = sawtooth_transformer(n_keys, teeth, dim, depth)
    box = Box.cube(0, 1, dim)
    assert expected == (2 * teeth * n_keys) ** (dim * depth)
    assert regions(net, box) == expected
    cells = count_layerwise(net.stages(), box).value
    assert expected == cells <= depth_bound(net, box).value
    assert 1 <= sample_regions(net, 2000, seed=0, domain=box).value <= cells


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes", [(2, 1, 3, 2), (3, 1, 2, 2), (4, 2, 2, 1), (2, 2, 1, 4), (5, 2, 1, 3)]
)
def test_larger_sawtooth(sizes):
    """``pytest -m slow -k test_larger_sawtooth``."""
    n_keys, teeth, dim, depth = sizes
    net, box = sawtooth_transformer(n_keys, teeth, dim, depth), Box.cube(0, 1, dim)
    expected = (2 * teeth * n_keys) ** (dim * depth)
    assert regions(net, box) == expected <= depth_bound(net, box).value
    assert 1 <= sample_regions(net, 10_000, seed=0, domain=box).value <= expected


def test_known_relu_network():
    """max(0, x, y) by two ReLU layers: relu(x - y) and relu(y) give max(x, y), then relu."""
    first = FeedForward([[1, 0, 0], [-1, 1, -1]], None, [[1], [1], [-1]], residual=False)
    net = Network([first, FeedForward([[1]], [0], [[1]], residual=False)])
    assert net([[3.0, 5.0], [-1.0, -2.0], [4.0, -9.0]]).ravel().tolist() == [5.0, 0.0, 4.0]
    assert regions(net) == 3
    # Cells also see the wall y = 0 of the hidden layer.
    assert count_layerwise(net.stages()).value > 3


def test_every_search_reports_its_progress(monkeypatch):
    # Two layers: searches of the first, cells of the second, and the joining of cells.
    clock = itertools.count()
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    heads = [TropicalPolynomial([[0, 0], [1, 0], [0, 1]], [0, h, -h]) for h in range(3)]
    layer = FixedLayer(heads, [[[0, 0], [1, 1], [1, 1]]] * 3)
    calls = []
    found = count_linear_regions(
        [*layer.stages(), *layer.stages()],
        threads=1,
        report=lambda cells, left: calls.append((cells, left)),
    )
    most = max(cells for cells, _ in calls)
    assert most == found.stats["cells"]
    assert any(cells < most for cells, _ in calls)  # while cells were found
    assert any(cells == most and left > 0 for cells, left in calls)  # while they were joined
