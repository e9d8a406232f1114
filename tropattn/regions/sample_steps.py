"""What a stage does to a state in doubles, and a bound on how far that is from the truth (T12).

A state in doubles stands for a true one at a distance of at most ``e``. Where the winners are
proved, the next state is at most ``growth * e + rounding * |(x, 1)|`` off: the map of a piece
stretches the old distance by at most its norm, and adds what it rounds itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels.propagate import Step
from tropattn.arrays import as_fractions, to_float
from tropattn.errors import InvalidInput
from tropattn.tolerance import gamma
from tropattn.tropical.stage import RoutingStage
from tropattn.tropical.terms import AffineMap

__all__ = ["norm_bound", "step_of_map", "step_of_stage"]

Array = NDArray[Any]

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
    return _of_values(step, [np.zeros((1, len(step.offset)), dtype=object)])


def step_of_stage(stage: RoutingStage) -> Step:
    """The step of a stage; terms are the distinct ones of each unit, in ``unit.distinct`` order.

    Raises ``InvalidInput`` for a stage that maps nothing, or whose map does not add up.
    """
    if stage.readout is not None:
        return _of_scores(stage)
    if stage.maps is None:
        raise InvalidInput(
            "target: layers that map the state needed, got bare polynomials, which route but "
            "map nothing; pass a FixedLayer or a Network."
        )
    firsts = [unit.distinct[0].tolist() for unit in stage.units]
    moving = _moving(stage)
    pattern = [terms[0] for terms in firsts]
    base = stage.maps(pattern)
    start = as_fractions(base.offset)
    linear = base.matrix
    for _, index, matrix in moving:
        if index == 0:
            linear = as_fractions(linear) - matrix
    tables = []
    for h, terms in enumerate(firsts):
        rows = []
        for j in terms:
            offset = stage.maps([*pattern[:h], j, *pattern[h + 1 :]]).offset
            rows.append(as_fractions(offset) - start)
        tables.append(np.array(rows, dtype=object).reshape(len(terms), len(start)))
    last = stage.maps([terms[-1] for terms in firsts])
    ends = linear
    for h, index, matrix in moving:
        if index == len(firsts[h]) - 1:
            ends = as_fractions(ends) + matrix
    if not (
        np.array_equal(last.matrix, ends)
        and (as_fractions(last.offset) == start + sum(rows[-1] for rows in tables)).all()
    ):
        raise InvalidInput(
            "target: stages whose map is a sum over units needed (theory T12), got another; "
            "give the stage a readout, or live terms."
        )
    return _of_values(AffineMap(linear, base.offset), tables, moving)


def _moving(stage: RoutingStage) -> list[tuple[int, int, Array]]:
    """(unit, place among its distinct terms, exact matrix) of the terms whose value moves."""
    found = []
    for term in stage.live:
        classes = stage.units[term.unit].distinct[1]
        index = int(classes[term.term])
        # Equal terms win together, and their values are averaged.
        shared = int((classes == classes[term.term]).sum())
        found.append((term.unit, index, as_fractions(term.matrix) / shared))
    return found


def _of_values(
    base: AffineMap, tables: Sequence[Array], moving: Sequence[tuple[int, int, Array]] = ()
) -> Step:
    """``x -> x @ matrix + offset +`` one row of each table, and products that move (exact)."""
    matrix, matrix_error = to_float(base.matrix)
    d, width = matrix.shape
    starts = np.cumsum([0, *map(len, tables)])
    values, value_error = to_float(np.vstack(tables))
    offset, offset_error = to_float(base.offset)
    same = d == width and not matrix_error.any() and np.array_equal(matrix, np.eye(d))
    keep, growth, stretch = 0.0, 0.0, 0.0
    parts = np.zeros((0, d))
    if same:
        keep = growth = stretch = 1.0
    elif matrix.any():
        parts = _transposed(matrix)
        growth = norm_bound(matrix) + _frobenius(matrix_error)
        stretch = _frobenius(matrix)
    # Any of the values that move may be added at once.
    pairs = [to_float(part) for _, _, part in moving]
    growth += sum(norm_bound(part) for part, _ in pairs)
    growth += sum(_frobenius(error) for _, error in pairs)
    size = _frobenius(offset) + float(_largest_rows(values, starts).sum()) + stretch
    size += sum(_frobenius(part) for part, _ in pairs)
    lost = _frobenius(offset_error) + float(_largest_rows(value_error, starts).sum())
    lost += sum(_frobenius(error) for _, error in pairs)
    operations = d + len(tables) + len(pairs) + 4
    rounding = gamma(operations) * size + _frobenius(matrix_error) + lost + _LOST
    turned = [_transposed(part) for part, _ in pairs]
    return Step(
        keep,
        np.ascontiguousarray(parts),
        np.ascontiguousarray(offset),
        starts.astype(np.int64),
        np.ascontiguousarray(values) if values.any() else np.zeros((0, width)),
        np.zeros((0, d + 1)),
        np.zeros((0, len(tables))),
        1.000001 * growth,
        1.000001 * rounding,
        np.ascontiguousarray(turned) if turned else np.zeros((0, 0, d)),
        np.array([[h, index] for h, index, _ in moving], dtype=np.int64).reshape(-1, 2),
    )


def _of_scores(stage: RoutingStage) -> Step:
    """``x -> [x +] offset + sum_h score_h * weights_h``."""
    readout = stage.readout
    assert readout is not None
    parts, errors = [], []
    for unit in stage.units:
        rows, error = unit.float_terms()
        parts.append(rows[unit.distinct[0]])
        errors.append(error[unit.distinct[0]])
    starts = np.cumsum([0, *map(len, parts)])
    rows, row_error = np.vstack(parts), np.vstack(errors)
    weights, weight_error = to_float(readout.weights)
    offset, offset_error = to_float(readout.offset)
    heads, width = weights.shape
    d = stage.dim
    keep = 1.0 if readout.residual else 0.0
    # Scores of winners are a vector of H numbers; its norm is at most this times |(x, 1)|.
    reach = float(np.sqrt((_largest_rows(rows, starts) ** 2).sum()))
    reach_error = float(np.sqrt((_largest_rows(row_error, starts) ** 2).sum()))
    spread = norm_bound(weights) + _frobenius(weight_error)
    # The rows of any winners are among all rows, so their norm is at most that of all.
    slope = norm_bound(rows[:, :-1]) + _frobenius(row_error[:, :-1])
    score_loss = gamma(d + 3) * reach + reach_error
    rounding = (
        spread * score_loss
        + _frobenius(weight_error) * reach
        + gamma(heads + 4) * (_frobenius(weights) * reach + _frobenius(offset) + keep)
        + _frobenius(offset_error)
        + _LOST * (1 + spread)
    )
    padded = np.zeros((-(-len(rows) // 4) * 4, d + 1))
    padded[: len(rows)] = rows
    return Step(
        keep,
        np.zeros((0, d)),
        np.ascontiguousarray(offset),
        starts.astype(np.int64),
        np.zeros((0, width)),
        padded,
        _transposed(weights),
        1.000001 * (keep + spread * slope),
        1.000001 * rounding,
        np.zeros((0, 0, d)),
        np.zeros((0, 2), np.int64),
    )
