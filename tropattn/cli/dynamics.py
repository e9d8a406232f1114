"""``tropattn dynamics``: the commands of the second wing."""

from __future__ import annotations

from typing import Any

import click

from tropattn.cli import options
from tropattn.cli.options import choice, real, whole
from tropattn.numerals import Real, Whole
from tropattn.progress import counting, doing

__all__ = ["dynamics"]


_scheme = choice(
    "--scheme",
    ["adaptive", "layers"],
    "The flow itself, or residual layers x + step * attention(x).",
)
_common = options.all_of(
    options.seed("Seed of random starts."),
    options.time_limit,
    options.json_flag,
)
_figure = options.figure(required=False)
_film = options.figure(required=False, moves="tokens through time")


def _kind(*kinds: str) -> Any:
    return choice("--kind", kinds, "How tokens weigh each other.")


@click.group(short_help="Follow tokens as they move through layers.")
def dynamics() -> None:
    """Follow tokens as they move through layers of attention.

    \b
    Examples:
      tropattn dynamics hardmax --n 40 --output leaders.png
      tropattn dynamics simulate --beta 9 --dim 2 --time 200 --output run.png
      tropattn dynamics gaussian --dim 3 --kind l2 --json
    """  # noqa: D301 (click reads the backspace)


@dynamics.command(short_help="Run particles with Q = K = V = 1.")
@whole("--n", 32, "Number of tokens.", 1, 4096)
@whole("--dim", 3, "Dimension of the tokens.", 1, 10**4)
@_kind("softmax", "unnormalised", "l2", "sinkhorn", "sigmoid", "linear")
@choice("--space", ["sphere", "flat", "rescaled", "prenorm"], "Where the tokens move.")
@real("--beta", 4.0, "Inverse temperature.")
@click.option("--causal", is_flag=True, help="Tokens read earlier tokens only.")
@real("--time", 20.0, "Last time.")
@whole("--frames", 100, "Number of stored times.", 1, 20_000)
@choice("--engine", ["tokens", "gram"], "gram: SA and USA at a cost that does not depend on --dim.")
@_scheme
@real("--step", 0.1, "Size of a layer for --scheme layers.")
@real("--radius", 0.1, "Tokens closer than this are one cluster (single linkage).")
@_common
@_film
def simulate(**given: Any) -> None:
    """Run random particles: clusters, energy, metastable windows, the soft-hard horizon."""
    if options.moves(given["output"]):
        from tropattn.plotting.films import check_dimension

        check_dimension(given["dim"], given["engine"])
    _answer("simulate", given)


@dynamics.command(short_help="Share of runs in which two tokens have met, over beta and time.")
@whole("--n", 32, "Number of tokens.", 2, 1024)
@whole("--dim", 128, "Dimension of the tokens.", 1, 10**4)
@whole("--betas", 10, "Number of inverse temperatures from 0 to --beta-max.", 1, 1000)
@real("--beta-max", 9.0, "Largest inverse temperature.")
@whole("--layers", 300, "Number of layers, or of stored times.", 1, 10_000)
@real("--step", 0.1, "Size of a layer.")
@whole("--runs", 32, "Runs for each beta.", 1, 10_000)
@_kind("softmax", "unnormalised")
@_scheme
@click.option("--threads", type=Whole(1, 1024), help="Worker threads. Default: all.")
@_common
@_figure
def phase(**given: Any) -> None:
    """Draw the phase diagram of SA or USA from uniform tokens on the sphere."""
    _answer("phase", given)


@dynamics.command(short_help="Leaders, exact limits and cells of a hardmax transformer.")
@click.argument("path", required=False, is_eager=True, type=click.Path(dir_okay=False))
@whole("--n", 20, "Number of random tokens where no file is given.", 1, 10**5)
@whole("--dim", 2, "Their dimension.", 1, 10**4)
@real("--alpha", 1.0, "Step parameter: a token moves alpha / (1 + alpha) of the way.")
@choice("--ties", ["average", "first"], "What several winners do.")
@whole("--layers", 20, "Number of layers.", 1, 10_000)
@click.option(
    "--engine",
    type=click.Choice(["tokens", "exact"]),
    default="exact",
    help="Doubles with rounding bounds, or rationals.",
)
@click.option(
    "--limit/--no-limit",
    default=True,
    show_default=False,
    help="Find exact limits and count cells.",
)
@_common
@_film
def hardmax(**given: Any) -> None:
    """Run hardmax layers on PATH, an .npz with `tokens` (n, d), or on random tokens."""
    _answer("hardmax", given)


@dynamics.command(short_help="What becomes of a Gaussian under attention.")
@click.argument("path", required=False, is_eager=True, type=click.Path(dir_okay=False))
@whole("--dim", 2, "Dimension of random matrices where no file is given.", 1, 64)
@_kind("softmax", "l2", "sinkhorn", "linear")
@real("--beta", 1.0, "Inverse temperature.")
@whole("--n", 1000, "Number of tokens whose freezing level is reported.", 1, 10**15)
@click.option("--time", type=Real(), help="Last time. Default: just past the verdict's time.")
@whole("--frames", 100, "Number of stored times.", 1, 20_000)
@_common
@_figure
def gaussian(**given: Any) -> None:
    """Classify and run a Gaussian under PATH, an .npz with `S` and any of Q, K, V, mean."""
    _answer("gaussian", given)


@dynamics.command(short_help="Evaluate a hardmax sentiment classifier, and name its leaders.")
@click.argument("path", is_eager=True, type=click.Path(dir_okay=False))
@click.option("--text", help="Judge this text instead of the held-out reviews in the file.")
@whole("--top", 20, "Number of leaders to list.", 1, 10**6)
@_common
@_figure
def sentiment(**given: Any) -> None:
    """Evaluate PATH, written by experiments/dynamics/sentiment/train.py."""
    _answer("sentiment", given)


def _answer(command: str, given: dict[str, Any]) -> None:
    from tropattn.study.dynamics import run

    as_json, output = given.pop("as_json"), given.pop("output")

    def show(*shown: Any) -> None:
        with doing("drawing"):
            if options.moves(output):
                from tropattn.plotting.films import OF_DYNAMICS, save_film

                save_film(OF_DYNAMICS[command](*shown), output, f"tropattn dynamics {command}")
                return
            from tropattn.plotting import save
            from tropattn.plotting.dynamics import FIGURES

            save(FIGURES[command](*shown), output)

    with counting(f"steps of {command}", over="") as told:
        record = run(command, given, told, None if output is None else show)
    from tropattn import report as words

    options.show(record, as_json, words.dynamics)
