"""Fits, differences and polynomials of counts."""

from fractions import Fraction
from itertools import pairwise
from math import comb, factorial, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress

from tropattn.errors import InvalidInput
from tropattn.study.fits import differences, geometric_mean, polynomial, power_law, spread

INTEGERS = st.integers(-50, 50)


@given(st.lists(INTEGERS, min_size=1, max_size=5), st.sets(INTEGERS, min_size=8, max_size=10))
def test_every_polynomial_is_recognised(coefficients, places):
    x = sorted(places)
    y = [sum(c * v**k for k, c in enumerate(coefficients)) for v in x]
    degree = max((k for k, c in enumerate(coefficients) if c), default=0)
    found = polynomial(x, y)
    assert found is not None
    assert (found.degree, found.leading) == (degree, coefficients[degree])
    assert found.difference == factorial(degree) * coefficients[degree]
    assert found.spare == len(x) - 1 - degree


@given(
    st.lists(INTEGERS, min_size=4, max_size=4),
    st.sets(INTEGERS, min_size=6, max_size=8),
    st.integers(0, 5),
    st.integers(1, 9),
)
def test_one_wrong_value_is_noticed(coefficients, places, wrong, by):
    """With two points to spare no polynomial of degree 3 passes through a changed value."""
    x = sorted(places)
    y = [sum(c * v**k for k, c in enumerate(coefficients)) for v in x]
    y[wrong] += by
    found = polynomial(x, y)
    assert found is None or found.degree > 3


def test_exponential_growth_is_no_polynomial():
    assert polynomial(range(8), [2**n for n in range(8)]) is None


def test_points_that_only_determine_it_prove_nothing():
    assert polynomial([1, 2], [5, 7]) is None
    assert polynomial([1], [5]) is None
    assert polynomial([1, 2], [5, 5]).degree == 0


def test_rational_leading_coefficients():
    found = polynomial(range(5), [comb(n, 2) for n in range(5)])
    assert found.leading == Fraction(1, 2)
    assert found.difference == 1


def test_huge_values_stay_exact():
    x = range(1, 12)
    y = [n**9 * 10**400 + 1 for n in x]
    found = polynomial(x, y)
    assert (found.degree, found.leading) == (9, 10**400)
    assert polynomial(x, [*y[:-1], y[-1] + 1]) is None


@given(st.lists(INTEGERS, min_size=1, max_size=9))
def test_differences_by_the_binomial_formula(values):
    table = differences(values)
    for k, row in enumerate(table):
        assert row == [
            sum((-1) ** (k - j) * comb(k, j) * values[i + j] for j in range(k + 1))
            for i in range(len(values) - k)
        ]


@pytest.mark.parametrize("heads", [1, 2, 3, 5])
@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_the_sharp_bound_is_a_polynomial_with_the_known_difference(heads, dim):
    """T6 as a sum of products over sets of heads, written out."""

    def bound(n):
        return sum(comb(heads, j) * prod([n - 1] * j) for j in range(min(heads, dim) + 1))

    keys = range(1, min(heads, dim) + 3)
    found = polynomial(keys, [bound(n) for n in keys])
    k = min(heads, dim)
    assert (found.degree, found.difference) == (k, factorial(k) * comb(heads, k))
    assert differences([bound(n) for n in keys])[k] == [found.difference] * 2
    assert differences([bound(n) for n in keys])[k + 1] == [0]


@given(
    st.lists(st.integers(1, 10**6), min_size=3, max_size=9, unique=True),
    st.integers(0, 2**32 - 1),
)
def test_power_law_against_scipy(x, seed):
    y = np.random.default_rng(seed).integers(1, 10**9, len(x)).tolist()
    found = power_law(x, y)
    expected = linregress(np.log(x), np.log(y))
    assert found.exponent == pytest.approx(expected.slope, rel=1e-6, abs=1e-9)
    assert found.error == pytest.approx(expected.stderr, rel=1e-6, abs=1e-7)
    assert (found.low, found.high, found.points) == (min(x), max(x), len(x))


def test_power_law_beyond_doubles():
    x = [10, 100, 1000]
    assert power_law(x, [n**400 for n in x]).exponent == pytest.approx(400)


def test_power_law_without_residual():
    assert power_law([2, 4], [3, 12]).error is None
    assert power_law([2], [3]) is None
    assert power_law([2, 2], [3, 5]) is None


@pytest.mark.parametrize(("x", "y"), [([1, 2], [1]), ([0, 1], [1, 1]), ([1, 2], [0, 1])])
def test_power_law_needs_positive_pairs(x, y):
    with pytest.raises(InvalidInput, match="positive"):
        power_law(x, y)


def test_polynomial_needs_distinct_places():
    with pytest.raises(InvalidInput, match="distinct"):
        polynomial([1, 1, 2], [0, 0, 0])


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=9))
def test_geometric_mean_lies_between(values):
    found = geometric_mean(values)
    assert min(values) * (1 - 1e-12) <= found <= max(values) * (1 + 1e-12)
    assert found == pytest.approx(float(np.exp(np.mean(np.log(values)))))


def test_geometric_mean_needs_positive_numbers():
    for values in ([], [1, 0]):
        with pytest.raises(InvalidInput, match="positive"):
            geometric_mean(values)


def test_spread():
    found = spread([1.0, 2.0, 6.0])
    assert (found.mean, found.low, found.high, found.count) == (3.0, 1.0, 6.0, 3)
    assert found.deviation == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert spread([4.0]).deviation is None
    with pytest.raises(InvalidInput):
        spread([])


def test_consecutive_rows_of_differences_are_consistent():
    table = differences([3, 1, 4, 1, 5, 9])
    for above, below in pairwise(table):
        assert below == [b - a for a, b in pairwise(above)]
