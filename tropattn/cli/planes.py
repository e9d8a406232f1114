"""``tropattn plane``: a file with the plane or line through states of tokens, for ``--domain``."""

from __future__ import annotations

from typing import Any

import click

from tropattn.cli import options

__all__ = ["plane"]


@click.command(short_help="Write the plane or line through tokens' states, for --domain.")
@options.heads_input
@options.context
@click.option(
    "--tokens",
    type=options.Numbers(2**31, least=0),
    required=True,
    help="Places in the context, from 0: three for a plane, two for a line.",
)
@options.written("--output", "-o", "File to write, .npz.", endings=(".npz",), required=True)
def plane(path: str, tokens: tuple[int, ...], output: str, **context: Any) -> None:
    """Write the plane through the states of three tokens, or the line through those of two.

    INPUT is a model as in count; the states are those that enter --layer, or with --layer all the
    network. The file holds for a plane points (3, d), for a line origin and direction (d,) with the
    first state at t = 0, the second at t = 1, and t_min = -0.2, t_max = 1.2. Other commands take it
    as --domain plane:FILE or --domain line:FILE.

    \b
    Examples:
      tropattn plane demo --text 314159265= --tokens 0,5,9 -o plane.npz
      tropattn count demo --text 314159265= --domain plane:plane.npz
      tropattn plane demo --text 314159265= --tokens 8,9 -o line.npz
      tropattn count demo --text 314159265= --domain line:line.npz
    """  # noqa: D301 (click reads the backspace)
    import numpy as np

    from tropattn.outputs import writing
    from tropattn.study.token_plane import through_tokens

    kind, arrays, names = through_tokens(options.source_of(path, context), tokens)
    with writing(output) as stream:
        np.savez(stream, **arrays)
    words = ", ".join(names)
    click.echo(f"written: {output}, for --domain {kind}:{output}, through {words}", err=True)
