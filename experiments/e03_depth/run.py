"""Cells across depth: attained, for Gaussian layers, and for a trained model."""

from __future__ import annotations

import sys
from itertools import pairwise
from math import factorial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from _common import Experiment

import tropattn as ta
from tropattn.cli.options import shipped
from tropattn.plotting.growth import Curve, curves
from tropattn.study.inputs import Source
from tropattn.study.scaling import ScalingSpec, geometric_means, run


def digits(here: Experiment) -> list[Curve]:
    """The digit transformer: the exact test of its degree in N."""
    table, failed, largest = [], [], 0
    by_depth: dict[int, dict[int, int]] = {}
    for case in here.spec["digits"]:
        dim, depth, keys = case["dim"], case["depth"], case["keys"]
        with here.step(f"digits, d = {dim}, L = {depth}"):
            spec = ScalingSpec(
                families=("digits",),
                keys=keys,
                dim=dim,
                depth=depth,
                samples=0,
                threads=here.threads,
            )
            record = run(spec)
        rows, law = record.tables["rows"], record.tables["exponents"][0]["polynomial"]
        counts = [row["exact"].value for row in rows]
        power = dim * depth
        good = law is not None and (law.degree, law.difference) == (power, factorial(power))
        good = good and counts == [n**power for n in keys]
        if not good or counts != [row["bound"].value for row in rows]:
            failed.append([dim, depth])
        largest = max(largest, *counts)
        by_depth.setdefault(dim, {})[depth] = counts[keys.index(4)]
        table.append(
            [dim, depth, f"{keys[0]}..{keys[-1]}", counts[-1]]
            + ([None, None] if law is None else [law.degree, law.difference])
        )
    here.table(
        "Digit transformer: cells on R^d",
        ["d", "L", "N", "cells at the largest N", "degree in N", "difference"],
        table,
    )
    here.claim("digits_tested", len(table))
    here.claim("digits_failed", failed)
    here.claim("digits_largest", largest)
    out = []
    for ink, (dim, line) in enumerate(by_depth.items()):
        depths = sorted(line)
        out.append(Curve(f"d = {dim}", depths, [line[at] for at in depths], ink=ink))
    return out


def sawtooth(here: Experiment) -> None:
    """Linear regions of the sawtooth transformer."""
    found, failed = [], []
    for n_keys, teeth, dim, depth in here.spec["sawtooth"]:
        net = ta.constructions.sawtooth_transformer(n_keys, teeth, dim, depth)
        with here.step(f"sawtooth {n_keys, teeth, dim, depth}"):
            count = ta.count_regions(
                net, ta.Box.cube(0, 1, dim), of="linear_regions", threads=here.threads
            ).value
        found.append(count)
        if count != (2 * teeth * n_keys) ** (dim * depth):
            failed.append([n_keys, teeth, dim, depth])
    names = [str(tuple(case)) for case in here.spec["sawtooth"]]
    here.claim("sawtooth", dict(zip(names, found, strict=True)))
    here.claim("sawtooth_failed", failed)


def gaussian(here: Experiment) -> list[Curve]:
    """Gaussian heads and values, layer upon layer."""
    table, exponents, factors, out = [], [], [], []
    for ink, case in enumerate(here.spec["gaussian"]):
        dim, slopes, tops = case["dim"], [], []
        for depth in case["depths"]:
            with here.step(f"Gaussian, d = H = {dim}, L = {depth}"):
                spec = ScalingSpec(
                    families=("gaussian",),
                    keys=case["keys"],
                    heads=(dim,),
                    dim=dim,
                    depth=depth,
                    seeds=here.spec["seeds"],
                    samples=0,
                    threads=here.threads,
                )
                record = run(spec)
            row, line = record.tables["exponents"][0], geometric_means(record.tables["rows"])
            last = record.tables["rows"][-1]
            slopes.append(round(row["exact"].exponent, 2))
            tops.append(line[last["keys"]])
            table.append(
                [
                    dim,
                    depth,
                    f"{row['exact'].low}..{row['exact'].high}",
                    slopes[-1],
                    f"{row['spread'].low:.2f}..{row['spread'].high:.2f}",
                    dim * depth,
                    round(tops[-1], 1),
                    last["bound"].value,
                ]
            )
        exponents.append(slopes)
        factors.append([round(b / a, 1) for a, b in pairwise(tops)])
        out.append(Curve(f"d = H = {dim}, N = {case['keys'][-1]}", case["depths"], tops, ink=ink))
    here.table(
        "Gaussian layers: exponent of N, and cells at the most keys",
        ["d = H", "L", "N", "exponent", "over seeds", "worst case", "mean cells", "bound"],
        table,
    )
    here.claim("gaussian", exponents)
    here.claim("gaussian_layer", factors)
    return out


def trained(here: Experiment) -> dict[str, list[Curve]]:
    """The shipped model on planes through the state of its last token."""
    table, slopes, shares, panels = [], [], [], {}
    source = Source(path=shipped(), text=here.spec["text"])
    for depth in (1, 2):
        with here.step(f"shipped model, L = {depth}"):
            spec = ScalingSpec(
                families=("weights",),
                source=source,
                keys=here.spec["trained_keys"],
                dim=2,
                depth=depth,
                seeds=here.spec["planes"],
                samples=0,
                threads=here.threads,
            )
            record = run(spec)
        row, line = record.tables["exponents"][0], geometric_means(record.tables["rows"])
        bound = {r["keys"]: r["bound"].value for r in record.tables["rows"]}
        slopes.append(round(row["exact"].exponent, 2))
        most = max(line)
        shares.append(float(f"{line[most] / bound[most]:.2g}"))
        counts: dict[int, list[int]] = {}
        for r in record.tables["rows"]:
            counts.setdefault(r["keys"], []).append(r["exact"].value)
        table += [
            [depth, n, round(line[n], 1), min(counts[n]), max(counts[n]), bound[n]] for n in line
        ]
        keys = list(line)
        panels[f"shipped model, {depth} layer{'s' * (depth > 1)}"] = [
            Curve("bound", keys, list(bound.values()), "bound"),
            Curve(
                "exact, mean and range",
                keys,
                list(line.values()),
                low=[min(counts[n]) for n in keys],
                high=[max(counts[n]) for n in keys],
            ),
        ]
    here.table(
        "Shipped model: cells on planes through the last token's state",
        ["L", "N", "geometric mean", "least", "most", "bound"],
        table,
    )
    here.claim("trained", slopes)
    here.claim("trained_share", shares)
    return panels


def main() -> None:
    """Count, test, print, draw."""
    here = Experiment(__file__, __doc__)
    left = digits(here)
    sawtooth(here)
    right = gaussian(here)
    panels = {"digit transformer, N = 4: $4^{dL}$": left, "Gaussian layers, mean": right}
    here.figure(curves(panels, "layers L", "routing cells", log="y"), "e03-depth")
    here.figure(curves(trained(here), "tokens N", "routing cells"), "e03-trained")
    here.finish()


if __name__ == "__main__":
    main()
