"""Every engine that applies against gfan and polymake, where they are installed."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from tropattn import Degenerate, InvalidInput, TropicalPolynomial, count_regions
from tropattn.tropical import interchange


def central_layer(seed, degenerate):
    """Small integer keys: gfan aborts on large ones."""
    rng = np.random.default_rng([5, seed])
    dim = 2 + seed % 3
    reach = 2 if degenerate else 10
    return [
        rng.integers(-reach, reach + 1, (rng.integers(2, 7), dim))
        for _ in range(rng.integers(2, 4))
    ]


def engines_that_apply(heads):
    """Counts of all engines that accept the layer."""
    counts = {"auto": count_regions(heads).value}
    for engine in ("plane", "subsets", "enumeration", "direct_sum"):
        try:
            counts[engine] = count_regions(heads, engine=engine).value
        except (InvalidInput, Degenerate):
            continue
    return counts


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("gfan"), reason="gfan is not installed")
@pytest.mark.parametrize("degenerate", [False, True])
def test_gfan_counts_the_same_cells(degenerate):
    seen = set()
    for seed in range(15):
        heads = [TropicalPolynomial(keys) for keys in central_layer(seed, degenerate)]
        answer = subprocess.run(
            ["gfan", "_minkowskisum", "--nocones"],
            input=interchange.to_gfan(heads),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        counts = engines_that_apply(heads)
        seen |= set(counts)
        assert set(counts.values()) == {interchange.gfan_f_vector(answer)[-1]}, seed
    assert {"plane", "enumeration"} <= seen


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("polymake"), reason="polymake is not installed")
@pytest.mark.parametrize("seed", range(6))
def test_polymake_counts_the_same_cells(seed, tmp_path):
    layer = central_layer(seed, seed % 2 == 1)
    for i, keys in enumerate(layer):
        (tmp_path / f"p{i}.poly").write_text(interchange.to_polymake(keys), encoding="utf-8")
    load = ",".join(f'load("{tmp_path}/p{i}.poly")' for i in range(len(layer)))
    script = tmp_path / "run.pl"
    script.write_text(
        f'use application "polytope"; my @p = ({load});'
        " print minkowski_sum_fukuda(\\@p)->N_VERTICES;",
        encoding="utf-8",
    )
    answer = subprocess.run(
        ["polymake", "--script", str(script)], capture_output=True, text=True, timeout=120
    )
    heads = [TropicalPolynomial(keys) for keys in layer]
    assert set(engines_that_apply(heads).values()) == {int(answer.stdout)}
