"""``tropattn inspect``: the geometry of a trained model's heads, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from tropattn.cli import options
from tropattn.numerals import Whole
from tropattn.outputs import FIGURES, save

if TYPE_CHECKING:
    from rich.console import Console

    from tropattn.record import Record

__all__ = ["inspect"]

_PLACES = {"live": 1, "reachable": 1, "won": 1, "gap": 2, "weight": 2, "hardness": 2}
"""What is printed over many texts, and to how many decimal places."""

_ALONE = (
    "--unembedding looks at the last map alone: leave out --text, --ids, --mask, --layer, "
    "--position, --head, --vocabulary, --output and --attention."
)


@click.command(short_help="Tabulate the heads of a trained model.")
@options.heads_input
@options.context_of_heads
@click.option("--head", "heads", type=Whole(), multiple=True, help="Head, from 0; may be repeated.")
@click.option(
    "--vocabulary", is_flag=True, help="Take every word of the embedding as a key (layer 0)."
)
@click.option(
    "--unembedding",
    is_flag=True,
    help="Which words of the vocabulary can ever be the model's answer, instead of its heads.",
)
@click.option(
    "--texts",
    type=click.Path(),
    help="File with a text a line, or a JSON line with ids: mean and spread of each head.",
)
@click.option(
    "--records",
    metavar="DIR",
    help="With --texts, folder that keeps the record of each text as soon as it is there; a rerun "
    "goes on from them.",
)
@click.option("--no-cells", is_flag=True, help="Leave out the cells of each layer.")
@options.figure(required=False)
@options.written(
    "--attention",
    "Figure to write: soft attention of the heads of one layer, dead keys struck through.",
    endings=FIGURES,
)
@options.table(
    ("tokens", "keys", "heads", "layers", "texts", "unembedding", "dead", "twins"),
    "tokens, heads with --texts, dead with --unembedding",
)
@options.job(
    "Keep every head and layer that is done in this file, with --unembedding every block of "
    "words: the same command, or tropattn resume FILE, goes on from there."
)
@options.threads
@options.time_limit
@options.json_flag
def inspect(
    *,
    path: str,
    heads: tuple[int, ...],
    vocabulary: bool,
    unembedding: bool,
    texts: str | None,
    records: str | None,
    no_cells: bool,
    output: str | None,
    attention: str | None,
    table: str | None,
    form: str | None,
    job: str | None,
    threads: int | None,
    as_json: bool,
    **context: Any,
) -> None:
    """Tabulate, for each layer and head, which keys can win, do win, and by how much.

    INPUT is a model file or folder, or the word demo. Of the keys of a head some are live (exact:
    no state makes the others win), some in reach of normalised states, and some won by the text's
    own queries; the sink wins most. Gap: median lead of the winner in scaled logits. Weight: its
    mean share of attention. Hardness: 1 - entropy / log(keys). Of a layer: the cells of all heads
    together, their sharp bound, those on the plane through three tokens, and those that normalised
    states meet (behind norm).

    With --format one table alone: tokens, what every token's query chooses in every head (winner,
    its weight, the runner-up, the gap, the soft weights where the keys are 64 at most); keys, which
    keys are live, how far their cells are in radii of the norm's ellipsoid (below 1: in reach), how
    often they win, their mean weight; heads; or layers. Live is said of the last token's context,
    won of every token's own: earlier tokens of a causal model see fewer keys, so a dead one may win
    there.

    With --texts each number's mean over the texts and its standard deviation, head by head. A line
    of FILE is a text, or a JSON object with ids and, where they hold padding, mask.

    With --unembedding no context: which words can win in the last map, each proved; for the others
    the combination of words that is never below them.

    \b
    Examples:
      tropattn inspect demo --text 314159265=
      tropattn inspect demo --text 314159265= --no-cells --format csv --table keys
      tropattn inspect demo --text 314159265= --layer 1 --output heads.png
      tropattn inspect demo --texts lines.txt --records seen
      tropattn inspect demo --unembedding
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.study import many_texts
    from tropattn.study import unembedding as words
    from tropattn.study.inspection import InspectionSpec, run

    _check(table, form, as_json, vocabulary, unembedding, attention)
    if table == "layers" and no_cells:
        raise click.UsageError("--table layers or --no-cells needed, got both; leave one out.")
    given = {name: context[name] for name in ("text", "ids", "mask")}
    given |= {"vocabulary": vocabulary, "unembedding": unembedding, "records": records}
    _check_texts(texts, table, given | {"output": output, "attention": attention, "job": job})
    watched = options.watching()
    step = report.Steps(options.console(err=True)) if watched else nullcontext
    if unembedding:
        if any((heads, output, *context.values())):
            raise click.UsageError(_ALONE)
        source = options.source_of(path, {})
        asked = words.UnembeddingSpec(path=source.path, threads=threads, progress=watched, job=job)
        found = words.run(asked, step)
        options.show_either(found, as_json, report.unembedding, table or "dead", form)
        return
    source = options.source_of(path, context)
    more: dict[str, Any] = {"heads": heads or None, "threads": threads, "progress": watched}
    if texts is not None:
        listed = many_texts.TextsSpec(source=source, texts=texts, records=records, **more)
        options.show_either(
            many_texts.run(listed, step), as_json, _over_texts, table or "heads", form
        )
        return
    keys: Any = "vocabulary" if vocabulary else "context"
    spec = InspectionSpec(source=source, keys=keys, cells=not no_cells, job=job, **more)
    record = run(spec, step)
    _draw(record, output, attention)
    options.show_either(record, as_json, report.inspection, table or "tokens", form)


def _draw(record: Any, heads: str | None, tokens: str | None) -> None:
    """Write the figures that were asked for; without one matplotlib is not loaded."""
    if heads is not None:
        from tropattn.plotting.inspection import inspection

        save(inspection(record.tables["heads"]), heads)
    if tokens is not None:
        from tropattn.plotting.attention import attention

        save(attention(record.tables["tokens"], record.tables["keys"]), tokens)


def _check(
    table: str | None,
    form: str | None,
    as_json: bool,
    vocabulary: bool,
    unembedding: bool,
    attention: str | None,
) -> None:
    """Refuse options that contradict each other, before the work."""
    options.check_table(table, form, as_json)
    words = ("unembedding", "dead", "twins")
    if table is not None and (table in words) != unembedding:
        word = "without" if unembedding else "with"
        raise click.UsageError(f"--table {table} goes {word} --unembedding.")
    if unembedding and (vocabulary or attention is not None):
        raise click.UsageError(_ALONE)
    of_context = (None, "tokens", "keys")
    if vocabulary and (attention is not None or (form is not None and table in of_context)):
        what = "--attention and the tables tokens and keys"
        raise click.UsageError(f"{what} need a context, not --vocabulary.")


def _check_texts(texts: str | None, table: str | None, alone: Mapping[str, Any]) -> None:
    """Refuse options that have no meaning with a file of texts, or none without it."""
    if texts is None:
        if alone["records"] is not None or table == "texts":
            word = "--records" if table != "texts" else "--table texts"
            raise click.UsageError(f"{word} goes with --texts.")
        return
    others = [name for name, value in alone.items() if name != "records" and value]
    if others:
        raise click.UsageError(f"--texts or --{others[0]} needed, got both; leave one out.")
    if table not in (None, "heads", "texts"):
        raise click.UsageError(f"--table heads or texts needed with --texts, got {table}.")


def _over_texts(record: Record, console: Console) -> None:
    """Print mean and spread of each head, a column a number."""
    from tropattn import report

    texts = record.tables["texts"]
    shown = [
        {"layer": row["layer"], "head": row["head"]}
        | {name: _spread(row, name, places) for name, places in _PLACES.items()}
        for row in record.tables["heads"]
    ]
    lengths = [row["tokens"] for row in texts]
    many = report.counted(len(texts), "text")
    long = report.counted(max(lengths), "token")
    if min(lengths) < max(lengths):
        long = f"{min(lengths)} to {long}"
    title = f"Heads over {many} of {long}, mean±spread"
    brief = replace(record, tables={"heads": shown})
    report.listing(brief, "heads", title, ("layer", "head", *_PLACES), console)


def _spread(row: Mapping[str, Any], name: str, places: int) -> str | None:
    mean, spread = row[name], row[f"{name}_spread"]
    if mean is None:
        return None
    return f"{mean:.{places}f}" + ("" if spread is None else f"±{spread:.{places}f}")
