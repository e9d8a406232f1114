"""States of many points behind a stage, and where stretches of lines are cut by the next one.

What a stage does to the state is ``x -> x M + b + sum_h (value of the winner, or its score times a
weight)``, where a value may move with ``x`` (x times a matrix). Blocks (B, d, 32) hold points in
columns as in ``sample``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.chords import cut, make_chord, products
from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.draws import mix, stream
from tropattn._kernels.sample import lengths
from tropattn._kernels.simd import AT_ONCE, DOUBLE, SINGLE, four_rows
from tropattn._kernels.walks import STEP_KEY, activate, directions, first_bases, project, share_left

_NEVER = -1e299
"""Rows with a lower intercept fill up heads and never win."""


class Step(NamedTuple):
    """What winners do to the state; parts that a stage lacks have no rows."""

    keep: float  # 1 where the state itself is added, else 0
    matrix: np.ndarray  # (m, d) the linear part transposed, m a multiple of 4
    offset: np.ndarray  # (d_out,)
    starts: np.ndarray  # (H + 1,) first term of each unit
    values: np.ndarray  # (n, d_out) what a winning term adds
    rows: np.ndarray  # (n, d + 1) terms whose scores are read, n a multiple of 4
    weights: np.ndarray  # (m, H) transposed: what a winner's score is multiplied by
    growth: float  # factor by which the step may move two states apart
    rounding: float  # what it may round, per unit of |(x, 1)|
    moving: np.ndarray  # (p, m, d) transposed: what x is multiplied by where a term wins
    where: np.ndarray  # (p, 2) the unit and the place among its terms of each of these


@fragment(error_model="numpy")
def _lane_step(step, block, constant, winners, first, out, scores, chosen, scratch):
    """One step of 16 points: ``block`` (d + 1, 16), its last row ``constant``, to ``out``."""
    width = len(out)
    heads = len(step.starts) - 1
    for c in range(width):
        for r in range(DOUBLE):
            out[c, r] = constant * step.offset[c]
            if step.keep != 0.0:
                out[c, r] += block[c, r]
    for j in range(0, len(step.matrix), AT_ONCE):
        four_rows(step.matrix, j, block, scratch)
        for i in range(min(AT_ONCE, width - j)):
            for r in range(DOUBLE):
                out[j + i, r] += scratch[i, r]
    if len(step.values):
        for h in range(heads):
            for r in range(DOUBLE):
                row = step.values[step.starts[h] + winners[h, first + r]]
                for c in range(width):
                    out[c, r] += constant * row[c]
    for p in range(len(step.moving)):
        _add_moving(step.moving[p], step.where[p], block, winners, first, out, scratch)
    if len(step.rows):
        for j in range(0, len(step.rows), AT_ONCE):
            four_rows(step.rows, j, block, scores[j : j + AT_ONCE])
        for h in range(heads):
            for r in range(DOUBLE):
                chosen[h, r] = scores[step.starts[h] + winners[h, first + r], r]
        for j in range(0, len(step.weights), AT_ONCE):
            four_rows(step.weights, j, chosen, scratch)
            for i in range(min(AT_ONCE, width - j)):
                for r in range(DOUBLE):
                    out[j + i, r] += scratch[i, r]


@fragment(error_model="numpy")
def _add_moving(matrix, where, block, winners, first, out, scratch):
    """Add ``x`` times a matrix to the points whose winner is this term."""
    wins = False
    for r in range(DOUBLE):
        wins |= winners[where[0], first + r] == where[1]
    if not wins:
        return
    for j in range(0, len(matrix), AT_ONCE):
        four_rows(matrix, j, block, scratch)
        for r in range(DOUBLE):
            if winners[where[0], first + r] == where[1]:
                for i in range(min(AT_ONCE, len(out) - j)):
                    out[j + i, r] += scratch[i, r]


@njit(nogil=True, cache=True, error_model="numpy")
def advance(step, states, constant, winners, out):
    """Blocks (B, d_out, 32) behind a step: of states (``constant`` 1) or of directions (0)."""
    n_blocks, dim, lanes = states.shape
    block = np.empty((dim + 1, DOUBLE))
    block[dim] = constant
    result = np.empty((out.shape[1], DOUBLE))
    scores = np.empty((len(step.rows), DOUBLE))
    chosen = np.empty((len(step.starts) - 1, DOUBLE))
    scratch = np.empty((AT_ONCE, DOUBLE))
    for b in range(n_blocks):
        for low in range(0, lanes, DOUBLE):
            for k in range(dim):
                for r in range(DOUBLE):
                    block[k, r] = states[b, k, low + r]
            first = b * lanes + low
            _lane_step(step, block, constant, winners, first, result, scores, chosen, scratch)
            for c in range(len(result)):
                for r in range(DOUBLE):
                    out[b, c, low + r] = result[c, r]


@njit(nogil=True, cache=True, error_model="numpy")
def measure(step, states, size, error):
    """Update, behind a step, the bounds of ``|(x, 1)|`` and of the distance from the true state."""
    for b in range(len(states)):
        lanes = slice(b * SINGLE, (b + 1) * SINGLE)
        for r in range(b * SINGLE, (b + 1) * SINGLE):
            error[r] = 1.00000001 * (step.growth * error[r] + step.rounding * size[r])
        lengths(states[b], size[lanes])


@njit(nogil=True, cache=True, error_model="numpy")
def spans(walls, bases, directions, ends, sides):
    """The stretch of each line ``o + t u`` on which all walls hold, and the walls there, or -1."""
    dim = bases.shape[1]
    for i in range(len(bases)):
        ends[i, 0] = -np.inf
        ends[i, 1] = np.inf
        sides[i, 0] = -1
        sides[i, 1] = -1
        for j in range(len(walls)):
            at = walls[j, dim]
            speed = 0.0
            for k in range(dim):
                at += walls[j, k] * bases[i, k]
                speed += walls[j, k] * directions[i, k]
            if speed > 0.0 and -at / speed < ends[i, 1]:
                ends[i, 1] = -at / speed
                sides[i, 1] = j
            elif speed < 0.0 and -at / speed > ends[i, 0]:
                ends[i, 0] = -at / speed
                sides[i, 0] = j
            elif speed == 0.0 and not at < 0.0:
                ends[i, 1] = -np.inf


class Pieces(NamedTuple):
    """Pieces of stretches of lines, in order along each stretch."""

    parents: np.ndarray  # (n,) int64, the stretch that each is cut from
    low: np.ndarray  # (n,)
    high: np.ndarray  # (n,)
    at: np.ndarray  # (n,) a parameter inside it


@fragment(error_model="numpy")
def _doubled(pieces):
    """The same pieces with as much room again."""
    return Pieces(
        np.concatenate((pieces.parents, pieces.parents)),
        np.concatenate((pieces.low, pieces.low)),
        np.concatenate((pieces.high, pieces.high)),
        np.concatenate((pieces.at, pieces.at)),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def cut_stretches(rows, states, directions, at, low, high, units):
    """Cut stretches of lines where a unit's winner changes, in doubles without proof.

    ``states`` and ``directions`` (m, d): the state at parameter ``at`` (m,) of each stretch
    ``low .. high`` (m,) and its direction; ``units`` (m,): the scale of each line round 0.
    """
    n, width = rows.rows.shape
    block = np.zeros((width, DOUBLE))
    along = np.zeros((width, DOUBLE))
    alpha = np.empty((DOUBLE, n))
    beta = np.empty((DOUBLE, n))
    scratch = np.empty((AT_ONCE, DOUBLE))
    chord = make_chord(rows)
    most = len(chord.at)
    room = 4 * len(at) + most
    pieces = Pieces(np.empty(room, np.int64), np.empty(room), np.empty(room), np.empty(room))
    count = np.int64(0)
    for r in range(DOUBLE):
        block[width - 1, r] = 1.0
    for first in range(0, len(at), DOUBLE):
        for r in range(DOUBLE):
            i = min(first + r, len(at) - 1)
            for k in range(width - 1):
                block[k, r] = states[i, k]
                along[k, r] = directions[i, k]
        products(rows.rows, block, alpha, scratch)
        products(rows.rows, along, beta, scratch)
        for r in range(min(DOUBLE, len(at) - first)):
            i = first + r
            if not low[i] < high[i]:
                continue
            if count + most > len(pieces.at):
                pieces = _doubled(pieces)
            _level_out(beta[r], along[:, r])
            chord.alpha = alpha[r]
            chord.beta = beta[r]
            cut(rows, chord, low[i] - at[i], high[i] - at[i])
            before = count
            count = _between(chord, at[i], low[i], high[i], units[i], pieces, count)
            for j in range(before, count):
                pieces.parents[j] = i
    return Pieces(
        pieces.parents[:count], pieces.low[:count], pieces.high[:count], pieces.at[:count]
    )


@fragment(error_model="numpy")
def _level_out(beta, along):
    """Round slopes along a line to multiples of 2^-44 of its speed."""
    # Walls that the line runs beside would else be crossed where rounding says so, far away.
    speed = 0.0
    for v in along:
        speed += v * v
    grid = 1.5 * 2.0**8 * np.sqrt(speed)
    for j in range(len(beta)):
        beta[j] = (beta[j] + grid) - grid


@fragment(error_model="numpy")
def _between(chord, at, low, high, unit, pieces, count):
    """Append the pieces of one stretch between its breakpoints; the new number of pieces."""
    n = chord.count
    order = chord.order[chord.row]
    begin = low
    for i in range(n + 1):
        end = high if i == n else min(high, at + chord.at[order[i]])
        # Walls that meet the line in one point meet it in two by rounding.
        near = min(abs(begin), abs(end))
        if near == np.inf or end - begin > 2.0**-45 * (unit + near):
            middle = _middle(begin, end, unit)
            pieces.low[count] = begin
            pieces.high[count] = end
            pieces.at[count] = middle if begin < middle and middle < end else 0.5 * (begin + end)
            count += 1
        begin = max(begin, end)
    return count


@fragment(error_model="numpy")
def _middle(a, b, unit):
    """The middle of ``a < b`` after ``t -> t / (unit + |t|)``, which brings infinity to 1."""
    # Proofs weaken with the distance from 0, so of a long stretch the near part is the better one.
    if a >= 0.0:
        return 2.0 / (1.0 / (unit + a) + 1.0 / (unit + b)) - unit
    if b <= 0.0:
        return unit - 2.0 / (1.0 / (unit - a) + 1.0 / (unit - b))
    left = -1.0 if a == -np.inf else a / (unit - a)
    right = 1.0 if b == np.inf else b / (unit + b)
    y = 0.5 * (left + right)
    return unit * y / (1.0 - abs(y))


@njit(nogil=True, cache=True, error_model="numpy")
def to_blocks(rows, out):
    """Write rows (m, d) into the columns of blocks (B, d, 32); the last row fills what is left."""
    for i in range(len(out) * SINGLE):
        j = min(i, len(rows) - 1)
        for k in range(rows.shape[1]):
            out[i // SINGLE, k, i % SINGLE] = rows[j, k]


@njit(nogil=True, cache=True, error_model="numpy")
def first_base_rows(law, seed, chain, base):
    """Where the chains of chords from ``chain`` on begin: rows (m, d), m a multiple of 16."""
    dim = base.shape[1]
    keys = np.empty(DOUBLE, np.uint64)
    block = np.empty((dim + 1, DOUBLE))
    for first in range(0, len(base), DOUBLE):
        first_bases(law, seed, chain + first, keys, block)
        for r in range(DOUBLE):
            for k in range(dim):
                base[first + r, k] = block[k, r]


@njit(nogil=True, cache=True, error_model="numpy")
def direction_rows(law, seed, index, out, words):
    """Directions of chords ``index`` (m,), rows of ``out`` (m, d), and a random word for each."""
    keys = np.empty(DOUBLE, np.uint64)
    block = np.empty((out.shape[1], DOUBLE))
    for first in range(0, len(index), DOUBLE):
        for r in range(DOUBLE):
            keys[r] = stream(np.uint64(seed) ^ STEP_KEY, index[first + r])
            words[first + r] = mix(keys[r])
        directions(law, keys, block)
        for r in range(DOUBLE):
            for k in range(out.shape[1]):
                out[first + r, k] = block[k, r]


# ---- walls of the cells that lines pass ---------------------------------------------------------


@njit(nogil=True, cache=True, error_model="numpy")
def leave(scores, states, moving, winners, stage, ends, sides):
    """Where lines leave the cells of their winners at one stage, if nearer than ``ends`` (m, 2).

    ``scores`` of the stage; blocks of states at parameter 0 and of their directions; ``winners``
    (H, >= m). ``sides`` (m, 2, 2) takes the stage and the row that takes over, behind and ahead.
    """
    rows, starts, dim = scores.double, scores.starts, states.shape[1]
    for i in range(len(ends)):
        b, r = i // SINGLE, i % SINGLE
        speed = 0.0
        for k in range(dim):
            speed += moving[b, k, r] * moving[b, k, r]
        # Terms that are one function on the cell differ by rounding alone.
        least = 1e-9 * np.sqrt(speed)
        for h in range(len(starts) - 1):
            best = starts[h] + winners[h, i]
            for j in range(starts[h], starts[h + 1]):
                lead = rows[best, dim] - rows[j, dim]
                steeper = 0.0
                for k in range(dim):
                    part = rows[j, k] - rows[best, k]
                    lead -= part * states[b, k, r]
                    steeper += part * moving[b, k, r]
                if not abs(steeper) > least or rows[j, dim] < _NEVER:
                    continue
                t = lead / steeper
                side = 1 if steeper > 0.0 else 0
                if t < ends[i, 1] if side else t > ends[i, 0]:
                    ends[i, side] = t
                    sides[i, side, 0] = stage
                    sides[i, side, 1] = j


@njit(nogil=True, cache=True, error_model="numpy")
def pull(step, winners, gradients, out):
    """Gradients (m, d_out) of functions of the state behind a step, as those before it (m, d)."""
    dim = out.shape[1]
    for i in range(len(out)):
        for k in range(dim):
            out[i, k] = gradients[i, k] if step.keep != 0.0 else 0.0
        for c in range(min(len(step.matrix), gradients.shape[1])):
            for k in range(dim):
                out[i, k] += step.matrix[c, k] * gradients[i, c]
        for p in range(len(step.moving)):
            if winners[step.where[p, 0], i] == step.where[p, 1]:
                for c in range(gradients.shape[1]):
                    for k in range(dim):
                        out[i, k] += step.moving[p, c, k] * gradients[i, c]
        for h in range(step.weights.shape[1] if len(step.weights) else 0):
            share = 0.0
            for c in range(gradients.shape[1]):
                share += step.weights[c, h] * gradients[i, c]
            row = step.rows[step.starts[h] + winners[h, i]]
            for k in range(dim):
                out[i, k] += share * row[k]


@njit(nogil=True, cache=True, error_model="numpy")
def begin_gradients(scores, winners, stage, sides, gradients):
    """Write the gradient of the wall where it belongs to this stage: the row that takes over."""
    rows = scores.double
    starts = scores.starts
    for i in range(len(sides)):
        if sides[i, 0] == stage:
            h = 0
            while starts[h + 1] <= sides[i, 1]:
                h += 1
            best = starts[h] + winners[h, i]
            for k in range(gradients.shape[1]):
                gradients[i, k] = rows[sides[i, 1], k] - rows[best, k]


@njit(nogil=True, cache=True, error_model="numpy")
def activate_rows(normals, active, gradients, at, words, allowed):
    """Let lines keep to one wall more, and write how far they go to come near it.

    ``normals`` (m, d, d) and ``active`` (m,) as for ``activate``; ``at`` (m,), the parameter of
    the wall, becomes that of a point before it, or 0 where there is none or it is not allowed.
    """
    for i in range(len(at)):
        known = allowed[i] and np.isfinite(at[i])
        if known and activate(gradients[i], normals[i], active[i]):
            active[i] += 1
            at[i] *= 1.0 - share_left(words[i])
        else:
            at[i] = 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def project_rows(normals, active, directions):
    """Turn directions (m, d) into the intersections of their active walls."""
    for i in range(len(directions)):
        if active[i]:
            project(normals[i], active[i], directions[i])
