"""Gaussian closures: against particles, identities, closed solutions; and the phase classifier."""

from __future__ import annotations

import numpy as np
import pytest

from tropattn.dynamics.flow import Flow, Head, velocity
from tropattn.dynamics.gaussian import (
    Gaussian,
    closure,
    freezing_level,
    score_deviation,
    simulate_gaussian,
    sinkhorn_product,
)
from tropattn.dynamics.phase import _integrated, blow_up_time, classify
from tropattn.errors import InvalidInput

VARIANTS = ["softmax", "l2", "sinkhorn", "linear", "multi-head"]


def heads(kind, seed=0, d=2, scale=0.4):
    stream = np.random.default_rng([31, seed])
    kinds = ("softmax", "softmax") if kind == "multi-head" else (kind,)
    return Flow(
        tuple(
            Head(k, *(scale * stream.standard_normal((d, d)) for _ in range(3)), 1.0) for k in kinds
        ),
        "flat",
    )


def spd(d, seed):
    root = np.random.default_rng([32, seed]).standard_normal((d, d))
    return root @ root.T / d + 0.2 * np.eye(d)


def particle_error(flow, law, n, draws):
    """Root mean square gap between particle and closure velocities of mean and covariance."""
    a, s = closure(flow, law.mean, law.covariance)
    total = 0.0
    for seed in range(draws):
        x = law.sample(n, 1000 * n + seed)
        v = velocity(flow, x)
        centred = x - x.mean(axis=0)
        rate = (centred.T @ v + v.T @ centred) / n
        total += np.sum((v.mean(axis=0) - a) ** 2) + np.sum((rate - s) ** 2)
    return np.sqrt(total / draws)


@pytest.mark.parametrize("kind", VARIANTS)
def test_particles_approach_the_closure_like_one_over_root_n(kind):
    flow, law = heads(kind), Gaussian([0.3, -0.2], spd(2, 0) * 0.5)
    few, many = (particle_error(flow, law, n, 24) for n in (50, 450))
    # Nine times the tokens: a third of the error. 24 draws of 5 numbers know each error to about
    # 7 % (chi-square with correlated entries: 10 to 15 %), so 25 % is two deviations of the ratio.
    assert abs(np.log(few / many) / np.log(9) - 0.5) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("kind", VARIANTS)
def test_particles_approach_the_closure_over_two_decades(kind):
    """Run with ``pytest -m slow -k over_two_decades``."""
    flow, law = heads(kind, 1), Gaussian([0.3, -0.2], spd(2, 1) * 0.5)
    sizes = [40, 400, 4000] if kind != "sinkhorn" else [20, 200, 2000]
    errors = [particle_error(flow, law, n, 40) for n in sizes]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert abs(slope + 0.5) < 0.08


def test_sinkhorn_gain_solves_its_fixed_point_equation():
    # (S - G S G^T) A = G, for A neither symmetric nor invertible too.
    for seed in range(10):
        s = spd(3, seed)
        a = np.random.default_rng([33, seed]).standard_normal((3, 3))
        if seed % 3 == 0:
            a[:, 0] = 0.0
        g = sinkhorn_product(a, s) @ np.linalg.inv(s)
        # Rounding: products of matrices of norm <= 10 and an inverse of condition <= 100.
        assert np.abs((s - g @ s @ g.T) @ a - g).max() < 1e-12


def test_sinkhorn_gain_equals_the_published_formula():
    # G = (A^T)^-1 S^-1 C, C = (S^1/2 (4 S^1/2 A^T S A S^1/2 + 1)^1/2 S^-1/2 - 1) / 2.
    s, a = spd(3, 5), np.random.default_rng(34).standard_normal((3, 3))

    def power(m, p):
        values, vectors = np.linalg.eigh((m + m.T) / 2)
        return (vectors * values**p) @ vectors.T

    root = power(s, 0.5)
    inner = power(4 * root @ a.T @ s @ a @ root + np.eye(3), 0.5)
    c = (root @ inner @ power(s, -0.5) - np.eye(3)) / 2
    published = np.linalg.inv(a.T) @ np.linalg.inv(s) @ c
    gain = sinkhorn_product(a, s) @ np.linalg.inv(s)
    np.testing.assert_allclose(gain, published, atol=1e-10)


def test_softmax_with_identity_value_moves_the_precision_linearly():
    a, s = np.random.default_rng(35).standard_normal((3, 3)) * 0.5, spd(3, 2)
    flow = Flow((Head(Q=a, K=np.eye(3)),), "flat")
    end = blow_up_time(a, s)
    times = np.linspace(0, 0.9 * end, 4)
    run = simulate_gaussian(flow, Gaussian(np.zeros(3), s), times, rtol=1e-10)
    for t, found in zip(run.time, run.covariance, strict=True):
        wanted = np.linalg.inv(s) - (a + a.T) * t
        np.testing.assert_allclose(np.linalg.inv(found), wanted, atol=1e-7)


def test_blow_up_is_reached_and_reported():
    flow = Flow((Head(),), "flat")
    run = simulate_gaussian(flow, Gaussian([0.0], [[1.0]]), np.linspace(0, 1, 11))
    # S = 1 / (1 - 2t): the covariance passes 10^10 times its start at 1/2 (1 - 10^-10 ..).
    assert abs(run.escape - 0.5) < 1e-6
    assert run.time[-1] <= 0.5


def test_multi_head_closure_is_the_sum():
    law = Gaussian([0.1, 0.4], spd(2, 3))
    both = heads("multi-head")
    parts = [closure(Flow((h,), "flat"), law.mean, law.covariance) for h in both.heads]
    whole = closure(both, law.mean, law.covariance)
    np.testing.assert_allclose(whole[0], parts[0][0] + parts[1][0], atol=1e-15)
    np.testing.assert_allclose(whole[1], parts[0][1] + parts[1][1], atol=1e-15)


@pytest.mark.parametrize("kind", ["unnormalised", "sigmoid"])
def test_others_have_no_closure(kind):
    with pytest.raises(InvalidInput, match="do not keep Gaussians"):
        closure(Flow((Head(kind),), "flat"), np.zeros(1), np.eye(1))
    with pytest.raises(InvalidInput, match="do not keep Gaussians"):
        closure(Flow((Head(),), "flat", causal=True), np.zeros(1), np.eye(1))


def test_hand_over_beyond_the_freezing_level():
    # With n samples the tilted mean saturates at the largest sample, sqrt(2 log n) deviations out.
    n = 2000
    x = np.random.default_rng(36).standard_normal((n, 1))
    for s, holds in ((1.5, True), (8.0, False)):
        w = np.exp(s * x[:, 0] - s * x.max())
        read = float((w @ x[:, 0]) / w.sum())
        assert (abs(read - s) < 0.2) == holds
        assert (s < freezing_level(n)) == holds
    assert read <= x.max()


def test_frozen_from_reads_the_first_late_time():
    flow = Flow((Head(),), "flat")
    run = simulate_gaussian(flow, Gaussian([0.0], [[1.0]]), np.linspace(0, 0.45, 46))
    # s = S for A = 1; S = 1 / (1 - 2t) passes sqrt(2 log n) at t = (1 - 1/s) / 2.
    level = freezing_level(100)
    assert run.frozen_from(100) == pytest.approx(np.ceil(50 * (1 - 1 / level)) / 100)
    assert score_deviation(flow, np.zeros(1), np.array([[3.0]])) == pytest.approx(3.0)


# ---- phases -----------------------------------------------------------------------------------


def test_the_four_phases_in_closed_form():
    law = Gaussian([0.0, 0.0], [[1.0, 0.3], [0.3, 2.0]])

    def fate(a):
        return classify(Flow((Head(Q=a, K=np.eye(2)),), "flat"), law)

    up = fate(np.eye(2))
    assert (up.kind, up.method) == ("blows up", "closed form")
    assert up.time == pytest.approx(1 / (2 * np.linalg.eigvalsh(law.covariance)[-1]))
    down = fate(-np.eye(2))
    assert (down.kind, down.rank) == ("collapses", 0)
    still = fate(np.array([[0.0, 1.0], [-1.0, 0.0]]))
    assert (still.kind, still.rank, still.time) == ("converges", 2, 0.0)
    part = fate(np.diag([-1.0, 0.0]))
    assert (part.kind, part.rank) == ("collapses", 1)
    # The limit keeps the kernel of A + A^T: S^-1 grows along e_1, so S -> (S^-1)_22^-1 e_2 e_2^T.
    assert part.covariance[1, 1] == pytest.approx(1 / np.linalg.inv(law.covariance)[1, 1])


@pytest.mark.parametrize("d", [2, 3, 4, 5])
def test_limit_rank_of_negative_half_rank_scores(d):
    # V = 1, K = -Q, Q of shape floor(d/2) x d: the limit rank is ceil(d/2) exactly [derived].
    q = np.random.default_rng([37, d]).standard_normal((d // 2, d))
    flow = Flow((Head(Q=q, K=-q),), "flat")
    law = Gaussian(np.zeros(d), np.eye(d))
    assert classify(flow, law).rank == -(-d // 2)
    assert _integrated(flow, law).rank == -(-d // 2)


@pytest.mark.parametrize("seed", range(4))
def test_integrated_and_closed_verdicts_agree(seed):
    a = np.random.default_rng([38, seed]).standard_normal((2, 2))
    if seed % 2:
        a = -a @ a.T
    flow = Flow((Head(Q=a, K=np.eye(2)),), "flat")
    law = Gaussian(np.zeros(2), spd(2, seed))
    closed, run = classify(flow, law), _integrated(flow, law)
    assert (closed.kind, closed.rank) == (run.kind, run.rank)
    if closed.kind == "blows up":
        # Extrapolated from the decades 10^2, 10^4, 10^6: 1 % of the last, 10^-4 of the first.
        assert run.time == pytest.approx(closed.time, rel=1e-4)


@pytest.mark.parametrize("kind", ["l2", "sinkhorn"])
def test_l2_and_sinkhorn_never_blow_up(kind):
    for seed in range(3):
        stream = np.random.default_rng([39, seed])
        flow = Flow((Head(kind, *(stream.standard_normal((2, 2)) for _ in range(3))),), "flat")
        assert classify(flow, Gaussian(np.zeros(2), np.eye(2))).kind != "blows up"
    # With V = 1 and positive scores softmax blows up and these two only diverge.
    assert classify(Flow((Head(),), "flat"), Gaussian([0.0], [[1.0]])).kind == "blows up"
    assert classify(Flow((Head(kind),), "flat"), Gaussian([0.0], [[1.0]])).kind == "diverges"


@pytest.mark.long
def test_a_rotation_is_undecided():
    # V turns the plane, A = V^T V ... keeps the size: bounded and never at rest.
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    flow = Flow((Head("sinkhorn", V=turn),), "flat")
    verdict = classify(flow, Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]))
    assert verdict.kind == "converges"  # an isotropic Gaussian does not see a rotation
    tilted = classify(flow, Gaussian([0.0, 0.0], [[2.0, 0.0], [0.0, 1.0]]))
    assert tilted.kind == "undecided"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Gaussian([0.0], [[-1.0]]), "semidefinite"),
        (lambda: Gaussian([0.0], [[1.0, 0.0], [0.0, 1.0]]), "shapes"),
        (lambda: freezing_level(0), "n:"),
        (lambda: simulate_gaussian(Flow((Head(),)), Gaussian([0.0], [[1.0]]), [0, 1]), "R.d"),
    ],
)
def test_bad_input_names_the_argument(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
