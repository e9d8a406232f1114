"""Files to write: whether they can be written is found out before the work, not after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tropattn.errors import InvalidInput

__all__ = ["FIGURES", "output_path"]

FIGURES = (".png", ".svg", ".pdf")
"""Endings of figures."""


def output_path(path: Any, argument: str = "output", endings: Sequence[str] = ()) -> Path:
    """Return the path of a file that can be written, or raise ``InvalidInput``.

    Parameters
    ----------
    path : the file; nothing is written. argument : its name in the error message.
    endings : the suffixes allowed, or none for any.

    >>> output_path("chart.svg", endings=FIGURES)
    PosixPath('chart.svg')
    """
    try:
        place = Path(path)
        folder = place.parent.is_dir()
    except (TypeError, ValueError, OSError):
        raise InvalidInput(
            f"{argument}: the path of a file needed, got {str(path)[:200]!r}; choose another path."
        ) from None
    if endings and place.suffix.lower() not in endings:
        raise InvalidInput(
            f"{argument}: a file ending in {', '.join(endings)} needed, got {place.name!r}; "
            "rename it."
        )
    if not folder:
        raise InvalidInput(
            f"{argument}: a file in a writable folder needed, got {place} where there is no folder "
            f"{place.parent}; make it or choose another path."
        )
    if place.is_dir() or not os.access(place.parent, os.W_OK):
        why = "which is a folder" if place.is_dir() else f"but {place.parent} is read-only"
        raise InvalidInput(
            f"{argument}: a file in a writable folder needed, got {place}, {why}; choose another "
            "path."
        )
    return place
