"""The accessor ``recording.spk``: statistics, energy and latency as methods.

Importing this module registers it with xarray; `load` is that of `spikeram.recording`, so that what
it returns has the accessor. Each method calls the function of the same name
in `spikeram.statistics`, `spikeram.energy` or `spikeram.comparison`, where it is documented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spikeram import comparison, energy, recording, statistics
from spikeram.energy import EnergyModel
from spikeram.precision import Precision
from spikeram.recording import load as load


@xr.register_dataset_accessor("spk")  # type: ignore[no-untyped-call]
class SpikeAccessor:
    """Methods of a recording.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def spike_times(self, trial: int, neuron: int) -> NDArray[np.float64]:
        """See `spikeram.recording.spike_times`."""
        return recording.spike_times(self._ds, trial, neuron)

    def raster(self, layer: str) -> xr.DataArray:
        """See `spikeram.recording.raster`."""
        return recording.raster(self._ds, layer)

    def select(
        self, *, trial: ArrayLike | slice | None = None, neuron: ArrayLike | slice | None = None
    ) -> xr.Dataset:
        """See `spikeram.recording.select`."""
        return recording.select(self._ds, trial=trial, neuron=neuron)

    def counts(self) -> xr.DataArray:
        """See `spikeram.statistics.spike_counts`."""
        return statistics.spike_counts(self._ds)

    def spikes(self) -> xr.DataArray:
        """See `spikeram.statistics.spikes_per_layer`."""
        return statistics.spikes_per_layer(self._ds)

    def rate(self, average: Literal["trial", "layer"] | None = None) -> xr.DataArray:
        """See `spikeram.statistics.rate`."""
        return statistics.rate(self._ds, average)

    def isi(self, layer: str | None = None) -> xr.DataArray:
        """See `spikeram.statistics.isi`."""
        return statistics.isi(self._ds, layer)

    def isi_histogram(self, edges: ArrayLike | None = None) -> xr.DataArray:
        """See `spikeram.statistics.isi_histogram`."""
        return statistics.isi_histogram(self._ds, edges)

    def cv(self) -> xr.DataArray:
        """See `spikeram.statistics.cv`."""
        return statistics.cv(self._ds)

    def fano_factor(self, ddof: int = 0) -> xr.DataArray:
        """See `spikeram.statistics.fano_factor`."""
        return statistics.fano_factor(self._ds, ddof)

    def sparsity(self) -> xr.DataArray:
        """See `spikeram.statistics.sparsity`."""
        return statistics.sparsity(self._ds)

    def treves_rolls(self) -> xr.DataArray:
        """See `spikeram.statistics.treves_rolls`."""
        return statistics.treves_rolls(self._ds)

    def synaptic_operations(self) -> xr.DataArray:
        """See `spikeram.statistics.synaptic_operations`."""
        return statistics.synaptic_operations(self._ds)

    def prediction(self, step: int | None = None, classes: ArrayLike | None = None) -> xr.DataArray:
        """See `spikeram.statistics.prediction`."""
        return statistics.prediction(self._ds, step, classes)

    def accuracy(self, labels: ArrayLike, classes: ArrayLike | None = None) -> xr.DataArray:
        """See `spikeram.statistics.accuracy`."""
        return statistics.accuracy(self._ds, labels, classes)

    def early_decision(
        self,
        *,
        confidence: float = 0.99,
        min_steps: int = 1,
        margin: float | None = None,
        labels: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> xr.Dataset:
        """See `spikeram.statistics.early_decision`."""
        return statistics.early_decision(
            self._ds,
            confidence=confidence,
            min_steps=min_steps,
            margin=margin,
            labels=labels,
            classes=classes,
        )

    def summary(self) -> xr.Dataset:
        """See `spikeram.statistics.summary`."""
        return statistics.summary(self._ds)

    def energy(
        self,
        model: str | EnergyModel | None = None,
        *,
        idle: energy.Idle = "skip",
        word_lines: energy.WordLines = "pulsed",
    ) -> xr.DataArray:
        """See `spikeram.energy.energy`."""
        return energy.energy(self._ds, model, idle=idle, word_lines=word_lines)

    def latency(
        self,
        model: str | EnergyModel | None = None,
        *,
        copies: Mapping[str, int] | None = None,
        merged: Sequence[Sequence[str]] = (),
    ) -> xr.DataArray:
        """See `spikeram.energy.latency`."""
        return energy.latency(self._ds, model, copies=copies, merged=merged)

    def compare(
        self, model: str | EnergyModel | None = None, *, precision: Precision | None = None
    ) -> xr.Dataset:
        """See `spikeram.comparison.compare`."""
        return comparison.compare(self._ds, model, precision=precision)
