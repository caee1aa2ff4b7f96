r"""How many spikes: counts, rates, and how counts vary.

With :math:`n_{sj}` spikes of neuron j in trial s and a window of length :math:`D`,

.. math::

    r = n / D, \qquad F_j = \frac{\mathrm{var}_s\, n_{sj}}{\mathrm{mean}_s\, n_{sj}}.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram._kernels import statistics as kernels
from spikeram.recording import steps_run
from spikeram.statistics.labels import by_layer, finite_mean, labelled
from spikeram.statistics.trains import SLACK, Trains, as_duration
from spikeram.units import Quantity


def spike_counts(ds: xr.Dataset) -> xr.DataArray:
    """Return the number of spikes of each train, of dims (trial, neuron)."""
    return labelled(ds["row_size"].astype(np.int64), "1", "number of spikes", "spike_counts")


def spikes_per_layer(ds: xr.Dataset) -> xr.DataArray:
    """Return the number of spikes of each layer, of dims (trial, layer)."""
    total = by_layer(ds, spike_counts(ds).values, np.sum)
    return labelled(total, "1", "number of spikes", "spikes_per_layer")


def rate(ds: xr.Dataset, average: Literal["trial", "layer"] | None = None) -> xr.DataArray:
    """Return firing rates [Hz].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    average : {"trial", "layer"}, optional
        Mean over trials, or over the neurons of each layer; `n` is how many.

    Returns
    -------
    xarray.DataArray
        Of dims (trial, neuron), (neuron,) or (trial, layer).
    """
    rates = spike_counts(ds) / _time_run(ds)
    if average == "trial":
        rates = rates.reduce(finite_mean, "trial").assign_coords(n=ds.sizes["trial"])
    elif average == "layer":
        rates = by_layer(ds, rates.values, finite_mean)
    elif average is not None:
        raise ValueError(f"rate expects average 'trial', 'layer' or None, got {average!r}.")
    return labelled(rates, "Hz", "firing rate", "rate")


def _time_run(ds: xr.Dataset) -> xr.DataArray | float:
    """Return the time in which spikes were counted [s]: of each trial, where some stopped early."""
    if "stopped" in ds.variables:
        return steps_run(ds) * float(ds.attrs["dt"])
    return float(ds.attrs["duration"])


def fano_factor(ds: xr.Dataset, ddof: int = 0) -> xr.DataArray:
    """Return the variance of each neuron's spike count over trials, divided by its mean.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    ddof : int
        The variance is divided by the number of trials less `ddof`; 1 is without bias.

    Returns
    -------
    xarray.DataArray of dims (neuron,)
        NaN for a neuron that never fires, and for all with fewer than two trials; `n` is the
        number of trials.
    """
    counts = spike_counts(ds)
    trials = counts.sizes["trial"]
    factor = _variance_by_mean(counts.values.astype(np.float64), 0, ddof)
    over_neurons = counts.isel(trial=0, drop=True) if trials else counts.sum("trial")
    return labelled(
        over_neurons.copy(data=factor).assign_coords(n=trials), "1", "Fano factor", "fano_factor"
    )


def fano_over_windows(ds: xr.Dataset, window: Quantity, *, ddof: int = 0) -> xr.DataArray:
    """Return the variance of each train's counts in successive windows, divided by their mean.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    window : Second
        Length of a window [s]; windows follow each other from the start of the layer's own, and one
        that is not whole is left out.
    ddof : int
        The variance is divided by the number of windows less `ddof`.

    Returns
    -------
    xarray.DataArray of dims (trial, neuron)
        NaN for a train without a spike in any window, and for all with fewer than two windows; `n`
        is the number of windows.
    """
    trains = Trains.of(ds)
    width = trains.steps(as_duration(window, "window"))
    n = int(trains.duration / width + SLACK)
    counts = np.zeros((trains.offsets.size - 1, n), np.int32)
    start = np.tile(trains.starts, trains.shape[0])
    kernels.window_counts(trains.t, trains.offsets, start, width, SLACK, counts)
    factor = _variance_by_mean(counts.astype(np.float64), 1, ddof)
    found = ds["row_size"].copy(data=factor.reshape(trains.shape)).assign_coords(n=n)
    return labelled(found, "1", "Fano factor over windows", "fano_over_windows")


def _variance_by_mean(counts: NDArray[np.float64], axis: int, ddof: int) -> NDArray[np.float64]:
    n = counts.shape[axis]
    factor = np.full(counts.shape[1 - axis], np.nan)
    if n >= 2 and n > ddof:
        average = counts.mean(axis=axis)
        np.divide(counts.var(axis=axis, ddof=ddof), average, out=factor, where=average > 0)
    return factor


def synaptic_operations(ds: xr.Dataset) -> xr.DataArray:
    """Return how many synapses were driven in each crossbar, of dims (trial, crossbar).

    An active pair of word lines drives one synapse, a pair of cells, in each column; always-on
    bias rows count.
    """
    driven = ds["active_rows"] * ds["columns"]
    return labelled(driven, "1", "synaptic operations", "synaptic_operations")
