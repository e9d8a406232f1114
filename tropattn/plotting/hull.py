"""Pictures of Newton polytopes in two and three dimensions (theory T3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray

from tropattn.errors import InvalidInput
from tropattn.plotting.style import FILLS, INKS, new_figure
from tropattn.polyhedra import _cdd
from tropattn.tropical.newton import NewtonPolytope

__all__ = ["polytope"]

Array = NDArray[Any]


def polytope(
    newton: NewtonPolytope,
    *,
    labels: Sequence[str] | None = None,
    lifted: bool = False,
    title: str | None = None,
) -> Figure:
    """Draw a Newton polytope in the plane or in space.

    Parameters
    ----------
    newton : with points in R^2 or R^3 (a lifted polytope has the intercept as last coordinate).
    labels : names of the terms, their indices where omitted.
    lifted : whether the last coordinate is the intercept, for its axis label.

    Returns
    -------
    Figure
        Vertices as dots with names, other terms as crosses, faces shaded.

    Raises
    ------
    InvalidInput : points in another dimension.

    Notes
    -----
    Which terms are vertices is exact; facets in space come from cddlib.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> f = TropicalPolynomial([[0, 0], [2, 0], [0, 2], [0.5, 0.5]])
    >>> polytope(NewtonPolytope.of(f)).axes[0].get_title()
    '3 vertices among 4 terms'
    """
    points = newton.points.astype(np.float64)
    names = [str(j) for j in range(len(points))] if labels is None else list(labels)
    words = title or f"{len(newton.indices)} vertices among {len(points)} terms"
    if points.shape[1] == 2:
        return _in_plane(newton, points, names, words, lifted)
    if points.shape[1] == 3:
        return _in_space(newton, points, names, words, lifted)
    raise InvalidInput(
        f"newton: points in R^2 or R^3 needed to draw, got R^{points.shape[1]}; "
        "pull the polynomial back to a plane first."
    )


def _axis_names(dim: int, lifted: bool) -> list[str]:
    names = [f"slope $a_{k + 1}$" for k in range(dim)]
    if lifted:
        names[-1] = "intercept $c$"
    return names


def _in_plane(
    newton: NewtonPolytope, points: Array, names: Sequence[str], title: str, lifted: bool
) -> Figure:
    figure = new_figure(6, 6)
    axes = figure.add_subplot()
    corners = points[newton.indices]
    around = _by_angle(corners)
    axes.fill(*corners[around].T, facecolor=FILLS[0], alpha=0.5, edgecolor=INKS[1], linewidth=1.5)
    inner = np.setdiff1d(np.arange(len(points)), newton.indices)
    axes.plot(*corners.T, "o", color="black", markersize=6, label="vertex")
    if len(inner):
        axes.plot(*points[inner].T, "x", color=INKS[2], markersize=7, label="no vertex")
    for j, point in enumerate(points):
        axes.annotate(names[j], point, xytext=(5, 5), textcoords="offset points", parse_math=False)
    axes.set_aspect("equal" if not lifted else "auto")
    axes.margins(0.1)
    x_name, y_name = _axis_names(2, lifted)
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    axes.legend(fontsize=8)
    axes.set_title(title)
    return figure


def _by_angle(corners: Array) -> NDArray[np.int64]:
    away = corners - corners.mean(axis=0)
    return np.argsort(np.arctan2(away[:, 1], away[:, 0]))


def _in_space(
    newton: NewtonPolytope, points: Array, names: Sequence[str], title: str, lifted: bool
) -> Figure:
    figure = new_figure(7, 6.5)
    axes = figure.add_subplot(projection="3d")
    if not isinstance(axes, Axes3D):
        raise InvalidInput("newton: matplotlib with its 3-D part needed, got none; reinstall it.")
    corners = points[newton.indices]
    faces = [_face(corners[sorted(face)]) for face in _facets(newton, corners)]
    axes.add_collection3d(
        Poly3DCollection(faces, facecolors=FILLS[0], edgecolors=INKS[1], linewidths=1.2, alpha=0.35)
    )
    inner = np.setdiff1d(np.arange(len(points)), newton.indices)
    axes.scatter(*corners.T, color="black", s=25, label="vertex", depthshade=False)
    if len(inner):
        axes.scatter(
            *points[inner].T, color=INKS[2], marker="x", s=35, label="no vertex", depthshade=False
        )
    for j, point in enumerate(points):
        x, y, z = point.tolist()
        axes.text(x, y, z, f" {names[j]}", fontsize=9, parse_math=False)
    x_name, y_name, z_name = _axis_names(3, lifted)
    axes.set_xlabel(x_name)
    axes.set_ylabel(y_name)
    axes.set_zlabel(z_name)
    axes.legend(fontsize=8)
    axes.set_title(title)
    return figure


def _facets(newton: NewtonPolytope, corners: Array) -> list[frozenset[int]]:
    if newton.dim < 3:
        # A flat polytope is its own only face.
        return [frozenset(range(len(corners)))]
    return _cdd.facet_incidence(corners)


def _face(corners: Array) -> Array:
    """Corners of a flat face in cyclic order."""
    if len(corners) < 3:
        return corners
    centre = corners.mean(axis=0)
    _, _, axes = np.linalg.svd(corners - centre)
    flat = (corners - centre) @ axes[:2].T
    return corners[np.argsort(np.arctan2(flat[:, 1], flat[:, 0]))]
