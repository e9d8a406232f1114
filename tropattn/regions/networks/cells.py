"""Cells of networks as exact polyhedra, and one cell's refinement by one stage (theory T12).

Walls and states are integer matrices. Doubles come in only where a cell is searched, after a change
to *local coordinates* that centre and scale the cell, so that a cell of width 1e-9 is as easy as
one of width 1. The change is exact as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import pivot_columns
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.integer_rows import EXACT, Frame, Row, unit_rows
from tropattn.tolerance import TINY, UNIT
from tropattn.tropical.affine_state import AffineState
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.refinement import Refinement, two_doubles
from tropattn.tropical.terms import AffineMap
from tropattn.values import counted

__all__ = ["CellSystem", "DepthCell", "cell_of_words", "cell_to_words"]


_SMALL = 2**29


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DepthCell:
    """An open polyhedron of parameters on which the first ``depth`` stages are one affine map.

    Attributes
    ----------
    pattern : the winners so far, the smallest index of terms that are equal on the cell.
    walls : primitive integer rows ``r``, the inside being ``<r, (p, 1)> < 0`` for all of them;
        some may be redundant.
    state : the state that the next stage sees, as a function of the parameters.
    """

    depth: int
    pattern: tuple[int, ...]
    walls: tuple[Row, ...]
    frame: Frame
    state: AffineState
    witness: tuple[float, ...]

    def __repr__(self) -> str:
        return f"DepthCell({counted(self.depth, 'layer')}, {counted(len(self.walls), 'wall')})"

    def key(self) -> tuple[int, ...]:
        """A tuple that is equal exactly for equal maps."""
        return self.state.key()

    def map(self) -> AffineMap:
        """The map of the parameters, in rationals."""
        return self.state.map()


def cell_to_words(cell: DepthCell) -> dict[str, Any]:
    """A cell as JSON values; integers of any length are hexadecimal.

    >>> state = AffineState.of(np.array([[-3.0]]), np.array([0.5]))
    >>> cell = DepthCell(1, (2,), ((1, -4),), Frame((3,), 0, -1), state, (0.1,))
    >>> again = cell_of_words(cell_to_words(cell))
    >>> (again.walls, again.frame, again.witness) == (cell.walls, cell.frame, cell.witness)
    True
    >>> again.key() == cell.key()
    True
    """
    state, frame = cell.state, cell.frame
    return {
        "depth": cell.depth,
        "pattern": [*cell.pattern],
        "walls": [_words(row) for row in cell.walls],
        "frame": [_words(frame.shift), frame.grid, frame.scale],
        "state": [_words([int(v) for v in row]) for row in state.numerators.tolist()],
        "denominator": f"{state.denominator:x}",
        "witness": [*cell.witness],
    }


def cell_of_words(data: Mapping[str, Any]) -> DepthCell:
    """The cell again; ``ValueError``, ``TypeError`` or ``KeyError`` where it is none."""
    shift, grid, scale = data["frame"]
    walls = tuple(_numbers(row) for row in data["walls"])
    state = AffineState(
        flint.fmpz_mat([[*_numbers(row)] for row in data["state"]]), int(data["denominator"], 16)
    )
    frame = Frame(_numbers(shift), int(grid), int(scale))
    if any(len(row) != len(frame.shift) + 1 for row in walls):
        raise ValueError
    if state.numerators.nrows() != len(frame.shift) + 1 or state.denominator < 1:
        raise ValueError
    witness = tuple(float(v) for v in data["witness"])
    pattern = tuple(int(j) for j in data["pattern"])
    return DepthCell(int(data["depth"]), pattern, walls, frame, state, witness)


def _words(numbers: Sequence[int]) -> str:
    return " ".join(f"{v:x}" for v in numbers)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


@dataclass(frozen=True, eq=False)
class CellSystem(Refinement):
    """The refinement of one cell by one stage, in the cell's local coordinates.

    ``local_walls`` and ``local_units`` are the integer rows behind the doubles, the homogenising
    wall among them.
    """

    local_walls: list[Row] = field(default_factory=list)
    local_units: list[list[Row]] = field(default_factory=list)

    @cached_property
    def spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """No table of low-rank sets of units: cells are cut out in few dimensions."""
        return np.zeros((1, self.rank), np.int64), np.zeros(1, np.int64)

    @cached_property
    def fine(self) -> tuple[Array, Array, Array, Array]:
        """Rows and walls at twice the precision, from the integers behind them."""
        columns = self.columns.tolist()
        rows = np.zeros((2, *self.terms.shape))
        for h, terms in enumerate(self.local_units):
            bits = max((abs(v) for row in terms for v in row), default=0).bit_length()
            for i, row in enumerate(terms, int(self.starts[h])):
                rows[:, i] = np.transpose([two_doubles(row[k], 1 << bits) for k in columns])
        errors = np.where(self.errors > 0, UNIT**2 + TINY, 0.0)
        walls = np.zeros((2, *self.walls.shape))
        for i, row in enumerate(self.local_walls):
            size = max(abs(row[k]) for k in columns)
            walls[:, i] = np.transpose([two_doubles(row[k], size) for k in columns])
        return rows, errors, walls, np.full(len(self.walls), UNIT**2 + TINY)

    def exact_rows(
        self, winners: Sequence[tuple[int, int]], only: Sequence[int] | None = None
    ) -> flint.fmpq_mat:
        """All rows of the cell where, for each (unit, row number), that row beats its unit.

        Or some of them: ``only`` gives their numbers.
        """
        columns = [int(k) for k in self.columns]
        rows = [[row[k] for k in columns] for row in self.local_walls]
        for unit, number in winners:
            terms = self.local_units[unit]
            best = terms[number - int(self.starts[unit])]
            rows += [[term[k] - best[k] for k in columns] for term in terms if term is not best]
        chosen = rows if only is None else [rows[i] for i in only]
        return flint.fmpq_mat(len(chosen), len(columns), [v for row in chosen for v in row])

    def to_parameters(self, z: Any) -> Array:
        """Local points (m, k) of directions z (m, D); 0 in dropped columns."""
        full = np.zeros((len(z), len(self.local_walls[-1])))
        full[:, self.columns] = z
        # A point beyond the doubles is moved by whoever needs it (``depth_witness``).
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return full[:, :-1] / full[:, -1:]

    @classmethod
    def build(
        cls,
        of: Sequence[TropicalPolynomial],
        domain: Domain | None,
        walls: list[Row],
        units: list[list[Row]],
    ) -> CellSystem:
        """Read integer rows in doubles, in independent columns; all in local coordinates.

        ``units`` are the rows of the polynomials ``of``.
        """
        width = len(units[0][0])
        walls = [*walls, (0,) * (width - 1) + (-1,)]
        units = [_divided(rows) for rows in units]
        columns = _columns(walls, units, width)
        near, rho = unit_rows([tuple(row[k] for k in columns) for row in walls])
        parts, errors = [], []
        for rows in units:
            large = max((abs(v) for row in rows for v in row), default=0)
            picked = [[row[k] for k in columns] for row in rows]
            bits = large.bit_length()
            if large < EXACT:
                parts.append(np.array(picked, dtype=np.float64) / 2.0**bits)
                errors.append(np.zeros(len(rows)))
            else:
                parts.append(np.array([[v / (1 << bits) for v in row] for row in picked]))
                errors.append(np.full(len(rows), UNIT))
        counts = [len(rows) for rows in units]
        flat = [row for rows in units for row in rows]
        small = all(-_SMALL < v < _SMALL for row in [*flat, *walls] for v in row)
        whole = (np.array(r, dtype=np.int64)[:, columns] for r in (flat, walls))
        none = np.zeros((0, len(columns)), np.int64)
        integers, wall_integers = whole if small else (none, none)
        return cls(
            units=tuple(of),
            domain=domain,
            kept=(),
            columns=np.array(columns, dtype=np.int64),
            central=False,
            terms=np.ascontiguousarray(np.vstack(parts)),
            errors=np.concatenate(errors),
            starts=np.cumsum([0, *counts]).astype(np.int64),
            given_walls=np.zeros((0, 0)),
            walls=np.ascontiguousarray(near),
            wall_rho=rho,
            integers=np.ascontiguousarray(integers),
            wall_integers=np.ascontiguousarray(wall_integers),
            scaling=np.ones(len(columns)),
            local_walls=walls,
            local_units=units,
        )


def _divided(rows: list[Row]) -> list[Row]:
    """The rows of a unit over their common divisor, which moves no winner."""
    common = math.gcd(*(v for row in rows for v in row))
    return [tuple(v // common for v in row) for row in rows] if common > 1 else rows


def _columns(walls: list[Row], units: list[list[Row]], width: int) -> list[int]:
    """Columns that are independent on all rows; the last one is always among them."""
    rows = [row for terms in units for row in terms[1:]] + walls
    matrix = flint.fmpz_mat(len(rows), width, [v for row in rows for v in row])
    if matrix.rank() == width:
        return list(range(width))
    echelon, _, rank = matrix.rref()
    return pivot_columns(echelon, rank)
