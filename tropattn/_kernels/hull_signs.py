"""Signs that prove a proposed hull: orientation, convexity, and where the other points lie.

Facets are rows of ``k`` ascending point numbers; the number ``n`` (one beyond the last point) is
the point at infinity ``(0, ..., 0, -1)``, straight down, so it comes last in its rows. All
determinants are maximal minors of matrices of *differences*, taken by a subset recursion that
carries a bound on its own error; a sign is given only beyond that bound. Where all numbers are
integers, a value that cannot be as far as 1 from 0 is 0.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import fragment, njit

__all__ = [
    "IN",
    "LOST",
    "ON",
    "OPEN",
    "OUT",
    "UNSURE",
    "convexity",
    "expansion",
    "hit",
    "locate",
    "normals_of",
    "seeing",
]

OPEN = 2
"""A sign that doubles do not prove."""

IN, ON, OUT, UNSURE, LOST = 1, 2, 3, 4, 5
"""A located point: strictly inside the hull, on the facet, outside, not proved, walk too long."""

_U = 2.0**-53
_TINY = 2.0**-1022
_SLACK = 1.0 + 2.0**-30


@fragment()
def expansion(n):
    """The products of ``_minors`` in order: rows (target, source, row, column), and their signs.

    Sets of columns are bits; a minor of the first ``|S|`` rows in the columns ``S`` is expanded
    along its last row. There are ``n 2^(n - 1) - n`` products.
    """
    full = (1 << n) - 1
    # Unsigned numbers: an index that cannot be negative needs no test.
    steps = np.zeros((n << (n - 1), 4), np.uint16)
    signs = np.zeros(n << (n - 1))
    at = 0
    for subset in range(1, full):
        row = -1
        rest = subset
        while rest:
            row += 1
            rest &= rest - 1
        sign = -1.0 if row & 1 else 1.0
        for c in range(n):
            if subset >> c & 1:
                steps[at, 0] = subset
                steps[at, 1] = subset ^ (1 << c)
                steps[at, 2] = row
                steps[at, 3] = c
                signs[at] = sign
                sign = -sign
                at += 1
    return steps[:at].copy(), signs[:at].copy()


@fragment()
def _minors(matrix, error, steps, signs, value, bound, out, slack):
    """Signed maximal minors of ``matrix`` (n - 1, n), within ``slack`` of the true ones.

    ``out . x`` is the determinant with ``x`` as the last row. ``error`` bounds the entries' errors
    but for one rounding of each; ``value`` and ``bound`` are scratch (2^n). Cost: n 2^(n - 1)
    products.
    """
    full = len(value) - 1
    n = len(out)
    relative = 1.01 * (n + 5) * _U
    for subset in range(1, full):
        value[subset] = 0.0
        bound[subset] = _TINY
    value[0] = 1.0
    bound[0] = 0.0
    for t in range(len(signs)):
        target = steps[t, 0]
        source = steps[t, 1]
        entry = signs[t] * matrix[steps[t, 2], steps[t, 3]]
        size = abs(entry)
        part = value[source]
        less = bound[source]
        value[target] += entry * part
        bound[target] += size * less + (error[steps[t, 2], steps[t, 3]] + relative * size) * (
            abs(part) + less
        )
    sign = 1.0 if n & 1 else -1.0
    for c in range(n):
        out[c] = sign * value[full ^ (1 << c)]
        slack[c] = _SLACK * bound[full ^ (1 << c)]
        sign = -sign


@fragment()
def _sign(value, bound, whole):
    """Proved sign of a number known within ``bound``, else OPEN."""
    if value > bound:
        return 1
    if value < -bound:
        return -1
    if whole and abs(value) + bound < 1.0:
        return 0
    return OPEN


@fragment()
def _step(points, errors, j, base, out, lost):
    """Write the difference of points ``j`` and ``base``, and its error; point ``n`` is infinity."""
    k = points.shape[1]
    if j == len(points):
        for c in range(k):
            out[c] = 0.0
            lost[c] = 0.0
        out[k - 1] = -1.0
        return
    for c in range(k):
        out[c] = points[j, c] - points[base, c]
        lost[c] = _SLACK * (errors[j, c] + errors[base, c] + _U * abs(out[c]))


@fragment()
def _along(normal, slack, step, lost, k):
    """``normal . step`` and a bound on its error."""
    value = 0.0
    size = 0.0
    for c in range(k):
        value += normal[c] * step[c]
        size += slack[c] * (abs(step[c]) + lost[c]) + abs(normal[c]) * (
            lost[c] + (k + 3) * _U * abs(step[c])
        )
    return value, _SLACK * size + _TINY


@njit(nogil=True)
def normals_of(
    points, errors, facets, vertical, inner, inner_error, whole, normals, slacks, sides, walls
):
    """Normals of all facets, and the side on which the inner point lies: 1, -1, 0 or OPEN.

    ``normals . x`` is the determinant of the steps from the first vertex to the others and of
    ``x``. ``vertical``: the inner point is at infinity, straight below the point ``inner``, whose
    own side counts for facets that contain infinity and for those that are proved parallel to it.
    Both kinds are marked in ``walls``.
    """
    m, k = facets.shape
    n = len(points)
    matrix = np.zeros((k, k))
    error = np.zeros((k, k))
    steps, signs = expansion(k)
    value = np.zeros(1 << k)
    bound = np.zeros(1 << k)
    step = np.zeros(k)
    lost = np.zeros(k)
    for f in range(m):
        base = facets[f, 0]
        for i in range(1, k):
            _step(points, errors, facets[f, i], base, matrix[i - 1], error[i - 1])
        _minors(matrix, error, steps, signs, value, bound, normals[f], slacks[f])
        side = 0
        if vertical and facets[f, k - 1] < n:
            side = _sign(-normals[f, k - 1], slacks[f, k - 1], whole)
        walls[f] = vertical and side == 0
        if side == 0:
            for c in range(k):
                step[c] = inner[c] - points[base, c]
                lost[c] = _SLACK * (inner_error[c] + errors[base, c] + _U * abs(step[c]))
            height, open_by = _along(normals[f], slacks[f], step, lost, k)
            side = _sign(height, open_by, False)
        sides[f] = side


@njit(nogil=True)
def convexity(points, errors, facets, neighbours, back, sides, normals, slacks, whole, signs):
    """Signs (m, k) of every ridge: 1 strictly convex, 0 flat, -1 not convex, or OPEN."""
    m, k = facets.shape
    step = np.zeros(k)
    lost = np.zeros(k)
    for f in range(m):
        for i in range(k):
            g = neighbours[f, i]
            if g < f:
                continue
            _step(points, errors, facets[g, back[f, i]], facets[f, 0], step, lost)
            height, open_by = _along(normals[f], slacks[f], step, lost, k)
            sign = _sign(height, open_by, whole)
            if sign != OPEN:
                sign *= sides[f]
            signs[f, i] = sign
            signs[g, back[f, i]] = sign


@njit(nogil=True)
def seeing(
    points, errors, facets, sides, normals, slacks, offsets, margins, alive, j, seen, unsure
):
    """Numbers of the facets ``alive`` that see point ``j``, and of those where that is not proved.

    Returns how many of each were written. Products of normals with points, less ``offsets``, are
    heights within ``margins``, which settles most.
    """
    k = facets.shape[1]
    step = np.zeros(k)
    lost = np.zeros(k)
    found = 0
    doubtful = 0
    for f in range(len(facets)):
        if not alive[f]:
            continue
        value = 0.0
        for c in range(k):
            value += normals[f, c] * points[j, c]
        sign = _sign(value - offsets[f], margins[f], False)
        if sign == OPEN:
            _step(points, errors, j, facets[f, 0], step, lost)
            height, open_by = _along(normals[f], slacks[f], step, lost, k)
            sign = _sign(height, open_by, False)
        if sign == OPEN:
            unsure[doubtful] = f
            doubtful += 1
        elif sign * sides[f] < 0:
            seen[found] = f
            found += 1
    return found, doubtful


@fragment()
def _places(points, errors, facet, p, p_error, inner, inner_error, vertical, work):
    """Barycentric coordinates of ``p`` in a facet, up to one factor, into ``work``.

    ``vertical``: of the projections; else in the simplex of the facet and the inner point, whose
    own coordinate is the last.
    """
    matrix, error, steps, signs, value, bound, out, slack = work
    k = points.shape[1]
    height = k - 1 if vertical else k
    for i in range(k):
        for c in range(height):
            matrix[c, i] = points[facet[i], c] - p[c]
            error[c, i] = _SLACK * (errors[facet[i], c] + p_error[c])
    if not vertical:
        for c in range(height):
            matrix[c, k] = inner[c] - p[c]
            error[c, k] = _SLACK * (inner_error[c] + p_error[c])
    _minors(matrix, error, steps, signs, value, bound, out, slack)


@fragment()
def _scratch(size):
    steps, signs = expansion(size)
    return (
        np.zeros((size, size)),
        np.zeros((size, size)),
        steps,
        signs,
        np.zeros(1 << size),
        np.zeros(1 << size),
        np.zeros(size),
        np.zeros(size),
    )


@njit(nogil=True)
def hit(points, errors, facets, walls, sides, p, p_error, inner, inner_error, vertical, seen):
    """Mark the facets, ``walls`` aside, that the ray from the inner point through ``p`` may meet.

    ``seen`` (m,) is False where it is proved that the ray misses the closed facet.
    """
    k = facets.shape[1]
    work = _scratch(k if vertical else k + 1)
    out, slack = work[6], work[7]
    turn = 1.0 if k % 2 == 0 else -1.0
    for f in range(len(facets)):
        seen[f] = False
        if walls[f]:
            continue
        if vertical:
            # The box around the facet sees most of them off.
            off = False
            for c in range(k - 1):
                below = True
                above = True
                for i in range(k):
                    j = facets[f, i]
                    entry = points[j, c] - p[c]
                    margin = _SLACK * (errors[j, c] + p_error[c])
                    below = below and entry < -margin
                    above = above and entry > margin
                if below or above:
                    off = True
                    break
            if off:
                continue
        _places(points, errors, facets[f], p, p_error, inner, inner_error, vertical, work)
        seen[f] = True
        for i in range(k):
            if turn * sides[f] * out[i] < -slack[i]:
                seen[f] = False
                break


@fragment()
def _sides_of(points, errors, facet, inner, inner_error, vertical, work, planes, losses):
    """Functionals that vanish on the ridges of a facet and say, times its side, what is inside.

    ``vertical``: of projections; else the ridges are joined to the inner point. Row ``i`` belongs
    to the ridge opposite to vertex ``i`` and takes steps from vertex 0, but row 0 from vertex 1.
    """
    matrix, error, steps, signs, value, bound, out, slack = work
    k = points.shape[1]
    size = planes.shape[1]
    for i in range(k):
        base = facet[1 if i == 0 else 0]
        row = 0
        for place in range(1, k):
            if place == i or (i == 0 and place == 1):
                continue
            for c in range(size):
                matrix[row, c] = points[facet[place], c] - points[base, c]
                error[row, c] = _SLACK * (errors[facet[place], c] + errors[base, c])
            row += 1
        if not vertical:
            for c in range(size):
                matrix[row, c] = inner[c] - points[base, c]
                error[row, c] = _SLACK * (inner_error[c] + errors[base, c])
        _minors(matrix, error, steps, signs, value, bound, out, slack)
        # The step is the last row; the place of vertex i is k - i before.
        turn = -1.0 if (k - i) & 1 else 1.0
        for c in range(size):
            planes[i, c] = turn * out[c]
            losses[i, c] = slack[c]


@fragment()
def _twin(points, facet, j, width):
    """The place of a vertex that equals point ``j`` in the first columns, or -1."""
    for i in range(len(facet)):
        equal = True
        for c in range(width):
            if points[facet[i], c] != points[j, c]:
                equal = False
                break
        if equal:
            return i
    return -1


@fragment()
def _beside_vertex(points, vertex, j, place, signs):
    """ON, IN or OUT for a point on, below or above the vertex at that place; writes its signs."""
    signs[:] = 0
    signs[place] = 1
    last = points.shape[1] - 1
    rise = points[j, last] - points[vertex, last]
    return ON if rise == 0.0 else (IN if rise < 0.0 else OUT)


@fragment()
def _ahead(planes, losses, steps, lost, side, whole, tries, signs):
    """The place of a ridge that a point lies beyond, or -1; writes its coordinates' signs so far.

    ``tries`` turns the order in which ridges are looked at, so that no walk goes round for ever.
    """
    k, size = planes.shape
    for offset in range(k):
        i = (offset + tries) % k
        base = 1 if i == 0 else 0
        value, bound = _along(planes[i], losses[i], steps[base], lost[base], size)
        sign = _sign(value, bound, whole)
        if sign != OPEN:
            sign *= side
        signs[i] = sign
        if sign == -1:
            return i
    return -1


@fragment()
def _state(normal, slack, step, lost, side, whole, signs):
    """IN, ON, OUT or UNSURE for a point with these signs in a facet."""
    height, open_by = _along(normal, slack, step, lost, len(normal))
    sign = _sign(height, open_by, whole)
    if sign != OPEN:
        sign *= side
    if sign == -1:
        return OUT
    unsure = sign == OPEN
    for i in range(len(signs)):
        unsure = unsure or signs[i] == OPEN
    if unsure:
        return UNSURE
    return IN if sign == 1 else ON


@njit(nogil=True)
def locate(
    points,
    errors,
    facets,
    neighbours,
    sides,
    normals,
    slacks,
    inner,
    inner_error,
    vertical,
    whole,
    walls,
    start,
    queries,
    place,
    state,
    coordinates,
    flag,
):
    """Walk to the facet above each of ``queries``, in the order given, and prove where they lie.

    Writes ``place`` (the facet), ``state`` and the signs of the barycentric coordinates in the
    facet, 1, 0 or OPEN. ``walls`` are the facets that contain infinity or are parallel to it: a
    walk that comes to one has left the hull. Source: Devillers, Pion, Teillaud (2002), *Walking in
    a triangulation*.
    """
    k = points.shape[1]
    size = k - 1 if vertical else k
    work = _scratch(size)
    # The ridges of each facet that a walk has come to.
    every, every_lost = np.zeros((len(facets), k, size)), np.zeros((len(facets), k, size))
    known = np.zeros(len(facets), np.bool_)
    steps, lost = np.zeros((2, k)), np.zeros((2, k))
    noisy = errors.any()
    places_whole = whole and vertical  # The inner point is no integer point.
    at = start
    for q in range(len(queries)):
        if flag[0] != 0:
            return
        j = queries[q]
        state[q] = LOST
        for tries in range(len(facets) + 100):
            planes, losses = every[at], every_lost[at]
            if not known[at]:
                _sides_of(
                    points, errors, facets[at], inner, inner_error, vertical, work, planes, losses
                )
                known[at] = True
            _step(points, errors, j, facets[at, 0], steps[0], lost[0])
            _step(points, errors, j, facets[at, 1], steps[1], lost[1])
            signs = coordinates[q]
            toward = _ahead(planes, losses, steps, lost, sides[at], places_whole, tries, signs)
            if toward >= 0:
                ahead = neighbours[at, toward]
                if walls[ahead]:
                    place[q], state[q] = at, OUT
                    break
                at = ahead
                continue
            place[q] = at
            twin = -1 if noisy else _twin(points, facets[at], j, size)
            if twin >= 0:
                state[q] = _beside_vertex(points, facets[at, twin], j, twin, signs)
                break
            state[q] = _state(normals[at], slacks[at], steps[0], lost[0], sides[at], whole, signs)
            break
