"""A stage in integers: its terms in a cell's parameters, and what winners do to the state (T12).

The one exact reading of a stage, for engines, samplers and bounds; nothing is worked out before it
is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import flint
import numpy as np

from tropattn.arrays import is_exact
from tropattn.polyhedra.integer_rows import Row
from tropattn.tropical.affine_state import (
    AffineState,
    Part,
    padded,
    summed,
    total,
    whole,
    whole_array,
)
from tropattn.tropical.stage import Linear, RoutingStage, Scores, Selected, update_of

__all__ = ["IntegerStage"]

_MATRICES = 64
"""Sums of own values' matrices that are kept."""


class IntegerStage:
    """A stage in integers; ``starts``: the first of each unit's terms among those of all units.

    Examples
    --------
    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> unit = TropicalPolynomial([[0], [1]])
    >>> update = Selected((np.array([[0.5], [1.0]]),), np.zeros(1), True)
    >>> stage = IntegerStage(RoutingStage((unit,), update))
    >>> start = AffineState.of(np.array([[3.0]]), np.array([1.0]))          # x = 3 p + 1
    >>> rows = stage.rows(stage.columns(start))
    >>> rows, stage.advance(start, rows, [[0, 1]]).key()            # x + 3/4 where both terms win
    ([(0, 0), (3, 1)], (4, 12, 0, 7, 4))
    """

    def __init__(self, stage: RoutingStage) -> None:
        self.stage = stage
        self.starts = np.cumsum([0, *(unit.n_terms for unit in stage.units)]).tolist()
        self._values: dict[tuple[int, int], Part] = {}
        self._sums: dict[tuple[tuple[int, int], ...], Part] = {}

    # ---- terms --------------------------------------------------------------------------------

    @cached_property
    def _terms(self) -> Part:
        rows, below = _whole_terms(self.stage)
        matrix = flint.fmpz_mat(self.starts[-1], self.stage.dim + 1, rows)
        return matrix.transpose(), below

    @property
    def terms(self) -> flint.fmpz_mat:
        """All terms in the columns (d + 1, n), over ``denominator``."""
        return self._terms[0]

    @property
    def denominator(self) -> int:
        """The common denominator of all terms."""
        return self._terms[1]

    def columns(self, state: AffineState) -> flint.fmpz_mat:
        """All terms in the parameters, (k + 1, n), over the product of both denominators."""
        return state.numerators * self.terms

    def rows(self, columns: flint.fmpz_mat) -> list[Row]:
        """The columns as integer rows."""
        flat = [int(v) for v in columns.entries()]
        n = self.starts[-1]
        return list(zip(*(flat[i : i + n] for i in range(0, len(flat), n)), strict=True))

    def contenders(self, columns: flint.fmpz_mat, corners: Sequence[Row]) -> list[list[int]]:
        """The terms of each unit that may win inside the cell, given its corners; else all.

        A term is left out if the winner at an inner point leads it at one corner and trails it at
        none: then it does so on all of the open cell. Few units of a wide layer have a wall there.
        """
        spans = list(zip(self.starts, self.starts[1:], strict=False))
        if not corners:
            return [list(range(start, stop)) for start, stop in spans]
        size, n = len(corners), self.starts[-1]
        flat = [v for corner in corners for v in corner]
        # The sum of homogeneous corners is a point inside.
        flat += [sum(column) for column in zip(*corners, strict=True)]
        scores = (flint.fmpz_mat(size + 1, len(corners[0]), flat) * columns).entries()
        at = [scores[i * n : (i + 1) * n] for i in range(size)]
        inner = scores[size * n :]
        out = []
        for start, stop in spans:
            best = max(range(start, stop), key=inner.__getitem__)
            leads = inner[best]
            out.append(
                [
                    j
                    for j in range(start, stop)
                    if inner[j] == leads or any(row[j] > row[best] for row in at)
                ]
            )
        return out

    # ---- what winners do to the state ---------------------------------------------------------

    def advance(
        self, state: AffineState, rows: Sequence[Row], tied: Sequence[Sequence[int]]
    ) -> AffineState:
        """The state behind the stage where, of each unit, the terms ``tied`` win together.

        ``rows`` are all terms in the parameters. Raises ``InvalidInput`` for bare polynomials.
        """
        update, size = update_of(self.stage), state.numerators.nrows()
        if isinstance(update, Linear):
            return state.through(self._linear)
        constant, below = self.constant(tied)
        width = constant.ncols()
        flat = [*[0] * ((size - 1) * width), *constant.entries()]
        parts: list[Part] = [(flint.fmpz_mat(size, width, flat), below)]
        if update.residual:
            parts.append(state.part)
        if isinstance(update, Scores):
            weights, below = self._weights
            # Tied terms are equal functions, so any of them will do.
            first = [start + won[0] for start, won in zip(self.starts, tied, strict=False)]
            chosen = flint.fmpz_mat(
                size, len(first), [rows[j][i] for i in range(size) for j in first]
            )
            parts.append((chosen * weights, state.denominator * self.denominator * below))
            return summed(parts)
        shares = tuple(
            (h, len(won))
            for h, (own, won) in enumerate(zip(update.own, tied, strict=False))
            if own is not None and own.term in won
        )
        if shares:
            matrix, below = self._moved(shares)
            parts.append((state.numerators * matrix, state.denominator * below))
        return summed(parts)

    def constant(self, tied: Sequence[Sequence[int]]) -> Part:
        """The row that is added where the terms ``tied`` win, (1, d_out + 1) with a 0 at its end.

        Of scores, and of a linear update, the offset alone.
        """
        parts = [self._offset]
        if isinstance(self.stage.update, Selected):
            parts += [self._value(h, won) for h, won in enumerate(tied)]
        return total(parts)

    @cached_property
    def _offset(self) -> Part:
        return padded(update_of(self.stage).offset[None])

    def _value(self, unit: int, won: Sequence[int]) -> Part:
        """The mean of the values of terms of a unit that win together."""
        assert isinstance(self.stage.update, Selected)
        values = self.stage.update.values[unit]
        if len(won) > 1:
            rows, below = padded(values[list(won)])
            return flint.fmpz_mat(1, len(won), [1] * len(won)) * rows, below * len(won)
        key = unit, won[0]
        if key not in self._values:
            self._values[key] = padded(values[won[0]][None])
        return self._values[key]

    @cached_property
    def _linear(self) -> AffineState:
        assert isinstance(self.stage.update, Linear)
        return AffineState.of(self.stage.update.matrix, self.stage.update.offset)

    @cached_property
    def _weights(self) -> Part:
        assert isinstance(self.stage.update, Scores)
        return padded(self.stage.update.weights)

    @cached_property
    def _own(self) -> dict[int, Part]:
        """The matrices of own values, by unit, with a row of zeros for the 1."""
        assert isinstance(self.stage.update, Selected)
        return {
            h: padded(np.vstack([own.matrix, np.zeros(own.matrix.shape[1])]))
            for h, own in enumerate(self.stage.update.own)
            if own is not None
        }

    def _moved(self, shares: tuple[tuple[int, int], ...]) -> Part:
        """The sum of own values' matrices, each (unit, n) as an n-th."""
        # Few sums occur, so one serves many cells.
        if shares not in self._sums:
            if len(self._sums) >= _MATRICES:
                self._sums.clear()
            own = self._own
            self._sums[shares] = total([(own[h][0], own[h][1] * n) for h, n in shares])
        return self._sums[shares]


def _whole_terms(stage: RoutingStage) -> tuple[list[int], int]:
    """All terms (n, d + 1), row by row, as integers over one denominator."""
    arrays = [array for unit in stage.units for array in (unit.keys, unit.biases)]
    given = all(not unit.maps and unit.scale == 1 for unit in stage.units)
    if given and not any(is_exact(array) for array in arrays):
        rows = [np.column_stack([unit.keys, unit.biases]) for unit in stage.units]
        return whole_array(np.vstack(rows))
    return whole([v for unit in stage.units for v in unit.exact_terms().entries()])
