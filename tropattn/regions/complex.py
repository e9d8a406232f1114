"""``RegionComplex``: the cells themselves, each with its routing pattern and a witness point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.errors import InvalidInput
from tropattn.tropical.stage import RoutingStage
from tropattn.tropical.terms import AffineMap

__all__ = ["RegionComplex"]


@dataclass(frozen=True, slots=True, eq=False)
class RegionComplex:
    """All routing cells of one stage on a domain.

    Attributes
    ----------
    patterns : (R, H) int32, row i the winning key of each head in cell i (the smallest index of
        equal keys), in lexicographic order.
    witnesses : (R, d) doubles in ambient coordinates, one point of each open cell (rounded: in a
        cell thinner than the spacing of doubles it is the nearest point that they can name).
    domain : in words; stats : the work done.
    """

    patterns: NDArray[np.int32]
    witnesses: NDArray[np.float64]
    domain: str
    stage: RoutingStage
    stats: dict[str, Any]

    def __len__(self) -> int:
        return len(self.patterns)

    def maps(self) -> list[AffineMap]:
        """The affine map that each cell applies to the state, in the order of ``patterns``."""
        if self.stage.maps is None:
            raise InvalidInput(
                "maps: a FixedLayer or Network needed, got bare polynomials, which route but map "
                "nothing; enumerate the layer instead of its heads."
            )
        return [self.stage.maps(pattern.tolist()) for pattern in self.patterns]
