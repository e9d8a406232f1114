"""Heads in four columns, stratum by stratum: walls, edges and vertices of one head at a time.

A wall of a head, where two of its rows tie, is a polygon of rays in three columns; the other heads
restricted to it are again heads, and what they leave of the wall is counted as in ``diagrams``.
Edges are the sides of these polygons, vertices their corners. Every sign is proved as there.
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
    ARC,
    PROVED,
    STOPPED,
    UNPROVED,
    Way,
    cell,
    crossings,
    diagram,
    links,
    make_way,
    write_arc,
)
from tropattn._kernels.structures import structure

_OWN = -2_000_000


@structure
class OneWall:
    """Scratch of one wall of a head: the heads on it, in three columns, and what they leave."""

    terms: np.ndarray  # (3, n) restricted rows
    own: np.ndarray  # (3, N) those of the head whose wall it is, but for the second of the two
    sizes: np.ndarray  # (H,) bounds on the entries of a head's rows
    errors: np.ndarray  # (H,) and on their errors
    walls: np.ndarray  # (g, 3) of the domain
    wall_errors: np.ndarray  # (g,)
    normal: np.ndarray  # (4,)
    polygon: ClippedPolygon
    tiles: Tiles  # the wall itself
    sphere: bool  # whether it is a whole sphere
    scores: np.ndarray  # (n,)
    live: np.ndarray  # (n,) bool
    arcs: np.ndarray  # (A, ARC)
    owners: np.ndarray  # (A,) int64
    found: np.ndarray  # (3, n) int64
    way: Way


def make_wall(n, heads, walls):
    """Scratch for the walls of heads of ``n`` rows in all, and of the domain."""
    room, arcs = 8 + walls + n, 16 * n + 64
    return OneWall(
        terms=np.empty((3, n)),
        own=np.empty((3, n)),
        sizes=np.empty(heads),
        errors=np.empty(heads),
        walls=np.empty((walls, 3)),
        wall_errors=np.empty(walls),
        normal=np.empty(4),
        polygon=make_polygon(room),
        tiles=make_tiles(room),
        sphere=True,
        scores=np.empty(n),
        live=np.empty(n, np.bool_),
        arcs=np.empty((arcs, ARC)),
        owners=np.empty(arcs, np.int64),
        found=np.empty((3, n), np.int64),
        way=make_way(n, heads),
    )


@fragment()
def _restrict(normal, normal_error, size, error, source, target, first, last):
    """Rows ``first .. last`` on the plane ``normal . z = 0``, its largest entry's column dropped.

    From ``source`` (4, n) to ``target`` (3, n), with bounds on the entries and on their errors.
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
    share_error = 2.7 * normal_error / pivot + 2.0 * U
    return 2.1 * size, 2.1 * error + 1.1 * size * share_error + 8.0 * U * size


@fragment()
def _direction(i, terms, count, out):
    """A direction in which row ``i`` is large against the mean row: most walls lie around it."""
    for c in range(3):
        out[c] = terms[c, i]
        for k in range(count):
            out[c] -= terms[c, k] / count


@fragment()
def _without(source, left_out, start, stop, target):
    """Columns ``start .. stop`` but for one, into ``target``."""
    at = 0
    for k in range(start, stop):
        if k != left_out:
            for c in range(3):
                target[c, at] = source[c, k]
            at += 1


@fragment()
def _edges(tiles, pair, arcs):
    """Write the sides that stand for edges i < j < k; returns their number and a weight.

    The weight is four times (vertices - pieces of edges): a corner of four keys ends four edges, a
    cut of an edge by a start cone ends two pieces, the domain's boundary does not count.
    """
    made, weight = np.int64(0), 0
    for p in range(len(tiles.counts)):
        count, labels = tiles.counts[p], tiles.labels[p]
        for m in range(count):
            if labels[m] > _OWN - pair[1] - 1:
                # Not a row of this head, or one whose edge belongs to another wall.
                continue
            write_arc(arcs, made, tiles.rays[p], tiles.ray_errors[p], labels, m, count)
            made += 1
            weight -= 4
            for side in (m - 1 if m > 0 else count - 1, m + 1 if m + 1 < count else 0):
                if labels[side] <= _OWN:
                    weight += 1
                elif labels[side] == CORNER:
                    weight += 2
    return made, weight


@fragment()
def _heads_on(wall, terms, starts, sizes, errors, walls, wall_errors, pair):
    """Restrict heads from the first on, and the domain, to a wall; its rivals there, 0 if open."""
    head, base = pair[0], starts[pair[0]]
    normal, local = wall.normal, wall.terms
    for c in range(4):
        normal[c] = terms[c, base + pair[2]] - terms[c, base + pair[1]]
    normal_error = 2.0 * errors[head] + 2.0 * U * sizes[head]
    for w in range(walls.shape[1]):
        _, wall.wall_errors[w] = _restrict(
            normal, normal_error, 1.0, wall_errors[w], walls, local, w, w + 1
        )
        for c in range(3):
            wall.walls[w, c] = local[c, w]
    for h in range(head, len(starts) - 1):
        wall.sizes[h], wall.errors[h] = _restrict(
            normal, normal_error, sizes[h], errors[h], terms, local, starts[h], starts[h + 1]
        )
        if wall.errors[h] == np.inf:
            return 0
    _without(local, base + pair[2], base, starts[head + 1], wall.own)
    return starts[head + 1] - base - 1


@fragment()
def _outline(wall, head, i, j, count):
    """Tile the wall of rows i and j with polygons, ``count`` rows on it; False if not proved."""
    tiles, polygon = wall.tiles, wall.polygon
    own = np.ascontiguousarray(wall.own[:, :count])
    middle, cones = np.empty(3), np.empty((6, 4, 3))
    _direction(i, own, count, middle)
    simplex_cones(middle, cones, 0.1)
    tiles.counts[:] = 0
    wall.sphere = True
    none = wall.found[2, :0]
    given = wall.sizes[head], wall.errors[head], polygon, wall.scores, wall.arcs, none
    for p in range(4):
        sides = start_polygon(cones[p], wall.walls, wall.wall_errors, polygon)
        if sides > 0:
            sides = cell(i, own, *given)
        if sides < 0:
            return False
        if sides == 0:
            continue
        inside = True
        for m in range(sides):
            label = polygon.labels[m]
            inside = inside and label != CORNER
            wall.sphere = wall.sphere and label == CORNER
            if label >= 0:
                polygon.labels[m] = _OWN - (label if label < j else label + 1)
        store(polygon, tiles, p)
        if inside:
            break
    return True


@fragment()
def _pieces(wall, starts, head, made, stop):
    """Pieces into which later heads, crossings apart, cut a wall; the end of their arcs, status."""
    whole = 2 if wall.sphere else 1
    pieces = whole
    for h in range(head + 1, len(starts) - 1):
        first, last = starts[h], starts[h + 1]
        before, live = made, wall.live[: last - first]
        made, status = diagram(
            np.ascontiguousarray(wall.terms[:, first:last]),
            wall.sizes[h],
            wall.errors[h],
            wall.tiles,
            live,
            wall.arcs,
            made,
            wall.polygon,
            wall.scores[: last - first],
            wall.found,
            stop,
        )
        if status != PROVED:
            return pieces, made, status
        wall.owners[before:made] = h
        cells = 0
        for k in range(last - first):
            cells += live[k]
        if cells > 1:
            pieces += cells - whole
    return pieces, made, PROVED


@njit(nogil=True, cache=True)
def strata(terms, starts, sizes, errors, walls, wall_errors, wall, pairs, first, last, stop):
    """Four times the Euler sum of the strata of pairs ``first .. last``, and a status.

    The sum runs over walls (number of pieces that later heads cut them into), edges (minus that
    number) and vertices (one), each within the open domain (theory T9, the master identity).
    ``terms`` (4, n) and ``walls`` (4, g) hold rows column by column, ``sizes`` and ``errors`` (H,)
    bound a head's entries and their errors; ``pairs`` (Q, 3): head and two of its rows, ascending.
    """
    arcs, owners = wall.arcs, wall.owners
    total, zero = 0, np.int64(0)
    for q in range(first, last):
        if stop[0]:
            return total, STOPPED
        head, i, j = pairs[q, 0], pairs[q, 1], pairs[q, 2]
        count = _heads_on(wall, terms, starts, sizes, errors, walls, wall_errors, pairs[q])
        if count == 0 or not _outline(wall, head, i, j, count):
            return total, UNPROVED
        if wall.tiles.counts.max() == 0:
            continue
        on_edges, weight = _edges(wall.tiles, pairs[q, 1:], arcs)
        owners[:on_edges] = head
        pieces, made, status = _pieces(wall, starts, head, on_edges, stop)
        if status != PROVED:
            return total, status
        met = 0
        near = links(arcs, owners, wall.terms, starts, on_edges, made)
        size, error, way = wall.sizes, wall.errors, wall.way
        crossed, status = crossings(arcs, owners, size, error, near, zero, on_edges, way, stop)
        if status == PROVED:
            met, status = crossings(arcs, owners, size, error, near, on_edges, made, way, stop)
        if status != PROVED:
            return total, status
        total += 4 * (pieces + met - crossed) + weight
    return total, PROVED
