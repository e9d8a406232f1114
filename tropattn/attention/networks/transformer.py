"""What a model is made of, the states of a context in it, and one layer with its context fixed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import to_float
from tropattn.attention.evaluated.blocks import Block
from tropattn.attention.evaluated.forward import attend
from tropattn.attention.evaluated.norms import Norm
from tropattn.attention.evaluated.patches import Patches
from tropattn.attention.heads.fixed import FixedLayer
from tropattn.attention.heads.head import read_states
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.linear import loose, n_axes, read_vector, row_products
from tropattn.attention.networks.fields import (
    fitting,
    is_special,
    read_entry,
    read_layers,
    read_norms,
    read_vocabulary,
)
from tropattn.attention.networks.padding import Padding, read_mask
from tropattn.errors import InvalidInput
from tropattn.numerals import whole
from tropattn.tropical.terms import AffineMap
from tropattn.values import Value, counted

__all__ = ["Transformer", "fixed_in_context", "one_moving", "read_warmth", "residual_in_context"]


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class Transformer(Value):
    """Embedding, attention layers and, where they are enough for it, logits: a ``Model``'s fields.

    Parameters, errors and examples as for ``Model``, which adds networks with fixed contexts.
    """

    layers: tuple[AttentionLayer, ...]
    embedding: Array | None
    vocabulary: tuple[str, ...] | None
    positions: Array | None
    norms: tuple[Norm | None, ...]
    unembedding: Array | None
    b_U: Array | None
    causal: bool
    max_length: int | None
    blocks: tuple[Block, ...]
    projection: AffineMap | None
    patches: Patches | None
    tokenizer: Callable[[str], Sequence[int]] | None
    padding: Padding | None
    unread: tuple[str, ...]

    def __init__(
        self,
        layers: Sequence[AttentionLayer],
        embedding: Any,
        vocabulary: Sequence[str] | None = None,
        *,
        positions: Any = None,
        norms: Sequence[Norm | None] = (),
        unembedding: Any = None,
        b_U: Any = None,
        causal: bool = True,
        max_length: int | None = None,
        blocks: Sequence[Block] = (),
        projection: AffineMap | None = None,
        patches: Patches | None = None,
        tokenizer: Callable[[str], Sequence[int]] | None = None,
        padding: Padding | None = None,
        unread: Sequence[str] = (),
    ) -> None:
        table, n_tokens, entry = read_entry(embedding, patches)
        width = entry if projection is None else projection.matrix.shape[1]
        units = read_layers(layers, width)
        logits = fitting("unembedding", unembedding, (width, n_tokens))
        if b_U is not None and logits is None:
            raise InvalidInput("b_U: an unembedding needed beside it, got none; pass both.")
        learned = fitting("positions", positions, (None, entry))
        widths = [entry, *[width] * (len(units) - 1)]
        if blocks and len(blocks) != len(units):
            raise InvalidInput(
                f"blocks: one a layer needed ({len(units)}), got {len(blocks)}; give all or none."
            )
        fields = {
            "layers": units,
            "embedding": table,
            "vocabulary": read_vocabulary(vocabulary, n_tokens),
            "positions": learned,
            "norms": read_norms(norms, widths),
            "unembedding": logits,
            "b_U": None
            if logits is None
            else read_vector("b_U", b_U, n_tokens, why="one a token of the vocabulary"),
            "causal": bool(causal),
            "max_length": max_length if learned is None else len(learned),
            "blocks": tuple(blocks),
            "projection": projection,
            "patches": patches,
            "tokenizer": tokenizer,
            "padding": padding,
            "unread": tuple(unread),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def d_model(self) -> int:
        """Width of the states."""
        return self.layers[0].heads[0].d_model

    # ---- tokens -------------------------------------------------------------------------------

    def tokens(self, text: str) -> NDArray[np.int64]:
        """Return the ids of a text, by the tokenizer or else character by character, (n,).

        Raises ``InvalidInput`` for a character outside the vocabulary, an empty or too long text,
        and for vocabularies of longer tokens without a tokenizer: pass ids there.

        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> Transformer([layer], [[1], [2]], "xy").tokens("yx").tolist()
        [1, 0]
        """
        if not isinstance(text, str):
            raise InvalidInput(
                f"text: a string needed, got {type(text).__name__}; pass ids to ids."
            )
        if self.tokenizer is not None:
            if not text.strip():
                raise InvalidInput("text: at least one word needed, got none; give a text.")
            return self.ids(self.tokenizer(text))
        if self.vocabulary is None:
            raise InvalidInput(
                "text: a model with a vocabulary needed, got one without; pass token ids."
            )
        table = {token: i for i, token in enumerate(self.vocabulary) if len(token) == 1}
        longer = [t for t in self.vocabulary if len(t) > 1 and not is_special(t)]
        if longer:
            raise InvalidInput(
                f"text: a vocabulary of single characters needed, got one with {longer[0]!r}; "
                "split the text with the model's own tokenizer and pass ids."
            )
        for place, character in enumerate(text):
            if character not in table:
                known = "".join(list(table)[:40])
                raise InvalidInput(
                    f"text: characters of the vocabulary ({known}) needed, got {character!r} at "
                    f"place {place}; remove it or pass ids."
                )
        return self.ids([table[character] for character in text])

    def ids(self, values: Any) -> NDArray[np.int64]:
        """Check token ids, a sequence of integers or a string such as "1,2,3"; return (n,).

        Raises ``InvalidInput`` for anything but integers, an id outside ``0..V-1``, no id, or more
        ids than the longest context.

        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> Transformer([layer], [[1], [2]]).ids("1, 0").tolist()
        [1, 0]
        """
        given = values
        if isinstance(values, str):
            try:
                values = [whole(part.strip(" ")) for part in values.split(",")]
            except ValueError:
                values = None
        array = loose(values if not isinstance(values, range) else list(values))
        if array.dtype.kind not in "iu" and not (array.ndim == 1 and _is_empty(values)):
            raise InvalidInput(
                f"ids: integers needed, got {_short(given)}; text goes through tokens, states "
                "have two axes."
            )
        if array.ndim != 1:
            raise InvalidInput(
                f"ids: one sequence of integers needed, got shape {array.shape}; pass one context."
            )
        if not len(array):
            raise InvalidInput(
                "ids: at least one token needed, got none; an empty context has no key."
            )
        if self.embedding is None:
            raise InvalidInput(
                "ids: a model with an embedding of tokens needed, got one of images; pass an image "
                "(channels, height, width)."
            )
        limit = len(self.embedding)
        for place in np.flatnonzero((array < 0) | (array >= limit))[:1]:
            raise InvalidInput(
                f"ids: 0..{limit - 1} needed, got {array[place]} at place {place}; "
                "use ids of the model's vocabulary."
            )
        if self.max_length is not None and len(array) > self.max_length:
            raise InvalidInput(
                f"ids: at most {self.max_length} tokens needed, got {len(array)}; "
                "the model has no positions beyond; shorten the context."
            )
        return array.astype(np.int64)

    # ---- states -------------------------------------------------------------------------------

    def states(self, ids_or_states: Any, mask: Any = None) -> list[Array]:
        """Return what enters each layer's heads, (N, d) a layer, in the network as trained.

        Parameters
        ----------
        ids_or_states : text, token ids, an image (channels, height, width), or the states (N, d)
            that enter the heads of layer 0.
        mask : (N,), 1 for a token that counts and 0 for padding, which no token sees; or a string
            such as "1,1,0". Positions are those of the whole context, padding included (of RoBERTa,
            without it). Needed where ids hold the model's padding token.

        Returns
        -------
        list of Array
            One a layer, with soft attention at temperature 1, in the layer's own variable: behind
            the norm where there is one (theory T12). For a model with norms and without blocks,
            and for states given to a model that normalises first, layer 0 only. Rows of padding
            mean nothing.

        Raises
        ------
        InvalidInput : text or ids outside the vocabulary, empty or too long, wrong widths, or
            padding without a mask.

        Notes
        -----
        Cost ``O(L N (N d + d m))``, ``m`` the width of the MLPs. Equal tokens at equal positions
        of layer 0 have equal states, bit for bit.

        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> [rows.tolist() for rows in Transformer([layer, layer], [[1], [2]]).states([1])]
        [[[2.0]], [[4.0]]]
        """
        kind, value = self._read(ids_or_states)
        kept = self._kept(ids_or_states, kind, value, mask)
        return self._entering(kind, value, len(self.layers) - 1, kept)[0]

    def mask(self, ids: NDArray[np.int64], mask: Any = None) -> NDArray[np.bool_] | None:
        """Read which of the tokens count, (n,), None for all of them.

        Raises ``InvalidInput`` as ``states`` does: ids with padding need a mask.

        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> model = Transformer([layer], [[1], [2]], padding=Padding(0))
        >>> model.mask(np.array([1, 0]), "1,0").tolist()
        [True, False]
        """
        if mask is None and self.padding is not None:
            self.padding.refuse(ids)
        return self._read_mask(mask, len(ids))

    def _read_mask(self, mask: Any, n_tokens: int) -> NDArray[np.bool_] | None:
        kept = read_mask(mask, n_tokens)
        if kept is not None and self.padding is not None and self.padding.refused:
            raise InvalidInput(
                "mask: all ones needed for this family, whose positions are counted without "
                f"padding, got {int((~kept).sum())} zeros; leave these tokens out."
            )
        return kept

    def _kept(self, given: Any, kind: str, value: Array, mask: Any) -> NDArray[np.bool_] | None:
        """Which tokens of a context count, None for all of them."""
        if kind == "image" and mask is not None:
            raise InvalidInput("mask: none needed for an image, got one; images have no padding.")
        # The tokenizer pads nothing: in a text the padding token is a word like any other.
        if kind == "ids" and not isinstance(given, str):
            return self.mask(value, mask)
        return None if mask is None else self._read_mask(mask, len(value))

    def _entering(
        self, kind: str, value: Array, last: int, kept: NDArray[np.bool_] | None
    ) -> tuple[list[Array], list[Array | None]]:
        """What enters the heads of layers 0..last, and the norms before, as far as it follows."""
        first, stream = value, None
        if kind != "states":
            stream = self._stream(kind, value)
            first = self._normed(0, stream)
            if self.projection is not None:
                first = row_products("states", first, self.projection.matrix)
                first = first + self.projection.offset
        elif self.norms and self.norms[0] is None:
            stream = value
        entering, streams = [first], [stream]
        if self.norms and (not self.blocks or (stream is None and self.blocks[0].norm_first)):
            return entering, streams
        for index, layer in enumerate(self.layers[:last]):
            out = attend(layer, entering[-1], causal=self.causal, mask=kept)
            if self.blocks:
                block = self.blocks[index]
                if layer.residual or stream is None:
                    stream = block(out)
                else:
                    stream = block.behind(stream, out)
                out = self._normed(index + 1, stream)
            entering.append(out)
            streams.append(stream)
        return entering, streams

    def _normed(self, index: int, stream: Array) -> Array:
        """What leaves the norm before a layer's heads, the stream itself where there is none."""
        norm = self.norms[index] if self.norms else None
        return stream if norm is None else norm(stream)

    def embedded(self, ids: NDArray[np.int64]) -> Array:
        """Return embedding plus positions of the tokens, (n, e), before any norm.

        ``ids`` as for the method ``ids``, which raises ``InvalidInput`` where they do not fit.

        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> Transformer([layer], [[1], [2]], positions=[[10], [20]]).embedded([1, 1]).tolist()
        [[12.0], [22.0]]
        """
        chosen = self.ids(ids)
        if self.embedding is None:
            raise InvalidInput("ids: a model with an embedding needed, got none; pass an image.")
        rows = self.embedding[chosen]
        if self.positions is None:
            return rows
        if self.padding is None:
            return rows + self.positions[: len(rows)]
        return rows + self.padding.positions(chosen, self.positions)

    def _stream(self, kind: str, value: Array) -> Array:
        return self.embedded(value) if kind == "ids" else self._image(value)

    def _image(self, pixels: Array) -> Array:
        if self.patches is None:
            raise InvalidInput(
                "image: a model of images needed, got one of tokens; pass text or ids."
            )
        rows = self.patches(pixels)
        return rows if self.positions is None else rows + self.positions

    def _read(self, ids_or_states: Any) -> tuple[Literal["ids", "image", "states"], Array]:
        if isinstance(ids_or_states, str):
            return "ids", self.tokens(ids_or_states)
        axes = n_axes(ids_or_states)
        if axes == 2:
            return "states", read_states(ids_or_states, self.d_model)
        if axes == 3:
            return "image", ids_or_states
        return "ids", self.ids(ids_or_states)

    def fix(
        self,
        ids_or_states: Any,
        layer: int = 0,
        position: int = -1,
        own_key: Literal["frozen", "excluded"] = "frozen",
        own_value: Literal["fixed", "live"] = "fixed",
        mask: Any = None,
    ) -> FixedLayer:
        """Fix the context of one token in one layer and let that token's state move (theory T12).

        Parameters
        ----------
        ids_or_states : text, token ids or an image, or the states (N, d) that enter the heads of
            ``layer``.
        layer : index of the layer.
        position : index of the token whose state moves; a causal model drops the tokens after it.
        own_key : "frozen", the token's own key stays where the context has it; "excluded", none.
        own_value : "fixed", the own value stays as well; "live", it is read from the moving state.
        mask : as in ``states``; padding is no key, and the token that moves is none.

        Returns
        -------
        FixedLayer
            Its ``tokens`` are indices into the context.

        Raises
        ------
        InvalidInput : as ``states`` and ``AttentionLayer.fix``; a layer or position that does not
            exist; a layer above 0 from ids in a model with norms and without blocks.

        Notes
        -----
        Cost: that of ``states`` up to the layer, and of ``AttentionLayer.fix``.

        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> fixed = Transformer([layer], [[1], [2]]).fix([0, 1, 1], position=1)
        >>> fixed.tokens[0].tolist(), fixed.heads[0].slopes.tolist()
        ([0, 1], [[1.0], [2.0]])
        """
        return fixed_in_context(self, ids_or_states, layer, position, own_key, own_value, mask)[0]

    def _seen(
        self, rows: Array, place: int, kept: NDArray[np.bool_] | None
    ) -> tuple[Array, NDArray[np.bool_] | None]:
        """The states of the context of a token, and which of them count."""
        if kept is not None and not kept[place]:
            raise InvalidInput(
                f"position: a token that the mask keeps needed, got {place}, which is padding; the "
                f"last one that counts is at {np.flatnonzero(kept)[-1]}."
            )
        stop = place + 1 if self.causal else len(rows)
        return rows[:stop], None if kept is None else kept[:stop]

    def context(
        self, ids_or_states: Any, position: int | None, mask: Any = None
    ) -> tuple[Array, int | None]:
        """Return what enters layer 0, norms included, and the place of a token in it.

        Of a causal model the tokens after the place are dropped; None stands for all tokens.
        ``mask`` as in ``fix``: the rows of padding stay, ``kept_context`` says which they are.
        Raises ``InvalidInput`` as ``fix`` does, and for states given to a model with norms.

        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> rows, place = Transformer([layer], [[1], [2]]).context([0, 1, 1], -2)
        >>> rows.tolist(), place
        ([[1.0], [2.0]], 1)
        """
        return self.kept_context(ids_or_states, position, mask)[:2]

    def kept_context(
        self, ids_or_states: Any, position: int | None, mask: Any = None
    ) -> tuple[Array, int | None, NDArray[np.bool_] | None]:
        """Return what ``context`` does, and which of its rows count, None for all of them.

        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> Transformer([layer], [[1], [2]]).kept_context([0, 1, 1], 1, "0,1,1")[2].tolist()
        [False, True]
        """
        kind, value = self._read(ids_or_states)
        kept = self._kept(ids_or_states, kind, value, mask)
        if kind == "states" and self.norms:
            raise InvalidInput(
                "states: text or ids needed for a model with norms, got states, which enter the "
                "heads behind a norm; pass the context itself."
            )
        rows = value if kind == "states" else self._stream(kind, value)
        if position is None:
            return rows, None, kept
        place = _index("position", position, len(rows))
        rows, kept = self._seen(rows, place, kept)
        return rows, place, kept

    def __call__(self, ids: Any, temperature: float = 1) -> NDArray[np.float64]:
        """Return the logits of an attention-only model, (n, V), or (m, n, V) for ``m`` sequences.

        ``ids`` is text, (n,) or (m, n) integers; ``temperature`` 1 is the model as trained, 0 the
        hard one, whose ties are averaged. Raises ``InvalidInput`` for models with other blocks or
        without unembedding. Source: theory T12. Cost ``O(m L H n^2 d_head)``.

        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> model = Transformer([layer], [[1], [2]], unembedding=[[1, -1]])
        >>> model([0, 1], temperature=0).tolist()       # 1 + 1 and 2 + 2
        [[2.0, -2.0], [4.0, -4.0]]
        """
        if self.norms or self.embedding is None or self.unembedding is None or self.b_U is None:
            raise InvalidInput(
                "model: attention layers and an unembedding only needed for logits, got a model "
                "with other blocks; use states and fix for its layers."
            )
        if n_axes(ids) == 2:
            chosen = np.stack([self.ids(row) for row in ids])
        else:
            chosen = self.tokens(ids) if isinstance(ids, str) else self.ids(ids)
        states = self.embedding[chosen].astype(np.float64)
        if self.positions is not None:
            states = states + self.positions[: chosen.shape[-1]]
        for layer in self.layers:
            states = attend(layer, states, temperature=temperature, causal=self.causal)
        weights = (to_float(self.unembedding)[0], to_float(self.b_U)[0])
        return row_products("states", states, *weights)

    def __repr__(self) -> str:
        source = "images" if self.embedding is None else f"{len(self.embedding)} tokens"
        layers = counted(len(self.layers), "layer")
        return f"{type(self).__name__}({layers}, {source}, d_model={self.d_model})"


def fixed_in_context(
    model: Transformer,
    ids_or_states: Any,
    layer: int = 0,
    position: int = -1,
    own_key: Literal["frozen", "excluded"] = "frozen",
    own_value: Literal["fixed", "live"] = "fixed",
    mask: Any = None,
) -> tuple[FixedLayer, Array]:
    """Return what ``Model.fix`` does, and the states (N, d) of the context that enter the layer.

    >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
    >>> fixed_in_context(Transformer([layer], [[1], [2]]), [0, 1])[1].tolist()
    [[1.0], [2.0]]
    """
    depth = _index("layer", layer, len(model.layers))
    kind, value = model._read(ids_or_states)
    kept = model._kept(ids_or_states, kind, value, mask)
    if kind == "states":
        rows = value
    elif depth and model.norms and not model.blocks:
        raise InvalidInput(
            f"layer: 0 needed for ids in a model whose blocks are not given, got "
            f"{layer}; pass the states that enter this layer's heads instead of ids."
        )
    else:
        rows = model._entering(kind, value, depth, kept)[0][depth]
    place = _index("position", position, len(rows))
    seen, kept = model._seen(rows, place, kept)
    fixed = model.layers[depth].fix(
        seen, mask=kept, query_position=place, own_key=own_key, own_value=own_value
    )
    return fixed, rows


def residual_in_context(
    model: Transformer, ids_or_states: Any, layer: int, mask: Any = None
) -> Array | None:
    """Return what enters the norm before a layer's heads, (N, d), None where it does not follow.

    ``layer`` counts from 0; the rest as for ``Model.states``.

    >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
    >>> residual_in_context(Transformer([layer], [[1], [2]]), [0, 1], 0).tolist()
    [[1.0], [2.0]]
    """
    kind, value = model._read(ids_or_states)
    kept = model._kept(ids_or_states, kind, value, mask)
    streams = model._entering(kind, value, layer, kept)[1]
    return streams[layer] if layer < len(streams) else None


def one_moving(
    model: Transformer, ids_or_states: Any, position: int | None, mask: Any = None
) -> tuple[Array, int, NDArray[np.bool_] | None]:
    """Return what ``kept_context`` does, for one token that moves and no other."""
    rows, place, kept = model.kept_context(ids_or_states, position, mask)
    if place is None:
        raise InvalidInput(
            "position: an integer needed, got None; all tokens move together only where keys are "
            "live, with own_key='live'."
        )
    return rows, place, kept


def read_warmth(keys_from: Any) -> int:
    """The temperature of the network that gives the other tokens' states, "hard" or "soft".

    >>> read_warmth("hard")
    0
    """
    if keys_from not in ("hard", "soft"):
        raise InvalidInput(
            f"keys_from: 'hard' or 'soft' needed, got {keys_from!r}; it names the network that "
            "gives the other tokens' states."
        )
    return 1 if keys_from == "soft" else 0


def _is_empty(values: Any) -> bool:
    return values is not None and n_axes(values) == 1 and len(values) == 0


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _index(name: str, value: Any, length: int) -> int:
    try:
        index = operator.index(value)
    except TypeError:
        index = length
    if not -length <= index < length:
        raise InvalidInput(
            f"{name}: an integer in {-length}..{length - 1} needed, got {_short(value)}; "
            "negative ones count from the end."
        )
    return index % length
