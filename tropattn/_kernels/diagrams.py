"""Diagrams and their crossings on a sphere of directions in three columns (theory T10).

A point is a ray ``z`` in R^3, a row wins where it beats the others of its head, a wall is an arc of
a great circle. Every sign is proved by a forward error bound; a sign that is not proved ends the
kernel with ``UNPROVED``, and the caller takes another road. So in what comes back no three walls
meet except at the vertices of one head, and no vertex lies on a wall of another head.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.clipping import TINY, U, cut, load
from tropattn._kernels.compiling import njit

PROVED = 0
UNPROVED = 1
STOPPED = 2

ARC = 12
"""An arc: end rays u (3) and v (3), scaled to largest entry 1, and the error of each.

Then, in a diagram, the rows that win on the left and on the right of the way from u to v, and what
else meets there at u and at v: a third row, or -1 - i for wall i.
"""


@njit(nogil=True, cache=True)
def _scores(x, y, z, ray, out):
    """Scores of a head's rows, given column by column, at a ray."""
    a, b, c = ray[0], ray[1], ray[2]
    for k in range(len(x)):
        out[k] = x[k] * a + y[k] * b + z[k] * c


@njit(nogil=True, cache=True)
def score_bound(size, error, ray_error):
    """Error of a difference of two scores at a ray with entries at most 1 (and its error)."""
    return 6.0 * (1.01 * size * ray_error + error) + 25.0 * U * size + TINY


@njit(nogil=True, cache=True)
def _largest(scores):
    best = 0
    for k in range(1, len(scores)):
        if scores[k] > scores[best]:
            best = k
    return best


@njit(nogil=True, cache=True)
def cell(i, terms, size, error, polygon, scores):
    """Cut a polygon, in place, to the cell of row ``i``; returns its sides, 0 or -1 as ``cut``.

    As long as some ray of what is left has a better row, the best row there cuts: O(N) per ray.
    """
    n = terms.shape[1]
    row = np.empty(3)
    labels, rays, ray_errors = polygon.labels, polygon.rays, polygon.ray_errors
    at, proved, count = 0, 0, polygon.count
    while proved < count:
        _scores(terms[0], terms[1], terms[2], rays[at], scores)
        bound = score_bound(size, error, ray_errors[at])
        ahead, behind = labels[at], labels[at + 1 if at + 1 < count else 0]
        best, top, near = np.int64(-1), scores[i], 0
        for k in range(n):
            if scores[k] >= scores[i] - bound and k != i and k != ahead and k != behind:
                near += 1
                if scores[k] > top:
                    best, top = k, scores[k]
        if best >= 0 and top - scores[i] > bound:
            for c in range(3):
                row[c] = terms[c, best] - terms[c, i]
            count = cut(polygon, row, 2.0 * error + 2.0 * U * size, best)
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
def diagram(terms, size, error, tiles, live, arcs, made, polygon, scores, stop):
    """Cells of one head in each tile: ``live`` rows (N,), and ``arcs`` between them, from ``made``.

    ``terms`` (3, N) rows column by column, ``size`` and ``error`` bounds on entries and errors;
    ``tiles`` start polygons that tile the domain; ``polygon``, ``scores`` scratch. Returns the
    number of arcs and a status. Cost O(N^2) and more only where cells have many sides.
    """
    n = terms.shape[1]
    live[:n] = False
    for p in range(len(tiles.counts)):
        count = tiles.counts[p]
        corners, bounds = np.empty((count, n)), np.empty(count)
        winners = np.empty(count, np.int64)
        for m in range(count):
            _scores(terms[0], terms[1], terms[2], tiles.rays[p, m], corners[m])
            winners[m] = _largest(corners[m])
            bounds[m] = score_bound(size, error, tiles.ray_errors[p, m])
        for i in range(n if count else 0):
            if stop[0]:
                return made, STOPPED
            if _beaten(i, corners, winners, bounds):
                continue
            load(tiles, p, polygon)
            sides = cell(i, terms, size, error, polygon, scores)
            if sides < 0:
                return made, UNPROVED
            if sides == 0:
                continue
            live[i] = True
            rays, ray_errors, labels = polygon.rays, polygon.ray_errors, polygon.labels
            for m in range(sides):
                if labels[m] > i:
                    if made == len(arcs):
                        return made, UNPROVED
                    write_arc(arcs, made, rays, ray_errors, labels, m, sides)
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
def write_arc(arcs, at, rays, ray_errors, labels, side, count):
    """Write a side of a polygon as an arc, all but the row that wins in the polygon."""
    before = side - 1 if side > 0 else count - 1
    for c in range(3):
        arcs[at, c] = rays[before, c]
        arcs[at, 3 + c] = rays[side, c]
    arcs[at, 6] = ray_errors[before]
    arcs[at, 7] = ray_errors[side]
    arcs[at, 9] = labels[side]
    arcs[at, 10] = labels[before]
    arcs[at, 11] = labels[side + 1 if side + 1 < count else 0]


@njit(nogil=True, cache=True)
def crossings(arcs, owners, terms, starts, sizes, errors, start, stop_at, stop):
    """Points where arcs ``start .. stop_at`` cross walls of later heads, and a status.

    Along an arc from u to v a head's scores are affine in the share of v, its winners form an upper
    envelope, and each change of winner is one crossing; crossings of one arc are proved distinct.
    ``arcs`` (A, ARC) with the heads ``owners``, ascending; ``terms`` (3, n) rows of all heads,
    ``starts`` the first of each, ``sizes`` and ``errors`` (H,) bounds on entries and their errors.
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
            slack_u = score_bound(sizes[g], errors[g], arcs[arc, 6])
            slack_v = score_bound(sizes[g], errors[g], arcs[arc, 7])
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
    upper = a / (a + b) * (1.0 + 8.0 * U)
    lower = (a - 2.0 * slack_u) / (a + b + 2.0 * (slack_v - slack_u)) * (1.0 - 8.0 * U)
    for k in range(len(u)):
        b = v[k] - v[winner] + slack_v
        if k not in (winner, best) and b > 0:
            a = u[winner] - u[k] - slack_u
            if not (a > 0 and a > upper * (a + b) * (1.0 + 8.0 * U)):
                return -1, 0.0, 0.0
    return best, lower, upper
