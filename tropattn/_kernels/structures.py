"""Named fields that kernels hand on as one pointer.

Numba takes a tuple of arrays apart at every call, into seven values or more per array, and compiles
them all anew in each kernel that hands it on; a structure is one value whatever it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numba import config, types
from numba.experimental import structref

from tropattn._kernels.compiling import njit

__all__ = ["structure"]


def structure(cls: type) -> Any:
    """Make a class of annotated fields a type whose fields kernels read and write.

    Python code and kernels build it alike, ``cls(field=value, ...)``. References are counted at
    every use, in memory of the structure itself: threads that run at one time need one each. Where
    Python builds it, it must be a class of a module: the cache knows it by that name.

    >>> from tropattn._kernels.compiling import njit
    >>> @structure
    ... class Pair:
    ...     first: float
    ...     second: float
    >>> @njit(cache=False)
    ... def total(first, second):
    ...     pair = Pair(first=first, second=second)
    ...     return pair.first + pair.second
    >>> total(1.0, 2.0)
    3.0
    """
    if config.DISABLE_JIT:
        return dataclass(cls)

    class Type(types.StructRef):
        def preprocess_fields(self, fields):
            return tuple((name, types.unliteral(kind)) for name, kind in fields)

    names = tuple(cls.__annotations__)

    class Structure(structref.StructRefProxy):
        __slots__ = ()

        def __new__(cls, **fields):
            return build(*(fields[name] for name in names))

    # The caches of kernels find both by these names.
    for made, name in ((Structure, cls.__qualname__), (Type, f"{cls.__qualname__}.Type")):
        made.__module__, made.__qualname__ = cls.__module__, name
    Structure.__name__, Structure.__doc__, Structure.Type = cls.__name__, cls.__doc__, Type
    structref.define_proxy(Structure, structref.register(Type), names)
    build = _builder(Structure, cls.__name__, ", ".join(names))
    return Structure


def _builder(structure: Any, name: str, fields: str) -> Any:
    """The kernel that builds a structure: ``fields`` as arguments, one by one.

    As ``*fields`` they would be one tuple, whose type takes Numba 0.3 ms where a field is itself a
    structure.
    """
    code = f"def build_{name}({fields}):\n    return structure({fields})\n"
    space = {"structure": structure, "__name__": __name__}
    # Numba keeps its cache beside the file that a function is said to come from.
    exec(compile(code, __file__, "exec"), space)
    return njit(nogil=True)(space[f"build_{name}"])
