"""The commands: thin over ``study``, heavy imports inside, so that ``--help`` answers at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tropattn.cli import options
from tropattn.cli.endings import EXIT_CODES, Group, lower_bounds
from tropattn.numerals import Whole

if TYPE_CHECKING:
    from tropattn.polyhedra.domain import Domain
    from tropattn.regions.result import RegionCount
    from tropattn.study.inputs import Heads

__all__ = ["main"]


def _partial(value: int, of: str, opened: Heads, where: Domain | None, why: str) -> RegionCount:
    """What is known when work ends early."""
    from tropattn.regions.result import RegionCount

    words = f"R^{opened.dim}" if where is None else where.describe()
    return RegionCount(value, "lower", of, words, why)


def _asked(
    path: str, context: dict[str, Any], domain: str | None
) -> tuple[Heads, Domain | None, dict[str, Any]]:
    """The heads and domain of a request, and the part of the record's spec that names them."""
    from tropattn.study.inputs import open_target

    source = options.source_of(path, context)
    opened, where = open_target(source, domain)
    words = domain or f"R^{opened.dim}"
    spec = {"source": source, "variable": opened.variable, "domain": words}
    return opened, where, spec | {"unread": list(opened.unread)}


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog=EXIT_CODES,
)
@click.version_option(package_name="tropattn", prog_name="tropattn")
@click.option("--debug", is_flag=True, help="Show the traceback behind an error.")
def main(debug: bool) -> None:
    """Count exactly how attention at zero temperature cuts up space.

    With its context fixed, each attention head sends a state to the key with the largest score: a
    cell of a power diagram. The heads of a layer together give the routing cells that this program
    counts, bounds, samples and draws. Scores are logits after scaling; coordinates are those of the
    state that moves.

    \b
    Start here:
      tropattn demo
      tropattn count demo --text 271828182=
    """  # noqa: D301 (click reads the backspace)


@main.command(short_help="Walk through one layer of the trained model in the package.")
@options.figure(required=False, default="tropattn-demo.png")
@options.seed("Seed of the sampler's draws.")
@options.threads
def demo(output: str, seed: int, threads: int | None) -> None:
    """Walk through one layer of the trained model that the package ships.

    For the context 314159265= and the last token of layer 0: live and dead keys, power diagram and
    Newton polytope of each head, then the exact number of routing cells of the layer on R^8 between
    its sampled lower and its sharp upper bound (numbers of cells). Draws a plane through three
    token states. Needs no network; the first run compiles for minutes.

    \b
    Examples:
      tropattn demo
      tropattn demo --output heads.svg --seed 1
    """  # noqa: D301 (click reads the backspace)
    from tropattn.cli.demo import run

    run(
        options.shipped(),
        output,
        seed=seed,
        threads=threads,
        out=options.console(),
        err=options.console(err=True),
    )


@main.command(short_help="Count the routing cells of a layer or network exactly.")
@options.heads_input
@options.context
@options.approximate
@options.domain
@click.option(
    "--of",
    default="cells",
    show_default=True,
    help="What to count: cells, or linear_regions (cells joined where their maps agree).",
)
@click.option(
    "--engine",
    default="auto",
    show_default=True,
    help="auto: the fastest that proves the count. By name: line, plane, subsets (one dimension "
    "more), direct_sum (whole space, independent heads), enumeration (anywhere).",
)
@click.option(
    "--certify",
    is_flag=True,
    help="Insist on engines that prove every decision, as all present ones do.",
)
@click.option(
    "--certificate",
    type=click.Path(),
    callback=options.writable,
    help="Write a proof of the count that `tropattn verify` can check.",
)
@options.max_cells
@options.threads
@options.json_flag
@click.option(
    "--output",
    type=click.Path(),
    callback=options.writable,
    help="Write the record to this JSON file as well.",
)
def count(
    path: str,
    domain: str | None,
    of: str,
    engine: str,
    certify: bool,
    certificate: str | None,
    max_cells: int | None,
    threads: int | None,
    as_json: bool,
    output: str | None,
    **context: Any,
) -> None:
    """Count the routing cells of a layer or network exactly (a number of cells).

    INPUT is an .npz or .safetensors file with slopes (H, N, d) and optional intercepts (H, N), or
    slopes_0, intercepts_0, ... for unequal heads; or a model's .safetensors file or folder, with
    its context in --text or --ids; or the word demo, the model in the package. With --layer all one
    token's state moves through the whole network, the other tokens where the hard network has them.
    Every decision is proved, by error bounds or in rationals.

    \b
    Examples:
      tropattn count heads.npz --domain box:-1,1
      tropattn count demo --text 314159265= --layer 0 --json
      tropattn count demo --text 314= --layer all
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.record import Record
    from tropattn.regions.count import count_regions, upper_bound

    opened, where, spec = _asked(path, context, domain)
    spec |= {"of": of, "engine": engine, "certify": certify, "max_cells": max_cells}

    def give_up(lower: int, why: str) -> None:
        part = _partial(lower, of, opened, where, why)
        if output is not None or as_json:
            record = Record("count", spec, {"lower": part}, answer=part)
            options.show(record, as_json, lambda *_: None, output)

    with lower_bounds(give_up):
        found = count_regions(
            opened.target,
            where,
            of=of,
            engine=engine,
            certify=certify,
            certificate=certificate,
            max_cells=max_cells,
            threads=threads,
            progress=options.watching(),
        )
    counts = {"exact": found, "bound": upper_bound(opened.target, where)}
    options.show(Record("count", spec, counts, answer=found), as_json, report.count, output)


@main.command(short_help="Give the sharp upper bound on the cells of one layer.")
@click.argument("path", metavar="[INPUT]", required=False)
@options.context
@options.approximate
@options.domain
@click.option("--keys", type=options.Numbers(), help="Keys of each head, instead of INPUT.")
@click.option("--dim", type=Whole(0, 10**9), help="Dimension (effective rank), with --keys.")
@click.option("--central", is_flag=True, help="All heads share a centre (T7), with --keys.")
@click.option("--live", is_flag=True, help="Count only the keys of INPUT that ever win.")
@options.json_flag
def bounds(
    path: str | None,
    domain: str | None,
    keys: tuple[int, ...] | None,
    dim: int | None,
    central: bool,
    live: bool,
    as_json: bool,
    **context: Any,
) -> None:
    """Give the sharp upper bound on the cells of one layer (a number of cells).

    Either from the numbers of keys and a dimension, or for INPUT as in count. No layer with these
    numbers has more cells, and some layer has as many: T6 (Montufar, Ren, Zhang 2022) for affine
    heads, T7 (Weibel 2012) for heads with a common centre.

    \b
    Examples:
      tropattn bounds --keys 3,3,3 --dim 2
      tropattn bounds demo --text 314159265= --live
    """  # noqa: D301 (click reads the backspace)
    if (path is None) == (keys is None):
        raise click.UsageError("INPUT or --keys with --dim needed, one of the two.")
    if keys is not None:
        asked = {**context, "domain": domain, "approximate": context["approximate"] or None}
        given = [name for name, value in asked.items() if value is not None]
        if dim is None or given or live:
            extra = [f"--{name}" for name in [*given, *(["live"] if live else [])]]
            raise click.UsageError(
                f"--keys needs --dim and no options of INPUT, got {', '.join(extra) or 'no --dim'}."
            )
    elif dim is not None or central:
        raise click.UsageError("--dim and --central go with --keys; INPUT has its own.")
    from tropattn import report
    from tropattn.record import Record
    from tropattn.regions import bounds as theorems

    if path is None:
        found = theorems.layer(keys or (), dim or 0, central)
        spec: dict[str, Any] = {"keys": keys, "dim": dim, "central": central}
    else:
        found, spec = _bound_of(path, context, domain, live)
    options.show(Record("bounds", spec, {"bound": found}, answer=found), as_json, report.bounds)


def _bound_of(
    path: str, context: dict[str, Any], domain: str | None, live: bool
) -> tuple[RegionCount, dict[str, Any]]:
    from tropattn.errors import InvalidInput
    from tropattn.regions.count import upper_bound
    from tropattn.study.layer import with_terms
    from tropattn.tropical.live import live_terms

    opened, where, spec = _asked(path, context, domain)
    target: Any = opened.target
    if live:
        if not opened.heads:
            raise InvalidInput(
                "live: the heads of one layer needed, got a whole network; leave --live out."
            )
        target = [with_terms(head, live_terms(head, where).live) for head in opened.heads]
    heads = target if live else opened.heads
    spec |= {"live": live, "keys": [head.n_terms for head in heads]}
    return upper_bound(target, where), spec


@main.command(short_help="Count the routing patterns among random states (a lower bound).")
@options.heads_input
@options.context
@options.approximate
@options.domain
@click.option(
    "--samples",
    type=Whole(1, 10**12),
    default=100_000,
    show_default=True,
    help="Number of random states.",
)
@options.seed("Seed; draw i depends on it and on i alone.")
@click.option(
    "--distribution",
    type=click.Choice(["gaussian", "sphere"]),
    help="Standard normal or unit-sphere states. Default: uniform on a bounded --domain; on the "
    "whole space normal round the context's mean, 10 times as wide as its states (as a standard "
    "normal for bare heads).",
)
@click.option(
    "--method",
    type=click.Choice(["points", "lines"]),
    default="points",
    show_default=True,
    help="Random states, or random chords with every cell that they cross.",
)
@options.threads
@options.json_flag
def sample(
    path: str,
    domain: str | None,
    samples: int,
    seed: int,
    distribution: str | None,
    method: str,
    threads: int | None,
    as_json: bool,
    **context: Any,
) -> None:
    """Count the routing patterns among random states: a lower bound (a number of cells).

    INPUT as in count. Draws too close to a wall for doubles are discarded, so the number never
    exceeds the exact one. Also estimates how likely a further draw shows a new cell.

    \b
    Examples:
      tropattn sample heads.npz --samples 1000000
      tropattn sample demo --text 314159265= --domain box:-10,10 --seed 1
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.record import Record
    from tropattn.study.draws import default_law, sampled

    opened, where, spec = _asked(path, context, domain)
    law = distribution or default_law(opened, where)
    spec |= {"samples": samples, "distribution": law, "method": method}

    def give_up(lower: int, why: str) -> None:
        part = _partial(lower, "cells", opened, where, why)
        if as_json:
            record = Record("sample", spec, {"sampled": part}, {}, seed, part)
            options.show(record, True, report.sample)

    with lower_bounds(give_up):
        found = sampled(
            opened,
            samples,
            seed=seed,
            domain=where,
            distribution=distribution,
            method=method,
            threads=threads,
            progress=options.watching(),
        )
    record = Record("sample", spec, {"sampled": found}, {}, seed, found)
    options.show(record, as_json, report.sample)


@main.command(short_help="Draw the cells of heads or of a network.")
@options.heads_input
@options.context
@options.approximate
@options.domain
@click.option(
    "--view",
    type=click.Choice(["panels", "partition", "diagram", "polytope"]),
    help="panels: heads side by side and their refinement (default for several heads); partition: "
    "the refinement; diagram: one head (default for one); polytope: a Newton polytope.",
)
@click.option("--head", type=Whole(min=0), help="Head of a diagram or polytope, from 0.")
@options.figure(required=True)
@options.threads
def plot(
    path: str,
    domain: str | None,
    view: str | None,
    head: int | None,
    output: str,
    threads: int | None,
    **context: Any,
) -> None:
    """Draw the cells of heads on a plane or line; numbers in titles are exact counts.

    INPUT as in count, with a variable in R^2 or a plane in --domain. For a model without --domain
    the plane goes through the moving state and two other tokens. Axes are coordinates of the
    variable, or parameters of the plane. With --layer all there is a panel behind each layer, and
    walls have the colour of their layer. On a line a row a head shows which key wins where.

    \b
    Examples:
      tropattn plot heads.npz --output heads.png
      tropattn plot demo --text 314159265= --layer 1 --output layer1.png
      tropattn plot demo --text 314159265= --layer all --output layers.png
    """  # noqa: D301 (click reads the backspace)
    from tropattn import plotting
    from tropattn.cli.drawing import drawing

    figure = drawing(options.source_of(path, context), domain, view, head, threads)
    plotting.save(figure, output)
    click.echo(f"written: {output}", err=True)
