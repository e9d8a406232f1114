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
    "closure",
    "cone_facets",
    "lattice_graph",
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


def closure(facets: Iterable[int]) -> set[int]:
    """All intersections of facets, the facets included (not the whole).

    >>> sorted(closure([0b011, 0b110]))
    [2, 3, 6]
    """
    tops = set(facets)
    faces = set(tops)
    fresh = set(tops)
    while fresh:
        fresh = {a & b for a in fresh for b in tops} - faces
        faces |= fresh
    return faces


def ranks(faces: Iterable[int]) -> dict[int, int]:
    """Length of the longest chain below each face: the rank in the (graded) face lattice.

    >>> ranks([0b00, 0b01, 0b10, 0b11])[0b11]
    2
    """
    rank: dict[int, int] = {}
    for face in sorted(faces, key=lambda mask: mask.bit_count()):
        rank[face] = 1 + max((rank[g] for g in rank if g & face == g), default=-1)
    return rank


def lattice_graph(facets: Iterable[int], n_vertices: int) -> nx.DiGraph[frozenset[int]]:
    """The face lattice as its Hasse diagram: nodes are vertex sets, edges go up, ``dim`` per node.

    The empty face has ``dim`` -1, the whole the polytope's dimension.

    >>> lattice_graph([0b01, 0b10], 2).number_of_edges()        # a segment
    4
    """
    faces = closure(facets) | {0, (1 << n_vertices) - 1}
    levels: dict[int, list[int]] = {}
    for face, rank in ranks(faces).items():
        levels.setdefault(rank, []).append(face)
    graph: nx.DiGraph[frozenset[int]] = nx.DiGraph()
    for rank, level in sorted(levels.items()):
        for face in sorted(level):
            graph.add_node(frozenset(positions(face)), dim=rank - 1)
            for below in levels.get(rank - 1, []):
                if below & face == below:
                    graph.add_edge(frozenset(positions(below)), frozenset(positions(face)))
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
    levels: dict[int, list[int]] = {}
    for face, rank in ranks(closure(facets) | {0, whole}).items():
        levels.setdefault(rank, []).append(face)
    known: dict[int, list[list[int]]] = {}

    def within(face: int, rank: int) -> list[list[int]]:
        if rank == 1:
            return [positions(face)]
        if face not in known:
            apex = (face & -face).bit_length() - 1
            known[face] = [
                [apex, *rest]
                for below in levels[rank - 1]
                if below & face == below and not below >> apex & 1
                for rest in within(below, rank - 1)
            ]
        return known[face]

    return within(whole, dim + 1)
