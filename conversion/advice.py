"""Which method suits a network that nobody chose one for.

Spikes of +1 that come unevenly cost more with every layer, until those that follow have no even
drive left; neurons that take back what came too early do not add to it. At T = 8 six rectified
layers on digits lose 0.1 points of accuracy, seven on CIFAR-10 nine points, and nine on words 45
(docs/mnist.md, docs/public_models.md).
"""

from __future__ import annotations

from spikeram.conversion.trained import TrainedLayer, TrainedNetwork
from spikeram.wiring import INPUT

DEEP = 7
"""Rectified layers that follow each other from which on spikes of one sign lose too much."""

FOR_DEEP = "signed_reconstruction"


def depth(network: TrainedNetwork) -> int:
    """Return how many rectified layers follow each other at most."""
    before = {INPUT: 0}
    output = network.layers[-1]
    for node in network.nodes:
        rectified = isinstance(node, TrainedLayer) and node is not output
        sources = network.wiring.sources[node.name]
        before[node.name] = max(before[name] for name in sources) + int(rectified)
    return before[output.name]


def is_learned(network: TrainedNetwork) -> bool:
    """Return whether training has settled the thresholds of all rectified layers."""
    rectified = network.layers[:-1]
    return bool(rectified) and all(layer.threshold is not None for layer in rectified)


def advice(network: TrainedNetwork, method: str | None = None) -> str:
    """Return a sentence that names a better method than one of `convert`; empty if there is none.

    Parameters
    ----------
    network : TrainedNetwork
        What is converted.
    method : str, optional
        The method that was asked for, of which nothing is said; by default none was.
    """
    layers = depth(network)
    if method is not None or layers < DEEP or is_learned(network):
        return ""
    return (
        f"{layers} rectified layers follow each other: the default method, whose spikes have one "
        f"sign, loses more with every layer; {FOR_DEEP} does not."
    )
