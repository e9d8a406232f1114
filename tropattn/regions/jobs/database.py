"""The SQLite file of a ledger: who may work on it, how it is opened, and what its errors say.

The file is a log ahead of the data (WAL), with the disk waited for at each commit; on a file system
of a network, where such a log does not work, a rollback journal. Who works on it holds a lock of
the operating system, which is gone with the process.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tropattn.errors import InvalidInput

__all__ = ["MARK", "SIDES", "connected", "damaged", "failed", "lock_of", "locked"]

MARK = 0x7461_6A62
"""What says in the file's header that it is a ledger."""

SIDES = ("-wal", "-shm", "-journal")
"""Endings of the files that SQLite keeps beside a ledger that is worked on."""

_NETWORKS = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "fuse.glusterfs", "gpfs", "lustre"),
    *("ncpfs", "nfs", "nfs4", "smb3", "smbfs", "vboxsf", "virtiofs"),
}


def lock_of(place: Path) -> str:
    """The file whose lock is that of a job."""
    return f"{os.path.realpath(place)}-lock"


def locked(place: Path) -> FileLock:
    """A lock of the operating system on the job, gone with the process."""
    lock = FileLock(lock_of(place))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InvalidInput(
            f"job: a ledger that no other run works on needed, got {place}, which one holds; wait "
            "for it, or look with tropattn jobs."
        ) from None
    except OSError as error:
        raise InvalidInput(
            f"job: a file in a writable folder needed, got {place}, {error.strerror}; choose "
            "another path."
        ) from None
    return lock


def connected(place: Path, write: bool) -> sqlite3.Connection:
    """A connection to a ledger that is sound."""
    mode = "rw" if write else "ro"
    try:
        file = sqlite3.connect(
            f"{place.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None
        )
        try:
            if file.execute("PRAGMA application_id").fetchone()[0] != MARK:
                raise damaged(place, "it is another kind of file")
            flaw = file.execute("PRAGMA quick_check(1)").fetchone()[0]
            if flaw != "ok":
                raise damaged(place, flaw)
            if write:
                journal = "DELETE" if _on_network(place) else "WAL"
                file.execute(f"PRAGMA journal_mode = {journal}")
                file.execute("PRAGMA synchronous = FULL")
        except BaseException:
            file.close()
            raise
    except sqlite3.Error as error:
        raise failed(place, error) from None
    return file


def _on_network(place: Path) -> bool:
    """Whether the file system is one of a network, as far as the system says."""
    target, found = os.path.realpath(place), ("", "")
    with suppress(OSError), Path("/proc/mounts").open() as mounts:
        for line in mounts:
            _, point, kind, *_ = line.split()
            point = point.replace("\\040", " ")
            inside = target == point or target.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(found[0]):
                found = point, kind
    return found[1] in _NETWORKS


def failed(place: Path, error: sqlite3.Error) -> InvalidInput:
    """What SQLite says, in one sentence."""
    name = getattr(error, "sqlite_errorname", "")
    words = " ".join(str(error).split())
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return InvalidInput(
            f"job: room for the ledger needed, got {words} at {place}; make room and resume: what "
            "was done is kept."
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return InvalidInput(
            f"job: a file in a writable folder needed, got {place}, {words}; make it writable, or "
            "choose another path."
        )
    if name.startswith("SQLITE_BUSY"):
        return InvalidInput(
            f"job: a ledger that nobody else writes needed, got {place}, {words}; end the other "
            "program."
        )
    return damaged(place, words)


def damaged(what: Any, why: str = "not what this search needs") -> InvalidInput:
    """What a file raises that is none of ours, or none any more."""
    return InvalidInput(
        f"job: the ledger of a job needed, got {what}, which is damaged or none ({why}); take "
        "another file, or begin anew."
    )
