"""Decisions that doubles leave open: thin cells, huge rationals, low-rank heads from factors."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from reference import brute, families

from tropattn import TropicalPolynomial, count_regions, enumerate_regions, live_terms
from tropattn.tropical.terms import AffineMap


def huge(rng):
    return Fraction(rng.randint(-(10**9), 10**9) or 1, rng.randint(1, 10**6))


def exact(rows):
    out = np.empty(np.shape(rows), dtype=object)
    for index in np.ndindex(out.shape):
        value = rows
        for i in index:
            value = value[i]
        out[index] = value
    return out


@pytest.mark.long
@pytest.mark.parametrize(
    "family, n",
    [
        (families.braid, 4),
        (families.resonance, 3),
        (families.shi, 3),
        (families.linial, 4),
        (families.associahedron, 5),
        (families.cyclohedron, 4),
    ],
)
def test_families_seen_through_a_random_rational_map(family, n):
    """An invertible rational change of variable keeps the count and takes integers away.

    Every dead key here is dead by an exact tie, so the decisions go to rationals; the centre of a
    central family moves away from 0.
    """
    units, dim, expected = family(n)
    rng = random.Random(n)
    matrix = [[huge(rng) for _ in range(dim)] for _ in range(dim)]
    offset = [huge(rng) for _ in range(dim)]
    heads = []
    for slopes, intercepts in units:
        f = abs(huge(rng))
        head = TropicalPolynomial(
            exact([[v * f for v in row] for row in slopes]), exact([v * f for v in intercepts])
        )
        heads.append(head.pullback(exact(matrix), exact(offset)))
    counted = count_regions(heads, engine="enumeration")
    assert counted.value == expected
    assert counted.stats["exact_decisions"] > 0
    assert len(enumerate_regions(heads)) == expected


@pytest.mark.parametrize("seed", range(40))
def test_keys_one_rounding_step_from_a_tie(seed):
    """Keys on a segment, moved by one unit in the last place: live or dead only in rationals."""
    rng = random.Random(seed)
    a, b = rng.gauss(0, 1), rng.gauss(0, 1)
    rows = [[a, b], [a + 2 * (1 - a), b + 2 * (1 - b)], [1.0, 1.0]]
    rows = [[float(v) for v in row] for row in rows]
    rows[2][rng.randint(0, 1)] *= 1 + rng.randint(-2, 2) * 2.0**-52
    third = [rng.gauss(0, 1), rng.gauss(0, 1)]
    units = [(rows, [0.0, 0.0, 0.0]), ([third, [0.0, 0.0]], [0.0, 0.0])]
    heads = [TropicalPolynomial(np.array(s), np.array(c)) for s, c in units]
    found = enumerate_regions(heads)
    assert {tuple(p) for p in found.patterns.tolist()} == set(brute.cells(units))


def test_low_rank_head_is_counted_in_its_factors():
    """D = 16, d_head = 2, 50 keys: rounded products have full rank and many more cells.

    The true count is the number of vertices of the keys' polygon, here found by an exact
    monotone chain that shares nothing with the engines.
    """
    rng = np.random.default_rng(0)
    w_q, keys = rng.standard_normal((16, 2)), rng.standard_normal((50, 2))
    head = TropicalPolynomial.factored(keys, maps=(AffineMap(w_q, np.zeros(2)),))
    true = count_regions(head, engine="enumeration")
    assert true.value == len(_polygon(keys)) == len(live_terms(head).live)
    assert true.stats["rank"] == 2
    rounded = count_regions(TropicalPolynomial(keys @ w_q.T), engine="enumeration")
    single = count_regions(
        TropicalPolynomial((keys @ w_q.T).astype(np.float32)), engine="enumeration"
    )
    assert rounded.stats["rank"] == 16
    assert rounded.value > 2 * true.value
    assert single.value > 2 * true.value


def _polygon(points):
    """Vertices of a convex polygon in rationals (Andrew 1979)."""
    rows = sorted([Fraction(x), Fraction(y)] for x, y in points.tolist())

    def half(ordered):
        chain = []
        for p in ordered:
            while len(chain) >= 2 and _turn(chain[-2], chain[-1], p) <= 0:
                chain.pop()
            chain.append(p)
        return chain[:-1]

    return half(rows) + half(rows[::-1])


def _turn(o, a, b):
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def test_keys_that_doubles_cannot_tell_apart():
    """Distinct rationals with equal doubles, and differences that underflow when squared."""
    third = Fraction(1, 3)
    tiny = Fraction(1, 10**40)
    rows = [[third, 0], [third + tiny, 0], [third, 1], [third - tiny, -1], [third, -tiny]]
    units = [(rows, [0] * 5), ([[0, 0], [1, third]], [0, tiny])]
    heads = [TropicalPolynomial(exact(s), exact(c)) for s, c in units]
    found = enumerate_regions(heads)
    assert {tuple(p) for p in found.patterns.tolist()} == set(brute.cells(units))
    floats = [[1.0, 0.0], [1.0, 1e-170], [1.0, -1e-170], [0.5, 0.0], [1.0, 3e-171]]
    head = TropicalPolynomial(floats)
    expected = brute.live((floats, [0.0] * 5))
    assert live_terms(head).live.tolist() == expected
    assert count_regions(head, engine="enumeration").value == len(expected)
