"""The enumeration engine against brute force in rationals: patterns, counts, witnesses."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from reference import brute, families

from tropattn import Box, Line, Polytope, Slice, count_regions, enumerate_regions, upper_bound

KINDS = ("integer", "float", "central", "central_shifted", "low_rank", "duplicates")


def random_case(seed):
    """Units, dimension, an optional box and the same box as rows of the reference."""
    rng = random.Random(seed)
    dim = rng.randint(1, 4)
    sizes = [rng.randint(1, 4) for _ in range(rng.randint(1, 5 if dim < 3 else 4))]
    units = families.random_units(rng, dim, sizes, KINDS[seed % len(KINDS)])
    if rng.random() < 0.6:
        return units, dim, None, ()
    low = [rng.randint(-3, 0) for _ in range(dim)]
    high = [v + rng.randint(1, 3) for v in low]
    rows = []
    for k in range(dim):
        axis = [int(i == k) for i in range(dim)]
        rows += [(axis, high[k]), ([-v for v in axis], -low[k])]
    return units, dim, Box(low, high), rows


def check(units, domain, rows, to_polynomial):
    """Patterns equal, count equal by every engine, witnesses inside their cells."""
    heads = [to_polynomial(u) for u in units]
    expected = brute.cells(units, rows)
    found = enumerate_regions(heads, domain, threads=1)
    assert {tuple(p) for p in found.patterns.tolist()} == set(expected)
    assert len(found) == len(expected)
    counted = count_regions(heads, domain, threads=1)
    assert counted.value == len(expected) <= upper_bound(heads, domain).value
    assert counted.kind == "exact"
    assert counted.ambiguous == 0
    for pattern, witness in zip(found.patterns.tolist(), found.witnesses.tolist(), strict=True):
        point = [Fraction(v) for v in witness]
        for unit, key in zip(units, pattern, strict=True):
            assert brute.merge(unit).keys() >= {key}
            winners = brute.evaluate(unit, point)[1]
            assert set(winners) == set(brute.merge(unit)[key])
        for a, b in rows:
            assert sum(Fraction(x) * y for x, y in zip(a, point, strict=True)) < b


LATER = [pytest.param(block, marks=pytest.mark.long) for block in range(4, 10)]


@pytest.mark.parametrize("block", [*range(4), *LATER])
def test_random_cases(block, to_polynomial):
    """60 cases each: floats and small integers, ties, duplicates, low rank, H > d, windows."""
    for seed in range(60 * block, 60 * (block + 1)):
        units, _, domain, rows = random_case(seed)
        check(units, domain, rows, to_polynomial)


@pytest.mark.slow
def test_many_random_cases(to_polynomial):
    """10,000 further cases; ``pytest -m slow -k test_many_random_cases``."""
    for seed in range(1000, 11000):
        units, _, domain, rows = random_case(seed)
        check(units, domain, rows, to_polynomial)


@pytest.mark.parametrize("name, units, dim", families.degenerate_cases())
def test_degenerate_cases(name, units, dim, to_polynomial):
    check(units, None, (), to_polynomial)


@pytest.mark.parametrize("name, units, dim, expected", families.known_answers())
def test_known_answers(name, units, dim, expected, to_polynomial):
    heads = [to_polynomial(u) for u in units]
    assert count_regions(heads, engine="enumeration").value == expected
    assert count_regions(heads).value == expected


LARGER = [
    (families.resonance, 5),
    (families.associahedron, 7),
    (families.permutohedron, 7),
    (families.cyclohedron, 6),
    (families.braid, 6),
    (families.shi, 5),
    (families.catalan, 5),
    (families.threshold, 4),
]


@pytest.mark.parametrize("family, n", LARGER)
def test_larger_known_answers(family, n, to_polynomial):
    """Families up to about 10,000 cells, beyond the reach of brute force."""
    units, _, expected = family(n)
    assert count_regions([to_polynomial(u) for u in units], engine="enumeration").value == expected


@pytest.mark.long
def test_polytope_line_and_slice_against_their_walls(to_polynomial):
    """A triangle, a segment and a plane slice against brute force on the pulled-back units."""
    rng = random.Random(3)
    for _ in range(40):
        units = families.random_units(rng, 3, [3, 3, 2], "integer")
        heads = [to_polynomial(u) for u in units]
        walls = [([1, 1, 1], 3), ([-1, 0, 0], 2), ([0, -1, 0], 1), ([0, 0, -1], 2)]
        triangle = Polytope([a for a, _ in walls], [b for _, b in walls])
        assert count_regions(heads, triangle).value == brute.count(units, walls)
        origin = [rng.randint(-2, 2) for _ in range(3)]
        basis = [[1, rng.randint(-2, 2), 0], [0, rng.randint(-2, 2), 1]]
        pulled = [_restrict(u, origin, basis) for u in units]
        box = [([1, 0], 2), ([-1, 0], 2), ([0, 1], 2), ([0, -1], 2)]
        window = Slice(origin, basis, Box([-2, -2], [2, 2]))
        assert count_regions(heads, window).value == brute.count(pulled, box)
        whole = Slice(origin, basis)
        assert count_regions(heads, whole).value == brute.count(pulled)
        segment = [_restrict(u, origin, basis[:1]) for u in units]
        line = Line(origin, basis[0], -1, 3)
        assert count_regions(heads, line).value == brute.count(segment, [([1], 3), ([-1], 1)])


def _restrict(unit, origin, basis):
    slopes, intercepts = unit
    new_slopes = [[sum(x * y for x, y in zip(s, b, strict=True)) for b in basis] for s in slopes]
    shifts = [sum(x * y for x, y in zip(s, origin, strict=True)) for s in slopes]
    return new_slopes, [c + v for c, v in zip(intercepts, shifts, strict=True)]
