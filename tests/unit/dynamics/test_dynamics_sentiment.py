"""The hardmax sentiment classifier on a made-up corpus with planted meaning."""

from __future__ import annotations

import numpy as np
import pytest

from tropattn.dynamics.hardmax import Hardmax
from tropattn.dynamics.sentiment import SentimentModel, load_sentiment
from tropattn.dynamics.trajectory import simulate
from tropattn.errors import InvalidInput

NEUTRAL = ["the", "film", "was", "a", "story", "about", "people"]
POSITIVE, NEGATIVE = ["great", "lovely"], ["awful", "dull"]


def corpus(n, seed):
    """Texts of neutral words with one to three words of meaning; labels."""
    stream = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        label = int(stream.integers(2))
        meaning = stream.choice(POSITIVE if label else NEGATIVE, int(stream.integers(1, 4)))
        words = [*stream.choice(NEUTRAL, 10), *meaning]
        texts.append(" ".join(stream.permutation(words)))
        labels.append(label)
    return texts, np.array(labels)


@pytest.fixture(scope="module")
def model():
    stream = np.random.default_rng(51)
    words = ["<pad>", "<unk>", *NEUTRAL, *POSITIVE, *NEGATIVE]
    table = 0.2 * stream.standard_normal((len(words), 2))
    table[0] = 0.0
    table[-4:] = [[2.0, 0.3], [2.2, -0.4], [-2.0, 0.2], [-2.1, -0.3]]
    return SentimentModel(words, table, [1.0, 0.0], 0.0, 1.0, layers=8, length=16)


def test_planted_meaning_is_read_and_leads(model):
    texts, labels = corpus(200, 0)
    assert model.accuracy(model.ids(texts), labels) == 1.0
    names = {leader.word for leader in model.leaders(model.ids(texts), top=4)}
    assert names == {*POSITIVE, *NEGATIVE}


def test_layers_are_those_of_the_hardmax_engine(model):
    ids = model.ids(corpus(3, 1)[0])
    for row in ids:
        run = simulate(Hardmax(1.0, ties="first"), model.embedding[row], 8)
        wanted = float(run.states[-1].mean(axis=0) @ model.weight)
        assert model.logits(row[None])[0] == pytest.approx(wanted, abs=1e-13)


def test_words_are_cut_padded_and_unknown(model):
    ids = model.ids(["Great<br />xyzzy " + "film " * 40])
    assert ids.shape == (1, 16)
    assert [model.words[i] for i in ids[0, :3]] == ["great", "<unk>", "film"]


def test_files_round_trip_and_bad_ones_are_named(model, tmp_path):
    path = tmp_path / "m.npz"
    np.savez(
        path,
        embedding=model.embedding,
        words=np.array(model.words),
        alpha=1.0,
        weight=model.weight,
        bias=0.0,
        layers=8,
        length=16,
    )
    again, held = load_sentiment(path)
    ids = model.ids(["great film"])
    assert again.logits(ids) == model.logits(ids)
    assert held == {}
    with pytest.raises(InvalidInput, match="path"):
        load_sentiment(tmp_path / "none.npz")
    with pytest.raises(InvalidInput, match="ids"):
        model.logits(np.array([[99]]))
