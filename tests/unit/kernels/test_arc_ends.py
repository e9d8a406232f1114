"""Points where an edge or a border crosses a wall, joined to arcs: against a dictionary."""

from collections import defaultdict

import numpy as np

from tropattn._kernels import strata

ROWS = 6
"""Of each of two heads, all pairs of which share a wall here."""


def scene(seed):
    """Edges and borders of a head of rows 0 to 5, and points where these cross walls of 6 to 11."""
    rng = np.random.default_rng(seed)
    number = np.zeros((2 * ROWS, ROWS), np.int32)
    first = np.repeat([0, ROWS], ROWS)
    walls = [(i, j) for i in range(2 * ROWS) for j in range(i + 1, first[i] + ROWS)]
    for w, (i, j) in enumerate(walls):
        number[i, j - first[i]] = w
    arcs, points = np.zeros((0, strata.ARC)), []
    # Around each edge of rows i, j, k its three walls cross one other wall, and end at a border.
    for _ in range(4):
        i, j, k = sorted(rng.choice(ROWS, 3, replace=False).tolist())
        other = sorted((ROWS + rng.choice(ROWS, 2, replace=False)).tolist())
        for one, two, three in ((i, j, k), (i, j, -1), (j, k, -1), (i, k, -1)):
            arcs = np.vstack([arcs, np.zeros(strata.ARC)])
            arcs[-1, 10:13] = one, two, three
            met = other if rng.random() < 0.5 else other[::-1]
            points.append([*rng.normal(size=4), rng.random(), len(arcs) - 1, *met])
    return np.array(points), arcs, number, first, len(walls)


def expected(points, arcs, number, first):
    """For each pair of walls the points that bear its name."""
    ends = defaultdict(list)
    for x, point in enumerate(points):
        i, j, k = arcs[int(point[5]), 10:13].astype(int).tolist()
        a, b = sorted(point[6:8].astype(int).tolist())
        other = int(number[a, b - first[a]])
        for one, two in [(i, j)] + [(j, k), (i, k)] * (k >= 0):
            ends[tuple(sorted((int(number[one, two - first[one]]), other)))].append(x)
    return ends


def test_each_pair_of_walls_joins_its_two_points():
    joined = refused = 0
    for seed in range(60):
        points, arcs, number, first, walls = scene(seed)
        points = points[np.random.default_rng(seed).permutation(len(points))]
        if seed % 3 == 0:
            points = points[:-1]
        ends = expected(points, arcs, number, first)
        out = np.zeros((3 * len(points) // 2, strata.ARC))
        made = strata.paired(points, arcs, number, first, walls, out)
        if any(len(some) != 2 for some in ends.values()):
            refused += 1
            assert made == -1
            continue
        joined += 1
        assert made == len(ends)
        for arc in out[:made]:
            one, two = (points[x] for x in ends.pop((int(arc[10]), int(arc[11]))))
            turned = [*two[:4], *one[:4], two[4], one[4]]
            assert arc[:10].tolist() in ([*one[:4], *two[:4], one[4], two[4]], turned)
        assert not ends
    assert joined > 5 and refused > 19
