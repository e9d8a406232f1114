"""Ctrl-C, SIGTERM and the event ``stop``: every long call ends at once, with a valid lower bound.

Answers known without the package: a head of N keys has at most N cells, and a head with the same
cells (all scores doubled) adds none. ``python test_stop.py NAME TIMES`` interrupts one call again
and again, at seeded moments, and prints what came.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta
from tropattn.dynamics import sync_diagram
from tropattn.polyhedra.domain import has_points
from tropattn.regions.euler import plane
from tropattn.regions.polygons import cells as plane_polygons
from tropattn.regions.polygons import half_edges as plane_graph
from tropattn.threads import Pool, in_order, stoppable

KEYS = 30_000
FLAT_KEYS = 300_000
"""Keys of a head in the plane: five seconds of count, so that the stop comes before the answer."""
SQUARE = ta.Box([-1, -1], [1, 1])
GENEROUS = 2.0
"""Seconds that an ending may take here, where other work shares the machine; 0.5 is promised."""


def voronoi(n, dim):
    """Sites with weights 0: every key has a cell, on R^d."""
    sites = np.random.default_rng(n).normal(size=(n, dim))
    return ta.TropicalPolynomial(sites, -0.5 * (sites**2).sum(axis=1))


def doubled(head):
    """Other scores with the same cells."""
    return ta.TropicalPolynomial(2 * head.slopes, 2 * head.intercepts)


def calls():
    """Long calls by name, each with a number that its lower bound must not exceed."""
    flat, solid = voronoi(FLAT_KEYS, 2), voronoi(KEYS, 16)
    heads = ta.initialisers.gaussian_heads(6, 40, 8, seed=0)
    gaussian = {"seed": 0, "distribution": "gaussian"}
    rng = np.random.default_rng(0)
    relu = [ta.FeedForward(rng.normal(size=(6, 40)), rng.normal(size=40), rng.normal(size=(40, 6)))]
    network = ta.Network(relu * 2)
    flows = {"betas": np.linspace(0, 9, 10), "runs": 256}
    return {
        "lines": (
            lambda **on: ta.sample_regions(
                heads, 10**7, method="lines", threads=1, **gaussian, **on
            ),
            40**6,
        ),
        "points": (lambda **on: ta.sample_regions(heads, 10**9, **gaussian, **on), 40**6),
        "network lines": (
            lambda **on: ta.sample_regions(
                network, 10**7, method="lines", threads=1, **gaussian, **on
            ),
            2**80,
        ),
        "plane": (lambda **on: ta.count_regions([flat, doubled(flat)], SQUARE, **on), FLAT_KEYS),
        "plane_cells": (lambda **on: ta.plane_cells(flat, SQUARE, threads=1, **on), FLAT_KEYS),
        "enumeration": (lambda **on: ta.count_regions(heads, threads=1, **on), 40**6),
        "live_terms": (lambda **on: ta.live_terms(solid, **on), KEYS),
        "minkowski": (
            lambda **on: ta.minkowski_sum([rng.normal(size=(2000, 4)) for _ in range(2)], **on),
            2000**2,
        ),
        "sync_diagram": (lambda **on: sync_diagram(32, 128, **flows, **on), 0),
        "adaptive": (lambda **on: sync_diagram(32, 8, scheme="adaptive", **flows, **on), 0),
    }


def interrupted(call, after):
    """The lower bound and the latency of a call that gets SIGINT after some seconds."""
    sent = []

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after, send)
    timer.start()
    try:
        call()
    except ta.Interrupted as error:
        return error.lower, time.perf_counter() - sent[0]
    finally:
        timer.join()
    raise AssertionError("the call came to its end")


def drill(name, times):
    """Interrupt a call again and again; the lower bounds and the latencies."""
    call, most = calls()[name]
    draw = random.Random(name)
    found = [interrupted(call, 3.0)]
    found += [interrupted(call, draw.uniform(0.02, 0.8)) for _ in range(times)]
    assert all(0 <= lower <= most for lower, _ in found), (most, found)
    return found


# ---- calls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lines", "plane", "live_terms", "sync_diagram"])
def test_ctrl_c_ends_a_call_with_a_lower_bound(name):
    call, most = calls()[name]
    lower, latency = interrupted(call, 0.4)
    assert 0 <= lower <= most
    assert latency < GENEROUS


@pytest.mark.long
@pytest.mark.parametrize("name", ["enumeration", "plane_cells", "adaptive"])
def test_an_event_ends_a_call_in_another_thread(name):
    call, most = calls()[name]
    stop, raised = threading.Event(), []

    def work():
        try:
            call(stop=stop)
        except ta.Interrupted as error:
            raised.append((error.lower, time.perf_counter()))

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.4)
    sent = time.perf_counter()
    stop.set()
    worker.join()
    ((lower, ended),) = raised
    assert 0 <= lower <= most
    assert ended - sent < GENEROUS


def test_a_set_event_stops_before_the_work():
    stop = threading.Event()
    stop.set()
    for domain, least in ((None, 1), (SQUARE, 1), (ta.Polytope([[1, 0]], [1]), 0)):
        with pytest.raises(ta.Interrupted) as caught:
            ta.count_regions(voronoi(5, 2), domain, stop=stop)
        # A polytope may be empty, and nobody has looked.
        assert caught.value.lower == least == has_points(domain)
    with pytest.raises(ta.InvalidInput, match=r"stop: a threading\.Event or None needed, got bool"):
        ta.count_regions(voronoi(5, 2), stop=True)


@pytest.mark.long
@pytest.mark.parametrize("name", ["enumeration", "plane_cells", "points"])
def test_a_time_limit_ends_a_call_with_a_lower_bound(name):
    call, most = calls()[name]
    call_started = time.perf_counter()
    with pytest.raises(ta.BudgetExceeded, match=r"time_limit: at most 0\.5 s allowed") as caught:
        call(time_limit=0.5)
    assert time.perf_counter() - call_started < 0.5 + GENEROUS
    assert 0 <= caught.value.lower <= most


def test_time_limits_that_are_none():
    head = voronoi(5, 2)
    assert ta.count_regions(head, time_limit=1e6).value == 5
    for wrong in (0, -1.0, float("inf"), float("nan"), "1", True):
        with pytest.raises(ta.InvalidInput, match="time_limit: a number of seconds above 0 needed"):
            ta.count_regions(head, time_limit=wrong)


def test_a_stop_before_the_time_limit_is_an_interruption():
    stop = threading.Event()
    stop.set()
    with pytest.raises(ta.Interrupted):
        ta.count_regions(voronoi(5, 2), stop=stop, time_limit=1e6)


def test_the_bound_of_a_plane_count_trusts_no_two_heads(monkeypatch):
    # Two heads with the same 7 cells: 7 cells in all. 1 + (7 - 1) + (7 - 1) would be no bound.
    head = voronoi(7, 2)

    def stopped(*_):
        raise KeyboardInterrupt

    for place, kernel in ((plane.diagrams, "crossings"), (plane_graph.half_edges, "walk")):
        monkeypatch.setattr(place, kernel, stopped)
    monkeypatch.setattr(plane_polygons, "FEW_KEYS", 0)
    big = ta.Box([-100, -100], [100, 100])
    for count in (ta.count_regions, ta.plane_cells):
        with pytest.raises(ta.Interrupted) as caught:
            count([head, doubled(head)], big)
        assert caught.value.lower == 7


def test_bounds_on_the_way_of_a_plane_count():
    # Lines x = 1, 2 and y = 1, 2, 3: cells 3, then 3 * 4; crossings come head by head.
    tally = plane.EulerTally([3, 4], sphere=False)
    assert tally.lower == 4
    tally.add(2, 0)
    assert tally.lower == 4
    tally.add(4, 1)
    assert (tally.lower, tally.cells) == (12, 12)
    # Three great circles in general position: 8 cells, each pair crosses twice.
    tally = plane.EulerTally([2, 2, 2], sphere=True)
    assert tally.lower == 2
    tally.add(4, 1)
    assert tally.lower == 6
    tally.add(2, 2)
    assert (tally.lower, tally.cells) == (8, 8)


# ---- workers ----------------------------------------------------------------------------------


def test_the_flag_is_set_before_workers_are_waited_for():
    flag = np.zeros(1, np.int64)

    def work(_):
        while not flag[0]:
            time.sleep(0.001)

    found = in_order(lambda i: i if i == 0 else work(i), range(4), 2, flag)
    assert next(found) == 0
    found.close()
    assert flag[0] == 1


def test_work_that_does_not_poll_is_left_behind():
    done = threading.Event()
    started = time.perf_counter()
    with pytest.raises(ZeroDivisionError), Pool(1) as pool:
        pool.submit(done.wait, 60.0)
        raise ZeroDivisionError
    assert time.perf_counter() - started < GENEROUS
    done.set()


def polling(flag):
    """Stands for a kernel."""
    until = time.monotonic() + 60
    while not flag[0] and time.monotonic() < until:
        time.sleep(0.001)
    return flag[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_nested_work_stops_with_the_outer(threads):
    stop, flags = threading.Event(), [np.zeros(1, np.int64) for _ in range(2)]

    def inner(flag):
        return list(in_order(lambda _: polling(flag), (0, 1), threads, flag))

    @stoppable()
    def outer(*, stop=None):
        return list(in_order(inner, flags, 2))

    timer = threading.Timer(0.2, stop.set)
    timer.start()
    started = time.perf_counter()
    with pytest.raises(ta.Interrupted):
        outer(stop=stop)
    assert time.perf_counter() - started < GENEROUS
    assert [flag[0] for flag in flags] == [1, 1]
    timer.join()


# ---- commands ---------------------------------------------------------------------------------


def launch(*args, code="from tropattn.cli import main; main()"):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_interrupted(process, out, err):
    assert process.returncode == 130, err
    # While modules load there is nothing to say.
    assert re.fullmatch(r"(tropattn: interrupted.*\n)?", err), err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_load(number):
    code = (
        f"import os\nfrom tropattn.cli.signals import loading\n"
        f"with loading():\n    os.kill(os.getpid(), {int(number)})\n    import numpy"
    )
    process = launch(code=code)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_command_that_starts(number):
    code = "from tropattn.cli import main; print(0, flush=True); main()"
    process = launch("count", "demo", "--text", "314159265=", code=code)
    assert process.stdout.readline() == "0\n"
    time.sleep(0.1)
    process.send_signal(number)
    assert_interrupted(process, *process.communicate(timeout=60))


@pytest.mark.long
def test_sigterm_leaves_a_lower_bound_and_no_file(tmp_path):
    heads = ta.initialisers.gaussian_heads(30, 12, 8, seed=0)
    np.savez(
        tmp_path / "heads.npz",
        slopes=np.stack([head.slopes for head in heads]),
        intercepts=np.stack([head.intercepts for head in heads]),
    )
    where = tmp_path / "out"
    where.mkdir()
    certificate = where / "proof.gz"
    process = launch("count", tmp_path / "heads.npz", "--json", "--certificate", certificate)
    until = time.monotonic() + 60
    while not list(where.iterdir()) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.5)
    sent = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert time.perf_counter() - sent < GENEROUS
    assert_interrupted(process, out, err)
    low = int(re.search(r"at least ([\d,]+) cell", err)[1].replace(",", ""))
    assert low == int(json.loads(out)["value"]) >= 1
    assert list(where.iterdir()) == []


def many_cells(folder):
    """Heads whose cells nobody counts to the end."""
    heads = ta.initialisers.gaussian_heads(30, 12, 8, seed=0)
    np.savez(
        folder / "heads.npz",
        slopes=np.stack([head.slopes for head in heads]),
        intercepts=np.stack([head.intercepts for head in heads]),
    )
    return folder / "heads.npz"


@pytest.mark.long
def test_a_command_ends_at_its_time_limit(tmp_path):
    process = launch("count", many_cells(tmp_path), "--json", "--time-limit", 4)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    words = r"tropattn: error: time_limit: at most 4 s allowed, .* \(at least ([\d,]+) cells?\)\n"
    low = int(re.fullmatch(words, err)[1].replace(",", ""))
    answer = json.loads(out)
    assert answer["kind"] == "lower" and int(answer["value"]) == low >= 0


@pytest.mark.long
def test_a_command_within_its_time_limit(tmp_path):
    # Every command that can take long has the option; these end before it.
    for args in (["bounds", "--keys", "3,3", "--dim", 1], ["dynamics", "gaussian", "--dim", 1]):
        process = launch(*args, "--time-limit", 600)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "") and out


# ---- many times -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", list(calls()))
def test_a_hundred_interruptions(name):
    done = subprocess.run(
        [sys.executable, __file__, name, "100"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    print(done.stdout)  # noqa: T201 (the measured latencies)
    assert "101 interruptions" in done.stdout


def commands(folder):
    """Long commands; the input is a network of heads with 12 keys each, or of 30,000 keys."""
    heads = ta.initialisers.gaussian_heads(30, 12, 8, seed=0)
    many = voronoi(KEYS, 2)
    for name, part in (("heads", heads), ("plane", [many])):
        np.savez(
            folder / f"{name}.npz",
            slopes=np.stack([head.slopes for head in part]),
            intercepts=np.stack([head.intercepts for head in part]),
        )
    heads, flat = folder / "heads.npz", folder / "plane.npz"
    return [
        ["count", heads],
        ["count", flat, "--domain", "box:-1,1"],
        ["sample", heads, "--samples", 10**7, "--method", "lines", "--threads", 1],
        ["plot", flat, "--output", folder / "cells.png"],
        ["scaling", "--keys", "20,30,40", "--heads", "6", "--dim", "6"],
        ["dynamics", "phase", "--runs", 64],
        ["inspect", "demo", "--text", "314159265="],
        ["temperature", "demo", "--text", "314159265="],
    ]


def worked(process):
    """Processor seconds that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="needs processor times of processes")
def test_commands_at_seeded_moments(tmp_path):
    draw, latencies = random.Random(0), []
    for args in commands(tmp_path):
        before = set(tmp_path.iterdir())
        for number in (signal.SIGINT, signal.SIGTERM):
            # While modules load, and while the command works.
            for after in (draw.uniform(0.2, 1.5), draw.uniform(2.0, 6.0)):
                process = launch(*args)
                while process.poll() is None and worked(process) < after:
                    time.sleep(0.01)
                sent = time.perf_counter()
                process.send_signal(number)
                out, err = process.communicate(timeout=60)
                latencies.append((round(time.perf_counter() - sent, 2), args[0]))
                if process.returncode:
                    assert_interrupted(process, out, err)
        assert set(tmp_path.iterdir()) - before <= {tmp_path / "cells.png"}, args
    print(sorted(latencies))  # noqa: T201
    assert max(latencies)[0] < 2 * GENEROUS


if __name__ == "__main__":
    results = drill(sys.argv[1], int(sys.argv[2]))
    waits = sorted(latency for _, latency in results)
    lowers = sorted(lower for lower, _ in results)
    print(  # noqa: T201
        f"{Path(__file__).name} {sys.argv[1]}: {len(results)} interruptions, latency median "
        f"{waits[len(waits) // 2]:.3f} s, largest {waits[-1]:.3f} s, "
        f"{sum(w > 0.5 for w in waits)} above 0.5 s; lower bounds {lowers[0]} to {lowers[-1]}"
    )
