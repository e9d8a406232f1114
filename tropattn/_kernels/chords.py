"""The cells on one chord: on a line each head is an upper envelope of affine functions.

On a chord ``o + t u`` the winners change at the breakpoints of the heads' envelopes, and the
intervals between neighbouring breakpoints of all heads are the cells.

An interval is reported only if its midpoint is proved to lie in the cell. Along the line the lead
of a winner over all others is a concave function, so a lead beyond rounding at the first and at the
last midpoint of a winner's stretch proves all midpoints between them; likewise for the walls.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import fragment
from tropattn._kernels.simd import AT_ONCE, DOUBLE, four_rows
from tropattn._kernels.structures import structure

_SPEED = 1.00000001
"""An upper bound of the length of a direction as computed."""


@structure
class ChordRows:
    """Heads with two distinct terms or more, then the walls, as rows (slope, intercept)."""

    rows: np.ndarray  # (n, K), n a multiple of 4; each head scaled to norms below 1
    starts: np.ndarray  # (H + 1,) first row of each head, then of the walls: inside where negative
    margins: np.ndarray  # (H,) lead needed per unit of |(x, 1)|
    words: np.ndarray  # (n, 2) uint64, what a winner adds to the hash of the pattern
    wall_margins: np.ndarray  # (g,) distance needed per unit of |(x, 1)|


@structure
class Chord:
    """One line ``o + t u``, the breakpoints of all heads on it, and the cells between them."""

    alpha: np.ndarray  # (n,) the rows at o
    beta: np.ndarray  # (n,) and along u
    size: float  # an upper bound of |(o, 1)|
    ends: np.ndarray  # (2,) where the chord enters and leaves the domain
    sides: np.ndarray  # (2,) int64 the walls there, -1 where there is none
    count: int  # the number of breakpoints
    at: np.ndarray  # (B,) breakpoints, head by head
    head: np.ndarray  # (B,) int64 whose winner changes there
    winner: np.ndarray  # (B,) int64 the new winner
    runs: np.ndarray  # (H + 2,) int64 where each head's breakpoints start
    first: np.ndarray  # (H,) int64 winner at the low end
    reach: np.ndarray  # (n,) where each term overtakes the winner
    order: np.ndarray  # (2, B) int64 for sorting
    row: int  # the row of it that is sorted
    rank: np.ndarray  # (B,) int64 place of each breakpoint in the order
    middle: np.ndarray  # (B + 1,) a point of each cell
    proved: np.ndarray  # (B + 1,) bool
    own: int  # the cell of the base point
    current: np.ndarray  # (H,) int64 winner in the cell that is reported


@fragment(error_model="numpy")
def make_chord(rows):
    """A chord to be cut by these rows; a head of N terms breaks at most N - 1 times."""
    heads = len(rows.starts) - 1
    n = rows.starts[heads]
    return Chord(
        alpha=np.empty(len(rows.rows)),
        beta=np.empty(len(rows.rows)),
        size=0.0,
        ends=np.empty(2),
        sides=np.empty(2, np.int64),
        count=0,
        at=np.empty(n + 1),
        head=np.empty(n + 1, np.int64),
        winner=np.empty(n + 1, np.int64),
        runs=np.empty(heads + 2, np.int64),
        first=np.empty(heads, np.int64),
        reach=np.empty(n + 1),
        order=np.empty((2, n + 1), np.int64),
        row=0,
        rank=np.empty(n + 1, np.int64),
        middle=np.empty(n + 2),
        proved=np.empty(n + 2, np.bool_),
        own=0,
        current=np.empty(heads, np.int64),
    )


@fragment(error_model="numpy")
def products(rows, block, out, scratch):
    """``out[r, j] = <rows[j], block[:, r]>``."""
    for j in range(0, len(rows), AT_ONCE):
        four_rows(rows, j, block, scratch)
        for i in range(AT_ONCE):
            for r in range(DOUBLE):
                out[r, j + i] = scratch[i, r]


@fragment(error_model="numpy")
def _envelope(chord, first, stop, low, high, count):
    """Write breakpoints of ``max_j alpha_j + beta_j t`` on (low, high) and the winner after each.

    By gift wrapping, from place ``count`` on; returns the first winner and the new count.
    """
    alpha, beta, reach = chord.alpha, chord.beta, chord.reach
    breaks, winner = chord.at, chord.winner
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
        height, slope = alpha[best], beta[best]
        for j in range(first, stop):
            steeper = beta[j] - slope
            t = (height - alpha[j]) / steeper
            reach[j] = t if steeper > 0.0 else np.inf
        soonest, following = high, -1
        for j in range(first, stop):
            if reach[j] < soonest:
                soonest, following = reach[j], j
        if following < 0:
            break
        at = max(at, soonest)
        breaks[count] = at
        winner[count] = following
        count += 1
        best = following
    return started, count


@fragment(error_model="numpy")
def _sort(chord, heads):
    """Put the breakpoints in order, by merging the heads' sorted runs."""
    breaks, order, runs = chord.at, chord.order, chord.runs
    for i in range(runs[heads]):
        order[0, i] = i
    row, width = 0, 1
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
    chord.row = row


@fragment(error_model="numpy")
def cut(rows, chord, low, high):
    """Find the breakpoints of all heads on (low, high), and their order."""
    starts, runs = rows.starts, chord.runs
    heads, n = len(starts) - 1, np.int64(0)
    runs[0] = 0
    for h in range(heads):
        chord.first[h], n = _envelope(chord, starts[h], starts[h + 1], low, high, n)
        for i in range(runs[h], n):
            chord.head[i] = h
        runs[h + 1] = n
    chord.count = n
    _sort(chord, heads)


@fragment(error_model="numpy")
def _leads(chord, first, stop, best, t, margin):
    """Whether the term ``best`` is proved to lead all others of its head at ``t``."""
    alpha, beta = chord.alpha, chord.beta
    needed = margin * (chord.size + abs(t) * _SPEED)
    short = 0
    for j in range(first, stop):
        short += not ((alpha[best] - alpha[j]) - (beta[j] - beta[best]) * t > needed)
    return short == 1


@fragment(error_model="numpy")
def _prove_stretch(chord, first, stop, best, margin, a, b):
    """Mark cells of [a, b] at whose midpoint ``best`` is not proved to win its head."""
    alpha, beta, middle = chord.alpha, chord.beta, chord.middle
    s, t = middle[a], middle[b]
    needed_s = margin * (chord.size + abs(s) * _SPEED)
    needed_t = margin * (chord.size + abs(t) * _SPEED)
    height, slope = alpha[best], beta[best]
    leads = 0
    for j in range(first, stop):
        lead = height - alpha[j]
        steeper = beta[j] - slope
        leads += np.int64((lead - steeper * s > needed_s) & (lead - steeper * t > needed_t))
    if leads == stop - first - 1:
        # The winner itself is the one that it does not lead.
        return
    while a <= b and not _leads(chord, first, stop, best, middle[a], margin):
        chord.proved[a] = False
        a += 1
    while a < b and not _leads(chord, first, stop, best, middle[b], margin):
        chord.proved[b] = False
        b -= 1


@fragment(error_model="numpy")
def _prove_head(rows, chord, h):
    """Mark the cells at whose midpoint the winner of a stretch of head ``h`` is not proved."""
    first, stop, margin = rows.starts[h], rows.starts[h + 1], rows.margins[h]
    best, a = chord.first[h], np.int64(0)
    for i in range(chord.runs[h], chord.runs[h + 1]):
        _prove_stretch(chord, first, stop, best, margin, a, chord.rank[i])
        best = chord.winner[i]
        a = chord.rank[i] + 1
    _prove_stretch(chord, first, stop, best, margin, a, chord.count)


@fragment(error_model="numpy")
def _inside(rows, chord, t):
    """Whether all walls are proved negative at ``t``."""
    first = rows.starts[len(rows.starts) - 1]
    for i in range(len(rows.wall_margins)):
        needed = rows.wall_margins[i] * (chord.size + abs(t) * _SPEED)
        if not chord.alpha[first + i] + chord.beta[first + i] * t < -needed:
            return False
    return True


@fragment(error_model="numpy")
def _clip(rows, chord):
    """Find where all walls are negative: an open interval of ``t``, and the walls at its ends."""
    alpha, beta, ends, sides = chord.alpha, chord.beta, chord.ends, chord.sides
    ends[0], ends[1] = -np.inf, np.inf
    sides[:] = -1
    first = rows.starts[len(rows.starts) - 1]
    for i in range(first, first + len(rows.wall_margins)):
        if beta[i] > 0.0:
            t = -alpha[i] / beta[i]
            if t < ends[1]:
                ends[1], sides[1] = t, i
        elif beta[i] < 0.0:
            t = -alpha[i] / beta[i]
            if t > ends[0]:
                ends[0], sides[0] = t, i
        elif not alpha[i] < 0.0:
            ends[1] = ends[0]


@fragment(error_model="numpy")
def _middles(chord):
    """A point of each of the cells, and True where the cell has a width."""
    n, breaks, order = chord.count, chord.at, chord.order[chord.row]
    spread = 1.0
    if n:
        spread = max(1.0, breaks[order[n - 1]] - breaks[order[0]])
    for i in range(n + 1):
        a = chord.ends[0] if i == 0 else breaks[order[i - 1]]
        b = chord.ends[1] if i == n else breaks[order[i]]
        if a == -np.inf and b == np.inf:
            t = 0.0
        elif a == -np.inf:
            t = b - spread
        elif b == np.inf:
            t = a + spread
        else:
            t = 0.5 * a + 0.5 * b
        chord.middle[i] = t
        chord.proved[i] = a < t and t < b


@fragment(error_model="numpy")
def find_cells(rows, chord):
    """Find the cells of a chord whose line is set; False if no point of it lies in the domain."""
    _clip(rows, chord)
    if not chord.ends[0] < chord.ends[1]:
        return False
    cut(rows, chord, chord.ends[0], chord.ends[1])
    _middles(chord)
    order = chord.order[chord.row]
    for i in range(chord.count):
        chord.rank[order[i]] = i
    for h in range(len(rows.starts) - 1):
        _prove_head(rows, chord, h)
    if len(rows.wall_margins):
        a, b = 0, chord.count
        while a <= b and not _inside(rows, chord, chord.middle[a]):
            chord.proved[a] = False
            a += 1
        while a < b and not _inside(rows, chord, chord.middle[b]):
            chord.proved[b] = False
            b -= 1
    return True


@fragment(error_model="numpy")
def report(rows, chord, skip_own, hashes, times, count):
    """Append hash and ``t`` of each proved cell; return the new count.

    Finds the base point's cell, which ``skip_own`` leaves out.
    """
    n, order, current = chord.count, chord.order[chord.row], chord.current
    first, second = np.uint64(0), np.uint64(0)
    for h in range(len(current)):
        current[h] = chord.first[h]
        first += rows.words[current[h], 0]
        second += rows.words[current[h], 1]
    own = n
    for i in range(n + 1):
        if own == n and i < n and chord.at[order[i]] > 0.0:
            own = i
        if chord.proved[i] and not (skip_own and i == own):
            hashes[count, 0] = first
            hashes[count, 1] = second
            times[count] = chord.middle[i]
            count += 1
        if i < n:
            b = order[i]
            h, new = chord.head[b], chord.winner[b]
            old = current[h]
            first += rows.words[new, 0] - rows.words[old, 0]
            second += rows.words[new, 1] - rows.words[old, 1]
            current[h] = new
    chord.own = own
    return count
