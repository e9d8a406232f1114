from __future__ import annotations

import json
import random
import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest
from reference import families

from tropattn import TropicalPolynomial
from tropattn.errors import InvalidInput
from tropattn.polyhedra.minkowski import MinkowskiSum, minkowski_sum
from tropattn.tropical import interchange as text
from tropattn.tropical.terms import AffineMap

THIRDS = np.array([[Fraction(0), Fraction(1, 3)], [Fraction(-7, 2), Fraction(4)]], dtype=object)


def same(f, g):
    return (
        np.array_equal(f.keys, g.keys)
        and np.array_equal(f.biases, g.biases)
        and f.keys.dtype == g.keys.dtype
        and f.scale == g.scale
        and len(f.maps) == len(g.maps)
        and all(
            np.array_equal(a.matrix, b.matrix) and np.array_equal(a.offset, b.offset)
            for a, b in zip(f.maps, g.maps, strict=True)
        )
    )


@pytest.mark.parametrize(
    "f",
    [
        TropicalPolynomial([[0.1, -1e-300], [2.0**60, 3]], [0.1, 1e300]),
        TropicalPolynomial(THIRDS, THIRDS[0]),
        TropicalPolynomial.factored(
            [[1.5], [0.1]], scale=Fraction(1, 3), maps=(AffineMap(THIRDS[:, :1], np.ones(1)),)
        ),
        TropicalPolynomial.factored([[1.5], [0.1]], scale=0.1),
    ],
)
def test_polynomials_survive_json(f):
    assert same(text.from_json(text.to_json(f)), f)


def test_sums_survive_json():
    rng = np.random.default_rng(2)
    for upper in (False, True):
        found = minkowski_sum([rng.standard_normal((5, 3)), THIRDS @ np.eye(2, 3)], upper=upper)
        again = text.from_json(text.to_json(found))
        assert isinstance(again, MinkowskiSum)
        assert again.upper is upper
        assert np.array_equal(again.exact_vertices(), found.exact_vertices())
        assert np.array_equal(again.edges, found.edges)
    changed = text.to_json(found).replace('"edges": [[', '"edges": [[7, 7], [')
    with pytest.raises(InvalidInput, match="changed"):
        text.from_json(changed)


@pytest.mark.parametrize("broken", ["{", '{"type": "Other"}', '{"a": 1}', "[]"])
def test_other_json_is_refused(broken):
    with pytest.raises(InvalidInput, match="needed"):
        text.from_json(broken)


def test_graphs_survive_json():
    found = minkowski_sum([[[0, 0], [1, 0], [0, 1]], [[0, 0], [1, 1]]])
    for graph in (found.graph(), found.face_lattice()):
        again = text.graph_from_json(text.graph_to_json(graph))
        assert dict(again.nodes(data=True)) == dict(graph.nodes(data=True))
        assert list(again.edges(data=True)) == list(graph.edges(data=True))
        assert again.is_directed() == graph.is_directed()


def test_gfan_text_round_trip():
    rng = random.Random(3)
    for _ in range(20):
        d = rng.randint(1, 4)
        sets = [[[rng.randint(-4, 4) for _ in range(d)] for _ in range(5)] for _ in range(3)]
        again = text.from_gfan(text.to_gfan([TropicalPolynomial(p) for p in sets]))
        for points, f in zip(sets, again, strict=True):
            low = np.min(points, axis=0)
            assert np.array_equal(f.slopes, np.array(points) - low)
    lifted = text.to_gfan([TropicalPolynomial([[1], [2]], [0, 3])], lifted=True)
    assert lifted == "Q[x0,x1]{1+x0*x1^3}"


def test_polymake_text_round_trip():
    assert np.array_equal(text.from_polymake(text.to_polymake(THIRDS)), THIRDS)
    exponents = [[0, 0], [2, -1], [-3, 1]]
    half = np.array([Fraction(1, 2), Fraction(0), Fraction(-5)], dtype=object)
    f = TropicalPolynomial(np.array(exponents, dtype=object), half)
    again = text.from_polymake_polynomial(text.to_polymake_polynomial(f), 2)
    assert same(again, f)


@pytest.mark.parametrize(
    "read, wrong",
    [
        (text.from_gfan, "x+y"),
        (text.from_gfan, "Q[x]{x+z}"),
        (text.from_gfan_fan, "RAYS\n1 0\n"),
        (text.from_polymake, "{}"),
        (text.from_polymake, '{"POINTS": [["0", "1"]]}'),
        (lambda t: text.from_polymake_polynomial(t, 1), "min(x0)"),
        (lambda t: text.from_polymake_polynomial(t, 1), "max(x0,x1)"),
    ],
)
def test_other_text_is_refused(read, wrong):
    with pytest.raises(InvalidInput, match="needed"):
        read(wrong)


def terms(f):
    return [[*map(str, row), str(c)] for row, c in zip(f.slopes, f.intercepts, strict=True)]


@pytest.mark.parametrize(
    "given, dim, expected",
    [
        ("max(0,x,y,x+y, 2x-1, 2y-1)", 2, "0 0 0|1 0 0|0 1 0|1 1 0|2 0 -1|0 2 -1"),
        ("max(w, z)", 2, "1 0 0|0 1 0"),
        ("max(0.5+x0, 3)", 1, "1 1/2|0 3"),
        ("max(1.5*x0, x0*2, 2*3*x_0)", 1, "3/2 0|2 0|6 0"),
        (" max ( 2 x1 - 1/2 , -x0+x0 )", 2, "0 2 -1/2|0 0 0"),
    ],
)
def test_polymake_polynomials_are_read_as_written(given, dim, expected):
    """Each expected row, slopes and constant, is read off the text by hand."""
    f = text.from_polymake_polynomial(given, dim)
    assert terms(f) == [row.split() for row in expected.split("|")]


@pytest.mark.parametrize(
    "given, place",
    [
        ("max(inf, x0)", "character 5"),
        ("max(3 4, x0)", "character 7"),
        ("max(1e3+x0, 0)", "character 6"),
        ("max(0, x(0))", "character 9"),
        ("max(0, --x0)", "character 9"),
        ("max(-(x0), 1)", "character 6"),
        ("max(x0^2, 0)", "character 7"),
        ("max(x0*x0, 0)", "character 5"),
        ("max(0, x)", "character 8"),
        ("max(x0, y)", "character 9"),
        ("max(1/0, x0)", "character 5"),
        ("max()", "character 5"),
        ("max(,x0)", "character 5"),
        ("max(x0", "the end"),
        ("max(x0) 1", "character 8"),
        ("max(1_0, x0)", "character 6"),
    ],
)
def test_what_is_not_read_is_refused_with_its_place(given, place):
    with pytest.raises(InvalidInput, match=place):
        text.from_polymake_polynomial(given, 2)


@pytest.mark.parametrize(
    "given, place",
    [
        ("Q[x]{x^a}", "character 7"),
        ("Q[x]{x^2^3}", "character 9"),
        ("Q[x]{0*x}", "character 6"),
        ("Q[x,y]{2x+y}", "character 9"),
        ("Q[x,y]{x,}", "character 10"),
        ("Q[x,x]{x}", "different names"),
    ],
)
def test_gfan_text_is_refused_with_its_place(given, place):
    with pytest.raises(InvalidInput, match=place):
        text.from_gfan(given)


def test_polymake_rows_may_be_sparse_and_never_get_lost():
    def read(rows):
        return text.from_polymake(json.dumps({"VERTICES": rows})).tolist()

    both = [[Fraction(0), Fraction(0)], [Fraction(1, 2), Fraction(3)]]
    assert read([{"0": "1"}, {"2": "3", "1": "1/2", "0": "1"}, {"cols": 3}]) == both
    assert read([["1", "0", "0"], {"0": 1, "1": 0.5, "2": "3.0"}, {"cols": 3}]) == both
    for rows, place in [
        ([["1", "0"], ["1"]], "row 1"),
        ([["1", "1/0"]], "row 0, column 1"),
        ([["1", "1_0"]], "row 0, column 1"),
        ([["1", True]], "row 0, column 1"),
        ([{"0": "1"}], "cols"),
        ([{"0": "1", "7": "1"}, {"cols": 2}], "cols"),
        ([["1", float("nan")]], "column 1"),
    ]:
        with pytest.raises(InvalidInput, match=place):
            read(rows)


FAN = """AMBIENT_DIM
2

LINEALITY_DIM
0

RAYS
1 0\t# 0
0 1\t# 1
-1 -1\t# 2

LINEALITY_SPACE

F_VECTOR
1 3 3

CONES
{}\t# Dimension 0
{0}\t# Dimension 1
{1}
{2}
{0 1}\t# Dimension 2
{0 2}
{1 2}

MAXIMAL_CONES
{0 1}\t# Dimension 2
{0 2}
{1 2}
"""


def test_gfan_fans_are_complete_only_where_the_file_proves_it():
    """Three cones between (1, 0), (0, 1) and (-1, -1) cover the plane; two of them do not."""
    assert text.from_gfan_fan(FAN).complete
    without = FAN.replace("{1 2}\n", "").replace("1 3 3", "1 3 2")
    assert text.from_gfan_fan(without).cones == ((0, 1), (0, 2))
    assert not text.from_gfan_fan(without).complete
    rays = FAN.replace("{0 1}\t# Dimension 2\n{0 2}\n{1 2}\n\nMAX", "\nMAX").replace(
        "{0 1}\t# Dimension 2\n{0 2}\n{1 2}\n", "{0}\n{1}\n{2}\n"
    )
    tropical_line = text.from_gfan_fan(rays.replace("1 3 3", "1 3"))
    assert tropical_line.cones == ((0,), (1,), (2,))
    assert not tropical_line.complete
    for wrong, named in [
        (FAN.replace("AMBIENT_DIM\n2", "AMBIENT_DIM\n3"), "RAYS, got 2 in line 1"),
        (FAN.replace("{1 2}", "{1 7}"), "MAXIMAL_CONES"),
        (FAN.replace("-1 -1", "-1 1/2"), "'1/2' in line 3"),
        (FAN.replace("AMBIENT_DIM\n2", "AMBIENT_DIM\n2 2"), "one integer"),
    ]:
        with pytest.raises(InvalidInput, match=named):
            text.from_gfan_fan(wrong)


def test_what_cannot_be_written_is_refused():
    with pytest.raises(InvalidInput, match="integer slopes"):
        text.to_gfan([TropicalPolynomial([[0.5], [1]])])
    with pytest.raises(InvalidInput, match="at least one"):
        text.to_gfan([])
    with pytest.raises(InvalidInput, match="hull"):
        text.to_json(TropicalPolynomial([[1], [2]]).newton_polytope())


def polymake(script, folder):
    path = folder / "script.pl"
    path.write_text('use application "polytope";\n' + script, encoding="utf-8")
    return subprocess.run(
        ["polymake", "--script", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("polymake"), reason="polymake is not installed")
def test_polymake_reads_and_writes_our_files(tmp_path):
    """Sums, f-vectors and volume there and back; ``pytest -m slow -k test_polymake_reads``."""
    units, _, _ = families.cyclohedron(4)
    sets = [slopes for slopes, _ in units]
    found = minkowski_sum(sets)
    for i, points in enumerate(sets):
        (tmp_path / f"p{i}.poly").write_text(text.to_polymake(points), encoding="utf-8")
    load = ", ".join(f'load("{tmp_path}/p{i}.poly")' for i in range(len(sets)))
    out = polymake(
        f"my @p = ({load}); my $s = minkowski_sum_fukuda(\\@p); print $s->F_VECTOR;"
        f' my $q = new Polytope(POINTS=>$s->VERTICES); save($q, "{tmp_path}/s.poly");',
        tmp_path,
    )
    assert tuple(int(v) for v in out.split()) == found.f_vector()
    theirs = text.from_polymake((tmp_path / "s.poly").read_text(encoding="utf-8"))
    assert {tuple(r) for r in theirs.tolist()} == {
        tuple(r) for r in found.exact_vertices().tolist()
    }
    f = TropicalPolynomial([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]], [0, 1, 1, 0, 1, 0])
    out = polymake(
        'use application "tropical"; my $f = toTropicalPolynomial('
        f'"{text.to_polymake_polynomial(f)}"); print dense($f->monomials_as_matrix);',
        tmp_path,
    )
    rows = {tuple(int(v) for v in line.split()) for line in out.strip().splitlines()}
    assert rows == {tuple(int(v) for v in row) for row in f.slopes}
