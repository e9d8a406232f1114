from __future__ import annotations

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
