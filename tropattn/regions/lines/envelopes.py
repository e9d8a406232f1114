"""The line engine: on a line each head is an upper envelope of affine functions (theory T11).

Doubles drop the keys that are proved to lose and keep a few too many where they do not decide;
rationals then settle what is left, so ties, duplicates and parallel keys are exact. The cells of
all heads are the intervals between the distinct breakpoints.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import envelope
from tropattn._types import Array
from tropattn.arrays import as_fractions, fraction, rational
from tropattn.errors import EngineError, InvalidInput
from tropattn.polyhedra.domain import Domain, as_domain
from tropattn.polyhedra.inner import inner_doubles, inner_point, nearest_double
from tropattn.regions import bounds
from tropattn.regions.question import Engine, Found, Question
from tropattn.regions.result import one_cell
from tropattn.tables import Tabular, winners_by_head
from tropattn.threads import check, in_order, interrupted, stoppable
from tropattn.tolerance import UNIT
from tropattn.tropical.max_affine import on_parameters
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.stage import RoutingStage, stages_of
from tropattn.tropical.terms import moderate
from tropattn.values import Value, counted

__all__ = ["Envelopes", "LineCells", "line_cells"]


class Envelopes(Engine):
    """Intervals of one layer where there is one parameter (theory T11)."""

    name = "line"
    where = "heads on R, any `Line`"
    idea = "upper envelope of each head (T11), breakpoints of all heads merged"
    cost = "`O(N log N)` per head"
    otherwise = "it always can: near-ties are settled in rationals"

    def refuses(self, question: Question) -> str | None:
        """Another number of parameters; a certificate, which only a search of cells can show."""
        if question.proof is not None:
            return (
                "certificate: a search of cells needed, got engine line, whose envelopes leave "
                "none; leave one of the two out, or use engine='enumeration'."
            )
        return _refusal(question.stages, question.domain)

    def count(self, question: Question) -> Found:
        """The number of intervals."""
        (stage,), budget = question.stages, question.budget
        cells = line_cells(stage, question.domain, threads=budget.threads, report=budget.report)
        budget.check(len(cells))
        changes = sum(len(c) for c in cells.changes)
        stats = {"breakpoints": len(cells) - 1, "changes": changes}
        # Merging equal keys for a sharper bound would cost more than the envelopes.
        bound = bounds.layer([unit.n_terms for unit in stage.units], 1)
        return Found(len(cells), stats, self.name, bound)


def _refusal(stages: Sequence[RoutingStage], domain: Domain | None) -> str | None:
    """Why cells are not intervals; None for one layer on R or on a domain with one parameter."""
    if len(stages) == 1 and (stages[0].dim if domain is None else domain.dim) == 1:
        return None
    return (
        "domain: a line needed for one layer of heads, got "
        f"{'R^' + str(stages[0].dim) if domain is None else domain.describe()} and "
        f"{len(stages)} layers; pass a Line, or use count_regions."
    )


@dataclass(frozen=True, eq=False, repr=False)
class LineCells(Tabular, Value):
    """The cells of heads on a line, in order.

    Attributes
    ----------
    breakpoints : (R - 1,) ascending parameters at which some head changes its winner.
    ends : (t_min, t_max) of the open domain, infinite where it has no end.
    winners, changes : of each head, its winning keys in order, and for each change of winner the
        index of its breakpoint.
    errors : (R - 1,) bounds on the rounding of the breakpoints.
    units, window : the heads as polynomials of the parameter, and the exact ends, None for none.
    """

    breakpoints: NDArray[np.float64]
    ends: tuple[float, float]
    winners: tuple[NDArray[np.int32], ...]
    changes: tuple[NDArray[np.int64], ...]
    errors: NDArray[np.float64]
    units: tuple[TropicalPolynomial, ...]
    window: tuple[Fraction | None, Fraction | None]

    def __repr__(self) -> str:
        heads, (low, high) = counted(len(self.winners), "head"), self.ends
        return f"LineCells({counted(len(self), 'cell')} of {heads}, t in ({low:g}, {high:g}))"

    def __len__(self) -> int:
        return len(self.breakpoints) + 1

    @cached_property
    def patterns(self) -> NDArray[np.int32]:
        """Winners of all heads in each cell, (R, H) int32."""
        out = np.empty((len(self), len(self.winners)), np.int32)
        for h, (keys, at) in enumerate(zip(self.winners, self.changes, strict=True)):
            out[:, h] = keys[np.searchsorted(at, np.arange(len(self)), side="left")]
        return out

    def rows(self) -> list[dict[str, Any]]:
        """A row a cell: its number, the winner of each head, and the ends; None for none."""
        ends = [self.ends[0], *self.breakpoints.tolist(), self.ends[1]]
        bounds = [t if math.isfinite(t) else None for t in map(float, ends)]
        return [
            {"cell": r, **winners_by_head(pattern), "low": bounds[r], "high": bounds[r + 1]}
            for r, pattern in enumerate(self.patterns.tolist())
        ]

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Length of each cell in the line's parameter, infinite for an unbounded one, (R,)."""
        return np.diff(np.concatenate([[self.ends[0]], self.breakpoints, [self.ends[1]]]))

    @property
    def midpoints(self) -> NDArray[np.float64]:
        """A parameter strictly inside each cell, (R,), next to it where ``inside`` is False."""
        return self._points[0]

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Whether the midpoint is proved to lie inside, (R,); False where no double does."""
        return self._points[1]

    @cached_property
    def _points(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        low, high = self.ends
        if not len(self.breakpoints) and not np.isfinite(self.ends).any():
            return np.zeros(1), np.ones(1, bool)
        inner = self.breakpoints
        first = inner[:1] if len(inner) else np.array([high if np.isfinite(high) else low])
        last = inner[-1:] if len(inner) else np.array([low if np.isfinite(low) else high])
        with np.errstate(over="ignore", invalid="ignore"):
            left = np.array([low]) if np.isfinite(low) else first - 1.0 - np.abs(first)
            right = np.array([high]) if np.isfinite(high) else last + 1.0 + np.abs(last)
            marks = np.concatenate([left, inner, right])
            middle = marks[:-1] + np.diff(marks) / 2
            ends = [np.spacing(np.abs(left)), self.errors, np.spacing(np.abs(right))]
            error = 1.01 * np.concatenate(ends)
            inside = (middle - marks[:-1] > error[:-1]) & (marks[1:] - middle > error[1:])
        for i in np.flatnonzero(~inside).tolist():
            rows: list[list[Any]] = []
            low, high = self._exact_end(i), self._exact_end(i + 1)
            rows += [] if low is None else [[-1, rational(low)]]
            rows += [] if high is None else [[1, -rational(high)]]
            matrix = flint.fmpq_mat(len(rows), 2, [v for row in rows for v in row])
            (point,) = inner_point(matrix) or (None,)
            assert point is not None
            found = inner_doubles(matrix, [point])
            inside[i] = found is not None
            middle[i] = nearest_double(point) if found is None else found[0]
        return middle, inside

    def _exact_end(self, place: int) -> Fraction | None:
        """The end between cells ``place - 1`` and ``place``, exactly."""
        if place in (0, len(self)):
            return self.window[place > 0]
        for unit, keys, at in zip(self.units, self.winners, self.changes, strict=True):
            i = int(np.searchsorted(at, place - 1))
            if i < len(at) and at[i] == place - 1:
                return _crossing(unit, int(keys[i]), int(keys[i + 1]))
        raise EngineError(f"line: a change of winner needed at breakpoint {place - 1}, got none.")


@dataclass(frozen=True, eq=False)
class _Changes:
    """One head inside the window: winners in order, breakpoints between them, their errors."""

    winners: Array
    breakpoints: Array
    errors: Array
    unit: TropicalPolynomial


@stoppable(one_cell)
def line_cells(
    target: Any,
    domain: Domain | None = None,
    *,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> LineCells:
    """Cells of heads on a line: breakpoints, patterns and lengths (theory T11).

    Parameters
    ----------
    target : heads (``TropicalPolynomial``s or a ``FixedLayer``) on R, or on R^d with a domain.
    domain : a ``Line``, or any domain with one parameter; None is all of R.
    stop : an event that ends the call from another thread, as in ``count_regions``.

    Raises ``InvalidInput`` where the cells are not intervals or the domain is empty.

    Cost ``O(N log N)`` per head of N keys.

    >>> tent = TropicalPolynomial([[-1], [0], [1]], [-1, 0, -1])
    >>> cells = line_cells([tent])
    >>> cells.breakpoints.tolist(), cells.patterns.ravel().tolist()
    ([-1.0, 1.0], [0, 1, 2])
    """
    stages, domain = stages_of(target), as_domain(domain)
    if (refusal := _refusal(stages, domain)) is not None:
        raise InvalidInput(refusal)
    units = on_parameters(stages[0].units, domain)
    low, high = _window(domain)
    ends = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    parts: list[_Changes] = []
    try:
        for part in in_order(lambda unit: _head(unit, low, high), units, threads):
            parts.append(part)
            if report is not None:
                report(1 + max(len(p.breakpoints) for p in parts), len(units) - len(parts))
        values, errors, places = _merged(parts)
    except KeyboardInterrupt:
        raise interrupted(1 + max((len(p.breakpoints) for p in parts), default=0)) from None
    winners = tuple(part.winners for part in parts)
    return LineCells(values, ends, winners, tuple(places), errors, units, (low, high))


def _window(domain: Domain | None) -> tuple[Fraction | None, Fraction | None]:
    """The open interval of a domain with one parameter, exactly."""
    low: Fraction | None = None
    high: Fraction | None = None
    if domain is not None:
        rows, right = domain.walls
        for a, b in zip(as_fractions(rows)[:, 0], as_fractions(right), strict=True):
            if a > 0 and (high is None or b / a < high):
                high = b / a
            elif a < 0 and (low is None or b / a > low):
                low = b / a
            elif a == 0 and b <= 0:
                low, high = Fraction(0), Fraction(0)
        if low is not None and high is not None and not low < high:
            raise InvalidInput(
                f"domain: a non-empty interior needed, got {domain.describe()} with none; "
                "loosen it."
            )
    return low, high


def _head(unit: TropicalPolynomial, low: Fraction | None, high: Fraction | None) -> _Changes:
    """Winners of one head along the window."""
    terms, errors = moderate(*unit.float_terms())
    a, c = np.ascontiguousarray(terms[:, 0]), np.ascontiguousarray(terms[:, 1])
    ea, ec = np.ascontiguousarray(errors[:, 0]), np.ascontiguousarray(errors[:, 1])
    kept = np.empty(len(a), np.int64)
    count, sure = envelope.chain(np.argsort(a, kind="stable"), a, c, ea, ec, kept)
    kept = kept[:count]
    if not sure:
        kept = _exact_chain(unit, np.sort(kept))
    p, q = kept[:-1], kept[1:]
    rise = a[q] - a[p]
    slack = ea[p] + ea[q] + UNIT * np.abs(rise)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        at = (c[p] - c[q]) / rise
        error = (np.abs(at) * slack + ec[p] + ec[q] + UNIT * np.abs(c[p] - c[q])) / (rise - slack)
        error = np.where(rise > 2 * slack, 1.01 * error + 4 * UNIT * np.abs(at), np.inf)
    # Slopes that doubles do not tell apart: the lines still differ, and rationals say where.
    for i in np.flatnonzero(~(np.isfinite(at) & np.isfinite(error))):
        check()
        at[i], error[i] = _near(_crossing(unit, int(p[i]), int(q[i])))
    inside = np.ones(len(at), bool)
    for bound, side in ((low, 1), (high, -1)):
        if bound is None:
            continue
        with np.errstate(over="ignore"):
            beyond = side * (at - float(bound))
        clear = np.abs(beyond) > error + 2 * UNIT * abs(float(bound))
        inside &= np.where(clear, beyond > 0, True)
        for i in np.flatnonzero(~clear):
            check()
            inside[i] &= side * (_crossing(unit, int(p[i]), int(q[i])) - bound) > 0
    hit = np.flatnonzero(inside)
    if len(hit):
        winners = kept[hit[0] : hit[-1] + 2]
    else:
        # One winner throughout: the one whose breakpoints lie on either side.
        ahead = 0
        if low is not None:
            pairs = zip(p.tolist(), q.tolist(), strict=True)
            ahead = sum(_crossing(unit, *pair) <= low for pair in pairs)
        winners = kept[ahead : ahead + 1]
    return _Changes(winners.astype(np.int32), at[hit], error[hit], unit)


def _near(value: Fraction) -> tuple[float, float]:
    """A double near a rational, and how near."""
    try:
        near = float(value)
    except OverflowError:
        near = float(np.finfo(float).max) * (1 if value > 0 else -1)
    apart = abs(Fraction(near) - value)
    try:
        return near, 2 * float(apart)
    except OverflowError:
        return near, float(np.finfo(float).max)


def _crossing(unit: TropicalPolynomial, p: int, q: int) -> Fraction:
    """Where two lines of different slope meet, exactly."""
    (a, c), (b, d) = unit.exact_terms([p, q]).tolist()
    return fraction((c - d) / (b - a))


def _exact_chain(unit: TropicalPolynomial, indices: Array) -> Array:
    """The lines on the upper envelope, among the given ones, in rationals."""
    rows = sorted(
        (a, -c, int(k))
        for k, (a, c) in zip(indices, unit.exact_terms(indices).tolist(), strict=True)
    )
    hull: list[tuple[Any, Any, int]] = []
    for a, minus, k in rows:
        check()
        if hull and hull[-1][0] == a:
            # Parallel: the highest, and of equals the first, came before.
            continue
        c = -minus
        while len(hull) > 1:
            (a0, c0, _), (a1, c1, _) = hull[-2], hull[-1]
            if (c1 - c0) * (a - a0) > (c - c0) * (a1 - a0):
                break
            hull.pop()
        hull.append((a, c, k))
    return np.array([k for _, _, k in hull], np.int64)


def _merged(parts: list[_Changes]) -> tuple[Array, Array, list[Array]]:
    """Distinct breakpoints of all heads, their errors, and for each head the places of its own."""
    values = np.concatenate([p.breakpoints for p in parts])
    errors = np.concatenate([p.errors for p in parts])
    owner = np.repeat(np.arange(len(parts)), [len(p.breakpoints) for p in parts])
    index = np.concatenate([np.arange(len(p.breakpoints)) for p in parts])
    with np.errstate(over="ignore"):
        low, high = values - errors, values + errors
    order = np.argsort(low, kind="stable")
    # Runs of breakpoints whose error intervals overlap are settled in rationals.
    reach = np.maximum.accumulate(high[order]) if len(order) else high
    apart = np.concatenate([[True], low[order][1:] > reach[:-1]]) if len(order) else high
    place = np.cumsum(apart) - 1 if len(order) else np.zeros(0, np.int64)
    if len(order) and not apart.all():
        order, place = _settled(parts, order, place, owner, index)
    distinct = place[-1] + 1 if len(place) else 0
    merged, loss = np.zeros(int(distinct)), np.zeros(int(distinct))
    merged[place], loss[place] = values[order], errors[order]
    # Neighbours may be equal but for rounding; their order is proved, so let doubles show it.
    merged, given = np.maximum.accumulate(merged), merged
    loss += 1.01 * (merged - given)
    places = []
    for h, part in enumerate(parts):
        mine = np.empty(len(part.breakpoints), np.int64)
        chosen = owner[order] == h
        mine[index[order][chosen]] = place[chosen]
        places.append(mine)
    return merged, loss, places


def _settled(
    parts: list[_Changes], order: Array, place: Array, owner: Array, index: Array
) -> tuple[Array, Array]:
    """Order and places with the runs of near-equal breakpoints resolved exactly."""
    new_order, new_place, count = [], [], -1
    starts = np.concatenate([[0], np.flatnonzero(np.diff(place)) + 1, [len(place)]])
    for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        check()
        run = order[a:b].tolist()
        exact = {}
        if len(run) > 1:
            for i in run:
                part, k = parts[owner[i]], int(index[i])
                exact[i] = _crossing(part.unit, int(part.winners[k]), int(part.winners[k + 1]))
            run.sort(key=exact.__getitem__)
        for n, i in enumerate(run):
            if n == 0 or exact[i] != exact[run[n - 1]]:
                count += 1
            new_order.append(i)
            new_place.append(count)
    return np.array(new_order), np.array(new_place)
