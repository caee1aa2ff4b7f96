"""Measure spikeram on a problem: thresholds are chosen for each T, so each T is a conversion."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exchange import load, now, row, save
from torch_model import torch_model

from spikeram.conversion import convert, read
from spikeram.simulation import simulate
from spikeram.statistics import accuracy

METHODS = ("least_squares", "reconstruction", "percentile")
DEEP = ("least_squares", "signed_reconstruction", "percentile")
"""For networks with branches."""


def main() -> None:
    problem = load(Path(sys.argv[1]))
    torch.set_num_threads(1)
    network = read(torch_model(problem.layers), input_shape=problem.images.shape[1:])
    rows: list[dict[str, Any]] = []
    chain = all(len(layer["inputs"]) == 1 for layer in problem.layers)
    for method in METHODS if chain else DEEP:
        # The first use compiles, or loads what was compiled.
        some = convert(network, problem.calibration[:20], steps=2, method=method)
        simulate(some, problem.images[:20], record="counts")
        right, converting, simulating = [], [], []
        for steps in problem.steps:
            start = now()
            spiking = convert(network, problem.calibration, steps=steps, method=method)
            converted = now()
            run = simulate(spiking, problem.images, record="counts")
            right.append(100 * float(accuracy(run, problem.labels)[-1]))
            simulating.append(now() - converted)
            converting.append(converted - start)
        name = f"{method} (default)" if method == "least_squares" else method
        rows.append(
            row(name, problem.steps, accuracy=right, converting=converting, simulating=simulating)
        )
    versions = {name: version(name) for name in ("spikeram", "numpy", "numba", "torch")}
    logits = np.asarray(network.forward(problem.images))
    save(Path(sys.argv[1]), {"versions": versions, "logits": logits.tolist(), "rows": rows})


if __name__ == "__main__":
    main()
