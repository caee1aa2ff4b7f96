r"""Pairs of spike trains: how they go together, and how far they are from each other.

*Correlation* of the counts :math:`b_i` in bins, with their means over all bins,
:math:`\rho_{ij} = \langle b_i - \mu_i, b_j - \mu_j\rangle / (\|b_i - \mu_i\|\,\|b_j - \mu_j\|)`.

*Correlogram* :math:`C_{ij}(k)`: number of pairs of spikes with
:math:`t_j - t_i \in [(k - \tfrac12) d, (k + \tfrac12) d)`.

*Spike time tiling coefficient* of a window w, with :math:`T_A` the share of time within w of a
spike of A and :math:`P_A` the share of spikes of A within w of one of B, both ends included,

.. math:: \mathrm{STTC} = \frac12\left(\frac{P_A - T_B}{1 - P_A T_B}
          + \frac{P_B - T_A}{1 - P_B T_A}\right), \qquad 0/0 := 1.

*Distances* of van Rossum, :math:`D^2 = K_{ii} + K_{jj} - 2 K_{ij}` with
:math:`K_{ij} = \sum_{ab} e^{-|t_a - t_b|/\tau}`, in which a spike more or less is 1, and of Victor
and Purpura: the least cost of turning one train into the other, where a spike more or less costs 1
and moving one costs q for each second.

Cutts and Eglen, J. Neurosci. 34, 14288 (2014); van Rossum, Neural Comput. 13, 751 (2001);
Victor and Purpura, J. Neurophysiol. 76, 1310 (1996).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram._kernels import pairs as kernels
from spikeram.statistics.binned import binned
from spikeram.statistics.labels import labelled
from spikeram.statistics.trains import SLACK, Trains, as_duration, by_rows
from spikeram.units import Hertz, Quantity, as_si


def correlation(ds: xr.Dataset, width: Quantity, *, layer: str | None = None) -> xr.DataArray:
    """Return Pearson's correlation of the counts of each pair of neurons in bins.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    width, layer : Second, str
        As for `spikeram.statistics.binned`.

    Returns
    -------
    xarray.DataArray of dims (neuron, other)
        Over the bins of all trials, `n` of them. NaN for a neuron whose count never varies.
    """
    counts = binned(ds, width, layer=layer)
    neurons = counts.sizes["neuron"]
    rows = np.swapaxes(counts.values, 0, 1).reshape(neurons, -1).astype(np.float64)
    n = rows.shape[1]
    value = np.full((neurons, neurons), np.nan)
    if n:
        rows -= rows.mean(axis=1, keepdims=True)
        norm = np.sqrt(np.square(rows).sum(axis=1))
        scale = np.outer(norm, norm)
        np.divide(rows @ rows.T, scale, out=value, where=scale > 0)
        np.clip(value, -1.0, 1.0, out=value)
    found = _square(Trains.of(ds, layer).ds, value).assign_coords(n=n)
    return labelled(found, "1", "correlation of counts", "correlation")


def cross_correlogram(
    ds: xr.Dataset, width: Quantity, max_lag: Quantity, *, layer: str | None = None
) -> xr.DataArray:
    """Return how often a spike of one neuron follows one of another after each lag.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    width : Second
        Width of the bins [s].
    max_lag : Second
        Largest lag, the centre of the outermost bins [s].
    layer : str, optional
        Only the neurons of this layer.

    Returns
    -------
    int64 xarray.DataArray of dims (neuron, other, lag)
        Numbers of pairs of spikes, added up over trials, where the spike of `other` comes `lag`
        after that of `neuron`; of one neuron, without each spike and itself.
    """
    trains = Trains.of(ds, layer)
    wide, half, lags = _bins(trains, width, max_lag)
    neurons = trains.shape[1]
    counts = np.zeros((neurons, neurons, 2 * half + 1), np.int64)

    def run(start: int, stop: int) -> None:
        """Fill some rows."""
        kernels.correlograms(
            trains.t, trains.offsets, trains.shape[0], wide, SLACK, start, stop, counts
        )

    by_rows(run, neurons)
    found = _square(trains.ds, counts, "lag").assign_coords(lag=("lag", lags, {"units": "s"}))
    return labelled(found, "1", "pairs of spikes", "cross_correlogram")


def autocorrelogram(
    ds: xr.Dataset, width: Quantity, max_lag: Quantity, *, layer: str | None = None
) -> xr.DataArray:
    """Return how often a neuron fires again after each lag.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    width, max_lag, layer : Second, Second, str
        As for `cross_correlogram`.

    Returns
    -------
    int64 xarray.DataArray of dims (neuron, lag)
        Added up over trials, without each spike and itself.
    """
    trains = Trains.of(ds, layer)
    wide, half, lags = _bins(trains, width, max_lag)
    counts = np.zeros((trains.shape[1], 2 * half + 1), np.int64)
    kernels.autocorrelograms(trains.t, trains.offsets, wide, SLACK, counts)
    found = xr.DataArray(
        counts,
        dims=("neuron", "lag"),
        coords={
            "layer": trains.ds["layer"],
            "unit": trains.ds["unit"],
            "lag": ("lag", lags, {"units": "s"}),
        },
    )
    return labelled(found, "1", "pairs of spikes", "autocorrelogram")


def sttc(ds: xr.Dataset, window: Quantity, *, layer: str | None = None) -> xr.DataArray:
    """Return the spike time tiling coefficient of each pair of neurons.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    window : Second
        Spikes this close go together [s]. Of times on a grid, w = n steps holds 2 n + 1 of them but
        covers 2 n: independent busy trains then come out above 0, with n and a half steps they do
        not.
    layer : str, optional
        Only the neurons of this layer, over its own window; else over the whole recording, unless
        all layers share a window.

    Returns
    -------
    xarray.DataArray of dims (trial, neuron, other)
        NaN where one of the two is silent.
    """
    trains = Trains.of(ds, layer)
    wide = trains.steps(as_duration(window, "window"))

    def measure(bounds: NDArray[np.int64], out: NDArray[np.float64]) -> Callable[[int, int], None]:
        """Return what fills some rows of one trial."""
        share = np.empty(bounds.size - 1)
        kernels.tiled(trains.t, bounds, *trains.window, wide, share)
        return lambda start, stop: kernels.tiling(trains.t, bounds, share, wide, start, stop, out)

    return labelled(_of_trials(trains, measure), "1", "spike time tiling coefficient", "sttc")


def van_rossum(ds: xr.Dataset, tau: Quantity, *, layer: str | None = None) -> xr.DataArray:
    r"""Return the distances of van Rossum between the trains of each trial.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    tau : Second
        Time constant of the exponential kernel [s].
    layer : str, optional
        Only the neurons of this layer.

    Returns
    -------
    xarray.DataArray of dims (trial, neuron, other)
        1 between a silent train and one spike (the paper has :math:`1/\sqrt 2`).
    """
    trains = Trains.of(ds, layer)
    constant = trains.steps(as_duration(tau, "tau"))

    def measure(bounds: NDArray[np.int64], out: NDArray[np.float64]) -> Callable[[int, int], None]:
        """Return what fills some rows of one trial."""
        own = np.empty(bounds.size - 1)
        kernels.own_overlaps(trains.t, bounds, constant, own)
        return lambda start, stop: kernels.van_rossum(
            trains.t, bounds, constant, own, start, stop, out
        )

    return labelled(_of_trials(trains, measure), "1", "distance of van Rossum", "van_rossum")


def victor_purpura(ds: xr.Dataset, cost: Quantity, *, layer: str | None = None) -> xr.DataArray:
    """Return the distances of Victor and Purpura between the trains of each trial.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    cost : Hertz
        Cost q of moving a spike by a second [1/s]; with 0 only counts differ.
    layer : str, optional
        Only the neurons of this layer.

    Returns
    -------
    xarray.DataArray of dims (trial, neuron, other)
    """
    q: Hertz = as_si(cost, "Hz", "cost")
    if not 0 <= q < np.inf:
        raise ValueError(f"victor_purpura expects a cost >= 0, got {q} 1/s.")
    trains = Trains.of(ds, layer)

    def measure(bounds: NDArray[np.int64], out: NDArray[np.float64]) -> Callable[[int, int], None]:
        """Return what fills some rows of one trial."""
        return lambda start, stop: kernels.victor_purpura(
            trains.t, bounds, q * trains.dt, start, stop, out
        )

    return labelled(
        _of_trials(trains, measure), "1", "distance of Victor and Purpura", "victor_purpura"
    )


def _bins(
    trains: Trains, width: Quantity, max_lag: Quantity
) -> tuple[float, int, NDArray[np.float64]]:
    """Return the width in steps, the number of bins on each side, and their centres [s]."""
    wide = trains.steps(as_duration(width, "width"))
    half = int(trains.steps(as_duration(max_lag, "max_lag")) / wide + SLACK)
    return wide, half, np.arange(-half, half + 1, dtype=np.float64) * (wide * trains.dt)


def _of_trials(
    trains: Trains,
    measure: Callable[[NDArray[np.int64], NDArray[np.float64]], Callable[[int, int], None]],
) -> xr.DataArray:
    trials, neurons = trains.shape
    values = np.empty((trials, neurons, neurons))
    for s in range(trials):
        by_rows(measure(trains.trial(s), values[s]), neurons)
    found = _square(trains.ds, np.moveaxis(values, 0, -1), "trial").transpose("trial", ...)
    return found.assign_coords(trial=trains.ds["trial"])


def _square(ds: xr.Dataset, values: NDArray[np.generic], *dims: str) -> xr.DataArray:
    """Return values of all pairs of neurons, with the layer and unit of both."""
    return xr.DataArray(
        values,
        dims=("neuron", "other", *dims),
        coords={
            "layer": ds["layer"],
            "unit": ds["unit"],
            "other_layer": ("other", ds["layer"].values),
            "other_unit": ("other", ds["unit"].values),
        },
    )
