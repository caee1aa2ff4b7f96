"""Recordings written while the run goes on, in memory that does not grow with them.

A zarr store grows by some trials at a time: their events first, then what counts them, and last
the attributes that say how many trials and events are whole. A store that was cut off at any moment
holds the trials up to there; what lies behind them is taken away when the run resumes. Events are
read only when they are asked for, piece by piece: `open_lazily` and `trial_blocks`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from spikeram import recording
from spikeram.errors import RecordingError, differences
from spikeram.files import check_output

EVENTS_AT_A_TIME = 2**22
"""Most events of a block of trials, unless a single trial has more."""

_EVENTS_OF_A_CHUNK = 2**20
_DONE = ("n_trials_done", "n_events_done")
_OWN = ("complete", "provenance", "spikeram_schema")


class Recorder:
    """A recording that grows on the disk.

    Parameters
    ----------
    path : path-like
        A store ending in .zarr. One that an earlier run of the same provenance left unfinished is
        gone on with; any other that exists is refused.
    n_trials : int
        Trials that the run is to have.
    provenance : mapping of str to object
        What the run is made from, inputs included: a run resumes only where all of it is the same.

    Attributes
    ----------
    done : int
        Trials that the store holds.

    Raises
    ------
    RecordingError
        If the store is of another run, or damaged; the message says what differs.
    ValueError
        If the name does not end in .zarr, or nothing can be written under it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        n_trials: int,
        provenance: Mapping[str, object],
    ) -> None:
        self.path = Path(path)
        if self.path.suffix != ".zarr":
            raise ValueError(
                f"A recording that is written while it runs ends in .zarr, got {self.path.name!r}. "
                "Load it and save it as .nc afterwards."
            )
        check_output(self.path, folder=True)
        self._n_trials = n_trials
        self._provenance = recording.provenance_text(provenance)
        self._group: zarr.Group | None = None
        self.done = 0
        if self.path.exists():
            self._resume()

    def append(self, part: xr.Dataset) -> None:
        """Add the next trials.

        Parameters
        ----------
        part : xarray.Dataset
            Their recording.
        """
        if self._group is None:
            self._create(part)
            return
        group = self._group
        events, trials = int(_attributes(self.path)["n_events_done"]), part.sizes["trial"]
        if "t" in part.variables:
            _extend(group["t"], _encoded(part, group["t"]))
            _extend(group["sign"], recording.signs(part))
            events += part.sizes["event"]
        for name, variable in part.variables.items():
            if variable.dims[:1] == ("trial",):
                _extend(group[str(name)], variable.values)
        self._mark(self.done + trials, events, part)

    def result(self) -> xr.Dataset:
        """Return the recording so far, its events still on the disk; finished if it is whole."""
        if self._group is None:
            raise RecordingError("There is nothing recorded yet.")
        if self.done >= self._n_trials:
            if "sign" in self._group and not self._group.attrs["any_negative"]:
                del self._group["sign"]
            self._group.update_attributes({"complete": 1})
        return open_lazily(self.path)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._group = None

    def _create(self, part: xr.Dataset) -> None:
        first = part.drop_encoding().assign_attrs(
            complete=0,
            n_trials_requested=self._n_trials,
            n_trials_done=0,
            n_events_done=0,
            any_negative=0,
            made_from=self._provenance,
        )
        if "t" in first.variables:
            first["sign"] = ("event", recording.signs(part))
            first = recording.described(first)
            first["t"].encoding["chunks"] = (_EVENTS_OF_A_CHUNK,)
            first["sign"].encoding["chunks"] = (_EVENTS_OF_A_CHUNK,)
            if recording.on_grid(part):
                first["t"].encoding.update(recording.packed(part))
        for variable in first.variables.values():
            if variable.dims[:1] == ("trial",):
                variable.encoding["chunks"] = (max(1, part.sizes["trial"]), *variable.shape[1:])
        first.to_zarr(self.path, mode="w", zarr_format=2, consolidated=False)
        self._group = zarr.open_group(self.path, mode="r+")
        self._mark(part.sizes["trial"], first.sizes.get("event", 0), part)

    def _mark(self, trials: int, events: int, part: xr.Dataset) -> None:
        if self._group is None:
            raise RecordingError("There is nothing recorded yet.")
        negative = "sign" in part.variables or self._group.attrs["any_negative"]
        self._group.update_attributes(
            {"n_trials_done": trials, "n_events_done": events, "any_negative": int(bool(negative))}
        )
        self.done = trials

    def _resume(self) -> None:
        attributes = _attributes(self.path)
        if attributes["complete"]:
            raise RecordingError(
                f"{self.path} holds a complete recording. Choose another name, or delete it."
            )
        made_from = attributes.get("made_from", "{}")
        if made_from != self._provenance:
            raise RecordingError(
                f"{self.path} holds a part of another run: "
                f"{differences(json.loads(made_from), json.loads(self._provenance))}. "
                "Choose another name, or delete it."
            )
        if attributes["n_trials_requested"] != self._n_trials:
            raise RecordingError(
                f"{self.path} holds a part of a run of {attributes['n_trials_requested']} samples, "
                f"not of {self._n_trials}. Choose another name, or delete it."
            )
        group = zarr.open_group(self.path, mode="r+")
        trials, events = (int(attributes[name]) for name in _DONE)
        lengths = {"trial": trials, "event": events}
        for _, array in group.arrays():
            dims: Any = array.attrs.get("_ARRAY_DIMENSIONS") or [""]
            if dims[0] in lengths:
                array.resize((lengths[dims[0]], *array.shape[1:]))
        self._group, self.done = group, trials


def open_lazily(path: str | os.PathLike[str]) -> xr.Dataset:
    """Return the recording in a zarr store, its events left on the disk until they are used.

    Parameters
    ----------
    path : path-like
        A store ending in .zarr, whole or left by a run that was cut off.

    Returns
    -------
    xarray.Dataset
        Reading ``ds["t"].values`` reads all events; take some by `trial_blocks`, or by slices of
        ``event``. What counts them is read and checked, they themselves are not; see
        `spikeram.recording.load`.

    Raises
    ------
    RecordingError
        If there is no such store, or it is damaged, foreign or of another schema.
    """
    source = Path(path)
    _attributes(source)
    try:
        ds = xr.open_dataset(
            source, engine="zarr", chunks=None, consolidated=False, decode_timedelta=False,
            decode_times=False,
        )  # fmt: skip
    except recording.UNREADABLE as error:
        raise RecordingError(f"{source} is damaged, or no recording: {error}") from error
    ds = recording.written(ds)
    recording.validate_counts(ds)
    return ds


def trial_blocks(ds: xr.Dataset, *, events: int = EVENTS_AT_A_TIME) -> Iterator[xr.Dataset]:
    """Yield the trials of a recording in blocks, in memory, one after the other.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording, lazy or not.
    events : int
        Most events of a block, unless a single trial has more.

    Yields
    ------
    xarray.Dataset
        The recording of some trials.
    """
    spikes = ds["row_size"].values.sum(axis=1, dtype=np.int64)
    ends = np.concatenate([[0], np.cumsum(spikes)])
    first = 0
    while first < spikes.size:
        last = int(np.searchsorted(ends, ends[first] + events, side="right")) - 1
        last = max(last, first + 1)
        part = {"trial": slice(first, last)}
        if "event" in ds.sizes:
            part["event"] = slice(int(ends[first]), int(ends[last]))
        yield ds.isel(part).load().assign_attrs(complete=1, n_trials_requested=last - first)
        first = last


def _attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a store, checked to be those of a recording."""
    if not path.exists():
        raise RecordingError(f"There is no recording at {path}.")
    try:
        attributes = dict(zarr.open_group(path, mode="r").attrs)
    except (*recording.UNREADABLE, zarr.errors.GroupNotFoundError) as error:
        raise RecordingError(f"{path} is damaged, or no recording: {error}") from error
    missing = [
        name for name in ("complete", "provenance", "spikeram_schema") if name not in attributes
    ]
    if missing:
        raise RecordingError(f"{path} is no recording: it has no {', '.join(missing)}.")
    return attributes


def _extend(array: Any, values: NDArray[np.generic]) -> None:
    array.append(values.astype(array.dtype, copy=False), axis=0)


def _encoded(part: xr.Dataset, stored: Any) -> NDArray[np.generic]:
    """Return spike times as the store keeps them: whole steps, or seconds."""
    t: NDArray[np.float64] = part["t"].values
    if "scale_factor" not in stored.attrs:
        return t
    if not recording.on_grid(part):
        raise RecordingError(
            "The first trials had spikes on the grid of the steps only, but these have others."
        )
    steps: NDArray[np.float64] = np.rint(t / part.attrs["dt"])
    return steps
