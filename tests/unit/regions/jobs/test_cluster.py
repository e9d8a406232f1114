"""A Dask cluster on the ranges of a job; skipped where ``distributed`` is not installed."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tropattn.errors import InvalidInput
from tropattn.regions.jobs import cluster
from tropattn.regions.jobs.ledger import Ledger
from tropattn.study.counting import CountSpec, count
from tropattn.study.inputs import Source

FIVE = 11292


@pytest.fixture(name="asked")
def _asked(tmp_path):
    """A count of the resonance arrangement in R^5 as a job of a scheduler."""
    normals = [v for v in np.ndindex(*[2] * 5) if any(v)]
    np.savez(tmp_path / "five.npz", slopes=np.array([[[0] * 5, v] for v in normals], float))
    source, job = Source(path=str(tmp_path / "five.npz")), str(tmp_path / "five.job")

    def ask(scheduler):
        return CountSpec(source=source, engine="enumeration", job=job, scheduler=scheduler)

    return ask


@pytest.fixture(name="local")
def _local():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as found:
        yield found


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_counts_the_same(asked, local):
    spec = asked(local.scheduler_address)
    assert count(spec).answer.value == FIVE
    with Ledger.looked_at(spec.job) as ledger:
        (state,) = ledger.states()
        workers = {row.worker for row in ledger.rows()}
    assert (state.cells, state.open) == (FIVE, 0)
    assert workers == {worker.address for worker in local.scheduler.workers.values()}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_a_cluster_that_is_killed_loses_nothing(asked, local, monkeypatch):
    killed, finish = [], Ledger.finish

    def kill(self, search, path, told):
        if not killed:
            killed.append(local.workers[0].pid)
            os.kill(killed[0], 9)
        return finish(self, search, path, told)

    monkeypatch.setattr(Ledger, "finish", kill)
    assert count(asked(local.scheduler_address)).answer.value == FIVE
    assert killed


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_ranges_that_a_scheduler_cancels_are_one_error(asked, local, monkeypatch):
    finish, cancelled = Ledger.finish, []

    def cancel(self, search, path, told):
        if len(cancelled) < 3:
            cancelled.append(path)
            local.sync(local.scheduler.restart, stimulus_id="test")
        return finish(self, search, path, told)

    monkeypatch.setattr(Ledger, "finish", cancel)
    spec = asked(local.scheduler_address)
    with pytest.raises(InvalidInput, match="got ranges that were cancelled; resume the job"):
        count(spec)
    monkeypatch.setattr(Ledger, "finish", finish)
    assert count(spec).answer.value == FIVE


def test_without_dask_or_without_a_scheduler_it_is_one_error(asked, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.3)
    with pytest.raises(InvalidInput, match="scheduler: "):
        count(asked("tcp://127.0.0.1:1"))
