"""Heads in four columns: the outlines of their walls, and walks along arcs through other heads.

A wall of a head, where two of its rows tie, is a polygon of rays in three columns. Its sides are
*edges*, where three rows tie, or lie on the boundary of the domain. An arc, an edge or what walls
of two heads have in common, is walked as in three columns. Every sign is proved as there.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.clipping import (
    CORNER,
    ClippedPolygon,
    Tiles,
    U,
    make_polygon,
    make_tiles,
    simplex_cones,
    start_polygon,
    store,
)
from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.diagrams import (
    PROVED,
    STOPPED,
    UNPROVED,
    cell,
    climb,
    insert,
    overtaking,
    score_bound,
)
from tropattn._kernels.structures import structure

FULL = 3
"""Beside ``PROVED``, ``UNPROVED`` and ``STOPPED``: there was no room for all that was found."""

ARC = 13
"""An arc: end rays (4, 4), scaled to largest entry 1, the error of each, and up to three rows."""

POINT = 8
"""A point on an arc: a ray (4) and its error, the arc, and the rows that tie there."""

_OWN = -2_000_000


@structure
class OneWall:
    """Scratch of one wall of a head: the head on it, in three columns."""

    terms: np.ndarray  # (3, n) restricted rows
    own: np.ndarray  # (3, N) those of the head, but for the second of the two
    walls: np.ndarray  # (g, 3) of the domain
    wall_errors: np.ndarray  # (g,)
    normal: np.ndarray  # (4,)
    polygon: ClippedPolygon
    tiles: Tiles  # the wall itself
    scores: np.ndarray  # (n,)
    nothing: np.ndarray  # (0, 12) arcs known before
    none: np.ndarray  # (0,) int64


def make_wall(n, walls):
    """Scratch for the walls of heads of up to ``n`` rows, and of the domain."""
    room = 8 + walls + n
    return OneWall(
        terms=np.empty((3, max(n, walls))),
        own=np.empty((3, n)),
        walls=np.empty((walls, 3)),
        wall_errors=np.empty(walls),
        normal=np.empty(4),
        polygon=make_polygon(room),
        tiles=make_tiles(room),
        scores=np.empty(n),
        nothing=np.empty((0, 12)),
        none=np.empty(0, np.int64),
    )


@fragment()
def _pivot(normal):
    """The column of the largest entry."""
    drop = 0
    for c in range(1, 4):
        if abs(normal[c]) > abs(normal[drop]):
            drop = c
    return drop


@fragment()
def _restrict(normal, normal_error, size, error, source, target, first, last):
    """Rows ``first .. last`` on the plane ``normal . z = 0``, its largest entry's column dropped.

    From ``source`` (4, n) to the first columns of ``target`` (3, >= n), with bounds on the entries
    and on their errors.
    """
    drop = _pivot(normal)
    pivot = abs(normal[drop])
    if not pivot > 4.0 * normal_error:
        return size, np.inf
    at = 0
    for c in range(4):
        if c == drop:
            continue
        share = normal[c] / normal[drop]
        for k in range(first, last):
            target[at, k - first] = source[c, k] - source[drop, k] * share
        at += 1
    share_error = 2.7 * normal_error / pivot + 2.0 * U
    return 2.1 * size, 2.1 * error + 1.1 * size * share_error + 8.0 * U * size


@fragment()
def _lift(normal, normal_error, ray, ray_error, out):
    """Write a ray of the plane ``normal . z = 0`` in all four columns; returns its error."""
    drop = _pivot(normal)
    left_out, at = 0.0, 0
    for c in range(4):
        if c == drop:
            continue
        left_out -= normal[c] / normal[drop] * ray[at]
        out[c] = ray[at]
        at += 1
    out[drop] = left_out
    size = max(1.0, abs(left_out))
    for c in range(4):
        out[c] /= size
    share_error = 2.7 * normal_error / abs(normal[drop]) + 2.0 * U
    return 3.1 * (ray_error + share_error) + 12.0 * U


@fragment()
def _direction(i, terms, count, out):
    """A direction in which row ``i`` is large against the mean row: most walls lie around it."""
    for c in range(3):
        out[c] = terms[c, i]
        for k in range(count):
            out[c] -= terms[c, k] / count


@fragment()
def _head_on(wall, terms, size, error, walls, wall_errors, i, j):
    """Restrict a head, but for row j, and the domain to the wall of rows i and j.

    Returns bounds on the head's entries, on their errors (inf if open), and on the normal's error.
    """
    normal, local = wall.normal, wall.terms
    for c in range(4):
        normal[c] = terms[c, j] - terms[c, i]
    normal_error = 2.0 * error + 2.0 * U * size
    for w in range(walls.shape[1]):
        _, wall.wall_errors[w] = _restrict(
            normal, normal_error, 1.0, wall_errors[w], walls, local, w, w + 1
        )
        for c in range(3):
            wall.walls[w, c] = local[c, 0]
    rows = terms.shape[1]
    size, error = _restrict(normal, normal_error, size, error, terms, local, 0, rows)
    at = 0
    for k in range(rows):
        if k != j:
            for c in range(3):
                wall.own[c, at] = local[c, k]
            at += 1
    return size, error, normal_error


@fragment()
def _outline(wall, size, error, i, j, count):
    """Tile the wall of rows i and j with polygons, ``count`` rows on it; False if not proved."""
    tiles, polygon = wall.tiles, wall.polygon
    own = np.ascontiguousarray(wall.own[:, :count])
    middle, cones = np.empty(3), np.empty((6, 4, 3))
    _direction(i, own, count, middle)
    simplex_cones(middle, cones, 0.1)
    tiles.counts[:] = 0
    for p in range(4):
        sides = start_polygon(cones[p], wall.walls, wall.wall_errors, polygon)
        if sides > 0:
            sides = cell(i, own, size, error, polygon, wall.scores, wall.nothing, wall.none)
        if sides < 0:
            return False
        if sides == 0:
            continue
        inside = True
        for m in range(sides):
            label = polygon.labels[m]
            inside = inside and label != CORNER
            if label >= 0:
                polygon.labels[m] = _OWN - (label if label < j else label + 1)
        store(polygon, tiles, p)
        if inside:
            break
    return True


@fragment()
def _sides(wall, normal_error, i, j, out, made):
    """Write the sides of a wall that are edges of later rows, or on the domain's boundary.

    Returns the number of arcs, -1 where there is no room, and whether the wall has a vertex.
    """
    tiles, corner = wall.tiles, False
    for p in range(4):
        count, labels = tiles.counts[p], tiles.labels[p]
        for m in range(count):
            label, before = labels[m], m - 1 if m > 0 else count - 1
            corner = corner or (label <= _OWN and labels[before] <= _OWN)
            if label == CORNER or _OWN - j <= label <= _OWN:
                continue
            if made == len(out):
                return -1, corner
            arc = out[made]
            for end, ray in ((0, before), (1, m)):
                arc[8 + end] = _lift(
                    wall.normal,
                    normal_error,
                    tiles.rays[p, ray],
                    tiles.ray_errors[p, ray],
                    arc[4 * end : 4 * end + 4],
                )
            arc[10], arc[11] = i, j
            arc[12] = _OWN - label if label <= _OWN else -1
            made += 1
    return made, corner


@fragment()
def _beside(tiles, i, j, pairs, known, count):
    """Add the walls that share an edge with that of rows i and j, where not ``known``."""
    for p in range(4):
        for m in range(tiles.counts[p]):
            k = _OWN - tiles.labels[p, m]
            if k < 0:
                continue
            for row in (i, j):
                one, two = min(row, k), max(row, k)
                if not known[one, two]:
                    known[one, two] = True
                    pairs[count, 0], pairs[count, 1] = one, two
                    count += 1
    return count


@njit(nogil=True, cache=True)
def outlines(terms, size, error, walls, wall_errors, wall, pairs, count, known, out, stop):
    """The walls of one head, their edges and boundary arcs; how many were tried and found; status.

    ``terms`` (4, N) and ``walls`` (4, g) hold rows column by column, ``size`` and ``error`` bound
    the head's entries and their errors. ``pairs`` (Q, 3): two rows, ascending, and what comes back:
    0 for no wall, 2 if it has a vertex, else 1, no change if not tried. ``count`` are given. With
    ``known`` (N, N), not empty, they are tried until one is a wall, and walls that share edges with
    it, and so on, are added. Writes arcs (ARC) to ``out``, the last row being -1 on the boundary.
    Of an edge of three rows the wall of the first two writes it.
    """
    made, given, found, q = 0, count, False, 0
    grows = len(known) > 0
    while q < count:
        if stop[0]:
            return count, made, STOPPED
        i, j = pairs[q, 0], pairs[q, 1]
        if grows and q < given:
            if found:
                q += 1
                continue
            known[i, j] = True
        pairs[q, 2] = 0
        head_size, head_error, normal_error = _head_on(
            wall, terms, size, error, walls, wall_errors, i, j
        )
        if head_error == np.inf or not _outline(
            wall, head_size, head_error, i, j, terms.shape[1] - 1
        ):
            return count, made, UNPROVED
        if wall.tiles.counts.max() > 0:
            found = True
            made, corner = _sides(wall, normal_error, i, j, out, made)
            if made < 0:
                return count, made, FULL
            pairs[q, 2] = 2 if corner else 1
            if grows:
                count = _beside(wall.tiles, i, j, pairs, known, count)
        q += 1
    return count, made, PROVED


@njit(nogil=True, cache=True)
def walk(arcs, through, sizes, errors, near, start, stop_at, way, out, stop):
    """Points where arcs ``start .. stop_at`` cross walls of other heads, and a status.

    As ``diagrams.crossings``, with arcs (A, ARC) in four columns. ``through`` (A, 3): the heads
    from, up to and but for which an arc is walked through. Points (POINT) are written to ``out``,
    unless it is empty; their number is returned.
    """
    total = 0
    at, low, high, _, _ = way
    for g in range(len(sizes)):
        at[g] = near[3][g]
    for arc in range(start, stop_at):
        if stop[0]:
            return total, STOPPED
        u = arcs[arc, 0], arcs[arc, 1], arcs[arc, 2], arcs[arc, 3]
        v = arcs[arc, 4], arcs[arc, 5], arcs[arc, 6], arcs[arc, 7]
        found = np.int64(0)
        for g in range(through[arc, 0], through[arc, 1]):
            if at[g] < 0 or g == through[arc, 2]:
                continue
            slack_u = score_bound(sizes[g], errors[g], arcs[arc, 8], 4)
            slack_v = score_bound(sizes[g], errors[g], arcs[arc, 9], 4)
            winner = climb(near, at[g], u, slack_u)
            if winner < 0:
                return total, UNPROVED
            # The step of ``diagrams.crossings``: one fragment for both takes 1.8 times as long.
            while True:
                step, lower, upper = overtaking(near, winner, u, v, slack_u, slack_v, way)
                if step < 0:
                    return total, UNPROVED
                if step == winner:
                    break
                if not insert(low, high, found, lower, upper):
                    return total, UNPROVED
                if len(out) > 0:
                    if total + found == len(out):
                        return total, FULL
                    _place(arcs[arc], lower, upper, out[total + found])
                    out[total + found, 5] = arc
                    out[total + found, 6] = winner
                    out[total + found, 7] = step
                found += 1
                winner = step
            at[g] = winner
        total += found
    return total, PROVED


@fragment()
def _place(arc, lower, upper, out):
    """Write the ray at a share between two bounds of the way along an arc, and its error."""
    share = 0.5 * (lower + upper)
    for c in range(4):
        out[c] = arc[c] + share * (arc[4 + c] - arc[c])
    # The ends differ by at most 2 in each entry.
    out[4] = 1.01 * (upper - lower + max(arc[8], arc[9])) + 6.0 * U


@njit(nogil=True, cache=True)
def paired(points, arcs, number, first, sides, out):
    """Write the arcs that join points on one pair of walls to ``out``; their number.

    ``points`` (X, POINT) lie on ``arcs``; ``number[i, j - first[i]]`` is the wall of the rows
    i < j, one of ``sides``. In an edge three walls of its head meet, so three arcs end in a point
    on it, one in a point on the border. Returns -1 unless exactly two ends bear each pair's name;
    of the rows of an arc the first two are the numbers of its walls.
    """
    room = 16
    while room < 8 * len(points):
        room *= 2
    names = np.full(room, -1)
    ends = np.empty(room, np.int64)
    made = open_ends = 0
    for x in range(len(points)):
        arc = arcs[np.int64(points[x, 5])]
        i, j, k = np.int64(arc[10]), np.int64(arc[11]), np.int64(arc[12])
        one, two = np.int64(points[x, 6]), np.int64(points[x, 7])
        other = np.int64(number[min(one, two), max(one, two) - first[min(one, two)]])
        for side in range(1 if k < 0 else 3):
            low, high = (i, j) if side == 0 else ((j, k) if side == 1 else (i, k))
            own = np.int64(number[low, high - first[low]])
            name = min(own, other) * sides + max(own, other)
            place = (name * 0x9E3779B97F4A7C1) >> 20 & (room - 1)
            while names[place] >= 0 and names[place] != name:
                place = (place + 1) & (room - 1)
            if names[place] < 0:
                names[place], ends[place] = name, x
                open_ends += 1
                continue
            if ends[place] < 0:
                return -1
            for c in range(4):
                out[made, c] = points[ends[place], c]
                out[made, 4 + c] = points[x, c]
            out[made, 8], out[made, 9] = points[ends[place], 4], points[x, 4]
            out[made, 10], out[made, 11] = min(own, other), max(own, other)
            ends[place] = -1
            open_ends -= 1
            made += 1
    return made if open_ends == 0 else -1
