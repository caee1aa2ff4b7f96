"""A converted network with its thresholds brought to 1, as torch modules: what every tool runs.

    PYTHON SCRIPT FOLDER

reads every FOLDER/N.npz, which `benchmarks/engine_parts/fixed.py` writes, and writes
FOLDER/N.json and FOLDER/N.counts.npz.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Fixed:
    """A network to run.

    Parameters
    ----------
    layers : list of dict
        In their order, each with its ``kind``. A "max_pool" has a ``size`` and the place that it
        reads ``from``, -1 for the input. A "layer" has ``branches``, whose charge is added up; none
        where `drive` is what its neurons integrate in every step. If it ``fires``, "unipolar" or
        "signed" spikes, it has the ``initial`` membranes, one for each channel. The last does not:
        what it gathers is the output. A branch has the place that it reads ``from``, a ``kind``
        ("dense", after the ``average`` of so many pixels squared, "convolution" with ``padding``
        and ``stride``, or "identity"), ``weight`` in torch's layout; one of them has the ``bias``.
    drive : float32 tensor of shape (sample, output, ...) or None
        Charge of every step into the first layer.
    spikes : float32 tensor of shape (step, sample, input) or None
        Spikes into the first layer.
    scale : float32 tensor of shape (class,)
        What the charge of each output is worth.
    steps, threads, repeats : int
        Steps T, threads, and how often a run is timed at most.
    enough : float
        Seconds after which it is timed no more.
    """

    layers: list[dict[str, Any]]
    drive: torch.Tensor | None
    spikes: torch.Tensor | None
    scale: torch.Tensor
    steps: int
    threads: int
    repeats: int
    enough: float


@dataclass
class Built:
    """A network as a tool runs it.

    Parameters
    ----------
    run : callable
        Runs all steps from the start, and returns the charge of the last layer.
    neurons : dict of int to module
        What fires, by place. It returns spikes, alone or before its membranes.
    at_once : bool
        Whether it returns those of all steps at once, steps first.
    """

    run: Callable[[], torch.Tensor]
    neurons: dict[int, nn.Module] = field(default_factory=dict)
    at_once: bool = False


class Unknown(Exception):
    """The tool has no such neuron."""


def load(path: Path) -> Fixed:
    """Return the network of a file."""
    with np.load(path) as file:

        def tensor(name: str) -> torch.Tensor | None:
            return torch.tensor(file[name], dtype=torch.float32) if name in file else None

        layers = json.loads(str(file["layers"]))
        for place, layer in enumerate(layers):
            layer["initial"] = tensor(f"{place}.initial")
            for n, branch in enumerate(layer.get("branches", [])):
                branch["weight"] = tensor(f"{place}.{n}.weight")
                branch["bias"] = tensor(f"{place}.{n}.bias")
        scale = tensor("scale")
        assert scale is not None
        return Fixed(
            layers=layers,
            drive=tensor("drive"),
            spikes=tensor("spikes"),
            scale=scale,
            steps=int(file["steps"]),
            threads=int(file["threads"]),
            repeats=int(file["repeats"]),
            enough=float(file["enough"]),
        )


def weighted(branch: dict[str, Any]) -> nn.Module:
    """Return the module of a branch with weights."""
    weight, bias = branch["weight"], branch["bias"]
    module: nn.Module
    if branch["kind"] == "dense":
        module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    else:
        module = nn.Conv2d(
            weight.shape[1],
            weight.shape[0],
            weight.shape[2:],
            padding=branch["padding"],
            stride=branch["stride"],
            bias=bias is not None,
        )
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    module.load_state_dict(state)
    return module


class Charge(nn.Module):
    """The charge that the branches of a layer bring together.

    Parameters
    ----------
    layer : dict
        A layer of `Fixed`.
    flat : int
        The axis from which dense layers flatten.
    stepped : callable
        Returns a module as the tool takes it.
    """

    def __init__(
        self, layer: dict[str, Any], flat: int, stepped: Callable[[nn.Module], nn.Module]
    ) -> None:
        super().__init__()
        # Identities are added to what is there already, by one product.
        self.order = sorted(layer["branches"], key=lambda one: one["kind"] == "identity")
        self.places = [branch["from"] for branch in self.order]
        self.parts = nn.ModuleList()
        self.weights: list[Any] = []
        for branch in self.order:
            if branch["kind"] == "identity":
                self.parts.append(nn.Identity())
                values = branch["weight"]
                one = values[0].item() if bool((values == values[0]).all()) else None
                self.weights.append(values.view(-1, 1, 1) if one is None else one)
                continue
            chain: list[nn.Module] = []
            if "average" in branch:
                chain.append(stepped(nn.AvgPool2d(branch["average"])))
            if branch["kind"] == "dense":
                chain.append(nn.Flatten(flat))
            chain.append(stepped(weighted(branch)))
            self.parts.append(nn.Sequential(*chain))
            self.weights.append(None)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the sum over the branches, of what each reads."""
        total: Any = None
        for part, weight, x in zip(self.parts, self.weights, inputs):
            if weight is None:
                total = part(x) if total is None else total + part(x)
            elif isinstance(weight, float):
                total = torch.add(total, x, alpha=weight)
            else:
                total = total + weight * x
        assert isinstance(total, torch.Tensor)
        return total


def last_readers(layers: list[dict[str, Any]]) -> list[list[int]]:
    """Return, for each layer, the places that none after it reads."""
    reads = [
        [layer["from"]] if "from" in layer else [one["from"] for one in layer["branches"]]
        for layer in layers
    ]
    last = {source: place for place, sources in enumerate(reads) for source in sources}
    return [[source for source, at in last.items() if at == place] for place in range(len(layers))]


def membranes(layer: dict[str, Any], like: torch.Tensor) -> torch.Tensor:
    """Return the membranes of a layer before the first step, one for each of its neurons."""
    initial = layer["initial"]
    found: torch.Tensor = initial.view(1, -1, *[1] * (like.dim() - 2)).expand_as(like).clone()
    return found


def measured(folder: Path, packages: list[str], built: Callable[[Fixed], Built]) -> None:
    """Time what `built` returns for every network of a folder, and write it down."""
    versions = {name: version(name) for name in [*packages, "torch", "numpy"]}
    for path in sorted(folder.glob("*.npz"), key=lambda path: int(path.stem)):
        fixed = load(path)
        torch.set_num_threads(fixed.threads)
        result: dict[str, Any] = {"versions": versions}
        try:
            with torch.no_grad():
                result |= timed(fixed, built(fixed), path.with_suffix(".counts.npz"))
        except Unknown as error:
            result["reason"] = str(error)
        path.with_suffix(".json").write_text(json.dumps(result))


def timed(fixed: Fixed, built: Built, counts: Path) -> dict[str, Any]:
    """Return the least time and the outputs of a network, and write its counts of spikes."""
    found: dict[int, Any] = {}

    def count(place: int) -> Callable[..., None]:
        def add(module: nn.Module, inputs: Any, output: Any) -> None:
            spikes = output[0] if isinstance(output, tuple) else output
            found[place] = found.get(place, 0) + (spikes.sum(0) if built.at_once else spikes)

        return add

    hooks = [module.register_forward_hook(count(place)) for place, module in built.neurons.items()]
    out = built.run()
    for hook in hooks:
        hook.remove()
    np.savez(counts, **{str(place): one.flatten(1).numpy() for place, one in found.items()})
    seconds: list[float] = []
    while len(seconds) < fixed.repeats and not (seconds and sum(seconds) > fixed.enough):
        start = time.perf_counter()
        built.run()
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "output": (out * fixed.scale).tolist()}
