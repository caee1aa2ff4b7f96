"""What may stand at the end of a classifier, and what cannot be converted at all."""

from __future__ import annotations

from dataclasses import dataclass

from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.errors import ConversionError


@dataclass(frozen=True)
class Softmax(AbstractOp):
    """Softmax, log-softmax or argmax at the end: it changes no decision and is left out."""

    def shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape."""
        (before,) = inputs
        return before


@dataclass(frozen=True)
class Unsupported(AbstractOp):
    """An operation that has no spiking form here; it keeps its place, so that all are reported.

    Parameters
    ----------
    kind : str
        What the framework calls it.
    remedy : str
        What its user can do.
    """

    kind: str
    remedy: str

    def shape(self, *inputs: Shape) -> Shape:
        """Raise: what an unknown operation returns is not known."""
        raise ConversionError(f"{self.kind} has no spiking form: {self.remedy}")
