"""``count --job``, ``resume``, ``jobs``: a count goes on where it was, and says how far it is."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest

from tropattn.regions.jobs import survey
from tropattn.regions.search import enumeration
from tropattn.study import jobs


def resonance(place, n):
    """A file with the hyperplanes of the resonance arrangement: 370 chambers, 11292, 1066044."""
    normals = [v for v in np.ndindex(*[2] * n) if any(v)]
    np.savez(place, slopes=np.array([[[0] * n, v] for v in normals], float))
    return place


@pytest.fixture(name="four")
def _four(tmp_path, monkeypatch):
    monkeypatch.setattr(enumeration, "_BUDGETS", (20,))
    monkeypatch.setattr(survey, "_SECONDS", 0.1)
    return resonance(tmp_path / "four.npz", 4)


def done(job):
    """Ranges done, and the cells in them."""
    try:
        with closing(sqlite3.connect(f"file:{job}?mode=ro", uri=True)) as file:
            return file.execute("SELECT COUNT(*), SUM(cells) FROM ranges WHERE NOT open").fetchone()
    except sqlite3.Error:
        return 0, 0


def test_a_job_is_begun_looked_at_gone_on_with_and_done(invoke, four, tmp_path, monkeypatch):
    job = tmp_path / "four.job"
    begun = invoke("count", four, "--job", job, "--max-cells", 100, "--json")
    assert begun.exit_code == 3
    lower = int(json.loads(begun.stdout)["value"])
    assert 100 < lower < 370

    seen = json.loads(invoke("jobs", job, "--json").stdout)
    (row,) = seen["tables"]["searches"]
    assert not seen["spec"]["finished"] and not seen["spec"]["held"]
    assert seen["spec"]["asked"]["source"]["path"] == str(four)
    assert (row["search"], row["merge"], row["cells"]) == ("enumeration", "sum", lower)
    assert row["done"] > 3 and row["open"] > 0 and row["left"] > 0 and row["left_error"] > 0
    text = invoke("jobs", job).stdout
    assert f"{lower} cells so far" in text and "estimate, standard error" in text

    # From another folder: the ledger has whole paths.
    monkeypatch.chdir("/")
    ended = invoke("resume", job, "--json")
    assert (ended.exit_code, json.loads(ended.stdout)["value"]) == (0, "370")
    assert json.loads(ended.stdout)["command"] == "count"
    assert "done: 370 in all" in invoke("jobs", job).stdout
    # The same command answers from the ledger as well.
    again = invoke("count", four, "--job", job, "--json")
    assert (again.exit_code, json.loads(again.stdout)["value"]) == (0, "370")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_job_as_it_ends_a_count(start, invoke, tmp_path, number):
    heads, job = resonance(tmp_path / "six.npz", 6), tmp_path / "six.job"
    process = start("count", heads, "--job", job)
    while done(job)[0] < 20:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.startswith("tropattn: interrupted: at least ") and err.count("\n") == 1
    before, cells = done(job)
    assert before >= 20
    # It goes on from there, to a limit.
    assert invoke("resume", job, "--max-cells", cells).exit_code == 3
    assert done(job)[0] > before


def test_what_cannot_be_is_one_line(invoke, four, tmp_path):
    job = tmp_path / "a.job"
    assert invoke("count", four, "--job", job).exit_code == 0
    other = resonance(tmp_path / "three.npz", 3)
    cases = {
        ("count", other, "--job", job): "job: a ledger of this input, domain and question needed",
        ("count", "-", "--job", job): "job: a file as INPUT needed, got standard input",
        ("count", four, "--workers", 2): "workers: a job needed, got none",
        ("count", four, "--scheduler", "tcp://a:1"): "scheduler: a job needed, got none",
        ("count", four, "--job", job, "--workers", 2, "--scheduler", "a"): "one of the two needed",
        ("count", four, "--job", four): "which is damaged or none",
        ("count", four, "--job", tmp_path): "which is a folder",
        ("count", four, "--job", "a\0b"): "job: the path of a file needed",
        ("count", four, "--job", job, "--cells", "a\0b"): "cells: a folder, or the name of one",
        ("count", four, "--job", job, "--certificate", "a\0b"): "certificate: the path of a file",
        ("resume", tmp_path / "none.job"): "where there is none",
        ("resume", four): "which is damaged or none",
        ("jobs", four): "which is damaged or none",
    }
    for args, words in cases.items():
        ended = invoke(*args)
        assert ended.exit_code == 2, args
        assert words in ended.stderr, (args, ended.stderr)
        assert ended.stderr.count("\n") == 1


def test_a_job_is_shared_by_files(invoke, four, tmp_path):
    job, lines = tmp_path / "four.job", tmp_path / "open.jsonl"
    assert invoke("count", four, "--job", job, "--max-cells", 100).exit_code == 3
    written = invoke("jobs", job, "--export", lines)
    assert written.exit_code == 0 and "open ranges" in written.stderr
    part, whole = tmp_path / "part.job", tmp_path / "whole.job"
    assert "a part of a job" in invoke("jobs", part, "--merge", lines).stderr
    ended = invoke("resume", part)
    assert ended.exit_code == 3 and "a part of one, which is done" in ended.stderr
    assert ended.stderr.startswith("tropattn: job: ") and "error" not in ended.stderr
    assert "a whole job" in invoke("jobs", whole, "--merge", job, part).stderr
    assert json.loads(invoke("resume", whole, "--json").stdout)["value"] == "370"
    assert invoke("jobs", whole, "--merge").exit_code == 2
    assert invoke("jobs", whole, job).exit_code == 2


def test_no_command_writes_over_its_job(invoke, four, tmp_path):
    job = tmp_path / "a.job"
    assert invoke("count", four, "--job", job, "--max-cells", 100).exit_code == 3
    before = job.read_bytes(), four.read_bytes()
    beside = tmp_path / "a.job-lock"
    for command, option in (("resume", "-o"), ("jobs", "--export")):
        for target in (job, four, beside, tmp_path / "." / "a.job"):
            ended = invoke(command, job, option, target)
            assert ended.exit_code == 2 and "which is an input" in ended.stderr
    assert (job.read_bytes(), four.read_bytes()) == before


def test_what_is_done_is_shown_where_the_estimate_is_stopped(invoke, four, tmp_path, monkeypatch):
    job = tmp_path / "four.job"
    assert invoke("count", four, "--job", job, "--max-cells", 100).exit_code == 3

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "survey_job", stopped)
    seen = invoke("jobs", job, "--json")
    (row,) = json.loads(seen.stdout)["tables"]["searches"]
    assert row["cells"] > 100 and row["left"] is None
    assert (seen.exit_code, seen.stderr) == (130, "tropattn: interrupted\n")


def test_cells_of_a_job_go_to_a_folder(invoke, four, tmp_path, monkeypatch):
    job, folder = tmp_path / "four.job", tmp_path / "cells"
    ended = invoke("count", four, "--job", job, "--cells", folder, "--max-cells", 100)
    assert ended.exit_code == 3
    assert invoke("jobs", job).exit_code == 0
    monkeypatch.chdir("/")
    assert invoke("resume", job).exit_code == 0
    assert sum(len(np.load(file)["patterns"]) for file in folder.glob("*.npz")) == 370
    assert "cells: a job needed, got none" in invoke("count", four, "--cells", folder).stderr
