"""Lines with moving keys: all tokens move, and the whole stack is cut exactly (theory T11).

The line is swept layer by layer. On an interval of the layers so far every token's state is an
affine function of the parameter, so the scores of the next layer are quadratics; where the largest
of them changes, the interval is cut. Ends of intervals are roots of quadratics with integer
coefficients and are compared as such; states stay integers over one denominator. A pattern may
come back after it left, so intervals are counted, not patterns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cmp_to_key
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Floats
from tropattn.arrays import freeze
from tropattn.errors import BudgetExceeded, Interrupted
from tropattn.polyhedra.domain import Line
from tropattn.regions.budget import Budget, exceeded
from tropattn.regions.complex import RegionComplex
from tropattn.regions.lines.moving_layers import Reader, reader_of, settle
from tropattn.regions.lines.parabolas import Quadratic, Root, compare, envelope
from tropattn.regions.question import Engine, Found, Question
from tropattn.threads import check, interrupted
from tropattn.tropical.affine_state import AffineState
from tropattn.tropical.bilinear import TokenStack
from tropattn.tropical.terms import AffineMap

__all__ = ["LineInterval", "MovingTokens"]


_LARGEST = float(np.finfo(np.float64).max)

_NEIGHBOURS = 16
"""Doubles tried in an interval whose middle in doubles is not inside."""

_BLOCK, _ROOM = 64, 1 << 21
"""Most intervals, and most scores, that are found together."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LineInterval:
    """An open interval of the line on which all layers are one affine map of the parameter.

    ``low`` and ``high`` are exact, None where the line does not end; ``states`` those of the moving
    tokens behind the last layer.
    """

    low: Root | None
    high: Root | None
    states: tuple[AffineState, ...]

    def __repr__(self) -> str:
        return f"LineInterval({self.ends[0]:.6g}, {self.ends[1]:.6g})"

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends in doubles."""
        low = -np.inf if self.low is None else self.low.high
        return float(low), float(np.inf if self.high is None else self.high.low)

    @property
    def witness(self) -> float:
        """A parameter inside (the nearest double, where the interval is thinner than doubles)."""
        low, high = self.ends
        if np.isfinite(low) and np.isfinite(high):
            near = low / 2 + high / 2
        elif np.isfinite(low):
            near = min(low + max(1.0, abs(low)), _LARGEST)
        else:
            near = max(high - max(1.0, abs(high)), -_LARGEST) if np.isfinite(high) else 0.0
        if self.holds(near) or self.low is None or self.high is None:
            return near
        # Few doubles lie between the bounds of the ends then.
        at = self.low.low
        for _ in range(_NEIGHBOURS):
            if self.holds(at):
                return at
            at = math.nextafter(at, math.inf)
        return near

    def holds(self, t: float) -> bool:
        """Whether a parameter lies inside, exactly."""
        if not math.isfinite(t):
            return False
        at = Root.rational(t)
        above = self.low is None or compare(self.low, at) < 0
        return above and (self.high is None or compare(at, self.high) < 0)

    def key(self) -> tuple[tuple[int, ...], ...]:
        """A tuple that is equal exactly for equal maps."""
        return tuple(piece.key() for piece in self.states)

    def map(self) -> AffineMap:
        """The states side by side as a function of the parameter, in rationals."""
        parts = [state.map() for state in self.states]
        matrix, offset = ([getattr(p, name) for p in parts] for name in ("matrix", "offset"))
        return AffineMap(np.hstack(matrix), np.hstack(offset))


@dataclass(slots=True)
class _Partition:
    """The intervals of the layers so far: ends, and each moving token's piece (K, M)."""

    ends: list[Root | None]
    ids: NDArray[np.int64]
    pieces: list[AffineState]
    tokens: list[int]

    def __len__(self) -> int:
        return len(self.ends) - 1

    def bounds(self) -> tuple[Floats, Floats]:
        """Doubles outside of all intervals, (K,) and (K,)."""
        low = [-np.inf if end is None else end.low for end in self.ends[:-1]]
        high = [np.inf if end is None else end.high for end in self.ends[1:]]
        return np.array(low), np.array(high)


@dataclass(slots=True)
class _Sweep:
    """All layers along one line, and the tally."""

    stack: TokenStack
    budget: Budget
    exact_decisions: int = 0
    found: int = 1
    patterns: list[NDArray[np.int32]] = field(default_factory=list)
    parents: list[NDArray[np.int64]] = field(default_factory=list)

    def run(self, line: Line) -> _Partition:
        """Cut the line by all layers; on a limit or Ctrl-C raise with the intervals so far."""
        partition = _start(self.stack, line)
        try:
            for layer in self.stack.layers:
                reader = reader_of(layer, self.stack.n_tokens, self.stack.moving)
                partition = _Layer(self, reader, partition).run()
        except KeyboardInterrupt:
            raise interrupted(self.found) from None
        return partition

    def tell(self, found: int) -> None:
        """Take note of the intervals found: every interval of a layer holds one of the stack."""
        self.found = max(self.found, found)
        if self.budget.passed(found):
            raise exceeded(found, "intervals")
        self.budget.tell(found, 0)

    def all_patterns(self) -> NDArray[np.int32]:
        """Winners of all layers side by side, one row per interval of the last one."""
        rows = np.arange(len(self.parents[-1]))
        columns = []
        for patterns, parents in zip(self.patterns[::-1], self.parents[::-1], strict=True):
            columns.append(patterns[rows])
            rows = parents[rows]
        return np.hstack(columns[::-1])


def _start(stack: TokenStack, line: Line) -> _Partition:
    """The whole line, every moving token on its own."""
    assert line.embedding is not None
    matrix, offset = line.embedding
    pieces = []
    for m in range(len(stack.moving)):
        part = slice(m * stack.width, (m + 1) * stack.width)
        pieces.append(AffineState.of(matrix[:, part], offset[part]))
    ends = []
    for side in (line.window.low, line.window.high):
        value = side.tolist()[0]
        infinite = isinstance(value, float) and np.isinf(value)
        ends.append(None if infinite else Root.rational(value))
    return _Partition(ends, np.arange(len(pieces))[None, :], pieces, list(stack.moving))


class _Layer:
    """One layer through the intervals of the layers before it."""

    def __init__(self, sweep: _Sweep, reader: Reader, given: _Partition) -> None:
        self.sweep, self.reader, self.given = sweep, reader, given
        self.out = _Partition([given.ends[0]], given.ids, [], [])
        self.ids: list[list[int]] = []
        self.patterns: list[NDArray[np.int32]] = []
        self.parents: list[int] = []
        self.made: dict[tuple[Any, ...], int] = {}
        reader.read(given.pieces, given.tokens)

    def run(self) -> _Partition:
        """The finer partition behind the layer."""
        given, total = self.given, len(self.given)
        low, high = given.bounds()
        width = len(self.sweep.stack.moving) * self.reader.units
        block = max(1, min(_BLOCK, _ROOM // max(1, self.reader.seen.size)))
        winners, left = np.zeros((1, 0), dtype=np.int64), np.zeros((1, 0, 0), dtype=bool)
        for k in range(total):
            check()
            at = k % block
            if at == 0 and width:
                part = slice(k, min(k + block, total))
                # On an endless interval doubles settle nothing, so any reach will do.
                reach = np.maximum(np.abs(low[part]), np.abs(high[part]))
                reach = np.where(np.isfinite(reach), reach, 1.0)
                with np.errstate(all="ignore"):
                    scores = self.reader.scores(given.ids[part], reach)
                winners, left = settle(scores, low[part], high[part])
            elif not width:
                at = 0
            self._interval(k, winners[at].copy(), left[at])
            self.sweep.tell(len(self.ids) + total - k - 1)
        self.out.ids = np.array(self.ids, dtype=np.int64)
        self.sweep.patterns.append(np.array(self.patterns).reshape(len(self.ids), width))
        self.sweep.parents.append(np.array(self.parents))
        return self.out

    def _interval(self, k: int, winners: NDArray[np.int64], left: NDArray[np.bool_]) -> None:
        """Cut one interval where the winner of a unit changes in it."""
        ids, ends = self.given.ids[k], self.given.ends[k : k + 2]
        groups: dict[int, tuple[int, ...]] = {}
        events: list[tuple[Root, int, tuple[int, ...]]] = []
        for unit in np.flatnonzero(left.sum(axis=-1) > 1).tolist():
            choices = np.flatnonzero(left[unit]).tolist()
            for start, members in self._changes(ids, unit, choices, ends):
                if start is None:
                    _put(winners, groups, unit, members)
                else:
                    events.append((start, unit, members))
        events.sort(key=cmp_to_key(lambda a, b: compare(a[0], b[0])))
        for at, (root, unit, members) in enumerate(events):
            if at == 0 or compare(events[at - 1][0], root) < 0:
                self._close(k, winners, groups, root)
            _put(winners, groups, unit, members)
        self._close(k, winners, groups, ends[1])

    def _changes(
        self, ids: NDArray[np.int64], unit: int, choices: list[int], ends: Sequence[Root | None]
    ) -> list[tuple[Root | None, tuple[int, ...]]]:
        """Winners of a unit in order, with the point where each takes over; None is the start.

        Choices whose scores are equal on the whole interval win together.
        """
        self.sweep.exact_decisions += 1
        classes: dict[Quadratic, list[int]] = {}
        for choice, c in zip(choices, self.reader.exact(ids, unit, choices), strict=True):
            classes.setdefault(c, []).append(choice)
        members = [tuple(group) for group in classes.values()]
        pieces = envelope(list(classes), *ends)
        return [
            (None if n == 0 else start, members[winner]) for n, (start, winner) in enumerate(pieces)
        ]

    def _close(
        self,
        k: int,
        winners: NDArray[np.int64],
        groups: dict[int, tuple[int, ...]],
        end: Root | None,
    ) -> None:
        """End an interval: its pattern, and the state of every moving token behind the layer."""
        units, moving = self.reader.units, self.sweep.stack.moving
        ids = self.given.ids[k]
        by_token = winners.reshape(len(moving), units)
        depends = self.reader.signature(ids, by_token)
        row = []
        for m, token in enumerate(moving):
            first = m * units
            shared = [u for u in range(units) if first + u in groups]
            ties = tuple((u, tuple(self._readings(ids, groups[first + u]))) for u in shared)
            key = (m, int(ids[m]), depends[m].tobytes(), ties)
            if key not in self.made:
                chosen = [groups.get(first + u, (int(by_token[m, u]),)) for u in range(units)]
                self.made[key] = len(self.out.pieces)
                self.out.pieces.append(self.reader.advance(m, ids, chosen))
                self.out.tokens.append(token)
            row.append(self.made[key])
        self.ids.append(row)
        self.patterns.append(winners.astype(np.int32))
        self.parents.append(k)
        self.out.ends.append(end)

    def _readings(self, ids: NDArray[np.int64], group: tuple[int, ...]) -> list[int]:
        return self.reader.signature(ids, np.array([group])).ravel().tolist()


def _put(
    winners: NDArray[np.int64],
    groups: dict[int, tuple[int, ...]],
    unit: int,
    members: tuple[int, ...],
) -> None:
    winners[unit] = members[0]
    if len(members) > 1:
        groups[unit] = members
    else:
        groups.pop(unit, None)


# ---- what is asked for ----------------------------------------------------------------------


class MovingTokens(Engine):
    """Intervals of a line on which a stack with moving keys has one pattern (theory T11).

    Of cells, intervals of one pattern of winners, up to single points; of linear regions, those on
    which the states behind the last layer are one affine function. Lower bounds that errors carry
    are intervals found so far, 1 for regions.

    >>> from tropattn.tropical.bilinear import MovingAttention, BilinearHead
    >>> own = AffineMap(np.eye(1), np.zeros(1))
    >>> head = BilinearHead(own, own, (own,), 1)
    >>> layer = MovingAttention((head,), np.zeros(1), ((0, 1), (0, 2)), residual=True)
    >>> stack = TokenStack((layer,), 2, 1, (0, 1))
    >>> line = Line([1, 0], [0, 1])             # the second token moves through 0 and through 1
    >>> MovingTokens().count(Question((), line, stack=stack)).value     # own, the first one's, own
    3
    """

    name, lists = "line", True
    kinds = ("tokens",)
    where = "keys that move, on a `Line`"
    idea = "layer by layer, envelopes of the parabolas that scores are on each interval (T11)"
    cost = "the scores once per interval and layer, an exact envelope per unit that changes"
    otherwise = "it always can: ends are compared as roots of integer quadratics"

    def refuses(self, question: Question) -> str | None:
        """A domain that is no line in the space of the moving states side by side."""
        stack, domain = question.stack, question.domain
        assert stack is not None
        if not isinstance(domain, Line):
            return (
                f"domain: a Line needed where keys are live, got {question.space}; in higher "
                "dimension such cells have curved walls, so use own_key='frozen' there."
            )
        if domain.ambient_dim != stack.dim:
            return (
                f"domain: a line in R^{stack.dim} needed, {len(stack.moving)} states of width "
                f"{stack.width} side by side, got {question.space}; ravel the states."
            )
        return None

    def count(self, question: Question) -> Found:
        """The number of intervals."""
        regions = question.of == "linear_regions"
        try:
            sweep, partition = _swept(question)
        except (BudgetExceeded, Interrupted) as error:
            error.lower = 1 if regions else error.lower
            raise
        value, stats = len(partition), _stats(sweep, partition)
        if regions:
            keys = [interval.key() for interval in _intervals(partition)]
            stats["cells"] = value
            value = 1 + sum(a != b for a, b in pairwise(keys))
        return Found(value, stats, self.name)

    def cells(self, question: Question) -> RegionComplex:
        """The intervals in their order along the line; patterns may repeat.

        ``pieces`` are ``LineInterval`` values: exact ends and maps.
        """
        sweep, partition = _swept(question)
        intervals, line = _intervals(partition), question.domain
        assert isinstance(line, Line)
        patterns = freeze(sweep.all_patterns())
        parameters = [interval.witness for interval in intervals]
        inside = freeze(np.array([i.holds(t) for i, t in zip(intervals, parameters, strict=True)]))
        witnesses = freeze(np.array(line.to_ambient(np.array(parameters)[:, None])))
        stats, pieces = _stats(sweep, partition), tuple(intervals)
        return RegionComplex(patterns, witnesses, inside, question.where, None, stats, pieces)


def _swept(question: Question) -> tuple[_Sweep, _Partition]:
    """The sweep of the question's line, and the partition behind its last layer."""
    assert question.stack is not None and isinstance(question.domain, Line)
    sweep = _Sweep(question.stack, question.budget)
    return sweep, sweep.run(question.domain)


def _intervals(partition: _Partition) -> list[LineInterval]:
    pieces = partition.pieces
    return [
        LineInterval(low, high, tuple(pieces[i] for i in row))
        for (low, high), row in zip(pairwise(partition.ends), partition.ids.tolist(), strict=True)
    ]


def _stats(sweep: _Sweep, partition: _Partition) -> dict[str, Any]:
    return {
        "stages": len(sweep.stack.layers),
        "tokens": len(sweep.stack.moving),
        "exact_decisions": sweep.exact_decisions,
        "states": len(partition.pieces),
    }
