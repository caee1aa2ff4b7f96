r"""When a sample is sure of its decision, so that it need not be simulated further.

A sample is sure after step k if its outputs :math:`o_j` after that step satisfy

.. math::

    \max_j \frac{e^{o_j}}{\sum_i e^{o_i}} > c

for the confidence c, or with a margin m, if the largest output exceeds the second largest by more
than m. A single output o, which decides between two classes, counts as the outputs 0 and o. With
``decoding="first"`` it is sure as soon as an output has fired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeram.decoding import Decoding


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """Stop a sample when it is sure of its decision, in a run or after it.

    Parameters
    ----------
    confidence : float
        Least share of the softmax, 0 to 1.
    min_steps : int
        Fewest steps of the output's window that a decision takes.
    margin : float or None
        Least difference of the two largest outputs, instead of `confidence`, in the trained
        network's units.
    """

    confidence: float = 0.99
    min_steps: int = 1
    margin: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"EarlyStop expects a confidence from 0 to 1, got {self.confidence}.")
        if self.margin is not None and not self.margin >= 0:
            raise ValueError(f"EarlyStop expects a margin >= 0, got {self.margin}.")
        if isinstance(self.min_steps, bool) or int(self.min_steps) != self.min_steps:
            raise ValueError(f"EarlyStop expects a whole number min_steps, got {self.min_steps}.")

    def check(self, steps: int, decoding: Decoding) -> None:
        """Refuse what cannot be asked of a run of so many steps, decoded so."""
        if not 1 <= self.min_steps <= steps:
            raise ValueError(
                f"EarlyStop expects min_steps from 1 to {steps}, got {self.min_steps}."
            )
        if decoding == "first" and self.margin is not None:
            raise ValueError(
                "decoding='first' decides with the first spike and knows no margin. Leave margin "
                "out."
            )

    def sure(self, output: NDArray[np.float32], decoding: Decoding) -> NDArray[np.bool_]:
        """Return whether samples are sure.

        Parameters
        ----------
        output : float32 ndarray of shape (..., class)
            Decoded outputs.
        decoding : {"membrane", "counts", "first"}
            How they were read.
        """
        output = output.astype(np.float64)
        if decoding == "first":
            return np.asarray(output.max(axis=-1) > 0)
        if output.shape[-1] == 1:
            output = np.concatenate([np.zeros_like(output), output], axis=-1)
        if self.margin is not None:
            top = np.partition(output, -2, axis=-1)
            return np.asarray(top[..., -1] - top[..., -2] > self.margin)
        largest = output.max(axis=-1, keepdims=True)
        return np.asarray(1 / np.exp(output - largest).sum(axis=-1) > self.confidence)
