"""Activations while a model is traced: proxies that know their shape."""

from __future__ import annotations

import dis
import operator
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor, fx

from spikeram.errors import ConversionError


class Activation(fx.Proxy):
    """A proxy that knows its shape, and what follows from it."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # Models ask whether their input is a tensor.
        return Tensor if isinstance(self.node.meta["value"], Tensor) else type(self)

    def __getattr__(self, k: str) -> Any:
        value = self.node.meta["value"]
        if isinstance(value, Tensor) and not k.startswith("__"):
            if k == "device":
                return self.tracer.device  # type: ignore[attr-defined]
            if k == "data":
                return self
            found = getattr(value, k)
            if not callable(found) and not isinstance(found, Tensor):
                return found
        return super().__getattr__(k)

    def __len__(self) -> int:
        return len(self.node.meta["value"])

    def __iter__(self) -> Iterator[Any]:
        return (
            self.tracer.create_proxy("call_function", operator.getitem, (self, n), {})
            for n in range(len(self))
        )

    def __bool__(self) -> bool:
        frame = sys._getframe(1)
        passing = _assertion_passes_with(frame)
        if passing is not None:
            return passing
        raise ConversionError(
            f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} branches on the values of an "
            "activation, which a network of spikes cannot: torch.fx says, symbolically traced "
            "variables cannot be used as inputs to control flow. Branch on shapes or settings."
        )

    def __iadd__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __isub__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __imul__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __itruediv__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})


def _assertion_passes_with(frame: FrameType) -> bool | None:
    """Return the truth value with which the assertion in a frame passes; None outside of one."""
    rest = [i for i in dis.get_instructions(frame.f_code) if i.offset >= frame.f_lasti]
    jump = next((n for n, i in enumerate(rest[:3]) if "POP_JUMP" in i.opname), None)
    if jump is None or jump + 1 == len(rest):
        return None
    after = rest[jump + 1]
    if "ASSERTION" not in after.opname and "AssertionError" not in str(after.argval):
        return None
    return "TRUE" in rest[jump].opname
