"""The report of a sweep: what was asked, what chips reached, and what matters.

It reads a store as it stands, so that one may look while the sweep goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from spikeram import plot
from spikeram.report import Section, Table, write
from spikeram.sweep.results import (
    failures,
    finished,
    over_chips,
    place_of,
    results,
    sensitivity,
    yield_curve,
)

MOST_ROWS = 200
"""Rows of a table; a sweep may have thousands of points."""

_MOST_LINES = 8
_LEVELS = 201


def write_report(store: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write a report of a sweep as one HTML file.

    Parameters
    ----------
    store : path-like
        The store of a sweep, finished or not. What chips reach is told of those whose samples are
        all done.
    path : path-like
        The HTML file.

    Raises
    ------
    ExperimentError
        If there is no such store, or it is damaged.
    """
    ds = results(store)
    told = json.loads(ds.attrs["resolved"])
    content = [
        Section("Experiment", table=_experiment(told)),
        *_accuracy(ds),
        *_costs(ds),
        *_failed(ds, failures(store)),
    ]
    write(path, "A sweep over chips", _lead(ds), content, provenance=told)


def accuracy_table(values: xr.DataArray) -> Table:
    """Return mean, spread and interval over chips at each point, in %.

    Parameters
    ----------
    values : DataArray of dims (chip, axes...)
        Accuracy of each chip.
    """
    found = over_chips(values)
    rows = []
    for names, here in _points(found):
        cells = [_percent(here[part].item()) for part in ("mean", "std", "min")]
        interval = f"{_percent(here['low'].item())} to {_percent(here['high'].item())}"
        rows.append([*names, f"{int(here['n'])}", *cells, interval])
    return Table([*_axes(values), "chips", "mean", "std", "worst", "95 % interval"], rows)


def _lead(ds: xr.Dataset) -> str:
    done, units, failed = (ds.attrs[f"units{end}"] for end in ("_done", "", "_failed"))
    axes = (f"{ds.sizes[name]} values of {name}" for name in _axes(ds["done"]))
    text = ", ".join([f"{ds.sizes['chip']} chips", *axes]) + ". "
    if done == units:
        return f"{text}All {units:,} units of work are done."
    wrong = f", {failed:,} failed" if failed else ""
    return (
        f"{text}Not finished: {done:,} of {units:,} units of work are done{wrong}. What follows "
        "rests on chips whose samples are all done."
    )


def _experiment(told: dict[str, Any]) -> Table:
    asked, rows = told["experiment"], []
    for name, value in asked.items():
        if name == "axes":
            rows += [[f"axis {axis}", _listed(values)] for axis, values in value.items()]
        elif isinstance(value, dict):
            rows += [[f"{name} {key}", str(one)] for key, one in value.items() if one is not None]
        elif value is not None and name not in asked["axes"]:
            rows.append([name, _listed(value) if isinstance(value, list) else str(value)])
    rows.append(["versions", _listed([f"{k} {v}" for k, v in told["versions"].items()])])
    return Table(["", "value"], rows)


def _accuracy(ds: xr.Dataset) -> Iterator[Section]:
    if "accuracy" not in ds:
        return
    values = finished(ds)
    if not values.notnull().any():
        yield Section("Accuracy", "No chip is done yet.")
        return
    last = values.isel(step=-1, drop=True)
    axes = [name for name in _axes(last) if last.sizes[name] > 1]
    steps = _few_steps(values.sizes["step"])
    yield Section(
        f"Accuracy after {steps[-1]} steps",
        f"In %. {_INTERVAL}{_cut(last)}",
        accuracy_table(last),
        [plot.over_axis(_of_axis(values.sel(step=steps[-3:]), name), name) for name in axes],
    )
    yield Section(
        "Accuracy over time steps",
        f"Mean over chips in %, each after so many steps of the same run.{_cut(last)}",
        _step_table(values.sel(step=steps)),
        [plot.over_steps(_of_axis(_thinned(values, name), name)) for name in axes]
        or [plot.over_steps(_of_axis(values))],
    )
    yield Section(
        "Spread over chips",
        _SPREAD,
        figures=[plot.spread(_marginal(_thinned(last, name), name), name) for name in axes]
        or [plot.spread(_marginal(last))],
    )
    yield Section(
        "Yield",
        f"Share of chips, in %, that reach an accuracy.{_cut(last)}",
        _yield_table(last),
        [_yield_picture(_marginal(_thinned(last, name), name)) for name in axes]
        or [_yield_picture(_marginal(last))],
    )
    ranking = sensitivity(last)
    if axes and np.isfinite(ranking).all():
        yield Section("Sensitivity", _SENSITIVITY, figures=[plot.sensitivity(ranking)])


def _step_table(values: xr.DataArray) -> Table:
    mean = values.mean("chip")
    rows = [[*names, *map(_percent, here.values)] for names, here in _points(mean)]
    return Table([*_axes(values), *(f"T = {step}" for step in values["step"].values)], rows)


def _yield_table(last: xr.DataArray) -> Table:
    low, high = 100 * float(last.min()), 100 * float(last.max())
    ticks = np.clip(MaxNLocator(8).tick_values(low, high), 0, 100)
    levels = np.unique(ticks)
    # Shares of samples are quotients of whole numbers: levels have to be the same floats.
    curve = yield_curve(last, np.round(levels / 100, 6))
    rows = [[*names, *(f"{100 * v:.1f}" for v in here.values)] for names, here in _points(curve)]
    return Table([*_axes(last), *(f"{level:g} %" for level in levels)], rows)


def _yield_picture(values: xr.DataArray) -> Axes:
    low, high = float(values.min()), float(values.max())
    room = max(0.005, 0.05 * (high - low))
    levels = np.linspace(max(0.0, low - room), min(1.0, high + room), _LEVELS)
    return plot.yields(yield_curve(values, levels))


def _costs(ds: xr.Dataset) -> Iterator[Section]:
    """Yield what a sample costs, in spikes and energy, where they were recorded."""
    columns: dict[str, xr.DataArray] = {}
    if "spikes" in ds:
        spikes = finished(ds, "spikes").mean("chip")
        columns |= {f"spikes of {name}": spikes.sel(layer=name) for name in ds["layer"].values}
    if "energy" in ds:
        columns["nJ"] = 1e9 * finished(ds, "energy").sum("component", skipna=False).mean("chip")
    if not columns:
        return
    points = zip(*(_points(column) for column in columns.values()))
    rows = [
        [*here[0][0], *(f"{value.item():,.3f}" if value.notnull() else _NONE for _, value in here)]
        for here in points
    ]
    text = "Means over chips, of one sample and all its steps; energies are estimates."
    yield Section("Spikes and energy", text, Table([*_axes(ds["done"]), *columns], rows))


def _failed(ds: xr.Dataset, found: dict[int, str]) -> Iterator[Section]:
    if not found:
        return
    rows = []
    for number in sorted(found)[:MOST_ROWS]:
        place = place_of(ds, number)
        last = found[number].strip().splitlines()[-1]
        rows.append([str(number), *(str(value) for value in place.values()), last])
    text = (
        f"{len(found):,} units failed on every try, and are left out; the same sweep tries them "
        "again. spikeram.sweep.failures has the tracebacks."
    )
    yield Section("Failed units", text, Table(["unit", *place, "error"], rows))


_NONE = "none"
_INTERVAL = "The interval is that of the mean, bootstrapped over chips."
_SPREAD = (
    "A dot is a chip, on average over the other axes; boxes hold the middle half, whiskers reach "
    "to the farthest chip within 1.5 boxes."
)
_SENSITIVITY = (
    "Share of the variance of the accuracy that each axis explains by itself. Chip is the luck of "
    "the draw; interaction is what no axis explains alone."
)


def _axes(values: xr.DataArray) -> list[str]:
    """Return the axes that are varied, without chips and what a run itself has."""
    own = ("chip", "step", "layer", "component", "level")
    return [str(dim) for dim in values.dims if dim not in own]


def _marginal(values: xr.DataArray, axis: str | None = None) -> xr.DataArray:
    """Return the mean of each chip over all other axes; NaN where one of their points is not done.

    A mean over some of the points would tell of these, not of the chip.
    """
    return values.mean([name for name in _axes(values) if name != axis], skipna=False)


def _of_axis(values: xr.DataArray, axis: str | None = None) -> xr.Dataset:
    return over_chips(_marginal(values, axis))


def _thinned(values: xr.DataArray, axis: str) -> xr.DataArray:
    """Return as many values of an axis as a picture has room for."""
    n = values.sizes[axis]
    return values.isel({axis: np.unique(np.linspace(0, n - 1, min(n, _MOST_LINES)).astype(int))})


def _few_steps(steps: int) -> NDArray[np.int64]:
    """Return powers of two up to the number of steps, and that."""
    return np.unique([*(2**k for k in range(steps.bit_length())), steps])


def _points(values: Any) -> Iterator[tuple[list[str], Any]]:
    """Yield the values of the axes at each point, in words, with what is there."""
    axes = _axes(values["mean"] if isinstance(values, xr.Dataset) else values)
    for n in range(min(MOST_ROWS, int(np.prod([values.sizes[name] for name in axes], dtype=int)))):
        place = np.unravel_index(n, [values.sizes[name] for name in axes]) if axes else ()
        here = values.isel(dict(zip(axes, map(int, place))))
        yield [_text(here[name].item()) for name in axes], here


def _cut(values: xr.DataArray) -> str:
    points = int(np.prod([values.sizes[name] for name in _axes(values)], dtype=int))
    return f" The first {MOST_ROWS} of {points:,} points." if points > MOST_ROWS else ""


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(_text(value) for value in values)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if np.isfinite(share) else _NONE
