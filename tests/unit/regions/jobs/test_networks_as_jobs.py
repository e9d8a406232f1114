"""Depth and ReLU networks on a plane as jobs: the same cells in parts, by threads and processes."""

from __future__ import annotations

import numpy as np
import pytest

import tropattn as ta
from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.regions.count import count_with_bound, survey_job
from tropattn.regions.jobs import survey
from tropattn.regions.jobs.driver import Order, PartDone
from tropattn.regions.jobs.exchange import export, united
from tropattn.regions.jobs.ledger import Ledger
from tropattn.regions.networks import layerwise, relu_plane
from tropattn.regions.networks.layerwise import _LeafCount
from tropattn.regions.networks.relu_plane import _Search

SQUARE = ta.Box.cube(-1, 1, 2)


def network(dim, widths, seed, whole=False):
    """ReLU layers; with small integers over 3 there are exact ties."""
    rng, layers, d = np.random.default_rng(seed), [], dim
    for n in widths:
        matrix, shift = rng.normal(size=(d, n)), rng.normal(size=n)
        if whole:
            matrix, shift = rng.integers(-2, 3, size=(d, n)) / 3, rng.integers(-2, 3, n) / 3
        layers.append(ta.FeedForward(matrix, shift, np.eye(n), residual=False))
        d = n
    return ta.Network(layers)


PLANE, DEPTH = (
    (relu_plane, "_BUDGETS", (100,), _Search),
    (layerwise, "_SEARCHES", (0, 1), _LeafCount),
)

CASES = {
    "plane": (*PLANE, network(2, (16, 16), 0), SQUARE),
    "plane with ties": (*PLANE, network(2, (14, 14), 1, True), SQUARE),
    "depth": (*DEPTH, network(3, (4, 4, 3), 2), None),
    "depth with ties": (*DEPTH, network(3, (9, 14), 3, True), ta.Box.cube(-1, 1, 3)),
}


@pytest.fixture(name="case", params=CASES)
def _case(request, monkeypatch):
    module, name, small, queue, net, domain = CASES[request.param]
    expected = ta.count_regions(net, domain)
    monkeypatch.setattr(module, name, small)
    return queue, net, domain, expected


@pytest.mark.long
def test_a_job_goes_on_to_the_same_count(case, tmp_path):
    _, net, domain, expected = case
    job, stops = tmp_path / "net.job", 0
    for limit in (expected.value // 2, 3 * expected.value // 4):
        with pytest.raises(BudgetExceeded) as caught:
            ta.count_regions(net, domain, job=job, max_cells=limit, threads=1)
        assert caught.value.lower <= expected.value
        with Ledger.looked_at(job) as ledger:
            (state,) = ledger.states()
        assert state.done > stops and state.open > 0
        assert state.cells <= expected.value
        stops = state.done
    found = ta.count_regions(net, domain, job=job)
    assert (found.value, found.engine) == (expected.value, expected.engine)
    apart = ("seconds", "ranges")
    assert {k: v for k, v in found.stats.items() if k not in apart} == {
        k: v for k, v in expected.stats.items() if k not in apart
    }
    assert ta.count_regions(net, domain, job=job).value == expected.value


@pytest.mark.long
def test_every_range_alone_gives_the_same(case):
    """From what is written down, in a search of its own, in any order, twice."""
    queue, net, domain, expected = case
    stages = tuple(net.stages())
    search = queue.built(stages, domain)
    root = search.root if queue is _Search else layerwise._Range(search.refinement.root)
    waiting, cells, seen = [search.written(root)], 0, set()
    while waiting:
        entry = waiting.pop(0)
        assert entry.path not in seen
        seen.add(entry.path)
        told = queue.built(stages, domain).answer(entry.data) if len(seen) < 9 else None
        again = search.answer(entry.data)
        assert told is None or told.tally == again.tally
        assert told is None or [r.path for r in told.left] == [r.path for r in again.left]
        cells += again.tally["cells"]
        waiting += again.left
    assert cells == expected.value
    assert len(seen) > 10


@pytest.mark.parametrize("workers", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_linear_regions_are_joined_of_what_all_runs_found(tmp_path, monkeypatch, workers):
    """Two stops, then the end; a stop tells distinct maps, which are regions in any case."""
    monkeypatch.setattr(layerwise, "_SEARCHES", (0, 1))
    net, domain = network(3, (5, 3), 0), ta.Box.cube(-1, 1, 3)
    expected = ta.count_regions(net, domain, of="linear_regions")
    cells = expected.stats["cells"]
    assert 1 < expected.value < cells
    asked = {"of": "linear_regions", "engine": "auto", "certificate": None, "progress": False}
    asked |= {"job": Order(tmp_path / "net.job", workers=workers), "threads": 1}
    for limit in (cells // 3, 2 * cells // 3):
        with pytest.raises(BudgetExceeded) as caught:
            count_with_bound(net, domain, max_cells=limit, **asked)
        assert 1 <= caught.value.lower <= expected.value
    found, _ = count_with_bound(net, domain, max_cells=None, **asked)
    names = ("cells", "maps", "stages")
    assert found.value == expected.value
    assert [found.stats[name] for name in names] == [expected.stats[name] for name in names]
    with Ledger.looked_at(tmp_path / "net.job") as ledger:
        (state,) = ledger.states()
    assert (state.merge, state.cells, state.open) == ("join", cells, 0) and state.done > 2


def test_a_part_of_linear_regions_tells_its_maps(tmp_path, monkeypatch):
    monkeypatch.setattr(layerwise, "_SEARCHES", (0, 1))
    monkeypatch.setattr(survey, "_SECONDS", 0.1)
    net, domain = network(2, (6, 3), 2), SQUARE
    expected = ta.count_regions(net, domain, of="linear_regions").value
    job, lines, part, whole = (tmp_path / name for name in ("a.job", "a.jsonl", "b.job", "c.job"))
    with pytest.raises(BudgetExceeded):
        ta.count_regions(net, domain, of="linear_regions", job=job, max_cells=5, threads=1)
    with Ledger.looked_at(job) as ledger:
        assert export(ledger, lines) > 0
    (seen,) = survey_job(net, domain, of="linear_regions", engine="auto", job=Order(job))
    assert seen.open > 0 and seen.left > 0
    united(part, [lines])
    with pytest.raises(PartDone) as caught:
        ta.count_regions(net, domain, of="linear_regions", job=part)
    assert 1 <= caught.value.lower <= expected
    united(whole, [job, part])
    assert ta.count_regions(net, domain, of="linear_regions", job=whole).value == expected


@pytest.mark.long
def test_processes_count_the_same(tmp_path):
    for name in ("plane with ties", "depth"):
        *_, net, domain = CASES[name]
        order = Order(tmp_path / f"{name}.job", workers=2)
        settings = {"of": "cells", "engine": "auto", "certificate": None, "progress": False}
        found, _ = count_with_bound(
            net, domain, job=order, max_cells=None, threads=None, **settings
        )
        assert found.value == ta.count_regions(net, domain).value


@pytest.mark.parametrize("name", ["plane", "depth"])
def test_a_range_that_is_none_is_refused(name):
    *_, queue, net, domain = CASES[name]
    search = queue.built(tuple(net.stages()), domain)
    root = search.root if queue is _Search else layerwise._Range(search.refinement.root)
    sound = search.written(root).data
    search.read(sound)
    for change in (
        *({key: None} for key in sound if key != "stop"),
        {"generation": -1},
        {"names": sound.get("sides")},
        {"pattern": [1]},
        {"depth": 99},
        {"walls": ["1"]},
        {"start": 5, "stop": 3},
        {"status": "AAAA"},
    ):
        if set(change) <= set(sound):
            with pytest.raises(InvalidInput, match="job: the ledger of a job needed"):
                search.read(sound | change)
