"""Run the blocks of the gallery and the notebooks and draw their pictures anew.

    python docs/make_gallery.py [gallery | NOTEBOOK ...]

Blocks of ``gallery.md`` stand alone; those of a notebook share their names, from top to bottom.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from tropattn import plotting
from tropattn.plotting.films import save_film

HERE = Path(__file__).parent
WIDTH = 900
"""Of a picture, in pixels: about a paper's column."""


def examples(page: Path) -> Iterator[tuple[str, Path | None]]:
    """Each block's code, and the file of the picture behind it and behind what it prints."""
    block = r"```python\n(.*?)```(?:\n\n```text\n.*?```)?(?:\n\n!\[[^]]*\]\(([^)]*)\))?"
    for code, name in re.findall(block, page.read_text(encoding="utf-8"), re.DOTALL):
        yield code, page.parent / name if name else None


def main() -> None:
    """Draw all pictures, or those of the pages whose names are given."""
    for page in (HERE / "gallery.md", *sorted((HERE / "notebooks").glob("*.md"))):
        if sys.argv[1:] and page.stem not in sys.argv[1:]:
            continue
        scope: dict[str, object] = {}
        for code, place in examples(page):
            exec(code, scope)
            if place is not None:
                write(scope["figure"], place)


def write(figure: Any, place: Path) -> None:
    """Write a figure as a small picture, or one that moves."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".gif":
        save_film(figure, place)
        return
    plotting.save(figure, place)
    image = Image.open(place).convert("RGB")
    image.thumbnail((WIDTH, WIDTH))
    image.quantize(200).save(place, optimize=True)


if __name__ == "__main__":
    main()
