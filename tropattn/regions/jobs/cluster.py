"""Workers of a Dask scheduler on the ranges of a job, on as many machines as it has.

The search travels once to each worker, also to those that come later, as a plugin: data of the
scheduler would be kept by one worker alone, and be gone with it. A task is a range as the ledger
holds it, its key a digest of the job and the range's name. At most two ranges a thread are under
way, and what a task gave is let go of at once, so the memory of driver and scheduler does not grow
with the ranges. A worker that is lost costs its ranges, which are done again.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.errors import InvalidInput
from tropattn.regions.jobs.ledger import Told
from tropattn.threads import Pool

__all__ = ["Cluster"]


_RETRIES = 20
"""How often a range may be lost with its worker, or fail, before the count ends."""

_PATIENCE = 10.0
"""Seconds in which the scheduler must answer."""

_LOG = logging.getLogger("tropattn")
_HERE = threading.local()
"""The search that this thread of a worker has, and its digest."""


class Cluster(Pool):
    """The threads of a scheduler's workers in place of those of a pool; as ``workers.Crew``."""

    def __init__(
        self,
        scheduler: str,
        search: tuple[Any, tuple[Any, ...]],
        flag: NDArray[np.int64],
    ) -> None:
        super().__init__(1, flag)
        self.outer = None
        self._futures = dict[int, Any]()
        self._leaving = False
        self._client = _connected(scheduler)
        data = pickle.dumps(search)
        self._digest = hashlib.sha256(data).hexdigest()
        # Another driver may search the same, and end before this one.
        self._plugin = f"tropattn-{secrets.token_hex(8)}"
        self._client.register_plugin(_carrier(data), name=self._plugin)
        self.threads = max(1, sum(self._client.nthreads().values()))
        _LOG.info("cluster: %d threads, %s", self.threads, self._client.dashboard_link)

    def __enter__(self) -> Cluster:
        return self

    def submit(self, work: Callable[[Any], Any], item: Any, number: int = 0) -> None:
        """Let a worker have the range; ``work`` is what it does anyway."""
        self.busy += 1
        name = hashlib.sha256(f"{self._digest} {item.path}".encode()).hexdigest()
        future = self._client.submit(
            _answer,
            *(self._digest, self._plugin, item.data),
            key=f"range-{name}",
            retries=_RETRIES,
        )
        self._futures[number] = future
        future.add_done_callback(lambda done: self._take(number, done))

    def _take(self, number: int, future: Any) -> None:
        if self._leaving:
            return
        try:
            value, error = future.result(), None
        except BaseException as raised:  # noqa: BLE001 (the caller's thread raises it)
            value, error = None, raised
        if future.cancelled():
            error = InvalidInput(
                "scheduler: one that goes on needed, got ranges that were cancelled; resume the "
                "job, by this scheduler or another."
            )
        self._futures.pop(number, None)
        future.release()
        self._done.put((number, value, error))

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        left = [*self._futures.values()]
        with suppress(Exception):
            if left:
                self._client.cancel(left, force=True)
            self._client.unregister_worker_plugin(self._plugin)
            self._client.close(timeout=1)


def _connected(scheduler: str) -> Any:
    try:
        client = import_module("distributed").Client
    except ImportError:
        raise InvalidInput(
            "scheduler: Dask needed, got an installation without it; pip install tropattn[cluster]."
        ) from None
    try:
        return client(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise InvalidInput(
            f"scheduler: the address of a Dask scheduler needed, got {scheduler!r} ({words}); "
            "e.g. tcp://10.0.0.1:8786."
        ) from None


def _carrier(data: bytes) -> Any:
    """A plugin of workers that holds the search."""
    carrier = import_module("distributed").WorkerPlugin()
    carrier.search = data
    return carrier


def _answer(digest: str, plugin: str, data: dict[str, Any]) -> Told:
    """What comes of a range, on a worker, whose threads build the search once each."""
    if getattr(_HERE, "digest", None) != digest:
        plugins = import_module("distributed").get_worker().plugins
        kind, given = pickle.loads(plugins[plugin].search)
        _HERE.search, _HERE.digest = kind.built(*given), digest
    return replace(_HERE.search.answer(data), worker=_name())


def _name() -> str:
    return str(import_module("distributed").get_worker().address)
