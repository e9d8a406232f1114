"""Edges of a plane cut into convex cells that need not meet face to face (theory T12).

Where maps jump, what is one edge seen from one side is several seen from the other: a corner of any
cell splits the edges through it. It is an end of an edge in the same line, so each line is cut on
its own, at the ends of all edges in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

from tropattn.polyhedra.integer_rows import Row, primitive
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.regions.adjacency import WalledCell
from tropattn.regions.complex import RegionComplex
from tropattn.threads import check

__all__ = ["PlaneEdge", "plane_edges", "solid_cells"]

Interval = tuple[Fraction | None, Fraction | None]


@dataclass(frozen=True, slots=True)
class PlaneEdge:
    """A piece of a line that no corner splits.

    Attributes
    ----------
    line : its row, primitive, the first coefficient positive.
    low, high : its ends along ``(-b, a)`` for the row ``(a, b, c)``, None at infinity.
    ends : the same as corners ``(x w, y w, w)`` or directions ``(x, y, 0)``, in integers.
    below, above : the cell where the row is negative, and the one beyond; None outside.
    """

    line: Row
    low: Fraction | None
    high: Fraction | None
    ends: tuple[Row, Row]
    below: int | None
    above: int | None

    @property
    def cells(self) -> tuple[int, ...]:
        """The cells on both sides, the one below first; one alone at the border."""
        return tuple(cell for cell in (self.below, self.above) if cell is not None)


def solid_cells(cells: RegionComplex) -> list[Polyhedron]:
    """The closed cells in the parameters, of a network by the walls that it was cut by."""
    if cells.pieces is None or cells.walls is None:
        return [cells.cell(i) for i in range(len(cells))]
    width, pieces = cells.walls.width, cast("tuple[WalledCell, ...]", cells.pieces)
    return [Polyhedron.of_rows(piece.walls, width) for piece in pieces]


def plane_edges(cells: Sequence[Polyhedron]) -> list[PlaneEdge]:
    """All edges of solid closed cells in the plane whose interiors do not meet.

    Cost: a sort of the ends on each line.

    >>> half = [Polyhedron([[s, 0]], [0]) for s in (1, -1)]
    >>> left = half[0].intersection(Polyhedron([[0, 1]], [0]))
    >>> upper = half[0].intersection(Polyhedron([[0, -1]], [0]))
    >>> [(edge.line, edge.cells) for edge in plane_edges([left, upper, half[1]])]
    [((1, 0, 0), (0, 2)), ((1, 0, 0), (1, 2)), ((0, 1, 0), (0, 1))]
    """
    lines: dict[Row, tuple[dict[Fraction, Row], list[tuple[Interval, int, bool]]]] = {}
    for i, cell in enumerate(cells):
        check()
        for facet in cell.facets:
            row = cell.rows[facet]
            beyond = next(v for v in row if v) < 0
            up = tuple(-v for v in row) if beyond else row
            places, pieces = lines.setdefault(up, ({}, []))
            pieces.append((_interval(cell, facet, up, places), i, beyond))
    return [edge for line, found in lines.items() for edge in _cut(line, *found)]


def _interval(cell: Polyhedron, facet: int, line: Row, places: dict[Fraction, Row]) -> Interval:
    """The ends of a facet along its line; corners are noted."""
    a, b, _ = line
    low: Fraction | None = None
    high: Fraction | None = None
    if len(cell.lineality):
        return None, None
    forward = backward = False
    for span, on in zip(cell.spans, cell.tight[facet].tolist(), strict=True):
        if not on:
            continue
        along = a * span[1] - b * span[0]
        if span[-1]:
            at = Fraction(along, span[-1])
            places[at] = span
            low = at if low is None else min(low, at)
            high = at if high is None else max(high, at)
        else:
            forward, backward = forward or along > 0, backward or along < 0
    return None if backward else low, None if forward else high


def _cut(
    line: Row, places: dict[Fraction, Row], pieces: list[tuple[Interval, int, bool]]
) -> list[PlaneEdge]:
    """The edges in one line."""
    a, b, _ = line
    stops = sorted(places)
    # Edge k runs from stop k - 1 to stop k.
    sides: list[list[int | None]] = [[None, None] for _ in range(len(stops) + 1)]
    for (low, high), cell, beyond in pieces:
        first = 0 if low is None else bisect_left(stops, low) + 1
        last = len(stops) if high is None else bisect_left(stops, high)
        for k in range(first, last + 1):
            sides[k][beyond] = cell
    out = []
    for k, (below, above) in enumerate(sides):
        if below is not None or above is not None:
            low = stops[k - 1] if k else None
            high = stops[k] if k < len(stops) else None
            ends = (
                primitive((b, -a, 0)) if low is None else places[low],
                primitive((-b, a, 0)) if high is None else places[high],
            )
            out.append(PlaneEdge(line, low, high, ends, below, above))
    return out
