from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from spikeram.conversion import convert
from spikeram.errors import FileFormatError
from spikeram.network import Layer, SpikingNetwork

from networks import inputs, single, trained


def network():
    return convert(trained(), inputs(0, 50), steps=8)


def test_a_saved_network_comes_back_the_same(tmp_path):
    path = tmp_path / "network.npz"
    before = network()
    before.save(path)
    after = SpikingNetwork.load(path)
    assert after.steps == 8
    assert after.method == "least_squares"
    assert after.input_scale == before.input_scale
    np.testing.assert_array_equal(after.classes, before.classes)
    for a, b in zip(before.layers, after.layers):
        assert (a.name, a.initial, a.spikes) == (b.name, b.initial, b.spikes)
        for name in ("weight", "bias", "threshold"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_network_file_holds_no_objects_that_could_run_code(tmp_path):
    path = tmp_path / "network.npz"
    network().save(path)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def foreign(path):
    np.savez(path, header=np.array(json.dumps({"format": "other", "version": 1})))


def newer(path):
    header = {"format": "spikeram-network", "version": 99}
    np.savez(path, header=np.array(json.dumps(header)))


def incomplete(path):
    header = {"format": "spikeram-network", "version": 1}
    np.savez(path, header=np.array(json.dumps(header)))


def pickled(path):
    np.savez(path, header=np.array([{}], dtype=object))


def truncated(path):
    network().save(path)
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: None, "There is no file"),
        (lambda path: path.write_text("hello"), "not a readable .npz or .npy file"),
        (lambda path: path.write_bytes(b""), "not a readable .npz or .npy file"),
        (lambda path: np.savez(path, a=np.zeros(3)), "got none"),
        (pickled, "not a readable .npz or .npy file"),
        (truncated, "not a readable .npz or .npy file"),
        (foreign, "expects the format 'spikeram-network', got 'other'"),
        (newer, "Install a newer spikeram"),
        (incomplete, "is damaged: input_scale: Field required"),
    ],
)
def test_files_that_are_no_network_are_refused(tmp_path, spoil, message):
    path = tmp_path / "x.npz"
    spoil(path)
    with pytest.raises(FileFormatError, match=message):
        SpikingNetwork.load(path)


@pytest.mark.parametrize(
    ("weight", "bias", "threshold", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2), np.ones(3), r"bias of shape \(3,\), got \(2,\)"),
        (np.full((1, 1), np.nan), np.zeros(1), np.ones(1), "NaN or infinity in weight"),
        (np.ones((1, 1)), np.zeros(1), np.zeros(1), "thresholds > 0, got 0"),
        (np.zeros((0, 1)), np.zeros(1), np.ones(1), r"at least one of each, got \(0, 1\)"),
    ],
)
def test_layers_that_do_not_fit_are_refused(weight, bias, threshold, message):
    with pytest.raises(ValueError, match=message):
        Layer(name="x", weight=weight, bias=bias, threshold=threshold)


def test_layers_that_do_not_chain_are_refused():
    a = single(1, 0, 1).layers[0]
    b = dataclasses.replace(network().layers[0], sources=())
    with pytest.raises(ValueError, match="'dense_1' expects 6 inputs, but 'only' has 1"):
        SpikingNetwork(layers=(a, b))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 5)), r"shape \(sample, 6\), as the network has 6 inputs, got \(4, 5\)"),
        (np.zeros(6), r"got \(6,\)"),
        (np.zeros((0, 6)), "at least one sample"),
        ([[np.nan] * 6], "finite values"),
        ([["a"] * 6], "expects real numbers"),
        ([[1j] * 6], "expects real numbers"),
        (np.zeros((0, 2, 3)), "at least one sample"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        network().checked_input(x)


def test_images_are_flattened():
    assert network().checked_input(np.zeros((4, 2, 3))).shape == (4, 6)
