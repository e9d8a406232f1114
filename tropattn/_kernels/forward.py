"""States of many points behind a stage, and where stretches of lines are cut by the next one.

What a stage does to the state is ``x -> x M + b + sum_h (value of the winner, or its score times a
weight)``, where a value may move with ``x`` (x times a matrix). Blocks (B, d, 32) hold points in
columns as in ``sample``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.chords import (
    STEP_KEY,
    add_normal,
    breakpoints,
    directions,
    keep_to,
    make_chord,
    origins_of,
    share_left,
    sort_breaks,
)
from tropattn._kernels.compiling import njit
from tropattn._kernels.draws import mix, stream
from tropattn._kernels.lanes import AT_ONCE, DOUBLE, SINGLE, four_rows
from tropattn._kernels.sample import lengths

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


@njit(nogil=True, cache=True, error_model="numpy")
def _lane_step(step, block, constant, winners, first, out, scores, chosen, scratch):
    """One step of 16 points: ``block`` (d + 1, 16), last row ``constant``, to ``out`` (d_out, 16).

    Winners are those of draws ``first ..``; ``scores`` (n, 16), ``chosen`` (H, 16), ``scratch``
    (4, 16) take partial results.
    """
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


@njit(nogil=True, cache=True, error_model="numpy")
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
    """The states behind a step, blocks (B, d_out, 32) from blocks (B, d, 32).

    ``constant`` is 1 for states and 0 for directions, which feel the linear part alone.
    """
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
def spans(walls, origins, along, ends, sides):
    """The stretch of each line ``o + t u`` (rows) on which all walls hold, and the walls there.

    ``ends`` (m, 2) and ``sides`` (m, 2), -1 where a line does not end.
    """
    dim = origins.shape[1]
    for i in range(len(origins)):
        ends[i, 0] = -np.inf
        ends[i, 1] = np.inf
        sides[i] = -1
        for j in range(len(walls)):
            at = walls[j, dim]
            speed = 0.0
            for k in range(dim):
                at += walls[j, k] * origins[i, k]
                speed += walls[j, k] * along[i, k]
            if speed > 0.0 and -at / speed < ends[i, 1]:
                ends[i, 1] = -at / speed
                sides[i, 1] = j
            elif speed < 0.0 and -at / speed > ends[i, 0]:
                ends[i, 0] = -at / speed
                sides[i, 0] = j
            elif speed == 0.0 and not at < 0.0:
                ends[i, 1] = -np.inf


@njit(nogil=True, cache=True, error_model="numpy")
def cut(rows, states, along, at, low, high, units):
    """Cut stretches of lines where a unit's winner changes, in doubles without proof.

    ``states`` and ``along`` (m, d): the state at parameter ``at`` (m,) of each stretch
    ``low .. high`` (m,) and its direction; ``units`` (m,): the scale of each line round 0. Returns
    the stretch that each piece is cut from, and its ``low``, ``high`` and a parameter inside it,
    pieces in order along their stretch.
    """
    width = rows.rows.shape[1]
    n = len(rows.rows)
    block = np.zeros((width, DOUBLE))
    moving = np.zeros((width, DOUBLE))
    alpha = np.empty((DOUBLE, n))
    beta = np.empty((DOUBLE, n))
    scratch = np.empty((AT_ONCE, DOUBLE))
    chord = make_chord(rows)
    most = rows.walls[0] + 1
    parents = np.empty(4 * len(at) + most, np.int64)
    pieces = np.empty((len(parents), 3))
    count = 0
    block[width - 1] = 1.0
    for first in range(0, len(at), DOUBLE):
        for r in range(DOUBLE):
            i = min(first + r, len(at) - 1)
            for k in range(width - 1):
                block[k, r] = states[i, k]
                moving[k, r] = along[i, k]
        for j in range(0, n, AT_ONCE):
            four_rows(rows.rows, j, block, scratch)
            alpha[:, j : j + AT_ONCE] = scratch.T
            four_rows(rows.rows, j, moving, scratch)
            beta[:, j : j + AT_ONCE] = scratch.T
        for r in range(min(DOUBLE, len(at) - first)):
            i = first + r
            if not low[i] < high[i]:
                continue
            _level_out(beta[r], moving[:, r])
            if count + most > len(parents):
                parents = np.concatenate((parents, np.empty_like(parents)))
                pieces = np.concatenate((pieces, np.empty_like(pieces)))
            count = _cut_one(
                rows,
                alpha[r],
                beta[r],
                at[i],
                low[i],
                high[i],
                units[i],
                chord,
                i,
                parents,
                pieces,
                count,
            )
    return parents[:count], pieces[:count]


@njit(nogil=True, cache=True, error_model="numpy")
def _level_out(beta, along):
    """Round slopes along a line to multiples of 2^-44 of its speed.

    Walls that the line runs beside would else be crossed where rounding says so, far away.
    """
    speed = 0.0
    for v in along:
        speed += v * v
    grid = 1.5 * 2.0**8 * np.sqrt(speed)
    for j in range(len(beta)):
        beta[j] = (beta[j] + grid) - grid


@njit(nogil=True, cache=True, error_model="numpy")
def _cut_one(rows, alpha, beta, at, low, high, unit, chord, parent, parents, pieces, count):
    """Cut one stretch; the new number of pieces."""
    runs = chord.runs
    heads = len(rows.starts) - 1
    n = 0
    runs[0] = 0
    for h in range(heads):
        _, n = breakpoints(
            alpha,
            beta,
            rows.starts[h],
            rows.starts[h + 1],
            low - at,
            high - at,
            chord.at,
            chord.winner,
            chord.reach,
            n,
        )
        runs[h + 1] = n
    order = chord.order[sort_breaks(chord, heads)]
    begin = low
    for i in range(n + 1):
        end = high if i == n else min(high, at + chord.at[order[i]])
        # Walls that meet the line in one point meet it in two by rounding.
        near = min(abs(begin), abs(end))
        if near == np.inf or end - begin > 2.0**-45 * (unit + near):
            middle = _middle(begin, end, unit)
            parents[count] = parent
            pieces[count, 0] = begin
            pieces[count, 1] = end
            pieces[count, 2] = middle if begin < middle and middle < end else 0.5 * (begin + end)
            count += 1
        begin = max(begin, end)
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def _middle(a, b, unit):
    """The middle of ``a < b`` after ``t -> t / (unit + |t|)``, which brings infinity to 1.

    What is proved at a point is proved up to its distance from 0, so of a long stretch the near
    part is the better one.
    """
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
def begin_chains(law, seed, chain, origins):
    """Where the chains of chords from ``chain`` on begin: rows (m, d), m a multiple of 16."""
    dim = origins.shape[1]
    keys = np.empty(DOUBLE, np.uint64)
    block = np.empty((dim + 1, DOUBLE))
    for first in range(0, len(origins), DOUBLE):
        origins_of(law, seed, chain + first, keys, block)
        for r in range(DOUBLE):
            for k in range(dim):
                origins[first + r, k] = block[k, r]


@njit(nogil=True, cache=True, error_model="numpy")
def aim(law, seed, index, along, words):
    """Directions of chords ``index`` (m,), rows of ``along`` (m, d), and a random word for each."""
    keys = np.empty(DOUBLE, np.uint64)
    block = np.empty((along.shape[1], DOUBLE))
    for first in range(0, len(index), DOUBLE):
        for r in range(DOUBLE):
            keys[r] = stream(np.uint64(seed) ^ STEP_KEY, index[first + r])
            words[first + r] = mix(keys[r])
        directions(law, keys, block)
        for r in range(DOUBLE):
            for k in range(along.shape[1]):
                along[first + r, k] = block[k, r]


# ---- walls of the cells that lines pass ---------------------------------------------------------


@njit(nogil=True, cache=True, error_model="numpy")
def leave(rows, starts, states, moving, winners, stage, ends, sides):
    """Where lines leave the cells of their winners at one stage, if nearer than ``ends`` (m, 2).

    ``rows`` (n, d + 1) with heads padded as in ``sample``; blocks of states at parameter 0 and of
    their directions; ``winners`` (H, >= m). ``sides`` (m, 2, 2) takes the stage and the row that
    takes over, behind and ahead.
    """
    dim = states.shape[1]
    for i in range(len(ends)):
        b = i // SINGLE
        r = i % SINGLE
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
    """Gradients (m, d_out) of functions of the state behind a step as those of the state before it.

    ``out`` (m, d); the linear part of the step, transposed.
    """
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
def begin_gradients(rows, starts, winners, stage, sides, gradients):
    """Write the gradient of the wall where it belongs to this stage: the row that takes over."""
    for i in range(len(sides)):
        if sides[i, 0] == stage:
            h = 0
            while starts[h + 1] <= sides[i, 1]:
                h += 1
            best = starts[h] + winners[h, i]
            for k in range(gradients.shape[1]):
                gradients[i, k] = rows[sides[i, 1], k] - rows[best, k]


@njit(nogil=True, cache=True, error_model="numpy")
def hug(normals, level, gradients, at, words, allowed):
    """Let lines keep to one wall more, and write how far they go to come near it.

    ``normals`` (m, d, d) and ``level`` (m,) as for ``add_normal``; ``at`` (m,), the parameter of
    the wall, becomes that of a point before it, or 0 where there is none or it is not allowed.
    """
    for i in range(len(at)):
        known = allowed[i] and np.isfinite(at[i])
        if known and add_normal(gradients[i], normals[i], level[i]):
            level[i] += 1
            at[i] *= 1.0 - share_left(words[i])
        else:
            at[i] = 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def turn(normals, level, along):
    """Turn directions (m, d) into the intersections of their walls."""
    for i in range(len(along)):
        if level[i]:
            keep_to(normals[i], level[i], along[i])
