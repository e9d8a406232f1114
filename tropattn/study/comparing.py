"""Two checkpoints of one model: which keys, words and cells changed, head by head.

Each is inspected for the same context; what is compared are the tables of the two inspections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from tropattn.errors import InvalidInput
from tropattn.files import existing_path
from tropattn.record import Record
from tropattn.study import unembedding
from tropattn.study.inspection import InspectionSpec
from tropattn.study.inspection import run as inspect
from tropattn.study.layer import Step

__all__ = ["compare", "compare_words", "run"]

Row = dict[str, Any]
Table = Sequence[Mapping[str, Any]]

_NAMED = 8


def run(spec: InspectionSpec, other: str, step: Step = nullcontext) -> Record:
    """Inspect a model and another checkpoint of it, and compare them (theory T1, T2).

    Parameters
    ----------
    spec : as for ``inspection.run``, of the first; with ``keys="vocabulary"`` words are compared
        as keys of layer 0.
    other : path of the second.

    Returns
    -------
    Record
        As ``compare``.

    Raises
    ------
    InvalidInput : as ``inspection.run``, or models of different shapes or vocabularies.
    """
    _models(spec.source.path, other)
    records = []
    for name, path in (("first", spec.source.path), ("second", other)):
        own = replace(spec, source=replace(spec.source, path=path))
        records.append(inspect(own, lambda words, name=name: step(f"{name} model, {words}")))
    return compare(*records)


def compare(first: Record, second: Record) -> Record:
    """Compare two inspections of one context.

    Returns
    -------
    Record
        Table ``heads``, a row per layer and head: the ``live`` keys of each, those ``gained`` and
        ``lost`` from the first to the second, by name (the first few) and number; of the context's
        queries how many ``queries`` there are, how many ``changed`` their winner, in words
        ``moves``; ``moved``, the mean share of soft attention that stands on other keys; the
        median ``gap`` of each. Table ``layers``: the ``cells`` of each, and their sharp bounds.
        Columns of the first end in ``_a``, of the second in ``_b``.

    Raises
    ------
    InvalidInput : inspections of different layers, heads, tokens or keys.
    """
    for name in ("tokens", "keys"):
        if first.spec[name] != second.spec[name]:
            raise InvalidInput(
                f"other: a checkpoint with the same {name} needed, got another text or vocabulary; "
                "compare checkpoints of one model."
            )
    heads = [
        {**_place(a), **_head(first, second, a, b)}
        for a, b in _pairs(first.tables["heads"], second.tables["heads"], ("layer", "head"))
    ]
    layers = []
    for a, b in _pairs(first.tables["layers"], second.tables["layers"], ("layer",)):
        row: Row = {"layer": a["layer"]}
        for name in ("rank", "cells", "bound_live", "plane", "norm_cells"):
            row |= {f"{name}_a": a.get(name), f"{name}_b": b.get(name)}
        layers.append(row)
    settings = {
        "first": first.spec["source"],
        "second": second.spec["source"],
        "keys": first.spec["keys"],
        "tokens": first.spec["tokens"],
        "variable": first.spec["variable"],
    }
    return Record("compare", settings, {}, {"heads": heads, "layers": layers})


def compare_words(path: str, other: str, threads: int | None, step: Step = nullcontext) -> Record:
    """Compare which words two checkpoints can say; see ``unembedding.words``.

    Table ``words``, one row: the numbers of each; table ``changed``, a row per word that one of
    them can say and the other cannot. Raises ``InvalidInput`` for different numbers of words.
    """
    _models(path, other)
    found, names = [], []
    for where in (path, other):
        last = unembedding.read_unembedding(where)
        spec = unembedding.UnembeddingSpec(path=where, threads=threads)
        found.append(unembedding.words(last, spec, step))
        names.append(list(last.names))
    a, b = (record.tables["unembedding"][0] for record in found)
    if len(names[0]) != len(names[1]):
        raise InvalidInput(
            f"other: a checkpoint with {len(names[0])} words needed, got {len(names[1])}; compare "
            "checkpoints of one model."
        )
    unsaid = [{row["id"]: row["why"] for row in record.tables["dead"]} for record in found]
    changed = [
        {"id": j, "word": names[0][j], "first": unsaid[0].get(j), "second": unsaid[1].get(j)}
        for j in sorted(set(unsaid[0]) ^ set(unsaid[1]))
    ]
    summary: Row = {}
    for name in ("words", "distinct", "live", "sayable"):
        summary |= {f"{name}_a": a[name], f"{name}_b": b[name]}
    settings = {"first": path, "second": other}
    return Record("compare", settings, {}, {"words": [summary], "changed": changed})


def _models(path: str, other: str) -> None:
    """Raise ``InvalidInput`` where a path is none of a model, before the other one is read."""
    for name, given in (("path", path), ("other", other)):
        if existing_path(given, name).suffix == ".npz":
            raise InvalidInput(
                f"{name}: a file or folder of a model needed, got {given}, an archive of arrays; "
                "compare checkpoints of one model."
            )


def _place(row: Mapping[str, Any]) -> Row:
    return {"layer": row["layer"], "head": row["head"]}


def _pairs(
    first: Table, second: Table, by: Sequence[str]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Rows of two tables that stand for the same thing."""
    known = {tuple(row[name] for name in by): row for row in second}
    places = [tuple(row[name] for name in by) for row in first]
    if len(known) != len(places) or any(place not in known for place in places):
        raise InvalidInput(
            f"other: a checkpoint with the same {' and '.join(by)} numbers needed, got "
            f"{len(known)} instead of {len(places)}; compare checkpoints of one model."
        )
    return [(row, known[place]) for row, place in zip(first, places, strict=True)]


def _head(first: Record, second: Record, a: Mapping[str, Any], b: Mapping[str, Any]) -> Row:
    gained, lost = _live_keys(first, second, a, b)
    row: Row = {
        "live_a": a["live"],
        "live_b": b["live"],
        "n_gained": len(gained),
        "n_lost": len(lost),
        "gained": gained[:_NAMED],
        "lost": lost[:_NAMED],
        "sink_a": a["sink"],
        "sink_b": b["sink"],
        "gap_a": a["gap"],
        "gap_b": b["gap"],
    }
    if first.spec["keys"] == "context":
        row |= _queries(_of(first.tables["tokens"], a), _of(second.tables["tokens"], b))
    return row


def _of(rows: Table, head: Mapping[str, Any]) -> Table:
    return [r for r in rows if r["layer"] == head["layer"] and r["head"] == head["head"]]


def _live_keys(
    first: Record, second: Record, a: Mapping[str, Any], b: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Names of the keys that came alive, and of those that died."""
    if first.spec["keys"] == "vocabulary":
        before, after = set(a["dead_keys"]), set(b["dead_keys"])
        names = first.spec["words"]
        return [names[j] for j in sorted(before - after)], [
            names[j] for j in sorted(after - before)
        ]
    rows = _pairs(_of(first.tables["keys"], a), _of(second.tables["keys"], b), ("token",))
    gained = [old["key"] for old, new in rows if new["live"] and not old["live"]]
    return gained, [old["key"] for old, new in rows if old["live"] and not new["live"]]


def _queries(first: Table, second: Table) -> Row:
    pairs = _pairs(first, second, ("token",))
    moves = [
        f"{a['query']}: {a['winner']} -> {b['winner']}"
        for a, b in pairs
        if a["winner"] != b["winner"]
    ]
    shares = [
        np.abs(np.subtract(a["attention"], b["attention"])).sum() / 2
        for a, b in pairs
        if a["attention"] is not None
    ]
    return {
        "queries": len(pairs),
        "changed": len(moves),
        "moves": moves[:_NAMED],
        "moved": float(np.mean(shares)) if shares else None,
    }
