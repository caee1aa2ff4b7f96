"""Scale: a factor and a shift for each element or channel; batch normalisation in evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.conversion.ops.parameters import finite
from spikeram.errors import ConversionError


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(AbstractOp):
    r"""``factor * x + shift``, broadcast against one sample from its first axis on.

    After a linear operation it is folded into the weights and biases; elsewhere it becomes a
    crossbar with one weight in each column.

    Parameters
    ----------
    factor, shift : ndarray
        One value, or one along each axis they have; a vector goes along the first axis, the
        channels.
    """

    factor: NDArray[np.float64]
    shift: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", finite(self.factor, "Scale, factor:"))
        object.__setattr__(self, "shift", finite(self.shift, "Scale, shift:"))

    def shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape."""
        (before,) = inputs
        for values in (self.factor, self.shift):
            self.spread(values, before)
        return before

    @staticmethod
    def spread(values: NDArray[np.float64], shape: Shape) -> NDArray[np.float64]:
        """Return `values` with one number for each element of a sample."""
        try:
            whole = values.reshape(values.shape + (1,) * (len(shape) - values.ndim))
            return np.broadcast_to(whole, shape)
        except ValueError:
            raise ConversionError(
                f"Scale of shape {values.shape} does not fit samples of shape {shape}."
            ) from None


def batch_norm(
    mean: ArrayLike, variance: ArrayLike, *, weight: ArrayLike, bias: ArrayLike, epsilon: float
) -> Scale:
    r"""Return batch normalisation in evaluation as a `Scale`.

    .. math:: y = \gamma\,\frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Parameters
    ----------
    mean, variance : array_like of shape (channel,)
        Running mean and variance.
    weight, bias : array_like
        Gamma and beta, of shape (channel,) or one for all.
    epsilon : float
        What is added to the variance.
    """
    mean, variance = (finite(v, "Batch normalisation, statistics:") for v in (mean, variance))
    power = variance + epsilon
    if not np.all(power > 0):
        raise ConversionError(
            f"Batch normalisation expects a variance > 0, got {float(power.min()):g}."
        )
    factor = np.broadcast_to(np.asarray(weight, np.float64) / np.sqrt(power), mean.shape)
    return Scale(factor=factor, shift=np.asarray(bias, np.float64) - mean * factor)
