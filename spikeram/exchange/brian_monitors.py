"""Spikes of Brian2: from its monitors, and for its generators.

Monitors are taken as they are, by their arrays ``i`` and ``t``: Brian2 is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram.exchange.events import events_of, from_events
from spikeram.units import Quantity, as_si


def from_monitors(
    monitors: Mapping[str, Any] | Any,
    *,
    duration: Quantity,
    dt: Quantity | None = None,
    n_trials: int = 1,
) -> xr.Dataset:
    """Return the recording of Brian2's SpikeMonitors.

    Parameters
    ----------
    monitors : SpikeMonitor, or mapping of str to SpikeMonitor
        One for each layer, in the order of the network.
    duration : Second
        Length of the run [s].
    dt : Second, optional
        Clock of the run [s]; by default that of the first monitor.
    n_trials : int
        Where groups hold several samples side by side, as those of `spikeram.brian` do, how many.
    """
    named = dict(monitors) if isinstance(monitors, Mapping) else {"spikes": monitors}
    if not named:
        raise ValueError("from_monitors expects at least one monitor, got none.")
    sizes = {name: len(monitor.source) for name, monitor in named.items()}
    for name, size in sizes.items():
        if size % n_trials:
            raise ValueError(
                f"Monitor {name!r} has {size} neurons, which are not those of {n_trials} trials."
            )
    widths = {name: size // n_trials for name, size in sizes.items()}
    first = np.concatenate([[0], np.cumsum(list(widths.values()))])
    t, neuron, trial = [], [], []
    for start, (name, monitor) in zip(first, named.items()):
        s, unit = np.divmod(np.asarray(monitor.i, dtype=np.int64), widths[name])
        t.append(np.asarray(monitor.t, dtype=np.float64))
        neuron.append(start + unit)
        trial.append(s)
    clock = next(iter(named.values())).clock.dt if dt is None else dt
    return from_events(
        np.concatenate(t),
        np.concatenate(neuron),
        trial=np.concatenate(trial),
        layers=widths,
        n_trials=n_trials,
        duration=duration,
        dt=as_si(clock, "s", "dt"),
        provenance={"source": "brian2.SpikeMonitor"},
    )


def to_generator(
    ds: xr.Dataset, trial: int = 0
) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
    """Return what Brian2's SpikeGeneratorGroup takes to play one trial.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    trial : int
        Place of the trial.

    Returns
    -------
    n, indices, times : int, ndarray, ndarray [s]
        Use as ``SpikeGeneratorGroup(n, indices, times * second)``; the signs of spikes are lost.
    """
    if not 0 <= trial < ds.sizes["trial"]:
        raise ValueError(
            f"to_generator expects a trial from 0 to {ds.sizes['trial'] - 1}, got {trial}."
        )
    spikes = events_of(ds)
    here = spikes.trial == trial
    order = np.argsort(spikes.t[here], kind="stable")
    return ds.sizes["neuron"], spikes.neuron[here][order], spikes.t[here][order]
