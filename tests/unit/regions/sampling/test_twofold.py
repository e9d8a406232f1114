"""Draws at twice the precision of doubles: against rationals, against balls, and for their use."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tropattn import (
    Affine,
    FeedForward,
    FixedLayer,
    Network,
    Slice,
    TropicalPolynomial,
    draw_sample,
)
from tropattn.arrays import fraction_array
from tropattn.regions.sampling import twofold
from tropattn.regions.sampling.balls import Balls
from tropattn.regions.sampling.networks import NetworkSampler

U = Fraction(1, 2**53)


def exact(pair):
    """The numbers (...) that two arrays of doubles (2, ...) stand for."""
    return np.vectorize(Fraction, otypes=[object])(pair[0]) + np.vectorize(
        Fraction, otypes=[object]
    )(pair[1])


def wide_numbers(rng, *shape):
    """Twofold numbers of many sizes; some low parts are 0."""
    high = rng.normal(size=shape) * 2.0 ** rng.integers(-30, 30, shape)
    low = high * rng.uniform(-(2.0**-54), 2.0**-54, shape) * rng.integers(0, 2, shape)
    return np.stack([high, low])


@pytest.mark.parametrize("width", [1, 2, 17, 60])
def test_products_err_less_than_their_bound(width):
    rng = np.random.default_rng(width)
    rows, columns = wide_numbers(rng, 5, width), wide_numbers(rng, width, 19)
    # The last terms cancel what the others add up to, so that doubles would keep no digit.
    rows[0, :, -1] = 1.0
    rows[1, :, -1] = 0.0
    columns[0, -1] = -(rows[0, 0, :-1] @ columns[0, :-1])
    columns[1, -1] = 0.0
    found = exact(twofold._product(rows, columns))
    a, x = exact(rows), exact(columns)
    lost = np.abs(found - a @ x)
    assert (lost <= 5 * (width + 5) ** 2 * U**2 * (np.abs(a) @ np.abs(x))).all()
    if width > 2:
        # Doubles err by more than that, so the test would see a product in doubles.
        near = np.vectorize(Fraction, otypes=[object])(rows[0] @ columns[0])
        assert (np.abs(near - a @ x) > 5 * (width + 5) ** 2 * U**2 * (np.abs(a) @ np.abs(x))).any()


def test_sums_err_less_than_their_bound():
    rng = np.random.default_rng(0)
    a, b = wide_numbers(rng, 500), wide_numbers(rng, 500)
    b[:, :100] = -a[:, :100] * (1 + 2.0**-40)
    truth = exact(a) + exact(b)
    assert (np.abs(exact(twofold._sum(a, b)) - truth) <= 3 * U**2 * np.abs(truth)).all()


def test_rationals_are_rounded_twice():
    thirds = np.array([[Fraction(1, 3), Fraction(-2, 7), Fraction(5)]], dtype=object)
    found = exact(twofold._twofold(thirds))
    assert (np.abs(found - thirds) <= U**2 * np.abs(thirds)).all()
    assert twofold._twofold(np.array([0.1])).tolist() == [[0.1], [0.0]]


def network(seed, d=6, hidden=9, layers=3, own=True):
    """Attention with projected keys and values that move, ReLU and affine layers, stretched."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(layers):
        heads = [
            TropicalPolynomial(rng.normal(size=(5, 3)), rng.normal(size=5)).pullback(
                rng.normal(size=(d, 3)), rng.normal(size=3)
            )
            for _ in range(2)
        ]
        out.append(FixedLayer(heads, 5 * rng.normal(size=(2, 5, d)), None, rng.normal(size=d)))
        out.append(Affine(4 * rng.normal(size=(d, d)), rng.normal(size=d)))
        first, second = rng.normal(size=(d, hidden)), 9 * rng.normal(size=(hidden, d))
        out.append(FeedForward(first, rng.normal(size=hidden), second))
    return Network(out)


def behind(stage, winners, states):
    """States (m, d) in rationals behind a stage, by its maps."""
    out = []
    for i, x in enumerate(states):
        step = stage.maps(winners[:, i].tolist())
        matrix, offset = (
            np.vectorize(Fraction, otypes=[object])(v) for v in (step.matrix, step.offset)
        )
        out.append(x @ matrix + offset)
    return np.array(out)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("on_slice", [False, True])
def test_states_and_winners_are_the_true_ones(seed, on_slice):
    net = network(seed)
    rng = np.random.default_rng(100 + seed)
    where = Slice(rng.normal(size=6), rng.normal(size=(2, 6))) if on_slice else None
    sampler = NetworkSampler(net.stages(), where)
    points = rng.normal(size=(7, 2 if on_slice else 6))
    states = np.vectorize(Fraction, otypes=[object])(points)
    if where is not None:
        basis, origin = (np.vectorize(Fraction, otypes=[object])(v) for v in where.embedding)
        states = states @ basis + origin
    winners = []
    for stage in sampler.stages:
        now = sampler.twofold.states(points, winners)
        off = exact(now.states[:, :-1]).T - states
        assert all(
            v <= Fraction(e) ** 2 for v, e in zip((off**2).sum(axis=1), now.error, strict=True)
        )
        found, proved = sampler.twofold.winners(now)
        for h, unit in enumerate(stage.units):
            scores = [[t @ [*x, 1] for t in fractions_of(unit)] for x in states]
            assert found[h].tolist() == [row.index(max(row)) for row in scores]
        # Doubles could not prove these behind the last layers.
        assert proved.all() and (now.error <= 1e-18 * now.size).all()
        near, error = now.near()
        off = np.vectorize(Fraction, otypes=[object])(near) - states
        assert all(v <= Fraction(e) ** 2 for v, e in zip((off**2).sum(axis=1), error, strict=True))
        winners.append(found)
        if len(winners) < len(sampler.stages):
            states = behind(stage, found, states)


def fractions_of(unit):
    """Terms (a, c) of a unit, none of which are equal here."""
    return fraction_array(unit.exact_terms())


def test_balls_are_not_needed_behind_many_layers(monkeypatch):
    net = network(0, layers=6)
    law = {"seed": 0, "distribution": "gaussian"}
    slow = draw_sample(net, 200, **law)

    def never(*_):
        raise AssertionError("balls were asked")

    monkeypatch.setattr(Balls, "winners", never)
    monkeypatch.setattr(Balls, "states", never)
    fast = draw_sample(net, 200, **law)
    assert fast.discarded == slow.discarded == 0
    assert fast.question == slow.question
    assert sorted(fast.counts.tolist()) == sorted(slow.counts.tolist())
