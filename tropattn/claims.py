"""What a certificate file claims, read within bounds that its size sets.

A file is untrusted: it may be no certificate, damaged, or made to cost a reader time and memory.
A line, a number, a common denominator and all that a checker has to remember are therefore bounded
by the size of the file (``Limits``), its check sum is compared before anything else, and every
entry has to be of the kind that belongs there. What breaks these rules is ``Malformed``; whether
the claims are true is the business of ``verify``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import flint

from tropattn.errors import EngineError, InvalidInput

__all__ = [
    "Limits",
    "Malformed",
    "Subject",
    "a_list",
    "common_denominator",
    "in_words",
    "indices",
    "inflated",
    "integers",
    "lines_of",
    "opened",
    "packed",
    "rational",
    "unpacked",
]

_HEADER = {"format", "version", "of", "polynomials", "walls"}
_NUMBER = re.compile(r"-?[0-9]+(/0*[1-9][0-9]*)?", re.ASCII)


class Malformed(ValueError):
    """A line that says nothing: not a claim that is false, but none."""


class Limits:
    """What a file of a given size may ask for; an honest one takes a small part of it."""

    def __init__(self, size: int) -> None:
        self.text = 2**28 + 100 * size
        self.line = 2**23 + size // 2
        self.digits = 2**17 + size
        self.kept = 150_000_000 + 25 * size
        self.scaled = 16_000_000 + 8 * size

    def unpack(self, length: int) -> None:
        """Take the length of a text unpacked."""
        self.text -= length
        if self.text < 0:
            raise Malformed("one that unpacks to more than a hundred times its size")

    def keep(self, length: int) -> None:
        """Take the memory of a claim that has to be remembered."""
        self.kept -= length
        if self.kept < 0:
            raise Malformed("one that claims more than a file of its size can prove")


def opened(path: str | Path) -> BinaryIO:
    """A regular file, opened to be read; nothing else is."""
    try:
        # A pipe or device is looked at, never waited for.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise InvalidInput(f"{path}: an existing file needed, got none; check the path.") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InvalidInput(
            f"{path}: a regular file needed, got a folder, pipe or device; check the path."
        )
    return os.fdopen(handle, "rb")


def inflated(stream: BinaryIO) -> Iterator[bytes]:
    """The text of a gzipped file, piece by piece, its check sum compared at the end."""
    inflate = zlib.decompressobj(31)
    while not inflate.eof:
        data = inflate.unconsumed_tail or stream.read(2**16)
        if not data:
            raise EOFError("one that is cut short")
        yield inflate.decompress(data, 2**20)
    if inflate.unused_data or stream.read(1):
        raise Malformed("more bytes after its end")


def lines_of(stream: BinaryIO, room: Limits) -> Iterator[dict[str, Any]]:
    """The lines as objects; the last one, ``sha256``, is compared with those above it."""
    digest = hashlib.sha256()
    for line in _split(stream, room):
        value = json.loads(
            line.decode("ascii"), object_pairs_hook=_distinct, parse_constant=_no_number
        )
        if type(value) is not dict or not value:
            raise Malformed("a line that is no object, or an empty one")
        # Damage by accident; a forger who signs anew still has to prove the claims.
        if value.keys() == {"sha256"} and value["sha256"] != digest.hexdigest():
            raise EngineError("certificate rejected: its digest does not match.")
        digest.update(line)
        yield value


def _split(stream: BinaryIO, room: Limits) -> Iterator[bytes]:
    begun: list[bytes] = []
    length = 0
    for text in inflated(stream):
        *whole, rest = text.split(b"\n")
        for line in whole:
            yield b"".join([*begun, line, b"\n"])
            begun, length = [], 0
        begun.append(rest)
        length += len(rest)
        if length > room.line:
            raise Malformed("a line too long for a file of its size")
    if length:
        raise Malformed("a last line without end")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed("a line that says the same thing twice")
    return value


def _no_number(text: str) -> None:
    raise Malformed(f"{text} where a number belongs")


def a_list(value: Any) -> list[Any]:
    """The value itself, a list."""
    if type(value) is not list:
        raise Malformed(f"{type(value).__name__} where a list belongs")
    return value


def integers(value: Any) -> list[int]:
    """The value itself, a list of integers; ``true`` and ``1.0`` are none."""
    kinds = set(map(type, a_list(value))) - {int}
    if kinds:
        raise Malformed(f"{kinds.pop().__name__} where an integer belongs")
    return value


def indices(value: Any, end: int) -> list[int]:
    """Integers of a list, all in range(end)."""
    if integers(value) and not (min(value) >= 0 and max(value) < end):
        raise Malformed(f"an index outside of 0 to {end - 1}")
    return value


def packed(numbers: Sequence[int]) -> bytes:
    """A path or pattern as bytes, a tenth of the memory of a list; ``unpacked`` reads it."""
    try:
        return array("i", numbers).tobytes()
    except OverflowError:
        raise Malformed("an index beyond 2**31") from None


def unpacked(numbers: bytes) -> list[int]:
    """A path or pattern from its bytes."""
    return array("i", numbers).tolist()


def rational(value: Any, room: Limits) -> flint.fmpq:
    """A number: ``"p/q"`` or ``"p"`` of any number of digits, an integer, or a finite double."""
    if type(value) is str:
        if len(value) > room.digits or not _NUMBER.fullmatch(value):
            raise Malformed(f"{value[:20]!r} where a rational number belongs")
        numerator, _, denominator = value.partition("/")
        return flint.fmpq(flint.fmpz(numerator), flint.fmpz(denominator or "1"))
    if type(value) is int:
        return flint.fmpq(value)
    if type(value) is not float:
        raise Malformed(f"{type(value).__name__} where a number belongs")
    if value in (float("inf"), -float("inf")):
        raise Malformed("a number beyond the doubles")
    return flint.fmpq(*value.as_integer_ratio())


class _Rows:
    """Rational rows of one width, read in parts and brought to integers by one positive factor."""

    def __init__(self, room: Limits) -> None:
        self.room = room
        self.parts: list[flint.fmpq_mat] = []
        self.count = 0
        self.common = flint.fmpz(1)

    def add(self, rows: Any, width: int) -> int:
        """Append rows of texts, of the width given or, where that is 0, of one width; return it."""
        lengths = [len(a_list(row)) for row in a_list(rows)]
        width = width or max(lengths, default=0)
        if any(length != width for length in lengths):
            raise Malformed("rows of unequal lengths")
        flat = [text for row in rows for text in row]
        if not flat:
            return width
        if set(map(type, flat)) != {str}:
            raise Malformed("a coordinate that is no text")
        self.room.keep(sum(map(len, flat)) + 24 * len(flat) + 256 * len(rows))
        # Of equal texts, all zeros say, one is read.
        read = {text: rational(text, self.room) for text in set(flat)}
        self.parts.append(flint.fmpq_mat(len(rows), width, [read[text] for text in flat]))
        self.count += len(rows)
        denominators = {value.q for value in read.values()}
        self.common = common_denominator(
            {self.common, *denominators}, self.count * width, self.room
        )
        return width

    def whole(self, width: int) -> flint.fmpz_mat:
        """All rows times ``common``."""
        self.room.keep(self.count * width * self.common.bit_length() // 8)
        scaled = []
        for part in self.parts:
            numerators, common = part.numer_denom()
            scaled.append(numerators * (self.common // common))
        if len(scaled) == 1:
            return scaled[0]
        return flint.fmpz_mat(self.count, width, [v for part in scaled for v in part.entries()])


class Subject:
    """The heads and walls that a certificate is about, as integer rows times one factor each."""

    def __init__(self, header: dict[str, Any], room: Limits) -> None:
        whole = type(header.get("version")) is int
        if header.keys() != _HEADER or header["of"] != "cells" or not whole:
            raise Malformed("a first line that is none of a certificate of cells")
        self.room = room
        self.width = 0
        self.rows: list[_Rows] = []
        self.wall_rows = _Rows(room)
        for terms in a_list(header["polynomials"]):
            room.keep(1000)
            self.rows.append(_Rows(room))
            self.width = self.rows[-1].add(terms, self.width)
        self.width = self.wall_rows.add(header["walls"], self.width)

    def read(self, line: dict[str, Any]) -> None:
        """Take further rows of a head, or further walls."""
        if line.keys() == {"walls"}:
            self.width = self.wall_rows.add(line["walls"], self.width)
        elif line.keys() == {"head", "rows"}:
            head = self.rows[indices([line["head"]], len(self.rows))[0]]
            self.width = head.add(line["rows"], self.width)
        else:
            raise Malformed("a line of unknown kind")

    def close(self) -> None:
        """Bring all to integers; nothing is added any more."""
        if not self.rows or any(not rows.count for rows in self.rows):
            raise Malformed("a head without terms")
        self.heads = [rows.whole(self.width) for rows in self.rows]
        self.factors = [rows.common for rows in self.rows]
        self.walls = self.wall_rows.whole(self.width)
        self.rows = []

    def compare(self, polynomials: Sequence[flint.fmpq_mat], walls: Any) -> None:
        """Raise ``EngineError`` unless heads and domain are those asked for."""
        given = [terms.numer_denom() for terms in polynomials]
        if given != list(zip(self.heads, self.factors, strict=True)):
            raise EngineError("certificate rejected: its polynomials are not those of the input.")
        asked = [] if walls is None else _wall_rows(walls)
        own = [[self.walls[i, k] for k in range(self.width)] for i in range(self.walls.nrows())]
        if _primitive(asked, self.width) != _primitive(own, self.width):
            dim = self.width - 1
            raise EngineError(
                f"certificate rejected: its walls are not those of the domain asked for: it is "
                f"about {in_words(len(own), dim)}, asked was {in_words(len(asked), dim)}."
            )


def in_words(walls: int, dim: int) -> str:
    """A domain with so many walls."""
    if not walls:
        return f"the whole space R^{dim}"
    return f"the set A x < b of {walls} wall{'s' * (walls > 1)} in R^{dim}"


def _wall_rows(walls: tuple[Any, Any]) -> list[list[flint.fmpz]]:
    """Integer multiples of the rows (a, -b)."""
    rows = []
    for a, b in zip(*walls, strict=True):
        values = [
            v if type(v) is flint.fmpq else flint.fmpq(*v.as_integer_ratio()) for v in (*a, b)
        ]
        numerators, _ = flint.fmpq_mat(1, len(values), [*values[:-1], -values[-1]]).numer_denom()
        rows.append(numerators.entries())
    return rows


def _primitive(rows: list[list[flint.fmpz]], width: int) -> set[tuple[flint.fmpz, ...]]:
    """The half-spaces, apart from order, repetition, positive factors and ``0 < 1``."""
    found = {tuple(flint.fmpz(-(k == width - 1)) for k in range(width))}
    for row in rows:
        content = flint.fmpz(0)
        for v in row:
            content = content.gcd(v)
        found.add(tuple(v // content for v in row) if content else tuple(row))
    return found


def common_denominator(
    denominators: Iterable[flint.fmpz], numbers: int, room: Limits
) -> flint.fmpz:
    """The least common denominator, as long as so many numbers over it can be held."""
    common = flint.fmpz(1)
    for q in denominators:
        common = common.lcm(q)
        if common.bit_length() * numbers > 8 * room.scaled:
            raise Malformed("numbers whose common denominator is too long for a file of its size")
    return common
