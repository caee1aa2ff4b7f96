r"""Relaxation: how conductances spread after they were programmed.

A published curve :math:`\sigma_{pub}(G, t)` is the standard deviation of a cell's distance from
its *target*, and so contains the spread :math:`\sigma_v` that the verify window leaves (uniform
within :math:`\pm w`: :math:`w/\sqrt 3`). Relaxation alone contributes
:math:`\sigma^2 = \sigma_{pub}^2 - \sigma_v^2`. Between published delays :math:`\sigma_{pub}` is
linear in :math:`\log t`; where a later curve lies below an earlier one, the earlier one is kept,
for a spread never shrinks by itself. Before the first delay :math:`t_1`,
:math:`\sigma(t) = \sigma(t_1)\,\mathrm{clip}(1 + \beta \log_{10}(t/t_1), 0, 1)`. Beyond the fitted
range of conductances the value at the edge is held.

Beyond the last delay :math:`t_n` the law is an extrapolation: the variance goes on to grow with
:math:`\log t`, at its mean rate between the first and the last delay,

.. math:: \sigma_{pub}^2(t) = \sigma_{pub}^2(t_n) + \left(\sigma_{pub}^2(t_n)
          - \sigma_{pub}^2(t_1)\right) \frac{\log(t / t_n)}{\log(t_n / t_1)},

as it does in measured cells of another technology from 10 ms to a day (``docs/relaxation.md``). At
:math:`10^{15}` s it ends.

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
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from spikeram.device.checks import check_quantities
from spikeram.units import Second, Siemens

LATEST: Second = 1e15
"""Delay after which nothing is told from anything: all later ones are this one [s]."""


class AbstractRelaxation(ABC):
    """What time does to the conductances of cells that were programmed."""

    @abstractmethod
    def n_draws(self, delay: NDArray[np.float64]) -> int:
        """Return how many normals of a cell its path up to the latest of given delays takes."""

    @abstractmethod
    def drift(
        self, conductance: NDArray[np.float64], delay: NDArray[np.float64], z: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the change of conductance at a delay, before it is clipped at zero.

        Parameters
        ----------
        conductance : ndarray of shape (*cells) [S]
            Conductances just after programming.
        delay : ndarray of shape () or (*cells) [s]
            Time since programming.
        z : ndarray of shape (draw, *cells)
            Standard normals. Each draw tells of a later time, so that more of them leave the
            path so far as it was; the path is continuous in the delay.

        Returns
        -------
        ndarray of shape (*cells) [S]
        """

    @abstractmethod
    def deviation(self, conductance: ArrayLike, delay: ArrayLike) -> NDArray[np.float64]:
        """Return the standard deviation of the distance from target at a delay [S]."""


@dataclass(frozen=True, kw_only=True)
class Relaxation(AbstractRelaxation):
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
        check_quantities(self, {"g_unit": "S", "sigma_verify": "S"})
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
        at_delays, t = self._at_delays(np.asarray(conductance)), np.asarray(delay, dtype=np.float64)
        published, late = self._between(at_delays, t), self._late(at_delays, t)
        return np.where(late > 0.0, np.sqrt(published**2 + late), published)

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
            variance = unclipped(sigma, conductance) ** 2
            change += z_knot * np.sqrt(np.maximum(variance - before, 0.0))
            before = variance
        return change

    def n_draws(self, delay: NDArray[np.float64]) -> int:
        """Return how many increments lie before the latest of given delays, one normal each."""
        latest = float(np.max(delay, initial=0.0))
        return min(int(np.searchsorted(self.knots, latest)) + 1, len(self.knots))

    @cached_property
    def knots(self) -> tuple[Second, ...]:
        """Where one increment ends and the next begins: each decade, and each delay [s]."""
        onset = math.log10(self.delays[0]) - 1.0 / self.early
        decades = range(math.ceil(onset), round(math.log10(LATEST)) + 1)
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

    def _late(
        self, at_delays: NDArray[np.float64], delay: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the variance that is gained beyond the last delay."""
        first, last = self.delays[0], self.delays[-1]
        decades = np.log10(np.clip(delay, last, LATEST) / last)
        rate = (at_delays[-1] ** 2 - at_delays[0] ** 2) / (math.log10(last / first) or 1.0)
        late: NDArray[np.float64] = rate * decades
        return late

    def _sigma(
        self, at_delays: NDArray[np.float64], delay: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        published = self._between(at_delays, delay) ** 2 + self._late(at_delays, delay)
        relaxed = published - self.sigma_verify**2
        with np.errstate(divide="ignore"):
            decades = np.log10(delay / self.delays[0])
        sigma: NDArray[np.float64] = np.sqrt(np.maximum(relaxed, 0.0)) * np.clip(
            1.0 + self.early * decades, 0.0, 1.0
        )
        return sigma


@cache
def _clipping_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return u/sigma against G/sigma from the closed form of the clipped normal."""
    a = np.linspace(0.0, 6.0, 601)
    density = np.exp(-0.5 * a**2) / math.sqrt(2.0 * math.pi)
    below = ndtr(a)
    mean = a * below + density
    h = np.sqrt((1.0 + a**2) * below + a * density - mean**2)
    return a / h, 1.0 / h


def unclipped(sigma: NDArray[np.float64], g: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the spread before clipping at zero that leaves `sigma` after it."""
    ratio = np.divide(g, sigma, out=np.full(sigma.shape, np.inf), where=sigma > 0)
    unclipped: NDArray[np.float64] = sigma * np.interp(ratio, *_clipping_table())
    return unclipped
