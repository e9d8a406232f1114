"""Heads and networks that attain the bounds."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import combinations

import flint
import numpy as np
from numpy.typing import NDArray

from tropattn.arrays import is_whole, listed
from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.heads.head import AttentionHead
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.networks.feedforward import Affine, FeedForward
from tropattn.attention.networks.network import Network
from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["digit_transformer", "parabola_strips", "sawtooth_transformer"]

_LARGEST = 2**16


def __dir__() -> list[str]:
    return sorted(__all__)


def parabola_strips(
    n_terms: Sequence[int], dim: int, central: bool = False
) -> list[TropicalPolynomial]:
    """Heads ``max_t t <u_i, x> - t^2 / 2`` that attain T6, or homogenised ones that attain T7.

    Parameters
    ----------
    n_terms : keys ``N_i`` of each head; ``t`` runs over ``0..N_i - 1``.
    dim : dimension d; the directions ``u_i`` are integer vectors in general position.
    central : homogenise: strips in ``R^{d-1}`` with the intercept as slope of the last coordinate.

    All numbers are doubled, so they are integers and exact. Source: theory T6, T7.

    >>> f, = parabola_strips([3], 1)
    >>> f.slopes.ravel().tolist(), f.intercepts.tolist()
    ([0.0, 2.0, 4.0], [0.0, -1.0, -4.0])
    """
    counts = listed("n_terms", n_terms, "give the keys of each head, e.g. [3, 3]")
    if not all(map(is_whole, counts)):
        raise InvalidInput(f"n_terms: integers needed, got {str(counts)[:80]}; e.g. [3, 3].")
    counts = [int(n) for n in counts]
    if not is_whole(dim) or dim > _LARGEST:
        raise InvalidInput(f"dim: an integer up to {_LARGEST} needed, got {dim!r}.")
    space = dim - 1 if central else dim
    if not counts or min(counts) < 1:
        raise InvalidInput(f"n_terms: at least 1 key a head needed, got {counts}.")
    if space < 1:
        raise InvalidInput(
            f"dim: at least {2 if central else 1} needed, got {dim}; "
            "homogenised strips use one dimension for the intercept."
        )
    heads = []
    for count, direction in zip(counts, _directions(counts, space), strict=True):
        steps = np.arange(count, dtype=np.float64)
        slopes = 2.0 * steps[:, None] * direction[None, :]
        if central:
            heads.append(TropicalPolynomial(np.column_stack([slopes, 0.0 - steps**2])))
        else:
            heads.append(TropicalPolynomial(slopes, 0.0 - steps**2))
    return heads


def _directions(counts: Sequence[int], dim: int) -> list[NDArray[np.float64]]:
    """The axes, then integer directions such that no point lies on walls of dim + 1 heads.

    Walls of head i are ``<u_i, x> = t - 1/2``. Candidates come from a fixed stream of growing size;
    the condition is checked in integers against every choice of dim earlier heads.
    """
    chosen = [[int(i == k) for k in range(dim)] for i in range(min(dim, len(counts)))]
    stream = np.random.Generator(np.random.Philox(1))
    tries = 0
    while len(chosen) < len(counts):
        tries += 1
        size = 2 + tries // 8
        candidate = stream.integers(-size, size + 1, dim).tolist()
        if all(
            _generic([*(chosen[h] for h in others), candidate], [*(counts[h] for h in others), n])
            for n in [counts[len(chosen)]]
            for others in combinations(range(len(chosen)), dim)
        ):
            chosen.append(candidate)
    return [np.array(row, dtype=np.float64) for row in chosen]


def _generic(rows: list[list[int]], counts: list[int]) -> bool:
    """Whether dim + 1 heads have no point on walls of all, and any dim directions are independent.

    The one relation ``sum_i m_i u_i = 0`` (maximal minors) must not be met by the offsets
    ``2 t_i - 1``; sums over the two halves of the heads are compared as sets.
    """
    minors = [
        (-1) ** out * int(flint.fmpz_mat(rows[:out] + rows[out + 1 :]).det())
        for out in range(len(rows))
    ]
    if 0 in minors:
        return False
    half = len(rows) // 2
    left, right = {0}, {0}
    for i, (minor, count) in enumerate(zip(minors, counts, strict=True)):
        offsets = [minor * (2 * t - 1) for t in range(1, count)]
        if i < half:
            left = {s + o for s in left for o in offsets}
        else:
            right = {s - o for s in right for o in offsets}
    return left.isdisjoint(right)


def digit_transformer(n_keys: int, dim: int, depth: int) -> Network:
    """Attention layers that read and remove one base-N digit of every coordinate (theory T15).

    Parameters
    ----------
    n_keys : keys ``N >= 2`` of each head.
    dim : dimension ``d`` of the state, and the number of heads in each layer; head ``i`` reads and
        writes coordinate ``i``.
    depth : number of layers ``L``.

    Returns
    -------
    Network
        Exactly ``N^{dL}`` routing cells on R^d, all with different maps; this equals the bound of
        T14. The state is ``N^L`` times the number whose digits are read, so all data are integers.

    Raises
    ------
    InvalidInput : fewer than two keys, or no dimension or layer.

    Notes
    -----
    In layer ``l`` key ``j`` has score ``j x_i - N^{L-l} j(j+1)/2`` and value ``-j N^{L-l} e_i``.
    Every layer is an ``AttentionLayer`` with the tokens ``(j, ..., j)`` as its context and a
    position bias.

    >>> net = digit_transformer(10, 1, 2)
    >>> net.routing([[73.5], [40.5]]).tolist(), net([73.5]).tolist()
    ([[7, 3], [4, 0]], [0.5])
    """
    n_keys, dim, depth = _sizes(n_keys=(n_keys, 2), dim=(dim, 1), depth=(depth, 1))
    return Network([_digit_layer(n_keys, dim, n_keys ** (depth - 1 - at)) for at in range(depth)])


def sawtooth_transformer(n_keys: int, teeth: int, dim: int, depth: int) -> Network:
    """Grid attention, then a ReLU sawtooth in every coordinate, again and again (theory T15).

    Parameters
    ----------
    n_keys : keys ``N >= 1`` of each head; they cut every coordinate into ``N`` equal parts.
    teeth : teeth ``w >= 1`` of the sawtooth on each part.
    dim, depth : dimension ``d`` and number of blocks ``L``.

    Returns
    -------
    Network
        Exactly ``(2 w N)^{dL}`` linear regions on ``[0, 1]^d``.

    Raises
    ------
    InvalidInput : a size below its minimum.

    Notes
    -----
    A block maps ``[0, 1]`` to itself, ``2 w N`` times onto: ``y = N x``, attention to ``y - j`` for
    ``y`` in ``(j, j + 1)``, then ``t -> relu(2wt) + 2 sum_m (-1)^m relu(2wt - m)``. All data are
    integers. After Su and Liu (2026), arXiv 2604.14727, Theorem V.7.

    >>> net = sawtooth_transformer(2, 1, 1, 1)
    >>> net([[0.0], [0.125], [0.375], [0.625]]).ravel().tolist()
    [0.0, 0.5, 0.5, 0.5]
    """
    n_keys, teeth, dim, depth = _sizes(
        n_keys=(n_keys, 1), teeth=(teeth, 1), dim=(dim, 1), depth=(depth, 1)
    )
    eye = np.eye(dim)
    grow = Affine(n_keys * eye)
    grid = _digit_layer(n_keys, dim, 1)
    # Hidden unit (i, m) reads coordinate i and bends at m / 2w.
    first = np.repeat(2.0 * teeth * eye, 2 * teeth, axis=1)
    bends = -np.tile(np.arange(2.0 * teeth), dim)
    heights = np.array([1.0, *(2.0 * (-1) ** m for m in range(1, 2 * teeth))])
    second = np.kron(eye, heights[:, None])
    saw = FeedForward(first, bends, second, residual=False)
    return Network([grow, grid, saw] * depth)


def _digit_layer(n_keys: int, dim: int, place: int) -> FixedLayer:
    """Attention that subtracts ``j * place`` where ``x_i`` is in ``(j, j + 1) * place``."""
    exact = n_keys**2 * place >= 2**53
    kind = object if exact else np.float64
    axes = np.array([[int(i == k) for k in range(dim)] for i in range(dim)], dtype=kind)
    heads = [
        AttentionHead(axis[:, None], axis[:, None], axis[:, None], -place * axis[None, :], scale=1)
        for axis in axes
    ]
    steps = list(range(n_keys))
    tokens = np.array([[j] * dim for j in steps], dtype=kind)
    bias = np.array([-place * (j * (j + 1) // 2) for j in steps], dtype=kind)
    return AttentionLayer(heads).fix(tokens, bias=bias, own_key="frozen")


def _sizes(**given: tuple[int, int]) -> list[int]:
    """Read the sizes, each with its minimum."""
    out = []
    for name, (value, least) in given.items():
        try:
            number = operator.index(value)
        except TypeError:
            number = least - 1
        if number > _LARGEST:
            raise InvalidInput(f"{name}: an integer up to {_LARGEST} needed, got {value}.")
        if number < least:
            raise InvalidInput(
                f"{name}: an integer >= {least} needed, got {value!r}; there is nothing to build."
            )
        out.append(number)
    return out
