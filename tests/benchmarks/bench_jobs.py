"""What a job costs: its ledger against a count without one, worker processes against threads.

    python tests/benchmarks/bench_jobs.py [--n 6]

Counts the half of the resonance arrangement in R^n where the sum of the coordinates is positive
(n = 6: 533,022 cells). Processor time for the ledger, one thread, the two sides by turns; time of
the clock between the first range that ends and the last one for threads and processes, so that the
start of a process is left out and told apart. Other work on the machine spoils the clock.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tropattn import Polytope, TropicalPolynomial, count_regions
from tropattn.regions.count import count_with_bound
from tropattn.regions.jobs import driver
from tropattn.regions.jobs.driver import Order

ROUNDS = 3


def main() -> None:
    """Print a table of both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=6)
    options = parser.parse_args()
    n = options.n
    normals = [v for v in itertools.product((0, 1), repeat=n) if any(v)]
    heads = [TropicalPolynomial([[0] * n, list(v)]) for v in normals]
    half = Polytope([[-1] * n], [0])
    count_regions(heads[:5], half, engine="enumeration")
    with tempfile.TemporaryDirectory() as folder:
        # Of the least effort ranges do not grow.
        for name, most in (("small ranges", 1), ("ranges that grow", driver._MOST_EFFORT)):
            driver._MOST_EFFORT = most
            plain, kept = [], []
            for number in range(ROUNDS):
                job = Path(folder, f"{name} {number}.job")
                for times, more in ((plain, {}), (kept, {"job": job})):
                    started = time.process_time()
                    found = count_regions(heads, half, engine="enumeration", threads=1, **more)
                    times.append(time.process_time() - started)
            ranges, seconds, size = described(job)
            least = 100 * (min(kept) / min(plain) - 1)
            middle = 100 * (statistics.median(kept) / statistics.median(plain) - 1)
            print(
                f"{name}: {found.value:,} cells in {ranges} of {seconds / ranges:.3f} s each; "
                f"ledger {size / 1e3:,.0f} kB; processor time without it {min(plain):.2f} s, with "
                f"it {min(kept):.2f} s: {least:+.1f} % (least of {ROUNDS}), {middle:+.1f} % "
                "(medians)",
                flush=True,
            )
        for name, workers in (("2 threads", None), ("2 processes", 2), ("1 process", 1)):
            job, started = Path(folder, f"{name}.job"), time.time()
            found, _ = count_with_bound(
                heads,
                half,
                of="cells",
                engine="enumeration",
                certificate=None,
                job=Order(job, workers=workers),
                max_cells=None,
                threads=2,
                progress=False,
            )
            first, last, cells = span(job)
            print(
                f"{name:<12}{found.value:,} cells; first range after {first - started:.1f} s, then "
                f"{cells / (last - first):,.0f} cells a second",
                flush=True,
            )


def described(job: Path) -> tuple[int, float, int]:
    """Ranges, seconds of work in them, and bytes of the file."""
    with closing(sqlite3.connect(job)) as file:
        ranges, seconds = file.execute("SELECT COUNT(*), SUM(seconds) FROM ranges").fetchone()
    return ranges, seconds, job.stat().st_size


def span(job: Path) -> tuple[float, float, int]:
    """When the first and the last range ended, and the cells behind the first."""
    with closing(sqlite3.connect(job)) as file:
        first, last = file.execute("SELECT MIN(ended), MAX(ended) FROM ranges").fetchone()
        (cells,) = file.execute(
            "SELECT SUM(cells) FROM ranges WHERE ended > ?", (first,)
        ).fetchone()
    return first, last, cells


if __name__ == "__main__":
    main()
