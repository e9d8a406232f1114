"""Minkowski sums of many polytopes, by walking from vertex to vertex along edges (theory T5).

Fukuda (2004), *From the zonotope construction to the Minkowski addition of convex polytopes*,
J. Symb. Comput. 38: a vertex of the sum is one vertex of each summand, and its edge directions are
the extreme rays of the cone that all the summands' edges at these vertices span. The lexicographic
maximum is a vertex, the graph of a polytope is connected, so walking finds all. Nothing here is
shared with the engines that count routing cells; it is the second road to their numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import comb
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, as_fractions, freeze, is_exact, is_point, is_whole, listed
from tropattn.errors import EngineError, InvalidInput
from tropattn.polyhedra import faces
from tropattn.polyhedra.normal_fan import NormalFan
from tropattn.polyhedra.walk import PointMoves, SumMoves, Walk, WalkFrame, highest
from tropattn.threads import stoppable
from tropattn.values import Value, counted

__all__ = ["Facet", "MinkowskiSum", "minkowski_sum"]

Vector = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Facet(Value):
    """``<normal, x> <= offset``, with equality on ``vertices`` (positions in the sum's rows)."""

    normal: Vector
    offset: Fraction
    vertices: frozenset[int]

    def __repr__(self) -> str:
        normal = f"normal {self.normal}" if len(self.normal) <= 8 else f"R^{len(self.normal)}"
        return f"Facet({normal}, {counted(len(self.vertices), 'vertex', 'vertices')})"


class MinkowskiSum(Value):
    """``P_1 + ... + P_H``, with the unique term of each summand at every vertex.

    Attributes
    ----------
    summands : tuple of (N_i, d) arrays, the points as given.
    decomposition : (V, H) int64, row v the index of the point of each summand that makes vertex v
        (the smallest index of equal points), rows in lexicographic order.
    edges : (E, 2) int64, pairs of vertices joined by an edge, in lexicographic order.
    upper : the sum is taken with the ray ``-e_d`` added, so only upper vertices remain.
    stats : linear programs solved, and how many were settled in rationals.

    Build it with ``minkowski_sum``.
    """

    summands: tuple[Array, ...]
    decomposition: NDArray[np.int64]
    edges: NDArray[np.int64]
    upper: bool
    stats: dict[str, int]
    _frame: WalkFrame
    _states: NDArray[np.int64]
    _vectors: list[Vector]
    _members: list[list[int]]
    _PARTS = (
        *("summands", "decomposition", "edges", "upper", "stats"),
        *("_frame", "_states", "_vectors", "_members"),
    )
    _APART = ("stats", "_frame", "_states", "_vectors", "_members")

    def __init__(
        self,
        summands: tuple[Array, ...],
        frame: WalkFrame,
        upper: bool,
        states: NDArray[np.int64],
        walk: Walk,
    ) -> None:
        terms = np.column_stack([first[states[:, i]] for i, first in enumerate(frame.first)])
        order = np.lexsort(terms.T[::-1])
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        self._set("summands", summands)
        self._set("_frame", frame)
        self._set("upper", upper)
        self._set("decomposition", freeze(terms[order]))
        self._set("_states", freeze(states[order]))
        self._set("_vectors", walk.directions.vectors)
        self._set("_members", [walk.members[v] for v in order.tolist()])
        pairs = rank[np.array(walk.edges, dtype=np.int64).reshape(-1, 2)]
        pairs = np.sort(pairs, axis=1)
        self._set("edges", freeze(_each_twice(pairs)))
        self._set("stats", dict(walk.stats))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.decomposition)

    def __repr__(self) -> str:
        kind = "upper hull of a sum" if self.upper else "sum"
        return (
            f"MinkowskiSum({kind} of {counted(len(self.summands), 'polytope')}, "
            f"{counted(len(self), 'vertex', 'vertices')}, dimension {self.dim} in "
            f"R^{self.ambient_dim})"
        )

    # ---- vertices and graph -------------------------------------------------------------------

    @property
    def ambient_dim(self) -> int:
        """Number of coordinates ``d``."""
        return self.summands[0].shape[1]

    @property
    def dim(self) -> int:
        """Dimension of the sum itself, exact (of the unbounded polyhedron if ``upper``)."""
        return len(self._frame.axes)

    def exact_vertices(self) -> NDArray[np.object_]:
        """Coordinates of the vertices in rationals, (V, d)."""
        total = np.zeros((len(self), self.ambient_dim), dtype=object)
        for i, points in enumerate(self.summands):
            total = total + as_fractions(points)[self.decomposition[:, i]]
        return freeze(total)

    @cached_property
    def vertices(self) -> Array:
        """Coordinates of the vertices, (V, d): rationals if a summand is exact, else doubles.

        Doubles are the correctly rounded sums; ``exact_vertices`` never rounds.

        >>> minkowski_sum([[[0], [1]], [[0], [2]]]).vertices.tolist()
        [[0.0], [3.0]]
        """
        exact = self.exact_vertices()
        if any(is_exact(points) for points in self.summands):
            return exact
        return freeze(exact.astype(np.float64))

    def graph(self) -> nx.Graph[int]:
        """Vertices and edges of the polyhedron as a graph.

        Nodes carry ``term``, the decomposition; edges carry ``moves``, how many summands change.
        For ``upper`` sums it is the graph of cells that share a wall (T3, T5).

        >>> sorted(minkowski_sum([[[0, 0], [1, 0]], [[0, 0], [0, 1]]]).graph().edges)
        [(0, 1), (0, 2), (1, 3), (2, 3)]
        """
        graph: nx.Graph[int] = nx.Graph()
        for v, term in enumerate(self.decomposition.tolist()):
            graph.add_node(v, term=tuple(term))
        moves = (self.decomposition[self.edges[:, 0]] != self.decomposition[self.edges[:, 1]]).sum(
            axis=1
        )
        for (u, v), count in zip(self.edges.tolist(), moves.tolist(), strict=True):
            graph.add_edge(u, v, moves=count)
        return graph

    # ---- faces --------------------------------------------------------------------------------

    def _cone(self, v: int) -> list[Vector]:
        return [self._vectors[c] for c in self._members[v]]

    def f_vector(self) -> tuple[int, ...]:
        """Numbers of bounded faces of dimension 0, 1, ..., dim - 1 (proper ones).

        Every bounded face is counted at its lexicographically least vertex, where all its edges
        go up: a binomial coefficient at a simple vertex, the faces of a small cone elsewhere.
        Euler's relation is checked. Cost O(V) and the lattices of the cones that are not simple.

        >>> minkowski_sum([[[0, 0], [1, 0]], [[0, 0], [0, 1]]]).f_vector()
        (4, 4)
        """
        dim = self.dim
        counts = [0] * dim
        # Many vertices of structured sums share one cone, so its lattice is kept.
        lattices: dict[tuple[int, ...], dict[int, int]] = {}
        for v in range(len(self)) if dim else ():
            for size, number in enumerate(self._faces_started(v, lattices)):
                # The whole polytope starts at the least vertex and is not a proper face.
                if size < dim:
                    counts[size] += number
        alternating = sum((-1) ** k * count for k, count in enumerate(counts))
        expected = 1 if self.upper or not dim else 1 - (-1) ** dim
        if dim and (alternating != expected or counts[0] != len(self)):
            raise EngineError(
                f"f_vector: Euler's relation ({expected}) fails for {tuple(counts)}; two of our "
                "own witnesses contradict each other, please report the input."
            )
        return tuple(counts)

    def _faces_started(self, v: int, lattices: dict[tuple[int, ...], dict[int, int]]) -> list[int]:
        """Bounded faces, by dimension, whose least vertex is ``v``."""
        cone, dim = self._cone(v), self.dim
        up = [g != self._frame.ray and next(x for x in g if x) > 0 for g in cone]
        if len(cone) == dim:
            return [comb(sum(up), size) for size in range(dim + 1)]
        key = tuple(self._members[v])
        if key not in lattices:
            facets = (mask for _, mask in faces.cone_facets(cone))
            whole = (1 << len(cone)) - 1
            lattices[key] = faces.ranks(facets, whole)
        falling = sum(1 << i for i, yes in enumerate(up) if not yes)
        counts = [0] * (dim + 1)
        for face, rank in lattices[key].items():
            if not face & falling:
                counts[rank] += 1
        return counts

    @cached_property
    def _facets(self) -> tuple[Facet, ...]:
        if not self.dim:
            return ()
        touching: dict[Vector, list[int]] = {}
        for v in range(len(self)):
            for normal, _ in faces.cone_facets(self._cone(v)):
                touching.setdefault(normal, []).append(v)
        found = []
        for normal, rows in sorted(touching.items()):
            height = sum(
                int(np.dot(points[self._states[rows[0], i]].astype(object), normal))
                for i, points in enumerate(self._frame.points)
            )
            full = [0] * self.ambient_dim
            for axis, value in zip(self._frame.axes, normal, strict=True):
                full[axis] = value
            offset = Fraction(height, self._frame.scale)
            found.append(Facet(tuple(full), offset, frozenset(rows)))
        return tuple(found)

    def facets(self) -> tuple[Facet, ...]:
        """All facets, exactly, in lexicographic order of their primitive outer normals.

        Below full dimension the normals are taken among the vectors on a subset of the axes.
        Cost: one small double description per vertex.

        >>> [f.normal for f in minkowski_sum([[[0, 0], [1, 0], [0, 1]]]).facets()]
        [(-1, 0), (0, -1), (1, 1)]
        """
        return self._facets

    def inequalities(self) -> tuple[Array, Array, Array, Array]:
        """The H-representation ``A x <= b``, ``E x = e``, in rationals: ``(A, b, E, e)``.

        >>> A, b, E, e = minkowski_sum([[[0, 0], [2, 2]]]).inequalities()
        >>> A.tolist() == [[-1, 0], [1, 0]], E.tolist() == [[-1, 1]] or E.tolist() == [[1, -1]]
        (True, True)
        """
        found = self.facets()
        d = self.ambient_dim
        a = np.array([f.normal for f in found], dtype=object).reshape(-1, d)
        b = np.array([f.offset for f in found], dtype=object)
        equations = self.lineality()
        base = self.exact_vertices()[0]
        right = np.array([sum(p * q for p, q in zip(row, base, strict=True)) for row in equations])
        return freeze(a), freeze(b), equations, freeze(right.astype(object))

    def lineality(self) -> NDArray[np.object_]:
        """Integer basis (k, d) of the directions that are constant on the sum."""
        return self._frame.lineality

    def face_lattice(self) -> nx.DiGraph[frozenset[int]]:
        """Hasse diagram of all faces: nodes are sets of vertices with ``dim``, edges go up.

        Raises ``InvalidInput`` for ``upper`` sums, whose faces may be unbounded.

        >>> minkowski_sum([[[0, 0], [1, 0], [0, 1]]]).face_lattice().number_of_nodes()
        8
        """
        self._bounded("face_lattice")
        return faces.lattice_graph(self._masks(), len(self))

    def _masks(self) -> list[int]:
        return [sum(1 << v for v in f.vertices) for f in self.facets()]

    def _bounded(self, name: str) -> None:
        if self.upper:
            raise InvalidInput(
                f"{name}: a bounded sum needed, got one with upper=True; leave upper out."
            )

    def normal_fan(self) -> NormalFan:
        """The common refinement of the summands' normal fans (T5).

        >>> fan = minkowski_sum([[[0, 0], [1, 0]], [[0, 0], [0, 1]]]).normal_fan()
        >>> len(fan.rays), fan.cones, fan.simplicial
        (4, ((0, 1), (0, 2), (1, 3), (2, 3)), True)
        """
        found = self.facets()
        cones: list[list[int]] = [[] for _ in range(len(self))]
        for at, facet in enumerate(found):
            for v in facet.vertices:
                cones[v].append(at)
        rays = np.array([f.normal for f in found], dtype=object).reshape(-1, self.ambient_dim)
        return NormalFan(freeze(rays), tuple(map(tuple, cones)), self.lineality(), not self.upper)

    # ---- measure ------------------------------------------------------------------------------

    def volume(self) -> Fraction:
        """Volume in R^d, exactly (0 below full dimension).

        >>> minkowski_sum([[[0, 0], [1, 0], [0, 1]]] * 2).volume()
        Fraction(2, 1)
        """
        self._bounded("volume")
        if self.dim < self.ambient_dim:
            return Fraction(0)
        total = np.zeros((len(self), self.dim), dtype=object)
        for i, points in enumerate(self._frame.points):
            total = total + points[self._states[:, i]].astype(object)
        vertices = [tuple(map(int, row)) for row in total]
        return faces.volume(vertices, self._masks()) / self._frame.scale**self.dim

    def support(self, directions: Any) -> Any:
        """``max <u, x>`` over the sum for one direction (d,) or rows (m, d).

        Exact where a direction or a summand is an exact array; otherwise in doubles.

        >>> minkowski_sum([[[0, 0], [3, 1]], [[0, 0], [0, 1]]]).support([1, 1])
        5.0
        """
        single = is_point(directions)
        given = [directions] if single else directions
        u = as_array("directions", given, 2, shape="(d,) or (m, d)")
        if u.shape[1] != self.ambient_dim:
            raise InvalidInput(
                f"directions: {self.ambient_dim} coordinates needed, got {u.shape[1]}."
            )
        exact = is_exact(u) or any(is_exact(p) for p in self.summands)
        if exact:
            u = as_fractions(u)
        total = np.zeros(len(u), dtype=u.dtype)
        for p in self.summands:
            total = total + ((as_fractions(p) if exact else p) @ u.T).max(axis=0)
        if not single:
            return total
        return total[0] if exact else float(total[0])


@stoppable()
def minkowski_sum(
    polytopes: Sequence[Any],
    *,
    upper: bool = False,
    max_vertices: int = 1_000_000,
    threads: int | None = None,
    stop: threading.Event | None = None,
) -> MinkowskiSum:
    """The Minkowski sum ``P_1 + ... + P_H`` with its vertices, decompositions and edges (T5).

    Parameters
    ----------
    polytopes : arrays of points (N_i, d), or objects with ``.points`` such as ``NewtonPolytope``;
        points that are no vertices, or equal, are allowed.
    upper : add the ray ``-e_d``: of lifted polytopes the upper vertices remain, one per
        routing cell.
    max_vertices : budget; ``BudgetExceeded`` carries the vertices found so far.
    threads : worker threads; the result does not depend on them.
    stop : an event that ends the call from another thread, as Ctrl-C does from the main one.

    Raises
    ------
    InvalidInput : no polytopes, no points, or different dimensions.
    BudgetExceeded : more than ``max_vertices`` vertices. Interrupted : stopped; both with
        ``.lower``, the vertices found so far.

    Notes
    -----
    Exact for the numbers given: every sign is proved in doubles or decided in rationals. Cost: one
    linear program with d rows for every edge of a summand at every vertex of the sum. Each edge is
    found from both of its ends, which is checked. Source: Fukuda (2004); theory T5.

    Examples
    --------
    >>> triangle, segment = [[0, 0], [1, 0], [0, 1]], [[0, 0], [1, 1]]
    >>> minkowski_sum([triangle, segment]).decomposition.tolist()
    [[0, 0], [1, 0], [1, 1], [2, 0], [2, 1]]
    """
    summands = _summands(polytopes)
    if not is_whole(max_vertices) or max_vertices < 1:
        raise InvalidInput(f"max_vertices: an integer >= 1 needed, got {max_vertices!r}.")
    frame = WalkFrame.of(summands, upper)
    graphs, starts = [], []
    work = {"programs": 0, "exact_decisions": 0}
    for points in frame.points:
        walk = Walk(len(frame.axes), threads)
        one = PointMoves(points, walk.directions, frame.ray)
        graphs.append(one.ways_out(walk.run(one, max_vertices), walk))
        starts.append(highest(points, frame.ray))
        for name in work:
            work[name] += walk.stats[name]
    walk = Walk(len(frame.axes), threads)
    states = walk.run(SumMoves(starts, graphs, walk.directions, frame.ray), max_vertices)
    for name in work:
        walk.stats[name] += work[name]
    return MinkowskiSum(summands, frame, upper, states, walk)


def _summands(polytopes: Sequence[Any]) -> tuple[Array, ...]:
    found = tuple(
        as_array(f"polytopes[{i}]", getattr(p, "points", p), 2, shape="(N, d)")
        for i, p in enumerate(listed("polytopes", polytopes, "give a list of arrays (N, d)"))
    )
    if not found:
        raise InvalidInput(
            "polytopes: at least one needed, got none; the empty sum has no dimension."
        )
    dims = {p.shape[1] for p in found}
    if len(dims) != 1 or 0 in dims or any(not len(p) for p in found):
        raise InvalidInput(
            f"polytopes: shapes (N, d) with N >= 1 and one d >= 1 needed, got "
            f"{[p.shape for p in found]}; lift all of them or none."
        )
    return found


def _each_twice(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct pairs, after checking that each was found from both ends."""
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    if (counts != 2).any():
        raise EngineError(
            "minkowski_sum: every edge must be found from both ends, got one found once; two of "
            "our own witnesses contradict each other, please report the input."
        )
    return found
