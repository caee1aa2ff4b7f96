r"""How a cell answers to voltage pulses.

A cell's state :math:`x \in [0, 1]` sets its conductance
:math:`G = G_{low} + x\,(G_{high} - G_{low})`. A voltage pulse moves it by the VTEAM equation
(Kvatinsky et al., IEEE TCAS-II 62, 786, 2015) with linear windows,

.. math:: \frac{dx}{dt} = k\left(\frac{|V|}{V_t} - 1\right)^{\alpha} f(x), \qquad
          f(x) = 1 - x \text{ for SET } (V > 0), \quad f(x) = -x \text{ for RESET } (V < 0),

and :math:`dx/dt = 0` at or below the threshold :math:`V_t`. Over a rectangular pulse of width
:math:`w` the solution is :math:`1 - x \to (1 - x) e^{-\rho}` (SET) or :math:`x \to x e^{-\rho}`
(RESET) with :math:`\rho = k w (|V|/V_t - 1)^\alpha`. From pulse to pulse (cycle to cycle)
:math:`k` carries a lognormal factor :math:`e^{\sigma_c z}`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels.write_verify import fill_pulse
from spikeram.units import Second, Volt


@dataclass(frozen=True, eq=False, kw_only=True)
class PulseResponse:
    """How given cells answer to voltage pulses: their own constants of the VTEAM equation.

    Parameters
    ----------
    threshold : ndarray of shape (polarity, cell) [V]
        Polarity 0 is SET, 1 is RESET.
    rate : ndarray of shape (polarity, cell) [1/s]
        Rates k; 0 for a stuck cell.
    exponent : ndarray of shape (polarity,)
        Exponents of the overdrive.
    g_low, g_high : ndarray of shape (cell,) [S]
        Ends of the range of the filament.
    formed : ndarray of shape (cell,) [S]
        Conductance after forming, or that at which a cell is stuck.
    sigma_cycle : float
        Standard deviation of ln k from pulse to pulse.
    """

    threshold: NDArray[np.float64]
    rate: NDArray[np.float64]
    exponent: NDArray[np.float64]
    g_low: NDArray[np.float64]
    g_high: NDArray[np.float64]
    formed: NDArray[np.float64]
    sigma_cycle: float

    @property
    def stuck(self) -> NDArray[np.bool_]:
        """Which cells never respond."""
        stuck: NDArray[np.bool_] = np.all(self.rate == 0.0, axis=0)
        return stuck

    def pulse(
        self, conductance: ArrayLike, v: Volt, width: Second, *, factor: ArrayLike = 1.0
    ) -> NDArray[np.float64]:
        """Return the conductances after one rectangular pulse on each cell.

        Parameters
        ----------
        conductance : array_like of shape (cell,) [S]
            Conductances before.
        v : Volt
            Pulse voltage: positive for SET, negative for RESET [V].
        width : Second
            Pulse width [s].
        factor : array_like of shape () or (cell,)
            Cycle-to-cycle factor on the rate.

        Returns
        -------
        ndarray of shape (cell,) [S]
            Conductances after.
        """
        g = np.ascontiguousarray(conductance, dtype=np.float64)
        out = np.empty_like(g)
        charge = self.rate * np.broadcast_to(factor, g.shape) * width
        fill_pulse(g, v, charge, self.threshold, self.exponent, self.g_low, self.g_high, out)
        return out
