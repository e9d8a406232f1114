"""Random points from a counter: draw ``i`` is a function of ``(seed, i)`` alone.

Only sums, products, quotients and square roots are used, which every machine rounds alike; the
logarithm, sine and cosine of the normal law are Taylor polynomials good to about 1e-15. So a draw
has the same bits everywhere, and the loops over lanes become vector code.
"""

from __future__ import annotations

from math import factorial
from typing import NamedTuple

import numpy as np

from tropattn._kernels.compiling import fragment

UNIFORM = 0
GAUSSIAN = 1
SPHERE = 2
GIVEN = 3
BALL = 4


class Law(NamedTuple):
    """How points are drawn."""

    kind: int
    low: np.ndarray  # (d,) the box of uniform draws
    high: np.ndarray
    states: np.ndarray  # (m, d) the given ones


_EXPONENT_OF_ONE = 0x3FF0000000000000
_FRACTION = 0x000FFFFFFFFFFFFF
_STEP = 0x9E3779B97F4A7C15

_THIRDS = tuple(1.0 / (2 * n + 1) for n in range(10))
_EVEN = tuple(1.0 / factorial(2 * n) for n in range(8))
_ODD = tuple(1.0 / factorial(2 * n + 1) for n in range(8))


@fragment(error_model="numpy")
def mix(value):
    """SplitMix64 finaliser (Steele, Lea, Flood 2014): a bijection of 64-bit words."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@fragment(error_model="numpy")
def stream(seed, index):
    """Key of the random words of one draw."""
    return mix(np.uint64(seed) ^ mix(np.uint64(index) + np.uint64(_STEP)))


@fragment(error_model="numpy")
def uniform(key, counter):
    """A double in (0, 1), a multiple of 2^-53: the counter-th word of the stream of a key."""
    word = mix(key + np.uint64(counter) * np.uint64(_STEP))
    bits = (word >> np.uint64(12)) | np.uint64(_EXPONENT_OF_ONE)
    return np.uint64(bits).view(np.float64) - 1.0 + 2.0**-53


@fragment(error_model="numpy")
def logarithm(u):
    """``log u`` of a positive normal double, by ``log m = 2 artanh((m - 1) / (m + 1))``."""
    bits = np.float64(u).view(np.uint64)
    exponent = np.float64(np.int64(bits >> np.uint64(52)) - 1023)
    m = np.uint64((bits & np.uint64(_FRACTION)) | np.uint64(_EXPONENT_OF_ONE)).view(np.float64)
    large = m > 1.4142135623730951
    m = 0.5 * m if large else m
    exponent = exponent + 1.0 if large else exponent
    f = (m - 1.0) / (m + 1.0)
    # |f| <= 0.172, so the first term left out is below 0.172^20 / 21 = 3e-17.
    g = f * f
    tail = _THIRDS[7] + g * (_THIRDS[8] + g * _THIRDS[9])
    tail = _THIRDS[4] + g * (_THIRDS[5] + g * (_THIRDS[6] + g * tail))
    tail = _THIRDS[1] + g * (_THIRDS[2] + g * (_THIRDS[3] + g * tail))
    return exponent * 0.6931471805599453 + 2.0 * f * (1.0 + g * tail)


@fragment(error_model="numpy")
def circle(t):
    """``cos 2 pi t`` and ``sin 2 pi t`` for ``0 <= t <= 1``."""
    quarter = np.floor(4.0 * t + 0.5)
    a = 6.283185307179586 * (t - 0.25 * quarter)
    g = a * a
    # |a| <= pi / 4: the terms left out are below 4e-17.
    c = _EVEN[4] - g * (_EVEN[5] - g * (_EVEN[6] - g * _EVEN[7]))
    c = 1.0 - g * (_EVEN[1] - g * (_EVEN[2] - g * (_EVEN[3] - g * c)))
    s = _ODD[4] - g * (_ODD[5] - g * (_ODD[6] - g * _ODD[7]))
    s = a * (1.0 - g * (_ODD[1] - g * (_ODD[2] - g * (_ODD[3] - g * s))))
    odd = (quarter == 1.0) | (quarter == 3.0)
    x = s if odd else c
    y = c if odd else s
    left = (quarter == 1.0) | (quarter == 2.0)
    x = -x if left else x
    low = (quarter == 2.0) | (quarter == 3.0)
    y = -y if low else y
    return x, y


@fragment(error_model="numpy")
def normals(keys, word, out):
    """Fill ``out`` (d, lanes) with standard normals (Box and Muller 1958), from ``word`` on."""
    dim, lanes = out.shape
    for k in range(0, dim - 1, 2):
        for r in range(lanes):
            radius = np.sqrt(-2.0 * logarithm(uniform(keys[r], word + k)))
            x, y = circle(uniform(keys[r], word + k + 1))
            out[k, r] = radius * x
            out[k + 1, r] = radius * y
    if dim % 2:
        k = dim - 1
        for r in range(lanes):
            radius = np.sqrt(-2.0 * logarithm(uniform(keys[r], word + k)))
            x, _ = circle(uniform(keys[r], word + k + 1))
            out[k, r] = radius * x


@fragment(error_model="numpy")
def draw(law, seed, first, n_draws, keys, out):
    """Write draws ``first .. first + lanes - 1`` into ``out`` (d, lanes); ``keys`` scratch.

    Given states are taken in order, and beyond draw ``n_draws`` the last one is repeated.
    """
    kind, (dim, lanes) = law.kind, out.shape
    if kind == GIVEN:
        for r in range(lanes):
            index = min(first + r, n_draws - 1)
            for k in range(dim):
                out[k, r] = law.states[index, k]
        return
    for r in range(lanes):
        keys[r] = stream(np.uint64(seed), first + r)
    if kind == UNIFORM:
        for k in range(dim):
            start = law.low[k]
            width = law.high[k] - start
            for r in range(lanes):
                out[k, r] = start + width * uniform(keys[r], k + 1)
        return
    normals(keys, 1, out)
    if kind == GAUSSIAN:
        return
    for r in range(lanes):
        square = 0.0
        for k in range(dim):
            square += out[k, r] * out[k, r]
        factor = 1.0 / np.sqrt(square) if square > 0.0 else 0.0
        if kind == BALL:
            # The power is the one operation here that a machine's own library rounds.
            factor *= uniform(keys[r], dim + 2) ** (1.0 / dim)
        for k in range(dim):
            out[k, r] *= factor
