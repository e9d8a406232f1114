"""``tropattn steer`` as users see it."""

import json

import numpy as np
import pytest

import tropattn as ta
from tropattn.cli.options import shipped


def test_a_vector_is_written_and_works(invoke, tmp_path):
    path = tmp_path / "vector.npz"
    ended = invoke(
        "steer", "demo", "--text", "314159265=", "--head", 0, "--key", 3, "-o", path, "--json"
    )
    assert ended.exit_code == 0, ended.stderr
    row = json.loads(ended.stdout)["tables"]["steering"][0]
    with np.load(path) as arrays:
        vector = arrays["vector"]
    assert vector.tolist() == row["vector"]
    model = ta.load(shipped())
    fixed, state = model.fix("314159265="), model.states("314159265=")[0][-1]
    assert fixed.heads[0].argmax(state + vector) == 3


def test_text_says_how_far_and_whose_wall(invoke):
    ended = invoke("steer", "demo", "--text", "314159265=", "--head", 0, "--key", "1@3")
    assert ended.exit_code == 0
    assert "head 0: 1@3 instead of" in ended.stdout and "exact" in ended.stdout
    walls = invoke("steer", "demo", "--text", "314159265=", "--key", 3)
    assert walls.exit_code == 0 and "Nearest walls of the state of =@9" in walls.stdout


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--head", "0"], "one key for each head needed"),
        (["--head", "0", "--key", "77"], "which names none of them"),
        (["--head", "0", "--key", "3", "--margin", "0"], "--margin"),
        (["--key", "3", "-o", "v.npz"], "--output goes with --head"),
        (["--head", "0", "--key", "3", "--of", "residual"], "a model without norms"),
    ],
)
def test_bad_input_is_one_line_and_code_2(invoke, more, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = invoke("steer", "demo", "--text", "314159265=", *more)
    assert ended.exit_code == 2 and words in ended.stderr and ended.stdout == ""
    assert len(ended.stderr.strip().splitlines()) == 1


def test_without_a_context(invoke):
    ended = invoke("steer", "demo")
    assert ended.exit_code == 2 and "text, ids: one of the two needed" in ended.stderr
