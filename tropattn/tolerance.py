"""The rounding bounds behind every float decision: proven ones, never tuned ones.

A float computation decides something here only when its result is larger than the error that it
can possibly carry; what is smaller goes to rational arithmetic. Hence there is no tolerance to
choose, only the two constants of double precision and the bounds built from them.
"""

from __future__ import annotations

__all__ = ["TINY", "UNIT", "gamma"]

UNIT = 2.0**-53
"""Unit roundoff of double precision: ``|fl(a op b) - (a op b)| <= UNIT * |a op b|``."""

TINY = 2.0**-1022
"""Smallest normal double; added where a product of small numbers may underflow."""


def gamma(n: int) -> float:
    """Bound the relative error of ``n`` rounded operations, ``n u / (1 - n u)``, rounded up.

    Source: Higham (2002), *Accuracy and Stability of Numerical Algorithms*, Lemma 3.1.

    >>> gamma(1) >= UNIT
    True
    """
    return 1.0000001 * n * UNIT / (1.0 - n * UNIT)
