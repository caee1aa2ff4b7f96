"""Constants of an ONNX model that are themselves computed, such as shapes, worked out by numpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.importers.onnx_file import ELEMENT_TYPES
from spikeram.conversion.importers.onnx_node import NoSpikingForm, OnnxNode
from spikeram.conversion.importers.onnx_remedies import remedy
from spikeram.errors import FileFormatError

Array: TypeAlias = NDArray[Any]


@dataclass
class Budget:
    """Elements that may still be computed: a small file must not fill the memory."""

    left: int

    def take(self, n_elements: int) -> None:
        """Use up some of them, or refuse."""
        self.left -= max(n_elements, 0)
        if self.left < 0:
            raise FileFormatError("it computes constants far larger than the file: it is refused.")


def fold(node: OnnxNode, arrays: list[Array | None], budget: Budget) -> tuple[Array, ...]:
    """Return the outputs of a node whose inputs are all known.

    Raises
    ------
    NoSpikingForm
        If the operator is not among those that are worked out.
    FileFormatError
        If it asks for too much. What numpy raises of inputs that do not fit passes through.
    """
    compute = _FOLDS.get(node.kind)
    if compute is None:
        advice = "it stands between constants; work them out when the model is exported"
        raise NoSpikingForm(remedy(node.kind, advice))
    while arrays and arrays[-1] is None:
        arrays = arrays[:-1]
    result = compute(_Fold(node, arrays, budget))
    outputs = result if isinstance(result, tuple) else (np.asarray(result),)
    budget.take(sum(output.size for output in outputs))
    return outputs


@dataclass
class _Fold:
    node: OnnxNode
    arrays: list[Array | None]
    budget: Budget

    def __getitem__(self, place: int) -> Array:
        value = self.arrays[place]
        if value is None:
            raise IndexError(f"input {place} is left out")
        return value

    def integers(self, name: str, place: int) -> tuple[int, ...] | None:
        """Return integers of an attribute, or of an input; None if neither is there."""
        if name in self.node.attributes:
            return tuple(self.node.attributes[name])
        if place < len(self.arrays) and self.arrays[place] is not None:
            return tuple(int(n) for n in self[place].ravel())
        return None

    def axis(self, default: int = 0) -> int:
        """Return the attribute ``axis``."""
        return self.node.attribute("axis", default)


def _constant(call: _Fold) -> Array:
    found = call.node.attributes
    for name, dtype in (
        ("value", None),
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if found.get(name) is not None:
            return np.asarray(found[name], dtype)
    raise NoSpikingForm("it holds no numbers")


def _constant_of_shape(call: _Fold) -> Array:
    shape = tuple(int(n) for n in call[0].ravel())
    call.budget.take(math.prod(shape))
    value = call.node.attributes.get("value")
    filling = np.zeros(1, np.float32) if value is None else np.asarray(value)
    return np.full(shape, filling.ravel()[0], filling.dtype)


def _elementwise(function: Callable[..., Any]) -> Callable[[_Fold], Array]:
    def compute(call: _Fold) -> Array:
        arrays = [call[n] for n in range(len(call.arrays))]
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        call.budget.take(math.prod(shape) * len(arrays))
        kept = arrays[0 if arrays[0].dtype != np.bool_ else -1].dtype
        result = np.asarray(function(*arrays))
        # ONNX computes in the type of its inputs; only comparisons return another.
        return result if result.dtype == np.bool_ else result.astype(kept, copy=False)

    return compute


def _concat(call: _Fold) -> Array:
    arrays = [call[n] for n in range(len(call.arrays))]
    call.budget.take(sum(array.size for array in arrays))
    return np.concatenate(arrays, axis=call.axis())


def _divide(x: Array, y: Array) -> Array:
    if x.dtype.kind not in "iu":
        return np.asarray(x / y)
    if not np.all(y):
        raise ZeroDivisionError("an integer is divided by 0")
    return np.asarray(np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y)))


def _modulo(call: _Fold) -> Array:
    function = np.fmod if call.node.attribute("fmod", 0) else np.mod
    return _elementwise(function)(call)


def _cast(call: _Fold) -> Array:
    to = call.node.attribute("to", 0)
    if to not in ELEMENT_TYPES:
        raise NoSpikingForm(f"it casts to element type {to}; use float32")
    dtype = {9: "?", 16: "<f4"}.get(to, ELEMENT_TYPES[to][0])
    return call[0].astype(dtype)


def _expand(call: _Fold) -> Array:
    shape = np.broadcast_shapes(call[0].shape, tuple(int(n) for n in call[1].ravel()))
    call.budget.take(math.prod(shape))
    return np.broadcast_to(call[0], shape)


def _gather(call: _Fold) -> Array:
    x, places, axis = call[0], call[1], call.axis()
    call.budget.take(places.size * (x.size // max(x.shape[axis], 1)))
    return np.asarray(np.take(x, places, axis=axis))


def _matmul(call: _Fold) -> Array:
    x, y = call[0], call[1]
    if x.ndim > 2 or y.ndim > 2:
        raise NoSpikingForm("it multiplies constants of more than two axes; multiply them before")
    call.budget.take(x.size * y.shape[-1] if y.ndim == 2 else x.size)
    return np.asarray(x @ y)


def _range(call: _Fold) -> Array:
    start, stop, step = (call[n].ravel()[0] for n in range(3))
    call.budget.take(max(math.ceil((float(stop) - float(start)) / float(step)), 0))
    return np.arange(start, stop, step, dtype=call[0].dtype)


def _reduce(function: Callable[..., Any]) -> Callable[[_Fold], Array]:
    def compute(call: _Fold) -> Array:
        axes = call.integers("axes", 1)
        if not axes and call.node.attribute("noop_with_empty_axes", 0):
            return call[0]
        keep = bool(call.node.attribute("keepdims", 1))
        return np.asarray(function(call[0], axis=axes or None, keepdims=keep)).astype(call[0].dtype)

    return compute


def _reshape(call: _Fold) -> Array:
    return call[0].reshape(resolved(call[0].shape, tuple(map(int, call[1].ravel())), call.node))


def resolved(before: tuple[int, ...], size: tuple[int, ...], node: OnnxNode) -> tuple[int, ...]:
    """Return a shape that Reshape asks for, with its zeros replaced by the lengths they stand for.

    Raises
    ------
    FileFormatError
        If it does not hold as many elements.
    """
    if not node.attribute("allowzero", 0):
        if any(not n and place >= len(before) for place, n in enumerate(size)):
            raise FileFormatError(f"it reshapes {before} to {size}.")
        size = tuple(n or before[place] for place, n in enumerate(size))
    free = size.count(-1)
    count, rest = math.prod(before), math.prod(n for n in size if n != -1)
    if free == 1 and rest > 0 and count % rest == 0:
        return tuple(count // rest if n == -1 else n for n in size)
    if free or any(n < 0 for n in size) or count != rest:
        raise FileFormatError(f"it reshapes {before} to {size}.")
    return size


def slices(
    n_axes: int,
    bounds: tuple[tuple[int, ...], tuple[int, ...]],
    axes: tuple[int, ...] | None,
    steps: tuple[int, ...] | None,
) -> list[slice]:
    """Return what ONNX's Slice takes along each axis."""
    starts, ends = bounds
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise FileFormatError("its starts, ends, axes and steps do not fit each other.")
    if any(not -n_axes <= axis < n_axes for axis in axes):
        raise FileFormatError(f"it cuts axes {axes} of an array of {n_axes} axes.")
    parts = [slice(None)] * n_axes
    for start, end, axis, step in zip(starts, ends, axes, steps):
        parts[axis % n_axes] = slice(start, end, step)
    return parts


def _slice(call: _Fold) -> Array:
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    axes, steps = call.integers("axes", 3), call.integers("steps", 4)
    return call[0][tuple(slices(call[0].ndim, (starts or (), ends or ()), axes, steps))]


def _split(call: _Fold) -> tuple[Array, ...]:
    axis = call.axis()
    sizes = call.integers("split", 1)
    if sizes is None:
        sizes = equal_parts(call[0].shape[axis], call.node)
    if sum(sizes) != call[0].shape[axis]:
        raise FileFormatError(f"it splits {call[0].shape[axis]} into {sizes}.")
    return tuple(np.split(call[0], np.cumsum(sizes[:-1]), axis=axis))


def equal_parts(length: int, node: OnnxNode) -> tuple[int, ...]:
    """Return the sizes into which Split divides an axis where none are given."""
    n_parts = node.attribute("num_outputs", node.n_outputs)
    if not 0 < n_parts <= length:
        raise FileFormatError(f"it splits {length} into {n_parts} parts.")
    size = -(-length // n_parts)
    sizes = (*(size,) * (n_parts - 1), length - size * (n_parts - 1))
    if sizes[-1] < 1:
        raise FileFormatError(f"it splits {length} into {n_parts} parts.")
    return sizes


def _squeeze(call: _Fold) -> Array:
    axes = call.integers("axes", 1)
    return np.squeeze(call[0], axis=axes)


def _tile(call: _Fold) -> Array:
    times = tuple(int(n) for n in call[1].ravel())
    # A zero makes nothing of a huge number, but only at the end.
    call.budget.take(call[0].size * math.prod(max(n, 1) for n in times))
    return np.tile(call[0], times)


def _transpose(call: _Fold) -> Array:
    axes = call.node.integers("perm")
    return call[0].transpose(axes if axes else None)


_FOLDS: dict[str, Callable[[_Fold], Array | tuple[Array, ...]]] = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "Cast": _cast,
    "Ceil": _elementwise(np.ceil),
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(_divide),
    "Equal": _elementwise(np.equal),
    "Exp": _elementwise(np.exp),
    "Expand": _expand,
    "Flatten": lambda call: call[0].reshape(math.prod(call[0].shape[: call.axis(1)]), -1),
    "Floor": _elementwise(np.floor),
    "Gather": _gather,
    "Greater": _elementwise(np.greater),
    "Identity": lambda call: call[0],
    "Less": _elementwise(np.less),
    "MatMul": _matmul,
    "Max": _elementwise(lambda *x: np.maximum.reduce(np.broadcast_arrays(*x))),
    "Min": _elementwise(lambda *x: np.minimum.reduce(np.broadcast_arrays(*x))),
    "Mod": _modulo,
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Not": _elementwise(np.logical_not),
    "Pow": _elementwise(lambda x, y: np.power(x, y)),
    "Range": _range,
    "Reciprocal": _elementwise(np.reciprocal),
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _reduce(np.mean),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _reshape,
    "Shape": lambda call: shape_of(call[0].shape, call.node),
    "Size": lambda call: np.asarray(call[0].size, np.int64),
    "Slice": _slice,
    "Split": _split,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Sum": _elementwise(lambda *x: sum(np.broadcast_arrays(*x))),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": lambda call: np.expand_dims(call[0], call.integers("axes", 1) or ()),
    "Where": _elementwise(np.where),
}


def shape_of(shape: tuple[int, ...], node: OnnxNode) -> Array:
    """Return what Shape returns of an array."""
    parts = slice(node.attribute("start", 0), node.attribute("end", len(shape)))
    return np.asarray(shape[parts], np.int64)
