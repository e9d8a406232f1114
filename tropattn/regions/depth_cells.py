"""Cells of networks as exact polyhedra, and one cell's refinement by one stage (theory T12).

Walls and states are integer matrices. Doubles come in only where a cell is searched, after a change
to *local coordinates* that centre and scale the cell, so that a cell of width 1e-9 is as easy as
one of width 1. The change is exact as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, cmp_to_key
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import fraction_array
from tropattn.polyhedra.cone import interior_direction
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.inner import nearest_double
from tropattn.polyhedra.strict import Verdict
from tropattn.tolerance import TINY, UNIT
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.refinement import Refinement, two_doubles
from tropattn.tropical.terms import AffineMap

__all__ = [
    "CellSystem",
    "DepthCell",
    "Frame",
    "Row",
    "by_angle",
    "corners",
    "framed",
    "on_wall",
    "primitive",
    "strictly_feasible",
    "tightened",
    "unit_rows",
]

Array = NDArray[Any]
Row = tuple[int, ...]

_SMALL = 2**29
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Frame:
    """Local coordinates ``q`` of the parameters, ``p = 2**grid * shift + 2**scale * q``."""

    shift: tuple[int, ...]
    grid: int = 0
    scale: int = 0

    def local(self, rows: Sequence[Row]) -> list[Row]:
        """Integer rows (slope, intercept) in ``p`` as positive multiples of rows in ``q``.

        >>> Frame((3,), 0, 1).local([(1, -4)])        # p - 4 with p = 3 + 2 q
        [(2, -1)]
        """
        low = min(self.grid, self.scale, 0)
        stretch, move, lift = self.scale - low, self.grid - low, -low
        out = []
        for row in rows:
            total = sum(a * w for a, w in zip(row, self.shift, strict=False))
            constant = (row[-1] << lift) + (total << move)
            out.append((*(a << stretch for a in row[:-1]), constant))
        return out

    def around(self, q: Array, slack: float) -> Frame:
        """The frame centred near the local point ``q``, with ``slack`` (> 0) as its unit."""
        # Centre and unit need not be exact: any invertible change of coordinates will do.
        scale = self.scale + math.frexp(slack)[1]
        grid = scale - 3
        shift = []
        for w, v in zip(self.shift, q.tolist(), strict=True):
            up = self.grid - grid
            kept = w << up if up >= 0 else w >> -up
            shift.append(kept + round(math.ldexp(v, self.scale - grid)))
        return Frame(tuple(shift), grid, scale)

    def to_parameters(self, q: Array) -> NDArray[np.float64]:
        """Parameters (m, k) of local points (m, k), in doubles."""
        below = flint.fmpq(2) ** self.grid
        low = [nearest_double(w * below) for w in self.shift]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array(low) + np.ldexp(q, self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class DepthCell:
    """An open polyhedron of parameters on which the first ``depth`` stages are one affine map.

    Attributes
    ----------
    pattern : the winners so far, the smallest index of terms that are equal on the cell.
    walls : primitive integer rows ``r``, the inside being ``<r, (p, 1)> < 0`` for all of them;
        some may be redundant.
    state : (k + 1, d + 1) integers; ``(p, 1) @ state / denominator`` is the state with a 1 added.
    """

    depth: int
    pattern: tuple[int, ...]
    walls: tuple[Row, ...]
    frame: Frame
    state: flint.fmpz_mat
    denominator: int
    witness: tuple[float, ...]

    def key(self) -> tuple[int, ...]:
        """A tuple that is equal exactly for equal maps (the fraction is in lowest terms)."""
        return (self.denominator, *(int(v) for v in self.state.entries()))

    def map(self) -> AffineMap:
        """The map of the parameters, in rationals."""
        k, d = self.state.nrows() - 1, self.state.ncols() - 1
        exact = flint.fmpq_mat(self.state) / self.denominator
        out = fraction_array(exact)[:, :d]
        return AffineMap(out[:k], out[k])


def primitive(row: Sequence[int]) -> Row:
    """The row divided by the greatest common divisor of its entries."""
    common = math.gcd(*row)
    return tuple(v // common for v in row) if common > 1 else tuple(row)


def unit_rows(rows: Sequence[Row]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Integer rows as unit vectors in doubles, and bounds on the entrywise error.

    >>> unit_rows([(3, 4)])[0].tolist()
    [[0.6, 0.8]]
    """
    width = len(rows[0]) if rows else 0
    if all(-_EXACT < v < _EXACT for row in rows for v in row):
        near = np.array(rows, dtype=np.float64).reshape(-1, width)
        lost = 0.0
    else:
        near = np.array([_shrunk(row) for row in rows]).reshape(-1, width)
        lost = UNIT
    size = np.abs(near).max(axis=1, keepdims=True)
    near = near / np.exp2(np.frexp(np.where(size > 0, size, 1.0))[1])
    length = np.sqrt((near**2).sum(axis=1, keepdims=True))
    length = np.where(length > 0, length, 1.0)
    return near / length, 3.0 * UNIT + 1.01 * lost / length[:, 0]


def _shrunk(row: Row) -> list[float]:
    """Entries over the power of two above the largest; each quotient is rounded once."""
    bits = max(v.bit_length() for v in row)
    # Integers divide with one rounding whatever their size.
    return [v / (1 << bits) for v in row]


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

    @property
    def in_doubles(self) -> bool:
        """Never taken so: cells come by the thousand, and few are left open by doubles."""
        return False

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

    def exact_rows(self, winners: Sequence[tuple[int, int]]) -> flint.fmpq_mat:
        """All rows of the cell where, for each (unit, row number), that row beats its unit."""
        columns = [int(k) for k in self.columns]
        flat = [row[k] for row in self.local_walls for k in columns]
        count = len(self.local_walls)
        for unit, number in winners:
            terms = self.local_units[unit]
            best = terms[number - int(self.starts[unit])]
            for term in terms:
                if term is not best:
                    flat += [term[k] - best[k] for k in columns]
                    count += 1
        return flint.fmpq_mat(count, len(columns), flat)

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
            if large < _EXACT:
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
    pivots, column = [], 0
    for i in range(rank):
        while echelon[i, column] == 0:
            column += 1
        pivots.append(column)
        column += 1
    return pivots


def framed(walls: Sequence[Row], frame: Frame, q: Array) -> tuple[tuple[Row, ...], Frame]:
    """The walls without repetitions, and a frame around the local point ``q`` inside them."""
    walls = tuple(dict.fromkeys(walls))
    if not walls:
        return walls, frame
    near, _ = unit_rows(frame.local(walls))
    slope = np.sqrt((near[:, :-1] ** 2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        slack = float((-(near[:, :-1] @ q + near[:, -1]) / slope).min())
    return walls, frame.around(q, slack) if 0 < slack < 1e30 else frame


def tightened(walls: tuple[Row, ...], frame: Frame, spare: int = 0) -> tuple[Row, ...]:
    """The walls without redundant ones; up to ``spare`` walls are left as they are."""
    k = len(walls[0]) - 1 if walls else 0
    if len(walls) <= max(k, spare, 1):
        return walls
    if k == 1:
        low, high = _ends(walls)
        return tuple(wall for wall in (low, high) if wall is not None)
    local = frame.local(walls)
    keep = list(range(len(walls)))
    for i in range(len(walls)):
        others = [j for j in keep if j != i]
        if not strictly_feasible(on_wall(local[i], [local[j] for j in others])):
            keep = others
    return tuple(walls[i] for i in keep)


def corners(walls: Sequence[Row]) -> list[Row]:
    """Homogeneous corners ``(p w, w)``, ``w > 0``, of a bounded interval or polygon, exactly.

    ``walls`` without redundant ones. Empty where the set is unbounded, or has more dimensions.

    >>> corners([(1, 0, -1), (0, 1, -1), (-1, -1, 0)])
    [(1, 1, 1), (-1, 1, 1), (1, -1, 1)]
    """
    k = len(walls[0]) - 1 if walls else 0
    if k == 1:
        low, high = _ends(walls)
        return [] if low is None or high is None else [(low[1], -low[0]), (-high[1], high[0])]
    if k != 2 or len(walls) < 3:
        return []
    sides = sorted(walls, key=cmp_to_key(by_angle))
    found = []
    for (a, b, c), (d, e, f) in zip(sides, sides[1:] + sides[:1], strict=True):
        weight = a * e - b * d
        if weight <= 0:
            return []
        found.append((b * f - c * e, c * d - a * f, weight))
    inside = all(sum(map(int.__mul__, wall, corner)) <= 0 for wall in walls for corner in found)
    return found if inside else []


def by_angle(one: Row, two: Row) -> int:
    """Order of outward normals by angle, from the positive first axis counterclockwise."""
    upper = [row[1] > 0 or (row[1] == 0 and row[0] > 0) for row in (one, two)]
    if upper[0] != upper[1]:
        return -1 if upper[0] else 1
    return -1 if one[0] * two[1] - one[1] * two[0] > 0 else 1


def on_wall(wall: Row, rows: Sequence[Row]) -> list[Row]:
    """The rows as functions on the hyperplane ``<wall, (p, 1)> = 0``, one coordinate solved for.

    >>> on_wall((2, 1, 0), [(0, 1, -3)])        # y < 3 on y = -2x, twice
    [(2, -6)]
    """
    k = max(range(len(wall) - 1), key=lambda i: abs(wall[i]))
    pivot, sign = abs(wall[k]), 1 if wall[k] > 0 else -1
    out = []
    for row in rows:
        factor = sign * row[k]
        combined = [pivot * a - factor * b for a, b in zip(row, wall, strict=True)]
        out.append((*combined[:k], *combined[k + 1 :]))
    return out


def strictly_feasible(rows: Sequence[Row]) -> bool:
    """Whether some point ``p`` has ``<row, (p, 1)> < 0`` for every integer row, exactly.

    >>> strictly_feasible([(1, -1), (-1, 0)]), strictly_feasible([(1, 0), (-1, 0)])
    (True, False)
    """
    if any(not any(row[:-1]) and row[-1] >= 0 for row in rows):
        return False
    rows = [row for row in rows if any(row[:-1])]
    if not rows:
        return True
    width = len(rows[0])
    if width == 2:
        return _open_interval(rows)
    complete = [*rows, (0,) * (width - 1) + (-1,)]
    flat = [v for row in complete for v in row]
    found = interior_direction(
        *unit_rows(complete), lambda: flint.fmpq_mat(len(complete), width, flat)
    )
    return not isinstance(found, Verdict)


def _open_interval(rows: Sequence[Row]) -> bool:
    """Whether the rows ``a p + c < 0``, ``a != 0``, leave an interval."""
    low, high = _ends(rows)
    # -c / a is the end; both denominators are taken positive.
    return low is None or high is None or low[1] * high[0] < high[1] * low[0]


def _ends(rows: Sequence[Row]) -> tuple[Row | None, Row | None]:
    """The tightest lower and the tightest upper bound among rows ``a p + c < 0``, ``a != 0``."""
    low: Row | None = None
    high: Row | None = None
    for row in rows:
        a, c = row
        if a > 0:
            if high is None or c * high[0] > high[1] * a:
                high = row
        elif low is None or c * -low[0] > low[1] * -a:
            low = row
    return low, high
