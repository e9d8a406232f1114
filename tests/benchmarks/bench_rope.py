"""Rotary positions against none: states of a small Llama and of a GPT-2 of equal shape.

python tests/benchmarks/bench_rope.py [tokens]

Processor seconds of ``Model.states``, alternating in one process, and their ratio. A GPT-2 layer
has its learned positions, an MLP of two matrices in place of three, and no rotation.
"""

import sys
import time

import numpy as np

from tropattn.attention.evaluated.blocks import MLP, Block
from tropattn.attention.evaluated.norms import LayerNorm, RMSNorm
from tropattn.attention.heads.layer import AttentionLayer
from tropattn.attention.heads.rotary import RotaryEmbedding
from tropattn.attention.networks.model import Model

LAYERS, HEADS, D, INNER, V = 2, 4, 64, 128, 100


def model(rotary, n_tokens):
    rng = np.random.default_rng(0)
    layers, norms, blocks = [], [], []
    for _ in range(LAYERS):
        cut = (HEADS, D, D // HEADS)
        arrays = [rng.normal(size=cut) / 8 for _ in range(3)]
        rope = RotaryEmbedding(1e4) if rotary else None
        out = rng.normal(size=(HEADS, D // HEADS, D)) / 8
        layers.append(AttentionLayer.from_arrays(*arrays, out, rope=rope, residual=False))
        norm = RMSNorm(np.ones(D)) if rotary else LayerNorm(np.ones(D))
        norms.append(norm)
        up, down = rng.normal(size=(D, INNER)) / 8, rng.normal(size=(INNER, D)) / 8
        mlp = MLP(up, None, down, None, "silu", up) if rotary else MLP(up, None, down, None, "gelu")
        blocks.append(Block(mlp, norm, norm_first=True))
    positions = None if rotary else rng.normal(size=(n_tokens, D))
    embedding = rng.normal(size=(V, D))
    return Model(layers, embedding, positions=positions, norms=norms, blocks=blocks)


def main(n_tokens=4000):
    models = {"gpt2": model(False, n_tokens), "llama": model(True, n_tokens)}
    ids = np.random.default_rng(1).integers(0, V, n_tokens)
    spent = {name: [] for name in models}
    for _ in range(3):
        for name, made in models.items():
            start = time.process_time()
            made.states(ids)
            spent[name].append(time.process_time() - start)
    best = {name: min(times) for name, times in spent.items()}
    print(f"{n_tokens} tokens, {LAYERS} layers of {HEADS} heads, d = {D}")
    for name, seconds in best.items():
        print(f"{name}: {seconds:.2f} s")
    print(f"ratio {best['llama'] / best['gpt2']:.2f}")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
