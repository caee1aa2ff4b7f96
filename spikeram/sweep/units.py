"""Units of work: one programmed chip on a chunk of samples, a pure function of the experiment.

Units are numbered in C order over (chip, axes..., chunk). What a unit gives depends on its number
and the experiment alone, so that it may run anywhere, in any order, and again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import spikeram.accessor  # noqa: F401  # registers recording.spk
from spikeram import registry
from spikeram.chip import Chip, ProgrammedChip
from spikeram.conversion import recalibrate
from spikeram.errors import ExperimentError
from spikeram.network import SpikingNetwork
from spikeram.programming import program
from spikeram.simulation import simulate
from spikeram.sweep.experiment import Data, Experiment, read_samples, stamp

Result = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Unit:
    """Where a unit lies among the axes.

    Parameters
    ----------
    number : int
        Its number.
    chip : int
        Number of the chip.
    point : mapping of str to object
        Value of each axis.
    chunk : int
        Which chunk of samples.
    """

    number: int
    chip: int
    point: tuple[tuple[str, Any], ...]
    chunk: int


def unit_of(experiment: Experiment, number: int) -> Unit:
    """Return the unit of a number."""
    place = np.unravel_index(number, experiment.shape)
    point = tuple(
        (name, values[int(n)]) for (name, values), n in zip(experiment.axes.items(), place[1:-1])
    )
    return Unit(number=number, chip=int(place[0]), point=point, chunk=int(place[-1]))


def run_unit(experiment: Experiment, number: int) -> Result:
    """Return what a unit gives: sums over its samples, small arrays by name.

    Parameters
    ----------
    experiment : Experiment
        The sweep.
    number : int
        Number of the unit.

    Returns
    -------
    dict of str to ndarray
        `n`: samples; with "accuracy" `correct` of shape (step,); with "spikes" `spikes` of shape
        (layer,); with "energy" `energy` of shape (component,) [J].
    """
    unit = unit_of(experiment, number)
    written = tuple(stamp(name) for name in experiment.files)
    model = _programmed(experiment.model_dump_json(), written, unit.chip, unit.point)
    x, y = samples(experiment.data)
    first = unit.chunk * experiment.samples_of_a_unit
    some = slice(first, min(first + experiment.samples_of_a_unit, experiment.n_samples))
    run = simulate(
        model, x[some], steps=experiment.steps, encoding=experiment.encoding, seed=experiment.seed,
        record="counts",
    )  # fmt: skip
    return _sums(run, None if y is None else y[some], experiment)


def samples(data: Data) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the samples of a file, and their labels if it has any."""
    x, y = read_samples(data.file, stamp(data.file))
    some = slice(data.samples)
    return x[some], None if y is None else y[some]


def layer_names(experiment: Experiment) -> list[str]:
    """Return the names of the layers, of the first network where several are compared."""
    name = experiment.axes.get("network", [experiment.network])[0]
    return [layer.name for layer in _network(str(name), stamp(str(name))).layers]


def forget_programmed() -> None:
    """Let the next unit program its chip again, as the first unit of a chip does."""
    _programmed.cache_clear()


def _sums(run: xr.Dataset, y: NDArray[Any] | None, experiment: Experiment) -> Result:
    found: Result = {"n": np.array(run.sizes["trial"], dtype=np.int64)}
    if "accuracy" in experiment.record:
        if y is None:
            raise ExperimentError(f"{experiment.data.file} has no labels y to be right about.")
        share = run.spk.accuracy(y).values
        found["correct"] = np.rint(share * run.sizes["trial"]).astype(np.int64)
    if "spikes" in experiment.record:
        found["spikes"] = run.spk.spikes().sum("trial").values.astype(np.int64)
    if "energy" in experiment.record:
        found["energy"] = run.spk.energy().sum(["trial", "crossbar"]).values
    return found


@lru_cache(maxsize=2)
def _programmed(
    experiment: str,
    written: tuple[tuple[int, int], ...],
    chip: int,
    point: tuple[tuple[str, Any], ...],
) -> ProgrammedChip:
    """Return the chip of a point; the chunks of one point share it."""
    what = Experiment.model_validate_json(experiment)
    at = dict(point)
    name = str(at.pop("network", what.network))
    network = _network(name, stamp(name))
    delay = at.pop("delay", what.delay)
    chosen = _chip(what, at)
    programmed = program(network, chip=chosen, delay=delay, seed=what.seed, index=chip)
    if what.calibration is None:
        return programmed
    return recalibrate(programmed, samples(what.calibration)[0], steps=what.steps)


def _chip(experiment: Experiment, at: dict[str, Any]) -> Chip:
    make = registry.lookup("chips", experiment.chip)
    if "noise" in at:
        if experiment.chip != "gaussian":
            raise ExperimentError(
                f"The axis noise is that of the chip 'gaussian', not of {experiment.chip!r}. Set "
                "chip = 'gaussian'."
            )
        chip = make(at.pop("noise"))
    else:
        chip = make()
    found: Chip = replace(chip, **{**experiment.set, **at})
    return found


@lru_cache(maxsize=8)
def _network(name: str, written: tuple[int, int]) -> SpikingNetwork:
    return SpikingNetwork.load(name)
