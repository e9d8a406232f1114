"""Newton polytopes: the dual of a head's cells (theory T3)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor, prod
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, freeze, is_whole
from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.polyhedra import _cdd
from tropattn.polyhedra.minkowski import Facet, MinkowskiSum, minkowski_sum
from tropattn.polyhedra.normal_fan import NormalFan
from tropattn.threads import aside
from tropattn.tropical.geometry.diagram import head_diagram
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.geometry.points import term_points
from tropattn.tropical.max_affine import MaxAffine
from tropattn.values import Value, counted

__all__ = ["NewtonPolytope"]


_FEW = 32
"""Terms up to which small programs are as fast, by kernels that nearly every command compiles."""


@dataclass(frozen=True, eq=False, repr=False)
class NewtonPolytope(Value):
    """``conv{a_j}`` of a tropical polynomial, or its lift ``conv{(a_j, c_j)}`` (T3).

    Its faces come from ``hull``, which walks along edges and shares no code with the test behind
    ``indices``; everything but ``float_inequalities`` and ``support`` of doubles is exact.

    Attributes
    ----------
    points : (N, d) or (N, d + 1), one per term; exact objects for factored or exact polynomials.
    indices : terms at the vertices, ascending, the smallest index of equal points.
    upper : terms at upper vertices of the lift: the live terms, one per cell.
    lifted : whether the last coordinate is the intercept.
    """

    points: Array
    indices: NDArray[np.int64]
    upper: NDArray[np.int64]
    lifted: bool = False

    def __repr__(self) -> str:
        kind = "lifted, " if self.lifted else ""
        corners = counted(len(self.indices), "vertex", "vertices")
        points = counted(len(self.points), "point")
        return f"NewtonPolytope({kind}{corners} of {points} in R^{self.points.shape[1]})"

    @classmethod
    def of(cls, f: MaxAffine, lifted: bool = False) -> NewtonPolytope:
        """The polytope of ``f``; every vertex is decided exactly.

        Cost: two proved hulls of the N terms (T20), or two small programs a term.

        >>> f = MaxAffine([[0], [1], [2]], [0, -1, 0])
        >>> NewtonPolytope.of(f).vertices.tolist(), NewtonPolytope.of(f, lifted=True).f_vector()
        ([[0.0], [2.0]], (3, 3))
        """
        points = term_points(f, lifted)
        # The vertices of a hull are the live terms of the polynomial without intercepts.
        return cls(points, _live(MaxAffine(points)), _live(f), lifted)

    @classmethod
    def from_points(cls, points: Any) -> NewtonPolytope:
        """The convex hull of points (N, d).

        >>> NewtonPolytope.from_points([[0, 0], [2, 0], [0, 2], [1, 1]]).indices.tolist()
        [0, 1, 2]
        """
        return cls.of(MaxAffine(as_array("points", points, 2, shape="(N, d)")))

    @property
    def vertices(self) -> Array:
        """Coordinates of the vertices, in the order of ``indices``: the V-representation."""
        return self.points[self.indices]

    @cached_property
    def hull(self) -> MinkowskiSum:
        """The polytope as a sum of one summand; its vertices are in the order of ``indices``."""
        return minkowski_sum([self.points])

    def upper_hull(self) -> MinkowskiSum:
        """Upper vertices and the edges between them: live cells and their walls (T3).

        Raises ``InvalidInput`` unless the polytope is lifted.

        >>> f = MaxAffine([[0], [1], [2]], [0, -1, 0])
        >>> NewtonPolytope.of(f, lifted=True).upper_hull().decomposition.ravel().tolist()
        [0, 2]
        """
        if not self.lifted:
            raise InvalidInput(
                "upper_hull: a lifted polytope needed, got slopes only; use "
                "f.newton_polytope(lifted=True)."
            )
        return minkowski_sum([self.points], upper=True)

    @property
    def dim(self) -> int:
        """Dimension of the polytope itself, exact."""
        return self.hull.dim

    def f_vector(self) -> tuple[int, ...]:
        """Numbers of faces of dimension 0, 1, ..., dim - 1 (proper faces), exactly.

        Euler's relation is checked. See ``MinkowskiSum.f_vector``.

        >>> NewtonPolytope.of(MaxAffine([[0, 0], [1, 0], [0, 1], [1, 1]])).f_vector()
        (4, 4)
        """
        return self.hull.f_vector()

    def graph(self) -> nx.Graph[int]:
        """Vertices (places in ``indices``) and edges."""
        return self.hull.graph()

    def facets(self) -> tuple[Facet, ...]:
        """All facets with their vertices (places in ``indices``). See ``MinkowskiSum.facets``.

        >>> [f.normal for f in NewtonPolytope.from_points([[0, 0], [1, 0], [0, 1]]).facets()]
        [(-1, 0), (0, -1), (1, 1)]
        """
        return self.hull.facets()

    def lattice_points(self, most: int = 1_000_000) -> NDArray[np.int64]:
        """Integer points of the polytope and its boundary, (n, d), in lexicographic order.

        Cost: the integer points of the box around it, at most ``most`` of them; else
        ``BudgetExceeded``.

        >>> NewtonPolytope.from_points([[0, 0], [2, 0], [0, 1]]).lattice_points().tolist()
        [[0, 0], [0, 1], [1, 0], [2, 0]]
        """
        if not is_whole(most) or most < 1:
            raise InvalidInput(f"most: an integer >= 1 needed, got {most!r}; points of the box.")
        exact = self.hull.exact_vertices()
        low = [ceil(min(column)) for column in exact.T.tolist()]
        high = [floor(max(column)) for column in exact.T.tolist()]
        sizes = [max(0, b - a + 1) for a, b in zip(low, high, strict=True)]
        if prod(sizes) > most:
            raise BudgetExceeded(
                f"most: at least {prod(sizes)} needed for the box around it, got {most}; raise it.",
                0,
            )
        grid = np.indices(sizes).reshape(len(sizes), -1).T.astype(object)
        grid = grid + np.array(low, dtype=object)
        rows, right, equations, level = self.inequalities()
        inside = (grid @ rows.T <= right).all(axis=1) if len(rows) else np.ones(len(grid), bool)
        inside &= (grid @ equations.T == level).all(axis=1) if len(equations) else True
        return freeze(grid[inside.astype(bool)].astype(np.int64))

    def face_lattice(self) -> nx.DiGraph[frozenset[int]]:
        """Hasse diagram of the faces, as sets of places in ``indices``; ``dim`` on each node."""
        return self.hull.face_lattice()

    def normal_fan(self) -> NormalFan:
        """Facet normals, and one cone of them per vertex: the cells of a central head (T3)."""
        return self.hull.normal_fan()

    def inequalities(self) -> tuple[Array, Array, Array, Array]:
        """The H-representation ``A x <= b``, ``E x = e``, in rationals: ``(A, b, E, e)``.

        >>> A, b, _, _ = NewtonPolytope.of(MaxAffine([[0], [2]])).inequalities()
        >>> A.tolist(), [int(v) for v in b]
        ([[-1], [1]], [0, 2])
        """
        return self.hull.inequalities()

    def float_inequalities(self) -> tuple[Array, Array, Array, Array]:
        """The same in doubles, by cddlib; rows are scaled and ordered as it gives them."""
        return _cdd.inequalities(self.vertices.astype(np.float64))

    def volume(self) -> Fraction:
        """Volume in the space of the points, exactly; 0 below full dimension.

        >>> NewtonPolytope.of(MaxAffine([[0, 0], [1, 0], [0, 1]])).volume()
        Fraction(1, 2)
        """
        return self.hull.volume()

    def support(self, directions: Any) -> Any:
        """``max_j <u, p_j>`` for one direction or rows of them; exact if any number is.

        >>> NewtonPolytope.of(MaxAffine([[0, 0], [1, 2]])).support([1, 1])
        3.0
        """
        return self.hull.support(directions)


def _live(f: MaxAffine) -> NDArray[np.int64]:
    """The live terms, from one proved hull (T20) or, where that might be too large, one by one."""
    found = aside(head_diagram, f) if f.n_terms > _FEW else None
    return live_terms(f).live if found is None else found.live
