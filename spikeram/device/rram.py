r"""The filamentary RRAM cell with its variability.

From cell to cell (device to device) the thresholds :math:`V_t` and :math:`G_{high}` are normal,
cut off at four standard deviations, and the rates :math:`k` are lognormal; these are fixed for a
cell's life. A stuck cell has :math:`k = 0`. :math:`n` averaged reads return
:math:`G + (\sigma_{read}/\sqrt n)\,z`. What a pulse does is in `spikeram.device.pulse`, what time
does in `spikeram.device.relaxation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.device.abstract import AbstractDevice
from spikeram.device.cells import Cells
from spikeram.device.checks import as_delay, check_quantities, check_window, conductances_of
from spikeram.device.pulse import PulseResponse
from spikeram.device.relaxation import AbstractRelaxation
from spikeram.seeds import Purpose
from spikeram.units import Quantity, Siemens, Volt

CUT_OFF = 4.0
"""Device-to-device normals are cut off at this many standard deviations."""


@dataclass(frozen=True, kw_only=True)
class RRAMDevice(AbstractDevice):
    """A filamentary RRAM cell with its variability.

    Parameters
    ----------
    g_min, g_max : Siemens
        The window that weights are mapped to [S].
    g_low, g_high : Siemens
        Range of the filament: the least conductance, and the mean of the largest [S].
    sigma_g_high : Siemens
        Device-to-device spread of the largest conductance [S].
    g_formed : Siemens
        Least conductance after forming; a new cell lies anywhere from here to its largest [S].
    threshold_set, threshold_reset : Volt
        Mean threshold voltages [V].
    sigma_threshold : Volt
        Device-to-device spread of both thresholds [V].
    rate_set, rate_reset : float
        Median rates k at twice the threshold voltage [1/s].
    exponent_set, exponent_reset : float
        Exponents of the overdrive.
    sigma_rate, sigma_cycle : float
        Standard deviation of ln k from cell to cell, and from pulse to pulse.
    sigma_read : Siemens
        Standard deviation of a single read [S].
    relaxation : AbstractRelaxation
        Spread after programming.
    stuck_low, stuck_high : float
        Fractions of cells stuck at the lower and at the upper end of their range.
    endurance : int or None
        Write pulses after which a cell is worn out, >= 1; None for never.

    Examples
    --------
    >>> from spikeram.models.devices import neurram
    >>> cells = Cells.of((3,), seed=1)
    >>> later = neurram().relax([5e-6, 20e-6, 40e-6], "1 day", cells)
    >>> later.shape
    (3,)
    """

    g_min: Siemens
    g_max: Siemens
    g_low: Siemens
    g_high: Siemens
    sigma_g_high: Siemens
    g_formed: Siemens
    threshold_set: Volt
    threshold_reset: Volt
    sigma_threshold: Volt
    rate_set: float
    rate_reset: float
    exponent_set: float
    exponent_reset: float
    sigma_rate: float
    sigma_cycle: float
    sigma_read: Siemens
    relaxation: AbstractRelaxation
    stuck_low: float = 0.0
    stuck_high: float = 0.0
    endurance: int | None = None

    def __post_init__(self) -> None:
        siemens = ("g_min", "g_max", "g_low", "g_high", "sigma_g_high", "g_formed", "sigma_read")
        volts = ("threshold_set", "threshold_reset", "sigma_threshold")
        check_quantities(self, dict.fromkeys(siemens, "S") | dict.fromkeys(volts, "V"))
        check_window(self)
        self._check_numbers()
        self._check_range()

    def _check_numbers(self) -> None:
        for name in ("rate_set", "rate_reset", "exponent_set", "exponent_reset"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"RRAMDevice.{name} expects a value > 0, got {getattr(self, name)}."
                )
        for name in ("sigma_rate", "sigma_cycle"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"RRAMDevice.{name} expects a value >= 0, got {getattr(self, name)}."
                )
        if not (self.stuck_low >= 0 and self.stuck_high >= 0):
            raise ValueError(
                f"RRAMDevice expects stuck fractions >= 0, got {self.stuck_low} low and "
                f"{self.stuck_high} high."
            )
        if self.stuck_low + self.stuck_high > 1:
            raise ValueError(
                f"RRAMDevice expects at most all cells to be stuck, got fractions of "
                f"{self.stuck_low} low and {self.stuck_high} high."
            )

        if self.endurance is not None and not (
            isinstance(self.endurance, (int, np.integer)) and self.endurance >= 1
        ):
            raise ValueError(
                f"RRAMDevice.endurance expects a number of pulses >= 1 or None, got "
                f"{self.endurance!r}."
            )

    def _check_range(self) -> None:
        least_threshold = min(self.threshold_set, self.threshold_reset)
        if not least_threshold > CUT_OFF * self.sigma_threshold:
            raise ValueError(
                f"RRAMDevice expects thresholds above {CUT_OFF:g} sigma_threshold, so that "
                f"none is negative, got {least_threshold} V and sigma_threshold = "
                f"{self.sigma_threshold} V."
            )
        least_high = self.g_high - CUT_OFF * self.sigma_g_high
        if not self.g_low <= self.g_formed < least_high:
            raise ValueError(
                f"RRAMDevice expects g_low <= g_formed < g_high - {CUT_OFF:g} sigma_g_high, "
                f"got {self.g_low}, {self.g_formed} and {least_high} S."
            )

    def pulse_response(self, cells: Cells) -> PulseResponse:
        """Return the device-to-device constants of given cells, fixed for their lives."""
        normal = cells.normals(Purpose.DEVICE_TO_DEVICE, 5).reshape(5, -1)
        limited = np.clip(normal, -CUT_OFF, CUT_OFF)
        g_high = self.g_high + self.sigma_g_high * limited[4]
        g_low = np.full(g_high.shape, self.g_low)
        low, high = (mask.ravel() for mask in self._stuck(cells))
        uniform = cells.uniforms(Purpose.DEVICE_TO_DEVICE).ravel()
        formed = self.g_formed + uniform * (g_high - self.g_formed)
        rate = np.array([[self.rate_set], [self.rate_reset]]) * np.exp(
            self.sigma_rate * normal[2:4]
        )
        mean_threshold = np.array([[self.threshold_set], [self.threshold_reset]])
        return PulseResponse(
            threshold=mean_threshold + self.sigma_threshold * limited[0:2],
            rate=np.where(low | high, 0.0, rate),
            exponent=np.array([self.exponent_set, self.exponent_reset]),
            g_low=g_low,
            g_high=g_high,
            formed=np.where(low, g_low, np.where(high, g_high, formed)),
            sigma_cycle=self.sigma_cycle,
        )

    def relax(
        self,
        conductance: ArrayLike,
        delay: Quantity,
        cells: Cells,
        *,
        episode: int | NDArray[np.int64] = 0,
    ) -> NDArray[np.float64]:
        """Return the conductances at a delay after programming [S]; stuck cells stay put."""
        g = conductances_of(conductance, cells, "RRAMDevice.relax")
        t = as_delay(delay, "RRAMDevice.relax")
        if t.shape not in ((), g.shape):
            raise ValueError(
                f"RRAMDevice.relax expects one delay or one for each cell, {g.shape}, "
                f"got {t.shape}."
            )
        z = cells.normals(Purpose.RELAXATION, self.relaxation.n_draws(t), episode)
        low, high = self._stuck(cells)
        relaxed = np.maximum(g + self.relaxation.drift(g, t, z), 0.0)
        return np.where(low | high, g, relaxed)

    def read(
        self, conductance: ArrayLike, cells: Cells, *, n_reads: int = 1, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return what `n_reads` averaged reads show, with additive noise [S]."""
        if n_reads < 1:
            raise ValueError(f"RRAMDevice.read expects n_reads >= 1, got {n_reads}.")
        g = conductances_of(conductance, cells, "RRAMDevice.read")
        z = cells.normals(Purpose.READ_NOISE, 1, visit)[0]
        noisy: NDArray[np.float64] = g + (self.sigma_read / math.sqrt(n_reads)) * z
        return noisy

    def deviation(self, target: ArrayLike, delay: Quantity) -> NDArray[np.float64]:
        """Return the published deviation, without stuck cells or iterative programming [S]."""
        return self.relaxation.deviation(target, as_delay(delay, "RRAMDevice.deviation"))

    def _stuck(self, cells: Cells) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        u = cells.uniforms(Purpose.FAULTS)
        return u < self.stuck_low, u > 1.0 - self.stuck_high
