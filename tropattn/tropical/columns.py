"""The merged rows of heads, and columns that are independent on them.

Ranks are proved: a rank modulo a prime is a lower bound, the number of columns or of independent
factors an upper one, and where they differ rationals decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import pivot_columns, rational_matrix, residues
from tropattn.polyhedra.strict import primitive_rows
from tropattn.threads import check
from tropattn.tropical.max_affine import MaxAffine
from tropattn.tropical.terms import PRIME, moderate, modular_product

__all__ = ["Blocks", "factor_rank", "independent_columns", "rank_of_rows", "stacked"]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """The merged rows of all units, stacked, in the modular and the float reading."""

    kept: tuple[NDArray[np.int64], ...]
    starts: NDArray[np.int64]
    terms: Array
    errors: Array
    differences: NDArray[np.int64]


def stacked(units: tuple[MaxAffine, ...]) -> Blocks:
    """Merge the equal terms of each head and stack the rows of all. Cost: their three readings."""
    kept, terms, errors, differences, counts = [], [], [], [], [0]
    for unit in units:
        firsts, _ = unit.distinct
        near, bound = moderate(*unit.float_terms())
        modular = unit.modular_terms()[firsts]
        kept.append(firsts)
        terms.append(near[firsts])
        errors.append(bound[firsts])
        differences.append((modular[1:] - modular[:1]) % PRIME)
        counts.append(len(firsts))
    return Blocks(
        tuple(kept),
        np.cumsum(counts).astype(np.int64),
        np.vstack(terms),
        np.vstack(errors),
        np.vstack(differences),
    )


def independent_columns(
    units: tuple[MaxAffine, ...], blocks: Blocks, walls: Array
) -> tuple[bool, NDArray[np.int64]]:
    """Whether the system is central, and columns that are independent on it; both proved."""
    width = units[0].dim + 1
    rows = np.vstack([blocks.differences, residues(walls, PRIME)])
    order = list(range(width))
    pivots = rank_of_rows(rows, order)
    if len(pivots) == width:
        return False, np.arange(width)
    if len(pivots) < width - 1 or pivots[-1] == width - 1:
        # Of dependent columns those of large spread first: better conditioned than the first ones.
        order = _spread_first(blocks, width)
        pivots = rank_of_rows(rows, order)
    central = not rows[:, -1].any()
    if not central:
        unit_row = np.zeros((1, width), dtype=np.int64)
        unit_row[0, -1] = 1
        central = len(rank_of_rows(np.vstack([unit_row, rows]), order)) > len(pivots)
    if len(pivots) < width and len(pivots) < _rank_bound(units, blocks, walls, central):
        exact = _exact_rank(units, blocks, walls, with_last=not central)
        if exact != len(pivots):
            return _exact_columns(units, blocks, walls, order)
    return central, np.array(sorted(pivots), dtype=np.int64)


def _spread_first(blocks: Blocks, width: int) -> list[int]:
    """Slope columns, those of large spread first, and the last column."""
    slopes = _from_first(blocks)[:, :-1]
    return [*(_pivoted(slopes) if slopes.any() else range(width - 1)), width - 1]


def _from_first(blocks: Blocks) -> Array:
    """All rows in doubles, less the first of their head."""
    return blocks.terms - np.repeat(blocks.terms[blocks.starts[:-1]], np.diff(blocks.starts), 0)


def rank_of_rows(rows: NDArray[np.int64], order: Sequence[int]) -> list[int]:
    """Columns, first come first kept in ``order``, that are independent modulo PRIME."""
    n, width = rows.shape
    few = 2 * width + 16
    if n > few:
        # Few rows prove a rank that is the number of columns with something in them.
        found = rank_of_rows(rows[:: -(-n // few)], order)
        if len(found) == np.count_nonzero(rows.any(axis=0)):
            return found
        # A fixed random combination of rows has the same rank but for a chance below 1e-8, and
        # never a larger one, so a rank found full is still a proof.
        mixer = np.random.Generator(np.random.Philox(7)).integers(
            0, PRIME, (width + 8, n), dtype=np.int64
        )
        total = np.zeros((width + 8, width), dtype=np.int64)
        for start in range(0, n, 2**12):
            check()
            part = slice(start, start + 2**12)
            total = (total + modular_product(mixer[:, part], rows[part])) % PRIME
        rows, n = total, width + 8
    if n == 0 or width == 0:
        return []
    matrix = flint.nmod_mat(n, width, rows[:, list(order)].ravel().tolist(), PRIME)
    return [order[column] for column in pivot_columns(*matrix.rref())]


def _pivoted(rows: Array) -> list[int]:
    """Columns in the order of a pivoted QR factorisation of the rows, each brought to size 1."""
    scale = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(scale > 0, scale, 1.0)
    # Imported late: a third of a second that a bound from numbers, or a help text, need not wait.
    import scipy.linalg

    factors: Any = scipy.linalg.qr(rows.T @ rows, mode="r", pivoting=True, check_finite=False)
    return factors[-1].tolist()


def _rank_bound(units: tuple[MaxAffine, ...], blocks: Blocks, walls: Array, central: bool) -> int:
    """Upper bound on the rank from the shapes of the factors and from columns that are zero."""
    total = len(walls)
    for h, unit in enumerate(units):
        total += factor_rank(unit, int(blocks.starts[h + 1] - blocks.starts[h]))
    if not central:
        total += 1
    varies = (_from_first(blocks) != 0).any(axis=0) | blocks.errors.any(axis=0)
    occupied = np.count_nonzero(varies | (walls != 0).any(axis=0))
    return min(total, int(occupied))


def factor_rank(unit: MaxAffine, count: int) -> int:
    """Upper bound on the rank of a head's row differences from the shapes of its factors."""
    extra = 0 if len({*unit.biases.tolist()}) == 1 else 1
    # A map adds its offset as one more column, but a difference of rows passes through its matrix
    # and offset alike, so the narrowest factor bounds the rank.
    narrowest = min([unit.keys.shape[1], *[m.matrix.shape[0] + 1 for m in unit.maps]])
    return min(count - 1, narrowest + extra)


def _all_exact_rows(
    units: tuple[MaxAffine, ...], blocks: Blocks, walls: Array, with_last: bool
) -> flint.fmpq_mat:
    width = units[0].dim + 1
    flat: list[flint.fmpq] = []
    for h, unit in enumerate(units):
        first, *others = unit.exact_terms(blocks.kept[h]).tolist()
        for row in others:
            check()
            flat += [a - b for a, b in zip(row, first, strict=True)]
    flat += rational_matrix(walls).entries()
    if with_last:
        flat += [flint.fmpq(int(k == width - 1)) for k in range(width)]
    return flint.fmpq_mat(len(flat) // width, width, flat)


def _exact_rank(units: tuple[MaxAffine, ...], blocks: Blocks, walls: Array, with_last: bool) -> int:
    rows = _all_exact_rows(units, blocks, walls, with_last)
    return primitive_rows(rows).rank() if rows.nrows() else 0


def _exact_columns(
    units: tuple[MaxAffine, ...], blocks: Blocks, walls: Array, order: Sequence[int]
) -> tuple[bool, NDArray[np.int64]]:
    """The same answer in rationals, for the rare data on which the prime misleads."""
    without = _exact_rank(units, blocks, walls, False)
    central = _exact_rank(units, blocks, walls, True) > without
    rows = _all_exact_rows(units, blocks, walls, not central)
    flat = [rows[i, k] for i in range(rows.nrows()) for k in order]
    found = pivot_columns(*flint.fmpq_mat(rows.nrows(), rows.ncols(), flat).rref())
    return central, np.array(sorted(order[column] for column in found), dtype=np.int64)
