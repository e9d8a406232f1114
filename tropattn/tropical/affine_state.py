"""Numbers as integers over one common denominator (theory T12)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import is_exact, rational

__all__ = ["whole", "whole_array"]

Array = NDArray[Any]


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
