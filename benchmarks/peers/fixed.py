"""A converted network with its thresholds brought to 1, as torch modules: what every tool runs.

    PYTHON SCRIPT FOLDER

reads FOLDER/fixed.npz, which `benchmarks/engines.py` writes, and writes FOLDER/fixed.json.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

THRESHOLD = 1 - 2.0**-20
"""Thresholds are 1; a sum that reaches it may be rounded to just below."""


@dataclass(frozen=True)
class Fixed:
    """A network to run.

    Parameters
    ----------
    layers : list of dict
        In their order: ``kind`` ("dense", "convolution", "max_pool"), ``weight`` and ``bias`` in
        torch's layout, ``padding``, ``stride`` and ``size``; whether it ``fires``, and then the
        ``initial`` membranes, one for each channel. The first has no weights: `drive` is what its
        neurons integrate in every step. The last does not fire: what it gathers is the output.
    drive : float32 tensor of shape (sample, output, ...)
        Charge of every step into the first layer.
    scale : float32 tensor of shape (class,)
        What the charge of each output is worth.
    steps, threads, repeats : int
        Steps T, threads, and how often a run is timed.
    """

    layers: list[dict[str, Any]]
    drive: torch.Tensor
    scale: torch.Tensor
    steps: int
    threads: int
    repeats: int


def load(folder: Path) -> Fixed:
    """Return the network of a folder."""
    with np.load(folder / "fixed.npz") as file:
        layers = json.loads(str(file["layers"]))
        for place, layer in enumerate(layers):
            for name in ("weight", "bias", "initial"):
                if f"{place}.{name}" in file:
                    layer[name] = torch.tensor(file[f"{place}.{name}"], dtype=torch.float32)
        return Fixed(
            layers=layers,
            drive=torch.tensor(file["drive"], dtype=torch.float32),
            scale=torch.tensor(file["scale"], dtype=torch.float32),
            steps=int(file["steps"]),
            threads=int(file["threads"]),
            repeats=int(file["repeats"]),
        )


def weighted(layer: dict[str, Any]) -> nn.Module:
    """Return the module of a layer with weights."""
    weight, bias = layer["weight"], layer["bias"]
    module: nn.Module
    if layer["kind"] == "dense":
        module = nn.Linear(weight.shape[1], weight.shape[0])
    else:
        module = nn.Conv2d(
            weight.shape[1],
            weight.shape[0],
            weight.shape[2:],
            padding=layer["padding"],
            stride=layer["stride"],
        )
    module.load_state_dict({"weight": weight, "bias": bias})
    return module


def membranes(layer: dict[str, Any], like: torch.Tensor) -> torch.Tensor:
    """Return the membranes of a layer before the first step, one for each of its neurons."""
    initial = layer["initial"]
    found: torch.Tensor = initial.view(1, -1, *[1] * (like.dim() - 2)).expand_as(like).clone()
    return found


def measured(
    folder: Path, packages: list[str], built: Callable[[Fixed], Callable[[], torch.Tensor]]
) -> None:
    """Time what `built` returns, which runs all steps and returns outputs, and write it down."""
    fixed = load(folder)
    torch.set_num_threads(fixed.threads)
    with torch.no_grad():
        run = built(fixed)
        out = run()
        seconds = []
        for _ in range(fixed.repeats):
            start = time.perf_counter()
            out = run()
            seconds.append(time.perf_counter() - start)
    result = {
        "seconds": min(seconds),
        "output": (out * fixed.scale).tolist(),
        "versions": {name: version(name) for name in [*packages, "torch", "numpy"]},
    }
    (folder / "fixed.json").write_text(json.dumps(result))
