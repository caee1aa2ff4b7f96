"""Published architectures of four kinds, converted unedited: ONNX, torch, Keras, an autoencoder.

Each is read as its framework gives it: files that ``torch.onnx.export`` writes, the MNIST network
of the ONNX model zoo, the CIFAR-10 ResNet-20 of torch, the keyword spotter of MLPerf Tiny from a
Keras file, and a residual autoencoder, whose outputs are values. Weights are our own: the recipes
of ``mnist_training.py`` and ``published/training.py`` run when a cache folder, benchmark-cache,
lacks their results; those of the ResNet-20 are made before, by ``cifar10_training.py``. Needs
$SPIKERAM_DATA with mnist/, cifar10/ and speech_commands/.

    python benchmarks/public_models.py --output public_models.json
    python benchmarks/public_models.py --only resnet20 --resnet resnet20.pt --levels resnet20_l8.pt
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Keras chooses its backend when it is imported.
os.environ.setdefault("KERAS_BACKEND", "torch")

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from spikeram.conversion import convert, inspect, read
from spikeram.simulation import simulate
from spikeram.statistics import accuracy, root_mean_square_error

CALIBRATION = 300
STEPS = (8, 16, 32, 64)
BOTH = ("least_squares", "auto")

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A model, what its own framework computes, and inputs to convert and to measure it with.

    Parameters
    ----------
    name : str
        What the table calls it.
    model : Any
        The model itself, or the path of its file.
    outputs : callable
        Samples -> what the framework computes for them.
    calibration, x, y : ndarray
        Inputs to convert with, inputs to measure with, and their classes or true values.
    methods : tuple of str
        Methods of conversion.
    steps : tuple of int
        Numbers of steps T.
    regression, probabilities : bool
        Whether outputs are values; whether the framework's outputs have gone through a softmax.
    """

    name: str
    model: Any
    outputs: Callable[[Array], Array]
    calibration: Array
    x: Array
    y: Array
    methods: tuple[str, ...] = BOTH
    steps: tuple[int, ...] = STEPS
    regression: bool = False
    probabilities: bool = False


def of_torch(net: Any) -> Callable[[Array], Array]:
    import torch

    def outputs(x: Array) -> Array:
        with torch.no_grad():
            parts = torch.tensor(x, dtype=torch.float32).split(250)  # type: ignore[no-untyped-call]
            return np.concatenate([net(part).numpy() for part in parts])

    return outputs


def of_onnx(path: Path) -> Callable[[Array], Array]:
    """Return the function of a file in the reference implementation that comes with onnx."""
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(str(path))
    name = evaluator.input_names[0]

    def outputs(x: Array) -> Array:
        some = [evaluator.run(None, {name: x[k : k + 1].astype(np.float32)}) for k in range(len(x))]
        return np.concatenate([one[0] for one in some])

    return outputs


def evenly(values: Array, count: int) -> Array:
    """Return so many of values that are sorted by class, or all."""
    count = min(count, len(values))
    some: Array = values[np.arange(count) * len(values) // count]
    return some


def exported(folder: Path, samples: int) -> Iterator[Case]:
    """Yield the convolutional MNIST networks, as ``torch.onnx.export`` writes them."""
    import torch
    from mnist_training import images, labels, trained

    for kind in ("cnn", "maxcnn"):
        path = folder / f"{kind}.onnx"
        torch.onnx.export(
            trained(kind), (torch.zeros(1, 1, 28, 28),), str(path), dynamo=False,
            input_names=["image"], dynamic_axes={"image": {0: "n"}},
        )  # fmt: skip
        yield Case(
            name=f"MNIST {kind}, exported by torch",
            model=path,
            outputs=of_onnx(path),
            calibration=images("train")[:CALIBRATION],
            x=images("t10k")[:samples],
            y=labels("t10k")[:samples],
            methods=("least_squares",),
        )


def zoo(folder: Path, samples: int) -> Iterator[Case]:
    """Yield the MNIST network of the ONNX model zoo."""
    import onnx
    from mnist_training import images, labels
    from published.training import trained_mnist_8

    path = folder / "mnist-8.onnx"
    onnx.save(trained_mnist_8(), path)
    yield Case(
        name="mnist-8 of the ONNX zoo",
        model=path,
        outputs=of_onnx(path),
        calibration=images("train")[:CALIBRATION],
        x=images("t10k")[:samples],
        y=labels("t10k")[:samples],
    )


def resnet(weights: Path, levels: Path, samples: int) -> Iterator[Case]:
    """Yield the ResNet-20 with ReLU, and with clip-floor-shift activations, where there are any."""
    import cifar10_training
    import torch
    from published import resnet20

    for path in (weights, levels):
        if not path.exists():
            Console(stderr=True).print(
                f"There is no file {path}: cifar10_training.py makes it. This row is left out."
            )
            continue
        state = torch.load(path, weights_only=True)
        net: Any = resnet20.resnet20()
        if state["levels"]:
            net = cifar10_training.resnet20(state["levels"])
            net.load_state_dict(state["model"])
        else:
            net.load_state_dict(resnet20.renamed(state["model"]))
        x, y = cifar10_training.images("test")
        yield Case(
            name=f"ResNet-20, {state['levels']} levels" if state["levels"] else "ResNet-20",
            model=net.eval(),
            outputs=of_torch(net),
            calibration=cifar10_training.images("train20k")[0][:CALIBRATION],
            x=x[:samples],
            y=y[:samples],
            methods=("learned_signed",) if state["levels"] else ("signed_reconstruction",),
            steps=(8,) if state["levels"] else (8, 32),
        )


def words(samples: int) -> Iterator[Case]:
    """Yield the keyword spotter of MLPerf Tiny."""
    from published import training

    path = training.trained_ds_cnn()
    import keras

    model = keras.saving.load_model(path)
    x, y = training.words(training.TEST)
    yield Case(
        name="DS-CNN of MLPerf Tiny",
        model=path,
        outputs=lambda some: np.asarray(model.predict(some, verbose=0)),
        calibration=evenly(training.words(training.TRAIN)[0], CALIBRATION),
        x=evenly(x, samples),
        y=evenly(y, samples),
        probabilities=True,
    )


def autoencoder(samples: int) -> Iterator[Case]:
    """Yield the residual autoencoder, which takes noise away."""
    from mnist_training import images
    from published import training

    net = training.trained_red_net()
    clean = images("t10k")[:samples]
    yield Case(
        name="RED20, 16 feature maps",
        model=net,
        outputs=of_torch(net),
        calibration=training.noisy(images("train")[-CALIBRATION:], seed=1),
        x=training.noisy(clean, seed=2),
        y=clean.reshape(samples, -1),
        regression=True,
    )


def decided(case: Case, outputs: Array) -> Array:
    """Return outputs as the framework gives them: flat, and behind its softmax."""
    found = outputs.reshape(len(outputs), -1)
    if not case.probabilities:
        return found
    shares: Array = np.exp(found - found.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def deviation(found: Array, wanted: Array) -> float:
    """Return the root-mean-square deviation as a share of what is wanted."""
    return float(np.sqrt(np.mean((found - wanted) ** 2) / np.mean(wanted**2)))


def quality(case: Case, outputs: Array) -> float:
    """Return the accuracy of outputs in %, or their root-mean-square error."""
    if case.regression:
        return float(np.sqrt(np.mean((outputs - case.y) ** 2)))
    return 100 * float(np.mean(outputs.argmax(axis=1) == case.y))


def measured(case: Case) -> dict[str, Any]:
    """Return everything about one model: what it takes, and how well it does over T."""
    shape = case.x.shape[1:]
    looked = inspect(case.model, input_shape=shape)
    network = read(case.model, input_shape=shape, regression=case.regression)
    ann = case.outputs(case.x).reshape(len(case.x), -1)
    found: dict[str, Any] = {
        "model": case.name,
        "samples": len(case.x),
        "measure": "RMS error" if case.regression else "accuracy %",
        "operations": len(looked.operations),
        "crossbars": len(looked.crossbars),
        "cores": looked.cores,
        "deviation of reading": deviation(decided(case, network.forward(case.x)), ann),
        "ann": quality(case, ann),
        "input": quality(case, case.x.reshape(len(case.x), -1)) if case.regression else None,
        "methods": {},
    }
    with Progress(transient=True) as progress:
        task = progress.add_task(case.name, total=len(case.methods) * len(case.steps))
        for method in case.methods:
            rows = {}
            for steps in case.steps:
                start = time.perf_counter()
                spiking = convert(network, case.calibration, steps=steps, method=method)
                middle = time.perf_counter()
                run = simulate(spiking, case.x, record="counts")
                output = run["output"].values[:, -1]
                rows[str(steps)] = {
                    "spikes": (
                        float(root_mean_square_error(run, case.y)[-1])
                        if case.regression
                        else 100 * float(accuracy(run, case.y)[-1])
                    ),
                    "deviation": deviation(decided(case, output), ann),
                    "choice": str(spiking.origin.get("choice", method)),
                    "converting": middle - start,
                    "simulating": time.perf_counter() - middle,
                }
                progress.advance(task)
            found["methods"][method] = rows
    return found


def shown(results: list[dict[str, Any]]) -> Table:
    table = Table("model", "samples", "measure", "ANN", "method", *(f"T={t}" for t in STEPS))
    for one in results:
        digits = 4 if one["measure"] == "RMS error" else 2
        for method, rows in one["methods"].items():
            table.add_row(
                one["model"],
                str(one["samples"]),
                one["measure"],
                f"{one['ann']:.{digits}f}",
                method,
                *(f"{rows[str(t)]['spikes']:.{digits}f}" if str(t) in rows else "" for t in STEPS),
            )
    return table


@click.command()
@click.option("--only", type=click.Choice(["exported", "zoo", "resnet20", "words", "autoencoder"]))
@click.option("--samples", type=click.IntRange(10, 10_000), default=1000, show_default=True)
@click.option("--resnet", "weights", type=click.Path(path_type=Path), default=Path("resnet20.pt"))
@click.option("--levels", type=click.Path(path_type=Path), default=Path("resnet20_l8.pt"))
@click.option("--output", type=click.Path(path_type=Path))
def main(only: str | None, samples: int, weights: Path, levels: Path, output: Path | None) -> None:
    """Print accuracies, or errors of a reconstruction, over T."""
    results: list[dict[str, Any]] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        few = -(-samples // 5)
        kinds: dict[str, Callable[[], Iterator[Case]]] = {
            "exported": lambda: exported(folder, samples),
            "zoo": lambda: zoo(folder, samples),
            "resnet20": lambda: resnet(weights, levels, few),
            "words": lambda: words(samples),
            "autoencoder": lambda: autoencoder(few),
        }
        for kind, cases in kinds.items():
            for case in cases() if only in (None, kind) else ():
                results.append(measured(case))
                if output is not None:
                    output.write_text(json.dumps(results, indent=2) + "\n")
    Console(width=120).print(shown(results))


if __name__ == "__main__":
    main()
