"""A model split over several safetensors files, joined by ``model.safetensors.index.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tropattn.attention.loading.safetensor import TensorFile
from tropattn.attention.loading.tensors import Tensors
from tropattn.errors import InvalidInput
from tropattn.files import read_json

__all__ = ["INDEX", "Shards"]

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Shards(Tensors):
    """Tensors of several files; open with ``Shards.open(path of the index)``."""

    _files: dict[str, TensorFile]

    @classmethod
    def open(cls, index: Path) -> Shards:
        """Read the index and the header of every part.

        Raises ``InvalidInput`` for a damaged index, a part that is missing or lies elsewhere, and
        a part without the tensors that the index puts there.
        """
        listed = (read_json(index) or {}).get("weight_map")
        if not isinstance(listed, dict) or not listed:
            raise InvalidInput(
                f"{index}: a JSON object weight_map, tensor to file, needed, got "
                f"{type(listed).__name__}; restore the file that came with the weights."
            )
        parts: dict[str, TensorFile] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        files: dict[str, TensorFile] = {}
        for tensor, name in listed.items():
            place = _part(index, name)
            if name not in parts:
                parts[name] = TensorFile.open(place)
            if tensor not in parts[name].shapes:
                raise InvalidInput(
                    f"{index}: tensor {tensor} in {name} needed, got a part without it; "
                    "the parts of the model do not belong together."
                )
            shapes[tensor], files[tensor] = parts[name].shapes[tensor], parts[name]
        return cls(index, {}, shapes, files)

    def _stored(self, name: str) -> NDArray[Any]:
        return self._files[name]._stored(name)


def _part(index: Path, name: Any) -> Path:
    # A name with folders in it could reach files outside the model's own folder.
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise InvalidInput(
            f"{index}: names of safetensors files in the same folder needed, got "
            f"{str(name)[:60]!r}; restore the file that came with the weights."
        )
    place = index.parent / name
    if not place.is_file():
        raise InvalidInput(
            f"{index}: the part {name} needed beside it, got none; download the missing part."
        )
    return place
