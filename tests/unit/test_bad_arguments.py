"""Public calls with one argument replaced by something bad end in one of the package's errors."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import tropattn as ta
from tropattn import dynamics

F = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
BOX, LINE = ta.Box([-1, -1], [1, 1]), ta.Line([0, 0], [1, 1], -1, 1)
FLOW = dynamics.Flow((dynamics.Head(),), "flat")
T = ta.temperature

BAD = [
    *(None, True, "a", b"a", "", -1, 0, 1.5, 10**30, -(10**30), 1j, {}, {"a": 1}, object(), len),
    *(float("nan"), float("inf"), Fraction(1, 3), np.array(3), [], [[]], [[[]]], [1], ["a"]),
    *([None], [[1], [1, 2]], [[float("nan")] * 2] * 2, [[10**400, 1]], [[1, "a"]], [[True, False]]),
    *(np.zeros((0, 2)), np.zeros((2, 2, 2)), np.array([[1, 2]], dtype=object)),
]

CALLS = {
    "polynomial": (ta.TropicalPolynomial, {"slopes": [[0, 0], [1, 0]], "intercepts": [0, 1]}),
    "factored": (
        ta.TropicalPolynomial.factored,
        {"keys": [[0, 0], [1, 0]], "biases": [0, 1], "scale": 1, "maps": ()},
    ),
    "scores": (F.scores, {"x": [1, 2]}),
    "argmax": (F.argmax, {"x": [1, 2]}),
    "gap": (F.gap, {"x": [1, 2]}),
    "pullback": (F.pullback, {"matrix": [[1, 0]], "offset": [0, 0]}),
    "sum": (lambda g: F + g, {"g": F}),
    "product": (lambda g: F * g, {"g": F}),
    "same": (F.same_function, {"other": F}),
    "diagram": (ta.PowerDiagram, {"sites": [[0, 0], [1, 0]], "weights": [0, 0]}),
    "of polynomial": (ta.PowerDiagram.from_polynomial, {"f": F}),
    "cell": (F.power_diagram().cell, {"j": 0}),
    "contains": (F.power_diagram().cell(0).contains, {"x": [[0, 0]]}),
    "polyhedron": (ta.Polyhedron, {"A": [[1, 0]], "b": [1], "behind": (None,)}),
    "intersection": (F.power_diagram().cell(0).intersection, {"other": BOX}),
    "volume": (F.power_diagram().cell(0).volume, {"window": BOX}),
    "one cell": (ta.enumerate_regions(F).cell, {"i": 0}),
    "faces": (ta.face_complex, {"target": F, "domain": BOX, "max_faces": 99, "threads": 1}),
    "face numbers": (ta.count_faces, {"target": F, "domain": BOX, "max_faces": 99, "threads": 1}),
    "decisions": (
        ta.decision_boundary,
        {"target": ta.Network([ta.Affine(np.eye(2))]), "domain": BOX, "max_cells": 9},
    ),
    "measure": (
        ta.cell_measure,
        {"target": F, "domain": BOX, "law": "normal", "mean": 0, "std": 1, "max_cells": 9},
    ),
    "parse": (ta.TropicalPolynomial.parse, {"text": "max(0, x)", "variables": ["x"]}),
    "lattice points": (F.newton_polytope().lattice_points, {"most": 99}),
    "hull of points": (ta.NewtonPolytope.from_points, {"points": [[0, 0], [1, 1]]}),
    "mixed volume": (ta.mixed_volume, {"polytopes": [F, F]}),
    "support": (F.newton_polytope().support, {"directions": [1, 1]}),
    "box": (ta.Box, {"low": [0, 0], "high": [1, 1]}),
    "cube": (ta.Box.cube, {"low": 0, "high": 1, "dim": 2}),
    "polytope": (ta.Polytope, {"A": [[1, 0], [0, 1]], "b": [1, 1]}),
    "line": (ta.Line, {"origin": [0, 0], "direction": [1, 1], "t_min": -1, "t_max": 1}),
    "slice": (ta.Slice, {"origin": [0, 0], "basis": [[1, 0], [0, 1]], "window": ([0, 0], [1, 1])}),
    "through": (ta.Slice.through, {"points": [[0, 0, 0], [1, 0, 0], [0, 1, 0]], "margin": 0.2}),
    "ambient": (LINE.to_ambient, {"parameters": [[0.5]]}),
    "count": (
        ta.count_regions,
        {"target": [F, F], "domain": BOX, "of": "cells", "engine": "auto", "max_cells": 9}
        | {"threads": 1, "stop": None},
    ),
    "list": (ta.enumerate_regions, {"target": [F], "domain": BOX, "max_cells": 9, "threads": 1}),
    "bound": (ta.upper_bound, {"target": [F, F], "domain": BOX}),
    "plane": (ta.plane_cells, {"target": [F], "domain": BOX, "max_cells": 9, "threads": 1}),
    "on a line": (ta.line_cells, {"target": [F], "domain": LINE, "threads": 1}),
    "sample": (
        ta.sample_regions,
        {"target": [F], "n_samples": 9, "seed": 0, "domain": BOX, "distribution": None}
        | {"method": "points", "threads": 1},
    ),
    "merge": (ta.merge_samples, {"samples": [ta.draw_sample(F, 64, seed=0, domain=BOX)]}),
    "live": (ta.live_terms, {"f": F, "domain": BOX, "threads": 1, "stop": None}),
    "minkowski": (ta.minkowski_sum, {"polytopes": [F.slopes], "max_vertices": 9, "threads": 1}),
    "subdivision": (ta.subdivision, {"f": F}),
    "mixed": (ta.mixed_subdivision, {"polynomials": [F, F]}),
    "layer bound": (ta.bounds.layer, {"n_terms": [3, 3], "dim": 2}),
    "depth bound": (
        ta.bounds.depth,
        {"target": ta.Network([ta.Affine(np.eye(2))]), "domain": None},
    ),
    "strips": (ta.constructions.parabola_strips, {"n_terms": [3, 3], "dim": 2}),
    "digits": (ta.constructions.digit_transformer, {"n_keys": 2, "dim": 1, "depth": 1}),
    "normal heads": (
        ta.initialisers.gaussian_heads,
        {"n_keys": 3, "n_heads": 2, "dim": 2, "seed": 0},
    ),
    "fixed": (ta.FixedLayer, {"heads": [F], "values": [np.eye(3, 2)], "b_O": None}),
    "affine": (ta.Affine, {"matrix": np.eye(2), "offset": None}),
    "relu": (ta.FeedForward, {"W_1": np.eye(2), "b_1": None, "W_2": np.eye(2), "b_2": None}),
    "network": (ta.Network, {"layers": [ta.Affine(np.eye(2))]}),
    "stage": (ta.RoutingStage, {"units": (F,), "update": None}),
    "load": (ta.load, {"path": "none"}),
    "weights": (T.weights, {"f": F, "x": [1.0, 2.0], "temperature": 1.0}),
    "value": (T.value, {"f": F, "x": [1.0, 2.0], "temperature": 1.0}),
    "measured": (T.measured, {"f": F, "x": [[1.0, 2.0]], "temperature": 1.0}),
    "agreement": (
        T.agreement,
        {"units": [F], "x": [[1.0, 2.0]], "temperatures": [1.0], "tolerance": 0.01},
    ),
    "head": (dynamics.Head, {"kind": "softmax", "Q": None, "V": None, "beta": 1.0}),
    "flow": (dynamics.Flow, {"heads": (dynamics.Head(),), "space": "flat"}),
    "hardmax": (dynamics.Hardmax, {"alpha": 1, "matrix": None, "ties": "average"}),
    "normal law": (dynamics.Gaussian, {"mean": [0.0], "covariance": [[1.0]]}),
    "phase": (
        dynamics.classify,
        {"flow": FLOW, "start": dynamics.Gaussian([0.0, 0.0], np.eye(2))},
    ),
    "limit": (
        dynamics.hardmax_limit,
        {"model": dynamics.Hardmax(1), "tokens": [[2.0], [1.0]]},
    ),
    "labels": (dynamics.cluster_labels, {"squared_distances": np.zeros((2, 2)), "radius": 1.0}),
}


def options(function, given):
    """Flags and words have no reading as arrays."""
    words = {"of", "engine", "method", "kind", "space", "ties"}
    for name in given:
        for bad in BAD:
            if not (name in words and isinstance(bad, np.ndarray)):
                yield name, bad


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_bad_arguments_end_in_one_clear_error(name):
    function, given = CALLS[name]
    function(**given) if name != "load" else None
    for argument, bad in options(function, given):
        try:
            function(**given | {argument: bad})
        except ta.TropAttnError as error:
            assert len(str(error)) > 20, error
        except Exception as error:
            raise AssertionError(f"{argument}={bad!r:.60}: {error!r}") from error


def test_windows_that_draw_need_ends():
    flat = ta.TropicalPolynomial([[0, 0, 0], [1, 0, 0]])
    with pytest.raises(ta.InvalidInput, match="window: a bounded window needed"):
        ta.plane_cells(flat, ta.Slice([0, 0, 0], [[1, 0, 0], [0, 1, 0]]))
    for bad in (-1, 0, "a", 1.5, True):
        with pytest.raises(ta.InvalidInput, match="max_cells: an integer >= 1 needed"):
            ta.plane_cells(F, BOX, max_cells=bad)


def test_more_threads_or_draws_than_any_machine_has_are_refused_at_once():
    with pytest.raises(ta.InvalidInput, match="threads: an integer up to 1024"):
        ta.count_regions(F, threads=10**9)
    for method in ("points", "lines"):
        with pytest.raises(ta.InvalidInput, match=r"n_samples: an integer up to 2\^62"):
            ta.sample_regions(F, 10**30, seed=0, domain=BOX, method=method)


def test_envelopes_write_no_certificate_and_say_so(tmp_path):
    head = ta.TropicalPolynomial([[0], [1]])
    with pytest.raises(ta.InvalidInput, match=r"certificate: .* engine line"):
        ta.count_regions(head, engine="line", certificate=tmp_path / "line.gz")
    assert not list(tmp_path.iterdir())


def test_points_beyond_doubles_have_winners():
    assert F.argmax([10**400, 1]) == 1 and F.argmax([-(10**400), Fraction(1, 10**400)]) == 2


@pytest.mark.parametrize("size", [1e10, 1e15, 1e16, 1e21, 1e160, 1e308])
@pytest.mark.parametrize("method", ["points", "lines"])
def test_far_and_huge_windows_are_sampled(size, method):
    """Of three cells the diagonal window meets two, however far it lies; the sampler finds them."""
    pair = [F, F.pullback(-np.eye(2), [1, 1])]
    width = max(1.0, 8 * np.spacing(size))
    end = size if size > 1e307 else 1.5 * size
    for low, high in ((-size, size), (size / 2, end), (end - width, end)):
        box = ta.Box([low, low], [high, high])
        for target in (F, pair):
            found = ta.sample_regions(target, 2000, seed=0, domain=box, method=method)
            assert 1 < found.value <= ta.count_regions(target, box).value


def test_a_far_window_shows_what_the_same_one_near_zero_shows():
    """Moving heads and window together, exactly, moves no pattern."""
    rng = np.random.default_rng(3)
    near = [
        ta.TropicalPolynomial(rng.integers(-9, 10, (6, 3)), rng.integers(-9, 10, 6))
        for _ in range(3)
    ]
    shift = [Fraction(2**60), Fraction(-(2**61)), Fraction(3 * 2**60)]
    far = [f.pullback(np.eye(3), [-v for v in shift]) for f in near]
    box = ta.Box([-2] * 3, [2] * 3)
    away = ta.Box([v - 2 for v in shift], [v + 2 for v in shift])
    assert ta.count_regions(far, away).value == ta.count_regions(near, box).value
    counts = [
        ta.sample_regions(heads, 20_000, seed=0, domain=where).value
        for heads, where in ((near, box), (far, away))
    ]
    assert abs(counts[0] - counts[1]) <= 0.05 * counts[0]
