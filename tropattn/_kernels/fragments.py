"""Kernels that only kernels call: kept as code for their callers, without machine code.

Numba optimises each function with all that it calls and emits machine code for it, once more at
every level of the tree of calls, though Python enters only at the root. A fragment stops after its
own translation; the root links, optimises and emits the whole tree once. This halves the time to
the first number.

It overrides what Numba's ``JITCodeLibrary`` does when a function is finished; ``test_fragments.py``
says what it relies on.
"""

from __future__ import annotations

import ctypes
import gc
from functools import cache as cached

from numba.core.caching import CompileResultCacheImpl
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, Flags
from numba.core.registry import CPUDispatcher

__all__ = ["Fragment", "FragmentCacheImpl", "Kernel"]


class _FragmentLibrary(JITCodeLibrary):
    """The code of one fragment and of those that it calls, neither optimised nor run."""

    def _optimize_functions(self, module):
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        pass

    @property
    def has_dynamic_globals(self):
        """Whether addresses of this process are in use: the root finds out, here all look used."""
        return False

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name):
        self._ensure_finalized()
        return 0

    def serialize_using_object_code(self):
        return self.serialize_using_bitcode()

    @property
    def codegen(self):
        return self

    def set_env(self, name, env):
        """Keep the environment of the function until a caller's machine code has a place for it."""
        _ENVIRONMENTS[name] = env


_ENVIRONMENTS = {}


class _WholeLibrary(JITCodeLibrary):
    """The code of a root with all fragments below it."""

    def _finalize_specific(self):
        super()._finalize_specific()
        for name, env in _ENVIRONMENTS.items():
            place = self._codegen._engine.get_global_value_address(name)
            if place:
                ctypes.c_void_p.from_address(place).value = id(env)


class _Flags(Flags):
    """Options of a compilation that are the same where the same ones are set.

    Numba looks each of them up in both, some ten thousand times for a kernel.
    """

    def __eq__(self, other):
        return type(other) is _Flags and self._values == other._values

    def __hash__(self):
        return len(self._values)


def _compiler_into(library_class):
    class Into(Compiler):
        def __init__(self, typing, target, library, args, returns, flags, names):
            if library is None:
                library = library_class(target.codegen(), library_class.__name__)
                library.enable_object_caching()
            super().__init__(typing, target, library, args, returns, _Flags(flags), names)

        def compile_extra(self, function):
            # Most of what Numba makes lives to the end: looking for garbage is a tenth of the time.
            collects = gc.isenabled()
            gc.disable()
            try:
                return super().compile_extra(function)
            finally:
                if collects:
                    gc.enable()

    return Into


_FragmentCompiler = _compiler_into(_FragmentLibrary)
_WholeCompiler = _compiler_into(_WholeLibrary)


class FragmentCacheImpl(CompileResultCacheImpl):
    """Reads a fragment from its file as a fragment; called with Numba's compiler lock held."""

    def get_filename_base(self, fullname, abiflags):
        # Beside the file of the same function as a kernel that Python calls.
        return f"{super().get_filename_base(fullname, abiflags)}.fragment"

    def rebuild(self, target_context, payload):
        codegen = target_context.codegen()
        codegen._library_class = _FragmentLibrary
        try:
            return super().rebuild(target_context, payload)
        finally:
            del codegen._library_class


class _Dispatcher(CPUDispatcher):
    """As Numba's own ``njit(**options)`` would make, but for its compiler."""

    def __init__(self, function, options, compiler):
        super().__init__(
            py_func=function,
            locals={},
            targetoptions={"nopython": True, "boundscheck": None, **options},
            pipeline_class=compiler,
        )


class Kernel(_Dispatcher):
    """A kernel that Python calls, with all fragments below it."""

    def __init__(self, function, options):
        super().__init__(function, options, _WholeCompiler)

    def compile(self, sig):
        try:
            return super().compile(sig)
        finally:
            self._cache.release()


class Fragment(_Dispatcher):
    """A function for kernels to call; where Python calls it, ``whole()`` makes a kernel of it."""

    def __init__(self, function, options, whole):
        silent = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        super().__init__(function, {**options, **silent}, _FragmentCompiler)
        self._whole = cached(whole)

    def __call__(self, *args):
        return self._whole()(*args)
