from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta
from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.polyhedra.polyhedron import Polyhedron
from tropattn.tropical.interchange import to_polymake, to_sage
from tropattn.tropical.reading import from_off

parse = ta.TropicalPolynomial.parse


@pytest.mark.parametrize(
    "text, slopes, intercepts",
    [
        ("max(0, x+1, 2*y-3/2)", [[0, 0], [1, 0], [0, 2]], [0, 1, Fraction(-3, 2)]),
        (" max ( x , -x ) ", [[1], [-1]], [0, 0]),
        ("max(x1, 2x_0 - x1 + 0.5)", [[0, 1], [2, -1]], [0, Fraction(1, 2)]),
        ("max(b, a, b + a)", [[0, 1], [1, 0], [1, 1]], [0, 0, 0]),
        ("max(x - x + 3)", [[0]], [3]),
        ("min(x, 2)", [[-1], [0]], [0, -2]),
    ],
)
def test_what_is_read(text, slopes, intercepts):
    found = parse(text)
    assert found.slopes.tolist() == slopes and found.intercepts.tolist() == intercepts


def test_variables_name_the_coordinates():
    assert parse("max(y, 1)", ["x", "y", "z"]).slopes.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert parse("max(1, 2)", ["x"]).dim == 1
    assert int(ta.count_regions(parse("min(x, y, 0)"))) == 3


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "max()", "max(x", "max(x))", "max(x,)", "max(x*y)", "max(x^2)", "max(1e3*x)"),
        *(
            "max(x0, y)",
            "max(2/0*x)",
            "max(inf, x)",
            "max(x; y)",
            "sup(x)",
            "max(1, 2)",
            "max(--x)",
        ),
        *("max(x) + 1", "max(max(x), y)", "max(x y)", "max(__import__('os'))", "max(x[0])"),
    ],
)
def test_what_is_refused(text):
    with pytest.raises(InvalidInput, match="text"):
        parse(text)


@pytest.mark.parametrize(
    "given", [{"text": 3}, {"variables": 3}, {"variables": [1]}, {"variables": ["x", "x"]}]
)
def test_arguments_of_other_kinds(given):
    with pytest.raises(InvalidInput):
        parse(**{"text": "max(0, x)", **given})
    with pytest.raises(InvalidInput, match="variables y needed"):
        parse("max(0, x)", ["y"])


CUBE = """OFF
# a tetrahedron
4 4 6
0 0 0
1 0 0
0 1 0   # with a comment
0 0 1.5
3 0 1 2
3 0 1 3 255 0 0
3 0 2 3
3 1 2 3
"""


def test_off_and_polymake_files(tmp_path):
    (tmp_path / "a.off").write_text(CUBE)
    (tmp_path / "b.poly").write_text(to_polymake(np.array([[0, 0], [1, 0], [0, 1]])))
    (tmp_path / "c.off").write_text("nOFF 2 3 0 0 0 0 1 0 0 1")
    polytope = ta.read(tmp_path / "a.off")
    assert polytope.volume() == Fraction(1, 4) and polytope.f_vector() == (4, 6, 4)
    assert ta.read(tmp_path / "b.poly").volume() == Fraction(1, 2)
    assert ta.read(tmp_path / "c.off").f_vector() == (3, 3)
    (head,) = ta.load_polynomials(tmp_path / "a.off")
    assert head.slopes.tolist()[3] == [0, 0, 1.5] and int(ta.count_regions(head)) == 4
    (head,) = ta.load_polynomials(tmp_path / "b.poly")
    assert int(ta.count_regions(head)) == 3


@pytest.mark.parametrize(
    "text",
    [
        *("", "PLY", "OFF", "OFF 1 0", "OFF 0 0 0", "OFF 1 0 0 1 2", "OFF 1 0 0 1 2 nan"),
        *("OFF 1 0 0 1 2 x", "nOFF 0 1 0 0", "OFF -1 0 0", "OFF\n1 1 0\n0 0 0\n2 0 1"),
        *("OFF\n2 1 0\n0 0 0\n1 1 1\n3 0 1", "OFF\n2 1 0\n0 0 0\n1 1 1\nx"),
    ],
)
def test_bad_off_files(text, tmp_path):
    with pytest.raises(InvalidInput, match="text"):
        from_off(text)
    Path(tmp_path, "bad.off").write_text(text)
    for reader in (ta.read, ta.load_polynomials):
        with pytest.raises(InvalidInput, match=r"bad\.off"):
            reader(tmp_path / "bad.off")


def test_other_files(tmp_path):
    for name, data in (("a.txt", b"x"), ("b.off", b"\xff\xfe"), ("c.json", b"[]")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidInput):
            ta.read(tmp_path / name)
    with pytest.raises(InvalidInput):
        ta.read(tmp_path / "none.off")


def test_polytopes_of_bare_points():
    square = ta.NewtonPolytope.from_points([[0, 0], [2, 0], [0, 2], [2, 2], [1, 1]])
    assert [f.normal for f in square.facets()] == [(-1, 0), (0, -1), (0, 1), (1, 0)]
    assert len(square.lattice_points()) == 9
    # Pick: area = inner + border / 2 - 1.
    rng = np.random.default_rng(0)
    for _ in range(5):
        polygon = ta.NewtonPolytope.from_points(rng.integers(-6, 7, (6, 2)))
        points = polygon.lattice_points()
        rows, right, _, _ = polygon.inequalities()
        on = (points.astype(object) @ rows.T == right).any(axis=1).sum()
        assert polygon.volume() == len(points) - on + Fraction(int(on), 2) - 1
    segment = ta.NewtonPolytope.from_points([[0, 0], [4, 2]])
    assert segment.lattice_points().tolist() == [[0, 0], [2, 1], [4, 2]]
    thin = ta.NewtonPolytope.from_points([[Fraction(1, 3), 0], [Fraction(2, 3), 5]])
    assert thin.lattice_points().shape == (0, 2)
    with pytest.raises(BudgetExceeded, match="most"):
        ta.NewtonPolytope.from_points([[0, 0], [10**4, 10**4]]).lattice_points()


def test_mixed_volumes_of_polynomials():
    f, g = parse("max(0, x, y)"), parse("max(0, 2*x, y)")
    assert ta.mixed_volume([f, g]) == ta.mixed_volume([f.newton_polytope(), g.newton_polytope()])
    assert ta.mixed_volume([f, f]) == 1


def test_hypersurfaces():
    line = parse("max(0, x, y)")
    assert line.subdivision().hypersurface().f_vector() == (1, 3)
    plane = parse("max(0, x, y, z)")
    assert plane.subdivision().hypersurface().f_vector() == (1, 4, 6)
    # Of several: the faces of their refinement, cells left out.
    assert ta.face_complex([line, parse("max(0, x + 1, y + 3)")]).f_vector() == (3, 8, 6)
    flat = ta.TropicalPolynomial([[0, 0], [1, 0]])
    assert flat.subdivision().hypersurface().f_vector() == (0, 1)


def test_text_for_sage():
    assert to_sage([[0, 1]]) == "Polyhedron(vertices=[(0, 1)], base_ring=QQ)"
    assert to_sage(parse("max(x, 0)")).endswith("'x0')({(1,): 0, (0,): 0})")
    assert "ieqs=[(0, 0, 0)]" in to_sage(Polyhedron(np.zeros((0, 2)), np.zeros(0)))
    half = Polyhedron([[Fraction(1, 3), 1]], [Fraction(1, 2)])
    assert "(3, -2, -6)" in to_sage(half)
    with pytest.raises(InvalidInput, match="slopes >= 0"):
        to_sage(parse("max(-x, 0)"))
