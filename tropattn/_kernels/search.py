"""Depth-first enumeration of the common refinement of many tropical polynomials.

All data are homogeneous: a term is a row in R^D, a point is a direction z in R^D, a cell of pattern
(j_1, ..., j_H) is the open cone where row j_h beats every other row of unit h, inside the walls of
the domain. A node of the search fixes the winners of some units; it carries a witness, the rows
that cut it out, and for every unit not yet fixed the keys that may still win inside it. At a node

    1. points already known to lie inside it find winners: its own witness, the parent's witnesses
       that fall into it, and every new witness for all units at once,
    2. a small linear program decides each key that is left, with a proof either way (``keys``),
    3. keys proved dead are dropped for the whole subtree,
    4. the unit with the fewest keys left (two or more) branches over its live keys.

A key that is proved neither way is not guessed: its branch is written to ``deferred`` for the
caller. When the budget or an output buffer runs out, what is left of the search is written to
``rest`` as paths from the root, so work can be split, resumed and stopped at any node.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.keys import (
    ALIVE,
    GONE,
    OPEN,
    UNDECIDED,
    copy_point,
    push_rows,
    settle,
    settle_finely,
    winner_at,
)
from tropattn._kernels.structures import structure

PIVOTS, PROGRAMS, NODES, CELLS, DEFERRED, REST, LOGGED = range(7)
N_COUNTERS = 7

# Events of the log from which a search can be checked step by step (``regions/certificates``).
# Typed, for each plain number would compile the kernels that take it once more.
DISCARD = np.int64(1)  # unit, key, number of rows, then (winner, loser) pairs; (-1, wall) for walls
CHILD = np.int64(2)  # unit, key
UP = np.int64(3)
LEAF = np.int64(4)  # unit or -1, number of cells written


@structure
class Out:
    """What a search hands back, and counters that say how much of it is written."""

    counters: np.ndarray  # (N_COUNTERS,) int64
    emit: bool  # whether patterns and points are written
    patterns: np.ndarray  # (cap, H) int32
    points: np.ndarray  # (cap, 2, D) high and low part
    deferred: np.ndarray  # (cap, 2H) int32 paths
    rest: np.ndarray  # (>= n, 2H) int32 paths
    rest_points: np.ndarray  # (>= n, 2, D)
    rest_level: np.ndarray  # (>= n,) the row of ``candidates`` for each
    candidates: np.ndarray  # (H, n) bool
    log: np.ndarray  # int32 events, or empty: none


def make_buffers(heads, n, dim, cells, deferred, logged):
    """What a search fills, by the names of ``Out``: room for cells, deferred paths and events."""
    return {
        "counters": np.zeros(N_COUNTERS, np.int64),
        "patterns": np.empty((cells, heads), np.int32),
        "points": np.empty((cells, 2, dim)),
        "deferred": np.empty((deferred, 2 * heads), np.int32),
        "rest": np.empty((n + 1, 2 * heads), np.int32),
        "rest_points": np.empty((n + 1, 2, dim)),
        "rest_level": np.empty(n + 1, np.int64),
        "candidates": np.empty((heads, n), np.bool_),
        "log": np.empty(logged, np.int32),
    }


@fragment(error_model="numpy")
def record(out, event, first, second):
    """Append an event; an empty log keeps nothing."""
    if len(out.log):
        at = out.counters[LOGGED]
        out.log[at] = event
        out.log[at + 1] = first
        out.log[at + 2] = second
        out.counters[LOGGED] = at + 3


@fragment(error_model="numpy")
def record_discard(space, unit, key, used, out):
    """Append a discard with the ``used`` rows of the support that proved it."""
    if not len(out.log):
        return
    record(out, DISCARD, unit, key)
    at = out.counters[LOGGED]
    out.log[at] = used
    for i in range(used):
        row = space.support[i]
        out.log[at + 1 + 2 * i] = space.pair[row, 0]
        out.log[at + 2 + 2 * i] = space.pair[row, 1]
    out.counters[LOGGED] = at + 1 + 2 * used


@fragment(error_model="numpy")
def harvest(system, space, fine, level, first, z):
    """Mark the winners at ``z``, a point inside the node, of all units from ``first`` on."""
    for h in range(first, len(system.starts) - 1):
        if space.fixed[h] >= 0 or space.n_keys[level, h] < 2:
            continue
        key = winner_at(system, space, fine, h, level, z)
        if key >= 0 and space.state[key] == UNDECIDED:
            space.state[key] = ALIVE
            copy_point(z, space.points[level, key])


@fragment(error_model="numpy")
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


@fragment(error_model="numpy")
def place(system, space, fine, level, unit):
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
                    system, space, fine, unit, level, space.points[level, key]
                )


@fragment(error_model="numpy")
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


@fragment(error_model="numpy")
def expand(system, space, fine, level, out):
    """Decide all candidates at a node; return (branching unit or -1, number of units left)."""
    out.counters[NODES] += 1
    space.n_hot = 0
    inherit(system, space, level)
    if space.has_z[level]:
        harvest(system, space, fine, level, np.int64(0), space.z[level])
    chosen = np.int64(-1)
    fewest = 1 << 30
    left = 0
    for h in range(len(system.starts) - 1):
        if space.fixed[h] >= 0 or space.n_keys[level, h] < 2:
            continue
        for p in range(space.n_keys[level, h]):
            key = np.int64(space.keys[level, system.starts[h] + p])
            if space.state[key] != UNDECIDED:
                continue
            out.counters[PROGRAMS] += 1
            used = settle(system, space, h, level, key)
            if fine is not None and space.state[key] == OPEN:
                used = settle_finely(system, space, fine, level, key)
            if space.state[key] == ALIVE:
                harvest(system, space, fine, level, h + 1, space.points[level, key])
            elif space.state[key] == GONE:
                record_discard(space, h, key, used, out)
        total = pack(system, space, level, h)
        if total > 1:
            left += 1
            if total < fewest:
                fewest = total
                chosen = h
    return chosen, left


@fragment(error_model="numpy")
def descend(system, space, level, unit, key, z, has_z, out):
    """Open the child of ``level`` in which ``key`` wins ``unit``."""
    record(out, CHILD, unit, key)
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


@fragment(error_model="numpy")
def write_pattern(system, space, level, out):
    """Pattern of a node whose units are all fixed or have one candidate."""
    for h in range(len(out)):
        if space.fixed[h] >= 0:
            out[h] = space.fixed[h]
        else:
            out[h] = space.keys[level, system.starts[h]]


@fragment(error_model="numpy")
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


@fragment(error_model="numpy")
def defer_open(system, space, level, unit, out):
    """Hand a unit's ambiguous keys to the caller; live ones stand before them."""
    base = system.starts[unit]
    for p in range(space.n_live[level, unit], space.n_keys[level, unit]):
        key = space.keys[level, base + p]
        write_path(space, level, unit, key, out.deferred[out.counters[DEFERRED]])
        out.counters[DEFERRED] += 1


@fragment(error_model="numpy")
def leaf(system, space, level, unit, out):
    """Count (and write) the cells of a node with at most one undecided unit."""
    cells = np.int64(1) if unit < 0 else np.int64(space.n_live[level, unit])
    record(out, LEAF, unit, cells)
    at = out.counters[CELLS]
    out.counters[CELLS] += cells
    if out.emit:
        for p in range(cells):
            write_pattern(system, space, level, out.patterns[at + p])
            if unit < 0:
                copy_point(space.z[level], out.points[at])
            else:
                key = space.keys[level, system.starts[unit] + p]
                out.patterns[at + p, unit] = key
                copy_point(space.points[level, key], out.points[at + p])
    if unit >= 0:
        defer_open(system, space, level, unit, out)


@fragment(error_model="numpy")
def write_candidates(system, space, level, out):
    """Mark the keys not proved dead at a node, of a fixed unit those when it branched."""
    out[:] = False
    for h in range(len(system.starts) - 1):
        at = 0
        while at < level and space.unit[at] != h:
            at += 1
        for p in range(space.n_keys[at, h]):
            out[space.keys[at, system.starts[h] + p]] = True


@fragment(error_model="numpy")
def dump(system, space, level, out):
    """Write every child not yet opened, from the root down, and the candidates at each level."""
    for up in range(level + 1):
        unit = np.int64(space.unit[up])
        base = system.starts[unit]
        if space.at[up] < space.n_live[up, unit]:
            write_candidates(system, space, up, out.candidates[up])
        for p in range(space.at[up], space.n_live[up, unit]):
            at = out.counters[REST]
            key = space.keys[up, base + p]
            write_path(space, up, unit, key, out.rest[at])
            out.rest_level[at] = up
            copy_point(space.points[up, key], out.rest_points[at])
            out.counters[REST] += 1


@fragment(error_model="numpy")
def begin(system, space, z, has_z, alive):
    """Make the root a node with the walls for rows and all candidates."""
    for h in range(len(system.starts) - 1):
        for j in range(system.starts[h], system.starts[h + 1]):
            if len(alive) == 0 or alive[j]:
                space.keys[0, system.starts[h] + space.n_keys[0, h]] = j
                space.n_keys[0, h] += 1
    for i in range(len(system.walls)):
        for k in range(system.walls.shape[1]):
            space.rows[k, i] = system.walls[i, k]
        space.rho[i] = system.wall_rho[i]
        space.pair[i, 0] = -1
        space.pair[i, 1] = i
    space.n_rows[0] = len(system.walls)
    space.has_z[0] = has_z
    copy_point(z, space.z[0])


@fragment(error_model="numpy")
def follow(system, space, level, path, z, has_z, out):
    """Open the child of ``level`` on a path, and none of its siblings: they are others' work."""
    unit, key = np.int64(path[2 * level]), np.int64(path[2 * level + 1])
    space.unit[level] = unit
    for j in range(len(system.terms)):
        space.home[level, j] = -1
    space.at[level] = space.n_live[level, unit]
    descend(system, space, level, unit, key, z, has_z, out)


@fragment(error_model="numpy")
def branch(system, space, fine, level, unit, out):
    """Let a node branch over the live keys of a unit; open ones go to the caller."""
    space.unit[level] = unit
    space.at[level] = 0
    place(system, space, fine, level, unit)
    defer_open(system, space, level, unit, out)


@fragment(error_model="numpy")
def full(system, out):
    """Whether one node more might not find room in what is handed back."""
    counters, log = out.counters, out.log
    # A node writes at most a cell or a path per key of one unit ...
    units, widest = len(system.starts) - 1, 1
    for h in range(units):
        widest = max(widest, system.starts[h + 1] - system.starts[h])
    # ... and logs at most a discard per key, its branch and its leaf.
    n, dim = system.terms.shape
    room = n * (2 * dim + 6) + 3 * units + 9
    return (
        (out.emit and counters[CELLS] + widest > len(out.patterns))
        or counters[DEFERRED] + widest > len(out.deferred)
        or (len(log) > 0 and counters[LOGGED] + room > len(log))
    )


@njit(nogil=True, cache=True, error_model="numpy")
def search(system, space, fine, out, path, z, has_z, alive, budget, stop):
    """Enumerate the subtree below ``path`` into ``out``, on fresh scratch ``space``.

    ``fine`` is the system at twice the precision, or None: what doubles leave open is deferred.
    ``path`` (2H,) pairs (unit, key), closed by -1; ``z`` (2, D) its witness where ``has_z``, high
    and low part; ``alive`` (n,) the candidates above it, or (0,): to be found again. ``budget``
    bounds the programs, ``stop[0]`` is polled.
    """
    counters = out.counters
    begin(system, space, z, has_z, alive)
    bottom = np.int64(0)
    while 2 * bottom < len(path) and path[2 * bottom] >= 0:
        bottom += 1
    level, new, zero, yes = np.int64(0), True, np.int64(0), np.bool_(True)
    while new or level >= bottom:
        unit, left = np.int64(-1), 0
        if new and (level >= bottom or len(alive) == 0):
            unit, left = expand(system, space, fine, level, out)
        if level < bottom:
            follow(system, space, level, path, z, has_z, out)
            level += 1
            continue
        if new and left > 1:
            branch(system, space, fine, level, unit, out)
        elif new:
            leaf(system, space, level, unit, out)
            if level > bottom:
                record(out, UP, zero, zero)
            level -= 1
            new = False
            continue
        unit = np.int64(space.unit[level])
        space.fixed[unit] = -1
        new = space.at[level] < space.n_live[level, unit]
        if not new:
            record(out, UP, zero, zero)
            level -= 1
        elif counters[PROGRAMS] > budget or stop[0] != 0 or full(system, out):
            dump(system, space, level, out)
            break
        else:
            key = np.int64(space.keys[level, system.starts[unit] + space.at[level]])
            space.at[level] += 1
            descend(system, space, level, unit, key, space.points[level, key], yes, out)
            level += 1
    counters[PIVOTS] = space.simplex.pivots
    if fine is not None:
        counters[PIVOTS] += fine.simplex.pivots
