"""The event engine on N-MNIST: synaptic events a second on one core, and cost over events.

Runs samples of N-MNIST through three networks of random weights, in continuous time and on one
thread: a dense 2312-1024-10, a convolutional one (16 and 32 channels of 5 x 5 with stride 2, then
256-10), and the same with biases as strong as weights, whose neurons drift between events. Random
weights: speed does not depend on what a network has learned, but on how often it fires, which is
printed. Then streams of 100 to 100,000 events are timed, to docs/events.png. Needs
n_mnist_1000train_100test.npz in $SPIKERAM_DATA/n_mnist.

    python benchmarks/events.py
"""

import os
import time
from pathlib import Path

import click
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spikeram.asynchronous import simulate_events
from spikeram.event_driven import EventRun, Timing, Train
from spikeram.event_stream import EventStream
from spikeram.gather import convolution
from spikeram.layer import Layer
from spikeram.network import SpikingNetwork
from spikeram.simulation import nodes_of

STEPS = 32
DECADES = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)


def n_mnist(samples: int) -> EventStream:
    """Return the first test samples."""
    path = Path(os.environ["SPIKERAM_DATA"]) / "n_mnist" / "n_mnist_1000train_100test.npz"
    with np.load(path) as packed:
        chosen = np.flatnonzero(packed["split"] == 1)[:samples]
        offsets = packed["offsets"]
        start, stop = offsets[chosen[0]], offsets[chosen[-1] + 1]
        x, y, p = (packed[name][start:stop].astype(np.int64) for name in "xyp")
        dt = packed["dt"][start:stop]
    bounds = offsets[chosen[0] : chosen[-1] + 2] - start
    t = [np.cumsum(part) for part in np.split(dt, bounds[1:-1])]
    return EventStream(
        t=np.concatenate(t), address=(p * 34 + y) * 34 + x, n_addresses=2 * 34 * 34, offsets=bounds
    )


def dense(rng: np.random.Generator) -> SpikingNetwork:
    """Return 2312-1024-10."""
    return SpikingNetwork(layers=(_layer("hidden", rng, 2312, 1024), _layer("out", rng, 1024, 10)))


def convolutional(rng: np.random.Generator, bias: float = 0.0) -> SpikingNetwork:
    """Return 16c5s2-32c5s2-256-10."""
    first, size = convolution((2, 34, 34), (5, 5), stride=(2, 2), padding=(2, 2))
    second, size = convolution((16, *size), (5, 5), stride=(2, 2), padding=(2, 2))
    return SpikingNetwork(
        layers=(
            _layer("conv1", rng, 50, 16, bias=bias, gather=first),
            _layer("conv2", rng, 400, 32, bias=bias, gather=second),
            _layer("hidden", rng, 32 * size[0] * size[1], 256, bias=bias),
            _layer("out", rng, 256, 10, bias=bias),
        )
    )


def _layer(
    name: str, rng: np.random.Generator, n: int, m: int, *, bias: float = 0.0, **options: object
) -> Layer:
    weight: NDArray[np.float64] = rng.normal(0, 1, (n, m))
    return Layer(
        name=name,
        weight=weight,
        bias=rng.normal(0, bias, m),
        threshold=np.full(m, 8.0),
        **options,  # type: ignore[arg-type]
    )


def cost(network: SpikingNetwork, stream: EventStream, n_events: int, repeats: int) -> float:
    """Return the least processor time of one sample of that many events, at the stream's rate."""
    sample = np.repeat(np.arange(stream.n_samples), np.diff(stream.offsets))
    length = round(stream.duration / stream.tick)
    t = np.resize(stream.t + length * sample, n_events)
    t += np.arange(n_events) // stream.t.size * length * stream.n_samples
    events = Train(t, np.resize(stream.address, n_events), np.ones(n_events))
    timing = Timing(stop=float(t[-1] + 1), per_unit=STEPS / length)
    # Prepared once: what remains is the cost of the events.
    run = EventRun(nodes_of(network), timing, np.empty(0))
    least = np.inf
    for _ in range(repeats):
        start = time.process_time()
        run(events)
        least = min(least, time.process_time() - start)
    return least


def timed(network: SpikingNetwork, stream: EventStream, repeats: int) -> tuple[float, int, int]:
    """Return the least processor time of one thread, synaptic events, and spikes of the layers."""
    least = np.inf
    for _ in range(repeats):
        start = time.process_time()
        run = simulate_events(network, stream, steps=STEPS, record="counts", threads=1)
        least = min(least, time.process_time() - start)
    fired = int(run["row_size"].sum()) - stream.t.size
    return least, int(run["synaptic_events"].sum()), fired


@click.command()
@click.option("--samples", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--plot", type=click.Path(dir_okay=False), default="docs/events.png")
def main(samples: int, repeats: int, plot: str) -> None:
    """Print a row for each network, and plot cost over the number of events."""
    stream = n_mnist(samples)
    rng = np.random.default_rng(0)
    networks = {
        "dense 2312-1024-10": dense(rng),
        "convolutional": convolutional(rng),
        "convolutional, biases": convolutional(rng, bias=1.0),
    }
    table = Table("network", "input events", "spikes", "synaptic events", "s", "M synaptic/s")
    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    for name, network in networks.items():
        timed(network, stream.samples(slice(0, 1)), 1)
        seconds, synaptic, fired = timed(network, stream, repeats)
        table.add_row(
            name, f"{stream.t.size:,}", f"{fired:,}", f"{synaptic:,}", f"{seconds:.3f}",
            f"{1e-6 * synaptic / seconds:,.0f}",
        )  # fmt: skip
        costs = [cost(network, stream, n, repeats) for n in DECADES]
        slope = np.polyfit(np.log(DECADES), np.log(costs), 1)[0]
        axes.loglog(DECADES, costs, "o-", label=f"{name} (slope {slope:.2f})")
        print(name, *(f"{n:,}: {1e3 * cost:.2f} ms" for n, cost in zip(DECADES, costs)), sep="  ")
    axes.loglog(DECADES, 1e-5 * np.array(DECADES), "k:", lw=1, label="10 us an event")
    axes.set(xlabel="input events", ylabel="processor time of one thread [s]")
    axes.legend(fontsize=8)
    figure.savefig(plot, dpi=150)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
