"""``Record``: what a command found, as one versioned JSON document.

A record holds the question (command, spec, seed), the software that answered it, and the answer:
counts with their kind and domain, and tables. Integers that a double cannot hold are written as
decimal strings; numbers that JSON has no word for (NaN, infinities) as null.
"""

from __future__ import annotations

import csv
import importlib
import importlib.metadata
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
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
        return Table(name, self.tables[name])

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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Table(Value):
    """One table of a record, in the forms that other programs read.

    Attributes
    ----------
    name : in the record.
    rows : mappings of column names to values.

    Examples
    --------
    >>> table = Table("heads", [{"head": 0, "sink": "a,b"}, {"head": 1, "gap": 0.5}])
    >>> print(table.text("csv"), end="")
    head,sink,gap
    0,"a,b",
    1,,0.5
    >>> print(table.text("md"))
    | head | sink | gap |
    |---|---|---|
    | 0 | a,b |  |
    | 1 |  | 0.5 |
    """

    name: str
    rows: Sequence[Mapping[str, Any]]

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the order in which rows first have them."""
        return list(dict.fromkeys(str(name) for row in self.rows for name in row))

    def plain_rows(self) -> list[list[Any]]:
        """The entries as JSON knows them, None where a row has none; counts are their value."""
        columns = self.columns
        return [[_entry(row.get(name)) for name in columns] for row in self.rows]

    def text(self, form: str) -> str:
        """Return the table as ``csv``, ``json``, ``md`` or ``latex``; lists are JSON there.

        Raises ``InvalidInput`` for another form.
        """
        if form == "json":
            rows = [dict(zip(self.columns, row, strict=True)) for row in self.plain_rows()]
            return printable(json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"
        cells = [[_cell(value) for value in row] for row in self.plain_rows()]
        if form == "csv":
            stream = io.StringIO()
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerows([self.columns, *cells])
            return printable(stream.getvalue())
        if form == "md":
            return printable("\n".join(_markdown(self.columns, cells)))
        if form == "latex":
            return printable("\n".join(_latex(self.columns, cells)) + "\n")
        raise InvalidInput(f"form: csv, json, md or latex needed, got {form!r}.")

    def to_frame(self, library: str | None = None) -> Any:
        """Return a data frame of ``pandas`` or ``polars``, by default of the one installed.

        Raises ``InvalidInput`` where the library is not installed, or is another one.
        """
        if library not in (None, "pandas", "polars"):
            raise InvalidInput(f"library: 'pandas' or 'polars' needed, got {library!r}.")
        columns, rows = self.columns, self.plain_rows()
        for name in ("pandas", "polars") if library is None else (library,):
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError:
                continue
            if name == "pandas":
                return module.DataFrame(rows, columns=columns)
            data = {name: [row[at] for row in rows] for at, name in enumerate(columns)}
            return module.DataFrame(data, strict=False)
        raise InvalidInput(
            f"library: {library or 'pandas or polars'} needed, got no such package; install it "
            "with pip, or take another form: csv, json, md or latex."
        )

    def parquet(self) -> bytes:
        """Return the table as a Parquet file; needs polars, or pandas with pyarrow.

        Raises ``InvalidInput`` where they are not installed.
        """
        frame, stream = self.to_frame(), io.BytesIO()
        try:
            if hasattr(frame, "to_parquet"):
                frame.to_parquet(stream, index=False)
            else:
                frame.write_parquet(stream)
        except ImportError:
            raise InvalidInput(
                "form: pandas with pyarrow, or polars, needed for parquet, got pandas alone; "
                "install pyarrow with pip, or take another form."
            ) from None
        return stream.getvalue()


def _entry(value: Any) -> Any:
    """One entry of a table; a count is its value, which says less than the record."""
    return plain(value.value if isinstance(value, RegionCount) else value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _markdown(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in cells:
        yield f"| {' | '.join(_one_line(cell).replace('|', chr(92) + '|') for cell in row)} |"


def _latex(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{{'l' * len(columns)}}}"
    for row in (columns, *cells):
        yield " & ".join(_escaped(_one_line(cell)) for cell in row) + r" \\"
        if row is columns:
            yield r"\hline"
    yield r"\end{tabular}"


def _one_line(cell: str) -> str:
    return " ".join(cell.splitlines())


_LATEX = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def _escaped(cell: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in cell)
