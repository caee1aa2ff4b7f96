"""Pictures of chips: conductances, programming, wires, where layers lie, what a run costs."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Patch, Rectangle

from spikeram.chip import ProgrammedLayer
from spikeram.crossbar import Crossbar
from spikeram.energy import energy
from spikeram.parasitics import Wires, interleaved, transfer
from spikeram.placement import Mapping
from spikeram.plot.canvas import MICRO, axes_for, cycle, figure_of


def conductance_map(layer: ProgrammedLayer, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw the conductances of one layer's crossbar as they are read, G+ beside G-."""
    axes = axes_for(ax, 7.2, 4.2)
    g = layer.crossbar.conductance / MICRO
    columns = g.shape[2]
    gap = max(1, columns // 20)
    # A few stuck cells would take the contrast from all others.
    top = 1.1 * layer.target.max() / MICRO
    space = np.full((g.shape[1], gap), np.nan)
    image = axes.imshow(
        np.concatenate([g[0], space, g[1]], axis=1),
        aspect="auto",
        interpolation="nearest",
        cmap="viridis",
        vmin=0,
        vmax=top,
    )
    centres = [(columns - 1) / 2, columns + gap + (columns - 1) / 2]
    axes.set_xticks(centres, [f"$G^{sign}$, {columns} columns (outputs)" for sign in "+-"])
    axes.set_ylabel("row (input; biases at the bottom)")
    axes.set_title(title, loc="left")
    figure_of(axes).colorbar(image, ax=axes, label="conductance [uS]", extend="max")
    return axes


def programming(layer: ProgrammedLayer, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw target against read conductance of all cells."""
    axes = axes_for(ax, 4.6, 3.8)
    target = layer.target.ravel() / MICRO
    read = layer.crossbar.conductance.ravel() / MICRO
    _, _, _, image = axes.hist2d(target, read, bins=60, norm=LogNorm(), cmap="viridis")
    top = max(target.max(), read.max())
    axes.plot([0, top], [0, top], color="white", linewidth=0.8)
    axes.set_xlabel("target conductance [uS]")
    axes.set_ylabel("read conductance [uS]")
    axes.set_title(title, loc="left")
    figure_of(axes).colorbar(image, ax=axes, label="cells")
    return axes


def deviation(layer: ProgrammedLayer, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw the histogram of how far cells are from target, just programmed and at read-out."""
    axes = axes_for(ax, 4.6, 3.8)
    target = layer.target.ravel() / MICRO
    bins = np.linspace(-12, 12, 97).tolist()
    just, then = cycle(5)[4], cycle(1)[0]
    axes.hist(
        layer.written.ravel() / MICRO - target, bins, color=just, alpha=0.6,
        label="just programmed",
    )  # fmt: skip
    axes.hist(
        layer.crossbar.conductance.ravel() / MICRO - target, bins, color=then, histtype="step",
        linewidth=1.5, label="at read-out",
    )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("deviation from target [uS]")
    axes.set_ylabel("cells")
    axes.set_title(title, loc="left")
    axes.legend(frameon=False)
    return axes


def wire_loss(crossbar: Crossbar, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw what wires change about each cell's part in its line, for a crossbar of one core.

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
    axes = axes_for(ax, 6.0, 4.6)
    most = max(float(np.abs(change).max()), 1e-9)
    image = axes.imshow(
        change, aspect="auto", interpolation="nearest", cmap="RdBu", vmin=-most, vmax=most
    )
    axes.set_xlabel("column (rows are driven and sensed at column 0)")
    axes.set_ylabel("row (columns are sensed and driven at the last)")
    axes.set_title(title or f"{crossbar.direction}: change by wires", loc="left")
    figure_of(axes).colorbar(image, ax=axes, label="change of a cell's part [% of the mean]")
    return axes


def chip_map(mapping: Mapping, *, chip: int = 0, ax: Axes | None = None) -> Axes:
    """Draw where the parts of each layer lie on the cores of a chip.

    Word lines run across each core and columns down, so that a part is as high as it has word
    lines. Cores that are off are grey, and bad lines are drawn in red.

    Parameters
    ----------
    mapping : Mapping
        Where everything lies.
    chip : int
        Which chip of the stack.
    ax : Axes, optional
        Where to draw; a figure of its own by default.
    """
    stack = mapping.stack
    if not 0 <= chip < stack.n_chips:
        raise ValueError(f"chip_map expects a chip from 0 to {stack.n_chips - 1}, got {chip}.")
    grid = _core_grid(stack.n_cores)
    axes = axes_for(ax, 1.8 + 0.8 * grid[1], 0.4 + 0.8 * grid[0])
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
    return axes


def energy_breakdown(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the mean energy of a sample in each crossbar, split into its components."""
    joules = energy(ds).mean("trial")
    names = [str(name) for name in joules["crossbar"].values]
    axes = axes_for(ax, 7.2, max(2.8, 0.8 + 0.35 * len(names)))
    left = np.zeros(len(names))
    shades = colormaps["tab20"](np.linspace(0, 1, joules.sizes["component"]))
    for shade, part in zip(shades, joules["component"].values):
        values = 1e9 * joules.sel(component=part).values
        if values.any():
            label = str(part).replace("_", " ")
            axes.barh(names, values, left=left, color=tuple(shade), label=label)
            left += values
    axes.invert_yaxis()
    axes.set_xlabel("estimated energy of a sample [nJ]")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes


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
