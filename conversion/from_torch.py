"""From a ``torch.nn.Sequential`` to a `TrainedNetwork`: what each module becomes.

Batch normalisation is folded into the layer before it, average pools into the layer after them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeram.conversion.trained import TrainedNetwork
from spikeram.errors import ConversionError
from spikeram.gather import (
    Gather,
    Pair,
    after_average_pool,
    as_pair,
    convolution,
    every_input,
)

_REMEDIES = {
    "MaxPool2d": "use AvgPool2d, or a convolution with a stride",
    "Sigmoid": "train with ReLU",
    "Tanh": "train with ReLU",
    "GELU": "train with ReLU",
    "LeakyReLU": "train with ReLU",
}


def from_torch(
    model: Any,
    *,
    input_shape: tuple[int, ...] | None = None,
    classes: NDArray[np.generic] | None = None,
    regression: bool = False,
) -> TrainedNetwork:
    """Return the trained network of a ``torch.nn.Sequential``.

    Parameters
    ----------
    model : torch.nn.Sequential
        ``Linear`` and ``Conv2d`` with ``ReLU`` between them; ``BatchNorm1d`` and
        ``BatchNorm2d`` right after them, in evaluation mode; ``AvgPool2d`` and
        ``AdaptiveAvgPool2d``; ``Flatten``. ``Dropout``, ``Identity``, and ``Softmax`` or
        ``LogSoftmax`` at the end change no decision and are passed over.
    input_shape : tuple of int, optional
        Shape of one sample, (channel, y, x); needed where the model begins with a convolution.
    classes : ndarray, optional
        Labels of the outputs; by default 0, 1, 2 ...
    regression : bool
        Whether the outputs are values, and not those of a classifier.

    Raises
    ------
    ConversionError
        Naming every module that cannot be converted, with its place and a remedy.
    """
    from torch import nn

    if not isinstance(model, nn.Sequential):
        raise ConversionError(
            f"Of PyTorch, convert reads torch.nn.Sequential, got {type(model).__name__}."
        )
    if type(model).forward is not nn.Sequential.forward:
        raise ConversionError(
            f"{type(model).__name__} has a forward of its own: only a Sequential that runs its "
            "modules in order can be read."
        )
    reader = _Reader(nn, tuple(input_shape or ()))
    modules = list(_flat(nn, model, ""))
    for n, (place, module) in enumerate(modules):
        reader.read(place, module, last=n == len(modules) - 1)
    reader.finish()
    if reader.problems:
        raise ConversionError(
            "This Sequential cannot be converted: " + "; ".join(reader.problems) + "."
        )
    labels = None
    if not regression:
        gather = reader.gathers[-1]
        n_outputs = reader.weights[-1].shape[1] * (1 if gather is None else gather.n_positions)
        labels = np.arange(max(n_outputs, 2)) if classes is None else np.asarray(classes)
    return TrainedNetwork(
        weights=tuple(reader.weights),
        biases=tuple(reader.biases),
        gathers=tuple(reader.gathers),
        classes=labels,
    )


@dataclass
class _Reader:
    """Walks through the modules, collecting layers and everything that is wrong.

    `shape` is that of one sample at the present place, () where it is unknown; `pools` are the
    average pools since the last layer, each with the shape it sees.
    """

    nn: Any
    shape: tuple[int, ...]
    weights: list[NDArray[np.float64]] = field(default_factory=list)
    biases: list[NDArray[np.float64]] = field(default_factory=list)
    gathers: list[Gather | None] = field(default_factory=list)
    pools: list[tuple[tuple[int, int, int], Pair, Pair]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rectified: bool = True

    def read(self, place: str, module: Any, *, last: bool) -> None:
        """Take in one module."""
        nn = self.nn
        name = type(module).__name__
        try:
            if isinstance(module, nn.Linear):
                self._linear(module)
            elif isinstance(module, nn.Conv2d):
                self._conv(module)
            elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                self._batch_norm(module)
            elif isinstance(module, nn.ReLU):
                self._relu()
            elif isinstance(module, (nn.AvgPool2d, nn.AdaptiveAvgPool2d)):
                self._pool(module)
            elif isinstance(module, nn.Flatten):
                self.shape = (int(np.prod(self.shape)),) if self.shape else ()
            elif not self._changes_nothing(module, last):
                remedy = _REMEDIES.get(name)
                raise ConversionError(f"is not supported{f' ({remedy})' if remedy else ''}")
        except (ConversionError, ValueError) as error:
            self.problems.append(f"{place}: {name} {error}")

    def finish(self) -> None:
        """Look at the whole."""
        if not self.weights:
            self.problems.append("there is no layer with weights")
        elif self.rectified:
            self.problems.append("the last layer is followed by a ReLU: read its input out instead")
        elif self.pools:
            self.problems.append("a pool at the end has no layer after it to be folded into")

    def _changes_nothing(self, module: Any, last: bool) -> bool:
        nn = self.nn
        passing = (nn.Dropout, nn.Dropout2d, nn.Identity)
        return isinstance(module, passing) or (
            last and isinstance(module, (nn.Softmax, nn.LogSoftmax))
        )

    def _linear(self, module: Any) -> None:
        weight = _array(module.weight).T
        gather = None
        if self.pools:
            gather = every_input(weight.shape[0])
        self._append(weight, module, gather, (weight.shape[1],))

    def _conv(self, module: Any) -> None:
        if len(self.shape) != 3:
            raise ConversionError(
                f"needs the shape of its input: give samples, or input_shape, of shape "
                f"(channel, y, x), not {self.shape}"
            )
        if module.groups != 1:
            raise ConversionError("with groups is not supported")
        if isinstance(module.padding, str) or module.padding_mode != "zeros":
            raise ConversionError("expects padding by a number of zeros")
        if self.shape[0] != module.in_channels:
            raise ConversionError(
                f"expects {module.in_channels} channels, got inputs of shape {self.shape}; images "
                "are channel first"
            )
        gather, size = convolution(
            (self.shape[0], self.shape[1], self.shape[2]),
            as_pair(module.kernel_size),
            stride=as_pair(module.stride),
            padding=as_pair(module.padding),
            dilation=as_pair(module.dilation),
        )
        weight = _array(module.weight).reshape(module.out_channels, -1).T
        self._append(weight, module, gather, (module.out_channels, *size))

    def _append(
        self, weight: NDArray[np.float64], module: Any, gather: Gather | None, shape: Any
    ) -> None:
        # Later modules are checked as if this one were right.
        follows = not self.rectified
        for seen, kernel, stride in reversed(self.pools):
            if gather is not None:
                gather = after_average_pool(gather, seen, kernel, stride)
        self.pools = []
        self.weights.append(weight)
        self.gathers.append(gather)
        bias = module.bias
        self.biases.append(np.zeros(weight.shape[1]) if bias is None else _array(bias))
        self.shape = tuple(shape)
        self.rectified = False
        if follows:
            raise ConversionError("follows another layer without a ReLU")

    def _batch_norm(self, module: Any) -> None:
        if module.training:
            raise ConversionError("is in training mode: call model.eval() first")
        if not self.weights or self.rectified or self.pools:
            raise ConversionError("does not directly follow a layer with weights")
        if module.running_mean is None:
            raise ConversionError("keeps no running statistics")
        deviation = np.sqrt(_array(module.running_var) + module.eps)
        gamma = np.ones_like(deviation) if module.weight is None else _array(module.weight)
        beta = 0.0 if module.bias is None else _array(module.bias)
        scale = gamma / deviation
        self.weights[-1] = self.weights[-1] * scale
        self.biases[-1] = (self.biases[-1] - _array(module.running_mean)) * scale + beta

    def _relu(self) -> None:
        if self.rectified or self.pools:
            raise ConversionError("does not follow a layer with weights")
        self.rectified = True

    def _pool(self, module: Any) -> None:
        if len(self.shape) != 3:
            raise ConversionError(f"expects inputs of shape (channel, y, x), got {self.shape}")
        if not self.rectified:
            raise ConversionError("stands before a ReLU: put it after")
        seen = (self.shape[0], self.shape[1], self.shape[2])
        kernel, stride = self._pool_kernel(module, seen)
        _, size = convolution((1, *seen[1:]), kernel, stride=stride)
        self.pools.append((seen, kernel, stride))
        self.shape = (seen[0], *size)

    def _pool_kernel(self, module: Any, seen: tuple[int, int, int]) -> tuple[Pair, Pair]:
        if isinstance(module, self.nn.AdaptiveAvgPool2d):
            y, x = as_pair(module.output_size)
            if seen[1] % y or seen[2] % x:
                raise ConversionError(f"expects an output size that divides {seen[1]} x {seen[2]}")
            kernel = (seen[1] // y, seen[2] // x)
            return kernel, kernel
        if as_pair(module.padding) != (0, 0) or module.ceil_mode or module.divisor_override:
            raise ConversionError("expects no padding, no ceil_mode and no divisor_override")
        return as_pair(module.kernel_size), as_pair(module.stride)


def _flat(nn: Any, model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    # Not named_children(), which leaves out a module that stands twice.
    for name, module in model._modules.items():
        if isinstance(module, nn.Sequential):
            yield from _flat(nn, module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def _array(tensor: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return values
