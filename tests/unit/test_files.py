"""One reader a format: what is read, what is refused, and what that may cost."""

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from cli.mutations import bomb, npy, zipped

from tropattn.errors import InvalidInput
from tropattn.files import json_value, printable, read_bytes, read_json, read_npz, regular_file
from tropattn.numerals import real, whole


def test_arrays_come_back_as_they_were_saved(tmp_path):
    """numpy.savez is the oracle: kinds, byte orders, shapes, Fortran order, no entries."""
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.normal(size=(2, 3, 4)),
        "b": np.asfortranarray(rng.normal(size=(3, 5))),
        "c": np.arange(6, dtype=">i4").reshape(2, 3),
        "d": np.array(["x", "longer", "é"]),
        "e": np.zeros((0, 4)),
        "f": np.array(2.5, np.float16),
        "g": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_npz(tmp_path / "a.npz")
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype and found[name].shape == array.shape
            assert (found[name] == array).all()


def header(shape: str, descr: str = "<f8") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no list of members"),
        (npy(header("(1,)"), bytes(8)), "a .npy file, whose one array has no name"),
        (zipped({"a.npy": npy(header("(10**9,)"), bytes(8))}), "damaged header"),
        (zipped({"a.npy": npy(header("(1000000000000,)"), bytes(8))}), "another size than its"),
        (zipped({"a.npy": npy(header("(2,)"), bytes(8))}), "another size than its header"),
        (zipped({"a.npy": npy(header("(0, 9999999999)"))}), "of no use"),
        (zipped({"a.npy": npy(header("(1,)", "<U1"), b"\xff" * 4)}), "no Unicode"),
        (zipped({"a.npy": npy(header("(1,)", "|O"), bytes(8))}), "Object arrays cannot be loaded"),
        (zipped({"a.npy": npy(header("(-1,)"), bytes(8))}), "damaged shape"),
        (zipped({"a.npy": npy("[" * 5000, b"")}), "damaged header"),
        (zipped({"a.npy": npy("", b"", length=65535)}), "a header of 65535 bytes"),
        (zipped({"a": bytes(8)}), "members that are no arrays"),
    ],
)
def test_archives_that_are_refused(data, words, tmp_path):
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InvalidInput, match=rf"a complete .npz archive .*{words}"):
        read_npz(tmp_path / "a.npz")


def test_other_compression_encryption_and_checksums(tmp_path):
    stream = io.BytesIO()
    np.savez(stream, a=np.ones(3))
    whole_file = stream.getvalue()
    listed = whole_file.index(b"PK\1\2")
    for at, value, words in ((10, 14, "other than deflate"), (8, 1, "encrypted"), (16, 7, "CRC")):
        other = bytearray(whole_file)
        other[listed + at : listed + at + 2] = struct.pack("<H", value)
        (tmp_path / "a.npz").write_bytes(other)
        with pytest.raises(InvalidInput, match=words):
            read_npz(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", npy(header("(1,)"), bytes(8)))
    with pytest.raises(InvalidInput, match="other than deflate"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.long
@pytest.mark.parametrize("declared", [True, False])
def test_a_bomb_is_not_unpacked(declared, tmp_path):
    """256 MiB of zeros in 260 kB: refused by the size declared, or by that of the header."""
    (tmp_path / "a.npz").write_bytes(bomb(2**28, declared))
    tracemalloc.start()
    with pytest.raises(InvalidInput, match=r"a complete .npz archive"):
        read_npz(tmp_path / "a.npz")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**22


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("zero", "a device"), (".", "a folder")):
        with pytest.raises(InvalidInput, match=f"a regular file needed, got {kind}"):
            read_bytes(tmp_path / name)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(InvalidInput, match="at most 100 bytes needed, got 1000000000000"):
        regular_file(tmp_path / "large", largest=100)
    assert read_json(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ("NaN", "NaN, which is no JSON number"),
        ("[1, -Infinity]", "-Infinity, which is no JSON number"),
        ("1e400", "beyond 1.8e308"),
        ("1" + "0" * 1000, "an integer of 1001 digits"),
        (r'"\ud800"', "half of a surrogate pair"),
        (r'{"\udfff": 1}', "half of a surrogate pair"),
        ("[" * 65 + "]" * 65, "more than 64 levels"),
        ("[" * 10**5, "recursion"),
        ("[" + "0," * 4 * 10**6 + "0]", "more than 4000000 values"),
        (b"\xff", "utf-8"),
    ],
)
def test_json_that_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        json_value(text)


def test_json_that_is_read():
    assert json_value("[" * 64 + "]" * 64) is not None
    assert json_value(r'["\ud83d\ude00", 1e308, -0.0]') == ["\U0001f600", 1e308, 0.0]
    assert json_value("1" + "0" * 999) == 10**999


@pytest.mark.parametrize(
    "text", ["1_0", " 1", "1 ", "\uff11", "\u0663", "0x10", "", "1\n", "--1", "9" * 41, "1e5"]
)
def test_integers_are_plain_numerals(text):
    with pytest.raises(ValueError, match="not a valid integer"):
        whole(text)


@pytest.mark.parametrize(
    "text", ["1_0.5", " 1", "\uff11", "0x10", "", ".", "1e", "1e400", "Infinity"]
)
def test_numbers_are_plain_numerals(text):
    with pytest.raises(ValueError, match=r"not a valid number|beyond the largest"):
        real(text)
    assert [real(t) for t in ("1.", ".5", "+1e-3", "-7")] == [1.0, 0.5, 0.001, -7.0]


def test_what_steers_a_terminal_is_escaped():
    text = "\x1b[31m\x9b2J\u202e\ud800\x7f\rplain é \U0001f600\n"
    shown = printable(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert shown.endswith("plain é \U0001f600\n")
    shown.encode()
