"""Random heads, a function of the seed."""

from __future__ import annotations

import numpy as np

from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["gaussian_heads"]


def __dir__() -> list[str]:
    return sorted(__all__)


def gaussian_heads(
    n_keys: int, n_heads: int, dim: int, *, seed: int, central: bool = False
) -> list[TropicalPolynomial]:
    """Heads whose slopes (and, unless central, intercepts) are independent standard normals.

    Slopes have shape (n_keys, dim). Philox stream of ``seed``; head h does not depend on n_heads.

    >>> a, = gaussian_heads(3, 1, 2, seed=0)
    >>> b, _ = gaussian_heads(3, 2, 2, seed=0)
    >>> bool((a.slopes == b.slopes).all())
    True
    """
    if min(n_keys, n_heads, dim) < 1:
        raise InvalidInput(
            f"n_keys, n_heads, dim: numbers >= 1 needed, got {n_keys}, {n_heads}, {dim}."
        )
    heads = []
    for h in range(n_heads):
        stream = np.random.Generator(np.random.Philox(key=[seed, h]))
        slopes = stream.standard_normal((n_keys, dim))
        intercepts = np.zeros(n_keys) if central else stream.standard_normal(n_keys)
        heads.append(TropicalPolynomial(slopes, intercepts))
    return heads
