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
        (["--head", "0", "--key", "3", "--margin", "1e300"], "--margin"),
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


@pytest.mark.parametrize("form", ["csv", "json", "md", "latex"])
@pytest.mark.parametrize("table", ["tokens", "keys", "heads"])
def test_inspect_prints_one_table(invoke, form, table):
    words = ["inspect", "demo", "--text", "314=", "--no-cells", "--layer", 0]
    ended = invoke(*words, "--format", form, "--table", table)
    assert ended.exit_code == 0, ended.stderr
    assert "head" in ended.stdout.splitlines()[1 if form in ("latex", "json") else 0] or (
        form == "json" and '"head"' in ended.stdout
    )
    if form == "json":
        rows = json.loads(ended.stdout)
        assert {row["head"] for row in rows} == {0, 1, 2, 3}


def test_inspect_refuses_tables_that_do_not_fit(invoke):
    words = ["inspect", "demo", "--text", "314=", "--no-cells", "--layer", 0]
    for more, said in (
        (["--table", "keys"], "--table goes with --format"),
        (["--format", "csv", "--json"], "got both"),
        (["--format", "xls"], "--format"),
        (["--format", "csv", "--table", "layers"], "--table layers or --no-cells needed"),
    ):
        ended = invoke(*words, *more)
        assert ended.exit_code == 2 and said in ended.stderr


def test_inspect_over_many_texts(invoke, tmp_path):
    texts = tmp_path / "lines.txt"
    texts.write_text('314=\n{"ids": [3, 1]}\n')
    words = ["inspect", "demo", "--layer", 0, "--texts", texts]
    ended = invoke(*words, "--records", tmp_path / "seen")
    assert ended.exit_code == 0, ended.stderr
    assert "Heads over 2 texts of 2 to 4 tokens, mean±spread" in ended.stdout
    assert len(list((tmp_path / "seen").iterdir())) == 2
    texts.write_text("314=\n")
    assert "Heads over 1 text of 4 tokens, mean±spread" in invoke(*words).stdout
    texts.write_text('314=\n{"ids": [3, 1]}\n')
    rows = json.loads(invoke(*words, "--format", "json").stdout)
    assert [(row["head"], row["keys"]) for row in rows] == [(h, 3.0) for h in range(4)]
    for more, said in (
        (["--text", "1"], "--texts or --text needed, got both"),
        (["--attention", tmp_path / "a.png"], "--texts or --attention needed"),
        (["--format", "csv", "--table", "keys"], "--table heads or texts needed"),
    ):
        ended = invoke(*words, *more)
        assert ended.exit_code == 2 and said in ended.stderr
    words = ["inspect", "demo", "--text", "31="]
    for more in (["--records", tmp_path / "seen"], ["--format", "csv", "--table", "texts"]):
        ended = invoke(*words, *more)
        assert ended.exit_code == 2 and "goes with --texts" in ended.stderr


def test_a_head_named_twice_is_one_head(invoke):
    words = ["inspect", "demo", "--text", "31=", "--no-cells", "--layer", 0, "--format", "json"]
    rows = invoke(*words, "--table", "heads", "--head", 1, "--head", 1, "--head", -3).stdout
    assert [row["head"] for row in json.loads(rows)] == [1]


def test_inspect_draws_attention(invoke, tmp_path):
    path = tmp_path / "heads.png"
    words = ["inspect", "demo", "--text", "314=", "--no-cells", "--layer", 0]
    assert invoke(*words, "--attention", path).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    ended = invoke("inspect", "demo", "--text", "314=", "--no-cells", "--attention", path)
    assert ended.exit_code == 2 and "rows of one layer" in ended.stderr


def test_words_on_the_command_line(invoke, tmp_path):
    job = tmp_path / "words.job"
    ended = invoke("inspect", "demo", "--unembedding", "--job", job)
    assert ended.exit_code == 0 and "11 of 11 distinct words can win" in ended.stdout
    assert "unembedding: 2 parts done, 0 open" in invoke("jobs", job).stdout
    assert invoke("resume", job).stdout == ended.stdout
    rows = json.loads(invoke("inspect", "demo", "--unembedding", "--json").stdout)
    assert rows["tables"]["unembedding"][0]["sayable"] == 11
    table = invoke("inspect", "demo", "--unembedding", "--format", "csv").stdout
    assert table == "id,word,why,second,members,others,weights,reach\n"
    for more, said in (
        (["--text", "314="], "looks at the last map alone"),
        (["--vocabulary"], "looks at the last map alone"),
        (["--format", "csv", "--table", "keys"], "--table keys goes without --unembedding"),
    ):
        ended = invoke("inspect", "demo", "--unembedding", *more)
        assert ended.exit_code == 2 and said in ended.stderr


def test_compare_on_the_command_line(invoke, tmp_path):
    words = ["compare", "demo", "demo", "--text", "314=", "--no-cells", "--layer", 0]
    ended = invoke(*words)
    assert ended.exit_code == 0 and "a before and b after; 4 queries" in ended.stdout
    rows = json.loads(invoke(*words, "--format", "json").stdout)
    assert [row["changed"] for row in rows] == [0, 0, 0, 0]
    ended = invoke(*words, "--unembedding")
    assert ended.exit_code == 2 and "compares the last maps alone" in ended.stderr
    assert "sayable" in invoke("compare", "demo", "demo", "--unembedding").stdout
    arrays = tmp_path / "heads.npz"
    np.savez(arrays, slopes=np.ones((1, 2, 2)))
    for pair, said in (
        ((arrays, "demo"), "path: a file or folder of a model needed"),
        (("demo", arrays), "other: a file or folder of a model needed"),
        (("demo", tmp_path / "none"), "other: an existing file or folder needed"),
    ):
        for more in (["--text", "314="], ["--unembedding"]):
            ended = invoke("compare", *pair, *more)
            assert ended.exit_code == 2 and said in ended.stderr
