r"""The same network elsewhere: a digital accelerator, a processor, a later node.

What a network computes is a `Workload`: M multiply-accumulates of its W weights with the values of
its A neurons for one sample, or Q synaptic operations with spikes. A digital `Machine` takes

.. math::

    E = M\,(e_\text{operation} + e_\text{instruction}) + W b\,e_\text{weights}
        + 2 A b\,e_\text{buffer}

with b bytes to a number: each weight is read from on-chip memory once for a sample, and each
activation written to a small buffer and read from it once; operands in between are in registers.
Spiking machines add where a spike arrives, and read the weight for each: :math:`Q` additions and
weights instead. Off-chip memory is not counted, which favours machines that cannot hold their
weights.

Node factors are those of constant :math:`C \propto L` and :math:`E = C V^2`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from spikeram import schedule
from spikeram.energy import CORE, EnergyModel, energy, latency, product_energy, resolve
from spikeram.precision import Precision
from spikeram.recording import INPUT, drivers
from spikeram.statistics import synaptic_operations
from spikeram.units import Joule, Second

SUPPLY = {130: 1.2, 45: 0.9, 7: 0.7}
"""Supply of logic at each node [nm: V]: the usual ones, assumed."""

PAPER_7_NM = {"energy": 8.0, "latency": 95.0}
"""What the authors of NeuRRAM expect of 7 nm against 130 nm, as recalled, not checked."""

_HOROWITZ = "Horowitz, ISSCC 2014, 45 nm at 0.9 V"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What one sample asks for.

    Parameters
    ----------
    macs : float
        Multiply-accumulates of the network without spikes.
    weights : float
        Weights, each counted once.
    activations : float
        Values between layers, inputs among them.
    synaptic_operations : float
        Additions where spikes arrive, over all steps.
    """

    macs: float
    weights: float
    activations: float
    synaptic_operations: float


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What digital hardware takes.

    Parameters
    ----------
    name : str
        What tables call it.
    operation : Joule
        One multiply-accumulate, or one addition where it works with spikes [J].
    instruction : Joule
        Fetching, decoding and scheduling for one operation [J].
    weight_byte, buffer_byte : Joule
        Reading a byte of weights, and reading or writing one of the buffer [J].
    bytes : int
        Bytes of a number.
    works_on : {"values", "spikes"}
        Whether it computes the network once, or adds where a spike arrives.
    nm : int
        Technology node [nm].
    source : str
        Where the figures come from.
    """

    name: str
    operation: Joule
    instruction: Joule = 0.0
    weight_byte: Joule
    buffer_byte: Joule
    bytes: int
    works_on: Literal["values", "spikes"] = "values"
    nm: int
    source: str

    def energy(self, work: Workload) -> Joule:
        """Return the energy of one sample [J]."""
        spikes = self.works_on == "spikes"
        operations = work.synaptic_operations if spikes else work.macs
        weights = work.synaptic_operations if spikes else work.weights
        return (
            operations * (self.operation + self.instruction)
            + weights * self.bytes * self.weight_byte
            + 2 * work.activations * self.bytes * self.buffer_byte
        )

    def operations(self, work: Workload) -> float:
        """Return the operations of one sample."""
        return work.synaptic_operations if self.works_on == "spikes" else work.macs


# A 64-bit word takes 10 pJ from a cache of 8 kB and 100 pJ from one of 1 MB.
_SMALL, _LARGE = 10e-12 / 8, 100e-12 / 8

MACHINES = (
    Machine(
        name="accelerator, int8",
        operation=0.2e-12 + 0.1e-12,
        weight_byte=_LARGE,
        buffer_byte=_SMALL,
        bytes=1,
        nm=45,
        source=f"{_HOROWITZ}: 8-bit multiply 0.2 pJ, 32-bit add 0.1 pJ; 64 bits from 8 kB 10 pJ, "
        "from 1 MB 100 pJ",
    ),
    Machine(
        name="accelerator, float32",
        operation=3.7e-12 + 0.9e-12,
        weight_byte=_LARGE,
        buffer_byte=_SMALL,
        bytes=4,
        nm=45,
        source=f"{_HOROWITZ}: multiply 3.7 pJ, add 0.9 pJ; memory as for int8",
    ),
    Machine(
        name="spiking accelerator, int8",
        operation=0.1e-12,
        weight_byte=_SMALL,
        buffer_byte=_SMALL,
        bytes=1,
        works_on="spikes",
        nm=45,
        source=f"{_HOROWITZ}: 32-bit add 0.1 pJ; every weight from 8 kB beside the adder, "
        "membranes in registers: a favourable case",
    ),
    Machine(
        name="CPU, float32",
        operation=3.7e-12 + 0.9e-12,
        instruction=4 * 70e-12 / 8,
        weight_byte=_LARGE,
        buffer_byte=_SMALL,
        bytes=4,
        nm=45,
        source=f"{_HOROWITZ}: 70 pJ an instruction; assumed: load, load, multiply, add on vectors "
        "of 8; memory as for the accelerator",
    ),
)
"""What a network is compared with. The figures are usually cited ones, quoted, not measured."""


def node_factor(nm: int, to: int) -> float:
    """Return the factor on an energy from one node to another.

    Examples
    --------
    >>> round(node_factor(45, 130), 2)
    5.14
    """
    for node in (nm, to):
        if node not in SUPPLY:
            raise ValueError(f"node_factor knows {', '.join(map(str, SUPPLY))} nm, got {node}.")
    return to / nm * (SUPPLY[to] / SUPPLY[nm]) ** 2


def workload(ds: xr.Dataset) -> Workload:
    """Return what a recorded network asks for, on average over samples.

    Bias rows count as weights. Where the input is a constant current, its values are taken to be as
    many as the first crossbar has rows.
    """
    weights = ds["rows"] // 2 * ds["columns"]
    spikes = synaptic_operations(ds).sum("crossbar").mean()
    inputs = 0 if np.any(ds["layer"].values == INPUT) else int(ds["rows"].values[0] // 2)
    return Workload(
        macs=float((weights * ds["positions"]).sum()),
        weights=float(weights.sum()),
        activations=float(ds.sizes["neuron"] + inputs),
        synaptic_operations=float(spikes),
    )


def compare(
    ds: xr.Dataset,
    model: str | EnergyModel | None = None,
    *,
    precision: Precision | None = None,
) -> xr.Dataset:
    """Return what one sample of a recorded network takes, here and elsewhere.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    model : str or EnergyModel, optional
        As for `spikeram.energy.energy`.
    precision : Precision, optional
        Of inference mode; 4-bit inputs and 6-bit outputs by default.

    Returns
    -------
    xarray.Dataset of dims (platform,)
        ``energy`` [J], ``latency`` [s] where it is known, ``operations`` and
        ``energy_per_operation`` [J] of what the platform counts as one, ``relative`` to the
        spiking run with its traffic; ``node`` and ``source`` of every figure.
    """
    table = resolve(model, ds)
    bits = precision or Precision(4, 6)
    joules = energy(ds, table).mean("trial").sum("crossbar")
    seconds = float(latency(ds, table).mean())
    products = product_energy(ds, bits, table).sum("crossbar")
    positions = dict(zip(ds["crossbar"].values.tolist(), ds["positions"].values.tolist()))
    uses = max(schedule.finish_times(positions, drivers(ds)).values())
    once = uses * table.product_time(bits) or np.nan
    work = workload(ds)
    core = float(joules.sel(component=list(CORE)).sum())
    recalled = "the authors' own projection, as recalled; core energy"
    rows = [
        ("spiking, with traffic", float(joules.sum()), seconds, table.node, table.source),
        ("spiking, cores alone", core, seconds, table.node, table.source),
        (
            f"inference mode, {bits.input_bits} in {bits.output_bits} out, cores alone",
            float(products.sel(component=list(CORE)).sum()),
            once,
            table.node,
            table.source,
        ),
        (
            "spiking, cores alone, at 7 nm",
            core / PAPER_7_NM["energy"],
            seconds / PAPER_7_NM["latency"],
            "7 nm",
            recalled,
        ),
    ]
    counted = [work.synaptic_operations] * 2 + [work.macs, work.synaptic_operations]
    machines, operations = elsewhere(work)
    return _table([*rows, *machines], [*counted, *operations])


def elsewhere(
    work: Workload,
) -> tuple[list[tuple[str, Joule, Second, str, str]], list[float]]:
    """Return the rows of a table for digital machines, at their node and scaled to 130 nm.

    Parameters
    ----------
    work : Workload
        What one sample asks for.

    Returns
    -------
    list of (name, energy [J], time [s], node, source), list of float
        And the operations of each.
    """
    rows, operations = [], []
    for machine in MACHINES:
        joule = machine.energy(work)
        rows.append((machine.name, joule, np.nan, f"{machine.nm} nm", machine.source))
        operations.append(machine.operations(work))
    for machine in MACHINES[:1]:
        factor = node_factor(machine.nm, 130)
        scaled = f"{machine.source}; scaled by {factor:.2f}: C as L, V from 0.9 to 1.2"
        rows.append((f"{machine.name}, scaled", factor * machine.energy(work), np.nan, "130 nm",
                     scaled))  # fmt: skip
        operations.append(machine.operations(work))
    return rows, operations


def _table(rows: list[tuple[str, Joule, Second, str, str]], operations: list[float]) -> xr.Dataset:
    names, joules, seconds, nodes, sources = (list(column) for column in zip(*rows))
    energies, counted = np.array(joules, float), np.array(operations, float)
    each = np.divide(energies, counted, out=np.full_like(energies, np.nan), where=counted > 0)
    whole = xr.Dataset(
        {
            "energy": ("platform", energies),
            "latency": ("platform", np.array(seconds, float)),
            "operations": ("platform", counted),
            "energy_per_operation": ("platform", each),
            "relative": ("platform", energies / energies[0] if energies[0] else energies * np.nan),
        },
        coords={
            "platform": names,
            "node": ("platform", nodes),
            "source": ("platform", sources),
        },
    )
    for name, units in (("energy", "J"), ("latency", "s"), ("energy_per_operation", "J")):
        whole[name].attrs.update(units=units, long_name=name.replace("_", " "))
    return whole
