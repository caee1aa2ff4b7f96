"""Matrices of PyTorch modules that run on the meta device."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from spikeram.conversion.shapes import shapes_of  # noqa: E402
from spikeram.errors import ConversionError  # noqa: E402


def sizes(module, shape):
    found = shapes_of(module, input_shape=shape)
    return [(m.rows, m.columns, m.groups, m.positions) for m in found.matrices]


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Linear(7, 5), (7,), [(7, 5, 1, 1)]),
        (nn.Linear(7, 5, bias=False), (3, 7), [(7, 5, 1, 3)]),
        (nn.Conv2d(3, 8, 5, stride=2), (3, 32, 32), [(75, 8, 1, 196)]),
        (nn.Conv2d(6, 12, 3, groups=6, padding=1), (6, 8, 8), [(9, 2, 6, 64)]),
        (nn.Conv1d(4, 6, 3), (4, 10), [(12, 6, 1, 8)]),
        # As gathered rows: an output pixel sees each input channel through the whole kernel.
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5), [(36, 6, 1, 121)]),
    ],
)
def test_layers_have_the_shapes_of_their_weights(module, shape, expected):
    assert sizes(module, shape) == expected


def test_attention_has_its_four_projections():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x)[0]

    found = shapes_of(Block(), input_shape=(5, 16))
    held = sum(m.weights for m in found.matrices)
    assert held == 4 * 16 * 16
    assert {m.positions for m in found.matrices} == {5}


def test_a_recurrence_uses_its_matrices_at_every_token():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(6, 4, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0]

    assert sorted(sizes(Words(), (9, 6))) == [(4, 16, 1, 9), (6, 16, 1, 9)]


def test_a_weight_that_is_used_twice_is_one_matrix_at_all_positions():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(4, 4)

        def forward(self, x):
            return self.one(torch.relu(self.one(x)))

    assert sizes(Twice(), (4,)) == [(4, 4, 1, 2)]


def test_functional_products_and_changed_weights_count():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 3))

        def forward(self, x):
            return x @ (self.weight / self.weight.norm())

    assert sizes(Functional(), (4,)) == [(4, 3, 1, 1)]


def test_products_of_two_activations_have_no_matrix():
    class Squared(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(4, 4)

        def forward(self, x):
            y = self.one(x)
            return y @ y.transpose(1, 2)

    found = shapes_of(Squared(), input_shape=(5, 4))
    assert len(found.matrices) == 1
    assert found.weightless["product of two activations"] == 1


def test_modules_that_begin_with_an_embedding_take_tokens():
    model = nn.Sequential(nn.Embedding(1000, 8), nn.Linear(8, 8))
    found = shapes_of(model, input_shape=(6,))
    assert [(m.name, m.positions) for m in found.matrices] == [("1", 6)]
    assert found.weightless["embedding"] == 1
    assert found.other_parameters == 8000 + 8


def test_a_module_of_billions_of_weights_on_the_meta_device_is_sized():
    with torch.device("meta"):
        model = nn.Sequential(
            nn.Linear(40_000, 40_000, bias=False), nn.ReLU(), nn.Linear(40_000, 9)
        )
    found = shapes_of(model, input_shape=(40_000,))
    assert found.matrices[0].weights == 1_600_000_000


def test_the_same_network_exported_to_onnx_has_the_same_matrices(tmp_path):
    pytest.importorskip("onnx")
    layers = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layers, 2)
    model = nn.Sequential(nn.Conv1d(3, 5, 3, padding=1), nn.Linear(16, 16), encoder).eval()
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        # The exporter that torch.onnx keeps for what it cannot trace anew warns of its age.
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (torch.zeros(1, 3, 16),), str(path), dynamo=False)
    assert sizes(model, (3, 16)) == sizes(str(path), None)


def test_the_module_is_not_changed():
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    shapes_of(model, input_shape=(3,))
    assert torch.equal(model.weight, before)
    assert model.training


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (None, "Linear needs input_shape, the shape of one sample"),
        ((4,), "Linear does not run on the meta device with a sample of shape \\(4,\\)"),
    ],
)
def test_modules_that_do_not_run_say_why(shape, message):
    with pytest.raises(ConversionError, match=message):
        shapes_of(nn.Linear(3, 2), input_shape=shape)
