"""Readers of ONNX's operators on images: convolutions, pools, padding, resizing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion import ops
from spikeram.conversion.graph import Shape
from spikeram.conversion.importers.onnx_node import (
    MAX_ELEMENTS,
    Activation,
    NoSpikingForm,
    OnnxNode,
    check_size,
)
from spikeram.conversion.ops.convolution import check_image
from spikeram.errors import ConversionError, FileFormatError


@dataclass(frozen=True)
class _Window:
    """How a kernel moves over an image."""

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]


def _conv(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    weight = _kernel(node, shape)
    groups = node.attribute("group", 1)
    check_image(shape, weight.shape[1] * groups, weight.ndim - 2, "Conv")
    window = _window(node, weight.shape[2:], shape)
    return node.emit(
        ops.Conv(
            weight=weight,
            bias=node.constant(2),
            stride=window.stride,
            padding=window.padding,
            dilation=window.dilation,
            groups=groups,
        ),
        x,
    )


def _conv_transpose(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    weight = _kernel(node, shape)
    check_image(shape, weight.shape[0], weight.ndim - 2, "ConvTranspose")
    kernel = weight.shape[2:]
    stride, dilation = _steps(node, "strides", kernel), _steps(node, "dilations", kernel)
    extra = node.integers("output_padding") or (0,) * len(kernel)
    _check_lengths("output_padding", extra, len(kernel), 0)
    automatic = node.attribute("auto_pad", "NOTSET")
    asked = node.integers("output_shape")
    if asked is None and automatic.startswith("SAME"):
        asked = tuple(length * step for length, step in zip(shape[1:], stride))
    if asked is None:
        padding = _explicit_padding(node, automatic, len(kernel))
    else:
        whole = [
            step * (length - 1) + more + spread * (size - 1) + 1
            for length, step, more, spread, size in zip(shape[1:], stride, extra, dilation, kernel)
        ]
        asked = asked[-len(kernel) :]
        _check_lengths("output_shape", asked, len(kernel), 1)
        cut = [length - wanted for length, wanted in zip(whole, asked)]
        if min(cut) < 0:
            raise NoSpikingForm(
                f"it asks for an output of {asked}, larger than the {tuple(whole)} that its kernel "
                "reaches; use output_padding"
            )
        padding = _halves(cut, upper=automatic == "SAME_UPPER")
    return node.emit(
        ops.ConvTranspose(
            weight=weight,
            bias=node.constant(2),
            stride=stride,
            padding=padding,
            output_padding=extra,
            dilation=dilation,
            groups=node.attribute("group", 1),
        ),
        x,
    )


def _kernel(node: OnnxNode, shape: Shape) -> NDArray[Any]:
    weight = node.weights(1)
    if weight.ndim > 4:
        raise NoSpikingForm("convolutions go along one or two axes; fold the third into channels")
    if weight.ndim < 3:
        raise FileFormatError(f"its weights have the shape {weight.shape}, without a kernel.")
    said = node.integers("kernel_shape")
    if said is not None and said != weight.shape[2:]:
        raise FileFormatError(f"kernel_shape is {said}, but the weights have {weight.shape[2:]}.")
    return weight


def _pool(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    kernel = node.integers("kernel_shape")
    if kernel is None:
        raise FileFormatError("it has no kernel_shape: the file is damaged.")
    if len(shape) not in (2, 3):
        raise NoSpikingForm(f"pools go along one or two axes of space, not those of {shape}")
    _check_lengths("kernel_shape", kernel, len(shape) - 1, 1)
    window = _window(node, kernel, shape)
    pixels = [n + sum(sides) for n, sides in zip(shape[1:], window.padding)]
    if max(pixels) * max(kernel) > MAX_ELEMENTS:
        raise ConversionError(f"windows of {kernel} on {tuple(pixels)} pixels are too large.")
    pool = ops.Pool(
        kind="max" if node.kind == "MaxPool" else "mean",
        kernel=kernel,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        ceil=bool(node.attribute("ceil_mode", 0)),
        count_padding=bool(node.attribute("count_include_pad", 0)),
    )
    if any((axis < 0).all(axis=1).any() for axis in pool.windows(shape)[0]):
        raise ConversionError("a window lies outside the image: the padding exceeds the kernel.")
    return node.emit(pool, x)


def _window(node: OnnxNode, kernel: tuple[int, ...], shape: Shape) -> _Window:
    stride, dilation = _steps(node, "strides", kernel), _steps(node, "dilations", kernel)
    automatic = node.attribute("auto_pad", "NOTSET")
    if not automatic.startswith("SAME"):
        return _Window(stride, dilation, _explicit_padding(node, automatic, len(kernel)))
    missing = [
        max((-(-length // step) - 1) * step + spread * (size - 1) + 1 - length, 0)
        for length, step, spread, size in zip(shape[1:], stride, dilation, kernel)
    ]
    return _Window(stride, dilation, _halves(missing, upper=automatic == "SAME_UPPER"))


def _steps(node: OnnxNode, name: str, kernel: tuple[int, ...]) -> tuple[int, ...]:
    steps = node.integers(name) or (1,) * len(kernel)
    _check_lengths(name, steps, len(kernel), 1)
    return steps


def _explicit_padding(node: OnnxNode, automatic: str, n_axes: int) -> tuple[tuple[int, int], ...]:
    if automatic not in ("NOTSET", "VALID", ""):
        raise FileFormatError(f"it has the unknown auto_pad {automatic!r}.")
    pads = node.integers("pads") or (0,) * (2 * n_axes)
    if automatic == "VALID":
        pads = (0,) * (2 * n_axes)
    _check_lengths("pads", pads, 2 * n_axes, 0)
    return tuple(zip(pads[:n_axes], pads[n_axes:]))


def _halves(totals: list[int], *, upper: bool) -> tuple[tuple[int, int], ...]:
    """Return what goes before and after; the odd one goes after if upper, else before."""
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small)]
    return tuple(zip(small, large) if upper else zip(large, small))


def _check_lengths(name: str, values: tuple[int, ...], n_values: int, least: int) -> None:
    if len(values) != n_values or min(values) < least or max(values) > MAX_ELEMENTS:
        raise FileFormatError(
            f"{name} expects {n_values} integers from {least} to {MAX_ELEMENTS}, got {values}."
        )


def _global_pool(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    if len(shape) < 2:
        raise ConversionError(f"expects samples of shape (channel, space...), got {shape}.")
    return reduced(node, x, tuple(range(1, len(shape))), keep=True)


def reduced(node: OnnxNode, x: Activation, axes: tuple[int, ...], *, keep: bool) -> Activation:
    """Append the mean or largest value of a sample along axes."""
    kind: Any = "max" if node.kind in ("GlobalMaxPool", "ReduceMax") else "mean"
    shape = x.shape or ()
    rest = [axis for axis in range(len(shape)) if axis not in axes]
    left = tuple(shape[axis] for axis in rest)
    after = tuple(1 if axis in axes else n for axis, n in enumerate(shape)) if keep else left
    image = 0 not in axes and len(shape) in (2, 3)
    if image:
        size = tuple(1 if axis in axes else None for axis in range(1, len(shape)))
        pool = ops.AdaptivePool(kind=kind, size=size)
        if keep:
            return node.emit(pool, x)
        x = node.emit(pool, x, part="pool")
    else:
        if len(shape) > 1:
            x = node.emit(ops.Permute((*rest, *sorted(axes))), x, part="permute")
        n_pixels = math.prod(shape[axis] for axis in axes)
        x = node.emit(ops.Reshape((math.prod(left), n_pixels)), x, part="rows")
        x = node.emit(ops.AdaptivePool(kind=kind, size=1), x, part="pool")
    return node.emit(ops.Reshape(after), x)


def _batch_norm(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    if node.attribute("training_mode", 0):
        raise NoSpikingForm("it is in training mode: export the model in evaluation mode")
    if not node.attribute("spatial", 1):
        raise NoSpikingForm("it normalises every pixel on its own (spatial=0); use spatial=1")
    weight, bias, mean, variance = (node.weights(place) for place in range(1, 5))
    sizes = {values.shape for values in (weight, bias, mean, variance)}
    if sizes != {shape[:1]}:
        raise ConversionError(
            f"BatchNormalization expects {shape[:1]} of each parameter, got {sorted(sizes)}."
        )
    epsilon = node.attribute("epsilon", 1e-5)
    return node.emit(ops.batch_norm(mean, variance, weight=weight, bias=bias, epsilon=epsilon), x)


def _pad(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    mode = node.attribute("mode", "constant")
    if mode != "constant":
        raise NoSpikingForm(f"it pads by {mode!r}; pad with zeros")
    value = node.constant(2) if "value" not in node.attributes else node.attribute("value", 0.0)
    if value is not None and np.any(np.asarray(value)):
        raise NoSpikingForm(f"it pads with {float(np.ravel(value)[0]):g}; pad with zeros")
    n_axes = len(shape) + 1
    pads = node.integers("pads", 1)
    axes = node.integers("axes", 3) or tuple(range(n_axes))
    if pads is None or len(pads) != 2 * len(axes):
        raise FileFormatError(f"pads expects {2 * len(axes)} integers, got {pads}.")
    widths = [(0, 0)] * len(shape)
    for axis, pair in zip(axes, zip(pads[: len(axes)], pads[len(axes) :])):
        if pair != (0, 0):
            widths[node.axis(axis, n_axes)] = pair
    check_size(tuple(max(n + sum(pair), 0) for n, pair in zip(shape, widths)))
    if max((max(pair) for pair in widths), default=0) > MAX_ELEMENTS:
        raise ConversionError(f"pads of {pads} are too large.")
    return node.emit(ops.Pad(tuple(widths)), x)


def _resize(node: OnnxNode) -> Activation:
    x, shape = node.sample()
    mode = node.attribute("mode", "nearest")
    if mode != "nearest":
        raise NoSpikingForm(f"it interpolates by {mode!r}; use mode 'nearest', or ConvTranspose")
    before = (1, *shape)
    after, scales = _resized(node, before)
    if after[0] != 1:
        raise node.mixed()
    check_size(after[1:])
    for length, wanted, scale in zip(before, after, scales):
        if wanted % length or not np.array_equal(
            _nearest(node, length, wanted, scale), np.repeat(np.arange(length), wanted // length)
        ):
            raise NoSpikingForm(
                f"it takes samples of shape {shape} to {after[1:]} by other steps than repeating "
                "every pixel; use whole factors and coordinate_transformation_mode 'asymmetric' "
                "with nearest_mode 'floor'"
            )
    if after[1:2] != shape[:1]:
        raise NoSpikingForm("it repeats channels; repeat pixels only")
    return node.emit(ops.Upsample(tuple(n // m for n, m in zip(after[2:], shape[1:]))), x)


def _resized(node: OnnxNode, before: Shape) -> tuple[Shape, list[float]]:
    """Return the shape that Resize or Upsample asks for, and the scale along each axis."""
    late = node.kind == "Resize" and node.opset >= 11
    axes = tuple(axis % len(before) for axis in node.integers("axes") or range(len(before)))
    after, scales = list(before), [1.0] * len(before)
    if late and node.given(3) is not None:
        if node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise NoSpikingForm("it keeps the aspect ratio; use policy 'stretch'")
        sizes = node.lengths(3)
        _check_lengths("sizes", sizes, len(axes), 1)
        for axis, size in zip(axes, sizes):
            after[axis] = 1 if axis == 0 and size == node.batch else size
            scales[axis] = after[axis] / before[axis]
        return tuple(after), scales
    found: Any = node.attributes.get("scales")
    if found is None:
        found = node.weights(2 if late else 1)
    given = np.asarray(found, np.float64).ravel()
    if given.size != len(axes) or not np.all((given > 0) & (given <= MAX_ELEMENTS)):
        raise FileFormatError(f"scales expects {len(axes)} numbers > 0, got {given.tolist()[:8]}.")
    for axis, scale in zip(axes, given):
        after[axis], scales[axis] = math.floor(before[axis] * scale), float(scale)
    return tuple(after), scales


def _nearest(node: OnnxNode, length: int, wanted: int, scale: float) -> NDArray[np.int64]:
    """Return the pixel that each pixel of the result is taken from."""
    late = node.kind == "Resize" and node.opset >= 11
    place = node.attribute("coordinate_transformation_mode", "half_pixel" if late else "asymmetric")
    nearest = node.attribute("nearest_mode", "round_prefer_floor" if late else "floor")
    at = np.arange(wanted, dtype=np.float64)
    if place == "asymmetric":
        at = at / scale
    elif place == "align_corners":
        at = at * (length - 1) / max(wanted - 1, 1)
    elif place == "tf_half_pixel_for_nn":
        at = (at + 0.5) / scale
    elif place in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"):
        at = (at + 0.5) / scale - 0.5 if wanted > 1 or place != "pytorch_half_pixel" else at * 0
    else:
        raise NoSpikingForm(f"it takes pixels by {place!r}; use 'asymmetric'")
    rounding: dict[str, Callable[[Any], Any]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    }
    if nearest not in rounding:
        raise FileFormatError(f"it has the unknown nearest_mode {nearest!r}.")
    return np.asarray(np.clip(rounding[nearest](at), 0, length - 1), np.int64)


def _depth_to_space(node: OnnxNode) -> Activation:
    """Read a subpixel layer: channels become the pixels of a block."""
    x, block, (channels, height, width) = _block(node)
    if channels % block**2:
        raise FileFormatError(f"it has {channels} channels, not a multiple of {block}**2.")
    rest = channels // block**2
    mode = node.attribute("mode", "DCR")
    if mode == "DCR":
        parts, axes = (block, block, rest), (2, 3, 0, 4, 1)
    elif mode == "CRD":
        parts, axes = (rest, block, block), (0, 3, 1, 4, 2)
    else:
        raise FileFormatError(f"it has the unknown mode {mode!r}.")
    x = node.emit(ops.Reshape((*parts, height, width)), x, part="blocks")
    x = node.emit(ops.Permute(axes), x, part="permute")
    return node.emit(ops.Reshape((rest, height * block, width * block)), x)


def _space_to_depth(node: OnnxNode) -> Activation:
    """Read the reverse: the pixels of a block become channels."""
    x, block, (channels, height, width) = _block(node)
    if height % block or width % block:
        raise FileFormatError(f"its {height} x {width} pixels are no whole blocks of {block}.")
    rows, columns = height // block, width // block
    x = node.emit(ops.Reshape((channels, rows, block, columns, block)), x, part="blocks")
    x = node.emit(ops.Permute((2, 4, 0, 1, 3)), x, part="permute")
    return node.emit(ops.Reshape((channels * block**2, rows, columns)), x)


def _block(node: OnnxNode) -> tuple[Activation, int, tuple[int, int, int]]:
    x, shape = node.sample()
    block = node.attribute("blocksize", 0)
    _check_lengths("blocksize", (block,), 1, 1)
    if len(shape) != 3:
        raise ConversionError(f"expects samples of shape (channel, y, x), got {shape}.")
    channels, height, width = shape
    return x, block, (channels, height, width)


READERS: dict[str, Callable[[OnnxNode], Activation]] = {
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "MaxPool": _pool,
    "Pad": _pad,
    "Resize": _resize,
    "SpaceToDepth": _space_to_depth,
    "Upsample": _resize,
}
