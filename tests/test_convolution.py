from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.signal import correlate

from spikeram import recording
from spikeram.charge import charge_layer
from spikeram.conversion import TrainedNetwork, convert, recalibrate, report
from spikeram.encoding import encode, input_levels
from spikeram.energy import energy, latency
from spikeram.errors import CapacityError, ConversionError
from spikeram.gather import Gather, after_average_pool, convolution, every_input
from spikeram.network import SpikingNetwork
from spikeram.neuron import SamplingNeuron
from spikeram.programming import program
from spikeram.simulation import clocked, simulate

from networks import convolutional, inputs
from reference import run_by_hand

ANN = convolutional()
X = inputs(0, 60, 2 * 6 * 7)
NETWORK = convert(ANN, X, steps=16)


def test_a_gathered_convolution_is_scipys_correlation():
    rng = np.random.default_rng(0)
    image, kernel = rng.random((2, 6, 7)), rng.normal(size=(2, 3, 2))
    gather, size = convolution((2, 6, 7), (3, 2))
    found = (gather.rows(image.ravel()) @ kernel.ravel()).reshape(size)
    np.testing.assert_allclose(found, correlate(image, kernel, mode="valid")[0], atol=1e-12)


def test_strides_padding_and_dilation_pick_pixels_of_the_padded_image():
    rng = np.random.default_rng(0)
    image, kernel = rng.random((1, 8, 9)), rng.normal(size=(2, 3))
    gather, size = convolution((1, 8, 9), (2, 3), stride=(2, 3), padding=(1, 2), dilation=(3, 2))
    padded = np.pad(image[0], ((1, 1), (2, 2)))
    wide = np.zeros((4, 5))
    wide[::3, ::2] = kernel
    expected = correlate(padded, wide, mode="valid")[::2, ::3]
    assert size == expected.shape
    found = (gather.rows(image.ravel()) @ kernel.ravel()).reshape(size)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_reuse_counts_the_rows_that_each_input_stands_at():
    gather, _ = convolution((1, 3, 3), (2, 2))
    np.testing.assert_array_equal(gather.reuse.reshape(3, 3), [[1, 2, 1], [2, 4, 2], [1, 2, 1]])


def layers_of(network):
    return network.charge_layers()


def test_unrolled_layers_fire_the_same_spikes():
    levels = input_levels(X, NETWORK.input_scale)
    layers = layers_of(NETWORK)
    drive = encode(levels, layers, steps=12, encoding="current").drive
    small = clocked(layers, drive, None, steps=12)
    large = clocked([layer.unrolled for layer in layers], drive, None, steps=12)
    for a, b in zip(small.spikes, large.spikes):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(small.membrane, large.membrane)


def test_spikes_into_a_convolution_do_what_integers_by_hand_do():
    layers = layers_of(NETWORK)
    spikes = np.random.default_rng(0).integers(-1, 2, (2, 6, 84)).astype(np.int8)
    activity = clocked(layers, None, spikes, steps=6)
    fired, trace = run_by_hand([layer.unrolled for layer in layers], None, spikes, 6)
    for found, expected in zip(activity.spikes, fired):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(activity.membrane, trace)


@pytest.mark.parametrize("encoding", ["current", "rate"])
@pytest.mark.filterwarnings("ignore")
def test_brian2_fires_the_same_spikes(encoding):
    pytest.importorskip("brian2")
    small = convert(ANN, X, steps=6)
    runs = [simulate(small, X[:3], encoding=encoding, engine=e) for e in ("clocked", "brian2")]
    np.testing.assert_array_equal(runs[0]["t"], runs[1]["t"])
    np.testing.assert_array_equal(runs[0]["row_size"], runs[1]["row_size"])
    np.testing.assert_array_equal(runs[0]["output"], runs[1]["output"])


def test_the_decoded_output_converges_to_the_trained_networks():
    network = convert(ANN, X, steps=None, method="percentile")
    run = simulate(network, X[:20], steps=1024, record="counts")
    expected = ANN.forward(X[:20])
    error = np.abs(run["output"].isel(step=-1).values - expected).max() / np.abs(expected).max()
    # 0.1 % of activations clipped, 8-bit inputs, 12-bit weights.
    assert error < 0.03


def test_inputs_of_a_pool_share_one_row():
    second = NETWORK.layers[1]
    assert (second.weight.shape[0], second.n_taps) == (16, 4)
    assert program(NETWORK, seed=0).layers[1].target.shape[1] == 16 + 1
    # Three of four inputs at full rate drive the row at three quarters.
    one = np.zeros((1, second.n_inputs))
    one[0, second.gather.index[0, 0, :3]] = 1.0
    z = second.forward(one)[0].reshape(3, 4)[:, 0] - second.bias
    np.testing.assert_allclose(z, 0.75 * second.weight[0], atol=1e-12)


def test_a_chip_holds_the_kernel_once_and_uses_it_at_every_position():
    chip = program(NETWORK, chip="ideal", seed=0)
    assert chip.layers[0].target.shape == (2, 18 + chip.layers[0].n_bias, 4)
    layer = chip.charge_layers()[0]
    assert (layer.n_positions, layer.n_columns, layer.n_outputs) == (42, 4, 168)
    ideal, found = (
        simulate(model, X, record="counts")["output"].isel(step=-1) for model in (NETWORK, chip)
    )
    # Rounded to other quanta, and with them a spike more or less of 16 in every layer.
    assert float(np.sqrt(((found - ideal) ** 2).mean()) / ideal.std()) < 2 / 16


def test_recalibration_corrects_each_channel():
    chip = program(NETWORK, seed=3, rounds=0)
    again = recalibrate(chip, X)
    assert again.layers[0].gain.shape == (4,)
    ideal = simulate(NETWORK, X, record="counts")["output"].isel(step=-1)
    errors = [
        float(((simulate(c, X, record="counts")["output"].isel(step=-1) - ideal) ** 2).mean())
        for c in (chip, again)
    ]
    assert errors[1] < errors[0]


def test_rows_are_counted_at_every_position():
    run = simulate(NETWORK, X[:5], steps=4, encoding="rate")
    gather = NETWORK.layers[0].gather
    counts = run["row_size"].values[:, :84]
    # One always-on row, at 42 positions, in 4 steps.
    expected = counts @ gather.reuse + 42 * 4
    np.testing.assert_array_equal(run["active_rows"].values[:, 0], expected)
    assert run["positions"].values.tolist() == [42, 4, 1]


def test_positions_cost_energy_and_time():
    run = simulate(NETWORK, X[:2], steps=4, record="counts")
    alone = run.assign(positions=("crossbar", np.ones(3, int)))
    sample = energy(run).sel(component="sample") / energy(alone).sel(component="sample")
    np.testing.assert_allclose(sample.values, [[42, 4, 1]] * 2)
    step = 0.82e-6
    np.testing.assert_allclose(latency(run), 4 * (42 + 4 + 1) * step)
    np.testing.assert_allclose(latency(alone), (4 + 2) * step)


def test_files_keep_the_geometry(tmp_path):
    ANN.save(tmp_path / "trained.npz")
    np.testing.assert_array_equal(
        TrainedNetwork.load(tmp_path / "trained.npz").forward(X), ANN.forward(X)
    )
    NETWORK.save(tmp_path / "network.npz")
    a, b = simulate(NETWORK, X[:4]), simulate(SpikingNetwork.load(tmp_path / "network.npz"), X[:4])
    assert a.identical(b)
    recording.save(a, tmp_path / "run.nc")
    assert recording.load(tmp_path / "run.nc")["positions"].values.tolist() == [42, 4, 1]


def test_the_report_has_a_line_for_each_convolution():
    assert [row.name for row in report(NETWORK, X)] == ["conv_1", "conv_2"]


def test_unrolling_refuses_weights_that_add_up_beyond_twelve_bits():
    gather = Gather(np.zeros((1, 2, 1), np.int32), 1)
    layer = charge_layer(
        "twice",
        np.ones((2, 1)),
        bias=np.zeros(1),
        threshold=np.ones(1),
        initial=np.zeros(1),
        scale=np.ones(1),
        neuron=SamplingNeuron(),
        gather=gather,
    )
    with pytest.raises(CapacityError, match="unrolled, they need more than 12 bits"):
        _ = layer.unrolled


def test_geometries_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="reaches over 9 pixels does not fit into 6"):
        convolution((1, 6, 6), (9, 1))
    with pytest.raises(ValueError, match="indices from -1 to 3, got 0 to 4"):
        Gather(np.array([[[0], [4]]]), 4)
    with pytest.raises(ValueError, match="expects 5 inputs, but the pool has 2 x 3 x 3 outputs"):
        after_average_pool(every_input(5), (2, 6, 6), (2, 2), (2, 2))
    first, second, _ = ANN.layers
    with pytest.raises(ConversionError, match="'conv_2' expects 48 inputs, but 'conv_1' has 168"):
        dataclasses.replace(
            ANN, nodes=(first, dataclasses.replace(second, weight=np.ones((48, 3)), gather=None))
        )
