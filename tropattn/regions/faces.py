"""All faces of the common refinement: corners, edges, ..., cells, each once (theory T5, T9).

Cells of one layer meet face to face: each face of a cell is one of every cell that it touches, and
has the same corners and rays there, so faces are told apart by these. Cells of networks do not:
maps jump at walls, and what is one edge from one side is several from the other. In a plane every
corner of any cell splits the edges through it (``edges``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import freeze, is_whole
from tropattn.errors import BudgetExceeded, EngineError, InvalidInput
from tropattn.polyhedra.domain import Domain, as_domain
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.regions.budget import Budget
from tropattn.regions.complex import RegionComplex
from tropattn.regions.count import enumerate_regions
from tropattn.regions.edges import plane_edges, solid_cells
from tropattn.regions.euler import plane, strata
from tropattn.regions.question import Question
from tropattn.regions.result import one_cell
from tropattn.threads import check, stoppable
from tropattn.values import Value, counted

__all__ = ["FaceComplex", "FaceCount", "count_faces", "face_complex", "faces_of"]

Row = tuple[int, ...]
Face = tuple[int, ...]

_BY_STRATA = {
    3: (plane.EulerPlane.name, plane.face_numbers),
    4: (strata.Strata.name, strata.face_numbers),
}
"""By the number of columns, who counts faces without any."""


@dataclass(frozen=True, eq=False, repr=False)
class FaceComplex(Value):
    """The faces of all cells on a closed domain, in its parameters.

    A face is the ascending tuple of its corners and rays: numbers below V are rows of ``corners``,
    number V + i is row i of ``rays``. Where lines are common to all cells, corners are points of
    the smallest faces.

    Attributes
    ----------
    corners : (V, d) rationals; rays : (R, d) primitive integers; lineality : (l, d) integers.
    levels : for each dimension 0, ..., d the faces, those of dimension d being the cells, in the
        order of ``patterns``.
    inner : for each dimension (n,) whether the face meets the open domain; others lie in its walls.
    patterns : (n, H) the winners of each cell.
    sides : for each face of dimension d - 1 the cells that it bounds: two, or one at a wall of the
        domain.
    domain : in words.

    Build it with ``face_complex``.
    """

    corners: NDArray[np.object_]
    rays: NDArray[np.object_]
    lineality: NDArray[np.object_]
    levels: tuple[tuple[Face, ...], ...]
    inner: tuple[NDArray[np.bool_], ...]
    patterns: NDArray[np.int32]
    sides: tuple[Face, ...]
    domain: str
    _euler: tuple[int, int] = field(default=(0, 0), compare=False)

    def __repr__(self) -> str:
        numbers = ", ".join(map(str, self.f_vector()))
        return f"FaceComplex(f-vector ({numbers}), {self.domain})"

    def __len__(self) -> int:
        return len(self.patterns)

    @property
    def dim(self) -> int:
        """Dimension of the domain."""
        return len(self.levels) - 1

    def faces(self, k: int) -> list[Face]:
        """The faces of dimension k that meet the open domain."""
        if not is_whole(k) or not 0 <= k <= self.dim:
            raise InvalidInput(f"k: a dimension in 0..{self.dim} needed, got {k!r}.")
        return [f for f, yes in zip(self.levels[k], self.inner[k].tolist(), strict=True) if yes]

    def f_vector(self, closed: bool = False) -> tuple[int, ...]:
        """Numbers of faces of dimension 0, ..., d: those of the open domain, or with its walls.

        >>> from tropattn import Box, TropicalPolynomial
        >>> head = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
        >>> found = face_complex(head, Box([-1, -1], [1, 1]))
        >>> found.f_vector(), found.f_vector(closed=True)
        ((1, 3, 3), (7, 9, 3))
        """
        if closed:
            return tuple(map(len, self.levels))
        return tuple(int(part.sum()) for part in self.inner)

    def bounded_f_vector(self, closed: bool = False) -> tuple[int, ...]:
        """The same of the bounded faces alone; none where all cells contain lines.

        >>> from tropattn import TropicalPolynomial
        >>> face_complex(TropicalPolynomial([[0], [1], [2]], [0, 0, -1])).bounded_f_vector()
        (2, 1)
        """
        out = []
        for k in range(self.dim + 1):
            chosen = self.levels[k] if closed else self.faces(k)
            inside = [bool(f) and f[-1] < len(self.corners) for f in chosen]
            out.append(0 if len(self.lineality) else sum(inside))
        return tuple(out)

    def euler(self, closed: bool = False) -> int:
        """The sum of ``(-1)^dim`` over the faces: ``(-1)^d`` of an open domain; checked (T9)."""
        return sum((-1) ** k * n for k, n in enumerate(self.f_vector(closed)))

    def check_euler(self) -> None:
        """Raise ``EngineError`` where Euler's relation fails, for the open or the closed domain.

        Open convex sets have ``(-1)^d``, closed ones 1 if bounded, else 0, or ``(-1)^l`` where they
        are bounded up to l lines.
        """
        found = self.euler(), self.euler(closed=True)
        if found != self._euler:
            raise EngineError(
                f"faces: Euler's relation {self._euler} fails for {self.f_vector()} inside and "
                f"{self.f_vector(closed=True)} with walls; please report the input."
            )

    def dual_graph(self) -> nx.Graph[int]:
        """The graph on cells, joined where they share a face of dimension d - 1.

        Edges carry ``face``, one such face by its number; in planes of networks there may be more.
        """
        graph: nx.Graph[int] = nx.empty_graph(len(self))
        for number, cells in enumerate(self.sides):
            if len(cells) == 2:
                graph.add_edge(*cells, face=number)
        return graph

    def face_lattice(self) -> nx.DiGraph[tuple[int, int]]:
        """Hasse diagram of all faces: nodes (dimension, number), edges to what contains them.

        Cost: the faces times those around a corner of each.

        >>> from tropattn import TropicalPolynomial
        >>> face_complex(TropicalPolynomial([[0], [1]])).face_lattice().number_of_edges()
        2
        """
        graph: nx.DiGraph[tuple[int, int]] = nx.DiGraph()
        for k, level in enumerate(self.levels):
            graph.add_nodes_from((k, i) for i in range(len(level)))
        if self.dim:
            last = self.dim - 1
            walls = [((last, i), (last + 1, j)) for i, on in enumerate(self.sides) for j in on]
            graph.add_edges_from(walls)
        for k in range(self.dim - 1):
            around: dict[int, set[int]] = {}
            for i, face in enumerate(self.levels[k + 1]):
                for v in face:
                    around.setdefault(v, set()).add(i)
            every = set(range(len(self.levels[k + 1])))
            for i, face in enumerate(self.levels[k]):
                check()
                above = set.intersection(*(around[v] for v in face)) if face else every
                graph.add_edges_from(((k, i), (k + 1, j)) for j in sorted(above))
        return graph


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceCount(Value):
    """How many faces of each dimension the cells on an open domain have.

    Attributes
    ----------
    faces : numbers of faces of dimension 0, ..., d that meet the open domain.
    bounded : those of the bounded ones; None where only ``face_complex`` knows them.
    domain : in words.
    engine : ``"plane"`` or ``"subsets"``, which build no face, or ``"enumeration"``.
    """

    faces: tuple[int, ...]
    bounded: tuple[int, ...] | None
    domain: str
    engine: str

    def __repr__(self) -> str:
        numbers = ", ".join(map(str, self.faces))
        return f"FaceCount(({numbers}), {self.domain}, {self.engine})"


@stoppable(one_cell)
def count_faces(
    target: Any,
    domain: Domain | None = None,
    *,
    max_faces: int = 1_000_000,
    threads: int | None = None,
    stop: threading.Event | None = None,
    time_limit: float | None = None,
) -> FaceCount:
    """The f-vector of ``face_complex``, without faces where theory T9 gives their numbers.

    Parameters
    ----------
    target, domain, threads, stop, time_limit : as in ``face_complex``.
    max_faces : of those that are built; ``BudgetExceeded`` beyond, as there.

    Notes
    -----
    Heads in a plane or in R^3, and central ones in R^3 or R^4, are counted by strata, in the time
    of a count of cells, where every sign shows that their walls are in general position; all else
    by ``face_complex``. With ``bounded`` where the domain is bounded or the whole space.

    Examples
    --------
    >>> from tropattn import TropicalPolynomial
    >>> heads = [TropicalPolynomial([[0, 0], [1, 0], [0, 1]]),
    ...          TropicalPolynomial([[0, 0], [2, -1], [1, 2]], [0, 3, 1])]
    >>> count_faces(heads), count_faces(heads).bounded
    (FaceCount((4, 10, 7), R^2, plane), (4, 4, 1))
    """
    _check_most(max_faces)
    question = Question.about(target, as_domain(domain), budget=Budget.checked(None, threads))
    rank = question.refinement.rank if question.kind == "layer" else None
    if rank in _BY_STRATA:
        engine, numbers = _BY_STRATA[rank]
        found = numbers(question.refinement, question.budget)
        if found is not None:
            return FaceCount(*_numbers(question, found), question.space, engine)
    built = face_complex(target, domain, max_faces=max_faces, threads=threads)
    return FaceCount(built.f_vector(), built.bounded_f_vector(), built.domain, "enumeration")


def _numbers(
    question: Question, found: plane.SphereFaces
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Numbers of faces and of bounded ones in the domain's parameters."""
    refinement, domain = question.refinement, question.domain
    dim = question.stages[0].dim if domain is None else domain.dim
    lines = dim - refinement.dim
    faces, bounded = found.inside, None
    if refinement.central:
        # Cones, and their apex if it is inside.
        apex = int(not len(refinement.walls))
        faces, bounded = (apex, *faces), (apex, *(0 for _ in faces))
    elif found.at_infinity:
        bounded = tuple(n - u for n, u in zip(faces, (0, *found.at_infinity), strict=True))
    elif domain is not None and Polyhedron.of(domain).bounded:
        bounded = faces
    if lines:
        bounded = (0,) * len(faces)
    above = (0,) * lines
    return (*above, *faces), None if bounded is None else (*above, *bounded)


def _check_most(max_faces: int) -> None:
    if not is_whole(max_faces) or max_faces < 1:
        raise InvalidInput(f"max_faces: an integer >= 1 needed, got {max_faces!r}.")


@stoppable(one_cell)
def face_complex(
    target: Any,
    domain: Domain | None = None,
    *,
    max_faces: int = 1_000_000,
    threads: int | None = None,
    stop: threading.Event | None = None,
    time_limit: float | None = None,
) -> FaceComplex:
    """All faces of the cells of a layer, or of a network in a plane, exactly (theory T5, T9, T12).

    Parameters
    ----------
    target, domain, threads, stop, time_limit : as in ``enumerate_regions``; networks of several
        routing layers need a domain of one or two parameters.
    max_faces : ``BudgetExceeded`` beyond so many, with ``.lower``, the faces found so far.

    Notes
    -----
    Cost: a double description for each cell and its faces, some milliseconds in four dimensions.
    Euler's relation is checked, for the open domain and with its walls, and an ``EngineError``
    raised where it fails.

    Examples
    --------
    >>> from itertools import combinations
    >>> from tropattn import TropicalPolynomial
    >>> pairs = combinations([[1, 0, 0], [0, 1, 0], [0, 0, 1]], 2)
    >>> braid = face_complex([TropicalPolynomial(pair) for pair in pairs])
    >>> braid.f_vector(), len(braid.lineality)         # a line, six half-planes, six cells
    ((0, 1, 6, 6), 1)
    """
    _check_most(max_faces)
    return faces_of(
        enumerate_regions(target, domain, max_cells=max_faces, threads=threads), max_faces
    )


def faces_of(cells: RegionComplex, max_faces: int) -> FaceComplex:
    """All faces of cells that are known already; as ``face_complex``."""
    if cells.walls is None:
        raise InvalidInput(
            "target: a layer or network with fixed keys needed, got moving ones; see "
            "enumerate_regions for the intervals of a line."
        )
    routing = [s for s in cells.walls.stages if any(unit.n_terms > 1 for unit in s.units)]
    dim = cells.walls.width - 1
    if len(routing) > 1 and dim > 2:
        raise InvalidInput(
            f"domain: one of at most two parameters needed for the faces of a network, got {dim}; "
            "cells of networks do not meet face to face: give a Slice."
        )
    if len(routing) > 1 and dim == 2:
        found = _of_plane(cells, max_faces)
    else:
        found = _face_to_face(cells, dim, max_faces)
    found.check_euler()
    return found


def _expected(domain: Domain | None, dim: int) -> tuple[int, int]:
    """What Euler's relation gives for the open domain and for the closed one."""
    if domain is None:
        return (-1) ** dim, (-1) ** dim
    closed = Polyhedron.of(domain)
    return (-1) ** dim, 0 if len(closed.rays) else (-1) ** len(closed.lineality)


class _Numbers:
    """Corners and rays met so far, each with a number of its own kind."""

    def __init__(self) -> None:
        self.corners: dict[Row, int] = {}
        self.rays: dict[Row, int] = {}

    def of(self, row: Row) -> int:
        """A corner's number, or ``-1 -`` a ray's."""
        if row[-1]:
            return self.corners.setdefault(row, len(self.corners))
        return -1 - self.rays.setdefault(row, len(self.rays))

    def final(self, face: Sequence[int]) -> Face:
        """The face in the numbers of the complex."""
        return tuple(sorted(v if v >= 0 else len(self.corners) - 1 - v for v in face))

    def tables(self, dim: int) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        """Corners in rationals, rays in integers."""
        high = [[Fraction(v, row[-1]) for v in row[:-1]] for row in self.corners]
        corners = np.array(high, dtype=object).reshape(-1, dim)
        rays = np.array([row[:-1] for row in self.rays], dtype=object).reshape(-1, dim)
        return freeze(corners), freeze(rays)


def _face_to_face(cells: RegionComplex, dim: int, max_faces: int) -> FaceComplex:
    """The faces of cells that meet face to face."""
    assert cells.walls is not None
    numbers = _Numbers()
    met: list[dict[Face, bool]] = [{} for _ in range(dim + 1)]
    sides: dict[Face, list[int]] = {}
    lineality = np.zeros((0, dim), dtype=object)
    for i in range(len(cells)):
        check()
        cell = cells.cell(i)
        lineality = cell.lineality
        names = [numbers.of(row) for row in cell.spans]
        at_walls = [
            set(np.flatnonzero(row).tolist())
            for row, key in zip(cell.tight, cell.behind, strict=True)
            if key is None
        ]
        for k in range(dim + 1):
            for face in cell.faces(k):
                named = tuple(sorted(names[v] for v in face))
                if k == dim - 1:
                    sides.setdefault(named, []).append(i)
                if named not in met[k]:
                    met[k][named] = not any(wall.issuperset(face) for wall in at_walls)
        if sum(map(len, met)) > max_faces:
            raise _too_many(met, max_faces)
    order = [sorted(level, key=numbers.final) for level in met[:-1]] + [list(met[-1])]
    levels = tuple(tuple(map(numbers.final, level)) for level in order)
    inner = tuple(
        freeze(np.array([met[k][f] for f in level], dtype=bool)) for k, level in enumerate(order)
    )
    touching = tuple(tuple(sides[f]) for f in order[dim - 1]) if dim else ()
    euler = _expected(cells.walls.domain, dim)
    corners, rays = numbers.tables(dim)
    where = cells.domain
    return FaceComplex(
        corners, rays, lineality, levels, inner, cells.patterns, touching, where, euler
    )


def _too_many(met: Sequence[dict[Face, bool]], max_faces: int) -> BudgetExceeded:
    found = sum(map(len, met))
    return BudgetExceeded(
        f"max_faces: at most {max_faces} needed, at least {counted(found, 'face')} found; raise "
        "it or choose a smaller domain.",
        found,
    )


def _of_plane(cells: RegionComplex, max_faces: int) -> FaceComplex:
    """The faces of a network's cells in a plane, where corners split edges."""
    assert cells.walls is not None
    numbers = _Numbers()
    corners: dict[Face, bool] = {}
    around: list[set[int]] = [set() for _ in range(len(cells))]
    edges: list[tuple[Face, Face]] = []
    for edge in plane_edges(solid_cells(cells)):
        check()
        ends = tuple(map(numbers.of, edge.ends))
        edges.append((ends, edge.cells))
        for v in ends:
            if v >= 0:
                corners[(v,)] = corners.get((v,), True) and len(edge.cells) == 2
        for i in edge.cells:
            around[i].update(ends)
        if len(edges) + len(corners) + len(cells) > max_faces:
            raise _too_many([corners, dict.fromkeys((e for e, _ in edges), True)], max_faces)
    edges.sort(key=lambda edge: (numbers.final(edge[0]), edge[1]))
    points = sorted(corners)
    levels = (
        tuple(points),
        tuple(numbers.final(ends) for ends, _ in edges),
        tuple(numbers.final(tuple(part)) for part in around),
    )
    inner = (
        [corners[v] for v in points],
        [len(touching) == 2 for _, touching in edges],
        [True] * len(cells),
    )
    table, rays = numbers.tables(2)
    return FaceComplex(
        *(table, rays, np.zeros((0, 2), dtype=object), levels),
        tuple(freeze(np.array(part, dtype=bool)) for part in inner),
        *(cells.patterns, tuple(touching for _, touching in edges), cells.domain),
        _expected(cells.walls.domain, 2),
    )
