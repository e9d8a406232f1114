"""Invariants of hardmax layers on random runs, in rationals."""

from __future__ import annotations

from fractions import Fraction as F
from itertools import pairwise

import numpy as np
import pytest

from tropattn.arrays import fraction_array
from tropattn.dynamics.hardmax import Hardmax
from tropattn.dynamics.hardmax_exact import advance, exact_state
from tropattn.dynamics.limits import hardmax_limit
from tropattn.dynamics.trajectory import simulate
from tropattn.errors import Inconclusive
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.polynomial import TropicalPolynomial


def hull_vertices(tokens):
    """The terms of ``max_j <x, z_j>`` whose cell has an interior (theory T3)."""
    return live_terms(TropicalPolynomial(fraction_array(tokens)), threads=1).live.tolist()


def _run(seed: int):
    """Model, tokens and a few layers; small integers, so that ties are common."""
    stream = np.random.default_rng([11, seed])
    n, d = int(stream.integers(3, 13)), int(stream.integers(1, 4))
    alpha = F(int(stream.integers(1, 5)), int(stream.integers(1, 4)))
    root = stream.integers(-2, 3, (d, d))
    matrix = None if seed % 2 else root @ root.T + np.eye(d, dtype=int)
    model = Hardmax(alpha, matrix, ["average", "first"][seed % 3 == 0])
    states = [exact_state(model, stream.integers(-5, 6, (n, d)))]
    for _ in range(6):
        states.append(advance(model, states[-1]))
    return model, states


def _hull(points):
    """Corners of conv(points) in the plane, counter-clockwise, exactly (monotone chain)."""
    order = sorted({tuple(p) for p in points.tolist()})
    chain = []
    for sweep in (order, order[::-1]):
        part = []
        for p in sweep:
            while len(part) > 1 and _turn(part[-2], part[-1], p) <= 0:
                part.pop()
            part.append(p)
        chain += part[:-1]
    return chain or order


def _turn(a, b, p):
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])


def _inside(inner, outer) -> bool:
    """conv(inner) in conv(outer), exactly, for d = 1 and 2."""
    if outer.shape[1] == 1:
        return outer.min() <= inner.min() and inner.max() <= outer.max()
    corners = _hull(outer)
    if len(corners) < 3:  # a point or a segment: inside its line, and between its ends
        ends = np.array(corners, dtype=object)
        on_line = all(_turn(corners[0], corners[-1], p) == 0 for p in inner.tolist())
        box = (ends.min(axis=0) <= inner).all() and (inner <= ends.max(axis=0)).all()
        return on_line and bool(box)
    edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
    return all(_turn(a, b, p) >= 0 for p in inner.tolist() for a, b in edges)


@pytest.mark.long
def test_leaders_stay_lengths_rise_and_hulls_nest_on_300_runs():
    checked_hulls = 0
    for seed in range(300):
        model, states = _run(seed)
        before = fraction_array(states[0].tokens)
        matrix = np.eye(before.shape[1], dtype=object) if model.matrix is None else model.matrix
        matrix = np.array([[F(v) for v in row] for row in matrix.tolist()], dtype=object)
        for old, new in pairwise(states):
            after = fraction_array(new.tokens)
            assert set(old.leaders) <= set(new.leaders)
            assert all((after[i] == before[i]).all() for i in old.leaders)
            lengths = [((z @ matrix) * z).sum(axis=1) for z in (before, after)]
            assert (lengths[1] >= lengths[0]).all()
            if before.shape[1] <= 2:
                assert _inside(after, before)
                checked_hulls += 1
            before = after
    assert checked_hulls > 900


def test_leaders_are_hull_vertices_and_not_conversely():
    fewer = 0
    for seed in range(60):
        _, states = _run(seed)
        vertices = set(hull_vertices(states[-1].tokens))
        leaders = {states[-1].place[i] for i in states[-1].leaders}
        assert leaders <= vertices
        fewer += leaders < vertices
    assert fewer > 0


@pytest.mark.long
def test_closed_limits_are_what_long_runs_tend_to():
    decided = 0
    for seed in range(120):
        model, states = _run(seed)
        try:
            limit = hardmax_limit(model, fraction_array(states[0].tokens), max_layers=40)
        except Inconclusive:
            continue
        decided += 1
        state = states[-1]
        for _ in range(14):
            state = advance(model, state)
        # Distances shrink by 1 - g a layer from the settled layer on, exactly.
        start = states[0]
        for _ in range(limit.layer):
            start = advance(model, start)
        power = (1 - model.part) ** (20 - limit.layer)
        if limit.layer > 20:
            continue
        gap = fraction_array(state.tokens) - limit.points
        wanted = power * (fraction_array(start.tokens) - limit.points)
        assert (gap == wanted).all()
    assert decided > 100


@pytest.mark.long
def test_proved_float_leaders_are_exact_leaders():
    for seed in range(40):
        stream = np.random.default_rng([12, seed])
        tokens = stream.standard_normal((int(stream.integers(4, 15)), 2))
        model = Hardmax(1.0)
        exact = simulate(model, tokens, 30, engine="exact")
        run = simulate(model, tokens, 30)
        for sure, true in zip(run.leaders, exact.leaders, strict=True):
            assert set(sure) <= set(true)


@pytest.mark.slow
def test_mean_numbers_of_leaders_and_vertices():
    """Leaders are not the initial hull's vertices: means about 5.4 and 7.7 at n = 40, d = 2.

    Run with ``pytest -m slow -k mean_numbers_of_leaders``.
    """
    leaders, vertices = [], []
    for seed in range(400):
        tokens = np.random.default_rng([13, seed]).standard_normal((40, 2))
        limit = hardmax_limit(Hardmax(1.0), tokens)
        leaders.append(len(limit.leaders))
        vertices.append(len(hull_vertices(exact_state(Hardmax(1.0), tokens).tokens)))
    # Standard errors are below 0.1 at 400 runs.
    assert abs(np.mean(leaders) - 5.4) < 0.3
    assert abs(np.mean(vertices) - 7.7) < 0.3
