"""The graph that every importer writes and every method reads, free of any framework.

A graph describes one sample: shapes have no batch axis, and images are channel first. Weights of a
linear operation keep the order that frameworks share, (output, input, ...).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram.errors import ConversionError
from spikeram.wiring import INPUT as INPUT

Shape: TypeAlias = tuple[int, ...]


class AbstractOp(ABC):
    """What one node computes. A member of `spikeram.conversion.ops` for each operation."""

    @abstractmethod
    def shape(self, *inputs: Shape) -> Shape:
        """Return the shape of one sample's output, given those of the inputs.

        Raises
        ------
        ConversionError
            If the operation does not take such inputs.
        """


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """An operation at its place in a graph.

    Parameters
    ----------
    name : str
        The framework's own name of the place, such as ``layer1.0.conv2``.
    op : AbstractOp
        What is computed.
    inputs : tuple of str
        Names of the nodes whose outputs go in; `INPUT` is the input of the graph.
    """

    name: str
    op: AbstractOp
    inputs: tuple[str, ...] = (INPUT,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """Operations in an order in which they can be computed.

    Parameters
    ----------
    nodes : tuple of Node
        Every node comes after those it reads. The last is the output, unless `output` says.
    input_shape : tuple of int
        Shape of one sample.
    output : str
        Name of the node whose output is the graph's; by default the last.
    classes : ndarray of shape (class,) or None
        Labels of a classifier's outputs; None for regression.
    """

    nodes: tuple[Node, ...]
    input_shape: Shape
    output: str = ""
    classes: NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ConversionError("The model computes nothing: it has no layer.")
        if not all(isinstance(n, (int, np.integer)) and n > 0 for n in self.input_shape):
            raise ConversionError(
                f"A graph expects the shape of one sample in counts >= 1, got {self.input_shape}."
            )
        object.__setattr__(self, "input_shape", tuple(int(n) for n in self.input_shape))
        known = {INPUT}
        for node in self.nodes:
            if node.name in known:
                raise ConversionError(f"A graph expects different names, got {node.name!r} twice.")
            missing = [name for name in node.inputs if name not in known]
            if missing:
                raise ConversionError(
                    f"Node {node.name!r} reads {', '.join(missing)}, "
                    "which no node before it writes."
                )
            known.add(node.name)
        if not self.output:
            object.__setattr__(self, "output", self.nodes[-1].name)
        if self.output not in known:
            raise ConversionError(f"The graph has no node {self.output!r} to be its output.")

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of one sample at the input and at every node, by name.

        Raises
        ------
        ConversionError
            If an operation does not take what it is given; the message names the node.
        """
        found: dict[str, Shape] = {INPUT: self.input_shape}
        for node in self.nodes:
            try:
                found[node.name] = node.op.shape(*(found[name] for name in node.inputs))
            except ConversionError as error:
                raise ConversionError(f"Node {node.name!r}: {error}") from None
        return found


def claimed(name: str, taken: set[str], mark: str = "_") -> str:
    """Return a name that is not `taken` yet, and take it: `name`, or with a mark and 2, 3, ..."""
    free, n = name, 1
    while free in taken:
        n += 1
        free = f"{name}{mark}{n}"
    taken.add(free)
    return free
