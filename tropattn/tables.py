"""Values as tables: rows, data frames, and files that other programs read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tropattn.errors import InvalidInput
from tropattn.outputs import output_path, writing

__all__ = ["Tabular", "csv_text", "frame", "latex_text", "markdown_text", "winners_by_head"]

Rows = Sequence[Mapping[str, Any]]

_ENDINGS = (".csv", ".parquet", ".md", ".tex")


class Tabular:
    """Base of values that are tables: one row a cell or term, by ``rows``."""

    __slots__ = ()

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a row, names of columns to numbers, words or None."""
        raise NotImplementedError

    def to_frame(self) -> Any:
        """The rows as a data frame of pandas, or of polars where pandas is not installed.

        Raises ``InvalidInput`` where neither is.
        """
        return frame(self.rows())

    def _shapes(self) -> dict[str, Any] | None:
        """A GeoJSON document of the polygons, where the value has some."""
        return None

    def write(self, path: str | Path) -> None:
        """Write the rows to a file by its ending, whole or not at all.

        ``.csv``, ``.parquet`` (needs pandas or polars), ``.md`` and ``.tex`` (a table to paste);
        of cells in a plane also ``.geojson``, their polygons with the rows as properties.

        Raises ``InvalidInput`` for other endings, and where the file cannot be written.
        """
        shapes = self._shapes() if str(path).endswith(".geojson") else None
        endings = _ENDINGS if self._shapes() is None else (*_ENDINGS, ".geojson")
        place = output_path(path, "path", endings)
        with writing(place, "path") as stream:
            if shapes is not None:
                stream.write(json.dumps(shapes, allow_nan=False).encode())
            elif place.suffix == ".parquet":
                stream.write(_parquet(self.rows()))
            else:
                text = {".csv": csv_text, ".md": markdown_text, ".tex": latex_text}[place.suffix]
                stream.write(text(self.rows()).encode())


def winners_by_head(pattern: Sequence[int]) -> dict[str, int]:
    """A pattern as columns, one a head.

    >>> winners_by_head([2, 0])
    {'head_0': 2, 'head_1': 0}
    """
    return {f"head_{h}": int(j) for h, j in enumerate(pattern)}


def frame(rows: Rows) -> Any:
    """Rows as a data frame of pandas, or of polars; ``InvalidInput`` where neither is installed."""
    for name in ("pandas", "polars"):
        try:
            return import_module(name).DataFrame(list(rows))
        except ImportError:
            continue
    raise InvalidInput(
        "to_frame: pandas or polars needed, neither is installed; install one, or use rows()."
    )


def _parquet(rows: Rows) -> bytes:
    found, stream = frame(rows), io.BytesIO()
    try:
        if hasattr(found, "to_parquet"):
            found.to_parquet(stream)
        else:
            found.write_parquet(stream)
    except ImportError:
        raise InvalidInput(
            "path: pyarrow needed beside pandas for .parquet, which is not installed; write .csv."
        ) from None
    return stream.getvalue()


def csv_text(rows: Rows) -> str:
    r"""Rows as CSV, names of columns first, nothing where a number is missing.

    >>> csv_text([{"cell": 0, "area": 0.5}, {"cell": 1, "area": None}])
    'cell,area\n0,0.5\n1,\n'
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def markdown_text(rows: Rows) -> str:
    r"""Rows as a table of Markdown.

    >>> print(markdown_text([{"key": "a|b", "area": 0.25}]), end="")
    | key | area |
    | --- | --- |
    | a\|b | 0.25 |
    """
    columns = _columns(rows)
    lines = [columns, ["---"] * len(columns)]
    lines += [[_word(row.get(name)).replace("|", "\\|") for name in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex_text(rows: Rows) -> str:
    r"""Rows as a ``tabular`` of LaTeX.

    >>> print(latex_text([{"head_0": 1, "area": 0.25}]), end="")
    \begin{tabular}{rr}
    \hline
    head\_0 & area \\
    \hline
    1 & 0.25 \\
    \hline
    \end{tabular}
    """
    columns = _columns(rows)
    lines = [columns, *([_word(row.get(name)) for name in columns] for row in rows)]
    top, *rest = [" & ".join(map(_latex, line)) + r" \\" for line in lines]
    body = ["\\begin{tabular}{" + "r" * len(columns) + "}", r"\hline", top, r"\hline", *rest]
    return "\n".join([*body, r"\hline", r"\end{tabular}", ""])


def _columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _word(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _latex(text: str) -> str:
    marks = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(marks.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
