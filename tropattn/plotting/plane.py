"""Pictures of the plane: one head's cells, and the common refinement of several heads.

What is said in titles is counted exactly, and cells lie where ``plane_cells`` puts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tropattn.errors import InvalidInput
from tropattn.plotting.colouring import colouring
from tropattn.plotting.layers import layer_panels
from tropattn.plotting.style import (
    FILLS,
    INKS,
    counted,
    drawn_wall,
    fill,
    fits,
    label_outer,
    lighter,
    name_outside,
    named,
    new_figure,
    segments,
)
from tropattn.plotting.window import Plane, drawn, mark
from tropattn.polyhedra.domain import Domain, Slice
from tropattn.polyhedra.polygon import Polygon
from tropattn.regions.count import count_regions
from tropattn.regions.polygons.cells import PlaneCells, plane_cells
from tropattn.tropical.polynomial import PowerDiagram, TropicalPolynomial
from tropattn.tropical.stage import stages_of

__all__ = [
    "diagram",
    "key_colours",
    "legend_of_walls",
    "paint",
    "panels",
    "partition",
    "pattern_colours",
    "refinement",
    "show_keys",
]


_MAX_CELLS = 20_000
_CROWDED = 0.06
"""Where the middle half of the cells fill less of the window than this, they are drawn larger."""
_OUTSIDE = 14
"""So many names, at most, are written beside a picture with lines to their cells."""
_PANEL = 1.9
"""Inches of a head's panel, at least, for its title."""
_LABELLED = 60
"""Cells of a refinement are labelled by their pattern up to this number."""


# ---- the two kinds of picture -----------------------------------------------------------------


def diagram(
    obj: TropicalPolynomial | PowerDiagram,
    window: Any = None,
    *,
    domain: Domain | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw one head's cells: its power diagram in the plane (theory T2).

    Parameters
    ----------
    obj : a polynomial or power diagram on R^2, or on R^d with a plane ``domain``.
    window : (low, high) corners, a 2-D ``Box`` or ``Polytope``; round the diagram's corners where
        omitted.
    domain : a plane ``Slice``, or a bounded ``Box`` or ``Polytope`` in R^2 instead of a window.
    labels : names of the keys, their indices where omitted.
    title : of the figure, the variable and its domain where omitted; the axes say the counts.

    Returns
    -------
    Figure
        Cells coloured and named by key; sites of live keys as dots and of dead ones as crosses,
        where they lie in the window.

    Raises
    ------
    InvalidInput : no plane, more than one head, or an unbounded window.

    Notes
    -----
    Cost: one exact count, and the polygons of ``plane_cells``.

    >>> diagram(TropicalPolynomial([[0, 0], [1, 0], [0, 1]])).axes[0].get_title()
    '3 cells on R^2, 3 in the window (3 keys)'
    """
    plane = Plane.of(obj, domain, window)
    if len(plane.units) != 1:
        raise InvalidInput(
            f"obj: one head needed, got {len(plane.units)}; partition draws several."
        )
    figure = new_figure(6.2, 5.4 * plane.tall + 0.8)
    axes = figure.add_subplot()
    cells = _draw_head(axes, plane, 0, labels)
    axes.set_title(f"{_counted(plane, cells)} ({_keys(plane.units[0])})", fontsize=11)
    figure.suptitle(title or plane.words, fontsize=10, parse_math=False)
    return figure


def partition(
    target: Any,
    domain: Domain | None = None,
    window: Any = None,
    *,
    labels: Sequence[Sequence[str]] | None = None,
    points: Any = None,
    point_names: Sequence[str] = (),
    title: str | None = None,
) -> Figure:
    """Draw the common refinement of heads, or of the layers of a network, on a plane (T5, T12).

    Parameters
    ----------
    target : as for ``count_regions``: a variable in R^2, or a plane ``domain``.
    domain, window : as for ``diagram``.
    labels : names of the keys, one sequence per head, for the patterns written into large cells of
        one layer.
    points : (m, 2) parameters to mark, such as states of tokens; ``point_names`` one each.

    Returns
    -------
    Figure
        Cells in colours that differ across every wall, walls by head in ink and dashes. Of several
        layers: a panel behind each one that routes, walls by the layer that made them.

    Raises
    ------
    InvalidInput : no plane or an unbounded window.
    BudgetExceeded : more than 20000 cells in the window.

    Notes
    -----
    Cost: one exact count, and the polygons of ``plane_cells``.

    >>> square = [TropicalPolynomial([[0, 0], [1, 0]]), TropicalPolynomial([[0, 0], [0, 1]])]
    >>> partition(square).axes[0].get_title()
    '4 cells on R^2, 4 in the window (2 heads)'
    """
    if not isinstance(target, PowerDiagram) and len(stages_of(target)) > 1:
        figure = layer_panels(target, domain, window, title=title)
        for axes in figure.axes:
            mark(axes, points, point_names if axes is figure.axes[-1] else (), small=True)
        return figure
    plane = Plane.of(target, domain, window)
    found, cells = refinement(plane)
    crowd = _crowd(plane, cells)
    wide = 7.2 if crowd is None else 11.0
    tall = 6.4 if crowd is None else 5.0
    figure = new_figure(wide, tall * plane.tall + 1.3 + _legend_height(plane))
    axes, *closer = np.atleast_1d(figure.subplots(1, 1 if crowd is None else 2)).tolist()
    _draw_refinement(axes, plane, found, cells, labels)
    mark(axes, points, point_names)
    for part in closer:
        _draw_closer(part, axes, plane, found, cells, crowd)
    heads = counted(len(plane.units), "head")
    axes.set_title(f"{_counted(plane, len(cells))} ({heads})", fontsize=11)
    figure.suptitle(title or plane.words, fontsize=10, parse_math=False)
    return figure


def panels(
    target: Any,
    domain: Domain | None = None,
    window: Any = None,
    *,
    labels: Sequence[Sequence[str]] | None = None,
    points: Any = None,
    point_names: Sequence[str] = (),
    title: str | None = None,
) -> Figure:
    """Draw each head's cells side by side and, larger, their common refinement (T2, T5).

    Parameters
    ----------
    target, domain, window, labels : as for ``partition``.
    points : (m, 2) parameters to mark, such as states of tokens; ``point_names`` one each.

    Raises
    ------
    InvalidInput, BudgetExceeded : as ``partition``.

    Notes
    -----
    Where most cells crowd in a small part of the window, that part is drawn once more, larger.
    """
    plane = Plane.of(target, domain, window)
    found, refined = refinement(plane)
    crowd = _crowd(plane, refined)
    stack = 1 if crowd is None else 2
    n_heads = len(plane.units)
    columns = int(np.ceil(np.sqrt(n_heads / stack)))
    lines = -(-n_heads // columns)
    # The panels are as high together as the refinement beside them, which is not too small.
    larger = max(lines / stack, columns / 1.5, 1.6 if crowd is None else 2.3)
    side = max(10.0 / (columns + larger), _PANEL)
    height = max(lines * (side * plane.tall + 0.45), stack * (larger * side * plane.tall + 0.8))
    figure = new_figure(side * (columns + larger), height + 0.6 + _legend_height(plane))
    halves = figure.add_gridspec(1, 2, width_ratios=[columns, larger])
    left, right = figure.add_subfigure(halves[0, 0]), figure.add_subfigure(halves[0, 1])
    grid = left.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for h, axes in enumerate(grid.ravel().tolist()[:n_heads]):
        names = None if labels is None else labels[h]
        cells = _draw_head(axes, plane, h, names, small=columns > 1, inches=0.8 * side)
        mark(axes, points, (), small=columns > 1)
        axes.set_title(f"head {h}: {cells} of {_keys(plane.units[h])}", fontsize=10)
    label_outer(grid, n_heads)
    axes, *closer = np.atleast_1d(right.subplots(stack, 1)).tolist()
    _draw_refinement(axes, plane, found, refined, labels, inches=0.85 * larger * side)
    mark(axes, points, point_names)
    axes.set_title(f"common refinement:\n{_counted(plane, len(refined))}", fontsize=11)
    for part in closer:
        _draw_closer(part, axes, plane, found, refined, crowd)
    figure.suptitle(title or plane.words, parse_math=False)
    return figure


def _legend_height(plane: Plane) -> float:
    """Inches that the legend of heads takes below the axes."""
    return 0.2 + 0.22 * -(-len(plane.units) // _legend_columns(plane))


def legend_of_walls(plane: Plane) -> dict[str, Any]:
    """Settings of a legend that names the heads of a refinement's walls."""
    few = len(plane.units) <= len(INKS)
    handles = []
    for h, unit in enumerate(plane.units):
        ink, dash = drawn_wall(h)
        name = f"walls of head {h} ({_keys(unit)})" if few else f"head {h}"
        handles.append(Line2D([], [], color=ink, linestyle=dash, label=name))
    return {
        "handles": handles,
        "ncols": _legend_columns(plane),
        "fontsize": 8,
        "handlelength": 3.2,
        "title": None if few else "walls",
    }


def _legend_columns(plane: Plane) -> int:
    return 2 if len(plane.units) <= len(INKS) else 4


def _draw_head(
    axes: Axes,
    plane: Plane,
    h: int,
    labels: Sequence[str] | None = None,
    *,
    small: bool = False,
    inches: float = 5.2,
) -> int:
    """Draw one head's cells; return their number."""
    unit = plane.units[h]
    cells = plane.cells(unit)
    colours = key_colours(unit, [cells])
    outside = show_keys(axes, plane, cells, colours, labels, small=small, inches=inches)
    plane.prepare(axes)
    if not small and len(outside) <= _OUTSIDE:
        name_outside(axes, outside, 8)
    if not small and not isinstance(plane.counted, Slice):
        _draw_sites(axes, unit, colours)
    return len(cells)


def show_keys(
    axes: Axes,
    plane: Plane,
    cells: dict[int, Polygon],
    colours: dict[int, str],
    labels: Sequence[str] | None,
    *,
    small: bool,
    inches: float,
) -> list[tuple[Polygon, str]]:
    """Draw the cells of keys with the names that fit in; return the cells of the others."""
    fill(axes, cells.values(), [colours[j] for j in cells], edgecolors="black", linewidths=0.8)
    inch = float(np.ptp(plane.window.vertices, axis=0).max()) / inches
    outside = []
    for j, cell in cells.items():
        name = str(j) if labels is None else labels[j]
        size = next(
            (size for size in ((8, 6) if small else (10, 8)) if fits(cell, name, size, inch)), None
        )
        if size is not None:
            named(axes, cell, name, size, colours[j])
        else:
            outside.append((cell, name))
    return outside


def key_colours(unit: TropicalPolynomial, pictures: Sequence[dict[int, Polygon]]) -> dict[int, str]:
    """A colour for each key that has a cell in one of some pictures, which differ across walls.

    Of ten keys or fewer the same key has the same colour in every head.
    """
    seen = sorted({j for cells in pictures for j in cells})
    if unit.n_terms <= len(FILLS):
        return {j: FILLS[j] for j in seen}
    sides = [(j, cell) for cells in pictures for j, cell in cells.items()]
    return colouring(seen, [(j, int(i)) for j, cell in sides for i in cell.labels if i >= 0])


def _draw_sites(axes: Axes, unit: TropicalPolynomial, colours: dict[int, str]) -> None:
    """The sites (the slopes, T2) in their cells' colours; crosses for those without a cell here."""
    sites = unit.slopes.astype(np.float64)[unit.distinct[0]]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    inside = (
        (sites[:, 0] > left) & (sites[:, 0] < right) & (sites[:, 1] > low) & (sites[:, 1] < high)
    )
    kept = unit.distinct[0].tolist()
    seen = np.array([j in colours for j in kept])
    if (inside & seen).any():
        fills = [colours[j] for j, here in zip(kept, inside & seen, strict=True) if here]
        axes.scatter(
            *sites[inside & seen].T, s=42, c=fills, edgecolors="black", label="site", zorder=3
        )
    if (inside & ~seen).any():
        axes.plot(
            *sites[inside & ~seen].T, "x", color="black", label="site without a cell here", zorder=3
        )
    if inside.any():
        axes.legend(loc="best", fontsize=8, framealpha=0.9)


Cells = dict[tuple[int, ...], Polygon]


def refinement(plane: Plane) -> tuple[PlaneCells, Cells]:
    """The cells of all heads together, and the polygon of each pattern (theory T5)."""
    found = plane_cells(plane.units, plane.parameters, max_cells=_MAX_CELLS)
    return found, drawn(found)


def _crowd(plane: Plane, cells: Cells) -> Polygon | None:
    """The box of the middle half of the cells' centres, if it is small: there they crowd."""
    if len(cells) <= _LABELLED:
        return None
    centres = np.array([cell.centroid for cell in cells.values()])
    low, high = np.quantile(centres, [0.25, 0.75], axis=0)
    window = plane.window
    if np.prod(high - low) > _CROWDED * window.area or not (high > low).all():
        return None
    # Of the shape of the window, and a little wider.
    whole = np.ptp(window.vertices, axis=0)
    half = 0.75 * whole * float(((high - low) / whole).max())
    middle = (low + high) / 2
    return Polygon.box(middle - half, middle + half)


def _draw_closer(
    axes: Axes, first: Axes, plane: Plane, found: PlaneCells, cells: Cells, box: Polygon | None
) -> None:
    """The crowded part of the first picture, larger, and a frame round it there."""
    assert box is not None
    paint(axes, plane, cells, pattern_colours([found]))
    plane.prepare(axes)
    (low, high) = box.vertices[0], box.vertices[2]
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    inside = sum(bool(((c.centroid > low) & (c.centroid < high)).all()) for c in cells.values())
    times = float(np.ptp(plane.window.vertices, axis=0)[0] / (high - low)[0])
    axes.set_title(f"the frame {times:.1f} times larger, round {inside} cells", fontsize=10)
    first.add_patch(Rectangle(low.tolist(), *(high - low).tolist(), fill=False, lw=1.6))


def pattern_colours(pictures: Sequence[PlaneCells]) -> dict[tuple[int, ...], str]:
    """A colour for each pattern of one of some pictures, which differ across walls."""
    patterns: dict[tuple[int, ...], None] = {}
    edges = []
    for found in pictures:
        own = [tuple(row) for row in found.patterns.tolist()]
        patterns |= dict.fromkeys(own)
        edges += [(own[i], own[j]) for i, j in found.adjacency().edges]
    return colouring(list(patterns), edges)


def paint(axes: Axes, plane: Plane, cells: Cells, colours: dict[tuple[int, ...], str]) -> None:
    """The cells of patterns in lighter colours, and the walls head by head."""
    fill(axes, cells.values(), [lighter(colours[p], 0.35) for p in cells])
    for h, unit in enumerate(plane.units):
        ink, dash = drawn_wall(h)
        # Each wall once: from the cell of its smaller key.
        walls = [wall for j, cell in plane.cells(unit).items() for wall in segments(cell, j + 1)]
        axes.add_collection(LineCollection(walls, colors=ink, linewidths=1.3, linestyles=[dash]))


def _draw_refinement(
    axes: Axes,
    plane: Plane,
    found: PlaneCells,
    cells: Cells,
    labels: Sequence[Sequence[str]] | None = None,
    inches: float = 6.0,
) -> None:
    paint(axes, plane, cells, pattern_colours([found]))
    plane.prepare(axes)
    if len(cells) <= _LABELLED:
        _name_patterns(axes, plane, cells, labels, inches)
    settings = legend_of_walls(plane)
    # Below the numbers and the name of the axis.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=4.5, **settings)


def _name_patterns(
    axes: Axes,
    plane: Plane,
    cells: Cells,
    labels: Sequence[Sequence[str]] | None,
    inches: float,
) -> None:
    inch = float(np.ptp(plane.window.vertices, axis=0).max()) / inches
    for pattern, cell in cells.items():
        names = [str(j) if labels is None else labels[h][j] for h, j in enumerate(pattern)]
        name = " ".join(names) if labels is None else _folded(names)
        if fits(cell, name, 6, inch):
            named(axes, cell, name, 6)


def _folded(names: Sequence[str]) -> str:
    """Names on about square lines."""
    width = int(np.ceil(np.sqrt(len(names))))
    lines = [" ".join(names[i : i + width]) for i in range(0, len(names), width)]
    return "\n".join(lines)


# ---- words ------------------------------------------------------------------------------------


def _counted(plane: Plane, inside: int) -> str:
    """Exact counts in words, of the window and, where it was cut out of R^2, of the plane."""
    if plane.whole:
        total = count_regions(plane.units).value
        return f"{counted(total, 'cell')} on R^2, {inside} in the window"
    return f"{counted(inside, 'cell')} in the window"


def _keys(unit: TropicalPolynomial) -> str:
    return counted(unit.n_terms, "key")
