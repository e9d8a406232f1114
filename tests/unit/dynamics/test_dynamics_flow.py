"""Particle flows: against plain loops, closed forms, and each other."""

from __future__ import annotations

import numpy as np
import pytest
from reference import dynamics as plain
from scipy.linalg import expm

from tropattn.dynamics import closed_forms
from tropattn.dynamics.flow import (
    Flow,
    Head,
    attention_layer,
    energy,
    energy_rate,
    readout,
    residual_layer,
    sa,
    score_polynomial,
    sinkhorn_weights,
    unsolved,
    usa,
    velocity,
)
from tropattn.dynamics.gram import gram_layer, random_gram, sync_diagram, tokens_of
from tropattn.dynamics.trajectory import simulate
from tropattn.errors import Inconclusive, InvalidInput
from tropattn.tropical import temperature


def sphere(n, d, seed):
    x = np.random.default_rng([21, seed]).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def matrices(d, k, seed):
    stream = np.random.default_rng([22, seed])
    return (
        stream.standard_normal((k, d)),
        stream.standard_normal((k, d)),
        stream.standard_normal((d, d)),
    )


@pytest.mark.parametrize("kind", ["softmax", "unnormalised", "l2", "sigmoid", "linear"])
@pytest.mark.parametrize("causal", [False, True])
def test_readout_equals_the_plain_loop(kind, causal):
    x = sphere(9, 3, 0)
    Q, K, V = matrices(3, 2, 0)
    flow = Flow((Head(kind, Q, K, V, 0.7),), "flat", causal)
    wanted = plain.readout(kind, x, Q, K, V, 0.7, causal)
    # Sums of 9 terms of size at most e^3: rounding stays below 1e-13.
    np.testing.assert_allclose(readout(flow, x), wanted, atol=1e-13, rtol=1e-13)
    np.testing.assert_allclose(
        velocity(Flow(flow.heads, "sphere", causal), x), plain.project(x, wanted), atol=1e-12
    )


def test_several_heads_add():
    x = sphere(7, 3, 1)
    heads = [Head("softmax", *matrices(3, 2, s), 1.0) for s in (1, 2)]
    both = readout(Flow(tuple(heads), "flat"), x)
    np.testing.assert_allclose(both, sum(readout(Flow((h,), "flat"), x) for h in heads), atol=1e-14)


def test_large_scores_are_shifted():
    x = 100.0 * sphere(5, 2, 2)
    out = readout(Flow((Head(beta=1.0),), "flat"), x)
    np.testing.assert_array_equal(out, x[(x @ x.T).argmax(axis=1)])


def test_softmax_is_the_gradient_of_the_potential():
    # One object: the read-out with V = K^T Q-scaled slopes is grad of tau log sum exp at tau = 1.
    x = sphere(8, 3, 3)
    Q, K, _ = matrices(3, 2, 3)
    for kind in ("softmax", "l2"):
        head = Head(kind, Q, K, None, 1.3)
        weights = temperature.weights(score_polynomial(head, x), x, 1.0)
        np.testing.assert_allclose(readout(Flow((head,), "flat"), x), weights @ x, atol=1e-13)


def test_zero_temperature_partitions():
    x = np.random.default_rng(23).standard_normal((12, 2))
    points = np.random.default_rng(24).standard_normal((300, 2))
    # L2: the Voronoi diagram of the tokens; dot product: the power diagram of T2.
    nearest = ((points[:, None] - x) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(score_polynomial(Head("l2", beta=3.0), x).argmax(points), nearest)
    power = (((points[:, None] - x) ** 2).sum(axis=2) - (x**2).sum(axis=1)).argmin(axis=1)
    np.testing.assert_array_equal(score_polynomial(Head(beta=3.0), x).argmax(points), power)
    # Sinkhorn: an optimal assignment, here of a permuted identity, at scores far apart.
    order = np.random.default_rng(25).permutation(6)
    weights = sinkhorn_weights(40.0 * np.eye(6)[order])
    assert np.abs(weights - np.eye(6)[order]).max() < 1e-15
    # Sigmoid: a hyperplane arrangement, weight 1 on the positive side and 0 on the other.
    # At beta = 40 / min |score| no weight is further than e^-40 from 0 or 1.
    head = Flow((Head("sigmoid", beta=40 / np.abs(x @ x.T).min()),), "flat")
    signs = (x @ x.T > 0).astype(float)
    np.testing.assert_allclose(readout(head, x), signs @ x / 12, atol=1e-12)


def test_sinkhorn_scales_to_row_and_column_sums_one():
    scores = np.random.default_rng(26).standard_normal((20, 20)) * 2
    w = sinkhorn_weights(scores)
    assert np.abs(w.sum(axis=0) - 1).max() < 1e-12
    assert np.abs(w.sum(axis=1) - 1).max() < 1e-12
    # Scaling keeps all 2x2 log odds.
    odds = np.log(w[0, 0] * w[1, 1] / w[0, 1] / w[1, 0])
    assert abs(odds - (scores[0, 0] + scores[1, 1] - scores[0, 1] - scores[1, 0])) < 1e-12
    with pytest.raises(Inconclusive, match="lower beta"):
        sinkhorn_weights(np.diag([0.0, 900.0, 1800.0]) + np.triu(np.full((3, 3), 700.0)))


@pytest.mark.parametrize("flow", [sa(2.0), usa(1.5)])
def test_energy_rises_at_the_rate_of_the_identity(flow):
    x = sphere(16, 3, 4)
    beta = flow.heads[0].beta
    # The identity itself, against the gradient of E: rounding only.
    gradient = np.exp(beta * (x @ x.T)) @ x / len(x) ** 2
    assert abs((gradient * velocity(flow, x)).sum() - energy_rate(flow, x)) < 1e-15
    # Along a run, against the integral of the rate: the integrator's tolerance.
    run = simulate(flow, x, np.linspace(0, 4, 9), rtol=1e-11)
    assert run.dissipation_residual() < 1e-8
    assert (np.diff(run.energy) > 0).all()


def test_energy_at_beta_zero_is_the_kuramoto_order_parameter():
    x = sphere(10, 2, 5)
    assert abs(energy(0.0, x @ x.T) - 0.5 * np.linalg.norm(x.mean(axis=0)) ** 2) < 1e-15


def test_circle_is_kuramoto():
    angles = np.random.default_rng(27).uniform(0, 2 * np.pi, 12)
    x = np.column_stack([np.cos(angles), np.sin(angles)])
    beta = 1.7
    gaps = angles[:, None] - angles[None, :]
    wanted = -(np.exp(beta * np.cos(gaps)) * np.sin(gaps)).sum(axis=1) / 12
    moved = velocity(usa(beta), x)
    tangent = np.column_stack([-np.sin(angles), np.cos(angles)])
    np.testing.assert_allclose((moved * tangent).sum(axis=1), wanted, atol=1e-14)


@pytest.mark.parametrize(("beta", "wanted"), [(0.0, 5.186), (3.0, 5.898), (6.0, 15.995)])
def test_orthogonal_start_stays_equiangular_and_meets_in_time(beta, wanted):
    assert round(closed_forms.equiangular_time(32, beta), 3) == wanted
    times = np.array([0.0, closed_forms.equiangular_time(32, beta)])
    run = simulate(sa(beta), np.eye(32), times, engine="gram", rtol=1e-10)
    off = run.states[1][~np.eye(32, dtype=bool)]
    assert np.ptp(off) < 1e-9
    assert abs(off[0] - (1 - 1e-3)) < 1e-8


def test_equiangular_rate_is_that_of_the_inner_products():
    for flow, normalised in ((sa(2.5), True), (usa(2.5), False)):
        x = tokens_of(np.full((5, 5), 0.3) + 0.7 * np.eye(5))
        v = velocity(flow, x)
        rate = closed_forms.equiangular_rate(5, 2.5, 0.3, normalised=normalised)
        assert abs(v[0] @ x[1] + x[0] @ v[1] - rate) < 1e-14 * np.exp(2.5)


def test_last_approach_is_exponential_at_rate_two():
    # 1 - c ~ C e^{-2t}: the slope of log(1 - c) between two late times.
    early = closed_forms.equiangular_time(32, 2.0, 1 - 1e-6)
    late = closed_forms.equiangular_time(32, 2.0, 1 - 1e-9)
    assert abs(np.log(1e3) / (late - early) - 2) < 1e-5


def test_the_published_scheme_lags_the_flow():
    # beta = 6, n = 32: residual layers of 0.1 meet at 17.5, the flow at 16.0.
    times = 0.1 * np.arange(181)
    run = simulate(sa(6.0), np.eye(32), times, engine="gram", scheme="layers")
    met = times[np.argmax(run.states[:, 0, 1] >= 1 - 1e-3)]
    assert abs(met - 17.5) < 1e-9


@pytest.mark.parametrize("flow", [sa(3.0), usa(1.0), sa(1.0, causal=True), usa(1.0, causal=True)])
def test_gram_engine_is_the_tokens_engine_in_any_dimension(flow):
    for d in (2, 40):
        x = sphere(12, d, 6)
        y = residual_layer(flow, x, 0.1)
        np.testing.assert_allclose(gram_layer(flow, x @ x.T, 0.1), y @ y.T, atol=1e-14)
    times = np.array([0.0, 1.0, 2.0])
    by_tokens = simulate(flow, x, times, rtol=1e-10)
    by_gram = simulate(flow, x @ x.T, times, engine="gram", rtol=1e-10)
    for k in range(3):
        state = by_tokens.states[k]
        assert np.abs(state @ state.T - by_gram.states[k]).max() < 1e-8


def test_sync_diagram_equals_single_runs_and_ignores_threads():
    diagram = sync_diagram(6, 3, [1.0, 4.0], layers=40, runs=10, seed=3, threads=1)
    again = sync_diagram(6, 3, [1.0, 4.0], layers=40, runs=10, seed=3, threads=2)
    np.testing.assert_array_equal(diagram.probability, again.probability)
    met = np.zeros(41)
    for run in range(10):
        states = simulate(
            sa(4.0), random_gram(6, 3, 3, run), 0.1 * np.arange(41), engine="gram", scheme="layers"
        ).states
        met += states[:, 0, 1] >= 1 - 1e-3
    np.testing.assert_array_equal(diagram.probability[1], met / 10)


def test_scheme_and_flow_give_close_diagrams_at_small_beta():
    layers = sync_diagram(8, 16, [1.0], layers=80, runs=4, seed=1)
    flow = sync_diagram(8, 16, [1.0], layers=80, runs=4, seed=1, scheme="adaptive")
    # Same starts; the scheme is late by at most the factor 1 + h, here by 10 %.
    half = [d.times[np.argmax(d.probability[0] >= 0.5)] for d in (layers, flow)]
    assert half[1] <= half[0] <= 1.1 * half[1] + 0.1


def test_tokens_in_a_hemisphere_all_meet():
    # Theorem of arXiv 2312.10794 for any beta; n <= d tokens always share a hemisphere (Wendel).
    # The last two clusters merge at a rate of at least about e^{-2 beta}: long before t = 60.
    assert closed_forms.hemisphere_probability(5, 5) == 1.0
    run = simulate(sa(1.0), sphere(5, 5, 7), [0.0, 60.0])
    assert run.clusters(1e-6)[-1] == 1


def test_wendel_by_simulation():
    stream = np.random.default_rng(28)
    angles = np.sort(stream.uniform(0, 2 * np.pi, (4000, 5)), axis=1)
    gaps = np.diff(np.column_stack([angles, angles[:, 0] + 2 * np.pi]), axis=1)
    share = (gaps.max(axis=1) > np.pi).mean()
    p = closed_forms.hemisphere_probability(5, 2)
    assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / 4000)


@pytest.mark.parametrize("mode", [1, 2, 3])
@pytest.mark.parametrize("normalised", [True, False])
def test_uniform_law_on_the_circle_loses_stability_mode_by_mode(mode, normalised):
    n, beta, size = 256, 3.0, 1e-6
    base = 2 * np.pi * np.arange(n) / n
    # Density 1 + eps cos(k t) is a displacement -eps sin(k t) / k of the tokens.
    angles = base - size * np.sin(mode * base) / mode
    x = np.column_stack([np.cos(angles), np.sin(angles)])
    flow = sa(beta) if normalised else usa(beta)
    moved = velocity(flow, x)
    turn = moved[:, 1] * np.cos(angles) - moved[:, 0] * np.sin(angles)
    growth = -2 * mode * (turn * np.sin(mode * base)).mean() / size
    wanted = closed_forms.circle_mode_growth(mode, beta, normalised=normalised)
    # Second order in eps = 1e-6, and rounding 1e-16 / eps.
    assert abs(growth - wanted) < 1e-5 * max(1.0, wanted)


def test_causal_tokens_go_to_the_first():
    # arXiv 2411.04990; V = 1. The first token never moves.
    x = sphere(6, 3, 8)
    run = simulate(sa(1.0, causal=True), x, [0.0, 400.0])
    np.testing.assert_allclose(run.states[1][0], x[0], atol=1e-12)
    assert np.abs(run.states[1] - x[0]).max() < 1e-2


@pytest.mark.long
def test_rescaled_space_is_the_flat_flow_seen_through_exp_minus_tv():
    x = sphere(6, 2, 9)
    Q, K, _ = matrices(2, 2, 9)
    V = np.array([[0.3, 0.1], [0.0, 0.2]])
    head = Head("softmax", Q, K, V, 1.0)
    flat = simulate(Flow((head,), "flat"), x, [0.0, 1.5], rtol=1e-11).states[1]
    scaled = simulate(Flow((head,), "rescaled"), x, [0.0, 1.5], rtol=1e-11).states[1]
    np.testing.assert_allclose(flat @ expm(-1.5 * V).T, scaled, atol=1e-9)


def test_rescaled_identity_value_tends_to_hull_vertices():
    # arXiv 2305.05465, V = 1 and Q^T K > 0: limits lie on vertices (or faces) of a polytope.
    x = np.random.default_rng(29).standard_normal((12, 2))
    run = simulate(Flow((Head(),), "rescaled"), x, [0.0, 12.0])
    assert run.clusters(1e-2)[-1] <= 8 < len(x)


def test_prenorm_slows_down_algebraically_and_postnorm_does_not():
    # arXiv 2510.22026: 1 - cos of two tokens falls as t^-2 with pre-norm, e^{-2t} with post-norm.
    x = np.eye(2)
    times = np.array([0.0, 100.0, 200.0])
    run = simulate(Flow((Head(),), "prenorm"), x, times, rtol=1e-12)
    y = run.states / np.linalg.norm(run.states, axis=2, keepdims=True)
    gaps = ((y[:, 0] - y[:, 1]) ** 2).sum(axis=1) / 2
    # Slope -2 up to O(1/t) corrections, about 2 % here.
    assert abs(np.log(gaps[2] / gaps[1]) / np.log(2) + 2) < 0.05


@pytest.mark.parametrize("gain", [1.0, 2.0, 4.0])
def test_long_context_layer(gain):
    # c = 1/2, edge at g = 2. Softmax of n equiangular tokens in closed form, n to infinity:
    # the deviation at finite n is n^{-|1 - g/2|} or, at the edge, 1/n.
    n, c = 400, 0.5
    gram = np.full((n, n), c) + (1 - c) * np.eye(n)
    x = np.linalg.cholesky(gram)
    y = attention_layer(sa(gain * np.log(n)), x)
    wanted = closed_forms.long_context_layer(c, gain)
    bound = 4 / n if gain == 2 else 4 * n ** -abs(1 - gain / 2)
    assert abs(y[0] @ y[1] - wanted) < bound


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Head("soft"), "kind"),
        (lambda: Head(beta=-1), "beta"),
        (lambda: Head(Q=np.eye(2), K=np.eye(3)), "Q, K, V"),
        (lambda: Head(Q=np.ones((1, 2))), "Q, K, V"),
        (lambda: Flow((), "flat"), "heads"),
        (lambda: Flow((Head(),), "torus"), "space"),
        (lambda: Flow((Head("sinkhorn"),), "flat", True), "causal"),
        (lambda: sa(1.0).check_tokens([[1.0, 1.0]]), "length 1"),
        (lambda: simulate(sa(1.0), [[1.0]], [0, 0]), "times"),
        (lambda: simulate(sa(1.0), [[1.0]], [0, 1], engine="exact"), "engine"),
        (lambda: simulate(Flow((Head(V=-np.eye(1)),)), [[1.0]], [0, 1], engine="gram"), "gram"),
        (lambda: simulate(sa(1.0), [[2.0]], [0, 1], engine="gram"), "unit diagonal"),
        (lambda: simulate(sa(1.0), [[1.0]], [0, 0.15], scheme="layers"), "multiples"),
        (lambda: sync_diagram(1, 2, [1.0]), "n, dim"),
    ],
)
def test_bad_input_names_the_argument(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()


@pytest.mark.long
@pytest.mark.parametrize("run", [21, 0])
def test_gram_flow_of_the_circle_stays_a_gram_matrix(run):
    # Run 21 leaves the matrices of rank 2 where the Gram matrix itself is integrated.
    gram, times = random_gram(32, 2, 0, run), [0.0, 5.0, 11.0, 30.0]
    states = simulate(sa(0.0), gram, times, engine="gram").states
    assert np.abs(states).max() <= 1 + 1e-12
    assert np.linalg.eigvalsh(states).min() > -1e-11
    diagram = sync_diagram(32, 2, [0.0], runs=22, scheme="adaptive", threads=1)
    assert diagram.probability[0, -1] == 1.0  # with equal weights all tokens meet


def test_an_integrator_that_gives_up_is_inconclusive():
    error = unsolved("Step size is too small.")
    assert isinstance(error, Inconclusive)
    assert str(error).endswith(
        "got none (Step size is too small); lower beta or shorten the times."
    )
