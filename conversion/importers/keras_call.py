"""A layer of Keras at its place in a model, and what its layers have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.conversion import ops
from spikeram.conversion.graph import AbstractOp, Shape
from spikeram.conversion.importers.channels_last import GraphWriter, Value
from spikeram.errors import ConversionError

_REMEDY = (
    "replace it by layers that spikes can carry, such as Dense, Conv2D, BatchNormalization, ReLU, "
    "AveragePooling2D, Add or Concatenate"
)
RELU = "train with relu"
_REMEDIES = {
    "ELU": RELU,
    "LayerNormalization": "train with BatchNormalization",
    "GroupNormalization": "train with BatchNormalization",
    "UnitNormalization": "train with BatchNormalization",
    "RMSNormalization": "train with BatchNormalization",
    "Embedding": "give its vectors as inputs",
    "Lambda": "code cannot be read; use a layer of Keras for it",
    "Multiply": "tensors cannot be multiplied by one another, only by constants",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """A layer or operation at one of its places.

    Parameters
    ----------
    graph : GraphWriter
        Where to write.
    place : str
        The name of its node there; further nodes are called ``place/...``.
    layer : keras.Operation
        The layer.
    inputs : tuple of Value
        The tensors that it reads.
    shapes : tuple of tuple
        What it returns, in Keras's order of axes without the batch.
    arguments : tuple
        What it was called with, KerasTensors among them.
    """

    graph: GraphWriter
    place: str
    layer: Any
    inputs: tuple[Value, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    arguments: tuple[Any, ...] = ()

    @property
    def value(self) -> Value:
        """The one tensor that it reads."""
        if len(self.inputs) != 1:
            raise ConversionError(f"it reads {len(self.inputs)} tensors, where one is expected")
        return self.inputs[0]

    def image(self) -> tuple[Value, bool]:
        """Return the one tensor with its channels first, and whether Keras has them last."""
        if getattr(self.layer, "data_format", "channels_last") == "channels_last":
            return self.graph.channels_first(self.value), True
        return self.graph.own_order(self.value), False

    def aligned(self) -> tuple[Value, ...]:
        """Return the tensors with their axes in one order."""
        turned = any(value.first for value in self.inputs)
        return tuple(self.graph.channels_first(v) if turned else v for v in self.inputs)

    def write(self, op: AbstractOp, *values: Value, part: str = "", first: bool) -> Value:
        """Append a node, the first of the place or a named part of it."""
        name = self.graph.place(f"{self.place}/{part}") if part else self.place
        return self.graph.write(name, op, *values, first=first)

    def weights(self, *names: str) -> dict[str, NDArray[np.float64]]:
        """Return the weights by name, or refuse a layer that has others."""
        # An activation that is a layer has weights of its own, which are read with it.
        inner = {id(w) for w in getattr(getattr(self.layer, "activation", None), "weights", ())}
        found = {w.name: w for w in self.layer.weights if id(w) not in inner}
        others = sorted(set(found) - set(names))
        if others:
            raise ConversionError(
                f"it has {', '.join(others)}, as a quantised layer or one with LoRA does; convert "
                "the model as it was trained, with its float weights merged"
            )
        return {name: array_of(weight.value) for name, weight in found.items()}

    def unsupported(self, remedy: str, kind: str = "") -> tuple[Value, ...]:
        """Write that there is no spiking form, with an output of the shape Keras says."""
        op = ops.Unsupported(kind or type(self.layer).__name__, remedy.rstrip("."))
        shapes: list[Shape] = [tuple(n for n in shape if n is not None) for shape in self.shapes]
        if shapes != list(self.shapes):
            raise ConversionError(
                f"{self.place!r}: {op.kind} has no spiking form: {op.remedy}. What follows it "
                "cannot be read, as the lengths of its output are not known: give the inner "
                "model's Input a fixed shape."
            )
        self.graph.write_unsupported(self.place, op, *self.inputs)
        return tuple(Value(self.place, shape) for shape in shapes)


Handler: TypeAlias = Callable[[Call], Value]


def write_call(handlers: Mapping[str, Handler], call: Call) -> tuple[Value, ...]:
    """Return the outputs of a layer that its class's handler writes, or of a refusal."""
    kind = type(call.layer).__name__
    if not is_of_keras(type(call.layer)):
        return call.unsupported("it is not of Keras itself; build it from layers of Keras")
    if kind not in handlers:
        return call.unsupported(_REMEDIES.get(kind, _REMEDY))
    length = call.graph.length
    try:
        return (handlers[kind](call),)
    except ConversionError as error:
        call.graph.rewind(length)
        return call.unsupported(str(error))


def is_of_keras(thing: Any) -> bool:
    """Return whether a class or function comes with Keras."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "keras"


def array_of(tensor: Any) -> NDArray[np.float64]:
    """Return the numbers of a tensor of any backend."""
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float64)


def spread(values: ArrayLike, value: Value) -> NDArray[np.float64]:
    """Return numbers that Keras broadcasts from the last axis on, for `ops.Scale`."""
    array = np.asarray(values, np.float64)
    n_axes = len(value.shape)
    if array.ndim > n_axes and array.shape[0] == 1:
        array = array[0]
    if array.ndim > n_axes:
        raise ConversionError(f"it has numbers of shape {array.shape} for {value.own_shape}")
    array = array.reshape((1,) * (n_axes - array.ndim) + array.shape)
    if value.first:
        array = np.moveaxis(array, -1, 0)
    while array.ndim and array.shape[-1] == 1:
        array = array[..., 0]
    return array
