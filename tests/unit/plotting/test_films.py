"""Films: every frame shows the tokens, or the softmax mixes, of its own moment."""

import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

import tropattn as ta
from tropattn.errors import InvalidInput
from tropattn.plotting.films import (
    film_flow,
    film_hardening,
    film_hardmax,
    film_training,
    save_film,
)
from tropattn.plotting.style import FILLS
from tropattn.plotting.window import Plane
from tropattn.study.pictures import Picture


def frames(film):
    """Each frame, drawn one after the other."""
    film._draw_was_started = True
    for frame in film.new_frame_seq():
        film._draw_frame(frame)
        yield film._fig


@pytest.fixture(scope="module")
def circle():
    turn = np.linspace(0, 3, 5)
    start = np.column_stack([np.cos(turn), np.sin(turn)])
    return ta.dynamics.simulate(ta.dynamics.sa(4.0), start, np.linspace(0, 2, 7))


def test_frames_of_a_flow_have_its_states_times_and_clusters(circle):
    counts = circle.clusters(0.1)
    for k, figure in enumerate(frames(film_flow(circle, 0.1))):
        (axes,) = figure.axes
        dots = axes.lines[-1].get_xydata()
        assert dots == pytest.approx(circle.states[k])
        assert axes.get_title().startswith(f"time {circle.time[k]:.3g}: {counts[k]} cluster")


def test_frames_of_hardmax_end_where_tokens_rest():
    model = ta.dynamics.Hardmax(1)
    tokens = np.random.default_rng(5).integers(-9, 10, (12, 2))
    run = ta.dynamics.simulate(model, tokens, 20, engine="exact")
    first, *_, last = [f.axes[0].lines[-1].get_xydata().copy() for f in frames(film_hardmax(run))]
    assert first == pytest.approx(tokens)
    assert last == pytest.approx(run.states[-1].astype(float), abs=0.01 * np.ptp(tokens))


@pytest.mark.long
def test_mixes_harden_into_the_cells():
    head = ta.TropicalPolynomial([[0, 0], [1, 0], [0, 1]])
    window = ta.Box([-1, -1], [1, 1])
    picture = Picture(view="diagram", target=head, domain=window, title="three keys")
    palette = np.array([to_rgb(FILLS[j]) for j in range(3)])
    far = []
    for figure in frames(film_hardening(picture, [0.001, 2.0])):
        image = np.asarray(figure.axes[0].images[0].get_array())
        side = (np.arange(image.shape[0]) + 0.5) / image.shape[0] * 2 - 1
        grid = np.stack(np.meshgrid(side, side), axis=-1)
        hard = palette[head.argmax(grid.reshape(-1, 2))].reshape(image.shape)
        far.append(np.abs(image - hard).mean())
    assert far == sorted(far, reverse=True)
    assert far[0] > 0.05 and far[-1] < 1e-3
    assert "temperature 0.001" in figure.get_suptitle()


@pytest.mark.long
def test_checkpoints_show_their_exact_cells_in_one_window_and_one_colour_a_key():
    rng = np.random.default_rng(4)
    steps = [
        [ta.TropicalPolynomial(rng.normal(size=(12, 2)), rng.normal(size=12)) for _ in range(2)]
        for _ in range(2)
    ]
    pictures = [Picture(view="panels", target=heads, title="two heads") for heads in steps]
    film = film_training(pictures, ["a", "b"])
    window = Plane.of(steps[-1], None, None).counted
    ink = [{}, {}]
    for heads, name, figure in zip(steps, "ab", frames(film), strict=True):
        assert figure.get_suptitle().startswith(name)
        *own, joint = figure.axes[:3]
        for h, axes in enumerate(own):
            found = ta.plane_cells([heads[h]], window)
            (drawn,) = axes.collections
            assert len(drawn.get_paths()) == len(found.patterns)
            for path, r in zip(drawn.get_paths(), range(len(found.patterns)), strict=True):
                assert (path.vertices[:-1] == found.polygon(r)).all()
            colours = map(tuple, drawn.get_facecolor().tolist())
            for key, colour in zip(found.patterns[:, 0].tolist(), colours, strict=True):
                assert ink[h].setdefault(key, colour) == colour
            assert axes.get_xlim() == (window.low[0], window.high[0])
            assert axes.get_title() == f"head {h}: {len(found.patterns)} cells"
        together = ta.plane_cells(heads, window)
        assert joint.get_title() == f"all heads: {len(together.patterns)} cells"
        fills, *walls = joint.collections
        assert len(fills.get_paths()) == len(together.patterns) and len(walls) == 2


@pytest.mark.long
def test_files(circle, tmp_path):
    save_film(film_flow(circle, 0.1), tmp_path / "run.gif")
    with Image.open(tmp_path / "run.gif") as image:
        assert image.n_frames == 7
    save_film(film_flow(circle, 0.1), tmp_path / "run.html", "a <run>")
    page = (tmp_path / "run.html").read_text()
    assert page.count("data:image/jpeg;base64") == 7 and "<title>a &lt;run&gt;" in page
    assert '<img alt="a &lt;run&gt;, frame by frame"' in page and 'aria-label="Frame"' in page
    assert re.findall(r"(?:src|href)=\"?(?!data:)[^\s>]*//|https?://(?!www\.w3\.org)", page) == []


@pytest.mark.parametrize("dim", [1, 4])
def test_tokens_that_no_picture_shows_are_refused(dim):
    start = np.eye(dim)
    run = ta.dynamics.simulate(ta.dynamics.sa(1.0), start, [0.0, 1.0])
    with pytest.raises(InvalidInput, match=f"got dimension {dim}"):
        film_flow(run, 0.1)


def test_pictures_of_another_kind_are_refused():
    with pytest.raises(InvalidInput, match="heads on a plane, one or side by side"):
        film_hardening(Picture(view="line", target=None, title=""), [1.0])
