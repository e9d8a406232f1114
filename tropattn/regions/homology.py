"""Betti numbers over GF(2) of small complexes of cells: ranks of boundary maps as bit masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tropattn.threads import check

__all__ = ["betti_numbers"]


def betti_numbers(sizes: Sequence[int], boundaries: Sequence[Iterable[int]]) -> tuple[int, ...]:
    """The Betti numbers of a closed complex: components, tunnels, voids, ...

    Parameters
    ----------
    sizes : the number of cells of dimension 0, 1, ..., k.
    boundaries : for each dimension 1, ..., k the boundary of each cell as a mask of the cells of
        one dimension less.

    Cost: elimination over GF(2), a mask for each pivot.

    >>> betti_numbers([3, 3], [[0b011, 0b110, 0b101]])        # a triangle without its inside
    (1, 1)
    >>> betti_numbers([3, 3, 1], [[0b011, 0b110, 0b101], [0b111]])
    (1, 0, 0)
    """
    ranks = [0, *(_rank(masks) for masks in boundaries), 0]
    return tuple(
        size - below - above
        for size, below, above in zip(sizes, ranks[:-1], ranks[1:], strict=True)
    )


def _rank(masks: Iterable[int]) -> int:
    """The rank of vectors over GF(2)."""
    pivots: dict[int, int] = {}
    for mask in masks:
        check()
        while mask:
            top = mask.bit_length()
            if top not in pivots:
                pivots[top] = mask
                break
            mask ^= pivots[top]
    return len(pivots)
