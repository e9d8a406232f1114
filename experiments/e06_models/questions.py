"""Write under each command of docs/questions.md what it prints today.

``MINILM``, ``GGUF`` and ``RXN`` in the environment name the models; commands on others are left as
they are. Takes some minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "questions.md"
WIDTH = 100
LONGEST = 16


def printed(command: str) -> list[str]:
    """The lines that a command prints, the longest cut."""
    env = os.environ | {"COLUMNS": str(WIDTH), "NO_COLOR": "1"}
    done = subprocess.run(
        f"{sys.executable} -m {command}",
        shell=True,
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    lines = [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) > LONGEST:
        lines = [*lines[:LONGEST], "..."]
    return [line if len(line) <= WIDTH else line[: WIDTH - 4] + " ..." for line in lines]


def main() -> None:
    """Run the commands and write the document."""
    out: list[str] = []
    skipping = False
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("    $ tropattn "):
            command = line.removeprefix("    $ ")
            needed = re.findall(r"\$([A-Z]+)", command)
            skipping = all(name in os.environ for name in needed)
            out.append(line)
            if skipping:
                out += [f"    {text}".rstrip() for text in printed(command)]
        elif not (skipping and (line.startswith("    ") or not line)):
            if skipping:
                out.append("")
            skipping = False
            out.append(line)
    DOCUMENT.write_text("\n".join(out) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
