"""Hardmax layers: the papers' examples in rationals, ties, limits, and where doubles fail."""

from __future__ import annotations

from fractions import Fraction as F

import numpy as np
import pytest
from reference import dynamics as plain

from tropattn.arrays import fraction_array
from tropattn.dynamics import hardmax as floats
from tropattn.dynamics.hardmax import (
    Hardmax,
    coalescence_horizon,
    decide,
    leader_margins,
    plane_hull,
    step,
)
from tropattn.dynamics.hardmax_exact import advance, exact_state
from tropattn.dynamics.limits import basins, cells_per_layer, hardmax_limit
from tropattn.dynamics.trajectory import simulate
from tropattn.errors import Inconclusive, InvalidInput
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.polynomial import PowerDiagram, TropicalPolynomial


def hull_vertices(tokens):
    """The terms of ``max_j <x, z_j>`` whose cell has an interior (theory T3)."""
    return live_terms(TropicalPolynomial(fraction_array(tokens)), threads=1).live.tolist()


PAPER = [
    [F(1), F(1, 3)],
    [F(-1, 12), F(1, 12)],
    [F(-1), F(-1)],
    [F(0), F(1, 4)],
    [F(-3, 10), F(-7, 10)],
    [F(-6, 10), F(-9, 10)],
    [F(8, 10), F(1, 10)],
    [F(6, 10), F(15, 100)],
]
HALF = Hardmax(F(1, 2))


def test_paper_example_gains_a_leader_that_is_no_vertex_at_first():
    # arXiv 2407.01602; leaders and limits recomputed in rationals by tests/reference.
    state = exact_state(HALF, PAPER)
    assert state.leaders == (0, 2)
    assert 1 not in hull_vertices(state.tokens)
    state = advance(HALF, state)
    assert state.leaders == (0, 1, 2)
    limit = hardmax_limit(HALF, PAPER)
    assert limit.layer == 1
    assert limit.leaders == (0, 1, 2)
    places = {tuple(p) for p in limit.points.tolist()}
    assert places == {(F(1), F(1, 3)), (F(-1, 18), F(5, 36)), (F(-1), F(-1))}


def test_square_has_four_leaders_and_pulls_axis_points_to_its_sides():
    tokens = [[1, 1], [1, -1], [-1, 1], [-1, -1], [F(1, 2), 0], [F(-1, 2), 0]]
    limit = hardmax_limit(HALF, tokens)
    assert limit.leaders == (0, 1, 2, 3)
    assert limit.points[4:].tolist() == [[1, 0], [-1, 0]]
    # The two do not reach the sides in any finite number of layers, but halve their way.
    run = simulate(HALF, tokens, 5, engine="exact")
    assert run.states[5, 4, 0] == 1 - F(1, 2) * F(2, 3) ** 5


def test_averaged_tie_moves_to_the_middle_of_the_edge():
    tokens = [[1, 1], [-1, 1], [0, 0]]
    moved = fraction_array(advance(HALF, exact_state(HALF, tokens)).tokens)
    assert moved[2].tolist() == [0, F(2, 9)]
    limit = hardmax_limit(HALF, tokens)
    assert limit.points[2].tolist() == [0, 1]
    assert limit.winners[2] == (0, 1)


def test_first_winner_rule_breaks_the_same_tie():
    limit = hardmax_limit(Hardmax(F(1, 2), ties="first"), [[1, 1], [-1, 1], [0, 0]])
    assert limit.points[2].tolist() == [1, 1]


def test_repeated_tokens_lead_together():
    state = exact_state(HALF, [[2, 0], [2, 0], [-1, 0], [1, 0]])
    assert state.leaders == (0, 1, 2)
    assert state.winners[0] == (0, 1)
    assert exact_state(HALF, np.ones((5, 2))).leaders == (0, 1, 2, 3, 4)
    assert leader_margins(HALF, np.array([[2.0, 0], [2, 0], [-1, 0], [1, 0]])).tolist() == [
        2.0,
        2.0,
        2.0,
        -1.0,
    ]


def test_own_token_left_out():
    model = Hardmax(1, own=False)
    state = exact_state(model, [[2], [1]])
    assert state.winners == ((1,), (0,))
    assert state.leaders == ()
    moved = step(model, np.array([[2.0], [1.0]]), decide(model, np.array([[2.0], [1.0]])))
    assert moved.ravel().tolist() == [1.5, 1.5]
    with pytest.raises(InvalidInput, match="own=True"):
        hardmax_limit(model, [[2], [1]])


@pytest.mark.parametrize("ties", ["average", "first"])
def test_exact_layer_equals_the_plain_loop(ties):
    stream = np.random.default_rng(4)
    matrix = [[F(2), F(1)], [F(1), F(3)]]
    for _ in range(30):
        tokens = [[F(int(v)) for v in row] for row in stream.integers(-3, 4, (7, 2))]
        model = Hardmax(F(2, 3), matrix, ties)
        wanted, winners = plain.hardmax_layer(tokens, F(2, 3), matrix, ties)
        state = exact_state(model, np.array(tokens, dtype=object))
        assert [list(w) for w in state.winners] == winners
        assert list(state.leaders) == plain.leaders(tokens, winners)
        assert fraction_array(advance(model, state).tokens).tolist() == wanted


def test_float_layer_equals_the_exact_layer_on_integers():
    # Scores of small integers are exact in doubles; the step rounds once or twice.
    stream = np.random.default_rng(5)
    tokens = stream.integers(-4, 5, (20, 3)).astype(float)
    decisions = decide(HALF, tokens)
    state = exact_state(HALF, tokens)
    for i, won in enumerate(state.winners):
        assert decisions.target[i] == won[0]
        different = len({state.place[j] for j in won}) > 1
        assert decisions.tied.get(i, np.array([])).tolist() == (list(won) if different else [])
    moved = fraction_array(advance(HALF, state).tokens).astype(float)
    assert np.abs(step(HALF, tokens, decisions) - moved).max() < 4 * 5 * 2.0**-52


@pytest.mark.parametrize("law", ["normal", "square", "grid", "line", "repeated"])
def test_hull_search_agrees_with_all_pairs(law):
    stream = np.random.default_rng(6)
    tokens = {
        "normal": stream.standard_normal((1500, 2)),
        "square": stream.uniform(-1, 1, (1500, 2)),
        "grid": stream.integers(-4, 5, (1500, 2)).astype(float),
        "line": np.outer(stream.integers(-9, 10, 1500), [1.0, 2.0]),
        "repeated": np.repeat(stream.standard_normal((30, 2)), 50, axis=0),
    }[law]
    model = Hardmax(1, [[2.0, 0.5], [0.5, 1.0]])
    fast = floats._on_hull(tokens, model.directions(tokens), 1)
    slow = floats._all_pairs(tokens, model.directions(tokens), True)
    np.testing.assert_array_equal(fast[0], slow[0])
    assert {i: w.tolist() for i, w in fast[1].items()} == {
        i: w.tolist() for i, w in slow[1].items()
    }
    assert set(hull_vertices(exact_state(model, tokens[plane_hull(tokens)]).tokens)) <= set(
        range(len(plane_hull(tokens)))
    )


def test_layer_cells_are_the_power_diagram_of_the_images():
    # argmax_j <Ax, z_j> = argmin_j |x - A z_j|^2 - |A z_j|^2.
    stream = np.random.default_rng(7)
    tokens = stream.integers(-5, 6, (9, 2)).astype(float)
    model = Hardmax(1, [[2, 1], [1, 3]])
    sites = tokens @ np.array([[2.0, 1.0], [1.0, 3.0]])
    diagram = PowerDiagram(sites, (sites**2).sum(axis=1))
    f = model.polynomial(tokens)
    points = stream.standard_normal((200, 2))
    np.testing.assert_array_equal(f.argmax(points), diagram.to_polynomial().argmax(points))


def test_cells_per_layer_are_hull_vertices():
    counts = cells_per_layer(HALF, PAPER)
    assert [int(c) for c in counts] == [6, 7]
    assert all(c.kind == "exact" for c in counts)


def test_basin_map_agrees_with_probes_that_run_exactly():
    # A probe is a token that the others do not see: run it with them, one probe at a time.
    stream = np.random.default_rng(8)
    tokens = stream.integers(-6, 7, (8, 2))
    found = basins(HALF, tokens)
    probes = stream.integers(-4, 5, (12, 2)) + F(1, 7)
    labels = found.label(probes.astype(float))
    states = [exact_state(HALF, tokens)]
    for _ in range(60):
        states.append(advance(HALF, states[-1]))
    for probe, label in zip(probes, labels, strict=True):
        x = list(probe)
        for state in states:
            rows = fraction_array(state.tokens)
            scores = rows @ np.array(x, dtype=object)
            x = [
                a + F(1, 3) * (b - a) for a, b in zip(x, rows[int(np.argmax(scores))], strict=True)
            ]
        if label >= 0:
            goal = tokens[label]
            assert max(abs(float(a) - b) for a, b in zip(x, goal, strict=True)) < 1e-6


def test_a_run_without_closed_form_is_not_given_one():
    # One layer is not enough for the paper's example: token 1 leads only from layer 1 on.
    with pytest.raises(Inconclusive, match="among the first 1;"):
        hardmax_limit(HALF, PAPER, max_layers=1)


def test_doubles_lose_the_dynamics_near_the_coalescence_horizon():
    # Followers come within rounding of their leader after log(eps)/log(1-g) layers, up to the
    # factor of their distance: from then on a plain argmax of doubles invents or loses leaders.
    model = Hardmax(1.0)
    stream = np.random.default_rng(9)
    tokens = stream.standard_normal((40, 2))
    horizon = coalescence_horizon(model)
    exact = simulate(model, tokens, 70, engine="exact")
    state, first = tokens, None
    for layer in range(71):
        plain_leaders = np.flatnonzero(leader_margins(model, state) > 0)
        if set(plain_leaders.tolist()) != set(exact.leaders[layer]):
            first = layer
            break
        state = step(model, state, decide(model, state))
    assert first is not None
    assert horizon - 12 < first < horizon + 12
    # With margins above rounding, and leaders kept as the theorem allows, the sets stay right.
    run = simulate(model, tokens, 70)
    assert list(run.leaders) == list(exact.leaders)
    assert run.doubtful[0] == 0
    assert run.doubtful[-1] > 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Hardmax(0), "alpha"),
        (lambda: Hardmax(1, [[1, 2], [0, 1]]), "symmetric"),
        (lambda: Hardmax(1, [[1, 2], [2, 1]]), "positive definite"),
        (lambda: Hardmax(1, ties="last"), "ties"),
        (lambda: Hardmax(1, np.eye(3)).check_tokens([[1, 2]]), "3 coordinates"),
        (lambda: simulate(Hardmax(1), [[1.0]], 0), "layers"),
        (lambda: simulate(Hardmax(1), [[1.0]], 1, engine="gram"), "engine"),
    ],
)
def test_bad_input_names_the_argument(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()


def test_definiteness_is_decided_exactly():
    # det = 2^-60 > 0 and = 0: eigenvalues in doubles cannot tell these apart.
    Hardmax(1, [[1, 1], [1, 1 + F(1, 2**60)]])
    with pytest.raises(InvalidInput, match="positive definite"):
        Hardmax(1, [[1, 1], [1, 1]])
