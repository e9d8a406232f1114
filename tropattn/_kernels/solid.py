"""Heads in four columns, stratum by stratum: walls, edges and vertices of one head at a time.

A wall of a head, where two of its rows tie, is a polygon of rays in three columns; the other heads
restricted to it are again heads, and what they leave of the wall is counted by ``plane``. Edges are
the sides of these polygons, vertices their corners. Every sign is proved as in ``plane``.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import njit
from tropattn._kernels.plane import (
    ARC,
    PROVED,
    STOPPED,
    UNPROVED,
    _cell,
    _write_arc,
    crossings,
    diagram,
    make_polygon,
    simplex_cones,
    start_polygon,
)

__all__ = ["PROVED", "STOPPED", "UNPROVED", "strata"]

_U = 2.0**-53
_CORNER = -1_000_000
_OWN = -2_000_000


@njit(nogil=True, cache=True)
def _restrict(normal, normal_error, size, error, source, target, first, last):
    """Rows ``first .. last`` on the plane ``normal . z = 0``, its largest entry's column dropped.

    ``source`` (4, n), ``target`` (3, n); ``size`` and ``error`` bound the entries of these rows and
    their errors. Returns the same two bounds of the target.
    """
    drop = 0
    for c in range(1, 4):
        if abs(normal[c]) > abs(normal[drop]):
            drop = c
    pivot = abs(normal[drop])
    if not pivot > 4.0 * normal_error:
        return size, np.inf
    at = 0
    for c in range(4):
        if c == drop:
            continue
        share = normal[c] / normal[drop]
        for k in range(first, last):
            target[at, k] = source[c, k] - source[drop, k] * share
        at += 1
    share_error = 2.7 * normal_error / pivot + 2.0 * _U
    return 2.1 * size, 2.1 * error + 1.1 * size * share_error + 8.0 * _U * size


@njit(nogil=True, cache=True)
def _direction(i, terms, count, out):
    """A direction in which row ``i`` is large against the mean row: most walls lie around it."""
    for c in range(3):
        out[c] = terms[c, i]
        for k in range(count):
            out[c] -= terms[c, k] / count


@njit(nogil=True, cache=True)
def _without(source, left_out, start, stop, target):
    """Columns ``start .. stop`` but for one, into ``target``."""
    at = 0
    for k in range(start, stop):
        if k != left_out:
            for c in range(3):
                target[c, at] = source[c, k]
            at += 1


@njit(nogil=True, cache=True)
def _edges(parts, counts, pair, arcs):
    """Write the sides that stand for edges i < j < k; returns their number and a weight.

    The weight is four times (vertices - pieces of edges): a corner of four keys ends four edges, a
    cut of an edge by a start cone ends two pieces, the domain's boundary does not count.
    """
    made, weight = 0, 0
    for p in range(len(counts)):
        polygon = (parts[0][p], parts[1][p], parts[2][p], parts[3][p], parts[4][p])
        count = counts[p]
        labels = polygon[2]
        for m in range(count):
            if labels[m] > _OWN - pair[1] - 1:
                # Not a row of this head, or one whose edge belongs to another wall.
                continue
            _write_arc(arcs, made, polygon, m, count)
            made += 1
            weight -= 4
            for side in (m - 1 if m > 0 else count - 1, m + 1 if m + 1 < count else 0):
                if labels[side] <= _OWN:
                    weight += 1
                elif labels[side] == _CORNER:
                    weight += 2
    return made, weight


@njit(nogil=True, cache=True)
def strata(terms, starts, sizes, errors, walls, wall_errors, pairs, first, last, stop):
    """Four times the Euler sum of the strata of pairs ``first .. last``, and a status.

    The sum runs over walls (number of pieces that later heads cut them into), edges (minus that
    number) and vertices (one), each within the open domain (theory T9, the master identity).

    Parameters
    ----------
    terms, starts : (4, n) rows column by column, and the first of each head.
    sizes, errors : (H,) bounds on a head's entries and on their errors.
    walls, wall_errors : (4, g) the domain's rows column by column, and the error of each.
    pairs : (Q, 3) head and two of its rows, ascending.
    """
    heads = len(starts) - 1
    n = terms.shape[1]
    g = walls.shape[1]
    room = 8 + g + n
    local = np.empty((3, n))
    own = np.empty((3, n))
    local_walls = np.empty((3, g))
    rows_of_walls = np.empty((g, 3))
    local_errors = np.empty(g)
    size, error = np.empty(heads), np.empty(heads)
    parts = (
        np.empty((4, room, 3)),
        np.empty((4, room)),
        np.empty((4, room), np.int64),
        np.empty((4, room, 3)),
        np.empty((4, room)),
    )
    mine, sides, scores = make_polygon(room), np.empty(room, np.int8), np.empty(n)
    live = np.empty(n, np.bool_)
    arcs = np.empty((16 * n + 64, ARC))
    owners = np.empty(len(arcs), np.int64)
    counts = np.empty(4, np.int64)
    normal, middle, cones = np.empty(4), np.empty(3), np.empty((4, 3, 3))
    total = 0
    for q in range(first, last):
        if stop[0]:
            return total, STOPPED
        head, i, j = pairs[q, 0], pairs[q, 1], pairs[q, 2]
        base = starts[head]
        for c in range(4):
            normal[c] = terms[c, base + j] - terms[c, base + i]
        normal_error = 2.0 * errors[head] + 2.0 * _U * sizes[head]
        for h in range(head, heads):
            size[h], error[h] = _restrict(
                normal, normal_error, sizes[h], errors[h], terms, local, starts[h], starts[h + 1]
            )
            if error[h] == np.inf:
                return total, UNPROVED
        for w in range(g):
            _, local_errors[w] = _restrict(
                normal, normal_error, 1.0, wall_errors[w], walls, local_walls, w, w + 1
            )
            for c in range(3):
                rows_of_walls[w, c] = local_walls[c, w]
        count_own = starts[head + 1] - base - 1
        _without(local, base + j, base, starts[head + 1], own)
        _direction(i, own, count_own, middle)
        simplex_cones(middle, cones, 0.1)
        used, open_sphere = 0, True
        for p in range(4):
            polygon = (
                parts[0][used],
                parts[1][used],
                parts[2][used],
                parts[3][used],
                parts[4][used],
            )
            count = start_polygon(cones[p], rows_of_walls, local_errors, *polygon)
            if count > 0:
                count = _cell(
                    i, own[:, :count_own], size[head], error[head], count, polygon, sides, scores
                )
            if count < 0:
                return total, UNPROVED
            if count == 0:
                continue
            inside = True
            for m in range(count):
                label = polygon[2][m]
                inside = inside and label != _CORNER
                open_sphere = open_sphere and label == _CORNER
                if label >= 0:
                    polygon[2][m] = _OWN - (label if label < j else label + 1)
            counts[used] = count
            used += 1
            if inside:
                break
        if used == 0:
            continue
        made, weight = _edges(parts, counts[:used], pairs[q, 1:], arcs)
        on_edges = made
        owners[:made] = head
        whole = 2 if open_sphere else 1
        pieces = whole
        for h in range(head + 1, heads):
            before = made
            made, status = diagram(
                np.ascontiguousarray(local[:, starts[h] : starts[h + 1]]),
                size[h],
                error[h],
                counts[:used],
                parts,
                live[: starts[h + 1] - starts[h]],
                arcs,
                made,
                mine,
                sides,
                scores[: starts[h + 1] - starts[h]],
                stop,
            )
            if status != PROVED:
                return total, status
            owners[before:made] = h
            cells = 0
            for k in range(starts[h + 1] - starts[h]):
                cells += live[k]
            if cells > 1:
                pieces += cells - whole
        crossed, status = crossings(
            arcs, owners, local, starts, size, error, np.int64(0), on_edges, stop
        )
        if status != PROVED:
            return total, status
        met, status = crossings(arcs, owners, local, starts, size, error, on_edges, made, stop)
        if status != PROVED:
            return total, status
        total += 4 * (pieces + met - crossed) + weight
    return total, PROVED
