r"""Bursts: runs of spikes close together, by the longest interval or by the histogram of intervals.

By the longest interval (Legendy and Salcman, J. Neurophysiol. 53, 926, 1985; here with the five
parameters of NeuroExplorer): a burst begins with an interval shorter than one limit and ends before
one longer than another; bursts closer than a gap are one; short ones are dropped. By the
logarithmic histogram (Pasquale et al., J. Comput. Neurosci. 29, 213, 2010): the limit lies in the
valley between the two peaks of the histogram of :math:`\log_{10} I`, if it is deep enough:

.. math:: 1 - \frac{h_{\min}}{\sqrt{h_1 h_2}} \ge 0.7.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from spikeram._kernels import statistics as kernels
from spikeram.statistics.intervals import intervals_and_trains
from spikeram.statistics.labels import labelled
from spikeram.statistics.trains import Trains, as_duration
from spikeram.units import Quantity, Second, as_si

LEAST_INTERVALS = 50
"""Fewest intervals whose histogram shows two peaks."""

LEAST_VOID = 0.7
"""Depth of the valley between the peaks from which they count as two, as published."""

BINS_PER_DECADE = 10
"""Resolution of the logarithmic histogram, as published."""

LEAST_PEAK = 0.05
"""Height of the lowest peak that counts, as a share of the highest; chosen here, as is smoothing by
a normal kernel of one bin."""


def bursts(
    ds: xr.Dataset,
    *,
    max_interval_to_begin: Quantity,
    max_interval_to_end: Quantity | None = None,
    min_gap: Quantity = 0.0,
    min_duration: Quantity = 0.0,
    min_spikes: int = 3,
) -> xr.Dataset:
    """Return the bursts of each train, by the longest interval in them.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    max_interval_to_begin : Second
        A burst begins with an interval shorter than this [s].
    max_interval_to_end : Second, optional
        It ends before an interval longer than this [s]; by default the same.
    min_gap : Second
        Bursts closer to each other than this are one [s].
    min_duration : Second
        Shorter ones are dropped [s].
    min_spikes : int
        Those of fewer spikes are dropped.

    Returns
    -------
    xarray.Dataset of dims (burst,)
        `start`, `duration` [s] and `spikes` of each burst, with the coordinates trial, neuron,
        layer and unit; empty without any.
    """
    begin = as_duration(max_interval_to_begin, "max_interval_to_begin")
    end = begin
    if max_interval_to_end is not None:
        end = as_duration(max_interval_to_end, "max_interval_to_end")
    if end < begin:
        raise ValueError(
            "bursts expects max_interval_to_end to be no shorter than max_interval_to_begin, got "
            f"{end} and {begin} s."
        )
    if min_spikes < 2:
        raise ValueError(f"bursts expects min_spikes >= 2, got {min_spikes}.")
    gap, shortest = as_si(min_gap, "s", "min_gap"), as_si(min_duration, "s", "min_duration")
    limit = np.full(ds["row_size"].size, begin)
    return _found(ds, limit, np.full(limit.size, end), gap, shortest, min_spikes)


def log_interval_threshold(ds: xr.Dataset) -> xr.DataArray:
    """Return the interval that parts those within bursts from those between them, by neuron [s].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.

    Returns
    -------
    xarray.DataArray of dims (neuron,)
        From the intervals of all trials, `n` of them. NaN with fewer than 50, with a single peak,
        and where the valley is not deep enough.
    """
    neurons = ds.sizes["neuron"]
    intervals, train = intervals_and_trains(ds)
    own, dt = train % max(neurons, 1), float(ds.attrs["dt"])
    order = np.argsort(own, kind="stable")
    n = np.bincount(own, minlength=neurons)
    parts = np.split(intervals[order], np.cumsum(n)[:-1]) if neurons else []
    found = xr.DataArray(
        np.array([dt * _valley(part / dt) for part in parts]),
        dims=("neuron",),
        coords={"layer": ds["layer"], "unit": ds["unit"], "n": ("neuron", n)},
    )
    return labelled(found, "s", "longest interval within bursts", "log_interval_threshold")


def bursts_by_log_interval(ds: xr.Dataset, *, min_spikes: int = 3) -> xr.Dataset:
    """Return the bursts of each train, by the valley in its neuron's histogram of intervals.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    min_spikes : int
        Bursts of fewer spikes are dropped.

    Returns
    -------
    xarray.Dataset of dims (burst,)
        As of `bursts`. Neurons without a `log_interval_threshold` have none; give those limits of
        their own with `bursts`.
    """
    if min_spikes < 2:
        raise ValueError(f"bursts_by_log_interval expects min_spikes >= 2, got {min_spikes}.")
    limit = np.tile(log_interval_threshold(ds).fillna(0.0).values, ds.sizes["trial"])
    return _found(ds, limit, limit, 0.0, 0.0, min_spikes)


def burst_summary(ds: xr.Dataset, found: xr.Dataset) -> xr.Dataset:
    """Return how each train bursts.

    Parameters
    ----------
    ds : xarray.Dataset
        The recording.
    found : xarray.Dataset
        Its bursts.

    Returns
    -------
    xarray.Dataset of dims (trial, neuron)
        `n_bursts`; `burst_rate` [Hz]; `spikes_in_bursts`, the share of spikes in bursts, NaN for a
        silent train; `mean_duration` [s], NaN without a burst.
    """
    counts = ds["row_size"]
    place = {value: s for s, value in enumerate(ds["trial"].values.tolist())}
    row = np.array([place[value] for value in found["trial"].values.tolist()], dtype=np.int64)
    train = row * ds.sizes["neuron"] + found["neuron"].values

    def total(weights: NDArray[np.generic] | None) -> NDArray[np.float64]:
        """Return the sum over the bursts of each train."""
        sums = np.bincount(train, weights, minlength=counts.size)
        return np.asarray(sums, dtype=np.float64).reshape(counts.shape)

    n = total(None)
    share, duration = np.full(counts.shape, np.nan), np.full(counts.shape, np.nan)
    np.divide(total(found["spikes"].values), counts.values, out=share, where=counts.values > 0)
    np.divide(total(found["duration"].values), n, out=duration, where=n > 0)
    measures = {
        "n_bursts": (n.astype(np.int64), "1", "number of bursts"),
        "burst_rate": (n / ds.attrs["duration"], "Hz", "rate of bursts"),
        "spikes_in_bursts": (share, "1", "share of spikes in bursts"),
        "mean_duration": (duration, "s", "mean duration of a burst"),
    }
    return xr.Dataset(
        {
            name: labelled(counts.copy(data=values), units, long_name, name)
            for name, (values, units, long_name) in measures.items()
        }
    )


def _found(
    ds: xr.Dataset,
    to_begin: NDArray[np.float64],
    to_end: NDArray[np.float64],
    gap: Second,
    shortest: Second,
    min_spikes: int,
) -> xr.Dataset:
    trains, t = Trains.of(ds), ds["t"].values
    most = t.size // 2 + 1
    train = np.empty(most, np.int64)
    first, last = np.empty_like(train), np.empty_like(train)
    # In steps, where limits of whole steps are met exactly.
    begin, end = (np.array([trains.steps(value) for value in part]) for part in (to_begin, to_end))
    n = kernels.bursts(
        trains.t, trains.offsets, begin, end, trains.steps(gap), trains.steps(shortest), min_spikes,
        train, first, last,
    )  # fmt: skip
    row, neuron = np.divmod(train[:n], max(ds.sizes["neuron"], 1))
    start, stop = t[first[:n]], t[last[:n]]
    return xr.Dataset(
        {
            "start": ("burst", start, {"units": "s", "long_name": "first spike of the burst"}),
            "duration": ("burst", stop - start, {"units": "s", "long_name": "duration"}),
            "spikes": (
                "burst",
                last[:n] - first[:n] + 1,
                {"units": "1", "long_name": "spikes in the burst"},
            ),
        },
        {
            "trial": ("burst", ds["trial"].values[row]),
            "neuron": ("burst", neuron),
            "layer": ("burst", ds["layer"].values[neuron]),
            "unit": ("burst", ds["unit"].values[neuron]),
        },
    )


def _valley(intervals: NDArray[np.float64]) -> float:
    """Return the interval at the deepest place between the two best parted peaks, or NaN.

    intervals (interval,) in steps. Bins are at least a step wide: narrower ones would be empty
    between whole numbers of steps.
    """
    if intervals.size < LEAST_INTERVALS:
        return np.nan
    decades = np.log10(max(float(intervals.max()), 1.0)) + 2 / BINS_PER_DECADE
    grid = np.unique(np.rint(10.0 ** np.arange(0, decades, 1 / BINS_PER_DECADE)))
    edges = np.log10(np.append(grid, grid[-1] + 1) - 0.5)
    logs = np.log10(np.maximum(intervals, 1.0))
    density = np.histogram(logs, edges)[0] / np.diff(edges)
    # Padded, so that a peak may be the first or the last bin.
    heights = gaussian_filter1d(np.pad(density, 1), 1.0, mode="constant")
    peaks = find_peaks(heights, height=LEAST_PEAK * heights.max())[0]
    if peaks.size < 2:
        return np.nan
    main = int(peaks[np.argmax(heights[peaks])])
    voids = [_void(heights, main, int(other)) for other in peaks if other != main]
    void, place = max(voids)
    return float(10.0 ** edges[place]) if void >= LEAST_VOID else np.nan


def _void(heights: NDArray[np.float64], a: int, b: int) -> tuple[float, int]:
    """Return how deep the valley between two peaks is, and where."""
    low, high = min(a, b), max(a, b)
    place = low + int(np.argmin(heights[low : high + 1]))
    return 1.0 - float(heights[place] / np.sqrt(heights[a] * heights[b])), place
