"""Speed of the dynamics wing, each figure beside what it is measured against, in one run.

    python tests/benchmarks/bench_dynamics.py [--repeat 9]

Ratios use the fastest of several alternating repeats, so that load on the machine hits both sides.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from tropattn.dynamics import Hardmax, sa, sync_diagram, velocity
from tropattn.dynamics.hardmax import decide, plane_hull, step
from tropattn.dynamics.trajectory import simulate


def fastest(repeat: int, *works: Callable[[], object]) -> list[float]:
    """Fastest time of each work in seconds, the works alternating."""
    best = [float("inf")] * len(works)
    for _ in range(repeat):
        for k, work in enumerate(works):
            started = time.perf_counter()
            work()
            best[k] = min(best[k], time.perf_counter() - started)
    return best


def attention_step(repeat: int) -> None:
    """SA velocity against two matrix products and one exponential of n^2 numbers."""
    x = np.random.default_rng(0).standard_normal((2000, 64))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    flow = sa(4.0)
    ours, plain = fastest(repeat, lambda: velocity(flow, x), lambda: np.exp(x @ x.T) @ x)
    print(
        f"SA step, n = 2000, d = 64: {1e3 * ours:.1f} ms, numpy's products and exponential "
        f"{1e3 * plain:.1f} ms, ratio {ours / plain:.2f} (target 2)"
    )


def phase_diagram() -> None:
    """The whole diagram at n = 32, d = 1024, on all threads."""
    sync_diagram(4, 4, [1.0], layers=2, runs=2)
    started = time.perf_counter()
    sync_diagram(32, 1024, np.linspace(0, 9, 30).tolist(), layers=300, runs=128)
    seconds = time.perf_counter() - started
    print(
        f"phase diagram, 30 beta x 300 layers x 128 runs, n = 32, d = 1024: {seconds:.1f} s "
        "(target 60)"
    )


def hardmax_layer(repeat: int) -> None:
    """A layer of a million tokens in the plane against one pass of arctan2 over them."""
    z = np.random.default_rng(1).standard_normal((10**6, 2))
    model = Hardmax(1.0)
    decide(model, z[:1000])
    ours, plain = fastest(
        repeat, lambda: step(model, z, decide(model, z)), lambda: np.arctan2(z[:, 1], z[:, 0])
    )
    threaded, _ = fastest(repeat, lambda: step(model, z, decide(model, z, None)), lambda: None)
    print(
        f"hardmax layer, n = 10^6, d = 2, {len(plane_hull(z))} hull points: {ours:.3f} s on one "
        f"thread, {threaded:.3f} s on all (target 0.5); ratio to one arctan2 pass "
        f"{ours / plain:.1f}"
    )


def exact_layers() -> None:
    """Sixty layers in rationals against doubles."""
    z = np.random.default_rng(2).standard_normal((40, 2))
    model = Hardmax(1.0)
    exact, floats = fastest(
        3, lambda: simulate(model, z, 60, engine="exact"), lambda: simulate(model, z, 60)
    )
    print(
        f"60 hardmax layers, n = 40, d = 2: {1e3 * exact:.0f} ms in rationals, {1e3 * floats:.0f} "
        f"ms in doubles, ratio {exact / floats:.1f}"
    )


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=9)
    repeat = parser.parse_args().repeat
    attention_step(repeat)
    hardmax_layer(repeat)
    exact_layers()
    phase_diagram()


if __name__ == "__main__":
    main()
