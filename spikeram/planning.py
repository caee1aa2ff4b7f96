r"""What a network of any size would take, from the shapes of its matrices alone.

A matrix of :math:`n` inputs, with :math:`b` rows of biases, and :math:`m` outputs takes
:math:`\lceil (n + b) k / (R_c / 2) \rceil \lceil m / C_c \rceil` cores of :math:`R_c \times C_c`
cells, where :math:`k` pairs hold each weight; `Chip.cores_for` counts them. Small matrices of one
layer that have inputs of their own, such as those of a depthwise convolution, lie on the diagonal
of a core, as many as rows and columns last. Layers do not share cores here; the mapper packs
tighter.

With rate r, an input drives its row in :math:`r T` of T steps, and neurons spike at the same rate.
Events are priced as those of a run (`spikeram.energy`), with every step active where there are
biases, and a share :math:`1 - (1 - r)^n` of them where there are none.

Cores are numbered in the order of the matrices, and chips filled one after the other. Each matrix
is taken to be driven by the one before it: a spike is sent to every other chip that holds a part of
the next matrix, as an address, and parts of a column on other chips than its first send their sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from spikeram import registry, schedule
from spikeram.area import area
from spikeram.chip import Chip
from spikeram.comparison import Workload
from spikeram.conversion.shapes import MatrixShape, Shapes, shapes_of
from spikeram.energy import address_bits, price, product_events, spiking_events
from spikeram.precision import Precision
from spikeram.units import Second

WRITE_ON_CHIP = 56e-6
"""Programming one cell if write-verify ran on the chip [s]: an audit of the paper's Methods."""

WRITE_ON_BENCH = 358 / 1660
"""Programming one cell on the published FPGA bench [s]: logs of github.com/weierwan."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """What a network takes on stacked chips.

    Parameters
    ----------
    shapes : Shapes
        What the network is made of.
    chip : Chip
        What it would be programmed on.
    steps : int
        Time steps T.
    precision : Precision
        Of inference mode.
    table : xarray.Dataset of dims (matrix,)
        Of each matrix: ``rows``, ``columns``, ``groups``, ``positions``, ``cells``, ``cores``,
        ``first_core``, ``utilisation``, ``steps`` worked on one sample, ``bits_between_chips`` of
        one sample; ``energy`` and ``product_energy`` of dims (matrix, component) [J].
    """

    shapes: Shapes
    chip: Chip
    steps: int
    precision: Precision
    table: xr.Dataset

    @property
    def cores(self) -> int:
        """Cores of all matrices."""
        return int(self.table["cores"].sum())

    @property
    def chips(self) -> int:
        """Chips that hold them."""
        return -(-self.cores // self.chip.n_cores)

    @property
    def cells(self) -> int:
        """Cells that are programmed."""
        return int(self.table["cells"].sum())

    @property
    def weights(self) -> int:
        """Weights of all matrices, without biases."""
        return sum(matrix.weights for matrix in self.shapes.matrices)

    @property
    def utilisation(self) -> float:
        """Share of the cells of its cores that hold weights."""
        return self.cells / (self.cores * self.chip.rows * self.chip.columns)

    @property
    def area(self) -> float:
        """Area of the cores [m2]; see `spikeram.area`."""
        return float(area(self.cores).sum())

    @property
    def programming_time(self) -> Second:
        """Time to write the cells, one after the other on each chip, chips side by side [s]."""
        return -(-self.cells // self.chips) * WRITE_ON_CHIP

    @property
    def bench_time(self) -> Second:
        """The same on the published bench, one chip after the other [s]."""
        return self.cells * WRITE_ON_BENCH

    @property
    def energy(self) -> xr.DataArray:
        """Energy of one sample in spiking mode, of dims (component,) [J]."""
        return self.table["energy"].sum("matrix", keep_attrs=True)

    @property
    def product_energy(self) -> xr.DataArray:
        """Energy of one sample in inference mode, of dims (component,) [J]."""
        return self.table["product_energy"].sum("matrix", keep_attrs=True)

    @property
    def latency(self) -> Second:
        """Time of one sample in spiking mode, matrices one after the other [s].

        Where every matrix is used once, they work at once, each one step behind the one before.
        """
        worked = self.table["steps"].values
        once = self.table["positions"].values.max() == 1
        total = self.steps + worked.size - 1 if once else int(worked.sum())
        return float(total * self.chip.energy.step_time)

    @property
    def interval(self) -> Second:
        """Time between two samples in spiking mode, where every core works on one [s]."""
        worked = dict(zip(self.table["matrix"].values.tolist(), self.table["steps"].values))
        return float(schedule.interval(worked) * self.chip.energy.step_time)

    @property
    def product_latency(self) -> Second:
        """Time of one sample in inference mode, matrices one after the other [s]."""
        products = int(self.table["positions"].sum())
        return float(products * self.chip.energy.product_time(self.precision))

    @property
    def bits_between_chips(self) -> float:
        """Bits of one sample in spiking mode that cross from chip to chip."""
        return float(self.table["bits_between_chips"].sum())

    @property
    def workload(self) -> Workload:
        """What one sample asks for, for `spikeram.comparison.elsewhere`."""
        return Workload(
            macs=float(sum(matrix.macs for matrix in self.shapes.matrices)),
            weights=float(self.weights),
            activations=float(sum(matrix.outputs for matrix in self.shapes.matrices)),
            synaptic_operations=float(self.table["synaptic_operations"].sum()),
        )


def plan(
    model: Any,
    *,
    input_shape: tuple[int, ...] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    steps: int = 32,
    rate: float = 0.1,
    chip: str | Chip = "neurram",
    precision: Precision | None = None,
    bias_rows: int = 1,
) -> Plan:
    """Return what a network would take: chips, cores, cells, time, energy and traffic.

    No weight is read: a network of billions of weights takes seconds and little memory.

    Parameters
    ----------
    model : path, torch.nn.Module, onnx.ModelProto, TrainedNetwork, Shapes or list of layers
        See `spikeram.conversion.shapes.shapes_of`.
    input_shape, shapes : optional
        Shapes of inputs that the model leaves open.
    steps : int
        Time steps T of spiking mode.
    rate : float
        Spikes of a neuron in a step, 0 to 1, for matrices that do not have a rate of their own.
    chip : str or Chip
        The chip, as many of them as that takes.
    precision : Precision, optional
        Of inference mode; 4-bit inputs and 6-bit outputs by default.
    bias_rows : int
        Pairs of always-on rows of each matrix.

    Returns
    -------
    Plan

    Examples
    --------
    >>> found = plan([(784, 512), (512, 10)])
    >>> found.cores, found.chips, found.cells
    (19, 1, 814100)
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"plan expects steps >= 1, got {steps!r}.")
    if not 0 <= rate <= 1:
        raise ValueError(f"plan expects a rate from 0 to 1 spikes a step, got {rate!r}.")
    if isinstance(bias_rows, bool) or not isinstance(bias_rows, int) or bias_rows < 0:
        raise ValueError(f"plan expects bias_rows >= 0, got {bias_rows!r}.")
    source = str(model) if isinstance(model, Path) else model
    found = shapes_of(source, input_shape=input_shape, shapes=shapes)
    held = chip if isinstance(chip, Chip) else registry.lookup("chips", chip)()
    bits = precision or Precision(4, 6)
    table = _table(found, held, steps, rate, bits, bias_rows)
    return Plan(shapes=found, chip=held, steps=steps, precision=bits, table=table)


def cores_of(matrix: MatrixShape, chip: Chip, bias_rows: int = 1) -> int:
    """Return the cores that a matrix takes, its groups side by side.

    Parameters
    ----------
    matrix : MatrixShape
        The matrix.
    chip : Chip
        The size of a core.
    bias_rows : int
        Pairs of always-on rows of each group.

    Examples
    --------
    >>> from spikeram.models.chips import neurram
    >>> cores_of(MatrixShape(name="dense", rows=784, columns=512), neurram())
    14
    >>> cores_of(MatrixShape(name="depthwise", rows=9, columns=1, groups=100), neurram())
    9
    """
    pairs = (matrix.rows + bias_rows) * chip.pairs_per_weight
    blocks = min(chip.pairs // pairs, chip.columns // matrix.columns)
    if matrix.groups > 1 and blocks > 1:
        return -(-matrix.groups // blocks)
    return matrix.groups * chip.cores_for(matrix.rows + bias_rows, matrix.columns)


def _table(
    shapes: Shapes, chip: Chip, steps: int, rate: float, precision: Precision, bias_rows: int
) -> xr.Dataset:
    matrices = shapes.matrices
    names = _unique([matrix.name for matrix in matrices])

    def column(values: list[Any]) -> xr.DataArray:
        return xr.DataArray(np.array(values), dims=("matrix",), coords={"matrix": names})

    rows = column([2 * (m.rows + bias_rows) * chip.pairs_per_weight for m in matrices])
    columns, groups = column([m.columns for m in matrices]), column([m.groups for m in matrices])
    positions = column([m.positions for m in matrices])
    rates = column([rate if m.rate is None else m.rate for m in matrices])
    cores = column([cores_of(m, chip, bias_rows) for m in matrices])
    cells = rows * columns * groups
    uses = positions * groups
    driven = rates * column([m.rows for m in matrices])
    # A step is idle where none of so many independent inputs spikes.
    share = 1.0 if bias_rows else 1 - (1 - rates) ** column([m.rows for m in matrices])
    active_rows = steps * uses * chip.pairs_per_weight * (driven + bias_rows)
    spikes = steps * uses * columns * rates
    received = steps * rates * column([m.inputs * address_bits(m.inputs) for m in matrices])
    first_core = column(np.concatenate([[0], np.cumsum(cores.values)[:-1]]).tolist())
    crossing = received * column(_other_chips(cores.values, chip.n_cores))
    crossing += (
        steps
        * uses
        * chip.energy.partial_bits
        * column(_parts_elsewhere(matrices, first_core.values, chip, bias_rows))
    )
    edge = xr.zeros_like(received)
    edge[0] = received[0]
    # The read-out of a converted network spikes with both signs, as no layer before it does.
    edge[-1] += steps * rate * matrices[-1].outputs * (address_bits(matrices[-1].outputs) + 1)
    spiking = spiking_events(
        chip.energy,
        rows=rows,
        columns=columns,
        positions=uses,
        steps=steps,
        active_rows=active_rows,
        active_steps=share * steps * uses,
        spikes=spikes,
        bits=xr.concat([xr.zeros_like(received[:1]), received[1:]], dim="matrix"),
        off_chip=edge + crossing,
    )
    products = product_events(chip.energy, precision, rows=rows, columns=columns, products=uses)
    return xr.Dataset(
        {
            "kind": column([m.kind for m in matrices]),
            "rows": column([m.rows for m in matrices]),
            "columns": columns,
            "groups": groups,
            "positions": positions,
            "cells": cells,
            "cores": cores,
            "first_core": first_core,
            "utilisation": cells / (cores * chip.rows * chip.columns),
            "steps": steps * positions,
            "synaptic_operations": active_rows * columns,
            "bits_between_chips": crossing,
            "energy": price(spiking, chip.energy),
            "product_energy": price(products, chip.energy),
        }
    )


def _other_chips(cores: Any, n_cores: int) -> list[float]:
    """Return to how many other chips a spike goes on its way to each matrix, on average."""
    ends = np.cumsum(cores)
    starts = ends - cores
    found = [0.0]
    for n in range(1, len(cores)):
        low, high = starts[n] // n_cores, (ends[n] - 1) // n_cores
        # Cores of the matrix before that lie on the chips of this one: it comes just before.
        here = max(0, ends[n - 1] - max(starts[n - 1], low * n_cores))
        found.append(float(high - low + 1 - here / cores[n - 1]))
    return found


def _parts_elsewhere(
    matrices: tuple[MatrixShape, ...], first_core: Any, chip: Chip, bias_rows: int
) -> list[float]:
    """Return how many parts of columns lie on other chips than the first part of their column."""
    found = []
    for matrix, start in zip(matrices, first_core):
        pairs = (matrix.rows + bias_rows) * chip.pairs_per_weight
        parts, across = -(-pairs // chip.pairs), -(-matrix.columns // chip.columns)
        if parts == 1:
            found.append(0.0)
            continue
        blocks = matrix.groups * across
        place = start + np.arange(blocks)[:, np.newaxis] * parts + np.arange(parts)
        on = place // chip.n_cores
        width = np.full(across, chip.columns)
        width[-1] = matrix.columns - (across - 1) * chip.columns
        away = np.count_nonzero(on != on[:, :1], axis=1)
        # On average over groups, each of which is used at all positions.
        found.append(float((away * np.tile(width, matrix.groups)).sum()) / matrix.groups)
    return found


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
