r"""Run a network or a programmed chip on inputs: one `simulate`, engines behind it.

Time. A spike of step :math:`k` reaches the next layer in step :math:`k + 1`. Every layer
integrates exactly :math:`T` steps; its window starts one step after the latest of its sources',
where the spikes of a shorter branch wait, and a decision counts the output layer's own window. A
max pool takes no step: its window is its source's. A network without loops therefore gives the
same spikes whether it is run step by step (Brian2), layer by layer on whole trains of T steps (the
clocked engine) or by events.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, get_args

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

import spikeram.accessor  # noqa: F401  # registers recording.spk
from spikeram import recording, registry
from spikeram._kernels.burst import burst_counts
from spikeram._kernels.encoding import driven_positions, driven_steps, spike_counts
from spikeram.burst import most_spikes
from spikeram.charge import ChargeLayer
from spikeram.clocked import (
    charge_of as charge_of,
    clocked as clocked,
    fire as fire,
    incoming as incoming,
)
from spikeram.draws import noise_keys, read_keys, readings
from spikeram.encoding import Encoding, Stimulus, checked_trains, encode, input_levels
from spikeram.errors import SimulationInterrupted
from spikeram.network import SpikingNetwork
from spikeram.pool import MaxPool
from spikeram.recorder import Recorder
from spikeram.recording import Activity
from spikeram.seeds import Seed
from spikeram.units import Second
from spikeram.unrolling import Schedule, scheduled
from spikeram.wiring import INPUT, Wiring

Decoding: TypeAlias = Literal["membrane", "counts", "first"]

SAMPLES_AT_A_TIME = 64
"""Most samples simulated between two updates of the progress; results do not depend on it."""

BATCH_BYTES = 2**27
"""Size of the spike trains of one batch, which bounds its samples where T is large."""


class Model(Protocol):
    """What can be simulated: a `SpikingNetwork`, or a `ProgrammedChip`."""

    @property
    def network(self) -> SpikingNetwork:
        """The network, with the scale of its input."""

    @property
    def dt(self) -> Second:
        """Duration of one step [s]."""

    @property
    def index(self) -> int:
        """Number of the chip: noise is addressed by it."""

    @property
    def provenance(self) -> dict[str, object]:
        """What a recording says about what was run."""

    def charge_layers(self) -> tuple[ChargeLayer, ...]:
        """Return the layers of the network in charge quanta, each in one piece."""


def simulate(
    model: Model,
    x: ArrayLike,
    *,
    steps: int | None = None,
    encoding: Encoding = "current",
    decoding: Decoding | None = None,
    engine: str = "clocked",
    seed: Seed | None = None,
    record: Literal["spikes", "counts"] = "spikes",
    to: str | os.PathLike[str] | None = None,
    schedule: Schedule = "pixel",
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Return the recording of `model` running on inputs.

    Parameters
    ----------
    model : SpikingNetwork or ProgrammedChip
        What runs; it is not changed.
    x : array_like of shape (sample, input)
        Inputs in the trained network's units; for ``encoding="spikes"`` spikes -1, 0 or 1 of
        shape (sample, step, input). Further axes are flattened.
    steps : int, optional
        Number of steps T that every layer integrates; by default what the network was converted
        for, or for ``encoding="spikes"`` those of `x`.
    encoding : {"current", "rate", "poisson", "ttfs", "spikes"}
        How inputs enter; see `spikeram.encoding.encode`.
    decoding : {"membrane", "counts", "first"}, optional
        Read the output layer's whole charge, its spikes alone, or which neuron is the first to
        fire; see `decode`. By default the charge, where it adds up: with reset by subtraction and
        no leak.
    engine : {"clocked", "event", "brian2"} or another registered name
        Every engine gives the same spikes, to the bit. "event" refuses what happens in every step,
        such as noise; see `spikeram.event_driven`.
    seed : int or numpy.random.SeedSequence, optional
        Needed where anything is drawn: Poisson encoding, noisy or stochastic neurons, read noise.
    record : {"spikes", "counts"}
        Keep every spike time, or the counts of each neuron alone.
    to : path-like, optional
        A .zarr store to write to while the run goes on, in memory that does not grow with it; a
        store that the same run left unfinished is gone on with. Events are then read when used.
    schedule : {"pixel", "unrolled"}
        Whether a convolution is run position by position or with a column for each of its neurons:
        the same spikes, but other times, energies and cells; see `spikeram.unrolling`.
    progress : callable, optional
        Called with (samples done, samples in all).

    Returns
    -------
    xarray.Dataset
        The recording; see `spikeram.recording`. ``output`` holds the decoded output after each
        step, in the trained network's units, or the scores of ``decoding="first"``.

    Raises
    ------
    SimulationInterrupted
        On Ctrl-C, holding the recording of the samples that were finished.
    """
    network = _network_of(model)
    levels: NDArray[np.int16 | np.int8]
    if encoding == "spikes":
        levels = checked_trains(x, network.n_inputs, steps)
        n_steps = levels.shape[1]
    else:
        n_steps = network.steps_or(steps)
        levels = input_levels(network.checked_input(x), network.input_scale)
    if record not in ("spikes", "counts"):
        raise ValueError(f"record expects 'spikes' or 'counts', got {record!r}.")
    energies = getattr(getattr(model, "chip", None), "energy", None)
    nodes = scheduled(nodes_of(model), schedule, energies)
    layers = Wiring(nodes).layers
    decoded_by = _checked_decoding(decoding, layers[-1])
    run = registry.lookup("engines", engine)
    keys = noise_keys(layers, seed, model.index)
    read_from = read_keys(layers, seed, model.index)
    provenance = {
        "engine": engine,
        "encoding": encoding,
        "decoding": decoded_by,
        "seed": str(seed),
        "schedule": schedule,
        **model.provenance,
    }
    n_samples = levels.shape[0]
    at_a_time = _batch_size(nodes, n_steps)
    sink = _sink(to, levels, {**provenance, "steps": n_steps, "record": record})
    try:
        for first in range(sink.done, n_samples, at_a_time):
            some = levels[first : first + at_a_time]
            stimulus = encode(
                some, nodes, steps=n_steps, encoding=encoding, seed=seed, first_sample=first
            )
            reading = readings(nodes, None if stimulus.drive is None else some, read_from)
            activity = run(
                nodes,
                stimulus.drive,
                stimulus.spikes,
                steps=n_steps,
                first_sample=first,
                keys=keys,
                **({"readings": reading} if reading else {}),
            )
            rows, active_steps = _driven(activity, nodes, stimulus, some, n_steps)
            part = recording.build(
                activity if stimulus.spikes is None else _with_input(activity, stimulus.spikes),
                nodes,
                steps=n_steps,
                dt=model.dt,
                output=decode(activity, layers[-1], decoded_by),
                active_rows=rows,
                active_steps=active_steps,
                first_trial=first,
                has_input=stimulus.spikes is not None,
                record=record,
                provenance=provenance,
            )
            if network.classes is not None:
                part = part.assign_coords(category=("category", network.classes))
            sink.append(part)
            if progress is not None:
                progress(first + some.shape[0], n_samples)
        return sink.result()
    except KeyboardInterrupt:
        raise SimulationInterrupted(sink.result() if sink.done else None) from None


def nodes_of(model: Model) -> tuple[ChargeLayer | MaxPool, ...]:
    """Return what engines run: layers, those that are cut over cores as parts, and pools.

    A model whose layers are in several parts tells so by a method `charge_nodes`.
    """
    own: Callable[[], tuple[ChargeLayer | MaxPool, ...]] | None
    own = getattr(model, "charge_nodes", None)
    return model.network.charged(model.charge_layers()) if own is None else own()


def membrane(
    model: Model,
    x: ArrayLike,
    *,
    layer: int = 0,
    steps: int | None = None,
    seed: Seed | None = None,
) -> xr.DataArray:
    """Return the membranes of one layer for one constant-current input, after each step.

    Parameters
    ----------
    model : SpikingNetwork or ProgrammedChip
        What runs.
    x : array_like of shape (input,)
        One input.
    layer : int
        Which layer, counted from 0.
    steps : int, optional
        Number of steps; by default what the network was converted for.
    seed : int or numpy.random.SeedSequence, optional
        Needed where neurons are noisy.

    Returns
    -------
    DataArray of dims (step, neuron) [V]
        Membranes on the integration capacitor after each step's reset; of a soma, which adds up
        partial sums, what it holds in units of the largest spike that it receives.
    """
    n_steps = _network_of(model).steps_or(steps)
    nodes = nodes_of(model)
    # Partial neurons belong to the layer that adds them up.
    layers = tuple(one for one in Wiring(nodes).layers if not one.part)
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer expects a number from 0 to {len(layers) - 1}, got {layer}.")
    levels = input_levels(
        model.network.checked_input(np.asarray(x)[np.newaxis]), model.network.input_scale
    )
    some = nodes[: nodes.index(layers[layer]) + 1]
    drive = encode(levels, some, steps=n_steps, encoding="current").drive
    before = Wiring(some).layers
    keys = noise_keys(before, seed, model.index)
    reading = readings(some, levels, read_keys(before, seed, model.index))
    activity = clocked(some, drive, None, steps=n_steps, keys=keys, readings=reading)
    return xr.DataArray(
        activity.membrane[0] * layers[layer].quantum,
        dims=("step", "neuron"),
        coords={"step": np.arange(1, n_steps + 1), "neuron": np.arange(layers[layer].n_outputs)},
        attrs={"units": "V", "long_name": f"membrane of layer {layers[layer].name}"},
    )


def decode(
    activity: Activity, layer: ChargeLayer, decoding: Decoding = "membrane"
) -> NDArray[np.float32]:
    r"""Return the output after each step, of shape (sample, step, output).

    ``membrane``: the charge that has arrived by step k is what is on the membrane plus one
    threshold for each spike; divided by the steps it is the mean drive, in the trained network's
    units.
    ``counts``: the spikes alone, without the rest.

    ``first``: which output is the first to reach its threshold, as a score. With the step
    :math:`t_j`, counted from 1, of the first positive spike of output j, and the number
    :math:`q_j(k) < J` of the J outputs whose charge, read as for ``membrane``, is larger after step
    k (of equals, all but the first have a larger one),

    .. math::

        o_j(k) = \frac{k - t_j + 1 - q_j(t_j)/J}{k} \quad (k \ge t_j), \qquad
        o_j(k) = -\frac{q_j(k)}{J} \quad (k < t_j).

    The largest score is for ever that of the output that fired first, ties going to the larger
    charge in that step; until one has fired, it is that of the largest charge. Scores are above 0
    from the first spike on and never before. Negative spikes count for nothing, and spikes that
    signed neurons take back stay. Ties are told apart while J k < 2**22, in float32. With
    ``encoding="ttfs"`` the first outputs have seen only the largest inputs, which makes them poor
    judges; prefer a constant current.
    """
    if decoding == "first":
        return _first_to_fire(activity, layer)
    steps = np.arange(1, activity.membrane.shape[1] + 1)[:, np.newaxis]
    charge = _arrived(activity, layer, whole=decoding == "membrane")
    return (charge * (layer.scale / layer.threshold) / steps).astype(np.float32)


def _arrived(activity: Activity, layer: ChargeLayer, *, whole: bool) -> NDArray[np.int64]:
    """Return the charge of each output so far, or only that of its spikes [quanta]."""
    count = np.cumsum(activity.spikes[-1], axis=1, dtype=np.int64)
    charge = count * layer.threshold
    if whole:
        # Below zero a spike of a signed neuron takes other charge.
        if layer.spikes == "signed":
            charge = np.where(count < 0, count * layer.negative, charge)
        charge += activity.membrane.astype(np.int64) - layer.initial
    return charge


def _first_to_fire(activity: Activity, layer: ChargeLayer) -> NDArray[np.float32]:
    # Divided first, one threshold of charge is one in every output: equals stay equal.
    charge = _arrived(activity, layer, whole=True) / layer.threshold * layer.scale
    order = np.argsort(-charge, axis=-1, kind="stable")
    outputs = layer.n_outputs
    behind = np.empty_like(order)
    np.put_along_axis(behind, order, np.arange(outputs)[np.newaxis, np.newaxis], axis=-1)
    positive = activity.spikes[-1] > 0
    first = positive.argmax(axis=1)[:, np.newaxis]
    then = np.take_along_axis(behind, first, axis=1)
    k = np.arange(positive.shape[1])[:, np.newaxis]
    fired = np.maximum.accumulate(positive, axis=1)
    score = np.where(fired, (k - first + 1 - then / outputs) / (k + 1), -behind / outputs)
    return score.astype(np.float32)


def _driven(
    activity: Activity,
    nodes: Sequence[ChargeLayer | MaxPool],
    stimulus: Stimulus,
    levels: NDArray[np.int16 | np.int8],
    steps: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what was driven, of shape (sample, crossbar): pairs of rows, and steps at positions.

    Always-on rows count among the pairs; a step in which they alone are driven does not count.
    """
    wiring = Wiring(nodes)
    trains = dict(zip((layer.name for layer in wiring.layers), activity.spikes))
    trains[INPUT] = _constant(levels, steps) if stimulus.spikes is None else stimulus.spikes
    most = most_spikes(wiring)
    counts: dict[str, NDArray[np.int64]] = {}
    rows, active_steps = [], []
    for node in nodes:
        if isinstance(node, MaxPool):
            (source,) = wiring.sources[node.name]
            trains[node.name] = node.spikes(trains[source])
            continue
        driven = np.full(activity.membrane.shape[0], node.always_on * node.n_uses * steps)
        if node.name in stimulus.active_rows:
            driven += stimulus.active_rows[node.name]
        for source, part in wiring.parts(node.name):
            if source != INPUT:
                if source not in counts:
                    count = spike_counts if most[source] == 1 else burst_counts
                    counts[source] = count(trains[source])
                driven += counts[source] @ node.reuse[part]
        rows.append(driven)
        arriving = incoming(wiring, node.name, trains)
        active_steps.append(
            np.zeros_like(driven) if arriving is None else _active_steps(node, arriving)
        )
    return np.stack(rows, axis=1), np.stack(active_steps, axis=1)


def _constant(levels: NDArray[np.int16 | np.int8], steps: int) -> NDArray[np.int8]:
    """Return which rows a constant current drives, step by step the same."""
    one = (levels != 0).astype(np.int8)[:, np.newaxis]
    return np.broadcast_to(one, (one.shape[0], steps, one.shape[2]))


def _active_steps(layer: ChargeLayer, spikes: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return in how many steps, over all positions, any input drives a layer; shape (sample,)."""
    n_samples, steps, _ = spikes.shape
    # A constant current is the same array in every step: one stands for all.
    times = steps if spikes.strides[1] == 0 else 1
    some = np.ascontiguousarray(spikes[:, : steps // times])
    counts = np.empty(n_samples, np.int64)
    if layer.gather is None:
        driven_steps(some, counts)
    else:
        index = layer.gather.index
        driven_positions(some, index.reshape(index.shape[0], -1), counts)
    return times * counts


def _with_input(activity: Activity, spikes: NDArray[np.int8]) -> Activity:
    return Activity(spikes=(spikes, *activity.spikes), membrane=activity.membrane)


class _Sink(Protocol):
    """Where the recordings of batches go."""

    @property
    def done(self) -> int:
        """Samples that are recorded."""

    def append(self, part: xr.Dataset) -> None:
        """Add the recording of the next samples."""

    def result(self) -> xr.Dataset:
        """Return the recording so far."""


class _InMemory:
    """The recordings of batches, joined in the end."""

    def __init__(self, n_samples: int) -> None:
        self._n_samples = n_samples
        self._parts: list[xr.Dataset] = []

    @property
    def done(self) -> int:
        """Samples that are recorded."""
        return sum(part.sizes["trial"] for part in self._parts)

    def append(self, part: xr.Dataset) -> None:
        """Add the recording of the next samples."""
        self._parts.append(part)

    def result(self) -> xr.Dataset:
        """Return the recording so far."""
        return recording.concatenate(self._parts, n_trials_requested=self._n_samples)


def _sink(
    to: str | os.PathLike[str] | None,
    levels: NDArray[np.int16 | np.int8],
    provenance: Mapping[str, object],
) -> _Sink:
    if to is None:
        return _InMemory(levels.shape[0])
    # The same run has the same inputs.
    inputs = hashlib.sha256(levels.tobytes()).hexdigest()
    return Recorder(to, n_trials=levels.shape[0], provenance={**provenance, "inputs": inputs})


def _network_of(model: Model) -> SpikingNetwork:
    network = getattr(model, "network", None)
    if not isinstance(network, SpikingNetwork):
        raise TypeError(
            f"simulate expects a SpikingNetwork or a ProgrammedChip, got {type(model).__name__}. "
            "Convert a trained network first: spikeram.convert(model, calibration)."
        )
    return network


def _checked_decoding(decoding: Decoding | None, layer: ChargeLayer) -> Decoding:
    adds_up = layer.reset == "subtract" and layer.decay == 1
    if decoding is None:
        return "membrane" if adds_up else "counts"
    if decoding not in get_args(Decoding):
        raise ValueError(
            f"decoding expects one of {', '.join(get_args(Decoding))}, got {decoding!r}."
        )
    silent = int(np.count_nonzero(layer.threshold > layer.rail))
    if decoding == "first" and silent:
        raise ValueError(
            f"decoding='first' waits for output spikes, but {silent} of {layer.n_outputs} outputs "
            "have thresholds beyond the rails and cannot fire. Use decoding='membrane'."
        )
    if decoding == "membrane" and not adds_up:
        raise ValueError(
            "decoding='membrane' adds up charge, which a reset to zero or a leak takes away. Use "
            "decoding='counts'."
        )
    return decoding


def _batch_size(nodes: Sequence[ChargeLayer | MaxPool], steps: int) -> int:
    neurons = sum(Wiring(nodes).widths.values())
    return max(1, min(SAMPLES_AT_A_TIME, BATCH_BYTES // (steps * neurons)))
