import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.quiver import Quiver

from tropattn.dynamics import Hardmax, basins, sa, simulate
from tropattn.dynamics.basin_pieces import basin_pieces
from tropattn.dynamics.closed_forms import equiangular_time
from tropattn.errors import InvalidInput
from tropattn.plotting.dynamics import draw_flow, draw_gaussian, draw_hardmax, draw_sync
from tropattn.polyhedra.domain import Box
from tropattn.study.dynamics import run


def tokens(seed, n=30):
    return np.random.default_rng(seed).standard_normal((n, 2))


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_pieces_tile_the_window_and_agree_with_probes(seed, alpha):
    model, start = Hardmax(alpha), tokens(seed)
    pieces = basin_pieces(model, start, Box([-3, -3], [3, 3]))
    assert sum(polygon.area for polygon, _ in pieces) == pytest.approx(36, rel=1e-12)
    centres = np.array([polygon.centroid for polygon, _ in pieces])
    assert basins(model, start).label(centres).tolist() == [leader for _, leader in pieces]


def test_a_piece_of_a_wall_is_where_probes_change_their_leader():
    # Leaders 0 and 1 on the axes: equal scores on the diagonal, at every layer.
    pieces = basin_pieces(Hardmax(1), [[1, 0], [0, 1], [-1, -1]], Box([0, 0], [2, 2]))
    areas = {leader: polygon.area for polygon, leader in pieces}
    assert areas == {0: 2.0, 1: 2.0}


def test_pieces_need_the_plane():
    with pytest.raises(InvalidInput, match="two coordinates"):
        basin_pieces(Hardmax(1), [[1, 0, 0]], Box([0, 0], [1, 1]))


def test_hardmax_shows_pieces_numbers_and_an_arrow_a_layer():
    model, start = Hardmax(1), np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [0.5, 0.25]])
    path = simulate(model, start, 2, engine="exact")
    figure = draw_hardmax(path, basin_pieces(model, start, Box([-2, -2], [2, 2])))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2", "3", "4"]
    (quiver,) = [part for part in axes.collections if isinstance(part, Quiver)]
    assert np.column_stack([quiver.U, quiver.V]).tolist() == [[0.25, 0.375], [0.125, 0.1875]]
    (shapes,) = [p for p in axes.collections if type(p) is PolyCollection]
    assert len(shapes.get_paths()) == 4
    assert len({tuple(colour) for colour in shapes.get_facecolor()}) == 4
    assert axes.get_title() == "5 tokens, 2 hardmax layers, 4 leaders"
    assert axes.get_xlabel() and axes.get_legend() is not None


def test_tokens_at_one_place_are_drawn():
    path = simulate(Hardmax(1), np.ones((3, 2)), 2, engine="exact")
    assert draw_hardmax(path).axes[0].get_title().startswith("3 tokens")


@pytest.mark.parametrize("dim, panels", [(2, 3), (3, 3), (4, 2)])
def test_simulate_counts_in_integers_and_shows_paths(dim, panels):
    start = np.random.default_rng(0).standard_normal((6, dim))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    figure = draw_flow(simulate(sa(2.0), start, [0.0, 0.5, 1.0]), 0.1)
    assert len(figure.axes) == panels
    counts = figure.axes[0]
    assert all(float(tick).is_integer() for tick in counts.get_yticks())
    assert counts.get_yscale() == "linear"


def test_the_boundary_of_the_phase_diagram_is_the_equiangular_time():
    given = {
        "n": 8, "dim": 16, "betas": 3, "beta_max": 2.0, "layers": 80, "step": 0.1, "runs": 2,
        "kind": "softmax", "scheme": "layers", "seed": 0, "threads": 1,
    }  # fmt: skip
    shown = []
    run("phase", given, show=lambda *parts: shown.extend(parts))
    diagram, boundary = shown
    assert boundary[0].tolist() == [equiangular_time(8, 0.0), 0.0]
    (line,) = draw_sync(diagram, boundary).axes[0].get_lines()[1:]
    assert np.array_equal(line.get_xydata(), boundary)


def test_gaussians_of_the_plane_have_ellipses_and_shapes():
    given = {
        "path": None, "dim": 2, "kind": "softmax", "beta": 1.0, "n": 10, "time": 1.0,
        "frames": 10, "seed": 0,
    }  # fmt: skip
    shown = []
    run("gaussian", given, show=lambda *parts: shown.extend(parts))
    figure = draw_gaussian(*shown)
    assert len(figure.axes) == 5
    ring, shape = figure.axes[2].get_lines()[0].get_xydata(), figure.axes[3]
    assert np.linalg.norm(ring, axis=1) == pytest.approx(1.0)  # S = 1 at first
    assert len(shown[2]) == 12
    for other in shown[2]:
        assert np.trace(other.covariance[0]) == pytest.approx(2.0)
    for line in shape.get_lines()[1:]:
        assert np.hypot(*line.get_xydata().T).max() <= 1 + 1e-9


def test_dimensions_beyond_the_plane_keep_two_panels():
    given = {
        "path": None, "dim": 3, "kind": "l2", "beta": 1.0, "n": 10, "time": 1.0, "frames": 4,
        "seed": 0,
    }  # fmt: skip
    shown = []
    run("gaussian", given, show=lambda *parts: shown.extend(parts))
    assert len(draw_gaussian(*shown).axes) == 2
