"""Matrix products whose sums are taken in the order of the index."""

from __future__ import annotations

from tropattn._kernels.compiling import njit

__all__ = ["add_products"]


@njit(nogil=True)
def add_products(rows, matrix, total):
    """Add ``rows @ matrix`` to ``total``, one index of the inner sums after the other."""
    for r in range(rows.shape[0]):
        for i in range(matrix.shape[0]):
            x = rows[r, i]
            for j in range(matrix.shape[1]):
                total[r, j] += x * matrix[i, j]
