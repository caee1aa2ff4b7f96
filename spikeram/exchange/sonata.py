"""SONATA spike files: HDF5, one population for each layer (Dai et al., PLoS Comput. Biol. 2020).

A file holds one run; trials are written one after the other in files of their own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import xarray as xr

from spikeram import recording
from spikeram.errors import RecordingError
from spikeram.exchange.events import events_of, from_events, trial_duration
from spikeram.files import replacing
from spikeram.units import Quantity

_MAGIC = 0x0A7A
_TOLD = ("n_nodes", "dt", "duration")
_TO_SECONDS = {"ms": 1e-3, "milliseconds": 1e-3, "s": 1.0, "seconds": 1.0, "us": 1e-6}


def to_sonata(ds: xr.Dataset, path: str | os.PathLike[str], trial: int = 0) -> None:
    """Write one trial of a recording as a SONATA spike file.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times.
    path : path-like
        The file, usually .h5; what is there is replaced.
    trial : int
        Place of the trial. Signs of spikes are lost.
    """
    one = recording.select(ds, trial=[trial])
    spikes = events_of(one)
    with replacing(path) as scratch, h5py.File(scratch, "w") as file:
        file.attrs["magic"], file.attrs["version"] = np.uint32(_MAGIC), np.array([0, 1], np.uint32)
        for name in recording.layer_names(one):
            here = one["layer"].values[spikes.neuron] == name
            order = np.argsort(spikes.t[here], kind="stable")
            group = file.create_group(f"spikes/{name}")
            group.attrs["sorting"] = "by_time"
            group.attrs["n_nodes"] = recording.members(one, name).size
            group.attrs["dt"] = ds.attrs["dt"]
            group.attrs["duration"] = trial_duration(ds)
            times = group.create_dataset("timestamps", data=spikes.t[here][order] / 1e-3)
            times.attrs["units"] = "milliseconds"
            nodes = one["unit"].values[spikes.neuron[here][order]].astype(np.uint64)
            group.create_dataset("node_ids", data=nodes)


def from_sonata(
    path: str | os.PathLike[str],
    *,
    layers: Mapping[str, int] | None = None,
    duration: Quantity | None = None,
    dt: Quantity | None = None,
) -> xr.Dataset:
    """Return the recording in a SONATA spike file: one trial, a layer for each population.

    Parameters
    ----------
    path : path-like
        The file.
    layers : mapping of str to int, optional
        Size of each population; by default as the file says, or else one more than the largest
        node that fires.
    duration, dt : Second, optional
        Length of the run and resolution of time [s]; by default as the file says. Files of other
        tools do not: give them.

    Raises
    ------
    RecordingError
        If the file is damaged or holds no spikes in this format.
    """
    try:
        with h5py.File(Path(path), "r") as file:
            populations = {str(name): _population(group) for name, group in file["spikes"].items()}
    except (OSError, KeyError, AttributeError, TypeError) as error:
        raise RecordingError(f"{path} is damaged, or no SONATA spike file: {error}") from error
    if not populations:
        raise RecordingError(f"{path} holds no population of spikes.")
    told = next(iter(populations.values()))[2]
    length, step = duration or told.get("duration"), dt or told.get("dt")
    if length is None or step is None:
        raise ValueError(f"{path} does not tell its duration and dt: give both.")
    sizes = {
        name: int((layers or {}).get(name) or own.get("n_nodes") or int(nodes.max(initial=-1)) + 1)
        for name, (_, nodes, own) in populations.items()
    }
    first = np.concatenate([[0], np.cumsum(list(sizes.values()))])
    return from_events(
        np.concatenate([t for t, _, _ in populations.values()]),
        np.concatenate([at + nodes for at, (_, nodes, _) in zip(first, populations.values())]),
        layers=sizes,
        n_trials=1,
        duration=length,
        dt=step,
        provenance={"source": "SONATA"},
    )


def _population(group: h5py.Group) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Return times [s], nodes and what is told of one population."""
    units = group["timestamps"].attrs.get("units", "milliseconds")
    units = units.decode() if isinstance(units, bytes) else str(units)
    if units not in _TO_SECONDS:
        raise RecordingError(f"SONATA times are in ms, s or us, got {units!r}.")
    told = {name: group.attrs[name] for name in _TOLD if name in group.attrs}
    times = np.asarray(group["timestamps"], dtype=np.float64) * _TO_SECONDS[units]
    return times, np.asarray(group["node_ids"]).astype(np.int64), told
