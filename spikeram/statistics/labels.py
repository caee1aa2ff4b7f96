"""Labelled arrays, and averages that are silent about nothing to average."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram.recording import layer_names, members


def per_layer(
    ds: xr.Dataset, values: NDArray[np.generic], reduce: Callable[..., NDArray[np.generic]]
) -> NDArray[np.generic]:
    """Return `reduce` of the values, whose last axis are neurons, of each layer."""
    parts = [reduce(values[..., members(ds, name)], axis=-1) for name in layer_names(ds)]
    return np.stack(parts, axis=-1)


def by_layer(
    ds: xr.Dataset, values: NDArray[np.generic], reduce: Callable[..., NDArray[np.generic]]
) -> xr.DataArray:
    """Return `reduce` of values of shape (trial, neuron) in each layer; `n` counts its neurons."""
    neurons = np.ones(ds.sizes["neuron"], dtype=np.int64)
    return xr.DataArray(
        per_layer(ds, values, reduce),
        dims=("trial", "layer"),
        coords={
            "trial": ds["trial"],
            "layer": np.array(layer_names(ds), dtype=np.str_),
            "n": ("layer", per_layer(ds, neurons, np.sum)),
        },
    )


def finite_mean(values: NDArray[np.generic], axis: int | None = None) -> NDArray[np.float64]:
    """Return the mean of the finite values; NaN without a warning where there are none."""
    # numpy.nanmean warns about a mean over nothing.
    finite = np.isfinite(values)
    n = np.asarray(finite.sum(axis=axis))
    total = np.where(finite, values, 0).sum(axis=axis)
    average = np.full(n.shape, np.nan)
    np.divide(total, n, out=average, where=n > 0)
    return average


def labelled(array: xr.DataArray, units: str, long_name: str, name: str) -> xr.DataArray:
    """Return the array with a name, and its units and long name as its only attributes."""
    found = array.rename(name).copy(deep=False)
    found.attrs = {"units": units, "long_name": long_name}
    return found
