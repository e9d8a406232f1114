"""Phase diagrams of self-attention: when have two of n tokens met, over beta and time.

The Gram engine makes every dimension cost the same. Both the published step-0.1 layers and the
flow itself are run; they differ (arXiv 2312.10794, Figures 5 and 6).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from tropattn import plotting
from tropattn.dynamics import closed_forms, sync_diagram
from tropattn.outputs import writing
from tropattn.plotting import dynamics

PROFILES = {
    "smoke": {"n": 8, "dims": [2, 8], "betas": 4, "runs": 8, "layers": 100, "flow_runs": 2},
    "full": {
        "n": 32,
        "dims": [2, 8, 32, 128, 512, 1024],
        "betas": 30,
        "runs": 128,
        "layers": 300,
        "flow_runs": 4,
    },
}


def main() -> None:
    """Run a profile and write diagrams and one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    parser.add_argument("--output", type=Path, default=Path("results"))
    spec = parser.parse_args()
    given = PROFILES[spec.profile]
    spec.output.mkdir(parents=True, exist_ok=True)
    betas = np.linspace(0, 9, given["betas"]).tolist()
    table = []
    for dim in given["dims"]:
        size = {"layers": given["layers"], "seed": 0}
        layers = sync_diagram(given["n"], dim, betas, runs=given["runs"], **size)
        some = betas[:: max(1, len(betas) // 4)]
        flow = sync_diagram(
            given["n"], dim, some, runs=given["flow_runs"], scheme="adaptive", **size
        )
        plotting.save(dynamics.draw_sync(layers), spec.output / f"layers-d{dim}.png")
        row = {"dim": dim, "layers": half_met(layers), "flow": half_met(flow)}
        table.append(row)
        print(json.dumps(row))
    orthogonal = [round(closed_forms.equiangular_time(given["n"], b), 3) for b in (0.0, 3.0, 6.0)]
    print(json.dumps({"orthogonal start, beta 0, 3, 6": orthogonal}))
    document = {"profile": spec.profile, **given, "half_met_at": table, "orthogonal": orthogonal}
    with writing(spec.output / "phase_diagram.json") as stream:
        stream.write(json.dumps(document, indent=1).encode())


def half_met(diagram) -> dict[str, float | None]:
    """Time at which half of the runs have met, by beta."""
    out = {}
    for beta, line in zip(diagram.betas, diagram.probability, strict=True):
        met = np.flatnonzero(line >= 0.5)
        out[f"{beta:.2f}"] = round(float(diagram.times[met[0]]), 2) if len(met) else None
    return out


if __name__ == "__main__":
    main()
