"""Padding: tokens that fill a context up to a length, and the mask that says which they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.attention.heads.linear import loose
from tropattn.errors import InvalidInput
from tropattn.values import Value

__all__ = ["Padding", "read_mask"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Padding(Value):
    """The id that fills up contexts.

    Attributes
    ----------
    token : the id.
    position : (e,) what padding gets in place of a learned position, while the other tokens are
        counted without it (RoBERTa); None where all tokens are counted alike.
    refused : whether a mask that leaves tokens out is refused: positions follow it in the
        reference (OPT, BLOOM).
    """

    token: int
    position: Array | None = None
    refused: bool = False

    @classmethod
    def of(cls, token: int | None) -> Padding | None:
        """The padding of a model that counts all tokens alike, None without such a token."""
        return None if token is None else cls(token)

    def refuse(self, ids: NDArray[np.int64]) -> None:
        """Raise ``InvalidInput`` where ids without a mask hold the token.

        >>> Padding(0).refuse(np.array([3, 0]))     # doctest: +ELLIPSIS
        Traceback (most recent call last):
        tropattn.errors.InvalidInput: mask: 1 for each token that counts and 0 for padding ...
        """
        for place in np.flatnonzero(ids == self.token)[:1]:
            raise InvalidInput(
                "mask: 1 for each token that counts and 0 for padding needed, since ids hold the "
                f"padding token {self.token} at place {place}, got none; give all ones where it "
                "is no padding."
            )

    def positions(self, ids: NDArray[np.int64], table: Array) -> Array:
        """Return the positions of the tokens, (n, e), out of the table (max_length, e).

        >>> table = np.array([[10.0], [20.0], [30.0]])
        >>> Padding(0, np.array([7.0])).positions(np.array([0, 5, 0, 6]), table).ravel().tolist()
        [7.0, 10.0, 7.0, 20.0]
        """
        if self.position is None:
            return table[: len(ids)]
        real = ids != self.token
        rows = table[np.maximum(np.cumsum(real) - 1, 0)]
        return np.where(real[:, None], rows, self.position)


def read_mask(mask: Any, n_tokens: int) -> NDArray[np.bool_] | None:
    """Read an attention mask (n,), 1 or True for a token that counts, None for none.

    Also a string such as "1,1,0". A mask that keeps all tokens is none. Raises ``InvalidInput``
    for another length, other values, or no token left.

    >>> read_mask("0,1", 2).tolist(), read_mask([1, 1], 2)
    ([False, True], None)
    """
    if mask is None:
        return None
    given = mask
    if isinstance(mask, str):
        given = [{"0": 0, "1": 1}.get(part.strip(), 2) for part in mask.split(",")]
    flags = loose(given)
    good = flags.dtype.kind in "biu" and flags.shape == (n_tokens,)
    if not good or not np.isin(flags, (0, 1)).all():
        raise InvalidInput(
            f"mask: {n_tokens} numbers 0 or 1 needed, one a token, 1 for a token that counts and "
            f"0 for padding, got {str(mask)[:60]!r}; leave it out where no token is padding."
        )
    kept = flags.astype(bool)
    if not kept.any():
        raise InvalidInput(
            "mask: at least one token that counts needed, got zeros only; a context of padding "
            "has no key."
        )
    return None if kept.all() else kept
