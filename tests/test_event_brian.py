"""Leaky neurons with delays in continuous time, against Brian2 on a fine clock."""

import brian2 as b2
import numpy as np

from spikeram import recording
from spikeram.asynchronous import simulate_events
from spikeram.event_stream import EventStream
from spikeram.layer import Layer
from spikeram.network import SpikingNetwork

DT = 10e-6
TAU, DELAY, DURATION, STEPS = 4e-3, 1.2e-3, 20e-3, 20


def network(seed=0):
    rng = np.random.default_rng(seed)
    layers = [
        Layer(
            name=name, weight=rng.normal(0.2, 0.2, (a, b)), bias=rng.normal(0.1, 0.1, b),
            threshold=np.full(b, 1.0), initial=0.0,
        )
        for name, a, b in (("first", 6, 5), ("second", 5, 4))
    ]  # fmt: skip
    return SpikingNetwork(layers=tuple(layers), steps=STEPS)


def brian(layers, t, address):
    """Return spike times of each layer's neurons, every operation Brian2's own."""
    b2.start_scope()
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = DT * b2.second
    source = b2.SpikeGeneratorGroup(6, address, t * b2.second)
    objects, monitors = [source], []
    for layer in layers:
        group = b2.NeuronGroup(
            layer.n_outputs, "dv/dt = b - v/tau : 1\nb : Hz\ntheta : 1", threshold="v >= theta",
            reset="v -= theta", method="exact", namespace={"tau": TAU * b2.second},
        )  # fmt: skip
        group.b = layer.bias * STEPS / DURATION * b2.Hz
        group.theta = layer.threshold
        synapses = b2.Synapses(source, group, "w : 1", on_pre="v_post += w")
        synapses.connect()
        synapses.w = layer.weight.reshape(-1)
        synapses.delay = DELAY * b2.second
        monitors.append(b2.SpikeMonitor(group))
        objects += [group, synapses, monitors[-1]]
        source = group
    b2.Network(objects).run(DURATION * b2.second)
    return [
        [np.asarray(m.t)[np.asarray(m.i) == j] for j in range(layer.n_outputs)]
        for m, layer in zip(monitors, layers)
    ]


def test_leaky_neurons_with_delays_fire_when_brian2s_do():
    model = network()
    rng = np.random.default_rng(1)
    # On Brian2's grid, at most one spike of an input in a step, and none too late to matter.
    step = np.sort(rng.choice(int(0.9 * DURATION / DT), 150, replace=False))
    address = rng.integers(0, 6, 150)
    stream = EventStream(t=step, address=address, n_addresses=6, tick=DT, duration=DURATION)
    run = simulate_events(model, stream, leak=TAU, delay=DELAY, duration=DURATION)
    layers = model.charge_layers()
    expected = brian(layers, step * DT, address)
    for n, (layer, trains) in enumerate(zip(layers, expected)):
        neurons = recording.members(run, layer.name)
        close, total = 0, 0
        for neuron, train in zip(neurons, trains):
            found = recording.spike_times(run, 0, neuron)
            assert abs(found.size - train.size) <= 1
            # A clock compares one step after the events, in each layer, and crossings at its end.
            late = found[:, np.newaxis] + DT * (n + 1) - train
            close += np.count_nonzero(np.abs(late).min(axis=1) < 1.5 * DT)
            total += found.size
        # In a step a membrane loses DT / TAU, 1/80 of a typical event: of the spikes, about that
        # share misses the threshold on the clock, waits for the next event, and shifts what
        # follows; the second layer inherits what the first one shifts.
        assert total > 100
        assert close > (0.9 - 0.1 * n) * total
