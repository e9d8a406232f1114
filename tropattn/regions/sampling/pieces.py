"""Pieces of networks: the map behind the winners of the first stages, exactly (theory T12)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import sample as kernel
from tropattn._types import Array
from tropattn.arrays import fraction_array
from tropattn.regions.sampling.error_bounds import step_of_map
from tropattn.regions.sampling.rows import HeadRows, point_scores
from tropattn.tropical.affine_state import AffineState
from tropattn.tropical.integer_stage import IntegerStage
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["Piece"]


class Piece:
    """The winners of the first stages, composed exactly: a map, and the next stage's units on it.

    ``step`` is the map in doubles; ``after`` the next stage, None behind the last one.
    """

    def __init__(self, state: AffineState, after: IntegerStage | None) -> None:
        self._state, self._after = state, after
        self.step = step_of_map(state.map())

    @property
    def _next(self) -> IntegerStage:
        assert self._after is not None
        return self._after

    @cached_property
    def _columns(self) -> flint.fmpz_mat:
        return self._next.columns(self._state)

    @cached_property
    def _units(self) -> list[TropicalPolynomial]:
        below = self._next.denominator * self._state.denominator
        rows = fraction_array(flint.fmpq_mat(self._columns.transpose()) / below)
        return [
            TropicalPolynomial(rows[a:b, :-1], rows[a:b, -1])
            for a, b in pairwise(self._next.starts)
        ]

    @cached_property
    def scores(self) -> kernel.ScoreRows:
        """The units as functions of the parameters, terms that are equal there merged."""
        size = self._state.numerators.nrows() - 1
        return point_scores([HeadRows.of(unit) for unit in self._units], size)

    @cached_property
    def tied(self) -> list[NDArray[np.bool_]]:
        """For each unit and merged term, whether several distinct terms are one there."""
        return [
            np.bincount(pulled.distinct[1][unit.distinct[0]]) > 1
            for unit, pulled in zip(self._next.stage.units, self._units, strict=True)
        ]

    @cached_property
    def names(self) -> list[Array]:
        """For each unit and merged term, the first of its terms, counted among distinct ones."""
        return [
            unit.distinct[1][pulled.distinct[0]]
            for unit, pulled in zip(self._next.stage.units, self._units, strict=True)
        ]

    def followed_by(self, pattern: Sequence[int], after: IntegerStage | None) -> Piece:
        """The piece behind the next stage, where the distinct terms of ``pattern`` win."""
        tied = []
        for unit, pulled, j in zip(self._next.stage.units, self._units, pattern, strict=True):
            classes = pulled.distinct[1]
            tied.append(np.flatnonzero(classes == classes[unit.distinct[0][j]]).tolist())
        rows = self._next.rows(self._columns)
        return Piece(self._next.advance(self._state, rows, tied), after)
