"""More heads than dimensions: growth in H and N, exactly, against the published order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from _common import Experiment

from tropattn.plotting.growth import Curve, curves
from tropattn.study.fits import polynomial
from tropattn.study.scaling import ScalingSpec, run


def counted(here: Experiment, case: dict[str, Any], seeds: int = 0) -> list[dict[str, Any]]:
    """Rows of the scaling study for one family; with seeds, of Gaussian heads."""
    keys, heads = (as_list(case[name]) for name in ("keys", "heads"))
    name = "gaussian" if seeds else "strips"
    with here.step(f"{name} {case}"):
        spec = ScalingSpec(
            families=(name,),
            keys=keys,
            heads=heads,
            dim=case["dim"],
            central=case["central"],
            samples=0,
            seeds=seeds or 1,
            engine="enumeration",
            threads=here.threads,
        )
        return list(run(spec).tables["rows"])


def as_list(value: int | list[int]) -> list[int]:
    """One number or several."""
    return value if isinstance(value, list) else [value]


def published(row: dict[str, Any], dim: int) -> int:
    """The published order of growth without its constant."""
    return (row["keys"] * row["heads"]) ** (dim // 2)


def name_of(case: dict[str, Any]) -> str:
    """A family in words."""
    centre = ", common centre" if case["central"] else ""
    fixed = f"H = {case['heads']}" if isinstance(case["keys"], list) else f"N = {case['keys']}"
    return f"d = {case['dim']}, {fixed}{centre}"


def ends(rows: list[dict[str, Any]], dim: int) -> list[float]:
    """Ratio of count and published order at the two ends."""
    return [round(row["exact"].value / published(row, dim), 2) for row in (rows[0], rows[-1])]


def tested(case: dict[str, Any], counts: list[int]) -> tuple[list[Any], bool]:
    """A line of the table of polynomials in H, and whether it is as expected."""
    heads, keys = case["heads"], case["keys"]
    law = polynomial(heads, counts)
    degree = case["dim"] - 1 if case["central"] else case["dim"]
    difference = (keys - 1) ** degree + (1 if case["central"] else 0)
    words = ["none"] * 3 if law is None else [law.degree, law.difference, law.spare]
    line = [name_of(case), f"{heads[0]}..{heads[-1]}", *words[:2], difference, words[2]]
    return line, law is not None and (law.degree, law.difference) == (degree, difference)


def panel(rows: list[dict[str, Any]], means: list[float], dim: int) -> list[Curve]:
    """One family against the number of heads."""
    heads = [row["heads"] for row in rows]
    order = [published(row, dim) for row in rows]
    return [
        Curve("sharp bound", heads, [row["bound"].value for row in rows], "bound"),
        Curve("strips, exact", heads, [row["exact"].value for row in rows]),
        Curve("Gaussian heads, mean", heads, means, ink=1),
        Curve(r"$(NH)^{\lfloor d/2\rfloor}$", heads, order, "claim", 2),
    ]


def in_heads(here: Experiment) -> list[list[dict[str, Any]]]:
    """Counts against H at fixed N: polynomials, and the ratio with the published order."""
    laws, ratios, table, failed, panels, everything = [], [], [], [], {}, []
    for case in here.spec["heads"]:
        rows, seeds = counted(here, case), here.spec["seeds"]
        average = counted(here, case, seeds)
        everything.append(rows)
        line, passed = tested(case, [row["exact"].value for row in rows])
        laws.append(line)
        failed += [] if passed else [name_of(case)]
        ratios.append(ends(rows, case["dim"]))
        means = [
            sum(row["exact"].value for row in average if row["heads"] == h) / seeds
            for h in case["heads"]
        ]
        for row, mean in zip(rows, means, strict=True):
            order = published(row, case["dim"])
            count = row["exact"].value
            table.append([name_of(case), row["heads"], count, mean, order, count / order])
        panels[name_of(case)] = panel(rows, means, case["dim"])
    here.table(
        "Polynomials in the number of heads",
        ["family", "H", "degree", "difference found", "expected", "points to spare"],
        laws,
    )
    here.table(
        "Cells against the number of heads",
        ["family", "H", "strips", "Gaussian mean", "(NH)^(d/2)", "strips / published"],
        table,
    )
    here.figure(curves(dict(list(panels.items())[:4]), "heads H", "routing cells"), "e02-heads")
    here.claim("tested", len(laws))
    here.claim("failed", failed)
    here.claim("ratios_heads", ratios)
    return everything


def in_keys(here: Experiment) -> list[list[dict[str, Any]]]:
    """Counts against N at fixed H > d: degrees, and the ratio with the published order."""
    degrees, ratios, table, everything = [], [], [], []
    for case in here.spec["keys"]:
        rows = counted(here, case)
        everything.append(rows)
        dim = case["dim"]
        law = polynomial(case["keys"], [row["exact"].value for row in rows])
        degrees.append([None if law is None else law.degree, dim // 2])
        ratios.append(ends(rows, dim))
        table += [
            [
                name_of(case),
                row["keys"],
                row["exact"].value,
                published(row, dim),
                row["exact"].value / published(row, dim),
            ]
            for row in rows
        ]
        if (dim, case["heads"], case["central"]) == (3, 4, True):
            here.claim("theory_value", next(r["exact"].value for r in rows if r["keys"] == 24))
    here.table(
        "Cells against the number of keys at fixed H > d",
        ["family", "N", "strips", "(NH)^(d/2)", "strips / published"],
        table,
    )
    here.claim("degree_in_keys", degrees)
    here.claim("ratios_keys", ratios)
    return everything


def main() -> None:
    """Count, test, print, draw."""
    here = Experiment(__file__, __doc__)
    rows = [row for part in (in_heads(here), in_keys(here)) for case in part for row in case]
    here.claim("below_bound", sum(row["exact"].value < row["bound"].value for row in rows))
    here.claim("largest", max(row["exact"].value for row in rows))
    here.finish()


if __name__ == "__main__":
    main()
