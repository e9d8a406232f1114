"""The work queue: every item once, a tally for any number of threads, and its three ends."""

from __future__ import annotations

import pickle
from itertools import count

import numpy as np
import pytest

from tropattn import Box, FeedForward, Network, count_regions, initialisers
from tropattn.errors import BudgetExceeded, Interrupted
from tropattn.regions.budget import Budget
from tropattn.regions.networks import relu_plane
from tropattn.regions.search import enumeration
from tropattn.threads import WorkQueue, check


class Halves(WorkQueue[int, int]):
    """Numbers that are halved until they are 1; what is found are the ones."""

    def __init__(self, watch=lambda found, waiting: None):
        super().__init__(watch)
        self.ones, self.seen = 0, []

    @property
    def found(self):
        return self.ones

    def work(self, item):
        return item

    def collect(self, result):
        self.seen.append(result)
        self.ones += result == 1
        return [] if result == 1 else [result // 2, result - result // 2]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_item_and_what_it_leaves_is_worked_on_once(threads):
    queue = Halves()
    queue.run(iter([8, 5, 1]), threads)
    assert queue.found == 14
    # A number n splits n - 1 times.
    assert len(queue.seen) == sum(2 * n - 1 for n in (8, 5, 1))
    assert not queue.waiting and queue.stop[0] == 0


def test_the_newest_goes_first_and_the_source_is_read_when_needed():
    read = count(1)
    queue = Halves(Budget(max_cells=20).watch)
    with pytest.raises(BudgetExceeded):
        queue.run((8 for _ in read), 1)
    # Two of eight are under way before the first is split, and few more are taken by the end.
    assert next(read) <= 6
    assert queue.found == 21


def test_a_limit_ends_the_work():
    queue = Halves(Budget(max_cells=10).watch)
    with pytest.raises(BudgetExceeded, match="at most 10 cells allowed, more than that") as caught:
        queue.run([100], 2)
    assert caught.value.lower == queue.found == 11


def test_a_stop_carries_what_is_found():
    def stop(found, waiting):
        if found == 7:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        Halves(stop).run([100], 2)
    assert caught.value.lower == 7


def test_an_error_of_a_worker_ends_the_work():
    class Full(Halves):
        def work(self, item):
            if self.ones >= 3:
                raise MemoryError
            return item

    with pytest.raises(MemoryError) as caught:
        Full().run([100], 1)
    assert caught.value.found >= 3


def test_items_that_run_see_the_flag():
    class Endless(Halves):
        def work(self, item):
            while item > 1:
                check()
            return item

    def stop(found, waiting):
        raise KeyboardInterrupt

    queue = Endless(stop)
    with pytest.raises(Interrupted):
        queue.run([2, 1], 2)
    assert queue.stop[0] == 1


@pytest.mark.parametrize(("module", "queue"), [(enumeration, "_Driver"), (relu_plane, "_Search")])
def test_ranges_of_a_search_are_plain_values(module, queue, monkeypatch):
    """They may go through a file, or to another machine, and the count is the same."""
    heads = initialisers.gaussian_heads(5, 4, 4, seed=0)
    rng = np.random.default_rng(0)
    net = Network(
        [FeedForward(rng.normal(size=(2, 24)), rng.normal(size=24), np.eye(24), residual=False)]
    )
    asked = [(heads, None), (net, Box.cube(-1, 1, 2))]
    monkeypatch.setattr(module, "_BUDGETS", (50,))
    expected = [count_regions(*question).value for question in asked]
    driver, seen = getattr(module, queue), []
    plain = driver.work

    def posted(self, item):
        seen.append(pickle.dumps(item))
        return plain(self, pickle.loads(seen[-1]))

    monkeypatch.setattr(driver, "work", posted)
    assert [count_regions(*question).value for question in asked] == expected
    assert len(seen) > 1
