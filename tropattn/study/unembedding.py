"""Words that can never be said: which rows of a model's last map win for some state.

weights -> rows of the unembedding, its bias, the norm before it -> one tropical polynomial of what
the norm gives -> live words, each proved -> those within reach of the norm.

Behind an RMSNorm without bias every direction is a state's, so the whole space is the domain.
Behind a LayerNorm ``gamma * u + beta`` the ``u`` of all states fill the open ball ``|u|^2 < d`` of
the centred hyperplane: a word can win exactly if its cell meets that ball.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn._types import Array, Floats
from tropattn.arrays import as_array, to_float
from tropattn.attention.evaluated.norms import LayerNorm, Norm, RMSNorm
from tropattn.attention.loading import load
from tropattn.attention.loading.config import Config
from tropattn.attention.loading.families import family_name
from tropattn.attention.loading.ggufs import GgufFile
from tropattn.attention.loading.own import is_own
from tropattn.attention.loading.paths import open_tensors
from tropattn.attention.loading.tensors import Tensors
from tropattn.attention.loading.vocabulary import Words, read_words
from tropattn.errors import InvalidInput
from tropattn.files import existing_path, named
from tropattn.polyhedra.nearest import cell_distances
from tropattn.progress import Listening, Report, counting
from tropattn.record import Record
from tropattn.study.inputs import Source
from tropattn.study.kept import Kept, kept, lasting
from tropattn.study.layer import Step
from tropattn.study.reachable import on_hyperplane
from tropattn.threads import check, interrupted
from tropattn.tolerance import gamma
from tropattn.tropical.geometry.live_terms import TermBlocks
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["Unembedding", "UnembeddingSpec", "read_unembedding", "run", "words"]

Row = dict[str, Any]

_BLOCK = 2048
"""Words that are decided, and kept by a job, together."""

_NAMED = 8
"""Words of a combination that a row names."""

_SECOND = "dead words that come second"
_SECONDS = 500
"""Dead words of which it is asked whether they come second."""

_STEPS = 60
"""Steps towards a state where a dead word comes second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnembeddingSpec:
    """Settings of ``run``: the model file, worker threads, who listens to the progress.

    ``job`` is a file that keeps every block of words that is decided, made where there is none.
    """

    path: str
    threads: int | None = None
    progress: Listening = False
    job: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Unembedding:
    """The last map of a model: logits ``rows @ x + bias`` of what its norm gives.

    ``rows`` (V, d), ``bias`` (V,) or None, ``norm`` or None, ``names`` of the words.
    """

    rows: Array
    bias: Array | None
    norm: Norm | None
    names: Sequence[str]


def run(spec: UnembeddingSpec, step: Step = nullcontext) -> Record:
    """Find the words of a model file that no state can say; record and errors as ``words``."""
    with step("reading weights"):
        last = read_unembedding(spec.path)
    return words(last, spec, step)


def words(last: Unembedding, spec: UnembeddingSpec, step: Step = nullcontext) -> Record:
    """Decide for every word of a last map whether some state makes it win (theory T2, T3).

    Returns
    -------
    Record
        Table ``unembedding``, one row: ``words``, ``distinct`` rows, ``live`` (exact), ``dead``,
        ``reachable`` (doubles; None where every live word is), ``reach_margin``, and the
        ``exact_decisions`` among them. Table ``dead``, a row per word that cannot win: ``why``
        ("dead": never above a combination of others, its largest members in ``others`` with their
        ``weights``; "out of reach": only beyond the norm's ball), ``second`` whether a state was
        found, and proved, at which one word alone beats it (None: not asked). Table ``twins``:
        words with equal rows, which win and lose together and count as one.

    Raises
    ------
    InvalidInput : numbers that do not fit each other.
    Interrupted : stopped, with the number of words proved live by then.

    Notes
    -----
    "State" is any residual vector. Source: Grivas, Bogoychev, Lopez (2022), *Low-rank softmax can
    have unargmaxable classes in theory but rarely in practice*, for the question; each row is one
    program over the few rivals that matter, proved as in ``live_terms``. Cost: a few passes over
    the V rows per word, shared by 32 words.
    """
    shape = as_array("rows", last.rows, 2, shape="(V, d)")
    plain = TropicalPolynomial(shape, last.bias)
    f, ball = _variable(plain, last.norm)
    asked = {} if spec.job is None else {"source": lasting(Source(path=spec.path))}
    given = (last.rows, last.bias, last.norm, list(last.names))
    blocks = [range(at, min(at + _BLOCK, f.n_terms)) for at in range(0, f.n_terms, _BLOCK)]
    parts = [*map(_words, blocks), *([] if ball is None else map(_reach, blocks)), _SECOND]
    with kept(spec.job, "unembedding", asked, given, parts, "union") as part_of:
        with step(f"words that can win, of {f.n_terms:,}"):
            found = _decided(f, blocks, spec, part_of)
        far = None
        if ball is not None:
            with step("words within the norm's ball"):
                far = _distances(plain, ball, found.live, blocks, spec, part_of)
        reached = found.live if far is None else found.live[far < 1]
        with step(_SECOND):
            rows = part_of(_SECOND, partial(_dead_rows, f, found, far, last.names))
    summary: Row = {
        "words": f.n_terms,
        "distinct": len(f.distinct[0]),
        "dimension": f.dim,
        "live": len(found.live),
        "dead": len(found.combinations),
        "reachable": None if far is None else len(reached),
        "reach_margin": None if far is None else float(np.abs(1 - far).min()),
        "sayable": len(reached),
        "exact_decisions": found.exact_decisions,
    }
    settings: Row = {
        "source": spec.path,
        "norm": None if last.norm is None else type(last.norm).__name__,
        "bias": last.bias is not None,
        "variable": "residual before the last norm" if last.norm else "last state",
    }
    settings |= {} if spec.job is None else {"job": spec.job}
    tables = {"unembedding": [summary], "dead": rows, "twins": _twins(f, last.names)}
    return Record("unembedding", settings, {}, tables)


def _variable(f: TropicalPolynomial, norm: Norm | None) -> tuple[TropicalPolynomial, Norm | None]:
    """The polynomial of a variable that ranges over a whole space; the norm where it is a ball."""
    if norm is None:
        return f, None
    if norm.width != f.dim:
        raise InvalidInput(f"norm: one of width {f.dim} needed, got {norm.width}.")
    scales = norm.weight.astype(np.float64)
    constants = f.biases.any() or norm.shift.any()
    if not norm.centred and not constants and scales.all():
        # gamma * u is any direction as u is.
        return f, None
    pulled = on_hyperplane(f, norm)
    if not constants:
        return pulled, None
    heights = pulled.exact_terms()
    last = heights.ncols() - 1
    equal = all(heights[j, last] == heights[0, last] for j in range(heights.nrows()))
    return pulled, None if equal else norm


@dataclass(frozen=True, slots=True, eq=False)
class _Verdicts:
    """Live words, dead ones with words and weights of their combinations, exact decisions."""

    live: NDArray[np.int64]
    combinations: dict[int, tuple[list[int], list[float]]]
    exact_decisions: int


def _words(block: range) -> str:
    return f"words {block.start} to {block.stop - 1}"


def _reach(block: range) -> str:
    return f"reach of {_words(block)}"


def _decided(
    f: TropicalPolynomial, blocks: Sequence[range], spec: UnembeddingSpec, part_of: Kept
) -> _Verdicts:
    """Which words win somewhere, a block after the other."""
    terms = TermBlocks(f)
    live: list[int] = []
    combinations: dict[int, tuple[list[int], list[float]]] = {}
    exact = 0
    with counting("words decided", spec.progress, "") as report:
        for block in blocks:
            told = _within(report, block, f.n_terms)
            work = partial(terms.decided, block.start, block.stop, spec.threads, told)
            try:
                own, dead, open_ = part_of(_words(block), work)
            except KeyboardInterrupt as error:
                raise interrupted(max(1, len(live) + getattr(error, "lower", 0))) from None
            live += own
            combinations |= {j: (others, weights) for j, others, weights in dead}
            exact += open_
    return _Verdicts(np.array(live, np.int64), combinations, exact)


def _within(report: Report | None, block: range, count: int) -> Report | None:
    """What is told of a block, as of all that are counted."""
    if report is None:
        return None
    return lambda done, left: report(block.start + done, count - block.start - done)


def _distances(
    f: TropicalPolynomial,
    norm: Norm,
    live: NDArray[np.int64],
    blocks: Sequence[range],
    spec: UnembeddingSpec,
    part_of: Kept,
) -> Floats:
    """How far the cell of each live word is from the ball's centre, in its radii; in doubles."""
    slopes = to_float(f.slopes)[0]
    heights = slopes @ norm.shift.astype(np.float64) + to_float(f.intercepts)[0]
    slopes = slopes * norm.weight.astype(np.float64)
    if norm.centred:
        slopes = slopes - slopes.mean(axis=1, keepdims=True)
    far: list[float] = []
    with counting("words measured", spec.progress, "") as report:
        for block in blocks:
            own = live[(live >= block.start) & (live < block.stop)]
            told = _within(report, range(len(far), len(far) + len(own)), len(live))
            work = partial(cell_distances, slopes, heights, own, spec.threads, told)
            far.extend(part_of(_reach(block), work))
    return np.array(far) / np.sqrt(norm.width)


def _dead_rows(
    f: TropicalPolynomial, found: _Verdicts, far: Floats | None, names: Sequence[str]
) -> list[Row]:
    rows: list[Row] = []
    terms, errors = f.float_terms()
    for at, (j, (others, weights)) in enumerate(found.combinations.items()):
        check()
        order = np.argsort(-np.array(weights))[:_NAMED].tolist()
        rows.append(
            {
                "id": j,
                "word": names[j],
                "why": "dead",
                "second": _comes_second(terms, errors, j) if at < _SECONDS else None,
                "members": len(others),
                "others": [names[others[i]] for i in order],
                "weights": [weights[i] for i in order],
                "reach": None,
            }
        )
    if far is not None:
        for j, radii in zip(found.live.tolist(), far.tolist(), strict=True):
            if radii >= 1:
                row: Row = {"id": j, "word": names[j], "why": "out of reach"}
                row |= {"second": None, "members": 0, "others": [], "weights": [], "reach": radii}
                rows.append(row)
    return rows


def _comes_second(terms: Floats, errors: Floats, j: int) -> bool:
    """Whether a state was found at which one term alone is above term j, by doubles beyond doubt.

    A perceptron's steps: away from the terms that are above, the best of them left out.
    """
    apart = terms - terms[j]
    length = np.sqrt((apart**2).sum(axis=1))
    reach = np.abs(terms).max(axis=1) + np.abs(terms[j]).max()
    loss = errors.max(axis=1) + errors[j].max() + gamma(terms.shape[1] + 4) * reach
    z = terms[j] - terms.mean(axis=0)
    z[-1] = abs(z[-1]) + 1e-3 * float(np.abs(z).max())
    unit = apart / np.where(length > 0, length, 1.0)[:, None]
    for _ in range(_STEPS):
        scores = apart @ z
        bound = loss * float(np.abs(z).sum())
        above = np.flatnonzero((scores > -bound) & (length > 0))
        if len(above) <= 1:
            return bool(z[-1] > 0)
        best = above[int(np.argmax(scores[above]))]
        worst = above[above != best]
        step = worst[int(np.argmax(unit[worst] @ z))]
        z = z - 1.5 * max(float(unit[step] @ z), 1e-6 * float(np.linalg.norm(z))) * unit[step]
        if z[-1] <= 0:
            z[-1] = 1e-3 * float(np.abs(z).max())
    return False


def _twins(f: TropicalPolynomial, names: Sequence[str]) -> list[Row]:
    firsts, classes = f.distinct
    if len(firsts) == f.n_terms:
        return []
    sizes = np.bincount(classes)
    order = np.argsort(classes, kind="stable")
    starts = np.cumsum([0, *sizes.tolist()])
    out: list[Row] = []
    for c in np.flatnonzero(sizes > 1).tolist():
        group = order[starts[c] : starts[c + 1]].tolist()
        out.append({"ids": group, "words": [names[i] for i in group]})
    return out


# ---- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a family keeps its last map.

    ``rows``, or where they are tied ``embedding``, behind the norm at the stem ``norm``, to whose
    weights ``lift`` is added; ``ties`` is what the reference does where the configuration is
    silent. Where rows are tied ``bias`` is that of the rows too, unless they have their own.
    """

    rows: str
    embedding: str
    norm: str
    ties: bool
    bias: str | None = None
    kind: type[LayerNorm] | type[RMSNorm] = LayerNorm
    lift: float = 0.0


_DECODER = _Place(
    "lm_head.weight", "model.embed_tokens.weight", "model.norm", ties=False, kind=RMSNorm
)
_TIED = replace(_DECODER, ties=True)
_MASKED = _Place(
    "lm_head.decoder.weight",
    "roberta.embeddings.word_embeddings.weight",
    "lm_head.layer_norm",
    ties=True,
    bias="lm_head.bias",
)
_PLACES = {
    "bert": _Place(
        "cls.predictions.decoder.weight",
        "bert.embeddings.word_embeddings.weight",
        "cls.predictions.transform.LayerNorm",
        ties=True,
        bias="cls.predictions.bias",
    ),
    "gpt2": _Place("lm_head.weight", "transformer.wte.weight", "transformer.ln_f", ties=True),
    "gpt_neox": _Place(
        "embed_out.weight", "gpt_neox.embed_in.weight", "gpt_neox.final_layer_norm", ties=False
    ),
    "smollm3": _TIED,
    **dict.fromkeys(("gemma2", "gemma3_text"), replace(_TIED, lift=1.0)),
    **dict.fromkeys(("gpt_oss", "llama", "mistral", "mixtral", "olmo2"), _DECODER),
    **dict.fromkeys(("phi3", "qwen2", "qwen3"), _DECODER),
    **dict.fromkeys(("camembert", "roberta", "xlm-roberta"), _MASKED),
}


def read_unembedding(path: str) -> Unembedding:
    """Read the last map of a model file, its norm and the names of its words.

    Of decoders the rows ``lm_head.weight`` (``embed_out.weight``), where tied the embedding, behind
    the last norm; of BERT and RoBERTa with a head for masked words the embedding with the bias
    of the head behind its norm; of the package's own format ``unembedding`` and ``b_U``. Raises
    ``InvalidInput`` for others, and for models without such a head.
    """
    place = existing_path(path)
    tensors = open_tensors(place)
    if is_own(tensors):
        model = load(path)
        if model.unembedding is None:
            raise InvalidInput(f"{path}: a model with an unembedding needed, got one without.")
        names = model.vocabulary or [str(i) for i in range(model.unembedding.shape[1])]
        bias = None if model.b_U is None or not model.b_U.any() else model.b_U
        return Unembedding(model.unembedding.T, bias, None, list(names))
    folder: Path | Words = tensors.path.parent
    config = Config.beside(folder)
    if isinstance(tensors, GgufFile):
        config, folder = Config(str(place), tensors.settings), tensors.words()
    at = _PLACES.get(str(family_name(tensors, config)))
    if at is None:
        raise InvalidInput(
            f"{path}: a model_type whose last map is known ({', '.join(sorted(_PLACES))}) needed "
            f"in config.json, got {config.values.get('model_type')!r}; of another, pass its arrays "
            "to study.unembedding.words."
        )
    tied = config.values.get("tie_word_embeddings", at.ties) is True
    rows = _first(tensors, (at.rows, at.embedding) if tied else (at.rows,))
    stem = at.norm
    if f"{stem}.weight" not in tensors.shapes and f"{_bare(stem)}.weight" in tensors.shapes:
        stem = _bare(stem)
    weight = tensors.vector(f"{stem}.weight", rows.shape[1]) + at.lift
    norm: Norm = RMSNorm(weight)
    if at.kind is LayerNorm:
        norm = LayerNorm(weight, tensors.vector(f"{stem}.bias", rows.shape[1]))
    bias = None
    if at.bias is not None:
        own = at.rows.removesuffix("weight") + "bias"
        stored = own if own in tensors.shapes or not tied else at.bias
        bias = tensors.weight(stored, (len(rows),))
    return Unembedding(rows, bias, norm, _names(folder, len(rows), config.values))


def _bare(name: str) -> str:
    """A tensor's name in the file of a model that was saved without its head."""
    return name.partition(".")[2]


def _first(tensors: Tensors, names: Sequence[str]) -> Array:
    for name in names:
        for stored in (name, _bare(name)):
            if stored in tensors.shapes:
                return tensors.weight(stored, (None, None))
    raise InvalidInput(
        f"{tensors.path}: one of the tensors {', '.join(names)} needed, got "
        f"{named(tensors.shapes)}; the model has no map to words."
    )


def _names(folder: Any, count: int, config: dict[str, Any]) -> list[str]:
    known = read_words(folder, count, str(config.get("tokenizer_class") or "")).vocabulary or []
    return [*known, *(f"<{i}>" for i in range(len(known), count))]
