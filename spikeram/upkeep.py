"""What becomes of a programmed chip: it ages, and cells that drifted away are written again.

Both give a new value of the same chip: its cells, and their paths through time, stay those of its
seed. Gains and offsets that were measured stay as they are too; `recalibrate` measures them anew.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from spikeram.chip import ProgrammedChip, ProgrammedLayer
from spikeram.device import Cells, as_delay, as_temperature
from spikeram.units import Kelvin, Quantity
from spikeram.write_verify import Written, later, write_again


def age(
    chip: ProgrammedChip, delay: Quantity, *, temperature: Quantity | None = None
) -> ProgrammedChip:
    """Return the same chip a delay later: cells relax on, none is written.

    Parameters
    ----------
    chip : ProgrammedChip
        The chip at its read-out.
    delay : Second
        Time that passes; ``"10 years"`` and seconds both serve [s].
    temperature : Kelvin, optional
        Temperature at which it passes; by default that of the chip [K].

    Examples
    --------
    >>> import numpy as np
    >>> import spikeram as sr
    >>> from spikeram.upkeep import age
    >>> ann = sr.TrainedNetwork.chain([np.eye(4)], [np.zeros(4)])
    >>> chip = sr.program(sr.convert(ann, np.eye(4), steps=4), delay="1 day", seed=0)
    >>> age(chip, "10 years").delay == 86400.0 + 315576000.0
    True
    """
    time, kelvin = float(as_delay(delay, "age")), _temperature(chip, temperature)
    layers = tuple(_later(chip, n, layer, time, kelvin) for n, layer in enumerate(chip.layers))
    return replace(chip, layers=layers, delay=chip.delay + time)


def reprogram(
    chip: ProgrammedChip, *, delay: Quantity = "1 day", temperature: Quantity | None = None
) -> ProgrammedChip:
    """Return the same chip with the cells that have left their window written again.

    Parameters
    ----------
    chip : ProgrammedChip
        The chip at its read-out, at which all its cells are read, and those outside the window
        around their target are written. Pulses add up.
    delay : Second
        Time from then to the next read-out [s].
    temperature : Kelvin, optional
        Temperature at which it passes; by default that of the chip [K].
    """
    time, kelvin = float(as_delay(delay, "reprogram")), _temperature(chip, temperature)
    layers = []
    for n, layer in enumerate(chip.layers):
        cells = write_again(
            layer.cells,
            layer.target,
            chip.chip.device,
            _addresses(chip, n, layer),
            verify=chip.chip.verify,
        )
        layers.append(_later(chip, n, layer.with_cells(_skipped(layer, cells)), time, kelvin))
    return replace(chip, layers=tuple(layers), delay=time, reprogrammed=chip.reprogrammed + 1)


def wear(chip: ProgrammedChip) -> xr.Dataset:
    """Return what programming has cost the cells of each layer.

    Parameters
    ----------
    chip : ProgrammedChip
        A chip.

    Returns
    -------
    xarray.Dataset
        By layer: cells, write pulses of a cell on average and at most, over all programmings, and
        the shares of cells that are worn out and that were given up.
    """
    endured = chip.chip.device.endurance
    columns = {
        "cells": [layer.target.size for layer in chip.layers],
        "mean_pulses": [float(layer.n_pulses.mean()) for layer in chip.layers],
        "most_pulses": [int(layer.n_pulses.max()) for layer in chip.layers],
        "worn": [
            0.0 if endured is None else float(np.mean(layer.n_pulses >= endured))
            for layer in chip.layers
        ],
        "given_up": [float(layer.timed_out.mean()) for layer in chip.layers],
    }
    names = [layer.name for layer in chip.network.layers]
    return xr.Dataset(
        {name: ("layer", values) for name, values in columns.items()}, coords={"layer": names}
    )


def _later(
    chip: ProgrammedChip, n: int, layer: ProgrammedLayer, time: float, kelvin: Kelvin
) -> ProgrammedLayer:
    cells = _addresses(chip, n, layer)
    return layer.with_cells(later(layer.cells, chip.chip.device, cells, time, temperature=kelvin))


def _skipped(layer: ProgrammedLayer, cells: Written) -> Written:
    """Return the cells as they are where open ones, which would not answer, got no pulses."""
    if layer.faults is None:
        return cells
    opened = layer.faults.open
    return replace(
        cells,
        programmed=layer.faults.of_cells(cells.programmed),
        n_pulses=np.where(opened, layer.cells.n_pulses, cells.n_pulses),
        n_reversals=np.where(opened, layer.cells.n_reversals, cells.n_reversals),
        timed_out=cells.timed_out | opened,
    )


def _addresses(chip: ProgrammedChip, n: int, layer: ProgrammedLayer) -> Cells:
    return Cells.of(layer.target.shape, seed=chip.seed, chip=chip.index, array=n)


def _temperature(chip: ProgrammedChip, temperature: Quantity | None) -> Kelvin:
    return chip.chip.temperature if temperature is None else as_temperature(temperature)
