"""Matrix products whose rounding depends on nothing but the row, and sums that do not round.

A key that was computed in doubles is a datum of the count (``docs/theory.md``, Exactness). So two
tokens with equal states must get equal keys, whatever their places in the context, the number of
the other tokens and the machine; a library's matrix product promises none of that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels.products import add_products
from tropattn._types import Array
from tropattn.arrays import (
    as_array,
    as_fractions,
    fraction_array,
    freeze,
    is_exact,
    rational_matrix,
)
from tropattn.errors import InvalidInput

__all__ = ["exact_product", "exact_sum", "loose", "n_axes", "read_vector", "row_products", "shared"]


_BLOCK = 2**26
"""Multiplications in a call of the kernel, a fiftieth of a second: signals wait for it."""


def shared(name: str, value: Any, ndim: int, *, shape: str) -> Array:
    """Read an array as ``as_array`` does, but keep one that is frozen already, without a copy.

    Heads that share keys, and heads made from other heads, thus share memory.

    >>> a = shared("a", [[1, 2]], 2, shape="(n, d)")
    >>> shared("a", a, 2, shape="(n, d)") is a
    True
    """
    if (
        isinstance(value, np.ndarray)
        and value.dtype == np.float64
        and value.ndim == ndim
        and value.base is None
        and not value.flags.writeable
        and np.isfinite(value).all()
    ):
        return value
    return as_array(name, value, ndim, shape=shape)


def n_axes(value: Any) -> int:
    """Return the number of axes of anything array-like, -1 for ragged lists.

    >>> n_axes([[1, 2]]), n_axes([[1], [1, 2]])
    (2, -1)
    """
    try:
        return np.ndim(value)
    except (ValueError, TypeError, OverflowError):
        return -1


def loose(value: Any) -> NDArray[Any]:
    """Return anything as an array, an empty one of objects where that cannot be.

    >>> loose([1, 2]).shape, loose([[1], [1, 2]]).dtype
    ((2,), dtype('O'))
    """
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        return np.empty(0, dtype=object)


def read_vector(name: str, value: Any, length: int, *, why: str) -> Array:
    """Read a vector of the given length, or zeros where ``value`` is None.

    >>> read_vector("b_Q", None, 2, why="one a column of W_Q").tolist()
    [0.0, 0.0]
    """
    if value is None:
        return freeze(np.zeros(length))
    array = shared(name, value, 1, shape=f"({length},)")
    if len(array) != length:
        raise InvalidInput(f"{name}: {length} numbers needed ({why}), got {len(array)}; check it.")
    return array


def exact_sum(a: Array, b: Array) -> Array:
    """Return ``a + b`` without rounding: in doubles where they hold the sum, else in rationals.

    Source: the two-sum of Knuth, *The Art of Computer Programming* 2, section 4.2.2, finds the
    part that rounding would lose.

    >>> from fractions import Fraction
    >>> exact_sum(np.array([1.0]), np.array([2.0])).tolist()
    [3.0]
    >>> exact_sum(np.array([1.0]), np.array([2.0**-60])).tolist() == [1 + Fraction(1, 2**60)]
    True
    """
    if not (is_exact(a) or is_exact(b)):
        with np.errstate(over="ignore", invalid="ignore"):
            total = a + b
            part = total - a
            lost = (a - (total - part)) + (b - part)
        # An overflow leaves NaN behind, which counts as lost as well.
        if not np.any(lost != 0):
            return total
    return as_fractions(a) + as_fractions(b)


def exact_product(a: Array, b: Array) -> Array:
    """Return the matrix ``a @ b`` without rounding: in doubles where they hold it, else rationals.

    Cost: one product of rational matrices, which share a power of two where the data are doubles.

    >>> exact_product(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])).tolist()
    [[11.0]]
    >>> from fractions import Fraction
    >>> third = np.array([[Fraction(1, 3)]], dtype=object)
    >>> exact_product(third, third).tolist()
    [[Fraction(1, 9)]]
    """
    exact = rational_matrix(a) * rational_matrix(b)
    if not (is_exact(a) or is_exact(b)):
        with np.errstate(over="ignore", invalid="ignore"):
            near = a @ b
        if np.isfinite(near).all() and rational_matrix(near) == exact:
            return freeze(near)
    return freeze(fraction_array(exact))


def row_products(name: str, rows: Array, matrix: Array, offset: Array | None = None) -> Array:
    """Return ``rows @ matrix [+ offset]``, summed in the order of the index.

    Each row of the result is a function of the row of ``rows`` alone, bit for bit, on any
    machine with IEEE doubles. Exact input gives an exact product.

    Parameters
    ----------
    name : what ``rows`` is called in the error message.
    rows : (..., N, k); two axes when exact.
    matrix, offset : (k, m) and (m,).

    Raises
    ------
    InvalidInput : a product leaves the range of doubles.

    Notes
    -----
    Cost: ``N k m`` multiplications.

    >>> row_products("states", np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    if is_exact(rows) or is_exact(matrix) or (offset is not None and is_exact(offset)):
        total = as_fractions(rows) @ as_fractions(matrix)
        return total if offset is None else total + as_fractions(offset)
    flat = rows.reshape(-1, rows.shape[-1])
    # Copies, since a kernel is compiled again for arrays that are read-only or have gaps.
    weights = np.array(matrix, dtype=np.float64, order="C")
    total = np.zeros((len(flat), weights.shape[1]))
    block = max(1, _BLOCK // max(1, weights.size))
    for start in range(0, len(flat), block):
        part = np.array(flat[start : start + block], dtype=np.float64, order="C")
        add_products(part, weights, total[start : start + block])
    total = total.reshape(*rows.shape[:-1], weights.shape[1])
    if offset is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            total += offset
    if not np.isfinite(total).all():
        raise InvalidInput(
            f"{name}: products with the weights below 1.8e308 needed, got an overflow; "
            "rescale the states or the weights."
        )
    return total
