"""States of single draws in balls of 256 bits, where doubles have lost too much.

Each layer may stretch a rounding error, so behind many of them doubles decide little. Ball
arithmetic (F. Johansson's Arb) follows a draw from its exact input with a rigorous radius; its
winners are proved by disjoint balls. Terms that tie on a whole piece stay open here as well.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import rational_matrix
from tropattn.tropical.affine_state import AffineState
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.stage import Scores, Selected, own_values, shared_matrix, together

__all__ = ["Balls"]


_BITS = 256
_OFFSETS = 4096
"""Patterns of a stage whose constants are remembered."""

_LOCK = threading.Lock()
"""Arb's precision is one for all threads."""


@contextmanager
def _precisely() -> Iterator[None]:
    with _LOCK:
        before = flint.ctx.prec
        flint.ctx.prec = _BITS
        try:
            yield
        finally:
            flint.ctx.prec = before


class _Stage:
    """A stage in balls: its distinct terms, unit by unit, and what their winners do."""

    def __init__(self, exact: IntegerStage) -> None:
        self.exact, self.stage = exact, exact.stage
        self.firsts = [unit.distinct[0].tolist() for unit in self.stage.units]
        self.starts = np.cumsum([0, *map(len, self.firsts)]).tolist()
        self._offsets: dict[tuple[int, ...], list[Any]] = {}

    @cached_property
    def terms(self) -> flint.arb_mat:
        """Terms (slope, intercept) in the columns."""
        places = zip(self.exact.starts, self.firsts, strict=False)
        chosen = [start + j for start, firsts in places for j in firsts]
        entries, n = self.exact.terms.entries(), self.exact.starts[-1]
        flat = [entries[low + j] for low in range(0, len(entries), n) for j in chosen]
        whole = flint.fmpq_mat(self.stage.dim + 1, len(chosen), flat)
        return flint.arb_mat(whole / self.exact.denominator)

    @cached_property
    def weights(self) -> flint.arb_mat:
        """What winners' scores are multiplied by, (H, d_out)."""
        assert isinstance(self.stage.update, Scores)
        return flint.arb_mat(rational_matrix(self.stage.update.weights))

    @cached_property
    def matrix(self) -> flint.arb_mat:
        """The linear part that all patterns share, (d, d_out)."""
        return flint.arb_mat(rational_matrix(shared_matrix(self.stage)))

    @cached_property
    def moving(self) -> list[tuple[int, int, flint.arb_mat]]:
        """Unit, place among its distinct terms, and matrix of the values that move."""
        return [
            (h, index, flint.arb_mat(rational_matrix(matrix)))
            for h, index, matrix in own_values(self.stage)
        ]

    def offset(self, pattern: tuple[int, ...]) -> list[Any]:
        """The constant that a pattern adds."""
        if not isinstance(self.stage.update, Selected):
            pattern = ()
        if pattern not in self._offsets:
            if len(self._offsets) >= _OFFSETS:
                self._offsets.clear()
            won = zip(self.stage.units, self.firsts, pattern, strict=False)
            tied = [together(unit, firsts[j]).tolist() for unit, firsts, j in won]
            row, below = self.exact.constant(tied)
            self._offsets[pattern] = flint.arb_mat(flint.fmpq_mat(row) / below).entries()[:-1]
        return self._offsets[pattern]

    def after(self, states: flint.arb_mat, winners: Array) -> flint.arb_mat:
        """States with a 1 added (m, d_out + 1) behind the stage, from (m, d + 1)."""
        m, d = states.nrows(), self.stage.dim
        entries = states.entries()
        bare = [v for i in range(m) for v in entries[i * (d + 1) : i * (d + 1) + d]]
        moved = flint.arb_mat(m, d, bare) * self.matrix
        for h, index, matrix in self.moving:
            chosen = [
                bare[i * d + k] if won else 0
                for i, won in enumerate(winners[h] == index)
                for k in range(d)
            ]
            moved += flint.arb_mat(m, d, chosen) * matrix
        if isinstance(self.stage.update, Scores):
            scores = (states * self.terms).entries()
            n = self.starts[-1]
            places = np.array(self.starts[:-1])[:, None] + winners
            chosen = [scores[i * n + j] for i in range(m) for j in places[:, i].tolist()]
            moved += flint.arb_mat(m, len(places), chosen) * self.weights
        entries, width = moved.entries(), moved.ncols()
        flat: list[Any] = []
        for i in range(m):
            shift = self.offset(tuple(winners[:, i].tolist()))
            row = entries[i * width : (i + 1) * width]
            flat += [a + b for a, b in zip(row, shift, strict=True)]
            flat.append(flint.arb(1))
        return flint.arb_mat(m, width + 1, flat)


class Balls:
    """The stages of a network in balls, behind an exact map of the parameters."""

    def __init__(self, stages: Sequence[IntegerStage], start: AffineState) -> None:
        self._stages = [_Stage(stage) for stage in stages]
        self._start = start

    def _behind(self, points: Array, winners: Sequence[Array]) -> flint.arb_mat:
        m = len(points)
        rows = np.column_stack([points, np.ones(m)])
        states = flint.arb_mat(m, rows.shape[1], rows.ravel().tolist())
        states *= flint.arb_mat(self._start.rational())
        for stage, won in zip(self._stages, winners, strict=False):
            states = stage.after(states, won)
        return states

    def winners(
        self, points: Array, winners: Sequence[Array]
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Winners (H, m) of the next stage at points (m, k), and for which points all are proved.

        ``winners``: proved ones of the stages before, (H, m) each, none of which is a tie.
        """
        with _precisely():
            stage = self._stages[len(winners)]
            states = self._behind(points, winners)
            scores, n = (states * stage.terms).entries(), stage.starts[-1]
            found = np.zeros((len(stage.firsts), len(points)), np.int32)
            proved = np.ones(len(points), np.bool_)
            for i in range(len(points)):
                row = scores[i * n : (i + 1) * n]
                for h, low in enumerate(stage.starts[:-1]):
                    part = row[low : stage.starts[h + 1]]
                    # Where balls overlap any of them will do: the draw stays open.
                    best = max(range(len(part)), key=lambda j: part[j].mid())
                    found[h, i] = best
                    proved[i] &= all(part[best] > v for j, v in enumerate(part) if j != best)
            return found, proved

    def states(self, points: Array, winners: Sequence[Array]) -> tuple[Array, Array]:
        """States (m, d) in doubles behind the stages of ``winners``, and bounds of their errors."""
        with _precisely():
            found = self._behind(points, winners)
            width = found.ncols()
            entries = found.entries()
            near = np.array([float(v.mid()) for v in entries]).reshape(-1, width)[:, :-1]
            radii = np.array([float(v.rad()) for v in entries]).reshape(-1, width)[:, :-1]
        # A double is at most one unit in the last place from the middle that it stands for.
        lost = np.spacing(np.abs(near)) + 1.0000001 * radii
        return near, 1.0000001 * np.sqrt((lost * lost).sum(axis=1))
