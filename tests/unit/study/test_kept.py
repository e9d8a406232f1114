"""Tables as jobs: a row or head that is done is not done again, and comes back as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tropattn.errors import Interrupted, InvalidInput
from tropattn.regions.result import RegionCount
from tropattn.study import draws, inspection, scaling
from tropattn.study.counting import SampleSpec, sample
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec
from tropattn.study.jobs import look, resume
from tropattn.study.kept import value_of, words_of
from tropattn.study.scaling import ScalingSpec


def scaled(**more):
    return ScalingSpec(families=["gaussian"], keys=[2, 3], heads=[1, 2], samples=50, **more)


def inspected(demo, **more):
    return InspectionSpec(source=Source(path=demo, text="31=", layer=0), **more)


@pytest.fixture(name="demo")
def _demo():
    from tropattn.cli.options import shipped

    return shipped()


def tables(record):
    """All that is in the tables, without the seconds of the work."""
    return value_of(words_of({name: [*rows] for name, rows in record.tables.items()}))


def stopped_at(monkeypatch, module, name, most):
    """Let the work be interrupted after some parts, and count them."""
    work, calls = getattr(module, name), []

    def part(*given, **more):
        if len(calls) == most[0]:
            raise KeyboardInterrupt
        calls.append(given)
        return work(*given, **more)

    monkeypatch.setattr(module, name, part)
    return calls


def test_rows_of_scaling_are_counted_once(tmp_path, monkeypatch):
    job, expected = str(tmp_path / "rows.job"), tables(scaling.run(scaled()))
    most = [2]
    calls = stopped_at(monkeypatch, scaling, "_row", most)
    with pytest.raises(KeyboardInterrupt):
        scaling.run(scaled(job=job))
    (row,) = look(job).tables["searches"]
    assert (row["merge"], row["done"], row["open"]) == ("rows", 2, 2)
    most[0] = 4
    record = resume(job)
    assert len(calls) == 4
    assert tables(record) == expected
    assert tables(resume(job)) == expected and len(calls) == 4


def test_heads_of_a_model_are_looked_into_once(tmp_path, monkeypatch, demo):
    job, expected = str(tmp_path / "heads.job"), tables(inspection.run(inspected(demo)))
    most = [3]
    calls = stopped_at(monkeypatch, inspection, "_head_row", most)
    with pytest.raises(KeyboardInterrupt):
        inspection.run(inspected(demo, job=job))
    most[0] = 4
    record = resume(job)
    assert len(calls) == 4
    assert tables(record) == expected
    with pytest.raises(InvalidInput, match="workers: the job of a count needed"):
        resume(job, workers=2)
    other = InspectionSpec(source=Source(path=demo, text="32=", layer=0), job=job)
    with pytest.raises(InvalidInput, match="job: a ledger of this input"):
        inspection.run(other)


def test_values_come_back_as_they_were():
    count = RegionCount(10**5000, "upper", "cells", "R^2", "T6", stats={"keys": [2, 3]})
    row = {"count": count, "x": 0.1 + 0.2, "far": float("inf"), "none": None, "name": "ä"}
    again = value_of(words_of(row))
    assert again == row
    assert again["count"].stats == count.stats


@pytest.mark.parametrize("method", ["points", "lines"])
def test_ranges_of_draws_are_drawn_once(demo, tmp_path, monkeypatch, method):
    """Stopped in the third of four, then gone on with: the sample of one call, but for its time."""
    given = {"source": Source(path=demo, text="31=", layer=0), "samples": 2000, "method": method}
    job = str(tmp_path / "draws.job")
    expected = sample(SampleSpec(**given)).answer
    most = [2]
    calls = stopped_at(monkeypatch, draws, "draw_sample", most)
    told = []
    with pytest.raises(Interrupted) as error:
        sample(SampleSpec(**given, job=job), told.append)
    assert 1 < error.value.lower <= expected.value
    assert told[0].answer.value == error.value.lower
    (row,) = look(job).tables["searches"]
    assert (row["merge"], row["done"], row["open"]) == ("union", 2, 2)
    most[0] = 4
    found = resume(job).answer
    assert len(calls) == 4 and (found.value, found.kind) == (expected.value, "lower")
    for count in (found, expected):
        del count.stats["seconds"]
    assert found == expected and found.stats == expected.stats
    with pytest.raises(InvalidInput, match="job: a ledger of this input, domain and question"):
        sample(SampleSpec(**given | {"samples": 2001}, job=job))
    with closing(sqlite3.connect(job)) as file, file:
        file.execute("UPDATE ranges SET data = replace(data, 'hashes', 'ashes') WHERE id = 2")
    with pytest.raises(InvalidInput, match="job: the ledger of a job needed, got a range of draws"):
        resume(job)
