"""Routing patterns of random points: draws, scores and winners fused over small tiles.

Scores are first found in single precision. A winner counts if its lead over the second exceeds
twice the bound on a score's error, so it is the true winner; what is left is done again in double
precision under its own bound, and a draw that is still open is thrown away. No pattern is ever
invented, and no table of scores is larger than one block.

Points lie in blocks (B, d, 32): draw ``i`` is the column ``i % 32`` of block ``i // 32``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.compiling import fragment, njit
from tropattn._kernels.draws import draw
from tropattn._kernels.simd import AT_ONCE, DOUBLE, SINGLE, top_two
from tropattn._kernels.structures import structure

TILE = 512
"""Draws per tile; tiles start at multiples of it."""

_LARGEST = 2.0**60
"""Norm of a point above which single precision might overflow."""


@structure
class ScoreRows:
    """Heads, each scaled by a power of two to norms below 1."""

    single: np.ndarray  # (n, K) float32 rows (slope, intercept), each head padded to 4 rows
    double: np.ndarray  # (n, K) float64
    starts: np.ndarray  # (H + 1,) first row of each head
    margins: np.ndarray  # (H, 2) lead needed per unit of |(x, 1)|, in single and in double
    pulls: np.ndarray  # (H,) lead needed per unit of what x may be off
    words: np.ndarray  # (n, 2) uint64, what a winner adds to the hash of the pattern


@njit(nogil=True, cache=True, error_model="numpy")
def double_rows(scores):
    """The rows in double precision."""
    return scores.double


class Inside(NamedTuple):
    """Walls of the domain: inside where ``rows . (x, 1) < 0``."""

    rows: np.ndarray  # (g, K)
    margins: np.ndarray  # (g,) distance needed per unit of |(x, 1)|
    axes: np.ndarray  # (g,) the only coordinate that a row reads, or -1


class DrawScratch(NamedTuple):
    """Scratch of one thread, for blocks of draws.

    Python allocates it: each kind of array that a kernel makes is compiled for a third of a second.
    """

    keys: np.ndarray  # (SINGLE,) uint64 of the random words of a block
    near: np.ndarray  # (B, K, SINGLE) float32 points (x, 1)
    best: np.ndarray  # (SINGLE,) float32
    second: np.ndarray
    scores: np.ndarray  # (AT_ONCE, SINGLE) float32
    open_draws: np.ndarray  # (B SINGLE,) int64
    block: np.ndarray  # (K, DOUBLE) points that single precision leaves open
    best_double: np.ndarray  # (DOUBLE,)
    second_double: np.ndarray
    scores_double: np.ndarray  # (AT_ONCE, DOUBLE)
    found: np.ndarray  # (DOUBLE,) int32


class Tile(NamedTuple):
    """What ``patterns`` knows of the draws of one tile; more scratch of one thread."""

    points: np.ndarray  # (TILE / SINGLE, d, SINGLE)
    size: np.ndarray  # (TILE,)
    error: np.ndarray  # (TILE,) zeros: nothing is off
    kept: np.ndarray  # (TILE,) bool
    undecided: np.ndarray  # (TILE,) bool
    winners: np.ndarray  # (H, TILE) int32
    sums: np.ndarray  # (TILE, 2) uint64


def make_room(blocks, dim):
    """Scratch for that many blocks of points in R^dim."""
    return DrawScratch(
        keys=np.empty(SINGLE, np.uint64),
        near=np.empty((blocks, dim + 1, SINGLE), np.float32),
        best=np.empty(SINGLE, np.float32),
        second=np.empty(SINGLE, np.float32),
        scores=np.empty((AT_ONCE, SINGLE), np.float32),
        open_draws=np.empty(blocks * SINGLE, np.int64),
        block=np.zeros((dim + 1, DOUBLE)),
        best_double=np.empty(DOUBLE),
        second_double=np.empty(DOUBLE),
        scores_double=np.empty((AT_ONCE, DOUBLE)),
        found=np.empty(DOUBLE, np.int32),
    )


def make_tile(dim, heads):
    """Scratch for the draws of a tile."""
    return Tile(
        points=np.empty((TILE // SINGLE, dim, SINGLE)),
        size=np.empty(TILE),
        error=np.zeros(TILE),
        kept=np.empty(TILE, np.bool_),
        undecided=np.empty(TILE, np.bool_),
        winners=np.empty((heads, TILE), np.int32),
        sums=np.empty((TILE, 2), np.uint64),
    )


@fragment(error_model="numpy")
def lengths(block, size):
    """Upper bounds of ``|(x, 1)|`` for a block's points."""
    dim, lanes = block.shape
    for r in range(lanes):
        size[r] = 1.0
    for k in range(dim):
        for r in range(lanes):
            size[r] += block[k, r] * block[k, r]
    for r in range(lanes):
        # The factor covers the rounding of the sum for every d below 10^8.
        size[r] = 1.00000001 * np.sqrt(size[r])


@fragment(error_model="numpy")
def enter(inside, block, size, kept):
    """Sizes of a block's points, and which of them are proved inside the walls."""
    dim, lanes = block.shape
    lengths(block, size)
    for r in range(lanes):
        kept[r] = True
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


@fragment(error_model="numpy")
def enter_blocks(inside, points, size, kept):
    """Sizes of the points of all blocks, and which are proved inside."""
    for b in range(len(points)):
        lanes = slice(b * SINGLE, (b + 1) * SINGLE)
        enter(inside, points[b], size[lanes], kept[lanes])


@fragment(error_model="numpy")
def draw_blocks(inside, law, seed, first, stop, points, size, kept, room):
    """Fill blocks with the draws from ``first`` on; sizes, and which are proved inside."""
    for b in range(len(points)):
        draw(law, seed, first + b * SINGLE, stop, room.keys, points[b])
    enter_blocks(inside, points, size, kept)


@fragment(error_model="numpy")
def _settle(scores, head, points, size, error, winner, undecided, room, n_open):
    """Decide the open draws of a head in double precision; mark those that stay open."""
    dim, open_draws = points.shape[1], room.open_draws
    block, best, second, found = room.block, room.best_double, room.second_double, room.found
    margin, pull = scores.margins[head, 1], scores.pulls[head]
    for r in range(DOUBLE):
        block[dim, r] = 1.0
    lanes = points.shape[2]
    for first in range(0, n_open, DOUBLE):
        for r in range(DOUBLE):
            i = open_draws[min(first + r, n_open - 1)]
            for k in range(dim):
                block[k, r] = points[i // lanes, k, i % lanes]
        start, stop = scores.starts[head], scores.starts[head + 1]
        top_two(scores.double, start, stop, block, best, second, found, room.scores_double)
        for r in range(min(DOUBLE, n_open - first)):
            i = open_draws[first + r]
            winner[i] = found[r]
            if not best[r] - second[r] > margin * size[i] + pull * error[i]:
                undecided[i] = True


@fragment(error_model="numpy")
def route(scores, points, size, error, kept, n_draws, winners, undecided, room):
    """Winners (H, >= n_draws) int32 of all heads at ``n_draws`` points, the kept ones proved.

    ``size`` and ``error``: bounds of ``|(x, 1)|`` and of the distance from the true point. Marks a
    kept draw as ``undecided`` where a head's lead does not exceed what rounding may do.
    """
    n_blocks, dim, _ = points.shape
    near, best, second, open_draws = room.near, room.best, room.second, room.open_draws
    for b in range(n_blocks):
        for r in range(SINGLE):
            for k in range(dim):
                near[b, k, r] = points[b, k, r]
            near[b, dim, r] = np.float32(1.0)
    for h in range(len(scores.starts) - 1):
        winner, n_open = winners[h], np.int64(0)
        margin, pull = scores.margins[h, 0], scores.pulls[h]
        for b in range(n_blocks):
            low = b * SINGLE
            if low >= n_draws:
                continue
            start, stop, won = scores.starts[h], scores.starts[h + 1], winner[low : low + SINGLE]
            top_two(scores.single, start, stop, near[b], best, second, won, room.scores)
            for r in range(min(SINGLE, n_draws - low)):
                i = low + r
                lead = np.float64(best[r]) - np.float64(second[r])
                proved = lead > margin * size[i] + pull * error[i]
                if kept[i] and not (proved and size[i] < _LARGEST):
                    open_draws[n_open] = i
                    n_open += 1
        if n_open:
            _settle(scores, h, points, size, error, winner, undecided, room, n_open)


@fragment(error_model="numpy")
def add_words(scores, winners, n_draws, sums):
    """Add the words of all winners to the hashes (n, 2) of the patterns."""
    words = scores.words
    for h in range(len(scores.starts) - 1):
        base = scores.starts[h]
        for r in range(n_draws):
            sums[r, 0] += words[base + winners[h, r], 0]
            sums[r, 1] += words[base + winners[h, r], 1]


@njit(nogil=True, cache=True, error_model="numpy")
def patterns(scores, inside, law, seed, start, stop, hashes, draws, tile, room, flag):
    """Hash the patterns of draws [start, stop); return how many were proved.

    ``hashes`` (stop - start, 2) uint64 and ``draws`` (stop - start,) int64 take the proved ones in
    order. ``flag[0]`` is polled.
    """
    points, size, error, kept = tile.points, tile.size, tile.error, tile.kept
    undecided, winners, sums = tile.undecided, tile.winners, tile.sums
    n_kept = 0
    for first in range(start, stop, TILE):
        if flag[0] != 0:
            break
        n_draws = min(TILE, stop - first)
        blocks = points[: -(-n_draws // SINGLE)]
        draw_blocks(inside, law, seed, first, stop, blocks, size, kept, room)
        for r in range(TILE):
            sums[r, 0] = np.uint64(0)
            sums[r, 1] = np.uint64(0)
            undecided[r] = False
        route(scores, blocks, size, error, kept, n_draws, winners, undecided, room)
        add_words(scores, winners, n_draws, sums)
        for r in range(n_draws):
            if kept[r] and not undecided[r]:
                hashes[n_kept, 0] = sums[r, 0]
                hashes[n_kept, 1] = sums[r, 1]
                draws[n_kept] = first + r
                n_kept += 1
    return n_kept
