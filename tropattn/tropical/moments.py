"""Spreads and covariances of rows under the weights of a softmax, in doubles."""

from __future__ import annotations

import math

import numpy as np

from tropattn._types import Array

__all__ = ["compact", "covariance", "in_units", "spread", "spreads"]


def in_units(rows: Array) -> tuple[float, Array]:
    """A power of two and numbers of size 1 at most, whose squares are doubles as well."""
    largest = float(np.abs(rows).max(initial=0.0))
    unit = math.ldexp(1.0, min(math.frexp(largest)[1], 1023)) if largest > 0 else 1.0
    return unit, rows / unit


def compact(rows: Array) -> Array:
    """Rows (N, d) in an orthonormal basis of at most N coordinates."""
    if rows.shape[1] <= len(rows):
        return rows
    return np.linalg.qr(rows.T)[1].T


def spreads(p: Array) -> Array:
    """``diag(p) - p p^T`` of each row, the diagonal as a sum so that nothing cancels."""
    matrix = -p[:, :, None] * p[:, None, :]
    index = np.arange(p.shape[1])
    matrix[:, index, index] = 0.0
    matrix[:, index, index] = -matrix.sum(axis=2)
    return matrix


def covariance(p: Array, u: Array, v: Array) -> Array:
    """Covariance of rows ``u`` (M, N, C) and ``v`` (M, N, K) under the weights ``p`` (M, N)."""
    mean_u, mean_v = np.einsum("mj,mjc->mc", p, u), np.einsum("mj,mjk->mk", p, v)
    return np.einsum("mj,mjc,mjk->mck", p, u, v) - mean_u[:, :, None] * mean_v[:, None, :]


def spread(rows: Array, best: Array) -> Array:
    """``max_j |rows_j - rows_best|`` for each entry of ``best``."""
    present, where = np.unique(best, return_inverse=True)
    apart = [in_units(rows - rows[j]) for j in present]
    widest = [unit * float(np.linalg.norm(part, axis=1).max()) for unit, part in apart]
    return np.array(widest)[where]
