"""How many draws are taken where the first ones show how long all would take."""

from __future__ import annotations

import pytest

from tropattn import TropicalPolynomial, sample_regions
from tropattn.regions.sampling.sampler import sample_judged

LAW = {"seed": 0, "domain": None, "distribution": "gaussian", "method": "points", "threads": 1}
HEAD = TropicalPolynomial([[0], [1], [2]], [0, 0, -1])


def test_fewer_draws_are_the_first_ones():
    paces = []

    def judge(seconds):
        paces.append(seconds)
        return 300_000

    found = sample_judged(HEAD, 10**6, judge, progress=False, **LAW)
    same = sample_regions(HEAD, 300_000, **{k: v for k, v in LAW.items() if k != "domain"})
    assert len(paces) == 1 and paces[0] > 0
    assert found.stats["samples"] == 300_000
    assert {**found.stats, "seconds": 0} == {**same.stats, "seconds": 0}


@pytest.mark.parametrize("n", [1, 1000])
def test_few_draws_are_not_judged(n):
    def judge(_):
        raise AssertionError("judged")

    assert sample_judged(HEAD, n, judge, progress=False, **LAW).stats["samples"] == n


def test_more_draws_than_asked_for_are_never_taken():
    found = sample_judged(HEAD, 10**6, lambda _: 10**9, progress=False, **LAW)
    assert found.stats["samples"] == 10**6
    # What showed the pace is kept, even where less would do.
    found = sample_judged(HEAD, 10**6, lambda _: 1, progress=False, **LAW)
    assert 1 < found.stats["samples"] < 10**6
