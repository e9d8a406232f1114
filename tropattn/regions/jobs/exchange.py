"""Jobs in parts: open ranges as lines of text, and ledgers united after a check that they tile.

A file of lines has a header and a line for each open range. Any of its lines, behind the header,
are a job again, a part of the first one: so machines without a network can share a search. A line
bears a check sum of itself and of what its job is about, so lines of another job, or changed ones,
are refused. When they are done their ledgers are united with the first one, which holds the ranges
that they came from: every range that is done must have all the ranges that it left, and each of
these must be there once. A part alone gives a lower bound.

How much of a range is done at once, and what it leaves, depends on who does it. So of a range that
two parts have done, one part tells what became of it, and what the other made of it is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tropattn.errors import InvalidInput
from tropattn.outputs import writing
from tropattn.regions.jobs.database import damaged
from tropattn.regions.jobs.ledger import Ledger, Row, check_version

__all__ = ["export", "united"]


_Name = tuple[str, str]
"""A search and the path of a range in it."""

_HEADER, _VERSION = "tropattn-job", 2
_ABOUT = ("digest", "id", "versions", "format", "spec")
_SAME = ("digest", "versions", "format")
"""What must be the same of jobs that are united."""


def export(ledger: Ledger, path: str | Path) -> int:
    """Write the open ranges of a job as lines of JSON; the number of them."""
    kept = {name: ledger.about()[name] for name in ledger.about() if name in _ABOUT}
    count = 0
    with writing(path, "export") as stream:
        stream.write(_sealed({_HEADER: _VERSION, "about": kept}, kept["digest"]))
        for row in ledger.rows():
            if row.data is not None:
                line = {"search": row.search, "merge": row.merge, "path": row.path}
                stream.write(_sealed({**line, "data": json.loads(row.data)}, kept["digest"]))
                count += 1
    return count


def _sealed(line: dict[str, Any], digest: str) -> bytes:
    """A line of a job about ``digest``, with its check sum."""
    words = json.dumps({**line, "check": _check_sum(line, digest)}, separators=(",", ":"))
    return f"{words}\n".encode()


def _check_sum(line: dict[str, Any], digest: str) -> str:
    own = {name: value for name, value in line.items() if name != "check"}
    return hashlib.sha256(json.dumps([digest, own], sort_keys=True).encode()).hexdigest()[:32]


def united(path: str | Path, parts: Sequence[str | Path]) -> bool:
    """Make one ledger of ledgers and files of lines; whether it is a whole job, not a part of one.

    Raises ``InvalidInput`` where they are not about the same count, where two did one range with
    different results, or where a range is missing or belongs nowhere.
    """
    place = Path(path)
    if place.exists():
        raise InvalidInput(
            f"merge: a new file needed, got {path}, which exists; choose another path."
        )
    about, whole, told = None, False, list[_Part]()
    for part in parts:
        own, found = _opened(part)
        check_version(part, own)
        about = about or own
        if any(about[name] != own[name] for name in _SAME):
            raise InvalidInput(
                f"merge: jobs about one input, domain and question, of one version needed, got "
                f"{parts[0]} and {part}; they count different things."
            )
        told.append(_Part(part, found, "part" not in own))
        whole = whole or told[-1].whole
    rows = _together(told)
    assert about is not None
    if not rows:
        raise InvalidInput(
            f"merge: ranges needed, got none in {', '.join(map(str, parts))}; put lines that "
            "--export wrote below the header."
        )
    roots = [part.roots for part in told if part.whole]
    _check(rows, parts, set().union(*roots) if whole else None)
    kept = {name: about[name] for name in _ABOUT if name in about}
    if not whole:
        kept["part"] = "yes"
    Ledger.made(place, kept, rows.values())
    return whole


def _opened(part: str | Path) -> tuple[dict[str, str], Iterator[Row]]:
    """What a ledger or a file of lines is about, and its ranges."""
    place = Path(part)
    if not place.is_file():
        raise InvalidInput(f"merge: a ledger or a file of lines needed, got {part} where none is.")
    with place.open("rb") as stream:
        first = stream.readline(2**20)
    if not first.startswith(b"{"):
        with Ledger.looked_at(place) as ledger:
            return ledger.about(), iter([*ledger.rows()])
    try:
        header = json.loads(first)
        about = dict(header["about"])
        sound = header["check"] == _check_sum(header, about["digest"]) and _HEADER in header
    except (ValueError, KeyError, TypeError, RecursionError):
        sound, about = False, {}
    if not sound:
        raise InvalidInput(
            f"merge: a part needs the header of its job, the first line that --export wrote, above "
            f"its own lines, got {part} without one, or a changed one; put it there."
        )
    return {**about, "part": "yes"}, _lines(place, about["digest"])


def _lines(place: Path, digest: str) -> Iterator[Row]:
    """The ranges of a file of lines, whose job is about ``digest``."""
    with place.open("rb") as stream:
        next(stream)
        for number, text in enumerate(stream, 2):
            try:
                line = json.loads(text)
                sound = line["check"] == _check_sum(line, digest)
                names = line["search"], line["merge"], line["path"]
                row = Row(*names, parent=None, data=json.dumps(line["data"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                sound, row = False, None
            if not sound or row is None:
                raise damaged(f"{place}, line {number}", "no range of this job, or a changed one")
            yield row


class _Part:
    """The ranges of one part, or of the whole job, by name, and those that each of them left."""

    def __init__(self, source: str | Path, rows: Iterable[Row], whole: bool) -> None:
        self.source, self.whole = source, whole
        self.rows: dict[_Name, Row] = {}
        self.left: dict[_Name, list[_Name]] = {}
        for row in rows:
            name = row.search, row.path
            self.rows[name] = row
            if row.parent is not None:
                self.left.setdefault((row.search, row.parent), []).append(name)

    @property
    def roots(self) -> set[_Name]:
        """The ranges that none left."""
        return {name for name, row in self.rows.items() if row.parent is None}

    def done(self, name: _Name) -> bool:
        return name in self.rows and self.rows[name].data is None

    def below(self, name: _Name) -> Iterator[_Name]:
        """A range, those that it left, those that these left, and so on."""
        waiting = [name]
        while waiting:
            name = waiting.pop()
            yield name
            waiting += self.left.get(name, [])

    def result(self, name: _Name) -> tuple[int, bool]:
        """Cells in all of a range, and whether none of it is open here."""
        rows = [self.rows[other] for other in self.below(name)]
        return sum(map(_cells, rows)), all(row.data is None for row in rows)


def _together(parts: Sequence[_Part]) -> dict[_Name, Row]:
    """The ranges of all parts; of one that several have done, what the first whole one made of it.

    Raises ``InvalidInput`` where two did the same with different results.
    """
    rows: dict[_Name, Row] = {}
    for part in parts:
        for name, row in part.rows.items():
            if name not in rows or rows[name].parent is None:
                rows[name] = row
    done = {name: [part for part in parts if part.done(name)] for name in rows}
    teller = {name: _teller(told, name) for name, told in done.items() if told}
    kept, above = set[_Name](), dict[_Name, _Name]()
    waiting = [name for name, row in rows.items() if row.parent is None]
    while waiting:
        name = waiting.pop()
        kept.add(name)
        left = teller[name].left.get(name, []) if name in teller else []
        above |= dict.fromkeys(left, name)
        waiting += left
    dropped = {
        below
        for name, part in teller.items()
        for other in done[name]
        if other is not part
        for below in other.below(name)
    }
    out: dict[_Name, Row] = {}
    for name, row in rows.items():
        if name in kept or name not in dropped:
            own = teller[name].rows[name] if name in teller else row
            out[name] = replace(own, parent=above[name][1] if name in above else row.parent)
    return out


def _teller(told: Sequence[_Part], name: _Name) -> _Part:
    """Of the parts that have done a range the first that has done all of it, or the first."""
    if len(told) == 1:
        return told[0]
    results = [part.result(name) for part in told]
    if len({cells for cells, complete in results if complete}) > 1 or _differ(told, name):
        raise InvalidInput(
            f"merge: one result a range needed, got two for {name[1]!r} of {name[0]}, the "
            f"second in {told[-1].source}; one of the two machines is not sound."
        )
    complete = [complete for _, complete in results]
    return told[complete.index(True) if any(complete) else 0]


def _differ(told: Sequence[_Part], name: _Name) -> bool:
    """Whether parts that left the same of a range found different numbers of cells in it."""
    seen: dict[frozenset[_Name], int] = {}
    for part in told:
        cells = _cells(part.rows[name])
        if seen.setdefault(frozenset(part.left.get(name, ())), cells) != cells:
            return True
    return False


def _cells(row: Row) -> int:
    return json.loads(row.tally or "{}").get("cells", 0)


def _check(rows: dict[_Name, Row], parts: Sequence[str | Path], roots: set[_Name] | None) -> None:
    """Every range that is done has what it left; none but the roots comes from nowhere.

    ``roots`` are those of the whole job, None where there are parts alone.
    """
    left = Counter((row.search, row.parent) for row in rows.values())
    names = ", ".join(map(str, parts))
    for (search, path), row in rows.items():
        if row.data is None and left[search, path] != row.children:
            raise InvalidInput(
                f"merge: all ranges needed, got {left[search, path]} of the {row.children} that "
                f"{path!r} of {search} left; a part is missing beside {names}."
            )
        if row.parent is not None:
            above = rows.get((search, row.parent))
            if above is None or above.data is not None:
                raise damaged(names, f"range {path!r} of {search} comes from none that is done")
    found = {name for name, row in rows.items() if row.parent is None}
    if roots is not None and found != roots:
        raise InvalidInput(
            "merge: ranges that the whole job left needed, got some that belong nowhere in it; "
            f"unite {names} with the ledger that they were exported from."
        )
