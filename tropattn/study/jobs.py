"""Jobs: counts and tables whose work a ledger keeps. Going on with one, and how far one is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from tropattn.attention.loading.paths import files_read
from tropattn.errors import InvalidInput
from tropattn.files import DEMO
from tropattn.progress import Listening
from tropattn.record import Record
from tropattn.regions.count import survey_job
from tropattn.regions.jobs.database import SIDES, damaged
from tropattn.regions.jobs.driver import Order
from tropattn.regions.jobs.exchange import export, united
from tropattn.regions.jobs.ledger import Ledger, SearchState
from tropattn.regions.jobs.survey import Survey
from tropattn.study.counting import CountSpec, SampleSpec, count, resolved, sample
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec
from tropattn.study.inspection import run as inspection
from tropattn.study.layer import Step
from tropattn.study.scaling import ScalingSpec
from tropattn.study.scaling import run as scaling
from tropattn.study.unembedding import UnembeddingSpec
from tropattn.study.unembedding import run as unembedding

__all__ = ["exported", "files_of", "look", "merged", "resume"]

_SPECS: dict[str, Any] = {
    "count": CountSpec,
    "sample": SampleSpec,
    "scaling": ScalingSpec,
    "inspect": InspectionSpec,
    "unembedding": UnembeddingSpec,
}
_RECENT = 600.0
"""Seconds of work from which the pace is taken."""


def resume(
    path: str,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    threads: int | None = None,
    max_cells: int | None = None,
    progress: Listening = False,
    step: Step = nullcontext,
    early: Callable[[Record], object] = lambda _: None,
) -> Record:
    """Go on with a job that another command began; the record is that of this one.

    Raises as they do, and ``InvalidInput`` where the file is no ledger of a command, or not of a
    count where ``workers``, ``scheduler`` or ``max_cells`` are given.
    """
    with Ledger.looked_at(path) as ledger:
        spec = _spec(path, ledger.about())
    if spec is None:
        raise InvalidInput(
            f"job: a job that tropattn count began needed, got {path} of a program; call "
            "count_regions there again with the same job."
        )
    more: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "max_cells": max_cells}
    if isinstance(spec, CountSpec):
        return count(replace(spec, **more, threads=threads, progress=progress), early)
    for name, value in more.items():
        if value is not None:
            raise InvalidInput(
                f"{name}: the job of a count needed, got {path} of another command; leave it out."
            )
    if isinstance(spec, ScalingSpec):
        return scaling(replace(spec, threads=threads), step)
    more = {"threads": threads, "progress": progress}
    if isinstance(spec, SampleSpec):
        return sample(replace(spec, **more), early)
    if isinstance(spec, UnembeddingSpec):
        return unembedding(replace(spec, **more), step)
    return inspection(replace(spec, **more), step)


def files_of(path: str) -> list[Path]:
    """The file of a job, those that are beside it while it runs, and those of its input."""
    place = Path(path)
    beside = [place.with_name(place.name + end) for end in ("", "-lock", *SIDES)]
    if not place.is_file():
        return beside
    with Ledger.looked_at(path) as ledger:
        spec = _spec(path, ledger.about())
    if spec is None:
        return beside
    source = spec if isinstance(spec, UnembeddingSpec) else spec.source
    if source is None or source.path == DEMO or not Path(source.path).exists():
        return beside
    return [*beside, *files_read(source.path)]


def look(path: str, early: Callable[[Record], object] = lambda _: None) -> Record:
    """How far a job is: per search ranges done and open, cells, and an estimate of the rest.

    The table ``searches`` has a row a search. ``left`` estimates the cells still to be found and
    ``left_error`` is its standard error; both are None where nothing is left, or where a program
    began the job, which alone has the input. A stop while it is estimated leaves the record of what
    is done to ``early``.

    Raises ``InvalidInput`` where the file is no ledger, or the input is not what it was.
    """
    with Ledger.looked_at(path) as ledger:
        about, states, held = ledger.about(), ledger.states(), ledger.held
        cells, seconds = ledger.pace(_RECENT)
    spec, finished = _spec(path, about), "count" in about
    pace = cells / seconds if seconds > 0 else None
    settings = {
        "file": path,
        "held": held,
        "finished": finished,
        "part": "part" in about,
        "count": about.get("count"),
        "pace": pace,
        "versions": json.loads(about["versions"]),
        "asked": None if spec is None else json.loads(about["spec"]),
    }

    def record(surveys: Sequence[Survey]) -> Record:
        seen = {survey.name: survey for survey in surveys}
        rows = [_row(state, seen.get(state.name), pace) for state in states]
        return Record("jobs", settings, tables={"searches": rows})

    if not isinstance(spec, CountSpec) or finished:
        return record(())
    try:
        opened, where, _ = resolved(spec.source, spec.domain)
        order = Order(path, cells=spec.cells, steps=spec.certificate is not None)
        asked = {"of": spec.of, "engine": spec.engine, "job": order}
        return record(survey_job(opened.target, where, **asked))
    except KeyboardInterrupt:
        early(record(()))
        raise


def _row(state: SearchState, survey: Survey | None, pace: float | None) -> dict[str, Any]:
    left = None if survey is None else survey.left
    return {
        "search": state.name,
        "merge": state.merge,
        "done": state.done,
        "open": state.open,
        "cells": state.cells,
        "seconds": state.seconds,
        "left": left,
        "left_error": None if survey is None else survey.error,
        "seconds_left": left / pace if left is not None and pace else None,
    }


def exported(path: str, to: str) -> int:
    """Write the open ranges of a job as lines of JSON; the number of them."""
    with Ledger.looked_at(path) as ledger:
        return export(ledger, to)


def merged(path: str, parts: Sequence[str]) -> bool:
    """Unite ledgers and files of lines in a new one; whether it is a whole job (``exchange``)."""
    return united(path, parts)


def _spec(
    path: str, about: dict[str, str]
) -> CountSpec | SampleSpec | ScalingSpec | InspectionSpec | UnembeddingSpec | None:
    """What the command asked that began the job, None where none did."""
    if "spec" not in about:
        return None
    try:
        given = json.loads(about["spec"])
        kind = _SPECS[given.pop("command", "count")]
        source = given.pop("source")
        if kind is UnembeddingSpec:
            return UnembeddingSpec(path=source["path"], job=path)
        return kind(source=None if source is None else Source(**source), job=path, **given)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise damaged(path, "what was asked is no command's") from None
