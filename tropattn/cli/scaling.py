"""``tropattn scaling``: how counts grow with the number of keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from tropattn.cli import options
from tropattn.numerals import Whole
from tropattn.progress import counting, doing, printing

__all__ = ["scaling"]


@click.command(short_help="Tabulate how cells grow with keys, heads and layers.")
@click.argument("path", metavar="[INPUT]", required=False, is_eager=True)
@click.option("--layer", type=Whole(), help="Layer of a model, from 0 (the default).")
@click.option("--text", help="Context of a model, as text, e.g. 314159265=.")
@click.option("--ids", help="Context of a model, as token ids, e.g. 3,1,4.")
@click.option(
    "--family",
    type=click.Choice(["strips", "gaussian", "both", "digits"]),
    help="Without INPUT: parabola strips attain the bounds; Gaussian heads lose keys and cells; "
    "the digit transformer attains the bound of several layers. Default: both of the first two.",
)
@click.option("--keys", type=options.Numbers(50_000), default="2,3,4,5", help="Keys a head, N.")
@click.option(
    "--heads",
    type=options.Numbers(1000),
    help="Heads, H: the first ones of INPUT. Default: 1,2,3, or all heads of INPUT; digits have "
    "one a dimension.",
)
@click.option(
    "--dim",
    type=Whole(1, 1000),
    help="Dimension of the variable (2); for INPUT, of a random flat through the moving state "
    "instead of the whole space.",
)
@options.whole(
    "--depth", 1, "Layers, L: of Gaussian heads, digits, or a model of attention alone.", 1, 1000
)
@click.option("--central", is_flag=True, help="Heads with a common centre (T7), not affine (T6).")
@options.seed("First seed of Gaussian heads, flats and the sampler.")
@options.whole("--seeds", 1, "How many seeds to try, for the spread of the exponents.", 1, 1000)
@options.whole("--samples", 20_000, "Random states a row; 0 for none.", 0, 10**8)
@options.choice(
    "--engine",
    ["auto", "enumeration"],
    "auto may multiply the counts of independent heads (T8); enumeration visits every cell.",
)
@click.option(
    "--max-cells",
    type=Whole(min=1),
    help="Stop a row beyond this many cells; it keeps its lower bound, and the exit code is 3.",
)
@options.job(
    "Keep every row that is counted in this file: the same command, or tropattn resume FILE, goes "
    "on from there."
)
@options.threads
@options.figure(required=False)
@options.time_limit
@options.json_flag
@click.pass_context
def scaling(
    ctx: click.Context,
    path: str | None,
    family: str | None,
    layer: int | None,
    text: str | None,
    ids: str | None,
    output: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Tabulate how cells grow with the keys: exact, bound and sampler for every H and N.

    Numbers of cells on the whole space, and the exponent of N by least squares in logarithms with
    its range, its standard error and its spread over the seeds. Where the counts are values of a
    polynomial in N, its degree k and k-th difference are given exactly. Asserts sampled <= exact <=
    bound in every row.

    INPUT as in count. Of polynomials the first N keys are taken; of a model's context its first N -
    1 tokens and the last one, whose state moves.

    \b
    Examples:
      tropattn scaling --family strips --keys 2,3,4,5 --heads 1,2,3 --dim 2
      tropattn scaling --keys 4,8,16 --dim 3 --central --seeds 5 --output growth.png
      tropattn scaling --family digits --keys 2,3,4,5 --dim 1 --depth 2
      tropattn scaling demo --text 314159265= --keys 2,4,6 --heads 1,2 --dim 2 --depth 2
    """  # noqa: D301 (click reads the backspace)
    from tropattn.study.scaling import ScalingSpec, families_of, plan

    given = {"text": text, "ids": ids, "layer": layer}
    if path is None:
        wrong = [f"--{name}" for name, value in given.items() if value is not None]
        if wrong:
            raise click.UsageError(f"INPUT needed with {', '.join(wrong)}, got none.")
        names: Sequence[str] = ("strips", "gaussian") if family in (None, "both") else (family,)
        spec = ScalingSpec(families=names, **settings)
    else:
        if family is not None:
            raise click.UsageError("--family goes without INPUT, which is a family of its own.")
        source = options.source_of(path, given | {"position": None})
        spec = ScalingSpec(families=("weights",), source=source, **settings)
    families = families_of(spec)
    items = plan(spec, families)
    ctx.exit(_counted(spec, families, items, output, as_json))


def _counted(spec: Any, families: Any, items: Any, output: str | None, as_json: bool) -> int:
    """Count row by row and show what is there, also after Ctrl-C; the exit code."""
    from tropattn import report
    from tropattn.study import scaling as study

    done: list[dict[str, Any]] = []
    try:
        with counting("percent of the table", over="") as tell:
            weights = [item.weight for item in items]

            @contextmanager
            def step(name: str) -> Iterator[None]:
                with doing(name):
                    yield
                if tell is not None:
                    past = 100 * sum(weights[: len(done) + 1]) // max(1, sum(weights))
                    tell(past, 100 - past)

            for row in study.rows(spec, items, step):
                done.append(row)
    except KeyboardInterrupt:
        if done:
            options.show(study.record_of(spec, families, done), as_json, report.scaling)
        raise
    options.show(study.record_of(spec, families, done), as_json, report.scaling)
    if output is not None:
        from tropattn import plotting

        plotting.save(plotting.growth(done, families[0].dim, spec.central), output)
        with printing():
            click.echo(f"written: {output}", err=True)
    stopped = sum(row["exact"].kind == "lower" for row in done)
    if stopped:
        with printing():
            click.echo(
                f"tropattn: max_cells: {spec.max_cells} cells reached in {stopped} of {len(done)} "
                "rows; these hold lower bounds and join no fit.",
                err=True,
            )
    return 3 if stopped else 0
