"""The spike trains of a recording as kernels take them: in steps, so that ties are exact.

Times on the grid of the steps become whole numbers, and so do durations of whole steps: whether two
spikes lie within a window of each other does not hang on a rounding error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram.processors import Threads
from spikeram.recording import members, offsets, select
from spikeram.units import Quantity, Second, as_si

SLACK = 1e-9
"""How little below a bin's edge, in bins, counts as on it: far above rounding errors of times."""

_ON_GRID = 1e-6
_ROWS_AT_A_TIME = 16


@dataclass(frozen=True, eq=False)
class Trains:
    """All trains of a recording, or of one of its layers.

    Parameters
    ----------
    ds : xarray.Dataset
        The recording, or the part of it.
    """

    ds: xr.Dataset

    @classmethod
    def of(cls, ds: xr.Dataset, layer: str | None = None) -> Trains:
        """Return the trains of a recording, or of the layer of that name."""
        return cls(ds if layer is None else select(ds, neuron=members(ds, layer)))

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each train starts, in the order (trial, neuron), and where the last ends."""
        return offsets(self.ds)

    @cached_property
    def t(self) -> NDArray[np.float64]:
        """Spike times in steps, whole numbers where they are on the grid."""
        return _whole(self.ds["t"].values / self.dt)

    @property
    def dt(self) -> Second:
        """Duration of a step [s]."""
        return float(self.ds.attrs["dt"])

    @property
    def shape(self) -> tuple[int, int]:
        """Trials and neurons."""
        return self.ds.sizes["trial"], self.ds.sizes["neuron"]

    @cached_property
    def starts(self) -> NDArray[np.float64]:
        """Start of each neuron's window, in steps."""
        return _whole(self.ds["window_start"].values / self.dt)

    @property
    def duration(self) -> float:
        """Length of each neuron's window, in steps."""
        return self.steps(self.ds.attrs["duration"])

    @property
    def window(self) -> tuple[float, float]:
        """Begin and end of the window that all trains share, in steps.

        Where layers have windows of their own it is the whole recording.
        """
        starts = np.unique(self.starts)
        if starts.size == 1:
            return float(starts[0]), float(starts[0]) + self.duration
        return self.steps(self.ds.attrs["t_start"]), self.steps(self.ds.attrs["t_stop"])

    def steps(self, seconds: Second) -> float:
        """Return a duration in steps."""
        return float(_whole(np.asarray(seconds / self.dt)))

    def trial(self, s: int) -> NDArray[np.int64]:
        """Return the offsets of the trains of one trial."""
        neurons = self.shape[1]
        return self.offsets[s * neurons : (s + 1) * neurons + 1]


def _whole(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    nearest = np.rint(steps)
    return nearest if np.all(np.abs(steps - nearest) < _ON_GRID) else steps


def as_duration(value: Quantity, name: str) -> Second:
    """Return a duration [s], refused unless above 0.

    Parameters
    ----------
    value : Second
        The duration; ``"5 ms"`` and seconds both serve.
    name : str
        What it is called in the error.
    """
    seconds = as_si(value, "s", name)
    if not 0 < seconds < np.inf:
        raise ValueError(f"{name} expects a time > 0, got {seconds} s.")
    return seconds


def by_rows(run: Callable[[int, int], None], rows: int) -> None:
    """Call ``run(start, stop)`` for blocks of rows, shared out to threads.

    Rows of a triangle differ in cost: small blocks keep all threads busy.
    """
    blocks = [(r, min(r + _ROWS_AT_A_TIME, rows)) for r in range(0, rows, _ROWS_AT_A_TIME)]
    with Threads() as threads:
        threads.each(lambda block: run(*block), blocks)
