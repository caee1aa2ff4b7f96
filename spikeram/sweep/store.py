"""The store of a sweep: what each unit gave, and which are done.

A zarr store of flat arrays over units, in pieces of `UNITS_OF_A_PIECE`. One writer holds results
back and writes them piece by piece, first the values and then the marks, so that a store that is
cut off at any moment holds whole units, and what is not marked runs again. Nothing in it depends on
when or where a unit ran: stores of one experiment are the same to the bit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from spikeram.errors import ExperimentError, differences
from spikeram.files import check_output, replacing
from spikeram.sweep.experiment import Experiment
from spikeram.sweep.units import Result, layer_names

UNITS_OF_A_PIECE = 1024
SCHEMA = "1"

WAITING, DONE, FAILED = 0, 1, 2


class Store:
    """A sweep's results on the disk.

    Parameters
    ----------
    path : path-like
        A folder ending in .zarr; one that holds a part of the same experiment is gone on with.
    experiment : Experiment
        The sweep.

    Raises
    ------
    ExperimentError
        If the store is another experiment's, damaged, or held by another process.
    """

    def __init__(self, path: str | os.PathLike[str], experiment: Experiment) -> None:
        self.path = Path(path)
        if self.path.suffix != ".zarr":
            raise ExperimentError(f"A sweep's store ends in .zarr, got {self.path.name!r}.")
        check_output(self.path, folder=True)
        self.experiment = experiment
        told = {**experiment.resolved(), "layers": layer_names(experiment)}
        self._resolved = json.dumps(told, sort_keys=True)
        self._held: dict[int, Result] = {}
        self._failures: dict[str, str] = {}
        self._lock = _locked(self.path)
        try:
            self._group = self._open()
            self.state: NDArray[np.uint8] = np.asarray(cast(Any, self._group["state"])[:])
        except BaseException:
            self.close()
            raise

    def waiting(self) -> NDArray[np.int64]:
        """Return the numbers of the units that are not done."""
        return np.flatnonzero(self.state != DONE)

    def add(self, number: int, result: Result) -> None:
        """Take up what a unit gave; it is on the disk after the next `flush`."""
        self._held[number] = result
        self.state[number] = DONE
        self._failures.pop(str(number), None)

    def fail(self, number: int, traceback: str) -> None:
        """Take up that a unit failed, with its traceback."""
        self.state[number] = FAILED
        self._failures[str(number)] = traceback

    def flush(self) -> None:
        """Write what is held back: values first, then the marks."""
        if not self._held and not self._failures:
            return
        pieces: dict[int, list[int]] = {}
        for number in sorted(self._held):
            pieces.setdefault(number // UNITS_OF_A_PIECE, []).append(number)
        for piece, numbers in pieces.items():
            first = piece * UNITS_OF_A_PIECE
            some = slice(first, min(first + UNITS_OF_A_PIECE, self.experiment.n_units))
            for name in self._held[numbers[0]]:
                array = self._array(name, self._held[numbers[0]][name])
                values = np.asarray(array[some])
                for number in numbers:
                    values[number - first] = self._held[number][name]
                array[some] = values
        cast(Any, self._group["state"])[:] = self.state
        self._held.clear()
        failures = {**json.loads(str(self._group.attrs["failures"])), **self._failures}
        failed = {k: v for k, v in failures.items() if self.state[int(k)] == FAILED}
        self._group.update_attributes({"failures": json.dumps(failed, sort_keys=True)})
        self._failures.clear()

    def close(self) -> None:
        """Let another process write."""
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()
        finally:
            self.close()

    def _open(self) -> zarr.Group:
        if not self.path.exists():
            return self._create()
        group = open_store(self.path)
        told = json.loads(str(group.attrs["resolved"]))
        wanted = json.loads(self._resolved)
        if told != wanted:
            raise ExperimentError(
                f"{self.path} is the store of another experiment: {differences(told, wanted)}. "
                "Choose another name, or delete it."
            )
        return zarr.open_group(self.path, mode="r+")

    def _create(self) -> zarr.Group:
        n = self.experiment.n_units
        with replacing(self.path) as scratch:
            group = zarr.open_group(scratch, mode="w", zarr_format=2)
            group.update_attributes(
                {"spikeram_sweep": SCHEMA, "resolved": self._resolved, "failures": "{}"}
            )
            group.create_array("state", shape=(n,), chunks=(n,), dtype="uint8", fill_value=WAITING)
        return zarr.open_group(self.path, mode="r+")

    def _array(self, name: str, like: NDArray[Any]) -> Any:
        if name not in self._group:
            n, inner = self.experiment.n_units, like.shape
            self._group.create_array(
                name,
                shape=(n, *inner),
                chunks=(min(n, UNITS_OF_A_PIECE), *inner),
                dtype=like.dtype,
                fill_value=0,
            )
        return self._group[name]


def is_store(path: str | os.PathLike[str]) -> bool:
    """Return whether there is the store of a sweep under a name, and not something else."""
    try:
        return "spikeram_sweep" in zarr.open_group(path, mode="r").attrs
    except (OSError, KeyError, ValueError, TypeError):
        return False


def open_store(path: str | os.PathLike[str]) -> zarr.Group:
    """Return the group of a store, to read.

    Raises
    ------
    ExperimentError
        If there is none, or it is damaged or no sweep's.
    """
    if not Path(path).exists():
        raise ExperimentError(f"There is no store {path}.")
    try:
        group = zarr.open_group(path, mode="r")
        if str(group.attrs["spikeram_sweep"]) != SCHEMA or "state" not in group:
            raise KeyError("spikeram_sweep")
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ExperimentError(f"{path} is damaged, or no store of a sweep: {error}.") from error
    return group


def _locked(path: Path) -> FileLock:
    """Return the lock on a store; the system lets go of it with the process, however that ends."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ExperimentError(f"{path} is being written by another process.") from None
    return lock
