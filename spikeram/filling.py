"""fill_chip: cores that are left hold more copies of the convolutions that take longest.

A convolution takes T steps for each of its positions, which its copies share out. Copies are added
one by one, each to the layer that takes longest among those that can have one more.
"""

from __future__ import annotations

from spikeram.chip import Chip
from spikeram.duplication import duplicate
from spikeram.mapping import map_network
from spikeram.network import SpikingNetwork
from spikeram.packing import DEFAULT_RULES, MappingRules
from spikeram.placement import Stack
from spikeram.units import Quantity


def fill_chip(
    network: SpikingNetwork,
    chip: str | Chip = "neurram",
    *,
    stack: Stack | None = None,
    rules: MappingRules = DEFAULT_RULES,
    delay: Quantity = "1 day",
) -> SpikingNetwork:
    """Return a network whose convolutions are held as often as there are cores for it.

    Parameters
    ----------
    network, chip, stack, rules, delay
        As for `spikeram.mapping.map_network`. Parts of copies are counted as a core each.

    Raises
    ------
    CapacityError
        If not even one copy of each layer fits.
    """
    mapping = map_network(network, chip, stack=stack, rules=rules, delay=delay)
    free = mapping.powered.size - len(mapping.placements)
    positions = {n.name: n.n_positions for n in network.layers[:-1] if n.n_positions > 1}
    copies = dict.fromkeys(positions, 1)
    while positions:
        busiest = max(positions, key=lambda name: -(-positions[name] // copies[name]))
        cost = len(mapping.parts[busiest])
        if cost <= free and _can_have(network, busiest, copies[busiest] + 1):
            copies[busiest] += 1
            free -= cost
        else:
            del positions[busiest]
    for name, number in copies.items():
        network = duplicate(network, name, number)
    return network


def _can_have(network: SpikingNetwork, name: str, copies: int) -> bool:
    """Return whether the positions of a convolution can be shared out to so many copies."""
    try:
        duplicate(network, name, copies)
    except ValueError:
        return False
    return True
