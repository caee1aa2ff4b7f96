"""Membrane: the state of one node's neurons, and what a step does to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikeram.conversion.nir import neurons
from spikeram.conversion.nir.assume import Conventions, Reset, Settled
from spikeram.conversion.nir.graph import Neuron
from spikeram.conversion.nir.parameters import Array, Shape, as_array, broadcasting
from spikeram.errors import ConversionError


@dataclass(eq=False, kw_only=True)
class Membrane:
    """Membranes of shape (sample, ...), one step at a time; see `spikeram.conversion.nir.assume`.

    Parameters
    ----------
    v, current : ndarray of shape (sample, ...)
        Membrane, and current of the synapse where there is one.
    rest, keep, gain : ndarray
        Rest of the membrane, share that stays in a step, and what an input of 1 adds.
    keep_syn, gain_syn : ndarray or None
        The same of the synapse.
    threshold, v_reset : ndarray or None
        None for integrators, whose output is the membrane.
    reset : {"subtract", "v_reset"}
        What a spike does.
    conventions : Conventions
        The rest.
    """

    v: Array
    current: Array
    rest: Array
    keep: Array
    gain: Array
    keep_syn: Array | None
    gain_syn: Array | None
    threshold: Array | None
    v_reset: Array
    reset: Reset
    conventions: Conventions

    def step(self, x: Array) -> Array:
        """Integrate one step's input, and return the spikes, or the membrane of an integrator."""
        if self.keep_syn is not None and self.gain_syn is not None:
            self.current = self.keep_syn * self.current + self.gain_syn * x
            x = self.current
        self.v = self.rest + self.keep * (self.v - self.rest) + self.gain * x
        if self.threshold is None:
            return self.v
        spikes = self._spikes(self.threshold)
        if self.reset == "subtract":
            self.v = self.v - spikes * self.threshold
        else:
            self.v = np.where(spikes > 0, self.v_reset, self.v)
        if self.conventions.floor == "threshold":
            self.v = np.maximum(self.v, -self.threshold)
        return spikes

    def _spikes(self, threshold: Array) -> Array:
        above = self.v > threshold if self.conventions.fires == "above" else self.v >= threshold
        fired = above.astype(np.float64)
        if self.conventions.spikes == "one":
            return fired
        return np.where(above, np.maximum(np.trunc(self.v / threshold), fired), 0.0)


def membrane(node: Neuron, shape: Shape, *, settled: Settled, reset: Reset) -> Membrane:
    """Return the membranes of a node before the first step.

    Parameters
    ----------
    node : node
        An integrator or a spiking neuron.
    shape : tuple of int
        Shape with the samples, (sample, ...).
    settled : Settled
        Conventions for the graph.
    reset : {"subtract", "v_reset"}
        What a spike does at this node.
    """
    conventions, dt = settled.conventions, settled.dt
    rest = np.zeros(())
    keep_syn = gain_syn = None
    match node:
        case neurons.I() | neurons.IF():
            keep, gain = np.ones(()), np.full((), dt)
        case neurons.LI() | neurons.LIF():
            keep, gain = _decay(node.tau, dt, conventions)
            rest = node.v_leak
        case neurons.CubaLI() | neurons.CubaLIF():
            keep, gain = _decay(node.tau_mem, dt, conventions)
            keep_syn, gain_syn = _decay(node.tau_syn, dt, conventions)
            gain_syn = (1.0 if conventions.resistance == "per_step" else gain_syn) * node.w_in
            rest = node.v_leak
    threshold, v_reset = None, np.zeros(())
    if isinstance(node, neurons.SPIKING):
        threshold = node.v_threshold
        v_reset = v_reset if node.v_reset is None else node.v_reset
    return Membrane(
        v=np.broadcast_to(_initial(node, rest, conventions, shape[1:]), shape).copy(),
        current=np.zeros(shape),
        rest=rest,
        keep=keep,
        gain=(1.0 if conventions.resistance == "per_step" else gain) * node.r,
        keep_syn=keep_syn,
        gain_syn=gain_syn,
        threshold=threshold,
        v_reset=v_reset,
        reset=reset,
        conventions=conventions,
    )


def _decay(tau: Array, dt: float, conventions: Conventions) -> tuple[Array, Array]:
    keep = np.exp(-dt / tau) if conventions.leak == "exponential" else 1 - dt / tau
    return keep, 1 - keep if conventions.leak == "exponential" else dt / tau


def _initial(node: Neuron, rest: Array, conventions: Conventions, shape: Shape) -> Array:
    if conventions.initial == "zero":
        return np.zeros(())
    given = node.metadata.get("v_initial") if conventions.initial == "from metadata" else None
    if given is None:
        return rest
    try:
        value = as_array(given, "v_initial")
        broadcasting("v_initial", value.shape, shape)
    except ValueError as error:
        raise ConversionError(f"Metadata of a neuron: {error}") from None
    return value
