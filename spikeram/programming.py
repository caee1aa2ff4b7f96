r"""program: from a spiking network to a chip that holds it.

Each layer's matrix, weighted by the worth of its input spikes, :math:`W_{ij}\,\theta_i^{l-1}`,
gets its biases as always-on rows at the bottom and is mapped column by column to the whole
conductance window. One unit of activation is then worth

.. math:: u_j = \frac{C_s}{C_i}\,V_{read}\,
          \frac{g_{max} - g_{min}}{w_{max,j}\sum_i (G^+_{ij}+G^-_{ij})}

volts on column :math:`j`, with the target conductances in the sum.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikeram import registry
from spikeram.chip import Chip, ProgrammedChip, ProgrammedLayer
from spikeram.crossbar import Crossbar, column_maximum, conductance_from_weight
from spikeram.errors import CapacityError
from spikeram.network import Layer, SpikingNetwork
from spikeram.seeds import Seed
from spikeram.units import Quantity, Second, as_si
from spikeram.write_verify import write_and_relax

MAX_BIAS_ROWS = 8
"""Most always-on row pairs of one layer; the published chip used one to six."""

BIAS_QUANTILE = 0.9
"""Share of a layer's columns whose biases fit the window of their weights."""


def program(
    network: SpikingNetwork,
    *,
    chip: str | Chip = "neurram",
    delay: Quantity = "1 day",
    seed: Seed,
    index: int = 0,
    rounds: int | None = None,
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
    matrices = [_matrix(network, n) for n in range(len(network.layers))]
    _check_capacity(matrices, chosen)
    layers = tuple(
        _program_layer(
            layer, matrix, chosen, delay=time, seed=seed, address=(index, n), rounds=n_rounds
        )
        for n, (layer, matrix) in enumerate(zip(network.layers, matrices))
    )
    return ProgrammedChip(
        network=network, chip=chosen, layers=layers, delay=time, seed=str(seed), index=index
    )


def _matrix(network: SpikingNetwork, n: int) -> NDArray[np.float64]:
    """Return layer `n` with its always-on rows, in units of activation for each spike."""
    layer = network.layers[n]
    weight = layer.row_weight(network.worth(n))
    # So many rows that a bias needs no larger a window than its column's weights. Columns of
    # silent neurons have hardly any weight: they do not count.
    share = float(np.quantile(np.abs(layer.bias) / column_maximum(weight), BIAS_QUANTILE))
    n_bias = min(max(1, int(np.ceil(share))), MAX_BIAS_ROWS)
    return np.vstack([weight, np.tile(layer.bias / n_bias, (n_bias, 1))])


def _program_layer(
    layer: Layer,
    matrix: NDArray[np.float64],
    chip: Chip,
    *,
    delay: Second,
    seed: Seed,
    address: tuple[int, int],
    rounds: int,
) -> ProgrammedLayer:
    w_max = column_maximum(matrix)
    target = conductance_from_weight(matrix, g_min=chip.g_min, g_max=chip.g_max, w_max=w_max)
    written = write_and_relax(
        target,
        chip.device,
        delay=delay,
        seed=seed,
        chip=address[0],
        array=address[1],
        rounds=rounds,
        verify=chip.verify,
    )
    window = chip.g_max - chip.g_min
    unit = chip.neuron.gain * chip.v_read * window / (w_max * target.sum(axis=(0, 1)))
    return ProgrammedLayer(
        crossbar=Crossbar(
            conductance=written.conductance,
            neuron=replace(chip.neuron, spikes=layer.spikes),
            v_read=chip.v_read,
            pairs_per_core=chip.pairs,
        ),
        target=target,
        written=written.programmed,
        n_pulses=written.n_pulses,
        timed_out=written.timed_out,
        n_bias=matrix.shape[0] - layer.weight.shape[0],
        unit=unit,
        gain=np.ones(layer.n_columns),
        offset=np.zeros(layer.n_columns),
    )


def _check_capacity(matrices: list[NDArray[np.float64]], chip: Chip) -> None:
    needed = sum(chip.cores_for(*matrix.shape) for matrix in matrices)
    if needed > chip.n_cores:
        raise CapacityError(
            f"The network needs {needed} cores, but chip {chip.name!r} has {chip.n_cores}. "
            f"Use a smaller network, or a Chip with n_cores={needed} or larger cores."
        )
