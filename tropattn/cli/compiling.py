"""``tropattn compile``: all kernels, before anybody waits for one."""

from __future__ import annotations

import click

__all__ = ["compile_all"]


@click.command("compile", short_help="Compile all kernels now, for images and clusters.")
def compile_all() -> None:
    """Compile every kernel into the cache, which all later runs of this user share.

    Without this each kernel is compiled where it is first needed. Cached kernels belong to one kind
    of processor and one version of numba and of this package: in an image, run this last, and set
    NUMBA_CACHE_DIR to a folder of the image if its home is not writable.

    \b
    Examples:
      tropattn compile
      tropattn compile --help
    """  # noqa: D301 (click reads the backspace)
    from tropattn.progress import counting
    from tropattn.study.kernels import cache_folder, compile_kernels

    with counting("kinds of work compiled", over="") as report:
        forms = compile_kernels(report or (lambda done, left: None))
    folder = cache_folder()
    where = f"in {folder}" if folder else "for this process alone: no folder could be written"
    click.echo(f"{forms} kernels compiled, {where}")
