"""The one door to HiGHS (through scipy): the box around a polyhedron, the largest ball inside."""

from __future__ import annotations

import numpy as np

from tropattn._types import Array
from tropattn.errors import EngineError, InvalidInput

__all__ = ["bounding_box", "largest_ball"]

_LARGE = 2.0**30
"""Right-hand sides beyond it are scaled."""


def bounding_box(a: Array, b: Array) -> tuple[Array, Array]:
    """Float bounds (low, high) of ``{p : A p <= b}``; infinite where it is unbounded.

    >>> bounding_box(np.array([[1.0], [-1.0]]), np.array([2.0, 0.0]))[1].tolist()
    [2.0]
    """
    dim = a.shape[1]
    if ((a != 0).sum(axis=1) == 1).all():
        return _sides(a, b)
    # Here, since most commands need no program and would wait for it.
    from scipy.optimize import linprog

    low, high = np.full(dim, -np.inf), np.full(dim, np.inf)
    rows, right, scale = _moderate(a, b)
    for k in range(dim):
        for sign, side in ((1.0, low), (-1.0, high)):
            cost = np.zeros(dim)
            cost[k] = sign
            found = linprog(cost, A_ub=rows, b_ub=right, bounds=(None, None), method="highs")
            if found.status == 0:
                side[k] = sign * found.fun * scale
            elif found.status == 2:
                raise _contradicting(a)
            elif found.status not in (3, 4):
                raise EngineError(f"HiGHS: bounds of coordinate {k} failed: {found.message}")
    return low, high


def largest_ball(normals: Array, slacks: Array) -> tuple[Array, Array]:
    """Centre (d,) of a largest ball in ``{x : N x <= s}``, N of unit rows, and the rows' weights.

    Doubles: proposals, proved by whoever asks. Weights of 0 where the program has no optimum.

    >>> centre, weights = largest_ball(np.array([[1.0], [-1.0]]), np.array([2.0, 0.0]))
    >>> centre.tolist(), weights.tolist()
    ([1.0], [0.5, 0.5])
    """
    from scipy.optimize import linprog

    dim = normals.shape[1]
    cost = np.append(np.zeros(dim), -1.0)
    rows = np.column_stack([normals, np.ones(len(normals))])
    found = linprog(cost, A_ub=rows, b_ub=slacks, bounds=(None, None), method="highs")
    if found.status != 0:
        return np.zeros(dim), np.zeros(len(normals))
    return found.x[:-1], -found.ineqlin.marginals


def _contradicting(a: Array) -> InvalidInput:
    return InvalidInput(
        f"domain: a non-empty interior needed, got {len(a)} contradicting rows; loosen it."
    )


def _sides(a: Array, b: Array) -> tuple[Array, Array]:
    """The bounds where every row bounds one coordinate: no program is needed."""
    dim = a.shape[1]
    low, high = [-np.inf] * dim, [np.inf] * dim
    for row, right in zip(a.tolist(), b.tolist(), strict=True):
        k = next(k for k, entry in enumerate(row) if entry)
        end = right / row[k]
        if row[k] > 0:
            high[k] = min(high[k], end)
        else:
            low[k] = max(low[k], end)
    if any(one > two for one, two in zip(low, high, strict=True)):
        raise _contradicting(a)
    return np.array([float(v) for v in low]), np.array([float(v) for v in high])


def _moderate(a: Array, b: Array) -> tuple[Array, Array, float]:
    """The rows in doubles, and the unit of the coordinates: HiGHS takes 1e20 for infinity."""
    rows, right = a.astype(np.float64), b.astype(np.float64)
    if np.abs(right).max(initial=0) <= _LARGE:
        return rows, right, 1.0
    sizes = np.abs(rows).max(axis=1)
    sizes = np.where(sizes > 0, sizes, 1.0)
    rows, right = rows / sizes[:, None], right / sizes
    scale = 2.0 ** int(np.frexp(np.abs(right).max())[1] - 1)
    return rows, right / scale, scale
