r"""Read noise in a run: one normal number for each neuron and step, with the exact variance.

The cells of a pair fluctuate from step to step with standard deviations
:math:`\sigma^\pm_{ij}`, each independently. To first order a column that settles at
:math:`\Delta V_j = \sum_i v_i (G^+_{ij} - G^-_{ij}) / \Sigma_j`, with
:math:`\Sigma_j = \sum_i (G^+_{ij} + G^-_{ij})`, moves by

.. math:: \delta V_j = \frac{1}{\Sigma_j} \sum_i \left[ (v_i - \Delta V_j)\,\delta^+_{ij}
                      - (v_i + \Delta V_j)\,\delta^-_{ij} \right],

so that, with :math:`s_i = v_i / V_{read}` the spikes, or shares of the read voltage, on the rows,

.. math:: \operatorname{var} \delta V_j = \frac{V_{read}^2}{\Sigma_j^2} \sum_i s_i^2
          \left[ (\sigma^+_{ij})^2 + (\sigma^-_{ij})^2 \right].

Left out are the fluctuations of the denominator, :math:`\Delta V_j` in the brackets. Where all
cells fluctuate alike and n of N pairs are driven, they would add the share

.. math:: \frac{N}{n} \left(\frac{\Delta V_j}{V_{read}}\right)^2 = \frac{n}{N}\,\bar D_j^2

to the variance, with :math:`\bar D_j` the mean difference :math:`G^+ - G^-` of the driven pairs as
a share of the mean pair's :math:`G^+ + G^-`: 1 % with a quarter of the rows driven and
:math:`\bar D_j` of a fifth.

The sum over rows is made of integers. Where every cell fluctuates alike it is the number of driven
pairs; otherwise the variances of the pairs are rounded to 12 bits, as weights are. The draw is
addressed by (key, step, sample, neuron) and rounded to whole quanta, so that every engine brings
the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels.read_noise import add_read_noise, squares_of_patches
from spikeram.errors import CapacityError
from spikeram.gather import Gather

_LARGEST = 2047
# No normal number drawn from 32 bits is larger.
_FARTHEST = 6.4


@dataclass(frozen=True, eq=False, kw_only=True)
class ReadNoise:
    """How much the cells of a layer fluctuate, for each pair that is driven.

    Parameters
    ----------
    weight : int16 ndarray of shape (row, column), or None
        Variance that each input's row brings, in units; None where all bring one.
    always_on : float64 ndarray of shape (column or 1,)
        Units that the always-on rows bring in every step.
    worth : float64 ndarray of shape (column,)
        Variance of the charge for one unit [quanta**2].
    gather : Gather or None
        The inputs at each row, position by position; None where rows are inputs.
    """

    weight: NDArray[np.int16] | None
    always_on: NDArray[np.float64]
    worth: NDArray[np.float64]
    gather: Gather | None = None

    @property
    def n_positions(self) -> int:
        """Number of positions at which the columns are used in each step."""
        return 1 if self.gather is None else self.gather.n_positions

    @property
    def n_outputs(self) -> int:
        """Number of neurons."""
        return self.worth.size * self.n_positions

    @property
    def unit(self) -> float:
        """Share of a unit that one spike on one tap of a row brings."""
        return 1.0 if self.gather is None else 1.0 / self.gather.n_taps**2

    def squares(self, spikes: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return how much is driven in each step, in units of `unit`: whole numbers.

        Parameters
        ----------
        spikes : int8 ndarray of shape (sample, step, input)
            Spikes of the layer's sources. Several of one neuron in a step drive its row one after
            the other, and each time its cells have fluctuated anew.

        Returns
        -------
        float64 ndarray of shape (sample, step, group, position)
            One group for all columns, or one for each.
        """
        n_samples, steps, _ = spikes.shape
        if self.gather is None:
            driven = np.abs(spikes).astype(np.float64)
            if self.weight is None:
                counts: NDArray[np.float64] = driven.sum(axis=-1)
                return counts[..., np.newaxis, np.newaxis]
            # Sums of integers far below 2**53: the same in any order.
            return (driven @ self.weight.astype(np.float64))[..., np.newaxis]
        weight = self.weight
        if weight is None:
            weight = np.ones((self.gather.n_rows, 1), np.int16)
        found = np.empty((n_samples, steps, weight.shape[1], self.n_positions))
        for some, out in zip(spikes, found):
            squares_of_patches(some, self.gather.index, weight, out)
        return found

    def base(self, levels: NDArray[np.int16] | None = None, full: int = 1) -> NDArray[np.float64]:
        """Return what is driven in every step, of shape (sample or 1, group, position) [units].

        Parameters
        ----------
        levels : int ndarray of shape (sample, input), or None
            Levels of a constant input at the rows.
        full : int
            The level of a spike.
        """
        always_on = self.always_on[np.newaxis, :, np.newaxis]
        if levels is None:
            return np.tile(always_on, (1, 1, self.n_positions))
        values = levels.astype(np.float64)
        rows = values[:, np.newaxis]
        if self.gather is not None:
            # The mean over the taps, times their number: whole again, and so its squares add up
            # to the same in any order.
            rows = np.rint(self.gather.rows(values) * self.gather.n_taps)
        squares = np.square(rows)
        if self.weight is None:
            driven = squares.sum(axis=2, keepdims=True)
        else:
            driven = squares @ self.weight.astype(np.float64)
        return np.swapaxes(driven, 1, 2) * (self.unit / full**2) + always_on


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """The read noise of a layer in one run.

    Parameters
    ----------
    noise : ReadNoise
        How much cells fluctuate.
    key : numpy.uint64
        Key of the draws.
    base : float64 ndarray of shape (sample or 1, group, position)
        What is driven in every step, from `ReadNoise.base`.
    """

    noise: ReadNoise
    key: np.uint64
    base: NDArray[np.float64]

    def some(self, samples: slice | NDArray[np.bool_]) -> Reading:
        """Return the reading of some of the samples."""
        return self if self.base.shape[0] == 1 else replace(self, base=self.base[samples])

    def add_to(
        self,
        charge: NDArray[np.int32],
        spikes: NDArray[np.int8] | None,
        *,
        first_step: int = 0,
        first_sample: int = 0,
    ) -> None:
        """Add the noise of each step to its charge.

        Parameters
        ----------
        charge : int32 ndarray of shape (sample, step, output)
            Charge that arrives [quanta]; changed.
        spikes : int8 ndarray of shape (sample, step, input), or None
            Spikes that bring it; None where a constant input alone drives the layer.
        first_step, first_sample : int
            Numbers of the first step and sample: draws are addressed by them.
        """
        noise = self.noise
        silent = np.zeros((*charge.shape[:2], 1, noise.n_positions))
        squares = silent if spikes is None else noise.squares(spikes)
        add_read_noise(
            self.key, first_step, first_sample, squares, noise.unit, self.base, noise.worth, charge
        )


def read_noise(
    variance: NDArray[np.float64],
    *,
    always_on: NDArray[np.float64],
    worth: NDArray[np.float64],
    gather: Gather | None,
    name: str,
    limit: float,
) -> ReadNoise | None:
    """Return the read noise of a layer; None where no cell fluctuates.

    Parameters
    ----------
    variance : ndarray of shape (row, column)
        Variance of the conductance of each input's pairs, summed over them [S**2].
    always_on : ndarray of shape (column,)
        Likewise of all always-on rows [S**2].
    worth : ndarray of shape (column,)
        Variance of the charge for that of one fully driven conductance [quanta**2 / S**2].
    gather : Gather or None
        Of a convolution.
    name : str
        The layer's name, for the message.
    limit : float
        Largest charge of a step [quanta].

    Raises
    ------
    CapacityError
        If the noise of one step could exceed `limit`.
    """
    largest = float(np.max(variance, initial=0.0)) or float(np.max(always_on, initial=0.0))
    if largest == 0.0:
        return None
    farthest = _FARTHEST * float(np.sqrt(np.max((variance.sum(axis=0) + always_on) * worth)))
    if not farthest <= limit:
        raise CapacityError(
            f"Read noise of layer {name!r} can bring {farthest:.3g} quanta in one step, but only "
            f"{limit:.0f} fit. Its weights are too small beside its read noise."
        )
    if np.all(variance == largest) and np.all(always_on == always_on[0]):
        return ReadNoise(
            weight=None, always_on=always_on[:1] / largest, worth=worth * largest, gather=gather
        )
    unit = largest / _LARGEST
    return ReadNoise(
        weight=np.rint(variance / unit).astype(np.int16, order="C"),
        always_on=always_on / unit,
        worth=worth * unit,
        gather=gather,
    )
