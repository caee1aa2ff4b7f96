"""What every cell does: answer pulses, relax, be read."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.device.cells import Cells
from spikeram.device.pulse import PulseResponse
from spikeram.units import Quantity, Siemens


class AbstractDevice(ABC):
    """The random laws of a cell: pulse response, relaxation, read.

    Attributes
    ----------
    g_min, g_max : Siemens
        The window that weights are mapped to [S].
    sigma_read : Siemens
        Standard deviation of a single read [S].
    endurance : int or None
        Write pulses after which a cell is worn out; None for never.
    """

    g_min: Siemens
    g_max: Siemens
    sigma_read: Siemens
    endurance: int | None = None

    @abstractmethod
    def pulse_response(self, cells: Cells) -> PulseResponse | None:
        """Return the constants of given cells; None where a cell takes any value at once."""

    @abstractmethod
    def relax(
        self,
        conductance: ArrayLike,
        delay: Quantity,
        cells: Cells,
        *,
        episode: int | NDArray[np.int64] = 0,
    ) -> NDArray[np.float64]:
        """Return the conductances at a delay after programming.

        Parameters
        ----------
        conductance : array_like of the shape of `cells` [S]
            Conductances just after programming.
        delay : Second
            Time since programming, one for all or one for each cell, >= 0 [s].
        cells : Cells
            Which cells.
        episode : int or ndarray of int
            How often a cell was programmed before: each programming relaxes in its own way.

        Returns
        -------
        ndarray of the shape of `cells` [S]
            Conductances >= 0. Delays of one episode are points of one trajectory.
        """

    @abstractmethod
    def read(
        self, conductance: ArrayLike, cells: Cells, *, n_reads: int = 1, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return what `n_reads` averaged reads show; each `visit` draws its own noise [S]."""

    @abstractmethod
    def deviation(self, target: ArrayLike, delay: Quantity) -> NDArray[np.float64]:
        """Return the standard deviation of the distance from target expected at a delay.

        Parameters
        ----------
        target : array_like [S]
            Target conductances, of any shape.
        delay : Second
            Time since programming, >= 0 [s].

        Returns
        -------
        ndarray of the shape of `target` [S]
        """
