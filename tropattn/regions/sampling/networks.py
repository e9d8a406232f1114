"""Samples of networks: every draw is followed through the stages, its winners proved at each.

A state in doubles carries a bound on its distance from the true state, and a winner counts only if
its lead exceeds what that distance and rounding can do. A draw that stays open is tried at twice
the precision of doubles, then in balls of high precision; and the piece that it lies on (the
winners so far, all proved) is composed in rationals: terms that are one function of the input
there, behind a dead ReLU say, are merged, and the lead of the merged ones is tried once more, from
the input itself. What is still open is discarded. So no cell is ever invented, and none is lost for
good because terms tie on all of it (theory T12).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import draws, propagate, walks
from tropattn._kernels import sample as kernel
from tropattn._kernels.draws import Law
from tropattn._kernels.simd import DOUBLE, SINGLE
from tropattn._types import Array
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, check_space
from tropattn.progress import doing
from tropattn.regions.sampling.balls import Balls
from tropattn.regions.sampling.error_bounds import step_of_stage
from tropattn.regions.sampling.pieces import Piece
from tropattn.regions.sampling.rows import HeadRows, Walls, chord_rows, hash_words, point_scores
from tropattn.regions.sampling.twofold import Carried, TwofoldStages
from tropattn.threads import check
from tropattn.tropical.affine_state import AffineState
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.stage import RoutingStage

__all__ = ["NetworkSampler"]

Prefix = tuple[tuple[int, ...], ...]

_AT_ONCE = 2048
"""Draws that are followed side by side."""

_NEAR = 2.0**-30
"""Error of a state per unit of its size above which balls find it anew."""

_PIECES = 4096
"""Pieces that are remembered."""

_SHARED = 16
"""So many open draws on one piece try the piece before the balls; in the end each tries both."""


@dataclass(slots=True, eq=False)
class Draws:
    """Draws on their way: blocks of 32 as in the kernels; ``n`` of the columns are meant.

    Attributes
    ----------
    points, size : the parameters and bounds of ``|(x, 1)|``.
    states, reach, error : the states, bounds of ``|(state, 1)|`` and of their distance from truth.
    along, moving : directions of the parameters and of the states, or None.
    kept : inside the domain and proved so far. tied : a winner so far is a tie of several terms.
    sums : hashes of the patterns so far. winners : one array (H, 32 B) per stage.
    carried : draws that were open at the last stage, and their states at twice the precision.
    """

    n: int
    points: Array
    size: Array
    kept: NDArray[np.bool_]
    along: Array | None
    states: Array
    reach: Array
    error: Array
    moving: Array | None
    tied: NDArray[np.bool_]
    sums: NDArray[np.uint64]
    winners: list[Array]
    carried: tuple[Array, Carried] | None = None

    def decide(
        self, level: int, chosen: Array, found: Array, proved: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Take the winners (H, m) of draws, where they are proved; returns where."""
        decided = chosen[proved]
        self.winners[level][:, decided] = found[:, proved]
        self.kept[decided] = True
        return proved

    def before(self, chosen: Array, depth: int) -> list[Array]:
        """Winners (H, m) of some draws in the first ``depth`` stages."""
        return [won[:, chosen] for won in self.winners[:depth]]


class NetworkSampler:
    """The stages of a network over one domain, in the form that the kernels read."""

    def __init__(self, stages: Sequence[RoutingStage], domain: Domain | None) -> None:
        self.stages = tuple(stages)
        check_space(domain, stages[0].dim)
        self.walls = Walls.of(domain, stages[0].dim if domain is None else domain.dim)
        self.dim = self.walls.rows.shape[1] - 1
        self.steps, heads = [], []
        with doing("preparing stages", len(self.stages)) as done:
            for depth, stage in enumerate(self.stages):
                done(depth)
                if depth + 1 < len(self.stages):
                    self.steps.append(step_of_stage(stage))
                heads.append([HeadRows.of(unit) for unit in stage.units])
        for step, stage in zip(self.steps, self.stages[1:], strict=True):
            if len(step.offset) != stage.dim:
                raise InvalidInput(
                    f"stages: a stage on R^{len(step.offset)} needed, got one on R^{stage.dim}; "
                    "widths of consecutive stages must agree."
                )
        counts = [sum(len(head.rows) for head in layer) for layer in heads]
        words = np.split(hash_words(sum(counts)), np.cumsum(counts)[:-1])
        self.scores = [
            point_scores(layer, stage.dim, part)
            for layer, stage, part in zip(heads, self.stages, words, strict=True)
        ]
        self.rows = [
            chord_rows(layer, Walls.of(None, stage.dim), stage.dim)
            for layer, stage in zip(heads, self.stages, strict=True)
        ]
        # What a draw goes through in scalar code weighs as much as ten terms in vector code.
        self.cost = float(
            sum(
                (stage.dim + 1) * (n + 10 * len(stage.units))
                for stage, n in zip(self.stages, counts, strict=True)
            )
        )
        embedding = None if domain is None else domain.embedding
        self.embedded = embedding is not None
        matrix, offset = embedding or (np.eye(self.dim), np.zeros(self.dim))
        start = AffineState.of(matrix, offset)
        self.exact = [IntegerStage(stage) for stage in self.stages]
        self.root = Piece(start, self.exact[0])
        self.balls = Balls(self.exact, start)
        where = start if self.embedded else None
        self.twofold = TwofoldStages(self.stages, where, self.root.step, self.steps)
        self._pieces: dict[Prefix, Piece] = {}

    def data(self) -> list[Array]:
        """Arrays that name the question."""
        found = [self.walls.rows, self.root.step.matrix, self.root.step.offset]
        found += [kernel.double_rows(scores) for scores in self.scores]
        for step in self.steps:
            found += [np.array(step.keep), step.matrix, step.offset, step.starts, step.values]
            found += [step.rows, step.weights, step.moving, step.where]
        return found

    # ---- points -------------------------------------------------------------------------------

    def points(self, law: Law, seed: int, first: int, end: int) -> tuple[Array, Array, int]:
        """Hashes and indices of the proved draws among ``first .. end - 1``, and how many failed.

        Cost: ``O(terms * d)`` per draw and stage.
        """
        hashes, indices = [], []
        for low in range(first, end, _AT_ONCE):
            n = min(_AT_ONCE, end - low)
            lanes = -(-n // SINGLE) * SINGLE
            points = np.empty((lanes // SINGLE, self.dim, SINGLE))
            size, kept = np.empty(lanes), np.empty(lanes, np.bool_)
            room = kernel.make_room(0, self.dim)
            kernel.draw_blocks(self.walls.inside(), law, seed, low, end, points, size, kept, room)
            flow = self._follow(n, points, size, kept, None, len(self.stages))
            at = np.flatnonzero(flow.kept[:n])
            hashes.append(flow.sums[at])
            indices.append(low + at)
        found = np.concatenate(indices)
        return np.concatenate(hashes), found, end - first - len(found)

    def _follow(
        self,
        n: int,
        points: Array,
        size: Array,
        kept: NDArray[np.bool_],
        along: Array | None,
        depth: int,
        before: list[tuple[Array, Array]] | None = None,
    ) -> Draws:
        """Follow draws through the first ``depth`` stages, to the state behind them if any.

        ``before`` takes the states and directions that enter each stage.
        """
        sums = np.zeros((len(size), 2), np.uint64)
        error = np.zeros(len(size))
        tied = np.zeros(len(size), np.bool_)
        flow = Draws(n, points, size, kept, along, points, size, error, along, tied, sums, [])
        if self.embedded:
            self._advance(flow, self.root.step, np.zeros((1, len(size)), np.int32))
        for level in range(depth):
            check()
            if before is not None and flow.moving is not None:
                before.append((flow.states, flow.moving))
            scores = self.scores[level]
            winners = np.zeros((len(self.stages[level].units), len(size)), np.int32)
            undecided = np.zeros(len(size), np.bool_)
            room = kernel.make_room(*flow.states.shape[:2])
            given = flow.states, flow.reach, flow.error
            kernel.route(scores, *given, kept, n, winners, undecided, room)
            still = np.flatnonzero(undecided[:n] & kept[:n])
            kept[still] = False
            flow.winners.append(winners)
            settled = self._settle(flow, level, still)
            kernel.add_words(scores, winners, n, flow.sums)
            if level == len(self.steps):
                break
            self._advance(flow, self.steps[level], winners)
            self._correct(flow, level + 1, settled)
        return flow

    def _advance(self, flow: Draws, step: propagate.Step, winners: Array) -> None:
        """States, directions and bounds behind a step."""
        shape = (len(flow.states), len(step.offset), SINGLE)
        after = np.empty(shape)
        propagate.advance(step, flow.states, 1.0, winners, after)
        if flow.moving is not None:
            moving = np.empty(shape)
            propagate.advance(step, flow.moving, 0.0, winners, moving)
            flow.moving = moving
        flow.states, flow.reach, flow.error = after, flow.reach.copy(), flow.error.copy()
        propagate.measure(step, flow.states, flow.reach, flow.error)

    # ---- open draws -----------------------------------------------------------------------------

    def _settle(self, flow: Draws, level: int, still: Array) -> Array:
        """Decide open draws exactly; those that are, marked as kept again."""
        if not level and not self.embedded:
            # Equal terms are merged already, so these lie on a wall but for rounding.
            return still[:0]
        few = []
        for prefix, chosen in _groups(flow.winners[:level], still):
            check()
            if len(chosen) >= _SHARED or flow.tied[chosen].any():
                chosen = self._on_piece(flow, level, prefix, chosen)
            few.append(chosen)
        left = np.concatenate(few) if few else still[:0]
        open_ = left[~flow.tied[left]]
        flow.carried = None
        if len(open_):
            now = self.twofold.states(_columns(flow.points, open_), flow.before(open_, level))
            proved = flow.decide(level, open_, *self.twofold.winners(now))
            flow.carried = open_, now
            open_ = open_[~proved]
        if len(open_):
            points, before = _columns(flow.points, open_), flow.before(open_, level)
            proved = flow.decide(level, open_, *self.balls.winners(points, before))
            for prefix, chosen in _groups(flow.winners[:level], open_[~proved]):
                check()
                self._on_piece(flow, level, prefix, chosen)
        return still[flow.kept[still]]

    def _on_piece(self, flow: Draws, level: int, prefix: Prefix, chosen: Array) -> Array:
        """Decide draws of one pattern on their piece; returns those that are left open."""
        piece = self._piece(prefix)
        n = len(chosen)
        points, size = _gathered(flow.points, flow.size, chosen)
        winners = np.zeros((len(piece.names), len(size)), np.int32)
        undecided = np.zeros(len(size), np.bool_)
        nothing, all_kept = np.zeros(len(size)), np.ones(len(size), np.bool_)
        room = kernel.make_room(*points.shape[:2])
        kernel.route(piece.scores, points, size, nothing, all_kept, n, winners, undecided, room)
        proved = ~undecided[:n]
        decided = chosen[proved]
        for h, (names, tied) in enumerate(zip(piece.names, piece.tied, strict=True)):
            won = winners[h, :n][proved]
            flow.winners[level][h, decided] = names[won]
            flow.tied[decided] |= tied[won]
        flow.kept[decided] = True
        return chosen[~proved]

    def _correct(self, flow: Draws, depth: int, chosen: Array) -> None:
        """States of draws, from their input: tied terms give their mean, and errors are small."""
        alone = []
        for prefix, group in _groups(flow.winners[:depth], chosen):
            if len(group) >= _SHARED or flow.tied[group].any():
                self._correct_on_piece(flow, prefix, group)
            else:
                alone.append(group)
        if alone:
            at = np.concatenate(alone)
            states, error = self._restated(flow, at, depth)
            flow.states[at // SINGLE, :, at % SINGLE] = states
            flow.error[at] = error
            flow.reach[at] = 1.00000001 * np.sqrt(1.0 + (states * states).sum(axis=1))

    def _restated(self, flow: Draws, at: Array, depth: int) -> tuple[Array, Array]:
        """States (m, d) of draws without ties behind ``depth`` stages, and their error bounds."""
        points, winners = _columns(flow.points, at), flow.before(at, depth)
        known, now = flow.carried or (at[:0], None)
        if now is not None and np.isin(at, known).all():
            order = np.argsort(known)
            now = now.take(order[np.searchsorted(known, at, sorter=order)])
        else:
            now = self.twofold.states(points, winners[:-1])
        now = self.twofold.further(now, winners[-1])
        states, error = now.near()
        far = np.flatnonzero(~(error <= _NEAR * now.size))
        if len(far):
            found = self.balls.states(points[far], [won[:, far] for won in winners])
            states[far], error[far] = found
        return states, error

    def _correct_on_piece(self, flow: Draws, prefix: Prefix, chosen: Array) -> None:
        step = self._piece(prefix).step
        points, size = _gathered(flow.points, flow.size, chosen)
        nothing = np.zeros((1, len(size)), np.int32)
        after = np.empty((len(points), len(step.offset), SINGLE))
        error = np.zeros(len(size))
        propagate.advance(step, points, 1.0, nothing, after)
        propagate.measure(step, after, size, error)
        block, lane, n = chosen // SINGLE, chosen % SINGLE, len(chosen)
        flow.states[block, :, lane] = _rows(after, n)
        flow.reach[chosen], flow.error[chosen] = size[:n], error[:n]
        if flow.moving is not None and flow.along is not None:
            along, _ = _gathered(flow.along, flow.size, chosen)
            propagate.advance(step, along, 0.0, nothing, after)
            flow.moving[block, :, lane] = _rows(after, n)

    def _piece(self, prefix: Prefix) -> Piece:
        if not prefix:
            return self.root
        found = self._pieces.get(prefix)
        if found is None:
            level = len(prefix)
            after = self.exact[level] if level < len(self.exact) else None
            found = self._piece(prefix[:-1]).followed_by(prefix[-1], after)
            if len(self._pieces) >= _PIECES:
                self._pieces.clear()
            self._pieces[prefix] = found
        return found

    # ---- lines ----------------------------------------------------------------------------------

    def lines(self, law: Law, seed: int, first: int, end: int) -> tuple[Array, Array, int]:
        """Hashes and chords of all cells met by chords ``first .. end - 1``; how many missed.

        Chains of chords as for one layer. Cost: a few passes over a stage's terms for each piece
        of a chord, and the following of a point of it through all stages so far.
        """
        steps = walks.STEPS
        chain = first // steps
        chains = -(-end // steps) - chain
        base = np.empty((-(-chains // DOUBLE) * DOUBLE, self.dim))
        propagate.first_base_rows(law, seed, chain, base)
        walk = _Chains.at(base)
        hashes, chords, missed = [], [], 0
        for step in range(steps):
            index = (chain + np.arange(len(base))) * steps + step
            walk.turn(law, seed, index, self.walls)
            ours = index < end
            crosses = walk.ends[:, 0] < walk.ends[:, 1]
            missed += int((ours & ~crosses).sum())
            found = self._cells(walk, np.flatnonzero(ours & crosses))
            own = (found.low <= 0) & (found.high > 0)
            # The cell of the base point was met by the chord before.
            new = ~own if step else np.ones(len(own), np.bool_)
            hashes.append(found.hashes[new])
            chords.append(index[found.line[new]])
            bounded = np.isfinite(found.low) & np.isfinite(found.high)
            walk.choose(found, ~own & (bounded | (law.kind == draws.UNIFORM)))
            self._approach(walk, np.flatnonzero(ours & crosses))
            walk.move()
        return np.concatenate(hashes), np.concatenate(chords), missed

    def _approach(self, walk: _Chains, line: Array) -> None:
        """Let lines go to a wall of their base point's cell, and along it from then on."""
        line = line[(walk.active[line] < self.dim - 1) & walk.inside(line)]
        if not len(line):
            return
        points, moving = _blocks(walk.base[line]), _blocks(walk.direction[line])
        size, kept = np.empty(len(points) * SINGLE), np.empty(len(points) * SINGLE, np.bool_)
        kernel.enter_blocks(self.walls.inside(), points, size, kept)
        before: list[tuple[Array, Array]] = []
        flow = self._follow(len(line), points, size, kept, moving, len(self.stages), before)
        ends = walk.ends[line]
        sides = np.stack([np.full(ends.shape, -1), walk.sides[line]], axis=2)
        for stage, (states, along) in enumerate(before):
            scores, winners = self.scores[stage], flow.winners[stage]
            propagate.leave(scores, states, along, winners, stage, ends, sides)
        # The farther wall: the nearer one may be active already.
        reach = np.where(np.isfinite(ends), np.abs(ends), 0.0)
        farther = np.argmax(reach, axis=1)
        at, side = ends[np.arange(len(line)), farther], sides[np.arange(len(line)), farther]
        walk.activate(line, self._normals(flow, side), at, flow.kept[: len(line)])

    def _normals(self, flow: Draws, side: Array) -> Array:
        """Normals, in the parameters, of walls (stage, row); stage -1 has those of the domain."""
        gradients = np.zeros((len(side), self.stages[-1].dim))
        for stage in reversed(range(len(self.stages))):
            scores, winners = self.scores[stage], flow.winners[stage]
            if stage < len(self.steps):
                before = np.empty((len(side), self.stages[stage].dim))
                propagate.pull(self.steps[stage], winners, gradients, before)
                gradients = before
            propagate.begin_gradients(scores, winners, stage, side, gradients)
        if self.embedded:
            before = np.empty((len(side), self.dim))
            nothing = np.zeros((1, len(flow.size)), np.int32)
            propagate.pull(self.root.step, nothing, gradients, before)
            gradients = before
        outer = (side[:, 0] < 0) & (side[:, 1] >= 0)
        gradients[outer] = self.walls.rows[side[outer, 1], :-1]
        return gradients

    def _cells(self, walk: _Chains, line: Array) -> _Stretched:
        """The proved cells of lines, in order along each line."""
        low, high = walk.ends[line].T
        found = self._at(walk, _Stretches(line, np.zeros(len(line)), low, high), 0)
        units = np.sqrt(1.0 + (walk.base * walk.base).sum(axis=1))
        for level, rows in enumerate(self.rows):
            pieces = propagate.cut_stretches(
                rows, found.states, found.moving, found.at, found.low, found.high, units[found.line]
            )
            cuts = _Stretches(found.line[pieces.parents], pieces.at, pieces.low, pieces.high)
            found = self._at(walk, cuts, level + 1)
        return found

    def _at(self, walk: _Chains, now: _Stretches, depth: int) -> _Stretched:
        """Follow a point of each stretch through the first ``depth`` stages; the proved ones.

        Neighbours with one pattern are one stretch: doubles may have cut a cell in two.
        """
        direction = walk.direction[now.line]
        moving = _blocks(direction)
        points = _blocks(walk.base[now.line] + now.at[:, None] * direction)
        size, kept = np.empty(len(points) * SINGLE), np.empty(len(points) * SINGLE, np.bool_)
        kernel.enter_blocks(self.walls.inside(), points, size, kept)
        n = len(now.line)
        flow = self._follow(n, points, size, kept, moving, depth)
        assert flow.moving is not None
        at = np.flatnonzero(flow.kept[:n]) if depth else np.arange(n)
        line, sums = now.line[at], flow.sums[at]
        first = np.ones(len(at), np.bool_)
        first[1:] = (line[1:] != line[:-1]) | (sums[1:] != sums[:-1]).any(axis=1)
        last = np.append(first[1:], True)[: len(at)]
        chosen = at[first]
        return _Stretched(
            line[first],
            now.at[chosen],
            now.low[chosen],
            now.high[at[last]],
            sums[first],
            _rows(flow.states, n)[chosen],
            _rows(flow.moving, n)[chosen],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Stretches:
    """Pieces ``low < t < high`` of lines, in order, each with a parameter ``at`` inside it."""

    line: NDArray[np.int64]
    at: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Stretched(_Stretches):
    """Stretches with a proved pattern: its hash, the state at ``at`` and its direction (rows)."""

    hashes: NDArray[np.uint64]
    states: Array
    moving: Array


@dataclass(slots=True, eq=False)
class _Chains:
    """Chains of chords side by side, one per row: hit and run (``_kernels/walks``).

    Attributes
    ----------
    base, direction : (m, d), of each chord. ends : (m, 2), where it enters and leaves the domain;
        sides : (m, 2), the walls there or -1. words : random.
    normals, active : (m, d, d) and (m,), the walls that each chord keeps to.
    step : (m,), how far along its chord each chain goes next; where that is 0 it goes on from its
        accepted point, a row of accepted (m, d).
    """

    base: Array
    direction: Array
    ends: Array
    sides: NDArray[np.int64]
    words: NDArray[np.uint64]
    normals: Array
    active: NDArray[np.int64]
    step: Array
    accepted: Array

    @classmethod
    def at(cls, base: Array) -> _Chains:
        m, d = base.shape
        ends, sides = np.empty((m, 2)), np.empty((m, 2), np.int64)
        words, active = np.empty(m, np.uint64), np.zeros(m, np.int64)
        normals, accepted = np.empty((m, d, d)), base.copy()
        none = np.zeros(m)
        return cls(base, np.empty((m, d)), ends, sides, words, normals, active, none, accepted)

    def turn(self, law: Law, seed: int, index: Array, walls: Walls) -> None:
        """New directions within the active walls."""
        propagate.direction_rows(law, seed, index, self.direction, self.words)
        propagate.project_rows(self.normals, self.active, self.direction)
        propagate.spans(walls.rows, self.base, self.direction, self.ends, self.sides)
        self.step[:] = 0.0

    def inside(self, line: Array) -> NDArray[np.bool_]:
        """Whether the base points of lines are inside the domain."""
        return (self.ends[line, 0] < 0.0) & (self.ends[line, 1] > 0.0)

    def activate(self, line: Array, normals: Array, at: Array, allowed: Array) -> None:
        """Keep to one wall more, near the parameter ``at`` of each line."""
        known, active = self.normals[line], self.active[line]
        propagate.activate_rows(known, active, normals, at, self.words[line], allowed)
        self.normals[line], self.active[line], self.step[line] = known, active, at

    def choose(self, found: _Stretched, free: NDArray[np.bool_]) -> None:
        """Let some chords give their chain's accepted point: a free stretch, with equal chances."""
        chances = self.active.astype(np.uint64) + np.uint64(1)
        accepts = (self.words >> np.uint64(40)) % chances == 0
        self.accepted[accepts] = self.base[accepts]
        free = free & accepts[found.line]
        lines, start, count = np.unique(found.line[free], return_index=True, return_counts=True)
        chosen = start + (self.words[lines] % count.astype(np.uint64)).astype(np.int64)
        self.accepted[lines] += found.at[free][chosen, None] * self.direction[lines]

    def move(self) -> None:
        """Move the base points: to the next wall, or to the accepted point, off all walls."""
        ends = self.step == 0.0
        self.active[ends] = 0
        self.base += self.step[:, None] * self.direction
        self.base[ends] = self.accepted[ends]


def _groups(winners: Sequence[Array], chosen: Array) -> Iterator[tuple[Prefix, Array]]:
    """The draws ``chosen`` by their patterns, each a tuple of winners per stage."""
    if not len(chosen):
        return
    if not winners:
        yield (), chosen
        return
    ends = np.cumsum([0, *map(len, winners)])
    rows = np.vstack([layer[:, chosen] for layer in winners]).T
    groups: dict[bytes, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(row.tobytes(), []).append(i)
    for members in groups.values():
        row = rows[members[0]].tolist()
        yield tuple(tuple(row[a:b]) for a, b in pairwise(ends)), chosen[members]


def _blocks(rows: Array) -> Array:
    """Rows (m, d) as blocks (B, d, 32)."""
    out = np.empty((-(-len(rows) // SINGLE), rows.shape[1], SINGLE))
    propagate.to_blocks(np.ascontiguousarray(rows), out)
    return out


def _rows(blocks: Array, n: int) -> Array:
    """The first ``n`` columns of blocks (B, d, 32) as rows."""
    return blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])[:n]


def _columns(points: Array, chosen: Array) -> Array:
    """Chosen columns of blocks (B, d, 32) as rows."""
    return points[chosen // SINGLE, :, chosen % SINGLE]


def _gathered(points: Array, size: Array, chosen: Array) -> tuple[Array, Array]:
    """The chosen columns of blocks as blocks of their own, and their sizes."""
    out = _blocks(_columns(points, chosen))
    sizes = np.full(len(out) * SINGLE, np.inf)
    sizes[: len(chosen)] = size[chosen]
    return out, sizes
