"""Bounded polyhedra of R^3: their facets as polygons, and files for programs that show solids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from tropattn.errors import InvalidInput
from tropattn.polyhedra.polyhedron import Polyhedron

__all__ = ["facet_polygons", "to_obj", "to_off"]


def facet_polygons(cell: Polyhedron) -> dict[int, list[int]]:
    """The corners of each facet of a solid polytope in R^3, counter-clockwise seen from outside.

    Keys are ``cell.facets``, entries places in ``cell.corners``; exact, from which rows hold with
    equality where. Raises ``InvalidInput`` where the polyhedron is unbounded, flat, or elsewhere.

    >>> from tropattn.polyhedra.domain import Box
    >>> facet_polygons(Polyhedron.of(Box([0, 0, 0], [1, 1, 1])))[0]
    [4, 6, 7, 5]
    """
    if cell.dim != 3 or not cell.bounded or cell.own_dim < 3:
        raise InvalidInput(
            f"cell: a bounded polyhedron with interior in R^3 needed, got {cell!r}; cut it by a "
            "Box, as the domain of the count."
        )
    tight = cell.tight[list(cell.facets)]
    found = {}
    for i, facet in enumerate(cell.facets):
        # Two facets of a polytope in R^3 have two corners in common exactly if an edge parts them.
        shared = (tight[i] & tight).nonzero()
        edges = [shared[1][shared[0] == j].tolist() for j in range(len(tight)) if j != i]
        found[facet] = _outward(cell, facet, _walk([edge for edge in edges if len(edge) == 2]))
    return found


def _walk(edges: list[list[int]]) -> list[int]:
    """The corners of a polygon in cyclic order, from its edges."""
    beside: dict[int, list[int]] = {}
    for a, b in edges:
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    around = [min(beside)]
    while len(around) < len(beside):
        around.append(next(j for j in beside[around[-1]] if j not in around))
    return around


def _outward(cell: Polyhedron, facet: int, around: list[int]) -> list[int]:
    """The polygon, turned if its corners go clockwise seen from outside."""
    a, b, c = (cell.corners[j] for j in around[:3])
    side = np.cross(b - a, c - b) @ [Fraction(v) for v in cell.rows[facet][:3]]
    return around if side > 0 else [around[0], *around[:0:-1]]


def to_off(cells: Sequence[Polyhedron], names: Sequence[str] = ()) -> str:
    """Polytopes of R^3 in the Object File Format: all corners once, then the facets cell by cell.

    Corners are rounded to doubles. ``names`` become comments. Raises as ``facet_polygons``.

    >>> from tropattn.polyhedra.domain import Box
    >>> to_off([Polyhedron.of(Box([0, 0, 0], [1, 1, 1]))]).split()[:7]
    ['OFF', '8', '6', '0', '0.0', '0.0', '0.0']
    """
    points, faces = _shared(cells)
    lines = ["OFF", f"{len(points)} {sum(map(len, faces))} 0", *points]
    for name, cell in _beside(names, faces):
        lines += [f"# {name}"] if name else []
        lines += [f"{len(face)} {' '.join(map(str, face))}" for face in cell]
    return "\n".join(lines) + "\n"


def to_obj(cells: Sequence[Polyhedron], names: Sequence[str] = ()) -> str:
    """Polytopes of R^3 as a Wavefront OBJ file, one object a cell; as ``to_off``.

    >>> from tropattn.polyhedra.domain import Box
    >>> lines = to_obj([Polyhedron.of(Box([0, 0, 0], [1, 1, 1]))], ["cube"]).splitlines()
    >>> lines[0], lines[8:10]
    ('v 0.0 0.0 0.0', ['o cube', 'f 5 7 8 6'])
    """
    points, faces = _shared(cells)
    lines = [f"v {point}" for point in points]
    for name, cell in _beside(names, faces):
        lines += [f"o {name.replace(' ', '_')}"] if name else []
        lines += [f"f {' '.join(str(j + 1) for j in face)}" for face in cell]
    return "\n".join(lines) + "\n"


def _shared(cells: Sequence[Polyhedron]) -> tuple[list[str], list[list[list[int]]]]:
    """The different corners of all cells in decimals, and each cell's facets by their places."""
    places: dict[tuple[Fraction, ...], int] = {}
    faces = []
    for cell in cells:
        own = [places.setdefault(tuple(row), len(places)) for row in cell.corners.tolist()]
        faces.append([[own[j] for j in face] for face in facet_polygons(cell).values()])
    return [" ".join(repr(float(v)) for v in corner) for corner in places], faces


def _beside(
    names: Sequence[str], faces: list[list[list[int]]]
) -> Iterator[tuple[str, list[list[int]]]]:
    return zip(names or [""] * len(faces), faces, strict=True)
