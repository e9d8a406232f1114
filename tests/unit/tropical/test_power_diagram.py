"""Power diagrams against scipy, the definition, and degenerate sites worked out by hand."""

from __future__ import annotations

import pickle
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from scipy.spatial import ConvexHull, Delaunay, Voronoi

from tropattn import Box, Polytope, PowerDiagram, Slice
from tropattn.errors import InvalidInput

F = Fraction


def powers(sites, weights, x):
    """``|x - a_j|^2 - w_j`` of all sites, exactly."""
    return [
        sum((F(v) - F(a)) ** 2 for v, a in zip(x, site, strict=True)) - F(w)
        for site, w in zip(sites, weights, strict=True)
    ]


def assert_as_defined(diagram, sites, weights, farthest=False):
    """Each vertex has the winners it is said to have; every tie of d + 1 sites is among them."""
    pick = max if farthest else min
    cells = diagram.cells
    found = set()
    for v, x in enumerate(diagram.exact_vertices().tolist()):
        found.add(tuple(x))
        values = powers(sites, weights, x)
        best = pick(values)
        ties = {j for j, p in enumerate(values) if p == best}
        assert {j for j, cell in enumerate(cells) if v in cell} <= ties
        assert {j for j in ties if j in diagram.adjacency()} <= {
            j for j, cell in enumerate(cells) if v in cell
        }
    d = len(sites[0])
    for chosen in combinations(range(len(sites)), d + 1):
        x = tie_of([sites[j] for j in chosen], [weights[j] for j in chosen])
        if x is not None:
            values = powers(sites, weights, x)
            assert values[chosen[0]] != pick(values) or tuple(x) in found


def tie_of(sites, weights):
    """Where d + 1 sites have equal powers, by Cramer's rule; None if they are flat."""
    (a, *rest), (w, *others) = sites, weights
    rows = [[2 * (F(p) - F(q)) for p, q in zip(b, a, strict=True)] for b in rest]
    right = [
        sum(F(p) ** 2 for p in b) - F(v) - sum(F(q) ** 2 for q in a) + F(w)
        for b, v in zip(rest, others, strict=True)
    ]
    whole = determinant(rows)
    if whole == 0:
        return None
    return [
        determinant([[*r[:c], s, *r[c + 1 :]] for r, s in zip(rows, right, strict=True)]) / whole
        for c in range(len(rows))
    ]


def determinant(rows):
    if not rows:
        return F(1)
    return sum(
        (-1) ** c * rows[0][c] * determinant([[*r[:c], *r[c + 1 :]] for r in rows[1:]])
        for c in range(len(rows))
    )


# ---- generic sites ------------------------------------------------------------------------------


@pytest.mark.parametrize("d, n", [(2, 300), (3, 120), (4, 40), (5, 20)])
def test_voronoi_diagrams_are_those_of_scipy(d, n):
    sites = np.random.Generator(np.random.Philox(d)).standard_normal((n, d))
    mine, theirs = PowerDiagram(sites), Voronoi(sites)
    simplices = Delaunay(sites).simplices.tolist()
    assert set(mine.ridges) == {tuple(sorted(p)) for s in simplices for p in combinations(s, 2)}
    # Beyond the plane scipy leaves out some unbounded walls.
    listed = {tuple(sorted(p)) for p in theirs.ridge_points.tolist()}
    assert listed == set(mine.ridges) if d == 2 else listed <= set(mine.ridges)
    assert len(mine.vertices) == len(theirs.vertices)
    order = np.lexsort(mine.vertices.T), np.lexsort(theirs.vertices.T)
    assert np.allclose(mine.vertices[order[0]], theirs.vertices[order[1]], rtol=1e-6, atol=1e-6)
    name = {int(b): int(a) for a, b in zip(*order, strict=True)}
    for j in range(n):
        region = theirs.regions[theirs.point_region[j]]
        assert set(mine.cells[j]) == {name[v] for v in region if v >= 0}
    for pair, vertices in zip(theirs.ridge_points.tolist(), theirs.ridge_vertices, strict=True):
        found = mine.ridges[tuple(sorted(pair))]
        assert set(found) == {name[v] for v in vertices if v >= 0}
    exact = mine.exact_vertices().astype(float)
    size = np.abs(exact).max(axis=1, keepdims=True)
    assert (np.abs(exact - mine.vertices) <= 2.0**-30 * size).all()


@pytest.mark.parametrize("farthest", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_weights_by_the_definition(seed, farthest):
    rng = np.random.Generator(np.random.Philox([3, seed]))
    d, n = (1, 2, 3)[seed % 3], 8
    sites = rng.integers(-4, 5, (n, d)) * (0.1 if seed < 3 else 1)
    weights = rng.integers(-5, 6, n) * 1.0
    diagram = PowerDiagram(sites, weights, farthest=farthest)
    assert_as_defined(diagram, sites.tolist(), weights.tolist(), farthest)
    points = rng.integers(-8, 9, (60, d)) * 0.5
    pick = max if farthest else min
    for x, winner in zip(points.tolist(), diagram.locate(points).tolist(), strict=True):
        values = powers(sites.tolist(), weights.tolist(), x)
        assert winner == values.index(pick(values))


def test_the_farthest_diagram_knows_corners_alone():
    sites = [[0, 0], [4, 0], [0, 4], [4, 4], [1, 2], [2, 0]]
    diagram = PowerDiagram(sites, farthest=True)
    assert sorted(diagram.adjacency().nodes) == [0, 1, 2, 3]
    assert diagram.vertices.tolist() == [[2.0, 2.0]]
    assert diagram.locate([[0.0, 0.0], [5.0, 5.0]]).tolist() == [3, 0]


# ---- degenerate sites ---------------------------------------------------------------------------


def test_a_grid_of_nine_has_no_diagonal_walls():
    sites = [[x, y] for x in range(3) for y in range(3)]
    diagram = PowerDiagram(sites)
    near = {(i, j) for i, j in combinations(range(9), 2)
            if sum(abs(a - b) for a, b in zip(sites[i], sites[j], strict=True)) == 1}  # fmt: skip
    assert set(diagram.ridges) == near
    assert sorted(diagram.vertices.tolist()) == [[x, y] for x in (0.5, 1.5) for y in (0.5, 1.5)]
    assert [len(cell) for cell in diagram.cells] == [1, 2, 1, 2, 4, 2, 1, 2, 1]
    assert len(diagram.ridges[1, 4]) == 2 and len(diagram.ridges[0, 1]) == 1
    assert_as_defined(diagram, sites, [0] * 9)


def test_cocircular_sites_meet_in_one_vertex():
    ring = [(x, y) for x, y in product(range(-5, 6), repeat=2) if x * x + y * y == 25]
    diagram = PowerDiagram(ring)
    assert diagram.vertices.tolist() == [[0.0, 0.0]]
    assert len(diagram.ridges) == len(ring) == 12
    assert all(cell == (0,) for cell in diagram.cells)
    # One unit in the last place further out, and the others still meet in one point.
    moved = np.array(ring, float)
    moved[0] = np.nextafter(moved[0], 2 * moved[0])
    assert len(PowerDiagram(moved).vertices) == 2


def test_collinear_sites_have_parallel_walls_and_no_vertices():
    diagram = PowerDiagram([[0, 0], [1, 2], [2, 4], [5, 10]])
    assert sorted(diagram.ridges) == [(0, 1), (1, 2), (2, 3)]
    assert diagram.vertices.shape == (0, 2) and diagram.exact_vertices().shape == (0, 2)
    assert diagram.cells == ((), (), (), ())
    assert diagram.locate([[0.5, 1.0], [0.5, 1.01], [9.0, 9.0]]).tolist() == [0, 1, 3]


def test_equal_sites_share_a_cell_and_the_heavier_one_hides_the_other():
    diagram = PowerDiagram([[0, 0], [2, 0], [0, 2], [2, 0], [2, 0]], [0, 0, 0, 0, -1])
    assert sorted(diagram.adjacency().nodes) == [0, 1, 2]
    assert diagram.cells == ((0,), (0,), (0,), (0,), ())
    assert diagram.locate([[2.0, 0.0]]).tolist() == [1]


def test_dead_sites_have_no_cell():
    # The middle of an edge of the subdivision touches the diagram without a cell of its own.
    diagram = PowerDiagram([[0, 0], [2, 0], [1, 0], [1, 3]], [0, 0, -1, 0])
    assert sorted(diagram.ridges) == [(0, 1), (0, 3), (1, 3)]
    assert diagram.cells[2] == () and diagram.cells[0]


@pytest.mark.parametrize("d", [1, 2, 5])
def test_one_site_has_all(d):
    diagram = PowerDiagram([[3] * d])
    assert (diagram.ridges, diagram.cells, len(diagram.vertices)) == ({}, ((),), 0)
    assert diagram.locate([[0.0] * d]).tolist() == [0]
    assert list(diagram.clip(Box([0] * d, [1] * d))) == [0]


def test_fractions_and_huge_integers_stay_exact():
    third = np.array([[F(1, 3), F(0)], [F(0), F(1, 3)], [F(-1, 3), F(0)], [F(0), F(-1, 3)]])
    diagram = PowerDiagram(third, F(1, 7))
    assert diagram.exact_vertices().tolist() == [[0, 0]]
    assert len(diagram.ridges) == 4
    huge = [[10**40, 0], [0, 10**40], [-(10**40), 0], [0, 1 - 10**40]]
    assert len(PowerDiagram(huge).vertices) == 2


@pytest.mark.parametrize("power", [-300, -160, 160, 300])
def test_magnitudes(power):
    unit = 2.0 ** round(power * np.log2(10))
    sites = np.array([[x, y] for x in range(3) for y in range(3)]) * unit
    diagram = PowerDiagram(sites)
    assert len(diagram.ridges) == 12
    assert sorted((diagram.vertices / unit).tolist()) == [
        [x, y] for x in (0.5, 1.5) for y in (0.5, 1.5)
    ]
    assert diagram.exact_vertices()[0, 0] / F(unit) in (F(1, 2), F(3, 2))
    assert diagram.locate(np.array([[0.4, 1.6]]) * unit).tolist() == [2]
    clipped = diagram.clip(Box([0.0, 0.0], [0.75 * unit, 0.25 * unit]))
    assert sorted(clipped) == [0, 3]
    mixed = PowerDiagram([[1e300, 0.0], [1e-300, 0.0], [0.0, 0.0], [0.0, 1e300]])
    assert sorted(mixed.adjacency().nodes) == [0, 1, 2, 3]
    assert mixed.locate([[1e-301, 0.0], [9e-301, 0.0]]).tolist() == [2, 1]


@pytest.mark.parametrize("power", [-400, -200, 100, 200, 400])
@pytest.mark.parametrize("farthest", [False, True])
def test_whole_numbers_of_any_magnitude(power, farthest):
    """The diagram of sites times 10^p and weights times 10^2p is the same one, times 10^p."""
    rng = np.random.Generator(np.random.Philox(7))
    sites, weights = rng.integers(-5, 6, (12, 2)), rng.integers(-9, 10, 12)
    unit = F(10) ** power
    small = PowerDiagram(sites, weights, farthest)
    large = PowerDiagram(sites * unit, weights * unit**2, farthest)
    assert (large.cells, large.ridges) == (small.cells, small.ridges)
    assert (large.exact_vertices() == small.exact_vertices() * unit).all()
    points = rng.integers(-20, 20, (50, 2)) * F(1, 3)
    assert (large.locate(points * unit) == small.locate(points)).all()
    live = sorted(small.adjacency())
    assert (large.cell(live[0]).corners == small.cell(live[0]).corners * unit).all()
    clipped = large.clip(Box([-3 * unit] * 2, [4 * unit] * 2))
    for j, cell in small.clip(Box([-3, -3], [4, 4])).items():
        assert (clipped[j].corners == cell.corners * unit).all()


@pytest.mark.parametrize(
    ("given", "vertex"),
    [
        # On x = 1 the sites (0, 0) and (1, e) tie where 2 x + 2 e y = 1 + e^2.
        (([[0, 0], [1, 5e-324], [2, 0]],), (1, (F(5e-324) ** 2 - 1) / (2 * F(5e-324)))),
        (
            ([[0, 0], [1, 1e-300], [2, 0]], [0, 1e300, 0]),
            (1, (F(1e-300) ** 2 - 1 - F(1e300)) / (2 * F(1e-300))),
        ),
    ],
)
def test_vertices_beyond_the_doubles(given, vertex):
    diagram = PowerDiagram(*given)
    with pytest.raises(InvalidInput, match=r"below 1.8e308 needed, got .* of vertex 0; exact_vert"):
        _ = diagram.vertices
    assert tuple(diagram.exact_vertices()[0]) == vertex
    assert diagram.cells == ((0,), (0,), (0,)) and len(diagram.ridges) == 3


def test_a_diagonal_appears_with_one_unit_in_the_last_place():
    square = np.array([[0.1, 0.1], [0.3, 0.1], [0.1, 0.3], [0.3, 0.3]])
    assert len(PowerDiagram(square).ridges) == 4
    square[3, 0] = np.nextafter(0.3, 1)
    assert sorted(set(PowerDiagram(square).ridges)) == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]


# ---- windows and edges --------------------------------------------------------------------------


def test_clipped_cells_tile_the_box():
    rng = np.random.Generator(np.random.Philox(5))
    sites, weights = rng.random((40, 2)), rng.random(40) * 0.02
    diagram = PowerDiagram(sites, weights)
    clipped = diagram.clip(Box([0, 0], [1, 1]))
    areas = {j: ConvexHull(cell.generators()[0]).volume for j, cell in clipped.items()}
    assert sum(areas.values()) == pytest.approx(1)
    winners = diagram.locate(rng.random((4000, 2)))
    assert set(winners.tolist()) <= set(clipped)
    for j, area in areas.items():
        assert abs((winners == j).mean() - area) < 0.05
    assert max(len(cell.A) for cell in clipped.values()) < 20
    triangle = Polytope([[1, 1], [-1, 0], [0, -1]], [0.25, 0, 0])
    assert set(diagram.clip(triangle)) < set(clipped)


def test_sites_and_weights_of_unlike_magnitudes():
    for site, weight in ((1e-300, 1.0), (F(1, 10**400), F(1, 10**400)), (F(3), 10**700)):
        # |x|^2 = (x - a)^2 - w at x = (a^2 - w) / 2a.
        diagram = PowerDiagram([[0], [site]], [0, weight])
        wall = (F(site) ** 2 - F(weight)) / (2 * F(site))
        assert diagram.exact_vertices().tolist() == [[wall]]
        assert diagram.locate([[wall - 1], [wall], [wall + 1]]).tolist() == [0, 0, 1]


def test_bad_input():
    with pytest.raises(InvalidInput, match="one number for all, got 1;"):
        PowerDiagram([[0], [1]], [1])
    assert PowerDiagram([[0], [1]], 5).weights.tolist() == [5, 5]
    for bad in ("no", 1, 0, None):
        with pytest.raises(InvalidInput, match="farthest: True or False needed, got"):
            PowerDiagram([[0], [1]], farthest=bad)
    assert PowerDiagram([[0], [1]], farthest=np.bool_(True)).farthest is True
    with pytest.raises(InvalidInput, match="N >= 1"):
        PowerDiagram(np.zeros((0, 2)))
    with pytest.raises(InvalidInput, match="finite"):
        PowerDiagram([[0], [1]], [np.nan, 0])
    diagram = PowerDiagram([[0, 0], [1, 0]])
    with pytest.raises(InvalidInput, match="2 coordinates"):
        diagram.locate([[1.0]])
    with pytest.raises(InvalidInput, match="Box or Polytope"):
        diagram.clip(None)
    with pytest.raises(InvalidInput, match="Box or Polytope"):
        diagram.clip(Slice([0, 0], [[1, 0]], Box([0], [1])))
    with pytest.raises(InvalidInput):
        diagram.clip(Box([0], [1]))


def test_polynomials_of_sites_are_polynomials():
    sites = np.array([[0.1, 0.2], [1.5, 0.3], [0.7, 2.1]])
    f = PowerDiagram(sites).to_polynomial()
    assert f.intercepts.tolist() == [-sum(F(v) ** 2 for v in row) / 2 for row in sites.tolist()]
    assert (f * f).n_terms == 9 and f.pullback([[1, 0]]).dim == 1
    again = pickle.loads(pickle.dumps(f))
    assert again.intercepts.tolist() == f.intercepts.tolist()
    assert (again.modular_terms() == f.modular_terms()).all()
    near, errors = f.float_terms()
    assert (np.abs(near[:, -1] - f.intercepts.astype(float)) <= errors[:, -1] + 1e-16).all()
    assert (errors[:, :-1] == 0).all()


def test_diagrams_and_subdivisions_are_pickled():
    diagram = PowerDiagram([[0, 0], [2, 0], [0, 2], [2, 2], [1, 5]], [0, 0, 0, 0, 0.1])
    vertices = diagram.vertices
    again = pickle.loads(pickle.dumps(diagram))
    assert (again.vertices == vertices).all() and again.ridges == diagram.ridges
    split = diagram.to_polynomial().subdivision()
    copy = pickle.loads(pickle.dumps(split))
    assert copy.cells == split.cells and copy.f_vector() == split.f_vector()
    assert copy.points.tolist() == split.points.tolist()
    assert copy.dual_graph().edges == split.dual_graph().edges
