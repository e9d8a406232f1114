"""What of a triangulated hull needs no signs: its ridges, classes of facets, edges, orders.

Facets are rows of ``k`` ascending point numbers, with the neighbour across the ridge opposite to
each vertex; see ``hull_signs``.
"""

from __future__ import annotations

from math import frexp

import numpy as np

from tropattn._kernels.compiling import fragment, njit

__all__ = [
    "arrange",
    "close_off",
    "common_ridges",
    "curve",
    "edges_of",
    "extents",
    "replace_seen",
    "strict_stars",
    "touching",
]


@njit(nogil=True)
def extents(points, top, low):
    """Per column: all numbers are below ``2**top`` and integer multiples of ``2**low``."""
    n, k = points.shape
    for c in range(k):
        top[c] = -5000
        low[c] = 5000
        for j in range(n):
            fraction, exponent = frexp(points[j, c])
            if fraction != 0.0:
                top[c] = max(top[c], exponent)
                if exponent - 53 < low[c]:
                    # Only then can its last digit lie lower.
                    digits = np.int64(fraction * 2.0**53)
                    last = exponent - 53
                    while not digits & 1:
                        digits >>= 1
                        last += 1
                    low[c] = min(low[c], last)
        if top[c] == -5000:
            top[c] = 0
            low[c] = 0


@njit(nogil=True)
def curve(points, codes):
    """Numbers along a Z-shaped curve (Morton 1966): points that follow each other are near."""
    n, k = points.shape
    bits = max(1, 16 // k)
    low = np.zeros(k)
    scale = np.zeros(k)
    for c in range(k):
        low[c] = points[0, c]
        high = points[0, c]
        for j in range(n):
            low[c] = min(low[c], points[j, c])
            high = max(high, points[j, c])
        if high > low[c]:
            scale[c] = (2**bits - 1) / (high - low[c])
    cell = np.zeros(k, np.int64)
    for j in range(n):
        for c in range(k):
            cell[c] = np.int64((points[j, c] - low[c]) * scale[c])
        code = 0
        for bit in range(bits - 1, -1, -1):
            for c in range(k):
                code = code << 1 | (cell[c] >> bit & 1)
        codes[j] = code & 0xFFFF


@njit(nogil=True)
def arrange(simplices, neighbours):
    """Sort each row of ``simplices``, in place, and its neighbours alike."""
    m, k = simplices.shape
    for f in range(m):
        for i in range(1, k):
            vertex = simplices[f, i]
            other = neighbours[f, i]
            at = i
            while at > 0 and simplices[f, at - 1] > vertex:
                simplices[f, at] = simplices[f, at - 1]
                neighbours[f, at] = neighbours[f, at - 1]
                at -= 1
            simplices[f, at] = vertex
            neighbours[f, at] = other


@njit(nogil=True)
def common_ridges(facets, neighbours, sides, back):
    """Whether all facets are joined in pairs along ridges that they induce opposite orders on.

    ``back[f, i]`` becomes the place of that ridge in the neighbour. Facets have ascending vertices;
    ``sides`` turns them, and dropping vertex ``i`` turns the ridge by ``(-1)^i``.
    """
    m, k = facets.shape
    for f in range(m):
        for i in range(k):
            g = neighbours[f, i]
            if g < 0 or g >= m or g == f:
                return False
            found = -1
            for j in range(k):
                if neighbours[g, j] == f:
                    same = True
                    for c in range(k - 1):
                        one = facets[f, c if c < i else c + 1]
                        if one != facets[g, c if c < j else c + 1]:
                            same = False
                            break
                    if same:
                        found = j
                        break
            if found < 0:
                return False
            turned = sides[f] * sides[g] * (-1 if (i + found) & 1 else 1)
            if turned >= 0:
                return False
            back[f, i] = found
    return True


@fragment()
def _place_of(vertex, facet):
    """The place of a vertex in a facet, or -1."""
    for i in range(len(facet)):
        if facet[i] == vertex:
            return i
    return -1


@fragment()
def _other_place(facet, beside):
    """The place in a facet of its one vertex that is none of the facet beside it."""
    for i in range(len(facet)):
        if _place_of(facet[i], beside) < 0:
            return i
    return -1


@fragment()
def _join(facets, neighbours, sides, slot, i, j, fresh):
    """Let ``fresh`` join point ``j`` to the ridge of ``slot`` opposite to place ``i``."""
    k = facets.shape[1]
    other = neighbours[slot, i]
    back = _other_place(facets[other], facets[slot])
    at = 0
    for c in range(k):
        if c != i and facets[slot, c] < j:
            at += 1
    place = 0
    for c in range(k):
        if c != i:
            if place == at:
                place += 1
            facets[fresh, place] = facets[slot, c]
            place += 1
    facets[fresh, at] = j
    neighbours[fresh, at] = other
    neighbours[other, back] = fresh
    # Both induce opposite orders on the ridge.
    sides[fresh] = sides[other] * (1 if (at + back) & 1 else -1)


@fragment()
def _next_border(facets, neighbours, number, at, i, c):
    """The border's ridge after that of facet ``at`` opposite to place ``i``, as facet and place.

    Both have the face of codimension 2 that lacks the vertices at the places ``i`` and ``c``; it is
    gone round through facets with a ``number``, to a ridge beyond which there is none. The facet is
    -1 where such ridges do not end.
    """
    kept, across = facets[at, i], c
    for _ in range(len(facets)):
        ahead = neighbours[at, across]
        if number[ahead] < 0:
            return at, across
        entered = _other_place(facets[ahead], facets[at])
        across = _place_of(kept, facets[ahead])
        if across < 0 or entered < 0:
            break
        kept, at = facets[ahead, entered], ahead
    return -1, 0


@njit(nogil=True)
def close_off(facets, neighbours, n, number, rows, beside):
    """Join each open ridge (neighbour -1) to point ``n``, and the new facets with each other.

    ``rows`` and ``beside`` (m + walls, k) take the facets and neighbours. ``number`` (m + 1,) is 0,
    but -1 at last, where an open ridge leads. False where ridges around open ones do not close.
    """
    m, k = facets.shape
    fresh = m
    for f in range(m):
        for i in range(k):
            rows[f, i], beside[f, i] = facets[f, i], neighbours[f, i]
            if neighbours[f, i] < 0:
                beside[f, i] = fresh
                fresh += 1
    for f in range(m):
        for i in range(k):
            if neighbours[f, i] >= 0:
                continue
            wall = beside[f, i]
            rows[wall, k - 1], beside[wall, k - 1] = n, f
            for c in range(k):
                if c != i:
                    place = c if c < i else c - 1
                    at, across = _next_border(facets, neighbours, number, f, i, c)
                    if at < 0:
                        return False
                    rows[wall, place], beside[wall, place] = facets[f, c], beside[at, across]
    return True


@fragment()
def replace_seen(facets, neighbours, sides, seen, number, free, j, made):
    """Replace the facets that are ``seen`` by those that join point ``j`` to their border.

    The new ones take the slots ``free[0], free[1], ...``; their number is returned. ``number`` (all
    slots) is -1, before and after; ``made`` (seen, k) is scratch.
    """
    k = facets.shape[1]
    for s in range(len(seen)):
        number[seen[s]] = s
    count = 0
    for s in range(len(seen)):
        for i in range(k):
            made[s, i] = -1
            if number[neighbours[seen[s], i]] < 0:
                made[s, i] = free[count]
                _join(facets, neighbours, sides, seen[s], i, j, free[count])
                count += 1
    for s in range(len(seen)):
        for i in range(k):
            if made[s, i] < 0:
                continue
            for c in range(k):
                if c == i:
                    continue
                at, across = _next_border(facets, neighbours, number, seen[s], i, c)
                place = _place_of(facets[seen[s], c], facets[made[s, i]])
                neighbours[made[s, i], place] = made[number[at], across]
    for s in range(len(seen)):
        number[seen[s]] = -1
    return count


@njit(nogil=True)
def strict_stars(facets, signs, live):
    """Mark the vertices with a facet whose ridges through them are all strictly convex."""
    m, k = facets.shape
    for f in range(m):
        flat = 0
        at = -1
        for i in range(k):
            if signs[f, i] == 0:
                flat += 1
                at = i
        if flat == 0:
            for i in range(k):
                live[facets[f, i]] = True
        elif flat == 1:
            live[facets[f, at]] = True


@fragment()
def _flat_places(signs):
    """How many ridges of a facet are flat, and the places of the last two, -1 for none."""
    flat, one, two = 0, -1, -1
    for i in range(len(signs)):
        if signs[i] == 0:
            flat, one, two = flat + 1, i, one
    return flat, one, two


@njit(nogil=True)
def edges_of(facets, signs, n):
    """Distinct pairs of vertices below ``n`` with a facet whose ridges through both are all strict.

    Rows (w, 2), ascending. Cost: the pairs of all facets, no sort but of each vertex's partners.
    """
    m, k = facets.shape
    starts = np.zeros(n + 2, np.int64)
    others = np.zeros(0, np.int64)
    for turn in range(2):
        for f in range(m):
            flat, one, two = _flat_places(signs[f])
            if flat > 2:
                continue
            for a in range(k - 1):
                for b in range(a + 1, k):
                    if facets[f, b] >= n:
                        continue
                    if flat >= 1 and one not in (a, b):
                        continue
                    if flat == 2 and two not in (a, b):
                        continue
                    if turn == 0:
                        starts[facets[f, a] + 2] += 1
                    else:
                        # ``starts`` is one place behind while it fills.
                        others[starts[facets[f, a] + 1]] = facets[f, b]
                        starts[facets[f, a] + 1] += 1
        if turn == 0:
            for j in range(2, n + 2):
                starts[j] += starts[j - 1]
            others = np.zeros(starts[n + 1], np.int64)
    last = np.full(n, -1, np.int64)
    kept = 0
    rows = np.zeros((len(others), 2), np.int64)
    for j in range(n):
        begin = kept
        for at in range(starts[j], starts[j + 1]):
            if last[others[at]] != j:
                last[others[at]] = j
                rows[kept, 0] = j
                rows[kept, 1] = others[at]
                kept += 1
        if kept > begin + 1:
            rows[begin:kept, 1].sort()
    return rows[:kept].copy()


@njit(nogil=True)
def touching(neighbours, signs):
    """Number the classes of facets joined by flat ridges: (m,) labels 0, 1, ... in facet order."""
    m, k = neighbours.shape
    label = np.full(m, -1, np.int64)
    queue = np.zeros(m, np.int64)
    count = 0
    for f in range(m):
        if label[f] >= 0:
            continue
        label[f] = count
        queue[0] = f
        last = 1
        at = 0
        while at < last:
            one = queue[at]
            at += 1
            for i in range(k):
                other = neighbours[one, i]
                if signs[one, i] == 0 and label[other] < 0:
                    label[other] = count
                    queue[last] = other
                    last += 1
        count += 1
    return label, count
