"""Which rows of one set win somewhere: a program a row, over the few rows that matter to it.

The program of row ``j`` (``cone``) starts with the walls and a handful of rivals. A point that it
finds is tried against all rows; the worst violators join and the program runs again. A refutation
by some rows refutes the whole, so dead rows never see all rivals either.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from tropattn._kernels.cone import (
    AMBIGUOUS,
    DEAD,
    LIVE,
    decide,
    positive_relation,
    proves_dead,
    row_bound,
    row_into,
)

_UNIT = 2.0**-53
_JOIN = 24


@njit(nogil=True, cache=True, error_model="numpy")
def rivals(terms, errors, sizes, j, z, value, joined, chosen, failing):
    """Rows not proved below row ``j`` at ``z``: their number, and how many of the worst joined.

    ``chosen`` takes the worst rows not yet ``joined``; ``failing`` (n,) and ``value`` (n,) scratch.
    """
    n, dim = terms.shape
    size = 0.0
    own = 0.0
    for k in range(dim):
        size += abs(z[k])
        own += terms[j, k] * z[k]
    slack = (errors[j] + (dim + 3) * _UNIT * sizes[j]) * size
    total = 0
    fresh = 0
    for i in range(n):
        v = -own
        for k in range(dim):
            v += terms[i, k] * z[k]
        if i != j and not v < -slack - (errors[i] + (dim + 3) * _UNIT * sizes[i]) * size:
            total += 1
            if not joined[i]:
                failing[fresh] = i
                value[fresh] = v
                fresh += 1
    count = 0
    while count < len(chosen) and fresh > 0:
        worst = 0
        for p in range(1, fresh):
            if value[p] > value[worst]:
                worst = p
        chosen[count] = failing[worst]
        joined[failing[worst]] = True
        count += 1
        fresh -= 1
        failing[worst] = failing[fresh]
        value[worst] = value[fresh]
    return total, count


@njit(nogil=True, cache=True, error_model="numpy")
def refuted(rows, rho, basis, inverse, weights, label, j, integers, wall_integers, columns, work):
    """Whether the final basis is proved dead, in doubles or in exact integers."""
    dim = len(rows)
    if proves_dead(rows, rho, np.arange(dim), dim, basis, inverse):
        return True
    if len(integers) == 0:
        return False
    used = 0
    for i in range(dim + 1):
        if basis[i] >= 0 and weights[i] > 1e-9:
            other = label[basis[i]]
            for k in range(dim):
                if other <= -2:
                    columns[k, used] = wall_integers[-2 - other, k]
                else:
                    columns[k, used] = integers[other, k] - integers[j, k]
            used += 1
    return used > 0 and positive_relation(columns, dim, used, work)


@njit(nogil=True, cache=True, error_model="numpy")
def classify(
    terms,
    errors,
    sizes,
    walls,
    wall_rho,
    integers,
    wall_integers,
    todo,
    start,
    stop,
    verdicts,
    points,
    rows,
    y,
    flag,
):
    """Decide rows ``todo[start:stop]`` of ``terms`` against all others inside ``walls``.

    ``points`` (n, D) holds a guess of each row's direction and receives the witness; ``verdicts``
    (n,); for dead rows the Farkas basis: ``rows`` (n, D + 1) other rows (walls as -2 - index,
    unused -1) with weights ``y`` (n, D + 1). ``flag[0]`` is polled.
    """
    n, dim = terms.shape
    g = len(walls)
    room = g + n
    system = np.zeros((dim, room))
    rho = np.zeros(room)
    label = np.zeros(room, np.int64)
    lengths = np.ones(room)
    for i in range(g):
        for k in range(dim):
            system[k, i] = walls[i, k]
        rho[i] = wall_rho[i]
        label[i] = -2 - i
    basis = np.zeros(dim + 1, np.int64)
    inverse = np.zeros((dim + 1, dim + 1))
    weights = np.zeros(dim + 1)
    scratch = np.zeros((2, dim + 1))
    prices = np.zeros(room)
    columns = np.zeros((dim + 1, dim + 1), np.int64)
    work = np.zeros(dim + 1, np.int64)
    counters = np.zeros(1, np.int64)
    joined = np.zeros(n, np.bool_)
    value = np.zeros(n)
    failing = np.zeros(n, np.int64)
    chosen = np.zeros(_JOIN, np.int64)
    for at in range(start, stop):
        if flag[0] != 0:
            return
        j = todo[at]
        joined[:] = False
        count = g
        started = np.bool_(False)
        _, fresh = rivals(terms, errors, sizes, j, points[j], value, joined, chosen, failing)
        while True:
            for p in range(fresh):
                i = chosen[p]
                lengths[count] = row_into(system, count, terms, j, i, dim)
                rho[count] = row_bound(lengths[count], errors[i], errors[j])
                label[count] = i
                count += 1
            verdict = decide(
                system,
                rho,
                count,
                dim,
                points[j],
                basis,
                inverse,
                weights,
                scratch,
                prices,
                counters,
                started,
            )
            # Without rows there was nothing to start, and nothing to carry on.
            started = started or count > 0
            if verdict != LIVE:
                break
            total, fresh = rivals(
                terms, errors, sizes, j, points[j], value, joined, chosen, failing
            )
            if total == 0:
                break
            if fresh == 0:
                # The program holds all rows and proves each; rounding differs, the proof stands.
                break
        if verdict == DEAD and not refuted(
            system, rho, basis, inverse, weights, label, j, integers, wall_integers, columns, work
        ):
            verdict = AMBIGUOUS
        verdicts[j] = verdict
        if verdict != LIVE:
            for i in range(dim + 1):
                rows[j, i] = -1
                y[j, i] = 0.0
                if basis[i] >= 0 and weights[i] > 1e-9:
                    rows[j, i] = label[basis[i]]
                    # Undo the row's normalisation: weights of the true rows.
                    y[j, i] = weights[i] * lengths[basis[i]]
