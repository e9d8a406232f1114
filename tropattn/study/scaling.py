"""How counts grow with the number of keys: exact counts, bound and sampler in one table.

Constructions that attain the sharp bounds (theory T6, T7, T15), Gaussian heads, where keys die and
counts fall short of them, and trained weights. Exponents are measured; where the counts are values
of a polynomial in N, that is decided exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

from tropattn.attention.heads.fixed import FixedLayer
from tropattn.errors import BudgetExceeded, InvalidInput
from tropattn.record import Record
from tropattn.regions import bounds
from tropattn.regions.count import count_regions, upper_bound
from tropattn.regions.result import RegionCount
from tropattn.regions.sampling.sampler import sample_regions
from tropattn.study.families import Case, Family, of_construction, of_source
from tropattn.study.fits import geometric_mean, polynomial, power_law, spread
from tropattn.study.inputs import Source
from tropattn.study.kept import kept, lasting
from tropattn.study.layer import Step, agree
from tropattn.study.layer_cells import in_query_space, independent_count
from tropattn.tropical.geometry.live_terms import live_terms
from tropattn.tropical.max_affine import with_terms
from tropattn.tropical.stage import stages_of

__all__ = [
    "FAMILIES",
    "Item",
    "ScalingSpec",
    "families_of",
    "geometric_means",
    "plan",
    "record_of",
    "rows",
    "run",
]

FAMILIES = ("strips", "gaussian", "digits", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSpec:
    """Settings of ``run``.

    Attributes
    ----------
    families : of ``"strips"``, ``"gaussian"``, ``"digits"`` (the digit transformer, whose layers
        have d heads) and ``"weights"`` (those of ``source``).
    keys, heads : the numbers N and H that are combined; heads None means all heads of the weights,
        and 1, 2, 3 elsewhere.
    dim : dimension d of the variable, 2 when None; for weights None is the whole space, and a
        smaller number a flat through the moving state.
    depth : layers L.
    central : all heads share a centre (T7) instead of being affine (T6).
    source : file and context of the weights.
    samples : draws of the sampler a row, 0 for none.
    seed, seeds : the first seed of random heads and flats, and how many seeds are tried.
    engine, max_cells, threads : as for ``count_regions``; a row beyond ``max_cells`` keeps its
        lower bound and joins no fit.
    job : a file that keeps every row that is counted, made where there is none, or None.
    """

    families: Sequence[str] = ("strips", "gaussian")
    keys: Sequence[int] = (2, 3, 4, 5)
    heads: Sequence[int] | None = None
    dim: int | None = None
    depth: int = 1
    central: bool = False
    source: Source | None = None
    samples: int = 20_000
    seed: int = 0
    seeds: int = 1
    engine: str = "auto"
    max_cells: int | None = None
    threads: int | None = None
    job: str | None = None

    def __post_init__(self) -> None:
        for name in ("keys", "heads"):
            values = getattr(self, name)
            if values is not None and (not values or min(values) < 1):
                raise InvalidInput(f"{name}: numbers >= 1 needed, got {list(values)}; e.g. 2,3,4.")
        least = 2 if self.central else 1
        if self.dim is not None and self.dim < least:
            raise InvalidInput(
                f"dim: at least {least} needed, got {self.dim}; central heads use one dimension "
                "for their centre."
            )
        for name in ("depth", "seeds"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name}: a number >= 1 needed, got {getattr(self, name)}.")
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown or not self.families:
            raise InvalidInput(
                f"family: one of {', '.join(FAMILIES)} needed, got {unknown or 'none'}; "
                "see tropattn scaling --help."
            )
        if ("weights" in self.families) != (self.source is not None):
            raise InvalidInput(
                f"source: a file with weights needed for the family weights, got "
                f"{'no file' if self.source is None else 'one for ' + ', '.join(self.families)}."
            )
        if self.central and self.source is not None:
            raise InvalidInput(
                "central: strips or gaussian heads needed, got weights; they have the centre that "
                "they have."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One row to come: a family and its numbers; ``weight`` is its share of the work, roughly."""

    family: Family
    n_heads: int
    n_keys: int
    seed: int
    weight: int

    @property
    def words(self) -> str:
        """For progress."""
        size = f"{self.family.words}: {self.n_heads} heads, {self.n_keys} keys"
        return f"{size}, seed {self.seed}" if self.family.random else size


def run(spec: ScalingSpec, step: Step = nullcontext) -> Record:
    """Count every combination of family, H, N and seed, and fit exponents of N.

    Returns
    -------
    Record
        Table ``rows``: family, heads, keys, depth, seed, live keys a head (one layer), and the
        counts ``exact``, ``bound`` (N keys a head in dimension d), ``bound_live`` (live keys at
        the effective rank) and ``sampled``. Table ``exponents``: a row for each family and H with
        the fitted exponents (``Fit``) of the exact counts, geometric means over the seeds, and of
        the bound, their ``Spread`` over the seeds, the ``Polynomial`` in N if the counts are one,
        and the exponent of the bound as N grows.

    Raises
    ------
    EngineError : two witnesses contradict each other.
    Interrupted : with ``.lower`` of the row under way.

    Notes
    -----
    Source: theory T6, T7, T14, T15; random heads are a function of the seed. Cost: one count and
    ``samples`` draws a row.

    >>> record = run(ScalingSpec(families=["strips"], keys=[2, 3, 4, 5], heads=[3], samples=0))
    >>> [row["exact"].value for row in record.tables["rows"]]
    [7, 19, 37, 61]
    >>> record.tables["exponents"][0]["polynomial"]
    Polynomial(degree=2, leading=Fraction(3, 1), spare=1)
    """
    families = families_of(spec)
    return record_of(spec, families, list(rows(spec, plan(spec, families), step)))


def families_of(spec: ScalingSpec) -> list[Family]:
    """The families of a spec, files read and contexts checked."""
    out = []
    for name in spec.families:
        if spec.source is not None and name == "weights":
            out.append(of_source(spec.source, spec.dim, spec.depth))
        else:
            dim = 2 if spec.dim is None else spec.dim
            out.append(of_construction(name, dim, spec.depth, spec.central))
    return out


def plan(spec: ScalingSpec, families: Sequence[Family]) -> list[Item]:
    """All rows to come, in order; raises ``InvalidInput`` for keys or heads that are not there."""
    items = []
    for family in families:
        for n_heads in _heads(spec, family):
            for n_keys in spec.keys:
                for name, asked, most in (
                    ("keys", n_keys, family.n_keys),
                    ("heads", n_heads, family.n_heads),
                ):
                    if most is not None and asked > most:
                        raise InvalidInput(
                            f"{name}: at most {most} needed for {family.words}, got {asked}; "
                            "there are no more."
                        )
                cells = bounds.layer([n_keys] * n_heads, family.dim, spec.central).value
                for seed in range(spec.seed, spec.seed + (spec.seeds if family.random else 1)):
                    items.append(Item(family, n_heads, n_keys, seed, cells**spec.depth))
    return items


def _heads(spec: ScalingSpec, family: Family) -> Sequence[int]:
    if family.name == "digits":
        return (family.dim,)
    if spec.heads is None:
        return (1, 2, 3) if family.n_heads is None else (family.n_heads,)
    return spec.heads


def rows(
    spec: ScalingSpec, items: Sequence[Item], step: Step = nullcontext
) -> Iterator[dict[str, Any]]:
    """Yield the row of each item as it is counted; as in ``run``."""
    names = [f"{number}: {item.words}" for number, item in enumerate(items)]
    with kept(spec.job, "scaling", _asked(spec), _given(spec, items), names) as row_of:
        for name, item in zip(names, items, strict=True):
            with step(item.words):
                yield row_of(name, partial(_row, spec, item))


def _asked(spec: ScalingSpec) -> dict[str, Any]:
    """The settings by which rows are asked for again."""
    if spec.job is None:
        return {}
    names = [entry.name for entry in fields(spec) if entry.name not in ("threads", "job")]
    asked = {name: getattr(spec, name) for name in names}
    return asked | {"source": None if spec.source is None else lasting(spec.source)}


def _given(spec: ScalingSpec, items: Sequence[Item]) -> Any:
    """The weights that rows depend on beside the settings."""
    if spec.job is None or spec.source is None:
        return None
    family = items[0].family
    case = family.case(family.n_heads or 1, family.n_keys or 1, spec.seed)
    return stages_of(case.target), case.domain


def _row(spec: ScalingSpec, item: Item) -> dict[str, Any]:
    case = item.family.case(item.n_heads, item.n_keys, item.seed)
    live, counts = _by_heads(spec, case) or _together(spec, case)
    if spec.samples:
        counts["sampled"] = sample_regions(
            case.target,
            spec.samples,
            seed=item.seed,
            domain=case.domain,
            distribution=case.draws(spec.samples),
            threads=spec.threads,
        )
    done = counts["exact"].kind == "exact"
    agree({name: count for name, count in counts.items() if done or name != "exact"})
    plain = counts["bound"]
    if case.heads is not None:
        terms = [head.n_terms for head in case.heads]
        plain = bounds.layer(terms, item.family.dim, spec.central)
        agree({"exact": counts["exact"], "bound": plain})
    return {
        "family": item.family.name,
        "heads": item.n_heads,
        "keys": item.n_keys,
        "depth": spec.depth,
        "seed": item.seed if item.family.random else None,
        "live": live,
        "exact": counts["exact"],
        "bound": plain,
        "bound_live": counts["bound"],
        "sampled": counts.get("sampled"),
    }


Found = tuple[list[int] | None, dict[str, RegionCount]]
"""Live keys a head (of one layer), and the counts ``exact`` and ``bound``."""


def _by_heads(spec: ScalingSpec, case: Case) -> Found | None:
    """A layer of a model on the whole space, head by head in query space, where that is allowed."""
    layer = case.target
    if spec.engine != "auto" or case.domain is not None or not isinstance(layer, FixedLayer):
        return None
    units = [in_query_space(head) for head in layer.heads]
    live = [len(live_terms(unit, threads=spec.threads).live) for unit in units]
    found = independent_count(layer, live, spec.threads)
    return None if found is None else (live, {"exact": found[0], "bound": found[1]})


def _together(spec: ScalingSpec, case: Case) -> Found:
    try:
        exact = count_regions(
            case.target,
            case.domain,
            engine=spec.engine,
            max_cells=spec.max_cells,
            threads=spec.threads,
        )
    except BudgetExceeded as stopped:
        where = "the whole space" if case.domain is None else case.domain.describe()
        exact = RegionCount(stopped.lower, "lower", "cells", where, "stopped")
    if case.heads is None:
        return None, {"exact": exact, "bound": upper_bound(case.target, case.domain)}
    live = [live_terms(head, case.domain, threads=spec.threads).live for head in case.heads]
    kept = [with_terms(head, terms) for head, terms in zip(case.heads, live, strict=True)]
    bound = upper_bound(kept, case.domain)
    return [len(terms) for terms in live], {"exact": exact, "bound": bound}


# ---- exponents --------------------------------------------------------------------------------


def record_of(
    spec: ScalingSpec, families: Sequence[Family], done: Sequence[dict[str, Any]]
) -> Record:
    """The record of rows that are counted, all of them or not."""
    settings = asdict(spec)
    del settings["seed"]
    if spec.job is None:
        del settings["job"]
    words = {family.name: family.words for family in families}
    settings |= {"words": words, "dim": families[0].dim, "variable": families[0].variable}
    exponents = []
    for family in families:
        for n_heads in dict.fromkeys(row["heads"] for row in done if row["family"] == family.name):
            chosen = [
                row
                for row in done
                if (row["family"], row["heads"]) == (family.name, n_heads)
                and row["exact"].kind == "exact"
            ]
            exponents.append(_exponents(spec, family, n_heads, chosen))
    tables = {"rows": list(done), "exponents": exponents}
    return Record("scaling", settings, {}, tables, spec.seed)


def geometric_means(chosen: Sequence[dict[str, Any]]) -> dict[int, float]:
    """Geometric means of the exact counts of some rows, by N."""
    by_keys: dict[int, list[int]] = {}
    for row in chosen:
        by_keys.setdefault(row["keys"], []).append(row["exact"].value)
    return {n: geometric_mean(values) for n, values in by_keys.items()}


def _exponents(
    spec: ScalingSpec, family: Family, n_heads: int, chosen: list[dict[str, Any]]
) -> dict[str, Any]:
    """One row of the table: geometric means over the seeds, then each seed for itself."""
    by_seed: dict[int | None, dict[int, int]] = {}
    for row in chosen:
        by_seed.setdefault(row["seed"], {})[row["keys"]] = row["exact"].value
    means = geometric_means(chosen)
    bound = {row["keys"]: row["bound"].value for row in chosen}
    alone = [power_law(list(line), list(line.values())) for line in by_seed.values()]
    slopes = [fit.exponent for fit in alone if fit is not None]
    line = next(iter(by_seed.values()), {}) if len(by_seed) == 1 else {}
    effective = family.dim - 1 if spec.central else family.dim
    return {
        "family": family.name,
        "heads": n_heads,
        "exact": power_law(list(means), list(means.values())),
        "spread": spread(slopes) if len(slopes) > 1 else None,
        "bound": power_law(list(bound), list(bound.values())),
        "polynomial": polynomial(list(line), list(line.values())),
        "theory": min(n_heads, effective) * spec.depth,
    }
