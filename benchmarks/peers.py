"""spikeram beside other converters: the same weights, the same images, one processor core.

The MNIST perceptron and the MNIST convolutional network of `mnist_training.py`, or the CIFAR-10
ResNet-20 of `cifar10_training.py`, are converted by spikeram, SpikingJelly and snntoolbox, each in
its own interpreter, from the same calibration images; what is not given an interpreter is not
measured. Needs the four MNIST files in $SPIKERAM_DATA/mnist, or $SPIKERAM_DATA/cifar10, and torch.

    python benchmarks/peers.py --spikingjelly a/bin/python --snntoolbox b/bin/python
    python benchmarks/peers.py --resnet20 resnet20.pt --shortest 4 ...
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from engine_parts.one_thread import ONE_THREAD
from mnist_training import images, labels, trained
from rich.console import Console
from rich.table import Table

CALIBRATION = 1000
NETWORKS = {"mlp": "perceptron", "cnn": "convolutional"}
RESNET = "ResNet-20"
TOLERANCE = 1e-4
"""Of logits, as a share of the largest: what single precision in another order of sums may do."""

SCRIPTS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Subject:
    """A trained network, its modules in order with what each reads, and its data.

    Parameters
    ----------
    model : torch.nn.Module
        The network in evaluation.
    modules : list of (module or None, list of int)
        In their order: None for a sum, and the places that it reads, -1 for the images.
    calibration, images, labels : ndarray
        Of the data set.
    """

    model: Any
    modules: list[tuple[Any, list[int]]]
    calibration: Any
    images: Any
    labels: Any


def mnist(kind: str, samples: int) -> Subject:
    """Return an MNIST network and its images."""
    model = trained(kind)
    return Subject(
        model=model,
        modules=[(module, [place - 1]) for place, module in enumerate(model)],
        calibration=images("train")[:CALIBRATION],
        images=images("t10k")[:samples],
        labels=labels("t10k")[:samples],
    )


def cifar10(weights: Path, samples: int) -> Subject:
    """Return the CIFAR-10 ResNet-20 with weights from a file, and its images."""
    import torch
    from cifar10_training import images as pictures, resnet20

    model = resnet20()
    model.load_state_dict(torch.load(weights, weights_only=True)["model"])
    x, y = pictures("test")
    return Subject(
        model=model.eval(),
        modules=residual(model),
        calibration=pictures("train20k")[0][:CALIBRATION],
        images=x[:samples],
        labels=y[:samples],
    )


def residual(model: Any) -> list[tuple[Any, list[int]]]:
    """Return the modules of a ResNet-20 in order.

    A shortcut that skips pixels and fills channels with zeros is a 1 x 1 convolution of stride 2
    with weights 0 and 1, which every converter knows.
    """
    from torch import nn

    found: list[tuple[Any, list[int]]] = []

    def then(module: Any, *inputs: int) -> int:
        found.append((module, list(inputs) or [len(found) - 1]))
        return len(found) - 1

    then(model.conv1)
    then(model.bn1)
    before = then(model.act1)
    for block in model.blocks:
        then(block.conv1, before)
        then(block.bn1)
        then(block.act1)
        then(block.conv2)
        body = then(block.bn2)
        if block.extra:
            before = then(_shortcut(block.bn1.num_features, block.extra), before)
        then(None, body, before)
        before = then(block.act2)
    then(nn.AvgPool2d(8))
    then(nn.Flatten())
    then(model.linear)
    return found


def _shortcut(width: int, extra: int) -> Any:
    import torch
    from torch import nn

    kept = torch.arange(width - extra)
    module = nn.Conv2d(width - extra, width, 1, stride=2, bias=False)
    with torch.no_grad():
        module.weight.zero_()
        module.weight[extra // 2 + kept, kept] = 1.0
    return module.requires_grad_(False)


def exported(modules: list[tuple[Any, list[int]]]) -> dict[str, Any]:
    """Return the layers of a network as arrays, and a list that names them."""
    from torch import nn

    kinds = {
        type(None): "add",
        nn.Flatten: "flatten", nn.ReLU: "relu", nn.AvgPool2d: "average_pool",
        nn.Conv2d: "convolution", nn.BatchNorm2d: "batch_norm", nn.Linear: "dense",
    }  # fmt: skip
    layers: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for index, (module, inputs) in enumerate(modules):
        state = {} if module is None else module.state_dict()
        state = {name: array.numpy() for name, array in state.items() if array.ndim}
        layer: dict[str, Any] = {"kind": kinds[type(module)], "arrays": list(state)}
        layer["inputs"] = inputs
        if isinstance(module, nn.Conv2d):
            layer |= {"padding": module.padding[0], "stride": module.stride[0]}
        if isinstance(module, nn.BatchNorm2d):
            layer["epsilon"] = module.eps
        if isinstance(module, nn.AvgPool2d):
            layer["size"] = module.kernel_size
        layers.append(layer)
        arrays |= {f"{index}.{name}": array for name, array in state.items()}
    return {"layers": json.dumps(layers), **arrays}


def measured(tool: str, python: str, folder: Path) -> dict[str, Any]:
    """Return the result of one tool on the problem of a folder."""
    script = SCRIPTS / f"{tool}_run.py"
    done = subprocess.run(
        [python, str(script), str(folder)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise click.ClickException(f"{script.name} failed in {python}:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def checked(tool: str, result: dict[str, Any], logits: Any) -> None:
    """Stop where a tool's rebuilt network is not the one that was trained."""
    found = np.array(result.pop("logits"))
    error = np.abs(found - logits).max() / np.abs(logits).max()
    moved = int(np.count_nonzero(found.argmax(1) != logits.argmax(1)))
    if error > TOLERANCE or moved:
        raise click.ClickException(
            f"{tool} does not run the trained network: logits off by {error:.1e} of the largest, "
            f"{moved} of {len(logits)} classes differ."
        )
    result["logit_error"] = float(error)


def compared(subject: Subject, steps: list[int], pythons: dict[str, str | None]) -> dict[str, Any]:
    """Return the results of all tools on one network."""
    import torch

    x, y = subject.images.astype(np.float32), subject.labels
    with torch.no_grad():
        parts = [subject.model(torch.tensor(x[k : k + 500])) for k in range(0, len(x), 500)]
        logits = torch.cat(parts).numpy()
    found: dict[str, Any] = {"ann": 100 * float(np.mean(logits.argmax(1) == y)), "tools": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(
            folder / "problem.npz",
            calibration=subject.calibration.astype(np.float32),
            images=x,
            labels=y.astype(np.int64),
            logits=logits,
            steps=steps,
            **exported(subject.modules),
        )
        for tool, python in pythons.items():
            if python is None:
                found["tools"][tool] = {"rows": [], "reason": f"no --{tool}"}
                continue
            with Console(stderr=True).status(f"{tool} ..."):
                try:
                    result = measured(tool, python, folder)
                except click.ClickException as error:
                    # A tool that cannot take the network says so in its row.
                    reason = error.message.strip().splitlines()[-1]
                    found["tools"][tool] = {"rows": [], "reason": reason}
                    continue
            checked(tool, result, logits)
            found["tools"][tool] = result
    return found


def shown(title: str, found: dict[str, Any], steps: list[int], samples: int) -> None:
    """Print accuracies, and seconds of the processor and by the clock."""
    heads = [f"T={t}" for t in steps]
    right = Table(title, *heads, title=f"Accuracy in %, ANN {found['ann']:.2f}")
    spent = Table(
        title, "converting", *heads, "by the clock",
        title=f"Seconds of the processor, {samples} images",
    )  # fmt: skip
    for tool, result in found["tools"].items():
        for row in result["rows"]:
            name = f"{tool}: {row['method']}"
            right.add_row(name, *(f"{value:.2f}" for value in row["accuracy"]))
            pairs = [row["converting"][-1], *row["simulating"]]
            clock = f"{pairs[0][0]:.1f} + {pairs[-1][0]:.1f}"
            spent.add_row(name, *(f"{processor:.2f}" for _, processor in pairs), clock)
        if not result["rows"]:
            right.add_row(f"{tool}: not measured, {result['reason']}")
    for table in (right, spent):
        Console(width=130).print(table)


@click.command()
@click.option("--spikingjelly", metavar="PYTHON", help="Interpreter that has SpikingJelly.")
@click.option("--snntoolbox", metavar="PYTHON", help="Interpreter that has snntoolbox.")
@click.option("--samples", type=click.IntRange(100, 10_000), default=1000, show_default=True)
@click.option("--shortest", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--longest", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--network", type=click.Choice(list(NETWORKS)), multiple=True, default=list(NETWORKS))
@click.option("--resnet20", type=click.Path(path_type=Path), help="Weights; instead of MNIST.")
@click.option("--output", type=click.Path(path_type=Path))
def main(
    spikingjelly: str | None,
    snntoolbox: str | None,
    samples: int,
    shortest: int,
    longest: int,
    network: tuple[str, ...],
    resnet20: Path | None,
    output: Path | None,
) -> None:
    """Print accuracies at T = 1, 2, 4, ... and the seconds they took."""
    if samples % 100:
        raise click.BadParameter("tools run 100 images at once: expected a multiple of 100.")
    if resnet20 is None:
        subjects = {kind: mnist(kind, samples) for kind in network}
    else:
        subjects = {"resnet20": cifar10(resnet20, samples)}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    steps = [2**n for n in range(longest.bit_length()) if 2**n >= shortest]
    pythons = {"spikeram": sys.executable, "spikingjelly": spikingjelly, "snntoolbox": snntoolbox}
    results: dict[str, Any] = {"samples": samples, "calibration": CALIBRATION, "steps": steps}
    for kind, subject in subjects.items():
        results[kind] = compared(subject, steps, pythons)
        shown(NETWORKS.get(kind, RESNET), results[kind], steps, samples)
        if output is not None:
            output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
