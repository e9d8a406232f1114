"""Files to write: what is there stays on every ending but the good one, and nothing else is hit.

What is expected follows from what a shell's ``>`` does to the same name (devices, links, rights of
new files), and from "whole or not at all" where a shell would leave half a file.
"""

import errno
import os
import resource
import socket
import stat
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tropattn.errors import InvalidInput
from tropattn.outputs import keep_apart, output_path, writing


def write(path, text="new"):
    with writing(path) as stream:
        stream.write(text.encode())


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@contextmanager
def room(size):
    """Files of this process may grow to ``size`` bytes: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# ---- regular files ------------------------------------------------------------------------------


def test_a_new_file_has_the_rights_of_any_new_file(tmp_path):
    mask = os.umask(0o027)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "new")


def test_a_private_file_stays_private(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o600)
    write(path)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def test_the_other_name_of_a_file_keeps_it(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    (tmp_path / "b").hardlink_to(path)
    write(path)
    assert (path.read_text(), (tmp_path / "b").read_text()) == ("new", "old")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("old", ["old", None])
def test_every_bad_ending_leaves_what_was_there(tmp_path, error, old):
    path = tmp_path / "a"
    if old is not None:
        path.write_text(old)
    with pytest.raises(error), writing(path) as stream:
        stream.write(b"half")
        stream.flush()
        raise error
    assert names(tmp_path) == ([] if old is None else ["a"])
    assert old is None or path.read_text() == old


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_full_disk_loses_nothing(tmp_path, size):
    # 100 bytes fail when the buffer is written at the end, 100,000 in the middle.
    path = tmp_path / "a"
    path.write_text("old")
    with room(10), pytest.raises(InvalidInput, match="output: room for the file needed, got File"):
        write(path, "x" * size)
    assert (names(tmp_path), path.read_text()) == (["a"], "old")


def test_temporaries_are_new_files_under_names_that_cannot_be_guessed(tmp_path, monkeypatch):
    seen = set()
    for _ in range(2):
        with writing(tmp_path / "a") as stream:
            stream.write(b"1")
            seen |= set(names(tmp_path)) - {"a"}
    assert len(seen) == 2
    # Were a name guessed, a link planted under it would still not be followed.
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".tropattn-guessed").symlink_to(victim)
    with pytest.raises(InvalidInput, match="File exists"):
        write(tmp_path / "b")
    assert victim.read_text() == "precious"


# ---- links, devices, pipes ---------------------------------------------------------------------


@pytest.mark.parametrize("old", ["old", None])
def test_a_link_stays_and_its_file_is_written(tmp_path, old):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "a", tmp_path / "link"
    if old is not None:
        target.write_text(old)
    link.symlink_to("far/a")
    write(link)
    assert link.readlink() == Path("far/a")
    assert (target.read_text(), names(target.parent)) == ("new", ["a"])


def test_links_to_nowhere_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("no/folder")
    (tmp_path / "b").symlink_to("b")
    with pytest.raises(InvalidInput, match="there is no folder"):
        output_path(tmp_path / "a")
    with pytest.raises(InvalidInput, match="the path of a file needed"):
        output_path(tmp_path / "b")


def test_a_device_is_written_to(tmp_path):
    node = tmp_path / "null"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        node.open("wb").close()
    except OSError:
        pytest.skip("devices cannot be made here")
    write(node)
    found = node.stat()
    assert stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)
    assert names(tmp_path) == ["null"]


def test_a_link_to_a_device_is_written_through(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    write(link)
    assert link.readlink() == Path("/dev/null") and stat.S_ISCHR(link.stat().st_mode)
    if Path("/dev/full").exists():
        full = tmp_path / "full"
        full.symlink_to("/dev/full")
        with pytest.raises(InvalidInput, match="room for the file needed, got No space left"):
            write(full)
        assert full.readlink() == Path("/dev/full")


def test_what_is_neither_file_nor_device_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
        for name in ("fifo", "socket"):
            with pytest.raises(InvalidInput, match=f"a regular one .* is a (?i:{name})"):
                write(tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert stat.S_ISSOCK((tmp_path / "socket").stat().st_mode)


@contextmanager
def stdout_to(handle, monkeypatch):
    """Standard output of this process, its buffer included, sent elsewhere."""
    saved = os.dup(1)
    os.dup2(handle, 1)
    try:
        with open(1, "w", closefd=False) as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            yield stream
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def test_stdout_is_written_to_whatever_it_is(tmp_path, monkeypatch):
    def speak(handle, path):
        with stdout_to(handle, monkeypatch) as stream:
            stream.write("before, ")
            write(path, "between, ")
            stream.write("after")

    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        with os.fdopen(writer, "wb") as end:
            speak(end.fileno(), "/dev/stdout")
        assert stream.read() == b"before, between, after"
    path = tmp_path / "out"
    path.write_text("kept, ")
    with path.open("a") as stream:
        speak(stream.fileno(), "/dev/stdout")
    assert path.read_text() == "kept, before, between, after"
    # The same file by its own name would be replaced under the feet of the shell.
    with path.open("a") as stream, pytest.raises(InvalidInput, match="where the standard output"):
        speak(stream.fileno(), path)
    assert path.read_text() == "kept, before, between, afterbefore, "


def test_open_files_by_number(tmp_path):
    with (tmp_path / "a").open("wb") as stream:
        write(f"/dev/fd/{stream.fileno()}")
        stream.write(b", more")
    assert (tmp_path / "a").read_text() == "new, more"
    with (tmp_path / "a").open("rb") as stream, pytest.raises(InvalidInput, match="cannot be"):
        write(f"/dev/fd/{stream.fileno()}")
    with pytest.raises(InvalidInput, match="cannot be written to"):
        write("/dev/fd/987")


# ---- refused before the work ---------------------------------------------------------------------


def test_read_only_files_and_folders(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(InvalidInput, match="which is read-only"):
        output_path(tmp_path / "a")
    (tmp_path / "b").mkdir(mode=0o555)
    with pytest.raises(InvalidInput, match="is read-only"):
        output_path(tmp_path / "b" / "c")


@pytest.mark.parametrize("name", ["a" * 300, "a/b", "\0"])
def test_names_that_cannot_be(tmp_path, name):
    (tmp_path / "a").write_text("a file, no folder")
    with pytest.raises(InvalidInput, match=r"^x: (the path of a file needed|.* no folder)"):
        output_path(f"{tmp_path}/{name}", "x")


def test_one_file_by_any_other_name(tmp_path):
    path = tmp_path / "a"
    path.write_text("")
    (tmp_path / "hard").hardlink_to(path)
    (tmp_path / "soft").symlink_to(path)
    (tmp_path / "new").symlink_to("absent")
    (tmp_path / "sub").mkdir()
    for one, other in [
        (path, f"{tmp_path}/sub/../a"),
        (path, tmp_path / "hard"),
        (tmp_path / "soft", tmp_path / "hard"),
        (tmp_path / "new", tmp_path / "absent"),
        (tmp_path / "absent", tmp_path / "sub" / ".." / "absent"),
    ]:
        for left, right in [(one, other), (other, one)]:
            with pytest.raises(InvalidInput, match=r"a file of its own needed, got .*, why;"):
                keep_apart(left, "output", ["/nowhere", right], "why")
    keep_apart(path, "output", [tmp_path / "absent", tmp_path, "\0"], "why")
    keep_apart("/dev/null", "output", ["/dev/null"], "why")


def test_an_error_of_the_block_is_not_blamed_on_the_disk(tmp_path):
    with pytest.raises(PermissionError), writing(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "elsewhere")
    assert names(tmp_path) == []
