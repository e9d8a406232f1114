"""``python -m tropattn.cli`` runs the command line."""

from __future__ import annotations

from tropattn.cli import main

main()
