"""What a stage does to a state in doubles, and a bound on how far that is from the truth (T12).

A state in doubles stands for a true one at a distance of at most ``e``. Where the winners are
proved, the next state is at most ``growth * e + rounding * |(x, 1)|`` off: the map of a piece
stretches the old distance by at most its norm, and adds what it rounds itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tropattn._kernels.propagate import Step
from tropattn._types import Array
from tropattn.arrays import as_fractions, is_exact
from tropattn.tolerance import gamma
from tropattn.tropical.enclosure import Enclosure, joined
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.stage import (
    Linear,
    RoutingStage,
    Scores,
    exact_mean,
    own_values,
    shared_matrix,
    together,
    update_of,
)
from tropattn.tropical.terms import AffineMap

__all__ = ["distinct_values", "norm_bound", "step_of_map", "step_of_stage"]


_LOST = 2.0**-1000
"""More than 10^6 products can lose by underflow."""


def norm_bound(matrix: Array) -> float:
    """An upper bound of the spectral norm: ``|A^T A|`` by the Frobenius norm of its 64th power.

    At most ``rank^(1/256)`` too large. The factor covers rounding: below 10^5 rows or columns a
    squaring loses a part of ``n^(3/2)`` units of its result, and the root takes the smallest share
    of the last one.

    >>> 1 <= norm_bound(np.eye(3)) < 1.01
    True
    """
    size = float(np.sqrt((matrix * matrix).sum()))
    if size == 0 or not np.isfinite(size):
        return size
    power = matrix / size
    power = power.T @ power if len(matrix) > matrix.shape[1] else power @ power.T
    exponent = 0.0
    for k in range(7):
        length = float(np.sqrt((power * power).sum()))
        exponent += np.log(length) / 2**k
        power = (power / length) @ (power / length)
    return 1.001 * size * float(np.exp(exponent / 2))


def _frobenius(array: Array) -> float:
    return 1.000001 * float(np.sqrt((array * array).sum()))


def _largest_rows(rows: Array, starts: Array) -> Array:
    """The largest norm of a row in each unit."""
    norms = 1.000001 * np.sqrt((rows * rows).sum(axis=1))
    return np.array([norms[a:b].max() for a, b in pairwise(starts)])


def _transposed(matrix: Array) -> Array:
    """The transpose with zero rows up to a multiple of four, for the kernel."""
    turned = np.zeros((-(-matrix.shape[1] // 4) * 4, len(matrix)))
    turned[: matrix.shape[1]] = matrix.T
    return turned


def step_of_map(step: AffineMap) -> Step:
    """The step ``x -> x @ matrix + offset`` of a map without units.

    >>> step = step_of_map(AffineMap(np.array([[2.0]]), np.array([1.0])))
    >>> 2 <= step.growth < 2.1, step.rounding < 1e-14
    (True, True)
    """
    nothing = Enclosure.of(np.zeros((1, len(step.offset))))
    return _of_values(Enclosure.of(step.matrix), Enclosure.of(step.offset), [nothing])


def step_of_stage(stage: RoutingStage) -> Step:
    """The step of a stage; terms are the distinct ones of each unit, in ``unit.distinct`` order.

    Raises ``InvalidInput`` for a stage that maps nothing.
    """
    update = update_of(stage)
    if isinstance(update, Scores):
        return _of_scores(stage, update)
    firsts = [unit.distinct[0] for unit in stage.units]
    # Values are added to those of each unit's first term.
    start = Enclosure.of(stage.maps([int(terms[0]) for terms in firsts]).offset)
    if isinstance(update, Linear):
        tables = [Enclosure.of(np.zeros((len(terms), len(start.near)))) for terms in firsts]
    else:
        units = zip(stage.units, update.values, strict=True)
        tables = [_differences(distinct_values(unit, values)) for unit, values in units]
    return _of_values(Enclosure.of(shared_matrix(stage)), start, tables, own_values(stage))


def distinct_values(unit: TropicalPolynomial, values: Array) -> Array:
    """What each distinct term of a unit adds: its value, or the mean of those of equal terms."""
    if len(unit.distinct[0]) == unit.n_terms:
        return values
    rows = [exact_mean(values, together(unit, j)) for j in unit.distinct[0]]
    return np.stack([as_fractions(row) for row in rows] if any(map(is_exact, rows)) else rows)


def _differences(rows: Array) -> Enclosure:
    """Rows minus the first one, to the nearest doubles."""
    if not is_exact(rows):
        with np.errstate(over="ignore", invalid="ignore"):
            near = rows - rows[0]
            part = near - rows
            # What a sum of two doubles loses is one again (Knuth, TAOCP 2, 4.2.2).
            lost = (rows - (near - part)) + (-rows[0] - part)
        if np.isfinite(near).all() and np.isfinite(lost).all():
            return Enclosure(near + 0.0, np.where(lost != 0, np.spacing(np.abs(near)), 0.0))
    exact = as_fractions(rows)
    return Enclosure.of(exact - exact[0])


def _of_values(
    linear: Enclosure,
    offset: Enclosure,
    tables: Sequence[Enclosure],
    moving: Sequence[tuple[int, int, Array]] = (),
) -> Step:
    """``x -> x @ linear + offset +`` one row of each table, and products that move (exact)."""
    matrix = linear.near
    d, width = matrix.shape
    starts = np.cumsum([0, *(len(table.near) for table in tables)])
    values = joined(0, *tables)
    same = d == width and not linear.error.any() and np.array_equal(matrix, np.eye(d))
    keep, growth, stretch = 0.0, 0.0, 0.0
    parts = np.zeros((0, d))
    if same:
        keep = growth = stretch = 1.0
    elif matrix.any():
        parts = _transposed(matrix)
        growth = norm_bound(matrix) + _frobenius(linear.error)
        stretch = _frobenius(matrix)
    # Any of the values that move may be added at once.
    added = [Enclosure.of(part) for _, _, part in moving]
    growth += sum(norm_bound(part.near) for part in added)
    growth += sum(_frobenius(part.error) for part in added)
    size = _frobenius(offset.near) + float(_largest_rows(values.near, starts).sum()) + stretch
    size += sum(_frobenius(part.near) for part in added)
    lost = _frobenius(offset.error) + float(_largest_rows(values.error, starts).sum())
    lost += sum(_frobenius(part.error) for part in added)
    operations = d + len(tables) + len(added) + 4
    rounding = gamma(operations) * size + _frobenius(linear.error) + lost + _LOST
    turned = [_transposed(part.near) for part in added]
    return Step(
        keep,
        np.ascontiguousarray(parts),
        np.ascontiguousarray(offset.near),
        starts.astype(np.int64),
        np.ascontiguousarray(values.near) if values.near.any() else np.zeros((0, width)),
        np.zeros((0, d + 1)),
        np.zeros((0, len(tables))),
        1.000001 * growth,
        1.000001 * rounding,
        np.ascontiguousarray(turned) if turned else np.zeros((0, 0, d)),
        np.array([[h, index] for h, index, _ in moving], dtype=np.int64).reshape(-1, 2),
    )


def _of_scores(stage: RoutingStage, update: Scores) -> Step:
    """``x -> [x +] offset + sum_h score_h * weights_h``."""
    starts = np.cumsum([0, *(len(unit.distinct[0]) for unit in stage.units)])
    terms = joined(0, *(Enclosure(*u.float_terms())[u.distinct[0]] for u in stage.units))
    rows, weights = terms.near, Enclosure.of(update.weights)
    offset = Enclosure.of(update.offset)
    heads, width = weights.near.shape
    d = stage.dim
    keep = 1.0 if update.residual else 0.0
    # Scores of winners are a vector of H numbers; its norm is at most this times |(x, 1)|.
    reach = float(np.sqrt((_largest_rows(rows, starts) ** 2).sum()))
    reach_error = float(np.sqrt((_largest_rows(terms.error, starts) ** 2).sum()))
    spread = norm_bound(weights.near) + _frobenius(weights.error)
    # The rows of any winners are among all rows, so their norm is at most that of all.
    slope = norm_bound(rows[:, :-1]) + _frobenius(terms.error[:, :-1])
    score_loss = gamma(d + 3) * reach + reach_error
    rounding = (
        spread * score_loss
        + _frobenius(weights.error) * reach
        + gamma(heads + 4) * (_frobenius(weights.near) * reach + _frobenius(offset.near) + keep)
        + _frobenius(offset.error)
        + _LOST * (1 + spread)
    )
    padded = np.zeros((-(-len(rows) // 4) * 4, d + 1))
    padded[: len(rows)] = rows
    return Step(
        keep,
        np.zeros((0, d)),
        np.ascontiguousarray(offset.near),
        starts.astype(np.int64),
        np.zeros((0, width)),
        padded,
        _transposed(weights.near),
        1.000001 * (keep + spread * slope),
        1.000001 * rounding,
        np.zeros((0, 0, d)),
        np.zeros((0, 2), np.int64),
    )
