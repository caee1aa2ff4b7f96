"""A crossbar between two groups of a Brian2 network, forwards, backwards, and for a batch.

python examples/brian2_crossbar.py
"""

import numpy as np
from brian2 import (
    Hz,
    NeuronGroup,
    PoissonGroup,
    SpikeMonitor,
    defaultclock,
    ms,
    run,
    seed,
    volt,
)

from spikeram.brian import CrossbarSynapses, sampling_neurons
from spikeram.crossbar import Crossbar

seed(0)
defaultclock.dt = 1 * ms

# Four patterns of 64 inputs, each stored in one column: +1 where it is active, -1 elsewhere.
patterns = np.random.default_rng(0).random((64, 4)) < 0.5
crossbar = Crossbar.from_weights(np.where(patterns, 1.0, -1.0))
layer = crossbar.charge()

# A batch of four samples: sample s shows pattern s. One crossbar serves all of them.
batch = 4
strength = np.where(patterns.T, 200, 20).ravel()
inputs = PoissonGroup(batch * 64, strength * Hz)
neurons = sampling_neurons(batch * 4, layer)
forward = CrossbarSynapses(inputs, neurons, crossbar, batch=batch, delay=2 * ms)

# The same array read the other way: what the neurons fire comes back to their inputs.
echo = NeuronGroup(batch * 64, "v : volt")
backward = CrossbarSynapses(neurons, echo, crossbar.T, batch=batch)

spikes = SpikeMonitor(neurons)
run(200 * ms)

counts = np.array(spikes.count).reshape(batch, 4)
print("spikes of each neuron (columns) for each pattern shown (rows):")
print(counts)
print("recognised:", counts.argmax(axis=1), "of", np.arange(batch))

recalled = np.array(echo.v / volt).reshape(batch, 64) > 0
print(f"inputs recalled from the spikes: {np.mean(recalled == patterns.T):.0%}")
print(f"one copy of the weights, for {batch} samples: {forward.weight.nbytes} bytes")
