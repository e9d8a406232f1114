"""Reading a run: clusters, metastable windows, and how far each approximation reaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from tropattn._types import Array
from tropattn.arrays import as_array, is_real, to_float
from tropattn.dynamics.flow import Head, score_polynomial
from tropattn.errors import InvalidInput
from tropattn.tropical import temperature

__all__ = ["Window", "cluster_labels", "metastable_windows", "soft_hard_error", "soft_hard_horizon"]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time with one number of clusters."""

    clusters: int
    start: float
    stop: float


def cluster_labels(squared_distances: Array, radius: float) -> NDArray[np.int64]:
    """Single-linkage clusters: tokens joined by chains of gaps of length <= radius; (n,) labels.

    >>> x = np.array([0.0, 1.0, 2.0, 5.0])
    >>> cluster_labels((x[:, None] - x) ** 2, 1.0).tolist()
    [0, 0, 0, 1]
    """
    squared_distances = to_float(
        as_array("squared_distances", squared_distances, 2, shape="(n, n)")
    )[0]
    if squared_distances.shape[0] != squared_distances.shape[1]:
        raise InvalidInput(
            f"squared_distances: shape (n, n) needed, got {squared_distances.shape}; one row a "
            "token."
        )
    if not is_real(radius) or not radius > 0:
        raise InvalidInput(f"radius: a number > 0 needed, got {radius}; state it with every count.")
    _, labels = connected_components(
        csr_matrix(squared_distances <= radius * radius), directed=False
    )
    return labels.astype(np.int64)


def metastable_windows(time: Array, clusters: Array, *, ratio: float = 2.0) -> list[Window]:
    """Maximal windows with a constant number of clusters whose end is ``ratio`` times their start.

    Long on a logarithmic scale, as the lifetimes ``log T ~ beta`` of arXiv 2410.06833 ask for.
    Windows that start at the first time are measured from the second.

    >>> metastable_windows(np.array([0., 1, 2, 3, 4, 9]), np.array([5, 3, 3, 3, 2, 2]))
    [Window(clusters=3, start=1.0, stop=3.0), Window(clusters=2, start=4.0, stop=9.0)]
    """
    if not ratio > 1 or len(time) != len(clusters):
        raise InvalidInput(
            f"ratio, time, clusters: ratio > 1 and one count a time needed, got {ratio}, "
            f"{len(time)} times and {len(clusters)} counts."
        )
    changes = np.flatnonzero(np.diff(clusters)) + 1
    starts, stops = np.r_[0, changes], np.r_[changes, len(clusters)] - 1
    found = []
    for first, last in zip(starts.tolist(), stops.tolist(), strict=True):
        begin = time[first] if time[first] > 0 else time[min(first + 1, last)]
        if last > first and time[last] >= ratio * begin:
            found.append(Window(int(clusters[first]), float(time[first]), float(time[last])))
    return found


def soft_hard_error(head: Head, tokens: Array) -> NDArray[np.float64]:
    """Bound on ``1 - p`` of each token's strongest partner, (n,): ``(N-1)e / (1 + (N-1)e)``.

    With ``e = exp(-gap)`` of the head's own scores (theory T16, at tau = 1). Small where softmax
    attention may be read as hardmax.

    >>> bool(soft_hard_error(Head(beta=50.0), np.array([[1.0, 0.0], [0.0, 1.0]])).max() < 1e-20)
    True
    """
    f = score_polynomial(head, tokens)
    others = len(tokens) - 1
    e = others * np.exp(-temperature.gap(f, tokens))
    return e / (1.0 + e)


def soft_hard_horizon(
    head: Head, time: Array, states: Array, *, level: float = 0.01
) -> float | None:
    """First time at which some token's softmax is more than ``level`` away from hardmax.

    None if that never happens; the first time itself if hardmax never described the run. Tokens
    that meet share their weight, so the horizon is at the latest where clusters form.
    """
    if not 0 < level < 1:
        raise InvalidInput(f"level: a number between 0 and 1 needed, got {level}; e.g. 0.01.")
    for t, tokens in zip(time, states, strict=True):
        if soft_hard_error(head, np.asarray(tokens, dtype=np.float64)).max() > level:
            return float(t)
    return None
