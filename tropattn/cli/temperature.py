"""``tropattn temperature``: how soft attention follows hard as the temperature falls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tropattn.cli import options
from tropattn.numerals import real
from tropattn.progress import doing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tropattn.record import Record
    from tropattn.study.pictures import Picture

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
@options.figure(required=False, moves="heads on a plane as walls harden")
@options.time_limit
@options.json_flag
def temperature(
    path: str, taus: str | None, output: str | None, as_json: bool, **given: Any
) -> None:
    """Give the share of states where soft attention follows hard, over temperatures.

    INPUT as in count. Each row says for how many states it is guaranteed (by the gap, theory T16)
    and for how many it is true; for a model the context's own tokens are judged as well. A figure
    that moves shows, instead of the curve, how the keys' weights harden into the cells from the
    highest temperature to the lowest.

    \b
    Examples:
      tropattn temperature demo --text 314159265=
      tropattn temperature heads.npz --tau 1,0.5,0.1,0.001 --domain box:-4,4 --output curve.png
    """  # noqa: D301 (click reads the backspace)
    from tropattn import report
    from tropattn.errors import InvalidInput
    from tropattn.study.temperature import TAUS, TemperatureSpec, run

    try:
        chosen = TAUS if taus is None else tuple(real(t.strip(" ")) for t in taus.split(","))
    except ValueError:
        raise InvalidInput(
            f"--tau: numbers with commas between them needed, got {taus!r}; for example 1,0.5,0.1."
        ) from None
    source, settings = options.source_and_settings(path, given)
    picture = None
    if options.moves(output):
        from tropattn.plotting.films import check_view
        from tropattn.study.pictures import PlotSpec, choose

        picture = choose(PlotSpec(source=source, domain=given["domain"]))
        check_view(picture)
    record = run(TemperatureSpec(source=source, temperatures=chosen, **settings), doing)
    with doing("drawing"):
        _write(record, picture, chosen, output)
    options.show(record, as_json, report.temperature)


def _write(
    record: Record, picture: Picture | None, taus: Sequence[float], output: str | None
) -> None:
    """Write the film of a picture, or the curve of the record."""
    if output is None:
        return
    if picture is not None:
        from tropattn.plotting.films import film_hardening, save_film

        film = film_hardening(picture, taus)
        save_film(film, output, f"Walls along the temperature: {picture.title}")
        return
    from tropattn.plotting import save
    from tropattn.plotting.temperature import curve_figure

    save(curve_figure(record), output)
