"""Every figure of every command, of two checkouts side by side, on one sheet.

    python tests/benchmarks/contact_sheet.py --against OTHER_CHECKOUT --output sheet.png

Each command runs in a process of its own with the checkout first on the path; a figure that one of
the two cannot draw is left blank. Of films the last frame is shown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

TEXT = ("--text", "314159265=")
ROOT = Path(__file__).parents[2]
TRAINED = ROOT / "experiments/e07_training/checkpoints"
STEPS = [str(TRAINED / f"step-{k:06}.safetensors") for k in (1, 64)]
COMMANDS = {
    "heads of a trained layer": ("plot", "demo", *TEXT),
    "one head": ("plot", "demo", *TEXT, "--head", "3"),
    "layer by layer": ("plot", "demo", "--text", "83052=", "--layer", "all"),
    "three heads": ("plot", "three.npz"),
    "twelve heads": ("plot", "twelve.npz"),
    "a polytope": ("plot", "three.npz", "--view", "polytope", "--head", "0"),
    "along a line": ("plot", "three.npz", "--domain", "line:line.json"),
    "in a box of space": ("plot", "space.npz", "--domain", "box:-1,1"),
    "directions in space": ("plot", "central.npz"),
    "where an answer changes": ("boundary", "demo", "--text", "83052=", "--reach", "6"),
    "the demo": ("demo",),
    "inspection": ("inspect", "demo", *TEXT),
    "temperature": ("temperature", "demo", *TEXT),
    "scaling": ("scaling", "--heads", "2,3", "--keys", "4,6,8"),
    "hardmax": ("dynamics", "hardmax"),
    "simulate, circle": ("dynamics", "simulate", "--dim", "2", "--beta", "9"),
    "simulate, sphere": ("dynamics", "simulate", "--dim", "3"),
    "gaussian": ("dynamics", "gaussian"),
    "phase": ("dynamics", "phase", "--runs", "8", "--layers", "120"),
    "sentiment": ("dynamics", "sentiment", "words.npz"),
    "film of walls along training": ("plot", *STEPS, "demo", "--text", "83="),
    "film of walls along the temperature": ("temperature", "three.npz", "--domain", "box:-3,3"),
    "film of tokens": ("dynamics", "hardmax"),
}
SIDE, LINE = 620, 26


def main() -> None:
    """Draw both columns and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, required=True, help="the other checkout")
    parser.add_argument("--output", type=Path, default=Path("sheet.png"))
    parser.add_argument("--only", nargs="*", choices=COMMANDS, help="some of the figures")
    given = parser.parse_args()
    checkouts = [given.against.resolve(), ROOT.resolve()]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        inputs(Path(folder))
        for name in given.only or COMMANDS:
            rows.append((name, [drawn(tree, name, Path(folder)) for tree in checkouts]))
    sheet(rows, [str(tree) for tree in checkouts]).save(given.output)


def inputs(folder: Path) -> None:
    """The arrays that the commands read."""
    rng = np.random.default_rng(3)
    for name, shape in (("three", (3, 9)), ("twelve", (12, 7))):
        slopes, intercepts = rng.standard_normal((*shape, 2)), rng.standard_normal(shape)
        np.savez(folder / f"{name}.npz", slopes=slopes, intercepts=intercepts)
    np.savez(folder / "space.npz", slopes=rng.standard_normal((2, 5, 3)),
             intercepts=0.5 * rng.standard_normal((2, 5)))  # fmt: skip
    np.savez(folder / "central.npz", slopes=rng.standard_normal((2, 5, 3)))
    (folder / "line.json").write_text('{"origin": [-3, -1], "direction": [1, 0.4]}')
    words = ["<pad>", "<unk>", "good", "bad", "film", "plot"]
    np.savez(
        folder / "words.npz", words=np.array(words), alpha=np.array(1.0), layers=np.array(2),
        embedding=np.array([[0.0], [0.0], [2.0], [-2.0], [0.3], [-0.1]]), weight=np.array([1.0]),
        bias=np.array(0.0), length=np.array(4), test_labels=np.array([1, 0]),
        test_ids=np.array([[2, 4, 5, 0], [3, 4, 5, 0]]),
    )  # fmt: skip


def drawn(tree: Path, name: str, folder: Path) -> Image.Image | None:
    """The figure of one command of one checkout."""
    place = folder / ("figure.gif" if name.startswith("film") else "figure.png")
    place.unlink(missing_ok=True)
    words = COMMANDS[name]
    command = [sys.executable, "-m", "tropattn", *words, "--output", str(place)]
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(tree)}, capture_output=True,
        check=False,
    )  # fmt: skip
    if ended.returncode or not place.exists():
        print(tree, *words, ended.stderr.decode()[-300:], sep="\n")
        return None
    image = Image.open(place)
    image.seek(getattr(image, "n_frames", 1) - 1)
    image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    return image


def sheet(rows: list[tuple[str, list[Image.Image | None]]], heads: list[str]) -> Image.Image:
    """All pairs under each other, each with its name."""
    tall = [LINE + max((im.height for im in pair if im), default=40) for _, pair in rows]
    page = Image.new("RGB", (2 * SIDE + 30, LINE + sum(tall)), "white")
    pen = ImageDraw.Draw(page)
    for k, head in enumerate(heads):
        pen.text((10 + k * (SIDE + 10), 6), head, fill="black")
    top = LINE
    for (name, pair), height in zip(rows, tall, strict=True):
        pen.text((10, top + 6), name, fill="black")
        for k, image in enumerate(pair):
            if image is not None:
                page.paste(image, (10 + k * (SIDE + 10), top + LINE))
        top += height
    return page


if __name__ == "__main__":
    main()
