"""``tropattn compare``: two checkpoints, head by head."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from tropattn.cli import options
from tropattn.numerals import Whole

if TYPE_CHECKING:
    from rich.console import Console

    from tropattn.record import Record

__all__ = ["compare"]


@click.command(short_help="Compare two checkpoints of a model, head by head.")
@options.heads_input
@click.argument("other", metavar="OTHER")
@options.context_of_heads
@click.option("--head", "heads", type=Whole(), multiple=True, help="Head, from 0; may be repeated.")
@click.option(
    "--vocabulary", is_flag=True, help="Take every word of the embedding as a key (layer 0)."
)
@click.option("--unembedding", is_flag=True, help="Compare the words that the models can say.")
@click.option("--no-cells", is_flag=True, help="Leave out the cells of each layer.")
@options.table(("heads", "layers", "words", "changed"), "heads, changed with --unembedding")
@options.threads
@options.time_limit
@options.json_flag
def compare(
    *,
    path: str,
    other: str,
    heads: tuple[int, ...],
    vocabulary: bool,
    unembedding: bool,
    no_cells: bool,
    table: str | None,
    form: str | None,
    threads: int | None,
    as_json: bool,
    **context: Any,
) -> None:
    """Compare two checkpoints of a model: which keys, words and cells changed in each head.

    INPUT and OTHER are model files or folders as in inspect, say before and after training or two
    steps of it, with one context for both. Live keys: some state makes them win, exact. Changed:
    how many of the text's own queries choose another key. Moved: the mean share of soft attention
    that stands on other keys.

    \b
    Examples:
      tropattn compare demo demo --text 314159265=
      tropattn compare demo demo --unembedding
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.study import comparing
    from tropattn.study.inspection import InspectionSpec

    words = ("words", "changed")
    if table is not None and (form is None or (table in words) != unembedding):
        raise click.UsageError("--table goes with --format, words and changed with --unembedding.")
    if table == "layers" and no_cells:
        raise click.UsageError("--table layers or --no-cells needed, got both; leave one out.")
    if as_json and form is not None:
        raise click.UsageError("--json or --format needed, got both; --json prints the record.")
    if unembedding and (vocabulary or heads or any(context.values())):
        raise click.UsageError(
            "--unembedding compares the last maps alone: leave out --text, --ids, --mask, --layer, "
            "--position, --head and --vocabulary."
        )
    watched = options.watching()
    step = report.Steps(options.console(err=True)) if watched else nullcontext
    source, second = options.source_of(path, context), options.source_of(other, {}).path
    if unembedding:
        record = comparing.compare_words(source.path, second, threads, step)
    else:
        spec = InspectionSpec(
            source=source,
            heads=heads or None,
            keys="vocabulary" if vocabulary else "context",
            cells=not no_cells,
            threads=threads,
            progress=watched,
        )
        record = comparing.run(spec, second, step)
    if form is not None:
        options.show_table(record.table(table or ("changed" if unembedding else "heads")), form)
    else:
        options.show(record, as_json, _tell)


_HEADS = ("layer", "head", "live_a", "live_b", "changed", "moved", "gap_a", "gap_b")
_HEADS += ("sink_a", "sink_b")
_LAYERS = ("layer", "rank_a", "rank_b", "cells_a", "cells_b", "plane_a", "plane_b")


def _tell(record: Record, console: Console) -> None:
    from tropattn import report

    asked = [row["queries"] for row in record.tables.get("heads", ()) if "queries" in row]
    words = f"; {asked[0]} queries" if asked else ""
    titles = {
        "heads": (f"Heads, a before and b after{words}", _HEADS),
        "layers": ("Layers, a before and b after", _LAYERS),
        "words": ("Words that can be said, a before and b after", None),
        "changed": ("Words that only one of them says, and why the other does not", None),
    }
    for name, rows in record.tables.items():
        if rows:
            title, columns = titles[name]
            report.listing(record, name, title, columns or tuple(rows[0]), console)
    for row in record.tables.get("heads", ()):
        for what in ("gained", "lost"):
            if row[what]:
                more = row[f"n_{what}"] - len(row[what])
                words = ", ".join(row[what]) + (f" and {more:,} more" if more else "")
                place = f"  layer {row['layer']}, head {row['head']}"
                console.print(f"{place} {what}: {words}", soft_wrap=True, markup=False)
