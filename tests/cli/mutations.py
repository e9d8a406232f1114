"""Bad files and bad options, made from good ones; and what each command may do with them.

``python tests/cli/mutations.py`` runs them all in processes with limits and prints how they end.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

SECONDS, BYTES = 10, 500 * 10**6
"""What a case may take: 5 seconds of a free processor are up to 10 of a shared one."""
INTEGRATION = 30
"""Seconds of a Gaussian that is integrated until its budget of steps is used up."""

_WAIT, _PATIENCE = 45, 300
"""Seconds of the wall clock for cases that only wait, and for those that no signal stops."""


@dataclass(frozen=True)
class Case:
    """A command with bad input: ``write(folder)`` makes its files and gives its arguments."""

    kind: str
    name: str
    write: Callable[[Path], list[Any]]
    budget: bool = False
    """Whether exit code 3 is meant."""


# ---- good files ---------------------------------------------------------------------------------


def good_arrays() -> dict[str, dict[str, Any]]:
    """The arrays of every ``.npz`` file that some command reads, by that command."""
    rng = np.random.default_rng(0)
    return {
        "count": {"slopes": rng.normal(size=(2, 3, 3)), "intercepts": rng.normal(size=(2, 3))},
        "plane": {
            "origin": np.zeros(3),
            "basis": np.eye(2, 3),
            "window": np.array([[-1, -1], [1, 1.0]]),
        },
        "line": {
            "origin": np.zeros(3),
            "direction": np.ones(3),
            "t_min": -1.0,
            "t_max": np.array(2.0),
        },
        "hardmax": {"tokens": rng.normal(size=(4, 2))},
        "gaussian": {
            "S": np.eye(2),
            "Q": np.eye(2),
            "K": -np.eye(2),
            "V": np.eye(2),
            "mean": np.zeros(2),
        },
        "sentiment": {
            "words": np.array(["<pad>", "<unk>", "good", "bad"]),
            "embedding": np.array([[0.0], [0.0], [2.0], [-2.0]]),
            "weight": np.array([1.0]),
            "bias": 0.0,
            "alpha": 1.0,
            "layers": 3,
            "length": 4,
            "test_ids": np.array([[2, 3, 0, 0], [2, 0, 0, 0]]),
            "test_labels": np.array([0, 1]),
        },
    }


def reading(command: str, path: Path, folder: Path) -> list[Any]:
    """The arguments with which a command reads a file."""
    if command in ("plane", "line"):
        heads = folder / "good.npz"
        np.savez(heads, **good_arrays()["count"])
        return ["count", heads, "--domain", f"{command}:{path}", "--threads", 1]
    if command == "count":
        return ["count", path, "--threads", 1]
    return ["dynamics", command, path]


def saved(arrays: dict[str, Any], packed: bool = False) -> bytes:
    """An ``.npz`` archive."""
    stream = BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, **arrays)
    return stream.getvalue()


def own_model() -> tuple[dict[str, Any], dict[str, tuple[str, tuple[int, ...], bytes]]]:
    """Metadata and tensors of a model in the package's own format, with 4 tokens."""
    rng = np.random.default_rng(1)
    shapes = {"embedding": (4, 2), "positions": (5, 2), "unembedding": (2, 4), "b_U": (4,)}
    shapes |= {"layers.0.W_Q": (1, 2, 2), "layers.0.b_Q": (1, 2), "layers.0.W_K": (1, 2, 2)}
    shapes |= {"layers.0.W_V": (1, 2, 2), "layers.0.W_O": (1, 2, 2), "layers.0.b_O": (2,)}
    metadata = {"format": "tropattn", "version": "1", "vocabulary": json.dumps(list("abcd"))}
    metadata |= {"causal": "true", "scale": "0.5"}
    return metadata, {
        name: ("F64", shape, rng.normal(size=shape).tobytes()) for name, shape in shapes.items()
    }


def safetensors(header: str, body: bytes) -> bytes:
    """A file with this header."""
    text = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + body


def model_parts() -> tuple[dict[str, Any], bytes]:
    """Header and numbers of the model."""
    metadata, tensors = own_model()
    header: dict[str, Any] = {"__metadata__": metadata}
    body = b""
    for name, (dtype, shape, data) in tensors.items():
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        body += data
    return header, body


CONFIG = {
    "model_type": "llama",
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rope_theta": 500.0,
    "rms_norm_eps": 1e-3,
    "max_position_embeddings": 9,
}
LLAMA = {
    "model.embed_tokens.weight": (9, 8),
    "model.norm.weight": (8,),
    "model.layers.0.input_layernorm.weight": (8,),
    "model.layers.0.self_attn.q_proj.weight": (8, 8),
    "model.layers.0.self_attn.k_proj.weight": (4, 8),
    "model.layers.0.self_attn.v_proj.weight": (4, 8),
    "model.layers.0.self_attn.o_proj.weight": (8, 8),
    "model.layers.0.post_attention_layernorm.weight": (8,),
    "model.layers.0.mlp.gate_proj.weight": (3, 8),
    "model.layers.0.mlp.up_proj.weight": (3, 8),
    "model.layers.0.mlp.down_proj.weight": (8, 3),
}
INDEX = {"weight_map": dict.fromkeys(LLAMA, "part.safetensors")}


def write_llama(folder: Path, **files: bytes) -> list[Any]:
    """A split model of Hugging Face; ``files`` by name (__ for a dot) replace good ones."""
    rng = np.random.default_rng(2)
    header, body = {}, b""
    for name, shape in LLAMA.items():
        data = rng.normal(size=shape).tobytes()
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": "F64", "shape": shape, "data_offsets": offsets}
        body += data
    (folder / "part.safetensors").write_bytes(safetensors(json.dumps(header), body))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors.index.json").write_text(json.dumps(INDEX))
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)
    return ["count", folder, "--ids", "1,2,3", "--threads", 1]


def write_model(folder: Path, data: bytes) -> list[Any]:
    """The model of the package's own format."""
    path = folder / "model.safetensors"
    path.write_bytes(data)
    return ["count", path, "--ids", "0,1,2", "--threads", 1]


# ---- mutations of bytes and of archives ---------------------------------------------------------


def flipped(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """The bytes with one thing changed."""
    place = int(rng.integers(len(data)))
    few = int(rng.integers(1, 9))
    kind = rng.choice(["flip", "cut", "zero", "insert", "drop", "swap", "ones", "repeat"])
    changed = {
        "flip": data[:place] + bytes([data[place] ^ int(rng.integers(1, 256))]) + data[place + 1 :],
        "cut": data[:place],
        "zero": data[:place] + bytes(few) + data[place + few :],
        "insert": data[:place] + rng.bytes(few) + data[place:],
        "drop": data[:place] + data[place + few :],
        "swap": data[place:] + data[:place],
        "ones": data[:place] + b"\xff" * few + data[place + few :],
        "repeat": data + data[place:],
    }
    return f"{kind} at {place}", changed[str(kind)]


ZIP_LOCAL = {4: "version", 6: "flags", 8: "method", 14: "crc", 18: "packed", 22: "size", 26: "name"}
ZIP_LISTED = {
    6: "version", 8: "flags", 10: "method", 16: "crc", 20: "packed", 24: "size", 28: "name",
    30: "extra", 32: "comment", 34: "disk", 42: "offset",
}  # fmt: skip
ZIP_END = {4: "disk", 8: "here", 10: "members", 12: "length", 16: "start", 20: "comment"}
WIDE = {"crc", "packed", "size", "offset", "length", "start"}


def zip_fields(data: bytes) -> list[tuple[str, int, int]]:
    """Name, place and width of every number in the headers of an archive."""
    found = []
    for mark, fields in ((b"PK\3\4", ZIP_LOCAL), (b"PK\1\2", ZIP_LISTED), (b"PK\5\6", ZIP_END)):
        start = data.find(mark)
        while start >= 0:
            for at, name in fields.items():
                found.append((f"{mark[2]} {name}", start + at, 4 if name in WIDE else 2))
            start = data.find(mark, start + 1)
    return found


def zip_mutations(data: bytes, rng: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """Numbers of zip headers set to others, sometimes two."""
    fields = zip_fields(data)
    for _ in range(count):
        other, words = bytearray(data), []
        for place in rng.choice(len(fields), size=int(rng.integers(1, 3)), replace=False):
            name, at, width = fields[place]
            ones = 256**width - 1
            values = [0, 1, 9, 12, 14, 93, 99, ones, ones // 2, int(rng.integers(ones))]
            value = int(values[int(rng.integers(len(values)))])
            other[at : at + width] = value.to_bytes(width, "little")
            words.append(f"{name} = {value}")
        yield ", ".join(words), bytes(other)


def npy(
    header: str, body: bytes = b"", version: bytes = b"\1\0", length: int | None = None
) -> bytes:
    """A member with this header."""
    text = header.encode("latin-1", "replace")
    size = len(text) if length is None else length
    width = "<H" if version == b"\1\0" else "<I"
    return b"\x93NUMPY" + version + struct.pack(width, size) + text + body


def zipped(members: dict[str, bytes], sizes: dict[str, int] | None = None) -> bytes:
    """An archive of these members."""
    import zipfile

    stream = BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


DESCRIPTIONS = [
    "'|O'", "'<f8'", "'>f8'", "'<f2'", "'<f16'", "'<i4'", "'<u8'", "'|b1'", "'<c16'", "'<M8[s]'",
    "'<m8[ns]'", "'|V8'", "'|V0'", "'<U0'", "'<U999999999'", "'|S0'", "'|S999999999'", "''",
    "'xyz'",
    "[('a', '<f8')]", "5", "None", "'<f8,<f8'", "('<f8', (10**9,))", "b'<f8'", "'<i9'",
    "'(1000000000,)<f8'",
]  # fmt: skip
SHAPES = [
    "()", "(0,)", "(1,)", "(-1,)", "(10000000000000,)", "(9223372036854775808,)", "('a',)",
    "(1.5,)",
    "(True,)", "[2, 3]", "None", "(2, 3, 3)", "(4, 2)", "(0, 10000000000)", "(" + "1, " * 70 + ")",
    "(4294967296, 4294967296)", "(" * 300 + ")" * 300, "1" * 5000, "(0, 0)", "(2,)", "(2, 2)",
]  # fmt: skip


def npy_mutations(rng: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """Members whose header says something else than what follows."""
    for _ in range(count):
        descr = DESCRIPTIONS[int(rng.integers(len(DESCRIPTIONS)))]
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        order = str(rng.choice(["False", "True", "3", "None"]))
        body = bytes(8 * int(rng.choice([0, 1, 4, 8, 18])))
        header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
        match int(rng.integers(8)):
            case 0:
                header = header.replace("'shape'", "'form'")
            case 1:
                header = header[: int(rng.integers(len(header)))]
            case 2:
                header = "[" * int(rng.choice([1, 100, 20_000])) + header
            case 3:
                header = header.replace("'", "\udc80é"[int(rng.integers(2))], 1)
        version = [b"\1\0", b"\1\0", b"\2\0", b"\3\0", rb"\9\9"][int(rng.integers(5))]
        length = None if rng.random() < 0.8 else int(rng.choice([0, 7, 2**16 - 1]))
        yield f"{header[:60]} of {version!r}", npy(header, body, version, length)


def array_values(rng: np.random.Generator) -> list[tuple[str, Any]]:
    """Arrays that are wrong in most places."""
    return [
        ("0-d", np.array(1.5)), ("empty", np.zeros(0)), ("no rows", np.zeros((0, 2))),
        ("no columns", np.zeros((2, 0))), ("4-d", np.zeros((1, 2, 2, 2))), ("one", np.ones(1)),
        ("row", np.ones((1, 2))), ("square", np.ones((2, 2))), ("wide", np.ones((2, 500))),
        ("cube", np.ones((2, 3, 3))), ("nan", np.full((4, 2), np.nan)),
        ("infinity", np.full(2, np.inf)),
        ("nan alone", np.array(np.nan)), ("infinite", np.array(-np.inf)),
        ("huge", np.full((2, 2), 1e308)), ("tiny", np.full((2, 2), 5e-324)),
        ("far", np.array(1e308)),
        ("int64", np.array([[2**63 - 1, -(2**63)], [0, 1]])),
        ("uint64", np.array([2**64 - 1], np.uint64)),
        ("large", np.array(10**15)), ("larger", np.array(2**62)), ("minus", np.array(-3)),
        ("bool", np.ones((2, 2), bool)), ("truth", np.array(True)),
        ("complex", np.ones((2, 2), complex)),
        ("half", np.ones((2, 2), np.float16)), ("long", np.ones((2, 2), np.longdouble)),
        ("text", np.array(["a", "b"])), ("word", np.array("a")),
        ("bytes", np.array([b"a", b"\xff"])),
        ("escape", np.array(["\x1b[31m", "\udc80", "\u202e", "\x9b2J"])), ("blank", np.array([""])),
        ("date", np.array(["2020-01-01"], "M8[D]")), ("span", np.array([1], "m8[s]")),
        ("record", np.zeros(2, [("a", "f8")])), ("object", np.array([None, {}], object)),
        ("void", np.zeros(2, "V8")), ("negative", -np.eye(2)),
        ("skew", np.array([[0, 1.0], [0, 0]])),
        ("random", rng.normal(size=(3, 3))),
    ]  # fmt: skip


# ---- mutations of JSON --------------------------------------------------------------------------

RAW = [
    "null", "true", "false", "0", "-1", "1", "2", "1.5", "1e308", "-1e308", "5e-324", "1e400",
    "NaN", "Infinity",
    "-Infinity", "1" + "0" * 400, "1" + "0" * 5000, '""', '"x"', '"1"', r'"\ud800"',
    r'"\u001b[31m"',
    r'"\u202e"', "[]", "{}", "[1]", "[[1, 2], [3, 4]]", '{"a": 1}', "[" * 200 + "]" * 200,
    "[" * 100_000, '"' + "x" * 3000 + '"', "[" + "0," * 5000 + "0]", "9007199254740993", "-0.0",
    "[1, [2, 3]]",
    '[null]', '["1", "2", "3"]', "01", "1_0", "'x'", "", ",", "[1, true, 3]",
]  # fmt: skip


def json_mutations(value: Any, rng: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """JSON with one place of the structure changed."""

    def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        yield path
        entries = enumerate(node) if isinstance(node, list) else ()
        for key, child in node.items() if isinstance(node, dict) else entries:
            yield from places(child, (*path, key))

    known = list(places(value))
    for _ in range(count):
        path = known[int(rng.integers(len(known)))]
        raw = RAW[int(rng.integers(len(RAW)))]
        how = str(rng.choice(["replace", "replace", "replace", "delete", "twice", "rename"]))
        text = _changed(value, path, raw, how)
        if rng.random() < 0.1:
            text = str(rng.choice(["\ufeff", "\x00", "\xa0", "// x\n"])) + text
        yield f"{how} {list(path)} by {raw[:30]}", text.encode("utf-8", "surrogatepass")


def _changed(node: Any, path: tuple[Any, ...], raw: str, how: str) -> str:
    if not path:
        return raw
    first, rest = path[0], path[1:]
    parts = []
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        name = f"{json.dumps(key)}: " if isinstance(node, dict) else ""
        if key != first:
            parts.append(name + json.dumps(child))
        elif rest:
            parts.append(name + _changed(child, rest, raw, how))
        elif how == "replace":
            parts.append(name + raw)
        elif how == "twice":
            parts += [name + json.dumps(child), name + raw]
        elif how == "rename":
            parts.append((f'"{key}\\u001b\\ud800": ' if name else "") + json.dumps(child))
    inside = ", ".join(parts)
    return f"{{{inside}}}" if isinstance(node, dict) else f"[{inside}]"


PLANE = {"origin": [0, 0.5, 0], "basis": [[1, 0, 0], [0, 1, 0]], "window": [[-1, -1], [1, 1]]}
POINTS = {"points": [[0, 0, 0], [1, 0, 0], [0, 1, 0.5]]}
LINE = {"origin": [0, 0, 0], "direction": [1, 2, 3], "t_min": -1, "t_max": 2.5}


def vocabularies(rng: np.random.Generator) -> list[tuple[str, bytes]]:
    """Lines of tokens, some fit for no terminal."""
    words = [f"w{i}".encode() for i in range(9)]
    bad = [
        b"\x1b[2J", b"\x1b]0;x\x07", "\u202eabc".encode(), "\x9b31m".encode(), b"\xed\xa0\x80",
        b"\xff\xfe",
        b"\x00", b"", b"\r", b" ", "\u2028".encode(), b"x" * 100_000, "\ufeff".encode(), b"w1",
        "\U000e0001".encode(), b"\x7f", b"[UNK]", b"\t", "e\u0301".encode(),
    ]  # fmt: skip
    ids = b"\n".join(str(i).encode() for i in range(99))
    out = [("none", b""), ("one", b"\n"), ("many", b"a\n" * 10**6), ("ids", ids)]
    for word in bad:
        place = int(rng.integers(9))
        out.append(
            (
                f"{word[:12]!r} at {place}",
                b"\n".join([*words[:place], word, *words[place + 1 :]]) + b"\n",
            )
        )
    return out


# ---- options ------------------------------------------------------------------------------------

VALUES = [
    "0", "-1", "1", "1000000000", "1e9", "nan", "inf", "-inf", "1e400", "1e-320", "1e308",
    "9" * 400, "9" * 5000,
    "", " ", " 1 ", "1_0", "\uff11", "\u0663", "0x10", "+1", "1.", ".5", "1e", "--", "x",
    "\x1b[31m", "\udc80", "é", "1,2",
    "1\n", "1/2", "true", "2147483648", "9223372036854775808", "100000", "1.5", "-0", "1e5",
]  # fmt: skip
DYNAMICS = {
    "simulate": [
        "--n", "--dim", "--kind", "--space", "--beta", "--time", "--frames", "--engine",
        "--scheme", "--step", "--radius",
        "--seed", "--output",
    ],
    "phase": [
        "--n", "--dim", "--betas", "--beta-max", "--layers", "--step", "--runs", "--kind",
        "--scheme", "--threads",
        "--seed", "--output",
    ],
    "hardmax": ["--n", "--dim", "--alpha", "--ties", "--layers", "--engine", "--seed", "--output"],
    "gaussian": ["--dim", "--kind", "--beta", "--n", "--time", "--frames", "--seed", "--output"],
    "sentiment": ["--text", "--top", "--seed", "--output"],
}  # fmt: skip
OTHERS = {
    "count": [
        "--layer", "--position", "--text", "--ids", "--domain", "--of", "--engine", "--max-cells",
        "--threads",
        "--certificate", "--output",
    ],
    "sample": ["--samples", "--seed", "--threads", "--method", "--distribution", "--domain"],
    "scaling": [
        "--keys", "--heads", "--dim", "--depth", "--seeds", "--samples", "--max-cells", "--family",
    ],
    "bounds": ["--keys", "--dim"],
    "temperature": ["--tau", "--tolerance", "--samples", "--seed", "--domain"],
    "plot": ["--head", "--view", "--domain", "--output"],
    "inspect": ["--layer", "--head", "--threads", "--output"],
}  # fmt: skip
SMALL = {
    "simulate": ["--n", 4, "--time", 1, "--frames", 5],
    "phase": ["--n", 3, "--dim", 3, "--betas", 2, "--layers", 5, "--runs", 2],
    "hardmax": ["--n", 4, "--layers", 3],
    "gaussian": ["--frames", 5],
    "sentiment": [],
    "scaling": ["--keys", "2", "--heads", "1", "--samples", 10],
    "bounds": ["--keys", "3,3", "--dim", 2],
}


def option_case(command: str, option: str, value: str) -> Case:
    """One option of one command with one value."""
    dynamics = command in DYNAMICS

    def write(folder: Path) -> list[Any]:
        first = ["dynamics", command] if dynamics else [command]
        given = list(SMALL.get(command, []))
        if option in given:
            at = given.index(option)
            del given[at : at + 2]
        if command == "sentiment":
            path = folder / "sentiment.npz"
            path.write_bytes(saved(good_arrays()["sentiment"]))
            first.append(path)
        elif command in ("count", "sample", "temperature", "plot", "inspect"):
            path = folder / "model.safetensors"
            header, body = model_parts()
            path.write_bytes(safetensors(json.dumps(header), body))
            first.append(path)
            if option not in ("--text", "--ids"):
                given = ["--ids", "0,1,2"]
            if command == "plot" and option != "--output":
                given += ["--output", folder / "out.png"]
            if command == "temperature" and option != "--samples":
                given += ["--samples", 100]
        return [*first, *given, f"{option}={value}" if value != "--" else option]

    budget = command in ("simulate", "phase", "gaussian", "hardmax") or option == "--max-cells"
    return Case(f"option of {command}", f"{option}={value[:20]!r}", write, budget)


# ---- files that are no files --------------------------------------------------------------------

SPECIAL = [
    "fifo",
    "zero",
    "random",
    "folder",
    "link to zero",
    "sparse",
    "tty",
    "null",
    "socket",
    "itself",
]


def make_special(kind: str, path: Path) -> None:
    """Put something at a path that is not a regular file of a sensible size."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(10**12)
    elif kind == "socket":
        import socket

        with socket.socket(socket.AF_UNIX) as made:
            old = Path.cwd()
            os.chdir(path.parent)
            made.bind(path.name)
            os.chdir(old)
    else:
        names = {"zero": "/dev/zero", "link to zero": "/dev/zero", "random": "/dev/urandom"}
        names |= {"tty": "/dev/ptmx", "null": "/dev/null", "itself": path.name}
        path.symlink_to(names[kind])


def special_cases() -> Iterator[Case]:
    """Every reader, given what is no file."""
    places = {
        "heads.npz": lambda f: ["count", f / "heads.npz"],
        "heads.safetensors": lambda f: ["count", f / "heads.safetensors"],
        "model.bin": lambda f: ["count", f / "model.bin", "--ids", "1"],
        "plane.npz": lambda f: reading("plane", f / "plane.npz", f),
        "plane.json": lambda f: reading("plane", f / "plane.json", f),
        "tokens.npz": lambda f: ["dynamics", "hardmax", f / "tokens.npz"],
        "gauss.npz": lambda f: ["dynamics", "gaussian", f / "gauss.npz"],
        "words.npz": lambda f: ["dynamics", "sentiment", f / "words.npz"],
        "config.json": None,
        "vocab.json": None,
        "vocab.txt": None,
        "part.safetensors": None,
        "model.safetensors.index.json": None,
    }  # fmt: skip
    for name, args in places.items():
        for kind in SPECIAL:

            def write(
                folder: Path, name: str = name, kind: str = kind, args: Any = args
            ) -> list[Any]:
                words = write_llama(folder) if args is None else args(folder)
                (folder / name).unlink(missing_ok=True)
                make_special(kind, folder / name)
                return words

            yield Case("special file", f"{kind} as {name}", write)


# ---- bombs --------------------------------------------------------------------------------------


@cache
def bomb(packed: int, declared: bool) -> bytes:
    """An archive with one member of ``packed`` zeros, in a few bytes."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({packed // 8}, ), }}")
    parts, crc = [engine.compress(start)], zlib.crc32(start)
    chunk = bytes(1 << 20)
    for _ in range(packed >> 20):
        parts.append(engine.compress(chunk))
        crc = zlib.crc32(chunk, crc)
    parts.append(engine.flush())
    data = b"".join(parts)
    size = len(start) + (packed >> 20 << 20) if declared else 200
    name = b"tokens.npy"
    core = struct.pack(
        "<HHHHHLLLHH", 20, 0, 8, 0, 33, crc, len(data), min(size, 2**32 - 1), len(name), 0
    )
    local = b"PK\3\4" + core + name + data
    listed = b"PK\1\2" + struct.pack("<H", 20) + core + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(listed), len(local), 0)
    return local + listed + end


def bomb_cases() -> Iterator[Case]:
    """Small files that would be large, and headers that list without end."""
    for command in ("count", "plane", "hardmax", "gaussian", "sentiment"):
        for declared in (True, False):

            def write(folder: Path, command=command, declared=declared) -> list[Any]:
                path = folder / "bomb.npz"
                path.write_bytes(bomb(2**29, declared))
                return reading(command, path, folder)

            yield Case("bomb", f"zeros for {command}, declared {declared}", write)

    def members(folder: Path) -> list[Any]:
        path = folder / "many.npz"
        path.write_bytes(zipped({f"slopes_{i}.npy": b"" for i in range(60_000)}))
        return ["count", path]

    yield Case("bomb", "60,000 members", members)
    for count, text in ((10**6, "million"), (2 * 10**5, "many")):

        def names(folder: Path, count: int = count) -> list[Any]:
            entry = '":{"dtype":"F64","shape":[0],"data_offsets":[0,0]}'
            header = "{" + ",".join(f'"a{i}{entry}' for i in range(count)) + "}"
            return write_model(folder, safetensors(header, b""))

        yield Case("bomb", f"a {text} names", names)
    for text in ("[" * 10**6, '{"a":' * 10**6, "1" * 10**7, '"' + "x" * 10**7 + '"', " " * 10**7):
        for name in ("config__json", "vocab__json", "model__safetensors__index__json", "plane"):

            def deep(folder: Path, text: str = text, name: str = name) -> list[Any]:
                if name != "plane":
                    return write_llama(folder, **{name: text.encode()})
                (folder / "plane.json").write_text(text)
                return reading("plane", folder / "plane.json", folder)

            yield Case("bomb", f"{text[:6]}... as {name}", deep)


# ---- all of them --------------------------------------------------------------------------------


def file_cases(seed: int) -> Iterator[Case]:
    """Damaged files, each read by one command."""
    rng = np.random.default_rng(seed)

    def npz(kind: str, command: str, name: str, data: bytes) -> Case:
        def write(folder: Path) -> list[Any]:
            path = folder / "bad.npz"
            path.write_bytes(data)
            return reading(command, path, folder)

        return Case(kind, f"{command}: {name}", write, budget=command in ("hardmax", "gaussian"))

    for command, arrays in good_arrays().items():
        for packed in (False, True):
            whole = saved(arrays, packed)
            for _ in range(12):
                yield npz("bytes of npz", command, *flipped(whole, rng))
            for name, data in zip_mutations(whole, rng, 12):
                yield npz("zip header", command, name, data)
        yield npz("bytes of npz", command, "empty", b"")
        stream = BytesIO()
        np.save(stream, next(iter(arrays.values())))
        yield npz("bytes of npz", command, "a .npy", stream.getvalue())
        for field in arrays:
            for name, data in npy_mutations(rng, 5):
                members = {f"{other}.npy": saved_array(v) for other, v in arrays.items()}
                members[f"{field}.npy"] = data
                yield npz("npy header", command, f"{field} {name}", zipped(members))
            wrong = array_values(rng)
            chosen = range(len(wrong)) if len(arrays) < 3 else rng.permutation(len(wrong))[:16]
            for index in chosen:
                name, value = wrong[int(index)]
                changed = saved({**arrays, field: value})
                yield npz("field of npz", command, f"{field} {name}", changed)
            others = {k: v for k, v in arrays.items() if k != field}
            yield npz("field of npz", command, f"no {field}", saved(others))
        yield npz("field of npz", command, "more", saved({**arrays, "x\x1b[31m": np.ones(1)}))
        yield npz("field of npz", command, "not numbers", zipped({"slopes": b"x", "tokens": b"y"}))

    header, body = model_parts()
    whole = safetensors(json.dumps(header), body)
    for _ in range(40):
        name, data = flipped(whole, rng)
        yield Case("bytes of safetensors", name, lambda f, d=data: write_model(f, d))
    for name, text in json_mutations(header, rng, 130):
        data = struct.pack("<Q", len(text)) + text + body
        yield Case("safetensors header", name, lambda f, d=data: write_model(f, d))
    for name, text in json_mutations(json.loads(header["__metadata__"]["vocabulary"]), rng, 30):
        other = {
            **header,
            "__metadata__": {
                **header["__metadata__"],
                "vocabulary": text.decode("utf-8", "surrogatepass"),
            },
        }
        data = safetensors(json.dumps(other), body)
        yield Case("own vocabulary", name, lambda f, d=data: write_model(f, d))
    for kind, value, count in (("plane", PLANE, 90), ("plane", POINTS, 50), ("line", LINE, 90)):
        for name, text in json_mutations(value, rng, count):

            def write(folder: Path, kind: str = kind, text: bytes = text) -> list[Any]:
                (folder / "domain.json").write_bytes(text)
                return reading(kind, folder / "domain.json", folder)

            yield Case(f"JSON of a {kind}", name, write)
    for file, value, count in (
        ("config__json", CONFIG, 60),
        ("model__safetensors__index__json", INDEX, 40),
        ("vocab__json", {f"w{i}": i for i in range(9)}, 40),
    ):
        for name, text in json_mutations(value, rng, count):
            kind = f"JSON of {file.replace('__', '.')}"
            yield Case(kind, name, lambda f, n=file, t=text: write_llama(f, **{n: t}))
    for name, data in vocabularies(rng):
        yield Case("vocabulary", name, lambda f, d=data: write_llama(f, vocab__txt=d))


def saved_array(value: Any) -> bytes:
    """The bytes of one member."""
    stream = BytesIO()
    np.save(stream, value)
    return stream.getvalue()


def _tried(option: str) -> list[str]:
    # Many samples are drawn with a counter on the screen until Ctrl-C.
    return [v for v in VALUES if option != "--samples" or not v.isdigit() or len(v) < 9]


def all_cases(seed: int = 0) -> list[Case]:
    """Every case, in a fixed order."""
    cases = list(file_cases(seed))
    for table in (DYNAMICS, OTHERS):
        for command, options in table.items():
            for option in options:
                cases += [option_case(command, option, value) for value in _tried(option)]
    return [*cases, *special_cases(), *bomb_cases()]


# ---- running them -------------------------------------------------------------------------------


class TooLong(BaseException):
    """A case took longer than it may."""


def run(case: Case) -> str | None:
    """How a case ends if it ends badly, else None."""
    from tropattn.cli import main

    def stop(signum: int, frame: Any) -> None:
        raise TooLong("".join(traceback.format_stack(frame)[-1:]).strip().replace("\n", " "))

    kept = [signal.signal(s, stop) for s in (signal.SIGALRM, signal.SIGPROF)]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        words = [str(word) for word in case.write(Path(folder))]
        here = Path.cwd()
        os.chdir(folder)
        long = case.kind == "option of gaussian"
        signal.setitimer(signal.ITIMER_PROF, INTEGRATION if long else SECONDS)
        signal.setitimer(signal.ITIMER_REAL, _WAIT)
        try:
            result = CliRunner().invoke(main, words)
        except TooLong as late:
            return f"too long: {late}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.chdir(here)
            for number, old in zip((signal.SIGALRM, signal.SIGPROF), kept, strict=True):
                signal.signal(number, old)
    return fault(result.exit_code, result.stdout, result.stderr, case.budget)


def fault(code: int, out: str, err: str, budget: bool) -> str | None:
    """What is wrong with an ending, if anything is."""
    if code not in ((0, 2, 3) if budget else (0, 2)):
        return f"exit {code}: {err.strip()[:300]}"
    unfit = [c for c in out + err if not c.isprintable() and c != "\n"]
    if unfit:
        return f"prints {unfit[0]!r}"
    if code == 0:
        lines = [line for line in err.splitlines() if not line.startswith("written: ")]
        return f"a good answer with {lines[0][:200]!r} on stderr" if lines else None
    if code == 2 and out:
        return f"an error with {out[:100]!r} on stdout"
    if err.count("\n") != 1 or not err.startswith("tropattn: ") or len(err) > 1500:
        return f"not one line: {err[:300]!r}"
    return None


def limited(first: int, last: int, seed: int = 0) -> Iterator[tuple[int, str | None]]:
    """Run cases in a process whose memory is limited, started anew where one kills it."""
    while first < last:
        command = [sys.executable, __file__, str(first), str(last), str(seed)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # One arena: others would reserve address space by the thread.
        env = os.environ | {"MALLOC_ARENA_MAX": "1"}
        with subprocess.Popen(command, text=True, env=env, **pipes) as process:
            assert process.stdout is not None and process.stderr is not None
            while select.select([process.stdout], [], [], _PATIENCE)[0]:
                line = process.stdout.readline()
                if not line:
                    break
                index, ending = json.loads(line)
                yield index, ending
                first = index + 1
            else:
                process.kill()
            errors = process.stderr.read()
        if process.returncode:
            yield first, f"the process died with {process.returncode}: {errors[-200:]!r}"
            first += 1


def _serve(first: int, last: int, seed: int) -> None:
    """The other side of ``limited``."""
    from tropattn.cli import main

    # What every command loads once is not the case's own.
    with tempfile.TemporaryDirectory() as folder:
        for words in (write_llama(Path(folder)), ["dynamics", "hardmax", "--n", "3"]):
            assert CliRunner().invoke(main, [str(word) for word in words]).exit_code == 0
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + BYTES, pages + BYTES))
    for index, case in enumerate(all_cases(seed)[first:last], first):
        sys.stdout.write(json.dumps([index, run(case)]) + "\n")
        sys.stdout.flush()


def _report(seed: int, first: int = 0) -> None:
    cases = all_cases(seed)
    tried: dict[str, list[int]] = {}
    for index, ending in limited(first, len(cases), seed):
        case = cases[index]
        row = tried.setdefault(case.kind, [0, 0])
        row[0] += 1
        row[1] += ending is not None
        if ending is not None:
            sys.stdout.write(f"{index} {case.kind}, {case.name}: {ending}\n")
            sys.stdout.flush()
    for kind, (count, bad) in tried.items():
        sys.stdout.write(f"{kind}: {count} tried, {bad} badly\n")
    total = [sum(row[i] for row in tried.values()) for i in (0, 1)]
    sys.stdout.write(f"all: {total[0]} tried, {total[1]} badly\n")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        _serve(*map(int, sys.argv[1:4]))
    else:
        _report(0, *map(int, sys.argv[1:2]))
