"""Deep slices of models with norms: the frozen network against the model it is made from (T12)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from reference import deep

import tropattn as ta
from tropattn import AttentionLayer, Slice
from tropattn.attention.evaluated.blocks import MLP, Block
from tropattn.attention.evaluated.norms import LayerNorm, RMSNorm
from tropattn.attention.evaluated.patches import Patches
from tropattn.attention.loading.safetensor import TensorFile
from tropattn.attention.networks.approximation import approximate_network, entering_states
from tropattn.attention.networks.model import Model
from tropattn.attention.networks.network import Network
from tropattn.cli.commands import main
from tropattn.errors import InvalidInput
from tropattn.study.inputs import Source, open_target
from tropattn.tropical.terms import AffineMap

D, HEADS, UNITS, VOCABULARY = 6, 2, 7, 9


def random_model(
    seed, norm_first, *, kind="layer", causal=True, activation="relu", depth=3, projected=False
):
    """A small model with norms and MLPs, as the loaders build them."""
    rng = np.random.default_rng(seed)
    entry = 4 if projected else D

    def norm(width):
        weight, bias = rng.normal(1, 0.3, width), rng.normal(0, 0.3, width)
        return LayerNorm(weight, bias) if kind == "layer" else RMSNorm(weight)

    layers, norms, blocks = [], [], []
    for index in range(depth):
        arrays = [rng.normal(size=(HEADS, D, 3)) for _ in range(3)]
        out = rng.normal(size=(HEADS, 3, D))
        biases = [rng.normal(size=(HEADS, 3)) for _ in range(3)]
        layers.append(
            AttentionLayer.from_arrays(
                *arrays, out, *biases, rng.normal(size=D), residual=not norm_first
            )
        )
        norms.append(norm(entry if index == 0 else D))
        first, second = rng.normal(size=(D, UNITS)), rng.normal(size=(UNITS, D))
        mlp = MLP(first, rng.normal(size=UNITS), second, rng.normal(size=D), activation)
        blocks.append(Block(mlp, norm(D), norm_first))
    projection = AffineMap(rng.normal(size=(entry, D)), rng.normal(size=D)) if projected else None
    return Model(
        layers,
        rng.normal(size=(VOCABULARY, entry)),
        positions=rng.normal(size=(8, entry)),
        norms=norms,
        blocks=blocks,
        causal=causal,
        projection=projection,
    )


# ---- the definition, once more ------------------------------------------------------------------


def normal(norm, rows):
    """The norm by its definition."""
    if isinstance(norm, LayerNorm):
        centred = rows - rows.mean(axis=1, keepdims=True)
        scale = np.sqrt(rows.var(axis=1, keepdims=True) + norm.eps)
        return norm.weight * centred / scale + norm.bias
    return norm.weight * rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + norm.eps)


def attention(layer, rows, causal):
    """Soft attention of all tokens, without the residual."""
    total = np.zeros_like(rows) + layer.b_O
    for head in layer.heads:
        q, k, v = rows @ head.W_Q + head.b_Q, rows @ head.W_K + head.b_K, rows @ head.W_V + head.b_V
        scores = q @ k.T / np.sqrt(3)
        if causal:
            scores[np.triu_indices(len(rows), 1)] = -np.inf
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        total += (weights / weights.sum(axis=1, keepdims=True)) @ v @ head.W_O
    return total


def streams(model, ids, norm_first):
    """What enters layer 0 and what leaves each layer, by the definition of the model."""
    rows = model.embedding[ids] + model.positions[: len(ids)]
    if not norm_first:
        rows = normal(model.norms[0], rows)
        if model.projection is not None:
            rows = rows @ model.projection.matrix + model.projection.offset
    found = [rows]
    for index, (layer, block) in enumerate(zip(model.layers, model.blocks, strict=True)):

        def mlp(x, block=block):
            return np.maximum(x @ block.mlp.W_1 + block.mlp.b_1, 0) @ block.mlp.W_2 + block.mlp.b_2

        if norm_first:
            rows = rows + attention(layer, normal(model.norms[index], rows), model.causal)
            rows = rows + mlp(normal(block.norm, rows))
        else:
            if index:
                rows = normal(model.norms[index], rows)
            rows = normal(block.norm, rows + attention(layer, rows, model.causal))
            rows = rows + mlp(rows)
        found.append(rows)
    return found


CASES = [
    {"norm_first": True},
    {"norm_first": True, "kind": "rms"},
    {"norm_first": True, "causal": False},
    {"norm_first": False, "causal": False},
    {"norm_first": False, "kind": "rms"},
    {"norm_first": False, "causal": False, "projected": True},
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("own_value", ["fixed", "live"])
def test_at_the_reference_it_is_the_model(case, own_value):
    """Temperature 1 at the token's own state: the stream of the model, layer by layer."""
    for seed in range(5):
        model = random_model(seed, **case)
        ids = np.random.default_rng(seed).integers(0, VOCABULARY, 5)
        place = 2 + seed % 3
        net = model.network(ids, place, own_value=own_value, approximate=True)
        assert isinstance(net, Network)
        rows, found_place = entering_states(model, ids, place)
        expected = streams(model, ids[: place + 1] if model.causal else ids, case["norm_first"])
        assert found_place == place
        assert np.allclose(rows, expected[0], rtol=0, atol=1e-12)
        state, ends = rows[place], iter(expected[1:])
        for layer in net.layers:
            state = layer(state, 1)
            if isinstance(layer, ta.FeedForward):
                assert np.allclose(state, next(ends)[place], rtol=1e-12, atol=1e-12)
        assert next(ends, None) is None
        assert net.approximation == "norms frozen at this context's scales"
        assert net.approximation in repr(net)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_enters_the_heads_is_what_states_says(case):
    """The next layer's norm of the stream that the slice leaves, against ``Model.states``."""
    model = random_model(3, **case)
    ids, place = [1, 2, 3, 4], 3
    entering = model.states(ids)
    for depth in range(1, 3):
        cut = Model(
            model.layers[:depth],
            model.embedding,
            positions=model.positions,
            norms=model.norms[:depth],
            blocks=model.blocks[:depth],
            causal=model.causal,
            projection=model.projection,
        )
        net = cut.network(ids, place, approximate=True)
        stream = net(entering_states(cut, ids, place)[0][place], 1)
        norm = model.norms[depth](stream[None])[0]
        assert np.allclose(norm, entering[depth][place], rtol=1e-12, atol=1e-12)


def test_activations_are_replaced_and_named():
    """A GELU model gives the weights of a ReLU one, with its own scales."""
    gelu = random_model(1, norm_first=True, activation="gelu")
    net = gelu.network([1, 2, 3], approximate=True)
    assert net.approximation == "norms frozen at this context's scales, gelu replaced by ReLU"
    rows, place = entering_states(gelu, [1, 2, 3], -1)
    one = Model(
        gelu.layers[:1],
        gelu.embedding,
        positions=gelu.positions,
        norms=gelu.norms[:1],
        blocks=gelu.blocks[:1],
    )
    block = one.blocks[0]
    stream = rows[place] + attention(one.layers[0], normal(one.norms[0], rows), True)[place]
    inner = normal(block.norm, stream[None]) @ block.mlp.W_1 + block.mlp.b_1
    expected = stream + (np.maximum(inner, 0) @ block.mlp.W_2 + block.mlp.b_2)[0]
    found = one.network([1, 2, 3], approximate=True)(rows[place], 1)
    assert np.allclose(found, expected, atol=1e-12)


def token_window(model, ids, scale):
    """A window of the plane through the last token's state and two others."""
    rows, place = entering_states(model, ids, -1)
    basis = np.array([rows[0] - rows[place], rows[1] - rows[place]])
    return Slice(rows[place], basis, [[-scale, -scale], [scale, scale]])


@pytest.mark.long
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("own_value", ["fixed", "live"])
def test_counts_on_a_plane_against_samples_and_a_grid(norm_first, own_value):
    """Sampler and grid are lower bounds, and see most cells of a coarse window."""
    model = random_model(4, norm_first, depth=2)
    ids = [1, 5, 2, 7]
    net = model.network(ids, own_value=own_value, approximate=True)
    plane = token_window(model, ids, 1.0)
    exact = ta.count_regions(net, plane, threads=1)
    assert exact.kind == "exact"
    side = np.linspace(-0.999, 0.999, 80)
    grid = np.array([[a, b] for a in side for b in side])
    matrix, offset = plane.embedding
    seen = len(np.unique(net.routing(grid @ matrix + offset), axis=0))
    sampled = ta.sample_regions(net, 5000, seed=0, domain=plane, method="lines", threads=1)
    assert 0.4 * exact.value < seen <= exact.value
    assert sampled.value <= exact.value <= ta.upper_bound(net, plane).value
    assert ta.count_regions(net, plane, of="linear_regions", threads=1).value <= exact.value


def test_a_tiny_slice_by_brute_force():
    """One layer, one head, two tokens, two ReLU units, d = 2: from the folded doubles."""
    rng = np.random.default_rng(8)
    one = rng.integers(-2, 3, (4, 1, 2, 2)).astype(float)
    layer = AttentionLayer.from_arrays(*one, scale=1, residual=False)
    mlp = MLP(rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=(2, 2)), None, "relu")
    norms = [LayerNorm([1, 2], [0, 1]), LayerNorm([2, 1], [1, 0])]
    model = Model(
        [layer], [[1, 3], [2, -1]], norms=norms[:1], blocks=[Block(mlp, norms[1], norm_first=True)]
    )
    net = model.network([0, 1], own_value="live", approximate=True)
    fixed, block = net.layers
    assert fixed.own is not None
    own = [(value.term, value.matrix.tolist()) for value in fixed.own if value is not None]
    terms = [(head.exact_terms().tolist()) for head in fixed.heads]
    reference = [
        {
            "kind": "attention",
            "units": [
                (
                    [[Fraction(int(v.p), int(v.q)) for v in row[:-1]] for row in rows],
                    [Fraction(int(row[-1].p), int(row[-1].q)) for row in rows],
                )
                for rows in terms
            ],
            "values": [v.tolist() for v in fixed.values],
            "offset": fixed.b_O.tolist(),
            "residual": True,
            "own": own,
        },
        {
            "kind": "relu",
            "W_1": block.W_1.tolist(),
            "b_1": block.b_1.tolist(),
            "W_2": block.W_2.tolist(),
            "b_2": block.b_2.tolist(),
            "residual": True,
        },
    ]
    square = [([1, 0], 9), ([-1, 0], 9), ([0, 1], 9), ([0, -1], 9)]
    expected = deep.pieces(reference, ([[1, 0], [0, 1]], [0, 0]), square)
    box = ta.Box.cube(-9, 9, 2)
    assert ta.count_regions(net, box).value == len(expected) > 2
    regions = ta.count_regions(net, box, of="linear_regions").value
    assert regions == deep.linear_regions(expected)


def test_images():
    """A model of patches: the slice of its class token, at that token's state."""
    rng = np.random.default_rng(5)
    text = random_model(6, norm_first=True, causal=False)
    patches = Patches(rng.normal(size=(D, 1, 2, 2)), rng.normal(size=D), rng.normal(size=D), (2, 4))
    parts = {"norms": text.norms, "blocks": text.blocks, "causal": False}
    model = Model(text.layers, None, patches=patches, **parts)
    image = rng.normal(size=(1, 2, 4))
    rows, place = entering_states(model, image, 0)
    found = model.network(image, 0, approximate=True)(rows[place], 1)
    assert rows.shape == (3, D)
    for index, (layer, block) in enumerate(zip(model.layers, model.blocks, strict=True)):
        rows = block(rows + attention(layer, normal(model.norms[index], rows), False))
    assert np.allclose(found, rows[0], atol=1e-12)


# ---- what is refused ----------------------------------------------------------------------------


def test_gates_are_refused():
    """SwiGLU multiplies two moving factors."""
    one, norm = [[[1.0]]], RMSNorm([1.0])
    gated = MLP(np.eye(1), None, np.eye(1), None, "silu", W_gate=np.eye(1))
    layer = AttentionLayer.from_arrays(one, one, one, one, residual=False)
    model = Model([layer], [[1], [2]], norms=[norm], blocks=[Block(gated, norm, True)])
    with pytest.raises(InvalidInput, match="two moving factors"):
        model.network([0, 1], approximate=True)


def test_other_refusals():
    """Without the word, without blocks, without a place, with states."""
    model = random_model(0, norm_first=True)
    with pytest.raises(InvalidInput, match="approximate=True"):
        model.network([1, 2])
    with pytest.raises(InvalidInput, match="an integer needed"):
        model.network([1, 2], position=None, approximate=True)
    with pytest.raises(InvalidInput, match="text or ids"):
        model.network(np.zeros((2, D)), approximate=True)
    bare = Model(model.layers, model.embedding, norms=model.norms)
    with pytest.raises(InvalidInput, match="blocks between them"):
        approximate_network(bare, [1, 2])


def test_attention_only_models_need_no_approximation():
    """There the word changes nothing, and nothing is called an approximation."""
    layer = AttentionLayer.from_arrays([[[1]]], [[[1]]], [[[1]]], [[[1]]])
    model = Model([layer, layer], [[1], [2]])
    net = model.network([0, 1], approximate=True)
    assert net.approximation is None
    assert net([5.0]).tolist() == model.network([0, 1])([5.0]).tolist()


# ---- on the command line ------------------------------------------------------------------------


def test_sources_and_their_variable(monkeypatch):
    """``open_target`` names the approximation in the variable; states are those of the variable."""
    model = random_model(2, norm_first=False, activation="gelu", causal=False)
    none = TensorFile(Path("m"), {}, {}, {})
    monkeypatch.setattr("tropattn.study.inputs._weights", lambda path: (Path(path), none, False))
    monkeypatch.setattr("tropattn.study.inputs.model_of", lambda _: model)
    source = Source(path="m", ids="1,2,3", layer="all", approximate=True)
    opened, _ = open_target(source, None)
    assert opened.variable.endswith(
        "trained network; norms frozen at this context's scales, gelu replaced by ReLU"
    )
    assert np.allclose(opened.states[-1], model.states([1, 2, 3])[0][2])
    with pytest.raises(InvalidInput, match="approximate: the layer all"):
        open_target(Source(path="m", ids="1,2,3", approximate=True), None)
    words = "count m --ids 1,2,3 --layer all --approximate --json --domain box:-1,1 --max-cells 1"
    answer = CliRunner().invoke(main, words.split())
    assert answer.exit_code == 3
    assert "gelu replaced by ReLU" in answer.output


def test_help_explains_the_flag():
    """On the commands that take a whole network."""
    for command in ("count", "bounds", "sample", "plot"):
        words = " ".join(CliRunner().invoke(main, [command, "--help"]).output.split())
        assert "each norm frozen" in words


def test_models_of_transformers():
    """A random GPT-2, BERT and ALBERT with ReLU, loaded as usual."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = {"vocab_size": 11, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2}
    small |= {"num_attention_heads": 2, "max_position_embeddings": 9, "hidden_act": "relu"}
    gpt = {"vocab_size": 11, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 9}
    made = [
        transformers.GPT2Model(transformers.GPT2Config(**gpt, activation_function="relu")),
        transformers.BertModel(transformers.BertConfig(**small)),
        transformers.AlbertModel(transformers.AlbertConfig(**small, embedding_size=4)),
    ]
    for module in made:
        module = module.double().eval()
        model = ta.from_torch(module)
        ids = [3, 1, 4, 1, 5]
        net = model.network(ids, 2, approximate=True)
        rows, place = entering_states(model, ids, 2)
        found = net(rows[place], 1)
        given = torch.tensor([ids[: place + 1] if model.causal else ids])
        with torch.no_grad():
            states = module(given, output_hidden_states=True)
        # GPT-2 closes with a norm, the others normalise behind each block.
        last = module.ln_f if hasattr(module, "ln_f") else None
        closed = states.last_hidden_state[0, place].numpy()
        if last is not None:
            with torch.no_grad():
                found = last(torch.tensor(found)).numpy()
        else:
            norm = [m for m in module.modules() if isinstance(m, torch.nn.LayerNorm)]
            name = "full_layer_layer_norm" if "Albert" in type(module).__name__ else None
            closing = norm[-1]
            if name is not None:
                closing = next(getattr(m, name) for m in module.modules() if hasattr(m, name))
            with torch.no_grad():
                found = closing(torch.tensor(found)).numpy()
        assert np.allclose(found, closed, atol=1e-6)  # some softmaxes work in single precision


def test_own_values_of_a_skeleton_are_products_in_doubles(monkeypatch):
    # Exact products of trained weights take a minute; a skeleton rounds, which is its data.
    def exact(*_):
        raise AssertionError("an exact product was asked for")

    monkeypatch.setattr("tropattn.attention.heads.layer.exact_product", exact)
    for norm_first in (False, True):
        net = random_model(5, norm_first).network([1, 2, 3], own_value="live", approximate=True)
        own = [value for layer in net.layers for value in getattr(layer, "own", None) or ()]
        assert own and all(value.matrix.dtype == np.float64 for value in own)


def test_settings_that_do_not_fit_an_approximation():
    model = random_model(6, True)
    with pytest.raises(InvalidInput, match="keys_from: 'hard' or 'soft' needed, got 'foo'"):
        model.network([1, 2], approximate=True, keys_from="foo")
    with pytest.raises(InvalidInput, match="approximate: True or False needed, got 'x'"):
        model.network([1, 2], approximate="x")
    with pytest.raises(InvalidInput, match=r"own_key: .* with approximate=True, got 'live'"):
        model.network([1, 2], approximate=True, own_key="live")
