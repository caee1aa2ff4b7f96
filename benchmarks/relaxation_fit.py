"""The table of `spikeram.models.devices.levy_c`, from measured cells.

Quantiles of the change of conductance of every other cell of technology C (Levy et al., RRAM
Relaxation Master Model) at five delays at room temperature and after bakes at 100, 140 and 180 C;
a bake counts as the delay at room temperature that does as much. The cells left out are those that
`benchmarks/relaxation.py` compares the table with. Needs $SPIKERAM_DATA/rram_measured.

    python benchmarks/relaxation_fit.py --output models/levy_c.csv
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from relaxation_data import Cells, Measured, bakes, correlations, relaxation
from scipy.optimize import least_squares
from scipy.special import ndtr

from spikeram.device import Cells as Addressed, QuantileRelaxation
from spikeram.seeds import Purpose

NODES = np.array([0.0, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0])
"""Conductances of the table [uS]."""

SCORES = np.linspace(-3.0, 3.0, 13)
"""Normal scores of the table: 0.13 % to 99.87 %."""

MICRO = 1e-6

HEADER = """\
Quantiles of the change of conductance of technology C: {n} cells at room temperature and {m}
in each bake, those of even number. Made by benchmarks/relaxation_fit.py from the
RRAM Relaxation Master Model (github.com/akashlevy/RRAM-Relaxation-Master-Model), MIT licence,
Copyright (c) 2021 Akash Levy. memory {memory:.3f}, forgetting {forgetting:.3f} decades:
correlations over time met within {worst:.3f}.
delay [s], conductance [uS], changes [uS] at the normal scores {scores}"""


@dataclass(frozen=True)
class Memory:
    """Share of the variance that stays, decades in which the rest is forgotten, largest error."""

    share: float
    forgetting: float
    worst: float


def weighted_quantiles(
    x: NDArray[np.float64], weight: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    order = np.argsort(x)
    below = np.cumsum(weight[order]) - 0.5 * weight[order]
    quantiles: NDArray[np.float64] = np.interp(at, below / weight.sum(), x[order])
    return quantiles


def quantiles(cells: Cells) -> NDArray[np.float64]:
    """Return the changes of shape (node, score), of cells weighted by how near they are [uS]."""
    g = np.clip(cells.before, NODES[0], NODES[-1])
    rows = []
    for unit in np.eye(NODES.size):
        weight = np.interp(g, NODES, unit)
        near = weight > 0
        rows.append(weighted_quantiles(cells.change[near], weight[near], ndtr(SCORES)))
    return np.array(rows)


def fitted_memory(measured: Measured, table: QuantileRelaxation) -> Memory:
    """Return the memory that meets the correlations of the changes best, by least squares."""
    found_in = correlations(measured.g[:, 1:] - measured.g[:, :1])
    g = np.clip(measured.g[:, 0], 0.0, None) * MICRO
    cells = Addressed.of(g.shape, seed=0)
    z = cells.normals(Purpose.RELAXATION, table.n_draws(measured.delays))
    pairs = np.triu_indices(len(measured.delays), 1)

    def errors(p: NDArray[np.float64]) -> NDArray[np.float64]:
        law = replace(table, memory=float(p[0]), forgetting=float(p[1]))
        changes = [np.maximum(law.drift(g, np.asarray(t), z), -g) for t in measured.delays]
        return np.asarray((correlations(np.transpose(changes)) - found_in)[pairs])

    best: Any = least_squares(errors, [0.7, 1.0], bounds=([0, 0.1], [1, 10]), diff_step=0.01)
    share, forgetting = (float(p) for p in best.x)
    return Memory(share, forgetting, worst=float(np.abs(best.fun).max()))


@click.command()
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(output: Path) -> None:
    """Write the table."""
    measured = relaxation("C")
    sets = [*measured.at_delays(slice(0, None, 2)), *bakes("C", slice(0, None, 2))]
    table = np.array([quantiles(cells) for cells in sets])
    delays = np.array([cells.delay for cells in sets])
    law = QuantileRelaxation(
        delays=delays,
        conductances=NODES * MICRO,
        scores=SCORES,
        change=table * MICRO,
        sigma_verify=0.0,
        onset=1e-3,
        memory=1.0,
        forgetting=1.0,
    )
    memory = fitted_memory(replace(measured, g=measured.g[::2]), law)
    header = HEADER.format(
        n=len(measured.g[::2]),
        m=sets[-1].change.size,
        memory=memory.share,
        forgetting=memory.forgetting,
        worst=memory.worst,
        scores=", ".join(f"{z:g}" for z in SCORES),
    )
    rows = [
        [delay, node, *row]
        for delay, block in zip(delays, table)
        for node, row in zip(NODES, block)
    ]
    np.savetxt(
        output, rows, fmt=["%.4g", "%g", *["%.3f"] * SCORES.size], delimiter=",", header=header
    )
    print(header)


if __name__ == "__main__":
    main()
