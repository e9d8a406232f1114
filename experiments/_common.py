"""What the experiments share: arguments, the spec, claims held against expected.json, results.

An experiment reads one table of its ``spec.toml``, computes, prints tables, writes them with its
figures to a folder, and compares every claim that it recomputed with ``expected.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from tropattn import plotting
from tropattn.outputs import writing
from tropattn.record import plain
from tropattn.report import Steps

ROOT = Path(__file__).parents[1]
RESULT = "## Result"


class Experiment:
    """One run: ``spec`` holds the profile's numbers, ``out`` is the folder of its results."""

    def __init__(self, script: str, words: str | None) -> None:
        folder = Path(script).resolve().parent
        parser = argparse.ArgumentParser(description=words)
        parser.add_argument("--profile", choices=("smoke", "full"), default="smoke")
        parser.add_argument("--output", type=Path, default=ROOT / "tropattn-out" / folder.name)
        parser.add_argument("--threads", type=int, help="worker threads, default all")
        options = parser.parse_args()
        self.folder, self.profile, self.threads = folder, options.profile, options.threads
        self.out = options.output / self.profile
        self.out.mkdir(parents=True, exist_ok=True)
        document = tomllib.loads((folder / "spec.toml").read_text(encoding="utf-8"))
        self.words: dict[str, str] = document["claims"]
        self.spec: dict[str, Any] = document[self.profile]
        expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        self.expected: dict[str, Any] = expected[self.profile]
        self.found: dict[str, Any] = {}
        self.skipped: dict[str, str] = {}
        self.tables: dict[str, Any] = {}
        self._lines: list[str] = []
        self._started = _now()
        watched = sys.stderr.isatty()
        steps = Steps(Console(stderr=True, highlight=False))
        self.step: Callable[[str], AbstractContextManager[Any]] = steps if watched else nullcontext

    def say(self, line: str = "") -> None:
        """Print a line of the report."""
        print(line, flush=True)
        self._lines.append(line)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table in Markdown and keep it for the results."""
        self.tables[name] = [dict(zip(columns, row, strict=True)) for row in rows]
        self.say(f"**{name}**\n")
        self.say(f"| {' | '.join(columns)} |")
        self.say(f"|{'---|' * len(columns)}")
        for row in rows:
            self.say(f"| {' | '.join(_cell(value) for value in row)} |")
        self.say()

    def figure(self, figure: Any, name: str) -> None:
        """Write a figure as PNG, small enough for a page."""
        plotting.save(figure, self.out / f"{name}.png", dpi=80)

    def claim(self, name: str, value: Any) -> None:
        """Record what was recomputed for a claim of the spec."""
        if name not in self.words or name in self.found:
            raise KeyError(f"{name}: one value for each claim of spec.toml")
        self.found[name] = plain(value)

    def skip(self, names: Sequence[str], why: str) -> None:
        """Leave claims out of this run, with a line that says why."""
        print(f"skipped: {why}", flush=True)
        self.skipped |= dict.fromkeys(names, why)

    def finish(self) -> None:
        """Compare all claims, write the results, and exit with 1 where something differs."""
        wrong = []
        for name, words in self.words.items():
            if name in self.skipped:
                continue
            if name not in self.found:
                wrong.append(f"{name}: not computed")
            elif self.found[name] != self.expected.get(name):
                wrong.append(f"{name}: {self.found[name]} found, {self.expected.get(name)} in file")
            else:
                self.say(f"- {words}: {_cell(self.found[name])}")
        report = "\n".join(self._lines).strip() + "\n"
        with writing(self.out / "report.md") as stream:
            stream.write(report.encode())
        document = {
            "experiment": self.folder.name,
            "profile": self.profile,
            "spec": self.spec,
            "claims": self.found,
            "skipped": self.skipped,
            "tables": plain(self.tables),
        }
        with writing(self.out / "results.json") as stream:
            stream.write((json.dumps(document, indent=1) + "\n").encode())
        readme = (self.folder / "README.md").read_text(encoding="utf-8")
        if self.profile == "full" and not self.skipped and report not in readme:
            print(f"README.md: its result differs from {self.out / 'report.md'}", file=sys.stderr)
        wall, work = (now - then for now, then in zip(_now(), self._started, strict=True))
        print(f"{self.folder.name}: {wall:.0f} s, {work:.0f} s of processors", file=sys.stderr)
        for line in wrong:
            print(f"DIFFERS  {line}", file=sys.stderr)
        sys.exit(1 if wrong else 0)


def _now() -> tuple[float, float]:
    """Wall time, and time of processors with that of finished children."""
    mine = os.times()
    return time.perf_counter(), mine.user + mine.system + mine.children_user + mine.children_system


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        parts = [
            f"({_cell(entry)})" if isinstance(entry, list) else _cell(entry) for entry in value
        ]
        return ", ".join(parts) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name} {_cell(entry)}" for name, entry in value.items())
    return str(value)
