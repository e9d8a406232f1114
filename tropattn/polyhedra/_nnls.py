"""The one door to non-negative least squares (through scipy): the shortest vector in a polyhedron.

Floats only: what comes out is a distance with rounding, never a proof.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from tropattn.errors import EngineError

__all__ = ["shortest"]

Floats = NDArray[np.float64]

_FIRST = 64
"""Rows of the first subproblem; the others join when they are violated."""

_SLACK = 1e-11
_ROUNDS = 1000


def shortest(a: Any, b: Any) -> Floats | None:
    """Return the shortest ``w`` with ``A w <= b``, or None where there is none.

    Parameters
    ----------
    a, b : (m, k) and (m,), doubles; rows of unit length make the slack 1e-11 comparable.

    Raises
    ------
    EngineError : scipy's iteration does not end.

    Notes
    -----
    Lawson and Hanson (1974), *Solving Least Squares Problems*, chapter 23: least distance
    programming through the residual of ``min ||E u - (0, 1)||``, ``u >= 0``. Rows enter when they
    are violated, so a program costs one product with ``A`` a round and small dense solves.

    Examples
    --------
    >>> w = shortest([[-1.0, 0.0], [0.0, 1.0]], [-2.0, 5.0])            # x >= 2, y <= 5
    >>> w.round(9).tolist()
    [2.0, 0.0]
    >>> shortest([[1.0], [-1.0]], [0.0, -1.0]) is None                  # x <= 0 and x >= 1
    True
    """
    rows, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    w = np.zeros(rows.shape[1])
    chosen = np.zeros(len(rows), dtype=bool)
    for _ in range(_ROUNDS):
        excess = rows @ w - right
        violated = np.flatnonzero((excess > _SLACK * (1 + np.abs(right))) & ~chosen)
        if not len(violated):
            return w
        chosen[violated[np.argsort(-excess[violated])[:_FIRST]]] = True
        found = _least_distance(rows[chosen], right[chosen])
        if found is None:
            return None
        w = found
    raise EngineError(f"nnls: an end within {_ROUNDS} rounds expected, got none; report the input.")


def _least_distance(rows: Floats, right: Floats) -> Floats | None:
    k = rows.shape[1]
    target = np.zeros(k + 1)
    target[-1] = 1.0
    matrix = np.vstack([-rows.T, -right])
    try:
        u, length = nnls(matrix, target, maxiter=max(1000, 30 * len(rows)))
    except RuntimeError as error:
        raise EngineError(f"nnls: an answer expected, got {error}; report the input.") from None
    if length < 1e-9:
        return None
    residual = matrix @ u - target
    return -residual[:-1] / residual[-1]
