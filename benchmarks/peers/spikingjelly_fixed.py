"""Time SpikingJelly on a converted network, all steps of a layer at once."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fixed import THRESHOLD, Fixed, measured, membranes, weighted
from spikingjelly.activation_based import functional, layer as layers, neuron
from torch import nn


class CountingMaxPool(nn.Module):
    """The largest count of spikes so far among the taps, and what it grew by in each step."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(size, ceil_mode=True)

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Return spikes (step, sample, channel, y, x)."""
        counts = spikes.cumsum(0)
        largest = self.pool(counts.flatten(0, 1)).unflatten(0, counts.shape[:2])
        return torch.diff(largest, dim=0, prepend=torch.zeros_like(largest[:1]))


def many(module: nn.Module) -> nn.Module:
    """Return a module that takes all steps at once, as SpikingJelly's own layers do."""
    kinds: dict[type, Any] = {nn.Conv2d: layers.Conv2d, nn.Linear: layers.Linear}
    made = kinds[type(module)]
    if isinstance(module, nn.Conv2d):
        own = made(
            module.in_channels, module.out_channels, module.kernel_size,
            padding=module.padding, stride=module.stride, step_mode="m",
        )  # fmt: skip
    else:
        own = made(module.in_features, module.out_features, step_mode="m")
    own.load_state_dict(module.state_dict())
    found: nn.Module = own
    return found


def built(fixed: Fixed) -> Callable[[], torch.Tensor]:
    """Return what runs the network."""
    modules: list[nn.Module] = []
    neurons: list[tuple[Any, dict[str, Any]]] = []
    for layer in fixed.layers:
        if layer["kind"] == "max_pool":
            modules.append(CountingMaxPool(layer["size"]))
            continue
        if "weight" in layer:
            if layer["kind"] == "dense" and not any(isinstance(m, nn.Flatten) for m in modules):
                modules.append(nn.Flatten(2))
            modules.append(many(weighted(layer)))
        if layer.get("fires"):
            fires = neuron.IFNode(v_threshold=THRESHOLD, v_reset=None, step_mode="m")
            neurons.append((fires, layer))
            modules.append(fires)
    net = nn.Sequential(*modules).eval()

    # The shapes of the membranes are those of what arrives at each neuron.
    shapes: dict[Any, torch.Tensor] = {}
    hooks = [
        fires.register_forward_pre_hook(lambda module, x: shapes.update({module: x[0][0]}))
        for fires, _ in neurons
    ]
    net(fixed.drive.unsqueeze(0))
    for hook in hooks:
        hook.remove()
    initial = [(fires, membranes(layer, shapes[fires])) for fires, layer in neurons]

    def run() -> torch.Tensor:
        """Run all steps."""
        functional.reset_net(net)
        for fires, before in initial:
            fires.v = before.clone()
        drive = fixed.drive.unsqueeze(0).expand(fixed.steps, *fixed.drive.shape)
        out: torch.Tensor = net(drive).sum(0)
        return out

    return run


if __name__ == "__main__":
    measured(Path(sys.argv[1]), ["spikingjelly"], built)
