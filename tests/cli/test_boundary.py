"""``tropattn boundary`` as users see it."""

import json

import numpy as np
import pytest

import tropattn as ta
from tropattn.cli.options import shipped
from tropattn.record import Record

CONTEXT = ["boundary", "demo", "--text", "83="]


@pytest.mark.long
def test_answers_pieces_and_a_picture(invoke, tmp_path):
    picture = tmp_path / "b.png"
    ended = invoke(*CONTEXT, "--reach", 6, "--output", picture, "--json")
    assert ended.exit_code == 0, ended.stderr
    found = json.loads(ended.stdout)["tables"]
    (row,) = found["boundary"]
    assert row["pieces"] == len(found["pieces"]) == row["ties"] + row["jumps"] > 0
    assert Record("", {}, {}, {"pieces": []}).table("pieces").columns == list(found["pieces"][0])
    assert sum(part["cells"] for part in found["answers"]) == row["cells"]
    assert sum(part["share"] for part in found["answers"]) == pytest.approx(1)
    assert {part["answer"] for part in found["answers"]} <= set("0123456789=")
    tokens = found["tokens"]
    assert [part["token"] for part in tokens] == ["=@2", "8@0", "3@1"]
    # The moving token's own answer is that of the hard model.
    model = ta.load(shipped())
    best = int(model("83=", temperature=0)[-1].argmax())
    assert tokens[0]["answer"] == model.vocabulary[best] and tokens[0]["distance"] > 0
    assert picture.stat().st_size > 5000


def test_a_readout_of_ones_own_on_a_plane_of_ones_own(invoke, tmp_path):
    """Answers +p_1 and -p_1 of a state that attention hardly moves, named by the file."""
    model = ta.load(shipped())
    origin = model.states("3=")[0][-1]
    basis = np.eye(8)[:2]
    plane, readout = tmp_path / "plane.npz", tmp_path / "readout.npz"
    np.savez(plane, origin=origin, basis=basis, window=[[-1, -1], [1, 1]])
    matrix = np.zeros((8, 2))
    matrix[0] = 1, -1
    np.savez(readout, matrix=matrix, names=np.array(["plus", "minus"]))
    words = ["boundary", "demo", "--text", "3=", "--domain", f"plane:{plane}"]
    shown = invoke(*words, "--readout", readout)
    assert shown.exit_code == 0, shown.stderr
    assert "plus" in shown.stdout or "minus" in shown.stdout
    assert "Tokens on the plane" not in shown.stdout
    refused = invoke(*words, "--readout", readout, "--output", readout)
    assert refused.exit_code == 2
    for arrays, said in (
        ({"matrix": matrix[:5]}, r"matrix (8, K)"),
        ({"matrix": matrix, "names": np.array(["one"])}, "one name a column"),
        ({"rows": matrix}, "'matrix' with optional"),
        ({"matrix": matrix[:, :1]}, "at least 2 outputs"),
    ):
        np.savez(readout, **arrays)
        bad = invoke(*words, "--readout", readout)
        assert bad.exit_code == 2 and said in bad.stderr, bad.stderr
        assert len(bad.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["HEADS"], "input: a model needed, whose outputs"),
        (["demo", "--text", "83=", "--domain", "box:-1,1"], "a plane with a window needed"),
        (["demo", "--text", "83=", "--domain", "plane:p.npz", "--reach", "1"], "reach: a plane"),
        (["demo", "--text", "83=", "--domain", "plane:p.npz"], "a plane with a window needed"),
        (["demo", "--text", "83=", "--table", "pieces"], "--table goes with --format"),
        (["demo", "--text", "83=", "--readout", "none.npz"], "readout: an existing file"),
    ],
)
def test_bad_input_is_one_line_and_code_2(invoke, strips, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    np.savez("p.npz", origin=np.zeros(8), basis=np.eye(8)[:2])
    ended = invoke("boundary", *(strips if word == "HEADS" else word for word in words))
    assert ended.exit_code == 2 and said in ended.stderr and ended.stdout == ""
    assert len(ended.stderr.strip().splitlines()) == 1
