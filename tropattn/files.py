"""Files to read: one reader a format, and what a file may cost is bounded before it is read.

A file may come from anywhere. Only regular files are opened; sizes that a header declares are
compared with the size of the file before anything of that size is made; nothing is unpickled.
"""

from __future__ import annotations

import ast
import io
import json
import math
import os
import re
import stat
import struct
import sys
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from tropattn.errors import InvalidInput

__all__ = [
    "DEMO",
    "existing_path",
    "json_value",
    "named",
    "parse_json",
    "printable",
    "read_array",
    "read_bytes",
    "read_json",
    "read_npz",
    "regular_file",
    "shipped",
    "standard_input",
]

DEMO = "demo"
"""The word that stands for the model that the package ships; a folder of that name: ``./demo``."""

Result = TypeVar("Result")

_LARGEST_TEXT = 10**8
_LARGEST_ARCHIVE = 2**31
_LARGEST_DIRECTORY = 2**22
_UNPACKED, _RATIO = 2**26, 100
"""An archive may hold so many bytes, or so many times its own size, whichever is more."""
_LONGEST_HEADER = 10_000
_LONGEST_EMPTY = 10**6
"""How long a side may be in an array without entries."""
_MOST_VALUES, _DEEPEST, _MOST_DIGITS = 4 * 10**6, 64, 1000
"""Of JSON: values, levels, and digits of an integer."""

_DTYPE = re.compile(r"[<>|=]?[biufcSU]\d{1,9}")
_ODD = re.compile(r"[^\n -~]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def printable(text: str, longest: int | None = None) -> str:
    r"""The text with everything escaped that steers a terminal or cannot be encoded, and cut.

    Line feeds and what ``str.isprintable`` names stay.

    >>> printable("a\x1b[31m\ud800 é"), printable("x" * 9, longest=4)
    ('a\\u001b[31m\\ud800 é', 'xxxx...')
    """
    if longest is not None and len(text) > longest:
        text = text[:longest] + "..."
    return _ODD.sub(lambda c: c[0] if c[0].isprintable() else json.dumps(c[0])[1:-1], text)


def named(names: Any) -> str:
    """List a few of the names, for a message.

    >>> named(["a", "b"]), named([])
    ('a, b', 'no tensors')
    """
    few = sorted(printable(str(name), 60) for name in names)
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return ", ".join(few[:5]) + more if few else "no tensors"


# ---- paths and bytes ----------------------------------------------------------------------------


def shipped() -> str:
    """Path of the trained model that the package ships.

    >>> Path(shipped()).name
    'maximum.safetensors'
    """
    return str(Path(__file__).parent / "data" / "maximum.safetensors")


def existing_path(path: Any, argument: str = "path") -> Path:
    """Return the path of a file or folder that exists, else raise ``InvalidInput`` on the argument.

    >>> existing_path(".")
    PosixPath('.')
    """
    try:
        place = Path(path)
        found = place.exists()
    except (TypeError, ValueError, OSError):
        place, found = None, False
    if place is None or not found:
        raise InvalidInput(
            f"{argument}: an existing file or folder needed, got {str(path)[:200]!r}; check the "
            "spelling."
        )
    return place


def regular_file(path: Any, argument: str = "path", largest: int | None = None) -> Path:
    """Return the path of a regular file of at most ``largest`` bytes, or raise ``InvalidInput``.

    A pipe or a terminal would be waited for, and a device may never end.
    """
    place = existing_path(path, argument)
    found = place.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise InvalidInput(
            f"{place}: a regular file needed, got {kind}; copy what it gives to a file."
        )
    if largest is not None and found.st_size > largest:
        raise InvalidInput(
            f"{place}: a file of at most {largest} bytes needed, got {found.st_size}; this is "
            "another file."
        )
    return place


def read_bytes(path: Any, argument: str = "path", largest: int = _LARGEST_TEXT) -> bytes:
    """Return what a regular file holds, or raise ``InvalidInput``; see ``regular_file``."""
    place = regular_file(path, argument, largest)
    try:
        with place.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise InvalidInput(
            f"{place}: a readable file needed, got {error.strerror}; check its permissions."
        ) from None
    return data[:largest]


def standard_input() -> bytes:
    """Return what the standard input holds, at most 10^8 bytes; a terminal is not waited for."""
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None or sys.stdin.isatty():
        raise InvalidInput(
            "standard input: a file or pipe needed, got a terminal; e.g. tropattn count - < "
            "heads.json."
        )
    data = stream.read(_LARGEST_TEXT + 1)
    if len(data) > _LARGEST_TEXT:
        raise InvalidInput(
            f"standard input: at most {_LARGEST_TEXT} bytes needed, got more; write a file."
        )
    return data


# ---- JSON ---------------------------------------------------------------------------------------


def json_value(text: str | bytes) -> Any:
    r"""Read JSON as the standard has it, within bounds, or raise ``ValueError``.

    Refused are repeated keys, NaN and infinities (also as ``1e400``), integers of more than 1,000
    digits, half surrogate pairs, more than 64 levels and more than 4,000,000 values.

    >>> json_value('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> json_value('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' twice
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if sum(data.count(mark) for mark in (b",", b"[", b"{", b":")) > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values")
    try:
        value = json.loads(
            data.decode(json.detect_encoding(data)),
            object_pairs_hook=_once_each,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_short_integer,
        )
    except RecursionError as error:
        raise ValueError(str(error)) from None
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    if level:
        raise ValueError(f"more than {_DEEPEST} levels")
    if _SURROGATE.search(data):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair") from None
    return value


def parse_json(what: str, text: str | bytes) -> dict[str, Any]:
    """Read a JSON object, or raise ``InvalidInput``; see ``json_value``.

    >>> parse_json("config", '{"a": 1}')
    {'a': 1}
    """
    try:
        value = json_value(text)
    except ValueError as error:
        raise InvalidInput(
            f"{what}: a JSON object needed, got {printable(str(error), 120)}; the file is damaged."
        ) from None
    if not isinstance(value, dict):
        raise InvalidInput(
            f"{what}: a JSON object needed, got {type(value).__name__}; this is another file."
        )
    return value


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object from a file, None where there is no file of this name."""
    return parse_json(str(path), read_bytes(path)) if os.path.lexists(path) else None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice[:40]!r} twice")
    return table


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text}, which is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]}, beyond 1.8e308")
    return value


def _short_integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


# ---- archives of arrays -------------------------------------------------------------------------


def read_npz(path: Any, argument: str = "path", data: bytes | None = None) -> dict[str, Any]:
    """Return the arrays of an ``.npz`` archive by name: numbers, truth values or text.

    ``data`` are the bytes of the archive where they are known already.

    Raises
    ------
    InvalidInput : not a regular file; a damaged, encrypted or otherwise compressed archive; one
        that unpacks to more than 64 MiB and 100 times its size; arrays of other kinds. Pickled
        objects are refused, never read.

    Notes
    -----
    A member is read only after its header fits the size that the archive declares for it, and that
    the size of the archive; checksums are compared.
    """
    if data is not None:
        return _whole(path, ".npz archive of number arrays", "savez", io.BytesIO(data), _members)
    place = regular_file(path, argument, _LARGEST_ARCHIVE)
    return _whole(place, ".npz archive of number arrays", "savez", place, _members)


def read_array(what: Any, data: bytes) -> NDArray[Any]:
    """Return the array of a ``.npy`` file, given as its bytes; pickled objects are never read."""

    def alone(file: BinaryIO, size: int) -> NDArray[Any]:
        if not data.startswith(_ALONE):
            raise ValueError("something else")
        return _array("an array", file, size)

    return _whole(what, ".npy file with one array of numbers", "save", io.BytesIO(data), alone)


def _whole(
    what: Any,
    needed: str,
    how: str,
    source: Path | io.BytesIO,
    read: Callable[[BinaryIO, int], Result],
) -> Result:
    """What ``read`` finds in a file or in bytes; damage is ``InvalidInput``."""
    try:
        if isinstance(source, io.BytesIO):
            return read(source, len(source.getbuffer()))
        with source.open("rb") as file:
            return read(file, source.stat().st_size)
    except _BROKEN as error:
        why = printable(" ".join(str(error).split()), 120) or type(error).__name__
        raise InvalidInput(
            f"{what}: a complete {needed} needed, got {why}; save it with "
            f"numpy.{how} (pickled objects are never read)."
        ) from None


def _members(file: BinaryIO, size: int) -> dict[str, NDArray[Any]]:
    """The arrays of an archive."""
    if file.read(len(_ALONE)) == _ALONE:
        raise ValueError("a .npy file, whose one array has no name")
    _check_directory(file, size)
    found = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_members(members, size)
        for member in members:
            with archive.open(member) as stream:
                found[member.filename.removesuffix(".npy")] = _array(
                    member.filename, stream, member.file_size
                )
    return found


_ALONE = b"\x93NUMPY"
"""How a ``.npy`` file begins."""

_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What damaged archives make the module zipfile raise, and the checks below."""


def _check_directory(file: BinaryIO, size: int) -> None:
    """Bound the list of members, which ``zipfile`` reads as a whole."""
    file.seek(max(0, size - 2**16 - 22))
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) < place + 22:
        raise ValueError("no list of members at its end")
    if tail[max(0, place - 20) : place].startswith(b"PK\6\7"):
        raise ValueError("more members or bytes than 65,535 and 4 GiB")
    (length,) = struct.unpack_from("<L", tail, place + 12)
    if length > _LARGEST_DIRECTORY:
        raise ValueError(f"a list of members of {length} bytes")
    file.seek(0)


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Bound what the archive declares."""
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(_UNPACKED, _RATIO * size) or unpacked > _LARGEST_ARCHIVE:
        raise ValueError(f"{unpacked} bytes packed in {size}")
    if len({member.filename for member in members}) != len(members):
        raise ValueError("two members of one name")
    for member in members:
        if not member.filename.endswith(".npy"):
            raise ValueError("members that are no arrays")
        if member.flag_bits & 0x41:
            raise ValueError(f"the encrypted member {member.filename}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"a compression other than deflate in {member.filename}")


def _array(name: str, stream: IO[bytes], declared: int) -> NDArray[Any]:
    """One array. ``read`` is never asked for more than is declared, so no more is unpacked."""
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError(f"the member {name}, which is no array")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes in {name}")
    dtype, shape, fortran = _header(name, stream.read(length).decode("latin-1"))
    size = dtype.itemsize * math.prod(shape)
    if size != declared - 8 - width - length:
        raise ValueError(f"{name} of another size than its header says")
    # One more than there is, so that the end is seen and the checksum compared.
    data = stream.read(size + 1)
    if len(data) != size:
        raise ValueError(f"{name} cut short")
    array = np.frombuffer(data, dtype) if size else np.empty(0, dtype)
    if dtype.kind == "U" and size and int(array.view(dtype.byteorder + "u4").max()) > 0x10FFFF:
        raise ValueError(f"{name} with text that is no Unicode")
    return array.reshape(shape, order="F" if fortran else "C")


def _header(name: str, text: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Element type, shape and order of an array's header; nothing is evaluated but literals."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entries = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        entries = None
    if not isinstance(entries, dict) or set(entries) != {"descr", "fortran_order", "shape"}:
        raise ValueError(f"{name} with a damaged header")
    descr, fortran, shape = (entries[key] for key in ("descr", "fortran_order", "shape"))
    if isinstance(descr, str) and descr.endswith("O"):
        raise ValueError(f"Object arrays cannot be loaded ({name})")
    if not isinstance(descr, str) or not _DTYPE.fullmatch(descr) or not isinstance(fortran, bool):
        raise ValueError(f"{name} with other entries than numbers or text")
    try:
        dtype = np.dtype(descr)
    except TypeError:
        raise ValueError(f"{name} with other entries than numbers or text") from None
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{name} with a damaged shape")
    empty = 0 in shape
    if not dtype.itemsize or len(shape) > 32 or (empty and max(shape) > _LONGEST_EMPTY):
        raise ValueError(f"{name} with a shape or type of no use")
    return dtype, shape, fortran
