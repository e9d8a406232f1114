"""Cells of a coarse subdivision cut into simplices, so that common faces are cut alike.

The points of a cell are *placed* one after the other into the upper hull of those before, with
signs in integers. A facet in whose hyperplane a point lies does not see it, and what joins the
point to that facet lies beside it. What placing does to a face depends only on the order of the
points of that face (theory T20), so two cells whose points come in ascending order do the same to
a face of both. Nothing rests on it: the simplices are a proposal.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.hull_integers import last_row_sign, minors_into, steps_into
from tropattn._kernels.hull_links import replace_seen
from tropattn._kernels.hull_signs import expansion
from tropattn._kernels.structures import structure

__all__ = ["cut_cells"]

_FLAT = 1e-9
"""Points this near to the span of others, in units of a cell, count as being in it."""

_FREE, _FRESH, _KNOWN = 0, 1, 2
"""A slot: without a facet, with one, with one whose minors are known."""


@structure
class _Surface:
    """The facets of the upper hull of the points placed so far, and infinity; slots used again."""

    state: np.ndarray  # (slots,) int8
    facets: np.ndarray  # (slots, k) int64
    neighbours: np.ndarray  # (slots, k) int64
    sides: np.ndarray  # (slots,) int8
    minors: np.ndarray  # (slots, 2^k, digits) int64
    free: np.ndarray  # (slots,) int64, the free slots after those in use
    number: np.ndarray  # (slots,) int64, -1
    seen: np.ndarray  # (slots,) int64
    made: np.ndarray  # (slots, k) int64
    in_use: int
    touched: int


@structure
class _Points:
    """Exact points, and what determinants of them are computed with."""

    digits: np.ndarray  # (n + 4, k, w) int64
    weights: np.ndarray  # (n + 4,) int64
    matrix: np.ndarray  # (k, k, w) int64
    steps: np.ndarray
    turns: np.ndarray
    pair: np.ndarray  # (2,) int64


@fragment()
def _basis(points, cell, first, work):
    """Whether points of a cell span its projection, as far as doubles tell; ``first`` such ones."""
    d = points.shape[1] - 1
    rows, extents = work[1:], work[0]
    for c in range(d):
        low = high = points[cell[0], c]
        for j in cell:
            low = min(low, points[j, c])
            high = max(high, points[j, c])
        if low == high:
            return False
        extents[c] = high - low
    first[0] = cell[0]
    rank = 0
    for j in cell:
        row = rows[rank]
        for c in range(d):
            row[c] = (points[j, c] - points[cell[0], c]) / extents[c]
        for r in range(rank):
            # Each row is 1 at its own pivot, whose place is its last entry.
            factor = row[int(rows[r, d])]
            for c in range(d):
                row[c] -= factor * rows[r, c]
        pivot = 0
        for c in range(1, d):
            if abs(row[c]) > abs(row[pivot]):
                pivot = c
        size = row[pivot]
        if abs(size) > _FLAT:
            for c in range(d):
                row[c] /= size
            row[d] = pivot
            rank += 1
            first[rank] = j
            if rank == d:
                return True
    return False


@fragment()
def _sign(surface, slot, j, points):
    """The sign of the determinant of a facet and point ``j``."""
    digits, weights, matrix, pair = points.digits, points.weights, points.matrix, points.pair
    facet, minors = surface.facets[slot], surface.minors[slot]
    if surface.state[slot] == _FRESH:
        steps_into(digits, weights, facet, matrix)
        minors_into(matrix, points.steps, points.turns, minors)
        surface.state[slot] = _KNOWN
    # The first vertex of a facet is never infinity.
    pair[0], pair[1] = facet[0], j
    steps_into(digits, weights, pair, matrix)
    return last_row_sign(minors, matrix, 0)


@fragment()
def _begin(surface, first, infinity, points):
    """Let the facets be those of a simplex of k points and infinity; False where it is flat."""
    state, facets, sides = surface.state, surface.facets, surface.sides
    k = len(first)
    for slot in range(surface.touched):
        surface.free[slot] = slot
        state[slot] = _FREE
    surface.in_use = surface.touched = k + 1
    for slot in range(k + 1):
        # Facet i lacks vertex i; its ridge opposite to vertex j is shared with facet j.
        for place in range(k):
            vertex = place if place < slot else place + 1
            facets[slot, place] = first[vertex] if vertex < k else infinity
            surface.neighbours[slot, place] = vertex
        state[slot] = _FRESH
    sides[k] = _sign(surface, k, infinity, points)
    for slot in range(k):
        sides[slot] = -sides[k] if (k - slot) & 1 else sides[k]
    return sides[k] != 0


@fragment()
def _place(surface, j, points):
    """Replace the facets that see point ``j``; False where there are not slots enough."""
    state, seen, free = surface.state, surface.seen, surface.free
    k = surface.facets.shape[1]
    count = 0
    for slot in range(surface.touched):
        if state[slot] != _FREE and _sign(surface, slot, j, points) * surface.sides[slot] < 0:
            seen[count] = slot
            count += 1
    begin = surface.in_use
    if begin + count * k > len(free):
        return False
    if count == 0:
        return True
    fresh = replace_seen(
        surface.facets,
        surface.neighbours,
        surface.sides,
        seen[:count],
        surface.number,
        free[begin:],
        j,
        surface.made,
    )
    for at in range(begin, begin + fresh):
        state[free[at]] = _FRESH
        surface.touched = max(surface.touched, free[at] + 1)
    begin += fresh
    for s in range(count):
        begin -= 1
        free[begin] = seen[s]
        state[seen[s]] = _FREE
    surface.in_use = begin
    return True


@njit(nogil=True)
def cut_cells(
    near, digits, weights, starts, members, tables, lists, marks, minors, matrix, work, out
):
    """Write the facets of the upper hulls of cells, walls among them, and return their number.

    Cell ``i`` has the ascending points ``members[starts[i] : starts[i + 1]]``, which are ``near``
    (n, k) in doubles; ``digits`` and ``weights`` as for ``determinant_signs``, the number n is
    infinity. Cells that are flat seen from above are left out. The number is -1 where a cell has
    more facets at a time than there are slots.

    ``tables`` (3, slots, k), ``lists`` (5, slots), ``marks`` (2, slots), ``minors`` (slots, 2^k,
    digits), ``matrix`` (k, k, w) and ``work`` (k + 1, k) are scratch: each allocation here would be
    compiled.
    """
    n, k = near.shape
    slots = len(marks[0])
    steps, turns = expansion(k)
    points = _Points(
        digits=digits, weights=weights, steps=steps, turns=turns, matrix=matrix, pair=lists[4, :2]
    )
    surface = _Surface(
        state=marks[0],
        sides=marks[1],
        facets=tables[0],
        neighbours=tables[1],
        made=tables[2],
        free=lists[0],
        number=lists[1],
        seen=lists[2],
        minors=minors,
        in_use=0,
        touched=0,
    )
    for slot in range(slots):
        marks[0, slot] = _FREE
        lists[0, slot] = slot
        lists[1, slot] = -1
    first = lists[3, :k]
    count = 0
    for i in range(len(starts) - 1):
        cell = members[starts[i] : starts[i + 1]]
        if not _basis(near, cell, first, work) or not _begin(surface, first, n, points):
            continue
        at = 0
        for j in cell:
            if at < k and first[at] == j:
                at += 1
            elif not _place(surface, j, points):
                return -1
        for slot in range(surface.touched):
            if surface.state[slot] != _FREE:
                for c in range(k):
                    out[count, c] = surface.facets[slot, c]
                count += 1
    return count
