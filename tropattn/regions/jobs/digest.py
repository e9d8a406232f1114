"""A digest of what is counted: equal exactly for the same numbers in the same places."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from tropattn.values import Value

__all__ = ["digest_of"]


def digest_of(*parts: Any) -> str:
    """SHA-256 of values: numbers, words, arrays, values of this package, and lists of these.

    Doubles count as they are, bit for bit; what only tells of the work (fields that equality leaves
    out) does not count. Cost: one pass through the numbers.

    >>> digest_of(np.eye(2)) == digest_of(np.eye(2)), digest_of(1) == digest_of(1.0)
    (True, False)
    """
    seen = hashlib.sha256()
    _feed(seen, parts)
    return seen.hexdigest()


def _feed(seen: Any, part: Any) -> None:
    if isinstance(part, np.ndarray):
        seen.update(f"array {part.dtype.str} {part.shape};".encode())
        if part.dtype == object:
            _feed(seen, part.ravel().tolist())
        else:
            seen.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(part, Value):
        _feed_named(seen, part, [name for name, counts in part._contents() if counts])
    elif is_dataclass(part) and not isinstance(part, type):
        _feed_named(seen, part, [entry.name for entry in fields(part) if entry.compare])
    elif isinstance(part, Mapping):
        _feed(seen, [*part.items()])
    elif isinstance(part, tuple | list):
        seen.update(f"list {len(part)};".encode())
        for entry in part:
            _feed(seen, entry)
    else:
        seen.update(f"{type(part).__name__} {part!r};".encode())


def _feed_named(seen: Any, part: Any, names: list[str]) -> None:
    seen.update(f"{type(part).__name__} {len(names)};".encode())
    for name in names:
        _feed(seen, getattr(part, name))
