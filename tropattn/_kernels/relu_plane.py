"""Depth-first search over the cells of a network of ReLU units on a convex polygon of a plane.

A *level* is a layer of units: row i of a level is an affine function ``<m_i, (p, 1)>`` of the
plane's parameters, the first ``relu`` rows are units that pass their positive part on, the others
are carried on as they are. On a polygon where every unit of a level keeps its sign, the rows of the
next level are sums of rows of this one. A node of the search is a polygon inside a cell of the
levels before, and the units of its level whose sign on it is not known yet:

    1. the open units are compared with the corners; those that keep one sign are closed, and the
       positive ones are added to the next level's rows,
    2. a unit that changes sign cuts the polygon, and both parts are nodes again,
    3. with no unit open the polygon is a cell, and becomes a node of the next level, or counts.

Neighbouring cells thus differ by one row added to all of the next level, never by a new product.

Nothing is guessed. Rows, sides and corners carry bounds on their errors, a sign is used only if it
is proved: by a value beyond its bound, by arithmetic that is exact (all numbers are multiples of
one power of two and small), or because the corner lies on the unit's own wall. A node with an
unproved sign is handed back with the question; so are nodes beyond the budget of a work range.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tropattn._kernels.relu_rows import (
    CORNER,
    HUGE,
    OFF,
    ON,
    ONE,
    OPEN,
    SIDE_ERROR,
    SIDE_GRID,
    UNKNOWN,
    WIDTH,
    ZERO,
    Path,
    add_rows,
    begin_next,
    close_all,
    compiled,
    enter,
    inside,
    meet,
    normalise,
    sign_at,
)

CELLS, NODES, GIVEN, ASKED, CORNERS = range(5)
N_COUNTERS = 5

_PENDING, _PASSED, _DONE = 0, 1, 2
_NOT_ROOT = np.bool_(False)


class PolygonItem(NamedTuple):
    """A node as a work range of its own."""

    status: np.ndarray  # (level + 1, R) int8: the levels before, closed, and its own
    sides: np.ndarray  # (corners, WIDTH)
    names: np.ndarray  # (corners, 3) int64
    answers: np.ndarray  # (corners, R) int8 signs settled by the caller, or UNKNOWN; or no rows


class ReluOut(NamedTuple):
    """What a range hands back: nodes as items, and the open questions of some of them."""

    level: np.ndarray  # (items,) int64
    status: np.ndarray  # (items, L, R) int8
    start: np.ndarray  # (items + 1,) int64 rows of ``sides`` of each item
    root: np.ndarray  # (items,) bool: the node with which the range began
    sides: np.ndarray  # (corners, WIDTH)
    names: np.ndarray  # (corners, 3) int64
    questions: np.ndarray  # (questions, 3) int64: item, unit, corner


class Stack(NamedTuple):
    """Nodes of the search, the oldest first; passed ones are ancestors of those above them."""

    kind: np.ndarray  # (S,) int8
    level: np.ndarray  # (S,) int64
    start: np.ndarray  # (S,) int64
    corners: np.ndarray  # (S,) int64
    status: np.ndarray  # (S, R) int8
    open: np.ndarray  # (S, R) int32 units not closed
    n_open: np.ndarray  # (S,) int64
    next: np.ndarray  # (S, 3, R) rows of the next level, as far as they are known
    sides: np.ndarray  # (P, WIDTH)
    names: np.ndarray  # (P, 3) int64 line of the side, and the two lines of the corner


class Scratch(NamedTuple):
    """Work arrays of one node."""

    low: np.ndarray  # (R,)
    high: np.ndarray  # (R,)
    fresh: np.ndarray  # (R,) int32 units newly found positive
    points: np.ndarray  # (2, P) corners divided by W
    signs: np.ndarray  # (P,) int64
    sides: np.ndarray  # (P, WIDTH)
    names: np.ndarray  # (P, 3) int64
    asked: np.ndarray  # (2, questions) int64: unit, corner


class ReluSpace(NamedTuple):
    """All that a range works with."""

    stack: Stack
    path: Path
    scratch: Scratch


@inside
def _corner_sign(levels, stack, path, at, unit, k, answers):
    """The sign of a unit at a corner: its own wall, then numbers, then what the caller settled."""
    level, row = stack.level[at], stack.start[at] + k
    line = level * levels.lines.shape[1] + levels.lines[level, unit]
    if stack.names[row, 1] == line or stack.names[row, 2] == line:
        return 0
    found = sign_at(path, level, unit, stack.sides, row)
    if found == UNKNOWN and k < answers.shape[0]:
        return np.int64(answers[k, unit])
    return found


@inside
def _ask(scratch, unit, k, n_asked):
    """Note a question while there is room; returns the number of questions."""
    if n_asked < scratch.asked.shape[1]:
        scratch.asked[0, n_asked] = unit
        scratch.asked[1, n_asked] = k
    return n_asked + 1


@inside
def _settle(levels, stack, path, at, unit, answers, scratch, n_asked):
    """ON, OFF or OPEN from the signs at the corners; -1 with questions where they are unproved."""
    above = below = False
    before = n_asked
    for k in range(stack.corners[at]):
        sign = _corner_sign(levels, stack, path, at, unit, k, answers)
        if sign == UNKNOWN:
            n_asked = _ask(scratch, unit, k, n_asked)
        above = above or sign == 1
        below = below or sign == -1
    if above and below:
        return OPEN, before
    if n_asked > before:
        return -1, n_asked
    return (ON if above else OFF), n_asked


@inside
def _cut_signs(levels, stack, path, at, cut, answers, scratch):
    """Signs of the cutting unit at all corners; returns the number of questions."""
    n_asked = ZERO
    for k in range(stack.corners[at]):
        scratch.signs[k] = _corner_sign(levels, stack, path, at, cut, k, answers)
        if scratch.signs[k] == UNKNOWN:
            n_asked = _ask(scratch, cut, k, n_asked)
    return n_asked


@inside
def _sort_units(levels, stack, at, scratch):
    """The open units of a node of which all units were compared; returns their number, and ON."""
    n_open, n_on = 0, 0
    for i in range(levels.relu[stack.level[at]]):
        # No branches: the signs of a layer are as good as random.
        stack.open[at, n_open] = i
        n_open += np.int64(stack.status[at, i] == OPEN)
        scratch.fresh[n_on] = i
        n_on += np.int64(stack.status[at, i] == ON)
    return n_open, n_on


@inside
def _close(levels, stack, path, at, answers, scratch):
    """Close a node's units that keep their sign; new ON units, the best cut or -1, questions."""
    level, count = stack.level[at], stack.corners[at]
    m, points = path.rows, scratch.points
    first, second = normalise(stack, at, path, points)
    n_open, n_fresh = stack.n_open[at], 0
    if n_open < 0:
        units, low, high = levels.relu[level], scratch.low, scratch.high
        close_all(path, level, units, points, count, first, second, low, high, stack.status, at)
        n_open, n_fresh = _sort_units(levels, stack, at, scratch)
    kept, n_asked, cut, balance = 0, ZERO, -ONE, np.inf
    for i in range(n_open):
        unit = np.int64(stack.open[at, i])
        a, b, c = m[level, 0, unit], m[level, 1, unit], m[level, 2, unit]
        least = most = a * points[0, 0] + b * points[1, 0] + c
        for k in range(1, count):
            value = a * points[0, k] + b * points[1, k] + c
            least, most = min(least, value), max(most, value)
        size = abs(a) + abs(b) + abs(c)
        bound = size * first + second if size < HUGE else np.inf
        if least > bound:
            found = ON
        elif most < -bound:
            found = OFF
        elif least < -bound and most > bound:
            found = OPEN
        else:
            found, n_asked = _settle(levels, stack, path, at, unit, answers, scratch, n_asked)
        if found == ON:
            scratch.fresh[n_fresh] = unit
            n_fresh += 1
        if 0 <= found < OPEN:
            stack.status[at, unit] = found
            continue
        stack.open[at, kept] = unit
        kept += 1
        skew = abs(least + most) / (most - least) if most > least else np.inf
        if found == OPEN and (cut < 0 or skew < balance):
            cut, balance = unit, skew
    stack.n_open[at] = kept
    return n_fresh, cut, n_asked


@inside
def _copy(sides, names, k, to_sides, to_names, n):
    """Copy a corner and its side."""
    for i in range(WIDTH):
        to_sides[n, i] = sides[k, i]
    for i in range(3):
        to_names[n, i] = names[k, i]


@inside
def _side(sides, k, name, to_sides, to_names, n):
    """Copy a side alone."""
    for i in range(CORNER):
        to_sides[n, i] = sides[k, i]
    to_names[n, 0] = name


@inside
def _part(scratch, count, sign, line, sides, names, start):
    """Write the part of a polygon where the cutting row has a sign; returns its corners.

    The polygon's corners are in ``scratch`` with the row's signs; behind them stands the row as a
    side, positive inside the part.
    """
    n, wall = start, count
    for k in range(count):
        after = k + 1 if k + 1 < count else 0
        here, there = sign * scratch.signs[k], sign * scratch.signs[after]
        if here > 0 or (here == 0 and there > 0):
            _copy(scratch.sides, scratch.names, k, sides, names, n)
            n += 1
        elif here == 0:
            # The polygon is left at this corner, along the wall.
            _copy(scratch.sides, scratch.names, k, sides, names, n)
            _side(scratch.sides, wall, line, sides, names, n)
            n += 1
        if here > 0 and there < 0:
            _side(scratch.sides, wall, line, sides, names, n)
            meet(scratch.sides, k, scratch.sides, wall, sides, n)
            names[n, 1], names[n, 2] = scratch.names[k, 0], line
            n += 1
        elif here < 0 and there > 0:
            _side(scratch.sides, k, scratch.names[k, 0], sides, names, n)
            meet(scratch.sides, wall, scratch.sides, k, sides, n)
            names[n, 1], names[n, 2] = line, scratch.names[k, 0]
            n += 1
    return n - start


@inside
def _push_parts(levels, stack, path, at, cut, scratch):
    """Replace a node by the two parts into which a unit cuts it: the positive one goes on top."""
    level, start, count, top = stack.level[at], stack.start[at], stack.corners[at], at + 1
    for k in range(count):
        _copy(stack.sides, stack.names, start + k, scratch.sides, scratch.names, k)
    kept = 0
    for i in range(stack.n_open[at]):
        unit = stack.open[at, i]
        if unit != cut:
            stack.open[at, kept] = stack.open[top, kept] = unit
            kept += 1
    for i in range(levels.relu[level]):
        stack.status[top, i] = stack.status[at, i]
    stack.kind[top], stack.level[top] = _PENDING, level
    stack.n_open[at] = stack.n_open[top] = kept
    stack.status[at, cut], stack.status[top, cut] = OFF, ON
    line = level * levels.lines.shape[1] + levels.lines[level, cut]
    for k in range(3):
        scratch.sides[count, k] = -path.rows[level, k, cut]
        scratch.sides[count, SIDE_ERROR + k] = path.error[level, k]
    scratch.sides[count, SIDE_GRID] = path.grid[level]
    stack.corners[at] = _part(scratch, count, -ONE, line, stack.sides, stack.names, start)
    for k in range(3):
        scratch.sides[count, k] = path.rows[level, k, cut]
    start += stack.corners[at]
    stack.start[top] = start
    stack.corners[top] = _part(scratch, count, ONE, line, stack.sides, stack.names, start)
    if level + 1 < len(levels.relu):
        for k in range(3):
            for i in range(levels.rows[level + 1]):
                stack.next[top, k, i] = stack.next[at, k, i]
        scratch.fresh[0] = cut
        add_rows(levels, level, path, scratch.fresh, ONE, stack.next, top)


@inside
def _hand_back(levels, stack, path, at, out, counters, root):
    """Write a node to ``out`` as an item of its own."""
    item, level = counters[GIVEN], stack.level[at]
    out.level[item] = level
    out.root[item] = root
    for below in range(level + 1):
        slot = path.slot[below] if below < level else at
        for i in range(levels.relu[below]):
            out.status[item, below, i] = stack.status[slot, i]
    first, count = counters[CORNERS], stack.corners[at]
    for k in range(count):
        _copy(stack.sides, stack.names, stack.start[at] + k, out.sides, out.names, first + k)
    out.start[item] = first
    out.start[item + 1] = first + count
    counters[CORNERS] += count
    counters[GIVEN] += 1


@inside
def _questions(scratch, n_asked, out, counters):
    """Write the questions of the node that is handed back next, as far as there is room."""
    first = counters[ASKED]
    for q in range(min(n_asked, len(out.questions) - first)):
        out.questions[first + q, 0] = counters[GIVEN]
        out.questions[first + q, 1] = scratch.asked[0, q]
        out.questions[first + q, 2] = scratch.asked[1, q]
        counters[ASKED] += 1


@inside
def _begin(levels, item, stack, path, scratch):
    """Rebuild the path to an item and put it on the stack; returns its slot."""
    status, sides, names = item.status, item.sides, item.names
    last = len(status) - 1
    for k in range(3):
        for i in range(levels.rows[0]):
            path.rows[0, k, i] = levels.first[k, i]
        path.error[0, k] = levels.first_error[k]
    path.grid[0] = levels.grid[0]
    for level in range(last + 1):
        stack.level[level], stack.kind[level], path.slot[level] = level, _PASSED, level
        count = ZERO
        for i in range(levels.relu[level]):
            stack.status[level, i] = status[level, i]
        if level + 1 < len(levels.relu):
            begin_next(levels, level, path, scratch, stack.next, level)
            for i in range(levels.relu[level]):
                scratch.fresh[count] = i
                count += np.int64(status[level, i] == ON)
            add_rows(levels, level, path, scratch.fresh, count, stack.next, level)
        if level < last:
            enter(levels, level, stack, level, path)
    stack.kind[last] = _PENDING
    stack.start[last], stack.corners[last] = 0, len(sides)
    for k in range(len(sides)):
        _copy(sides, names, k, stack.sides, stack.names, k)
    stack.n_open[last] = 0
    for i in range(levels.relu[last]):
        if status[last, i] == OPEN:
            stack.open[last, stack.n_open[last]] = i
            stack.n_open[last] += 1
    return last


@inside
def _descend(levels, stack, path, at, scratch):
    """Pass a finished cell and put it on the stack as a node of the next level."""
    level, top = stack.level[at], at + 1
    stack.kind[at] = _PASSED
    path.slot[level] = at
    enter(levels, level, stack, at, path)
    stack.kind[top], stack.level[top] = _PENDING, level + 1
    stack.start[top], stack.corners[top] = stack.start[at], stack.corners[at]
    for i in range(levels.relu[level + 1]):
        stack.status[top, i] = OPEN
    stack.n_open[top] = -1
    if level + 2 < len(levels.relu):
        begin_next(levels, level + 1, path, scratch, stack.next, top)


@inside
def _has_room(stack, at, out, counters):
    """Whether a node can be expanded, and all that waits still be handed back after it."""
    room, corners = len(stack.sides), stack.corners[at]
    return (
        at + 3 <= len(stack.kind)
        and stack.start[at] + 2 * corners + 4 <= room
        and counters[GIVEN] + at + 2 <= len(out.level)
        and counters[CORNERS] + corners + room <= len(out.sides)
    )


@inside
def _hand_on(levels, stack, path, oldest, at, out, counters):
    """Hand back the oldest node that waits, if another than ``at`` does; returns its slot."""
    while oldest < at and stack.kind[oldest] != _PENDING:
        oldest += 1
    held = counters[CORNERS] + stack.corners[oldest] + len(stack.sides)
    if oldest < at and held + stack.corners[at] <= len(out.sides):
        _hand_back(levels, stack, path, oldest, out, counters, _NOT_ROOT)
        stack.kind[oldest] = _DONE
    return oldest


@inside
def _expand(levels, stack, path, at, answers, scratch, out, counters):
    """Close, cut, pass, count or hand back one node; returns the new top and the work done."""
    level, last = stack.level[at], len(levels.relu) - 1
    compared = stack.n_open[at] if stack.n_open[at] >= 0 else levels.relu[level]
    work = 64 + stack.corners[at] * compared
    n_fresh, cut, n_asked = _close(levels, stack, path, at, answers, scratch)
    # One unit that changes sign in the last level makes two cells, wherever it runs.
    counted = level == last and (cut < 0 or stack.n_open[at] == 1)
    if n_asked == 0 and cut >= 0 and not counted:
        n_asked = _cut_signs(levels, stack, path, at, cut, answers, scratch)
    if n_asked > 0:
        _questions(scratch, n_asked, out, counters)
        _hand_back(levels, stack, path, at, out, counters, counters[NODES] == 1)
        stack.kind[at] = _DONE
        return at, work
    if counted:
        counters[CELLS] += 1 if cut < 0 else 2
        stack.kind[at] = _DONE
        return at, work
    if level < last and n_fresh > 0:
        work += n_fresh * levels.rows[level + 1]
        add_rows(levels, level, path, scratch.fresh, n_fresh, stack.next, at)
    if cut < 0:
        _descend(levels, stack, path, at, scratch)
    else:
        _push_parts(levels, stack, path, at, cut, scratch)
    return at + 1, work


@compiled
def search(levels, item, space, budget, out, counters, stop):
    """Count the cells below an item; ``out`` and ``counters`` take what is found and left over.

    ``budget`` is the work (rows times corners) after which the oldest node is handed back, again
    and again, for other threads. Where ``stop`` is set the search ends at once, incomplete.
    """
    stack, path, scratch = space.stack, space.path, space.scratch
    base = _begin(levels, item, stack, path, scratch)
    at, oldest, spent, answers = base, base, 0, item.answers
    while at >= base:
        oldest = min(oldest, at)
        if stack.kind[at] != _PENDING:
            at -= 1
            continue
        if stop[0] != 0:
            return
        if not _has_room(stack, at, out, counters):
            break
        if spent > budget:
            oldest = _hand_on(levels, stack, path, oldest, at, out, counters)
            spent = 0
        counters[NODES] += 1
        at, work = _expand(levels, stack, path, at, answers, scratch, out, counters)
        spent += work
        answers = item.answers[:0]
    while at >= base:
        if stack.kind[at] == _PENDING:
            _hand_back(levels, stack, path, at, out, counters, _NOT_ROOT)
        at -= 1


def make_space(levels, slots, room, questions):
    """Working memory of one range: the nodes, corners and questions that it can hold."""
    depth, width = levels.lines.shape
    stack = Stack(
        np.empty(slots, np.int8),
        np.empty(slots, np.int64),
        np.empty(slots, np.int64),
        np.empty(slots, np.int64),
        np.empty((slots, width), np.int8),
        np.empty((slots, width), np.int32),
        np.empty(slots, np.int64),
        np.empty((slots, 3, width)),
        np.empty((room, WIDTH)),
        np.empty((room, 3), np.int64),
    )
    path = Path(
        np.zeros(depth, np.int64),
        np.empty((depth, 3, width)),
        np.zeros((depth, 3)),
        np.zeros(depth),
    )
    scratch = Scratch(
        np.empty(width),
        np.empty(width),
        np.empty(width, np.int32),
        np.empty((2, room)),
        np.empty(room, np.int64),
        np.empty((room, WIDTH)),
        np.empty((room, 3), np.int64),
        np.empty((2, questions), np.int64),
    )
    return ReluSpace(stack, path, scratch)
