"""Pictures of Newton polytopes and of their Minkowski sums, in the plane and in space (T3, T5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import of_kind
from tropattn.errors import InvalidInput
from tropattn.plotting.style import FILLS, INKS, counted, new_figure
from tropattn.polyhedra.minkowski import MinkowskiSum, minkowski_sum
from tropattn.tropical.geometry.newton import NewtonPolytope

__all__ = ["by_angle", "listed", "polytope"]


_SUMMANDS = 9
"""Summands that get a panel of their own."""

_NAMED = 24
"""Vertices of a sum of at most three summands carry their terms up to this number."""

_MIXED = "#DDDDDD"


def polytope(
    newton: NewtonPolytope | MinkowskiSum,
    *,
    labels: Sequence[str] | None = None,
    lifted: bool = False,
    title: str | None = None,
) -> Figure:
    """Draw a Newton polytope, or a Minkowski sum beside its summands, in the plane or in space.

    Parameters
    ----------
    newton : a polytope with points in R^2 or R^3 (a lifted one has the intercept as last
        coordinate), or a bounded ``MinkowskiSum`` of dimension at most 3 in any space.
    labels : names of a polytope's terms, their indices where omitted.
    lifted : whether the last coordinate is the intercept, for its axis label.

    Returns
    -------
    Figure
        Vertices as dots with names, other terms as crosses, faces shaded. Of a sum, the first nine
        summands on the left and the sum on the right; a side of it has the colour of the summand
        that it is a copy of, and is grey where several summands move along it.

    Raises
    ------
    InvalidInput : points in another dimension, or an upper hull, which is unbounded.

    Notes
    -----
    What is a vertex or a facet is exact. Sums in more than three coordinates are drawn, to scale,
    in the space that they span.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> f = TropicalPolynomial([[0, 0], [2, 0], [0, 2], [0.5, 0.5]])
    >>> polytope(f.newton_polytope()).axes[0].get_title()
    '3 vertices among 4 terms'
    >>> polytope(minkowski_sum([f.slopes, [[0, 0], [1, 1]]])).axes[-1].get_title()
    'sum: 5 vertices, 5 edges'
    """
    if isinstance(newton, MinkowskiSum):
        return _with_summands(newton, title)
    of_kind("newton", newton, NewtonPolytope, "e.g. f.newton_polytope(), or a minkowski_sum")
    points = newton.points.astype(np.float64)
    dim = points.shape[1]
    if dim not in (2, 3):
        raise InvalidInput(
            f"newton: points in R^2 or R^3 needed to draw, got R^{dim}; "
            "pull the polynomial back to a plane first."
        )
    names = [str(j) for j in range(len(points))] if labels is None else list(labels)
    figure = new_figure(6, 6) if dim == 2 else new_figure(7, 6.5)
    axes = _axes(figure, dim)
    corners = points[newton.indices]
    _outline(axes, newton.hull, corners, [FILLS[0]] * max(1, len(newton.hull.facets())))
    axes.plot(*corners.T, "o", color="black", markersize=6, label="vertex")
    inner = np.setdiff1d(np.arange(len(points)), newton.indices)
    if len(inner):
        axes.plot(*points[inner].T, "x", color=INKS[2], markersize=7, label="no vertex")
    _name(axes, points, names)
    slopes = [f"slope $a_{k + 1}$" for k in range(dim)]
    sides = [*slopes[:-1], "intercept $c$"] if lifted else slopes
    axes.set(**{f"{axis}label": side for axis, side in zip("xyz", sides, strict=False)})
    if isinstance(axes, Axes3D):
        _fit(axes, points)
    else:
        axes.set_aspect("auto" if lifted else "equal")
        axes.margins(0.1)
    axes.legend(fontsize=8)
    axes.set_title(title or f"{len(newton.indices)} vertices among {len(points)} terms")
    return figure


def by_angle(corners: Array) -> NDArray[np.int64]:
    """The order of points in convex position round their mean; rows are points of the plane.

    >>> by_angle(np.array([[1.0, 1.0], [-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]])).tolist()
    [1, 3, 0, 2]
    """
    away = corners - corners.mean(axis=0)
    return np.argsort(np.arctan2(away[:, 1], away[:, 0]))


def listed(numbers: Sequence[int], nouns: Sequence[str]) -> str:
    """Numbers with their nouns; a noun without a number counts nothing.

    >>> listed((2, 1), ("vertex", "edge", "facet"))
    '2 vertices, 1 edge'
    """
    return ", ".join(map(counted, numbers, nouns))


# ---- sums -------------------------------------------------------------------------------------


def _with_summands(total: MinkowskiSum, title: str | None) -> Figure:
    if total.upper or total.dim > 3:
        raise InvalidInput(
            "newton: a bounded sum of dimension at most 3 needed to draw, got "
            f"{'an upper hull' if total.upper else f'dimension {total.dim}'}; use upper=False, or "
            "pull the heads back to fewer parameters."
        )
    chart = _chart(total)
    shown = total.summands[:_SUMMANDS]
    columns = int(np.ceil(np.sqrt(len(shown))))
    lines = -(-len(shown) // columns)
    figure = new_figure(12.0, 6.4)
    halves = figure.add_gridspec(1, 2)
    left, right = figure.add_subfigure(halves[0, 0]), figure.add_subfigure(halves[0, 1])
    for h, points in enumerate(shown):
        part = minkowski_sum([points])
        axes = _axes(left, chart.shape[1], (lines, columns, h + 1))
        fills = [FILLS[h]] * max(1, len(part.facets()))
        _draw_sum(axes, part, chart, fills, len(part) <= 8)
        axes.set_title(f"summand {h}: {counted(len(part), 'vertex')}", fontsize=8)
    axes = _axes(right, chart.shape[1])
    named = len(total) <= _NAMED and len(total.summands) <= 3
    _draw_sum(axes, total, chart, _origins(total), named)
    faces = listed(total.f_vector() or (1,), ("vertex", "edge", "facet"))
    axes.set_title(f"sum: {faces}", fontsize=11)
    more = len(total.summands) - len(shown)
    words = f"{len(total.summands)} summands" + (f", {more} not shown" if more else "")
    figure.suptitle(title or f"Minkowski sum of {words}", fontsize=11, parse_math=False)
    return figure


def _draw_sum(
    axes: Axes | Axes3D, solid: MinkowskiSum, chart: Array, fills: list[str], named: bool
) -> None:
    corners = solid.exact_vertices().astype(np.float64) @ chart
    _outline(axes, solid, corners, fills)
    axes.plot(*corners.T, "o", color="black", markersize=4)
    if named:
        _name(axes, corners, [" ".join(map(str, row)) for row in solid.decomposition.tolist()])
    _to_scale(axes, corners)


def _origins(total: MinkowskiSum) -> list[str]:
    """A fill for each facet: of the only summand that moves along it, or grey."""
    fills = []
    for facet in total.facets():
        rows = total.decomposition[sorted(facet.vertices)]
        moving = np.flatnonzero((rows != rows[0]).any(axis=0))
        fills.append(FILLS[moving[0]] if len(moving) == 1 and moving[0] < _SUMMANDS else _MIXED)
    return fills


def _chart(total: MinkowskiSum) -> Array:
    """Matrix (d, 2) or (d, 3) to the drawing: the axes, or an orthonormal basis of the span."""
    d = total.ambient_dim
    if d in (2, 3):
        return np.eye(d)
    basis = np.zeros((d, max(2, total.dim)))
    found = 0
    # What is left of each axis beside the constant directions and the basis so far.
    beside = np.linalg.qr(total.lineality().astype(np.float64).T)[0]
    for axis in np.eye(d):
        rest = axis - beside @ (beside.T @ axis)
        rest = rest - basis @ (basis.T @ rest)
        if found < total.dim and np.linalg.norm(rest) > 1e-9:
            basis[:, found] = rest / np.linalg.norm(rest)
            found += 1
    return basis


# ---- drawing ----------------------------------------------------------------------------------


def _axes(
    figure: Figure | SubFigure, dim: int, place: tuple[int, int, int] = (1, 1, 1)
) -> Axes | Axes3D:
    if dim == 2:
        return figure.add_subplot(*place)
    axes = figure.add_subplot(*place, projection="3d")
    if not isinstance(axes, Axes3D):
        raise InvalidInput("newton: matplotlib with its 3-D part needed, got none; reinstall it.")
    return axes


def _outline(axes: Axes | Axes3D, solid: MinkowskiSum, corners: Array, fills: list[str]) -> None:
    """The faces of a polytope, filled; of a polygon in the plane the sides have the fills."""
    if isinstance(axes, Axes3D):
        sides = [sorted(f.vertices) for f in solid.facets()]
        if solid.dim < 3:
            # A flat polytope is its own only face.
            sides, fills = [list(range(len(corners)))], fills[:1] or [_MIXED]
        faces = Poly3DCollection(
            [_cyclic(corners[side]) for side in sides],
            facecolors=fills,
            edgecolors=INKS[1],
            linewidths=1.2,
            alpha=0.45,
        )
        # Faces of different length are padded with whatever was in memory, and ``add_collection3d``
        # would scale to that.
        axes.add_collection(faces, autolim=False)
        return
    around = corners[by_angle(corners)]
    axes.fill(*around.T, facecolor="#F2F2F2", edgecolor=INKS[1], linewidth=1.5)
    sides = [sorted(f.vertices) for f in solid.facets()] if solid.dim == 2 else [[0, -1]]
    for side, fill in zip(sides, fills, strict=False):
        axes.plot(*corners[side].T, color=fill, linewidth=3)


def _cyclic(corners: Array) -> Array:
    """Corners of a flat face in cyclic order."""
    if len(corners) < 3:
        return corners
    centre = corners.mean(axis=0)
    _, _, axes = np.linalg.svd(corners - centre)
    return corners[by_angle((corners - centre) @ axes[:2].T)]


def _name(axes: Axes | Axes3D, points: Array, names: Sequence[str]) -> None:
    for name, point in zip(names, points.tolist(), strict=True):
        if isinstance(axes, Axes3D):
            x, y, z = point
            axes.text(x, y, z, f" {name}", fontsize=9, parse_math=False)
        else:
            axes.annotate(name, point, xytext=(5, 5), textcoords="offset points", parse_math=False)


def _fit(axes: Axes3D, points: Array) -> None:
    """Limits a tenth beyond the points; where these are flat, a tenth of the longest side."""
    low, high = points.min(axis=0), points.max(axis=0)
    sides = high - low
    longest = sides.max() or max(1.0, np.abs(points).max())
    pad = 0.1 * np.where(sides > 0, sides, longest)
    _limit(axes, low - pad, high + pad)


def _to_scale(axes: Axes | Axes3D, corners: Array) -> None:
    """One length in all directions, and no ticks: only the shape matters."""
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    half = 0.55 * float(np.ptp(corners, axis=0).max()) or 1.0
    _limit(axes, middle - half, middle + half)
    if isinstance(axes, Axes3D):
        axes.set_box_aspect((1, 1, 1))
        axes.set_axis_off()
    else:
        axes.set(xticks=[], yticks=[], aspect="equal")


def _limit(axes: Axes | Axes3D, low: Array, high: Array) -> None:
    axes.set(**{f"{axis}lim": ends for axis, *ends in zip("xyz", low, high, strict=False)})
