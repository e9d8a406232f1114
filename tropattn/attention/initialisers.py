"""Random heads, a function of the seed."""

from __future__ import annotations

import numpy as np

from tropattn.arrays import is_whole
from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["gaussian_heads"]

_LARGEST = 2**31


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
    sizes = (n_keys, n_heads, dim)
    if not all(map(is_whole, sizes)) or min(sizes) < 1:
        raise InvalidInput(
            f"n_keys, n_heads, dim: numbers >= 1 needed, got {n_keys}, {n_heads}, {dim}."
        )
    if int(n_keys) * int(n_heads) * int(dim) > _LARGEST:
        raise InvalidInput(
            f"n_keys, n_heads, dim: at most {_LARGEST} numbers in all, got {n_keys} x {n_heads} x "
            f"{dim}."
        )
    if not is_whole(seed) or not 0 <= seed < 2**63:
        raise InvalidInput(f"seed: an integer in 0..2^63 - 1 needed, got {seed!r}.")
    heads = []
    for h in range(n_heads):
        stream = np.random.Generator(np.random.Philox(key=[seed, h]))
        slopes = stream.standard_normal((n_keys, dim))
        intercepts = np.zeros(n_keys) if central else stream.standard_normal(n_keys)
        heads.append(TropicalPolynomial(slopes, intercepts))
    return heads
