"""Formulas that runs are held against: each with its source."""

from __future__ import annotations

from math import comb

import numpy as np
from scipy.integrate import quad
from scipy.special import ive

from tropattn.errors import InvalidInput

__all__ = [
    "circle_mode_growth",
    "equiangular_rate",
    "equiangular_time",
    "hemisphere_probability",
    "long_context_layer",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def equiangular_rate(n: int, beta: float, cosine: float, *, normalised: bool = True) -> float:
    """``dc/dt`` of n tokens with all inner products c, under SA (or USA).

    SA: ``2 e^{beta c} (1 - c) ((n-1) c + 1) / (e^beta + (n-1) e^{beta c})``; USA has n in place of
    the denominator (arXiv 2312.10794, section 6: an orthogonal start stays equiangular).

    >>> equiangular_rate(2, 0.0, 0.0)
    1.0
    """
    if n < 1 or beta < 0:
        raise InvalidInput(f"n, beta: n >= 1 and beta >= 0 needed, got {n} and {beta}.")
    push = 2 * (1 - cosine) * ((n - 1) * cosine + 1)
    if not normalised:
        return push * float(np.exp(beta * cosine)) / n
    return push / float(np.exp(beta * (1 - cosine)) + n - 1)


def equiangular_time(
    n: int, beta: float, cosine: float = 1 - 1e-3, *, normalised: bool = True
) -> float:
    """Time from orthogonal tokens to inner products ``cosine``, by quadrature of ``dc / rate``.

    >>> round(equiangular_time(32, 0.0), 3), round(equiangular_time(32, 6.0), 3)
    (5.186, 15.995)
    """

    def slowness(c: float) -> float:
        return 1 / equiangular_rate(n, beta, c, normalised=normalised)

    return float(quad(slowness, 0.0, cosine, epsabs=0.0, epsrel=1e-11, limit=500)[0])


def hemisphere_probability(n: int, dim: int) -> float:
    """Probability that n uniform points on the sphere in R^d share an open hemisphere.

    ``2^{-(n-1)} sum_{k<d} C(n-1, k)`` (Wendel 1962). Such tokens all meet (arXiv 2312.10794,
    Theorem 3).

    >>> hemisphere_probability(4, 2)        # four points on a circle
    0.5
    """
    if n < 1 or dim < 1:
        raise InvalidInput(f"n, dim: numbers >= 1 needed, got {n} and {dim}.")
    return sum(comb(n - 1, k) for k in range(min(dim, n))) / 2 ** (n - 1)


def circle_mode_growth(mode: int, beta: float, *, normalised: bool = True) -> float:
    """Growth rate of mode k of the uniform law on the circle: ``k^2 I_k(beta) / (beta I_0(beta))``.

    Without ``I_0`` for USA; ``I_k`` the modified Bessel functions. At ``beta = 0`` its limit.

    >>> circle_mode_growth(1, 0.0), circle_mode_growth(2, 0.0)      # Kuramoto
    (0.5, 0.0)
    """
    if mode < 1 or beta < 0:
        raise InvalidInput(f"mode, beta: mode >= 1 and beta >= 0 needed, got {mode} and {beta}.")
    if beta == 0:
        return 0.5 if mode == 1 else 0.0
    # Scaled Bessel functions: the factor e^beta cancels in SA and is put back in USA.
    scaled = mode**2 * float(ive(mode, beta)) / beta
    return scaled / float(ive(0, beta)) if normalised else scaled * float(np.exp(beta))


def long_context_layer(cosine: float, gain: float) -> float:
    """Inner product after one attention layer at ``beta = g log n``, n to infinity.

    ``1`` for ``g < 1 / (1 - c)``, ``4c / (1 + 3c)`` there, c beyond (arXiv 2510.05554).

    >>> long_context_layer(0.5, 1.0), long_context_layer(0.5, 2.0), long_context_layer(0.5, 3.0)
    (1.0, 0.8, 0.5)
    """
    if not 0 <= cosine < 1 or gain < 0:
        raise InvalidInput(f"cosine, gain: 0 <= c < 1, g >= 0 needed, got {cosine} and {gain}.")
    edge = gain * (1 - cosine)
    if edge < 1:
        return 1.0
    return 4 * cosine / (1 + 3 * cosine) if edge == 1 else cosine
