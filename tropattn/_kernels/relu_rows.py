"""Rows, sides and corners of a ReLU network on a plane, with bounds on what rounding does to them.

A row stands for the affine function ``<row, (p, 1)>`` of the plane's parameters p, a side for the
line where one vanishes, a corner for the point where two sides meet, in homogeneous coordinates.
Whatever is computed carries a bound on its error, and a *grid*: a power of two that all entries are
multiples of. Where the numbers on a grid are small enough their arithmetic is exact and the error
is 0, so networks of small integers have exact ties.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.compiling import fragment, njit

OFF, ON, OPEN = 0, 1, 2
UNKNOWN = 2

_UNIT = 1.0000001 * 2.0**-53
_TINY = 2.0**-1018
_WHOLE = 2.0**52
HUGE = 1e140

# Columns of a corner and of the side that follows it (inside is where the side's row is positive):
# the row and its error, the grid that makes it exact (or 0), then the same for the corner (X, Y, W)
# with W > 0, which stands for the point (X / W, Y / W).
SIDE, SIDE_ERROR, SIDE_GRID, CORNER, CORNER_ERROR, CORNER_GRID, WIDTH = 0, 3, 6, 7, 10, 13, 14

# Typed: each plain number that is handed on would compile the kernel that takes it once more.
ZERO, ONE, TWO = np.int64(0), np.int64(1), np.int64(2)

# These kernels make no arrays of their own, so references need not be counted: on small polygons
# the counting, which all threads share, would cost as much as the work.
compiled = njit(nogil=True, cache=True, error_model="numpy", _nrt=False)
inside = fragment(error_model="numpy", _nrt=False)


class Levels(NamedTuple):
    """The network: rows of the first level, and how each level follows from the one before."""

    first: np.ndarray  # (3, R) rows of level 0 as columns
    first_error: np.ndarray  # (3,)
    weights: np.ndarray  # (max(L - 1, 1), R, R): [l, j, i] takes row j of level l to row i of l + 1
    shifts: np.ndarray  # (L, R) constants of the rows of a level; 0 for level 0
    relu: np.ndarray  # (L,) int64 units of a level
    rows: np.ndarray  # (L,) int64 units and carried rows
    reach: np.ndarray  # (L,) largest sum_j |weights[l - 1, j, i]|
    blur: np.ndarray  # (L,) largest sum_j of the weights' errors
    size: np.ndarray  # (L,) largest |shift|
    size_error: np.ndarray  # (L,) error of a shift
    grid: np.ndarray  # (L,) power of two that all rows are multiples of, or 0
    lines: np.ndarray  # (L, R) int64 smallest unit with the same wall in every cell


class Path(NamedTuple):
    """What belongs to the cells that are passed: per level its slot, rows, errors and grid."""

    slot: np.ndarray  # (L,) int64
    rows: np.ndarray  # (L, 3, R)
    error: np.ndarray  # (L, 3)
    grid: np.ndarray  # (L,)


@inside
def _zero_product(x, x_error, y, y_error):
    """Whether a product vanishes because a factor is exactly zero."""
    return (x == 0.0 and x_error == 0.0) or (y == 0.0 and y_error == 0.0)


@inside
def _minor(one, i, two, j, k, n, grid):
    """Entries (k, n) of two sides as a 2 x 2 determinant, and its error; 0 where it is exact."""
    a, b, c, d = one[i, k], one[i, n], two[j, k], two[j, n]
    p, q = one[i, SIDE_ERROR + k], one[i, SIDE_ERROR + n]
    r, s = two[j, SIDE_ERROR + k], two[j, SIDE_ERROR + n]
    if _zero_product(a, p, d, s) and _zero_product(b, q, c, r):
        return 0.0, 0.0
    first, second = a * d, b * c
    size = abs(first) + abs(second)
    if size < _WHOLE * grid:
        return first - second, 0.0
    error = abs(a) * s + (abs(d) + s) * p + abs(b) * r + (abs(c) + r) * q
    return first - second, 1.0000001 * error + 3.0 * _UNIT * size + _TINY


@inside
def meet(one, i, two, j, out, n):
    """Write the corner of two sides, the first followed by the second counterclockwise."""
    grid = one[i, SIDE_GRID] * two[j, SIDE_GRID]
    x, ex = _minor(one, i, two, j, ONE, TWO, grid)
    y, ey = _minor(one, i, two, j, TWO, ZERO, grid)
    w, ew = _minor(one, i, two, j, ZERO, ONE, grid)
    out[n, CORNER], out[n, CORNER + 1], out[n, CORNER + 2] = x, y, w
    out[n, CORNER_ERROR], out[n, CORNER_ERROR + 1], out[n, CORNER_ERROR + 2] = ex, ey, ew
    out[n, CORNER_GRID] = grid if ex == 0.0 and ey == 0.0 and ew == 0.0 else 0.0


@inside
def sign_at(path, level, unit, sides, k):
    """The sign of a unit's row at a corner as far as arithmetic proves it, or UNKNOWN."""
    a, b, c = path.rows[level, 0, unit], path.rows[level, 1, unit], path.rows[level, 2, unit]
    p, q, r = path.error[level, 0], path.error[level, 1], path.error[level, 2]
    x, y, w = sides[k, CORNER], sides[k, CORNER + 1], sides[k, CORNER + 2]
    ex, ey, ew = sides[k, CORNER_ERROR], sides[k, CORNER_ERROR + 1], sides[k, CORNER_ERROR + 2]
    value = a * x + b * y + c * w
    size = abs(a * x) + abs(b * y) + abs(c * w)
    if size < _WHOLE * (path.grid[level] * sides[k, CORNER_GRID]):
        return 1 if value > 0.0 else (-1 if value < 0.0 else 0)
    if _zero_product(a, p, x, ex) and _zero_product(b, q, y, ey) and _zero_product(c, r, w, ew):
        return 0
    bound = abs(a) * ex + abs(b) * ey + abs(c) * ew
    bound += p * (abs(x) + ex) + q * (abs(y) + ey) + r * (abs(w) + ew)
    bound = 1.0000001 * bound + 4.0 * _UNIT * size + _TINY
    if value > bound:
        return 1
    if value < -bound:
        return -1
    return UNKNOWN


@inside
def add_rows(levels, level, path, chosen, count, out, at):
    """Add the chosen rows of a level, weighted, to the rows ``out[at]`` of the next level."""
    # The weights come from the second cache, so one reading must serve all that it can.
    weights, m, rows = levels.weights, path.rows, levels.rows[level + 1]
    n = 0
    while n + 8 <= count:
        p, q, r, s = chosen[n], chosen[n + 1], chosen[n + 2], chosen[n + 3]
        t, u, v, w = chosen[n + 4], chosen[n + 5], chosen[n + 6], chosen[n + 7]
        xp, xq, xr, xs = m[level, 0, p], m[level, 0, q], m[level, 0, r], m[level, 0, s]
        xt, xu, xv, xw = m[level, 0, t], m[level, 0, u], m[level, 0, v], m[level, 0, w]
        yp, yq, yr, ys = m[level, 1, p], m[level, 1, q], m[level, 1, r], m[level, 1, s]
        yt, yu, yv, yw = m[level, 1, t], m[level, 1, u], m[level, 1, v], m[level, 1, w]
        cp, cq, cr, cs = m[level, 2, p], m[level, 2, q], m[level, 2, r], m[level, 2, s]
        ct, cu, cv, cw = m[level, 2, t], m[level, 2, u], m[level, 2, v], m[level, 2, w]
        for i in range(rows):
            a, b = weights[level, p, i], weights[level, q, i]
            d, e = weights[level, r, i], weights[level, s, i]
            f, g = weights[level, t, i], weights[level, u, i]
            h, k = weights[level, v, i], weights[level, w, i]
            near = a * xp + b * xq + d * xr + e * xs
            out[at, 0, i] += near + (f * xt + g * xu + h * xv + k * xw)
            near = a * yp + b * yq + d * yr + e * ys
            out[at, 1, i] += near + (f * yt + g * yu + h * yv + k * yw)
            near = a * cp + b * cq + d * cr + e * cs
            out[at, 2, i] += near + (f * ct + g * cu + h * cv + k * cw)
        n += 8
    while n < count:
        p = chosen[n]
        xp, yp, cp = m[level, 0, p], m[level, 1, p], m[level, 2, p]
        for i in range(rows):
            out[at, 0, i] += weights[level, p, i] * xp
            out[at, 1, i] += weights[level, p, i] * yp
            out[at, 2, i] += weights[level, p, i] * cp
        n += 1


@inside
def begin_next(levels, level, path, scratch, out, at):
    """The next level's rows before any unit is found positive: constants and carried rows."""
    for i in range(levels.rows[level + 1]):
        out[at, 0, i] = 0.0
        out[at, 1, i] = 0.0
        out[at, 2, i] = levels.shifts[level + 1, i]
    count = ZERO
    for j in range(levels.relu[level], levels.rows[level]):
        scratch.fresh[count] = j
        count += 1
    add_rows(levels, level, path, scratch.fresh, count, out, at)


@inside
def _largest(levels, level, path, status, at, k):
    """The largest entry of column k among the rows that pass on to the next level."""
    out = 0.0
    for j in range(levels.relu[level]):
        size = abs(path.rows[level, k, j]) if status[at, j] == ON else 0.0
        out = size if size > out else out
    for j in range(levels.relu[level], levels.rows[level]):
        out = max(out, abs(path.rows[level, k, j]))
    return out


@inside
def enter(levels, level, stack, at, path):
    """Make the rows kept with a finished cell those of ``level + 1``, and bound their error.

    The rows are sums of at most ``rows + 1`` products in some order (Higham, Lemma 3.1).
    """
    above, units = level + 1, levels.relu[level]
    for k in range(3):
        for i in range(levels.rows[above]):
            path.rows[above, k, i] = stack.next[at, k, i]
    count = levels.rows[level] - units
    for j in range(units):
        count += np.int64(stack.status[at, j] == ON)
    x = _largest(levels, level, path, stack.status, at, ZERO)
    y = _largest(levels, level, path, stack.status, at, ONE)
    c = _largest(levels, level, path, stack.status, at, TWO)
    reach, blur = levels.reach[above], levels.blur[above]
    if count == 0:
        reach = blur = 0.0
    whole = blur == 0.0 and levels.size_error[above] == 0.0 and path.grid[level] > 0.0
    exact = whole and reach * max(x, y, c) + levels.size[above] < _WHOLE * levels.grid[above]
    path.grid[above] = levels.grid[above] if exact else 0.0
    for k in range(3):
        large = x if k == 0 else (y if k == 1 else c)
        error, shift = path.error[level, k], levels.size[above] if k == 2 else 0.0
        lost = levels.size_error[above] if k == 2 else 0.0
        if exact:
            path.error[above, k] = 0.0
        elif count == 0 or (error == 0.0 and large == 0.0):
            # The column is its shift, or nothing: no operation rounds.
            path.error[above, k] = lost
        else:
            rounding = (count + 4.0) * _UNIT * (1.0 + 1e-9) * (reach * large + shift)
            bound = reach * error + blur * (large + error) + rounding + lost
            bound = 1.0000001 * bound + count * _TINY
            path.error[above, k] = bound if bound < HUGE else np.inf


@inside
def normalise(stack, at, path, points):
    """Corners as points, and the two numbers that bound what a row's value there can be wrong by.

    A row m is wrong by at most ``|m| * first + second``, |m| the sum of its entries' sizes.
    """
    level, start, count, sides = stack.level[at], stack.start[at], stack.corners[at], stack.sides
    p, q, r = path.error[level, 0], path.error[level, 1], path.error[level, 2]
    first, second = 0.0, 0.0
    for k in range(count):
        row = start + k
        w, ew = sides[row, CORNER + 2], sides[row, CORNER_ERROR + 2]
        x = y = off_x = off_y = 0.0
        near = np.inf
        if w > 2.0 * ew:
            x, y = sides[row, CORNER] / w, sides[row, CORNER + 1] / w
            off_x = (sides[row, CORNER_ERROR] + abs(x) * ew) / (w - ew)
            off_y = (sides[row, CORNER_ERROR + 1] + abs(y) * ew) / (w - ew)
            near = p * (abs(x) + off_x) + q * (abs(y) + off_y) + r
        reach = max(abs(x), abs(y), 1.0)
        # Written so that what is not a number fails.
        if not (reach < HUGE and near < HUGE):
            points[0, k] = points[1, k] = 0.0
            first = np.inf
            continue
        points[0, k], points[1, k] = x, y
        first = max(first, 1.0000001 * max(off_x, off_y) + 8.0 * _UNIT * reach)
        second = max(second, 1.0000001 * near)
    return first, second + _TINY


@inside
def close_all(path, level, units, points, count, first, second, low, high, status, at):
    """Compare all units with all corners: ON, OFF, or OPEN where neither is proved."""
    m = path.rows
    x, y = points[0, 0], points[1, 0]
    for i in range(units):
        value = m[level, 0, i] * x + m[level, 1, i] * y + m[level, 2, i]
        low[i] = value
        high[i] = value
    for k in range(1, count):
        x, y = points[0, k], points[1, k]
        for i in range(units):
            value = m[level, 0, i] * x + m[level, 1, i] * y + m[level, 2, i]
            low[i] = value if value < low[i] else low[i]
            high[i] = value if value > high[i] else high[i]
    for i in range(units):
        size = abs(m[level, 0, i]) + abs(m[level, 1, i]) + abs(m[level, 2, i])
        bound = size * first + second
        # Beyond the range of doubles nothing is proved here; a value that is not a number neither.
        fine = size < HUGE
        on, off = low[i] > bound, high[i] < -bound
        status[at, i] = ON if fine and on else (OFF if fine and off else OPEN)
