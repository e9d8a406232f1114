"""What the scaling study counts: heads or networks by family, for N keys, H heads and L layers.

Constructions that attain the bounds, random heads, and trained weights cut down to their first
keys and heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tropattn._types import Array
from tropattn.attention.constructions import digit_transformer, parabola_strips
from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.initialisers import gaussian_heads
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.network import Network, fixed_network
from tropattn.errors import InvalidInput
from tropattn.polyhedra.domain import Domain, Slice
from tropattn.study.inputs import Heads, Source, check_draws, open_heads, scatter
from tropattn.tropical.max_affine import with_terms
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["Case", "Family", "gaussian_network", "of_construction", "of_source", "random_slice"]


_SPREAD = 10.0
"""Draws of the sampler on trained weights, in widths of the context's states."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One thing to count: what ``count_regions`` takes, where, and how to draw states for it."""

    target: Any
    domain: Domain | None
    heads: list[TropicalPolynomial] | None
    draws: Callable[[int], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """Cases as a function of ``(n_heads, n_keys, seed)``.

    Attributes
    ----------
    name, words : short, and for titles.
    dim : dimension of the domain.
    case : builds a case.
    random : whether it depends on the seed.
    n_heads, n_keys : how many there are, None where any number can be built.
    variable : the state that moves.
    """

    name: str
    words: str
    dim: int
    case: Callable[[int, int, int], Case]
    random: bool
    n_heads: int | None = None
    n_keys: int | None = None
    variable: str = "x"


# ---- constructions and random heads -----------------------------------------------------------


def of_construction(name: str, dim: int, depth: int, central: bool) -> Family:
    """A family that can be built for any N: ``strips``, ``gaussian`` or ``digits``.

    Parameters
    ----------
    name : ``strips`` attain T6 or T7 (one layer); ``gaussian`` heads, in ``depth`` layers with
        Gaussian values; ``digits``, the transformer of T15, ``dim`` heads in each of ``depth``
        layers.
    dim, depth, central : as in ``ScalingSpec``.

    Raises
    ------
    InvalidInput : a depth or centre that the family does not have.
    """
    if central and (name == "digits" or depth > 1):
        raise InvalidInput(
            f"central: one layer of strips or gaussian heads needed, got {name} in {depth} layers; "
            "leave it out."
        )
    if name == "strips":
        if depth > 1:
            raise InvalidInput(
                f"depth: 1 needed for strips, got {depth}; digits attain the bound of any depth."
            )

        def strips(n_heads: int, n_keys: int, _: int) -> Case:
            heads = parabola_strips([n_keys] * n_heads, dim, central)
            return Case(heads, None, heads, lambda n: _wide(n, dim, n_keys, central))

        return Family(name, "parabola strips", dim, strips, False)
    if name == "digits":

        def digits(_: int, n_keys: int, __: int) -> Case:
            network = digit_transformer(n_keys, dim, depth)
            size = float(n_keys) ** depth
            return Case(network, None, None, lambda n: size * _normal(n, dim, 0))

        return Family(name, "digit transformer", dim, digits, False, dim)

    def gaussian(n_heads: int, n_keys: int, seed: int) -> Case:
        if depth > 1:
            network = gaussian_network(n_keys, n_heads, dim, depth, seed=seed)
            return Case(network, None, None, lambda _: "gaussian")
        heads = gaussian_heads(n_keys, n_heads, dim, seed=seed, central=central)
        return Case(heads, None, heads, lambda _: "gaussian")

    return Family(name, "Gaussian heads", dim, gaussian, True)


def gaussian_network(n_keys: int, n_heads: int, dim: int, depth: int, *, seed: int) -> Network:
    """Layers of Gaussian heads with Gaussian values and residuals: ``x + sum_h v_h[j_h(x)]``.

    Slopes, intercepts and values are independent standard normals, a function of ``seed`` and
    shape; layer ``l`` does not depend on ``depth``, and layer 0 has the heads of
    ``gaussian_heads``. Raises ``InvalidInput`` for a size below 1.

    >>> a = gaussian_network(3, 2, 2, 1, seed=0)
    >>> b = gaussian_network(3, 2, 2, 2, seed=0)
    >>> bool((a.layers[0].values[1] == b.layers[0].values[1]).all()), len(b.layers)
    (True, 2)
    """
    if depth < 1:
        raise InvalidInput(f"depth: a number >= 1 needed, got {depth}.")
    layers = []
    for at in range(depth):
        own = seed + (at << 32)
        heads = gaussian_heads(n_keys, n_heads, dim, seed=own)
        streams = (np.random.Philox(key=[own, n_heads + h]) for h in range(n_heads))
        values = [np.random.Generator(s).standard_normal((n_keys, dim)) for s in streams]
        layers.append(FixedLayer(heads, values))
    return Network(layers)


def _normal(n: int, dim: int, seed: int) -> Array:
    check_draws(n, dim)
    return np.random.Generator(np.random.Philox(seed)).standard_normal((n, dim))


def _wide(n: int, dim: int, n_keys: int, central: bool) -> Array:
    """Normal states, widened so that they reach the walls of strips (at t - 1/2)."""
    draws = _normal(n, dim, 0)
    if central:
        # Homogenised strips: walls at x_i / x_d in the same range.
        draws[:, :-1] *= n_keys
        return draws
    return n_keys * draws


# ---- trained weights --------------------------------------------------------------------------


def of_source(source: Source, dim: int | None, depth: int) -> Family:
    """The first N keys and first H heads of a file: polynomials, or a model with its context.

    For a model N counts tokens: the first N - 1 of the context and its last one, whose state
    moves and whose own key stays where it is (theory T12).

    Parameters
    ----------
    source : as everywhere; ``position`` must be left out.
    dim : None for the whole space of the variable; a smaller number for a flat of that dimension
        through the moving state (the origin, for polynomials) in random directions.
    depth : layers, from the first; more than one needs a model of attention alone.

    Raises
    ------
    InvalidInput : a file, context, dimension or depth that does not fit.
    """
    opened = open_heads(source)
    _check_source(opened, source, dim, depth)
    space = opened.dim
    model, context = opened.model, None
    if model is not None:
        context = model.tokens(source.text) if source.text is not None else model.ids(source.ids)
        if depth > len(model.layers):
            raise InvalidInput(
                f"depth: at most {len(model.layers)} needed, got {depth}; the model has no more "
                "layers."
            )

    def case(n_heads: int, n_keys: int, seed: int) -> Case:
        if model is None or context is None:
            heads = [with_terms(head, np.arange(n_keys)) for head in opened.heads[:n_heads]]
            target: Any = heads
            states = np.vstack([np.zeros(space), np.eye(space)])
        else:
            ids = np.append(context[: n_keys - 1], context[-1])
            target, states = _of_model(model, ids, source, depth, n_heads)
            heads = list(target.heads) if isinstance(target, FixedLayer) else None
        origin = states[0] if model is None else states[-1]
        where = None if dim is None or dim == space else random_slice(origin, dim, seed)
        centre = origin if where is None else np.zeros(where.dim)

        def draws(n: int) -> Array:
            width = max(scatter(states)[1], 2.0**-20)
            return centre + _SPREAD * width * _normal(n, len(centre), seed)

        return Case(target, where, heads, draws)

    n_keys = min(head.n_terms for head in opened.heads) if context is None else len(context)
    layers = f"layer {_layer(source)}" if depth == 1 else f"layers 0 to {depth - 1}"
    return Family(
        "weights",
        Path(source.path).name + ("" if context is None else f", {layers}"),
        space if dim is None else dim,
        case,
        dim not in (None, space),
        len(opened.heads),
        n_keys,
        opened.variable,
    )


def _check_source(opened: Heads, source: Source, dim: int | None, depth: int) -> None:
    if source.position is not None:
        raise InvalidInput(
            f"position: none needed, got {source.position}; the last token of the shortened "
            "context is the one that moves."
        )
    if dim is not None and not 1 <= dim <= opened.dim:
        raise InvalidInput(
            f"dim: a number in 1..{opened.dim} needed, got {dim}; leave it out for all of "
            f"R^{opened.dim}."
        )
    of_model = isinstance(opened.target, FixedLayer)
    if depth > 1 and (not of_model or source.layer not in (None, 0)):
        raise InvalidInput(
            f"depth: 1 needed, got {depth}; several layers need a model, from its layer 0 on."
        )


def _of_model(
    model: Model, ids: Array, source: Source, depth: int, n_heads: int
) -> tuple[FixedLayer | Network, Array]:
    """The first heads of one layer, or of the first layers, and the states that enter."""
    # The whole context was refused where ids hold padding; in a text it is a word like any other.
    mask = np.ones(len(ids), dtype=bool)
    if depth == 1:
        layer = _layer(source)
        fixed = model.fix(ids, layer=layer, own_key=source.own_key, mask=mask)
        return _first(fixed, n_heads), np.asarray(model.states(ids, mask)[layer], dtype=np.float64)
    network = fixed_network(model, ids, own_key=source.own_key, mask=mask)
    layers = [
        _first(layer, n_heads) if isinstance(layer, FixedLayer) else layer
        for layer in network.layers[:depth]
    ]
    return Network(layers), np.asarray(model.states(ids, mask)[0], dtype=np.float64)


def _layer(source: Source) -> int:
    return source.layer if isinstance(source.layer, int) else 0


def _first(fixed: FixedLayer, n_heads: int) -> FixedLayer:
    """The layer with its first heads only."""
    return FixedLayer(
        fixed.heads[:n_heads],
        fixed.values[:n_heads],
        tokens=fixed.tokens[:n_heads],
        b_O=fixed.b_O,
        residual=fixed.residual,
        variable=fixed.variable,
    )


def random_slice(origin: Any, dim: int, seed: int) -> Slice:
    """A flat of dimension ``dim`` through a point, in directions drawn uniformly.

    The basis is orthonormal in doubles; these doubles are the slice's data.

    >>> random_slice(np.zeros(5), 2, seed=0).describe()
    '2-dimensional slice of R^5'
    """
    start = np.asarray(origin, dtype=np.float64)
    basis, _ = np.linalg.qr(_normal(len(start), dim, seed))
    return Slice(start, basis.T)
