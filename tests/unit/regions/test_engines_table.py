"""Which engine answers which question, by choice and by name, and what each ending carries."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from tropattn import (
    AttentionHead,
    AttentionLayer,
    Box,
    BudgetExceeded,
    Degenerate,
    EngineError,
    FeedForward,
    FixedLayer,
    Interrupted,
    InvalidInput,
    Line,
    LiveNetwork,
    Network,
    TropicalPolynomial,
    count_regions,
    enumerate_regions,
    initialisers,
    upper_bound,
)
from tropattn.attention.constructions import digit_transformer
from tropattn.regions import count
from tropattn.regions.engines import ENGINES, engines_table
from tropattn.regions.question import Engine, Found
from tropattn.verify import verify

SQUARE = Box.cube(-1, 1, 2)
TENT = TropicalPolynomial([[-1], [0], [1]], [-1, 0, -1])
# Three lines of one head each through a point, in the plane: walls not in general position.
PENCIL = [TropicalPolynomial([[0, 0], w]) for w in ([1, 0], [0, 1], [1, 1])]
ONE = AttentionHead([[1]], [[1]], [[1]], [[1]])
SEARCHED = ["rank", "central", "nodes", "programs", "pivots", "exact_decisions"]
ACROSS = ["nodes", "programs", "pivots", "exact_decisions", "stages"]


def relu_layer(seed, width, units):
    rng = np.random.default_rng(seed)
    weights = rng.integers(-3, 4, (width, units)).astype(float)
    return FeedForward(weights, rng.integers(-2, 3, units), np.eye(units), residual=False)


def gaussian(n_keys, n_heads, dim):
    return initialisers.gaussian_heads(n_keys, n_heads, dim, seed=0)


def apart():
    """A head of three keys that looks along x, and one of two that looks along y."""
    first = TropicalPolynomial([[-1, 0], [0, 0], [1, 0]], [-1, 0, -1])
    return [first, TropicalPolynomial([[0, 0], [0, 1]])]


def fixed():
    return FixedLayer([TENT], [[[-1], [0], [1]]])


RELU = Network([relu_layer(0, 2, 6), relu_layer(1, 6, 5)])

TARGETS = {
    "tokens": (
        LiveNetwork([AttentionLayer([ONE])], 2),
        Line([1, 0], [0, 1]),
        {},
        ("line", ["stages", "tokens", "exact_decisions", "states", "seconds"]),
    ),
    "token regions": (
        LiveNetwork([AttentionLayer([ONE])], 2),
        Line([1, 0], [0, 1]),
        {"of": "linear_regions"},
        ("line", ["stages", "tokens", "exact_decisions", "states", "cells", "seconds"]),
    ),
    "relu network": (
        RELU,
        SQUARE,
        {},
        ("plane", ["stages", "nodes", "ranges", "exact_decisions", "seconds"]),
    ),
    "relu layer": (
        Network([relu_layer(0, 2, 6)]),
        SQUARE,
        {},
        ("plane", ["stages", "nodes", "ranges", "exact_decisions", "seconds"]),
    ),
    "regions": (
        RELU,
        SQUARE,
        {"of": "linear_regions"},
        ("depth", ["cells", *ACROSS[-1:], *ACROSS[:-1], "maps", "seconds"]),
    ),
    "regions of a layer": (
        fixed(),
        None,
        {"of": "linear_regions"},
        ("depth", ["cells", *ACROSS[-1:], *ACROSS[:-1], "maps", "seconds"]),
    ),
    "network": (
        digit_transformer(3, 2, 2),
        None,
        {},
        ("depth", [*ACROSS, "cells_above", "seconds"]),
    ),
    "network on a square": (RELU, None, {}, ("depth", [*ACROSS, "cells_above", "seconds"])),
    "line": ([TENT, TENT], None, {}, ("line", ["breakpoints", "changes", "seconds"])),
    "direct sum": (
        apart(),
        None,
        {},
        ("direct_sum", ["groups", "ranks", "factors", *SEARCHED[2:], "seconds"]),
    ),
    "plane": (
        gaussian(6, 4, 2),
        SQUARE,
        {},
        ("plane", ["rank", "central", "arcs", "crossings", "seconds"]),
    ),
    "degenerate plane": (PENCIL, SQUARE, {}, ("enumeration", [*SEARCHED, "seconds"])),
    "plane by name": (
        PENCIL,
        SQUARE,
        {"engine": "plane"},
        ("plane", [*SEARCHED, "seconds"]),
    ),
    "space": (
        gaussian(5, 3, 3),
        Box.cube(-1, 1, 3),
        {},
        ("subsets", ["rank", "central", "walls_tried", "seconds"]),
    ),
    "subsets by name in a plane": (
        gaussian(6, 4, 2),
        SQUARE,
        {"engine": "subsets"},
        ("plane", ["rank", "central", "arcs", "crossings", "seconds"]),
    ),
    "one head in space": (
        gaussian(9, 1, 3),
        Box.cube(-1, 1, 3),
        {},
        ("enumeration", [*SEARCHED, "seconds"]),
    ),
    "five dimensions": (gaussian(4, 3, 5), None, {}, ("enumeration", [*SEARCHED, "seconds"])),
    "line by another name": (
        [TENT, TENT],
        None,
        {"engine": "enumeration"},
        ("enumeration", [*SEARCHED, "seconds"]),
    ),
    "one head as a sum": (
        TENT,
        None,
        {"engine": "direct_sum"},
        ("direct_sum", ["groups", "ranks", "factors", *SEARCHED[2:], "seconds"]),
    ),
    "one key as a sum": (
        TropicalPolynomial([[3.0, 1.0]]),
        None,
        {"engine": "direct_sum"},
        ("enumeration", [*SEARCHED, "seconds"]),
    ),
    "network by name": (
        RELU,
        SQUARE,
        {"engine": "enumeration"},
        ("depth", [*ACROSS, "cells_above", "seconds"]),
    ),
    "relu by name": (
        RELU,
        SQUARE,
        {"engine": "plane"},
        ("plane", ["stages", "nodes", "ranges", "exact_decisions", "seconds"]),
    ),
}

named = pytest.mark.parametrize("name", TARGETS)


@named
def test_the_engine_that_answers(name):
    target, domain, asked, expected = TARGETS[name]
    found = count_regions(target, domain, **asked)
    assert (found.engine, list(found.stats)) == expected
    assert (found.kind, found.of, found.certified) == ("exact", asked.get("of", "cells"), True)
    assert found.value <= upper_bound(target, domain).value


class Countdown(threading.Event):
    """A stop that sets itself when it has been looked at often enough."""

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def is_set(self):
        self.looks -= 1
        return self.looks < 0


@named
def test_a_stop_carries_a_lower_bound(name):
    target, domain, asked, _ = TARGETS[name]
    whole = count_regions(target, domain, **asked).value
    stopped = 0
    for looks in range(40):
        try:
            found = count_regions(target, domain, threads=1, stop=Countdown(looks), **asked)
        except Interrupted as error:
            assert 0 <= error.lower <= whole
            assert str(error).startswith("interrupted: at least ")
            stopped += 1
        else:
            assert found.value == whole
            break
    assert stopped > 0


@named
def test_a_limit_carries_a_lower_bound(name):
    target, domain, asked, _ = TARGETS[name]
    whole = count_regions(target, domain, **asked)
    for limit in (1, max(1, whole.value // 2), whole.value - 1):
        if not 0 < limit < max(whole.stats.get("factors", [whole.value])):
            continue
        with pytest.raises(BudgetExceeded, match=r"^max_cells: .*; raise max_cells") as caught:
            count_regions(target, domain, max_cells=limit, **asked)
        # A listing of regions has counted distinct maps so far, intervals not even those.
        least = 1 if whole.of == "linear_regions" else limit + 1
        assert least <= caught.value.lower <= whole.value


@pytest.mark.parametrize("name", ["direct sum", "five dimensions", "degenerate plane"])
def test_no_memory_carries_a_lower_bound(name, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("tropattn._kernels.search.search", full)
    target, domain, asked, _ = TARGETS[name]
    with pytest.raises(BudgetExceeded, match="memory: more than the system gives") as caught:
        count_regions(target, domain, **asked)
    assert caught.value.lower == 1


@pytest.mark.parametrize(
    ("target", "domain", "asked", "words"),
    [
        (
            "tokens",
            None,
            {"engine": "enumeration"},
            "engine: 'auto' or 'line' needed where keys are live, got 'enumeration'; other engines "
            "take fixed keys.",
        ),
        (
            "tokens",
            None,
            {"certificate": "c.gz"},
            "certificate: cells of one layer needed, got a line with live keys; leave it out.",
        ),
        (
            "network",
            None,
            {"certificate": "c.gz"},
            "certificate: cells of one layer needed, got a count across depth or of regions; "
            "leave it out.",
        ),
        (
            "plane",
            None,
            {"engine": "magic"},
            "engine: one of auto, line, plane, enumeration, direct_sum, subsets needed, got "
            "'magic'; see docs/engines.md.",
        ),
        (
            "network",
            None,
            {"engine": "subsets"},
            "engine: subsets counts cells of one layer, got a count across depth or of regions; "
            "use engine='auto'.",
        ),
        (
            "relu network",
            SQUARE,
            {"engine": "plane", "of": "linear_regions"},
            "engine: plane counts cells of one layer, got a count across depth or of regions; "
            "use engine='auto'.",
        ),
        (
            "network",
            None,
            {"engine": "plane"},
            "engine: a network of ReLU and affine layers on a bounded window of a plane needed "
            "for 'plane', got another; use engine='auto'.",
        ),
        (
            "five dimensions",
            None,
            {"engine": "plane"},
            "engine: heads in a plane, or central in three dimensions, needed for plane, got "
            "5 dimensions; use a plane Slice as domain, or engine='auto'.",
        ),
        (
            "five dimensions",
            None,
            {"engine": "subsets"},
            "engine: two or three dimensions (one more for central heads) needed for subsets, got "
            "5; use engine='enumeration'.",
        ),
        (
            "five dimensions",
            None,
            {"engine": "direct_sum"},
            "engine: heads with independent spans needed for direct_sum, got 3 heads that share a "
            "span of rank 5; use engine='enumeration'.",
        ),
        (
            "plane",
            SQUARE,
            {"engine": "direct_sum"},
            "engine: direct_sum needs the whole space, got box (-1, 1)^2; windows and slices "
            "couple the heads, use engine='enumeration'.",
        ),
        (
            "plane",
            SQUARE,
            {"engine": "line"},
            "domain: a line needed for one layer of heads, got box (-1, 1)^2 and 1 layers; pass "
            "a Line, or use count_regions.",
        ),
        (
            "tokens",
            SQUARE,
            {},
            "domain: a Line needed where keys are live, got box (-1, 1)^2; in higher dimension "
            "such cells have curved walls, so use own_key='frozen' there.",
        ),
        (
            "plane",
            None,
            {"of": "walls"},
            "of: 'cells' or 'linear_regions' needed, got 'walls'; choose one.",
        ),
    ],
)
def test_the_words_of_a_refusal(target, domain, asked, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        count_regions(TARGETS[target][0], domain, **asked)
    assert str(caught.value) == words
    assert not list(tmp_path.iterdir())


def test_general_position_is_asked_for_by_name():
    with pytest.raises(Degenerate, match=r"^engine: walls in general position needed for subsets"):
        count_regions(PENCIL, SQUARE, engine="subsets")


def lines(path):
    with gzip.open(path, "rt") as stream:
        return [json.loads(line) for line in stream]


@pytest.mark.parametrize("engine", ["auto", "direct_sum"])
def test_a_certificate_of_a_direct_sum_has_a_group_for_each_factor(engine, tmp_path):
    heads = apart()
    found = count_regions(heads, engine=engine, certificate=tmp_path / "c.gz")
    assert (found.engine, found.value, found.stats["factors"]) == ("direct_sum", 6, [3, 2])
    groups = [line["group"] for line in lines(tmp_path / "c.gz") if "group" in line]
    assert groups == found.stats["groups"] == [[0], [1]]
    assert verify(tmp_path / "c.gz", [head.exact_terms() for head in heads]).count == 6


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("auto", "enumeration"),
        ("plane", "plane"),
        ("subsets", "enumeration"),
        ("enumeration", "enumeration"),
    ],
)
def test_what_is_certified_is_searched(engine, name, tmp_path):
    heads = gaussian(4, 3, 2)
    heads = [*heads, heads[0]]
    found = count_regions(heads, SQUARE, engine=engine, certificate=tmp_path / "c.gz")
    assert (found.engine, list(found.stats)) == (name, [*SEARCHED, "seconds"])
    # Twins are searched like others, so that the file shows every head.
    assert [line["group"] for line in lines(tmp_path / "c.gz") if "group" in line] == [[0, 1, 2, 3]]
    exact = [head.exact_terms() for head in heads]
    assert verify(tmp_path / "c.gz", exact, SQUARE.walls).count == found.value


def test_a_count_without_a_search_is_refused_a_certificate(tmp_path):
    path = tmp_path / "c.gz"
    assert count_regions([TENT, TENT], certificate=path).engine == "enumeration"
    path.unlink()
    with pytest.raises(InvalidInput, match="certificate: a search of cells needed"):
        count_regions([TENT, TENT], engine="line", certificate=path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["tokens", "network", "relu network", "line", "direct sum", "plane", "five dimensions"]
)
def test_lists_have_as_many_cells_as_are_counted(name):
    target, domain, _, _ = TARGETS[name]
    found = enumerate_regions(target, domain)
    assert len(found) == count_regions(target, domain).value == len(found.witnesses)
    assert found.domain == count_regions(target, domain).domain
    with pytest.raises(BudgetExceeded):
        enumerate_regions(target, domain, max_cells=1)


# ---- the table itself ---------------------------------------------------------------------------


class OneHead(Engine):
    """The cells of one head of two keys on the whole space: two, or one."""

    name = "head"
    where = "one head of two keys, whole space"
    idea = "a wall"
    cost = "none"
    otherwise = "the next engine"

    def refuses(self, question):
        (stage,) = question.stages
        if question.domain is None and [unit.n_terms for unit in stage.units] == [2]:
            return None
        return "engine: one head of two keys on the whole space needed for head; use auto."

    def count(self, question):
        slopes = question.stages[0].units[0].slopes
        # Two parallel keys are not looked into.
        return Found(2, {"walls": 1}, self.name) if (slopes[0] != slopes[1]).any() else None


def test_a_new_engine_is_a_class_and_a_word(monkeypatch):
    step, wide = PENCIL[0], TropicalPolynomial([[0, 0, 0, 0], [1, 0, 0, 1]])
    assert count_regions(step).engine == "enumeration"
    monkeypatch.setattr(count, "ENGINES", (OneHead(), *ENGINES))
    for asked in ({}, {"engine": "head"}):
        found = count_regions(wide, **asked)
        assert (found.value, found.engine, found.domain) == (2, "head", "R^4")
        assert found.stats["walls"] == 1
    assert count_regions(wide, engine="enumeration").engine == "enumeration"
    # Where it refuses, or proves nothing, the next one is asked.
    assert count_regions(wide, Box.cube(-1, 1, 4)).engine == "enumeration"
    parallel = TropicalPolynomial([[1, 0], [1, 0]], [0, 1])
    assert (count_regions(parallel).value, count_regions(parallel).engine) == (1, "enumeration")
    with pytest.raises(InvalidInput, match="one head of two keys on the whole space needed"):
        count_regions([step, step], engine="head")
    with pytest.raises(Degenerate, match="a case that head can prove needed"):
        count_regions(parallel, engine="head")
    with pytest.raises(InvalidInput, match="one of auto, head, line, plane, enumeration, "):
        count_regions(step, engine="magic")


@pytest.mark.parametrize("value", [0, 3])
def test_a_count_beyond_its_bound_is_an_error(value, monkeypatch):
    monkeypatch.setattr(OneHead, "count", lambda *_: Found(value, {}, "head"))
    monkeypatch.setattr(count, "ENGINES", (OneHead(),))
    with pytest.raises(
        EngineError, match=rf"between 1 and 2 cells \(T7.*got {value}; two witnesses"
    ):
        count_regions(PENCIL[0])


def test_the_documented_table_is_the_one_in_use():
    page = Path(__file__).parents[3] / "docs" / "engines.md"
    assert f"\n\n{engines_table()}\n" in page.read_text(encoding="utf-8")
