"""``tropattn inspect``: the geometry of a trained model's heads, layer by layer."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from tropattn.cli import options
from tropattn.numerals import Whole
from tropattn.outputs import FIGURES

__all__ = ["inspect"]

_ALONE = "--unembedding looks at the last map alone: leave the other options out."


@click.command(short_help="Tabulate the heads of a trained model.")
@options.heads_input
@options.context
@click.option("--head", "heads", type=Whole(), multiple=True, help="Head, from 0; may be repeated.")
@click.option(
    "--vocabulary", is_flag=True, help="Take every word of the embedding as a key (layer 0)."
)
@click.option(
    "--unembedding",
    is_flag=True,
    help="Which words of the vocabulary can ever be the model's answer, instead of its heads.",
)
@click.option("--no-cells", is_flag=True, help="Leave out the cells of each layer.")
@options.figure(required=False)
@options.written(
    "--attention",
    "Figure to write: soft attention of the heads of one layer, dead keys struck through.",
    endings=FIGURES,
)
@options.table(("tokens", "keys", "heads", "layers", "unembedding", "dead", "twins"))
@options.threads
@options.time_limit
@options.json_flag
def inspect(
    *,
    path: str,
    heads: tuple[int, ...],
    vocabulary: bool,
    unembedding: bool,
    no_cells: bool,
    output: str | None,
    attention: str | None,
    table: str | None,
    form: str | None,
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

    With --unembedding no context: which words can win in the last map, each proved; for the others
    the combination of words that is never below them.

    \b
    Examples:
      tropattn inspect demo --text 314159265=
      tropattn inspect demo --text 314159265= --no-cells --format csv --table keys
      tropattn inspect demo --text 314159265= --layer 1 --output heads.png
      tropattn inspect demo --unembedding
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.plotting import save
    from tropattn.plotting.attention import attention as attention_of
    from tropattn.plotting.inspection import inspection
    from tropattn.study import unembedding as words
    from tropattn.study.inspection import InspectionSpec, run

    _check(table, form, as_json, vocabulary, unembedding, attention)
    watched = options.watching()
    step = report.Steps(options.console(err=True)) if watched else nullcontext
    if unembedding:
        if heads or output is not None or any(value for value in context.values()):
            raise click.UsageError(
                "--unembedding looks at the last map alone: leave the others out."
            )
        source = options.source_of(path, {})
        asked = words.UnembeddingSpec(path=source.path, threads=threads, progress=watched)
        found = words.run(asked, step)
        options.show_either(found, as_json, report.unembedding, table or "dead", form)
        return
    spec = InspectionSpec(
        source=options.source_of(path, context),
        heads=heads or None,
        keys="vocabulary" if vocabulary else "context",
        cells=not no_cells,
        threads=threads,
        progress=options.watching(),
    )
    record = run(spec, step)
    if output is not None:
        save(inspection(record.tables["heads"]), output)
    if attention is not None:
        save(attention_of(record.tables["tokens"], record.tables["keys"]), attention)
    options.show_either(record, as_json, report.inspection, table or "tokens", form)


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
    if vocabulary and (attention is not None or (form is not None and table in (None, "tokens"))):
        raise click.UsageError("--attention and the table tokens need a context, not --vocabulary.")
