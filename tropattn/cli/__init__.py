"""The command line: answers to stdout, progress and errors to stderr."""

from __future__ import annotations

from tropattn.cli.commands import main

__all__ = ["main"]
