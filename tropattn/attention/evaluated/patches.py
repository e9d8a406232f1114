"""Images as sequences of states: what stands where a text model has its embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array
from tropattn.errors import InvalidInput
from tropattn.values import Value

__all__ = ["Patches"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Patches(Value):
    """Image to tokens: a class token and one affine image of every square patch (ViT).

    Parameters
    ----------
    weight : (d, channels, p, p) and bias (d,), applied to each patch.
    first : (d,), the class token, which comes first, or (k, d), k of them.
    size : (height, width) of the images, multiples of ``p``.

    References
    ----------
    Dosovitskiy et al. (2021), *An Image is Worth 16x16 Words*, arXiv 2010.11929, equation (1).

    >>> patches = Patches(np.ones((1, 1, 1, 1)), np.zeros(1), np.array([9.0]), (1, 2))
    >>> patches(np.array([[[3.0, 4.0]]])).tolist()
    [[9.0], [3.0], [4.0]]
    """

    weight: Array
    bias: Array
    first: Array
    size: tuple[int, int]

    def __call__(self, image: Any) -> NDArray[np.float64]:
        """Return the states of an image (channels, height, width), (k + patches, d)."""
        d, channels, p, _ = self.weight.shape
        shape = (channels, *self.size)
        pixels = as_array("image", image, 3, shape=str(shape)).astype(np.float64)
        if pixels.shape != shape:
            raise InvalidInput(
                f"image: shape {shape} needed, (channels, height, width) as trained, got "
                f"{pixels.shape}; resize it."
            )
        rows, columns = self.size[0] // p, self.size[1] // p
        cut = pixels.reshape(channels, rows, p, columns, p).transpose(1, 3, 0, 2, 4)
        flat = cut.reshape(rows * columns, channels * p * p)
        return np.vstack([self.first, flat @ self.weight.reshape(d, -1).T + self.bias])
