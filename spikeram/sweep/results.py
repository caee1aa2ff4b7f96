"""The results of a sweep as labelled arrays: by chip and axis, with spread, yield and ranking."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram.chip import Chip
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

_UNITS = {"Siemens": "S", "Volt": "V", "Kelvin": "K"}


def results(path: str | os.PathLike[str]) -> xr.Dataset:
    """Return what a store holds, its chunks of samples added up.

    Parameters
    ----------
    path : path-like
        The store of a sweep, finished or not.

    Returns
    -------
    xarray.Dataset of dims (chip, axes..., step, layer, component)
        `accuracy` after each of 1 to T steps of the one run; `spikes` and `energy` [J] of one
        sample over all T; `n`, samples that are done, and `done`, their share. NaN where there are
        none. In the attributes the experiment, versions, digests, and how many units failed.
    """
    group = open_store(path)
    told = json.loads(str(group.attrs["resolved"]))
    experiment = Experiment.model_construct(**told["experiment"])
    state = np.asarray(cast(Any, group["state"])[:])
    axes = ("chip", *experiment.axes, "chunk")
    coords: dict[str, Any] = {"chip": np.arange(experiment.chips)}
    coords |= {
        name: (name, _labels(name, values), _unit(name)) for name, values in experiment.axes.items()
    }
    shape = _shape(experiment, told)
    sums = {}
    for name, inner in _DIMS.items():
        if name not in group:
            continue
        values = np.asarray(cast(Any, group[name])[:])
        whole = values.reshape(*shape, *values.shape[1:])
        sums[name] = xr.DataArray(whole, dims=(*axes, *inner)).sum("chunk")
    found = xr.Dataset(coords=coords)
    done = xr.DataArray((state == DONE).reshape(shape), dims=axes).mean("chunk")
    found["done"] = done.assign_attrs(units="1", long_name="share of the samples that are done")
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


def place_of(ds: xr.Dataset, number: int) -> dict[str, Any]:
    """Return where a unit lies in the results of a sweep: its chip, axes and chunk of samples."""
    told = json.loads(ds.attrs["resolved"])
    place = np.unravel_index(number, _shape(Experiment.model_construct(**told["experiment"]), told))
    names = ("chip", *told["experiment"]["axes"])
    found = {name: ds[name].values[int(n)] for name, n in zip(names, place)}
    return {**found, "chunk": int(place[-1])}


def finished(ds: xr.Dataset, name: str = "accuracy") -> xr.DataArray:
    """Return a variable of a sweep where all samples of a chip are done, NaN elsewhere.

    A chip that has run some of its samples would add their luck to its own.
    """
    values: xr.DataArray = ds[name].where(ds["done"] == 1)
    return values


def over_chips(
    values: xr.DataArray, *, confidence: float = 0.95, resamples: int = 1000, seed: Seed = 0
) -> xr.Dataset:
    """Return mean and spread over chips, with the bootstrap interval of the mean.

    Parameters
    ----------
    values : xarray.DataArray with dim chip
        Such as `accuracy` of a sweep; NaN is left out.
    confidence : float
        Share of resampled means between `low` and `high`.
    resamples : int
        How often chips are drawn with replacement (Efron, Ann. Stat. 7, 1, 1979).
    seed : int or numpy.random.SeedSequence
        Where they are drawn from.

    Returns
    -------
    xarray.Dataset
        `mean`, `std`, `min`, `low` and `high`, NaN where no chip has a value; the coordinate `n`
        is the number of chips that have one.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"over_chips expects a confidence between 0 and 1, got {confidence}.")
    tail = (1 - confidence) / 2
    rest = [dim for dim in values.dims if dim != "chip"]
    rows = values.transpose("chip", *rest)
    means = _resampled_means(rows.values.reshape(rows.sizes["chip"], -1), resamples, seed)
    # Where no chip has a value, no quantile has either, and numpy would warn of it.
    some = np.isfinite(means).any(axis=0)
    ends = np.full((2, means.shape[1]), np.nan)
    ends[:, some] = np.nanquantile(means[:, some], [tail, 1 - tail], axis=0)
    n = values.notnull().sum("chip")
    like = rows.isel(chip=0, drop=True)
    centre = values.mean("chip")
    squares = ((values - centre) ** 2).sum("chip")
    return xr.Dataset(
        {
            "mean": centre,
            "std": np.sqrt(squares / (n - 1).where(n > 1)),
            "min": values.min("chip"),
            "low": like.copy(data=ends[0].reshape(like.shape)),
            "high": like.copy(data=ends[1].reshape(like.shape)),
        }
    ).assign_coords(n=n)


def _resampled_means(
    values: NDArray[np.float64], resamples: int, seed: Seed
) -> NDArray[np.float64]:
    """Return the means over chips drawn with replacement, of shape (resample, point)."""
    chips = len(values)
    rng = generator(seed, Purpose.SHUFFLE, 1)
    there = np.isfinite(values)
    known, count = np.where(there, values, 0.0), there.astype(np.float64)
    means = np.empty((resamples, values.shape[1]))
    for n in range(resamples):
        drawn = np.bincount(rng.integers(chips, size=chips), minlength=chips).astype(np.float64)
        weight = drawn @ count
        means[n] = np.divide(
            drawn @ known, weight, out=np.full_like(weight, np.nan), where=weight > 0
        )
    return means


def yield_curve(values: xr.DataArray, levels: NDArray[np.float64] | list[float]) -> xr.DataArray:
    """Return the share of chips that reach each level, of dims (..., level)."""
    wanted = xr.DataArray(np.asarray(levels, float), dims="level", coords={"level": levels})
    share = (values >= wanted).where(values.notnull()).mean("chip")
    return share.rename("yield").assign_attrs(units="1", long_name="share of chips")


def sensitivity(values: xr.DataArray) -> xr.DataArray:
    """Return how much of the variance each axis explains by itself, the largest first.

    The variance of the means over all other axes, divided by the whole variance: the first-order
    effect of Sobol (Math. Comput. Simul. 55, 271, 2001) on a full grid. What is left is
    interaction. Axes of one value are left out, and so are chips that are not done everywhere, as a
    grid with holes mixes its axes.
    """
    if "chip" in values.dims:
        others = [dim for dim in values.dims if dim != "chip"]
        values = values.isel(chip=np.flatnonzero(values.notnull().all(others)))
    whole = float(values.var()) if values.size else 0.0
    names = [str(dim) for dim in values.dims if values.sizes[dim] > 1]
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


def _unit(name: str) -> dict[str, str]:
    """Return the attributes that name the unit of an axis, if it has one."""
    kinds = {field.name: field.type for field in fields(Chip)}
    unit = _UNITS.get(str(kinds.get(name)))
    return {} if unit is None else {"units": unit}


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
