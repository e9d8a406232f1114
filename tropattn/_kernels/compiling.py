"""``njit`` as all kernels use it: Numba's own, with a cache on disk that can fail without harm.

Numba raises where a file of its cache is damaged, where the disk is full, and already at import
where it finds no folder to write to. Here a kernel is then compiled anew, with one warning.
"""

from __future__ import annotations

import warnings

import numba
from numba import config
from numba.core.caching import FunctionCache, NullCache

__all__ = ["njit"]


def njit(cache=True, **options):
    """Return the decorator ``numba.njit(**options)``, with the cache of this module if ``cache``.

    >>> @njit(nogil=True, cache=False)      # a doctest has no file that a cache could stand for
    ... def double(x):
    ...     return 2 * x
    >>> double(3)
    6
    """

    def decorate(function):
        kernel = numba.njit(**options)(function)
        if cache and not config.DISABLE_JIT:
            kernel._cache = _cache_of(function)
        return kernel

    return decorate


def _cache_of(function):
    try:
        return _Cache(function)
    except (OSError, RuntimeError):
        return _NoCache()


class _Cache(FunctionCache):
    """The files of one kernel; those that cannot be read are emptied."""

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001 (damaged bytes make pickle and Numba raise anything)
            try:
                self.flush()
            except OSError:
                self.disable()
            _warn(f"a damaged cache in {self.cache_path}, compiled anew")
        return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self.disable()
            _warn(f"no cache written to {self.cache_path} ({error.strerror})")


class _NoCache(NullCache):
    """In place of a cache where neither the package nor the user has a folder that can be written.

    Says so when the first kernel is compiled, not at import.
    """

    def load_overload(self, sig, target_context):
        _warn(
            "no folder for their cache can be written, compiled anew in every run; set "
            "NUMBA_CACHE_DIR to one that can"
        )


_SAID = set()
"""Warnings that were given; while it compiles Numba makes Python forget those that it showed."""


def _warn(what):
    if what not in _SAID:
        _SAID.add(what)
        warnings.warn(f"kernels: {what}.", RuntimeWarning, stacklevel=1)
