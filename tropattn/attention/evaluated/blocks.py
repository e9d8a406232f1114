"""What stands between the attention of one layer and that of the next: residuals, norms, MLPs.

Blocks are only used to find the states that a context sends into every layer's heads; they are
evaluated in doubles and never counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Floats
from tropattn.attention.evaluated.experts import Experts
from tropattn.attention.evaluated.norms import Norm
from tropattn.errors import InvalidInput
from tropattn.values import Value

__all__ = ["ACTIVATIONS", "MLP", "Block", "Scaling"]


def _gelu(x: Floats) -> Floats:
    from scipy.special import erf

    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def _gelu_tanh(x: Floats) -> Floats:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _relu(x: Floats) -> Floats:
    return np.maximum(x, 0)


def _silu(x: Floats) -> Floats:
    from scipy.special import expit

    return x * expit(x)


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": _relu,
    "silu": _silu,
    "swish": _silu,
}
"""By the names of Hugging Face configurations."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MLP(Value):
    """The map ``x -> act(x W_1 + b_1) W_2 + b_2``, or with a gate ``(act(x W_g) * (x W_1)) W_2``.

    ``W_1`` (d, m), ``W_2`` (m, d), ``W_gate`` (d, m) or None, biases (m,) and (d,) or None; single
    precision is kept as it is and multiplied in doubles. ``activation`` is a key of
    ``ACTIVATIONS``; others raise ``InvalidInput``. Cost ``O(N d m)``.

    >>> MLP(np.eye(2), None, np.eye(2), np.array([0.0, 1.0]), "relu")(np.array([[3.0, -4.0]]))
    array([[3., 1.]])
    """

    W_1: NDArray[Any]
    b_1: NDArray[Any] | None
    W_2: NDArray[Any]
    b_2: NDArray[Any] | None
    activation: str
    W_gate: NDArray[Any] | None = None
    b_gate: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise InvalidInput(
                f"activation: one of {', '.join(ACTIVATIONS)} needed, got "
                f"{str(self.activation)[:40]!r}; other activations are not evaluated."
            )

    def doubles(self) -> tuple[Floats, Floats | None, Floats, Floats | None]:
        """``W_1, b_1, W_2, b_2`` in doubles."""
        biases = [None if b is None else np.asarray(b, np.float64) for b in (self.b_1, self.b_2)]
        return self.W_1.astype(np.float64), biases[0], self.W_2.astype(np.float64), biases[1]

    def __call__(self, rows: Floats) -> Floats:
        """Evaluate each row, (N, d)."""
        act = ACTIVATIONS[self.activation]
        inner = _affine(rows, self.W_1, self.b_1)
        if self.W_gate is None:
            inner = act(inner)
        else:
            inner = act(_affine(rows, self.W_gate, self.b_gate)) * inner
        return _affine(inner, self.W_2, self.b_2)


def _affine(rows: Floats, matrix: NDArray[Any], offset: NDArray[Any] | None) -> Floats:
    product = rows @ matrix.astype(np.float64)
    return product if offset is None else product + offset


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Block(Value):
    """One layer's second half: its MLP, and the norm that stands before it.

    With ``norm_first`` the stream is not normalised, ``r -> r + mlp(norm(r))`` (GPT-2, Llama, ViT);
    without it ``norm`` closes the attention and the next layer's own norm closes the MLP,
    ``s -> h + mlp(h)`` with ``h = norm(s)`` (BERT). Without ``norm`` the MLP reads the stream
    itself (OLMo 2). ``after_attention`` and ``after_mlp`` take what either adds to the stream, rows
    (N, d), before it is added: norms (Gemma 2) or scales (DINOv2). With ``parallel`` the MLP reads
    what the attention read, ``r -> r + attention + mlp(norm(r))`` (GPT-NeoX).

    >>> from tropattn.attention.evaluated.norms import RMSNorm
    >>> mlp = MLP(np.eye(1), None, np.eye(1), None, "relu")
    >>> norm = RMSNorm([1.0], eps=0)
    >>> [Block(mlp, norm, first)(np.array([[5.0]])).tolist() for first in (True, False)]
    [[[6.0]], [[2.0]]]
    """

    mlp: MLP | Experts
    norm: Norm | None
    norm_first: bool
    after_attention: Callable[[Floats], Floats] | None = None
    after_mlp: Callable[[Floats], Floats] | None = None
    parallel: bool = False

    def parts(self) -> tuple[MLP, Norm]:
        """The MLP and its norm, of a block that has nothing else; raises ``InvalidInput``."""
        more = self.parallel or self.after_attention is not None or self.after_mlp is not None
        if more or self.norm is None or not isinstance(self.mlp, MLP):
            raise InvalidInput(
                "model: blocks of one norm and one MLP needed, got others (parallel, with further "
                "norms or experts); analyse one layer with model.fix."
            )
        return self.mlp, self.norm

    def __call__(self, stream: Floats) -> Floats:
        """Take the sum of residual and attention, (N, d), to what leaves the layer, (N, d)."""
        inner = stream if self.norm is None else self.norm(stream)
        return (stream if self.norm_first else inner) + self._added(inner)

    def behind(self, stream: Floats, attended: Floats) -> Floats:
        """Take the residual and what the attention adds to it, (N, d), to what leaves the layer."""
        if self.after_attention is not None:
            attended = self.after_attention(attended)
        if not self.parallel:
            return self(stream + attended)
        inner = stream if self.norm is None else self.norm(stream)
        return stream + attended + self._added(inner)

    def _added(self, inner: Floats) -> Floats:
        out = self.mlp(inner)
        return out if self.after_mlp is None else self.after_mlp(out)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scaling(Value):
    """The map ``x -> weight * x``, coordinate by coordinate; ``weight`` (d,).

    >>> Scaling(np.array([1.0, 2.0]))(np.array([[3.0, 3.0]])).tolist()
    [[3.0, 6.0]]
    """

    weight: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Scale each row, (N, d)."""
        return rows * self.weight
