"""Least vectors against every set of walls tried in rationals, and against closed forms."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from reference import steering as reference

import tropattn as ta
from tropattn.errors import Degenerate, Inconclusive, InvalidInput
from tropattn.tropical.steering import nearest_walls, root, steer
from tropattn.tropical.terms import AffineMap


def integer_head(rng, n, dim, reach=3):
    return ta.TropicalPolynomial(
        rng.integers(-reach, reach + 1, (n, dim)), rng.integers(-reach, reach + 1, n)
    )


def exact_rows(f):
    return f.slopes.astype(int).tolist(), f.intercepts.astype(int).tolist()


@pytest.mark.parametrize("seed", range(60))
def test_the_least_square_is_that_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    dim, n = int(rng.integers(1, 4)), int(rng.integers(2, 7))
    f = integer_head(rng, n, dim)
    state = rng.integers(-4, 5, dim).tolist()
    live = set(ta.live_terms(f).live.tolist())
    firsts, classes = f.distinct
    for key in range(n):
        vector = reference.least(reference.walls(*exact_rows(f), key, state), dim)
        if int(firsts[classes[key]]) not in live:
            with pytest.raises(Degenerate, match="is dead: at every state"):
                steer(f, state, {0: key})
            continue
        found = steer(f, state, {0: key})
        assert vector is not None
        assert found.squared == reference.inner(vector, vector)
        if vector:
            nearest = [float(x + v) for x, v in zip(state, vector, strict=True)]
            assert np.allclose(found.nearest, nearest, rtol=0, atol=1e-12)
        assert classes[f.argmax(found.state)] == classes[key]
        length = np.linalg.norm(found.vector)
        if found.squared:
            assert length <= 1.01 * found.distance * (1 + 1e-12)
            shorter = np.array(state, float) + 0.95 * found.vector
            assert classes[f.argmax(shorter)] != classes[key]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(30))
def test_patterns_of_several_heads(seed):
    rng = np.random.default_rng(1000 + seed)
    dim = int(rng.integers(2, 4))
    heads = [integer_head(rng, int(rng.integers(2, 5)), dim) for _ in range(2)]
    state = rng.integers(-4, 5, dim).tolist()
    cells = {tuple(p) for p in ta.enumerate_regions(heads).patterns.tolist()}
    for first in range(heads[0].n_terms):
        for second in range(heads[1].n_terms):
            keys = {0: first, 1: second}
            pattern = tuple(int(f.distinct[0][f.distinct[1][keys[h]]]) for h, f in enumerate(heads))
            rows = []
            for h, f in enumerate(heads):
                rows += reference.walls(*exact_rows(f), keys[h], state)
            if pattern not in cells:
                with pytest.raises(Degenerate, match="which none has: at every"):
                    steer(heads, state, keys)
                continue
            vector = reference.least(rows, dim)
            found = steer(heads, state, keys)
            assert found.squared == reference.inner(vector, vector)
            won = tuple(int(f.argmax(found.state)) for f in heads)
            assert won == pattern


def test_one_wall_in_closed_form():
    slopes, intercepts, state = [[0, 0, 0], [2, -1, 2]], [0, -7], [1.0, 1.0, 0.5]
    f = ta.TropicalPolynomial(slopes, intercepts)
    found = steer(f, state, {0: 1})
    gap = Fraction(7) - 2  # 2 - 1 + 1 = 2, seven are needed; the normal is 3 long
    assert found.squared == gap**2 / 9
    assert np.allclose(found.nearest, np.array(state) + float(gap) / 9 * np.array([2, -1, 2]))
    assert found.walls == ((0, 0),)
    (wall,) = nearest_walls(f, state)
    assert (wall.winner, wall.rival, wall.squared) == (0, 1, gap**2 / 9)


def test_a_wall_in_the_way_that_the_state_does_not_violate():
    # The key wins for y >= x and y <= x + 1 above the line; from far left the corner is nearest.
    f = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 4]], [0, 0, -4])
    state = [3.0, 0.0]
    found = steer(f, state, {0: 2})
    vector = reference.least(reference.walls(*exact_rows(f), 2, [3, 0]), 2)
    assert found.squared == reference.inner(vector, vector)


@pytest.mark.parametrize("seed", range(20))
def test_the_nearest_wall_is_the_least_distance_to_another_cell(seed):
    rng = np.random.default_rng(2000 + seed)
    f = integer_head(rng, 6, 3, reach=5)
    state = rng.integers(-3, 4, 3).tolist()
    (wall,) = nearest_walls(f, state)
    lengths = {}
    for key in ta.live_terms(f).live.tolist():
        if key != wall.winner:
            lengths[key] = steer(f, state, {0: key}).squared
    assert wall.squared == min(lengths.values())
    assert lengths[wall.rival] == wall.squared


def test_factors_are_not_multiplied_out_in_doubles():
    rng = np.random.default_rng(5)
    query = AffineMap(rng.standard_normal((12, 2)), rng.standard_normal(2))
    f = ta.TropicalPolynomial.factored(rng.standard_normal((7, 2)), scale=0.3, maps=(query,))
    state = rng.standard_normal(12)
    for key in ta.live_terms(f).live.tolist():
        found = steer(f, state, {0: int(key)})
        assert f.argmax(found.state) == key
        if found.squared:
            # The least vector lies in the two dimensions that the head sees.
            seen = np.linalg.lstsq(query.matrix, found.nearest - state, rcond=None)
            assert float(seen[1].sum()) < 1e-18


def test_equal_keys_count_as_one_and_a_state_inside_stays():
    f = ta.TropicalPolynomial([[0], [1], [1]])
    for key in (1, 2):
        found = steer(f, [-2.0], {0: key})
        assert found.squared == 4 and found.walls == ((0, 0),)
    found = steer(f, [3.0], {0: 1})
    assert found.squared == 0 and not found.vector.any() and found.lead == 3.0


def test_a_state_on_the_wall_is_taken_off_it():
    f = ta.TropicalPolynomial([[0, 0], [1, 0]])
    for state in ([0.0, 5.0], [0.0, 0.0]):
        found = steer(f, state, {0: 1})
        assert found.squared == 0 and f.argmax(found.state) == 1
        assert 0 < np.linalg.norm(found.vector) <= 0.01 * max(1.0, state[1])
    assert nearest_walls(f, [0.0, 5.0])[0].squared == 0


def test_exact_states_stay_exact():
    f = ta.TropicalPolynomial(
        np.array([[Fraction(0)], [Fraction(1, 3)]], dtype=object), [0, Fraction(-1, 7)]
    )
    found = steer(f, [Fraction(1, 5)], {0: 1})
    assert found.squared == (Fraction(3, 7) - Fraction(1, 5)) ** 2
    assert isinstance(found.state[0], Fraction)
    assert f.argmax(found.state.tolist()) == 1


def test_a_thin_cell_and_a_wider_margin():
    # The middle key wins between 1 and 1 + 2^-52: no double inside.
    thin = ta.TropicalPolynomial(
        np.array([[0], [1], [2]], dtype=object),
        np.array([0, -1, Fraction(-2) - Fraction(1, 2**54)], dtype=object),
    )
    assert ta.live_terms(thin).live.tolist() == [0, 1, 2]
    with pytest.raises(Inconclusive, match="no doubles that near"):
        steer(thin, [0.0], {0: 1})


@pytest.mark.parametrize("far", [1e10, 1e200, 1e305])
def test_far_walls_and_wide_margins(far):
    """Squares of lengths are no doubles here; a warning of overflow would fail."""
    f = ta.TropicalPolynomial([[0, 0], [3, 4]], [0, -far])
    for margin in (0.01, 100.0):
        found = steer(f, [0.0, 0.0], {0: 1}, margin=margin)
        length = math.hypot(*found.vector)
        assert found.distance == pytest.approx(far / 5, rel=1e-12)
        assert f.argmax(found.state) == 1 and length <= (1 + margin) * far / 5 * (1 + 1e-12)


def test_the_lead_grows_with_the_margin():
    f = ta.TropicalPolynomial([[0, 0], [1, 2], [2, 1]], [0, -3, -3])
    leads = [steer(f, [0.0, 0.0], {0: 1}, margin=m).lead for m in (0.001, 0.01, 0.1, 1.0)]
    assert leads == sorted(leads) and leads[0] > 0


def test_a_dead_key_names_its_combination():
    f = ta.TropicalPolynomial([[0], [1], [2]], [0, -2, 0])
    with pytest.raises(Degenerate) as caught:
        steer(f, [0.0], {0: 1})
    assert "0.5 of key 0 + 0.5 of key 2 scores at least as high" in str(caught.value)
    # On the very wall: never above, never alone.
    flat = ta.TropicalPolynomial([[0], [1], [2]])
    with pytest.raises(Degenerate, match=r"0.5 of key 0 \+ 0.5 of key 2"):
        steer(flat, [0.0], {0: 1})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "at least one head: key needed, got none"),
        (3, "at least one head: key needed, got int"),
        ({1: 0}, r"a head in 0\.\.0 needed, got 1"),
        ({0: 3}, r"a key in 0\.\.2 needed, got 3"),
        ({0: "a"}, r"a key in 0\.\.2 needed, got 'a'"),
        ({"a": 1}, r"a head in 0\.\.0 needed, got 'a'"),
    ],
)
def test_bad_keys_are_one_clear_error(keys, words):
    f = ta.TropicalPolynomial([[0], [1], [3]])
    with pytest.raises(InvalidInput, match=words):
        steer(f, [0.0], keys)


def test_other_bad_input():
    f = ta.TropicalPolynomial([[0], [1], [3]])
    with pytest.raises(InvalidInput, match="state: 1 coordinates needed, got 2"):
        steer(f, [0.0, 1.0], {0: 1})
    for margin in (0, -1, "a", float("inf"), True, 1e300):
        with pytest.raises(InvalidInput, match=r"margin: a positive number up to 1e.06 needed"):
            steer(f, [0.0], {0: 1}, margin=margin)
    with pytest.raises(InvalidInput, match="target: a TropicalPolynomial"):
        steer(3, [0.0], {0: 1})


def test_roots_of_any_size():
    assert root(Fraction(2)) == 2**0.5
    assert root(Fraction(1, 10**700)) == pytest.approx(0.0)
    assert root(Fraction(10) ** 600) == pytest.approx(1e300)
