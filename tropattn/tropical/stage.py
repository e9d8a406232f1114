"""Routing stages: the one shape in which every layer reaches the counting engines.

A stage is a list of routing units (tropical polynomials of the current state) and, for networks,
its update: what winners do to the state, as tables (theory T12). A list of heads is a stage without
an update. Engines, samplers and bounds see stages only, never tokens or keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, as_fractions, fraction_array, freeze, is_exact, listed, plain
from tropattn.errors import InvalidInput
from tropattn.tropical.affine_state import whole_array
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value, counted

__all__ = [
    "Linear",
    "OwnValue",
    "RoutingStage",
    "Scores",
    "Selected",
    "Update",
    "exact_mean",
    "own_values",
    "shared_matrix",
    "stages_of",
    "together",
    "update_of",
]


_SUMS = 64
"""Linear parts of a layer that are kept, where own values move."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Linear(Value):
    """The update ``x -> x @ matrix + offset`` of every pattern; (d, d_out) and (d_out,)."""

    matrix: Array
    offset: Array

    def __post_init__(self) -> None:
        _keep(self, "matrix", 2)
        _keep(self, "offset", 1)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OwnValue(Value):
    """The value of a head's own token, read from the moving state: ``values[term] + x @ matrix``.

    ``term`` is the own token's place among the head's terms, ``matrix`` (d, d_out) the product
    ``W_V W_O`` of the head; the constant ``b_V W_O`` is the term's row of ``values`` (theory T12).
    """

    term: int
    matrix: Array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Selected(Value):
    """The update ``x -> [x +] offset + sum_h values_h[j_h]`` of an attention layer (theory T12).

    ``values`` are one (N_h, d_out) array per unit, ``offset`` (d_out,). Terms that win together
    give the mean of their values. ``own`` is empty, or one value that moves with the state per
    unit, None where a unit has none.
    """

    values: tuple[Array, ...]
    offset: Array
    residual: bool
    own: tuple[OwnValue | None, ...] = ()
    _sums: dict[tuple[Fraction, ...], Array] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        kept = tuple(_kept(f"values[{h}]", value, 2) for h, value in enumerate(self.values))
        object.__setattr__(self, "values", kept)
        _keep(self, "offset", 1)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scores(Value):
    """The update ``x -> [x +] offset + sum_h s_h(x) * weights_h``, ``s_h`` the winner's score.

    ReLU and maxout layers are of this kind (theory T12). ``weights`` (H, d_out), ``offset``
    (d_out,).
    """

    weights: Array
    offset: Array
    residual: bool

    def __post_init__(self) -> None:
        _keep(self, "weights", 2)
        _keep(self, "offset", 1)


Update = Linear | Selected | Scores


def _keep(update: Update, name: str, axes: int) -> None:
    object.__setattr__(update, name, _kept(name, getattr(update, name), axes))


def _kept(name: str, value: Any, axes: int) -> Array:
    """The array frozen; one that is frozen already is not copied."""
    known = isinstance(value, np.ndarray) and value.ndim == axes and not value.flags.writeable
    return value if known and value.dtype in (np.float64, object) else as_array(name, value, axes)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RoutingStage(Value):
    """Units on one common space, and what each pattern ``(j_1, ..., j_H)`` does to the state.

    ``update`` is None where only the cells are asked for.

    >>> relu = TropicalPolynomial([[0], [1]])
    >>> step = RoutingStage((relu,), Scores(np.array([[3.0]]), np.zeros(1), True)).maps((1,))
    >>> step.matrix.tolist(), step.offset.tolist()       # x + 3 max(0, x), right of 0
    ([[Fraction(4, 1)]], [Fraction(0, 1)])
    """

    units: tuple[TropicalPolynomial, ...]
    update: Update | None = None

    def __repr__(self) -> str:
        how = "no update" if self.update is None else type(self.update).__name__
        return f"RoutingStage({counted(len(self.units), 'unit')} on R^{self.dim}, {how})"

    def __post_init__(self) -> None:
        if not isinstance(self.units, tuple):
            units = listed("target", self.units, "pass a list of polynomials")
            object.__setattr__(self, "units", tuple(units))
        if not self.units:
            raise InvalidInput("target: at least one head needed, got none; pass polynomials.")
        for h, unit in enumerate(self.units):
            if not isinstance(unit, TropicalPolynomial):
                raise InvalidInput(
                    f"target: tropical polynomials needed, got {type(unit).__name__} at {h}; "
                    "build one with TropicalPolynomial(slopes, intercepts)."
                )
            if unit.dim != self.units[0].dim:
                raise InvalidInput(
                    f"target: heads on one space needed, got R^{self.units[0].dim} for head 0 and "
                    f"R^{unit.dim} for head {h}; pull them back to a common variable."
                )
        if self.update is not None:
            _check_update(self.update, self.units)

    @property
    def dim(self) -> int:
        """Dimension of the state that enters the stage."""
        return self.units[0].dim

    def maps(self, pattern: Sequence[Any]) -> AffineMap:
        """The affine map of one pattern, without rounding: in doubles where they hold it.

        An entry of the pattern may be a sequence of tied terms, over which the layer averages.
        Raises ``InvalidInput`` for bare polynomials. Cost ``O(H (d + d_out))``, with scores or own
        values ``O(H d d_out)``.

        >>> step = Selected((np.array([[0.0], [10.0]]),), np.ones(1), True)
        >>> RoutingStage((TropicalPolynomial([[0], [1]]),), step).maps([(0, 1)]).offset.tolist()
        [6.0]
        """
        update = update_of(self)
        if isinstance(update, Linear):
            return AffineMap(update.matrix, update.offset)
        if isinstance(update, Scores):
            return _score_map(update, self.units, pattern)
        tied = [together(unit, choice) for unit, choice in zip(self.units, pattern, strict=True)]
        rows = [exact_mean(value, won) for value, won in zip(update.values, tied, strict=True)]
        entries, below = whole_array(np.stack([update.offset, *rows]))
        width = len(update.offset)
        totals = [sum(entries[c::width]) for c in range(width)]
        linear = shared_matrix(self)
        shares = tuple(
            Fraction(int(own is not None and own.term in won), len(won))
            for own, won in zip(update.own, tied, strict=False)
        )
        if any(shares):
            linear = _moved(update, linear, shares)
        return AffineMap(linear, freeze(_quotients(totals, below)))


def update_of(stage: RoutingStage) -> Update:
    """The update of a stage that has one; raises ``InvalidInput`` for bare polynomials."""
    if stage.update is None:
        raise InvalidInput(
            "target: layers that map the state needed, got bare polynomials, which route but "
            "map nothing; pass a FixedLayer or a Network."
        )
    return stage.update


def together(unit: TropicalPolynomial, choice: Any) -> NDArray[np.intp]:
    """The terms of a unit that win where ``choice`` does: all equal ones (theory T2).

    A choice may also be a sequence of terms that tie on some piece; it stays as it is.
    """
    if np.ndim(choice):
        return np.asarray(choice)
    classes = unit.distinct[1]
    return np.flatnonzero(classes == classes[int(choice)])


def shared_matrix(stage: RoutingStage) -> Array:
    """The linear part that the maps of all patterns share, (d, d_out)."""
    update = update_of(stage)
    if isinstance(update, Linear):
        return update.matrix
    return _identity(stage.dim, len(update.offset), update.residual)


def own_values(stage: RoutingStage) -> list[tuple[int, int, Array]]:
    """Values that move: unit, place among its distinct terms, what they add to the matrix.

    Where ``n`` equal terms win together, each gives an ``n``-th of its value.
    """
    found = []
    for h, own in enumerate(stage.update.own if isinstance(stage.update, Selected) else ()):
        if own is not None:
            unit = stage.units[h]
            tied = len(together(unit, own.term))
            matrix = own.matrix if tied == 1 else as_fractions(own.matrix) * Fraction(1, tied)
            found.append((h, int(unit.distinct[1][own.term]), matrix))
    return found


def _check_update(update: Update, units: Sequence[TropicalPolynomial]) -> None:
    """Raise ``InvalidInput`` where the tables do not fit the units."""
    if not isinstance(update, Update):
        raise InvalidInput(
            f"update: Linear, Selected, Scores or None needed, got {type(update).__name__}; give "
            "what winners do to the state as tables."
        )
    d, width = units[0].dim, len(update.offset)
    square = isinstance(update, Linear) or not update.residual or width == d
    if isinstance(update, Linear):
        got, needed = [update.matrix.shape], [(d, width)]
    elif isinstance(update, Scores):
        got, needed = [update.weights.shape], [(len(units), width)]
    else:
        own = [value.matrix.shape for value in update.own if value is not None]
        got = [*(value.shape for value in update.values), *own]
        needed = [*((unit.n_terms, width) for unit in units), *[(d, width)] * len(own)]
        square = square and len(update.own) in (0, len(units))
    if got != needed or not square:
        raise InvalidInput(
            f"update: arrays of shapes {needed} needed on R^{d}, got {got}; a state is added only "
            "to one as wide as itself."
        )


def _score_map(
    update: Scores, units: Sequence[TropicalPolynomial], pattern: Sequence[Any]
) -> AffineMap:
    """The map of one pattern of winners, multiplied out in rationals."""
    dim, width = units[0].dim, len(update.offset)
    weights, total = as_fractions(update.weights), as_fractions(update.offset).copy()
    matrix = as_fractions(_identity(dim, width, update.residual)).copy()
    for unit, choice, row in zip(units, pattern, weights, strict=True):
        # Tied terms are equal functions, so any of them will do.
        slope = fraction_array(unit.exact_terms([int(np.ravel(choice)[0])]))[0]
        matrix += np.outer(slope[:-1], row)
        total += slope[-1] * row
    return AffineMap(freeze(matrix), freeze(total))


@lru_cache(maxsize=16)
def _identity(rows: int, columns: int, residual: bool) -> Array:
    """The identity, or zeros: one object for all patterns."""
    return freeze(np.eye(rows) if residual else np.zeros((rows, columns)))


def exact_mean(values: Array, chosen: NDArray[np.intp]) -> Array:
    """Mean of the chosen rows with multiplicity, in rationals unless doubles hold it.

    >>> exact_mean(np.array([[1.0], [1.0], [2.0]]), np.array([0, 1, 2])).tolist()
    [Fraction(4, 3)]
    """
    rows = values[chosen]
    if len(rows) == 1 or (rows == rows[0]).all():
        return rows[0]
    total = as_fractions(rows).sum(axis=0) * Fraction(1, len(rows))
    return total if is_exact(values) else plain(total)


def _moved(update: Selected, base: Array, shares: tuple[Fraction, ...]) -> Array:
    """``base + sum share * matrix`` of own values, in doubles where they hold it.

    Equal ones are the same object, as far as they are kept: few occur, for many patterns.
    """
    if shares not in update._sums:
        parts = [
            (share, own.matrix)
            for share, own in zip(shares, update.own, strict=True)
            if share and own is not None
        ]
        total: Array = as_fractions(base)
        for share, part in parts:
            total = total + share * as_fractions(part)
        if not any(is_exact(part) for _, part in parts):
            total = plain(total)
        if len(update._sums) >= _SUMS:
            update._sums.clear()
        update._sums[shares] = freeze(total)
    return update._sums[shares]


def _quotients(totals: Sequence[int], below: int) -> Array:
    """The integers over ``below``: doubles if they hold all of them, else rationals."""
    try:
        near = [n / below for n in totals]
    except OverflowError:
        near = []
    ratios = [v.as_integer_ratio() for v in near]
    if near and all(p * below == n * q for (p, q), n in zip(ratios, totals, strict=True)):
        return np.array(near)
    out = np.empty(len(totals), dtype=object)
    out[:] = [Fraction(n, below) for n in totals]
    return out


def stages_of(target: Any) -> tuple[RoutingStage, ...]:
    """The stages of a polynomial, a sequence of polynomials, a ``FixedLayer`` or a ``Network``."""
    if isinstance(target, TropicalPolynomial):
        return (RoutingStage((target,)),)
    if isinstance(target, RoutingStage):
        return (target,)
    if hasattr(target, "stages"):
        return tuple(target.stages())
    if isinstance(target, Sequence) and not isinstance(target, str | bytes):
        return (RoutingStage(tuple(target)),)
    if hasattr(target, "live_stack"):
        raise InvalidInput(
            f"target: fixed keys needed, got {type(target).__name__}, whose keys are live; those "
            "are counted and enumerated on lines only: use count_regions or enumerate_regions with "
            "a Line."
        )
    raise InvalidInput(
        "target: a TropicalPolynomial, a list of them, a FixedLayer or a Network needed, got "
        f"{type(target).__name__}; build one with TropicalPolynomial or layer.fix(states)."
    )
