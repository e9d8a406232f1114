"""States of many draws at twice the precision of doubles, where doubles have lost too much.

What a double bounds as ``rounding`` (``error_bounds``) is made of products and sums, each of which
errs here by a small multiple of ``u`` times as much. So behind a dozen wide layers, each of which
may stretch an error a hundredfold, winners are still proved; what is not goes to balls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import twofold as kernel
from tropattn._kernels.propagate import Step
from tropattn._types import Array
from tropattn.arrays import as_fractions, fraction_array, is_exact, to_float
from tropattn.regions.sampling.error_bounds import distinct_values
from tropattn.threads import check
from tropattn.tolerance import UNIT, gamma
from tropattn.tropical.affine_state import AffineState
from tropattn.tropical.stage import (
    RoutingStage,
    Scores,
    Selected,
    own_values,
    shared_matrix,
    update_of,
)

__all__ = ["Carried", "TwofoldStages"]

_LOST = 2.0**-1000
"""More than 10^6 products can lose by underflow."""


def _twofold(array: Array) -> Array:
    """Numbers as unevaluated sums of two doubles, (2, ...); each errs by ``u^2`` of its size.

    >>> third = as_fractions(np.array([1.0])) / 3
    >>> high, low = _twofold(third)[:, 0].tolist()
    >>> high == 1 / 3, 0 < low < 1e-16
    (True, True)
    """
    near = to_float(array)[0]
    if not is_exact(array):
        return np.stack([near, np.zeros(near.shape)])
    return np.stack([near, to_float(array - as_fractions(near))[0]])


def _sum(a: Array, b: Array) -> Array:
    """The sum of two numbers (2, ...), as ``twice.add``."""

    def two_sum(x: Array, y: Array) -> tuple[Array, Array]:
        s = x + y
        t = s - x
        return s, (x - (s - t)) + (y - t)

    s, e = two_sum(a[0], b[0])
    t, f = two_sum(a[1], b[1])
    s, e = two_sum(s, e + t)
    return np.stack(two_sum(s, e + f))


def _product(rows: Array, columns: Array) -> Array:
    """The product (2, n, m) of ``rows`` (2, n, K) and ``columns`` (2, K, m)."""
    out = np.empty((2, rows.shape[1], columns.shape[2]))
    kernel.products(rows, np.ascontiguousarray(columns), out)
    return out


def _transposed(matrix: Array) -> Array:
    return np.ascontiguousarray(_twofold(matrix).transpose(0, 2, 1))


@dataclass(slots=True, eq=False)
class Carried:
    """States (2, d + 1, m) of draws, their last coordinate 1, that enter stage ``level``.

    ``size`` and ``error`` (m,) bound ``|(x, 1)|`` and the distance from the true states; ``scores``
    are those of the stage's distinct terms, where they are known.
    """

    level: int
    states: Array
    size: Array
    error: Array
    scores: Array | None = None

    @classmethod
    def of(cls, level: int, states: Array, error: Array) -> Carried:
        """States (2, d, m) and what they may be off."""
        ones = np.zeros((2, 1, states.shape[2]))
        ones[0] = 1.0
        size = 1.00000001 * np.sqrt(1.0 + (states[0] * states[0]).sum(axis=0))
        return cls(level, np.concatenate([states, ones], axis=1), size, error)

    def take(self, chosen: Array) -> Carried:
        """Some of the states."""
        scores = None if self.scores is None else self.scores[:, :, chosen]
        states = self.states[:, :, chosen]
        return Carried(self.level, states, self.size[chosen], self.error[chosen], scores)

    def near(self) -> tuple[Array, Array]:
        """States (m, d) in doubles, and how far each may be from the truth."""
        high, low = self.states[:, :-1]
        return high.T.copy(), 1.00000001 * (self.error + np.sqrt((low * low).sum(axis=0)))


class _TwofoldStage:
    """A stage at twice the precision; ``step`` its bounds in doubles, None for the last one."""

    def __init__(self, stage: RoutingStage, step: Step | None) -> None:
        self.stage, self.step = stage, step
        firsts = [unit.distinct[0] for unit in stage.units]
        self.starts = np.cumsum([0, *map(len, firsts)])
        self._firsts = firsts

    @cached_property
    def terms(self) -> Array:
        """The distinct terms (2, n, d + 1)."""
        out = []
        for unit, chosen in zip(self.stage.units, self._firsts, strict=True):
            exact = is_exact(unit.keys) or is_exact(unit.biases)
            if unit.maps or unit.scale != 1 or exact:
                out.append(_twofold(fraction_array(unit.exact_terms(chosen))))
            else:
                out.append(_twofold(np.column_stack([unit.keys, unit.biases])[chosen]))
        return np.concatenate(out, axis=1)

    @cached_property
    def norms(self) -> Array:
        """The largest norm of a term of each unit."""
        sizes = 1.000001 * np.sqrt((self.terms[0] ** 2).sum(axis=1))
        return np.array([sizes[a:b].max() for a, b in pairwise(self.starts)])

    @cached_property
    def _filled(self) -> NDArray[np.int64]:
        """Terms that are not 0, as one of two is in a ReLU."""
        return np.flatnonzero(self.terms[0].any(axis=1))

    @cached_property
    def _rows(self) -> Array:
        return np.ascontiguousarray(self.terms[:, self._filled])

    def scores(self, states: Array) -> Array:
        """Scores (2, n, m) of the distinct terms at states (2, d + 1, m)."""
        out = np.zeros((2, self.starts[-1], states.shape[2]))
        out[:, self._filled] = _product(self._rows, states)
        return out

    # ---- what winners do to the state -----------------------------------------------------------

    @cached_property
    def _matrix(self) -> Array:
        return _transposed(shared_matrix(self.stage))

    @cached_property
    def _offset(self) -> Array:
        return _twofold(update_of(self.stage).offset)

    @cached_property
    def _values(self) -> list[Array]:
        assert isinstance(self.stage.update, Selected)
        pairs = zip(self.stage.units, self.stage.update.values, strict=True)
        return [_twofold(distinct_values(unit, values)) for unit, values in pairs]

    @cached_property
    def _weights(self) -> Array:
        assert isinstance(self.stage.update, Scores)
        return _transposed(self.stage.update.weights)

    @cached_property
    def _moving(self) -> list[tuple[int, int, Array]]:
        return [(h, index, _transposed(matrix)) for h, index, matrix in own_values(self.stage)]

    def after(self, now: Carried, winners: Array) -> Carried:
        """The states behind the stage where ``winners`` (H, m) win, among distinct terms."""
        update, step = update_of(self.stage), self.step
        assert step is not None
        states, (_, d, m) = now.states[:, :-1], now.states[:, :-1].shape
        total = np.repeat(self._offset[:, :, None], m, axis=2)
        if step.keep:
            total = _sum(total, states)
        elif len(step.matrix):
            total = _sum(total, _product(self._matrix, states))
        if isinstance(update, Selected):
            for h, values in enumerate(self._values):
                total = _sum(total, values[:, winners[h]].transpose(0, 2, 1))
            for h, index, matrix in self._moving:
                won = np.flatnonzero(winners[h] == index)
                total[:, :, won] = _sum(total[:, :, won], _product(matrix, states[:, :, won]))
        if isinstance(update, Scores):
            scores = self.scores(now.states) if now.scores is None else now.scores
            places = self.starts[:-1, None] + winners
            chosen = np.take_along_axis(scores, places[None], axis=1)
            total = _sum(total, _product(self._weights, chosen))
        # Doubles lose gamma_n of what each of the products and sums is made of, these 5 (n + 7) u
        # times that: 5 (n + 5)^2 u^2 in a product of n terms, 3 u^2 in a sum.
        terms = d + len(self.stage.units) + len(self._moving_units) + 11
        lost = 6 * terms * UNIT * step.rounding * now.size
        return Carried.of(now.level + 1, total, 1.00000001 * (step.growth * now.error + lost))

    @cached_property
    def _moving_units(self) -> list[int]:
        return [h for h, _, _ in own_values(self.stage)]


class TwofoldStages:
    """The stages of a network at twice the precision, behind an exact map of the parameters.

    ``root`` and ``steps`` are the bounds in doubles of that map, and of all stages but the last.
    """

    def __init__(
        self,
        stages: Sequence[RoutingStage],
        start: AffineState | None,
        root: Step,
        steps: Sequence[Step],
    ) -> None:
        pairs = zip(stages, [*steps, None], strict=True)
        self._stages = [_TwofoldStage(stage, step) for stage, step in pairs]
        self._start, self._root = start, root

    @cached_property
    def _embedding(self) -> tuple[Array, Array]:
        assert self._start is not None
        start = self._start.map()
        return _transposed(start.matrix), _twofold(start.offset)

    def _enter(self, points: Array) -> Carried:
        m = len(points)
        states = np.zeros((2, points.shape[1], m))
        states[0] = points.T
        now = Carried.of(0, states, np.zeros(m))
        if self._start is None:
            return now
        matrix, offset = self._embedding
        total = _sum(np.repeat(offset[:, :, None], m, axis=2), _product(matrix, states))
        lost = 6 * (points.shape[1] + 12) * UNIT * self._root.rounding * now.size
        return Carried.of(0, total, lost)

    def states(self, points: Array, winners: Sequence[Array]) -> Carried:
        """States behind the stages of ``winners`` at points (m, k).

        ``winners``: proved ones, (H, m) each, none of which is a tie.
        """
        with np.errstate(all="ignore"):
            now = self._enter(points)
            for stage, won in zip(self._stages, winners, strict=False):
                check()
                now = stage.after(now, won)
            return now

    def further(self, now: Carried, winners: Array) -> Carried:
        """The states behind one stage more."""
        with np.errstate(all="ignore"):
            return self._stages[now.level].after(now, winners)

    def winners(self, now: Carried) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Winners (H, m) of the stage that is entered, and for which states all are proved."""
        stage = self._stages[now.level]
        with np.errstate(all="ignore"):
            now.scores = stage.scores(now.states)
            m, heads = now.states.shape[2], len(stage.starts) - 1
            found, leads = np.zeros((heads, m), np.int32), np.empty((heads, m))
            kernel.lead(now.scores, stage.starts, found, leads)
            # The lead of one score over another carries the error of both.
            unit = 6 * (stage.stage.dim + 12) * UNIT * gamma(stage.stage.dim + 4)
            needed = np.outer(stage.norms, unit * now.size + now.error) + _LOST
            return found, np.all(leads > 2.02 * needed, axis=0)
