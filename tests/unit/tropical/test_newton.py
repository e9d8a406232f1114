from __future__ import annotations

import random
from importlib.util import find_spec

import numpy as np
import pytest
from reference import families, polytopes

from tropattn import NewtonPolytope, TropicalPolynomial
from tropattn.errors import InvalidInput
from tropattn.polyhedra import _cdd
from tropattn.tropical.terms import AffineMap

KINDS = ("integer", "float", "central", "central_shifted", "low_rank", "duplicates")


def random_polynomial(seed, to_polynomial):
    rng = random.Random(seed)
    (unit,) = families.random_units(rng, rng.randint(1, 4), [rng.randint(1, 9)], KINDS[seed % 6])
    return to_polynomial(unit)


@pytest.mark.long
def test_two_roads_to_the_vertices(to_polynomial):
    """Linear programs over all terms, and the walk along edges."""
    for seed in range(60):
        f = random_polynomial(seed, to_polynomial)
        for lifted in (False, True):
            found = NewtonPolytope.of(f, lifted=lifted)
            assert np.array_equal(found.hull.decomposition[:, 0], found.indices)
            assert found.f_vector()[:1] in ((), (len(found.indices),))
        assert np.array_equal(found.upper_hull().decomposition[:, 0], found.upper)
        if seed < 30:
            assert found.indices.tolist() == polytopes.hull_vertices(found.points.tolist())


def test_lifted_square():
    """The pyramid over four slopes with one lifted: upper and lower sides differ."""
    f = TropicalPolynomial([[0, 0], [2, 0], [0, 2], [2, 2], [1, 1]], [0, 0, 0, 0, 1])
    flat, lifted = f.newton_polytope(), f.newton_polytope(lifted=True)
    assert flat.f_vector() == (4, 4)
    assert lifted.f_vector() == (5, 8, 5)
    assert flat.volume() == 4
    assert lifted.volume() * 3 == 4
    assert lifted.upper.tolist() == [0, 1, 2, 3, 4]
    assert len(lifted.upper_hull().edges) == 8
    assert lifted.face_lattice().number_of_nodes() == 1 + 5 + 8 + 5 + 1
    assert not lifted.normal_fan().simplicial
    assert flat.normal_fan().simplicial
    assert flat.graph().number_of_edges() == 4
    assert flat.support([[1, 1], [-1, 0]]).tolist() == [4.0, 0.0]
    with pytest.raises(InvalidInput, match="lifted"):
        flat.upper_hull()


def test_inequalities_in_doubles_agree_with_the_exact_ones(to_polynomial):
    """Facets by cddlib against ours, as sets of vertices; and back from H to V by cddlib."""
    tried = 0
    for seed in range(60):
        if KINDS[seed % 6] == "float":
            continue
        found = NewtonPolytope.of(random_polynomial(seed, to_polynomial))
        if found.dim < 1:
            continue
        rows = found.vertices.astype(float)
        A, b, E, e = found.float_inequalities()
        theirs = {
            frozenset(np.flatnonzero(np.abs(rows @ r - s) < 1e-7))
            for r, s in zip(A, b, strict=True)
        }
        assert theirs == {f.vertices for f in found.hull.facets()}
        assert len(E) == len(e) == rows.shape[1] - found.dim
        A, b, E, e = (m.astype(float) for m in found.inequalities())
        both = np.vstack([A, E, -E]), np.concatenate([b, e, -e])
        vertices, rays = _cdd.generators(*both)
        assert not len(rays)
        assert sorted(np.round(vertices, 6).tolist()) == sorted(np.round(rows, 6).tolist())
        tried += 1
    assert tried > 30


def test_exact_inequalities_by_cddlib_where_it_has_rationals(to_polynomial):
    if find_spec("cdd.gmp") is None:
        pytest.skip("cdd.gmp is not installed")
    found = NewtonPolytope.of(random_polynomial(0, to_polynomial))
    A, b, _, _ = _cdd.inequalities(found.hull.exact_vertices())
    assert len(A) == len(b) == len(found.hull.facets())


def test_factored_polynomials_are_not_rounded():
    """Slopes of a low-rank head keep their rank: a polygon in R^3, exact though 0.1 is not."""
    rng = np.random.default_rng(3)
    head = TropicalPolynomial.factored(
        rng.standard_normal((7, 2)),
        scale=0.1,
        maps=(AffineMap(rng.standard_normal((3, 2)), np.zeros(2)),),
    )
    found = head.newton_polytope()
    assert found.dim == 2
    assert found.points.dtype == object
    corners = len(found.indices)
    assert found.f_vector() == (corners, corners)
    assert found.volume() == 0
    assert len(found.normal_fan().lineality) == 1


def test_one_term():
    found = TropicalPolynomial([[3, 4]], [5]).newton_polytope()
    assert (found.dim, found.f_vector(), found.hull.facets()) == (0, (), ())
    assert len(found.normal_fan().lineality) == 2
    A, _, E, e = found.inequalities()
    assert A.shape == (0, 2)
    assert [r @ np.array([3, 4]) for r in E] == e.tolist()
