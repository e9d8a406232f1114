"""Hulls by exact insertion, point after point; no tie is left, and nothing is rounded.

Point ``i`` is moved away from a point ``o`` inside the hull by ``eps_i (v_i - o)``, with
``1 >> eps_1 >> eps_2 >> ... > 0`` (Edelsbrunner, Muecke 1990, *Simulation of Simplicity*). In
homogeneous rows that is ``v_i - eps_i o``, so that a determinant, where ``o`` cannot occur twice,
is of first order: its sign is that of the first that is not zero among itself and, with changed
signs, those with ``o`` in the place of one point, in the order of the points. The last place that
matters holds ``o`` beside the facet, which is not zero. The facets of the points so moved are
simplices, and triangulate the boundary of the true hull.
"""

from __future__ import annotations

from collections.abc import Sequence

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import hull_links, hull_signs
from tropattn._types import Array
from tropattn.polyhedra.hull.exact_signs import ExactRows
from tropattn.polyhedra.hull.proof import height_errors
from tropattn.threads import check

__all__ = ["grown_hull", "inserted_hull"]

_BY_SLOT = (
    "facets", "neighbours", "sides", "normals", "slacks", "offsets", "margins", "alive", "number",
)  # fmt: skip


def inserted_hull(
    points: Array, errors: Array, rows: ExactRows, keys: Sequence[int], vertical: bool
) -> tuple[Array, Array]:
    """Facets (m, k), ascending, and neighbours of the hull of ``keys``, with infinity if vertical.

    Doubles only spare signs that they prove. Cost: a product with all facets and some exact signs
    per point.

    >>> square = [[0, 0], [1, 0], [0, 1], [1, 1]]
    >>> rows = ExactRows(lambda js: flint.fmpq_mat([square[j] for j in js]), 4, 2)
    >>> facets, _ = inserted_hull(np.array(square, float), np.zeros((4, 2)), rows, range(4), False)
    >>> sorted(facets.tolist())
    [[0, 1], [0, 2], [1, 3], [2, 3]]
    """
    rows.need(keys)
    first, rest = _independent(rows, list(keys), vertical)
    # Any positive combination of the first points lies inside; it is a row of its own.
    inner = rows.n + 1
    total = [sum(parts) for parts in zip(*(rows.row(j) for j in first), strict=True)]
    rows.set_row(inner, total)
    grown = _Growing(points, errors, rows, inner, moved=True)
    grown.begin(first)
    order = np.random.Generator(np.random.Philox(3)).permutation(len(rest))
    for i in order:
        check()
        grown.insert(rest[int(i)])
    return grown.result()


def grown_hull(
    points: Array,
    errors: Array,
    rows: ExactRows,
    surface: tuple[Array, Array, Array, Array, Array],
    inner: int,
    outside: Sequence[int],
) -> tuple[Array, Array]:
    """Facets and neighbours of a triangulated hull after points outside it have been added.

    ``surface``: facets, neighbours, sides, normals and slacks as in a proof; ``inner`` numbers a
    point inside. No point is moved: facets in whose hyperplane a new point lies stay, and what
    joins it to them lies beside them in that hyperplane.
    """
    grown = _Growing(points, errors, rows, inner, moved=False)
    grown.take(*surface)
    for j in outside:
        check()
        grown.insert(int(j))
    return grown.result()


def _independent(rows: ExactRows, keys: list[int], vertical: bool) -> tuple[list[int], list[int]]:
    """The first k + 1 independent ones, infinity before all, and the other points."""
    names = [rows.n, *keys] if vertical else keys
    columns = [rows.row(j) for j in names]
    flat = [row[c] for c in range(rows.k + 1) for row in columns]
    echelon, _, rank = flint.fmpz_mat(rows.k + 1, len(names), flat).rref()
    if rank != rows.k + 1:
        raise ArithmeticError("points that span R^k needed")
    pivots, at = [], 0
    for i in range(rank):
        while echelon[i, at] == 0:
            at += 1
        pivots.append(at)
        at += 1
    first = [names[i] for i in pivots]
    chosen = set(first)
    return sorted(first), [j for j in keys if j not in chosen]


class _Growing:
    """The facets of the points inserted so far; free slots are used again."""

    def __init__(
        self, points: Array, errors: Array, rows: ExactRows, inner: int, moved: bool
    ) -> None:
        self.points, self.errors, self.rows, self.inner = points, errors, rows, inner
        self.moved = moved
        # When each point came; infinity, which is not moved, after all.
        self.rank = np.full(rows.n + 1, rows.n, np.int64)
        self.came = 0
        self.reach, self.worst = np.abs(points).max(axis=0), errors.max(axis=0)

    def take(
        self, facets: Array, neighbours: Array, sides: Array, normals: Array, slacks: Array
    ) -> None:
        """Let these be the facets."""
        self.facets, self.neighbours = facets.copy(), neighbours.copy()
        self.sides, self.normals, self.slacks = sides.copy(), normals.copy(), slacks.copy()
        self.offsets, self.margins = self._heights(self.facets, normals, slacks)
        self.alive = np.ones(len(facets), np.bool_)
        self.number = np.full(len(facets), -1, np.int64)
        self.free = np.zeros(0, np.int64)

    def begin(self, first: list[int]) -> None:
        """Make the facets of the simplex of k + 1 points."""
        for j in first:
            self._count(j)
        k = len(first) - 1
        facets = np.array([[j for j in first if j != left_out] for left_out in first], np.int64)
        # Facet i lacks vertex i; its ridge opposite to vertex j is shared with facet j.
        neighbours = np.array([[j for j in range(k + 1) if j != i] for i in range(k + 1)], np.int64)
        sides = [self.rows.sign([*facet, self.inner]) for facet in facets.tolist()]
        self.take(facets, neighbours, np.array(sides, np.int8), *self._normals(facets))

    def _count(self, j: int) -> None:
        if j != self.rows.n:
            self.rank[j] = self.came
            self.came += 1

    def _normals(self, facets: Array) -> tuple[Array, Array]:
        """The normals of facets, and bounds on their errors."""
        m, k = facets.shape
        normals, slacks, unused = np.empty((m, k)), np.empty((m, k)), np.zeros(k)
        hull_signs.normals_of(
            self.points,
            self.errors,
            facets,
            False,
            unused,
            unused,
            False,
            normals,
            slacks,
            np.empty(m, np.int8),
            np.empty(m, np.bool_),
        )
        return normals, slacks

    def _heights(self, facets: Array, normals: Array, slacks: Array) -> tuple[Array, Array]:
        """What normals give on their facets, and bounds on errors of what they give less that."""
        offsets = (normals * self.points[facets[:, 0]]).sum(axis=1)
        return offsets, height_errors(normals, slacks, self.reach, self.worst)

    def _make_room(self, wanted: int) -> None:
        """Have at least so many free slots."""
        if len(self.free) >= wanted:
            return
        size = len(self.facets)
        more = max(size, wanted, 64)
        for name in _BY_SLOT:
            old = getattr(self, name)
            added = np.full((more, *old.shape[1:]), -1 if name == "number" else 0, old.dtype)
            setattr(self, name, np.concatenate([old, added]))
        self.free = np.concatenate([self.free, np.arange(size, size + more)])

    def insert(self, j: int) -> None:
        """Replace the facets that see point ``j`` by those that join it to their border."""
        self._count(j)
        seen = self._seeing(j)
        if not len(seen):
            return
        made = np.empty((len(seen), self.points.shape[1]), np.int64)
        self._make_room(made.size)
        count = hull_links.replace_seen(
            self.facets, self.neighbours, self.sides, seen, self.number, self.free, j, made
        )
        fresh = self.free[:count]
        facets = self.facets[fresh]
        normals, slacks = self._normals(facets)
        self.normals[fresh], self.slacks[fresh] = normals, slacks
        self.offsets[fresh], self.margins[fresh] = self._heights(facets, normals, slacks)
        self.alive[seen] = False
        self.alive[fresh] = True
        self.free = np.concatenate([self.free[count:], seen])

    def _seeing(self, j: int) -> NDArray[np.int64]:
        """The facets that see point ``j``."""
        seen, unsure = np.empty((2, len(self.facets)), np.int64)
        found, doubtful = hull_signs.seeing(
            self.points,
            self.errors,
            self.facets,
            self.sides,
            self.normals,
            self.slacks,
            self.offsets,
            self.margins,
            self.alive,
            j,
            seen,
            unsure,
        )
        if not doubtful:
            return seen[:found]
        unsure = unsure[:doubtful]
        rows = np.column_stack([self.facets[unsure], np.full(doubtful, j)])
        signs = self.sides[unsure] * self._signs(rows)
        return np.concatenate([seen[:found], unsure[signs < 0]])

    def _signs(self, batch: NDArray[np.int64]) -> NDArray[np.int8]:
        """Signs of determinants, none of them 0 where points are moved."""
        signs = self.rows.signs(batch)
        tied = np.flatnonzero(signs == 0)
        if not self.moved or not len(tied):
            return signs
        order = np.argsort(self.rank[batch[tied]], axis=1)
        for turn in range(batch.shape[1]):
            replaced = batch[tied]
            replaced[np.arange(len(tied)), order[:, turn]] = self.inner
            signs[tied] = -self.rows.signs(replaced)
            left = signs[tied] == 0
            if not left.any():
                return signs
            tied, order = tied[left], order[left]
        raise ArithmeticError("no tie is left where points are moved")

    def result(self) -> tuple[Array, Array]:
        """Facets and neighbours, free slots left out."""
        used = np.flatnonzero(self.alive)
        number = np.full(len(self.alive), -1, np.int64)
        number[used] = np.arange(len(used))
        return self.facets[used].copy(), number[self.neighbours[used]]
