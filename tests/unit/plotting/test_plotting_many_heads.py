import numpy as np
import pytest
from matplotlib.collections import LineCollection

from tropattn import TropicalPolynomial
from tropattn.plotting import diagram, panels, partition
from tropattn.plotting.style import FILLS


def heads(number, seed=0, keys=4):
    rng = np.random.default_rng(seed)
    return [
        TropicalPolynomial(rng.standard_normal((keys, 2)), rng.standard_normal(keys))
        for _ in range(number)
    ]


@pytest.mark.long
def test_no_panel_is_dropped_and_no_two_heads_are_drawn_alike():
    figure = panels(heads(18))
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert sum(title.startswith("head ") for title in titles) == 18
    refinement = next(axes for axes in figure.axes if axes.get_legend() is not None)
    walls = [part for part in refinement.collections if isinstance(part, LineCollection)]
    styles = {(tuple(part.get_color()[0]), repr(part.get_linestyle())) for part in walls}
    assert len(walls) == len(styles) == 18
    assert len(refinement.get_legend().get_texts()) == 18


@pytest.mark.long
def test_a_crowded_middle_is_drawn_again_inside_its_frame():
    figure = partition(heads(18))
    first, closer = figure.axes
    (frame,) = first.patches
    assert closer.get_xlim() == pytest.approx((frame.get_x(), frame.get_x() + frame.get_width()))
    assert closer.get_title().startswith("the frame ")
    assert len(partition(heads(2)).axes) == 1


def test_ten_keys_have_ten_fills_and_none_is_white():
    assert len(set(FILLS)) == 10
    assert "#FFFFFF" not in FILLS


def test_a_name_that_does_not_fit_stands_outside_with_a_line():
    f = TropicalPolynomial([[0, 0], [1, 0], [2, 0]], [0, 0, -0.01])  # the middle strip is thin
    figure = diagram(f, ([-1, -1], [1, 1]), labels=["left", "a strip", "right"])
    (outside,) = [t for t in figure.axes[0].texts if t.get_text() == "a strip"]
    assert outside.get_position()[0] > 1
    assert outside.arrow_patch is not None
