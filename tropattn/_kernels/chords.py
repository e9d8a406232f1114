"""Cells met by random chords: on a line each head is an upper envelope of affine functions.

On a chord ``o + t u`` the winners change at the breakpoints of the heads' envelopes, and the
intervals between neighbouring breakpoints of all heads are the cells.

A chain of chords walks. The first passes through a draw in a random direction. From there it goes
to a wall of its cell, to a random small distance, and on along that wall; then along two walls, and
so on to an edge of the cell, in a random direction each time. A chord along a wall meets the cells
on it whatever their size, while a free one misses a cell of width ``w`` but for ``w^(d-1)``. Behind
the edge the chain begins again in a cell of one of these chords, each with equal chances.

An interval is reported only if its midpoint is proved to lie in the cell. Along the line the lead
of a winner over all others is a concave function, so a lead beyond rounding at the first and at the
last midpoint of a winner's stretch proves all midpoints between them; likewise for the walls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.compiling import njit
from tropattn._kernels.draws import GIVEN, UNIFORM, draw, mix, normals, stream
from tropattn._kernels.lanes import AT_ONCE, DOUBLE, four_rows

STEPS = 16
"""Chords a chain: chord ``i`` is step ``i % STEPS`` of chain ``i // STEPS``."""

TILE = STEPS * DOUBLE
"""Chords that are walked side by side."""

STEP_KEY = np.uint64(0xA0761D6478BD642F)


class Rows(NamedTuple):
    """Heads with two distinct terms or more, then the walls, as rows (slope, intercept)."""

    rows: np.ndarray  # (n, K), n a multiple of 4; each head scaled to norms below 1
    starts: np.ndarray  # (H + 1,) first row of each head
    margins: np.ndarray  # (H,) lead needed per unit of |(x, 1)|
    words: np.ndarray  # (n, 2) uint64, what a winner adds to the hash of the pattern
    walls: np.ndarray  # (2,) first row and end of the walls: inside where all are negative
    wall_margins: np.ndarray  # (g,) distance needed per unit of |(x, 1)|


class Chord(NamedTuple):
    """Scratch of one chord."""

    at: np.ndarray  # (B,) breakpoints of all heads, then sorted
    head: np.ndarray  # (B,) int64 whose winner changes there
    winner: np.ndarray  # (B,) int64 the new winner
    order: np.ndarray  # (2, B) int64 for sorting
    runs: np.ndarray  # (H + 2,) int64 where each head's breakpoints start
    first: np.ndarray  # (H,) int64 winner at the low end
    rank: np.ndarray  # (B,) int64 place of each breakpoint in the order
    current: np.ndarray  # (H,) int64 winner of it
    middle: np.ndarray  # (B + 1,) a point of each cell
    proved: np.ndarray  # (B + 1,) bool
    reach: np.ndarray  # (n,) where each term overtakes the winner
    ends: np.ndarray  # (2,) where the chord enters and leaves the domain
    sides: np.ndarray  # (2,) int64 the walls there, -1 where there is none


class Flag(NamedTuple):
    """The walls that each lane keeps to, and where it goes behind the last of them."""

    normals: np.ndarray  # (lanes, d, d) orthonormal rows
    level: np.ndarray  # (lanes,) int64 how many
    home: np.ndarray  # (lanes, d)
    scratch: np.ndarray  # (d,)


@njit(nogil=True, cache=True, error_model="numpy")
def make_chord(rows):
    """Allocate the scratch of one chord; a head of N terms breaks at most N - 1 times."""
    n = rows.walls[0]
    heads = len(rows.starts) - 1
    return Chord(
        np.empty(n + 1),
        np.empty(n + 1, np.int64),
        np.empty(n + 1, np.int64),
        np.empty((2, n + 1), np.int64),
        np.empty(heads + 2, np.int64),
        np.empty(heads, np.int64),
        np.empty(n + 1, np.int64),
        np.empty(heads, np.int64),
        np.empty(n + 2),
        np.empty(n + 2, np.bool_),
        np.empty(n + 1),
        np.empty(2),
        np.empty(2, np.int64),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def breakpoints(alpha, beta, first, stop, low, high, breaks, winner, reach, count):
    """Breakpoints of ``max_j alpha_j + beta_j t`` on (low, high) by gift wrapping.

    Writes them and the winner after each from place ``count`` on; returns the first winner and the
    new count. ``reach`` (n,) scratch.
    """
    best = first
    for j in range(first + 1, stop):
        if low == -np.inf:
            ahead = beta[j] < beta[best] or (beta[j] == beta[best] and alpha[j] > alpha[best])
        else:
            v = alpha[j] + beta[j] * low
            top = alpha[best] + beta[best] * low
            ahead = v > top or (v == top and beta[j] > beta[best])
        if ahead:
            best = j
    started = best
    at = low
    while True:
        # One vector pass over all terms: dropping those that cannot win again would save work but
        # branch on data that are as good as random, which costs more.
        height = alpha[best]
        slope = beta[best]
        for j in range(first, stop):
            steeper = beta[j] - slope
            t = (height - alpha[j]) / steeper
            reach[j] = t if steeper > 0.0 else np.inf
        soonest = high
        following = -1
        for j in range(first, stop):
            if reach[j] < soonest:
                soonest = reach[j]
                following = j
        if following < 0:
            break
        at = max(at, soonest)
        breaks[count] = at
        winner[count] = following
        count += 1
        best = following
    return started, count


@njit(nogil=True, cache=True, error_model="numpy")
def sort_breaks(chord, heads):
    """Order of all breakpoints, by merging the heads' sorted runs; the row of ``order`` used."""
    breaks = chord.at
    order = chord.order
    runs = chord.runs
    n = runs[heads]
    for i in range(n):
        order[0, i] = i
    row = 0
    width = 1
    while width < heads:
        for h in range(0, heads, 2 * width):
            i = runs[h]
            middle = runs[min(h + width, heads)]
            end = runs[min(h + 2 * width, heads)]
            j = middle
            for place in range(i, end):
                if j >= end or (i < middle and breaks[order[row, i]] <= breaks[order[row, j]]):
                    order[1 - row, place] = order[row, i]
                    i += 1
                else:
                    order[1 - row, place] = order[row, j]
                    j += 1
        row = 1 - row
        width *= 2
    return row


@njit(nogil=True, cache=True, error_model="numpy")
def _leads(alpha, beta, first, stop, best, t, margin, size, speed):
    """Whether the term ``best`` is proved to lead all others of its head at ``t``."""
    needed = margin * (size + abs(t) * speed)
    short = 0
    for j in range(first, stop):
        short += not ((alpha[best] - alpha[j]) - (beta[j] - beta[best]) * t > needed)
    return short == 1


@njit(nogil=True, cache=True, error_model="numpy")
def _prove_stretch(alpha, beta, first, stop, best, margin, middle, proved, a, b, size, speed):
    """Mark cells of [a, b] at whose midpoint ``best`` is not proved to win its head."""
    s = middle[a]
    t = middle[b]
    needed_s = margin * (size + abs(s) * speed)
    needed_t = margin * (size + abs(t) * speed)
    height = alpha[best]
    slope = beta[best]
    leads = 0
    for j in range(first, stop):
        lead = height - alpha[j]
        steeper = beta[j] - slope
        leads += np.int64((lead - steeper * s > needed_s) & (lead - steeper * t > needed_t))
    if leads == stop - first - 1:
        # The winner itself is the one that it does not lead.
        return
    while a <= b and not _leads(alpha, beta, first, stop, best, middle[a], margin, size, speed):
        proved[a] = False
        a += 1
    while a < b and not _leads(alpha, beta, first, stop, best, middle[b], margin, size, speed):
        proved[b] = False
        b -= 1


@njit(nogil=True, cache=True, error_model="numpy")
def _inside(rows, alpha, beta, t, size, speed):
    first = rows.walls[0]
    for i in range(first, rows.walls[1]):
        needed = rows.wall_margins[i - first] * (size + abs(t) * speed)
        if not alpha[i] + beta[i] * t < -needed:
            return False
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _clip(rows, alpha, beta, ends, sides):
    """Find where all walls are negative: an open interval of ``t``, and the walls at its ends."""
    ends[0] = -np.inf
    ends[1] = np.inf
    sides[:] = -1
    for i in range(rows.walls[0], rows.walls[1]):
        if beta[i] > 0.0:
            t = -alpha[i] / beta[i]
            if t < ends[1]:
                ends[1] = t
                sides[1] = i
        elif beta[i] < 0.0:
            t = -alpha[i] / beta[i]
            if t > ends[0]:
                ends[0] = t
                sides[0] = i
        elif not alpha[i] < 0.0:
            ends[1] = ends[0]


@njit(nogil=True, cache=True, error_model="numpy")
def _middles(chord, order, n, low, high):
    """A point of each of the n + 1 intervals, and True where the interval has a width."""
    breaks = chord.at
    middle = chord.middle
    proved = chord.proved
    spread = 1.0
    if n:
        spread = max(1.0, breaks[order[n - 1]] - breaks[order[0]])
    for i in range(n + 1):
        a = low if i == 0 else breaks[order[i - 1]]
        b = high if i == n else breaks[order[i]]
        if a == -np.inf and b == np.inf:
            t = 0.0
        elif a == -np.inf:
            t = b - spread
        elif b == np.inf:
            t = a + spread
        else:
            t = 0.5 * a + 0.5 * b
        middle[i] = t
        proved[i] = a < t and t < b


@njit(nogil=True, cache=True, error_model="numpy")
def _prove_head(alpha, beta, first, stop, best, margin, size, speed, after, rank, middle, proved):
    """Mark the cells at whose midpoint the winner of a head's stretch is not proved to win it.

    ``best`` wins before the first of the head's breakpoints, ``after[i]`` after the i-th, which is
    the ``rank[i]``-th of all; ``middle`` and ``proved``: of the cells of the chord.
    """
    a = 0
    for i in range(len(rank) + 1):
        b = rank[i] if i < len(rank) else len(middle) - 1
        _prove_stretch(alpha, beta, first, stop, best, margin, middle, proved, a, b, size, speed)
        if i < len(rank):
            best = after[i]
            a = b + 1


@njit(nogil=True, cache=True, error_model="numpy")
def cells(rows, alpha, beta, size, speed, chord):
    """Find the cells of one chord; return the number of breakpoints (-1: no point inside), row.

    ``alpha``, ``beta`` (n,): the rows at ``o`` and along ``u``; ``size`` and ``speed``: upper
    bounds of ``|(o, 1)|`` and ``|u|``. Fills ``chord``: breakpoints in the order of
    ``chord.order[row]``, ``middle`` and ``proved`` of the cells between them.
    """
    starts = rows.starts
    runs = chord.runs
    began = chord.first
    heads = len(starts) - 1
    _clip(rows, alpha, beta, chord.ends, chord.sides)
    low = chord.ends[0]
    high = chord.ends[1]
    if not low < high:
        return -1, 0
    n = 0
    runs[0] = 0
    for h in range(heads):
        began[h], n = breakpoints(
            alpha, beta, starts[h], starts[h + 1], low, high, chord.at, chord.winner, chord.reach, n
        )
        chord.head[runs[h] : n] = h
        runs[h + 1] = n
    row = sort_breaks(chord, heads)
    order = chord.order[row]
    _middles(chord, order, n, low, high)
    rank = chord.rank[:n]
    for i in range(n):
        rank[order[i]] = i
    middle = chord.middle[: n + 1]
    proved = chord.proved[: n + 1]
    for h in range(heads):
        run = slice(runs[h], runs[h + 1])
        _prove_head(
            alpha,
            beta,
            starts[h],
            starts[h + 1],
            began[h],
            rows.margins[h],
            size,
            speed,
            chord.winner[run],
            rank[run],
            middle,
            proved,
        )
    if rows.walls[0] < rows.walls[1]:
        a = 0
        b = n
        while a <= b and not _inside(rows, alpha, beta, middle[a], size, speed):
            proved[a] = False
            a += 1
        while a < b and not _inside(rows, alpha, beta, middle[b], size, speed):
            proved[b] = False
            b -= 1
    return n, row


@njit(nogil=True, cache=True, error_model="numpy")
def _report(rows, chord, n, row, skip_origin, hashes, times, count):
    """Append hash and ``t`` of each proved cell; return the new count and the origin's cell."""
    breaks = chord.at
    changes = chord.head
    winners = chord.winner
    order = chord.order
    middle = chord.middle
    proved = chord.proved
    current = chord.current
    began = chord.first
    heads = len(rows.starts) - 1
    first = np.uint64(0)
    second = np.uint64(0)
    for h in range(heads):
        current[h] = began[h]
        first += rows.words[began[h], 0]
        second += rows.words[began[h], 1]
    own = n
    for i in range(n + 1):
        if own == n and i < n and breaks[order[row, i]] > 0.0:
            own = i
        if proved[i] and not (skip_origin and i == own):
            hashes[count, 0] = first
            hashes[count, 1] = second
            times[count] = middle[i]
            count += 1
        if i < n:
            b = order[row, i]
            h = changes[b]
            old = current[h]
            new = winners[b]
            first += rows.words[new, 0] - rows.words[old, 0]
            second += rows.words[new, 1] - rows.words[old, 1]
            current[h] = new
    return count, own


@njit(nogil=True, cache=True, error_model="numpy")
def _next(chord, n, own, ends, word):
    """A proved cell other than the origin's, each with equal chances; 0 (stay) if there is none.

    ``ends``: whether the two end cells may be picked too (they are bounded).
    """
    middle = chord.middle
    proved = chord.proved
    skip = 0 if ends else 1
    choices = 0
    for i in range(skip, n + 1 - skip):
        choices += proved[i] and i != own
    if choices == 0:
        return 0.0
    wanted = np.int64(word % np.uint64(choices))
    for i in range(skip, n + 1 - skip):
        if proved[i] and i != own:
            if wanted == 0:
                return middle[i]
            wanted -= 1
    return 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def add_normal(normal, normals, level):
    """Put the part of a normal beside the first ``level`` (orthonormal) ones after them, length 1.

    False if nothing is left of it.
    """
    dim = len(normal)
    before = 0.0
    for k in range(dim):
        before += normal[k] * normal[k]
    for _ in range(2):
        for p in range(level):
            part = 0.0
            for k in range(dim):
                part += normal[k] * normals[p, k]
            for k in range(dim):
                normal[k] -= part * normals[p, k]
    after = 0.0
    for k in range(dim):
        after += normal[k] * normal[k]
    if not after > 1e-16 * before:
        return False
    for k in range(dim):
        normals[level, k] = normal[k] / np.sqrt(after)
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def share_left(word):
    """A share of the way to a wall that is left, between 2^-21 and 1/2, even in its logarithm."""
    return 2.0 ** (-1.0 - 20.0 * (np.float64(word >> np.uint64(11)) * 2.0**-53))


@njit(nogil=True, cache=True, error_model="numpy")
def _approach(rows, chord, n, own, row, word, normals, level, normal):
    """Where beside a wall of the origin's cell to go on along it; 0 if there is no wall.

    The farther of the two walls on the chord: the nearer one may be kept to already. Its normal
    joins the ``level`` ones of ``normals`` (dim, dim); ``normal`` (dim,) is scratch.
    """
    order = chord.order[row]
    low = chord.ends[0]
    high = chord.ends[1]
    if not (low < 0.0 and high > 0.0):
        return 0.0
    behind = chord.at[order[own - 1]] if own > 0 else low
    ahead = chord.at[order[own]] if own < n else high
    side = 1 if behind == -np.inf or (ahead < np.inf and ahead > -behind) else 0
    at = ahead if side else behind
    if not np.isfinite(at):
        return 0.0
    place = own - 1 + side
    for k in range(len(normal)):
        if place < 0 or place == n:
            normal[k] = rows.rows[chord.sides[side], k]
        else:
            b = order[place]
            h = chord.head[b]
            old = chord.first[h] if b == chord.runs[h] else chord.winner[b - 1]
            normal[k] = rows.rows[chord.winner[b], k] - rows.rows[old, k]
    if not add_normal(normal, normals, level):
        return 0.0
    return at * (1.0 - share_left(word))


@njit(nogil=True, cache=True, error_model="numpy")
def goes_home(word, level):
    """Whether a flag's chord gives the next flag its origin, so far: in the end each may have."""
    return (word >> np.uint64(40)) % np.uint64(level + 1) == np.uint64(0)


@njit(nogil=True, cache=True, error_model="numpy")
def _onward(rows, chord, n, own, row, ends, word, flag, lane, origin, along):
    """Move the origin of a lane to the next wall, or home behind the last one."""
    dim = len(flag.scratch)
    level = flag.level[lane]
    if goes_home(word, level):
        t = _next(chord, n, own, ends, word)
        for k in range(dim):
            flag.home[lane, k] = origin[k, lane] + t * along[k, lane]
    t = 0.0
    if level < dim - 1:
        t = _approach(rows, chord, n, own, row, word, flag.normals[lane], level, flag.scratch)
    flag.level[lane] = level + 1 if t != 0.0 else 0
    for k in range(dim):
        if t != 0.0:
            origin[k, lane] += t * along[k, lane]
        else:
            origin[k, lane] = flag.home[lane, k]


@njit(nogil=True, cache=True, error_model="numpy")
def keep_to(normals, level, along):
    """Turn a direction (dim,) into the intersection of walls, length 1; 0 if none is left."""
    dim = len(along)
    for _ in range(2):
        for p in range(level):
            part = 0.0
            for k in range(dim):
                part += along[k] * normals[p, k]
            for k in range(dim):
                along[k] -= part * normals[p, k]
    square = 0.0
    for k in range(dim):
        square += along[k] * along[k]
    factor = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
    for k in range(dim):
        along[k] *= factor


@njit(nogil=True, cache=True, error_model="numpy")
def _products(rows, block, out, scratch):
    """``out[r, j] = <rows[j], block[:, r]>``."""
    for j in range(0, len(rows), AT_ONCE):
        four_rows(rows, j, block, scratch)
        for i in range(AT_ONCE):
            for r in range(DOUBLE):
                out[r, j + i] = scratch[i, r]


@njit(nogil=True, cache=True, error_model="numpy")
def directions(law, keys, out):
    """Random directions, isotropic (on a box: after its sides are made equal), of length 1."""
    kind, low, high, _ = law
    dim, lanes = out.shape
    normals(keys, 1, out)
    for r in range(lanes):
        square = 0.0
        for k in range(dim):
            if kind == UNIFORM:
                out[k, r] *= high[k] - low[k]
            square += out[k, r] * out[k, r]
        factor = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
        for k in range(dim):
            out[k, r] *= factor


@njit(nogil=True, cache=True, error_model="numpy")
def origins_of(law, seed, chain, keys, origin):
    """Where the chains from ``chain`` on begin, as points ``(x, 1)`` in columns."""
    dim = len(origin) - 1
    if law[0] == GIVEN:
        for r in range(origin.shape[1]):
            for k in range(dim):
                origin[k, r] = law[3][(chain + r) % len(law[3]), k]
    else:
        draw(law, seed, chain, 0, keys, origin[:dim])
    origin[dim] = 1.0


@njit(nogil=True, cache=True, error_model="numpy")
def visits(rows, law, seed, steps, start, stop, ending):
    """Cells met by chords [start, stop), ``start`` a multiple of ``steps``, the length of a chain.

    Returns ``hashes`` (m, 2), ``chords`` (m,), the chord that met each cell, ``times`` (m,), its
    point on the chord, ``lines`` (stop - start, 2, d), origin and direction of each chord, and the
    number of chords that missed the domain. Given states are the origins of the chains, in order
    and again from the first. ``ending[0]`` is polled.
    """
    width = rows.rows.shape[1]
    dim = width - 1
    lanes = DOUBLE
    n = len(rows.rows)
    origin = np.empty((width, lanes))
    along = np.zeros((width, lanes))
    alpha = np.empty((lanes, n))
    beta = np.empty((lanes, n))
    scratch = np.empty((AT_ONCE, lanes))
    keys = np.empty(lanes, np.uint64)
    chord = make_chord(rows)
    flag = Flag(
        np.empty((lanes, dim, dim)),
        np.empty(lanes, np.int64),
        np.empty((lanes, dim)),
        np.empty(dim),
    )
    most = rows.walls[0] + 1
    hashes = np.empty((64 * (stop - start) + most, 2), np.uint64)
    chords = np.empty(len(hashes), np.int64)
    times = np.empty(len(hashes))
    lines = np.empty((stop - start, 2, dim))
    count = 0
    missed = 0
    for chain in range(start // steps, -(-stop // steps), lanes):
        origins_of(law, seed, chain, keys, origin)
        flag.level[:] = 0
        for step in range(steps):
            if ending[0] != 0:
                break
            for r in range(lanes):
                keys[r] = stream(np.uint64(seed) ^ STEP_KEY, (chain + r) * steps + step)
            directions(law, keys, along[:dim])
            for r in range(lanes):
                if flag.level[r]:
                    keep_to(flag.normals[r], flag.level[r], along[:dim, r])
            _products(rows.rows, origin, alpha, scratch)
            _products(rows.rows, along, beta, scratch)
            for r in range(lanes):
                index = (chain + r) * steps + step
                if index >= stop:
                    continue
                square = 1.0
                for k in range(dim):
                    square += origin[k, r] * origin[k, r]
                    lines[index - start, 0, k] = origin[k, r]
                    lines[index - start, 1, k] = along[k, r]
                size = 1.00000001 * np.sqrt(square)
                found, row = cells(rows, alpha[r], beta[r], size, 1.00000001, chord)
                if found < 0:
                    missed += 1
                    continue
                if count + most > len(hashes):
                    hashes = np.concatenate((hashes, np.empty_like(hashes)))
                    chords = np.concatenate((chords, np.empty_like(chords)))
                    times = np.concatenate((times, np.empty_like(times)))
                before = count
                count, own = _report(rows, chord, found, row, step > 0, hashes, times, count)
                for i in range(before, count):
                    chords[i] = index
                ends = law[0] == UNIFORM
                _onward(rows, chord, found, own, row, ends, mix(keys[r]), flag, r, origin, along)
    return hashes[:count], chords[:count], times[:count], lines, missed
