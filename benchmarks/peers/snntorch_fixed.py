"""Time snnTorch on a converted network, step by step."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import snntorch
import torch
from fixed import THRESHOLD, Fixed, measured, membranes, weighted
from torch import nn


def built(fixed: Fixed) -> Callable[[], torch.Tensor]:
    """Return what runs the network."""
    modules: list[Any] = []
    for layer in fixed.layers:
        if layer["kind"] == "max_pool":
            modules.append(nn.MaxPool2d(layer["size"], ceil_mode=True))
            continue
        if "weight" in layer:
            if layer["kind"] == "dense" and not any(isinstance(m, nn.Flatten) for m in modules):
                modules.append(nn.Flatten(1))
            modules.append(weighted(layer))
        if layer.get("fires"):
            modules.append(
                snntorch.Leaky(
                    beta=1.0, threshold=THRESHOLD, reset_mechanism="subtract", reset_delay=False
                )
            )
    firing = [layer for layer in fixed.layers if layer.get("fires")]

    def run() -> torch.Tensor:
        """Run all steps."""
        held: dict[int, Any] = {}
        counts: dict[int, Any] = {}
        out: Any = 0.0
        before = iter(firing)
        for _ in range(fixed.steps):
            x = fixed.drive
            for place, module in enumerate(modules):
                if isinstance(module, snntorch.Leaky):
                    if place not in held:
                        held[place] = membranes(next(before), x)
                    x, held[place] = module(x, held[place])
                elif isinstance(module, nn.MaxPool2d):
                    so_far, largest = counts.get(place, (0.0, 0.0))
                    so_far = so_far + x
                    more = module(so_far)
                    x, counts[place] = more - largest, (so_far, more)
                else:
                    x = module(x)
            out = out + x
        found: torch.Tensor = out
        return found

    return run


if __name__ == "__main__":
    measured(Path(sys.argv[1]), ["snntorch"], built)
