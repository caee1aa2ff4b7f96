r"""Spikes over time: counts in bins, rates over time, and how a population moves together.

With :math:`n_j(b)` spikes of neuron j in bin b of width d,

.. math::

    \text{PSTH}_j(b) = \frac{1}{K d}\sum_{s=1}^{K} n_{sj}(b), \qquad
    A(b) = \frac{1}{N d}\sum_{j=1}^{N} n_j(b), \qquad
    \chi^2 = \frac{\mathrm{var}_b\,\frac1N\sum_j n_j(b)}{\frac1N\sum_j \mathrm{var}_b\,n_j(b)}.

:math:`\chi` is 1 where all neurons fire together and :math:`1/\sqrt N` where they fire on their
own. Golomb and Rinzel, Physica D 72, 259 (1994). All measures count time from the start of the
recording, so that layers, whose windows open one after the other, share one axis.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram._kernels import statistics as kernels
from spikeram.recording import layer_names, members
from spikeram.statistics.labels import labelled
from spikeram.statistics.trains import SLACK, Trains, as_duration
from spikeram.units import Quantity

GAUSSIAN_REACH = 6.0
"""Sigmas after which the kernel of an instantaneous rate is cut off: 2e-9 of it are lost."""


def binned(ds: xr.Dataset, width: Quantity, *, layer: str | None = None) -> xr.DataArray:
    """Return the number of spikes of each train in successive bins.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    width : Second
        Width of a bin [s]. Bins begin at the start of the recording and hold their left edge; a
        last one that is not whole ends with the recording.
    layer : str, optional
        Only the neurons of this layer.

    Returns
    -------
    int32 xarray.DataArray of dims (trial, neuron, time)
        `time` is the centre of each bin, `bin_width` its width [s].
    """
    trains = Trains.of(ds, layer)
    wide = trains.steps(as_duration(width, "width"))
    begin, end = trains.steps(ds.attrs["t_start"]), trains.steps(ds.attrs["t_stop"])
    n = int(np.ceil((end - begin) / wide - SLACK))
    counts = np.zeros((trains.offsets.size - 1, n), np.int32)
    start = np.full(counts.shape[0], begin)
    kernels.window_counts(trains.t, trains.offsets, start, wide, SLACK, counts)
    edges = np.minimum(begin + wide * np.arange(n + 1), end) * trains.dt
    found = xr.DataArray(
        counts.reshape(*trains.shape, n),
        dims=("trial", "neuron", "time"),
        coords={
            **trains.ds["row_size"].coords,
            "time": ("time", (edges[1:] + edges[:-1]) / 2, {"units": "s"}),
            "bin_width": ("time", np.diff(edges), {"units": "s"}),
        },
    )
    return labelled(found, "1", "number of spikes", "binned")


def psth(ds: xr.Dataset, width: Quantity, *, layer: str | None = None) -> xr.DataArray:
    """Return the peri-stimulus time histogram of each neuron: its rate over trials [Hz].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    width, layer : Second, str
        As for `binned`.

    Returns
    -------
    xarray.DataArray of dims (neuron, time)
        NaN without a trial; `n` is the number of trials.
    """
    counts = binned(ds, width, layer=layer)
    trials = counts.sizes["trial"]
    total = counts.sum("trial").astype(np.float64)
    rates = total / counts["bin_width"] / (trials if trials else np.nan)
    return labelled(rates.assign_coords(n=trials), "Hz", "firing rate over trials", "psth")


def population_rate(ds: xr.Dataset, width: Quantity) -> xr.DataArray:
    """Return the rate of a layer's average neuron over time [Hz].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    width : Second
        As for `binned`.

    Returns
    -------
    xarray.DataArray of dims (trial, layer, time)
        `n` is the number of neurons.
    """
    counts = binned(ds, width)
    names = layer_names(ds)
    rates = np.stack([counts.values[:, members(ds, name)].mean(axis=1) for name in names], axis=1)
    sizes = [members(ds, name).size for name in names]
    found = xr.DataArray(
        rates / counts["bin_width"].values,
        dims=("trial", "layer", "time"),
        coords={
            "trial": ds["trial"],
            "layer": np.array(names, dtype=np.str_),
            "time": counts["time"],
            "bin_width": counts["bin_width"],
            "n": ("layer", np.array(sizes)),
        },
    )
    return labelled(found, "Hz", "rate of the average neuron", "population_rate")


def instantaneous_rate(
    ds: xr.Dataset,
    sigma: Quantity,
    *,
    every: Quantity | None = None,
    layer: str | None = None,
) -> xr.DataArray:
    r"""Return rates smoothed by a Gaussian, :math:`r(t) = \sum_i k_\sigma(t - t_i)` [Hz].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    sigma : Second
        Standard deviation of the kernel [s].
    every : Second, optional
        Distance of the samples, from the start of the recording on [s]; by default a step.
    layer : str, optional
        Only the neurons of this layer.

    Returns
    -------
    xarray.DataArray of dims (neuron, time)
        Mean over trials, `n` of them; NaN without any. What a kernel has outside the recording is
        lost, so that rates fall off within a few sigmas of its ends.
    """
    trains = Trains.of(ds, layer)
    wide = trains.steps(as_duration(sigma, "sigma"))
    apart = 1.0 if every is None else trains.steps(as_duration(every, "every"))
    begin, end = trains.steps(ds.attrs["t_start"]), trains.steps(ds.attrs["t_stop"])
    samples = begin + apart * np.arange(int(np.floor((end - begin) / apart + SLACK)) + 1)
    trials, neurons = trains.shape
    rates = np.zeros((neurons, samples.size))
    group = np.tile(np.arange(neurons), trials)
    kernels.add_gaussians(
        trains.t, trains.offsets, group, begin, apart, wide, GAUSSIAN_REACH, rates
    )
    rates /= trains.dt * (trials if trials else np.nan)
    found = xr.DataArray(
        rates,
        dims=("neuron", "time"),
        coords={
            "layer": trains.ds["layer"],
            "unit": trains.ds["unit"],
            "time": ("time", samples * trains.dt, {"units": "s"}),
            "n": trials,
        },
    )
    return labelled(found, "Hz", "instantaneous firing rate", "instantaneous_rate")


def synchrony(ds: xr.Dataset, width: Quantity) -> xr.DataArray:
    r"""Return the synchrony :math:`\chi` of each layer, 0 to 1.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    width : Second
        Width of the bins [s]; only those that are whole and lie in the layer's window count.

    Returns
    -------
    xarray.DataArray of dims (trial, layer)
        NaN where no neuron's count varies; `n` is the number of neurons.
    """
    wide = as_duration(width, "width")
    names = layer_names(ds)
    values = np.stack([_chi(Trains.of(ds, name), wide) for name in names], axis=1)
    sizes = [members(ds, name).size for name in names]
    found = xr.DataArray(
        values,
        dims=("trial", "layer"),
        coords={
            "trial": ds["trial"],
            "layer": np.array(names, dtype=np.str_),
            "n": ("layer", np.array(sizes)),
        },
    )
    return labelled(found, "1", "synchrony chi", "synchrony")


def _chi(trains: Trains, width: float) -> NDArray[np.float64]:
    wide = trains.steps(width)
    n = int(trains.duration / wide + SLACK)
    counts = np.zeros((trains.offsets.size - 1, n), np.int32)
    start = np.tile(trains.starts, trains.shape[0])
    kernels.window_counts(trains.t, trains.offsets, start, wide, SLACK, counts)
    chi = np.full(trains.shape[0], np.nan)
    if n == 0:
        return chi
    by_train = counts.reshape(*trains.shape, n).astype(np.float64)
    single = by_train.var(axis=2).mean(axis=1)
    np.divide(by_train.mean(axis=1).var(axis=1), single, out=chi, where=single > 0)
    root: NDArray[np.float64] = np.sqrt(chi)
    return root
