"""Files to write: refused before the work where they cannot be, and whole or not at all after it.

A regular file is written beside its name and renamed when complete: on every other ending, Ctrl-C
and a full disk included, what was there before stays as it was. A symbolic link stays too; the file
that it stands for is written. A character device such as ``/dev/null``, and what the process has
open already (``/dev/stdout``, ``/dev/fd/3``), is written to. All else is refused.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tropattn.errors import InvalidInput

__all__ = [
    "BESIDE",
    "FIGURES",
    "FILMS",
    "keep_apart",
    "output_folder",
    "output_path",
    "save",
    "try_out",
    "writing",
]

BESIDE = ".tropattn-"
"""How the names of files begin that are not whole yet."""

FIGURES = (".png", ".svg", ".pdf")
"""Endings of figures."""

FILMS = (".gif", ".html")
"""Endings of figures that move."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

_SPECIAL = {
    stat.S_IFIFO: "which is a FIFO",
    stat.S_IFSOCK: "which is a socket",
    stat.S_IFBLK: "which is a disk",
}


def output_path(path: Any, argument: str = "output", endings: Sequence[str] = ()) -> Path:
    """Return the path of a file that can be written, or raise ``InvalidInput``.

    Parameters
    ----------
    path : the file; nothing is written. argument : its name in the error message.
    endings : the suffixes allowed, or none for any.

    >>> output_path("chart.svg", endings=FIGURES), output_path("/dev/null")
    (PosixPath('chart.svg'), PosixPath('/dev/null'))
    """
    try:
        place = Path(path)
        there, target = _status(place), _target(place)
        folder = target.parent.is_dir()
    except (TypeError, ValueError, OSError):
        raise InvalidInput(
            f"{argument}: the path of a file needed, got {str(path)[:200]!r}; choose another path."
        ) from None
    if endings and place.suffix.lower() not in endings:
        raise InvalidInput(
            f"{argument}: a file ending in {', '.join(endings)} needed, got {place.name!r}; "
            "rename it."
        )
    if _is_stream(place):
        if not _takes_bytes(place):
            raise _refused(argument, place, "which cannot be written to")
        return place
    if not folder:
        raise InvalidInput(
            f"{argument}: a file in a writable folder needed, got {place} where there is no folder "
            f"{target.parent}; make it or choose another path."
        )
    if target.is_dir() or not os.access(target.parent, os.W_OK | os.X_OK):
        why = "which is a folder" if target.is_dir() else f"but {target.parent} is read-only"
        raise _refused(argument, place, why)
    if there is not None:
        why = _SPECIAL.get(stat.S_IFMT(there.st_mode))
        if why is None and not os.access(target, os.W_OK):
            why = "which is read-only"
        if why is None and _is_standard(there):
            why = "where the standard output goes"
        if why is not None:
            raise _refused(argument, place, why, "a new file or a regular one of its own")
    return place


def output_folder(path: Any, argument: str) -> Path:
    """The path of a folder for files to come, made where there is none; or ``InvalidInput``.

    >>> output_folder("/dev/null", "cells")
    Traceback (most recent call last):
    tropattn.errors.InvalidInput: cells: a folder, or the name of one to make, needed, got \
'/dev/null', File exists; choose another path.
    """
    try:
        place = Path(path)
        place.mkdir(exist_ok=True)
    except (TypeError, ValueError, OSError) as error:
        raise InvalidInput(
            f"{argument}: a folder, or the name of one to make, needed, got {str(path)[:200]!r}, "
            f"{getattr(error, 'strerror', error)}; choose another path."
        ) from None
    return place


def keep_apart(path: Any, argument: str, others: Iterable[Any], why: str) -> None:
    """Raise ``InvalidInput`` where a file to write is one of others, links of both kinds included.

    >>> keep_apart("a.json", "output", ["./a.json"], "which is an input")
    Traceback (most recent call last):
    tropattn.errors.InvalidInput: output: a file of its own needed, got a.json, which is an input; \
choose another path.
    """
    if not _is_stream(Path(path)) and any(_same(path, other) for other in others):
        raise InvalidInput(
            f"{argument}: a file of its own needed, got {path}, {why}; choose another path."
        )


def try_out(path: Any, argument: str = "output") -> None:
    """Make and remove a file beside the one to be written; no permission says that one can.

    Raises ``InvalidInput`` where that fails, as on a system of files that takes none.
    """
    place = Path(path)
    if not _is_stream(place):
        handle, beside = _new_beside(place, argument)
        os.close(handle)
        beside.unlink(missing_ok=True)


@contextmanager
def writing(path: Any, argument: str = "output") -> Iterator[BinaryIO]:
    """Yield a stream of bytes that becomes the file when the block ends well.

    Raises ``InvalidInput`` as ``output_path``, and where the disk is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with writing(Path(folder, "a.txt")) as stream:
    ...         _ = stream.write(b"whole")
    ...     Path(folder, "a.txt").read_text(), len(list(Path(folder).iterdir()))
    ('whole', 1)
    """
    place = output_path(path, argument)
    with _into(place, argument) if _is_stream(place) else _beside(place, argument) as stream:
        yield stream


def save(figure: Any, path: str | Path, dpi: int = 150) -> None:
    """Write a figure of matplotlib; the format follows the ending.

    Parameters
    ----------
    path : ending in ``.png``, ``.svg`` or ``.pdf``.
    dpi : pixels an inch, for ``.png``.

    Raises
    ------
    InvalidInput : another ending, or a file that cannot be written.
    """
    place = output_path(path, endings=FIGURES)
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        # Tokens may hold characters that the font has not.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(drawn, format=place.suffix.lower()[1:], dpi=dpi)
    with writing(place) as stream:
        stream.write(drawn.getbuffer())


def _new_beside(place: Path, argument: str) -> tuple[int, Path]:
    """A new file in the folder of the target, open for writing, and its name."""
    target = Path(os.path.abspath(_target(place)))  # noqa: PTH100 (follows no link)
    beside = target.with_name(f"{BESIDE}{secrets.token_hex(8)}")
    try:
        # A new name that nobody can guess, and never through a link planted under it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.open(beside, flags, 0o666), beside
    except OSError as error:
        raise _refused(argument, place, str(error.strerror)) from None


@contextmanager
def _beside(place: Path, argument: str) -> Iterator[BinaryIO]:
    """A new file in the folder of the target, renamed at the end and removed on any other one."""
    target = Path(os.path.abspath(_target(place)))  # noqa: PTH100 (follows no link)
    handle, beside = _new_beside(place, argument)
    try:
        with io.BufferedWriter(_File(handle, argument, place)) as stream:
            with suppress(FileNotFoundError):
                os.fchmod(handle, target.stat().st_mode & 0o777)
            yield stream
            stream.flush()
            os.fsync(handle)
        try:
            beside.replace(target)
        except OSError as error:
            raise _refused(argument, place, str(error.strerror)) from None
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _into(place: Path, argument: str) -> Iterator[BinaryIO]:
    """A device, or a file that the process has open: written to, neither made nor cut short."""
    own = _descriptor(place)
    if own is None:
        handle = os.open(place, os.O_WRONLY | os.O_NOCTTY)
    else:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        handle = os.dup(own)
    with io.BufferedWriter(_File(handle, argument, place)) as stream:
        yield stream


class _File(io.FileIO):
    """A file open for writing that says which argument the disk has no room for."""

    def __init__(self, handle: int, argument: str, place: Path) -> None:
        super().__init__(handle, "wb")
        self.argument, self.place = argument, place

    def write(self, data: Any, /) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise InvalidInput(
                f"{self.argument}: room for the file needed, got {error.strerror} at {self.place}; "
                "make room or choose another path."
            ) from None


def _status(place: Path) -> os.stat_result | None:
    try:
        return place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _target(place: Path) -> Path:
    """The file that a name stands for, through symbolic links."""
    return Path(os.path.realpath(place)) if place.is_symlink() else place


def _descriptor(place: Path) -> int | None:
    """The number of the open file that a name such as ``/dev/stdout`` or ``/dev/fd/3`` means."""
    for _ in range(40):
        folder = os.path.realpath(place.parent)
        ours = folder.startswith(f"/proc/{os.getpid()}/") and folder.endswith("/fd")
        if (ours or folder == "/dev/fd") and place.name.isdecimal():
            return int(place.name)
        if not place.is_symlink():
            return None
        place = place.parent / place.readlink()
    return None


def _is_stream(place: Path) -> bool:
    there = _status(place)
    device = there is not None and stat.S_ISCHR(there.st_mode)
    return device or _descriptor(place) is not None


def _takes_bytes(place: Path) -> bool:
    own = _descriptor(place)
    if own is None:
        return os.access(place, os.W_OK)
    try:
        os.write(own, b"")
    except OSError:
        return False
    return True


def _is_standard(there: os.stat_result) -> bool:
    """Whether a file is the one that stdout or stderr of this process goes to."""
    for number in (1, 2):
        with suppress(OSError):
            if os.path.samestat(there, os.fstat(number)):
                return True
    return False


def _same(one: Any, other: Any) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
    except ValueError:
        return False


def _refused(
    argument: str, place: Path, why: str, kind: str = "a file in a writable folder"
) -> InvalidInput:
    return InvalidInput(f"{argument}: {kind} needed, got {place}, {why}; choose another path.")
