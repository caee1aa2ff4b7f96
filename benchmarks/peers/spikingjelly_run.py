"""Measure SpikingJelly's converter on a problem: one run to the largest T gives all."""

import copy
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exchange import BATCH, Problem, load, now, row, save
from spikingjelly.activation_based import ann2snn, functional
from torch_model import torch_model

PASSES = 10
"""How often local threshold balancing sees the calibration images: it nears its thresholds step by
step, a batch each, and expects more batches than these images make."""


def recipes(calibration: torch.Tensor) -> dict[str, Any]:
    """Return the recipes by name."""
    batches = list(calibration.split(BATCH))
    rate = ann2snn.RateCodingRecipe
    return {
        "max (default)": rate(batches),
        "99.9 %": rate(batches, mode="99.9%"),
        "99.9 % of each channel": rate(batches, mode="99.9%", channel_wise=True),
        "99.9 % of each channel, from half a threshold": rate(
            batches, mode="99.9%", channel_wise=True, half_threshold=True
        ),
        "local threshold balancing": ann2snn.LocalThresholdBalancingRecipe(batches * PASSES),
    }


def measure(net: Any, problem: Problem) -> tuple[list[float], list[Any]]:
    """Return accuracies [%] and seconds at each T."""
    images, labels = torch.tensor(problem.images), torch.tensor(problem.labels)
    longest = problem.steps[-1]
    right, spent = np.zeros(longest), np.zeros((longest, 2))
    for x, y in zip(images.split(BATCH), labels.split(BATCH)):
        start = now()
        functional.reset_net(net)
        out = torch.zeros(())
        for step in range(longest):
            out = out + net(x)
            spent[step] += now() - start
            right[step] += int((out.argmax(1) == y).sum())
    at = np.array(problem.steps) - 1
    return (100 * right[at] / len(labels)).tolist(), list(spent[at])


@torch.no_grad()
def main() -> None:
    problem = load(Path(sys.argv[1]))
    torch.set_num_threads(1)
    model = torch_model(problem.layers)
    logits = model(torch.tensor(problem.images))
    rows = []
    for name, recipe in recipes(torch.tensor(problem.calibration)).items():
        start = now()
        net = ann2snn.FXConverter(recipe=recipe, device="cpu").convert(copy.deepcopy(model))
        converting = now() - start
        right, simulating = measure(net.eval(), problem)
        rows.append(
            row(
                name,
                problem.steps,
                accuracy=right,
                converting=[converting] * len(problem.steps),
                simulating=simulating,
            )
        )
    versions = {name: version(name) for name in ("spikingjelly", "torch", "numpy")}
    save(Path(sys.argv[1]), {"versions": versions, "logits": logits.tolist(), "rows": rows})


if __name__ == "__main__":
    main()
