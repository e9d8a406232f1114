"""The common refinement of heads on a domain, as one strict homogeneous system (theory T1, T5).

Every question about cells is ``A z < 0`` for differences of rows ``(slope, intercept)``, the rows
of the domain's walls, and, where it matters, ``z_last > 0`` for the homogenising coordinate:

- rows that are equal within a head are merged first;
- let V be the span of all these rows. ``A z`` depends on ``z`` only through V, and so the system
  restricted to ``dim V`` columns that are independent on V has the same solvable subsystems. The
  restriction drops columns, so nothing is rounded;
- the heads are *central* on the domain exactly if ``(0, ..., 0, 1)`` is not in V; the homogenising
  row then constrains nothing and is left out. A common centre away from 0 needs no special case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_fractions, is_exact, rational, rational_matrix, residues, to_float
from tropattn.errors import InvalidInput
from tropattn.polyhedra.cone import interior_direction
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.inner import nearest_double
from tropattn.polyhedra.strict import Verdict, likely_support, strictly_negative
from tropattn.threads import aside, check
from tropattn.tolerance import TINY, UNIT
from tropattn.tropical.columns import (
    Blocks,
    factor_rank,
    independent_columns,
    rank_of_rows,
    stacked,
)
from tropattn.tropical.max_affine import MaxAffine, on_parameters
from tropattn.tropical.terms import PRIME
from tropattn.tropical.twins import twin_heads

__all__ = ["Refinement", "domain_walls", "two_doubles", "unit_rows"]


_SMALL = 2**29
"""Integer rows up to this size go to the exact integer test of the kernel."""

_MANY_HEADS = 8
"""Up to this many heads the columns of every set of heads are tabled."""

_FIRST_ROWS = 8
"""Rows of a factored head that are multiplied out first."""

_INTEGER_WORK = 200_000
"""Largest number of entries for which factored heads are multiplied out to look for integers."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """Heads and domain reduced to independent columns; built by ``Refinement.of``.

    Attributes
    ----------
    units : the heads as functions of the domain's parameters; domain : as given.
    kept : per unit, the first index of each class of equal terms.
    columns : the columns of (slope, intercept) that are kept; ``rank`` = their number D.
    central : whether one point makes all scores of each head equal, seen from the domain.
    terms, errors, starts : (n, D) rows in doubles with columns scaled by powers of two, (n,) error
        bounds, and the first row of each unit.
    given_walls : (g, d + 1) the domain's rows, and the homogenising one, as given numbers.
    walls, wall_rho : the same as unit rows in the kept columns, with error bounds.
    integers, wall_integers : int64 multiples of the true rows, empty when there are none.
    copies : for each given head the unit that stands for it and what that unit's keys are called
        there (``without_twins``); empty where each head stands for itself.
    """

    units: tuple[MaxAffine, ...]
    domain: Domain | None
    kept: tuple[NDArray[np.int64], ...]
    columns: NDArray[np.int64]
    central: bool
    terms: Array
    errors: Array
    starts: NDArray[np.int64]
    given_walls: Array
    walls: Array
    wall_rho: Array
    integers: NDArray[np.int64]
    wall_integers: NDArray[np.int64]
    scaling: Array
    copies: tuple[tuple[int, Array], ...] = ()

    @cached_property
    def spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each set of units (bits; the last bit: the walls) columns that determine its rows.

        Returns columns (2^(H + 1), D) and their numbers (2^(H + 1),), 0 where a set spans all D or
        where its rank modulo the prime is not confirmed by the shapes of the factors. Only for at
        most 8 heads of which some have low rank; else one empty row.
        """
        heads = len(self.units)
        bounds = [
            factor_rank(unit, len(kept)) for unit, kept in zip(self.units, self.kept, strict=True)
        ]
        if heads > _MANY_HEADS or min(bounds) >= self.rank:
            return np.zeros((1, self.rank), np.int64), np.zeros(1, np.int64)
        rows = []
        for unit, kept in zip(self.units, self.kept, strict=True):
            modular = unit.modular_terms()[kept][:, self.columns]
            rows.append((modular[1:] - modular[:1]) % PRIME)
        rows.append(residues(self.given_walls[:, self.columns], PRIME))
        bounds.append(len(self.given_walls))
        spans = np.zeros((2 ** (heads + 1), self.rank), np.int64)
        ranks = np.zeros(2 ** (heads + 1), np.int64)
        for mask in range(1, 2 ** (heads + 1)):
            chosen = [h for h in range(heads + 1) if mask >> h & 1]
            bound = sum(bounds[h] for h in chosen)
            if bound < self.rank:
                pivots = rank_of_rows(np.vstack([rows[h] for h in chosen]), range(self.rank))
                if len(pivots) == bound:
                    spans[mask, :bound], ranks[mask] = pivots, bound
        return spans, ranks

    @property
    def rank(self) -> int:
        """Number D of independent columns."""
        return len(self.columns)

    @property
    def dim(self) -> int:
        """Effective dimension: that of the heads and walls together (T5, *Effective rank*)."""
        return self.rank if self.central else self.rank - 1

    @classmethod
    def of(cls, units: Sequence[MaxAffine], domain: Domain | None = None) -> Refinement:
        """Build the reduced system. Cost: one rank modulo a prime and the products of factors."""
        local = on_parameters(units, domain)
        given = domain_walls(domain, local[0].dim + 1)
        blocks = stacked(local)
        central, columns = independent_columns(local, blocks, given)
        walls = given if central else np.vstack([given, _beyond(given)])
        size = np.abs(blocks.terms[:, columns]).max(axis=0, initial=0.0)
        powers = -np.round(np.log2(np.where(size > 0, size, 1.0))).astype(np.int64)
        # A power beyond these is no double; columns need not be of size 1.
        scaling = np.ldexp(1.0, np.clip(powers, -1000, 1000))
        near, lost = blocks.terms[:, columns], blocks.errors[:, columns]
        terms, errors = near * scaling, lost * scaling
        # What scaling takes below the doubles is an error too, and an error never becomes none.
        open_ended = (lost > 0) | (terms / scaling != near)
        errors[open_ended] = np.maximum(errors[open_ended], TINY)
        errors = errors.max(axis=1, initial=0.0)
        wall_rows, wall_rho = unit_rows(walls, columns, scaling)
        integers, wall_integers = _integers(local, blocks, walls, columns)
        return cls(
            units=local,
            domain=domain,
            kept=blocks.kept,
            columns=columns,
            central=central,
            terms=np.ascontiguousarray(terms),
            errors=errors,
            starts=blocks.starts,
            given_walls=walls,
            walls=wall_rows,
            wall_rho=wall_rho,
            integers=integers,
            wall_integers=wall_integers,
            scaling=scaling,
        )

    @classmethod
    def ready(cls, units: Sequence[MaxAffine], domain: Domain | None = None) -> Refinement:
        """``of``, with its interior (so not for an empty domain), made on a worker."""

        def build() -> Refinement:
            made = cls.of(units, domain)
            made.interior  # noqa: B018 (an empty domain is an error with a name)
            return made

        return aside(build)

    @cached_property
    def _wall_rows(self) -> flint.fmpq_mat:
        return rational_matrix(self.given_walls)

    @cached_property
    def _exact_units(self) -> dict[int, flint.fmpq_mat]:
        return {}

    def _exact(self, unit: int) -> flint.fmpq_mat:
        if unit not in self._exact_units:
            self._exact_units[unit] = self.units[unit].exact_terms(self.kept[unit])
        return self._exact_units[unit]

    def exact_rows(
        self, winners: Sequence[tuple[int, int]], only: Sequence[int] | None = None
    ) -> flint.fmpq_mat:
        """All rows of the cell where, for each (unit, row number), that row beats its unit.

        In the kept and scaled columns, so that exact and float directions are the same. Walls come
        first. Row numbers count the stacked rows, as in ``starts``. ``only`` picks some of the
        rows, in increasing order.
        """
        kept = [(int(k), rational(s)) for k, s in zip(self.columns, self.scaling, strict=True)]
        if only is None:
            return self._rows(winners, kept)
        chosen, walls = np.asarray(only, dtype=np.int64), self._wall_rows.nrows()
        rivals: dict[int, Array] = {}
        before = walls
        for unit, row in winners:
            first, after = int(self.starts[unit]), before + len(self.kept[unit]) - 1
            own = chosen[(chosen >= before) & (chosen < after)] - before + first
            rivals[unit] = own + (own >= row)
            before = after
        rows = self._rows(winners, kept, rivals).tolist()
        rows = [rows[i] for i in chosen[chosen < walls]] + rows[walls:]
        return flint.fmpq_mat(len(rows), len(kept), [v for row in rows for v in row])

    def verdict(self, winners: Sequence[tuple[int, int]]) -> Verdict:
        """Whether the cell of these winners holds a point, in rationals; a support counts its rows.

        A few rows prove a cell empty: those that doubles propose are looked at before all others.
        """
        near = [self.walls]
        for unit, row in winners:
            terms = self.terms[self.starts[unit] : self.starts[unit + 1]]
            near.append(np.delete(terms, row - self.starts[unit], axis=0) - self.terms[row])
        few = likely_support(np.vstack(near))
        found = strictly_negative(self.exact_rows(winners, few))
        if found:
            return strictly_negative(self.exact_rows(winners))
        return replace(found, support=tuple(few[i] for i in found.support))

    def full_rows(
        self, winners: Sequence[tuple[int, int]], rivals: Sequence[Array] | None = None
    ) -> flint.fmpq_mat:
        """The same in all columns, unscaled: a point ``p`` is inside where ``<row, (p, 1)> < 0``.

        ``rivals`` names the rows of each unit that the winner is compared with, all when None.
        """
        one = flint.fmpq(1)
        kept = [(k, one) for k in range(self.units[0].dim + 1)]
        return self._rows(winners, kept, rivals)

    def _rows(
        self,
        winners: Sequence[tuple[int, int]],
        kept: list[tuple[int, flint.fmpq]],
        rivals: Sequence[Array] | Mapping[int, Array] | None = None,
    ) -> flint.fmpq_mat:
        walls = self._wall_rows
        flat = [walls[i, k] * s for i in range(walls.nrows()) for k, s in kept]
        for unit, row in winners:
            terms, first = self._exact(unit), int(self.starts[unit])
            j = row - first
            numbers = range(terms.nrows()) if rivals is None else (rivals[unit] - first).tolist()
            own = [(k, s, terms[j, k]) for k, s in kept]
            for i in numbers:
                check()
                if i != j:
                    flat += [(terms[i, k] - v) * s for k, s, v in own]
        return flint.fmpq_mat(len(flat) // max(1, len(kept)), len(kept), flat)

    @cached_property
    def fine(self) -> tuple[Array, Array, Array, Array]:
        """Rows at twice the precision of doubles, (2, n, D), high and low parts, and their errors.

        Entrywise bounds (n,) follow, 0 where two doubles hold a row, then the same of the walls,
        (2, g, D) and (g,). Rows are ``terms`` themselves where these have no errors.
        """
        high, low = self.terms.copy(), np.zeros_like(self.terms)
        errors = np.zeros(len(high))
        scale = [rational(s) for s in self.scaling]
        for h, unit in enumerate(self.units):
            rows = slice(int(self.starts[h]), int(self.starts[h + 1]))
            if not self.errors[rows].any():
                continue
            largest = int(np.frexp(np.abs(unit.float_terms()[0]).max(initial=0.0))[1])
            # The power of two that ``moderate`` takes from a head.
            factor = flint.fmpq(2) ** (-largest if abs(largest) > 200 else 0)
            exact = self._exact(h)
            for i in range(exact.nrows()):
                row = [
                    exact[i, k] * s * factor
                    for k, s in zip(self.columns.tolist(), scale, strict=True)
                ]
                parts = [_parts(value) for value in row]
                high[rows.start + i], low[rows.start + i] = np.transpose(parts)
                held = (rational(a) + rational(b) for a, b in parts)
                if any(a != b for a, b in zip(row, held, strict=True)):
                    errors[rows.start + i] = UNIT**2 * max(abs(a) for a, _ in parts) + TINY
        walls = np.zeros((2, *self.walls.shape))
        for i in range(len(self.walls)):
            entries = [self._wall_rows[i, k] * s for k, s in zip(self.columns, scale, strict=True)]
            size = max(abs(v) for v in entries)
            walls[:, i] = np.transpose([_parts(v / size) for v in entries])
        return np.stack([high, low]), errors, walls, np.full(len(self.walls), UNIT**2 + TINY)

    @cached_property
    def interior(self) -> tuple[NDArray[np.float64], bool, tuple[Any, ...] | None]:
        """A direction strictly inside the walls, whether doubles prove it, else the exact one.

        Raises ``InvalidInput`` for a domain without interior.
        """
        found = interior_direction(self.walls, self.wall_rho, lambda: self.exact_rows([]))
        if isinstance(found, Verdict):
            where = "R^d" if self.domain is None else self.domain.describe()
            raise InvalidInput(
                f"domain: a non-empty interior needed, got {where} with none "
                f"(rows {list(found.support)} contradict each other); loosen it."
            )
        return found

    def pattern(self, rows: NDArray[Any]) -> NDArray[np.int32]:
        """Key indices (the smallest of merged duplicates) from stacked row numbers (..., H)."""
        flat = np.concatenate(self.kept)
        return flat[rows].astype(np.int32)

    def rows_of(self, patterns: NDArray[np.int32]) -> Array:
        """Stacked row numbers of patterns, (R, H); undoes ``pattern``."""
        columns = zip(self.starts[:-1].tolist(), self.kept, patterns.T, strict=True)
        return np.stack([first + np.searchsorted(k, keys) for first, k, keys in columns], axis=1)

    def without_twins(self) -> Refinement:
        """The same cells with fewer heads: of heads with equal cells the first (``twins``)."""
        found = twin_heads(self.units, self.kept) if len(self.units) > 1 else []
        first = [h for h, (other, _) in enumerate(found) if other == h]
        if len(first) == len(found):
            return self
        copies = tuple((first.index(other), keys) for other, keys in found)
        return replace(self.of_heads(first), copies=copies)

    def of_heads(self, heads: Sequence[int]) -> Refinement:
        """The system of some heads alone, in the same columns."""
        rows = [np.arange(self.starts[h], self.starts[h + 1]) for h in heads]
        chosen = np.concatenate(rows)
        return replace(
            self,
            units=tuple(self.units[h] for h in heads),
            kept=tuple(self.kept[h] for h in heads),
            terms=np.ascontiguousarray(self.terms[chosen]),
            errors=self.errors[chosen],
            starts=np.cumsum([0, *map(len, rows)]),
            integers=self.integers[chosen] if len(self.integers) else self.integers,
        )

    def of_all_heads(self, patterns: NDArray[np.int32]) -> NDArray[np.int32]:
        """Patterns of all given heads from those of the units, (R, H)."""
        if not self.copies:
            return patterns
        return np.stack([keys[patterns[:, unit]] for unit, keys in self.copies], axis=1)

    def to_parameters(self, z: Any) -> Array:
        """Points of the domain's parameters from directions z (m, D), 0 in dropped columns.

        They are rounded; ``tropical/witness`` moves them into their cells.
        """
        z = np.atleast_2d(np.asarray(z, dtype=np.float64)) * self.scaling
        out = np.zeros((len(z), self.units[0].dim))
        if self.rank == 0:
            return out
        if not self.central:
            out[:, self.columns[:-1]] = z[:, :-1] / z[:, -1:]
            return out
        centre = np.array([nearest_double(v) for v in self.centre])
        length = np.abs(z).max(axis=1, keepdims=True)
        # Powers of two: directions from a centre at 0 are rounded not at all.
        reach = np.frexp(np.abs(centre).max(initial=0.0))[1] - np.frexp(length)[1]
        out[:, self.columns] = np.ldexp(z, np.maximum(reach, -np.frexp(length)[1]))
        return out + centre

    def exact_parameters(self, z: Sequence[flint.fmpq]) -> list[flint.fmpq]:
        """The parameters of one direction inside the walls, exactly."""
        scaled = [v * rational(s) for v, s in zip(z, self.scaling.tolist(), strict=True)]
        if not self.central:
            out = [flint.fmpq(0)] * self.units[0].dim
            for k, v in zip(self.columns[:-1].tolist(), scaled[:-1], strict=True):
                out[k] = v / scaled[-1]
            return out
        out = list(self.centre)
        length = max((abs(v) for v in scaled), default=flint.fmpq(0))
        reach = max([flint.fmpq(1), *(abs(v) for v in out)])
        for k, v in zip(self.columns.tolist(), scaled, strict=True):
            out[k] += reach * v / (length or 1)
        return out

    @cached_property
    def centre(self) -> list[flint.fmpq]:
        """The common centre of central heads, exactly; 0 in dropped columns (theory T1)."""
        centre = [flint.fmpq(0)] * self.units[0].dim
        flat = all(not u.maps and (u.biases == u.biases[0]).all() for u in self.units)
        if flat and not (self.given_walls[:, -1] != 0).any():
            return centre
        rows = self._wall_rows.tolist()
        for h in range(len(self.units)):
            first, *others = self._exact(h).tolist()
            for row in others:
                check()
                rows.append([a - b for a, b in zip(row, first, strict=True)])
        if all(row[-1] == 0 for row in rows):
            return centre
        columns = self.columns.tolist()
        matrix = flint.fmpq_mat(len(rows), self.rank, [row[k] for row in rows for k in columns])
        vector = flint.fmpq_mat(len(rows), 1, [row[-1] for row in rows])
        normal = matrix.transpose() * matrix
        solution = normal.solve(matrix.transpose() * vector)
        for i, k in enumerate(self.columns):
            centre[k] = -solution[i, 0]
        return centre


def domain_walls(domain: Domain | None, width: int) -> Array:
    """Rows (A, -b), so that a point is inside where ``row . (p, 1) < 0``."""
    if domain is None:
        return np.zeros((0, width))
    a, b = domain.walls
    if a.dtype != b.dtype:
        a, b = as_fractions(a), as_fractions(b)
    rows = np.column_stack([a, -b])
    for i, row in enumerate(rows):
        if not any(v != 0 for v in row[:-1].tolist()) and row[-1] >= 0:
            raise InvalidInput(
                f"domain: a non-empty interior needed, got the wall 0 < {-row[-1]} in row {i}; "
                "remove that row."
            )
    return rows


def _parts(value: flint.fmpq) -> tuple[float, float]:
    return two_doubles(int(value.p), int(value.q))


def two_doubles(numerator: int, denominator: int) -> tuple[float, float]:
    """The double nearest to a quotient, and the one nearest to the rest.

    >>> two_doubles(2**60 + 1, 1)
    (1.152921504606847e+18, 1.0)
    """
    high = numerator / denominator
    top, bottom = high.as_integer_ratio()
    return high, (numerator * bottom - top * denominator) / (denominator * bottom)


def _beyond(walls: Array) -> Array:
    """The homogenising row, in the numbers of the walls: the last coordinate is positive."""
    row = np.zeros((1, walls.shape[1]))
    row[0, -1] = -1.0
    return as_fractions(row) if is_exact(walls) else row


def unit_rows(walls: Array, columns: Array, scaling: Array) -> tuple[Array, Array]:
    """Walls as unit rows in doubles, in scaled columns, and a bound on the error of an entry."""
    if not len(walls):
        return np.zeros((0, len(columns))), np.zeros(0)
    near, lost = to_float(walls[:, columns])
    # A row's length matters to nobody: its largest entry is brought to 1 before squares underflow.
    powers = np.frexp(scaling)[1].astype(np.int64) - 1
    places = np.where(near != 0, np.frexp(near)[1] + powers, -9999).max(axis=1, keepdims=True)
    shift = powers - np.where(places > -9999, places, 0)
    rows, lost = np.ldexp(near, shift), np.ldexp(lost, shift)
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    bound = 3.0 * UNIT + 1.01 * lost.max(axis=1) / length[:, 0]
    return np.ascontiguousarray(rows / length), bound


def _integers(
    units: tuple[MaxAffine, ...], blocks: Blocks, walls: Array, columns: Array
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Small integer multiples of all rows, or empty arrays where some unit has none."""
    width = len(columns)
    nothing = np.zeros((0, width), np.int64), np.zeros((0, width), np.int64)
    parts = []
    for h, unit in enumerate(units):
        rows = slice(int(blocks.starts[h]), int(blocks.starts[h + 1]))
        if blocks.errors[rows].any():
            if (rows.stop - rows.start) * (unit.dim + 1) > _INTEGER_WORK:
                return nothing
            # What some rows are not, all are not.
            kept = blocks.kept[h]
            whole = _small_integers(unit.exact_terms(kept[:_FIRST_ROWS]), columns)
            if whole is not None and len(kept) > _FIRST_ROWS:
                whole = _small_integers(unit.exact_terms(kept), columns)
        else:
            whole = _small_dyadics(blocks.terms[rows][:, columns])
        if whole is None:
            return nothing
        parts.append(whole)
    if not len(walls):
        return np.vstack(parts), np.zeros((0, width), np.int64)
    whole_walls = []
    for row in rational_matrix(walls).tolist():
        whole = _small_integers(flint.fmpq_mat([row]), columns)
        if whole is None:
            return nothing
        whole_walls.append(whole)
    return np.vstack(parts), np.vstack(whole_walls)


def _small_integers(rows: flint.fmpq_mat, columns: Array) -> NDArray[np.int64] | None:
    whole, _ = rows.numer_denom()
    picked = [[int(whole[i, int(k)]) for k in columns] for i in range(whole.nrows())]
    if any(abs(v) > _SMALL for row in picked for v in row):
        return None
    return np.array(picked, dtype=np.int64).reshape(len(picked), len(columns))


def _small_dyadics(rows: Array) -> NDArray[np.int64] | None:
    finest = np.ldexp(rows, 27)
    if (finest != np.rint(finest)).any():
        return None
    for shift in range(0, 30, 3):
        scaled = np.ldexp(rows, shift)
        if np.abs(scaled).max(initial=0.0) > _SMALL:
            return None
        if (scaled == np.rint(scaled)).all():
            return np.ascontiguousarray(scaled).astype(np.int64)
    return None
