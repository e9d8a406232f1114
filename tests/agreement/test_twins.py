"""Heads that repeat each other, exactly or up to rounding: all engines against brute force.

A twin is ``factor * f(permuted) + affine`` with a positive factor: it has the cells of f. A near
twin differs from one by an ulp here and there: its cells are slivers that doubles do not resolve.
"""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from reference import brute, families

from tropattn import (
    Box,
    Line,
    Slice,
    TropicalPolynomial,
    count_regions,
    enumerate_regions,
    line_cells,
    plane_cells,
)
from tropattn.errors import Degenerate, InvalidInput
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.twins import twin_heads
from tropattn.verify import verify


def twin(rng, unit):
    """An exact twin of a unit, its keys permuted and one of them doubled; entries Fractions."""
    slopes, intercepts = unit
    factor = Fraction(rng.randint(1, 6), rng.randint(1, 4))
    shift = [Fraction(rng.randint(-3, 3), rng.randint(1, 3)) for _ in range(len(slopes[0]) + 1)]
    order = list(range(len(slopes)))
    rng.shuffle(order)
    order += rng.choices(order, k=rng.randint(0, 2))
    rows = [[factor * brute.exact(v) for v in (*slopes[j], intercepts[j])] for j in order]
    rows = [[v + s for v, s in zip(row, shift, strict=True)] for row in rows]
    return [row[:-1] for row in rows], [row[-1] for row in rows]


def near_twin(rng, unit):
    """A multiple of a unit in doubles, rounded, and moved by an ulp here and there."""
    slopes, intercepts = unit
    factor = rng.choice([1.0, 3.0, 3.7, 1 / 3])
    rows = factor * np.column_stack([np.array(slopes, float), np.array(intercepts, float)])
    for index in np.ndindex(*rows.shape):
        # Next to 0 lie numbers whose cells are beyond all doubles.
        if rows[index] != 0 and rng.random() < 0.4:
            rows[index] = np.nextafter(rows[index], rng.choice([-np.inf, np.inf]))
    return rows[:, :-1].tolist(), rows[:, -1].tolist()


def random_case(seed):
    """Units of which some repeat others, and a box with its rows, or the whole space."""
    rng = random.Random(seed)
    dim = rng.choice([1, 2, 2, 3])
    kind = ("integer", "float", "duplicates", "low_rank", "central")[seed % 5]
    sizes = [rng.randint(2, 4) for _ in range(rng.randint(1, 2))]
    units = families.random_units(rng, dim, sizes, kind)
    near = seed % 3 == 0
    for _ in range(rng.randint(1, 2)):
        units.insert(
            rng.randint(0, len(units)), (near_twin if near else twin)(rng, rng.choice(units))
        )
    if rng.random() < 0.5:
        return units, dim, None, (), near
    low = [rng.randint(-3, 0) for _ in range(dim)]
    high = [v + rng.randint(1, 3) for v in low]
    rows = []
    for k in range(dim):
        axis = [int(i == k) for i in range(dim)]
        rows += [(axis, high[k]), ([-v for v in axis], -low[k])]
    return units, dim, Box(low, high), rows, near


def check(seed, to_polynomial, tmp_path):
    """Counts and patterns of every engine; witnesses where doubles can hold them."""
    units, dim, domain, rows, near = random_case(seed)
    heads = [to_polynomial(u) for u in units]
    expected = brute.cells(units, rows)
    found = enumerate_regions(heads, domain, threads=1)
    assert len(found) == len(expected)
    assert {tuple(p) for p in found.patterns.tolist()} == set(expected)
    for engine in ("auto", "enumeration", "plane", "subsets", "direct_sum"):
        rank = Refinement.of(heads, domain).rank
        if engine in ("plane", "subsets") and rank != (3 if engine == "plane" else 4):
            continue
        if engine == "direct_sum" and domain is not None:
            continue
        try:
            counted = count_regions(heads, domain, engine=engine, threads=1)
        except Degenerate:
            continue
        except InvalidInput as error:
            assert engine == "direct_sum", error
            continue
        assert counted.value == len(expected), engine
    if dim == 1:
        assert sorted({tuple(p) for p in line_cells(heads, domain).patterns.tolist()}) == sorted(
            expected
        )
    if dim == 2 and domain is not None:
        drawn = plane_cells(heads, domain, threads=1)
        assert [tuple(p) for p in drawn.patterns.tolist()] == sorted(expected)
    if seed % 5 == 0:
        path = tmp_path / f"{seed}.cert"
        assert count_regions(heads, domain, certificate=path).value == len(expected)
        assert verify(path).count == len(expected)
    if near:
        return
    for pattern, witness in zip(found.patterns.tolist(), found.witnesses.tolist(), strict=True):
        point = [Fraction(v) for v in witness]
        for unit, key in zip(units, pattern, strict=True):
            assert brute.evaluate(unit, point)[1] == sorted(brute.merge(unit)[key])


@pytest.mark.long
@pytest.mark.parametrize("block", range(4))
def test_against_brute_force(block, to_polynomial, tmp_path):
    """200 cases."""
    for seed in range(50 * block, 50 * (block + 1)):
        check(seed, to_polynomial, tmp_path)


@pytest.mark.slow
def test_many_against_brute_force(to_polynomial, tmp_path):
    """1,500 further cases; ``pytest -m slow -k test_many_against_brute_force``."""
    for seed in range(1000, 2500):
        check(seed, to_polynomial, tmp_path)


def layer(rng, dim, sizes):
    return [TropicalPolynomial(rng.normal(size=(n, dim)), rng.normal(size=n)) for n in sizes]


def repeated(rng, head):
    """A twin of a head of doubles that no rounding spoils: a power of two, keys permuted."""
    order = rng.permutation(head.n_terms)
    factor = 2.0 ** rng.integers(-3, 4)
    return TropicalPolynomial(factor * head.slopes[order], factor * head.intercepts[order])


def same_count(seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        dim = int(rng.integers(1, 5))
        heads = layer(rng, dim, rng.integers(2, 7, size=rng.integers(1, 4)))
        more = [*heads, repeated(rng, heads[rng.integers(len(heads))])]
        domain = Box([-1] * dim, [1] * dim) if rng.random() < 0.5 else None
        assert count_regions(more, domain).value == count_regions(heads, domain).value
        # The enumeration of all heads, as a certificate or a network would do it, agrees.
        assert Refinement.of(more, domain).without_twins().copies


def test_a_twin_adds_no_cells():
    same_count(range(40))


@pytest.mark.slow
def test_a_twin_adds_no_cells_to_500_layers():
    same_count(range(1000, 1500))


def test_repeats_are_found():
    f = TropicalPolynomial([[0, 0], [1, 0], [0, 1], [1, 0]], [0, 1, 2, 1])
    # 3 f + (x + 2 y + 5) with the keys in the order 2, 0, 1.
    g = TropicalPolynomial([[1, 5], [1, 2], [4, 2]], [11, 5, 8])
    units = [f, g, f.pullback(-np.eye(2)), f.pullback(np.eye(2), [1, 0])]
    found = twin_heads(units, [u.distinct[0] for u in units])
    assert [h for h, _ in found] == [0, 0, 2, 3]
    assert found[1][1].tolist() == [1, 2, 0, -1]


def test_near_misses_are_no_twins():
    rng = np.random.default_rng(5)
    f = layer(rng, 3, [6])[0]
    rounded = TropicalPolynomial(3.7 * f.slopes, 3.7 * f.intercepts)
    moved = f.slopes.copy()
    moved[2, 1] = np.nextafter(moved[2, 1], 9)
    ulp = TropicalPolynomial(moved, f.intercepts)
    reflected = TropicalPolynomial(-f.slopes, -f.intercepts)
    fewer = TropicalPolynomial(f.slopes[:5], f.intercepts[:5])
    units = [f, rounded, ulp, reflected, fewer]
    found = twin_heads(units, [u.distinct[0] for u in units])
    assert [h for h, _ in found] == [0, 1, 2, 3, 4]


def test_twins_on_a_slice_only():
    """Heads that differ in y alone agree on the line y = 0 and on the plane y = 0."""
    f = TropicalPolynomial([[0, 0, 0], [1, 0, 0], [0, 0, 1]], [0, 0, 1])
    g = TropicalPolynomial([[0, 3, 0], [1, 1, 0], [0, 0, 1]], [0, 0, 1])
    plane = Slice([0, 0, 0], [[1, 0, 0], [0, 0, 1]], Box([-2, -2], [2, 2]))
    assert len(Refinement.of([f, g], plane).without_twins().units) == 1
    assert len(Refinement.of([f, g]).without_twins().units) == 2
    assert enumerate_regions([f, g], plane).patterns.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert plane_cells([f, g], plane).patterns.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert count_regions([f, g], Line([0, 0, 0], [1, 0, 0])).value == 2


@pytest.mark.parametrize("dim", [2, 3])
def test_a_rounded_copy_needs_no_rationals(dim):
    """Slivers of 1e-16 are decided at twice the precision of doubles."""
    rng = np.random.default_rng(dim)
    heads = layer(rng, dim, [8, 8])
    copy = TropicalPolynomial(3.7 * heads[0].slopes, 3.7 * heads[0].intercepts)
    counted = count_regions([*heads, copy], engine="enumeration")
    assert counted.stats["exact_decisions"] == 0
    units = [(h.slopes.tolist(), h.intercepts.tolist()) for h in (*heads, copy)]
    assert dim > 2 or counted.value == brute.count(units)
