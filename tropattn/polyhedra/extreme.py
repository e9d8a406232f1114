"""Which rows of a finite set win somewhere: extreme points, seen from the directions allowed.

Row ``j`` *wins* at ``z`` if ``<t_j, z> > <t_i, z>`` for all other rows. Without walls the winning
rows are the vertices of the hull of the rows; with walls only directions inside them count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import extreme as kernel
from tropattn._kernels import search
from tropattn._kernels.cone import (
    AMBIGUOUS,
    FEASIBLE,
    INFEASIBLE,
    make_simplex,
    proved_verdict,
)
from tropattn._kernels.programs import make_programs, make_tried
from tropattn._kernels.system import System, make_space
from tropattn.polyhedra.cone import as_doubles
from tropattn.polyhedra.inner import nearest_double
from tropattn.polyhedra.strict import primitive_rows, strictly_negative
from tropattn.threads import check, in_order, interrupted
from tropattn.tolerance import UNIT

__all__ = ["Reasons", "WinningRows", "in_single", "shared_walls"]

_CHUNK = 256
_FEW = 32
"""Rows up to which the search for cells decides them, which nearly every command compiles."""

_SINGLE_UNIT = 2.0**-24
"""Unit roundoff of single precision."""

_SINGLE_TINY = 2.0**-126
"""Its smallest normal number: what a product of small numbers may lose."""


@dataclass(frozen=True, slots=True, eq=False)
class Reasons:
    """Per row: whether it wins, a direction where it does, or the combination that forbids it.

    ``rows`` (n, D + 1) other rows of the combination (walls as ``-2 - index``, unused -1) with
    positive ``weights``; ``proved`` directions are proved as they stand, others were rounded from
    exact ones; ``exact_decisions`` counts rows settled in rationals.
    """

    wins: NDArray[np.bool_]
    proved: NDArray[np.bool_]
    points: NDArray[np.float64]
    rows: NDArray[np.int64]
    weights: NDArray[np.float64]
    exact_decisions: int


class WinningRows:
    """A set of rows, of which is asked which ones win; what the answers share is set up once.

    ``terms`` (n, D) distinct rows with entrywise ``errors`` (n,); ``walls`` unit rows and bounds;
    ``integers`` small integer multiples of rows and walls (or empty); ``exact(j, others)`` the true
    walls, then the true rows ``others`` minus row j, in rationals; ``inside`` a point inside the
    walls and whether doubles prove it.
    """

    def __init__(
        self,
        terms: NDArray[np.float64],
        errors: NDArray[np.float64],
        walls: tuple[NDArray[np.float64], NDArray[np.float64]],
        integers: tuple[NDArray[np.int64], NDArray[np.int64]],
        exact: Callable[[int, NDArray[np.int64]], flint.fmpq_mat],
        inside: tuple[NDArray[np.float64], bool],
    ) -> None:
        self.exact, self.inside = exact, inside
        self.given = {
            "terms": terms,
            "errors": errors,
            "walls": walls[0],
            "wall_rho": walls[1],
            "integers": integers[0],
            "wall_integers": integers[1],
        }

    def decided(
        self,
        threads: int | None = None,
        report: Callable[[int, int], None] | None = None,
        chosen: range | None = None,
    ) -> Reasons:
        """Decide every row, or those ``chosen`` alone, each one proved against all others.

        Of many rows each starts at its own direction, whitened; where others win there, those that
        do join a program for it, until a direction or a combination is found. Cost: a few passes
        over the n rows per row, O(n D) each, and O(D^3) for a combination.
        """
        terms, errors, walls = (self.given[name] for name in ("terms", "errors", "walls"))
        n, dim = terms.shape
        chosen = range(n) if chosen is None else chosen
        answers = kernel.Answers(
            np.full(n, AMBIGUOUS, np.int8),
            np.zeros((n, dim)),
            np.full((n, dim + 1), -1, np.int64),
            np.zeros((n, dim + 1)),
        )
        flag = np.zeros(1, np.int64)
        try:
            if n <= _FEW:
                _by_search(self.given, self.inside, answers, flag)
            else:
                self._by_programs(answers, flag, chosen, threads, report)
            proved = answers.verdicts == FEASIBLE
            open_rows = [j for j in chosen if answers.verdicts[j] == AMBIGUOUS]
            for j in open_rows:
                check()
                _settle(j, terms, errors, len(walls), answers, self.exact)
        except KeyboardInterrupt:
            # Some row wins, found or not.
            raise interrupted(max(1, int((answers.verdicts == FEASIBLE).sum()))) from None
        own = slice(chosen.start, chosen.stop)
        return Reasons(
            answers.verdicts[own] == FEASIBLE,
            proved[own],
            answers.points[own],
            answers.rows[own],
            answers.weights[own],
            len(open_rows),
        )

    @cached_property
    def _readings(self) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """What kernels read of the rows, and where each row is likely to win."""
        terms = self.given["terms"]
        centred = terms - terms.mean(axis=0)
        lead = _lead(centred, self.given["errors"])
        readings = {**self.given, "near": in_single(centred), "lead": lead}
        return readings, _own_directions(centred, len(self.given["walls"]) > 0)

    def _by_programs(
        self,
        answers: kernel.Answers,
        flag: NDArray[np.int64],
        chosen: range,
        threads: int | None,
        report: Callable[[int, int], None] | None,
    ) -> None:
        """Decide the chosen rows by programs that share the set, in doubles and in integers."""
        (n, dim), walls = self.given["terms"].shape, len(self.given["walls"])
        readings, answers.points[:] = self._readings

        def work(start: int) -> None:
            stop = min(start + _CHUNK, chosen.stop)
            programs = make_programs(n, dim, dim + 1, walls, stop - start)
            rows, tried = kernel.Rows(**readings), make_tried(readings["near"])
            room = kernel.make_room(dim, n, walls)
            kernel.classify(rows, programs, tried, room, start, stop, answers, flag)

        starts = range(chosen.start, chosen.stop, _CHUNK)
        for at, _ in enumerate(in_order(work, starts, threads, flag)):
            if report is not None:
                left = max(0, len(chosen) - (at + 1) * _CHUNK)
                report(len(chosen) - left, left)


def _by_search(
    given: dict[str, Any],
    inside: tuple[NDArray[np.float64], bool],
    answers: kernel.Answers,
    flag: NDArray[np.int64],
) -> None:
    """The same for few rows, by the search for cells, which needs no kernel of its own.

    Its cells are the rows that win; its log names the combinations, without their weights.
    """
    (n, dim), z = given["terms"].shape, inside[0]
    starts = np.array([0, n])
    system = System(
        **given,
        sizes=np.abs(given["terms"]).max(axis=1),
        starts=starts,
        unit_of=np.zeros(n, np.int64),
        everywhere=np.arange(dim),
        spans=np.zeros((1, dim), np.int64),
        ranks=np.zeros(1, np.int64),
    )
    found = search.make_buffers(1, n, dim, n, n, (n + 1) * (2 * dim + 6) + 12)
    search.search(
        system,
        make_space(starts, len(given["walls"]), dim),
        None,
        search.Out(emit=True, **found),
        np.full(2, -1, np.int32),
        np.stack([z, np.zeros_like(z)]),
        inside[1],
        np.zeros(0, np.bool_),
        n,
        flag,
    )
    cells = found["counters"][search.CELLS]
    wins = found["patterns"][:cells, 0]
    if cells > 1 or inside[1]:
        answers.verdicts[wins] = FEASIBLE
        answers.points[wins] = found["points"][:cells, 0]
    _combine(found["log"][: found["counters"][search.LOGGED]].tolist(), given, answers)


def _combine(log: list[int], given: dict[str, Any], answers: kernel.Answers) -> None:
    """Read rows proved dead from a search's log, and find the weights of their combinations."""
    terms, walls, at = given["terms"], given["walls"], 0
    while log[at] == search.DISCARD:
        j, used = log[at + 2], log[at + 3]
        at += 4
        names = [-2 - log[i + 1] if log[i] < 0 else log[i + 1] for i in range(at, at + 2 * used, 2)]
        at += 2 * used
        rows = [walls[-2 - i] if i < 0 else terms[i] - terms[j] for i in names]
        answers.verdicts[j] = INFEASIBLE
        answers.rows[j, :used] = names
        answers.weights[j, :used] = _positive_relation(np.array(rows))


def _positive_relation(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of at least 0, not all 0, with which the rows add up to 0, but for rounding."""
    from scipy.optimize import nnls

    # By powers of two, so that small integers stay what they are.
    scale = np.ldexp(1.0, -np.frexp(np.abs(rows).max(axis=1))[1])
    system = np.vstack([(rows * scale[:, None]).T, np.ones(len(rows))])
    one = np.eye(len(system))[-1]
    weights, _ = nnls(system, one)
    used = weights > 0
    # Once more for what rounding left over.
    weights[used] += np.linalg.lstsq(system[:, used], one - system @ weights, rcond=None)[0]
    return weights * scale


def in_single(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows in single precision, filled up to a multiple of four with rows that never win.

    >>> in_single(np.ones((3, 1))).ravel().tolist()
    [1.0, 1.0, 1.0, nan]
    """
    near = np.full((-(-len(rows) // 4) * 4, rows.shape[1]), np.nan, np.float32)
    near[: len(rows)] = rows
    return near


def _lead(centred: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """Twice the largest error of a score in single precision, for directions of length 1."""
    dim = centred.shape[1]
    lengths = np.sqrt((centred**2).sum(axis=1))
    given = errors + 2 * UNIT * np.abs(centred).max(axis=1)
    error = 1.01 * (dim + 4) * _SINGLE_UNIT * lengths + 1.01 * np.sqrt(dim) * given
    return 2.0 * float(error.max()) + dim * _SINGLE_TINY


def _own_directions(centred: NDArray[np.float64], walled: bool) -> NDArray[np.float64]:
    """Where row j is likely to win: its offset from the mean, whitened.

    Inside walls the last coordinate is the homogenising one and must be positive.
    """
    whitened = centred @ np.linalg.pinv(centred.T @ centred, hermitian=True)
    if walled:
        reach = np.abs(whitened).max(axis=1)
        whitened[:, -1] = np.maximum(whitened[:, -1], 0.01 * reach)
    return np.ascontiguousarray(whitened)


def _settle(
    j: int,
    terms: NDArray[np.float64],
    errors: NDArray[np.float64],
    walls: int,
    answers: kernel.Answers,
    exact: Callable[[int, NDArray[np.int64]], flint.fmpq_mat],
) -> None:
    """Decide one row in rationals, over the rows that turn out to matter."""
    labels = answers.rows[j][answers.rows[j] >= 0]
    while True:
        system = exact(j, labels)
        verdict = strictly_negative(system)
        if verdict.point is None:
            break
        point = as_doubles(verdict.point)
        doubtful = np.setdiff1d(_not_below(j, terms, errors, point), labels)
        above = exact(j, doubtful) * flint.fmpq_mat(system.ncols(), 1, list(verdict.point))
        joining = [i for at, i in enumerate(doubtful.tolist()) if above[walls + at, 0] >= 0]
        if not joining:
            answers.verdicts[j] = FEASIBLE
            answers.points[j] = point
            return
        labels = np.append(labels, joining)
    names = [*(-2 - i for i in range(walls)), *labels.tolist()]
    answers.verdicts[j] = INFEASIBLE
    answers.rows[j], answers.weights[j] = -1, 0.0
    whole = primitive_rows(system)
    weights = []
    for at, weight in zip(verdict.support, verdict.weights, strict=True):
        # The weight is that of the row's coprime multiple.
        k = next((k for k in range(system.ncols()) if system[at, k] != 0), None)
        weights.append(weight if k is None else weight * whole[at, k] / system[at, k])
    # Rows of any magnitude: relative to the largest weight of a rival.
    size = max(
        (w for at, w in zip(verdict.support, weights, strict=True) if at >= walls), default=1
    )
    for i, (at, weight) in enumerate(zip(verdict.support, weights, strict=True)):
        answers.rows[j, i] = names[at]
        answers.weights[j, i] = nearest_double(weight / size)


def _not_below(
    j: int, terms: NDArray[np.float64], errors: NDArray[np.float64], point: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Rows that doubles do not prove below row j at a point which is itself rounded."""
    apart = terms - terms[j]
    dim = apart.shape[1]
    loss = 1.01 * (errors + errors[j]) + (dim + 8) * UNIT * np.abs(apart).max(axis=1)
    below = apart @ point < -loss * np.abs(point).sum()
    below[j] = True
    return np.flatnonzero(~below)


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
                verdict = FEASIBLE if _exactly_on_wall(exact(i), i, j, len(bounds)) else INFEASIBLE
            if verdict == FEASIBLE:
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
        return FEASIBLE
    if not (length > 0).all():
        return AMBIGUOUS
    reach = np.abs(rows).max(axis=1) + np.abs(factor) * size
    bound = 2.02 * (loss + np.abs(factor) * lost) + 8 * UNIT * reach
    reduced = np.ascontiguousarray((reduced / length[:, None]).T)
    rho = 4 * UNIT + 1.01 * bound / length
    dim, g = reduced.shape
    return int(proved_verdict(reduced, rho, np.zeros(dim), np.arange(dim), make_simplex(dim, g)))


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
