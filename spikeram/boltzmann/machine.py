r"""A restricted Boltzmann machine: binary units in two layers, with weights between them alone.

.. math:: P(v, h) \propto \exp\left(\sum_{ij} v_i W_{ij} h_j + \sum_i b_i v_i
          + \sum_j c_j h_j\right), \qquad v_i, h_j \in \{0, 1\}.

Given one layer, the units of the other are independent. The *field* of a unit is what it sees,

.. math:: z_j = \sum_i v_i W_{ij} + c_j, \qquad z_i = \sum_j W_{ij} h_j + b_i,

and it is 1 with probability :math:`1 / (1 + e^{-z})`. Both fields are products with one matrix,
forward and backward: what one programmed array does (`spikeram.boltzmann.programmed`). Hinton, A
Practical Guide to Training Restricted Boltzmann Machines (2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spikeram.arrays import frozen

Codes = NDArray[np.int16]
"""Visible units in levels 0 ... `levels`, of shape (sample, visible)."""

Spikes = NDArray[np.int8]
"""Hidden units, 0 or 1, of shape (sample, hidden)."""

_FINENESS = 2.0**20
"""Weights are taken to a millionth, so that sums of them are exact in any order."""


class Fields(Protocol):
    """What `sample` draws from: the fields of each layer, however they are had."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of visible and of hidden units."""

    def to_hidden(
        self, codes: Codes, levels: int, *, first_sample: int, visit: int
    ) -> NDArray[np.float64]:
        """Return the fields of hidden units for visible ones of `codes / levels`."""

    def to_visible(self, hidden: Spikes, *, first_sample: int, visit: int) -> NDArray[np.float64]:
        """Return the fields of visible units."""

    def units(self, levels: int) -> tuple[float, float]:
        """Return what a field of 1 is, of hidden and of visible units, in the numbers returned."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BoltzmannMachine:
    """A restricted Boltzmann machine with exact fields.

    Parameters
    ----------
    weight : ndarray of shape (visible, hidden)
        Weights.
    visible_bias, hidden_bias : ndarray of shape (visible,) and (hidden,)
        Biases.

    Examples
    --------
    >>> machine = BoltzmannMachine(weight=[[1.0], [-2.0]], visible_bias=[0, 0], hidden_bias=[0.5])
    >>> float(machine.to_hidden(np.array([[1, 1]], np.int16), 1)[0, 0])
    -0.5
    """

    weight: NDArray[np.float64]
    visible_bias: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("weight", "visible_bias", "hidden_bias"):
            value = frozen(getattr(self, name))
            if not np.all(np.isfinite(value)):
                raise ValueError(f"BoltzmannMachine.{name} expects finite numbers, got others.")
            object.__setattr__(self, name, value)
        if self.weight.ndim != 2 or 0 in self.weight.shape:
            raise ValueError(
                f"BoltzmannMachine.weight expects shape (visible, hidden), got {self.weight.shape}."
            )
        for name, n in zip(("visible_bias", "hidden_bias"), self.weight.shape):
            if getattr(self, name).shape != (n,):
                raise ValueError(
                    f"BoltzmannMachine.{name} expects shape ({n},) beside weights of shape "
                    f"{self.weight.shape}, got {getattr(self, name).shape}."
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of visible and of hidden units."""
        n_visible, n_hidden = self.weight.shape
        return n_visible, n_hidden

    @cached_property
    def _quanta(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        every = self.weight, self.visible_bias, self.hidden_bias
        weight, visible, hidden = (np.rint(values * _FINENESS) for values in every)
        return weight, visible, hidden

    def to_hidden(
        self, codes: Codes, levels: int, *, first_sample: int = 0, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the fields of hidden units for visible ones of `codes / levels`."""
        weight, _, bias = self._quanta
        fields: NDArray[np.float64] = codes.astype(np.float64) @ weight + levels * bias
        return fields / (levels * _FINENESS)

    def to_visible(
        self, hidden: Spikes, *, first_sample: int = 0, visit: int = 0
    ) -> NDArray[np.float64]:
        """Return the fields of visible units."""
        weight, bias, _ = self._quanta
        fields: NDArray[np.float64] = hidden.astype(np.float64) @ weight.T + bias
        return fields / _FINENESS

    def units(self, levels: int) -> tuple[float, float]:
        """Return 1 and 1: these are fields."""
        return 1.0, 1.0

    def disturbed(self, noise: float, *, rng: np.random.Generator) -> BoltzmannMachine:
        """Return the machine with normal errors of standard deviation `noise` on every number."""
        if not noise >= 0:
            raise ValueError(f"BoltzmannMachine.disturbed expects noise >= 0, got {noise}.")
        every = (self.weight, self.visible_bias, self.hidden_bias)
        weight, visible, hidden = (v + noise * rng.standard_normal(v.shape) for v in every)
        return BoltzmannMachine(weight=weight, visible_bias=visible, hidden_bias=hidden)
