"""ReLU networks on a square beside regioncam, and a ReLU layer in R^3 beside affinitree.

Run from the repository root::

    python tests/benchmarks/bench_relu.py [--large] [--explain] [--repeat N] [CASE ...]

One process a measurement: our count (best wall time of ``--repeat``, compiled before the clock
starts, all processors) and the peer's, which uses one processor; wall and processor seconds, and
peak memory of the process. Cases are ``WIDTHxDEPTH`` on the square [-1, 1]^2 with weights of He's
variance, ``WIDTHxDEPTH#SEED`` for other weights, and ``3-N``, a layer of N units on R^3.
``--large`` adds those that cost a peer more than about ten seconds or 4 GiB. Peers that are not
installed are skipped with a line.

regioncam computes in float32. Where its count differs from ours (or with ``--explain``) every cell
that it lost and every face that it invented is listed with the reason: at the centre of the cell
some unit is closer to 0 than float32 arithmetic is to the truth near by.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog

from tropattn import Box, FeedForward, Network, count_regions, enumerate_regions

SQUARE = Box.cube(-1, 1, 2)
PLANE = ["32x1", "32x2", "32x3", "32x4", "64x1", "64x2", "64x3", "64x4", "128x1", "128x2", "128x3",
         "256x1", "256x2"]  # fmt: skip
LARGE = ["128x4", "256x3", "256x4"]
SPACE, SPACE_LARGE = ["3-16", "3-32"], ["3-64"]
PEERS = {"x": "regioncam", "-": "affinitree"}


def weights(case: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of every layer, float32 numbers, a function of the case."""
    case, _, seed = case.partition("#")
    if "-" in case:
        inputs, width = map(int, case.split("-"))
        depth = 1
    else:
        width, depth = map(int, case.split("x"))
        inputs = 2
    rng = np.random.default_rng([width, depth, int(seed or 0)])
    layers, before = [], inputs
    for _ in range(depth):
        matrix = rng.normal(size=(before, width)) * np.sqrt(2 / before)
        shift = rng.uniform(-1, 1, width) / np.sqrt(before)
        layers.append((matrix.astype(np.float32), shift.astype(np.float32)))
        before = width
    return layers


def network(layers: list[tuple[np.ndarray, np.ndarray]]) -> Network:
    """The same network as ours."""
    blocks = []
    for matrix, shift in layers:
        out = np.eye(matrix.shape[1])
        blocks.append(FeedForward(matrix.astype(float), shift.astype(float), out, residual=False))
    return Network(blocks)


# ---- one measurement in its own process ---------------------------------------------------------


def ours(case: str) -> Callable[[], Any]:
    domain = SQUARE if "x" in case else None
    count_regions(network(weights("4x2" if "x" in case else "3-5")), domain)
    net = network(weights(case))
    return lambda: count_regions(net, domain).value


def regioncam(case: str) -> Callable[[], Any]:
    import regioncam

    def picture() -> Any:
        out = regioncam.Regioncam(size=1.0)
        for matrix, shift in layers:
            out.linear(matrix, shift)
            out.relu()
        return out

    layers = weights(case)
    return picture


def affinitree(case: str) -> Callable[[], Any]:
    warnings.simplefilter("ignore")
    from affinitree import AffFunc, Architecture, builder

    ((matrix, shift),) = weights(case)
    tree = Architecture(3)
    tree.linear(AffFunc.from_mats(matrix.T.astype(float), shift.astype(float)))
    tree.relu()
    return lambda: builder.from_layers(tree).num_terminals()


def worker(program: str, case: str, repeat: int, keep: str | None) -> None:
    """Print count, wall seconds, processor seconds and peak MiB as JSON; keep the faces found."""
    run = {"ours": ours, "regioncam": regioncam, "affinitree": affinitree}[program](case)
    best: tuple[float, float] | None = None
    for _ in range(repeat):
        wall, processor = time.perf_counter(), time.process_time()
        found = run()
        took = time.perf_counter() - wall, time.process_time() - processor
        best = took if best is None else min(best, took)
    count = found.num_faces if program == "regioncam" else int(found)
    print(json.dumps([count, *best, _peak()]))
    if keep is not None:
        corners = np.asarray(found.vertex_inputs, dtype=float)
        faces = [corners[face.vertex_ids] for face in found.faces]
        middles, widths = [f.mean(axis=0) for f in faces], [np.ptp(f, axis=0).max() for f in faces]
        np.savez(keep, corners=corners, middles=middles, widths=widths)


def _peak() -> float:
    """Peak resident MiB of this process (0 where /proc does not tell)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return int(next(v for v in lines if v.startswith("VmHWM")).split()[1]) / 1024


def _available() -> float:
    """Memory that a new process may take, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("inf")
    return 1024.0 * int(next(v for v in lines if v.startswith("MemAvailable")).split()[1])


def measure(program: str, case: str, repeat: int, keep: str | None = None) -> list[float]:
    command = [sys.executable, __file__, "--worker", program, "--repeat", str(repeat), case]
    command += ["--keep", keep] if keep is not None else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{program} {case}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(case: str, repeat: int, always: bool) -> None:
    """Measure one case, and explain the difference where there is one."""
    peer = next(name for sign, name in PEERS.items() if sign in case)
    value, wall, processor, memory = measure("ours", case, repeat)
    line = (
        f"{case:7s} {value:8,d}  {wall:7.3f} s wall {processor:7.3f} s processor "
        f"{1e6 * processor / value:6.2f} us each {memory:6.0f} MiB"
    )
    if importlib.util.find_spec(peer) is None:
        print(line + f" | {peer}: not installed, skipped", flush=True)
        return
    units = sum(len(shift) for _, shift in weights(case))
    need = 40 * value * units if peer == "regioncam" else 0
    if need > _available():
        print(line + f" | {peer}: skipped, needs about {need / 2**30:.0f} GiB", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        keep = str(Path(folder) / "faces.npz") if peer == "regioncam" else None
        times = 1 if value > 20_000 else repeat
        theirs, wall_p, processor_p, memory_p = measure(peer, case, times, keep)
        print(
            line + f" | {peer} {theirs:8,d} {wall_p:7.3f} s {processor_p:7.3f} s "
            f"{1e6 * processor_p / theirs:6.1f} us {memory_p:6.0f} MiB"
            f" | {wall_p / wall:6.1f} x wall {processor_p / processor:6.1f} x processor",
            flush=True,
        )
        if keep is not None and (always or theirs != value):
            explain(case, int(value), keep)


# ---- differences from float32, one by one -------------------------------------------------------


def scores(layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray, kind: type) -> np.ndarray:
    """The values of all units at some points, in doubles or in singles."""
    state, parts = x.astype(kind), []
    for matrix, shift in layers:
        state = state @ matrix.astype(kind) + shift.astype(kind)
        parts.append(state.astype(float))
        state = np.maximum(state, 0)
    return np.hstack(parts)


def patterns(layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> list[bytes]:
    """The signs of all units at some points, packed."""
    out: list[bytes] = []
    for start in range(0, len(x), 10_000):
        packed = np.packbits(scores(layers, x[start : start + 10_000], np.float64) > 0, axis=1)
        out += [row.tobytes() for row in packed]
    return out


def nearness(layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
    """For each corner, how near the third wall passes: units' values and sides of the square."""
    out = []
    for start in range(0, len(x), 10_000):
        part = x[start : start + 10_000]
        near = np.abs(np.hstack([scores(layers, part, np.float64), 1 - np.abs(part)]))
        out.append(np.partition(near, 2, axis=1)[:, 2])
    return np.concatenate(out)


def centre(
    layers: list[tuple[np.ndarray, np.ndarray]], pattern: np.ndarray, near: np.ndarray
) -> Any:
    """Centre and radius of the largest ball of a cell within 1e-5 of a point."""
    matrix, offset, rows, done = np.eye(2), near, [], 0
    for weight, shift in layers:
        matrix, offset = matrix @ weight.astype(float), offset @ weight.astype(float) + shift
        on = pattern[done : done + len(shift)].astype(bool)
        sign = np.where(on, -1.0, 1.0)
        rows.append(np.column_stack([sign * matrix[0], sign * matrix[1], -sign * offset * 1e5]))
        matrix, offset, done = matrix * on, offset * on, done + len(shift)
    sides = np.vstack([np.eye(2), -np.eye(2)])
    a = np.vstack([*rows, np.column_stack([sides, (1 - sides @ near) * 1e5])])
    size = np.linalg.norm(a[:, :2], axis=1)
    a = a[size > 0] / size[size > 0, None]
    constraints = np.column_stack([a[:, :2], np.ones(len(a))])
    found = linprog([0, 0, -1], constraints, a[:, 2], bounds=[(-1, 1), (-1, 1), (0, 1)])
    return near + found.x[:2] * 1e-5, found.x[2] * 1e-5


def reason(layers: list[tuple[np.ndarray, np.ndarray]], point: np.ndarray) -> tuple[bool, str]:
    """Whether float32 errs by more than what decides the cell at a point, in words.

    The error is the largest of all units at 49 points within 1e-6, as at one point it is chance.
    """
    margin = np.abs(scores(layers, point[None, :], np.float64)).min()
    steps = np.arange(-3, 4) * 2.0**-22
    around = point + np.array([(a, b) for a in steps for b in steps])
    exact = scores(layers, around, np.float64)
    error = np.abs(scores(layers, around.astype(np.float32), np.float32) - exact).max()
    return margin < error, f"smallest |unit| {margin:.1e}, error of float32 {error:.1e}"


def explain(case: str, value: int, keep: str) -> None:
    """List the cells that regioncam lost and the faces that it invented, each with its reason."""
    layers = weights(case)
    with np.load(keep) as kept:
        corners, middles, widths = kept["corners"], kept["middles"], kept["widths"].tolist()
    signs = patterns(layers, middles)
    known, missing = set(signs), value - len(set(signs))
    print(f"    {len(signs)} faces in {len(known)} cells; lost {missing}, invented "
          f"{len(signs) - len(known)}")  # fmt: skip
    good, seen = True, {}
    for middle, sign, width in zip(middles, signs, widths, strict=True):
        seen.setdefault(sign, []).append((width, middle))
    for faces in seen.values():
        for width, middle in sorted(faces, key=lambda item: item[0])[: len(faces) - 1]:
            holds, why = reason(layers, middle)
            good = good and holds
            print(f"    invented near {middle}, width {width:.1e}: {why}")
    for k in np.argsort(nearness(layers, corners))[:200]:
        if missing == 0:
            break
        low, high = np.maximum(corners[k] - 1e-5, -1), np.minimum(corners[k] + 1e-5, 1)
        for pattern in enumerate_regions(network(layers), Box(low, high)).patterns:
            sign = np.packbits(pattern.astype(bool)).tobytes()
            if sign not in known:
                known.add(sign)
                missing -= 1
                point, radius = centre(layers, pattern, corners[k])
                holds, why = reason(layers, point)
                good = good and holds
                print(f"    lost at {point}, radius {radius:.1e}: {why}")
    verdict = "all explained" if good and missing == 0 else "NOT all explained"
    print(f"    {verdict}", flush=True)


def main() -> None:
    """Run the cases, then explain the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="cases that cost a peer much as well")
    parser.add_argument("--explain", action="store_true", help="explain equal counts as well")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--keep", help=argparse.SUPPRESS)
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.cases[0], args.repeat, args.keep)
        return
    cases = args.cases or [*PLANE, *SPACE, *(LARGE + SPACE_LARGE if args.large else [])]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{os.cpu_count()} processors, load {load:.1f} at the start")
    for case in cases:
        compare(case, args.repeat, args.explain)


if __name__ == "__main__":
    main()
