"""A model that maps a sequence of tokens to logits, as far as its attention needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tropattn.attention.networks.approximation import approximate_network
from tropattn.attention.networks.moving import LiveNetwork, live_network
from tropattn.attention.networks.network import Network, fixed_network
from tropattn.attention.networks.transformer import Transformer, read_warmth
from tropattn.errors import InvalidInput

__all__ = ["Model"]


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class Model(Transformer):
    """Embedding, attention layers and, where they are enough for it, logits.

    Parameters
    ----------
    layers : ``AttentionLayer`` values on R^d.
    embedding : (V, e), one row a token of the vocabulary, or None beside ``patches``; ``e = d``
        unless there is a projection.
    vocabulary : at most V distinct strings, the token of each id, or None.
    positions : (max_length, e) learned positions, added to the embedding, or None.
    norms : one ``RMSNorm`` or ``LayerNorm`` a layer, whose output enters its heads, or none; None
        in the place of a layer whose heads read the stream itself.
    unembedding, b_U : (d, V) and (V,), or None.
    causal : whether a token sees only itself and earlier ones.
    max_length : the longest context, or None for no limit; the rows of ``positions`` if given.
    blocks : one ``Block`` a layer, or none. With norms and without blocks only layer 0's states
        follow from ids.
    projection : an ``AffineMap`` from R^e to R^d behind the first norm (ALBERT), or None.
    patches : the ``Patches`` of a model of images, whose contexts are images, or None.
    tokenizer : takes a text to ids; None reads the characters of the vocabulary.
    padding : the ``Padding`` of the model, or None: ids that hold it need a mask.
    unread : names of entries of the model's configuration that nobody knows, for records.

    Raises
    ------
    InvalidInput : widths or lengths that do not fit.

    Examples
    --------
    >>> from tropattn.attention.heads.head import AttentionHead
    >>> from tropattn.attention.heads.layer import AttentionLayer
    >>> layer = AttentionLayer([AttentionHead([[1]], [[1]], [[1]], [[1]])])
    >>> model = Model([layer], [[-1], [1], [2]], "abc", unembedding=[[1, 0, -1]])
    >>> model, model.tokens("cab").tolist()
    (Model(1 layer, 3 tokens, d_model=1), [2, 0, 1])
    >>> model("ab", temperature=0).tolist()     # -1 - 1 and 1 + 1
    [[-2.0, 0.0, 2.0], [2.0, 0.0, -2.0]]
    >>> model.fix("ab", own_key="excluded")([5.0]).tolist()
    [4.0]
    """

    def network(
        self,
        ids_or_states: Any,
        position: int | None = -1,
        keys_from: Literal["hard", "soft"] = "hard",
        own_key: Literal["frozen", "excluded", "live"] = "frozen",
        own_value: Literal["fixed", "live"] = "fixed",
        approximate: bool = False,
        mask: Any = None,
    ) -> Network | LiveNetwork:
        """Fix the context of one token in all layers; see ``network.fixed_network`` (theory T12).

        With ``own_value="live"`` the own value moves and its key stands still. With
        ``own_key="live"`` both move, with ``position=None`` all tokens do: a ``LiveNetwork``,
        counted on lines (T11), see ``live.live_network``. ``approximate`` freezes norms and makes
        activations ReLU, as ``Network.approximation`` says; see ``approximate_network``.
        ``mask`` as in ``fix``; where keys are live there is none.

        >>> from tropattn.attention.heads.layer import AttentionLayer
        >>> layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
        >>> model = Model([layer, layer], [[1], [2]])
        >>> model.network([0, 1]), model.network([0, 1], position=None, own_key="live")
        (Network(2 layers, R^1 -> R^1), LiveNetwork(2 layers, 2 of 2 tokens move, d_model=1))
        """
        if approximate not in (False, True):
            raise InvalidInput(
                f"approximate: True or False needed, got {approximate!r}; True freezes norms and "
                "makes activations ReLU."
            )
        read_warmth(keys_from)
        if own_key == "live":
            if approximate:
                raise InvalidInput(
                    "own_key: 'frozen' or 'excluded' needed with approximate=True, got 'live'; "
                    "live keys are not offered there, so leave one of the two out."
                )
            return live_network(self, ids_or_states, position, keys_from, mask)
        if approximate and (self.norms or self.blocks or self.projection is not None):
            return approximate_network(self, ids_or_states, position, own_key, own_value, mask)
        return fixed_network(self, ids_or_states, position, keys_from, own_key, own_value, mask)
