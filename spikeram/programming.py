r"""program: from a spiking network to a chip that holds it.

Each layer's matrix, its biases as always-on rows at the bottom (`spikeram.matrix`), gets its cores
(`spikeram.mapping`) and is mapped column by column to the whole conductance window. One unit of
activation is then worth

.. math:: u_j = \frac{C_s}{C_i}\,V_{read}\,
          \frac{g_{max} - g_{min}}{w_{max,j}\sum_i (G^+_{ij}+G^-_{ij})}

volts on column :math:`j`, with the target conductances in the sum. Where several pairs hold a
weight their rows lie side by side; the sum, and :math:`u_j`, are those of one of them. Where a
matrix is cut makes no difference to ideal partial sums; random numbers are addressed by layer, so
that where it lies makes none to its cells.

Where a core has one threshold for all its columns (a chip's `column_gain`), columns are mapped
alike and dummy rows may equalise them; see `spikeram.balance`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikeram import registry
from spikeram.analog import draw_columns
from spikeram.balance import with_held_pairs
from spikeram.chip import Chip, ProgrammedChip, ProgrammedLayer
from spikeram.crossbar import Crossbar, conductance_from_weight
from spikeram.device import equivalent_delay
from spikeram.errors import CapacityError
from spikeram.faults import LayerFaults, Part, layer_faults
from spikeram.mapping import check_mapping, footprints_of
from spikeram.matrix import Matrix, layer_matrix
from spikeram.network import Layer, SpikingNetwork
from spikeram.packing import map_footprints
from spikeram.placement import Mapping
from spikeram.seeds import Seed
from spikeram.shortcuts import Shortcuts
from spikeram.units import Quantity, Second, as_si
from spikeram.write_verify import write_and_relax


def program(
    network: SpikingNetwork,
    *,
    chip: str | Chip = "neurram",
    delay: Quantity = "1 day",
    seed: Seed,
    index: int = 0,
    rounds: int | None = None,
    mapping: Mapping | None = None,
    shortcuts: Shortcuts = "array",
) -> ProgrammedChip:
    """Return `network` written to a chip, as it is `delay` later.

    Parameters
    ----------
    network : SpikingNetwork
        What to program.
    chip : str or Chip
        A chip, or the name of a published one.
    delay : Second
        Time between programming and read-out; ``"1 day"`` and seconds both serve.
    seed : int or numpy.random.SeedSequence
        Where cells and pulses draw from.
    index : int
        Number of the chip: chips of one seed and different numbers are independent.
    rounds : int, optional
        Rounds of iterative programming: cells that left the window are written again. By
        default as many as the chip takes.
    mapping : Mapping, optional
        Which cores hold what, from `spikeram.mapping.map_network` for the same network, chip and
        delay. By default whole cores of one chip, merged only where it would not fit otherwise.
    shortcuts : {"array", "digital"}
        Where shortcuts of residual sums are added: on rows of the array, or digitally as on the
        published chip, which takes inference mode (`spikeram.inference`).

    Raises
    ------
    CapacityError
        If the network needs more cores than the chip has.
    """
    if not isinstance(network, SpikingNetwork):
        raise TypeError(
            f"program expects a SpikingNetwork, got {type(network).__name__}. Convert a trained "
            "network first: spikeram.convert(model, calibration)."
        )
    chosen = registry.lookup("chips", chip)() if isinstance(chip, str) else chip
    if not isinstance(chosen, Chip):
        raise TypeError(f"chip expects a Chip or the name of one, got {type(chip).__name__}.")
    time = as_si(delay, "s", "delay")
    n_rounds = chosen.rounds if rounds is None else rounds
    # What cells have drifted by then, as if all that time they had been at room temperature.
    age = float(equivalent_delay(time, chosen.temperature))
    matrices = [
        layer_matrix(network, n, chosen, age, shortcuts) for n in range(len(network.layers))
    ]
    footprints = footprints_of(network, chosen, matrices)
    if mapping is None:
        mapping = map_footprints(footprints, chosen.stack())
    check_mapping(mapping, footprints, chosen)
    _check_held(matrices, network, chosen, mapping)
    layers = tuple(
        _program_layer(
            layer,
            matrix,
            chosen,
            segment=mapping.segment(layer.name),
            delay=time,
            seed=seed,
            address=(index, n),
            rounds=n_rounds,
        ).with_faults(_faults(chosen, layer.name, matrix, mapping))
        for n, (layer, matrix) in enumerate(zip(network.layers, matrices))
    )
    return ProgrammedChip(
        network=network,
        chip=chosen,
        layers=layers,
        mapping=mapping,
        delay=time,
        seed=seed,
        index=index,
    )


def _program_layer(
    layer: Layer,
    matrix: Matrix,
    chip: Chip,
    *,
    segment: tuple[int, int],
    delay: Second,
    seed: Seed,
    address: tuple[int, int],
    rounds: int,
) -> ProgrammedLayer:
    weights = conductance_from_weight(
        matrix.weight, g_min=chip.g_min, g_max=chip.g_max, w_max=matrix.w_max
    )
    one_pair = with_held_pairs(weights, matrix.height, matrix.held, g_min=chip.g_min)
    target = np.repeat(one_pair, chip.pairs_per_weight, axis=1)
    written = write_and_relax(
        target,
        chip.device,
        delay=delay,
        seed=seed,
        chip=address[0],
        array=address[1],
        rounds=rounds,
        verify=chip.verify,
        temperature=chip.temperature,
    )
    window = chip.g_max - chip.g_min
    unit = chip.neuron.gain * chip.v_read * window / (matrix.w_max * one_pair.sum(axis=(0, 1)))
    columns = None
    if chip.analog.of_columns:
        columns = draw_columns(
            chip.analog, layer.n_columns, seed=seed, chip=address[0], layer=address[1]
        )
    return ProgrammedLayer(
        crossbar=Crossbar(
            conductance=written.conductance,
            neuron=replace(chip.neuron, spikes=layer.spikes, burst=layer.burst),
            v_read=chip.v_read,
            pairs_per_core=segment[0],
            columns_per_core=segment[1],
            wires=chip.wires,
        ),
        target=target,
        cells=written,
        n_bias=matrix.n_bias * chip.pairs_per_weight,
        unit=unit,
        gain=np.ones(layer.n_columns),
        offset=np.zeros(layer.n_columns),
        pairs_per_weight=chip.pairs_per_weight,
        n_held=matrix.held * chip.pairs_per_weight,
        digital=matrix.digital,
        shared_columns=0 if chip.column_gain == "threshold" else segment[1],
        columns=columns,
        sigma_read=chip.device.sigma_read if chip.analog.read_noise else 0.0,
    )


def _check_held(
    matrices: list[Matrix], network: SpikingNetwork, chip: Chip, mapping: Mapping
) -> None:
    """Refuse a mapping that cuts a matrix elsewhere than its dummy rows lie."""
    for matrix, layer in zip(matrices, network.layers):
        height = mapping.segment(layer.name)[0]
        wanted = matrix.height * chip.pairs_per_weight
        if matrix.held and height != min(wanted, matrix.n_rows * chip.pairs_per_weight):
            raise CapacityError(
                f"column_gain='balanced' has dummy rows at the end of segments of {wanted} pairs, "
                f"but the mapping cuts {layer.name!r} into segments of {height}. Map it with "
                "MappingRules() of the full height of a core."
            )


def _faults(chip: Chip, layer: str, matrix: Matrix, mapping: Mapping) -> LayerFaults:
    """Return the faults of the lines that a layer takes."""
    parts = [
        Part(
            core=part.core,
            pairs=part.pairs,
            columns=part.columns,
            word_lines=mapping.word_lines(part),
            bit_lines=mapping.columns(part),
        )
        for part in mapping.parts[layer]
    ]
    shape = matrix.n_rows * chip.pairs_per_weight, matrix.weight.shape[1]
    return layer_faults(chip.faults, shape, parts)
