"""Which rows of one set win somewhere: one program a row, as in ``refine`` but with its reasons."""

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


@njit(nogil=True, cache=True, error_model="numpy")
def classify(
    terms, errors, walls, wall_rho, integers, wall_integers, start, stop, verdicts, points, rows, y
):
    """Decide rows [start, stop) of ``terms`` against all others inside ``walls``.

    Writes ``verdicts`` (n,), ``points`` (n, D) of live rows, and for dead ones the Farkas basis:
    ``rows`` (n, D + 1) other rows (walls as -2 - index, unused -1) with weights ``y`` (n, D + 1).
    """
    n, dim = terms.shape
    g = len(walls)
    system = np.zeros((dim, g + n))
    rho = np.zeros(g + n)
    label = np.zeros(g + n, np.int64)
    for i in range(g):
        for k in range(dim):
            system[k, i] = walls[i, k]
        rho[i] = wall_rho[i]
        label[i] = -2 - i
    basis = np.zeros(dim + 1, np.int64)
    inverse = np.zeros((dim + 1, dim + 1))
    weights = np.zeros(dim + 1)
    scratch = np.zeros((2, dim + 1))
    prices = np.zeros(g + n)
    lengths = np.ones(g + n)
    columns = np.zeros((dim + 1, dim + 1), np.int64)
    work = np.zeros(dim + 1, np.int64)
    counters = np.zeros(1, np.int64)
    for j in range(start, stop):
        count = g
        for i in range(n):
            if i != j:
                inv = row_into(system, count, terms, j, i, dim)
                rho[count] = row_bound(inv, errors[i], errors[j])
                lengths[count] = inv
                label[count] = i
                count += 1
        verdict = decide(
            system, rho, count, dim, points[j], basis, inverse, weights, scratch, prices, counters
        )
        if verdict == DEAD and not proves_dead(system, rho, dim, basis, inverse):
            verdict = AMBIGUOUS
            if len(integers) > 0:
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
                if used > 0 and positive_relation(columns, dim, used, work):
                    verdict = DEAD
        verdicts[j] = verdict
        if verdict != LIVE:
            for i in range(dim + 1):
                rows[j, i] = -1
                y[j, i] = 0.0
                if basis[i] >= 0 and weights[i] > 1e-9:
                    rows[j, i] = label[basis[i]]
                    # Undo the row's normalisation: weights of the true rows.
                    y[j, i] = weights[i] * lengths[basis[i]]
