"""Spikes in Neurodata Without Borders files, one unit for each neuron (Rübel et al., eLife 2022).

NWB's units table is the layout of a recording: all spike times one after the other, and where each
unit's end. A unit has one train, so trials follow each other in time, a row of the trials table
each.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from spikeram.errors import MissingExtraError, RecordingError
from spikeram.exchange.events import events_of, from_events, trial_duration
from spikeram.files import replacing
from spikeram.units import Quantity, as_si


def to_nwb(ds: xr.Dataset, path: str | os.PathLike[str], *, start: datetime | None = None) -> None:
    """Write the spikes of a recording as an NWB file.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording with spike times. Signs of spikes are lost.
    path : path-like
        The file, usually .nwb; what is there is replaced.
    start : datetime, optional
        When the run began, with its time zone; 1970 by default, so that files of equal content are
        equal.
    """
    pynwb = _pynwb()
    spikes, length = events_of(ds), trial_duration(ds)
    file = pynwb.NWBFile(
        session_description="spikeram recording",
        identifier="spikeram",
        session_start_time=datetime(1970, 1, 1, tzinfo=UTC) if start is None else start,
        notes=str(ds.attrs["provenance"]),
    )
    file.add_unit_column("layer", "name of the neuron's layer")
    file.add_unit_column("unit", "number of the neuron in its layer")
    for s in range(ds.sizes["trial"]):
        file.add_trial(start_time=s * length, stop_time=(s + 1) * length)
    order = np.lexsort((spikes.t, spikes.trial, spikes.neuron))
    t = (spikes.trial * length + spikes.t)[order]
    ends = np.cumsum(np.bincount(spikes.neuron, minlength=ds.sizes["neuron"]))
    for j, part in enumerate(np.split(t, ends[:-1])):
        file.add_unit(
            spike_times=part,
            layer=str(ds["layer"].values[j]),
            unit=int(ds["unit"].values[j]),
        )
    file.units.resolution = float(ds.attrs["dt"])
    with replacing(path) as scratch, pynwb.NWBHDF5IO(str(scratch), "w") as io:
        io.write(file)


def from_nwb(
    path: str | os.PathLike[str], *, duration: Quantity | None = None, dt: Quantity | None = None
) -> xr.Dataset:
    """Return the recording of the units in an NWB file.

    Parameters
    ----------
    path : path-like
        The file. With a trials table of equal lengths, its rows are the trials and spikes between
        them are left out; else all is one.
    duration : Second, optional
        Length of the recording where there is no trials table [s].
    dt : Second, optional
        Resolution of time [s]; by default that of the units table.

    Raises
    ------
    RecordingError
        If the file is damaged or holds no units.
    """
    pynwb = _pynwb()
    if not Path(path).exists():
        raise RecordingError(f"There is no file {path}.")
    try:
        with pynwb.NWBHDF5IO(str(path), "r") as io:
            file = io.read()
            units, trials = file.units, file.trials
            if units is None or "spike_times" not in units.colnames:
                raise RecordingError(f"{path} holds no units with spike times.")
            times = np.asarray(units.spike_times.data[:], dtype=np.float64)
            ends = np.asarray(units["spike_times"].data[:], dtype=np.int64)
            names = [str(n) for n in units["layer"].data[:]] if "layer" in units.colnames else None
            step = units.resolution if dt is None else as_si(dt, "s", "dt")
            table = None if trials is None else trials.to_dataframe()
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(f"{path} is damaged, or no NWB file: {error}") from error
    if not step:
        raise ValueError(f"{path} does not tell the resolution of time: give dt.")
    neuron = np.repeat(np.arange(ends.size), np.diff(ends, prepend=0))
    begin, length = _trials(table, times, duration)
    trial = np.searchsorted(begin, times, side="right") - 1
    # A time near the end of its trial may be rounded onto the start of the next.
    local = times - begin[np.maximum(trial, 0)]
    inside = (trial >= 0) & (local < length)
    layers: Any = ends.size if names is None else {n: names.count(n) for n in dict.fromkeys(names)}
    return from_events(
        local[inside], neuron[inside], trial=trial[inside], layers=layers, n_trials=begin.size,
        duration=length, dt=step, provenance={"source": "NWB"},
    )  # fmt: skip


def _trials(table: Any, times: Any, duration: Quantity | None) -> tuple[Any, float]:
    """Return when trials begin, and how long they are [s]."""
    if table is None or not len(table):
        if duration is None:
            raise ValueError("This file has no trials: give the duration of the recording.")
        return np.zeros(1), as_si(duration, "s", "duration")
    lengths = (table["stop_time"] - table["start_time"]).to_numpy()
    if not np.allclose(lengths, lengths[0]):
        raise RecordingError(
            f"from_nwb expects trials of one length, got {lengths.min()} to {lengths.max()} s."
        )
    return table["start_time"].to_numpy(), float(lengths[0])


def _pynwb() -> Any:
    try:
        import pynwb
    except ImportError:
        raise MissingExtraError("pynwb", "nwb", "Exchange with NWB") from None
    return pynwb
