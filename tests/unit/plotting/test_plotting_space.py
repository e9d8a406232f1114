"""Cells in space: who stands in front, which faces are seen, what the sphere is cut into."""

import numpy as np
import pytest
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

import tropattn as ta
from tropattn import plotting
from tropattn.errors import InvalidInput
from tropattn.plotting.space import _AZIMUTH, _on_sphere, _towards, space

TETRA = ta.TropicalPolynomial([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], [0, 1, 1, 1])
CUBE = ta.Box([-2] * 3, [2] * 3)


def solids(axes):
    return [c for c in axes.collections if isinstance(c, Poly3DCollection)]


def test_every_cell_of_a_box_is_drawn_in_its_key_s_colour():
    figure = space(TETRA, CUBE, labels=["a", "b", "c", "d"])
    (axes,) = figure.axes
    assert axes.get_title() == "4 cells (4 keys)"
    assert len(solids(axes)) == 4
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c", "d"]


def test_of_two_cells_the_one_on_the_viewer_s_side_is_drawn_last():
    rng = np.random.default_rng(1)
    head = ta.TropicalPolynomial(rng.integers(-4, 5, (7, 3)), rng.integers(-4, 5, 7))
    found = ta.enumerate_regions(head, CUBE)
    (axes,) = space(head, CUBE).axes
    order = [c.get_zorder() for c in solids(axes)]
    view = _towards(_AZIMUTH)
    cells = [found.cell(i) for i in range(len(found))]
    for i, one in enumerate(cells):
        for facet in one.facets:
            if one.behind[facet] is None:
                continue
            (j,) = np.flatnonzero(found.patterns[:, 0] == one.behind[facet][1])
            outward = np.array([float(v) for v in one.rows[facet][:3]]) @ view
            assert (order[j] > order[i]) == (outward > 0)


def test_central_heads_cut_the_sphere():
    rng = np.random.default_rng(2)
    heads = [ta.TropicalPolynomial(rng.integers(-3, 4, (4, 3))) for _ in range(2)]
    figure = space(heads)
    exact = ta.count_regions(heads).value
    assert f"{exact} cones (2 heads)" in figure.get_suptitle()
    found = ta.enumerate_regions(heads, CUBE)
    area, winners = 0.0, []
    for i in range(len(found)):
        triangles, walls = _on_sphere(found.cell(i), np.zeros(3))
        assert np.linalg.norm(triangles, axis=2) == pytest.approx(1)
        a, b, c = triangles.transpose(1, 0, 2)
        area += np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
        inside = [head.argmax(triangles.mean(axis=1)) for head in heads]
        winners.append((found.patterns[i] == np.array(inside).T).all())
        gaps = np.min([head.gap(walls[:, 0]) for head in heads], axis=0)
        assert gaps == pytest.approx(0, abs=1e-9)
    assert all(winners)
    # But for the flatness of triangles.
    assert area == pytest.approx(4 * np.pi, rel=0.02)


def test_bare_heads_in_space_are_drawn_in_a_box_round_their_corners():
    rng = np.random.default_rng(3)
    head = ta.TropicalPolynomial(rng.integers(-4, 5, (9, 3)), rng.integers(-4, 5, 9))
    (axes,) = space(head).axes
    live = len(head.active_terms())
    assert axes.get_title() == f"{live} cells on R^3, {len(solids(axes))} drawn (9 keys)"


def test_heads_that_depend_on_one_coordinate():
    heads = [ta.TropicalPolynomial([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [0, 0, -1])] * 2
    (axes,) = space(heads).axes
    assert axes.get_title() == "3 cells on R^3, 3 drawn (2 heads)"


@pytest.mark.parametrize(
    ("target", "domain", "words"),
    [
        (ta.TropicalPolynomial([[0, 0]]), None, "a variable in R^3"),
        (TETRA, ta.Box([-np.inf] * 3, [1] * 3), "a bounded one needed"),
        (ta.constructions.digit_transformer(2, 3, 2), CUBE, "one layer needed"),
    ],
)
def test_what_is_not_in_space_is_refused(target, domain, words):
    with pytest.raises(InvalidInput, match=words.replace("^", r"\^")):
        space(target, domain)


def test_a_polytope_is_asked_for():
    with pytest.raises(InvalidInput, match="newton: a NewtonPolytope needed, got int"):
        plotting.polytope(3)
