"""Cells without physics: one that takes any value, one that misses it and stays there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.device.abstract import AbstractDevice
from spikeram.device.cells import Cells
from spikeram.device.checks import as_delay, check_quantities, check_window, conductances_of
from spikeram.seeds import Purpose
from spikeram.units import Quantity, Siemens


@dataclass(frozen=True, kw_only=True)
class IdealDevice(AbstractDevice):
    """A cell that takes any conductance at once, keeps it, and is read without noise.

    Parameters
    ----------
    g_min, g_max : Siemens
        The window that weights are mapped to [S].

    Examples
    --------
    >>> round(IdealDevice(g_max="30 uS").g_max, 9)
    3e-05
    """

    g_min: Siemens = 1e-6
    g_max: Siemens = 40e-6
    sigma_read: Siemens = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        check_quantities(self, {"g_min": "S", "g_max": "S"})
        check_window(self)

    def pulse_response(self, cells: Cells) -> None:
        """Return None: no pulses are needed."""
        return None

    def relax(
        self,
        conductance: ArrayLike,
        delay: Quantity,
        cells: Cells,
        *,
        episode: int | NDArray[np.int64] = 0,
    ) -> NDArray[np.float64]:
        """Return the conductances as they were programmed [S]."""
        as_delay(delay, "IdealDevice.relax")
        return conductances_of(conductance, cells, "IdealDevice.relax").copy()

    def read(
        self, conductance: ArrayLike, cells: Cells, *, n_reads: int = 1, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the conductances themselves [S]."""
        return conductances_of(conductance, cells, "IdealDevice.read").copy()

    def deviation(self, target: ArrayLike, delay: Quantity) -> NDArray[np.float64]:
        """Return zeros: every target is met [S]."""
        as_delay(delay, "IdealDevice.deviation")
        return np.zeros(np.shape(target))


@dataclass(frozen=True, kw_only=True)
class GaussianDevice(AbstractDevice):
    r"""A cell that ends a normal error off its target, stays there, and is read without noise.

    The conductance at any delay is :math:`\max(0, G + \sigma z)` with one standard normal
    :math:`z` for each programming of a cell: the error model of most software for in-memory
    computing.

    Parameters
    ----------
    sigma : Siemens
        Standard deviation of the error, the same at all conductances [S].
    g_min, g_max : Siemens
        The window that weights are mapped to [S].

    Examples
    --------
    >>> device = GaussianDevice(sigma="4 uS")
    >>> device.relax([20e-6, 20e-6], "1 day", Cells.of((2,), seed=1)).shape
    (2,)
    """

    sigma: Siemens
    g_min: Siemens = 1e-6
    g_max: Siemens = 40e-6
    sigma_read: Siemens = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        check_quantities(self, {"sigma": "S", "g_min": "S", "g_max": "S"})
        check_window(self)

    def pulse_response(self, cells: Cells) -> None:
        """Return None: no pulses are needed."""
        return None

    def relax(
        self,
        conductance: ArrayLike,
        delay: Quantity,
        cells: Cells,
        *,
        episode: int | NDArray[np.int64] = 0,
    ) -> NDArray[np.float64]:
        """Return the conductances with their errors, the same at every delay [S]."""
        as_delay(delay, "GaussianDevice.relax")
        g = conductances_of(conductance, cells, "GaussianDevice.relax")
        z = cells.normals(Purpose.RELAXATION, 1, episode)[0]
        ended: NDArray[np.float64] = np.maximum(g + self.sigma * z, 0.0)
        return ended

    def read(
        self, conductance: ArrayLike, cells: Cells, *, n_reads: int = 1, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the conductances themselves [S]."""
        return conductances_of(conductance, cells, "GaussianDevice.read").copy()

    def deviation(self, target: ArrayLike, delay: Quantity) -> NDArray[np.float64]:
        """Return `sigma`, as it is before conductances are cut off at zero [S]."""
        as_delay(delay, "GaussianDevice.deviation")
        return np.full(np.shape(target), self.sigma)
