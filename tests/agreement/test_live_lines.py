"""Lines with live keys (T11): brute force in rationals, and dense bisection on the hard network."""

from __future__ import annotations

import sys
from fractions import Fraction
from itertools import pairwise
from math import isqrt

import numpy as np
import pytest
from reference import live

from tropattn import (
    Affine,
    AttentionHead,
    AttentionLayer,
    FeedForward,
    Line,
    LiveNetwork,
    count_regions,
    enumerate_regions,
    upper_bound,
)


def build(layers, n_tokens, causal=True):
    """A reference stack as one of the library's."""
    made = []
    for layer in layers:
        if layer["kind"] == "attention":
            names = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")
            heads = [
                AttentionHead(*(h[name] for name in names), scale=h["scale"], sink=h["sink"])
                for h in layer["heads"]
            ]
            extra = {"residual": layer["residual"], "window": layer["window"]}
            made.append(AttentionLayer(heads, layer["b_O"], **extra))
        elif layer["kind"] == "relu":
            names = ("W_1", "b_1", "W_2", "b_2")
            made.append(FeedForward(*(layer[n] for n in names), residual=layer["residual"]))
        else:
            made.append(Affine(layer["matrix"], layer["offset"]))
    return LiveNetwork(made, n_tokens, causal)


def value_of(root):
    """A root as a rational, to within 2**-300."""
    shift = 2**320
    return Fraction(root.p * shift + root.s * isqrt(root.square * shift * shift), root.q * shift)


def check_small(seed):
    """One small stack of integers, ties and all: every interval, end, pattern and state."""
    rng = np.random.default_rng([11, seed])
    n, d = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    causal = bool(rng.random() < 0.7)
    layers = live.random_stack(rng, d)
    start, velocity = rng.integers(-3, 4, (2, n, d))
    if n > 1 and rng.random() < 0.3:  # two tokens that are one and the same
        start[1], velocity[1] = start[0], velocity[0]
    if not velocity.any():
        velocity[0, 0] = 1
    ends = (-4, 3) if rng.random() < 0.6 else (-np.inf, np.inf)
    low, high = (-(10**12), 10**12) if np.isinf(ends[0]) else ends
    expected = live.intervals(layers, start.tolist(), velocity.tolist(), low, high, causal)
    net = build(layers, n, causal)
    line = Line(start.ravel(), velocity.ravel(), *ends)
    found = enumerate_regions(net, line)
    assert [tuple(p) for p in found.patterns.tolist()] == [p for _, _, p in expected]
    for piece, (left, _, _) in zip(found.pieces[1:], expected[1:], strict=True):
        assert abs(value_of(piece.low) - left) < Fraction(1, 2**200)
    for step, (_, states, _) in zip(found.maps(), expected, strict=True):
        assert step.matrix[0].tolist() == [v for slope, _ in states for v in slope]
        assert step.offset.tolist() == [v for _, constant in states for v in constant]
    assert count_regions(net, line).value == len(expected) <= upper_bound(net, line).value
    joined = 1 + sum(a[1] != b[1] for a, b in pairwise(expected))
    assert count_regions(net, line, of="linear_regions").value == joined
    assert len(found.linear_regions()) == joined <= len(expected)


@pytest.mark.parametrize("seed", [*range(60), 1066])
def test_small_stacks_against_brute_force(seed):
    """The last one has a window that hides the first keys, on a line without ends."""
    check_small(seed)


@pytest.mark.slow
def test_many_small_stacks():
    """1,000 further cases; ``pytest -m slow -k test_many_small_stacks``."""
    for seed in range(1000, 2000):
        check_small(seed)


CLEAR = 1e-11
"""Margins above which doubles are believed; the rest is evaluated in rationals or passed over."""


def bisect(routing, grid, closest=1e-10):
    """Places where the pattern changes, by dense bisection in doubles: a lower bound on them.

    ``routing(t)`` gives patterns (m, units) and margins (m,). Between two neighbours of the grid
    with different patterns the middle is tried, until they are close or the margin says that a
    wall has been met.
    """
    names, margin = routing(grid)
    rows = [(t, tuple(p)) for t, p in zip(grid[margin > CLEAR], names[margin > CLEAR], strict=True)]
    pairs = [(a, b) for a, b in pairwise(rows) if a[1] != b[1]]
    places = []
    while pairs:
        middles = np.array([(a[0] + b[0]) / 2 for a, b in pairs])
        names, margin = routing(middles)
        again = []
        for (a, b), t, p, m in zip(pairs, middles, map(tuple, names), margin, strict=True):
            if b[0] - a[0] < closest or m <= CLEAR:
                places.append(t)
                continue
            again += [(x, y) for x, y in ((a, (t, p)), ((t, p), b)) if x[1] != y[1]]
        pairs = again
    return sorted(places)


def check_bisection(seed, largest):
    """One random causal stack in doubles against dense bisection on the true hard network."""
    rng = np.random.default_rng([4, seed])
    heads = int(rng.integers(1, 5))
    n, depth = int(rng.integers(2, largest[0] + 1)), int(rng.integers(1, largest[2] + 1))
    d = heads * int(rng.integers(1, largest[1] // heads + 1))
    relu = 0.5 if n * d <= 128 else 0.0
    layers = live.random_stack(rng, d, integers=False, heads=heads, depth=depth, relu=relu)
    first, last = rng.normal(size=(2, n, d)) * 1.5
    start, velocity = first, last - first
    line = Line(start.ravel(), velocity.ravel(), 0, 1)
    net = build(layers, n)
    found = enumerate_regions(net, line)
    lows, highs = (np.array(v) for v in zip(*(p.ends for p in found.pieces), strict=True))
    patterns = [tuple(p) for p in found.patterns.tolist()]
    assert (lows[1:] >= highs[:-1]).all()

    def routing(t):
        return live.routes(layers, start + t[:, None, None] * velocity)

    # Dense bisection finds at most these intervals, and each of its ends is one of theirs.
    grid = np.linspace(0, 1, 2 * len(found) + 2001)[1:-1]
    places = np.array(bisect(routing, grid))
    assert len(places) < len(found)
    nearest = np.abs(places[:, None] - lows[None, 1:]).min(axis=1, initial=np.inf)
    assert (nearest < 1e-6).all()
    # It looks between two points of a grid only; from a point in each interval on it finds all,
    # in their order.
    points = np.unique(np.concatenate([grid, (lows + highs) / 2]))
    names, margin = routing(points)
    seen = [tuple(p) for p in names.tolist()]
    for i in np.flatnonzero(margin <= CLEAR).tolist():
        t = Fraction(points[i])
        states = [
            [Fraction(a) + t * Fraction(v) for a, v in zip(x, y, strict=True)]
            for x, y in zip(start.tolist(), velocity.tolist(), strict=True)
        ]
        seen[i] = live.pattern(layers, states)
    runs = [p for i, p in enumerate(seen) if i == 0 or p != seen[i - 1]]
    assert runs == patterns
    assert count_regions(net, line).value == len(found) <= upper_bound(net, line).value
    return len(found), len(places) + 1, int((margin <= CLEAR).sum())


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_random_causal_stacks_against_bisection(seed):
    check_bisection(seed, (8, 8, 3))


@pytest.mark.slow
def test_two_hundred_causal_stacks():
    """N <= 32, d <= 16, L <= 4; ``pytest -m slow -k test_two_hundred_causal_stacks -s``."""
    tally = [check_bisection(seed, (32, 16, 4)) for seed in range(200)]
    intervals, by_bisection, in_rationals = np.sum(tally, axis=0).tolist()
    sys.stderr.write(f"{intervals} intervals, {by_bisection} by bisection alone\n")
    assert by_bisection <= intervals
    assert in_rationals < intervals / 100
