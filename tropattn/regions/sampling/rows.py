"""Heads and walls in the form that the sampler's kernels read, with their rounding bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tropattn._kernels import chords as chord_kernel
from tropattn._kernels import sample as kernel
from tropattn._types import Array
from tropattn.arrays import to_float
from tropattn.polyhedra.domain import Domain
from tropattn.tolerance import TINY, UNIT, gamma
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import moderate

__all__ = ["HeadRows", "Walls", "chord_rows", "hash_words", "point_scores"]


_SINGLE_UNIT = 2.0**-24


@dataclass(frozen=True, slots=True, eq=False)
class HeadRows:
    """Distinct terms of a head as rows (slope, intercept) of norm below 1, and their errors.

    The mean row, common to all, is taken off and the rest scaled by a power of two: neither moves a
    wall, and both make rounding bounds small.
    """

    rows: Array
    norm: float
    error: float

    @classmethod
    def of(cls, unit: TropicalPolynomial) -> HeadRows:
        """The head's distinct terms, in the order of ``unit.distinct``."""
        firsts, _ = unit.distinct
        rows, errors = moderate(*unit.float_terms())
        rows, errors = rows[firsts], errors[firsts]
        reduced = rows - rows.mean(axis=0)
        errors = errors + UNIT * np.abs(reduced)
        norm = float(np.sqrt((reduced * reduced).sum(axis=1).max()))
        shift = -int(np.frexp(norm)[1]) if norm > 0 and np.isfinite(norm) else 0
        reduced = np.ldexp(reduced, shift)
        errors = np.ldexp(errors, shift) + TINY
        norm = 1.000001 * float(np.sqrt((reduced * reduced).sum(axis=1).max()))
        error = 1.000001 * float(np.sqrt((errors * errors).sum(axis=1).max()))
        return cls(reduced, norm, error)

    def slack(self, unit: float) -> float:
        """Bound on a score's error per ``|(x, 1)|`` when products and sums round by ``unit``.

        K fused steps carry at most ``gamma_K |row| |point|`` (Higham 2002, section 3.1); two more
        roundings by ``unit`` are those of row and point themselves, and the last term is for
        numbers below the normal range, lost on machines that flush them to 0.
        """
        width = self.rows.shape[1]
        tiny = TINY if unit == UNIT else 2.0**-125
        return gamma(width + 3) / UNIT * unit * self.norm + self.error + 4 * width * tiny


@dataclass(frozen=True, slots=True, eq=False)
class Walls:
    """Walls of a domain as rows (normal, -bound), scaled to norms below 1, and their errors."""

    rows: Array
    margins: Array

    def inside(self) -> kernel.Inside:
        """The walls for the points kernel."""
        axes = np.full(len(self.rows), -1, np.int64)
        for i, row in enumerate(self.rows[:, :-1]):
            where = np.flatnonzero(row)
            if len(where) == 1:
                axes[i] = where[0]
        return kernel.Inside(self.rows, self.margins, axes)

    @classmethod
    def of(cls, domain: Domain | None, dim: int) -> Walls:
        """The walls of a domain in its ``dim`` parameters."""
        if domain is None:
            return cls(np.zeros((0, dim + 1)), np.zeros(0))
        a, b = domain.walls
        near, lost = to_float(a)
        right, right_lost = to_float(b)
        rows = np.column_stack([near, -right])
        errors = np.column_stack([lost, right_lost])
        # Rows have norm below 1; the largest entry goes first, since its square may overflow.
        for size in (np.abs(rows).max(axis=1), None):
            length = np.sqrt((rows * rows).sum(axis=1)) if size is None else size
            shifts = -np.frexp(length)[1][:, None]
            rows, errors = np.ldexp(rows, shifts), np.ldexp(errors, shifts) + TINY
        # A chord evaluates ``alpha + beta t``, three more roundings.
        margins = 1.01 * (gamma(dim + 8) + np.sqrt((errors * errors).sum(axis=1)))
        return cls(np.ascontiguousarray(rows), margins)


def hash_words(n: int) -> Array:
    """128 fixed random bits for each row: a pattern's hash is the sum of its winners' words."""
    state = np.arange(1, 2 * n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return (state ^ (state >> np.uint64(31))).reshape(n, 2)


def point_scores(
    heads: Sequence[HeadRows], dim: int, words: Array | None = None
) -> kernel.ScoreRows:
    """Heads for the points kernel: each padded to a multiple of four rows that never win.

    ``words`` (n, 2) of all rows of the heads, in order; those of ``hash_words`` where omitted.
    """
    rows, padded, starts = [np.zeros((0, dim + 1))], [np.zeros((0, 2), np.uint64)], [0]
    margins, pulls = [], []
    given = hash_words(sum(len(head.rows) for head in heads)) if words is None else words
    used = 0
    for head in heads:
        n = len(head.rows)
        missing = -n % 4
        pad = np.zeros((missing, dim + 1))
        pad[:, -1] = -1e300
        rows += [head.rows, pad]
        padded += [given[used : used + n], np.zeros((missing, 2), np.uint64)]
        used += n
        starts.append(starts[-1] + n + missing)
        # The lead of one score over another carries the error of both.
        margins.append([2.02 * head.slack(_SINGLE_UNIT), 2.02 * head.slack(UNIT)])
        pulls.append(2.02 * (head.norm + head.error))
    double = np.ascontiguousarray(np.vstack(rows))
    return kernel.ScoreRows(
        single=np.maximum(double, -1e30).astype(np.float32),
        double=double,
        starts=np.array(starts, np.int64),
        margins=np.array(margins).reshape(-1, 2),
        pulls=np.array(pulls),
        words=np.ascontiguousarray(np.vstack(padded)),
    )


def chord_rows(heads: Sequence[HeadRows], walls: Walls, dim: int) -> chord_kernel.ChordRows:
    """Heads and walls for the chords kernel, with zero rows up to a multiple of four."""
    n = sum(len(head.rows) for head in heads)
    missing = -(n + len(walls.rows)) % 4
    blocks = [np.zeros((0, dim + 1)), *(head.rows for head in heads), walls.rows]
    return chord_kernel.ChordRows(
        rows=np.ascontiguousarray(np.vstack([*blocks, np.zeros((missing, dim + 1))])),
        starts=np.cumsum([0, *(len(head.rows) for head in heads)]).astype(np.int64),
        # ``alpha + beta t`` rounds three times more than a score.
        margins=np.array([2.02 * (head.slack(UNIT) + 4 * UNIT) for head in heads]),
        words=hash_words(n),
        wall_margins=walls.margins,
    )
