"""Shortest vectors: how far the cells of a power diagram lie from the origin.

Floats only: what comes out is a distance with rounding, never a proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tropattn._kernels import distance as kernel
from tropattn._kernels.programs import make_programs, make_tried
from tropattn._types import Floats
from tropattn.errors import EngineError
from tropattn.polyhedra.extreme import in_single
from tropattn.threads import in_order

__all__ = ["cell_distances"]


_CHUNK = 128


def cell_distances(
    slopes: Any,
    heights: Any,
    chosen: Any = None,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Floats:
    """Return the length of the shortest ``w`` with ``<s_j, w> + h_j >= <s_i, w> + h_i`` for all i.

    Parameters
    ----------
    slopes, heights : (n, k) and (n,), doubles.
    chosen : the rows j, all when None.
    report : called with the numbers done and left.

    Returns
    -------
    Floats
        (len(chosen),); infinite where no ``w`` will do, or none shorter than 1e9.

    Raises
    ------
    EngineError : rounding stops a program before its optimum.

    Notes
    -----
    Lawson and Hanson (1974), *Solving Least Squares Problems*, chapter 23, least distance
    programming; constraints join a program when they are violated. Cost: a few passes over the n
    rows per row, O(n k) each, and exchanges of O(k^2).

    Examples
    --------
    >>> cell_distances([[0.0], [1.0], [2.0]], [0.0, -2.0, -8.0]).round(9).tolist()  # walls: 2, 6
    [0.0, 2.0, 6.0]
    >>> cell_distances([[0.0], [1.0], [2.0]], [0.0, -9.0, 0.0]).tolist()[1]
    inf
    """
    rows = np.column_stack([-np.asarray(slopes, np.float64), np.asarray(heights, np.float64)])
    names = np.arange(len(rows)) if chosen is None else np.asarray(chosen, np.int64)
    # One scale for all slopes and one for the heights: distances change by a known factor.
    reach = [
        np.abs(part - part.mean(axis=0)).max(initial=0.0) for part in (rows[:, :-1], rows[:, -1])
    ]
    unit = np.array([r if r > 0 else 1.0 for r in reach])
    rows[:, :-1] /= unit[0]
    rows[:, -1] /= unit[1]
    near = in_single(rows - rows.mean(axis=0))
    out = np.zeros(len(names))
    flag = np.zeros(1, np.int64)

    def work(start: int) -> int:
        stop = min(start + _CHUNK, len(names))
        n, width = rows.shape
        programs, tried = make_programs(n, width, width, 0, stop - start), make_tried(near)
        kernel.distances(near, rows, programs, tried, names, start, stop, out, flag)
        return stop

    for done in in_order(work, range(0, len(names), _CHUNK), threads, flag):
        if report is not None:
            report(done, len(names) - done)
    if np.isnan(out).any():
        at = int(names[np.flatnonzero(np.isnan(out))[0]])
        raise EngineError(f"nearest: an optimum expected for row {at}, got none; report the input.")
    return out * (unit[1] / unit[0])
