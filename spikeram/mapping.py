"""map_network: which cores of which chip hold which part of which layer.

The path is ``network -> footprints -> Mapping``: `footprints_of` reads the sizes off a network, and
`spikeram.packing.map_footprints` needs nothing else, so that networks of any size can be planned
without their weights.

*Stages.* The fully connected layers of a network without convolutions work at the same time, each
one step behind those that drive it. Where there is a convolution layers follow each other, and
only those whose windows begin together are used at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from spikeram import registry
from spikeram.chip import Chip
from spikeram.device import equivalent_delay
from spikeram.matrix import Matrix, layer_matrix
from spikeram.network import SpikingNetwork
from spikeram.packing import DEFAULT_RULES, MappingRules, map_footprints
from spikeram.placement import Footprint, Mapping, Stack
from spikeram.pool import MaxPool
from spikeram.shortcuts import Shortcuts
from spikeram.traffic import check_traffic
from spikeram.units import Quantity, as_si
from spikeram.wiring import INPUT


def map_network(
    network: SpikingNetwork,
    chip: str | Chip = "neurram",
    *,
    stack: Stack | None = None,
    rules: MappingRules = DEFAULT_RULES,
    delay: Quantity = "1 day",
    shortcuts: Shortcuts = "array",
) -> Mapping:
    """Return where each layer of a network lies on a chip, or on a stack of them.

    Parameters
    ----------
    network : SpikingNetwork
        What to place.
    chip : str or Chip
        A chip, or the name of a published one.
    stack : Stack, optional
        The cores that there are, from `Chip.stack`: several chips, bad lines, and how much may
        travel between chips. By default those of one flawless chip.
    rules : MappingRules
        How to cut and merge.
    delay : Second
        Time between programming and read-out, of which a window of least squares depends, and with
        it the number of bias rows.
    shortcuts : {"array", "digital"}
        Where shortcuts of residual sums are added, as for `spikeram.program`.

    Raises
    ------
    CapacityError
        If the network does not fit, or if more would have to travel between chips than may: one
        spike of every neuron in every step is counted on. Use `spikeram.traffic.check_traffic`
        with measured rates for a closer look.
    """
    if not isinstance(network, SpikingNetwork):
        raise TypeError(f"map_network expects a SpikingNetwork, got {type(network).__name__}.")
    chosen = registry.lookup("chips", chip)() if isinstance(chip, str) else chip
    if not isinstance(chosen, Chip):
        raise TypeError(f"chip expects a Chip or the name of one, got {type(chip).__name__}.")
    time = as_si(delay, "s", "delay")
    age = float(equivalent_delay(time, chosen.temperature))
    matrices = [
        layer_matrix(network, n, chosen, age, shortcuts) for n in range(len(network.layers))
    ]
    footprints = footprints_of(network, chosen, matrices)
    mapping = map_footprints(footprints, chosen.stack() if stack is None else stack, rules)
    check_mapping(mapping, footprints, chosen)
    if network.steps is not None:
        check_traffic(mapping, steps=network.steps)
    return mapping


def footprints_of(
    network: SpikingNetwork, chip: Chip, matrices: Sequence[Matrix]
) -> tuple[Footprint, ...]:
    """Return what a chip has to hold for a network, given the matrix of each layer."""
    wiring = network.wiring
    starts = wiring.starts(constant_input=False)
    in_turn = any(layer.n_positions > 1 for layer in network.layers)
    return tuple(
        Footprint(
            name=layer.name,
            n_pairs=matrix.n_rows * chip.pairs_per_weight,
            n_columns=layer.n_columns,
            n_positions=layer.n_positions,
            stage=starts[layer.name] if in_turn else 0,
            sources=tuple(
                (_origin(network, name), wiring.widths[name])
                for name in wiring.sources[layer.name]
                if _origin(network, name) != INPUT
            ),
            pairs_per_weight=chip.pairs_per_weight,
        )
        for layer, matrix in zip(network.layers, matrices)
    )


def _origin(network: SpikingNetwork, name: str) -> str:
    """Return the layer, or the input, whose spikes a node passes on: pools lie beside theirs."""
    pools = {node.name for node in network.nodes if isinstance(node, MaxPool)}
    while name in pools:
        (name,) = network.wiring.sources[name]
    return name


def check_mapping(mapping: Mapping, footprints: Sequence[Footprint], chip: Chip) -> None:
    """Refuse a mapping that was made for another network or chip."""
    stack = mapping.stack
    if (stack.n_cores, stack.rows, stack.columns) != (chip.n_cores, chip.rows, chip.columns):
        raise ValueError(
            f"The mapping expects chips of {stack.n_cores} cores of {stack.rows} x "
            f"{stack.columns}, but {chip.name!r} has {chip.n_cores} of {chip.rows} x "
            f"{chip.columns}. Map the network with this chip and its own stack: chip.stack(...)."
        )
    made_for, wanted = (
        [
            (footprint.name, footprint.n_pairs, footprint.n_columns, footprint.copies)
            for footprint in one
        ]
        for one in (mapping.footprints, footprints)
    )
    if made_for != wanted:
        there = dict(zip([name for name, *_ in made_for], made_for))
        first = next((one for one in wanted if there.get(one[0]) != one), wanted[0])
        raise ValueError(
            f"The mapping was made for other matrices: layer {first[0]!r} has {first[1]} pairs of "
            f"rows, biases included, and {first[2]} columns, once. Map the network with the same "
            "chip and delay."
        )
