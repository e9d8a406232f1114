"""Ranks, centres and reduced columns, against exact linear algebra of the reference."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from reference import brute, families

from tropattn import TropicalPolynomial, count_regions
from tropattn.arrays import fraction
from tropattn.tropical.columns import rank_of_rows
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.terms import PRIME, AffineMap


@pytest.mark.parametrize("kind", ["integer", "central", "central_shifted", "low_rank", "float"])
def test_rank_and_centre(kind, to_polynomial):
    rng = random.Random(kind)
    for _ in range(25):
        dim = rng.randint(1, 4)
        units = families.random_units(rng, dim, [rng.randint(1, 4) for _ in range(3)], kind)
        refinement = Refinement.of([to_polynomial(u) for u in units])
        rows = []
        for slopes, intercepts in units:
            for s, c in zip(slopes[1:], intercepts[1:], strict=True):
                row = [Fraction(a) - Fraction(b) for a, b in zip(s, slopes[0], strict=True)]
                rows.append([*row, Fraction(c) - Fraction(intercepts[0])])
        last = [Fraction(0)] * dim + [Fraction(1)]
        rank = brute.rank(rows) if rows else 0
        central = brute.rank([*rows, last]) > rank
        assert refinement.central == central
        assert refinement.rank == (rank if central else brute.rank([*rows, last]))
        if central and rows:
            centre = [fraction(v) for v in refinement.centre]
            for row in rows:
                assert sum(Fraction(a) * x for a, x in zip(row, [*centre, 1], strict=True)) == 0


def test_a_prime_that_misleads_is_overruled_by_rationals():
    """Columns that vanish modulo the prime but not over the rationals."""
    heads = [TropicalPolynomial(np.array([[0, 0], [1, 0], [0, PRIME]], dtype=object))]
    refinement = Refinement.of(heads)
    assert refinement.rank == 2
    assert rank_of_rows(np.array([[1, 0], [0, PRIME % PRIME]]), [0, 1]) == [0]


def test_low_rank_through_factors():
    rng = np.random.default_rng(5)
    maps = (AffineMap(rng.standard_normal((9, 2)), np.zeros(2)),)
    head = TropicalPolynomial.factored(rng.standard_normal((20, 2)), maps=maps)
    assert Refinement.of([head]).rank == 2
    assert Refinement.of([head]).central
    biased = TropicalPolynomial.factored(head.keys, rng.standard_normal(20), maps=maps)
    assert Refinement.of([biased]).rank == 3
    assert not Refinement.of([biased]).central


def test_errors_of_terms_survive_scaling():
    """An intercept of 1e-400 is 0 in doubles, with an error that scaling must not round to none."""
    tiny = Fraction(1, 10**400)
    rows = np.array([[2], [0], [1]], dtype=object)
    head = TropicalPolynomial(rows, np.array([Fraction(0), tiny, Fraction(0)], dtype=object))
    refinement = Refinement.of([head, head])
    assert (refinement.errors > 0).tolist() == [False, True, False] * 2


def test_numbers_that_span_all_doubles():
    """Keys 0 and 1 tie at y = -1/3 in the second head, in the first 10^-331 off it: a sliver.

    Key 2 is below the others everywhere, so there are 3 cells.
    """
    big, tiny = 1e20, 1e-310
    slopes = [[0, 6 * big], [0, tiny], [0, 4 * big]]
    heads = [
        TropicalPolynomial(slopes, [-big, -3 * big, -2 * big]),
        TropicalPolynomial([slopes[0], [0, 0.0], slopes[2]], [-big, -3 * big, -2 * big]),
    ]
    assert count_regions(heads).value == 3
    assert count_regions(heads, engine="enumeration").value == 3
