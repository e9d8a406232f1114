"""Closed-form upper bounds: ``layer`` for one layer (T6, T7), ``depth`` for a network (T14)."""

from __future__ import annotations

from tropattn.regions.depth_bounds import depth
from tropattn.regions.layer_bounds import layer

__all__ = ["depth", "layer"]
