"""What all pictures share: colours, and axes of their own where none are given.

Figures are made without pyplot, so that no window opens and no global state changes.
"""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

MICRO = 1e-6

_COLOURS = ("#2b6cb0", "#dd6b20", "#2f855a", "#805ad5", "#718096")

NEGATIVE = "#e53e3e"
"""Colour of negative spikes and of what is lost."""


def axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes to draw on: those given, or ones of a new figure of that size [inch]."""
    if ax is None:
        ax = Figure(figsize=(width, height), layout="constrained").subplots()
        ax.spines[["top", "right"]].set_visible(False)
    return ax


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes belong to, to show or save it."""
    figure = ax.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise ValueError("The axes belong to no figure.")
    return figure


def cycle(n: int) -> list[str]:
    """Return colours for n things, in an order that tells neighbours apart."""
    return [_COLOURS[i % len(_COLOURS)] for i in range(n)]


def shades(n: int) -> list[str]:
    """Return colours for n values of one quantity, from dark to light in their order."""
    if n == 1:
        return cycle(1)
    return [to_hex(colour) for colour in colormaps["viridis"](np.linspace(0.05, 0.85, n))]
