"""The window of a picture: heads as functions of two parameters, and where cells lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tropattn._types import Array
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, Slice
from tropattn.polyhedra.polygon import Polygon, as_window, bounding_window, window_polygon
from tropattn.regions.polygons.cells import PlaneCells, plane_cells
from tropattn.tropical.max_affine import on_parameters
from tropattn.tropical.polynomial import PowerDiagram, TropicalPolynomial
from tropattn.tropical.stage import stages_of

__all__ = ["Plane", "drawn", "mark"]


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Heads as polynomials of two parameters, the window, and the words for axes and title.

    Attributes
    ----------
    units : polynomials on R^2. window : what is drawn. counted : the domain that is counted.
    whole : whether the window was cut out of R^2, so that the plane is counted too.
    equal : whether both parameters have the same length. axes, words : names.
    """

    units: tuple[TropicalPolynomial, ...]
    window: Polygon
    counted: Domain
    whole: bool
    equal: bool
    axes: tuple[str, str]
    words: str

    @classmethod
    def of(cls, target: Any, domain: Domain | None, window: Any) -> Plane:
        """Read a target and its domain or window. Raises ``InvalidInput`` where no plane is."""
        units = _one_stage(target)
        variable = str(getattr(target, "variable", "x"))
        if isinstance(domain, Slice):
            return cls._slice(units, domain, window, variable)
        if domain is not None and domain.embedding is not None:
            raise InvalidInput(
                f"domain: a plane needed to draw, got {domain.describe()}; use a 2-dimensional "
                "Slice."
            )
        if units[0].dim != 2:
            raise InvalidInput(
                f"target: a variable in R^2, or a plane Slice as domain, needed to draw, got "
                f"R^{units[0].dim}; e.g. Slice.through(three_states)."
            )
        if domain is not None and window is not None:
            raise InvalidInput(
                "window: none beside a domain needed, got both; the domain is the window."
            )
        _check_doubles(units)
        on_parameters(units, domain)
        whole = domain is None
        if domain is None:
            domain = as_window(_default_window(units) if window is None else window)
        return cls(
            units,
            window_polygon(domain),
            domain,
            whole,
            True,
            ("$x_1$", "$x_2$"),
            f"{variable} in R^2" if whole else f"{variable} in {domain.describe()}",
        )

    @classmethod
    def _slice(
        cls, units: tuple[TropicalPolynomial, ...], domain: Slice, window: Any, variable: str
    ) -> Plane:
        if domain.dim != 2:
            raise InvalidInput(
                f"domain: a slice of dimension 2 needed to draw, got {domain.describe()}; "
                "three points span one."
            )
        embedding = domain.embedding
        if embedding is None:
            raise InvalidInput("domain: a slice with a basis needed, got none; build it again.")
        basis, origin = embedding
        if window is not None:
            domain = Slice(origin, basis, window)
        local = on_parameters(units, domain)
        if domain.window is None:
            domain = Slice(origin, basis, _default_window(local))
        gram = basis.astype(float) @ basis.astype(float).T
        return cls(
            local,
            window_polygon(domain.window),
            domain,
            False,
            bool(np.allclose(gram, gram[0, 0] * np.eye(2), atol=1e-9 * gram.max())),
            ("slice parameter $p_1$", "slice parameter $p_2$"),
            f"{variable} in a plane slice of R^{domain.ambient_dim}",
        )

    def cells(self, unit: TropicalPolynomial) -> dict[int, Polygon]:
        """The polygon of each cell that meets the window; sides carry the other key's index."""
        found = plane_cells([unit], self.parameters)
        return {pattern[0]: cell for pattern, cell in drawn(found).items()}

    @property
    def parameters(self) -> Domain:
        """The window as a domain of the two parameters."""
        window = self.counted.window if isinstance(self.counted, Slice) else self.counted
        assert window is not None
        return window

    @property
    def tall(self) -> float:
        """Height of a picture of the window over its width, kept within sight."""
        if not self.equal:
            return 1.0
        width, height = np.ptp(self.window.vertices, axis=0)
        return float(np.clip(height / width, 0.3, 2.0))

    def prepare(self, axes: Axes) -> None:
        """Limits, aspect and names of the axes."""
        low, high = self.window.vertices.min(axis=0), self.window.vertices.max(axis=0)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set(xlabel=self.axes[0], ylabel=self.axes[1])
        if self.equal:
            axes.set_aspect("equal")


def drawn(cells: PlaneCells) -> dict[tuple[int, ...], Polygon]:
    """The polygon of each pattern; sides carry the number of the cell beyond, of one head the key.

    >>> from tropattn.polyhedra.domain import Box
    >>> square = plane_cells([TropicalPolynomial([[0, 0], [1, 0]])], Box([-1, -1], [1, 1]))
    >>> {pattern: sorted(cell.labels.tolist()) for pattern, cell in drawn(square).items()}
    {(0,): [-1, -1, -1, 1], (1,): [-1, -1, -1, 0]}
    """
    found = {}
    for r, pattern in enumerate(cells.patterns.tolist()):
        # There a side ends in its corner, here it starts there.
        beyond = np.roll(cells.neighbours[cells.offsets[r] : cells.offsets[r + 1]], -1)
        if len(pattern) == 1:
            beyond = np.where(beyond >= 0, cells.patterns[beyond, 0], -1)
        found[tuple(pattern)] = Polygon(cells.polygon(r), beyond)
    return found


def mark(axes: Axes, points: Any, names: Sequence[str], *, small: bool = False) -> None:
    """Rings at given parameters, with their names beside them, left where a ring follows right."""
    if points is None:
        return
    rows = np.asarray(points, dtype=float)
    axes.plot(*rows.T, "o", ms=5 if small else 8, mfc="white", mec="black", zorder=4)
    spans = np.ptp([axes.get_xlim(), axes.get_ylim()], axis=1)
    for row, name in zip(rows, names, strict=False):
        right, up = ((rows - row) / spans).T
        left = bool(((right > 0) & (right < 0.12) & (np.abs(up) < 0.06)).any())
        axes.annotate(
            name,
            row,
            xytext=(-6 if left else 6, 6),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=9,
            parse_math=False,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.85, "lw": 0},
        )


def _one_stage(target: Any) -> tuple[TropicalPolynomial, ...]:
    if isinstance(target, PowerDiagram):
        target = target.to_polynomial()
    stages = stages_of(target)
    if len(stages) != 1:
        raise InvalidInput(
            f"target: one layer needed to draw, got {len(stages)} stages; draw one at a time."
        )
    return stages[0].units


def _check_doubles(units: Sequence[TropicalPolynomial]) -> None:
    """Raise ``InvalidInput`` unless all terms, which may be exact, are within doubles."""
    try:
        for unit in units:
            unit.slopes.astype(np.float64)
            unit.intercepts.astype(np.float64)
    except OverflowError:
        raise InvalidInput(
            "target: slopes and intercepts below 1.8e308 needed to draw, got larger ones; divide "
            "all of them by one number, which moves no cell."
        ) from None


def _cells(
    unit: TropicalPolynomial, slopes: Array, intercepts: Array, window: Polygon
) -> dict[int, Polygon]:
    """The cells of a unit whose terms are given in doubles."""
    kept = unit.distinct[0]
    slopes, intercepts = slopes[kept], intercepts[kept]
    found = {}
    for at, j in enumerate(kept.tolist()):
        others = np.arange(len(kept)) != at
        cell = window.cut(
            slopes[others] - slopes[at], intercepts[at] - intercepts[others], kept[others]
        )
        if cell:
            found[j] = cell
    return found


def _default_window(units: Sequence[TropicalPolynomial]) -> tuple[Array, Array]:
    """A square round most corners of the heads' cells and crossings of their walls."""
    slopes = np.vstack([unit.slopes.astype(np.float64) for unit in units])
    intercepts = np.concatenate([unit.intercepts.astype(np.float64) for unit in units])
    # One power of two for all moves no wall, and differences and lengths stay doubles.
    power = -int(np.frexp(max(np.abs(slopes).max(), np.abs(intercepts).max()))[1])
    slopes, intercepts = np.ldexp(slopes, power), np.ldexp(intercepts, power)
    starts = np.cumsum([0, *(unit.n_terms for unit in units)])
    steep = float(np.ptp(slopes, axis=0).max())
    reach = 1e4 * max(1.0, float(np.ptp(intercepts)) / steep if steep > 0 else 1.0)
    far = Polygon.box([-reach, -reach], [reach, reach])
    corners: list[Array] = []
    feet: list[Array] = []
    walls: list[tuple[Array, Array]] = []
    for unit, start, stop in zip(units, starts, starts[1:], strict=False):
        for j, cell in _cells(unit, slopes[start:stop], intercepts[start:stop], far).items():
            named = cell.labels >= 0
            corners += list(cell.vertices[named & np.roll(named, 1)])
            ends = np.roll(cell.vertices, -1, axis=0)
            for i in np.flatnonzero(named & (cell.labels > j)).tolist():
                a, b = cell.vertices[i], ends[i]
                if not (a != b).any():
                    # Two cells that share a corner alone.
                    continue
                walls.append((a, b))
                t = np.clip(-(a @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
                feet.append(a + t * (b - a))
    for i, first in enumerate(walls[:200]):
        corners += [p for second in walls[:i] if (p := _crossing(first, second)) is not None]
    points = np.array(corners or feet or [[0.0, 0.0]])
    if len(points) > 8:
        low, high = np.quantile(points, [0.05, 0.95], axis=0)
        points = np.vstack([low, high])
    return bounding_window(points, 0.3)


def _crossing(first: tuple[Array, Array], second: tuple[Array, Array]) -> Array | None:
    """Where two segments cross in their interiors."""
    (a, b), (c, d) = first, second
    matrix = np.column_stack([b - a, c - d])
    determinant = float(np.linalg.det(matrix))
    if abs(determinant) <= 1e-12 * float(np.abs(matrix).max()) ** 2:
        return None
    s, t = np.linalg.solve(matrix, c - a)
    return a + s * (b - a) if 0 < s < 1 and 0 < t < 1 else None
