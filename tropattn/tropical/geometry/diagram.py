"""The diagram of one head and the subdivision dual to it, at the cost of one hull (theory T2, T3).

Affine ranks are decided first, exactly: slopes of low rank are read in independent columns, and
lifted points that lie in one hyperplane are one cell of all terms, subdivided like their slopes.
What is left is a hull that spans its space, and ``polyhedra/hull/proved`` proves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from math import comb
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import fraction, freeze
from tropattn.polyhedra.hull.proved import ProvedHull, hull
from tropattn.threads import check
from tropattn.tropical.max_affine import MaxAffine
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.terms import moderate

__all__ = ["HeadDiagram", "head_diagram", "hull_serves", "rounded"]

_FACETS = 2 * 10**6
"""Facets that a hull may have where they are not usually few."""

_DIMENSIONS = 12
"""Of hulls; the normal of a facet costs ``k 2^k`` products."""


@dataclass(frozen=True, eq=False)
class HeadDiagram:
    """Live terms, walls and vertices of ``max_j <a_j, x> + c_j`` on R^d, all exact.

    Attributes
    ----------
    f : the polynomial.
    dim : affine rank r of the slopes: the diagram is one of R^r times a flat.
    closed : whether ``found`` is the closed hull of the slopes, all terms being on one cell; else
        it is the upper hull of the lifted points.
    live : ascending terms with a cell of full dimension, of equal terms the smallest.
    walls : (w, 2) ascending pairs of live terms whose cells share a wall of dimension d - 1.
    kept : the terms that ``found`` numbers, ascending: all, or the first of each class of equals.
    columns : the slope columns that stand for all.
    found : the proved hull, None where the terms lie in at most one dimension.
    plain : whether the hull is one of all terms, in all columns and times one factor.
    """

    f: MaxAffine
    dim: int
    closed: bool
    live: NDArray[np.int64]
    walls: NDArray[np.int64]
    kept: NDArray[np.int64]
    columns: NDArray[np.int64]
    found: ProvedHull | None
    plain: bool = False

    @cached_property
    def _cells(self) -> tuple[Array, Array, Array]:
        """Starts and members (numbers of kept terms) of the maximal cells, and a facet of each."""
        n = len(self.kept)
        if self.closed:
            return np.array([0, n]), np.arange(n), np.zeros(0, np.int64)
        if self.found is None:
            return np.array([0, 1]), np.searchsorted(self.kept, self.live), np.zeros(0, np.int64)
        found = self.found
        upper = np.flatnonzero(~found.walls)
        labels, first, cell = np.unique(found.labels[upper], return_index=True, return_inverse=True)
        code = [np.repeat(cell, self.dim + 1) * n + found.facets[upper].ravel()]
        number = np.full(int(found.labels.max()) + 1, -1)
        number[labels] = np.arange(len(labels))
        for j in np.flatnonzero(found.on).tolist():
            around = _star(found, int(found.place[j]), np.flatnonzero(~found.border[j]))
            code.append(number[found.labels[around]] * n + j)
        pairs = np.unique(np.concatenate(code))
        starts = np.searchsorted(pairs // n, np.arange(len(labels) + 1))
        return starts, pairs % n, upper[first]

    @property
    def central(self) -> bool:
        """Whether all live terms meet in one point, or flat."""
        return self.n_cells == 1

    @property
    def n_cells(self) -> int:
        """Number of maximal cells of the subdivision: vertices of the diagram, if it has any."""
        return len(self._cells[0]) - 1

    @cached_property
    def cells(self) -> tuple[tuple[int, ...], ...]:
        """The maximal cells of the subdivision, each all its terms, equal ones too, ascending.

        >>> head_diagram(MaxAffine([[0], [1], [2], [1]], [0, 1, 0, -5])).cells
        ((0, 1), (1, 2))
        """
        starts, members, _ = self._cells
        return tuple(self._terms(members[one:two]) for one, two in pairwise(starts.tolist()))

    @cached_property
    def _classes(self) -> list[list[int]] | None:
        """All terms that equal each kept one, where any were left out."""
        if len(self.kept) == self.f.n_terms:
            return None
        _, classes = self.f.distinct
        order = np.argsort(classes, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(classes[order])) + 1)
        return [group.tolist() for group in groups]

    def _terms(self, members: Array) -> tuple[int, ...]:
        """All terms of some kept ones, ascending."""
        if self._classes is None:
            return tuple(self.kept[members].tolist())
        return tuple(sorted(t for j in members.tolist() for t in self._classes[j]))

    def faces(self, k: int) -> list[tuple[int, ...]]:
        """Faces of dimension k of the subdivision, each all its terms, in lexicographic order.

        Equal terms and those that are dead but on a face are among its terms.

        >>> line = head_diagram(MaxAffine([[0], [1], [2], [2]], [0, 0, 0, 0]))
        >>> line.faces(0), line.faces(1)
        ([(0,), (2, 3)], [(0, 1, 2, 3)])
        """
        if k == self.dim:
            return sorted(self.cells)
        found = self.found
        if found is None:
            return [self._terms(np.searchsorted(self.kept, [j])) for j in self.live.tolist()]
        if k == 0:
            on_faces = np.flatnonzero(found.corner)[:, None].tolist()
        else:
            on_faces = found.edges().tolist() if k == 1 else _faces(found, k + 1)
        around: dict[int, set[int]] = {}
        for i, face in enumerate(on_faces):
            for j in face:
                around.setdefault(j, set()).add(i)
        for j in np.flatnonzero(found.on).tolist():
            # A point belongs to the faces that contain the smallest simplex around it.
            carrier = found.facets[found.place[j], ~found.border[j]].tolist()
            for i in set.intersection(*(around.get(v, set()) for v in carrier)):
                on_faces[i].append(j)
        return sorted(self._terms(np.sort(face)) for face in on_faces)

    @cached_property
    def vertices(self) -> NDArray[np.object_]:
        """Where all terms of each cell tie, (n_cells, d) exact; 0 in dropped columns.

        >>> head_diagram(MaxAffine([[0], [1], [3]], [0, 0, -1])).vertices.tolist()
        [[Fraction(0, 1)], [Fraction(1, 2)]]
        """
        _, _, facets = self._cells
        out = np.empty((self.n_cells, self.f.dim), dtype=object)
        out[:] = fraction(flint.fmpq(0))
        if self.found is None or self.closed:
            if self.dim:
                out[0] = [fraction(v) for v in Refinement.of([self.f]).centre]
            return freeze(out)
        out[:, self.columns] = self._ties(self.found, facets)
        return freeze(out)

    def _ties(self, found: ProvedHull, facets: Array) -> Array:
        """Where all terms of these facets tie, in the columns of the hull, exactly."""
        out = np.empty((len(facets), self.dim), dtype=object)
        rows = found.rows.as_given()
        rows.need(np.unique(found.facets[facets]))
        for i, facet in enumerate(found.facets[facets].tolist()):
            check()
            # The hyperplane n . (a, c, 1) = 0 has the slope -n_a / n_c, and the tie is opposite.
            *normal, height, _ = rows.normal(facet)
            out[i] = [fraction(flint.fmpq(v, height)) for v in normal]
        return out

    def near_vertices(self) -> NDArray[np.float64]:
        """``vertices`` in doubles, each within 2**-30 of its largest coordinate (to the nearest).

        Cost: a division where doubles prove that, else as for ``vertices``.

        >>> head_diagram(MaxAffine([[0], [1], [3]], [0, 0, -1])).near_vertices().tolist()
        [[0.0], [0.5]]
        """
        if self.found is None or self.closed or not self.plain:
            return rounded(self.vertices)
        _, _, facets = self._cells
        normals, slacks = self.found.normals[facets], self.found.slacks[facets]
        height, lost = np.abs(normals[:, -1]), slacks[:, -1]
        with np.errstate(all="ignore"):
            out = normals[:, :-1] / normals[:, -1:]
            size = np.abs(out).max(axis=1)
            wrong = (slacks[:, :-1].max(axis=1) + size * lost) / (height - lost)
            near = (lost < height) & (wrong < 2.0**-31 * size) & np.isfinite(out).all(axis=1)
        near &= size > 2.0**-900
        doubtful = np.flatnonzero(~near)
        if len(doubtful):
            out[doubtful] = rounded(self._ties(self.found, facets[doubtful]))
        return out

    def f_vector(self) -> tuple[int, ...]:
        """Numbers of cells of dimension 0, ..., dim of the subdivision.

        A simplex lies inside the true face in the facets around it, which has the dimension of
        the simplex exactly if their normals have full rank.

        >>> grid = [[x, y] for x in range(3) for y in range(3)]
        >>> head_diagram(MaxAffine(grid, [-x * x - y * y for x, y in grid])).f_vector()
        (9, 12, 4)
        """
        if self.found is None:
            return (len(self.live), 1)[: self.dim + 1]
        inner = () if self.closed else (self.n_cells,)
        found, k = self.found, self.found.facets.shape[1]
        top = k if self.closed else k - 1
        out = [len(self.live), len(self.walls)][:top]
        out += [len(_faces(found, size)) for size in range(3, top + 1)]
        return (*out, *((1,) if self.closed else inner))


def hull_serves(n: int, k: int, facets: int = _FACETS) -> bool:
    """Whether a hull of n points in R^k has at most so many facets, or k is at most 4.

    By the upper bound theorem (McMullen 1970), which cyclic polytopes attain. In few dimensions
    they are exceptions.

    >>> hull_serves(100_000, 4), hull_serves(1000, 5), hull_serves(300, 9)
    (True, True, False)
    """
    if k <= 4 or k > _DIMENSIONS:
        return k <= 4
    half = k // 2
    most = 2 * comb(n - half - 1, half) if k % 2 else n * comb(n - half, half) // (n - half)
    return most <= facets


def head_diagram(f: MaxAffine, facets: int = _FACETS, placed: bool = False) -> HeadDiagram | None:
    """The diagram of one polynomial on R^d, with everything proved (theory T2, T3, T20).

    None where its hull might have more than so many facets (``hull_serves``); ``placed`` as for
    ``hull``, where it is one of all terms. Cost: ranks, one hull of the distinct terms in doubles,
    and signs in rationals where doubles leave them open.

    >>> found = head_diagram(MaxAffine([[0, 0], [2, 0], [0, 2], [1, 0]], [0, 0, 0, 0]))
    >>> found.live.tolist(), found.walls.tolist(), found.central
    ([0, 1, 2], [[0, 1], [0, 2], [1, 2]], True)
    """
    terms, errors = moderate(*f.float_terms())
    if f.n_terms > f.dim + 1 and hull_serves(f.n_terms + 1, f.dim + 1, facets):
        found = hull(terms, errors, f.exact_terms, vertical=True, repair=False, placed=placed)
        if found is not None:
            every, slopes = np.arange(f.n_terms), np.arange(f.dim)
            live, walls = _firsts(found)
            return HeadDiagram(f, f.dim, False, live, walls, every, slopes, found, plain=True)
    return _reduced_diagram(f, facets)


def _reduced_diagram(f: MaxAffine, facets: int) -> HeadDiagram | None:
    """The same, of distinct terms in independent columns; of slopes where all are on one cell."""
    refinement = Refinement.ready([f])
    kept, central = refinement.kept[0], refinement.central
    if not hull_serves(len(kept) + (not central), refinement.rank, facets):
        return None
    columns = refinement.columns
    slopes = columns if central else columns[:-1]
    pairs = np.zeros((0, 2), np.int64)

    def exact(chosen: Any) -> flint.fmpq_mat:
        rows = f.exact_terms(kept[np.asarray(chosen)])
        if refinement.rank == rows.ncols():
            return rows
        flat = [rows[i, c] for i in range(rows.nrows()) for c in columns.tolist()]
        return flint.fmpq_mat(rows.nrows(), len(columns), flat)

    if refinement.rank < 2:
        ends = _ends(refinement, exact) if refinement.rank else np.zeros(1, np.int64)
        live = ends if central else ends[-1:]
        if len(live) == 2:
            pairs = kept[np.sort(live)][None, :]
        live = np.sort(kept[live])
        return HeadDiagram(f, len(slopes), central, live, pairs, kept, slopes, None)
    if len(refinement.integers):
        points = refinement.integers.astype(np.float64)
        errors = np.zeros(points.shape)
    else:
        points = refinement.terms
        errors = np.broadcast_to(refinement.errors[:, None], points.shape)
    found = hull(points, errors, exact, vertical=not central)
    assert found is not None
    live = kept[found.corner]
    walls = kept[found.edges()]
    return HeadDiagram(f, len(slopes), central, live, walls, kept, slopes, found)


def rounded(values: Array) -> NDArray[np.float64]:
    """Nearest doubles; what is beyond them is infinite."""
    out = np.empty(values.shape)
    for index, value in np.ndenumerate(values):
        try:
            out[index] = float(value)
        except OverflowError:
            out[index] = np.inf if value > 0 else -np.inf
    return out


def _firsts(found: ProvedHull) -> tuple[Array, Array]:
    """Corners and edges, by the smallest number of equal points."""
    n = len(found.corner)
    corner, pairs = np.flatnonzero(found.corner), found.edges()
    if not found.on.any():
        return corner, pairs
    # A point on a facet at the border of all ridges but one is that vertex.
    twin = np.flatnonzero(found.on & (found.border.sum(axis=1) == found.border.shape[1] - 1))
    if not len(twin):
        return corner, pairs
    name = np.arange(n)
    vertex = found.facets[found.place[twin], np.argmin(found.border[twin], axis=1)]
    np.minimum.at(name, vertex, twin)
    pairs = np.sort(name[pairs], axis=1)
    return np.sort(name[corner]), pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _ends(refinement: Refinement, exact: Any) -> Array:
    """The least and the greatest of points on a line, in this order."""
    points, errors = refinement.terms[:, 0], refinement.errors
    out = []
    for sign in (-1.0, 1.0):
        values = sign * points
        close = np.flatnonzero(values + errors >= (values - errors).max())
        if len(close) > 1:
            rows = exact(close)
            numbers = [int(sign) * rows[i, 0] for i in range(len(close))]
            close = close[[max(range(len(close)), key=numbers.__getitem__)]]
        out.append(int(close[0]))
    return np.array(out)


def _star(found: ProvedHull, start: int, places: Array) -> Array:
    """Upper facets that contain the vertices at those places of the facet ``start``."""
    face = set(found.facets[start, places].tolist())
    seen, queue = {start}, [start]
    while queue:
        f = queue.pop()
        for v, g in zip(found.facets[f].tolist(), found.neighbours[f].tolist(), strict=True):
            if v not in face and g not in seen and not found.walls[g]:
                seen.add(g)
                queue.append(g)
    return np.array(sorted(seen))


def _faces(found: ProvedHull, size: int) -> list[list[int]]:
    """The vertices of each face of the hull with dimension ``size - 1`` that is not at infinity.

    A simplex of that many vertices inside a face is one that lies in the same true facets.
    """
    n, k = len(found.corner), found.facets.shape[1]
    subsets = [found.facets[:, list(c)] for c in combinations(range(k), size)]
    labels = np.tile(found.labels, len(subsets))
    simplices = np.vstack(subsets)
    finite = simplices[:, -1] < n
    simplices, labels = simplices[finite], labels[finite]
    distinct, number = np.unique(simplices, axis=0, return_inverse=True)
    if (found.signs == 1).all():
        return distinct.tolist()
    pairs = np.unique(np.column_stack([number.ravel(), labels]), axis=0)
    around = np.split(pairs[:, 1], np.flatnonzero(np.diff(pairs[:, 0])) + 1)
    members: dict[tuple[int, ...], set[int]] = {}
    for simplex, group in zip(distinct.tolist(), around, strict=True):
        members.setdefault(tuple(group.tolist()), set()).update(simplex)
    spans = _spanned(found, k - size + 1)
    return [sorted(vertices) for group, vertices in members.items() if spans(group)]


def _spanned(found: ProvedHull, rank: int) -> Callable[[tuple[int, ...]], bool]:
    """Whether true facets, not all of them at infinity, have normals of that rank.

    Facets around a simplex never have more. A rank up to 3 is a number of facets.
    """
    upper = set(found.labels[~found.walls].tolist())
    _, first = np.unique(found.labels, return_index=True)
    normals: dict[int, list[Any]] = {}

    def spans(group: tuple[int, ...]) -> bool:
        # Faces in walls alone contain infinity.
        if len(group) < rank or upper.isdisjoint(group):
            return False
        if rank <= 3:
            return True
        for label in group:
            if label not in normals:
                normals[label] = found.rows.normal(found.facets[first[label]].tolist())
        flat = [v for label in group for v in normals[label]]
        return flint.fmpz_mat(len(group), found.facets.shape[1] + 1, flat).rank() == rank

    return spans
