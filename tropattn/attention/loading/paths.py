"""Which file a path given by the user stands for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tropattn.attention.loading.ggufs import GgufFile
from tropattn.attention.loading.memory import Memory
from tropattn.attention.loading.safetensor import TensorFile
from tropattn.attention.loading.shards import INDEX, Shards
from tropattn.attention.loading.tensors import Tensors
from tropattn.errors import InvalidInput
from tropattn.files import named

__all__ = ["files_read", "open_tensors", "weights_file"]

_TORCH = "pytorch_model.bin"
_BESIDE = ("config.json", "vocab.txt", "vocab.json", "tokenizer.json", "tokenizer_config.json")


def open_tensors(place: Path) -> Tensors:
    """Open the weights that a path stands for: one file, the parts of a split model, or a ``.bin``.

    Raises ``InvalidInput`` for anything else, and for a ``.bin`` where torch is not installed.
    """
    path = weights_file(place)
    if path.suffix == ".gguf":
        return GgufFile.open(path)
    if path.suffix == ".json":
        return Shards.open(path)
    return Memory.open(path) if path.suffix == ".bin" else TensorFile.open(path)


def weights_file(place: Path) -> Path:
    """Return the one file that a path stands for, or raise ``InvalidInput``.

    In a folder ``model.safetensors`` comes first, then the index of a split model, a single other
    safetensors file, and ``pytorch_model.bin``.
    """
    if place.is_dir():
        return _in_folder(place)
    if place.suffix == ".npz":
        raise InvalidInput(
            f"{place}: a .safetensors file needed for a model, got .npz; "
            "load_polynomials reads slopes and intercepts."
        )
    if place.suffix not in (".safetensors", ".bin", ".gguf") and place.name != INDEX:
        raise InvalidInput(
            f"{place}: a .safetensors or .bin file, {INDEX} or a folder with one needed, got "
            f"{place.suffix or 'no suffix'}; export the weights as safetensors."
        )
    return place


def _in_folder(place: Path) -> Path:
    try:
        names = sorted(entry.name for entry in place.iterdir())
    except OSError as error:
        raise InvalidInput(
            f"{place}: a readable folder needed, got {error.strerror}; check its permissions."
        ) from None
    files = [name for name in names if name.endswith(".safetensors")]
    quantised = [name for name in names if name.endswith(".gguf")]
    if len(quantised) == 1 and not files and _TORCH not in names and INDEX not in names:
        return place / quantised[0]
    for name in ("model.safetensors", INDEX):
        if name in names:
            return place / name
    if len(files) > 1:
        raise InvalidInput(
            f"{place}: one safetensors file needed, got {named(files)}; name one of them, or add "
            f"the {INDEX} of a split model."
        )
    if files or _TORCH in names:
        return place / (files[0] if files else _TORCH)
    found = "no files" if not names else named(names)
    raise InvalidInput(
        f"{place}: a folder with model.safetensors needed, got {found}; "
        "export the weights as safetensors."
    )


def files_read(path: str | Path) -> list[Path]:
    """Return the files that a path given as weights is read from, those that may lie beside too.

    >>> len(files_read("heads.npz")), Path("net/config.json") in files_read("net/model.safetensors")
    (1, True)
    """
    place = Path(path)
    if place.suffix in (".npz", ".npy", ".csv"):
        return [place]
    names = {*_BESIDE, "model.safetensors", INDEX, _TORCH}
    folder = place.parent
    with suppress(OSError, ValueError):
        folder = place if place.is_dir() else place.parent
        names |= {p.name for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".gguf")}
    return [place, *(folder / name for name in sorted(names))]
