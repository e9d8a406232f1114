"""Heads that attain the bounds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["parabola_strips"]


def parabola_strips(
    n_terms: Sequence[int], dim: int, central: bool = False
) -> list[TropicalPolynomial]:
    """Heads ``max_t t <u_i, x> - t^2 / 2`` that attain T6, or homogenised ones that attain T7.

    Parameters
    ----------
    n_terms : keys ``N_i`` of each head; ``t`` runs over ``0..N_i - 1``.
    dim : dimension d; the directions ``u_i`` are integer vectors in general position.
    central : homogenise: strips in ``R^{d-1}`` with the intercept as slope of the last coordinate.

    All numbers are doubled, so they are integers and exact. Source: theory T6, T7.

    >>> f, = parabola_strips([3], 1)
    >>> f.slopes.ravel().tolist(), f.intercepts.tolist()
    ([0.0, 2.0, 4.0], [0.0, -1.0, -4.0])
    """
    counts = [int(n) for n in n_terms]
    space = dim - 1 if central else dim
    if not counts or min(counts) < 1:
        raise InvalidInput(f"n_terms: at least 1 key a head needed, got {counts}.")
    if space < 1:
        raise InvalidInput(
            f"dim: at least {2 if central else 1} needed, got {dim}; "
            "homogenised strips use one dimension for the intercept."
        )
    heads = []
    for count, direction in zip(counts, _directions(counts, space), strict=True):
        steps = np.arange(count, dtype=np.float64)
        slopes = 2.0 * steps[:, None] * direction[None, :]
        if central:
            heads.append(TropicalPolynomial(np.column_stack([slopes, 0.0 - steps**2])))
        else:
            heads.append(TropicalPolynomial(slopes, 0.0 - steps**2))
    return heads


def _directions(counts: Sequence[int], dim: int) -> list[NDArray[np.float64]]:
    """The axes, then integer directions such that no point lies on walls of dim + 1 heads.

    Walls of head i are ``<u_i, x> = t - 1/2``. Candidates come from a fixed stream of growing size;
    the condition is checked in integers against every choice of dim earlier heads.
    """
    chosen = [[int(i == k) for k in range(dim)] for i in range(min(dim, len(counts)))]
    stream = np.random.Generator(np.random.Philox(1))
    tries = 0
    while len(chosen) < len(counts):
        tries += 1
        size = 2 + tries // 8
        candidate = stream.integers(-size, size + 1, dim).tolist()
        if all(
            _generic([*(chosen[h] for h in others), candidate], [*(counts[h] for h in others), n])
            for n in [counts[len(chosen)]]
            for others in combinations(range(len(chosen)), dim)
        ):
            chosen.append(candidate)
    return [np.array(row, dtype=np.float64) for row in chosen]


def _generic(rows: list[list[int]], counts: list[int]) -> bool:
    """Whether dim + 1 heads have no point on walls of all, and any dim directions are independent.

    The one relation ``sum_i m_i u_i = 0`` (maximal minors) must not be met by the offsets
    ``2 t_i - 1``; sums over the two halves of the heads are compared as sets.
    """
    minors = [
        (-1) ** out * int(flint.fmpz_mat(rows[:out] + rows[out + 1 :]).det())
        for out in range(len(rows))
    ]
    if 0 in minors:
        return False
    half = len(rows) // 2
    left, right = {0}, {0}
    for i, (minor, count) in enumerate(zip(minors, counts, strict=True)):
        offsets = [minor * (2 * t - 1) for t in range(1, count)]
        if i < half:
            left = {s + o for s in left for o in offsets}
        else:
            right = {s - o for s in right for o in offsets}
    return left.isdisjoint(right)
