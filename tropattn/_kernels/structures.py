"""Named fields that kernels hand on as one pointer.

Numba takes a tuple of arrays apart at every call, into seven values or more per array, and compiles
them all anew in each kernel that hands it on; a structure is one value whatever it holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from numba import config, types
from numba.experimental import structref

__all__ = ["structure"]


def structure(cls):
    """Make a class of annotated fields a type that kernels build, ``cls(field=value, ...)``.

    They read and write its fields; Python code gets it from a kernel and hands it back.

    >>> from tropattn._kernels.compiling import njit
    >>> @structure
    ... class Pair:
    ...     first: float
    ...     second: float
    >>> @njit(cache=False)
    ... def pair(first, second):
    ...     return Pair(first=first, second=second)
    >>> @njit(cache=False)
    ... def total(numbers):
    ...     return numbers.first + numbers.second
    >>> total(pair(1.0, 2.0))
    3.0
    """
    if config.DISABLE_JIT:
        return dataclass(cls)

    class Type(types.StructRef):
        def preprocess_fields(self, fields):
            return tuple((name, types.unliteral(kind)) for name, kind in fields)

    class Structure(structref.StructRefProxy):
        __slots__ = ()

    # The caches of kernels find both by these names.
    for made, name in ((Structure, cls.__qualname__), (Type, f"{cls.__qualname__}.Type")):
        made.__module__, made.__qualname__ = cls.__module__, name
    Structure.__name__, Structure.__doc__, Structure.Type = cls.__name__, cls.__doc__, Type
    structref.define_proxy(Structure, structref.register(Type), tuple(cls.__annotations__))
    return Structure
