"""The demo: one layer of the shipped model, from weights to three agreeing witnesses."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from tropattn import plotting, report
from tropattn.attention.loading import load
from tropattn.cli.drawing import on_token_plane
from tropattn.record import Record
from tropattn.study import layer
from tropattn.study.inputs import Source, open_heads
from tropattn.study.token_plane import TokenPlane, token_plane

__all__ = ["run"]

_TEXT = "314159265="

_NEXT = """\
Try next:
  tropattn count demo --text 271828182=                  another context
  tropattn count demo --text 314159265= --layer 1        the next layer
  tropattn plot demo --text 314159265= --layer 1 --output layer1.png
  tropattn scaling                                       how counts grow with the keys
  tropattn count --help                                  your own heads, planes and boxes"""


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
    with steps("compiling kernels (first run only)"):
        layer.warm_up()
    spec = layer.LayerSpec(source=Source(path=path, text=_TEXT), seed=seed, threads=threads)
    record = layer.run(spec, steps)
    with steps("drawing a plane through three token states"):
        opened = open_heads(spec.source)
        plane = token_plane(opened, threads=threads)
        plotting.save(on_token_plane(opened, plane), output)
    _tell(path, record, plane, output, out)
    return record


def _tell(path: str, record: Record, plane: TokenPlane, output: str, out: Console) -> None:
    model = load(path)
    answers = []
    for kind, temperature in (("soft", 1.0), ("hard (argmax)", 0.0)):
        token = int(model(_TEXT, temperature=temperature)[-1].argmax())
        name = str(token) if model.vocabulary is None else model.vocabulary[token]
        answers.append(f"{name} with {kind} attention")
    n_heads = len(record.tables["heads"])
    out.print(
        Text(
            f"\nA trained transformer of {len(model.layers)} attention layers names the largest "
            f"digit of its context.\nFor {_TEXT} it answers {' and '.join(answers)}.\n\n"
            f"Layer 0 has {n_heads} heads. The state of the last token moves in R^{model.d_model} "
            "(the residual stream); the\nkeys of the context stay. Each head picks the key with "
            "the largest score: the cells of a power\ndiagram. A dead key wins for no state at "
            "all. Keys are written token@position.\n"
        ),
        soft_wrap=True,
    )
    report.heads(record, out)
    out.print()
    report.witnesses(record, out)
    numbers = [record.counts[name].value for name in ("sampled", "exact", "bound")]
    out.print(
        Text(
            f"\n{' <= '.join(report.number(n) for n in numbers)}: the three witnesses agree.\n\n"
            f"Figure: {output}. The plane through {', '.join(plane.names)} meets {plane.cells} "
            f"cells in its window,\nthe most among the {plane.tried} planes through the last token "
            f"and two others.\n\n{_NEXT}"
        ),
        soft_wrap=True,
    )
