"""Tensors on the meta device: they have shapes and share memory, but hold no values."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from spikeram.conversion.importers.torch_call import BATCH


def to_meta(values: Tensor) -> Tensor:
    """Return a tensor of the same shape without values, float32 if it is real."""
    # Activations are float32 in a trace, whatever the model computes in.
    kind = torch.float32 if values.is_floating_point() else values.dtype
    return torch.empty_like(values, device="meta", dtype=kind)


def copy_to_meta(module: nn.Module) -> nn.Module:
    """Return a copy of a module with parameters and buffers that hold no values."""
    empty: dict[int, Any] = {id(values): to_meta(values) for values in module.buffers()}
    for values in module.parameters():
        empty[id(values)] = nn.Parameter(to_meta(values), requires_grad=False)
    return copy.deepcopy(module, empty)


def shape_alone(node: fx.Node) -> Tensor:
    """Return the constant of a node, or zeros of the shape of its activation."""
    constant: Tensor | None = node.meta.get("constant")
    return torch.zeros(()).expand(node.meta["value"].shape) if constant is None else constant


def has_tensors(value: Any) -> bool:
    """Return whether a value is a tensor, or holds one."""
    if isinstance(value, (tuple, list)):
        return any(has_tensors(part) for part in value)
    return isinstance(value, Tensor)


def has_batch(value: Any) -> bool:
    """Return whether a value is a tensor with samples along its first axis."""
    return isinstance(value, Tensor) and value.shape[:1] == (BATCH,)


def version(value: Any) -> int:
    """Return how often the memory of a tensor was written to."""
    return value._version if isinstance(value, Tensor) else 0


def same_layout(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors that share memory have the same elements at the same places."""
    return _layout(one) == _layout(other)


def share_memory(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have an element in common."""
    memory = one.untyped_storage()
    if memory._cdata != other.untyped_storage()._cdata:
        return False
    if same_layout(one, other):
        return True
    used = torch.zeros(memory.nbytes() // one.element_size(), dtype=torch.bool)
    used.as_strided(*_layout(one)).fill_(True)
    return bool(used.as_strided(*_layout(other)).any())


def _layout(value: Tensor) -> tuple[torch.Size, tuple[int, ...], int]:
    return value.shape, value.stride(), int(value.storage_offset())
