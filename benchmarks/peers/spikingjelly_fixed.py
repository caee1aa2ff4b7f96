"""Time SpikingJelly on a converted network, all steps of a layer at once."""

import sys
from pathlib import Path
from typing import Any

import torch
from fixed import Built, Charge, Fixed, last_readers, measured, membranes
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
    own: Any
    if isinstance(module, nn.AvgPool2d):
        return layers.AvgPool2d(module.kernel_size, step_mode="m")
    bias = module.bias is not None
    if isinstance(module, nn.Conv2d):
        own = layers.Conv2d(
            module.in_channels, module.out_channels, module.kernel_size, bias=bias,
            padding=module.padding, stride=module.stride, step_mode="m",
        )  # fmt: skip
    else:
        assert isinstance(module, nn.Linear)
        own = layers.Linear(module.in_features, module.out_features, bias=bias, step_mode="m")
    own.load_state_dict(module.state_dict())
    found: nn.Module = own
    return found


def neurons(fires: str) -> nn.Module:
    """Return the neurons of a layer, with a threshold of 1.

    Those that take spikes back are its ST-BIF neurons, without an upper end of their count.
    """
    if fires == "signed":
        return neuron.STBIFNode(1.0, level=2**20, step_mode="m")
    return neuron.IFNode(v_threshold=1.0, v_reset=None, step_mode="m")


class Network(nn.Module):
    """A network, all steps of a layer after those of the one before."""

    def __init__(self, fixed: Fixed) -> None:
        super().__init__()
        self.last = last_readers(fixed.layers)
        self.gathers = nn.ModuleList()
        self.fires = nn.ModuleList()
        for layer in fixed.layers:
            fires: nn.Module = nn.Identity()
            if layer["kind"] == "max_pool":
                gather: Any = CountingMaxPool(layer["size"])
                gather.places = [layer["from"]]
            elif layer["branches"]:
                gather = Charge(layer, 2, many)
            else:
                gather = nn.Identity()
                gather.places = [-1]
            if layer.get("fires"):
                fires = neurons(layer["fires"])
            self.gathers.append(gather)
            self.fires.append(fires)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the charge of the last layer in each step."""
        held = {-1: x}
        for place, (gather, fires) in enumerate(zip(self.gathers, self.fires)):
            x = fires(gather(*(held[source] for source in gather.places)))
            held[place] = x
            for source in self.last[place]:
                held.pop(source, None)
        return x


def built(fixed: Fixed) -> Built:
    """Return what runs the network."""
    net = Network(fixed).eval()
    firing = {
        place: net.fires[place] for place, layer in enumerate(fixed.layers) if layer.get("fires")
    }
    if fixed.spikes is not None:
        x = fixed.spikes
    else:
        assert fixed.drive is not None
        x = fixed.drive.unsqueeze(0).expand(fixed.steps, *fixed.drive.shape)

    # The shapes of the membranes are those of what arrives at each neuron.
    shapes: dict[Any, torch.Tensor] = {}
    hooks = [
        fires.register_forward_pre_hook(lambda module, x: shapes.update({module: x[0][0]}))
        for fires in firing.values()
    ]
    net(x[:1])
    for hook in hooks:
        hook.remove()
    initial = {
        fires: membranes(fixed.layers[place], shapes[fires]) for place, fires in firing.items()
    }

    def run() -> torch.Tensor:
        """Run all steps."""
        functional.reset_net(net)
        for fires, before in initial.items():
            if isinstance(fires, neuron.STBIFNode):
                fires.q = before.clone()
                fires.acc_q, fires.cur_output = torch.zeros_like(before), torch.zeros_like(before)
            else:
                fires.v = before.clone()
        out: torch.Tensor = net(x).sum(0)
        return out

    return Built(run, firing, at_once=True)


if __name__ == "__main__":
    measured(Path(sys.argv[1]), ["spikingjelly"], built)
