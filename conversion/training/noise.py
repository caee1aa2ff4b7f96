r"""Noise on weights while a model is trained: what makes it tolerant of conductance errors.

The published recipe adds to each weight, anew in every forward pass,

.. math:: \delta w \sim N(0,\ \epsilon\,\max|w|)

with the largest weight of the layer, and trains with about twice the :math:`\epsilon` that the
chip will show (Wan et al., Nature 608, 504, 2022). `DeviceNoise` takes the spread of the cells
instead: both cells of a pair, each with its own target,

.. math:: \sigma_w = \frac{w_{max,j}}{g_{max} - g_{min}}
          \sqrt{\sigma^2(G^+, t) + \sigma^2(G^-, t)}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import nn

from spikeram.crossbar import conductance_from_weight
from spikeram.device import AbstractDevice
from spikeram.units import Quantity, Second, as_si


class Spread(Protocol):
    """A law of weight noise: the standard deviation of each weight of one layer."""

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        """Return standard deviations that broadcast to `weight` of shape (output, ...)."""


class DeviceNoise:
    """The spread of a device's cells, as noise on weights.

    Parameters
    ----------
    device : AbstractDevice
        The cells, such as ``spikeram.models.devices.neurram()``.
    delay : Second
        Time after programming, such as ``"1 day"``.
    points : int
        Targets at which the device is asked; in between it is interpolated.
    """

    def __init__(
        self, device: AbstractDevice, delay: Quantity = "1 day", *, points: int = 256
    ) -> None:
        self.delay: Second = as_si(delay, "s", "DeviceNoise.delay")
        share = np.linspace(-1.0, 1.0, points)
        pairs = conductance_from_weight(
            share[:, np.newaxis], g_min=device.g_min, g_max=device.g_max, w_max=1.0
        )
        each = device.deviation(pairs, self.delay)[..., 0]
        window = device.g_max - device.g_min
        self._spread = torch.tensor(np.hypot(each[0], each[1]) / window, dtype=torch.float32)

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the standard deviation of each weight, every output its own column."""
        largest = weight.flatten(1).abs().amax(1).view(-1, *[1] * (weight.dim() - 1))
        place = (weight / largest.clamp_min(torch.finfo(weight.dtype).tiny) + 1) / 2
        at = (place * (len(self._spread) - 1)).clamp(0, len(self._spread) - 1)
        below = at.floor().long().clamp_max(len(self._spread) - 2)
        rest = at - below
        return (self._spread[below] * (1 - rest) + self._spread[below + 1] * rest) * largest


WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""Layers whose weights are conductances."""

Noise: TypeAlias = float | Callable[[torch.Tensor], torch.Tensor]
"""Share of a layer's largest weight, or a `Spread` such as `DeviceNoise`."""


class WeightNoise:
    """Noise on the weights and biases of a model's linear and convolution layers, while training.

    Used as a context: ``with WeightNoise(model, 0.1): loss = ...; loss.backward()``. The weights
    come back as they were when the block ends, so that the gradient is applied to the clean ones.

    Parameters
    ----------
    model : torch.nn.Module
        Whose ``Linear`` and ``Conv`` layers are disturbed.
    noise : float or callable
        Standard deviation as a share of each layer's largest weight; or what returns that of every
        weight. Biases, whose cells share the columns, get the mean of their layer's.
    generator : torch.Generator, optional
        Where the noise is drawn from.
    """

    def __init__(
        self, model: nn.Module, noise: Noise, generator: torch.Generator | None = None
    ) -> None:
        if not callable(noise) and not noise >= 0:
            raise ValueError(f"WeightNoise expects noise >= 0, got {noise}.")
        self._layers = [m for m in model.modules() if isinstance(m, WEIGHTED)]
        self._noise = noise
        self._generator = generator
        self._clean: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __enter__(self) -> WeightNoise:
        self._clean = []
        if self._noise == 0:
            return self
        with torch.no_grad():
            for layer in self._layers:
                weight, bias = layer.weight, layer.bias
                if callable(self._noise):
                    spread = self._noise(weight)
                else:
                    spread = self._noise * weight.abs().max()
                self._disturb(weight, spread)
                if bias is not None:
                    self._disturb(bias, spread.mean())
        return self

    def _disturb(self, values: torch.Tensor, spread: torch.Tensor) -> None:
        self._clean.append((values, values.clone()))
        values.add_(torch.randn(values.shape, generator=self._generator) * spread)

    def __exit__(self, *_: Any) -> None:
        with torch.no_grad():
            for values, clean in self._clean:
                values.copy_(clean)
        self._clean = []
