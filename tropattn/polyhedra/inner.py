"""Doubles strictly inside an open polyhedron, found one coordinate after the other in rationals.

A point inside moves along one axis after the other, each time to a short double in the middle of
the chord that the polyhedron cuts from the axis. It never leaves, and most often all coordinates
end on doubles. Where chords hold none (a thin strip askew to the axes), coordinates are fixed at
short doubles as long as the rest can still be solved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import flint

from tropattn.arrays import rational
from tropattn.polyhedra.strict import strictly_negative

__all__ = ["inner_doubles", "inner_point", "nearest_double", "nearest_inside", "solves"]

Point = list[flint.fmpq]

_BITS = (2, 4, 8, 16, 24, 32, 40, 48)
_SWEEPS = 3
_LARGEST = math.ldexp(1 - 2.0**-53, 1024)


def nearest_double(value: flint.fmpq) -> float:
    """The finite double nearest to a rational.

    >>> nearest_double(flint.fmpq(1, 3)), nearest_double(-flint.fmpq(10) ** 400)
    (0.3333333333333333, -1.7976931348623157e+308)
    """
    try:
        # Python divides integers of any size with one rounding.
        return int(value.p) / int(value.q)
    except OverflowError:
        return _LARGEST if value > 0 else -_LARGEST


def solves(rows: flint.fmpq_mat, point: Sequence[flint.fmpq]) -> bool:
    """Whether ``<row, (point, 1)> < 0`` for every row, exactly."""
    return all(value < 0 for value in _values(rows, point))


def inner_point(rows: flint.fmpq_mat) -> Point | None:
    """A point ``p`` with ``<row, (p, 1)> < 0`` for every row, exactly; None where there is none."""
    width = rows.ncols()
    flat = [*rows.entries(), *[0] * (width - 1), -1]
    z = strictly_negative(flint.fmpq_mat(rows.nrows() + 1, width, flat)).point
    return None if z is None else [v / z[-1] for v in z[:-1]]


def inner_doubles(rows: flint.fmpq_mat, point: Point) -> list[float] | None:
    """Doubles ``x`` with ``<row, (x, 1)> < 0`` for every row, or None where none was found.

    ``point`` solves the rows, exactly. Cost: a few passes over the rows per coordinate; in strips
    that are askew to the axes also some small exact programs.

    >>> rows = flint.fmpq_mat([[-3, 1], [3, -2]])               # 1/3 < x < 2/3
    >>> inner_doubles(rows, [flint.fmpq(3, 5)])
    [0.5]
    """
    point = list(point)
    for _ in range(_SWEEPS):
        found = []
        for k in range(len(point)):
            low, high = _chord(rows, point, k)
            found.append(_short(low, high))
            middle = (low + high) / 2 if low is not None and high is not None else point[k]
            point[k] = middle if found[k] is None else rational(found[k])
        if None not in found:
            return found
    return _fixed(rows, point)


def nearest_inside(rows: flint.fmpq_mat, point: Point) -> list[float] | None:
    """The same, each coordinate in its turn at the double nearest to the point's own.

    >>> nearest_inside(flint.fmpq_mat([[-3, 1]]), [flint.fmpq(2, 5)])
    [0.4]
    """
    point, found = list(point), []
    for k in range(len(point)):
        near = _nearest(*_chord(rows, point, k), point[k])
        if near is None:
            return None
        found.append(near)
        point[k] = rational(near)
    return found


def _values(rows: flint.fmpq_mat, point: Sequence[flint.fmpq]) -> Point:
    return (rows * flint.fmpq_mat(len(point) + 1, 1, [*point, 1])).entries()


def _chord(
    rows: flint.fmpq_mat, point: Point, k: int
) -> tuple[flint.fmpq | None, flint.fmpq | None]:
    """The open interval of values of coordinate ``k`` inside, None where it has no end."""
    low: flint.fmpq | None = None
    high: flint.fmpq | None = None
    for i, value in enumerate(_values(rows, point)):
        slope = rows[i, k]
        if slope != 0:
            end = point[k] - value / slope
            if slope > 0:
                high = end if high is None or end < high else high
            else:
                low = end if low is None or end > low else low
    return low, high


def _short(low: flint.fmpq | None, high: flint.fmpq | None) -> float | None:
    """A double of few bits in the middle half of an interval, else any near its middle."""
    if low is None and high is None:
        return 0.0
    if low is None:
        assert high is not None
        low = high - 2 * max(flint.fmpq(1), abs(high))
    elif high is None:
        high = low + 2 * max(flint.fmpq(1), abs(low))
    middle, slack = (low + high) / 2, (high - low) / 4
    for near in _rounded(middle):
        if abs(rational(near) - middle) <= slack:
            return near
    return _nearest(low, high, middle)


def _rounded(value: flint.fmpq) -> Iterator[float]:
    """The value to a few bits, then to more and more."""
    part, power = math.frexp(nearest_double(value))
    for bits in _BITS:
        near = math.ldexp(round(math.ldexp(part, bits)), power - bits) if power < 1024 else 0.0
        yield near


def _nearest(low: flint.fmpq | None, high: flint.fmpq | None, at: flint.fmpq) -> float | None:
    """The double strictly between that is nearest to ``at``, a point between."""
    near = nearest_double(at)
    # No double lies between ``at`` and the nearest on either side.
    for c in (near, math.nextafter(near, -math.inf), math.nextafter(near, math.inf)):
        if math.isfinite(c):
            exact = rational(c)
            if (low is None or low < exact) and (high is None or exact < high):
                return c
    return None


def _fixed(rows: flint.fmpq_mat, point: Point) -> list[float] | None:
    """Fix coordinates one by one at short doubles, as long as the rest has a solution."""
    found: list[float] = []
    while point:
        low, high = _chord(rows, point, 0)
        for near in (*_rounded(point[0]), _nearest(low, high, point[0])):
            if near is None:
                return None
            value = rational(near)
            rest = _at(rows, value)
            inside = (low is None or low < value) and (high is None or value < high)
            after = point[1:] if inside else inner_point(rest)
            if after is not None:
                found.append(near)
                rows, point = rest, after
                break
    return found


def _at(rows: flint.fmpq_mat, value: flint.fmpq) -> flint.fmpq_mat:
    """The rows with their first coordinate set."""
    flat: Point = []
    for row in rows.tolist():
        flat += [*row[1:-1], row[-1] + row[0] * value]
    return flint.fmpq_mat(rows.nrows(), rows.ncols() - 1, flat)
