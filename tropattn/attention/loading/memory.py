"""Tensors that torch holds: ``.bin`` files, read as tensors only, and modules in memory.

Only this module and ``modules`` import torch, and only when they are called.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.attention.loading.tensors import Tensors
from tropattn.errors import InvalidInput
from tropattn.files import regular_file

__all__ = ["Memory", "import_torch"]

_PLAIN = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8"]
"""Types of numbers that NumPy has too."""


def import_torch(what: str) -> Any:
    """Return the module torch, or raise ``InvalidInput`` that says what to install."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise InvalidInput(
            f"{what}: the package torch needed to read it, got none installed; "
            "pip install 'tropattn[torch]', or use the model's safetensors file."
        ) from None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Memory(Tensors):
    """Named torch tensors."""

    _tensors: dict[str, Any]

    @classmethod
    def of(cls, where: str | Path, tensors: dict[str, Any]) -> Memory:
        """Wrap a state dictionary; entries that are no tensors raise ``InvalidInput``."""
        torch = import_torch(str(where))
        for name, value in tensors.items():
            if not isinstance(name, str) or not isinstance(value, torch.Tensor):
                raise InvalidInput(
                    f"{where}: tensors by name needed, got {type(value).__name__} under "
                    f"{str(name)[:60]!r}; save the model's state_dict() alone."
                )
        shapes = {name: tuple(int(n) for n in value.shape) for name, value in tensors.items()}
        return cls(Path(where), {}, shapes, dict(tensors))

    @classmethod
    def open(cls, path: Path) -> Memory:
        """Read a ``.bin`` file with torch's tensors-only loader, which runs no foreign code.

        Raises ``InvalidInput`` for a damaged file, or one with anything but tensors in it.
        """
        regular_file(path)
        torch = import_torch(str(path))
        with path.open("rb") as file:
            start = file.read(2)
        try:
            if start != b"PK" and start[:1] != b"\x80":
                raise ValueError("neither an archive nor a pickle")
            found = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # noqa: BLE001 (damaged files raise whatever they reach)
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InvalidInput(
                f"{path}: a file of tensors only needed, got {first[:120]}; "
                "download it again, or use the model's safetensors file."
            ) from None
        if not isinstance(found, dict):
            raise InvalidInput(
                f"{path}: tensors by name needed, got {type(found).__name__}; "
                "save the model's state_dict() alone."
            )
        return cls.of(path, found)

    def _stored(self, name: str) -> NDArray[Any]:
        torch = import_torch(str(self.path))
        tensor = self._tensors[name].detach()
        dtype = tensor.dtype
        if tensor.device.type == "meta" or tensor.layout != torch.strided:
            raise InvalidInput(
                f"{self.path}, {name}: a dense tensor with its numbers in memory needed, got "
                f"{tensor.layout} on {tensor.device}; load the weights first."
            )
        if dtype == torch.bfloat16:
            tensor = tensor.to(torch.float32)
        elif str(dtype).removeprefix("torch.") not in _PLAIN:
            raise InvalidInput(
                f"{self.path}, {name}: float or integer numbers needed, got {dtype}; quantised "
                "models are not read, use the weights in half or single precision."
            )
        return np.array(tensor.cpu().numpy())
