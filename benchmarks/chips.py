"""Several chips at once against one after the other: the same recordings, and how long they take.

    python benchmarks/chips.py --chips 16

A perceptron of random weights on simulated chips, only counts recorded, runs timed in turn.
"""

from typing import Any

import click
import numpy as np
from engine_parts.timing import in_turn
from rich.console import Console
from rich.table import Table

from spikeram.chip import ProgrammedChip
from spikeram.network import Layer, SpikingNetwork
from spikeram.programming import program
from spikeram.simulation import simulate, simulate_chips

REPEATS = 5
"""Runs of each kind; the fastest counts, since others may use the machine."""


def make_chips(sizes: tuple[int, ...], n_chips: int) -> list[ProgrammedChip]:
    rng = np.random.default_rng(0)
    layers = [
        Layer(
            name=f"layer_{n}",
            weight=rng.normal(0, np.sqrt(2 / a), (a, b)),
            bias=np.zeros(b),
            threshold=np.full(b, 2.0),
        )
        for n, (a, b) in enumerate(zip(sizes[:-1], sizes[1:]))
    ]
    network = SpikingNetwork(layers=layers)
    return [program(network, chip="gaussian", seed=0, index=n) for n in range(n_chips)]


@click.command()
@click.option("--chips", default=16, show_default=True, help="Programmed chips.")
@click.option("--samples", default=64, show_default=True, help="Samples on each.")
@click.option("--steps", default=32, show_default=True, help="Steps T.")
def main(chips: int, samples: int, steps: int) -> None:
    """Time several chips at once, and one after the other."""
    console = Console()
    table = Table(title=f"{chips} chips, {samples} samples, T = {steps}")
    for heading in ("network", "encoding", "one by one [ms]", "at once [ms]", "ratio"):
        table.add_column(heading, justify="right" if "[" in heading else "left")
    for sizes in ((64, 32, 10), (784, 128, 10), (784, 512, 10)):
        programmed = make_chips(sizes, chips)
        x = np.random.default_rng(1).random((samples, sizes[0]))
        for encoding in ("current", "rate"):
            options: dict[str, Any] = {"steps": steps, "encoding": encoding, "record": "counts"}
            alone = [simulate(chip, x, **options) for chip in programmed]
            together = simulate_chips(programmed, x, **options)
            if not all(a.identical(b) for a, b in zip(alone, together)):
                raise SystemExit("The recordings differ.")
            apart, at_once = in_turn(
                lambda: [simulate(chip, x, **options) for chip in programmed],  # noqa: B023
                lambda: simulate_chips(programmed, x, **options),  # noqa: B023
                REPEATS,
            )
            name = "-".join(map(str, sizes))
            table.add_row(
                name, encoding, f"{1e3 * apart:.0f}", f"{1e3 * at_once:.0f}",
                f"{apart / at_once:.2f}",
            )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
