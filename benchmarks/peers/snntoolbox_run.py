"""Measure snntoolbox (Keras model in, INI simulator) on a problem: one run to the largest T."""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

# snntoolbox 0.6.0 uses a name that numpy 1.24 removed.
np.bool = bool

from exchange import BATCH, Problem, load, now, row, save  # noqa: E402
from snntoolbox.bin.utils import import_target_sim, update_setup  # noqa: E402
from snntoolbox.conversion.utils import normalize_parameters  # noqa: E402
from snntoolbox.datasets.utils import get_dataset  # noqa: E402
from snntoolbox.parsing.model_libs import keras_input_lib  # noqa: E402
from tensorflow import config as tensorflow_config, keras, random  # noqa: E402

SETTINGS = """
[paths]
path_wd = {folder}
dataset_path = {folder}
log_dir_of_current_run = {folder}
filename_ann = model
[normalization]
percentile = 99.9
[conversion]
softmax_to_relu = {rectified}
[simulation]
simulator = INI
duration = {duration}
num_to_test = {samples}
batch_size = {batch}
[output]
verbose = 0
"""


def keras_model(problem: Problem) -> Any:
    """Return the network with the channel last, and a softmax behind its last layer."""
    channels, *size = problem.images.shape[1:]
    values = {-1: keras.Input((*size, channels))}
    flattened = None
    for place, layer in enumerate(problem.layers):
        given = [values[source] for source in layer["inputs"]]
        if layer["kind"] == "flatten":
            flattened = given[0].shape[1:]
        last = layer is problem.layers[-1]
        values[place] = _added(layer, given, flattened, last=last)
        if layer["kind"] == "dense":
            flattened = None
    model = keras.Model(values[-1], values[len(problem.layers) - 1])
    model.compile("sgd", "categorical_crossentropy")
    return model


def _added(layer: dict[str, Any], given: list[Any], flattened: Any, *, last: bool) -> Any:
    """Return what a layer makes of what it is given, with its weights."""
    kind = layer["kind"]
    if kind == "add":
        return keras.layers.Add()(given)
    (x,) = given
    if kind == "flatten":
        return keras.layers.Flatten()(x)
    if kind == "relu":
        return keras.layers.Activation("relu")(x)
    if kind == "average_pool":
        return keras.layers.AveragePooling2D(layer["size"])(x)
    if kind == "convolution":
        kernel = layer["weight"].transpose(2, 3, 1, 0)
        padding, stride = layer["padding"], layer["stride"]
        if padding and stride > 1:
            # "same" would pad at the far edges alone.
            x = keras.layers.ZeroPadding2D(padding)(x)
        made = keras.layers.Conv2D(
            kernel.shape[-1],
            kernel.shape[:2],
            strides=stride,
            padding="same" if padding and stride == 1 else "valid",
        )
        weights = [kernel, layer.get("bias", np.zeros(kernel.shape[-1]))]
    elif kind == "batch_norm":
        made = keras.layers.BatchNormalization(epsilon=layer["epsilon"])
        weights = [layer[name] for name in ("weight", "bias", "running_mean", "running_var")]
    elif kind == "dense":
        rows = layer["weight"].T
        if flattened is not None:
            rows = _channel_last(rows, flattened)
        made = keras.layers.Dense(rows.shape[1], "softmax" if last else None)
        weights = [rows, layer["bias"]]
    else:
        raise ValueError(f"keras_model knows no layer of kind {kind!r}.")
    out = made(x)
    made.set_weights(weights)
    return out


def _channel_last(rows: Any, image: tuple[int, ...]) -> Any:
    """Return the rows that a flattened image of (height, width, channel) meets, in that order."""
    height, width, channels = image
    return rows.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(rows.shape)


def logits(model: Any, images: Any) -> Any:
    """Return what the last layer adds up, before its softmax."""
    before = keras.Model(model.input, model.layers[-2].output)
    weight, bias = model.layers[-1].get_weights()
    return before.predict(images, BATCH, verbose=0) @ weight + bias


def measure(problem: Problem, model: Any, *, rectified: bool) -> dict[str, Any]:
    """Return the row of one kind of output layer."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(str(Path(folder) / "model.h5"))
        _write_images(Path(folder), problem)
        settings = SETTINGS.format(
            folder=folder,
            rectified=rectified,
            duration=problem.steps[-1],
            samples=len(problem.images),
            batch=BATCH,
        )
        path = Path(folder) / "settings"
        path.write_text(settings)
        start = now()
        config = update_setup(str(path))
        parser = keras_input_lib.ModelParser(keras_input_lib.load(folder, "model")["model"], config)
        parser.parse()
        parsed = parser.build_parsed_model()
        calibration, images = get_dataset(config)
        normalize_parameters(parsed, config, **calibration)
        network = _timed(import_target_sim(config).SNN)(config)
        network.build(parsed)
        converting = now() - start
        network.run(**images)
    at = np.array(problem.steps) - 1
    guessed = np.concatenate(network.guessed)
    right = 100 * np.mean(guessed == problem.labels[: len(guessed), np.newaxis], axis=0)
    return row(
        "ReLU output" if rectified else "softmax output (default)",
        problem.steps,
        accuracy=right[at].tolist(),
        converting=[converting] * len(at),
        simulating=list(np.sum(network.spent, axis=0)[at]),
    )


def _write_images(folder: Path, problem: Problem) -> None:
    images = {"x_norm": problem.calibration, "x_test": problem.images}
    for name, x in images.items():
        np.savez(folder / name, x.transpose(0, 2, 3, 1))
    np.savez(folder / "y_test", np.eye(problem.logits.shape[1])[problem.labels])


def _timed(simulator: Any) -> Any:
    class Timed(simulator):
        """The simulator, keeping its guesses and the seconds of each step."""

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.guessed: list[Any] = []
            self.spent: list[Any] = []
            self.stamps: list[Any] = []

        def set_time(self, t: float) -> None:
            self.stamps.append(now())
            super().set_time(t)

        def simulate(self, **given: Any) -> Any:
            if not self.guessed:
                # The first step traces the graph.
                self.set_time(1.0)
                self.snn.predict_on_batch(given["x_b_l"])
                self.reset(0)
            self.stamps = []
            counts = super().simulate(**given)
            self.spent.append(np.array([*self.stamps[1:], now()]) - self.stamps[0])
            # No spike of the output yet is no answer, as snntoolbox has it.
            self.guessed.append(np.where(counts.sum(1) > 0, counts.argmax(1), -1))
            return counts

    return Timed


def main() -> None:
    problem = load(Path(sys.argv[1]))
    # Its softmax output fires at random.
    random.set_seed(0)
    tensorflow_config.threading.set_intra_op_parallelism_threads(1)
    tensorflow_config.threading.set_inter_op_parallelism_threads(1)
    model = keras_model(problem)
    found = logits(model, problem.images.transpose(0, 2, 3, 1))
    rows = [measure(problem, model, rectified=rectified) for rectified in (False, True)]
    versions = {name: version(name) for name in ("snntoolbox", "tensorflow-cpu", "keras", "numpy")}
    save(Path(sys.argv[1]), {"versions": versions, "logits": found.tolist(), "rows": rows})


if __name__ == "__main__":
    main()
