"""``tropattn cells``: the cells of a layer or network as polyhedra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tropattn.cli import options
from tropattn.numerals import Whole

if TYPE_CHECKING:
    from rich.console import Console

    from tropattn.record import Record

__all__ = ["cells"]

_RARE = ("rays", "lines")


@click.command(short_help="Tabulate the cells as polyhedra: corners, facets, volumes.")
@options.target
@click.option(
    "--cell",
    "chosen",
    type=Whole(min=0),
    multiple=True,
    help="Number of a cell, from 0; may be repeated. Default: all.",
)
@click.option("--faces", is_flag=True, help="Count the faces of every dimension as well.")
@click.option(
    "--law",
    type=click.Choice(["uniform", "normal", "direction"]),
    help="How likely a query is to hit each cell: uniform on a bounded --domain; normal, round a "
    "model's own states on the whole space, else standard; or by direction from the centre of "
    "central heads. Proved, but for the normal law on more than two parameters: 99 % intervals.",
)
@options.max_cells
@options.table(("cells", "corners", "facets", "faces", "measure"))
@options.threads
@options.time_limit
@options.json_flag
def cells(
    path: str,
    chosen: tuple[int, ...],
    table: str | None,
    form: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Tabulate the cells of a layer or network as polyhedra, in the parameters of the domain.

    INPUT as in count. For each cell the winner of every head, how many corners, rays and facets it
    has, and its volume where it is bounded; all exact. On more than four parameters corners take
    about a second a cell: name some with --cell. With --format one table alone: cells; corners,
    rays and lines; facets, with the head and key behind each; with --faces the faces of all cells
    by dimension, in the open domain, bounded, and with the domain's walls; with --law the measure.

    \b
    Examples:
      tropattn cells heads.npz --domain box:-1,1 --faces --law uniform
      tropattn cells demo --text 314159265= --cell 17 --cell 18
      tropattn cells heads.npz --format csv --table facets
    """  # noqa: D301 (click reads the backspace)
    from tropattn.study.cells import CellsSpec, run

    options.check_table(table, form, as_json)
    if table == "faces" and not given["faces"]:
        raise click.UsageError("--table faces goes with --faces.")
    if table == "measure" and given["law"] is None:
        raise click.UsageError("--table measure goes with --law.")
    source, settings = options.source_and_settings(path, given)
    record = run(CellsSpec(source=source, cells=chosen, progress=options.watching(), **settings))
    options.show_either(record, as_json, _tell, table or "cells", form)


def _tell(record: Record, console: Console) -> None:
    from tropattn import report

    spec, rows = record.spec, record.tables["cells"]
    console.print(f"{report.counted(spec['found'], 'cell')}, {spec['domain']}", soft_wrap=True)
    console.print(f"  variable   {spec['variable']}", soft_wrap=True, markup=False)
    if "faces" in record.tables:
        for name in ("faces", "bounded", "with_walls"):
            numbers = ", ".join(f"{row[name]:,}" for row in record.tables["faces"])
            console.print(f"  {name.replace('_', ' '):<11}({numbers})", soft_wrap=True)
    for row in record.tables.get("measure", ()):
        low, high = row["effective_low"], row["effective_high"]
        sure = "proved" if row["confidence"] is None else f"at {row['confidence']:.0%}, from draws"
        words = f"{low:.6g} to {high:.6g} cells, {row['law']}, {sure}"
        console.print(f"  effective  {words}", soft_wrap=True)
    if "corners" not in rows[0]:
        words = f"corners in {spec['domain']} take about a second a cell; name some with --cell"
        console.print(f"  {words}", soft_wrap=True)
    shown = [_shown(row) for row in rows]
    # Of cells in a window there are no rays, and of most no lines.
    columns = [c for c in shown[0] if c not in _RARE or any(row.get(c) for row in rows)]
    report.first_rows(shown, "Cells", columns, console)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table for people: the winners in one column, as the f-vector is."""
    sizes = ("corners", *_RARE, "facets")
    winners = " ".join(str(v) for name, v in row.items() if name.startswith("head_"))
    words = {"cell": row["cell"], "winners": winners}
    words |= {name: row[name] for name in sizes if name in row}
    if row.get("volume") is not None:
        words["volume"] = f"{row['volume']:.6g}"
    if "f_vector" in row:
        words["f_vector"] = ", ".join(map(str, row["f_vector"]))
    if "probability_low" in row:
        low, high = (f"{row[f'probability_{end}']:.4g}" for end in ("low", "high"))
        words["probability"] = low if low == high else f"{low}..{high}"
    return words
