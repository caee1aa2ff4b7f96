"""What devices are given: delays, conductances, quantities among their fields."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.device.abstract import AbstractDevice
from spikeram.device.cells import Cells
from spikeram.units import Quantity, as_si


def as_delay(delay: Quantity, who: str) -> NDArray[np.float64]:
    """Return a delay, or one for each cell, in seconds; refuse NaN and negative ones."""
    if isinstance(delay, np.ndarray) and delay.ndim > 0 and not hasattr(delay, "dim"):
        t = delay.astype(np.float64)
    else:
        t = np.asarray(as_si(delay, "s", "delay"))
    if not np.all(t >= 0):
        raise ValueError(f"{who} expects a delay >= 0 s, got {np.min(t)} s.")
    return t


def as_conductances(value: Quantity, name: str) -> NDArray[np.float64]:
    """Return conductances in siemens; refuse another dimension, NaN and negative values.

    Examples
    --------
    >>> as_conductances("20 uS", "target")
    array(2.e-05)
    """
    if isinstance(value, str):
        return np.asarray(as_si(value, "S", name))
    if getattr(value, "dim", None) is not None and np.size(value) > 0:
        as_si(value if np.ndim(value) == 0 else value.ravel()[0], "S", name)
    g = np.array(value, dtype=np.float64)
    bad = int(np.sum(~np.isfinite(g)))
    if bad:
        raise ValueError(f"{name} expects finite conductances, got {bad} that are NaN or infinite.")
    if np.any(g < 0):
        raise ValueError(f"{name} expects conductances >= 0 S, got down to {g.min():.4g} S.")
    return g


def conductances_of(value: ArrayLike, cells: Cells, who: str) -> NDArray[np.float64]:
    """Return conductances in siemens, one for each cell."""
    g = as_conductances(value, f"{who} conductance")
    if g.shape != cells.index.shape:
        raise ValueError(
            f"{who} expects conductances of the shape of the cells, {cells.index.shape}, "
            f"got {g.shape}."
        )
    return g


def check_quantities(owner: object, units: dict[str, str]) -> None:
    """Replace quantities among the fields of `owner` by floats in SI units; refuse bad ones."""
    who = type(owner).__name__
    for name, unit in units.items():
        value = as_si(getattr(owner, name), unit, f"{who}.{name}")
        if not 0 <= value < math.inf:
            raise ValueError(f"{who}.{name} expects a value >= 0, got {value} {unit}.")
        object.__setattr__(owner, name, value)


def check_window(device: AbstractDevice) -> None:
    """Refuse a window that does not rise."""
    if not device.g_min < device.g_max:
        raise ValueError(
            f"{type(device).__name__} expects g_min < g_max, got {device.g_min} and "
            f"{device.g_max} S."
        )
