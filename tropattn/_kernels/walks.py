"""Hit and run: chains of random chords, and the cells that they meet.

A chain of chords walks. The first passes through a draw, its base point, in a random direction.
From there it goes to a wall of its cell, to a random small distance, and on along that wall; then
along two walls, and so on to an edge of the cell, in a random direction each time: the active walls
are those that it keeps to. A chord along a wall meets the cells on it whatever their size, while a
free one misses a cell of width ``w`` but for ``w^(d-1)``. Behind the edge the chain begins again in
a cell of one of these chords, each with equal chances.

The words are those of hit-and-run sampling (Smith 1984; Lovasz and Vempala 2006), whose walks draw
points of a law; here all cells on a chord are met, and no law is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.chords import find_cells, make_chord, products, report
from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.draws import GIVEN, UNIFORM, draw, mix, normals, stream
from tropattn._kernels.simd import AT_ONCE, DOUBLE
from tropattn._kernels.structures import structure

STEPS = 16
"""Chords per chain: chord ``i`` is step ``i % STEPS`` of chain ``i // STEPS``."""

TILE = STEPS * DOUBLE
"""Chords that are walked side by side."""

STEP_KEY = np.uint64(0xA0761D6478BD642F)


class Visits(NamedTuple):
    """Cells met by a range of chords."""

    hashes: np.ndarray  # (m, 2) uint64
    chords: np.ndarray  # (m,) int64, which chord met each
    times: np.ndarray  # (m,) its point on the chord
    lines: np.ndarray  # (chords, 2, d) base point and direction of each chord
    missed: int  # chords that missed the domain


@structure
class Chains:
    """Chains of chords side by side, one per lane."""

    base: np.ndarray  # (d + 1, lanes) base points (x, 1)
    direction: np.ndarray  # (d + 1, lanes), the last row 0
    normals: np.ndarray  # (lanes, d, d) orthonormal rows that span the normals of active walls
    active: np.ndarray  # (lanes,) int64 how many
    accepted: np.ndarray  # (lanes, d) the next base point off all walls
    normal: np.ndarray  # (d,) scratch


@fragment(error_model="numpy")
def _make_chains(dim):
    return Chains(
        base=np.empty((dim + 1, DOUBLE)),
        direction=np.zeros((dim + 1, DOUBLE)),
        normals=np.empty((DOUBLE, dim, dim)),
        active=np.empty(DOUBLE, np.int64),
        accepted=np.empty((DOUBLE, dim)),
        normal=np.empty(dim),
    )


# ---- directions and base points -----------------------------------------------------------------


@fragment(error_model="numpy")
def directions(law, keys, out):
    """Random directions, isotropic (on a box: after its sides are made equal), of length 1."""
    dim, lanes = out.shape
    normals(keys, 1, out)
    for r in range(lanes):
        square = 0.0
        for k in range(dim):
            if law.kind == UNIFORM:
                out[k, r] *= law.high[k] - law.low[k]
            square += out[k, r] * out[k, r]
        factor = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
        for k in range(dim):
            out[k, r] *= factor


@fragment(error_model="numpy")
def first_bases(law, seed, chain, keys, base):
    """Where the chains from ``chain`` on begin, as points ``(x, 1)`` in columns."""
    dim = len(base) - 1
    if law.kind == GIVEN:
        states = law.states
        for r in range(base.shape[1]):
            for k in range(dim):
                base[k, r] = states[(chain + r) % len(states), k]
    else:
        draw(law, seed, chain, 0, keys, base[:dim])
    for r in range(base.shape[1]):
        base[dim, r] = 1.0


@fragment(error_model="numpy")
def accepts(word, active):
    """Whether a chord gives its chain's next base point, so far: in the end each may have."""
    return (word >> np.uint64(40)) % np.uint64(active + 1) == np.uint64(0)


@fragment(error_model="numpy")
def _choose(chord, bounded, word):
    """A proved cell but the base point's, with equal chances, ends if ``bounded``; 0 if none."""
    skip = 0 if bounded else 1
    cells = range(skip, chord.count + 1 - skip)
    choices = 0
    for i in cells:
        choices += chord.proved[i] and i != chord.own
    if choices == 0:
        return 0.0
    wanted = np.int64(word % np.uint64(choices))
    for i in cells:
        if chord.proved[i] and i != chord.own:
            if wanted == 0:
                return chord.middle[i]
            wanted -= 1
    return 0.0


# ---- active walls -------------------------------------------------------------------------------


@fragment(error_model="numpy")
def activate(normal, normals, active):
    """Put the part of a normal beside the ``active`` ones after them, length 1; False if none."""
    dim = len(normal)
    before = 0.0
    for k in range(dim):
        before += normal[k] * normal[k]
    for _ in range(2):
        _subtract(normals, active, normal)
    after = 0.0
    for k in range(dim):
        after += normal[k] * normal[k]
    if not after > 1e-16 * before:
        return False
    for k in range(dim):
        normals[active, k] = normal[k] / np.sqrt(after)
    return True


@fragment(error_model="numpy")
def project(normals, active, direction):
    """Turn a direction (dim,) into the intersection of the active walls, length 1; 0 if none is."""
    dim = len(direction)
    for _ in range(2):
        _subtract(normals, active, direction)
    square = 0.0
    for k in range(dim):
        square += direction[k] * direction[k]
    factor = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
    for k in range(dim):
        direction[k] *= factor


@fragment(error_model="numpy")
def _subtract(normals, active, vector):
    """Take the parts along orthonormal vectors off a vector."""
    dim = len(vector)
    for p in range(active):
        part = 0.0
        for k in range(dim):
            part += vector[k] * normals[p, k]
        for k in range(dim):
            vector[k] -= part * normals[p, k]


@fragment(error_model="numpy")
def share_left(word):
    """A share of the way to a wall that is left, between 2^-21 and 1/2, even in its logarithm."""
    return 2.0 ** (-1.0 - 20.0 * (np.float64(word >> np.uint64(11)) * 2.0**-53))


@fragment(error_model="numpy")
def _approach(rows, chord, chains, lane, word):
    """Where beside a wall of the base point's cell to go on along it; 0 if there is no wall.

    The farther of the two walls on the chord: the nearer one may be active already. It becomes so.
    """
    order, own = chord.order[chord.row], chord.own
    low, high = chord.ends[0], chord.ends[1]
    if not (low < 0.0 and high > 0.0):
        return 0.0
    behind = chord.at[order[own - 1]] if own > 0 else low
    ahead = chord.at[order[own]] if own < chord.count else high
    side = 1 if behind == -np.inf or (ahead < np.inf and ahead > -behind) else 0
    at = ahead if side else behind
    if not np.isfinite(at):
        return 0.0
    place = own - 1 + side
    normal = chains.normal
    if place < 0 or place == chord.count:
        wall = chord.sides[side]
        for k in range(len(normal)):
            normal[k] = rows.rows[wall, k]
    else:
        b = order[place]
        h = chord.head[b]
        new = chord.winner[b]
        old = chord.first[h] if b == chord.runs[h] else chord.winner[b - 1]
        for k in range(len(normal)):
            normal[k] = rows.rows[new, k] - rows.rows[old, k]
    if not activate(normal, chains.normals[lane], chains.active[lane]):
        return 0.0
    return at * (1.0 - share_left(word))


# ---- the walk -----------------------------------------------------------------------------------


@fragment(error_model="numpy")
def _move(rows, chord, chains, lane, bounded, word):
    """Move the base point of a lane to the next wall, or to the accepted one behind the last."""
    dim = len(chains.normal)
    active = chains.active[lane]
    if accepts(word, active):
        t = _choose(chord, bounded, word)
        for k in range(dim):
            chains.accepted[lane, k] = chains.base[k, lane] + t * chains.direction[k, lane]
    t = 0.0
    if active < dim - 1:
        t = _approach(rows, chord, chains, lane, word)
    chains.active[lane] = active + 1 if t != 0.0 else 0
    for k in range(dim):
        if t != 0.0:
            chains.base[k, lane] += t * chains.direction[k, lane]
        else:
            chains.base[k, lane] = chains.accepted[lane, k]


@fragment(error_model="numpy")
def _turn(law, seed, first, chains, keys):
    """Give each lane a random direction within its active walls; its chord is ``first + 16 r``."""
    dim = len(chains.normal)
    for r in range(DOUBLE):
        keys[r] = stream(np.uint64(seed) ^ STEP_KEY, first + r * STEPS)
    directions(law, keys, chains.direction[:dim])
    for r in range(DOUBLE):
        if chains.active[r]:
            project(chains.normals[r], chains.active[r], chains.direction[:dim, r])


@fragment(error_model="numpy")
def _write_line(chains, lane, line):
    """Write base point and direction of a lane to ``line`` (2, d); a bound of ``|(o, 1)|``."""
    square = 1.0
    for k in range(len(chains.normal)):
        square += chains.base[k, lane] * chains.base[k, lane]
        line[0, k] = chains.base[k, lane]
        line[1, k] = chains.direction[k, lane]
    return 1.00000001 * np.sqrt(square)


@njit(nogil=True, cache=True, error_model="numpy")
def visits(rows, law, seed, start, stop, ending):
    """Cells met by chords [start, stop), ``start`` a multiple of ``STEPS``.

    Given states are the base points of the chains, in order and again from the first. ``ending[0]``
    is polled.
    """
    n, width = rows.rows.shape
    alpha = np.empty((DOUBLE, n))
    beta = np.empty((DOUBLE, n))
    scratch = np.empty((AT_ONCE, DOUBLE))
    keys = np.empty(DOUBLE, np.uint64)
    chord = make_chord(rows)
    chains = _make_chains(width - 1)
    most = len(chord.at)
    room = 64 * (stop - start) + most
    hashes = np.empty((room, 2), np.uint64)
    chords = np.empty(room, np.int64)
    times = np.empty(room)
    lines = np.empty((stop - start, 2, width - 1))
    count = np.int64(0)
    missed = 0
    for chain in range(start // STEPS, -(-stop // STEPS), DOUBLE):
        first_bases(law, seed, chain, keys, chains.base)
        chains.active[:] = 0
        for step in range(STEPS):
            if ending[0] != 0:
                break
            _turn(law, seed, chain * STEPS + step, chains, keys)
            products(rows.rows, chains.base, alpha, scratch)
            products(rows.rows, chains.direction, beta, scratch)
            for r in range(DOUBLE):
                index = (chain + r) * STEPS + step
                if index >= stop:
                    continue
                chord.alpha = alpha[r]
                chord.beta = beta[r]
                chord.size = _write_line(chains, r, lines[index - start])
                if not find_cells(rows, chord):
                    missed += 1
                    continue
                if count + most > len(times):
                    hashes = np.concatenate((hashes, hashes))
                    chords = np.concatenate((chords, chords))
                    times = np.concatenate((times, times))
                before = count
                count = report(rows, chord, step > 0, hashes, times, count)
                for i in range(before, count):
                    chords[i] = index
                _move(rows, chord, chains, r, law.kind == UNIFORM, mix(keys[r]))
    return Visits(hashes[:count], chords[:count], times[:count], lines, missed)
