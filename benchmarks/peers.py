"""spikeram beside other converters: the same weights, the same images, one processor core.

The MNIST perceptron and the MNIST convolutional network of `mnist_training.py` are converted by
spikeram, SpikingJelly and snntoolbox, each in its own interpreter, from the same calibration
images; what is not given an interpreter is not measured. Needs the four MNIST files in
$SPIKERAM_DATA/mnist, and torch.

    python benchmarks/peers.py --spikingjelly a/bin/python --snntoolbox b/bin/python
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from mnist_training import images, labels, trained
from rich.console import Console
from rich.table import Table

CALIBRATION = 1000
NETWORKS = {"mlp": "perceptron", "cnn": "convolutional"}
TOLERANCE = 1e-4
"""Of logits, as a share of the largest: what single precision in another order of sums may do."""

SCRIPTS = Path(__file__).parent / "peers"
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")
}


def exported(model: Any) -> dict[str, Any]:
    """Return the layers of a sequential torch model as arrays, and a list that names them."""
    from torch import nn

    kinds = {
        nn.Flatten: "flatten", nn.ReLU: "relu", nn.AvgPool2d: "average_pool",
        nn.Conv2d: "convolution", nn.BatchNorm2d: "batch_norm", nn.Linear: "dense",
    }  # fmt: skip
    layers: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for index, module in enumerate(model):
        state = {k: v.numpy() for k, v in module.state_dict().items() if v.ndim}
        layer: dict[str, Any] = {"kind": kinds[type(module)], "arrays": list(state)}
        if isinstance(module, nn.Conv2d):
            layer["padding"] = module.padding[0]
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


def compared(
    model: Any, steps: list[int], samples: int, pythons: dict[str, str | None]
) -> dict[str, Any]:
    """Return the results of all tools on one network."""
    import torch

    x, y = images("t10k")[:samples].astype(np.float32), labels("t10k")[:samples]
    with torch.no_grad():
        logits = model(torch.tensor(x)).numpy()
    found: dict[str, Any] = {"ann": 100 * float(np.mean(logits.argmax(1) == y)), "tools": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(
            folder / "problem.npz",
            calibration=images("train")[:CALIBRATION].astype(np.float32),
            images=x,
            labels=y.astype(np.int64),
            logits=logits,
            steps=steps,
            **exported(model),
        )
        for tool, python in pythons.items():
            if python is None:
                found["tools"][tool] = {"rows": [], "reason": f"no --{tool}"}
                continue
            with Console(stderr=True).status(f"{tool} ..."):
                result = measured(tool, python, folder)
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
@click.option("--longest", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--network", type=click.Choice(list(NETWORKS)), multiple=True, default=list(NETWORKS))
@click.option("--output", type=click.Path(path_type=Path))
def main(
    spikingjelly: str | None,
    snntoolbox: str | None,
    samples: int,
    longest: int,
    network: tuple[str, ...],
    output: Path | None,
) -> None:
    """Print accuracies at T = 1, 2, 4, ... and the seconds they took."""
    if samples % 100:
        raise click.BadParameter("tools run 100 images at once: expected a multiple of 100.")
    models = {kind: trained(kind) for kind in network}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    steps = [2**n for n in range(longest.bit_length())]
    pythons = {"spikeram": sys.executable, "spikingjelly": spikingjelly, "snntoolbox": snntoolbox}
    results: dict[str, Any] = {"samples": samples, "calibration": CALIBRATION, "steps": steps}
    for kind, model in models.items():
        results[kind] = compared(model, steps, samples, pythons)
        shown(NETWORKS[kind], results[kind], steps, samples)
        if output is not None:
            output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
