"""The results of a sweep as labelled arrays: by chip and axis, with spread, yield and ranking."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram.energy import COMPONENTS
from spikeram.seeds import Purpose, Seed, generator
from spikeram.sweep.experiment import Experiment
from spikeram.sweep.store import DONE, FAILED, open_store

_DIMS: dict[str, tuple[str, ...]] = {
    "n": (),
    "correct": ("step",),
    "spikes": ("layer",),
    "energy": ("component",),
}


def results(path: str | os.PathLike[str]) -> xr.Dataset:
    """Return what a store holds, its chunks of samples added up.

    Parameters
    ----------
    path : path-like
        The store of a sweep, finished or not.

    Returns
    -------
    xarray.Dataset of dims (chip, axes..., step, layer, component)
        `accuracy`; `spikes` and `energy` [J] of one sample; `n`, samples that are done. NaN where
        none is. In the attributes the experiment, versions, digests, and how many units failed.
    """
    group = open_store(path)
    told = json.loads(str(group.attrs["resolved"]))
    experiment = Experiment.model_construct(**told["experiment"])
    state = np.asarray(cast(Any, group["state"])[:])
    axes = ("chip", *experiment.axes, "chunk")
    coords: dict[str, Any] = {"chip": np.arange(experiment.chips)}
    coords |= {name: _labels(name, values) for name, values in experiment.axes.items()}
    sums = {}
    for name, inner in _DIMS.items():
        if name not in group:
            continue
        values = np.asarray(cast(Any, group[name])[:])
        whole = values.reshape(*_shape(experiment, told), *values.shape[1:])
        sums[name] = xr.DataArray(whole, dims=(*axes, *inner)).sum("chunk")
    found = xr.Dataset(coords=coords)
    n = sums.get("n")
    if n is not None:
        some = n.where(n > 0)
        found["n"] = n.assign_attrs(units="1", long_name="samples")
        if "correct" in sums:
            steps = np.arange(1, sums["correct"].sizes["step"] + 1)
            share = (sums["correct"] / some).assign_coords(step=steps)
            found["accuracy"] = share.assign_attrs(units="1", long_name="accuracy")
        if "spikes" in sums:
            found["spikes"] = (sums["spikes"] / some).assign_attrs(
                units="1", long_name="spikes of one sample"
            )
            found = found.assign_coords(layer=told["layers"])
        if "energy" in sums:
            found["energy"] = (sums["energy"] / some).assign_attrs(
                units="J", long_name="energy of one sample"
            )
            found = found.assign_coords(component=list(COMPONENTS))
    return found.assign_attrs(
        resolved=str(group.attrs["resolved"]),
        units_done=int(np.count_nonzero(state == DONE)),
        units_failed=int(np.count_nonzero(state == FAILED)),
        units=int(state.size),
    )


def failures(path: str | os.PathLike[str]) -> dict[int, str]:
    """Return the traceback of each unit that failed, by its number."""
    text = str(open_store(path).attrs["failures"])
    return {int(number): traceback for number, traceback in json.loads(text).items()}


def over_chips(
    values: xr.DataArray, *, confidence: float = 0.95, resamples: int = 1000, seed: Seed = 0
) -> xr.Dataset:
    """Return mean and spread over chips, with the bootstrap interval of the mean.

    Parameters
    ----------
    values : xarray.DataArray with dim chip
        Such as `accuracy` of a sweep.
    confidence : float
        Share of resampled means between `low` and `high`.
    resamples : int
        How often chips are drawn with replacement (Efron, Ann. Stat. 7, 1, 1979).
    seed : int or numpy.random.SeedSequence
        Where they are drawn from.

    Returns
    -------
    xarray.Dataset
        `mean`, `std`, `min`, `low` and `high`; `n` is the number of chips.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"over_chips expects a confidence between 0 and 1, got {confidence}.")
    chips = values.sizes["chip"]
    rng = generator(seed, Purpose.SHUFFLE, 1)
    drawn = np.stack([np.bincount(rng.integers(chips, size=chips), minlength=chips)
                      for _ in range(resamples)]) / chips  # fmt: skip
    weights = xr.DataArray(drawn, dims=("resample", "chip"))
    means = xr.dot(weights, values, dim="chip")
    tail = (1 - confidence) / 2
    ends = means.quantile([tail, 1 - tail], dim="resample")
    return xr.Dataset(
        {
            "mean": values.mean("chip"),
            "std": values.std("chip", ddof=1) if chips > 1 else values.mean("chip") * np.nan,
            "min": values.min("chip"),
            "low": ends.isel(quantile=0, drop=True),
            "high": ends.isel(quantile=1, drop=True),
        }
    ).assign_coords(n=chips)


def yield_curve(values: xr.DataArray, levels: NDArray[np.float64] | list[float]) -> xr.DataArray:
    """Return the share of chips that reach each level, of dims (..., level)."""
    wanted = xr.DataArray(np.asarray(levels, float), dims="level", coords={"level": levels})
    share = (values >= wanted).where(values.notnull()).mean("chip")
    return share.rename("yield").assign_attrs(units="1", long_name="share of chips")


def sensitivity(values: xr.DataArray) -> xr.DataArray:
    """Return how much of the variance each axis explains by itself, the largest first.

    The variance of the means over all other axes, divided by the whole variance: the first-order
    effect of Sobol (Math. Comput. Simul. 55, 271, 2001) on a full grid. What is left is
    interaction.
    """
    whole = float(values.var())
    names = [str(dim) for dim in values.dims]
    shares = [
        float(values.mean([d for d in names if d != name]).var()) / whole if whole > 0 else np.nan
        for name in names
    ]
    order = np.argsort(shares)[::-1]
    return xr.DataArray(
        np.array(shares)[order],
        dims=("axis",),
        coords={"axis": np.array(names)[order]},
        name="sensitivity",
        attrs={"units": "1", "long_name": "share of the variance"},
    )


def _labels(name: str, values: list[Any]) -> Any:
    if name == "network":
        return [Path(str(value)).stem for value in values]
    plain = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return np.array(values) if plain else np.array([str(value) for value in values])


def _shape(experiment: Experiment, told: dict[str, Any]) -> tuple[int, ...]:
    return (
        experiment.chips,
        *(len(values) for values in experiment.axes.values()),
        int(told["n_chunks"]),
    )
