"""Pictures of a line: who wins where, unit by unit, layer by layer (theory T11, T12).

Ends of intervals and their number are exact; they are drawn in doubles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tropattn._types import Array, Floats
from tropattn.errors import InvalidInput
from tropattn.plotting.style import FILLS, counted, new_figure
from tropattn.polyhedra.domain import Domain, Line
from tropattn.progress import counting
from tropattn.regions.budget import Budget
from tropattn.regions.count import enumerate_regions
from tropattn.regions.lines.moving_tokens import LineInterval
from tropattn.regions.networks.cells import DepthCell
from tropattn.regions.networks.layerwise import Layerwise
from tropattn.regions.question import Question
from tropattn.tropical.bilinear import MovesTokens, MovingAttention, TokenStack
from tropattn.tropical.stage import RoutingStage, Scores, stages_of

__all__ = ["line"]


_MAX_CELLS = 20_000
_OFF, _ON = "#FFFFFF", "#777777"


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    """The rows of one layer: a name, a name per row, its columns, and whether terms are keys."""

    name: str
    rows: list[str]
    columns: list[int]
    keys: bool


def line(
    target: Any,
    domain: Domain | None,
    *,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw which key wins along a line, a row per unit, the layers below each other (T11, T12).

    Parameters
    ----------
    target : as for ``count_regions``: heads, a ``FixedLayer``, a ``Network``, or a ``LiveNetwork``,
        whose tokens and keys all move.
    domain : a ``Line``; its infinite ends are drawn a little beyond the last walls.
    labels : names of the keys (of the tokens, where keys are live), their indices where omitted.
    title : of the figure.

    Returns
    -------
    Figure
        Stretches of each row in the colour of the winning key; two-term units are filled where the
        second term wins. The title says the exact number of intervals.

    Raises
    ------
    InvalidInput : another domain, or no unit with two terms.
    BudgetExceeded : more than 20000 intervals.

    Notes
    -----
    Cost: one exact enumeration.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> strips = TropicalPolynomial([[0], [1], [2]], [0, -1, -4])
    >>> line(strips, Line([0], [1])).axes[0].get_title()
    '3 intervals'
    """
    if not isinstance(domain, Line):
        raise InvalidInput(
            f"domain: a Line needed, got {type(domain).__name__}; partition draws planes."
        )
    patterns, ends, bands = _read(target, domain)
    bands = [band for band in bands if band.rows]
    if not bands:
        raise InvalidInput(
            "target: a unit with at least two terms needed, got none; the line has one interval."
        )
    heights = [max(len(band.rows), 2) for band in bands]
    figure = new_figure(9.0, min(1.6 + 0.16 * sum(heights) + 0.3 * len(bands), 14.0))
    grid = figure.subplots(len(bands), 1, sharex=True, squeeze=False, height_ratios=heights)
    winners: set[int] = set()
    for axes, band in zip(grid.ravel().tolist(), bands, strict=True):
        winners |= _draw(axes, band, patterns, ends)
    grid[0, 0].set_title(counted(len(patterns), "interval"), fontsize=11)
    grid[-1, 0].set(xlabel="line parameter $t$", xlim=(ends[0], ends[-1]))
    _legend(figure, winners, labels)
    words = "keys live" if isinstance(target, MovesTokens) else "keys fixed"
    figure.suptitle(title or f"{domain.describe()}, {words}", fontsize=10, parse_math=False)
    return figure


def _read(target: Any, domain: Line) -> tuple[Array, Floats, list[_Band]]:
    """Patterns in the order of the line, the K + 1 ends of intervals, and the rows to draw."""
    if isinstance(target, MovesTokens):
        found = enumerate_regions(target, domain, max_cells=_MAX_CELLS)
        pieces = [piece for piece in found.pieces or () if isinstance(piece, LineInterval)]
        sides = [piece.ends for piece in pieces]
        return found.patterns, _finite(sides), _live_bands(target.live_stack())
    stages = list(stages_of(target))
    budget = Budget(_MAX_CELLS)
    with counting("intervals") as budget.report:
        found = Layerwise().cells(Question(tuple(stages), domain, budget=budget))
    cells = [piece for piece in found.pieces or () if isinstance(piece, DepthCell)]
    order = sorted(range(len(cells)), key=lambda i: cells[i].witness)
    sides = [_sides(cells[i]) for i in order]
    return found.patterns[order], _finite(sides), _bands(stages)


def _sides(cell: DepthCell) -> tuple[float, float]:
    """The ends of a cell of one parameter."""
    low, high = -np.inf, np.inf
    for a, c in cell.walls:
        # Python divides integers of any size with one rounding.
        low, high = (low, min(high, -c / a)) if a > 0 else (max(low, c / -a), high)
    return float(low), float(high)


def _finite(sides: Sequence[tuple[float, float]]) -> Floats:
    """Ends in order, infinite ones a tenth of the rest away."""
    ends = np.array([sides[0][0], *(high for _, high in sides)])
    known = ends[np.isfinite(ends)]
    first, last = (known.min(), known.max()) if len(known) else (-1.0, 1.0)
    margin = 0.1 * (last - first) or 1.0
    return np.nan_to_num(ends, neginf=first - margin, posinf=last + margin)


def _bands(stages: Sequence[RoutingStage]) -> list[_Band]:
    out, start = [], 0
    for number, stage in enumerate(stages):
        kept = [u for u, unit in enumerate(stage.units) if unit.n_terms > 1]
        attends = not isinstance(stage.update, Scores)
        noun = "head" if attends else "unit"
        rows = [f"{noun} {u}" for u in kept]
        columns = [start + u for u in kept]
        out.append(_Band(f"layer {number}", rows, columns, attends))
        start += len(stage.units)
    return out


def _live_bands(stack: TokenStack) -> list[_Band]:
    out, start = [], 0
    for number, layer in enumerate(stack.layers):
        rows, columns = [], []
        attends = isinstance(layer, MovingAttention)
        units = layer.heads if attends else () if layer.stage is None else layer.stage.units
        for token in stack.moving:
            first, stop = layer.seen[token] if attends else (0, 2)
            for u in range(len(units)):
                if stop - first > 1:
                    rows.append(f"token {token}" if u == 0 else "")
                    columns.append(start)
                start += 1
        out.append(_Band(f"layer {number}", rows, columns, attends))
    return out


def _draw(axes: Axes, band: _Band, patterns: Array, ends: Floats) -> set[int]:
    """The rows of a layer, top to bottom; returns the winners that occur."""
    winners: set[int] = set()
    boxes, fills = [], []
    for row, column in enumerate(band.columns):
        values = patterns[:, column]
        starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
        stops = np.r_[starts[1:], len(values)]
        for a, b in zip(starts.tolist(), stops.tolist(), strict=True):
            left, right, key = ends[a], ends[b], int(values[a])
            boxes.append([(left, row), (right, row), (right, row + 0.9), (left, row + 0.9)])
            two = _ON if key else _OFF
            fills.append(FILLS[key % len(FILLS)] if band.keys else two)
            if band.keys:
                winners.add(key)
    axes.add_collection(PolyCollection(boxes, facecolors=fills, edgecolors="black", linewidths=0.3))
    named = [i for i, name in enumerate(band.rows) if name]
    axes.set_yticks([i + 0.45 for i in named], [band.rows[i] for i in named], fontsize=6)
    axes.set_ylim(len(band.rows), -0.1)
    axes.set_ylabel(band.name, fontsize=9)
    return winners


def _legend(figure: Figure, winners: set[int], labels: Sequence[str] | None) -> None:
    """Which colour is which key, where each colour is one key."""
    if not winners or max(winners) >= len(FILLS):
        return
    names = {j: str(j) if labels is None or j >= len(labels) else labels[j] for j in winners}
    handles = [
        Patch(facecolor=FILLS[j], edgecolor="black", label=f"key {names[j]}")
        for j in sorted(winners)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8)
