"""Jobs in parts: lines of open ranges, cut anywhere, come together to the exact count."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

import tropattn as ta
from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.regions.jobs import exchange, ledger
from tropattn.regions.jobs.exchange import export, united
from tropattn.regions.jobs.ledger import Ledger
from tropattn.regions.search import enumeration

CELLS = 370


@pytest.fixture(name="heads")
def _heads(monkeypatch):
    """The resonance arrangement in R^4, in small ranges."""
    monkeypatch.setattr(enumeration, "_BUDGETS", (5,))
    normals = [v for v in np.ndindex(*[2] * 4) if any(v)]
    return [ta.TropicalPolynomial(np.array([[0] * 4, v], float)) for v in normals]


@pytest.fixture(name="begun")
def _begun(heads, tmp_path):
    """A job that stopped early, and its open ranges as lines."""
    job, lines = tmp_path / "begun.job", tmp_path / "open.jsonl"
    with pytest.raises(BudgetExceeded):
        ta.count_regions(heads, job=job, max_cells=60, threads=1)
    with Ledger.looked_at(job) as ledger:
        count = export(ledger, lines)
    text = lines.read_text().splitlines(keepends=True)
    assert len(text) == count + 1 > 5
    return job, text


def cut(tmp_path, name, header, lines):
    place = tmp_path / f"{name}.jsonl"
    place.write_text("".join([header, *lines]))
    return place


def done_alone(heads, lines, job):
    """A part worked on elsewhere: its cells, a lower bound."""
    assert not united(job, [lines])
    with pytest.raises(BudgetExceeded, match="job: a whole job needed for a count") as caught:
        ta.count_regions(heads, job=job)
    return caught.value.lower


def test_two_machines_share_a_job_by_files(heads, begun, tmp_path):
    job, (header, *lines) = begun
    with Ledger.looked_at(job) as ledger:
        before = ledger.states()[0].cells
    first = cut(tmp_path, "first", header, lines[:3])
    second = cut(tmp_path, "second", header, lines[3:])
    one, two = tmp_path / "one.job", tmp_path / "two.job"
    assert before + done_alone(heads, first, one) + done_alone(heads, second, two) == CELLS
    whole = tmp_path / "whole.job"
    assert united(whole, [job, one, two])
    assert ta.count_regions(heads, job=whole).value == CELLS
    with Ledger.looked_at(whole) as ledger:
        (state,) = ledger.states()
    assert (state.cells, state.open) == (CELLS, 0)


def test_a_part_that_is_not_done_leaves_its_ranges_open(heads, begun, tmp_path):
    job, (header, *lines) = begun
    part, whole = tmp_path / "part.job", tmp_path / "whole.job"
    united(part, [cut(tmp_path, "part", header, lines)])
    with pytest.raises(BudgetExceeded, match="max_cells"):
        ta.count_regions(heads, job=part, max_cells=50, threads=1)
    assert united(whole, [part, job])
    assert ta.count_regions(heads, job=whole).value == CELLS


def test_the_same_part_twice_counts_once(heads, begun, tmp_path):
    job, (header, *lines) = begun
    lines_all = cut(tmp_path, "all", header, lines)
    one, two = tmp_path / "one.job", tmp_path / "two.job"
    done_alone(heads, lines_all, one)
    done_alone(heads, cut(tmp_path, "some", header, lines[2:]), two)
    whole = tmp_path / "whole.job"
    assert united(whole, [job, one, two, job])
    assert ta.count_regions(heads, job=whole).value == CELLS


@pytest.mark.parametrize("stopped", [False, True])
def test_machines_that_cut_a_range_otherwise_count_it_once(heads, begun, tmp_path, stopped):
    job, (header, *lines) = begun
    larger = [json.loads(line) for line in lines]
    digest = json.loads(header)["about"]["digest"]
    for line in larger:
        line["data"]["effort"] = 8
        line["check"] = exchange._check_sum(line, digest)
    one, two = tmp_path / "one.job", tmp_path / "two.job"
    done_alone(heads, cut(tmp_path, "small", header, lines), one)
    united(two, [cut(tmp_path, "large", header, [json.dumps(line) + "\n" for line in larger])])
    with pytest.raises(BudgetExceeded):
        ta.count_regions(heads, job=two, threads=1, max_cells=40 if stopped else None)
    for parts in ([job, one, two], [two, job, one]):
        whole = tmp_path / f"{parts[0].stem}.whole.job"
        assert united(whole, parts)
        with Ledger.looked_at(whole) as ledger:
            (state,) = ledger.states()
        assert (state.cells, state.open) == (CELLS, 0)


def test_a_part_without_ranges_searches_nothing(heads, begun, tmp_path):
    _, (header, *_) = begun
    job = tmp_path / "none.job"
    with pytest.raises(InvalidInput, match="merge: ranges needed, got none in"):
        united(job, [cut(tmp_path, "none", header, [])])
    assert not job.exists()
    Ledger.made(job, {**json.loads(header)["about"], "part": "yes"}, [])
    with pytest.raises(InvalidInput, match=r"job: a part with ranges needed, got .*none\.job"):
        ta.count_regions(heads, job=job)


def test_the_log_of_a_removed_job_is_not_that_of_a_new_one(heads, begun, tmp_path):
    job, (header, *lines) = begun
    place = tmp_path / "new.job"
    with closing(sqlite3.connect(job)) as old:
        old.execute("PRAGMA journal_mode = WAL")
        old.execute("UPDATE ranges SET cells = 99")
        old.commit()
        for end in ("-wal", "-shm"):
            (tmp_path / f"new.job{end}").write_bytes((tmp_path / f"begun.job{end}").read_bytes())
    united(place, [cut(tmp_path, "one", header, lines[:1])])
    with Ledger.looked_at(place) as ledger:
        (state,) = ledger.states()
    assert (state.cells, state.done, state.open) == (0, 0, 1)


def test_parts_unite_to_a_part(heads, begun, tmp_path):
    job, (header, *lines) = begun
    parts = [tmp_path / "a.job", tmp_path / "b.job"]
    for part, own in zip(parts, (lines[:2], lines[2:]), strict=True):
        done_alone(heads, cut(tmp_path, part.stem, header, own), part)
    both, whole = tmp_path / "both.job", tmp_path / "whole.job"
    assert not united(both, parts)
    assert united(whole, [both, job])
    assert ta.count_regions(heads, job=whole).value == CELLS


def tampered(job, statement):
    with closing(sqlite3.connect(job)) as file:
        file.execute(statement)
        file.commit()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "DELETE FROM ranges WHERE id = (SELECT MAX(id) FROM ranges WHERE open)",
            "of which there are",
        ),
        (
            "DELETE FROM ranges WHERE id = (SELECT MAX(id) FROM ranges WHERE NOT open)",
            "of which there are",
        ),
        (
            "UPDATE ranges SET parent = NULL WHERE id = (SELECT MAX(id) FROM ranges)",
            "of which there are",
        ),
        (
            "UPDATE ranges SET children = children + 1 WHERE id = 1",
            "of which there are",
        ),
        (
            "UPDATE ranges SET parent = (SELECT MAX(id) FROM ranges WHERE open) WHERE id = 1",
            "comes from none that is done",
        ),
    ],
)
@pytest.mark.usefixtures("heads")
def test_a_tree_with_a_hole_is_refused(begun, tmp_path, statement, words):
    job, _ = begun
    tampered(job, statement)
    with pytest.raises(InvalidInput, match=words):
        united(tmp_path / "whole.job", [job])
    assert not (tmp_path / "whole.job").exists()


def test_two_results_for_one_range_are_refused(heads, begun, tmp_path):
    job, (header, *lines) = begun
    one, two = tmp_path / "one.job", tmp_path / "two.job"
    for part in (one, two):
        done_alone(heads, cut(tmp_path, part.stem, header, lines), part)
    tampered(two, """UPDATE ranges SET cells = 999, tally = '{"cells": 999}' WHERE id = 1""")
    with pytest.raises(InvalidInput, match="merge: one result a range needed, got two"):
        united(tmp_path / "whole.job", [job, one, two])


def test_another_count_and_other_files_are_refused(heads, begun, tmp_path):
    job, (header, *lines) = begun
    other, whole = tmp_path / "other.job", tmp_path / "whole.job"
    ta.count_regions(heads[:-1], job=other)
    with pytest.raises(InvalidInput, match="merge: jobs about one input, domain and question"):
        united(whole, [job, other])
    with pytest.raises(InvalidInput, match="merge: a new file needed"):
        united(other, [job])
    with pytest.raises(InvalidInput, match="merge: a ledger or a file of lines needed"):
        united(whole, [tmp_path / "none"])
    for name, text in {
        "header": "{}\n",
        "cut": header + lines[0][: len(lines[0]) // 2],
        "numbers": header + "1\n",
        "deep": header + "[" * 10**5 + "\n",
    }.items():
        place = tmp_path / name
        place.write_text(text)
        message = "a part needs the header" if name == "header" else "the ledger of a job needed"
        with pytest.raises(InvalidInput, match=message):
            united(whole, [place])
    # A range under the name of another one is found before it is worked on.
    united(whole, [cut(tmp_path, "named", header, lines[:2])])
    tampered(whole, "UPDATE ranges SET data = (SELECT data FROM ranges WHERE id = 2)")
    with pytest.raises(InvalidInput, match="goes by another's name"):
        ta.count_regions(heads, job=whole)


def changed(line, *names, value=None):
    """A line of which one entry is another."""
    given = json.loads(line)
    place = given
    for name in names[:-1]:
        place = place[name]
    place[names[-1]] = value
    return json.dumps(given) + "\n"


@pytest.mark.usefixtures("heads")
def test_changed_lines_and_those_of_other_jobs_are_refused(begun, tmp_path):
    _, (header, *lines) = begun
    whole, bad = tmp_path / "whole.job", "no range of this job, or a changed one"
    wrong = [
        (header, changed(lines[0], "search", value="x"), bad),
        (header, changed(lines[0], "merge", value="union"), bad),
        (header, changed(lines[0], "path", value="9 9"), bad),
        (header, changed(lines[0], "data", "generation", value=-7), bad),
        (header, changed(lines[0], "data", "path", value=1e308), bad),
        (header, changed(lines[0], "check", value=None), bad),
    ]
    for names, value in (
        (("about", "spec"), None),
        (("about", "versions"), 5),
        (("about", "digest"), "x"),
        (("about", "format"), ""),
        (("tropattn-job",), 1),
        (("about",), []),
    ):
        wrong.append((changed(header, *names, value=value), lines[0], "a part needs the header"))
    # The same ranges of heads of the same shape.
    other = [ta.TropicalPolynomial(np.array([[0] * 4, v], float)) for v in np.ndindex(*[2] * 4)]
    other = [*other[1:15], ta.TropicalPolynomial([[0.0] * 4, [1.0, 2, 3, 4]])]
    job = tmp_path / "other.job"
    with pytest.raises(BudgetExceeded):
        ta.count_regions(other, job=job, max_cells=60, threads=1)
    with Ledger.looked_at(job) as ledger:
        export(ledger, tmp_path / "other.jsonl")
    _, *others = (tmp_path / "other.jsonl").read_text().splitlines(keepends=True)
    wrong.append((header, others[0], bad))
    for first, line, words in wrong:
        with pytest.raises(InvalidInput, match=words):
            united(whole, [cut(tmp_path, "wrong", first, [lines[1], line])])
        assert not whole.exists()


@pytest.mark.usefixtures("heads")
def test_another_version_is_refused_before_anything_is_written(begun, tmp_path, monkeypatch):
    job, _ = begun
    monkeypatch.setattr(ledger, "versions", lambda: {"tropattn": "9"})
    with pytest.raises(InvalidInput, match=r"job: a ledger of tropattn 9 needed, got .*begun\.job"):
        united(tmp_path / "whole.job", [job])
    assert not (tmp_path / "whole.job").exists()
