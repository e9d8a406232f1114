"""Lines: breakpoints from the definition in rationals; slopes that doubles hardly tell apart."""

from fractions import Fraction

import numpy as np
import pytest

from tropattn import Box, Line, TropicalPolynomial, count_regions, line_cells

HUGE = np.finfo(float).max


def breakpoints(heads, low=None, high=None):
    """Where two terms of a head tie and lead all others, in rationals."""
    found = set()
    for terms in heads:
        distinct = list(dict.fromkeys(terms))
        for i, (a, c) in enumerate(distinct):
            for b, d in distinct[:i]:
                if a != b:
                    x = (c - d) / (b - a)
                    leads = all(a * x + c >= e * x + f for e, f in distinct)
                    if leads and (low is None or low < x < high):
                        found.add(x)
    return sorted(found)


def random_head(rng):
    """Terms of one head: integers far from 0, singles, mixed magnitudes, or Python integers."""
    n, kind = int(rng.integers(1, 6)), int(rng.integers(4))
    slopes, intercepts = rng.integers(-3, 4, n).astype(float), rng.integers(-3, 4, n).astype(float)
    if kind == 0:
        slopes += 2.0 ** rng.choice([0, 40, 51])
    elif kind == 1:
        slopes = rng.standard_normal(n).astype(np.float32).astype(float)
    elif kind == 2:
        slopes *= 10.0 ** rng.choice([-8, 8])
        intercepts *= 10.0 ** rng.choice([-8, 8])
    else:
        far = 10 ** int(rng.choice([0, 17, 30]))
        slopes = np.array([int(a) + far for a in slopes], object)
        intercepts = np.array([int(c) for c in intercepts], object)
    terms = [(Fraction(a), Fraction(c)) for a, c in zip(slopes, intercepts, strict=True)]
    return TropicalPolynomial(slopes[:, None], intercepts), terms


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_breakpoints_from_the_definition(part):
    for case in range(part, 1200, 4):
        rng = np.random.default_rng(case)
        heads, terms = zip(*(random_head(rng) for _ in range(rng.integers(1, 4))), strict=True)
        window = case % 2 == 0
        truth = breakpoints(terms, *((-2, 3) if window else ()))
        domain = Box([-2], [3]) if window else None
        cells = line_cells(heads, domain)
        assert count_regions(heads, domain).value == len(cells) == len(truth) + 1, case
        np.testing.assert_allclose(cells.breakpoints, [float(x) for x in truth], rtol=1e-9)
        assert (cells.lengths >= 0).all()


def test_slopes_equal_but_for_rounding():
    line = Line([0, 0], [1, 1])
    far = TropicalPolynomial([[2.0**53, 0], [2.0**53, 1]], [0, -2])
    near = TropicalPolynomial([[0, 0], [0, 1], [0, 2]], [0, -2, -6])
    assert line_cells([far, near], line).breakpoints.tolist() == [2, 4]
    assert count_regions([far, near], line).value == 3
    assert line_cells(far, Line([0, 0], [1, 1], 0, 3)).lengths.tolist() == [2, 1]
    small = TropicalPolynomial([[1, 0], [1, 1e-16]])
    assert line_cells(small, line).breakpoints.tolist() == [0]


def test_magnitudes_at_the_ends_of_doubles():
    tent = TropicalPolynomial([[1e308], [-1e308], [5e-324]], [1e308, 1e308, 0])
    assert line_cells(tent).breakpoints.tolist() == [0]
    beyond = TropicalPolynomial([[5e-324], [0]], [0, 1e308])  # they meet beyond all doubles
    assert line_cells(beyond).breakpoints.tolist() == [HUGE]
