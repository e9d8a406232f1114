"""Newton polytopes: the dual of a head's cells (theory T3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import as_fractions, freeze, is_exact, rational_matrix
from tropattn.errors import EngineError
from tropattn.polyhedra import _cdd
from tropattn.tropical.live import live_terms
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["NewtonPolytope"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class NewtonPolytope:
    """``conv{a_j}`` of a tropical polynomial, or its lift ``conv{(a_j, c_j)}`` (T3).

    Attributes
    ----------
    points : (N, d) or (N, d + 1), one a term; exact objects for factored or exact polynomials.
    indices : terms at the vertices, ascending, the smallest index of equal points.
    upper : terms at upper vertices of the lift: the live terms, one a cell.
    """

    points: Array
    indices: NDArray[np.int64]
    upper: NDArray[np.int64]

    @classmethod
    def of(cls, f: TropicalPolynomial, lifted: bool = False) -> NewtonPolytope:
        """The polytope of ``f``; every vertex is decided exactly.

        >>> f = TropicalPolynomial([[0], [1], [2]], [0, -1, 0])
        >>> NewtonPolytope.of(f).vertices.tolist(), NewtonPolytope.of(f, lifted=True).f_vector()
        ([[0.0], [2.0]], (3, 3))
        """
        slopes, intercepts = f.slopes, f.intercepts
        if f.maps or f.scale != 1:
            # Rounded products would have other vertices: keep the products exact.
            terms = f.exact_terms()
            exact = np.array(
                [[_fraction(terms[i, k]) for k in range(terms.ncols())] for i in range(f.n_terms)],
                dtype=object,
            )
            slopes, intercepts = exact[:, :-1], exact[:, -1]
        points = slopes
        if lifted:
            if is_exact(slopes) != is_exact(intercepts):
                slopes, intercepts = as_fractions(slopes), as_fractions(intercepts)
            points = np.column_stack([slopes, intercepts])
        # The vertices of a hull are the live terms of the polynomial without intercepts.
        vertices = live_terms(TropicalPolynomial(points)).live
        return cls(freeze(points), vertices, live_terms(f).live)

    @property
    def vertices(self) -> Array:
        """Coordinates of the vertices, in the order of ``indices``."""
        return self.points[self.indices]

    @property
    def dim(self) -> int:
        """Dimension of the polytope itself, exact."""
        return _affine_dim(self.vertices)

    def f_vector(self) -> tuple[int, ...]:
        """Numbers of faces of dimension 0, 1, ..., dim - 1 (proper faces).

        Facets by cddlib (in rationals where ``cdd.gmp`` is installed), faces as intersections of
        facets, dimensions exact; Euler's relation is checked. Cost grows with the face lattice.

        >>> NewtonPolytope.of(TropicalPolynomial([[0, 0], [1, 0], [0, 1], [1, 1]])).f_vector()
        (4, 4)
        """
        vertices = self.vertices
        if len(vertices) == 1:
            return ()
        dim = self.dim
        faces = set(_cdd.facet_incidence(vertices))
        fresh = set(faces)
        while fresh:
            fresh = {a & b for a in fresh for b in faces} - faces - {frozenset()}
            faces |= fresh
        counts = [0] * dim
        for face in faces:
            counts[_affine_dim(vertices[sorted(face)])] += 1
        alternating = sum((-1) ** k * count for k, count in enumerate(counts))
        if alternating != 1 - (-1) ** dim or counts[0] != len(vertices):
            raise EngineError(
                f"f_vector: Euler's relation fails for {tuple(counts)} from cddlib's float facets; "
                "pass Fractions and install pycddlib with cdd.gmp for exact facets."
            )
        return tuple(counts)


def _fraction(value: Any) -> Any:
    from fractions import Fraction

    return Fraction(int(value.p), int(value.q))


def _affine_dim(points: Array) -> int:
    if len(points) == 1:
        return 0
    exact = as_fractions(points)
    return rational_matrix(exact[1:] - exact[:1]).rank()
