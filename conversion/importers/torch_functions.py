"""Which reader reads which function or method of PyTorch."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.nn import functional

from spikeram.conversion.importers import torch_arithmetic, torch_layers, torch_rearrange
from spikeram.conversion.importers.torch_call import Reader

READERS: dict[str, Reader] = {
    **torch_arithmetic.READERS,
    **torch_layers.READERS,
    **torch_rearrange.READERS,
}
# Python's own names of its operators, as functions and as methods.
_SAME = {
    **dict.fromkeys(("iadd", "radd"), "add"),
    "isub": "sub",
    **dict.fromkeys(("imul", "rmul"), "mul"),
    **dict.fromkeys(("truediv", "itruediv"), "div"),
}


def _names_of_functions() -> dict[Any, str]:
    """Return the name in `READERS` of each function object that computes the same."""
    found: dict[Any, str] = {}
    for space in (operator, torch, functional):
        for name in (*READERS, *_SAME):
            for spelled in (name, f"{name}_"):
                function = getattr(space, spelled, None)
                if callable(function):
                    found.setdefault(function, _SAME.get(name, name))
    # This one takes its statistics in another order.
    found.pop(torch.batch_norm, None)
    return found


_NAMES = _names_of_functions()


def function_name(target: Any) -> str:
    """Return what a function or method is called, in-place variants like the others."""
    known = None if isinstance(target, str) else _NAMES.get(target)
    name = target if isinstance(target, str) else str(getattr(target, "__name__", target))
    return known or _SAME.get(name.strip("_"), name.strip("_"))
