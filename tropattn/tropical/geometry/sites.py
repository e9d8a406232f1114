"""The terms ``(a_j, (w_j - |a_j|^2) / 2)`` of sites with weights, read without rounding (T2).

Squares of doubles are no doubles: terms are read in doubles with a bound on the error, modulo a
prime, or in rationals, each straight from sites and weights.
"""

from __future__ import annotations

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels.hull_links import extents
from tropattn._types import Array
from tropattn.arrays import fraction, rational_matrix, residues
from tropattn.tolerance import TINY, UNIT
from tropattn.tropical.terms import PRIME

__all__ = ["exact_site_terms", "modular_site_terms", "near_site_terms", "site_intercepts"]


def near_site_terms(sites: Array, weights: Array) -> tuple[Array, Array]:
    """Rows ``(a_j, c_j)`` of sites (N, d) and weights (N,) in doubles, and bounds on their errors.

    Squares must be doubles. Without errors where the numbers are short, as integers are.

    >>> near_site_terms(np.array([[3.0], [0.1]]), np.zeros(2))[0].tolist()
    [[3.0, -4.5], [0.1, -0.005000000000000001]]
    """
    d = sites.shape[1]
    squares = (sites**2).sum(axis=1)
    terms = np.column_stack([sites, (weights - squares) / 2])
    errors = np.zeros(terms.shape)
    if not _short(sites, weights):
        errors[:, -1] = (d + 4) * UNIT * (squares + np.abs(weights)) + TINY
    return terms, errors


def _short(sites: Array, weights: Array) -> bool:
    """Whether all sums of squares and weights are whole multiples, small enough, of one number."""
    top, low = np.empty((2, sites.shape[1] + 1), np.int64)
    extents(np.column_stack([sites, weights]), top, low)
    unit = min(2 * int(low[:-1].min()), int(low[-1]))
    size = max(2 * int(top[:-1].max()) + sites.shape[1], int(top[-1])) + 1
    return size - unit <= 53 and abs(size) < 900 and abs(unit) < 900


def modular_site_terms(sites: Array, weights: Array) -> NDArray[np.int64]:
    """The same rows modulo ``PRIME``."""
    rows = residues(sites, PRIME)
    total = np.zeros(len(rows), np.int64)
    for column in rows.T:
        total = (total + column * column) % PRIME
    half = (residues(weights, PRIME) - total) % PRIME * ((PRIME + 1) // 2) % PRIME
    return np.column_stack([rows, half])


def exact_site_terms(sites: Array, weights: Array) -> flint.fmpq_mat:
    """The same rows in rationals."""
    rows = rational_matrix(sites).tolist()
    heights = rational_matrix(weights[:, None]).entries()
    flat = []
    for row, weight in zip(rows, heights, strict=True):
        flat += [*row, (weight - sum((v * v for v in row), flint.fmpq(0))) / 2]
    return flint.fmpq_mat(len(rows), sites.shape[1] + 1, flat)


def site_intercepts(sites: Array, weights: Array) -> Array:
    """The exact ``c_j`` as ``Fraction`` objects, (N,)."""
    rows = exact_site_terms(sites, weights)
    out = np.empty(rows.nrows(), dtype=object)
    out[:] = [fraction(rows[j, rows.ncols() - 1]) for j in range(rows.nrows())]
    return out
