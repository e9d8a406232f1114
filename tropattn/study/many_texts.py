"""Heads of a model over many texts: mean and spread of what ``inspection`` says of each text.

texts of a file -> a record of each, kept in a folder as soon as it is there -> their numbers, head
by head.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tropattn.attention.loading import load
from tropattn.attention.loading.paths import files_read
from tropattn.attention.networks.model import Model
from tropattn.errors import InvalidInput
from tropattn.files import parse_json, printable, read_bytes, read_json
from tropattn.outputs import output_folder
from tropattn.progress import Listening, counting
from tropattn.record import Record, plain
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec, context_of, inspect
from tropattn.study.layer import Step

__all__ = ["MEASURED", "TextsSpec", "read_texts", "run"]

Row = dict[str, Any]
Result = TypeVar("Result")

MEASURED = ("keys", "live", "reachable", "won", "gap", "weight", "hardness", "sink_wins")
"""Columns of an inspection's heads that are averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextsSpec:
    """Settings of ``run``.

    Attributes
    ----------
    source : model file, layer and position as for ``InspectionSpec``; the file has the contexts.
    texts : file with a text a line, see ``read_texts``.
    records : folder in which the record of each text is kept as soon as it is there, and where
        records of an earlier run are taken from; None keeps none.
    heads, threads : as for ``InspectionSpec``.
    progress : whether a counter on stderr follows the texts.
    """

    source: Source
    texts: str
    records: str | None = None
    heads: tuple[int, ...] | None = None
    threads: int | None = None
    progress: Listening = False


def run(spec: TextsSpec, step: Step = nullcontext) -> Record:
    """Look into every head of a model for each text of a file (theory T1, T8).

    Parameters
    ----------
    spec : the question.
    step : opens each step by name, for progress.

    Returns
    -------
    Record
        Table ``heads``, a row per layer and head: ``texts``, and of each number of ``MEASURED`` its
        mean over the texts and, under its name with ``_spread``, its standard deviation (None of
        one text); texts in which a number has no meaning are left out. Table ``texts``, a row per
        text: its ``line``, ``tokens``, and ``record``, the file that keeps its own.

    Raises
    ------
    InvalidInput : a file, text, layer, position or head that does not fit, with the line; a folder
        that holds records of other weights, texts or settings.

    Notes
    -----
    Cost: ``inspection.inspect`` without cells, once a text that the folder does not hold.
    """
    given = read_texts(spec.texts)
    with step("reading weights"):
        model = load(spec.source.path)
        weights = _digest(spec.source.path)
    asked = {line: replace(spec.source, **context) for line, context in given.items()}
    # All texts are read before the first is looked at, which may take long.
    contexts = {line: _of_line(spec, line, _context, model, asked[line]) for line in asked}
    folder = None if spec.records is None else output_folder(spec.records, "records")
    heads: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    texts: list[Row] = []
    with step(f"{len(given)} texts"), counting("texts", spec.progress, "") as report:
        for line, (context, n_tokens) in contexts.items():
            place = None if folder is None else folder / f"text-{line:06}.json"
            settings = {"source": asked[line], "heads": spec.heads, "weights": weights}
            rows = None if place is None else _kept(place, settings)
            if rows is None:
                record = _of_line(spec, line, _inspected, model, context, spec, settings)
                if place is not None:
                    record.write(place)
                rows = record.table("heads").rows
            for row in rows:
                heads.setdefault((row["layer"], row["head"]), []).append(row)
            texts.append({"line": line, "tokens": n_tokens, "record": place})
            if report is not None:
                report(len(texts), len(given) - len(texts))
    summary = [_summary(*at, rows) for at, rows in heads.items()]
    question = {
        "source": spec.source,
        "texts": spec.texts,
        "records": spec.records,
        "heads": spec.heads,
        "weights": weights,
    }
    return Record("inspect", question, {}, {"heads": summary, "texts": texts})


# ---- the file -----------------------------------------------------------------------------------


def read_texts(path: str) -> dict[int, dict[str, str]]:
    r"""Read a file with a text a line; the number of each line, from 1, and its context.

    Parameters
    ----------
    path : of a file in UTF-8. A line that begins with ``{`` is a JSON object with ``text``, or with
        ``ids``, a list of token ids, and optionally ``mask``, 1 for each that counts; every other
        line is a text as it stands. Empty lines are left out.

    Returns
    -------
    dict
        Line to ``text``, ``ids`` and ``mask`` of a ``Source``.

    Raises
    ------
    InvalidInput : no such file, none in UTF-8, no text in it, or a line of another form.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "t").write_text('a b\n\n{"ids": [3, 1], "mask": [1, 0]}\n')
    ...     read_texts(f"{folder}/t")
    {1: {'text': 'a b'}, 3: {'ids': '3,1', 'mask': '1,0'}}
    """
    try:
        text = read_bytes(path, "texts").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"texts: a file in UTF-8 needed, got {path}, {error.reason} at byte {error.start}; "
            "convert it."
        ) from None
    lines = {at: line.removesuffix("\r") for at, line in enumerate(text.split("\n"), 1)}
    found = {
        at: _line(f"{path}, line {at}", line) if line.startswith("{") else {"text": line}
        for at, line in lines.items()
        if line.strip()
    }
    if not found:
        raise InvalidInput(f"texts: a file with a text a line needed, got none in {path}.")
    return found


def _line(where: str, line: str) -> dict[str, str]:
    """A line of JSON: a text, or ids with or without a mask."""
    entries = parse_json(where, line)
    if set(entries) == {"text"} and isinstance(entries["text"], str):
        return entries
    whole = [
        isinstance(value, list) and all(type(entry) is int for entry in value)
        for value in entries.values()
    ]
    if "ids" not in entries or not set(entries) <= {"ids", "mask"} or not all(whole):
        raise InvalidInput(
            f'{where}: {{"text": "..."}} or {{"ids": [3, 1, 4]}}, with "mask" where ids hold '
            f"padding, needed, got {printable(line, 80)}."
        )
    return {name: ",".join(map(str, value)) for name, value in entries.items()}


def _of_line(spec: TextsSpec, line: int, ask: Callable[..., Result], *given: Any) -> Result:
    """An answer about one text; what is wrong with it is said with its line."""
    try:
        return ask(*given)
    except InvalidInput as error:
        raise InvalidInput(f"{spec.texts}, line {line}: {error}") from None


def _context(model: Model, source: Source) -> tuple[Any, int]:
    """A context as the model takes it, and how many tokens it has."""
    context = context_of(model, source)
    return context, len(model.tokens(context) if isinstance(context, str) else context)


# ---- records ------------------------------------------------------------------------------------


def _inspected(model: Model, context: Any, spec: TextsSpec, settings: Row) -> Record:
    """The record of one text, with all that a later run needs to know it again."""
    asked = InspectionSpec(
        source=settings["source"], heads=spec.heads, cells=False, threads=spec.threads
    )
    record = inspect(model, context, asked)
    return replace(record, spec={**record.spec, "weights": settings["weights"]})


def _kept(place: Path, settings: Row) -> Sequence[Mapping[str, Any]] | None:
    """The heads of a text that an earlier run has looked at, None where it has not."""
    document = read_json(place)
    if document is None:
        return None
    spec, tables = document.get("spec"), document.get("tables")
    known = isinstance(spec, dict) and _asked(spec) == _asked(plain(settings))
    rows = tables.get("heads") if isinstance(tables, dict) else None
    if not known or not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise InvalidInput(
            "records: the record of this text, model, layer, position and heads needed in "
            f"{place}, got another; choose another folder."
        )
    return rows


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and {"layer", "head", *MEASURED} <= set(row)


def _asked(spec: Row) -> Row:
    """What tells questions apart: weights are known by their digest, wherever they lie."""
    source = spec.get("source")
    named = {k: v for k, v in source.items() if k != "path"} if isinstance(source, dict) else source
    return {"source": named, "heads": spec.get("heads"), "weights": spec.get("weights")}


def _digest(path: str) -> str:
    """SHA-256 of the files that a model is read from."""
    found = hashlib.sha256()
    for place in sorted({p.resolve() for p in files_read(path) if p.is_file()}):
        with place.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _summary(layer: int, head: int, rows: Sequence[Mapping[str, Any]]) -> Row:
    out: Row = {"layer": layer, "head": head, "texts": len(rows)}
    for name in MEASURED:
        values = [row[name] for row in rows if row[name] is not None]
        out[name] = float(np.mean(values)) if values else None
        out[f"{name}_spread"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return out
