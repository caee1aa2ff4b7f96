"""Operations on several inputs: sums and concatenations."""

from __future__ import annotations

from dataclasses import dataclass

from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.errors import ConversionError


@dataclass(frozen=True)
class Add(AbstractOp):
    """A sum of inputs of one shape, such as a residual addition.

    Its terms become further rows of one crossbar, so that they add up as charge: a shortcut is
    one cell pair in each column.

    Parameters
    ----------
    signs : tuple of int
        +1 or -1 for each input; empty for all +1.
    """

    signs: tuple[int, ...] = ()

    def shape(self, *inputs: Shape) -> Shape:
        """Return the shape that all inputs have."""
        if self.signs and len(self.signs) != len(inputs):
            raise ConversionError(f"Add has {len(self.signs)} signs for {len(inputs)} inputs.")
        if len(set(inputs)) > 1:
            raise ConversionError(
                f"Add expects inputs of one shape, got {', '.join(map(str, inputs))}."
            )
        return inputs[0]


@dataclass(frozen=True)
class Concat(AbstractOp):
    """Inputs behind one another along an axis, counted without the batch. Wires alone."""

    axis: int = 0

    def shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the whole."""
        n_axes = len(inputs[0])
        if not -n_axes <= self.axis < n_axes:
            raise ConversionError(f"Concat along axis {self.axis} of samples of shape {inputs[0]}.")
        axis = self.axis % n_axes
        rest = {shape[:axis] + shape[axis + 1 :] for shape in inputs}
        if len(rest) > 1 or any(len(shape) != n_axes for shape in inputs):
            raise ConversionError(
                f"Concat along axis {axis} expects inputs that agree elsewhere, got "
                f"{', '.join(map(str, inputs))}."
            )
        whole = list(inputs[0])
        whole[axis] = sum(shape[axis] for shape in inputs)
        return tuple(whole)
