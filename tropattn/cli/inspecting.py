"""``tropattn inspect``: the geometry of a trained model's heads, layer by layer."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from tropattn.cli import options
from tropattn.numerals import Whole
from tropattn.outputs import FIGURES

__all__ = ["inspect"]


@click.command(short_help="Tabulate the heads of a trained model.")
@options.heads_input
@options.context
@click.option("--head", "heads", type=Whole(), multiple=True, help="Head, from 0; may be repeated.")
@click.option(
    "--vocabulary", is_flag=True, help="Take every word of the embedding as a key (layer 0)."
)
@click.option("--no-cells", is_flag=True, help="Leave out the cells of each layer.")
@options.figure(required=False)
@options.written(
    "--attention",
    "Figure to write: soft attention of the heads of one layer, dead keys struck through.",
    endings=FIGURES,
)
@options.table(("tokens", "keys", "heads", "layers"))
@options.threads
@options.time_limit
@options.json_flag
def inspect(
    path: str,
    heads: tuple[int, ...],
    vocabulary: bool,
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
    often they win, their mean weight; heads; or layers.

    \b
    Examples:
      tropattn inspect demo --text 314159265=
      tropattn inspect demo --text 314159265= --no-cells --format csv --table keys
      tropattn inspect demo --text 314159265= --layer 1 --output heads.png
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.plotting import save
    from tropattn.plotting.attention import attention as attention_of
    from tropattn.plotting.inspection import inspection
    from tropattn.study.inspection import InspectionSpec, run

    if table is not None and form is None:
        raise click.UsageError("--table goes with --format, which says how to print it.")
    if as_json and form is not None:
        raise click.UsageError("--json or --format needed, got both; --json prints the record.")
    if vocabulary and (attention is not None or (form is not None and table in (None, "tokens"))):
        raise click.UsageError("--attention and the table tokens need a context, not --vocabulary.")
    spec = InspectionSpec(
        source=options.source_of(path, context),
        heads=heads or None,
        keys="vocabulary" if vocabulary else "context",
        cells=not no_cells,
        threads=threads,
        progress=options.watching(),
    )
    watched = options.watching()
    record = run(spec, report.Steps(options.console(err=True)) if watched else nullcontext)
    if output is not None:
        save(inspection(record.tables["heads"]), output)
    if attention is not None:
        save(attention_of(record.tables["tokens"], record.tables["keys"]), attention)
    if form is None:
        options.show(record, as_json, report.inspection)
    else:
        options.show_table(record.table(table or "tokens"), form)
