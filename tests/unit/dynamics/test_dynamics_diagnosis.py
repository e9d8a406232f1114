"""Clusters, windows, horizons."""

from __future__ import annotations

import numpy as np
import pytest
from reference import dynamics as plain

from tropattn.dynamics.diagnosis import (
    Window,
    cluster_labels,
    metastable_windows,
    soft_hard_error,
    soft_hard_horizon,
)
from tropattn.dynamics.flow import Head, sa
from tropattn.dynamics.hardmax import Hardmax, coalescence_horizon
from tropattn.dynamics.trajectory import simulate
from tropattn.errors import InvalidInput


def test_single_linkage_equals_merging_by_hand():
    for seed in range(10):
        x = np.random.default_rng([41, seed]).uniform(size=(25, 2))
        squared = ((x[:, None] - x) ** 2).sum(axis=2)
        labels = cluster_labels(squared, 0.12)
        assert labels.max() + 1 == plain.single_linkage(x, 0.12)


def test_clusters_of_a_gram_run_equal_those_of_its_tokens():
    x = np.random.default_rng(42).standard_normal((10, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    times = np.linspace(0, 20, 11)
    tokens = simulate(sa(4.0), x, times, rtol=1e-8)
    gram = simulate(sa(4.0), x @ x.T, times, engine="gram", rtol=1e-8)
    np.testing.assert_array_equal(tokens.clusters(0.1), gram.clusters(0.1))


@pytest.mark.long
def test_metastability_grows_with_beta():
    # arXiv 2410.06833: log T ~ beta. Two opposite groups on the circle hold ever longer.
    angles = np.concatenate([[-0.3, 0.2], np.pi - 0.6 + np.array([-0.3, 0.2])])
    x = np.column_stack([np.cos(angles), np.sin(angles)])
    times = np.concatenate([[0.0], np.geomspace(0.1, 2000, 150)])
    ends = []
    for beta in (2.0, 3.0, 4.0):
        run = simulate(sa(beta), x, times, rtol=1e-6)
        pairs = [w for w in metastable_windows(run.time, run.clusters(0.05)) if w.clusters == 2]
        assert len(pairs) == 1
        ends.append(pairs[0].stop)
    steps = np.diff(np.log(ends))
    # Merging is slowed by e^{beta (1 - c)} with c = cos(pi - 0.6) at first: about 1.8 a unit.
    assert (steps > 1.0).all()
    assert (steps < 2.0).all()


def test_energy_climbs_in_stairs_while_clusters_wait():
    angles = np.concatenate([[-0.3, 0.2], np.pi - 0.6 + np.array([-0.3, 0.2])])
    x = np.column_stack([np.cos(angles), np.sin(angles)])
    run = simulate(sa(4.0), x, np.concatenate([[0.0], np.geomspace(0.1, 3000, 100)]), rtol=1e-8)
    window = next(w for w in metastable_windows(run.time, run.clusters(0.05)) if w.clusters == 2)
    inside = (run.time >= 2 * window.start) & (run.time <= window.stop / 2)
    total = run.energy[-1] - run.energy[0]
    assert np.ptp(run.energy[inside]) < 0.05 * total


def test_windows_need_their_ratio():
    time, counts = np.array([0.0, 1, 2, 3, 4]), np.array([3, 3, 3, 2, 1])
    assert metastable_windows(time, counts) == [Window(3, 0.0, 2.0)]
    assert metastable_windows(time, counts, ratio=3) == []


def test_soft_hard_error_bounds_the_lost_weight():
    # Theory T16 at tau = 1: 1 - p_max <= (N-1) e / (1 + (N-1) e), equality for equal losers.
    x = np.random.default_rng(43).standard_normal((9, 2))
    for beta in (0.5, 2.0, 8.0):
        scores = beta * x @ x.T
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        lost = 1 - (p / p.sum(axis=1, keepdims=True)).max(axis=1)
        bound = soft_hard_error(Head(beta=beta), x)
        assert (lost <= bound + 1e-15).all()
    equal = np.eye(4)
    bound = soft_hard_error(Head(beta=1.0), equal)[0]
    assert bound == pytest.approx(3 * np.exp(-1) / (1 + 3 * np.exp(-1)))


def test_soft_hard_horizon_ends_when_tokens_meet():
    x = np.array([[1.0, 0.0], [np.cos(0.6), np.sin(0.6)], [-1.0, 0.0]])
    run = simulate(sa(60.0), x, np.linspace(0, 2, 41), rtol=1e-7)
    start = soft_hard_error(Head(beta=60.0), x).max()
    assert start < 0.01
    # 1 - cos 0.6 = 0.175; a gap of log(2 / 0.01) / 60 = 0.088 is the horizon.
    found = soft_hard_horizon(Head(beta=60.0), run.time, run.states)
    assert found is None or found > 0
    assert soft_hard_horizon(Head(beta=1.0), run.time, run.states) == 0.0


def test_coalescence_horizon_is_one_bit_a_layer_at_half():
    assert coalescence_horizon(Hardmax(1)) == pytest.approx(52)
    # g = 1/3: log(2) / log(3/2) = 1.71 layers a bit.
    assert coalescence_horizon(Hardmax(0.5)) == pytest.approx(52 * np.log(2) / np.log(1.5))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cluster_labels(np.zeros((1, 1)), 0), "radius"),
        (lambda: metastable_windows(np.zeros(2), np.zeros(3)), "ratio"),
        (lambda: soft_hard_horizon(Head(), [0.0], [np.eye(1)], level=1.0), "level"),
        (lambda: simulate(Hardmax(1), [[1.0]], 1).dissipation_residual(), "trajectory"),
    ],
)
def test_bad_input_names_the_argument(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
