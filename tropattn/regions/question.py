"""What is asked, how engines answer, and which of them is heard.

An engine is a class in the file that holds its method, and a word in the table of
``regions/engines``. It says which questions are its own, refuses those whose hypotheses do not
hold, and counts the others. Nothing else knows of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tropattn.errors import Degenerate, InvalidInput
from tropattn.polyhedra.domain import Domain
from tropattn.regions import bounds
from tropattn.regions.bounds.networks import moving_bound
from tropattn.regions.budget import Budget
from tropattn.regions.certificates import CertificateFile
from tropattn.regions.complex import RegionComplex
from tropattn.regions.jobs.driver import Job, Search
from tropattn.regions.result import RegionCount, check_bound
from tropattn.threads import aside
from tropattn.tropical.bilinear import MovesTokens, TokenStack
from tropattn.tropical.refinement import Refinement
from tropattn.tropical.stage import RoutingStage, stages_of

__all__ = ["Engine", "Found", "Question", "able", "answer", "engine_names", "layer_bound", "listed"]


def layer_bound(refinement: Refinement) -> RegionCount:
    """The bound on the cells of one layer: T6 or T7 at its rank."""
    counts = np.diff(refinement.starts).tolist()
    central = refinement.central and not len(refinement.walls)
    return bounds.layer(counts, refinement.dim, central)


@dataclass(frozen=True, eq=False)
class Question:
    """A target, where and of what its cells are counted, and what that may take.

    Attributes
    ----------
    stages : those of a layer (one) or network; empty where tokens move.
    of : "cells" or "linear_regions"; engine : a name, or "auto" for any.
    stack : what moving tokens go through, None where keys are fixed.
    proof : the certificate that is to be written, or None.
    heads : the heads of the target that are asked for here, None for all.
    job : the job that keeps what is done, or None.
    """

    stages: tuple[RoutingStage, ...]
    domain: Domain | None = None
    of: str = "cells"
    engine: str = "auto"
    budget: Budget = field(default_factory=Budget)
    stack: TokenStack | None = None
    proof: CertificateFile | None = None
    heads: tuple[int, ...] | None = None
    job: Job | None = None

    def __post_init__(self) -> None:
        if self.of not in ("cells", "linear_regions"):
            raise InvalidInput(
                f"of: 'cells' or 'linear_regions' needed, got {self.of!r}; choose one."
            )

    @classmethod
    def about(cls, target: Any, domain: Domain | None, **asked: Any) -> Question:
        """The question of any target that ``count_regions`` takes."""
        if isinstance(target, MovesTokens):
            return cls((), domain, stack=target.live_stack(), **asked)
        return cls(tuple(stages_of(target)), domain, **asked)

    def part(self, heads: Sequence[int]) -> Question:
        """The same question of some heads of a layer alone, for any engine."""
        units = tuple(self.stages[0].units[h] for h in heads)
        return replace(self, stages=(RoutingStage(units),), engine="auto", heads=tuple(heads))

    def search(self, name: str, *given: Any) -> Search | None:
        """The search of that name in the job, if this is one; ``given`` is what builds it.

        The domain follows what is given.
        """
        return None if self.job is None else Search(self.job, name, (*given, self.domain))

    @property
    def numbers(self) -> tuple[Any, ...]:
        """All that the answer depends on."""
        return self.stages, self.domain, self.of, self.engine

    @property
    def kind(self) -> str:
        """Whose question it is: "tokens", "regions", "network" or "layer"."""
        if self.stack is not None:
            return "tokens"
        if self.of != "cells":
            return "regions"
        return "network" if len(self.stages) > 1 else "layer"

    @property
    def space(self) -> str:
        """The domain in words."""
        if self.domain is not None:
            return self.domain.describe()
        return f"R^{(self.stages[0] if self.stack is None else self.stack).dim}"

    @property
    def where(self) -> str:
        """The domain in words, as results name it."""
        return self.space if self.stack is None else f"{self.space}, keys live"

    @property
    def noun(self) -> str:
        """What is counted first: intervals may share a pattern, cells do not."""
        return "cells" if self.stack is None else "intervals"

    @cached_property
    def whole(self) -> Refinement:
        """The common refinement of a layer's heads, all of them; the domain has interior."""
        return Refinement.ready(self.stages[0].units, self.domain)

    @cached_property
    def refinement(self) -> Refinement:
        """The same cells, of the heads that differ; of all where a certificate shows them."""
        # One worker makes both: a hand-over takes as long as a small count.
        return self.whole if self.stepwise else aside(lambda: self.whole.without_twins())

    @property
    def stepwise(self) -> bool:
        """Whether all steps are shown, or kept to be shown."""
        return self.proof is not None or (self.job is not None and self.job.order.steps)

    @property
    def reduced(self) -> dict[str, Any]:
        """What the refinement says of the heads, for ``stats``."""
        return {"rank": self.refinement.dim, "central": self.refinement.central}

    @property
    def bound(self) -> RegionCount:
        """The closed-form bound on the cells: T6 or T7 of a layer, T14 across depth, T11."""
        if self.stack is not None:
            return moving_bound(self.stack)
        if self.kind == "layer":
            return layer_bound(self.refinement)
        return bounds.depth(self.stages, self.domain)


@dataclass(frozen=True, slots=True)
class Found:
    """An exact count, the work done, and the name of who did it.

    ``bound`` is what the value was checked against; an engine leaves it out, or gives one that
    follows from what it knows anyway.
    """

    value: int
    stats: dict[str, Any]
    engine: str
    bound: RegionCount | None = None


class Engine(ABC):
    """One way to count.

    ``name`` is the word by which it is asked for, ``label`` the one in results (the name where it
    is empty), ``kinds`` the questions that are its own; ``lists`` says whether it has the cells as
    well, ``ranges`` whether it searches in ranges, which a job can keep, ``files`` whether it can
    then write the cells of each to a file. The rest is its row in
    docs/engines.md: ``where`` it holds, its ``idea`` with the theorem, its ``cost``, and what
    happens ``otherwise``, where it cannot prove its case.
    """

    name: str
    label: str = ""
    kinds: tuple[str, ...] = ("layer",)
    lists: bool = False
    ranges: bool = False
    files: bool = False
    where: str
    idea: str
    cost: str
    otherwise: str

    def refuses(self, question: Question) -> str | None:
        """What the question lacks for this engine, in words; None if nothing."""
        return None

    @abstractmethod
    def count(self, question: Question) -> Found | None:
        """The count, or None where a hypothesis is not proved."""

    def cells(self, question: Question) -> RegionComplex:
        """All cells, each with its pattern and a witness, where the engine ``lists`` them."""
        raise NotImplementedError


def engine_names(engines: Sequence[Engine]) -> tuple[str, ...]:
    """The names by which engines are asked for."""
    return ("auto", *dict.fromkeys(engine.name for engine in engines))


def answer(question: Question, engines: Sequence[Engine]) -> Found:
    """The count of the first engine that does not refuse and proves its case, within the bound."""
    for engine in _willing(question, engines):
        found = engine.count(question)
        if found is not None:
            bound = question.bound if found.bound is None else found.bound
            # Linear regions are joined cells, so the bound is on these.
            cells = found.stats.get("cells", found.value)
            if question.job is None or question.job.surveys is None:
                check_bound(cells, bound.value, bound.engine, question.noun)
            return replace(found, bound=bound)
    raise Degenerate(
        f"engine: a case that {question.engine} can prove needed, got another; use engine='auto'."
    )


def listed(question: Question, engines: Sequence[Engine]) -> RegionComplex:
    """The cells, from the first engine that lists them and does not refuse, within the bound."""
    engine = next(_willing(question, [e for e in engines if e.lists]))
    found, bound = engine.cells(question), question.bound
    check_bound(len(found), bound.value, bound.engine, question.noun)
    return found


def able(question: Question, engines: Sequence[Engine]) -> list[Engine]:
    """The engines that such a question is for: by kind and by name, at least one."""
    found = [
        engine
        for engine in engines
        if question.kind in engine.kinds and question.engine in ("auto", engine.name)
    ]
    job = question.job
    kept = [engine for engine in found if engine.ranges or job is None]
    cells = None if job is None else job.order.cells
    if cells is not None:
        kept = [engine for engine in kept if engine.files]
        if not kept:
            raise InvalidInput(
                f"cells: cells of one layer by enumeration needed, got {question.kind} and engine "
                f"{question.engine!r}; leave the folder out."
            )
    if kept:
        return kept
    if found:
        raise InvalidInput(
            "job: cells counted by a search in ranges needed (enumeration, direct_sum, depth, "
            f"ReLU networks on a plane), got {question.kind} and engine {question.engine!r}; leave "
            "the job out."
        )
    if question.stack is not None:
        raise InvalidInput(
            "engine: 'auto' or 'line' needed where keys are live, got "
            f"{question.engine!r}; other engines take fixed keys."
        )
    names = engine_names(engines)
    if question.engine not in names:
        raise InvalidInput(
            f"engine: one of {', '.join(names)} needed, got {question.engine!r}; see "
            "docs/engines.md."
        )
    raise InvalidInput(
        f"engine: {question.engine} counts cells of one layer, got a count across depth or of "
        "regions; use engine='auto'."
    )


def _willing(question: Question, engines: Sequence[Engine]) -> Iterator[Engine]:
    """The engines that do not refuse the question; at least one."""
    refusal, willing = None, False
    for engine in able(question, engines):
        refusal = engine.refuses(question)
        if refusal is None:
            willing = True
            yield engine
    if not willing:
        raise InvalidInput(refusal)
