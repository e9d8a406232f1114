"""Cells of networks a second: digits (known counts), ReLU networks on a square, a trained model.

    python tests/benchmarks/bench_depth.py [--large]

One line an instance: cells, the bound, seconds, cells a second, cells of all but the last layer a
second (the engine's own unit of work), and decisions left to rationals. Compile time is excluded.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

import tropattn
from tropattn import Box, Slice, load
from tropattn.attention.constructions import digit_transformer, sawtooth_transformer
from tropattn.attention.networks.feedforward import FeedForward
from tropattn.attention.networks.network import Network, fixed_network
from tropattn.regions.bounds.networks import depth
from tropattn.regions.networks.layerwise import Layerwise
from tropattn.regions.question import Question

DIGITS = [(10, 1, 4), (10, 2, 2), (2, 1, 11)]
LARGE = [(10, 3, 2), (31, 2, 2), (2, 1, 14)]


def relu_network(width: int, layers: int) -> Network:
    """He-initialised layers on R^2, a function of the sizes."""
    rng = np.random.default_rng([width, layers])
    sizes = [2] + [width] * layers
    blocks = []
    for a, b in pairwise(sizes):
        weight = rng.normal(size=(a, b)) * np.sqrt(2 / a)
        blocks.append(FeedForward(weight, rng.normal(size=b) / 10, np.eye(b), residual=False))
    return Network(blocks)


def run(name: str, net: Network, domain=None) -> None:
    started = time.perf_counter()
    found = Layerwise().count(Question.about(net, domain))
    seconds = time.perf_counter() - started
    print(
        f"{name:28s} {found.value:9,d} cells <= {depth(net, domain).value:12,d}  {seconds:7.2f} s "
        f"{found.value / seconds:9,.0f}/s  above {found.stats['cells_above'] / seconds:7,.0f}/s  "
        f"rational {found.stats['exact_decisions']}",
        flush=True,
    )


def main() -> None:
    """Run all instances."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="counts up to a million as well")
    large = parser.parse_args().large
    Layerwise().count(Question.about(digit_transformer(3, 2, 2), None))
    for sizes in DIGITS + (LARGE if large else []):
        run(f"digits {sizes}", digit_transformer(*sizes))
    for sizes in [(2, 1, 1, 4), (2, 1, 2, 2)]:
        run(f"sawtooth {sizes}", sawtooth_transformer(*sizes), Box.cube(0, 1, sizes[2]))
    for width, layers in [(8, 2), (16, 2), (16, 3)] + ([(32, 3)] if large else []):
        run(f"ReLU {width} x {layers}", relu_network(width, layers), Box.cube(-1, 1, 2))
    model = load(str(Path(tropattn.__file__).parent / "data" / "maximum.safetensors"))
    states = [model.embedded(model.tokens("31415926" + c))[-1] for c in "159"]
    plane = Slice.through(states, margin=2.0)
    run("maximum, plane slice", fixed_network(model, "31415926="), plane)


if __name__ == "__main__":
    main()
