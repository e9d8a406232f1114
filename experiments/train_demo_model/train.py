"""Train the small attention-only transformer that the package ships, or evaluate a stored one.

The network reads nine digits and "=" and names the largest digit. Training needs PyTorch;
``--evaluate FILE`` needs only NumPy and safetensors.
"""

from __future__ import annotations

import argparse
import json
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as serialise

VOCABULARY = [*"0123456789", "="]
EQUALS = VOCABULARY.index("=")
DIGITS = 9
LENGTH = DIGITS + 1
LAYERS, HEADS, D_MODEL, D_HEAD = 2, 4, 8, 4
SCALE = 1 / math.sqrt(D_HEAD)
BATCH = 512
EVERY = 250  # steps between progress lines, and between checkpoints
LEARNING_RATE = 5e-3
SHARPNESS = 8.0  # a power of two, so that folding it into the weights rounds nothing
TEST_SEED = 2024

Weights = dict[str, np.ndarray]


# ---------------------------------------------------------------------------------------- data


def in_test_split(lists: np.ndarray) -> np.ndarray:
    """Tell which lists are kept out of training: those whose decimal number 7 divides.

    Every digit influences the remainder, so no digit or place is missing from either side.
    """
    return (lists @ 10 ** np.arange(DIGITS - 1, -1, -1)) % 7 == 0


def draw_lists(
    rng: np.random.Generator, count: int, *, test: bool, uniform: bool = False
) -> np.ndarray:
    """Draw lists of digits from one side of the split.

    Independent uniform digits have the maximum 9 in three lists out of five and almost never one
    below 6. Unless ``uniform``, an upper limit is therefore drawn first for each list.
    """
    limits = np.full(count, 9) if uniform else rng.integers(0, 10, count)
    lists = np.zeros((count, DIGITS), dtype=np.int64)
    # The limit stays while digits are drawn again, so the split does not tilt the limits. The
    # only list with answer 0 has to serve both sides.
    missing = np.flatnonzero(limits > 0)
    while missing.size:
        lists[missing] = rng.integers(0, limits[missing, None] + 1, (missing.size, DIGITS))
        missing = missing[in_test_split(lists[missing]) != test]
    return lists


def fixed_test_lists() -> dict[str, np.ndarray]:
    """Return the two fixed test sets, each without repeated lists."""
    rng = np.random.default_rng(TEST_SEED)
    return {
        "balanced": np.unique(draw_lists(rng, 30_000, test=True), axis=0),
        "uniform": np.unique(draw_lists(rng, 25_000, test=True, uniform=True), axis=0),
    }


def prompts(lists: np.ndarray) -> np.ndarray:
    """Append the token "=" to each list."""
    return np.pad(lists, ((0, 0), (0, 1)), constant_values=EQUALS)


# ---------------------------------------------------------------------------- NumPy evaluation


def soft_weights(scores: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def hard_weights(scores: np.ndarray) -> np.ndarray:
    """Argmax over the last axis; tied positions share the weight equally."""
    best = (scores == scores.max(axis=-1, keepdims=True)).astype(scores.dtype)
    return best / best.sum(axis=-1, keepdims=True)


def forward(
    weights: Weights, tokens: np.ndarray, attend: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the logits at the last position and each layer's attention weights there."""
    x = weights["embedding"][tokens] + weights["positions"][: tokens.shape[1]]
    future = np.triu(np.ones((tokens.shape[1], tokens.shape[1]), dtype=bool), k=1)
    patterns = []
    for layer in range(LAYERS):
        part = {name: weights[f"layers.{layer}.{name}"] for name in layer_shapes()}
        stream = x[:, None]  # one copy for each head
        queries = stream @ part["W_Q"] + part["b_Q"][:, None]
        scores = SCALE * queries @ (stream @ part["W_K"]).swapaxes(-1, -2)
        pattern = attend(np.where(future, -np.inf, scores))
        patterns.append(pattern[:, :, -1])
        x = x + (pattern @ (stream @ part["W_V"]) @ part["W_O"]).sum(axis=1) + part["b_O"]
    return x[:, -1] @ weights["unembedding"] + weights["b_U"], patterns


def accuracy(
    weights: Weights, lists: np.ndarray, attend: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, float]:
    """Return the share of right answers, overall and for the answer that fares worst."""
    logits, _ = forward(weights, prompts(lists), attend)
    answers = lists.max(axis=1)
    right = logits.argmax(axis=1) == answers
    return float(right.mean()), min(float(right[answers == a].mean()) for a in np.unique(answers))


def report(weights: Weights) -> None:
    """Print the accuracies on the fixed test sets and a few figures on the heads."""
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    sets = fixed_test_lists()
    for name, lists in sets.items():
        for kind, attend in (("soft", soft_weights), ("hard", hard_weights)):
            overall, worst = accuracy(weights, lists, attend)
            print(
                f"{name:8s} {len(lists)} lists  {kind} accuracy {100 * overall:7.3f} %"
                f"  (answer that fares worst: {100 * worst:7.3f} %)"
            )
    # Distinct patterns show at a glance whether heads have merged or fallen asleep.
    _, patterns = forward(weights, prompts(sets["balanced"]), hard_weights)
    for layer, pattern in enumerate(patterns):
        chosen = pattern.argmax(axis=-1)
        same = (chosen[:, :, None] == chosen[:, None]).mean(axis=0)
        print(f"layer {layer}  |b_Q| per head:", *_norms(weights[f"layers.{layer}.b_Q"]))
        for head in range(HEADS):
            form = weights[f"layers.{layer}.W_Q"][head] @ weights[f"layers.{layer}.W_K"][head].T
            values = np.linalg.svd(form, compute_uv=False)[:D_HEAD]
            share = np.bincount(chosen[:, head], minlength=LENGTH) / len(chosen)
            print(
                f"  head {head}  singular values of W_Q W_K^T:",
                *(f"{value:.2f}" for value in values),
                " same choice as heads 0-3:",
                *(f"{100 * s:.0f}%" for s in same[head]),
                f" chooses '=': {100 * share[-1]:.0f}%",
            )


def _norms(rows: np.ndarray) -> list[str]:
    return [f"{norm:.3f}" for norm in np.linalg.norm(rows, axis=-1)]


# ------------------------------------------------------------------------------------- storage


def layer_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of one layer's arrays."""
    return {
        "W_Q": (HEADS, D_MODEL, D_HEAD),
        "b_Q": (HEADS, D_HEAD),
        "W_K": (HEADS, D_MODEL, D_HEAD),
        "W_V": (HEADS, D_MODEL, D_HEAD),
        "W_O": (HEADS, D_HEAD, D_MODEL),
        "b_O": (D_MODEL,),
    }


def all_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of every stored array."""
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (len(VOCABULARY), D_MODEL),
        "positions": (LENGTH, D_MODEL),
        "unembedding": (D_MODEL, len(VOCABULARY)),
        "b_U": (len(VOCABULARY),),
    }
    for layer in range(LAYERS):
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in layer_shapes().items()}
    return shapes


def save(weights: Weights, path: Path) -> None:
    """Write the weights under a temporary name, then move the file into place."""
    metadata = {
        "format": "tropattn",
        "version": "1",
        "vocabulary": json.dumps(VOCABULARY),
        "causal": "true",
        "scale": str(SCALE),
        "task": "The largest of nine digits, answered at the closing = sign.",
        "trained_by": "experiments/train_demo_model/train.py",
    }
    content = serialise(weights)
    # The library writes metadata in an arbitrary order; placed here instead, it makes equal
    # weights equal files. The header is padded to a multiple of eight bytes.
    size = int.from_bytes(content[:8], "little")
    header = json.dumps({"__metadata__": metadata} | json.loads(content[8 : 8 + size])).encode()
    header += b" " * (-len(header) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(len(header).to_bytes(8, "little") + header + content[8 + size :])
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Weights:
    """Read a stored model and check that it has the arrays this script writes."""
    with safe_open(path, framework="numpy") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if {name: array.shape for name, array in weights.items()} != all_shapes():
        raise SystemExit(f"{path}: not a model of this script")
    return weights


# ------------------------------------------------------------------------------------ training


def sharpness_at(step: int, steps: int) -> float:
    """Return the factor on all scores: 1 at first, then growing to ``SHARPNESS`` and held."""
    progress = (step / steps - 0.3) / 0.5
    return SHARPNESS ** min(max(progress, 0.0), 1.0)


def train(steps: int, seed: int, checkpoints: Path | None) -> Weights:
    """Train with Adam while the attention is sharpened towards argmax."""
    import torch

    torch.set_num_threads(1)  # tiny matrices; also keeps the order of sums, hence the result
    rng = np.random.default_rng(seed)

    def start(name: str, shape: tuple[int, ...]) -> np.ndarray:
        # b_Q starts random: from zero it could stay so small that heads remain nearly central.
        deviation = {"b_Q": 1.0, "b_O": 0.0, "b_U": 0.0}.get(name.rpartition(".")[2])
        if deviation is None:
            deviation = 0.5 if name in ("embedding", "positions") else shape[-2] ** -0.5
        return deviation * rng.standard_normal(shape)

    parameters = {
        name: torch.tensor(start(name, shape), dtype=torch.float32, requires_grad=True)
        for name, shape in all_shapes().items()
    }
    optimiser = torch.optim.Adam(parameters.values(), lr=LEARNING_RATE)
    future = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)

    def logits(tokens: Any, sharpness: float) -> Any:
        x = parameters["embedding"][tokens] + parameters["positions"]
        for layer in range(LAYERS):
            w_q, b_q, w_k, w_v, w_o, b_o = (
                parameters[f"layers.{layer}.{name}"] for name in layer_shapes()
            )
            stream = x[:, None]
            queries = stream @ w_q + b_q[:, None]
            scores = sharpness * SCALE * queries @ (stream @ w_k).transpose(-1, -2)
            pattern = scores.masked_fill(future, -math.inf).softmax(-1)
            x = x + (pattern @ (stream @ w_v) @ w_o).sum(1) + b_o
        return x[:, -1] @ parameters["unembedding"] + parameters["b_U"]

    def folded(sharpness: float) -> Weights:
        # Stored weights are read at sharpness 1: queries are linear in W_Q and b_Q together.
        return {
            name: value.detach().double().numpy()
            * (sharpness if name.endswith(("W_Q", "b_Q")) else 1.0)
            for name, value in parameters.items()
        }

    # Progress is judged on the training side; the test sets wait for the end.
    sample = draw_lists(np.random.default_rng(seed + 1), 5_000, test=False)
    begin = time.perf_counter()
    for step in range(1, steps + 1):
        sharpness = sharpness_at(step, steps)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-5
        lists = draw_lists(rng, BATCH, test=False)
        tokens, answers = torch.from_numpy(prompts(lists)), torch.from_numpy(lists.max(axis=1))
        loss = torch.nn.functional.cross_entropy(logits(tokens, sharpness), answers)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimiser.step()
        # Most of the learning happens in the first hundreds of steps, hence the powers of two.
        if step % EVERY == 0 or step == steps or (step < EVERY and step.bit_count() == 1):
            now = folded(sharpness)
            shares = [100 * accuracy(now, sample, way)[0] for way in (soft_weights, hard_weights)]
            print(
                f"step {step:6d}  sharpness {sharpness:5.2f}  loss {loss.item():.6f}"
                f"  training lists: soft {shares[0]:6.2f} %  hard {shares[1]:6.2f} %"
                f"  {time.perf_counter() - begin:5.0f} s",
                flush=True,
            )
            if checkpoints is not None:
                save(now, checkpoints / f"step-{step:06d}.safetensors")
    return folded(sharpness_at(steps, steps))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("maximum.safetensors"))
    parser.add_argument("--checkpoints", type=Path, metavar="DIR", help="store weights on the way")
    parser.add_argument("--evaluate", type=Path, metavar="FILE", help="only test a stored model")
    options = parser.parse_args()
    if options.evaluate is not None:
        if not options.evaluate.is_file():
            parser.error(f"{options.evaluate}: no such file")
        report(load(options.evaluate))
        return
    if options.steps < 1:
        parser.error("--steps must be at least 1")
    weights = train(options.steps, options.seed, options.checkpoints)
    save(weights, options.output)
    report(load(options.output))


if __name__ == "__main__":
    main()
