"""Normal fans: the directions sorted by the face that they maximise (theory T3, T5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tropattn.values import Value, counted

__all__ = ["NormalFan"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NormalFan(Value):
    """The cones of directions ``u`` in which one face of a polyhedron is highest.

    Attributes
    ----------
    rays : (F, d) primitive integer outer normals of the facets (modulo the lineality space).
    cones : a tuple per vertex: the rays of its normal cone, ascending.
    lineality : (k, d) integer basis of the directions that are constant on the polyhedron.
    complete : the cones cover the space (they do for polytopes, not for upper hulls).
    """

    rays: NDArray[np.object_]
    cones: tuple[tuple[int, ...], ...]
    lineality: NDArray[np.object_]
    complete: bool

    def __repr__(self) -> str:
        cones, rays = counted(len(self.cones), "cone"), counted(len(self.rays), "ray")
        return f"NormalFan({cones}, {rays} in R^{self.dim})"

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return self.rays.shape[1]

    @property
    def simplicial(self) -> bool:
        """Whether all cones, modulo lineality, have as many rays as dimensions.

        >>> rays = np.array([[1], [-1]], dtype=object)
        >>> NormalFan(rays, ((0,), (1,)), np.zeros((0, 1), dtype=object), True).simplicial
        True
        """
        size = self.dim - len(self.lineality)
        return all(len(cone) == size for cone in self.cones)
