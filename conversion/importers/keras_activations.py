"""Activations of Keras: layers, arguments of other layers, and functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from spikeram.conversion import ops
from spikeram.conversion.importers.channels_last import Value
from spikeram.conversion.importers.keras_call import (
    RELU,
    Call,
    Handler,
    is_of_keras,
    spread,
    write_call,
)
from spikeram.errors import ConversionError


def _activation_layer(call: Call) -> Value:
    return activated(call, call.value, call.layer.activation, alone=True)


def activated(call: Call, value: Value, activation: Any, *, alone: bool = False) -> Value:
    """Write an activation after the layer that has it as an argument, or as a layer of its own."""
    import keras

    kind = str(getattr(activation, "__name__", type(activation).__name__))
    if kind == "linear" and is_of_keras(activation):
        return call.write(ops.Identity(), value, first=value.first) if alone else value
    part = activation.name if isinstance(activation, keras.Layer) else kind
    place = call.place if alone else call.graph.place(f"{call.place}/{part}")
    inner = replace(call, place=place, layer=activation, inputs=(value,), shapes=(value.own_shape,))
    if isinstance(activation, keras.Layer):
        return write_call(ACTIVATIONS, inner)[0]
    if not is_of_keras(activation):
        return inner.unsupported("it is not of Keras itself; " + RELU, kind)[0]
    if kind in _ENDINGS:
        return call.graph.write_ending(place, kind, value)
    if kind in _RECTIFIERS:
        return call.graph.write(place, _RECTIFIERS[kind], value)
    return inner.unsupported(RELU, kind)[0]


_ENDINGS = ("softmax", "log_softmax", "sigmoid")
_RECTIFIERS = {
    "relu": ops.Rectifier(),
    "relu6": ops.Rectifier(limit=6.0),
    "leaky_relu": ops.Rectifier(slope=np.asarray(0.2)),
}


def _ending(call: Call) -> Value:
    return call.graph.write_ending(call.place, type(call.layer).__name__, call.value)


def _rectifier(call: Call) -> Value:
    layer = call.layer
    if np.any(np.asarray(getattr(layer, "threshold", 0.0)) != 0):
        raise ConversionError("a threshold other than 0 cannot be carried; train with ReLU()")
    limit = getattr(layer, "max_value", None)
    slope = np.asarray(getattr(layer, "negative_slope", 0.0), np.float64)
    op = ops.Rectifier(slope=slope, limit=np.inf if limit is None else float(limit))
    return call.write(op, call.value, first=call.value.first)


def _parametric(call: Call) -> Value:
    alpha, value = call.weights("alpha")["alpha"], call.value
    if alpha.ndim > 1 and alpha.shape[-1] > 1:
        value = call.graph.channels_first(value)
    slope = spread(alpha, value)
    if slope.ndim > 1:
        raise ConversionError("slopes that differ over space cannot be carried; give shared_axes")
    return call.write(ops.Rectifier(slope=slope), value, first=value.first)


def _relu6(call: Call) -> Value:
    return call.write(ops.Rectifier(limit=6.0), call.value, first=call.value.first)


ACTIVATIONS: Mapping[str, Handler] = {
    "Activation": _activation_layer,
    "LeakyReLU": _rectifier,
    "PReLU": _parametric,
    "ReLU": _rectifier,
    "Softmax": _ending,
}
"""Activation layers, by the name of their class."""

FUNCTIONS: Mapping[str, Handler] = {
    **dict.fromkeys(("Relu", "ReLU", "LeakyRelu"), _rectifier),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Sigmoid"), _ending),
    "Relu6": _relu6,
}
"""Activation functions of tensors, such as ``keras.ops.relu(x)``, by the name of their class."""
