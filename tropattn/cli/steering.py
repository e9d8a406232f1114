"""``tropattn steer``: the least vector that makes heads choose given keys."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from tropattn.cli import options
from tropattn.numerals import Real, Whole

if TYPE_CHECKING:
    from rich.console import Console

    from tropattn.record import Record

__all__ = ["steer"]


@click.command(short_help="Find the least vector that makes heads choose given keys.")
@options.heads_input
@options.context_of("each layer by itself, the default without --head; beside it, 0.")
@click.option("--head", "heads", type=Whole(), multiple=True, help="Head, from 0; may be repeated.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="Key that the head shall choose, one for each --head: a place in the context from 0, or "
    "a name as tables write it, such as the@3, or sink for the extra key of a model with attention "
    "sinks. Without --head: every head is asked.",
)
@options.choice(
    "--of",
    ["state", "residual"],
    "What is moved: the state that enters the heads, or what enters the norm before them.",
)
@click.option(
    "--margin",
    type=Real(0, 1e6, min_open=True),
    default=0.01,
    help="How much longer than the least the vector may be, so that it leads beyond the wall.",
)
@options.written("--output", "-o", "Vector to write, .npz.", endings=(".npz",))
@options.time_limit
@options.json_flag
def steer(
    path: str,
    heads: tuple[int, ...],
    keys: tuple[str, ...],
    of: str,
    margin: float,
    output: str | None,
    as_json: bool,
    **context: Any,
) -> None:
    """Find the least vector that, added to a token's state, makes heads choose given keys.

    INPUT is a model as in inspect. The distance is that to the nearest state of the key's cell,
    exact; the vector goes a little beyond the wall, and its winner is proved. Several pairs of
    --head and --key are one pattern. Without --head: for every head the nearest wall of the cell
    that the state is in, the key behind it, and with --key the distance to that key's cell. Of the
    residual, distances are exact where no constant stands in the scores; else they are bounds.
    Lengths are Euclidean, in the units of the state. A dead key is refused with its proof.

    \b
    Examples:
      tropattn steer demo --text 314159265=
      tropattn steer demo --text 314159265= --head 0 --key 3
      tropattn steer demo --text 314159265= --head 0 --key 3 --head 1 --key 5 -o vector.npz
    """  # noqa: D301 (click reads the backspace)
    import numpy as np

    from tropattn import report
    from tropattn.outputs import writing
    from tropattn.study.steering import SteerSpec, run

    if output is not None and not heads:
        raise click.UsageError("--output goes with --head and --key: there is no vector without.")
    spec = SteerSpec(
        source=options.source_of(path, context),
        heads=heads,
        keys=keys,
        of="residual" if of == "residual" else "state",
        margin=margin,
    )
    watched = options.watching()
    record = run(spec, report.Steps(options.console(err=True)) if watched else nullcontext)
    if output is not None:
        with writing(output) as stream:
            np.savez(stream, vector=np.array(record.tables["steering"][0]["vector"]))
    options.show(record, as_json, _tell)


def _tell(record: Record, console: Console) -> None:
    from tropattn import report

    token = record.spec["token"]
    for row in record.tables.get("steering", ()):
        report.steered(row, token, console)
    if "walls" in record.tables:
        columns = ("layer", "head", "winner", "gap", "rival", "wall", "key", "lower", "upper")
        report.listing(record, "walls", f"Nearest walls of the state of {token}", columns, console)
        for row in record.tables["walls"]:
            if row.get("refused"):
                words = f"  layer {row['layer']}, head {row['head']}: {row['refused']}"
                console.print(words, soft_wrap=True, markup=False)
