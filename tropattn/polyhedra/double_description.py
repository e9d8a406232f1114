"""Extreme rays of cones ``{z : R z <= 0}`` by double description, in integers only.

Motzkin, Raiffa, Thompson, Thrall (1953), *The double description method*; Fukuda and Prodon (1996),
*Double description method revisited*. Rows are taken in one at a time; the rays that a row cuts off
give way to those where it crosses the edges to the others, an edge being a pair of rays that no
third one shares all its tight rows with. Numbers are ``int64`` as long as their products are proved
to fit, and Python's integers from there on, so nothing is ever rounded; the signs of products that
do not fit are read from doubles where these prove them.
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
from tropattn.tolerance import TINY, gamma

__all__ = ["ConeRays", "cone_rays"]

_FITS = 2**62
"""Integers below it, and their sums in pairs, are int64."""

_PAIRS = 4_000_000
"""Pairs of rays times words, or times rays, that are compared at a time."""

_MOST = 2_000_000
"""Rays that may be held at a time."""

_ONES = (
    np.unpackbits(np.arange(2**16, dtype=np.uint16).view(np.uint8))
    .reshape(-1, 16)
    .sum(axis=1, dtype=np.uint16)
)
"""Bits that are set in each half-word."""


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
    tight = _signs(rays, local, _unit(local)) == 0
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
    near = _unit(rest)
    signs = _signs(rays, rest, near)
    while True:
        check()
        cut = (signs > 0).sum(axis=0)
        # What no ray violates is never violated again.
        some = cut > 0
        rest, near, signs, cut = rest[some], near[some], signs[:, some], cut[some]
        if not len(cut):
            return rays
        at = int(cut.argmax())
        level = signs[:, at]
        i, j = _adjacent(masks, level > 0, level < 0, rays.shape[1])
        new = _between(rays[i], rays[j], rest[at])
        kept = level <= 0
        masks = _marked(masks, level == 0, used)
        fresh = _marked(masks[i] & masks[j], np.ones(len(i), np.bool_), used)
        masks = np.vstack([masks[kept], fresh])
        rays = np.vstack([*_alike(rays[kept], new)])
        signs = np.vstack([signs[kept], _signs(new, rest, near)])
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


def _adjacent(
    masks: Array, beyond: NDArray[np.bool_], below: NDArray[np.bool_], dim: int
) -> tuple[Array, Array]:
    """Pairs of rays on both sides that span an edge: no third ray is tight where both are."""
    words, n = masks.shape[1], len(masks)
    outside, inside = np.flatnonzero(beyond), np.flatnonzero(below)
    firsts, seconds = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    step = max(1, _PAIRS // (8 * words * max(1, len(inside))))
    for start in range(0, len(outside), step):
        part = outside[start : start + step]
        shared = masks[part][:, None, :] & masks[inside][None, :, :]
        p, q = np.nonzero(_ones(shared) >= dim - 2)
        firsts.append(part[p])
        seconds.append(inside[q])
    i, j = np.concatenate(firsts), np.concatenate(seconds)
    # The rows of a ray with no more than it needs are independent, and so are those it shares.
    tight = _ones(masks)
    edge = np.minimum(tight[i], tight[j]) == dim - 1
    open_pairs = np.flatnonzero(~edge)
    step = max(1, _PAIRS // (words * n))
    for start in range(0, len(open_pairs), step):
        check()
        part = open_pairs[start : start + step]
        shared = masks[i[part]] & masks[j[part]]
        holds = np.ones((len(shared), n), np.bool_)
        for w in range(words):
            holds &= (shared[:, w, None] & ~masks[None, :, w]) == 0
        edge[part] = holds.sum(axis=1) == 2
    return i[edge], j[edge]


def _ones(masks: Array) -> NDArray[np.uint16]:
    """How many bits are set, over the words of the last axis."""
    parts = masks.view(np.uint16)
    count = np.zeros(masks.shape[:-1], np.uint16)
    # A sum over a short last axis is slower.
    for k in range(parts.shape[-1]):
        count += _ONES[parts[..., k]]
    return count


def _between(outside: Array, inside: Array, row: Array) -> Array:
    """Where a row vanishes on the edges from rays outside to rays inside, one to one."""
    weight, other = (_product(rays, row[None, :]) for rays in (outside, -inside))
    sizes = max(_size(weight), _size(other)) * max(_size(outside), _size(inside))
    parts = (weight, other, outside, inside)
    if sizes < _FITS // 2 and not any(part.dtype == object for part in parts):
        return _primitive(weight * inside + other * outside)
    weight, other, outside, inside = (part.astype(object) for part in parts)
    return _narrow(_primitive(weight * inside + other * outside))


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


def _fits(rays: Array, rows: Array) -> bool:
    """Whether all products of rows and rays are int64."""
    small = rays.dtype != object and rows.dtype != object
    return small and rays.shape[1] * _size(rays) * _size(rows) < _FITS


def _product(rays: Array, rows: Array) -> Array:
    """The values (n, m) of rows on rays."""
    if _fits(rays, rows):
        return rays @ rows.T
    rays, rows = rays.astype(object), rows.astype(object)
    return _narrow(rays @ rows.T)


def _unit(rows: Array) -> NDArray[np.float64]:
    """The rows over their largest entries, each number with a relative error of three roundings."""
    size = np.abs(rows).max(axis=1, initial=1)[:, None]
    return (rows / size).astype(np.float64)


def _signs(rays: Array, rows: Array, near: NDArray[np.float64]) -> NDArray[np.int8]:
    """The signs (n, m) of the values of rows on rays; ``near`` as from ``_unit``.

    Doubles decide what exceeds their error bound (Higham 2002, Section 3.1), integers the rest.
    """
    if _fits(rays, rows):
        return np.sign(rays @ rows.T).astype(np.int8)
    values, width = _unit(rays) @ near.T, rays.shape[1]
    bound = width * (gamma(width + 8) + TINY)
    signs = np.sign(values).astype(np.int8)
    i, j = np.nonzero(np.abs(values) <= bound)
    exact = (rays[i].astype(object) * rows[j].astype(object)).sum(axis=1)
    signs[i, j] = (exact > 0).astype(np.int8) - (exact < 0).astype(np.int8)
    return signs
