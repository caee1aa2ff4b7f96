r"""Area of a network's cores.

A core of :math:`C` neurons of area :math:`a` that take the share :math:`s` of it measures
:math:`C a / s`; drivers, cells and the rest have their own shares. A network takes whole cores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr


@dataclass(frozen=True, kw_only=True)
class AreaModel:
    """What the parts of a core measure.

    Parameters
    ----------
    neuron : float
        One neuron [m2].
    neurons, drivers, cells : float
        Shares of the core.
    columns : int
        Neurons of a core.
    chip : float
        The whole chip [m2].
    cores : int
        Cores of a chip.
    node, source : str
        Technology node, and where the figures come from.
    """

    neuron: float = 1270e-12
    neurons: float = 0.28
    drivers: float = 0.21
    cells: float = 0.12
    columns: int = 256
    chip: float = 159e-6
    cores: int = 48
    node: str = "130 nm"
    source: str = (
        "Extended Data Fig. 11f of Wan et al., Nature 608, 504 (2022), digitised by "
        "mit-emze/cimloop; the core is derived from neuron and share"
    )

    def __post_init__(self) -> None:
        shares = (self.neurons, self.drivers, self.cells)
        if not (self.neuron > 0 and self.chip > 0 and min(self.columns, self.cores) >= 1):
            raise ValueError("AreaModel expects areas and counts above 0, got others.")
        if not (self.neurons > 0 and min(shares) >= 0 and sum(shares) <= 1):
            raise ValueError(
                f"AreaModel expects shares of a core that add up to at most 1, got {shares}."
            )

    @property
    def core(self) -> float:
        """One core [m2]."""
        return self.columns * self.neuron / self.neurons


def area(cores: int, model: AreaModel | None = None) -> xr.DataArray:
    """Return the area of so many cores, part by part [m2].

    Parameters
    ----------
    cores : int
        Number of cores, as `spikeram.ProgrammedChip.cores` counts them for each layer.
    model : AreaModel, optional
        What their parts measure; NeuRRAM's by default.

    Returns
    -------
    xarray.DataArray of dims (part,)
        Neurons, drivers, cells and the rest; sum over them for the whole. ``attrs`` has the chips
        that hold the cores, and their area.

    Examples
    --------
    >>> round(1e6 * float(area(1).sum()), 2)
    1.16
    """
    table = model or AreaModel()
    if isinstance(cores, bool) or int(cores) != cores or cores < 0:
        raise ValueError(f"area expects a number of cores >= 0, got {cores!r}.")
    shares = {"neurons": table.neurons, "drivers": table.drivers, "cells": table.cells}
    shares["rest"] = 1 - sum(shares.values())
    chips = math.ceil(cores / table.cores)
    return xr.DataArray(
        cores * table.core * np.array(list(shares.values())),
        dims=("part",),
        coords={"part": list(shares)},
        name="area",
        attrs={
            "units": "m2",
            "long_name": "area",
            "chips": chips,
            "chip_area": chips * table.chip,
            "node": table.node,
            "source": table.source,
        },
    )
