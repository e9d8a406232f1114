"""Polyhedra ``{x : A x <= b}`` as values: what bounds them, what spans them, how large they are.

Corners, rays and faces come from an exact double description (``double_description``); cddlib is
its witness (``witnessed``). Only the centre of the ball is proposed in doubles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import factorial, prod
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import (
    as_array,
    as_fractions,
    freeze,
    is_exact,
    is_point,
    listed,
    of_kind,
    plain,
    rational_matrix,
    to_float,
)
from tropattn.errors import EngineError, InvalidInput
from tropattn.polyhedra import _cdd, faces
from tropattn.polyhedra.ball import Ball, inscribed_ball
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.double_description import ConeRays, cone_rays
from tropattn.polyhedra.integer_rows import Frame, Row, primitive, strictly_feasible, tightened
from tropattn.polyhedra.strict import primitive_rows
from tropattn.values import Value, counted

__all__ = ["Polyhedron"]

_FEW = 6
"""Dimensions up to which facets are read from the corners; beyond, a program decides each row."""


@dataclass(frozen=True, eq=False, repr=False)
class Polyhedron(Value):
    """``{x in R^d : A x <= b}`` with ``A`` (m, d) and ``b`` (m,), floats or exact objects.

    Everything but ``contains`` and ``generators`` is exact for the numbers given. Corners cost a
    double description of the rows, made once when first needed: quadratic in the numbers of corners
    on the way, so for a dozen dimensions at most; facets alone are found in any.

    Attributes
    ----------
    behind : what waits beyond each row, one entry a row: of a cell of sites or keys the other site,
        or the pair (unit, key); None for the side of a window. Empty where nobody said.

    Raises
    ------
    InvalidInput : lengths that differ, no coordinates, NaN or infinity.

    Examples
    --------
    >>> Polyhedron(np.array([[1.0], [-1.0]]), np.array([2.0, 0.0])).contains([[1.0], [3.0]])
    array([ True, False])
    >>> triangle = Polyhedron([[-1, 0], [0, -1], [1, 2], [1, 1]], [0, 0, 4, 9])
    >>> triangle.facets, triangle.f_vector(), triangle.volume()
    ((0, 1, 2), (3, 3), Fraction(4, 1))
    >>> [[int(v) for v in corner] for corner in triangle.corners]
    [[0, 0], [0, 2], [4, 0]]
    """

    A: Array
    b: Array
    behind: tuple[Any, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for name, axes, shape in (("A", 2, "(m, d)"), ("b", 1, "(m,)")):
            given = getattr(self, name)
            if not _ready(given, axes):
                object.__setattr__(self, name, as_array(name, given, axes, shape=shape))
        if len(self.A) != len(self.b) or not self.A.shape[1]:
            raise InvalidInput(
                f"A, b: shapes (m, d) and (m,) with d >= 1 needed, got {self.A.shape} and "
                f"{self.b.shape}; one right-hand side a row."
            )
        labels = listed("behind", self.behind, "give one entry a row, or ()")
        object.__setattr__(self, "behind", tuple(labels))
        if self.behind and len(self.behind) != len(self.b):
            raise InvalidInput(
                f"behind: one entry a row needed ({len(self.b)}), got {len(self.behind)}; give "
                "None for the side of a window."
            )

    @classmethod
    def of(cls, domain: Domain) -> Polyhedron:
        """The closure of a domain with interior, in its parameters.

        >>> from tropattn.polyhedra.domain import Box
        >>> Polyhedron.of(Box([0, 0], [2, 3])).volume()
        Fraction(6, 1)
        """
        of_kind("domain", domain, Domain, "e.g. Box(low, high)")
        a, b = domain.walls
        return cls(a, b, (None,) * len(b))

    @classmethod
    def of_rows(cls, rows: Sequence[Row], width: int, behind: tuple[Any, ...] = ()) -> Polyhedron:
        """The closed set ``<row, (x, 1)> <= 0`` of integer rows of that width."""
        table = np.empty((len(rows), width), dtype=object)
        table.ravel()[:] = [Fraction(v) for row in rows for v in row]
        found = cls(freeze(plain(table[:, :-1])), freeze(plain(-table[:, -1])), behind)
        # What the property would read back from the numbers.
        found.__dict__["rows"] = tuple(map(primitive, rows))
        return found

    def __repr__(self) -> str:
        return f"Polyhedron({counted(len(self.b), 'inequality', 'inequalities')} in R^{self.dim})"

    @property
    def dim(self) -> int:
        """Dimension of the ambient space."""
        return self.A.shape[1]

    def contains(self, x: Any) -> NDArray[np.bool_]:
        """Whether each row of ``x`` satisfies all inequalities, in doubles."""
        points = to_float(as_array("x", [x] if is_point(x) else x, 2, shape=f"(m, {self.dim})"))[0]
        if points.shape[1] != self.dim:
            raise InvalidInput(
                f"x: {self.dim} coordinates needed, got {points.shape[1]}; rows are points."
            )
        slack = points @ to_float(self.A)[0].T - to_float(self.b)[0]
        return np.asarray((slack <= 0).all(axis=1))

    # ---- what spans it ------------------------------------------------------------------------

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Its inequalities as primitive integer rows, ``<row, (x, 1)> <= 0``."""
        a, b = self.A, self.b
        if is_exact(a) != is_exact(b):
            a, b = as_fractions(a), as_fractions(b)
        whole = primitive_rows(rational_matrix(np.column_stack([a, -b])))
        return tuple(tuple(map(int, row)) for row in whole.tolist())

    @cached_property
    def _cone(self) -> ConeRays:
        """The cone over the polyhedron at height 1; its last row says that heights are >= 0."""
        beyond = (*[0] * self.dim, -1)
        return cone_rays((*self.rows, beyond), self.dim + 1)

    @cached_property
    def _high(self) -> NDArray[np.bool_]:
        """Which rays of the cone are corners."""
        return (self._cone.rays[:, -1] > 0).astype(bool)

    @cached_property
    def spans(self) -> tuple[Row, ...]:
        """Its corners as integers ``(p w, w)``, ``w > 0``, then its rays as ``(r, 0)``.

        In the order of ``corners`` and ``rays``: the numbers by which ``faces`` names them.

        >>> Polyhedron([[-2, 0], [0, -1]], [-1, 0]).spans
        ((1, 0, 2), (0, 1, 0), (1, 0, 0))
        """
        found = [tuple(row) for row in self._cone.rays.tolist()]
        high = [row for row in found if row[-1]]
        if not high:
            return ()
        high.sort(key=lambda row: [Fraction(v, row[-1]) for v in row])
        return (*high, *(row for row in found if not row[-1]))

    @cached_property
    def tight(self) -> NDArray[np.bool_]:
        """(m, v + r): which rows hold with equality at which corner, vanish along which ray."""
        place = {tuple(row): i for i, row in enumerate(self._cone.rays.tolist())}
        order = [place[row] for row in self.spans]
        return freeze(self._cone.tight[order, :-1].T.copy())

    @property
    def empty(self) -> bool:
        """Whether no point satisfies all rows."""
        return not self._high.any()

    @cached_property
    def corners(self) -> NDArray[np.object_]:
        """The corners in rationals, (v, d), in lexicographic order.

        Where there are lines, one point of each smallest face instead: the one with 0 in the
        coordinates that lines leave free.
        """
        found = [[Fraction(v, row[-1]) for v in row[:-1]] for row in self.spans if row[-1]]
        return freeze(np.array(found, dtype=object).reshape(-1, self.dim))

    @cached_property
    def rays(self) -> NDArray[np.object_]:
        """Primitive integer directions of its unbounded edges, (r, d), modulo ``lineality``."""
        found = [row[:-1] for row in self.spans if not row[-1]]
        return freeze(np.array(found, dtype=object).reshape(-1, self.dim))

    @cached_property
    def lineality(self) -> NDArray[np.object_]:
        """An integer basis (k, d) of the directions of lines that it contains."""
        found = self._cone.lineality[:, :-1]
        return freeze(found if not self.empty else found[:0])

    @property
    def bounded(self) -> bool:
        """Whether it lies in some ball; the empty set does."""
        return not len(self.rays) and not len(self.lineality)

    @cached_property
    def own_dim(self) -> int:
        """Dimension of the polyhedron itself, -1 where it is empty."""
        if self.empty:
            return -1
        flat = [v for row in self.spans for v in row]
        rank = flint.fmpz_mat(len(self.spans), self.dim + 1, flat).rank()
        return int(rank) - 1 + len(self.lineality)

    def generators(self) -> tuple[Array, Array]:
        """Vertices (v, d) and rays (r, d), by cddlib, in doubles; a line is two opposite rays.

        ``corners`` and ``rays`` are exact and need no cddlib.

        >>> Polyhedron(np.array([[-1.0, 0.0], [0.0, -1.0]]), np.zeros(2)).generators()[1].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        """
        return _cdd.generators(self.A, self.b)

    def witnessed(self) -> bool:
        """Whether cddlib finds the same corners and rays, as it must.

        In rationals where cddlib has them. What its doubles propose is verified in rationals: each
        corner and ray is computed anew from the rows that it is said to lie on, has to satisfy all
        rows, and has to be one of ours; none of ours may be missing. Raises ``EngineError`` where
        doubles propose what is no corner, and ``InvalidInput`` without cddlib.

        >>> Polyhedron([[-1, 0], [0, -1], [1, 1]], [0, 0, 1]).witnessed()
        True
        """
        # Lines are split off: each has its first entry in a column where the others have none.
        lines = self._cone.lineality.tolist()
        apart = {next(k for k, v in enumerate(line) if v) for line in lines}
        columns = [k for k in range(self.dim + 1) if k not in apart]
        rows = [tuple(row[k] for k in columns) for row in self.rows]
        if len(columns) == 1:
            # Lines alone: there is nothing to propose.
            return True
        corners, rays = _cdd.cone_rays(rows, len(columns) - 1)
        own = [tuple(row[k] for k in columns) for row in self.spans]
        return sorted([*corners, *rays]) == sorted(own)

    # ---- faces --------------------------------------------------------------------------------

    @cached_property
    def _facet_rows(self) -> dict[int, int]:
        """The rows of the facets, of equal ones the first, with the corners and rays on each.

        A face is the mask of its corners and rays; the largest proper ones are the facets.
        """
        masks: dict[int, int] = {}
        whole, high = (1 << len(self.spans)) - 1, (1 << len(self.corners)) - 1
        for i, row in enumerate(self.tight):
            mask = int("".join("1" if bit else "0" for bit in row[::-1].tolist()) or "0", 2)
            # A row that no corner lies on is a face at infinity.
            if mask != whole and mask & high:
                masks.setdefault(mask, i)
        top = [m for m in masks if not any(m & other == m != other for other in masks)]
        return {masks[m]: m for m in sorted(top, key=masks.__getitem__)}

    @cached_property
    def facets(self) -> tuple[int, ...]:
        """The rows that bound it in a facet, ascending, of equal rows the first: none is spare.

        ``behind`` says what waits beyond each. In more than six dimensions a program decides each
        row (theory T13); else corners are found first.
        """
        if self.dim > _FEW and "_cone" not in self.__dict__:
            rows = [row for row in dict.fromkeys(self.rows) if any(row)]
            # Of fewer rows ``tightened`` would try none.
            if len(rows) > self.dim and strictly_feasible(rows):
                kept = tightened(tuple(rows), Frame((0,) * self.dim))
                return tuple(sorted(map(self.rows.index, kept)))
        return tuple(self._facet_rows)

    @cached_property
    def equations(self) -> tuple[int, ...]:
        """The rows that hold with equality everywhere on it, ascending; none of a solid one."""
        return tuple(np.flatnonzero(self._cone.tight[:, :-1].all(axis=0)).tolist())

    def irredundant(self) -> Polyhedron:
        """The same set by its facets alone (and its equations).

        >>> Polyhedron([[1], [1], [-1]], [2, 1, 0], ("far", "near", None)).irredundant().behind
        ('near', None)
        """
        facets = self.facets
        flat = "_cone" in self.__dict__ and (self.empty or self.own_dim < self.dim)
        if flat and self.empty:
            return self
        rows = sorted({*facets, *(self.equations if flat else ())})
        behind = tuple(self.behind[i] for i in rows) if self.behind else ()
        return Polyhedron(freeze(self.A[rows]), freeze(self.b[rows]), behind)

    @cached_property
    def _faces(self) -> dict[int, int]:
        """All faces but the empty one, as masks of ``spans``, with their dimensions."""
        if self.empty:
            return {}
        whole, high = (1 << len(self.spans)) - 1, (1 << len(self.corners)) - 1
        known = faces.ranks(self._facet_rows.values(), whole, high)
        return {mask: rank + len(self.lineality) for mask, rank in known.items()}

    def f_vector(self) -> tuple[int, ...]:
        """Numbers of proper faces of dimension 0, 1, ..., one less than its own; exactly.

        Faces without corners, of a polyhedron with lines, count in their own dimension. Euler's
        relation is checked.

        >>> Polyhedron([[-1, 0], [0, -1]], [0, 0]).f_vector()      # one corner, two rays
        (1, 2)
        """
        if self.empty:
            return ()
        counts = Counter(self._faces.values())
        pointed = not len(self.rays)
        expected = (-1) ** len(self.lineality) if pointed else 0
        if sum((-1) ** k * n for k, n in counts.items()) != expected:
            raise EngineError(
                f"f_vector: Euler's relation ({expected}) fails for {dict(counts)}; two of our own "
                "witnesses contradict each other, please report the input."
            )
        return tuple(counts[k] for k in range(self.own_dim))

    def faces(self, k: int) -> list[tuple[int, ...]]:
        """Its faces of dimension k, itself included, each by its corners and rays in ``spans``.

        >>> Polyhedron([[-1, 0], [0, -1], [1, 1]], [0, 0, 1]).faces(1)
        [(0, 1), (0, 2), (1, 2)]
        """
        return sorted(tuple(faces.positions(m)) for m, dim in self._faces.items() if dim == k)

    # ---- size ---------------------------------------------------------------------------------

    def intersection(self, other: Polyhedron | Domain) -> Polyhedron:
        """What lies in both; rows of the other one follow. A domain is closed first."""
        if isinstance(other, Domain):
            if other.embedding is not None:
                raise InvalidInput(
                    f"other: a Box, Polytope or Polyhedron in R^{self.dim} needed, got "
                    f"{other.describe()}; give its window."
                )
            other = Polyhedron.of(other)
        of_kind("other", other, Polyhedron, "or a Box or Polytope")
        if other.dim != self.dim:
            raise InvalidInput(
                f"other: a set in R^{self.dim} needed, got one in R^{other.dim}; both must share "
                "their variable."
            )
        blocks = [(p.A, p.b) for p in (self, other)]
        if len({part.dtype for block in blocks for part in block}) > 1:
            blocks = [(as_fractions(a), as_fractions(b)) for a, b in blocks]
        behind: tuple[Any, ...] = ()
        if self.behind or other.behind:
            behind = tuple(v for p in (self, other) for v in p.behind or (None,) * len(p.b))
        a, b = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return Polyhedron(freeze(a), freeze(b), behind)

    def volume(self, window: Polyhedron | Domain | None = None) -> Fraction:
        """Volume in R^d, exactly: of the whole, or of what lies in a window; 0 if it is flat.

        On a slice it is the volume in the slice's parameters; times ``sqrt(det(B B^T))``, ``B``
        (k, d) the slice's basis, it is the volume in the ambient space.

        Raises ``InvalidInput`` where that is infinite. Cost: the simplices of a pulling
        triangulation (Cohen and Hickey 1979), a determinant each.

        >>> from tropattn.polyhedra.domain import Box
        >>> half = Polyhedron([[1, 1]], [1])
        >>> half.volume(Box([0, 0], [1, 1]))
        Fraction(1, 2)
        """
        if window is not None:
            return self.intersection(window).volume()
        if self.own_dim < self.dim:
            return Fraction(0)
        if not self.bounded:
            raise InvalidInput(
                "window: one in which the volume is finite needed, got an unbounded polyhedron; "
                "give a Box."
            )
        total = Fraction(0)
        for simplex in faces.simplices(len(self.spans), self._facet_rows.values(), self.dim):
            rows = [self.spans[i] for i in simplex]
            flat = [v for row in rows for v in row]
            det = abs(int(flint.fmpz_mat(len(rows), len(rows), flat).det()))
            total += Fraction(det, prod(row[-1] for row in rows))
        return total / factorial(self.dim)

    def inscribed_ball(self) -> Ball:
        """A largest ball inside: its centre, and an enclosure of the largest radius.

        The centre is where a program in doubles puts it, the ball of the lower radius lies inside,
        and no larger one than of the upper radius does; both are proved (see ``inscribed_ball`` in
        ``polyhedra/ball``). Infinite where there are balls of any size. Raises ``InvalidInput``
        where the polyhedron has no interior.

        >>> ball = Polyhedron([[-1, 0], [0, -1], [1, 0], [0, 1]], [0, 0, 2, 4]).inscribed_ball()
        >>> ball.lower <= 1 <= ball.upper, ball.upper - ball.lower < 1e-9
        (True, True)
        """
        return inscribed_ball(self.rows, self.dim)


def _ready(given: Any, axes: int) -> bool:
    """Whether an array is one of this package's exact ones, which need not be read again."""
    if not isinstance(given, np.ndarray) or given.dtype != object or given.flags.writeable:
        return False
    return given.ndim == axes and all(type(v) is Fraction for v in given.flat)
