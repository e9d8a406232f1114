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

from tropattn._kernels import hull_signs
from tropattn._types import Array
from tropattn.polyhedra.hull.exact_signs import ExactRows
from tropattn.threads import check

__all__ = ["grown_hull", "inserted_hull"]


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
        self.rank: dict[int, int] = {}
        k = points.shape[1]
        self.take(
            np.zeros((64, k), np.int64),
            np.zeros((64, k), np.int64),
            np.zeros(64, np.int8),
            np.zeros((64, k)),
            np.zeros((64, k)),
        )
        self.alive[:] = False
        self.free = list(range(63, -1, -1))

    def take(
        self, facets: Array, neighbours: Array, sides: Array, normals: Array, slacks: Array
    ) -> None:
        """Let these be the facets."""
        self.facets, self.neighbours = facets.copy(), neighbours.copy()
        self.sides, self.normals, self.slacks = sides.astype(float), normals.copy(), slacks.copy()
        self.alive = np.ones(len(facets), np.bool_)
        self.free: list[int] = []

    def begin(self, first: list[int]) -> None:
        """Make the facets of the simplex of k + 1 points."""
        self.rank = {j: i for i, j in enumerate(first)}
        slots = [self._new([j for j in first if j != left_out]) for left_out in first]
        for one in slots:
            # Facet i lacks vertex i; its ridge opposite to vertex j is shared with facet j.
            for place, j in enumerate(self.facets[one].tolist()):
                self.neighbours[one, place] = slots[first.index(j)]

    def _new(self, facet: list[int]) -> int:
        """A slot for a facet of ascending vertices, with its normal and inner side."""
        if not self.free:
            self._double()
        slot = self.free.pop()
        self.facets[slot] = facet
        side = self.rows.sign([*facet, self.inner])
        if side == 0:
            raise ArithmeticError("a facet through the inner point")
        row = self.facets[slot : slot + 1]
        unused = np.zeros(self.points.shape[1])
        hull_signs.normals_of(
            self.points,
            self.errors,
            row,
            False,
            unused,
            unused,
            False,
            self.normals[slot : slot + 1],
            self.slacks[slot : slot + 1],
            np.zeros(1, np.int8),
            np.zeros(1, np.bool_),
        )
        self.sides[slot] = side
        self.alive[slot] = True
        return slot

    def _double(self) -> None:
        size = len(self.facets)
        for name in ("facets", "neighbours", "normals", "slacks", "sides", "alive"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        self.free = list(range(2 * size - 1, size - 1, -1))

    def _perturbed_sign(self, facet: list[int], j: int) -> int:
        """On which side of the facet the point j lies, not yet times its side; no tie if moved."""
        indices = [*facet, j]
        sign = self.rows.sign(indices)
        if sign or not self.moved:
            return sign
        moved = sorted(
            (i for i, v in enumerate(indices) if v != self.rows.n),
            key=lambda i: self.rank[indices[i]],
        )
        for i in moved:
            replaced = indices.copy()
            replaced[i] = self.inner
            sign = -self.rows.sign(replaced)
            if sign:
                return sign
        raise ArithmeticError("no tie is left where points are moved")

    def insert(self, j: int) -> None:
        """Replace the facets that see point ``j`` by those that join it to their border."""
        self.rank[j] = len(self.rank)
        seen = set(self._seeing(j))
        if not seen:
            return
        joined: dict[tuple[int, ...], tuple[int, int]] = {}
        for slot in seen:
            facet = self.facets[slot].tolist()
            for i, other in enumerate(self.neighbours[slot].tolist()):
                if other in seen:
                    continue
                ridge = facet[:i] + facet[i + 1 :]
                fresh = self._new(sorted([*ridge, j]))
                back = self.neighbours[other].tolist().index(slot)
                # Two ridges may lead to one neighbour: the right one lacks that vertex.
                for place, v in enumerate(self.facets[other].tolist()):
                    if v not in ridge:
                        back = place
                self.neighbours[other, back] = fresh
                for place, v in enumerate(self.facets[fresh].tolist()):
                    if v == j:
                        self.neighbours[fresh, place] = other
                        continue
                    rest = tuple(u for u in ridge if u != v)
                    if rest in joined:
                        mate, at = joined.pop(rest)
                        self.neighbours[fresh, place] = mate
                        self.neighbours[mate, at] = fresh
                    else:
                        joined[rest] = (fresh, place)
        for slot in seen:
            self.alive[slot] = False
            self.free.append(slot)

    def _seeing(self, j: int) -> list[int]:
        used = np.flatnonzero(self.alive)
        k = self.points.shape[1]
        base = self.facets[used, 0]
        step = self.points[j] - self.points[base]
        lost = 1.001 * (self.errors[j] + self.errors[base] + 2.0**-53 * np.abs(step))
        normals, slacks = self.normals[used], self.slacks[used]
        height = (normals * step).sum(axis=1) * self.sides[used]
        bound = (
            1.001
            * (
                slacks * (np.abs(step) + lost)
                + np.abs(normals) * (lost + (k + 3) * 2.0**-53 * np.abs(step))
            ).sum(axis=1)
            + 2.0**-1022
        )
        out = used[height < -bound].tolist()
        for slot in used[~(np.abs(height) > bound)].tolist():
            if self._perturbed_sign(self.facets[slot].tolist(), j) * self.sides[slot] < 0:
                out.append(slot)
        return out

    def result(self) -> tuple[Array, Array]:
        """Facets and neighbours, free slots left out."""
        used = np.flatnonzero(self.alive)
        number = np.full(len(self.alive), -1, np.int64)
        number[used] = np.arange(len(used))
        return self.facets[used].copy(), number[self.neighbours[used]]
