"""Domains: the open convex sets on which cells are counted.

A domain is given by strict inequalities ``A p < b`` in parameters ``p``, and by an affine map from
parameters to the ambient space: the identity for boxes and polytopes, an embedding for lines and
slices. ``None`` stands for the whole space everywhere in the package.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.arrays import (
    as_array,
    freeze,
    is_real,
    is_whole,
    rational_matrix,
    to_float,
    unmasked,
)
from tropattn.errors import Degenerate, InvalidInput
from tropattn.values import Value, counted

__all__ = ["Box", "Domain", "Line", "Polytope", "Slice", "as_domain", "check_space", "has_points"]

_LARGEST_POINT = 1e150
_SHOWN = 3


class Domain(Value):
    """An open convex set ``{embed(p) : A p < b}``; use ``Box``, ``Polytope``, ``Line``, ``Slice``.

    Attributes: ``dim`` (of the parameters), ``ambient_dim``, ``walls`` = (A, b), and ``embedding``
    = (matrix (dim, ambient_dim), offset) or None where parameters are ambient coordinates.
    """

    __slots__ = ("_walls", "embedding")
    _walls: tuple[Array, Array]
    embedding: tuple[Array, Array] | None
    _PARTS = ("_walls", "embedding")

    def _set(
        self,
        a: Array,
        b: Array,
        embedding: tuple[Array, Array] | None = None,
        **more: Any,
    ) -> None:
        parts = {"_walls": (freeze(a), freeze(b)), "embedding": embedding, **more}
        for name, part in parts.items():
            object.__setattr__(self, name, part)

    def __str__(self) -> str:
        return self.describe()

    @property
    def dim(self) -> int:
        """Dimension of the parameters."""
        return self._walls[0].shape[1]

    @property
    def ambient_dim(self) -> int:
        """Dimension of the space that the domain lies in."""
        return self.dim if self.embedding is None else self.embedding[0].shape[1]

    @property
    def walls(self) -> tuple[Array, Array]:
        """``(A, b)`` of the strict inequalities ``A p < b`` in the parameters."""
        return self._walls

    def to_ambient(self, parameters: Any) -> Array:
        """Ambient coordinates of parameter rows (m, dim)."""
        p = to_float(as_array("parameters", parameters, 2, shape=f"(m, {self.dim})"))[0]
        if p.shape[1] != self.dim:
            raise InvalidInput(
                f"parameters: {self.dim} coordinates needed, got {p.shape[1]}; rows are points."
            )
        if self.embedding is None:
            return p
        matrix, offset = self.embedding
        return p @ matrix.astype(np.float64) + offset.astype(np.float64)

    def describe(self) -> str:
        """One line for reports and JSON."""
        raise NotImplementedError


class Box(Domain):
    """The open box ``low < x < high`` in R^d; infinite sides are allowed.

    >>> Box([-1, -1], [1, 1]).walls[0].shape
    (4, 2)
    """

    __slots__ = ("high", "low")
    low: Array
    high: Array
    _PARTS = ("_walls", "embedding", "low", "high")

    def __init__(self, low: Any, high: Any) -> None:
        bounds = []
        for name, value in (("low", low), ("high", high)):
            value = unmasked(name, value)
            try:
                side = np.atleast_1d(np.asarray(value))
            except ValueError:
                side = np.zeros((0, 0))
            if side.ndim != 1:
                raise InvalidInput(
                    f"{name}: shape (d,) needed, one number a coordinate, got {str(value)[:80]}; "
                    "give a flat list."
                )
            if side.dtype != object and side.dtype.kind == "f":
                # Infinite sides carry no wall; they are checked apart from the numbers.
                as_array(name, np.where(np.isinf(side), 0.0, side), 1, shape="(d,)")
                bounds.append(freeze(side.astype(np.float64)))
            else:
                bounds.append(as_array(name, side, 1, shape="(d,)"))
        lower, upper = bounds
        if lower.shape != upper.shape or not len(lower):
            raise InvalidInput(
                f"low, high: two arrays of the same length d >= 1 needed, got {lower.shape} and "
                f"{upper.shape}; give one bound a coordinate."
            )
        for k, (a, b) in enumerate(zip(lower.tolist(), upper.tolist(), strict=True)):
            if not a < b:
                raise InvalidInput(
                    f"low, high: low < high needed, got {a} and {b} in coordinate {k}; "
                    "an empty domain has no cells."
                )
        d = len(lower)
        rows, right = [], []
        for k in range(d):
            for sign, value in ((1, upper[k]), (-1, lower[k])):
                if not _infinite(value):
                    rows.append([sign if i == k else 0 for i in range(d)])
                    right.append(sign * value)
        self._set(
            np.array(rows, dtype=np.float64).reshape(-1, d),
            as_array("bounds", np.array(right) if right else np.zeros(0), 1),
            low=lower,
            high=upper,
        )

    def __repr__(self) -> str:
        ends = zip(_doubles(self.low), _doubles(self.high), strict=True)
        sides = [f"[{a:g}, {b:g}]" for a, b in ends]
        if len(set(sides)) == 1:
            return f"Box({sides[0]}{'' if self.dim == 1 else f'^{self.dim}'})"
        if len(sides) <= _SHOWN:
            return f"Box({' x '.join(sides)})"
        return f"Box({sides[0]} x {sides[1]} x ... in R^{self.dim})"

    @classmethod
    def cube(cls, low: float, high: float, dim: int) -> Box:
        """The box with the same bounds in all ``dim`` coordinates."""
        if not is_whole(dim) or not 1 <= dim <= 2**20:
            raise InvalidInput(f"dim: an integer >= 1 needed, got {dim!r}; the number of sides.")
        return cls([low] * dim, [high] * dim)

    @property
    def bounded(self) -> bool:
        """Whether all sides are finite."""
        return not any(_infinite(v) for v in [*self.low.tolist(), *self.high.tolist()])

    def describe(self) -> str:
        """One line for reports and JSON."""
        low, high = set(_doubles(self.low)), set(_doubles(self.high))
        if len(low) == 1 and len(high) == 1:
            return f"box ({low.pop():g}, {high.pop():g})^{self.dim}"
        return f"box in R^{self.dim}"


def _doubles(numbers: Array) -> list[float]:
    """Numbers as a reader sees them, those beyond the doubles as infinite."""
    found = []
    for number in numbers.tolist():
        try:
            found.append(float(number))
        except OverflowError:
            found.append(math.inf if number > 0 else -math.inf)
    return found


def _infinite(value: Any) -> bool:
    return isinstance(value, float) and bool(np.isinf(value))


class Polytope(Domain):
    """The interior ``A x < b`` of a polyhedron in R^d; it may be unbounded.

    Emptiness is decided when cells are counted, in exact arithmetic.

    >>> Polytope([[1, 1], [-1, 0], [0, -1]], [1, 0, 0]).dim
    2
    """

    __slots__ = ()

    def __init__(self, A: Any, b: Any) -> None:
        rows = as_array("A", A, 2, shape="(m, d)")
        right = as_array("b", b, 1, shape="(m,)")
        if len(rows) != len(right) or rows.shape[1] < 1:
            raise InvalidInput(
                f"A, b: shapes (m, d) and (m,) needed, got {rows.shape} and {right.shape}; "
                "one right-hand side a row."
            )
        self._set(rows, right)

    def __repr__(self) -> str:
        return f"Polytope({counted(len(self.walls[1]), 'row')} in R^{self.dim})"

    def describe(self) -> str:
        """One line for reports and JSON."""
        return f"polyhedron with {len(self.walls[0])} rows in R^{self.dim}"


class Line(Domain):
    """The open segment ``origin + t * direction``, ``t_min < t < t_max``; ends may be infinite.

    >>> Line([0, 0], [1, 2], 0, 3).to_ambient([[2.0]]).tolist()
    [[2.0, 4.0]]
    """

    __slots__ = ("window",)
    window: Box
    _PARTS = ("_walls", "embedding", "window")

    def __init__(
        self, origin: Any, direction: Any, t_min: Any = -np.inf, t_max: Any = np.inf
    ) -> None:
        start = as_array("origin", origin, 1, shape="(d,)")
        along = as_array("direction", direction, 1, shape="(d,)")
        zero = not any(v != 0 for v in along.tolist())
        if start.shape != along.shape or zero:
            got = f"shape {along.shape}" if start.shape != along.shape else "zeros only"
            raise InvalidInput(
                f"direction: a non-zero vector of length {len(start)} needed, got {got}; a line "
                "needs a direction."
            )
        window = Box([t_min], [t_max])
        embedding = (freeze(along[None, :].copy()), start)
        self._set(*window.walls, embedding=embedding, window=window)

    def __repr__(self) -> str:
        (low,), (high,) = _doubles(self.window.low), _doubles(self.window.high)
        return f"Line(R^{self.ambient_dim}, {low:g} < t < {high:g})"

    def describe(self) -> str:
        """One line for reports and JSON."""
        (low,), (high,) = _doubles(self.window.low), _doubles(self.window.high)
        return f"line in R^{self.ambient_dim}, t in ({low:g}, {high:g})"


class Slice(Domain):
    """The open piece ``origin + p @ basis``, ``p`` in a window, of a k-dimensional flat in R^d.

    Parameters
    ----------
    origin : (d,); basis : (k, d) of rank k, used as given (it need not be orthonormal).
    window : ``Box`` or ``Polytope`` in R^k, a pair (low, high), or None for the whole flat.
    """

    __slots__ = ("window",)
    window: Domain | None
    _PARTS = ("_walls", "embedding", "window")

    def __init__(self, origin: Any, basis: Any, window: Any = None) -> None:
        start = as_array("origin", origin, 1, shape="(d,)")
        rows = as_array("basis", basis, 2, shape="(k, d)")
        if not len(rows) or rows.shape[1] != len(start):
            raise InvalidInput(
                f"basis: shape (k, {len(start)}) with k >= 1 needed, got {rows.shape}; "
                "one row a direction of the slice."
            )
        if _rank(rows) < len(rows):
            raise InvalidInput(
                f"basis: {len(rows)} independent rows needed, got rank {_rank(rows)}; "
                "drop the dependent directions."
            )
        if window is None:
            walls = (np.zeros((0, len(rows))), np.zeros(0))
        else:
            window = _window(window, len(rows))
            if window.dim != len(rows) or window.embedding is not None:
                raise InvalidInput(
                    f"window: a Box or Polytope in R^{len(rows)} needed, got "
                    f"{window.describe()}; it bounds the slice's parameters."
                )
            walls = window.walls
        self._set(*walls, embedding=(rows, start), window=window)

    def __repr__(self) -> str:
        where = "no window" if self.window is None else f"window {self.window!r}"
        return f"Slice({self.dim} of {self.ambient_dim} dimensions, {where})"

    @classmethod
    def through(cls, points: Any, margin: float = 0.2) -> Slice:
        """The flat through k + 1 given points, windowed to their box widened by ``margin``.

        The basis is orthonormal in doubles (these doubles are the given data of the slice); the
        window is the points' bounding box in its coordinates, widened by ``margin`` times its
        larger side.

        >>> Slice.through([[0, 0, 0], [2, 0, 0], [0, 2, 0]], margin=0.5).window.low.tolist()
        [-1.0, -1.0]
        """
        rows = to_float(as_array("points", points, 2, shape="(k + 1, d)"))[0]
        if not is_real(margin) or not 0 <= margin <= _LARGEST_POINT:
            raise InvalidInput(f"margin: a number >= 0 needed, got {margin!r}; 0.2 is a fifth.")
        if np.abs(rows).max(initial=0) > _LARGEST_POINT:
            raise InvalidInput(
                f"points: coordinates up to {_LARGEST_POINT:g} needed, got "
                f"{np.abs(rows).max():g}; their products leave the doubles: rescale them."
            )
        if len(rows) < 2:
            raise InvalidInput(
                f"points: at least 2 points needed, got {len(rows)}; 3 points span a plane."
            )
        edges = rows[1:] - rows[0]
        if _rank(edges) < len(edges):
            raise Degenerate(
                f"points: {len(rows)} points in general position needed, got {len(rows)} on a flat "
                f"of dimension {_rank(edges)}; choose other points."
            )
        q, r = np.linalg.qr(edges.T)
        basis = (q * np.sign(np.diag(r))).T
        parameters = np.vstack([np.zeros(len(edges)), edges @ basis.T])
        low, high = parameters.min(axis=0), parameters.max(axis=0)
        widen = margin * float((high - low).max())
        return cls(rows[0], basis, Box(low - widen, high + widen))

    def describe(self) -> str:
        """One line for reports and JSON."""
        where = "" if self.window is None else f", window {self.window.describe()}"
        return f"{self.dim}-dimensional slice of R^{self.ambient_dim}{where}"


def _window(value: Any, dim: int) -> Domain:
    """The window of a slice: a domain, or a pair (low, high)."""
    if isinstance(value, Domain):
        return value
    try:
        low, high = value
    except (TypeError, ValueError):
        raise InvalidInput(
            f"window: a Box or Polytope in R^{dim}, or a pair (low, high) needed, got "
            f"{str(value)[:80]!r}; it bounds the slice's parameters."
        ) from None
    return Box(low, high)


def has_points(domain: Domain | None) -> bool:
    """Whether a domain's construction has proved that it is not empty: all but polytopes.

    >>> has_points(None), has_points(Polytope([[1], [-1]], [0, 0]))
    (True, False)
    """
    window = domain.window if isinstance(domain, Line | Slice) else domain
    return not isinstance(window, Polytope)


def as_domain(value: Any) -> Domain | None:
    """Return a domain, or None for the whole space; anything else is ``InvalidInput``.

    >>> as_domain(Box([0], [1])).dim
    1
    """
    if value is None or isinstance(value, Domain):
        return value
    raise InvalidInput(
        f"domain: a Box, Polytope, Line or Slice, or None for the whole space needed, got "
        f"{type(value).__name__}; build one, e.g. Box(low, high)."
    )


def check_space(domain: Domain | None, dim: int) -> None:
    """Raise ``InvalidInput`` for a domain that does not lie in R^dim."""
    if domain is not None and domain.ambient_dim != dim:
        raise InvalidInput(
            f"domain: a set in R^{dim} needed, got {domain.describe()}; "
            "domain and target must share their variable."
        )


def _rank(rows: Array) -> int:
    return rational_matrix(rows).rank()
