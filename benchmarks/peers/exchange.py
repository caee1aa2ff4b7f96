"""What the scripts of this folder share: the network and its images in, seconds and accuracies out.

numpy alone, so that each runs in the interpreter of its peer:

    PYTHON SCRIPT FOLDER

reads FOLDER/problem.npz, which `benchmarks/peers.py` writes, and writes FOLDER/result.json.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 100
"""Images that a peer runs, and calibrates on, at once."""


@dataclass(frozen=True)
class Problem:
    """A trained network and its images.

    Parameters
    ----------
    layers : list of dict
        In their order: ``kind``, the numbers and arrays of that kind in torch's layout, and
        ``inputs``, the places in the list that it reads, -1 for the images.
    calibration, images : ndarray of shape (sample, channel, y, x)
        Inputs as the network takes them, single precision.
    labels : ndarray of shape (sample,)
        Of `images`.
    logits : ndarray of shape (sample, class)
        Of `images`, by the network as it was trained.
    steps : list of int
        Numbers of steps T to measure, ascending.
    """

    layers: list[dict[str, Any]]
    calibration: NDArray[np.float32]
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    steps: list[int]


def load(folder: Path) -> Problem:
    """Return the problem of a folder."""
    with np.load(folder / "problem.npz") as file:
        layers = json.loads(str(file["layers"]))
        for index, layer in enumerate(layers):
            layer |= {name: file[f"{index}.{name}"] for name in layer.pop("arrays")}
        return Problem(
            layers=layers,
            calibration=file["calibration"],
            images=file["images"],
            labels=file["labels"],
            logits=file["logits"],
            steps=file["steps"].tolist(),
        )


def save(folder: Path, result: dict[str, Any]) -> None:
    """Write what was measured: `versions`, `logits` and `rows`."""
    (folder / "result.json").write_text(json.dumps(result))


def now() -> NDArray[np.float64]:
    """Return the time by the clock, and the time that this process has had of a processor [s]."""
    return np.array([time.perf_counter(), time.process_time()])


def row(
    method: str,
    steps: list[int],
    *,
    accuracy: list[float],
    converting: list[NDArray[np.float64]],
    simulating: list[NDArray[np.float64]],
) -> dict[str, Any]:
    """Return what is written of one method, all lists over T.

    Parameters
    ----------
    method : str
        Its name.
    steps : list of int
        Numbers of steps T.
    accuracy : list of float
        In %.
    converting, simulating : list of ndarray of shape (2,)
        Seconds as differences of `now`.
    """
    return {
        "method": method,
        "steps": steps,
        "accuracy": accuracy,
        "converting": [list(pair) for pair in converting],
        "simulating": [list(pair) for pair in simulating],
    }
