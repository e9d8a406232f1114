"""Worker processes: the same cells as threads, whoever dies on the way."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tropattn.errors import BudgetExceeded, EngineError, InvalidInput
from tropattn.regions.jobs import workers
from tropattn.regions.jobs.ledger import Ledger
from tropattn.study.counting import CountSpec, count
from tropattn.study.inputs import Source

ROOT = Path(__file__).parents[4]
FIVE = 11292


@pytest.fixture(name="asked")
def _asked(tmp_path):
    """A count of the resonance arrangement in R^5 by worker processes, as a job."""

    def ask(**settings):
        source = Source(path=str(resonance(tmp_path / "five.npz", 5)))
        settings = {"job": str(tmp_path / "five.job"), "workers": 2} | settings
        return CountSpec(source=source, engine="enumeration", **settings)

    return ask


def resonance(place, n):
    normals = [v for v in np.ndindex(*[2] * n) if any(v)]
    np.savez(place, slopes=np.array([[[0] * n, v] for v in normals], float))
    return place


def paths(job):
    with closing(sqlite3.connect(f"file:{job}?mode=ro", uri=True)) as file:
        return set(file.execute("SELECT path, cells, open FROM ranges").fetchall())


@pytest.mark.long
def test_processes_find_what_threads_find_range_by_range(asked, tmp_path):
    other = str(tmp_path / "threads.job")
    by_threads = count(asked(job=other, workers=None)).answer
    by_processes = count(asked(workers=3)).answer
    assert by_processes.value == by_threads.value == FIVE
    assert {k: v for k, v in by_processes.stats.items() if k != "seconds"} == {
        k: v for k, v in by_threads.stats.items() if k != "seconds"
    }
    assert paths(tmp_path / "five.job") == paths(other)


@pytest.mark.long
def test_a_worker_that_is_killed_loses_nothing(asked, monkeypatch):
    killed, finish = set(), Ledger.finish

    def kill(self, search, path, told):
        pid = int(told.worker.removeprefix("process "))
        if len(killed) < 3:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        return finish(self, search, path, told)

    monkeypatch.setattr(Ledger, "finish", kill)
    assert count(asked()).answer.value == FIVE
    assert len(killed) == 3


@pytest.mark.long
def test_threads_go_on_with_what_processes_began(asked):
    with pytest.raises(BudgetExceeded):
        count(asked(max_cells=2000))
    assert count(asked(workers=None, threads=1)).answer.value == FIVE


def test_a_worker_that_never_stays_is_one_error(asked, monkeypatch):
    monkeypatch.setattr(workers, "_PROGRAM", "import os; os._exit(1)")
    monkeypatch.setattr(workers, "_MOST_DEATHS", 2)
    with pytest.raises(EngineError, match="workers: processes that stay needed"):
        count(asked())


@pytest.mark.long
def test_an_error_in_a_worker_ends_the_count_with_its_words(asked, monkeypatch):
    with pytest.raises(BudgetExceeded):
        count(asked(max_cells=2000))

    def wrong(crew, work, item, number=0):
        crew.busy += 1
        crew._given.put((number, {"path": [0, 10**6]}))

    monkeypatch.setattr(workers.Crew, "submit", wrong)
    with pytest.raises(InvalidInput, match="job: the ledger of a job needed, got a range"):
        count(asked())


@pytest.mark.long
def test_workers_end_with_a_driver_that_is_killed(tmp_path):
    heads, job = resonance(tmp_path / "six.npz", 6), tmp_path / "six.job"
    driver = subprocess.Popen(
        [sys.executable, "-m", "tropattn", "count", heads, "--job", job, "--workers", "2"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    pids = set()
    while len(pids) < 2:
        assert driver.poll() is None
        time.sleep(0.1)
        try:
            with closing(sqlite3.connect(f"file:{job}?mode=ro", uri=True)) as file:
                found = file.execute("SELECT DISTINCT worker FROM ranges WHERE NOT open")
                pids = {int(name.removeprefix("process ")) for (name,) in found}
        except sqlite3.Error:
            pass
    driver.kill()
    driver.wait()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.1)
    # Nobody holds the file any more.
    with Ledger.looked_at(job) as ledger:
        assert not ledger.held
