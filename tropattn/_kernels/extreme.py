"""Which rows of one set win somewhere: one program per row, over the few rows that matter to it.

A direction at which the row leads all others by more than the rounding bound is a proof that it
wins; so is, for the contrary, a set of rows whose hull is proved to hold the row (``programs``
finds both). Proofs are in doubles with a bound on every rounding, or in exact integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels import nnls
from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.cone import (
    AMBIGUOUS,
    FEASIBLE,
    INFEASIBLE,
    Simplex,
    decide,
    integers_into,
    make_simplex,
    positive_relation,
    proves_infeasible,
    proves_infeasible_within,
    row_bound,
)
from tropattn._kernels.programs import (
    MOST_ROUNDS,
    PARTS,
    among_worst,
    begin,
    better_rows,
    held_by,
    join,
    lead_of_own,
    most_joined,
    try_directions,
)
from tropattn._kernels.structures import structure

_UNIT = 2.0**-53
_EARLY = 0.5
"""A direction is tried once it separates half as well as the best one over the joined rows."""

_REFINEMENTS = 3
_NEGLIGIBLE = 1e-9
"""Weights, of rows of unit length, that a smaller proof may do without."""


@structure
class Rows:
    """The set, in the readings that proofs need."""

    near: np.ndarray  # (4 m, D) float32, centred; NaN beyond the n rows
    lead: float  # lead in ``near`` that is a proof, for directions of length 1
    terms: np.ndarray  # (n, D)
    errors: np.ndarray  # (n,) entrywise bounds
    walls: np.ndarray  # (g, D) unit rows
    wall_rho: np.ndarray  # (g,) entrywise bounds
    integers: np.ndarray  # (n, D) int64 multiples of the true rows, or (0, D)
    wall_integers: np.ndarray  # (g, D)


class Answers(NamedTuple):
    """What is known of each row."""

    verdicts: np.ndarray  # (n,)
    points: np.ndarray  # (n, D) first directions on entry, witnesses of live rows
    rows: np.ndarray  # (n, D + 1) rows of the refutation (walls as -2 - index, unused -1)
    weights: np.ndarray  # (n, D + 1)


@structure
class Room:
    """Scratch of one worker."""

    residual: np.ndarray  # (D + 1,)
    scratch: np.ndarray  # (2, D + 1)
    matrix: np.ndarray  # (D + 1, D + 1)
    inverse: np.ndarray  # (D + 1, D + 1)
    columns: np.ndarray  # (D + 1, D + 1) int64
    simplex: Simplex  # for the rows of a program


def make_room(dim, n, walls):
    """Room for programs over ``n`` rows in R^dim."""
    width = dim + 1
    return Room(
        residual=np.zeros(width),
        scratch=np.zeros((2, width)),
        matrix=np.zeros((width, width)),
        inverse=np.zeros((width, width)),
        columns=np.zeros((width, width), np.int64),
        simplex=make_simplex(dim, most_joined(n, width, walls)),
    )


@fragment(error_model="numpy")
def _open(programs, lane, rows, j, point):
    """Begin the program of row ``j`` with the walls, named -2 - index."""
    dim = len(point)
    begin(programs, lane, j, point)
    for i in range(len(rows.walls)):
        for k in range(dim):
            programs.system[lane, k, i] = rows.walls[i, k]
        programs.system[lane, dim, i] = 1.0
        programs.scale[lane, i] = 1.0
        programs.label[lane, i] = -2 - i
    programs.count[lane] = len(rows.walls)


@fragment(error_model="numpy")
def _bound(programs, lane, rows, at):
    """Entrywise distance of a joined row to a positive multiple of the true one."""
    name = programs.label[lane, at]
    if name <= -2:
        return rows.wall_rho[-2 - name]
    return row_bound(programs.scale[lane, at], rows.errors[name], rows.errors[programs.key[lane]])


@fragment(error_model="numpy")
def _within(rows, z):
    """Whether a direction of length about 1 is proved inside the walls."""
    dim, walls = len(z), rows.walls
    size = 0.0
    for k in range(dim):
        size += abs(z[k])
    for i in range(len(walls)):
        v = nnls.inner(walls[i], z, dim)
        if not v < -(rows.wall_rho[i] + (dim + 2) * _UNIT) * size:
            return False
    return True


@fragment(error_model="numpy")
def _rivals(rows, j, z, worst, excess):
    """Put the worst rows not proved below row ``j`` at ``z`` into ``worst``; how many."""
    terms, errors = rows.terms, rows.errors
    n, dim = terms.shape
    size = 0.0
    for k in range(dim):
        size += abs(z[k])
    found = np.int64(0)
    for i in range(n):
        if i == j:
            continue
        v, reach = 0.0, 0.0
        for k in range(dim):
            # Differences first, so that near rows are told apart by their own size.
            apart = terms[i, k] - terms[j, k]
            v += apart * z[k]
            reach = max(reach, abs(apart))
        loss = 1.01 * (errors[i] + errors[j]) + (dim + 3) * _UNIT * reach
        if v < -loss * size and reach > 1e-150:
            continue
        found = among_worst(i, v, worst, excess, found)
    return found


@fragment(error_model="numpy")
def _axes(programs, lane, held, size, rows, axes):
    """Coordinates that determine the held rows: where all of them are exactly 0 drops out."""
    dim = len(axes)
    exact = rows.errors[programs.key[lane]] == 0.0
    for i in range(size):
        name = programs.label[lane, held.names[i]]
        exact = exact and name >= 0 and rows.errors[name] == 0.0
    count = 0
    for k in range(dim):
        occupied = not exact
        for i in range(size):
            occupied = occupied or held.rows[i, k] != 0.0
        if occupied:
            axes[count] = k
            count += 1
    return count


@fragment(error_model="numpy")
def _copy(source, target, size):
    # An assignment to a slice compiles the words of an error for shapes that do not fit.
    for i in range(size):
        for k in range(size):
            target[i, k] = source[i, k]


@fragment(error_model="numpy")
def _simplex_around(programs, lane, held, size, known, rows, axes, room):
    """Whether ``size`` held rows, in one coordinate less, are proved to hold 0 inside.

    Their weights become those of 0; ``known``: whether the inverse of their Gram matrix is.
    """
    last = size - 1
    matrix, inverse = room.matrix, room.inverse
    for i in range(size):
        for k in range(last):
            matrix[k, i] = held.rows[i, axes[k]]
        matrix[last, i] = 1.0
    if known:
        # (M' M)^-1 M' inverts M, the held rows as columns.
        for i in range(size):
            for k in range(size):
                inverse[i, k] = 0.0
            for p in range(size):
                factor = held.inverse[i, p]
                for k in range(size):
                    inverse[i, k] += factor * matrix[k, p]
    names = np.arange(size)
    rho = np.zeros(size)
    for i in range(size):
        rho[i] = _bound(programs, lane, rows, held.names[i])
    if not (known and proves_infeasible(matrix, rho, names, last, names, inverse)):
        kept = np.empty((size, size))
        _copy(matrix, kept, size)
        if not proves_infeasible_within(kept, rho, names, last, names, matrix, inverse):
            return False
        _copy(kept, matrix, size)
    for i in range(size):
        held.weights[i] = inverse[i, last]
    lost = np.zeros(size)
    for _ in range(_REFINEMENTS):
        for k in range(size):
            lost[k] = 1.0 if k == last else 0.0
            for i in range(size):
                lost[k] -= held.weights[i] * matrix[k, i]
        for i in range(size):
            held.weights[i] += nnls.inner(inverse[i], lost, size)
    return True


@fragment(error_model="numpy")
def _refuted(programs, lane, held, size, known, rows, room):
    """Whether the held rows are proved to hold 0 in their hull, in doubles or exact integers."""
    dim = rows.terms.shape[1]
    columns = room.columns
    axes = np.zeros(dim, np.int64)
    count = _axes(programs, lane, held, size, rows, axes)
    if size == count + 1 and _simplex_around(programs, lane, held, size, known, rows, axes, room):
        return True
    if len(rows.integers) == 0:
        return False
    j = programs.key[lane]
    used = np.int64(0)
    for i in range(size):
        if held.weights[i] > _NEGLIGIBLE:
            other = programs.label[lane, held.names[i]]
            integers_into(columns, used, rows.integers, rows.wall_integers, j, other)
            used += 1
    return used > 0 and positive_relation(columns, dim, used)


@fragment(error_model="numpy")
def _proved(programs, lane, held, size, known, rows, room):
    """Number of held rows that are proved to refute the row, with or without negligible ones; 0."""
    if _refuted(programs, lane, held, size, known, rows, room):
        return size
    kept = np.int64(0)
    for i in range(size):
        if held.weights[i] > _NEGLIGIBLE:
            held.names[kept] = held.names[i]
            held.weights[kept] = held.weights[i]
            for k in range(held.rows.shape[1]):
                held.rows[kept, k] = held.rows[i, k]
            kept += 1
    if kept < size and _refuted(programs, lane, held, kept, np.bool_(False), rows, room):
        return kept
    return 0


@fragment(error_model="numpy")
def _by_simplex(programs, lane, held, rows, room):
    """Decide a program by the simplex method: verdict, and the number of rows that it holds."""
    # It tells small weights from none better than least squares do.
    dim, count = programs.direction.shape[1], programs.count[lane]
    rho = np.zeros(count)
    for i in range(count):
        rho[i] = _bound(programs, lane, rows, i)
    simplex = room.simplex
    basis, weights = simplex.basis, simplex.weights
    verdict = decide(programs.system[lane], rho, count, dim, programs.direction[lane], simplex)
    size = 0
    if verdict == INFEASIBLE:
        for i in range(dim + 1):
            if basis[i] >= 0:
                held.names[size] = basis[i]
                held.weights[size] = weights[i]
                for k in range(dim + 1):
                    held.rows[size, k] = programs.system[lane, k, basis[i]]
                size += 1
    return verdict, size


@fragment(error_model="numpy")
def _close(programs, lane, verdict, answers):
    """Write down the answer and free the lane."""
    j = programs.key[lane]
    answers.verdicts[j] = verdict
    programs.key[lane] = -1
    if verdict == FEASIBLE:
        for k in range(programs.direction.shape[1]):
            answers.points[j, k] = programs.direction[lane, k]
        return
    for i in range(programs.size[lane]):
        at = programs.names[lane, i]
        if programs.weights[lane, i] > 0.0:
            answers.rows[j, i] = programs.label[lane, at]
            # Undo the row's normalisation: weights of the true rows.
            answers.weights[j, i] = programs.weights[lane, i] * programs.scale[lane, at]


@fragment(error_model="numpy")
def _candidates(programs, lane, rows, tried, chosen, excess):
    """Number of rows that may join; 0 where the row is proved to win at the direction."""
    lead = lead_of_own(programs, lane, tried)
    if lead > rows.lead:
        return 0
    found = 0 if lead >= 0.0 else better_rows(programs, lane, rows.near, tried, chosen)
    if found == 0:
        # Single precision has nothing more to say.
        found = _rivals(rows, programs.key[lane], programs.direction[lane], chosen, excess)
    return found


@fragment(error_model="numpy")
def _run(programs, lane, rows, room):
    """Run a program: FEASIBLE with a new direction, INFEASIBLE with a proof, or AMBIGUOUS."""
    dim = rows.terms.shape[1]
    held = held_by(programs, lane)
    system, count = programs.system[lane], programs.count[lane]
    residual, value = room.residual, room.simplex.prices
    size, ending = nnls.improve(
        system, count, held, programs.size[lane], _EARLY, residual, value, room.scratch
    )
    programs.size[lane] = size
    if ending == nnls.SEPARATED:
        for k in range(dim):
            programs.direction[lane, k] = residual[k]
        return FEASIBLE
    if ending == nnls.CONTAINED:
        programs.size[lane] = _proved(programs, lane, held, size, np.bool_(True), rows, room)
        if programs.size[lane] > 0:
            return INFEASIBLE
    verdict, size = _by_simplex(programs, lane, held, rows, room)
    programs.size[lane] = 0
    if verdict == INFEASIBLE:
        programs.size[lane] = _proved(programs, lane, held, size, np.bool_(False), rows, room)
        if programs.size[lane] == 0:
            programs.size[lane] = size
            return AMBIGUOUS
    return verdict


@njit(nogil=True, cache=True, error_model="numpy")
def classify(rows, programs, tried, room, start, stop, answers, flag):
    """Decide rows ``start .. stop - 1`` against all others inside the walls.

    ``flag[0]`` is polled. Open rows are left AMBIGUOUS, with the rows that their program held.
    """
    chosen = np.zeros(PARTS, np.int64)
    excess = np.zeros(PARTS)
    following = start
    while flag[0] == 0:
        active = False
        for lane in range(len(programs.key)):
            if programs.key[lane] < 0 and following < stop:
                _open(programs, lane, rows, following, answers.points[following])
                following += 1
            active = active or programs.key[lane] >= 0
        if not active:
            return
        try_directions(programs, rows.near, tried)
        for lane in range(len(programs.key)):
            if programs.key[lane] < 0:
                continue
            found = _candidates(programs, lane, rows, tried, chosen, excess)
            verdict = np.int64(AMBIGUOUS)
            if found == 0 and _within(rows, programs.direction[lane]):
                _close(programs, lane, np.int64(FEASIBLE), answers)
                continue
            fresh = join(programs, lane, rows.terms, len(rows.walls), chosen, found)
            programs.rounds[lane] += 1
            # Without new rows after the first round the cell is too thin for doubles.
            if programs.rounds[lane] <= (MOST_ROUNDS if fresh > 0 else 1):
                verdict = _run(programs, lane, rows, room)
            if verdict != FEASIBLE:
                _close(programs, lane, verdict, answers)
