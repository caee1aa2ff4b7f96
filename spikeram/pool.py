r"""The counting max pool: digital, between two crossbars.

With the signed running count :math:`N_i(t)` of the spikes of input i, an output's count is the
largest among its taps,

.. math:: M_j(t) = \max_{i \in \text{taps}(j)} N_i(t), \qquad s_j(t) = M_j(t) - M_j(t-1),

and :math:`M_j(0) = 0`. A count moves by one spike in a step at most, so that :math:`s_j` is -1, 0
or 1 and ends where the largest input ends, in whatever order the spikes came. It needs one counter
for each input and one for each output. Its spikes of step k follow from those of the same step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram._kernels.pool import pool_squares, pool_trains
from spikeram.runs import even_runs

Counters: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Spikes so far of each input and of each output, (sample, input) and (sample, output)."""


@dataclass(frozen=True, eq=False)
class MaxPool:
    """A counting max pool.

    Parameters
    ----------
    name : str
        The pool's name.
    source : str
        The node whose spikes it pools, "input" for the network's input. Empty: the node before it.
    index : int32 ndarray of shape (output, tap)
        Inputs of each output, or -1 for none. An output without any never spikes.
    """

    name: str
    source: str
    index: NDArray[np.int32]

    def __post_init__(self) -> None:
        index = np.array(self.index, dtype=np.int32, order="C")
        if index.ndim != 2 or 0 in index.shape:
            raise ValueError(
                f"MaxPool {self.name!r} expects an index of shape (output, tap) with at least one "
                f"of each, got {index.shape}."
            )
        if index.min() < -1:
            raise ValueError(
                f"MaxPool {self.name!r} expects indices from 0, or -1 for none, got {index.min()}."
            )
        index.flags.writeable = False
        object.__setattr__(self, "index", index)

    @property
    def sources(self) -> tuple[str, ...]:
        """The one source, as layers name theirs."""
        return (self.source,) if self.source else ()

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return int(self.index.shape[0])

    @property
    def least_inputs(self) -> int:
        """Number of inputs that the source has at least."""
        return int(self.index.max()) + 1

    def spikes(
        self,
        incoming: NDArray[np.int8],
        counters: Counters | None = None,
        out: NDArray[np.int8] | None = None,
    ) -> NDArray[np.int8]:
        """Return the pooled spikes, of shape (sample, step, output), of those of the source.

        Parameters
        ----------
        incoming : int8 ndarray of shape (sample, step, input)
            Spikes of the source.
        counters : tuple of int32 ndarray, optional
            What the counters held before the first step, changed; from `counters`.
        out : int8 ndarray of shape (sample, step, output), optional
            Where to write them.
        """
        pooled = np.empty((*incoming.shape[:2], self.n_outputs), np.int8) if out is None else out
        if counters is None:
            counters = self.counters(incoming.shape[0], incoming.shape[2])
        if self._squares is None:
            pool_trains(incoming, self._taps(incoming.shape[2]), *counters, pooled)
        else:
            pool_squares(incoming, self._squares, *counters, pooled)
        return pooled

    @cached_property
    def _squares(self) -> NDArray[np.int32] | None:
        """Runs of outputs of two by two neighbours; None where any output has other taps.

        They are found with vectors, of which most pools profit.
        """
        index = self.index
        if index.shape[1] != 4 or np.any(index < 0):
            return None
        corners = index[:, [0, 2]]
        pairs = np.array_equal(index[:, [1, 3]], corners + 1) and not np.any(corners % 2)
        runs = even_runs(corners, nothing=-1)
        return runs if pairs and np.all((runs[:, 2] == 2) | (runs[:, 1] == 1)) else None

    def _taps(self, n_inputs: int) -> NDArray[np.uint32]:
        """Return the inputs of each output, tap by tap, `n_inputs` for none; found once."""
        if n_inputs not in self._found_taps:
            # Kernels look unsigned places up twice as fast: they cannot count from the end.
            places = np.where(self.index < 0, n_inputs, self.index).T
            self._found_taps[n_inputs] = np.ascontiguousarray(places, np.uint32)
        return self._found_taps[n_inputs]

    @cached_property
    def _found_taps(self) -> dict[int, NDArray[np.uint32]]:
        return {}

    def counters(self, n_samples: int, n_inputs: int) -> Counters:
        """Return the counters of inputs and outputs before the first step, all at 0."""
        return (
            np.zeros((n_samples, n_inputs), np.int32),
            np.zeros((n_samples, self.n_outputs), np.int32),
        )

    def maxima(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the largest value among the taps of each output; 0 for an output without any.

        Parameters
        ----------
        values : ndarray of shape (sample, input)
            One value for each input.

        Returns
        -------
        ndarray of shape (sample, output)
        """
        largest = np.full((values.shape[0], self.n_outputs), -np.inf)
        for tap in self.index.T:
            np.maximum(largest, np.where(tap >= 0, values[:, tap], -np.inf), out=largest)
        return np.where(np.any(self.index >= 0, axis=1), largest, 0.0)

    def worth(self, worth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a spike of each output stands for, given that of each input.

        Raises
        ------
        ValueError
            If the taps of an output differ: counts of unequal spikes cannot be compared.
        """
        there = self.index >= 0
        at_taps = worth[self.index]
        least = np.min(at_taps, axis=1, where=there, initial=np.inf)
        most = np.max(at_taps, axis=1, where=there, initial=-np.inf)
        if np.any(least < most):
            j = int(np.argmax(least < most))
            raise ValueError(
                f"MaxPool {self.name!r} counts spikes, but those of the inputs of output {j} are "
                f"worth {least[j]:g} to {most[j]:g}. Give them one threshold."
            )
        return np.where(there.any(axis=1), most, 0.0)
