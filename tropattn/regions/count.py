"""``count_regions``, ``enumerate_regions``, ``upper_bound``: a question, an engine, a label."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tropattn.errors import InvalidInput
from tropattn.outputs import output_path
from tropattn.polyhedra.domain import Domain, as_domain
from tropattn.progress import LEFT_OVER, Listening, counting
from tropattn.regions.budget import Budget, out_of_memory
from tropattn.regions.certificates import CertificateFile
from tropattn.regions.complex import RegionComplex
from tropattn.regions.engines import ENGINES
from tropattn.regions.jobs.driver import Job, Order, PartDone
from tropattn.regions.jobs.survey import Survey
from tropattn.regions.question import Found, Question, able, answer, layer_bound, listed
from tropattn.regions.result import RegionCount, decimal, one_cell
from tropattn.threads import aside, stoppable
from tropattn.tropical.max_affine import on_parameters
from tropattn.tropical.refinement import Refinement, domain_walls

__all__ = [
    "count_regions",
    "count_with_bound",
    "enumerate_regions",
    "survey_job",
    "upper_bound",
]


@stoppable(one_cell)
def count_regions(
    target: Any,
    domain: Domain | None = None,
    *,
    of: str = "cells",
    engine: str = "auto",
    certify: bool = False,
    certificate: str | Path | None = None,
    job: str | Path | None = None,
    max_cells: int | None = None,
    threads: int | None = None,
    progress: Listening = False,
    stop: threading.Event | None = None,
    time_limit: float | None = None,
) -> RegionCount:
    """Count the routing cells of a layer or network exactly (theory T5, T8, T12, T13).

    Parameters
    ----------
    target : a ``TropicalPolynomial``, a sequence of them (one per head), a ``FixedLayer``, a
        ``Network``, or a ``LiveNetwork``, whose domain is a ``Line`` (T11).
    domain : an open convex ``Box``, ``Polytope``, ``Line`` or ``Slice``; None is the whole space.
    of : ``"cells"``, or ``"linear_regions"`` of a ``FixedLayer`` or ``Network``: cells joined where
        their maps are equal and their closures meet in dimension d - 1 (T13).
    engine : ``"line"`` (one parameter), ``"plane"`` (heads in a plane, or central in R^3; networks
        of ReLU and affine layers on a bounded window), ``"subsets"`` (one dimension more),
        ``"enumeration"`` (any domain), ``"direct_sum"`` (whole space, heads with independent
        spans), or ``"auto"``: the first that applies and proves its hypotheses, with direct_sum
        before the others (docs/engines.md).
    certify : insist on engines that prove every decision, by forward error bounds in doubles or in
        rationals; all present ones do, and the result says so in ``certified`` either way.
    certificate : write a file that ``tropattn verify`` can check (and certify).
    job : a file that keeps what is done, made where there is none. The same call with the same file
        goes on where the last one ended, however it ended. Only engines that search in ranges are
        asked: enumeration, depth, ReLU networks on a plane, direct sums of these, and linear
        regions.
    max_cells : stop with ``BudgetExceeded`` beyond this many enumerated cells.
    threads : worker threads, default all; the result does not depend on it.
    progress : True shows on stderr what is done and how far it is, once that takes a second; a
        function is called with it a few times a second (``progress=print`` is one): the words as a
        string, ``what``, ``done``, ``left``, ``seconds`` and ``seconds_left`` as numbers.
    stop : an event that ends the count from another thread, as Ctrl-C does from the main one:
        within half a second ``Interrupted`` is raised, with the lower bound so far.
    time_limit : seconds after which the count ends in the same way, with ``BudgetExceeded``.

    Raises
    ------
    InvalidInput : bad target, domain, engine or an empty domain.
    BudgetExceeded, Interrupted : with ``.lower``, a valid lower bound.

    Notes
    -----
    Lines cost O(N log N) per head, planes the crossings of walls, enumeration a few small linear
    programs per cell; its memory does not grow with the cells. The line engine keeps what it
    counts, about 200 bytes per cell; it and the others without cells (plane, subsets) compare
    ``max_cells`` with their result.

    Examples
    --------
    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> plane = TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    >>> int(count_regions(plane)), int(count_regions([plane, plane.pullback([[-1, 0], [0, -1]])]))
    (3, 6)
    """
    budget = Budget.checked(max_cells, threads)
    asked = {"of": of, "engine": engine, "budget": budget}
    order = None if job is None else Order(job)
    return _counted(target, domain, certificate, progress, asked, order)[0]


@stoppable(one_cell)
def count_with_bound(
    target: Any,
    domain: Domain | None,
    *,
    of: str,
    engine: str,
    certificate: str | Path | None,
    job: Order | None,
    max_cells: int | None,
    threads: int | None,
    progress: Listening,
) -> tuple[RegionCount, RegionCount]:
    """The answers of ``count_regions`` and ``upper_bound`` from one refinement of the heads."""
    budget = Budget.checked(max_cells, threads)
    asked = {"of": of, "engine": engine, "budget": budget}
    found, question = _counted(target, domain, certificate, progress, asked, job)
    if question.stack is not None or len(question.stages) > 1:
        return found, question.bound
    # That of every head: the engine's own may leave out heads with equal cells.
    return found, layer_bound(question.whole)


def _counted(
    target: Any,
    domain: Domain | None,
    certificate: str | Path | None,
    progress: Listening,
    asked: dict[str, Any],
    order: Order | None = None,
) -> tuple[RegionCount, Question]:
    """The count, and the question that was put to the engines."""
    started = time.perf_counter()
    domain = as_domain(domain)
    if certificate is not None:
        output_path(certificate, "certificate")
    question = Question.about(target, domain, **asked)
    left = "cells to be joined" if question.kind == "regions" else LEFT_OVER
    with counting(question.noun, progress, left) as question.budget.report:
        try:
            if order is None:
                found, question = _answered(question, certificate)
            else:
                found = _kept(question, certificate, order)
        except MemoryError as error:
            raise out_of_memory(error) from None
    stats = {**found.stats, "seconds": time.perf_counter() - started}
    where = question.where
    count = RegionCount(found.value, "exact", question.of, where, found.engine, True, 0, stats)
    return count, question


def _answered(question: Question, certificate: str | Path | None) -> tuple[Found, Question]:
    """The answer, and its certificate where one is asked for; with the question as it was put."""
    if certificate is None:
        return answer(question, ENGINES), question
    able(question, ENGINES)
    if question.kind != "layer":
        got = "a count across depth or of regions"
        if question.stack is not None:
            got = "a line with live keys"
        raise InvalidInput(f"certificate: cells of one layer needed, got {got}; leave it out.")
    units = on_parameters(question.stages[0].units, question.domain)
    walls = domain_walls(question.domain, units[0].dim + 1)
    with CertificateFile(certificate, units, walls) as proof:
        question = replace(question, proof=proof)
        found = answer(question, ENGINES)
        proof.close(found.value)
        return found, question


def _kept(question: Question, certificate: str | Path | None, order: Order) -> Found:
    """The answer of a job, which notes it; a part of one has no certificate."""
    order = replace(order, steps=certificate is not None)
    with order.begun(question.numbers) as job:
        part = not job.whole
        if part and not job.ledger.states():
            raise InvalidInput(
                f"job: a part with ranges needed, got {order.path} that has none; nothing is to be "
                "done with it."
            )
        found, _ = _answered(replace(question, job=job), None if part else certificate)
        if part:
            raise _partial(found.value, order)
        job.ledger.note("count", decimal(found.value))
        return found


def _partial(cells: int, order: Order) -> PartDone:
    """What a part of a job raises when it is done."""
    return PartDone(
        f"job: a whole job needed for a count, got {order.path}, a part of one, which is done; "
        "unite it with the others by tropattn jobs --merge.",
        cells,
    )


@stoppable(one_cell)
def survey_job(
    target: Any, domain: Domain | None, *, of: str, engine: str, job: Order
) -> list[Survey]:
    """How far each search of a job is that ``count_regions`` was asked, and what is left of it."""
    question = Question.about(target, as_domain(domain), of=of, engine=engine)
    with Job.looked_at(job, question.numbers) as looked:
        answer(replace(question, job=looked), ENGINES)
        return looked.surveys or []


@stoppable(one_cell)
def enumerate_regions(
    target: Any,
    domain: Domain | None = None,
    *,
    max_cells: int = 1_000_000,
    threads: int | None = None,
    progress: Listening = False,
    stop: threading.Event | None = None,
    time_limit: float | None = None,
) -> RegionComplex:
    """List the routing cells of a layer or network: pattern and witness of each (theory T5, T12).

    Parameters as in ``count_regions``. Memory O(cells * (H + d)).

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> enumerate_regions([TropicalPolynomial([[0], [1]]),
    ...                    TropicalPolynomial([[0], [1]], [0, -1])]).patterns.tolist()
    [[0, 0], [1, 0], [1, 1]]
    """
    domain, budget = as_domain(domain), Budget.checked(max_cells, threads)
    question = Question.about(target, domain, budget=budget)
    with counting(question.noun, progress) as budget.report:
        return listed(question, ENGINES)


@stoppable(one_cell)
def upper_bound(
    target: Any, domain: Domain | None = None, *, stop: threading.Event | None = None
) -> RegionCount:
    """The closed-form bound that applies to a target: T6 or T7 at its rank, T14 across depth.

    >>> from tropattn.tropical.polynomial import TropicalPolynomial
    >>> int(upper_bound([TropicalPolynomial([[0], [1], [2]])] * 2))
    2
    """
    question = Question.about(target, as_domain(domain))
    if question.kind == "layer":
        # With every head, and without asking for an interior.
        return layer_bound(aside(Refinement.of, question.stages[0].units, question.domain))
    return question.bound
