"""Every public value: a short repr, copies that are equal and read-only, names that are found."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

import tropattn as ta
from tropattn import dynamics
from tropattn.attention.evaluated.norms import RMSNorm
from tropattn.cli import options
from tropattn.record import Record
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value

F = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]], [0, 1, 2])
PLANE = ta.Box([-1, -2], [3, 1])


@cache
def examples() -> dict[str, object]:
    """One of each public class, by its name, and what they give."""
    layer = ta.FixedLayer([F, F.pullback([[0, 1], [1, 0]])], [np.eye(3, 2)] * 2)
    net = ta.Network(
        [
            layer,
            ta.FeedForward(np.eye(2), [0, 0], np.eye(2)),
            ta.Maxout([[[0, 0], [1, 0]], [[0, 1], [1, 1]]]),
            ta.Affine([[2.0], [1.0]]),
        ]
    )
    head = ta.AttentionHead(*[np.eye(2)] * 4, rope=ta.RotaryEmbedding(1e4))
    model = ta.load(options.shipped())
    flow = dynamics.Flow((dynamics.Head(beta=2.0, V=[[1.0, 0.0], [0.0, 1.0]]),), "flat")
    hardmax = dynamics.Hardmax(1)
    run = dynamics.simulate(hardmax, [[2], [1]], 3, engine="exact")
    law = dynamics.Gaussian([0.0, 0.0], np.eye(2))
    tiny = dynamics.Flow((dynamics.Head(beta=0.5),), "flat")
    words = ["<pad>", "<unk>", "good", "bad"]
    vectors = [[0.0], [0.0], [2.0], [-2.0]]
    wide = ta.Network([ta.Affine([[1, -1], [0, 2]])])
    found = [
        *(F, layer, net, *net.layers[1:], head, ta.AttentionLayer([head, head]), head.rope, model),
        *(PLANE, ta.Polytope([[1, 1], [-1, 0], [0, -1]], [1, 0, 0]), ta.Line([0, 0], [1, 2], -3)),
        *(ta.Slice.through([[0, 0, 0], [2, 0, 0], [0, 2, 0]]), ta.Box([0] * 9, range(1, 10))),
        *(ta.count_regions(net), ta.upper_bound(F), ta.enumerate_regions(net, PLANE)),
        *(ta.enumerate_regions(layer, PLANE), ta.plane_cells(layer, PLANE), ta.live_terms(F)),
        *(ta.line_cells(layer, ta.Line([0, 0], [1, 2], -3, 3)), model.network("314=")),
        model.network("314=", None, own_key="live"),
        *(F.newton_polytope(), F.newton_polytope(lifted=True), F.newton_polytope().hull),
        *(F.power_diagram(), F.power_diagram().cell(0), F.subdivision(), layer.stages()[0]),
        *(F.subdivision().hypersurface(), F.newton_polytope().normal_fan()),
        *(ta.face_complex(F, PLANE), ta.cell_measure(F, PLANE), ta.decision_boundary(wide, PLANE)),
        ta.count_faces(F, PLANE),
        ta.enumerate_regions(net, PLANE).cell(0).inscribed_ball(),
        *(F.newton_polytope().hull.facets()[0], ta.mixed_subdivision([F, F])),
        *(ta.draw_sample(F, 100, seed=0, domain=PLANE), model.fix("314=", layer=0)),
        ta.temperature.agreement([F], [[0.0, 1.0]], [1.0, 0.5]),
        ta.temperature.measured(F, [[0.0, 1.0]], 1.0),
        *(flow, flow.heads[0], hardmax, run, law, dynamics.classify(tiny, law)),
        dynamics.simulate_gaussian(tiny, law, np.linspace(0, 1, 3)),
        *(dynamics.basins(hardmax, [[2], [1]]), dynamics.hardmax_limit(hardmax, [[2], [1]])),
        dynamics.sync_diagram(4, 2, [1.0], layers=4, runs=2),
        dynamics.SentimentModel(words, vectors, [1.0], 0.0, alpha=1.0, layers=8, length=4),
        *(ta.cell_measure(F, PLANE), ta.decision_boundary(layer, PLANE), ta.face_complex(F, PLANE)),
        *(ta.steer(F, [0.0, 0.5], {0: 1}), *ta.nearest_walls([F, F], [0.0, 0.5])),
        ta.steer_residual(F, RMSNorm([1, 1]), [3.0, 0.5], {0: 2}),
        Record("inspect", {}, {}, {"heads": [{"head": 0}]}).table("heads"),
        *(Record("count", {"layer": 0}), layer.stages()[0].update, layer.stages()[0].maps((0, 0))),
    ]
    return {f"{type(value).__name__} {i}": value for i, value in enumerate(found)}


def public_classes() -> set[type]:
    """All classes among the names of the package, of its parts and of dynamics."""
    found = set()
    for part in (ta, ta.bounds, ta.constructions, ta.initialisers, ta.temperature, dynamics):
        for name in part.__all__:
            value = getattr(part, name)
            if inspect.isclass(value) and not issubclass(value, Exception):
                found.add(value)
    return found


def parts(value, seen=None, most=5):
    """The value and all values of the package that it is made of."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, tuple | list):
        entries = value[:most]
    elif isinstance(value, dict):
        entries = list(value.values())[:5]
    elif type(value).__module__.startswith("tropattn"):
        yield value
        names = value._contents() if isinstance(value, Value) else ()
        entries = [getattr(value, name) for name, _ in names if not name.startswith("_")]
    else:
        return
    for entry in entries:
        yield from parts(entry, seen)


def test_every_public_class_has_an_example_here():
    known = {type(part) for value in examples().values() for part in parts(value)}
    assert public_classes() <= known, "add an example here, and a repr to the class"


def test_a_value_is_shown_in_one_short_line():
    for part in parts(list(examples().values()), most=1000):
        words = repr(part)
        assert len(words) <= 120 and "\n" not in words, words
        assert "object at 0x" not in words and "array(" not in words, words
        assert words.startswith(type(part).__name__), words


def test_no_class_with_arrays_shows_them_whole():
    for entry in pkgutil.walk_packages(ta.__path__, "tropattn."):
        if "._kernels" in entry.name or entry.name.endswith("__main__"):
            continue
        module = importlib.import_module(entry.name)
        for name in getattr(module, "__all__", ()):
            kind = getattr(module, name)
            if inspect.isclass(kind) and issubclass(kind, Value) and dataclasses.is_dataclass(kind):
                assert not kind.__dataclass_params__.repr, kind
                assert not kind.__dataclass_params__.eq, kind


def test_lines_that_a_person_would_write():
    layer = ta.constructions.parabola_strips([3, 3, 3], dim=2)
    assert repr(ta.Box.cube(-1, 1, 2)) == "Box([-1, 1]^2)"
    assert repr(ta.Box([0, -1], [2, 1])) == "Box([0, 2] x [-1, 1])"
    assert repr(ta.Line([0, 0], [1, 2], -3)) == "Line(R^2, -3 < t < inf)"
    count = ta.count_regions(layer)
    assert repr(count) == f"RegionCount(19 cells, exact, R^2, {count.engine})"
    assert str(count) == "19 routing cells (exact, certified)"
    assert str(ta.upper_bound(layer)) == "at most 19 routing cells"
    assert repr(ta.RegionCount(1, "lower", "linear_regions", "R^1", "x")) == (
        "RegionCount(1 linear region, lower, R^1, x)"
    )
    live = ta.live_terms(ta.TropicalPolynomial([[0], [1], [2]], [0, -2, 0]))
    assert repr(live) == "LiveTerms(2 of 3 live on R^1)"
    huge = ta.Box([Fraction(-(10**400))], [Fraction(10**400)])
    assert repr(huge) == "Box([-inf, inf])" and "inf" in str(huge)


def writable(value):
    return [
        part
        for part in parts(value)
        if isinstance(part, Value)
        for name, _ in part._contents()
        if isinstance(array := getattr(part, name), np.ndarray) and array.flags.writeable
    ]


def test_copies_are_equal_and_as_read_only_as_the_first():
    for name, value in examples().items():
        assert not writable(value), name
        for other in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
            assert not writable(other), name
            assert type(other) is type(value)
            assert other == value, name
            assert hash(other) == hash(value), name
        field = value._contents()[0][0]
        with pytest.raises(AttributeError):
            setattr(value, field, None)


def test_a_value_leaves_the_callers_arrays_writable():
    matrix, offset = np.eye(2), np.zeros(2)
    held = AffineMap(matrix, offset)
    assert not held.matrix.flags.writeable and matrix.flags.writeable and offset.flags.writeable


def test_values_cannot_be_changed():
    for value, name in ((PLANE, "low"), (F.power_diagram(), "sites"), (F, "keys")):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(value, name, 0)


def test_equality_of_polynomials_is_that_of_their_ordered_exact_terms():
    f = ta.TropicalPolynomial([[0], [0.5]], [0, 1])
    exact = ta.TropicalPolynomial([[0], [Fraction(1, 2)]], [0, 1])
    assert f == exact and hash(f) == hash(exact) and len({f, exact}) == 1
    assert f == ta.TropicalPolynomial.factored([[0], [1]], [0, 1], scale=0.5)
    assert f != ta.TropicalPolynomial([[0.5], [0]], [1, 0])
    assert f != ta.TropicalPolynomial([[0], [0.5]], [0, 1 + 2.0**-52])
    assert ta.TropicalPolynomial([[0.1]]) != ta.TropicalPolynomial([[Fraction(1, 10)]])
    assert f != "f" and f != ta.TropicalPolynomial([[0, 0], [0.5, 0]], [0, 1])
    prime = 2**31 - 1
    assert ta.TropicalPolynomial([[Fraction(1, prime)]]) == ta.TropicalPolynomial(
        [[Fraction(1, prime)]]
    )
    assert ta.TropicalPolynomial([[0]]) != ta.TropicalPolynomial([[prime]])


def test_the_same_function_is_decided_exactly():
    f = ta.TropicalPolynomial([[0], [2]])
    assert f.same_function(ta.TropicalPolynomial([[2], [0], [1], [2]], [0, 0, 0, -1]))
    above = ta.TropicalPolynomial([[0], [2], [1]], [0, 0, 2.0**-1000])
    assert not f.same_function(above) and f.same_function(f * ta.TropicalPolynomial([[0]]))
    tenth = ta.TropicalPolynomial([[0], [0.1]])
    assert not tenth.same_function(ta.TropicalPolynomial([[0], [Fraction(1, 10)]]))
    with pytest.raises(ta.InvalidInput, match="other"):
        f.same_function(F)
    with pytest.raises(ta.InvalidInput, match="other"):
        f.same_function("f")


def test_domains_and_counts_are_equal_where_they_say_the_same():
    assert ta.Box([0.5], [1]) == ta.Box([Fraction(1, 2)], [1]) != ta.Box([0.25], [1])
    assert ta.Box([-np.inf], [0]) != ta.Box([0], [np.inf])
    assert len({ta.Slice.through(np.eye(3)), ta.Slice.through(np.eye(3))}) == 1
    assert ta.Box([0], [1]) != ta.Polytope(*ta.Box([0], [1]).walls)
    one, two = ta.count_regions(F), ta.count_regions(F)
    assert one == two and len({one, two}) == 1
    assert one != dataclasses.replace(one, value=7)
    assert one != dataclasses.replace(one, kind="lower")


def test_names_of_the_package_and_its_parts():
    for part in (ta, ta.bounds, ta.constructions, ta.temperature, dynamics, ta.plotting):
        assert dir(part) == sorted(part.__all__)
        for name in dir(part):
            assert getattr(part, name) is not None
    assert {"dynamics", "plotting", "bounds"} <= set(dir(ta))
    completer = __import__("rlcompleter").Completer({"ta": ta})
    assert completer.complete("ta.dyn", 0) == "ta.dynamics"


def test_importing_is_cheap():
    code = (
        "import sys, tropattn; dir(tropattn); "
        "print([m for m in ('numba', 'scipy', 'networkx', 'matplotlib', 'flint', 'numpy') "
        "if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
