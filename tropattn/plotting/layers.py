"""Pictures of a network on a plane: its cells behind each layer, walls by the layer that made them.

Cells, their walls and their numbers are exact; where they lie is drawn in doubles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from tropattn.plotting.colouring import colouring
from tropattn.plotting.style import INKS, lighter, new_figure
from tropattn.plotting.window import Plane
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.polygon import Polygon
from tropattn.regions.depth import count_depth, enumerate_depth
from tropattn.regions.depth_cells import DepthCell, Row, unit_rows
from tropattn.tropical.stage import RoutingStage, stages_of

__all__ = ["layer_panels"]

Array = NDArray[Any]
Pattern = tuple[int, ...]

_MAX_CELLS = 20_000
_COLUMNS = 3
_SIDE = 5.0
"""Width of a panel in inches."""


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The cells behind a layer: its number from 0, what it has, and a polygon a pattern."""

    number: int
    units: str
    cells: dict[Pattern, Polygon]
    rows: dict[Pattern, tuple[Row, ...]]
    title: str


def layer_panels(
    target: Any, domain: Domain | None = None, window: Any = None, *, title: str | None = None
) -> Figure:
    """Draw a network's cells behind each of its layers that routes; see ``partition`` (T12)."""
    stages = list(stages_of(target))
    plane = Plane.of(stages[0], domain, window)
    levels = _levels(stages, plane)
    columns = min(len(levels), _COLUMNS)
    lines = -(-len(levels) // columns)
    figure = new_figure(_SIDE * columns, (_SIDE * plane.tall + 0.5) * lines + 1.0)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for at, axes in enumerate(grid.ravel().tolist()):
        if at >= len(levels):
            axes.set_visible(False)
            continue
        _draw(axes, plane, levels[: at + 1])
        axes.label_outer()
    handles = [
        Line2D(
            [],
            [],
            color=_ink(k),
            linewidth=_width(k),
            label=f"walls of layer {level.number} ({level.units})",
        )
        for k, level in enumerate(levels)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9)
    figure.suptitle(title or plane.words, fontsize=11, parse_math=False)
    return figure


def _levels(stages: Sequence[RoutingStage], plane: Plane) -> list[_Level]:
    """The cells behind each layer that routes, each polygon cut out of the one before."""
    out: list[_Level] = []
    before: dict[Pattern, Polygon] = {(): plane.window}
    for depth in range(1, len(stages) + 1):
        units = stages[depth - 1].units
        if max(unit.n_terms for unit in units) == 1:
            # An affine layer adds a column of zeros to every pattern and cuts nothing.
            zeros = (0,) * len(units)
            before = {pattern + zeros: cell for pattern, cell in before.items()}
            continue
        found = enumerate_depth(stages[:depth], plane.counted, max_cells=_MAX_CELLS)
        cells, rows = {}, {}
        for piece in found.pieces or ():
            assert isinstance(piece, DepthCell)
            parent = before.get(piece.pattern[: -len(units)])
            polygon = parent and _polygon(piece, parent)
            if polygon:
                cells[piece.pattern], rows[piece.pattern] = polygon, piece.walls
        head = f"behind {depth} of {len(stages)} layers: "
        if plane.whole:
            total = count_depth(stages[:depth]).value
            head += f"{_cells(total)} on R^2, {len(found)} in the window"
        else:
            head += _cells(len(found))
        noun = "units" if stages[depth - 1].readout is not None else "heads"
        words = noun[:-1] if len(units) == 1 else noun
        out.append(_Level(depth - 1, f"{len(units)} {words}", cells, rows, head))
        before = cells
    return out


def _polygon(piece: DepthCell, parent: Polygon) -> Polygon:
    """The cell within its parent; sides carry the number of their wall."""
    near, _ = unit_rows(piece.walls) if piece.walls else (np.zeros((0, 3)), None)
    blank = Polygon(parent.vertices, np.where(parent.labels >= 0, -2, -1))
    cut = blank.cut(near[:, :2], -near[:, 2], np.arange(len(near)))
    if not cut or not (cut.labels == -2).any():
        return cut
    # A side that the parent brought along is one of the cell's own walls: the nearest one.
    middles = (cut.vertices + np.roll(cut.vertices, -1, axis=0)) / 2
    slopes = np.linalg.norm(near[:, :2], axis=1)
    away = np.abs(middles @ near[:, :2].T + near[:, 2]) / np.where(slopes > 0, slopes, np.nan)
    nearest = np.nanargmin(away, axis=1)
    return Polygon(cut.vertices, np.where(cut.labels == -2, nearest, cut.labels))


def _draw(axes: Axes, plane: Plane, levels: Sequence[_Level]) -> None:
    """One panel: the cells of the last level, and the walls of all levels, the first on top."""
    last = levels[-1]
    colours = colouring(list(last.cells), _neighbours(last))
    axes.add_collection(
        PolyCollection(
            [cell.vertices for cell in last.cells.values()],
            facecolors=[lighter(colours[p], 0.35) for p in last.cells],
            edgecolors="none",
        )
    )
    for k in reversed(range(len(levels))):
        walls = [wall for cell in levels[k].cells.values() for wall in _sides(cell)]
        axes.add_collection(LineCollection(walls, colors=_ink(k), linewidths=_width(k)))
    plane.prepare(axes)
    axes.set_title(last.title, fontsize=10)


def _sides(cell: Polygon) -> list[Array]:
    """The sides inside the window, as segments."""
    ends = np.roll(cell.vertices, -1, axis=0)
    inside = np.flatnonzero(cell.labels != -1).tolist()
    return [np.array([cell.vertices[i], ends[i]]) for i in inside]


def _neighbours(level: _Level) -> list[tuple[Pattern, Pattern]]:
    """Pairs of cells with a side in common: on one line, from both sides, overlapping."""
    sides: dict[Row, tuple[list[Any], list[Any]]] = {}
    for pattern, cell in level.cells.items():
        ends = np.roll(cell.vertices, -1, axis=0)
        for i in np.flatnonzero(cell.labels >= 0).tolist():
            row = level.rows[pattern][int(cell.labels[i])]
            back = next(v for v in row if v != 0) < 0
            up = tuple(-v for v in row) if back else row
            along = max(range(2), key=lambda c: abs(row[1 - c]))
            first, last = sorted((float(cell.vertices[i, along]), float(ends[i, along])))
            sides.setdefault(up, ([], []))[back].append((first, last, pattern))
    pairs = []
    for below, above in sides.values():
        below.sort()
        above.sort()
        i = j = 0
        while i < len(below) and j < len(above):
            a, b = below[i], above[j]
            common = min(a[1], b[1]) - max(a[0], b[0])
            if common > 1e-9 * min(a[1] - a[0], b[1] - b[0]):
                pairs.append((a[2], b[2]))
            i, j = (i + 1, j) if a[1] <= b[1] else (i, j + 1)
    return pairs


def _ink(k: int) -> str:
    return INKS[k % len(INKS)]


def _width(k: int) -> float:
    """Earlier layers draw thicker walls."""
    return max(0.35, 1.8 * 0.6**k)


def _cells(number: int) -> str:
    return f"{number} cell" if number == 1 else f"{number} cells"
