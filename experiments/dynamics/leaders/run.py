"""Leaders of hardmax transformers: exact limits, cells of each layer, basins, and broken floats.

Draws one run with its basins, then statistics over random starts: leaders against vertices of the
initial hull, the first settled layer, and the first layer at which plain doubles name other
leaders than rationals do (arXiv 2407.01602, 2508.09628).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from tropattn import plotting
from tropattn.dynamics import (
    Hardmax,
    cells_per_layer,
    coalescence_horizon,
    hardmax_limit,
    leader_margins,
    simulate,
)
from tropattn.dynamics.basin_pieces import basin_pieces
from tropattn.dynamics.hardmax import decide, step
from tropattn.outputs import writing
from tropattn.plotting import dynamics
from tropattn.polyhedra.domain import Box

PROFILES = {"smoke": {"runs": 10, "n": 20}, "full": {"runs": 400, "n": 40}}


def main() -> None:
    """Run a profile, print one line of means, write a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    parser.add_argument("--output", type=Path, default=Path("results"))
    spec = parser.parse_args()
    given = PROFILES[spec.profile]
    spec.output.mkdir(parents=True, exist_ok=True)
    model = Hardmax(1.0)
    picture(model, tokens(given["n"], 0), spec.output / "leaders.png")
    found = [statistics(model, tokens(given["n"], run)) for run in range(given["runs"])]
    means = {name: round(float(np.mean([f[name] for f in found])), 3) for name in found[0]}
    means["horizon"] = round(coalescence_horizon(model), 2)
    means["earliest_float_failure"] = min(f["float_failure"] for f in found)
    print(json.dumps({"profile": spec.profile, **given, **means}))
    with writing(spec.output / "leaders.json") as stream:
        stream.write(json.dumps({**given, "means": means}, indent=1).encode())


def tokens(n: int, run: int) -> np.ndarray:
    """Standard normal tokens of the plane."""
    return np.random.default_rng([2, run]).standard_normal((n, 2))


def picture(model: Hardmax, start: np.ndarray, path: Path) -> None:
    """Token paths over the basins of the leaders."""
    run = simulate(model, start, 20, engine="exact")
    pieces = basin_pieces(model, start, Box([-3, -3], [3, 3]))
    plotting.save(dynamics.draw_hardmax(run, pieces), path)


def statistics(model: Hardmax, start: np.ndarray) -> dict[str, float]:
    """Numbers of one run."""
    limit = hardmax_limit(model, start)
    cells = [int(c) for c in cells_per_layer(model, start)]
    return {
        "leaders": len(limit.leaders),
        "vertices_at_start": cells[0],
        "vertices_when_settled": cells[-1],
        "settled_at": limit.layer,
        "float_failure": float_failure(model, start, limit.leaders, limit.layer),
    }


def float_failure(model: Hardmax, start: np.ndarray, leaders: tuple, settled: int) -> int:
    """First layer, from the settled one on, at which plain doubles name other leaders."""
    state = start
    for layer in range(120):
        named = tuple(np.flatnonzero(leader_margins(model, state) > 0).tolist())
        if layer >= settled and named != leaders:
            return layer
        state = step(model, state, decide(model, state))
    return 120


if __name__ == "__main__":
    main()
