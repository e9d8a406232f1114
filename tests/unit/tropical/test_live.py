"""Live and dead terms with their reasons; power diagrams; agreement with Qhull."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from reference import brute, families
from scipy.spatial import ConvexHull, Delaunay

import tropattn.tropical.geometry.live_terms as live_terms_module
from tropattn import Box, InvalidInput, PowerDiagram, TropicalPolynomial, live_terms
from tropattn.tropical.terms import AffineMap


@pytest.mark.parametrize("kind", ["integer", "central", "float", "low_rank", "duplicates"])
def test_live_against_brute_force(kind, to_polynomial):
    rng = random.Random(kind)
    for _ in range(40):
        dim = rng.randint(1, 4)
        unit = families.random_units(rng, dim, [rng.randint(1, 7)], kind)[0]
        found = live_terms(to_polynomial(unit))
        assert found.live.tolist() == brute.live(unit)
        for j, point in zip(found.live.tolist(), found.witnesses.tolist(), strict=True):
            winners = brute.evaluate(unit, [Fraction(v) for v in point])[1]
            assert winners == brute.merge(unit)[j]
        for j, (others, weights) in found.combinations.items():
            assert j not in others
            assert weights.min() > 0
            assert weights.sum() == pytest.approx(1)
            slopes, intercepts = np.array(unit[0], float), np.array(unit[1], float)
            assert np.allclose(weights @ slopes[others], slopes[j], atol=1e-9)
            assert weights @ intercepts[others] >= intercepts[j] - 1e-9


def test_a_guess_that_beats_every_rival_at_first():
    """The first program of such a row has no rows; the next must not inherit another's basis."""
    points = [[5, -3], [4.8, -2.6], [3, 5], [-3, 4], [4.8, -3.2]]
    assert live_terms(TropicalPolynomial(points)).live.tolist() == brute.live((points, [0] * 5))
    for seed in range(60):
        cloud = np.random.default_rng(seed).standard_normal((40, 2))
        found = live_terms(TropicalPolynomial(cloud)).live
        assert found.tolist() == sorted(ConvexHull(cloud).vertices)


def test_live_terms_of_a_window():
    f = TropicalPolynomial([[0], [1], [2]], [0, 0, -5])
    assert live_terms(f).live.tolist() == [0, 1, 2]
    assert live_terms(f, Box([-1], [5])).live.tolist() == [0, 1]
    assert f.active_terms(Box([6], [7])).tolist() == [2]


def test_extreme_points_against_qhull():
    points = np.random.default_rng(0).standard_normal((200, 4))
    points[:100] *= 0.2
    assert live_terms(TropicalPolynomial(points)).live.tolist() == sorted(
        ConvexHull(points).vertices
    )


@pytest.mark.parametrize("n, dim", [(30, 2), (20, 3), (15, 4)])
def test_adjacency_is_the_delaunay_graph(n, dim):
    sites = np.random.default_rng(n).standard_normal((n, dim))
    graph = PowerDiagram(sites, np.zeros(n)).adjacency()
    edges = set()
    for simplex in Delaunay(sites).simplices.tolist():
        edges |= {(a, b) for a in simplex for b in simplex if a < b}
    assert {tuple(sorted(e)) for e in graph.edges} == edges


def test_adjacency_of_a_grid_has_no_diagonals():
    """Four cells meet in a point: no wall between opposite ones, by exact arithmetic."""
    graph = PowerDiagram([[0, 0], [1, 0], [0, 1], [1, 1]], [0, 0, 0, 0]).adjacency()
    assert sorted(graph.edges) == [(0, 1), (0, 2), (1, 3), (2, 3)]


def test_polynomial_and_diagram_have_the_same_cells():
    rng = np.random.default_rng(1)
    f = TropicalPolynomial(rng.standard_normal((8, 3)), rng.standard_normal(8))
    diagram = f.power_diagram()
    assert diagram.to_polynomial() is f
    again = PowerDiagram(diagram.sites, diagram.weights)
    x = rng.standard_normal((500, 3))
    power = ((x[:, None, :] - again.sites.astype(float)) ** 2).sum(-1) - again.weights.astype(float)
    assert np.array_equal(power.argmin(axis=1), f.argmax(x))
    assert again.to_polynomial().argmax(x).tolist() == f.argmax(x).tolist()
    j = int(f.argmax(x[0]))
    assert diagram.cell(j).contains(x[0])[0]


def test_the_cell_of_a_factored_site_keeps_a_wall_that_products_in_doubles_lose():
    """Two keys differ by 2^-52 in one entry; in rationals the wall is that times a row of W."""
    matrix, offset = np.array([[1 / 3, 0.7], [0.9, 1 / 7]]), np.array([[0.1, 0.3]])
    keys = np.array([[1.0, 2.0], [1.0 + 2.0**-52, 2.0], [-3.0, 1.0]])
    f = TropicalPolynomial.factored(keys, maps=(AffineMap(matrix, offset[0]),))
    cell = f.power_diagram().cell(0)
    assert cell.A[0].tolist() == [2.0**-52 / 3, 2.0**-52 * 0.9]
    assert cell.b[0] == -(2.0**-52) * 0.1


def test_cell_of_a_dead_site_and_of_duplicates():
    diagram = PowerDiagram([[0], [1], [1], [2]], [0, -5, 0, 0])
    assert diagram.adjacency().number_of_nodes() == 3
    assert diagram.cell(1).generators()[0].size == 0
    assert PowerDiagram([[0], [0]], [1, 1]).cell(1).A.shape == (0, 1)
    with pytest.raises(InvalidInput, match="site index"):
        diagram.cell(9)
    with pytest.raises(InvalidInput, match="one a site needed"):
        PowerDiagram([[0], [1]], [1])


@pytest.mark.parametrize("kind", ["generic", "ties", "doubled"])
@pytest.mark.parametrize("dim", [2, 3])
def test_many_dead_terms_by_a_hull_as_by_programs(dim, kind, monkeypatch):
    rng = np.random.default_rng([dim, len(kind)])
    slopes, heights = rng.standard_normal((600, dim)), rng.standard_normal(600)
    if kind == "ties":
        slopes, heights = rng.integers(0, 6, (600, dim)) * 1.0, rng.integers(0, 3, 600) * 1.0
    if kind == "doubled":
        slopes, heights = np.tile(slopes[300:], (2, 1)), np.tile(heights[300:], 2)
    f = TropicalPolynomial(slopes, heights)
    found = live_terms_module.live_terms(f)
    monkeypatch.setattr(live_terms_module, "_MANY", 10**9)
    other = live_terms_module.live_terms(f)
    assert found.live.tolist() == other.live.tolist()
    assert found.dead.tolist() == other.dead.tolist()
    assert sorted(found.combinations) == found.dead.tolist()
    for j, (terms, weights) in found.combinations.items():
        assert j not in terms and (np.diff(terms) > 0).all() and set(terms) <= set(found.live)
        assert (weights > -1e-12).all() and weights.sum() == pytest.approx(1)
        assert np.allclose(weights @ slopes[terms], slopes[j], atol=1e-9)
        assert weights @ heights[terms] >= heights[j] - 1e-9
    assert f.argmax(found.witnesses[found.inside]).tolist() == found.live[found.inside].tolist()
