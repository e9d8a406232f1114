"""A stage in integers: its terms on a cell, and what its patterns do to the state (theory T12).

States are integer matrices over one common denominator, whose digits grow with the depth and with
nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import is_exact, rational
from tropattn.errors import InvalidInput
from tropattn.polyhedra.integer_rows import Row
from tropattn.tropical.affine_state import whole, whole_array
from tropattn.tropical.stage import RoutingStage, Scores

__all__ = ["AffineState", "StageTable", "lowest"]

Array = NDArray[Any]


class AffineState(Protocol):
    """An affine function of ``k`` parameters: ``(p, 1) @ state / denominator``, a 1 at its end."""

    @property
    def state(self) -> flint.fmpz_mat:
        """(k + 1, d + 1) integers."""
        ...

    @property
    def denominator(self) -> int:
        """A positive integer."""
        ...


class StageTable:
    """A stage in integers: the terms of all units, and what its patterns do to the state."""

    def __init__(self, stage: RoutingStage) -> None:
        self.stage = stage
        self.starts = np.cumsum([0, *(unit.n_terms for unit in stage.units)]).tolist()
        n = self.starts[-1]
        rows, self.denominator = _whole_terms(stage)
        self.terms = flint.fmpz_mat(n, stage.dim + 1, rows).transpose()
        self._matrices: dict[int, tuple[Any, flint.fmpz_mat | None, int]] = {}
        if isinstance(stage.update, Scores):
            stacked = np.vstack([stage.update.weights, stage.update.offset[None, :]])
            entries, self.weight_denominator = whole_array(stacked)
            h, d_out = stage.update.weights.shape
            self.weights = flint.fmpz_mat(h, d_out, entries[: h * d_out])
            self.offset = entries[h * d_out :]

    def products(self, cell: AffineState) -> list[Any]:
        """All terms in the cell's parameters, one parameter after the other."""
        return self.columns(cell).entries()

    def columns(self, cell: AffineState) -> flint.fmpz_mat:
        """All terms in the cell's parameters, (k + 1, n), over a common denominator."""
        return cell.state * self.terms

    def pulled(self, cell: AffineState) -> list[Row]:
        """All terms as integer rows in the cell's parameters, over a common denominator."""
        return self.rows(self.columns(cell))

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

    def advance(
        self, cell: AffineState, rows: list[Row], choice: list[int], pattern: Sequence[Any]
    ) -> tuple[flint.fmpz_mat, int]:
        """The state behind the stage; ``choice`` are the winners' places in ``rows``."""
        if isinstance(self.stage.update, Scores):
            size = cell.state.nrows()
            flat = [rows[j][i] for i in range(size) for j in choice]
            return self.read_out(cell, flint.fmpz_mat(size, len(choice), flat))
        step = self.stage.maps(pattern)
        matrix, below = self._matrix(step.matrix)
        shift, right = whole([rational(v) for v in step.offset.tolist()])
        total = math.lcm(cell.denominator * below, right)
        size = cell.state.nrows()
        entries = _drop_last(cell.state)
        width = len(step.offset)
        if step.matrix.shape[0] != cell.state.ncols() - 1:
            raise InvalidInput(
                f"stages: a map of R^{cell.state.ncols() - 1} needed, got one of "
                f"R^{step.matrix.shape[0]}; widths of consecutive stages must agree."
            )
        if matrix is not None:
            entries = (flint.fmpz_mat(size, cell.state.ncols() - 1, entries) * matrix).entries()
        factor = total // (cell.denominator * below)
        values = [int(v) * factor for v in entries]
        lift = total // right
        for c in range(width):
            values[(size - 1) * width + c] += shift[c] * lift
        return lowest(values, size, width, total)

    def read_out(self, cell: AffineState, chosen: flint.fmpz_mat) -> tuple[flint.fmpz_mat, int]:
        """The state behind a stage with a readout, from the winners' terms (k + 1, H)."""
        assert isinstance(self.stage.update, Scores)
        size, width = cell.state.nrows(), self.weights.ncols()
        values = [int(v) for v in (chosen * self.weights).entries()]
        above = self.denominator * self.weight_denominator
        total = cell.denominator * above
        if self.stage.update.residual:
            values = [
                v + int(s) * above for v, s in zip(values, _drop_last(cell.state), strict=True)
            ]
        lift = cell.denominator * self.denominator
        for c in range(width):
            values[(size - 1) * width + c] += self.offset[c] * lift
        return lowest(values, size, width, total)

    def _matrix(self, matrix: Array) -> tuple[flint.fmpz_mat | None, int]:
        """Integers of a map's matrix and their denominator; None is the identity."""
        # Layers hand out the same matrix for every pattern, so one conversion serves all cells.
        if id(matrix) not in self._matrices:
            entries, below = whole_array(matrix)
            square = matrix.shape[0] == matrix.shape[1]
            integers = flint.fmpz_mat(len(matrix), matrix.shape[1], entries)
            same = square and below == 1 and integers.is_one()
            if len(self._matrices) > 64:
                self._matrices.clear()
            self._matrices[id(matrix)] = (matrix, None if same else integers, below)
        return self._matrices[id(matrix)][1:]


def _whole_terms(stage: RoutingStage) -> tuple[list[int], int]:
    """All terms (n, d + 1), row by row, as integers over one denominator."""
    arrays = [array for unit in stage.units for array in (unit.keys, unit.biases)]
    given = all(not unit.maps and unit.scale == 1 for unit in stage.units)
    if given and not any(is_exact(array) for array in arrays):
        rows = [np.column_stack([unit.keys, unit.biases]) for unit in stage.units]
        return whole_array(np.vstack(rows))
    return whole([v for unit in stage.units for v in unit.exact_terms().entries()])


def _drop_last(state: flint.fmpz_mat) -> list[Any]:
    entries, width = state.entries(), state.ncols()
    return [v for i, v in enumerate(entries) if i % width != width - 1]


def lowest(values: list[int], size: int, width: int, total: int) -> tuple[flint.fmpz_mat, int]:
    """A state in lowest terms, its column of ones added; ``values`` (size, width), row by row.

    >>> state, below = lowest([4, 6], 2, 1, 2)       # 2 p + 3
    >>> state.tolist(), below
    ([[2, 0], [3, 1]], 1)
    """
    common = math.gcd(total, *values) if total > 1 else 1
    total //= common
    flat = []
    for i in range(size):
        flat += [v // common for v in values[i * width : (i + 1) * width]]
        flat.append(total if i == size - 1 else 0)
    return flint.fmpz_mat(size, width + 1, flat), total
