"""The main figures of each layer in one table."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram.recorder import trial_blocks
from spikeram.recording import layer_names, members
from spikeram.statistics.counts import fano_factor, rate, spikes_per_layer, synaptic_operations
from spikeram.statistics.intervals import cv
from spikeram.statistics.labels import finite_mean, per_layer
from spikeram.statistics.sparseness import sparsity, treves_rolls

_SUMMARY = {
    "neurons": "number of neurons",
    "spikes": "spikes in one trial",
    "rate": "mean firing rate",
    "cv": "mean coefficient of variation of the intervals",
    "fano_factor": "mean Fano factor",
    "sparsity": "mean share of silent neurons",
    "treves_rolls": "mean population sparseness",
    "synaptic_operations": "synaptic operations in one trial",
}


def summary(ds: xr.Dataset) -> xr.Dataset:
    """Return the main figures of each layer; ``.to_dataframe()`` makes it a table.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording; without spike times it has no `cv`.

    Returns
    -------
    xarray.Dataset of dims (layer,)
        Number of neurons; spikes and synaptic operations of one trial; means over the
        trials and neurons for which they exist of rate, cv, fano_factor, sparsity and
        treves_rolls.
    """
    neurons = np.ones(ds.sizes["neuron"], dtype=np.int64)
    figures = {
        "neurons": per_layer(ds, neurons, np.sum),
        "spikes": finite_mean(spikes_per_layer(ds).values, axis=0),
        "rate": finite_mean(rate(ds, average="layer").values, axis=0),
        "fano_factor": per_layer(ds, fano_factor(ds).values, finite_mean),
        "sparsity": finite_mean(sparsity(ds).values, axis=0),
        "treves_rolls": finite_mean(treves_rolls(ds).values, axis=0),
        "synaptic_operations": _operations_per_layer(ds),
    }
    if "t" in ds.variables:
        figures["cv"] = _mean_cv(ds)
    table = xr.Dataset(coords={"layer": np.array(layer_names(ds), dtype=np.str_)})
    for name, values in figures.items():
        units = "Hz" if name == "rate" else "1"
        table[name] = ("layer", values, {"units": units, "long_name": _SUMMARY[name]})
    return table


def _operations_per_layer(ds: xr.Dataset) -> NDArray[np.float64]:
    average = finite_mean(synaptic_operations(ds).values, axis=0)
    known = dict(zip(ds["crossbar"].values.tolist(), average.tolist()))
    # Encoded inputs are a layer without a crossbar.
    return np.array([known.get(name, np.nan) for name in layer_names(ds)])


def _mean_cv(ds: xr.Dataset) -> NDArray[np.float64]:
    """Return the mean CV of each layer's trains, block by block: a recording may be lazy."""
    names = layer_names(ds)
    total, n = np.zeros(len(names)), np.zeros(len(names), dtype=np.int64)
    for block in trial_blocks(ds):
        trains = cv(block).values
        for place, name in enumerate(names):
            values = trains[:, members(ds, name)]
            total[place] += np.nansum(values)
            n[place] += np.count_nonzero(np.isfinite(values))
    mean = np.full(len(names), np.nan)
    np.divide(total, n, out=mean, where=n > 0)
    return mean
