"""Faces of cones and polytopes in integers: facets, the face lattice, volume.

A face is written as the set of generators (or vertices) on it, a bit mask, so that faces are
compared by labels and never by coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import factorial, gcd

import flint
import networkx as nx

from tropattn.arrays import pivot_columns
from tropattn.errors import EngineError

__all__ = [
    "cone_facets",
    "lattice_graph",
    "levels",
    "positions",
    "primitive",
    "ranks",
    "simplices",
    "volume",
]

Vector = tuple[int, ...]


def primitive(vector: Iterable[int]) -> Vector:
    """The positive multiple with coprime entries (0 stays 0).

    >>> primitive([4, -6])
    (2, -3)
    """
    entries = [int(v) for v in vector]
    common = gcd(*entries) or 1
    return tuple(v // common for v in entries)


def positions(mask: int) -> list[int]:
    """The places of the ones of a bit mask, ascending.

    >>> positions(0b1101)
    [0, 2, 3]
    """
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def cone_facets(generators: Sequence[Vector]) -> list[tuple[Vector, int]]:
    """Facets of the pointed full-dimensional cone of the generators: outward normal and members.

    Parameters
    ----------
    generators : n integer vectors that span R^D.

    Returns
    -------
    ``(normal, mask)`` per facet: ``<normal, g> <= 0`` for all generators, 0 exactly for the mask's.

    Notes
    -----
    Double description, Motzkin et al. (1953), with the combinatorial adjacency test; integers only.
    Cost: quadratic in the intermediate numbers of facets.

    Examples
    --------
    >>> sorted(cone_facets([(1, 0), (1, 1), (0, 1)]))
    [((-1, 0), 4), ((0, -1), 1)]
    """
    dim = len(generators[0])
    start = _independent(generators)
    if len(start) < dim:
        raise EngineError(
            f"cone: {dim} independent generators needed, got {len(start)}; please report the input."
        )
    inverse = flint.fmpq_mat(
        flint.fmpz_mat(dim, dim, [v for at in start for v in generators[at]])
    ).inv()
    rays: list[tuple[Vector, int]] = []
    for i in range(dim):
        column = [inverse[k, i] for k in range(dim)]
        common = 1
        for v in column:
            common = common * int(v.q) // gcd(common, int(v.q))
        normal = primitive(-int(v.p) * (common // int(v.q)) for v in column)
        rays.append((normal, sum(1 << at for j, at in enumerate(start) if j != i)))
    for at in range(len(generators)):
        if at not in start:
            rays = _cut(rays, generators[at], at, dim)
    return rays


def _independent(generators: Sequence[Vector]) -> list[int]:
    """The first generators that are independent of those before them."""
    dim = len(generators[0])
    flat = [row[k] for k in range(dim) for row in generators]
    reduced, _, rank = flint.fmpz_mat(dim, len(generators), flat).rref()
    return pivot_columns(reduced, rank)


def _cut(
    rays: list[tuple[Vector, int]], generator: Vector, at: int, dim: int
) -> list[tuple[Vector, int]]:
    """The dual cone's rays after the inequality of one more generator."""
    bit = 1 << at
    values = [sum(p * q for p, q in zip(normal, generator, strict=True)) for normal, _ in rays]
    kept = [
        (normal, mask | bit if value == 0 else mask)
        for (normal, mask), value in zip(rays, values, strict=True)
        if value <= 0
    ]
    outside = [i for i, value in enumerate(values) if value > 0]
    inside = [i for i, value in enumerate(values) if value < 0]
    masks = [mask for _, mask in rays]
    for i in outside:
        for j in inside:
            shared = masks[i] & masks[j]
            if shared.bit_count() < dim - 2:
                continue
            # Adjacent exactly if no third ray lies on all that the two share.
            if any(m & shared == shared for t, m in enumerate(masks) if t not in (i, j)):
                continue
            a, b = values[i], -values[j]
            normal = primitive(a * q + b * p for p, q in zip(rays[i][0], rays[j][0], strict=True))
            kept.append((normal, shared | bit))
    return kept


def levels(
    facets: Iterable[int], whole: int, corners: int | None = None
) -> list[dict[int, list[int]]]:
    """The faces from the whole down, a level a dimension, each with the largest faces below it.

    Parameters
    ----------
    facets : masks of which the facets are the largest.
    whole : the mask of all generators.
    corners : of an unbounded polyhedron those of its generators that are corners: what has none of
        them is no face of it. Without it the empty face is the last.

    Notes
    -----
    A face below one of a face's facets is that facet's intersection with exactly one of the others
    (Ziegler 1995, Theorem 2.7), so those are compared, not all faces. Cost: the faces times the
    square of the number of facets that each has.

    Examples
    --------
    >>> levels([0b01, 0b10], 0b11)      # a segment
    [{3: [1, 2]}, {1: [0], 2: [0]}, {0: []}]
    """
    found = [{whole: _largest(facets, whole, corners)}]
    while any(found[-1].values()):
        level: dict[int, list[int]] = {}
        for below in found[-1].values():
            for face in below:
                if face not in level:
                    level[face] = _largest((face & other for other in below), face, corners)
        found.append(level)
    return found


def _largest(masks: Iterable[int], whole: int, corners: int | None) -> list[int]:
    """Of the masks but the whole one those that lie in no other, ascending; else the empty one."""
    distinct = {m for m in masks if m != whole and (corners is None or m & corners)}
    found: list[int] = []
    for mask in sorted(distinct, key=lambda m: (-m.bit_count(), m)):
        if not any(mask & other == mask for other in found):
            found.append(mask)
    return sorted(found) or ([0] if whole and corners is None else [])


def ranks(facets: Iterable[int], whole: int, corners: int | None = None) -> dict[int, int]:
    """The height of each face in its lattice, as in ``levels``: 0 for the least ones.

    >>> ranks([0b01, 0b10], 0b11)
    {3: 2, 1: 1, 2: 1, 0: 0}
    """
    found = levels(facets, whole, corners)
    return {face: len(found) - 1 - k for k, level in enumerate(found) for face in level}


def lattice_graph(facets: Iterable[int], n_vertices: int) -> nx.DiGraph[frozenset[int]]:
    """The face lattice as its Hasse diagram: nodes are vertex sets, edges go up, ``dim`` per node.

    The empty face has ``dim`` -1, the whole the polytope's dimension.

    >>> lattice_graph([0b01, 0b10], 2).number_of_edges()        # a segment
    4
    """
    graph: nx.DiGraph[frozenset[int]] = nx.DiGraph()
    found = levels(facets, (1 << n_vertices) - 1)[::-1]
    for dim, level in enumerate(found, -1):
        for face, below in sorted(level.items()):
            graph.add_node(frozenset(positions(face)), dim=dim)
            for other in below:
                graph.add_edge(frozenset(positions(other)), frozenset(positions(face)))
    return graph


def volume(points: Sequence[Vector], facets: Iterable[int]) -> Fraction:
    """Volume of a full-dimensional polytope with integer vertices, exactly.

    Parameters
    ----------
    points : its vertices; facets : masks of the vertices on each facet.

    Returns
    -------
    The sum of ``|det| / D!`` over the pulling triangulation, Cohen and Hickey (1979): each face is
    coned from its first vertex over the facets of the face that miss it.

    >>> square = [(0, 0), (2, 0), (0, 2), (2, 2)]
    >>> volume(square, [0b0011, 0b0101, 0b1010, 0b1100])
    Fraction(4, 1)
    """
    dim = len(points[0])
    total = 0
    for first, *others in simplices(len(points), facets, dim):
        rows = [p - q for at in others for p, q in zip(points[at], points[first], strict=True)]
        total += abs(int(flint.fmpz_mat(dim, dim, rows).det()))
    return Fraction(total, factorial(dim))


def simplices(n_vertices: int, facets: Iterable[int], dim: int) -> list[list[int]]:
    """The pulling triangulation of a polytope of that dimension, each simplex by its vertices.

    >>> simplices(4, [0b0011, 0b0101, 0b1010, 0b1100], 2)      # a square
    [[0, 1, 3], [0, 2, 3]]
    """
    whole = (1 << n_vertices) - 1
    below = {face: under for level in levels(facets, whole) for face, under in level.items()}
    known: dict[int, list[list[int]]] = {}

    def within(face: int, rank: int) -> list[list[int]]:
        if rank == 1:
            return [positions(face)]
        if face not in known:
            apex = (face & -face).bit_length() - 1
            known[face] = [
                [apex, *rest]
                for under in below[face]
                if not under >> apex & 1
                for rest in within(under, rank - 1)
            ]
        return known[face]

    return within(whole, dim + 1)
