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

import numpy as np

from tropattn._types import Array
from tropattn.arrays import as_fractions
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, Polytope, Slice
from tropattn.polyhedra.polygon import Polygon, exact_corners
from tropattn.tolerance import TINY, UNIT, gamma
from tropattn.tropical.max_affine import MaxAffine
from tropattn.tropical.refinement import Refinement, domain_walls, unit_rows

__all__ = ["UnitWindow", "window_frame"]


_ROUGH = 2.0**-46, 2.0**-36
"""Rows with a larger error, relative to the largest row of their head, are computed exactly.

The second holds for factored heads, whose exact rows cost more.
"""


@dataclass(frozen=True, eq=False)
class UnitWindow:
    """A window in coordinates of its own.

    Attributes
    ----------
    system : the heads on the window as functions of u, in three columns, live keys only.
    window, polygon : the window as a set of u, exactly, and its corners rounded.
    centre, scale : (2,) ``Fraction``s, of ``centre + scale * u``.
    """

    system: Refinement
    window: Polytope
    polygon: Polygon
    centre: Array
    scale: Array


def window_frame(refinement: Refinement) -> UnitWindow:
    """The frame of a bounded window of a plane; O(1) per key, O(d) rational steps where rough.

    Raises
    ------
    InvalidInput : a window that is unbounded or has no interior.
    """
    domain = refinement.domain
    window: Any = domain.window if isinstance(domain, Slice) else domain
    if window is None:
        assert domain is not None
        raise InvalidInput(
            f"window: a bounded window needed to draw, got {domain.describe()} without one; give "
            "the Slice a window (low, high)."
        )
    polygon, centre, scale = _placed(window)
    parts = [
        _relative(unit, kept, centre, scale)
        for unit, kept in zip(refinement.units, refinement.kept, strict=True)
    ]
    a, b = (as_fractions(side) for side in window.walls)
    local = Polytope(a * scale, b - a @ centre)
    given = np.vstack([domain_walls(local, 3), as_fractions(np.array([[0.0, 0.0, -1.0]]))])
    # Rationals may lie beyond doubles; a row's length does not matter.
    given = given / np.abs(given).max(axis=1, keepdims=True)
    walls, errors = unit_rows(given, np.arange(3), np.ones(3))
    nothing = np.zeros((0, 3), np.int64)
    system = replace(
        refinement,
        units=tuple(unit.pullback(np.diag(scale), centre) for unit in refinement.units),
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
    return UnitWindow(system, local, polygon, centre, scale)


def _placed(window: Domain) -> tuple[Polygon, Array, Array]:
    """The window's polygon in coordinates u, and these: they put it into (-1, 1)^2."""
    corners = exact_corners(window)
    low, high = corners.min(axis=0), corners.max(axis=0)
    # By powers of two above the half sides: these become at most 0.99.
    halves = ((high - low) / 2).astype(np.float64)
    scale = np.array([Fraction(2) ** int(np.frexp(1.01 * half)[1]) for half in halves])
    centre = (low + high) / 2
    local = ((corners - centre) / scale).astype(np.float64)
    return Polygon(local, np.full(len(local), -1)), centre, scale


def _relative(
    unit: MaxAffine, kept: Array, centre: Array, scale: Array
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


def _near_rows(unit: MaxAffine, kept: Array, centre: Array, scale: Array) -> tuple[Array, Array]:
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
    unit: MaxAffine, kept: Array, centre: Array, scale: Array
) -> tuple[Array, Array, Array]:
    """What ``_relative`` returns, from rationals: each entry is rounded once, at the end."""
    rows = unit.pullback(np.diag(scale), centre).exact_terms(kept).tolist()
    middle = max(rows, key=lambda row: row[2])
    rows = [tuple(a - b for a, b in zip(row, middle, strict=True)) for row in rows]
    live = np.array([abs(x) + abs(y) + z >= 0 for x, y, z in rows])
    entries = [v for row, kept_row in zip(rows, live, strict=True) if kept_row for v in row]
    lengths = ((int(v.p).bit_length(), int(v.q).bit_length()) for v in entries if v != 0)
    shift = max((above - below for above, below in lengths), default=0)
    # Each entry over ``2**shift``, rounded once.
    up, down = max(-shift, 0), max(shift, 0)
    near = np.array([(int(v.p) << up) / (int(v.q) << down) for v in entries]).reshape(-1, 3)
    return live, near, UNIT * np.abs(near).max(axis=1) + TINY
