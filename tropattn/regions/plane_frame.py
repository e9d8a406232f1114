"""Heads in coordinates of a window of the plane: its box about (-1, 1)^2, scores relative.

Doubles measure cells well where the window is of order 1 and the scores of a head differ by about
as much as they are large. Neither holds for a tiny or far window, or under a large common term. So
parameters are ``centre + scale * u``, exactly, ``scale`` powers of two; from each head the winner
in the middle is subtracted, in rationals where doubles would cancel; keys that lose to it on all of
the box are left out; and each head is scaled by a power of two. No cell changes by any of this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import as_fractions, rational, rational_matrix, to_float
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Box, Domain, Polytope, Slice
from tropattn.polyhedra.polygon import Polygon, window_polygon
from tropattn.tolerance import TINY, UNIT, gamma
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.refinement import Refinement, domain_walls

__all__ = ["Frame", "window_frame"]

Array = NDArray[Any]

_ROUGH = 2.0**-46, 2.0**-36
"""Rows with a larger error, relative to the largest row of their head, are computed exactly.

The second holds for factored heads, whose exact rows cost more.
"""


@dataclass(frozen=True, eq=False)
class Frame:
    """A window in coordinates of its own.

    Attributes
    ----------
    system : the heads on the window as functions of u, in three columns, live keys only.
    rows : (n,) the row in ``system`` of each row of the refinement; -1 for a key left out.
    polygon : the window. centre, scale : (2,) ``Fraction``s, of ``centre + scale * u``.
    """

    system: Refinement
    rows: NDArray[np.int64]
    polygon: Polygon
    centre: Array
    scale: Array


def window_frame(refinement: Refinement) -> Frame:
    """The frame of a bounded window of a plane; O(1) a key, O(d) rational steps where rough.

    Raises
    ------
    InvalidInput : a window that is unbounded or has no interior.
    """
    domain = refinement.domain
    window: Any = domain.window if isinstance(domain, Slice) else domain
    polygon, centre, scale = _placed(window)
    parts = [
        _relative(unit, kept, centre, scale)
        for unit, kept in zip(refinement.units, refinement.kept, strict=True)
    ]
    live = np.concatenate([part[0] for part in parts])
    rows = np.where(live, np.cumsum(live) - 1, -1)
    local = _local(window, centre, scale)
    given = np.vstack([domain_walls(local, 3), as_fractions(np.array([[0.0, 0.0, -1.0]]))])
    walls, errors = _unit_rows(given)
    matrix = np.array([[scale[0], Fraction(0)], [Fraction(0), scale[1]]])
    nothing = np.zeros((0, 3), np.int64)
    system = replace(
        refinement,
        units=tuple(unit.pullback(matrix, centre) for unit in refinement.units),
        domain=local,
        kept=tuple(k[part[0]] for k, part in zip(refinement.kept, parts, strict=True)),
        columns=np.arange(3),
        central=False,
        terms=np.vstack([part[1] for part in parts]),
        errors=np.concatenate([part[2] for part in parts]),
        starts=np.concatenate([[0], np.cumsum([part[0].sum() for part in parts])]),
        given_walls=given,
        walls=walls,
        wall_rho=errors,
        integers=nothing,
        wall_integers=nothing,
        scaling=np.ones(3),
    )
    return Frame(system, rows, polygon, centre, scale)


def _placed(window: Domain) -> tuple[Polygon, Array, Array]:
    """The window's polygon in coordinates u, and these: they put it into (-1, 1)^2."""
    if isinstance(window, Box) and window.bounded:
        low, high = as_fractions(window.low), as_fractions(window.high)
        centre, scale = _coordinates(low, high)
        ends = [((side - centre) / scale).astype(np.float64) for side in (low, high)]
        return Polygon.box(*ends), centre, scale
    try:
        corners = as_fractions(window_polygon(window).vertices)
    except InvalidInput:
        # In these parameters doubles may fail to see a small window.
        corners = _exact_corners(window)
        if corners is None:
            raise
    # Corners far from 0 have lost digits: the window is placed again until it fits.
    for _ in range(3):
        centre, scale = _coordinates(corners.min(axis=0), corners.max(axis=0))
        polygon = _cut_out(_local(window, centre, scale))
        if polygon and (polygon.labels >= 0).all():
            if (np.ptp(polygon.vertices, axis=0) > 0.5).all():
                return polygon, centre, scale
            corners = centre + scale * as_fractions(polygon.vertices)
    corners = _exact_corners(window)
    if corners is None:
        raise InvalidInput(
            f"window: a bounded window with interior needed, got {window.describe()}; "
            "give low and high for both coordinates."
        )
    centre, scale = _coordinates(corners.min(axis=0), corners.max(axis=0))
    local = ((corners - centre) / scale).astype(np.float64)
    return Polygon(local, np.full(len(local), -1)), centre, scale


def _coordinates(low: Array, high: Array) -> tuple[Array, Array]:
    """Middle and scale of a box, by which its larger half becomes at most 0.99."""
    scale = [_power(float(b - a) / 2) for a, b in zip(low, high, strict=True)]
    return (low + high) / 2, np.array(scale)


def _cut_out(local: Domain) -> Polygon:
    """The part of (-1, 1)^2 inside the walls; a side of the square is labelled -1."""
    a, b = local.walls
    size = np.abs(a).max(axis=1)
    a, b, size = (side[size > 0] for side in (a, b, size))
    rows, right = (a / size[:, None]).astype(np.float64), (b / size).astype(np.float64)
    return Polygon.box([-1, -1], [1, 1]).cut(rows, right, np.arange(len(rows)))


def _exact_corners(window: Domain) -> Array | None:
    """Corners in rationals, counterclockwise; None for a window unbounded or without interior.

    Cost O(m k) for m walls and k corners.
    """
    far = Fraction(2) ** 1100
    corners = [(-far, -far), (far, -far), (far, far), (-far, far)]
    for row, right in zip(*(as_fractions(side).tolist() for side in window.walls), strict=True):
        slack = [right - row[0] * x - row[1] * y for x, y in corners]
        kept = []
        for i, (x, y) in enumerate(corners):
            after = (i + 1) % len(corners)
            if slack[i] >= 0:
                kept.append((x, y))
            if slack[i] * slack[after] < 0:
                share = slack[i] / (slack[i] - slack[after])
                u, v = corners[after]
                kept.append((x + share * (u - x), y + share * (v - y)))
        corners = kept
    found = np.array(corners, dtype=object).reshape(-1, 2)
    if len(found) < 3 or (np.abs(found) == far).any():
        return None
    x, y = (found - found[0]).T
    return found if (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 0 else None


def _power(size: float) -> Fraction:
    """A power of two above a size, by at least a hundredth of it."""
    return Fraction(2) ** int(np.frexp(1.01 * size)[1])


def _local(window: Domain, centre: Array, scale: Array) -> Polytope:
    """The window as a set of u, exactly."""
    a, b = (as_fractions(side) for side in window.walls)
    return Polytope(a * scale, b - a @ centre)


def _unit_rows(rows: Array) -> tuple[Array, Array]:
    """Rational rows as unit rows in doubles, and a bound on the error of an entry."""
    near, lost = to_float(rows / np.abs(rows).max(axis=1, keepdims=True))
    length = np.sqrt((near**2).sum(axis=1, keepdims=True))
    return near / length, 3.0 * UNIT + 1.01 * lost.max(axis=1) / length[:, 0]


def _relative(
    unit: TropicalPolynomial, kept: Array, centre: Array, scale: Array
) -> tuple[Array, Array, Array]:
    """Which keys may win on the box, their rows less the winner's in the middle, and errors."""
    with np.errstate(over="ignore", invalid="ignore"):
        rows, errors = _near_rows(unit, kept, centre, scale)
        middle = int(rows[:, 2].argmax())
        rows = rows - rows[middle]
        errors = 1.01 * (errors + errors[middle]) + UNIT * np.abs(rows) + TINY
        errors[middle] = 0.0
        size = np.abs(rows).sum(axis=1)
        top = np.abs(rows[:, 0]) + np.abs(rows[:, 1]) + rows[:, 2]
        # Undefined numbers are kept, and rationals then decide.
        live = ~(top + errors.sum(axis=1) + 8.0 * UNIT * size < -TINY)
    largest = np.abs(rows[live]).max()
    if not errors[live].max() <= _ROUGH[bool(unit.maps)] * largest < np.inf:
        chosen = np.flatnonzero(live)
        part, rows, errors = _exact_rows(unit, kept[chosen], centre, scale)
        live[chosen] = part
        return live, rows, errors
    shift = -int(np.frexp(largest)[1])
    return live, np.ldexp(rows[live], shift), np.ldexp(errors[live].max(axis=1), shift) + TINY


def _near_rows(
    unit: TropicalPolynomial, kept: Array, centre: Array, scale: Array
) -> tuple[Array, Array]:
    """Rows of the given keys as functions of u, in doubles, and entrywise error bounds."""
    terms, lost = unit.float_terms()
    terms, lost = terms[kept], lost[kept]
    rows, errors = terms * 1.0, lost * 1.0
    factors = scale.astype(np.float64)
    rows[:, :2] *= factors
    errors[:, :2] *= factors
    middle = centre.astype(np.float64)
    if middle.any():
        rows[:, 2] += terms[:, :2] @ middle
        size = np.abs(terms[:, 2]) + np.abs(terms[:, :2]) @ np.abs(middle)
        errors[:, 2] += 1.01 * (lost[:, :2] @ np.abs(middle)) + gamma(6) * size
    return rows, errors


def _exact_rows(
    unit: TropicalPolynomial, kept: Array, centre: Array, scale: Array
) -> tuple[Array, Array, Array]:
    """What ``_relative`` returns, from rationals: each entry is rounded once, at the end."""
    # From the two parameters and the constant through the factors: three columns at any width.
    zero = Fraction(0)
    frame = rational_matrix(np.array([[scale[0], zero], [zero, scale[1]], centre]))
    for step in unit.maps:
        offset = rational_matrix(step.offset[None, :])
        none = [flint.fmpq(0)] * (2 * offset.ncols())
        tail = flint.fmpq_mat(
            3, offset.ncols(), none + [offset[0, k] for k in range(offset.ncols())]
        )
        frame = frame * rational_matrix(step.matrix) + tail
    product = rational_matrix(unit.keys[kept]) * frame.transpose() * rational(unit.scale)
    biases = rational_matrix(unit.biases[kept][:, None])
    rows = [(product[j, 0], product[j, 1], product[j, 2] + biases[j, 0]) for j in range(len(kept))]
    middle = max(rows, key=lambda row: row[2])
    rows = [tuple(a - b for a, b in zip(row, middle, strict=True)) for row in rows]
    live = np.array([abs(x) + abs(y) + z >= 0 for x, y, z in rows])
    entries = [v for row, kept_row in zip(rows, live, strict=True) if kept_row for v in row]
    shift = max((_exponent(v) for v in entries if v != 0), default=0)
    near = np.array([_double(v, shift) for v in entries]).reshape(-1, 3)
    return live, near, UNIT * np.abs(near).max(axis=1) + TINY


def _exponent(value: flint.fmpq) -> int:
    return int(abs(value.p)).bit_length() - int(value.q).bit_length()


def _double(value: flint.fmpq, shift: int) -> float:
    """``value / 2**shift``, rounded once."""
    return (int(value.p) << max(-shift, 0)) / (int(value.q) << max(shift, 0))
