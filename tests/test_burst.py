"""Several spikes of a neuron in one step."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spikeram._kernels.burst import SIGNED, UNIPOLAR, add_burst_counts, integrate_bursts
from spikeram.burst import arriving, most_spikes
from spikeram.energy import EnergyModel, energy, latency
from spikeram.errors import CapacityError
from spikeram.layer import Layer
from spikeram.network import SpikingNetwork
from spikeram.neuron import SamplingNeuron
from spikeram.programming import program
from spikeram.recording import load, offsets, raster, save, spike_times, validate
from spikeram.simulation import charge_of, clocked, decode, simulate
from spikeram.wiring import Wiring

from networks import branching, inputs, random_graph, random_layer, single
from reference import count_by_hand, run_by_hand


def fire(charge, *, threshold=100, burst, kind=UNIPOLAR, negative=0, u=0, rail=2**30):
    """Return spikes and membranes of one neuron for a list of charges."""
    n = len(charge)
    spikes, trace = np.zeros((n, 1), np.int8), np.zeros((n, 1), np.int32)
    integrate_bursts(
        np.array(charge, np.int32)[:, np.newaxis], np.zeros(1, np.int32),
        np.array([threshold], np.int32), np.array([negative], np.int32), rail, burst, kind,
        np.uint64(0), 0, 0, 0.0, 0, np.array([u], np.int32), np.zeros(1, np.int32), spikes, trace,
    )  # fmt: skip
    return spikes[:, 0].tolist(), trace[:, 0].tolist()


def bursting(burst, seed=0, sizes=(6, 8, 5, 3), **options):
    """Return a network whose hidden neurons burst."""
    rng = np.random.default_rng(seed)
    pairs = list(zip(sizes[:-1], sizes[1:]))
    layers = [
        Layer(
            name=f"layer_{n}",
            weight=rng.normal(0, np.sqrt(2 / a), (a, b)),
            bias=rng.normal(0, 0.1, b),
            threshold=np.full(b, 0.5),
            **({"spikes": "ternary"} if n == len(pairs) - 1 else {"burst": burst, **options}),
        )
        for n, (a, b) in enumerate(pairs)
    ]
    return SpikingNetwork(layers=layers, steps=4)


@given(
    charge=st.lists(st.integers(-700, 700), max_size=20),
    threshold=st.integers(1, 300),
    burst=st.integers(1, 6),
)
def test_a_burst_is_the_membrane_divided_by_the_threshold_up_to_the_limit(charge, threshold, burst):
    u, expected = threshold // 2, []
    for one in charge:
        u += one
        expected.append(min(max(u // threshold, 0), burst))
        u -= expected[-1] * threshold
    spikes, trace = fire(charge, threshold=threshold, burst=burst, u=threshold // 2)
    assert spikes == expected
    assert trace[-1:] == ([u] if charge else [])


@given(
    charge=st.lists(st.integers(-700, 700), min_size=1, max_size=20),
    threshold=st.integers(10, 300),
    slope=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_a_signed_neuron_with_long_bursts_is_at_rest_after_every_step(charge, threshold, slope):
    negative = max(threshold, round(threshold / slope)) if slope else 0
    initial = threshold // 2
    # 127 spikes pay out more than any of these charges can bring in one step.
    spikes, _ = fire(
        charge, threshold=threshold, burst=127, kind=SIGNED, negative=negative, u=initial
    )
    arrived = np.cumsum(charge)
    rest = [count_by_hand(int(q), initial, threshold, negative) for q in arrived]
    assert np.cumsum(spikes).tolist() == rest


def test_charge_that_comes_in_the_last_step_still_leaves():
    late = [0, 0, 0, 400]
    assert fire(late, burst=1) == ([0, 0, 0, 1], [0, 0, 0, 300])
    assert fire(late, burst=5) == ([0, 0, 0, 4], [0, 0, 0, 0])


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), n_nodes=st.integers(1, 7), current=st.booleans())
def test_graphs_with_bursts_do_what_integers_by_hand_do(seed, n_nodes, current):
    rng = np.random.default_rng(seed)
    nodes, drive = random_graph(rng, n_nodes, current=current, bursts=True)
    n_inputs = Wiring(nodes).widths["input"]
    spikes = None if current else rng.integers(-1, 2, (2, 9, n_inputs)).astype(np.int8)
    stimulus = (drive, None) if current else (None, spikes)
    activity = clocked(nodes, *stimulus, steps=9)
    fired, trace = run_by_hand(nodes, *stimulus, 9)
    for found, expected in zip(activity.spikes, fired):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(activity.membrane, trace)


def test_neurons_allowed_one_spike_fire_the_same_by_either_kernel():
    rng = np.random.default_rng(3)
    for kind, number in (("unipolar", UNIPOLAR), ("signed", SIGNED)):
        layer = random_layer(rng, 1, 1, spikes=kind, slope=0.5 if kind == "signed" else 0.0)
        drive = rng.integers(-2000, 3000, (1, 1)).astype(np.int32)
        one = clocked([layer], {layer.name: drive}, None, steps=30)
        spikes, _ = fire(
            [int(drive[0, 0] + layer.bias[0])] * 30,
            threshold=int(layer.threshold[0]), burst=1, kind=number,
            negative=int(layer.negative[0]), u=int(layer.initial[0]),
        )  # fmt: skip
        assert one.spikes[0][0, :, 0].tolist() == spikes


@pytest.mark.parametrize("size", [(40, 30), (512, 512)])
def test_a_burst_brings_its_charge_so_often(size):
    rng = np.random.default_rng(0)
    layer = random_layer(rng, *size)
    # The larger one takes the matrix product in its busy steps.
    busy = rng.random((2, 12, size[0])) < np.linspace(0, 1, 12)[:, np.newaxis]
    spikes = (busy * rng.integers(-5, 6, busy.shape)).astype(np.int8)
    expected = spikes.astype(int) @ layer.weight.astype(int)
    np.testing.assert_array_equal(charge_of(layer, spikes, most=5), expected)


def test_convolutions_read_bursts_as_their_unrolled_weights_do():
    layer = branching().charge_layers()[0]
    spikes = np.random.default_rng(1).integers(-3, 4, (2, 5, layer.n_inputs)).astype(np.int8)
    expected = spikes.astype(int) @ layer.unrolled.weight.astype(int)
    np.testing.assert_array_equal(charge_of(layer, spikes, most=3), expected)


def test_one_step_with_bursts_computes_the_network_with_rounded_activations():
    network = bursting(127, seed=4)
    x = np.rint(inputs(1, 20) * 256) / 256
    layers = network.charge_layers()
    a = x
    for layer in layers[:-1]:
        # In quanta, as they run: weights and thresholds have been rounded.
        z = a @ (layer.weight * layer.quantum) + (layer.bias + layer.initial) * layer.quantum
        a = np.maximum(np.floor(z / (layer.threshold * layer.quantum)), 0)
    z = a @ (layers[-1].weight * layers[-1].quantum) + layers[-1].bias * layers[-1].quantum
    found = simulate(network, x, steps=1)["output"].values[:, 0]
    # The constant input is rounded to whole quanta, which may move a membrane across a threshold
    # only where it lies within one of it: none here.
    np.testing.assert_allclose(found, z, rtol=1e-5, atol=1e-6)


def test_all_spikes_of_a_burst_are_recorded_at_the_time_of_their_step(tmp_path):
    network = bursting(4)
    run = simulate(network, inputs(2, 7), steps=5)
    layers = network.charge_layers()
    validate(run)
    trains = raster(run, "layer_1").values
    assert trains.max() > 1
    counts = run["row_size"].values[:, run["layer"].values == "layer_1"]
    np.testing.assert_array_equal(counts, trains.sum(axis=1))
    assert offsets(run)[-1] == run.sizes["event"]
    neuron = np.flatnonzero(run["layer"].values == "layer_1")[trains.max(axis=(0, 1)).argmax()]
    times = spike_times(run, int(trains.max(axis=(1, 2)).argmax()), int(neuron))
    assert np.any(np.diff(times) == 0)
    save(run, tmp_path / "run.nc")
    assert load(tmp_path / "run.nc").identical(run)
    assert [layer.burst for layer in layers] == [4, 4, 1]


def test_spikes_of_a_burst_are_no_time_apart():
    network = single(1.0, 0.0, 0.25, burst=4)
    run = simulate(network, [[1.0]], steps=1)
    assert spike_times(run, 0, 0).tolist() == [0.0] * 4
    histogram = run.spk.isi_histogram()
    assert (float(histogram["interval"][0]), int(histogram[0, 0])) == (0.0, 3)
    assert np.isnan(run.spk.cv().values).all()


def test_counts_alone_and_spikes_agree_on_bursts():
    network, x = bursting(4), inputs(2, 7)
    whole, counts = (simulate(network, x, steps=5, record=kind) for kind in ("spikes", "counts"))
    for name in ("row_size", "active_rows", "output", "sample_cycles", "compare_cycles"):
        np.testing.assert_array_equal(whole[name], counts[name])


def test_every_pulse_of_a_burst_drives_its_row():
    run = simulate(bursting(4), inputs(2, 7), steps=5)
    spikes = run["row_size"].groupby("layer").sum("neuron")
    for crossbar, before in (("layer_1", "layer_0"), ("layer_2", "layer_1")):
        # One pair of rows holds the biases, driven once a step.
        expected = spikes.sel(layer=before).values + 5
        np.testing.assert_array_equal(run["active_rows"].sel(crossbar=crossbar), expected)


def test_a_step_with_bursts_samples_as_often_as_they_are_long_and_compares_as_often():
    model = EnergyModel(
        word_lines=1.0, input_pulse=0.0, sample=1e3, integrate=1e6, compare=1e9, step_time=1.0
    )
    run = simulate(bursting(4), inputs(2, 3), steps=5)
    assert run["sample_cycles"].values.tolist() == [1, 4, 4]
    assert run["compare_cycles"].values.tolist() == [4, 4, 1]
    found = energy(run, model).isel(trial=0)
    columns = run["columns"].values
    for part, cycles in (("sample", [1, 4, 4]), ("integrate", [1, 4, 4]), ("compare", [4, 4, 1])):
        unit = {"sample": 1e3, "integrate": 1e6, "compare": 1e9}[part]
        np.testing.assert_allclose(found.sel(component=part), 5 * columns * np.array(cycles) * unit)
    # Five steps and two more for the layers behind, each of four cycles.
    np.testing.assert_array_equal(latency(run, model), 7 * 4)


def test_networks_without_bursts_record_no_cycles():
    assert "sample_cycles" not in simulate(bursting(1), inputs(2, 3), steps=5)


def test_a_max_pool_passes_bursts_on():
    network = branching()
    layers = [dataclasses.replace(network.layers[0], burst=3), *network.layers[1:]]
    wiring = network.with_layers(layers).wiring
    assert most_spikes(wiring)["pool"] == 3
    assert dict(arriving(wiring)) == {"first": 1, "second": 3, "sum": 3, "output": 1}


def test_a_chip_bursts_as_its_network_says():
    network = bursting(3, spikes="signed")
    chip = program(network, chip="ideal", seed=0)
    assert [layer.burst for layer in chip.charge_layers()] == [3, 3, 1]


def test_bursts_travel_in_files(tmp_path):
    network = bursting(3)
    network.save(tmp_path / "network.npz")
    again = SpikingNetwork.load(tmp_path / "network.npz")
    assert [layer.burst for layer in again.layers] == [3, 3, 1]
    x = inputs(0, 5)
    assert simulate(again, x).drop_attrs().identical(simulate(network, x).drop_attrs())


def test_decoding_adds_up_the_charge_of_bursts():
    layer = dataclasses.replace(random_layer(np.random.default_rng(2), 1, 4), burst=3)
    drive = np.random.default_rng(0).integers(0, 9000, (3, 4)).astype(np.int32)
    activity = clocked([layer], {layer.name: drive}, None, steps=6)
    assert activity.spikes[0].max() > 1
    expected = (drive + layer.bias) / layer.threshold
    np.testing.assert_allclose(decode(activity, layer)[:, -1], expected, rtol=1e-6)


def test_burst_counts_add_up_sizes():
    spikes = np.random.default_rng(0).integers(-5, 6, (3, 200, 4)).astype(np.int8)
    counts = np.ones((3, 4), np.int32)
    assert add_burst_counts(spikes, np.arange(3), counts) == (-5, 5)
    np.testing.assert_array_equal(counts, 1 + np.abs(spikes.astype(int)).sum(axis=1))


@pytest.mark.parametrize("burst", [0, 128, 2.0, True])
def test_lengths_of_bursts_that_cannot_be_are_refused(burst):
    with pytest.raises(ValueError, match="expects burst from 1 to 127"):
        SamplingNeuron(burst=burst)


@pytest.mark.parametrize("change", [{"reset": "zero"}, {"leak": 1e-6}])
def test_neurons_that_lose_charge_have_no_bursts(change):
    with pytest.raises(ValueError, match="bursts of 2, which pay charge out"):
        SamplingNeuron(burst=2, **change)


def test_bursts_too_large_for_a_step_are_refused():
    rng = np.random.default_rng(0)
    first = dataclasses.replace(random_layer(rng, 1, 9000, name="first"), burst=127)
    second = random_layer(rng, 9000, 1, name="second")
    second = dataclasses.replace(second, weight=np.full((9000, 1), 2047, np.int16))
    drive = {"first": np.zeros((1, 9000), np.int32)}
    with pytest.raises(CapacityError, match="Bursts of 127 can bring .* Use shorter bursts"):
        clocked([first, second], drive, None, steps=1)
