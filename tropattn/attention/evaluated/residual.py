"""Steering the residual: how far what enters a norm is from making heads choose given keys.

A norm sends the residual ``r`` to ``gamma * u + beta``, ``u = P r / s(r)``, where ``P`` centres
(LayerNorm) or does nothing (RMSNorm) and ``s(r) = sqrt(|P r|^2 / d + eps)``. A key's lead over
another behind it is ``(<m, r> + k s(r)) / s(r)`` with constants ``m`` and ``k``. Where all ``k``
are 0 the cells are cones, and the least vector is exact. Else ``s`` is bounded from both sides by
affine functions near the residual, which gives a lower bound that rationals prove, and a vector
found by linearising again and again gives an upper one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import flint
import numpy as np

from tropattn._types import Floats
from tropattn.arrays import fraction, freeze, rational, to_float
from tropattn.attention.evaluated.norms import Norm
from tropattn.errors import Inconclusive, InvalidInput
from tropattn.polyhedra.nearest import Shortest
from tropattn.tropical.max_affine import MaxAffine
from tropattn.tropical.stage import stages_of
from tropattn.tropical.steering import (
    WantedCell,
    empty,
    read_keys,
    read_margin,
    read_state,
    root,
    steer,
)
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value

__all__ = ["ResidualSteering", "steer_residual"]

_ROUNDS = 60
_HALVINGS = 30
_DRAWN, _STARTS = 512, 4
"""Directions drawn where linearising finds nothing, and how many of them are tried."""

_CLOSE = 0.98
"""Lower bounds in parts of upper ones that are close enough."""

_FEASIBLE = 1e-10
"""What tangents may leave of a convex lead, in parts of the norm's size."""

_GENEROUS = 2.0**-30
"""Far above the rounding of a score of some thousand products."""

_FINE = 2**60
"""Parts of the norm's size to which its root is enclosed."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ResidualSteering(Value):
    """A vector that makes heads behind a norm choose given keys, and bounds of the least one.

    Attributes
    ----------
    keys : {head: key}, as asked for.
    lower, upper : no vector shorter than ``lower`` does it, and one of length ``upper`` does.
    squared : the square of the least length where it is exact (cells are cones), else None; then
        ``lower`` and ``upper`` are both its root.
    vector : (d,) doubles, which does it, by a proof in rationals.
    residual : (d,) the residual plus ``vector``.
    """

    keys: Mapping[int, int]
    lower: float
    upper: float
    squared: Fraction | None
    vector: Floats
    residual: Floats

    def __repr__(self) -> str:
        keys = ", ".join(f"head {h}: key {j}" for h, j in self.keys.items())
        how = (
            f"{self.lower:.6g}"
            if self.squared is not None
            else (f"{self.lower:.6g}..{self.upper:.6g}")
        )
        return f"ResidualSteering({keys}; distance {how})"


def steer_residual(
    target: Any,
    norm: Norm,
    residual: Any,
    keys: Any,
    *,
    projection: AffineMap | None = None,
    margin: float = 0.01,
) -> ResidualSteering:
    """Bound the least ``w`` with which ``norm(residual + w)`` makes heads choose given keys.

    Parameters
    ----------
    target, keys, margin : as for ``steer``; the variable of ``target`` is what leaves the norm.
    norm, projection : what the residual goes through (the projection of ALBERT behind the norm).
    residual : (d,) doubles.

    Returns
    -------
    ResidualSteering
        Exact where the scores are homogeneous in the normed state (RMSNorm and no biases, say):
        cells are then cones of the residual. Else a lower and an upper bound.

    Raises
    ------
    InvalidInput, Degenerate : as ``steer``.
    Inconclusive : no vector was found, as for a key that normalised states do not reach.

    Notes
    -----
    Bounds: ``(<Pr, Pr'> / d + eps) / t <= s(r) <= (s(r)^2 + t^2) / 2 t`` for ``t >= s(r')``, by
    Cauchy and Schwarz and by the two means; the lower bound of the program that they leave is that
    of its dual weights, taken in rationals. The vector is tested in rationals: the sign of ``a + k
    s`` is that of a comparison of squares. Cost: some dozen least-distance programs in doubles.

    Examples
    --------
    >>> from tropattn.attention.evaluated.norms import LayerNorm, RMSNorm
    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> f = TropicalPolynomial([[1, 0], [0, 1]])
    >>> steer_residual(f, RMSNorm([1, 1]), [3.0, 1.0], {0: 1}).squared     # to the line x = y
    Fraction(2, 1)
    >>> shifted = TropicalPolynomial([[1, 0], [0, 1]], [0.0, 0.5])
    >>> found = steer_residual(shifted, RMSNorm([1, 1], eps=0), [3.0, 1.0], {0: 1})
    >>> found.squared, 0.96 < found.lower / found.upper <= 1
    (None, True)
    """
    units = tuple(stages_of(target)[0].units)
    if projection is not None:
        units = tuple(unit.pullback(projection.matrix, projection.offset) for unit in units)
    if units[0].dim != norm.width:
        raise InvalidInput(
            f"norm: one of width {units[0].dim} needed, got {norm.width}; it feeds these heads."
        )
    point = to_float(read_state(units, residual))[0]
    wanted = read_keys(units, keys)
    program = _Leads(units, norm, point, wanted)
    if program.homogeneous:
        cones = {h: _cone(units[h], norm) for h in wanted}
        heads = [cones.get(h, units[h]) for h in range(len(units))]
        found = steer(heads, point, wanted, margin=margin)
        length = found.distance
        return ResidualSteering(
            wanted, length, length, found.squared, found.vector, to_float(found.state)[0]
        )
    slack = read_margin(margin)
    vector = program.vector(program.starts(), slack)
    if vector is None or program.lower(float(np.linalg.norm(vector))) < _CLOSE * np.linalg.norm(
        vector
    ):
        # Bounds that far apart may come from a vector that is the least only near its start.
        vector = program.vector(program.drawn(), slack, vector)
    if vector is None:
        cell = WantedCell(units, norm(point[None, :])[0], wanted)
        least = cell.least()
        if least.vector is None:
            raise empty(cell, least)
        raise Inconclusive(
            "keys: a pattern that a normalised state has needed, and none was found; the state "
            "itself, without the norm, can be steered there."
        )
    upper = float(np.linalg.norm(vector))
    lower = program.lower(upper)
    return ResidualSteering(wanted, lower, upper, None, vector, point + vector)


def _without_constants(f: MaxAffine) -> MaxAffine:
    """The linear part of a polynomial, in its factors."""
    maps = tuple(AffineMap(step.matrix, freeze(np.zeros(len(step.offset)))) for step in f.maps)
    return f.factored(f.keys, None, scale=f.scale, maps=maps)


def _cone(f: MaxAffine, norm: Norm) -> MaxAffine:
    """The polynomial of the residual with the same cells, ``d`` times as large where it centres."""
    linear = _without_constants(f).pullback(np.diag(norm.weight.astype(np.float64)))
    if not norm.centred:
        return linear
    width = norm.width
    return linear.pullback(width * np.eye(width) - 1.0)


class _Leads:
    """The leads ``<m_i, r> + k_i s(r)`` of rivals over the keys asked for, round a residual."""

    def __init__(self, units: Any, norm: Norm, point: Floats, keys: Mapping[int, int]) -> None:
        self.norm, self.point = norm, point
        self.gamma = norm.weight.astype(np.float64)
        # At the norm's centre the right sides of the rows are the constants k.
        self.cell = WantedCell(units, norm.shift.astype(np.float64), keys)
        names = range(len(self.cell.names))
        self.constants = self.cell.near[:, -1]
        doubtful = np.abs(self.constants) <= self.cell.errors[:, -1]
        self.homogeneous = bool(doubtful.all()) and all(
            row[-1] == 0 for row in self.cell.exact(names).tolist()
        )
        normals = self.cell.near[:, :-1] * self.gamma
        self.normals = self._centred(normals)
        # Above the entries of a row and of its centring, with what rounding may have lost of both.
        self.reach = np.abs(normals) + self.cell.errors[:, :-1] * np.abs(self.gamma)
        self.lost = self.cell.errors * np.append(np.abs(self.gamma), 1.0)
        if not self._size(point) > 0:
            raise InvalidInput(
                "residual: one that its norm can divide by needed, got one of size 0; give another."
            )

    def _centred(self, rows: Floats) -> Floats:
        return rows - rows.mean(axis=-1, keepdims=True) if self.norm.centred else rows

    def _size(self, r: Floats) -> float:
        return math.sqrt(float(np.mean(self._centred(r) ** 2)) + self.norm.eps)

    # ---- above ----------------------------------------------------------------------------------

    def vector(
        self, starts: Sequence[Floats], margin: float, known: Floats | None = None
    ) -> Floats | None:
        """The shortest vector from some starts that does it, proved; None where none was found."""
        found = [known, *(self._beyond(start, margin) for start in starts)]
        vectors = [vector for vector in found if vector is not None]
        return min(vectors, key=lambda vector: float(np.linalg.norm(vector)), default=None)

    def starts(self) -> list[Floats]:
        """Vectors from which to linearise: none, and one to a normed state inside the cell.

        That state is the nearest with some lead, brought back to the sphere by what no row sees.
        """
        starts = [np.zeros(len(self.point))]
        size, width = self._size(self.point), self.norm.width
        centred = self._centred(self.point) / size
        program = Shortest(np.column_stack([self.normals, self.normals @ centred + self.constants]))
        moved, _ = program.at(1e-3 * float(np.abs(self._leads(self.point)).max()) / size)
        if moved is None:
            return starts
        seen = program.basis.T @ (program.basis @ (centred + moved))
        unseen = centred + moved - seen
        left, length = width - float(seen @ seen), float(np.linalg.norm(unseen))
        if left > 0 and length > 0:
            starts.append(size * (seen + math.sqrt(left) / length * unseen - centred))
        return starts

    def drawn(self) -> list[Floats]:
        """The directions among a few, the same ones always, where the keys asked for do best."""
        drawn = np.random.default_rng(0).standard_normal((_DRAWN, len(self.point)))
        drawn *= np.linalg.norm(self.point) / np.linalg.norm(drawn, axis=1, keepdims=True)
        worst = [float(self._leads(r).max(initial=-np.inf)) for r in drawn]
        return [drawn[i] - self.point for i in np.argsort(worst)[:_STARTS]]

    def _beyond(self, start: Floats, margin: float) -> Floats | None:
        """From one start, the least vector there is near, carried beyond the walls."""
        least = self._linearised(0.0, start)
        if least is None:
            return self._shortened(start)
        if not least.any() and self._holds(least):
            return least
        limit = (1 + margin) * float(np.linalg.norm(least))
        # Leads that the margin has room for, and less and less.
        lead = margin * max(float(self._leads(self.point).max()), margin * self._size(self.point))
        for _ in range(_HALVINGS):
            found = self._linearised(lead, least)
            short = found is not None and float(np.linalg.norm(found)) <= limit
            if found is not None and short and self._holds(found):
                return found
            lead /= 2
        return self._shortened(start)

    def _shortened(self, vector: Floats) -> Floats | None:
        """The shortest part of a vector that does it, by halving; None if it does not itself."""
        if not self._holds(vector):
            return None
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            part = (low + high) / 2
            if self._holds(part * vector):
                high = part
            else:
                low = part
        return high * vector

    def _leads(self, r: Floats) -> Floats:
        return self.normals @ r + self.constants * self._size(r)

    def _linearised(self, lead: float, start: Floats) -> Floats | None:
        """The least vector near a start, by convex programs (Yuille, Rangarajan 2003).

        Where ``k >= 0`` a lead is convex, and tangents at all vectors so far stay; where ``k < 0``
        it is concave, and the tangent at the last vector that the convex ones allow stands for it.
        """
        convex = self.constants >= 0
        goal = 1e-12 * float(np.linalg.norm(self.point))
        hollow = self._tangents(start)[~convex]
        cuts = [self._tangents(start)[convex]]
        last = None
        for _ in range(_ROUNDS):
            found = Shortest(np.vstack([hollow, *cuts])).at(lead)[0]
            if found is None:
                break
            fresh = self._tangents(found)
            cuts.append(fresh[convex])
            excess = (self._leads(self.point + found)[convex] + lead).max(initial=0.0)
            if excess > _FEASIBLE * self._size(self.point):
                continue
            hollow = fresh[~convex]
            if last is not None and float(np.linalg.norm(found - last)) <= goal:
                break
            last = found
        return last

    def _tangents(self, vector: Floats) -> Floats:
        """Rows of the leads as functions of the vector, linearised at one."""
        r = self.point + vector
        slope = self._centred(r) / (self.norm.width * (self._size(r) or 1.0))
        rows = self.normals + self.constants[:, None] * slope
        return np.column_stack([rows, self._leads(r) - rows @ vector])

    def _holds(self, vector: Floats) -> bool:
        """Whether the heads choose so behind the norm of the residual plus the vector, exactly."""
        r = self.point + vector
        if not np.isfinite(r).all():
            return False
        leads = self._leads(r)
        # Rows whose doubles are far from 0 need no rationals; a generous bound serves.
        length, size = float(np.abs(r).sum()), self._size(r)
        loss = _GENEROUS * (self.reach.max(axis=1) * length + np.abs(self.constants) * size)
        loss += 2 * self.lost[:, :-1].max(axis=1) * length + 2 * self.lost[:, -1] * size
        if (leads > loss).any():
            return False
        close = np.flatnonzero(leads > -loss)
        square = self._square(r)
        column = self._exact_centred(r)
        for row in self.cell.exact(close.tolist()).tolist():
            across = sum(
                (
                    n * rational(g) * v
                    for n, g, v in zip(row[:-1], self.gamma.tolist(), column, strict=True)
                ),
                flint.fmpq(0),
            )
            if not _negative(across, row[-1], square):
                return False
        return True

    def _exact_centred(self, r: Floats) -> list[flint.fmpq]:
        values = [rational(v) for v in r.tolist()]
        if not self.norm.centred:
            return values
        mean = sum(values, flint.fmpq(0)) / len(values)
        return [v - mean for v in values]

    def _square(self, r: Floats) -> flint.fmpq:
        """``s(r)^2``, exactly."""
        total = sum((v * v for v in self._exact_centred(r)), flint.fmpq(0))
        return total / self.norm.width + rational(self.norm.eps)

    # ---- below ----------------------------------------------------------------------------------

    def lower(self, upper: float) -> float:
        """A length below which no vector does it, proved; at most ``upper``.

        Within a ball of radius ``rho`` the rows hold with ``s`` replaced by its affine bounds, so
        that a vector is longer than ``rho`` or than what these rows allow.
        """
        low, high = 0.0, upper
        if self._relaxed(upper)[0] >= upper:
            low = upper
        for _ in range(_HALVINGS):
            if high - low < 1e-6 * upper:
                break
            radius = (low + high) / 2
            if self._relaxed(radius)[0] >= radius:
                low = radius
            else:
                high = radius
        # Doubles found the radius; rationals prove what its rows allow.
        _, names, weights = self._relaxed(low)
        return min(low, self._dual(names, weights, low))

    def _relaxed(self, radius: float) -> tuple[float, list[int], list[float]]:
        """The least length that the relaxed rows of a ball allow, in doubles, and dual weights."""
        width = self.norm.width
        size = self._size(self.point)
        slope = self._centred(self.point) / (width * size)
        rows = self.normals + self.constants[:, None] * slope
        right = self.normals @ self.point + self.constants * size
        right += np.minimum(self.constants, 0.0) * radius**2 / (2 * width * size)
        vector, names = Shortest(np.column_stack([rows, right])).at(0.0)
        chosen = rows[names]
        weights = np.linalg.lstsq(chosen @ chosen.T, right[names], rcond=None)[0]
        names, weights = names[weights > 0], weights[weights > 0]
        length = math.inf if vector is None else float(np.linalg.norm(vector))
        return length, names.tolist(), weights.tolist()

    def _dual(self, names: list[int], weights: list[float], radius: float) -> float:
        """``sum w b / |sum w n|`` of relaxed rows in rationals, rounded down."""
        width = self.norm.width
        centred = self._exact_centred(self.point)
        square = self._square(self.point)
        above = _above(square)
        ball = rational(radius) ** 2
        total = [flint.fmpq(0)] * width
        right = flint.fmpq(0)
        for row, weight in zip(self.cell.exact(names).tolist(), weights, strict=True):
            w, k = rational(weight), row[-1]
            scaled = [n * rational(g) for n, g in zip(row[:-1], self.gamma.tolist(), strict=True)]
            if self.norm.centred:
                mean = sum(scaled, flint.fmpq(0)) / width
                scaled = [v - mean for v in scaled]
            here = sum((a * b for a, b in zip(scaled, centred, strict=True)), flint.fmpq(0))
            if k >= 0:
                here += k * square / above
            else:
                here += k * ((square + above**2) / 2 + ball / (2 * width)) / above
            right += w * here
            part = k / (width * above)
            total = [t + w * (n + part * c) for t, n, c in zip(total, scaled, centred, strict=True)]
        if right <= 0 or not names:
            return 0.0
        length = sum((v * v for v in total), flint.fmpq(0))
        if length == 0:
            return radius
        return root(fraction(right**2 / length)) * (1 - 2.0**-50)


def _negative(a: flint.fmpq, k: flint.fmpq, square: flint.fmpq) -> bool:
    """Whether ``a + k s < 0`` for the ``s >= 0`` with this square."""
    if a < 0 and k <= 0:
        return True
    if a < 0:
        return a * a > k * k * square
    return k < 0 and a * a < k * k * square


def _above(square: flint.fmpq) -> flint.fmpq:
    """A rational that is at least the root of a positive one, and hardly larger."""
    near = root(fraction(square)) if square > 0 else 1.0
    guess = rational(near) * flint.fmpq(_FINE + 2**10, _FINE)
    # One step of Heron's ends above the root, whatever it starts from.
    return (guess + square / guess) / 2
