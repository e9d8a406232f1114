"""Extreme rays of cones ``{z : R z <= 0}`` by double description, in integers only.

Motzkin, Raiffa, Thompson, Thrall (1953), *The double description method*; Fukuda and Prodon (1996),
*Double description method revisited*. Rows are taken in one at a time; the rays that a row cuts off
give way to those where it crosses the edges to the others, an edge being a pair of rays that no
third one shares all its tight rows with. Numbers are ``int64`` as long as their products are proved
to fit, and Python's integers from there on, so nothing is ever rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import pivot_columns
from tropattn.errors import BudgetExceeded
from tropattn.threads import check

__all__ = ["ConeRays", "cone_rays"]

_FITS = 2**62
"""Integers below it, and their sums in pairs, are int64."""

_PAIRS = 4_000_000
"""Pairs of rays times words, or times rays, that are compared at a time."""

_MOST = 2_000_000
"""Rays that may be held at a time."""

_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


@dataclass(frozen=True, slots=True)
class ConeRays:
    """What generates ``{z : R z <= 0}``: rays with coefficients >= 0, lines with any.

    Attributes
    ----------
    rays : (n, D) Python integers, primitive, in lexicographic order; 0 in dropped columns.
    tight : (n, m) which rows vanish on which ray.
    lineality : (k, D) primitive integers, a basis of ``{z : R z = 0}``.
    """

    rays: NDArray[np.object_]
    tight: NDArray[np.bool_]
    lineality: NDArray[np.object_]


def cone_rays(rows: Sequence[Sequence[int]], width: int) -> ConeRays:
    """The extreme rays of a cone modulo its lineality space, exactly.

    Parameters
    ----------
    rows : m integer rows of length ``width`` = D; redundant, repeated and zero rows are allowed.

    Notes
    -----
    The lineality space is split off by dropping columns, the last ones being kept as long as they
    can. Of the rows that cut the cone that cutting off most rays comes next; those that never do
    cost a product each. Raises ``BudgetExceeded`` beyond two million rays.

    Examples
    --------
    >>> found = cone_rays([(-1, 0, 0), (0, -1, 0), (1, 1, -2), (0, 0, -1)], 3)     # a triangle
    >>> found.rays.tolist(), found.tight.sum(axis=1).tolist()
    ([[0, 0, 1], [0, 2, 1], [2, 0, 1]], [2, 2, 2])
    """
    table = np.array([list(map(int, row)) for row in rows], dtype=object).reshape(-1, width)
    columns, lineality = _split(table, width)
    local = table[:, columns]
    rays = _rays(local) if columns else np.zeros((0, 0), dtype=object)
    full = np.zeros((len(rays), width), dtype=object)
    full[:, columns] = rays
    order = sorted(range(len(full)), key=full.tolist().__getitem__)
    tight = (_product(rays, local) == 0).astype(bool)
    return ConeRays(full[order], tight[order], lineality)


def _split(table: Array, width: int) -> tuple[list[int], NDArray[np.object_]]:
    """Columns that are independent on the rows, ascending, and what the rows do not see."""
    # Reversed, so that the last columns are preferred.
    flat = [v for row in table[:, ::-1].tolist() for v in row]
    echelon, below, rank = flint.fmpz_mat(len(table), width, flat).rref()
    pivots = pivot_columns(echelon, rank)
    free = [k for k in range(width) if k not in pivots]
    lines = np.zeros((len(free), width), dtype=object)
    for line, k in zip(lines, free, strict=True):
        line[k] = int(below)
        line[pivots] = [-int(echelon[i, k]) for i in range(rank)]
        line //= math.gcd(*line.tolist()) if below > 0 else -math.gcd(*line.tolist())
    return sorted(width - 1 - k for k in pivots), lines[::-1, ::-1]


def _start(rows: Array) -> tuple[list[int], Array]:
    """The first independent rows, and the rays of the cone of these alone, one opposite each."""
    m, dim = rows.shape
    echelon, _, rank = flint.fmpz_mat(dim, m, rows.T.ravel().tolist()).rref()
    first = pivot_columns(echelon, rank)
    square = flint.fmpq_mat(flint.fmpz_mat(dim, dim, rows[first].ravel().tolist()))
    numerators, _ = square.inv().numer_denom()
    found = np.array([[-int(v) for v in row] for row in numerators.tolist()], dtype=object).T
    return first, _primitive(found)


def _rays(rows: Array) -> Array:
    """The extreme rays of a pointed cone, of rows that span."""
    first, rays = _start(rows)
    masks = np.zeros((len(rays), 1), np.uint64)
    for i in range(len(rays)):
        masks = _marked(masks, np.arange(len(rays)) != i, i)
    used = len(rays)
    rays, rows = _narrow(rays), _narrow(rows)
    rest = np.delete(rows, first, axis=0)
    values = _product(rays, rest)
    while True:
        check()
        cut = (values > 0).sum(axis=0)
        # What no ray violates is never violated again.
        rest, values, cut = rest[cut > 0], values[:, cut > 0], cut[cut > 0]
        if not len(cut):
            return rays
        at = int(cut.argmax())
        level = values[:, at]
        outside, inside = np.flatnonzero(level > 0), np.flatnonzero(level < 0)
        i, j = _adjacent(masks, outside, inside, rays.shape[1] - 2)
        new = _between(rays, level, i, j)
        kept = level <= 0
        masks = _marked(masks, level == 0, used)
        fresh = _marked(masks[i] & masks[j], np.ones(len(i), np.bool_), used)
        masks = np.vstack([masks[kept], fresh])
        rays = np.vstack([*_alike(rays[kept], new)])
        values = np.vstack([*_alike(values[kept], _product(new, rest))])
        used += 1
        if len(rays) > _MOST:
            raise BudgetExceeded(
                f"cone: at most {_MOST} rays needed, got {len(rays)} after {used} of "
                f"{len(rows)} rows; cut it by a smaller window, or ask in fewer dimensions.",
                0,
            )


def _marked(masks: Array, chosen: Array, bit: int) -> NDArray[np.uint64]:
    """The masks, copied, with a bit set for those chosen."""
    word, place = divmod(bit, 64)
    if word == masks.shape[1]:
        masks = np.hstack([masks, np.zeros((len(masks), 1), np.uint64)])
    else:
        masks = masks.copy()
    masks[chosen, word] |= np.uint64(1 << place)
    return masks


def _adjacent(masks: Array, outside: Array, inside: Array, least: int) -> tuple[Array, Array]:
    """Pairs of rays on both sides that span an edge: no third ray is tight where both are."""
    words, n = masks.shape[1], len(masks)
    firsts, seconds = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    step = max(1, _PAIRS // (8 * words * max(1, len(inside))))
    for start in range(0, len(outside), step):
        part = outside[start : start + step]
        shared = masks[part][:, None, :] & masks[inside][None, :, :]
        count = _ONES[shared.view(np.uint8)].sum(axis=2, dtype=np.int64)
        p, q = np.nonzero(count >= least)
        firsts.append(part[p])
        seconds.append(inside[q])
    i, j = np.concatenate(firsts), np.concatenate(seconds)
    edge = np.zeros(len(i), np.bool_)
    step = max(1, _PAIRS // (words * n))
    for start in range(0, len(i), step):
        check()
        part = slice(start, start + step)
        shared = masks[i[part]] & masks[j[part]]
        holds = np.ones((len(shared), n), np.bool_)
        for w in range(words):
            holds &= (shared[:, w, None] & ~masks[None, :, w]) == 0
        edge[part] = holds.sum(axis=1) == 2
    return i[edge], j[edge]


def _between(rays: Array, level: Array, i: Array, j: Array) -> Array:
    """Where the row with these values vanishes on the edges from rays i (> 0) to rays j (< 0)."""
    weight, other = level[i][:, None], -level[j][:, None]
    one, two = rays[i], rays[j]
    if rays.dtype != object and _size(level) * _size(rays) < _FITS // 2:
        return _primitive(weight * two + other * one)
    weight, other, one, two = (part.astype(object) for part in (weight, other, one, two))
    return _narrow(_primitive(weight * two + other * one))


def _primitive(rows: Array) -> Array:
    """The rows over their common divisors."""
    if not len(rows):
        return rows
    common = np.gcd.reduce(rows, axis=1)
    return rows // np.where(common > 1, common, 1)[:, None]


def _size(numbers: Array) -> int:
    """The largest magnitude."""
    return max(int(numbers.max(initial=0)), -int(numbers.min(initial=0)))


def _narrow(numbers: Array) -> Array:
    """The same integers as int64 where these hold them."""
    if numbers.dtype == object and (not numbers.size or _size(numbers) < _FITS):
        return numbers.astype(np.int64)
    return numbers


def _alike(one: Array, two: Array) -> tuple[Array, Array]:
    """Two arrays of one kind of integers."""
    if one.dtype == two.dtype:
        return one, two
    return one.astype(object), two.astype(object)


def _product(rays: Array, rows: Array) -> Array:
    """The values (n, m) of rows on rays."""
    small = rays.dtype != object and rows.dtype != object
    if small and rays.shape[1] * _size(rays) * _size(rows) < _FITS:
        return rays @ rows.T
    rays, rows = rays.astype(object), rows.astype(object)
    if not rays.shape[1]:
        return np.zeros((len(rays), len(rows)), np.int64)
    return _narrow(rays @ rows.T)
