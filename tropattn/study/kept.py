"""Studies whose parts a job keeps: a row, or a head, that is done is not done again.

What comes of a part goes through words, so that it is the same whether it was computed now or read
from the ledger: lists for tuples, counts field by field, numbers bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from tropattn.attention.loading.polynomials import STANDARD_INPUT
from tropattn.errors import InvalidInput
from tropattn.regions.jobs.driver import Order
from tropattn.regions.jobs.parts import Parts
from tropattn.regions.result import RegionCount
from tropattn.study.inputs import Source

__all__ = ["Kept", "kept", "lasting", "value_of", "words_of"]

Kept = Callable[[str, Callable[[], Any]], Any]
"""Gives what came of the part of that name: from before, or of the work."""

_COUNT = "RegionCount"


@contextmanager
def kept(
    job: str | None,
    command: str,
    asked: Mapping[str, Any],
    numbers: Any,
    parts: Sequence[str],
    merge: str = "rows",
) -> Iterator[Kept]:
    """Keep the parts of a study in a ledger; without a job do each when it is asked for.

    ``asked`` are the settings from which ``tropattn resume`` asks again, as JSON values;
    ``numbers`` is all else that the results depend on; ``merge`` says what the parts make together,
    "rows" of a table or the "union" of sets.

    Raises as ``Ledger.opened``.
    """
    if job is None:
        yield lambda _, work: work()
        return
    about = {"spec": json.dumps({"command": command, **asked})}
    # A file may move; what it holds is among the numbers.
    settings = {**asked, "source": {**(asked.get("source") or {}), "path": None}}
    with Order(job, about).begun((command, settings, numbers)) as opened:
        rows = Parts(opened.ledger, command, merge, parts)
        yield lambda path, work: value_of(rows.result(path, lambda: words_of(work())))


def lasting(source: Source) -> dict[str, Any]:
    """A source in words by which it is found again, also from another folder.

    >>> lasting(Source(path="/tmp/heads.npz"))["path"]
    '/tmp/heads.npz'
    """
    if source.path == STANDARD_INPUT:
        raise InvalidInput(
            "job: a file as INPUT needed, got standard input, which cannot be read again; write it "
            "to a file."
        )
    given = {entry.name: getattr(source, entry.name) for entry in fields(source)}
    return given | {"path": str(Path(source.path).absolute())}


def words_of(value: Any) -> Any:
    """A value of rows as JSON holds it, and ``value_of`` gives it back.

    >>> words_of({"row": (1, np.float64(0.5))})
    {'row': [1, 0.5]}
    """
    if isinstance(value, RegionCount):
        given = {entry.name: words_of(getattr(value, entry.name)) for entry in fields(value)}
        # In hexadecimal digits, which have no limit.
        return {_COUNT: given | {"value": f"{value.value:x}"}}
    if isinstance(value, Mapping):
        return {name: words_of(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [words_of(entry) for entry in value]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def value_of(words: Any) -> Any:
    """The value again, its tuples as lists.

    >>> value_of(words_of([RegionCount(6, "exact", "cells", "R^2", "plane")]))
    [RegionCount(6 cells, exact, R^2, plane)]
    """
    if isinstance(words, dict):
        if _COUNT in words:
            given = value_of(words[_COUNT])
            return RegionCount(**{**given, "value": int(given["value"], 16)})
        return {name: value_of(entry) for name, entry in words.items()}
    if isinstance(words, list):
        return [value_of(entry) for entry in words]
    return words
