"""Where the decision of a network changes: the argmax of its outputs as one more routing unit.

On a plane of parameters the cells of the network with that unit behind it are polygons of one
decision each; where two of different decisions meet is the boundary. At a *tie* both outputs are
equal on the wall, seen from both sides; at a *jump* the map changes there, and the winner with it,
while some side sees them apart. Networks of ReLU and maxout units are continuous, so theirs are all
ties; attention jumps (theory T12, T13).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, freeze, is_point, is_whole, to_float
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, as_domain
from tropattn.polyhedra.integer_rows import Row, primitive
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.regions.count import enumerate_regions
from tropattn.regions.edges import PlaneEdge, plane_edges, solid_cells
from tropattn.regions.homology import betti_numbers
from tropattn.regions.result import one_cell
from tropattn.threads import stoppable
from tropattn.tropical.affine_state import AffineState
from tropattn.tropical.polynomial import TropicalPolynomial
from tropattn.tropical.stage import RoutingStage, stages_of, update_of
from tropattn.values import Value, counted

__all__ = ["DecisionBoundary", "DecisionPiece", "decision_boundary"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DecisionPiece(Value):
    """A straight piece of the boundary between two decisions.

    Attributes
    ----------
    line : primitive integer row ``(a, b, c)``: the piece lies in ``a x + b y + c = 0``.
    ends : its two ends in the parameters, (2, 2) rationals; a direction where ``open_ended`` says
        so.
    open_ended : for each end whether it goes on forever.
    decisions : the output that wins where the row is negative, and the one beyond.
    kind : "tie" or "jump".
    edges : how many edges between cells it is joined from.
    """

    line: Row
    ends: NDArray[np.object_]
    open_ended: tuple[bool, bool]
    decisions: tuple[int, int]
    kind: str
    edges: int

    def __repr__(self) -> str:
        a, b = self.decisions
        return f"DecisionPiece({self.kind} between {a} and {b}, {counted(self.edges, 'edge')})"


@dataclass(frozen=True, eq=False, repr=False)
class DecisionBoundary(Value):
    """The decisions of a network on a plane, and the boundary between them.

    Attributes
    ----------
    pieces : straight pieces: edges between cells of different decisions, joined where they lie in
        one line, touch, are of one kind and part the same two decisions.
    components : connected components of the boundary's closure.
    decisions : (R,) the winning output of each cell; of equal outputs the smallest.
    patterns : (R, H) the winners of all units of each cell, the decision left out.
    domain : in words.

    Build it with ``decision_boundary``.
    """

    pieces: tuple[DecisionPiece, ...]
    components: int
    decisions: NDArray[np.int32]
    patterns: NDArray[np.int32]
    domain: str
    _edges: tuple[PlaneEdge, ...] = field(compare=False)
    _embedding: tuple[Array, Array] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        pieces, kinds = counted(len(self.pieces), "piece"), [p.kind for p in self.pieces]
        return (
            f"DecisionBoundary({pieces}, {counted(kinds.count('jump'), 'jump')} among them, "
            f"{counted(self.components, 'component')}, {self.domain})"
        )

    def __len__(self) -> int:
        return len(self.pieces)

    @cached_property
    def _around(self) -> list[list[Row]]:
        """The lines of the edges around each cell, negative inside."""
        rows: list[list[Row]] = [[] for _ in self.decisions]
        for edge in self._edges:
            if edge.below is not None:
                rows[edge.below].append(edge.line)
            if edge.above is not None:
                rows[edge.above].append(tuple(-v for v in edge.line))
        return rows

    def cell(self, i: int) -> Polyhedron:
        """The closed cell i, of ``decisions`` and ``patterns``, in the parameters.

        >>> from tropattn import Affine, Box, Network
        >>> found = decision_boundary(Network([Affine([[1, 0], [0, 1]])]), Box([0, 0], [1, 2]))
        >>> [(k, str(found.cell(i).volume())) for i, k in enumerate(found.decisions.tolist())]
        [(0, '1/2'), (1, '3/2')]
        """
        if not is_whole(i) or not 0 <= i < len(self.decisions):
            raise InvalidInput(f"i: a cell in 0..{len(self.decisions) - 1} needed, got {i!r}.")
        return Polyhedron.of_rows(self._around[i], 3)

    def betti(self, decision: int | None = None) -> tuple[int, ...]:
        """Betti numbers of the closure of the boundary, or of where one decision is taken.

        Components and cycles of the boundary; components, holes and 0 of a decision's region.
        Raises ``InvalidInput`` where that is unbounded: give a window.
        """
        if decision is None:
            edges = [edge for edge in self._edges if self._parts(edge)]
            return self._betti(edges, [])
        if not is_whole(decision) or decision not in set(self.decisions.tolist()):
            taken = sorted(set(self.decisions.tolist()))
            raise InvalidInput(
                f"decision: an output that wins somewhere needed, one of {taken}, got {decision!r}."
            )
        cells = np.flatnonzero(self.decisions == decision).tolist()
        chosen = set(cells)
        return self._betti([e for e in self._edges if chosen.intersection(e.cells)], cells)

    def _parts(self, edge: PlaneEdge) -> bool:
        return len({int(self.decisions[i]) for i in edge.cells}) == 2

    def _betti(self, edges: Sequence[PlaneEdge], cells: Sequence[int]) -> tuple[int, ...]:
        if any(not end[-1] for edge in edges for end in edge.ends):
            raise InvalidInput(
                "domain: a bounded window needed for Betti numbers, got an unbounded part; give "
                "low and high."
            )
        points = {end: 0 for edge in edges for end in edge.ends}
        number = {point: i for i, point in enumerate(points)}
        lines = [sum(1 << number[end] for end in edge.ends) for edge in edges]
        if not cells:
            return betti_numbers([len(points), len(edges)], [lines])
        around = dict.fromkeys(cells, 0)
        for k, edge in enumerate(edges):
            for i in edge.cells:
                if i in around:
                    around[i] |= 1 << k
        sizes = [len(points), len(edges), len(cells)]
        return betti_numbers(sizes, [lines, list(around.values())])

    def distance(self, parameters: Any) -> NDArray[np.float64]:
        """Distance from points of the plane to the boundary, in the space that it lies in, (m,).

        ``parameters`` (m, 2) or one point; in doubles; infinite where there is no boundary. Only
        what lies in the domain counts.
        """
        single = is_point(parameters)
        given = [parameters] if single else parameters
        points = to_float(as_array("parameters", given, 2, shape="(m, 2)"))[0]
        if points.shape[1] != 2:
            raise InvalidInput(
                f"parameters: 2 coordinates needed, got {points.shape[1]}; rows are points of the "
                "plane."
            )
        matrix = np.eye(2) if self._embedding is None else to_float(self._embedding[0])[0]
        best = np.full(len(points), np.inf)
        for piece in self.pieces:
            first, along, low, high = _as_line(piece)
            direction = along @ matrix
            apart = (points - first) @ matrix
            t = np.clip(apart @ direction / (direction @ direction), low, high)
            best = np.minimum(best, np.linalg.norm(apart - t[:, None] * direction, axis=1))
        return best


def _as_line(piece: DecisionPiece) -> tuple[Array, Array, float, float]:
    """A point, a direction, and how far to go along it to either side."""
    (p, q), (back, on) = to_float(piece.ends)[0], piece.open_ended
    if back and on:
        a, b, c = piece.line
        size = Fraction(a * a + b * b)
        foot = np.array([float(-a * c / size), float(-b * c / size)])
        return foot, q, -np.inf, np.inf
    if back:
        return q, p, 0.0, np.inf
    return (p, q, 0.0, np.inf) if on else (p, q - p, 0.0, 1.0)


@dataclass(frozen=True)
class _Decided:
    """A target whose outputs are compared at its end."""

    parts: tuple[RoutingStage, ...]

    def stages(self) -> tuple[RoutingStage, ...]:
        return self.parts


@stoppable(one_cell)
def decision_boundary(
    target: Any,
    domain: Domain | None = None,
    *,
    max_cells: int = 1_000_000,
    threads: int | None = None,
    stop: threading.Event | None = None,
    time_limit: float | None = None,
) -> DecisionBoundary:
    """The boundary between the decisions ``argmax_k y_k(x)`` of a network on a plane, exactly.

    Parameters
    ----------
    target : a ``FixedLayer`` or ``Network`` with at least two outputs; append an ``Affine`` layer
        that reads the answers, such as an unembedding.
    domain : a domain with two parameters, most often a ``Slice`` with a window; None for a target
        on R^2.
    max_cells, threads, stop, time_limit : as in ``enumerate_regions``.

    Raises
    ------
    InvalidInput : bare polynomials, one output, or another number of parameters.
    BudgetExceeded, Interrupted : with ``.lower``, cells found.

    Notes
    -----
    Cost: that of ``enumerate_regions`` for the network with one more unit, and a few milliseconds
    for each cell.

    Examples
    --------
    >>> from tropattn import FeedForward, Network
    >>> corner = Network([FeedForward([[1, 0], [0, 1]], None, [[1, 0], [1, 0]], [0, 1], False)])
    >>> found = decision_boundary(corner)          # y_0 = relu(x) + relu(y), y_1 = 1
    >>> [(p.kind, p.decisions) for p in found.pieces], found.components
    ([('tie', (1, 0)), ('tie', (1, 0)), ('tie', (1, 0))], 1)
    """
    stages, domain = stages_of(target), as_domain(domain)
    width = _outputs(stages)
    dim = stages[0].dim if domain is None else domain.dim
    if width < 2 or dim != 2:
        raise InvalidInput(
            f"target, domain: at least 2 outputs on a plane needed, got {width} on {dim} "
            "parameters; give a Slice, and an Affine layer that reads the answers."
        )
    last = RoutingStage((TropicalPolynomial(np.eye(width)),))
    decided = _Decided((*stages, last))
    cells = enumerate_regions(decided, domain, max_cells=max_cells, threads=threads)
    assert cells.pieces is not None
    decisions = cells.patterns[:, -1]
    states: list[AffineState] = [piece.state for piece in cells.pieces]  # type: ignore[attr-defined]
    edges = plane_edges(solid_cells(cells))
    pieces, graph = _joined(edges, decisions, states)
    return DecisionBoundary(
        tuple(pieces),
        nx.number_connected_components(graph),
        freeze(decisions.copy()),
        freeze(cells.patterns[:, :-1].copy()),
        cells.domain,
        tuple(edges),
        None if domain is None else domain.embedding,
    )


def _outputs(stages: Sequence[RoutingStage]) -> int:
    """The width of the state behind the last stage."""
    return len(update_of(stages[-1]).offset)


def _joined(
    edges: Sequence[PlaneEdge], decisions: Array, states: Sequence[AffineState]
) -> tuple[list[DecisionPiece], nx.Graph[Any]]:
    """The boundary's pieces, and its closure as a graph on ends, of lines without ends themselves.

    Edges of one line follow each other along it.
    """
    graph: nx.Graph[Any] = nx.Graph()
    runs: list[tuple[list[PlaneEdge], tuple[int, int], str]] = []
    for k, edge in enumerate(edges):
        if len(edge.cells) < 2:
            continue
        pair = (int(decisions[edge.cells[0]]), int(decisions[edge.cells[1]]))
        if pair[0] == pair[1]:
            continue
        ends = [end for end in edge.ends if end[-1]]
        nx.add_path(graph, ends if ends else [k])
        tied = all(_vanishes(states[i], pair, edge.line) for i in edge.cells)
        kind = "tie" if tied else "jump"
        before = runs[-1] if runs else None
        if (
            before is not None
            and before[1:] == (pair, kind)
            and before[0][-1].line == edge.line
            and edge.low is not None
            and before[0][-1].high == edge.low
        ):
            before[0].append(edge)
        else:
            runs.append(([edge], pair, kind))
    return [_piece(run, pair, kind) for run, pair, kind in runs], graph


def _vanishes(state: AffineState, pair: tuple[int, int], line: Row) -> bool:
    """Whether two outputs are equal on a line."""
    rows = state.numerators
    apart = tuple(int(rows[i, pair[0]] - rows[i, pair[1]]) for i in range(rows.nrows()))
    return not any(apart) or primitive(apart) in (line, tuple(-v for v in line))


def _piece(run: Sequence[PlaneEdge], pair: tuple[int, int], kind: str) -> DecisionPiece:
    ends = (run[0].ends[0], run[-1].ends[1])
    rows = [[Fraction(v, end[-1] or 1) for v in end[:-1]] for end in ends]
    endless = tuple(not end[-1] for end in ends)
    table = np.array(rows, dtype=object)
    return DecisionPiece(run[0].line, freeze(table), (endless[0], endless[1]), pair, kind, len(run))
