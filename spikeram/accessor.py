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
from spikeram.seeds import Seed
from spikeram.statistics.intervals import REFRACTORINESS
from spikeram.units import Quantity


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

    def interval_measures(self, *, refractoriness: Quantity = REFRACTORINESS) -> xr.Dataset:
        """See `spikeram.statistics.interval_measures`."""
        return statistics.interval_measures(self._ds, refractoriness=refractoriness)

    def cv(self) -> xr.DataArray:
        """See `spikeram.statistics.cv`."""
        return statistics.cv(self._ds)

    def cv2(self) -> xr.DataArray:
        """See `spikeram.statistics.cv2`."""
        return statistics.cv2(self._ds)

    def lv(self) -> xr.DataArray:
        """See `spikeram.statistics.lv`."""
        return statistics.lv(self._ds)

    def lvr(self, *, refractoriness: Quantity = REFRACTORINESS) -> xr.DataArray:
        """See `spikeram.statistics.lvr`."""
        return statistics.lvr(self._ds, refractoriness=refractoriness)

    def fano_factor(self, ddof: int = 0) -> xr.DataArray:
        """See `spikeram.statistics.fano_factor`."""
        return statistics.fano_factor(self._ds, ddof)

    def fano_over_windows(self, window: Quantity, *, ddof: int = 0) -> xr.DataArray:
        """See `spikeram.statistics.fano_over_windows`."""
        return statistics.fano_over_windows(self._ds, window, ddof=ddof)

    def binned(self, width: Quantity, *, layer: str | None = None) -> xr.DataArray:
        """See `spikeram.statistics.binned`."""
        return statistics.binned(self._ds, width, layer=layer)

    def psth(self, width: Quantity, *, layer: str | None = None) -> xr.DataArray:
        """See `spikeram.statistics.psth`."""
        return statistics.psth(self._ds, width, layer=layer)

    def population_rate(self, width: Quantity) -> xr.DataArray:
        """See `spikeram.statistics.population_rate`."""
        return statistics.population_rate(self._ds, width)

    def instantaneous_rate(
        self, sigma: Quantity, *, every: Quantity | None = None, layer: str | None = None
    ) -> xr.DataArray:
        """See `spikeram.statistics.instantaneous_rate`."""
        return statistics.instantaneous_rate(self._ds, sigma, every=every, layer=layer)

    def synchrony(self, width: Quantity) -> xr.DataArray:
        """See `spikeram.statistics.synchrony`."""
        return statistics.synchrony(self._ds, width)

    def correlation(self, width: Quantity, *, layer: str | None = None) -> xr.DataArray:
        """See `spikeram.statistics.correlation`."""
        return statistics.correlation(self._ds, width, layer=layer)

    def cross_correlogram(
        self, width: Quantity, max_lag: Quantity, *, layer: str | None = None
    ) -> xr.DataArray:
        """See `spikeram.statistics.cross_correlogram`."""
        return statistics.cross_correlogram(self._ds, width, max_lag, layer=layer)

    def autocorrelogram(
        self, width: Quantity, max_lag: Quantity, *, layer: str | None = None
    ) -> xr.DataArray:
        """See `spikeram.statistics.autocorrelogram`."""
        return statistics.autocorrelogram(self._ds, width, max_lag, layer=layer)

    def sttc(self, window: Quantity, *, layer: str | None = None) -> xr.DataArray:
        """See `spikeram.statistics.sttc`."""
        return statistics.sttc(self._ds, window, layer=layer)

    def van_rossum(self, tau: Quantity, *, layer: str | None = None) -> xr.DataArray:
        """See `spikeram.statistics.van_rossum`."""
        return statistics.van_rossum(self._ds, tau, layer=layer)

    def victor_purpura(self, cost: Quantity, *, layer: str | None = None) -> xr.DataArray:
        """See `spikeram.statistics.victor_purpura`."""
        return statistics.victor_purpura(self._ds, cost, layer=layer)

    def bursts(
        self,
        *,
        max_interval_to_begin: Quantity,
        max_interval_to_end: Quantity | None = None,
        min_gap: Quantity = 0.0,
        min_duration: Quantity = 0.0,
        min_spikes: int = 3,
    ) -> xr.Dataset:
        """See `spikeram.statistics.bursts`."""
        return statistics.bursts(
            self._ds,
            max_interval_to_begin=max_interval_to_begin,
            max_interval_to_end=max_interval_to_end,
            min_gap=min_gap,
            min_duration=min_duration,
            min_spikes=min_spikes,
        )

    def bursts_by_log_interval(self, *, min_spikes: int = 3) -> xr.Dataset:
        """See `spikeram.statistics.bursts_by_log_interval`."""
        return statistics.bursts_by_log_interval(self._ds, min_spikes=min_spikes)

    def log_interval_threshold(self) -> xr.DataArray:
        """See `spikeram.statistics.log_interval_threshold`."""
        return statistics.log_interval_threshold(self._ds)

    def burst_summary(self, found: xr.Dataset) -> xr.Dataset:
        """See `spikeram.statistics.burst_summary`."""
        return statistics.burst_summary(self._ds, found)

    def sparsity(self) -> xr.DataArray:
        """See `spikeram.statistics.sparsity`."""
        return statistics.sparsity(self._ds)

    def dead(self) -> xr.DataArray:
        """See `spikeram.statistics.dead`."""
        return statistics.dead(self._ds)

    def saturated(self) -> xr.DataArray:
        """See `spikeram.statistics.saturated`."""
        return statistics.saturated(self._ds)

    def treves_rolls(self, over: Literal["neuron", "trial"] = "neuron") -> xr.DataArray:
        """See `spikeram.statistics.treves_rolls`."""
        return statistics.treves_rolls(self._ds, over)

    def hoyer(self, over: Literal["neuron", "trial"] = "neuron") -> xr.DataArray:
        """See `spikeram.statistics.hoyer`."""
        return statistics.hoyer(self._ds, over)

    def mutual_information(
        self,
        stimulus: ArrayLike,
        *,
        levels: int | None = None,
        corrected: bool = True,
        shuffles: int = 0,
        seed: Seed | None = None,
    ) -> xr.Dataset:
        """See `spikeram.statistics.mutual_information`."""
        return statistics.mutual_information(
            self._ds, stimulus, levels=levels, corrected=corrected, shuffles=shuffles, seed=seed
        )

    def first_spike_latency(self) -> xr.DataArray:
        """See `spikeram.statistics.first_spike_latency`."""
        return statistics.first_spike_latency(self._ds)

    def spikes_to_decision(
        self, *, confidence: float = 0.99, min_steps: int = 1, margin: float | None = None
    ) -> xr.DataArray:
        """See `spikeram.statistics.spikes_to_decision`."""
        return statistics.spikes_to_decision(
            self._ds, confidence=confidence, min_steps=min_steps, margin=margin
        )

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
