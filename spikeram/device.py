r"""The RRAM cell: conductance range, pulse response, relaxation, read noise, faults.

**Pulse response.** A cell's state :math:`x \in [0, 1]` sets its conductance
:math:`G = G_{low} + x\,(G_{high} - G_{low})`. A voltage pulse moves it by the VTEAM equation
(Kvatinsky et al., IEEE TCAS-II 62, 786, 2015) with linear windows,

.. math:: \frac{dx}{dt} = k\left(\frac{|V|}{V_t} - 1\right)^{\alpha} f(x), \qquad
          f(x) = 1 - x \text{ for SET } (V > 0), \quad f(x) = -x \text{ for RESET } (V < 0),

and :math:`dx/dt = 0` at or below the threshold :math:`V_t`. Over a rectangular pulse of width
:math:`w` the solution is :math:`1 - x \to (1 - x) e^{-\rho}` (SET) or :math:`x \to x e^{-\rho}`
(RESET) with :math:`\rho = k w (|V|/V_t - 1)^\alpha`. From pulse to pulse (cycle to cycle)
:math:`k` carries a lognormal factor :math:`e^{\sigma_c z}`. From cell to cell (device to device)
:math:`V_t` and :math:`G_{high}` are normal, cut off at four standard deviations, and :math:`k`
is lognormal; these are fixed for a cell's life. A stuck cell has :math:`k = 0`.

**Read.** :math:`n` averaged reads return :math:`G + (\sigma_{read}/\sqrt n)\,z`.

**Relaxation.** A published curve :math:`\sigma_{pub}(G, t)` is the standard deviation of a cell's
distance from its *target*, and so contains the spread :math:`\sigma_v` that the verify window
leaves (uniform within :math:`\pm w`: :math:`w/\sqrt 3`). Relaxation alone contributes
:math:`\sigma^2 = \sigma_{pub}^2 - \sigma_v^2`. Between published delays :math:`\sigma_{pub}` is
linear in :math:`\log t`; where a later curve lies below an earlier one, the earlier one is kept,
for a spread never shrinks by itself. Before the first delay :math:`t_1`,
:math:`\sigma(t) = \sigma(t_1)\,\mathrm{clip}(1 + \beta \log_{10}(t/t_1), 0, 1)`. Beyond the last
delay, and beyond the fitted range of conductances, the value at the edge is held.

The conductance after a delay is :math:`\max(0, G_0 + D(t))` with normal :math:`D` of standard
deviation :math:`u \ge \sigma`. Clipping narrows the distribution of a cell near zero: with
:math:`a = G_0/u` the clipped normal has the standard deviation

.. math:: h(a)\,u, \qquad h^2 = (1 + a^2)\Phi(a) + a\varphi(a) - (a\Phi(a) + \varphi(a))^2,

so :math:`u` is chosen such that :math:`h\,u = \sigma`. :math:`D` is a sum of independent
increments of :math:`u^2`, one standard normal for each decade of time, so that a cell's
conductance is a continuous function of the delay and later delays share the past of earlier ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from spikeram._kernels.write_verify import fill_normals_at, fill_pulse, fill_uniforms_at
from spikeram.seeds import Purpose, Seed, key
from spikeram.units import Quantity, Second, Siemens, Volt, as_si

CUT_OFF = 4.0
"""Device-to-device normals are cut off at this many standard deviations."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells:
    """Which cells: the address at which all their random numbers are drawn.

    Parameters
    ----------
    index : ndarray of int
        Number of each cell in its array, of any shape, 0 to 2**32 - 1.
    seed : int or numpy.random.SeedSequence
        The root seed.
    chip, array : int
        Numbers of the chip and of the array on it.
    """

    index: NDArray[np.int64]
    seed: Seed
    chip: int = 0
    array: int = 0

    def __post_init__(self) -> None:
        index = np.asarray(self.index)
        if index.dtype.kind not in "iu" or np.any(index < 0) or np.any(index >= 2**32):
            raise ValueError("Cells.index expects integers from 0 to 2**32 - 1, got others.")
        for name in ("chip", "array"):
            number = getattr(self, name)
            if not isinstance(number, (int, np.integer)) or number < 0:
                raise ValueError(f"Cells.{name} expects an integer >= 0, got {number!r}.")
        object.__setattr__(self, "index", index.astype(np.int64))

    @classmethod
    def of(cls, shape: tuple[int, ...], *, seed: Seed, chip: int = 0, array: int = 0) -> Cells:
        """Return all cells of an array, numbered row by row.

        Examples
        --------
        >>> Cells.of((2, 3), seed=0).index.tolist()
        [[0, 1, 2], [3, 4, 5]]
        """
        index = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        return cls(index=index, seed=seed, chip=chip, array=array)

    def take(self, where: NDArray[Any]) -> Cells:
        """Return the cells selected by a mask or an index array."""
        return replace(self, index=self.index[where])

    def key(self, purpose: Purpose) -> np.uint64:
        """Return the key of the cells' random numbers for one purpose."""
        return key(self.seed, purpose, int(self.chip), int(self.array))

    def normals(
        self, purpose: Purpose, count: int, episode: int | NDArray[np.int64] = 0
    ) -> NDArray[np.float64]:
        """Return standard normals of shape (draw, *cells); `episode` numbers repetitions."""
        out = np.empty((count, self.index.size))
        fill_normals_at(self.key(purpose), self.counter, self.episodes(episode), out)
        return out.reshape(count, *self.index.shape)

    def uniforms(self, purpose: Purpose) -> NDArray[np.float64]:
        """Return one number in (0, 1) for each cell."""
        out = np.empty(self.index.size)
        fill_uniforms_at(self.key(purpose), self.counter, out)
        return out.reshape(self.index.shape)

    @property
    def counter(self) -> NDArray[np.uint64]:
        """The first counter word of each cell, of shape (cell,)."""
        return self.index.ravel().astype(np.uint64)

    def episodes(self, episode: int | NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the counter word of a repetition for each cell, of shape (cell,)."""
        return np.broadcast_to(episode, self.index.shape).astype(np.uint64).ravel()


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


class AbstractDevice(ABC):
    """The random laws of a cell: pulse response, relaxation, read.

    Attributes
    ----------
    g_min, g_max : Siemens
        The window that weights are mapped to [S].
    sigma_read : Siemens
        Standard deviation of a single read [S].
    """

    g_min: Siemens
    g_max: Siemens
    sigma_read: Siemens

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
        _check_quantities(self, {"g_min": "S", "g_max": "S"})
        _check_window(self)

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
        return _conductances(conductance, cells, "IdealDevice.relax").copy()

    def read(
        self, conductance: ArrayLike, cells: Cells, *, n_reads: int = 1, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the conductances themselves [S]."""
        return _conductances(conductance, cells, "IdealDevice.read").copy()

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
        _check_quantities(self, {"sigma": "S", "g_min": "S", "g_max": "S"})
        _check_window(self)

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
        g = _conductances(conductance, cells, "GaussianDevice.relax")
        z = cells.normals(Purpose.RELAXATION, 1, episode)[0]
        ended: NDArray[np.float64] = np.maximum(g + self.sigma * z, 0.0)
        return ended

    def read(
        self, conductance: ArrayLike, cells: Cells, *, n_reads: int = 1, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the conductances themselves [S]."""
        return _conductances(conductance, cells, "GaussianDevice.read").copy()

    def deviation(self, target: ArrayLike, delay: Quantity) -> NDArray[np.float64]:
        """Return `sigma`, as it is before conductances are cut off at zero [S]."""
        as_delay(delay, "GaussianDevice.deviation")
        return np.full(np.shape(target), self.sigma)


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """How far conductances spread after programming, from published curves.

    Parameters
    ----------
    delays : tuple of Second
        Delays of the curves, ascending, > 0 [s].
    curves : tuple of tuple of Siemens
        For each delay the coefficients of a polynomial in x = G / `g_unit`, ascending powers:
        the standard deviation of the distance from the target [S].
    g_unit : Siemens
        Conductance at which x = 1: a property of the curves, not of the mapping window [S].
    g_range : tuple of Siemens
        Conductances between which the curves hold [S].
    sigma_verify : Siemens
        Spread that the verify window itself leaves in the curves [S].
    early : float
        Loss of spread for each decade before the first delay, as a fraction.
    """

    delays: tuple[Second, ...]
    curves: tuple[tuple[Siemens, ...], ...]
    g_unit: Siemens
    g_range: tuple[Siemens, Siemens]
    sigma_verify: Siemens
    early: float

    def __post_init__(self) -> None:
        if not self.delays or not all(0 < t < math.inf for t in self.delays):
            raise ValueError(f"Relaxation.delays expects finite times > 0, got {self.delays}.")
        if any(a >= b for a, b in zip(self.delays, self.delays[1:])):
            raise ValueError(f"Relaxation.delays expects ascending times, got {self.delays}.")
        if len(self.curves) != len(self.delays):
            raise ValueError(
                f"Relaxation expects one curve for each of {len(self.delays)} delays, "
                f"got {len(self.curves)}."
            )
        _check_quantities(self, {"g_unit": "S", "sigma_verify": "S"})
        if not (self.g_unit > 0 and 0 <= self.g_range[0] < self.g_range[1]):
            raise ValueError(
                f"Relaxation expects g_unit > 0 and an ascending g_range >= 0, got {self.g_unit} "
                f"and {self.g_range} S."
            )
        if not self.early > 0:
            raise ValueError(f"Relaxation.early expects a fraction > 0, got {self.early}.")
        lowest = self._at_delays(np.linspace(*self.g_range, 1000)).min()
        if not lowest >= 0:
            raise ValueError(
                f"Relaxation.curves expects standard deviations >= 0 within g_range, "
                f"got {lowest} S. Narrow g_range to where the fit holds."
            )

    def deviation(self, conductance: ArrayLike, delay: ArrayLike) -> NDArray[np.float64]:
        """Return the standard deviation of the distance from target at a delay [S].

        Before the first delay it is the value at the first delay.
        """
        return self._between(
            self._at_delays(np.asarray(conductance)), np.asarray(delay, dtype=np.float64)
        )

    def sigma(self, conductance: ArrayLike, delay: ArrayLike) -> NDArray[np.float64]:
        """Return the standard deviation that relaxation alone has caused at a delay [S]."""
        return self._sigma(self._at_delays(np.asarray(conductance)), np.asarray(delay, float))

    def drift(
        self, conductance: NDArray[np.float64], delay: NDArray[np.float64], z: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the unclipped change D for standard normals `z` of shape (knot, *cells) [S]."""
        at_delays = self._at_delays(conductance)
        change = np.zeros(conductance.shape)
        before: NDArray[np.float64] = np.zeros(conductance.shape)
        for z_knot, knot in zip(z, self.knots):
            sigma = self._sigma(at_delays, np.minimum(delay, knot))
            variance = _unclipped(sigma, conductance) ** 2
            change += z_knot * np.sqrt(np.maximum(variance - before, 0.0))
            before = variance
        return change

    def n_knots(self, delay: NDArray[np.float64]) -> int:
        """Return how many increments lie before the latest of given delays."""
        latest = float(np.max(delay, initial=0.0))
        return min(int(np.searchsorted(self.knots, latest)) + 1, len(self.knots))

    @cached_property
    def knots(self) -> tuple[Second, ...]:
        """Where one increment ends and the next begins: each decade, and each delay [s]."""
        onset = math.log10(self.delays[0]) - 1.0 / self.early
        decades = range(math.ceil(onset), math.ceil(math.log10(self.delays[-1])))
        return tuple(sorted({*self.delays, *(10.0**n for n in decades)}))

    def _at_delays(self, conductance: NDArray[np.float64]) -> NDArray[np.float64]:
        x = np.clip(conductance, *self.g_range) / self.g_unit
        curves = [np.polynomial.polynomial.polyval(x, np.array(c)) for c in self.curves]
        return np.maximum.accumulate(np.stack(curves), axis=0)

    def _between(
        self, at_delays: NDArray[np.float64], delay: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        t = np.log10(np.clip(delay, self.delays[0], self.delays[-1]))
        grid = np.log10(self.delays)
        value: NDArray[np.float64] = at_delays[0] + np.zeros(t.shape)
        for n in range(len(grid) - 1):
            share = np.clip((t - grid[n]) / (grid[n + 1] - grid[n]), 0.0, 1.0)
            value = value + share * (at_delays[n + 1] - at_delays[n])
        return value

    def _sigma(
        self, at_delays: NDArray[np.float64], delay: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        relaxed = self._between(at_delays, delay) ** 2 - self.sigma_verify**2
        with np.errstate(divide="ignore"):
            decades = np.log10(delay / self.delays[0])
        sigma: NDArray[np.float64] = np.sqrt(np.maximum(relaxed, 0.0)) * np.clip(
            1.0 + self.early * decades, 0.0, 1.0
        )
        return sigma


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
    relaxation : Relaxation
        Spread after programming.
    stuck_low, stuck_high : float
        Fractions of cells stuck at the lower and at the upper end of their range.

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
    relaxation: Relaxation
    stuck_low: float = 0.0
    stuck_high: float = 0.0

    def __post_init__(self) -> None:
        siemens = ("g_min", "g_max", "g_low", "g_high", "sigma_g_high", "g_formed", "sigma_read")
        volts = ("threshold_set", "threshold_reset", "sigma_threshold")
        _check_quantities(self, dict.fromkeys(siemens, "S") | dict.fromkeys(volts, "V"))
        _check_window(self)
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
        g = _conductances(conductance, cells, "RRAMDevice.relax")
        t = as_delay(delay, "RRAMDevice.relax")
        if t.shape not in ((), g.shape):
            raise ValueError(
                f"RRAMDevice.relax expects one delay or one for each cell, {g.shape}, "
                f"got {t.shape}."
            )
        z = cells.normals(Purpose.RELAXATION, self.relaxation.n_knots(t), episode)
        low, high = self._stuck(cells)
        relaxed = np.maximum(g + self.relaxation.drift(g, t, z), 0.0)
        return np.where(low | high, g, relaxed)

    def read(
        self, conductance: ArrayLike, cells: Cells, *, n_reads: int = 1, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return what `n_reads` averaged reads show, with additive noise [S]."""
        if n_reads < 1:
            raise ValueError(f"RRAMDevice.read expects n_reads >= 1, got {n_reads}.")
        g = _conductances(conductance, cells, "RRAMDevice.read")
        z = cells.normals(Purpose.READ_NOISE, 1, visit)[0]
        noisy: NDArray[np.float64] = g + (self.sigma_read / math.sqrt(n_reads)) * z
        return noisy

    def deviation(self, target: ArrayLike, delay: Quantity) -> NDArray[np.float64]:
        """Return the published deviation, without stuck cells or iterative programming [S]."""
        return self.relaxation.deviation(target, as_delay(delay, "RRAMDevice.deviation"))

    def _stuck(self, cells: Cells) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        u = cells.uniforms(Purpose.FAULTS)
        return u < self.stuck_low, u > 1.0 - self.stuck_high


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


def _conductances(value: ArrayLike, cells: Cells, who: str) -> NDArray[np.float64]:
    g = as_conductances(value, f"{who} conductance")
    if g.shape != cells.index.shape:
        raise ValueError(
            f"{who} expects conductances of the shape of the cells, {cells.index.shape}, "
            f"got {g.shape}."
        )
    return g


@cache
def _clipping_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return u/sigma against G/sigma from the closed form of the clipped normal."""
    a = np.linspace(0.0, 6.0, 601)
    density = np.exp(-0.5 * a**2) / math.sqrt(2.0 * math.pi)
    below = ndtr(a)
    mean = a * below + density
    h = np.sqrt((1.0 + a**2) * below + a * density - mean**2)
    return a / h, 1.0 / h


def _unclipped(sigma: NDArray[np.float64], g: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the spread before clipping at zero that leaves `sigma` after it."""
    ratio = np.divide(g, sigma, out=np.full(sigma.shape, np.inf), where=sigma > 0)
    unclipped: NDArray[np.float64] = sigma * np.interp(ratio, *_clipping_table())
    return unclipped


def _check_quantities(owner: object, units: dict[str, str]) -> None:
    who = type(owner).__name__
    for name, unit in units.items():
        value = as_si(getattr(owner, name), unit, f"{who}.{name}")
        if not 0 <= value < math.inf:
            raise ValueError(f"{who}.{name} expects a value >= 0, got {value} {unit}.")
        object.__setattr__(owner, name, value)


def _check_window(device: AbstractDevice) -> None:
    if not device.g_min < device.g_max:
        raise ValueError(
            f"{type(device).__name__} expects g_min < g_max, got {device.g_min} and "
            f"{device.g_max} S."
        )
