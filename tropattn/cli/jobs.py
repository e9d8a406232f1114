"""``tropattn resume`` and ``tropattn jobs``: go on with a count that keeps its work, look at it."""

from __future__ import annotations

from typing import Any

import click

from tropattn.cli import options
from tropattn.cli.endings import lower_bounds

__all__ = ["jobs", "resume"]


@click.command(short_help="Go on with a count that --job keeps.")
@click.argument("file", type=click.Path(dir_okay=False))
@options.hands
@options.max_cells
@options.threads
@options.time_limit
@options.json_flag
@options.written("--output", "Write the record to this JSON file as well.")
def resume(file: str, as_json: bool, output: str | None, **given: Any) -> None:
    """Go on with a count that was begun with --job, however its last run ended.

    FILE is what --job named; input, domain and question are those of the first run, and the input
    must be what it was. Who works on it may change: threads, processes, machines. A job that is
    done answers at once.

    \b
    Examples:
      tropattn resume demo.job
      tropattn resume demo.job --workers 8
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.study import jobs as study

    with lower_bounds(as_json, output) as early:
        record = study.resume(file, progress=options.watching(), early=early, **given)
    options.show(record, as_json, report.count, output)


@click.command(short_help="Show how far a count is that --job keeps.")
@click.argument("file", type=click.Path(dir_okay=False))
@options.time_limit
@options.json_flag
def jobs(file: str, as_json: bool) -> None:
    """Show how far a job is, also while it runs: ranges, cells, pace, and what may be left.

    Cells found are a lower bound (of a direct sum each search has its own, and counts multiply).
    The rest is an estimate from random probes, with its standard error; it takes some seconds.

    \b
    Examples:
      tropattn jobs demo.job
      tropattn jobs demo.job --json
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.study import jobs as study

    options.show(study.look(file), as_json, report.jobs)
