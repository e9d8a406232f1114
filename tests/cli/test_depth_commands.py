"""Whole networks on the command line: ``--layer all`` on planes and lines."""

import json
import re

import numpy as np
import pytest

import tropattn as ta
from tropattn.cli.options import shipped
from tropattn.study.inputs import Source, open_network
from tropattn.study.pictures import PlotSpec, choose
from tropattn.study.token_plane import token_plane

TEXT = "83052="


@pytest.fixture
def states():
    model = ta.load(shipped())
    return [model.embedded(model.tokens(text)) for text in (TEXT, "19467=")]


@pytest.fixture
def files(tmp_path, states):
    """A plane through three states, a line of one token, and one of all tokens."""
    start, end = states
    np.savez(tmp_path / "plane.npz", points=start[[5, 3, 4]])
    np.savez(tmp_path / "one.npz", origin=start[-1], direction=np.arange(8) - 3.5)
    arrays = {"origin": start.tolist(), "direction": (end - start).tolist()}
    (tmp_path / "all.json").write_text(json.dumps({**arrays, "t_min": 0, "t_max": 1}))
    return tmp_path


def document(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def ask(invoke, command, domain, *extra):
    context = ["demo", "--text", TEXT, "--layer", "all", "--domain", domain]
    return invoke(command, *context, *extra)


@pytest.mark.parametrize("of", ["cells", "linear_regions"])
def test_count_on_a_plane_and_a_line(invoke, files, states, of):
    net = ta.load(shipped()).network(TEXT)
    start = states[0]
    domains = {
        f"plane:{files / 'plane.npz'}": ta.Slice.through(start[[5, 3, 4]]),
        f"line:{files / 'one.npz'}": ta.Line(start[-1], np.arange(8) - 3.5),
    }
    for words, domain in domains.items():
        found = document(ask(invoke, "count", words, "--of", of, "--json"))
        expected = ta.count_regions(net, domain, of=of)
        assert (found["value"], found["of"]) == (str(expected.value), of)
        assert found["engine"] == expected.engine
        assert int(found["value"]) <= int(found["counts"]["bound"]["value"])
        assert "hard network" in found["spec"]["variable"]


def test_count_with_live_keys(invoke, files, states):
    start, end = states
    net = ta.load(shipped()).network(TEXT, None, own_key="live")
    line = ta.Line(start.ravel(), (end - start).ravel(), 0, 1)
    found = document(ask(invoke, "count", f"line:{files / 'all.json'}", "--json"))
    assert found["value"] == str(ta.count_regions(net, line).value)
    assert found["domain"].endswith("keys live")
    bound = document(ask(invoke, "bounds", f"line:{files / 'all.json'}", "--json"))
    assert bound["value"] == str(ta.upper_bound(net).value)


def test_bounds_and_sample_of_a_network(invoke, files):
    words = f"plane:{files / 'plane.npz'}"
    exact, bound, sampled = (
        int(document(ask(invoke, command, words, "--json"))["value"])
        for command in ("count", "bounds", "sample")
    )
    assert 1 <= sampled <= exact <= bound


@pytest.mark.long
@pytest.mark.parametrize("domain", [None, "plane:plane.npz", "line:one.npz", "line:all.json"])
def test_plot(invoke, files, tmp_path, domain):
    target = tmp_path / "picture.png"
    where = []
    if domain is not None:
        kind, name = domain.split(":")
        where = ["--domain", f"{kind}:{files / name}"]
    arguments = ["demo", "--text", TEXT, "--layer", "all", *where, "--output", target]
    result = invoke("plot", *arguments)
    assert result.exit_code == 0, result.stderr
    assert target.read_bytes()[:4] == b"\x89PNG"


def test_plot_of_one_layer_on_a_line(invoke, files, tmp_path):
    target = tmp_path / "picture.svg"
    arguments = ["demo", "--text", TEXT, "--domain", f"line:{files / 'one.npz'}"]
    assert invoke("plot", *arguments, "--output", target).exit_code == 0
    assert b"<svg" in target.read_bytes()


def test_inspect_all_layers(invoke):
    words = ("inspect", "demo", "--text", TEXT, "--no-cells", "--json")
    every, plain = (document(invoke(*words, *more)) for more in (["--layer", "all"], []))
    assert every["tables"] == plain["tables"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["count", "--layer", "two"], "integer or the word all"),
        (["count", "--layer", "all", "--domain", "line:SHORT"], "one row a token"),
        (["count", "--layer", "all", "--domain", "line:LINE", "--position", "2"], "position"),
        (["count", "--domain", "line:LINE"], "origin"),
        (["temperature", "--layer", "all"], "layer"),
        (["bounds", "--layer", "all", "--live"], "live"),
        (["sample", "--layer", "all", "--domain", "line:LINE"], "LiveNetwork"),
        (["plot", "--layer", "all", "--view", "diagram", "--output", "x.png"], "view"),
        (["plot", "--layer", "all", "--head", "1", "--output", "x.png"], "view"),
    ],
)
def test_refusals(invoke, files, arguments, words):
    short = {"origin": [[0.0] * 8] * 2, "direction": [[1.0] * 8] * 2}
    (files / "short.json").write_text(json.dumps(short))
    command, *rest = arguments
    rest = [str(a).replace("LINE", str(files / "all.json")) for a in rest]
    rest = [a.replace("SHORT", str(files / "short.json")) for a in rest]
    result = invoke(command, "demo", "--text", TEXT, *rest)
    assert result.exit_code == 2
    assert words in result.stderr


def test_polynomials_have_no_layers(invoke, strips):
    result = invoke("count", strips, "--layer", "all")
    assert result.exit_code == 2
    assert "layer: a model needed" in result.stderr


@pytest.mark.long
def test_a_deep_plot_takes_a_window_that_it_can_finish(invoke, tmp_path, monkeypatch):
    args = ["plot", "demo", "--text", "314=", "--layer", "all", "--output", tmp_path / "all.png"]
    assert "window" not in invoke(*args).stderr
    monkeypatch.setattr("tropattn.study.token_plane._WORK", 1.0)
    monkeypatch.setattr("tropattn.study.token_plane._FEWEST", 16)
    found = invoke(*args)
    assert found.exit_code == 0
    assert re.match(r"tropattn: the window reaches [\d.e-]+ widths .*--reach", found.stderr)


def test_a_large_network_has_one_plane_of_a_given_reach(monkeypatch):
    opened, _ = open_network(Source(path=shipped(), text="314="), None)
    many = token_plane(opened, reach=0.05)
    monkeypatch.setattr("tropattn.study.token_plane._WORK", 1.0)
    one = token_plane(opened, reach=0.05)
    assert (many.tried, one.tried) == (3, 1) and one.cells <= many.cells
    assert one.names == tuple(opened.state_names[i] for i in (3, 0, 1))


def test_the_reach_of_a_plot(invoke, tmp_path):
    picture = choose(PlotSpec(source=Source(path=shipped(), text="314="), reach=0.25))
    low, high = (
        np.array(side, float) for side in (picture.domain.window.low, picture.domain.window.high)
    )
    # A quarter of the longest side of the three states' box to either side of the moving state.
    states = picture.points
    assert np.allclose((low + high) / 2, states[0])
    assert np.allclose(high - low, 0.5 * np.ptp(states, axis=0).max())
    args = ["plot", "demo", "--text", "314=", "--output", tmp_path / "cells.png"]
    assert invoke(*args, "--layer", "all", "--reach", "0.25").exit_code == 0
    assert invoke(*args, "--reach", "0").exit_code == 2
    refused = invoke(*args, "--reach", "1", "--domain", "box:-1,1")
    assert refused.exit_code == 2
    assert "reach: a plane through three tokens needed" in refused.stderr
