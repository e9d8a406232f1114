"""Terms as points: the slopes ``a_j``, or the lifted ``(a_j, c_j)``, with nothing rounded (T3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import as_fractions, fraction_array, freeze, is_exact, of_kind
from tropattn.tropical.max_affine import MaxAffine

__all__ = ["term_points"]


def term_points(f: MaxAffine, lifted: bool = False) -> NDArray[Any]:
    """``a_j`` as rows (N, d), or ``(a_j, c_j)`` as rows (N, d + 1), exactly.

    Numbers given directly stay as given; products of factors become ``Fraction`` objects, since
    rounded products would have other vertices.

    >>> term_points(MaxAffine([[1], [2]], [0, -1]), lifted=True).tolist()
    [[1.0, 0.0], [2.0, -1.0]]
    """
    of_kind("f", f, MaxAffine, "build one with TropicalPolynomial(slopes, intercepts)")
    slopes, intercepts = f.slopes, f.intercepts
    if f.maps or f.scale != 1:
        exact = fraction_array(f.exact_terms())
        slopes, intercepts = exact[:, :-1], exact[:, -1]
    if not lifted:
        return freeze(np.array(slopes))
    if is_exact(slopes) != is_exact(intercepts):
        slopes, intercepts = as_fractions(slopes), as_fractions(intercepts)
    return freeze(np.column_stack([slopes, intercepts]))
