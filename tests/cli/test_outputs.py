"""What commands write: never what they read, never twice the same file, whole or not at all.

The count of the heads used here is 19, the bound T6, which these heads reach.
"""

import gzip
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tomllib
import warnings
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import pytest

from tropattn.cli.options import shipped
from tropattn.regions.result import RegionCount

ROOT = Path(__file__).parents[2]
OWN = "a file of its own needed"


def one_line(result, code, *words):
    assert result.exit_code == code, (result.exit_code, result.output)
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def home(strips, tmp_path, monkeypatch):
    """A folder with all that commands read, and other names for some of it."""
    monkeypatch.chdir(tmp_path)
    np.savez("plane.npz", points=np.eye(3)[:, :2])
    np.savez("gaussian.npz", S=np.eye(2))
    Path("link.npz").symlink_to("heads.npz")
    Path("hard.npz").hardlink_to("heads.npz")
    Path("link.png").symlink_to("heads.npz")
    Path("link.gif").symlink_to("heads.npz")
    Path("shipped.png").symlink_to(shipped())
    Path("net").mkdir()
    shutil.copy(shipped(), "net/model.safetensors")
    Path("net/vocab.txt").write_text("0\n1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["count", "heads.npz", "--output", "heads.npz"], "got heads.npz, which is an input"),
        (["count", "--output", "heads.npz", "heads.npz"], "output: "),
        (["count", "heads.npz", "--certificate", "./net/../heads.npz"], "certificate: "),
        (["count", "heads.npz", "--output", "link.npz"], "which is an input"),
        (["count", "link.npz", "--output", "heads.npz"], "which is an input"),
        (["count", "heads.npz", "--certificate", "hard.npz"], "which is an input"),
        (["count", "heads.npz", "--output", "plane.npz", "--domain", "plane:plane.npz"], OWN),
        (["count", "heads.npz", "--domain", "plane:plane.npz", "--certificate", "plane.npz"], OWN),
        (["plot", "heads.npz", "--output", "link.png"], "which is an input"),
        (["plot", "plane.npz", "heads.npz", "--output", "link.gif"], "which is an input"),
        (["temperature", "heads.npz", "--output", "link.png"], "which is an input"),
        (["scaling", "heads.npz", "--output", "link.png"], "which is an input"),
        (["inspect", "net", "--text", "1", "--output", "shipped.png"], "which is an input"),
        (["demo", "--output", "shipped.png"], "which is an input"),
        (["count", "demo", "--text", "1", "--output", shipped()], "which is an input"),
        (["count", "net", "--text", "1", "--output", "net/model.safetensors"], OWN),
        (["count", "net/model.safetensors", "--text", "1", "--output", "net/vocab.txt"], OWN),
        # Not there yet, but the next command would read it as part of the model.
        (["count", "net", "--text", "1", "--certificate", "net/config.json"], OWN),
        (["dynamics", "gaussian", "link.png", "--output", "link.png"], "which is an input"),
        (["dynamics", "hardmax", "--output", "link.png", "heads.npz"], "which is an input"),
        (["count", "heads.npz", "--output", "x", "--certificate", "x"], "which --output names too"),
        (["count", "heads.npz", "--certificate", "x", "--output", "./net/../x"], "--certificate"),
    ],
)
def test_inputs_and_twins_are_refused_before_the_work(invoke, home, monkeypatch, args, words):
    def work(*_, **__):
        raise AssertionError("worked before it looked at the output")

    before = contents(home)
    for name in ("study.inputs.open_heads", "study.dynamics.run", "study.counting.count"):
        monkeypatch.setattr(f"tropattn.{name}", work)
    weights = Path(shipped()).read_bytes()
    one_line(invoke(*args), 2, OWN, words)
    assert contents(home) == before
    assert Path(shipped()).read_bytes() == weights


def test_other_files_beside_the_inputs_are_written(invoke, home):
    done = invoke("count", "heads.npz", "--output", "net/out.json", "--certificate", "net/c.gz")
    assert done.exit_code == 0, done.stderr
    assert json.loads(Path("net/out.json").read_text())["value"] == "19"
    assert b'{"count":"19"}' in gzip.decompress(Path("net/c.gz").read_bytes())
    assert sorted(p.name for p in Path("net").iterdir()) == sorted(
        ["model.safetensors", "vocab.txt", "out.json", "c.gz"]
    )


@pytest.mark.long
def test_nothing_stays_of_what_goes_to_a_device(invoke, home):
    Path("null").symlink_to("/dev/null")
    Path("null.svg").symlink_to("/dev/null")
    done = invoke("count", "heads.npz", "--output", "null", "--certificate", "null")
    assert (done.exit_code, done.stdout.split()[0]) == (0, "19")
    assert invoke("dynamics", "gaussian", "--output", "null.svg").exit_code == 0
    for name in ("null", "null.svg"):
        assert Path(name).readlink() == Path("/dev/null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_planted_link_is_not_followed(invoke, home):
    Path("victim").write_text("precious")
    Path("c.gz.partial").symlink_to("victim")
    assert invoke("count", "heads.npz", "--certificate", "c.gz").exit_code == 0
    assert Path("victim").read_text() == "precious"
    assert Path("c.gz.partial").is_symlink() and not Path("c.gz").is_symlink()


@pytest.mark.long
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["count", "heads.npz", "--output", "old"], "output: room for the file needed"),
        (["count", "heads.npz", "--certificate", "old"], "certificate: room for the file needed"),
        (["plot", "heads.npz", "--output", "old.png"], "output: room for the file needed"),
        (["dynamics", "gaussian", "--output", "old.png"], "output: room for the file needed"),
    ],
)
def test_a_full_disk_is_one_line_and_loses_nothing(invoke, home, args, words):
    # Kernels and fonts that this command needs are in their caches then.
    assert invoke(*args[:-1], f"warm{Path(args[-1]).suffix}").exit_code == 0
    Path("old").write_text("old")
    Path("old.png").write_text("old")
    before = contents(home)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # No file may grow beyond 200 bytes.
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
        result = invoke(*args)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    one_line(result, 2, words, "old")
    assert contents(home) == before


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (MemoryError(), 3), (ValueError("x"), 70)],
)
def test_an_unfinished_certificate_goes_and_the_old_one_stays(
    invoke, home, monkeypatch, error, code
):
    def stopped(*_, **__):
        assert len(list(home.glob(".tropattn-*"))) == 1
        raise error

    Path("c.gz").write_text("old")
    before = contents(home)
    monkeypatch.setattr("tropattn.regions.search.enumeration.explore", stopped)
    assert invoke("count", "heads.npz", "--certificate", "c.gz").exit_code == code
    assert contents(home) == before


# ---- memory, warnings, the environment -----------------------------------------------------------


def test_out_of_memory_keeps_the_lower_bound(invoke, strips, monkeypatch, tmp_path):
    """No memory once a third of the cells is counted: as many are the valid lower bound."""
    from tropattn.regions.search.enumeration import _Driver

    plain, seen = _Driver.collect, []

    def collect(self, result):
        left = plain(self, result)
        seen.append(self.found)
        if self.found >= 6:
            raise MemoryError
        return left

    monkeypatch.setattr(_Driver, "collect", collect)
    # Ranges of two programs, so that no one range holds all 19 cells.
    monkeypatch.setattr("tropattn.regions.search.enumeration._BUDGETS", (2,))
    target = tmp_path / "out.json"
    result = invoke("count", strips, "--engine", "enumeration", "--output", target)
    assert 6 <= seen[-1] < 19
    one_line(result, 3, "memory: more than the system gives needed", f"at least {seen[-1]} cells")
    assert json.loads(target.read_text())["value"] == str(seen[-1])


def test_arrays_beyond_memory_are_no_bug(invoke, strips, monkeypatch):
    def huge(*_, **__):
        return np.empty((2**30, 2**20))

    monkeypatch.setattr("tropattn.study.draws.sample_judged", huge)
    one_line(invoke("sample", strips), 3, "memory: more than the system gives needed")


def test_a_warning_is_one_line(invoke, strips, monkeypatch):
    def warned(*_, **__):
        warnings.simplefilter("default")
        warnings.warn("kernels: a damaged\ncache", RuntimeWarning, stacklevel=1)
        found = RegionCount(19, "exact", "cells", "R^2", "enumeration")
        return found, found

    monkeypatch.setattr("tropattn.study.counting.count_with_bound", warned)
    result = invoke("count", strips)
    assert (result.exit_code, result.stdout.split()[0]) == (0, "19")
    assert result.stderr == "tropattn: warning: kernels: a damaged cache\n"


def test_what_is_installed_is_what_is_asked_for():
    """The endings of commands need names that click has since 8.2."""
    requirements = pytest.importorskip("packaging.requirements")
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [requirements.Requirement(text) for text in document["project"]["dependencies"]]
    for package in asked:
        assert package.specifier.contains(version(package.name)), str(package)
    (click_asked,) = (package for package in asked if package.name == "click")
    assert not click_asked.specifier.contains("8.1.8")
    assert click.exceptions.NoArgsIsHelpError.show and click.exceptions.UsageError.format_message


def python(code, **extra):
    env = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=env | extra,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


_HOMELESS = """
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = []
from tropattn.cli import main
main({0})
"""


def test_help_without_a_folder_for_caches():
    done = python(_HOMELESS.format(["--help"]))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: tropattn")


@pytest.mark.slow
def test_count_without_a_folder_for_caches(strips):
    done = python(_HOMELESS.format(["count", str(strips)]))
    assert (done.returncode, done.stdout.split()[0]) == (0, "19")
    assert done.stderr.startswith("tropattn: warning: kernels: no folder for their cache")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_damaged_cache_of_all_kernels(strips, tmp_path):
    code = f"from tropattn.cli import main; main(['count', {str(strips)!r}])"
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert python(code, **cache).stderr == ""
    files = sorted((tmp_path / "cache").rglob("*.nb[ic]"))
    for number, path in enumerate(files):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * (number % 4) // 4])
    done = python(code, **cache)
    assert len(files) > 10 and (done.returncode, done.stdout.split()[0]) == (0, "19")
    assert done.stderr.startswith("tropattn: warning: kernels: a damaged cache in ")
    assert done.stderr.count("\n") == 1
    assert python(code, **cache).stderr == ""


def test_a_figure_of_tokens_in_space_is_refused_before_the_work(invoke, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("layers were run")

    monkeypatch.setattr("tropattn.study.dynamics.simulate", never)
    found = invoke("dynamics", "hardmax", "--dim", 3, "--output", tmp_path / "leaders.png")
    assert found.exit_code == 2
    assert "output: tokens of the plane needed for a figure, got dimension 3" in found.stderr


def test_a_folder_that_takes_no_file_is_refused_before_the_work(invoke, monkeypatch):
    def never(*_, **__):
        raise AssertionError("rows were counted")

    # Permissions allow it to the superuser, the system of files to nobody.
    monkeypatch.setattr("tropattn.study.scaling.rows", never)
    monkeypatch.setattr("os.access", lambda *_, **__: True)
    found = invoke("scaling", "--keys", "2", "--output", "/proc/growth.png")
    assert found.exit_code == 2
    assert "output: a file in a writable folder needed" in found.stderr
