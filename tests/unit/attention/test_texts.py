"""Texts to ids with small vocabularies; the ids are read off the vocabulary by hand."""

import json
import subprocess
import sys

import pytest

from tropattn.attention.loading.texts import TextReader
from tropattn.errors import InvalidInput

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "cafe",
    "café",
    "##s",
    "Cafe",
    "\u03c3\u03b1\u03c2",
]
PIECES += ["\u03c3\u03b1\u03c3", "東", "京", "東京", "!", "[", "]", "mask", "a", "##b"]
ID = {piece: i for i, piece in enumerate(PIECES)}


def bert(folder, pieces=PIECES, **settings):
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8", newline="\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return TextReader(folder, "BertTokenizer")


def named(ids):
    assert (ids[0], ids[-1]) == (ID["[CLS]"], ID["[SEP]"])
    return [PIECES[i] for i in ids[1:-1]]


@pytest.mark.parametrize(
    ("settings", "text", "pieces"),
    [
        # Special tokens inside a text are themselves; [mask] is brackets and a word.
        ({}, "a [MASK]!", ["a", "[MASK]", "!"]),
        ({}, "[CLS]a[SEP] [PAD][UNK]", ["[CLS]", "a", "[SEP]", "[PAD]", "[UNK]"]),
        ({}, "[mask]", ["[", "mask", "]"]),
        ({"split_special_tokens": True}, "[MASK]", ["[", "mask", "]"]),
        # Lower case strips accents unless told otherwise, and the other way round.
        ({}, "CAFÉS", ["cafe", "##s"]),
        ({"strip_accents": False}, "CAFÉS", ["café", "##s"]),
        ({"do_lower_case": False}, "Cafe café", ["Cafe", "café"]),
        ({"do_lower_case": False, "strip_accents": True}, "café", ["cafe"]),
        # Ideographs are words of their own unless told otherwise.
        ({}, "東京", ["東", "京"]),
        ({"tokenize_chinese_chars": False}, "東京", ["東京"]),
        # Lower case letter by letter: a capital sigma at the end of a word is a sigma like others.
        ({}, "\u03a3\u0391\u03a3", ["\u03c3\u03b1\u03c3"]),
        # Control characters (Cc), formats (Cf) and private use (Co) are left out.
        ({}, "a\x00b\u200b\ue000", ["a", "##b"]),
        ({}, "x" * 101, ["[UNK]"]),
        # The special tokens may have other names.
        ({"mask_token": "mask"}, "a mask", ["a", "mask"]),
    ],
)
def test_wordpiece_by_hand(settings, text, pieces, tmp_path):
    assert named(bert(tmp_path, **settings)(text)) == pieces


def test_added_tokens_by_hand(tmp_path):
    stated = {
        str(len(PIECES)): {"content": "<new>", "lstrip": True, "normalized": False},
        str(len(PIECES) + 1): {"content": "a a", "normalized": False},
    }
    reader = bert(tmp_path, added_tokens_decoder=stated)
    assert reader("a  <new> b a a") == [2, ID["a"], 20, 1, 21, 3]
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<x>": len(PIECES)}))
    reader = bert(tmp_path)
    assert reader("a<x>") == [2, ID["a"], 20, 3]
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"sep_token": "!"}))
    assert bert(tmp_path)("a") == [2, ID["a"], ID["!"]]


def whole(folder, model, **parts):
    """Write a ``tokenizer.json``."""
    empty = dict.fromkeys(
        ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    )
    document = {"version": "1.0", **empty, "added_tokens": [], "model": model, **parts}
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
MERGES = {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4}}
MERGES["merges"] = [["a", "b"], ["Ġ", "ab"]]


def test_tokenizer_json_comes_before_the_vocabulary(tmp_path):
    # Of vocab.txt "a" would be 18; of the whole tokenizer it is 3.
    reader = bert(tmp_path)
    words = {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "a": 3}
    model = {"type": "WordPiece", "vocab": words, "unk_token": "[UNK]"}
    model |= {"continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    padding = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[CLS]"}
    whole(tmp_path, model, padding=padding)
    assert reader("A") == [0, 3, 1]


def test_byte_level_by_hand(tmp_path):
    whole(tmp_path, MERGES, pre_tokenizer=BYTES)
    assert TextReader(tmp_path, "GPT2Tokenizer")("ab ab") == [3, 4]
    (tmp_path / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    assert TextReader(tmp_path, "GPT2Tokenizer")("ab") == [4]
    # The same from the files of older versions.
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.json").write_text(json.dumps(MERGES["vocab"]), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\nĠ ab\n", encoding="utf-8")
    assert TextReader(tmp_path, "GPT2Tokenizer")("ab ab") == [4, 4]


def test_one_error_for_what_cannot_be_read(tmp_path):
    whole(tmp_path, MERGES, pre_tokenizer=BYTES)
    reader = TextReader(tmp_path, "GPT2Tokenizer")
    with pytest.raises(InvalidInput, match=r"text: Unicode characters needed, .* at place 1"):
        reader("a\ud800")
    # The model has no unknown token, and would leave the letter out in silence.
    with pytest.raises(InvalidInput, match=r"text: characters of the vocabulary .* got 'x'"):
        reader("abx")
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "<unk>"}
    whole(tmp_path, model)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    with pytest.raises(InvalidInput, match=r"text: words of the vocabulary .*unknown token"):
        TextReader(tmp_path, "GPT2Tokenizer")("b")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InvalidInput, match=r"tokenizer.json needed for a text of a T5Tokenizer"):
        TextReader(tmp_path, "GPT2Tokenizer")("b")


@pytest.mark.long
def test_the_package_is_imported_for_texts_only():
    words = (
        "import sys, tropattn as ta; from tropattn.cli.options import shipped;"
        "model = ta.load(shipped()); model.fix([3, 1]); model.tokens('31');"
        "sys.exit('tokenizers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
