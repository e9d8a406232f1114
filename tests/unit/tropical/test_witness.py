"""Witnesses lie in their open cells: at the very doubles given, tested with ``tests/reference``."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from reference import brute

import tropattn as ta


def rows_of(box):
    """The walls of a box as rows ``(a, b)`` of ``reference.brute``."""
    out = []
    for k in range(box.dim):
        side = [int(i == k) for i in range(box.dim)]
        out += [(side, box.high[k]), ([-s for s in side], -box.low[k])]
    return out


def holds(units, pattern, point, box=None):
    """Whether the pattern's keys alone win at a point (up to equal keys) inside a box."""
    if box is not None and not brute._satisfies(
        [brute._integer_row(*row) for row in rows_of(box)], tuple(map(brute.exact, point))
    ):
        return False
    for unit, key in zip(units, pattern, strict=True):
        slopes, intercepts = unit
        equal = [
            j
            for j, (a, c) in enumerate(zip(slopes, intercepts, strict=True))
            if (list(a), c) == (list(slopes[key]), intercepts[key])
        ]
        if brute.evaluate(unit, point)[1] != equal:
            return False
    return True


def check(units, box=None):
    """Enumerate and test every witness; returns how many are inside, and of how many."""
    heads = [
        ta.TropicalPolynomial(np.array(a, dtype=object), np.array(c, dtype=object))
        for a, c in units
    ]
    found = ta.enumerate_regions(heads, box)
    assert set(map(tuple, found.patterns.tolist())) == set(
        brute.cells(units, () if box is None else rows_of(box))
    )
    for pattern, point, inside in zip(
        found.patterns.tolist(), found.witnesses.tolist(), found.inside.tolist(), strict=True
    ):
        assert holds(units, pattern, point, box) == inside, (units, box, pattern, point)
    for unit, head in zip(units, heads, strict=True):
        alive = ta.live_terms(head, box)
        for key, point, inside in zip(
            alive.live.tolist(), alive.witnesses.tolist(), alive.inside.tolist(), strict=True
        ):
            assert holds([unit], [key], point, box) == inside, (unit, box, key, point)
    return int(found.inside.sum()), len(found)


FLAT = ([[0, 0], [1, 1]], [0, -5])


@pytest.mark.parametrize("width", [1e-13, 1e-12, 1e-11])
def test_a_thin_window_is_not_left(width):
    """One cell, the window itself, at least 450 doubles wide; it was named by its corner."""
    low = np.array([1.0, 0.0])
    assert check([FLAT], ta.Box(low, low + width)) == (1, 1)


def test_integers_of_1e20():
    """Key 3 wins exactly on (-1, -1/3); the double next to -1/3 is won by key 1."""
    big = 10**20
    unit = ([[-2 * big], [2 * big + 1], [-big + 1], [-big]], [-big + 1, big - 1, -1, 1])
    assert check([unit], ta.Box([-2], [1])) == (3, 3)


def test_denormal_slopes():
    tiny = 5e-324
    unit = (
        [[tiny, tiny], [-tiny, -2 * tiny], [-2 * tiny, -2 * tiny], [tiny, 2 * tiny]],
        [0.0, -2.0, -tiny, 2 * tiny],
    )
    assert check([unit], ta.Box([-2, -2], [1, 0])) == (2, 2)


def test_a_centre_beyond_the_doubles():
    """Cells 0 and 2 ask for x - y > 2^1074 and x < -2^1074: no doubles; the origin is in cell 1."""
    f = ta.TropicalPolynomial([[5e-324, 0], [0, 5e-324], [0, 0]], [1.0, 2.0, 0])
    assert ta.count_regions(f).value == 3
    for found in (ta.enumerate_regions(f), ta.live_terms(f)):
        assert found.inside.tolist() == [False, True, False]
        assert np.isfinite(found.witnesses).all()
        assert f.winners(found.witnesses)[1].tolist() == [1]
    assert f.newton_polytope().indices.tolist() == [0, 1, 2]


def test_a_cell_between_two_doubles_has_none_inside():
    """Key 1 wins on (1/3, 1/3 + 1e-20), where no double lies."""
    third, thin = Fraction(1, 3), Fraction(1, 10**20)
    slopes = [[0], [1], [2]]
    unit = (slopes, [Fraction(0), -third, -2 * third - thin])
    assert check([unit]) == (2, 3)


def test_a_strip_askew_to_the_axes():
    """|3x - y| < 1e-20 holds where 3x is a double, which few doubles near (1/3, 1) show."""
    thin = Fraction(1, 10**20)
    unit = ([[0, 0], [3, -1], [-3, 1]], [0, -thin, -thin])
    assert check([unit], ta.Box([Fraction(1, 5), 0], [1, 2])) == (3, 3)


def test_slices_are_rounded_once_more():
    """On x = 1e8 + t / 3 the ambient doubles are 1.5e-8 apart, cells 1e-6 wide in t: all inside."""
    line = ta.Line([1e8, 1e8], [1 / 3, -1 / 3], -1e-4, 1e-4)
    f = ta.TropicalPolynomial(
        [[2 * j, 0] for j in range(5)], [-2e8 * j - 1e-6 * j * (j - 4) for j in range(5)]
    )
    found = ta.enumerate_regions(f, line)
    unit = (f.slopes.tolist(), f.intercepts.tolist())
    assert found.inside.all()
    for pattern, point in zip(found.patterns.tolist(), found.witnesses.tolist(), strict=True):
        assert holds([unit], pattern, point)
    far, thin = 10**8, Fraction(1, 10**9)
    thin = ta.enumerate_regions(
        ta.TropicalPolynomial([[0, 0], [1, 0], [2, 0]], np.array([0, -far, -2 * far - thin])),
        ta.Slice([1e8, 0], [[1, 0], [0, 1]], ([-1, -1], [1, 1])),
    )
    # Key 1 wins for t in (0, 1e-9), closer to 1e8 than the next double.
    assert thin.patterns.ravel().tolist() == [0, 1, 2]
    assert thin.inside.tolist() == [True, False, True]


def test_networks_and_lines():
    """Layer 2 sees 2^60 x + 1: its wall at -2^-60 and layer 1's at 0 leave a cell without width."""
    first = ta.FixedLayer([ta.TropicalPolynomial([[0], [1]])], [[[0], [0]]])
    second = ta.FixedLayer([ta.TropicalPolynomial([[0], [2**60]], [0, 1])], [[[0], [0]]])
    found = ta.enumerate_regions(ta.Network([first, second]))
    assert found.patterns.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert found.inside.all()
    middle = Fraction(found.witnesses[1, 0])
    assert -Fraction(1, 2**60) < middle < 0
    third = 1 / 3
    near = ta.TropicalPolynomial(
        np.array([[0], [1], [2]], dtype=object),
        np.array([0, -Fraction(1, 3), -Fraction(2, 3) - Fraction(1, 10**20)], dtype=object),
    )
    cells = ta.line_cells(near)
    assert cells.inside.tolist() == [True, False, True]
    assert cells.midpoints[1] == third
    split = ta.TropicalPolynomial([[0], [1], [2]], [0, -1.0, -2 - 2**-51])
    # Key 1 wins on (1, 1 + 2^-51), which holds the one double 1 + 2^-52.
    assert ta.line_cells(split).midpoints[1] == math.nextafter(1.0, 2.0)
    assert ta.line_cells(split).inside.all()


def hard_case(rng):
    """Heads and a window of one of six kinds that rounding is hard on."""
    d = int(rng.integers(1, 4))
    kind = int(rng.integers(6))
    n, heads = int(rng.integers(2, 5)), int(rng.integers(1, 3))
    a = rng.integers(-3, 4, (heads, n, d)).astype(object)
    c = rng.integers(-3, 4, (heads, n)).astype(object)
    box = None
    if kind == 0:  # thin windows near integers
        low = rng.integers(-3, 4, d).astype(float)
        box = ta.Box(low, low + 10.0 ** -rng.integers(9, 14))
    elif kind == 1:  # integers beyond doubles
        size = 10 ** int(rng.integers(18, 40))
        a, c = a * size + rng.integers(-1, 2, a.shape), c * size + rng.integers(-1, 2, c.shape)
        box = ta.Box.cube(-5, 5, d)
    elif kind == 2:  # denormal numbers
        a, c = a * 5e-324, c * 5e-324
        box = ta.Box.cube(-4, 4, d)
    elif kind == 3:  # one unit in the last place apart
        a = a + 2.0**-50 * rng.integers(-1, 2, a.shape).astype(object)
    elif kind == 4:  # a common centre far away
        far = [Fraction(int(v), 3) * 10 ** int(p) for v, p in rng.integers(0, 12, (d, 2))]
        c = -(a @ np.array(far, dtype=object))
    else:  # steep against flat
        a = a * np.array([Fraction(10) ** int(p) for p in rng.integers(-12, 13, d)], dtype=object)
    return [(u.tolist(), list(v)) for u, v in zip(a, c, strict=True)], box


def run_hard_cases(start, stop):
    inside = cells = 0
    for seed in range(start, stop):
        units, box = hard_case(np.random.default_rng(seed))
        some, all_of = check(units, box)
        inside, cells = inside + some, cells + all_of
    return inside, cells


def test_hard_cases():
    run_hard_cases(0, 40)


@pytest.mark.slow
def test_two_thousand_hard_cases():
    """``pytest -m slow -k two_thousand_hard_cases``: every witness in rationals."""
    inside, cells = run_hard_cases(0, 2000)
    assert inside > 0.98 * cells, (inside, cells)
