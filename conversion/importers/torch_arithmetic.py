"""PyTorch's sums, differences, products and quotients, as operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeram.conversion import ops
from spikeram.conversion.importers.torch_call import (
    Call,
    Outcome,
    Reader,
    array,
    is_activation,
    sample,
)
from spikeram.errors import ConversionError


def _constant(value: Any, like: Tensor) -> NDArray[np.float64] | None:
    """Return a constant as it broadcasts against one sample; None where it does not."""
    values = array(value) if isinstance(value, Tensor) else np.asarray(value, np.float64)
    if values.size == 1 and values.ndim <= like.ndim:
        return values.reshape(())
    if values.ndim == like.ndim:
        if np.any(values != values[:1]):
            return None
        values = values[0]
    shape = sample(like)
    values = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    fits = values.ndim == len(shape) and all(n in (1, m) for n, m in zip(values.shape, shape))
    return values if fits else None


def _scale(call: Call, like: Tensor, factor: Any, shift: Any) -> Outcome:
    factors, shifts = _constant(factor, like), _constant(shift, like)
    if factors is None or shifts is None:
        return call.unsupported(
            "by a constant that differs between samples or is larger than the activation",
            "use one value, or one for each channel or element",
        )
    if np.all(factors == 1) and np.all(shifts == 0):
        return None
    return ops.Scale(factor=factors, shift=shifts)


def _sum(call: Call, one: Any, other: Any, signs: tuple[float, float]) -> Outcome:
    if not is_activation(other):
        return _scale(call, one, signs[0], signs[1] * other)
    if not is_activation(one):
        return _scale(call, other, signs[1], signs[0] * one)
    if one.shape != other.shape:
        return call.unsupported(
            f"of shapes {sample(one)} and {sample(other)}", "give both terms one shape"
        )
    if any(abs(sign) != 1 for sign in signs):
        return call.unsupported("with alpha", "scale the layer before it")
    return ops.Add(() if signs == (1, 1) else (int(signs[0]), int(signs[1])))


def _add(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Outcome:
    return _sum(call, input, other, (1, alpha))


def _sub(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Outcome:
    return _sum(call, input, other, (1, -alpha))


def _rsub(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Outcome:
    return _sum(call, input, other, (-alpha, 1))


def _mul(call: Call, input: Any, other: Any) -> Outcome:
    if is_activation(input) and is_activation(other):
        return call.unsupported("of two activations", "multiply by constants alone, or add")
    if is_activation(input):
        return _scale(call, input, other, 0.0)
    return _scale(call, other, input, 0.0)


def _div(call: Call, input: Any, other: Any) -> Outcome:
    if is_activation(other):
        return call.unsupported("by an activation", "divide by constants alone")
    if not (torch.as_tensor(other) != 0).all():
        raise ConversionError(f"{call.kind} divides by zero.")
    return _scale(call, input, 1.0 / other, 0.0)


def _neg(call: Call, input: Tensor) -> Outcome:
    return _scale(call, input, -1.0, 0.0)


READERS: dict[str, Reader] = {
    "add": _add,
    **dict.fromkeys(("sub", "subtract"), _sub),
    "rsub": _rsub,
    **dict.fromkeys(("mul", "multiply"), _mul),
    **dict.fromkeys(("div", "divide", "true_divide"), _div),
    **dict.fromkeys(("neg", "negative"), _neg),
}
