"""Operations that move, drop or repeat elements, and compute nothing: wires, not cells."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.errors import ConversionError


class AbstractRearrangement(AbstractOp):
    """What moves elements. The crossbar that follows is wired accordingly."""

    @abstractmethod
    def moved(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the input's elements where they are in the output; -1 for zero."""

    def shape(self, *inputs: Shape) -> Shape:
        """Return the shape of what is moved."""
        (before,) = inputs
        try:
            return self.moved(np.arange(math.prod(before)).reshape(before)).shape
        except (ValueError, IndexError) as error:
            raise ConversionError(
                f"{self} does not fit samples of shape {before}: {error}."
            ) from None


@dataclass(frozen=True)
class Reshape(AbstractRearrangement):
    """Another shape, of which one length may be -1."""

    size: tuple[int, ...]

    def moved(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the elements in the new shape."""
        return elements.reshape(self.size)


@dataclass(frozen=True)
class Flatten(AbstractRearrangement):
    """Axes `first` to `last`, counted without the batch, as one."""

    first: int = 0
    last: int = -1

    def moved(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the elements with the axes made one."""
        last = self.last % elements.ndim
        shape = elements.shape
        return elements.reshape(*shape[: self.first], -1, *shape[last + 1 :])


@dataclass(frozen=True)
class Permute(AbstractRearrangement):
    """Axes in another order, counted without the batch."""

    axes: tuple[int, ...]

    def moved(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the elements with their axes permuted."""
        return elements.transpose(self.axes)


@dataclass(frozen=True)
class Slice(AbstractRearrangement):
    """A part of each axis, by Python slices or whole numbers, counted without the batch."""

    parts: tuple[slice | int, ...]

    def moved(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the elements inside the parts."""
        return np.asarray(elements[self.parts])


@dataclass(frozen=True)
class Pad(AbstractRearrangement):
    """Zeros before and after each axis; negative numbers cut elements away."""

    widths: tuple[tuple[int, int], ...]

    def moved(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the elements with -1 around them."""
        if len(self.widths) != elements.ndim:
            raise ValueError(f"{len(self.widths)} pairs of widths for {elements.ndim} axes")
        added = [(max(before, 0), max(after, 0)) for before, after in self.widths]
        padded = np.pad(elements, added, constant_values=-1)
        cut = tuple(
            slice(max(-before, 0), length - max(-after, 0))
            for (before, after), length in zip(self.widths, padded.shape)
        )
        return padded[cut]


@dataclass(frozen=True)
class Upsample(AbstractRearrangement):
    """Every pixel repeated, so many times along each axis of space."""

    factors: Sequence[int]

    def moved(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the elements with their neighbours equal to them."""
        if len(self.factors) != elements.ndim - 1:
            raise ValueError(f"{len(self.factors)} factors for {elements.ndim - 1} axes of space")
        for axis, factor in enumerate(self.factors):
            elements = np.repeat(elements, factor, axis=axis + 1)
        return elements


@dataclass(frozen=True)
class Identity(AbstractRearrangement):
    """Nothing: dropout in evaluation, and whatever else passes its input on."""

    def moved(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the elements."""
        return elements
