"""Symmetries of flows and closures on random data, and limits off the sphere."""

from __future__ import annotations

import numpy as np
import pytest

from tropattn.dynamics.flow import Flow, Head, readout, sa, score_polynomial, usa, velocity
from tropattn.dynamics.gaussian import closure
from tropattn.dynamics.trajectory import simulate
from tropattn.regions.count import count_regions

KINDS = ["softmax", "unnormalised", "l2", "sinkhorn", "sigmoid", "linear"]


def data(seed, n=9, d=3):
    stream = np.random.default_rng([61, seed])
    x = stream.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    turn, _ = np.linalg.qr(stream.standard_normal((d, d)))
    return x, turn, 0.5 * stream.standard_normal((3, d, d)), stream.permutation(n)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", ["sphere", "flat", "prenorm"])
def test_flows_commute_with_rotations_and_permutations(kind, space):
    for seed in range(3):
        x, turn, (q, k, v), order = data(seed)
        flow = Flow((Head(kind, q, k, v, 1.1),), space)
        turned = Flow((Head(kind, q @ turn.T, k @ turn.T, turn @ v @ turn.T, 1.1),), space)
        base = velocity(flow, x)
        # Sinkhorn stops at sums within 1e-13; the others round only.
        np.testing.assert_allclose(velocity(turned, x @ turn.T), base @ turn.T, atol=1e-11)
        np.testing.assert_allclose(velocity(flow, x[order]), base[order], atol=1e-11)


@pytest.mark.parametrize("kind", ["softmax", "l2", "sinkhorn", "linear"])
def test_closures_commute_with_rotations(kind):
    for seed in range(5):
        _, turn, (q, k, v), _ = data(seed)
        stream = np.random.default_rng([62, seed])
        root = stream.standard_normal((3, 3))
        s, a = root @ root.T / 3, stream.standard_normal(3)
        mean, rate = closure(Flow((Head(kind, q, k, v),), "flat"), a, s)
        turned = Flow((Head(kind, q @ turn.T, k @ turn.T, turn @ v @ turn.T),), "flat")
        mean_turned, rate_turned = closure(turned, turn @ a, turn @ s @ turn.T)
        np.testing.assert_allclose(mean_turned, turn @ mean, atol=1e-11)
        np.testing.assert_allclose(rate_turned, turn @ rate @ turn.T, atol=1e-11)


@pytest.mark.parametrize("flow", [sa(3.0), usa(1.0), sa(1.0, causal=True)])
def test_velocities_are_tangent_and_hulls_on_the_sphere_shrink(flow):
    for seed in range(5):
        x, *_ = data(seed)
        assert np.abs((velocity(flow, x) * x).sum(axis=1)).max() < 1e-14
        # In any direction w the token that is furthest behind never falls further back, as long
        # as all lie in the hemisphere of w: <w, x_i>' = sum p_ij (<w, x_j> - <x_i, x_j><w, x_i>).
        w = x.mean(axis=0)
        behind = (x @ w).argmin()
        if (x @ w).min() > 0 and not flow.causal:
            assert velocity(flow, x)[behind] @ w > -1e-14


def test_causal_limit_reads_the_fan_of_its_prefix():
    x, *_ = data(7, n=12, d=2)
    wanted = [x[: i + 1][(x[: i + 1] @ x[i]).argmax()] for i in range(12)]
    out = readout(Flow((Head(beta=1e6),), "flat", causal=True), 1.0 * x)
    np.testing.assert_allclose(out, wanted, atol=1e-12)


def test_heads_together_cut_the_common_refinement():
    x, _, (q, k, _), _ = data(8, n=6, d=2)
    one = score_polynomial(Head(Q=q, K=k), x)
    two = score_polynomial(Head(Q=k, K=q), x)
    whole = int(count_regions([one, two]))
    parts = int(count_regions(one)), int(count_regions(two))
    assert max(parts) <= whole <= sum(parts)  # central fans of the plane: rays add


def test_simple_leading_value_gives_at_most_three_hyperplanes():
    # arXiv 2305.05465: lambda_1(V) > 0 simple, <Q phi_1, K phi_1> > 0: the first coordinate of
    # e^{-tV} x takes at most three values in the limit.
    x = np.random.default_rng(63).standard_normal((14, 2))
    flow = Flow((Head(V=np.diag([1.0, 0.3])),), "rescaled")
    last = simulate(flow, x, [0.0, 14.0], rtol=1e-7).states[-1][:, 0]
    gaps = np.diff(np.sort(last))
    assert (gaps > 1e-2).sum() <= 2
