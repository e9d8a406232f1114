"""How a command ends: one line on stderr, and an exit code.

0 good (also where the reader of a pipe leaves early), 1 witnesses contradict each other, 2 bad
input, 3 limit reached or inconclusive, 130 interrupted, 70 internal error.
"""

from __future__ import annotations

import atexit
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tropattn.cli import options, signals
from tropattn.errors import BudgetExceeded, Degenerate, EngineError, Inconclusive, InvalidInput
from tropattn.files import printable
from tropattn.progress import doing, listening, printing
from tropattn.threads import out_of_time

if TYPE_CHECKING:
    from tropattn.record import Record

__all__ = ["EXIT_CODES", "Group", "lower_bounds"]

_LIGHT = frozenset(["-h", "--help", "--version"])

EXIT_CODES = (
    "Exit codes: 0 good, 1 witnesses contradict each other, 2 bad input, 3 limit reached or "
    "inconclusive, 130 interrupted, 70 internal error."
)

_LONGEST = 1200
"""Characters of a message: what was got may be as long as a file."""


class _Stopped(Exception):
    """Work that ended early: exit code, and the valid lower bound so far."""

    def __init__(self, code: int, message: str, lower: int | None) -> None:
        super().__init__(message)
        self.code = code
        self.lower = lower


class Group(click.Group):
    """A group whose ``main`` turns every ending into one line on stderr and an exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run a command and exit; see the module for the codes."""
        argv = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        extra.setdefault("prog_name", "tropattn")
        with warnings.catch_warnings(), signals.as_interrupts():
            warnings.showwarning = _warning
            try:
                # Texts, and bounds from numbers alone, need next to nothing.
                numbers = argv[:1] == ["bounds"] and "--keys" in argv
                light = not argv or numbers or bool(_LIGHT.intersection(argv))
                with listening(options.watching() and not light):
                    if not light:
                        with signals.loading(), doing("loading the package"):
                            # What most commands need, so that later a signal meets no import.
                            import_module("tropattn.study.layer")
                            # Matplotlib says on stderr where it keeps its fonts.
                            import_module("logging").getLogger("matplotlib").setLevel("ERROR")
                    code = super().main(argv, *rest, **extra)
                    sys.stdout.flush()
            except BaseException as error:  # noqa: BLE001 (the one place where all endings meet)
                with signals.ignored():
                    code = _ending(error, debug="--debug" in argv)
        if args is None:
            # A process of its own, which ends here.
            signals.finished()
            if code == 130 or signals.expired() is not None:
                _leave(code)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a stop ends here, since click would print an empty line for it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Stopped(*_verdict(error), getattr(error, "lower", None)) from error


def _leave(code: int) -> NoReturn:
    """End a stopped process at once: taking its modules down takes long, and work may still run."""
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as one line on stderr."""
    with suppress(OSError, ValueError), printing():
        click.echo(f"tropattn: warning: {' '.join(str(message).split())}", err=True)


def _ending(error: BaseException, debug: bool) -> int:
    """Say in one line how it ended, and give the exit code."""
    if isinstance(error, SystemExit | BrokenPipeError):
        # Both click and rich turn a closed pipe into SystemExit(1); no command exits otherwise.
        _leave_stdout()
        return 0
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return 2
    if isinstance(error, OSError):
        # What stdout would not take, on a full disk say, must not be flushed again at exit.
        _leave_stdout()
    if debug:
        traceback.print_exception(error)
    code, message = _verdict(error)
    with suppress(OSError, ValueError):
        click.echo(f"tropattn: {printable(' '.join(message.split()), _LONGEST)}", err=True)
    return code


def _verdict(error: BaseException) -> tuple[int, str]:
    if isinstance(error, _Stopped):
        return error.code, str(error)
    if isinstance(error, click.UsageError):
        command = "tropattn" if error.ctx is None else error.ctx.command_path
        return 2, f"error: {error.format_message()} (see {command} --help)"
    if isinstance(error, click.ClickException):
        return 2, f"error: {error.format_message()}"
    if isinstance(error, InvalidInput | Degenerate):
        return 2, f"error: {error}"
    if isinstance(error, BudgetExceeded | Inconclusive):
        return 3, f"error: {error}{_at_least(getattr(error, 'lower', None))}"
    if isinstance(error, EngineError):
        return 1, f"error: {error}"
    if isinstance(error, OSError):
        return 2, f"error: {error}; the system refused to read or write."
    if isinstance(error, MemoryError):
        return 3, (
            "error: memory: more than the system gives needed; take fewer heads, keys, samples or "
            "threads, or a smaller domain."
        )
    if isinstance(error, KeyboardInterrupt | click.Abort):
        lower = getattr(error.__cause__ or error, "lower", None)
        limit = signals.expired()
        if limit is not None:
            return 3, f"error: {out_of_time(limit, 0)}{_at_least(lower)}"
        return 130, f"interrupted{_at_least(lower)}"
    return 70, (
        f"internal error: {type(error).__name__}: {error}; this is a bug, please report it with "
        "the input (tropattn --debug ... shows where)."
    )


def _at_least(lower: int | None) -> str:
    return "" if lower is None else f" (at least {_cells(lower)})"


def _cells(value: int) -> str:
    from tropattn.report import counted

    return counted(value, "cell")


def _leave_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush stays silent."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def lower_bounds(as_json: bool, output: str | None = None) -> Iterator[Callable[[Record], None]]:
    """Take the record of a count that ends early, show it, and end with its exit code."""
    parts: list[Record] = []
    try:
        yield parts.append
    except (BudgetExceeded, Inconclusive, KeyboardInterrupt) as error:
        if not parts:
            raise
        options.show(parts[0], as_json, lambda *_: None, output)
        from tropattn.regions.jobs.driver import PartDone

        lower = getattr(error, "lower", 0)
        word = "" if isinstance(error, PartDone) else "error: "
        code, message = 3, f"{word}{error}{_at_least(lower)}"
        limit = signals.expired()
        if limit is not None:
            message = f"error: {out_of_time(limit, 0)}{_at_least(lower)}"
        elif isinstance(error, KeyboardInterrupt):
            code, message = 130, f"interrupted: at least {_cells(lower)} found before the stop"
        raise _Stopped(code, message, lower) from error
