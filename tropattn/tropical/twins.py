"""Heads with the same cells: equal up to a positive factor, a permutation and an affine function.

Adding one affine function to all scores of a head, or multiplying them by a positive number, leaves
its winners alone (theory T2), so such a head adds nothing to a common refinement: every pattern
(T5, T13) is determined by those of the other heads. Shared keys, tied weights and repeated layers
make them in practice.

A signature modulo the prime, the same for all twins, finds candidates, so that other heads cost one
product; rationals decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import is_exact
from tropattn.tropical.max_affine import MaxAffine
from tropattn.tropical.terms import PRIME, modular_product

__all__ = ["twin_heads"]


_WEIGHT = 2**20


def twin_heads(units: Sequence[MaxAffine], kept: Sequence[Array]) -> list[tuple[int, Array]]:
    """For each head the first head with the same cells, and the key that wins where its key does.

    ``kept`` names the distinct terms of each head. Returns (head, keys) with ``keys`` (N,) over the
    terms of that first head: the winner of the given one, -1 at merged duplicates. Cost O(N d)
    per head, and rationals only where signatures agree.

    >>> f = MaxAffine([[0], [1], [3]], [0, 1, 0])
    >>> g = MaxAffine([[8], [2], [4]], [5, 5, 7])                 # 2 f + (2 x + 5)
    >>> [(h, keys.tolist()) for h, keys in twin_heads([f, g], [np.arange(3)] * 2)]
    [(0, [0, 1, 2]), (0, [1, 2, 0])]
    """
    weights = np.random.Generator(np.random.Philox(11)).integers(
        1, _WEIGHT, units[0].dim + 1, dtype=np.int64
    )
    first: dict[tuple[int, ...], list[int]] = {}
    sorted_rows: dict[int, tuple[list[int], list[tuple[flint.fmpq, ...]]]] = {}
    found: list[tuple[int, Array]] = []
    rows = [unit.modular_terms()[names] for unit, names in zip(units, kept, strict=True)]
    signatures = _signatures(rows, weights)
    for h, (unit, names) in enumerate(zip(units, kept, strict=True)):
        same = first.setdefault(signatures[h], [])
        for other in same:
            orders = _as_given(units[other], kept[other], unit, names)
            if orders is None:
                for i in (other, h):
                    if i not in sorted_rows:
                        sorted_rows[i] = _in_order(units[i].exact_terms(kept[i]), weights)
                if not _proportional(sorted_rows[other][1], sorted_rows[h][1]):
                    continue
                orders = sorted_rows[other][0], sorted_rows[h][0]
            keys = np.full(units[other].n_terms, -1, np.int32)
            keys[kept[other][orders[0]]] = names[orders[1]]
            found.append((other, keys))
            break
        else:
            same.append(h)
            own = np.full(unit.n_terms, -1, np.int32)
            own[names] = names
            found.append((h, own))
    return found


def _signatures(
    heads: Sequence[NDArray[np.int64]], weights: NDArray[np.int64]
) -> list[tuple[int, ...]]:
    """Of each head the number of rows, and ratios of power sums that twins share modulo PRIME."""
    counts = np.array([len(rows) for rows in heads])
    starts = np.cumsum(counts) - counts

    def sums(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.add.reduceat(values, starts) % PRIME

    projected = modular_product(np.vstack(heads), weights[:, None])[:, 0]
    middle = np.repeat(sums(projected), counts)
    centred = (np.repeat(counts, counts) * projected - middle) % PRIME
    square = centred * centred % PRIME
    powers = sums(square), sums(square * centred % PRIME), sums(square * square % PRIME)
    found = []
    for n, second, third, fourth in zip(
        counts.tolist(), *(part.tolist() for part in powers), strict=True
    ):
        inverse = pow(second, -1, PRIME) if second else 0
        found.append((n, third**2 * inverse**3 % PRIME, fourth * inverse**2 % PRIME))
    return found


def _as_given(f: MaxAffine, f_names: Array, g: MaxAffine, g_names: Array) -> tuple[Any, Any] | None:
    """Matching orders of rows where the given numbers of g are those of f times a power of two."""
    same = f.scale == g.scale and len(f.maps) == len(g.maps) and f.keys.shape[1] == g.keys.shape[1]
    for one, two in zip(f.maps, g.maps, strict=False):
        same = same and np.array_equal(one.matrix, two.matrix)
        same = same and np.array_equal(one.offset, two.offset)
    if not same or any(is_exact(v) for v in (f.keys, f.biases, g.keys, g.biases)):
        return None
    a = np.column_stack([f.keys, f.biases])[f_names]
    b = np.column_stack([g.keys, g.biases])[g_names]
    size, other = np.abs(a).max(), np.abs(b).max()
    orders = np.lexsort(a.T), np.lexsort(b.T)
    a, b = a[orders[0]], b[orders[1]]
    # Both ways, so that nothing is lost below the least double or beyond the largest.
    with np.errstate(over="ignore"):
        factor = other / size if size > 0 and other > 0 else 1.0
        equal = np.frexp(factor)[0] == 0.5 and (a * factor == b).all() and (b / factor == a).all()
    return orders if equal else None


def _in_order(
    terms: flint.fmpq_mat, weights: NDArray[np.int64]
) -> tuple[list[int], list[tuple[flint.fmpq, ...]]]:
    """Rows in the order of their projection, which a positive factor keeps, less the first one."""
    column = flint.fmpq_mat(len(weights), 1, weights.tolist())
    projected = (terms * column).entries()
    order = sorted(range(terms.nrows()), key=projected.__getitem__)
    table = terms.tolist()
    base = table[order[0]]
    return order, [tuple(a - b for a, b in zip(table[i], base, strict=True)) for i in order]


def _proportional(rows: list[tuple[flint.fmpq, ...]], others: list[tuple[flint.fmpq, ...]]) -> bool:
    """Whether one positive factor takes all rows to the others, row by row."""
    for row, other in zip(rows, others, strict=True):
        for a, b in zip(row, other, strict=True):
            if a != 0:
                factor = b / a
                return factor > 0 and all(
                    b == factor * a
                    for row, other in zip(rows, others, strict=True)
                    for a, b in zip(row, other, strict=True)
                )
    return all(b == 0 for other in others for b in other)
