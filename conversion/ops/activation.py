"""Activations that spikes can carry: rectified, clipped, leaky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.conversion.ops.parameters import finite
from spikeram.errors import ConversionError


@dataclass(frozen=True, eq=False, kw_only=True)
class Rectifier(AbstractOp):
    r"""``min(x, limit)`` where x > 0 and ``slope * x`` elsewhere.

    ReLU becomes neurons that fire +1; a limit, as of ReLU6, is their threshold's bound. With a
    slope they fire -1 as well, at a negative threshold that is 1 / slope times as large: leaky and
    parametric ReLU. A clip-floor-shift activation brings its threshold.

    Parameters
    ----------
    slope : ndarray
        0 for ReLU; one value, or one for each channel, of 0 to 1.
    limit : float
        Largest output; infinite for none.
    threshold : float or None
        Learned threshold of a clip-floor-shift activation.
    levels : int or None
        Number of its levels.
    """

    slope: NDArray[np.float64] = 0.0  # type: ignore[assignment]
    limit: float = np.inf
    threshold: float | None = None
    levels: int | None = None

    def __post_init__(self) -> None:
        slope = finite(self.slope, "Rectifier, slope:")
        if slope.ndim > 1 or slope.min() < 0 or slope.max() > 1:
            raise ConversionError(
                "Rectifier expects a slope from 0 to 1, one or one for each channel, got "
                f"{slope.min():g} to {slope.max():g}: spikes cannot carry it."
            )
        object.__setattr__(self, "slope", slope)
        for name in ("limit", "threshold"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConversionError(f"Rectifier expects a {name} > 0, got {value:g}.")

    def shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape."""
        (before,) = inputs
        if self.slope.ndim and self.slope.size not in (1, *before[:1]):
            raise ConversionError(
                f"Rectifier has {self.slope.size} slopes for samples of shape {before}."
            )
        return before
