"""The network of a problem as a torch module."""

from typing import Any

import torch
from torch import nn


def torch_model(layers: list[dict[str, Any]]) -> nn.Sequential:
    """Return the module that was exported, in evaluation."""
    return nn.Sequential(*(_module(layer) for layer in layers)).eval()


def _module(layer: dict[str, Any]) -> nn.Module:
    kind = layer["kind"]
    if kind == "flatten":
        return nn.Flatten()
    if kind == "relu":
        return nn.ReLU()
    if kind == "average_pool":
        return nn.AvgPool2d(layer["size"])
    shape = layer["weight"].shape
    module: nn.Module
    if kind == "dense":
        module = nn.Linear(shape[1], shape[0])
    elif kind == "convolution":
        module = nn.Conv2d(shape[1], shape[0], shape[2], padding=layer["padding"])
    elif kind == "batch_norm":
        module = nn.BatchNorm2d(shape[0], eps=layer["epsilon"])
    else:
        raise ValueError(f"torch_model knows no layer of kind {kind!r}.")
    names = ("weight", "bias", "running_mean", "running_var")
    state = {name: torch.tensor(layer[name]) for name in names if name in layer}
    # The number of batches that a normalisation has seen is of no use in evaluation.
    module.load_state_dict(state, strict=kind != "batch_norm")
    return module
