"""The scaling study: families, rows, exponents."""

import numpy as np
import pytest
from reference.brute import count

import tropattn as ta
from tropattn.cli.options import shipped
from tropattn.errors import InvalidInput
from tropattn.study.families import gaussian_network, random_slice
from tropattn.study.inputs import Source
from tropattn.study.scaling import ScalingSpec, families_of, geometric_means, plan, run

TEXT = "314159265="


def spec(**given):
    return ScalingSpec(**({"samples": 0, "threads": 1} | given))


def table(record, name="rows"):
    return record.tables[name]


def values(record):
    return [row["exact"].value for row in table(record)]


def of_model(**given):
    source = Source(path=shipped(), text=TEXT, layer=given.pop("layer", None))
    return spec(families=("weights",), source=source, **given)


# ---- constructions ------------------------------------------------------------------------------


@pytest.mark.parametrize("central", [False, True])
def test_rows_agree_with_brute_force(central):
    record = run(
        spec(families=("strips", "gaussian"), keys=(2, 3), heads=(2, 3), dim=2, central=central)
    )
    for row in table(record):
        make = {
            "strips": lambda n, h: ta.constructions.parabola_strips([n] * h, 2, central),
            "gaussian": lambda n, h: ta.initialisers.gaussian_heads(
                n, h, 2, seed=0, central=central
            ),
        }[row["family"]]
        units = [
            (f.slopes.tolist(), f.intercepts.tolist()) for f in make(row["keys"], row["heads"])
        ]
        assert row["exact"].value == count(units)


def test_exponents_say_what_the_counts_are():
    record = run(spec(families=("strips",), keys=(2, 3, 4, 5), heads=(1, 2, 3), dim=2))
    laws = [row["polynomial"] for row in table(record, "exponents")]
    assert [(law.degree, law.difference) for law in laws] == [(1, 1), (2, 2), (2, 6)]
    assert [row["theory"] for row in table(record, "exponents")] == [1, 2, 2]
    fit = table(record, "exponents")[1]["exact"]
    assert (fit.exponent, fit.low, fit.high) == (pytest.approx(2), 2, 5)


def test_digits_have_one_head_a_dimension():
    record = run(spec(families=("digits",), keys=(2, 3, 4, 5), heads=(7,), dim=2, depth=1))
    assert values(record) == [n**2 for n in (2, 3, 4, 5)]
    assert {row["heads"] for row in table(record)} == {2}
    deep = run(spec(families=("digits",), keys=(2, 3), dim=1, depth=3))
    assert values(deep) == [8, 27]
    assert [row["bound"].value for row in table(deep)] == [8, 27]
    assert table(deep)[0]["live"] is None


def test_seeds_are_repetitions():
    many = run(spec(families=("gaussian",), keys=(3, 6), heads=(2,), seeds=3, seed=5))
    single = [
        run(spec(families=("gaussian",), keys=(3, 6), heads=(2,), seed=seed)) for seed in (5, 6, 7)
    ]
    assert sorted(values(many)) == sorted(v for one in single for v in values(one))
    row = table(many, "exponents")[0]
    slopes = [table(one, "exponents")[0]["exact"].exponent for one in single]
    assert (row["spread"].low, row["spread"].high) == (min(slopes), max(slopes))
    # The slope of the geometric means is the mean of the slopes, all seeds having the same N.
    assert row["exact"].exponent == pytest.approx(np.mean(slopes))
    assert row["polynomial"] is None
    means = geometric_means(table(many))
    assert means[6] == pytest.approx(np.prod([values(one)[1] for one in single]) ** (1 / 3))


def test_strips_do_not_depend_on_seeds():
    assert len(table(run(spec(families=("strips",), keys=(2,), heads=(1,), seeds=9)))) == 1


def test_a_row_beyond_max_cells_keeps_its_lower_bound():
    record = run(spec(families=("strips",), keys=(2, 3, 4, 20), heads=(3,), max_cells=50))
    kinds = [row["exact"].kind for row in table(record)]
    assert kinds == ["exact", "exact", "exact", "lower"]
    assert table(record)[-1]["exact"].value > 50
    assert table(record, "exponents")[0]["exact"].high == 4


def test_gaussian_network_is_a_function_of_the_seed():
    x = np.random.default_rng(0).standard_normal((5, 2))
    a, b = (gaussian_network(4, 2, 2, 2, seed=3) for _ in range(2))
    assert (a(x) == b(x)).all()
    assert (gaussian_network(4, 2, 2, 2, seed=4)(x) != a(x)).any()
    with pytest.raises(InvalidInput, match="depth"):
        gaussian_network(4, 2, 2, 0, seed=3)


# ---- weights ------------------------------------------------------------------------------------


def test_first_keys_and_heads_of_a_file(tmp_path):
    rng = np.random.default_rng(1)
    slopes, intercepts = rng.integers(-5, 6, (3, 6, 2)), rng.integers(-5, 6, (3, 6))
    path = tmp_path / "heads.npz"
    np.savez(path, slopes=slopes.astype(float), intercepts=intercepts.astype(float))
    record = run(
        spec(families=("weights",), source=Source(path=str(path)), keys=(2, 6), heads=(1, 3))
    )
    for row in table(record):
        h, n = row["heads"], row["keys"]
        units = [(slopes[i, :n].tolist(), intercepts[i, :n].tolist()) for i in range(h)]
        assert row["exact"].value == count(units)


def test_flats_of_a_file_pass_through_the_origin(tmp_path):
    heads = ta.initialisers.gaussian_heads(5, 2, 4, seed=2)
    path = tmp_path / "heads.npz"
    np.savez(path, slopes=[f.slopes for f in heads], intercepts=[f.intercepts for f in heads])
    record = run(spec(families=("weights",), source=Source(path=str(path)), keys=(5,), dim=1))
    line = random_slice(np.zeros(4), 1, 0)
    assert values(record) == [ta.count_regions(heads, line, threads=1).value]


def test_tokens_of_a_model_are_the_first_and_the_last():
    record = run(of_model(keys=(3, 10), heads=(2, 4)))
    model = ta.load(shipped())
    for row in table(record):
        fixed = model.fix(TEXT[: row["keys"] - 1] + TEXT[-1])
        heads = fixed.heads[: row["heads"]]
        expected = ta.count_regions(heads, engine="enumeration", threads=1).value
        assert row["exact"].value == expected
        assert row["live"] == [len(head.active_terms()) for head in heads]


def test_head_by_head_and_all_together_agree():
    """Two heads of width 4 are independent in R^8: a product in query space, or enumerated."""
    fast = run(of_model(keys=(10,), heads=(2,), layer=1))
    slow = run(of_model(keys=(10,), heads=(2,), layer=1, engine="enumeration"))
    (quick,), (full,) = table(fast), table(slow)
    assert quick["exact"].engine == "direct_sum"
    assert full["exact"].engine == "enumeration"
    for name in ("exact", "bound", "bound_live"):
        assert quick[name].value == full[name].value
    assert quick["live"] == full["live"]


def test_layers_on_a_flat():
    record = run(of_model(keys=(4,), dim=2, depth=2, seed=3))
    ids = TEXT[:3] + TEXT[-1]
    model = ta.load(shipped())
    plane = random_slice(model.states(ids)[0][-1], 2, 3)
    expected = ta.count_regions(model.network(ids), plane, threads=1)
    assert values(record) == [expected.value]
    assert table(record)[0]["bound"].value == ta.upper_bound(model.network(ids), plane).value


def test_samples_of_all_families_stay_below():
    for one in (
        spec(families=("strips", "gaussian"), samples=2000, keys=(3,), heads=(2,)),
        spec(families=("digits",), samples=2000, keys=(3,), dim=1, depth=2),
        of_model(samples=2000, keys=(5,), dim=2),
        of_model(samples=2000, keys=(5,), heads=(2,)),
    ):
        for row in table(run(one)):
            assert 1 <= row["sampled"].value <= row["exact"].value <= row["bound"].value


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keys": ()}, "keys: numbers >= 1"),
        ({"heads": (0,)}, "heads: numbers >= 1"),
        ({"dim": 1, "central": True}, "at least 2"),
        ({"depth": 0}, "depth"),
        ({"seeds": 0}, "seeds"),
        ({"families": ("cubes",)}, "cubes"),
        ({"families": ()}, "family"),
        ({"families": ("weights",)}, "no file"),
        ({"source": Source(path="x")}, "one for strips"),
        ({"families": ("weights",), "source": Source(path="x"), "central": True}, "central"),
    ],
)
def test_bad_specs(given, words):
    with pytest.raises(InvalidInput, match=words):
        spec(**given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"families": ("strips",), "depth": 2}, "digits attain"),
        ({"families": ("gaussian",), "depth": 2, "central": True}, "central"),
        ({"families": ("digits",), "central": True}, "central"),
    ],
)
def test_families_that_cannot_be_built(given, words):
    with pytest.raises(InvalidInput, match=words):
        families_of(spec(**given))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keys": (11,)}, "keys: at most 10"),
        ({"keys": (2,), "heads": (5,)}, "heads: at most 4"),
        ({"dim": 9}, "1..8"),
        ({"depth": 3}, "at most 2"),
        ({"depth": 2, "layer": 1}, "layer 0 on"),
    ],
)
def test_weights_that_are_not_there(given, words):
    one = of_model(**given)
    with pytest.raises(InvalidInput, match=words):
        plan(one, families_of(one))


def test_position_is_the_last_token():
    source = Source(path=shipped(), text=TEXT, position=3)
    with pytest.raises(InvalidInput, match="position"):
        families_of(spec(families=("weights",), source=source))
