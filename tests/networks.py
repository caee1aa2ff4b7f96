"""Small networks for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spikeram.charge import ChargeLayer
from spikeram.conversion import Graph, Node, TrainedNetwork, lower, ops
from spikeram.gather import Gather, convolution
from spikeram.network import INPUT, Layer, MaxPool, SpikingNetwork


def trained(
    seed: int = 0, sizes: tuple[int, ...] = (6, 8, 5, 3), classes: object = None
) -> TrainedNetwork:
    """Return a random perceptron with outputs of order one."""
    rng = np.random.default_rng(seed)
    pairs = list(zip(sizes[:-1], sizes[1:]))
    return TrainedNetwork.chain(
        weights=tuple(rng.normal(0, np.sqrt(2 / a), (a, b)) for a, b in pairs),
        biases=tuple(rng.normal(0, 0.1, b) for _, b in pairs),
        classes=np.arange(sizes[-1]) if classes is None else np.asarray(classes),
    )


def convolutional(seed: int = 0) -> TrainedNetwork:
    """Return two random convolutions, the second after an average pool, and a linear layer.

    Inputs are (2, 6, 7) images; the layers have 4 x 6 x 7, 3 x 2 x 2 and 3 neurons.
    """
    rng = np.random.default_rng(seed)
    first, second, third = (
        rng.normal(0, s, n) for s, n in ((0.3, (18, 4)), (0.4, (16, 3)), (0.5, (12, 3)))
    )
    biases = [rng.normal(0, 0.1, n) for n in (4, 3, 3)]
    steps = (
        ops.Conv(weight=first.T.reshape(4, 2, 3, 3), bias=biases[0], padding=1),
        ops.Rectifier(),
        ops.Pool(kind="mean", kernel=2),
        ops.Conv(weight=second.T.reshape(3, 4, 2, 2), bias=biases[1]),
        ops.Rectifier(),
        ops.Flatten(),
        ops.Linear(weight=third.T, bias=biases[2]),
    )
    return lower(chain(steps, (2, 6, 7), classes=np.arange(3)))


def chain(steps, input_shape, classes=None) -> Graph:
    """Return operations one after the other as a graph."""
    names = ["input", *(str(n) for n in range(len(steps)))]
    nodes = tuple(Node(name=b, op=op, inputs=(a,)) for a, b, op in zip(names, names[1:], steps))
    return Graph(nodes=nodes, input_shape=input_shape, classes=classes)


def branching(seed: int = 0) -> SpikingNetwork:
    """Return a network on (2, 6, 6) images with a max pool, a residual sum and a join.

    A convolution, its 2 x 2 max pool, a convolution of that with leaky rectification, the sum of
    its 1 x 1 convolution and of the pool, and an output that reads the sum and the input.
    """
    rng = np.random.default_rng(seed)
    first, _ = convolution((2, 6, 6), (3, 3), padding=(1, 1))
    windows, _ = convolution((1, 6, 6), (2, 2), stride=(2, 2))
    taps = windows.index[:, :, 0] + 36 * np.arange(4)[:, np.newaxis, np.newaxis]
    second, _ = convolution((4, 3, 3), (3, 3), padding=(1, 1))
    point, _ = convolution((4, 3, 3), (1, 1))
    both = Gather(np.concatenate([point.index, point.index + 36], axis=1), 72)
    nodes = (
        _layer("first", rng.normal(0, 0.3, (18, 4)), 2.0, gather=first),
        MaxPool("pool", "first", taps.reshape(36, 4)),
        _layer("second", rng.normal(0, 0.3, (36, 4)), 3.0, gather=second, spikes="signed",
               slope=0.25, sources=("pool",)),
        _layer("sum", np.vstack([rng.normal(0, 0.5, (4, 4)), np.eye(4)]), 4.0, gather=both,
               spikes="signed", sources=("second", "pool")),
        _layer("output", rng.normal(0, 0.2, (36 + 72, 3)), 4.0, spikes="ternary", initial=0.0,
               sources=("sum", INPUT)),
    )  # fmt: skip
    return SpikingNetwork(nodes=nodes, steps=16, classes=np.arange(3))


def _layer(name: str, weight: NDArray[np.float64], threshold: float, **options: object) -> Layer:
    bias = np.linspace(-0.1, 0.1, weight.shape[1])
    return Layer(
        name=name,
        weight=weight,
        bias=bias,
        threshold=np.full(weight.shape[1], threshold),
        **options,  # type: ignore[arg-type]
    )


def inputs(seed: int, n_samples: int, n_inputs: int = 6) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((n_samples, n_inputs))


def single(weight: float, bias: float, threshold: float, **options: object) -> SpikingNetwork:
    """Return a network of one neuron with one input."""
    layer = Layer(
        name="only",
        weight=np.array([[weight]]),
        bias=np.array([bias]),
        threshold=np.array([threshold]),
        **options,  # type: ignore[arg-type]
    )
    return SpikingNetwork(layers=(layer,))


def random_layer(
    rng: np.random.Generator,
    n_inputs: int,
    n_outputs: int,
    *,
    spikes: str = "unipolar",
    reset: str = "subtract",
    rail: int = 2**30,
    name: str = "",
    slope: float = 0.0,
    quantum: float = 2.0**-20,
    **options: object,
) -> ChargeLayer:
    """Return a layer of random charges, strong enough that neurons fire."""
    threshold = rng.integers(1000, 6000, n_outputs).astype(np.int32)
    return ChargeLayer(
        name=name or f"layer_{rng.integers(10**9)}",
        weight=rng.integers(-2047, 2048, (n_inputs, n_outputs)).astype(np.int16),
        bias=rng.integers(-500, 1500, n_outputs).astype(np.int32),
        threshold=threshold,
        negative=np.rint(threshold / slope).astype(np.int32) if slope else threshold * 0,
        initial=rng.integers(0, 1000, n_outputs).astype(np.int32),
        rail=rail,
        quantum=quantum,
        scale=np.ones(n_outputs),
        spikes=spikes,  # type: ignore[arg-type]
        reset=reset,  # type: ignore[arg-type]
        rows=2 * n_inputs,
        **options,  # type: ignore[arg-type]
    )


def random_graph(
    rng: np.random.Generator,
    n_nodes: int,
    *,
    current: bool,
    noisy: bool = False,
    bursts: bool = False,
) -> tuple[list[ChargeLayer | MaxPool], dict[str, NDArray[np.int32]]]:
    """Return layers and max pools, each driven by some before it, and a drive for two samples.

    Of all kinds of neurons, noisy ones among them where wanted, with branches that are added,
    joined, pooled, of unequal lengths or never read, and with inputs that several layers read.
    With `bursts`, some neurons fire several spikes in a step.
    """
    widths = {INPUT: int(rng.integers(1, 6))}
    nodes: list[ChargeLayer | MaxPool] = []
    drive = {}
    for n in range(n_nodes):
        known = list(widths)
        name = f"node_{n}"
        trains = known[1:] if current else known
        if trains and n < n_nodes - 1 and rng.random() < 0.3:
            source = str(rng.choice(trains))
            shape = (int(rng.integers(1, 5)), int(rng.integers(1, 4)))
            index = rng.integers(-1, widths[source], shape)
            nodes.append(MaxPool(name, source, index.astype(np.int32)))
        else:
            chosen = rng.choice(known, min(len(known), int(rng.integers(1, 4))), replace=False)
            sources = tuple(map(str, chosen)) if rng.random() < 0.8 else (known[-1],)
            # Nothing said is the node before.
            said = () if sources == (known[-1],) and rng.random() < 0.5 else sources
            kind = str(rng.choice(["unipolar", "ternary", "signed", "signed"]))
            layer = random_layer(
                rng,
                sum(widths[source] for source in sources),
                int(rng.integers(1, 6)),
                name=name,
                spikes=kind,
                slope=float(rng.choice([0.0, 0.25, 1.0])) if kind == "signed" else 0.0,
                reset="subtract"
                if kind == "signed" or bursts
                else str(rng.choice(["subtract", "zero"])),
                burst=int(rng.choice([1, 2, 5])) if bursts else 1,
                rail=int(rng.choice([2**30, 8000])),
                quantum=2.0 ** -int(rng.integers(10, 24)),
                sources=said,
                sigma_noise=float(rng.choice([0.0, 300.0])) if noisy else 0.0,
                kick=int(rng.choice([0, 150])) if noisy else 0,
            )
            nodes.append(layer)
            if INPUT in sources:
                drive[name] = rng.integers(-3000, 3000, (2, layer.n_outputs)).astype(np.int32)
        widths[name] = nodes[-1].n_outputs
    return nodes, drive
