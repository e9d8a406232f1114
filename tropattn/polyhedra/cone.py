"""A direction strictly inside an open polyhedral cone: doubles first, rationals if they must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import cone as kernel
from tropattn.polyhedra.strict import Verdict, strictly_negative

__all__ = ["as_doubles", "interior_direction"]


def as_doubles(point: tuple[Any, ...]) -> NDArray[np.float64]:
    """A rational direction, scaled to largest entry 1 and rounded to doubles."""
    largest = max((abs(v) for v in point), default=0)
    ratios = [v / largest if largest else v for v in point]
    return np.array([int(v.p) / int(v.q) for v in ratios])


def interior_direction(
    rows: NDArray[np.float64], rho: NDArray[np.float64], exact: Callable[[], flint.fmpq_mat]
) -> tuple[NDArray[np.float64], bool, tuple[Any, ...] | None] | Verdict:
    """A ``z`` with ``rows . z < 0``, whether doubles prove it, else the exact one; or the verdict.

    ``rows`` (g, D) unit rows with entrywise bounds ``rho`` (g,); ``exact()`` the true rows.
    """
    g, dim = rows.shape
    if dim == 0:
        return np.zeros(0), False, ()
    if g == 0:
        # Any direction will do; an odd one avoids walls that pass through the axes.
        return np.sqrt(np.arange(2.0, dim + 2.0)) % 1.0 - 0.5, True, None
    if g == 1 and rho[0] * np.abs(rows[0]).sum() < 0.5:
        return -rows[0], True, None
    z = np.zeros(dim)
    simplex = kernel.make_simplex(dim, g)
    if kernel.decide(np.ascontiguousarray(rows.T), rho, g, dim, z, simplex) == kernel.FEASIBLE:
        return z, True, None
    settled = strictly_negative(exact())
    if settled.point is None:
        return settled
    return as_doubles(settled.point), False, settled.point
