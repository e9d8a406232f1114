"""Edges of a triangulated surface flipped until it is convex (Lawson 1977), with exact signs.

A ridge over which two triangles bend the wrong way is replaced by the other diagonal of its
quadrilateral, where both new triangles still have the inner point on their inner sides. Each flip
adds a tetrahedron to what lies below the surface, so they end: mostly with a hull, but an edge that
cannot be flipped may be left, since a vertex would have to go.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tropattn._types import Array

__all__ = ["flipped"]


def flipped(
    facets: Array,
    neighbours: Array,
    sides: Array,
    bad: list[tuple[int, int]],
    side: Callable[[list[int]], int],
    sign: Callable[[list[int]], int],
) -> tuple[Array, Array]:
    """The surface after all flips that can be made.

    ``facets``, ``neighbours`` (m, 3), vertices ascending, and the inner ``sides`` (m,) of facets;
    ``bad`` ridges (facet, place) to begin with; ``side`` of a new facet, and ``sign`` of
    the determinant of a facet and a point.
    """
    rows, beside, inner = facets.tolist(), neighbours.tolist(), sides.tolist()
    stack = list(bad)
    while stack:
        f, i = stack.pop()
        g = beside[f][i]
        j = next(p for p in range(3) if rows[g][p] not in rows[f])
        c, d = rows[f][i], rows[g][j]
        if inner[f] * sign([*rows[f], d]) >= 0:
            continue
        a, b = (v for v in rows[f] if v != c)
        # The triangles (a, c, d) and (b, c, d) replace (a, b, c) and (a, b, d).
        outer = {}
        for old in (f, g):
            for place, v in enumerate(rows[old]):
                if v in (a, b):
                    # Across the edge without v: it stays with the other one of a and b.
                    other = b if v == a else a
                    tip = c if old == f else d
                    outer[other, tip] = beside[old][place], old
        new_f, new_g = sorted([a, c, d]), sorted([b, c, d])
        side_f, side_g = side(new_f), side(new_g)
        kept = (
            side_f and side_g
            and _turn(new_f, side_f, d) == _turn(rows[f], inner[f], b)
            and _turn(new_f, side_f, c) == _turn(rows[g], inner[g], b)
            and _turn(new_g, side_g, d) == _turn(rows[f], inner[f], a)
            and _turn(new_g, side_g, c) == _turn(rows[g], inner[g], a)
        )  # fmt: skip
        if not kept or any(far in (f, g) for far, _ in outer.values()):
            # The quadrilateral is not convex; flips around it may change that.
            continue
        for slot, fresh, turn, end in ((f, new_f, side_f, a), (g, new_g, side_g, b)):
            rows[slot], inner[slot] = fresh, turn
            mate = g if slot == f else f
            ahead = {end: mate, d: outer[end, c][0], c: outer[end, d][0]}
            beside[slot] = [ahead[v] for v in fresh]
        for slot, end in ((f, a), (g, b)):
            for tip in (c, d):
                far, was = outer[end, tip]
                if was != slot:
                    edge = {end, tip}
                    place = next(p for p in range(3) if rows[far][p] not in edge)
                    beside[far][place] = slot
                stack.append((slot, rows[slot].index(d if tip == c else c)))
    return np.array(rows, np.int64), np.array(beside, np.int64)


def _turn(facet: list[int], side: int, v: int) -> int:
    """The order that a facet of ascending vertices induces on its ridge without v."""
    return -side if facet.index(v) & 1 else side
