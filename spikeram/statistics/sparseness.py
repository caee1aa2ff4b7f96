r"""How few neurons carry the activity, and how often each does.

With N rates :math:`r`, of the neurons of a layer in one trial (population) or of one neuron in all
trials (lifetime),

.. math::

    S = \frac{1 - \left(\sum r/N\right)^2 / \left(\sum r^2/N\right)}{1 - 1/N}, \qquad
    H = \frac{\sqrt N - \sum |r| / \sqrt{\sum r^2}}{\sqrt N - 1}.

Treves and Rolls, Network 2, 371 (1991), in the form of Vinje and Gallant, Science 287, 1273 (2000);
Hoyer, J. Mach. Learn. Res. 5, 1457 (2004). Both are 0 where all rates are equal and 1 where one is
alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram.recording import layer_names, steps_run
from spikeram.statistics.counts import spike_counts
from spikeram.statistics.labels import by_layer, finite_mean, labelled, per_layer

Over: TypeAlias = Literal["neuron", "trial"]


def sparsity(ds: xr.Dataset) -> xr.DataArray:
    """Return the share of silent neurons in each layer, of dims (trial, layer)."""
    silent = by_layer(ds, spike_counts(ds).values == 0, finite_mean)
    return labelled(silent, "1", "share of silent neurons", "sparsity")


def dead(ds: xr.Dataset) -> xr.DataArray:
    """Return the share of neurons in each layer that fire in no trial.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.

    Returns
    -------
    xarray.DataArray of dims (layer,)
        NaN without a trial; `n` is the number of neurons.
    """
    never = (spike_counts(ds).values == 0).all(axis=0).astype(np.float64)
    if not ds.sizes["trial"]:
        never[:] = np.nan
    return _of_layers(ds, never, "share of neurons that never fire", "dead")


def saturated(ds: xr.Dataset) -> xr.DataArray:
    """Return the share of neurons in each layer that fire in every step of their window.

    Their activation lies beyond what a rate can tell.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.

    Returns
    -------
    xarray.DataArray of dims (trial, layer)
        `n` is the number of neurons.
    """
    every = steps_run(ds).values[:, np.newaxis]
    full = by_layer(ds, spike_counts(ds).values >= every, finite_mean)
    return labelled(full, "1", "share of neurons that fire in every step", "saturated")


def treves_rolls(ds: xr.Dataset, over: Over = "neuron") -> xr.DataArray:
    """Return the sparseness of Treves and Rolls.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    over : {"neuron", "trial"}
        Population sparseness over the neurons of each layer, or lifetime sparseness of each
        neuron over the trials.

    Returns
    -------
    xarray.DataArray of dims (trial, layer) or (neuron,)
        0 where all fire alike, 1 where one fires alone; NaN where none fires, and for a
        single neuron or trial.
    """
    return _sparseness(ds, over, _treves_rolls, "of Treves and Rolls", "treves_rolls")


def hoyer(ds: xr.Dataset, over: Over = "neuron") -> xr.DataArray:
    """Return the sparseness of Hoyer; as for `treves_rolls`."""
    return _sparseness(ds, over, _hoyer, "of Hoyer", "hoyer")


def _sparseness(
    ds: xr.Dataset,
    over: Over,
    measure: Callable[..., NDArray[np.float64]],
    whose: str,
    name: str,
) -> xr.DataArray:
    counts = spike_counts(ds)
    if over == "neuron":
        found = by_layer(ds, counts.values, measure)
        return labelled(found, "1", f"population sparseness {whose}", name)
    if over == "trial":
        found = xr.DataArray(
            measure(counts.values, axis=0),
            dims=("neuron",),
            coords={"layer": ds["layer"], "unit": ds["unit"], "n": ds.sizes["trial"]},
        )
        return labelled(found, "1", f"lifetime sparseness {whose}", name)
    raise ValueError(f"{name} expects over 'neuron' or 'trial', got {over!r}.")


def _treves_rolls(counts: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
    n = counts.shape[axis]
    value = _not_yet(counts, axis)
    if n > 1:
        squares = np.mean(np.square(counts, dtype=np.float64), axis=axis)
        np.divide(np.square(counts.mean(axis=axis)), squares, out=value, where=squares > 0)
        value = (1 - value) / (1 - 1 / n)
    return value


def _hoyer(counts: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
    n = counts.shape[axis]
    value = _not_yet(counts, axis)
    if n > 1:
        norm = np.sqrt(np.sum(np.square(counts, dtype=np.float64), axis=axis))
        np.divide(counts.sum(axis=axis), norm, out=value, where=norm > 0)
        value = (np.sqrt(n) - value) / (np.sqrt(n) - 1)
    return value


def _not_yet(counts: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
    return np.full(np.delete(counts.shape, axis), np.nan)


def _of_layers(
    ds: xr.Dataset, values: NDArray[np.float64], long_name: str, name: str
) -> xr.DataArray:
    neurons = np.ones(ds.sizes["neuron"], dtype=np.int64)
    found = xr.DataArray(
        per_layer(ds, values, finite_mean),
        dims=("layer",),
        coords={
            "layer": np.array(layer_names(ds), dtype=np.str_),
            "n": ("layer", per_layer(ds, neurons, np.sum)),
        },
    )
    return labelled(found, "1", long_name, name)
