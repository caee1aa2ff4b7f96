from __future__ import annotations

import numpy as np
import pytest

from spikeram.conversion import convert, from_torch, read
from spikeram.errors import ConversionError, FileFormatError
from spikeram.simulation import simulate

torch = pytest.importorskip("torch", reason="the torch extra is not installed")
nn = torch.nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Sequential(nn.Linear(8, 5, bias=False), nn.ReLU()),
        nn.Linear(5, 3),
        nn.Softmax(dim=1),
    ).eval()


X = np.random.default_rng(0).random((80, 6))


def test_a_sequential_computes_the_same():
    with torch.no_grad():
        expected = model()(torch.tensor(X, dtype=torch.float32)).numpy()
    output = from_torch(model()).forward(X)
    shares = np.exp(output) / np.exp(output).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_a_converted_sequential_decides_the_same():
    trained = read(model())
    run = simulate(convert(model(), X, steps=256), X, record="counts")
    assert float(run.spk.accuracy(trained.predict(X))[-1]) > 0.95


def test_every_layer_that_cannot_be_converted_is_named():
    bad = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU())
    with pytest.raises(ConversionError) as caught:
        from_torch(bad)
    text = str(caught.value)
    assert "1: Sigmoid is not supported" in text
    assert "3: LayerNorm is not supported" in text
    assert "2: Linear follows Linear without a ReLU" in text
    assert "followed by a ReLU" in text


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.ReLU()], "there is no Linear layer"),
        ([nn.Linear(2, 2), nn.ReLU(), nn.ReLU(), nn.Linear(2, 2)], "2: ReLU does not follow"),
    ],
)
def test_chains_without_meaning_are_refused(layers, message):
    with pytest.raises(ConversionError, match=message):
        from_torch(nn.Sequential(*layers))


def test_a_module_of_another_kind_is_refused():
    with pytest.raises(ConversionError, match="reads torch.nn.Sequential, got Linear"):
        read(nn.Linear(2, 2))


def test_a_state_dictionary_is_read_from_its_file(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(model().state_dict(), path)
    np.testing.assert_allclose(read(path).forward(X), from_torch(model()).forward(X))


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch evil-was-here",)


def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, "model.pt")
    with pytest.raises(FileFormatError, match="weights_only=True"):
        read("model.pt")
    assert not (tmp_path / "evil-was-here").exists()


def test_files_that_hold_no_linear_layers_are_refused(tmp_path):
    conv = tmp_path / "conv.pt"
    torch.save(nn.Sequential(nn.Conv2d(1, 1, 3)).state_dict(), conv)
    with pytest.raises(ConversionError, match=r"expects Linear layers only, got 0.weight"):
        read(conv)
    with pytest.raises(FileFormatError, match="There is no file"):
        read(tmp_path / "none.pt")
    conv.write_bytes(conv.read_bytes()[:60])
    with pytest.raises(FileFormatError, match="is not a state dictionary"):
        read(conv)
