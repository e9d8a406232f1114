"""Normalisations of states, row by row: what enters a head lies on an ellipsoid (theory T12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, freeze
from tropattn.attention.heads.head import read_states
from tropattn.attention.heads.linear import read_vector, row_products, shared
from tropattn.errors import InvalidInput
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value

__all__ = ["LayerNorm", "Norm", "RMSNorm", "frozen"]


class Norm(Value):
    """What both norms share: ``x -> weight * (x [- mean]) / size [+ bias]``."""

    __slots__ = ()
    weight: Array
    eps: float
    centred: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """Dimension ``d``."""
        return len(self.weight)

    @property
    def shift(self) -> Array:
        """The centre of the ellipsoid, (d,)."""
        return freeze(np.zeros(self.width))

    def __call__(self, states: Any) -> NDArray[np.float64]:
        """Normalise each row of ``states`` (N, d); each row's result depends on that row alone."""
        rows = read_states(states, self.width).astype(np.float64)
        rows = rows - _row_means(rows) if self.centred else rows
        scaled = self.weight.astype(np.float64) * _scaled(rows, self.eps)
        return scaled + self.shift.astype(np.float64) if self.centred else scaled


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class RMSNorm(Norm):
    """The map ``x -> weight * x / sqrt(mean(x_i^2) + eps)``.

    ``weight`` (d,), ``eps`` a number >= 0. Raises ``InvalidInput`` otherwise. Cost ``O(N d)``.

    References
    ----------
    Zhang, Sennrich (2019), *Root Mean Square Layer Normalization*, arXiv 1910.07467, equation (4).

    Examples
    --------
    >>> RMSNorm([1, 2], eps=0)([[3.0, 3.0]]).tolist()
    [[1.0, 2.0]]
    """

    weight: Array
    eps: float

    def __init__(self, weight: Any, eps: float = 1e-6) -> None:
        object.__setattr__(self, "weight", shared("weight", weight, 1, shape="(d,)"))
        object.__setattr__(self, "eps", _read_eps(eps))


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class LayerNorm(Norm):
    """The map ``x -> weight * (x - mean) / sqrt(variance + eps) + bias``.

    ``weight`` and ``bias`` (d,), ``eps`` a number >= 0. Raises ``InvalidInput`` otherwise. Cost
    ``O(N d)``.

    References
    ----------
    Ba, Kiros, Hinton (2016), *Layer Normalization*, arXiv 1607.06450, equations (3) and (4).

    Examples
    --------
    >>> LayerNorm([1, 2], [0, 5], eps=0)([[4.0, 2.0]]).tolist()     # mean 3, deviation 1
    [[1.0, 3.0]]
    """

    weight: Array
    bias: Array
    eps: float
    centred: ClassVar[bool] = True

    def __init__(self, weight: Any, bias: Any = None, eps: float = 1e-5) -> None:
        object.__setattr__(self, "weight", shared("weight", weight, 1, shape="(d,)"))
        width = len(self.weight)
        object.__setattr__(
            self, "bias", read_vector("bias", bias, width, why="one a coordinate, as weight")
        )
        object.__setattr__(self, "eps", _read_eps(eps))

    @property
    def shift(self) -> Array:
        """The centre of the ellipsoid, (d,)."""
        return self.bias


def frozen(norm: Norm, rows: Array) -> tuple[AffineMap, ...]:
    """The norm with its scale frozen at each row: ``x -> weight (x - mean) / s + bias`` (T12).

    The doubles of these affine maps, one per row of ``rows`` (N, d), are their data.

    >>> step, = frozen(LayerNorm([1, 2], [0, 5], eps=0), np.array([[4.0, 2.0]]))
    >>> (np.array([4.0, 2.0]) @ step.matrix + step.offset).tolist()
    [1.0, 3.0]
    """
    width = norm.width
    weight, shift = norm.weight.astype(np.float64), norm.shift.astype(np.float64)
    centring = np.eye(width) - (1 / width if norm.centred else 0.0)
    maps = []
    for row in rows.astype(np.float64):
        size = np.sqrt(np.mean((row @ centring) ** 2) + norm.eps)
        maps.append(AffineMap(freeze(centring * (weight / size)), shift))
    return tuple(maps)


def _read_eps(eps: Any) -> float:
    number = as_array("eps", eps, 0, shape="one number").item()
    if number < 0:
        raise InvalidInput(f"eps: a number >= 0 needed, got {eps}; 1e-6 is usual.")
    return float(number)


def _row_means(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    # Summed in the order of the index, so that a row's mean depends on that row alone.
    return row_products("states", rows, np.ones((rows.shape[1], 1))) / rows.shape[1]


def _scaled(rows: NDArray[np.float64], eps: float) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        squares = rows * rows
    size = np.sqrt(_row_means(squares) + eps)
    if not size.all():
        raise InvalidInput(
            "states: rows other than 0 needed under a norm with eps 0, got a zero row; "
            "give eps > 0."
        )
    return rows / size
