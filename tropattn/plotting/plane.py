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

from tropattn.errors import InvalidInput
from tropattn.plotting.colouring import colouring
from tropattn.plotting.layers import layer_panels
from tropattn.plotting.style import (
    DASHES,
    FILLS,
    INKS,
    counted,
    fill,
    lighter,
    named,
    new_figure,
    segments,
)
from tropattn.plotting.window import Plane, drawn, mark
from tropattn.polyhedra.domain import Domain, Slice
from tropattn.polyhedra.polygon import Polygon
from tropattn.regions.count import count_regions
from tropattn.regions.polygons.cells import plane_cells
from tropattn.tropical.polynomial import PowerDiagram, TropicalPolynomial
from tropattn.tropical.stage import stages_of

__all__ = ["diagram", "panels", "partition"]


_MAX_CELLS = 20_000
_MAX_PANELS = 16
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
    figure = new_figure(7.2, 6.4 * plane.tall + 1.3 + _legend_height(plane))
    axes = figure.add_subplot()
    cells = _draw_refinement(axes, plane, labels)
    mark(axes, points, point_names)
    heads = counted(len(plane.units), "head")
    axes.set_title(f"{_counted(plane, cells)} ({heads})", fontsize=11)
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
    InvalidInput, BudgetExceeded : as ``partition``. At most 16 heads get a panel of their own.
    """
    plane = Plane.of(target, domain, window)
    shown = min(len(plane.units), _MAX_PANELS)
    columns = int(np.ceil(np.sqrt(shown)))
    lines = -(-shown // columns)
    # So many panels are as high together as the refinement beside them.
    share = min(columns / lines, 1.5)
    side = 12.6 / (1 + share)
    figure = new_figure(15.0, side * plane.tall + 2.0 + _legend_height(plane))
    halves = figure.add_gridspec(1, 2, width_ratios=[share, 1])
    left, right = figure.add_subfigure(halves[0, 0]), figure.add_subfigure(halves[0, 1])
    grid = left.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for h, axes in enumerate(grid.ravel().tolist()):
        if h >= shown:
            axes.set_visible(False)
            continue
        names = None if labels is None else labels[h]
        cells = _draw_head(axes, plane, h, names, small=columns > 1)
        mark(axes, points, (), small=columns > 1)
        axes.set_title(f"head {h}: {cells} of {_keys(plane.units[h])}", fontsize=10)
        axes.label_outer()
    axes = right.subplots()
    cells = _draw_refinement(axes, plane, labels)
    mark(axes, points, point_names)
    axes.set_title(f"common refinement: {_counted(plane, cells)}", fontsize=11)
    figure.suptitle(title or plane.words, parse_math=False)
    return figure


def _legend_height(plane: Plane) -> float:
    """Inches that the legend of heads takes below the axes."""
    return 0.2 + 0.22 * -(-min(len(plane.units), len(INKS)) // 2)


def _draw_head(
    axes: Axes, plane: Plane, h: int, labels: Sequence[str] | None = None, *, small: bool = False
) -> int:
    """Draw one head's cells; return their number."""
    unit = plane.units[h]
    cells = plane.cells(unit)
    if unit.n_terms <= len(FILLS):
        # The same key has the same colour in every head.
        colours = {j: FILLS[j] for j in cells}
    else:
        edges = [(j, int(i)) for j, cell in cells.items() for i in cell.labels if i >= 0]
        colours = colouring(list(cells), edges)
    fill(axes, cells.values(), [colours[j] for j in cells], edgecolors="black", linewidths=0.8)
    plane.prepare(axes)
    whole = plane.window.area
    for j, cell in cells.items():
        wide = np.ptp(cell.vertices, axis=0).min() > (0.12 if small else 0.05) * whole**0.5
        if wide and cell.area > (0.012 if small else 0.004) * whole:
            named(axes, cell, str(j) if labels is None else labels[j], 8 if small else 10)
    if not small and not isinstance(plane.counted, Slice):
        _draw_sites(axes, unit, colours)
    return len(cells)


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


def _draw_refinement(
    axes: Axes, plane: Plane, labels: Sequence[Sequence[str]] | None = None
) -> int:
    """Draw the cells of all heads together and the walls of each; return the number of cells."""
    found = plane_cells(plane.units, plane.parameters, max_cells=_MAX_CELLS)
    cells = drawn(found)
    patterns = list(cells)
    edges = [(patterns[i], patterns[j]) for i, j in found.adjacency().edges]
    colours = colouring(patterns, edges)
    fill(axes, cells.values(), [lighter(colours[p], 0.35) for p in cells])
    handles = []
    for h, unit in enumerate(plane.units):
        ink, dash = INKS[h % len(INKS)], DASHES[h % len(DASHES)]
        # Each wall once: from the cell of its smaller key.
        walls = [wall for j, cell in plane.cells(unit).items() for wall in segments(cell, j + 1)]
        axes.add_collection(LineCollection(walls, colors=ink, linewidths=1.3, linestyles=[dash]))
        if h < len(INKS):
            alike = ", ".join(map(str, range(h, len(plane.units), len(INKS))))
            name = (
                f"walls of head {h} ({_keys(unit)})"
                if len(plane.units) <= len(INKS)
                else (f"walls of head{'s' if ',' in alike else ''} {alike}")
            )
            handles.append(Line2D([], [], color=ink, linestyle=dash, label=name))
    plane.prepare(axes)
    if len(cells) <= _LABELLED:
        _name_patterns(axes, plane, cells, labels)
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, fontsize=8
    )
    return len(cells)


def _name_patterns(
    axes: Axes,
    plane: Plane,
    cells: dict[tuple[int, ...], Polygon],
    labels: Sequence[Sequence[str]] | None,
) -> None:
    whole = plane.window.area
    for pattern, cell in cells.items():
        if cell.area > 0.006 * whole and np.ptp(cell.vertices, axis=0).min() > 0.06 * whole**0.5:
            names = [str(j) if labels is None else labels[h][j] for h, j in enumerate(pattern)]
            named(axes, cell, " ".join(names) if labels is None else _folded(names), 6)


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
