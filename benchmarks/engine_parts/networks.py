"""Whole networks in each tool: the same weights, steps and images, and the same spikes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine_parts.fixed import TOOLS, Untold, agreement, exported, ran
from engine_parts.timing import best
from spikeram import simulate
from spikeram.charge import ChargeLayer
from spikeram.conversion import convert, read
from spikeram.datasets import mnist
from spikeram.encoding import encode, input_levels
from spikeram.network import SpikingNetwork
from spikeram.pool import MaxPool
from spikeram.simulation import clocked, nodes_of

BATCH = 64
GROWING = (8, 32, 128, 512)
FEW = 8
ALONE = "spikeram, engine alone"


@dataclass(frozen=True)
class Subject:
    """A network to run.

    Parameters
    ----------
    name : str
        Its name in the tables.
    network : SpikingNetwork
        Converted.
    x : ndarray of shape (sample, ...)
        Images.
    steps : int
        Steps T.
    events : bool
        Whether the event engine runs it too.
    """

    name: str
    network: SpikingNetwork
    x: NDArray[np.float64]
    steps: int
    events: bool = True


def perceptron() -> Subject:
    """Return the spiking 784-512-10 network, and images."""
    from mnist_training import images, trained

    model = trained("wide")
    network = read(model, input_shape=(1, 28, 28))
    spiking = convert(network, images("train")[:500], steps=32, method="percentile")
    return Subject("784-512-10", spiking, images("t10k")[:BATCH], 32)


def convolutional() -> Subject:
    """Return the shipped MNIST network with plain spikes, and images."""
    from spikeram.models.networks.mnist_cnn import NETWORK
    from spikeram.models.networks.network import load

    network = read(load(NETWORK), input_shape=(1, 28, 28))
    calibration = NETWORK.samples("train").x[:500]
    spiking = convert(network, np.asarray(calibration), steps=32, method="percentile")
    x = np.asarray(mnist("test").x[:BATCH], dtype=np.float64)
    return Subject("MNIST, 7 layers", spiking, x, 32)


def residual() -> list[Subject]:
    """Return the shipped ResNet-20, with plain spikes and with spikes that are taken back."""
    from spikeram.models.networks.network import load
    from spikeram.models.networks.resnet20 import NETWORK

    # Thresholds are those of the trained activations: images only set the scale of the input.
    calibration = NETWORK.samples("train").x[:20]
    x = np.asarray(NETWORK.samples("test").x[:BATCH], dtype=np.float64)
    model = load(NETWORK)
    return [
        Subject(
            f"ResNet-20, {spikes}", convert(model, calibration, steps=None, method=method), x,
            8, events=False,
        )
        for spikes, method in (("spikes of +1", "learned"), ("spikes of +1, -1", "learned_signed"))
    ]  # fmt: skip


def drive_of(subject: Subject) -> tuple[Any, Any]:
    """Return the nodes of a network, and the constant charge into its first layer."""
    nodes = nodes_of(subject.network)
    levels = input_levels(subject.network.checked_input(subject.x), subject.network.input_scale)
    drive = encode(levels, nodes, steps=subject.steps, encoding="current").drive
    assert drive is not None
    return nodes, drive


def compared(subject: Subject, python: str | None) -> list[dict[str, Any]]:
    """Return the time of each tool on one network, and how far what it does is ours.

    The peers are given the charge of the first layer and return outputs; so is the engine alone.
    `simulate` encodes, decodes, counts spikes, rows and steps for the energy, and builds the
    recording besides.
    """
    steps, of = subject.steps, len(subject.x)
    shared: dict[str, Any] = {"network": subject.name, "steps": steps, "of": of}
    outputs, seconds = _simulated(subject, "clocked")
    nodes, drive = drive_of(subject)
    activity = clocked(nodes, drive, None, steps=steps, threads=1)
    counts = [spikes.sum(1, dtype=np.int64) for spikes in activity.spikes]
    active = float(np.mean([np.abs(spikes).mean() for spikes in activity.spikes[:-1]]))
    alone = best(clocked, nodes, drive, None, steps=steps, threads=1)
    rows: list[dict[str, Any]] = [
        {**shared, "tool": ALONE, "seconds": alone, "same": of, "activity": active},
        {**shared, "tool": "spikeram, simulate", "seconds": seconds, "same": of},
    ]
    if subject.events:
        found, seconds = _simulated(subject, "event")
        same = int((found.argmax(1) == outputs.argmax(1)).sum())
        tool = "spikeram, simulate, event engine"
        rows.append({**shared, "tool": tool, "seconds": seconds, "same": same})
    return rows + [
        {**shared, "tool": tool, **row}
        for tool, row in _peers(nodes, drive, steps, python, outputs, counts)
    ]


def _simulated(subject: Subject, engine: str) -> tuple[NDArray[Any], float]:
    """Return the outputs after the last step, and the time that `simulate` takes."""
    runs: list[Any] = []

    def run() -> None:
        runs[:] = [
            simulate(
                subject.network, subject.x, steps=subject.steps, record="counts", engine=engine
            )
        ]

    seconds = best(run)
    return runs[0]["output"].isel(step=-1).values, seconds


def _peers(
    nodes: tuple[ChargeLayer | MaxPool, ...],
    drive: Any,
    steps: int,
    python: str | None,
    outputs: NDArray[Any],
    counts: list[NDArray[Any]],
) -> list[tuple[str, dict[str, Any]]]:
    """Return what each peer makes of a network."""
    try:
        problem = exported(nodes, drive=drive, steps=steps)
    except Untold as error:
        return [(name, {"reason": str(error)}) for name in TOOLS.values()]
    found = []
    for tool, name in TOOLS.items():
        (row,) = ran(tool, python, [problem])
        if "output" in row:
            theirs = np.array(row.pop("output"))
            row["same"] = int((theirs.argmax(1) == outputs.argmax(1)).sum())
            row["off"] = float(np.abs(theirs - outputs).max() / np.abs(outputs).max())
            row |= agreement(row, nodes, counts)
        found.append((name, row))
    return found


def growth(subject: Subject, python: str | None) -> list[dict[str, Any]]:
    """Return what a few samples of a network take as T grows."""
    some = Subject(subject.name, subject.network, subject.x[:FEW], subject.steps)
    nodes, drive = drive_of(some)
    rows: list[dict[str, Any]] = []
    for steps in GROWING:
        times = {
            ALONE: best(clocked, nodes, drive, None, steps=steps, threads=1),
            "spikeram, simulate": best(
                simulate, some.network, some.x, steps=steps, record="counts", outputs_at=[steps]
            ),
        }
        rows += [{"steps": steps, "tool": tool, "seconds": s} for tool, s in times.items()]
    problems = [exported(nodes, drive=drive, steps=steps) for steps in GROWING]
    for tool, name in TOOLS.items():
        for steps, found in zip(GROWING, ran(tool, python, problems)):
            kept: dict[str, Any] = {k: found[k] for k in ("seconds", "reason") if k in found}
            rows.append({"steps": steps, "tool": name, **kept})
    return rows
