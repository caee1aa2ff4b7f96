"""The event engine: against the clocked one, a queue in plain Python, closed forms and Brian2."""

import dataclasses
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from spikeram import recording
from spikeram.asynchronous import simulate_events
from spikeram.clocked import clocked
from spikeram.conversion import convert
from spikeram.event_driven import EventRun, Timing, Train, event
from spikeram.event_stream import EventStream
from spikeram.layer import Layer
from spikeram.models import chips
from spikeram.network import SpikingNetwork
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.wiring import Wiring

from networks import branching, convolutional, inputs, random_graph, random_layer, single, trained
from reference import events_by_hand

# On the clock grid


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_nodes=st.integers(1, 7),
    current=st.booleans(),
    bursts=st.booleans(),
)
def test_on_the_clock_grid_any_graph_fires_as_in_the_clocked_engine(seed, n_nodes, current, bursts):
    rng = np.random.default_rng(seed)
    nodes, drive = random_graph(rng, n_nodes, current=current, bursts=bursts)
    n_inputs = Wiring(nodes).widths["input"]
    sparse = rng.integers(-1, 2, (2, 19, n_inputs)) * (rng.random((2, 19, n_inputs)) < 0.4)
    stimulus = (drive, None) if current else (None, sparse.astype(np.int8))
    expected = clocked(nodes, *stimulus, steps=19)
    found = event(nodes, *stimulus, steps=19)
    for one, other in zip(found.spikes, expected.spikes):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found.membrane, expected.membrane)


def dense():
    return convert(trained(), inputs(0, 30), steps=12), inputs(1, 3)


def images():
    return convert(convolutional(), inputs(0, 30, 84), steps=12), inputs(1, 3, 84)


def residual():
    return branching(), inputs(1, 3, 72)


def cut_over_cores():
    network = convert(trained(sizes=(20, 12, 3)), inputs(0, 30, 20), steps=12)
    small = dataclasses.replace(chips.ideal(), rows=16, partial_sums="spiking")
    return program(network, chip=small, seed=0), inputs(1, 3, 20)


@pytest.mark.parametrize("encoding", ["current", "rate", "poisson"])
@pytest.mark.parametrize("make", [dense, images, residual, cut_over_cores])
def test_recordings_are_those_of_the_clocked_engine(make, encoding):
    model, x = make()
    if encoding == "current" and make is residual:
        # Its output reads the input, whose window opens earlier.
        x = x / 2
    runs = [
        simulate(model, x, engine=engine, encoding=encoding, seed=3)
        for engine in ("clocked", "event")
    ]
    assert runs[0]["row_size"].values.sum() > 50
    xr.testing.assert_equal(*runs)


def test_without_biases_continuous_time_on_the_grid_is_the_clocked_engine():
    network = branching()
    silent = [
        dataclasses.replace(layer, bias=np.zeros_like(layer.bias)) for layer in network.layers
    ]
    network = network.with_layers(silent)
    rng = np.random.default_rng(1)
    x = ((rng.random((2, 16, 72)) < 0.2) * rng.choice([-1, 1], (2, 16, 72))).astype(np.int8)
    expected = simulate(network, x, encoding="spikes")
    step, address = np.nonzero(x[1])
    stream = EventStream(
        t=step, address=address, sign=x[1, step, address], n_addresses=72, tick=network.dt,
        duration=16 * network.dt,
    )  # fmt: skip
    found = simulate_events(network, stream, refractory=network.dt)
    for name in recording.layer_names(expected):
        np.testing.assert_array_equal(
            recording.raster(found, name)[0], recording.raster(expected, name)[1]
        )
    # The membranes are read at the end of a step, when its events have arrived.
    np.testing.assert_array_equal(found["output"][0, -1], expected["output"][1, -1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma_noise": 3.0}, "has noise, drawn in every step"),
        ({"kick": 3}, "Use engine='clocked', or take it out"),
        ({"decay": 0.9}, "has a leak, which on a clock is rounded in every step"),
        ({"spikes": "ternary", "reset": "zero", "decay": 0.0, "digits": 1}, "has converters"),
    ],
)
def test_what_happens_in_every_step_is_refused(change, message):
    layer = random_layer(np.random.default_rng(0), 3, 2, **change)
    with pytest.raises(ValueError, match=message):
        event([layer], None, np.zeros((1, 4, 3), np.int8), steps=4, keys=[np.uint64(0)])


# In continuous time


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_nodes=st.integers(1, 5),
    refractory=st.sampled_from([0, 7]),
    delayed=st.booleans(),
)
def test_spikes_are_those_of_one_queue_of_all_events(seed, n_nodes, refractory, delayed):
    rng = np.random.default_rng(seed)
    nodes, _ = random_graph(rng, n_nodes, current=False)
    # Rails clip at instants that the queue would have to foresee as well.
    nodes = [dataclasses.replace(n, rail=2**30) if hasattr(n, "rail") else n for n in nodes]
    n_inputs = Wiring(nodes).widths["input"]
    layers = Wiring(nodes).layers
    delay = {layer.name: float(rng.integers(0, 9)) if delayed else 0.0 for layer in layers}
    n = 60
    t, address = np.sort(rng.integers(0, 300, n)), rng.integers(0, n_inputs, n)
    sign = rng.choice([-1, 1], n)
    timing = Timing(stop=320.0, per_unit=10 / 320, refractory=refractory, delay=delay)
    run = EventRun(nodes, timing, np.empty(0))
    trains, _ = run(Train(t.astype(float), address, sign.astype(float)))
    expected = events_by_hand(
        nodes, zip(t.tolist(), address, sign), stop=320, steps=10, delay=delay,
        refractory=refractory,
    )  # fmt: skip
    for layer in layers:
        train = trains[layer.name]
        found = sorted(zip(train.address.tolist(), train.t.tolist(), train.number.tolist()))
        by_hand = sorted((j, float(at), number) for at, j, number in expected[layer.name])
        assert [(j, number) for j, _, number in found] == [(j, number) for j, _, number in by_hand]
        # Sums and quotients of a few hundred float64; the slowest drift magnifies errors 32 times.
        np.testing.assert_allclose(
            [at for _, at, _ in found], [at for _, at, _ in by_hand], rtol=0, atol=1e-9
        )


def test_a_driven_leaky_neuron_fires_at_the_intervals_of_the_closed_form():
    tau, steps, duration = 20e-3, 100, 0.5
    network = single(1.0, 0.3, 1.0, initial=0.0)
    layer = network.charge_layer(0)
    rest = layer.bias[0] * steps / duration * tau
    assert rest > layer.threshold[0]
    silence = EventStream(t=[], address=[], n_addresses=1, duration=duration)
    run = simulate_events(network, silence, steps=steps, leak=tau)
    # Of a reset by subtraction from the threshold: U starts each interval at 0.
    interval = tau * math.log(rest / (rest - layer.threshold[0]))
    expected = interval * np.arange(1, int(duration / interval) + 1)
    np.testing.assert_allclose(run["t"].values, expected, rtol=1e-9)


def test_a_leaky_neuron_adds_events_that_have_decayed():
    network = single(1.0, 0.0, 1.5, initial=0.0)
    tau = 1e-3
    # After t the first spike is worth exp(-t / tau): with a second one, 1.5 at ln(2) tau.
    edge = 1e6 * tau * math.log(2)
    for gap, fires in ((math.floor(edge), True), (math.ceil(edge), False)):
        stream = EventStream(t=[5, 5 + gap], address=[0, 0], n_addresses=1)
        run = simulate_events(network, stream, steps=1, leak={"only": tau})
        assert int(run["row_size"][0, 1]) == fires


def test_what_a_refractory_neuron_cannot_fire_waits():
    network = single(1.0, 0.0, 1.0, initial=0.0)
    stream = EventStream(t=[10, 10, 10, 12], address=[0] * 4, n_addresses=1, duration="100 us")
    at_once = simulate_events(network, stream, steps=1)
    np.testing.assert_allclose(at_once["t"].values[4:], [10e-6, 10e-6, 10e-6, 12e-6])
    one_by_one = simulate_events(network, stream, steps=1, refractory="15 us")
    np.testing.assert_allclose(one_by_one["t"].values[4:], [10e-6, 25e-6, 40e-6, 55e-6])


def test_each_input_may_have_a_delay_of_its_own():
    layer = Layer(
        name="only", weight=np.eye(2), bias=np.zeros(2), threshold=np.ones(2), initial=0.0
    )
    stream = EventStream(t=[0, 4], address=[0, 1], n_addresses=2)
    delay = {"only": np.array([30e-6, 2e-6])}
    run = simulate_events(SpikingNetwork(layers=(layer,)), stream, steps=1, delay=delay)
    np.testing.assert_allclose(run["t"].values[2:], [30e-6, 6e-6])
    assert run.attrs["duration"] == pytest.approx(35e-6)


def test_the_order_of_simultaneous_events_does_not_matter():
    network = branching()
    rng = np.random.default_rng(0)
    t, address = np.sort(rng.integers(0, 20, 400)), rng.integers(0, 72, 400)
    other = np.lexsort((rng.random(400), t))
    runs = [
        simulate_events(network, EventStream(t=t[order], address=address[order], n_addresses=72))
        for order in (np.arange(400), other)
    ]
    # Membranes that drift are no whole numbers: their sums are rounded, in one order or another.
    xr.testing.assert_allclose(*runs, rtol=1e-12)


def test_outputs_that_never_fire_are_read_from_their_membranes():
    weight = np.array([[0.5, -0.25], [1.0, 0.75]])
    readout = Layer(
        name="out", weight=weight, bias=np.array([0.25, 0.0]), threshold=np.full(2, 1e3),
        initial=0.0, spikes="ternary",
    )  # fmt: skip
    stream = EventStream(t=[0, 10, 99], address=[1, 0, 1], n_addresses=2, duration="100 us")
    run = simulate_events(SpikingNetwork(layers=(readout,)), stream, steps=4)
    total = weight[1] + weight[0] + weight[1] + 4 * readout.bias
    # One quantum is 1 / 2048 of the largest weight, and the end is read a moment early.
    np.testing.assert_allclose(run["output"][0, -1], total / 4, atol=1e-3)
    assert run["synaptic_events"].values.tolist() == [6]


def test_a_run_with_spikes_at_once_can_be_saved(tmp_path):
    network = branching()
    rng = np.random.default_rng(2)
    stream = EventStream(
        t=np.sort(rng.integers(0, 50, 300)), address=rng.integers(0, 72, 300),
        sign=rng.choice([-1, 1], 300), n_addresses=72, offsets=[0, 300, 300],
    )  # fmt: skip
    run = simulate_events(network, stream)
    recording.save(run, tmp_path / "run.nc")
    xr.testing.assert_equal(recording.load(tmp_path / "run.nc"), run)
    assert run.spk.accuracy([0, 1]).sizes == {"step": 16}
    counts = simulate_events(network, stream, record="counts", threads=1)
    np.testing.assert_array_equal(counts["row_size"], run["row_size"])
    recording.validate(counts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": {"none": 1e-3}}, r"delay expects names of layers \(only\), got none"),
        ({"delay": -1e-3}, "delay of layer 'only' expects a time >= 0"),
        ({"delay": {"only": np.zeros(3)}}, "one for each of its 1 inputs, got an array of shape"),
        ({"leak": 0.0}, "leak of layer 'only' expects a time constant > 0"),
        ({"refractory": math.nan}, "refractory expects a time >= 0, got nan"),
        ({"duration": "0 s"}, "duration expects a time > 0"),
        ({"record": "all"}, "record expects 'spikes' or 'counts'"),
        ({"steps": None}, "converted for any number of steps: give steps"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    stream = EventStream(t=[0], address=[0], n_addresses=1)
    with pytest.raises(ValueError, match=message):
        simulate_events(single(1.0, 0.0, 1.0), stream, **{"steps": 1, **options})


def test_streams_and_models_that_do_not_fit_are_refused():
    network = single(1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="has 1 inputs, but the stream 2 addresses"):
        simulate_events(network, EventStream(t=[0], address=[0], n_addresses=2), steps=1)
    with pytest.raises(TypeError, match="expects an EventStream, got list"):
        simulate_events(network, [1, 2], steps=1)
    stream = EventStream(t=[0], address=[0], n_addresses=1)
    signed = single(1.0, 0.0, 1.0, spikes="signed")
    with pytest.raises(ValueError, match="signed neurons, which count charge"):
        simulate_events(signed, stream, steps=1, leak="1 ms")
