"""Text to ids against transformers' AutoTokenizer: five kinds, 300 texts of many scripts.

The tokenizers are trained here on a few lines and saved by transformers; nothing is downloaded.
Each folder is then varied: settings changed, files removed, tokens added.
"""

import json
import random

import pytest

from tropattn.attention.loading.texts import TextReader

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

CORPUS = [
    "The capital of France is Paris. The cats sat on the mats, and didn't we'll play?",
    "Straße ÄÖÜ naïve café résumé Ångström œuvre",
    "Η πρωτεύουσα της Ελλάδας είναι η Αθήνα. ΟΔΥΣΣΕΥΣ ὈΔΥΣΣΕΎΣ",  # noqa: RUF001
    "Съешь ещё этих мягких французских булок",
    "東京は日本の首都です。 カタカナ ひらがな 한국어 中文字符",
    "عاصمة فرنسا هي باريس הבירה של צרפת",
    "फ़्रांस की राजधानी पेरिस है ประเทศฝรั่งเศส",
    "1234567890 3.14159 + - * / = <> {} [] () $%&@#!?",
    "def f(x):\n\treturn x ** 2\r\n    # a comment",
]
PIECES = [
    *CORPUS,
    *" ".join(CORPUS).split(),
    "[MASK]",
    "[CLS]",
    "[SEP]",
    "[PAD]",
    "[UNK]",
    "<s>",
    "</s>",
    "<mask>",
    "<pad>",
    "<unk>",
    "<|endoftext|>",
    "<new>",
    "[mask]",
    "\t",
    "\r\n",
    "\x00",
    "\x07",
    "\x1b",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\ufffd",
    "\u00a0",
    "\u2028",
    "\u3000",
    "\ue000",
    "\U000f0000",
    "\u0378",
    "ΣΑΣ ς",
    "İstanbul",
    "ﬁ ﬂ ½ Ⅷ",
    "e\u0301 a\u0308",
    "👩‍👩‍👧 🇫🇷 😀",
    "a" * 120,
    "``quoted''",
    "  ",
    "don't",
]


def texts(seed):
    """300 texts: each piece alone and within words, then random joins of pieces."""
    draw = random.Random(seed)
    out = [piece for piece in PIECES if piece.strip()]
    out += [f"The capital {piece} is" for piece in PIECES]
    while len(out) < 300:
        joint = draw.choice(["", " ", "  "])
        text = joint.join(draw.choice(PIECES) for _ in range(draw.randrange(2, 7)))
        out += [text] if text.strip() else []
    return out[:300]


def trained(model, trainer, **parts):
    made = tokenizers.Tokenizer(model)
    for name, part in parts.items():
        setattr(made, name, part)
    made.train_from_iterator(CORPUS * 3, trainer)
    return json.loads(made.to_str())["model"]


def bert_folder(folder, settings):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    model = trained(
        tokenizers.models.WordPiece(unk_token="[UNK]"),
        tokenizers.trainers.WordPieceTrainer(vocab_size=400, special_tokens=special),
        normalizer=tokenizers.normalizers.BertNormalizer(lowercase=settings["do_lower_case"]),
        pre_tokenizer=tokenizers.pre_tokenizers.BertPreTokenizer(),
    )
    transformers.BertTokenizer(vocab=model["vocab"], **settings).save_pretrained(folder)
    lines = sorted(model["vocab"], key=model["vocab"].get)
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def byte_folder(name):
    def make(folder, settings):
        special = {
            "GPT2": ["<|endoftext|>"],
            "Roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
            "Qwen2": ["<|endoftext|>"],
            "GPTNeoX": ["<|endoftext|>", "<|padding|>"],
        }[name]
        model = trained(
            tokenizers.models.BPE(),
            tokenizers.trainers.BpeTrainer(
                vocab_size=500,
                special_tokens=special,
                initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            ),
            pre_tokenizer=tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        )
        merges = [tuple(pair) for pair in model["merges"]]
        made = getattr(transformers, name + "Tokenizer")
        made(vocab=model["vocab"], merges=merges, **settings).save_pretrained(folder)
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
        pairs = "\n".join(" ".join(pair) for pair in merges)
        (folder / "merges.txt").write_text("#version: 0.2\n" + pairs + "\n", encoding="utf-8")

    return make


def unigram_folder(name):
    def make(folder, settings):
        special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
        if name in ("XLMRoberta", "Camembert"):
            special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        model = trained(
            tokenizers.models.Unigram(),
            tokenizers.trainers.UnigramTrainer(
                vocab_size=300, special_tokens=special, unk_token="<unk>"
            ),
            pre_tokenizer=tokenizers.pre_tokenizers.Metaspace(),
        )
        words = [tuple(pair) for pair in model["vocab"]]
        made = getattr(transformers, name + "Tokenizer")
        made(vocab=words, **settings).save_pretrained(folder)

    return make


def llama_folder(folder, settings):
    model = trained(
        tokenizers.models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"),
        tokenizers.trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))],
        ),
        pre_tokenizer=tokenizers.pre_tokenizers.Metaspace(split=False),
    )
    merges = [tuple(pair) for pair in model["merges"]]
    made = transformers.LlamaTokenizer(vocab=model["vocab"], merges=merges, **settings)
    made.save_pretrained(folder)


def gemma_folder(folder, settings):
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    model = trained(
        tokenizers.models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"),
        tokenizers.trainers.BpeTrainer(
            vocab_size=500, special_tokens=[*special, *(f"<0x{i:02X}>" for i in range(256))]
        ),
        normalizer=tokenizers.normalizers.Replace(" ", "▁"),
    )
    merges = [tuple(pair) for pair in model["merges"]]
    made = transformers.GemmaTokenizer(vocab=model["vocab"], merges=merges, **settings)
    made.save_pretrained(folder)


def without_whole(folder):
    (folder / "tokenizer.json").unlink()


def setting(**changes):
    def change(folder):
        path = folder / "tokenizer_config.json"
        values = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in values.items() if v != "dropped"}))

    return change


def called(name):
    return setting(tokenizer_class=name)


def n_words(folder):
    return len((folder / "vocab.txt").read_text(encoding="utf-8").split("\n")) - 1


def added(folder):
    """One token more, with a blank before it swallowed, and the named ones as they were."""
    whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    n_tokens = 1 + max(
        [token["id"] for token in whole["added_tokens"]] + list(whole["model"]["vocab"].values())
    )
    flags = {"lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    stated = {str(t.pop("id")): t for t in whole["added_tokens"]}
    stated[str(n_tokens)] = {"content": "<new>", "special": False, **flags}
    setting(added_tokens_decoder=stated)(folder)


def older(folder):
    """The files of older versions: tokens in files of their own, settings without them."""
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text())
    named = {k: values.pop(k) for k in list(values) if k.endswith("_token")}
    path.write_text(json.dumps(values))
    (folder / "special_tokens_map.json").write_text(json.dumps(named))
    (folder / "added_tokens.json").write_text(json.dumps({"<new>": n_words(folder)}))
    without_whole(folder)


CASED = {"do_lower_case": False}
LOWER = {"do_lower_case": True}
CASES = {
    "bert lower": ("bert", bert_folder, LOWER, []),
    "bert cased": ("bert", bert_folder, CASED, []),
    "bert lower, accents": ("bert", bert_folder, {**LOWER, "strip_accents": False}, []),
    "bert cased, stripped": ("bert", bert_folder, {**CASED, "strip_accents": True}, []),
    "bert, no ideographs": ("bert", bert_folder, {**LOWER, "tokenize_chinese_chars": False}, []),
    "bert vocab.txt lower": ("bert", bert_folder, LOWER, [without_whole]),
    "bert vocab.txt cased": ("bert", bert_folder, CASED, [without_whole]),
    "bert changed": ("bert", bert_folder, CASED, [setting(do_lower_case=True)]),
    "bert defaults": ("bert", bert_folder, CASED, [setting(do_lower_case="dropped")]),
    "bert older": ("bert", bert_folder, LOWER, [older]),
    "bert added": ("bert", bert_folder, LOWER, [added]),
    "bert added, vocab.txt": ("bert", bert_folder, LOWER, [added, without_whole]),
    "bert other mask": ("bert", bert_folder, {**LOWER, "mask_token": "[UNK]"}, []),
    "bert split special": ("bert", bert_folder, {**LOWER, "split_special_tokens": True}, []),
    "gpt2": ("gpt2", byte_folder("GPT2"), {}, []),
    "gpt2 blank": ("gpt2", byte_folder("GPT2"), {"add_prefix_space": True}, []),
    "gpt2 merges.txt": ("gpt2", byte_folder("GPT2"), {}, [without_whole]),
    "gpt2 first": (
        "gpt2",
        byte_folder("GPT2"),
        {},
        [without_whole, setting(add_bos_token=True)],
    ),
    "roberta": ("roberta", byte_folder("Roberta"), {}, []),
    "roberta blank": ("roberta", byte_folder("Roberta"), {"add_prefix_space": True}, []),
    "roberta merges.txt": ("roberta", byte_folder("Roberta"), {}, [without_whole]),
    "albert": ("albert", unigram_folder("Albert"), {}, []),
    "albert cased": ("albert", unigram_folder("Albert"), CASED, []),
    "albert accents": ("albert", unigram_folder("Albert"), {"keep_accents": True}, []),
    "xlm-roberta": ("roberta", unigram_folder("XLMRoberta"), {}, []),
    "llama": ("llama", llama_folder, {}, []),
    "llama bos": ("llama", llama_folder, {"add_bos_token": True}, []),
    "llama plain": ("llama", llama_folder, {"add_prefix_space": False}, []),
    "gpt2 added": ("gpt2", byte_folder("GPT2"), {}, [added]),
    "llama added": ("llama", llama_folder, {}, [added]),
    "qwen2": ("qwen2", byte_folder("Qwen2"), {}, []),
    "qwen2 merges.txt": ("qwen2", byte_folder("Qwen2"), {}, [without_whole]),
    "qwen3": ("qwen3", byte_folder("Qwen2"), {}, []),
    "qwen3 merges.txt": ("qwen3", byte_folder("Qwen2"), {}, [without_whole]),
    "distilbert": ("distilbert", bert_folder, LOWER, [called("DistilBertTokenizer")]),
    "distilbert unnamed": ("distilbert", bert_folder, CASED, [without_whole, called("dropped")]),
    "electra": ("electra", bert_folder, LOWER, [called("ElectraTokenizer")]),
    "electra unnamed": ("electra", bert_folder, LOWER, [called("dropped")]),
    "xlm-roberta's own": ("xlm-roberta", unigram_folder("XLMRoberta"), {}, [called("dropped")]),
    "camembert": ("camembert", unigram_folder("Camembert"), {}, []),
    "modernbert": ("modernbert", byte_folder("GPT2"), {}, [called("PreTrainedTokenizerFast")]),
    "opt": ("opt", byte_folder("GPT2"), {"add_bos_token": True}, []),
    "opt merges.txt": ("opt", byte_folder("GPT2"), {"add_bos_token": True}, [without_whole]),
    "olmo2": ("olmo2", byte_folder("GPT2"), {}, []),
    "olmo2 unnamed": ("olmo2", byte_folder("Qwen2"), {}, [called("dropped")]),
    "gpt neox": ("gpt_neox", byte_folder("GPTNeoX"), {}, [called("GPTNeoXTokenizerFast")]),
    "gpt neox unnamed": ("gpt_neox", byte_folder("GPTNeoX"), {}, [called("dropped")]),
    "gpt neox blank": ("gpt_neox", byte_folder("GPTNeoX"), {"add_prefix_space": True}, []),
    "gpt neox merges.txt": ("gpt_neox", byte_folder("GPTNeoX"), {}, [without_whole]),
    "gpt neox first": ("gpt_neox", byte_folder("GPTNeoX"), {"add_bos_token": True}, []),
    "gpt neox both": (
        "gpt_neox",
        byte_folder("GPTNeoX"),
        {"add_bos_token": True, "add_eos_token": True},
        [],
    ),
    "bloom": ("bloom", byte_folder("GPT2"), {}, [called("BloomTokenizerFast")]),
    "gpt-oss": ("gpt_oss", byte_folder("Qwen2"), {}, [called("PreTrainedTokenizerFast")]),
    "gemma2": ("gemma2", gemma_folder, {}, []),
    "gemma3 unnamed": ("gemma3_text", gemma_folder, {}, [called("dropped")]),
    "mixtral": ("mixtral", llama_folder, {}, []),
    "phi3": ("phi3", llama_folder, {"add_bos_token": True}, []),
    "smollm3": ("smollm3", byte_folder("GPT2"), {}, [called("PreTrainedTokenizerFast")]),
}


DEFAULTS = {
    "albert": "AlbertTokenizer",
    "bert": "BertTokenizer",
    "bloom": "PreTrainedTokenizer",
    "camembert": "CamembertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "gemma2": "GemmaTokenizer",
    "gemma3_text": "GemmaTokenizer",
    "gpt2": "GPT2Tokenizer",
    "gpt_neox": "GPTNeoXTokenizer",
    "gpt_oss": "PreTrainedTokenizer",
    "llama": "LlamaTokenizer",
    "mistral": "LlamaTokenizer",
    "mixtral": "LlamaTokenizer",
    "modernbert": "PreTrainedTokenizer",
    "olmo2": "TokenizersBackend",
    "opt": "GPT2Tokenizer",
    "phi3": "LlamaTokenizer",
    "qwen2": "Qwen2Tokenizer",
    "qwen3": "Qwen2Tokenizer",
    "roberta": "RobertaTokenizer",
    "smollm3": "LlamaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_texts_as_transformers_reads_them(name, tmp_path, capsys):
    family, make, settings, changes = CASES[name]
    transformers.logging.set_verbosity_error()
    make(tmp_path, settings)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    for change in changes:
        change(tmp_path)
    expected = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    reader, given = TextReader(tmp_path, DEFAULTS[family]), texts(name)
    pairs = [(text, reader(text), expected(text)["input_ids"]) for text in given]
    wrong = [(text, found, right) for text, found, right in pairs if found != right]
    with capsys.disabled():
        print(f"\n{name}: {len(given) - len(wrong)} of {len(given)} texts", end="")  # noqa: T201
    assert not wrong, wrong[:3]
