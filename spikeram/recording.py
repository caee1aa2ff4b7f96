r"""The recording: spikes of all layers as one labelled, self-describing xarray.Dataset.

Spikes lie as contiguous ragged arrays (CSR): ``t(event)`` holds the times of all trains one after
the other, sorted by (trial, neuron, time), and ``row_size(trial, neuron)`` how many belong to each.
All layers share one ``neuron`` dimension with a ``layer`` coordinate. Step k of a layer whose
window starts at step w is at

.. math:: t = (w + k)\,\Delta t, \qquad 0 \le k < T,

with :math:`w` one more than the latest of the layers that drive it. Files pack such times as
integer steps, so that they come back to the bit. Strict CF allows one instance dimension for each
ragged array: ours is the C-order stack of (trial, neuron).

========================  =====================  ================================================
variable                  dims                   meaning
========================  =====================  ================================================
``t``                     event                  spike time [s]; absent if only counts were kept
``sign``                  event                  +1 or -1; only where any spike is negative
``row_size``              trial, neuron          number of spikes, of either sign
``output``                trial, step, class     decoded output after each step that was kept
``category``              category               labels of a classifier's classes, if there are any
``active_rows``           trial, crossbar        activations of pairs of word lines, bias included
``active_steps``          trial, crossbar        steps, at all positions, in which inputs drive it
``always_on``             crossbar               pairs of word lines driven in every step
``rows``                  crossbar               cells along one column
``columns``, ``cores``    crossbar               columns, and cores that hold them
``positions``             crossbar               uses of a convolution's crossbar in each step, or 1
``sample_cycles``         crossbar               sampling cycles of each step; only with bursts
``compare_cycles``        crossbar               compare cycles of each step; only with bursts
``synaptic_events``       trial                  membrane changes by spikes; in continuous time only
``stopped``               trial                  steps that were run; only with an early stop
``layer``, ``unit``       neuron                 layer name, index within the layer
``window_start``          neuron                 start of the layer's window [s]
``step``                  step                   steps integrated, 1 to T or some of them, and T
========================  =====================  ================================================

Where samples stopped early, each has the spikes, rows and steps of a run of ``stopped`` steps, and
its output stays what it was then. Where neurons were chosen, the recording is that of `select`.

Recordings of version 0.1 lack ``active_steps`` and ``always_on``. The spikes of a burst are events
of their own, all at the time of their step; with bursts there are ``sample_cycles(crossbar)`` and
``compare_cycles(crossbar)``, how often a part of each step is repeated.

Where columns are cut over cores and their partial sums are spiking or digital, two more
coordinates tell parts from wholes. A layer keeps its name at its soma, which lies on no core (no
rows, columns or cores) and whose ``active_rows`` are the partial spikes that it added; the segments
are crossbars of their own.

========================  =====================  ================================================
``part``                  neuron                 segment that a partial neuron reads, from 1; or 0
``part_of``               crossbar               layer of the network that a crossbar belongs to
========================  =====================  ================================================

Attributes are numbers and strings: ``dt``, ``steps``, ``duration`` (length of each layer's window,
the time base of rates), ``t_start``, ``t_stop``, ``record``, ``complete``, ``n_trials_requested``,
``spikeram_schema``, ``Conventions`` and ``provenance``, one JSON string.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeAlias

import h5py  # type: ignore[import-untyped]
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels.burst import add_burst_counts
from spikeram._kernels.encoding import add_counts
from spikeram.burst import arriving
from spikeram.charge import ChargeLayer
from spikeram.errors import RecordingError
from spikeram.files import check_output, replacing
from spikeram.pool import MaxPool
from spikeram.units import Second
from spikeram.wiring import INPUT as INPUT, Wiring

SCHEMA = "1"
"""Version of the schema, in ``attrs["spikeram_schema"]``."""

Record: TypeAlias = Literal["spikes", "counts"]

_DIMS: dict[str, tuple[str, ...]] = {
    "trial": ("trial",),
    "step": ("step",),
    "crossbar": ("crossbar",),
    "layer": ("neuron",),
    "unit": ("neuron",),
    "window_start": ("neuron",),
    "row_size": ("trial", "neuron"),
    "output": ("trial", "step", "class"),
    "active_rows": ("trial", "crossbar"),
    "rows": ("crossbar",),
    "columns": ("crossbar",),
    "positions": ("crossbar",),
    "cores": ("crossbar",),
}
# What only some recordings hold: files of version 0.1 nothing of it, cycles those with bursts,
# synaptic events those of continuous time, and steps that were run those with an early stop.
_ADDED: dict[str, tuple[str, ...]] = {
    "active_steps": ("trial", "crossbar"),
    "always_on": ("crossbar",),
    "sample_cycles": ("crossbar",),
    "compare_cycles": ("crossbar",),
    "synaptic_events": ("trial",),
    "stopped": ("trial",),
}
_NUMBERS = ("dt", "steps", "duration", "t_start", "t_stop", "complete", "n_trials_requested")
_RUN = ("spikeram_schema", "dt", "steps", "record")
_PACKED_FILL = -1
# Times are products of dt, so that differences carry rounding errors, far below this share of dt.
_SLACK = 1e-3
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError)
"""What xarray and its backends raise on bytes that are no dataset, or a broken one."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Activity:
    """What an engine returns: the same from every engine, to the bit.

    Parameters
    ----------
    spikes : tuple of int8 ndarray of shape (sample, step, neuron)
        Spikes -1, 0 or 1 of each layer, of bursts their number with its sign, step 0 being the
        first of the layer's own window.
    membrane : int32 ndarray of shape (sample, step, output)
        Membrane of the last layer, after each step's reset [quanta].
    pooled : mapping of str to int8 ndarray of shape (sample, step, output)
        Spikes of max pools, by name, from engines that keep them; they follow from the others.
    """

    spikes: tuple[NDArray[np.int8], ...]
    membrane: NDArray[np.int32]
    pooled: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Counts:
    """What is left of an activity of which only counts are kept.

    Parameters
    ----------
    spikes : tuple of int32 ndarray of shape (sample, neuron)
        Number of spikes of each layer's neurons, of either sign.
    any_negative : tuple of bool
        Whether any spike of the layer was negative.
    """

    spikes: tuple[NDArray[np.int32], ...]
    any_negative: tuple[bool, ...]


def add_spikes(
    trains: NDArray[np.int8], most: int, samples: NDArray[np.int64], counts: NDArray[np.int32]
) -> bool:
    """Add the spikes of trains, of either sign, to `counts`; return whether any is negative.

    Parameters
    ----------
    trains : int8 ndarray of shape (sample, step, neuron)
        Spike trains.
    most : int
        Most spikes in a step.
    samples : int64 ndarray of shape (sample,)
        Where each of them is counted.
    counts : int32 ndarray of shape (any sample, neuron)
        Spikes so far, changed.

    Raises
    ------
    ValueError
        If there are more in a step, of either sign.
    """
    least, largest = (add_counts if most == 1 else add_burst_counts)(trains, samples, counts)
    if least < -most or largest > most:
        expected = "-1, 0 or 1" if most == 1 else f"-{most} to {most}"
        raise ValueError(f"build expects spikes of {expected}, got others.")
    return bool(least < 0)


def counts_of(activity: Activity, most: Sequence[int]) -> Counts:
    """Return the counts of an activity, or say that an engine brought what cannot be.

    Parameters
    ----------
    activity : Activity
        Of some steps.
    most : sequence of int
        Most spikes of a neuron in a step, of each layer.
    """
    counts = tuple(
        np.zeros((trains.shape[0], trains.shape[2]), np.int32) for trains in activity.spikes
    )
    negative = tuple(
        add_spikes(trains, burst, np.arange(len(own)), own)
        for trains, burst, own in zip(activity.spikes, most, counts)
    )
    return Counts(spikes=counts, any_negative=negative)


def build(
    activity: Activity | Counts,
    nodes: Sequence[ChargeLayer | MaxPool],
    *,
    steps: int,
    dt: Second,
    output: NDArray[np.float32],
    active_rows: NDArray[np.int64],
    active_steps: NDArray[np.int64] | None = None,
    first_trial: int = 0,
    has_input: bool = False,
    record: Record = "spikes",
    kept: NDArray[np.int64] | None = None,
    counts: Counts | None = None,
    units: Mapping[str, NDArray[np.int64]] | None = None,
    stopped: NDArray[np.int64] | None = None,
    classes: NDArray[np.generic] | None = None,
    provenance: Mapping[str, object] | None = None,
) -> xr.Dataset:
    """Return the recording of a run.

    Parameters
    ----------
    activity : Activity or Counts
        Spikes of each layer; counts are enough where only they are recorded.
    nodes : sequence of ChargeLayer and MaxPool
        The network that was run: one crossbar for each layer; pools leave no trace.
    steps : int
        Number of steps T of every layer's window.
    dt : Second
        Duration of one step [s].
    output : float32 ndarray of shape (sample, step, class)
        Decoded output after each step.
    active_rows : int64 ndarray of shape (sample, crossbar)
        How often pairs of word lines were active over the run, always-on bias rows included.
    active_steps : int64 ndarray of shape (sample, crossbar), optional
        In how many steps, over all positions, any input drove the crossbar; always-on rows alone
        do not count. Left out where it is not known.
    first_trial : int
        Index of the first sample.
    has_input : bool
        Whether ``activity.spikes[0]`` are the encoded inputs, a layer called "input" that
        comes one step before the first crossbar.
    record : {"spikes", "counts"}
        Whether to keep spike times, or only their number.
    kept : int64 ndarray of shape (step,), optional
        After which steps the output is there, ascending; by default after each.
    counts : Counts, optional
        Those of the activity, where they are known.
    units : mapping of str to int64 ndarray of shape (neuron,), optional
        Units of each layer that `activity` and `counts` hold, none of a layer that is not named; by
        default all.
    stopped : int64 ndarray of shape (sample,), optional
        Steps after which each sample stopped, where it could stop early.
    classes : ndarray of shape (category,), optional
        Labels of a classifier's classes.
    provenance : mapping, optional
        What the run was made from, such as seeds; versions are added.

    Returns
    -------
    xarray.Dataset
        A complete recording.
    """
    if record not in ("spikes", "counts"):
        raise ValueError(f"build expects record 'spikes' or 'counts', got {record!r}.")
    if not (steps >= 1 and dt > 0):
        raise ValueError(f"build expects steps >= 1 and dt > 0, got {steps} and {dt} s.")
    layers = [node for node in nodes if not isinstance(node, MaxPool)]
    names = ([INPUT] if has_input else []) + [layer.name for layer in layers]
    if record == "spikes" and isinstance(activity, Counts):
        raise ValueError("build expects spikes to record them, got counts. Use record='counts'.")
    samples = _checked_samples(activity, layers, names, steps, units)
    kept = np.arange(1, steps + 1) if kept is None else kept
    _check_shape("output", output.shape[:-1], (samples, kept.size))
    _check_shape("active_rows", active_rows.shape, (samples, len(layers)))

    widths = [spikes.shape[-1] for spikes in activity.spikes]
    starts = Wiring(nodes).starts(constant_input=not has_input)
    start = np.array([starts[name] for name in names])
    window = np.repeat(start, widths)
    nothing = np.zeros(0, np.int64)
    numbers = [
        np.arange(width) if units is None else units.get(name, nothing)
        for name, width in zip(names, widths)
    ]
    most = ([1] if has_input else []) + [layer.burst for layer in layers]
    counted = activity if isinstance(activity, Counts) else counts or counts_of(activity, most)
    row_size = np.concatenate(counted.spikes, axis=1)

    variables = {
        "row_size": (("trial", "neuron"), row_size.astype(np.int32, copy=False)),
        "output": (("trial", "step", "class"), np.asarray(output, dtype=np.float32)),
        "active_rows": (("trial", "crossbar"), np.asarray(active_rows, dtype=np.int64)),
        "rows": (("crossbar",), np.array([layer.rows for layer in layers], dtype=np.int64)),
        "columns": (("crossbar",), np.array([layer.n_lines for layer in layers], dtype=np.int64)),
        "positions": (("crossbar",), np.array([layer.n_uses for layer in layers], dtype=np.int64)),
        "cores": (("crossbar",), np.array([layer.cores for layer in layers], dtype=np.int64)),
        "always_on": (
            ("crossbar",),
            np.array([layer.always_on for layer in layers], dtype=np.int64),
        ),
    }
    if active_steps is not None:
        _check_shape("active_steps", active_steps.shape, (samples, len(layers)))
        variables["active_steps"] = (("trial", "crossbar"), np.asarray(active_steps, np.int64))
    if stopped is not None:
        variables["stopped"] = (("trial",), np.asarray(stopped, np.int64))
    if max(most) > 1:
        sampled = list(arriving(Wiring(nodes)).values())
        compared = [layer.burst for layer in layers]
        for name, cycles in (("sample_cycles", sampled), ("compare_cycles", compared)):
            variables[name] = (("crossbar",), np.array(cycles, dtype=np.int64))
    if isinstance(activity, Activity) and record == "spikes":
        # (sample, neuron, step): C order is then the order of the events.
        trains = np.concatenate([spikes.transpose(0, 2, 1) for spikes in activity.spikes], axis=1)
        fired = np.flatnonzero(trains)
        sign = trains.reshape(-1)[fired]
        if max(most) > 1:
            fired = np.repeat(fired, np.abs(sign))
            sign = np.sign(trains.reshape(-1)[fired])
        step = window[fired // steps % window.size] + fired % steps
        variables["t"] = (("event",), step * float(dt))
        if np.any(sign < 0):
            variables["sign"] = (("event",), sign)
    coordinates = {
        "trial": ("trial", np.arange(first_trial, first_trial + samples)),
        "step": ("step", kept),
        "crossbar": ("crossbar", np.array([layer.name for layer in layers], dtype=np.str_)),
        "layer": ("neuron", np.repeat(np.array(names, dtype=np.str_), widths)),
        "unit": ("neuron", np.concatenate(numbers).astype(np.int32)),
        "window_start": ("neuron", window * float(dt)),
    }
    if classes is not None:
        coordinates["category"] = ("category", classes)
    if any(layer.part for layer in layers):
        parts = ([0] if has_input else []) + [layer.part for layer in layers]
        owners = [layer.part_of or layer.name for layer in layers]
        coordinates["part"] = ("neuron", np.repeat(np.array(parts, dtype=np.int32), widths))
        coordinates["part_of"] = ("crossbar", np.array(owners, dtype=np.str_))
    # What a spike takes on its way does not depend on which happened to be fired.
    signed = [layer.name for layer in layers if layer.spikes != "unipolar"]
    if has_input and counted.any_negative[0]:
        signed.append(INPUT)
    attributes: dict[str, str | int | float] = {
        "Conventions": "CF-1.11",
        "spikeram_schema": SCHEMA,
        "record": record,
        "t_start": 0.0,
        "t_stop": (int(start.max()) + steps) * float(dt),
        "duration": steps * float(dt),
        "dt": float(dt),
        "steps": int(steps),
        "complete": 1,
        "n_trials_requested": samples,
        "provenance": provenance_text(
            {"sources": _drivers(nodes), "signed": signed, **(provenance or {})}
        ),
    }
    return described(xr.Dataset(variables, coordinates, attributes))


def of_trains(
    t: NDArray[np.float64],
    row_size: NDArray[np.int32],
    *,
    layer: NDArray[np.str_],
    unit: NDArray[np.int32],
    sign: NDArray[np.int8],
    dt: Second,
    steps: int,
    duration: Second,
    output: NDArray[np.float32] | None = None,
    provenance: Mapping[str, object] | None = None,
) -> xr.Dataset:
    """Return the recording of spike trains alone: without crossbars.

    Parameters
    ----------
    t : float64 ndarray of shape (event,) [s]
        Spike times from 0 to before `duration`, sorted by (trial, neuron, time).
    row_size : int32 ndarray of shape (trial, neuron)
        How many belong to each train.
    layer, unit : ndarray of shape (neuron,)
        Layer of each neuron, and its number in it.
    sign : int8 ndarray of shape (event,)
        +1 or -1.
    dt, duration : Second
        Resolution of time, and length of each trial [s].
    steps : int
        Number of steps `dt` in `duration`.
    output : float32 ndarray of shape (trial, step, class), optional
        Decoded output after each step; none by default.
    provenance : mapping, optional
        Where the spikes came from; versions are added.
    """
    trials = row_size.shape[0]
    nothing = np.zeros(0, dtype=np.int64)
    if output is None:
        output = np.zeros((trials, steps, 0), np.float32)
    variables = {
        "t": ("event", t),
        "row_size": (("trial", "neuron"), row_size),
        "output": (("trial", "step", "class"), output),
        "active_rows": (("trial", "crossbar"), np.zeros((trials, 0), np.int64)),
        **{name: ("crossbar", nothing) for name in ("rows", "columns", "positions", "cores")},
    }
    if np.any(sign < 0):
        variables["sign"] = ("event", sign)
    coordinates = {
        "trial": ("trial", np.arange(trials)),
        "step": ("step", np.arange(1, steps + 1)),
        "crossbar": ("crossbar", np.array([], dtype="<U1")),
        "layer": ("neuron", layer),
        "unit": ("neuron", unit),
        "window_start": ("neuron", np.zeros(unit.size)),
    }
    attributes = {
        "Conventions": "CF-1.11",
        "spikeram_schema": SCHEMA,
        "record": "spikes",
        "t_start": 0.0,
        "t_stop": float(duration),
        "duration": float(duration),
        "dt": float(dt),
        "steps": int(steps),
        "complete": 1,
        "n_trials_requested": trials,
        "provenance": provenance_text(provenance or {}),
    }
    return described(xr.Dataset(variables, coordinates, attributes))


def steps_run(ds: xr.Dataset) -> xr.DataArray:
    """Return how many steps of each window were run, of dims (trial,): T without an early stop."""
    if "stopped" in ds.variables:
        return ds["stopped"]
    every = np.full(ds.sizes["trial"], int(ds.attrs["steps"]))
    return xr.DataArray(every, {"trial": ds["trial"]}, ("trial",))


def _drivers(nodes: Sequence[ChargeLayer | MaxPool]) -> dict[str, list[str]]:
    """Return the layers that drive each crossbar, through pools too."""
    sources = Wiring(nodes).sources
    found: dict[str, list[str]] = {INPUT: [INPUT]}
    for node in nodes:
        # A layer is a source itself; a pool stands for what it pools.
        found[node.name] = [node.name]
        if isinstance(node, MaxPool):
            found[node.name] = found[sources[node.name][0]]
    return {
        node.name: [driver for source in sources[node.name] for driver in found[source]]
        for node in nodes
        if not isinstance(node, MaxPool)
    }


def drivers(ds: xr.Dataset) -> dict[str, list[str]]:
    """Return the layers that drive each crossbar, "input" for the network's input.

    In recordings that do not say, each crossbar follows the one before it.
    """
    crossbars = [str(name) for name in ds["crossbar"].values]
    known = json.loads(ds.attrs["provenance"]).get("sources", {})
    before = [INPUT, *crossbars]
    return {name: known.get(name, [source]) for name, source in zip(crossbars, before)}


def signed_layers(ds: xr.Dataset) -> list[str]:
    """Return the layers whose spikes have signs; all of them where a recording does not say."""
    known = json.loads(ds.attrs["provenance"]).get("signed")
    if known is not None:
        return [str(name) for name in known]
    return layer_names(ds) if "sign" in ds.variables else []


def _checked_samples(
    activity: Activity | Counts,
    layers: Sequence[ChargeLayer],
    names: list[str],
    steps: int,
    units: Mapping[str, NDArray[np.int64]] | None,
) -> int:
    if not layers or len(activity.spikes) != len(names):
        raise ValueError(
            f"build expects spikes of {len(names)} layers ({', '.join(names)}), "
            f"got {len(activity.spikes)}."
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f"build expects a name of its own for each layer, got {', '.join(repeated)} twice."
        )
    samples = int(activity.spikes[0].shape[0])
    widths = [layer.n_outputs for layer in layers]
    if len(names) > len(layers):
        widths = [activity.spikes[0].shape[-1], *widths]
    if units is not None:
        widths = [len(units.get(name, ())) for name in names]
    time = () if isinstance(activity, Counts) else (steps,)
    shapes = [spikes.shape for spikes in activity.spikes]
    for name, width, shape in zip(names, widths, shapes):
        _check_shape(f"spikes of layer {name!r}", shape, (samples, *time, width))
    return samples


def _check_shape(what: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if got != expected:
        raise ValueError(f"build expects {what} of shape {expected}, got {got}.")


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {
        "spikeram": _own_version(),
        "numpy": np.__version__,
        "xarray": xr.__version__,
        "python": platform.python_version(),
    }


def provenance_text(details: Mapping[str, object]) -> str:
    """Return what a recording says about its origin: versions and details, as JSON."""
    return json.dumps({**versions(), **details}, sort_keys=True, default=_plain)


@cache
def _own_version() -> str:
    # Looking the package up reads files.
    try:
        return version("spikeram")
    except PackageNotFoundError:
        # A checkout can be used without being installed.
        return "unknown"


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else str(value)


def described(ds: xr.Dataset) -> xr.Dataset:
    """Return a recording whose variables have their units and names."""
    texts = {
        "t": ("s", "spike time"),
        "sign": ("1", "sign of the spike"),
        "row_size": ("1", "number of spikes"),
        "output": ("1", "decoded output after each step"),
        "active_rows": ("1", "activations of pairs of word lines"),
        "active_steps": ("1", "steps, at all positions, in which inputs drive the crossbar"),
        "always_on": ("1", "pairs of word lines driven in every step"),
        "rows": ("1", "cells along one column"),
        "columns": ("1", "columns"),
        "positions": ("1", "positions at which the crossbar is used in each step"),
        "sample_cycles": ("1", "sample-and-integrate cycles of each step"),
        "compare_cycles": ("1", "compare cycles of each step"),
        "synaptic_events": ("1", "how often a spike changed a membrane"),
        "stopped": ("1", "steps that were run until the decision was sure"),
        "cores": ("1", "cores that hold the crossbar"),
        "window_start": ("s", "start of the layer's window"),
        "step": ("1", "steps integrated"),
        "part": ("1", "segment that a partial neuron reads, 0 for neurons of the network"),
    }
    for name, (units, long_name) in texts.items():
        if name in ds.variables:
            ds[name].attrs.update(units=units, long_name=long_name)
    if "t" in ds.variables:
        ds["row_size"].attrs["sample_dimension"] = "event"
    return ds


def offsets(ds: xr.Dataset) -> NDArray[np.int64]:
    """Return where each train starts in ``t``, and where the last one ends.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.

    Returns
    -------
    int64 ndarray of shape (trial * neuron + 1,)
        Train (trial, neuron) is ``t[offsets[i]:offsets[i + 1]]`` with i = trial * n_neurons
        + neuron.

    Raises
    ------
    RecordingError
        If the recording holds counts only, or was cut along one dimension only.
    """
    if "t" not in ds.variables:
        raise RecordingError(
            "This recording holds spike counts but no times. Simulate with record='spikes'."
        )
    ends = np.cumsum(ds["row_size"].values.reshape(-1), dtype=np.int64)
    total = int(ends[-1]) if ends.size else 0
    if total != ds.sizes["event"]:
        raise RecordingError(
            f"row_size counts {total} spikes, but there are {ds.sizes['event']} events. "
            "Take trials or neurons out of a recording with spikeram.recording.select."
        )
    return np.concatenate([np.zeros(1, dtype=np.int64), ends])


def spike_times(ds: xr.Dataset, trial: int, neuron: int) -> NDArray[np.float64]:
    """Return the spike times of one train [s].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    trial, neuron : int
        Positions along the two dimensions.
    """
    sizes = ds.sizes["trial"], ds.sizes["neuron"]
    if not (0 <= trial < sizes[0] and 0 <= neuron < sizes[1]):
        raise ValueError(
            f"spike_times expects a trial below {sizes[0]} and a neuron below {sizes[1]}, "
            f"got {trial} and {neuron}."
        )
    start, stop = offsets(ds)[trial * sizes[1] + neuron :][:2]
    times: NDArray[np.float64] = ds["t"].values[start:stop]
    return times


def layer_names(ds: xr.Dataset) -> list[str]:
    """Return the names of the layers, in their order."""
    return list(dict.fromkeys(ds["layer"].values.tolist()))


def members(ds: xr.Dataset, layer: str) -> NDArray[np.int64]:
    """Return the positions of a layer's neurons along ``neuron``.

    Raises
    ------
    ValueError
        If there is no such layer; the message lists those there are.
    """
    found = np.flatnonzero(ds["layer"].values == layer)
    if not found.size:
        raise ValueError(f"No layer is called {layer!r}: there are {', '.join(layer_names(ds))}.")
    return found


def without_parts(ds: xr.Dataset) -> xr.Dataset:
    """Return the recording of the network's own neurons, without partial ones.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording; one without partial neurons comes back as it is.
    """
    return select(ds, neuron=ds["part"].values == 0) if "part" in ds.variables else ds


def raster(ds: xr.Dataset, layer: str) -> xr.DataArray:
    """Return the spikes of one layer as a dense array.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    layer : str
        Name of the layer.

    Returns
    -------
    int8 xarray.DataArray of dims (trial, step, unit)
        -1, 0 or 1 in each step of the layer's own window; of a burst, how many with their sign.
    """
    part = select(ds, neuron=members(ds, layer))
    trials, steps, units = part.sizes["trial"], int(ds.attrs["steps"]), part.sizes["neuron"]
    train = np.repeat(np.arange(trials * units), np.diff(offsets(part)))
    delay = part["t"].values - part["window_start"].values[train % units]
    step = np.floor(delay / ds.attrs["dt"] + _SLACK / 2).astype(np.int64)
    dense = np.zeros((trials, steps, units), dtype=np.int8)
    np.add.at(dense, (train // units, step, train % units), signs(part))
    return xr.DataArray(
        dense,
        dims=("trial", "step", "unit"),
        # All steps: the recording's own are those after which it kept the output.
        coords={
            "trial": ds["trial"],
            "step": ("step", np.arange(1, steps + 1), ds["step"].attrs),
            "unit": part["unit"].values,
        },
        attrs={"units": "1", "long_name": f"spikes of layer {layer}"},
    )


def select(
    ds: xr.Dataset,
    *,
    trial: ArrayLike | slice | None = None,
    neuron: ArrayLike | slice | None = None,
) -> xr.Dataset:
    """Return the recording of some trials and neurons, with their events.

    Plain ``isel`` cuts ``row_size`` but not the events that it counts.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    trial, neuron : slice or array_like of int or bool, optional
        Positions or masks along the two dimensions; all by default.

    Returns
    -------
    xarray.Dataset
        A complete recording of what was selected, in the order given.
    """
    trials = _positions(ds.sizes["trial"], trial)
    neurons = _positions(ds.sizes["neuron"], neuron)
    positions = {"trial": trials, "neuron": neurons}
    if "t" in ds.variables:
        bounds = offsets(ds)
        wanted = (trials[:, np.newaxis] * ds.sizes["neuron"] + neurons).reshape(-1)
        positions["event"] = _ranges(bounds[wanted], bounds[wanted + 1])
    return ds.isel(positions).assign_attrs(complete=1, n_trials_requested=int(trials.size))


def _positions(size: int, index: ArrayLike | slice | None) -> NDArray[np.int64]:
    everything = np.arange(size)
    if index is None or isinstance(index, slice):
        return everything[slice(None) if index is None else index]
    chosen = np.asarray(index)
    positions: NDArray[np.int64] = everything[chosen if chosen.size else chosen.astype(np.int64)]
    return positions


def _ranges(start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    size = stop - start
    before = np.cumsum(size) - size
    return np.repeat(start - before, size) + np.arange(size.sum())


def concatenate(
    parts: Sequence[xr.Dataset], *, n_trials_requested: int | None = None
) -> xr.Dataset:
    """Return the recordings of one run joined along trial.

    Parameters
    ----------
    parts : sequence of xarray.Dataset
        Recordings of the same layers, steps and step duration, at least one.
    n_trials_requested : int, optional
        Trials that the run was to have; what the parts asked for by default. With fewer
        trials than that, ``attrs["complete"]`` is 0.

    Returns
    -------
    xarray.Dataset
        All trials in the order given, with the provenance of the first part.
    """
    if not parts:
        raise ValueError("concatenate expects at least one recording, got none.")
    first = parts[0]
    for part in parts[1:]:
        _check_same_run(first, part)
    signed = any("sign" in part.variables for part in parts)
    unknown = [name for name in _ADDED if not all(name in part.variables for part in parts)]
    joined = xr.concat(
        [_without_events(part).drop_vars(unknown, errors="ignore") for part in parts],
        dim="trial",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
    if "t" in first.variables:
        joined["t"] = ("event", np.concatenate([part["t"].values for part in parts]))
    if signed:
        joined["sign"] = ("event", np.concatenate([signs(part) for part in parts]))
    requested = n_trials_requested
    if requested is None:
        requested = sum(int(part.attrs["n_trials_requested"]) for part in parts)
    complete = int(joined.sizes["trial"] >= requested)
    return described(joined.assign_attrs(n_trials_requested=requested, complete=complete))


def _check_same_run(first: xr.Dataset, part: xr.Dataset) -> None:
    for name in _RUN:
        if first.attrs[name] != part.attrs[name]:
            raise RecordingError(
                f"concatenate expects recordings of one run, got {name} = {first.attrs[name]!r} "
                f"and {part.attrs[name]!r}."
            )
    for name in (
        "step",
        "layer",
        "unit",
        "window_start",
        "crossbar",
        "rows",
        "columns",
        "positions",
        "cores",
        "sample_cycles",
        "compare_cycles",
        "part",
        "part_of",
    ):
        if (name in first.variables) != (name in part.variables):
            raise RecordingError(f"concatenate expects {name} in all parts or in none.")
        if name in first.variables and not np.array_equal(first[name].values, part[name].values):
            raise RecordingError(f"concatenate expects the same {name} in all parts, got others.")


def _without_events(ds: xr.Dataset) -> xr.Dataset:
    return ds.drop_dims("event", errors="ignore")


def signs(ds: xr.Dataset) -> NDArray[np.int8]:
    """Return the sign of each event, of shape (event,)."""
    if "sign" in ds.variables:
        sign: NDArray[np.int8] = ds["sign"].values
        return sign
    return np.ones(ds.sizes["event"], dtype=np.int8)


def validate(ds: xr.Dataset) -> None:
    """Check that a dataset is a recording, whole and consistent.

    Raises
    ------
    RecordingError
        If it is not; the message names what is wrong.
    """
    validate_counts(ds)
    if not np.all(np.isfinite(ds["output"].values)):
        raise RecordingError("The recording expects finite outputs, got others.")
    if ds.attrs["record"] == "spikes":
        _check_events(ds, offsets(ds))


def validate_counts(ds: xr.Dataset) -> None:
    """Check all of a recording but its outputs and the times of its events.

    Raises
    ------
    RecordingError
        If it is none; the message names what is wrong.
    """
    _check_attributes(ds)
    _check_variables(ds)
    if ds.attrs["record"] == "spikes":
        offsets(ds)


def _check_attributes(ds: xr.Dataset) -> None:
    schema = ds.attrs.get("spikeram_schema")
    if schema is None:
        raise RecordingError("This is no spikeram recording: there is no spikeram_schema.")
    if str(schema) != SCHEMA:
        raise RecordingError(
            f"The recording has schema {schema!r}, but this version reads {SCHEMA!r}. "
            "Use the version of spikeram that wrote it, or a newer one."
        )
    for name in _NUMBERS:
        value = ds.attrs.get(name)
        if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
            raise RecordingError(f"The recording expects a number as {name}, got {value!r}.")
    if not (ds.attrs["dt"] > 0 and ds.attrs["steps"] >= 1 and ds.attrs["duration"] > 0):
        raise RecordingError("The recording expects dt, steps and duration above 0, got others.")
    if ds.attrs.get("record") not in ("spikes", "counts"):
        raise RecordingError(
            f"The recording expects record 'spikes' or 'counts', got {ds.attrs.get('record')!r}."
        )


def _check_variables(ds: xr.Dataset) -> None:
    expected = dict(_DIMS)
    if ds.attrs["record"] == "spikes":
        expected["t"] = ("event",)
    if "sign" in ds.variables:
        expected["sign"] = ("event",)
    expected |= {name: dims for name, dims in _ADDED.items() if name in ds.variables}
    for name, dims in expected.items():
        if name not in ds.variables:
            raise RecordingError(f"The recording lacks the variable {name!r}.")
        if ds[name].dims != dims:
            raise RecordingError(
                f"The recording expects {name!r} with dims {dims}, got {ds[name].dims}."
            )
        if name not in ("layer", "crossbar") and ds[name].dtype.kind not in "iuf":
            raise RecordingError(
                f"The recording expects numbers as {name!r}, got {ds[name].dtype}."
            )
    kept = ds["step"].values
    ascend = kept.size > 0 and kept[0] >= 1 and np.all(np.diff(kept) > 0)
    if not ascend or kept[-1] != ds.attrs["steps"]:
        raise RecordingError(
            f"The recording says {ds.attrs['steps']} steps, but the {kept.size} steps of its "
            "output do not ascend from 1 or later to the last."
        )
    counts = ("row_size", "active_rows", "rows", "columns", "positions", "cores", *_ADDED)
    for name in (name for name in counts if name in ds.variables):
        if ds[name].dtype.kind not in "iu" or np.any(ds[name].values < 0):
            raise RecordingError(f"The recording expects counts >= 0 as {name!r}, got others.")


def _check_events(ds: xr.Dataset, bounds: NDArray[np.int64]) -> None:
    t = ds["t"].values
    if not np.all(np.isfinite(t)):
        raise RecordingError("The recording expects finite spike times, got others.")
    # The spikes of a burst share the time of their step; without a clock several may be at once.
    at_once = "compare_cycles" in ds.variables or not ds.sizes["crossbar"]
    later = t[1:] >= t[:-1] if at_once else t[1:] > t[:-1]
    # From the last spike of a train to the first of the next, time may go back.
    ends = bounds[(bounds > 0) & (bounds < t.size)]
    later[ends - 1] = True
    if not np.all(later):
        raise RecordingError(
            "The recording expects the times of each train to ascend; they do not."
        )
    # Times of a train ascend: its first and its last spike bound the others.
    fired = np.diff(bounds) > 0
    first, last = t[bounds[:-1][fired]], t[bounds[1:][fired] - 1]
    window = np.broadcast_to(ds["window_start"].values, ds["row_size"].shape).reshape(-1)[fired]
    slack = _SLACK * ds.attrs["dt"]
    if np.any(first < window - slack) or np.any(last - window > ds.attrs["duration"] - slack):
        raise RecordingError("The recording has spikes outside the window of their layer.")
    if "sign" in ds.variables and not np.all(np.abs(ds["sign"].values) == 1):
        raise RecordingError("The recording expects signs of -1 or 1, got others.")


def save(ds: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a recording to a netCDF file (.nc) or a zarr store (.zarr).

    It is written under another name and renamed when it is whole, so that an interrupted
    write never harms an older file.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    path : path-like
        Where to; what is there is replaced.
    """
    validate(ds)
    check_path(path)
    plain = ds.drop_encoding()
    if "t" in plain.variables and on_grid(ds):
        plain["t"].encoding.update(packed(ds))
    with replacing(path) as scratch:
        if scratch.suffix == ".nc":
            _write_netcdf(plain, scratch)
        else:
            # Format 2: format 3 has no settled form for fixed-length strings yet.
            plain.to_zarr(scratch, zarr_format=2)


def check_path(path: str | os.PathLike[str]) -> None:
    """Check that a recording can be saved under a name, before a long run.

    Raises
    ------
    ValueError
        If the name ends in neither .nc nor .zarr, or nothing can be written under it.
    """
    target = Path(path)
    _check_suffix(target)
    check_output(path, folder=target.suffix == ".zarr")


def _check_suffix(path: Path) -> None:
    if path.suffix not in (".nc", ".zarr"):
        raise ValueError(f"A recording's file name ends in .nc or .zarr, got {path.name!r}.")


def on_grid(ds: xr.Dataset) -> bool:
    """Return whether all spike times are whole steps, so that files can pack them."""
    step = np.rint(ds["t"].values / ds.attrs["dt"])
    fits = bool(np.all(np.abs(step) < np.iinfo(np.int32).max))
    return fits and np.array_equal(step * ds.attrs["dt"], ds["t"].values)


def packed(ds: xr.Dataset) -> dict[str, object]:
    """Return how files keep spike times that are whole steps."""
    return {"dtype": "int32", "scale_factor": float(ds.attrs["dt"]), "_FillValue": _PACKED_FILL}


def _write_netcdf(ds: xr.Dataset, path: Path) -> None:
    for name, variable in ds.variables.items():
        if variable.ndim and variable.dtype.kind in "iuf":
            # The checksum lets a reader notice flipped bits. Outputs hardly shrink; steps do
            # once their high bytes, mostly zero, lie side by side.
            packed = {} if name == "output" else {"zlib": True, "complevel": 1, "shuffle": True}
            variable.encoding.update(fletcher32=True, **packed)
    ds.to_netcdf(path, engine="h5netcdf")


def written(ds: xr.Dataset) -> xr.Dataset:
    """Return the trials of an opened file that are whole, with plain attributes.

    A store that grew during a run says in its attributes how far that is.
    """
    attributes = {
        str(name): value.item() if isinstance(value, np.generic) else value
        for name, value in ds.attrs.items()
    }
    whole = {
        dim: slice(int(attributes.pop(f"n_{dim}s_done")))
        for dim in ("trial", "event")
        if f"n_{dim}s_done" in attributes
    }
    for name in ("any_negative", "made_from"):
        attributes.pop(name, None)
    found = ds.isel(whole, missing_dims="ignore")
    found.attrs = attributes
    return found


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Return the recording in a netCDF file or zarr store, in memory and checked.

    Parameters
    ----------
    path : path-like
        A file ending in .nc or a store ending in .zarr.

    Raises
    ------
    RecordingError
        If there is none, or it is damaged, foreign or of another schema.
    """
    source = Path(path)
    _check_suffix(source)
    engine = "h5netcdf" if source.suffix == ".nc" else "zarr"
    options = {} if engine == "h5netcdf" else {"consolidated": False}
    if not source.exists():
        raise RecordingError(f"There is no recording at {source}.")
    try:
        if engine == "h5netcdf":
            # Where h5netcdf fails to open a file or to read this first attribute, it leaves a
            # half-made object that fails again, aloud, when it is thrown away.
            with h5py.File(source, "r") as file:
                file.attrs.get("_nc3_strict")
        with xr.open_dataset(
            source,
            engine=engine,
            chunks=None,
            decode_times=False,
            decode_timedelta=False,
            backend_kwargs=options,
        ) as opened:
            ds = written(opened).load()
    except UNREADABLE as error:
        raise RecordingError(f"{source} is damaged, or no recording: {error}") from error
    try:
        validate(ds)
    except RecordingError as error:
        raise RecordingError(f"{source}: {error}") from None
    return ds
