"""Pictures of what conversion costs: rates against activations, and the parts of the error."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spikeram.plot.canvas import NEGATIVE, axes_for, cycle

MOST_POINTS = 5000
"""Points of a scatter plot that tell as much as more would."""


def activation_and_rate(
    activation: NDArray[np.float64],
    rate: NDArray[np.float64],
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw decoded rates against the trained network's activations.

    Parameters
    ----------
    activation, rate : ndarray of shape (sample, neuron)
        As `spikeram.conversion.diagnostics.activation_and_rate` returns them for a layer.
    title : str
        Title.
    ax : Axes, optional
        Where to draw; a figure of its own by default.
    """
    axes = axes_for(ax, 4.4, 4.0)
    x, y = activation.ravel(), rate.ravel()
    some = slice(None, None, max(1, x.size // MOST_POINTS))
    axes.plot(x[some], y[some], ".", markersize=2, color=cycle(1)[0], rasterized=True)
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axes.plot(ends, ends, color=NEGATIVE, linewidth=0.8, label="the same")
    axes.set_xlabel("activation of the trained network")
    axes.set_ylabel("decoded rate, in its units")
    axes.set_title(title, loc="left")
    axes.legend(frameon=False)
    return axes


def error_parts(diagnosis: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the parts of each layer's error, as `spikeram.diagnose` returns them."""
    names = [str(name) for name in diagnosis["layer"].values]
    terms = [str(name) for name in diagnosis["term"].values]
    axes = axes_for(ax, 7.2, max(2.4, 0.9 + 0.45 * len(names)))
    height = 0.8 / len(terms)
    for n, (shade, term) in enumerate(zip(colormaps["tab10"](range(len(terms))), terms)):
        places = np.arange(len(names)) + (n - (len(terms) - 1) / 2) * height
        axes.barh(
            places,
            100 * diagnosis["part"].sel(term=term).values,
            height,
            color=tuple(shade),
            label=term,
        )
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("root-mean-square error [% of the activations' own]")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes
