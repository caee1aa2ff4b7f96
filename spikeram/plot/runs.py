"""Pictures of what networks did: spikes, rates, membranes, accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from spikeram import recording, statistics
from spikeram.plot.canvas import MICRO, NEGATIVE, axes_for, cycle, figure_of
from spikeram.units import Quantity

MANY_SPIKES = 300_000
"""Spikes from which a raster becomes an image of counts: single marks would be a solid block."""

_IMAGE = (480, 1200)
# Of the axes; names closer to each other could not be read.
_NAME_HEIGHT = 0.05


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve:
    """Accuracy over time steps.

    Parameters
    ----------
    steps, mean : array_like of shape (step,)
        Number of steps, and accuracy between 0 and 1.
    low, high : array_like of shape (step,) or None
        Range over chips.
    dashed : bool
        Whether the line is dashed.
    colour : str or None
        Its colour; by default one that tells it from its neighbours.
    """

    steps: ArrayLike
    mean: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    dashed: bool = False
    colour: str | None = None


def accuracy(
    curves: Mapping[str, Curve], *, reference: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw accuracy over the number of time steps, a line for each network.

    Parameters
    ----------
    curves : mapping of str to Curve
        Legend to curve.
    reference : float, optional
        Accuracy of the trained network, drawn as a level line.
    ax : Axes, optional
        Where to draw; a figure of its own by default.
    """
    axes = axes_for(ax, 7.2, 4.0)
    if reference is not None:
        axes.axhline(100 * reference, color="0.3", linewidth=1, linestyle=":", label="trained ANN")
    for colour, (label, curve) in zip(cycle(len(curves)), curves.items()):
        steps, colour = np.asarray(curve.steps), curve.colour or colour
        axes.plot(
            steps,
            100 * np.asarray(curve.mean),
            color=colour,
            marker=None if steps.size > 20 else "o",
            markersize=4,
            linestyle="--" if curve.dashed else "-",
            label=label,
        )
        if curve.low is not None and curve.high is not None:
            low, high = 100 * np.asarray(curve.low), 100 * np.asarray(curve.high)
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("time steps T")
    axes.set_ylabel("accuracy [%]")
    axes.legend(frameon=False, loc="lower right")
    return axes


def confidence(ds: xr.Dataset, labels: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw over time the share of correct decisions, and how sure they are on average.

    Sure is the share of the softmax that the largest output has; a network that is surer than it is
    right decides too early.
    """
    axes = axes_for(ax, 7.2, 3.4)
    output = ds["output"].transpose("trial", "step", "class").values.astype(np.float64)
    if output.shape[-1] == 1:
        output = np.concatenate([np.zeros_like(output), output], axis=-1)
    share = 1 / np.exp(output - output.max(axis=-1, keepdims=True)).sum(axis=-1)
    steps = ds["step"].values
    right = statistics.accuracy(ds, labels).values
    axes.plot(steps, 100 * right, color=cycle(1)[0], label="correct")
    axes.plot(
        steps, 100 * share.mean(axis=0), color=NEGATIVE, linestyle="--", label="mean confidence"
    )
    axes.set_xlabel("time steps of the output's window")
    axes.set_ylabel("share [%]")
    axes.legend(frameon=False, loc="lower right")
    return axes


def raster(ds: xr.Dataset, *, trial: int = 0, ax: Axes | None = None) -> Axes:
    """Draw the spikes of one trial, layers above each other in the order of the network.

    Of more than 300,000 spikes it is an image of their number in each of its points.
    """
    axes = axes_for(ax, 7.2, 4.6)
    one = recording.select(ds, trial=[trial])
    sizes = one["row_size"].values[0]
    if int(sizes.sum()) > MANY_SPIKES:
        _spike_image(axes, one)
    else:
        _spike_marks(axes, one)
    _name_layers(axes, one["layer"].values, recording.layer_names(one))
    axes.set_xlim(0, ds.attrs["t_stop"] / MICRO)
    axes.set_ylim(-0.5, sizes.size - 0.5)
    axes.set_xlabel("time [us]")
    axes.set_ylabel("neuron")
    axes.set_title(f"trial {int(one['trial'].values[0])}: spikes (red: negative)", loc="left")
    return axes


def _name_layers(axes: Axes, layers: NDArray[np.str_], names: list[str]) -> None:
    """Write each layer's name beside its neurons, those of small layers above each other."""
    lowest = -np.inf
    for name in names:
        places = np.flatnonzero(layers == name)
        axes.axhline(places[-1] + 0.5, color="0.85", linewidth=0.8)
        lowest = max(float(places.mean()), lowest + _NAME_HEIGHT * layers.size)
        axes.text(1.01, lowest, name, transform=axes.get_yaxis_transform(), va="center")


def _spike_marks(axes: Axes, one: xr.Dataset) -> None:
    sizes = one["row_size"].values[0]
    neuron = np.repeat(np.arange(sizes.size), sizes)
    time, sign = one["t"].values / MICRO, recording.signs(one)
    names = recording.layer_names(one)
    for colour, name in zip(cycle(len(names)), names):
        here = one["layer"].values[neuron] == name
        for mask, shade in ((here & (sign > 0), colour), (here & (sign < 0), NEGATIVE)):
            axes.plot(time[mask], neuron[mask], "|", color=shade, markersize=3, rasterized=True)


def _spike_image(axes: Axes, one: xr.Dataset) -> None:
    sizes = one["row_size"].values[0]
    neuron = np.repeat(np.arange(sizes.size), sizes)
    stop = one.attrs["t_stop"] / MICRO
    counts, _, _ = np.histogram2d(
        neuron,
        one["t"].values / MICRO,
        bins=(min(_IMAGE[0], sizes.size), _IMAGE[1]),
        range=((-0.5, sizes.size - 0.5), (0, stop)),
    )
    image = axes.imshow(
        counts,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap="Blues",
        extent=(0, stop, -0.5, sizes.size - 0.5),
    )
    figure_of(axes).colorbar(image, ax=axes, label="spikes in a point", pad=0.12)


def rates(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the histogram of the neurons' mean firing rates, one line for each layer."""
    axes = axes_for(ax, 7.2, 3.4)
    mean = ds["row_size"].mean("trial").values / ds.attrs["duration"] / 1e3
    bins = np.linspace(0, max(float(mean.max()), 1e-9), 41)
    names = recording.layer_names(ds)
    for colour, name in zip(cycle(len(names)), names):
        own = mean[ds["layer"].values == name]
        axes.hist(own, bins.tolist(), histtype="step", color=colour, label=name)
    # Small layers beside large ones.
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel("mean firing rate [kHz]")
    axes.set_ylabel("neurons")
    axes.legend(frameon=False)
    return axes


def isi_histogram(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how often each interval between spikes occurs, one line for each layer."""
    axes = axes_for(ax, 7.2, 3.4)
    found = statistics.isi_histogram(ds)
    names = [str(name) for name in found["layer"].values]
    for colour, name in zip(cycle(len(names)), names):
        axes.step(
            found["interval"].values / MICRO,
            found.sel(layer=name).values,
            where="mid",
            color=colour,
            label=name,
        )
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel("interval between spikes [us]")
    axes.set_ylabel("intervals")
    axes.legend(frameon=False)
    return axes


def correlation(ds: xr.Dataset, width: Quantity, *, layer: str, ax: Axes | None = None) -> Axes:
    """Draw the correlation of counts in bins of `width`, for all pairs of neurons of a layer."""
    axes = axes_for(ax, 5.4, 4.6)
    found = statistics.correlation(ds, width, layer=layer)
    image = axes.imshow(
        found.values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest", origin="lower"
    )
    axes.set_xlabel(f"neuron of {layer}")
    axes.set_ylabel(f"neuron of {layer}")
    figure_of(axes).colorbar(image, ax=axes, label="correlation of counts")
    return axes


def membrane(trace: xr.DataArray, threshold: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw membrane voltages over time.

    Parameters
    ----------
    trace : DataArray of dims (step, neuron) [V]
        Membranes after each step, as `spikeram.simulation.membrane` returns them.
    threshold : array_like of shape (neuron,) [V]
        Their thresholds, drawn dashed.
    ax : Axes, optional
        Where to draw; a figure of its own by default.
    """
    axes = axes_for(ax, 7.2, 3.6)
    limits = np.asarray(threshold)
    for colour, n in zip(cycle(trace.sizes["neuron"]), range(trace.sizes["neuron"])):
        values = 1e3 * trace.isel(neuron=n).values
        label = f"neuron {int(trace['neuron'].values[n])}"
        axes.step(trace["step"].values, values, where="post", color=colour, label=label)
        axes.axhline(1e3 * limits[n], color=colour, linestyle="--", linewidth=0.8)
    axes.set_xlabel("step")
    axes.set_ylabel("membrane on $C_{integ}$ [mV]")
    axes.set_title("membranes after each step (dashed: thresholds)", loc="left")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes
