"""The commands: thin over ``study``, heavy imports inside, so that ``--help`` answers at once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tropattn.cli import options
from tropattn.cli.endings import EXIT_CODES, Group, lower_bounds
from tropattn.numerals import Whole
from tropattn.progress import doing, duration, printing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tropattn.study.pictures import Picture, PlotSpec

__all__ = ["main"]


@click.group(
    cls=Group,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 96,
        "show_default": True,
    },
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

    \b
    Completion on the tab key, in ~/.bashrc (zsh_source and fish_source for those shells):
      eval "$(_TROPATTN_COMPLETE=bash_source tropattn)"
    """  # noqa: D301 (click reads the backspace)


@main.command(short_help="Walk through one layer of the trained model in the package.")
@options.figure(required=False, default="tropattn-demo.png")
@options.seed("Seed of the sampler's draws.")
@options.threads
@options.time_limit
def demo(output: str, seed: int, threads: int | None) -> None:
    """Walk through one layer of the trained model that the package ships.

    For the context 314159265= and the last token of layer 0: live and dead keys, power diagram and
    Newton polytope of each head, then the exact number of routing cells of the layer on R^8 between
    its sampled lower and its sharp upper bound (numbers of cells). Draws a plane through three
    token states. Needs no network; the first run compiles for about a minute.

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
@options.target
@click.option(
    "--of",
    default="cells",
    help="What to count: cells, or linear_regions (cells joined where their maps agree).",
)
@click.option(
    "--engine",
    default="auto",
    help="auto: the fastest that proves the count. By name: line, plane, subsets (one dimension "
    "more), direct_sum (whole space, independent heads), enumeration (anywhere).",
)
@click.option(
    "--certify",
    is_flag=True,
    help="Insist on engines that prove every decision, as all present ones do.",
)
@options.written("--certificate", "Write a proof of the count that `tropattn verify` can check.")
@options.job(
    "Keep what is done in this file, so that the count survives whatever ends it: the same "
    "command, or tropattn resume FILE, goes on. Engines that search in ranges only."
)
@click.option(
    "--cells",
    metavar="DIR",
    help="Write the cells of a job to this folder, an .npz with patterns and witnesses a range. "
    "One layer, by enumeration.",
)
@options.hands
@options.max_cells
@options.threads
@options.time_limit
@options.json_flag
@options.written("--output", "-o", "Write the record to this JSON file as well.")
def count(path: str, as_json: bool, output: str | None, **given: Any) -> None:
    """Count the routing cells of a layer or network exactly (a number of cells).

    INPUT is an .npz, .json or .safetensors file with slopes (H, N, d) and optional intercepts (H,
    N), or slopes_0, intercepts_0, ... for unequal heads; or an .npy of slopes; or a .csv with a key
    a row, slopes in columns, and names head and intercept in its first row for those columns; or -,
    any of these but .safetensors on standard input; or the points of an .off or polymake (.poly)
    file as the keys of one head; or a model's .safetensors file or folder, with
    its context in --text or --ids; or the word demo, the model in the package. With --layer all one
    token's state moves through the whole network, the other tokens where the hard network has them.
    Every decision is proved, by error bounds or in rationals.

    \b
    Examples:
      tropattn count heads.npz --domain box:-1,1
      tropattn count demo --text 314159265= --layer 0 --json
      tropattn count demo --text 314= --layer all
      tropattn count demo --text 314159265= --job demo.job
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.study import counting

    source, settings = options.source_and_settings(path, given)
    spec = counting.CountSpec(source=source, progress=options.watching(), **settings)
    with lower_bounds(as_json, output) as early:
        record = counting.count(spec, early)
    options.show(record, as_json, report.count, output)


@main.command(short_help="Give the sharp upper bound on the cells of one layer.")
@click.argument("path", metavar="[INPUT]", required=False)
@options.context
@options.approximate
@options.domain
@click.option("--keys", type=options.Numbers(), help="Keys of each head, instead of INPUT.")
@click.option("--dim", type=Whole(0, 10**9), help="Dimension (effective rank), with --keys.")
@click.option("--central", is_flag=True, help="All heads share a centre (T7), with --keys.")
@click.option("--live", is_flag=True, help="Count only the keys of INPUT that ever win.")
@options.time_limit
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
    from tropattn.study import bounds as study

    spec = study.BoundsSpec(
        source=None if path is None else options.source_of(path, context),
        domain=domain,
        live=live,
        keys=keys or (),
        dim=dim or 0,
        central=central,
    )
    options.show(study.bounds(spec), as_json, report.bounds)


@main.command(short_help="Count the routing patterns among random states (a lower bound).")
@options.target
@options.whole("--samples", 100_000, "Number of random states.", 1, 10**12)
@options.seed("Seed; draw i depends on it and on i alone.")
@click.option(
    "--distribution",
    type=click.Choice(["gaussian", "sphere"]),
    help="Standard normal or unit-sphere states. Default: uniform on a bounded --domain; on the "
    "whole space normal round the context's mean, 10 times as wide as its states (as a standard "
    "normal for bare heads).",
)
@options.choice(
    "--method",
    ["points", "lines"],
    "Random states, or random chords with every cell that they cross.",
)
@options.job(
    "Keep every range of draws that is done in this file: the same command, or tropattn resume "
    "FILE, goes on from there. All --samples are taken."
)
@options.threads
@options.time_limit
@options.json_flag
@click.pass_context
def sample(ctx: click.Context, path: str, as_json: bool, **given: Any) -> None:
    """Count the routing patterns among random states: a lower bound (a number of cells).

    INPUT as in count. Draws too close to a wall for doubles are discarded, so the number never
    exceeds the exact one. Also estimates how likely a further draw shows a new cell. Without
    --samples, where 100,000 draws take longer than two minutes, as many as fit are taken.

    \b
    Examples:
      tropattn sample heads.npz --samples 1000000
      tropattn sample demo --text 314159265= --domain box:-10,10 --seed 1
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.study import counting

    source, settings = options.source_and_settings(path, given)
    named = ctx.get_parameter_source("samples") is not ParameterSource.DEFAULT
    judge = partial(_draws_in_time, settings["samples"], named)
    watching = options.watching()
    spec = counting.SampleSpec(source=source, progress=watching, judge=judge, **settings)
    with lower_bounds(as_json) as early:
        record = counting.sample(spec, early)
    options.show(record, as_json, report.sample)


_TWO_MINUTES = 120.0


def _draws_in_time(samples: int, named: bool, seconds: float) -> int:
    """How many draws to take: those that the user named, or as many as fit two minutes."""
    if samples * seconds <= _TWO_MINUTES:
        return samples
    pace = f"a draw takes about {seconds:.2g} s"
    if named:
        words = f"{pace}, {samples:,} draws about {duration(samples * seconds)}"
    else:
        fitting = max(1, int(_TWO_MINUTES / seconds))
        unit = 10 ** (len(str(fitting)) - 1)
        samples = fitting // unit * unit
        words = f"{pace}, so {samples:,} are taken; --samples takes another number"
    with printing():
        click.echo(f"tropattn: {words}.", err=True)
    return samples


@main.command(short_help="Draw the cells of heads or of a network.")
@options.target
@click.argument("later", metavar="[LATER]...", nargs=-1, is_eager=True)
@click.option(
    "--view",
    type=click.Choice(["panels", "partition", "diagram", "polytope", "space"]),
    help="panels: heads side by side and their refinement (default for several heads); partition: "
    "the refinement; diagram: one head (default for one); polytope: a Newton polytope; space: "
    "polyhedra in a box of R^3, or the directions of central heads (default for bare heads there).",
)
@click.option("--head", type=Whole(min=0), help="Head of a diagram or polytope, from 0.")
@options.reach
@options.figure(required=True, moves="several checkpoints of a model, one after the other")
@options.threads
@options.time_limit
def plot(path: str, later: tuple[str, ...], output: str, **given: Any) -> None:
    """Draw the cells of heads on a plane or line; numbers in titles are exact counts.

    INPUT as in count, with a variable in R^2 or a plane in --domain. For a model without --domain
    the plane goes through the moving state and two other tokens. Axes are coordinates of the
    variable, or parameters of the plane. With --layer all there is a panel behind each layer, and
    walls have the colour of their layer. On a line a row a head shows which key wins where.

    With LATER checkpoints of the same model, in order, the figure moves from INPUT to the last of
    them, on one plane and in one window, those of the last.

    \b
    Examples:
      tropattn plot heads.npz --output heads.png
      tropattn plot demo --text 314159265= --layer 1 --output layer1.png
      tropattn plot demo --text 314159265= --layer all --output layers.png
      tropattn plot demo demo --text 83= --output walls.gif
    """  # noqa: D301 (click reads the backspace)
    if bool(later) != options.moves(output):
        raise click.UsageError(
            f"one INPUT with .png, .svg or .pdf needed, or several with .gif or .html, got "
            f"{1 + len(later)} with {output}."
        )
    with doing("loading what draws"):
        from tropattn import plotting
        from tropattn.plotting.pictures import draw
        from tropattn.study.inputs import check_alike
        from tropattn.study.pictures import PlotSpec, choose

    if later:
        check_alike([options.source_of(each, {}).path for each in (path, *later)])
    source, settings = options.source_and_settings([path, *later][-1], given)
    spec = PlotSpec(source=source, **settings)
    picture = choose(spec)
    if picture.reach is not None and settings["reach"] is None:
        with printing():
            words = f"the window reaches {picture.reach:g} widths of the three tokens' box"
            click.echo(f"tropattn: {words}; --reach takes another number.", err=True)
    if later:
        _film(picture, spec, [path, *later], output)
    else:
        with doing("drawing"):
            plotting.save(draw(picture), output)
    with printing():
        click.echo(f"written: {output}", err=True)


def _film(last: Picture, spec: PlotSpec, paths: Sequence[str], output: str) -> None:
    """Write the picture of the last of some checkpoints as it came out of the earlier ones."""
    from tropattn.plotting.films import check_view, film_training, save_film
    from tropattn.study.pictures import choose_alike

    check_view(last, "training")
    earlier = [options.source_of(path, {}).path for path in paths[:-1]]
    sources = [replace(spec.source, path=path) for path in earlier]
    pictures = [choose_alike(last, replace(spec, source=source)) for source in sources]
    stems = [Path(path).stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else paths
    with doing("drawing"):
        film = film_training([*pictures, last], names)
        save_film(film, output, f"Walls along training: {last.title}")
