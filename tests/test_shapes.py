"""Matrices found from shapes alone: lists, TOML, trained networks, PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from spikeram.conversion.shapes import MatrixShape, Shapes, shapes_of
from spikeram.conversion.trained import TrainedNetwork
from spikeram.errors import ConversionError, FileFormatError


def sizes(found):
    return [(m.rows, m.columns, m.groups, m.positions) for m in found.matrices]


def test_a_list_holds_inputs_outputs_and_positions():
    found = shapes_of([(784, 512), (9, 16, 196), {"inputs": 4, "outputs": 3, "groups": 2}])
    assert sizes(found) == [(784, 512, 1, 1), (9, 16, 1, 196), (4, 3, 2, 1)]
    assert found.matrices[1].outputs == 16 * 196
    assert found.matrices[1].macs == 9 * 16 * 196


def test_a_toml_file_may_repeat_a_layer(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(
        '[[layer]]\nname = "embed"\ninputs = 8\noutputs = 4\n'
        '[[layer]]\nname = "block"\ninputs = 4\noutputs = 4\npositions = 7\ncount = 3\nrate = 0.2\n'
    )
    found = shapes_of(path)
    assert [m.name for m in found.matrices] == ["embed", "block_1", "block_2", "block_3"]
    assert sizes(found)[1:] == [(4, 4, 1, 7)] * 3
    assert found.matrices[1].rate == 0.2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[layer]]\ninputs = 8\n", "layer 1 expects inputs and outputs"),
        ("[[layer]]\ninputs = 8\noutputs = 2\nheight = 3\n", "may have name.*got .*height"),
        ("[[layer]]\ninputs = 8\noutputs = 0\n", "columns >= 1, got 0"),
        ("[[layer]]\ninputs = 8\noutputs = 1\nrate = 2\n", "a rate from 0 to 1"),
        ("[[layer]]\ninputs = 8\noutputs = 1\ncount = 0\n", "a count >= 1, got 0"),
        ("layers = 3\n", r"expects tables \[\[layer\]\].*got layers"),
        ("inputs = \n", "is no TOML file"),
    ],
)
def test_what_a_toml_file_lacks_is_said(tmp_path, text, message):
    path = tmp_path / "net.toml"
    path.write_text(text)
    with pytest.raises((ConversionError, FileFormatError), match=message):
        shapes_of(path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ([], "holds no matrix"),
        ([3], "layer 1 expects \\(inputs, outputs\\)"),
        ([(1, 2, 3, 4)], "layer 1 expects"),
        (3, "plan expects a file .*got int"),
        ("model.gguf", "plan reads .onnx, .npz and .toml files, got model.gguf"),
        ("missing.toml", "There is no file missing.toml"),
    ],
)
def test_what_is_no_network_is_refused(model, message):
    with pytest.raises((ConversionError, FileFormatError), match=message):
        shapes_of(model)


def test_a_trained_network_gives_its_matrices(tmp_path):
    network = TrainedNetwork.chain(
        [np.ones((5, 4)), np.ones((4, 3))], [np.ones(4), np.ones(3)], classes=np.arange(3)
    )
    assert sizes(shapes_of(network)) == [(5, 4, 1, 1), (4, 3, 1, 1)]
    network.save(tmp_path / "net.npz")
    assert sizes(shapes_of(tmp_path / "net.npz")) == [(5, 4, 1, 1), (4, 3, 1, 1)]


def test_shapes_pass_through():
    found = Shapes(matrices=(MatrixShape(name="a", rows=2, columns=3),))
    assert shapes_of(found) is found
