"""Which rows of a finite set win somewhere: extreme points, seen from the directions allowed.

Row ``j`` *wins* at ``z`` if ``<t_j, z> > <t_i, z>`` for all other rows. Without walls the winning
rows are the vertices of the hull of the rows; with walls only directions inside them count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import extreme as kernel
from tropattn._kernels.cone import AMBIGUOUS, DEAD, LIVE, decide, proves_dead
from tropattn.polyhedra.cone import as_doubles
from tropattn.polyhedra.strict import strictly_negative
from tropattn.threads import in_order
from tropattn.tolerance import UNIT

__all__ = ["Reasons", "shared_walls", "winning_rows"]

_CHUNK = 64
_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Reasons:
    """Per row: whether it wins, a direction where it does, or the combination that forbids it.

    ``rows`` (n, D + 1) other rows of the combination (walls as ``-2 - index``, unused -1) with
    positive ``weights``; ``exact_decisions`` counts rows settled in rationals.
    """

    wins: NDArray[np.bool_]
    points: NDArray[np.float64]
    rows: NDArray[np.int64]
    weights: NDArray[np.float64]
    exact_decisions: int


def winning_rows(
    terms: NDArray[np.float64],
    errors: NDArray[np.float64],
    walls: tuple[NDArray[np.float64], NDArray[np.float64]],
    integers: tuple[NDArray[np.int64], NDArray[np.int64]],
    exact: Callable[[int], tuple[flint.fmpq_mat, list[int]]],
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Reasons:
    """Decide every row, each one proved.

    Cheap points first (each row's own direction, plain and whitened), then a program a row over the
    few rivals that matter. Cost O(n^2 D) for the points, and a few passes of O(n D) a program.

    ``terms`` (n, D) distinct rows with entrywise ``errors`` (n,); ``walls`` unit rows and bounds;
    ``integers`` small integer multiples of rows and walls (or empty); ``exact(j)`` the true system
    of row j in rationals, with the label of each of its rows.
    """
    n, dim = terms.shape
    verdicts = np.full(n, AMBIGUOUS, np.int8)
    points = terms - terms.mean(axis=0)
    rows = np.full((n, dim + 1), -1, np.int64)
    weights = np.zeros((n, dim + 1))
    sizes = np.abs(terms).max(axis=1)
    settled = np.zeros(n, np.bool_)
    if n > _CHUNK:
        _try_own_directions(terms, errors, sizes, walls, points, settled)
    verdicts[settled] = LIVE
    todo = np.flatnonzero(~settled)
    stop_flag = np.zeros(1, np.int64)

    def work(start: int) -> int:
        stop = min(start + _CHUNK, len(todo))
        kernel.classify(
            terms,
            errors,
            sizes,
            *walls,
            *integers,
            todo,
            start,
            stop,
            verdicts,
            points,
            rows,
            weights,
            stop_flag,
        )
        return stop - start

    done = len(settled) - len(todo)
    try:
        for count in in_order(work, range(0, len(todo), _CHUNK), threads):
            done += count
            if report is not None:
                report(done, n - done)
    finally:
        stop_flag[0] = 1
    wins = verdicts == LIVE
    open_rows = np.flatnonzero(verdicts == AMBIGUOUS).tolist()
    for j in open_rows:
        system, labels = exact(j)
        verdict = strictly_negative(system)
        rows[j], weights[j] = -1, 0.0
        if verdict.point is not None:
            wins[j] = True
            points[j] = as_doubles(verdict.point)
        for i, (at, weight) in enumerate(zip(verdict.support, verdict.weights, strict=True)):
            rows[j, i] = labels[at]
            weights[j, i] = int(weight.p) / int(weight.q)
    return Reasons(wins, points, rows, weights, len(open_rows))


def _try_own_directions(
    terms: NDArray[np.float64],
    errors: NDArray[np.float64],
    sizes: NDArray[np.float64],
    walls: tuple[NDArray[np.float64], NDArray[np.float64]],
    points: NDArray[np.float64],
    settled: NDArray[np.bool_],
) -> None:
    """Mark rows that win at their own direction, centred or whitened; leave the point there."""
    n, dim = terms.shape
    loss = errors + (dim + 3) * UNIT * sizes
    for directions in _own_directions(terms, len(walls[0]) > 0):
        for start in range(0, n, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, n))
            rows = rows[~settled[rows]]
            z = directions[rows]
            # A rival's lead is known up to its own and the row's rounding, per unit of |z|_1.
            size = np.abs(z).sum(axis=1)
            scores = z @ terms.T
            own = scores[np.arange(len(rows)), rows] - loss[rows] * size
            scores += loss[None, :] * size[:, None]
            scores[np.arange(len(rows)), rows] = -np.inf
            inside = z @ walls[0].T < -(walls[1] + (dim + 2) * UNIT)[None, :] * size[:, None]
            won = rows[(scores.max(axis=1, initial=-np.inf) < own) & inside.all(axis=1)]
            settled[won] = True
            points[won] = directions[won]
        points[~settled] = directions[~settled]


def _own_directions(terms: NDArray[np.float64], walled: bool) -> Iterator[NDArray[np.float64]]:
    """Where row j is likely to win: its offset from the mean, plain and whitened.

    Inside walls the last coordinate is the homogenising one and must be positive: far out along
    the direction, then near.
    """
    centred = terms - terms.mean(axis=0)
    if walled:
        centred = centred[:, :-1]
    whitened = np.linalg.lstsq(centred.T @ centred, centred.T, rcond=None)[0].T
    for directions in (centred, whitened):
        if not walled:
            yield directions
            continue
        reach = np.abs(directions).max(axis=1, keepdims=True)
        yield np.hstack([directions, 0.01 * reach])
        yield np.hstack([directions, reach])


def shared_walls(
    terms: NDArray[np.float64],
    errors: NDArray[np.float64],
    walls: tuple[NDArray[np.float64], NDArray[np.float64]],
    exact: Callable[[int], flint.fmpq_mat],
) -> list[tuple[int, int]]:
    """Pairs of rows, all of them winning somewhere, whose cells share a wall of dimension D - 1.

    Rows i and j do exactly if ``<t_k - t_i, z> < 0`` for all other k has a solution with
    ``<t_j - t_i, z> = 0``. One coordinate is eliminated by that equation, with its rounding
    bounded, and the rest is a strict system again; rationals settle what doubles leave open.
    """
    n, dim = terms.shape
    bounds, rho = walls
    found = []
    for i in range(n):
        rows = np.vstack([bounds, terms - terms[i]])
        loss = np.concatenate([rho, errors + errors[i] + UNIT * np.abs(terms - terms[i]).max(1)])
        for j in range(i + 1, n):
            others = np.ones(len(rows), dtype=bool)
            others[len(bounds) + i] = others[len(bounds) + j] = False
            wall, wall_loss = rows[len(bounds) + j], loss[len(bounds) + j]
            verdict = AMBIGUOUS
            if dim > 1:
                verdict = _on_wall(rows[others], loss[others], wall, wall_loss)
            if verdict == AMBIGUOUS:
                verdict = LIVE if _exactly_on_wall(exact(i), i, j, len(bounds)) else DEAD
            if verdict == LIVE:
                found.append((i, j))
    return found


def _on_wall(
    rows: NDArray[np.float64], loss: NDArray[np.float64], wall: NDArray[np.float64], lost: float
) -> int:
    """Verdict on ``rows . z < 0`` inside ``wall . z = 0``, in doubles."""
    pivot = int(np.abs(wall).argmax())
    size = abs(wall[pivot])
    if not lost < 1e-3 * size:
        return AMBIGUOUS
    factor = rows[:, pivot] / wall[pivot]
    reduced = np.delete(rows - factor[:, None] * wall, pivot, axis=1)
    length = np.sqrt((reduced**2).sum(axis=1))
    if not len(reduced):
        return LIVE
    if not (length > 0).all():
        return AMBIGUOUS
    reach = np.abs(rows).max(axis=1) + np.abs(factor) * size
    bound = 2.02 * (loss + np.abs(factor) * lost) + 8 * UNIT * reach
    width = reduced.shape[1] + 1
    basis, inverse = np.zeros(width, np.int64), np.zeros((width, width))
    reduced = np.ascontiguousarray((reduced / length[:, None]).T)
    rho = 4 * UNIT + 1.01 * bound / length
    verdict = decide(
        reduced,
        rho,
        len(rho),
        width - 1,
        np.zeros(width - 1),
        basis,
        inverse,
        np.zeros(width),
        np.zeros((2, width)),
        np.zeros(len(rho)),
        np.zeros(1, np.int64),
        False,
    )
    if verdict == DEAD and not proves_dead(
        reduced, rho, np.arange(width - 1), width - 1, basis, inverse
    ):
        return AMBIGUOUS
    return int(verdict)


def _exactly_on_wall(system: flint.fmpq_mat, i: int, j: int, walls: int) -> bool:
    """The same in rationals; ``system`` holds the walls, then row k - row i for k != i."""
    at = walls + (j if j < i else j - 1)
    dim = system.ncols()
    wall = [system[at, k] for k in range(dim)]
    pivot = max(range(dim), key=lambda k: abs(wall[k]))
    flat = []
    for row in range(system.nrows()):
        if row != at:
            factor = system[row, pivot] / wall[pivot]
            flat += [system[row, k] - factor * wall[k] for k in range(dim) if k != pivot]
    if dim == 1:
        # The wall is the centre itself, a point of dimension D - 1 = 0.
        return system.nrows() == 1
    return bool(strictly_negative(flint.fmpq_mat(system.nrows() - 1, dim - 1, flat)))
