"""Diagrams and their crossings on a sphere of directions in three columns (theory T10).

A point is a ray ``z`` in R^3, a row wins where it beats the others of its head, a wall is an arc of
a great circle. Every sign is proved by a forward error bound; a sign that is not proved ends the
kernel with ``UNPROVED``, and the caller takes another road. So in what comes back no three walls
meet except at the vertices of one head, and no vertex lies on a wall of another head.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.clipping import CORNER, TINY, U, cut, load
from tropattn._kernels.compiling import fragment

PROVED = 0
UNPROVED = 1
STOPPED = 2

ARC = 12
"""An arc: end rays u (3) and v (3), scaled to largest entry 1, and the error of each.

Then, in a diagram, the rows that win on the left and on the right of the way from u to v, and what
else meets there at u and at v: a third row, or -1 - i for wall i.
"""


@fragment()
def _scores(x, y, z, ray, out):
    """Scores of a head's rows, given column by column, at a ray."""
    a, b, c = ray[0], ray[1], ray[2]
    for k in range(len(x)):
        out[k] = x[k] * a + y[k] * b + z[k] * c


@fragment()
def score_bound(size, error, ray_error, n):
    """Error of a difference of two scores at a ray with ``n`` entries at most 1 (and its error)."""
    rounding = (2.0 * n * (n + 1) + 1.0) * U * size
    return 2.0 * n * (1.01 * size * ray_error + error) + rounding + TINY


@fragment()
def _largest(scores, n):
    best = 0
    for k in range(1, n):
        if scores[k] > scores[best]:
            best = k
    return best


@fragment()
def cell(i, terms, size, error, polygon, scores, arcs, known):
    """Cut a polygon, in place, to the cell of row ``i``; returns its sides, 0 or -1 as ``cut``.

    As long as some ray of what is left has a better row, the best row there cuts: O(N) per ray.
    Rays at which row ``i`` is proved to win are never cut off; they come last, since a cut puts its
    two rays first and those before the ones that it cut off at the end. The ends of ``arcs`` that
    are ``known`` to be walls of row ``i`` are proved.
    """
    n, row = terms.shape[1], polygon.row
    labels, rays, ray_errors = polygon.labels, polygon.rays, polygon.ray_errors
    at, proved, count = 0, 0, polygon.count
    while at < count - proved:
        ahead, behind = labels[at], labels[at + 1 if at + 1 < count else 0]
        if _ends(ahead, behind, arcs, known) or _ends(behind, ahead, arcs, known):
            at += 1
            continue
        _scores(terms[0], terms[1], terms[2], rays[at], scores)
        bound = score_bound(size, error, ray_errors[at], 3)
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
            at, proved = 0, proved + at
            continue
        # Row i wins here with the two that meet in this ray: proved if all others lose.
        if near > 0:
            return -1
        at += 1
    return count


@fragment()
def _ends(k, other, arcs, known):
    """Whether one of these arcs is the wall of row ``k`` and ends where it meets the other side.

    Two sides meet in one ray, but for those of the start cone, which share a label.
    """
    for at in range(len(known) if k >= 0 and other != CORNER else 0):
        arc = known[at]
        if arcs[arc, 8] == k and (arcs[arc, 10] == other or arcs[arc, 11] == other):
            return True
    return False


@fragment()
def diagram(terms, size, error, tiles, live, arcs, made, polygon, scores, found, stop):
    """Cells of one head in each tile: ``live`` rows (N,), and ``arcs`` between them, from ``made``.

    A tile is convex, so its cells hang together by walls: from one, all are found as neighbours.
    ``terms`` (3, N) rows column by column, ``size`` and ``error`` bounds on entries and errors;
    ``tiles`` start polygons that tile the domain; ``polygon``, ``scores`` and ``found`` (3, >= N)
    int64 scratch. Returns the number of arcs and a status. Cost O(N) for each side of a cell.
    """
    n = terms.shape[1]
    order, seen, known = found
    for i in range(n):
        live[i] = False
        seen[i] = -1
    for p in range(len(tiles.counts)):
        if tiles.counts[p] == 0:
            continue
        # In this tile a row is seen (2 p), then its cell cut out (2 p + 1).
        _scores(terms[0], terms[1], terms[2], tiles.rays[p, 0], scores)
        order[0] = _largest(scores, n)
        seen[order[0]] = 2 * p
        at, ahead, first = 0, 1, made
        while at < ahead:
            if stop[0]:
                return made, STOPPED
            i = order[at]
            load(tiles, p, polygon)
            walls = _walls_of(i, arcs, first, made, known)
            sides = _known_sides(i, terms, size, error, arcs, known[:walls], polygon)
            if sides > 0:
                sides = cell(i, terms, size, error, polygon, scores, arcs, known[:walls])
            if sides <= 0:
                return made, UNPROVED
            live[i] = True
            seen[i] = 2 * p + 1
            rays, ray_errors, labels = polygon.rays, polygon.ray_errors, polygon.labels
            for m in range(sides):
                k = labels[m]
                if k < 0 or seen[k] == 2 * p + 1:
                    continue
                if seen[k] < 2 * p:
                    seen[k] = 2 * p
                    order[ahead] = k
                    ahead += 1
                if made == len(arcs):
                    return made, UNPROVED
                write_arc(arcs, made, rays, ray_errors, labels, m, sides)
                arcs[made, 8] = i
                made += 1
            at += 1
    return made, PROVED


@fragment()
def _walls_of(i, arcs, first, last, out):
    """Write which of arcs ``first .. last`` row ``i`` is beyond, and return how many."""
    count = 0
    for arc in range(first, last):
        if arcs[arc, 9] == i:
            out[count] = arc
            count += 1
    return count


@fragment()
def _known_sides(i, terms, size, error, arcs, known, polygon):
    """Cut a polygon by the rows that meet row ``i`` on arcs, and at their ends; as ``cut``."""
    row, labels, count = polygon.row, polygon.labels, polygon.count
    for arc in known:
        for name in (8, 10, 11):
            k = np.int64(arcs[arc, name])
            fresh = k >= 0
            for m in range(count):
                fresh = fresh and labels[m] != k
            if not fresh:
                continue
            for c in range(3):
                row[c] = terms[c, k] - terms[c, i]
            count = cut(polygon, row, 2.0 * error + 2.0 * U * size, k)
            if count <= 0:
                return count
    return count


@fragment()
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


@fragment()
def links(arcs, owners, terms, starts, first, last):
    """For each row the rows that it shares an arc with, out of arcs ``first .. last``.

    ``arcs`` (A, ARC) of the heads ``owners``, ``terms`` (3, n) rows of all heads and ``starts`` the
    first of each. Returns offsets (n + 1,) into a list of rows and (L, 3) of what they have more
    than the one they belong to, and for each head a row with an arc, -1 if it has none.
    """
    heads = len(starts) - 1
    offsets = np.zeros(starts[heads] + 2, np.int64)
    begin = np.full(heads, -1, np.int64)
    for arc in range(first, last):
        for side in range(8, 10):
            row = starts[owners[arc]] + np.int64(arcs[arc, side])
            offsets[row + 2] += 1
            begin[owners[arc]] = row
    for row in range(2, len(offsets)):
        offsets[row] += offsets[row - 1]
    others = np.empty(offsets[-1], np.int64)
    apart = np.empty((offsets[-1], 3))
    for arc in range(first, last):
        for side in range(8, 10):
            row = starts[owners[arc]] + np.int64(arcs[arc, side])
            # Offsets are one place behind while the list fills.
            place, other = offsets[row + 1], starts[owners[arc]] + np.int64(arcs[arc, 17 - side])
            others[place] = other
            for c in range(3):
                apart[place, c] = terms[c, other] - terms[c, row]
            offsets[row + 1] += 1
    return offsets[:-1], others, apart, begin


class Way(NamedTuple):
    """Where one thread is on its way along arcs."""

    at: np.ndarray  # (H,) int64 a row of each head
    low: np.ndarray  # (n + 1,) intervals of an arc in which it crosses walls
    high: np.ndarray
    gains: np.ndarray  # (2, 4 n) of a row's neighbours, each once in every tile
    ahead: np.ndarray  # (4 n,) int64 which of them gain


def make_way(n, heads):
    """Room for heads of n rows together."""
    return Way(
        np.empty(heads, np.int64),
        np.empty(n + 1),
        np.empty(n + 1),
        np.empty((2, 4 * n)),
        np.empty(4 * n, np.int64),
    )


@fragment()
def crossings(arcs, owners, sizes, errors, near, start, stop_at, way, stop):
    """Points where arcs ``start .. stop_at`` cross walls of later heads, and a status.

    Along an arc from u to v a head's scores are affine in the share of v, its winners form an upper
    envelope, and each change of winner is one crossing; crossings of one arc are proved distinct.
    A row that beats those it shares an arc with wins: on the way from its cell to a point outside,
    in the open domain, the first wall belongs to one of them, which is ahead from there on. So the
    winner at u is climbed to, and the next one is found, among neighbours alone.
    ``arcs`` (A, ARC) with the heads ``owners``, ascending; ``sizes`` and ``errors`` (H,) bounds on
    the entries of a head's rows and on their errors; ``near`` as from ``links``; ``way`` scratch.
    Cost: the neighbours of the winners, and of the way to the first.
    """
    heads, total = len(sizes), 0
    at, low, high, _, _ = way
    for g in range(heads):
        at[g] = near[3][g]
    for arc in range(start, stop_at):
        if stop[0]:
            return total, STOPPED
        u = arcs[arc, 0], arcs[arc, 1], arcs[arc, 2]
        v = arcs[arc, 3], arcs[arc, 4], arcs[arc, 5]
        # Where the arc before ended, its heads' winners are proved.
        follows = arc > start
        for c in range(3):
            follows = follows and arcs[arc - 1, 3 + c] == u[c]
        follows = follows and arcs[arc - 1, 7] == arcs[arc, 6]
        found = np.int64(0)
        for g in range(owners[arc] + 1, heads):
            if at[g] < 0:
                continue
            slack_u = score_bound(sizes[g], errors[g], arcs[arc, 6], 3)
            slack_v = score_bound(sizes[g], errors[g], arcs[arc, 7], 3)
            winner = at[g] if follows else climb(near, at[g], u, slack_u)
            if winner < 0:
                return total, UNPROVED
            while True:
                step, lower, upper = overtaking(near, winner, u, v, slack_u, slack_v, way)
                if step < 0:
                    return total, UNPROVED
                if step == winner:
                    break
                if not insert(low, high, found, lower, upper):
                    return total, UNPROVED
                found += 1
                winner = step
            at[g] = winner
        total += found
    return total, PROVED


@fragment()
def insert(low, high, count, lower, upper):
    """Put an interval among ascending disjoint ones; False where it meets another."""
    at = count
    while at > 0 and low[at - 1] > lower:
        low[at], high[at] = low[at - 1], high[at - 1]
        at -= 1
    low[at], high[at] = lower, upper
    return (at == 0 or high[at - 1] < lower) and (at == count or upper < low[at + 1])


@fragment()
def _gain(apart, at, ray):
    """What a neighbour has more at a ray; a tuple, so that the loop is none when compiled."""
    gain = apart[at, 0] * ray[0]
    for c in range(1, len(ray)):
        gain += apart[at, c] * ray[c]
    return gain


@fragment()
def climb(near, row, ray, slack):
    """The row that wins at a ray, found from another one; -1 where a neighbour may reach it."""
    offsets, others, apart, _ = near
    # Computed gains are not sums of differences, so the way is bounded for safety.
    for _ in range(len(offsets)):
        best, top, close = np.int64(-1), slack, False
        for at in range(offsets[row], offsets[row + 1]):
            gain = _gain(apart, at, ray)
            close = close or gain >= -slack
            if gain > top:
                best, top = others[at], gain
        if best < 0:
            return np.int64(-1) if close else row
        row = best
    return np.int64(-1)


@fragment()
def overtaking(near, winner, u, v, slack_u, slack_v, way):
    """The row that overtakes the winner first on the way from u to v, and where.

    Row k overtakes at the share ``a / (a + b)`` with ``a = u[winner] - u[k]`` and
    ``b = v[k] - v[winner]``, which grows with a and falls with b: intervals follow from the errors
    of a and b. Returns the winner itself where it wins at v, and -1 where that, or the first one,
    is not proved. ``way`` has scratch.
    """
    offsets, others, apart, _ = near
    _, _, _, gains, ahead = way
    best, where, count = -1, 2.0, 0
    for at in range(offsets[winner], offsets[winner + 1]):
        b = _gain(apart, at, v)
        if b < -slack_v:
            continue
        a = -_gain(apart, at, u)
        if b > 0 and a < where * (a + b):
            best, where = count, a / (a + b)
        gains[0, count], gains[1, count], ahead[count] = a, b, others[at]
        count += 1
    if best < 0:
        return (winner if count == 0 else np.int64(-1)), 0.0, 0.0
    a, b = gains[0, best] + slack_u, gains[1, best] - slack_v
    if not (b > 0 and a - 2.0 * slack_u > 0):
        return np.int64(-1), 0.0, 0.0
    upper = a / (a + b) * (1.0 + 8.0 * U)
    lower = (a - 2.0 * slack_u) / (a + b + 2.0 * (slack_v - slack_u)) * (1.0 - 8.0 * U)
    for m in range(count):
        a, b = gains[0, m] - slack_u, gains[1, m] + slack_v
        # Pieces of one wall are listed each.
        if not b > 0 or ahead[m] == ahead[best]:
            continue
        if not (a > 0 and a > upper * (a + b) * (1.0 + 8.0 * U)):
            return np.int64(-1), 0.0, 0.0
    return ahead[best], lower, upper
