"""``python -m tropattn`` runs the command line."""

from __future__ import annotations

from tropattn.cli import main

main()
