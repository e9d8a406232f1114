"""The questions of ``cone`` at twice the precision of doubles, for what doubles leave open.

A number is an unevaluated sum of two doubles, ``high + low`` with ``low`` below half a unit in the
last place of ``high``. The bounds are those of Joldes, Muller and Popescu (2017, algorithms 6 and
11): with u = 2**-53 a sum errs by 3 u^2 and a product by 7 u^2 of its size, so a scalar product of
D terms by (D + 3) 8 u^2 of the sum of the sizes. Rows that are nearly opposite, as those of a head
and its rounded copy are, differ by some u, of which this leaves half the digits.
"""

from __future__ import annotations

import math

import numpy as np

from tropattn._kernels.compiling import fragment
from tropattn._kernels.cone import AMBIGUOUS, FEASIBLE, INFEASIBLE
from tropattn._kernels.structures import structure

_U = 2.0**-53
_SQUARE = 8.0 * _U * _U

EXACT = _SQUARE
"""Error bound of a row that is known without error, and of which every product is."""

_TINY = 1e-280


@structure
class FineSimplex:
    """The state of a program over rows of R^D, as ``cone.Simplex``; proofs work on it too."""

    basis: np.ndarray  # (D + 1,) int64
    weights: np.ndarray  # (2, D + 1)
    inverse: np.ndarray  # (2, D + 1, D + 1)
    column: np.ndarray  # (2, D + 1)
    matrix: np.ndarray  # (2, D + 1, D + 1)
    sum: np.ndarray  # (16,) of doubles, without rounding
    pivots: int


def make_simplex(dim):
    """The simplex method for programs over rows of R^D."""
    return FineSimplex(
        basis=np.zeros(dim + 1, np.int64),
        weights=np.zeros((2, dim + 1)),
        inverse=np.zeros((2, dim + 1, dim + 1)),
        column=np.zeros((2, dim + 1)),
        matrix=np.zeros((2, dim + 1, dim + 1)),
        sum=np.zeros(16),
        pivots=0,
    )


@fragment(error_model="numpy")
def two_sum(a, b):
    """``a + b`` and what its rounding lost."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@fragment(error_model="numpy")
def two_product(a, b):
    """``a * b`` and what its rounding lost (Dekker 1971)."""
    p = a * b
    c = 134217729.0 * a
    a_high = c - (c - a)
    a_low = a - a_high
    c = 134217729.0 * b
    b_high = c - (c - b)
    b_low = b - b_high
    return p, a_low * b_low - (((p - a_high * b_high) - a_low * b_high) - a_high * b_low)


@fragment(error_model="numpy")
def add(a, a_low, b, b_low):
    """The sum of two numbers."""
    s, e = two_sum(a, b)
    t, f = two_sum(a_low, b_low)
    e += t
    h = s + e
    e = e - (h - s)
    e += f
    s = h + e
    return s, e - (s - h)


@fragment(error_model="numpy")
def multiply(a, a_low, b, b_low):
    """The product of two numbers."""
    p, e = two_product(a, b)
    e += a * b_low + a_low * b
    s = p + e
    return s, e - (s - p)


@fragment(error_model="numpy")
def divide(a, a_low, b, b_low):
    """The quotient of two numbers, good to about as many digits; nothing is proved by it."""
    q = a / b
    p, p_low = multiply(q, 0.0, b, b_low)
    r, _ = add(a, a_low, -p, -p_low)
    return two_sum(q, r / b)


@fragment(error_model="numpy")
def dot(rows, at, z, n_dim):
    """Scalar product of column ``at`` of ``rows`` (2, D, R) and ``z`` (2, D)."""
    s, s_low = 0.0, 0.0
    for k in range(n_dim):
        p, p_low = multiply(rows[0, k, at], rows[1, k, at], z[0, k], z[1, k])
        s, s_low = add(s, s_low, p, p_low)
    return s, s_low


@fragment(error_model="numpy")
def scaled_row(rows, at, n_dim, error):
    """Bring column ``at`` to size 1 by a power of two; its error bound, huge for a zero."""
    size = 0.0
    for k in range(n_dim):
        size = max(size, abs(rows[0, k, at]))
    if not size > 1e-200:
        for k in range(n_dim):
            rows[0, k, at] = 0.0
            rows[1, k, at] = 0.0
        return 1.0e300
    factor = math.ldexp(1.0, -math.frexp(size)[1])
    # The bound is ``EXACT`` where ``error`` is 0 and nothing is small enough to be lost.
    lost = _TINY if error == 0.0 else 1.01 * error * factor + EXACT
    for k in range(n_dim):
        for part in range(2):
            v = rows[part, k, at]
            rows[part, k, at] = v * factor
            if v != 0.0 and abs(v * factor) < 1e-120:
                lost += EXACT
    return EXACT + lost


@fragment(error_model="numpy")
def row_into(rows, at, terms, errors, winner, loser, n_dim):
    """Write ``loser`` minus ``winner`` of ``terms`` (2, n, D) into a column; return its bound."""
    for k in range(n_dim):
        rows[0, k, at], rows[1, k, at] = add(
            terms[0, loser, k], terms[1, loser, k], -terms[0, winner, k], -terms[1, winner, k]
        )
    return scaled_row(rows, at, n_dim, errors[winner] + errors[loser])


@fragment(error_model="numpy")
def wall_into(rows, at, walls, errors, wall, n_dim):
    """Write a row of ``walls`` (2, g, D) into a column; return its bound."""
    for k in range(n_dim):
        rows[0, k, at] = walls[0, wall, k]
        rows[1, k, at] = walls[1, wall, k]
    return scaled_row(rows, at, n_dim, errors[wall])


@fragment(error_model="numpy")
def _slanted(rows, n_rows, n_dim):
    """The row farthest from all coordinate planes: zeros would make pivots on noise."""
    first, best = 0, -1.0
    for i in range(n_rows):
        least = 2.0
        for k in range(n_dim):
            least = min(least, abs(rows[0, k, i]))
        if least > best:
            first, best = i, least
    return first


@fragment(error_model="numpy")
def _start(rows, first, n_dim, basis, inverse, weights):
    """Begin phase one as ``cone.start`` does."""
    size = n_dim + 1
    inverse[:, :size, :size] = 0.0
    for k in range(n_dim):
        sign = -1.0 if rows[0, k, first] > 0.0 else 1.0
        inverse[0, k, k] = sign
        for part in range(2):
            inverse[part, k, n_dim] = -sign * rows[part, k, first]
            weights[part, k] = -sign * rows[part, k, first]
        basis[k] = -1
    inverse[0, n_dim, n_dim] = 1.0
    basis[n_dim] = first
    weights[0, n_dim] = 1.0
    weights[1, n_dim] = 0.0


@fragment(error_model="numpy")
def _price(rows, rho, n_rows, n_dim, z, norm):
    """Row with the largest ``row . z``, that value, and whether all are proved negative."""
    entering, worst, below = 0, -1.0e300, True
    rough = -(n_dim + 8) * 2.0 * _U * norm
    for i in range(n_rows):
        v = 0.0
        for k in range(n_dim):
            v += rows[0, k, i] * z[0, k]
        if v < rough and rho[i] < _U:
            continue
        v, v_low = dot(rows, i, z, n_dim)
        v += v_low
        below = below and v < -((n_dim + 4) * _SQUARE + 1.01 * rho[i]) * norm - _TINY
        if v > worst:
            worst, entering = v, i
    return entering, worst, below


@fragment(error_model="numpy")
def _leaving(basis, weights, column, size):
    """Row of the basis that leaves: smallest ratio, artificials first, then the largest pivot."""
    best, best_low = 1.0e200, 0.0
    leaving = -1
    for i in range(size):
        u = column[0, i]
        if u > 1e-20:
            ratio, ratio_low = divide(weights[0, i], weights[1, i], u, column[1, i])
            gap, _ = add(ratio, ratio_low, -best, -best_low)
            # Relative: near-parallel rows in the basis make ratios of 1e-16 that still differ.
            tie = 1e-28 * best + 1e-40
            if gap < -tie:
                best, best_low = ratio, ratio_low
                leaving = i
            elif gap <= tie:
                artificial = basis[i] < 0
                held = basis[leaving] < 0
                if (artificial and not held) or (artificial == held and u > column[0, leaving]):
                    leaving = i
    return leaving


@fragment(error_model="numpy")
def _exchange(inverse, weights, column, leaving, size):
    """Pivot on ``column[leaving]``."""
    u, u_low = column[0, leaving], column[1, leaving]
    for j in range(size):
        inverse[0, leaving, j], inverse[1, leaving, j] = divide(
            inverse[0, leaving, j], inverse[1, leaving, j], u, u_low
        )
    t, t_low = divide(weights[0, leaving], weights[1, leaving], u, u_low)
    for i in range(size):
        u, u_low = column[0, i], column[1, i]
        if i != leaving and u != 0.0:
            for j in range(size):
                p, p_low = multiply(inverse[0, leaving, j], inverse[1, leaving, j], u, u_low)
                inverse[0, i, j], inverse[1, i, j] = add(
                    inverse[0, i, j], inverse[1, i, j], -p, -p_low
                )
            p, p_low = multiply(t, t_low, u, u_low)
            w, w_low = add(weights[0, i], weights[1, i], -p, -p_low)
            weights[0, i], weights[1, i] = (w, w_low) if w > 0.0 else (0.0, 0.0)
    weights[0, leaving], weights[1, leaving] = t, t_low


@fragment(error_model="numpy")
def decide(rows, rho, n_rows, n_dim, z, simplex):
    """Verdict on rows 0..n_rows (2, D, R), as ``cone.decide``; proved if FEASIBLE."""
    basis, weights = simplex.basis, simplex.weights
    inverse, column = simplex.inverse, simplex.column
    size = n_dim + 1
    _start(rows, _slanted(rows, n_rows, n_dim), n_dim, basis, inverse, weights)
    for _ in range(30 * size + 60):
        infeasibility = 0.0
        z[:, :n_dim] = 0.0
        for i in range(size):
            if basis[i] < 0:
                infeasibility += weights[0, i]
                for k in range(n_dim):
                    z[0, k], z[1, k] = add(z[0, k], z[1, k], inverse[0, i, k], inverse[1, i, k])
        norm = 0.0
        for k in range(n_dim):
            norm += abs(z[0, k])
        if infeasibility < 1e-30 * max(1.0, norm) or norm < 1e-30:
            return INFEASIBLE
        entering, worst, below = _price(rows, rho, n_rows, n_dim, z, norm)
        if below:
            return FEASIBLE
        if worst + infeasibility <= 1e-30 * norm:
            return AMBIGUOUS
        simplex.pivots += 1
        for i in range(size):
            u, u_low = inverse[0, i, n_dim], inverse[1, i, n_dim]
            for k in range(n_dim):
                p, p_low = multiply(
                    inverse[0, i, k], inverse[1, i, k], rows[0, k, entering], rows[1, k, entering]
                )
                u, u_low = add(u, u_low, p, p_low)
            column[0, i], column[1, i] = u, u_low
        leaving = _leaving(basis, weights, column, size)
        if leaving < 0:
            return AMBIGUOUS
        _exchange(inverse, weights, column, leaving, size)
        basis[leaving] = entering
    return AMBIGUOUS


@fragment(error_model="numpy")
def _invert(matrix, inverse, size):
    """Gauss-Jordan with partial pivoting; ``matrix`` is destroyed. False where it is singular."""
    inverse[:, :size, :size] = 0.0
    for i in range(size):
        inverse[0, i, i] = 1.0
    for step in range(size):
        pivot = step
        for i in range(step + 1, size):
            if abs(matrix[0, i, step]) > abs(matrix[0, pivot, step]):
                pivot = i
        u, u_low = matrix[0, pivot, step], matrix[1, pivot, step]
        if not abs(u) > 1e-25:
            return False
        for table in (matrix, inverse):
            for j in range(size):
                for part in range(2):
                    swap = table[part, pivot, j]
                    table[part, pivot, j] = table[part, step, j]
                    table[part, step, j] = swap
                table[0, step, j], table[1, step, j] = divide(
                    table[0, step, j], table[1, step, j], u, u_low
                )
        for i in range(size):
            v, v_low = matrix[0, i, step], matrix[1, i, step]
            if i != step and v != 0.0:
                for table in (matrix, inverse):
                    for j in range(size):
                        p, p_low = multiply(table[0, step, j], table[1, step, j], v, v_low)
                        table[0, i, j], table[1, i, j] = add(
                            table[0, i, j], table[1, i, j], -p, -p_low
                        )
    return True


@fragment(error_model="numpy")
def proves_infeasible(rows, rho, columns, count, support, simplex):
    """Whether rows ``support[:count + 1]`` are proved to hold 0 in the interior of their hull.

    As ``cone.proves_infeasible``, with one bound per entry: ``y_i`` differs from the computed one
    by at most the size of row i of ``X M - I`` times the largest entry of ``y``.
    """
    size = count + 1
    matrix, inverse = simplex.matrix, simplex.inverse
    _fill(rows, columns, count, support, matrix)
    if not _invert(matrix, inverse, size):
        return False
    _fill(rows, columns, count, support, matrix)
    spread = 0.0
    for j in range(size):
        spread += rho[support[j]]
    kappa, high = 0.0, 0.0
    for i in range(size):
        kappa = max(kappa, _residual(matrix, inverse, i, size, spread))
        high = max(high, abs(inverse[0, i, count]))
    if not kappa < 0.5:
        return False
    for i in range(size):
        bound = 1.001 * _residual(matrix, inverse, i, size, spread) / (1.0 - kappa) * high
        if not inverse[0, i, count] > bound + _TINY:
            return False
    return True


@fragment(error_model="numpy")
def _fill(rows, columns, count, support, matrix):
    for j in range(count + 1):
        for part in range(2):
            for k in range(count):
                matrix[part, k, j] = rows[part, columns[k], support[j]]
            matrix[part, count, j] = 1.0 - part


@fragment(error_model="numpy")
def _residual(matrix, inverse, i, size, spread):
    """Bound on the sum of the sizes of row i of ``inverse . matrix - I``."""
    total, length = 0.0, 0.0
    for k in range(size):
        length += abs(inverse[0, i, k])
    for j in range(size):
        s, s_low = (-1.0, 0.0) if i == j else (0.0, 0.0)
        for k in range(size):
            p, p_low = multiply(
                inverse[0, i, k], inverse[1, i, k], matrix[0, k, j], matrix[1, k, j]
            )
            s, s_low = add(s, s_low, p, p_low)
        total += abs(s)
    return total + 1.01 * (length + 1.0) * (size * (size + 4) * _SQUARE + spread)


@fragment(error_model="numpy")
def opposite(rows, rho, a, b, n_dim, work):
    """Whether two columns without errors are negative multiples of each other.

    ``work`` (16,) holds sums of doubles without rounding (Shewchuk 1997).
    """
    if rho[a] != EXACT or rho[b] != EXACT:
        return False
    m = 0
    for k in range(1, n_dim):
        if abs(rows[0, k, a]) > abs(rows[0, m, a]):
            m = k
    if not rows[0, m, a] * rows[0, m, b] < 0.0:
        return False
    for k in range(n_dim):
        if k == m:
            continue
        used = 0
        for i in range(2):
            for j in range(2):
                for sign in (1.0, -1.0):
                    if sign > 0.0:
                        p, e = two_product(rows[i, k, a], rows[j, m, b])
                    else:
                        p, e = two_product(-rows[i, m, a], rows[j, k, b])
                    for part in (e, p):
                        q = part
                        for n in range(used):
                            q, work[n] = two_sum(q, work[n])
                        work[used] = q
                        used += 1
        for n in range(used):
            if work[n] != 0.0:
                return False
    return True
