"""Routing patterns of random points: draws, scores and winners fused over small tiles.

Scores are first found in single precision. A winner counts if its lead over the second exceeds
twice the bound on a score's error, so it is the true winner; what is left is done again in double
precision under its own bound, and a draw that is still open is thrown away. No pattern is ever
invented, and no table of scores is larger than one block.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from tropattn._kernels.draws import draw
from tropattn._kernels.lanes import DOUBLE, SINGLE, top_two

TILE = 512
"""Draws a tile; tiles start at multiples of it."""

_LARGEST = 2.0**60
"""Norm of a point above which single precision might overflow."""


class Scores(NamedTuple):
    """Heads with two distinct terms or more, each scaled by a power of two to norms below 1."""

    single: np.ndarray  # (n, K) float32 rows (slope, intercept), each head padded to 4 rows
    double: np.ndarray  # (n, K) float64
    starts: np.ndarray  # (H + 1,) first row of each head
    margins: np.ndarray  # (H, 2) lead needed per unit of |(x, 1)|, in single and in double
    words: np.ndarray  # (n, 2) uint64, what a winner adds to the hash of the pattern


class Inside(NamedTuple):
    """Walls of the domain: inside where ``rows . (x, 1) < 0``."""

    rows: np.ndarray  # (g, K)
    margins: np.ndarray  # (g,) distance needed per unit of |(x, 1)|
    axes: np.ndarray  # (g,) the only coordinate that a row reads, or -1


@njit(nogil=True, cache=True, error_model="numpy")
def _enter(inside, block, size, kept):
    """Norms ``|(x, 1)|`` of a block's points, and which of them are proved inside the walls."""
    dim, lanes = block.shape
    for r in range(lanes):
        size[r] = 1.0
        kept[r] = True
    for k in range(dim):
        for r in range(lanes):
            size[r] += block[k, r] * block[k, r]
    for r in range(lanes):
        # The factor covers the rounding of the sum for every d below 10^8.
        size[r] = 1.00000001 * np.sqrt(size[r])
    for i in range(len(inside.rows)):
        axis = inside.axes[i]
        for r in range(lanes):
            v = inside.rows[i, dim]
            if axis >= 0:
                v += inside.rows[i, axis] * block[axis, r]
            else:
                for k in range(dim):
                    v += inside.rows[i, k] * block[k, r]
            if not v < -inside.margins[i] * size[r]:
                kept[r] = False


@njit(nogil=True, cache=True, error_model="numpy")
def _settle(scores, head, points, size, kept, winner, open_draws, n_open):
    """Decide the open draws of a head in double precision; drop those that stay open."""
    dim = points.shape[1]
    block = np.zeros((dim + 1, DOUBLE))
    best = np.empty(DOUBLE)
    second = np.empty(DOUBLE)
    found = np.empty(DOUBLE, np.int32)
    scratch = np.empty((4, DOUBLE))
    block[dim] = 1.0
    lanes = points.shape[2]
    for first in range(0, n_open, DOUBLE):
        for r in range(DOUBLE):
            i = open_draws[min(first + r, n_open - 1)]
            for k in range(dim):
                block[k, r] = points[i // lanes, k, i % lanes]
        top_two(
            scores.double,
            scores.starts[head],
            scores.starts[head + 1],
            block,
            best,
            second,
            found,
            scratch,
        )
        for r in range(min(DOUBLE, n_open - first)):
            i = open_draws[first + r]
            winner[i] = found[r]
            if not best[r] - second[r] > scores.margins[head, 1] * size[i]:
                kept[i] = False


@njit(nogil=True, cache=True, error_model="numpy")
def patterns(scores, inside, law, seed, start, stop, hashes, draws):
    """Hash the patterns of draws [start, stop); return how many were proved.

    ``hashes`` (stop - start, 2) uint64 and ``draws`` (stop - start,) int64 take the proved ones in
    order. ``law`` as for ``draw``.
    """
    width = scores.double.shape[1]
    n_heads = len(scores.starts) - 1
    n_blocks = TILE // SINGLE
    points = np.empty((n_blocks, width - 1, SINGLE))
    near = np.empty((n_blocks, width, SINGLE), np.float32)
    size = np.empty(TILE)
    kept = np.empty(TILE, np.bool_)
    winner = np.empty(TILE, np.int32)
    open_draws = np.empty(TILE, np.int64)
    sums = np.empty((TILE, 2), np.uint64)
    keys = np.empty(SINGLE, np.uint64)
    best = np.empty(SINGLE, np.float32)
    second = np.empty(SINGLE, np.float32)
    scratch = np.empty((4, SINGLE), np.float32)
    n_kept = 0
    for first in range(start, stop, TILE):
        n_draws = min(TILE, stop - first)
        for b in range(n_blocks):
            if b * SINGLE >= n_draws:
                continue
            lanes = slice(b * SINGLE, (b + 1) * SINGLE)
            draw(law, seed, first + b * SINGLE, stop, keys, points[b])
            _enter(inside, points[b], size[lanes], kept[lanes])
            near[b, : width - 1] = points[b]
            near[b, width - 1] = np.float32(1.0)
        sums[:] = np.uint64(0)
        for h in range(n_heads):
            base = scores.starts[h]
            n_open = 0
            for b in range(n_blocks):
                low = b * SINGLE
                if low >= n_draws:
                    continue
                found = winner[low : low + SINGLE]
                top_two(
                    scores.single, base, scores.starts[h + 1], near[b], best, second, found, scratch
                )
                for r in range(min(SINGLE, n_draws - low)):
                    lead = np.float64(best[r]) - np.float64(second[r])
                    proved = lead > scores.margins[h, 0] * size[low + r]
                    if kept[low + r] and not (proved and size[low + r] < _LARGEST):
                        open_draws[n_open] = low + r
                        n_open += 1
            if n_open:
                _settle(scores, h, points, size, kept, winner, open_draws, n_open)
            for r in range(n_draws):
                sums[r, 0] += scores.words[base + winner[r], 0]
                sums[r, 1] += scores.words[base + winner[r], 1]
        for r in range(n_draws):
            if kept[r]:
                hashes[n_kept] = sums[r]
                draws[n_kept] = first + r
                n_kept += 1
    return n_kept
