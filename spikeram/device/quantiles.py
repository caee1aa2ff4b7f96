r"""Relaxation of measured cells: their own quantiles, and paths through them.

The change of a cell's conductance is

.. math:: D(t) = Q(G_0, t, Z(t)),

where :math:`Q(G, t, z)` is the quantile of the change that cells of conductance :math:`G` show at
delay :math:`t`, at the normal score :math:`z` (the median at 0, 0.13 % at -3): linear in :math:`G`,
:math:`\log t` and :math:`z` between the tabulated points, zero at the onset, held beyond the last
delay and the end conductances, and going on straight beyond the last scores. No shape is assumed:
drift, spread, skewness and tails are those of the cells.

:math:`Z(t)` is a normal process in :math:`\log t` that says how a cell's changes hang together,

.. math:: Z(t) = \sqrt{m}\,\frac{W(v(t))}{\sqrt{v(t)}} + \sqrt{1 - m}\;Y(\log_{10} t),

with a random walk :math:`W` over :math:`v`, the variance of the bulk of the cells at a delay, and
a fluctuation :math:`Y` that forgets itself over :math:`\lambda` decades. Two delays correlate by

.. math:: m \sqrt{v(t_1)/v(t_2)} + (1 - m)\,e^{-|\log_{10}(t_2/t_1)|/\lambda}.

With memory :math:`m = 1` all of a change stays, as in `spikeram.device.relaxation`. Both parts take
one normal for each decade of time, and are continuous in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RegularGridInterpolator
from scipy.special import ndtri

from spikeram.arrays import frozen
from spikeram.device.relaxation import AbstractRelaxation
from spikeram.units import Second, Siemens


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantileRelaxation(AbstractRelaxation):
    """Relaxation after measured quantiles.

    Parameters
    ----------
    delays : ndarray of shape (delay,) [s]
        Delays of the quantiles, ascending, > 0.
    conductances : ndarray of shape (node,) [S]
        Conductances of the quantiles, ascending, >= 0.
    scores : ndarray of shape (score,)
        Normal scores of the quantiles, ascending.
    change : ndarray of shape (delay, node, score) [S]
        Quantiles of the change of conductance.
    sigma_verify : Siemens
        Spread around the target that the verify window leaves [S].
    onset : Second
        Delay up to which nothing changes, > 0 and before the first of `delays` [s].
    memory : float
        Share m of the variance that stays for good, 0 to 1.
    forgetting : float
        Decades of time over which the rest is forgotten, > 0.
    """

    delays: NDArray[np.float64]
    conductances: NDArray[np.float64]
    scores: NDArray[np.float64]
    change: NDArray[np.float64]
    sigma_verify: Siemens
    onset: Second
    memory: float
    forgetting: float

    def __post_init__(self) -> None:
        for name in ("delays", "conductances", "scores", "change"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        who = type(self).__name__
        for name in ("delays", "conductances", "scores"):
            values = getattr(self, name)
            if values.ndim != 1 or values.size < 2 or not np.all(np.diff(values) > 0):
                raise ValueError(f"{who}.{name} expects two or more ascending numbers, got others.")
        shape = (self.delays.size, self.conductances.size, self.scores.size)
        if self.change.shape != shape or not np.all(np.isfinite(self.change)):
            raise ValueError(
                f"{who}.change expects finite values of shape {shape}, got {self.change.shape}."
            )
        if np.any(np.diff(self.change, axis=2) < 0):
            raise ValueError(f"{who}.change expects quantiles that rise with their score.")
        if not 0 < self.onset < self.delays[0] or self.conductances[0] < 0:
            raise ValueError(
                f"{who} expects conductances >= 0 and 0 < onset < the first delay, got "
                f"{self.conductances[0]} S and {self.onset} s before {self.delays[0]} s."
            )
        if not (
            0 <= self.memory <= 1 and 0 < self.forgetting < math.inf and self.sigma_verify >= 0
        ):
            raise ValueError(
                f"{who} expects memory from 0 to 1, forgetting > 0 and sigma_verify >= 0, got "
                f"{self.memory}, {self.forgetting} and {self.sigma_verify}."
            )

    def n_draws(self, delay: NDArray[np.float64]) -> int:
        """Return two for each knot up to the latest of given delays."""
        before = int(np.searchsorted(self._knots, self._decade(delay).max(initial=-np.inf)))
        return 2 * min(before + 1, self._knots.size)

    def drift(
        self, conductance: NDArray[np.float64], delay: NDArray[np.float64], z: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the change at a delay for standard normals `z` of shape (draw, *cells) [S]."""
        u = np.broadcast_to(self._decade(delay), conductance.shape)
        g = np.clip(conductance, self.conductances[0], self.conductances[-1])
        change: NDArray[np.float64] = self._surface(
            np.stack([u, g, self._path(u, z)], axis=-1)
        ).reshape(u.shape)
        return change

    def deviation(self, conductance: ArrayLike, delay: ArrayLike) -> NDArray[np.float64]:
        """Return the root mean square distance from target at a delay, drift included [S]."""
        g, u = np.broadcast_arrays(
            np.clip(conductance, self.conductances[0], self.conductances[-1]), self._decade(delay)
        )
        change = self._rms(np.stack([u, g], axis=-1)).reshape(g.shape)
        deviation: NDArray[np.float64] = np.hypot(change, self.sigma_verify)
        return deviation

    def correlation(self, early: Second, late: Second) -> float:
        """Return how the scores of a cell at two knots or delays correlate."""
        u = np.sort(self._decade(np.array([early, late])))
        v = np.interp(u, self._times, self._variance)
        kept = math.sqrt(v[0] / v[1])
        return self.memory * kept + (1 - self.memory) * math.exp(-(u[1] - u[0]) / self.forgetting)

    def _path(self, u: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores Z of cells at decades `u`."""
        walked, variance = np.zeros(u.shape), np.interp(u, self._times, self._variance)
        before = np.zeros(u.shape)
        present = fluctuation = z[1]
        for n, knot in enumerate(self._knots[: len(z) // 2]):
            reached = np.interp(np.minimum(u, knot), self._times, self._variance)
            walked = walked + z[2 * n] * np.sqrt(reached - before)
            before = reached
            if n > 0:
                last = self._knots[n - 1]
                kept = math.exp(-(knot - last) / self.forgetting)
                following = kept * present + math.sqrt(1 - kept**2) * z[2 * n + 1]
                share = np.clip((u - last) / (knot - last), 0.0, 1.0)
                between = (1 - share) * present + share * following
                between /= np.sqrt((1 - share) ** 2 + share**2 + 2 * kept * share * (1 - share))
                fluctuation = np.where(u > last, between, fluctuation)
                present = following
        scaled = np.divide(walked, np.sqrt(variance), out=np.zeros(u.shape), where=variance > 0)
        path: NDArray[np.float64] = (
            math.sqrt(self.memory) * scaled + math.sqrt(1 - self.memory) * fluctuation
        )
        return path

    def _decade(self, delay: ArrayLike) -> NDArray[np.float64]:
        return np.log10(np.clip(np.asarray(delay, np.float64), self.onset, self.delays[-1]))

    @cached_property
    def _knots(self) -> NDArray[np.float64]:
        """Decades at which one draw ends and the next begins."""
        first, last = math.ceil(math.log10(self.onset)), math.ceil(self._times[-1])
        return np.unique([*self._times[1:], *range(first, last)])

    @cached_property
    def _times(self) -> NDArray[np.float64]:
        return np.log10([self.onset, *self.delays])

    @cached_property
    def _variance(self) -> NDArray[np.float64]:
        """Variance of the bulk of the cells at the onset and at each delay [S2]."""
        low, high = (self._at_score(z) for z in (-1.0, 1.0))
        bulk = np.mean(((high - low) / 2) ** 2, axis=1)
        return np.maximum.accumulate([0.0, *bulk])

    def _at_score(self, z: float) -> NDArray[np.float64]:
        return np.apply_along_axis(lambda q: np.interp(z, self.scores, q), 2, self.change)

    @cached_property
    def _surface(self) -> RegularGridInterpolator:
        table = np.concatenate([np.zeros((1, *self.change.shape[1:])), self.change])
        points = (self._times, self.conductances, self.scores)
        return RegularGridInterpolator(points, table, bounds_error=False, fill_value=None)

    @cached_property
    def _rms(self) -> RegularGridInterpolator:
        scores = ndtri((np.arange(4000) + 0.5) / 4000)
        nodes = np.stack(np.meshgrid(*self._surface.grid[:2], scores, indexing="ij"), axis=-1)
        rms = np.sqrt(np.mean(self._surface(nodes) ** 2, axis=-1))
        return RegularGridInterpolator(self._surface.grid[:2], rms)
