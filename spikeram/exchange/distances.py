"""Distances of PySpike: ISI-distance, SPIKE-distance and SPIKE-synchronisation of all pairs.

Mulansky and Kreuz, SoftwareX 5, 183 (2016). Its edge cases are its own: two silent trains have
distance 0 and are in full synchrony, and the edges of the recording act as spikes.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr

from spikeram import recording
from spikeram.errors import MissingExtraError

Distance: TypeAlias = Literal["isi_distance", "spike_distance", "spike_sync"]

_LONG_NAMES = {
    "isi_distance": "ISI-distance",
    "spike_distance": "SPIKE-distance",
    "spike_sync": "SPIKE-synchronisation",
}


def pyspike_matrix(
    ds: xr.Dataset, measure: Distance = "spike_distance", *, layer: str | None = None
) -> xr.DataArray:
    """Return a measure of PySpike for each pair of neurons.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    measure : {"isi_distance", "spike_distance", "spike_sync"}
        Which.
    layer : str, optional
        Only the neurons of this layer.

    Returns
    -------
    xarray.DataArray of dims (trial, neuron, other)
    """
    if measure not in _LONG_NAMES:
        raise ValueError(f"measure expects one of {', '.join(_LONG_NAMES)}, got {measure!r}.")
    spk = _pyspike()
    part = ds if layer is None else recording.select(ds, neuron=recording.members(ds, layer))
    edges = float(part["window_start"].min()), float(part["window_start"].max())
    window = (edges[0], edges[1] + float(part.attrs["duration"]))
    matrix = getattr(spk, f"{measure}_matrix")
    trials, neurons = part.sizes["trial"], part.sizes["neuron"]
    values = np.empty((trials, neurons, neurons))
    for s in range(trials):
        trains = [spk.SpikeTrain(recording.spike_times(part, s, j), window) for j in range(neurons)]
        values[s] = matrix(trains)
    return xr.DataArray(
        values,
        dims=("trial", "neuron", "other"),
        coords={
            "trial": part["trial"],
            "layer": part["layer"],
            "unit": part["unit"],
            "other_layer": ("other", part["layer"].values),
            "other_unit": ("other", part["unit"].values),
        },
        name=measure,
        attrs={"units": "1", "long_name": f"{_LONG_NAMES[measure]} of PySpike"},
    )


def _pyspike() -> Any:
    try:
        import pyspike
    except ImportError:
        raise MissingExtraError("pyspike", "distances", "A distance of PySpike") from None
    return pyspike
