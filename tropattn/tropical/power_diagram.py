"""Power (Laguerre) diagrams: the cells of one head (theory T2)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import as_array, as_fractions, fraction_array, freeze, to_float
from tropattn.errors import InvalidInput
from tropattn.polyhedra.extreme import shared_walls
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.tropical.live import live_terms
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.refinement import Refinement

__all__ = ["PowerDiagram"]

Array = NDArray[Any]


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
        self._polynomial = TropicalPolynomial(self.sites, _plain(half))

    @classmethod
    def from_polynomial(cls, f: TropicalPolynomial) -> PowerDiagram:
        """The diagram with weights ``|a_j|^2 + 2 c_j``; it keeps ``f`` for exact decisions."""
        self = cls.__new__(cls)
        self.sites = f.slopes
        self.weights = freeze(_plain(_squares(f.slopes) + 2 * as_fractions(f.intercepts)))
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
        site. Cost: one small program a pair of live sites.

        >>> sorted(PowerDiagram([[0], [1], [2]], [0, 0, 0]).adjacency().edges)
        [(0, 1), (1, 2)]
        """
        live = live_terms(self._polynomial).live
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(live.tolist())
        if len(live) < 2:
            return graph
        f = self._polynomial
        only = TropicalPolynomial.factored(f.keys[live], f.biases[live], scale=f.scale, maps=f.maps)
        refinement = Refinement.of([only])
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


def _plain(values: Array) -> Array:
    """Doubles where they hold the numbers exactly, else the rationals."""
    try:
        near, lost = to_float(values)
    except InvalidInput:
        # Squares of large slopes are beyond the doubles.
        return values
    return values if lost.any() else near
