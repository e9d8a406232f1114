"""The command line: answers to stdout, progress and errors to stderr."""

from __future__ import annotations

from tropattn.cli.signals import loading

with loading():
    from tropattn.cli.atlas import atlas
    from tropattn.cli.boundary import boundary
    from tropattn.cli.cells import cells
    from tropattn.cli.commands import main
    from tropattn.cli.comparing import compare
    from tropattn.cli.compiling import compile_all
    from tropattn.cli.dynamics import dynamics
    from tropattn.cli.inspecting import inspect
    from tropattn.cli.jobs import jobs, resume
    from tropattn.cli.planes import plane
    from tropattn.cli.scaling import scaling
    from tropattn.cli.steering import steer
    from tropattn.cli.temperature import temperature
    from tropattn.cli.verifying import verify

__all__ = ["main"]

for command in (
    atlas,
    boundary,
    cells,
    compare,
    compile_all,
    dynamics,
    inspect,
    jobs,
    plane,
    resume,
    scaling,
    steer,
    temperature,
    verify,
):
    main.add_command(command)
