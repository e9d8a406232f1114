"""What tests against transformers share."""

import pytest


@pytest.fixture
def in_doubles(monkeypatch):
    """Give the reference doubles wherever it asks for single precision; note softmax's inputs."""
    torch = pytest.importorskip("torch")
    softmax, logits, single = torch.nn.functional.softmax, [], torch.float32

    def noting(x, dim=-1, **_):
        if x.dim() == 4:
            logits.append(x.detach()[0].numpy())
        return softmax(x, dim=dim)

    monkeypatch.setattr(torch.nn.functional, "softmax", noting)
    monkeypatch.setattr(torch, "float", torch.float64)
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield logits
    torch.set_default_dtype(single)
