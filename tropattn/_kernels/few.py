"""Which rows of a small set win somewhere: one program per row, over all the others.

For a handful of rows this beats the programs that share a set (``extreme``), and it needs nothing
that the search of a refinement does not need as well, so there is less to compile.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.cone import (
    AMBIGUOUS,
    FEASIBLE,
    INFEASIBLE,
    decide,
    integers_into,
    positive_relation,
    proves_infeasible,
    row_bound,
    row_into,
)


@njit(nogil=True, cache=True, error_model="numpy")
def classify(given, j, answers, rows, rho, scale, columns, everywhere, simplex):
    """Decide row ``j`` of ``given`` against all others inside the walls, as ``extreme`` does.

    ``rows`` (D, g + n), ``rho`` and ``scale`` (g + n,) and ``columns`` (D + 1, D + 1) int64 are
    scratch, ``everywhere`` (D,) int64 is 0, 1, ..., D - 1.
    """
    n, dim = given.terms.shape
    walls = len(given.walls)
    for i in range(walls):
        for k in range(dim):
            rows[k, i] = given.walls[i, k]
        rho[i] = given.wall_rho[i]
        scale[i] = 1.0
    for i in range(n):
        at = walls + i - (i > j)
        if i != j:
            scale[at] = row_into(rows, at, given.terms, j, i, dim)
            rho[at] = row_bound(scale[at], given.errors[j], given.errors[i])
    verdict = decide(rows, rho, walls + n - 1, dim, answers.points[j], simplex)
    if verdict == INFEASIBLE and not (
        proves_infeasible(rows, rho, everywhere, dim, simplex.basis, simplex.inverse)
        or _in_integers(given, j, simplex, columns)
    ):
        verdict = AMBIGUOUS
    answers.verdicts[j] = verdict
    if verdict == FEASIBLE:
        return
    for i in range(dim + 1):
        at = simplex.basis[i]
        if at >= 0 and simplex.weights[i] > 0.0:
            answers.rows[j, i] = _name(at, j, walls)
            # Undo the row's normalisation: weights of the true rows.
            answers.weights[j, i] = simplex.weights[i] * scale[at]


@fragment(error_model="numpy")
def _name(at, j, walls):
    """The row of the set, or the wall as -2 - index, that stands at a place of the program."""
    if at < walls:
        return -2 - at
    return at - walls + (at - walls >= j)


@fragment(error_model="numpy")
def _in_integers(given, j, simplex, columns):
    """Whether the rows of the basis that carry weight are dead in exact integers."""
    dim, count = given.terms.shape[1], np.int64(0)
    if len(given.integers) == 0:
        return False
    for i in range(dim + 1):
        if simplex.basis[i] >= 0 and simplex.weights[i] > 1e-9:
            other = _name(simplex.basis[i], j, len(given.walls))
            integers_into(columns, count, given.integers, given.wall_integers, j, other)
            count += 1
    return count > 0 and positive_relation(columns, dim, count)
