"""Does a key win somewhere inside a node of the search? By points, by programs, with proofs.

A key that doubles decide neither way is left OPEN, or, where the search has the rows as ``Fine``,
tried at twice the precision (``twice``): witnesses may lie in slivers that doubles do not resolve.
Without them the code for it is not even compiled.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels import twice
from tropattn._kernels.compiling import fragment
from tropattn._kernels.cone import (
    FEASIBLE,
    INFEASIBLE,
    decide,
    integers_into,
    positive_relation,
    proves_infeasible,
    proves_infeasible_within,
    row_bound,
    row_into,
)
from tropattn._kernels.system import FEW

UNDECIDED = 0
ALIVE = 1
GONE = 2
OPEN = 3

_UNIT = 2.0**-53


@fragment(error_model="numpy")
def push_rows(system, space, start, winner, unit, level):
    """Append the rows 'winner beats the other candidates of its unit'; return the new count."""
    base = system.starts[unit]
    keys, state = space.keys, space.state
    count = np.int64(start)
    for p in range(space.n_keys[level, unit]):
        other = keys[level, base + p]
        if other != winner and state[other] != GONE:
            push_row(system, space, count, np.int64(winner), np.int64(other))
            count += 1
    return count


@fragment(error_model="numpy")
def push_row(system, space, at, winner, loser):
    """Write the row 'winner beats loser'."""
    dim = system.terms.shape[1]
    inverse = row_into(space.rows, at, system.terms, winner, loser, dim)
    space.rho[at] = row_bound(inverse, system.errors[winner], system.errors[loser])
    space.pair[at, 0] = winner
    space.pair[at, 1] = loser


@fragment(error_model="numpy")
def winner_at(system, space, fine, unit, level, z):
    """The candidate of ``unit`` proved to beat all others at ``z`` (2, D), or -1."""
    terms, errors, sizes = system.terms, system.errors, system.sizes
    keys, state, value = space.keys, space.state, space.value
    dim = terms.shape[1]
    base, count = system.starts[unit], space.n_keys[level, unit]
    size = 0.0
    for k in range(dim):
        size += abs(z[0, k])
    best = np.int64(-1)
    top = -1.0e300
    for p in range(count):
        j = keys[level, base + p]
        if state[j] == GONE:
            continue
        v = 0.0
        for k in range(dim):
            v += terms[j, k] * z[0, k]
        value[j] = v
        if v > top:
            top = v
            best = j
    # One rounding more than a scalar product has covers the low part of z.
    slack = errors[best] + (dim + 4) * _UNIT * sizes[best]
    close = 0
    for p in range(count):
        j = keys[level, base + p]
        if j == best or state[j] == GONE:
            continue
        bound = (slack + errors[j] + (dim + 4) * _UNIT * sizes[j]) * size
        if not top - value[j] > bound:
            value[j] = np.inf
            close += 1
    if close == 0:
        return best
    if fine is None:
        return np.int64(-1)
    return finer_winner(system, space, fine, unit, level, z, best, size)


@fragment(error_model="numpy")
def finer_winner(system, space, fine, unit, level, z, best, size):
    """The same at twice the precision, among ``best`` and the keys marked by an infinite value."""
    dim, base, terms = system.terms.shape[1], system.starts[unit], fine.terms
    space.value[best] = np.inf
    first, top, top_low = np.int64(-1), -1.0e300, 0.0
    for again in range(2):
        for p in range(space.n_keys[level, unit]):
            j = space.keys[level, base + p]
            if space.state[j] == GONE or space.value[j] != np.inf or j == first:
                continue
            v, v_low = 0.0, 0.0
            for k in range(dim):
                s, s_low = twice.multiply(terms[0, j, k], terms[1, j, k], z[0, k], z[1, k])
                v, v_low = twice.add(v, v_low, s, s_low)
            gap, _ = twice.add(v, v_low, -top, -top_low)
            if again == 0 and gap > 0.0:
                first, top, top_low = j, v, v_low
            elif again == 1:
                errors = fine.errors[first] + fine.errors[j]
                sizes = system.sizes[first] + system.sizes[j]
                if not -gap > (1.01 * errors + (dim + 4) * twice.EXACT * sizes) * size:
                    return np.int64(-1)
    return first


@fragment(error_model="numpy")
def likely_support(system, space):
    """Write the basis rows whose weights look positive to ``support``; return their number."""
    count = np.int64(0)
    for i in range(system.terms.shape[1] + 1):
        row = space.simplex.basis[i]
        if row >= 0 and space.simplex.weights[i] > 1e-9:
            space.support[count] = row
            count += 1
    return count


@fragment(error_model="numpy")
def relation_in_integers(system, space, count):
    """Whether the first ``count`` rows of the support are dead in exact integers."""
    dim = system.terms.shape[1]
    if len(system.integers) == 0 or count == 0:
        return False
    for i in range(count):
        a = np.int64(space.pair[space.support[i], 0])
        b = np.int64(space.pair[space.support[i], 1])
        other = -2 - b if a < 0 else b
        integers_into(space.columns, i, system.integers, system.wall_integers, a, other)
    return positive_relation(space.columns, dim, count)


@fragment(error_model="numpy")
def units_of_support(system, space, count):
    """The units of the first ``count`` rows of the support as bits; one more for the walls."""
    mask = 0
    for i in range(count):
        winner = space.pair[space.support[i], 0]
        mask |= 1 << (len(system.starts) - 1 if winner < 0 else system.unit_of[winner])
    return mask


@fragment(error_model="numpy")
def refuted(system, space):
    """Prove the final basis a refutation: in all columns, in fewer, or in integers.

    Returns the number of rows in ``support`` between which a positive relation is proved, 0 where
    none is. Rows of a few low-rank heads span less than the whole space: a relation between them
    never fills a basis there, but it does in the columns that determine these heads.
    """
    dim = system.terms.shape[1]
    rows, rho, support = space.rows, space.rho, space.support
    basis, inverse = space.simplex.basis, space.simplex.inverse
    if proves_infeasible(rows, rho, system.everywhere, dim, basis, inverse):
        for i in range(dim + 1):
            support[i] = basis[i]
        return np.int64(dim + 1)
    count = likely_support(system, space)
    if len(system.ranks) > 1:
        mask = units_of_support(system, space, count)
        columns = system.spans[mask]
        within = count > 1 and system.ranks[mask] == count - 1
        if within and proves_infeasible_within(
            rows, rho, columns, count - 1, support, space.matrix, space.inverse
        ):
            return count
    return count if relation_in_integers(system, space, count) else np.int64(0)


@fragment(error_model="numpy")
def beaten_by_few(system, space, unit, level, key):
    """Number of rows in ``support`` that prove ``key`` dead: live rivals, some that mattered; or 0.

    Most dead keys die so, and these rows are few where a head has many keys.
    """
    dim = system.terms.shape[1]
    base, basis = np.int64(space.n_rows[level]), space.simplex.basis
    few = np.int64(0)
    for p in range(space.n_hot):
        space.few_at[few] = space.hot[p]
        few += 1
    at = base
    for p in range(space.n_keys[level, unit]):
        rival = space.keys[level, system.starts[unit] + p]
        if space.state[rival] == ALIVE and few < FEW:
            push_row(system, space, at, np.int64(key), np.int64(rival))
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
    if decide(space.few, space.few_rho, few, dim, z, space.simplex) != INFEASIBLE:
        return np.int64(0)
    for i in range(dim + 1):
        if basis[i] >= 0:
            basis[i] = space.few_at[basis[i]]
    return refuted(system, space)


@fragment(error_model="numpy")
def heat(system, space, level):
    """Remember the node's rows in the basis of a program."""
    for i in range(system.terms.shape[1] + 1):
        row = space.simplex.basis[i]
        if 0 <= row < space.n_rows[level] and space.n_hot < FEW // 2:
            known = False
            for p in range(space.n_hot):
                known = known or space.hot[p] == row
            if not known:
                space.hot[space.n_hot] = row
                space.n_hot += 1


@fragment(error_model="numpy")
def settle(system, space, unit, level, key):
    """Write whether ``key`` wins inside the node, by a program; how many rows prove it GONE."""
    dim = system.terms.shape[1]
    base, point = space.n_rows[level], space.points[level, key]
    many = base + space.n_keys[level, unit] > 2 * FEW
    used = beaten_by_few(system, space, unit, level, key) if many else np.int64(0)
    if used > 0:
        space.state[key] = GONE
        return used
    space.count = push_rows(system, space, base, key, unit, level)
    for k in range(dim):
        point[0, k] = space.z[level, 0, k]
        point[1, k] = 0.0
    verdict = decide(space.rows, space.rho, space.count, dim, point[0], space.simplex)
    if many:
        heat(system, space, level)
    if verdict == INFEASIBLE:
        used = refuted(system, space)
    space.state[key] = ALIVE if verdict == FEASIBLE else (GONE if used > 0 else OPEN)
    return used


@fragment(error_model="numpy")
def refuted_finely(system, space, fine):
    """As ``refuted``, at twice the precision; also by two opposite rows, walls that heads share."""
    dim = system.terms.shape[1]
    rows, rho, simplex, support = fine.rows, fine.rho, fine.simplex, space.support
    used = np.int64(0)
    for i in range(dim + 1):
        row = simplex.basis[i]
        if row >= 0 and simplex.weights[0, i] > 1e-24:
            support[used] = row
            used += 1
    columns, spanned = system.everywhere, used == dim + 1
    if 1 < used <= dim and len(system.ranks) > 1:
        mask = units_of_support(system, space, used)
        spanned = system.ranks[mask] == used - 1
        columns = system.spans[mask]
    if spanned:
        proved = twice.proves_infeasible(rows, rho, columns, used - 1, support, simplex)
    else:
        proved = used == 2 and twice.opposite(rows, rho, support[0], support[1], dim, simplex.sum)
    return used if proved else np.int64(0)


@fragment(error_model="numpy")
def settle_finely(system, space, fine, level, key):
    """The same at twice the precision, for a key that ``settle`` has just left open."""
    dim = system.terms.shape[1]
    rows, rho, point = fine.rows, fine.rho, space.points[level, key]
    for i in range(space.count):
        a, b = np.int64(space.pair[i, 0]), np.int64(space.pair[i, 1])
        if a < 0:
            rho[i] = twice.wall_into(rows, i, fine.walls, fine.wall_errors, b, dim)
        else:
            rho[i] = twice.row_into(rows, i, fine.terms, fine.errors, a, b, dim)
    verdict = twice.decide(rows, rho, space.count, dim, point, fine.simplex)
    used = refuted_finely(system, space, fine) if verdict == INFEASIBLE else np.int64(0)
    if verdict == FEASIBLE:
        space.state[key] = ALIVE
    elif used > 0:
        space.state[key] = GONE
    return used


@fragment(error_model="numpy")
def copy_point(source, target):
    """Copy both parts of a point, (2, D)."""
    for k in range(source.shape[1]):
        target[0, k] = source[0, k]
        target[1, k] = source[1, k]
