"""``tropattn boundary``: where the answer of a model changes, on a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tropattn.cli import options
from tropattn.progress import doing, printing

if TYPE_CHECKING:
    from rich.console import Console

    from tropattn.record import Record

__all__ = ["boundary"]


@click.command(short_help="Find where the answer of a model changes, on a plane.")
@options.heads_input
@options.tokens
@options.approximate
@options.domain
@options.reach
@click.option(
    "--readout",
    metavar="FILE",
    type=click.Path(),
    is_eager=True,
    help="What reads the answers from the last state, .npz or JSON: matrix (d, K) and, if wanted, "
    "offset (K,) and names (K,). Default: the model's unembedding.",
)
@options.figure(required=False)
@options.table(("boundary", "answers", "pieces", "tokens"))
@options.threads
@options.time_limit
@options.json_flag
def boundary(
    path: str,
    output: str | None,
    table: str | None,
    form: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Find where the answer of a model changes as one token's state moves on a plane, exactly.

    INPUT is a model as in count; its whole network decides, the other tokens where the hard network
    has them, and the largest output is the answer. The boundary has straight pieces: ties, where
    two outputs are equal, and jumps, where a head changes its key and the answer with it. Without
    --domain the plane goes through the moving state and two other tokens, and the distance from
    each of the three to the boundary is given, in the units of the state. Areas and ends are in the
    parameters of the plane, lengths in the space around.

    \b
    Examples:
      tropattn boundary demo --text 83052=
      tropattn boundary demo --text 83052= --position 3 --output boundary.png
      tropattn boundary demo --text 83052= --format csv --table pieces
    """  # noqa: D301 (click reads the backspace)
    from tropattn import plotting
    from tropattn.study.boundary import BoundarySpec, decide, record

    options.check_table(table, form, as_json)
    source, settings = options.source_and_settings(path, given)
    spec = BoundarySpec(source=source, **settings)
    found = decide(spec)
    if output is not None:
        with doing("drawing"):
            rows = found.tokens
            points = [[row["p_0"], row["p_1"]] for row in rows] or None
            names = [row["token"] for row in rows]
            figure = plotting.boundary(
                found.boundary,
                names=found.names,
                points=points,
                point_names=names,
                title=found.variable,
            )
            plotting.save(figure, output)
        with printing():
            click.echo(f"written: {output}", err=True)
    options.show_either(record(found, spec), as_json, _tell, table or "boundary", form)


def _tell(record: Record, console: Console) -> None:
    from tropattn import report

    (row,) = record.tables["boundary"]
    pieces, cells = report.counted(row["pieces"], "piece"), report.counted(row["cells"], "cell")
    words = f"{pieces} of boundary, {row['jumps']} jumps among them, between {cells}"
    console.print(f"{words}, {record.spec['domain']}", soft_wrap=True)
    console.print(f"  variable  {record.spec['variable']}", soft_wrap=True, markup=False)
    closure = f"{report.counted(row['components'], 'component')}"
    console.print(f"  closure   {closure}, {report.counted(row['cycles'], 'cycle')}")
    for name, title in (("answers", "Answers"), ("tokens", "Tokens on the plane")):
        rows = record.tables[name]
        if rows:
            report.listing(record, name, title, list(rows[0]), console)
