r"""Crossbars and sampling neurons in Brian2; the one module that imports it.

A sampling neuron's step, in Brian2's own order: *groups* takes the charge that has arrived since
the last step onto the membrane, *thresholds* compares, *synapses* brings the charge of this
step's spikes, which waits for the next sample, and *resets* takes one threshold away.

.. math:: v \leftarrow \mathrm{clip}(\lambda v + q + d + \xi,\ \pm v_{rail}), \qquad q \leftarrow 0

with the membrane :math:`v`, its decay :math:`\lambda` (1 without a leak), the charge that waits
:math:`q`, the constant drive :math:`d` and the noise :math:`\xi` of the step (0 in a silent
neuron), all in volts on the integration capacitor. A layer brings each of them, :math:`\lambda v`
by rounding, as a whole number of quanta, a power of two in volts: float64 adds them exactly.

Signed neurons keep their net count in ``net`` and compare with the thresholds of `spikeram.neuron`.
Neurons with bursts compare several times already in *groups*, and say in ``burst_size`` how many
spikes this step has, with their sign: one event stands for all of them.
A max pool is a group whose spikes are set in *after_thresholds*, once its source has fired, so that
*synapses* sends them on in the same step. Where branches of unequal length meet, the synapses of
the shorter one have a delay.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from brian2 import (
    BrianObject,
    Clock,
    EventMonitor,
    Function,
    Network,
    NetworkOperation,
    NeuronGroup,
    SpikeGeneratorGroup,
    StateMonitor,
    Synapses,
    get_device,
    ms,
    prefs,
    second,
    volt,
)
from brian2.codegen.runtime.numpy_rt import NumpyCodeObject
from brian2.core.spikesource import SpikeSource
from brian2.core.variables import ArrayVariable
from brian2.devices.device import RuntimeDevice
from brian2.groups.group import Group
from brian2.units import get_dimensions
from brian2.utils.logger import get_logger
from numpy.typing import NDArray

from spikeram._kernels.burst import scatter_bursts
from spikeram._kernels.crossbar import scatter_spikes
from spikeram._kernels.neuron import fill_noise
from spikeram._kernels.pool import pool_step
from spikeram.charge import WEIGHT_LIMIT, ChargeLayer, charge_layer
from spikeram.clocked import check_readings, checked_stimulus
from spikeram.crossbar import Crossbar
from spikeram.neuron import SamplingNeuron
from spikeram.pool import MaxPool
from spikeram.read_noise import Reading
from spikeram.recording import Activity
from spikeram.seeds import Purpose, Seed, key
from spikeram.units import Quantity, as_si
from spikeram.wiring import INPUT, Wiring

NEGATIVE_SPIKE = "negative_spike"
"""Name of the Brian2 event of a spike of sign -1."""

NUMBER = "burst_size"
"""Name of the variable that says how many spikes an event of a neuron with bursts stands for."""

Connect: TypeAlias = Callable[..., BrianObject]
"""What joins two groups, from (source, target, layer, batch, sign, delay=time)."""

# Brian2 shows only what is logged below its own name.
_logger = get_logger("brian2.spikeram")

_NEURON = """
v : volt
charge : volt
drive : volt
theta : volt (constant)
rail : volt (shared, constant)
"""
_SIGNED = """
net : 1
theta_n : volt (constant)
low : volt (constant)
"""
# Of neurons without weights [V]: that of a full array.
_QUANTUM = 2.0**-22

_Pending: TypeAlias = tuple[int, NDArray[np.int32], NDArray[np.int8]]


class CrossbarSynapses(BrianObject):
    """All synapses of a crossbar, run as `brian2.Synapses` would run them, but stored once.

    Each spike of input i adds row i of the effective weights to the target variable. The weights
    are static, shared by the whole batch, and held once as int16.

    Parameters
    ----------
    source : brian2 group with spikes, or a subgroup
        ``batch`` times as many neurons as the crossbar has inputs. Where it has an event
        ``negative_spike``, as `sampling_neurons` that fire both ways do, those take charge away;
        where it has a variable ``burst_size``, as those with bursts do, an event counts so often.
    target : brian2 group, or a subgroup
        ``batch`` times as many neurons as the crossbar has outputs.
    crossbar : Crossbar or ChargeLayer
        The effective weights; ``crossbar.T`` for the backward direction. Those of a convolution
        are unrolled: a column for each output neuron.
    on : str, optional
        The target's variable that takes the charge, in volts; by default ``charge`` where the
        target has it, as `sampling_neurons` do, and ``v`` otherwise. As with Synapses, a variable
        marked ``(unless refractory)`` takes none while its neuron is refractory.
    sign : {1, -1}
        Worth of the source's ``spike``; -1 for the negative half of a ternary input.
    delay : Quantity, optional
        One delay for all synapses [s], rounded to steps of the source.
    batch : int
        Number of independent samples; neuron ``sample * n + i`` is neuron i of that sample.
    when, order : str, int
        Slot and order in the schedule; by default those of the pre pathway of Synapses.
    name : str
        The object's name.

    Attributes
    ----------
    layer : ChargeLayer
        The effective weights in quanta of charge.

    Notes
    -----
    It runs on the clock of `source`, as the pathway of Synapses does. On a device without
    run-time objects (C++ standalone, GeNN, CUDA) the call returns ordinary `brian2.Synapses` with
    the same weights, one block of them for each sample of the batch.
    """

    add_to_magic_network = True

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """Return ordinary Synapses where the device has no run-time objects."""
        # Such devices look for Synapses themselves: what merely contains them is passed over.
        if isinstance(get_device(), RuntimeDevice):
            return super().__new__(cls)
        given = signature(cls.__init__).bind(None, *args, **options)
        given.apply_defaults()
        del given.arguments["self"]
        return _ordinary_synapses(**given.arguments)

    def __init__(
        self,
        source: SpikeSource,
        target: Group,
        crossbar: Crossbar | ChargeLayer,
        *,
        on: str | None = None,
        sign: Literal[1, -1] = 1,
        delay: Quantity | None = None,
        batch: int = 1,
        when: str = "synapses",
        order: int = -1,
        name: str = "crossbarsynapses*",
    ) -> None:
        self._link = link = _linked(source, target, crossbar, on, sign, delay, batch)
        super().__init__(clock=source.clock, when=when, order=order, name=name)
        self.source = source
        self.target = target
        self.layer = link.layer
        self.delay = link.delay * second
        self.add_dependency(source)
        self.add_dependency(target)
        self.weight = np.ascontiguousarray(link.layer.weight)
        self._tiles = link.layer.tiles
        self._device = get_device()
        self._now = 0
        self._dt: float | None = None
        self._pending: deque[_Pending] = deque()

    def before_run(self, run_namespace: Mapping[str, Any]) -> None:
        """Look up the arrays and the delay in steps; part of Brian2's protocol."""
        _check_device(self, self._device)
        super().before_run(run_namespace)
        if self.target.codeobj_class is None and not _compiled():
            _tell_what_a_compiler_gives()
        self._check_clocks()
        dt = float(self.source.clock.dt_)
        if self._dt is not None and self._dt != dt:
            self._pending = deque(
                (self._now + _to_steps((due - self._now) * self._dt, dt), indices, signs)
                for due, indices, signs in self._pending
            )
        self._dt = dt
        self._delay_steps = _to_steps(self._link.delay, dt)
        variable = self.target.variables[self._link.on]
        here = slice(self.target.start, self.target.stop)
        condition = variable.conditional_write
        self._membrane = variable.get_value()[here]
        self._free = None if condition is None else condition.get_value()[here]
        self._eventspaces = [
            (self.source.variables[f"_{event}space"].get_value(), sign)
            for event, sign in self._link.events.items()
        ]
        self._numbers = _numbers(self.source)

    def run(self) -> None:
        """Take the source's spikes, and deliver those that are due; part of Brian2's protocol."""
        indices, signs = self._fired()
        if indices.size:
            self._pending.append((self._now + self._delay_steps, indices, signs))
        # One delay for all: what was sent first is due first.
        while self._pending and self._pending[0][0] <= self._now:
            self._deliver(*self._pending.popleft()[1:])
        self._now += 1

    def _fired(self) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        start, stop = self.source.start, self.source.stop
        indices, signs = [], []
        for space, sign in self._eventspaces:
            events = space[: space[-1]]
            some = events[(events >= start) & (events < stop)] - start
            indices.append(some.astype(np.int32))
            signs.append(np.full(some.size, sign, np.int8))
            if self._numbers is not None:
                signs[-1] *= np.abs(self._numbers[some + start]).astype(np.int8)
        found = np.concatenate(indices)
        # The kernel takes one sample after the other; events of two kinds, and spikes given
        # at different times within one step, come in any order.
        order = np.argsort(found, kind="stable")
        return found[order], np.concatenate(signs)[order]

    def _deliver(self, indices: NDArray[np.int32], signs: NDArray[np.int8]) -> None:
        charged = self._membrane if self._free is None else self._membrane.copy()
        scatter = scatter_spikes if self._numbers is None else scatter_bursts
        by_sample = charged.reshape(-1, self.layer.n_outputs)
        scatter(indices, signs, self.layer.n_inputs, self._tiles, self.layer.quantum, by_sample)
        if self._free is not None:
            np.copyto(self._membrane, charged, where=self._free)

    def _check_clocks(self) -> None:
        if self.source.clock.dt_ != self.target.clock.dt_:
            _logger.warn(
                f"{self.name} runs on the clock of its source {self.source.name!r}, with a dt of "
                f"{self.source.clock.dt}, but its target {self.target.name!r} has a dt of "
                f"{self.target.clock.dt}. Delays are rounded to steps of the source.",
                "synapses_dt_mismatch",
                once=True,
            )

    def _full_state(self) -> dict[str, Any]:
        return {"now": self._now, "dt": self._dt, "pending": tuple(self._pending)}

    def _restore_from_full_state(self, state: Mapping[str, Any]) -> None:
        self._now, self._dt = state["now"], state["dt"]
        self._pending = deque(state["pending"])


def sampling_neurons(
    n: int,
    neuron: SamplingNeuron | ChargeLayer,
    *,
    dt: Quantity | None = None,
    clock: Clock | None = None,
    seed: Seed | None = None,
    address: tuple[int, ...] = (),
    name: str = "samplingneurons*",
) -> NeuronGroup:
    """Return a group of sampling neurons, with one sample-integrate-compare cycle in each step.

    Parameters
    ----------
    n : int
        Number of neurons; for a layer, a multiple of its outputs: one set for each sample.
    neuron : SamplingNeuron or ChargeLayer
        One kind of neuron for all; or a layer, which brings each neuron's threshold, drive and
        initial membrane.
    dt : Quantity, optional
        Duration of one step [s].
    clock : brian2.Clock, optional
        The clock of the steps; without `dt` and `clock`, Brian2's default clock.
    seed : int or numpy.random.SeedSequence, optional
        Needed where neurons are noisy. Noise is addressed by (seed, address, step, sample,
        neuron), where the step is the clock's.
    address : tuple of int
        Of the noise: groups with the same seed and address draw the same noise, and all others
        independent noise. ``(c, n)`` is that of `simulate` for layer n, counted from 0, of the
        chip with index c; an ideal network counts as chip 0.
    name : str
        The group's name.

    Returns
    -------
    brian2.NeuronGroup
        With the variables ``v`` (membrane), ``charge`` (arrived since the last step; the target
        of synapses), ``drive`` (charge of every step), ``theta`` (threshold and decrement) and
        ``rail``, all in volts on the integration capacitor. Ternary and signed neurons have an
        event ``negative_spike`` besides ``spike``; signed ones keep their net count in ``net``.
        Those with bursts have fired when ``v`` is updated, and say in ``burst_size`` how often.

    Notes
    -----
    A layer's neurons fire the spikes of the engines, to the bit, when the same charge arrives in
    the same steps. The engines count the steps of each layer from the first that its input can
    reach; here they are the clock's, and drive, leak and noise act from its first step on.

    A `SamplingNeuron` knows no weights: its voltages are rounded to quanta of 2**-22 V, and its
    leak is that of the clock's step when the group is made. A layer has its own quantum, and its
    own decay in each step, however long.
    """
    step = None if dt is None else as_si(dt, "s", "sampling_neurons.dt") * second
    layer = _unconnected(neuron, n, step, clock) if isinstance(neuron, SamplingNeuron) else neuron
    if not isinstance(layer, ChargeLayer):
        raise TypeError(
            f"sampling_neurons expects a SamplingNeuron or a ChargeLayer, got {type(neuron)}."
        )
    if n < 1 or n % layer.n_outputs:
        raise ValueError(
            f"sampling_neurons expects a multiple of the {layer.n_outputs} neurons of the layer, "
            f"got {n}."
        )
    if layer.noisy and seed is None:
        raise ValueError("These neurons draw random numbers in every step: give a seed.")
    if layer.read is not None:
        raise ValueError(
            f"Read noise of layer {layer.name!r} depends on the rows that are driven, which a "
            "group of neurons does not know. Use simulate(..., engine='brian2'), or leave it out "
            "with dataclasses.replace(layer, read=None)."
        )
    batch = n // layer.n_outputs
    group = _neuron_group(layer, batch, dt=step, clock=clock, name=name)
    _open(group, layer, batch)
    if layer.noisy and seed is not None:
        noise_key = key(seed, Purpose.NEURON_NOISE, *_checked_address(address))
        group.contained_objects.append(_Noise(group, layer, noise_key))
    return group


def run_network(
    nodes: Sequence[ChargeLayer | MaxPool],
    drive: Mapping[str, NDArray[np.int32]] | None,
    spikes: NDArray[np.int8] | None,
    *,
    steps: int,
    first_sample: int = 0,
    keys: Sequence[np.uint64] = (),
    readings: Mapping[str, Reading] = MappingProxyType({}),
    connect: Connect | None = None,
) -> Activity:
    """Return the activity of a batch, run by Brian2 step by step.

    The steps of a layer begin one after the latest of its sources'; spikes of sources that began
    earlier wait. Before, its neurons rest at 0; what it fires after its own steps is left out.

    Parameters
    ----------
    nodes : sequence of ChargeLayer and MaxPool
        From input to output, every node after its sources.
    drive : mapping of str to int32 ndarray of shape (sample, output), or None
        Constant charge of every step into each layer that reads the input, besides its bias
        [quanta].
    spikes : int8 ndarray of shape (sample, step, input) or None
        Input spikes. Exactly one of `drive` and `spikes` is given.
    steps : int
        Number of steps that each layer integrates.
    first_sample : int
        Number of the first sample in the whole run: noise is addressed by it.
    keys : sequence of numpy.uint64
        Key of each layer's noise; may be empty when no layer draws.
    readings : mapping of str to Reading
        Of each layer whose cells fluctuate, what draws its read noise.
    connect : callable, optional
        Returns what joins two groups, from (source, target, layer, batch, sign, delay=time), where
        `layer` holds the source's part of the rows; by default `CrossbarSynapses`.

    Raises
    ------
    KeyboardInterrupt
        When the run was stopped, by Ctrl-C or by `brian2.stop`.
    """
    wiring = Wiring(nodes)
    batch = checked_stimulus(wiring, drive, spikes)
    check_readings(wiring.layers, readings)
    _require_runtime("run_network", "Call brian2.set_device('runtime') first.")
    clock = Clock(dt=1 * ms)
    # Brian2 knows no shared matrix: a convolution's has a column for each of its neurons here.
    layers = {layer.name: layer.unrolled for layer in wiring.layers}
    starts = wiring.starts(constant_input=spikes is None)
    # Without the compiled target: its compilation would take longer than most runs.
    groups = {
        name: _neuron_group(layer, batch, clock=clock, codeobj_class=NumpyCodeObject)
        for name, layer in layers.items()
    }
    sources: dict[str, _Signed] = {name: [(group, 1)] for name, group in groups.items()}
    if spikes is not None:
        sources[INPUT] = _generators(spikes, clock)
    objects: list[BrianObject] = [group for group, _ in sources.get(INPUT, [])]
    for order, node in enumerate(nodes):
        if isinstance(node, MaxPool):
            pool = _Pool(node, sources[wiring.sources[node.name][0]], batch, order=2 * order + 1)
            sources[node.name] = [(pool.group, 1)]
            objects += [pool, pool.group]
    join = connect or _crossbar_synapses
    for name, layer in layers.items():
        for source, part in wiring.parts(name):
            own = replace(layer, weight=layer.weight[part])
            wait = (starts[name] - starts[source] - 1) * clock.dt
            objects += [
                join(group, groups[name], own, batch, sign, delay=wait)
                for group, sign in sources.get(source, [])
            ]
    noise_keys = dict(zip(layers, keys))
    for name, layer in layers.items():
        arrivals = None
        if layer.read is not None:
            parts = [
                (sources.get(source, []), part, starts[name] - starts[source] - 1)
                for source, part in wiring.parts(name)
            ]
            arrivals = _Arrivals(readings[name], parts, batch)
        if layer.noisy or arrivals is not None:
            objects.append(
                _Noise(
                    groups[name], layer, noise_keys.get(name, np.uint64(0)), arrivals=arrivals,
                    first_step=starts[name], first_sample=first_sample,
                )
            )  # fmt: skip

    def open_windows() -> None:
        """Let the layers whose windows start in this step begin."""
        now = int(clock.variables["timestep"].item())
        for name, layer in layers.items():
            if starts[name] == now:
                _open(groups[name], layer, batch, (drive or {}).get(name))

    fired = {name: _monitors(group) for name, group in groups.items()}
    last = nodes[-1].name
    membrane = StateMonitor(
        groups[last], "v", record=True, when="end", codeobj_class=NumpyCodeObject
    )
    window = NetworkOperation(open_windows, clock=clock, when="start")
    network = Network(*groups.values(), *objects, *fired.values(), membrane, window)
    _run_to_the_end(network, clock, max(starts.values()) + steps)
    trace = np.asarray(membrane.v_)[:, starts[last] : starts[last] + steps]
    trace = trace.reshape(batch, layers[last].n_outputs, steps)
    return Activity(
        spikes=tuple(
            _window(fired[name], (batch, steps, layer.n_outputs), starts[name])
            for name, layer in layers.items()
        ),
        membrane=np.rint(trace.transpose(0, 2, 1) / layers[last].quantum).astype(np.int32),
    )


def _run_to_the_end(network: Network, clock: Clock, steps: int) -> None:
    """Run so many steps; raise the KeyboardInterrupt that Brian2 only takes as a wish to stop."""
    try:
        network.run(steps * clock.dt, namespace={})
    finally:
        # The marks belong to all networks. A run that failed leaves the first, and Brian2 would
        # keep the next Ctrl-C to itself; one that was stopped leaves the second.
        stopped = Network._globally_stopped
        Network._globally_running = Network._globally_stopped = False
    # A wish in the last step stops nothing any more, but must not be lost.
    if stopped or int(clock.variables["timestep"].item()) < steps:
        raise KeyboardInterrupt


_Signed: TypeAlias = list[tuple[SpikeSource, int]]
"""Groups that spike for one source, and the sign of their ``spike``."""


class _Pool(BrianObject):
    """A counting max pool: takes its source's spikes, and sets those of its group."""

    def __init__(self, pool: MaxPool, sources: _Signed, batch: int, *, order: int) -> None:
        clock = sources[0][0].clock
        # Brian2 looks for negative spikes in this slot, after *thresholds*.
        super().__init__(clock=clock, when="after_thresholds", order=order, name="maxpool*")
        self.group = NeuronGroup(
            batch * pool.n_outputs,
            f"{NUMBER} : 1",
            threshold=f"{NUMBER} > 0",
            reset="",
            events={NEGATIVE_SPIKE: f"{NUMBER} < 0"},
            clock=clock,
            codeobj_class=NumpyCodeObject,
        )
        for event in _signs(self.group):
            self.group.set_event_schedule(event, when="after_thresholds", order=order + 1)
        for group, _ in sources:
            self.add_dependency(group)
        self._eventspaces = [
            (group.variables[f"_{event}space"].get_value(), sign * one, _numbers(group))
            for group, sign in sources
            for event, one in _signs(group).items()
        ]
        self._index = pool.index
        self._counts = np.zeros((batch, len(sources[0][0]) // batch), np.int32)
        self._largest = np.zeros((batch, pool.n_outputs), np.int32)
        self._out = np.zeros((batch, pool.n_outputs), np.int8)
        self._pooled = self.group.variables[NUMBER].get_value()

    def run(self) -> None:
        """Count the spikes of this step, and say which of the group's neurons fire."""
        counts = self._counts.reshape(-1)
        for space, sign, numbers in self._eventspaces:
            fired = space[: space[-1]]
            each = 1 if numbers is None else np.abs(numbers[fired]).astype(np.int32)
            counts[fired] += sign * each
        for s in range(self._counts.shape[0]):
            pool_step(self._counts[s], self._index, self._largest[s], self._out[s])
        self._pooled[:] = self._out.reshape(-1)


class _Arrivals:
    """The spikes that drive a layer in each step, for its read noise."""

    def __init__(
        self, reading: Reading, parts: Sequence[tuple[_Signed, slice, int]], batch: int
    ) -> None:
        self.reading = reading
        self._spikes = np.zeros((batch, parts[-1][1].stop), np.int8)
        self._parts = []
        for groups, part, wait in parts:
            spaces = [
                (
                    group.variables[f"_{event}space"].get_value(),
                    sign * (1 if bursts else one),
                    group.variables[NUMBER].get_value() if bursts else None,
                )
                for group, sign in groups
                for bursts in [NUMBER in group.variables]
                for event, one in _signs(group).items()
            ]
            silent = np.zeros((batch, part.stop - part.start), np.int8)
            self._parts.append((spaces, part, deque([silent] * wait)))

    def next(self) -> NDArray[np.int8]:
        """Return what arrives in this step: what was fired in the last, or longer ago."""
        # Until thresholds are compared, the spaces hold the spikes of the step before.
        for spaces, part, waiting in self._parts:
            fired = np.zeros((self._spikes.shape[0], part.stop - part.start), np.int8)
            for space, sign, number in spaces:
                which = space[: space[-1]]
                # Of bursts there are several spikes, with their sign.
                times = 1 if number is None else number[which].astype(np.int8)
                fired.reshape(-1)[which] += np.int8(sign) * times
            waiting.append(fired)
            self._spikes[:, part] = waiting.popleft()
        return self._spikes


class _Noise(BrianObject):
    """Draws the charge of one step for a group of noisy neurons, just before their update."""

    def __init__(
        self,
        group: NeuronGroup,
        layer: ChargeLayer,
        noise_key: np.uint64,
        *,
        arrivals: _Arrivals | None = None,
        first_step: int = 0,
        first_sample: int = 0,
    ) -> None:
        _require_runtime(
            "The noise of sampling neurons",
            "Leave out temperature and v_lfsr, or run on brian2.set_device('runtime').",
        )
        super().__init__(
            clock=group.clock, when="groups", order=group.order - 1, name=f"{group.name}_noise"
        )
        self._layer = layer
        self._key = noise_key
        self._arrivals = arrivals
        self._first_step = first_step
        self._first_sample = first_sample
        self._noise = group.variables["noise"].get_value().reshape(-1, layer.n_outputs)
        self._timestep = group.clock.variables["timestep"].get_value()
        self._device = get_device()

    def before_run(self, run_namespace: Mapping[str, Any]) -> None:
        """Refuse a device that would leave the noise out."""
        _check_device(self, self._device)
        super().before_run(run_namespace)

    def run(self) -> None:
        """Draw the noise of this step."""
        step, layer = int(self._timestep[0]) - self._first_step, self._layer
        arrivals = self._arrivals
        arrived = None if arrivals is None else arrivals.next()
        if step < 0:
            return
        first = self._first_sample
        fill_noise(self._key, step, first, layer.sigma_noise, layer.kick, self._noise)
        if layer.digits:
            # All digits of a line read the same noisy charge.
            lines = layer.n_outputs // layer.digits
            self._noise[:] = np.tile(self._noise[:, :lines], layer.digits)
        if arrivals is not None and arrived is not None:
            charge = np.zeros((arrived.shape[0], 1, layer.n_outputs), np.int32)
            arrivals.reading.add_to(
                charge, arrived[:, np.newaxis], first_step=step, first_sample=first
            )
            self._noise += charge[:, 0]
        self._noise *= layer.quantum


@dataclass(frozen=True)
class _Kind:
    """When a kind of neurons fires up and down, and what that takes and gives back."""

    up: str
    taken: str
    down: str = ""
    given: str = ""


_SIZE = "clip(floor((2*whole*abs(v) + theta) / (2*theta)), 0, whole - 1)"
_DIGIT = f"floor({_SIZE} / place) - 2*floor({_SIZE} / (2*place)) > 0.5"
_DIGITS = _Kind(f"v > 0*volt and {_DIGIT}", "", f"v < 0*volt and {_DIGIT}", "")

_KINDS = {
    "unipolar": _Kind("v >= theta", "v -= theta"),
    "ternary": _Kind("v >= theta", "v -= theta", "v <= -theta", "v += theta"),
    "signed": _Kind(
        "v >= int(net >= 0)*theta + int(net < 0)*(low + theta_n)",
        "v -= int(net >= 0)*theta + int(net < 0)*theta_n\nnet += 1",
        "v < int(net <= 0)*low",
        "v += int(net > 0)*theta + int(net <= 0)*theta_n\nnet -= 1",
    ),
}


def _neuron_group(
    layer: ChargeLayer,
    batch: int,
    *,
    dt: Quantity | None = None,
    clock: Clock | None = None,
    name: str = "samplingneurons*",
    codeobj_class: type | None = None,
) -> NeuronGroup:
    """Return the neurons of a layer at rest: no drive, no charge."""
    if layer.burst > 1:
        return _bursting_group(layer, batch, dt=dt, clock=clock, name=name, code=codeobj_class)
    kind = _DIGITS if layer.digits else _KINDS[layer.spikes]
    subtract = layer.reset == "subtract"
    random = layer.noisy or layer.read is not None
    group = NeuronGroup(
        batch * layer.n_outputs,
        _NEURON
        + ("noise : volt\n" if random else "")
        + (_SIGNED if layer.spikes == "signed" else "")
        + ("whole : 1 (shared)\nplace : 1 (constant)\n" if layer.digits else ""),
        threshold=kind.up,
        reset=kind.taken if subtract else "v = 0*volt",
        events={NEGATIVE_SPIKE: kind.down} if kind.down else {},
        namespace={"decay": layer.decay, "quantum": layer.quantum * volt, "rint": _rint()},
        dtype=np.float64,
        dt=dt,
        clock=clock,
        name=name,
        codeobj_class=codeobj_class,
    )
    if kind.down:
        reset = kind.given if subtract else "v = 0*volt"
        group.run_on_event(NEGATIVE_SPIKE, reset, when="resets")
    # Rounded to whole quanta, as the kernels round, a leak too gives the same spikes.
    kept = "v" if layer.decay == 1 else "rint(v * decay / quantum) * quantum"
    group.run_regularly(_integration(layer, kept), when="groups")
    _set_thresholds(group, layer, batch)
    return group


def _integration(layer: ChargeLayer, kept: str = "v") -> str:
    noise = " + noise" if layer.noisy or layer.read is not None else ""
    return f"v = clip({kept} + charge + drive{noise}, -rail, rail)\ncharge = 0*volt"


def _set_thresholds(group: NeuronGroup, layer: ChargeLayer, batch: int) -> None:
    group.theta_ = np.tile(layer.threshold * layer.quantum, batch)
    group.rail_ = layer.rail * layer.quantum
    if layer.digits:
        digit = np.arange(layer.n_outputs) * layer.digits // layer.n_outputs
        group.whole_ = 2.0**layer.digits
        group.place_ = np.tile(2.0**digit, batch)
    if layer.spikes == "signed":
        # Where the count stays above zero, the membrane's lower threshold lies below the rail.
        never = -2.0 * layer.rail
        low = np.where(layer.negative > 0, (layer.threshold - layer.negative) // 2, never)
        group.theta_n_ = np.tile(layer.negative * layer.quantum, batch)
        group.low_ = np.tile(low * layer.quantum, batch)


_COMPARED = {
    "unipolar": ("moved = int(v >= theta)", "v -= moved*theta"),
    "ternary": ("moved = int(v >= theta) - int(v <= -theta)", "v -= moved*theta"),
    "signed": (
        "upper = int(net >= 0)*theta + int(net < 0)*(low + theta_n)",
        "lower = int(net <= 0)*low",
        "up = int(v >= upper)",
        "down = int(v < lower)",
        "v += down*(int(net > 0)*theta + int(net <= 0)*theta_n)"
        " - up*(int(net >= 0)*theta + int(net < 0)*theta_n)",
        "moved = up - down",
        "net += moved",
    ),
}
"""One comparison of a neuron with bursts, and what it takes or gives."""


def _bursting_group(
    layer: ChargeLayer,
    batch: int,
    *,
    dt: Quantity | None,
    clock: Clock | None,
    name: str,
    code: type | None,
) -> NeuronGroup:
    """Return the neurons of a layer with bursts, at rest: they compare `burst` times a step."""
    signed = layer.spikes == "signed"
    group = NeuronGroup(
        batch * layer.n_outputs,
        _NEURON
        + f"{NUMBER} : 1\n"
        + ("noise : volt\n" if layer.noisy or layer.read is not None else "")
        + (_SIGNED if signed else ""),
        threshold=f"{NUMBER} > 0",
        reset="",
        events={} if layer.spikes == "unipolar" else {NEGATIVE_SPIKE: f"{NUMBER} < 0"},
        dtype=np.float64,
        dt=dt,
        clock=clock,
        name=name,
        codeobj_class=code,
    )
    once = "\n".join((*_COMPARED[layer.spikes], f"{NUMBER} += moved"))
    statements = [_integration(layer), f"{NUMBER} = 0", *[once] * layer.burst]
    group.run_regularly("\n".join(statements), when="groups")
    _set_thresholds(group, layer, batch)
    return group


def _rint() -> Function:
    """Return rounding to the nearest whole number, ties to even, for every target of Brian2."""
    function = Function(np.rint, arg_units=[1], return_unit=1)
    function.implementations.add_implementation("numpy", np.rint)
    function.implementations.add_implementation("cpp", None, name="rint")
    function.implementations.add_implementation(
        "cython", 'cdef extern from "math.h":\n    double rint(double)'
    )
    return function


def _open(
    group: NeuronGroup, layer: ChargeLayer, batch: int, drive: NDArray[np.int32] | None = None
) -> None:
    """Give the neurons of a layer their initial membrane, and their bias and drive from now on."""
    bias = np.broadcast_to(layer.bias, (batch, layer.n_outputs))
    group.v_ = np.tile(layer.initial * layer.quantum, batch)
    if layer.spikes == "signed":
        group.net_ = 0
    group.drive_ = (bias if drive is None else bias + drive).ravel() * layer.quantum


def _checked_address(address: tuple[int, ...]) -> tuple[int, ...]:
    whole = isinstance(address, tuple) and all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 0 for n in address
    )
    if not whole:
        raise ValueError(
            f"sampling_neurons.address expects a tuple of integers >= 0, got {address!r}."
        )
    return tuple(int(n) for n in address)


def _unconnected(
    neuron: SamplingNeuron, n: int, dt: Quantity | None, clock: Clock | None
) -> ChargeLayer:
    """Return `n` such neurons as a layer without inputs."""
    zero = np.zeros(n)
    # It is weights that decide a layer's quantum: one row does, and is then left out.
    layer = charge_layer(
        "neurons",
        np.full((1, n), WEIGHT_LIMIT * _QUANTUM),
        bias=zero,
        threshold=np.full(n, neuron.threshold),
        initial=zero,
        scale=np.ones(n),
        neuron=neuron,
    )
    if dt is None:
        dt = (get_device().defaultclock if clock is None else clock).dt
    return replace(layer, weight=layer.weight[:0], decay=neuron.decay(dt))


def _generators(spikes: NDArray[np.int8], clock: Clock) -> _Signed:
    """Return what fires the input spikes, and the sign of each: negative ones where there are."""
    batch, _, n_inputs = spikes.shape
    found = []
    for sign in (1, -1) if np.any(spikes < 0) else (1,):
        # Step first, then neuron: the order in which the generator wants them.
        k, sample, i = np.nonzero(spikes.transpose(1, 0, 2) == sign)
        group = SpikeGeneratorGroup(
            batch * n_inputs,
            sample * n_inputs + i,
            k * clock.dt,
            clock=clock,
            sorted=True,
            codeobj_class=NumpyCodeObject,
        )
        found.append((group, sign))
    return found


def _monitors(group: NeuronGroup) -> dict[int, EventMonitor]:
    return {
        sign: EventMonitor(
            group,
            event,
            variables=[NUMBER] if _bursts(group) else [],
            codeobj_class=NumpyCodeObject,
        )
        for event, sign in _signs(group).items()
    }


def _window(
    monitors: Mapping[int, EventMonitor], shape: tuple[int, int, int], start: int
) -> NDArray[np.int8]:
    """Return the spikes of the steps from `start` on, of shape (sample, step, neuron)."""
    spikes = np.zeros(shape, np.int8)
    for sign, monitor in monitors.items():
        step = np.rint(np.asarray(monitor.t_) / monitor.clock.dt_).astype(np.int64) - start
        inside = (step >= 0) & (step < shape[1])
        sample, neuron = np.divmod(np.asarray(monitor.i)[inside], shape[2])
        several = NUMBER in monitor.record_variables
        number = np.abs(np.asarray(getattr(monitor, NUMBER)))[inside] if several else 1
        spikes[sample, step[inside], neuron] = sign * number
    return spikes


def _crossbar_synapses(
    source: SpikeSource, target: Group, layer: ChargeLayer, batch: int, sign: int, delay: Quantity
) -> CrossbarSynapses:
    plus_or_minus: Literal[1, -1] = 1 if sign > 0 else -1
    return CrossbarSynapses(source, target, layer, batch=batch, sign=plus_or_minus, delay=delay)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Link:
    """What joins a source to a target, checked: delay [s], and the sign of each kind of spike."""

    layer: ChargeLayer
    on: str
    delay: float
    batch: int
    events: dict[str, int]


def _linked(
    source: SpikeSource,
    target: Group,
    crossbar: Crossbar | ChargeLayer,
    on: str | None,
    sign: int,
    delay: Quantity | None,
    batch: int,
) -> _Link:
    layer, batch, sign = _checked_layer(crossbar), _checked_batch(batch), _checked_sign(sign)
    on = on or ("charge" if "charge" in target.variables else "v")
    _check_source(source, layer, batch)
    _check_target(target, layer, batch, on)
    return _Link(
        layer=layer,
        on=on,
        delay=_checked_delay(delay),
        batch=batch,
        events={event: sign * one for event, one in _signs(source).items()},
    )


def _ordinary_synapses(
    source: SpikeSource, target: Group, *, when: str, order: int, name: str, **options: Any
) -> Synapses:
    """Return Synapses that do what `CrossbarSynapses` does, with each weight in volts."""
    link = _linked(source, target, **options)
    if _bursts(source) and link.delay > 0:
        raise NotImplementedError(
            "Synapses send the number of spikes that a burst has when it arrives, not when it was "
            "fired: bursts with a delay need Brian2's run-time objects. Leave out the delay, or "
            "call brian2.set_device('runtime')."
        )
    each = f"*abs({NUMBER}_pre)" if _bursts(source) else ""
    pathways = {"pre" if event == "spike" else event: event for event in link.events}
    synapses = Synapses(
        source,
        target,
        "w : volt (constant)",
        on_pre={
            pathway: f"{link.on}_post {'+' if link.events[event] > 0 else '-'}= w{each}"
            for pathway, event in pathways.items()
        },
        on_event=pathways,
        delay=dict.fromkeys(pathways, link.delay * second),
        name=name,
    )
    for pathway in pathways:
        getattr(synapses, pathway).when = when
        getattr(synapses, pathway).order = order
    weight, n_inputs, n_outputs = link.layer.weight, link.layer.n_inputs, link.layer.n_outputs
    sample, i, j = np.indices((link.batch, n_inputs, n_outputs)).reshape(3, -1)
    synapses.connect(i=sample * n_inputs + i, j=sample * n_outputs + j)
    synapses.w_ = np.tile(weight.ravel() * link.layer.quantum, link.batch)
    return synapses


def _signs(source: SpikeSource) -> dict[str, int]:
    """Return the sign of each event of a group that is a spike."""
    negative = f"_{NEGATIVE_SPIKE}space" in source.variables
    return {"spike": 1, NEGATIVE_SPIKE: -1} if negative else {"spike": 1}


def _bursts(source: SpikeSource) -> bool:
    """Return whether an event of a group may stand for several spikes."""
    return NUMBER in source.variables


def _numbers(source: SpikeSource) -> NDArray[np.float64] | None:
    """Return how many spikes each event stands for, with their sign; None without bursts."""
    if not _bursts(source):
        return None
    numbers: NDArray[np.float64] = source.variables[NUMBER].get_value()
    return numbers


def _to_steps(duration: float, dt: float) -> int:
    # Half a step goes up, as in Brian2's queue.
    return math.floor(duration / dt + 0.5)


def _checked_layer(crossbar: Crossbar | ChargeLayer) -> ChargeLayer:
    if isinstance(crossbar, Crossbar):
        return crossbar.charge()
    if isinstance(crossbar, ChargeLayer):
        return crossbar.unrolled
    raise TypeError(
        f"CrossbarSynapses expects a Crossbar or a ChargeLayer, got {type(crossbar).__name__}."
    )


def _checked_batch(batch: int) -> int:
    if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
        raise ValueError(f"CrossbarSynapses.batch expects an integer >= 1, got {batch!r}.")
    return int(batch)


def _checked_sign(sign: int) -> int:
    if sign not in (1, -1):
        raise ValueError(f"CrossbarSynapses.sign expects 1 or -1, got {sign!r}.")
    return int(sign)


def _check_source(source: SpikeSource, layer: ChargeLayer, batch: int) -> None:
    if "_spikespace" not in getattr(source, "variables", {}):
        raise TypeError(
            "CrossbarSynapses expects a source with spikes, got "
            f"{getattr(source, 'name', source)!r}. Give its group a threshold."
        )
    if len(source) != batch * layer.n_inputs:
        raise ValueError(
            f"CrossbarSynapses expects a source of {_times(batch, layer.n_inputs, 'inputs')}, "
            f"got {len(source)}."
        )


def _check_target(target: Group, layer: ChargeLayer, batch: int, on: str) -> None:
    variable = target.variables.get(on)
    if variable is None:
        raise ValueError(
            f"CrossbarSynapses finds no variable {on!r} in {target.name!r}. "
            "Name the one that takes the charge with on='...'."
        )
    own = target.variables.indices[on] in ("_idx", "_sub_idx")
    if not (isinstance(variable, ArrayVariable) and own) or variable.scalar or variable.read_only:
        raise TypeError(
            f"CrossbarSynapses adds charge to a variable that each neuron has of its own, but "
            f"{on!r} of {target.name!r} is shared, linked, read-only or a subexpression."
        )
    if variable.dim is not get_dimensions(volt):
        raise ValueError(
            f"CrossbarSynapses adds volts, but {on!r} of {target.name!r} has the dimension "
            f"{variable.dim}. Declare it as '{on} : volt', or name another with on='...'."
        )
    if len(target) != batch * layer.n_outputs:
        raise ValueError(
            f"CrossbarSynapses expects a target of {_times(batch, layer.n_outputs, 'outputs')}, "
            f"got {len(target)}."
        )


def _times(batch: int, n: int, what: str) -> str:
    return f"{n} {what}" if batch == 1 else f"{batch} x {n} = {batch * n} {what}"


def _checked_delay(delay: Quantity | None) -> float:
    if delay is None:
        return 0.0
    if not isinstance(delay, str) and np.ndim(delay) > 0:
        raise ValueError(
            f"CrossbarSynapses expects one delay for all synapses, got {np.size(delay)}. "
            "Use one crossbar for each delay, or brian2.Synapses."
        )
    seconds = as_si(delay, "s", "CrossbarSynapses.delay")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"CrossbarSynapses.delay expects a time >= 0 s, got {seconds} s.")
    return seconds


def _require_runtime(what: str, remedy: str) -> None:
    device = get_device()
    if not isinstance(device, RuntimeDevice):
        raise NotImplementedError(
            f"{what} needs Brian2's run-time objects, which the device {_device_name(device)} does "
            f"not have. {remedy}"
        )


def _check_device(brian_object: BrianObject, device: Any) -> None:
    # Standalone devices pass over run-time objects in silence.
    if get_device() is not device:
        raise RuntimeError(
            f"{brian_object.name} was made for the device {_device_name(device)}, but is run on "
            f"{_device_name(get_device())}. Call brian2.set_device before making it."
        )


def _device_name(device: Any) -> str:
    return type(device).__name__


def _compiled() -> bool:
    """Return whether Brian2 compiles its own objects, or was told not to."""
    return prefs.codegen.target != "auto" or get_device().code_object_class() is not NumpyCodeObject


def _tell_what_a_compiler_gives() -> None:
    _logger.info(
        "Crossbars are compiled without a C++ compiler and keep their speed. With one (such as "
        "g++), Brian2 would also compile neurons, monitors and other synapses, and could build "
        "C++ standalone programs.",
        "no_compiler",
        once=True,
    )
