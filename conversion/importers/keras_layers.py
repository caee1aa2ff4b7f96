"""What each layer of Keras becomes in a graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram.conversion import ops
from spikeram.conversion.importers.channels_last import Value
from spikeram.conversion.importers.keras_activations import ACTIVATIONS, FUNCTIONS, activated
from spikeram.conversion.importers.keras_call import Call, Handler, array_of, spread
from spikeram.conversion.ops.pooling import Kind
from spikeram.errors import ConversionError


def _convolution(call: Call) -> Value:
    layer = call.layer
    weights = call.weights("kernel", "bias")
    image, last = call.image()
    kernel = np.moveaxis(weights["kernel"], (-1, -2), (0, 1))
    op = ops.Conv(
        weight=kernel,
        bias=weights.get("bias"),
        stride=layer.strides,
        padding=_padding(layer, image, layer.dilation_rate),
        dilation=layer.dilation_rate,
        groups=layer.groups,
    )
    return activated(call, call.write(op, image, first=last), layer.activation)


def _depthwise(call: Call) -> Value:
    layer = call.layer
    weights = call.weights("kernel", "bias")
    image, last = call.image()
    op = _depthwise_op(layer, weights["kernel"], weights.get("bias"), image)
    return activated(call, call.write(op, image, first=last), layer.activation)


def _separable(call: Call) -> Value:
    layer = call.layer
    weights = call.weights("depthwise_kernel", "pointwise_kernel", "bias")
    image, last = call.image()
    depthwise = _depthwise_op(layer, weights["depthwise_kernel"], None, image)
    pointwise = ops.Conv(
        weight=np.moveaxis(weights["pointwise_kernel"], (-1, -2), (0, 1)),
        bias=weights.get("bias"),
    )
    value = call.write(depthwise, image, first=last)
    value = call.write(pointwise, value, part="pointwise", first=last)
    return activated(call, value, layer.activation)


def _depthwise_op(
    layer: Any, kernel: NDArray[np.float64], bias: NDArray[np.float64] | None, image: Value
) -> ops.Conv:
    weight = np.moveaxis(kernel, (-2, -1), (0, 1))
    return ops.Conv(
        weight=weight.reshape(-1, 1, *weight.shape[2:]),
        bias=bias,
        stride=layer.strides,
        padding=_padding(layer, image, layer.dilation_rate),
        dilation=layer.dilation_rate,
        groups=weight.shape[0],
    )


def _padding(
    layer: Any, image: Value, dilation: tuple[int, ...], size: tuple[int, ...] | None = None
) -> tuple[tuple[int, int], ...]:
    """Return the pixels before and after each axis of space, by TensorFlow's rule for "same"."""
    size = tuple(layer.kernel_size if size is None else size)
    if layer.padding not in ("valid", "same", "causal"):
        raise ConversionError(f"padding {layer.padding!r} is unknown; use 'valid' or 'same'")
    pairs = []
    for length, kernel, stride, step in zip(image.shape[1:], size, layer.strides, dilation):
        reach = step * (kernel - 1) + 1
        total = 0
        if layer.padding == "same":
            total = max((math.ceil(length / stride) - 1) * stride + reach - length, 0)
        # An odd pixel goes after; a causal kernel sees nothing that comes later.
        before = reach - 1 if layer.padding == "causal" else total // 2
        pairs.append((before, 0 if layer.padding == "causal" else total - before))
    return tuple(pairs)


def _transposed(call: Call) -> Value:
    layer = call.layer
    weights = call.weights("kernel", "bias")
    image, last = call.image()
    sizes = zip(layer.kernel_size, layer.strides, layer.dilation_rate)
    asked = layer.output_padding or (None,) * len(layer.kernel_size)
    cuts, extras = [], []
    for (kernel, stride, step), extra in zip(sizes, asked):
        reach = step * (kernel - 1) + 1
        if layer.padding == "same":
            cut = reach - stride if extra is None else reach - reach % 2 - extra
        else:
            cut = -max(stride - reach, 0) if extra is None else -extra
        before = max(cut // 2, 0)
        cuts.append((before, max(cut - before, 0)))
        extras.append(max(before - cut, 0))
    op = ops.ConvTranspose(
        weight=np.moveaxis(weights["kernel"], (-1, -2), (0, 1)),
        bias=weights.get("bias"),
        stride=layer.strides,
        padding=cuts,
        output_padding=extras,
        dilation=layer.dilation_rate,
    )
    return activated(call, call.write(op, image, first=last), layer.activation)


def _dense(call: Call) -> Value:
    weights = call.weights("kernel", "bias")
    op = ops.Linear(weight=weights["kernel"].T, bias=weights.get("bias"))
    value = call.write(op, call.graph.own_order(call.value), first=False)
    return activated(call, value, call.layer.activation)


def _batch_norm(call: Call) -> Value:
    layer, value = call.layer, call.value
    weights = call.weights("gamma", "beta", "moving_mean", "moving_variance")
    n_axes = len(value.shape)
    axis = layer.axis % (n_axes + 1) - 1
    scale = ops.batch_norm(
        weights["moving_mean"],
        weights["moving_variance"],
        weight=weights.get("gamma", np.ones(1)),
        bias=weights.get("beta", np.zeros(1)),
        epsilon=layer.epsilon,
    )
    channels = tuple(-1 if n == axis else 1 for n in range(n_axes))
    return _scaled(call, value, scale.factor.reshape(channels), scale.shift.reshape(channels))


def _scaled(call: Call, value: Value, factor: ArrayLike, shift: ArrayLike) -> Value:
    op = ops.Scale(factor=spread(factor, value), shift=spread(shift, value))
    return call.write(op, value, first=value.first)


def _rescaling(call: Call) -> Value:
    import keras

    layer = call.layer
    if np.ndim(layer.scale) and keras.config.image_data_format() == "channels_first":
        raise ConversionError(
            "a scale for each channel is ambiguous while Keras's image_data_format is "
            "channels_first; use one number"
        )
    return _scaled(call, call.value, layer.scale, layer.offset)


def _normalization(call: Call) -> Value:
    import keras

    layer = call.layer
    mean, variance = array_of(layer.mean), array_of(layer.variance)
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    if layer.invert:
        return _scaled(call, call.value, deviation, mean)
    return _scaled(call, call.value, 1 / deviation, -mean / deviation)


def _pool(kind: Kind) -> Handler:
    def write(call: Call) -> Value:
        layer = call.layer
        image, last = call.image()
        padding = _padding(layer, image, (1,) * len(layer.pool_size), layer.pool_size)
        op = ops.Pool(
            kind=kind,
            kernel=layer.pool_size,
            stride=layer.strides,
            padding=padding,
            count_padding=False,
        )
        return call.write(op, image, first=last)

    return write


def _global_pool(kind: Kind) -> Handler:
    def write(call: Call) -> Value:
        image, last = call.image()
        value = call.write(ops.AdaptivePool(kind=kind, size=1), image, first=last)
        if call.layer.keepdims:
            return value
        return call.write(ops.Flatten(), value, part="flatten", first=False)

    return write


def _flatten(call: Call) -> Value:
    value = call.graph.own_order(call.value)
    n_axes = len(value.shape)
    if call.layer.data_format == "channels_first" and n_axes > 1:
        turn = ops.Permute((*range(1, n_axes), 0))
        value = call.write(turn, value, part="channels_last", first=False)
    return call.write(ops.Flatten() if n_axes else ops.Reshape((1,)), value, first=False)


def _reshape(call: Call) -> Value:
    size = tuple(-1 if n is None else int(n) for n in call.layer.target_shape)
    return call.write(ops.Reshape(size), call.graph.own_order(call.value), first=False)


def _permute(call: Call) -> Value:
    axes = tuple(int(axis) - 1 for axis in call.layer.dims)
    return call.write(ops.Permute(axes), call.graph.own_order(call.value), first=False)


def _zero_padding(call: Call) -> Value:
    return _padded(call, np.reshape(call.layer.padding, (-1, 2)))


def _cropping(call: Call) -> Value:
    return _padded(call, -np.reshape(call.layer.cropping, (-1, 2)))


def _padded(call: Call, pairs: NDArray[np.int64]) -> Value:
    image, last = call.image()
    op = ops.Pad(((0, 0), *((int(before), int(after)) for before, after in pairs)))
    return call.write(op, image, first=last)


def _upsampling(call: Call) -> Value:
    layer = call.layer
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise ConversionError(f"interpolation {layer.interpolation!r} is not read; use 'nearest'")
    image, last = call.image()
    factors = tuple(int(n) for n in np.atleast_1d(layer.size))
    return call.write(ops.Upsample(factors), image, first=last)


def _sum(*signs: int) -> Handler:
    def write(call: Call) -> Value:
        values = call.aligned()
        return call.write(ops.Add(signs), *values, first=values[0].first)

    return write


def _average(call: Call) -> Value:
    values = call.aligned()
    value = call.write(ops.Add(), *values, first=values[0].first)
    mean = ops.Scale(factor=np.asarray(1 / len(values)), shift=np.asarray(0.0))
    return call.write(mean, value, part="mean", first=value.first)


def _concatenate(call: Call) -> Value:
    values = call.aligned()
    n_axes = len(values[0].shape)
    axis = call.layer.axis % (n_axes + 1) - 1
    if axis < 0:
        raise ConversionError("samples cannot be joined along the batch; give another axis")
    if values[0].first:
        axis = (axis + 1) % n_axes
    return call.write(ops.Concat(axis), *values, first=values[0].first)


def _identity(call: Call) -> Value:
    return call.write(ops.Identity(), call.value, first=call.value.first)


def _arithmetic(call: Call) -> Value:
    """Write +, -, *, / of two tensors, or of a tensor and a constant."""
    import keras

    kind = type(call.layer).__name__.replace("True", "")
    if len(call.inputs) == 2 and kind in ("Add", "Subtract"):
        return _sum(*((1, -1) if kind == "Subtract" else ()))(call)
    if len(call.inputs) != 1 or len(call.arguments) != 2:
        raise ConversionError("tensors can be multiplied or divided by constants alone")
    tensor_first = isinstance(call.arguments[0], keras.KerasTensor)
    constant = array_of(call.arguments[1 if tensor_first else 0])
    if kind == "Divide":
        if not tensor_first:
            raise ConversionError("a constant cannot be divided by a tensor")
        if not np.all(constant):
            raise ConversionError("a tensor cannot be divided by 0")
        return _scaled(call, call.value, 1 / constant, 0.0)
    if kind == "Multiply":
        return _scaled(call, call.value, constant, 0.0)
    if kind == "Subtract":
        constant = -constant if tensor_first else constant
        return _scaled(call, call.value, 1.0 if tensor_first else -1.0, constant)
    return _scaled(call, call.value, 1.0, constant)


def _negative(call: Call) -> Value:
    return _scaled(call, call.value, -1.0, 0.0)


# None of these changes anything once the model is trained.
_PASSING = (
    "Identity Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout "
    "GaussianDropout GaussianNoise ActivityRegularization RandomFlip RandomRotation RandomZoom "
    "RandomTranslation RandomContrast RandomBrightness"
).split()

LAYERS: Mapping[str, Handler] = {
    **ACTIVATIONS,
    **dict.fromkeys(_PASSING, _identity),
    **dict.fromkeys(("Conv1D", "Conv2D"), _convolution),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose"), _transposed),
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D"), _pool("mean")),
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D"), _pool("max")),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D"), _global_pool("mean")),
    **dict.fromkeys(("GlobalMaxPooling1D", "GlobalMaxPooling2D"), _global_pool("max")),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), _zero_padding),
    **dict.fromkeys(("Cropping1D", "Cropping2D"), _cropping),
    **dict.fromkeys(("UpSampling1D", "UpSampling2D"), _upsampling),
    "Add": _sum(),
    "Average": _average,
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Dense": _dense,
    "Flatten": _flatten,
    "Normalization": _normalization,
    "Permute": _permute,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "Subtract": _sum(1, -1),
}
"""Layers, by the name of their class."""

OPERATIONS: Mapping[str, Handler] = {
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Divide", "TrueDivide"), _arithmetic),
    **FUNCTIONS,
    "Concatenate": _concatenate,
    "Negative": _negative,
}
"""Operations on tensors that are no layers, such as ``x + y`` and ``keras.ops.relu(x)``."""
