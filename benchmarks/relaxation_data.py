"""Measured cells of the RRAM Relaxation Master Model (Levy et al., MIT licence)."""

import os
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from spikeram.device import equivalent_delay

SHORTEST_BAKE = 1000.0
"""Bakes of a few cells are listed with a tenth of a second: misread, left out [s]."""

RELAXATION = {
    "A": ("relaxation_techA.npz",),
    "B": ("relaxation_techB_10ms_to_1e4s.npz", "relaxation_techB_100s_to_1e5s.npz"),
    "C": ("relaxation_techC.npz",),
}


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells before and after a delay at room temperature, or what amounts to it.

    delay is in seconds, temperature in kelvin, before and change of shape (cell,) in uS.
    """

    delay: float
    temperature: float
    before: NDArray[np.float64]
    change: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """Cells read again and again: g of shape (cell, 1 + delay) in uS, NaN where not read."""

    g_max: float
    delays: NDArray[np.float64]
    g: NDArray[np.float64]

    def at_delays(self, some: slice = slice(None)) -> list[Cells]:
        """Return some of the cells at each delay, those that were read there."""
        found = []
        for k, delay in enumerate(self.delays, start=1):
            g = self.g[some][np.isfinite(self.g[some, k])]
            found.append(Cells(float(delay), 298.15, g[:, 0], g[:, k] - g[:, 0]))
        return found


def correlations(change: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how changes of shape (cell, delay) correlate over the cells read at both delays."""
    n = change.shape[1]
    matrix = np.eye(n)
    for i, j in zip(*np.triu_indices(n, 1)):
        both = np.isfinite(change[:, i]) & np.isfinite(change[:, j])
        matrix[i, j] = matrix[j, i] = np.corrcoef(change[both, i], change[both, j])[0, 1]
    return matrix


def folder() -> Path:
    """Return the folder of measured cells."""
    path = Path(os.environ.get("SPIKERAM_DATA", ""), "rram_measured")
    if not path.is_dir():
        raise click.ClickException(
            f"There is no folder {path}. Set SPIKERAM_DATA to one with rram_measured."
        )
    return path


def relaxation(technology: str, part: int = 0) -> Measured:
    """Return the cells of one technology, "A", "B" or "C"."""
    with np.load(folder() / RELAXATION[technology][part]) as data:
        delays = data["time_nominal_s"].astype(float)[1:]
        return Measured(float(data["g_max_uS"][0]), delays, data["g_uS"].astype(float))


def bakes(technology: str, some: slice = slice(None)) -> list[Cells]:
    """Return some of the cells of one technology after each bake, at the equivalent delay."""
    found = []
    with np.load(folder() / f"bake_tech{technology}.npz") as data:
        for n, celsius in enumerate(data["temp_C"]):
            time = data["bake_time_s"][n, some].astype(float)
            before = data["g_before_uS"][n, some].astype(float)
            after = data["g_after_uS"][n, some].astype(float)
            good = (time > SHORTEST_BAKE) & np.isfinite(before) & np.isfinite(after)
            kelvin = float(celsius) + 273.15
            delay = float(equivalent_delay(float(np.median(time[good])), kelvin))
            found.append(Cells(delay, kelvin, before[good], (after - before)[good]))
    return found


def series(technology: str) -> list[tuple[NDArray[np.float64], float]]:
    """Return cells that were read on and on: conductances [uS], and reads per second."""
    with np.load(folder() / f"read_noise_timeseries_tech{technology}.npz") as data:
        rate = float(data["sample_rate_hz"][0])
        return [(g.astype(float), rate) for g in data["g_uS"]]
