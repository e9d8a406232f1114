"""Random points and their routing patterns; draw ``i`` is a function of ``(seed, i)`` alone."""

from __future__ import annotations

import numpy as np
from numba import njit

UNIFORM = 0
GAUSSIAN = 1
SPHERE = 2
GIVEN = 3

_UNIT = 2.0**-53


@njit(nogil=True, cache=True, inline="always")
def _mix(value):
    """SplitMix64 finaliser (Steele, Lea, Flood 2014): a bijection of 64-bit words."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(nogil=True, cache=True, inline="always")
def _uniform(key, counter):
    """A double in (0, 1): the counter-th word of the stream of a key."""
    word = _mix(key + counter * np.uint64(0x9E3779B97F4A7C15))
    return (np.float64(word >> np.uint64(11)) + 0.5) * 2.0**-53


@njit(nogil=True, cache=True)
def draw(seed, index, kind, low, high, states, out):
    """Write draw ``index``; given states are taken in order."""
    dim = len(out)
    if kind == GIVEN:
        for k in range(dim):
            out[k] = states[index, k]
        return
    key = _mix(np.uint64(seed) ^ _mix(np.uint64(index) + np.uint64(0x9E3779B97F4A7C15)))
    if kind == UNIFORM:
        for k in range(dim):
            out[k] = low[k] + (high[k] - low[k]) * _uniform(key, np.uint64(k + 1))
        return
    square = 0.0
    for k in range(dim):
        # Box-Muller; a pair of uniforms a coordinate keeps every coordinate a function of k.
        radius = np.sqrt(-2.0 * np.log(_uniform(key, np.uint64(2 * k + 1))))
        out[k] = radius * np.cos(2.0 * np.pi * _uniform(key, np.uint64(2 * k + 2)))
        square += out[k] * out[k]
    if kind == SPHERE and square > 0.0:
        length = np.sqrt(square)
        for k in range(dim):
            out[k] /= length


@njit(nogil=True, cache=True)
def patterns(
    terms, slack, starts, walls, wall_slack, seed, start, stop, kind, low, high, states, hashes
):
    """Hash the patterns of draws [start, stop); return how many were proved.

    ``terms`` (n, d + 1) rows (slope, intercept); a winner counts only if its lead exceeds
    ``(slack[winner] + slack[other]) * (|x|_1 + 1)``, which bounds all rounding, so no cell is ever
    invented. ``walls`` (g, d + 1): inside where ``row . (x, 1) < 0``. ``hashes`` (stop - start, 2).
    """
    dim = terms.shape[1] - 1
    point = np.zeros(dim)
    value = np.zeros(len(terms))
    kept = 0
    for index in range(start, stop):
        draw(seed, index, kind, low, high, states, point)
        size = 1.0
        for k in range(dim):
            size += abs(point[k])
        inside = True
        for i in range(len(walls)):
            v = walls[i, dim]
            for k in range(dim):
                v += walls[i, k] * point[k]
            if not v < -wall_slack[i] * size:
                inside = False
                break
        if not inside:
            continue
        first = np.uint64(0x243F6A8885A308D3)
        second = np.uint64(0x13198A2E03707344)
        proved = True
        for h in range(len(starts) - 1):
            best = starts[h]
            for j in range(starts[h], starts[h + 1]):
                v = terms[j, dim]
                for k in range(dim):
                    v += terms[j, k] * point[k]
                value[j] = v
                if v > value[best]:
                    best = j
            for j in range(starts[h], starts[h + 1]):
                if j != best and not (value[best] - value[j] > (slack[best] + slack[j]) * size):
                    proved = False
                    break
            if not proved:
                break
            first = _mix(first ^ np.uint64(best + 1))
            second = _mix(second + np.uint64(best + 1) * np.uint64(0xD1342543DE82EF95))
        if proved:
            hashes[kept, 0] = first
            hashes[kept, 1] = second
            kept += 1
    return kept
