"""States of a network as affine functions of parameters, in integers (theory T12).

Numbers are integers over one common denominator, whose digits grow with the depth and with nothing
else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import flint
import numpy as np

from tropattn._types import Array
from tropattn.arrays import fraction_array, is_exact, rational
from tropattn.tropical.terms import AffineMap

__all__ = ["AffineState", "Part", "padded", "summed", "total", "whole", "whole_array"]


Part = tuple[flint.fmpz_mat, int]
"""Integers over a positive denominator."""


@dataclass(frozen=True, slots=True, eq=False)
class AffineState:
    """A state as a function of parameters: ``(p, 1) @ numerators / denominator``, a 1 at its end.

    ``numerators`` (k + 1, d + 1) and ``denominator`` are in lowest terms.

    >>> step = AffineState.of(np.array([[2.0]]), np.array([0.5]))       # p -> 2 p + 1/2
    >>> step.numerators.tolist(), step.denominator
    ([[4, 0], [1, 2]], 2)
    >>> step.through(step).map().offset.tolist(), step.plus(step).key()
    ([Fraction(3, 2)], (1, 4, 0, 1, 1))
    """

    numerators: flint.fmpz_mat
    denominator: int

    @classmethod
    def of(cls, matrix: Array, offset: Array) -> AffineState:
        """The state ``p @ matrix + offset``."""
        rows, below = padded(np.vstack([matrix, offset]))
        rows[len(matrix), len(offset)] = below
        return cls(rows, below)

    @property
    def part(self) -> Part:
        """Numerators and denominator."""
        return self.numerators, self.denominator

    def through(self, step: AffineState) -> AffineState:
        """The state behind an affine map."""
        return summed([(self.numerators * step.numerators, self.denominator * step.denominator)])

    def plus(self, other: AffineState) -> AffineState:
        """The sum of two states."""
        return summed([self.part, other.part])

    def key(self) -> tuple[int, ...]:
        """A tuple that is equal exactly for equal functions."""
        return (self.denominator, *(int(v) for v in self.numerators.entries()))

    def rational(self) -> flint.fmpq_mat:
        """The matrix ``numerators / denominator``."""
        return flint.fmpq_mat(self.numerators) / self.denominator

    def map(self) -> AffineMap:
        """The map of the parameters, in rationals."""
        rows = fraction_array(self.rational())[:, :-1]
        return AffineMap(rows[:-1], rows[-1])

    def doubles(self) -> list[float]:
        """The entries over the denominator, each rounded once; beyond doubles infinite."""
        out = []
        for v in self.numerators.entries():
            try:
                out.append(int(v) / self.denominator)
            except OverflowError:
                out.append(math.inf)
        return out


def total(parts: Sequence[Part]) -> Part:
    """The sum over one denominator, not in lowest terms."""
    below = math.lcm(*(below for _, below in parts))
    rows = parts[0][0] * (below // parts[0][1])
    for matrix, own in parts[1:]:
        rows += matrix * (below // own)
    return rows, below


def summed(parts: Sequence[Part]) -> AffineState:
    """The sum of states (k + 1, d + 1), any of which may lack the 1 at its end."""
    rows, below = total(parts)
    size, width = rows.nrows(), rows.ncols()
    rows[size - 1, width - 1] = below
    if below == 1:
        return AffineState(rows, 1)
    values = [int(v) for v in rows.entries()]
    common = math.gcd(below, *values)
    if common > 1:
        rows = flint.fmpz_mat(size, width, [v // common for v in values])
    return AffineState(rows, below // common)


def padded(array: Array) -> Part:
    """The array in integers, with a last column of zeros in the place of the 1."""
    rows, width = array.shape
    entries, below = whole_array(array)
    flat = [v for i in range(rows) for v in (*entries[i * width : (i + 1) * width], 0)]
    return flint.fmpz_mat(rows, width + 1, flat), below


def whole(values: Sequence[flint.fmpq]) -> tuple[list[int], int]:
    """Numerators over the least common denominator, and the denominator.

    >>> whole([flint.fmpq(1, 2), flint.fmpq(1, 3)])
    ([3, 2], 6)
    """
    below = math.lcm(*(int(v.q) for v in values))
    return [int(v.p) * (below // int(v.q)) for v in values], below


def whole_array(array: Array) -> tuple[list[int], int]:
    """The entries of an array, row by row, as integers over one denominator.

    Doubles are integers times powers of two, so they need no greatest common divisors.

    >>> whole_array(np.array([[0.75, -2.0, 0.0]]))
    ([3, -8, 0], 4)
    """
    if is_exact(array):
        return whole([rational(v) for v in array.ravel().tolist()])
    flat = array.ravel()
    if flat.dtype.kind in "iu":
        return flat.tolist(), 1
    proper = flat != 0
    if not proper.any():
        return [0] * len(flat), 1
    fraction, exponent = np.frexp(flat)
    digits, places = np.ldexp(fraction, 53).astype(np.int64), exponent.astype(np.int64) - 53
    spare = np.frexp((digits & -digits).astype(np.float64))[1] - 1
    digits, places = digits >> np.where(proper, spare, 0), places + spare
    low = min(0, int(places[proper].min()))
    moved = np.where(proper, places - low, 0)
    return (digits.astype(object) << moved.astype(object)).tolist(), 2**-low
