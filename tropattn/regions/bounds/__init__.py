"""Closed-form upper bounds: ``layer`` for one layer (T6, T7), ``depth`` for a network (T14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tropattn.regions.bounds.layer import layer

if TYPE_CHECKING:
    from tropattn.regions.bounds.networks import depth

__all__ = ["depth", "layer"]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    # A bound from numbers alone needs nothing of what networks are made of.
    if name == "depth":
        from tropattn.regions.bounds import networks

        return networks.depth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
