"""Facets as polygons: a closed surface turned outwards, whose volume is the exact one."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import tropattn as ta
from tropattn.errors import InvalidInput
from tropattn.polyhedra.meshes import facet_polygons, to_obj, to_off
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.tropical.reading import from_off


def cells(seed, n_heads, n_keys):
    rng = np.random.default_rng(seed)
    heads = [
        ta.TropicalPolynomial(rng.integers(-3, 4, (n_keys, 3)), rng.integers(-3, 4, n_keys))
        for _ in range(n_heads)
    ]
    found = ta.enumerate_regions(heads, ta.Box([-2] * 3, [2] * 3))
    return found, [found.cell(i) for i in range(len(found))]


def volume(points, faces):
    """By the divergence theorem, in sixths."""
    total = Fraction(0)
    for face in faces:
        for j, k in pairwise(face):
            total += np.dot(points[face[0]], np.cross(points[j], points[k]))
    return total / 6


@pytest.mark.parametrize("seed", range(4))
def test_surfaces_are_closed_and_enclose_the_exact_volume(seed):
    for cell in cells(seed, 2, 4)[1]:
        faces = list(facet_polygons(cell).values())
        sides = [(a, b) for f in faces for a, b in zip(f, [*f[1:], f[0]], strict=True)]
        assert len(set(sides)) == len(sides)
        assert {(b, a) for a, b in sides} == set(sides)
        assert volume(cell.corners, faces) == cell.volume()


def test_files_hold_the_cells(tmp_path):
    found, parts = cells(7, 2, 3)
    found.write(tmp_path / "cells.off")
    found.write(tmp_path / "cells.obj")
    off = (tmp_path / "cells.off").read_text()
    points = from_off(off)
    known = {tuple(map(float, corner)) for cell in parts for corner in cell.corners.tolist()}
    assert {tuple(row) for row in points.tolist()} == known and len(points) == len(known)
    rows = [line.split() for line in off.splitlines()[2 + len(points) :] if line[0] != "#"]
    faces = [[int(word) for word in row[1:]] for row in rows]
    assert float(volume(points, faces)) == pytest.approx(64)
    obj = (tmp_path / "cells.obj").read_text().splitlines()
    assert sum(line.startswith("o ") for line in obj) == len(parts)
    again = [[int(word) - 1 for word in line.split()[1:]] for line in obj if line[0] == "f"]
    assert again == faces and obj[0] == f"v {off.splitlines()[2]}"


@pytest.mark.parametrize(
    "cell",
    [
        Polyhedron([[-1, 0, 0], [0, -1, 0], [0, 0, -1]], [0, 0, 0]),
        Polyhedron([[-1, 0], [0, -1], [1, 1]], [0, 0, 1]),
        Polyhedron(np.vstack([np.eye(3), -np.eye(3)]), [1, 1, 0, 0, 0, 0]),
    ],
    ids=["unbounded", "in the plane", "flat"],
)
@pytest.mark.parametrize("form", [to_off, to_obj])
def test_what_has_no_surface_is_refused(cell, form):
    with pytest.raises(InvalidInput, match="a bounded polyhedron with interior in R"):
        form([cell])


def test_no_file_is_begun_where_cells_are_unbounded(tmp_path):
    found = ta.enumerate_regions(ta.TropicalPolynomial([[0, 0, 0], [1, 0, 0]]))
    with pytest.raises(InvalidInput, match="cut it by a Box"):
        found.write(tmp_path / "cells.off")
    assert not list(tmp_path.iterdir())
