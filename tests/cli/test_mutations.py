"""Bad input of every kind ends with one line and exit code 2, or with a good answer."""

from collections import defaultdict

import pytest
from cli.mutations import Case, all_cases, limited, run

CASES = all_cases()
KINDS: dict[str, list[Case]] = defaultdict(list)
for made in CASES:
    KINDS[made.kind].append(made)

SLOW = ("--time", "--step", "--seeds", "--samples", "--keys", "--heads", "--dim")
"""Options whose larger values are good and take their time."""


def few(kind: str) -> list[Case]:
    """About a twentieth of the cases of a kind, spread over them; two of each kind of option."""
    cases = [case for case in KINDS[kind] if not case.name.startswith(SLOW)] or KINDS[kind]
    return cases[3 :: len(cases) // 2] if "option" in kind else cases[::20]


def test_a_thousand_of_all_kinds():
    assert len(CASES) >= 1000 and len(KINDS) >= 15


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bomb"])
def test_some_of_each_kind(kind):
    for case in few(kind):
        assert run(case) is None, case.name


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_all_within_limits(part):
    """Each in a process of 500 MB, and for 5 seconds."""
    first, last = (len(CASES) * (part + i) // 8 for i in (0, 1))
    bad = [f"{CASES[i].kind}, {CASES[i].name}: {end}" for i, end in limited(first, last) if end]
    assert not bad, "\n".join(bad)
