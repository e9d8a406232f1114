"""Upper facets that Qhull has merged, cut into simplices anew, exactly, and joined again.

Where many points lie nearly in one hyperplane Qhull merges facets, and cuts what it merged into
simplices that may be flat, may not fit those beside them, and may bend the wrong way by less than
doubles see. Cells cut by ``hull_cells`` fit each other wherever their borders are faces of both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import hull_cells, hull_links
from tropattn._types import Array
from tropattn.polyhedra.hull.proof import HullTask, rising
from tropattn.threads import check

__all__ = ["recut"]

_LARGEST = 64
"""Points of a cell: those of larger ones see too many facets, each of which is looked at."""

_SLOTS = 2048
"""Facets that one cell may have while it is made."""

_TOGETHER = 64
"""Cells between two looks at an interruption."""


def recut(
    task: HullTask, facets: Array, neighbours: Array, merged: Array, upper: Array
) -> tuple[Array, Array] | None:
    """Facets and neighbours, -1 where there is none, of an upper hull after its cells are cut.

    ``merged`` (m, k) says which neighbours Qhull has merged with a facet, and ``upper`` (m,) which
    facets look upward. None where nothing is merged, cells are large, or the points are not known
    in digits.
    """
    if not merged.any():
        return None
    labels, _ = hull_links.touching(neighbours, np.where(merged, 0, 1).astype(np.int8))
    names, members = np.divmod(np.unique(labels[upper, None] * task.n + facets[upper]), task.n)
    starts = np.flatnonzero(np.diff(names, prepend=-1, append=-1))
    sizes = np.diff(starts)
    if sizes.max(initial=0) > _LARGEST:
        return None
    digits = task.rows.digits(np.append(members, task.n))
    if digits is None:
        return None
    single = np.repeat(sizes == task.k, sizes)
    out = [members[single].reshape(-1, task.k)]
    members, starts = members[~single], np.append(0, np.cumsum(sizes[sizes > task.k]))
    room = _room(task.k, digits[0].shape[2])
    for begin in range(0, len(starts) - 1, _TOGETHER):
        check()
        some = starts[begin : begin + _TOGETHER + 1]
        count = hull_cells.cut_cells(task.points, *digits, some, members, *room)
        if count < 0:
            return None
        made = room[-1][:count]
        made = made[made[:, -1] < task.n]
        # Some stand upright, beside the walls to infinity.
        out.append(made[rising(task, made)])
    return _joined(np.concatenate(out), task.n)


def _room(k: int, w: int) -> tuple[Array, ...]:
    """What ``cut_cells`` works in, and writes to."""
    return (
        np.zeros((3, _SLOTS, k), np.int64),
        np.zeros((5, _SLOTS), np.int64),
        np.zeros((2, _SLOTS), np.int8),
        np.zeros((_SLOTS, 1 << k, k * w + 1), np.int64),
        np.zeros((k, k, w), np.int64),
        np.zeros((k + 1, k)),
        np.empty((_TOGETHER * _SLOTS, k), np.int64),
    )


def _joined(facets: Array, n: int) -> tuple[Array, NDArray[np.int64]]:
    """The facets and their neighbours; ridges are told apart by sums of random numbers."""
    m, k = facets.shape
    numbers = np.random.Generator(np.random.Philox(n)).integers(2**63, size=n, dtype=np.uint64)
    parts = numbers[facets]
    codes = (parts.sum(axis=1)[:, None] - parts).ravel()
    order = np.argsort(codes)
    twice = np.flatnonzero(codes[order[1:]] == codes[order[:-1]])
    one, other = order[twice], order[twice + 1]
    neighbours = np.full(m * k, -1)
    neighbours[one], neighbours[other] = other // k, one // k
    return facets, neighbours.reshape(m, k)
