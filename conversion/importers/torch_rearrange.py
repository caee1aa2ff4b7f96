"""PyTorch's functions that move elements and compute nothing, as operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeram.conversion import ops
from spikeram.conversion.importers.torch_call import BATCH, Call, Outcome, Reader, sample

MOVES = frozenset("to type type_as float double half bfloat16 cpu cuda".split())
"""Functions that leave values as they are, on another device or in another type."""


def _move(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Outcome:
    types = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.dtype)]
    if any(not t.is_floating_point for t in types):
        return call.unsupported(f"to {types[0]}", "keep activations real")
    return None


def _same(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Outcome:
    return None


def _reshape(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Outcome:
    after = call.result.shape
    if not after or after[0] != BATCH or not call.result.is_floating_point():
        return call.unsupported(
            "that takes the batch apart", "keep samples along the first axis, as flatten(1) does"
        )
    if after == input.shape:
        return None
    return ops.Flatten() if len(after) == 2 and input.ndim > 2 else ops.Reshape(tuple(after[1:]))


def _permute(call: Call, input: Tensor, *dims: Any, **kwargs: Any) -> Outcome:
    given = kwargs.get("dims", dims[0] if dims and not isinstance(dims[0], int) else dims)
    axes = [axis % input.ndim for axis in given]
    return _moved_axes(call, axes)


def _transpose(call: Call, input: Tensor, dim0: int, dim1: int) -> Outcome:
    axes = list(range(input.ndim))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return _moved_axes(call, axes)


def _moved_axes(call: Call, axes: Sequence[int]) -> Outcome:
    if axes[0] != 0:
        return call.unsupported("of the batch axis", "keep samples along the first axis")
    return ops.Permute(tuple(axis - 1 for axis in axes[1:]))


def _getitem(call: Call, input: Tensor, index: Any) -> Outcome:
    parts = list(index) if isinstance(index, tuple) else [index]
    named = sum(part is not None and part is not ... for part in parts)
    if not any(part is ... for part in parts):
        parts.append(...)
    at = next(n for n, part in enumerate(parts) if part is ...)
    parts[at : at + 1] = [slice(None)] * (input.ndim - named)
    if not isinstance(parts[0], slice) or range(BATCH)[parts[0]] != range(BATCH):
        return call.unsupported("of single samples", "index axes after the first")
    if not all(part is None or isinstance(part, (int, slice)) for part in parts[1:]) or any(
        isinstance(part, bool) for part in parts
    ):
        return call.unsupported("by a tensor or list", "use slices and whole numbers")
    cut = ops.Slice(tuple(part for part in parts[1:] if part is not None))
    if None not in parts:
        return cut
    return cut, ops.Reshape(tuple(call.result.shape[1:]))


def _select(call: Call, input: Tensor, dim: int, index: int) -> Outcome:
    return _getitem(call, input, _along(input, dim, index))


def _narrow(call: Call, input: Tensor, dim: int, start: int, length: int) -> Outcome:
    start %= input.shape[dim]
    return _getitem(call, input, _along(input, dim, slice(start, start + length)))


def _along(input: Tensor, dim: int, part: int | slice) -> tuple[int | slice, ...]:
    return (slice(None),) * (dim % input.ndim) + (part,)


def _split(call: Call, input: Tensor, *args: Any, dim: int | None = None, **kwargs: Any) -> Outcome:
    dim = dim if dim is not None else (args[1] if len(args) > 1 else 0)
    if dim % input.ndim == 0:
        return call.unsupported("of the batch axis", "split axes after the first")
    stops = np.cumsum([part.shape[dim] for part in call.result])
    starts = np.concatenate([[0], stops[:-1]])
    spans = [_along(input, dim, slice(int(a), int(b))) for a, b in zip(starts, stops)]
    return [ops.Slice(span[1:]) for span in spans]


def _unbind(call: Call, input: Tensor, dim: int = 0) -> Outcome:
    if dim % input.ndim == 0:
        return call.unsupported("of the batch axis", "take axes after the first apart")
    return [ops.Slice(_along(input, dim, n)[1:]) for n in range(input.shape[dim])]


def _cat(call: Call, tensors: Sequence[Tensor], dim: int = 0, axis: int | None = None) -> Outcome:
    n_axes = tensors[0].ndim
    at = (dim if axis is None else axis) % n_axes
    if at == 0:
        return call.unsupported("of the batch axis", "join axes after the first")
    places = [n for n, tensor in enumerate(tensors) if tensor.is_meta]
    if len(places) == len(tensors):
        return ops.Concat(at - 1)
    constants = [tensor for tensor in tensors if not tensor.is_meta]
    if len(places) > 1 or any(torch.count_nonzero(c) for c in constants):
        return call.unsupported("with constants", "only one tensor can be joined with zeros")
    widths = [(0, 0)] * (n_axes - 1)
    lengths = [tensor.shape[at] for tensor in tensors]
    widths[at - 1] = (sum(lengths[: places[0]]), sum(lengths[places[0] + 1 :]))
    return ops.Pad(tuple(widths))


def _interpolate(
    call: Call, input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    **kwargs: Any,
) -> Outcome:  # fmt: skip
    before, after = input.shape[2:], call.result.shape[2:]
    whole = all(long % short == 0 for long, short in zip(after, before))
    if mode not in ("nearest", "nearest-exact") or not whole:
        return call.unsupported(
            f"({mode}) from {tuple(before)} to {tuple(after)}",
            "use mode='nearest' with whole factors, or a transposed convolution",
        )
    return ops.Upsample(tuple(long // short for long, short in zip(after, before)))


def _pad(
    call: Call, input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Outcome:
    if mode != "constant" or value:
        what = f"{mode} padding" if mode != "constant" else f"values of {value}"
        return call.unsupported(f"with {what}", "pad with zeros")
    pairs = [(int(a), int(b)) for a, b in zip(pad[::2], pad[1::2])][::-1]
    widths = [(0, 0)] * (input.ndim - len(pairs)) + pairs
    if widths[0] != (0, 0):
        return call.unsupported("of the batch axis", "pad axes after the first")
    return ops.Pad(tuple(widths[1:]))


def _channel_shuffle(call: Call, input: Tensor, groups: int) -> Outcome:
    channels, *space = sample(input)
    return (
        ops.Reshape((groups, channels // groups, *space)),
        ops.Permute((1, 0, *range(2, 2 + len(space)))),
        ops.Reshape((channels, *space)),
    )


def _pixel_shuffle(call: Call, input: Tensor, upscale_factor: int) -> Outcome:
    (channels, y, x), r = call.result.shape[1:], upscale_factor
    return (
        ops.Reshape((channels, r, r, y // r, x // r)),
        ops.Permute((0, 3, 1, 4, 2)),
        ops.Reshape((channels, y, x)),
    )


def _pixel_unshuffle(call: Call, input: Tensor, downscale_factor: int) -> Outcome:
    (channels, y, x), r = sample(input), downscale_factor
    return (
        ops.Reshape((channels, y // r, r, x // r, r)),
        ops.Permute((0, 2, 4, 1, 3)),
        ops.Reshape(tuple(call.result.shape[1:])),
    )


READERS: dict[str, Reader] = {
    **dict.fromkeys(MOVES, _move),
    **dict.fromkeys(("contiguous", "clone", "detach", "requires_grad", "pos"), _same),
    **dict.fromkeys(
        "view view_as reshape reshape_as flatten unflatten ravel squeeze unsqueeze".split(),
        _reshape,
    ),
    "permute": _permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    "getitem": _getitem,
    "select": _select,
    "narrow": _narrow,
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split"), _split),
    "unbind": _unbind,
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    **dict.fromkeys(("interpolate", "upsample"), _interpolate),
    "pad": _pad,
    "channel_shuffle": _channel_shuffle,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
}
