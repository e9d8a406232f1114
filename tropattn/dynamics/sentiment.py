"""A sentiment classifier whose only nonlinearity is hardmax: words move, leaders decide.

Every word is a point of R^d, a text its first ``length`` words, padded by a trained point. The
points pass a few equal hardmax layers with ``A = 1``; their mean goes through a linear map
(Alcalde, Fantuzzi, Zuazua, arXiv 2407.01602, section 5). Words that lead draw the others to
themselves, so they should carry the meaning. Training lives in ``experiments/dynamics``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array
from tropattn.arrays import as_array, freeze
from tropattn.errors import InvalidInput
from tropattn.files import read_npz
from tropattn.values import Value, counted

__all__ = ["Leader", "SentimentModel", "load_sentiment"]


PAD, UNKNOWN = 0, 1

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_BATCH, _PAIRS = 32, 2**21
"""Texts handled at once, and pairs of their tokens."""
_MOST, _LARGEST = 4096, 1e150
"""Layers and tokens a text that a file may ask for; numbers whose squares are doubles."""


@dataclass(frozen=True, slots=True)
class Leader:
    """A word that leads.

    Attributes
    ----------
    word : the word; texts : in how many texts it leads.
    share : mean share of a text's tokens that follow it in the last layer, over all texts.
    logit : what the linear map gives for a text drawn to this word alone.
    """

    # Strength is share * |logit|: a word that many follow but that says nothing decides nothing.

    word: str
    texts: int
    share: float
    logit: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SentimentModel(Value):
    """The classifier.

    Parameters
    ----------
    words : (v,) the vocabulary; entry 0 is padding, entry 1 stands for unknown words.
    embedding : (v, d); weight (d,), bias : the linear map; positive logits mean "positive".
    alpha : step parameter of the layers; layers : their number; length : tokens a text.

    >>> model = SentimentModel(["<pad>", "<unk>", "good", "bad"], [[0.], [0.], [2.], [-2.]],
    ...                        [1.0], 0.0, alpha=1.0, layers=8, length=4)
    >>> (model.logits(model.ids(["A good film", "so BAD!"])) > 0).tolist()
    [True, False]
    """

    words: Any
    embedding: Any
    weight: Any
    bias: float
    alpha: float
    layers: int = 8
    length: int = 128

    def __post_init__(self) -> None:
        table = as_array("embedding", self.embedding, 2, shape="(v, d)").astype(np.float64)
        weight = as_array("weight", self.weight, 1, shape="(d,)").astype(np.float64)
        words = tuple(str(w) for w in self.words)
        if len(words) != len(table) or len(words) < 2 or weight.shape != table.shape[1:]:
            raise InvalidInput(
                "words, embedding, weight: v words with v >= 2, (v, d) and (d,) needed, got "
                f"{len(words)}, {table.shape}, {weight.shape}."
            )
        if not self.alpha > 0 or self.layers < 0 or self.length < 1:
            raise InvalidInput(
                "alpha, layers, length: alpha > 0, layers >= 0, length >= 1 needed, got "
                f"{(self.alpha, self.layers, self.length)}."
            )
        if max(np.abs(table).max(initial=0), np.abs(weight).max(initial=0)) > _LARGEST:
            raise InvalidInput(
                f"embedding, weight: numbers up to {_LARGEST:g} needed, got larger ones; their "
                "products leave the doubles."
            )
        for name, value in (
            ("words", words),
            ("embedding", freeze(table)),
            ("weight", freeze(weight)),
        ):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        words, layers = counted(len(self.words), "word"), counted(self.layers, "layer")
        return f"SentimentModel({words} in R^{len(self.weight)}, {layers}, alpha={self.alpha:g})"

    def ids(self, texts: list[str]) -> NDArray[np.int64]:
        """Token ids (m, length) of texts: lower-case words, cut or padded."""
        index = {word: i for i, word in enumerate(self.words)}
        out = np.full((len(texts), self.length), PAD, dtype=np.int64)
        for row, text in zip(out, texts, strict=True):
            found = _WORD.findall(text.lower().replace("<br />", " "))[: self.length]
            row[: len(found)] = [index.get(word, UNKNOWN) for word in found]
        return out

    def logits(self, ids: Array) -> NDArray[np.float64]:
        """Logits (m,) at temperature 0. Cost O(m layers length^2 d)."""
        parts = [self._final(part).mean(axis=1) @ self.weight for part in self._batches(ids)]
        return np.concatenate(parts) + float(self.bias)

    def accuracy(self, ids: Array, labels: Array) -> float:
        """Share of texts whose logit has the sign of its label (1 positive, 0 negative)."""
        return float(((self.logits(ids) > 0) == (np.asarray(labels) > 0.5)).mean())

    def leaders(self, ids: Array, *, top: int = 20) -> list[Leader]:
        """The words that lead, by the part of the decision they carry, ``share * |logit|``.

        A token follows its winner in the last layer; a leader is a winner that wins for itself.
        Repeated words count as one; padding is left out of the list.
        """
        followers = np.zeros(len(self.words))
        texts = np.zeros(len(self.words), dtype=np.int64)
        total = 0
        for part in self._batches(ids):
            z = self._final(part)
            winner = (z @ z.transpose(0, 2, 1)).argmax(axis=2)
            total += len(part)
            for tokens, row, won in zip(z, part, winner, strict=True):
                leads = (tokens[won] == tokens).all(axis=1)
                led = won[leads[won]]
                np.add.at(followers, row[led], 1.0 / self.length)
                texts[np.unique(row[led])] += 1
        followers[PAD] = 0.0
        logit = self.embedding @ self.weight + float(self.bias)
        order = np.argsort(-followers * np.abs(logit), kind="stable")[:top]
        return [
            Leader(self.words[w], int(texts[w]), float(followers[w] / total), float(logit[w]))
            for w in order.tolist()
            if followers[w] > 0
        ]

    def _batches(self, ids: Array) -> list[Array]:
        rows = np.asarray(ids)
        if (
            rows.ndim != 2
            or not rows.size
            or rows.dtype.kind not in "iu"
            or rows.min() < 0
            or rows.max() >= len(self.words)
        ):
            raise InvalidInput(
                f"ids: (m, length) integers in 0..{len(self.words) - 1} needed, got shape "
                f"{rows.shape}; build them with ids(texts)."
            )
        few = max(1, min(_BATCH, _PAIRS // rows.shape[1] ** 2))
        return [rows[start : start + few] for start in range(0, len(rows), few)]

    def _final(self, ids: Array) -> Array:
        """States after the layers, (b, length, d)."""
        z = self.embedding[ids]
        part = self.alpha / (1 + self.alpha)
        for _ in range(self.layers):
            winner = (z @ z.transpose(0, 2, 1)).argmax(axis=2)
            z = z + part * (np.take_along_axis(z, winner[:, :, None], axis=1) - z)
        return z


def load_sentiment(path: str | Path) -> tuple[SentimentModel, dict[str, Array]]:
    """A model written by the training script, and its held-out ``test_ids``, ``test_labels``.

    Raises ``InvalidInput`` for a file that is not one.
    """
    held = read_npz(path)
    needed = ("words", "embedding", "weight", "bias", "alpha", "layers", "length")
    missing = [name for name in needed if name not in held]
    if missing:
        raise InvalidInput(
            f"{path}: a file of experiments/dynamics/sentiment needed, got none of "
            f"{', '.join(missing)}; write it with train.py."
        )
    words = held["words"]
    if words.dtype.kind != "U" or words.ndim != 1:
        raise InvalidInput(
            f"{path}, words: a list of texts needed, got {words.dtype} of shape {words.shape}; "
            "write it with train.py."
        )
    bias, alpha = (_number(path, name, held[name]) for name in ("bias", "alpha"))
    layers, length = (_whole(path, name, held[name]) for name in ("layers", "length"))
    model = SentimentModel(
        words.tolist(), held["embedding"], held["weight"], bias, alpha, layers, length
    )
    return model, _tests(path, held)


def _tests(path: str | Path, held: dict[str, Array]) -> dict[str, Array]:
    """The held-out texts and their labels, if there are any."""
    found = {name: held[name] for name in ("test_ids", "test_labels") if name in held}
    if not found:
        return {}
    shapes = {name: array.shape for name, array in found.items()}
    if (
        len(found) < 2
        or found["test_ids"].dtype.kind not in "iu"
        or found["test_labels"].dtype.kind not in "iufb"
        or found["test_ids"].ndim != 2
        or shapes["test_labels"] != shapes["test_ids"][:1]
    ):
        raise InvalidInput(
            f"{path}, test_ids, test_labels: integers (m, length) and numbers (m,) needed, got "
            f"shapes {shapes}; leave both out to judge a --text alone."
        )
    return found


def _number(path: str | Path, name: str, array: Array) -> float:
    if array.shape != () or array.dtype.kind not in "iuf" or not np.isfinite(array):
        raise InvalidInput(
            f"{path}, {name}: one finite number needed, got {array.dtype} of shape {array.shape}; "
            "write it with train.py."
        )
    return float(array)


def _whole(path: str | Path, name: str, array: Array) -> int:
    value = _number(path, name, array)
    if value != int(value) or not 0 <= value <= _MOST:
        raise InvalidInput(
            f"{path}, {name}: an integer in 0..{_MOST} needed, got {value:g}; write it with "
            "train.py."
        )
    return int(value)
