"""Named tensors from any source, and the checks that every source shares.

A source is one safetensors file, the shards of a split model, a ``.bin`` file read through torch,
or a module in memory; the families of models see names, shapes and numbers only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import freeze
from tropattn.errors import InvalidInput
from tropattn.files import named

__all__ = ["Tensors", "cut", "first_prefix", "found_prefixes", "named", "unwrapped"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tensors(ABC):
    """Tensors by name, read on demand.

    Attributes
    ----------
    path : the file they come from, or what stands for it in messages.
    metadata : strings that the file carries.
    shapes : the shape of each tensor.
    """

    path: Path
    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]

    @abstractmethod
    def _stored(self, name: str) -> Array:
        """The numbers of one tensor as they are stored (bfloat16 as float32)."""

    def read(self, name: str, shape: tuple[int | None, ...] | None = None) -> Array:
        """Return one tensor, frozen: floats as float64, exactly; integers as they are.

        ``shape`` is the one required, None standing for any positive length. Raises
        ``InvalidInput`` for a missing tensor, another shape, a number type other than float or
        integer, NaN or infinity.
        """
        array = self._checked(name, shape)
        return freeze(array.astype(np.float64) if array.dtype.kind == "f" else array)

    def weight(
        self, name: str, shape: tuple[int | None, ...] | None = None, *, narrow: bool = False
    ) -> Array:
        """Return one tensor of floats as ``read`` does; ``narrow`` keeps its own precision.

        Raises ``InvalidInput`` for integers too: a quantised weight stands for other numbers.
        """
        array = self._checked(name, shape)
        if array.dtype.kind != "f":
            raise InvalidInput(
                f"{self.path}, {name}: floating point weights needed, got {array.dtype}; "
                "quantised models are not read, use the weights in half or single precision."
            )
        return freeze(array if narrow else array.astype(np.float64))

    def vector(self, name: str, length: int) -> Array:
        """Return one norm weight or bias (length,), under its name of today or of TensorFlow.

        ``LayerNorm.gamma`` and ``LayerNorm.beta`` stand for ``weight`` and ``bias`` in old files.
        """
        stem, _, last = name.rpartition(".")
        older = f"{stem}.{'gamma' if last == 'weight' else 'beta'}"
        if name not in self.shapes and older in self.shapes:
            name = older
        return self.weight(name, (length,))

    def optional(self, name: str, shape: tuple[int | None, ...]) -> Array | None:
        """Return one tensor of floats, or None where there is none of this name."""
        return self.weight(name, shape) if name in self.shapes else None

    def _checked(self, name: str, shape: tuple[int | None, ...] | None) -> Array:
        if name not in self.shapes:
            raise InvalidInput(
                f"{self.path}: tensor {name} needed, got {named(self.shapes)}; "
                "check that the file holds the whole model."
            )
        if shape is not None:
            self._check_shape(name, shape)
        array = self._stored(name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            place = np.unravel_index(np.argmin(np.isfinite(array)), array.shape)
            raise InvalidInput(
                f"{self.path}, {name}: finite numbers needed, got NaN or infinity at index "
                f"{tuple(int(i) for i in place)}; training diverged or the file is damaged."
            )
        return array

    def _check_shape(self, name: str, shape: tuple[int | None, ...]) -> None:
        found = self.shapes[name]
        if len(found) != len(shape) or any(
            size < 1 if wanted is None else size != wanted
            for size, wanted in zip(found, shape, strict=True)
        ):
            words = ", ".join("any" if wanted is None else str(wanted) for wanted in shape)
            raise InvalidInput(
                f"{self.path}, {name}: shape ({words}) needed, got {found}; "
                "the tensors of the file do not belong together."
            )


_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of names that torch's wrappers put in: compilation, parallel and checkpointed training."""

_AROUND = ("model.", "language_model.", "model.language_model.", "base_model.model.")
"""What larger models and adapters put before all names of the model that they hold."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Renamed(Tensors):
    """Tensors of another source under other names."""

    _source: Tensors
    _names: dict[str, str]

    def _stored(self, name: str) -> Array:
        return self._source._stored(self._names[name])


def unwrapped(tensors: Tensors) -> Tensors:
    """Return the tensors without the parts of names that wrappers put in.

    Where two tensors would then have one name, all keep theirs, and a message will show them.
    """
    plain = {
        ".".join(part for part in name.split(".") if part not in _WRAPPERS): name
        for name in tensors.shapes
    }
    if len(plain) < len(tensors.shapes) or set(plain) == set(tensors.shapes):
        return tensors
    shapes = {name: tensors.shapes[stored] for name, stored in plain.items()}
    return _Renamed(tensors.path, tensors.metadata, shapes, tensors, plain)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Cut(Tensors):
    """Tensors of another source, some of which are rows of larger ones."""

    _source: Tensors
    _rows: dict[str, tuple[str, NDArray[np.int64]]]

    def _stored(self, name: str) -> Array:
        if name not in self._rows:
            return self._source._stored(name)
        stored, rows = self._rows[name]
        return self._source._stored(stored)[rows]


def cut(tensors: Tensors, parts: Mapping[str, Mapping[str, Any]]) -> Tensors:
    """Return the tensors with fused ones cut: a stem gives a stem and its rows for each part.

    Rows are given by their numbers. Raises ``InvalidInput`` for a fused tensor with other
    rows than its parts have together.
    """
    shapes = dict(tensors.shapes)
    found: dict[str, tuple[str, NDArray[np.int64]]] = {}
    for name, shape in tensors.shapes.items():
        stem, _, end = name.rpartition(".")
        for fused, pieces in parts.items():
            if not f".{stem}".endswith(f".{fused}") or end not in ("weight", "bias"):
                continue
            rows = {piece: np.asarray(chosen) for piece, chosen in pieces.items()}
            total = sum(map(len, rows.values()))
            if not shape or shape[0] != total:
                raise InvalidInput(
                    f"{tensors.path}, {name}: {total} rows needed as the configuration says, got "
                    f"shape {shape}; the files do not belong together."
                )
            del shapes[name]
            for piece, chosen in rows.items():
                new = f"{stem.removesuffix(fused)}{piece}.{end}"
                shapes[new] = (len(chosen), *shape[1:])
                found[new] = (name, chosen)
    return _Cut(tensors.path, tensors.metadata, shapes, tensors, found)


def found_prefixes(tensors: Tensors, anchor: str, prefixes: tuple[str, ...]) -> list[str]:
    """Return the prefixes, alone or inside a larger model, under which a name exists."""
    inside = [around + prefix for around, prefix in product(_AROUND, prefixes)]
    return [p for p in dict.fromkeys((*prefixes, *inside)) if p + anchor in tensors.shapes]


def first_prefix(tensors: Tensors, anchor: str, prefixes: tuple[str, ...]) -> str:
    """Return the prefix under which a name exists, the first of all where it never does.

    A model saved with a head of its own (``BertForMaskedLM``) puts the family's name before each
    tensor's, and a larger model that holds it more. Raises ``InvalidInput`` where the name exists
    more than once: it is not known which of them is meant.
    """
    found = found_prefixes(tensors, anchor, prefixes)
    if len(found) > 1:
        raise InvalidInput(
            f"{tensors.path}: one tensor {anchor} needed, got "
            f"{named(p + anchor for p in found)}; keep the tensors of one of the models."
        )
    return found[0] if found else prefixes[0]
