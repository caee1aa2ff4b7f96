"""The network of a problem as a torch module."""

from typing import Any

import torch
from torch import nn


class Listed(nn.Module):
    """Modules run in the order of a list, each on the outputs that it names."""

    def __init__(self, layers: list[dict[str, Any]]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(_module(layer) for layer in layers)
        self.inputs = [layer["inputs"] for layer in layers]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {-1: x}
        for place, (step, inputs) in enumerate(zip(self.steps, self.inputs)):
            given = [values[source] for source in inputs]
            # A sum is no module of its own: converters look for the operator.
            values[place] = given[0] + given[1] if len(given) == 2 else step(given[0])
        return values[len(self.inputs) - 1]


def torch_model(layers: list[dict[str, Any]]) -> nn.Module:
    """Return the module that was exported, in evaluation; a chain as ``nn.Sequential``."""
    chain = all(layer["inputs"] == [place - 1] for place, layer in enumerate(layers))
    if chain:
        return nn.Sequential(*(_module(layer) for layer in layers)).eval()
    return Listed(layers).eval()


def _module(layer: dict[str, Any]) -> nn.Module:
    kind = layer["kind"]
    if kind == "flatten":
        return nn.Flatten()
    if kind == "relu":
        return nn.ReLU()
    if kind == "add":
        return nn.Identity()
    if kind == "average_pool":
        return nn.AvgPool2d(layer["size"])
    shape = layer["weight"].shape
    module: nn.Module
    if kind == "dense":
        module = nn.Linear(shape[1], shape[0])
    elif kind == "convolution":
        module = nn.Conv2d(
            shape[1],
            shape[0],
            shape[2],
            stride=layer["stride"],
            padding=layer["padding"],
            bias="bias" in layer,
        )
    elif kind == "batch_norm":
        module = nn.BatchNorm2d(shape[0], eps=layer["epsilon"])
    else:
        raise ValueError(f"torch_model knows no layer of kind {kind!r}.")
    names = ("weight", "bias", "running_mean", "running_var")
    state = {name: torch.tensor(layer[name]) for name in names if name in layer}
    # The number of batches that a normalisation has seen is of no use in evaluation.
    module.load_state_dict(state, strict=kind != "batch_norm")
    return module
