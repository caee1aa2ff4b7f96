r"""What lies between spikes: intervals of a train and how regular they are.

With m intervals :math:`I_1 \ldots I_m` between the spikes of one train, of mean :math:`\bar I`, and
the p pairs of neighbours whose sum is not 0,

.. math::

    CV &= \frac{1}{\bar I}\sqrt{\frac{1}{m}\sum_k (I_k - \bar I)^2}, &
    CV_2 &= \frac{2}{p}\sum_k \frac{|I_{k+1} - I_k|}{I_{k+1} + I_k}, \\
    LV &= \frac{3}{p}\sum_k \left(\frac{I_{k+1} - I_k}{I_{k+1} + I_k}\right)^2, &
    LV_R &= \frac{3}{p}\sum_k \left(1 - \frac{4 I_k I_{k+1}}{(I_k + I_{k+1})^2}\right)
            \left(1 + \frac{4R}{I_k + I_{k+1}}\right).

For a Poisson process the first three are 1 on average. Holt et al., J. Neurophysiol. 75, 1806
(1996); Shinomoto et al., Neural Comput. 15, 2823 (2003) and PLoS Comput. Biol. 5, e1000433 (2009).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels import statistics as kernels
from spikeram.recording import layer_names, members, offsets, select
from spikeram.statistics.labels import labelled
from spikeram.units import Quantity, as_si

REFRACTORINESS = 5e-3
"""Refractoriness constant R of the revised local variation, as published [s]."""

_MEASURES = {
    "mean_interval": ("s", "mean interval between spikes"),
    "variance": ("s2", "variance of the intervals"),
    "cv": ("1", "coefficient of variation of the intervals"),
    "cv2": ("1", "mean local coefficient of variation of the intervals"),
    "lv": ("1", "local variation of the intervals"),
    "lvr": ("1", "revised local variation of the intervals"),
}


def isi(ds: xr.Dataset, layer: str | None = None) -> xr.DataArray:
    """Return all intervals between successive spikes of a train [s].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    layer : str, optional
        Only the neurons of this layer.

    Returns
    -------
    xarray.DataArray of dims (interval,)
        With the coordinates trial, layer and unit of each.
    """
    part = ds if layer is None else select(ds, neuron=members(ds, layer))
    interval, train = intervals_and_trains(part)
    row, column = np.divmod(train, max(part.sizes["neuron"], 1))
    coordinates = {
        "trial": ("interval", part["trial"].values[row]),
        "layer": ("interval", part["layer"].values[column]),
        "unit": ("interval", part["unit"].values[column]),
    }
    intervals = xr.DataArray(interval, dims=("interval",), coords=coordinates)
    return labelled(intervals, "s", "interval between spikes", "isi")


def isi_histogram(ds: xr.Dataset, edges: ArrayLike | None = None) -> xr.DataArray:
    """Return how often each interval between spikes occurs in each layer.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    edges : array_like of shape (bin + 1,), optional
        Ascending edges of the bins [s]; by default one bin for each whole number of steps.

    Returns
    -------
    xarray.DataArray of dims (layer, interval)
        Numbers of intervals, at the centres of the bins; `n` is their sum over all bins.
    """
    if edges is None:
        # Spikes of one burst are no time apart.
        least = 0 if "compare_cycles" in ds.variables else 1
        bounds = (np.arange(least, max(int(ds.attrs["steps"]), 2) + 1) - 0.5) * ds.attrs["dt"]
    else:
        bounds = np.asarray(edges, dtype=np.float64)
        if bounds.ndim != 1 or bounds.size < 2 or not np.all(np.diff(bounds) > 0):
            raise ValueError("isi_histogram expects at least two ascending edges, got others.")
    interval, train = intervals_and_trains(ds)
    member = ds["layer"].values[train % max(ds.sizes["neuron"], 1)]
    names = layer_names(ds)
    counts = np.array([np.histogram(interval[member == name], bounds)[0] for name in names])
    histogram = xr.DataArray(
        counts.reshape(len(names), bounds.size - 1),
        dims=("layer", "interval"),
        coords={
            "layer": np.array(names, dtype=np.str_),
            "interval": ("interval", (bounds[1:] + bounds[:-1]) / 2, {"units": "s"}),
        },
    )
    histogram = histogram.assign_coords(n=histogram.sum("interval"))
    return labelled(histogram, "1", "number of intervals", "isi_histogram")


def interval_measures(ds: xr.Dataset, *, refractoriness: Quantity = REFRACTORINESS) -> xr.Dataset:
    """Return all measures of each train's intervals, from one pass over the spikes.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    refractoriness : Second
        The constant R of the revised local variation [s].

    Returns
    -------
    xarray.Dataset of dims (trial, neuron)
        `mean_interval`, `variance`, `cv`, `cv2`, `lv` and `lvr`, with the coordinates `n`, the
        number of intervals, and `n_pairs`, that of neighbouring pairs of them. NaN without an
        interval, and for measures of regularity with fewer than two.
    """
    r = as_si(refractoriness, "s", "refractoriness")
    if not 0 <= r < np.inf:
        raise ValueError(f"refractoriness expects a time >= 0, got {r} s.")
    bounds = offsets(ds)
    n = np.empty(bounds.size - 1, dtype=np.int64)
    n_pairs, values = np.empty_like(n), np.empty((n.size, len(_MEASURES)))
    kernels.interval_measures(ds["t"].values, bounds, r, n, n_pairs, values)
    counts = ds["row_size"]
    found = xr.Dataset(
        {
            name: (counts.dims, values[:, m].reshape(counts.shape), _attributes(name))
            for m, name in enumerate(_MEASURES)
        },
        counts.coords,
    )
    return found.assign_coords(
        n=(counts.dims, n.reshape(counts.shape)),
        n_pairs=(counts.dims, n_pairs.reshape(counts.shape)),
    )


def _attributes(name: str) -> dict[str, str]:
    units, long_name = _MEASURES[name]
    return {"units": units, "long_name": long_name}


def cv(ds: xr.Dataset) -> xr.DataArray:
    """Return the coefficient of variation of each train's intervals.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.

    Returns
    -------
    xarray.DataArray of dims (trial, neuron)
        NaN with fewer than two intervals, of which any one is perfectly regular; `n` is the
        number of intervals.
    """
    return interval_measures(ds)["cv"].drop_vars("n_pairs")


def cv2(ds: xr.Dataset) -> xr.DataArray:
    """Return the mean local coefficient of variation of each train's intervals.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.

    Returns
    -------
    xarray.DataArray of dims (trial, neuron)
        NaN without a pair of intervals; `n` is the number of pairs.
    """
    return _of_pairs(interval_measures(ds)["cv2"])


def lv(ds: xr.Dataset) -> xr.DataArray:
    """Return the local variation of each train's intervals; as for `cv2`."""
    return _of_pairs(interval_measures(ds)["lv"])


def lvr(ds: xr.Dataset, *, refractoriness: Quantity = REFRACTORINESS) -> xr.DataArray:
    """Return the revised local variation of each train's intervals; as for `cv2`.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    refractoriness : Second
        The constant R [s]. The published 5 ms are those of cortical neurons; on a chip whose
        steps are microseconds give its own, or 0, with which it is `lv`.
    """
    return _of_pairs(interval_measures(ds, refractoriness=refractoriness)["lvr"])


def _of_pairs(measure: xr.DataArray) -> xr.DataArray:
    return measure.assign_coords(n=measure["n_pairs"]).drop_vars("n_pairs")


def intervals_and_trains(ds: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all intervals [s], and the train of each in the order (trial, neuron)."""
    bounds = offsets(ds)
    total = int(np.maximum(np.diff(bounds) - 1, 0).sum())
    interval, train = np.empty(total), np.empty(total, dtype=np.int64)
    kernels.intervals(ds["t"].values, bounds, interval, train)
    return interval, train
