from __future__ import annotations

import numpy as np
import pytest

from spikeram.conversion import convert, read
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
    output = read(model()).forward(X)
    shares = np.exp(output) / np.exp(output).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_a_converted_sequential_decides_the_same():
    trained = read(model())
    run = simulate(convert(model(), X, steps=256), X, record="counts")
    assert float(run.spk.accuracy(trained.predict(X))[-1]) > 0.95


def test_a_state_dictionary_is_read_from_its_file(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(model().state_dict(), path)
    with pytest.warns(UserWarning, match="ReLU is taken to stand between the layers"):
        found = read(path)
    np.testing.assert_allclose(found.forward(X), read(model()).forward(X))


def images(n=20, shape=(2, 9, 8), seed=0):
    return np.random.default_rng(seed).random((n, *shape))


def conv_net(*, pool=None):
    """Return a small network of convolutions with batch normalisation that has seen data."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=(2, 1), padding=(1, 2)),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        *([pool] if pool else []),
        nn.Conv2d(4, 5, (2, 3), dilation=(1, 1), bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(3),
        nn.BatchNorm1d(3),
    )
    net(torch.tensor(images(64), dtype=torch.float32))
    return net.eval()


def outputs(net, x):
    with torch.no_grad():
        return net.double()(torch.tensor(x)).numpy()


@pytest.mark.parametrize(
    "pool",
    [None, nn.AvgPool2d(2), nn.AvgPool2d((2, 3), stride=(1, 2)), nn.AdaptiveAvgPool2d((5, 5))],
    ids=["none", "average", "overlapping", "adaptive"],
)
def test_convolutions_pools_and_batch_norms_compute_the_same(pool):
    net = conv_net(pool=pool)
    network = read(net, input_shape=(2, 9, 8))
    np.testing.assert_allclose(network.forward(images()), outputs(net, images()), atol=1e-10)


def test_a_pool_before_a_linear_layer_is_folded_into_it():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.ReLU(), nn.AvgPool2d((2, 7)), nn.AvgPool2d((2, 1)), nn.Flatten(),
        nn.Linear(6, 4),
    )  # fmt: skip
    network = read(net, input_shape=(2, 9, 8))
    np.testing.assert_allclose(network.forward(images()), outputs(net, images()), atol=1e-12)


def test_dilated_and_strided_convolutions_compute_the_same():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=3, dilation=(2, 1)))
    network = read(net, input_shape=(2, 9, 8))
    expected = outputs(net, images()).reshape(20, -1)
    np.testing.assert_allclose(network.forward(images()), expected, atol=1e-12)


def test_a_convolutional_network_decides_the_same_with_spikes():
    x = images(80)
    net = conv_net(pool=nn.AvgPool2d(2))
    network = convert(net, x, steps=64)
    assert [layer.name for layer in network.layers] == ["conv_1", "conv_2", "output"]
    run = simulate(network, x, record="counts")
    expected = outputs(net, x)
    error = run["output"].isel(step=-1).values - expected
    assert np.sqrt(np.mean(error**2)) < 0.05 * expected.std()


def test_a_module_that_stands_twice_is_read_twice():
    torch.manual_seed(0)
    relu = nn.ReLU()
    net = nn.Sequential(nn.Linear(6, 8), relu, nn.Linear(8, 5), relu, nn.Linear(5, 3))
    np.testing.assert_allclose(read(net).forward(X), outputs(net, X), atol=1e-12)


def test_outputs_of_a_regression_have_no_classes():
    net = nn.Sequential(nn.Linear(6, 1))
    assert read(net, regression=True).classes is None
    assert convert(net, X, regression=True).classes is None
    assert read(net).classes.tolist() == [0, 1]


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
