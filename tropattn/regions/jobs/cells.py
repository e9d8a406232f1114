"""The folder that takes the cells of a job, a file a range: of one job alone, and with all of them.

Its file ``job.json`` says whose it is. Parts of one job, and what they are united to, are one job.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from tropattn.errors import InvalidInput
from tropattn.outputs import BESIDE, writing
from tropattn.regions.jobs.database import damaged
from tropattn.regions.jobs.ledger import Ledger

__all__ = ["CellFolder"]

_MARK = "job.json"


class CellFolder:
    """A folder of cells; the ledger of its job holds the name and digest of each file."""

    def __init__(self, folder: str | Path) -> None:
        self.place = Path(folder)

    def check_new(self) -> None:
        """Raise ``InvalidInput`` where a job that begins would find the cells of another."""
        if self._owner() is not None:
            raise self._taken()

    def take(self, ledger: Ledger) -> None:
        """Make it the folder of this job, rid of what was not written to its end.

        Raises ``InvalidInput`` where it is that of another, or lacks files of ranges that are done.
        """
        about = ledger.about()
        own = f"{json.dumps({'job': about['id'], 'digest': about['digest']})}\n".encode()
        owner = self._owner()
        if owner not in (None, own):
            raise self._taken()
        present = {entry.name for entry in self.place.iterdir()}
        lost = [name for name in _files(ledger) if name not in present]
        if lost:
            raise InvalidInput(
                f"cells: the files of all ranges that are done needed, got {self.place} without "
                f"{len(lost)} of them, such as {lost[0]}; put them back, or begin another job."
            )
        for name in present:
            # A worker of an earlier run ended while it wrote.
            if name.startswith(BESIDE):
                (self.place / name).unlink(missing_ok=True)
        if owner is None:
            with writing(self.place / _MARK, "cells") as stream:
                stream.write(own)

    def write(self, name: str, content: bytes | memoryview) -> dict[str, str]:
        """Write the cells of the range of that name, on the disk behind this; what to keep."""
        digest = hashlib.sha256(content).hexdigest()
        place = self.place / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.npz"
        with writing(place, "cells") as stream:
            stream.write(content)
        # The new name too.
        folder = os.open(self.place, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return {"file": place.name, "sha256": digest}

    def _owner(self) -> bytes | None:
        """What says whose cells it holds, nothing where they are nobody's; None without cells."""
        mark = self.place / _MARK
        if mark.exists():
            return mark.read_bytes()
        return b"" if any(self.place.glob("*.npz")) else None

    def _taken(self) -> InvalidInput:
        return InvalidInput(
            f"cells: a folder of this job alone needed, got {self.place}, which holds others' "
            "cells; choose another one."
        )


def _files(ledger: Ledger) -> Iterator[str]:
    """The files of the ranges that are done."""
    for row in ledger.rows():
        if row.result is None:
            continue
        try:
            name = json.loads(row.result).get("file")
        except (ValueError, AttributeError):
            raise damaged(ledger.path, "cells in no file") from None
        if name is not None:
            yield name
