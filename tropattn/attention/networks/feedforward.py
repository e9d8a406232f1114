"""Layers between attention layers: ReLU blocks, maxout layers and affine maps (theory T12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, as_fractions, freeze, is_exact
from tropattn.attention.heads.linear import n_axes, read_vector, shared
from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.stage import Linear, RoutingStage, Scores
from tropattn.values import Value, counted

__all__ = ["Affine", "FeedForward", "Maxout", "read_points"]


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class FeedForward(Value):
    """The map ``x -> [x +] relu(x W_1 + b_1) W_2 + b_2``, a layer of two-term units (theory T12).

    Parameters
    ----------
    W_1, b_1 : (d, m) and (m,); ``b_1`` is zero when None.
    W_2, b_2 : (m, d_out) and (d_out,); ``b_2`` is zero when omitted.
    residual : whether the state itself is added; then ``d_out = d``.

    Raises
    ------
    InvalidInput : shapes that do not fit, NaN or infinity.

    Examples
    --------
    >>> absolute = FeedForward([[1, -1]], [0, 0], [[1], [1]], residual=False)
    >>> absolute([[-3.0], [2.0]]).tolist(), absolute.routing([[-3.0], [2.0]]).tolist()
    ([[3.0], [2.0]], [[0, 1], [1, 0]])
    """

    W_1: Array
    b_1: Array
    W_2: Array
    b_2: Array
    residual: bool

    def __init__(
        self, W_1: Any, b_1: Any, W_2: Any, b_2: Any = None, residual: bool = True
    ) -> None:
        first = shared("W_1", W_1, 2, shape="(d, m)")
        second = shared("W_2", W_2, 2, shape="(m, d_out)")
        if 0 in first.shape or 0 in second.shape:
            raise InvalidInput(
                f"W_1, W_2: at least one row and one column needed, got {first.shape} and "
                f"{second.shape}; tokens multiply weights from the right, x @ W."
            )
        width = first.shape[0] if residual else second.shape[1]
        if second.shape != (first.shape[1], width):
            raise InvalidInput(
                f"W_2: shape ({first.shape[1]}, {width}) needed, got {second.shape}; one row a "
                "unit, and a residual block returns to its own state."
            )
        object.__setattr__(self, "W_1", first)
        object.__setattr__(
            self, "b_1", read_vector("b_1", b_1, first.shape[1], why="one a column of W_1")
        )
        object.__setattr__(self, "W_2", second)
        object.__setattr__(self, "b_2", read_vector("b_2", b_2, width, why="one a column of W_2"))
        object.__setattr__(self, "residual", bool(residual))

    @property
    def dim(self) -> int:
        """Dimension of the state that enters."""
        return self.W_1.shape[0]

    @property
    def d_out(self) -> int:
        """Dimension of the state that leaves."""
        return self.W_2.shape[1]

    def __call__(self, x: Any, temperature: float = 0) -> Array:
        """The block's output, (d_out,) or (m, d_out); temperature concerns attention only.

        Rationals where ``x`` is exact. Raises ``InvalidInput`` for another width or NaN.
        """
        points, single = read_points(x, self.dim)
        arrays = (self.W_1, self.b_1, self.W_2, self.b_2)
        if is_exact(points):
            first, shift, second, last = (as_fractions(a) for a in arrays)
        else:
            first, shift, second, last = (a.astype(np.float64) for a in arrays)
        out = np.maximum(points @ first + shift, 0) @ second + last
        if self.residual:
            out = out + points
        return out[0] if single else out

    def routing(self, x: Any) -> NDArray[np.int64]:
        """Return 1 for each unit that is positive at ``x``, else 0: (m,) or (n, m), exactly."""
        points, single = read_points(x, self.dim)
        return _winners(self._units(), points, single)

    def _units(self) -> tuple[TropicalPolynomial, ...]:
        if not (is_exact(self.W_1) or is_exact(self.b_1)):
            pairs = np.zeros((len(self.b_1), 2, self.dim + 1))
            pairs[:, 1, :-1], pairs[:, 1, -1] = self.W_1.T, self.b_1
            return tuple(TropicalPolynomial(pair[:, :-1], pair[:, -1]) for pair in pairs)
        units = []
        for column, shift in zip(self.W_1.T, self.b_1.tolist(), strict=True):
            slopes = np.array([[0] * self.dim, column.tolist()], dtype=object)
            units.append(TropicalPolynomial(slopes, np.array([0, shift], dtype=object)))
        return tuple(units)

    def stages(self) -> tuple[RoutingStage]:
        """The stage that the engines count: units ``max(0, <w, x> + b)``, 1 for the second term.

        >>> stage, = FeedForward([[1]], [0], [[3]]).stages()
        >>> stage.maps((1,)).matrix.tolist(), stage.maps((0,)).matrix.tolist()
        ([[Fraction(4, 1)]], [[Fraction(1, 1)]])
        """
        return (RoutingStage(self._units(), Scores(self.W_2, self.b_2, self.residual)),)

    def __repr__(self) -> str:
        units = counted(self.W_1.shape[1], "unit")
        return f"FeedForward({units}, R^{self.dim} -> R^{self.d_out})"


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class Maxout(Value):
    """The map ``x -> (max_t <a_it, x> + c_it)_i``, a layer of maxout units (theory T6, T12).

    Parameters
    ----------
    slopes : (units, terms, d); intercepts : (units, terms), zero when omitted.

    Raises
    ------
    InvalidInput : shapes that do not fit, NaN or infinity.

    References
    ----------
    Goodfellow et al. (2013), *Maxout networks*, arXiv 1302.4389.

    >>> Maxout([[[0], [1], [2]]], [[0, -1, -4]])([2.0]).tolist()
    [1.0]
    """

    slopes: Array
    intercepts: Array

    def __init__(self, slopes: Any, intercepts: Any = None) -> None:
        rows = as_array("slopes", slopes, 3, shape="(units, terms, d)")
        if 0 in rows.shape:
            raise InvalidInput(
                f"slopes: shape (units, terms, d), all at least 1, needed, got {rows.shape}; "
                "a unit is a maximum of at least one term."
            )
        if intercepts is None:
            intercepts = np.zeros(rows.shape[:2])
        shifts = as_array("intercepts", intercepts, 2, shape=str(rows.shape[:2]))
        if shifts.shape != rows.shape[:2]:
            raise InvalidInput(
                f"intercepts: shape {rows.shape[:2]} needed, got {shifts.shape}; one a term."
            )
        object.__setattr__(self, "slopes", rows)
        object.__setattr__(self, "intercepts", shifts)

    @property
    def dim(self) -> int:
        """Dimension of the state that enters."""
        return self.slopes.shape[2]

    @property
    def d_out(self) -> int:
        """Number of units."""
        return self.slopes.shape[0]

    def __call__(self, x: Any, temperature: float = 0) -> Array:
        """The units' values, (units,) or (m, units); rationals where ``x`` is exact."""
        points, single = read_points(x, self.dim)
        if is_exact(points):
            rows, shifts = as_fractions(self.slopes), as_fractions(self.intercepts)
        else:
            rows, shifts = self.slopes.astype(float), self.intercepts.astype(float)
        out = np.stack(
            [(points @ a.T + c).max(axis=1) for a, c in zip(rows, shifts, strict=True)], axis=1
        )
        return out[0] if single else out

    def routing(self, x: Any) -> NDArray[np.int64]:
        """Return each unit's winning term, the smallest index on ties: (units,) or (m, units)."""
        points, single = read_points(x, self.dim)
        return _winners(self._units(), points, single)

    def _units(self) -> tuple[TropicalPolynomial, ...]:
        return tuple(
            TropicalPolynomial(a, c) for a, c in zip(self.slopes, self.intercepts, strict=True)
        )

    def stages(self) -> tuple[RoutingStage]:
        """The stage that the engines count: the units themselves."""
        units = self._units()
        same = Scores(freeze(np.eye(len(units))), freeze(np.zeros(len(units))), False)
        return (RoutingStage(units, same),)

    def __repr__(self) -> str:
        units, terms = counted(self.d_out, "unit"), counted(self.slopes.shape[1], "term")
        return f"Maxout({units}, {terms}, R^{self.dim})"


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class Affine(Value):
    """The map ``x -> x @ matrix + offset``, which routes nothing.

    Parameters
    ----------
    matrix : (d, d_out); offset : (d_out,), zero when omitted.

    Raises
    ------
    InvalidInput : shapes that do not fit, NaN or infinity.

    >>> Affine([[2, 0]], [0, 1])([3.0]).tolist()
    [6.0, 1.0]
    """

    matrix: Array
    offset: Array

    def __init__(self, matrix: Any, offset: Any = None) -> None:
        rows = shared("matrix", matrix, 2, shape="(d, d_out)")
        if 0 in rows.shape:
            raise InvalidInput(
                f"matrix: at least one row and one column needed, got shape {rows.shape}; "
                "points are rows, x @ matrix."
            )
        object.__setattr__(self, "matrix", rows)
        object.__setattr__(
            self, "offset", read_vector("offset", offset, rows.shape[1], why="one a column")
        )

    @property
    def dim(self) -> int:
        """Dimension of the state that enters."""
        return self.matrix.shape[0]

    @property
    def d_out(self) -> int:
        """Dimension of the state that leaves."""
        return self.matrix.shape[1]

    def __call__(self, x: Any, temperature: float = 0) -> Array:
        """The image, (d_out,) or (m, d_out); rationals where ``x`` is exact."""
        points, single = read_points(x, self.dim)
        if is_exact(points):
            out = points @ as_fractions(self.matrix) + as_fractions(self.offset)
        else:
            out = points @ self.matrix.astype(float) + self.offset.astype(float)
        return out[0] if single else out

    def routing(self, x: Any) -> NDArray[np.int64]:
        """One column of zeros: the stage has one unit with one term."""
        points, single = read_points(x, self.dim)
        return np.zeros(1 if single else (len(points), 1), dtype=np.int64)

    def stages(self) -> tuple[RoutingStage]:
        """One stage whose only unit has one term, so that it cuts nothing.

        >>> stage, = Affine([[2]]).stages()
        >>> stage.units[0].n_terms, stage.maps((0,)).matrix.tolist()
        (1, [[2.0]])
        """
        still = TropicalPolynomial(np.zeros((1, self.dim)))
        return (RoutingStage((still,), Linear(self.matrix, self.offset)),)

    def __repr__(self) -> str:
        return f"Affine(R^{self.dim} -> R^{self.d_out})"


def read_points(x: Any, width: int) -> tuple[Array, bool]:
    """Read one point (width,) or rows (m, width); the second value tells a single point.

    Raises ``InvalidInput`` for another width, NaN or infinity.

    >>> read_points([1, 2], 2)[0].shape
    (1, 2)
    """
    single = n_axes(x) == 1
    points = as_array("x", [x] if single else x, 2, shape=f"({width},) or (m, {width})")
    if points.shape[1] != width:
        raise InvalidInput(
            f"x: {width} coordinates needed, got {points.shape[1]}; rows are states."
        )
    return points, single


def _winners(
    units: tuple[TropicalPolynomial, ...], points: Array, single: bool
) -> NDArray[np.int64]:
    out = np.column_stack([unit.argmax(points) for unit in units]).astype(np.int64)
    return out[0] if single else out
