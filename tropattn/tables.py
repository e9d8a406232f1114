"""Tables: rows of named entries, as data frames and as the files that other programs read."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tropattn.errors import InvalidInput
from tropattn.files import printable
from tropattn.outputs import output_path, writing
from tropattn.values import Value

__all__ = ["Table", "Tabular", "winners_by_head"]

_ENDINGS = {".csv": "csv", ".md": "md", ".parquet": "parquet", ".tex": "latex"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Table(Value):
    """One table, in the forms that other programs read.

    Attributes
    ----------
    name : of the table.
    rows : mappings of column names to entries that JSON knows; lists are JSON in the other forms.
    header : names of the columns where there are no rows.

    Examples
    --------
    >>> table = Table("heads", [{"head": 0, "sink": "a,b"}, {"head": 1, "gap": 0.5}])
    >>> print(table.text("csv"), end="")
    head,sink,gap
    0,"a,b",
    1,,0.5
    >>> print(table.text("md"), end="")
    | head | sink | gap |
    |---|---|---|
    | 0 | a,b |  |
    | 1 |  | 0.5 |
    >>> print(Table("dead", [], ("id", "word")).text("csv"), end="")
    id,word
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    header: Sequence[str] = ()

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the order in which rows first have them."""
        return list(dict.fromkeys(str(name) for row in self.rows for name in row)) or [*self.header]

    def filled(self) -> list[list[Any]]:
        """The entries row by row, None where a row has none."""
        columns = self.columns
        return [[row.get(name) for name in columns] for row in self.rows]

    def text(self, form: str) -> str:
        """Return the table as ``csv``, ``json``, ``md`` or ``latex``.

        Without rows and header nothing but in JSON.

        Raises ``InvalidInput`` for another form.
        """
        columns, rows = self.columns, self.filled()
        if not columns and form in ("csv", "md", "latex"):
            return ""
        if form == "json":
            entries = [dict(zip(columns, row, strict=True)) for row in rows]
            text = json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        elif form == "csv":
            stream = io.StringIO()
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerows([columns, *([_cell(value) for value in row] for row in rows)])
            text = stream.getvalue()
        elif form in ("md", "latex"):
            cells = [[_cell(value) for value in row] for row in rows]
            lines = (_markdown if form == "md" else _latex)(columns, cells)
            text = "".join(f"{line}\n" for line in lines)
        else:
            raise InvalidInput(f"form: csv, json, md or latex needed, got {form!r}.")
        return printable(text)

    def to_frame(self, library: str | None = None) -> Any:
        """Return a data frame of ``pandas`` or ``polars``, by default of the one installed.

        Raises ``InvalidInput`` where the library is not installed, or is another one.
        """
        if library not in (None, "pandas", "polars"):
            raise InvalidInput(f"library: 'pandas' or 'polars' needed, got {library!r}.")
        columns, rows = self.columns, self.filled()
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
        stream = io.BytesIO()
        # Where both are installed polars writes it: pandas needs a third package.
        if importlib.util.find_spec("polars"):
            self.to_frame("polars").write_parquet(stream)
            return stream.getvalue()
        try:
            self.to_frame().to_parquet(stream, index=False)
        except ImportError:
            raise InvalidInput(
                "form: pandas with pyarrow, or polars, needed for parquet, got pandas alone; "
                "install pyarrow with pip, or take another form."
            ) from None
        return stream.getvalue()


class Tabular:
    """Base of values that are tables: one row a cell or term, by ``rows``."""

    __slots__ = ()
    _SHAPES: ClassVar[tuple[str, ...]] = ()
    """Endings of files that hold the shapes of the cells."""

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a row, names of columns to numbers, words or None."""
        raise NotImplementedError

    def to_frame(self, library: str | None = None) -> Any:
        """The rows as a data frame of ``pandas`` or ``polars``, by default of the one installed.

        Raises ``InvalidInput`` where the library is not installed, or is another one.
        """
        return self._table.to_frame(library)

    def write(self, path: str | Path) -> None:
        """Write the rows to a file by its ending, whole or not at all.

        ``.csv``, ``.parquet`` (needs polars, or pandas with pyarrow), ``.md`` and ``.tex`` (a table
        to paste); of cells in a plane also ``.geojson``, their polygons with the rows as
        properties; of bounded cells in R^3 also ``.off`` and ``.obj``, their facets cell by cell.

        Raises ``InvalidInput`` for other endings, and where the file cannot be written.
        """
        place = output_path(path, "path", (*_ENDINGS, *self._SHAPES))
        ending = place.suffix.lower()
        shapes = self._shapes(ending) if ending in self._SHAPES else ""
        with writing(place, "path") as stream:
            if shapes:
                stream.write(shapes.encode())
            elif ending == ".parquet":
                stream.write(self._table.parquet())
            else:
                stream.write(self._table.text(_ENDINGS[ending]).encode())

    def _listed(self) -> list[dict[str, Any]]:
        return self.rows()

    @property
    def _table(self) -> Table:
        return Table(type(self).__name__, self.rows())

    def _shapes(self, ending: str) -> str:
        """The cells' shapes as a file of one of the endings in ``_SHAPES``."""
        raise NotImplementedError


def winners_by_head(pattern: Sequence[int]) -> dict[str, int]:
    """A pattern as columns, one a head.

    >>> winners_by_head([2, 0])
    {'head_0': 2, 'head_1': 0}
    """
    return {f"head_{h}": int(j) for h, j in enumerate(pattern)}


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
