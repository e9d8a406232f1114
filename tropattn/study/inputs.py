"""What a command is asked about: weights or polynomials in a file, a context, and a domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array
from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.heads.linear import n_axes
from tropattn.attention.loading import model_of
from tropattn.attention.loading.paths import open_tensors
from tropattn.attention.loading.polynomials import (
    STANDARD_INPUT,
    holds_arrays,
    holds_polynomials,
    polynomials_of,
)
from tropattn.attention.loading.tensors import Tensors
from tropattn.attention.networks.approximation import entering_states
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.moving import LiveNetwork
from tropattn.attention.networks.network import Network
from tropattn.attention.networks.padding import read_mask
from tropattn.attention.networks.transformer import fixed_in_context
from tropattn.errors import InvalidInput
from tropattn.files import existing_path, named, parse_json, read_bytes, read_npz
from tropattn.numerals import ratios, real
from tropattn.polyhedra.domain import Box, Domain, Line, Slice
from tropattn.progress import doing
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = [
    "Heads",
    "Source",
    "check_alike",
    "check_draws",
    "open_heads",
    "open_layer",
    "open_network",
    "open_target",
    "read_arrays",
    "read_domain",
    "scatter",
    "token_name",
]


_LARGEST_DRAW = 2**25


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file and, for a model, the context whose token moves.

    Attributes
    ----------
    path : arrays of slopes (``load_polynomials``), "-" for standard input, a model file, or a
        model's folder.
    text, ids : the context of a model, one of the two: text, or token ids such as ``"1,2,3"``.
    mask : of the context, 1 for each token that counts and 0 for padding, such as ``"1,1,0"``;
        ids that hold the model's padding token need one.
    layer, position : of a model, 0 and the last token that counts where omitted; negative ones
        count from the end. The layer "all" stands for the whole network.
    own_key : ``"frozen"`` or ``"excluded"`` (theory T12).
    approximate : with the layer "all", freeze the norms of a model and make its activations ReLU.
    """

    path: str
    text: str | None = None
    ids: str | None = None
    mask: str | None = None
    layer: int | Literal["all"] | None = None
    position: int | None = None
    own_key: Literal["frozen", "excluded"] = "frozen"
    approximate: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """Tropical polynomials on one space, and what their variable and terms stand for.

    Attributes
    ----------
    heads : the polynomials, one per head; none for a whole network.
    target : what the engines count: the fixed layer, the network, or the list of polynomials.
    variable : the state that moves, in words.
    keys : names of the terms, one tuple per head: token and position as in ``"3@0"``, or an index.
    states : (n, d) the states of the context's tokens in the space of the variable, the moving
        one last, or None for bare polynomials.
    state_names, places : of the tokens, one per row of ``states``.
    model : that the heads are of, or None for bare polynomials.
    """

    heads: tuple[TropicalPolynomial, ...]
    target: FixedLayer | Network | LiveNetwork | tuple[TropicalPolynomial, ...]
    variable: str
    keys: tuple[tuple[str, ...], ...]
    states: Any = None
    state_names: tuple[str, ...] = ()
    model: Model | None = None
    places: tuple[int, ...] = ()

    @property
    def dim(self) -> int:
        """Dimension of the variable."""
        return self.heads[0].dim if isinstance(self.target, tuple) else self.target.dim

    @property
    def unread(self) -> tuple[str, ...]:
        """Of a model, the entries of its configuration that nobody knows."""
        return () if self.model is None else self.model.unread


def open_heads(source: Source) -> Heads:
    """Read a file and give its heads as tropical polynomials of one variable (theory T1, T12).

    Raises
    ------
    InvalidInput : the file, the context or the options do not fit each other.

    Notes
    -----
    Cost: one pass through the file; for a model and a layer above 0 also the forward pass.
    """
    return _heads(source, *_weights(source.path))


def check_alike(paths: Sequence[str]) -> None:
    """Refuse a model beside arrays of polynomials, before any of them is asked for a context."""
    kinds = [(path, _weights(path)) for path in paths]
    models = [path for path, (_, tensors, bare) in kinds if tensors is not None and not bare]
    if 0 < len(models) < len(paths):
        others = [path for path, _ in kinds if path not in models]
        raise InvalidInput(
            f"INPUT, LATER: checkpoints of one model, or polynomials alone, needed, got a model in "
            f"{models[0]} and polynomials in {others[0]}; leave out the one or the other."
        )


def _weights(path: str) -> tuple[Path, Tensors | None, bool]:
    """The file, its tensors (None of an ``.npz``), and whether they are those of polynomials."""
    place = Path(path) if path == STANDARD_INPUT else existing_path(path)
    if holds_arrays(place):
        return place, None, True
    tensors = open_tensors(place)
    return place, tensors, holds_polynomials(tensors)


def _heads(source: Source, place: Path, tensors: Tensors | None, bare: bool) -> Heads:
    if source.approximate and source.layer != "all" and not bare:
        raise InvalidInput(
            f"approximate: the layer all of a model needed, got layer {source.layer or 0}; one "
            "layer is analysed as it is, so leave the option out."
        )
    if tensors is None or bare:
        names_of = ("text", "ids", "mask", "layer", "position")
        given = {name: getattr(source, name) for name in names_of}
        for name, value in (given | {"approximate": source.approximate or None}).items():
            if value is not None:
                raise InvalidInput(
                    f"{name}: a model needed, got polynomials in {source.path}; "
                    "leave the option out."
                )
        heads = tuple(polynomials_of(place, tensors))
        names = tuple(tuple(str(j) for j in range(head.n_terms)) for head in heads)
        return Heads(heads, heads, "x", names)
    if source.layer == "all":
        raise InvalidInput(
            "layer: the number of one layer needed, got all; this looks at the heads of one layer."
        )
    return _of_model(_model(tensors, source), source, source.layer or 0)


def _model(tensors: Tensors, source: Source) -> Model:
    with doing(f"reading {Path(source.path).name}"):
        return model_of(tensors)


def check_draws(samples: int, dim: int) -> None:
    """Bound the states that are drawn at once, an array (samples, dim)."""
    if samples * dim > _LARGEST_DRAW:
        raise InvalidInput(
            f"samples: at most {_LARGEST_DRAW // dim} states of R^{dim} needed, got {samples}; "
            "take fewer."
        )


def open_layer(source: Source, domain: Domain | str | None) -> tuple[Heads, Domain | None]:
    """Read the heads of one layer and where to look at them; as ``open_heads``, ``read_domain``."""
    opened = open_heads(source)
    return opened, read_domain(domain, opened.dim)


def scatter(states: Array) -> tuple[Array, float]:
    """The mean of states (n, d), and how widely they are scattered round it.

    >>> scatter(np.array([[0.0], [2.0]]))
    (array([1.]), 1.0)
    """
    centre = states.mean(axis=0)
    return centre, float(np.sqrt(((states - centre) ** 2).mean()))


def open_target(source: Source, domain: Domain | str | None) -> tuple[Heads, Domain | None]:
    """Read what to count and where: heads, or with layer "all" a whole network (theory T12).

    A line whose file gives an origin and a direction for every token, shape (N, d), moves all
    tokens of a network, its keys and values with them (theory T11).

    Raises
    ------
    InvalidInput : as ``open_heads`` and ``read_domain``.
    """
    if source.layer != "all":
        return open_layer(source, domain)
    place, tensors, bare = _weights(source.path)
    if tensors is None or bare:
        opened = _heads(source, place, tensors, bare)
        return opened, read_domain(domain, opened.dim)
    model = _model(tensors, source)
    kind, _, rest = (domain if isinstance(domain, str) else "").partition(":")
    sequence = read_arrays(Path(rest)) if kind == "line" and rest else {}
    if n_axes(sequence.get("origin")) == 2:
        opened = _moving(model, source)
        return opened, _sequence_line(rest, sequence, opened)
    opened = _whole(model, source)
    return opened, read_domain(domain, opened.dim)


def open_network(source: Source, domain: str | None) -> tuple[Heads, Domain | None]:
    """Read a model for one token that moves through all its layers, and where; ``layer`` is none.

    Raises ``InvalidInput`` for bare polynomials, and as ``open_target``.
    """
    _, tensors, bare = _weights(source.path)
    if tensors is None or bare:
        raise InvalidInput(
            f"input: a model needed, whose outputs are compared, got polynomials in {source.path}, "
            "which have none; in Python, decision_boundary takes any network."
        )
    opened = _whole(_model(tensors, source), source)
    return opened, read_domain(domain, opened.dim)


def _moving(model: Model, source: Source) -> Heads:
    """All tokens of a network, keys live."""
    ids, mask = _context(model, source)
    if source.approximate:
        raise InvalidInput(
            "approximate: one moving token needed, got a line for all of them; give the line one "
            "origin and direction."
        )
    if source.position is not None:
        raise InvalidInput(
            f"position: none needed where all tokens move, got {source.position}; give the line "
            "one origin and direction for a single token."
        )
    with doing(f"running {len(ids)} tokens through {len(model.layers)} layers"):
        net = model.network(ids, None, own_key="live", mask=mask)
    names = tuple(token_name(model, int(ids[i]), i) for i in range(len(ids)))
    states = np.asarray(model.context(ids, None, mask)[0], dtype=np.float64)
    variable = f"states of all {len(ids)} tokens entering layer 0, keys live"
    return Heads((), net, variable, (names,), states, names, model)


def _sequence_line(path: str, arrays: dict[str, Any], opened: Heads) -> Line:
    """A line in the space of all states; rows are tokens."""
    shape = opened.states.shape
    for name in ("origin", "direction"):
        given = np.shape(arrays[name]) if name in arrays and n_axes(arrays[name]) >= 0 else None
        if given != shape:
            raise InvalidInput(
                f"{path}, {name}: shape {shape} needed, one row a token of the context, got "
                f"{given}; rows are states that enter layer 0."
            )
    flat = {name: np.ravel(arrays[name]) for name in ("origin", "direction")}
    return _line(path, arrays | flat)


def _whole(model: Model, source: Source) -> Heads:
    """One token through all layers, the others where the hard network has them.

    Of a model with norms, asked for as an approximation, they are where the trained one has them.
    """
    ids, mask = _context(model, source)
    position = _position(source, mask)
    with doing(f"running {len(ids)} tokens through {len(model.layers)} layers"):
        net = model.network(
            ids, position, own_key=source.own_key, approximate=source.approximate, mask=mask
        )
        rows, place = entering_states(model, ids, position, mask)
    how = None if isinstance(net, LiveNetwork) else net.approximation
    others = "the hard network" if how is None else f"the trained network; {how}"
    names = [token_name(model, int(ids[i]), i) for i in range(len(rows))]
    moving = [i for i in range(len(rows)) if i != place and mask[i]] + [place]
    variable = (
        f"state entering layer 0 of {len(model.layers)}, position {place} "
        f"(token {token_name(model, int(ids[place]))}), other tokens by {others}"
    )
    states = np.asarray(rows, dtype=np.float64)[moving]
    return Heads(
        (),
        net,
        variable,
        (tuple(names[i] for i in range(len(rows)) if mask[i]),),
        states,
        tuple(names[i] for i in moving),
        model,
        tuple(moving),
    )


def _context(model: Model, source: Source) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The token ids of the context, and which of them count."""
    if (source.text is None) == (source.ids is None):
        raise InvalidInput(
            f"text, ids: one of the two needed for the model in {source.path}, got "
            f"{'neither' if source.text is None else 'both'}; they name the context, e.g. "
            "--text 314159265= or --ids 3,1,4."
        )
    if source.text is not None:
        ids = model.tokens(source.text)
        mask = read_mask(source.mask, len(ids))
    else:
        ids = model.ids(source.ids)
        mask = model.mask(ids, source.mask)
    return ids, np.ones(len(ids), dtype=bool) if mask is None else mask


def _position(source: Source, mask: NDArray[np.bool_]) -> int:
    """The place of the token that moves, where none is given the last one that counts."""
    return int(np.flatnonzero(mask)[-1]) if source.position is None else source.position


def _of_model(model: Model, source: Source, layer: int) -> Heads:
    ids, mask = _context(model, source)
    position = _position(source, mask)
    with doing(f"running {len(ids)} tokens through the model, to layer {layer}"):
        fixed, entering = fixed_in_context(model, ids, layer, position, source.own_key, mask=mask)
    place = position % len(ids)
    seen = place + 1 if model.causal else len(ids)
    names = [token_name(model, int(ids[i]), i) for i in range(seen)]
    moving = [i for i in range(seen) if i != place and mask[i]] + [place]
    states = np.asarray(entering, dtype=np.float64)[moving]
    return Heads(
        fixed.heads,
        fixed,
        f"{fixed.variable} at layer {layer % len(model.layers)}, position {place} "
        f"(token {token_name(model, int(ids[place]))})",
        tuple(
            tuple("sink" if t < 0 else names[t] for t in tokens.tolist()) for tokens in fixed.tokens
        ),
        states,
        tuple(names[i] for i in moving),
        model,
        tuple(moving),
    )


def token_name(model: Model, index: int, place: int | None = None) -> str:
    """How a token is written: its word, or its id, and behind it the place in the context."""
    known = model.vocabulary is not None and index < len(model.vocabulary)
    name = model.vocabulary[index] if known and model.vocabulary is not None else str(index)
    return repr(name)[1:-1] if place is None else f"{repr(name)[1:-1]}@{place}"


# ---- domains ----------------------------------------------------------------------------------


def read_domain(text: Domain | str | None, dim: int) -> Domain | None:
    """Read ``box:LOW,HIGH``, ``plane:FILE`` or ``line:FILE``; None is the whole space.

    A domain is returned as it is.

    Parameters
    ----------
    text : the words; a plane's file is an ``.npz`` or JSON with ``points`` (3, d), or ``origin``
        (d,), ``basis`` (2, d) and optionally ``window`` ``[[lo, lo], [hi, hi]]``; a line's has
        ``origin``, ``direction`` (d,) and optionally ``t_min``, ``t_max``.
    dim : dimension of the space that the domain lies in.

    Raises
    ------
    InvalidInput, Degenerate : unknown words, a broken file, or an empty domain.

    >>> read_domain("box:-1,1", 3).describe(), read_domain(None, 3)
    ('box (-1, 1)^3', None)
    """
    if text is None or isinstance(text, Domain):
        return text
    kind, _, rest = text.partition(":")
    if kind == "box":
        return _box(rest, dim)
    if kind not in ("plane", "line") or not rest:
        raise InvalidInput(
            f"domain: box:LOW,HIGH, plane:FILE or line:FILE needed, got {text!r}; "
            "leave it out for the whole space."
        )
    arrays = read_arrays(Path(rest))
    domain = _plane(rest, arrays) if kind == "plane" else _line(rest, arrays)
    if domain.ambient_dim != dim:
        raise InvalidInput(
            f"domain: a {kind} in R^{dim} needed, got one in R^{domain.ambient_dim} in {rest}; "
            "it must lie in the space of the variable."
        )
    return domain


def _box(text: str, dim: int) -> Box:
    try:
        low, high = (real(part.strip(" ")) for part in text.split(","))
    except ValueError:
        raise InvalidInput(
            f"domain: box:LOW,HIGH with two numbers needed, got {'box:' + text!r}; e.g. box:-1,1."
        ) from None
    return Box.cube(low, high, dim)


def read_arrays(path: Path, name: str = "domain") -> dict[str, Any]:
    """The arrays of an ``.npz`` or JSON file that an argument of that name gives."""
    if path.suffix == ".npz":
        return read_npz(path, name)
    return ratios(parse_json(str(path), read_bytes(path, name)))


def _plane(path: str, arrays: dict[str, Any]) -> Slice:
    if set(arrays) == {"points"}:
        plane = Slice.through(arrays["points"])
    elif {"origin", "basis"} <= set(arrays) <= {"origin", "basis", "window"}:
        window = arrays.get("window")
        if window is not None:
            window = as_array(f"{path}, window", window, 2, shape="[[low, low], [high, high]]")
        if window is not None and window.shape != (2, 2):
            raise InvalidInput(
                f"{path}, window: [[low, low], [high, high]] needed, got shape "
                f"{window.shape}; the first row is the lower corner."
            )
        plane = Slice(arrays["origin"], arrays["basis"], window)
    else:
        raise InvalidInput(
            f"{path}: 'points', or 'origin' and 'basis' with optional 'window' needed, got "
            f"{named(arrays)}; rename the arrays."
        )
    if plane.dim != 2:
        raise InvalidInput(
            f"{path}: 3 points or 2 basis rows needed for a plane, got a slice of dimension "
            f"{plane.dim}; leave the others out."
        )
    return plane


def _line(path: str, arrays: dict[str, Any]) -> Line:
    if any(n_axes(arrays.get(name, 0)) == 2 for name in ("origin", "direction")):
        raise InvalidInput(
            f"{path}: one origin and direction of shape (d,) needed, got one row a token; such a "
            "line moves all tokens of a model: use --layer all."
        )
    if not {"origin", "direction"} <= set(arrays) <= {"origin", "direction", "t_min", "t_max"}:
        raise InvalidInput(
            f"{path}: 'origin' and 'direction' with optional 't_min', 't_max' needed, got "
            f"{named(arrays)}; rename the arrays."
        )
    ends = {}
    for name in ("t_min", "t_max"):
        if arrays.get(name) is not None:
            try:
                ends[name] = float(np.asarray(arrays[name]).item())
            except (TypeError, ValueError):
                raise InvalidInput(
                    f"{path}, {name}: one number needed, got {arrays[name]!r}; "
                    "leave it out for an endless line."
                ) from None
    return Line(arrays["origin"], arrays["direction"], **ends)
