"""A spiking network run node by node, so that each layer can be changed before it fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikeram.burst import most_spikes
from spikeram.charge import ChargeLayer
from spikeram.clocked import charge_of, fire, incoming
from spikeram.encoding import LEVELS, constant_drive
from spikeram.network import SpikingNetwork
from spikeram.pool import MaxPool
from spikeram.wiring import INPUT


class Walk:
    """Spike trains on their way through a network under constant-current input.

    Layers are taken in order: `arriving` tells what drives one, `fire` sends its spikes on.

    Parameters
    ----------
    network : SpikingNetwork
        What is walked through; layers that take the place of its own have its sizes.
    levels : int16 ndarray of shape (sample, input)
        Input levels of the converter.
    steps : int
        Number of steps.
    """

    def __init__(self, network: SpikingNetwork, levels: NDArray[np.int16], steps: int) -> None:
        self._network = network
        self._levels = levels
        self._steps = steps
        self._trains: dict[str, NDArray[np.int8]] = {}
        self._charge: dict[str, NDArray[np.int32] | None] = {}
        self._done = network.wiring.last_readers()
        self._most = most_spikes(network.wiring)

    def arriving(self, layer: ChargeLayer) -> NDArray[np.int8] | None:
        """Return the spikes at a layer's inputs; None where the input alone drives it."""
        return incoming(self._network.wiring, layer.name, self._trains)

    def rates(self, layer: ChargeLayer, worth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean values that arrive at a layer's inputs, of shape (sample, input).

        Parameters
        ----------
        layer : ChargeLayer
            The layer.
        worth : ndarray of shape (input,)
            What a spike of each input stands for.
        """
        shares = np.zeros((self._levels.shape[0], layer.n_inputs))
        for source, part in self._network.wiring.parts(layer.name):
            if source == INPUT:
                shares[:, part] = self._levels / LEVELS
            else:
                shares[:, part] = self._trains[source].mean(axis=1)
        return shares * worth

    def drive(self, layer: ChargeLayer) -> NDArray[np.float64]:
        """Return the mean charge that arrives at a layer in a step, without bias, in quanta."""
        spikes = self.arriving(layer)
        charge = np.zeros((self._levels.shape[0], layer.n_outputs))
        if spikes is not None:
            charge += layer.sums(spikes.mean(axis=1))
        constant = self._constant(layer)
        return charge if constant is None else charge + constant

    def fire(self, layer: ChargeLayer) -> NDArray[np.int8]:
        """Return a layer's spikes, which what follows will receive; it may fire anew.

        The charge that arrives is added up once: only biases and thresholds may change
        between two calls for one layer.
        """
        if layer.name not in self._charge:
            spikes = self.arriving(layer)
            most = max(self._most[source] for source in self._network.wiring.sources[layer.name])
            self._charge = {layer.name: None if spikes is None else charge_of(layer, spikes, most)}
        charge = self._charge[layer.name]
        fired, _ = fire(layer, charge, self._constant(layer), steps=self._steps)
        self._trains[layer.name] = fired
        return fired

    def pass_on(self, nodes: Sequence[ChargeLayer]) -> None:
        """Let the partial neurons of a layer fire, and its soma on what they send."""
        *parts, soma = nodes
        if not parts:
            self.fire(soma)
            return
        trains = []
        for part in parts:
            one = replace(part, name=soma.name)
            spikes = self.arriving(one)
            charge = None if spikes is None else charge_of(one, spikes)
            trains.append(fire(one, charge, self._constant(one), steps=self._steps)[0])
        charge = charge_of(soma, np.concatenate(trains, axis=2))
        self._trains[soma.name], _ = fire(soma, charge)

    def leave(self, name: str) -> None:
        """Go on behind a layer: the pools after it count, trains that nobody reads are dropped."""
        nodes = self._network.nodes
        place = next(n for n, node in enumerate(nodes) if node.name == name)
        self._drop(name)
        for node in _pools(nodes[place + 1 :]):
            (source,) = self._network.wiring.sources[node.name]
            self._trains[node.name] = node.spikes(self._trains[source])
            self._drop(node.name)

    def _constant(self, layer: ChargeLayer) -> NDArray[np.int32] | None:
        if INPUT not in self._network.wiring.sources[layer.name]:
            return None
        return constant_drive(self._levels, layer, self._network.wiring.parts(layer.name))

    def _drop(self, name: str) -> None:
        for source in self._done[name]:
            self._trains.pop(source, None)


def _pools(nodes: Sequence[object]) -> list[MaxPool]:
    """Return the pools before the next layer."""
    found = []
    for node in nodes:
        if not isinstance(node, MaxPool):
            break
        found.append(node)
    return found
