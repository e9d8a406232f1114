"""The experiments' files fit together, and the page says what their reports say."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = sorted((ROOT / "experiments").glob("e0*"))
PAGE = ROOT / "docs" / "experiments.md"


def spec_of(folder):
    return tomllib.loads((folder / "spec.toml").read_text(encoding="utf-8"))


def readme_of(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def test_there_are_nine():
    assert [folder.name[:3] for folder in FOLDERS] == [f"e0{i}" for i in range(1, 10)]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_claim_is_expected_and_computed(folder):
    spec = spec_of(folder)
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    claims, optional = set(spec["claims"]), set(spec.get("optional", ()))
    assert optional <= claims
    assert set(expected) == {"smoke", "full"}
    assert set(expected["full"]) == claims
    assert claims - optional <= set(expected["smoke"]) <= claims
    # Claims whose names are literals must all be there; others are made from them.
    tree = ast.parse((folder / "run.py").read_text(encoding="utf-8"))
    named = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "claim"
        and isinstance(call.args[0], ast.Constant)
    }
    assert named <= claims


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_profiles_ask_for_the_same_things(folder):
    spec = spec_of(folder)
    assert set(spec["smoke"]) == set(spec["full"])
    assert spec["question"].endswith("?")
    assert set(spec["minutes"]) == {"smoke", "full"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_readme_has_question_command_and_result(folder):
    text, spec = readme_of(folder), spec_of(folder)
    assert spec["question"] in text
    assert f"python experiments/{folder.name}/run.py --profile full" in text
    result = text.partition("## Result")[2]
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    for name in expected["full"]:
        assert f"- {spec['claims'][name]}: " in result, name
    index = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    assert f"`{folder.name}`" in index


def test_the_time_budgets_hold():
    minutes = [spec_of(folder)["minutes"] for folder in FOLDERS]
    # Minutes of processors: two cores have twice as many.
    assert sum(m["smoke"] for m in minutes) < 5
    assert sum(m["full"] for m in minutes) < 60


def test_tables_of_the_page_are_lines_of_the_reports():
    known = "\n".join(readme_of(folder) for folder in FOLDERS)
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    assert len(lines) > 20
    for line in lines:
        assert line in known, line


def test_quoted_results_of_the_page_are_lines_of_the_reports():
    known = {line for folder in FOLDERS for line in readme_of(folder).splitlines()}
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "- "]
    assert lines
    for line in lines:
        assert line in known, line


def test_figures_of_the_page_exist_and_are_small():
    text = PAGE.read_text(encoding="utf-8")
    names = re.findall(r"\]\((figures/[a-z0-9-]+\.png)\)", text)
    assert len(names) >= len(FOLDERS)
    assert {path.name for path in (ROOT / "docs" / "figures").glob("e0*.png")} == {
        Path(name).name for name in names
    }
    assert sum((ROOT / "docs" / name).stat().st_size for name in names) < 1_000_000
