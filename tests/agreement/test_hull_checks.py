"""Each check of a hull's proof meets a proposal that only this check sees through."""

from fractions import Fraction
from itertools import combinations, product
from random import Random

import flint
import numpy as np
import pytest

from tropattn._kernels import hull_signs
from tropattn.arrays import rational_matrix
from tropattn.polyhedra._qhull import proposed_hull
from tropattn.polyhedra.hull import exact_signs
from tropattn.polyhedra.hull import proved as proved_hull
from tropattn.polyhedra.hull.exact_signs import ExactRows
from tropattn.polyhedra.hull.insertion import inserted_hull
from tropattn.polyhedra.hull.proof import HullTask, exact_places, proved
from tropattn.polyhedra.hull.proved import hull
from tropattn.tropical.geometry.diagram import head_diagram
from tropattn.tropical.polynomial import TropicalPolynomial


def joined(facets: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and neighbours of facets, ridges matched in the order in which they come."""
    rows = np.array([sorted(f) for f in facets], np.int64)
    neighbours = np.full(rows.shape, -1, np.int64)
    waiting: dict = {}
    for f, facet in enumerate(rows.tolist()):
        for i in range(len(facet)):
            ridge = tuple(facet[:i] + facet[i + 1 :])
            if ridge in waiting:
                g, j = waiting.pop(ridge)
                neighbours[f, i], neighbours[g, j] = g, f
            else:
                waiting[ridge] = f, i
    return rows, neighbours


def task_of(points, vertical: bool = False):
    """The points, read exactly, as the prover takes them."""
    p = np.array(points, dtype=float)
    return HullTask(p, np.zeros(p.shape), lambda js: rational_matrix(p[np.asarray(js)]), vertical)


def boundary(points) -> list[list[int]]:
    """A triangulation of the boundary of the hull, by exact insertion."""
    task = task_of(points)
    rows, _ = inserted_hull(task.points, task.errors, task.rows, range(task.n), False)
    return rows.tolist()


OCTAHEDRON = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]


def test_false_hulls_are_rejected():
    task = task_of(OCTAHEDRON)
    true = boundary(OCTAHEDRON)
    assert proved(task, *joined(true)) is not None
    for f in range(8):
        assert proved(task, *joined(true[:f] + true[f + 1 :])) is None
        assert proved(task, *joined([*true, true[f]])) is None
    assert proved(task, *joined(true + true)) is None
    for f in range(8):
        for g in range(f):
            # A facet with one vertex exchanged: matched ridges are missing or doubled.
            wrong = [list(x) for x in true]
            wrong[f][0] = next(v for v in range(6) if v not in wrong[f])
            assert proved(task, *joined(wrong)) is None
            # Neighbours exchanged.
            rows, neighbours = joined(true)
            neighbours[[f, g]] = neighbours[[g, f]]
            assert proved(task, rows, neighbours) is None


def test_a_flipped_edge_is_flipped_back_or_rejected():
    # The square 0 2 1 3 of a flat bipyramid with its top cut by the wrong diagonal.
    points = [[1, 0, 0], [-1, 0, 0], [0, 1, 0.1], [0, -1, 0.1], [0, 0, -1]]
    base = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4]]
    wrong, right = joined([[0, 1, 2], [0, 1, 3], *base]), joined([[2, 3, 0], [2, 3, 1], *base])
    task = task_of(points)
    assert proved(task, *wrong, flip=False) is None
    assert proved(task, *right, flip=False) is not None
    found = proved(task, *wrong)
    assert sorted(found.facets.tolist()) == sorted(right[0].tolist())


def test_surfaces_that_turn_twice_are_rejected():
    angle = 2 * np.pi * np.arange(5) / 5
    star = np.round(64 * np.column_stack([np.cos(angle), np.sin(angle)]))
    pentagram = [[i, (i + 2) % 5] for i in range(5)]
    assert proved(task_of(star), *joined(pentagram)) is None
    assert proved(task_of(star), *joined([[i, (i + 1) % 5] for i in range(5)]))
    # The same with two tips: all ridges are convex, and every side sees the middle.
    solid = [*[[*p, 0] for p in star.tolist()], [0, 0, 50], [0, 0, -50]]
    double = [[*e, t] for e in pentagram for t in (5, 6)]
    assert proved(task_of(solid), *joined(double)) is None
    # Lifted: triangles around a middle point that go round twice.
    cone = [[*p, 0] for p in star.tolist()] + [[0, 0, 9]]
    wall = 6
    twice = [[*e, t] for e in pentagram for t in (5, wall)]
    once = [[i, (i + 1) % 5, t] for i in range(5) for t in (5, wall)]
    assert proved(task_of(cone, vertical=True), *joined(twice)) is None
    assert proved(task_of(cone, vertical=True), *joined(once)) is not None


def test_polytopes_glued_at_a_square_are_rejected():
    cube = [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    other = [[x + 1, y, z] for x, y, z in cube]
    points = sorted({tuple(p) for p in cube + other})
    number = {p: i for i, p in enumerate(points)}
    both = []
    for part in (cube, other):
        for facet in boundary(part):
            both.append([number[tuple(part[v])] for v in facet])
    assert proved(task_of(points), *joined(both)) is None
    # Without the square the surface is the hull, though no vertex of the square is a corner.
    square = [f for f in both if all(points[v][0] == 1 for v in f)]
    outer = [f for f in both if f not in square]
    assert proved(task_of(points), *joined(outer)) is not None


def test_a_point_that_a_hull_leaves_out_is_found():
    points = [[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5], [0.25, 0.25]]
    task = task_of(points)
    assert task.whole
    proof = proved(task, *joined([[0, 1], [0, 2], [1, 2]]))
    places = proved_hull._Places.of(task, proof)
    assert places.outside.tolist() == [3]
    assert places.on.tolist() == [False] * 4 + [True, False]
    lifted = task_of([[0, 0], [2, 0], [0, 2], [1, 1], [0.5, 0.5], [2, 2]] @ np.eye(2, 3), True)
    # Flat lifted points: the upper hull of a triangle sees one of the others outside.
    corner = joined([[0, 1, 2], [0, 1, 6], [0, 2, 6], [1, 2, 6]])
    found = proved_hull._Places.of(lifted, proved(lifted, *corner))
    assert found.outside.tolist() == [5] and found.on.tolist() == [False] * 3 + [True] * 2 + [False]


@pytest.mark.parametrize("mirror", [1, -1])
def test_a_flat_triangle_is_rejected(mirror):
    # The edge 0 1 is cut by its middle on one side only, with a triangle of no area between.
    points = [[0, 0, 0], [2 * mirror, 0, 0], [0, 2, 0], [0, 0, 2], [mirror, 0, 0]]
    rest = [[0, 1, 2], [0, 2, 3], [1, 2, 3], [0, 3, 4], [1, 3, 4]]
    assert proved(task_of(points), *joined([*rest, [0, 1, 4]])) is None
    whole = [[0, 1, 2], [0, 2, 3], [1, 2, 3], [0, 1, 3]]
    assert proved(task_of(points), *joined(whole)) is not None


@pytest.mark.long
@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("k", range(2, 9))
def test_signs_of_doubles_are_those_of_integers(k, vertical):
    # Every sign on which a proof rests, in every dimension: a kernel that turned one would pass.
    rng = np.random.Generator(np.random.Philox([k, vertical]))
    points = 2.0 * rng.integers(-50, 51, (k + max(4, 12 - k), k))
    middles = [(points[0] + points[1]) / 2, *(np.round(points[i:].mean(axis=0)) for i in range(3))]
    points = np.vstack([points, middles])
    task = task_of(points, vertical)
    proposal = proved_hull._proposal(task, np.arange(task.n), proposed_hull(task.near))
    found = proved(task, *proposal, flip=False)
    m, sign = len(found.facets), task.rows.sign
    for f, facet in enumerate(found.facets.tolist()):
        side = sign([*facet, task.n]) if vertical and facet[-1] < task.n else 0
        assert bool(found.walls[f]) == (vertical and side == 0)
        assert found.sides[f] == (side or sign([*facet, task.n + 1]))
        for i, (g, j) in enumerate(zip(found.neighbours[f], found.back[f], strict=True)):
            assert found.signs[f, i] == found.sides[f] * sign([*facet, found.facets[g, j]])
    idle = np.setdiff1d(np.arange(task.n), found.used)
    where, state = np.full(len(idle), found.start), np.zeros(len(idle), np.int8)
    coordinates, seen = np.zeros((len(idle), k), np.int8), np.zeros(m, np.bool_)
    hull_signs.locate(
        task.points, task.errors, found.facets, found.neighbours, found.sides, found.normals,
        found.slacks, found.inner, found.inner_error, vertical, task.whole, found.walls,
        found.start, idle, where, state, coordinates, np.zeros(1, np.int64),
    )  # fmt: skip
    for j, f, here, signs in zip(idle.tolist(), where.tolist(), state, coordinates, strict=True):
        height = found.sides[f] * sign([*found.facets[f].tolist(), j])
        expected = {1: hull_signs.IN, 0: hull_signs.ON, -1: hull_signs.OUT}[height]
        assert here in (expected, hull_signs.UNSURE)
        exact = exact_places(task, found, f, j)
        assert all(a in (b, hull_signs.OPEN) for a, b in zip(signs.tolist(), exact, strict=True))
    for f in np.flatnonzero(~found.walls)[:20].tolist():
        middle = task.mean(task.n + 2, found.facets[f])
        hull_signs.hit(
            task.points, task.errors, found.facets, found.walls, found.sides, *middle,
            found.inner, found.inner_error, vertical, seen,
        )  # fmt: skip
        assert seen[f] and seen.sum() < max(m // 2, 3)
        for g in np.flatnonzero(~seen & ~found.walls).tolist():
            assert min(exact_places(task, found, g, task.n + 2)) < 0


def test_an_edge_folded_over_is_rejected():
    # Seen from inside the point 2 lies between 0 and 1: the path goes back from 1 to 2, and each
    # edge has the next point on its inner side.
    points = [[8, -2], [6, 8], [5, 3], [-12, 4], [0, -12]]
    folded = [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]]
    assert proved(task_of(points), *joined(folded)) is None
    assert proved(task_of(points), *joined([[0, 1], [1, 3], [3, 4], [4, 0]])) is not None


def test_facets_folded_over_are_rejected():
    # The same with two tips.
    points = [[8, -2, 0], [6, 8, 0], [5, 3, 0], [-12, 4, 0], [0, -12, 0], [1, 0, 40], [1, 0, -40]]
    folded = [[*edge, tip] for edge in ([0, 1], [1, 2], [2, 3], [3, 4], [4, 0]) for tip in (5, 6)]
    assert proved(task_of(points), *joined(folded), flip=False) is None
    true = [[*edge, tip] for edge in ([0, 1], [1, 3], [3, 4], [4, 0]) for tip in (5, 6)]
    assert proved(task_of(points), *joined(true), flip=False) is not None


def test_neighbours_at_the_wrong_ridge_are_rejected():
    # Places 0 and 2 have one parity, so only the ridges themselves tell.
    true = boundary(OCTAHEDRON)
    for f in range(8):
        rows, neighbours = joined(true)
        neighbours[f, [0, 2]] = neighbours[f, [2, 0]]
        assert proved(task_of(OCTAHEDRON), rows, neighbours) is None


def test_a_facet_that_nobody_knows_is_rejected():
    # A copy of one facet, with its neighbours, who know only the first: a ray elsewhere misses it.
    for f in range(8):
        rows, neighbours = joined(boundary(OCTAHEDRON))
        rows, neighbours = np.vstack([rows, rows[f]]), np.vstack([neighbours, neighbours[f]])
        assert proved(task_of(OCTAHEDRON), rows, neighbours) is None


def test_a_hole_closed_by_its_neighbours_is_rejected():
    for f in range(8):
        rows, neighbours = joined(boundary(OCTAHEDRON))
        around = neighbours[f]
        for one, other in zip(around, np.roll(around, 1), strict=True):
            neighbours[one, neighbours[one] == f] = other
        keep = np.arange(8) != f
        number = np.cumsum(keep) - 1
        assert proved(task_of(OCTAHEDRON), rows[keep], number[neighbours[keep]]) is None


def test_a_border_with_a_dent_is_rejected():
    # Upper facets on one plane over a quadrilateral with a dent at 3: only the walls bend wrongly.
    points = [[0, 0, 0], [8, 0, 0], [0, 8, 0], [3, 3, 0]]
    dented = [[0, 1, 3], [0, 2, 3], *([a, b, 4] for a, b in ((0, 1), (0, 2), (1, 3), (2, 3)))]
    assert proved(task_of(points, vertical=True), *joined(dented), flip=False) is None
    whole = [[0, 1, 2], *([a, b, 4] for a, b in ((0, 1), (0, 2), (1, 2)))]
    assert proved(task_of(points, vertical=True), *joined(whole), flip=False) is not None


def exact_hull(points):
    """The closed hull of doubles."""
    p = np.array(points, dtype=float)
    return hull(p, np.zeros(p.shape), lambda js: rational_matrix(p[np.asarray(js)]), False)


def test_vertices_that_are_no_corners_are_dropped(monkeypatch):
    # An octahedron whose edge 0 2 is cut in its middle, 6, and the facet 1 3 5 in its inside, 7.
    points = [[3 * v for v in p] for p in OCTAHEDRON] + [[1.5, 1.5, 0], [-1, -1, -1]]
    cut = [f for f in boundary(OCTAHEDRON) if not {0, 2} <= set(f) and sorted(f) != [1, 3, 5]]
    cut += [[v, 6, w] for v in (0, 2) for w in (4, 5)] + [[1, 3, 7], [1, 5, 7], [3, 5, 7]]
    rows, neighbours = joined(cut)
    assert proved(task_of(points), rows, neighbours) is not None
    asked = []

    def propose(given):
        asked.append(len(given))
        return (rows, neighbours, None) if len(given) == 8 else proposed_hull(given)

    monkeypatch.setattr(proved_hull, "proposed_hull", propose)
    found = exact_hull(points)
    assert asked == [8, 6]
    assert found.corner.tolist() == [True] * 6 + [False] * 2
    assert found.on.tolist() == [False] * 6 + [True] * 2
    opposite = {(0, 1), (2, 3), (4, 5)}
    assert set(map(tuple, found.edges().tolist())) == {*combinations(range(6), 2)} - opposite


def near_facet(seed):
    """Three points, and others within a few units in the last place of their triangle's plane."""
    rng = np.random.Generator(np.random.Philox([77, seed]))
    corners = rng.random((3, 3)) + 0.3
    shares = rng.dirichlet([1, 1, 1], 6)
    shares[3:, 2] = 0.0
    shares /= shares.sum(axis=1, keepdims=True)
    points = shares @ corners
    # The first ones lie in the triangle, next to its plane; the others below its border.
    points[3:, 2] -= 0.2
    points[:3, 2] = np.nextafter(points[:3, 2], points[:3, 2] + [-1, 0, 1])
    return np.vstack([corners, points])


def above_or_beside(points, j):
    """Whether point j is not in or below the triangle of the first three, in rationals."""
    a, b, c, p = ([Fraction(v) for v in points[i]] for i in (0, 1, 2, j))

    def area(p, q, r):
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    shares = [area(p, b, c) / area(a, b, c), area(a, p, c) / area(a, b, c)]
    shares.append(1 - sum(shares))
    height = sum(s * v[2] for s, v in zip(shares, (a, b, c), strict=True))
    return min(shares) < 0 or p[2] > height


def test_keys_next_to_a_facet_or_border_are_located_exactly():
    outside = 0
    for seed in range(40):
        points = near_facet(seed)
        task, n = task_of(points, vertical=True), len(points)
        proof = proved(task, *joined([[0, 1, 2], [0, 1, n], [0, 2, n], [1, 2, n]]))
        found = proved_hull._Places.of(task, proof)
        assert found.outside.tolist() == [j for j in range(3, n) if above_or_beside(points, j)]
        outside += len(found.outside)
    assert 60 < outside < 180 and task.rows.count > 0


@pytest.mark.parametrize("k", range(2, 6))
def test_no_sign_is_given_that_rounding_may_have_turned(k):
    # Points within rounding of one hyperplane: simplices with a ridge in common, the last vertex.
    rng = np.random.Generator(np.random.Philox([78, k]))
    points = rng.random((60, k)) * 0.1
    points[:, -1] = points[:, :-1] @ rng.random(k - 1)
    task = task_of(points)
    chosen = np.sort([rng.permutation(60)[: k + 1] for _ in range(300)], axis=1)
    facets = np.empty((600, k), np.int64)
    facets[::2], facets[1::2] = chosen[:, :-1], chosen[:, 1:]
    neighbours = np.repeat(np.arange(600)[:, None], k, axis=1)
    neighbours[::2, 0] += 1
    back = np.full((600, k), k - 1)
    normals, slacks = np.empty((600, k)), np.empty((600, k))
    sides, walls = np.empty(600, np.int8), np.empty(600, np.bool_)
    middle = task.mean(task.n + 1, np.arange(60))
    hull_signs.normals_of(
        task.points, task.errors, facets, False, *middle, task.whole, normals, slacks, sides, walls
    )
    signs = np.empty((600, k), np.int8)
    ones = np.ones(600, np.int8)
    hull_signs.convexity(
        task.points, task.errors, facets, neighbours, back, ones, normals, slacks, task.whole, signs
    )
    bends = [task.rows.sign(row) for row in chosen.tolist()]
    given = signs[::2, 0].tolist()
    assert all(s in (b, hull_signs.OPEN) for s, b in zip(given, bends, strict=True))
    seen = [task.rows.sign([*row, task.n + 1]) for row in facets.tolist()]
    assert all(s in (b, hull_signs.OPEN) for s, b in zip(sides.tolist(), seen, strict=True))
    assert sum(b != 0 for b in bends) > 200 and given.count(hull_signs.OPEN) > 100


def test_faces_of_a_join_where_facets_are_more_than_the_codimension():
    # Cube and square in skew spaces of R^6: the cube lies in four facets and has codimension 3.
    cube = [[*p, 0, 0, 0] for p in product((0, 1), repeat=3)]
    square = [[0, 0, 0, *p, 1] for p in product((0, 1), repeat=2)]
    found = head_diagram(TropicalPolynomial(np.array(cube + square, dtype=float)))
    assert found.closed
    # Faces of a join are joins of faces, the empty one included.
    expected = np.polymul([1, 6, 12, 8, 1], [1, 4, 4, 1])[::-1]
    assert found.f_vector() == tuple(expected[1:].tolist())


@pytest.mark.parametrize("k", range(2, 7))
@pytest.mark.parametrize("bits", [3, 57, 200])
def test_signs_of_long_integers_are_those_of_rationals(k, bits):
    # The last point of each row is another one, moved along two others and by at most 1.
    rng = np.random.Generator(np.random.Philox([k, bits]))
    random = Random(k + bits)
    most = 2**bits - 1
    rows = [[random.choice((most, -most, random.randint(-most, most))) for _ in range(k)]
            for _ in range(40)]  # fmt: skip
    batch = np.array([rng.permutation(40)[: k + 1] for _ in range(200)])
    for at, chosen in enumerate(batch.tolist()):
        a, b, *others = (rows[j] for j in chosen[:-1])
        step = [random.choice((0, 0, 1)) * (v - u) for u, v in zip(a, b, strict=True)]
        near = [u + w for u, w in zip(others[-1] if others else a, step, strict=True)]
        near[random.randrange(k)] += random.choice((0, 0, 1, -1))
        rows.append([max(-most, min(most, v)) for v in near])
        batch[at, -1] = len(rows) - 1
    n = len(rows)
    batch[::7, -1] = n  # Infinity.
    batch[1::7, 1] = n + 1  # The sum of k + 1 points.
    found = ExactRows(lambda js: None, n, k, lambda js: np.array(rows, object)[js], bits)
    plain = ExactRows(lambda js: flint.fmpq_mat([rows[j] for j in js]), n, k)
    for each in (found, plain):
        total = [sum(parts) for parts in zip(*(each.row(j) for j in range(k + 1)), strict=True)]
        each.set_row(n + 1, total)
    signs = found.signs(batch).tolist()
    assert signs == [plain.sign(row) for row in batch.tolist()]
    assert len(set(signs)) == 3


def test_insertion_needs_no_compiled_integers(monkeypatch):
    monkeypatch.setattr(proved_hull, "recut", lambda *_: None)
    grid = np.array(list(product(range(3), repeat=3))) * 0.1 + 0.3
    found = head_diagram(TropicalPolynomial(grid, -(grid**2).sum(axis=1)))
    assert found.found.inserted and found.n_cells > 8
    monkeypatch.setattr(exact_signs, "_COMPILED", 1)
    other = head_diagram(TropicalPolynomial(grid, -(grid**2).sum(axis=1)))
    assert other.found.inserted and found.cells == other.cells
