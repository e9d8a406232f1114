"""Regular subdivisions and the tropical hypersurfaces dual to them (theory T3).

The upper faces of the lifted points ``(a_j, c_j)``, projected down, subdivide ``conv{a_j}``; the
subdivision is dual to the cells of ``max_j <a_j, x> + c_j``. Faces are sets of terms, all terms on
a face included. Here is what such an object is, and the road to it along the edges of the lifted
polytope, which shares nothing with the diagrams of heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_fractions, freeze
from tropattn.polyhedra import faces
from tropattn.polyhedra.minkowski import minkowski_sum
from tropattn.values import Value, counted

__all__ = ["RegularSubdivision", "TropicalHypersurface", "walked_subdivision"]

Terms = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TropicalHypersurface(Value):
    """Where the maximum of a tropical polynomial is attained twice: the walls of its cells.

    Attributes
    ----------
    points : (V, d) exact, the vertices of the diagram (any point of the flat if the slopes do not
        span: coordinates outside the span's axes are 0).
    walls : pairs of live terms whose cells share a wall, ascending.
    ridges : the live terms around each face of codimension 2, ascending.
    counts : numbers of faces of dimension 0, ..., d - 1, as ``f_vector`` gives them.
    """

    points: NDArray[np.object_]
    walls: tuple[tuple[int, int], ...]
    ridges: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...] = ()

    def f_vector(self) -> tuple[int, ...]:
        """Numbers of faces of dimension 0, ..., d - 1, bounded and unbounded.

        >>> from tropattn.tropical.geometry.subdivision import subdivision
        >>> from tropattn.tropical.max_affine import MaxAffine
        >>> subdivision(MaxAffine([[0, 0], [1, 0], [0, 1]])).hypersurface().f_vector()
        (1, 3)
        """
        return self.counts

    def __repr__(self) -> str:
        words = counted(len(self.points), "vertex", "vertices"), counted(len(self.walls), "wall")
        return f"TropicalHypersurface({', '.join(words)}, R^{self.points.shape[1]})"


class RegularSubdivision(Value):
    """The subdivision of ``conv{a_j}`` that the intercepts lift (T3).

    Attributes
    ----------
    cells : its maximal cells, each the ascending tuple of *all* terms on it (equal terms included).
    points : (n_cells, d) exact; at ``points[i]`` exactly the terms of ``cells[i]`` are highest.
    dim : dimension of ``conv{a_j}``.

    Build it with ``subdivision(f)``.
    """

    cells: tuple[Terms, ...]
    dim: int
    _points: Callable[[], NDArray[np.object_]]
    _faces: Callable[[int], list[Terms]]
    _PARTS = ("cells", "points", "dim")

    def __init__(
        self,
        cells: tuple[Terms, ...],
        dim: int,
        points: Callable[[], NDArray[np.object_]],
        of_dimension: Callable[[int], list[Terms]],
    ) -> None:
        """``points`` and ``of_dimension``, the bounded faces of one, are asked for when needed."""
        for name, value in (
            ("cells", cells),
            ("dim", dim),
            ("_points", points),
            ("_faces", cache(of_dimension)),
        ):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        levels = [self._faces(k) for k in range(self.dim + 1)]
        return _restored, (self.cells, self.dim, self.points, levels)

    def __repr__(self) -> str:
        return f"RegularSubdivision({counted(len(self.cells), 'cell')} of dimension {self.dim})"

    @cached_property
    def points(self) -> NDArray[np.object_]:
        """Where all terms of each cell tie: the vertices of the diagram."""
        return self._points()

    def faces(self, k: int) -> list[Terms]:
        """Cells of dimension ``k`` of the subdivision, each as its terms, in lexicographic order.

        Dual to the faces of codimension ``k`` of the diagram.

        >>> from tropattn.tropical.geometry.subdivision import subdivision
        >>> from tropattn.tropical.max_affine import MaxAffine
        >>> subdivision(MaxAffine([[0], [1], [2]], [0, 0, 0])).faces(0)
        [(0,), (2,)]
        """
        return list(self._faces(k)) if 0 <= k <= self.dim else []

    def f_vector(self) -> tuple[int, ...]:
        """Numbers of cells of dimension 0, 1, ..., dim, maximal cells included."""
        return tuple(len(self._faces(k)) for k in range(self.dim + 1))

    @property
    def is_triangulation(self) -> bool:
        """Whether every maximal cell carries dim + 1 terms."""
        return all(len(cell) == self.dim + 1 for cell in self.cells)

    def dual_graph(self) -> nx.Graph[int]:
        """Maximal cells, joined where they share a face of one dimension less.

        Nodes carry ``terms``: the graph of the diagram's vertices and bounded edges.
        """
        graph: nx.Graph[int] = nx.Graph()
        around: dict[int, set[int]] = {}
        for i, cell in enumerate(self.cells):
            graph.add_node(i, terms=cell)
            for j in cell:
                around.setdefault(j, set()).add(i)
        for ridge in self._faces(self.dim - 1) if self.dim else []:
            sides = sorted(set.intersection(*(around[j] for j in ridge)))
            if len(sides) == 2:
                graph.add_edge(*sides, terms=ridge)
        return graph

    def hypersurface(self) -> TropicalHypersurface:
        """The dual complex: vertices, walls and ridges.

        Live terms stand for the faces of dimension 0, of equal terms the smallest.

        >>> from tropattn.tropical.geometry.subdivision import subdivision
        >>> from tropattn.tropical.max_affine import MaxAffine
        >>> surface = subdivision(MaxAffine([[0, 0], [1, 0], [0, 1]])).hypersurface()
        >>> surface.walls, surface.ridges
        (((0, 1), (0, 2), (1, 2)), ((0, 1, 2),))
        """
        corners = {terms[0] for terms in self._faces(0)}

        def live(k: int) -> list[Terms]:
            return sorted(tuple(j for j in face if j in corners) for face in self.faces(k))

        walls = tuple((pair[0], pair[1]) for pair in live(1))
        d = self.points.shape[1]
        counts = tuple(len(self.faces(d - k)) for k in range(d))
        return TropicalHypersurface(self.points, walls, tuple(live(2)), counts)


def _restored(
    cells: tuple[Terms, ...], dim: int, points: Array, levels: list[list[Terms]]
) -> RegularSubdivision:
    return RegularSubdivision(cells, dim, lambda: freeze(points), levels.__getitem__)


def walked_subdivision(lifted: Array) -> RegularSubdivision:
    """The subdivision of lifted points (N, d + 1), from a walk along the edges of their upper hull.

    Cost: the upper hull by ``minkowski_sum``, and N exact products per facet.

    >>> walked_subdivision(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])).cells
    ((0, 1), (1, 2))
    """
    upper = minkowski_sum([lifted], upper=True)
    exact = as_fractions(lifted)
    marks, found = [], []
    for facet in upper.facets():
        on = [
            j
            for j, row in enumerate(exact.tolist())
            if sum(p * q for p, q in zip(facet.normal, row, strict=True)) == facet.offset
        ]
        height = facet.normal[-1]
        mask = sum(1 << j for j in on)
        if height > 0:
            found.append((tuple(on), [Fraction(v, height) for v in facet.normal[:-1]]))
        else:
            # A vertical facet contains the ray, which is marked as one more generator.
            mask |= 1 << len(exact)
        marks.append(mask)
    found.sort(key=lambda cell: cell[0])
    rows = np.array([x for _, x in found], dtype=object)
    points = freeze(rows.reshape(len(found), exact.shape[1] - 1))

    @cache
    def levels() -> dict[int, list[Terms]]:
        """Bounded faces by dimension."""
        whole = (1 << (len(exact) + 1)) - 1
        made: dict[int, list[Terms]] = {}
        for face, rank in faces.ranks(marks, whole).items():
            if rank and not face >> len(exact) & 1:
                made.setdefault(rank - 1, []).append(tuple(faces.positions(face)))
        return made

    return RegularSubdivision(
        tuple(on for on, _ in found),
        upper.dim - 1,
        lambda: points,
        lambda k: sorted(levels().get(k, [])),
    )
