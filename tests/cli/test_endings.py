"""How commands end: exit codes, one line on stderr, lower bounds, pipes."""

import json
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta
from tropattn.errors import BudgetExceeded, EngineError, Inconclusive, Interrupted
from tropattn.regions.result import RegionCount


def one_line(result, code, *words):
    assert result.exit_code == code, (result.exit_code, result.output)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("tropattn: ")
    for word in words:
        assert word in result.stderr


# ---- 2: bad input -----------------------------------------------------------------------------


def test_missing_file(invoke, tmp_path):
    one_line(invoke("count", tmp_path / "none.npz"), 2, "existing file or folder needed")


def test_pickle_renamed_to_npz(invoke, tmp_path):
    path = tmp_path / "evil.npz"
    path.write_bytes(pickle.dumps({"slopes": [[[1.0]]]}))
    one_line(invoke("count", path), 2, "npz", "pickled objects are never read")


def test_pickle_renamed_to_safetensors(invoke, tmp_path):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps({"slopes": [[[1.0]]]}))
    one_line(invoke("count", path, "--text", "1"), 2, "safetensors")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"slopes": np.zeros((2, 3))}, "(H, N, d)"),
        ({"slopes": np.zeros((2, 3, 2)), "intercepts": np.zeros((2, 4))}, "intercepts"),
        ({"slopes": np.full((1, 2, 2), np.nan)}, "finite numbers needed"),
        ({"slopes": np.full((1, 2, 2), np.inf)}, "finite numbers needed"),
        ({"slopes": np.zeros((1, 0, 2))}, "without a key"),
        ({"weights": np.zeros((1, 2, 2))}, "'slopes'"),
        ({"slopes_0": np.zeros((2, 2)), "slopes_1": np.zeros((2, 3))}, "columns"),
        ({"slopes": np.array([[["a", "b"]]])}, "real numbers"),
    ],
)
def test_bad_arrays(invoke, tmp_path, arrays, words):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    result = invoke("count", path)
    if words == "without a key":
        words = "no tropical polynomial"
    one_line(result, 2, words)


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("ball:1", "box:LOW,HIGH, plane:FILE or line:FILE needed"),
        ("box", "box:LOW,HIGH"),
        ("box:1", "two numbers"),
        ("box:a,b", "two numbers"),
        ("box:1,2,3", "two numbers"),
        ("box:1,1", "low < high needed"),
        ("box:2,1", "low < high needed"),
        ("box:nan,1", "finite numbers needed"),
        ("plane:", "plane:FILE"),
        ("plane:nowhere.npz", "existing file"),
        ("line:nowhere.json", "existing file"),
    ],
)
def test_bad_domains(invoke, strips, domain, words):
    one_line(invoke("count", strips, "--domain", domain), 2, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "JSON object needed"),
        ("[1, 2]", "JSON object needed"),
        ("{}", "'points', or 'origin' and 'basis'"),
        ('{"points": [[0, 0], [1, 0], [0, 1]], "other": 1}', "rename"),
        ('{"points": [[0, 0], [1, 0]]}', "slice of dimension 1"),
        ('{"points": [[0, 0], [1, 1], [2, 2]]}', "general position"),
        ('{"points": [[0, 0], [1, "x"], [2, 2]]}', "real numbers"),
        ('{"points": [[0, 0, 0], [1, 0, 0], [0, 1, 0]]}', "R^2 needed"),
        ('{"origin": [0, 0], "basis": [[1, 0]]}', "slice of dimension 1"),
        ('{"origin": [0, 0], "basis": [[1, 0], [2, 0]]}', "independent rows"),
        ('{"origin": [0, 0], "basis": [[1, 0], [0, 1]], "window": [0, 1]}', "window"),
        ('{"origin": [0, 0], "basis": [[1, 0], [0, 1]], "window": [[0, 0], [0, 1]]}', "low < high"),
    ],
)
def test_bad_planes(invoke, strips, tmp_path, text, words):
    path = tmp_path / "plane.json"
    path.write_text(text)
    one_line(invoke("count", strips, "--domain", f"plane:{path}"), 2, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"origin": [0, 0]}', "'origin' and 'direction'"),
        ('{"origin": [0, 0], "direction": [0, 0]}', "non-zero vector"),
        ('{"origin": [0, 0], "direction": [1, 0], "t_min": "a"}', "t_min"),
        ('{"origin": [0, 0], "direction": [1, 0], "t_min": 2, "t_max": 1}', "low < high"),
    ],
)
def test_bad_lines(invoke, strips, tmp_path, text, words):
    path = tmp_path / "line.json"
    path.write_text(text)
    one_line(invoke("count", strips, "--domain", f"line:{path}"), 2, words)


def test_plane_in_a_pickled_archive(invoke, strips, tmp_path):
    path = tmp_path / "plane.npz"
    np.savez(path, points=np.array([{}, {}], dtype=object))
    one_line(invoke("count", strips, "--domain", f"plane:{path}"), 2, "plane.npz")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "text, ids: one of the two needed"),
        (["--text", "1=", "--ids", "1"], "got both"),
        (["--text", "12x"], "'x' at place 2"),
        (["--text", ""], "at least one token needed"),
        (["--ids", "1,99"], "0..10 needed"),
        (["--ids", "1,a"], "integers needed"),
        (["--text", "1=", "--layer", "2"], "layer"),
        (["--text", "1=", "--position", "7"], "position"),
        (["--text", "31415926535="], "tokens needed"),
    ],
)
def test_bad_contexts(invoke, args, words):
    one_line(invoke("count", "demo", *args), 2, words)


@pytest.mark.parametrize("option", ["--text=1", "--ids=1", "--layer=0", "--position=0"])
def test_context_for_polynomials(invoke, strips, option):
    one_line(invoke("count", strips, option), 2, "a model needed, got polynomials")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nonsense"], "No such command"),
        (["count"], "Missing argument"),
        (["count", "x", "--nonsense"], "No such option"),
        (["count", "x", "--threads", "0"], "--threads"),
        (["count", "x", "--max-cells", "0"], "--max-cells"),
        (["bounds"], "INPUT or --keys"),
        (["bounds", "x", "--keys", "3"], "INPUT or --keys"),
        (["bounds", "--keys", "3"], "no --dim"),
        (["bounds", "--keys", "3,x", "--dim", "2"], "integers >= 1"),
        (["bounds", "--keys", "3,0", "--dim", "2"], "integers >= 1"),
        (["bounds", "--keys", "3", "--dim", "2", "--domain", "box:0,1"], "--domain"),
        (["bounds", "x", "--dim", "2"], "--keys"),
        (["sample", "x", "--samples", "0"], "--samples"),
        (["sample", "x", "--seed", "-1"], "--seed"),
        (["sample", "x", "--distribution", "cauchy"], "cauchy"),
        (["scaling", "--central", "--dim", "1"], "at least 2 needed"),
        (["plot", "x"], "--output"),
    ],
)
def test_bad_options(invoke, args, words):
    one_line(invoke(*args), 2, words)


def test_bad_of_engine_and_output(invoke, strips, tmp_path):
    one_line(invoke("count", strips, "--of", "angels"), 2, "'cells' or 'linear_regions' needed")
    one_line(invoke("count", strips, "--engine", "steam"), 2, "steam")
    one_line(invoke("count", strips, "--engine", "direct_sum"), 2, "independent spans")
    one_line(invoke("count", strips, "--output", tmp_path / "no" / "a.json"), 2, "writable folder")
    one_line(invoke("plot", strips, "--output", tmp_path / "a.txt"), 2, ".png, .svg, .pdf")
    one_line(invoke("plot", strips, "--output", tmp_path / "no" / "a.png"), 2, "writable folder")
    assert [p.name for p in tmp_path.iterdir()] == ["heads.npz"]


def test_what_cannot_be_drawn(invoke, strips, tmp_path):
    target = tmp_path / "a.png"
    one_line(invoke("plot", strips, "--head", 3, "--output", target), 2, "0..2 needed")
    one_line(invoke("plot", strips, "--view", "diagram", "--output", target), 2, "--head")
    one_line(
        invoke("plot", strips, "--view", "panels", "--head", 0, "--output", target), 2, "all heads"
    )
    one_line(
        invoke("plot", strips, "--domain", "box:-inf,1", "--output", target), 2, "bounded window"
    )
    np.savez(tmp_path / "four.npz", slopes=np.eye(4)[None])
    one_line(invoke("plot", tmp_path / "four.npz", "--output", target), 2, "R^2, or a plane")
    one_line(invoke("plot", "demo", "--text", "1=", "--output", target), 2, "three tokens")
    assert not target.exists()


# ---- 1, 3, 70, 130: with the library made to end that way ---------------------------------------


def raising(error):
    def function(*_, **__):
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (EngineError("count: witnesses contradict each other"), 1, "contradict"),
        (Inconclusive("could not decide"), 3, "could not decide"),
        (BudgetExceeded("too many", 42), 3, "at least 42 cells"),
        (Interrupted("stop", 42), 130, "at least 42 cells"),
        (KeyboardInterrupt(), 130, "at least 0 cells"),
        (ValueError("boom"), 70, "this is a bug"),
        (MemoryError(), 3, "memory: more than the system gives needed"),
    ],
)
def test_exit_codes(invoke, strips, monkeypatch, error, code, words):
    monkeypatch.setattr("tropattn.study.counting.count_with_bound", raising(error))
    one_line(invoke("count", strips), code, words)


def test_debug_shows_the_traceback(invoke, strips, monkeypatch):
    monkeypatch.setattr("tropattn.study.counting.count_with_bound", raising(ValueError("boom")))
    result = invoke("--debug", "count", strips)
    assert result.exit_code == 70
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"), [(Interrupted("stop", 42), 130), (BudgetExceeded("too many", 42), 3)]
)
def test_json_of_a_lower_bound(invoke, strips, monkeypatch, tmp_path, error, code):
    monkeypatch.setattr("tropattn.study.counting.count_with_bound", raising(error))
    target = tmp_path / "out.json"
    result = invoke("count", strips, "--json", "--output", target)
    assert result.exit_code == code
    found = json.loads(result.stdout)
    assert (found["value"], found["kind"], found["domain"]) == ("42", "lower", "R^2")
    assert json.loads(target.read_text()) == found


def test_json_of_an_interrupted_sampler(invoke, strips, monkeypatch):
    monkeypatch.setattr("tropattn.study.draws.sample_judged", raising(Interrupted("stop", 5)))
    result = invoke("sample", strips, "--json")
    assert result.exit_code == 130
    assert json.loads(result.stdout)["value"] == "5"


@pytest.mark.parametrize("role", ["count_regions", "sample_regions"])
def test_scaling_notices_a_contradiction(invoke, monkeypatch, role):
    wrong = RegionCount(10**6, "exact", "cells", "R^2", "a broken engine")
    monkeypatch.setattr(f"tropattn.study.scaling.{role}", lambda *_, **__: wrong)
    one_line(
        invoke("scaling", "--keys", "2", "--heads", "1", "--family", "strips"),
        1,
        "contradict each other",
        "a broken engine",
    )


def test_max_cells(invoke, strips):
    result = invoke("count", strips, "--max-cells", 1)
    one_line(result, 3, "at most 1 cells")
    low = int(re.search(r"at least (\d+) cells", result.stderr)[1])
    assert 1 < low <= 19


# ---- as processes -------------------------------------------------------------------------------


@pytest.mark.long
def test_exit_codes_of_a_process(start, strips):
    good = start("count", strips)
    bad = start("count", "nowhere.npz")
    out, err = good.communicate(timeout=120)
    assert (good.returncode, out.split()[0], err) == (0, "19", "")
    out, err = bad.communicate(timeout=120)
    assert (bad.returncode, out) == (2, "")
    assert err.startswith("tropattn: error: ")


@pytest.mark.long
@pytest.mark.parametrize("form", [["--json"], []])
def test_a_reader_that_leaves_early(start, strips, form):
    process = start("count", strips, *form)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=120) == 0
    process.stderr.close()
    assert err == ""


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_disk_is_no_bug_of_ours(strips):
    code = "from tropattn.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "count", str(strips)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("tropattn: error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.long
def test_ctrl_c_leaves_a_lower_bound(start, invoke, tmp_path):
    heads = ta.initialisers.gaussian_heads(30, 12, 8, seed=0)

    def written(name, heads):
        np.savez(
            tmp_path / name,
            slopes=np.stack([head.slopes for head in heads]),
            intercepts=np.stack([head.intercepts for head in heads]),
        )
        return tmp_path / name

    # A short count by the same engine first, so that the long one finds compiled kernels.
    short = invoke("count", written("short.npz", heads[:2]), "--engine", "enumeration")
    assert short.exit_code == 0
    path = written("long.npz", heads)
    for patience in (3, 10, 30):
        process = start("count", path, "--json", "--threads", 1)
        time.sleep(patience)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        if process.returncode == -signal.SIGINT:
            # Python itself was still starting: nothing of ours had run.
            continue
        assert process.returncode == 130, err
        if not out:
            # Modules were still loading.
            assert err == ""
            continue
        found = json.loads(out)
        assert found["kind"] == "lower"
        assert "Traceback" not in err
        low = int(re.search(r"at least ([\d,]+) cells?", err)[1].replace(",", ""))
        assert low == int(found["value"])
        if low > 1:
            return
    pytest.fail("no second cell was found within 30 seconds")


def test_help_starts_without_heavy_imports():
    code = (
        "import sys, tropattn.cli; "
        "print([m for m in ('matplotlib', 'rich', 'mpl_toolkits') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


# ---- files to write: refused before the work ---------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["count", "HEADS", "--output", "no/x.json"], "output: a file in a writable folder needed"),
        (["count", "HEADS", "--certificate", "no/x.gz"], "certificate: a file in a writable"),
        (["count", "HEADS", "--certificate", "."], "which is a folder"),
        (["plot", "HEADS", "--output", "x.foo"], "output: a file ending in .png, .svg, .pdf"),
        (["scaling", "--output", "no/x.png"], "output: a file in a writable folder needed"),
        (["temperature", "HEADS", "--output", "x.foo"], "output: a file ending in"),
        (["inspect", "demo", "--text", "1", "--output", "no/x.png"], "there is no folder no"),
        (["demo", "--output", "x.foo"], "output: a file ending in"),
        (["boundary", "demo", "--text", "1", "--output", "x.foo"], "output: a file ending in"),
        (["dynamics", "phase", "--output", "p.foo"], "output: a file ending in"),
        (["dynamics", "hardmax", "--output", "no/p.png"], "output: a file in a writable folder"),
    ],
)
def test_outputs_are_refused_before_the_work(invoke, strips, tmp_path, monkeypatch, args, words):
    def work(*_, **__):
        raise AssertionError("worked before it looked at the output")

    monkeypatch.chdir(tmp_path)
    names = ("counting.count", "dynamics.run", "inspection.run", "layer.run", "scaling.rows")
    for name in (*names, "pictures.choose", "temperature.run"):
        monkeypatch.setattr(f"tropattn.study.{name}", work)
    result = invoke(*(str(strips) if arg == "HEADS" else arg for arg in args))
    one_line(result, 2, words)
    assert ".partial" not in result.stderr and "Errno" not in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["heads.npz"]


# ---- what a message blames ---------------------------------------------------------------------


def test_messages_name_what_is_wrong(invoke, strips, tmp_path):
    one_line(invoke("count", strips, "--domain", "plane:none.npz"), 2, "domain: an existing file")
    one_line(invoke("count", strips, "--approximate"), 2, "approximate: a model needed")
    demo = ["count", "demo", "--text", "31="]
    one_line(invoke(*demo, "--approximate"), 2, "got layer 0")
    line = tmp_path / "rows.json"
    line.write_text(json.dumps({"origin": [[0.0] * 8] * 3, "direction": [[1.0] * 8] * 3}))
    one_line(invoke(*demo, "--domain", f"line:{line}", "--layer", 0), 2, "use --layer all")
    line.write_text(json.dumps({"origin": [0, 0], "direction": [0, 0]}))
    one_line(invoke("count", strips, "--domain", f"line:{line}"), 2, "got zeros only")


def test_a_rejected_certificate_has_a_json_record(invoke, strips, tmp_path):
    other, file = tmp_path / "other.npz", tmp_path / "c.gz"
    np.savez(other, slopes=[[[0.0, 0.0], [1.0, 1.0]]])
    assert invoke("count", strips, "--certificate", file).exit_code == 0
    assert json.loads(invoke("verify", file, "--json").stdout)["verified"] is True
    result = invoke("verify", file, "--weights", other, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["verified"] is False and "not those of the input" in found["reason"]


def test_a_gap_without_rival_is_silent(invoke, recwarn):
    result = invoke("temperature", "demo", "--text", "3", "--samples", 10, "--json")
    assert result.exit_code == 0 and result.stderr == "" and not recwarn.list
    row = json.loads(result.stdout)["tables"]["heads"][0]
    assert row["keys"] == 1 and row["gap_quartiles"] == [None] * 3


# ---- text for people ---------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "args",
    [
        ["sample", "HEADS", "--samples", "1000"],
        ["demo"],
        ["dynamics", "hardmax"],
        ["dynamics", "simulate", "--n", "6", "--time", "2"],
        ["dynamics", "gaussian"],
        ["verify", "c.gz"],
    ],
)
def test_text_holds_80_columns(invoke, strips, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke("count", strips, "--certificate", "c.gz").exit_code == 0
    result = invoke(*(str(strips) if arg == "HEADS" else arg for arg in args))
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_one_of_a_thing_is_singular(invoke, tmp_path):
    path = tmp_path / "one.npz"
    np.savez(path, slopes=np.ones((1, 1, 1)))
    assert invoke("count", path).stdout.startswith("1 routing cell (")
    assert "  1 draw, " in invoke("sample", path, "--samples", 1).stdout
    text = invoke("scaling", "--family", "gaussian", "--dim", 1, "--keys", 2, "--heads", 1).stdout
    assert "in 1 dimension\n" in "\n".join(line.rstrip() for line in text.splitlines())
    assert ": 1 token, " in " ".join(invoke("temperature", "demo", "--text", "3").stdout.split())


def test_help_of_dynamics_keeps_its_examples_apart(invoke):
    text = invoke("dynamics", "--help").stdout
    assert "\\b" not in text and "  Examples:\n    tropattn dynamics hardmax" in text
