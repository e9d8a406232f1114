"""Tropical polynomials and power diagrams: scores of a head, and the cells of their winners (T2).

One is the other: sites are slopes. The polynomial gives what is dual to its cells as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

import flint
import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import (
    as_array,
    as_fractions,
    fraction_array,
    freeze,
    is_exact,
    is_whole,
    listed,
    of_kind,
    plain,
)
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, Polytope, as_domain, check_space
from tropattn.polyhedra.extreme import shared_walls
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.threads import aside
from tropattn.tropical.geometry.diagram import HeadDiagram, head_diagram, rounded
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.geometry.newton import NewtonPolytope
from tropattn.tropical.geometry.regular import RegularSubdivision
from tropattn.tropical.geometry.sites import (
    exact_site_terms,
    modular_site_terms,
    near_site_terms,
    site_intercepts,
)
from tropattn.tropical.geometry.subdivision import subdivision
from tropattn.tropical.max_affine import MaxAffine, with_terms
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.sums import read_maximum
from tropattn.tropical.terms import PRIME
from tropattn.values import Value, counted

__all__ = ["PowerDiagram", "TropicalPolynomial"]

_FEW = 16
"""Sites up to which walls are found by a program each."""

_AT_ONCE = 4_000_000
"""Scores that are held at a time where points are located."""


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

    @classmethod
    def parse(cls, text: str, variables: Sequence[str] | None = None) -> TropicalPolynomial:
        """The polynomial written as ``max(term, ...)``, in rationals.

        Terms are sums of numbers (``2``, ``3/2``, ``0.5``) and multiples of variables (``2*y``,
        ``2y``). Coordinates are ``variables`` in their order; without them ``x0, x1, ...``, or
        other names in alphabetical order. Of ``min(term, ...)`` it is the maximum of the terms with
        all signs changed: it has the same winners and cells. Raises ``InvalidInput`` with the place
        of what is not read.

        >>> f = TropicalPolynomial.parse("max(0, x + 1, 2*y - 3/2)")
        >>> [str(v) for v in f.intercepts], f([1, 0])
        (['0', '1', '-3/2'], Fraction(2, 1))
        >>> TropicalPolynomial.parse("min(y, x)", ["x", "y"]).argmax([[1, 2], [2, 1]]).tolist()
        [1, 0]
        """
        of_kind("text", text, str, "e.g. 'max(0, x + 1)'")
        names = None if variables is None else listed("variables", variables, "e.g. ['x', 'y']")
        for name in names or ():
            of_kind("variables", name, str, "e.g. ['x', 'y']")
        if names is not None and len(set(names)) < len(names):
            raise InvalidInput(f"variables: different names needed, got {names}.")
        slopes, intercepts, least = read_maximum(text, names)
        if not slopes[0]:
            raise InvalidInput(
                "text: at least one variable needed, got numbers alone; name them in variables."
            )
        sign = -1 if least else 1
        rows = np.array([[sign * v for v in row] for row in slopes], dtype=object)
        return cls(rows, np.array([sign * v for v in intercepts], dtype=object))

    def active_terms(self, domain: Domain | None = None) -> NDArray[np.int64]:
        """Indices of the live terms on the domain's interior, ascending; duplicates once (T2)."""
        return live_terms(self, domain).live

    def same_function(self, other: TropicalPolynomial) -> bool:
        """Whether ``f(x) = g(x)`` for all x, decided exactly: the terms that ever win are equal.

        The live terms of both (T2) are compared as sets of rationals; order, repeated terms and
        terms that never win do not count. Raises ``InvalidInput`` for another space. Cost: that of
        ``live_terms``, twice.

        >>> f = TropicalPolynomial([[0], [2]])
        >>> g = TropicalPolynomial([[2], [1], [0]], [0, -1, 0])
        >>> f == g, f.same_function(g), f.same_function(TropicalPolynomial([[0], [2]], [0, 1]))
        (False, True, False)
        """
        if not isinstance(other, TropicalPolynomial) or other.dim != self.dim:
            got = getattr(other, "dim", None)
            raise InvalidInput(
                f"other: a TropicalPolynomial on R^{self.dim} needed, got "
                f"{type(other).__name__ if got is None else f'one on R^{got}'}; pull one of them "
                "back to the other's variable."
            )
        return self == other or _upper_terms(self) == _upper_terms(other)

    def power_diagram(self) -> PowerDiagram:
        """The power diagram with the same cells (T2)."""
        return PowerDiagram.from_polynomial(self)

    def newton_polytope(self, lifted: bool = False) -> NewtonPolytope:
        """``conv{a_j}``, or with ``lifted`` ``conv{(a_j, c_j)}`` in one dimension more (T3)."""
        return NewtonPolytope.of(self, lifted=lifted)

    def subdivision(self) -> RegularSubdivision:
        """The regular subdivision of ``conv{a_j}`` dual to the cells (T3)."""
        return subdivision(self)


class SitePolynomial(TropicalPolynomial):
    """``max_j <a_j, x> + (w_j - |a_j|^2) / 2`` of sites and weights, whose squares stay exact.

    Built by ``PowerDiagram``. Intercepts are rationals where doubles do not hold them.
    """

    _weights: Array | None = None
    _farthest: bool = False

    @classmethod
    def of(cls, sites: Array, weights: Array, farthest: bool) -> SitePolynomial:
        """With all signs changed, the largest is the farthest site."""
        self = cls.__new__(cls)
        values = {"keys": freeze(-sites) if farthest else sites, "scale": 1, "maps": ()}
        for name, value in (*values.items(), ("_weights", weights), ("_farthest", farthest)):
            object.__setattr__(self, name, value)
        return self

    @classmethod
    def factored(cls, *args: Any, **options: Any) -> Any:
        """A polynomial made of this one is one like any other."""
        return TropicalPolynomial.factored(*args, **options)

    @cached_property
    def biases(self) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The exact intercepts."""
        assert self._weights is not None
        found = site_intercepts(self.keys, self._weights)
        return freeze(plain(-found if self._farthest else found))

    def __eq__(self, other: object) -> bool:
        """Whether a polynomial has the same terms in the same order, exactly."""
        if self is other:
            return True
        if not isinstance(other, TropicalPolynomial):
            return NotImplemented
        same_shape = (self.n_terms, self.dim) == (other.n_terms, other.dim)
        return same_shape and self.exact_terms() == other.exact_terms()

    __hash__ = TropicalPolynomial.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return TropicalPolynomial, (self.keys, self.biases)

    @cached_property
    def _float(self) -> tuple[Array, Array]:
        if self._weights is None or is_exact(self.keys) or is_exact(self._weights):
            return TropicalPolynomial(self.keys, self.biases).float_terms()
        terms, errors = near_site_terms(self.keys, self._weights)
        if self._farthest:
            terms[:, -1] *= -1
        return freeze(terms), freeze(errors)

    @cached_property
    def _modular(self) -> NDArray[np.int64]:
        if self._weights is None:
            return TropicalPolynomial(self.keys, self.biases).modular_terms()
        rows = modular_site_terms(self.keys, self._weights)
        if self._farthest:
            rows[:, -1] = -rows[:, -1] % PRIME
        return freeze(rows)

    def exact_terms(self, indices: Any = None) -> flint.fmpq_mat:
        """Rows ``(a_j, c_j)`` in rationals, of the given terms or of all."""
        if self._weights is None:
            return super().exact_terms(indices)
        chosen = slice(None) if indices is None else np.asarray(indices, dtype=np.intp)
        rows = exact_site_terms(self.keys[chosen], self._weights[chosen])
        if self._farthest:
            for j in range(rows.nrows()):
                rows[j, rows.ncols() - 1] = -rows[j, rows.ncols() - 1]
        return rows


class PowerDiagram(Value):
    """Cells ``{x : |x - a_j|^2 - w_j <= |x - a_i|^2 - w_i for all i}`` of sites with weights.

    Parameters
    ----------
    sites : (N, d) numbers, the ``a_j``; floats are read as the dyadic rationals they are, object
        arrays of ``int`` or ``Fraction`` stay exact.
    weights : (N,) numbers, the ``w_j``, or one for all: 0 gives the Voronoi diagram.
    farthest : cells of the *largest* ``|x - a_j|^2 - w_j`` instead.

    Site ``j`` has the cell of term ``j`` of ``max_j <a_j, x> + (w_j - |a_j|^2) / 2`` (Aurenhammer
    1987; theory T2). Everything is decided on the exact sites and weights; ``vertices`` alone are
    rounded. Cost: one proved hull of the lifted sites (T20), made once, when it is first needed.

    Raises
    ------
    InvalidInput : no sites, no coordinates, NaN or infinity, lengths that differ, or a
        ``farthest`` that is no truth value.

    Examples
    --------
    >>> square = PowerDiagram([[0, 0], [2, 0], [0, 2], [2, 2]])
    >>> square.vertices.tolist(), square.cells
    ([[1.0, 1.0]], ((0,), (0,), (0,), (0,)))
    >>> sorted(square.ridges)       # no wall along a diagonal: those cells meet in one point
    [(0, 1), (0, 2), (1, 3), (2, 3)]
    >>> PowerDiagram([[0], [2]], [0, 0]).to_polynomial().intercepts.tolist()    # wall at x = 1
    [0.0, -2.0]
    """

    sites: Array
    farthest: bool
    _polynomial: TropicalPolynomial
    _power: int
    _PARTS = ("sites", "weights", "farthest", "_power", "_polynomial")
    _APART = ("_power", "_polynomial")

    def __init__(self, sites: Any, weights: Any = 0, farthest: bool = False) -> None:
        rows = as_array("sites", sites, 2, shape="(N, d)")
        if not rows.size:
            raise InvalidInput(
                f"sites: shape (N, d) with N >= 1 and d >= 1 needed, got {rows.shape}; "
                "a diagram has a site."
            )
        if not isinstance(farthest, bool | np.bool_):
            raise InvalidInput(
                f"farthest: True or False needed, got {farthest!r}; True gives the cells of the "
                "largest distance."
            )
        if np.isscalar(weights):
            weights = np.array([weights] * len(rows))
        given = as_array("weights", weights, 1, shape="(N,)")
        if len(rows) != len(given):
            raise InvalidInput(
                f"weights: one a site needed ({len(rows)}), or one number for all, got "
                f"{len(given)}; leave them out for a Voronoi diagram."
            )
        # Squares of very large or small sites are no doubles: these are read in other units.
        power = _unit(np.abs(rows).max(), np.abs(given).max())
        small = SitePolynomial.of(_times(rows, -power), _times(given, -2 * power), bool(farthest))
        self._set(rows, bool(farthest), power, small)
        self.__dict__["weights"] = given

    def _set(self, sites: Array, farthest: bool, power: int, f: TropicalPolynomial) -> None:
        self.__dict__.update(sites=sites, farthest=farthest, _power=power, _polynomial=f)

    @classmethod
    def from_polynomial(cls, f: TropicalPolynomial) -> PowerDiagram:
        """The diagram with weights ``|a_j|^2 + 2 c_j``; it keeps ``f`` for exact decisions."""
        of_kind("f", f, TropicalPolynomial, "or build the diagram from sites and weights")
        self = cls.__new__(cls)
        self._set(f.slopes, False, 0, f)
        return self

    @cached_property
    def weights(self) -> Array:
        """The ``w_j``, (N,)."""
        f = self._polynomial
        return freeze(plain(_squares(f.slopes) + 2 * as_fractions(f.intercepts)))

    def to_polynomial(self) -> TropicalPolynomial:
        """The tropical polynomial with the same cells, term for term; slopes ``-a_j`` if farthest.

        Slopes and intercepts are exact.
        """
        if not self._power:
            return self._polynomial
        sites = -self.sites if self.farthest else self.sites
        half = (as_fractions(self.weights) - _squares(self.sites)) / 2
        return TropicalPolynomial(sites, plain(-half if self.farthest else half))

    # ---- the whole diagram --------------------------------------------------------------------

    @cached_property
    def _diagram(self) -> HeadDiagram | None:
        return aside(head_diagram, self._polynomial)

    @cached_property
    def _split(self) -> RegularSubdivision:
        """The dual subdivision, where no diagram is made."""
        return subdivision(self._polynomial)

    @cached_property
    def _corners(self) -> tuple[list[int], list[tuple[int, ...]]]:
        """Which cells of the dual subdivision are vertices, in order, and the sites around them.

        None where the sites do not span.
        """
        found = self._diagram or self._split
        if found.dim < self.sites.shape[1]:
            return [], []
        cells = aside(lambda: found.cells)
        order = sorted(range(len(cells)), key=cells.__getitem__)
        return order, [cells[i] for i in order]

    def exact_vertices(self) -> NDArray[np.object_]:
        """The vertices of the diagram in rationals, (V, d); none where the sites do not span.

        >>> PowerDiagram([[0], [1], [3]]).exact_vertices().tolist()
        [[Fraction(1, 2)], [Fraction(2, 1)]]
        """
        found = self._diagram
        points = self._split.points if found is None else aside(lambda: found.vertices)
        exact = points[self._corners[0]]
        return freeze(exact * Fraction(2) ** self._power if self._power else exact)

    @cached_property
    def vertices(self) -> NDArray[np.float64]:
        """The vertices in doubles, (V, d), each within 2**-30 of its largest coordinate.

        Raises ``InvalidInput`` where a coordinate is beyond 1.8e308: ``exact_vertices`` has all.
        """
        found, order = self._diagram, self._corners[0]
        near = rounded(self._split.points) if found is None else aside(found.near_vertices)
        near = near[order]
        with np.errstate(over="ignore"):
            near = np.ldexp(near, self._power)
        beyond = np.flatnonzero(~np.isfinite(near).all(axis=1))
        if len(beyond):
            raise InvalidInput(
                f"vertices: coordinates below 1.8e308 needed, got larger ones of vertex {beyond[0]}"
                "; exact_vertices() has them in rationals."
            )
        return freeze(near)

    @cached_property
    def cells(self) -> tuple[tuple[int, ...], ...]:
        """For each site the vertices of its cell (numbers in ``vertices``), ascending.

        Equal sites with equal weights share a cell; dead sites, whose cell has no interior, have
        none, like cells without a corner.
        """
        around: list[list[int]] = [[] for _ in range(len(self.sites))]
        for v, terms in enumerate(self._corners[1]):
            for j in terms:
                around[j].append(v)
        live = set(self._walls[0])
        doubtful = [j for j, some in enumerate(around) if some and j not in live]
        if doubtful:
            # On a face, or equal to a live site.
            firsts, classes = self._polynomial.distinct
            for j in doubtful:
                if int(firsts[classes[j]]) not in live:
                    around[j] = []
        return tuple(tuple(some) for some in around)

    @cached_property
    def ridges(self) -> dict[tuple[int, int], tuple[int, ...]]:
        """For each wall, by its two sites in ascending order, the vertices on it.

        The wall is a face of dimension d - 1: cells that meet in less share none.
        """
        sets = [set(cell) for cell in self.cells]
        return {(i, j): tuple(sorted(sets[i] & sets[j])) for i, j in self._walls[1]}

    @cached_property
    def _walls(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Live sites, and the pairs of them that share a wall."""
        # For a few sites programs do, which most other work needs compiled anyway.
        found = self._diagram if len(self.sites) > _FEW else None
        if found is not None:
            return found.live.tolist(), [(i, j) for i, j in found.walls.tolist()]
        live = live_terms(self._polynomial).live
        if len(live) < 2:
            return live.tolist(), []
        refinement = Refinement.of([with_terms(self._polynomial, live)])
        pairs = shared_walls(
            refinement.terms,
            refinement.errors,
            (refinement.walls, refinement.wall_rho),
            lambda j: refinement.exact_rows([(0, j)]),
        )
        return live.tolist(), [(int(live[i]), int(live[j])) for i, j in pairs]

    def adjacency(self) -> nx.Graph[int]:
        """Graph on the live sites; an edge where two cells share a wall of dimension d - 1.

        Dual to the regular subdivision of the sites (T3). Every edge is proved, as every live
        site; of equal sites the first stands for all. Cost: in few dimensions one hull; else one
        small program per pair of live sites.

        >>> sorted(PowerDiagram([[0], [1], [2]], [0, 0, 0]).adjacency().edges)
        [(0, 1), (1, 2)]
        """
        graph: nx.Graph[int] = nx.Graph()
        live, walls = self._walls
        graph.add_nodes_from(live)
        graph.add_edges_from(walls)
        return graph

    # ---- one cell, points, windows ------------------------------------------------------------

    def cell(self, j: int) -> Polyhedron:
        """The closed cell of site ``j`` as ``A x <= b`` (it may be empty or flat: a dead site).

        Rows of equal sites with equal weights are left out: they share the cell. ``behind`` names
        the site beyond each row. Rows are exact: in doubles where these hold all of them, else in
        rationals.

        >>> cell = PowerDiagram([[0, 0], [2, 0], [0, 2], [9, 9]]).cell(0)
        >>> [cell.behind[i] for i in cell.facets], len(cell.corners), cell.bounded
        ([1, 2], 1, False)
        """
        n = len(self.sites)
        if not is_whole(j) or not 0 <= j < n:
            raise InvalidInput(f"j: a site index in 0..{n - 1} needed, got {j}.")
        _, classes = self._polynomial.distinct
        return self._beside(j, np.flatnonzero(classes != classes[j]))

    def _beside(self, j: int, others: NDArray[np.int64]) -> Polyhedron:
        """Where site j beats the others."""
        f = self._polynomial
        behind = tuple(others.tolist())
        if not (f.maps or f.scale != 1 or self._power):
            slopes, intercepts = f.slopes, f.intercepts
            apart = slopes[others] - slopes[j], intercepts[j] - intercepts[others]
            given = (slopes[others], slopes[j]), (intercepts[j], intercepts[others])
            if all(_no_rounding(*pair, found) for pair, found in zip(given, apart, strict=True)):
                return Polyhedron(freeze(apart[0]), freeze(apart[1]), behind)
        terms = fraction_array(f.exact_terms([j, *behind]))
        rows = terms[1:] - terms[0]
        rows[:, -1] *= Fraction(2) ** self._power
        return Polyhedron(freeze(plain(rows[:, :-1].copy())), freeze(plain(-rows[:, -1])), behind)

    def locate(self, points: Any) -> NDArray[np.int64]:
        """The site whose cell each row of ``points`` (m, d) lies in; on a wall the smallest.

        Exactly. Cost: m N scores in doubles, and rationals for points next to walls.

        >>> PowerDiagram([[0, 0], [2, 0]]).locate([[0.5, 7.0], [1.0, 0.0], [1.5, 0.0]]).tolist()
        [0, 0, 1]
        """
        rows = as_array("points", points, 2, shape="(m, d)")
        if rows.shape[1] != self.sites.shape[1]:
            raise InvalidInput(
                f"points: {self.sites.shape[1]} coordinates needed, got {rows.shape[1]}; "
                "rows are points of the space of the sites."
            )
        rows = _times(rows, -self._power)
        step = max(1, _AT_ONCE // len(self.sites))
        parts = [self._polynomial.argmax(rows[at : at + step]) for at in range(0, len(rows), step)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def clip(self, box: Domain) -> dict[int, Polyhedron]:
        """The cells that meet an open box, or polytope, each cut to it, by their sites.

        Rows of a cell are those of its neighbours in the diagram, then the box's. Raises
        ``InvalidInput`` for a domain of another dimension, or a slice. Cost: that of ``adjacency``
        and of ``live_terms`` in the box.

        >>> from tropattn.polyhedra.domain import Box
        >>> found = PowerDiagram([[0], [2], [6]]).clip(Box([0], [3]))
        >>> {j: sorted(cell.generators()[0].ravel().tolist()) for j, cell in found.items()}
        {0: [0.0, 1.0], 1: [1.0, 3.0]}
        """
        domain = as_domain(box)
        if domain is None or domain.embedding is not None:
            raise InvalidInput(
                f"box: a Box or Polytope in R^{self.sites.shape[1]} needed, got {box!r}; "
                "for a slice pull the polynomial back to it."
            )
        check_space(domain, self.sites.shape[1])
        graph = self.adjacency()
        live = np.array(sorted(graph.nodes))
        some = with_terms(self._polynomial, live)
        a, b = domain.walls
        window = Polytope(a, _times(b, -self._power)) if self._power else domain
        out = {}
        for j in live[live_terms(some, window).live].tolist():
            cell = self._beside(j, np.array(sorted(graph[j]), np.int64))
            out[j] = cell.intersection(Polyhedron.of(domain))
        return out

    def __repr__(self) -> str:
        kind = "farthest, " if self.farthest else ""
        return f"PowerDiagram({kind}{counted(len(self.sites), 'site')} in R^{self.sites.shape[1]})"


def _upper_terms(f: TropicalPolynomial) -> frozenset[tuple[Any, ...]]:
    """The terms that win on an open set, as rationals."""
    return frozenset(map(tuple, f.exact_terms(live_terms(f).live).tolist()))


def _no_rounding(one: Array, two: Array, apart: Array) -> bool:
    """Whether ``one - two`` is exactly what doubles made of it, or is exact anyway.

    Knuth's sum without branches gives the error of each difference.
    """
    if apart.dtype == object:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        back = apart - one
        lost = (one - (apart - back)) - (two + back)
    return bool(np.isfinite(apart).all() and not lost.any())


def _unit(site: Any, weight: Any) -> int:
    """The power of two in whose units sites and weights are read, by the largest of each.

    >>> _unit(3.0, 2.0), _unit(0.0, 2.0**600), _unit(Fraction(10) ** 400, 1)
    (0, 300, 1328)
    """
    powers = []
    for size, square in ((site, 1), (weight, 2)):
        if size:
            exact = Fraction(size)
            bits = exact.numerator.bit_length() - exact.denominator.bit_length()
            powers.append(-(-bits // square))
    power = max(powers, default=0)
    return power if abs(power) > 200 else 0


def _squares(sites: Array) -> Array:
    exact = as_fractions(sites)
    return np.array([sum((v * v for v in row), Fraction(0)) for row in exact], dtype=object)


def _times(values: Array, power: int) -> Array:
    """Numbers times a power of two, exactly."""
    if not power:
        return values
    if not is_exact(values):
        with np.errstate(over="ignore", under="ignore"):
            scaled = np.ldexp(values, power)
            if (np.ldexp(scaled, -power) == values).all():
                return freeze(scaled)
    return freeze(as_fractions(values) * Fraction(2) ** power)
