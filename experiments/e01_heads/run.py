"""Cells of one layer against the number of keys: worst case, exactly, and Gaussian average."""

from __future__ import annotations

import sys
from math import comb, factorial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from _common import Experiment

from tropattn.plotting.growth import grid, growth
from tropattn.regions import bounds
from tropattn.study.fits import power_law
from tropattn.study.scaling import ScalingSpec, geometric_means, run


def worst_case(here: Experiment, central: bool) -> dict[tuple[int, int], dict[str, Any]]:
    """Parabola strips for all (H, d): rows, and the test of their differences."""
    found = {}
    for dim in here.spec["dims"]:
        for heads in here.spec["heads"]:
            keys, testable = key_list(here, heads, dim, central)
            with here.step(f"strips, d = {dim}, H = {heads}{', central' if central else ''}"):
                record = run(
                    ScalingSpec(
                        families=("strips",),
                        keys=keys,
                        heads=(heads,),
                        dim=dim,
                        central=central,
                        samples=0,
                        engine="enumeration",
                        threads=here.threads,
                    )
                )
            rows, exponents = record.tables["rows"], record.tables["exponents"][0]
            law = exponents["polynomial"]
            degree = min(heads, dim - central)
            found[heads, dim] = {
                "rows": rows,
                "testable": testable,
                "passed": law is not None
                and law.degree == degree
                and law.difference == factorial(degree) * comb(heads, degree),
                "law": law,
                "fit": exponents["exact"],
            }
    return found


def key_list(here: Experiment, heads: int, dim: int, central: bool) -> tuple[list[int], bool]:
    """The k + 2 consecutive N that the test needs, if in reach, and larger ones."""
    first = 2 if central else 1

    def cells(n: int) -> int:
        return bounds.layer([n] * heads, dim, central).value

    last = first + min(heads, dim - central) + 1
    keys = [n for n in range(first, last + 1) if cells(n) <= here.spec["limit"]]
    more = [n for n in here.spec["more_keys"] if n > last and cells(n) <= here.spec["more_limit"]]
    return keys + more, keys[-1] == last


def gaussian(here: Experiment, central: bool) -> dict[tuple[int, int], dict[str, Any]]:
    """Gaussian heads for all (H, d): exponents of the geometric means and their spread."""
    found = {}
    for dim in here.spec["dims"]:
        for heads in here.spec["heads"]:
            keys = [
                n
                for n in here.spec["gaussian_keys"]
                if bounds.layer([n] * heads, dim, central).value <= here.spec["gaussian_limit"]
            ]
            with here.step(f"Gaussian, d = {dim}, H = {heads}{', central' if central else ''}"):
                record = run(
                    ScalingSpec(
                        families=("gaussian",),
                        keys=keys,
                        heads=(heads,),
                        dim=dim,
                        central=central,
                        samples=0,
                        seeds=here.spec["seeds"],
                        engine="enumeration",
                        threads=here.threads,
                    )
                )
            found[heads, dim] = record.tables["exponents"][0] | {"rows": record.tables["rows"]}
    return found


def main() -> None:
    """Count, test, print, draw."""
    here = Experiment(__file__, __doc__)
    heads, dims = here.spec["heads"], here.spec["dims"]
    counts: list[int] = []
    short = 0
    out_of_reach = []
    grids: dict[str, list[list[float | None]]] = {}
    for central, name in ((False, "affine"), (True, "central")):
        found = worst_case(here, central)
        tested = {pair: entry for pair, entry in found.items() if entry["testable"]}
        out_of_reach += [[*pair, central] for pair in found if pair not in tested]
        for entry in found.values():
            counts += [row["exact"].value for row in entry["rows"]]
            short += sum(row["exact"].value < row["bound"].value for row in entry["rows"])
        here.claim(f"{name}_tested", len(tested))
        here.claim(
            f"{name}_failed", [list(pair) for pair, entry in tested.items() if not entry["passed"]]
        )
        here.table(
            f"Parabola strips, {name}: degree in N and k-th difference, by H (rows) and d",
            ["H", *(f"d = {d}" for d in dims)],
            [[h, *(law_of(found[h, d]) for d in dims)] for h in heads],
        )
        here.table(
            f"The same, slope of log cells against log N, with its range of N, {name}",
            ["H", *(f"d = {d}" for d in dims)],
            [[h, *(slope_of(found[h, d]["fit"]) for d in dims)] for h in heads],
        )
        grids[f"degree, {name} strips"] = [
            [None if (law := found[h, d]["law"]) is None else law.degree for d in dims]
            for h in heads
        ]
        if not central:
            widest = [row for h in heads for row in found[h, dims[len(dims) // 2]]["rows"]]
    here.claim("out_of_reach", out_of_reach)
    here.claim("below_bound", short)
    here.claim("largest", max(counts))
    here.claim("cells", sum(counts))
    averages = {central: gaussian(here, central) for central in (False, True)}
    for central, name in ((False, "affine"), (True, "central")):
        here.table(
            f"Gaussian heads, {name}: slope of the geometric mean, range over seeds, range of N",
            ["H", *(f"d = {d}" for d in dims)],
            [[h, *(spread_of(averages[central][h, d]) for d in dims)] for h in heads],
        )
    grids["slope, affine Gaussian heads"] = [
        [exponent(averages[False][h, d]) for d in dims] for h in heads
    ]
    here.claim("gaussian", [exponent(averages[False][h, dims[0]]) for h in heads])
    pairs = [(h, d) for h in heads for d in dims if h >= d]
    above = sum(exponent(averages[False][p]) > exponent(averages[True][p]) for p in pairs)
    here.claim("gaussian_affine_above_central", [above, len(pairs)])
    bend(here, averages[False])
    here.figure(grid(grids, heads, dims, "heads H", "dimension d"), "e01-exponents")
    middle = dims[len(dims) // 2]
    rows = widest + [row for h in heads for row in averages[False][h, middle]["rows"]]
    here.figure(growth(rows, middle), "e01-growth")
    here.finish()


def bend(here: Experiment, found: dict[tuple[int, int], dict[str, Any]]) -> None:
    """Exponents of Gaussian heads below and above a number of keys: they fall as N grows."""
    at = here.spec["split"]
    table, falls = [], 0
    for (heads, dim), entry in found.items():
        means = geometric_means(entry["rows"])
        few, many = [n for n in means if n <= at], [n for n in means if n >= at]
        if len(few) < 3 or len(many) < 3:
            continue
        low, high = (power_law(part, [means[n] for n in part]) for part in (few, many))
        table.append([heads, dim, slope_of(low), slope_of(high)])
        falls += high.exponent < low.exponent
    here.table(
        "Gaussian heads, affine: exponents fall as N grows",
        ["H", "d", "exponent, few keys", "exponent, many keys"],
        table,
    )
    here.claim("gaussian_bends", [falls, len(table)])


def law_of(entry: dict[str, Any]) -> str:
    """Degree and difference, in brackets where no point was left to check them."""
    law = entry["law"]
    return "out of reach" if law is None else f"{law.degree}: {law.difference:,}"


def slope_of(fit: Any) -> str:
    """A slope with its standard error and range."""
    return f"{fit.exponent:.2f}+-{fit.error:.2f} ({fit.low}..{fit.high})"


def spread_of(row: dict[str, Any]) -> str:
    """The slope of the means, and the slopes of single seeds."""
    fit, over = row["exact"], row["spread"]
    return f"{fit.exponent:.2f} ({over.low:.2f}..{over.high:.2f}; N {fit.low}..{fit.high})"


def exponent(row: dict[str, Any]) -> float:
    """The slope of the geometric means, to two places."""
    return round(row["exact"].exponent, 2)


if __name__ == "__main__":
    main()
