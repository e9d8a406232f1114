"""Does an open cone ``{z : R z < 0}`` contain a point? One verdict, each way with a proof.

Gordan's alternative: either some ``z`` satisfies every row strictly, or some ``y >= 0``, ``y != 0``
has ``y R = 0``. The kernel runs phase one of the simplex method on the second system,

    minimise the artificial part of   R' y + artificials = 0,   sum(y) = 1,   y >= 0,

whose multipliers are candidate points ``z``. Rows are unit vectors in doubles, each with a bound
``rho`` on the entrywise distance to a positive multiple of the true row. Verdicts:

    LIVE       every ``row . z`` is below minus its rounding bound (so the true row is satisfied);
    DEAD       a basis of D + 1 rows whose ``y`` is proved positive by an approximate inverse
               with residual bound kappa < 1, for all data within ``rho``;
               or, on integer data, a support whose ``y`` was found positive in exact integers;
    AMBIGUOUS  neither was proved: the caller settles it in rationals.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LIVE = 1
DEAD = 0
AMBIGUOUS = -1

_UNIT = 2.0**-53
_GUARD = 2**30


@njit(nogil=True, cache=True)
def row_into(out, a, b, n_dim):
    """Write ``(b - a)`` normalised into ``out``; return 1 / norm, or 0 where it is lost.

    Rows whose difference vanishes or underflows in doubles (true rows may still differ) become
    zero rows: their caller must give them an infinite ``rho``, so that they prove nothing.
    """
    square = 0.0
    for k in range(n_dim):
        v = b[k] - a[k]
        out[k] = v
        square += v * v
    if not square > 1e-200:
        for k in range(n_dim):
            out[k] = 0.0
        return 0.0
    inverse = 1.0 / np.sqrt(square)
    for k in range(n_dim):
        out[k] *= inverse
    return inverse


@njit(nogil=True, cache=True)
def row_bound(inverse, first_error, second_error):
    """Entrywise distance of a row from ``row_into`` to a positive multiple of the true row."""
    if inverse == 0.0:
        return 1.0e300
    return 3.0 * _UNIT + 1.01 * (first_error + second_error) * inverse


@njit(nogil=True, cache=True)
def holds_at(rows, rho, n_rows, n_dim, z):
    """Whether every true row is proved negative at ``z``."""
    size = 0.0
    for k in range(n_dim):
        size += abs(z[k])
    if not size > 0.0:
        return n_rows == 0
    for i in range(n_rows):
        v = 0.0
        for k in range(n_dim):
            v += rows[i, k] * z[k]
        if not v < -(rho[i] + (n_dim + 2) * _UNIT) * size:
            return False
    return True


@njit(nogil=True, cache=True)
def decide(rows, rho, n_rows, n_dim, z, basis, inverse, weights, scratch, counters):
    """Verdict on ``rows[:n_rows]``; on LIVE ``z`` is a witness, else ``basis``/``weights`` hold y.

    ``basis`` (D + 1) row indices, -1 for an artificial; ``inverse`` (D + 1, D + 1);
    ``weights`` (D + 1) the values y; ``scratch`` (D + 1); ``counters[0]`` counts pivots.
    """
    size = n_dim + 1
    if n_rows == 0:
        for k in range(n_dim):
            z[k] = 0.0
        z[n_dim - 1] = 1.0
        return LIVE
    # Start: one row, and artificials that cover it with non-negative values.
    first = 0
    for i in range(size):
        for j in range(size):
            inverse[i, j] = 0.0
    for k in range(n_dim):
        sign = -1.0 if rows[first, k] > 0.0 else 1.0
        inverse[k, k] = sign
        inverse[k, n_dim] = -sign * rows[first, k]
        basis[k] = -1
        weights[k] = abs(rows[first, k])
    inverse[n_dim, n_dim] = 1.0
    basis[n_dim] = first
    weights[n_dim] = 1.0

    limit = 30 * size + 60
    for _ in range(limit):
        infeasibility = 0.0
        for i in range(size):
            scratch[i] = 0.0
        for i in range(size):
            if basis[i] < 0:
                infeasibility += weights[i]
                for j in range(n_dim):
                    scratch[j] += inverse[i, j]
        norm = 0.0
        for k in range(n_dim):
            z[k] = scratch[k]
            norm += abs(z[k])
        if infeasibility < 1e-12 or norm < 1e-12:
            return DEAD
        # Price all rows at z; the most violated one enters, and none violated is a witness.
        worst = -1.0e300
        entering = -1
        proved = True
        for i in range(n_rows):
            v = 0.0
            for k in range(n_dim):
                v += rows[i, k] * z[k]
            if not v < -(rho[i] + (n_dim + 2) * _UNIT) * norm:
                proved = False
            if v > worst:
                worst = v
                entering = i
        if proved:
            return LIVE
        if worst + infeasibility <= 1e-13:
            return AMBIGUOUS
        counters[0] += 1
        # Column of the entering row, then the ratio test; artificials leave first on ties.
        best = 1.0e300
        leaving = -1
        pivot = 0.0
        for i in range(size):
            u = inverse[i, n_dim]
            for k in range(n_dim):
                u += inverse[i, k] * rows[entering, k]
            scratch[i] = u
            if u > 1e-10:
                ratio = weights[i] / u
                if ratio < best - 1e-13:
                    best = ratio
                    leaving = i
                    pivot = u
                elif ratio <= best + 1e-13:
                    gain = (basis[i] < 0 and basis[leaving] >= 0) or (
                        (basis[i] < 0) == (basis[leaving] < 0) and u > pivot
                    )
                    if gain:
                        best = min(best, ratio)
                        leaving = i
                        pivot = u
        if leaving < 0:
            return AMBIGUOUS
        factor = 1.0 / pivot
        for j in range(size):
            inverse[leaving, j] *= factor
        theta = weights[leaving] * factor
        for i in range(size):
            if i != leaving:
                u = scratch[i]
                if u != 0.0:
                    for j in range(size):
                        inverse[i, j] -= u * inverse[leaving, j]
                    weights[i] -= theta * u
                    if weights[i] < 0.0:
                        weights[i] = 0.0
        weights[leaving] = theta
        basis[leaving] = entering
    return AMBIGUOUS


@njit(nogil=True, cache=True)
def proves_dead(rows, rho, n_dim, basis, inverse):
    """Whether the final basis is proved to hold 0 in the interior of its D + 1 rows' hull.

    With ``X`` the computed inverse of the true ``M = [rows'; 1]`` and ``kappa >= |X M - I|``, the
    true ``y`` differs from the last column of ``X`` by at most ``kappa / (1 - kappa)`` of its size.
    """
    size = n_dim + 1
    spread = 0.0
    for j in range(size):
        if basis[j] < 0:
            return False
        spread += rho[basis[j]]
    kappa = 0.0
    low = 1.0e300
    high = 0.0
    for i in range(size):
        total = 0.0
        length = 0.0
        for k in range(size):
            length += abs(inverse[i, k])
        for j in range(size):
            v = inverse[i, n_dim]
            for k in range(n_dim):
                v += inverse[i, k] * rows[basis[j], k]
            if i == j:
                v -= 1.0
            total += abs(v)
        total += 1.01 * length * (size * (size + 3) * _UNIT + spread)
        if total > kappa:
            kappa = total
        y = inverse[i, n_dim]
        if y < low:
            low = y
        if abs(y) > high:
            high = abs(y)
    if not kappa < 0.5:
        return False
    return low > 1.001 * kappa / (1.0 - kappa) * high


@njit(nogil=True, cache=True)
def positive_relation(columns, n_dim, count, work):
    """Whether integer columns have one relation up to scale, with all coefficients positive.

    ``columns`` (>= D, >= count) int64, destroyed. Fraction-free elimination (Bareiss 1968); returns
    False as soon as a number could pass 2**30, since nothing is then proved.
    """
    for i in range(n_dim):
        for j in range(count):
            if abs(columns[i, j]) > _GUARD:
                return False
    if count < 2:
        # One row alone is dead only when it is zero.
        return not columns[:n_dim, 0].any()
    rank = count - 1
    last = np.int64(1)
    for step in range(rank):
        found = -1
        for i in range(step, n_dim):
            if columns[i, step] != 0:
                found = i
                break
        if found < 0:
            return False
        if found != step:
            for j in range(count):
                swap = columns[found, j]
                columns[found, j] = columns[step, j]
                columns[step, j] = swap
        pivot = columns[step, step]
        for i in range(n_dim):
            if i != step:
                head = columns[i, step]
                for j in range(count):
                    if j != step:
                        v = pivot * columns[i, j] - head * columns[step, j]
                        # Exact by Sylvester's identity (Gauss-Jordan form).
                        v = v // last
                        if abs(v) > _GUARD:
                            return False
                        columns[i, j] = v
                columns[i, step] = 0
        last = pivot
    for i in range(rank, n_dim):
        if columns[i, rank] != 0:
            return False
    # Row i reads  d * y_i + columns[i, rank] * y_last = 0  with d = the last pivot.
    work[0] = last
    for i in range(rank):
        v = columns[i, rank]
        if v == 0 or (v > 0) == (last > 0):
            return False
    return True
