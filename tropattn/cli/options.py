"""Arguments and options that commands share, and how an answer is shown."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tropattn import numerals
from tropattn.cli import signals
from tropattn.files import DEMO, shipped
from tropattn.numerals import Whole
from tropattn.progress import printing

if TYPE_CHECKING:
    from rich.console import Console

    from tropattn.record import Record, Table
    from tropattn.study.inputs import Source

__all__ = [
    "Layer",
    "Numbers",
    "all_of",
    "approximate",
    "check_table",
    "choice",
    "console",
    "context",
    "domain",
    "figure",
    "hands",
    "heads_input",
    "json_flag",
    "max_cells",
    "moves",
    "reach",
    "real",
    "seed",
    "shipped",
    "show",
    "show_either",
    "show_table",
    "source_and_settings",
    "source_of",
    "table",
    "target",
    "threads",
    "time_limit",
    "tokens",
    "watching",
    "whole",
    "written",
]

_CONTEXT = ("text", "ids", "mask", "layer", "position", "approximate")

Decorator = Callable[[Any], Any]


class Numbers(click.ParamType):
    """Integers in least..most with commas between them."""

    name = "N,N,..."

    def __init__(self, most: int = 2**53, least: int = 1) -> None:
        self.most, self.least = most, least

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read ``"3,3,4"``."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(numerals.whole(part.strip(" ")) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < self.least:
            self.fail(
                f"integers >= {self.least} with commas between them needed, got {value!r}.",
                param,
                ctx,
            )
        if max(numbers) > self.most:
            self.fail(f"integers up to {self.most} needed, got {max(numbers)}.", param, ctx)
        return numbers


class Layer(click.ParamType):
    """The number of a layer, or the word ``all``."""

    name = "L|all"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Read ``"1"`` or ``"all"``."""
        if value == "all" or isinstance(value, int):
            return value
        try:
            return numerals.whole(value)
        except ValueError:
            self.fail(f"an integer or the word all needed, got {value!r}.", param, ctx)


def all_of(*decorators: Decorator) -> Decorator:
    """Several decorators as one, applied as if they stood under each other."""

    def apply(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


heads_input = click.argument("path", metavar="INPUT", is_eager=True)

tokens = all_of(
    click.option(
        "--position",
        type=Whole(),
        help="Token whose state moves; negative counts from the end. Default: the last one that "
        "counts.",
    ),
    click.option("--text", help="Context of a model, as text, e.g. 314159265=."),
    click.option("--ids", help="Context of a model, as token ids, e.g. 3,1,4."),
    click.option(
        "--mask",
        help="Which tokens of the context count, e.g. 1,1,0: 1 for a token, 0 for padding, which "
        "no token sees. Needed where --ids holds the model's padding token.",
    ),
)


def context_of(all_layers: str) -> Decorator:
    """The options of a model's context, with what the layer "all" stands for."""
    words = f"Layer of a model, from 0, or all: {all_layers}"
    return all_of(click.option("--layer", type=Layer(), help=words), tokens)


context = context_of("the whole network. Default: 0.")
context_of_heads = context_of("each layer by itself, which is the default.")

approximate = click.option(
    "--approximate",
    is_flag=True,
    help="With --layer all and a model with norms: count an approximation of it, each norm frozen "
    "at the scale that the token has in this context and each activation replaced by ReLU.",
)

domain = click.option(
    "--domain",
    is_eager=True,
    help="Where to count: box:LOW,HIGH (the same bounds in all coordinates), plane:FILE or "
    "line:FILE. Default: the whole space of the variable. FILE is written by tropattn plane, or "
    "by you, as .npz or JSON: of a plane points (3, d), or origin (d,), basis (2, d) and, to bound "
    "it, window [[low, low], [high, high]]; of a line origin (d,), direction (d,) and, to bound "
    "it, t_min, t_max. With --layer all, a line with one row a token moves all tokens, keys "
    "included.",
)

target = all_of(heads_input, context, approximate, domain)
"""What is counted, and where."""

reach = click.option(
    "--reach",
    type=numerals.Real(0, 1e6, min_open=True),
    help="Window on the plane through three tokens: how far it reaches from the moving state, in "
    "widths of the box of the three. Default: beyond that box; of a deep network, as far as can "
    "be drawn in a minute or two. The two other tokens are those with which the window has most "
    "cells, so another reach may take another plane.",
)

threads = click.option(
    "--threads", type=Whole(1, 1024), help="Worker threads. Default: all processors."
)


def job(help_: str) -> Decorator:
    """The option ``--job``, which names the file that keeps what is done."""
    return click.option("--job", metavar="FILE", help=help_)


hands = all_of(
    click.option(
        "--workers",
        type=Whole(1, 1024),
        help="Processes on this machine that work on a job. Default: threads of this one.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler whose workers work on a job, e.g. tcp://10.0.0.1:8786; needs "
        "tropattn[cluster].",
    ),
)
"""Who works on a job."""

json_flag = click.option(
    "--json", "as_json", is_flag=True, help="Print the full record as JSON instead of text."
)

max_cells = click.option(
    "--max-cells",
    type=Whole(min=1),
    help="Stop with exit code 3 beyond this many enumerated cells.",
)


def _limit(ctx: click.Context, _: click.Parameter, value: float | None) -> None:
    if value is not None:
        ctx.with_resource(signals.limited(value))


time_limit = click.option(
    "--time-limit",
    metavar="SECONDS",
    type=numerals.Real(0, threading.TIMEOUT_MAX, min_open=True),
    expose_value=False,
    callback=_limit,
    help="Stop after so many seconds, as Ctrl-C does: with the lower bound so far, if it is a "
    "count, and exit code 3.",
)


def _to_write(endings: Sequence[str] = ()) -> Callable[..., str | None]:
    """Callback of an option that names a file to write: refuse it before the work."""

    def check(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        from tropattn.outputs import keep_apart, output_path, try_out

        if value is not None:
            name = str(param.name)
            output_path(value, name, endings)
            try_out(value, name)
            # Options that name inputs are eager, so that they are known by now.
            keep_apart(value, name, _inputs(ctx.params), "which is an input")
            for other in {"output", "certificate"} - {name}:
                if ctx.params.get(other) is not None:
                    keep_apart(value, name, [ctx.params[other]], f"which --{other} names too")
        return value

    return check


def _inputs(given: dict[str, Any]) -> list[Path]:
    """The files that a command reads, as far as its options say; no command may write them."""
    from tropattn.attention.loading.paths import files_read

    path, domain, readout = (given.get(name) for name in ("path", "domain", "readout"))
    found = files_read(shipped())
    if given.get("file") is not None:
        from tropattn.study.jobs import files_of

        found += [*files_of(given["file"]), *map(Path, given.get("parts", ()))]
    if readout is not None:
        found.append(Path(readout))
    for each in (path, *given.get("later", ())):
        if each is not None and each not in (DEMO, "-"):
            found += files_read(each)
    if domain is not None:
        found.append(Path(domain.partition(":")[2]))
    return found


def written(*names_and_help: str, endings: Sequence[str] = (), **more: Any) -> Decorator:
    """An option that names a file to write, checked before the work: its names, then its help."""
    *names, help_ = names_and_help
    return click.option(*names, metavar="PATH", callback=_to_write(endings), help=help_, **more)


def figure(required: bool, moves: str = "", **default: str) -> Decorator:
    """The option ``--output`` for a figure, its ending and folder checked before the work.

    ``moves`` says what a figure that moves shows, where the command has one.
    """
    from tropattn.outputs import FIGURES, FILMS

    words = "Figure to write: .png, .svg or .pdf" + (f"; {moves}: .gif or .html." if moves else ".")
    endings = (*FIGURES, *FILMS) if moves else FIGURES
    return written("--output", "-o", words, endings=endings, required=required, **default)


def moves(output: str | None) -> bool:
    """Whether a figure that moves is asked for."""
    from tropattn.outputs import FILMS

    return output is not None and output.lower().endswith(FILMS)


def table(names: Sequence[str], default: str | None = None) -> Decorator:
    """The options ``--table`` and ``--format``: one table of the record, for other programs.

    ``default`` says in the help which it is where that is not always the first of the names.
    """
    return all_of(
        click.option(
            "--table",
            type=click.Choice(names),
            help=f"Which table --format prints. Default: {default or names[0]}.",
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice(["csv", "parquet", "json", "md", "latex"]),
            help="Print one table alone, in this form. parquet needs polars, or pandas with "
            "pyarrow, and a file or pipe behind it.",
        ),
    )


def check_table(table: str | None, form: str | None, as_json: bool) -> None:
    """Refuse ``--table``, ``--format`` and ``--json`` where they contradict each other."""
    if table is not None and form is None:
        raise click.UsageError("--table goes with --format, which says how to print it.")
    if as_json and form is not None:
        raise click.UsageError("--json or --format needed, got both; --json prints the record.")


def whole(name: str, default: int, help_: str, least: int, most: int) -> Decorator:
    """An option that takes an integer in a range."""
    return click.option(name, type=Whole(least, most), default=default, help=help_)


def real(name: str, default: float, help_: str) -> Decorator:
    """An option that takes a finite number."""
    return click.option(name, type=numerals.Real(), default=default, help=help_)


def choice(name: str, words: Sequence[str], help_: str) -> Decorator:
    """An option that takes one of some words, by default the first."""
    return click.option(name, type=click.Choice(words), default=words[0], help=help_)


def seed(help_: str) -> Decorator:
    """The option ``--seed``, with what it is the seed of."""
    return whole("--seed", 0, help_, 0, 2**63 - 1)


def source_of(path: str, given: dict[str, Any]) -> Source:
    """The input of a command; the word ``demo`` stands for the model that the package ships.

    A folder of that name is written ``./demo``.
    """
    from tropattn.study.inputs import Source

    if path == DEMO:
        path = shipped()
    return Source(path=path, **{name: given[name] for name in _CONTEXT if name in given})


def source_and_settings(path: str, given: dict[str, Any]) -> tuple[Source, dict[str, Any]]:
    """The input that a command's options name, and the other options."""
    rest = {name: value for name, value in given.items() if name not in _CONTEXT}
    return source_of(path, given), rest


def console(err: bool = False) -> Console:
    """A rich console on stdout, or on stderr."""
    from rich.console import Console

    return Console(stderr=err, highlight=False)


def watching() -> bool:
    """Whether somebody watches stderr, so that progress is worth drawing."""
    return sys.stderr is not None and sys.stderr.isatty()


def show(
    record: Record,
    as_json: bool,
    tell: Callable[[Record, Console], None],
    output: str | None = None,
) -> None:
    """Write the record where asked for, then print it as JSON or with ``tell``."""
    if output is not None:
        record.write(output)
    with printing():
        if as_json:
            click.echo(record.to_json())
        else:
            tell(record, console())


def show_table(table: Table, form: str) -> None:
    """Print one table of a record in a form for other programs."""
    if form == "parquet":
        if sys.stdout.isatty():
            raise click.UsageError("--format parquet: a file or pipe needed, got a terminal.")
        click.echo(table.parquet(), nl=False)
        return
    with printing():
        click.echo(table.text(form), nl=False)


def show_either(
    record: Record,
    as_json: bool,
    tell: Callable[[Record, Console], None],
    table: str,
    form: str | None,
) -> None:
    """Print the record, or where a form is asked for one of its tables alone."""
    if form is None:
        show(record, as_json, tell)
    else:
        show_table(record.table(table), form)
