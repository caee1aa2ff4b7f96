"""One node of an ONNX model as its reader sees it: attributes, known inputs, computed inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.conversion.graph import AbstractOp, Node, Shape
from spikeram.conversion.importers.onnx_file import OnnxFile
from spikeram.errors import ConversionError, FileFormatError

MAX_ELEMENTS = 2**24
"""Largest sample at any place of a model."""

T = TypeVar("T")


class NoSpikingForm(Exception):
    """The node has no spiking form; the message is what its user can do."""


@dataclass(frozen=True)
class Known:
    """A value that does not depend on the input.

    It may depend on the number of samples that are computed at once, so it is known twice: for one
    sample and for two. A graph describes one.
    """

    at_one: NDArray[Any]
    at_two: NDArray[Any]


@dataclass(frozen=True)
class Activation:
    """What a node of the graph computes.

    Parameters
    ----------
    node : str
        Name of the node.
    shape : tuple of int or None
        Shape of one sample; None where it is not known.
    decided : str
        Name of the softmax or argmax that it comes from, empty for none.
    """

    node: str
    shape: Shape | None
    decided: str = ""


@dataclass
class OnnxNode:
    """One node of an ONNX model.

    Parameters
    ----------
    name : str
        Its name in the graph.
    kind : str
        Its operator.
    attributes : dict
        Values of its attributes; a tensor as an array.
    inputs : tuple of Known, Activation or None
        Its inputs; None for one that is left out.
    n_outputs : int
        Outputs that it has.
    opset : int
        Version of the operators.
    batch : int or None
        Length of the batch axis in the model; None where it is free.
    nodes : list of Node
        Nodes of the graph so far; `emit` appends.
    unique : callable
        Returns a free name of the graph.
    """

    name: str
    kind: str
    attributes: dict[str, Any]
    inputs: tuple[Known | Activation | None, ...]
    n_outputs: int
    opset: int
    batch: int | None
    nodes: list[Node]
    unique: Callable[[str], str]

    def attribute(self, name: str, default: T) -> T:
        """Return an attribute, which has the default's type, or the default."""
        value = self.attributes.get(name, default)
        if type(value) is not type(default):
            raise FileFormatError(
                f"attribute {name!r} is a {type(value).__name__}, not a {type(default).__name__}: "
                "the file is damaged."
            )
        return value

    def given(self, place: int) -> Known | Activation | None:
        """Return an input, or None if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def activation(self, place: int = 0) -> Activation:
        """Return an input that is computed from the model's."""
        value = self.given(place)
        if value is None:
            raise FileFormatError(f"input {place} is missing: the file is damaged.")
        if isinstance(value, Known):
            raise NoSpikingForm(f"input {place} is a constant; replace the node by its value")
        return value

    def sample(self, place: int = 0) -> tuple[Activation, Shape]:
        """Return an input that is computed, and the shape of one sample of it."""
        value = self.activation(place)
        if value.shape is None:
            raise NoSpikingForm("the shape of its input is not known")
        return value, value.shape

    def constant(self, place: int) -> NDArray[Any] | None:
        """Return an input that is known, or None if it is left out."""
        value = self.given(place)
        if isinstance(value, Activation):
            raise NoSpikingForm(
                f"its input {place} is computed; export the model with constants there"
            )
        if value is None or value.at_one is value.at_two:
            return None if value is None else value.at_one
        try:
            same = np.array_equal(np.broadcast_to(value.at_one, value.at_two.shape), value.at_two)
        except ValueError:
            same = False
        if not same:
            raise NoSpikingForm("it computes with the number of samples in a batch")
        return value.at_one

    def weights(self, place: int) -> NDArray[Any]:
        """Return an input that must be known."""
        value = self.constant(place)
        if value is None:
            raise FileFormatError(f"input {place} is missing: the file is damaged.")
        return value

    def lengths(self, place: int) -> tuple[int, ...]:
        """Return a shape that is known; its first length alone may depend on the batch."""
        value = self.given(place)
        if not isinstance(value, Known):
            raise NoSpikingForm("the shape it asks for is computed; export with fixed shapes")
        one, two = _integers(value.at_one, "a shape"), _integers(value.at_two, "a shape")
        if one[1:] != two[1:] or len(one) != len(two):
            raise self.mixed()
        return one

    def integers(self, name: str, place: int | None = None) -> tuple[int, ...] | None:
        """Return integers of an attribute, or in later opsets of an input; None if left out."""
        if name in self.attributes:
            value = self.attributes[name]
            return _integers(np.asarray(value), f"attribute {name!r}")
        found = None if place is None else self.constant(place)
        return None if found is None else _integers(found, f"input {place}")

    def axis(self, axis: int, n_axes: int) -> int:
        """Return an axis of the model, which counts the batch, as an axis of one sample."""
        if not -n_axes <= axis < n_axes:
            raise ConversionError(f"axis {axis} of an array of {n_axes} axes.")
        if axis % n_axes == 0:
            raise self.mixed()
        return axis % n_axes - 1

    def mixed(self) -> NoSpikingForm:
        """Return the refusal of what touches the batch axis."""
        return NoSpikingForm(
            "it moves or mixes the batch axis, which must stay axis 0, one sample after another"
        )

    def emit(self, op: AbstractOp, *inputs: Activation, part: str = "") -> Activation:
        """Append an operation to the graph, and return what it computes.

        An ONNX node that becomes several names all but the last by their `part`.
        """
        shapes = [value.shape for value in inputs if value.shape is not None]
        shape = None
        if len(shapes) == len(inputs):
            shape = op.shape(*shapes)
            check_size(shape)
        name = self.unique(f"{self.name}.{part}" if part else self.name)
        self.nodes.append(Node(name=name, op=op, inputs=tuple(value.node for value in inputs)))
        return Activation(name, shape, next((v.decided for v in inputs if v.decided), ""))

    def against(self, values: ArrayLike, shape: Shape) -> NDArray[np.float64]:
        """Return a constant as it meets samples of a shape by the rules of numpy.

        The axes stand as in a sample, from its first on; trailing axes of one are left out.
        """
        array = np.asarray(values, np.float64)
        n_axes = len(shape)
        if array.ndim > n_axes + 1:
            raise NoSpikingForm(f"its constant of shape {array.shape} adds axes to {shape}")
        if array.ndim == n_axes + 1:
            if array.shape[0] != 1 and not np.array_equal(
                array, np.broadcast_to(array[:1], array.shape), equal_nan=True
            ):
                raise self.mixed()
            array = array[:1].reshape(array.shape[1:])
        array = array.reshape((1,) * (n_axes - array.ndim) + array.shape)
        for length, pixels in zip(array.shape, shape):
            if length not in (1, pixels):
                if pixels == 1:
                    raise NoSpikingForm(
                        f"its constant of shape {array.shape} spreads samples of shape {shape}"
                    )
                raise ConversionError(
                    f"a constant of shape {array.shape} does not fit samples of shape {shape}."
                )
        while array.ndim and array.shape[-1] == 1:
            array = array[..., 0]
        return array


def check_size(shape: Shape) -> None:
    """Refuse samples that are empty, or too large to be anything but a mistake."""
    if 0 in shape:
        raise ConversionError(f"samples of shape {shape} are empty.")
    if math.prod(shape) > MAX_ELEMENTS:
        raise ConversionError(
            f"samples of shape {shape} have more than {MAX_ELEMENTS} elements, which is refused."
        )


def attributes_of(node: Any, file: OnnxFile) -> dict[str, Any]:
    """Return the attributes of an ONNX node as plain values."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        kind = attribute.type
        if kind == 1:
            found[attribute.name] = float(attribute.f)
        elif kind == 2:
            found[attribute.name] = int(attribute.i)
        elif kind == 3:
            found[attribute.name] = attribute.s.decode("utf-8", errors="replace")
        elif kind == 4:
            found[attribute.name] = file.tensor(attribute.t)
        elif kind == 6:
            found[attribute.name] = tuple(map(float, attribute.floats))
        elif kind == 7:
            found[attribute.name] = tuple(map(int, attribute.ints))
        else:
            found[attribute.name] = None
    return found


def _integers(values: NDArray[Any], what: str) -> tuple[int, ...]:
    if values.dtype.kind not in "iu" or values.ndim > 1 or values.size > 64:
        raise FileFormatError(f"{what} holds {values.dtype} of shape {values.shape}, not integers.")
    return tuple(int(n) for n in values.ravel())
