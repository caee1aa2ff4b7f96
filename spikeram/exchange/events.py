"""Recordings from spikes that came from elsewhere, and recordings as lists of spikes.

Other tools know spikes, not crossbars: a recording made of them has no crossbars and no output, and
all measures of spikes. Times of other tools are kept as they are; steps are only how they are
counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram import recording
from spikeram.units import Quantity, Second, as_si

LAYER = "spikes"
"""Name of the layer of spikes that came without one."""


@dataclass(frozen=True, eq=False)
class Events:
    """Spikes one by one, in the order (trial, neuron, time).

    Parameters
    ----------
    t : float64 ndarray of shape (event,) [s]
        When.
    trial, neuron : int64 ndarray of shape (event,)
        In which trial and of which neuron, as places along these dimensions.
    sign : int8 ndarray of shape (event,)
        +1 or -1.
    """

    t: NDArray[np.float64]
    trial: NDArray[np.int64]
    neuron: NDArray[np.int64]
    sign: NDArray[np.int8]


def events_of(ds: xr.Dataset) -> Events:
    """Return the spikes of a recording, one by one."""
    bounds = recording.offsets(ds)
    train = np.repeat(np.arange(bounds.size - 1), np.diff(bounds))
    trial, neuron = np.divmod(train, max(ds.sizes["neuron"], 1))
    return Events(ds["t"].values, trial, neuron, recording.signs(ds))


def from_events(
    t: ArrayLike,
    neuron: ArrayLike,
    *,
    trial: ArrayLike | None = None,
    sign: ArrayLike | None = None,
    layers: Mapping[str, int] | int,
    n_trials: int | None = None,
    duration: Quantity,
    dt: Quantity,
    provenance: Mapping[str, object] | None = None,
) -> xr.Dataset:
    """Return a recording of given spikes.

    Parameters
    ----------
    t : array_like of shape (event,)
        Spike times [s], in any order, from 0 to before `duration`.
    neuron : array_like of shape (event,)
        The neuron of each, counted from 0 through all layers.
    trial : array_like of shape (event,), optional
        The trial of each, counted from 0; all in one by default.
    sign : array_like of shape (event,), optional
        +1 or -1; all positive by default.
    layers : mapping of str to int, or int
        Name and size of each layer in its order, or the number of neurons of a single one.
    n_trials : int, optional
        Number of trials; as many as have spikes by default.
    duration : Second
        Length of a trial [s].
    dt : Second
        Resolution in which time is counted, such as that of the clock [s].
    provenance : mapping, optional
        Where the spikes came from.

    Returns
    -------
    xarray.Dataset
        A complete recording without crossbars and outputs.

    Raises
    ------
    ValueError
        If a time, neuron, trial or sign does not fit; the message names it.
    """
    length, step = as_si(duration, "s", "duration"), as_si(dt, "s", "dt")
    if not 0 < step <= length < math.inf:
        raise ValueError(f"from_events expects 0 < dt <= duration, got {step} and {length} s.")
    sizes = {LAYER: layers} if isinstance(layers, int) else dict(layers)
    n_neurons = sum(sizes.values())
    times = np.asarray(t, dtype=np.float64)
    of = np.asarray(neuron, dtype=np.int64)
    within = np.zeros(times.size, np.int64) if trial is None else np.asarray(trial, np.int64)
    signs = np.ones(times.size, np.int8) if sign is None else np.asarray(sign, dtype=np.int8)
    trials = int(within.max(initial=-1)) + 1 if n_trials is None else n_trials
    if not (times.ndim == 1 and times.shape == of.shape == within.shape == signs.shape):
        raise ValueError(
            "from_events expects as many neurons, trials and signs as times, got shapes "
            f"{of.shape}, {within.shape}, {signs.shape} and {times.shape}."
        )
    _check_range("neurons", of, n_neurons)
    _check_range("trials", within, trials)
    if times.size and not (times.min() >= 0 and times.max() < length):
        raise ValueError(
            f"from_events expects times from 0 to before {length} s, got {times.min()} to "
            f"{times.max()} s."
        )
    if not np.all(np.abs(signs) == 1):
        raise ValueError("from_events expects signs of -1 or 1, got others.")
    order = np.lexsort((times, of, within))
    counts = np.bincount(within * n_neurons + of, minlength=trials * n_neurons)
    names = np.repeat(np.array(list(sizes), dtype=np.str_), list(sizes.values()))
    steps = math.ceil(length / step - 1e-9)
    return recording.of_trains(
        times[order],
        counts.reshape(trials, n_neurons).astype(np.int32),
        layer=names,
        unit=np.concatenate([np.arange(n, dtype=np.int32) for n in sizes.values()]),
        sign=signs[order],
        dt=step,
        steps=steps,
        duration=length,
        provenance=provenance,
    )


def layer_sizes(ds: xr.Dataset) -> dict[str, int]:
    """Return name and size of each layer, in their order."""
    return {name: recording.members(ds, name).size for name in recording.layer_names(ds)}


def trial_duration(ds: xr.Dataset) -> Second:
    """Return the length of a trial, from the first window to the end of the last [s]."""
    return float(ds.attrs["t_stop"])


def _check_range(what: str, values: NDArray[np.int64], size: int) -> None:
    if values.size and not (values.min() >= 0 and values.max() < size):
        raise ValueError(
            f"from_events expects {what} from 0 to {size - 1}, got {values.min()} to "
            f"{values.max()}."
        )
