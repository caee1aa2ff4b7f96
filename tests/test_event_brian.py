"""Leaky neurons with delays in continuous time, against Brian2 on a fine clock."""

import dataclasses

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
    layers = [dataclasses.replace(layer) for layer in model.charge_layers()]
    expected = brian(layers, step * DT, address)
    for n, (layer, trains) in enumerate(zip(layers, expected)):
        neurons = recording.members(run, layer.name)
        assert sum(train.size for train in trains) > 20
        for neuron, train in zip(neurons, trains):
            found = recording.spike_times(run, 0, neuron)
            assert found.size == train.size
            # A clock sees what arrives in a step in the next one, and a crossing at its end: two
            # steps late in each layer. What leaks or drifts meanwhile moves crossings by a step.
            late = train - found
            assert np.all((late > -2 * DT) & (late < (2 * (n + 1) + 2) * DT))
