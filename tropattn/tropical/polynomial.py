"""Tropical polynomials and power diagrams: scores of a head, and the cells of their winners (T2).

One is the other: sites are slopes. The polynomial gives what is dual to its cells as well.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, as_fractions, fraction_array, freeze, plain, to_float
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.extreme import shared_walls
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.threads import aside
from tropattn.tropical.geometry.diagram import head_diagram
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.geometry.newton import NewtonPolytope
from tropattn.tropical.geometry.regular import RegularSubdivision
from tropattn.tropical.geometry.subdivision import subdivision
from tropattn.tropical.max_affine import MaxAffine, with_terms
from tropattn.tropical.refinement import Refinement

__all__ = ["PowerDiagram", "TropicalPolynomial"]


class TropicalPolynomial(MaxAffine):
    """The convex piecewise linear function ``f(x) = max_j <a_j, x> + c_j`` (max-plus; theory T1).

    Parameters
    ----------
    slopes : (N, d) numbers, the ``a_j``; floats are read as the dyadic rationals they are, object
        arrays of ``int`` or ``Fraction`` stay exact.
    intercepts : (N,) numbers, the ``c_j`` (scaled logits); zero when omitted.

    Raises
    ------
    InvalidInput : no terms, no coordinates, NaN or infinity, or lengths that differ.

    Examples
    --------
    >>> f = TropicalPolynomial([[0], [1], [2]], [0, -1, -4])    # max(0, x - 1, 2x - 4)
    >>> f([2.0]), f.argmax([2.0]), f.gap([2.0])
    (1.0, 1, 1.0)
    >>> f.argmax([1.0]), f.gap([1.0])       # a tie: the smallest index
    (0, 0.0)
    """

    def active_terms(self, domain: Domain | None = None) -> NDArray[np.int64]:
        """Indices of the live terms on the domain's interior, ascending; duplicates once (T2)."""
        return live_terms(self, domain).live

    def power_diagram(self) -> PowerDiagram:
        """The power diagram with the same cells (T2)."""
        return PowerDiagram.from_polynomial(self)

    def newton_polytope(self, lifted: bool = False) -> NewtonPolytope:
        """``conv{a_j}``, or with ``lifted`` ``conv{(a_j, c_j)}`` in one dimension more (T3)."""
        return NewtonPolytope.of(self, lifted=lifted)

    def subdivision(self) -> RegularSubdivision:
        """The regular subdivision of ``conv{a_j}`` dual to the cells (T3)."""
        return subdivision(self)


class PowerDiagram:
    """Cells ``{x : |x - a_j|^2 - w_j <= |x - a_i|^2 - w_i for all i}`` of sites with weights.

    Parameters
    ----------
    sites : (N, d), the ``a_j``; weights : (N,), the ``w_j``. Site ``j`` has the cell of term ``j``
        of ``max_j <a_j, x> + (w_j - |a_j|^2) / 2`` (Aurenhammer 1987; theory T2).

    >>> PowerDiagram([[0], [2]], [0, 0]).to_polynomial().intercepts.tolist()    # wall at x = 1
    [0.0, -2.0]
    """

    __slots__ = ("_polynomial", "sites", "weights")
    sites: Array
    weights: Array

    def __init__(self, sites: Any, weights: Any) -> None:
        self.sites = as_array("sites", sites, 2, shape="(N, d)")
        self.weights = as_array("weights", weights, 1, shape="(N,)")
        if len(self.sites) != len(self.weights):
            raise InvalidInput(
                f"weights: one a site needed ({len(self.sites)}), got {len(self.weights)}; "
                "use zeros for a Voronoi diagram."
            )
        half = (as_fractions(self.weights) - _squares(self.sites)) / 2
        self._polynomial = TropicalPolynomial(self.sites, plain(half))

    @classmethod
    def from_polynomial(cls, f: TropicalPolynomial) -> PowerDiagram:
        """The diagram with weights ``|a_j|^2 + 2 c_j``; it keeps ``f`` for exact decisions."""
        self = cls.__new__(cls)
        self.sites = f.slopes
        self.weights = freeze(plain(_squares(f.slopes) + 2 * as_fractions(f.intercepts)))
        self._polynomial = f
        return self

    def to_polynomial(self) -> TropicalPolynomial:
        """The tropical polynomial with the same cells, term for term."""
        return self._polynomial

    def cell(self, j: int) -> Polyhedron:
        """The closed cell of site ``j`` as ``A x <= b`` (it may be empty or flat: a dead site).

        Rows of equal sites with equal weights are left out: they share the cell. Differences of
        doubles are rounded once, from the exact terms where the sites are products of factors.
        """
        n = len(self.sites)
        if not 0 <= j < n:
            raise InvalidInput(f"j: a site index in 0..{n - 1} needed, got {j}.")
        _, classes = self._polynomial.distinct
        others = np.flatnonzero(classes != classes[j])
        f = self._polynomial
        if f.maps or f.scale != 1:
            terms = fraction_array(f.exact_terms([j, *others.tolist()]))
            rows, _ = to_float(terms[1:] - terms[0])
            return Polyhedron(freeze(rows[:, :-1].copy()), freeze(-rows[:, -1]))
        slopes, intercepts = f.slopes, f.intercepts
        return Polyhedron(
            freeze(slopes[others] - slopes[j]), freeze(intercepts[j] - intercepts[others])
        )

    def adjacency(self) -> nx.Graph[int]:
        """Graph on the live sites; an edge where two cells share a wall of dimension d - 1.

        Dual to the regular subdivision of the sites (T3). Every edge is proved, as every live
        site. Cost: in few dimensions one hull; else one small program per pair of live sites.

        >>> sorted(PowerDiagram([[0], [1], [2]], [0, 0, 0]).adjacency().edges)
        [(0, 1), (1, 2)]
        """
        graph: nx.Graph[int] = nx.Graph()
        found = aside(head_diagram, self._polynomial)
        if found is not None:
            graph.add_nodes_from(found.live.tolist())
            graph.add_edges_from(found.walls.tolist())
            return graph
        live = live_terms(self._polynomial).live
        graph.add_nodes_from(live.tolist())
        if len(live) < 2:
            return graph
        refinement = Refinement.of([with_terms(self._polynomial, live)])
        edges = shared_walls(
            refinement.terms,
            refinement.errors,
            (refinement.walls, refinement.wall_rho),
            lambda j: refinement.exact_rows([(0, j)]),
        )
        graph.add_edges_from((int(live[i]), int(live[j])) for i, j in edges)
        return graph

    def __repr__(self) -> str:
        return f"PowerDiagram({len(self.sites)} sites in R^{self.sites.shape[1]})"


def _squares(sites: Array) -> Array:
    exact = as_fractions(sites)
    return np.array([sum((v * v for v in row), Fraction(0)) for row in exact], dtype=object)
