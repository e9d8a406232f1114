"""The ledger of a job: one SQLite file that holds every range of the search, open or done.

A range is done in one transaction: its numbers, the ranges that it left and its state are written
together or not at all, and on the disk when the transaction ends. Ranges done shortly one after the
other share a transaction, in their order. A range that comes a second time changes nothing. So at
every instant the numbers of the ranges that are done, and the ranges that are open, are the whole
search: what is killed goes on from there.

Nothing in the file is unpickled. How it is opened, locked and made safe is ``database``.
"""

from __future__ import annotations

import importlib.metadata
import json
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tropattn.errors import InvalidInput
from tropattn.outputs import BESIDE, output_path, try_out
from tropattn.regions.jobs.database import (
    MARK,
    SIDES,
    connected,
    damaged,
    failed,
    lock_of,
    locked,
)

__all__ = [
    "Ledger",
    "Range",
    "Row",
    "SearchState",
    "Told",
    "check_version",
    "versions",
]


_words = json.JSONEncoder(separators=(",", ":")).encode
FORMAT = 2

_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE searches (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, merge TEXT NOT NULL,
    roots INTEGER NOT NULL
);
CREATE TABLE ranges (
    id INTEGER PRIMARY KEY,
    search INTEGER NOT NULL REFERENCES searches (id),
    path TEXT NOT NULL,
    parent INTEGER REFERENCES ranges (id),
    open INTEGER NOT NULL,
    data TEXT,
    cells INTEGER,
    tally TEXT,
    children INTEGER,
    worker TEXT,
    seconds REAL,
    ended REAL,
    UNIQUE (search, path)
);
CREATE INDEX open_ranges ON ranges (search) WHERE open;
"""

_FLAWS = """
SELECT own.path, CASE
    WHEN searches.id IS NULL THEN 'belongs to no search'
    WHEN own.open IS NOT 0 AND own.open IS NOT 1 THEN 'is neither open nor done'
    WHEN own.open AND (typeof(own.data) != 'text' OR own.tally NOT NULL)
        THEN 'is open without what is to be done'
    WHEN NOT own.open AND (
        typeof(own.tally) != 'text' OR typeof(own.cells) != 'integer' OR own.cells < 0
        OR typeof(own.seconds) != 'real' OR typeof(own.ended) != 'real'
    ) THEN 'is done without its numbers'
    WHEN NOT own.open AND own.children IS NOT COALESCE(below.count, 0)
        THEN 'left ' || own.children || ' ranges, of which there are ' || COALESCE(below.count, 0)
    WHEN own.parent NOT NULL AND (
        above.id IS NULL OR above.open OR above.search != own.search
    ) THEN 'comes from none that is done'
END AS flaw
FROM ranges own
LEFT JOIN searches ON searches.id = own.search
LEFT JOIN ranges above ON above.id = own.parent
LEFT JOIN (
    SELECT parent, COUNT(*) AS count FROM ranges WHERE parent NOT NULL GROUP BY parent
) below ON below.parent = own.id
WHERE flaw NOT NULL LIMIT 1
"""
"""A range that does not fit the others, and why, for a reader."""

_ROOTS = """
SELECT name, roots FROM searches WHERE roots IS NOT (
    SELECT COUNT(*) FROM ranges WHERE search = searches.id AND parent IS NULL
) LIMIT 1
"""
"""A search that has lost one of the ranges with which it began."""


@dataclass(frozen=True, slots=True)
class Range:
    """A range as the ledger holds it.

    ``path`` names it within its search; ``data`` is what a worker needs, JSON values by name, where
    it is open.
    """

    path: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a range: numbers to be added up, what it left, by whom and in how long.

    ``tally`` has ``cells`` among its numbers; ``result`` is a JSON value where it is more than
    these, None where not.
    """

    tally: Mapping[str, int]
    left: Sequence[Range]
    worker: str = ""
    seconds: float = 0.0
    result: Any = None


@dataclass(frozen=True, slots=True)
class Row:
    """A range with all that is known of it: where it came from and, where it is done, what it gave.

    ``parent`` is the path of the range that left it, None for a root; ``data`` is JSON text where
    it is open, None where it is done; ``result`` is JSON text where it is done and gave more than
    numbers to be added up.
    """

    search: str
    merge: str
    path: str
    parent: str | None
    data: str | None
    tally: str | None = None
    children: int | None = None
    worker: str | None = None
    seconds: float | None = None
    ended: float | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class SearchState:
    """How far a search is: ranges that are done and open, cells in the former, and seconds."""

    name: str
    merge: str
    done: int
    open: int
    cells: int
    seconds: float


def versions() -> dict[str, str]:
    """Versions of what made a ledger; another one of this package does not go on with it."""
    names: tuple[str, ...] = ("tropattn", "numpy", "numba", "python-flint")
    found: dict[str, str] = dict.fromkeys(names, "not installed")
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def check_version(what: Any, about: Mapping[str, str]) -> None:
    """Raise ``InvalidInput`` unless this version of the package made it."""
    made, here = _maker(what, about), versions()["tropattn"]
    if made != here:
        raise InvalidInput(
            f"job: a ledger of tropattn {here} needed, got {what} of {made}; go on with that "
            "version, or begin another file."
        )


def _maker(what: Any, about: Mapping[str, str]) -> Any:
    try:
        return json.loads(about["versions"])["tropattn"]
    except (ValueError, KeyError, TypeError):
        raise damaged(what, "it does not say what made it") from None


class Ledger:
    """A ledger that this process works on; ``opened`` makes one or goes on with one."""

    def __init__(self, path: Path, file: sqlite3.Connection, lock: FileLock | None) -> None:
        self.path, self._file, self._lock = path, file, lock
        self._since = 0.0

    # ---- opening ------------------------------------------------------------------------------

    @classmethod
    def opened(cls, path: str | Path, about: Mapping[str, str]) -> Ledger:
        """The ledger of a job, new or gone on with, held by this process alone.

        ``about`` has the ``digest`` of what is counted, and more in words.

        Raises ``InvalidInput`` for a file that is none, is held by another run or is about
        another input or version, and where nothing can be written.
        """
        place = output_path(path, "job")
        if place.exists() and not place.is_file():
            raise InvalidInput(f"job: a regular file needed, got {place}; choose another path.")
        if not place.exists():
            try_out(place, "job")
        lock = locked(place)
        try:
            if not place.exists():
                named = {"id": secrets.token_hex(8), "format": str(FORMAT)}
                _make(place, {**about, **named, "versions": json.dumps(versions())})
            self = cls(place, connected(place, write=True), lock)
        except BaseException:
            lock.release()
            raise
        try:
            self.check(about["digest"])
            self.note("started", repr(time.time()))
        except BaseException:
            self.close()
            raise
        return self

    @classmethod
    def looked_at(cls, path: str | Path, digest: str | None = None) -> Ledger:
        """The ledger of a job, to be read only, also while a run works on it; as ``check``."""
        place = Path(path)
        if not place.is_file():
            raise InvalidInput(
                f"job: the file of a job needed, got {place} where there is none; count with "
                "--job makes one."
            )
        self = cls(place, connected(place, write=False), None)
        try:
            self.check(digest)
        except BaseException:
            self.close()
            raise
        return self

    def check(self, digest: str | None) -> None:
        """Raise ``InvalidInput`` unless it is sound and, where given, of this version and input."""
        about = self.about()
        if about.get("format") != str(FORMAT):
            raise InvalidInput(
                f"job: a ledger of format {FORMAT} needed, got {self.path} of format "
                f"{about.get('format')}; go on with the version that made it, or begin anew."
            )
        if not {"digest", "id"} <= set(about):
            raise damaged(self.path, "it does not say what it is about")
        _maker(self.path, about)
        if digest is not None:
            check_version(self.path, about)
        self._check_tree()
        if digest is not None and about["digest"] != digest:
            raise InvalidInput(
                f"job: a ledger of this input, domain and question needed, got {self.path} of "
                "another; give what it was begun with, or begin another file."
            )

    def _check_tree(self) -> None:
        """Raise ``InvalidInput`` unless the ranges are a whole tree: the open ones all there is."""
        with self._asked() as file:
            flaw = file.execute(_FLAWS).fetchone()
            lost = None if flaw else file.execute(_ROOTS).fetchone()
        if flaw:
            raise damaged(self.path, f"range {flaw[0]!r} {flaw[1]}")
        if lost:
            raise damaged(self.path, f"{lost[0]} has not the {lost[1]} ranges that it began with")

    def _read(self, text: str) -> Any:
        """What JSON text of the file says."""
        try:
            return json.loads(text)
        except (ValueError, TypeError, RecursionError):
            raise damaged(self.path, "words that are none") from None

    def close(self) -> None:
        """Let go of the file, with all that was finished; at rest no other files are beside it."""
        try:
            self.commit()
            if self._lock is not None:
                with suppress(sqlite3.Error):
                    self._file.execute("PRAGMA journal_mode = DELETE")
        finally:
            self._file.close()
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def held(self) -> bool:
        """Whether a run works on the file at present."""
        if self._lock is not None:
            return True
        lock = FileLock(lock_of(self.path))
        try:
            if not Path(lock_of(self.path)).exists():
                return False
            lock.acquire(blocking=False)
        except Timeout:
            return True
        except OSError:
            # Nobody could have made it here.
            return False
        lock.release()
        return False

    # ---- reading and writing ------------------------------------------------------------------

    @contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        """The connection, its errors in words."""
        try:
            yield self._file
        except sqlite3.Error as error:
            raise failed(self.path, error) from None

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        """What the block writes, for the next commit; nothing since the last one if it fails."""
        with self._asked() as file:
            try:
                if not file.in_transaction:
                    file.execute("BEGIN IMMEDIATE")
                    self._since = time.monotonic()
                yield file
            except BaseException:
                if file.in_transaction:
                    with suppress(sqlite3.Error):
                        file.execute("ROLLBACK")
                raise

    def commit(self, pause: float = 0.0) -> None:
        """Put on the disk what was written, unless its first part is younger than ``pause``."""
        if self._file.in_transaction and time.monotonic() - self._since >= pause:
            with self._written() as file:
                file.execute("COMMIT")

    def about(self) -> dict[str, str]:
        """What the job is about: ``digest``, ``versions``, ``format`` and more in words."""
        with self._asked() as file:
            return dict(file.execute("SELECT name, value FROM about").fetchall())

    def note(self, name: str, value: str) -> None:
        """Write down one word about the job, on the disk."""
        with self._written() as file:
            file.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))
        self.commit()

    def known(self, name: str) -> int | None:
        """The number of the search of that name, None where it has not begun."""
        with self._asked() as file:
            row = file.execute("SELECT id FROM searches WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def search(self, name: str, merge: str, roots: Sequence[Range]) -> int:
        """The number of the search of that name, which begins with ``roots`` where it is new."""
        known = self.known(name)
        if known is not None:
            return known
        with self._written() as file:
            made = file.execute(
                "INSERT INTO searches (name, merge, roots) VALUES (?, ?, ?)",
                (name, merge, len(roots)),
            )
            number = int(made.lastrowid or 0)
            _insert(file, number, None, roots)
        self.commit()
        return number

    def finish(self, search: int, path: str, told: Told) -> bool:
        """Note that a range is done, what it found and what it left; False if it was done before.

        What comes of a range a second time changes nothing. It is on the disk after ``commit``.
        """
        numbers = _words({name: value for name, value in told.tally.items() if value})
        with self._written() as file:
            done = file.execute(
                "UPDATE ranges SET open = 0, data = ?, cells = ?, tally = ?, children = ?, "
                "worker = ?, seconds = ?, ended = ? WHERE search = ? AND path = ? AND open "
                "RETURNING id",
                (
                    None if told.result is None else _words(told.result),
                    *(told.tally["cells"], numbers, len(told.left), told.worker, told.seconds),
                    *(time.time(), search, path),
                ),
            ).fetchone()
            if done is None:
                return False
            _insert(file, search, done[0], told.left)
            return True

    def open_ranges(self, search: int) -> list[Range]:
        """The ranges of a search that are still to be done, those that came last at the end."""
        with self._asked() as file:
            rows = file.execute(
                "SELECT path, data FROM ranges WHERE search = ? AND open ORDER BY id", (search,)
            ).fetchall()
        found = [Range(path, self._read(data)) for path, data in rows]
        if not all(isinstance(entry.data, dict) for entry in found):
            raise damaged(self.path, "a range that is none")
        return found

    def results(self, search: int) -> Iterator[tuple[str, Any]]:
        """Paths and results of ranges that gave more than numbers, each behind what left it."""
        with self._asked() as file:
            for path, data in file.execute(
                "SELECT path, data FROM ranges WHERE search = ? AND NOT open AND data NOT NULL "
                "ORDER BY id",
                (search,),
            ):
                yield path, self._read(data)

    def done(self, search: int) -> int:
        """How many ranges of a search are done."""
        with self._asked() as file:
            return file.execute(
                "SELECT COUNT(*) FROM ranges WHERE search = ? AND NOT open", (search,)
            ).fetchone()[0]

    def tally(self, search: int) -> Counter[str]:
        """The sums of what the ranges of a search found."""
        total: Counter[str] = Counter()
        with self._asked() as file:
            for text, cells in file.execute(
                "SELECT tally, cells FROM ranges WHERE search = ? AND NOT open", (search,)
            ):
                numbers = self._read(text)
                sound = isinstance(numbers, dict) and numbers.get("cells", 0) == cells
                if not sound or not all(type(n) is int for n in numbers.values()):
                    raise damaged(self.path, "numbers that are none")
                total.update(numbers)
        return total

    def rows(self) -> Iterator[Row]:
        """All ranges, each behind the one that left it."""
        with self._asked() as file:
            yield from (
                Row(*row)
                for row in file.execute(
                    "SELECT searches.name, merge, own.path, above.path, "
                    "CASE WHEN own.open THEN own.data END, own.tally, own.children, own.worker, "
                    "own.seconds, own.ended, CASE WHEN NOT own.open THEN own.data END "
                    "FROM ranges own "
                    "JOIN searches ON searches.id = own.search "
                    "LEFT JOIN ranges above ON above.id = own.parent ORDER BY own.id"
                )
            )

    @classmethod
    def made(cls, place: Path, about: Mapping[str, str], rows: Iterable[Row]) -> None:
        """Write a ledger of these ranges, which must not be there yet, whole or not at all."""
        _make(output_path(place, "job"), about, rows)

    def states(self) -> list[SearchState]:
        """How far each search is."""
        with self._asked() as file:
            rows = file.execute(
                "SELECT name, merge, COALESCE(SUM(NOT open), 0), COALESCE(SUM(open), 0), "
                "COALESCE(SUM(cells), 0), COALESCE(SUM(seconds), 0) FROM searches "
                "LEFT JOIN ranges ON search = searches.id GROUP BY searches.id ORDER BY searches.id"
            ).fetchall()
        return [SearchState(*row) for row in rows]

    def pace(self, seconds: float) -> tuple[int, float]:
        """Cells found in the last seconds of the newest run, and how long these are.

        They end with the newest range that is done, so that a job that rests has a pace too.
        """
        with self._asked() as file:
            newest = file.execute("SELECT MAX(ended) FROM ranges").fetchone()[0]
            if newest is None:
                return 0, 0.0
            started = self.about().get("started")
            if started is None:
                # United of parts, which ran at other times: by the seconds of work.
                found = file.execute("SELECT SUM(cells), SUM(seconds) FROM ranges").fetchone()
                return int(found[0] or 0), float(found[1] or 0)
            since = max(newest - seconds, float(started))
            cells = file.execute("SELECT SUM(cells) FROM ranges WHERE ended > ?", (since,))
            return int(cells.fetchone()[0] or 0), newest - since


def _insert(
    file: sqlite3.Connection, search: int, parent: int | None, ranges: Sequence[Range]
) -> None:
    file.executemany(
        "INSERT INTO ranges (search, path, parent, open, data) VALUES (?, ?, ?, 1, ?)",
        [(search, r.path, parent, _words(r.data)) for r in ranges],
    )


def _copy(file: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write ranges that other ledgers held; those that left others may come after these."""
    searches: dict[str, int] = {}
    numbers: dict[tuple[str, str | None], int] = {}
    ranges = [*rows]
    for number, row in enumerate(ranges, 1):
        if row.search not in searches:
            searches[row.search] = len(searches) + 1
            given = (searches[row.search], row.search, row.merge, 0)
            file.execute("INSERT INTO searches VALUES (?, ?, ?, ?)", given)
        numbers[row.search, row.path] = number
    for number, row in enumerate(ranges, 1):
        above = numbers.get((row.search, row.parent)) if row.parent is not None else None
        cells = None if row.tally is None else json.loads(row.tally).get("cells", 0)
        file.execute(
            "INSERT INTO ranges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, searches[row.search], row.path, above, row.data is not None),
                row.result if row.data is None else row.data,
                *(cells, row.tally, row.children, row.worker, row.seconds, row.ended),
            ),
        )
    file.execute(
        "UPDATE searches SET roots = "
        "(SELECT COUNT(*) FROM ranges WHERE search = searches.id AND parent IS NULL)"
    )


def _make(place: Path, about: Mapping[str, str], rows: Iterable[Row] = ()) -> None:
    """A new ledger under its name, whole: made beside it and renamed."""
    beside = place.with_name(f"{BESIDE}{secrets.token_hex(8)}")
    try:
        file = sqlite3.connect(beside, isolation_level=None)
        try:
            file.execute("PRAGMA synchronous = FULL")
            file.executescript(f"PRAGMA application_id = {MARK}; {_TABLES}")
            file.execute("BEGIN")
            file.executemany("INSERT INTO about VALUES (?, ?)", [*about.items()])
            _copy(file, rows)
            file.execute("COMMIT")
        finally:
            file.close()
        # A file of this name may have been killed and removed: its log is not this one's.
        for end in SIDES:
            place.with_name(place.name + end).unlink(missing_ok=True)
        beside.replace(place)
    except sqlite3.Error as error:
        raise failed(place, error) from None
    except OSError as error:
        raise InvalidInput(
            f"job: a file in a writable folder needed, got {place}, {error.strerror}; choose "
            "another path."
        ) from None
    finally:
        beside.unlink(missing_ok=True)
