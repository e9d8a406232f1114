import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import tropattn as ta
from tropattn.cli import main


@pytest.fixture
def invoke():
    """Run a command in this process; the result has exit_code, stdout and stderr."""

    def run(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args])

    return run


def write_heads(path, heads):
    arrays = {f"slopes_{h}": head.slopes for h, head in enumerate(heads)}
    arrays |= {f"intercepts_{h}": head.intercepts for h, head in enumerate(heads)}
    np.savez(path, **arrays)
    return path


@pytest.fixture
def strips(tmp_path):
    """Three heads with three keys in the plane: 19 cells, the bound T6."""
    return write_heads(tmp_path / "heads.npz", ta.constructions.parabola_strips([3, 3, 3], 2))


@pytest.fixture
def start():
    """Start the command line as a process of its own, as a user would."""
    root = Path(__file__).parents[2]
    env = os.environ | {"PYTHONPATH": str(root), "NO_COLOR": "1"}

    def popen(*args, **extra):
        return subprocess.Popen(
            [sys.executable, "-m", "tropattn", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            **extra,
        )

    return popen
