"""Regular subdivisions of one polynomial, mixed subdivisions of several (theory T3, T5).

One polynomial's subdivision is read from its diagram. Several subdivide the Minkowski sum of their
polytopes; by the Cayley trick that is an ordinary regular subdivision of the points ``(a_j, e_h)``.
Faces are sets of terms, all terms on a face included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.arrays import (
    as_array,
    as_fractions,
    fraction,
    freeze,
    listed,
    of_kind,
    rational_matrix,
)
from tropattn.errors import InvalidInput
from tropattn.polyhedra.minkowski import minkowski_sum
from tropattn.threads import aside
from tropattn.tropical.geometry.diagram import head_diagram
from tropattn.tropical.geometry.points import term_points
from tropattn.tropical.geometry.regular import RegularSubdivision, walked_subdivision
from tropattn.tropical.max_affine import MaxAffine
from tropattn.values import Value, counted

__all__ = [
    "MixedCell",
    "MixedSubdivision",
    "mixed_subdivision",
    "mixed_volume",
    "subdivision",
]


def subdivision(f: MaxAffine) -> RegularSubdivision:
    """The regular subdivision dual to the cells of ``f``, exactly (T3).

    Source: Gelfand, Kapranov, Zelevinsky (1994), chapter 7. Cost: one proved hull of the N lifted
    points (T20); where that might be too large, a walk along its edges.

    >>> subdivision(MaxAffine([[0], [1], [2]], [0, 1, 0])).cells
    ((0, 1), (1, 2))
    >>> subdivision(MaxAffine([[0], [1], [2]], [0, 0, 0])).cells       # all on one line
    ((0, 1, 2),)
    """
    of_kind("f", f, MaxAffine, "e.g. TropicalPolynomial(slopes, intercepts)")
    found = aside(head_diagram, f)
    if found is None:
        return walked_subdivision(term_points(f, lifted=True))
    order = sorted(range(found.n_cells), key=found.cells.__getitem__)
    cells = tuple(found.cells[i] for i in order)
    return RegularSubdivision(
        cells, found.dim, lambda: freeze(found.vertices[order]), lambda k: aside(found.faces, k)
    )


# ---- several polynomials ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MixedCell(Value):
    """A cell ``F_1 + ... + F_H`` of a mixed subdivision.

    Attributes
    ----------
    terms : per polynomial, the terms on its factor ``F_h``, ascending.
    type : per polynomial, the dimension of ``F_h``.
    point : the exact ``x`` at which exactly these terms are highest.
    """

    terms: tuple[tuple[int, ...], ...]
    type: tuple[int, ...]
    point: tuple[Fraction, ...]

    def __repr__(self) -> str:
        dims, terms = " + ".join(map(str, self.type)), [len(part) for part in self.terms]
        return f"MixedCell(dimensions {dims}, {' + '.join(map(str, terms))} terms)"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MixedSubdivision(Value):
    """The subdivision of ``P_1 + ... + P_H`` dual to the heads' common refinement (T5).

    Attributes
    ----------
    slopes : per polynomial its points (N_h, d), exact where products were taken.
    cells : the maximal cells, in lexicographic order of their terms.
    dim : dimension of the sum.
    """

    slopes: tuple[Array, ...]
    cells: tuple[MixedCell, ...]
    dim: int

    def __repr__(self) -> str:
        heads = counted(len(self.slopes), "polytope")
        return f"MixedSubdivision({counted(len(self.cells), 'cell')} of {heads}, R^{self.dim})"

    @property
    def is_fine(self) -> bool:
        """Whether each cell's factors are independent: the dimensions of its type add up to dim."""
        return all(sum(cell.type) == self.dim for cell in self.cells)

    def mixed_cells(self) -> list[MixedCell]:
        """Cells whose every factor has positive dimension; of a fine one with H = dim, edges."""
        return [cell for cell in self.cells if min(cell.type) > 0]

    def volume(self, cell: MixedCell) -> Fraction:
        """Volume of one cell, exactly."""
        of_kind("cell", cell, MixedCell, "take one of .cells")
        return minkowski_sum(self._parts(cell)).volume()

    def mixed_volume(self) -> Fraction:
        """The mixed volume of ``d`` polytopes in R^d, summed over mixed cells (Bernstein 1975).

        With ``MV(P, ..., P) = d! vol(P)``. Raises ``InvalidInput`` unless H = d.

        >>> f, g = MaxAffine([[0, 0], [1, 0]]), MaxAffine([[0, 0], [0, 1]])
        >>> mixed_subdivision([f, g]).mixed_volume()
        Fraction(1, 1)
        """
        d = self.slopes[0].shape[1]
        if len(self.slopes) != d:
            raise InvalidInput(
                f"mixed_volume: {d} polytopes in R^{d} needed, got {len(self.slopes)}; repeat one "
                "for a coefficient with a higher power of it."
            )
        if self.dim < d:
            return Fraction(0)
        total = Fraction(0)
        for cell in self.mixed_cells():
            parts = self._parts(cell)
            if all(size == 1 for size in cell.type):
                rows = np.array([_extent(part) for part in parts], dtype=object)
                total += abs(fraction(rational_matrix(rows).det()))
            else:
                total += _by_inclusion(parts)
        return total

    def _parts(self, cell: MixedCell) -> list[Array]:
        return [p[list(terms)] for p, terms in zip(self.slopes, cell.terms, strict=True)]


def mixed_subdivision(polynomials: Sequence[MaxAffine]) -> MixedSubdivision:
    """The mixed subdivision of several polynomials, by the Cayley trick, exactly (T5).

    Source: Huber, Rambau, Santos (2000), *The Cayley trick, lifting subdivisions and the
    Bohne-Dress theorem*. Raises ``InvalidInput`` for no polynomials or different dimensions.
    Cost: one regular subdivision of all terms together in ``d + H - 1`` dimensions.

    >>> f, g = MaxAffine([[0, 0], [1, 0]]), MaxAffine([[0, 0], [0, 1]])
    >>> [(cell.terms, cell.type) for cell in mixed_subdivision([f, g]).cells]
    [(((0, 1), (0, 1)), (1, 1))]
    """
    heads = listed("polynomials", polynomials, "give a list of TropicalPolynomial")
    for f in heads:
        of_kind("polynomials", f, MaxAffine, "give a list of TropicalPolynomial")
    if not heads or len({f.dim for f in heads}) != 1:
        raise InvalidInput(
            "polynomials: at least one, all of one dimension, needed, got dimensions "
            f"{[f.dim for f in heads]}; pull them back to one variable."
        )
    lifted = [term_points(f, lifted=True) for f in heads]
    rows = _cayley(lifted)
    cayley = subdivision(MaxAffine(rows[:, :-1], rows[:, -1]))
    owner = np.repeat(np.arange(len(heads)), [len(p) for p in lifted])
    first = np.concatenate([[0], np.cumsum([len(p) for p in lifted])])
    slopes = tuple(freeze(p[:, :-1]) for p in lifted)
    cells = []
    for on, point in zip(cayley.cells, cayley.points.tolist(), strict=True):
        terms = tuple(
            tuple(j - int(first[h]) for j in on if owner[j] == h) for h in range(len(heads))
        )
        kinds = tuple(_rank(p[list(t)]) for p, t in zip(slopes, terms, strict=True))
        cells.append(MixedCell(terms, kinds, tuple(point[: heads[0].dim])))
    cells.sort(key=lambda cell: cell.terms)
    return MixedSubdivision(slopes, tuple(cells), cayley.dim - len(heads) + 1)


def mixed_volume(polytopes: Sequence[Any]) -> Fraction:
    """The mixed volume of ``d`` polytopes in R^d, exactly.

    ``polytopes`` are arrays of points (N_i, d), objects with ``.points``, or polynomials, which
    stand for their Newton polytopes. A lifting by
    fixed pseudo-random integers makes mixed cells; what it leaves unsplit is settled by inclusion
    and exclusion of volumes, so any lifting gives the exact number. ``MV(P, ..., P) = d! vol(P)``;
    it counts the torus roots of generic equations (Bernstein 1975).

    >>> triangle = [[0, 0], [1, 0], [0, 1]]
    >>> mixed_volume([triangle, triangle])
    Fraction(1, 1)
    """
    points = [
        as_array(f"polytopes[{i}]", _points(p), 2, shape="(N, d)")
        for i, p in enumerate(listed("polytopes", polytopes, "give a list of arrays (N, d)"))
    ]
    stream = np.random.Generator(np.random.Philox(5))
    heads = [MaxAffine(p, stream.integers(-1000, 1001, len(p)).astype(np.float64)) for p in points]
    return mixed_subdivision(heads).mixed_volume()


def _points(polytope: Any) -> Any:
    if isinstance(polytope, MaxAffine):
        return term_points(polytope, lifted=False)
    return getattr(polytope, "points", polytope)


def _cayley(lifted: list[Array]) -> Array:
    """Rows ``(a_j, e_h, c_j)``; ``e_1`` is 0, so that no coordinate is wasted."""
    blocks = []
    for h, p in enumerate(lifted):
        mark = np.zeros((len(p), len(lifted) - 1))
        if h:
            mark[:, h - 1] = 1.0
        blocks.append(np.hstack([p[:, :-1], mark.astype(p.dtype), p[:, -1:]]))
    if any(p.dtype == object for p in lifted):
        blocks = [as_fractions(block) for block in blocks]
    return np.vstack(blocks)


def _rank(points: Array) -> int:
    exact = as_fractions(points)
    return rational_matrix(exact[1:] - exact[:1]).rank()


def _extent(points: Array) -> list[Fraction]:
    """The vector from one end to the other of points on a line."""
    rows = sorted(as_fractions(points).tolist())
    return [p - q for p, q in zip(rows[-1], rows[0], strict=True)]


def _by_inclusion(parts: list[Array]) -> Fraction:
    """Mixed volume as the alternating sum of the volumes of all partial sums."""
    d = len(parts)
    total = Fraction(0)
    for size in range(1, d + 1):
        for chosen in combinations(parts, size):
            total += (-1) ** (d - size) * minkowski_sum(list(chosen)).volume()
    return total
