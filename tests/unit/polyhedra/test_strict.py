"""Strict systems: what comes back is checked against the definition, whatever doubles guessed."""

from __future__ import annotations

import random

import flint
import pytest

from tropattn.polyhedra import strict

NUMBERS = {
    "ties": lambda r: flint.fmpq(r.randint(-1, 1)),
    "fractions": lambda r: flint.fmpq(r.randint(-9, 9), r.randint(1, 7)),
    "doubles": lambda r: flint.fmpq(*r.gauss(0, 1).as_integer_ratio()),
    "beyond doubles": lambda r: flint.fmpq(r.randint(-9, 9) * 10 ** r.choice([0, 350]), 7),
    "a step apart": lambda r: flint.fmpq(r.randint(-1, 1)) + flint.fmpq(r.randint(-1, 1), 2**200),
}


def systems(kind):
    r = random.Random(kind)
    for _ in range(60):
        m, dim = r.randint(1, 9), r.randint(1, 4)
        rows = [[NUMBERS[kind](r) for _ in range(dim)] for _ in range(m)]
        if r.random() < 0.5:
            z = [NUMBERS[kind](r) for _ in range(dim)]
            rows = [row if dot(row, z) < 0 else [-v for v in row] for row in rows]
        yield rows


def dot(row, z):
    return sum((a * b for a, b in zip(row, z, strict=True)), flint.fmpq(0))


def is_proof(rows, verdict):
    """Gordan: a point that makes every row negative, or positive weights that cancel the rows."""
    if verdict:
        return all(dot(row, verdict.point) < 0 for row in rows)
    whole = strict.primitive_rows(flint.fmpq_mat(rows))
    sums = [
        sum(w * whole[i, k] for w, i in zip(verdict.weights, verdict.support, strict=True))
        for k in range(len(rows[0]))
    ]
    few = len(verdict.support) <= len(rows[0]) + 1
    return (
        few and all(w > 0 for w in verdict.weights) and sum(verdict.weights) == 1 and not any(sums)
    )


@pytest.mark.parametrize("kind", NUMBERS)
def test_every_verdict_proves_itself(kind):
    verdicts = [(rows, strict.strictly_negative(flint.fmpq_mat(rows))) for rows in systems(kind)]
    assert all(is_proof(rows, verdict) for rows, verdict in verdicts)
    assert {bool(verdict) for _, verdict in verdicts} == {True, False}


@pytest.mark.parametrize("guess", ["nothing", "one row again and again", "artificials"])
def test_a_bad_guess_changes_no_verdict(monkeypatch, guess):
    cases = [flint.fmpq_mat(rows) for rows in systems("fractions")]
    told = [bool(strict.strictly_negative(rows)) for rows in cases]
    guesses = {
        "nothing": lambda rows, basis, signs: basis,
        "one row again and again": lambda rows, basis, signs: [0] * len(basis),
        "artificials": lambda rows, basis, signs: [-1] * (len(basis) - 1) + [len(rows) - 1],
    }
    monkeypatch.setattr(strict, "_in_doubles", guesses[guess])
    assert [bool(strict.strictly_negative(rows)) for rows in cases] == told


def test_no_unknowns_and_no_rows():
    assert strict.strictly_negative(flint.fmpq_mat(2, 0, [])).support == (0,)
    assert strict.strictly_negative(flint.fmpq_mat(0, 2, [])).point == (0, 1)
