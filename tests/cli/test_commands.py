"""What the commands answer: values that the theory knows, and agreement with the library."""

import json
import re
import subprocess
import sys

import click
import numpy as np
import pytest

import tropattn as ta
from tropattn.cli import main
from tropattn.cli.options import shipped

CONTEXT = "314159265="

FIELDS = {
    "value",
    "kind",
    "of",
    "domain",
    "engine",
    "certified",
    "ambiguous",
    "log10",
    "stats",
}


def document(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_count_prints_value_domain_variable_engine_and_bound(invoke, strips):
    result = invoke("count", strips)
    assert result.exit_code == 0
    assert re.match(r"19 routing cells \(exact(, certified)?\)\n", result.stdout)
    for words in ("R^2", "variable  x", "enumeration", "19, T6"):
        assert words in result.stdout
    assert result.stderr == ""


def test_count_json_has_every_field_and_the_value_as_a_string(invoke, strips):
    found = document(invoke("count", strips, "--json"))
    assert set(found) >= FIELDS
    assert (found["value"], found["kind"], found["ambiguous"]) == ("19", "exact", 0)
    assert found["schema"] == "tropattn.record"
    assert found["schema_version"] == 1
    assert set(found["versions"]) == {"tropattn", "numpy", "numba", "python-flint"}
    assert found["counts"]["bound"]["value"] == "19"
    assert found["spec"]["source"]["path"] == str(strips)


def test_count_writes_the_same_record(invoke, strips, tmp_path):
    target = tmp_path / "out.json"
    printed = document(invoke("count", strips, "--json", "--output", target))
    written = json.loads(target.read_text())
    assert printed == written
    assert sorted(p.name for p in tmp_path.iterdir()) == ["heads.npz", "out.json"]


@pytest.mark.parametrize(
    ("domain", "cells"),
    [
        # Walls of head 0 at x = 1/2, 3/2, of head 1 at y = 1/2, 3/2: two of each meet this box.
        ("box:0,1", 4),
        ("box:0,2", 9),
    ],
)
def test_count_on_a_box(invoke, tmp_path, domain, cells):
    heads = ta.constructions.parabola_strips([3, 3], 2)
    np.savez(
        tmp_path / "two.npz",
        slopes=np.stack([f.slopes for f in heads]),
        intercepts=np.stack([f.intercepts for f in heads]),
    )
    found = document(invoke("count", tmp_path / "two.npz", "--domain", domain, "--json"))
    assert found["value"] == str(cells)
    assert found["domain"].startswith("box")


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_count_on_planes_and_lines(invoke, tmp_path, suffix):
    """In R^3 the strips of coordinate i have walls x_i = 1/2, 3/2."""
    heads = ta.constructions.parabola_strips([3, 3, 3], 3)
    source = tmp_path / "three.npz"
    np.savez(
        source,
        slopes=np.stack([f.slopes for f in heads]),
        intercepts=np.stack([f.intercepts for f in heads]),
    )

    def put(name, **arrays):
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "npz":
            np.savez(path, **arrays)
        else:
            path.write_text(json.dumps(arrays))
        return path

    flat = put("flat", origin=[0.0, 0, 0], basis=[[1.0, 0, 0], [0, 1, 0]])
    window = put(
        "window", origin=[0.0, 0, 0], basis=[[1.0, 0, 0], [0, 1, 0]], window=[[0, 0], [1, 2]]
    )
    points = put("points", points=[[0.0, 0, 0], [2, 0, 0], [0, 2, 0]])
    line = put("line", origin=[0.0, 0.25, 0.25], direction=[1.0, 0, 0])
    ray = put("ray", origin=[0.0, 0.25, 0.25], direction=[1.0, 0, 0], t_min=1.0)
    expected = {
        f"plane:{flat}": 9,
        f"plane:{window}": 6,
        f"plane:{points}": 9,
        f"line:{line}": 3,
        f"line:{ray}": 2,
    }
    for domain, cells in expected.items():
        found = document(invoke("count", source, "--domain", domain, "--json"))
        assert (found["value"], found["spec"]["domain"]) == (str(cells), domain)


def test_count_of_a_model_agrees_with_the_library(invoke):
    model = ta.load(shipped())
    expected = int(ta.count_regions(model.fix(CONTEXT, layer=1, position=4)))
    args = ["--layer", 1, "--position", 4, "--json"]
    ids = ",".join(str(i) for i in model.tokens(CONTEXT))
    for context in (["--text", CONTEXT], ["--ids", ids]):
        found = document(invoke("count", "demo", *context, *args))
        assert found["value"] == str(expected)
        assert found["spec"]["variable"] == "residual stream at layer 1, position 4 (token 5)"
    # The tokens behind the position do not matter to a causal model.
    assert document(invoke("count", "demo", "--text", CONTEXT[:5], "--layer", 1, "--json"))[
        "value"
    ] == str(expected)


def test_bounds_from_numbers(invoke):
    found = document(invoke("bounds", "--keys", "3,3,3", "--dim", 2, "--json"))
    assert (found["value"], found["kind"]) == ("19", "upper")
    central = invoke("bounds", "--keys", "6,6,6", "--dim", 3, "--central")
    assert central.stdout.startswith("at most 92 routing cells\n")
    assert "Weibel" in central.stdout


def test_bounds_with_hundreds_of_digits(invoke):
    keys = ",".join([str(10**10)] * 500)
    found = document(invoke("bounds", "--keys", keys, "--dim", 500, "--json"))
    assert found["value"] == "1" + "0" * 5000
    assert found["log10"] == pytest.approx(5000)
    text = invoke("bounds", "--keys", keys, "--dim", 500)
    assert text.stdout.startswith("at most 1.000e+5000 (5001 digits) routing cells")


def test_bounds_of_an_input_with_its_live_keys(invoke, tmp_path):
    # Key 1 of the single head is dead: (0, 2) -> midpoint 1 with intercept -1 below 0.
    np.savez(tmp_path / "dead.npz", slopes=[[[0.0], [1.0], [2.0]]], intercepts=[[0.0, -1.0, 0.0]])
    assert document(invoke("bounds", tmp_path / "dead.npz", "--json"))["value"] == "3"
    assert document(invoke("bounds", tmp_path / "dead.npz", "--live", "--json"))["value"] == "2"


def test_sample_is_a_lower_bound_and_depends_on_the_seed_alone(invoke, strips):
    args = ["sample", strips, "--samples", 2000, "--domain", "box:-8,8", "--json"]
    one = document(invoke(*args, "--seed", 3, "--threads", 1))
    two = document(invoke(*args, "--seed", 3, "--threads", 2))
    assert one["value"] == two["value"]
    assert one["kind"] == "lower"
    assert 1 < int(one["value"]) <= 19
    assert one["seed"] == 3
    assert one["spec"]["distribution"] == "uniform"


def test_sample_on_the_whole_space_is_gaussian(invoke, strips):
    result = invoke("sample", strips, "--samples", 500)
    assert result.exit_code == 0
    assert re.match(r"at least \d+ routing cells\n", result.stdout)
    assert "gaussian, seed 0" in result.stdout


def test_scaling_of_strips_attains_the_bound(invoke, tmp_path):
    figure = tmp_path / "growth.png"
    found = document(
        invoke("scaling", "--samples", 0, "--keys", "2,3,4", "--output", figure, "--json")
    )
    rows = [r for r in found["tables"]["rows"] if r["family"] == "strips"]
    # T6 in the plane: N, N^2, and 1 + 3 (N - 1) + 3 (N - 1)^2 for H = 1, 2, 3.
    expected = [2, 3, 4, 4, 9, 16, 7, 19, 37]
    assert [int(r["exact"]["value"]) for r in rows] == expected
    assert [int(r["bound"]["value"]) for r in rows] == expected
    exponents = {
        (r["family"], r["heads"]): r["exact"]["exponent"] for r in found["tables"]["exponents"]
    }
    assert exponents["strips", 1] == pytest.approx(1)
    assert exponents["strips", 2] == pytest.approx(2)
    assert png(figure)


def test_scaling_prints_both_tables(invoke):
    result = invoke("scaling", "--family", "gaussian", "--keys", "2,4", "--heads", 3, "--central")
    assert result.exit_code == 0
    assert "common centre" in result.stdout
    assert "Exponents of N" in result.stdout


@pytest.mark.parametrize(
    "args", [[], ["--view", "partition"], ["--head", 1], ["--view", "polytope", "--head", 0]]
)
def test_plot_writes_a_figure(invoke, strips, tmp_path, args):
    target = tmp_path / "figure.png"
    result = invoke("plot", strips, "--output", target, *args)
    assert result.exit_code == 0, result.stderr
    assert png(target)
    assert result.stdout == ""
    assert result.stderr == f"written: {target}\n"


@pytest.mark.parametrize(
    ("args", "shown"),
    [([], "4 cones (4 keys)"), (["--domain", "box:-1,1"], "4 cells (4 keys)")],
)
def test_plot_of_bare_heads_in_space(invoke, tmp_path, args, shown):
    head, target = tmp_path / "head.npz", tmp_path / "figure.svg"
    np.savez(head, slopes=np.vstack([np.zeros(3), np.eye(3)])[None])
    result = invoke("plot", head, "--output", target, *args)
    assert result.exit_code == 0, result.stderr
    assert f"<!-- {shown} -->" in target.read_text()


@pytest.mark.long
def test_plot_of_a_model_on_its_own_plane(invoke, tmp_path):
    target = tmp_path / "figure.svg"
    result = invoke("plot", "demo", "--text", "3141=", "--output", target)
    assert result.exit_code == 0, result.stderr
    assert "<svg" in target.read_text()


@pytest.mark.long
def test_plot_of_several_checkpoints_moves(invoke, strips, tmp_path):
    other, target = tmp_path / "other.npz", tmp_path / "film.html"
    np.savez(other, slopes=np.random.default_rng(0).integers(-3, 4, (3, 3, 2)))
    result = invoke("plot", other, strips, "--view", "diagram", "--head", 1, "--output", target)
    assert result.exit_code == 0, result.stderr
    assert target.read_text().count("data:image/jpeg;base64") == 2
    assert result.stderr == f"written: {target}\n"


@pytest.mark.parametrize(
    ("heads", "target", "words"),
    [
        ((3, 3, 2), "x.png", "several with .gif or .html, got 2 with"),
        (None, "x.gif", "one INPUT with .png, .svg or .pdf needed"),
        ((2, 3, 2), "x.gif", "checkpoint with the heads and keys of the last one needed"),
        ((3, 2, 2), "x.gif", "checkpoint with the heads and keys of the last one needed"),
        ((3, 3, 1), "x.gif", "a variable in R^2, or a plane Slice as domain, needed"),
    ],
)
def test_plots_that_do_not_fit_each_other_are_refused(
    invoke, strips, tmp_path, heads, target, words
):
    inputs = [strips]
    if heads is not None:
        inputs.insert(0, tmp_path / "other.npz")
        np.savez(inputs[0], slopes=np.ones(heads))
    result = invoke("plot", *inputs, "--output", tmp_path / target)
    assert result.exit_code == 2 and words in result.stderr
    assert not (tmp_path / target).exists()


def test_a_film_is_of_models_or_of_polynomials(invoke, strips, tmp_path):
    for more in ([], ["--text", "83="]):
        result = invoke("plot", "demo", strips, *more, "--output", tmp_path / "x.gif")
        assert result.exit_code == 2 and "needed, got a model in" in result.stderr
        assert f"and polynomials in {strips}; leave out the one or the other." in result.stderr


def test_demo_tells_what_it_computed(invoke, tmp_path):
    target = tmp_path / "demo.png"
    result = invoke("demo", "--output", target)
    assert result.exit_code == 0, result.stderr
    assert png(target)
    assert "done  counting the cells of the common refinement" in result.stderr
    fixed = ta.load(shipped()).fix(CONTEXT)
    exact = int(ta.count_regions(fixed))
    found = re.search(r"([\d,]+) <= ([\d,]+) <= ([\d,]+) <= ([\d,]+): the three", result.stdout)
    low, middle, of_live, high = (int(word.replace(",", "")) for word in found.groups())
    assert low <= middle <= of_live <= high
    assert middle == exact
    # 9, 10, 9 and 10 live keys of 10, four heads in R^8: T6 is the product.
    assert (of_live, high) == (8_100, 10_000)
    words = " ".join(result.stdout.split())
    assert "for 4 heads of 10 keys, keys given" in words
    assert "for heads of 9 10 9 10 keys, live keys" in words
    dead = [set(range(10)) - set(head.active_terms().tolist()) for head in fixed.heads]
    for h, missing in enumerate(dead):
        row = next(line for line in result.stdout.splitlines() if line.split()[:1] == [str(h)])
        words = row.split()
        assert int(words[-1]) == 10 - len(missing)
        if not missing:
            assert words[-2] == "none"
        else:
            assert words[-1 - len(missing) : -1] == [f"{CONTEXT[j]}@{j}" for j in sorted(missing)]


def test_commands_agree_on_bound_and_sampler(invoke, tmp_path):
    """One bound (T6 for the keys given, 10^4) and one law of the draws for one input."""
    model = ["demo", "--text", CONTEXT]
    counted = document(invoke("count", *model, "--json"))
    (row,) = document(invoke("inspect", *model, "--layer", 0, "--json"))["tables"]["layers"]
    bounded = document(invoke("bounds", *model, "--json"))
    for bound in (counted["counts"]["bound"], row["bound"], bounded):
        assert bound["value"] == "10000"
        assert bound["stats"]["keys"] == [10, 10, 10, 10]
    live = document(invoke("bounds", *model, "--live", "--json"))
    assert live["value"] == row["bound_live"]["value"] == "8100"
    shown = invoke("demo", "--seed", 3, "--output", tmp_path / "demo.png").stdout
    drawn = document(invoke("sample", *model, "--seed", 3, "--json"))
    assert f"\n{int(drawn['value']):,} <= " in shown
    law = "normal round the mean of the context's states, 10 times as wide"
    assert drawn["spec"]["distribution"] == drawn["stats"]["distribution"] == law
    assert f"law: {law}" in " ".join(shown.split())
    named = document(invoke("sample", *model, "--distribution", "gaussian", "--json"))
    assert named["stats"]["distribution"] == "gaussian"
    assert named["value"] != drawn["value"]


def test_every_command_and_option_has_help():
    for name, command in main.commands.items():
        assert command.help, name
        assert command.short_help, name
        examples = re.findall(rf"^ *tropattn {name}", command.help, re.MULTILINE)
        assert len(examples) >= 2, name
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} {parameter.name}"
                words = parameter.get_help_record(click.Context(command))
                assert "None" not in str(words), f"{name} {parameter.name}"


@pytest.mark.long
def test_examples_in_the_help_run(invoke, strips, monkeypatch):
    monkeypatch.chdir(strips.parent)
    (strips.parent / "lines.txt").write_text("314159265=\n2718=\n")
    invoke("count", "demo", "--text", "314159265=", "--certificate", "demo.cert.gz")
    for name, command in main.commands.items():
        if name == "demo":
            continue
        for line in re.findall(rf"^ *tropattn ({name} .*)$", command.help, re.MULTILINE):
            if "--merge" in line:
                # It takes files of other machines; tests/unit/regions/jobs has some.
                continue
            result = invoke(*line.split())
            assert result.exit_code == 0, (line, result.stderr)


def test_help_and_version(invoke):
    assert "Exit codes" in invoke("--help").stdout
    assert invoke("--version").stdout.startswith("tropattn, version ")
    bare = invoke()
    assert bare.exit_code == 2
    assert "Commands:" in bare.stderr


def test_draws_that_nobody_named_fit_two_minutes(capsys):
    from tropattn.cli.commands import _draws_in_time

    assert _draws_in_time(100_000, False, 0.001) == 100_000
    assert capsys.readouterr().err == ""
    assert _draws_in_time(100_000, False, 0.5) == 200
    assert "a draw takes about 0.5 s, so 200 are taken; --samples takes another" in (
        capsys.readouterr().err
    )
    assert _draws_in_time(100_000, False, 1000.0) == 1
    capsys.readouterr()
    # A number that the user named is taken, and its time said.
    assert _draws_in_time(100_000, True, 0.5) == 100_000
    assert "100,000 draws about 13 h 53 min" in capsys.readouterr().err


@pytest.mark.parametrize(("heads", "samples", "hopeless"), [(30, 50, True), (1, 5000, False)])
def test_a_sample_of_new_cells_alone_says_so(invoke, tmp_path, heads, samples, hopeless):
    drawn = ta.initialisers.gaussian_heads(heads, 12, 8, seed=0)
    path = tmp_path / "heads.npz"
    arrays = {"slopes": [head.slopes for head in drawn]}
    np.savez(path, **arrays, intercepts=[head.intercepts for head in drawn])
    found = invoke("sample", path, "--samples", samples)
    assert found.exit_code == 0
    assert ("nearly every draw met a new cell" in found.stdout) is hopeless


@pytest.mark.long
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell, monkeypatch):
    """As the README and ``--help`` say; a prompt that waits imports no kernels."""
    monkeypatch.setenv("_TROPATTN_COMPLETE", f"{shell}_source")
    script = subprocess.run(
        [sys.executable, "-c", "from tropattn.cli import main; main(prog_name='tropattn')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"_TROPATTN_COMPLETE={shell}_complete" in script
    monkeypatch.setenv("_TROPATTN_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", "tropattn pl")
    monkeypatch.setenv("COMP_CWORD", "pl" if shell == "fish" else "1")
    found = subprocess.run(
        [sys.executable, "-c", "from tropattn.cli import main; main(prog_name='tropattn')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "plane" in found and "plot" in found and "count" not in found
