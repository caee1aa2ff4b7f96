"""The matrices of a network by their shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spikeram.errors import ConversionError


@dataclass(frozen=True, kw_only=True)
class MatrixShape:
    """One matrix of weights, or several equal ones side by side.

    Parameters
    ----------
    name : str
        Its place in the network.
    rows, columns : int
        Inputs and outputs of the matrix.
    kind : str
        What it computes.
    positions : int
        How often one sample uses it: pixels of a convolution, tokens, time steps of a recurrence.
    groups : int
        How many such matrices there are, each with inputs and outputs of its own.
    inputs : int
        Values that drive it, all positions together; 0: those of its rows, each once.
    rate : float or None
        Spikes of an input in a step, where it is known.
    """

    name: str
    rows: int
    columns: int
    kind: str = "dense"
    positions: int = 1
    groups: int = 1
    inputs: int = 0
    rate: float | None = None

    def __post_init__(self) -> None:
        for what, least in (
            ("rows", 1),
            ("columns", 1),
            ("positions", 1),
            ("groups", 1),
            ("inputs", 0),
        ):
            count = getattr(self, what)
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                raise ConversionError(
                    f"Matrix {self.name!r} expects {what} >= {least}, got {count!r}."
                )
        if self.rate is not None and not 0 <= self.rate <= 1:
            raise ConversionError(
                f"Matrix {self.name!r} expects a rate from 0 to 1 spikes a step, got {self.rate!r}."
            )
        if not self.inputs:
            object.__setattr__(self, "inputs", self.rows * self.groups * self.positions)

    @property
    def weights(self) -> int:
        """Weights of all groups."""
        return self.rows * self.columns * self.groups

    @property
    def outputs(self) -> int:
        """Output values of one sample."""
        return self.columns * self.groups * self.positions

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample."""
        return self.weights * self.positions


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """What a network is made of, as far as its shapes say.

    Parameters
    ----------
    matrices : tuple of MatrixShape
        In the order of computation.
    weightless : mapping of str to int
        Operations without weights on crossbars, and how often they occur.
    unknown : tuple of str
        Operations that could not be sized, each with the reason.
    other_parameters : int
        Parameters that no matrix holds: biases, norms, embeddings, position codes.
    where : str
        What errors and tables call the network.
    """

    matrices: tuple[MatrixShape, ...]
    weightless: Mapping[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    other_parameters: int = 0
    where: str = "The network"

    def __post_init__(self) -> None:
        if not self.matrices:
            odd = f" Not sized: {'; '.join(self.unknown)}." if self.unknown else ""
            raise ConversionError(f"{self.where} holds no matrix of weights.{odd}")
