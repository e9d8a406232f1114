"""Diagrams of one head, proved from a proposal, against the definitions in rationals."""

import shutil
import subprocess
from collections import Counter
from fractions import Fraction
from itertools import product
from math import factorial

import numpy as np
import pytest
from reference import polytopes
from reference.slow_subdivision import slow_subdivision

from tropattn import enumerate_regions
from tropattn.arrays import fraction, fraction_array, rational_matrix
from tropattn.polyhedra._qhull import proposed_hull
from tropattn.polyhedra.hull import proved as proved_hull
from tropattn.polyhedra.minkowski import minkowski_sum
from tropattn.tropical import interchange
from tropattn.tropical.geometry import newton
from tropattn.tropical.geometry.diagram import head_diagram
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.geometry.points import term_points
from tropattn.tropical.geometry.regular import walked_subdivision
from tropattn.tropical.geometry.subdivision import subdivision
from tropattn.tropical.polynomial import PowerDiagram, TropicalPolynomial
from tropattn.tropical.terms import AffineMap

KINDS = (
    "gaussian", "small", "paraboloid", "repeated", "flat", "thirds", "ulps", "tenths", "huge",
    "wide", "central", "factored", "circle", "folded",
)  # fmt: skip


def polynomial_of(kind: str, seed: int) -> TropicalPolynomial:
    """A small polynomial of that kind of degeneracy."""
    rng = np.random.Generator(np.random.Philox([seed, KINDS.index(kind)]))
    d = int(rng.integers(1, 5))
    n = int(rng.integers(d + 1, (11, 10, 10, 9, 8)[d] + 1))
    whole = rng.integers(0, 3, (n, d)).astype(float)
    if kind == "gaussian":
        return TropicalPolynomial(rng.standard_normal((n, d)), rng.standard_normal(n))
    if kind == "small":
        return TropicalPolynomial(whole, rng.integers(0, 2, n).astype(float))
    if kind == "paraboloid":
        return TropicalPolynomial(whole, -(whole**2).sum(axis=1))
    if kind == "repeated":
        chosen = rng.integers(0, max(2, n // 2), n)
        return TropicalPolynomial(
            rng.standard_normal((n, d))[chosen], rng.integers(0, 2, n).astype(float)
        )
    if kind == "flat":
        rank = int(rng.integers(1, d + 1))
        flat = rng.integers(-2, 3, (n, rank)) @ rng.integers(-2, 3, (rank, d))
        return TropicalPolynomial(flat, rng.integers(-2, 2, n).astype(float))
    if kind == "thirds":
        third = np.array([[Fraction(int(v), 3) for v in row] for row in whole], dtype=object)
        return TropicalPolynomial(third, -(third**2).sum(axis=1))
    if kind == "ulps":
        heights = -(whole**2).sum(axis=1) + 9.0
        toward = np.where(rng.random(n) < 0.5, np.inf, -np.inf)
        some = rng.random(n) < 0.5
        return TropicalPolynomial(whole, np.where(some, np.nextafter(heights, toward), heights))
    if kind == "tenths":
        tenth = whole * 0.1 + 0.3
        return TropicalPolynomial(tenth, -(tenth**2).sum(axis=1))
    if kind == "huge":
        power = 10.0 ** int(rng.choice([-300, -200, 200, 300]))
        return TropicalPolynomial(whole * power, rng.standard_normal(n) * power)
    if kind == "wide":
        powers = 10.0 ** rng.integers(-300, 300, n)
        return TropicalPolynomial(rng.standard_normal((n, d)) * powers[:, None], powers[::-1])
    if kind == "central":
        centre = rng.integers(-2, 3, d).astype(float)
        return TropicalPolynomial(whole, 2.0 - whole @ centre)
    if kind == "factored":
        rank = int(rng.integers(1, d + 1))
        keys = rng.standard_normal((n, rank)) if seed % 2 else rng.integers(0, 3, (n, rank))
        step = AffineMap(rng.standard_normal((d, rank)), rng.standard_normal(rank))
        biases = rng.integers(0, 2, n).astype(float)
        return TropicalPolynomial.factored(keys, biases, scale=0.3, maps=(step,))
    if kind == "circle":
        ring = [(x, y) for x, y in product(range(-5, 6), repeat=2) if x * x + y * y == 25]
        chosen = np.array(ring, float)[rng.permutation(len(ring))[:8]]
        return TropicalPolynomial(np.vstack([chosen, [[0.0, 0.0]]]), np.append(np.zeros(8), 7.0))
    folded = np.abs(whole - 1.0)
    return TropicalPolynomial(whole, -folded[:, : max(1, d - 1)].sum(axis=1))


def volume(points: list[list[Fraction]]) -> Fraction:
    """The volume of a hull of points that span, none of it by the hulls under test."""
    dim = len(points[0])
    if len(points) == dim + 1:
        apart = [[a - b for a, b in zip(p, points[0], strict=True)] for p in points[1:]]
        return abs(fraction(rational_matrix(np.array(apart, dtype=object)).det())) / factorial(dim)
    if dim == 1:
        return max(points)[0] - min(points)[0]
    if dim < 4:
        return polytopes.volume(points)
    return minkowski_sum([np.array(points, dtype=object)]).volume()


def parts_and_whole(found, slopes: list[list[Fraction]]) -> tuple[Fraction, Fraction]:
    """The volumes of all cells, added up, and of the hull of the slopes, in its own columns."""
    if not found.dim:
        return Fraction(0), Fraction(0)
    points = [[row[c] for c in found.columns.tolist()] for row in slopes]
    distinct = sorted(map(list, {tuple(p) for p in points}))
    cells = [sorted(map(list, {tuple(points[j]) for j in cell})) for cell in found.cells]
    return sum(map(volume, cells), Fraction(0)), volume(distinct)


def differences(f: TropicalPolynomial) -> tuple[list[str], object]:
    """What of the diagram is not as defined, and the diagram."""
    rows = fraction_array(f.exact_terms())
    cells, live, walls = slow_subdivision(rows[:, :-1].tolist(), rows[:, -1].tolist())
    found = head_diagram(f)
    wrong = []
    if sorted(found.cells) != cells:
        wrong.append("cells")
    if found.live.tolist() != live:
        wrong.append("live")
    if [tuple(pair) for pair in found.walls.tolist()] != walls:
        wrong.append("walls")
    faces = found.f_vector()
    if sum((-1) ** i * v for i, v in enumerate(faces)) != 1:
        wrong.append("Euler")
    if len(faces) != found.dim + 1 or faces[0] != len(live) or faces[-1] != len(cells):
        wrong.append("f_vector")
    parts, whole = parts_and_whole(found, rows[:, :-1].tolist())
    if parts != whole:
        wrong.append("volume")
    for cell, x in zip(found.cells, found.vertices.tolist(), strict=True):
        scores = [sum(a * b for a, b in zip(r, [*x, 1], strict=True)) for r in rows.tolist()]
        best = max(scores)
        if tuple(j for j, s in enumerate(scores) if s == best) != cell:
            wrong.append("vertices")
    return wrong, found


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_diagrams_are_as_defined(kind):
    for seed in range(8):
        wrong, _ = differences(polynomial_of(kind, seed))
        assert not wrong, f"{kind} {seed}: {wrong}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_five_thousand_diagrams_are_as_defined(kind):
    counts: Counter = Counter()
    for seed in range(8, 368):
        wrong, found = differences(polynomial_of(kind, seed))
        assert not wrong, f"{kind} {seed}: {wrong}"
        counts["cases"] += 1
        if found.found is not None:
            counts["hulls"] += 1
            counts["inserted"] += found.found.inserted
            counts["rationals"] += found.found.rows.count > 0
            counts["signs in rationals"] += found.found.rows.count
    print(f"\n{kind}: {dict(counts)}", end="")  # noqa: T201


@pytest.mark.long
@pytest.mark.parametrize("wrong", ["nothing", "fewer", "shuffled"])
def test_bad_proposals_are_repaired(monkeypatch, wrong):
    def propose(points):
        found = proposed_hull(points)
        if wrong == "nothing" or found is None:
            return None
        if wrong == "fewer":
            return proposed_hull(points[: max(points.shape[1] + 2, len(points) - 2)])
        simplices, neighbours, normals = found
        simplices = simplices.copy()
        simplices[0, 0] = simplices[-1, -1]
        return simplices, neighbours, normals

    monkeypatch.setattr(proved_hull, "proposed_hull", propose)
    for kind in KINDS:
        for seed in range(3):
            missing, _ = differences(polynomial_of(kind, seed))
            assert not missing, f"{kind} {seed}: {missing}"


def test_a_grid_of_cubes():
    grid = np.array(list(product(range(4), repeat=3)), dtype=float)
    found = head_diagram(TropicalPolynomial(grid, -(grid**2).sum(axis=1)))
    assert found.f_vector() == (64, 144, 108, 27)
    assert {len(cell) for cell in found.cells} == {8}
    assert not found.found.inserted
    moved = found.vertices[:, :].astype(float)
    assert sorted(map(tuple, moved.tolist())) == sorted(product((1.0, 3.0, 5.0), repeat=3))


def larger(seed: int) -> TropicalPolynomial:
    """Tens of terms with many ties, in two or three dimensions."""
    rng = np.random.Generator(np.random.Philox([18, seed]))
    d, n = (2, 50) if seed % 2 else (3, 30)
    slopes = rng.integers(0, 5, (n, d)).astype(float)
    heights = (-(slopes**2).sum(axis=1), -np.abs(slopes - 2).max(axis=1), np.zeros(n))[seed % 3]
    down = rng.integers(0, 2, n) if seed % 5 else np.zeros(n)
    scale = (1.0, 0.1, 1e-200)[seed % 4 % 3]
    return TropicalPolynomial(slopes * scale, (heights - down) * scale)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_diagrams_agree_with_the_road_of_minkowski_sums(seed):
    f = larger(seed)
    found, other = head_diagram(f), walked_subdivision(term_points(f, lifted=True))
    assert sorted(found.cells) == sorted(other.cells)
    assert found.f_vector() == other.f_vector()
    assert [found.faces(k) for k in range(f.dim)] == [other.faces(k) for k in range(f.dim)]
    assert subdivision(f).dual_graph().edges == other.dual_graph().edges
    graph = PowerDiagram.from_polynomial(f).adjacency()
    assert set(graph.nodes) == set(found.live.tolist())
    assert {tuple(sorted(edge)) for edge in graph.edges} == set(map(tuple, found.walls.tolist()))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_newton_polytopes_read_the_diagram(kind, monkeypatch):
    monkeypatch.setattr(newton, "_FEW", 0)
    for seed in range(3):
        f = polynomial_of(kind, seed)
        polytope = f.newton_polytope(lifted=True)
        lower = TropicalPolynomial(polytope.points[:, :-1], -polytope.points[:, -1])
        down = lower.newton_polytope(lifted=True)
        points = TropicalPolynomial(polytope.points)
        assert polytope.upper.tolist() == live_terms(f).live.tolist()
        assert down.upper.tolist() == live_terms(lower).live.tolist()
        assert polytope.indices.tolist() == live_terms(points).live.tolist()
        assert polytope.indices.tolist() == down.indices.tolist()
        assert {*polytope.upper.tolist(), *down.upper.tolist()} <= {*polytope.indices.tolist()}


@pytest.mark.long
def test_midpoints_in_nine_dimensions():
    # Qhull names 33 corners here: one of the two midpoints.
    rng = np.random.Generator(np.random.PCG64(7))
    points = rng.integers(-9, 10, (32, 9)).astype(float)
    points = np.vstack([points, (points[0] + points[1]) / 2, (points[2] + points[3]) / 2])
    found = head_diagram(TropicalPolynomial(points))
    assert found.live.tolist() == list(range(32))
    assert live_terms(TropicalPolynomial(points)).live.tolist() == list(range(32))


@pytest.mark.parametrize(("n", "cells"), [(2, 6), (3, 32), (4, 370)])
def test_resonance_arrangements(n, cells):
    sums = {(0,) * n}
    for normal in product((0, 1), repeat=n):
        sums |= {tuple(a + b for a, b in zip(x, normal, strict=True)) for x in sums}
    found = head_diagram(TropicalPolynomial(np.array(sorted(sums), dtype=float)))
    assert len(found.live) == cells
    assert sum((-1) ** i * v for i, v in enumerate(found.f_vector())) == 1


def test_points_that_a_proposal_leaves_out_are_added(monkeypatch):
    left_out = np.array([3, 50, 77])

    def propose(points):
        kept = np.setdiff1d(np.arange(len(points)), left_out)
        made = proposed_hull(points[kept])
        return made and (kept[made[0]], *made[1:])

    rng = np.random.Generator(np.random.Philox(4))
    sites = rng.standard_normal((100, 3))
    for heights in (-(sites**2).sum(axis=1), np.zeros(100)):
        f = TropicalPolynomial(np.round(8 * sites), np.round(8 * heights))
        true = head_diagram(f)
        with monkeypatch.context() as patch:
            patch.setattr(proved_hull, "proposed_hull", propose)
            patch.setattr(proved_hull, "inserted_hull", None)
            found = head_diagram(f)
        assert found.live.tolist() == true.live.tolist()
        assert found.walls.tolist() == true.walls.tolist()
        assert sorted(found.cells) == sorted(true.cells)


@pytest.mark.slow
def test_the_resonance_arrangement_where_qhull_is_wrong():
    # The sum of the segments from 0 to all non-zero 0/1 vectors of R^5 has 11,292 vertices.
    segments = [[(0,) * 5, normal] for normal in product((0, 1), repeat=5) if any(normal)]
    heads = [TropicalPolynomial(np.array(pair, dtype=float)) for pair in segments[:-1]]
    patterns = enumerate_regions(heads).patterns
    points = sum(f.slopes[patterns[:, h]] for h, f in enumerate(heads))
    points = np.unique(np.vstack([points, points + 1]), axis=0)
    found = head_diagram(TropicalPolynomial(points), facets=10**10)
    assert len(found.live) == 11_292


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("polymake"), reason="polymake is not installed")
def test_subdivisions_by_polymake(tmp_path):
    lines, mine = ['use application "polytope";'], []
    for seed in range(40):
        rng = np.random.default_rng([9, seed])
        d, n = 1 + seed % 4, 6 + seed % 9
        slopes = rng.integers(0, 4, (n, d))
        slopes = np.unique(np.vstack([slopes, np.zeros((1, d), int), np.eye(d, dtype=int)]), axis=0)
        heights = rng.integers(0, 2 + seed % 3, len(slopes)) - (slopes**2).sum(axis=1)
        mine.append(sorted(subdivision(TropicalPolynomial(slopes, heights)).cells))
        rows = [[1, *row] for row in slopes.tolist()]
        lines.append(
            f"print join(';', map {{ join(' ', @$_) }} @{{regular_subdivision("
            f'new Matrix<Rational>({rows}), new Vector<Rational>({(-heights).tolist()}))}}), "\\n";'
        )
    script = tmp_path / "subdivisions.pl"
    script.write_text("\n".join(lines), encoding="utf-8")
    told = subprocess.run(
        ["polymake", "--script", str(script)], capture_output=True, text=True, check=True,
        timeout=300,
    ).stdout  # fmt: skip
    theirs = [
        sorted(tuple(sorted(map(int, cell.split()))) for cell in line.split(";"))
        for line in told.strip().splitlines()
    ]
    assert theirs == mine


@pytest.mark.skipif(not shutil.which("gfan"), reason="gfan is not installed")
def test_faces_by_gfan():
    for seed in range(12):
        rng = np.random.default_rng([10, seed])
        points = rng.integers(0, 5, (12, 2 + seed % 3))
        f = TropicalPolynomial(np.unique(points, axis=0))
        answer = subprocess.run(
            ["gfan", "_minkowskisum", "--nocones"], input=interchange.to_gfan([f]),
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip
        # Cones of the normal fan, by dimension: faces of the polytope, itself the lineality.
        assert interchange.gfan_f_vector(answer)[::-1] == head_diagram(f).f_vector(), seed
