"""Cells in R^3: polyhedra in a box, drawn a little apart, or cones by their directions (T2, T5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from tropattn._types import Array
from tropattn.errors import InvalidInput
from tropattn.plotting.colouring import colouring
from tropattn.plotting.style import FILLS, counted, lighter, new_figure
from tropattn.polyhedra.domain import Box, Domain, Slice
from tropattn.polyhedra.meshes import facet_polygons
from tropattn.polyhedra.polygon import bounding_window
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.regions.complex import RegionComplex
from tropattn.regions.count import enumerate_regions
from tropattn.tropical.max_affine import on_parameters
from tropattn.tropical.polynomial import PowerDiagram, TropicalPolynomial
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.stage import stages_of

__all__ = ["space"]

_MAX_CELLS = 2000
_APART = 0.25
"""Cells move so far away from the middle, in parts of their distance from it."""
_ELEVATION, _AZIMUTH = 24, -56
_FINE = 6
"""Each side of a triangle on the sphere is cut into so many."""
_TURNED, _LETTER = 0.3, 0.03
"""Names stand on what faces the viewer so far, and where so much room a letter is round them."""

Units = tuple[TropicalPolynomial, ...]


def space(
    target: Any,
    domain: Domain | None = None,
    *,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the cells of heads in R^3 as polyhedra (T2, T5).

    Parameters
    ----------
    target : a polynomial, power diagram, fixed layer or sequence of polynomials on R^3, or on R^d
        with a 3-dimensional ``Slice`` as domain.
    domain : a bounded ``Box`` or ``Polytope`` in R^3, or a ``Slice``. Where omitted, central heads,
        whose cells are cones, are drawn by their directions, and others in a box round most
        corners.
    labels : names of the keys of a single head, their indices where omitted.

    Returns
    -------
    Figure
        Of a box: each cell moved away from the middle by a quarter of its distance, so that one
        sees between them; no cell hides what stands before it. Of directions: the sphere from two
        opposite sides, cut along the great circles of the walls.

    Raises
    ------
    InvalidInput : another dimension, or an unbounded domain.
    BudgetExceeded : more than 2000 cells.

    Notes
    -----
    Cells, corners and faces are exact, rounded once for drawing. The order of drawing is exact too:
    of two cells that one has the viewer's side whose slope is larger in the viewer's direction.
    Cost: one search, and a double description a cell.

    >>> axes = space(TropicalPolynomial([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])).axes
    >>> [a.get_title() for a in axes]
    ['from the front', 'from behind']
    """
    units, window, words = _in_space(target, domain)
    if window is None and Refinement.of(units).central:
        return _directions(units, labels, title or f"directions of {words}")
    whole = None
    if window is None:
        whole = _found(units, None)
        window = _round_corners(_polyhedra(whole))
    cells = _found(units, window)
    figure = new_figure(6.6, 6.4)
    _draw_apart(figure, units, cells, labels)
    inside = counted(len(cells), "cell")
    said = inside if whole is None else f"{counted(len(whole), 'cell')} on R^3, {len(cells)} drawn"
    figure.axes[0].set_title(f"{said} ({_heads(units)})", fontsize=11)
    figure.suptitle(title or words, fontsize=10, parse_math=False)
    return figure


# ---- what is drawn ----------------------------------------------------------------------------


def _in_space(target: Any, domain: Domain | None) -> tuple[Units, Domain | None, str]:
    """Heads as polynomials on R^3, the bounded window or None, and both in words."""
    variable = str(getattr(target, "variable", "x"))
    stages = stages_of(target.to_polynomial() if isinstance(target, PowerDiagram) else target)
    if len(stages) != 1:
        raise InvalidInput(
            f"target: one layer needed to draw in space, got {len(stages)} stages; draw one at a "
            "time."
        )
    units = on_parameters(stages[0].units, domain)
    if units[0].dim != 3:
        raise InvalidInput(
            f"target: a variable in R^3, or a 3-dimensional Slice as domain, needed to draw in "
            f"space, got R^{units[0].dim}."
        )
    if domain is None:
        return units, None, f"{variable} in R^3"
    window = domain.window if isinstance(domain, Slice) else domain
    if window is not None and not Polyhedron.of(window).bounded:
        raise InvalidInput(
            f"domain: a bounded one needed to draw in space, got {domain.describe()}; take a Box."
        )
    return units, window, f"{variable} in {domain.describe()}"


def _heads(units: Units) -> str:
    return counted(len(units), "head") if len(units) != 1 else counted(units[0].n_terms, "key")


def _found(units: Units, window: Domain | None) -> RegionComplex:
    return enumerate_regions(units, window, max_cells=_MAX_CELLS)


def _polyhedra(found: RegionComplex) -> list[Polyhedron]:
    return [found.cell(i) for i in range(len(found))]


def _round_corners(cells: Sequence[Polyhedron]) -> Box:
    """A cube round most corners of cells."""
    points = np.vstack([cell.corners for cell in cells]).astype(np.float64)
    points = np.unique(points, axis=0)
    if len(points) > 8:
        points = np.quantile(points, [0.05, 0.95], axis=0)
    return Box(*bounding_window(points, 0.3))


def _fills(units: Units, found: RegionComplex, cells: list[Polyhedron]) -> list[str]:
    """A colour a key of a single head; of several, colours that differ across every facet."""
    patterns = [tuple(row) for row in found.patterns.tolist()]
    if len(units) == 1 and units[0].n_terms <= len(FILLS):
        return [FILLS[j] for (j,) in patterns]
    pairs = []
    known = set(patterns)
    for pattern, cell in zip(patterns, cells, strict=True):
        for facet in cell.facets:
            changed = dict(b for b, row in zip(cell.behind, cell.rows, strict=True)
                           if b is not None and row == cell.rows[facet])  # fmt: skip
            beyond = tuple(changed.get(h, j) for h, j in enumerate(pattern))
            if beyond != pattern and beyond in known:
                pairs.append((pattern, beyond))
    colours = colouring(patterns, pairs)
    return [colours[pattern] for pattern in patterns]


# ---- a box --------------------------------------------------------------------------------------


def _draw_apart(
    figure: Figure, units: Units, found: RegionComplex, labels: Sequence[str] | None
) -> None:
    """Each cell by the faces that one sees, those behind first."""
    axes = _axes(figure, _AZIMUTH)
    cells = _polyhedra(found)
    fills = _fills(units, found, cells)
    slopes = sum(u.slopes.astype(float)[found.patterns[:, h]] for h, u in enumerate(units))
    rank = np.argsort(np.argsort(slopes @ _towards(_AZIMUTH), kind="stable"))
    solid = [cell.corners.astype(np.float64) for cell in cells]
    everything = np.vstack(solid)
    middle = (everything.min(axis=0) + everything.max(axis=0)) / 2
    for cell, corners, fill, order in zip(cells, solid, fills, rank.tolist(), strict=True):
        shift = _APART * (corners.mean(axis=0) - middle)
        faces, shades = _seen(cell, corners + shift, fill)
        axes.add_collection(
            Poly3DCollection(faces, facecolors=shades, edgecolors="black", linewidths=0.5,
                             zorder=order), autolim=False)  # fmt: skip
    low, high = everything.min(axis=0), everything.max(axis=0)
    grown = [middle + (1 + _APART) * (side - middle) for side in (low, high)]
    for k, (axis, *ends) in enumerate(zip("xyz", *grown, strict=True)):
        # No numbers: cells do not lie where they are drawn.
        axes.set(**{f"{axis}lim": ends, f"{axis}ticks": []})
        getattr(axes, f"set_{axis}label")(f"$x_{k + 1}$", labelpad=-10)
    axes.set_box_aspect(high - low, zoom=0.9)
    if len(units) == 1 and units[0].n_terms <= len(FILLS):
        keys = found.patterns[:, 0].tolist()
        names = {j: str(j) if labels is None else labels[j] for j in keys}
        patches = [Patch(facecolor=FILLS[j], edgecolor="black", label=names[j]) for j in keys]
        legend = axes.legend(handles=patches, title="key", fontsize=8, loc="upper left")
        for text in legend.get_texts():
            text.set_parse_math(False)


def _seen(cell: Polyhedron, corners: Array, fill: str) -> tuple[list[Array], list[Any]]:
    """The facets turned to the viewer, lighter the more they face the light."""
    faces, shades = [], []
    light = _towards(_AZIMUTH - 40)
    for facet, around in facet_polygons(cell).items():
        normal = np.array([float(v) for v in cell.rows[facet][:3]])
        normal /= np.linalg.norm(normal)
        if normal @ _towards(_AZIMUTH) > 0:
            faces.append(corners[around])
            shades.append(lighter(fill, 0.5 * float(normal @ light > 0) * float(normal @ light)))
    return faces, shades


def _axes(figure: Figure, azimuth: float, place: tuple[int, int, int] = (1, 1, 1)) -> Any:
    """Axes seen from far off; what stands in front is for the caller to say."""
    axes: Any = figure.add_subplot(*place, projection="3d")
    axes.set_proj_type("ortho")
    axes.view_init(_ELEVATION, azimuth)
    axes.computed_zorder = False
    return axes


def _towards(azimuth: float) -> Array:
    """The unit vector towards a viewer."""
    up, round_ = np.radians(_ELEVATION), np.radians(azimuth)
    return np.array([np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up)])


# ---- directions ---------------------------------------------------------------------------------


def _directions(units: Units, labels: Sequence[str] | None, title: str) -> Figure:
    """Cones by where they meet the unit sphere round the centre, from two sides."""
    centre = np.array([int(v.p) / int(v.q) for v in Refinement.of(units).centre])
    half = max(1.0, float(np.abs(centre).max()))
    found = _found(units, Box(centre - half, centre + half))
    cells = _polyhedra(found)
    fills = _fills(units, found, cells)
    names = [" ".join(map(str, row)) for row in found.patterns.tolist()]
    if len(units) == 1 and labels is not None:
        names = [labels[j] for (j,) in found.patterns.tolist()]
    figure = new_figure(10.4, 5.8)
    for k, side in enumerate(("from the front", "from behind")):
        azimuth = _AZIMUTH + 180 * k
        axes = _axes(figure, azimuth, (1, 2, k + 1))
        view = _towards(azimuth)
        for cell, fill, name in zip(cells, fills, names, strict=True):
            triangles, arcs = _on_sphere(cell, centre)
            facing = triangles[triangles.mean(axis=1) @ view > 0]
            if len(facing):
                axes.add_collection(
                    Poly3DCollection(facing, facecolors=fill, edgecolors=fill, linewidths=0.4,
                                     zorder=1), autolim=False)  # fmt: skip
            axes.add_collection(
                Line3DCollection(arcs[arcs.mean(axis=1) @ view > 0], colors="black",
                                 linewidths=1.0, zorder=2), autolim=False)  # fmt: skip
            place = triangles.mean(axis=(0, 1))
            place /= np.linalg.norm(place) or 1.0
            off = np.linalg.norm(arcs - place, axis=2).min(initial=2.0)
            if place @ view > _TURNED and off > _LETTER * len(name):
                x, y, z = 1.02 * place
                axes.text(x, y, z, name, fontsize=8, ha="center", va="center", parse_math=False,
                          zorder=3)  # fmt: skip
        axes.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1), title=side)
        axes.set_box_aspect((1, 1, 1), zoom=1.25)
        axes.set_axis_off()
    figure.suptitle(f"{title}\n{counted(len(cells), 'cone')} ({_heads(units)})", fontsize=11,
                    parse_math=False)  # fmt: skip
    return figure


def _on_sphere(cell: Polyhedron, centre: Array) -> tuple[Array, Array]:
    """The part of the sphere in a cone, as small triangles, and its walls, as short segments.

    The cone is cut off by a box round its apex, whose sides in it are sent to the sphere.
    """
    corners = cell.corners.astype(np.float64) - centre
    triangles, arcs = [], [np.empty((0, 2, 3))]
    for facet, around in facet_polygons(cell).items():
        if cell.behind[facet] is not None:
            continue
        ring = corners[around]
        middle = ring.mean(axis=0)
        for i, j in zip(around, [*around[1:], around[0]], strict=True):
            triangles.append(_cut(middle, corners[i], corners[j]))
            both = cell.tight[:, i] & cell.tight[:, j]
            if any(both[row] and cell.behind[row] is not None for row in cell.facets):
                share = np.linspace(0, 1, 4 * _FINE + 1)[:, None]
                arc = _unit((1 - share) * corners[i] + share * corners[j])
                arcs.append(np.stack([arc[:-1], arc[1:]], axis=1))
    return _unit(np.vstack(triangles)), np.vstack(arcs)


def _cut(a: Array, b: Array, c: Array) -> Array:
    """A triangle as small ones, (m, 3, 3)."""
    steps = range(_FINE)
    up = [((i, j), (i + 1, j), (i, j + 1)) for i in steps for j in steps if i + j < _FINE]
    down = [((i + 1, j), (i + 1, j + 1), (i, j + 1)) for i in steps for j in steps
            if i + j < _FINE - 1]  # fmt: skip
    shares = np.array(up + down) / _FINE
    return a + shares[..., :1] * (b - a) + shares[..., 1:] * (c - a)


def _unit(points: Array) -> Array:
    return points / np.linalg.norm(points, axis=-1, keepdims=True)
