from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

from tropattn import (
    Box,
    BudgetExceeded,
    Interrupted,
    InvalidInput,
    TropicalPolynomial,
    count_regions,
    enumerate_regions,
    initialisers,
)

PLANE = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])


def test_one_key_is_one_cell_on_every_domain():
    one = TropicalPolynomial([[3.0, 1.0]])
    assert count_regions(one).value == 1
    assert count_regions([one, one], Box.cube(0, 1, 2)).value == 1
    assert enumerate_regions([one, PLANE]).patterns.tolist() == [[0, 0], [0, 1], [0, 2]]


def test_the_whole_space_and_a_window_differ():
    assert count_regions(PLANE, Box([1, 1], [3, 2])).value == 2
    assert count_regions(PLANE, Box([1, 1], [3, 2])).domain == "box in R^2"


def test_result_says_what_it_is():
    counted = count_regions(PLANE, certify=True)
    assert (counted.kind, counted.of, counted.domain) == ("exact", "cells", "R^2")
    assert counted.certified
    assert counted.ambiguous == 0
    assert counted.as_dict()["value"] == "3"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"target": []}, "at least one head needed"),
        ({"target": 3}, "got int"),
        ({"target": [PLANE, TropicalPolynomial([[1.0]])]}, r"R\^2 for head 0 and R\^1 for head 1"),
        ({"target": [PLANE, 3]}, "got int at 1"),
        ({"target": PLANE, "engine": "magic"}, "got 'magic'"),
        ({"target": PLANE, "of": "faces"}, "got 'faces'"),
        ({"target": PLANE, "threads": 0}, "threads: an integer >= 1"),
        ({"target": [PLANE, PLANE], "engine": "direct_sum"}, "independent spans needed"),
        (
            {"target": PLANE, "domain": Box.cube(0, 1, 2), "engine": "direct_sum"},
            "needs the whole space",
        ),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        count_regions(**arguments)


def test_budget_carries_the_lower_bound():
    heads = initialisers.gaussian_heads(10, 6, 6, seed=0)
    with pytest.raises(BudgetExceeded, match="at most 500 cells") as caught:
        count_regions(heads, max_cells=500, engine="enumeration")
    assert 500 < caught.value.lower <= count_regions(heads).value


def test_interrupt_carries_the_lower_bound():
    heads = initialisers.gaussian_heads(30, 10, 8, seed=0)
    for patience in (1.5, 6, 30):
        timer = threading.Timer(patience, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(Interrupted, match="at least") as caught:
            count_regions(heads, engine="enumeration")
        timer.join()
        assert isinstance(caught.value, KeyboardInterrupt)
        if caught.value.lower > 100:
            return
    pytest.fail("fewer than 100 cells were found within 30 seconds")


def test_maps_need_a_layer():
    with pytest.raises(InvalidInput, match="enumerate the layer"):
        enumerate_regions(PLANE).maps()


def test_results_are_frozen():
    found = enumerate_regions(PLANE)
    with pytest.raises(ValueError, match="read-only"):
        found.patterns[0, 0] = 9
    assert found.witnesses.shape == (3, 2)
    assert np.array_equal(PLANE.argmax(found.witnesses), found.patterns[:, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"domain": "box"}, "domain: a Box, Polytope, Line or Slice, .* got str"),
        ({"domain": ([0, 0], [1, 1])}, "domain: .* got tuple"),
        ({"threads": "a"}, "threads: an integer >= 1 needed, got 'a'"),
        ({"threads": 1.5}, "threads: an integer >= 1 needed, got 1.5"),
        ({"max_cells": -1}, "max_cells: an integer >= 1 needed, got -1"),
        ({"max_cells": 1.5}, "max_cells: an integer >= 1 needed, got 1.5"),
    ],
)
def test_wrong_types_are_bad_input(arguments, message):
    for count in (count_regions, enumerate_regions):
        for target in (PLANE, [PLANE, PLANE]):
            with pytest.raises(InvalidInput, match=message):
                count(target, **arguments)


def test_certificate_needs_a_folder(tmp_path):
    path = tmp_path / "no" / "c.gz"
    with pytest.raises(InvalidInput, match=r"certificate: a file .* there is no folder .*no; make"):
        count_regions(PLANE, certificate=path)
    with pytest.raises(InvalidInput, match="certificate: the path of a file needed, got '3'"):
        count_regions(PLANE, certificate=3)


def test_neighbours_of_bare_heads_lead_to_planes():
    with pytest.raises(InvalidInput, match=r"enumerate Network\(\[layer\]\), .* plane_cells"):
        enumerate_regions([PLANE, PLANE]).adjacency()
