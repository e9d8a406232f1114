"""``tropattn atlas``: every head of a model in one page that opens from disk."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import click

from tropattn.cli import options
from tropattn.progress import doing, printing

__all__ = ["atlas"]


@click.command(short_help="Write one page with every head of a model, to look at and click on.")
@options.heads_input
@options.context
@options.approximate
@click.option(
    "--through",
    type=options.Numbers(2**31, least=0),
    multiple=True,
    help="Places of three tokens, from 0: a plane through their states. Up to eight times; the "
    "page chooses among them. Default: the moving token, the first and the middle one.",
)
@options.written("--output", "-o", "Page to write, .html.", endings=(".html",))
@options.threads
@options.time_limit
@options.json_flag
def atlas(
    path: str,
    through: tuple[tuple[int, ...], ...],
    output: str | None,
    threads: int | None,
    as_json: bool,
    **context: Any,
) -> None:
    """Write one HTML page with every head of a model: it opens from disk and loads nothing.

    INPUT is a model as in count, heads on R^2, or the record of an atlas (.json, from --json). The
    page shows a grid and a scatter of heads by exact and estimated numbers; of the head that is
    clicked, its exact cells on planes through three tokens, the dual subdivision and its weights on
    the text; of the layer, the cells of all heads together. All layers are shown; with --layer all
    also the whole network, the plane behind each of its layers. The page needs the extra atlas
    (Bokeh): pip install "tropattn[atlas]".

    \b
    Examples:
      tropattn atlas demo --text 314159265= -o page.html
      tropattn atlas demo --text 314159265= --through 1,5,9 --through 0,4,9 -o page.html
      tropattn atlas demo --text 314159265= --layer all -o page.html
      tropattn atlas demo --text 314159265= --json
    """  # noqa: D301 (click reads the backspace)
    with doing("loading what draws"):
        from tropattn import report
        from tropattn.outputs import writing
        from tropattn.plotting.atlas import need_bokeh, page
        from tropattn.study.atlas import AtlasSpec, kept_record, run

    if output is None and not as_json:
        raise click.UsageError("--output or --json needed, the page or its record.")
    if output is not None:
        need_bokeh()
    document = kept_record(path)
    given = [name for name, value in {**context, "through": through}.items() if value]
    if document is not None and given:
        raise click.UsageError(
            f"--{given[0]}: none needed beside a record, got one; it holds what it was made with."
        )
    if document is None:
        source = options.source_of(path, context)
        spec = AtlasSpec(source=source, through=through, threads=threads)
        steps = report.Steps(options.console(err=True)) if options.watching() else nullcontext
        document = run(spec, steps).as_dict()
    if output is not None:
        with writing(output) as stream:
            stream.write(page(document).encode())
        with printing():
            click.echo(f"written: {output}", err=True)
    if as_json:
        with printing():
            click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))
