"""What others call: names, signatures, commands, engines, JSON fields, exit codes, in one document.

    python tests/architecture/surface.py > tests/architecture/surface.json

``test_surface.py`` compares the package with the file, so that a change of layout cannot change
what users see without a line in this file's diff. Numbers are not in it; other tests hold those.
"""

from __future__ import annotations

import enum
import inspect
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.testing import CliRunner

import tropattn as ta
from tropattn import plotting
from tropattn.cli import main
from tropattn.cli.endings import EXIT_CODES
from tropattn.regions.engines import ENGINES
from tropattn.regions.question import engine_names

COMMANDS = {
    "count layer": "count demo --text 314= --json",
    "count network": "count demo --text 31= --layer all --domain box:-1,1 --json --max-cells 3",
    "count regions": "count HEADS --of cells --domain box:-1,1 --json",
    "bounds": "bounds --keys 3,3,3 --dim 2 --json",
    "sample": "sample HEADS --samples 1000 --domain box:-1,1 --json",
    "inspect": "inspect demo --text 314= --json",
    "temperature": "temperature demo --text 314= --json",
    "scaling": "scaling --heads 1,2 --dim 2 --json",
    "bad input": "count none.npz --json",
}
"""One call of each command, small; HEADS is a file with three heads in the plane."""


def names() -> dict[str, Any]:
    """Public names with the parameters of what can be called, methods included."""
    found: dict[str, Any] = {}
    for name in sorted(ta.__all__):
        value = getattr(ta, name)
        if inspect.ismodule(value):
            found[name] = {inner: parameters(getattr(value, inner)) for inner in value.__all__}
        elif inspect.isclass(value):
            found[name] = members(value)
        else:
            found[name] = parameters(value)
    found["plotting"] = {inner: parameters(getattr(plotting, inner)) for inner in plotting.__all__}
    return found


def members(owner: type) -> dict[str, Any]:
    """Public attributes of a class, the constructor under the empty name."""
    found: dict[str, Any] = {"": parameters(owner)}
    for name in sorted(set(dir(owner)) - set(dir(object))):
        if not name.startswith("_"):
            value = getattr(owner, name)
            found[name] = parameters(value) if callable(value) else "attribute"
    return found


def parameters(value: Any) -> list[str] | str:
    """Names of parameters with their defaults, as written in a call."""
    if not callable(value):
        return "value"
    if isinstance(value, enum.EnumType):
        return [entry.name for entry in value]
    # Python 3.13 tells more of its own methods.
    if inspect.ismethoddescriptor(value):
        return "builtin"
    try:
        signature = inspect.signature(value)
    except ValueError:
        return "builtin"
    return [str(entry.replace(annotation=entry.empty)) for entry in signature.parameters.values()]


def commands(group: click.Group, prefix: str = "") -> dict[str, list[str]]:
    """Arguments and options of every command."""
    found = {}
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        else:
            entries = [
                entry.human_readable_name
                if isinstance(entry, click.Argument)
                else "/".join([*entry.opts, *entry.secondary_opts])
                for entry in command.params
            ]
            found[prefix + name] = sorted(entries)
    return found


def shape(value: Any) -> Any:
    """Keep the fields of a JSON document: of lists the first entry, of leaves their kind."""
    if isinstance(value, dict):
        return {name: shape(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return (
        "number"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else ("null" if value is None else type(value).__name__)
    )


def documents() -> dict[str, Any]:
    """Exit code of each call in ``COMMANDS`` and the fields of what it prints."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heads.npz"
        heads = ta.constructions.parabola_strips([3, 3, 3], 2)
        np.savez(path, slopes=[f.slopes for f in heads], intercepts=[f.intercepts for f in heads])
        for name, line in COMMANDS.items():
            words = [str(path) if word == "HEADS" else word for word in line.split()]
            ended = CliRunner().invoke(main, words)
            fields = shape(json.loads(ended.stdout)) if ended.stdout else {}
            found[name] = {"exit": ended.exit_code, "fields": fields}
    return found


def surface() -> dict[str, Any]:
    """Everything above in one document."""
    errors = {
        name: [base.__name__ for base in value.__mro__[1:-1]]
        for name in ta.__all__
        if inspect.isclass(value := getattr(ta, name)) and issubclass(value, Exception)
    }
    return {
        "names": names(),
        "errors": dict(sorted(errors.items())),
        "commands": commands(main),
        "engines": list(engine_names(ENGINES)),
        "exit codes": EXIT_CODES,
        "documents": documents(),
    }


if __name__ == "__main__":
    json.dump(surface(), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
