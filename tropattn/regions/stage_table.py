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

from tropattn.arrays import rational, rational_matrix
from tropattn.errors import InvalidInput
from tropattn.regions.depth_cells import Row
from tropattn.tropical.stage import RoutingStage

__all__ = ["AffineState", "StageTable", "lowest", "whole"]

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
        exact = [unit.exact_terms() for unit in stage.units]
        self.starts = np.cumsum([0, *(m.nrows() for m in exact)]).tolist()
        flat = [v for m in exact for v in m.entries()]
        n = self.starts[-1]
        rows, self.denominator = whole(flat)
        self.terms = flint.fmpz_mat(n, stage.dim + 1, rows).transpose()
        self._matrices: dict[int, tuple[Any, flint.fmpz_mat | None, int]] = {}
        if stage.readout is not None:
            stacked = np.vstack([stage.readout.weights, stage.readout.offset[None, :]])
            entries, self.weight_denominator = whole(rational_matrix(stacked).entries())
            h, d_out = stage.readout.weights.shape
            self.weights = flint.fmpz_mat(h, d_out, entries[: h * d_out])
            self.offset = entries[h * d_out :]

    def products(self, cell: AffineState) -> list[Any]:
        """All terms in the cell's parameters, one parameter after the other."""
        return (cell.state * self.terms).entries()

    def pulled(self, cell: AffineState) -> list[Row]:
        """All terms as integer rows in the cell's parameters, over a common denominator."""
        flat = [int(v) for v in self.products(cell)]
        n = self.starts[-1]
        return list(zip(*(flat[i : i + n] for i in range(0, len(flat), n)), strict=True))

    def advance(
        self, cell: AffineState, rows: list[Row], choice: list[int], pattern: Sequence[Any]
    ) -> tuple[flint.fmpz_mat, int]:
        """The state behind the stage; ``choice`` are the winners' places in ``rows``."""
        if self.stage.readout is not None:
            size = cell.state.nrows()
            flat = [rows[j][i] for i in range(size) for j in choice]
            return self.read_out(cell, flint.fmpz_mat(size, len(choice), flat))
        if self.stage.maps is None:
            raise InvalidInput(
                "target: layers that map the state needed, got bare polynomials, which route but "
                "map nothing; pass a FixedLayer or a Network."
            )
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
        assert self.stage.readout is not None
        size, width = cell.state.nrows(), self.weights.ncols()
        values = [int(v) for v in (chosen * self.weights).entries()]
        above = self.denominator * self.weight_denominator
        total = cell.denominator * above
        if self.stage.readout.residual:
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
            entries, below = whole(rational_matrix(matrix).entries())
            square = matrix.shape[0] == matrix.shape[1]
            integers = flint.fmpz_mat(len(matrix), matrix.shape[1], entries)
            same = square and below == 1 and integers.is_one()
            if len(self._matrices) > 64:
                self._matrices.clear()
            self._matrices[id(matrix)] = (matrix, None if same else integers, below)
        return self._matrices[id(matrix)][1:]


def whole(values: Sequence[flint.fmpq]) -> tuple[list[int], int]:
    """Numerators over the least common denominator, and the denominator.

    >>> whole([flint.fmpq(1, 2), flint.fmpq(1, 3)])
    ([3, 2], 6)
    """
    below = math.lcm(*(int(v.q) for v in values))
    return [int(v.p) * (below // int(v.q)) for v in values], below


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
