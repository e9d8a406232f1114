"""Files made to cost the checker of certificates time or memory, or to end it badly.

Each is refused in one line as bad input, within 10 s and 500 MB plus 50 bytes a byte of the file.
Memory and time are those of a process of its own, forked from one that has loaded the checker.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import zlib

import pytest

from tropattn import EngineError, InvalidInput, count_regions, initialisers
from tropattn.verify import verify

HEAD = {
    "format": "tropattn-certificate",
    "version": 1,
    "of": "cells",
    "polynomials": [[["0", "0"], ["1", "0"]]],
    "walls": [],
}
GROUP = {"group": [0], "kept": [[0, 1]]}
RANGE = {"range": [], "log": [4, 0, 2], "cells": [[0], [1]], "points": [[-1, 1], [1, 1]]}
WHOLE = [HEAD, GROUP, RANGE, {"count": "2"}]

MEASURE = """
import json, os, sys
from tropattn.errors import EngineError, InvalidInput
from tropattn.verify import verify

for path in sys.argv[1:]:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = str(verify(path).count)
        except InvalidInput as error:
            said = f"2 {error}"
        except EngineError as error:
            said = f"1 {error}"
        except BaseException as error:
            said = f"70 {error!r}"
        os.write(write, said.encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        said = stream.read()
    usage = os.wait4(child, 0)[2]
    print(json.dumps([said, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))
"""


def text_of(lines):
    """A signed certificate as text; lines are objects or text."""
    text = "".join(
        (line if isinstance(line, str) else json.dumps(line, separators=(",", ":"))) + "\n"
        for line in lines
    )
    return text + json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest()}) + "\n"


def packed(lines, level=6):
    return gzip.compress(text_of(lines).encode(), level, mtime=0)


def repeated(before, part, times, after=b""):
    """A gzipped text with a part repeated, never held as a whole."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    block = part * max(1, min(times, 2**20 // len(part)))
    pieces = [deflate.compress(before)]
    for _ in range(times // (len(block) // len(part))):
        pieces.append(deflate.compress(block))
    return b"".join([*pieces, deflate.compress(after), deflate.flush()])


def line(value):
    return (json.dumps(value, separators=(",", ":")) + "\n").encode()


def with_terms(terms):
    return {**HEAD, "polynomials": [terms]}


def long_row():
    """One row of two million zeros."""
    before, after = line(with_terms([["X"]])).split(b'"X"')
    return repeated(before, b'"0",', 2_000_000, b'"0"' + after)


def wide_rows():
    rows = line({"head": 0, "rows": [["0"] * 1000] * 1000})
    return repeated(line(with_terms([["0"] * 1000])), rows, 200)


def many_keys():
    rows = line({"head": 0, "rows": [["0", "1"]] * 10_000})
    return repeated(line(with_terms([["0", "0"]])), rows, 2000)


def common_denominator():
    """A hundred rows over the first 6,000 primes: a common denominator of 26,000 digits."""
    primes = [p for p in range(3, 60_000, 2) if all(p % q for q in range(3, int(p**0.5) + 1, 2))]
    return packed([with_terms([["0", "0"] + [f"1/{p}" for p in primes]] * 100)])


def one_denominator():
    """A million numbers, one of them over 10^100000."""
    rows = [["0"] * 1000 for _ in range(1000)]
    rows[0][0] = "1/1" + "0" * 100_000
    return packed([with_terms(rows)])


TOP = line(HEAD) + line(GROUP)

BOMBS = {
    "line of blanks": lambda: repeated(b"", b" ", 2_000_000_000),
    "blank lines": lambda: repeated(line(HEAD), b"\n", 300_000_000),
    "many groups": lambda: repeated(line(HEAD), line(GROUP), 2_000_000),
    "empty groups": lambda: repeated(line(HEAD), line({"group": [], "kept": []}), 2_000_000),
    "empty objects": lambda: repeated(line(HEAD), b"{}\n", 20_000_000),
    "empty parts": lambda: repeated(TOP + line({"range": []}), line({"log": []}), 9_000_000),
    "lists in lists": lambda: gzip.compress(b"[" * 2_000_000 + b"\n"),
    "objects in objects": lambda: gzip.compress(b'{"a":' * 500_000 + b"\n"),
    "empty lists": lambda: repeated(b"[", b"[],", 2_500_000, b"[]]\n"),
    "huge integer": lambda: gzip.compress(
        text_of(WHOLE).replace("[4,0,2]", f"[4,0,{'2' * 10**6}]").encode()
    ),
    "huge rational": lambda: packed([with_terms([["0", "0"], ["9" * 5_000_000, "0"]])]),
    "long row": long_row,
    "wide rows": wide_rows,
    "many keys": many_keys,
    "many heads": lambda: packed([{**HEAD, "polynomials": [[["0"]]] * 500_000}]),
    "common denominator": common_denominator,
    "one denominator": one_denominator,
    "same branch again": lambda: repeated(
        TOP, line({"settled": [0, 0], "support": [[0, 1]]}), 1_000_000
    ),
    "same range again": lambda: repeated(TOP, line({"range": []}), 1_000_000),
    "branches left twice": lambda: repeated(
        TOP + b'{"range":[],"rest":[', b"[0,1],", 1_000_000, b"[0,1]]}\n"
    ),
    "a million rows": lambda: repeated(
        TOP + b'{"range":[],"log":[1,0,1,1000000,', b"1,0,", 1_000_000, b"1]}\n"
    ),
    "rows that never come": lambda: repeated(
        TOP + line({"range": [], "log": [1, 0, 1, 3]}), line({"log": []}), 3_000_000
    ),
    "a thousand million cells": lambda: packed([HEAD, GROUP, {**RANGE, "log": [4, 0, 10**9]}]),
    "steps without end": lambda: repeated(
        TOP + b'{"range":[],"log":[', b"2,0,0,3,0,0,", 500_000, b"3,0,0]}\n"
    ),
    "long witness": lambda: packed(
        [HEAD, GROUP, {**RANGE, "points": [["-" + "9" * 120_000, "1"], ["9" * 400_000, "1"]]}]
    ),
}
"""Small files that claim much."""


def broken():
    """Name, bytes: what is no certificate, or a damaged one."""
    good = packed(WHOLE)
    yield "empty", b""
    yield "empty gzip", gzip.compress(b"")
    yield "not gzip", text_of(WHOLE).encode()
    yield "cut", good[:-20]
    yield "cut at the check sum", good[:-5]
    yield "bad check sum", good[:-8] + bytes([good[-8] ^ 1]) + good[-7:]
    yield "bad length", good[:-1] + bytes([good[-1] ^ 1])
    yield "two members", good + good
    yield "a member of two", gzip.compress(line(HEAD)) + gzip.compress(line(GROUP))
    yield "more bytes", good + b"\0"
    yield "bad flags", good[:3] + b"\xff" + good[4:]
    yield "invalid utf-8", gzip.compress(text_of(WHOLE).encode().replace(b"cells", b"cell\xff", 1))
    yield "utf-16", gzip.compress(text_of(WHOLE).encode("utf-16"))
    yield "mark", gzip.compress(b"\xef\xbb\xbf" + text_of(WHOLE).encode())
    yield "no last end of line", gzip.compress(text_of(WHOLE).encode()[:-1])
    yield "header only", packed([HEAD])
    yield "no count", packed(WHOLE[:-1])
    yield "no digest", gzip.compress(b"".join(map(line, WHOLE)))
    yield "two counts", packed([*WHOLE, {"count": "2"}])
    yield "more after the digest", gzip.compress((text_of(WHOLE) + '{"count":"2"}\n').encode())
    for name, old, new in [
        ("nan", "[-1,1]", "[NaN,1]"),
        ("infinity", "[-1,1]", "[-Infinity,1]"),
        ("beyond doubles", "[-1,1]", "[-1e999,1]"),
        ("a float step", "[4,0,2]", "[4,0,2.0]"),
        ("a true step", "[4,0,2]", "[4,false,2]"),
        ("a true version", '"version":1', '"version":true'),
        ("a float version", '"version":1', '"version":1.0'),
        ("a negative head", '"group":[0]', '"group":[-1]'),
        ("a head too far", '"group":[0]', '"group":[1]'),
        ("a negative term", "[[0,1]]", "[[0,-1]]"),
        ("a float term", "[[0,1]]", "[[0,1.0]]"),
        ("too few kept", "[[0,1]]", "[]"),
        ("columns out of order", '"kept":[[0,1]]', '"kept":[[0,1]],"columns":[1,0]'),
        ("a negative column", '"kept":[[0,1]]', '"kept":[[0,1]],"columns":[-1]'),
        ("a key twice", '"of":"cells"', '"of":"cells","of":"cells"'),
        ("group twice", '{"group":[0]', '{"group":[0],"group":[0]'),
        ("an unknown entry", '"of":"cells"', '"of":"cells","more":1'),
        ("other cells", '"of":"cells"', '"of":"walls"'),
        ("ragged terms", '["1","0"]', '["1"],["0"]'),
        ("no terms", '[["0","0"],["1","0"]]', "[]"),
        ("no heads", '[[["0","0"],["1","0"]]]', "[]"),
        ("a number as term", '["1","0"]', '[1,"0"]'),
        ("by zero", '["1","0"]', '["1/0","0"]'),
        ("underscores", '["1","0"]', '["1_0","0"]'),
        ("a blank", '["1","0"]', '[" 1","0"]'),
        ("other digits", '["1","0"]', '["\\u0661","0"]'),
        ("a true coordinate", "[-1,1]", "[-1,true]"),
        ("null coordinate", "[-1,1]", "[-1,null]"),
        ("an object for a list", "[-1,1]", '{"0":-1}'),
        ("a point too few", "[[-1,1],[1,1]]", "[[-1,1]]"),
        ("a count as number", '"count":"2"', '"count":2'),
        ("a negative count", '"count":"2"', '"count":"-2"'),
        ("half a branch", '"range":[],', '"range":[],"rest":[[0]],'),
        ("a branch beyond", '"range":[],', '"range":[],"rest":[[0,99999999999]],'),
        ("half a step", "[4,0,2]", "[4,0,2,1,0]"),
        ("unknown line", '{"group":[0]', '{"groups":[0]'),
        ("a list for a line", '{"count":"2"}', '["count"]'),
    ]:
        text = text_of(WHOLE)
        assert old in text, name
        yield name, packed(text.replace(old, new, 1).splitlines()[:-1])


def measured(paths):
    """What the checker says of each file, and the time and memory it takes."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(out) for out in run.stdout.splitlines()]


def refused(names, folder):
    """Those whose lines are well formed may also end as a proof that is wrong (code 1)."""
    paths = [folder / f"{i}.gz" for i in range(len(names))]
    for name, path in zip(names, paths, strict=True):
        path.write_bytes(BOMBS[name]())
    for name, path, found in zip(names, paths, measured(paths), strict=True):
        said, seconds, memory = found
        assert said[:2] in ("1 ", "2 "), (name, said)
        assert "\n" not in said and len(said) < 500, (name, said)
        assert seconds < 10, (name, seconds)
        assert memory < 500e6 + 50 * path.stat().st_size, (name, memory)
        yield name, found


def test_the_honest_one_is_accepted(tmp_path):
    """Two keys on a line, max(0, x): two cells. What follows alters this file."""
    (tmp_path / "c.gz").write_bytes(packed(WHOLE))
    assert verify(tmp_path / "c.gz").count == 2


def test_broken_files_are_bad_input(tmp_path):
    for name, content in broken():
        (tmp_path / "c.gz").write_bytes(content)
        with pytest.raises(InvalidInput) as caught:
            verify(tmp_path / "c.gz")
            pytest.fail(name)
        assert "\n" not in str(caught.value), name


def test_a_few_bombs_are_refused_within_their_bounds(tmp_path):
    chosen = ["lists in lists", "a million rows", "huge integer", "same branch again"]
    assert len(list(refused(chosen, tmp_path))) == 4


@pytest.mark.slow
def test_bombs_are_refused_within_their_bounds(tmp_path, capsys):
    """``pytest -m slow -k bombs -n0 -s`` prints what each takes."""
    for name, (said, seconds, memory) in refused(list(BOMBS), tmp_path):
        with capsys.disabled():
            print(f"{name}: {seconds:.1f} s, {memory / 1e6:.0f} MB, {said[:100]}")  # noqa: T201


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "nothing"])
def test_only_regular_files_are_read(kind, tmp_path):
    path = tmp_path / "c.gz"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = "/dev/zero"
    with pytest.raises(
        InvalidInput, match="an existing file" if kind == "nothing" else "a regular"
    ):
        verify(path)


def test_numbers_of_many_digits_are_read(tmp_path):
    """Python reads 4,300 digits; a certificate may need more: max(0, x - 10^6000) has two cells."""
    far = "1" + "0" * 6000
    head = with_terms([["0", "0"], ["1/" + far, "-" + far]])
    cells = {**RANGE, "points": [["0", "1"], ["2" + "0" * 12000, "1"]]}
    (tmp_path / "c.gz").write_bytes(packed([head, GROUP, cells, {"count": "2"}]))
    assert verify(tmp_path / "c.gz").count == 2
    cells = {**RANGE, "points": [["0", "1"], ["1" + "0" * 12000, "1"]]}
    (tmp_path / "c.gz").write_bytes(packed([head, GROUP, cells, {"count": "2"}]))
    with pytest.raises(EngineError, match="false witness"):
        verify(tmp_path / "c.gz")


VALUES = [None, True, 1.5, -1, 10**6, 10**30, "x", "1/0", "", [], {}, [[]], 1e308, [0] * 9]


def places(value, path=()):
    """All places of a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def altered(value, place, new):
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = altered(value[place[0]], place[1:], new)
    return copy


def fuzz(path, tries, seed):
    """Put a wrong value in a random place: refused, or the same count is still proved."""
    count_regions(initialisers.gaussian_heads(4, 3, 2, seed=1), threads=1, certificate=path)
    with gzip.open(path, "rt") as stream:
        *lines, _ = map(json.loads, stream)
    rng = random.Random(seed)
    accepted = 0
    for _ in range(tries):
        i = rng.randrange(len(lines))
        place = rng.choice(list(places(lines[i])))
        new = altered(lines[i], place, rng.choice(VALUES))
        path.write_bytes(packed([*lines[:i], new, *lines[i + 1 :]], 1))
        try:
            assert verify(path).count == int(lines[-1]["count"])
            accepted += 1
        except (InvalidInput, EngineError) as error:
            assert "\n" not in str(error)
    return accepted


def test_wrong_values_anywhere_are_refused(tmp_path):
    assert fuzz(tmp_path / "c.gz", 100, 0) < 25


@pytest.mark.slow
def test_two_thousand_wrong_values_are_refused(tmp_path):
    assert fuzz(tmp_path / "c.gz", 2000, 1) < 500
