"""A network of ReLU and affine layers as levels of rows, in doubles with error bounds (T12).

A *level* holds the units of one layer: functions ``f @ weights + shifts`` of the features f before
it, which are the plane's parameters at first, later the positive parts of a level's units and,
where a layer has a residual, the state that it carried along. Affine layers and output weights are
multiplied into the next level; what that rounds is bounded, and known to be nothing where all
numbers are small multiples of one power of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tropattn._kernels import relu_rows
from tropattn._types import Array
from tropattn.arrays import as_fractions, to_float
from tropattn.polyhedra.domain import Domain
from tropattn.tropical.enclosure import Enclosure, joined
from tropattn.tropical.stage import RoutingStage, Scores

__all__ = ["is_affine", "is_relu", "packed_levels"]


_EXACT = 2.0**52


def _grid(part: Enclosure) -> float:
    """The largest power of two that all entries are multiples of; 0 where they are rounded."""
    if part.error.any():
        return 0.0
    fraction, exponent = np.frexp(part.near[part.near != 0])
    if not len(fraction):
        return 1.0
    digits = np.ldexp(fraction, 53).astype(np.int64)
    return float(np.ldexp((digits & -digits).astype(np.float64), exponent - 53).min())


def _product(one: Enclosure, two: Enclosure) -> Enclosure:
    """``one @ two``, exact where all sums are small multiples of one power of two."""
    for given, other in ((one, two), (two, one)):
        square = given.near.shape[0] == given.near.shape[1] and not given.error.any()
        if square and (given.near == np.eye(len(given.near))).all():
            return other
    sums = (np.abs(one.near) + one.error) @ (np.abs(two.near) + two.error)
    if sums.max(initial=0.0) < _EXACT * (_grid(one) * _grid(two)):
        return Enclosure(one.near @ two.near, np.zeros(sums.shape))
    return one @ two


def _sum(one: Enclosure, two: Enclosure) -> Enclosure:
    """``one + two``, exact in the same case."""
    near = one.near + two.near
    if np.abs(near).max(initial=0.0) < _EXACT * min(_grid(one), _grid(two)):
        return Enclosure(near, np.zeros(near.shape))
    return one + two


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The rows of a level: ``units`` of them, then the state that is carried along."""

    weights: Enclosure
    shifts: Enclosure
    units: int
    lines: NDArray[np.int64]


def is_relu(stage: RoutingStage) -> bool:
    """Whether the units are ``max(0, <w, x> + b)`` and their values make the next state."""
    return isinstance(stage.update, Scores) and all(
        unit.n_terms == 2
        and not unit.maps
        and unit.scale == 1
        and not unit.keys[0].any()
        and unit.biases[0] == 0
        for unit in stage.units
    )


def is_affine(stage: RoutingStage) -> bool:
    """Whether the stage maps the state and routes nothing."""
    return stage.update is not None and all(unit.n_terms == 1 for unit in stage.units)


def _levels(stages: Sequence[RoutingStage], domain: Domain) -> list[_Level]:
    """The levels of a network, the state at first being the domain's embedded parameters."""
    step, shift = domain.embedding or (np.eye(stages[0].dim), np.zeros(stages[0].dim))
    matrix, offset = Enclosure.of(step), Enclosure.of(shift[None, :])
    levels: list[_Level] = []
    for stage in stages:
        update = stage.update
        if not (is_relu(stage) and isinstance(update, Scores)):
            given = stage.maps((0,) * len(stage.units))
            linear, shift = Enclosure.of(given.matrix), Enclosure.of(given.offset[None, :])
            matrix, offset = _product(matrix, linear), _sum(_product(offset, linear), shift)
            continue
        slopes, biases = _units(stage)
        linear, shift = Enclosure.of(slopes.T), Enclosure.of(biases[None, :])
        weights, shifts = _product(matrix, linear), _sum(_product(offset, linear), shift)
        out = Enclosure.of(update.weights)
        if update.residual:
            weights, shifts = joined(1, weights, matrix), joined(1, shifts, offset)
            out = joined(0, out, Enclosure.of(np.eye(stage.dim)))
        lines = _lines(np.column_stack([slopes, biases]))
        levels.append(_Level(weights, shifts, len(stage.units), lines))
        matrix, offset = out, Enclosure.of(update.offset[None, :])
    return levels


def _units(stage: RoutingStage) -> tuple[Array, Array]:
    """Slopes (n, d) and biases (n,) of ReLU units."""
    rows = [unit.keys[1] for unit in stage.units]
    biases = [unit.biases[1] for unit in stage.units]
    if any(row.dtype == object for row in rows) or any(isinstance(b, Fraction) for b in biases):
        rows = [as_fractions(row) for row in rows]
        biases = as_fractions(np.array(biases, dtype=object))
    slopes, shifts = np.array(rows), np.array(biases)
    # A unit that is 0 everywhere might as well be -1 everywhere: it has no sign to be proved.
    shifts[(slopes == 0).all(axis=1) & (shifts == 0)] = -1
    return slopes, shifts


def _lines(rows: Array) -> NDArray[np.int64]:
    """For each row the first one that is a multiple of it, so that both vanish on one wall."""
    out = np.arange(len(rows), dtype=np.int64)
    near = to_float(rows)[0]
    size = np.abs(near).max(axis=1)
    proper = np.flatnonzero((size > 0) & np.isfinite(size))
    # Multiples have the same quotient of two fixed combinations, but for rounding.
    mixer = np.sqrt(np.arange(2.0, 2 * near.shape[1] + 2)).reshape(-1, 2)
    mixed = (near[proper] / size[proper, None]) @ mixer
    angle = np.arctan2(mixed[:, 0], mixed[:, 1]) % np.pi
    order = proper[np.argsort(angle, kind="stable")].tolist()
    angles = np.sort(angle).tolist()
    for place, i in enumerate(order):
        before = place - 1
        while before >= 0 and angles[place] - angles[before] < 1e-9:
            j = order[before]
            if _proportional(rows[i], rows[j]):
                low, high = sorted((int(out[i]), int(out[j])))
                out[out == high] = low
                break
            before -= 1
    return out


def _proportional(one: Array, two: Array) -> bool:
    a, b = ([Fraction(v) for v in row.tolist()] for row in (one, two))
    k = next(i for i, v in enumerate(a) if v)
    return b[k] != 0 and all(a[k] * y == b[k] * x for x, y in zip(a, b, strict=True))


def packed_levels(stages: Sequence[RoutingStage], domain: Domain) -> relu_rows.Levels:
    """The levels of a network on a plane as the kernel's arrays.

    Stages must be ``is_relu`` or ``is_affine``, one of them ReLU; what follows the last ReLU layer
    cuts nothing and is left out. Cost: the products of consecutive layers' weights.
    """
    levels = _levels(stages, domain)
    depth = len(levels)
    # Nothing follows the last level, so it carries no state on.
    rows = [level.weights.near.shape[1] for level in levels[:-1]] + [levels[-1].units]
    width = max(rows)
    first, weights = np.zeros((3, width)), np.zeros((max(depth - 1, 1), width, width))
    shifts, lines = np.zeros((depth, width)), np.zeros((depth, width), np.int64)
    reach, blur, size, size_error, grid = np.zeros((5, depth))
    start = joined(0, levels[0].weights, levels[0].shifts)
    first[:, : rows[0]] = start.near[:, : rows[0]]
    grid[0] = min(_grid(start), 1.0)
    for at, level in enumerate(levels):
        lines[at, : level.units] = level.lines
        if at:
            near, error = level.weights.near[:, : rows[at]], level.weights.error[:, : rows[at]]
            weights[at - 1, : len(near), : rows[at]] = near
            shifts[at, : rows[at]] = level.shifts.near[0, : rows[at]]
            reach[at] = np.abs(near).sum(axis=0).max() * (1 + 1e-9)
            blur[at] = error.sum(axis=0).max() * (1 + 1e-9)
            size[at] = np.abs(level.shifts.near).max()
            size_error[at] = level.shifts.error.max()
            grid[at] = min(_grid(level.weights) * grid[at - 1], _grid(level.shifts), 1.0)
    return relu_rows.Levels(
        first,
        start.error.max(axis=1),
        weights,
        shifts,
        np.array([level.units for level in levels]),
        np.array(rows),
        reach,
        blur,
        size,
        size_error,
        grid,
        lines,
    )
