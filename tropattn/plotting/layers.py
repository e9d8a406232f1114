"""Pictures of a network on a plane: its cells behind each layer, walls by the layer that made them.

Cells, their walls and their numbers are exact, and each corner is rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tropattn.plotting.colouring import colouring
from tropattn.plotting.style import INKS, counted, fill, lighter, new_figure, segments
from tropattn.plotting.window import Plane
from tropattn.polyhedra.domain import Domain
from tropattn.polyhedra.integer_rows import Row
from tropattn.polyhedra.polygon import Polygon, cut_by_walls, exact_polygon
from tropattn.progress import counting, doing
from tropattn.regions.budget import Budget
from tropattn.regions.networks.layerwise import Layerwise, LayerwiseRefinement
from tropattn.regions.question import Question
from tropattn.tropical.stage import RoutingStage, Scores, stages_of

__all__ = ["layer_panels"]

Pattern = tuple[int, ...]

_MAX_CELLS = 20_000
_COLUMNS = 3
_SIDE = 5.0
"""Width of a panel in inches."""


@dataclass(frozen=True, slots=True, eq=False)
class _PanelLevel:
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
        Line2D([], [], **_ink(k), label=f"walls of layer {level.number} ({level.units})")
        for k, level in enumerate(levels)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9)
    figure.suptitle(title or plane.words, fontsize=11, parse_math=False)
    return figure


def _levels(stages: Sequence[RoutingStage], plane: Plane) -> list[_PanelLevel]:
    """The cells behind each layer that routes, each polygon cut out of the one before."""
    budget = Budget(_MAX_CELLS)
    with counting("cells of a layer") as budget.report:
        found = LayerwiseRefinement(stages, plane.counted).levels(budget)
    # An affine layer cuts nothing.
    cutting = [k for k, stage in enumerate(stages) if max(u.n_terms for u in stage.units) > 1]
    out: list[_PanelLevel] = []
    window = exact_polygon(plane.parameters)
    with doing("layers", len(cutting)) as done:
        for k in cutting:
            done(len(out))
            cells = {cell.pattern: cut_by_walls(cell.walls, *window) for cell in found[k]}
            rows = {cell.pattern: cell.walls for cell in found[k]}
            head = f"behind {k + 1} of {len(stages)} layers: "
            if plane.whole:
                total = Layerwise().count(Question(tuple(stages[: k + 1]))).value
                head += f"{counted(total, 'cell')} on R^2, {len(cells)} in the window"
            else:
                head += counted(len(cells), "cell")
            noun = "unit" if isinstance(stages[k].update, Scores) else "head"
            units = counted(len(stages[k].units), noun)
            out.append(_PanelLevel(k, units, cells, rows, head))
    return out


def _draw(axes: Axes, plane: Plane, levels: Sequence[_PanelLevel]) -> None:
    """One panel: the cells of the last level, and the walls of all levels, the first on top."""
    last = levels[-1]
    colours = colouring(list(last.cells), _neighbours(last))
    fill(axes, last.cells.values(), [lighter(colours[p], 0.35) for p in last.cells])
    for k in reversed(range(len(levels))):
        walls = [wall for cell in levels[k].cells.values() for wall in segments(cell)]
        axes.add_collection(LineCollection(walls, **_ink(k)))
    plane.prepare(axes)
    axes.set_title(last.title, fontsize=10)


def _neighbours(level: _PanelLevel) -> list[tuple[Pattern, Pattern]]:
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


def _ink(k: int) -> dict[str, Any]:
    """How the walls of a layer are drawn: those of earlier ones thicker."""
    return {"color": INKS[k % len(INKS)], "linewidth": max(0.35, 1.8 * 0.6**k)}
