"""``tropattn temperature``: how soft attention follows hard as the temperature falls."""

from __future__ import annotations

from typing import Any

import click

from tropattn.cli import options
from tropattn.numerals import real
from tropattn.progress import doing

__all__ = ["temperature"]


@click.command(short_help="Compare soft and hard attention over temperatures.")
@options.heads_input
@options.context
@options.domain
@click.option(
    "--tau",
    "taus",
    help="Temperatures with commas between them, in scaled logits; 1 is the model as trained.",
)
@options.real(
    "--tolerance", 0.01, "Weight that the losing keys of a head may hold for soft to follow hard."
)
@options.whole("--samples", 20_000, "States drawn.", 1, 10**8)
@options.seed("Seed of the states.")
@options.figure(required=False)
@options.time_limit
@options.json_flag
def temperature(
    path: str, taus: str | None, output: str | None, as_json: bool, **given: Any
) -> None:
    """Give the share of states where soft attention follows hard, over temperatures.

    INPUT as in count. Each row says for how many states it is guaranteed (by the gap, theory T16)
    and for how many it is true; for a model the context's own tokens are judged as well.

    \b
    Examples:
      tropattn temperature demo --text 314159265=
      tropattn temperature heads.npz --tau 1,0.5,0.1,0.001 --domain box:-4,4 --output curve.png
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.errors import InvalidInput
    from tropattn.plotting import save
    from tropattn.plotting.temperature import curve_figure
    from tropattn.study.temperature import TAUS, TemperatureSpec, run

    try:
        chosen = TAUS if taus is None else tuple(real(t.strip(" ")) for t in taus.split(","))
    except ValueError:
        raise InvalidInput(
            f"--tau: numbers with commas between them needed, got {taus!r}; for example 1,0.5,0.1."
        ) from None
    source, settings = options.source_and_settings(path, given)
    record = run(TemperatureSpec(source=source, temperatures=chosen, **settings), doing)
    if output is not None:
        save(curve_figure(record), output)
    options.show(record, as_json, report.temperature)
