r"""The event engine: layers driven by events, work for each event and none for silent steps.

An event reaches the membranes that its row of the crossbar drives: all columns of a fully connected
layer, the kernel's positions in a convolution. Between events a membrane follows a closed form
(`spikeram._kernels.events`), a constant drive and a leak among it, so that spikes fall where the
membrane meets its threshold, exactly. Events of one instant are added up before neurons compare:
their order does not matter, but for rounding where membranes drift or leak.

A network without loops needs no queue of events. All spikes of a layer's sources are known before
it runs, and delays only move them: sorting them once is what a queue would do one by one.

On the clock grid (`event`) neurons compare once in each step, and spikes are those of the clocked
engine, to the bit; in continuous time (`run_samples` with ``clocked=False``) they compare whenever
charge arrives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels import burst as bursts
from spikeram._kernels.events import integrate_events, pool_events
from spikeram.charge import ChargeLayer
from spikeram.clocked import check_readings, checked_stimulus
from spikeram.gather import Gather, every_input
from spikeram.pool import MaxPool
from spikeram.processors import Threads
from spikeram.read_noise import Reading
from spikeram.recording import Activity
from spikeram.wiring import INPUT, Wiring

_KINDS = {"unipolar": bursts.UNIPOLAR, "ternary": bursts.TERNARY, "signed": bursts.SIGNED}

_Result = TypeVar("_Result")
_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Train:
    """The events of one node for one sample, in the order of time.

    Parameters
    ----------
    t : float64 ndarray of shape (event,)
        When, in the run's unit of time.
    address : int64 ndarray of shape (event,)
        Which output of the node.
    number : float64 ndarray of shape (event,)
        How many spikes at once, with their sign.
    """

    t: _Floats
    address: NDArray[np.int64]
    number: _Floats


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How the neurons of a run keep time, in its unit of time.

    Parameters
    ----------
    stop : float
        The run's end: nothing happens then or later.
    per_unit : float
        Steps, of which each brings one bias, in a unit of time.
    clocked : bool
        Whether neurons compare at whole units only, once in each.
    refractory : float
        Least time between two firings of a neuron; what arrives meanwhile is kept.
    leak : mapping of str to float
        Leak rate of each layer, the inverse of its time constant; none for those that are not
        named.
    delay : mapping of str to float or ndarray of shape (input,)
        How long events travel to each layer, or to each of its rows; not at all to those that are
        not named.
    """

    stop: float
    per_unit: float = 1.0
    clocked: bool = False
    refractory: float = 0.0
    leak: Mapping[str, float] = field(default_factory=dict)
    delay: Mapping[str, float | _Floats] = field(default_factory=dict)


def event(
    nodes: Sequence[ChargeLayer | MaxPool],
    drive: Mapping[str, NDArray[np.int32]] | None,
    spikes: NDArray[np.int8] | None,
    *,
    steps: int,
    first_sample: int = 0,
    keys: Sequence[np.uint64] = (),
    readings: Mapping[str, Reading] = MappingProxyType({}),
    threads: int | None = None,
) -> Activity:
    """Return the activity of a batch, on the clock grid: the engine "event" of `simulate`.

    Parameters
    ----------
    nodes, drive, spikes, steps, first_sample, keys, readings, threads
        As for `spikeram.clocked.clocked`.

    Raises
    ------
    ValueError
        If something happens in every step of a layer, which no event tells of: noise, read noise,
        a leak that is rounded in each step, or a converter.
    """
    wiring = Wiring(nodes)
    n_samples = checked_stimulus(wiring, drive, spikes)
    check_readings(wiring.layers, readings)
    _check_still(wiring.layers)
    layers = wiring.layers
    fired = tuple(np.zeros((n_samples, steps, layer.n_outputs), np.int8) for layer in layers)
    membrane = np.empty((n_samples, steps, layers[-1].n_outputs), np.int32)
    run = EventRun(
        nodes, Timing(stop=float(steps), clocked=True), np.arange(steps).astype(np.float64)
    )

    def one(s: int) -> None:
        """Run a sample."""
        own = {} if drive is None else {name: values[s] for name, values in drive.items()}
        trains, membrane[s] = run(_silence() if spikes is None else _train(spikes[s]), own)
        for layer, target in zip(layers, fired):
            train = trains[layer.name]
            target[s, train.t.astype(np.int64), train.address] = train.number

    in_threads(one, n_samples, threads)
    return Activity(spikes=fired, membrane=membrane)


def check_runnable(layers: Sequence[ChargeLayer]) -> None:
    """Refuse layers in which something is drawn or converted in each step of a clock."""
    for layer in layers:
        for there, what, remedy in (
            (layer.noisy, "noise, drawn in every step", "take it out (chip.without)"),
            (layer.read is not None, "read noise, drawn in every step",
             "take it out (chip.without)"),
            (layer.digits, "converters, which convert in every step",
             "use other partial sums (chip.with_partial_sums('spiking'))"),
        ):  # fmt: skip
            if there:
                raise ValueError(
                    f"Layer {layer.name!r} has {what}, but the event engine runs no steps. Use "
                    f"engine='clocked', or {remedy}."
                )


def _check_still(layers: Sequence[ChargeLayer]) -> None:
    check_runnable(layers)
    for layer in layers:
        if layer.decay < 1:
            raise ValueError(
                f"Layer {layer.name!r} has a leak, which on a clock is rounded in every step. Use "
                "engine='clocked', or spikeram.simulate_events, which knows leaks in continuous "
                "time."
            )


class EventRun:
    """A network prepared for events; called with one sample's input, from any thread.

    Parameters
    ----------
    nodes : sequence of ChargeLayer and MaxPool
        From input to output, every node after its sources.
    timing : Timing
        How time passes.
    probes : float64 ndarray of shape (probe,)
        Ascending times at which the membranes of the last layer are read.
    """

    def __init__(
        self, nodes: Sequence[ChargeLayer | MaxPool], timing: Timing, probes: _Floats
    ) -> None:
        self._wiring = Wiring(nodes)
        self._timing = timing
        self._probes = probes
        self._prepared = {
            node.name: _Taps(node) if isinstance(node, MaxPool) else _Neurons(node, timing)
            for node in nodes
        }

    def __call__(
        self, stimulus: Train, drive: Mapping[str, NDArray[np.int32]] = MappingProxyType({})
    ) -> tuple[dict[str, Train], _Floats]:
        """Return the spikes of each layer, and the last one's membranes, (probe, output) [quanta].

        Parameters
        ----------
        stimulus : Train
            Spikes of the input.
        drive : mapping of str to int32 ndarray of shape (output,)
            Charge besides the bias that each step brings into layers [quanta].
        """
        trains = {INPUT: stimulus}
        trace = np.empty((0, 0))
        last = self._wiring.layers[-1]
        for node in self._wiring.nodes:
            arriving = self._arriving(node.name, trains)
            prepared = self._prepared[node.name]
            if isinstance(prepared, _Taps):
                trains[node.name] = prepared.events(arriving)
                continue
            probes = self._probes if node is last else self._probes[:0]
            trains[node.name], trace = prepared.events(arriving, drive.get(node.name), probes)
        return trains, trace

    def synaptic_events(self, trains: Mapping[str, Train]) -> int:
        """Return how often spikes changed membranes in a run, given what it returned."""
        total = 0
        for layer in self._wiring.layers:
            arriving = self._arriving(layer.name, trains)
            early = arriving.address[arriving.t < self._timing.stop]
            each = 1 if layer.gather is None else layer.gather.reuse[early]
            total += layer.n_columns * int(np.sum(np.broadcast_to(each, early.shape)))
        return total

    def _arriving(self, name: str, trains: Mapping[str, Train]) -> Train:
        """Return the spikes of all sources of a node as they arrive, in the order of time."""
        parts = [(trains[source], part.start) for source, part in self._wiring.parts(name)]
        delay = self._timing.delay.get(name, 0.0)
        if len(parts) == 1 and isinstance(delay, float):
            train = parts[0][0]
            return train if delay == 0.0 else Train(train.t + delay, train.address, train.number)
        address = np.concatenate([train.address + first for train, first in parts])
        t = np.concatenate([train.t for train, _ in parts])
        t = t + (delay if isinstance(delay, float) else delay[address])
        return _in_order(t, address, np.concatenate([train.number for train, _ in parts]))


class _Neurons:
    """The neurons of a layer in the kernel's order: position by position."""

    def __init__(self, layer: ChargeLayer, timing: Timing) -> None:
        self._layer = layer
        self._timing = timing
        gather = every_input(layer.n_inputs) if layer.gather is None else layer.gather
        start, position, row = gather.places
        self._places = start, position.astype(np.int64), row.astype(np.int64)
        self._threshold, self._negative, self._initial = (
            self._by_position(values) for values in (layer.threshold, layer.negative, layer.initial)
        )

    def _by_position(self, values: NDArray[np.int32]) -> _Floats:
        columns = values.reshape(self._layer.n_columns, -1)
        return np.ascontiguousarray(columns.T, dtype=np.float64)

    def events(
        self, arriving: Train, drive: NDArray[np.int32] | None, probes: _Floats
    ) -> tuple[Train, _Floats]:
        """Return the layer's spikes and, at the probes, its membranes."""
        layer, timing = self._layer, self._timing
        bias = layer.bias if drive is None else layer.bias + drive
        trace = np.empty((probes.size, *self._threshold.shape))
        found = integrate_events(
            arriving.t, arriving.address, arriving.number, *self._places, layer.weight,
            self._by_position(bias) * timing.per_unit, self._threshold, self._negative,
            self._initial, float(layer.rail), _KINDS[layer.spikes], layer.reset == "subtract",
            layer.burst, timing.leak.get(layer.name, 0.0),
            1.0 if timing.clocked else timing.refractory, timing.clocked, timing.stop, probes,
            trace,
        )  # fmt: skip
        neuron = found[:, 2] * layer.n_positions + found[:, 1]
        by_neuron = np.swapaxes(trace, 1, 2).reshape(probes.size, layer.n_outputs)
        return _in_order(found[:, 0], neuron.astype(np.int64), found[:, 3]), by_neuron


class _Taps:
    """The outputs of a max pool at each of its inputs."""

    def __init__(self, pool: MaxPool) -> None:
        self._index = pool.index
        self._n_inputs = pool.least_inputs
        start, output, _ = Gather(pool.index[:, np.newaxis], self._n_inputs).places
        self._start, self._output = start, output.astype(np.int64)

    def events(self, arriving: Train) -> Train:
        """Return the pool's spikes."""
        # Inputs that no output looks at come last.
        seen = arriving.address < self._n_inputs
        found = pool_events(
            arriving.t[seen], arriving.address[seen], arriving.number[seen], self._start,
            self._output, self._index,
        )  # fmt: skip
        return _in_order(found[:, 0], found[:, 1].astype(np.int64), found[:, 3])


def in_threads(run: Callable[[int], _Result], n_samples: int, threads: int | None) -> list[_Result]:
    """Return what `run` gives for each sample, shared out to threads."""
    with Threads(threads) as shared:
        return shared.each(run, range(n_samples))


def longest_delay(wiring: Wiring[ChargeLayer], timing: Timing) -> float:
    """Return the longest time from an input event to the last layer, in units of time."""
    latest = {INPUT: 0.0}
    for node in wiring.nodes:
        own = float(np.max(timing.delay.get(node.name, 0.0)))
        latest[node.name] = own + max(latest[source] for source in wiring.sources[node.name])
    return latest[wiring.nodes[-1].name]


def leak_rate(layer: ChargeLayer, dt: float) -> float:
    """Return the leak rate of a layer whose membrane shrinks by ``decay`` in `dt`."""
    if layer.decay == 1:
        return 0.0
    return math.inf if layer.decay == 0 else -math.log(layer.decay) / dt


def _silence() -> Train:
    return Train(np.empty(0), np.empty(0, np.int64), np.empty(0))


def _train(spikes: NDArray[np.int8]) -> Train:
    """Return the spikes of one sample, of shape (step, input), as events."""
    step, address = np.nonzero(spikes)
    return Train(step.astype(np.float64), address, spikes[step, address].astype(np.float64))


def _in_order(t: _Floats, address: NDArray[np.int64], number: _Floats) -> Train:
    if np.all(t[1:] >= t[:-1]):
        return Train(np.ascontiguousarray(t), address, np.ascontiguousarray(number))
    order = np.argsort(t, kind="stable")
    return Train(t[order], address[order], number[order])
