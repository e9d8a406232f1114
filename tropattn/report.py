"""Records as text for people: what was counted, where, how, and whether the witnesses agree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from time import perf_counter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tropattn import glossary
from tropattn.files import printable
from tropattn.progress import doing, duration, printing
from tropattn.record import Record
from tropattn.regions.result import RegionCount
from tropattn.values import counted, decimal, number

__all__ = [
    "Steps",
    "bounds",
    "count",
    "counted",
    "duals",
    "dynamics",
    "first_rows",
    "heads",
    "inspection",
    "jobs",
    "listing",
    "number",
    "sample",
    "scaling",
    "steered",
    "temperature",
    "unembedding",
    "witnesses",
]

_COLUMN = 9
_NAMED = 10
_SHOWN = 25
"""Rows of a long table that are printed."""

_SQUARE = 60
"""Characters from which an exact square is left to the record."""

_HOPELESS = 0.9
"""Share of draws that show a new cell above which a sample says how many draws it took."""

_PARTS = ("rows", "union")
"""Merges of searches in parts that are known from the beginning."""


class Steps:
    """Named steps with their times, one line each; calling it opens a step.

    >>> import io
    >>> steps = Steps(Console(file=io.StringIO()))
    >>> with steps("weigh"):
    ...     pass
    >>> steps.console.file.getvalue().startswith("  done  weigh")
    True
    """

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Show the step while the block runs, and its seconds afterwards."""
        started = perf_counter()
        with doing(name):
            yield
        taken = perf_counter() - started
        with printing():
            self.console.print(Text(f"  done  {name:<52} {taken:6.1f} s"), soft_wrap=True)


def _work(found: RegionCount) -> str:
    stats = found.stats
    words = [found.engine]
    if "programs" in stats:
        words.append(counted(stats["programs"], "linear program"))
    if "exact_decisions" in stats:
        exact = counted(stats["exact_decisions"], "decision")
        words.append(f"{exact} in rationals")
    if "seconds" in stats:
        words.append(f"{stats['seconds']:.2f} s")
    return ", ".join(words)


def _theorem(bound: RegionCount) -> str:
    """The theorem, and the numbers of keys that it was used for."""
    keys = bound.stats.get("keys")
    if not keys:
        return bound.engine
    if len(set(keys)) == 1:
        return f"{bound.engine} for {counted(len(keys), 'head')} of {counted(keys[0], 'key')}"
    return f"{bound.engine} for heads of {_names([str(n) for n in keys])} keys"


def _draws(found: RegionCount) -> list[str]:
    stats = found.stats
    words = f"{counted(stats['samples'], 'draw')}, {stats['discarded']:,} discarded"
    unseen = stats.get("unseen_mass")
    if unseen is None:
        return [words]
    return [words, f"a new draw shows a new cell with probability about {unseen:.2g}"]


def _lines(found: RegionCount, console: Console, rows: Iterable[tuple[str, str]]) -> None:
    """The answer in one line, and lines of what is known of it."""
    console.print(Text(str(found)), soft_wrap=True)
    for name, words in rows:
        console.print(Text(f"  {name:<10}{words}"), soft_wrap=True)


def _where(record: Record, found: RegionCount) -> list[tuple[str, str]]:
    return [("domain", found.domain), ("variable", str(record.spec.get("variable", "x")))]


def count(record: Record, console: Console) -> None:
    """Print an exact count with its domain, variable, engine and upper bound."""
    found, bound = record.answer, record.counts.get("bound")
    if found is not None:
        rows = [*_where(record, found), ("engine", _work(found))]
        if bound is not None:
            rows.append(("bound", f"{number(bound.value)}, {_theorem(bound)}, {bound.domain}"))
        _lines(found, console, rows)


def bounds(record: Record, console: Console) -> None:
    """Print an upper bound with its theorem."""
    found = record.answer
    if found is not None:
        _lines(found, console, [("theorem", _theorem(found)), ("for", found.domain)])


def sample(record: Record, console: Console) -> None:
    """Print a sampler's lower bound with its draws and what it expects to have missed."""
    found = record.answer
    if found is not None:
        law = f"{found.stats.get('distribution')}, seed {record.seed}"
        draws: list[tuple[str, str]] = [*zip(("draws", "unseen"), _draws(found), strict=False)]
        if (found.stats.get("unseen_mass") or 0) > _HOPELESS:
            draws.append(("so", "nearly every draw met a new cell: this count is the number of"))
            draws.append(("", "draws, and says nothing of how many cells there are"))
        _lines(found, console, [*_where(record, found), ("sampler", law), *draws])


def _table(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Print a table of texts and numbers; a column whose name begins with ">" stands right."""
    look = {"box": box.SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True}
    table = Table(title=title, title_justify="left", title_style="bold", **look)
    for name in columns:
        right = name.startswith(">")
        words = name.removeprefix(">")
        table.add_column(words, justify="right" if right else "left", no_wrap=right)
    for row in rows:
        table.add_row(*(Text(str(entry)) for entry in row))
    console.print(table)


def listing(
    record: Record, name: str, title: str, columns: Sequence[str], console: Console
) -> None:
    """Print some columns of a table of a record, those that hold anything; texts stand left."""
    _listed(record.tables[name], title, columns, console)


def first_rows(
    rows: Sequence[Mapping[str, Any]], title: str, columns: Sequence[str], console: Console
) -> None:
    """Print the first rows as ``listing`` does, and how many more there are."""
    _listed(rows[:_SHOWN], title, columns, console)
    if len(rows) > _SHOWN:
        console.print(Text(f"  and {len(rows) - _SHOWN:,} more; --json or --format has all"))


def _listed(
    rows: Sequence[Mapping[str, Any]], title: str, columns: Sequence[str], console: Console
) -> None:
    present = [c for c in columns if any(row.get(c) is not None for row in rows)]
    texts = {c for c in present if any(isinstance(row.get(c), str) for row in rows)}
    headings = [("" if c in texts else ">") + c.replace("_", " ") for c in present]
    _table(console, title, headings, ([_short(row.get(c)) for c in present] for row in rows))


def steered(row: Mapping[str, Any], token: str, console: Console) -> None:
    """Print what it takes to make heads choose given keys."""
    pairs = zip(row["heads"], row["keys"], row["chose"], strict=True)
    words = ", ".join(
        f"head {h}: {key} " + ("as it is" if key == chose else f"instead of {chose}")
        for h, key, chose in pairs
    )
    console.print(Text(f"Layer {row['layer']}, {row['of']} of {token}. {words}"), soft_wrap=True)
    far = (
        f"{row['lower']:.6g}, exact"
        if row["exact"]
        else (f"at least {row['lower']:.6g}, at most {row['upper']:.6g}")
    )
    lines = [
        ("distance", f"{far} (the {row['of']} itself is {row['state_length']:.4g} long)"),
        ("vector", f"{row['length']:.6g} long, its winners proved"),
    ]
    if len(row.get("squared") or "") in range(1, _SQUARE):
        lines.append(("squared", row["squared"]))
    if "lead" in row:
        lines.append(("lead", f"{row['lead']:.4g} behind the wall, scaled logits"))
        lines.append(("held by", _names(row["walls"])))
    for name, text in lines:
        console.print(Text(f"  {name:<10}{text}"), soft_wrap=True)


def unembedding(record: Record, console: Console) -> None:
    """Print how many words can be said, then those that cannot, and words that are the same."""
    row = record.tables["unembedding"][0]
    spec = record.spec
    norm = "no norm" if spec["norm"] is None else f"behind {spec['norm']}"
    bias = "with bias" if spec["bias"] else "no bias"
    words = f"{row['sayable']:,} of {row['distinct']:,} distinct words can win"
    console.print(Text(f"{words} ({row['words']:,} rows in R^{row['dimension']}, {bias}, {norm})"))
    dead = [f"{row['dead']:,} dead", f"{row['exact_decisions']:,} decided in rationals"]
    if row["reachable"] is not None:
        far = row["live"] - row["reachable"]
        dead.append(f"{far:,} live but out of the norm's reach, margin {row['reach_margin']:.2g}")
    console.print(Text("  " + "; ".join(dead)), soft_wrap=True)
    if record.tables["dead"]:
        columns = ("id", "word", "why", "second", "reach", "members", "others")
        rows = [dict(r, others=_names(r["others"], 5)) for r in record.tables["dead"]]
        first_rows(rows, "Words that no state says", columns, console)
    for group in record.tables["twins"][:_SHOWN]:
        console.print(Text(f"  one row: {_names(group['words'])}"), soft_wrap=True)


def _names(names: Sequence[str], most: int = 12) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return " ".join(names[:most]) + more


def heads(record: Record, console: Console) -> None:
    """Print one table of keys and one of dual objects, a row per head."""
    rows = record.tables["heads"]
    _table(
        console,
        "Heads: which keys ever win",
        (">head", ">keys", "live keys", "dead", ">cells"),
        (
            (row["head"], row["keys"], _names(row["live"]), _names(row["dead"]), _cells(row))
            for row in rows
        ),
    )
    if "walls" in rows[0]:
        duals(record, console)


def duals(record: Record, console: Console) -> None:
    """Print the table of dual objects, a row per head."""
    rows = record.tables["heads"]
    numbers = ("head", "sites", "walls", "newton_vertices")
    _table(
        console,
        "The same heads as power diagrams and as Newton polytopes",
        (
            *(">head", ">sites", ">walls between cells", ">polytope vertices"),
            "faces of dimension 0, 1, ...",
        ),
        ((*(row[name] for name in numbers), _faces(row["newton_f_vector"])) for row in rows),
    )


def _cells(row: Mapping[str, Any]) -> str:
    return number(row["cells"].value)


def _faces(numbers: Sequence[int] | None) -> str:
    return "not computed" if numbers is None else ", ".join(map(str, numbers))


def witnesses(record: Record, console: Console) -> None:
    """Print lower bound, exact count and upper bound of one layer under each other."""
    counts = record.counts
    exact, rows = counts["exact"], []
    if "sampled" in counts:
        found = counts["sampled"]
        words = "; ".join([*_draws(found), f"law: {found.stats['distribution']}"])
        rows.append(("sampler, at least", number(found.value), words))
    rows.append(("exact count", number(exact.value), _work(exact)))
    for name, keys in (("bound_live", "live keys"), ("bound", "keys given")):
        bound = counts[name]
        words = f"{_theorem(bound)}, {keys}, {bound.domain}"
        rows.append(("sharp bound, at most", number(bound.value), words))
    title = f"Routing cells of the layer on {exact.domain}"
    _table(console, title, ("witness", ">cells", "from"), rows)


def scaling(record: Record, console: Console) -> None:
    """Print all counts and the fitted exponents of the scaling study."""
    spec = record.spec
    layers = "one layer" if spec["depth"] == 1 else f"{spec['depth']} layers"
    centre = ", common centre" if spec["central"] else ""
    groups: dict[tuple[str, int, int], list[Mapping[str, Any]]] = {}
    for row in record.tables["rows"]:
        groups.setdefault((row["family"], row["heads"], row["keys"]), []).append(row)
    _table(
        console,
        f"Routing cells of {layers} in {counted(spec['dim'], 'dimension')}{centre}",
        ("family", ">H", ">N", ">live", ">sampled", ">exact", ">bound live", ">bound N"),
        ((*sizes, *_counts(group)) for sizes, group in groups.items()),
    )
    exponents = record.tables["exponents"]
    repeated = any(row["spread"] is not None for row in exponents)
    over = ["over seeds"] if repeated else []
    _table(
        console,
        "Exponents of N by least squares in logarithms; exact degree and its difference",
        ("family", ">H", "N", "exact", *over, "bound N", ">degree", ">limit"),
        (_exponents(row, repeated) for row in exponents),
    )
    spread = {"over seeds": "mean and range of the fits of single seeds"} if repeated else {}
    _legend(console, glossary.SCALING | spread | dict(spec["words"]))


def _counts(group: Sequence[Mapping[str, Any]]) -> list[str]:
    """The live keys and the four counts of rows that differ in their seed."""
    live = [number for row in group for number in row["live"] or ()]
    columns = ("sampled", "exact", "bound_live", "bound")
    cells = [_over_seeds([row[name] for row in group]) for name in columns]
    if any(row["exact"].kind == "lower" for row in group):
        cells[1] = f"at least {cells[1]}"
    return [_range(live) if live else "", *cells]


def _exponents(row: Mapping[str, Any], repeated: bool) -> list[Any]:
    fit, over, exact = row["exact"], row["spread"], row["polynomial"]
    words = "" if over is None else f"{over.mean:.2f} ({over.low:.2f}..{over.high:.2f})"
    return [
        row["family"],
        row["heads"],
        "" if fit is None else f"{fit.low}..{fit.high}",
        _fit(fit),
        *([words] if repeated else []),
        _fit(row["bound"]),
        "" if exact is None else f"{exact.degree}: {exact.difference:,}",
        row["theory"],
    ]


def _over_seeds(counts: Sequence[RegionCount | None]) -> str:
    """One count, or the mean and the range of several."""
    values = [count.value for count in counts if count is not None]
    if not values:
        return ""
    if min(values) == max(values):
        return number(values[0])
    mean = sum(values) / len(values)
    return f"{mean:,.1f} ({number(min(values))}..{number(max(values))})"


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def _fit(fit: Any) -> str:
    if fit is None:
        return "two N needed"
    error = "" if fit.error is None else f"+-{fit.error:.2f}"
    return f"{fit.exponent:.2f}{error}"


def temperature(record: Record, console: Console) -> None:
    """Print the shares of states where soft attention follows hard, a row a temperature."""
    percent = f"{100 * float(record.spec['tolerance']):g} %"
    for name, title in (
        ("curve", f"States where soft follows hard within {percent}, all heads"),
        ("tokens", f"The context's own tokens, soft within {percent} of hard"),
    ):
        rows = record.tables.get(name)
        if not rows:
            continue
        if "pairs" in rows[0]:
            tokens, pairs = counted(rows[0]["tokens"], "token"), counted(rows[0]["pairs"], "pair")
            title += f": {tokens}, {pairs} of token and head"
        columns = [c for c in rows[0] if c not in ("tokens", "pairs")]
        numbers = ([f"{row[c]:.4g}" for c in columns] for row in rows)
        _table(console, title, [">" + name.replace("_", "\n") for name in columns], numbers)
    soft = {"soft follows hard": f"in every head the losing keys together hold at most {percent}"}
    words = dict(glossary.TEMPERATURE)
    if not record.tables.get("tokens"):
        del words["tokens ..."]
    _legend(console, soft | words)


_TITLES = {"run": "over time", "rows": "two tokens meet", "limits": "exact limits"}
_FRACTION, _EXACT = re.compile(r"-?\d+/\d+"), 9
"""Rationals, and up to how many characters they are printed in full."""


def dynamics(record: Record, console: Console) -> None:
    """Print the tables of a record of the second wing, then the words in them explained."""
    used: list[str] = []
    for name, rows in json.loads(record.to_json())["tables"].items():
        if not rows:
            continue
        used += [name, *rows[0]]
        title = _TITLES.get(str(name), str(name))
        if len(rows) == 1 and name != "cells":
            console.print(Text(title, style="bold"))
            _legend(console, {_dynamics_word(key): _entry(value) for key, value in rows[0].items()})
            console.print()
            continue
        headings = [_dynamics_word(key) for key in rows[0]]
        numbers = [not isinstance(value, list | str) for value in rows[0].values()]
        columns = [">" * right + word for right, word in zip(numbers, headings, strict=True)]
        _table(console, title, columns, ([_entry(value) for value in row.values()] for row in rows))
    _legend(
        console,
        dict(glossary.DYNAMICS[key] for key in dict.fromkeys(used) if key in glossary.DYNAMICS),
    )


def _dynamics_word(key: str) -> str:
    return glossary.DYNAMICS.get(key, (key.replace("_", " "), ""))[0]


def _entry(value: Any) -> str:
    """One entry of a record as it is read: rationals and doubles rounded, lists in brackets."""
    if isinstance(value, str) and len(value) > _EXACT and _FRACTION.fullmatch(value):
        return f"{float(Fraction(value)):.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return str(value.get("value", value))
    if isinstance(value, list):
        return "(" + ", ".join(map(_entry, value)) + ")"
    return "none" if value is None else printable(str(value))


def _legend(console: Console, words: Mapping[str, str]) -> None:
    """Words and what they mean, a line each."""
    grid = Table.grid(padding=(0, 2))
    for word, meaning in words.items():
        grid.add_row(Text(f"  {word}"), Text(meaning))
    console.print(grid)


_HEADS = ("layer", "head", "keys", "live", "reachable", "won", "gap", "weight", "hardness")
_LAYERS = ("layer", "rank", "independent", "cells", "bound_live", "bound", "plane", "norm_cells")


def inspection(record: Record, console: Console) -> None:
    """Print a row per head, the keys that no state can choose, then a row per layer."""
    wanted = {"heads": (*_HEADS, "sink", "sink_wins"), "layers": _LAYERS}
    for name, columns in wanted.items():
        rows = record.tables[name]
        variables = {row["variable"] for row in rows}
        if len(variables) > 1:
            columns = (columns[0], "variable", *columns[1:])
        present = [c for c in columns if any(row.get(c) is not None for row in rows)]
        if not present:
            continue
        words = f"; variable: {variables.pop()}" if len(variables) == 1 else ""
        entries = ([_short(row[c]) for c in present] for row in rows)
        _table(console, name.capitalize() + words, [_heading(c) for c in present], entries)
        for row in rows:
            if row.get("dead"):
                console.print(Text(_unchosen(row)), soft_wrap=True)


def _heading(column: str) -> str:
    words = {
        "norm_cells": "behind\nnorm",
        "reachable": "in\nreach",
        "sink_wins": "sink\nwins",
        "bound_live": "bound,\nlive keys",
        "bound": "bound,\nkeys given",
    }
    return ("" if column in ("sink", "variable") else ">") + words.get(column, column)


def _unchosen(row: Mapping[str, Any]) -> str:
    """The keys of a head that no state makes win, the first few by name."""
    named = row["dead"][:_NAMED]
    more = row["distinct"] - row["live"] - len(named)
    words = ", ".join(named) + (f" and {more:,} more" if more else "")
    return f"  layer {row['layer']}, head {row['head']}: no state chooses {words}"


def _short(value: Any) -> str:
    """One cell of a table: small counts in full, floats to two places, lists by their length."""
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 0.005 or not value else f"{value:.0e}"
    if isinstance(value, RegionCount):
        digits = decimal(value.value)
        whole = f"{digits[0]}.{digits[1:3]}e{len(digits) - 1}"
        words = number(value.value) if len(digits) <= _COLUMN else whole
        return f">= {words}" if value.kind == "lower" else words
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return str(value.get("value", value))
    if isinstance(value, list | tuple):
        return str(len(value))
    return "" if value is None else str(value)


def jobs(record: Record, console: Console) -> None:
    """How far a job is, a search after the other."""
    spec, rows = record.spec, record.tables["searches"]
    state = "a run works on it" if spec["held"] else "rests (tropattn resume goes on)"
    if not any(row["open"] for row in rows) and not spec["held"]:
        kept = all(row["merge"] in _PARTS for row in rows)
        what = "tropattn resume shows the result" if kept else "tropattn resume adds up the count"
        if spec["part"]:
            what = "a part; tropattn jobs --merge unites it with the others"
        state = f"no range is open ({what})"
    if spec["finished"]:
        state = f"done: {number(int(spec['count']))} in all"
    console.print(Text(f"{spec['file']}: {state}"), soft_wrap=True)
    for row in rows:
        words = [
            f"{counted(row['cells'], 'cell')} so far",
            f"{counted(row['done'], 'range')} done",
            f"{number(row['open'])} open",
            f"{duration(row['seconds'])} of work",
        ]
        if row["merge"] in _PARTS:
            words = [f"{counted(row['done'], 'part')} done", *words[2:]]
        console.print(Text(f"  {row['search']}: {', '.join(words)}"), soft_wrap=True)
        if row["left"] is not None:
            console.print(Text(f"    left  {_left(row)}"), soft_wrap=True)
    if spec["pace"] and not spec["finished"]:
        console.print(Text(f"  pace  {spec['pace']:,.0f} cells a second"), soft_wrap=True)


def _left(row: Mapping[str, Any]) -> str:
    """What is left of a search, as far as probes can tell."""
    words = (
        f"about {row['left']:,.0f} cells (estimate, standard error {row['left_error']:,.0f}; "
        "more often too low than too high)"
    )
    if row["seconds_left"] is None:
        return words
    return f"{words}, {duration(row['seconds_left'])} at this pace"
