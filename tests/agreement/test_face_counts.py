"""Faces counted by strata (theory T9) against faces that are built, definition, closed forms."""

from __future__ import annotations

from collections import Counter
from math import comb

import numpy as np
import pytest

import tropattn as ta
from tests.reference import cells as brute
from tests.reference import families
from tropattn.regions.euler import strata


def case(seed):
    """Gaussian heads, some of low rank, some central, on the whole space, a window or a cone."""
    rng = np.random.default_rng([31, seed])
    columns, central = 3 + seed % 2, seed % 3 == 2
    dim = columns if central else columns - 1
    heads = []
    for size in rng.integers(1, 5, rng.integers(1, 6 if columns < 4 else 4)):
        slopes = rng.standard_normal((size, dim))
        if size > 1 and rng.random() < 0.2:
            slopes = np.outer(slopes[:, 0], rng.standard_normal(dim))
        heads.append(ta.TropicalPolynomial(slopes, (not central) * rng.standard_normal(size)))
    domain = None
    if rng.random() < 0.5:
        domain = ta.Polytope(rng.standard_normal((dim + 2, dim)), np.ones(dim + 2))
        if rng.random() < 0.4:
            domain = ta.Polytope(rng.standard_normal((2, dim)), np.zeros(2))
        elif rng.random() < 0.5:
            domain = ta.Box([-1] * dim, [1] * dim)
    return heads, domain


def as_it_is_built(seeds):
    used = Counter()
    for seed in seeds:
        heads, domain = case(seed)
        counted, built = ta.count_faces(heads, domain), ta.face_complex(heads, domain)
        assert counted.faces == built.f_vector() and counted.domain == built.domain, seed
        assert counted.bounded in (None, built.bounded_f_vector()), seed
        used[counted.engine] += 1
        used["no bounded"] += counted.bounded is None
    return used


def test_numbers_are_those_of_the_faces_that_are_built():
    used = as_it_is_built(range(6))
    assert used["plane"] and used["subsets"] and used["no bounded"] < 4


@pytest.mark.long
def test_numbers_of_many_cases():
    used = as_it_is_built(range(6, 60))
    assert min(used["plane"], used["subsets"]) >= 12 and used["no bounded"] <= 12


@pytest.mark.parametrize("dim, seed", [(2, 0), (2, 1), (3, 3)])
def test_numbers_by_the_definition(dim, seed):
    rng = np.random.default_rng([32, seed])
    units = [
        (rng.integers(-99, 99, (3, dim)).tolist(), rng.integers(-99, 99, 3).tolist())
        for _ in range(2)
    ]
    found = ta.count_faces([ta.TropicalPolynomial(*unit) for unit in units])
    assert found.engine == ("plane" if dim == 2 else "subsets")
    counts = brute.refinement_faces(units)
    assert found.faces == tuple(counts.get(k, 0) for k in range(dim + 1))


@pytest.mark.parametrize("d", [2, 3])
def test_generic_arrangements_in_closed_form(d):
    n, rng = 40, np.random.default_rng(d)
    heads = [
        ta.TropicalPolynomial([[0] * d, rng.standard_normal(d)], [0, rng.standard_normal()])
        for _ in range(n)
    ]
    found = ta.count_faces(heads)
    assert found.engine == ("plane" if d == 2 else "subsets")
    for k in range(d + 1):
        # In each intersection of d - k hyperplanes the cells of the others, all or the bounded.
        flats, others = comb(n, d - k), n - d + k
        assert found.faces[k] == flats * sum(comb(others, i) for i in range(k + 1))
        assert found.bounded[k] == flats * comb(others - 1, k)


def test_spheres_without_vertices_of_single_heads():
    """Hyperplanes through 0: all edges on the sphere are circles of two heads."""
    rng = np.random.default_rng(4)
    for d, n in ((3, 7), (4, 6)):
        heads = [ta.TropicalPolynomial([[0] * d, rng.standard_normal(d)]) for _ in range(n)]
        found = ta.count_faces(heads)
        assert found.engine == ("plane" if d == 3 else "subsets")
        # A flat of dimension k is cut like R^k by the other hyperplanes.
        flats = [comb(n, d - k) * 2 for k in range(1, d + 1)]
        cells = [sum(comb(n - d + k - 1, i) for i in range(k)) for k in range(1, d + 1)]
        assert found.faces == (1, *(a * b for a, b in zip(flats, cells, strict=True)))
        assert found.bounded == (1, *[0] * d)


@pytest.mark.parametrize("family", [families.braid(4), families.shi(3), families.catalan(3)])
def test_what_is_not_in_general_position_is_enumerated(family):
    heads = [ta.TropicalPolynomial(*unit) for unit in family[0]]
    found = ta.count_faces(heads)
    assert found.engine == "enumeration"
    assert found.faces[-1] == family[2] and found.faces == ta.face_complex(heads).f_vector()


def test_each_way_not_to_be_in_general_position_is_noticed():
    """Walls that are parallel, or in one point, or through a vertex; four cells at one edge."""
    rng = np.random.default_rng(5)
    tripod = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    diagonal, upright = (ta.TropicalPolynomial([[0, 0], v]) for v in ([1, 1], [1, 0]))
    off = ta.TropicalPolynomial([[0, 0], [2, 0]], [0, 1])
    lines = [ta.TropicalPolynomial([[0, 0], v]) for v in rng.integers(-9, 9, (3, 2))]
    # A quadrant, its product with a line, and a wall across.
    prism = ta.TropicalPolynomial([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    across = ta.TropicalPolynomial([[0, 0, 0], [1, 2, 5]], [0, 1])
    other = ta.TropicalPolynomial([[0, 0, 0], [3, -2, 4]], [0, 2])
    for heads in (
        *([tripod, diagonal], [*lines, off], [tripod, upright, off], [upright, off, diagonal]),
        [prism, across, other],
    ):
        found = ta.count_faces(heads)
        assert found.engine == "enumeration"
        assert found.faces == ta.face_complex(heads).f_vector()


def test_directions_that_no_head_sees():
    rng = np.random.default_rng(6)
    basis = rng.integers(-3, 4, (2, 5))
    heads = [
        ta.TropicalPolynomial(rng.integers(-99, 99, (4, 2)) @ basis, rng.integers(-99, 99, 4))
        for _ in range(2)
    ]
    found, built = ta.count_faces(heads), ta.face_complex(heads)
    assert found.engine == "plane" and len(built.lineality) == 3
    assert found.faces == built.f_vector() and found.bounded == built.bounded_f_vector()


def test_windows_that_few_of_many_keys_reach_are_enumerated(monkeypatch):
    rng = np.random.default_rng(7)
    heads = [ta.TropicalPolynomial(rng.standard_normal((6, 3)), rng.standard_normal(6))]
    heads += [ta.TropicalPolynomial(rng.standard_normal((4, 3)), rng.standard_normal(4))]
    window = ta.Box([-1] * 3, [1] * 3)
    one = ta.count_faces(heads, window)
    monkeypatch.setattr(strata, "_WORK", 10)
    two = ta.count_faces(heads, window)
    assert (one.engine, two.engine) == ("subsets", "enumeration")
    assert (one.faces, one.bounded) == (two.faces, two.bounded)
    assert ta.count_faces(heads).engine == "subsets"


def test_networks_are_built():
    jump = ta.FixedLayer([ta.TropicalPolynomial([[0, 0], [1, 0]])], [[[0, 0], [0, 5]]])
    cut = ta.FixedLayer([ta.TropicalPolynomial([[0, 0], [0, 1]])], [[[0, 0], [0, 0]]])
    found = ta.count_faces(ta.Network([jump, cut]))
    assert (found.faces, found.bounded, found.engine) == ((2, 5, 4), (2, 1, 0), "enumeration")
