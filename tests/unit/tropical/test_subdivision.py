from __future__ import annotations

import random
import shutil
import subprocess
from fractions import Fraction

import pytest
from reference import families

from tropattn import TropicalPolynomial
from tropattn.errors import InvalidInput
from tropattn.tropical.geometry.subdivision import mixed_subdivision, mixed_volume, subdivision

CONIC = [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]


def test_tropical_conic():
    """The honeycomb conic: four triangles, four vertices, nine walls (three of them inside)."""
    found = subdivision(TropicalPolynomial(CONIC, [0, 1, 1, 0, 1, 0]))
    assert found.is_triangulation
    assert found.cells == ((0, 1, 2), (1, 2, 4), (1, 3, 4), (2, 4, 5))
    assert found.f_vector() == (6, 9, 4)
    assert sorted(found.dual_graph().edges) == [(0, 1), (1, 2), (1, 3)]
    assert found.points.tolist() == [[-1, -1], [0, 0], [1, 0], [0, 1]]
    surface = found.hypersurface()
    assert len(surface.walls) == 9
    assert surface.ridges == found.cells


def test_terms_inside_cells_are_listed():
    """Zero intercepts do not subdivide; edges carry their middle terms too."""
    found = subdivision(TropicalPolynomial(CONIC))
    assert found.cells == ((0, 1, 2, 3, 4, 5),)
    assert not found.is_triangulation
    assert found.faces(1) == [(0, 1, 3), (0, 2, 5), (3, 4, 5)]
    assert found.hypersurface().walls == ((0, 3), (0, 5), (3, 5))
    assert found.hypersurface().ridges == ((0, 3, 5),)
    assert not found.dual_graph().edges


def test_equal_dead_and_single_terms():
    equal = subdivision(TropicalPolynomial([[0], [1], [1], [1]], [0, 0, 0, -1]))
    assert equal.cells == ((0, 1, 2),)
    assert equal.faces(0) == [(0,), (1, 2)]
    assert equal.hypersurface().walls == ((0, 1),)
    point = subdivision(TropicalPolynomial([[2, 1], [2, 1]], [0, 3]))
    assert (point.cells, point.dim, point.f_vector()) == (((1,),), 0, (1,))
    assert point.hypersurface().walls == ()
    with pytest.raises(AttributeError, match="immutable"):
        point.dim = 3


def test_cells_are_what_wins_at_their_point(to_polynomial):
    """At the dual point exactly the cell's terms are highest; faces obey Euler's relation."""
    for seed in range(80):
        rng = random.Random(seed)
        kind = ("integer", "duplicates", "low_rank", "central_shifted")[seed % 4]
        (unit,) = families.random_units(rng, rng.randint(1, 4), [rng.randint(1, 8)], kind)
        f = to_polynomial(unit)
        found = subdivision(f)
        for cell, point in zip(found.cells, found.points, strict=True):
            assert f.winners([point.tolist()])[0].tolist() == list(cell)
        assert sum((-1) ** k * n for k, n in enumerate(found.f_vector())) == 1
        assert set(found.faces(found.dim)) == set(found.cells)


def test_mixed_cells_of_two_lines():
    """Two tropical lines cross once: two triangles and one parallelogram of area 1."""
    line = [[0, 0], [1, 0], [0, 1]]
    found = mixed_subdivision([TropicalPolynomial(line), TropicalPolynomial(line, [0, 1, 3])])
    assert found.is_fine
    assert sorted(cell.type for cell in found.cells) == [(0, 2), (1, 1), (2, 0)]
    (crossing,) = found.mixed_cells()
    assert found.volume(crossing) == found.mixed_volume() == 1
    assert sum(found.volume(cell) for cell in found.cells) == 2


def test_unsplit_cells_are_settled_by_inclusion_and_exclusion():
    """One line twice is no fine subdivision: one cell of type (2, 2), mixed volume 1."""
    line = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    found = mixed_subdivision([line, line])
    assert [cell.type for cell in found.cells] == [(2, 2)]
    assert not found.is_fine
    assert found.mixed_volume() == 1


@pytest.mark.parametrize(
    "degrees, expected", [((1, 1), 1), ((2, 3), 6), ((1, 2, 3), 6), ((2, 2, 2), 8)]
)
def test_bezout(degrees, expected):
    """The mixed volume of dilated simplices is the product of the degrees."""
    d = len(degrees)
    simplex = [[0] * d, *([int(i == k) for i in range(d)] for k in range(d))]
    assert mixed_volume([[[n * v for v in row] for row in simplex] for n in degrees]) == expected


def test_mixed_volume_is_linear_in_rationals():
    square = [[0, 0], [1, 0], [0, 1], [1, 1]]
    third = [[Fraction(v, 3) for v in row] for row in square]
    assert mixed_volume([square, square]) == 2
    assert mixed_volume([square, third]) == Fraction(2, 3)
    assert mixed_volume([square, [[0, 0], [1, 0]]]) == 1
    assert mixed_volume([[[0, 0], [1, 0]], [[0, 0], [2, 0]]]) == 0


def test_bad_input():
    line = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    with pytest.raises(InvalidInput, match="at least one"):
        mixed_subdivision([])
    with pytest.raises(InvalidInput, match="one dimension"):
        mixed_subdivision([line, TropicalPolynomial([[0], [1]])])
    with pytest.raises(InvalidInput, match="2 polytopes"):
        mixed_subdivision([line]).mixed_volume()


@pytest.mark.skipif(not shutil.which("gfan"), reason="gfan is not installed")
def test_mixed_volumes_by_gfan():
    rng = random.Random(12)
    for case in range(8):
        d = 2 + case % 2
        sets = [[[rng.randint(0, 3) for _ in range(d)] for _ in range(4)] for _ in range(d)]
        text = ",".join(
            "{" + ",".join(f"({','.join(map(str, row))})" for row in points) + "}"
            for points in sets
        )
        answer = subprocess.run(
            ["gfan", "_mixedvolume", "--vectorinput"],
            input=f"{{{text}}}",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        # gfan refuses sets whose sum is flat; those have mixed volume 0.
        theirs = int(answer.stdout) if answer.returncode == 0 and answer.stdout.strip() else 0
        assert mixed_volume(sets) == theirs
