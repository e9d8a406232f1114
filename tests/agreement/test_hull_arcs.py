"""Plane counts whose diagrams are read from hulls, against the search and against cut polygons."""

from __future__ import annotations

import numpy as np
import pytest

from tropattn import Box, Polytope, Slice, TropicalPolynomial, count_regions
from tropattn.regions.budget import Budget
from tropattn.regions.euler import diagrams, plane, strata
from tropattn.regions.euler.hull_arcs import hull_arcs
from tropattn.tropical.refinement import Refinement

COUNTED = []


def layer(seed):
    """Heads in three columns, generic or with cocircular and repeated keys, and a domain."""
    rng = np.random.default_rng([18, seed])
    central = seed % 3 == 2
    dim = 3 if central else 2
    heads = []
    for size in rng.integers(4, 14, 1 + seed % 4):
        slopes = rng.standard_normal((size, dim))
        heights = np.zeros(size) if central else rng.standard_normal(size) * 0.5
        if seed % 5 == 1 and not central and not heads:
            slopes = rng.integers(0, 4, (size, dim)) * 1.0
            heights = -(slopes**2).sum(axis=1) / 2
        heads.append(TropicalPolynomial(slopes, heights))
    domain = None
    if seed % 2:
        domain = Box([-0.7] * dim, [0.9] * dim)
    if seed % 7 == 3:
        domain = Polytope(rng.standard_normal((dim + 3, dim)), np.full(dim + 3, 0.3))
    if seed % 11 == 5 and central:
        domain = Slice([0.2, 0.1, 0.3], rng.standard_normal((2, 3)))
    return heads, domain


@pytest.mark.parametrize("seed", range(60))
def test_counts_from_hulls_are_those_of_the_search(seed, monkeypatch):
    heads, domain = layer(seed)
    expected = count_regions(heads, domain, engine="enumeration", threads=1).value
    refinement = Refinement.ready(heads, domain)
    if refinement.rank != 3:
        # Keys on a line.
        COUNTED.append(0)
        return
    cut = plane.euler_count(refinement, Budget(threads=1))
    monkeypatch.setattr(diagrams, "_MANY", 2)
    read = plane.euler_count(refinement, Budget(threads=1))
    assert cut is None or cut[0] == expected
    assert read is None or read[0] == expected
    COUNTED.append(sum(hull_arcs(refinement, h) is not None for h in range(len(heads))))
    if seed == 59 and len(COUNTED) == 60:
        # Or else nothing was tried here.
        assert sum(some > 0 for some in COUNTED) > 40


def test_cocircular_keys_need_no_search_where_they_are_many():
    grid = np.array([[x, y] for x in range(12) for y in range(12)]) * 1.0
    head = TropicalPolynomial(grid, -(grid**2).sum(axis=1) / 2)
    other = TropicalPolynomial([[0.3, 0.1], [-0.2, 0.4], [0.1, -0.7]], [0.11, -0.23, 0.05])
    found = count_regions([head, other], threads=1)
    assert found.engine == "plane"
    assert found.value == count_regions([head, other], engine="enumeration", threads=1).value


def test_arcs_in_a_window_are_those_of_cut_polygons():
    rng = np.random.default_rng(5)
    sites = rng.standard_normal((150, 2))
    head = TropicalPolynomial(sites, -(sites**2).sum(axis=1) / 2)
    for domain in (None, Box([-1, -1], [0.5, 1.5]), Box([0.01, 0.01], [0.05, 0.06])):
        refinement = Refinement.ready([head], domain)
        arcs = hull_arcs(refinement, 0)
        columns = diagrams.HeadColumns(refinement)
        tiles = diagrams.start_polygons(refinement)
        old, diagrams._MANY = diagrams._MANY, 10**9
        try:
            (cut, live) = columns.diagrams(tiles, 1)[0]
        finally:
            diagrams._MANY = old
        pairs = {tuple(sorted(p)) for p in arcs[:, 8:10].astype(int).tolist()}
        assert pairs == {tuple(sorted(p)) for p in cut[:, 8:10].astype(int).tolist()}
        assert len(pairs) == len(arcs)
        assert set(np.flatnonzero(live)) == set(arcs[:, 8:10].astype(int).ravel().tolist())
        if domain is not None:
            assert named_from_below(arcs) == named_from_below(cut)


def named_from_below(arcs):
    """Left, right and both ends of each arc, gone along so that the smaller row is on its left."""
    names = arcs[:, 8:12].astype(int)
    back = names[:, 0] > names[:, 1]
    names[back] = names[back][:, [1, 0, 3, 2]]
    return set(map(tuple, names.tolist()))


def test_a_wall_through_a_vertex_and_a_window_without_arcs_are_left_to_others():
    grid = np.array([[x, y] for x in range(4) for y in range(4)]) * 1.0
    head = TropicalPolynomial(grid, -(grid**2).sum(axis=1) / 2)
    assert hull_arcs(Refinement.ready([head], Box([0, 0], [1.5, 3])), 0) is None
    assert hull_arcs(Refinement.ready([head], Box([0.1, 0.1], [0.2, 0.2])), 0) is None
    tilted = Polytope([[1, 0.1], [-1, 0.1], [0.1, 1], [0.1, -1]], [0.8, 0.1, 0.4, 0.1])
    assert len(hull_arcs(Refinement.ready([head], tilted), 0)) == 1


READ = []


def space(seed):
    """Heads in four columns, some with dead, cocircular or repeated keys, and a domain."""
    rng = np.random.default_rng([81, seed])
    central = seed % 3 == 2
    dim = 4 if central else 3
    heads = []
    for size in rng.integers(5, 12, 1 + seed % 3):
        slopes = rng.standard_normal((size, dim))
        heights = np.zeros(size) if central else rng.standard_normal(size) * 0.4
        if seed % 5 == 1 and not central and not heads:
            slopes = rng.integers(0, 3, (size, dim)) * 1.0
            heights = -(slopes**2).sum(axis=1) / 2
        heads.append(TropicalPolynomial(slopes, heights))
    domain = None
    if seed % 2 and not central:
        domain = Box([-0.7] * dim, [0.9] * dim)
    if seed % 7 == 3:
        # A cone, for central heads.
        sides = np.full(dim + 4, 0.0 if central else 0.3)
        domain = Polytope(rng.random((dim + 4, dim)) - 0.2, sides)
    return heads, domain


@pytest.mark.parametrize("seed", range(40))
def test_strata_from_hulls_count_as_the_search(seed, monkeypatch):
    heads, domain = space(seed)
    expected = count_regions(heads, domain, engine="enumeration", threads=1).value
    refinement = Refinement.ready(heads, domain)
    tried = strata.euler_count(refinement, Budget(threads=1))
    monkeypatch.setattr(strata, "_GROWN", 0)
    monkeypatch.setattr(strata, "_MANY", 2)
    monkeypatch.setattr(strata, "_live", None)
    try:
        read = strata.euler_count(refinement, Budget(threads=1))
    except TypeError:
        # A hull that is not simplicial, or not proved by doubles, leaves all pairs to be tried.
        READ.append(0)
        assert tried is None or seed % 5 == 1
        return
    assert tried is None or tried[0] == expected
    assert read is None or read[0] == expected
    if read is not None and tried is not None:
        assert read[1]["walls_tried"] <= tried[1]["walls_tried"]
    READ.append(read is not None)
    if seed == 39 and len(READ) == 40:
        assert sum(READ) > 25
