"""How far the cell of each row lies from the origin: one least-distance program per row.

Row ``j`` has slope and height ``(s_j, h_j)``; its cell is ``{w : <s_i - s_j, w> <= h_j - h_i}``.
With rows ``t_j = (-s_j, h_j)`` the residual of ``nnls`` over differences ``t_i - t_j`` is a
multiple of ``(-w, 1)``, ``w`` the shortest vector that the constraints so far allow, and ``t_i``
violates its own exactly if it beats ``t_j`` at the residual (``programs``). A pass in doubles has
the last word.
"""

from __future__ import annotations

import numpy as np

from tropattn._kernels import nnls
from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.programs import (
    MOST_ROUNDS,
    PARTS,
    among_worst,
    begin,
    better_rows,
    held_by,
    join,
    lead_of_own,
    try_directions,
)

_SLACK = 1e-11
"""Violation, of constraints of unit length at ``w``, that calls for another round."""

_OPTIMUM = 1e-7
"""What rounding may leave of the optimality of a program, per unit of its residual."""


@fragment(error_model="numpy")
def _violated(terms, j, residual, worst, excess):
    """Put the worst of the rows whose constraint is violated into ``worst``; their number."""
    n, width = terms.shape
    last = width - 1
    own = nnls.inner(terms[j], residual, width)
    found = np.int64(0)
    for i in range(n):
        v = nnls.inner(terms[i], residual, width) - own
        if not v > 0.0:
            continue
        square = 0.0
        for k in range(last):
            square += (terms[i, k] - terms[j, k]) ** 2
        length = np.sqrt(square)
        if v > _SLACK * (length + abs(terms[i, last] - terms[j, last])) * residual[last]:
            found = among_worst(i, v / length if length > 0.0 else np.inf, worst, excess, found)
    return found


@fragment(error_model="numpy")
def _stopped(value, count, residual):
    """Whether a program that rounding stopped is at its optimum all the same."""
    length = np.sqrt(nnls.inner(residual, residual, len(residual)))
    worst = 0.0
    for i in range(count):
        worst = max(worst, value[i])
    return worst <= _OPTIMUM * length


@fragment(error_model="numpy")
def _measure(residual):
    """Length of ``w``."""
    last = len(residual) - 1
    return np.sqrt(nnls.inner(residual, residual, last)) / residual[last]


@njit(nogil=True, cache=True, error_model="numpy")
def distances(near, terms, programs, tried, todo, start, stop, out, flag):
    """Write the distance of the cells ``todo[start:stop]`` to ``out``, NaN where rounding won.

    ``terms`` (n, K) rows ``(-slope, height)``, ``near`` the same in single precision, centred and
    padded; a cell without points is infinitely far. ``programs`` are idle. ``flag[0]`` is polled.
    """
    width = terms.shape[1]
    chosen = np.zeros(PARTS, np.int64)
    excess = np.zeros(PARTS)
    value = np.zeros(programs.label.shape[1])
    scratch = np.zeros((2, width))
    place = np.zeros(len(programs.key), np.int64)
    origin = np.zeros(width)
    origin[width - 1] = 1.0
    following = start
    while flag[0] == 0:
        active = False
        for lane in range(len(programs.key)):
            if programs.key[lane] < 0 and following < stop:
                begin(programs, lane, todo[following], origin)
                place[lane] = following
                following += 1
            active = active or programs.key[lane] >= 0
        if not active:
            return
        try_directions(programs, near, tried)
        for lane in range(len(programs.key)):
            if programs.key[lane] < 0:
                continue
            residual = programs.direction[lane]
            fresh = 0
            if lead_of_own(programs, lane, tried) < 0.0:
                found = better_rows(programs, lane, near, tried, chosen)
                fresh = join(programs, lane, terms, 0, chosen, found)
            if fresh == 0:
                found = _violated(terms, programs.key[lane], residual, chosen, excess)
                fresh = join(programs, lane, terms, 0, chosen, found)
            programs.rounds[lane] += 1
            answer = _measure(residual)
            ending = nnls.STUCK
            if fresh > 0 and programs.rounds[lane] < MOST_ROUNDS:
                held = held_by(programs, lane)
                system, count = programs.system[lane], programs.count[lane]
                programs.size[lane], ending = nnls.improve(
                    system, count, held, programs.size[lane], 0.0, residual, value, scratch
                )
                answer = np.inf
                if ending == nnls.STUCK:
                    stays = _stopped(value, count, residual)
                    answer = np.nan
                    ending = nnls.SEPARATED if stays else nnls.STUCK
            if ending != nnls.SEPARATED:
                out[place[lane]] = answer
                programs.key[lane] = -1


@njit(nogil=True, cache=True, error_model="numpy")
def shortest(system, held, residual, value, scratch):
    """Run one least-distance program over all its rows: the number held, and how it ended.

    Arguments as of ``nnls.improve``, from no row held.
    """
    return nnls.improve(system, system.shape[1], held, np.int64(0), 0.0, residual, value, scratch)
