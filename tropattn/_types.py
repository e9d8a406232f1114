"""Names of types that many modules share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Floats"]

Array = NDArray[Any]
"""Numbers of any kind: doubles, or Python integers and fractions in an object array."""

Floats = NDArray[np.float64]
"""Doubles."""
