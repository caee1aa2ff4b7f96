"""Pictures of recordings and chips; each function returns a matplotlib Figure.

Figures are made without pyplot, so that no window opens and no global state changes; a notebook
shows a returned figure, ``figure.savefig`` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from spikeram import recording
from spikeram.chip import ProgrammedLayer
from spikeram.crossbar import Crossbar
from spikeram.parasitics import Wires, interleaved, transfer
from spikeram.placement import Mapping

MICRO = 1e-6
_COLOURS = ("#2b6cb0", "#dd6b20", "#2f855a", "#805ad5", "#718096")
_MANY_SPIKES = 300_000


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
    """

    steps: ArrayLike
    mean: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    dashed: bool = False


def accuracy(curves: MappingOf[str, Curve], *, reference: float | None = None) -> Figure:
    """Return accuracy over the number of time steps, a line for each network.

    Parameters
    ----------
    curves : mapping of str to Curve
        Legend to curve.
    reference : float, optional
        Accuracy of the trained network, drawn as a level line.
    """
    figure, axes = _figure(7.2, 4.0)
    if reference is not None:
        axes.axhline(100 * reference, color="0.3", linewidth=1, linestyle=":", label="trained ANN")
    for colour, (label, curve) in zip(_cycle(len(curves)), curves.items()):
        steps = np.asarray(curve.steps)
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
    return figure


def raster(ds: xr.Dataset, *, trial: int = 0) -> Figure:
    """Return the spikes of one trial, layers above each other in the order of the network."""
    figure, axes = _figure(7.2, 4.6)
    one = recording.select(ds, trial=[trial])
    sizes = one["row_size"].values[0]
    neuron = np.repeat(np.arange(sizes.size), sizes)
    time = one["t"].values / MICRO
    sign = one["sign"].values if "sign" in one else np.ones(time.size)
    layers = one["layer"].values
    marker = "," if time.size > _MANY_SPIKES else "|"
    for colour, name in zip(_cycle(len(recording.layer_names(one))), recording.layer_names(one)):
        here = layers[neuron] == name
        for mask, shade in ((here & (sign > 0), colour), (here & (sign < 0), "#e53e3e")):
            axes.plot(time[mask], neuron[mask], marker, color=shade, markersize=3, rasterized=True)
        places = np.flatnonzero(layers == name)
        axes.axhline(places[-1] + 0.5, color="0.85", linewidth=0.8)
        axes.text(1.01, places.mean(), name, transform=axes.get_yaxis_transform(), va="center")
    axes.set_xlim(0, ds.attrs["t_stop"] / MICRO)
    axes.set_ylim(-0.5, sizes.size - 0.5)
    axes.set_xlabel("time [us]")
    axes.set_ylabel("neuron")
    axes.set_title(f"trial {int(one['trial'].values[0])}: spikes (red: negative)", loc="left")
    return figure


def conductance_map(layer: ProgrammedLayer, *, title: str = "") -> Figure:
    """Return the conductances of one layer's crossbar as they are read, G+ beside G-."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    halves = figure.subplots(1, 2, sharey=True)
    g = layer.crossbar.conductance / MICRO
    # A few stuck cells would take the contrast from all others.
    top = 1.1 * layer.target.max() / MICRO
    image = None
    for axes, values, name in zip(halves, g, ("$G^+$", "$G^-$")):
        image = axes.imshow(
            values, aspect="auto", interpolation="nearest", cmap="viridis", vmin=0, vmax=top
        )
        axes.set_title(name)
        axes.set_xlabel("column (output)")
    halves[0].set_ylabel("row (input; biases at the bottom)")
    if image is not None:
        figure.colorbar(image, ax=halves, label="conductance [uS]", extend="max")
    figure.suptitle(title)
    return figure


def wire_loss(crossbar: Crossbar, *, title: str = "") -> Figure:
    """Return what wires change about each cell's part in its line, for a crossbar of one core.

    A cell's part is the voltage that its driver alone brings on the floating line, with ideal
    wires its share of the line's conductance. Changes are in percent of the mean part, which is
    one over the number of driven lines.
    """
    g = interleaved(crossbar.conductance)
    whole = transfer(g, crossbar.wires or Wires(), direction=crossbar.direction)
    ideal = transfer(g, Wires(), direction=crossbar.direction)
    change = 100 * (whole - ideal) * len(ideal)
    if crossbar.direction == "backward":
        change = change.T
    figure, axes = _figure(6.0, 4.6)
    most = max(float(np.abs(change).max()), 1e-9)
    image = axes.imshow(
        change, aspect="auto", interpolation="nearest", cmap="RdBu", vmin=-most, vmax=most
    )
    axes.set_xlabel("column (rows are driven and sensed at column 0)")
    axes.set_ylabel("row (columns are sensed and driven at the last)")
    axes.set_title(title or f"{crossbar.direction}: change by wires", loc="left")
    figure.colorbar(image, ax=axes, label="change of a cell's part [% of the mean]")
    return figure


def programming(layer: ProgrammedLayer, *, title: str = "") -> Figure:
    """Return target against read conductance, and the histogram of the deviation from target."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    target = layer.target.ravel() / MICRO
    read = layer.crossbar.conductance.ravel() / MICRO
    written = layer.written.ravel() / MICRO
    _, _, _, image = left.hist2d(target, read, bins=60, norm=LogNorm(), cmap="viridis")
    top = max(target.max(), read.max())
    left.plot([0, top], [0, top], color="white", linewidth=0.8)
    left.set_xlabel("target conductance [uS]")
    left.set_ylabel("read conductance [uS]")
    figure.colorbar(image, ax=left, label="cells")
    bins = np.linspace(-12, 12, 97)
    right.hist(written - target, bins, color=_COLOURS[4], alpha=0.6, label="just programmed")
    right.hist(
        read - target, bins, color=_COLOURS[0], histtype="step", linewidth=1.5, label="at read-out"
    )
    right.set_yscale("log")
    right.set_xlabel("deviation from target [uS]")
    right.set_ylabel("cells")
    right.legend(frameon=False)
    figure.suptitle(title)
    return figure


def membrane(trace: xr.DataArray, threshold: ArrayLike) -> Figure:
    """Return membrane voltages over time.

    Parameters
    ----------
    trace : DataArray of dims (step, neuron) [V]
        Membranes after each step, as `spikeram.simulation.membrane` returns them.
    threshold : array_like of shape (neuron,) [V]
        Their thresholds, drawn dashed.
    """
    figure, axes = _figure(7.2, 3.6)
    limits = np.asarray(threshold)
    for colour, n in zip(_cycle(trace.sizes["neuron"]), range(trace.sizes["neuron"])):
        values = 1e3 * trace.isel(neuron=n).values
        label = f"neuron {int(trace['neuron'].values[n])}"
        axes.step(trace["step"].values, values, where="post", color=colour, label=label)
        axes.axhline(1e3 * limits[n], color=colour, linestyle="--", linewidth=0.8)
    axes.set_xlabel("step")
    axes.set_ylabel("membrane on $C_{integ}$ [mV]")
    axes.set_title("membranes after each step (dashed: thresholds)", loc="left")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def rates(ds: xr.Dataset) -> Figure:
    """Return the histogram of the neurons' mean firing rates, one line for each layer."""
    figure, axes = _figure(7.2, 3.4)
    mean = ds["row_size"].mean("trial").values / ds.attrs["duration"] / 1e3
    bins = np.linspace(0, max(float(mean.max()), 1e-9), 41)
    names = recording.layer_names(ds)
    for colour, name in zip(_cycle(len(names)), names):
        axes.hist(
            mean[ds["layer"].values == name],
            bins.tolist(),
            histtype="step",
            color=colour,
            label=name,
        )
    axes.set_xlabel("mean firing rate [kHz]")
    axes.set_ylabel("neurons")
    axes.legend(frameon=False)
    return figure


def chip_map(mapping: Mapping, *, chip: int = 0, axes: Axes | None = None) -> Figure:
    """Return where the parts of each layer lie on the cores of a chip.

    Word lines run across each core and columns down, so that a part is as high as it has word
    lines. Cores that are off are grey, and bad lines are drawn in red.

    Parameters
    ----------
    mapping : Mapping
        Where everything lies.
    chip : int
        Which chip of the stack.
    axes : matplotlib Axes, optional
        Where to draw; by default a figure of its own.
    """
    stack = mapping.stack
    if not 0 <= chip < stack.n_chips:
        raise ValueError(f"chip_map expects a chip from 0 to {stack.n_chips - 1}, got {chip}.")
    grid = _core_grid(stack.n_cores)
    if axes is None:
        _, axes = _figure(1.8 + 0.8 * grid[1], 0.4 + 0.8 * grid[0])
    names = [footprint.name for footprint in mapping.footprints]
    shades = colormaps["turbo"](np.linspace(0.05, 0.95, len(names)))
    colours = {name: tuple(shade) for name, shade in zip(names, shades)}
    for core in range(stack.n_cores):
        here = (1.12 * stack.columns * (core % grid[1]), 1.12 * stack.rows * (core // grid[1]))
        _draw_core(axes, mapping, chip * stack.n_cores + core, here, colours)
    axes.set_xlim(-0.06 * stack.columns, 1.12 * stack.columns * grid[1])
    axes.set_ylim(1.12 * stack.rows * grid[0], -0.14 * stack.rows)
    axes.set_aspect("equal")
    axes.set_axis_off()
    powered = int(mapping.powered[chip].sum())
    cores = range(chip * stack.n_cores, (chip + 1) * stack.n_cores)
    here_too = {part.layer for part in mapping.placements if part.core in cores}
    axes.legend(
        handles=[Patch(color=colours[name], label=name) for name in names if name in here_too],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        fontsize=7,
        frameon=False,
    )
    axes.set_title(f"{stack.chip}, chip {chip}: {powered} of {stack.n_cores} cores on", loc="left")
    figure = axes.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise ValueError("chip_map expects axes of a figure.")
    return figure


def _core_grid(n_cores: int) -> tuple[int, int]:
    """Return rows and columns in which cores are drawn: 8 x 6 for the published chip's 48."""
    columns = next(n for n in range(int(n_cores**0.5), 0, -1) if n_cores % n == 0)
    if columns == 1:
        columns = int(np.ceil(n_cores**0.5))
    return -(-n_cores // columns), columns


def _draw_core(
    axes: Axes,
    mapping: Mapping,
    core: int,
    corner: tuple[float, float],
    colours: MappingOf[str, tuple[float, ...]],
) -> None:
    stack, (x, y) = mapping.stack, corner
    on = mapping.powered.ravel()[core]
    face = "white" if on else "0.9"
    box = Rectangle(corner, stack.columns, stack.rows, facecolor=face, edgecolor="0.4", lw=0.6)
    axes.add_patch(box)
    axes.text(x, y - 0.02 * stack.rows, str(core % stack.n_cores), fontsize=6, color="0.4")
    for part in mapping.placements:
        if part.core != core:
            continue
        rows, columns = mapping.word_lines(part), mapping.columns(part)
        axes.add_patch(
            Rectangle(
                (x + columns[0], y + rows[0]),
                columns[-1] - columns[0] + 1,
                rows[-1] - rows[0] + 1,
                facecolor=colours[part.layer],
                edgecolor="white",
                lw=0.5,
            )
        )
    for row in np.asarray(stack.bad_rows.get(core, ())):
        axes.plot([x, x + stack.columns], [y + row + 0.5] * 2, color="#e53e3e", lw=0.6)
    for column in np.asarray(stack.bad_columns.get(core, ())):
        axes.plot([x + column + 0.5] * 2, [y, y + stack.rows], color="#e53e3e", lw=0.6)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _cycle(n: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(n)]
