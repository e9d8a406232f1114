"""Engines against each other, bounds above, sampler below, any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from tropattn import (
    Box,
    TropicalPolynomial,
    bounds,
    constructions,
    count_regions,
    enumerate_regions,
    initialisers,
    sample_regions,
    upper_bound,
)
from tropattn.tropical.terms import AffineMap


@pytest.mark.parametrize(
    "dim, keys, expected",
    [
        (2, [3, 3, 3], 19),
        (2, [3, 3, 3, 3], 33),
        (2, [2, 3, 4, 5], 46),
        (3, [3, 3, 3, 3], 65),
        (2, [12] * 6, None),
        (3, [7] * 5, None),
        (4, [4] * 6, None),
        (5, [3] * 7, None),
    ],
)
def test_strips_attain_the_affine_bound(dim, keys, expected):
    heads = constructions.parabola_strips(keys, dim)
    counted = count_regions(heads, engine="enumeration").value
    assert counted == bounds.layer(keys, dim).value < np.prod([float(k) for k in keys])
    assert expected in (None, counted)


@pytest.mark.parametrize(
    "dim, keys, expected",
    [
        (3, [4] * 4, 70),
        (3, [8] * 4, 326),
        (4, [3] * 4, 66),
        (3, [2, 3, 4], 19),
        (5, [3, 2, 3, 2, 2], 69),
        (3, [6, 6, 6], 92),
    ],
)
def test_homogenised_strips_attain_the_central_bound(dim, keys, expected):
    heads = constructions.parabola_strips(keys, dim, central=True)
    assert count_regions(heads, engine="enumeration").value == expected
    assert bounds.layer(keys, dim, central=True).value == expected


@pytest.mark.parametrize("central", [False, True])
@pytest.mark.parametrize("dim, n_heads, n_keys", [(2, 5, 6), (3, 4, 8), (4, 3, 9), (5, 4, 5)])
def test_bound_above_sampler_below(dim, n_heads, n_keys, central):
    heads = initialisers.gaussian_heads(n_keys, n_heads, dim, seed=dim, central=central)
    exact = count_regions(heads)
    sampled = sample_regions(heads, 50_000, seed=1, distribution="gaussian")
    assert 1 < sampled.value <= exact.value <= upper_bound(heads).value
    # Dead keys and H > d keep the count below the number of candidate patterns.
    assert exact.value < n_keys**n_heads


def independent_layer(seed):
    """Three heads whose slope spans are independent, hidden by a random change of variable."""
    rng = np.random.default_rng(seed)
    change = rng.integers(-3, 4, (6, 6)).astype(float) + 7 * np.eye(6)
    heads = []
    for h in range(3):
        keys = rng.integers(-2, 3, (6, 2)).astype(float)
        select = np.zeros((6, 2))
        select[2 * h, 0] = select[2 * h + 1, 1] = 1.0
        maps = (
            AffineMap(change, rng.integers(-2, 3, 6).astype(float)),
            AffineMap(select, np.zeros(2)),
        )
        biases = rng.integers(-2, 3, 6) * float(seed % 2)
        heads.append(TropicalPolynomial.factored(keys, biases, maps=maps))
    return heads


@pytest.mark.parametrize("seed", range(12))
def test_direct_sum_equals_enumeration(seed):
    heads = independent_layer(seed)
    product = count_regions(heads, engine="direct_sum")
    assert product.engine == "direct_sum"
    assert product.value == count_regions(heads, engine="enumeration").value
    assert product.value == np.prod(product.stats["factors"])
    assert count_regions(heads).engine == "direct_sum"


def test_dependent_spans_are_not_multiplied():
    """Behind a projection that makes the spans dependent the product overcounts."""
    heads = independent_layer(0)
    matrix = np.eye(6)[:5]
    projected = [h.pullback(matrix) for h in heads]
    counted = count_regions(projected)
    factors = [count_regions(h).value for h in projected]
    assert counted.engine == "enumeration" or len(counted.stats["groups"]) < 3
    assert counted.value < np.prod(factors)


def test_same_result_for_any_number_of_threads():
    heads = initialisers.gaussian_heads(8, 5, 5, seed=3)
    runs = [enumerate_regions(heads, threads=t) for t in (1, 2, 3)]
    for other in runs[1:]:
        assert np.array_equal(runs[0].patterns, other.patterns)
        assert np.array_equal(runs[0].witnesses, other.witnesses)
        assert runs[0].stats == other.stats
    counts = [count_regions(heads, threads=t) for t in (1, 2, 3)]
    for other in counts:
        stats = {**other.stats, "seconds": counts[0].stats["seconds"]}
        assert (other.value, stats) == (counts[0].value, counts[0].stats)


def test_mathformer_by_two_engines():
    """Keys of the 27 characters, no RoPE: the joint count is the product of the heads' counts."""
    mathformer = pytest.importorskip("mathformer")
    from pathlib import Path

    from tropattn import load

    folder = Path(mathformer.__file__).parent
    for name in ("add", "sub", "mul", "div"):
        model = load(folder / f"{name}former")
        layer = model.layers[0].without_rope()
        fixed = layer.fix(model.states(list(range(27)), mask=[1] * 27)[0])
        product = count_regions(fixed, engine="direct_sum")
        joint = count_regions(fixed, engine="enumeration")
        assert product.value == joint.value
        assert len(product.stats["factors"]) == 2
        assert joint.value < 27 * 27


def test_mathformer_is_certified_by_two_engines(tmp_path):
    """All four models: both certificates are accepted; live characters are fewer than all."""
    mathformer = pytest.importorskip("mathformer")
    from pathlib import Path

    from tropattn import live_terms, load
    from tropattn.verify import verify

    folder = Path(mathformer.__file__).parent
    for name in ("add", "sub", "mul", "div"):
        model = load(folder / f"{name}former")
        fixed = model.layers[0].without_rope().fix(model.states(list(range(27)), mask=[1] * 27)[0])
        exact = [head.exact_terms() for head in fixed.heads]
        proved = set()
        for engine in ("direct_sum", "enumeration"):
            counted = count_regions(fixed, engine=engine, certificate=tmp_path / "c.gz")
            proved.add(verify(tmp_path / "c.gz", exact).count)
            assert counted.certified
        live = [len(live_terms(head).live) for head in fixed.heads]
        assert proved == {live[0] * live[1]}
        assert max(live) < 27


@pytest.mark.long
def test_the_shipped_first_layer_is_certified(tmp_path):
    from pathlib import Path

    import tropattn
    from tropattn import load
    from tropattn.verify import verify

    model = load(Path(tropattn.__file__).parent / "data" / "maximum.safetensors")
    fixed = model.fix("314159265=", layer=0)
    counted = count_regions(fixed, certificate=tmp_path / "c.gz")
    assert counted.domain == "R^8"
    proved = verify(tmp_path / "c.gz", [head.exact_terms() for head in fixed.heads])
    assert proved.count == counted.value < 10**4
    assert counted.stats["exact_decisions"] == 0


@pytest.mark.parametrize("power", [-1074, -1000, -600, 0, 512, 600, 900, 1022])
def test_scores_of_any_size(power):
    """Powers of two, of all heads or of one, change no cell."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        dim, n_heads = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        raw = [
            (rng.integers(-1, 2, (n, dim)).astype(float), rng.integers(-1, 2, n).astype(float))
            for n in rng.integers(2, 6, n_heads)
        ]
        domain = None if seed % 2 else Box([-1] * dim, [2] * dim)
        plain = [TropicalPolynomial(a, c) for a, c in raw]
        truth = count_regions(plain, domain, engine="enumeration").value
        scale = np.ldexp(1.0, power)
        for some in (range(n_heads), [0]):
            heads = list(plain)
            for h in some:
                heads[h] = TropicalPolynomial(scale * raw[h][0], scale * raw[h][1])
            for engine in ("auto", "enumeration"):
                assert count_regions(heads, domain, engine=engine).value == truth, (seed, engine)


def test_sums_beyond_doubles():
    heads = TropicalPolynomial([[1e308, 0], [-1e308, 1e308], [0, 0]], [1e308, -1e308, 0])
    small = TropicalPolynomial([[1, 0], [-1, 1], [0, 0]], [1, -1, 0])
    assert count_regions(heads).value == count_regions(small).value == 3
