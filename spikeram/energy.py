r"""Energy and latency from counted events: what each part of a core did, times what that costs.

A crossbar with R rows and C columns lies on n cores of :math:`R_c \times C_c` cells. Each of its
lines crosses :math:`A = \lceil C / C_c \rceil` cores; its columns are cut into
:math:`B = \lceil R / R_c \rceil` parts, each with neurons of its own. In spiking mode, T steps at
each of P positions are :math:`T P` steps; in :math:`S \le T P` of them an input or an always-on row
drives the crossbar, in the others it is idle. With :math:`Q` active pairs of rows and :math:`O`
output spikes in all, the events of one sample are

.. math::

    N_\text{word lines} &= S A R, \quad N_\text{start} = \min(P, S)\,A R, \quad
    N_\text{input} = A Q, \\
    N_\text{sample} &= N_\text{integrate} = S B C, \quad N_\text{compare} = T P B C, \quad
    N_\text{decrement} = O, \quad N_\text{control} = \min(P, S)\,B C.

An idle step leaves the membranes as they are and so needs no word lines, samples or integrations;
it still compares, as charge above a threshold may be left from the step before. Word lines open the
cells for the pulse of one step and close them again (``"pulsed"``, as the chip was measured); where
they stay open for all steps of a sample (``"held"``), each switches once: :math:`N_\text{word
lines} = A R`. That takes drivers that return to the reference between pulses.

Rows and columns that hold no weight cost nothing: their lines do not switch, their neurons are off.
Where a column lies on several cores, each part is digitised with `EnergyModel.partial_bits` bits in
each active step, sent and added up: :math:`S B C` conversions and :math:`S (B-1) C` additions. A
spike is sent once to each crossbar that it drives, as the address of its neuron among its layer's,
:math:`\lceil \log_2 n \rceil` bits, and one more where spikes have signs; spikes of the input come
onto the chip, and those that drive nothing leave it. What a max pool sends on is counted as what it
reads, and reading buffered spike trains at the positions of a convolution is not counted.

Bursts repeat cycles within a step: a crossbar whose inputs come in bursts of up to :math:`L`
switches its word lines, samples and integrates L times, and one whose neurons fire them compares as
often; each of a burst's pulses counts in Q. The step of a crossbar lasts as long as its longer
part, and steps of crossbars that work at once as long as the longest of them.

Fully connected crossbars work at once, each one step behind the latest that drives it. With L of
them along the longest path the decision is ready after :math:`(T + L - 1)\,t_\text{step}`; max
pools take no step. A crossbar that holds a convolution is used at one position after the other, T
steps at each, so that no membrane has to be stored; the spike trains between layers are buffered.
Where there is one, each layer takes :math:`T \lceil P / \text{copies} \rceil` steps after what
drives it; see `spikeram.schedule`. The parts of a layer that is cut over cores
(`spikeram.partial`) work at once; its soma, outside the cores, costs nothing here and no time but
the step that its spikes take.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spikeram import registry, schedule
from spikeram.precision import Precision
from spikeram.recording import INPUT, drivers, layer_names, members, signed_layers, steps_run
from spikeram.units import Joule, Second, as_si

WordLines: TypeAlias = Literal["pulsed", "held"]
Idle: TypeAlias = Literal["skip", "skip_biases", "run"]

CORE = (
    "word_lines",
    "start",
    "input_pulses",
    "sample",
    "integrate",
    "compare",
    "decrement",
    "shift_add",
    "control",
)
"""What the energy of the cores is split into."""

COMPONENTS = (*CORE, "partial_sums", "traffic", "off_chip")
"""What an energy is split into: the parts of the cores, and what happens between them."""

_ENERGIES = (
    "word_lines",
    "start",
    "input_pulse",
    "sample",
    "integrate",
    "compare",
    "decrement",
    "shift_add",
    "control",
    "partial_sum",
    "traffic",
    "off_chip",
)
_TIMES = ("step_time", "phase_time", "integrate_time", "compare_time")


@dataclass(frozen=True, kw_only=True)
class EnergyModel:
    """What each part of a core costs, in spiking mode and in inference mode.

    Parameters
    ----------
    word_lines : Joule
        Switching all word lines of a full core on and off once, one step's worth [J].
    input_pulse : Joule
        One input pulse on one pair of rows across a full core [J].
    sample : Joule
        Sampling one settled line by one neuron [J].
    integrate : Joule
        Moving one sample onto the integration capacitor of one neuron [J].
    compare : Joule
        One comparison of one neuron with its threshold [J].
    step_time : Second
        Duration of one sample-integrate-compare step [s].
    core_rows, core_columns : int
        Cells of a core.
    start : Joule
        What all word lines of a full core take besides, at the start of each phase of inference
        mode, or of each window of T spiking steps [J].
    decrement : Joule
        One charge decrement of one neuron: a spike, or an ADC step [J].
    shift_add : Joule
        Counting one ADC step of one neuron into its result [J].
    control : Joule
        Control of one neuron, for each phase or window [J].
    partial_sum : Joule
        Adding the part of a column on one core to the others, digitally [J].
    traffic, off_chip : Joule
        Sending one bit between cores of a chip, and onto or off the chip [J].
    phase_time, integrate_time, compare_time : Second
        Inference mode: overhead of a phase, one integration, one ADC step [s].
    partial_bits : int
        Bits that each part of a column on several cores is digitised with; 0: it is not.
    node, source : str
        Technology node, and where the figures come from.

    Examples
    --------
    >>> model = EnergyModel(
    ...     word_lines="500 pJ",
    ...     input_pulse="2 pJ",
    ...     sample="1 pJ",
    ...     integrate="0.25 pJ",
    ...     compare="0.25 pJ",
    ...     step_time="1 us",
    ... )
    >>> round(model.full_core_step, 15)
    1.14e-09
    """

    word_lines: Joule
    input_pulse: Joule
    sample: Joule
    integrate: Joule
    compare: Joule
    step_time: Second
    core_rows: int = 256
    core_columns: int = 256
    start: Joule = 0.0
    decrement: Joule = 0.0
    shift_add: Joule = 0.0
    control: Joule = 0.0
    partial_sum: Joule = 0.0
    traffic: Joule = 0.0
    off_chip: Joule = 0.0
    phase_time: Second = 0.0
    integrate_time: Second = 0.0
    compare_time: Second = 0.0
    partial_bits: int = 0
    node: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        for name in _ENERGIES:
            energy = as_si(getattr(self, name), "J", f"EnergyModel.{name}")
            if not 0 <= energy < math.inf:
                raise ValueError(f"EnergyModel.{name} expects an energy >= 0, got {energy} J.")
            object.__setattr__(self, name, energy)
        for name in _TIMES:
            time = as_si(getattr(self, name), "s", f"EnergyModel.{name}")
            if not 0 <= time < math.inf or (name == "step_time" and time == 0):
                least = "> 0" if name == "step_time" else ">= 0"
                raise ValueError(f"EnergyModel.{name} expects a time {least}, got {time} s.")
            object.__setattr__(self, name, time)
        if self.core_rows < 2 or self.core_columns < 1 or self.partial_bits < 0:
            raise ValueError(
                "EnergyModel expects core_rows >= 2, core_columns >= 1 and partial_bits >= 0, "
                f"got {self.core_rows}, {self.core_columns} and {self.partial_bits}."
            )

    @property
    def full_core_step(self) -> Joule:
        """Energy of one step of a full core with every row active and no spike [J]."""
        neuron = self.sample + self.integrate + self.compare
        pulses = self.input_pulse * (self.core_rows // 2)
        return self.word_lines + pulses + self.core_columns * neuron

    @property
    def prices(self) -> Mapping[str, Joule]:
        """Energy of one event of each component, in their order [J]."""
        return {
            "word_lines": self.word_lines / self.core_rows,
            "start": self.start / self.core_rows,
            "input_pulses": self.input_pulse,
            "sample": self.sample,
            "integrate": self.integrate,
            "compare": self.compare,
            "decrement": self.decrement,
            "shift_add": self.shift_add,
            "control": self.control,
            "partial_sums": self.partial_sum,
            "traffic": self.traffic,
            "off_chip": self.off_chip,
        }

    def parts(self, rows: Any, columns: Any) -> tuple[Any, Any]:
        """Return how many cores each row crosses, and each column."""
        return np.ceil(columns / self.core_columns), np.ceil(rows / self.core_rows)

    def product_time(self, precision: Precision) -> Second:
        """Return how long a core takes for one product in inference mode [s]."""
        return (
            len(precision.phases) * self.phase_time
            + precision.integrations * self.integrate_time
            + precision.adc_steps * self.compare_time
        )


@dataclass(frozen=True, kw_only=True)
class Events:
    """How often each part of the cores works: numbers, or arrays that broadcast together.

    Parameters
    ----------
    word_lines, start : array_like
        One word line across one core: switched on and off; begun with, for a phase or window.
    input_pulses : array_like
        Pulses on pairs of rows, across one core each.
    sample, integrate, compare, decrement, shift_add, control : array_like
        Operations of single neurons; `control` once for each phase or window.
    partial_sums : array_like
        Digital additions of the parts of a column.
    traffic, off_chip : array_like
        Bits sent between cores, and onto or off a chip.

    Examples
    --------
    Whatever counts events can be priced:

    >>> from spikeram.energy import resolve
    >>> whole = price(Events(sample=256, integrate=256), resolve("neurram"))
    >>> round(1e12 * float(whole.sum()))
    342
    """

    word_lines: Any = 0
    start: Any = 0
    input_pulses: Any = 0
    sample: Any = 0
    integrate: Any = 0
    compare: Any = 0
    decrement: Any = 0
    shift_add: Any = 0
    control: Any = 0
    partial_sums: Any = 0
    traffic: Any = 0
    off_chip: Any = 0

    def __add__(self, other: Events) -> Events:
        return Events(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


def price(events: Events, model: EnergyModel) -> xr.DataArray:
    """Return the energy of events, with a last dim "component" [J].

    Parameters
    ----------
    events : Events
        Counts: numbers, or DataArrays that broadcast together.
    model : EnergyModel
        What each costs.

    Returns
    -------
    xarray.DataArray of dims (..., component)
    """
    parts = [xr.DataArray(getattr(events, name)) * joule for name, joule in model.prices.items()]
    broadcast = xr.broadcast(*parts)
    joules = xr.concat(
        broadcast, dim=xr.Variable("component", np.array(COMPONENTS)), coords="minimal"
    )
    order = (*(dim for dim in joules.dims if dim != "component"), "component")
    return (
        joules.transpose(*order)
        .astype(np.float64)
        .rename("energy")
        .assign_attrs(units="J", long_name="energy", node=model.node, source=model.source)
    )


def spiking_events(
    model: EnergyModel,
    *,
    rows: Any,
    columns: Any,
    positions: Any,
    steps: Any,
    active_rows: Any,
    active_steps: Any,
    spikes: Any,
    bits: Any = 0,
    off_chip: Any = 0,
    word_lines: WordLines = "pulsed",
    sample_cycles: Any = 1,
    compare_cycles: Any = 1,
) -> Events:
    """Return the events of a crossbar in spiking mode; numbers, or arrays that broadcast together.

    Parameters
    ----------
    model : EnergyModel
        The size of a core.
    rows, columns, positions : array_like
        Cells along one column, columns, and positions at which the crossbar is used.
    steps : array_like
        Steps at each position.
    active_rows : array_like
        Activations of pairs of rows.
    active_steps : array_like
        Steps, over all positions, that are not idle.
    spikes : array_like
        Output spikes, each of which takes its charge.
    bits, off_chip : array_like
        Bits that are sent to the crossbar from others, and onto the chip to it or off it from it.
    word_lines : {"pulsed", "held"}
        Whether word lines switch in every active step, or once for all.
    sample_cycles, compare_cycles : array_like
        How often lines are sampled and membranes compared in a step, for bursts.
    """
    across, parts = model.parts(rows, columns)
    windows = np.minimum(positions, active_steps)
    neurons = columns * parts
    sampled = active_steps * sample_cycles
    switched = sampled if word_lines == "pulsed" else np.minimum(1, active_steps)
    converted = active_steps * neurons * ((parts > 1) * model.partial_bits)
    added = active_steps * columns * (parts - 1)
    return Events(
        word_lines=switched * across * rows,
        start=windows * across * rows,
        input_pulses=active_rows * across,
        sample=sampled * neurons,
        integrate=sampled * neurons,
        compare=steps * positions * neurons * compare_cycles + converted,
        # A soma, which has no columns, is outside the cores.
        decrement=spikes * (columns > 0) + converted,
        shift_add=converted,
        control=windows * neurons,
        partial_sums=added,
        traffic=bits + added * model.partial_bits,
        off_chip=off_chip,
    )


def product_events(
    model: EnergyModel,
    precision: Precision,
    *,
    rows: Any,
    columns: Any,
    products: Any = 1,
    active: float = 1.0,
) -> Events:
    """Return the events of matrix-vector products in inference mode.

    Parameters
    ----------
    model : EnergyModel
        The size of a core.
    precision : Precision
        Bits of inputs and outputs.
    rows, columns : array_like
        Cells along one column, and columns of the matrix, on as many cores as that takes.
    products : array_like
        Number of products.
    active : float
        Share of the pairs that a bit plane drives, relative to the vectors of the measurement.
    """
    across, parts = model.parts(rows, columns)
    neurons = columns * parts
    planes = products * precision.magnitude_bits
    return counted_events(
        model,
        rows=rows,
        columns=columns,
        products=products,
        planes=planes,
        phases=products * len(precision.phases),
        cycles=products * precision.integrations,
        adc_steps=products * neurons * precision.adc_steps,
        pulses=active * planes * across * rows / 2,
        bits=products * (neurons * precision.output_bits + rows / 2 * precision.input_bits),
    )


def counted_events(
    model: EnergyModel,
    *,
    rows: Any,
    columns: Any,
    products: Any,
    planes: Any,
    phases: Any,
    cycles: Any,
    adc_steps: Any,
    pulses: Any,
    bits: Any = 0,
) -> Events:
    """Return the events of a matrix in inference mode from what a simulation of it counted.

    Parameters
    ----------
    model : EnergyModel
        The size of a core.
    rows, columns : array_like
        Cells along one column, and columns of the matrix, on as many cores as that takes.
    products, planes, phases, cycles : array_like
        Products in all, and their bit planes, phases and sample-integrate cycles of a neuron.
    adc_steps : array_like
        ADC steps of all neurons together, of those that stop early the ones they made.
    pulses : array_like
        Pulses on pairs of rows, across one core each.
    bits : array_like
        Bits sent to and from the cores.
    """
    across, parts = model.parts(rows, columns)
    neurons = columns * parts
    return Events(
        word_lines=planes * across * rows,
        start=phases * across * rows,
        input_pulses=pulses,
        sample=planes * neurons,
        integrate=cycles * neurons,
        compare=adc_steps,
        decrement=adc_steps,
        shift_add=adc_steps,
        control=phases * neurons,
        partial_sums=products * columns * (parts - 1),
        traffic=bits,
    )


def energy(
    ds: xr.Dataset,
    model: str | EnergyModel | None = None,
    *,
    idle: Idle = "skip",
    word_lines: WordLines = "pulsed",
) -> xr.DataArray:
    """Return the energy of each sample in each crossbar [J].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    model : str or EnergyModel, optional
        What a core costs, or the name of a chip. By default the chip that ran, and for an ideal
        network the NeuRRAM chip, as if it had.
    idle : {"skip", "skip_biases", "run"}
        Skip steps in which nothing drives a crossbar; also those in which its always-on rows alone
        do, as if biases were added without the array, which bounds what that could save; or none.
        Recordings of version 0.1 do not say: none is skipped.
    word_lines : {"pulsed", "held"}
        Whether word lines switch in every step or once for all steps of a sample.

    Returns
    -------
    xarray.DataArray of dims (trial, crossbar, component)
        The components are `COMPONENTS`; sum over them for the whole, over `CORE` for the cores
        alone. Node and source are among the attributes. Decrements and traffic are those of the
        neurons in the recording: select trials, not neurons, before.

    Examples
    --------
    The energy of a sample is ``energy(ds).sum(["crossbar", "component"])``.
    """
    _check_choice("idle", idle, Idle)
    _check_choice("word_lines", word_lines, WordLines)
    table = resolve(model, ds)
    steps = steps_run(ds) if "stopped" in ds.variables else int(ds.attrs["steps"])
    active_steps = _active_steps(ds, idle)
    inside, outside = _bits(ds)
    events = spiking_events(
        table,
        rows=ds["rows"],
        columns=ds["columns"],
        positions=ds["positions"],
        steps=steps,
        active_rows=_active_rows(ds, active_steps),
        active_steps=active_steps,
        spikes=_spikes(ds, list(ds["crossbar"].values)),
        bits=inside,
        off_chip=outside,
        word_lines=word_lines,
        sample_cycles=_cycles(ds, "sample_cycles"),
        compare_cycles=_cycles(ds, "compare_cycles"),
    )
    found = price(events, table).transpose("trial", "crossbar", "component")
    return found.assign_coords(trial=ds["trial"], crossbar=ds["crossbar"]).assign_attrs(
        idle=idle, word_lines=word_lines
    )


def product_energy(
    ds: xr.Dataset, precision: Precision, model: str | EnergyModel | None = None
) -> xr.DataArray:
    """Return what the recorded network would take in inference mode, of one sample [J].

    Every crossbar makes one product at each of its positions, with all rows driven.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    precision : Precision
        Bits of inputs and outputs.
    model : str or EnergyModel, optional
        As for `energy`.

    Returns
    -------
    xarray.DataArray of dims (crossbar, component)
    """
    table = resolve(model, ds)
    events = product_events(
        table, precision, rows=ds["rows"], columns=ds["columns"], products=ds["positions"]
    )
    found = price(events, table).transpose("crossbar", "component")
    return found.assign_coords(crossbar=ds["crossbar"]).assign_attrs(
        input_bits=precision.input_bits, output_bits=precision.output_bits
    )


def latency(
    ds: xr.Dataset,
    model: str | EnergyModel | None = None,
    *,
    copies: Mapping[str, int] | None = None,
    merged: Sequence[Sequence[str]] = (),
) -> xr.DataArray:
    """Return the time from the first step to the decision of each sample [s].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    model : str or EnergyModel, optional
        As for `energy`.
    copies : mapping of str to int, optional
        Copies of a crossbar, which share its positions; one by default.
    merged : sequence of sequence of str
        Crossbars that share a core, and so work one after the other.

    Returns
    -------
    xarray.DataArray of dims (trial,)
        T + L - 1 steps for a longest path of L fully connected crossbars. With convolutions or
        shared cores, the steps along the longest path, T for each position of each crossbar. One
        more for encoded inputs, each with the cycles of its bursts; the same for all samples, but
        for those that stopped early, T being their own steps.
    """
    table = resolve(model, ds)
    every, place = np.unique(steps_run(ds).values, return_inverse=True)
    found = [_latency(_of_steps(ds, int(steps)), copies, merged) for steps in every]
    return xr.DataArray(
        np.array(found, dtype=np.float64)[place] * table.step_time,
        dims=("trial",),
        coords={"trial": ds["trial"]},
        name="latency",
        attrs={"units": "s", "long_name": "latency"},
    )


def _of_steps(ds: xr.Dataset, steps: int) -> xr.Dataset:
    """Return a recording as if its windows had fewer steps."""
    less = int(ds.attrs["steps"]) - steps
    return ds.assign_attrs(steps=steps, t_stop=ds.attrs["t_stop"] - less * ds.attrs["dt"])


def _latency(
    ds: xr.Dataset, copies: Mapping[str, int] | None, merged: Sequence[Sequence[str]]
) -> int:
    """Return the steps from the first to the decision after all."""
    if ds["positions"].values.max() == 1 and not merged:
        # The last window closes then; encoded inputs open the first one a step earlier.
        return int(round(ds.attrs["t_stop"] / ds.attrs["dt"]) * _step_cycles(ds).max())
    ends = schedule.finish_times(durations(ds, copies), drivers(ds), merged)
    # Encoded input spikes take one step to reach the first crossbar.
    return max(ends.values()) + int(np.any(ds["layer"].values == INPUT))


def durations(ds: xr.Dataset, copies: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return how many steps each crossbar works on one sample.

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    copies : mapping of str to int, optional
        Copies of a crossbar, which share its positions.
    """
    names = [str(name) for name in ds["crossbar"].values]
    shared = dict(copies or {})
    for name, number in shared.items():
        if name not in names or isinstance(number, bool) or int(number) != number or number < 1:
            raise ValueError(
                f"copies expects counts >= 1 of the crossbars {', '.join(names)}, got "
                f"{number!r} of {name!r}."
            )
    steps = int(ds.attrs["steps"])
    # A soma, which lies on no core, keeps up with its parts.
    uses = np.where(ds["columns"].values > 0, ds["positions"].values, 0)
    return {
        name: steps * int(cycles) * -(-int(positions) // int(shared.get(name, 1)))
        for name, positions, cycles in zip(names, uses, _step_cycles(ds))
    }


def _cycles(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Return how often crossbars do a part of a step: once without bursts."""
    return ds[name] if name in ds.variables else xr.ones_like(ds["positions"])


def _step_cycles(ds: xr.Dataset) -> NDArray[np.int64]:
    """Return how many cycles each crossbar's step lasts."""
    sampled, compared = (_cycles(ds, name).values for name in ("sample_cycles", "compare_cycles"))
    longest: NDArray[np.int64] = np.maximum(sampled, compared)
    return longest


def resolve(model: str | EnergyModel | None, ds: xr.Dataset | None = None) -> EnergyModel:
    """Return the energy model that is meant.

    Parameters
    ----------
    model : str, EnergyModel or None
        A model itself, the name of a chip, or None for that of the recording.
    ds : xarray.Dataset, optional
        A recording, which names the energies of the chip that ran.

    Raises
    ------
    ValueError
        If no chip has the name, or the chip has no energy model.
    """
    if isinstance(model, EnergyModel):
        return model
    if model is None and ds is not None:
        recorded = json.loads(ds.attrs["provenance"]).get("energy_model")
        if recorded is not None:
            return EnergyModel(**recorded)
    name = model or "neurram"
    found = getattr(registry.lookup("chips", name)(), "energy", None)
    if not isinstance(found, EnergyModel):
        raise ValueError(
            f"The chip {name!r} has no energy model. Pass a spikeram.energy.EnergyModel."
        )
    return found


def address_bits(neurons: int) -> int:
    """Return how many bits tell one of so many neurons."""
    return max(1, math.ceil(math.log2(neurons)))


def _check_choice(name: str, value: object, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name} expects one of {', '.join(get_args(choices))}, got {value!r}.")


def _active_steps(ds: xr.Dataset, idle: Idle) -> xr.DataArray:
    """Return the steps that are not skipped, of dims (trial, crossbar)."""
    every = steps_run(ds) * ds["positions"] * xr.ones_like(ds["active_rows"])
    if idle == "run" or "active_steps" not in ds:
        return every
    if idle == "skip":
        return ds["active_steps"].where(ds["always_on"] == 0, every)
    return ds["active_steps"]


def _active_rows(ds: xr.Dataset, active_steps: xr.DataArray) -> xr.DataArray:
    """Return the activations of pairs of rows in the steps that are not skipped."""
    if "always_on" not in ds:
        return ds["active_rows"]
    skipped = steps_run(ds) * ds["positions"] - active_steps
    return ds["active_rows"] - skipped * ds["always_on"]


def _spikes(ds: xr.Dataset, layers: Sequence[str]) -> xr.DataArray:
    """Return the spikes of layers, of dims (trial, crossbar): 0 where none of one is recorded."""
    owner, counts = ds["layer"].values, ds["row_size"].values
    each = [counts[:, owner == name].sum(axis=1) for name in layers]
    return xr.DataArray(np.stack(each, axis=1), dims=("trial", "crossbar"))


def _bits(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the bits sent between crossbars, and onto and off the chip, to or from each."""
    names = [str(name) for name in ds["crossbar"].values]
    known = layer_names(ds)
    signed = signed_layers(ds)
    sizes = {name: address_bits(members(ds, name).size) + (name in signed) for name in known}
    sent = {name: count * sizes[name] for name, count in zip(known, _spikes(ds, known).values.T)}
    sources = drivers(ds)
    read = {source for found in sources.values() for source in found}
    inside = np.zeros((ds.sizes["trial"], len(names)))
    outside = np.zeros_like(inside)
    for n, name in enumerate(names):
        for source in sources[name]:
            if source == INPUT:
                outside[:, n] += sent.get(INPUT, 0)
            else:
                inside[:, n] += sent.get(source, 0)
        if name not in read:
            outside[:, n] += sent.get(name, 0)
    dims = ("trial", "crossbar")
    return xr.DataArray(inside, dims=dims), xr.DataArray(outside, dims=dims)
