"""The second road: vertices of Minkowski sums against routing cells, brute force and gfan."""

from __future__ import annotations

import ast
import random
import shutil
import subprocess
from fractions import Fraction
from functools import reduce
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from reference import families, polytopes
from scipy.spatial import ConvexHull

import tropattn
from tropattn import (
    PowerDiagram,
    TropicalPolynomial,
    bounds,
    constructions,
    count_regions,
    enumerate_regions,
)
from tropattn.polyhedra.minkowski import minkowski_sum
from tropattn.tropical import interchange
from tropattn.tropical.geometry.points import term_points
from tropattn.tropical.geometry.regular import walked_subdivision
from tropattn.tropical.geometry.subdivision import mixed_subdivision, mixed_volume
from tropattn.tropical.refinement import Refinement

KINDS = ("integer", "float", "central", "central_shifted", "low_rank", "duplicates")


def lifted_sum(heads):
    return minkowski_sum([term_points(f, lifted=True) for f in heads], upper=True)


def slope_sum(heads):
    return minkowski_sum([term_points(f) for f in heads])


def random_case(seed):
    rng = random.Random(seed)
    dim = rng.randint(1, 5)
    sizes = [rng.randint(1, 5) for _ in range(rng.randint(1, 4))]
    return families.random_units(rng, dim, sizes, KINDS[seed % len(KINDS)])


def check(units, to_polynomial):
    """Affine: upper vertices are cells. Without intercepts: all vertices are. Euler on both."""
    heads = [to_polynomial(u) for u in units]
    upper = lifted_sum(heads)
    assert np.array_equal(upper.decomposition, enumerate_regions(heads, threads=1).patterns)
    upper.f_vector()
    bare = [TropicalPolynomial(f.slopes) for f in heads]
    whole = slope_sum(bare)
    assert np.array_equal(whole.decomposition, enumerate_regions(bare, threads=1).patterns)
    whole.f_vector()
    return upper.stats["programs"] + whole.stats["programs"]


LATER = [pytest.param(block, marks=pytest.mark.slow) for block in range(2, 5)]


@pytest.mark.parametrize("block", [0, 1, *LATER])
def test_vertices_are_cells(block, to_polynomial):
    """500 cases, 200 in each run, in up to five dimensions.

    Floats, ties, duplicates, centres, low rank.
    """
    programs = sum(
        check(random_case(seed), to_polynomial) for seed in range(100 * block, 100 * (block + 1))
    )
    assert programs > 1000


@pytest.mark.slow
def test_vertices_are_cells_many(to_polynomial):
    """5,000 further cases; ``pytest -m slow -k test_vertices_are_cells_many``."""
    for seed in range(1000, 6000):
        check(random_case(seed), to_polynomial)


@pytest.mark.parametrize("name, units, dim", families.degenerate_cases())
def test_degenerate_cases(name, units, dim, to_polynomial):
    check(units, to_polynomial)


@pytest.mark.parametrize("name, units, dim, expected", families.known_answers())
def test_known_answers(name, units, dim, expected, to_polynomial):
    found = lifted_sum([to_polynomial(u) for u in units])
    assert len(found) == expected
    found.f_vector()


@pytest.mark.long
@pytest.mark.parametrize("family, n", [(families.resonance, 5), (families.catalan, 5)])
def test_larger_families(family, n, to_polynomial):
    """11,292 and 5,040 cells of arrangements with walls meeting in every way."""
    units, _, expected = family(n)
    assert len(lifted_sum([to_polynomial(u) for u in units])) == expected


@pytest.mark.slow
def test_strips_with_many_cells():
    """51,935 cells and all their faces; ``pytest -m slow -k test_strips_with_many_cells``."""
    heads = constructions.parabola_strips([24] * 4, 3)
    found = lifted_sum(heads)
    assert len(found) == bounds.layer([24] * 4, 3).value == count_regions(heads).value
    assert sum((-1) ** k * c for k, c in enumerate(found.f_vector())) == 1


@pytest.mark.long
def test_walls_are_edges(to_polynomial):
    """The cells that share a wall, by the diagram of the product: a code that knows no edges."""
    tried = 0
    for seed in range(400):
        units = random_case(seed)
        sizes = [len(slopes) for slopes, _ in units]
        if not 4 <= np.prod(sizes) <= 20:
            continue
        heads = [to_polynomial(u) for u in units]
        walls = PowerDiagram.from_polynomial(reduce(lambda f, g: f * g, heads)).adjacency()
        found = lifted_sum(heads)
        terms = [int(np.ravel_multi_index(t, sizes)) for t in found.decomposition.tolist()]
        assert set(terms) == set(walls.nodes)
        edges = {frozenset((terms[u], terms[v])) for u, v in found.edges.tolist()}
        assert edges == {frozenset(e) for e in walls.edges}
        tried += 1
    assert tried > 60


def test_sums_by_brute_force():
    """All sums of points, all pairs of vertices, in rationals."""
    for seed in range(40):
        rng = random.Random(seed)
        d = rng.randint(1, 3)
        units = families.random_units(
            rng, d, [rng.randint(1, 4) for _ in range(2)], KINDS[seed % 6]
        )
        points = [slopes for slopes, _ in units]
        found = minkowski_sum(points)
        assert {tuple(t) for t in found.decomposition.tolist()} == polytopes.sum_vertices(points)
        corners = found.exact_vertices().tolist()
        pairs = [(i, j) for j in range(len(corners)) for i in range(j)]
        edges = {tuple(e) for e in found.edges.tolist()}
        assert edges == {(i, j) for i, j in pairs if polytopes.is_edge(corners, i, j)}


@pytest.mark.long
def test_volumes_by_brute_force():
    """Volumes of P, Q, P + Q and mixed volumes, in the plane and in space."""
    rng = random.Random(8)
    positive = 0
    for case in range(18):
        d = 2 + case % 2
        sets = [
            [[rng.randint(-3, 3) for _ in range(d)] for _ in range(rng.randint(2, 7 - 2 * d + 2))]
            for _ in range(d)
        ]
        solid = [[rng.randint(-3, 3) for _ in range(d)] for _ in range(7)]
        assert minkowski_sum([solid]).volume() == polytopes.volume(solid)
        assert minkowski_sum(sets[:2]).volume() == polytopes.sum_volume(sets[:2])
        assert mixed_volume(sets) == polytopes.mixed_volume(sets)
        positive += mixed_volume(sets) > 0
    assert positive > 8


def test_mixed_cells_tile_the_sum():
    """Volumes of the mixed cells add up to that of the sum; cells are the sum's upper facets."""
    rng = random.Random(4)
    for case in range(20):
        d = 2 + case % 2
        heads = [
            TropicalPolynomial(
                [[rng.randint(-2, 2) for _ in range(d)] for _ in range(4)],
                [rng.randint(-2, 2) for _ in range(4)],
            )
            for _ in range(2)
        ]
        mixed = mixed_subdivision(heads)
        total = minkowski_sum([f.slopes for f in heads]).volume()
        if mixed.dim == d:
            assert sum(mixed.volume(cell) for cell in mixed.cells) == total
        found = [f for f in lifted_sum(heads).facets() if f.normal[-1] > 0]
        points = {tuple(Fraction(v, f.normal[-1]) for v in f.normal[:-1]) for f in found}
        if mixed.dim == d:
            assert points == {cell.point for cell in mixed.cells}
        for cell in mixed.cells:
            for f, terms in zip(heads, cell.terms, strict=True):
                assert f.winners([list(cell.point)])[0].tolist() == list(terms)


@pytest.mark.long
def test_hypersurface_is_dual_to_the_diagram(to_polynomial):
    """Walls of the hypersurface are the pairs of adjacent cells."""
    for seed in range(120):
        rng = random.Random(seed)
        (unit,) = families.random_units(
            rng, rng.randint(1, 4), [rng.randint(1, 9)], KINDS[seed % 6]
        )
        f = to_polynomial(unit)
        surface = walked_subdivision(term_points(f, lifted=True)).hypersurface()
        graph = PowerDiagram.from_polynomial(f).adjacency()
        assert set(surface.walls) == {tuple(sorted(e)) for e in graph.edges}


# ---- known face numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(2, 7))
@pytest.mark.parametrize(
    "family, faces",
    [
        (families.permutohedron, polytopes.permutohedron_faces),
        (families.associahedron, polytopes.associahedron_faces),
        (families.cyclohedron, polytopes.cyclohedron_faces),
    ],
)
def test_f_vectors_by_closed_formula(n, family, faces):
    if family is families.cyclohedron and n < 3:
        assert faces(n) == (2,)
        return
    units, _, vertices = family(n)
    found = minkowski_sum([slopes for slopes, _ in units])
    assert found.f_vector() == faces(n)
    assert len(found) == vertices == faces(n)[0]
    assert len(found.edges) == (faces(n)[1] if n > 2 else 1)
    assert len(found.facets()) == faces(n)[-1]


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("gfan"), reason="gfan is not installed")
def test_f_vectors_by_gfan():
    """20 random integer sums: face numbers, rays and cones of the normal fan."""
    rng = random.Random(2)
    for case in range(20):
        d = 2 + case % 3
        sets = [
            [[rng.randint(0, 4) for _ in range(d)] for _ in range(rng.randint(2, 6))]
            for _ in range(rng.randint(1, 3))
        ]
        heads = [TropicalPolynomial(points) for points in sets]
        answer = subprocess.run(
            ["gfan", "_minkowskisum"],
            input=interchange.to_gfan(heads),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        theirs = interchange.gfan_f_vector(answer)
        found = minkowski_sum(sets)
        assert found.f_vector() == theirs[:0:-1]
        ours, fan = found.normal_fan(), interchange.from_gfan_fan(answer)
        if not len(ours.lineality):
            names = {tuple(ray): i for i, ray in enumerate(fan.rays.tolist())}
            cones = {tuple(sorted(names[tuple(ours.rays[r])] for r in c)) for c in ours.cones}
            assert cones == {tuple(sorted(c)) for c in fan.cones}


# ---- Figure 4 of arXiv 2604.14727 ---------------------------------------------------------------


def test_three_polytopes_with_six_vertices():
    """The claim "from 6 to 216 vertices": 216 candidates, at most 92 vertices (T7), attained."""
    heads = constructions.parabola_strips([6, 6, 6], 3, central=True)
    found = slope_sum(heads)
    assert [len(minkowski_sum([f.slopes])) for f in heads] == [6, 6, 6]
    assert len(found) == 92 == bounds.layer([6, 6, 6], 3, central=True).value
    assert found.f_vector() == (92, 174, 84)
    candidates = np.array([sum(t) for t in product(*(f.slopes for f in heads))])
    assert len(candidates) == 216
    # Qhull merges or splits coplanar facets, but names the same corners here.
    assert len(ConvexHull(candidates).vertices) == 92


@pytest.mark.long
def test_random_polytopes_stay_below_the_bound():
    """Never more than 92: 200 random triples of six points, and 100 shaken copies of the strips."""
    rng = np.random.default_rng(6)
    strips = [f.slopes for f in constructions.parabola_strips([6, 6, 6], 3, central=True)]
    free, shaken = [], []
    for case in range(200):
        points = rng.standard_normal((3, 6, 3))
        if case % 2:
            points /= np.linalg.norm(points, axis=2, keepdims=True)
        free.append(len(minkowski_sum(list(points))))
    for case in range(100):
        size = 10.0 ** -(case % 5)
        moved = [p + size * rng.standard_normal(p.shape) for p in strips]
        shaken.append(len(minkowski_sum(moved)))
    assert 40 < max(free) < max(shaken) == 92


# ---- independence -------------------------------------------------------------------------------

FORBIDDEN = (
    "tropattn.regions",
    "tropattn._kernels.search",
    "tropattn._kernels.cone",
    "tropattn._kernels.extreme",
    "tropattn.tropical.refinement",
    "tropattn.tropical.geometry.live_terms",
    "tropattn.polyhedra.cone",
    "tropattn.polyhedra.strict",
    "tropattn.polyhedra.extreme",
)


def _imported(module):
    """Modules of the package that one of its modules imports when it is loaded."""
    root = Path(tropattn.__file__).parent
    path = root.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tropattn"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                deeper = root.joinpath(*inner.split(".")[1:])
                found = deeper.with_suffix(".py").exists() or deeper.is_dir()
                names.add(inner if found else node.module)
    return names


def test_the_road_shares_no_code_with_the_engines():
    seen, fresh = set(), {"tropattn.polyhedra.minkowski", "tropattn.tropical.geometry.regular"}
    while fresh:
        seen |= fresh
        fresh = set().union(*(_imported(m) for m in fresh)) - seen
    assert "tropattn._kernels.rays" in seen
    assert not [m for m in seen if m.startswith(FORBIDDEN)]


def test_the_road_works_with_the_engines_disabled(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the engine was called")

    monkeypatch.setattr(Refinement, "of", refuse)
    heads = constructions.parabola_strips([3, 3, 3], 2)
    assert len(lifted_sum(heads)) == 19
    assert len(walked_subdivision(term_points(heads[0], lifted=True)).cells) == 2
