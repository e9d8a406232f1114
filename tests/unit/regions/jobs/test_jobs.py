"""Jobs: whatever ends a count, the same file goes on to the exact number, and nothing twice."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from reference import families

import tropattn as ta
from tropattn import outputs
from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.regions.count import count_with_bound
from tropattn.regions.jobs import driver, survey
from tropattn.regions.jobs import ledger as ledgers
from tropattn.regions.jobs.digest import digest_of
from tropattn.regions.jobs.driver import KeptQueue, Order
from tropattn.regions.jobs.ledger import Ledger, Range, Told
from tropattn.regions.search import enumeration
from tropattn.verify import verify

ROOT = Path(__file__).parents[4]


def arrangement(n):
    """The resonance arrangement, 0/1 normals of R^n, and its chambers."""
    units, _, cells = families.resonance(n)
    return [ta.TropicalPolynomial(*map(np.array, unit)) for unit in floats(units)], cells


def floats(units):
    for slopes, intercepts in units:
        yield [[float(v) for v in row] for row in slopes], [float(v) for v in intercepts]


@pytest.fixture(name="small")
def _small(monkeypatch):
    """Ranges so small that a small count has many."""
    monkeypatch.setattr(enumeration, "_BUDGETS", (20,))


@pytest.fixture(name="job")
def _job(tmp_path):
    return tmp_path / "count.job"


def rows(job, what="SUM(cells), COUNT(*), SUM(open)"):
    with closing(sqlite3.connect(f"file:{job}?mode=ro", uri=True)) as file:
        return file.execute(f"SELECT {what} FROM ranges").fetchone()


# ---- counts -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_job_counts_what_the_count_without_it_does(job, threads):
    heads, cells = arrangement(4)
    assert ta.count_regions(heads, job=job, threads=threads, engine="enumeration").value == cells
    found, ranges, left = rows(job)
    assert (found, left) == (cells, 0)
    assert ranges > 20
    # No file but the ledger and its lock is left.
    assert {p.name for p in job.parent.iterdir()} <= {job.name, f"{job.name}-lock"}


@pytest.mark.usefixtures("small")
def test_a_job_that_is_done_answers_without_work(job, monkeypatch):
    heads, cells = arrangement(3)
    first = ta.count_regions(heads, job=job)
    monkeypatch.setattr(enumeration._Driver, "work", lambda *_: 1 / 0)
    again = ta.count_regions(heads, job=job)
    assert again.value == first.value == cells
    assert again.stats["programs"] == first.stats["programs"] > 0


@pytest.mark.usefixtures("small")
def test_a_limit_leaves_what_was_found_and_the_next_run_goes_on(job):
    heads, cells = arrangement(4)
    with pytest.raises(BudgetExceeded) as caught:
        ta.count_regions(heads, job=job, max_cells=100, threads=2)
    found, _, left = rows(job)
    assert 100 < found <= caught.value.lower < cells
    assert left > 0
    assert ta.count_regions(heads, job=job).value == cells
    assert rows(job)[0] == cells


@pytest.mark.usefixtures("small")
def test_degenerate_heads_settled_in_rationals_survive_the_file(job):
    """Scores of 1/3: doubles leave ties open, and points are rationals in the file."""
    rng = np.random.default_rng(3)
    base = ta.TropicalPolynomial(rng.integers(-2, 3, size=(5, 3)) / 3, rng.integers(0, 2, 5) / 3)
    turned = [base.pullback(np.roll(np.eye(3), k, axis=0)) for k in range(3)]
    heads = [*turned, base.pullback(np.ones((3, 3)) / 3 - np.eye(3))]
    expected = ta.count_regions(heads, engine="enumeration")
    for limit in range(1, expected.value, expected.value // 3):
        with pytest.raises(BudgetExceeded):
            ta.count_regions(heads, job=job, engine="enumeration", max_cells=limit)
    found = ta.count_regions(heads, job=job, engine="enumeration")
    assert found.value == expected.value
    assert found.stats["exact_decisions"] == expected.stats["exact_decisions"]


def test_independent_heads_are_searches_of_their_own(job):
    heads, cells = arrangement(3)
    first = [head.pullback(np.eye(6)[:, :3]) for head in heads]
    last = [head.pullback(np.eye(6)[:, 3:]) for head in heads]
    count = ta.count_regions([*first, *last], job=job)
    assert (count.value, count.engine) == (cells**2, "direct_sum")
    with Ledger.looked_at(job) as ledger:
        assert [state.cells for state in ledger.states()] == [cells, cells]
        assert ledger.about()["count"] == str(cells**2)


# ---- ends -------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import numpy as np
import tropattn as ta
from tropattn.regions.jobs import driver
from tropattn.regions.jobs.ledger import Ledger
from tropattn.regions.search import enumeration

enumeration._BUDGETS = (20,)
job, after, place, driver._PAUSE = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[5])
heads = [ta.TropicalPolynomial(slopes) for slopes in np.load(sys.argv[4])]
done, finish = [0], Ledger.finish

def counted(self, *given):
    done[0] += 1
    if done[0] > after and place == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    finish(self, *given)
    if done[0] > after:
        os.kill(os.getpid(), signal.SIGKILL)

Ledger.finish = counted
print(ta.count_regions(heads, job=job, threads=2).value)
"""


@pytest.mark.long
@pytest.mark.parametrize("pause", [0, 60])
def test_kill_9_loses_nothing_that_was_committed(job, tmp_path, pause):
    normals = [v for v in np.ndindex(*[2] * 4) if any(v)]
    slopes = tmp_path / "slopes.npy"
    np.save(slopes, np.array([[[0] * 4, v] for v in normals], float))
    draw, before = random.Random(1), 0
    for after, place in ((9, "before"), (draw.randrange(5, 20), "after"), (10**6, "never")):
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, job, str(after), place, slopes, str(pause)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        found, ranges, left = rows(job)
        done = ranges - left
        if place == "never":
            assert (ended.returncode, ended.stdout.strip()) == (0, "370"), ended.stderr
            assert (found, left) == (370, 0)
        else:
            assert ended.returncode == -signal.SIGKILL
            if pause:
                # All or nothing of what one transaction holds.
                assert (done, found, left) == (before, None, 1)
            else:
                # The last one is finished, and its commit is not reached.
                assert done == before + after
            assert left > 0
        before = done


@pytest.mark.usefixtures("small")
def test_a_full_disk_is_one_error_and_the_job_goes_on(job, monkeypatch):
    heads, cells = arrangement(4)
    connected = ledgers.connected

    def tight(place, write):
        file = connected(place, write)
        if write:
            (pages,) = file.execute("PRAGMA page_count").fetchone()
            file.execute(f"PRAGMA max_page_count = {pages + 1}")
        return file

    # What shares a transaction with the range that finds no room is done again.
    monkeypatch.setattr(driver, "_PAUSE", 0.0)
    monkeypatch.setattr(ledgers, "connected", tight)
    with pytest.raises(InvalidInput, match=r"job: room for the ledger needed, got .* make room"):
        ta.count_regions(heads, job=job)
    assert 0 < rows(job)[0] < cells
    monkeypatch.setattr(ledgers, "connected", connected)
    assert ta.count_regions(heads, job=job).value == rows(job)[0] == cells


@pytest.mark.usefixtures("small")
def test_every_range_again_changes_nothing(job, monkeypatch):
    heads, cells = arrangement(4)
    seen, finish = [], Ledger.finish

    def noted(self, search, path, told):
        seen.append((search, self.open_ranges(search), path, told))
        return finish(self, search, path, told)

    monkeypatch.setattr(Ledger, "finish", noted)
    ta.count_regions(heads, job=job)
    monkeypatch.setattr(Ledger, "finish", finish)
    units = ta.RoutingStage(tuple(heads)).units
    search = enumeration._Driver.built(units, None, False, None)
    with Ledger.looked_at(job) as ledger:
        digest = ledger.about()["digest"]
    with Ledger.opened(job, {"digest": digest}) as ledger:
        for number, left, path, told in seen:
            (given,) = [entry for entry in left if entry.path == path]
            again = search.answer(given.data)
            assert again.tally == told.tally
            assert [r.path for r in again.left] == [r.path for r in told.left]
            assert not ledger.finish(number, path, again)
    assert rows(job)[0] == cells


# ---- what is refused --------------------------------------------------------------------------


def test_another_input_domain_or_question_is_refused(job):
    heads, cells = arrangement(3)
    ta.count_regions(heads, job=job)
    for other, domain, asked in (
        (heads[:-1], None, {}),
        (heads, ta.Box.cube(-1, 1, 3), {}),
        (heads, None, {"engine": "enumeration"}),
    ):
        with pytest.raises(InvalidInput, match="job: a ledger of this input, domain and question"):
            ta.count_regions(other, domain, job=job, **asked)
    assert ta.count_regions(heads, job=job).value == cells


def test_another_version_is_refused(job, monkeypatch):
    heads, _ = arrangement(3)
    ta.count_regions(heads, job=job)
    monkeypatch.setattr(ledgers, "versions", lambda: {"tropattn": "9.9"})
    with pytest.raises(InvalidInput, match=r"job: a ledger of tropattn 9\.9 needed, got .* 0\.1"):
        ta.count_regions(heads, job=job)


def test_a_second_run_on_the_same_file_is_refused(job):
    heads, _ = arrangement(3)
    ta.count_regions(heads, job=job)
    with Ledger.looked_at(job) as ledger:
        digest = ledger.about()["digest"]
    with Ledger.opened(job, {"digest": digest}) as held:
        with Ledger.looked_at(job) as looked:
            assert looked.held
        with pytest.raises(InvalidInput, match="job: a ledger that no other run works on needed"):
            ta.count_regions(heads, job=job)
        assert held.about()["count"] == "32"
    with Ledger.looked_at(job) as looked:
        assert not looked.held


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "noise", "other database"])
def test_a_damaged_file_is_one_error_and_stays_as_it_was(job, damage):
    heads, _ = arrangement(3)
    ta.count_regions(heads, job=job)
    data = job.read_bytes()
    if damage == "other database":
        job.unlink()
        with sqlite3.connect(job) as file:
            file.execute("CREATE TABLE ranges (id INTEGER)")
        file.close()
    else:
        noise = data[:8192] + bytes(random.Random(0).randbytes(len(data) - 8192))
        job.write_bytes(
            {"text": b"a,b\n" * 999, "empty": b"", "cut": data[: len(data) // 2], "noise": noise}[
                damage
            ]
        )
    before = job.read_bytes()
    with pytest.raises(InvalidInput, match=r"job: the ledger of a job needed, got .* damaged or"):
        ta.count_regions(heads, job=job)
    assert job.read_bytes() == before


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"path": [0], "generation": 1, "z": [[0.0]], "proved": True},
        {"path": [0, 99], "generation": 1, "z": [[0.0, 0.0, 1.0]], "proved": True},
        {"path": [-1, 0], "generation": 1, "z": [[0.0, 0.0, 1.0]], "proved": True},
        {"path": [0, 0, 0, 1], "generation": 1, "z": [[0.0, 0.0, 1.0]], "proved": True},
        {"path": [0, 0], "generation": 1, "z": [[0.0, float("nan"), 1.0]], "proved": True},
        {"path": [0, 0], "generation": 1, "point": ["1/0", "1/1", "1/1"]},
        {"path": [0, 0], "generation": 1, "z": [[0.0, 0.0, 1.0]], "proved": True, "alive": "ff"},
    ],
)
def test_a_range_that_is_none_is_refused_before_a_kernel_sees_it(data):
    heads, _ = arrangement(3)
    with pytest.raises(InvalidInput, match="job: the ledger of a job needed, got a range"):
        enumeration._Driver.built(tuple(heads), None, False, None).read(data)


def test_questions_without_ranges_are_refused(job):
    heads, _ = arrangement(3)
    with pytest.raises(InvalidInput, match="job: cells counted by a search in ranges needed"):
        ta.count_regions(heads, job=job, engine="subsets")
    with pytest.raises(InvalidInput, match="job: a file in a writable folder needed"):
        ta.count_regions(heads, job=job / "none" / "a.job")
    with pytest.raises(InvalidInput, match="job: a regular file needed"):
        ta.count_regions(heads, job="/dev/null")


# ---- parts ------------------------------------------------------------------------------------


def test_a_range_is_done_once(job):
    with Ledger.opened(job, {"digest": "0"}) as ledger:
        search = ledger.search("s", "sum", [Range("", {"a": 1})])
        assert ledger.search("s", "sum", [Range("other", {})]) == search
        left = [Range("0", {}), Range("1", {})]
        assert ledger.finish(search, "", Told({"cells": 2, "nodes": 5}, left))
        assert not ledger.finish(search, "", Told({"cells": 9}, []))
        assert not ledger.finish(search, "unknown", Told({"cells": 9}, []))
        # What it left comes in one transaction with it: a path that is there already undoes both.
        ledger.commit()
        with pytest.raises(InvalidInput):
            ledger.finish(search, "0", Told({"cells": 1}, [Range("1", {})]))
        assert [r.path for r in ledger.open_ranges(search)] == ["0", "1"]
        assert ledger.tally(search) == {"cells": 2, "nodes": 5}


@pytest.mark.usefixtures("small")
def test_probes_estimate_what_is_left(job, monkeypatch):
    heads, cells = arrangement(4)
    with pytest.raises(BudgetExceeded):
        ta.count_regions(heads, job=job, max_cells=150, threads=1)
    monkeypatch.setattr(survey, "_SECONDS", 0.5)
    from tropattn.regions.count import survey_job

    (seen,) = survey_job(heads, None, of="cells", engine="auto", job=Order(job))
    left = cells - seen.cells
    assert seen.probes >= 2 * seen.open > 2
    assert 0 < seen.error < left
    assert abs(seen.left - left) < 5 * seen.error


def test_digests_tell_numbers_and_places_apart():
    one = ta.TropicalPolynomial([[0.0, 1.0]], [2.0])
    same = ta.TropicalPolynomial([[0.0, 1.0]], [2.0])
    assert digest_of(one, None) == digest_of(same, None)
    others = [
        digest_of(ta.TropicalPolynomial([[0.0, 1.0]], [np.nextafter(2.0, 3)]), None),
        digest_of(ta.TropicalPolynomial([[1.0, 0.0]], [2.0]), None),
        digest_of(one, ta.Box.cube(-1, 1, 2)),
        digest_of([one], None),
        digest_of(one),
    ]
    assert len({digest_of(one, None), *others}) == 6


# ---- cells in files ---------------------------------------------------------------------------


def listed(job, folder):
    """The cells that the ledger names, and whether every file is as it was written."""
    with Ledger.looked_at(job) as ledger:
        (state,) = ledger.states()
        found = dict(ledger.results(ledger.known(state.name)))
    sound = [
        hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        for entry in found.values()
    ]
    files = [np.load(folder / entry["file"]) for entry in found.values()]
    parts = {name: [file[name] for file in files] for name in ("patterns", "witnesses")}
    return np.vstack(parts["patterns"]), np.vstack(parts["witnesses"]), all(sound)


@pytest.mark.long
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("workers", [None, 2])
def test_cells_are_in_files_once_each_whatever_ended_the_runs(job, tmp_path, workers):
    """With a twin and a head of one key, which the search leaves out."""
    heads, _ = arrangement(4)
    heads = [*heads, heads[3], ta.TropicalPolynomial([[1.0, 0, 0, 0]])]
    expected = ta.enumerate_regions(heads)
    folder = tmp_path / "cells"
    order = Order(job, cells=str(folder), workers=workers)
    asked = {"of": "cells", "engine": "auto", "certificate": None, "progress": False}
    for limit in (100, 200, None):
        settings = {**asked, "max_cells": limit, "threads": 2}
        if limit is None:
            assert count_with_bound(heads, None, job=order, **settings)[0].value == 370
        else:
            with pytest.raises(BudgetExceeded):
                count_with_bound(heads, None, job=order, **settings)
    patterns, witnesses, sound = listed(job, folder)
    assert sound and {p.suffix for p in folder.iterdir()} == {".npz", ".json"}
    assert sorted(map(tuple, patterns.tolist())) == sorted(map(tuple, expected.patterns.tolist()))
    winners = np.stack([head.argmax(witnesses) for head in heads], axis=1)
    assert (winners == patterns)[:, :15].all()
    with pytest.raises(InvalidInput, match="begun with cells and without a certificate"):
        ta.count_regions(heads, job=job)


def test_cells_of_one_pattern_and_of_none_to_be_had(job, tmp_path):
    one = [ta.TropicalPolynomial([[1.0, 0.0]])]
    asked = {"of": "cells", "certificate": None, "progress": False}
    asked |= {"max_cells": None, "threads": 1}
    order = Order(job, cells=str(tmp_path / "cells"))
    assert count_with_bound(one, None, job=order, engine="auto", **asked)[0].value == 1
    (file,) = (tmp_path / "cells").glob("*.npz")
    assert np.load(file)["patterns"].tolist() == [[0]]
    heads, _ = arrangement(3)
    other = Order(tmp_path / "a.job", cells=str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="cells: cells of one layer by enumeration needed"):
        count_with_bound(heads, None, job=other, engine="direct_sum", **asked)
    for folder in (str(tmp_path / "no" / "cells"), "a\0b"):
        nowhere = Order(tmp_path / "b.job", cells=folder)
        with pytest.raises(InvalidInput, match="cells: a folder, or the name of one to make, need"):
            count_with_bound(heads, None, job=nowhere, engine="auto", **asked)


@pytest.mark.usefixtures("small")
def test_a_folder_holds_the_cells_of_one_job_and_all_of_them(job, tmp_path):
    heads, _ = arrangement(4)
    asked = {"of": "cells", "engine": "auto", "certificate": None, "progress": False}
    asked |= {"max_cells": None, "threads": 1}

    def count(place, folder, heads=heads):
        order = Order(place, cells=str(folder))
        return count_with_bound(heads, None, job=order, **asked)[0].value

    folder = tmp_path / "cells"
    assert count(job, folder) == 370
    kept = {p.name: p.read_bytes() for p in folder.iterdir()}
    for of in (heads, heads[:-1]):
        with pytest.raises(InvalidInput, match="cells: a folder of this job alone needed"):
            count(tmp_path / "other.job", folder, of)
    assert not (tmp_path / "other.job").exists()
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == kept
    # A job goes on where its cells are, and nowhere else.
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(InvalidInput, match="cells: the files of all ranges that are done needed"):
        count(job, tmp_path / "empty")
    (moved / f"{outputs.BESIDE}half").write_bytes(b"half")
    assert count(job, moved) == 370
    assert {p.suffix for p in moved.iterdir()} == {".npz", ".json"}
    next(moved.glob("*.npz")).unlink()
    with pytest.raises(InvalidInput, match="without 1 of them"):
        count(job, moved)


FLAWS = [
    ("DELETE FROM ranges WHERE id = (SELECT MAX(id) FROM ranges WHERE open)", "of which there are"),
    ("DELETE FROM ranges WHERE id = (SELECT MAX(id) FROM ranges WHERE NOT open)", "there are"),
    ("DELETE FROM ranges WHERE id = 1", "comes from none|of which there are"),
    ("DELETE FROM ranges", "has not the 1 ranges that it began with"),
    ("UPDATE ranges SET search = 9 WHERE id = 2", "belongs to no search"),
    ("UPDATE ranges SET parent = NULL WHERE id = 2", "of which there are"),
    ("UPDATE ranges SET children = children + 1 WHERE id = 1", "of which there are"),
    ("UPDATE ranges SET cells = -5 WHERE NOT open", "is done without its numbers"),
    ("UPDATE ranges SET cells = 'abc' WHERE NOT open", "is done without its numbers"),
    ("UPDATE ranges SET cells = cells + 1 WHERE NOT open", "numbers that are none"),
    ("UPDATE ranges SET tally = '{' WHERE NOT open", "words that are none"),
    ("UPDATE ranges SET tally = '[]' WHERE NOT open", "numbers that are none"),
    ("UPDATE ranges SET data = NULL WHERE open", "is open without what is to be done"),
    ("UPDATE ranges SET data = '7' WHERE open", "a range that is none"),
    ("UPDATE ranges SET open = 0 WHERE open", "is done without its numbers"),
    ("UPDATE ranges SET open = 7 WHERE open", "is neither open nor done"),
    ("UPDATE ranges SET ended = 'now' WHERE NOT open", "is done without its numbers"),
    ("UPDATE about SET value = '5' WHERE name = 'versions'", "does not say what made it"),
    ("DELETE FROM about WHERE name = 'id'", "does not say what it is about"),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("statement", "words"), FLAWS)
def test_a_ledger_that_lost_something_gives_no_number(job, statement, words):
    heads, _ = arrangement(4)
    with pytest.raises(BudgetExceeded):
        ta.count_regions(heads, job=job, max_cells=100, threads=1)
    with closing(sqlite3.connect(job)) as file, file:
        assert file.execute(statement).rowcount
    with pytest.raises(InvalidInput, match=words):
        ta.count_regions(heads, job=job)


def test_ranges_grow_while_many_wait_and_are_small_while_few_do():
    """Of two workers below 4 and above 20; in between as the range that leaves them."""

    def effort(waiting, done, parent):
        queue = SimpleNamespace(waiting=[None] * waiting, _done=done, _hands=2)
        return KeptQueue._effort(queue, {"effort": parent})

    assert [effort(waiting, 1000, 3) for waiting in (0, 3, 4, 20, 21)] == [1, 1, 3, 3, 10]
    assert [effort(21, done, 1) for done in (99, 150, 10**6)] == [0, 1, 200]
    assert effort(10, 200, 3) == 2


# ---- certificates -----------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("workers", [None, 2])
def test_a_certificate_is_put_together_of_what_all_runs_proved(job, tmp_path, workers):
    """With exact ties, which are settled in rationals."""
    rng = np.random.default_rng(3)
    base = ta.TropicalPolynomial(rng.integers(-2, 3, size=(5, 3)) / 3, rng.integers(0, 2, 5) / 3)
    heads = [base.pullback(np.roll(np.eye(3), k, axis=0)) for k in range(3)]
    heads.append(base.pullback(np.ones((3, 3)) / 3 - np.eye(3)))
    expected = ta.count_regions(heads, engine="enumeration").value
    place = tmp_path / "proof.gz"
    asked = {"of": "cells", "engine": "enumeration", "certificate": place, "progress": False}
    order = Order(job, workers=workers)
    for limit in (expected // 3, 2 * expected // 3):
        with pytest.raises(BudgetExceeded):
            count_with_bound(heads, None, job=order, max_cells=limit, threads=2, **asked)
        assert not place.exists()
    found, _ = count_with_bound(heads, None, job=order, max_cells=None, threads=2, **asked)
    shown = verify(place, [head.exact_terms() for head in heads])
    assert found.value == shown.cells == expected
    # Processes have ranges of the usual size.
    assert shown.ranges >= rows(job)[1] > (3 if workers else 10)
    with pytest.raises(InvalidInput, match="begun without cells and with a certificate"):
        ta.count_regions(heads, job=job, engine="enumeration")


def test_steps_that_are_none_are_refused(job, tmp_path):
    heads, _ = arrangement(3)
    ta.count_regions(heads, job=job, certificate=tmp_path / "a.gz")
    with closing(sqlite3.connect(job)) as file, file:
        file.execute("UPDATE ranges SET data = ?", ('{"steps":"eA=="}',))
    with pytest.raises(InvalidInput, match="steps that are none"):
        ta.count_regions(heads, job=job, certificate=tmp_path / "b.gz")
    assert not (tmp_path / "b.gz").exists()
