"""Worker processes on this machine: each has the search, gets ranges, and tells what came of them.

A worker gets its search once, by pickle from the process that started it, then ranges as the ledger
holds them. It reads from a pipe, so it ends at once when the driver does, however that ends. One
that dies is started anew, and its range is given to it again.
"""

from __future__ import annotations

import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tropattn.errors import EngineError
from tropattn.regions.jobs.ledger import Told
from tropattn.threads import Pool

__all__ = ["Crew", "main"]


_MOST_DEATHS = 20
"""How often in a row a worker may die before the count ends."""

_LENGTH = struct.Struct("<Q")
_PROGRAM = "from tropattn.regions.jobs.workers import main; main()"
_ONE_THREAD = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Crew(Pool):
    """Worker processes in place of the threads of a pool, for ranges as the ledger holds them.

    ``search`` is the class of the search and the arguments from which each builds its own.
    """

    def __init__(
        self,
        workers: int,
        search: tuple[Any, tuple[Any, ...]],
        flag: NDArray[np.int64],
    ) -> None:
        super().__init__(workers, flag)
        self.outer = None
        self._search = pickle.dumps(search)
        self._given: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._processes: list[_Process] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Crew:
        for _ in range(self.threads):
            process = _Process(self._search)
            thread = threading.Thread(target=self._attend, args=(process,), daemon=True)
            self._processes.append(process)
            self._threads.append(thread)
            thread.start()
        return self

    def submit(self, work: Callable[[Any], Any], item: Any, number: int = 0) -> None:
        """Let a worker have the range; ``work`` is what it does anyway."""
        self.busy += 1
        self._given.put((number, item.data))

    def _attend(self, process: _Process) -> None:
        """Give one worker a range after the other."""
        while (given := self._given.get()) is not None:
            number, data = given
            try:
                value, error = process.ask(data), None
            except BaseException as raised:  # noqa: BLE001 (the caller's thread raises it)
                value, error = None, raised
            self._done.put((number, value, error))

    def __exit__(self, *_: object) -> None:
        for _process in self._processes:
            self._given.put(None)
        # Nothing that a worker does is lost: what is not told is open in the ledger.
        for process in self._processes:
            process.end()
        for thread in self._threads:
            thread.join(1.0)


class _Process:
    """One worker, started when it is first asked, and anew after it died."""

    def __init__(self, search: bytes) -> None:
        self._search, self._process, self._ended = search, None, False
        self._lock = threading.Lock()

    def ask(self, data: dict[str, Any]) -> Told:
        """What comes of a range."""
        message = pickle.dumps(data)
        for _ in range(_MOST_DEATHS):
            process, new = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                if new:
                    _send(process.stdin, self._search)
                _send(process.stdin, message)
                told, error = pickle.loads(_receive(process.stdout))
            except (OSError, EOFError):
                with self._lock:
                    _over(process)
                    self._process = None
                continue
            if error is not None:
                raise error
            return replace(told, worker=f"process {process.pid}")
        raise EngineError(
            f"workers: processes that stay needed, got one that ended {_MOST_DEATHS} times in a "
            "row; the system may lack memory, take fewer workers."
        )

    def _started(self) -> tuple[subprocess.Popen[bytes], bool]:
        """The process, and whether it does not know the search yet."""
        with self._lock:
            if self._ended:
                raise EOFError
            new = self._process is None
            if self._process is None:
                ours = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _PROGRAM],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=os.environ | ours | dict.fromkeys(_ONE_THREAD, "1"),
                    # Ctrl-C in a terminal is for the driver.
                    start_new_session=True,
                )
            return self._process, new

    def end(self) -> None:
        """End it, whatever it does."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                _over(self._process)


def _over(process: subprocess.Popen[bytes]) -> None:
    """End a process, and let go of its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        # What it was not given any more is still in the stream.
        with suppress(OSError):
            stream.close()


def _send(stream: IO[bytes], message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)) + message)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def main() -> None:
    """Work on ranges until the driver closes the pipe, or is gone."""
    source = sys.stdin.buffer
    # What anything prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    kind, given = pickle.loads(_receive(source))
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                messages.put(_receive(source))
        except (EOFError, OSError):
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    search = None
    while True:
        data = pickle.loads(messages.get())
        told = error = None
        try:
            search = search or kind.built(*given)
            told = search.answer(data)
        except Exception as raised:  # noqa: BLE001 (the driver raises it)
            error = raised
        _send(answers, pickle.dumps((told, error)))
