"""Public values survive ``pickle`` with the same counts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import tropattn as ta
from tropattn.cli import options

F = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]], [0, 1, 2])
LAYER = ta.FixedLayer([F, F.pullback([[0, 1], [1, 0]])], [np.eye(3, 2)] * 2)
NETWORK = ta.Network(
    [
        LAYER,
        ta.FeedForward(np.eye(2), [0, 0], np.eye(2)),
        ta.Maxout([[[0, 0], [1, 0]], [[0, 1], [1, 1]]]),
        ta.Affine([[2.0], [1.0]]),
    ]
)
BOX = ta.Box([-1, -2], [3, 1])


def again(value):
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize(
    "target",
    [F, LAYER, NETWORK, LAYER.stages()[0]],
    ids=["polynomial", "layer", "network", "stage"],
)
def test_targets_count_the_same(target):
    assert ta.count_regions(again(target)).value == ta.count_regions(target).value
    assert ta.count_regions(again(target), again(BOX)).value == ta.count_regions(target, BOX).value


def test_stages_map_the_same():
    for stage in NETWORK.stages():
        copy = again(stage)
        pattern = (0,) * len(stage.units)
        for one, two in zip(
            (copy.maps(pattern).matrix, copy.maps(pattern).offset),
            (stage.maps(pattern).matrix, stage.maps(pattern).offset),
            strict=True,
        ):
            assert np.array_equal(one, two)


def test_a_model_and_its_fixed_layers():
    model = ta.load(options.shipped())
    fixed, copy = model.fix("3141=", layer=1), again(model).fix("3141=", layer=1)
    assert ta.count_regions(again(fixed)).value == ta.count_regions(fixed).value
    assert ta.count_regions(copy).value == ta.count_regions(fixed).value


@pytest.mark.parametrize(
    "domain",
    [
        BOX,
        ta.Polytope([[1, 1], [-1, 0], [0, -1]], [1, 0, 0]),
        ta.Line([0, 0], [1, 2], -3, 3),
        ta.Slice.through([[0, 0], [2, 0], [0, 2]]),
    ],
    ids=lambda domain: domain.describe(),
)
def test_domains(domain):
    assert again(domain).describe() == domain.describe()
    assert ta.count_regions(F, again(domain)).value == ta.count_regions(F, domain).value


def test_answers():
    count = ta.count_regions(NETWORK)
    assert again(count) == count
    for found in (ta.enumerate_regions(LAYER, BOX), ta.enumerate_regions(NETWORK, BOX)):
        copy = again(found)
        for name in ("patterns", "witnesses", "inside"):
            assert np.array_equal(getattr(copy, name), getattr(found, name))
        assert [m.matrix.tolist() for m in copy.maps()] == [m.matrix.tolist() for m in found.maps()]
    assert copy.linear_regions() == found.linear_regions()
    assert np.array_equal(again(ta.live_terms(F)).live, ta.live_terms(F).live)
    assert again(ta.BudgetExceeded("more", 7)).lower == 7


def test_intervals_of_a_line_with_live_keys():
    model = ta.load(options.shipped())
    net = model.network("314=", None, own_key="live")
    states = np.asarray(model.context("314=", None)[0]).ravel()
    found = ta.enumerate_regions(net, ta.Line(states, np.ones(len(states)), -1, 1))
    copy = again(found)
    assert [piece.key() for piece in copy.pieces] == [piece.key() for piece in found.pieces]
