"""``njit`` and ``fragment`` for all kernels: Numba's own, with a cache that can fail unharmed.

Kernels that Python calls are made by ``njit``, those that kernels call by ``fragment``.

Numba raises where a file of its cache is damaged, where the disk is full, and already at import
where it finds no folder to write to. Here a kernel is then compiled anew, with one warning.
"""

from __future__ import annotations

import atexit
import os
import warnings
from contextlib import ExitStack, suppress

from numba import config
from numba.core.caching import FunctionCache, NullCache
from numba.core.compiler_lock import global_compiler_lock

from tropattn._kernels.fragments import Fragment, FragmentCacheImpl, Kernel
from tropattn.progress import doing

__all__ = ["KERNELS", "fragment", "njit"]

KERNELS = []
"""All kernels that Python calls and that have a cache, in the order of their modules."""

_COMPILED = []
"""The names of those that this process has compiled."""


def njit(cache=True, **options):
    """Return the decorator ``numba.njit(**options)``, with the cache of this module if ``cache``.

    >>> @njit(nogil=True, cache=False)      # a doctest has no file that a cache could stand for
    ... def double(x):
    ...     return 2 * x
    >>> double(3)
    6
    """

    def decorate(function):
        if config.DISABLE_JIT:
            return function
        kernel = Kernel(function, options)
        kernel._cache = _cache_of(function, _Cache) if cache else _Uncached()
        if cache:
            KERNELS.append(kernel)
        return kernel

    return decorate


def fragment(cache=True, **options):
    """Return the decorator of a kernel that kernels call; ``cache`` as for ``njit``.

    Python may call it too, and then compiles it once more.

    >>> @fragment(cache=False)
    ... def half(x):
    ...     return x / 2
    >>> @njit(cache=False)
    ... def quarter(x):
    ...     return half(half(x))
    >>> quarter(6)
    1.5
    """

    def decorate(function):
        if config.DISABLE_JIT:
            return function
        kernel = Fragment(function, options, lambda: njit(cache, nogil=True, **options)(function))
        kernel._cache = _cache_of(function, _FragmentCache) if cache else _Uncached()
        return kernel

    return decorate


def _cache_of(function, cache):
    try:
        return cache(function)
    except (OSError, RuntimeError):
        return _NoCache()


class _Files(FunctionCache):
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


class _FragmentCache(_Files):
    _impl_class = FragmentCacheImpl


class _Cache(_Files):
    """The files of a kernel that Python calls; of the processes that miss it one compiles it."""

    def __init__(self, function):
        super().__init__(function)
        self._held = ExitStack()

    def load_overload(self, sig, target_context):
        found = super().load_overload(sig, target_context)
        if found is not None:
            return found
        # Held until the kernel is compiled and written; the others find it written.
        from filelock import FileLock

        with suppress(OSError, NotImplementedError):
            self._held.enter_context(FileLock(self._cache_file._index_path + ".lock"))
            found = super().load_overload(sig, target_context)
        if found is None:
            done, name = len(_COMPILED), self._py_func.__name__
            words = f"compiling kernels, in the first run only: {done} done, at {name}"
            self._held.enter_context(doing(words))
            _COMPILED.append(name)
        return found

    def release(self):
        """Let the processes go on that wait for this kernel."""
        self._held.close()


class _Uncached(NullCache):
    """Of kernels that are not to be kept: no other process waits for them."""

    def release(self):
        """Nothing is held."""


class _NoCache(_Uncached):
    """In place of a cache where neither the package nor the user has a folder that can be written.

    Says so when the first kernel is compiled, not at import.
    """

    def load_overload(self, sig, target_context):
        _warn(
            "no folder for their cache can be written, compiled anew in every run; set "
            "NUMBA_CACHE_DIR to one that can"
        )


# A worker left behind may be in the middle of a compilation, where LLVM crashes if the process ends
# under it. A child of a fork has no such worker, and nobody who would give the lock back.
atexit.register(global_compiler_lock.acquire)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: atexit.unregister(global_compiler_lock.acquire))


_SAID = set()
"""Warnings that were given; while it compiles Numba makes Python forget those that it showed."""


def _warn(what):
    if what not in _SAID:
        _SAID.add(what)
        warnings.warn(f"kernels: {what}.", RuntimeWarning, stacklevel=1)
