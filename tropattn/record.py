"""``Record``: what a command found, as one versioned JSON document.

A record holds the question (command, spec, seed), the software that answered it, and the answer:
counts with their kind and domain, and tables. Integers that a double cannot hold are written as
decimal strings; numbers that JSON has no word for (NaN, infinities) as null.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tropattn.errors import InvalidInput
from tropattn.files import printable
from tropattn.outputs import writing
from tropattn.polyhedra.domain import Domain
from tropattn.regions.result import RegionCount, decimal
from tropattn.tables import Table
from tropattn.values import Value

__all__ = ["SCHEMA", "SCHEMA_VERSION", "Record", "Table", "plain", "software"]

SCHEMA = "tropattn.record"
SCHEMA_VERSION = 1

_LARGEST_JSON_INT = 2**53


def software() -> dict[str, str]:
    """Versions of this package and of those that its numbers rest on.

    >>> sorted(software())
    ['numba', 'numpy', 'python-flint', 'tropattn']
    """
    found = {}
    for name in ("tropattn", "numpy", "numba", "python-flint"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


_HEADERS = {
    "changed": ("id", "word", "first", "second"),
    "dead": ("id", "word", "why", "second", "members", "others", "weights", "reach"),
    "facets": ("cell", "unit", "key", "row"),
    "pieces": ("kind", "one", "other", "from_0", "from_1", "to_0", "to_1", "length", "edges"),
    "twins": ("ids", "words"),
}
"""Columns of the tables that may have no rows."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Record(Value):
    """One result with everything that is needed to ask for it again.

    Attributes
    ----------
    command : the name of the study or command.
    spec : its settings, names to JSON values (domains and dataclasses are put into words).
    counts : counts by role, such as ``"exact"``, ``"bound"``, ``"sampled"``.
    tables : lists of rows by name; a row maps column names to values, counts included.
    seed : of the random draws; None where nothing was drawn.
    answer : the count that the command was asked for, if it is one: its fields then stand at the
        top of the document too.
    versions : of the software, ``software()`` unless given.

    Examples
    --------
    >>> count = RegionCount(6, "exact", "cells", "R^2", "enumeration")
    >>> document = json.loads(Record("count", {"layer": 0}, answer=count).to_json())
    >>> document["schema"], document["schema_version"], document["value"], document["kind"]
    ('tropattn.record', 1, '6', 'exact')
    """

    command: str
    spec: Mapping[str, Any]
    counts: Mapping[str, RegionCount] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    seed: int | None = None
    answer: RegionCount | None = None
    versions: Mapping[str, str] = field(default_factory=software)

    def __repr__(self) -> str:
        answer = "" if self.answer is None else f", {self.answer}"
        return f"Record({self.command}{answer})"

    def as_dict(self) -> dict[str, Any]:
        """Return the document as plain dictionaries, lists, strings and numbers."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "command": self.command,
            **({} if self.answer is None else plain(self.answer)),
            "spec": plain(self.spec),
            "seed": self.seed,
            "versions": dict(self.versions),
            "counts": plain(self.counts),
            "tables": plain(self.tables),
        }

    def table(self, name: str) -> Table:
        """Return one table by its name; raises ``InvalidInput`` for another name.

        >>> Record("inspect", {}, {}, {"heads": [{"head": 0}]}).table("heads").columns
        ['head']
        """
        if name not in self.tables:
            known = ", ".join(self.tables) or "none"
            raise InvalidInput(f"name: a table of the record ({known}) needed, got {name!r}.")
        rows = [{key: _entry(value) for key, value in row.items()} for row in self.tables[name]]
        return Table(name, rows, _HEADERS.get(name, ()))

    def to_json(self, indent: int | None = 2) -> str:
        """Return the document as JSON text, without a newline at the end."""
        text = json.dumps(self.as_dict(), indent=indent, ensure_ascii=False, allow_nan=False)
        return printable(text)

    def write(self, path: str | Path) -> None:
        """Write the document to a file, whole or not at all.

        Raises ``InvalidInput`` where the file cannot be written.
        """
        with writing(path) as stream:
            stream.write((self.to_json() + "\n").encode())


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: counts, domains, dataclasses, arrays and rationals included.

    Integers beyond 2^53 and rationals become strings, numbers that are not finite become None.

    >>> plain({"n": 10**20, "x": float("nan"), "row": np.arange(2), "half": Fraction(1, 2)})
    {'n': '100000000000000000000', 'x': None, 'row': [0, 1], 'half': '1/2'}
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, RegionCount):
        return {name: plain(entry) for name, entry in value.as_dict().items()}
    if isinstance(value, Domain):
        return value.describe()
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST_JSON_INT else decimal(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Fraction | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Sequence | set | frozenset):
        return [plain(entry) for entry in value]
    raise InvalidInput(
        f"record: numbers, strings, lists and mappings needed, got {type(value).__name__}; "
        "put it into words first."
    )


def _entry(value: Any) -> Any:
    """One entry of a table; a count is its value, which says less than the record."""
    return plain(value.value if isinstance(value, RegionCount) else value)
