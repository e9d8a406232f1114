"""The demo: one layer of the shipped model, from weights to three agreeing witnesses."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from tropattn import report
from tropattn.attention.networks.model import Model
from tropattn.progress import printing
from tropattn.record import Record
from tropattn.study import layer
from tropattn.study.inputs import Source, open_heads
from tropattn.study.pictures import on_token_plane
from tropattn.study.token_plane import token_plane

__all__ = ["run"]

_TEXT = "314159265="

_NEXT = """\
Try next:
  tropattn count demo --text 271828182=            another context
  tropattn count demo --text 314159265= --layer 1  the next layer
  tropattn plot demo --text 314159265= --layer 1 --output layer1.png
  tropattn scaling                                 how counts grow with the keys
  tropattn count --help                            your own heads and planes"""


def run(
    path: str, output: str, *, seed: int, threads: int | None, out: Console, err: Console
) -> Record:
    """Study one layer of the shipped model; answers go to ``out``, progress to ``err``.

    Parameters
    ----------
    path : the shipped model; output : the figure to write.
    seed : of the sampler; threads : for counting.

    Returns
    -------
    Record
        That of ``study.layer``; every number printed is one of it or of the figure's plane.
    """
    steps = report.Steps(err)
    spec = layer.LayerSpec(source=Source(path=path, text=_TEXT), seed=seed, threads=threads)
    with steps("reading weights, fixing the context"):
        opened = open_heads(spec.source)
        opening = "" if opened.model is None else _opening(opened.model, len(opened.heads))
    _say(out, opening)
    record = layer.run(opened, spec, steps, lambda found: _tell(found, out))
    numbers = [record.counts[name].value for name in ("sampled", "exact", "bound_live", "bound")]
    with printing():
        report.witnesses(record, out)
        out.print()
    _say(out, f"{' <= '.join(report.number(n) for n in numbers)}: the three witnesses agree.\n")
    with steps("drawing a plane through three token states"):
        # Here, so that the first numbers do not wait for matplotlib.
        from tropattn import plotting
        from tropattn.plotting.pictures import draw

        plane = token_plane(opened, threads=threads)
        plotting.save(draw(on_token_plane(opened, plane)), output)
    _say(
        out,
        f"\nFigure: {output}. The plane through {', '.join(plane.names)} meets {plane.cells} "
        f"cells in its window, the most among the {plane.tried} planes through the last token "
        f"and two others.\n\n{_NEXT}",
    )
    return record


def _opening(model: Model, n_heads: int) -> str:
    answers = []
    for kind, temperature in (("soft", 1.0), ("hard (argmax)", 0.0)):
        token = int(model(_TEXT, temperature=temperature)[-1].argmax())
        name = str(token) if model.vocabulary is None else model.vocabulary[token]
        answers.append(f"{name} with {kind} attention")
    return (
        f"\nA trained transformer of {len(model.layers)} attention layers names the largest "
        f"digit of its context. For {_TEXT} it answers {' and '.join(answers)}.\n\n"
        f"Layer 0 has {n_heads} heads. The state of the last token moves in R^{model.d_model} "
        "(the residual stream); the keys of the context stay. Each head picks the key with "
        "the largest score: the cells of a power diagram. A dead key wins for no state at "
        "all. Keys are written token@position.\n"
    )


def _tell(record: Record, out: Console) -> None:
    """Print what a step has found."""
    exact = record.counts.get("exact")
    if exact is not None and "walls" not in record.tables["heads"][0]:
        _say(out, f"The layer has {report.number(exact.value)} cells, each proved.\n")
        return
    with printing():
        (report.heads if exact is None else report.duals)(record, out)
        out.print()


def _say(out: Console, text: str) -> None:
    """Print paragraphs, filled to the width of the console; lists stay as they are."""
    width = max(20, out.width)
    with printing():
        for line in text.split("\n"):
            listed = line.startswith(" ")
            filled = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
            out.print(Text(line if listed else filled), soft_wrap=True)
