"""The plane engine of ReLU networks: against brute force, the depth engine, and known answers."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from reference import deep
from reference.layerwise import count_layerwise, count_relu_plane, on_relu_plane

from tropattn import (
    Affine,
    Box,
    BudgetExceeded,
    FeedForward,
    FixedLayer,
    Interrupted,
    InvalidInput,
    Network,
    Polytope,
    Slice,
    TropicalPolynomial,
    count_regions,
)
from tropattn._kernels import relu_plane as kernel
from tropattn._kernels import relu_rows
from tropattn.regions import budget
from tropattn.regions.networks import relu_levels, relu_plane
from tropattn.regions.networks.relu_levels import packed_levels
from tropattn.tropical.enclosure import Enclosure

SQUARE = Box.cube(-1, 1, 2)


# ----------------------------------------------------------------------------------- random cases


def number(rng, kind):
    """Ties, dead units and near misses are common with these numbers."""
    value = rng.randint(-2, 2)
    if kind == "third":
        return Fraction(value * rng.randint(1, 3), 3)
    if kind == "tenth":
        return value * 0.1
    if kind == "ulp":
        return value * (1 + rng.randint(-2, 2) * 2.0 ** -rng.choice([52, 51, 45]))
    if kind == "scaled":
        return value * (1 + rng.randint(-1, 1) * 2.0**-50) * 2.0 ** rng.choice([-200, -30, 0, 200])
    return rng.gauss(0, 1) if kind == "normal" else value


def relu_layer(rng, width, kind):
    m, residual = rng.randint(2, 5), rng.random() < 0.5
    out = width if residual else rng.randint(1, 4)
    first = [[number(rng, kind) for _ in range(m)] for _ in range(width)]
    shift = [0] * m if rng.random() < 0.2 else [number(rng, kind) for _ in range(m)]
    if rng.random() < 0.4:
        # Two units with one wall.
        i, j, c = rng.randrange(m), rng.randrange(m), rng.choice([1, -1, 2, -2])
        for row in first:
            row[i] = row[j] * c
        shift[i] = shift[j] * c
    return {
        "kind": "relu",
        "W_1": first,
        "b_1": shift,
        "W_2": [[number(rng, kind) for _ in range(out)] for _ in range(m)],
        "b_2": [number(rng, kind) for _ in range(out)],
        "residual": residual,
    }


def random_layers(rng, width, kind):
    """One to three layers with at least one of ReLU units."""
    layers = []
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.2:
            out = rng.randint(1, 3)
            matrix = [[number(rng, kind) for _ in range(out)] for _ in range(width)]
            offset = [number(rng, kind) for _ in range(out)]
            layers.append({"kind": "affine", "matrix": matrix, "offset": offset})
            width = out
        else:
            layers.append(relu_layer(rng, width, kind))
            width = len(layers[-1]["b_2"])
    if all(layer["kind"] == "affine" for layer in layers):
        layers.append(relu_layer(rng, width, kind))
    return layers


def random_window(rng):
    """A window, the affine map from its parameters, and its rows for the reference."""
    identity = [[1, 0], [0, 1]], [0, 0]
    choice = rng.random()
    if choice < 0.4:
        low, high = ([rng.randint(*ends) for _ in "xy"] for ends in ((-3, -1), (1, 3)))
        rows = [([1, 0], high[0]), ([-1, 0], -low[0]), ([0, 1], high[1]), ([0, -1], -low[1])]
        return Box(low, high), identity, rows
    if choice < 0.7:
        # Some of these sides are redundant, some only touch a corner, some are repeated.
        rows = [([1, 1], rng.randint(1, 3)), ([-1, 0], 1), ([0, -1], rng.randint(0, 2))]
        rows += [([1, -1], 2), ([1, 0], 5), ([2, 2], 7), ([-2, 0], 2)]
        rng.shuffle(rows)
        return Polytope([a for a, _ in rows], [b for _, b in rows]), identity, rows
    d = rng.choice([3, 4])
    origin = [rng.randint(-2, 2) for _ in range(d)]
    basis = [[1, 0, *(rng.randint(-2, 2) for _ in range(d - 2))]]
    basis.append([0, 1, *(rng.randint(-2, 2) for _ in range(d - 2))])
    rows = [([1, 0], 2), ([-1, 0], 2), ([0, 1], 2), ([0, -1], 2)]
    return Slice(origin, basis, Box([-2, -2], [2, 2])), (basis, origin), rows


def array(values):
    entries = np.array(values, dtype=object)
    exact = any(isinstance(v, Fraction) for v in entries.ravel())
    return entries if exact else entries.astype(float)


def build(layers):
    made = []
    for layer in layers:
        if layer["kind"] == "relu":
            arrays = (array(layer[name]) for name in ("W_1", "b_1", "W_2", "b_2"))
            made.append(FeedForward(*arrays, residual=layer["residual"]))
        else:
            made.append(Affine(array(layer["matrix"]), array(layer["offset"])))
    return Network(made)


def random_case(seed, kinds):
    rng = random.Random(seed)
    window, start, rows = random_window(rng)
    layers = random_layers(rng, window.ambient_dim, rng.choice(kinds))
    return layers, build(layers).stages(), window, start, rows


def check_reference(seed):
    layers, stages, window, start, rows = random_case(seed, ["integer", "third", "tenth", "ulp"])
    found = count_relu_plane(stages, window, threads=1 + seed % 2)
    assert found.value == len(deep.pieces(layers, start, rows))
    return found.stats["exact_decisions"]


def check_depth(seed):
    _, stages, window, _, _ = random_case(seed, ["integer", "ulp", "scaled", "normal", "tenth"])
    found = count_relu_plane(stages, window, threads=1)
    assert found.value == count_layerwise(stages, window, threads=1).value


@pytest.mark.long
def test_small_networks_against_brute_force():
    """All patterns tried in rationals; integers, thirds, tenths, and numbers an ulp off a tie."""
    settled = [check_reference(seed) for seed in range(60)]
    assert sum(settled) > 0  # some signs went to integers


@pytest.mark.long
def test_small_networks_against_the_depth_engine():
    for seed in range(1000, 1120):
        check_depth(seed)


@pytest.mark.slow
def test_many_small_networks():
    """2,500 further cases; ``pytest -m slow -k test_many_small_networks``."""
    for seed in range(2000, 4000):
        check_depth(seed)
    for seed in range(4000, 4500):
        check_reference(seed)


def he_network(width, depth, seed=0):
    """Gaussian weights of variance 2 / width, uniform biases."""
    rng = np.random.default_rng([width, depth, seed])
    blocks, before = [], 2
    for _ in range(depth):
        weights = rng.normal(size=(before, width)) * np.sqrt(2 / before)
        shifts = rng.uniform(-1, 1, width) / np.sqrt(before)
        blocks.append(FeedForward(weights, shifts, np.eye(width), residual=False))
        before = width
    return Network(blocks)


def test_wider_network_against_the_depth_engine():
    stages = he_network(12, 3).stages()
    assert count_relu_plane(stages, SQUARE).value == count_layerwise(stages, SQUARE).value


# ---------------------------------------------------------------------------- ranges and threads


@pytest.mark.long
@pytest.mark.parametrize(
    "limits",
    [
        {"_BUDGETS": (1,)},
        {"_BUDGETS": (1000, 3000)},
        {"_SLOTS": 3, "_ITEMS": 2},
        {"_ROOM": 0, "_QUESTIONS": 1},
        {"_BUDGETS": (1,), "_SLOTS": 3, "_ITEMS": 1, "_ROOM": 0, "_QUESTIONS": 1},
    ],
)
def test_ranges_of_any_size_and_threads_give_one_answer(monkeypatch, limits):
    """Nodes handed back at every occasion, with every buffer as small as it can be."""
    cases = [(he_network(10, 3).stages(), SQUARE)]
    cases += [random_case(seed, ["third", "integer"])[1:3] for seed in range(500, 520)]
    expected = [count_relu_plane(*case, threads=1).value for case in cases]
    for name, value in limits.items():
        monkeypatch.setattr(relu_plane, name, value)
    for case, value in zip(cases, expected, strict=True):
        runs = [count_relu_plane(*case, threads=threads) for threads in (1, 2, 4)]
        assert {run.value for run in runs} == {value}
        works = [{k: v for k, v in run.stats.items() if k != "seconds"} for run in runs]
        assert works[0] == works[1] == works[2]


def test_budget_carries_a_lower_bound():
    stages = he_network(24, 2).stages()
    total = count_relu_plane(stages, SQUARE).value
    for threads in (1, 2):
        with pytest.raises(BudgetExceeded, match="max_cells") as caught:
            count_relu_plane(stages, SQUARE, max_cells=100, threads=threads)
        assert 100 < caught.value.lower <= total
    assert count_relu_plane(stages, SQUARE, max_cells=total).value == total


def test_interruption_carries_a_lower_bound(monkeypatch):
    class Clock:
        now = 0.0

        @classmethod
        def monotonic(cls):
            cls.now += 1.0
            return cls.now

        perf_counter = monotonic

    def stop(found, left):
        if found:
            raise KeyboardInterrupt

    monkeypatch.setattr(budget, "time", Clock)
    monkeypatch.setattr(relu_plane, "_BUDGETS", (1000,))
    with pytest.raises(Interrupted) as caught:
        count_relu_plane(he_network(24, 2).stages(), SQUARE, report=stop, threads=2)
    assert caught.value.lower > 0


# ------------------------------------------------------------------------------------ known answers


def relu(*units, out=None, residual=False):
    """A layer of units (w_x, w_y, b)."""
    rows = np.array(units, dtype=float)
    out = np.eye(len(rows)) if out is None else out
    return FeedForward(rows[:, :2].T, rows[:, 2], out, residual=residual)


def cells(*layers, window=SQUARE):
    found = count_regions(Network(layers), window)
    assert (found.engine, found.kind) == ("plane", "exact")
    return found.value


def test_walls_through_one_point_and_on_the_windows_sides():
    assert cells(relu((1, 0, 0), (0, 1, 0), (1, 1, 0), (1, -1, 0))) == 8
    assert cells(relu((1, 0, -1), (0, 1, 1))) == 1  # the square's own sides
    assert cells(relu((1, 1, -2), (1, 1, 0))) == 2  # a corner touched, a diagonal
    # Walls at -0.1, at -0.01 / 0.1 of the doubles, and at the double next to -0.1: all different.
    assert cells(relu((1, 0, 0.1), (0.1, 0, 0.01), (1, 0, np.nextafter(0.1, 1)))) == 4
    triangle = Polytope([[1, 1], [-1, 0], [0, -1]], [1, 0, 0])
    assert cells(relu((1, 1, -1), (1, 0, 0), (1, -1, 0)), window=triangle) == 2


def test_repeated_opposite_and_scaled_units_share_a_wall():
    unit = (0.3, 0.7, 0.1)
    for factor in (1, -1, 2, -4):
        layer = relu(unit, tuple(factor * v for v in unit), (1, -1, 0))
        assert cells(layer) == 4
        net = Network([layer, relu_of(3, (1, 1, 1, -0.25), (3, 3, 3, -0.75), (1, -1, 0, 0))])
        found = count_relu_plane(net.stages(), SQUARE)
        assert found.value == count_layerwise(net.stages(), SQUARE).value
        assert found.stats["exact_decisions"] < 20


def relu_of(width, *units):
    """A layer of units (w_1, ..., w_width, b)."""
    rows = np.array(units, dtype=float)
    return FeedForward(rows[:, :width].T, rows[:, width], np.eye(len(rows)), residual=False)


def test_dead_units_cut_nothing():
    dead = relu((1, 0, -5), (0, 0, 0), (0, 0, -1), (0, 0, 1))
    assert cells(dead) == 1
    # Behind it everything is constant; a constant 0 is a tie of both terms, merged.
    assert cells(dead, relu_of(4, (1, 1, 1, 0, 0), (1, 0, 0, 1, -1), (1, 1, 1, 1, 0))) == 1
    # Both units of the first layer are off in one quadrant, where the second sees a constant.
    corner = relu((1, 0, 0), (0, 1, 0))
    assert cells(corner) == 4
    assert cells(corner, relu_of(2, (1, 1, 0))) == 4
    assert cells(corner, relu_of(2, (1, 1, -0.5))) == 7


def test_residual_keeps_the_state():
    """A block with a residual doubles what is positive: a second layer sees both coordinates."""
    step = FeedForward(np.eye(2), [0, 0], np.eye(2))
    assert cells(step, relu((1, 0, 0), (0, 1, 0))) == 4
    assert cells(step, relu((1, 0, 0.5), (0, 1, 0.5), (1, 1, -1))) == 14
    fold = FeedForward(np.eye(2), [0, 0], -2 * np.eye(2))  # x - 2 relu(x) = -|x|
    assert cells(fold, relu((1, 0, 0.5), (0, 1, 0.5))) == 16
    assert cells(fold, Affine(np.eye(2), [0.5, 0.5]), fold, relu((1, 0, 0.25), (0, 1, 0.25))) == 64


def test_networks_without_biases_are_cones():
    """All walls meet in the origin, exactly, at every depth and for any weights."""
    rng = np.random.default_rng(4)
    blocks = [
        FeedForward(rng.normal(size=(a, 9)), np.zeros(9), np.eye(9), residual=False)
        for a in (2, 9, 9)
    ]
    found = count_relu_plane(Network(blocks).stages(), SQUARE)
    assert found.stats["exact_decisions"] == 0
    angles = np.linspace(0, 2 * np.pi, 50_001)[:-1] + 1e-9
    state, signs = np.column_stack([np.cos(angles), np.sin(angles)]), []
    for block in blocks:
        state = np.maximum(state @ block.W_1, 0)
        signs.append(state > 0)
    changes = np.any(np.hstack(signs) != np.roll(np.hstack(signs), 1, axis=0), axis=1).sum()
    assert found.value == changes


def test_far_and_tiny_windows():
    stages = he_network(10, 2, seed=1).stages()
    shift = np.array([4096.0, -4096.0])
    first, second = he_network(10, 2, seed=1).layers
    far = FeedForward(first.W_1, first.b_1, np.eye(10), residual=False)
    moved = Network([Affine(np.eye(2), -shift), far, second]).stages()
    window = Box(shift - 1, shift + 1)
    assert count_relu_plane(moved, window).value == count_relu_plane(stages, SQUARE).value
    speck = Box([0.25, 0.25], [0.25 + 2.0**-40, 0.25 + 2.0**-40])
    assert count_relu_plane(stages, speck).value == count_layerwise(stages, speck).value


def test_polygon_with_many_sides():
    """Tangents of a circle: one cell has them all; the window has as many."""
    turns = [(Fraction(2 * t, 1 + t * t), Fraction(1 - t * t, 1 + t * t)) for t in range(-12, 13)]
    turns += [(x, -y) for x, y in turns]
    units = np.array([[x, y, -1] for x, y in turns], dtype=object)
    layer = FeedForward(units[:, :2].T, units[:, 2], np.eye(len(units)), residual=False)
    round_window = Polytope(-units[:, :2], -2 * units[:, 2])
    found = count_relu_plane(Network([layer]).stages(), round_window)
    assert found.value == count_layerwise(Network([layer]).stages(), round_window).value


# ------------------------------------------------------------------------------ what it rests on


def exact_rows(layers, status):
    """Rows of the last level in rationals, for given signs of the levels before."""
    state = [[Fraction(int(i == k)) for k in range(3)] for i in range(2)]
    for depth, layer in enumerate(layers):
        first, shift = layer.W_1, layer.b_1
        scores = []
        for i in range(first.shape[1]):
            row = [sum(Fraction(w) * s[k] for w, s in zip(first[:, i], state, strict=True))
                   for k in range(3)]  # fmt: skip
            row[2] += Fraction(shift[i])
            scores.append(row)
        if depth == len(status) - 1:
            return scores
        kept = [row if on else [Fraction(0)] * 3 for row, on in zip(scores, status[depth])]  # noqa: B905
        after = []
        for c in range(layer.W_2.shape[1]):
            row = [
                sum(Fraction(layer.W_2[i, c]) * kept[i][k] for i in range(len(kept)))
                for k in range(3)
            ]
            row[2] += Fraction(layer.b_2[c])
            if layer.residual:
                row = [a + b for a, b in zip(row, state[c], strict=True)]
            after.append(row)
        state = after
    raise AssertionError


@pytest.mark.parametrize("out", ["plain", "mixed", "residual"])
def test_error_bounds_hold(out):
    """Rows of three levels deep against rationals, for random signs."""
    residual = out == "residual"
    rng = np.random.default_rng(7)
    for _ in range(10):
        layers, width = [], 2
        for _ in range(3):
            m, after = 6, {"plain": 6, "mixed": 5, "residual": width}[out]
            scale = 10.0 ** rng.integers(-3, 4)
            layers.append(
                FeedForward(
                    rng.normal(size=(width, m)) * scale,
                    rng.normal(size=m),
                    np.eye(m) if out == "plain" else rng.normal(size=(m, after)),
                    np.zeros(m) if out == "plain" else rng.normal(size=after),
                    residual=residual,
                )
            )
            width = after
        levels = packed_levels(Network(layers).stages(), SQUARE)
        status = rng.integers(0, 2, (3, levels.lines.shape[1])).astype(np.int8)
        sides, names = relu_plane._polygon(relu_plane._window(SQUARE))
        item = kernel.PolygonItem(status, sides, names, np.zeros((0, status.shape[1]), np.int8))
        space = kernel.make_space(levels, 16, 64, 4)
        kernel._begin(levels, item, space.stack, space.path, space.scratch)
        near, bound = space.path.rows[2, :, :6], space.path.error[2]
        for i, row in enumerate(exact_rows(layers, status)):
            for k in range(3):
                assert abs(Fraction(near[k, i]) - row[k]) <= Fraction(bound[k])


def fractions(rows):
    return np.array([[Fraction(v) for v in row] for row in rows.tolist()], dtype=object)


def test_rounded_products_and_sums():
    """Products and sums of matrices keep within their bounds, and are exact on a grid."""
    rng = np.random.default_rng(1)
    for kind in ("normal", "third", "eighth"):
        parts = []
        for shape in ((3, 4), (4, 5), (3, 5)):
            near = rng.normal(size=shape)
            if kind == "eighth":
                near = np.rint(8 * near) / 8
            parts.append(fractions(near) / 3 if kind == "third" else near)
        a, b, c = (Enclosure.of(part) for part in parts)
        found = relu_levels._sum(relu_levels._product(a, b), c)
        assert (found.error == 0).all() == (kind == "eighth")
        true = [fractions(part) for part in parts]
        gap = np.abs(fractions(found.near) - (true[0] @ true[1] + true[2]))
        assert (gap <= fractions(found.error)).all()
        doubled = c + Enclosure.of(parts[2] * 3)
        gap = np.abs(fractions(doubled.near) - true[2] - fractions(parts[2] * 3))
        assert (gap <= fractions(doubled.error)).all()
        assert found.error.max() < 1e-13


def test_signs_are_proved_or_refused():
    """Three lines that nearly pass through one point: a sign given is the true one."""
    rng = np.random.default_rng(3)
    one, two = (np.zeros((1, relu_rows.WIDTH)) for _ in range(2))
    stack, path, scratch = kernel.make_space(packed_levels([one_unit()], SQUARE), 4, 8, 4)
    stack.level[0], stack.start[0], stack.corners[0] = 0, 0, 1
    path.error[0] = 0
    given = zero = closed = 0
    for trial in range(2000):
        # Sixteenths have a grid on which all is exact; with an ulp of noise it has to be a bound.
        step, grid = (2.0**-4, 2.0**-4) if trial % 2 else (2.0**-52, 0.0)
        rows = rng.integers(-4, 5, (2, 3)) * (1 + rng.integers(-2, 3, (2, 3)) * step)
        third = rows[0] * rng.integers(-3, 4) + rows[1] * rng.integers(-3, 4)
        third += rng.integers(-2, 3, 3) * step * 2.0 ** (0 if trial % 2 else rng.integers(0, 9))
        for side, row in ((one, rows[0]), (two, rows[1])):
            side[0, :3], side[0, relu_rows.SIDE_GRID] = row, grid
        if np.linalg.det(rows[:, :2]) < 0:
            one, two, rows = two, one, rows[::-1]
        relu_rows.meet(one, 0, two, 0, stack.sides, 0)
        path.rows[0, :, 0], path.grid[0] = third, grid
        sign = relu_rows.sign_at(path, 0, 0, stack.sides, 0)
        exact = [[Fraction(v) for v in row] for row in (*rows.tolist(), third.tolist())]
        (a, b, c), (d, e, f), (g, h, i) = exact
        value = g * (b * f - c * e) + h * (c * d - a * f) + i * (a * e - b * d)
        assert sign != relu_rows.UNKNOWN or not grid
        if sign != relu_rows.UNKNOWN:
            given += 1
            zero += value == 0
            assert sign == (value > 0) - (value < 0)
        if a * e > b * d:
            # The quick comparison of all units is for proper corners.
            bounds = relu_rows.normalise(stack, 0, path, scratch.points)
            relu_rows.close_all(
                path, 0, 1, scratch.points, 1, *bounds, scratch.low, scratch.high, stack.status, 0
            )
            if stack.status[0, 0] != relu_rows.OPEN:
                closed += 1
                assert value > 0 if stack.status[0, 0] == relu_rows.ON else value < 0
    assert min(given, closed) > 1000
    assert zero > 10


def one_unit():
    return relu((1, 0, 0)).stages()[0]


def test_only_its_own_targets():
    net = he_network(4, 2)
    assert on_relu_plane(net.stages(), SQUARE)
    head = FixedLayer([TropicalPolynomial([[0, 0], [1, 0]])], [[[0, 0], [1, 0]]])
    plane = Polytope([[1, 0], [-1, 0]], [1, 1])
    for target, domain in [
        (net, None),
        (net, plane),
        (net, Box([-1], [1])),
        (Network([head, *net.layers]), SQUARE),
        (Network([Affine(np.eye(2))]), SQUARE),
        ([TropicalPolynomial([[0, 0], [1, 0]])], SQUARE),
    ]:
        stages = target.stages() if isinstance(target, Network) else count_stages(target)
        assert not on_relu_plane(stages, domain)
    with pytest.raises(InvalidInput, match="'plane'"):
        count_regions(net, engine="plane")
    with pytest.raises(InvalidInput, match="interior"):
        count_regions(net, Polytope([[1, 0], [-1, 0], [0, 1], [0, -1]], [0, 0, 1, 1]))
    assert (
        count_regions(net, SQUARE, engine="plane").value
        == count_layerwise(net.stages(), SQUARE).value
    )


def count_stages(target):
    from tropattn.tropical.stage import stages_of

    return stages_of(target)
