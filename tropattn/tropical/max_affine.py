"""Tropical polynomials ``f(x) = max_j <a_j, x> + c_j``, kept in the factors they were given in.

A head's scores with fixed keys are one (theory T1). Its slopes are products such as ``W_Q k_j``;
rounding these products would change the count of cells, so a polynomial keeps its terms as

    s_j(x) = scale * <key_j, q(x)> + bias_j,      q = a chain of affine maps of x,

and is read in doubles, modulo a prime or in rationals when needed (``terms``).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Self, TypeVar

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import (
    as_array,
    as_fractions,
    fraction_array,
    freeze,
    is_exact,
    is_point,
    is_real,
    listed,
    of_kind,
    rational_matrix,
    to_float,
)
from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.polyhedra.domain import Domain, as_domain, check_space
from tropattn.tolerance import TINY, gamma
from tropattn.tropical.terms import AffineMap, exact_terms, float_terms, modular_terms
from tropattn.values import Value, counted

__all__ = ["MaxAffine", "on_parameters", "with_terms"]

Function = TypeVar("Function", bound="MaxAffine")

_MAX_TERMS = 10**7


class MaxAffine(Value):
    """The convex piecewise linear function ``f(x) = max_j <a_j, x> + c_j``: numbers and values.

    Parameters, errors and examples as for ``TropicalPolynomial``, which adds its geometry. A
    function made of others is of the class of the first one.
    """

    # Instances are immutable; the cached readings below are functions of the frozen factors.
    keys: Array
    biases: Array
    scale: Any
    maps: tuple[AffineMap, ...]
    _PARTS = ("keys", "biases", "scale", "maps")

    def __init__(self, slopes: Any, intercepts: Any = None) -> None:
        keys = as_array("slopes", slopes, 2, shape="(N, d)")
        if keys.shape[0] < 1 or keys.shape[1] < 1:
            raise InvalidInput(
                f"slopes: shape (N, d) with N >= 1 and d >= 1 needed, got {keys.shape}; "
                "a head without keys has no tropical polynomial."
            )
        if intercepts is None:
            biases = freeze(np.zeros(len(keys)))
        else:
            biases = as_array("intercepts", intercepts, 1, shape="(N,)")
        self._set(keys, biases, 1, ())

    def _set(self, keys: Array, biases: Array, scale: Any, maps: tuple[AffineMap, ...]) -> None:
        if len(biases) != len(keys):
            raise InvalidInput(
                f"intercepts: one a term needed ({len(keys)}), got {len(biases)}; "
                "give slopes and intercepts of the same length."
            )
        for name, value in (("keys", keys), ("biases", biases), ("scale", scale), ("maps", maps)):
            object.__setattr__(self, name, value)

    @classmethod
    def factored(
        cls, keys: Any, biases: Any = None, *, scale: Any = 1, maps: tuple[AffineMap, ...] = ()
    ) -> Self:
        """The polynomial ``max_j scale * <key_j, q(x)> + bias_j`` with ``q`` the chain ``maps``.

        ``keys`` (N, k), ``biases`` (N,), ``scale`` a positive number, ``maps`` applied first to
        last. The certified object is the exact product of these given numbers.

        >>> from tropattn.tropical.terms import AffineMap
        >>> q = AffineMap(np.array([[2.0], [0.0]]), np.array([1.0]))      # q(x, y) = 2x + 1
        >>> MaxAffine.factored([[1.0], [3.0]], maps=(q,)).slopes.tolist()
        [[2.0, 0.0], [6.0, 0.0]]
        """
        if not is_real(scale) or not 0 < scale < np.inf:
            raise InvalidInput(
                f"scale: a positive finite number needed, got {scale}; check 1/sqrt(d)."
            )
        steps = listed("maps", maps, "give a tuple of AffineMap, first to last")
        for step in steps:
            of_kind("maps", step, AffineMap, "give a tuple of them, first to last")
        maps = tuple(
            AffineMap(as_array("maps", step.matrix, 2), as_array("maps", step.offset, 1))
            for step in steps
        )
        self = cls(keys, biases)
        width = self.keys.shape[1]
        for step in reversed(maps):
            if step.matrix.shape[1] != width or step.offset.shape != (width,):
                raise InvalidInput(
                    f"maps: a map into R^{width} needed, got matrix {step.matrix.shape} and "
                    f"offset {step.offset.shape}; chain maps from the input to the keys."
                )
            width = step.matrix.shape[0]
        self._set(self.keys, self.biases, scale, tuple(maps))
        return self

    # ---- the three readings -------------------------------------------------------------------

    @property
    def n_terms(self) -> int:
        """Number of terms ``N``, duplicates included."""
        return len(self.keys)

    @property
    def dim(self) -> int:
        """Dimension ``d`` of the variable."""
        return self.maps[0].matrix.shape[0] if self.maps else self.keys.shape[1]

    @cached_property
    def _float(self) -> tuple[Array, Array]:
        terms, errors = float_terms(self.keys, self.biases, self.scale, self.maps)
        return freeze(terms), freeze(errors)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.keys, self.biases, self.scale, self.maps)

    def __eq__(self, other: object) -> bool:
        """Whether both have the same terms in the same order, exactly, whatever their factors."""
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, MaxAffine)
        same_shape = (self.n_terms, self.dim) == (other.n_terms, other.dim)
        return same_shape and self.exact_terms() == other.exact_terms()

    def __hash__(self) -> int:
        first = fraction_array(self.exact_terms(range(min(4, self.n_terms))))
        return hash((self.n_terms, self.dim, tuple(first.ravel().tolist())))

    def float_terms(self) -> tuple[Array, Array]:
        """Rows ``(a_j, c_j)`` in doubles, (N, d + 1), and a bound on each entry's error."""
        return self._float

    def modular_terms(self) -> NDArray[np.int64]:
        """Rows ``(a_j, c_j)`` modulo ``terms.PRIME``, (N, d + 1)."""
        return self._modular

    @cached_property
    def _modular(self) -> NDArray[np.int64]:
        return freeze(modular_terms(self.keys, self.biases, self.scale, self.maps))

    def exact_terms(self, indices: Any = None) -> flint.fmpq_mat:
        """Rows ``(a_j, c_j)`` in rationals, of the given terms or of all."""
        chosen = slice(None) if indices is None else np.asarray(indices, dtype=np.intp)
        return exact_terms(self.keys[chosen], self.biases[chosen], self.scale, self.maps)

    @property
    def slopes(self) -> Array:
        """The ``a_j``, (N, d): as given when given directly, else the rounded product."""
        return self.keys if self._direct else freeze(self._float[0][:, :-1].copy())

    @property
    def intercepts(self) -> Array:
        """The ``c_j``, (N,): as given when given directly, else the rounded product."""
        return self.biases if self._direct else freeze(self._float[0][:, -1].copy())

    @property
    def _direct(self) -> bool:
        return not self.maps and self.scale == 1

    @cached_property
    def distinct(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Merge equal terms: the first index of each class, and the class of every term (T2)."""
        # One number a row: where these differ, rows do. Sums may wrap, of equal rows alike.
        mixed = np.sort(self.modular_terms() @ _mixer(self.dim + 1))
        if (mixed[1:] != mixed[:-1]).all():
            every = freeze(np.arange(self.n_terms))
            return every, every
        _, first, inverse = np.unique(
            self.modular_terms(), axis=0, return_index=True, return_inverse=True
        )
        # Unequal residues prove unequal terms; equal residues are only a suspicion.
        inverse = inverse.ravel()
        representative = first[inverse]
        for j in np.flatnonzero(representative != np.arange(self.n_terms)).tolist():
            pair = self.exact_terms([int(representative[j]), j])
            if any(pair[0, k] != pair[1, k] for k in range(pair.ncols())):
                representative[j] = j
        firsts, classes = np.unique(representative, return_inverse=True)
        return freeze(firsts.astype(np.int64)), freeze(classes.ravel().astype(np.int64))

    # ---- evaluation ---------------------------------------------------------------------------

    def _points(self, x: Any) -> tuple[Array, bool]:
        single = is_point(x)
        points = as_array("x", [x] if single else x, 2, shape="(d,) or (m, d)")
        if points.shape[1] != self.dim:
            raise InvalidInput(
                f"x: {self.dim} coordinates needed, got {points.shape[1]}; "
                "rows are points of the polynomial's variable."
            )
        return points, single

    def scores(self, x: Any) -> Array:
        """All ``s_j(x)`` through the factors: (N,) for one point, (m, N) for rows.

        In doubles; an exact polynomial (one of its arrays holds ``Fraction``) gives rationals at
        exact points (``int`` or ``Fraction``).

        >>> MaxAffine([[1, 0], [0, 1]]).scores([3.0, 5.0]).tolist()
        [3.0, 5.0]
        >>> MaxAffine([[Fraction(1, 3)]]).scores([2]).tolist()
        [Fraction(2, 3)]
        """
        points, single = self._points(x)
        if self._evaluates_exactly(x):
            return freeze(self._exact_scores(points)[0] if single else self._exact_scores(points))
        state = to_float(points)[0]
        with np.errstate(over="ignore", invalid="ignore"):
            for step in self.maps:
                state = state @ to_float(step.matrix)[0] + to_float(step.offset)[0]
            out = float(self.scale) * (state @ to_float(self.keys)[0].T) + to_float(self.biases)[0]
        if not np.isfinite(out).all():
            raise InvalidInput(
                "x: scores below 1.8e308 needed, got larger ones; argmax and winners decide exact "
                "points, or rescale the input."
            )
        return out[0] if single else out

    def __call__(self, x: Any) -> Any:
        """The value ``f(x)``: a number for one point, (m,) for rows; exact as in ``scores``."""
        best = self.scores(x).max(axis=-1)
        return float(best) if isinstance(best, np.floating) else best

    def _evaluates_exactly(self, x: Any) -> bool:
        """Whether both the function and the points ``x`` are exact."""
        factors = (part for step in self.maps for part in (step.matrix, step.offset))
        exact = isinstance(self.scale, Fraction) or any(
            map(is_exact, (self.keys, self.biases, *factors))
        )
        return exact and np.asarray(x).dtype.kind in "iuO"

    def _exact_scores(self, points: Array) -> Array:
        """All scores in rationals, (m, N)."""
        rows = np.column_stack([as_fractions(points), np.ones(len(points), dtype=object)])
        return fraction_array(rational_matrix(rows) * self.exact_terms().transpose())

    def winners(self, x: Any) -> list[NDArray[np.int64]]:
        """For each row of ``x``, all indices that attain the maximum exactly (ties included).

        Doubles decide where the margin exceeds the rounding error, rationals elsewhere.

        >>> [w.tolist() for w in MaxAffine([[1], [2], [1]]).winners([[1.0], [0.0]])]
        [[1], [0, 1, 2]]
        """
        points, _ = self._points(x)
        terms, errors = self._float
        try:
            near = points.astype(np.float64)
        except OverflowError:
            near = np.full(points.shape, np.inf)
        ambient = np.column_stack([near, np.ones(len(points))])
        # Overflow makes a bound infinite or undefined, and rationals then decide.
        with np.errstate(over="ignore", invalid="ignore"):
            scores = ambient @ terms.T
            bound = np.abs(ambient) @ (errors + gamma(self.dim + 3) * (np.abs(terms) + errors)).T
            if is_exact(points):
                bound = bound + np.abs(ambient) @ (2.0**-52 * np.abs(terms)).T
            bound = bound + (self.dim + 2) * TINY
            floor = (scores - bound).max(axis=1)
            above = scores + bound
        out: list[NDArray[np.int64]] = []
        for i, lowest in enumerate(floor):
            close = np.flatnonzero(~(above[i] < lowest))
            out.append(close if len(close) == 1 else self._exact_winners(points[i], close))
        return out

    def _exact_winners(self, point: Array, close: NDArray[np.int64]) -> NDArray[np.int64]:
        column = rational_matrix(np.append(point, 1 if is_exact(point) else 1.0)[:, None])
        values = self.exact_terms(close) * column
        best = max(values[i, 0] for i in range(len(close)))
        return np.array([j for i, j in enumerate(close) if values[i, 0] == best], dtype=np.int64)

    def argmax(self, x: Any) -> Any:
        """The smallest index that attains the maximum, exactly: int, or (m,) int64 for rows."""
        rows, single = self._points(x)
        first = np.array([int(w[0]) for w in self.winners(rows)], dtype=np.int64)
        return int(first[0]) if single else first

    def gap(self, x: Any) -> Any:
        """Distance in score from the winner to the best *different* term; 0 on a wall.

        Equal terms count once; infinite when all terms are equal. Float accuracy, except that a
        tie is exactly 0; exact as in ``scores``. Source: theory T16.
        """
        points, single = self._points(x)
        firsts, classes = self.distinct
        if len(firsts) == 1:
            gaps = np.full(len(points), np.inf)
        elif self._evaluates_exactly(x):
            scores = self._exact_scores(points)[:, firsts]
            gaps = np.array([best - second for *_, second, best in map(sorted, scores)])
            return gaps[0] if single else gaps
        else:
            scores = self.scores(points)[:, firsts]
            top = np.partition(scores, -2, axis=1)
            gaps = top[:, -1] - top[:, -2]
            for i, winning in enumerate(self.winners(points)):
                if len(np.unique(classes[winning])) > 1:
                    gaps[i] = 0.0
        return float(gaps[0]) if single else gaps

    # ---- algebra ------------------------------------------------------------------------------

    def pullback(self, matrix: Any, offset: Any = None) -> Self:
        """The polynomial ``x -> f(x @ matrix + offset)``, the factors kept, nothing multiplied.

        ``matrix`` (k, d) and ``offset`` (d,), zero when omitted.

        >>> f = MaxAffine([[0, 0], [1, 2]]).pullback([[1, 1]])   # along t -> (t, t)
        >>> f.dim, f([2.0])
        (1, 6.0)
        """
        linear = as_array("matrix", matrix, 2, shape="(k, d)")
        shift = np.zeros(linear.shape[1]) if offset is None else offset
        shift = as_array("offset", shift, 1, shape="(d,)")
        if linear.shape[1] != self.dim or shift.shape != (self.dim,) or not len(linear):
            raise InvalidInput(
                f"matrix, offset: shapes (k, {self.dim}) and ({self.dim},) with k >= 1 needed, got "
                f"{linear.shape} and {shift.shape}; points are rows, x @ matrix + offset."
            )
        # Keys and maps have been checked: only the new one is added.
        pulled = object.__new__(type(self))
        pulled._set(self.keys, self.biases, self.scale, (AffineMap(linear, shift), *self.maps))
        return pulled

    def __mul__(self, other: MaxAffine) -> Self:
        """The tropical product, i.e. the sum of the functions; terms in row-major pair order.

        Raises ``BudgetExceeded`` beyond 10^7 terms: count a list of polynomials instead.

        >>> (MaxAffine([[0], [1]]) * MaxAffine([[0], [2]])).slopes.tolist()
        [[0.0], [2.0], [1.0], [3.0]]
        """
        n, m = self.n_terms, _other(self, other).n_terms
        if n * m > _MAX_TERMS:
            raise BudgetExceeded(
                f"product: at most {_MAX_TERMS} terms, got {n} x {m}; "
                "use count_regions([f, g]), which never forms the product."
            )
        first, second = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
        if self._direct and other._direct:
            slopes = _exact_sum(self.keys[first], other.keys[second])
            intercepts = _exact_sum(self.biases[first], other.biases[second])
            if slopes is not None and intercepts is not None:
                return type(self)(slopes, intercepts)
        left, right, maps = _side_by_side(self, other)
        return self.factored(np.hstack([left[first], right[second]]), maps=maps)

    def __add__(self, other: MaxAffine) -> Self:
        """The tropical sum, i.e. the maximum of the functions; terms of ``self`` come first.

        >>> (MaxAffine([[0]]) + MaxAffine([[1]], [-3])).argmax([4.0])
        1
        """
        _other(self, other)
        if self._direct and other._direct:
            return type(self)(_stacked(self.keys, other.keys), _stacked(self.biases, other.biases))
        left, right, maps = _side_by_side(self, other)
        keys = np.vstack(
            [
                np.hstack([left, np.zeros((len(left), right.shape[1]))]),
                np.hstack([np.zeros((len(right), left.shape[1])), right]),
            ]
        )
        return self.factored(keys, maps=maps)

    def __repr__(self) -> str:
        through = f", factored through {counted(len(self.maps), 'map')}"
        how = "" if self._direct else through if self.maps else f", scale {float(self.scale):.6g}"
        return f"{type(self).__name__}({counted(self.n_terms, 'term')} on R^{self.dim}{how})"


@lru_cache(maxsize=64)
def _mixer(size: int) -> NDArray[np.int64]:
    """Fixed large numbers."""
    stream = np.random.Generator(np.random.Philox(size))
    return freeze(stream.integers(-(2**62), 2**62, size))


def on_parameters(units: Sequence[Function], domain: Domain | None) -> tuple[Function, ...]:
    """The units as polynomials of the domain's parameters (factors kept)."""
    if as_domain(domain) is None:
        return tuple(units)
    assert domain is not None
    for unit in units:
        check_space(domain, unit.dim)
    if domain.embedding is None:
        return tuple(units)
    matrix, offset = domain.embedding
    return tuple(unit.pullback(matrix, offset) for unit in units)


def with_terms(f: Function, kept: NDArray[np.int64]) -> Function:
    """The function with some of its terms only, factors kept.

    >>> with_terms(MaxAffine([[0], [1], [2]]), np.array([0, 2])).slopes.tolist()
    [[0.0], [2.0]]
    """
    return f.factored(f.keys[kept], f.biases[kept], scale=f.scale, maps=f.maps)


def _rebuild(kind: type[MaxAffine], keys: Array, biases: Array, scale: Any, maps: Any) -> MaxAffine:
    return kind.factored(keys, biases, scale=scale, maps=maps)


def _other(f: MaxAffine, g: MaxAffine) -> MaxAffine:
    of_kind("operand", g, MaxAffine, "sums and products are those of polynomials")
    if f.dim != g.dim:
        raise InvalidInput(
            f"operand: a polynomial on R^{f.dim} needed, got one on R^{g.dim}; "
            "pull one of them back to the other's variable."
        )
    return g


def _stacked(a: Array, b: Array) -> Array:
    if is_exact(a) != is_exact(b):
        a, b = as_fractions(a), as_fractions(b)
    return np.concatenate([a, b])


def _exact_sum(a: Array, b: Array) -> Array | None:
    """``a + b`` where no rounding happens, else None (Knuth's two-sum finds the lost part)."""
    if is_exact(a) or is_exact(b):
        return as_fractions(a) + as_fractions(b)
    # A sum beyond the doubles has lost something: not a number is true.
    with np.errstate(over="ignore", invalid="ignore"):
        total = a + b
        part = total - a
        lost = (a - (total - part)) + (b - part)
    return None if lost.any() else total


def _side_by_side(f: MaxAffine, g: MaxAffine) -> tuple[Array, Array, tuple[AffineMap, ...]]:
    """Keys of both with scale and bias as coordinates, and the map ``x -> (q_f, 1, q_g, 1)``."""
    depth = max(len(f.maps), len(g.maps), 1)
    maps: list[AffineMap] = []
    for level, (a, b) in enumerate(zip(_padded(f, depth), _padded(g, depth), strict=True)):
        last = level == depth - 1
        ones = np.ones(1) if last else np.zeros(0)
        offset = np.concatenate([a.offset, ones, b.offset, ones])
        width_a, width_b = a.matrix.shape[1], b.matrix.shape[1]
        rows = a.matrix.shape[0] if level == 0 else a.matrix.shape[0] + b.matrix.shape[0]
        matrix = np.zeros((rows, len(offset)), dtype=np.result_type(a.matrix, b.matrix))
        top = slice(0, a.matrix.shape[0])
        bottom = top if level == 0 else slice(a.matrix.shape[0], None)
        matrix[top, :width_a] = a.matrix
        start = width_a + len(ones)
        matrix[bottom, start : start + width_b] = b.matrix
        maps.append(AffineMap(as_array("matrix", matrix, 2), as_array("offset", offset, 1)))
    return _with_constant(f), _with_constant(g), tuple(maps)


def _padded(p: MaxAffine, depth: int) -> list[AffineMap]:
    width = p.keys.shape[1]
    identity = AffineMap(np.eye(width), np.zeros(width))
    return [*p.maps, *[identity] * (depth - len(p.maps))]


def _with_constant(p: MaxAffine) -> Array:
    keys, biases = p.keys, p.biases
    if p.scale != 1:
        # Scale and keys multiply, and doubles would round: the product is kept in rationals.
        keys, biases = as_fractions(keys) * Fraction(p.scale), as_fractions(biases)
    return np.hstack([keys, biases[:, None]])
