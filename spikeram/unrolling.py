r"""Two ways to run a convolution on crossbars: position by position, or unrolled.

*Pixel by pixel* a convolution is one small matrix that is programmed once and used at one position
after the other. The time loop is innermost: a position's T steps follow each other on the array
before the next position's, its neurons are cleared between positions, and no membrane is ever
stored. What is stored is the spike trains between the layers, T bits for each neuron.

*Unrolled* every output pixel has a column of its own, every input one pair of rows, and all
positions integrate at once; a step later the next layer does. Nothing is stored, but the array has
(inputs + biases) x outputs pairs of cells, nearly all of them for weights that are zero.

Both add the same charge in the same steps of each neuron, so their spikes are the same, to the
bit; time, energy and cells are not. With P positions of C columns and R pairs of rows for a
kernel, T steps, and one step's duration :math:`t_{step}`:

================  ================================  ==========================================
figure            pixel                             unrolled
================  ================================  ==========================================
cells             2 R C                             2 (inputs + biases) C P
time              P T t_step, layers one by one     (T + layers - 1) t_step, all layers at once
word lines        P T times those of 2 R rows       T times those of all rows, in every core
rows driven       once for each position of a spike once for each spike
================  ================================  ==========================================

The unrolled array is that of the same charges: that its many idle cells would make columns settle
closer to the reference is a matter of thresholds, which carry the sum of conductances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import xarray as xr

from spikeram.charge import ChargeLayer
from spikeram.energy import EnergyModel, energy, latency, resolve
from spikeram.pool import MaxPool

Schedule: TypeAlias = Literal["pixel", "unrolled"]


def scheduled(
    nodes: Sequence[ChargeLayer | MaxPool],
    schedule: Schedule,
    energies: EnergyModel | None = None,
) -> tuple[ChargeLayer | MaxPool, ...]:
    """Return nodes that account for themselves as a schedule has them; their charge is the same.

    Parameters
    ----------
    nodes : sequence of ChargeLayer and MaxPool
        The network as engines run it.
    schedule : {"pixel", "unrolled"}
        As they are, or with a column for each neuron of a convolution.
    energies : EnergyModel, optional
        Says how many cells a core has; by default as many as those of the NeuRRAM chip.
    """
    if schedule not in get_args(Schedule):
        raise ValueError(f"schedule expects 'pixel' or 'unrolled', got {schedule!r}.")
    if schedule == "pixel":
        return tuple(nodes)
    table = resolve(energies)
    return tuple(
        node if isinstance(node, MaxPool) or node.n_uses == 1 else _unrolled(node, table)
        for node in nodes
    )


def _unrolled(layer: ChargeLayer, energies: EnergyModel) -> ChargeLayer:
    if layer.part_of:
        raise ValueError(
            f"schedule='unrolled' expects columns in one piece or ideal partial sums, but "
            f"{layer.part_of!r} is cut into parts. Use partial_sums='ideal'."
        )
    used = int(np.count_nonzero(layer.reuse))
    rows = 2 * (used * layer.pairs_per_weight + layer.always_on)
    cores = -(-rows // energies.core_rows) * -(-layer.n_outputs // energies.core_columns)
    # An ideal network is on no core.
    return replace(
        layer, rows=rows, lines=layer.n_outputs, uses=1, cores=cores if layer.cores else 0
    )


def accounts(ds: xr.Dataset, model: str | EnergyModel | None = None) -> xr.Dataset:
    """Return what a recorded schedule takes: time, energy, cells and cores.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording; `simulate` was told the schedule.
    model : str or EnergyModel, optional
        As for `spikeram.energy.energy`.

    Returns
    -------
    xarray.Dataset
        ``time`` [s] of a sample; and for each crossbar ``energy`` [J], the mean over samples,
        ``cells``, zero weights and dummies among them, ``cores`` that have room for them, and
        ``buffer``, the steps of all neurons, a bit each, that wait for the next layer.
    """
    table = resolve(model, ds)
    cells = ds["rows"] * ds["columns"]
    cores = np.ceil(ds["rows"] / table.core_rows) * np.ceil(ds["columns"] / table.core_columns)
    names = ds["layer"].values
    # Where a crossbar is used at several positions, all of the train has to be there first.
    waiting = int(ds.attrs["steps"]) if int(ds["positions"].max()) > 1 else 1
    neurons = [int(np.count_nonzero(names == name)) for name in ds["crossbar"].values]
    return xr.Dataset(
        {
            "time": ((), float(latency(ds, table)[0]), {"units": "s"}),
            "energy": energy(ds, table).sum("component").mean("trial").assign_attrs(units="J"),
            "cells": cells.assign_attrs(units="1"),
            "cores": cores.astype(np.int64).assign_attrs(units="1"),
            "buffer": ("crossbar", waiting * np.array(neurons), {"units": "bit"}),
        },
    )
