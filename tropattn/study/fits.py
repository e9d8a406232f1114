"""What a column of counts says about its growth: a power law by least squares, or a polynomial.

The first is a measurement, with a range and an uncertainty; the second is exact, a test in
integers that a count either passes or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from tropattn.errors import InvalidInput

__all__ = [
    "Fit",
    "Polynomial",
    "Spread",
    "differences",
    "geometric_mean",
    "polynomial",
    "power_law",
    "spread",
]


@dataclass(frozen=True, slots=True)
class Fit:
    """Slope of ``log y`` against ``log x`` by least squares.

    Attributes
    ----------
    exponent : the slope.
    error : its standard error, from the residuals; None for fewer than three points, where a line
        leaves no residual to judge by.
    points : how many.
    low, high : the range of ``x``: a slope outside it is a guess.
    """

    exponent: float
    error: float | None
    points: int
    low: int
    high: int


def power_law(x: Sequence[int], y: Sequence[float]) -> Fit | None:
    """Fit ``y = c x^p`` by ordinary least squares in logarithms; None for fewer than two ``x``.

    Parameters
    ----------
    x, y : positive numbers, integers of any size.

    Raises
    ------
    InvalidInput : unequal lengths, or numbers that have no logarithm.

    >>> power_law([1, 2, 4], [3, 12, 48])
    Fit(exponent=2.0, error=0.0, points=3, low=1, high=4)
    """
    if len(x) != len(y) or any(value <= 0 for value in [*x, *y]):
        raise InvalidInput(
            f"x, y: as many positive x as y needed, got {list(x)[:9]} and {list(y)[:9]}; drop "
            "what is 0."
        )
    if len(set(x)) < 2:
        return None
    u = np.array([math.log2(v) for v in x])
    v = np.array([math.log2(w) for w in y])
    u_mean, v_mean = u.mean(), v.mean()
    width = float(((u - u_mean) ** 2).sum())
    slope = float(((u - u_mean) * (v - v_mean)).sum()) / width
    rest = v - v_mean - slope * (u - u_mean)
    error = None
    if len(u) > 2:
        error = math.sqrt(float((rest**2).sum()) / (len(u) - 2) / width)
    return Fit(slope, error, len(u), int(min(x)), int(max(x)))


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean, standard deviation (None for one), least and largest of some numbers."""

    mean: float
    deviation: float | None
    low: float
    high: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Summarise repetitions of one measurement.

    Raises ``InvalidInput`` for none.

    >>> spread([1.0, 3.0])
    Spread(mean=2.0, deviation=1.4142135623730951, low=1.0, high=3.0, count=2)
    """
    if not values:
        raise InvalidInput("values: at least one number needed, got none.")
    array = np.asarray(values, dtype=np.float64)
    deviation = float(array.std(ddof=1)) if len(array) > 1 else None
    return Spread(
        float(array.mean()), deviation, float(array.min()), float(array.max()), len(array)
    )


def geometric_mean(values: Sequence[int]) -> float:
    """``exp`` of the mean logarithm; a single value as it is, of any size.

    Raises ``InvalidInput`` for none, or a number that is not positive.

    >>> round(geometric_mean([2, 8]), 12), geometric_mean([10**400]) == 10**400
    (4.0, True)
    """
    if not values or min(values) <= 0:
        raise InvalidInput(f"values: positive numbers needed, got {list(values)[:9]}.")
    if len(values) == 1:
        return values[0]
    return 2.0 ** (math.fsum(math.log2(value) for value in values) / len(values))


def differences(values: Sequence[int]) -> list[list[int]]:
    """The table of forward differences: row ``k`` holds the k-th ones, row 0 the values.

    >>> differences([1, 7, 19, 37])
    [[1, 7, 19, 37], [6, 12, 18], [6, 6], [0]]
    """
    rows = [list(values)]
    while len(rows[-1]) > 1:
        rows.append([after - before for before, after in pairwise(rows[-1])])
    return rows


@dataclass(frozen=True, slots=True)
class Polynomial:
    """That some counts are values of a polynomial.

    Attributes
    ----------
    degree : its degree ``k``.
    leading : its leading coefficient, exactly.
    spare : how many values agree beyond the ``k + 1`` that determine it; at least 1.
    """

    degree: int
    leading: Fraction
    spare: int

    @property
    def difference(self) -> int | Fraction:
        """The k-th difference at unit steps, ``k!`` times the leading coefficient."""
        value = math.factorial(self.degree) * self.leading
        return int(value) if value.denominator == 1 else value


def polynomial(x: Sequence[int], y: Sequence[int]) -> Polynomial | None:
    """The polynomial of least degree through all points, if some point is left to check it.

    Divided differences in rationals: the (k + 1)-th vanish, all of them, and at unit steps the
    k-th are ``k!`` times the leading coefficient. None where no polynomial of degree at most
    ``len(x) - 2`` passes through the points.

    Parameters
    ----------
    x : distinct integers, not necessarily evenly spaced; y : integers.

    Raises
    ------
    InvalidInput : unequal lengths, or an ``x`` twice.

    Notes
    -----
    Exact; ``O(n^2)`` rational operations.

    >>> polynomial([1, 2, 3, 10], [1, 7, 19, 271])
    Polynomial(degree=2, leading=Fraction(3, 1), spare=1)
    >>> polynomial([1, 2, 3, 10], [1, 7, 19, 270]) is None
    True
    """
    if len(x) != len(y) or len(set(x)) != len(x):
        raise InvalidInput(
            f"x, y: distinct x and as many y needed, got {list(x)[:9]} and {len(y)} values."
        )
    row = [Fraction(value) for value in y]
    leading = row[:1]
    for order in range(1, len(x)):
        row = [(row[i + 1] - row[i]) / (x[i + order] - x[i]) for i in range(len(row) - 1)]
        leading.append(row[0])
        if not any(row):
            degree = max((k for k, value in enumerate(leading) if value), default=0)
            return Polynomial(degree, leading[degree], len(x) - 1 - degree)
    return None
