"""Jobs killed again and again: each must come to the exact count, nothing twice, nothing left over.

    python tests/benchmarks/kill_jobs.py [--runs 50] [--n 6]

Each run counts the resonance arrangement in R^n (n = 6: 1,066,044 cells) by two worker processes or
two threads, and kills, at a moment drawn between the twentieth range that is done and 80 % of the
cells, by SIGKILL the driver, a worker or both, or the driver by SIGTERM. Then it resumes the job
once more to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

CHAMBERS = {4: 370, 5: 11_292, 6: 1_066_044}
KINDS = ("driver", "worker", "both", "SIGTERM")


def main() -> None:
    """Run and print a line a run; exit code 1 where a number or a file is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--n", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, wrong = random.Random(options.seed), 0
    for number in range(options.runs):
        kind = KINDS[number % len(KINDS)]
        by = ["--threads", "2"] if kind == "driver" and number % 8 else ["--workers", "2"]
        with tempfile.TemporaryDirectory() as folder:
            good, words = one(Path(folder), options.n, kind, by, draw.uniform(0.0, 0.8))
        wrong += not good
        print(f"{number + 1:>3} {kind:<8}{by[0]:<10}{words}", flush=True)
    print(f"{options.runs - wrong} of {options.runs} runs good")
    sys.exit(wrong > 0)


def one(folder: Path, n: int, kind: str, by: list[str], share: float) -> tuple[bool, str]:
    """One job, stopped once that share of the cells is found and twenty ranges are done."""
    heads, job = folder / "heads.npz", folder / "count.job"
    normals = [v for v in np.ndindex(*[2] * n) if any(v)]
    np.savez(heads, slopes=np.array([[[0] * n, v] for v in normals], float))
    first = command("count", heads, "--engine", "enumeration", "--job", job, *by)
    while first.poll() is None:
        done, cells, workers = state(job)
        if done >= 20 and cells >= share * CHAMBERS[n]:
            stop(kind, first, workers)
            break
        time.sleep(0.05)
    # A worker alone is started anew, and the count goes on.
    code = first.wait()
    done, cells, _ = state(job)
    last = command("resume", job, "--json", *by)
    out, _ = last.communicate()
    value = int(json.loads(out)["value"]) if last.returncode == 0 else -1
    with closing(sqlite3.connect(job)) as file:
        rows, names, total, left = file.execute(
            "SELECT COUNT(*), COUNT(DISTINCT path), SUM(cells), SUM(open) FROM ranges"
        ).fetchone()
    files = {p.name for p in folder.iterdir()} - {"heads.npz", "count.job", "count.job-lock"}
    expected = {"driver": -9, "worker": 0, "both": -9, "SIGTERM": 130}[kind]
    good = (value, total, left, names, files) == (CHAMBERS[n], CHAMBERS[n], 0, rows, set())
    words = f"exit {code}, {done} ranges and {cells:,} cells kept; resumed to {value:,}"
    return good and code == expected, f"{words}, {rows} ranges{'' if good else ' WRONG'} {files}"


def command(*words: object) -> subprocess.Popen[str]:
    """A tropattn command as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tropattn", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def state(job: Path) -> tuple[int, int, set[int]]:
    """Ranges done, cells found, and the processes that did the last ones."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{job}?mode=ro", uri=True)) as file:
        done, cells = file.execute(
            "SELECT COUNT(*), COALESCE(SUM(cells), 0) FROM ranges WHERE NOT open"
        ).fetchone()
        recent = file.execute(
            "SELECT DISTINCT worker FROM (SELECT worker FROM ranges WHERE NOT open "
            "ORDER BY ended DESC LIMIT 4)"
        ).fetchall()
        return done, cells, {int(w.split()[1]) for (w,) in recent if w}
    return 0, 0, set()


def stop(kind: str, driver: subprocess.Popen[str], workers: set[int]) -> None:
    """Kill what the kind says."""
    if kind in ("worker", "both"):
        with suppress(ProcessLookupError):
            os.kill(min(workers), signal.SIGKILL)
    if kind in ("driver", "both"):
        driver.kill()
    if kind == "SIGTERM":
        driver.terminate()


if __name__ == "__main__":
    main()
