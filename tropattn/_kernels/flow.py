"""Residual layers of self-attention on Gram matrices, many runs at once."""

from __future__ import annotations

import numpy as np

from tropattn._kernels.compiling import fragment, njit

_MERGED = 1e-12


@fragment()
def _weigh(gram, beta, weights):
    """Write ``exp(beta (G - 1))``; return the smallest entry of G, 1 at most."""
    lowest = 1.0
    for i in range(len(gram)):
        weights[i, i] = 1.0
        for j in range(i):
            value = gram[i, j]
            lowest = min(lowest, value)
            value = np.exp(beta * (value - 1.0))
            weights[i, j] = value
            weights[j, i] = value
    return lowest


@fragment()
def _step_gram(gram, weights, inverse, product, moved):
    """Move a Gram matrix by one layer, whose step over row sums is ``inverse`` (n,)."""
    n = len(gram)
    for i in range(n):
        for j in range(n):
            product[i, j] = 0.0
        for k in range(n):
            value = weights[i, k] * inverse[i]
            for j in range(n):
                product[i, j] += value * gram[k, j]
    for i in range(n):
        for j in range(i, n):
            moved[i, j] = 0.0
        for k in range(n):
            value = product[i, k]
            for j in range(i, n):
                moved[i, j] += value * weights[k, j]
    for i in range(n):
        for j in range(i, n):
            gram[i, j] += product[i, j] + product[j, i] + moved[i, j] * inverse[j]
    for i in range(n):
        inverse[i] = 1.0 / np.sqrt(gram[i, i])
    for i in range(n):
        gram[i, i] = 1.0
        for j in range(i + 1, n):
            value = gram[i, j] * inverse[i] * inverse[j]
            gram[i, j] = value
            gram[j, i] = value


@njit(nogil=True, cache=True)
def watch_pair(grams, beta, step, normalised, start, stop, out, flag):
    """Run layers on Gram matrices [start, stop) and record entry (0, 1) after each.

    One layer is x + step * attention(x), divided by its length: with W = exp(beta (G - 1)), row
    sums Z and B = W G / Z the new Gram matrix is G + step (B + B^T) + step^2 B (W / Z)^T, scaled to
    a unit diagonal. Without ``normalised`` the weights are exp(beta G) / n. ``out`` is
    (runs, layers + 1); the Gram matrices are overwritten. ``flag[0]`` is polled.
    """
    n = grams.shape[1]
    layers = out.shape[1] - 1
    weights = np.empty((n, n))
    product = np.empty((n, n))
    moved = np.empty((n, n))
    inverse = np.empty(n)
    for run in range(start, stop):
        gram = grams[run]
        out[run, 0] = gram[0, 1] if n > 1 else 1.0
        for layer in range(layers):
            if flag[0] != 0:
                return
            if _weigh(gram, beta, weights) > 1.0 - _MERGED:
                # All tokens stand within rounding of one another; nothing moves any more.
                for rest in range(layer, layers):
                    out[run, rest + 1] = gram[0, 1] if n > 1 else 1.0
                break
            for i in range(n):
                if normalised:
                    total = 0.0
                    for j in range(n):
                        total += weights[i, j]
                    inverse[i] = step / total
                else:
                    inverse[i] = step * np.exp(beta) / n
            _step_gram(gram, weights, inverse, product, moved)
            out[run, layer + 1] = gram[0, 1]
