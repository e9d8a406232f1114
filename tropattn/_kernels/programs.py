"""Many small programs under way at once, one per row of a large set, that draw on it at need.

Each program (``nnls``) holds the few other rows that have mattered to its row so far and proposes a
direction. The directions of all of them are tried against the whole set in one pass in single
precision (``simd``), and rows that beat a program's own there may join it. Hence a row costs a
few passes over the set, shared by 32 rows, and exchanges among a few dozen rows.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels import nnls
from tropattn._kernels.compiling import fragment
from tropattn._kernels.cone import row_into
from tropattn._kernels.simd import SINGLE, top_two
from tropattn._kernels.structures import structure

PARTS = 32
"""Parts of the set, each of which may send a row to a program after one pass."""

MOST_ROUNDS = 500

_SPARE = 16 * PARTS
_MEMORY = 2**22
"""Entries of the inverses of all programs under way."""


@structure
class Programs:
    """The programs under way, one per lane; K coordinates each, directions those of the set."""

    key: np.ndarray  # (L,) the row it decides, -1 where idle
    count: np.ndarray  # (L,) joined rows
    size: np.ndarray  # (L,) held rows
    rounds: np.ndarray  # (L,) how often it ran
    label: np.ndarray  # (L, room) names of joined rows
    system: np.ndarray  # (L, K, room) joined minus own rows, at unit length; 1 if K is one more
    scale: np.ndarray  # (L, room) their lengths, inverted
    direction: np.ndarray  # (L, D)
    names: np.ndarray  # (L, K), and the rest as ``nnls.Held``
    held: np.ndarray
    inverse: np.ndarray
    goal: np.ndarray
    weights: np.ndarray


@structure
class Tried:
    """What one pass over the set finds for the directions of all lanes."""

    block: np.ndarray  # (D, SINGLE) the directions
    best: np.ndarray  # (P, SINGLE) best score in each part of the set
    second: np.ndarray  # (P, SINGLE)
    winner: np.ndarray  # (P, SINGLE) the row that is best
    scores: np.ndarray  # (4, SINGLE) scratch


def most_joined(n, width, first):
    """The most rows that a program over a set of ``n`` holds; ``first`` join unasked."""
    return first + min(n, 2 * width + _SPARE)


def make_programs(n, dim, width, first, most):
    """Idle lanes for a set of ``n`` rows of ``dim`` coordinates; ``first`` rows join unasked."""
    lanes, room = (
        max(1, min(SINGLE, most, _MEMORY // (width * width))),
        most_joined(n, width, first),
    )
    return Programs(
        key=np.full(lanes, -1, np.int64),
        count=np.zeros(lanes, np.int64),
        size=np.zeros(lanes, np.int64),
        rounds=np.zeros(lanes, np.int64),
        label=np.zeros((lanes, room), np.int64),
        system=np.zeros((lanes, width, room)),
        scale=np.ones((lanes, room)),
        direction=np.zeros((lanes, dim)),
        names=np.zeros((lanes, width), np.int64),
        held=np.zeros((lanes, width, width)),
        inverse=np.zeros((lanes, width, width)),
        goal=np.zeros((lanes, width)),
        weights=np.zeros((lanes, width)),
    )


def make_tried(near):
    """Room for one pass over ``near``."""
    parts = min(PARTS, len(near) // 4)
    return Tried(
        block=np.zeros((near.shape[1], SINGLE), np.float32),
        best=np.full((parts, SINGLE), -np.inf, np.float32),
        second=np.full((parts, SINGLE), -np.inf, np.float32),
        winner=np.zeros((parts, SINGLE), np.int32),
        scores=np.zeros((4, SINGLE), np.float32),
    )


@fragment(error_model="numpy")
def begin(programs, lane, j, point):
    """Begin the program of row ``j`` with a first direction and no rows."""
    programs.key[lane] = j
    programs.count[lane] = 0
    programs.size[lane] = 0
    programs.rounds[lane] = 0
    for k in range(len(point)):
        programs.direction[lane, k] = point[k]


@fragment(error_model="numpy")
def held_by(programs, lane):
    """The rows that a program holds."""
    return nnls.Held(
        programs.names[lane],
        programs.held[lane],
        programs.inverse[lane],
        programs.goal[lane],
        programs.weights[lane],
    )


@fragment(error_model="numpy")
def try_directions(programs, near, tried):
    """Scale all directions to length 1 and find the best rows of each part of the set there."""
    dim, block = near.shape[1], tried.block
    for lane in range(len(programs.key)):
        z = programs.direction[lane]
        length = np.sqrt(nnls.inner(z, z, dim))
        for k in range(dim):
            z[k] = z[k] / length if length > 0.0 else 0.0
            block[k, lane] = np.float32(z[k])
    parts = len(tried.best)
    step = 4 * ((len(near) // 4 + parts - 1) // parts)
    for p in range(parts):
        start = min(p * step, len(near))
        stop = min(start + step, len(near))
        best, second, winner = tried.best[p], tried.second[p], tried.winner[p]
        top_two(near, start, stop, block, best, second, winner, tried.scores)
        for r in range(SINGLE):
            tried.winner[p, r] += np.int32(start)


@fragment(error_model="numpy")
def lead_of_own(programs, lane, tried):
    """By how much the program's row leads all others at its direction; -1 where it does not."""
    best, top = tried.best, 0
    for p in range(1, len(best)):
        if best[p, lane] > best[top, lane]:
            top = p
    if tried.winner[top, lane] != programs.key[lane]:
        return -1.0
    other = tried.second[top, lane]
    for p in range(len(best)):
        if p != top and best[p, lane] > other:
            other = best[p, lane]
    return np.float64(best[top, lane]) - np.float64(other)


@fragment(error_model="numpy")
def better_rows(programs, lane, near, tried, chosen):
    """Put the best row of each part that beats the program's own into ``chosen``; their number."""
    j, z = programs.key[lane], programs.direction[lane]
    best, winner = tried.best, tried.winner
    own = 0.0
    for k in range(near.shape[1]):
        own += np.float64(near[j, k]) * z[k]
    found = np.int64(0)
    for p in range(len(best)):
        if best[p, lane] > own and winner[p, lane] != j:
            chosen[found] = winner[p, lane]
            found += 1
    return found


@fragment(error_model="numpy")
def among_worst(i, v, worst, excess, found):
    """Insert row ``i`` with excess ``v`` into the list of the worst so far; its new length."""
    at = found
    if found < len(worst):
        found += 1
    elif v <= excess[found - 1]:
        return found
    else:
        at = found - 1
    while at > 0 and excess[at - 1] < v:
        excess[at] = excess[at - 1]
        worst[at] = worst[at - 1]
        at -= 1
    excess[at] = v
    worst[at] = i
    return found


@fragment(error_model="numpy")
def _forget(programs, lane, first):
    """Forget joined rows of weight 0 but the first few; the optimum over the rest is no worse."""
    names, system = programs.names[lane], programs.system[lane]
    size = programs.size[lane]
    count = first
    while True:
        # The lowest held row that has not been moved yet: those before ``count`` have.
        at = np.int64(-1)
        for i in range(size):
            if names[i] >= count and (at < 0 or names[i] < at):
                at = names[i]
        if at < 0:
            break
        for i in range(size):
            if names[i] == at:
                names[i] = count
        for k in range(len(system)):
            system[k, count] = system[k, at]
        programs.label[lane, count] = programs.label[lane, at]
        programs.scale[lane, count] = programs.scale[lane, at]
        count += 1
    programs.count[lane] = count


@fragment(error_model="numpy")
def join(programs, lane, terms, first, candidates, n_candidates):
    """Add rows that a program does not know; how many. Its ``first`` rows are no terms and stay."""
    width, room = programs.system.shape[1:]
    dim = terms.shape[1]
    if programs.count[lane] + n_candidates > room:
        _forget(programs, lane, first)
    system, label = programs.system[lane], programs.label[lane]
    fresh = 0
    for c in range(n_candidates):
        i = candidates[c]
        count = programs.count[lane]
        known = count == room
        for p in range(first, count):
            if label[p] == i:
                known = True
                break
        if known:
            continue
        programs.scale[lane, count] = row_into(system, count, terms, programs.key[lane], i, dim)
        if width > dim:
            system[dim, count] = 1.0
        label[count] = i
        programs.count[lane] = count + 1
        fresh += 1
    return fresh
