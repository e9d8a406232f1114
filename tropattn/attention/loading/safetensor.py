"""The safetensors file format: names, shapes and raw little-endian numbers, no code to execute.

The reference library checks the header; the numbers are read here, because NumPy has no bfloat16.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from tropattn._types import Array
from tropattn.attention.loading.tensors import Tensors
from tropattn.errors import InvalidInput
from tropattn.files import json_value, printable, regular_file

__all__ = ["TensorFile"]


_LARGEST_HEADER = 10**7
"""Bytes of a header; a tensor takes about a hundred."""

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"} | {
    f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (8, 4, 2, 1)
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TensorFile(Tensors):
    """One safetensors file: its metadata, the shape of each tensor, and exact reading of any.

    Open with ``TensorFile.open(path)``. Half, bfloat16 and single precision are subsets of the
    doubles, so reading them as float64 loses nothing.
    """

    _entries: dict[str, tuple[str, int, int]]

    @classmethod
    def open(cls, path: Path) -> TensorFile:
        """Read and check the header. Raises ``InvalidInput`` for any other or broken file."""
        regular_file(path)
        try:
            with path.open("rb") as file:
                (size,) = struct.unpack("<Q", file.read(8))
                if size > _LARGEST_HEADER:
                    raise ValueError(f"a header of {size} bytes")
                header = json_value(file.read(size))
            if not isinstance(header, dict):
                raise ValueError("a header that is no table")
            with safe_open(path, framework="numpy") as checked:
                metadata = dict(checked.metadata() or {})
        except (SafetensorError, OSError, struct.error, ValueError, MemoryError) as error:
            why = printable(str(error), 120) or "a broken file"
            raise InvalidInput(
                f"{path}: a complete safetensors file needed, got {why}; "
                "download or export it again (pickles are never read)."
            ) from None
        shapes: dict[str, tuple[int, ...]] = {}
        entries: dict[str, tuple[str, int, int]] = {}
        for name, entry in header.items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                shapes[name] = tuple(entry["shape"])
                entries[name] = (entry["dtype"], 8 + size + first, last - first)
        return cls(path, metadata, shapes, entries)

    def _stored(self, name: str) -> Array:
        dtype, start, length = self._entries[name]
        if dtype not in _DTYPES:
            raise InvalidInput(
                f"{self.path}, {name}: one of {', '.join(_DTYPES)} needed, got {dtype}; "
                "convert the file to float32."
            )
        with self.path.open("rb") as file:
            file.seek(start)
            raw = file.read(length)
        kind = np.dtype(_DTYPES[dtype])
        if len(raw) != length or length != kind.itemsize * prod(self.shapes[name]):
            raise InvalidInput(
                f"{self.path}, {name}: {length} bytes needed, got {len(raw)}; "
                "the file changed while it was read."
            )
        array = np.frombuffer(raw, dtype=kind)
        if dtype == "BF16":
            # A bfloat16 is the upper half of a float32.
            array = (array.astype(np.uint32) << 16).view(np.float32)
        return array.reshape(self.shapes[name])
