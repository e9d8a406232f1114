from fractions import Fraction
from math import comb, gcd, inf

import numpy as np
import pytest
from reference import cells as brute

from tropattn.errors import EngineError, InvalidInput
from tropattn.polyhedra import _cdd
from tropattn.polyhedra.domain import Box, Slice
from tropattn.polyhedra.double_description import cone_rays
from tropattn.polyhedra.polyhedron import Polyhedron


def _degenerate(rng, dim):
    """Small integer rows: repeated, redundant, through one point, empty, flat and unbounded."""
    m = int(rng.integers(1, 6 + dim))
    a = rng.integers(-2, 3, (m, dim))
    b = rng.integers(-1, 3, m) if rng.random() < 0.7 else np.zeros(m, int)
    if rng.random() < 0.5:
        a = np.vstack([a, np.eye(dim, dtype=int), -np.eye(dim, dtype=int)])
        b = np.concatenate([b, np.full(2 * dim, 2)])
    return a, b


def _agrees(a, b):
    cell = Polyhedron(a, b)
    if len(brute.kernel(a.tolist(), a.shape[1])):
        assert cell.empty or len(cell.lineality) == len(brute.kernel(a.tolist(), a.shape[1]))
        return cell
    corners, rays = brute.extreme(a.tolist(), b.tolist())
    assert {tuple(row) for row in cell.corners.tolist()} == corners
    assert {tuple(row) for row in cell.rays.tolist()} == rays
    assert cell.empty == (not corners) and cell.bounded == (not rays)
    whole = frozenset([(*p, 1) for p in corners] + [(*r, 0) for r in rays])
    solid = corners and brute.rank(list(whole)) == a.shape[1] + 1
    assert cell.own_dim == (brute.rank(list(whole)) - 1 if corners else -1)
    if solid:
        facets = brute.facets(a.tolist(), b.tolist(), corners, rays)
        on = [
            frozenset(v for v in whole if brute.dot((*a[i].tolist(), -int(b[i])), v) == 0)
            for i in cell.facets
        ]
        assert len(on) == len(facets) and set(on) == facets
        counts = brute.face_counts(facets, whole)
        assert cell.f_vector() == tuple(counts.get(k, 0) for k in range(a.shape[1]))
    return cell


@pytest.mark.parametrize("dim", [1, 2, *(pytest.param(d, marks=pytest.mark.long) for d in (3, 4))])
def test_corners_rays_and_facets_are_those_of_every_choice_of_rows(dim):
    rng = np.random.default_rng(dim)
    found = {"empty": 0, "flat": 0, "lines": 0, "unbounded": 0}
    for _ in range(60 if dim < 4 else 15):
        cell = _agrees(*_degenerate(rng, dim))
        found["empty"] += cell.empty
        found["flat"] += 0 <= cell.own_dim < dim
        found["lines"] += len(cell.lineality) > 0
        found["unbounded"] += len(cell.rays) > 0
    assert all(found.values()) or dim in (1, 4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_degenerate_cases(seed):
    rng = np.random.default_rng([1, seed])
    for _ in range(100):
        cell = _agrees(*_degenerate(rng, int(rng.integers(2, 5))))
        assert cell.witnessed()


@pytest.mark.long
@pytest.mark.parametrize("dim", [2, 3, 4])
def test_cddlib_is_a_witness(dim):
    rng = np.random.default_rng([2, dim])
    for _ in range(100):
        cell = Polyhedron(*_degenerate(rng, dim))
        assert cell.witnessed()
        noisy = Polyhedron(rng.normal(size=(12, dim)), np.abs(rng.normal(size=12)))
        assert noisy.witnessed()


def test_rays_in_doubles_are_no_corners():
    # cddlib gives the second ray a height of 1e-16.
    vertices, rays = Polyhedron([[-2, -1], [1, 0], [-2, -1]], [0, -1, -1]).generators()
    assert vertices.tolist() == [[-1.0, 3.0]] and len(rays) == 2


def test_a_wrong_witness_is_noticed(monkeypatch):
    square = Polyhedron([[1, 0], [-1, 0], [0, 1], [0, -1]], [1, 1, 1, 1])
    assert square.witnessed()
    right = _cdd.cone_rays(square.rows, 2)
    monkeypatch.setattr(_cdd, "cone_rays", lambda *_: (right[0][1:], right[1]))
    assert not square.witnessed()


def test_a_proposal_that_is_no_corner_is_refused(monkeypatch):
    wrong = np.array([[5.0, 0.0]]), np.zeros((0, 2))
    monkeypatch.setattr(_cdd, "generators", lambda *_: wrong)
    with pytest.raises(EngineError, match="proved in rationals"):
        _cdd.cone_rays([(1, 0, -1), (0, 1, -1), (-1, 0, -1), (0, -1, -1), (1, -1, -3)][::-1], 2)


def test_integers_of_any_size():
    far = 2**100
    cell = Polyhedron(
        np.array([[far, 1], [-1, 0], [0, -1], [-far, far + 1]], dtype=object),
        np.array([far, 0, 0, 3], dtype=object),
    )
    corners, _ = brute.extreme(cell.A.tolist(), cell.b.tolist())
    assert {tuple(row) for row in cell.corners.tolist()} == corners


def test_frozen_arrays_of_integers_are_not_rounded():
    row = np.array([[2**70 + 1]], dtype=object)
    row.setflags(write=False)
    assert Polyhedron(row, [1.0]).corners[0, 0] == Fraction(1, 2**70 + 1)


def test_rows_from_int64_to_pythons_integers():
    # Products pass 2**63 halfway.
    rng = np.random.default_rng(3)
    rows = rng.integers(-(2**40), 2**40, (9, 4)).astype(object)
    rows = [*rows.tolist(), (0, 0, 0, -1)]
    found = cone_rays(rows, 4)
    exact = np.array(rows, dtype=object)
    assert ((found.rays @ exact.T) <= 0).all()
    assert all(brute.rank([rows[i] for i in np.flatnonzero(t)]) == 3 for t in found.tight)
    assert all(gcd(*row) == 1 for row in found.rays.tolist())
    corners, rays = brute.extreme([r[:-1] for r in rows[:-1]], [-r[-1] for r in rows[:-1]])
    high = found.rays[found.rays[:, -1] > 0]
    assert {tuple(Fraction(v, r[-1]) for v in r[:-1]) for r in high.tolist()} == corners
    assert len(rays) == len(found.rays) - len(corners) or not corners


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_corner_that_doubles_put_on_a_row(more):
    far = 2**70
    a = np.array([[1, 0], [0, 1], [far, far], [-1, 0], [0, -1]], dtype=object)
    cell = Polyhedron(a, np.array([1, 1, 2 * far + more, 0, 0], dtype=object))
    assert len(cell.corners) == 4 + (more < 0) and cell.tight[2].sum() == 1 - more


def test_more_than_64_rows():
    t = np.arange(-50, 51)
    # Tangents of a parabola: each is a facet.
    cell = Polyhedron(np.column_stack([2 * t, -np.ones(101)]), t**2)
    assert len(cell.facets) == 101 and len(cell.corners) == 100 and len(cell.rays) == 2
    assert cell.f_vector() == (100, 101)


def test_facets_of_many_dimensions_need_no_corners():
    dim = 20
    a = np.vstack([np.eye(dim), -np.eye(dim), np.ones((1, dim)), 2 * np.eye(dim)[:1]])
    cell = Polyhedron(a, np.concatenate([np.ones(2 * dim), [100.0], [2.0]]), range(2 * dim + 2))
    assert cell.facets == tuple(range(2 * dim))
    assert cell.irredundant().behind == tuple(range(2 * dim))
    few = Polyhedron(np.eye(20)[[0, 1, 0]] + np.eye(20)[[0, 1, 1]], [2, 2, 9])
    assert few.facets == (0, 1)
    low = Polyhedron(a[:, :4], cell.b)
    assert low.facets == (0, 1, 2, 3, 20, 21, 22, 23)


def test_faces_of_a_cube_and_a_quadrant_in_seven_dimensions():
    eye = np.eye(7, dtype=int)
    cube = Polyhedron(np.vstack([eye, -eye]), np.ones(14, dtype=int))
    assert cube.f_vector() == tuple(2 ** (7 - k) * comb(7, k) for k in range(7))
    quadrant = Polyhedron(-eye, np.zeros(7, dtype=int))
    assert quadrant.f_vector() == tuple(comb(7, k) for k in range(7))


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_volumes_of_the_parts_add_up(dim):
    rng = np.random.default_rng([4, dim])
    box = Polyhedron.of(Box([0] * dim, [3] * dim))
    parts = [box]
    for _ in range(4):
        row, right = rng.integers(-3, 4, dim), int(rng.integers(-2, 5))
        halves = [Polyhedron([s * row], [s * right]) for s in (1, -1)]
        parts = [part.intersection(half) for part in parts for half in halves]
    assert sum(part.volume() for part in parts) == 3**dim
    assert any(part.volume() == 0 for part in parts) or dim > 3


def test_volume_of_a_simplex_by_its_determinant():
    rng = np.random.default_rng(5)
    for dim in (1, 2, 3, 4, 5):
        normals = rng.integers(-4, 5, (dim, dim))
        while np.linalg.matrix_rank(normals) < dim:
            normals = rng.integers(-4, 5, (dim, dim))
        cell = Polyhedron(np.vstack([normals, -normals.sum(axis=0)]), np.append(np.zeros(dim), 7))
        assert len(cell.corners) == dim + 1
        assert cell.volume() == brute.simplex_volume(cell.corners.tolist())


def test_no_rows_and_false_rows():
    space = Polyhedron(np.zeros((0, 3)), np.zeros(0))
    assert space.own_dim == 3 and len(space.lineality) == 3 and space.f_vector() == (0, 0, 0)
    assert not space.bounded and space.inscribed_ball().lower == inf
    none = Polyhedron([[0, 0]], [-1])
    assert none.empty and none.own_dim == -1 and none.volume() == 0 and none.bounded
    point = Polyhedron([[1], [-1]], [2, -2])
    assert point.equations == (0, 1) and point.own_dim == 0 and point.f_vector() == ()


def test_a_strip_has_a_line():
    strip = Polyhedron([[1, 1], [-1, -1]], [2, 0])
    assert strip.lineality.tolist() in ([[1, -1]], [[-1, 1]]) and strip.f_vector() == (0, 2)
    assert strip.facets == (0, 1) and len(strip.rays) == 0
    assert strip.witnessed()


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_the_ball_is_enclosed(dim):
    rng = np.random.default_rng([6, dim])
    for scale in (1.0, 1e-9, 1e12):
        a = np.vstack([rng.normal(size=(8, dim)), np.eye(dim), -np.eye(dim)])
        centre = rng.normal(size=dim) * scale
        b = a @ centre + scale * (1 + rng.random(len(a)))
        ball = Polyhedron(a, b).inscribed_ball()
        assert 0 < ball.lower <= ball.upper <= ball.lower * (1 + 1e-9)
        lengths = np.sqrt((a**2).sum(axis=1))
        slack = (b - a @ ball.centre.astype(float)) / lengths
        assert slack.min() == pytest.approx(ball.lower, rel=1e-6)


def test_balls_of_any_size_and_none():
    assert Polyhedron([[-1, 0], [0, -1]], [0, 0]).inscribed_ball().upper == inf
    slab = Polyhedron([[0, 1], [0, -1]], [3, 0]).inscribed_ball()
    assert slab.lower <= 1.5 <= slab.upper and slab.upper - slab.lower < 1e-9
    needle = Polyhedron([[2**60, 1], [-(2**60), 1], [0, -1]], [1, 1, 0]).inscribed_ball()
    assert 0 < needle.lower <= 2.0**-60 <= needle.upper * 1.001
    with pytest.raises(InvalidInput, match="interior"):
        Polyhedron([[1], [-1]], [0, 0]).inscribed_ball()


def test_what_is_refused():
    with pytest.raises(InvalidInput, match="A, b: shapes"):
        Polyhedron([[1, 0]], [1, 2])
    with pytest.raises(InvalidInput, match="behind: one entry a row"):
        Polyhedron([[1, 0]], [1], ("one", "two"))
    with pytest.raises(InvalidInput, match="finite"):
        Polyhedron([[1, np.nan]], [1])
    quadrant = Polyhedron([[-1, 0], [0, -1]], [0, 0])
    with pytest.raises(InvalidInput, match="unbounded"):
        quadrant.volume()
    with pytest.raises(InvalidInput, match="R\\^2 needed"):
        quadrant.volume(Box([0], [1]))
    with pytest.raises(InvalidInput, match="give its window"):
        quadrant.volume(Slice([0, 0, 0], [[1, 0, 0], [0, 1, 0]], ([0, 0], [1, 1])))
    with pytest.raises(InvalidInput, match="Polyhedron needed"):
        quadrant.intersection(3)
