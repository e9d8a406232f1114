"""Published claims that fail, each with its smallest counterexample, exactly."""

from __future__ import annotations

import sys
from fractions import Fraction
from itertools import product
from math import comb, prod
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from _common import Experiment

import tropattn as ta
from tropattn.plotting.growth import Curve, curves
from tropattn.study.fits import polynomial
from tropattn.tropical.temperature import measured, needed_gap, slip, weights


def strips(n_terms: list[int], dim: int, central: bool) -> int:
    """Cells of parabola strips, every one enumerated."""
    heads = ta.constructions.parabola_strips(n_terms, dim, central)
    return ta.count_regions(heads, engine="enumeration").value


def minkowski(here: Experiment) -> None:
    """Item 1: vertices of a sum are fewer than sums of vertices."""
    for name, counts in (("item1", [6, 6, 6]), ("item1_smallest", [3, 2, 2])):
        found = [strips(counts, 3, True), ta.bounds.layer(counts, 3, True).value]
        here.claim(name, found if name == "item1" else [prod(counts), *found])
    here.claim("item1_below", [8, strips([2, 2, 2], 3, True)])


def many_heads(here: Experiment) -> None:
    """Item 2: the order (N H)^(d/2) for H > d."""
    keys = here.spec["keys"]
    affine = [strips([n] * 3, 2, False) for n in keys]
    central = [strips([n] * 4, 3, True) for n in keys]
    zonotopes = [strips([2] * h, 3, True) for h in here.spec["heads"]]
    for name, x, y in (
        ("item2_affine", keys, affine),
        ("item2_central", keys, central),
        ("item2_zonotope", here.spec["heads"], zonotopes),
    ):
        law = polynomial(x, y)
        here.claim(name, None if law is None else [law.degree, law.difference])
    here.claim("item2_affine_smallest", [6, affine[0]])
    here.claim("item2_central_values", [central[0], central[keys.index(24)], 8, 96])
    panels = {
        "d = 2, H = 3, affine": [
            Curve("exact", keys, affine),
            Curve("$NH$", keys, [3 * n for n in keys], "claim", 2),
        ],
        "d = 3, H = 4, common centre": [
            Curve("exact", keys, central),
            Curve("$NH$", keys, [4 * n for n in keys], "claim", 2),
        ],
    }
    here.figure(curves(panels, "keys N", "routing cells"), "e08-many-heads")


def grid_attention(n_keys: int, kind: str) -> int:
    """Cells of d = 2 heads that read one coordinate each, as Theorem V.7 has them."""
    heads, states = [], []
    for axis in np.eye(2):
        steps = np.arange(n_keys, dtype=np.float64)
        if kind == "query bias":
            # Query (x_i, 1), keys (j, -j (j + 1) / 2).
            w_q, b_q = np.column_stack([axis, np.zeros(2)]), np.array([0.0, 1.0])
            head = ta.AttentionHead(w_q, np.eye(2), np.eye(2), np.eye(2), b_Q=b_q, scale=1)
            states.append(np.column_stack([steps, -steps * (steps + 1) / 2]))
            bias = None
        else:
            column = axis[:, None]
            head = ta.AttentionHead(column, column, column, column.T, scale=1)
            states.append(np.column_stack([steps, steps]))
            bias = -steps * (steps + 1) / 2 if kind == "position bias" else None
        heads.append(head.scores(states[-1], bias=bias))
    return ta.count_regions(heads, engine="enumeration").value


def centres(here: Experiment) -> None:
    """Item 3: a common centre costs one dimension."""
    stream = np.random.Generator(np.random.Philox(0))
    on_line = [
        ta.count_regions(ta.TropicalPolynomial(stream.standard_normal((n, 1)))).value
        for n in here.spec["line"]
    ]
    here.claim("item3_line", on_line)
    here.claim("item3_plane", [strips([n, n], 2, True) for n in here.spec["line"]])
    degrees = []
    for dim in here.spec["degrees"]:
        keys = list(range(2, dim + 3))
        law = polynomial(keys, [strips([n] * dim, dim, True) for n in keys])
        degrees.append(None if law is None else law.degree)
    here.claim("item3_degree", degrees)
    here.claim("item3_narrow", [grid_attention(n, "none") for n in (2, 3, 4, 5)])
    here.claim(
        "item3_bias",
        {
            kind: [grid_attention(n, kind) for n in (2, 3, 4, 5)]
            for kind in ("position bias", "query bias")
        },
    )


def hessian(here: Experiment) -> None:
    """Item 4: for two scores the norm is 2 p (1 - p) / tau, p = 1 / (1 + e)."""

    def norm(e: Fraction) -> Fraction:
        return 2 * (1 / (1 + e)) * (e / (1 + e))

    e = Fraction(1, 4)
    here.claim("item4", [norm(e), e, 2 * e])
    small = Fraction(1, 1000)
    here.claim("item4_ratio", round(float(norm(small) / small), 3))
    head = ta.TropicalPolynomial([[0.0], [1.0]])
    found = measured(head, [np.log(4.0)], 1.0).score_hessian[0]
    here.claim("item4_measured", round(float(found), 12))


def temperature(here: Experiment) -> None:
    """Item 5: softmax of <q, k> / sqrt(d_k) is tau = sqrt(d_k) on raw products."""
    seen = []
    for name, width, n_keys in (("item5", 2, 2), ("item5_wide", 64, 128)):
        claimed, true = width**-0.5, width**0.5
        gap = needed_gap(0.01, claimed, n_keys - 1)
        here.claim(name, [round(gap, 4), round(slip(gap, true, n_keys - 1), 4)])
        # One key ahead by the gap in raw products, the others level with each other.
        keys = np.zeros((n_keys, width))
        keys[0, 0] = gap
        query = np.eye(width)[0]
        head = ta.AttentionHead(np.eye(width), np.eye(width), np.eye(width), np.eye(width))
        p = weights(head.scores(keys), query, 1.0)
        seen.append(round(float(1 - p[0]), 4))
    here.claim("item5_softmax", seen)


def serra(widths: list[int]) -> int:
    """Regions of a ReLU net at most: Serra, Tjandraatmadja, Ramalingam (2018), Theorem 1."""
    total = 0
    for off in product(*(range(width + 1) for width in widths[1:])):
        room = widths[0]
        term = 1
        for width, j in zip(widths[1:], off, strict=True):
            if j > min(room, width):
                term = 0
                break
            term *= comb(width, j)
            room = min(room, width - j)
        total += term
    return total


def relu(here: Experiment) -> None:
    """Item 6: arithmetic, and layers that do not multiply."""
    first = ta.FeedForward([[-9, -24, 14], [-21, 20, 25]], [16, -5, -63], np.eye(3), residual=False)
    second = ta.FeedForward(
        [[11, -11, 21], [8, -10, 6], [3, -17, 23]], [-30, 62, -59], np.eye(3), residual=False
    )
    cells = ta.count_regions(ta.Network([first, second])).value
    here.claim("item6", [serra([2, 3, 3]), cells])
    one = ta.FeedForward([[1]], [0], [[1]], residual=False)
    two = ta.FeedForward([[1]], [-1], [[1]], residual=False)
    small = ta.count_regions(ta.Network([one, two])).value
    here.claim("item6_smallest", [4, serra([1, 1, 1]), small])
    here.claim("item6_power", 512**8)


def main() -> None:
    """All six items."""
    here = Experiment(__file__, __doc__)
    for part in (minkowski, many_heads, centres, hessian, temperature, relu):
        with here.step(part.__name__):
            part(here)
    here.finish()


if __name__ == "__main__":
    main()
