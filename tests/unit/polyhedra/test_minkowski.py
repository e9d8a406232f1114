from __future__ import annotations

import random
from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
from reference import families, polytopes

from tropattn.errors import BudgetExceeded, EngineError, InvalidInput
from tropattn.polyhedra import edges, faces
from tropattn.polyhedra.edges import Directions, spans_extreme_ray
from tropattn.polyhedra.minkowski import minkowski_sum


def random_cone(rng, dim, count, reach):
    """Distinct primitive vectors with positive first coordinate: a pointed cone."""
    found = set()
    while len(found) < count:
        vector = [rng.randint(1, reach), *(rng.randint(-reach, reach) for _ in range(dim - 1))]
        found.add(faces.primitive(vector))
    return sorted(found)


@pytest.mark.parametrize("reach", [2, 5, 10**6, 10**40])
def test_extreme_rays_by_doubles_and_by_rationals(reach):
    """Small integers (gap rule), large ones (unit rows) and huge ones, many of them degenerate."""
    rng = random.Random(reach)
    answers = set()
    for _ in range(60):
        dim = rng.randint(2, 5)
        cone = random_cone(rng, dim, rng.randint(2, 7), reach)
        # Sums of two generators lie on faces of the cone: the programs are degenerate.
        cone = sorted({*cone, faces.primitive(map(sum, zip(cone[0], cone[1], strict=True)))})
        known = Directions(dim)
        members = np.array([[known.number(v) for v in cone] + [-1]])
        found = known.extreme(members)[0].tolist()
        assert found == [*(spans_extreme_ray(cone, k) for k in range(len(cone))), False]
        answers |= set(found)
    assert answers == {True, False}


@pytest.mark.parametrize("side", [1, -1])
def test_rationals_settle_what_doubles_cannot(side):
    """A generator one part in 10^30 off the plane of two others: outside above, inside below."""
    cone = [(1, 0, 0), (10**30, 10**30, side), (0, 1, 0), (1, 1, -1)]
    known = Directions(3)
    answer = known.extreme(np.array([[known.number(v) for v in cone]]))[0].tolist()
    assert answer == [True, side > 0, True, True]
    assert known.exact_decisions > 0


def test_a_wrong_proposal_is_not_believed():
    """The basis that the doubles propose is only a start."""
    cone = [(1, 0), (1, 1), (1, 2)]
    assert spans_extreme_ray(cone, 1, [-1, -2]) is False
    assert spans_extreme_ray(cone, 2, [0, -2]) is True
    assert spans_extreme_ray(cone, 2, [0, 0]) is True


def test_exact_path_on_a_large_degenerate_sum():
    """A shear with entries of 40 digits: same labels and faces, decided in rationals."""
    units, d, expected = families.associahedron(4)
    rng = random.Random(1)
    shear = [[int(i == k) for k in range(d)] for i in range(d)]
    for i in range(d):
        for k in range(i):
            shear[i][k] = rng.randint(-(10**40), 10**40)
    plain = [slopes for slopes, _ in units]
    moved = []
    for rows in plain:
        out = np.empty((len(rows), d), dtype=object)
        for j, row in enumerate(rows):
            out[j] = [sum(v * s for v, s in zip(row, column, strict=True)) for column in shear]
        moved.append(out)
    a, b = minkowski_sum(plain), minkowski_sum(moved)
    assert len(b) == expected
    assert b.stats["exact_decisions"] > 0
    assert np.array_equal(a.decomposition, b.decomposition)
    assert np.array_equal(a.edges, b.edges)
    assert a.f_vector() == b.f_vector()
    assert {f.vertices for f in a.facets()} == {f.vertices for f in b.facets()}


def test_order_scale_and_threads_change_nothing():
    rng = np.random.default_rng(0)
    sets = [rng.integers(-3, 4, (5, 3)).astype(float) for _ in range(4)]
    found = minkowski_sum(sets, threads=1)
    assert np.array_equal(found.edges, minkowski_sum(sets, threads=2).edges)
    turned = minkowski_sum(sets[::-1])
    assert {tuple(t[::-1]) for t in turned.decomposition.tolist()} == {
        tuple(t) for t in found.decomposition.tolist()
    }
    scaled = minkowski_sum([p / 1024 for p in sets])
    assert np.array_equal(found.decomposition, scaled.decomposition)
    assert scaled.volume() == found.volume() / 1024**3
    thirds = minkowski_sum([np.vectorize(lambda v: Fraction(int(v), 3))(p) for p in sets])
    assert np.array_equal(found.edges, thirds.edges)
    assert thirds.volume() == found.volume() / 27


@pytest.mark.parametrize(
    "sets, dim, f_vector, decomposition",
    [
        ([[[3, 4]]], 0, (), [[0]]),
        ([[[3, 4]], [[1, 1], [1, 1]]], 0, (), [[0, 0]]),
        ([[[0, 0], [2, 2], [1, 1]], [[5, 5], [4, 4]]], 1, (2,), [[0, 1], [1, 0]]),
        ([[[0, 0], [1, 0]], [[0, 0], [2, 0]], [[0, 0], [0, 1]]], 2, (4, 4), None),
        ([[[0, 0], [0, 0], [1, 0], [0, 1]]], 2, (3, 3), [[0], [2], [3]]),
        ([[[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], [[0, 0, 0]]], 2, (4, 4), None),
    ],
)
def test_degenerate_sums(sets, dim, f_vector, decomposition):
    """One point, duplicates, collinear and parallel summands, flat sums."""
    found = minkowski_sum(sets)
    assert found.dim == dim
    assert found.f_vector() == f_vector
    if decomposition is not None:
        assert found.decomposition.tolist() == decomposition
    A, b, E, e = found.inequalities()
    assert len(E) == found.ambient_dim - dim
    for v, x in enumerate(found.exact_vertices()):
        assert all(row @ x == right for row, right in zip(E, e, strict=True))
        slack = [right - row @ x for row, right in zip(A, b, strict=True)]
        assert all(s >= 0 for s in slack)
        assert [s == 0 for s in slack] == [v in f.vertices for f in found.facets()]
    assert found.volume() == (polytopes.sum_volume(sets) if len(sets[0][0]) == 2 else 0)


def test_upper_sums_in_low_dimension():
    """Equal slopes: only the highest point stays; the ray alone spans the line."""
    found = minkowski_sum([[[1, 0], [1, 2], [1, 1]], [[0, 5]]], upper=True)
    assert found.decomposition.tolist() == [[1, 0]]
    assert (found.dim, len(found.edges), found.f_vector()) == (1, 0, (1,))
    assert [f.normal for f in found.facets()] == [(0, 1)]
    with pytest.raises(InvalidInput, match="upper"):
        found.volume()
    with pytest.raises(InvalidInput, match="upper"):
        found.face_lattice()


@pytest.mark.long
def test_faces_agree_with_each_other():
    """Lattice, f-vector, graph, fan and support of random sums tell one story."""
    rng = random.Random(5)
    for _ in range(25):
        d = rng.randint(1, 4)
        sets = [
            [[rng.randint(-2, 2) for _ in range(d)] for _ in range(rng.randint(1, 5))]
            for _ in range(rng.randint(1, 3))
        ]
        found = minkowski_sum(sets)
        lattice = found.face_lattice()
        sizes = [0] * (found.dim + 2)
        for _, data in lattice.nodes(data=True):
            sizes[data["dim"] + 1] += 1
        assert tuple(sizes[1:-1]) == found.f_vector()
        assert sizes[0] == sizes[-1] == 1
        graph = found.graph()
        pairs = {v for v, data in lattice.nodes(data=True) if data["dim"] == 1}
        if found.dim > 1:
            assert pairs == {frozenset(e) for e in graph.edges}
        assert nx.is_connected(graph)
        fan = found.normal_fan()
        assert fan.complete
        assert len(fan.rays) == len(found.facets())
        for v, cone in enumerate(fan.cones):
            # The sum of a cone's rays is a direction in which this vertex alone is highest.
            u = sum((fan.rays[r] for r in cone), np.zeros(d, dtype=object))
            heights = [x @ u for x in found.exact_vertices()]
            assert heights[v] == max(heights) == found.support(np.array(u, dtype=object))
            assert heights.count(max(heights)) == 1


def test_double_description_of_the_whole_agrees():
    """Facets found vertex by vertex, and from the cone over all points at once."""
    rng = random.Random(9)
    for _ in range(20):
        d = rng.randint(2, 4)
        points = [[rng.randint(-3, 3) for _ in range(d)] for _ in range(d + 6)]
        found = minkowski_sum([points])
        if found.dim == d:
            cone = [(1, *map(int, row)) for row in found.exact_vertices()]
            whole = {frozenset(faces.positions(mask)) for _, mask in faces.cone_facets(cone)}
            assert whole == {f.vertices for f in found.facets()}


def test_vertices_are_correctly_rounded_or_exact():
    found = minkowski_sum([[[0.1], [0.0]], [[0.2], [0.0]]])
    exact = Fraction(0.1) + Fraction(0.2)
    assert found.exact_vertices().max() == exact
    assert found.vertices.max() == float(exact)
    assert found.vertices.dtype == np.float64
    thirds = np.array([[Fraction(0)], [Fraction(1, 3)]], dtype=object)
    assert minkowski_sum([thirds, [[0.0], [1.0]]]).vertices.max() == Fraction(4, 3)
    assert found.support([[1], [-2]]).tolist() == [float(exact), 0.0]


def test_bad_input_and_budget():
    with pytest.raises(InvalidInput, match="at least one"):
        minkowski_sum([])
    with pytest.raises(InvalidInput, match="one d"):
        minkowski_sum([[[0, 1]], [[0]]])
    with pytest.raises(InvalidInput, match="finite"):
        minkowski_sum([[[0.0, np.nan]]])
    with pytest.raises(InvalidInput, match="coordinates"):
        minkowski_sum([[[0, 1]]]).support([1])
    square = [[[0, 0], [1, 0]], [[0, 0], [0, 1]]]
    with pytest.raises(BudgetExceeded) as caught:
        minkowski_sum(square, max_vertices=3)
    assert caught.value.lower == 3
    with pytest.raises(AttributeError, match="immutable"):
        minkowski_sum(square).upper = True
    with pytest.raises(EngineError, match="independent"):
        faces.cone_facets([(1, 0), (2, 0)])


def test_a_wrong_oracle_is_noticed(monkeypatch):
    """An edge found from one end only, or a missing face, is an error and never a result."""
    honest = edges.Directions.extreme
    calls = []

    def forgetful(self, members, threads=None):
        found = honest(self, members, threads)
        calls.append(1)
        if len(calls) == 4:
            found[0, np.flatnonzero(found[0])[:1]] = False
        return found

    monkeypatch.setattr(edges.Directions, "extreme", forgetful)
    with pytest.raises(EngineError, match="both ends"):
        minkowski_sum([[[0, 0], [1, 0], [0, 1], [2, 3]]])
