"""A graph under construction from a framework whose images have their channels last."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion import ops
from spikeram.conversion.graph import INPUT, AbstractOp, Graph, Node, Shape, claimed
from spikeram.errors import ConversionError


@dataclass(frozen=True)
class Value:
    """A tensor of one sample: the node that computes it, and the order of its axes.

    Parameters
    ----------
    name : str
        Name of the node.
    shape : tuple of int
        Shape that the node computes.
    first : bool
        Whether the axis that the framework has last comes first.
    """

    name: str
    shape: Shape
    first: bool = False

    @property
    def own_shape(self) -> Shape:
        """Shape in the framework's order of axes."""
        return (*self.shape[1:], self.shape[0]) if self.first else self.shape


class GraphWriter:
    """Nodes in the order in which they are computed, written one by one.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample, in the framework's order of axes.
    """

    def __init__(self, input_shape: Shape) -> None:
        self.input = Value(INPUT, input_shape)
        self._nodes: list[Node] = []
        self._names = {INPUT}
        self._turned: dict[str, Value] = {}
        self._endings: dict[str, str] = {}

    def place(self, name: str) -> str:
        """Return a name that nothing has yet: `name`, or ``name#2`` and so on."""
        return claimed(name, self._names, "#")

    def write(self, name: str, op: AbstractOp, *values: Value, first: bool | None = None) -> Value:
        """Append a node of that name, which `place` gave, and return its output.

        Without `first`, the axes of the output are in the order of those of the input.
        """
        shape = op.shape(*(value.shape for value in values))
        self._append(name, op, values)
        return Value(name, shape, values[0].first if first is None else first)

    def write_ending(self, name: str, kind: str, value: Value) -> Value:
        """Append what may stand at the end alone, such as a softmax."""
        self._endings[name] = kind
        return self.write(name, ops.Softmax(), value)

    def write_unsupported(self, name: str, op: ops.Unsupported, *values: Value) -> None:
        """Append what has no spiking form, and so no shape of its own."""
        self._append(name, op, values)

    def _append(self, name: str, op: AbstractOp, values: tuple[Value, ...]) -> None:
        self._names.add(name)
        self._nodes.append(Node(name=name, op=op, inputs=tuple(value.name for value in values)))

    def channels_first(self, value: Value) -> Value:
        """Return the tensor with the framework's last axis first."""
        n_axes = len(value.shape)
        if value.first or n_axes < 2:
            return replace(value, first=n_axes > 1)
        return self._turn(value, "channels_first", (n_axes - 1, *range(n_axes - 1)))

    def own_order(self, value: Value) -> Value:
        """Return the tensor with its axes in the framework's order."""
        if not value.first:
            return value
        return self._turn(value, "channels_last", (*range(1, len(value.shape)), 0))

    def _turn(self, value: Value, order: str, axes: tuple[int, ...]) -> Value:
        if value.name not in self._turned:
            name = self.place(f"{value.name}/{order}")
            turned = self.write(name, ops.Permute(axes), value, first=not value.first)
            self._turned[value.name] = turned
            self._turned[name] = value
        return self._turned[value.name]

    @property
    def length(self) -> int:
        """Number of nodes so far."""
        return len(self._nodes)

    def rewind(self, length: int) -> None:
        """Take back the nodes after the first `length`; their names are free again."""
        gone = {node.name for node in self._nodes[length:]}
        del self._nodes[length:]
        self._names -= gone
        self._turned = {
            name: turned
            for name, turned in self._turned.items()
            if name not in gone and turned.name not in gone
        }
        self._endings = {name: kind for name, kind in self._endings.items() if name not in gone}

    def finish(self, value: Value, *, classes: NDArray[np.generic] | None) -> Graph:
        """Return the graph whose output is `value`, of a classifier or, without classes, of values.

        What may stand at the end alone is unsupported elsewhere. A sigmoid decides as its input
        does only where it is alone, and nothing may squash the values of a regression.
        """
        value = self.own_order(value)
        if not self._nodes:
            raise ConversionError("The model computes nothing: its output is its input.")
        by_name = {node.name: node for node in self._nodes}
        last = by_name.get(value.name)
        while last is not None and isinstance(last.op, ops.AbstractRearrangement):
            last = by_name.get(last.inputs[0])
        for n, node in enumerate(self._nodes):
            kind = self._endings.get(node.name)
            if kind is None:
                continue
            remedy = ""
            if node is not last:
                remedy = "it may stand at the end alone; train with relu elsewhere"
            elif classes is None:
                remedy = "it changes the values of a regression; end with a linear layer"
            elif kind.lower() == "sigmoid" and value.shape != (1,):
                remedy = "it is read alone; end with a softmax, or for values with a linear layer"
            if remedy:
                self._nodes[n] = replace(node, op=ops.Unsupported(kind, remedy))
        return Graph(
            nodes=tuple(self._nodes),
            input_shape=self.input.shape,
            output=value.name,
            classes=classes,
        )
