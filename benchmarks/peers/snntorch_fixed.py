"""Time snnTorch on a converted network, step by step."""

import sys
from pathlib import Path
from typing import Any

import snntorch
import torch
from fixed import Built, Charge, Fixed, Unknown, last_readers, measured, membranes
from torch import nn


def neurons(fires: str) -> nn.Module:
    """Return the neurons of a layer, with a threshold of 1."""
    if fires != "unipolar":
        raise Unknown("it has no neuron that takes spikes back")
    # Its default: the threshold goes off with the next step's charge, before the comparison.
    found: nn.Module = snntorch.Leaky(beta=1.0, threshold=1.0, reset_mechanism="subtract")
    return found


def built(fixed: Fixed) -> Built:
    """Return what runs the network."""
    last = last_readers(fixed.layers)
    gathers: list[Any] = []
    firing: dict[int, Any] = {}
    for place, layer in enumerate(fixed.layers):
        if layer["kind"] == "max_pool":
            gathers.append(nn.MaxPool2d(layer["size"], ceil_mode=True))
        else:
            gathers.append(Charge(layer, 1, lambda module: module) if layer["branches"] else None)
        if layer.get("fires"):
            firing[place] = neurons(layer["fires"])

    def run() -> torch.Tensor:
        """Run all steps."""
        held: dict[int, Any] = {}
        counts: dict[int, Any] = {}
        out: Any = 0.0
        for step in range(fixed.steps):
            spikes: dict[int, Any] = {
                -1: fixed.drive if fixed.spikes is None else fixed.spikes[step]
            }
            for place, gather in enumerate(gathers):
                if gather is None:
                    x = spikes[-1]
                elif isinstance(gather, nn.MaxPool2d):
                    so_far, largest = counts.get(place, (0.0, 0.0))
                    so_far = so_far + spikes[fixed.layers[place]["from"]]
                    more = gather(so_far)
                    x, counts[place] = more - largest, (so_far, more)
                else:
                    x = gather(*(spikes[source] for source in gather.places))
                if place in firing:
                    if place not in held:
                        held[place] = membranes(fixed.layers[place], x)
                    x, held[place] = firing[place](x, held[place])
                spikes[place] = x
                for source in last[place]:
                    spikes.pop(source, None)
            out = out + x
        found: torch.Tensor = out
        return found

    return Built(run, firing)


if __name__ == "__main__":
    measured(Path(sys.argv[1]), ["snntorch"], built)
