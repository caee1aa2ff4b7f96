"""Readers of ONNX's other operators: matrices, activations, arithmetic, and moving elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion import ops
from spikeram.conversion.graph import Shape
from spikeram.conversion.importers import onnx_images
from spikeram.conversion.importers.onnx_constants import equal_parts, resolved, slices
from spikeram.conversion.importers.onnx_file import ELEMENT_TYPES
from spikeram.conversion.importers.onnx_node import (
    Activation,
    Known,
    NoSpikingForm,
    OnnxNode,
    check_size,
)
from spikeram.errors import ConversionError, FileFormatError

Reader: TypeAlias = Callable[[OnnxNode], Activation | tuple[Activation, ...]]

_FLOATS = (1, 10, 11, 16)
_MOST_COPIES = 4096


def _gemm(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    if node.attribute("transA", 0):
        raise node.mixed()
    weight = np.asarray(node.weights(1), np.float64) * node.attribute("alpha", 1.0)
    if weight.ndim != 2 or len(shape) != 1:
        raise ConversionError(
            f"Gemm expects a matrix and samples of one axis, got {weight.shape} and {shape}."
        )
    weight = weight if node.attribute("transB", 0) else weight.T
    bias = node.constant(2)
    if bias is not None:
        n_outputs = weight.shape[0]
        added = node.against(bias, (n_outputs,)) * node.attribute("beta", 1.0)
        bias = np.broadcast_to(added, (n_outputs,))
    return node.emit(ops.Linear(weight=weight, bias=bias), x)


def _matmul(node: OnnxNode) -> Activation:
    places = [place for place in (0, 1) if isinstance(node.given(place), Activation)]
    if len(places) == 2:
        raise NoSpikingForm("it multiplies two activations (attention); use constant weights")
    x, shape = node.sample(places[0])
    weight = node.weights(1 - places[0])
    if weight.ndim > 2:
        if weight.ndim > len(shape) + 1 or any(n != 1 for n in weight.shape[:-2]):
            raise NoSpikingForm("its constant holds several matrices; use one")
        weight = weight.reshape(weight.shape[-2:])
    if weight.ndim != 2:
        raise NoSpikingForm("its constant is a vector; use a matrix of one column")
    if places[0] == 0:
        return node.emit(ops.Linear(weight=weight.T), x)
    if len(shape) < 2:
        raise node.mixed()
    swap = ops.Permute((*range(len(shape) - 2), len(shape) - 1, len(shape) - 2))
    x = node.emit(swap, x, part="swap")
    x = node.emit(ops.Linear(weight=weight), x, part="product")
    return node.emit(swap, x)


def _relu(node: OnnxNode) -> Activation:
    return node.emit(ops.Rectifier(), node.activation())


def _clip(node: OnnxNode) -> Activation:
    low, high = (
        node.attribute(name, 0.0) if name in node.attributes else node.constant(place)
        for place, name in ((1, "min"), (2, "max"))
    )
    bottom = -math.inf if low is None else float(np.ravel(low)[0])
    top = math.inf if high is None else float(np.ravel(high)[0])
    if bottom != 0 or not top > 0:
        raise NoSpikingForm(f"it clips to [{bottom:g}, {top:g}]; clip to 0 and a maximum > 0")
    return node.emit(ops.Rectifier(limit=top), node.activation())


def _leaky_relu(node: OnnxNode) -> Activation:
    return _leaky(node, np.asarray(node.attribute("alpha", 0.01)))


def _prelu(node: OnnxNode) -> Activation:
    _, shape = node.sample()
    slope = node.against(node.weights(1), shape)
    if slope.ndim > 1:
        raise NoSpikingForm("its slope differs along the pixels; use one for each channel")
    return _leaky(node, slope)


def _leaky(node: OnnxNode, slope: NDArray[np.float64]) -> Activation:
    if np.any((slope < 0) | (slope > 1)):
        raise NoSpikingForm(
            f"its slope of {slope.min():g} to {slope.max():g} leaves 0 to 1; train it within"
        )
    return node.emit(ops.Rectifier(slope=slope), node.activation())


def _max(node: OnnxNode) -> Activation:
    computed = [value for value in node.inputs if isinstance(value, Activation)]
    known = [place for place, v in enumerate(node.inputs) if isinstance(v, Known)]
    if len(computed) != 1 or any(np.any(node.weights(place)) for place in known):
        raise NoSpikingForm("only the maximum of an activation and 0 has one: use ReLU")
    return node.emit(ops.Rectifier(), computed[0])


def _softmax(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    node.axis(node.attribute("axis", 1 if node.opset < 13 else -1), len(shape) + 1)
    after = node.emit(ops.Softmax(), x)
    return replace(after, decided=after.node)


def _argmax(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    node.axis(node.attribute("axis", 0), len(shape) + 1)
    after = node.emit(ops.Softmax(), x)
    return Activation(after.node, None, after.node)


def _sum(node: OnnxNode) -> Activation:
    """Read Add, Sub and Sum: activations are added up, constants become a shift."""
    signs = [-1 if node.kind == "Sub" and place else 1 for place in range(len(node.inputs))]
    terms = [(sign, v) for sign, v in zip(signs, node.inputs) if isinstance(v, Activation)]
    shape = _common(node, [x.shape or () for _, x in terms])
    terms = [(sign, _spread(node, x, shape)) for sign, x in terms]
    shifts = [
        sign * node.against(node.weights(place), shape)
        for place, sign in enumerate(signs)
        if isinstance(node.inputs[place], Known)
    ]
    sign, x = terms[0]
    if len(terms) > 1:
        kinds = tuple(sign for sign, _ in terms)
        add = ops.Add(kinds if -1 in kinds else ())
        x = node.emit(add, *(x for _, x in terms), part="sum" if shifts else "")
        sign = 1
    if not shifts:
        return x if len(terms) > 1 else node.emit(ops.Identity(), x)
    n_axes = max(shift.ndim for shift in shifts)
    shift = sum(s.reshape(s.shape + (1,) * (n_axes - s.ndim)) for s in shifts)
    return node.emit(ops.Scale(factor=np.array(float(sign)), shift=np.asarray(shift)), x)


def _product(node: OnnxNode) -> Activation:
    """Read Mul and Div by a constant."""
    places = [place for place in (0, 1) if isinstance(node.given(place), Activation)]
    if len(places) == 2:
        raise NoSpikingForm("it combines two activations (a gate); leave the gate out")
    if node.kind == "Div" and places[0] == 1:
        raise NoSpikingForm("it divides by an activation; normalise before the network")
    x, shape = node.sample(places[0])
    factor = node.against(node.weights(1 - places[0]), shape)
    if node.kind == "Div":
        if not np.all(factor):
            raise ConversionError("it divides by a constant that is 0.")
        factor = 1 / factor
    return node.emit(ops.Scale(factor=factor, shift=np.array(0.0)), x)


def _neg(node: OnnxNode) -> Activation:
    return node.emit(ops.Scale(factor=np.array(-1.0), shift=np.array(0.0)), node.activation())


def _reduce(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    axes = node.integers("axes", 1)
    if not axes:
        if node.attribute("noop_with_empty_axes", 0):
            return node.emit(ops.Identity(), x)
        raise node.mixed()
    places = tuple(node.axis(axis, len(shape) + 1) for axis in axes)
    keep = bool(node.attribute("keepdims", 1))
    if node.kind != "ReduceSum":
        return onnx_images.reduced(node, x, places, keep=keep)
    count = math.prod(shape[axis] for axis in places)
    factor = np.array(float(count))
    x = node.emit(ops.Scale(factor=factor, shift=np.array(0.0)), x, part="scale")
    return onnx_images.reduced(node, x, places, keep=keep)


def _identity(node: OnnxNode) -> Activation:
    return node.emit(ops.Identity(), node.activation())


def _dropout(node: OnnxNode) -> Activation:
    training = node.constant(2)
    if training is not None and np.any(training):
        raise NoSpikingForm("it is in training mode: export the model in evaluation mode")
    return _identity(node)


def _cast(node: OnnxNode) -> Activation:
    to = node.attribute("to", 0)
    if to not in _FLOATS and not node.activation().decided:
        name = ELEMENT_TYPES[to][0] if to in ELEMENT_TYPES else str(to)
        raise NoSpikingForm(f"it rounds to element type {name}; stay with floats")
    return _identity(node)


def _flatten(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    axis = node.attribute("axis", 1)
    n_axes = len(shape) + 1
    if not -n_axes <= axis <= n_axes:
        raise ConversionError(f"axis {axis} of an array of {n_axes} axes.")
    axis = axis + n_axes if axis < 0 else axis
    if axis == 0 or math.prod(shape[: axis - 1]) != 1:
        raise node.mixed()
    return node.emit(ops.Flatten() if shape else ops.Reshape((1,)), x)


def _reshape(node: OnnxNode) -> Activation:
    x, _ = node.sample()
    size = node.lengths(1) if "shape" not in node.attributes else node.integers("shape") or ()
    if size[:1] == (node.batch,):
        size = (1, *size[1:])
    return _reshaped(node, x, size)


def _reshaped(node: OnnxNode, x: Activation, size: Shape) -> Activation:
    """Append a reshape to a size that counts the batch, as of one sample."""
    before = (1, *(x.shape or ()))
    # One sample has as many elements whatever the batch: a mismatch means that samples mix.
    try:
        after = resolved(before, size, node)
    except FileFormatError:
        raise NoSpikingForm(
            f"it takes samples of shape {before[1:]} to {size}, batch included, which moves or "
            "mixes the batch axis"
        ) from None
    if after[:1] != (1,):
        raise node.mixed()
    return node.emit(ops.Reshape(after[1:]), x)


def _squeeze(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    axes = node.integers("axes", 1)
    if axes is None:
        if node.batch == 1:
            raise node.mixed()
        return node.emit(ops.Reshape(tuple(n for n in shape if n != 1)), x)
    places = {node.axis(axis, len(shape) + 1) for axis in axes}
    if any(shape[axis] != 1 for axis in places):
        raise ConversionError(f"Squeeze of axes {axes} that are not 1, of samples of {shape}.")
    return node.emit(ops.Reshape(tuple(n for k, n in enumerate(shape) if k not in places)), x)


def _unsqueeze(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    axes = node.integers("axes", 1) or ()
    n_axes = len(shape) + 1 + len(axes)
    places = {node.axis(axis, n_axes) for axis in axes}
    rest = iter(shape)
    size = tuple(1 if axis in places else next(rest, 1) for axis in range(n_axes - 1))
    return node.emit(ops.Reshape(size), x)


def _transpose(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    axes = node.integers("perm") or tuple(range(len(shape) + 1))[::-1]
    if sorted(axes) != list(range(len(shape) + 1)):
        raise ConversionError(f"perm {axes} of an array of {len(shape) + 1} axes.")
    if axes[0] != 0:
        raise node.mixed()
    return node.emit(ops.Permute(tuple(axis - 1 for axis in axes[1:])), x)


def _slice(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    starts, ends = node.integers("starts", 1), node.integers("ends", 2)
    axes, steps = node.integers("axes", 3), node.integers("steps", 4)
    parts = slices(len(shape) + 1, (starts or (), ends or ()), axes, steps)
    if parts[0] != slice(None):
        first, step = parts[0].start, parts[0].step
        if first != 0 or step != 1 or parts[0].stop < 2**31 - 1:
            raise node.mixed()
    return node.emit(ops.Slice(tuple(parts[1:])), x)


def _split(node: OnnxNode) -> tuple[Activation, ...]:
    x, shape = node.sample()
    axis = node.axis(node.attribute("axis", 0), len(shape) + 1)
    sizes = node.integers("split", 1) or equal_parts(shape[axis], node)
    if sum(sizes) != shape[axis] or min(sizes) < 1 or len(sizes) != node.n_outputs:
        raise ConversionError(f"Split of {shape[axis]} into {sizes} for {node.n_outputs} outputs.")
    results, start = [], 0
    for number, size in enumerate(sizes):
        part = slice(start, start + size)
        whole = (*(slice(None),) * axis, part)
        results.append(node.emit(ops.Slice(whole), x, part=str(number)))
        start += size
    return tuple(results)


def _gather(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    axis = node.axis(node.attribute("axis", 0), len(shape) + 1)
    wanted = node.weights(1)
    if wanted.dtype.kind not in "iu" or np.any((wanted < -shape[axis]) | (wanted >= shape[axis])):
        raise ConversionError(f"Gather of places outside the {shape[axis]} of axis {axis + 1}.")
    places = wanted.astype(np.int64) % shape[axis]
    ahead = (slice(None),) * axis
    if places.ndim == 0:
        return node.emit(ops.Slice((*ahead, int(places))), x)
    step = int(places[1] - places[0]) if places.ndim == 1 and places.size > 1 else 1
    if places.ndim > 1 or step < 1 or np.any(np.diff(places) != step):
        raise NoSpikingForm("it picks places in no even order; use a slice, or permute the weights")
    part = slice(int(places[0]), int(places[-1]) + 1, step)
    return node.emit(ops.Slice((*ahead, part)), x)


def _concat(node: OnnxNode) -> Activation:
    _, shape = node.sample(
        next(k for k, value in enumerate(node.inputs) if isinstance(value, Activation))
    )
    axis = node.axis(node.attribute("axis", 1), len(shape) + 1)
    if not all(isinstance(value, Activation) for value in node.inputs):
        raise NoSpikingForm("it joins an activation to a constant; pad with zeros, or leave it out")
    return node.emit(ops.Concat(axis), *(node.activation(k) for k in range(len(node.inputs))))


def _common(node: OnnxNode, shapes: list[Shape]) -> Shape:
    """Return the shape of samples that are broadcast against each other."""
    try:
        if len({len(shape) for shape in shapes}) == 1:
            return np.broadcast_shapes(*shapes)
    except ValueError:
        pass
    raise ConversionError(f"samples of {', '.join(map(str, shapes))} do not fit each other.")


def _expand(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    size = node.lengths(1)
    if len(size) > len(shape) + 1:
        raise node.mixed()
    wanted = (1,) * (len(shape) + 1 - len(size)) + size
    return node.emit(ops.Identity(), _spread(node, x, _common(node, [shape, wanted[1:]])))


def _tile(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    times = node.integers("repeats", 1) or ()
    if len(times) != len(shape) + 1 or min(times) < 1:
        raise ConversionError(f"Tile of samples of {shape} by {times}, the batch included.")
    if times[0] != 1:
        raise node.mixed()
    return node.emit(ops.Identity(), _repeated(node, x, times[1:]))


def _spread(node: OnnxNode, x: Activation, shape: Shape) -> Activation:
    """Return samples broadcast to a shape."""
    before = x.shape or ()
    return _repeated(node, x, tuple(n // m for n, m in zip(shape, before)))


def _repeated(node: OnnxNode, x: Activation, times: Shape) -> Activation:
    """Return samples laid so many times behind one another along each axis."""
    check_size(tuple(n * m for n, m in zip(x.shape or (), times)))
    for axis, n_times in enumerate(times):
        if n_times > 1:
            if n_times > _MOST_COPIES:
                raise NoSpikingForm(f"it repeats samples {n_times} times; use Resize 'nearest'")
            x = node.emit(ops.Concat(axis), *(x,) * n_times, part=f"repeat{axis}")
    return x


READERS: dict[str, Reader] = {
    **onnx_images.READERS,
    "Add": _sum,
    "ArgMax": _argmax,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Div": _product,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": _identity,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "Max": _max,
    "Mul": _product,
    "Neg": _neg,
    "PRelu": _prelu,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "Relu": _relu,
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _sum,
    "Sum": _sum,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
