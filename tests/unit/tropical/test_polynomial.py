from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest

from tropattn import BudgetExceeded, InvalidInput, TropicalPolynomial, temperature
from tropattn.tropical.terms import PRIME, AffineMap


@pytest.fixture(name="factored")
def _factored():
    rng = np.random.default_rng(0)
    maps = (
        AffineMap(rng.standard_normal((4, 3)), rng.standard_normal(3)),
        AffineMap(rng.standard_normal((3, 2)), rng.standard_normal(2)),
    )
    return TropicalPolynomial.factored(
        rng.standard_normal((5, 2)), rng.standard_normal(5), scale=0.3, maps=maps
    )


def test_value_of_factored_form_is_the_composition(factored):
    x = np.random.default_rng(1).standard_normal((7, 4))
    q = x
    for step in factored.maps:
        q = q @ step.matrix + step.offset
    expected = (0.3 * q @ factored.keys.T + factored.biases).max(axis=1)
    assert np.allclose(factored(x), expected, rtol=0, atol=1e-14)


def test_three_readings_agree(factored):
    near, bound = factored.float_terms()
    true = factored.exact_terms()
    modular = factored.modular_terms()
    for i in range(5):
        for k in range(5):
            exact = Fraction(int(true[i, k].p), int(true[i, k].q))
            assert abs(exact - Fraction(near[i, k])) <= Fraction(bound[i, k])
            residue = exact.numerator * pow(exact.denominator, -1, PRIME) % PRIME
            assert residue == modular[i, k]
    assert 0 < bound.max() < 1e-12


def test_direct_data_carry_no_error():
    f = TropicalPolynomial([[0.1, 2.0]], [0.3])
    assert not f.float_terms()[1].any()


@pytest.mark.parametrize("direct", [True, False])
def test_product_and_sum_of_functions(factored, direct):
    rng = np.random.default_rng(2)
    other = TropicalPolynomial(rng.standard_normal((3, 4)), rng.standard_normal(3))
    f = TropicalPolynomial(factored.slopes, factored.intercepts) if direct else factored
    x = rng.standard_normal((9, 4))
    assert np.allclose((f * other)(x), f(x) + other(x), rtol=0, atol=1e-12)
    assert np.allclose((f + other)(x), np.maximum(f(x), other(x)), rtol=0, atol=1e-12)
    assert (f * other).n_terms == 15
    assert (f + other).n_terms == 8


def test_product_keeps_what_doubles_would_lose():
    f = TropicalPolynomial([[1.0], [0.0]]) * TropicalPolynomial([[2.0**-60], [0.0]])
    exact = f.exact_terms()
    assert exact[0, 0] - 1 == exact[1, 0] - 1 + exact[2, 0]
    assert exact[0, 0] != 1


def test_pullback_composes(factored):
    matrix = np.random.default_rng(3).standard_normal((2, 4))
    y = np.array([0.2, -0.7])
    assert factored.pullback(matrix, np.ones(4))(y) == pytest.approx(factored(y @ matrix + 1.0))


def test_ties_are_exact_and_the_smallest_index_wins():
    third = Fraction(1, 3)
    f = TropicalPolynomial(np.array([[third], [3 * third], [third]], dtype=object))
    assert f.winners([[0], [1], [-1]])[0].tolist() == [0, 1, 2]
    assert f.argmax([[0], [1], [-1]]).tolist() == [0, 1, 0]
    assert f.gap([[0], [-1]]).tolist() == [0.0, pytest.approx(2 / 3)]
    near = TropicalPolynomial([[0.1], [0.2]], [0.2, 0.1])
    # 0.1 x + 0.2 = 0.2 x + 0.1 at x = 1 in reals; the given doubles decide otherwise or not.
    lead = Fraction(0.2) + Fraction(0.1) - (Fraction(0.1) + Fraction(0.2))
    assert near.argmax([1.0]) == (1 if lead > 0 else 0)


def test_equal_terms_are_merged_also_through_a_singular_map():
    f = TropicalPolynomial([[1.0, 0.0], [1.0, 5.0], [2.0, 0.0]])
    flat = f.pullback([[1.0, 0.0]])
    assert flat.distinct[0].tolist() == [0, 2]
    assert flat.distinct[1].tolist() == [0, 0, 1]
    assert flat.gap([3.0]) == 3.0
    assert TropicalPolynomial([[1.0], [1.0]]).gap([3.0]) == np.inf


def test_large_integers_stay_exact():
    f = TropicalPolynomial(np.array([[2**60 + 1], [2**60]]))
    assert f.distinct[0].tolist() == [0, 1]
    assert f.argmax([1]) == 0


def test_immutable_and_picklable(factored):
    with pytest.raises(AttributeError):
        factored.keys = None
    with pytest.raises(ValueError, match="read-only"):
        factored.keys[0, 0] = 1.0
    again = pickle.loads(pickle.dumps(factored))
    assert np.array_equal(again.slopes, factored.slopes)


@pytest.mark.parametrize(
    "slopes, intercepts, message",
    [
        (np.zeros((0, 2)), None, "a head without keys"),
        (np.zeros((2, 0)), None, "d >= 1"),
        ([1.0, 2.0], None, r"slopes: shape \(N, d\) needed"),
        ([[1.0], [np.nan]], None, r"finite numbers needed, got nan at index \(1, 0\)"),
        ([[1.0], [np.inf]], None, "mask drops keys"),
        ([[1.0, 2.0], [1.0]], None, "rectangular"),
        ([["a"]], None, "real numbers needed"),
        ([[1j]], None, "real numbers needed"),
        ([[1.0]], [1.0, 2.0], "one a term needed"),
        ([[Fraction(1), "x"]], None, "got 'x'"),
    ],
)
def test_bad_input(slopes, intercepts, message):
    with pytest.raises(InvalidInput, match=message):
        TropicalPolynomial(slopes, intercepts)


def test_bad_points_and_operands():
    f, g = TropicalPolynomial([[1.0]]), TropicalPolynomial([[1.0, 2.0]])
    with pytest.raises(InvalidInput, match="2 coordinates needed, got 1"):
        g([1.0])
    with pytest.raises(InvalidInput, match=r"R\^1 needed, got one on R\^2"):
        f * g
    with pytest.raises(InvalidInput, match=r"shapes \(k, 1\)"):
        f.pullback([[1.0, 2.0]])
    with pytest.raises(InvalidInput, match="scale: a positive finite number"):
        TropicalPolynomial.factored([[1.0]], scale=0)
    big = TropicalPolynomial(np.arange(4000.0)[:, None])
    with pytest.raises(BudgetExceeded, match=r"count_regions\(\[f, g\]\)"):
        big * big


def test_exact_polynomials_evaluate_exactly_on_exact_points():
    third = Fraction(1, 3)
    f = TropicalPolynomial([[third, 0], [0, 1]], [0, Fraction(1, 7)])
    for x in ([third, 2], np.array([third, 2], dtype=object)):
        assert f.scores(x).tolist() == [Fraction(1, 9), Fraction(15, 7)]
        assert f(x) == Fraction(15, 7) and type(f(x)) is Fraction
        assert f.gap(x) == Fraction(15, 7) - Fraction(1, 9) and type(f.gap(x)) is Fraction
    rows = np.array([[3, 1], [0, 0]])
    assert f(rows).tolist() == [Fraction(8, 7), Fraction(1, 7)]
    assert f.gap(rows).tolist() == [Fraction(1, 7), Fraction(1, 7)]
    assert type(f([3.0, 1.0])) is float and type(TropicalPolynomial([[1, 0]])([3, 1])) is float
    # Beyond the doubles, and through factors.
    big = 10**400
    assert TropicalPolynomial([[Fraction(1)], [Fraction(2)]])([big]) == 2 * big
    g = f.pullback([[Fraction(1, 5), 0], [0, 1]], [0, Fraction(1, 2)])
    assert g([5, 1]) == f([1, Fraction(3, 2)])
    assert temperature.value(f, [3, 1], 1.0) > 1 and temperature.gap(f, [3, 1]) == Fraction(1, 7)


def test_denominators_that_the_prime_divides_are_refused():
    f = TropicalPolynomial([[Fraction(1, 2**31 - 1)], [Fraction(0)]])
    with pytest.raises(InvalidInput, match="denominators"):
        f.active_terms()
