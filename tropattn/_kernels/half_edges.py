"""Half-edges of an overlay of diagrams in a window of the plane, from its walls alone.

Walls of all heads and sides of the window are *arcs*, cut by the crossings on them into *pieces*.
Half-edge ``2 p`` goes along piece p, half-edge ``2 p + 1`` back; a face lies on their left. Who
crosses whom, and in which order along an arc, is proved as in ``diagrams``; all else is read off.

A *code* ``2 f + b`` names arc f as seen from a row, b = 1 where that row wins on the left of f;
in a walk the row is the one that wins before the crossing. *Names* (E, 4) hold the rows left and
right of an arc and what else meets at its two ends: a third row, or -1 - i for wall i of the
window; for a side of the window all four are that number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.clipping import U
from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.diagrams import PROVED, STOPPED, UNPROVED, score_bound

_END = -1
_OPEN = -2

FULL = 3
"""Beside ``PROVED``, ``UNPROVED`` and ``STOPPED``: there was no room for all crossings."""


class Links(NamedTuple):
    """The rows across the walls of each row."""

    first: np.ndarray  # (n + 1,) int64
    rows: np.ndarray  # (2 E,) int64
    codes: np.ndarray  # (2 E,) int32


class Crossings(NamedTuple):
    """Crossings on some arcs as they are found, one head after another."""

    arc: np.ndarray  # (X,) int64
    codes: np.ndarray  # (X,) int32 the wall that is crossed there
    share: np.ndarray  # (X,) how far along the arc
    low: np.ndarray  # (X,) bounds of it
    high: np.ndarray  # (X,)


class Graph(NamedTuple):
    """The planar graph of P pieces of arcs, the walls first, and its R faces."""

    first: np.ndarray  # (E + 1,) first piece of each arc
    codes: np.ndarray  # (X,) int32 of the crossings: number t on arc e is first[e] - e + t
    inner: int  # number of arcs that are walls
    owner: np.ndarray  # (P,) int32 arc of each piece
    following: np.ndarray  # (2 P,) int32 half-edge that comes next round a face, or -1
    face: np.ndarray  # (2 P,) int32 face of a half-edge, or -1
    begin: np.ndarray  # (R,) int32 a half-edge of each face
    rank: np.ndarray  # (R,) int32 place of each face among the cells


@fragment()
def _score(rows, k, ray):
    return rows[k, 0] * ray[0] + rows[k, 1] * ray[1] + rows[k, 2] * ray[2]


@fragment()
def _locate(row, ray, slack, rows, links):
    """The row that wins at a ray, uphill from ``row``; -1 where that is not proved."""
    # A cell is bounded by its walls, so a row that beats those across them beats all.
    first, across = links.first, links.rows
    while True:
        level = _score(rows, row, ray)
        best, top, near = -1, level, False
        for m in range(first[row], first[row + 1]):
            score = _score(rows, across[m], ray)
            near |= score >= level - slack
            if score > top:
                best, top = across[m], score
        if not near:
            return row
        if best < 0:
            return -1
        row = best


@fragment()
def _exit(row, u, v, slack_u, slack_v, rows, links):
    """Where the way from u to v leaves a row's cell: a link, and its share of the way in bounds.

    As ``diagrams.overtaking``; ``_END`` where v is in the cell, ``_OPEN`` where none is proved.
    """
    first, across = links.first, links.rows
    level_u, level_v = _score(rows, row, u), _score(rows, row, v)
    best, where, near = -1, 2.0, False
    for m in range(first[row], first[row + 1]):
        b = _score(rows, across[m], v) - level_v
        if b >= -slack_v:
            near = True
            a = level_u - _score(rows, across[m], u)
            if b > 0 and a < where * (a + b):
                best, where = m, a / (a + b)
    if not near:
        return _END, 0.0, 0.0, 0.0
    if best < 0:
        return _OPEN, 0.0, 0.0, 0.0
    a = level_u - _score(rows, across[best], u) + slack_u
    b = _score(rows, across[best], v) - level_v - slack_v
    if not (b > 0 and a - 2.0 * slack_u > 0):
        return _OPEN, 0.0, 0.0, 0.0
    upper = a / (a + b) * (1.0 + 8.0 * U)
    lower = (a - 2.0 * slack_u) / (a + b + 2.0 * (slack_v - slack_u)) * (1.0 - 8.0 * U)
    for m in range(first[row], first[row + 1]):
        b = _score(rows, across[m], v) - level_v + slack_v
        if m != best and b > 0:
            a = level_u - _score(rows, across[m], u) - slack_u
            if not (a > 0 and a > upper * (a + b) * (1.0 + 8.0 * U)):
                return _OPEN, 0.0, 0.0, 0.0
    return best, where, lower, upper


@njit(nogil=True, cache=True)
def walk(arcs, first, last, own, rows, starts, sizes, errors, links, found, stop):
    """Crossings along arcs ``first .. last`` of head ``own`` with the walls of all other heads.

    ``arcs`` (A, ARC), ``own`` -1 for sides of the window; ``rows`` (n, 3) live rows of all heads,
    ``starts`` the first of each, ``sizes`` and ``errors`` (H,) as for ``crossings``.

    Returns a status, and how many crossings it wrote to ``found``, whose room may be too small.
    Cost O(1) a crossing and pair of an arc and a head.
    """
    made = 0
    for g in range(len(starts) - 1):
        if g == own or starts[g + 1] - starts[g] == 1:
            continue
        row = starts[g]
        for arc in range(first, last):
            if stop[0]:
                return STOPPED, made
            u, v = arcs[arc, 0:3], arcs[arc, 3:6]
            slack_u = score_bound(sizes[g], errors[g], arcs[arc, 6], 3)
            slack_v = score_bound(sizes[g], errors[g], arcs[arc, 7], 3)
            row = _locate(row, u, slack_u, rows, links)
            if row < 0:
                return UNPROVED, made
            while True:
                link, share, lower, upper = _exit(row, u, v, slack_u, slack_v, rows, links)
                if link == _END:
                    break
                if link == _OPEN:
                    return UNPROVED, made
                if made == len(found.arc):
                    return FULL, made
                found.arc[made], found.codes[made] = arc - first, links.codes[link]
                found.share[made], found.low[made], found.high[made] = share, lower, upper
                row = links.rows[link]
                made += 1
    return PROVED, made


@fragment()
def _link(row, other, links):
    """Code of the arc between two rows, as seen from the first; -1 where there is none."""
    for m in range(links.first[row], links.first[row + 1]):
        if links.rows[m] == other:
            return links.codes[m]
    return -1


@njit(nogil=True, cache=True)
def join(first, codes, names, inner, links, following):
    """Write the half-edge after each half-edge round its face to ``following``, (2 P,) of -1.

    ``first`` and ``inner`` as in ``Graph``; the sides of the window come last, in their order.
    Returns whether every crossing was found from both of its arcs and every end has its place.
    """
    for e in range(inner):
        for back in range(2):
            third = names[e, 3 - back]
            if third >= 0:
                code = _link(names[e, back], third, links)
                if code < 0:
                    return False
                f, left = code >> 1, code & 1
                if names[f, 3 - left] != names[e, 1 - back]:
                    return False
                here = 2 * first[e] + 1 if back else 2 * first[e + 1] - 2
                following[here] = 2 * first[f] if left else 2 * first[f + 1] - 1
    if not _join_sides(first, codes, names, inner, following):
        return False
    if not _join_crossings(first, codes, inner, following):
        return False
    missing = 0
    for h in range(len(following)):
        missing += following[h] < 0
    return missing == first[-1] - first[inner]


@fragment()
def _join_sides(first, codes, names, inner, following):
    """Half-edges round the corners of the window and where walls end on its sides."""
    sides = len(first) - 1
    for s in range(inner, sides):
        after = s + 1 if s + 1 < sides else inner
        following[2 * first[s + 1] - 2] = 2 * first[after]
        for p in range(first[s], first[s + 1] - 1):
            f, left = codes[p - s] >> 1, codes[p - s] & 1
            # The side has the row before the crossing on the left of f: so f starts here.
            arriving = 2 * first[f] + 1 if left else 2 * first[f + 1] - 2
            if names[f, 3 - left] != names[s, 0] or following[arriving] >= 0:
                return False
            following[2 * p] = arriving ^ 1
            following[arriving] = 2 * (p + 1)
    return True


@fragment()
def _join_crossings(first, codes, inner, following):
    """Half-edges round crossings: each one is found on both arcs, and the two are matched."""
    total = first[inner] - inner
    source, pieces = np.empty(total, np.int32), np.empty(total, np.int32)
    fill = np.empty(inner, np.int64)
    for e in range(inner):
        fill[e] = first[e] - e
    for e in range(inner):
        for p in range(first[e], first[e + 1] - 1):
            f = codes[p - e] >> 1
            if fill[f] == first[f + 1] - f - 1:
                return False
            source[fill[f]], pieces[fill[f]] = e, p
            fill[f] += 1
    slot = np.full(inner, -1, np.int64)
    for f in range(inner):
        if fill[f] != first[f + 1] - f - 1:
            return False
        for q in range(first[f], first[f + 1] - 1):
            e = codes[q - f] >> 1
            if slot[e] >= first[f]:
                return False
            slot[e] = q
        for i in range(first[f] - f, first[f + 1] - f - 1):
            e, p = source[i], pieces[i]
            q = slot[e]
            slot[e] = -1
            if q < first[f] or (codes[q - f] ^ codes[p - e]) & 1 == 0:
                return False
            on, back = 2 * (q + 1), 2 * q + 1
            left = codes[p - e] & 1
            following[2 * p] = on if left else back
            following[2 * p + 3] = back if left else on
    return True


@njit(nogil=True, cache=True)
def trace(following, face, begin, sides):
    """Number the faces in ``face``, (2 P,) of -1, with a half-edge and the sides of each.

    Returns their number, -1 where ``begin`` has no room for them or a way round does not close.
    """
    made = 0
    for h in range(len(following)):
        if face[h] >= 0 or following[h] < 0:
            continue
        if made == len(begin):
            return -1
        begin[made], at, length = h, h, 0
        while face[at] < 0:
            face[at] = made
            at = following[at]
            length += 1
            if at < 0:
                return -1
        if at != h:
            return -1
        sides[made] = length
        made += 1
    return made


@fragment()
def _find(parent, offset, face):
    """Root of a face's group; offsets, from a face to its parent, are kept as the way shortens."""
    while parent[face] != face:
        up = parent[face]
        offset[face] += offset[up]
        parent[face] = parent[up]
        face = parent[face]
    return face


@njit(nogil=True, cache=True)
def ranks(face, first, names, bounds, place, rank, scratch):
    """Place of each face when patterns are sorted, written to ``rank``; O(P log P), no comparison.

    Without the walls of heads h, h + 1, ... faces fall into groups, the cells of the heads before
    (convex, hence connected). Going from the last head to the first, groups that differ in the
    winner of h join in the order of these winners. ``bounds`` (H + 1,) first arc of each head,
    ``place`` (n,) of each row in the order of its head, ``scratch`` (11, faces) int32. Returns
    whether the winners in each group differ and one group is left.
    """
    faces = len(rank)
    parent, offset, size, local = scratch[0], scratch[1], scratch[2], scratch[3]
    for f in range(faces):
        parent[f], offset[f], size[f], local[f] = f, 0, 1, -1
    for h in range(len(bounds) - 2, -1, -1):
        room = min(faces, 2 * (first[bounds[h + 1]] - first[bounds[h]]))
        groups, keys, united, still = scratch[4], scratch[5], scratch[6], scratch[7]
        for i in range(room):
            united[i], still[i] = i, 0
        met, most = 0, 0
        for e in range(bounds[h], bounds[h + 1]):
            for p in range(first[e], first[e + 1]):
                a = b = 0
                for d in range(2):
                    c = _find(parent, offset, face[2 * p + d])
                    if local[c] < 0:
                        local[c], groups[met], keys[met] = met, c, place[names[e, d]]
                        most = max(most, keys[met])
                        met += 1
                    elif keys[local[c]] != place[names[e, d]]:
                        return False
                    a, b = b, _find(united, still, local[c])
                united[max(a, b)] = min(a, b)
        given = groups[:met], keys[:met], united, still, scratch[8], scratch[9], scratch[10]
        if not _merge(given, most, parent, offset, size, local):
            return False
    for f in range(faces):
        at, total = f, 0
        while parent[at] != at:
            total += offset[at]
            at = parent[at]
        rank[f] = total
    return size[_find(parent, offset, 0)] == faces


@fragment()
def _merge(given, most, parent, offset, size, local):
    """Join united groups of faces in the order of their keys, which must differ."""
    groups, keys, united, still, order, lead, last = given
    fill = np.zeros(most + 2, np.int64)
    for key in keys:
        fill[key + 1] += 1
    for key in range(most + 1):
        fill[key + 1] += fill[key]
    for i in range(len(keys)):
        order[fill[keys[i]]] = i
        fill[keys[i]] += 1
        lead[i] = -1
    for at in range(len(keys)):
        i = order[at]
        c, u = groups[i], _find(united, still, i)
        local[c] = -1
        if lead[u] < 0:
            lead[u] = c
        else:
            if last[u] == keys[i]:
                return False
            parent[c], offset[c] = lead[u], size[lead[u]]
            size[lead[u]] += size[c]
        last[u] = keys[i]
    return True


@fragment()
def _off(x, y, error, scale):
    """How far off the parameters of a ray ``(x, y, 1)`` are whose entries have this error."""
    return 1.01 * error * max((1.0 + abs(x)) * scale[0], (1.0 + abs(y)) * scale[1])


@fragment()
def places(arcs, names, inner, links, scale, out):
    """Both ends of each arc and their errors (E, 2, 3), the same in all arcs that end in a vertex.

    ``scale`` (2,) takes ratios of a ray's entries to the plane's parameters.
    """
    for e in range(len(arcs)):
        for s in range(2):
            of, end = e, s
            third = names[e, 2 + s]
            if e < inner and third >= 0:
                for d in range(2):
                    code = _link(names[e, d], third, links)
                    if code >> 1 < of:
                        of = code >> 1
                        # The three rows of the vertex: the one that ``of`` lacks ends it there.
                        end = 0 if names[of, 2] == names[e, 1 - d] else 1
            depth = arcs[of, 3 * end + 2]
            x, y = arcs[of, 3 * end] / depth, arcs[of, 3 * end + 1] / depth
            out[e, s, 0], out[e, s, 1] = x * scale[0], y * scale[1]
            out[e, s, 2] = _off(x, y, arcs[of, 6 + end] / depth, scale)


@njit(nogil=True, cache=True)
def write(graph, order, offsets, arcs, names, shares, ends, scale, first_cell, last_cell, out):
    """Corners and neighbours of cells ``first_cell .. last_cell``, each in its place of ``out``.

    ``order`` (R,) face and ``offsets`` (R + 1,) first corner of each cell; ``out`` corners and
    their errors (V, 3), and the cell beyond the side that ends there, -1 - i beyond wall i.
    """
    first, codes, inner, owner = graph.first, graph.codes, graph.inner, graph.owner
    following, face, begin, rank = graph.following, graph.face, graph.begin, graph.rank
    corners, neighbours = out
    ray = np.empty(3)
    for r in range(first_cell, last_cell):
        h = begin[order[r]]
        for at in range(offsets[r], offsets[r + 1]):
            beyond = face[h ^ 1]
            p, back = h >> 1, h & 1
            e, on = owner[p], following[h]
            neighbours[at] = rank[beyond] if beyond >= 0 else names[e, 0]
            h = on
            if p == (first[e] if back else first[e + 1] - 1):
                for c in range(3):
                    corners[at, c] = ends[e, 1 - back, c]
                continue
            x = p - back - e
            f = codes[x] >> 1
            if e >= inner:
                end = 1 - (codes[x] & 1)
                for c in range(3):
                    corners[at, c] = ends[f, end, c]
                continue
            if f < inner and f < e:
                # Both arcs of a crossing must give the same point: take the first one's.
                x = (on >> 1) - 1 + (on & 1) - f
                e = f
            share = shares[x, 0]
            depth = (1.0 - share) * arcs[e, 2] + share * arcs[e, 5]
            reach = 0.0
            for c in range(3):
                ray[c] = ((1.0 - share) * arcs[e, c] + share * arcs[e, 3 + c]) / depth
                reach = max(reach, abs(arcs[e, c] - arcs[e, 3 + c]))
            error = (shares[x, 1] * reach + max(arcs[e, 6], arcs[e, 7])) / depth
            corners[at, 0], corners[at, 1] = ray[0] * scale[0], ray[1] * scale[1]
            corners[at, 2] = _off(ray[0], ray[1], error, scale)


@njit(nogil=True, cache=True)
def spread(graph, order, names, bounds, keys, patterns, stack, seen):
    """Patterns (R, H) of cells that can be reached from that in ``stack[0]``, whose own is given.

    ``keys`` (n,) the numbers that stand for rows in patterns; ``stack`` (R,) scratch; ``seen`` (R,)
    bool cells met. Returns whether no side and pattern contradict.
    """
    inner, owner, following, face = graph.inner, graph.owner, graph.following, graph.face
    begin, rank = graph.begin, graph.rank
    heads = patterns.shape[1]
    head = np.empty(inner, np.int32)
    for g in range(heads):
        head[bounds[g] : bounds[g + 1]] = g
    # Depth first: most rows are copied from one written just before.
    left = 1
    while left > 0:
        left -= 1
        r = stack[left]
        start = begin[order[r]]
        h = start
        while True:
            e = owner[h >> 1]
            if e < inner:
                g, back = head[e], h & 1
                if patterns[r, g] != keys[names[e, back]]:
                    return False
                to = rank[face[h ^ 1]]
                if not seen[to]:
                    seen[to] = True
                    for c in range(heads):
                        patterns[to, c] = patterns[r, c]
                    patterns[to, g] = keys[names[e, 1 - back]]
                    stack[left] = to
                    left += 1
            h = following[h]
            if h == start:
                break
    return True
