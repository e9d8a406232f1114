"""WordPiece, the tokenizer of BERT: longest pieces of a vocabulary, words split first."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from tropattn.errors import InvalidInput

__all__ = ["WordPiece"]

_LONGEST_WORD = 100


@dataclass(frozen=True, slots=True, eq=False)
class WordPiece:
    """Text to ids: ``[CLS]``, pieces found greedily from the left, ``[SEP]``.

    Parameters
    ----------
    vocabulary : the pieces in the order of their ids; continuations begin with ``##``.
    lower : whether text is put into lower case and stripped of accents.

    Raises
    ------
    InvalidInput : a vocabulary without ``[CLS]``, ``[SEP]`` or ``[UNK]``.

    References
    ----------
    Devlin, Chang, Lee, Toutanova (2019), *BERT*, arXiv 1810.04805, section 3; Schuster, Nakajima
    (2012), *Japanese and Korean voice search*.

    Examples
    --------
    >>> pieces = WordPiece(["[UNK]", "[CLS]", "[SEP]", "play", "##ing", "!"])
    >>> pieces("Playing! X")
    [1, 3, 4, 5, 0, 2]
    """

    vocabulary: Sequence[str]
    lower: bool = True
    _ids: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._ids.update({token: i for i, token in enumerate(self.vocabulary)})
        for name in ("[UNK]", "[CLS]", "[SEP]"):
            if name not in self._ids:
                raise InvalidInput(
                    f"vocabulary: {name} needed for WordPiece, got {len(self.vocabulary)} tokens "
                    "without it; pass token ids instead of text."
                )

    def __call__(self, text: str) -> list[int]:
        """Return the ids of a text; words outside the vocabulary become ``[UNK]``."""
        found = [piece for word in self._words(text) for piece in self._pieces(word)]
        return [self._ids["[CLS]"], *found, self._ids["[SEP]"]]

    def _words(self, text: str) -> list[str]:
        kept = []
        for character in text:
            code = ord(character)
            if character in "\t\n\r":
                kept.append(" ")
            elif code in (0, 0xFFFD) or unicodedata.category(character) in ("Cc", "Cf"):
                continue
            elif unicodedata.category(character) == "Zs":
                kept.append(" ")
            else:
                kept.append(f" {character} " if _is_ideograph(code) else character)
        words = []
        for word in "".join(kept).split():
            plain = _without_accents(word.lower()) if self.lower else word
            words += _split_punctuation(plain)
        return words

    def _pieces(self, word: str) -> list[int]:
        unknown = [self._ids["[UNK]"]]
        if len(word) > _LONGEST_WORD:
            return unknown
        found, start = [], 0
        while start < len(word):
            for stop in range(len(word), start, -1):
                piece = word[start:stop] if start == 0 else "##" + word[start:stop]
                if piece in self._ids:
                    found.append(self._ids[piece])
                    start = stop
                    break
            else:
                return unknown
        return found


def _without_accents(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")


def _split_punctuation(word: str) -> list[str]:
    out: list[str] = []
    fresh = True
    for character in word:
        if _is_punctuation(character):
            out.append(character)
            fresh = True
        elif fresh:
            out.append(character)
            fresh = False
        else:
            out[-1] += character
    return out


def _is_punctuation(character: str) -> bool:
    # All of ASCII but letters, digits and blanks counts, "$" and "^" included.
    ascii_sign = character.isascii() and character.isprintable() and not character.isalnum()
    return (ascii_sign and character != " ") or unicodedata.category(character).startswith("P")


def _is_ideograph(code: int) -> bool:
    blocks = (
        (0x4E00, 0x9FFF),
        (0x3400, 0x4DBF),
        (0x20000, 0x2A6DF),
        (0x2A700, 0x2B73F),
        (0x2B740, 0x2B81F),
        (0x2B820, 0x2CEAF),
        (0xF900, 0xFAFF),
        (0x2F800, 0x2FA1F),
    )
    return any(first <= code <= last for first, last in blocks)
