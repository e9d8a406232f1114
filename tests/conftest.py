"""Shared by all tests: reference units (lists of rationals) as polynomials."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tropattn import TropicalPolynomial
from tropattn.study import kernels

MANY = 1000


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """Before many tests each worker compiles its share of the kernels, if none is cached.

    Without this they would wait for one another's, since a kernel is compiled once.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is not None and len(session.items) > MANY:
        mine, workers = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        for work in [*kernels._works()][mine::workers]:
            work()


def to_polynomial(unit):
    """A reference unit (slopes, intercepts) as a polynomial; floats stay floats, else exact."""
    slopes, intercepts = unit
    numbers = [v for row in slopes for v in row] + list(intercepts)
    if any(isinstance(v, float) for v in numbers):
        return TropicalPolynomial(np.array(slopes, float), np.array(intercepts, float))
    rows = np.empty((len(slopes), len(slopes[0])), dtype=object)
    for i, row in enumerate(slopes):
        for k, v in enumerate(row):
            rows[i, k] = Fraction(v)
    right = np.empty(len(intercepts), dtype=object)
    right[:] = [Fraction(v) for v in intercepts]
    return TropicalPolynomial(rows, right)


@pytest.fixture(name="to_polynomial")
def _to_polynomial():
    return to_polynomial
