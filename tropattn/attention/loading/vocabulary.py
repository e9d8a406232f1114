"""Names of tokens and ways from text to ids, as far as the files beside the weights give them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tropattn.attention.loading.texts import FILES, TextReader
from tropattn.attention.networks.fields import is_special
from tropattn.errors import InvalidInput
from tropattn.files import read_bytes, read_json

__all__ = ["Words", "read_words"]


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The token of each id, or None, and the function from text to ids, or None."""

    vocabulary: list[str] | None
    tokenizer: Callable[[str], Sequence[int]] | None


def read_words(folder: Path | Words | None, n_tokens: int, tokenizer: str) -> Words:
    """Read what lies beside the weights of a model with ``n_tokens`` embeddings, if in a folder.

    Words that the weights' own file holds are given in its place.

    ``tokenizer`` is the class of the family's tokenizer where its settings name none.

    A vocabulary of single characters without a tokenizer is read character by character, another
    list in ``vocab.txt`` as tokens that a text names with blanks between them; all else, and BERT's
    list, is the package tokenizers' when a text is given. A vocabulary that does not belong to the
    weights refuses texts, not the model.
    """
    if isinstance(folder, Words):
        return folder if len(folder.vocabulary or ()) <= n_tokens else Words(None, None)
    if folder is None:
        return Words(None, None)
    reader = TextReader(folder, tokenizer)
    try:
        lines = _read_lines(folder / "vocab.txt", n_tokens)
        table = _read_table(folder / "vocab.json", n_tokens)
    except InvalidInput as error:
        whole = (folder / "tokenizer.json").is_file()
        return Words(None, reader if whole else _Refused(str(error)))
    names = lines if table is None else table
    if any((folder / name).is_file() for name in FILES) or (lines and tokenizer == "BertTokenizer"):
        return Words(names, reader)
    if names is not None and all(len(token) == 1 or is_special(token) for token in names):
        return Words(names, None)
    return Words(names, None if lines is None else _Named(lines))


@dataclass(frozen=True, slots=True, eq=False)
class _Refused:
    """Reads no text, and says why."""

    why: str

    def __call__(self, _text: str) -> list[int]:
        raise InvalidInput(f"text: {self.why}")


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """Reads a text as tokens with blanks between them."""

    vocabulary: list[str]

    def __call__(self, text: str) -> list[int]:
        table = {token: i for i, token in enumerate(self.vocabulary)}
        words = text.split()
        for place, word in enumerate(words):
            if word not in table:
                raise InvalidInput(
                    f"text: tokens of the vocabulary with blanks between them needed, got "
                    f"{word[:40]!r} at place {place}; split the text with the model's own "
                    "tokenizer, or pass ids."
                )
        return [table[word] for word in words]


def _read_lines(path: Path, n_tokens: int) -> list[str] | None:
    if not os.path.lexists(path):
        return None
    try:
        # Only line feeds end a line: a token may be another of Unicode's line separators.
        lines = read_bytes(path).decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path}: a text file with one token a line needed, got {str(error)[:120]}; "
            "restore the file that came with the weights."
        ) from None
    tokens = [line.removesuffix("\r") for line in lines]
    if len(tokens) > n_tokens or len(set(tokens)) != len(tokens):
        raise InvalidInput(
            f"{path}: at most {n_tokens} distinct tokens needed, one a row of the embedding, got "
            f"{len(set(tokens))} distinct ones in {len(tokens)} lines; check that the vocabulary "
            "belongs to the weights."
        )
    return tokens


def _read_table(path: Path, n_tokens: int) -> list[str] | None:
    table: dict[str, Any] | None = read_json(path)
    if table is None:
        return None
    by_id = {i: token for token, i in table.items() if type(i) is int and 0 <= i < n_tokens}
    if len(by_id) != len(table) or not table:
        raise InvalidInput(
            f"{path}: one distinct id in 0..{n_tokens - 1} a token needed, got others; "
            "check that the vocabulary belongs to the weights."
        )
    return [by_id.get(i, f"<unused {i}>") for i in range(max(by_id) + 1)]
