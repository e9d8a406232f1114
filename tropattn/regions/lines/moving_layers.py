"""Layers on moving tokens, in integers and in doubles: what the engine of moving tokens asks (T11).

A token's state on an interval of the line is an affine function of the parameter ``t``, a *piece*.
A *unit* is one head of one token, or one routing unit that a token passes through; its *choices*
are keys or terms, whose scores are quadratics in ``t``. Doubles strike out the choices that lose on
the whole interval by more than rounding can explain; integers decide between the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array, Floats
from tropattn.arrays import rational, to_float
from tropattn.polyhedra.integer_rows import Row
from tropattn.regions.lines.parabolas import Quadratic
from tropattn.tolerance import gamma
from tropattn.tropical.affine_state import AffineState, Part, padded, summed
from tropattn.tropical.bilinear import BilinearHead, MovingAttention, MovingPointwise
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.terms import AffineMap

__all__ = ["AttentionReader", "ParabolaScores", "PointwiseReader", "Reader", "reader_of", "settle"]


_TINY = 2.0**-960
"""Above what underflow can lose in a product of weights and states."""

_HUGE = float(np.finfo(np.float64).max)


def _states(steps: Sequence[AffineMap]) -> list[AffineState]:
    return [AffineState.of(step.matrix, step.offset) for step in steps]


def _chain(steps: Sequence[AffineMap]) -> list[Part]:
    """Affine maps in integers, one after the other; the last one drops the 1 at the end."""
    *before, last = steps
    end = padded(np.vstack([last.matrix, last.offset]))
    return [*(state.part for state in _states(before)), end]


# ---- doubles: which choices are left ------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class ParabolaScores:
    """Scores ``c_0 + c_1 t + c_2 t^2`` in doubles, (B, units, choices) for B intervals.

    ``error`` bounds ``|true c_0 - c_0| + t |..| + t^2 |..|`` and all rounding of such sums for
    ``|t|`` up to the ends of the interval; ``seen`` (units, choices) marks what there is.
    """

    c_0: Floats
    c_1: Floats
    c_2: Floats | float
    error: Floats
    seen: NDArray[np.bool_]


def settle(
    scores: ParabolaScores, low: Floats, high: Floats
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """A likely winner (B, units), and (B, units, choices) what may win somewhere in an interval.

    ``low`` and ``high`` (B,) lie outside of the intervals; on infinite ones everything may win.

    >>> row = lambda *v: np.array([[v]], dtype=float)
    >>> seen = np.ones((1, 3), bool)
    >>> scores = ParabolaScores(row(0, -5, 1), row(0, 1, -9), 0.0, row(0, 0, 0), seen)
    >>> settle(scores, np.array([1.0]), np.array([2.0]))[1].tolist()
    [[[True, False, False]]]
    """
    with np.errstate(all="ignore"):
        middle = ((low + high) / 2)[:, None, None]
        # Half the width and its rounding.
        reach = ((high - low) / 2)[:, None, None]
        reach = reach * (1 + 1e-15) + np.abs(middle) * 1e-15
        c_2 = scores.c_2
        at = scores.c_0 + middle * (scores.c_1 + middle * c_2)
        slope = (scores.c_1 + 2 * middle * c_2) * reach
        known = np.where(at > -_HUGE, at, -_HUGE)
        winner = np.argmax(np.where(scores.seen, known, -np.inf), axis=-1)
        best = winner[..., None]
        at, slope = at - _chosen(at, best), slope - _chosen(slope, best)
        most = np.abs(slope)
        if isinstance(c_2, np.ndarray):
            bend = c_2 * reach**2
            bend = bend - _chosen(bend, best)
            inner = (bend < 0) & (most < -2 * bend)
            most = np.where(inner, slope**2 / (-4 * bend), most + bend)
        beaten = at + most + scores.error + _chosen(scores.error, best) < 0
    beaten &= (np.isfinite(low) & np.isfinite(high))[:, None, None]
    left = scores.seen & ~beaten
    np.put_along_axis(left, best, True, axis=-1)
    return winner, left


def _chosen(values: Floats, best: NDArray[np.int64]) -> Floats:
    return np.take_along_axis(values, best, axis=-1)


def _constant(row: Array) -> AffineState:
    """A state that stands still."""
    return AffineState.of(np.zeros((1, len(row))), row)


def _readings(
    pieces: Sequence[AffineState], tokens: Sequence[int], before: Sequence[AffineMap] | None
) -> list[AffineState]:
    """What a layer reads of the pieces: each behind the map of its token, where there are maps."""
    if before is None:
        return list(pieces)
    steps = _states(before)
    return [piece.through(steps[t]) for piece, t in zip(pieces, tokens, strict=True)]


# ---- attention ----------------------------------------------------------------------------------


class _Head:
    """One head's maps in integers; the query has the scale."""

    def __init__(self, head: BilinearHead) -> None:
        scale = rational(head.scale)
        ((query, below),) = _chain([head.query])
        self.query = [(query * int(scale.p), below * int(scale.q))]
        self.key = _chain([head.key])
        self.value = _chain(head.value)
        self.sink = None if head.sink is None else rational(head.sink)
        self.turn = head.turn
        self._turns: dict[int, Part] = {}

    def turned(self, key: flint.fmpz_mat, distance: int) -> Part:
        """A key (rows with a 0 at their end) turned by a distance."""
        if self.turn is None:
            return key, 1
        if distance not in self._turns:
            matrix = self.turn(distance)
            (self._turns[distance],) = _chain([AffineMap(matrix, np.zeros(len(matrix)))])
        matrix, below = self._turns[distance]
        return key * matrix, below


class AttentionReader:
    """All heads of all moving tokens; the choices are tokens, and a sink after them."""

    def __init__(self, layer: MovingAttention, n_tokens: int, moving: Sequence[int]) -> None:
        self.layer, self.moving = layer, list(moving)
        self.heads = [_Head(head) for head in layer.heads]
        self.sink = any(head.sink is not None for head in self.heads)
        self.units = len(self.heads)
        self.n_tokens = n_tokens
        self.offset = _constant(layer.offset)
        self.seen = np.zeros((len(self.moving), self.units, n_tokens + self.sink), dtype=bool)
        for m, token in enumerate(self.moving):
            first, stop = layer.seen[token]
            self.seen[m, :, first:stop] = True
            for h, head in enumerate(self.heads):
                self.seen[m, h, n_tokens:] = head.sink is not None

    # ---- what enters ------------------------------------------------------------------------

    def read(self, pieces: Sequence[AffineState], tokens: Sequence[int]) -> None:
        """Take the pieces that occur, each of one token."""
        self.stream, self.readings = pieces, _readings(pieces, tokens, self.layer.before)
        self._products: dict[tuple[str, int, int], Part] = {}
        self.still = np.full(self.n_tokens, -1, dtype=np.int64)
        for token in range(self.n_tokens):
            if token not in self.moving and self.layer.context is not None:
                self.still[token] = len(self.readings)
                self.readings.append(_constant(self.layer.context[token]))
        width = self.readings[0].numerators.ncols()
        doubles = np.array([p.doubles() for p in self.readings]).reshape(-1, 1, 2, width)
        with np.errstate(all="ignore"):
            self._query = self._floats(doubles, [head.query for head in self.layer.heads], True)
            self._key = self._floats(doubles, [head.key for head in self.layer.heads], False)

    def _floats(self, doubles: Floats, steps: list[AffineMap], query: bool) -> tuple[Floats, ...]:
        """(P, H, 2, k) of all readings, and the same of absolute values; narrow heads have 0s."""
        widest = max(step.matrix.shape[1] for step in steps)
        stacked = np.zeros((len(steps), steps[0].matrix.shape[0] + 1, widest))
        for h, (head, step) in enumerate(zip(self.layer.heads, steps, strict=True)):
            width = step.matrix.shape[1]
            stacked[h, :-1, :width] = to_float(step.matrix)[0]
            stacked[h, -1, :width] = to_float(step.offset)[0]
            stacked[h] *= float(head.scale) if query else 1.0
        return doubles @ stacked, np.abs(doubles) @ np.abs(stacked)

    def full(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Readings of all tokens (..., N) from those of the moving ones (..., M)."""
        out = np.broadcast_to(self.still, (*ids.shape[:-1], self.n_tokens)).copy()
        out[..., self.moving] = ids
        return out

    # ---- scores -----------------------------------------------------------------------------

    def scores(self, ids: NDArray[np.int64], reach: Floats) -> ParabolaScores:
        """Scores on B intervals, ``|t| <= reach``, with the tokens in the states ``ids`` (B, M)."""
        everyone = self.full(ids)
        query, key = self._query[0][ids], self._key[0][everyone]
        sizes = np.stack([reach, np.ones_like(reach)], axis=-1)[:, None, None, :, None]
        wide = (self._query[1][ids] * sizes).sum(axis=3)
        long = (self._key[1][everyone] * sizes).sum(axis=3)
        n, m = self.n_tokens, len(self.moving)
        shape = (len(ids), m, self.units, n + self.sink)
        c = [np.zeros(shape) for _ in range(3)]
        error = np.zeros(shape)
        for h in range(self.units):
            found, bound = self._inner(
                h, query[:, :, h], key[:, :, h], wide[:, :, h], long[:, :, h]
            )
            c[0][:, :, h, :n], c[2][:, :, h, :n] = found[1, 1], found[0, 0]
            c[1][:, :, h, :n] = found[0, 1] + found[1, 0]
            error[:, :, h, :n] = bound
            sink = self.heads[h].sink
            if sink is not None:
                c[0][:, :, h, n] = int(sink.p) / int(sink.q)
                error[:, :, h, n] = np.abs(c[0][:, :, h, n])
        operations = 2 * (self._query[0].shape[-1] + self.readings[0].numerators.ncols()) + 40
        error = 4 * gamma(operations) * error + _TINY * (1 + wide.max()) * (1 + long.max())
        flat = (len(ids), m * self.units, n + self.sink)
        c_0, c_1, c_2 = (part.reshape(flat) for part in c)
        return ParabolaScores(c_0, c_1, c_2, error.reshape(flat), self.seen.reshape(flat[1:]))

    def _inner(
        self, h: int, query: Floats, key: Floats, wide: Floats, long: Floats
    ) -> tuple[Floats, Floats]:
        """Products (2, 2, B, M, N) of the parts of queries and keys, and those of sizes."""
        turn = self.heads[h].turn
        parts = np.empty((2, 2, len(query), len(self.moving), self.n_tokens))
        pairs = [(a, b) for a in range(2) for b in range(2)]
        if turn is None:
            for a, b in pairs:
                parts[a, b] = query[:, :, a] @ key[:, :, b].swapaxes(1, 2)
            return parts, wide @ long.swapaxes(1, 2)
        bound = np.empty(parts.shape[2:])
        for m, token in enumerate(self.moving):
            turns = np.stack([turn(j - token) for j in range(self.n_tokens)])
            near = np.einsum("bnak,nkl->bnal", key, turns)
            far = np.einsum("bnk,nkl->bnl", long, np.abs(turns))
            bound[:, m] = np.einsum("bk,bnk->bn", wide[:, m], far)
            for a, b in pairs:
                parts[a, b, :, m] = np.einsum("bk,bnk->bn", query[:, m, a], near[:, :, b])
        return parts, bound

    def exact(self, ids: NDArray[np.int64], unit: int, choices: Sequence[int]) -> list[Quadratic]:
        """Scores of some choices of a unit as integers, all times one positive number."""
        m, h = divmod(unit, self.units)
        head, token = self.heads[h], self.moving[m]
        everyone = self.full(ids)
        query, above = self._product("query", h, int(ids[m]))
        found: list[tuple[list[int], int]] = []
        for j in choices:
            if j == self.n_tokens:
                continue
            key, below = self._product("key", h, int(everyone[j]))
            turned, more = head.turned(key, j - token)
            inner = [int(v) for v in (query * turned.transpose()).entries()]
            found.append((inner, below * more))
        common = math.lcm(*(below for _, below in found))
        ratio = 1 if head.sink is None else int(head.sink.q)
        out: list[Quadratic] = []
        for inner, below in found:
            factor = common // below * ratio
            out.append((inner[3] * factor, (inner[1] + inner[2]) * factor, inner[0] * factor))
        if head.sink is not None and self.n_tokens in choices:
            out.append((int(head.sink.p) * above * common, 0, 0))
        return out

    def _product(self, what: str, h: int, reading: int) -> Part:
        """A query, key or value in integers, over the denominator, without the 1."""
        known = self._products
        if (what, h, reading) not in known:
            state, below = self.readings[reading].part
            for matrix, more in getattr(self.heads[h], what):
                state, below = state * matrix, below * more
            known[what, h, reading] = state, below
        return known[what, h, reading]

    # ---- what leaves ------------------------------------------------------------------------

    def signature(self, ids: NDArray[np.int64], winners: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the output of each token depends on, (M, units): the winners' readings."""
        return np.append(self.full(ids), -1)[winners]

    def advance(
        self, m: int, ids: NDArray[np.int64], groups: Sequence[Sequence[int]]
    ) -> AffineState:
        """The state behind the layer where ``groups`` win, one per head, ties averaged."""
        everyone = self.full(ids)
        parts: list[Part] = [self.offset.part]
        if self.layer.residual:
            parts.append(self.stream[int(ids[m])].part)
        for h, group in enumerate(groups):
            for j in group:
                if j < self.n_tokens:
                    value, below = self._product("value", h, int(everyone[j]))
                    parts.append((value, below * len(group)))
        return summed(parts)


# ---- units that a token passes through alone ----------------------------------------------------


class PointwiseReader:
    """The routing units of a stage, for every moving token; the choices are terms."""

    def __init__(self, layer: MovingPointwise, n_tokens: int, moving: Sequence[int]) -> None:
        self.layer, self.moving = layer, list(moving)
        self.table = None if layer.stage is None else IntegerStage(layer.stage)
        starts = [0] if self.table is None else self.table.starts
        self.starts = starts
        self.units = len(starts) - 1
        widest = max(np.diff(starts).tolist(), default=0)
        terms = np.array(starts[:-1], dtype=np.int64)[:, None] + np.arange(widest)
        seen = terms < np.array(starts[1:], dtype=np.int64)[:, None]
        self.terms = np.where(seen, terms, 0)
        self.seen = np.tile(seen, (len(self.moving), 1))

    def read(self, pieces: Sequence[AffineState], tokens: Sequence[int]) -> None:
        """Take the pieces that occur, each of one token."""
        self.stream, self.readings = pieces, _readings(pieces, tokens, self.layer.before)
        self._known: dict[int, list[Row]] = {}
        if self.table is None:
            return
        width = self.readings[0].numerators.ncols()
        doubles = np.array([p.doubles() for p in self.readings]).reshape(-1, 2, width)
        pairs = [unit.float_terms() for unit in self.table.stage.units]
        near = np.vstack([terms for terms, _ in pairs]).T
        size = np.abs(near) + np.vstack([error for _, error in pairs]).T / gamma(1)
        with np.errstate(all="ignore"):
            self._near, self._size = doubles @ near, np.abs(doubles) @ size
        self._operations = width + 20

    def scores(self, ids: NDArray[np.int64], reach: Floats) -> ParabolaScores:
        """Scores on B intervals, ``|t| <= reach``, with the tokens in the states ``ids`` (B, M)."""
        flat = (len(ids), len(self.moving) * self.units, self.terms.shape[1])
        near = self._near[ids][..., self.terms]
        size = self._size[ids][..., self.terms]
        error = size[:, :, 0] * reach[:, None, None, None] + size[:, :, 1]
        error = 4 * gamma(self._operations) * error + _TINY * (1 + error.max())
        error = error + _TINY * reach.max()
        return ParabolaScores(
            near[:, :, 1].reshape(flat),
            near[:, :, 0].reshape(flat),
            0.0,
            error.reshape(flat),
            self.seen,
        )

    def exact(self, ids: NDArray[np.int64], unit: int, choices: Sequence[int]) -> list[Quadratic]:
        """Scores of some choices of a unit as integers, all times one positive number."""
        m, u = divmod(unit, self.units)
        terms, start = self._terms(int(ids[m])), self.starts[u]
        return [(terms[start + j][1], terms[start + j][0], 0) for j in choices]

    def _terms(self, reading: int) -> list[Row]:
        """Slopes and constants of all terms."""
        if reading not in self._known:
            assert self.table is not None
            columns = self.table.columns(self.readings[reading])
            self._known[reading] = self.table.rows(columns)
        return self._known[reading]

    def signature(self, ids: NDArray[np.int64], winners: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the output of each token depends on, (M, units): the winners."""
        return winners

    def advance(
        self, m: int, ids: NDArray[np.int64], groups: Sequence[Sequence[int]]
    ) -> AffineState:
        """The state behind the stage where ``groups`` win, one per unit."""
        reading = int(ids[m])
        piece = self.readings[reading]
        if self.table is not None:
            piece = self.table.advance(piece, self._terms(reading), groups)
        return piece.plus(self.stream[reading]) if self.layer.residual else piece


Reader = AttentionReader | PointwiseReader


def reader_of(
    layer: MovingAttention | MovingPointwise, n_tokens: int, moving: Sequence[int]
) -> Reader:
    """The layer as the engine asks it."""
    if isinstance(layer, MovingAttention):
        return AttentionReader(layer, n_tokens, moving)
    return PointwiseReader(layer, n_tokens, moving)
