"""Which parameters PyTorch multiplies with what, noted while a module runs without values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from spikeram.conversion.shapes.matrix import MatrixShape, Shapes

_MATRICES = {"aten::mm": (0, 1), "aten::addmm": (1, 2), "aten::mv": (0, 1), "aten::addmv": (1, 2)}
_MEMORY = frozenset(f"aten::{name}" for name in ("clone", "copy", "empty", "_unsafe_view"))
_BATCHES = {"aten::bmm": (0, 1), "aten::baddbmm": (1, 2)}


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, notes every product with a parameter.

    Parameters
    ----------
    module : torch.nn.Module
        The module whose parameters count, on the meta device.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = sum(values.numel() for values in module.parameters())
        # By storage, so that transposed and cut parameters are known too.
        self._names = {_storage(p): name for name, p in module.named_parameters()}
        self._names |= {_storage(b): name for name, b in module.named_buffers()}
        # Derived constants are kept: the address of a freed storage would be used again.
        self._alive: list[Tensor] = []
        self._uses: dict[tuple[object, ...], list[int]] = {}
        self._weightless: Counter[str] = Counter()
        self._kinds: dict[tuple[object, ...], str] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation, and note what it multiplies."""
        out = func(*args, **(kwargs or {}))
        name = str(func._schema.name)
        read = [value for value in _tensors((*args, *(kwargs or {}).values()))]
        if read and all(self._constant(value) for value in read):
            for value in _tensors((out,)):
                self._names.setdefault(_storage(value), self._names[_storage(read[0])])
                self._alive.append(value)
        elif name in _MATRICES or name in _BATCHES:
            a, b = (args[n] for n in (_MATRICES.get(name) or _BATCHES[name]))
            self._product(a, b)
        elif name == "aten::convolution" and self._constant(args[1]):
            self._convolution(args[0], args[1], out, bool(args[6]), int(args[8]))
        elif name not in _MEMORY and not any(v.alias_info for v in func._schema.returns):
            self._weightless[name.removeprefix("aten::")] += 1
        return out

    def shapes(self, where: str) -> Shapes:
        """Return what was noted."""
        matrices = []
        seen: Counter[str] = Counter()
        for key, (positions, inputs) in self._uses.items():
            name, _, rows, columns, groups = key
            # Parts of one parameter, such as queries, keys and values.
            seen[str(name)] += 1
            part = f"[{seen[str(name)]}]" if seen[str(name)] > 1 else ""
            matrices.append(
                MatrixShape(
                    name=f"{str(name).removesuffix('.weight')}{part}",
                    kind=self._kinds[key],
                    rows=int(str(rows)),
                    columns=int(str(columns)),
                    groups=int(str(groups)),
                    positions=positions,
                    inputs=inputs,
                )
            )
        held = sum(matrix.weights for matrix in matrices)
        return Shapes(
            matrices=tuple(matrices),
            weightless=self._weightless,
            other_parameters=max(0, self.total - held),
            where=where,
        )

    def _constant(self, value: Tensor) -> bool:
        return _storage(value) in self._names

    def _product(self, a: Tensor, b: Tensor) -> None:
        if self._constant(b):
            x, w = a, b if b.dim() > 1 else b[:, None]
            rows, columns = w.shape[-2:]
        elif self._constant(a):
            x, w = b, a
            columns, rows = w.shape[-2:]
        else:
            self._weightless["product of two activations"] += 1
            return
        # An expanded weight is the same matrix for each of the batch.
        groups = w.shape[0] if w.dim() == 3 and w.stride(0) else 1
        self._note(w, "dense", int(rows), int(columns), groups, x.numel() // int(rows) // groups, x)

    def _convolution(
        self, x: Tensor, w: Tensor, out: Tensor, transposed: bool, groups: int
    ) -> None:
        kernel = math.prod(w.shape[2:])
        if transposed:
            rows, columns = w.shape[0] // groups * kernel, w.shape[1]
        else:
            rows, columns = w.shape[1] * kernel, w.shape[0] // groups
        kind = "depthwise" if groups > 1 and groups == x.shape[1] else "convolution"
        positions = out.shape[0] * math.prod(out.shape[2:])
        self._note(w, kind, rows, columns, groups, positions, x)

    def _note(
        self, w: Tensor, kind: str, rows: int, columns: int, groups: int, positions: int, x: Tensor
    ) -> None:
        key = (self._names[_storage(w)], w.storage_offset(), rows, columns, groups)
        use = self._uses.setdefault(key, [0, 0])
        use[0] += positions
        use[1] += x.numel()
        self._kinds[key] = kind


def _storage(value: Tensor) -> int:
    return int(value.untyped_storage()._cdata)


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)
