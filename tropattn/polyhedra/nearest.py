"""Shortest vectors: how far polyhedra, and the cells of a power diagram, lie from the origin.

``cell_distances`` works in doubles, for very many cells: a distance with rounding, never a proof.
``least_vector`` gives the shortest vector of one polyhedron exactly, with the multipliers that
prove it: doubles propose the rows that hold it, rationals solve for it and carry on where the
proposal falls short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import distance as kernel
from tropattn._kernels.nnls import SEPARATED, STUCK, Held
from tropattn._kernels.programs import make_programs, make_tried
from tropattn._types import Floats
from tropattn.errors import EngineError
from tropattn.polyhedra.extreme import in_single
from tropattn.polyhedra.inner import nearest_double
from tropattn.threads import check, in_order
from tropattn.tolerance import TINY, gamma

__all__ = ["LeastVector", "Shortest", "cell_distances", "least_vector"]


_CHUNK = 128

_OPTIMUM = 1e-7
"""What rounding may leave of the optimality of a proposal, per unit of its residual."""

_VANISHED = 1e-9
"""Leading parts of a residual that say no more than that rows contradict each other."""


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


# ---- one polyhedron -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class LeastVector:
    """The shortest ``v`` with ``<n_i, v> + b_i <= 0`` for every row ``(n_i, b_i)``, and why.

    ``rows`` with ``weights`` > 0: where there is a ``vector``, it is ``-sum w_i n_i``, the rows
    hold with equality and the square of its length is ``sum w_i b_i``; where there is none (None),
    ``sum w_i n_i = 0`` and ``sum w_i b_i > 0``, so that the rows contradict each other.
    """

    vector: tuple[flint.fmpq, ...] | None
    squared: flint.fmpq
    rows: tuple[int, ...]
    weights: tuple[flint.fmpq, ...]


def least_vector(
    near: Floats, errors: Floats, exact: Callable[[Sequence[int]], flint.fmpq_mat]
) -> LeastVector:
    """Return the shortest vector that satisfies all rows, exactly (Karush, Kuhn, Tucker).

    Parameters
    ----------
    near, errors : (m, d + 1), rows ``(n_i, b_i)`` in doubles, and a bound on each entry's error.
    exact : the true rows of some indices, in rationals; asked for the same ones again and again.

    Notes
    -----
    Goldfarb and Idnani (1983), *A numerically stable dual method for solving strictly convex
    quadratic programs*: rows enter while violated and leave where their weight would turn
    negative, here in rationals, from the rows that doubles propose. Cost: most often one rational
    solution of a system as large as there are rows that hold the vector, at most d.

    Examples
    --------
    >>> rows = np.array([[-1.0, 0.0, 3.0], [0.0, -1.0, 4.0], [0.0, 1.0, -9.0]])   # x >= 3, y >= 4
    >>> found = least_vector(rows, np.zeros((3, 3)), lambda i: flint.fmpq_mat(rows[i].astype(int)
    ...     .tolist()))
    >>> [int(v) for v in found.vector], int(found.squared), found.rows
    ([3, 4], 25, (0, 1))
    """
    held, weights = _consistent(Shortest(near).at(0.0)[1], exact)
    while True:
        check()
        vector = _combined(exact(held), weights, near.shape[1] - 1)
        entering = _violated(near, errors, vector, exact)
        if entering is None:
            rows = exact(held)
            squared = sum(
                (w * rows[i, near.shape[1] - 1] for i, w in enumerate(weights)), flint.fmpq(0)
            )
            return LeastVector(tuple(vector), squared, *_positive(held, weights))
        found = _enter(held, weights, entering, vector, exact)
        if found is not None:
            return LeastVector(None, flint.fmpq(0), *_positive(*found))


class Shortest:
    """The same in doubles, with all rows moved by a common amount of their right sides.

    The span of the rows is coordinated first, so that narrow heads cost little on wide states.

    >>> program = Shortest(np.array([[-2.0, 0.0, 6.0]]))                    # x >= 3
    >>> [part.tolist() for part in program.at(0.0)], program.at(2.0)[0].tolist()
    ([[3.0, 0.0], [0]], [4.0, 0.0])
    """

    def __init__(self, near: Floats) -> None:
        normals = near[:, :-1]
        length = np.sqrt((normals**2).sum(axis=1))
        self.rows = np.flatnonzero(length > 0)
        self.length = length[self.rows]
        unit = normals[self.rows] / self.length[:, None]
        self.right = near[self.rows, -1]
        _, sizes, directions = np.linalg.svd(unit, full_matrices=False)
        self.basis = directions[sizes > 1e-13 * sizes.max(initial=0.0)]
        self.unit = unit @ self.basis.T
        self.dim = normals.shape[1]

    def at(self, lead: float) -> tuple[Floats | None, NDArray[np.int64]]:
        """The shortest vector with ``<n_i, v> + b_i + lead <= 0``, None where none is found.

        And the rows that hold it, or that proved to be in the way.
        """
        right = (self.right + lead) / self.length
        reach = np.abs(right).max(initial=0.0)
        if not len(self.rows) or not (right > 0).any():
            return np.zeros(self.dim), np.zeros(0, np.int64)
        width = len(self.basis) + 1
        system = np.ascontiguousarray(np.column_stack([-self.unit, right / reach]).T)
        square = np.zeros((width, width))
        held = Held(
            np.zeros(width, np.int64), square, square.copy(), np.zeros(width), np.zeros(width)
        )
        residual, value = np.zeros(width), np.zeros(system.shape[1])
        size, ending = kernel.shortest(system, held, residual, value, np.zeros((2, width)))
        names = self.rows[held.names[:size]]
        length = np.linalg.norm(residual)
        # What rounding stopped may be at its optimum all the same.
        stays = ending == STUCK and value.max() <= _OPTIMUM * length
        if not (ending == SEPARATED or stays) or not residual[-1] > _VANISHED * length:
            return None, names
        return 0.0 - (reach / residual[-1]) * (residual[:-1] @ self.basis), names


Matrix = Callable[[Sequence[int]], flint.fmpq_mat]


def _positive(
    rows: Sequence[int], weights: Sequence[flint.fmpq]
) -> tuple[tuple[int, ...], tuple[flint.fmpq, ...]]:
    """The rows of positive weight in ascending order, and their weights."""
    kept = sorted((i, w) for i, w in zip(rows, weights, strict=True) if w > 0)
    return tuple(i for i, _ in kept), tuple(w for _, w in kept)


def _consistent(proposed: NDArray[np.int64], matrix: Matrix) -> tuple[list[int], list[flint.fmpq]]:
    """Of the rows proposed those that hold their shortest vector with weights >= 0."""
    held = proposed.tolist()
    while held:
        rows = matrix(held)
        weights = _weights(rows)
        if weights is None:
            # One row too many in the span of the others: the last one proposed.
            held.pop()
            continue
        least = min(weights)
        if least >= 0:
            return held, weights
        held.pop(weights.index(least))
    return [], []


def _weights(rows: flint.fmpq_mat) -> list[flint.fmpq] | None:
    """The weights with which rows hold a vector, None where they are dependent."""
    normals, right = _parts(rows)
    try:
        return (normals * normals.transpose()).solve(right).entries()
    except ZeroDivisionError:
        return None


def _parts(rows: flint.fmpq_mat) -> tuple[flint.fmpq_mat, flint.fmpq_mat]:
    listed = rows.tolist()
    normals = [v for row in listed for v in row[:-1]]
    m, d = rows.nrows(), rows.ncols() - 1
    return flint.fmpq_mat(m, d, normals), flint.fmpq_mat(m, 1, [row[-1] for row in listed])


def _combined(rows: flint.fmpq_mat, weights: Sequence[flint.fmpq], dim: int) -> list[flint.fmpq]:
    """``-sum w_i n_i``."""
    if not weights:
        return [flint.fmpq(0)] * dim
    return (flint.fmpq_mat(1, len(weights), [-w for w in weights]) * _parts(rows)[0]).entries()


def _violated(
    near: Floats, errors: Floats, vector: Sequence[flint.fmpq], matrix: Matrix
) -> int | None:
    """The row that a vector violates most, by distance; None where it satisfies all, exactly."""
    point = np.append([nearest_double(v) for v in vector], 1.0)
    size = np.abs(point)
    values = near @ point
    # The rounded vector is off by half a unit in the last place of each coordinate.
    loss = size @ (errors + gamma(near.shape[1] + 4) * (np.abs(near) + errors)).T
    loss += near.shape[1] * TINY
    doubtful = np.flatnonzero(~(values < -1.01 * loss))
    if not len(doubtful):
        return None
    names = doubtful.tolist()
    column = flint.fmpq_mat(len(vector) + 1, 1, [*vector, 1])
    exact = (matrix(names) * column).entries()
    worst, excess = None, -np.inf
    for i, value in zip(names, exact, strict=True):
        if value > 0:
            length = np.sqrt((near[i, :-1] ** 2).sum())
            over = nearest_double(value) / length if length > 0 else np.inf
            if over > excess:
                worst, excess = i, over
    return worst


def _enter(
    held: list[int],
    weights: list[flint.fmpq],
    entering: int,
    vector: list[flint.fmpq],
    matrix: Matrix,
) -> tuple[tuple[int, ...], tuple[flint.fmpq, ...]] | None:
    """Let a violated row in, others out; rows with weights that forbid any vector, or None."""
    normal, right = _parts(matrix([entering]))
    own = flint.fmpq(0)
    while True:
        check()
        lift: list[flint.fmpq] = []
        across = normal
        if held:
            rows, _ = _parts(matrix(held))
            gram = rows * rows.transpose()
            solved = gram.solve(rows * normal.transpose())
            lift = solved.entries()
            across = normal - solved.transpose() * rows
        square = sum((v * v for v in across.entries()), flint.fmpq(0))
        excess = right[0, 0]
        for n, v in zip(normal.entries(), vector, strict=True):
            excess += n * v
        steps = [(weights[i] / lift[i], i) for i in range(len(held)) if lift[i] > 0]
        leaving = min(steps, default=None)
        if square == 0 and leaving is None:
            return (entering, *held), (flint.fmpq(1), *(-v for v in lift))
        step = excess / square if square > 0 else None
        whole = leaving is None or (step is not None and step <= leaving[0])
        if leaving is not None and not whole:
            step = leaving[0]
        assert step is not None
        for i in range(len(held)):
            weights[i] -= step * lift[i]
        own += step
        for k, z in enumerate(across.entries()):
            vector[k] -= step * z
        if whole:
            held.append(entering)
            weights.append(own)
            return None
        assert leaving is not None
        held.pop(leaving[1])
        weights.pop(leaving[1])
