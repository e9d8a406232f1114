"""From text to ids as a checkpoint's own tokenizer does it, by the package ``tokenizers``.

A folder's ``tokenizer.json`` is read as it stands; without it, vocabulary files are read as the
class of the tokenizer says. Settings in ``tokenizer_config.json`` that a class lays over its files
are laid over them here as well: BERT's and ALBERT's normalisation, the blank before a text, added
and special tokens. The package is imported when a text comes, and no network is reached.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tropattn.attention.loading.config import Config
from tropattn.errors import InvalidInput
from tropattn.files import read_bytes, read_json

__all__ = ["FILES", "TextReader", "bytes_tokenizer", "opened"]

FILES = ("tokenizer.json", "merges.txt", "tokenizer.model", "spiece.model")
"""Files that only a tokenizer can read; beside a vocabulary of characters there are none."""

_BERT = {"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"}
_BYTES = {"GPT2Tokenizer", "GPTNeoXTokenizer", "Qwen2Tokenizer", "RobertaTokenizer"}
_FAMILIES = ("Barthez", "Bloom", "Camembert", "CodeLlama", "Gemma", "Llama", "MPNet", "T5")
_WHOLE = {"PreTrainedTokenizer", "TokenizersBackend", "XLMRobertaTokenizer"}
_WHOLE |= {f"{name}Tokenizer" for name in _FAMILIES}
"""Classes whose ``tokenizer.json`` says all."""

_SQUARE = {"sep": "[SEP]", "cls": "[CLS]", "mask": "[MASK]"}
_ANGLED = {"unk": "<unk>", "bos": "<s>", "eos": "</s>"}
_SPECIAL = {
    "BertTokenizer": {**_SQUARE, "unk": "[UNK]", "pad": "[PAD]"},
    "AlbertTokenizer": {**_SQUARE, "bos": "[CLS]", "eos": "[SEP]", "unk": "<unk>", "pad": "<pad>"},
    "RobertaTokenizer": {**_ANGLED, "sep": "</s>", "cls": "<s>", "pad": "<pad>", "mask": "<mask>"},
    "GPT2Tokenizer": dict.fromkeys(("unk", "bos", "eos"), "<|endoftext|>"),
    "GPTNeoXTokenizer": {
        **dict.fromkeys(("unk", "bos", "eos"), "<|endoftext|>"),
        "pad": "<|padding|>",
    },
    "Qwen2Tokenizer": dict.fromkeys(("unk", "eos", "pad"), "<|endoftext|>"),
    "LlamaTokenizer": _ANGLED,
}
"""Special tokens of a class where its settings name no others."""

_NAMED = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

_QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_ADVICE = "split the text with the model's own tokenizer, or pass ids."


@dataclass(frozen=True, slots=True, eq=False)
class TextReader:
    """Reads texts with the tokenizer of a model's folder, opened at the first text.

    ``default`` is the tokenizer's class where its settings name none. A call raises
    ``InvalidInput`` for a tokenizer or a text that cannot be read; the model itself can.
    """

    folder: Path
    default: str
    _opened: list[_Opened] = field(default_factory=list, init=False, repr=False)

    def __call__(self, text: str) -> list[int]:
        """Return the ids of a text, special tokens round it included."""
        for place, character in enumerate(text):
            if "\ud800" <= character <= "\udfff":
                raise InvalidInput(
                    f"text: Unicode characters needed, got the lone surrogate {character!r} at "
                    f"place {place}; remove it."
                )
        if not self._opened:
            self._opened.append(_Opened.of(self.folder, self.default))
        return self._opened[0].ids(text)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A tokenizer of the package and, where it would drop them, the characters that it knows."""

    where: Path
    tokenizer: Any
    drops: bool

    @classmethod
    def of(cls, folder: Path, default: str) -> _Opened:
        library = _library(folder)
        with _one_error(f"{folder}: files of a tokenizer as the package tokenizers reads it"):
            settings = _settings(folder)
            kind = _class(settings, default)
            tokenizer = _built(library, folder, kind, settings)
            _add_tokens(library, tokenizer, settings, kind)
        return cls.made(folder, tokenizer)

    @classmethod
    def made(cls, where: Path, tokenizer: Any) -> _Opened:
        library = _library(where)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        model = tokenizer.model
        drops = isinstance(model, library.models.BPE) and not model.unk_token
        return cls(where, tokenizer, drops and not model.byte_fallback)

    def ids(self, text: str) -> list[int]:
        if self.drops:
            self._refuse_dropped(text)
        known = f"text: words of the vocabulary of {self.where}, or an unknown token in it,"
        with _one_error(known):
            return list(self.tokenizer.encode(text).ids)

    def _refuse_dropped(self, text: str) -> None:
        """Raise where a model without an unknown token would leave a character out."""
        added = [token.content for token in self.tokenizer.get_added_tokens_decoder().values()]
        parts = re.split("|".join(map(re.escape, added)), text) if added else [text]
        normalizer, cutter = self.tokenizer.normalizer, self.tokenizer.pre_tokenizer
        for part in parts:
            plain = part if normalizer is None else normalizer.normalize_str(part)
            pieces = [(plain, None)] if cutter is None else cutter.pre_tokenize_str(plain)
            for character in sorted({character for piece, _ in pieces for character in piece}):
                if self.tokenizer.token_to_id(character) is None:
                    raise InvalidInput(
                        f"text: characters of the vocabulary of {self.where}, or an unknown token "
                        f"in it, needed, got {character!r}; {_ADVICE}"
                    )


def _library(where: Path) -> Any:
    """The package, or ``InvalidInput`` that says what to install."""
    try:
        return importlib.import_module("tokenizers")
    except ImportError:
        raise InvalidInput(
            f"text: the package tokenizers needed for {where}, got none installed; "
            "pip install tokenizers, or pass ids."
        ) from None


@contextmanager
def _one_error(wanted: str) -> Iterator[None]:
    """Turn whatever the package raises into one line."""
    try:
        yield
    except InvalidInput:
        raise
    except BaseException as error:
        # A panic of the package's own code is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        got = " ".join(str(error).split())[:120] or type(error).__name__
        raise InvalidInput(f"{wanted} needed, got {got}; {_ADVICE}") from None


def opened(where: Path, tokenizer: Any) -> _Opened:
    """A tokenizer of the package, made elsewhere; its ``ids`` reads a text."""
    return _Opened.made(where, tokenizer)


def bytes_tokenizer(
    where: str,
    words: Sequence[str],
    merges: Sequence[str],
    cutting: Any,
    added: Sequence[str],
    first: str | None,
) -> Any:
    """Return a byte-level tokenizer of the package from a vocabulary in a file.

    ``cutting`` is the name by which the file says how texts are cut into words, ``added`` are found
    in a text as they stand, ``first`` comes before each text.
    """
    library = _library(Path(where))
    cutters = library.pre_tokenizers
    plain = cutters.ByteLevel(add_prefix_space=False)
    split = cutters.Split(library.Regex(_QWEN2_WORDS), behavior="isolated")
    bare = cutters.ByteLevel(add_prefix_space=False, use_regex=False)
    known = {
        "gpt-2": plain,
        "default": plain,
        "smollm": cutters.Sequence([cutters.Digits(individual_digits=True), plain]),
        "qwen2": cutters.Sequence([split, bare]),
    }
    if cutting not in known:
        raise InvalidInput(
            f"text: words cut as {', '.join(known)} in {where} needed, got {cutting!r}; {_ADVICE}"
        )
    with _one_error(f"{where}: a vocabulary and merges as the package tokenizers reads them"):
        pairs = [tuple(line.split(" ")) for line in merges]
        table = {word: index for index, word in enumerate(words)}
        tokenizer = library.Tokenizer(library.models.BPE(vocab=table, merges=pairs))
        if cutting == "qwen2":
            tokenizer.normalizer = library.normalizers.NFC()
        tokenizer.pre_tokenizer = known[cutting]
        special = [library.AddedToken(word, special=True, normalized=False) for word in added]
        tokenizer.add_special_tokens(special)
        if first is not None:
            tokenizer.post_processor = library.processors.TemplateProcessing(
                single=[first, "$A"], special_tokens=[(first, table[first])]
            )
    return tokenizer


# ---- settings ---------------------------------------------------------------------------------


def _settings(folder: Path) -> dict[str, Any]:
    """What the files beside the weights say, later ones first where they overlap."""
    settings: dict[str, Any] = {}
    configured = read_json(folder / "config.json") or {}
    if configured.get("tokenizer_class") is not None:
        settings["tokenizer_class"] = configured["tokenizer_class"]
    settings |= read_json(folder / "tokenizer_config.json") or {}
    if "added_tokens_decoder" not in settings:
        # Older folders name the tokens in files of their own.
        settings |= read_json(folder / "special_tokens_map.json") or {}
        added = read_json(folder / "added_tokens.json") or {}
        special = set(_contents(settings))
        settings["added_tokens_decoder"] = {
            index: {
                "content": token,
                "special": token in special,
                "normalized": token not in special,
            }
            for token, index in added.items()
        }
    return settings


def _contents(settings: dict[str, Any]) -> Iterator[str]:
    """The special tokens that settings name."""
    for value in _specials(settings):
        yield value["content"] if isinstance(value, dict) else value


def _specials(settings: dict[str, Any]) -> list[Any]:
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    named = [settings.get(f"{name}_token") for name in _NAMED]
    listed = list(extra.values() if isinstance(extra, dict) else extra)
    found = [value for value in (*named, *listed) if value is not None]
    for value in found:
        content = value.get("content") if isinstance(value, dict) else value
        if not isinstance(content, str) or not content:
            raise InvalidInput(
                "tokenizer_config.json: special tokens as strings needed, got "
                f"{str(value)[:40]!r}; restore the file that came with the weights."
            )
    return found


def _with_defaults(settings: dict[str, Any], kind: str) -> dict[str, Any]:
    """The settings, with the class's own special tokens where they name none."""
    usual = {f"{name}_token": token for name, token in _SPECIAL.get(kind, {}).items()}
    return usual | {name: value for name, value in settings.items() if value is not None}


def _class(settings: dict[str, Any], default: str) -> str:
    """The class of the tokenizer, without the ``Fast`` that older versions put behind it."""
    given = settings.get("tokenizer_class")
    own = settings.get("auto_map")
    kind = default if given is None else str(given).removesuffix("Fast")
    known = kind in {*_BERT, *_BYTES, *_WHOLE, "AlbertTokenizer"}
    if isinstance(own, dict) and "AutoTokenizer" not in own:
        own = None
    if not known or own is not None:
        got = "code of its own" if known else f"{given!r}"[:60]
        raise InvalidInput(
            f"text: a tokenizer of a class such as {', '.join(sorted(_SPECIAL))} "
            f"needed, got {got}; {_ADVICE}"
        )
    return "BertTokenizer" if kind in _BERT else kind


# ---- building ---------------------------------------------------------------------------------


def _built(library: Any, folder: Path, kind: str, settings: dict[str, Any]) -> Any:
    """The tokenizer of the files, with the settings that its class lays over them."""
    file = folder / "tokenizer.json"
    tokenizer = None
    if file.is_file():
        tokenizer = library.Tokenizer.from_str(read_bytes(file).decode("utf-8"))
    named = _with_defaults(settings, kind)
    special = {
        name: value["content"] if isinstance(value, dict) else value
        for name in _NAMED
        if (value := named.get(f"{name}_token")) is not None
    }
    flags = Config("tokenizer_config.json", settings)
    if kind == "BertTokenizer":
        if tokenizer is None:
            return _bert(library, _lines(folder / "vocab.txt"), special, flags)
        words = tokenizer.get_vocab(with_added_tokens=False)
        return _bert(library, words, special, flags)
    if tokenizer is None:
        if kind not in _BYTES:
            raise InvalidInput(
                f"{folder}: tokenizer.json needed for a text of a {kind}, got none; save the "
                f"tokenizer again, or {_ADVICE}"
            )
        tokenizer = _of_merges(library, folder, kind, special, settings)
    if kind == "AlbertTokenizer":
        _lay_albert(library, tokenizer, flags)
    if kind in _BYTES:
        _lay_bytes(library, tokenizer, kind, special, settings)
    if settings.get("split_special_tokens"):
        tokenizer.encode_special_tokens = True
    return tokenizer


def _flag(flags: Config, name: str, default: bool | None) -> bool | None:
    return default if flags.values.get(name) is None else flags.flag(name)


def _bert(library: Any, words: dict[str, int], special: dict[str, str], flags: Config) -> Any:
    for name in ("unk", "cls", "sep"):
        if special[name] not in words:
            raise InvalidInput(
                f"vocabulary: {special[name]} needed for WordPiece, got {len(words)} tokens "
                f"without it; {_ADVICE}"
            )
    tokenizer = library.Tokenizer(library.models.WordPiece(words, unk_token=special["unk"]))
    tokenizer.normalizer = library.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=_flag(flags, "tokenize_chinese_chars", True),
        strip_accents=_flag(flags, "strip_accents", None),
        lowercase=_flag(flags, "do_lower_case", True),
    )
    tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    first, last = special["cls"], special["sep"]
    tokenizer.post_processor = library.processors.TemplateProcessing(
        single=[first, "$A", last],
        special_tokens=[(token, words[token]) for token in dict.fromkeys((first, last))],
    )
    if flags.values.get("split_special_tokens"):
        tokenizer.encode_special_tokens = True
    return tokenizer


def _of_merges(
    library: Any, folder: Path, kind: str, special: dict[str, str], settings: dict[str, Any]
) -> Any:
    """A byte-level tokenizer of ``vocab.json`` and ``merges.txt``."""
    words = read_json(folder / "vocab.json")
    merges = folder / "merges.txt"
    if words is None or not merges.is_file():
        raise InvalidInput(
            f"{folder}: tokenizer.json, or vocab.json and merges.txt, needed for a text, got "
            f"neither; {_ADVICE}"
        )
    lines = read_bytes(merges).decode("utf-8").split("\n")
    pairs = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    tokenizer = library.Tokenizer(library.models.BPE(vocab=words, merges=pairs))
    if kind == "Qwen2Tokenizer":
        tokenizer.normalizer = library.normalizers.NFC()
    elif kind == "GPT2Tokenizer" and settings.get("add_bos_token"):
        first = special["bos"]
        tokenizer.post_processor = library.processors.TemplateProcessing(
            single=[first, "$A"], special_tokens=[(first, _id(words, first))]
        )
    return tokenizer


def _lay_bytes(
    library: Any, tokenizer: Any, kind: str, special: dict[str, str], settings: dict[str, Any]
) -> None:
    """Cut words as the byte-level classes do, with or without a blank before the text."""
    cutters, blank = library.pre_tokenizers, bool(settings.get("add_prefix_space"))
    if kind == "Qwen2Tokenizer":
        tokenizer.pre_tokenizer = cutters.Sequence(
            [
                cutters.Split(library.Regex(_QWEN2_WORDS), behavior="isolated"),
                cutters.ByteLevel(add_prefix_space=blank, use_regex=False),
            ]
        )
        return
    tokenizer.pre_tokenizer = cutters.ByteLevel(add_prefix_space=blank)
    words = tokenizer.get_vocab()
    if kind == "GPTNeoXTokenizer":
        tokenizer.normalizer = library.normalizers.NFC()
        asked = {
            name: special[name] for name in ("bos", "eos") if settings.get(f"add_{name}_token")
        }
        tokenizer.post_processor = library.processors.TemplateProcessing(
            single=[*filter(None, (asked.get("bos"), "$A", asked.get("eos")))],
            special_tokens=[(token, _id(words, token)) for token in set(asked.values())],
        )
    if kind == "RobertaTokenizer":
        ends = [(special[name], _id(words, special[name])) for name in ("sep", "cls")]
        tokenizer.post_processor = library.processors.RobertaProcessing(
            *ends, trim_offsets=True, add_prefix_space=blank
        )


def _lay_albert(library: Any, tokenizer: Any, flags: Config) -> None:
    """Normalise as ALBERT does; the table of characters that its file holds stays the last step."""
    make = library.normalizers
    steps = [make.Replace("``", '"'), make.Replace("''", '"')]
    if not _flag(flags, "keep_accents", False):
        steps += [make.NFKD(), make.StripAccents()]
    if _flag(flags, "do_lower_case", True):
        steps.append(make.Lowercase())
    stored = tokenizer.normalizer
    parts = list(stored) if isinstance(stored, make.Sequence) else [stored]
    steps += [step for step in parts if isinstance(step, make.Precompiled)]
    tokenizer.normalizer = make.Sequence(steps)


def _add_tokens(library: Any, tokenizer: Any, settings: dict[str, Any], kind: str) -> None:
    """Add the tokens that settings list, each at its id, and make the special ones special."""
    stated = settings["added_tokens_decoder"] or {}
    if not isinstance(stated, dict):
        raise InvalidInput(
            f"tokenizer_config.json: added_tokens_decoder as id to token needed, got "
            f"{type(stated).__name__}; restore the file that came with the weights."
        )
    known = {t.content: t for t in tokenizer.get_added_tokens_decoder().values()}
    listed = [(int(index), _token(library, given)) for index, given in stated.items()]
    for index, token in sorted(listed, key=lambda pair: pair[0]):
        known[token.content] = token
        tokenizer.add_tokens([token])
        if tokenizer.token_to_id(token.content) != index:
            raise InvalidInput(
                f"{token.content!r}: the id {index} needed as the added tokens say, got "
                f"{tokenizer.token_to_id(token.content)}; restore the tokenizer's files."
            )
    for value in _specials(_with_defaults(settings, kind)):
        token = _token(library, value)
        token = known.get(token.content, token)
        token.special = True
        tokenizer.add_special_tokens([token])


def _token(library: Any, given: Any) -> Any:
    """One added token; a bare string is a special one, found in the text as it was given."""
    if isinstance(given, dict):
        return library.AddedToken(**{k: v for k, v in given.items() if k not in ("id", "__type")})
    return library.AddedToken(given, special=True, normalized=False)


def _id(words: dict[str, int], token: str) -> int:
    if token not in words:
        raise InvalidInput(
            f"vocabulary: {token} needed, got {len(words)} tokens without it; {_ADVICE}"
        )
    return words[token]


def _lines(path: Path) -> dict[str, int]:
    """The ids of the tokens of ``vocab.txt``; the last line with a token counts, as in BERT."""
    if not path.is_file():
        raise InvalidInput(
            f"{path.parent}: tokenizer.json or vocab.txt needed for a text, got neither; {_ADVICE}"
        )
    # Only line feeds end a line: a token may be another of Unicode's line separators.
    lines = read_bytes(path).decode("utf-8").removesuffix("\n").split("\n")
    return {line.removesuffix("\r"): i for i, line in enumerate(lines)}
