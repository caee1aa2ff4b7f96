r"""Run a network on address events, in continuous time and without a clock.

A neuron compares whenever charge has arrived, and fires at that instant; where a constant charge
drives it, at the instant in which its membrane meets the threshold. Charge of one instant is added
up first. With a refractory period of 0 a neuron fires as many spikes at once as its charge pays
for; otherwise what is left waits, and it fires again as soon as the period is over.

A stream stands for T steps of the network as it was converted or trained: in each of them, of
length :math:`\Delta t = D / T` with the duration D, biases bring their charge once, here as a
constant current. Spikes take the `delay` of each layer on their way, and all layers run from 0 to
D.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import spikeram.accessor  # noqa: F401  # registers recording.spk
from spikeram import recording
from spikeram.charge import ChargeLayer
from spikeram.decoding import Decoding, decode
from spikeram.event_driven import (
    EventRun,
    Timing,
    Train,
    check_runnable,
    in_threads,
    leak_rate,
    longest_delay,
)
from spikeram.event_stream import EventStream, in_ticks
from spikeram.recording import Activity
from spikeram.simulation import Model, nodes_of
from spikeram.units import Quantity, Second, as_si
from spikeram.wiring import INPUT, Wiring


def simulate_events(
    model: Model,
    stream: EventStream,
    *,
    steps: int | None = None,
    duration: Quantity | None = None,
    delay: Quantity | Mapping[str, Quantity | NDArray[np.float64]] = 0.0,
    refractory: Quantity = 0.0,
    leak: Quantity | Mapping[str, Quantity] | None = None,
    record: Literal["spikes", "counts"] = "spikes",
    threads: int | None = None,
) -> xr.Dataset:
    """Return the recording of `model` driven by address events, with exact spike times.

    Parameters
    ----------
    model : SpikingNetwork or ProgrammedChip
        What runs; it is not changed.
    stream : EventStream
        The input, a trial for each sample. Negative events are spikes of sign -1.
    steps : int, optional
        Number of steps for which the stream stands; by default what the network was converted for.
        A step brings one bias, and the output is read after each.
    duration : Second, optional
        How long every layer runs [s]; by default as long as the stream and the longest delay.
    delay : Second or mapping of str to Second or ndarray of shape (input,)
        How long spikes travel to each layer, or those of each of its inputs to it [s]; layers that
        are not named are reached at once.
    refractory : Second
        Least time between two firings of a neuron [s]. Charge that arrives meanwhile is kept.
    leak : Second or mapping of str to Second, optional
        Time constant of the membranes of all layers, or of those named [s]; by default those of
        the model's neurons.
    record : {"spikes", "counts"}
        Keep every spike time, or the counts of each neuron alone.
    threads : int, optional
        Number of threads; by default one for each processor. Results do not depend on it.

    Returns
    -------
    xarray.Dataset
        A recording without crossbars, hence without energies: the spikes of the input and of every
        layer, and in ``output`` what has arrived at the output layer after each step, in the
        trained network's units; its spikes alone where neurons leak or are reset to zero.
        ``synaptic_events`` counts how often a spike changed a membrane.

    Raises
    ------
    ValueError
        If the stream is not this network's, or the model does something in each step of a clock,
        such as noise; before anything runs.

    Examples
    --------
    >>> import numpy as np
    >>> from spikeram import Layer, SpikingNetwork
    >>> layer = Layer(name="only", weight=np.ones((1, 1)), bias=np.zeros(1),
    ...               threshold=np.full(1, 2.0), initial=0.0)
    >>> network = SpikingNetwork(layers=(layer,), steps=1)
    >>> stream = EventStream(t=[10, 35, 70, 71], address=[0, 0, 0, 0], n_addresses=1)
    >>> run = simulate_events(network, stream)
    >>> run["t"].values[4:].round(9).tolist()
    [3.5e-05, 7.1e-05]
    """
    network = model.network
    if not isinstance(stream, EventStream):
        raise TypeError(f"simulate_events expects an EventStream, got {type(stream).__name__}.")
    if stream.n_addresses != network.n_inputs:
        raise ValueError(
            f"The network has {network.n_inputs} inputs, but the stream {stream.n_addresses} "
            "addresses. For a camera, polarities are two channels or one."
        )
    if record not in ("spikes", "counts"):
        raise ValueError(f"record expects 'spikes' or 'counts', got {record!r}.")
    n_steps = network.steps_or(steps)
    nodes = nodes_of(model)
    wiring = Wiring(nodes)
    check_runnable(wiring.layers)
    delays = _delays(wiring, delay, stream.tick)
    wait = longest_delay(wiring, Timing(stop=math.inf, delay=delays)) * stream.tick
    length = stream.duration + wait if duration is None else as_si(duration, "s", "duration")
    if not 0 < length < math.inf:
        raise ValueError(f"duration expects a time > 0, got {length} s.")
    stop = in_ticks(length, stream.tick)
    timing = Timing(
        stop=stop,
        per_unit=n_steps / stop,
        refractory=in_ticks(_time(refractory, "refractory"), stream.tick),
        leak=_leaks(wiring.layers, leak, model.dt, stream.tick),
        delay=delays,
    )
    probes = np.arange(1, n_steps + 1, dtype=np.float64) * (stop / n_steps)
    # Nothing happens at the end any more.
    probes[-1] = np.nextafter(stop, 0)
    run = EventRun(nodes, timing, probes)
    found = in_threads(lambda s: run(_sample(stream, s, stop)), stream.n_samples, threads)
    output = np.stack(
        [
            _output(trains[wiring.layers[-1].name], trace, wiring.layers[-1], timing, probes)
            for trains, trace in found
        ]
    )
    provenance = {
        "engine": "event",
        "time": "continuous",
        "refractory": timing.refractory * stream.tick,
        "leak": {name: 1 / rate * stream.tick for name, rate in timing.leak.items()},
        "signed": [layer.name for layer in wiring.layers if layer.spikes != "unipolar"]
        + ([INPUT] if stream.sign.min(initial=1) < 0 else []),
        **model.provenance,
    }
    ds = _recorded([trains for trains, _ in found], wiring, stream.tick, length, output, provenance)
    synaptic = np.array([run.synaptic_events(trains) for trains, _ in found], dtype=np.int64)
    ds = recording.described(ds.assign(synaptic_events=("trial", synaptic)))
    if network.classes is not None:
        ds = ds.assign_coords(category=("category", network.classes))
    if record == "counts":
        ds = ds.drop_dims("event").assign_attrs(record="counts")
    return ds


def _sample(stream: EventStream, s: int, stop: float) -> Train:
    events = slice(stream.offsets[s], stream.offsets[s + 1])
    t = stream.t[events]
    some = slice(0, int(np.searchsorted(t, stop)))
    return Train(
        t[some], stream.address[events][some], stream.sign[events][some].astype(np.float64)
    )


def _time(value: Quantity, name: str) -> Second:
    found = as_si(value, "s", name)
    if not 0 <= found < math.inf:
        raise ValueError(f"{name} expects a time >= 0, got {found} s.")
    return found


def _named(value: object, what: str, layers: tuple[ChargeLayer, ...]) -> dict[str, object]:
    """Return what was given for each layer, by name."""
    names = [layer.name for layer in layers]
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    strange = [name for name in value if name not in names]
    if strange:
        raise ValueError(
            f"{what} expects names of layers ({', '.join(names)}), got {', '.join(strange)}."
        )
    return dict(value)


def _delays(
    wiring: Wiring[ChargeLayer], delay: object, tick: Second
) -> dict[str, float | NDArray[np.float64]]:
    inputs = {layer.name: layer.n_inputs for layer in wiring.layers}
    found: dict[str, float | NDArray[np.float64]] = {}
    for name, value in _named(delay, "delay", wiring.layers).items():
        if not isinstance(value, np.ndarray) or value.ndim == 0:
            found[name] = in_ticks(_time(value, f"delay of layer {name!r}"), tick)
            continue
        if value.shape != (inputs[name],) or not np.all((value >= 0) & (value < np.inf)):
            raise ValueError(
                f"delay of layer {name!r} expects a time >= 0, or one for each of its "
                f"{inputs[name]} inputs, got an array of shape {value.shape}"
                + (" with others." if value.shape == (inputs[name],) else ".")
            )
        found[name] = np.array([in_ticks(one, tick) for one in value.tolist()])
    return found


def _leaks(
    layers: tuple[ChargeLayer, ...], leak: object, dt: Second, tick: Second
) -> dict[str, float]:
    """Return the leak rate of each layer that has one [1 / tick]."""
    given = {} if leak is None else _named(leak, "leak", layers)
    found = {}
    for layer in layers:
        rate = leak_rate(layer, dt) * tick
        if layer.name in given:
            constant = as_si(given[layer.name], "s", f"leak of layer {layer.name!r}")
            if not constant > 0:
                raise ValueError(
                    f"leak of layer {layer.name!r} expects a time constant > 0, got {constant} s."
                )
            rate = tick / constant
        if rate > 0 and (layer.spikes == "signed" or layer.burst > 1):
            raise ValueError(
                f"Layer {layer.name!r} has {'signed' if layer.spikes == 'signed' else 'bursting'} "
                "neurons, which count charge: they expect no leak."
            )
        if rate > 0:
            found[layer.name] = rate
    return found


def _output(
    train: Train,
    trace: NDArray[np.float64],
    layer: ChargeLayer,
    timing: Timing,
    probes: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the decoded output of one sample after each step, of shape (step, output)."""
    counts = np.zeros((1, probes.size, layer.n_outputs), np.int64)
    np.add.at(
        counts[0], (np.searchsorted(probes, train.t), train.address), train.number.astype(int)
    )
    keeps = layer.reset == "subtract" and layer.name not in timing.leak
    decoding: Decoding = "membrane" if keeps else "counts"
    membrane = np.rint(trace).astype(np.int32)[np.newaxis]
    # Where a neuron fires often in a step, more spikes than eight bits hold.
    activity = Activity(spikes=(cast(NDArray[np.int8], counts),), membrane=membrane)
    return np.asarray(decode(activity, layer, decoding)[0], dtype=np.float32)


def _recorded(
    found: list[dict[str, Train]],
    wiring: Wiring[ChargeLayer],
    tick: Second,
    duration: Second,
    output: NDArray[np.float32],
    provenance: Mapping[str, object],
) -> xr.Dataset:
    """Return the recording of the spikes of the input and of each layer."""
    names = [INPUT, *(layer.name for layer in wiring.layers)]
    widths = [wiring.widths[name] for name in names]
    first = np.cumsum([0, *widths])
    steps = output.shape[1]
    counts = np.zeros((len(found), first[-1]), np.int32)
    t, sign = [], []
    for s, trains in enumerate(found):
        number = np.concatenate([trains[name].number for name in names]).astype(np.int64)
        times = np.repeat(np.concatenate([trains[name].t for name in names]), np.abs(number))
        neuron = np.concatenate([trains[name].address + at for name, at in zip(names, first)])
        neuron = np.repeat(neuron, np.abs(number))
        order = np.lexsort((times, neuron))
        t.append(times[order] * tick)
        sign.append(np.repeat(np.sign(number), np.abs(number))[order].astype(np.int8))
        counts[s] = np.bincount(neuron, minlength=int(first[-1]))
    ds = recording.of_trains(
        np.concatenate(t),
        counts,
        layer=np.repeat(np.array(names, dtype=np.str_), widths),
        unit=np.concatenate([np.arange(n, dtype=np.int32) for n in widths]),
        sign=np.concatenate(sign),
        dt=duration / steps,
        steps=steps,
        duration=duration,
        output=output,
        provenance=provenance,
    )
    parts = [0, *(layer.part for layer in wiring.layers)]
    if any(parts):
        ds = ds.assign_coords(part=("neuron", np.repeat(np.array(parts, np.int32), widths)))
    return ds
