"""Convex polygons of rays on the sphere of directions of three columns, and how they are cut.

A point is a ray ``z`` in R^3, a side lies on a row, inside is where ``row . z < 0``. Every sign is
proved by a forward error bound; one that is not proved ends the kernel, and the caller takes
another road. So no three sides meet in one ray.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import NamedTuple

import numpy as np

from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.structures import structure

CORNER = -1_000_000
"""Label of the sides of a start cone; those of wall i of the domain have -1 - i."""

U = 2.0**-53
TINY = 1e-290
# Corners of start cones are integers: fine enough to miss coordinate planes, small enough that
# their cross products are exact.
_GRID = 2.0**20
_GENERIC = (0.4386, 0.5517, 0.7094)
# Directions round the middle, at equal angles and none of them special.
_TURNS = tuple((cos(angle), sin(angle)) for angle in (0.7, 0.7 + 2 * pi / 3, 0.7 + 4 * pi / 3))
# Corners of the four cones, each turned so that consecutive cross products point inwards.
_FACES = ((0, 1, 2), (1, 0, 3), (0, 2, 3), (2, 1, 3))


@structure
class ClippedPolygon:
    """A polygon of rays; ``rays[m]`` is where ``rows[m]`` and ``rows[m + 1]`` meet."""

    count: int  # number of sides
    rows: np.ndarray  # (room, 3)
    row_errors: np.ndarray  # (room,)
    labels: np.ndarray  # (room,) int64
    rays: np.ndarray  # (room, 3) scaled to largest entry 1
    ray_errors: np.ndarray  # (room,)
    sides: np.ndarray  # (room,) int8 of a cut on which the rays lie
    ends: np.ndarray  # (2, 3) rays where a cut meets the polygon
    row: np.ndarray  # (3,) that cuts


class Tiles(NamedTuple):
    """Polygons side by side; those beyond the first few may have no sides, and are none."""

    counts: np.ndarray  # (P,)
    rows: np.ndarray  # (P, room, 3), and so on as in ``ClippedPolygon``
    row_errors: np.ndarray
    labels: np.ndarray
    rays: np.ndarray
    ray_errors: np.ndarray


def make_polygon(room):
    """Room for a polygon of that many sides."""
    return ClippedPolygon(
        count=0,
        rows=np.empty((room, 3)),
        row_errors=np.empty(room),
        labels=np.empty(room, np.int64),
        rays=np.empty((room, 3)),
        ray_errors=np.empty(room),
        sides=np.empty(room, np.int8),
        ends=np.empty((2, 3)),
        row=np.empty(3),
    )


def make_tiles(room):
    """Room for four polygons that tile a domain, of ``room`` sides each."""
    return Tiles(
        np.zeros(4, np.int64),
        np.empty((4, room, 3)),
        np.empty((4, room)),
        np.empty((4, room), np.int64),
        np.empty((4, room, 3)),
        np.empty((4, room)),
    )


@fragment()
def store(polygon, tiles, p):
    """Copy a polygon to a place among the tiles."""
    tiles.counts[p] = polygon.count
    for m in range(polygon.count):
        for c in range(3):
            tiles.rows[p, m, c] = polygon.rows[m, c]
            tiles.rays[p, m, c] = polygon.rays[m, c]
        tiles.row_errors[p, m] = polygon.row_errors[m]
        tiles.labels[p, m] = polygon.labels[m]
        tiles.ray_errors[p, m] = polygon.ray_errors[m]


@fragment()
def load(tiles, p, polygon):
    """Copy a tile into a polygon."""
    rows, rays, labels = polygon.rows, polygon.rays, polygon.labels
    row_errors, ray_errors = polygon.row_errors, polygon.ray_errors
    polygon.count = tiles.counts[p]
    for m in range(tiles.counts[p]):
        for c in range(3):
            rows[m, c] = tiles.rows[p, m, c]
            rays[m, c] = tiles.rays[p, m, c]
        row_errors[m] = tiles.row_errors[p, m]
        labels[m] = tiles.labels[p, m]
        ray_errors[m] = tiles.ray_errors[p, m]


@fragment()
def _meet(p, p_error, q, q_error, out):
    """Ray ``p x q`` scaled to largest entry 1, into ``out``; a bound on its error, inf if none."""
    x = p[1] * q[2] - p[2] * q[1]
    y = p[2] * q[0] - p[0] * q[2]
    z = p[0] * q[1] - p[1] * q[0]
    size_p = max(abs(p[0]), abs(p[1]), abs(p[2])) + p_error
    size_q = max(abs(q[0]), abs(q[1]), abs(q[2])) + q_error
    error = 2.0 * (3.1 * U * size_p * size_q + p_error * size_q + q_error * size_p) + TINY
    size = max(abs(x), abs(y), abs(z))
    if not size > 2.0 * error:
        return np.inf
    out[0] = x / size
    out[1] = y / size
    out[2] = z / size
    # The scaled ray is judged as a ray: its true scale may be taken as size, exactly.
    return 1.01 * error / size + 2.0 * U


@fragment()
def _sides(polygon, row, row_error):
    """Write the side of a cut on which each ray lies; how many are outside (-1: open), and one."""
    rays, ray_errors, sides = polygon.rays, polygon.ray_errors, polygon.sides
    size = max(abs(row[0]), abs(row[1]), abs(row[2]))
    outside, first = 0, 0
    for m in range(polygon.count):
        value = row[0] * rays[m, 0] + row[1] * rays[m, 1] + row[2] * rays[m, 2]
        bound = 3.0 * (ray_errors[m] * size + row_error * 1.01) + 10.0 * U * size + TINY
        if abs(value) <= bound:
            return -1, first
        sides[m] = 1 if value > 0 else -1
        if value > 0:
            first = m
            outside += 1
    return outside, first


@fragment()
def cut(polygon, row, row_error, label):
    """Cut a polygon by ``row . z < 0``, in place; its sides, 0 for none, -1 if a sign is open."""
    rows, row_errors, sides = polygon.rows, polygon.row_errors, polygon.sides
    count = polygon.count
    outside, first = _sides(polygon, row, row_error)
    if outside <= 0:
        return count if outside == 0 else -1
    if outside == count:
        return 0
    # The rays outside are one run.
    while sides[first - 1 if first > 0 else count - 1] > 0:
        first = first - 1 if first > 0 else count - 1
    if count - outside + 2 > len(rows):
        return -1
    # Rotate so that the run stands at the end, then close with two rays on the new row.
    _rotate(polygon, first)
    # Now rays 0 .. outside - 1 are outside; rows 0 and outside bound the run.
    ends = polygon.ends
    entering_error = _meet(rows[0], row_errors[0], row, row_error, ends[0])
    leaving_error = _meet(row, row_error, rows[outside], row_errors[outside], ends[1])
    if entering_error == np.inf or leaving_error == np.inf:
        return -1
    # New order: rows[0], row, rows[outside], ..., rows[count - 1].
    _shift(polygon, outside, 2 - outside)
    for c in range(3):
        rows[1, c] = row[c]
        polygon.rays[0, c] = ends[0, c]
        polygon.rays[1, c] = ends[1, c]
    row_errors[1] = row_error
    polygon.labels[1] = label
    polygon.ray_errors[0] = entering_error
    polygon.ray_errors[1] = leaving_error
    return polygon.count


@fragment()
def _shift(polygon, first, by):
    """Move the sides from ``first`` on to other places."""
    rows, rays, labels = polygon.rows, polygon.rays, polygon.labels
    row_errors, ray_errors = polygon.row_errors, polygon.ray_errors
    last = polygon.count - 1
    for i in range(last - first + 1 if by else 0):
        source = last - i if by > 0 else first + i
        target = source + by
        for c in range(3):
            rows[target, c] = rows[source, c]
            rays[target, c] = rays[source, c]
        row_errors[target] = row_errors[source]
        labels[target] = labels[source]
        ray_errors[target] = ray_errors[source]
    polygon.count += by


@fragment()
def _rotate(polygon, first):
    """Cyclic shift of a polygon's sides so that side ``first`` becomes side 0: three reversals."""
    if first == 0:
        return
    rows, rays, labels = polygon.rows, polygon.rays, polygon.labels
    row_errors, ray_errors, count = polygon.row_errors, polygon.ray_errors, polygon.count
    for start, stop in ((0, first), (first, count), (0, count)):
        i, j = start, stop - 1
        while i < j:
            for c in range(3):
                rows[i, c], rows[j, c] = rows[j, c], rows[i, c]
                rays[i, c], rays[j, c] = rays[j, c], rays[i, c]
            row_errors[i], row_errors[j] = row_errors[j], row_errors[i]
            labels[i], labels[j] = labels[j], labels[i]
            ray_errors[i], ray_errors[j] = ray_errors[j], ray_errors[i]
            i += 1
            j -= 1


@fragment()
def simplex_cones(middle, cones, height):
    """Rows of the four cones over a simplex, the first and widest around ``middle``.

    They are ``cones[:4, :3]`` of an array (6, 4, 3), the rest of which is scratch. The first has an
    inner slope of ``0.5 / height``; heights from 1e-5 are far above its rounding. The corners are
    integers, so the rows are exact and the cones tile R^3 wherever they point.
    """
    ring, corners = cones[4], cones[5]
    length = np.sqrt(middle[0] ** 2 + middle[1] ** 2 + middle[2] ** 2)
    for c in range(3):
        ring[2, c] = middle[c] / length if length > 0.0 else _GENERIC[c]
    least = 0
    for c in range(1, 3):
        if abs(ring[2, c]) < abs(ring[2, least]):
            least = c
    length = np.sqrt(1.0 - ring[2, least] ** 2)
    for c in range(3):
        ring[0, c] = ((1.0 if c == least else 0.0) - ring[2, least] * ring[2, c]) / length
    for c in range(3):
        d, e = (c + 1) % 3, (c + 2) % 3
        ring[1, c] = ring[2, d] * ring[0, e] - ring[2, e] * ring[0, d]
    for c in range(3):
        corners[3, c] = 0.0
    for m in range(3):
        for c in range(3):
            ray = height * ring[2, c] + _TURNS[m][0] * ring[0, c] + _TURNS[m][1] * ring[1, c]
            corners[m, c] = np.rint(_GRID * ray)
            corners[3, c] -= corners[m, c]
    for p in range(4):
        for m in range(3):
            u, v = corners[_FACES[p][m]], corners[_FACES[p][(m + 1) % 3]]
            for c in range(3):
                d, e = (c + 1) % 3, (c + 2) % 3
                cones[p, m, c] = v[d] * u[e] - v[e] * u[d]


@fragment()
def start_polygon(corner_rows, walls, wall_errors, polygon):
    """The cone ``corner_rows . z < 0`` of three rows cut by the walls; as ``cut`` returns."""
    rows, ray_errors = polygon.rows, polygon.ray_errors
    polygon.count = 3
    for m in range(3):
        for c in range(3):
            rows[m, c] = corner_rows[m, c]
        polygon.row_errors[m] = 0.0
        polygon.labels[m] = CORNER
    for m in range(3):
        ray_errors[m] = _meet(rows[m], 0.0, rows[(m + 1) % 3], 0.0, polygon.rays[m])
        if ray_errors[m] == np.inf:
            return -1
    for i in range(len(walls)):
        count = cut(polygon, walls[i], wall_errors[i], -1 - i)
        if count <= 0:
            return count
    return polygon.count


@njit(nogil=True, cache=True)
def tile(middle, height, rows, wall_errors, cones, polygon, tiles):
    """Tile the domain by the four cones over a simplex; how many have sides, 0 if not proved.

    ``rows`` (g, 3) are its walls; ``cones`` (6, 4, 3) and ``polygon`` are scratch.
    """
    simplex_cones(middle, cones, height)
    used = np.int64(0)
    for p in range(4):
        count = start_polygon(cones[p], rows, wall_errors, polygon)
        if count < 0:
            return 0
        if count == 0:
            continue
        whole = True
        for m in range(count):
            whole = whole and polygon.labels[m] > CORNER
        if whole:
            # The domain lies within one cone, as it may in the first one, around ``middle``.
            store(polygon, tiles, np.int64(0))
            return 1
        store(polygon, tiles, used)
        used += 1
    return used
