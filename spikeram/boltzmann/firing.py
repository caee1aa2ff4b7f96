r"""The law of a stochastic neuron: with which probability it fires at a field.

A chip's neuron does not draw from the logistic function. A shift register's bit is sampled as a
voltage :math:`\pm V_{lfsr}`, n times, and then the sign is compared: with kicks of size k, in units
of the field z,

.. math:: P(\text{fires}) = P\left(z + k\,(2B - n) \ge 0\right), \qquad B \sim \mathrm{Bin}(n, 1/2),

a staircase with steps :math:`2k` wide. Its envelope is a normal distribution function of standard
deviation :math:`k \sqrt n`. That closest to the logistic one has 1.702, within 0.0095 everywhere
(Haley, 1952); :math:`k = 1.702 / \sqrt n` by default. With n = 0 the neuron is deterministic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import binom

from spikeram._kernels.firing import fire_kicked, fire_logistic
from spikeram.adc import check_count

NORMAL = 1.702
"""Standard deviation of the normal distribution that is closest to the logistic one."""

MOST_KICKS = 32


@dataclass(frozen=True, kw_only=True)
class Firing:
    """The law that decides whether a unit is 1.

    Parameters
    ----------
    kicks : int or None
        Kicks before the comparison, 0 for none; None to draw from the logistic function, as
        digital logic does.
    size : float, optional
        Size of a kick, in units of the field.

    Examples
    --------
    >>> Firing(kicks=2, size=1.0).probability([-3.0, -2.0, 0.0, 2.0])
    array([0.  , 0.25, 0.75, 1.  ])
    """

    kicks: int | None = None
    size: float | None = None

    def __post_init__(self) -> None:
        if self.kicks is None:
            if self.size is not None:
                raise ValueError(
                    "Firing.size is that of kicks, of which there are none: give both."
                )
            return
        check_count("Firing.kicks", self.kicks, 0, MOST_KICKS)
        if self.size is None:
            object.__setattr__(self, "size", NORMAL / math.sqrt(max(1, self.kicks)))
        if not 0 < float(self.size or 0.0) < math.inf:
            raise ValueError(f"Firing.size expects a number > 0, got {self.size}.")

    def probability(self, field: ArrayLike) -> NDArray[np.float64]:
        """Return the probability to fire at each field."""
        z = np.asarray(field, np.float64)
        if self.kicks is None:
            return np.asarray(expit(z), np.float64)
        kick = self.size or 0.0
        least = np.ceil((self.kicks - z / kick) / 2)
        return np.asarray(binom.sf(least - 1, self.kicks, 0.5), np.float64)

    def fire(
        self,
        value: NDArray[np.float64],
        draws: int,
        *,
        unit: float,
        key: np.uint64,
        visit: int,
        first_sample: int,
    ) -> NDArray[np.int8]:
        """Return independent decisions, of shape (sample, unit, draw).

        Parameters
        ----------
        value : ndarray of shape (sample, unit)
            Fields, or charge that stands for them.
        draws : int
            Decisions of each unit.
        unit : float
            What a field of 1 is in `value`. Where it is not 1 they are quanta of charge, and
            kicks are whole quanta.
        key : numpy.uint64
            Key of the draws.
        visit, first_sample : int
            Their address, with the unit's and the draw's number.
        """
        out = np.zeros((*value.shape, draws), np.int8)
        values = np.ascontiguousarray(value, np.float64)
        if self.kicks is None:
            fire_logistic(values / unit, key, visit, first_sample, out)
        else:
            kick = (self.size or 0.0) * unit
            whole = kick if unit == 1.0 else float(np.rint(kick))
            fire_kicked(values, whole, self.kicks, key, visit, first_sample, out)
        return out
