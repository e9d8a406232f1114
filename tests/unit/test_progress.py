"""What long work says of itself, to a function; ``cli/test_screen.py`` looks at the terminal."""

from __future__ import annotations

import time

import pytest

import tropattn as ta
from tropattn import progress
from tropattn.progress import Progress, counting, doing, duration, listening, printing


def heard(work):
    found = []
    with listening(lambda step: found.append((step.what, step.done, step.left, str(step)))):
        work()
    return found


def test_nobody_is_told_where_nobody_listens():
    with counting("cells") as report:
        assert report is None
    with doing("layers", 3) as done, printing():
        done(2)


def test_a_search_says_its_pace_and_what_is_open(monkeypatch):
    monkeypatch.setattr("tropattn.progress._PAUSE", 0.0)

    def work():
        with counting("cells", over="branches open") as report:
            report(1200, 7)

    (first, second) = heard(work)
    assert first[:3] == ("cells", None, None) and first[3] == "counting cells"
    assert second[:3] == ("cells", 1200, 7)
    assert second[3].startswith("1,200 cells so far, ") and second[3].endswith("7 branches open")


def test_a_known_end_gives_the_time_left():
    step = Progress("layers", 2, 4, started=time.monotonic() - 10.0)
    assert step.seconds_left == pytest.approx(20.0, abs=0.5)
    # Too early to say, nothing done, a search: nobody knows.
    assert Progress("layers", 2, 4).seconds_left is None
    assert Progress("layers", 0, 4, started=0.0).seconds_left is None
    assert Progress("cells", 2, 4, over="open", started=0.0).seconds_left is None
    assert str(Progress("rows", 10**14, 10**14)).startswith("rows: 50 %")
    assert [duration(s) for s in (0.4, 59.4, 59.6, 3599.0, 7300.0)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "59 min 59 s",
        "2 h 1 min",
    ]


def test_a_function_hears_no_more_than_a_few_times_a_second():
    def work():
        with counting("cells") as report:
            for cells in range(1000):
                report(cells, 0)

    assert len(heard(work)) == 1


def test_steps_go_when_they_end():
    seen = []
    with listening(lambda step: None), doing("outer"):
        listener = progress._LISTENER.get()
        with doing("first"), doing("second"):
            seen.append([step.what for step in listener.steps])
        seen.append([step.what for step in listener.steps])
    assert seen == [["outer", "first", "second"], ["outer"]]


def test_calls_take_a_function_and_refuse_the_rest(monkeypatch):
    monkeypatch.setattr("tropattn.progress._PAUSE", 0.0)
    heads = ta.constructions.parabola_strips([3, 3, 3], 2)
    said = []
    assert ta.count_regions(heads, engine="enumeration", progress=said.append).value == 19
    assert said[0].what == "cells"
    drawn = []
    ta.sample_regions(heads, 10**5, seed=0, distribution="gaussian", progress=drawn.append)
    assert (drawn[-1].what, drawn[-1].done, drawn[-1].left) == ("draws", 10**5, 0)
    assert drawn[-1].note == "19 cells"
    for wrong in ("yes", 1, None):
        with pytest.raises(ta.InvalidInput, match="progress: True, False or a function needed"):
            ta.count_regions(heads, progress=wrong)


def test_what_a_function_raises_ends_the_call():
    def enough(step):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ta.count_regions(ta.constructions.parabola_strips([3], 2), progress=enough)
