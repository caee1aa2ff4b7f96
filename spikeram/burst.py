r"""Bursts: several spikes of one neuron in a step.

A step integrates once and then compares and takes a threshold away up to :math:`L` times, as the
neuron of the published chip does when it converts its membrane to digits (Wan et al., Nature 608,
504, 2022). For a neuron that fires +1 only,

.. math:: s = \mathrm{clip}\left(\lfloor U / \theta \rfloor,\ 0,\ L\right), \qquad
          U \leftarrow U - s\,\theta,

so that charge which came late still leaves in the last step (Li & Zeng, IJCAI 2022, with L = 5;
bursts of growing weight: Park et al., DAC 2019). Signed neurons repeat their own rule and move
their count by up to L.

A burst of n drives its row with n pulses, each sampled and moved onto the integration capacitors
before they are compared: a crossbar that reads bursts takes :math:`L` sample-and-integrate cycles
in each step, and one whose neurons fire them :math:`L` compare cycles. Every row is held in every
cycle, so n pulses bring n times the charge of one (clipped at the rails once, after the last of
them). T steps with bursts of L take a crossbar as long as L T plain ones; filling a pipeline of
layers, which each begin a step after the one before, takes L times as long.
"""

from __future__ import annotations

from collections.abc import Mapping

from spikeram.charge import RAIL_LIMIT, ChargeLayer
from spikeram.errors import CapacityError
from spikeram.layer import Layer
from spikeram.pool import MaxPool
from spikeram.wiring import INPUT, Wiring


def most_spikes(wiring: Wiring[ChargeLayer] | Wiring[Layer]) -> Mapping[str, int]:
    """Return the most spikes that an output of each node, and of the input, has in one step.

    A count moves by as many as its largest input's, so a max pool has those of its source.
    """
    most = {INPUT: 1}
    for node in wiring.nodes:
        if isinstance(node, MaxPool):
            (source,) = wiring.sources[node.name]
            most[node.name] = most[source]
        else:
            most[node.name] = node.burst
    return most


def arriving(wiring: Wiring[ChargeLayer] | Wiring[Layer]) -> Mapping[str, int]:
    """Return the most spikes that an input of each layer brings in one step.

    Raises
    ------
    CapacityError
        If the charge of one step could leave its range.
    """
    most = most_spikes(wiring)
    found = {
        layer.name: max(most[source] for source in wiring.sources[layer.name])
        for layer in wiring.layers
    }
    for layer in wiring.layers:
        if found[layer.name] > 1 and isinstance(layer, ChargeLayer):
            _check_range(layer, found[layer.name])
    return found


def _check_range(layer: ChargeLayer, most: int) -> None:
    step = most * layer.largest_charge
    if step > RAIL_LIMIT:
        raise CapacityError(
            f"Bursts of {most} can bring {step} quanta into layer {layer.name!r} in one step, but "
            f"only {RAIL_LIMIT} fit. Use shorter bursts."
        )
