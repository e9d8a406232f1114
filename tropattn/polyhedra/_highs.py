"""The one door to HiGHS (through scipy): the box around a polyhedron, for drawing and sampling."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from tropattn._types import Array
from tropattn.errors import EngineError, InvalidInput

__all__ = ["bounding_box"]


def bounding_box(a: Array, b: Array) -> tuple[Array, Array]:
    """Float bounds (low, high) of ``{p : A p <= b}``; infinite where it is unbounded.

    >>> bounding_box(np.array([[1.0], [-1.0]]), np.array([2.0, 0.0]))[1].tolist()
    [2.0]
    """
    dim = a.shape[1]
    low, high = np.full(dim, -np.inf), np.full(dim, np.inf)
    rows, right = a.astype(np.float64), b.astype(np.float64)
    if not len(rows):
        return low, high
    for k in range(dim):
        for sign, side in ((1.0, low), (-1.0, high)):
            cost = np.zeros(dim)
            cost[k] = sign
            found = linprog(cost, A_ub=rows, b_ub=right, bounds=(None, None), method="highs")
            if found.status == 0:
                side[k] = sign * found.fun
            elif found.status == 2:
                raise InvalidInput(
                    f"domain: a non-empty interior needed, got {len(rows)} contradicting rows; "
                    "loosen it."
                )
            elif found.status not in (3, 4):
                raise EngineError(f"HiGHS: bounds of coordinate {k} failed: {found.message}")
    return low, high
