"""``tropattn verify``: check a certificate, and that it speaks of the weights at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tropattn.cli import options
from tropattn.progress import doing, printing

__all__ = ["verify"]


@click.command(short_help="Check a certificate that count wrote.")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--weights",
    metavar="INPUT",
    help="Heads that the certificate must be about, named as for count.",
)
@options.context
@options.domain
@options.time_limit
@options.json_flag
def verify(
    file: str, weights: str | None, domain: str | None, as_json: bool, **context: Any
) -> None:
    """Check a certificate of a count in rationals, by code that shares nothing with the engines.

    Every witness, every discarded branch and the completeness of the search are checked. With
    --weights (and the same --text, --layer, --domain as for count) the polynomials and the domain
    in the file must be those given, number for number; without --domain that is the whole space.
    Without --weights nothing is compared, and the answer says what domain the file is about. Exit
    code 1 if any claim is false; --json then prints "verified": false and the reason.

    \b
    Examples:
      tropattn verify demo.cert.gz
      tropattn verify demo.cert.gz --weights demo --text 314159265=
    """  # noqa: D301 (click reads the backspace)
    from tropattn.errors import EngineError, InvalidInput
    from tropattn.regions.result import decimal
    from tropattn.study.inputs import open_layer
    from tropattn.tropical.max_affine import on_parameters
    from tropattn.verify import verify as check

    exact = walls = None
    if weights is None and domain is not None:
        raise InvalidInput(
            f"domain: --weights beside it needed, got --domain {domain} alone; name the input that "
            "was counted there."
        )
    if weights is not None:
        opened, where = open_layer(options.source_of(weights, context), domain)
        exact = [unit.exact_terms() for unit in on_parameters(opened.heads, where)]
        walls = None if where is None else where.walls
    try:
        with doing(f"checking every range of {Path(file).name}"):
            proved = check(file, exact, walls)
    except EngineError as error:
        if as_json:
            with printing():
                click.echo(json.dumps({"verified": False, "reason": str(error)}, indent=2))
        raise
    about = "the weights given" if exact is not None else "the polynomials in the file"
    if as_json:
        answer = {
            "verified": True,
            "value": decimal(proved.count),
            "cells": proved.cells,
            "discards": proved.discards,
            "ranges": proved.ranges,
            "about": about,
            "domain": proved.domain,
        }
        with printing():
            click.echo(json.dumps(answer, indent=2))
        return
    from tropattn.report import counted

    with printing():
        click.echo(
            f"accepted: {counted(proved.count, 'cell')} of {about}\n"
            f"in {proved.domain};\n"
            f"{counted(proved.cells, 'witness', 'witnesses')} and "
            f"{counted(proved.discards, 'discarded branch', 'discarded branches')} checked in "
            f"{counted(proved.ranges, 'range')}"
        )
