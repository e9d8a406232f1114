"""Arrays as input in every format, standard input, and files with planes and lines."""

from __future__ import annotations

import io
import json
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

import tropattn as ta
from tropattn.cli import main
from tropattn.study.inputs import read_domain

HEADS = ta.constructions.parabola_strips([3, 3, 3], 2)
SLOPES = np.array([f.slopes for f in HEADS])
INTERCEPTS = np.array([f.intercepts for f in HEADS])


def table(named=True):
    lines = ["head,x,y,intercept"]
    for h, (slopes, offsets) in enumerate(zip(SLOPES, INTERCEPTS, strict=True)):
        lines += [f"{h}, {x:g}, {y:g}, {c:g}" for (x, y), c in zip(slopes, offsets, strict=True)]
    return "\n".join(lines) + "\n"


def written():
    """The bytes of each format, and the number of cells."""
    archive, array, flat = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(archive, slopes=SLOPES, intercepts=INTERCEPTS)
    np.save(array, SLOPES)
    np.save(flat, SLOPES[0])
    pair = {"slopes": SLOPES.tolist(), "intercepts": INTERCEPTS.tolist()}
    apart = {"slopes_0": [[0, 0], [1, 0]], "slopes_1": [[0, 0]], "intercepts_0": [10**20, 0]}
    return {
        "heads.npz": (archive.getvalue(), 19),
        "heads.npy": (array.getvalue(), 6),
        "flat.npy": (flat.getvalue(), 2),
        "heads.json": (json.dumps(pair).encode(), 19),
        "apart.json": (json.dumps(apart).encode(), 2),
        "list.json": (json.dumps(SLOPES.tolist()).encode(), 6),
        "heads.csv": (table().encode(), 19),
        "bare.csv": (b"0,0\n1,0\n0,1\n", 3),
        "exact.csv": (b"x,intercept\n9007199254740993,0\n9007199254740992,0\n", 2),
    }


@pytest.mark.parametrize("name", written())
def test_every_format_and_standard_input_count_the_same(name, tmp_path, invoke):
    data, cells = written()[name]
    (tmp_path / name).write_bytes(data)
    assert json.loads(invoke("count", tmp_path / name, "--json").stdout)["value"] == str(cells)
    piped = CliRunner().invoke(main, ["count", "-", "--json"], input=data)
    assert json.loads(piped.stdout)["value"] == str(cells)


def test_tables_keep_heads_apart_and_integers_exact(tmp_path):
    (tmp_path / "heads.csv").write_text(table())
    assert ta.load_polynomials(tmp_path / "heads.csv") == HEADS
    (tmp_path / "big.csv").write_text("9007199254740993\n")
    assert ta.load_polynomials(tmp_path / "big.csv")[0].slopes[0, 0] == 9007199254740993


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratios.json", '{"slopes": [[[0], ["1/5"], [1]]], "intercepts": [[0, "-1/7", "-5/7"]]}'),
        ("ratios.csv", "x,intercept\n0,0\n1/5,-1/7\n1,-5/7\n"),
    ],
)
def test_ratios_are_exact(name, text, tmp_path, invoke):
    (tmp_path / name).write_text(text)
    (head,) = ta.load_polynomials(tmp_path / name)
    assert head.slopes[1, 0] == Fraction(1, 5) and head.intercepts[2] == Fraction(-5, 7)
    # The three terms meet in one point; those of the nearest doubles do not.
    assert json.loads(invoke("count", tmp_path / name, "--json").stdout)["value"] == "2"
    near = ta.TropicalPolynomial([[0], [1 / 5], [1]], [0, -1 / 7, -5 / 7])
    assert ta.count_regions([near]).value == 3


def test_integers_as_text_stand_beside_ratios(tmp_path):
    big = 123456789012345678901234567890
    text = f'{{"slopes": [[["1/3", "2"], ["-0", "+1"], ["{big}", {big}]]]}}'
    (tmp_path / "a.json").write_text(text)
    (head,) = ta.load_polynomials(tmp_path / "a.json")
    assert head.slopes.tolist() == [[Fraction(1, 3), 2], [0, 1], [big, big]]


def test_a_plane_with_ratios(tmp_path):
    text = '{"origin": ["1/3", 0], "basis": [[1, 0], [0, "1/7"]]}'
    (tmp_path / "plane.json").write_text(text)
    plane = read_domain(f"plane:{tmp_path / 'plane.json'}", 2)
    basis, origin = plane.embedding
    assert origin.tolist() == [Fraction(1, 3), 0] and basis[1, 1] == Fraction(1, 7)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "a row with the slopes"),
        ("a.csv", "x,y\n", "a row with the slopes"),
        ("a.csv", "1,2\n3\n", "columns in every row"),
        ("a.csv", "1,2\n3,x\n", "decimal numbers"),
        ("a.csv", "1,inf\n", "finite numbers"),
        ("a.csv", "intercept,intercept\n1,2\n", "one column intercept"),
        ("a.csv", "head\n1\n", "shape"),
        ("a.json", "{", "JSON with slopes"),
        ("a.json", '"a"', "real numbers"),
        ("a.json", '{"slopes": [[[0], [1, 2]]]}', "same length"),
        ("a.json", '{"slope": []}', "rename the arrays"),
        ("a.json", '[[["1/3", "1/0"]]]', "int, Fraction or finite float entries needed"),
        ("a.json", '[[["1/3", "1_0"]]]', "int, Fraction or finite float entries needed"),
        ("a.json", '[[["1/3", "third"]]]', "int, Fraction or finite float entries needed"),
        ("a.csv", "1/3,1/0\n2,3\n", "decimal numbers"),
        ("a.npy", "no array", "a complete .npy file"),
    ],
)
def test_damaged_arrays_end_in_one_sentence(name, text, words, tmp_path, invoke):
    (tmp_path / name).write_text(text)
    ended = invoke("count", tmp_path / name)
    assert ended.exit_code == 2 and words in ended.stderr and name in ended.stderr
    piped = CliRunner().invoke(main, ["count", "-"], input=text)
    assert piped.exit_code == 2 and len(piped.stderr.splitlines()) == 1


def test_planes_and_lines_through_tokens(tmp_path, invoke):
    context = ["demo", "--text", "31415="]
    plane, line = tmp_path / "plane.npz", tmp_path / "line.npz"
    assert invoke("plane", *context, "--tokens", "0,2,5", "-o", plane).exit_code == 0
    assert invoke("plane", *context, "--tokens", "2,5", "--output", line).exit_code == 0
    states = np.asarray(ta.load(str(ta.__path__[0] + "/data/maximum.safetensors")).embedding)
    with np.load(plane) as arrays:
        assert arrays["points"].shape == (3, states.shape[1])
    with np.load(line) as arrays:
        assert set(arrays) == {"origin", "direction", "t_min", "t_max"}
    for kind, file in (("plane", plane), ("line", line)):
        ended = invoke("count", *context, "--domain", f"{kind}:{file}", "--json")
        assert ended.exit_code == 0 and int(json.loads(ended.stdout)["value"]) > 1
    whole = invoke("plane", *context, "--layer", "all", "--tokens", "0,2,5", "-o", plane)
    assert whole.exit_code == 0


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ("5", "three different places"),
        ("5,5", "three different places"),
        ("0,1,2,3", "three different places"),
        ("0,99", "places among"),
        ("-1,2", "integers >= 0"),
        ("a", "integers >= 0"),
    ],
)
def test_tokens_that_are_not_there(tokens, words, tmp_path, invoke):
    out = tmp_path / "plane.npz"
    ended = invoke("plane", "demo", "--text", "31415=", "--tokens", tokens, "-o", out)
    assert ended.exit_code == 2 and words in ended.stderr and not out.exists()


def test_a_plane_needs_a_model(strips, tmp_path, invoke):
    ended = invoke("plane", strips, "--tokens", "0,1,2", "-o", tmp_path / "plane.npz")
    assert ended.exit_code == 2 and "a model with a context" in ended.stderr
    ended = invoke("plane", "demo", "--text", "31=", "--tokens", "0,1,2", "-o", "plane.png")
    assert ended.exit_code == 2 and ".npz" in ended.stderr
