"""Non-negative least squares by active sets, one row in or out at a time.

Over non-negative weights ``u`` of rows ``e_i`` of R^K the problem is the least
``|f - sum u_i e_i|`` with ``f = (0, ..., 0, 1)``. At the optimum every ``<e_i, residual>`` is at
most 0, so that

- for rows ``(a_i, 1)`` the head of the residual is a direction ``z`` with all ``<a_i, z> < 0`` (it
  points to 0 from the nearest point of the rows' hull), and a residual of 0 says that 0 lies in
  the hull: Wolfe's nearest point of a polytope;
- for rows ``(-a_i, -b_i)`` it is ``(w, -1)`` up to a negative factor, ``w`` the shortest vector
  with ``<a_i, w> <= b_i``, and a residual of 0 says that there is none: least distance.

Source: Lawson and Hanson (1974), *Solving Least Squares Problems*, chapter 23; Wolfe (1976). The
rows of positive weight are *held*, and the inverse of their Gram matrix follows every exchange by a
change of rank one, so an exchange costs O(K^2). The numbers are proposals: the caller proves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.compiling import fragment
from tropattn._kernels.cone import invert

SEPARATED = 1
CONTAINED = 0
STUCK = -1

_VANISHED = 1e-9
"""Residuals shorter than this count as 0."""

_SLACK = 1e-12
"""A row improves the optimum if its product with the unit residual exceeds this."""

_DEPENDENT = 1e-13
"""Squared sine of the angle to the held rows' span below which a row counts as in the span."""


_DRIFT = 1e-2
"""Products of held rows with the residual, in parts of the best, that call for a new inverse."""


class Held(NamedTuple):
    """The rows of positive weight; a number ``size`` says how many places are taken."""

    names: np.ndarray  # (K,) int64, the column of each in the system
    rows: np.ndarray  # (K, K)
    inverse: np.ndarray  # (K, K) of their Gram matrix
    goal: np.ndarray  # (K,) least squares weights, of any sign
    weights: np.ndarray  # (K,) the current ones, non-negative


@fragment(error_model="numpy")
def inner(a, b, length):
    """Inner product in eight sums, which the processor runs side by side."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = length - length % 8
    for k in range(0, whole, 8):
        s0 += a[k] * b[k]
        s1 += a[k + 1] * b[k + 1]
        s2 += a[k + 2] * b[k + 2]
        s3 += a[k + 3] * b[k + 3]
        s4 += a[k + 4] * b[k + 4]
        s5 += a[k + 5] * b[k + 5]
        s6 += a[k + 6] * b[k + 6]
        s7 += a[k + 7] * b[k + 7]
    for k in range(whole, length):
        s0 += a[k] * b[k]
    return ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))


@fragment(error_model="numpy")
def price(system, count, residual, value):
    """Write the product of every row with the residual; return the index of the largest."""
    width = len(system)
    for i in range(count):
        value[i] = 0.0
    whole = width - width % 4
    for k in range(0, whole, 4):
        a, b, c, d = residual[k], residual[k + 1], residual[k + 2], residual[k + 3]
        for i in range(count):
            value[i] += (system[k, i] * a + system[k + 1, i] * b) + (
                system[k + 2, i] * c + system[k + 3, i] * d
            )
    for k in range(whole, width):
        for i in range(count):
            value[i] += system[k, i] * residual[k]
    top = 0
    for i in range(1, count):
        if value[i] > value[top]:
            top = i
    return top


@fragment(error_model="numpy")
def _enter(held, size, system, name, gram, lift):
    """Hold one more row, with weight 0; False where it lies in the span of the others."""
    width = len(system)
    row = held.rows[size]
    for k in range(width):
        row[k] = system[k, name]
    for i in range(size):
        gram[i] = inner(held.rows[i], row, width)
        lift[i] = 0.0
    for i in range(size):
        g = gram[i]
        for j in range(size):
            lift[j] += g * held.inverse[i, j]
    own = inner(row, row, width)
    rest = own - inner(lift, gram, size)
    if not rest > _DEPENDENT * own:
        return False
    factor = 1.0 / rest
    lead = row[width - 1]
    for i in range(size):
        lead -= lift[i] * held.rows[i, width - 1]
    for i in range(size):
        scaled = lift[i] * factor
        for j in range(size):
            held.inverse[i, j] += scaled * lift[j]
        held.inverse[i, size] = -scaled
        held.inverse[size, i] = -scaled
        held.goal[i] -= scaled * lead
    held.inverse[size, size] = factor
    held.goal[size] = factor * lead
    held.weights[size] = 0.0
    held.names[size] = name
    return True


@fragment(error_model="numpy")
def _leave(held, size, at, width):
    """Let the row at a place go; the last one moves there."""
    last = size - 1
    if at != last:
        held.names[at] = held.names[last]
        held.goal[at], held.goal[last] = held.goal[last], held.goal[at]
        held.weights[at] = held.weights[last]
        for k in range(width):
            held.rows[at, k] = held.rows[last, k]
        for j in range(size):
            held.inverse[at, j], held.inverse[last, j] = held.inverse[last, j], held.inverse[at, j]
        for i in range(size):
            held.inverse[i, at], held.inverse[i, last] = held.inverse[i, last], held.inverse[i, at]
    factor = 1.0 / held.inverse[last, last]
    for i in range(last):
        scaled = held.inverse[i, last] * factor
        for j in range(last):
            held.inverse[i, j] -= scaled * held.inverse[last, j]
        held.goal[i] -= scaled * held.goal[last]


@fragment(error_model="numpy")
def _to_goal(held, size, width):
    """Move the weights to the goal, letting rows go whose weight would turn negative."""
    while True:
        step = 1.0
        at = np.int64(-1)
        for i in range(size):
            if held.goal[i] <= 0.0:
                weight = held.weights[i]
                part = weight / (weight - held.goal[i]) if weight > 0.0 else 0.0
                if at < 0 or part < step:
                    step = part
                    at = i
        if at < 0:
            for i in range(size):
                held.weights[i] = held.goal[i]
            return size
        for i in range(size):
            moved = held.weights[i] + step * (held.goal[i] - held.weights[i])
            held.weights[i] = moved if moved > 0.0 else 0.0
        _leave(held, size, at, width)
        size -= 1


@fragment(error_model="numpy")
def _renew(held, size, width):
    """Compute inverse and goal of the held rows afresh; False where their Gram is singular."""
    gram = np.zeros((size, size))
    fresh = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            gram[i, j] = inner(held.rows[i], held.rows[j], width)
    if not invert(gram, fresh, size):
        return False
    for i in range(size):
        held.goal[i] = 0.0
        for j in range(size):
            held.inverse[i, j] = fresh[i, j]
            held.goal[i] += fresh[i, j] * held.rows[j, width - 1]
    return True


@fragment(error_model="numpy")
def _drift(held, size, entering, value):
    """Largest product of a held row and the residual: rounding, or infinite if that row enters."""
    drift = 0.0
    for i in range(size):
        if held.names[i] == entering:
            return np.inf
        drift = max(drift, abs(value[held.names[i]]))
    return drift


@fragment(error_model="numpy")
def improve(system, count, held, size, slack, residual, value, scratch):
    """Carry on from the held rows until no row improves: the number held, and how it ended.

    ``system`` (K, >= count) one row per column; ``residual`` (K,) and ``value`` (>= count) receive
    the last ones; ``scratch`` (2, K). Ends SEPARATED as soon as every ``<e_i, residual>`` is at
    most ``slack`` times the last coordinate of the residual (0 for the optimum), CONTAINED where
    the residual vanishes, STUCK where rounding gets in the way.
    """
    width = len(system)
    renewed = False
    for _ in range(30 * width + 60):
        for k in range(width):
            residual[k] = 0.0
        residual[width - 1] = 1.0
        for i in range(size):
            weight = held.weights[i]
            for k in range(width):
                residual[k] -= weight * held.rows[i, k]
        length = np.sqrt(inner(residual, residual, width))
        if size == width or length < _VANISHED:
            return size, CONTAINED
        entering = price(system, count, residual, value)
        if value[entering] <= slack * residual[width - 1] + _SLACK * length:
            return size, SEPARATED
        apart = _drift(held, size, entering, value) < _DRIFT * value[entering]
        if apart and _enter(held, size, system, entering, scratch[0], scratch[1]):
            if not held.goal[size] > 0.0:
                return size, STUCK
            size = _to_goal(held, size + 1, width)
            renewed = False
        elif renewed or not _renew(held, size, width):
            return size, STUCK
        else:
            size = _to_goal(held, size, width)
            renewed = True
    return size, STUCK
