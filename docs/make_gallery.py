"""Run the blocks of ``gallery.md`` and draw its pictures: ``python docs/make_gallery.py``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from PIL import Image

from tropattn import plotting

HERE = Path(__file__).parent
WIDTH = 900
"""Of a picture, in pixels: about a paper's column."""


def examples() -> list[tuple[str, str]]:
    """Pairs of a block's code and the file of its picture, relative to the documents."""
    text = (HERE / "gallery.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```\n\n!\[[^]]*\]\(([^)]*)\)", text, re.DOTALL)


def main() -> None:
    """Draw all pictures, or those whose names are given."""
    for code, name in examples():
        place = HERE / name
        if sys.argv[1:] and place.stem not in sys.argv[1:]:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        scope: dict[str, object] = {}
        exec(code, scope)
        plotting.save(scope["figure"], place)
        image = Image.open(place).convert("RGB")
        image.thumbnail((WIDTH, WIDTH))
        image.quantize(200).save(place, optimize=True)


if __name__ == "__main__":
    main()
