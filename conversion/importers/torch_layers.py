"""PyTorch's functions with weights, activations, pools and endings, as operations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spikeram.conversion import ops
from spikeram.conversion.importers.torch_call import Call, Outcome, Reader, array, numbers
from spikeram.conversion.ops.pooling import Kind
from spikeram.errors import ConversionError


def _bias(tensor: Tensor | None) -> NDArray[np.float64] | None:
    return None if tensor is None else array(tensor)


def _fixed(call: Call, *tensors: Tensor | None) -> ops.Unsupported | None:
    if any(tensor is not None and tensor.is_meta for tensor in tensors):
        return call.unsupported("with weights that depend on the input", "keep its weights fixed")
    return None


def _linear(call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Outcome:
    return _fixed(call, weight, bias) or ops.Linear(weight=array(weight), bias=_bias(bias))


def _matmul(call: Call, input: Tensor, other: Tensor) -> Outcome:
    if other.is_meta or other.ndim != 2 or input.ndim < 2:
        return call.unsupported("of two activations", "multiply by a fixed matrix, as Linear does")
    return ops.Linear(weight=array(other).T)


def _conv(
    call: Call,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Outcome:
    n_axes = weight.ndim - 2
    if isinstance(padding, str):
        reach = [d * (k - 1) for d, k in zip(numbers(dilation, n_axes), weight.shape[2:])]
        # PyTorch puts the odd zero of "same" after the image.
        sides = [(r // 2, r - r // 2) if padding == "same" else (0, 0) for r in reach]
    else:
        sides = [(p, p) for p in numbers(padding, n_axes)]
    return _fixed(call, weight, bias) or ops.Conv(
        weight=array(weight),
        bias=_bias(bias),
        stride=stride,
        padding=sides,
        dilation=dilation,
        groups=groups,
    )


def _conv_transpose(
    call: Call,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Outcome:
    return _fixed(call, weight, bias) or ops.ConvTranspose(
        weight=array(weight),
        bias=_bias(bias),
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
    )


def _batch_norm(
    call: Call,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = None,
    eps: float = 1e-5,
) -> Outcome:
    if running_mean is None or running_var is None:
        raise ConversionError(
            f"{call.kind} keeps no running statistics: train it with track_running_stats=True."
        )
    if training:
        raise ConversionError(f"{call.kind} is in training mode: call model.eval() first.")
    return _fixed(call, running_mean, running_var, weight, bias) or ops.batch_norm(
        array(running_mean),
        array(running_var),
        weight=1.0 if weight is None else array(weight),
        bias=0.0 if bias is None else array(bias),
        epsilon=eps,
    )


def _relu(call: Call, input: Tensor, inplace: bool = False) -> Outcome:
    return ops.Rectifier()


def _relu6(call: Call, input: Tensor, inplace: bool = False) -> Outcome:
    return ops.Rectifier(limit=6.0)


def _clamp(call: Call, input: Tensor, min: Any = None, max: Any = None) -> Outcome:
    limits = [array(v) if isinstance(v, Tensor) and not v.is_meta else v for v in (min, max)]
    low, high = (np.inf if v is None else v for v in limits)
    if not (np.ndim(low) == np.ndim(high) == 0 and low == 0 and high > 0):
        return call.unsupported(f"from {limits[0]} to {limits[1]}", "let it begin at 0")
    return ops.Rectifier(limit=float(high))


def _hardtanh(
    call: Call, input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Outcome:
    return _clamp(call, input, min_val, max_val)


def _leaky_relu(
    call: Call, input: Tensor, negative_slope: float = 0.01, inplace: bool = False
) -> Outcome:
    return ops.Rectifier(slope=np.asarray(negative_slope, np.float64))


def _prelu(call: Call, input: Tensor, weight: Tensor) -> Outcome:
    return _fixed(call, weight) or ops.Rectifier(slope=array(weight))


def _dropout(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Outcome:
    return ops.Identity()


def _reduce(
    kind: Kind,
    call: Call,
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    axis: int | Sequence[int] | None = None,
) -> Outcome:
    asked = dim if axis is None else axis
    every = range(input.ndim) if asked is None else numbers(asked, 1)
    over = {n % input.ndim for n in every}
    if input.ndim not in (3, 4) or not over or min(over) < 2:
        return call.unsupported(
            f"over axes {sorted(over)} of {input.ndim}", "take it over axes of space alone"
        )
    size = tuple(1 if n in over else None for n in range(2, input.ndim))
    pool = ops.AdaptivePool(kind=kind, size=size)
    return pool if keepdim else (pool, ops.Reshape(tuple(call.result.shape[1:])))


def _avg_pool(
    n_axes: int,
    call: Call,
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Outcome:
    if divisor_override is not None:
        raise ConversionError(f"{call.kind} with divisor_override cannot be read: leave it out.")
    return ops.Pool(
        kind="mean",
        kernel=numbers(kernel_size, n_axes),
        stride=numbers(stride, n_axes) if stride else None,
        padding=numbers(padding, n_axes),
        ceil=ceil_mode,
        count_padding=count_include_pad,
    )


def _max_pool(
    n_axes: int,
    call: Call,
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Outcome:
    return ops.Pool(
        kind="max",
        kernel=numbers(kernel_size, n_axes),
        stride=numbers(stride, n_axes) if stride else None,
        padding=numbers(padding, n_axes),
        dilation=numbers(dilation, n_axes),
        ceil=ceil_mode,
    )


def _adaptive_pool(
    n_axes: int,
    kind: Kind,
    call: Call,
    input: Tensor,
    output_size: Any,
    return_indices: bool = False,
) -> Outcome:
    return ops.AdaptivePool(kind=kind, size=numbers(output_size, n_axes))


def _with_indices(call: Call, *args: Any, **kwargs: Any) -> Outcome:
    raise ConversionError(
        f"{call.kind} with return_indices cannot be read: spikes carry no places of maxima."
    )


def _softmax(call: Call, input: Tensor, dim: int | None = None, *args: Any, **kw: Any) -> Outcome:
    if dim is not None and dim % input.ndim == 0:
        return call.unsupported("over the batch", "take it over classes, dim=1")
    return ops.Softmax()


def _argmax(call: Call, input: Tensor, dim: int | None = None, keepdim: bool = False) -> Outcome:
    if dim is None:
        return call.unsupported("over the batch", "take it over classes, dim=1")
    return _softmax(call, input, dim)


READERS: dict[str, Reader] = {
    "linear": _linear,
    "matmul": _matmul,
    "conv1d": _conv,
    "conv2d": _conv,
    "conv_transpose1d": _conv_transpose,
    "conv_transpose2d": _conv_transpose,
    "batch_norm": _batch_norm,
    "relu": _relu,
    "relu6": _relu6,
    **dict.fromkeys(("clamp", "clip", "clamp_min"), _clamp),
    "hardtanh": _hardtanh,
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    **dict.fromkeys(
        "dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout "
        "feature_alpha_dropout stochastic_depth".split(),
        _dropout,
    ),
    "mean": partial(_reduce, "mean"),
    "amax": partial(_reduce, "max"),
    **{f"avg_pool{n}d": partial(_avg_pool, n) for n in (1, 2)},
    **{f"max_pool{n}d": partial(_max_pool, n) for n in (1, 2)},
    **{f"adaptive_avg_pool{n}d": partial(_adaptive_pool, n, "mean") for n in (1, 2)},
    **{f"adaptive_max_pool{n}d": partial(_adaptive_pool, n, "max") for n in (1, 2)},
    **{
        f"{kind}max_pool{n}d_with_indices": _with_indices
        for kind in ("", "adaptive_")
        for n in (1, 2)
    },
    **dict.fromkeys(("softmax", "log_softmax"), _softmax),
    "argmax": _argmax,
}
