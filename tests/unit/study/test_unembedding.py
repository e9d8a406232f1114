"""Words that can never be said: planted ones, balls, small cases by brute force."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from reference import steering as reference
from safetensors.numpy import save_file

import tropattn as ta
from tropattn.attention.evaluated.norms import LayerNorm, RMSNorm
from tropattn.cli.options import shipped
from tropattn.errors import Interrupted, InvalidInput
from tropattn.record import Record
from tropattn.study import unembedding
from tropattn.study.jobs import look
from tropattn.study.unembedding import Unembedding, UnembeddingSpec, read_unembedding, run, words
from tropattn.tropical.geometry.live_terms import TermBlocks

SPEC = UnembeddingSpec(path="")


def asked(rows, bias=None, norm=None):
    last = Unembedding(np.asarray(rows), bias, norm, [f"w{i}" for i in range(len(rows))])
    record = words(last, SPEC)
    return record.tables["unembedding"][0], record.tables["dead"], record.tables["twins"]


def without_rows(name):
    """The columns of a table of a record that has no rows."""
    return Record("", {}, {}, {name: []}).table(name).columns


def planted(n, dim, each, seed=0):
    """Even integer rows, midpoints of pairs of them, means of a tenth of them."""
    rng = np.random.default_rng(seed)
    rows = 2.0 * rng.integers(-50, 51, (n, dim))
    pairs = rng.integers(0, n, (each, 2))
    pairs[:, 1] = np.where(pairs[:, 0] == pairs[:, 1], (pairs[:, 1] + 1) % n, pairs[:, 1])
    middles = (rows[pairs[:, 0]] + rows[pairs[:, 1]]) / 2
    means = [rows[rng.choice(n, n // 10, replace=False)].mean(axis=0) for _ in range(each)]
    return np.vstack([rows, middles, means]), pairs


def check_planted(n, dim, each):
    rows, pairs = planted(n, dim, each)
    summary, dead, _ = asked(rows)
    assert [row["id"] for row in dead] == list(range(n, n + 2 * each))
    assert without_rows("dead") == list(dead[0])
    assert summary["live"] == summary["sayable"] == n
    for row, pair in zip(dead[:each], pairs.tolist(), strict=True):
        # Dead on the very boundary: half of each end.
        assert set(row["others"]) == {f"w{i}" for i in pair}
        assert row["weights"] == [0.5, 0.5] and row["second"]
    found = ta.live_terms(ta.TropicalPolynomial(rows))
    for start in range(0, n, 500):
        scores = found.witnesses[start : start + 500] @ rows.T
        assert (scores.argmax(axis=1) == found.live[start : start + 500]).all()
    for j in range(n + each, n + 2 * each):
        others, weights = found.combinations[j]
        assert np.abs(weights @ rows[others] - rows[j]).max() < 1e-9 and weights.min() >= 0


def test_planted_dead_rows_are_all_found():
    check_planted(800, 24, 6)


@pytest.mark.slow
def test_planted_dead_rows_among_twenty_thousand():
    """Run ``pytest -m slow -k twenty_thousand``: half a minute of one core."""
    check_planted(20_000, 256, 20)


@pytest.mark.parametrize("norm", [None, LayerNorm(np.ones(5), np.full(5, 0.3))])
def test_blocks_of_words_are_decided_once(tmp_path, monkeypatch, norm):
    """A job that is stopped goes on with the next block, to the record of one without a job."""
    rng = np.random.default_rng(4)
    rows, bias = rng.integers(-3, 4, (90, 5)).astype(float), rng.integers(-2, 3, 90).astype(float)
    last = Unembedding(rows, bias, norm, [f"w{i}" for i in range(90)])
    monkeypatch.setattr(unembedding, "_BLOCK", 20)
    expected = words(last, SPEC).tables
    assert 0 < expected["unembedding"][0]["live"] < 89
    spec = replace(SPEC, path="a.npz", job=str(tmp_path / "words.job"))
    decided, calls, most = TermBlocks.decided, [], 2

    def counted(self, start, *given):
        if len(calls) == most:
            raise KeyboardInterrupt
        calls.append(start)
        return decided(self, start, *given)

    monkeypatch.setattr(TermBlocks, "decided", counted)
    with pytest.raises(Interrupted) as error:
        words(last, spec)
    assert 2 <= error.value.lower <= 40
    (row,) = look(spec.job).tables["searches"]
    assert (row["merge"], row["done"], row["open"]) == ("union", 2, 4 if norm is None else 9)
    most = 5
    for _ in range(2):
        assert words(last, spec).tables == expected
        assert calls == [0, 20, 40, 60, 80]


def test_equal_rows_are_one_word():
    rows = [[1, 0], [0, 1], [1, 0], [-1, -1], [0, 1], [0, 1]]
    summary, dead, twins = asked(rows)
    assert summary["words"] == 6 and summary["distinct"] == summary["live"] == 3 and not dead
    assert [group["ids"] for group in twins] == [[0, 2], [1, 4, 5]]
    assert without_rows("twins") == list(twins[0])


def test_a_norm_without_offset_changes_nothing_and_layer_norm_its_hyperplane():
    rows = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [5, 5, 5]]
    assert asked(rows)[0]["live"] == 4
    assert asked(rows, norm=RMSNorm([1, -2, 3]))[0]["live"] == 4
    # On the hyperplane the last row is 0, in the middle of the others.
    summary, dead, _ = asked(rows, norm=LayerNorm([1, 1, 1]))
    assert summary["live"] == 3 and [row["id"] for row in dead] == [3]
    assert summary["reachable"] is None
    # A scale of 0 takes a coordinate away.
    assert asked([[1, 0], [-1, 0], [0, 1]], norm=RMSNorm([1, 0]))[0]["live"] == 2


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
@pytest.mark.parametrize("seed", range(6))
def test_a_ball_against_brute_force(norm, seed):
    rng = np.random.default_rng(seed)
    dim, n = 3, 7
    rows = rng.integers(-3, 4, (n, dim)).astype(float)
    bias = rng.integers(-6, 7, n).astype(float)
    made = norm([1, 1, 1])
    summary, dead, _ = asked(rows, bias, made)
    slopes = [[Fraction(int(v)) for v in row] for row in rows]
    if norm is LayerNorm:
        slopes = [[v - sum(row) / 3 for v in row] for row in slopes]
    unsaid = {row["id"] for row in dead}
    firsts = {(*slopes[i], bias[i]): i for i in reversed(range(n))}
    live = 0
    for key in sorted(firsts.values()):
        offsets = [Fraction(int(b)) for b in bias]
        vector = reference.least(reference.walls(slopes, offsets, key, [Fraction(0)] * 3), 3)
        within = vector is not None and reference.inner(vector, vector) < dim
        assert within or key in unsaid
        if key not in unsaid:
            live += 1
    assert live == summary["sayable"]
    many = made(5 * rng.standard_normal((50_000, dim)))
    said = set((many @ rows.T + bias).argmax(axis=1).tolist())
    assert not said & unsaid


@pytest.mark.long
def test_second_words_are_second():
    rows, _ = planted(60, 5, 4, seed=3)
    _, dead, _ = asked(rows)
    scores = np.random.default_rng(0).standard_normal((400_000, 5)) @ rows.T
    places = [(scores > scores[:, [row["id"]]]).sum(axis=1).min() for row in dead]
    assert min(places) == 1
    # Found is proved, not found says nothing; a far-away mean is never second.
    for row, place in zip(dead, places, strict=True):
        assert not row["second"] or place <= 2
    assert sum(row["second"] for row in dead) >= 4
    inner = np.vstack([rows, np.zeros((1, 5))])
    assert not asked(inner)[1][-1]["second"]


def write(folder, kind, tensors, **config):
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **config}))
    return str(folder)


def test_where_families_keep_their_last_map(tmp_path):
    rng = np.random.default_rng(0)
    rows, other = rng.standard_normal((2, 6, 4)).astype(np.float32)
    weight, bias = rng.standard_normal((2, 4)).astype(np.float32)
    names = [tmp_path / name for name in ("tied", "untied", "gpt2", "bert", "other")]
    for name in names:
        name.mkdir()
    norm = {"model.norm.weight": weight}
    one = {"model.embed_tokens.weight": rows, **norm}
    tied = read_unembedding(write(names[0], "llama", one, tie_word_embeddings=True))
    assert (tied.rows == rows).all() and isinstance(tied.norm, RMSNorm) and tied.bias is None
    # The reference does not tie a Llama that does not say so: this one has no map to words.
    with pytest.raises(InvalidInput, match=r"one of the tensors lm_head.weight needed"):
        read_unembedding(write(names[0], "llama", one))
    both = {"model.embed_tokens.weight": other, "lm_head.weight": rows, **norm}
    assert (read_unembedding(write(names[1], "qwen2", both)).rows == rows).all()
    gpt2 = {"wte.weight": rows, "ln_f.weight": weight, "ln_f.bias": bias}
    found = read_unembedding(write(names[2], "gpt2", gpt2))
    assert isinstance(found.norm, LayerNorm) and (found.norm.bias == bias).all()
    stem = "cls.predictions.transform.LayerNorm"
    bert = {
        "bert.embeddings.word_embeddings.weight": rows,
        "cls.predictions.bias": np.arange(6, dtype=np.float32),
        f"{stem}.weight": weight,
        f"{stem}.bias": bias,
    }
    found = read_unembedding(write(names[3], "bert", bert))
    assert found.bias is not None and found.bias.tolist() == list(range(6))
    record = run(UnembeddingSpec(path=str(names[3])))
    assert record.tables["unembedding"][0]["words"] == 6
    with pytest.raises(InvalidInput, match="a model_type whose last map is known"):
        read_unembedding(write(names[4], "gemma", {"x": rows}))
    with pytest.raises(InvalidInput, match="the model has no map to words"):
        read_unembedding(write(names[4], "bert", {"x": rows}))


def test_the_shipped_model_says_all_its_words():
    summary = run(UnembeddingSpec(path=shipped())).tables["unembedding"][0]
    assert summary["words"] == summary["sayable"] == 11
