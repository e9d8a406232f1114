from __future__ import annotations

import itertools

import pytest
from reference import brute

from tropattn import InvalidInput, RegionCount, bounds


def test_against_the_formulas_written_out():
    for dim in range(5):
        for counts in itertools.combinations_with_replacement([1, 2, 3, 5], 4):
            assert bounds.layer(counts, dim).value == brute.bound_affine(list(counts), dim)
            expected = brute.bound_central(list(counts), dim)
            assert bounds.layer(counts, dim, central=True).value == expected


def test_python_integers_of_any_size():
    bound = bounds.layer([10**6] * 200, 200)
    assert bound.value == (10**6) ** 200
    assert bound.log10 == pytest.approx(1200)
    assert bound.as_dict()["value"] == "1" + "0" * 1200


def test_kind_and_dict():
    bound = bounds.layer([3, 3, 3], 2)
    assert isinstance(bound, RegionCount)
    assert (bound.kind, bound.of, int(bound)) == ("upper", "cells", 19)
    fields = {"value", "kind", "of", "domain", "engine", "certified", "ambiguous", "log10", "stats"}
    assert set(bound.as_dict()) == fields


def test_bad_input():
    with pytest.raises(InvalidInput, match="at least 1 key a head needed, got 0"):
        bounds.layer([3, 0], 2)
    with pytest.raises(InvalidInput, match="dimension >= 0"):
        bounds.layer([3], -1)
