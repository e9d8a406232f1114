"""Closed-form upper bounds: ``layer`` for one layer (T6, T7), ``depth`` for a network (T14)."""

from __future__ import annotations

from tropattn.regions.bounds.layer import layer
from tropattn.regions.bounds.networks import depth

__all__ = ["depth", "layer"]
