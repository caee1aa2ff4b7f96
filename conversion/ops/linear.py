"""Linear: one matrix, fully connected along the last axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.conversion.ops.parameters import checked_bias, checked_weight
from spikeram.errors import ConversionError


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(AbstractOp):
    """A matrix product along the last axis, with a bias.

    It becomes one column of the crossbar for each output; leading axes, such as those of a
    sequence, are positions at which the same crossbar is used.

    Parameters
    ----------
    weight : ndarray of shape (output, input)
        The matrix.
    bias : ndarray of shape (output,) or None
        The biases; None for none.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", checked_weight(self.weight, "Linear", (2,)))
        object.__setattr__(self, "bias", checked_bias(self.bias, self.weight.shape[0], "Linear"))

    def shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape with the last axis replaced."""
        (before,) = inputs
        if not before or before[-1] != self.weight.shape[1]:
            raise ConversionError(
                f"Linear of {self.weight.shape[1]} inputs expects them along the last axis, got "
                f"{before}. Is a Flatten missing before it?"
            )
        return (*before[:-1], self.weight.shape[0])
