"""The sampler straight from its definition: draws one number at a time, winners in rationals.

Standard library only. A unit is ``(slopes, intercepts)`` as in ``brute``; a domain is a box.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from reference.brute import Unit, evaluate

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15


def mix(word: int) -> int:
    """Return the SplitMix64 finaliser of a 64-bit word."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def uniform(seed: int, index: int, counter: int) -> float:
    """Return a number in (0, 1) for each seed, draw and counter: 52 random bits and a half."""
    key = mix(seed ^ mix((index + _STEP) & _MASK))
    word = mix((key + counter * _STEP) & _MASK)
    return (word >> 12) * 2.0**-52 + 2.0**-53


def uniform_point(seed: int, index: int, low: Sequence[float], high: Sequence[float]) -> list:
    """Return draw ``index`` of the uniform law on a box."""
    return [
        a + (b - a) * uniform(seed, index, k + 1)
        for k, (a, b) in enumerate(zip(low, high, strict=True))
    ]


def normal_point(seed: int, index: int, dim: int) -> list[float]:
    """Return draw ``index`` of the standard normal law (Box and Muller, pairs of coordinates)."""
    point = []
    for k in range(0, dim, 2):
        radius = math.sqrt(-2 * math.log(uniform(seed, index, k + 1)))
        angle = 2 * math.pi * uniform(seed, index, k + 2)
        point += [radius * math.cos(angle), radius * math.sin(angle)]
    return point[:dim]


def pattern(units: Sequence[Unit], point: Sequence) -> tuple | None:
    """Return the winners of each unit, in rationals; None where different terms tie."""
    exact = [Fraction(v) for v in point]
    out = []
    for unit in units:
        best = evaluate(unit, exact)[1]
        slopes, intercepts = unit
        rows = {(*map(Fraction, slopes[j]), Fraction(intercepts[j])) for j in best}
        if len(rows) > 1:
            return None
        out.append(min(best))
    return tuple(out)


def patterns(units: Sequence[Unit], points: Sequence[Sequence]) -> dict[tuple, int]:
    """Return how often each pattern occurs among the points; ties are left out."""
    found: dict[tuple, int] = {}
    for point in points:
        key = pattern(units, point)
        if key is not None:
            found[key] = found.get(key, 0) + 1
    return found
