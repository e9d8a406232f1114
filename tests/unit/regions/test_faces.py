from fractions import Fraction
from math import comb

import numpy as np
import pytest
from reference import cells as brute
from reference import families

import tropattn as ta
from tropattn.errors import BudgetExceeded, EngineError, InvalidInput
from tropattn.regions.count import enumerate_regions
from tropattn.regions.faces import _of_plane


def _heads(units):
    return [
        ta.TropicalPolynomial(np.array(a, dtype=object), np.array(c, dtype=object))
        for a, c in units
    ]


def _hyperplanes(units):
    """The walls of heads of two keys."""
    return [[q - p for p, q in zip(a[0], a[1], strict=True)] + [c[1] - c[0]] for a, c in units]


def test_the_braid_arrangement_is_that_of_ordered_set_partitions():
    four = ta.face_complex(_heads(families.braid(4)[0]))
    assert four.f_vector() == (0, 1, 14, 36, 24) and len(four.lineality) == 1
    assert four.euler() == 1 and four.bounded_f_vector() == (0, 0, 0, 0, 0)


def test_the_braid_arrangement_in_five_dimensions():
    assert ta.face_complex(_heads(families.braid(5)[0])).f_vector() == (0, 1, 30, 150, 240, 120)


@pytest.mark.parametrize("family", [families.shi, families.catalan])
def test_shi_and_catalan_by_zaslavsky(family):
    units = family(3)[0]
    found = ta.face_complex(_heads(units))
    assert list(found.f_vector()) == brute.arrangement_f_vector(_hyperplanes(units))
    # Across the line that all cells contain: 4 bounded Shi regions, 12 of Catalan.
    plane = ta.Slice([0, 0, 0], [[1, 0, 0], [0, 1, 0]])
    flat = ta.face_complex(_heads(units), plane)
    assert flat.f_vector() == found.f_vector()[1:]
    assert flat.bounded_f_vector()[-1] == {families.shi: 4, families.catalan: 12}[family]


@pytest.mark.parametrize("d, n", [(1, 4), (2, 5), (3, 5)])
def test_generic_arrangements_in_closed_form(d, n):
    found = ta.face_complex(_heads(families.generic_affine(d, n)[0]))
    expected = [
        comb(n, d - k) * sum(comb(n - d + k, i) for i in range(k + 1)) for k in range(d + 1)
    ]
    assert list(found.f_vector()) == expected
    assert found.bounded_f_vector()[-1] == comb(n - 1, d)
    assert found.euler() == (-1) ** d


@pytest.mark.parametrize("family", [families.permutohedron, families.associahedron])
def test_fans_are_dual_to_their_polytopes(family):
    heads = _heads(family(4)[0])
    found = ta.face_complex(heads)
    total = ta.minkowski_sum([f.newton_polytope() for f in heads])
    assert found.f_vector() == (0, 1, *total.f_vector()[::-1])


@pytest.mark.parametrize("d, terms", [(2, (3, 4)), (3, (3, 3, 2))])
def test_strips_are_dual_to_upper_hulls(d, terms):
    heads = _heads(families.strips(d, terms)[0])
    found = ta.face_complex(heads)
    hull = ta.minkowski_sum([f.newton_polytope(lifted=True) for f in heads], upper=True)
    assert found.f_vector()[::-1] == hull.f_vector()


@pytest.mark.long
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_faces_against_the_definition(dim):
    rng = np.random.default_rng(dim)
    for case in range(8 if dim < 3 else 3):
        units = [
            (rng.integers(-1, 2, (3, dim)).tolist(), rng.integers(-1, 2, 3).tolist())
            for _ in range(2)
        ]
        found = ta.face_complex(_heads(units))
        counts = brute.refinement_faces(units)
        assert found.f_vector() == tuple(counts.get(k, 0) for k in range(dim + 1))
        if dim == 3 and case:
            continue
        box = ta.face_complex(_heads(units), ta.Box([-1] * dim, [2] * dim))
        counts = brute.refinement_faces(units, ([-1] * dim, [2] * dim))
        assert box.f_vector(closed=True) == tuple(counts.get(k, 0) for k in range(dim + 1))
        assert box.euler(closed=True) == 1 and box.euler() == (-1) ** dim
        assert box.bounded_f_vector(closed=True) == box.f_vector(closed=True)


@pytest.mark.parametrize("name, units, d", families.degenerate_cases())
def test_degenerate_layers(name, units, d):
    counts = brute.refinement_faces(units)
    found = ta.face_complex(_heads(units))
    assert found.f_vector() == tuple(counts.get(k, 0) for k in range(d + 1)), name


def test_unbounded_domains():
    heads = _heads([([[0, 0], [1, 0], [0, 1]], [0, 0, 0])])
    half = ta.face_complex(heads, ta.Polytope([[1, 0]], [1]))
    assert half.euler() == 1 and half.euler(closed=True) == -1 + 1
    quadrant = ta.face_complex(heads, ta.Polytope([[-1, 0], [0, -1]], [0, 0]))
    assert quadrant.f_vector(closed=True)[0] == 1 and quadrant.euler(closed=True) == 0


def test_the_lattice_and_the_graph():
    rng = np.random.default_rng(4)
    heads = [ta.TropicalPolynomial(rng.normal(size=(4, 2)), rng.normal(size=4)) for _ in range(2)]
    found = ta.face_complex(heads, ta.Box([-1, -1], [1, 1]))
    graph = found.dual_graph()
    other = ta.plane_cells(heads, ta.Box([-1, -1], [1, 1]))
    assert {frozenset(e) for e in graph.edges} == {frozenset(e) for e in other.adjacency().edges}
    lattice = found.face_lattice()
    assert lattice.number_of_nodes() == sum(found.f_vector(closed=True))
    for i in range(len(found.levels[1])):
        assert len(list(lattice.predecessors((1, i)))) == 2
        assert len(list(lattice.successors((1, i)))) == len(found.sides[i])


# ---- networks in planes --------------------------------------------------------------------------


def _attention(rng, heads, keys, dim):
    slopes = [ta.TropicalPolynomial(rng.normal(size=(keys, dim))) for _ in range(heads)]
    return ta.FixedLayer(slopes, [rng.normal(size=(keys, dim)) for _ in range(heads)])


def test_edges_with_jumps_and_without_are_the_same_where_cells_meet_face_to_face():
    rng = np.random.default_rng(5)
    heads = [ta.TropicalPolynomial(rng.normal(size=(4, 2)), rng.normal(size=4)) for _ in range(3)]
    for domain in (None, ta.Box([-1, -1], [1, 1])):
        one = ta.face_complex(heads, domain)
        two = _of_plane(enumerate_regions(heads, domain), 10**6)
        two.check_euler()
        assert one.f_vector(closed=True) == two.f_vector(closed=True)
        assert one.bounded_f_vector() == two.bounded_f_vector()
        assert set(one.dual_graph().edges) == set(two.dual_graph().edges)


@pytest.mark.parametrize("seed", range(4))
def test_maps_that_jump(seed):
    """Euler's relation, the two cells beside each edge, and corners that split edges."""
    rng = np.random.default_rng([6, seed])
    net = ta.Network([_attention(rng, 2, 3, 2), _attention(rng, 1, 4, 2)])
    for domain in (None, ta.Box([-2, -2], [2, 2])):
        found = ta.face_complex(net, domain)
        assert found.euler() == 1 and len(found) == len(enumerate_regions(net, domain))
        corners = found.corners
        for (p, q), cells in zip(found.levels[1], found.sides, strict=True):
            if q >= len(corners) or len(cells) < 2:
                continue
            middle = (corners[p] + corners[q]) / 2
            across = np.array([corners[p][1] - corners[q][1], corners[q][0] - corners[p][0]])
            for step in (Fraction(1, 10**9), -Fraction(1, 10**9)):
                point = middle + step * across
                pattern = net.routing(point).tolist()
                assert pattern in [found.patterns[i].tolist() for i in cells]
            assert not np.array_equal(*found.patterns[list(cells)])


def test_a_jump_splits_an_edge():
    # Right of 0 the state jumps by 5 up, and then the wall y = 0 cuts there at -5 only.
    jump = ta.FixedLayer([ta.TropicalPolynomial([[0, 0], [1, 0]])], [[[0, 0], [0, 5]]])
    cut = ta.FixedLayer([ta.TropicalPolynomial([[0, 0], [0, 1]])], [[[0, 0], [0, 0]]])
    found = ta.face_complex(ta.Network([jump, cut]))
    assert found.f_vector() == (2, 5, 4) and found.bounded_f_vector() == (2, 1, 0)
    assert sorted(map(tuple, found.corners.astype(int).tolist())) == [(0, -5), (0, 0)]


def test_what_is_refused():
    f = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    with pytest.raises(BudgetExceeded, match="max_faces") as error:
        ta.face_complex(f, ta.Box([-1, -1], [1, 1]), max_faces=5)
    assert error.value.lower > 5
    with pytest.raises(InvalidInput, match="max_faces"):
        ta.face_complex(f, max_faces=0)
    rng = np.random.default_rng(7)
    net = ta.Network([_attention(rng, 1, 3, 3), _attention(rng, 1, 3, 3)])
    with pytest.raises(InvalidInput, match="at most two parameters"):
        ta.face_complex(net)
    with pytest.raises(InvalidInput, match="dimension in"):
        ta.face_complex(f).faces(3)


def test_a_wrong_number_is_noticed():
    found = ta.face_complex(ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]]))
    object.__setattr__(found, "levels", (found.levels[0], found.levels[1][:-1], found.levels[2]))
    with pytest.raises(EngineError, match="Euler"):
        found.check_euler()
