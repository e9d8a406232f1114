"""Facets that Qhull merged, cut anew: what is cut fits together, and what does not is repaired."""

from itertools import product

import numpy as np
import pytest

from tropattn.arrays import rational_matrix
from tropattn.polyhedra._qhull import proposed_hull
from tropattn.polyhedra.hull import cells as hull_cells
from tropattn.polyhedra.hull import proved as proved_hull
from tropattn.polyhedra.hull.proof import HullTask
from tropattn.tropical.geometry.diagram import head_diagram
from tropattn.tropical.polynomial import TropicalPolynomial


def tenths(d: int, side: int) -> TropicalPolynomial:
    """A grid whose cubes lie on spheres but for the last digits."""
    grid = np.array(list(product(range(side), repeat=d))) * 0.1 + 0.3
    return TropicalPolynomial(grid, -(grid**2).sum(axis=1))


def task_of(points: np.ndarray) -> HullTask:
    """The upper hull of some points."""
    return HullTask(
        points, np.zeros(points.shape), lambda js: rational_matrix(points[np.asarray(js)]), True
    )


def recut(points: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """What becomes of Qhull's upper facets, and their neighbours."""
    task, made = task_of(points), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proved_hull, "recut", lambda *given: made.append(hull_cells.recut(*given)))
        proved_hull._from_cells(task, np.arange(task.n), proposed_hull(task.near))
    return made[0]


@pytest.mark.parametrize(("d", "side"), [(2, 7), (3, 4), (4, 3), (5, 3)])
def test_grids_of_tenths_need_no_insertion(d, side, monkeypatch):
    f = tenths(d, side)
    found = head_diagram(f, facets=10**9)
    assert not found.found.inserted and found.found.rows.count
    monkeypatch.setattr(proved_hull, "recut", lambda *_: None)
    other = head_diagram(f, facets=10**9)
    # In the plane flips do.
    assert other.found.inserted == (d > 2)
    assert found.live.tolist() == other.live.tolist()
    assert found.walls.tolist() == other.walls.tolist()
    assert sorted(found.cells) == sorted(other.cells)
    assert found.n_cells > (side - 1) ** d


@pytest.mark.parametrize(("d", "side"), [(2, 6), (3, 4), (4, 3)])
@pytest.mark.parametrize("ulps", [0, 1])
def test_cells_fit_together(d, side, ulps):
    # Numbered at random, so that the order of the points, not of their places, settles ties.
    for seed in range(10):
        rng = np.random.Generator(np.random.Philox([79, seed]))
        grid = rng.permutation(np.array(list(product(range(side), repeat=d)), float))
        heights = -(grid**2).sum(axis=1) - 8.0
        toward = np.where(rng.random(len(grid)) < 0.5, -np.inf, heights)
        heights = np.nextafter(heights, toward) if ulps else heights
        facets, neighbours = recut(np.column_stack([grid, heights]))
        corners = grid[facets]
        volumes = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1]))
        factorial = np.prod(np.arange(1, d + 1))
        assert (volumes > 0.5).all() and round(volumes.sum() / factorial) == (side - 1) ** d
        # Each cube has 2 d faces, those on the border are cut into open ridges.
        for f, i in np.argwhere(neighbours < 0).tolist():
            ridge = np.delete(corners[f], i, axis=0)
            flat = (ridge == ridge[:1]).all(axis=0)
            assert np.isin(ridge[0, flat], [0, side - 1]).any()
        inner = np.argwhere(neighbours >= 0)
        assert len(inner)
        for f, i in inner.tolist():
            other = neighbours[f, i]
            assert other != f and f in neighbours[other]
            assert len(np.intersect1d(facets[f], facets[other])) == d


@pytest.mark.parametrize("name", ["_SLOTS", "_LARGEST"])
def test_large_cells_are_left_to_insertion(name, monkeypatch):
    f = tenths(3, 3)
    found = head_diagram(f)
    assert not found.found.inserted
    monkeypatch.setattr(hull_cells, name, 7)
    other = head_diagram(f)
    assert other.found.inserted and sorted(other.cells) == sorted(found.cells)


def test_what_is_cut_is_only_a_proposal(monkeypatch):
    f = tenths(3, 3)
    true = head_diagram(f)
    for wrong in ("a vertex", "a facet", "a neighbour"):

        def spoilt(*given, wrong=wrong):
            facets, neighbours = hull_cells.recut(*given)
            if wrong == "a vertex":
                facets[0] = np.sort((facets[0] + [0, 0, 0, 1]) % len(f.slopes))
            elif wrong == "a facet":
                facets, neighbours = facets[1:], np.maximum(neighbours[1:] - 1, -1)
            else:
                neighbours[0] = np.roll(neighbours[0], 1)
            return facets, neighbours

        monkeypatch.setattr(proved_hull, "recut", spoilt)
        found = head_diagram(f)
        assert found.found.inserted, wrong
        assert sorted(found.cells) == sorted(true.cells)
        assert found.walls.tolist() == true.walls.tolist()
