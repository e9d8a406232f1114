"""Does an open cone ``{z : R z < 0}`` contain a point? One verdict, each way with a proof.

Gordan's alternative: either some ``z`` satisfies every row strictly, or some ``y >= 0``, ``y != 0``
has ``y R = 0``. The kernel runs phase one of the simplex method on the second system,

    minimise the artificial part of   R' y + artificials = 0,   sum(y) = 1,   y >= 0,

whose multipliers are candidate points ``z``. Rows are unit vectors in doubles, each with a bound
``rho`` on the entrywise distance to a positive multiple of the true row. Verdicts:

    FEASIBLE    every ``row . z`` is below minus its rounding bound: so the true row is satisfied;
    INFEASIBLE  a basis of D + 1 rows whose ``y`` is proved positive by an approximate inverse
                with residual bound kappa < 1, for all data within ``rho``;
                or, on integer data, a support whose ``y`` was found positive in exact integers;
    AMBIGUOUS   neither was proved: the caller settles it in rationals.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.structures import structure

FEASIBLE = 1
INFEASIBLE = 0
AMBIGUOUS = -1

_UNIT = 2.0**-53
_GUARD = 2**30


@structure
class Simplex:
    """The state of a program over rows of R^D, and what it works on."""

    basis: np.ndarray  # (D + 1,) int64 indices of rows, -1 for an artificial
    weights: np.ndarray  # (D + 1,) the values y of the basis
    inverse: np.ndarray  # (D + 1, D + 1)
    column: np.ndarray  # (D + 1,)
    entered: np.ndarray  # (D + 1,)
    prices: np.ndarray  # (R,)
    pivots: int  # of all programs so far


def make_simplex(dim, room):
    """The simplex method for programs of up to ``room`` rows of R^D."""
    return Simplex(
        basis=np.zeros(dim + 1, np.int64),
        weights=np.zeros(dim + 1),
        inverse=np.zeros((dim + 1, dim + 1)),
        column=np.zeros(dim + 1),
        entered=np.zeros(dim + 1),
        prices=np.zeros(room),
        pivots=0,
    )


@fragment(error_model="numpy")
def row_into(rows, at, terms, winner, loser, n_dim):
    """Write term ``loser`` minus term ``winner``, normalised, into column ``at``; return 1 / norm.

    A difference that vanishes in doubles (the true one may not) gives 0, for ``row_bound`` to see.
    """
    square = 0.0
    for k in range(n_dim):
        v = terms[loser, k] - terms[winner, k]
        square += v * v
    if not square > 1e-200:
        for k in range(n_dim):
            rows[k, at] = 0.0
        return 0.0
    inverse = 1.0 / np.sqrt(square)
    for k in range(n_dim):
        rows[k, at] = (terms[loser, k] - terms[winner, k]) * inverse
    return inverse


@fragment(error_model="numpy")
def row_bound(inverse, first_error, second_error):
    """Entrywise distance of a row from ``row_into`` to a positive multiple of the true row."""
    if inverse == 0.0:
        return 1.0e300
    return 3.0 * _UNIT + 1.01 * (first_error + second_error) * inverse


@fragment(error_model="numpy")
def price(rows, n_rows, n_dim, z, value):
    """Write ``row . z`` for all rows; return the index of the largest."""
    for i in range(n_rows):
        value[i] = rows[0, i] * z[0]
    for k in range(1, n_dim):
        zk = z[k]
        for i in range(n_rows):
            value[i] += rows[k, i] * zk
    worst = 0
    for i in range(1, n_rows):
        if value[i] > value[worst]:
            worst = i
    return worst


@fragment(error_model="numpy")
def start(rows, first, n_dim, basis, inverse, weights):
    """Begin phase one: one row, and artificials that cover it with non-negative values."""
    size = n_dim + 1
    for i in range(size):
        for j in range(size):
            inverse[i, j] = 0.0
    for k in range(n_dim):
        sign = -1.0 if rows[k, first] > 0.0 else 1.0
        inverse[k, k] = sign
        inverse[k, n_dim] = -sign * rows[k, first]
        basis[k] = -1
        weights[k] = abs(rows[k, first])
    inverse[n_dim, n_dim] = 1.0
    basis[n_dim] = first
    weights[n_dim] = 1.0


@fragment(error_model="numpy")
def ratio_test(basis, weights, column, size):
    """Row of the basis that leaves: smallest ratio, artificials first, then the largest pivot."""
    best = 1.0e300
    leaving = -1
    for i in range(size):
        u = column[i]
        if u > 1e-10:
            ratio = weights[i] / u
            if ratio < best - 1e-13:
                best = ratio
                leaving = i
            elif ratio <= best + 1e-13:
                artificial = basis[i] < 0
                held = basis[leaving] < 0
                if (artificial and not held) or (artificial == held and u > column[leaving]):
                    best = min(best, ratio)
                    leaving = i
    return leaving


@fragment(error_model="numpy")
def exchange(inverse, weights, column, leaving, size):
    """Pivot on ``column[leaving]``."""
    factor = 1.0 / column[leaving]
    for j in range(size):
        inverse[leaving, j] *= factor
    theta = weights[leaving] * factor
    for i in range(size):
        u = column[i]
        if i != leaving and u != 0.0:
            for j in range(size):
                inverse[i, j] -= u * inverse[leaving, j]
            weights[i] = max(0.0, weights[i] - theta * u)
    weights[leaving] = theta


@fragment(error_model="numpy")
def decide(rows, rho, n_rows, n_dim, z, simplex):
    """Verdict on rows 0..n_rows; on FEASIBLE ``z`` is a witness, else basis and weights hold y.

    ``rows`` (D, >= n_rows), one row per column, so that pricing runs along memory. On entry ``z``
    is a guess of where the rows hold (or 0).
    """
    size = n_dim + 1
    if n_rows == 0:
        for k in range(n_dim):
            z[k] = 0.0
        z[n_dim - 1] = 1.0
        return FEASIBLE
    slack = 0.0
    for i in range(n_rows):
        slack = max(slack, rho[i])
    slack += (n_dim + 2) * _UNIT
    basis, weights, inverse = simplex.basis, simplex.weights, simplex.inverse
    column, entered, value = simplex.column, simplex.entered, simplex.prices
    start(rows, price(rows, n_rows, n_dim, z, value), n_dim, basis, inverse, weights)
    for _ in range(30 * size + 60):
        infeasibility = 0.0
        for k in range(n_dim):
            z[k] = 0.0
        for i in range(size):
            if basis[i] < 0:
                infeasibility += weights[i]
                for k in range(n_dim):
                    z[k] += inverse[i, k]
        norm = 0.0
        for k in range(n_dim):
            norm += abs(z[k])
        if infeasibility < 1e-12 or norm < 1e-12:
            return INFEASIBLE
        # The multipliers z are a candidate point: no row violated means a witness.
        entering = price(rows, n_rows, n_dim, z, value)
        if value[entering] < -slack * norm:
            return FEASIBLE
        if value[entering] + infeasibility <= 1e-13:
            return AMBIGUOUS
        simplex.pivots += 1
        for k in range(n_dim):
            entered[k] = rows[k, entering]
        entered[n_dim] = 1.0
        for i in range(size):
            u = 0.0
            for k in range(size):
                u += inverse[i, k] * entered[k]
            column[i] = u
        leaving = ratio_test(basis, weights, column, size)
        if leaving < 0:
            return AMBIGUOUS
        exchange(inverse, weights, column, leaving, size)
        basis[leaving] = entering
    return AMBIGUOUS


@fragment(error_model="numpy")
def proves_infeasible(rows, rho, columns, count, basis, inverse):
    """Whether ``basis[:count + 1]`` is proved to hold 0 in the interior of its rows' hull.

    ``columns[:count]`` are coordinates that determine the rows of the basis (all D of them, or
    fewer where these rows are known to span less). With ``X`` the computed inverse of the true
    ``M = [rows'; 1]`` and ``kappa >= |X M - I|``, the true ``y`` differs from the last column of
    ``X`` by at most ``kappa / (1 - kappa)`` of its size.
    """
    size = count + 1
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
            v = inverse[i, count]
            for k in range(count):
                v += inverse[i, k] * rows[columns[k], basis[j]]
            if i == j:
                v -= 1.0
            total += abs(v)
        total += 1.01 * length * (size * (size + 3) * _UNIT + spread)
        if total > kappa:
            kappa = total
        y = inverse[i, count]
        if y < low:
            low = y
        if abs(y) > high:
            high = abs(y)
    if not kappa < 0.5:
        return False
    return low > 1.001 * kappa / (1.0 - kappa) * high


@njit(nogil=True, cache=True, error_model="numpy")
def proved_verdict(rows, rho, z, columns, simplex):
    """Verdict on all rows (D, R), proved in doubles; on FEASIBLE ``z`` is a witness.

    ``columns`` (D,) int64 are 0, 1, ..., D - 1.
    """
    n_dim, n_rows = rows.shape
    found = decide(rows, rho, n_rows, n_dim, z, simplex)
    if found == INFEASIBLE and not proves_infeasible(
        rows, rho, columns, n_dim, simplex.basis, simplex.inverse
    ):
        return AMBIGUOUS
    return found


@fragment(error_model="numpy")
def invert(matrix, inverse, size):
    """Gauss-Jordan with partial pivoting; ``matrix`` is destroyed. False where it is singular."""
    for i in range(size):
        for j in range(size):
            inverse[i, j] = 1.0 if i == j else 0.0
    for step in range(size):
        pivot = step
        for i in range(step + 1, size):
            if abs(matrix[i, step]) > abs(matrix[pivot, step]):
                pivot = i
        if not abs(matrix[pivot, step]) > 1e-14:
            return False
        for j in range(size):
            matrix[pivot, j], matrix[step, j] = matrix[step, j], matrix[pivot, j]
            inverse[pivot, j], inverse[step, j] = inverse[step, j], inverse[pivot, j]
        factor = 1.0 / matrix[step, step]
        for j in range(size):
            matrix[step, j] *= factor
            inverse[step, j] *= factor
        for i in range(size):
            u = matrix[i, step]
            if i != step and u != 0.0:
                for j in range(size):
                    matrix[i, j] -= u * matrix[step, j]
                    inverse[i, j] -= u * inverse[step, j]
    return True


@fragment(error_model="numpy")
def proves_infeasible_within(rows, rho, columns, count, support, matrix, inverse):
    """The same for ``count + 1`` support rows that span only ``count`` dimensions."""
    size = count + 1
    for j in range(size):
        for k in range(count):
            matrix[k, j] = rows[columns[k], support[j]]
        matrix[count, j] = 1.0
    return invert(matrix, inverse, size) and proves_infeasible(
        rows, rho, columns, count, support, inverse
    )


@fragment(error_model="numpy")
def integers_into(columns, at, integers, wall_integers, own, other):
    """Write 'row ``other`` minus row ``own``', or the wall ``-2 - other``, to column ``at``."""
    for k in range(integers.shape[1]):
        if other <= -2:
            columns[k, at] = wall_integers[-2 - other, k]
        else:
            columns[k, at] = integers[other, k] - integers[own, k]


@fragment(error_model="numpy")
def positive_relation(columns, n_dim, count):
    """Whether integer columns have one relation up to scale, with all coefficients positive.

    ``columns`` (>= D, >= count) int64, destroyed. Fraction-free elimination (Bareiss 1968); returns
    False as soon as a number could pass 2**30, since nothing is then proved.
    """
    for i in range(n_dim):
        for j in range(count):
            if abs(columns[i, j]) > _GUARD:
                return False
    if count < 2:
        # One row alone is infeasible only when it is zero.
        nonzero = 0
        for k in range(n_dim):
            nonzero += columns[k, 0] != 0
        return nonzero == 0
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
    for i in range(rank):
        v = columns[i, rank]
        if v == 0 or (v > 0) == (last > 0):
            return False
    return True
