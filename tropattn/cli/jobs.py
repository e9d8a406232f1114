"""``tropattn resume`` and ``tropattn jobs``: go on with work that is kept, look at it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from tropattn.cli import options
from tropattn.cli.endings import lower_bounds
from tropattn.progress import printing

if TYPE_CHECKING:
    from tropattn.record import Record

__all__ = ["jobs", "resume"]


@click.command(short_help="Go on with work that --job keeps.")
@click.argument("file", type=click.Path(dir_okay=False), is_eager=True)
@options.hands
@options.max_cells
@options.threads
@options.time_limit
@options.json_flag
@options.written("--output", "-o", "Write the record to this JSON file as well.")
def resume(file: str, as_json: bool, output: str | None, **given: Any) -> None:
    """Go on with what count, sample, scaling or inspect began with --job, however it ended.

    FILE is what --job named; input, domain and question are those of the first run, and the input
    must be what it was. Who works on it may change: threads, and of a count processes and machines.
    A job that is done answers at once.

    \b
    Examples:
      tropattn resume demo.job
      tropattn resume demo.job --workers 8
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.study import jobs as study

    watched = options.watching()
    step = report.Steps(options.console(err=True)) if watched else nullcontext
    with lower_bounds(as_json, output) as early:
        record = study.resume(file, progress=watched, step=step, early=early, **given)
    tell = {
        "sample": report.sample,
        "scaling": report.scaling,
        "inspect": report.inspection,
        "unembedding": report.unembedding,
    }
    options.show(record, as_json, tell.get(record.command, report.count), output)


@click.command(short_help="Show how far work is that --job keeps.")
@click.argument("file", type=click.Path(dir_okay=False), is_eager=True)
@click.argument("parts", nargs=-1, type=click.Path(dir_okay=False), is_eager=True)
@click.option(
    "--merge",
    is_flag=True,
    help="Make FILE of PARTS: ledgers, or files of lines that --export wrote, cut as you like.",
)
@options.written("--export", "Write the open ranges to this file, as lines of JSON.")
@options.time_limit
@options.json_flag
def jobs(file: str, parts: tuple[str, ...], merge: bool, export: str | None, as_json: bool) -> None:
    """Show how far a job is, also while it runs: ranges, cells, pace, and what may be left.

    Cells found are a lower bound (of a direct sum each search has its own, and counts multiply).
    The rest is an estimate from random probes, with its standard error; it takes some seconds.

    Machines without a network share a job by files: --export writes a header and a line for each
    open range; the header with some of the lines is a part, of which --merge makes a job for resume
    on another machine with the same input. At the end --merge unites the parts with the job that
    they came from, and checks that no range is missing or counted twice.

    \b
    Examples:
      tropattn jobs demo.job
      tropattn jobs demo.job --export open.jsonl
      tropattn jobs part.job --merge half.jsonl
      tropattn jobs whole.job --merge demo.job part1.job part2.job
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.study import jobs as study

    if bool(parts) != merge:
        raise click.UsageError("PARTS and --merge go together, got one of the two.")
    if merge:
        whole = study.merged(file, parts)
        with printing():
            kind = "a whole job" if whole else "a part of a job"
            click.echo(f"written: {file}, {kind}", err=True)
    if export is not None:
        count = study.exported(file, export)
        with printing():
            click.echo(f"written: {export}, {count:,} open ranges", err=True)

    def show(record: Record) -> None:
        options.show(record, as_json, report.jobs)

    # What is done is shown also where the estimate of the rest is stopped.
    show(study.look(file, show))
