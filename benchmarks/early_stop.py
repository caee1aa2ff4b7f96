"""What it brings to stop each sample when it is sure: steps, time and what is right, by margin.

The shipped MNIST network with plain spikes, on the test images, one core; samples stop while they
are simulated, and decide as `early_decision` does afterwards, which is checked. Needs MNIST in
$SPIKERAM_DATA/mnist, and torch.

    python benchmarks/early_stop.py --samples 10000
"""

import os
import time
from typing import Any

from engine_parts.one_thread import ONE_THREAD

# One thread, before numba starts more.
os.environ |= ONE_THREAD

import click
import numpy as np
from engine_parts.networks import convolutional
from rich.console import Console
from rich.table import Table

from spikeram import EarlyStop, simulate
from spikeram.datasets import mnist
from spikeram.energy import energy

REPEATS = 3
MARGINS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)


@click.command()
@click.option("--samples", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--min-steps", type=click.IntRange(min=1), default=1, show_default=True)
def main(samples: int, min_steps: int) -> None:
    """Print a row for each margin, and one for all steps."""
    subject = convolutional()
    spiking, steps = subject.network, subject.steps
    test = mnist("test")
    x, y = np.asarray(test.x[:samples], dtype=np.float64), test.y[:samples]

    def timed(x: Any, **options: Any) -> tuple[float, Any]:
        # Time of the processor: others that use the machine change it little.
        found = []
        for _ in range(REPEATS):
            start = time.process_time()
            run = simulate(spiking, x, steps=steps, record="counts", **options)
            found.append(time.process_time() - start)
        return min(found), run

    # Compiles, and makes the tables.
    timed(x[:2], stop=EarlyStop(margin=1.0))
    full, whole = timed(x)
    joules = float(energy(whole).sum(["crossbar", "component"]).mean())
    table = Table(title=f"{samples} images, T = {steps}, fewest steps {min_steps}, one core")
    for heading in ("margin", "right", "mean steps", "95 % within", "time [s]", "time", "energy"):
        table.add_column(heading, justify="right")
    for margin in MARGINS:
        stop = EarlyStop(margin=margin, min_steps=min_steps)
        seconds, run = timed(x, stop=stop)
        after = whole.spk.early_decision(margin=margin, min_steps=min_steps)
        np.testing.assert_array_equal(run["stopped"], after["steps"])
        np.testing.assert_array_equal(run.spk.prediction(), after["category"])
        used = run["stopped"].values
        own = float(energy(run).sum(["crossbar", "component"]).mean())
        table.add_row(
            f"{margin:g}", f"{float(run.spk.accuracy(y)[-1]):.2%}", f"{used.mean():.2f}",
            f"{np.quantile(used, 0.95, method='inverted_cdf'):.0f}", f"{seconds:.2f}",
            f"{seconds / full:.2f}", f"{own / joules:.2f}",
        )  # fmt: skip
    right = f"{float(whole.spk.accuracy(y)[-1]):.2%}"
    table.add_row("all steps", right, f"{steps}", f"{steps}", f"{full:.2f}", "1", "1")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
