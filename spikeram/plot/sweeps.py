"""Pictures of sweeps: what chips reach, how far they lie apart, and what matters.

They draw what `spikeram.sweep` tells of chips: `over_chips`, `yield_curve` and `sensitivity`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spikeram.plot.canvas import axes_for, cycle, shades
from spikeram.plot.runs import Curve, accuracy

_BAND = 0.2
_WIDTH = 0.55
_FEW = 60
# The golden ratio's multiples fill an interval evenly, however many there are.
_GOLDEN = 0.6180339887498949


def over_steps(
    summary: xr.Dataset, *, reference: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw mean accuracy over the number of steps T, with the interval of the mean as a band.

    Parameters
    ----------
    summary : Dataset of dims (step) or (step, axis)
        Mean, std, low and high, as `spikeram.sweep.over_chips` returns them; a line for each value
        of the axis. Where there is one line alone, a lighter band is the std of chips.
    reference : float, optional
        Accuracy of the trained network, drawn as a level line.
    ax : Axes, optional
        Where to draw; a figure of its own by default.
    """
    name, labels = _lines(summary["mean"], "step")
    steps = summary["step"].values
    curves = {
        label: Curve(
            steps=steps,
            mean=_line(summary["mean"], name, n),
            low=_line(summary["low"], name, n),
            high=_line(summary["high"], name, n),
            colour=colour,
        )
        for n, (label, colour) in enumerate(zip(labels, shades(len(labels))))
    }
    axes = accuracy(curves, reference=reference, ax=ax)
    if name is None:
        mean, std = summary["mean"].values, summary["std"].values
        axes.fill_between(
            steps, 100 * (mean - std), 100 * np.minimum(mean + std, 1), color=cycle(1)[0],
            alpha=_BAND / 2, linewidth=0, zorder=0, label="one standard deviation of chips",
        )  # fmt: skip
    _legend(axes, summary, name)
    return axes


def over_axis(summary: xr.Dataset, axis: str, *, ax: Axes | None = None) -> Axes:
    """Draw mean accuracy over the values of an axis, with the interval of the mean as a band.

    Parameters
    ----------
    summary : Dataset of dims (axis) or (axis, other)
        As `spikeram.sweep.over_chips` returns it; a line for each value of the other axis.
    axis : str
        Name of the axis from left to right. Numbers lie where they are, all else side by side.
    ax : Axes, optional
        Where to draw; a figure of its own by default.
    """
    axes = axes_for(ax, 7.2, 3.8)
    name, labels = _lines(summary["mean"], axis)
    places = _places(axes, summary[axis])
    for n, (label, colour) in enumerate(zip(labels, shades(len(labels)))):
        mean, low, high = (100 * _line(summary[part], name, n) for part in ("mean", "low", "high"))
        axes.plot(places, mean, "o-", color=colour, markersize=4, label=label)
        axes.fill_between(places, low, high, color=colour, alpha=_BAND, linewidth=0)
    axes.set_ylabel("accuracy [%]")
    _legend(axes, summary, name)
    return axes


def spread(values: xr.DataArray, axis: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw every chip as a dot, with a box around the middle half of them.

    Parameters
    ----------
    values : DataArray of dims (chip) or (chip, axis)
        Accuracy of each chip; NaN is left out. Whiskers reach to the farthest chip within 1.5
        times the box (Tukey, 1977).
    axis : str, optional
        Name of the axis: a column for each of its values.
    ax : Axes, optional
        Where to draw; a figure of its own by default.
    """
    n = 1 if axis is None else values.sizes[axis]
    axes = axes_for(ax, max(3.2, 1.4 + 1.1 * n), 3.8)
    rows = 100 * values.transpose("chip", ...).values.reshape(values.sizes["chip"], n)
    columns = [column[np.isfinite(column)] for column in rows.T]
    ink = {"color": "0.25", "linewidth": 1.0}
    axes.boxplot(
        columns,
        positions=np.arange(n),
        widths=_WIDTH,
        showfliers=False,
        medianprops={"color": "0.1", "linewidth": 1.8},
        boxprops=ink,
        whiskerprops=ink,
        capprops=ink,
        manage_ticks=False,
        zorder=3,
    )
    for place, (column, colour) in enumerate(zip(columns, shades(n))):
        shift = _WIDTH * 0.9 * (np.arange(column.size) * _GOLDEN % 1 - 0.5)
        axes.plot(
            place + shift, column, "o", color=colour, alpha=0.45, markeredgewidth=0,
            markersize=5 if column.size < _FEW else 3, rasterized=True,
        )  # fmt: skip
    names = ["all chips"] if axis is None else [_text(value) for value in values[axis].values]
    axes.set_xticks(np.arange(n), names)
    if axis is not None:
        axes.set_xlabel(_title(values, axis))
    axes.set_ylabel("accuracy of a chip [%]")
    return axes


def yields(curve: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """Draw the share of chips that reach each level.

    Parameters
    ----------
    curve : DataArray of dims (level) or (level, axis)
        As `spikeram.sweep.yield_curve` returns it; a line for each value of the axis.
    ax : Axes, optional
        Where to draw; a figure of its own by default.
    """
    axes = axes_for(ax, 7.2, 3.8)
    name, labels = _lines(curve, "level")
    levels = 100 * curve["level"].values
    for n, (label, colour) in enumerate(zip(labels, shades(len(labels)))):
        axes.plot(levels, 100 * _line(curve, name, n), color=colour, label=label)
    axes.set_ylim(-2, 102)
    axes.set_xlabel("accuracy that is asked for [%]")
    axes.set_ylabel("share of chips that reach it [%]")
    _legend(axes, curve, name)
    return axes


def sensitivity(ranking: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """Draw the share of the variance that each axis explains, and what is left for interaction.

    Parameters
    ----------
    ranking : DataArray of dims (axis)
        As `spikeram.sweep.sensitivity` returns it.
    ax : Axes, optional
        Where to draw; a figure of its own by default.
    """
    names = [*map(str, ranking["axis"].values), "interaction"]
    shares = np.append(ranking.values, max(0.0, 1 - float(ranking.sum())))
    axes = axes_for(ax, 7.2, 0.9 + 0.4 * len(names))
    colours = [cycle(1)[0]] * ranking.size + ["0.7"]
    bars = axes.barh(names, 100 * shares, 0.6, color=colours)
    axes.bar_label(bars, [f"{100 * share:.1f} %" for share in shares], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xlabel("share of the variance [%]")
    return axes


def _lines(values: xr.DataArray, along: str) -> tuple[str | None, list[str]]:
    """Return the axis whose values are lines, if there is one, and what each is called."""
    others = [str(dim) for dim in values.dims if dim != along]
    if len(others) > 1:
        raise ValueError(
            f"The picture has room for {along!r} and one more axis, got {', '.join(others)}. "
            "Select a value of the others, or take their mean."
        )
    if not others:
        return None, ["mean of chips"]
    return others[0], [_text(value) for value in values[others[0]].values]


def _line(values: xr.DataArray, name: str | None, n: int) -> NDArray[np.float64]:
    """Return the values of the n-th line."""
    line: NDArray[np.float64] = (values if name is None else values.isel({name: n})).values
    return line


def _places(axes: Axes, coordinate: xr.DataArray) -> NDArray[np.float64]:
    """Return where the values of an axis lie from left to right, and label them there."""
    values = coordinate.values
    numbers = values.dtype.kind in "iuf"
    places = values.astype(np.float64) if numbers else np.arange(values.size, dtype=np.float64)
    axes.set_xticks(places, [_text(value) for value in values])
    axes.set_xlabel(_title(coordinate, str(coordinate.name)))
    return places


def _legend(axes: Axes, values: xr.Dataset | xr.DataArray, name: str | None) -> None:
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(title=None if name is None else _title(values, name), frameon=False)


def _title(values: xr.Dataset | xr.DataArray, name: str) -> str:
    """Return the name of an axis with its unit."""
    if name == "step":
        return "time steps T"
    unit = values[name].attrs.get("units")
    return name.replace("_", " ") if unit is None else f"{name.replace('_', ' ')} [{unit}]"


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)
