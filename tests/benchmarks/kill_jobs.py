"""Jobs killed again and again: each must come to the exact count, nothing twice, nothing left over.

    python tests/benchmarks/kill_jobs.py [--runs 50] [--first 0] [--n 6]

Each run counts the resonance arrangement in R^n (n = 6: 1,066,044 cells) by two worker processes or
two threads, and at a moment drawn between the twentieth range that is done and 80 % of the cells it
kills by SIGKILL the driver, a worker or both, or the driver by SIGTERM, or fills the disk. Then it
resumes the job once more to its end; in a folder that is read-only first, which must be refused.
Disks that fill up, and folders that root may not write, are file systems of their own: they need
root, and are left out without it.
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
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np

CHAMBERS = {4: 370, 5: 11_292, 6: 1_066_044}
DISKS = ("full disk", "read-only")
KINDS = ("driver", "worker", "both", "SIGTERM", *(DISKS if os.geteuid() == 0 else ()))
ROOM = 16
"""Megabytes of a disk that fills up."""


def main() -> None:
    """Run and print a line a run; exit code 1 where a number or a file is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--n", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong = 0
    for number in range(options.first, options.first + options.runs):
        kind = KINDS[number % len(KINDS)]
        share = random.Random(options.seed + number).uniform(0.0, 0.8)
        # Processes in every round, or where they are killed.
        threads = kind not in ("worker", "both") and number // len(KINDS) % 2
        by = ["--threads", "2"] if threads else ["--workers", "2"]
        with folder_of(kind) as folder:
            good, words = one(folder, options.n, kind, by, share)
        wrong += not good
        print(f"{number:>3} {kind:<10}{by[0]:<10}{words}", flush=True)
    print(f"{options.runs - wrong} of {options.runs} runs good")
    sys.exit(wrong > 0)


@contextmanager
def folder_of(kind: str) -> Iterator[Path]:
    """A new folder, for the disks a file system of its own."""
    with tempfile.TemporaryDirectory() as name:
        if kind in DISKS:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "none", name], check=True
            )
        try:
            yield Path(name)
        finally:
            if kind in DISKS:
                subprocess.run(["umount", name], check=True)


def one(folder: Path, n: int, kind: str, by: list[str], share: float) -> tuple[bool, str]:
    """One job, stopped once that share of the cells is found and twenty ranges are done."""
    heads, job = folder / "heads.npz", folder / "count.job"
    normals = [v for v in np.ndindex(*[2] * n) if any(v)]
    np.savez(heads, slopes=np.array([[[0] * n, v] for v in normals], float))
    first = command("count", heads, "--engine", "enumeration", "--job", job, *by)
    while first.poll() is None:
        done, cells, workers = state(job)
        if done >= 20 and cells >= share * CHAMBERS[n]:
            stop(kind, first, workers, folder)
            break
        time.sleep(0.05)
    # A worker alone is started anew, and the count goes on.
    code = first.wait()
    (folder / "filler").unlink(missing_ok=True)
    done, cells, _ = state(job)
    refused = kind != "read-only" or untouched(folder, job)
    last = command("resume", job, "--json", *by)
    out, _ = last.communicate()
    value = int(json.loads(out)["value"]) if last.returncode == 0 else -1
    with closing(sqlite3.connect(job)) as file:
        rows, names, total, left = file.execute(
            "SELECT COUNT(*), COUNT(DISTINCT path), SUM(cells), SUM(open) FROM ranges"
        ).fetchone()
    files = {p.name for p in folder.iterdir()} - {"heads.npz", "count.job", "count.job-lock"}
    codes = {"worker": 0, "SIGTERM": 130, "full disk": 2}
    good = (value, total, left, names, files) == (CHAMBERS[n], CHAMBERS[n], 0, rows, set())
    good = good and refused and code == codes.get(kind, -9)
    words = f"exit {code}, {done} ranges and {cells:,} cells kept; resumed to {value:,}"
    return good, f"{words}, {rows} ranges{'' if good else f' WRONG {files}'}"


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


def untouched(folder: Path, job: Path) -> bool:
    """Whether a folder that is read-only is refused, and leaves the ledger as it was."""
    before = job.read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    code = command("resume", job).wait()
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
    return code == 2 and job.read_bytes() == before


def stop(kind: str, driver: subprocess.Popen[str], workers: set[int], folder: Path) -> None:
    """Do to it what the kind says."""
    if kind in ("worker", "both"):
        with suppress(ProcessLookupError):
            os.kill(min(workers), signal.SIGKILL)
    if kind in ("driver", "both", "read-only"):
        driver.kill()
    if kind == "SIGTERM":
        driver.terminate()
    if kind == "full disk":
        with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))


if __name__ == "__main__":
    main()
