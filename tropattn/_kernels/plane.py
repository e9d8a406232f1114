"""Diagrams and their crossings on a sphere of directions in three columns (theory T10).

A point is a ray ``z`` in R^3, a row wins where it beats the others of its head, a wall is an arc of
a great circle. Every sign is proved by a forward error bound; a sign that is not proved ends the
kernel with ``UNPROVED``, and the caller takes another road. So in what comes back no three walls
meet except at the vertices of one head, and no vertex lies on a wall of another head.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import njit

__all__ = [
    "ARC",
    "PROVED",
    "STOPPED",
    "UNPROVED",
    "crossings",
    "diagram",
    "make_polygon",
    "simplex_cones",
    "start_polygon",
]

PROVED = 0
UNPROVED = 1
STOPPED = 2

ARC = 12
"""An arc: end rays u (3) and v (3), scaled to largest entry 1, and the error of each.

Then, in a diagram, the rows that win on the left and on the right of the way from u to v, and what
else meets there at u and at v: a third row, or -1 - i for wall i.
"""

_U = 2.0**-53
_TINY = 1e-290
# Corners of start cones are integers: fine enough to miss coordinate planes, small enough that
# their cross products are exact.
_GRID = 2.0**20
_GENERIC = (0.4386, 0.5517, 0.7094)
# Corners of the four cones, each turned so that consecutive cross products point inwards.
_FACES = ((0, 1, 2), (1, 0, 3), (0, 2, 3), (2, 1, 3))


@njit(nogil=True, cache=True)
def _meet(p, p_error, q, q_error, out):
    """Ray ``p x q`` scaled to largest entry 1, into ``out``; returns the bound on an entry's error.

    Errors bound each entry of ``p`` and ``q``. Returns inf where the ray may vanish.
    """
    x = p[1] * q[2] - p[2] * q[1]
    y = p[2] * q[0] - p[0] * q[2]
    z = p[0] * q[1] - p[1] * q[0]
    size_p = max(abs(p[0]), abs(p[1]), abs(p[2])) + p_error
    size_q = max(abs(q[0]), abs(q[1]), abs(q[2])) + q_error
    error = 2.0 * (3.1 * _U * size_p * size_q + p_error * size_q + q_error * size_p) + _TINY
    size = max(abs(x), abs(y), abs(z))
    if not size > 2.0 * error:
        return np.inf
    out[0] = x / size
    out[1] = y / size
    out[2] = z / size
    # The scaled ray is judged as a ray: its true scale may be taken as size, exactly.
    return 1.01 * error / size + 2.0 * _U


@njit(nogil=True, cache=True)
def _cut(row, row_error, label, count, rows, row_errors, labels, rays, ray_errors, sides):
    """Cut a polygon by ``row . z < 0``, in place; a ray whose side is not proved ends the cut.

    ``rays[m]`` is where ``rows[m]`` and ``rows[m + 1]`` meet. Returns the new number of sides, 0
    where nothing is left, or -1 where a sign is not proved.
    """
    size = max(abs(row[0]), abs(row[1]), abs(row[2]))
    inside, outside, first = 0, 0, 0
    for m in range(count):
        value = row[0] * rays[m, 0] + row[1] * rays[m, 1] + row[2] * rays[m, 2]
        bound = 3.0 * (ray_errors[m] * size + row_error * 1.01) + 10.0 * _U * size + _TINY
        if abs(value) <= bound:
            return -1
        sides[m] = 1 if value > 0 else -1
        if value > 0:
            first = m
            outside += 1
        else:
            inside += 1
    if outside == 0:
        return count
    if inside == 0:
        return 0
    # The rays outside are one run.
    while sides[first - 1 if first > 0 else count - 1] > 0:
        first = first - 1 if first > 0 else count - 1
    if count - outside + 2 > len(rows):
        return -1
    # Rotate so that the run stands at the end, then close with two rays on the new row.
    _rotate(first, count, rows, row_errors, labels, rays, ray_errors)
    # Now rays 0 .. outside - 1 are outside; rows 0 and outside bound the run.
    entering, leaving = np.empty(3), np.empty(3)
    entering_error = _meet(rows[0], row_errors[0], row, row_error, entering)
    leaving_error = _meet(row, row_error, rows[outside], row_errors[outside], leaving)
    if entering_error == np.inf or leaving_error == np.inf:
        return -1
    # New order: rows[0], row, rows[outside], ..., rows[count - 1].
    shift = 2 - outside
    total = count + shift
    if shift > 0:
        for m in range(count - 1, outside - 1, -1):
            _move(m, m + shift, rows, row_errors, labels, rays, ray_errors)
    elif shift < 0:
        for m in range(outside, count):
            _move(m, m + shift, rows, row_errors, labels, rays, ray_errors)
    for c in range(3):
        rows[1, c] = row[c]
        rays[0, c] = entering[c]
        rays[1, c] = leaving[c]
    row_errors[1] = row_error
    labels[1] = label
    ray_errors[0] = entering_error
    ray_errors[1] = leaving_error
    return total


@njit(nogil=True, cache=True)
def _move(source, target, rows, row_errors, labels, rays, ray_errors):
    for c in range(3):
        rows[target, c] = rows[source, c]
        rays[target, c] = rays[source, c]
    row_errors[target] = row_errors[source]
    labels[target] = labels[source]
    ray_errors[target] = ray_errors[source]


@njit(nogil=True, cache=True)
def _rotate(first, count, rows, row_errors, labels, rays, ray_errors):
    """Cyclic shift of a polygon's sides so that side ``first`` becomes side 0: three reversals."""
    if first == 0:
        return
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


@njit(nogil=True, cache=True)
def simplex_cones(middle, cones, height):
    """Rows (4, 3, 3) of the four cones over a simplex, the first and widest around ``middle``.

    That one has an inner slope of ``0.5 / height``; heights from 1e-5 are far above its rounding.

    The corners are integers, so the rows are exact and the cones tile R^3 wherever they
    point. In each cone consecutive rows meet in a corner.
    """
    ring = np.empty((3, 3))
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
    corners = np.zeros((4, 3))
    for m in range(3):
        angle = 0.7 + m * 2.0 * np.pi / 3.0
        for c in range(3):
            ray = height * ring[2, c] + np.cos(angle) * ring[0, c] + np.sin(angle) * ring[1, c]
            corners[m, c] = np.rint(_GRID * ray)
            corners[3, c] -= corners[m, c]
    for p in range(4):
        for m in range(3):
            u, v = corners[_FACES[p][m]], corners[_FACES[p][(m + 1) % 3]]
            for c in range(3):
                d, e = (c + 1) % 3, (c + 2) % 3
                cones[p, m, c] = v[d] * u[e] - v[e] * u[d]


@njit(nogil=True, cache=True)
def start_polygon(corner_rows, walls, wall_errors, rows, row_errors, labels, rays, ray_errors):
    """The simplicial cone ``corner_rows . z < 0`` (3, 3) cut by the walls.

    The rows are given so that consecutive ones meet in the cone's rays; labels are -1 - i for wall
    i and -1000000 for the cone's own rows. Returns the number of sides, 0 or -1 as ``_cut`` does.
    """
    sides = np.empty(len(rows), np.int8)
    for m in range(3):
        for c in range(3):
            rows[m, c] = corner_rows[m, c]
        row_errors[m] = 0.0
        labels[m] = -1000000
    for m in range(3):
        ray_errors[m] = _meet(rows[m], 0.0, rows[(m + 1) % 3], 0.0, rays[m])
        if ray_errors[m] == np.inf:
            return -1
    count = np.int64(3)
    for i in range(len(walls)):
        count = _cut(
            walls[i],
            wall_errors[i],
            -1 - i,
            count,
            rows,
            row_errors,
            labels,
            rays,
            ray_errors,
            sides,
        )
        if count <= 0:
            return count
    return count


@njit(nogil=True, cache=True)
def _scores(x, y, z, ray, out):
    """Scores of a head's rows, given column by column, at a ray."""
    a, b, c = ray[0], ray[1], ray[2]
    for k in range(len(x)):
        out[k] = x[k] * a + y[k] * b + z[k] * c


@njit(nogil=True, cache=True)
def _score_bound(size, error, ray_error):
    """Error of a difference of two scores at a ray with entries at most 1 (and its error)."""
    return 6.0 * (1.01 * size * ray_error + error) + 25.0 * _U * size + _TINY


@njit(nogil=True, cache=True)
def _largest(scores):
    best = 0
    for k in range(1, len(scores)):
        if scores[k] > scores[best]:
            best = k
    return best


@njit(nogil=True, cache=True)
def make_polygon(room):
    """Room for a polygon: rows and their errors, labels, rays and their errors."""
    return (
        np.empty((room, 3)),
        np.empty(room),
        np.empty(room, np.int64),
        np.empty((room, 3)),
        np.empty(room),
    )


@njit(nogil=True, cache=True)
def _cell(i, terms, size, error, count, polygon, sides, scores):
    """Cut a polygon, in place, to the cell of row ``i``; returns its sides, 0 or -1 as ``_cut``.

    As long as some ray of what is left has a better row, the best row there cuts: O(N) a ray.
    """
    n = terms.shape[1]
    row = np.empty(3)
    labels, rays, ray_errors = polygon[2], polygon[3], polygon[4]
    at, proved = 0, 0
    while proved < count:
        _scores(terms[0], terms[1], terms[2], rays[at], scores)
        bound = _score_bound(size, error, ray_errors[at])
        ahead, behind = labels[at], labels[at + 1 if at + 1 < count else 0]
        best, top, near = -1, scores[i], 0
        for k in range(n):
            if scores[k] >= scores[i] - bound and k != i and k != ahead and k != behind:
                near += 1
                if scores[k] > top:
                    best, top = k, scores[k]
        if best >= 0 and top - scores[i] > bound:
            for c in range(3):
                row[c] = terms[c, best] - terms[c, i]
            count = _cut(row, 2.0 * error + 2.0 * _U * size, best, count, *polygon, sides)
            if count <= 0:
                return count
            at, proved = 0, 0
            continue
        # Row i wins here with the two that meet in this ray: proved if all others lose.
        if near > 0:
            return -1
        at = at + 1 if at + 1 < count else 0
        proved += 1
    return count


@njit(nogil=True, cache=True)
def diagram(terms, size, error, counts, starts, live, arcs, made, mine, sides, scores, stop):
    """Cells of one head in each start polygon: live rows, and the arcs between them.

    Parameters
    ----------
    terms : (3, N) rows of the head, column by column; ``size`` bounds their entries and ``error``
        the entries' errors.
    counts, starts : numbers of sides and stacked arrays of the start polygons that tile the domain.
    live : (N,) bool, written. arcs : (A, ARC), written from row ``made`` on.
    mine, sides, scores : scratch.

    Returns the number of arcs and a status. Cost O(N^2) and more only where cells have many sides.
    """
    rows, row_errors, labels, rays, ray_errors = starts
    n = terms.shape[1]
    live[:n] = False
    for p in range(len(counts)):
        sides_of_start = counts[p]
        corners = np.empty((sides_of_start, n))
        winners = np.empty(sides_of_start, np.int64)
        bounds = np.empty(sides_of_start)
        for m in range(sides_of_start):
            _scores(terms[0], terms[1], terms[2], rays[p, m], corners[m])
            winners[m] = _largest(corners[m])
            bounds[m] = _score_bound(size, error, ray_errors[p, m])
        for i in range(n):
            if stop[0]:
                return made, STOPPED
            if _beaten(i, corners, winners, bounds):
                continue
            count = sides_of_start
            for m in range(count):
                for c in range(3):
                    mine[0][m, c] = rows[p, m, c]
                    mine[3][m, c] = rays[p, m, c]
                mine[1][m] = row_errors[p, m]
                mine[2][m] = labels[p, m]
                mine[4][m] = ray_errors[p, m]
            count = _cell(i, terms, size, error, count, mine, sides, scores)
            if count < 0:
                return made, UNPROVED
            if count == 0:
                continue
            live[i] = True
            for m in range(count):
                if mine[2][m] > i:
                    if made == len(arcs):
                        return made, UNPROVED
                    _write_arc(arcs, made, mine, m, count)
                    arcs[made, 8] = i
                    made += 1
    return made, PROVED


@njit(nogil=True, cache=True)
def _beaten(i, corners, winners, bounds):
    """Whether the winner at some corner is proved to beat row ``i`` at all of them."""
    for w in range(len(winners)):
        k = winners[w]
        if k == i or (w > 0 and k == winners[w - 1]):
            continue
        m = 0
        while m < len(winners) and corners[m, k] - corners[m, i] > bounds[m]:
            m += 1
        if m == len(winners):
            return True
    return False


@njit(nogil=True, cache=True)
def _write_arc(arcs, at, polygon, side, count):
    """Write a side of a polygon as an arc, all but the row that wins in the polygon."""
    before = side - 1 if side > 0 else count - 1
    for c in range(3):
        arcs[at, c] = polygon[3][before, c]
        arcs[at, 3 + c] = polygon[3][side, c]
    arcs[at, 6] = polygon[4][before]
    arcs[at, 7] = polygon[4][side]
    arcs[at, 9] = polygon[2][side]
    arcs[at, 10] = polygon[2][before]
    arcs[at, 11] = polygon[2][side + 1 if side + 1 < count else 0]


@njit(nogil=True, cache=True)
def crossings(arcs, owners, terms, starts, sizes, errors, start, stop_at, stop):
    """Points where arcs ``start .. stop_at`` cross walls of later heads, and a status.

    Along an arc from u to v a head's scores are affine in the share of v, its winners form an upper
    envelope, and each change of winner is one crossing; crossings of one arc are proved distinct.

    Parameters
    ----------
    arcs, owners : (A, ARC) and (A,) head of each arc, in ascending order.
    terms, starts : (3, n) rows of all heads and the first of each.
    sizes, errors : (H,) bounds on the entries of a head's rows and on their errors.
    """
    heads = len(starts) - 1
    widest = 1
    for h in range(heads):
        widest = max(widest, starts[h + 1] - starts[h])
    at_u, at_v = np.empty(widest), np.empty(widest)
    low, high = np.empty(terms.shape[1]), np.empty(terms.shape[1])
    total = 0
    for arc in range(start, stop_at):
        if stop[0]:
            return total, STOPPED
        found = 0
        for g in range(owners[arc] + 1, heads):
            n = starts[g + 1] - starts[g]
            x = terms[0, starts[g] : starts[g + 1]]
            y = terms[1, starts[g] : starts[g + 1]]
            z = terms[2, starts[g] : starts[g + 1]]
            u, v = at_u[:n], at_v[:n]
            _scores(x, y, z, arcs[arc, 0:3], u)
            _scores(x, y, z, arcs[arc, 3:6], v)
            slack_u = _score_bound(sizes[g], errors[g], arcs[arc, 6])
            slack_v = _score_bound(sizes[g], errors[g], arcs[arc, 7])
            winner, last = _largest(u), _largest(v)
            if _near(u, winner, slack_u) or _near(v, last, slack_v):
                return total, UNPROVED
            while winner != last:
                step, lower, upper = _next(u, v, winner, slack_u, slack_v)
                if step < 0:
                    return total, UNPROVED
                low[found] = lower
                high[found] = upper
                found += 1
                winner = step
        if found > 1:
            # Disjoint intervals are in one order by their ends, so each end is sorted alone.
            low[:found].sort()
            high[:found].sort()
            for i in range(1, found):
                if not high[i - 1] < low[i]:
                    return total, UNPROVED
        total += found
    return total, PROVED


@njit(nogil=True, cache=True)
def _near(scores, winner, slack):
    """Whether some other row may reach the winner's score."""
    level = scores[winner] - slack
    close = 0
    for k in range(len(scores)):
        close += scores[k] >= level
    return close > 1


@njit(nogil=True, cache=True)
def _next(u, v, winner, slack_u, slack_v):
    """The row that overtakes the winner first on the way from u to v, and where.

    Row k overtakes at the share ``a / (a + b)`` with ``a = u[winner] - u[k]`` and
    ``b = v[k] - v[winner]``, which grows with a and falls with b: intervals follow from the errors
    of a and b. Returns -1 where the first one is not proved to be first.
    """
    best, where = -1, 2.0
    for k in range(len(u)):
        b = v[k] - v[winner]
        if k != winner and b > 0:
            a = u[winner] - u[k]
            if a < where * (a + b):
                best, where = k, a / (a + b)
    if best < 0:
        return -1, 0.0, 0.0
    a = u[winner] - u[best] + slack_u
    b = v[best] - v[winner] - slack_v
    if not (b > 0 and a - 2.0 * slack_u > 0):
        return -1, 0.0, 0.0
    upper = a / (a + b) * (1.0 + 8.0 * _U)
    lower = (a - 2.0 * slack_u) / (a + b + 2.0 * (slack_v - slack_u)) * (1.0 - 8.0 * _U)
    for k in range(len(u)):
        b = v[k] - v[winner] + slack_v
        if k not in (winner, best) and b > 0:
            a = u[winner] - u[k] - slack_u
            if not (a > 0 and a > upper * (a + b) * (1.0 + 8.0 * _U)):
                return -1, 0.0, 0.0
    return best, lower, upper
