"""Points: draws and patterns as defined, nothing invented, the same for any split of the work."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from reference import families, sampler

from tropattn import (
    Box,
    InvalidInput,
    Polytope,
    Slice,
    TropicalPolynomial,
    count_regions,
    sample_regions,
)
from tropattn._kernels import draws
from tropattn.regions.sampling.estimates import chao1, merge_samples
from tropattn.regions.sampling.sampler import draw_sample


def drawn(law, seed, first, dim, lanes=32):
    """One block of draws as rows."""
    out = np.empty((dim, lanes))
    draws.draw(law, seed, first, 0, np.empty(lanes, np.uint64), out)
    return out.T


def test_uniform_draws_have_the_bits_of_the_definition():
    low, high = np.array([-1.0, 0.0, 2.5]), np.array([1.0, 3.0, 2.75])
    got = drawn(draws.Law(draws.UNIFORM, low, high, np.zeros((0, 3))), 7, 96, 3)
    assert got.tolist() == [sampler.uniform_point(7, i, low, high) for i in range(96, 128)]


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_normal_draws_follow_box_and_muller(dim):
    """Logarithm and circle are polynomials good to 2e-15, the radius is below 9."""
    zero = np.zeros(dim)
    got = drawn(draws.Law(draws.GAUSSIAN, zero, zero, np.zeros((0, dim))), 3, 32, dim)
    expected = [sampler.normal_point(3, i, dim) for i in range(32, 64)]
    assert np.abs(got - expected).max() < 1e-13


def test_sphere_and_ball():
    zero, none = np.zeros(3), np.zeros((0, 3))
    law = draws.Law(draws.SPHERE, zero, zero, none)
    points = np.vstack([drawn(law, 0, 32 * b, 3) for b in range(100)])
    assert np.abs(np.linalg.norm(points, axis=1) - 1).max() < 1e-15 * 4
    law = draws.Law(draws.BALL, zero, zero, none)
    inner = np.vstack([drawn(law, 0, 32 * b, 3) for b in range(100)])
    radii = np.linalg.norm(inner, axis=1)
    assert radii.max() < 1
    # r^3 is uniform: its mean over 3200 draws has standard deviation 0.0051; 5 of them.
    assert abs((radii**3).mean() - 0.5) < 0.026


@pytest.mark.long
@pytest.mark.parametrize("kind", ["integer", "float", "central", "low_rank", "duplicates"])
def test_patterns_of_the_plain_version(kind):
    """Same draws, same patterns, same number of times, ties left out."""
    rng = random.Random(5)
    for case in range(6):
        dim = rng.randint(1, 4)
        units = families.random_units(rng, dim, [rng.randint(1, 6) for _ in range(3)], kind)
        low, high = [-2.0] * dim, [2.0] * dim
        points = [sampler.uniform_point(case, i, low, high) for i in range(300)]
        expected = sampler.patterns(units, points)
        heads = [TropicalPolynomial(np.array(a, float), np.array(c, float)) for a, c in units]
        got = draw_sample(heads, 300, seed=case, domain=Box(low, high))
        assert sorted(got.counts.tolist()) == sorted(expected.values())
        assert got.discarded == 300 - sum(expected.values())


@pytest.fixture(name="layer")
def _layer():
    rng = np.random.default_rng(2)
    return [TropicalPolynomial(rng.standard_normal((9, 5)), rng.standard_normal(9)) for _ in "abc"]


def same(a, b):
    assert np.array_equal(a.hashes, b.hashes)
    assert np.array_equal(a.counts, b.counts)
    assert np.array_equal(a.firsts, b.firsts)
    assert a.stats() == b.stats()


@pytest.mark.parametrize(
    "method, size, cuts", [("points", 70_001, [1, 513, 40_000]), ("lines", 1500, [16, 480, 1024])]
)
def test_threads_and_splits_change_nothing(layer, method, size, cuts):
    options = {"seed": 11, "distribution": "gaussian", "method": method}
    whole = draw_sample(layer, size, threads=1, **options)
    for threads in (2, 4):
        same(whole, draw_sample(layer, size, threads=threads, **options))
    edges = [0, *cuts, size]
    parts = [draw_sample(layer, b - a, start=a, **options) for a, b in pairwise(edges)]
    same(whole, merge_samples(parts[::-1]))
    curve = whole.stats()["saturation"]
    assert curve[-1] == [size, len(whole)]
    assert all(a[1] <= b[1] for a, b in pairwise(curve))
    head = draw_sample(layer, 1024, **options)
    assert [1024, len(head)] in curve


def test_merging_asks_for_one_question_and_disjoint_draws(layer):
    one = draw_sample(layer, 1000, seed=0, distribution="gaussian")
    with pytest.raises(InvalidInput, match="disjoint draws needed, got draw 512 of seed 0 twice"):
        merge_samples([one, draw_sample(layer, 9, seed=0, start=512, distribution="gaussian")])
    with pytest.raises(InvalidInput, match="one target, domain, distribution and method"):
        merge_samples([one, draw_sample(layer[:2], 9, seed=1, distribution="gaussian")])
    with pytest.raises(InvalidInput, match="at least one needed"):
        merge_samples([])
    both = merge_samples([one, draw_sample(layer, 1000, seed=1, distribution="gaussian")])
    assert both.samples == both.counts.sum() == 2000
    assert both.stats()["saturation"] == []


def test_walls_within_rounding_never_make_a_cell():
    """States on a wall, and two terms that no double tells apart, give nothing; exact is 2."""
    on_wall = np.full((500, 2), 0.1)
    head = TropicalPolynomial([[1, 0], [0, 1]])
    result = sample_regions(head, 500, seed=0, distribution=on_wall)
    assert (result.value, result.stats["discarded"]) == (0, 500)
    close = np.array([[Fraction(1), 0], [1 + Fraction(1, 2**70), 0], [-5, 0]], dtype=object)
    assert sample_regions(TropicalPolynomial(close), 4000, seed=0, distribution="sphere").value == 1


def test_double_precision_takes_over_where_single_cannot_tell():
    """Slopes that agree to 2^-40 and points far away: counts as in rationals."""
    head = TropicalPolynomial([[1.0, 0.0], [1.0 + 2.0**-40, 0.0]])
    assert sample_regions(head, 2000, seed=0, distribution="gaussian").value == 2
    rng = np.random.default_rng(1)
    units = [(rng.integers(-3, 4, (5, 2)).tolist(), [0] * 5) for _ in "ab"]
    far = 1e9 + rng.standard_normal((400, 2))
    heads = [TropicalPolynomial(a, c) for a, c in units]
    expected = sampler.patterns(units, far.tolist())
    got = draw_sample(heads, 400, seed=0, distribution=far)
    assert sorted(got.counts.tolist()) == sorted(expected.values())


def test_extreme_states_are_decided_or_dropped():
    """Thrown away: 1e200, whose square overflows, and what rounding could put beyond the wall."""
    head = TropicalPolynomial([[1.0], [-1.0]])
    states = np.array([[1e-300], [1e30], [-1e100], [1e200], [0.0]])
    result = sample_regions(head, 5, seed=0, distribution=states)
    assert (result.value, result.stats["discarded"]) == (2, 3)


def test_domains_keep_what_is_inside(layer):
    triangle = Polytope([[1, 1], [-1, 0], [0, -1]], [1, 0, 0])
    head = TropicalPolynomial([[0.0, 0.0], [1.0, 0.0]], [0.0, -2.0])
    result = sample_regions(head, 4000, seed=0, domain=triangle)
    assert result.value == 1
    # Half of the bounding box: 4000 fair coins, 5 standard deviations.
    assert abs(result.stats["discarded"] - 2000) < 160
    plane = Slice(np.zeros(5), np.eye(5)[:2], ([-3, -3], [3, 3]))
    assert (
        sample_regions(layer, 20_000, seed=0, domain=plane).value
        <= count_regions(layer, plane).value
    )
    within = sample_regions(head, 1000, seed=0, domain=triangle, distribution="gaussian")
    assert within.value == 1 and 0 < within.stats["visits"] < 200


def test_statistics():
    head = TropicalPolynomial([[0.0], [1.0]])
    stats = sample_regions(head, 1000, seed=0, distribution="gaussian").stats
    assert stats["visits"] == 1000 and stats["warning"].startswith("saturated")
    assert sum(stats["largest_shares"]) == 1
    assert abs(stats["largest_shares"][0] - 0.5) < 0.08
    rng = np.random.default_rng(0)
    many = [TropicalPolynomial(rng.standard_normal((20, 8))) for _ in range(8)]
    stats = sample_regions(many, 1000, seed=0, distribution="gaussian").stats
    assert stats["warning"].startswith("hopeless")
    assert stats["chao1"]["kind"] == "estimate"
    assert stats["chao1"]["low"] <= stats["chao1"]["value"] <= stats["chao1"]["high"]


def test_chao_by_hand():
    """Distinct 5, once 2, twice 1, n = 10: 5 + 0.9 * 4 / 2; without doubletons 5 + 0.9 * 2 / 2."""
    assert chao1(5, 2, 1, 10)["value"] == pytest.approx(6.8)
    assert chao1(5, 2, 0, 10)["value"] == pytest.approx(5.9)
    full = chao1(5, 0, 3, 10)
    assert full["low"] == full["value"] == full["high"] == 5


def test_chao_finds_equal_cells():
    """100 equal cells, 150 draws, 22 unseen on average: 95 % intervals cover 100 in 40 of 50 runs.

    Of 50 covers at rate 0.95 fewer than 40 would be seven standard deviations off.
    """
    head = TropicalPolynomial([[2 * t] for t in range(100)], [-t * t for t in range(100)])
    covers = 0
    for seed in range(50):
        sample = draw_sample(head, 150, seed=seed, domain=Box([-0.5], [99.5]))
        found = chao1(len(sample), *(int((sample.counts == k).sum()) for k in (1, 2)), 150)
        covers += found["low"] < 100 < found["high"]
        assert len(sample) < 90
    assert covers >= 40


@pytest.mark.parametrize(
    "options, words",
    [
        ({"method": "planes"}, "method: 'points' or 'lines' needed"),
        ({"seed": -1}, "seed: an integer"),
        ({"n_samples": 0}, "n_samples: an integer >= 1"),
        ({"distribution": "cauchy"}, "distribution: 'gaussian', 'sphere', 'ball'"),
        ({"distribution": None}, "one of them needed, got neither"),
        ({"distribution": np.zeros((0, 5))}, "states of shape"),
        ({"method": "lines", "start": 8}, "start: a multiple of 16"),
    ],
)
def test_bad_arguments(layer, options, words):
    given = {"n_samples": 10, "seed": 0, "distribution": "gaussian", **options}
    with pytest.raises(InvalidInput, match=words):
        draw_sample(layer, given.pop("n_samples"), **given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": None}, "seed: an integer .* got None"),
        ({"seed": 1.5}, "seed: an integer .* got 1.5"),
        ({"n_samples": 1.5}, "n_samples: an integer >= 1 needed, got 1.5"),
        ({"domain": "box"}, "domain: a Box, .* got str"),
        ({"threads": "a"}, "threads: an integer .* got 'a'"),
    ],
)
def test_wrong_types_are_bad_input(arguments, message):
    given = {"n_samples": 10, "seed": 0, "distribution": "gaussian"} | arguments
    with pytest.raises(InvalidInput, match=message):
        sample_regions(TropicalPolynomial([[0], [1]]), **given)
