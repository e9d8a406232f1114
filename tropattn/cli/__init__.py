"""The command line: answers to stdout, progress and errors to stderr."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tropattn.cli.signals import loading

with loading():
    from tropattn.cli.commands import main
    from tropattn.cli.inspecting import inspect
    from tropattn.cli.scaling import scaling
    from tropattn.cli.temperature import temperature
    from tropattn.cli.verifying import verify
    from tropattn.dynamics.command import dynamics_group

__all__ = ["main"]


def _dynamics(command: str, settings: Mapping[str, Any], report: Callable[[int, int], None]) -> Any:
    """Run a command of the second wing, imported only then so that --help stays fast."""
    from tropattn.study.dynamics import run

    return run(command, settings, report)


main.add_command(inspect)
main.add_command(scaling)
main.add_command(temperature)
main.add_command(verify)
main.add_command(dynamics_group(_dynamics))
