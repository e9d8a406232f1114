"""The figures of arXiv 2604.14727, counted exactly and with seeds."""

from __future__ import annotations

import sys
from math import prod
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from _common import Experiment

import tropattn as ta
from tropattn import plotting
from tropattn.attention.initialisers import gaussian_heads
from tropattn.plotting.growth import Curve, curves
from tropattn.plotting.temperature import partition_figure
from tropattn.study.families import gaussian_network
from tropattn.study.fits import power_law, spread
from tropattn.study.scaling import ScalingSpec, run
from tropattn.tropical.temperature import agreement

SQUARE = ta.Box.cube(-4, 4, 2)
TAUS = (1.0, 0.5, 0.1, 0.001)
PUBLISHED_6A = (0.13, 0.46)
PUBLISHED_6B = (1.00, 1.74, 2.03)


def figure_1(here: Experiment) -> None:
    """Depth, N = 4 keys in the plane."""
    nets = [ta.constructions.digit_transformer(4, 2, depth) for depth in (1, 2, 3)]
    found = [ta.count_regions(net, threads=here.threads).value for net in nets]
    here.claim("fig1", found)
    means = []
    for depth in (1, 2, 3):
        counts = [
            ta.count_regions(gaussian_network(4, 2, 2, depth, seed=seed)).value
            for seed in range(here.spec["seeds"])
        ]
        means.append(round(sum(counts) / len(counts), 1))
    here.claim("fig1_gaussian", means)
    here.table(
        "Figure 1: N = 4, d = 2",
        ["L", "N^(d L)", "digit transformer", "Gaussian layers, mean"],
        [[at + 1, 4 ** (2 * at + 2), found[at], means[at]] for at in range(3)],
    )
    here.figure(plotting.partition(nets[-1], ta.Box([-16, -16], [80, 80])), "e04-figure1")


def figure_3(here: Experiment) -> None:
    """One head: its power diagram and the subdivision that is dual to it."""
    (head,) = gaussian_heads(8, 1, 2, seed=0)
    split = ta.subdivision(head)
    cells = ta.count_regions(head).value
    walls = head.power_diagram().adjacency().number_of_edges()
    live = len(head.active_terms())
    edges = len(split.hypersurface().walls)
    here.claim("fig3", [cells, walls, len(split.points), live, edges, len(split.cells)])
    here.figure(plotting.dual(head), "e04-figure3")


def figure_4(here: Experiment) -> None:
    """Three polytopes with six vertices in space."""
    strips = ta.constructions.parabola_strips([6, 6, 6], 3, central=True)
    by_sum = len(ta.minkowski_sum([f.newton_polytope() for f in strips]))
    enumerated = ta.count_regions(strips, engine="enumeration").value
    bound = ta.bounds.layer([6, 6, 6], 3, central=True).value
    counts = []
    for seed in range(here.spec["seeds"]):
        # Draws until all six are vertices, so that the polytopes are the figure's.
        heads = [six_vertices(seed, h) for h in range(3)]
        counts.append(ta.count_regions(heads, engine="enumeration").value)
    here.claim("fig4_bound", bound)
    here.claim("fig4_strips", [enumerated, by_sum])
    here.claim("fig4_gaussian", [min(counts), round(sum(counts) / len(counts), 1), max(counts)])
    here.claim("fig4_candidates", prod([6, 6, 6]))


def six_vertices(seed: int, head: int) -> ta.TropicalPolynomial:
    """The first Gaussian draw of six points in space that are all vertices of their hull."""
    stream = np.random.Generator(np.random.Philox(key=[seed, head]))
    while True:
        f = ta.TropicalPolynomial(stream.standard_normal((6, 3)))
        if len(f.active_terms()) == 6:
            return f


def figure_5(here: Experiment) -> None:
    """Softmax hardens into the diagram of five Gaussian keys."""
    heads = [gaussian_heads(5, 1, 2, seed=s, central=True)[0] for s in range(here.spec["seeds"])]
    cells = [ta.count_regions(head, SQUARE).value for head in heads]
    here.claim("fig5_cells", [min(cells), round(sum(cells) / len(cells), 2), max(cells)])
    at = (np.arange(200) + 0.5) / 25 - 4
    grid = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    shares = np.mean([agreement([head], grid, TAUS, 0.01).measured for head in heads], axis=0)
    here.claim("fig5_shares", [round(float(share), 3) for share in shares])
    here.figure(partition_figure(heads[0], SQUARE, TAUS), "e04-figure5")


def network(n_keys: int, depth: int, seed: int, width: int) -> ta.Network:
    """Layers of one Gaussian head without intercepts and a Gaussian ReLU block, with residuals."""
    layers: list[ta.FixedLayer | ta.FeedForward] = []
    for at in range(depth):
        own = seed + (at << 32)
        heads = gaussian_heads(n_keys, 1, 2, seed=own, central=True)
        stream = np.random.Generator(np.random.Philox(key=[own, 1]))
        layers.append(ta.FixedLayer(heads, [stream.standard_normal((n_keys, 2))]))
        first, bends = stream.standard_normal((2, width)), stream.standard_normal(width)
        second = stream.standard_normal((width, 2)) / np.sqrt(width)
        layers.append(ta.FeedForward(first, bends, second))
    return ta.Network(layers)


def counted_6a(here: Experiment, depth: int) -> tuple[list[list[int]], list[list[int]]]:
    """Exact and sampled counts on the square, one line a seed, one number an N."""
    exact, seen = [], []
    for seed in range(here.spec["seeds"]):
        with here.step(f"figure 6a, L = {depth}, seed {seed}"):
            nets = [network(n, depth, seed, here.spec["width"]) for n in here.spec["fig6a_keys"]]
            exact.append([ta.count_regions(net, SQUARE).value for net in nets])
            how = {"seed": seed, "domain": SQUARE}
            seen.append([ta.sample_regions(net, here.spec["samples"], **how).value for net in nets])
    return exact, seen


def figure_6a(here: Experiment) -> None:
    """Attention and ReLU in the plane: samples against exact counts."""
    keys, samples = here.spec["fig6a_keys"], here.spec["samples"]
    below = above = 0
    slopes, sampled, ranges, inside, panels = [], [], [], [], {}
    for depth, published in zip((1, 2), PUBLISHED_6A, strict=True):
        exact, seen = counted_6a(here, depth)
        pairs = [
            (a, b)
            for low, line in zip(seen, exact, strict=True)
            for a, b in zip(low, line, strict=True)
        ]
        below += sum(a < b for a, b in pairs)
        above += sum(a > b for a, b in pairs)
        over = spread([slope(keys, line) for line in exact])
        sampling = spread([slope(keys, line) for line in seen])
        slopes.append(round(over.mean, 2))
        sampled.append(round(sampling.mean, 2))
        ranges.append([round(over.low, 2), round(over.high, 2)])
        inside.append(sampling.low <= published <= sampling.high)
        here.table(
            f"Figure 6a, L = {depth}: cells on [-4, 4]^2, mean over the seeds",
            ["N", "exact", f"found by {samples:,} samples"],
            [
                [
                    n,
                    float(np.mean([line[i] for line in exact])),
                    float(np.mean([line[i] for line in seen])),
                ]
                for i, n in enumerate(keys)
            ],
        )
        panels[f"L = {depth}"] = [
            Curve(
                "exact",
                keys,
                np.mean(exact, axis=0).tolist(),
                low=np.min(exact, axis=0).tolist(),
                high=np.max(exact, axis=0).tolist(),
            ),
            Curve("sampled", keys, np.mean(seen, axis=0).tolist(), "sampled", 1),
        ]
    here.claim("fig6a_below", [below, 2 * len(keys) * here.spec["seeds"]])
    here.claim("fig6a_above", above)
    here.claim("fig6a_slopes", slopes)
    here.claim("fig6a_sampled", sampled)
    here.claim("fig6a_range", ranges)
    here.claim("fig6a_inside", inside)
    here.figure(curves(panels, "keys N", "cells on the square"), "e04-figure6a")


def slope(keys: list[int], counts: list[int]) -> float:
    """Exponent of N."""
    fit = power_law(keys, counts)
    return 0.0 if fit is None else fit.exponent


def figure_6b(here: Experiment) -> None:
    """Gaussian keys without intercepts in four dimensions."""
    spec = ScalingSpec(
        families=("gaussian",),
        keys=range(2, 8),
        heads=(1, 2, 3),
        dim=4,
        central=True,
        seeds=here.spec["fig6b_seeds"],
        samples=0,
        engine="enumeration",
        threads=here.threads,
    )
    record = run(spec)
    found = [row["spread"] for row in record.tables["exponents"]]
    here.claim("fig6b_slopes", [round(over.mean, 2) for over in found])
    here.claim("fig6b_deviation", [round(over.deviation, 2) for over in found])
    here.claim(
        "fig6b_inside",
        [over.low <= p <= over.high for over, p in zip(found, PUBLISHED_6B, strict=True)],
    )
    rows = record.tables["rows"]
    table, panels = [], []
    for ink, heads in enumerate((1, 2, 3)):
        line = {}
        for n in range(2, 8):
            counts = [
                row["exact"].value for row in rows if (row["heads"], row["keys"]) == (heads, n)
            ]
            line[n] = counts
        bound = [ta.bounds.layer([n] * heads, 4, central=True).value for n in line]
        table += [
            [heads, n, float(np.mean(counts)), min(counts), max(counts), top]
            for (n, counts), top in zip(line.items(), bound, strict=True)
        ]
        panels += [
            Curve("" if ink else "sharp bound", list(line), bound, "bound", ink),
            Curve(
                f"H = {heads}, exact",
                list(line),
                [float(np.mean(c)) for c in line.values()],
                "exact",
                ink,
                [min(c) for c in line.values()],
                [max(c) for c in line.values()],
            ),
        ]
    here.table(
        "Figure 6b: Gaussian keys in R^4, 20 seeds",
        ["H", "N", "mean", "least", "most", "bound"],
        table,
    )
    here.figure(curves({"Figure 6b": panels}, "keys N", "routing cells"), "e04-figure6b")


def main() -> None:
    """Redo the figures one after the other."""
    here = Experiment(__file__, __doc__)
    for part in (figure_1, figure_3, figure_4, figure_5, figure_6a, figure_6b):
        part(here)
    here.finish()


if __name__ == "__main__":
    main()
