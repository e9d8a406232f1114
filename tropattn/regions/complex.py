"""``RegionComplex``: the cells themselves, each with its routing pattern and a witness point."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, ClassVar, Protocol

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import is_whole
from tropattn.errors import InvalidInput
from tropattn.polyhedra.meshes import to_obj, to_off
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.regions.adjacency import adjacency, region_graph
from tropattn.regions.walls import CellWalls
from tropattn.tables import Tabular, winners_by_head
from tropattn.tropical.stage import RoutingStage
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value, counted

__all__ = ["Cell", "RegionComplex"]


class Cell(Protocol):
    """What a complex asks of a cell that knows its map."""

    def key(self) -> tuple[Any, ...]:
        """A tuple that is equal exactly for equal maps."""
        ...

    def map(self) -> AffineMap:
        """The map of the domain's parameters, in rationals."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RegionComplex(Tabular, Value):
    """All routing cells of one stage, or of a network, on a domain.

    Attributes
    ----------
    patterns : (R, H) int32, row i the winning key of each head in cell i (the smallest index of
        equal keys), in lexicographic order; of a network, the units of all layers side by side. On
        a line with moving keys the order is that of the line, and patterns may come back.
    witnesses : (R, d) doubles in ambient coordinates, one point of each open cell.
    inside : (R,) whether the witness is proved to lie in its open cell: all winners are the
        pattern's at these very doubles (on a line or slice they may lie off the flat), and the
        domain's walls hold; with moving keys, that the line's parameter does. False where no double
        inside was found, as in a cell thinner than their spacing; the witness then is next to it.
    domain : in words; stage : the last one, None where keys move; stats : the work done.
    pieces : of a network, the cells with their exact walls and maps; on a line with moving keys
        the intervals with theirs; else None.
    walls : what ``cell`` reads a cell's walls from; None where keys move.
    """

    _SHAPES: ClassVar[tuple[str, ...]] = (".off", ".obj")

    patterns: NDArray[np.int32]
    witnesses: NDArray[np.float64]
    inside: NDArray[np.bool_]
    domain: str
    stage: RoutingStage | None
    stats: dict[str, Any] = field(compare=False)
    pieces: tuple[Cell, ...] | None = field(default=None, compare=False)
    walls: CellWalls | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        heads = counted(self.patterns.shape[1], "unit")
        return f"RegionComplex({counted(len(self), 'cell')} of {heads}, {self.domain})"

    def __len__(self) -> int:
        return len(self.patterns)

    def rows(self) -> list[dict[str, Any]]:
        """A row a cell: its number, the winner of each unit, its witness, and ``inside``."""
        parts = zip(
            self.patterns.tolist(), self.witnesses.tolist(), self.inside.tolist(), strict=True
        )
        return [
            {"cell": r, **winners_by_head(pattern)}
            | {f"x_{k}": value for k, value in enumerate(point)}
            | {"inside": inside}
            for r, (pattern, point, inside) in enumerate(parts)
        ]

    def _shapes(self, ending: str) -> str:
        cells = [self.cell(i) for i in range(len(self))]
        patterns = [" ".join(map(str, row)) for row in self.patterns.tolist()]
        names = [f"cell {i}: {pattern}" for i, pattern in enumerate(patterns)]
        return (to_off if ending == ".off" else to_obj)(cells, names)

    def cell(self, i: int) -> Polyhedron:
        """The closed cell of row i of ``patterns`` as a polyhedron in the domain's parameters.

        One row for each key that does not win, redundant ones too, then the domain's: ``facets``
        are those that bound the cell, and ``behind`` the pair (unit, key) that waits beyond each
        row, the unit by its column in ``patterns``; None beyond a wall of the domain. On a slice
        parameters are those of its basis. Raises ``InvalidInput`` for another index, or where keys
        move.

        >>> from tropattn import Box, TropicalPolynomial, enumerate_regions
        >>> head = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
        >>> cell = enumerate_regions(head, Box([-1, -1], [1, 1])).cell(0)
        >>> [cell.behind[i] for i in cell.facets], cell.volume()
        ([(0, 1), (0, 2), None, None], Fraction(1, 1))
        """
        if self.walls is None:
            raise InvalidInput(
                "complex: cells of fixed keys needed, got a line along which they move; see "
                "pieces for the ends of its intervals."
            )
        if not is_whole(i) or not -len(self) <= i < len(self):
            raise InvalidInput(
                f"i: an index in 0..{len(self) - 1} needed, got {i!r}; rows of patterns."
            )
        return self.walls.cell(self.patterns[int(i)].tolist())

    def maps(self) -> list[AffineMap]:
        """The affine map that each cell applies to the state, in the order of ``patterns``.

        Of a network: the whole network's map, in rationals, as a function of the domain's
        parameters (of the input itself on boxes, polytopes and the whole space).
        """
        if self.stage is not None and self.stage.update is None:
            raise InvalidInput(
                "maps: a FixedLayer or Network needed, got bare polynomials, which route but map "
                "nothing; enumerate the layer instead of its heads."
            )
        if self.pieces is not None:
            return [piece.map() for piece in self.pieces]
        stage = self.stage
        return [] if stage is None else [stage.maps(row.tolist()) for row in self.patterns]

    def adjacency(self) -> nx.Graph[int]:
        """The graph on cells with an edge where two closures meet in dimension ``d - 1`` (T13).

        Needs the walls of the cells, so a ``Network`` as the target: ``Network([layer])`` for one
        layer. Of bare heads in a window of a plane ``plane_cells(heads, window).adjacency()`` has
        the neighbours. Raises ``InvalidInput`` otherwise.
        """
        if self.stage is None:
            return nx.path_graph(len(self))
        return adjacency(self._pieces())

    def linear_regions(self) -> list[list[int]]:
        """The cells of each linear region (T13), ordered by their first cell.

        Cells are joined where their maps are equal and their closures meet in dimension ``d - 1``.
        """
        if self.stage is None:
            runs = groupby(range(len(self)), lambda i: self._pieces()[i].key())
            return [list(run) for _, run in runs]
        graph = region_graph(self._pieces(), spanning=True)
        return sorted(sorted(part) for part in nx.connected_components(graph))

    def _pieces(self) -> tuple[Any, ...]:
        if self.pieces is None:
            raise InvalidInput(
                "complex: cells with exact walls and maps needed, got the bare patterns of one "
                "layer's heads; enumerate Network([layer]), or, for neighbours in a plane, use "
                "plane_cells(heads, window).adjacency()."
            )
        return self.pieces
