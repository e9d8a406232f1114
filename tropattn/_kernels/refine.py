"""Depth-first enumeration of the common refinement of many tropical polynomials.

All data are homogeneous: a term is a row in R^D, a point is a direction z in R^D, a cell of pattern
(j_1, ..., j_H) is the open cone where row j_h beats every other row of unit h, inside the walls of
the domain. A node of the search fixes the winners of some units; it carries a witness, the rows
that cut it out, and for every unit not yet fixed the keys that may still win inside it. At a node

    1. points already known to lie inside it find winners: its own witness, the parent's witnesses
       that fall into it, and every new witness for all units at once,
    2. a small linear program decides each key that is left, with a proof either way (``cone``),
    3. keys proved dead are dropped for the whole subtree,
    4. the unit with the fewest keys left (two or more) branches over its live keys.

A key that doubles decide neither way is tried at twice the precision (``twice``), where witnesses
may lie in slivers that doubles do not resolve; if that fails too it is not guessed: its branch is
written to ``deferred`` for the caller. When the budget or an output buffer runs out, what is left
of the search is written to ``rest`` as paths from the root, so work can be split, resumed and
stopped at any node.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels import twice
from tropattn._kernels.compiling import njit
from tropattn._kernels.cone import (
    AMBIGUOUS,
    DEAD,
    LIVE,
    decide,
    positive_relation,
    proves_dead,
    proves_dead_within,
    row_bound,
    row_into,
)

UNDECIDED = 0
ALIVE = 1
GONE = 2
OPEN = 3

PIVOTS, PROGRAMS, NODES, CELLS, DEFERRED, REST, LOGGED = range(7)
N_COUNTERS = 7

# Events of the log from which a search can be checked step by step (``regions/certificates``).
DISCARD = 1  # unit, key, number of rows, then (winner, loser) pairs; (-1, wall) for a wall
CHILD = 2  # unit, key
UP = 3
LEAF = 4  # unit or -1, number of cells written

_UNIT = 2.0**-53

_FEW = 40
"""Rows in the first program for a key, which is tried where there are many more in all."""


class System(NamedTuple):
    """The data of one refinement: rows of all units in order, and the walls of the domain."""

    terms: np.ndarray  # (n, D) rows (slope, intercept), reduced to D independent columns
    errors: np.ndarray  # (n,) bound on the entrywise error of a row
    sizes: np.ndarray  # (n,) largest absolute entry of a row
    starts: np.ndarray  # (H + 1,) first row of each unit
    walls: np.ndarray  # (g, D) unit rows, z inside where all are negative
    wall_rho: np.ndarray  # (g,)
    integers: np.ndarray  # (n, D) int64 multiples of the true rows, or (0, D)
    wall_integers: np.ndarray  # (g, D) int64, or (0, D)
    unit_of: np.ndarray  # (n,) int64 unit of each row
    everywhere: np.ndarray  # (D,) int64 0, 1, ..., D - 1
    spans: np.ndarray  # (2 ** (H + 1), D) int64 columns that determine the rows of a set of units
    ranks: np.ndarray  # (2 ** (H + 1),) int64 their number, 0 where not known; bit H: the walls
    fine: np.ndarray  # (2, n, D) the rows at twice the precision, or (2, 0, D): not to be used
    fine_errors: np.ndarray  # (n,) bounds on the errors of their entries
    fine_walls: np.ndarray  # (2, g, D)
    fine_wall_errors: np.ndarray  # (g,)


class Space(NamedTuple):
    """Scratch of one search; index 0 of the per-level arrays is the root."""

    keys: np.ndarray  # (H + 1, n) int32 candidate rows of each unit, packed at the unit's start
    n_keys: np.ndarray  # (H + 1, H) int32
    n_live: np.ndarray  # (H + 1, H) int32, live keys come first in the packing
    points: np.ndarray  # (H + 1, n, 2, D) witnesses of live keys, high and low parts
    z: np.ndarray  # (H + 1, 2, D) witness of the node
    has_z: np.ndarray  # (H + 1,) bool
    unit: np.ndarray  # (H + 1,) int32 branching unit
    at: np.ndarray  # (H + 1,) int32 next child
    n_rows: np.ndarray  # (H + 1,) int32
    fixed: np.ndarray  # (H,) int32 winner of a fixed unit, or -1
    rows: np.ndarray  # (D, R) unit rows of the node, then of the program at hand
    rho: np.ndarray  # (R,)
    pair: np.ndarray  # (R, 2) int32: (winner, loser), or (-1, wall)
    state: np.ndarray  # (n,) int8 of the node being expanded
    basis: np.ndarray  # (D + 1,) int64
    inverse: np.ndarray  # (D + 1, D + 1)
    weights: np.ndarray  # (D + 1,)
    scratch: np.ndarray  # (2, D + 1)
    prices: np.ndarray  # (R,)
    columns: np.ndarray  # (D + 1, D + 1) int64
    work: np.ndarray  # (D + 1,) int64
    support: np.ndarray  # (D + 1,) int64
    small: np.ndarray  # (D + 1, D + 1)
    small_inverse: np.ndarray  # (D + 1, D + 1)
    value: np.ndarray  # (n,)
    home: np.ndarray  # (H + 1, n) int32 child in which the key's witness lies, or -1
    fine_rows: np.ndarray  # (2, D, R) the rows at hand at twice the precision
    fine_rho: np.ndarray  # (R,)
    fine_inverse: np.ndarray  # (2, D + 1, D + 1)
    fine_weights: np.ndarray  # (2, D + 1)
    fine_column: np.ndarray  # (2, D + 1)
    fine_small: np.ndarray  # (2, D + 1, D + 1)
    exact_sum: np.ndarray  # (16,)
    hot: np.ndarray  # (R,) int64 rows of the node that were in a basis of a program there
    n_hot: np.ndarray  # (1,) int64
    few: np.ndarray  # (D, F) those rows and the rivals known to be alive, for a first program
    few_rho: np.ndarray  # (F,)
    few_at: np.ndarray  # (F,) int64 where they stand in ``rows``


@njit(nogil=True, cache=True, error_model="numpy")
def make_space(system):
    """Allocate the scratch of one search."""
    n, dim = system.terms.shape
    units = len(system.starts) - 1
    widest = 0
    for h in range(units):
        widest = max(widest, system.starts[h + 1] - system.starts[h])
    room = len(system.walls) + n + widest + 1
    fine_room = room if system.fine.shape[1] > 0 else 0
    return Space(
        np.zeros((units + 1, n), np.int32),
        np.zeros((units + 1, units), np.int32),
        np.zeros((units + 1, units), np.int32),
        np.zeros((units + 1, n, 2, dim)),
        np.zeros((units + 1, 2, dim)),
        np.zeros(units + 1, np.bool_),
        np.zeros(units + 1, np.int32),
        np.zeros(units + 1, np.int32),
        np.zeros(units + 1, np.int32),
        np.full(units, -1, np.int32),
        np.zeros((dim, room)),
        np.zeros(room),
        np.zeros((room, 2), np.int32),
        np.zeros(n, np.int8),
        np.zeros(dim + 1, np.int64),
        np.zeros((dim + 1, dim + 1)),
        np.zeros(dim + 1),
        np.zeros((2, dim + 1)),
        np.zeros(room),
        np.zeros((dim + 1, dim + 1), np.int64),
        np.zeros(dim + 1, np.int64),
        np.zeros(dim + 1, np.int64),
        np.zeros((dim + 1, dim + 1)),
        np.zeros((dim + 1, dim + 1)),
        np.zeros(n),
        np.full((units + 1, n), -1, np.int32),
        np.zeros((2, dim, fine_room)),
        np.zeros(fine_room),
        np.zeros((2, dim + 1, dim + 1)),
        np.zeros((2, dim + 1)),
        np.zeros((2, dim + 1)),
        np.zeros((2, dim + 1, dim + 1)),
        np.zeros(16),
        np.zeros(room, np.int64),
        np.zeros(1, np.int64),
        np.zeros((dim, _FEW)),
        np.zeros(_FEW),
        np.zeros(_FEW, np.int64),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def push_rows(system, space, start, winner, unit, level):
    """Append the rows 'winner beats the other candidates of its unit'; return the new count."""
    dim = system.terms.shape[1]
    base = system.starts[unit]
    count = np.int64(start)
    for p in range(space.n_keys[level, unit]):
        other = space.keys[level, base + p]
        if other == winner or space.state[other] == GONE:
            continue
        inverse = row_into(space.rows, count, system.terms, np.int64(winner), np.int64(other), dim)
        space.rho[count] = row_bound(inverse, system.errors[winner], system.errors[other])
        space.pair[count, 0] = winner
        space.pair[count, 1] = other
        count += 1
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def winner_at(system, space, unit, level, z):
    """The candidate of ``unit`` proved to beat all others at ``z`` (2, D), or -1."""
    dim = system.terms.shape[1]
    base = system.starts[unit]
    size = 0.0
    for k in range(dim):
        size += abs(z[0, k])
    best = -1
    top = -1.0e300
    for p in range(space.n_keys[level, unit]):
        j = space.keys[level, base + p]
        if space.state[j] == GONE:
            continue
        v = 0.0
        for k in range(dim):
            v += system.terms[j, k] * z[0, k]
        space.value[j] = v
        if v > top:
            top = v
            best = j
    # One rounding more than a scalar product has covers the low part of z.
    slack = system.errors[best] + (dim + 4) * _UNIT * system.sizes[best]
    close = 0
    for p in range(space.n_keys[level, unit]):
        j = space.keys[level, base + p]
        if j == best or space.state[j] == GONE:
            continue
        bound = (slack + system.errors[j] + (dim + 4) * _UNIT * system.sizes[j]) * size
        if not top - space.value[j] > bound:
            space.value[j] = np.inf
            close += 1
    if close == 0:
        return best
    return finer_winner(system, space, unit, level, z, best, size)


@njit(nogil=True, cache=True, error_model="numpy")
def finer_winner(system, space, unit, level, z, best, size):
    """The same at twice the precision, among ``best`` and the keys marked by an infinite value."""
    dim = system.terms.shape[1]
    if system.fine.shape[1] == 0:
        return -1
    base = system.starts[unit]
    space.value[best] = np.inf
    first, top, top_low = -1, -1.0e300, 0.0
    for again in range(2):
        for p in range(space.n_keys[level, unit]):
            j = space.keys[level, base + p]
            if space.state[j] == GONE or space.value[j] != np.inf or j == first:
                continue
            v, v_low = 0.0, 0.0
            for k in range(dim):
                s, s_low = twice.multiply(
                    system.fine[0, j, k], system.fine[1, j, k], z[0, k], z[1, k]
                )
                v, v_low = twice.add(v, v_low, s, s_low)
            gap, _ = twice.add(v, v_low, -top, -top_low)
            if again == 0 and gap > 0.0:
                first, top, top_low = j, v, v_low
            elif again == 1:
                errors = system.fine_errors[first] + system.fine_errors[j]
                sizes = system.sizes[first] + system.sizes[j]
                if not -gap > (1.01 * errors + (dim + 4) * twice.EXACT * sizes) * size:
                    return -1
    return first


@njit(nogil=True, cache=True, error_model="numpy")
def likely_support(system, space):
    """Write the basis rows whose weights look positive to ``support``; return their number."""
    count = np.int64(0)
    for i in range(system.terms.shape[1] + 1):
        if space.basis[i] >= 0 and space.weights[i] > 1e-9:
            space.support[count] = space.basis[i]
            count += 1
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def relation_in_integers(system, space, count):
    """Whether the first ``count`` rows of the support are dead in exact integers."""
    dim = system.terms.shape[1]
    if len(system.integers) == 0 or count == 0:
        return False
    for i in range(count):
        a = space.pair[space.support[i], 0]
        b = space.pair[space.support[i], 1]
        for k in range(dim):
            if a < 0:
                space.columns[k, i] = system.wall_integers[b, k]
            else:
                space.columns[k, i] = system.integers[b, k] - system.integers[a, k]
    return positive_relation(space.columns, dim, count, space.work)


@njit(nogil=True, cache=True, error_model="numpy")
def refuted(system, space):
    """Prove the final basis a refutation: in all columns, in fewer, or in integers.

    Returns the number of rows in ``support`` between which a positive relation is proved, 0 where
    none is. Which rows these are depends on the proof: in all columns the whole basis, however
    small some weights are.

    Rows of a few low-rank heads span less than the whole space. A relation between them never
    fills a basis there, but it does in the columns that determine these heads.
    """
    dim = system.terms.shape[1]
    if proves_dead(space.rows, space.rho, system.everywhere, dim, space.basis, space.inverse):
        for i in range(dim + 1):
            space.support[i] = space.basis[i]
        return np.int64(dim + 1)
    count = likely_support(system, space)
    if len(system.ranks) > 1:
        mask = 0
        for i in range(count):
            winner = space.pair[space.support[i], 0]
            unit = len(system.starts) - 1 if winner < 0 else system.unit_of[winner]
            mask |= 1 << unit
        if (
            count > 1
            and system.ranks[mask] == count - 1
            and proves_dead_within(
                space.rows,
                space.rho,
                system.spans[mask],
                count - 1,
                space.support,
                space.small,
                space.small_inverse,
            )
        ):
            return count
    return count if relation_in_integers(system, space, count) else np.int64(0)


@njit(nogil=True, cache=True, error_model="numpy")
def settle_finely(system, space, count, z, counters):
    """Verdict on rows 0..count at twice the precision, and how many rows in ``support`` prove it.

    Besides full bases a pair of rows is tried that are exactly opposite, as walls that heads share.
    """
    dim = system.terms.shape[1]
    rows, rho = space.fine_rows, space.fine_rho
    for i in range(count):
        a, b = space.pair[i, 0], space.pair[i, 1]
        if a < 0:
            rho[i] = twice.wall_into(
                rows, i, system.fine_walls, system.fine_wall_errors, np.int64(b), dim
            )
        else:
            rho[i] = twice.row_into(
                rows, i, system.fine, system.fine_errors, np.int64(a), np.int64(b), dim
            )
    verdict = twice.decide(
        rows,
        rho,
        count,
        dim,
        z,
        space.basis,
        space.fine_inverse,
        space.fine_weights,
        space.fine_column,
        counters,
    )
    used, mask = np.int64(0), 0
    if verdict != DEAD:
        return verdict, used
    for i in range(dim + 1):
        row = space.basis[i]
        positive = row >= 0 and space.fine_weights[0, i] > 1e-24
        if positive:
            winner = space.pair[row, 0]
            mask |= 1 << (len(system.starts) - 1 if winner < 0 else system.unit_of[winner])
            space.support[used] = row
            used += 1
    columns = system.everywhere
    if 1 < used <= dim and len(system.ranks) > 1 and system.ranks[mask] == used - 1:
        columns = system.spans[mask]
    elif used == 2 and dim > 1:
        first, second = space.support[0], space.support[1]
        proved = twice.opposite(rows, rho, first, second, dim, space.exact_sum)
        return (DEAD if proved else AMBIGUOUS), used
    elif used <= dim:
        return AMBIGUOUS, used
    proved = twice.proves_dead(
        rows, rho, columns, used - 1, space.support, space.fine_small, space.fine_inverse
    )
    return (DEAD if proved else AMBIGUOUS), used


@njit(nogil=True, cache=True, error_model="numpy")
def record(log, counters, event, first, second):
    """Append an event; an empty log keeps nothing."""
    if len(log):
        at = counters[LOGGED]
        log[at] = event
        log[at + 1] = first
        log[at + 2] = second
        counters[LOGGED] = at + 3


@njit(nogil=True, cache=True, error_model="numpy")
def record_discard(space, unit, key, used, log, counters):
    """Append a discard with the ``used`` rows of the support that proved it."""
    if not len(log):
        return
    record(log, counters, np.int64(DISCARD), unit, np.int64(key))
    at = counters[LOGGED]
    log[at] = used
    for i in range(used):
        row = space.support[i]
        log[at + 1 + 2 * i] = space.pair[row, 0]
        log[at + 2 + 2 * i] = space.pair[row, 1]
    counters[LOGGED] = at + 1 + 2 * used


@njit(nogil=True, cache=True, error_model="numpy")
def beaten_by_few(system, space, unit, level, key, counters):
    """Number of rows that prove ``key`` dead: live rivals, and some that mattered before.

    They are in ``support``; 0 where that is not proved. Most dead keys die so, and these rows are
    few where a head has many keys.
    """
    dim = system.terms.shape[1]
    base = np.int64(space.n_rows[level])
    few = np.int64(0)
    for p in range(space.n_hot[0]):
        space.few_at[few] = space.hot[p]
        few += 1
    at = base
    for p in range(space.n_keys[level, unit]):
        rival = space.keys[level, system.starts[unit] + p]
        if space.state[rival] == ALIVE and few < _FEW:
            inverse = row_into(space.rows, at, system.terms, np.int64(key), np.int64(rival), dim)
            space.rho[at] = row_bound(inverse, system.errors[key], system.errors[rival])
            space.pair[at, 0] = key
            space.pair[at, 1] = rival
            space.few_at[few] = at
            at += 1
            few += 1
    if at == base:
        return np.int64(0)
    for i in range(few):
        for k in range(dim):
            space.few[k, i] = space.rows[k, space.few_at[i]]
        space.few_rho[i] = space.rho[space.few_at[i]]
    z = space.points[level, key, 0]
    for k in range(dim):
        z[k] = space.z[level, 0, k]
    verdict = decide(
        space.few,
        space.few_rho,
        few,
        dim,
        z,
        space.basis,
        space.inverse,
        space.weights,
        space.scratch,
        space.prices,
        counters,
        np.bool_(False),
    )
    if verdict != DEAD:
        return np.int64(0)
    for i in range(dim + 1):
        if space.basis[i] >= 0:
            space.basis[i] = space.few_at[space.basis[i]]
    return refuted(system, space)


@njit(nogil=True, cache=True, error_model="numpy")
def heat(system, space, level):
    """Remember the node's rows in the basis of a program."""
    for i in range(system.terms.shape[1] + 1):
        row = space.basis[i]
        if 0 <= row < space.n_rows[level] and space.n_hot[0] < _FEW // 2:
            known = False
            for p in range(space.n_hot[0]):
                known = known or space.hot[p] == row
            if not known:
                space.hot[space.n_hot[0]] = row
                space.n_hot[0] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def settle(system, space, unit, level, key, log, counters):
    """Decide by a program whether ``key`` wins somewhere inside the node."""
    dim = system.terms.shape[1]
    base = space.n_rows[level]
    counters[PROGRAMS] += 1
    many = base + space.n_keys[level, unit] > 2 * _FEW
    if many:
        used = beaten_by_few(system, space, unit, level, key, counters)
        if used > 0:
            space.state[key] = GONE
            record_discard(space, unit, key, used, log, counters)
            return
    count = push_rows(system, space, base, key, unit, level)
    for k in range(dim):
        space.points[level, key, 0, k] = space.z[level, 0, k]
        space.points[level, key, 1, k] = 0.0
    verdict = decide(
        space.rows,
        space.rho,
        count,
        dim,
        space.points[level, key, 0],
        space.basis,
        space.inverse,
        space.weights,
        space.scratch,
        space.prices,
        counters,
        np.bool_(False),
    )
    if many:
        heat(system, space, level)
    used = refuted(system, space) if verdict == DEAD else np.int64(0)
    if verdict == DEAD and used == 0:
        verdict = AMBIGUOUS
    if verdict == AMBIGUOUS and system.fine.shape[1] > 0:
        point = space.points[level, key]
        verdict, used = settle_finely(system, space, count, point, counters)
    if verdict == LIVE:
        space.state[key] = ALIVE
    elif verdict == DEAD:
        space.state[key] = GONE
        record_discard(space, unit, key, used, log, counters)
    else:
        space.state[key] = OPEN


@njit(nogil=True, cache=True, error_model="numpy")
def copy_point(source, target):
    """Copy both parts of a point, (2, D)."""
    for k in range(source.shape[1]):
        target[0, k] = source[0, k]
        target[1, k] = source[1, k]


@njit(nogil=True, cache=True, error_model="numpy")
def harvest(system, space, level, first, z):
    """Mark the winners at ``z``, a point inside the node, of all units from ``first`` on."""
    for h in range(first, len(system.starts) - 1):
        if space.fixed[h] >= 0 or space.n_keys[level, h] < 2:
            continue
        key = winner_at(system, space, h, level, z)
        if key >= 0 and space.state[key] == UNDECIDED:
            space.state[key] = ALIVE
            copy_point(z, space.points[level, key])


@njit(nogil=True, cache=True, error_model="numpy")
def inherit(system, space, level):
    """Start a node: all candidates undecided, but for those whose witness fell into it."""
    for h in range(len(system.starts) - 1):
        count = space.n_keys[level, h]
        if space.fixed[h] >= 0 or count < 2:
            continue
        base = system.starts[h]
        for p in range(count):
            key = space.keys[level, base + p]
            space.state[key] = UNDECIDED
            if level > 0 and space.has_z[level]:
                here = space.fixed[space.unit[level - 1]]
                if space.home[level - 1, key] == here:
                    space.state[key] = ALIVE
                    copy_point(space.points[level - 1, key], space.points[level, key])


@njit(nogil=True, cache=True, error_model="numpy")
def place(system, space, level, unit):
    """Find the child of the branching ``unit`` in which each other live key's witness lies."""
    for h in range(len(system.starts) - 1):
        if space.fixed[h] >= 0 or h == unit or space.n_keys[level, h] < 2:
            continue
        base = system.starts[h]
        for p in range(space.n_keys[level, h]):
            key = space.keys[level, base + p]
            space.home[level, key] = -1
            if p < space.n_live[level, h]:
                space.home[level, key] = winner_at(
                    system, space, unit, level, space.points[level, key]
                )


@njit(nogil=True, cache=True, error_model="numpy")
def pack(system, space, level, unit):
    """Order a unit's candidates: live ones, then open ones; drop the dead. Return how many."""
    base = system.starts[unit]
    count = space.n_keys[level, unit]
    total = 0
    for wanted in (ALIVE, OPEN):
        for p in range(total, count):
            key = space.keys[level, base + p]
            if space.state[key] == wanted:
                space.keys[level, base + p] = space.keys[level, base + total]
                space.keys[level, base + total] = key
                total += 1
        if wanted == ALIVE:
            space.n_live[level, unit] = total
    space.n_keys[level, unit] = total
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def expand(system, space, level, log, counters):
    """Decide all candidates at a node; return (branching unit or -1, number of units left)."""
    units = len(system.starts) - 1
    counters[NODES] += 1
    space.n_hot[0] = 0
    inherit(system, space, level)
    if space.has_z[level]:
        harvest(system, space, level, np.int64(0), space.z[level])
    chosen = -1
    fewest = 1 << 30
    left = 0
    for h in range(units):
        count = space.n_keys[level, h]
        if space.fixed[h] >= 0 or count < 2:
            continue
        base = system.starts[h]
        for p in range(count):
            key = space.keys[level, base + p]
            if space.state[key] == UNDECIDED:
                settle(system, space, h, level, key, log, counters)
                if space.state[key] == ALIVE:
                    harvest(system, space, level, h + 1, space.points[level, key])
        total = pack(system, space, level, h)
        if total > 1:
            left += 1
            if total < fewest:
                fewest = total
                chosen = h
    return chosen, left


@njit(nogil=True, cache=True, error_model="numpy")
def descend(system, space, level, unit, key, z, has_z):
    """Open the child of ``level`` in which ``key`` wins ``unit``."""
    units = len(system.starts) - 1
    base = system.starts[unit]
    for p in range(space.n_keys[level, unit]):
        space.state[space.keys[level, base + p]] = OPEN
    space.fixed[unit] = key
    space.n_rows[level + 1] = push_rows(system, space, space.n_rows[level], key, unit, level)
    for h in range(units):
        if space.fixed[h] < 0:
            start = system.starts[h]
            count = space.n_keys[level, h]
            space.n_keys[level + 1, h] = count
            for p in range(count):
                space.keys[level + 1, start + p] = space.keys[level, start + p]
    space.has_z[level + 1] = has_z
    copy_point(z, space.z[level + 1])


@njit(nogil=True, cache=True, error_model="numpy")
def write_pattern(system, space, level, out):
    """Pattern of a node whose units are all fixed or have one candidate."""
    for h in range(len(out)):
        if space.fixed[h] >= 0:
            out[h] = space.fixed[h]
        else:
            out[h] = space.keys[level, system.starts[h]]


@njit(nogil=True, cache=True, error_model="numpy")
def write_path(space, level, unit, key, out):
    """Path (unit, key), (unit, key), ... to a child of ``level``, closed by -1."""
    at = 0
    for up in range(level):
        out[at] = space.unit[up]
        out[at + 1] = space.fixed[space.unit[up]]
        at += 2
    out[at] = unit
    out[at + 1] = key
    if at + 2 < len(out):
        out[at + 2] = -1


@njit(nogil=True, cache=True, error_model="numpy")
def leaf(system, space, level, unit, patterns, points, deferred, log, counters, emit):
    """Count (and write) the cells of a node with at most one undecided unit."""
    cells = np.int64(1) if unit < 0 else np.int64(space.n_live[level, unit])
    record(log, counters, np.int64(LEAF), unit, cells)
    if unit < 0:
        if emit:
            write_pattern(system, space, level, patterns[counters[CELLS]])
            copy_point(space.z[level], points[counters[CELLS]])
        counters[CELLS] += 1
        return
    base = system.starts[unit]
    live = space.n_live[level, unit]
    for p in range(space.n_keys[level, unit]):
        key = space.keys[level, base + p]
        if p < live:
            if emit:
                write_pattern(system, space, level, patterns[counters[CELLS]])
                patterns[counters[CELLS], unit] = key
                copy_point(space.points[level, key], points[counters[CELLS]])
            counters[CELLS] += 1
        else:
            write_path(space, level, unit, key, deferred[counters[DEFERRED]])
            counters[DEFERRED] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def write_candidates(system, space, level, out):
    """Mark the keys not proved dead at a node, those of a fixed unit as they were when it branched.

    Whoever takes over a child starts from them and need not search for them again.
    """
    out[:] = False
    for h in range(len(system.starts) - 1):
        at = 0
        while at < level and space.unit[at] != h:
            at += 1
        for p in range(space.n_keys[at, h]):
            out[space.keys[at, system.starts[h] + p]] = True


@njit(nogil=True, cache=True, error_model="numpy")
def dump(system, space, level, rest, rest_points, rest_level, candidates, counters):
    """Write every child not yet opened, from the root down, and the candidates at each level."""
    for up in range(level + 1):
        unit = np.int64(space.unit[up])
        base = system.starts[unit]
        if space.at[up] < space.n_live[up, unit]:
            write_candidates(system, space, up, candidates[up])
        for p in range(space.at[up], space.n_live[up, unit]):
            key = space.keys[up, base + p]
            write_path(space, up, unit, key, rest[counters[REST]])
            rest_level[counters[REST]] = up
            copy_point(space.points[up, key], rest_points[counters[REST]])
            counters[REST] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def search(
    system,
    path,
    z,
    has_z,
    alive,
    budget,
    emit,
    patterns,
    points,
    deferred,
    rest,
    rest_points,
    rest_level,
    candidates,
    log,
    stop,
):
    """Enumerate the subtree below ``path``; return the counters.

    ``path`` (2H,) pairs (unit, key), closed by -1; ``z`` (2, D) its witness where ``has_z``, high
    and low part; ``alive`` (n,) the candidates above it, or (0,): to be found again. ``budget``
    bounds the programs. ``patterns`` (cap, H), ``points`` (cap, 2, D) are written where ``emit``;
    ``deferred`` (cap, 2H), ``rest`` (>= n, 2H), ``rest_points`` (>= n, 2, D), ``rest_level``
    (>= n,) the row of ``candidates`` (H, n) for each. ``log`` takes the events (empty: none).
    ``stop[0]`` is polled.
    """
    counters = np.zeros(N_COUNTERS, np.int64)
    units = len(system.starts) - 1
    dim = system.terms.shape[1]
    space = make_space(system)
    widest = 1
    for h in range(units):
        count = system.starts[h + 1] - system.starts[h]
        widest = max(widest, count)
        for j in range(system.starts[h], system.starts[h + 1]):
            if len(alive) == 0 or alive[j]:
                space.keys[0, system.starts[h] + space.n_keys[0, h]] = j
                space.n_keys[0, h] += 1
    for i in range(len(system.walls)):
        for k in range(dim):
            space.rows[k, i] = system.walls[i, k]
        space.rho[i] = system.wall_rho[i]
        space.pair[i, 0] = -1
        space.pair[i, 1] = i
    space.n_rows[0] = len(system.walls)
    space.has_z[0] = has_z
    copy_point(z, space.z[0])
    # A node logs at most one discard a key, its branch and its leaf.
    room = len(system.terms) * (2 * dim + 6) + 3 * units + 9
    # Typed, not literal: a literal would compile every callee a second time.
    level = np.int64(0)
    yes, zero = np.bool_(True), np.int64(0)
    while 2 * level < len(path) and path[2 * level] >= 0:
        if len(alive) == 0:
            expand(system, space, level, log, counters)
        unit = np.int64(path[2 * level])
        space.unit[level] = unit
        for j in range(len(system.terms)):
            space.home[level, j] = -1
        # The siblings are somebody else's work.
        space.at[level] = space.n_live[level, unit]
        record(log, counters, np.int64(CHILD), unit, np.int64(path[2 * level + 1]))
        descend(system, space, level, unit, path[2 * level + 1], z, has_z)
        level += 1
    bottom = level
    unit, left = expand(system, space, level, log, counters)
    if left <= 1:
        leaf(system, space, level, unit, patterns, points, deferred, log, counters, emit)
        return counters
    space.unit[level] = unit
    space.at[level] = 0
    place(system, space, level, unit)
    defer_open(system, space, level, deferred, counters)
    while level >= bottom:
        unit = np.int64(space.unit[level])
        space.fixed[unit] = -1
        if space.at[level] >= space.n_live[level, unit]:
            record(log, counters, np.int64(UP), zero, zero)
            level -= 1
            continue
        full = (
            (emit and counters[CELLS] + widest > len(patterns))
            or counters[DEFERRED] + widest > len(deferred)
            or (len(log) > 0 and counters[LOGGED] + room > len(log))
        )
        if full or counters[PROGRAMS] > budget or stop[0] != 0:
            dump(system, space, level, rest, rest_points, rest_level, candidates, counters)
            return counters
        key = space.keys[level, system.starts[unit] + space.at[level]]
        space.at[level] += 1
        descend(system, space, level, unit, key, space.points[level, key], yes)
        level += 1
        above = np.int64(space.unit[level - 1])
        record(log, counters, np.int64(CHILD), above, np.int64(key))
        unit, left = expand(system, space, level, log, counters)
        if left <= 1:
            leaf(system, space, level, unit, patterns, points, deferred, log, counters, emit)
            record(log, counters, np.int64(UP), zero, zero)
            level -= 1
        else:
            space.unit[level] = unit
            space.at[level] = 0
            place(system, space, level, unit)
            defer_open(system, space, level, deferred, counters)
    return counters


@njit(nogil=True, cache=True, error_model="numpy")
def defer_open(system, space, level, deferred, counters):
    """Hand the branching unit's ambiguous keys to the caller."""
    unit = np.int64(space.unit[level])
    base = system.starts[unit]
    for p in range(space.n_live[level, unit], space.n_keys[level, unit]):
        write_path(space, level, unit, space.keys[level, base + p], deferred[counters[DEFERRED]])
        counters[DEFERRED] += 1
