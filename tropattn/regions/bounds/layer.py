"""Closed-form upper bounds on the number of cells: one function per theorem, Python integers."""

from __future__ import annotations

from collections.abc import Iterable
from math import comb, prod
from typing import Any

from tropattn.arrays import is_whole
from tropattn.errors import InvalidInput
from tropattn.regions.result import RegionCount

__all__ = ["layer"]


def layer(n_terms: Iterable[int], dim: int, central: bool = False) -> RegionCount:
    """Sharp bound on the routing cells of one layer with ``n_terms`` keys per head.

    Parameters
    ----------
    n_terms : keys of each head (live ones if known); heads with one key add nothing.
    dim : the effective rank r of the heads together, or the dimension of the slice.
    central : all heads share a centre inside the domain (T7); otherwise affine (T6).

    Returns
    -------
    RegionCount of kind ``"upper"``. Affine: ``sum_{j <= min(r, H)} e_j(N_1 - 1, ..., N_H - 1)``,
    Montufar, Ren, Zhang (2022), arXiv 2104.08135 (T6). Central: Weibel (2012) (T7); a head whose
    keys are collinear should be entered with 2 keys. Cost O(H^2) additions of integers.

    Raises
    ------
    InvalidInput : a head without keys, or a negative dimension.

    Examples
    --------
    >>> int(layer([3, 3, 3], 2)), int(layer([2, 3, 4, 5], 2)), int(layer([6, 6, 6], 3, True))
    (19, 46, 92)
    """
    counts = _whole_numbers(n_terms)
    if not is_whole(dim):
        raise InvalidInput(f"dim: an integer >= 0 needed, got {dim!r}; use the effective rank.")
    if any(n < 1 for n in counts):
        raise InvalidInput(
            f"n_terms: at least 1 key a head needed, got {min(counts)}; drop heads without keys."
        )
    if dim < 0:
        raise InvalidInput(f"dim: a dimension >= 0 needed, got {dim}; use the effective rank.")
    counts = [n for n in counts if n > 1]
    value = _central(counts, dim) if central else _affine(counts, dim)
    name = "T7 (Weibel 2012)" if central else "T6 (Montufar, Ren, Zhang 2022)"
    where = f"rank {dim}, {'common centre' if central else 'affine'}"
    return RegionCount(value, "upper", "cells", where, name, True, 0, {"keys": counts})


def _whole_numbers(n_terms: Iterable[int]) -> list[int]:
    """The numbers of keys, or ``InvalidInput``."""
    try:
        given: list[Any] = list(n_terms)
    except TypeError:
        given = [None]
    wrong = [n for n in given if not is_whole(n)]
    if wrong or isinstance(n_terms, str | bytes):
        raise InvalidInput(
            f"n_terms: a list of integers >= 1 needed, one a head, got {str(n_terms)[:80]!r}; e.g. "
            "[3, 3, 4]."
        )
    return [int(n) for n in given]


def _affine(counts: list[int], dim: int) -> int:
    return sum(_elementary([n - 1 for n in counts])[: dim + 1])


def _central(counts: list[int], dim: int) -> int:
    heads = len(counts)
    if heads == 0 or dim == 0:
        return 1
    if dim == 1:
        return 2
    if heads <= dim - 1:
        return prod(counts)
    alpha = 2 if dim % 2 else 0
    sums = _elementary(counts)
    total = alpha
    for j in range(1, dim):
        sign = -1 if (dim - 1 - j) % 2 else 1
        total += sign * comb(heads - 1 - j, dim - 1 - j) * (sums[j] - alpha * comb(heads, j))
    return total


def _elementary(values: list[int]) -> list[int]:
    """Elementary symmetric polynomials e_0, ..., e_n of the values."""
    sums = [1] + [0] * len(values)
    for count, v in enumerate(values, 1):
        for j in range(count, 0, -1):
            sums[j] += v * sums[j - 1]
    return sums
