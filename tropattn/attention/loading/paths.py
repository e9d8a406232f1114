"""Which file a path given by the user stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tropattn.attention.loading.safetensor import named
from tropattn.errors import InvalidInput

__all__ = ["existing_path", "weights_file"]


def existing_path(path: Any) -> Path:
    """Return the path of a file or folder that exists, or raise ``InvalidInput``.

    >>> existing_path(".")
    PosixPath('.')
    """
    try:
        place = Path(path)
        found = place.exists()
    except (TypeError, ValueError, OSError):
        place, found = None, False
    if place is None or not found:
        raise InvalidInput(
            f"path: an existing file or folder needed, got {str(path)[:200]!r}; check the spelling."
        )
    return place


def weights_file(place: Path) -> Path:
    """Return the one safetensors file that a path stands for, or raise ``InvalidInput``."""
    if place.is_dir():
        try:
            names = sorted(entry.name for entry in place.iterdir())
        except OSError as error:
            raise InvalidInput(
                f"{place}: a readable folder needed, got {error.strerror}; check its permissions."
            ) from None
        files = [name for name in names if name.endswith(".safetensors")]
        if "model.safetensors" in files:
            return place / "model.safetensors"
        if len(files) == 1 and "model.safetensors.index.json" not in names:
            return place / files[0]
        if len(files) > 1:
            raise InvalidInput(
                f"{place}: one safetensors file needed, got {named(files)}; "
                "name one of them, or join the parts of a split model."
            )
        found = "no files" if not names else named(names)
        raise InvalidInput(
            f"{place}: a folder with model.safetensors needed, got {found}; "
            "export the weights as safetensors."
        )
    if place.suffix == ".npz":
        raise InvalidInput(
            f"{place}: a .safetensors file needed for a model, got .npz; "
            "load_polynomials reads slopes and intercepts."
        )
    if place.suffix != ".safetensors":
        raise InvalidInput(
            f"{place}: a .safetensors file or a folder with one needed, got "
            f"{place.suffix or 'no suffix'}; export the weights as safetensors (pickles are never "
            "read)."
        )
    return place
