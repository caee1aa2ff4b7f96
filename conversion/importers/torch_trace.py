"""Running a model symbolically: `torch.fx` calls its forward, and each call becomes a node.

Activations are proxies that know their shape, from a run on the meta device, where tensors have no
values. Lengths are therefore numbers in forward, and Python may compute with them and branch on
them. Modules of PyTorch that are one call of a function are traced through, so that both are read
by one table.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from spikeram.conversion import ops
from spikeram.conversion.graph import INPUT, AbstractOp, Node, Shape
from spikeram.conversion.importers.torch_call import BATCH, Call, Outcome
from spikeram.conversion.importers.torch_functions import READERS, function_name
from spikeram.conversion.importers.torch_meta import (
    copy_to_meta,
    has_batch,
    has_tensors,
    same_layout,
    shape_alone,
    share_memory,
    to_meta,
    version,
)
from spikeram.conversion.importers.torch_proxy import Activation
from spikeram.conversion.importers.torch_rearrange import MOVES
from spikeram.conversion.training import ClipFloorShift
from spikeram.errors import ConversionError

_TRANSPARENT = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.BatchNorm1d,
    nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.PReLU, nn.Dropout,
    nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Flatten,
    nn.Unflatten, nn.AvgPool1d, nn.AvgPool2d, nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.Upsample, nn.ZeroPad1d,
    nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d, nn.Softmax, nn.Softmax2d, nn.LogSoftmax,
    nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle,
)  # fmt: skip
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# Constants of which the shape alone comes from an activation.
_SHAPED = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")


def trace(model: nn.Module, shape: Shape) -> tuple[tuple[Node, ...], str, Shape]:
    """Return the nodes of a model, the name of the last, and the shape of its output.

    Parameters
    ----------
    model : torch.nn.Module
        A model of one input and one output tensor.
    shape : tuple of int
        Shape of one sample.
    """
    tracer = _Tracer(model, shape)
    modes = {module: module.training for module in model.modules()}
    tracer.trained = {module for module, training in modes.items() if training}
    try:
        for module in modes:
            module.training = False
        with torch.inference_mode(mode=False), torch.no_grad():
            output = tracer.run()
    finally:
        for module, training in modes.items():
            module.training = training
    return tuple(tracer.nodes), output, tracer.shapes[output]


@dataclass(frozen=True)
class _Place:
    """A module whose forward runs; `whole` where its one call is the module."""

    path: str
    kind: str
    whole: bool


class _Tracer(fx.Tracer):
    """Writes a node for each call that a model's forward makes."""

    def __init__(self, model: nn.Module, shape: Shape) -> None:
        super().__init__()
        self.model = model
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.trained: set[nn.Module] = set()
        first = next(model.parameters(), None)
        self.device = torch.device("cpu") if first is None else first.device
        self._paths: dict[nn.Module, str] = {module: path for path, module in model.named_modules()}
        self._names: dict[fx.Node, str | list[str]] = {}
        self._unsupported: set[str] = set()
        self._places: list[_Place] = []
        self._failed_at: str | None = None
        self._computing = False

    def run(self) -> str:
        """Trace the model, and return the name of the node that is its output."""
        returned: list[Any] = []

        def forward(sample: Any) -> None:
            returned.append(self.model(sample))

        kind = type(self.model).__name__
        try:
            self.trace(forward)
        except ConversionError as error:
            if self._failed_at and not str(error).startswith("Node "):
                raise ConversionError(f"{kind}, in {self._failed_at}: {error}") from None
            raise
        except Exception as error:  # what a model's own forward raises
            at = f", in {self._failed_at}" if self._failed_at else ""
            raise ConversionError(
                f"{kind}{at}: forward cannot be traced: {type(error).__name__}: {_line(error)}"
            ) from error
        (result,) = returned
        if type(result) is not Activation or not isinstance(result, Tensor):
            if type(result) is Activation:
                result = result.node.meta["value"]
            what = type(result).__name__
            if isinstance(result, (tuple, list, dict)):
                what += f" of {len(result)}"
            raise ConversionError(
                f"{kind} expects to return one tensor that depends on its input, got {what}. Wrap "
                "it in a module that returns the tensor to be read."
            )
        return self._name(result.node)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the proxy of a node."""
        return Activation(node, self)

    def path_of_module(self, mod: nn.Module) -> str:
        """Return the qualified name of a module, or its class if the model does not hold it."""
        owner = self._places[-1].path if self._places else ""
        return self._paths.get(mod, _joined(owner, type(mod).__name__.lower()))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is one operation, and not traced through."""
        if isinstance(m, ClipFloorShift):
            return True
        own = type(m).__module__.startswith(("torch.nn.", "torch.ao.nn."))
        return own and not isinstance(m, (*_TRANSPARENT, *_CONTAINERS))

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Read a module that is one operation, or run its forward."""
        if self._computing:
            return forward(*args, **kwargs)
        path = self.path_of_module(m)
        leaf = self.is_leaf_module(m, path) and any(
            type(value) is Activation for value in (*args, *kwargs.values())
        )
        kind = type(m).__name__
        self._places.append(_Place(path, kind, leaf or isinstance(m, _TRANSPARENT)))
        try:
            if isinstance(m, nn.modules.batchnorm._BatchNorm) and m in self.trained:
                raise ConversionError(
                    f"Node {path!r}: {kind} is in training mode: call model.eval() first."
                )
            if leaf:
                return self.create_proxy("call_module", path, args, kwargs, module=m)
            return forward(*args, **kwargs)
        except Exception:
            if self._failed_at is None:
                self._failed_at = path
            raise
        finally:
            self._places.pop()

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return a module's attribute: parameters are constants, not proxies."""
        return attr_val

    def create_arg(self, a: Any) -> Any:
        """Return an argument of a call; a tensor becomes a constant."""
        if type(a) is Activation:
            return a.node
        if isinstance(a, Tensor):
            node = self.create_node("get_attr", "constant", (), {})
            node.meta["constant"] = a
            node.meta["value"] = to_meta(a)
            return node
        return super().create_arg(a.item() if isinstance(a, np.generic) else a)

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *rest: Any,
        module: nn.Module | None = None,
        **more: Any,
    ) -> Any:
        """Return what a call returns: a proxy for activations, anything else as it is."""
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **more)
        node = proxy.node
        if kind == "placeholder":
            node.meta["value"] = torch.empty((BATCH, *self.shapes[INPUT]), device="meta")
            self._names[node] = INPUT
            return proxy
        name = function_name(target)
        if name in _SHAPED:
            return self._compute(node, shape_alone)
        if name == "assert" and kind == "call_function":
            return None
        self._write(node, name, module)
        value = node.meta["value"]
        return proxy if has_tensors(value) else value

    def _write(self, node: fx.Node, name: str, module: nn.Module | None) -> None:
        """Write the nodes of one call, and note under which name its result is found."""
        first = node.args[0] if node.args else None
        if name == "getitem" and isinstance(first, fx.Node) and first in self._names:
            whole, names = first.meta["value"], self._names[first]
            if not isinstance(whole, Tensor):
                at: Any = node.args[1]
                node.meta["value"] = whole[at]
                self._names[node] = names if isinstance(names, str) else names[at]
                return
        inputs = _activations(node)
        versions = [version(n.meta["value"]) for n in inputs]
        value, failure = None, ""
        try:
            value = self._result(node, module)
        except Exception as error:  # PyTorch raises many kinds where shapes do not fit
            failure = _line(error)
        node.meta["value"] = value
        if not failure and not has_tensors(value):
            return
        place = self._places[-1] if self._places else _Place("", type(self.model).__name__, False)
        base = place.path or place.kind.lower() if place.whole else _joined(place.path, name)
        call = Call(place.kind if place.whole else name, value, failure)
        scrambled = [n for n in inputs if not has_batch(n.meta["value"])]
        if scrambled and name in READERS and module is None:
            # What came before has no spiking form; only that is reported.
            self._names[node] = self._name(scrambled[0])
            return
        free = self._free(base)
        try:
            outcome = self._read(node, name, module, call)
            self._append(node, free, outcome, inputs)
        except ConversionError as error:
            raise ConversionError(f"Node {free!r}: {error}") from None
        if failure:
            raise ConversionError(f"Node {free!r}: {call.kind}: {failure}")
        for n, before in zip(inputs, versions):
            if version(n.meta["value"]) != before:
                self._rename_after_change(n, self._name(node))

    def _read(self, node: fx.Node, name: str, module: nn.Module | None, call: Call) -> Outcome:
        """Return the operations of one call."""
        if isinstance(module, ClipFloorShift):
            return ops.Rectifier(threshold=float(module.threshold), levels=module.levels)
        if isinstance(module, nn.Identity):
            return ops.Identity()
        reader = READERS.get(name)
        if module is not None or reader is None:
            return call.unsupported()
        args, kwargs = fx.node.map_arg(
            (node.args, node.kwargs), lambda n: n.meta.get("constant", n.meta["value"])
        )
        try:
            inspect.signature(reader).bind(call, *args, **kwargs)
        except TypeError as error:
            return call.unsupported(f"({error})")
        return reader(call, *args, **kwargs)

    def _append(self, node: fx.Node, name: str, outcome: Outcome, inputs: list[fx.Node]) -> None:
        """Write operations, and check that they make the shape that PyTorch makes."""
        value = node.meta["value"]
        names = [self._name(n) for n in inputs]
        for n, read in zip(inputs, names):
            # What an unsupported operation makes, PyTorch alone knows.
            if read in self._unsupported and isinstance(n.meta["value"], Tensor):
                self.shapes[read] = tuple(n.meta["value"].shape[1:])
        if outcome is None:
            self._names[node] = names[0]
            return
        if isinstance(outcome, list):
            self._names[node] = [
                self._add(f"{name}[{n}]", op, names, part)
                for n, (op, part) in enumerate(zip(outcome, value))
            ]
            return
        chain = outcome if isinstance(outcome, tuple) else (outcome,)
        for op in chain[:-1]:
            inner = self._free(f"{name}:{type(op).__name__.lower()}")
            names = [self._add(inner, op, names, None)]
        self._names[node] = self._add(name, chain[-1], names, value)

    def _add(self, name: str, op: AbstractOp, inputs: Sequence[str], value: Any) -> str:
        computed = tuple(value.shape[1:]) if isinstance(value, Tensor) else None
        if isinstance(op, ops.Unsupported):
            self._unsupported.add(name)
            self.shapes[name] = computed or ()
        else:
            shape = op.shape(*(self.shapes[n] for n in inputs))
            if computed is not None and shape != computed and not isinstance(op, ops.Softmax):
                raise ConversionError(
                    f"read as an operation that makes {shape} of a sample, where PyTorch makes "
                    f"{computed}."
                )
            self.shapes[name] = shape
        self.nodes.append(Node(name=name, op=op, inputs=tuple(inputs)))
        return name

    def _free(self, base: str) -> str:
        """Return a name that no node has: the base, or the base with a number."""
        name, n = base, 1
        while name in self.shapes or f"{name}[0]" in self.shapes:
            n += 1
            name = f"{base}#{n}"
        return name

    def _name(self, node: fx.Node) -> str:
        names = self._names[node]
        return names if isinstance(names, str) else names[0]

    def _rename_after_change(self, changed: fx.Node, name: str) -> None:
        """Let everything that shares memory with a tensor changed in place be read anew."""
        target = changed.meta["value"]
        for node, names in list(self._names.items()):
            value = node.meta["value"]
            if isinstance(names, list):
                self._names[node] = [
                    self._after_change(part, name, target, old) for part, old in zip(value, names)
                ]
            elif isinstance(value, Tensor):
                self._names[node] = self._after_change(value, name, target, names)

    def _after_change(self, value: Tensor, name: str, target: Tensor, old: str) -> str:
        """Return under which name a tensor is found after `target` was changed in place."""
        if not share_memory(value, target):
            return old
        if same_layout(value, target):
            return name
        op = ops.Unsupported(
            "an in-place change of a tensor that is used in another shape",
            "use the operation that is not in place",
        )
        return self._add(self._free(f"{name}:view"), op, (name,), value)

    def _result(self, node: fx.Node, module: nn.Module | None) -> Any:
        """Return what a call returns, on the meta device."""
        first = node.args[0] if node.args else None
        if module is None and isinstance(first, fx.Node) and function_name(node.target) in MOVES:
            return first.meta["value"]
        if module is not None:
            module = copy_to_meta(module)
        return self._compute(node, lambda n: n.meta["value"], module)

    def _compute(
        self, node: fx.Node, value: Callable[[fx.Node], Any], module: nn.Module | None = None
    ) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), value)
        self._computing = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if module is not None:
                    return module.forward(*args, **kwargs)
                if isinstance(node.target, str):
                    return getattr(args[0], node.target)(*args[1:], **kwargs)
                return node.target(*args, **kwargs)
        finally:
            self._computing = False


def _activations(node: fx.Node) -> list[fx.Node]:
    """Return the arguments of a call that depend on the input, in order."""
    found: list[fx.Node] = []

    def note(n: fx.Node) -> fx.Node:
        if "constant" not in n.meta:
            found.append(n)
        return n

    fx.node.map_arg((node.args, node.kwargs), note)
    return found


def _joined(owner: str, name: str) -> str:
    return f"{owner}.{name}" if owner else name


def _line(error: Exception) -> str:
    """Return the first line of what an error says."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") + "." if lines else type(error).__name__
