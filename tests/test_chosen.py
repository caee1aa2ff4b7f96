"""Recordings of some neurons."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import xarray as xr

from spikeram import recording
from spikeram.conversion import convert
from spikeram.simulation import simulate
from spikeram.stopping import EarlyStop

from networks import inputs, trained

STEPS = 100


@pytest.fixture(scope="module")
def network():
    return convert(trained(), inputs(0, 60), steps=STEPS)


def names_of(network):
    return [layer.name for layer in network.layers]


def sliced(whole, chosen):
    positions = [
        recording.members(whole, name)[chosen[name]]
        for name in recording.layer_names(whole)
        if name in chosen
    ]
    return recording.select(whole, neuron=np.concatenate(positions))


def same(some, expected):
    recording.validate(some)
    assert set(some.variables) - {"sign"} == set(expected.variables) - {"sign"}
    for name in some.variables:
        if name != "sign":
            np.testing.assert_array_equal(some[name], expected[name])
            assert some[name].dtype == expected[name].dtype
    np.testing.assert_array_equal(recording.signs(some), recording.signs(expected))


@pytest.mark.parametrize("engine", ["clocked", "event"])
@pytest.mark.parametrize("encoding", ["current", "rate"])
def test_chosen_neurons_are_those_of_a_full_recording(network, engine, encoding):
    first, *_, last = names_of(network)
    chosen = {last: [2, 0], first: slice(1, None, 3)}
    if encoding == "rate":
        chosen["input"] = np.array([3])
    x = inputs(1, 70)
    options = {"encoding": encoding, "engine": engine}
    some = simulate(network, x, record=chosen, **options)
    same(some, sliced(simulate(network, x, **options), chosen))
    assert some["t"].size > 0


def test_chosen_neurons_stop_with_their_samples(network):
    chosen = {names_of(network)[0]: [4, 1]}
    stop = EarlyStop(margin=0.5)
    x = inputs(1, 20)
    some = simulate(network, x, record=chosen, stop=stop)
    same(some, sliced(simulate(network, x, stop=stop), chosen))


def test_a_store_holds_chosen_neurons(network, tmp_path):
    chosen = {names_of(network)[0]: [4, 1]}
    x = inputs(1, 70)
    stored = simulate(network, x, record=chosen, to=tmp_path / "run.zarr").load()
    same(stored, simulate(network, x, record=chosen))


def test_spikes_of_all_steps_are_there_where_few_outputs_are(network):
    chosen, x = {names_of(network)[0]: [4, 1]}, inputs(1, 3)
    few = simulate(network, x, record=chosen, outputs_at=[7])
    assert few["step"].values.tolist() == [7, STEPS]
    every = simulate(network, x, record=chosen)
    (layer,) = chosen
    xr.testing.assert_identical(few.spk.raster(layer), every.spk.raster(layer))


def test_no_neuron_of_a_layer_may_be_chosen(network):
    first, *_, last = names_of(network)
    some = simulate(network, inputs(1, 3), record={first: [], last: [1]})
    assert recording.layer_names(some) == [last]


def test_memory_does_not_grow_with_what_is_left_out(network):
    x = inputs(1, 64)
    first, last = names_of(network)[0], names_of(network)[-1]

    def peak(steps, record):
        simulate(network, x[:1], steps=100, record=record, outputs_at=[steps] and [100])
        tracemalloc.start()
        simulate(network, x, steps=steps, record=record, outputs_at=[steps])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    silent = {last: []}
    few, many = peak(200, silent), peak(4000, silent)
    assert many < 1.2 * few
    # One neuron of each of 64 samples is a byte a step, and its transposed copy another; an event
    # takes a time and places on the way there.
    one = peak(4000, {first: [0]})
    assert one - many < 64 * 4000 * 60
    assert one < peak(4000, "spikes") / 3


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"hiden": [0]}, "neurons of the layers .*got 'hiden'"),
        ({"input": [0]}, "got 'input'"),
        ({}, "got no layer"),
        ({"0": [[1]]}, "list of whole numbers"),
        ({"0": [0.5]}, "list of whole numbers"),
        ({"0": [True]}, "list of whole numbers"),
        ({"0": [-1]}, "numbers from 0 to"),
        ({"0": [10_000]}, "numbers from 0 to"),
        ({"0": [1, 1]}, "once, got some twice"),
    ],
)
def test_what_is_not_there_is_refused(network, chosen, message):
    first = names_of(network)[0]
    chosen = {first if name == "0" else name: some for name, some in chosen.items()}
    with pytest.raises(ValueError, match=message):
        simulate(network, inputs(1, 3), record=chosen)


def test_a_record_that_is_neither_is_refused(network):
    with pytest.raises(ValueError, match="'spikes', 'counts' or neurons of layers"):
        simulate(network, inputs(1, 3), record="everything")
