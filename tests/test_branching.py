"""Networks that branch: what they compute, on every engine, on chips, in files and recordings."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.signal import correlate

from spikeram import recording
from spikeram.energy import latency
from spikeram.gather import convolution
from spikeram.network import INPUT, Layer, MaxPool, SpikingNetwork
from spikeram.programming import program
from spikeram.simulation import charge_of, clocked, encode, fire, incoming, membrane, simulate
from spikeram.wiring import Wiring

from networks import branching, inputs

NETWORK = branching()
X = inputs(0, 8, 72)


def by_hand(network, x):
    """Return what the branching network computes for one image, with scipy and loops."""
    first, second, add, output = network.layers

    def convolved(image, layer, rows):
        kernels = layer.weight[rows].T.reshape(4, image.shape[0], 3, 3)
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
        return np.stack([correlate(padded, kernel, "valid")[0] for kernel in kernels])

    def biased(values, layer):
        return values + layer.bias[:, np.newaxis, np.newaxis]

    image = x.reshape(2, 6, 6)
    a = np.maximum(biased(convolved(image, first, slice(None)), first), 0)
    pooled = a.reshape(4, 3, 2, 3, 2).max(axis=(2, 4))
    b = biased(convolved(pooled, second, slice(None)), second)
    b = np.where(b > 0, b, 0.25 * b)
    c = np.maximum(biased(np.einsum("io,iyx->oyx", add.weight[:4], b) + pooled, add), 0)
    return np.concatenate([c.ravel(), x]) @ output.weight + output.bias


def test_preactivations_are_those_of_scipy_and_loops():
    expected = [by_hand(NETWORK, x) for x in X]
    np.testing.assert_allclose(NETWORK.preactivations(X)[-1], expected, atol=1e-12)


@pytest.mark.parametrize("encoding", ["current", "rate"])
def test_the_decoded_output_converges_to_the_trained_networks(encoding):
    run = simulate(NETWORK, X, steps=2048, encoding=encoding, record="counts")
    expected = NETWORK.preactivations(X)[-1]
    error = np.abs(run["output"].isel(step=-1).values - expected).max() / np.abs(expected).max()
    # 8-bit inputs and 12-bit weights; nothing is clipped.
    assert error < 0.02


def test_signed_layers_decode_what_they_compute_below_zero_too():
    z = NETWORK.preactivations(X)
    run = simulate(NETWORK, X, steps=2048, record="spikes")
    for name, number in (("second", 1), ("sum", 2)):
        layer = NETWORK.layers[number]
        counts = recording.raster(run, name).sum("step").values
        found = counts * layer.worth / 2048
        expected = layer.activation(z[number])
        np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())
        assert (found.min() < -0.01) == (name == "second")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("encoding", ["current", "rate"])
@pytest.mark.parametrize("on_chip", [False, True])
def test_brian2_fires_the_same_spikes(on_chip, encoding):
    pytest.importorskip("brian2")
    model = program(NETWORK, seed=0) if on_chip else NETWORK
    options = {"steps": 6, "encoding": encoding}
    a, b = (simulate(model, X[:2], engine=engine, **options) for engine in ("clocked", "brian2"))
    assert a.sizes["event"] > 0
    for name in ("t", "sign", "row_size", "output", "active_rows", "window_start"):
        np.testing.assert_array_equal(a[name], b[name])


def test_an_ideal_chip_does_what_the_network_does():
    chip = program(NETWORK, chip="ideal", seed=0)
    ideal, found = (
        simulate(model, X, steps=64, record="counts")["output"].isel(step=-1).values
        for model in (NETWORK, chip)
    )
    # Rounded to other quanta, and with them a spike more or less of 64 in every layer.
    assert np.sqrt(np.mean((found - ideal) ** 2)) / ideal.std() < 2 / 64


def test_a_chip_keeps_slopes_and_sources():
    chip = program(NETWORK, seed=0)
    first, second, add, output = chip.charge_layers()
    np.testing.assert_allclose(second.negative, 4 * second.threshold, rtol=1e-3)
    assert not np.any(first.negative)
    assert not np.any(add.negative)
    assert [second.sources, add.sources, output.sources] == [
        ("pool",), ("second", "pool"), ("sum", INPUT),
    ]  # fmt: skip


def test_rows_are_counted_through_pools_and_at_the_input():
    run = simulate(NETWORK, X, steps=5)
    pooled = NETWORK.nodes[1].spikes(recording.raster(run, "first").values.transpose(0, 1, 2))
    point, _ = convolution((4, 3, 3), (1, 1))
    counts = [np.abs(pooled).sum(axis=1, dtype=int)]
    counts.append(np.abs(recording.raster(run, "second").values).sum(axis=1, dtype=int))
    # One always-on row at each of 9 positions; identity and 1 x 1 convolution use a spike once.
    expected = (counts[0] + counts[1]) @ point.reuse + 9 * 5
    np.testing.assert_array_equal(run["active_rows"].sel(crossbar="sum"), expected)
    levels = np.count_nonzero(np.rint(X * 256), axis=1)
    spikes = np.abs(recording.raster(run, "sum").values).sum(axis=(1, 2), dtype=int)
    np.testing.assert_array_equal(
        run["active_rows"].sel(crossbar="output"), spikes + 5 * levels + 5
    )


def test_windows_open_one_step_after_the_latest_source():
    run = simulate(NETWORK, X[:1], steps=3, encoding="rate")
    steps = run["window_start"].values / run.attrs["dt"]
    found = {name: round(steps[run["layer"].values == name][0]) for name in np.unique(run["layer"])}
    assert found == {"input": 0, "first": 1, "second": 2, "sum": 3, "output": 4}


def dense(name, n_inputs, n_outputs, **options):
    rng = np.random.default_rng(len(name))
    return Layer(
        name=name, weight=rng.normal(size=(n_inputs, n_outputs)), bias=np.zeros(n_outputs),
        threshold=np.full(n_outputs, 4.0), **options,
    )  # fmt: skip


def test_latency_is_that_of_the_longest_path():
    nodes = (
        dense("a", 4, 3),
        dense("b", 3, 3),
        dense("side", 4, 2, sources=(INPUT,)),
        dense("output", 5, 2, sources=("b", "side")),
    )
    run = simulate(SpikingNetwork(nodes=nodes), inputs(0, 2, 4), steps=7)
    np.testing.assert_allclose(latency(run), (7 + 3 - 1) * 0.82e-6)


def test_a_layers_charge_and_its_spikes_can_be_had_one_after_the_other():
    layers = NETWORK.charge_layers()
    nodes = NETWORK.charged(layers)
    levels = np.rint(X * 256).astype(np.int16)
    stimulus = encode(levels, nodes, steps=9, encoding="current")
    whole = clocked(nodes, stimulus.drive, None, steps=9)
    wiring, trains = Wiring(nodes), {}
    for node in nodes:
        if isinstance(node, MaxPool):
            trains[node.name] = node.spikes(trains[node.source])
            continue
        arriving = incoming(wiring, node.name, trains)
        charge = None if arriving is None else charge_of(node, arriving)
        trains[node.name], last = fire(node, charge, stimulus.drive.get(node.name), steps=9)
    for layer, expected in zip(layers, whole.spikes):
        np.testing.assert_array_equal(trains[layer.name], expected)
    np.testing.assert_array_equal(last, whole.membrane[:, -1])


def test_membranes_of_a_layer_behind_a_branch_are_shown():
    trace = membrane(NETWORK, X[0], layer=2)
    assert trace.shape == (16, 36)


@pytest.mark.parametrize("n_pools", [0, 1])
def test_a_saved_network_branches_as_before(tmp_path, n_pools):
    network = NETWORK if n_pools else SpikingNetwork(nodes=(dense("a", 72, 3),), steps=16)
    network.save(tmp_path / "network.npz")
    again = SpikingNetwork.load(tmp_path / "network.npz")
    assert sum(isinstance(node, MaxPool) for node in again.nodes) == n_pools
    for a, b in zip(network.layers, again.layers):
        assert (a.sources, a.spikes) == (b.sources, b.spikes)
        np.testing.assert_array_equal(a.slope, b.slope)
    assert simulate(network, X).identical(simulate(again, X))


def test_files_of_version_1_are_chains(tmp_path):
    path = tmp_path / "network.npz"
    header = {
        "format": "spikeram-network", "version": 1, "input_scale": 1.0, "steps": 4, "method": "",
        "layers": [
            {"name": name, "initial": 0.5, "spikes": kind, "gathered": None}
            for name, kind in (("a", "unipolar"), ("output", "ternary"))
        ],
    }  # fmt: skip
    arrays = {
        f"{name}_{n}": np.ones((2, 2) if name == "weight" else 2)
        for n in (0, 1)
        for name in ("weight", "bias", "threshold")
    }
    np.savez(path, header=np.array(json.dumps(header)), **arrays)
    network = SpikingNetwork.load(path)
    assert network.wiring.sources == {"a": (INPUT,), "output": ("a",)}


def test_layers_are_replaced_between_the_pools():
    stronger = [dataclasses.replace(layer, bias=layer.bias + 1) for layer in NETWORK.layers]
    for network in (
        NETWORK.with_layers(stronger),
        dataclasses.replace(NETWORK, layers=stronger),
    ):
        assert [node.name for node in network.nodes] == [node.name for node in NETWORK.nodes]
        np.testing.assert_array_equal(network.layers[2].bias, NETWORK.layers[2].bias + 1)
    with pytest.raises(ValueError, match="expects 4 layers, got 3"):
        NETWORK.with_layers(stronger[:3])


def test_a_pool_of_a_constant_input_is_refused():
    nodes = (MaxPool("pool", "", [[0, 1]]), dense("output", 1, 1))
    network = SpikingNetwork(nodes=nodes, steps=4)
    with pytest.raises(ValueError, match="the input is a constant current. Use encoding='rate'"):
        simulate(network, [[0.5, 0.75]])
    assert simulate(network, [[0.5, 0.75]], encoding="rate").sizes["trial"] == 1


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), "at least one layer, got none"),
        ((dense("a", 2, 2), dense("a", 2, 2)), "different names, none of them 'input'"),
        ((dense("input", 2, 2),), "different names, none of them 'input'"),
        ((dense("a", 2, 2, sources=("b",)), dense("b", 2, 2)), r"before it \(input\), got b"),
        ((dense("a", 2, 2), dense("b", 3, 2)), "'b' expects 3 inputs, but 'a' has 2 outputs"),
        (
            (dense("a", 2, 2), dense("b", 3, 2, sources=("a", "a"))),
            "'b' expects 3 inputs, but 'a' and 'a' have 4 outputs",
        ),
        (
            (dense("a", 2, 2), dense("b", 3, 2, sources=(INPUT,))),
            "'b' expects 3 inputs, but 'input' has 2 outputs",
        ),
        ((dense("a", 2, 2), MaxPool("b", "a", [[0]])), "output layer, got the pool 'b'"),
        (
            (dense("a", 2, 2), MaxPool("b", "a", [[2]]), dense("c", 1, 1)),
            "MaxPool 'b' expects at least 3 inputs, but 'a' has 2 outputs",
        ),
    ],
)
def test_nodes_that_do_not_fit_together_are_refused(nodes, message):
    with pytest.raises(ValueError, match=message):
        SpikingNetwork(nodes=nodes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spikes": "signed", "slope": 1.5}, "slopes from 0 to 1, got 1.5"),
        ({"spikes": "signed", "slope": [0.1, 0.2, 0.3]}, r"shape \(2,\) or one number, got \(3,\)"),
        ({"slope": 0.1}, "which its unipolar spikes cannot tell. Use spikes='signed'"),
    ],
)
def test_slopes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dense("a", 2, 2, **options)


def test_a_nearly_flat_slope_takes_what_a_membrane_can_hold():
    layer = dense("a", 2, 2, spikes="signed", slope=[1e-12, 0.0])
    charge = SpikingNetwork(nodes=(layer,)).charge_layer(0)
    assert charge.negative.tolist() == [2**30, 0]
