"""One potential at every temperature: ``tau log sum_j exp(s_j(x) / tau)`` and its limit.

At ``tau = 0`` it is the tropical polynomial itself, its gradient the winning slope; at ``tau > 0``
the gradient is the softmax average of the slopes. Scores are the scaled logits, ``tau = 1`` is the
model as trained; equal terms count with their multiplicity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tropattn.errors import InvalidInput
from tropattn.tropical.polynomial import TropicalPolynomial

__all__ = ["gap", "gradient", "value", "weights", "winners"]

Array = NDArray[Any]


def weights(f: TropicalPolynomial, x: Any, temperature: float = 1.0) -> Array:
    """Softmax weights ``exp(s_j / tau) / Z``, (N,) or (m, N); at 0 equal shares of exact winners.

    >>> weights(TropicalPolynomial([[0], [1], [1]]), [2.0], 0).tolist()
    [0.0, 0.5, 0.5]
    """
    scores = f.scores(x)
    if _checked(temperature) == 0:
        single = scores.ndim == 1
        out = np.zeros((1, len(scores)) if single else scores.shape)
        for i, best in enumerate(f.winners(np.asarray(x)[None, :] if single else x)):
            out[i, best] = 1.0 / len(best)
        return out[0] if single else out
    shifted = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    return shifted / shifted.sum(axis=-1, keepdims=True)


def value(f: TropicalPolynomial, x: Any, temperature: float = 1.0) -> Any:
    """``tau log sum_j exp(s_j(x) / tau)``, computed stably; ``f(x)`` at temperature 0.

    Exceeds ``f(x)`` by at most ``tau log(N)`` (theory T16).

    >>> round(value(TropicalPolynomial([[0], [0]]), [5.0], 1.0), 6)      # log 2
    0.693147
    """
    if _checked(temperature) == 0:
        return f(x)
    scores = f.scores(x)
    top = scores.max(axis=-1, keepdims=True)
    total = np.exp((scores - top) / temperature).sum(axis=-1)
    result = top[..., 0] + temperature * np.log(total)
    return float(result) if np.ndim(result) == 0 else result


def gradient(f: TropicalPolynomial, x: Any, temperature: float = 1.0) -> Array:
    """``sum_j p_j a_j``, the attention read-out with values ``a_j``; (d,) or (m, d).

    At temperature 0 exact ties are averaged (a subgradient).

    >>> gradient(TropicalPolynomial([[0], [1]]), [0.0], 1.0).tolist()
    [0.5]
    """
    return weights(f, x, temperature) @ f.slopes.astype(np.float64)


def winners(f: TropicalPolynomial, x: Any) -> list[NDArray[np.int64]]:
    """All exact winners of each row of ``x``; see ``TropicalPolynomial.winners``."""
    return f.winners(x)


def gap(f: TropicalPolynomial, x: Any) -> Any:
    """Score distance from the winner to the next different term; ``TropicalPolynomial.gap``."""
    return f.gap(x)


def _checked(temperature: float) -> float:
    if not temperature >= 0 or not np.isfinite(temperature):
        raise InvalidInput(
            f"temperature: a finite number >= 0 needed, got {temperature}; "
            "1 is the model as trained, 0 the hard limit."
        )
    return temperature
