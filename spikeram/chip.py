r"""A chip, and a chip with a network programmed on it.

A trained unit of layer's activation is worth :math:`u_j` volts on the integration capacitor of
column :math:`j`; thresholds and trims carry that factor, so that every column can use the whole
conductance window and its own normalisation by the sum of conductances.

Several pairs of cells may hold one weight, side by side on rows that are driven together. A column
settles at a mean, so :math:`k` equal pairs move it as far as one does, and where each has an error
of its own the error of the weight falls as :math:`1/\sqrt k`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from spikeram import registry
from spikeram.analog import (
    AnalogTerms,
    Column,
    ColumnErrors,
    switched_off,
    switched_on,
    with_errors,
)
from spikeram.balance import driven_rows, shared
from spikeram.charge import RAIL_LIMIT, ChargeLayer, charge_layer
from spikeram.crossbar import Crossbar
from spikeram.device import ROOM, AbstractDevice, as_temperature
from spikeram.energy import EnergyModel
from spikeram.faults import Faults, LayerFaults
from spikeram.network import Layer, SpikingNetwork
from spikeram.neuron import SamplingNeuron
from spikeram.parasitics import Wires
from spikeram.partial import Kind, PartialSums, Segment, as_partial_sums, cut_layer
from spikeram.placement import BadLines, Mapping, Stack
from spikeram.pool import MaxPool
from spikeram.read_noise import ReadNoise, read_noise
from spikeram.seeds import Seed
from spikeram.units import Kelvin, Second, Siemens, Volt, as_si
from spikeram.write_verify import WriteVerify, Written

ColumnGain: TypeAlias = Literal["threshold", "balanced", "none"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Chip:
    """What a chip is before anything is programmed on it.

    Parameters
    ----------
    name : str
        The chip's name.
    device : AbstractDevice or str
        The RRAM cell, or the name of a published one.
    neuron : SamplingNeuron
        The neuron at the end of each column.
    energy : EnergyModel
        Energies and times of one core's step.
    verify : WriteVerify
        How cells are written.
    g_min, g_max : Siemens
        Conductance window that weights are mapped to [S].
    v_read : Volt
        Read voltage of a spike [V].
    rounds : int
        Rounds of iterative programming: cells that left the window are written again.
    full_scale : {"column", "layer", "least_squares"}
        What takes the end of the window: the largest weight of each column, that of a whole
        layer, or in each column the weight from which saturation costs least; see
        `spikeram.programming`.
    pairs_per_weight : int
        Pairs of cells that hold each weight, side by side and driven together.
    n_cores, rows, columns : int
        Cores, and the word lines and columns of each. A pair of cells takes two rows.
    analog : AnalogTerms
        What lines and neurons add on their own; see `spikeram.analog`.
    faults : Faults
        Lines and neurons that do not work.
    temperature : Kelvin
        Temperature at which the chip is kept after programming [K].
    wires : Wires or None
        Resistances of lines, drivers and transistors; None for ideal ones.
    partial_sums : {"ideal", "digital", "spiking"} or PartialSums
        How columns that are cut over cores are added; see `spikeram.partial`. No cell depends on
        it: `ProgrammedChip.with_partial_sums` changes it afterwards.
    column_gain : {"threshold", "balanced", "none"}
        What takes up that columns differ in their sums of conductances: a threshold for each, or,
        where a core has one for all its columns, dummy cells or nothing; see `spikeram.balance`.
    """

    name: str
    device: AbstractDevice
    neuron: SamplingNeuron
    energy: EnergyModel
    verify: WriteVerify = field(default_factory=WriteVerify)
    g_min: Siemens = 1e-6
    g_max: Siemens = 40e-6
    v_read: Volt = 0.5
    rounds: int = 0
    full_scale: Literal["column", "layer", "least_squares"] = "column"
    pairs_per_weight: int = 1
    n_cores: int = 48
    rows: int = 256
    columns: int = 256
    analog: AnalogTerms = field(default_factory=AnalogTerms)
    faults: Faults = field(default_factory=Faults)
    temperature: Kelvin = ROOM
    wires: Wires | None = None
    partial_sums: PartialSums | Kind = "ideal"
    column_gain: ColumnGain = "threshold"

    def __post_init__(self) -> None:
        object.__setattr__(self, "partial_sums", as_partial_sums(self.partial_sums))
        if self.column_gain not in get_args(ColumnGain):
            raise ValueError(
                f"Chip.column_gain expects 'threshold', 'balanced' or 'none', got "
                f"{self.column_gain!r}."
            )
        for name, unit in (("g_min", "S"), ("g_max", "S"), ("v_read", "V")):
            object.__setattr__(self, name, as_si(getattr(self, name), unit, f"Chip.{name}"))
        kelvin = as_temperature(self.temperature, "Chip.temperature")
        object.__setattr__(self, "temperature", kelvin)
        if isinstance(self.device, str):
            object.__setattr__(self, "device", registry.lookup("devices", self.device)())
        if not 0 <= self.g_min < self.g_max:
            raise ValueError(
                f"Chip expects 0 <= g_min < g_max, got {self.g_min} and {self.g_max} S."
            )
        if self.full_scale not in ("column", "layer", "least_squares"):
            raise ValueError(
                f"Chip.full_scale expects 'column', 'layer' or 'least_squares', got "
                f"{self.full_scale!r}."
            )
        least_counts = {"rounds": 0, "pairs_per_weight": 1, "n_cores": 1, "rows": 2, "columns": 1}
        for name, least in least_counts.items():
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                raise ValueError(f"Chip.{name} expects a count >= {least}, got {count!r}.")
        if self.analog.sigma_comparator > 0 and self.neuron.reset != "subtract":
            raise ValueError(
                "Chip.analog: offsets of comparators are modelled for neurons that reset by "
                f"subtraction, got reset {self.neuron.reset!r}. Leave sigma_comparator at 0."
            )

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the analog terms that are on, of those in `spikeram.analog.TERMS`."""
        return switched_on(self.neuron, self.analog)

    def without(self, *names: str) -> Chip:
        """Return the chip with the named analog terms off.

        Examples
        --------
        >>> from spikeram.models import chips
        >>> chips.neurram().terms, chips.neurram().without("rails").terms
        (('rails',), ())
        """
        neuron, analog = switched_off(self.neuron, self.analog, names)
        return replace(self, neuron=neuron, analog=analog)

    def only(self, *names: str) -> Chip:
        """Return the chip with all analog terms off but the named ones."""
        self.without(*names)  # refuses what is no name
        return self.without(*(name for name in self.terms if name not in names))

    @property
    def pairs(self) -> int:
        """Pairs of rows that one core holds."""
        return self.rows // 2

    def stack(
        self,
        n_chips: int = 1,
        *,
        bad_rows: BadLines = MappingProxyType({}),
        bad_columns: BadLines = MappingProxyType({}),
        max_bytes: float = math.inf,
    ) -> Stack:
        """Return the cores of some such chips, to place matrices on.

        Parameters
        ----------
        n_chips : int
            Chips.
        bad_rows, bad_columns : mapping of int to array_like of int
            Word lines and columns that are not to be used, by core; see `Stack`.
        max_bytes : float
            Most that may travel between the chips for one inference [bytes].
        """
        return Stack(
            chip=self.name,
            n_chips=n_chips,
            n_cores=self.n_cores,
            rows=self.rows,
            columns=self.columns,
            bad_rows=bad_rows,
            bad_columns=bad_columns,
            max_bytes=max_bytes,
        )

    def cores_for(self, n_inputs: int, n_outputs: int) -> int:
        """Return the number of cores that a matrix of signed weights takes by itself."""
        n_pairs = n_inputs * self.pairs_per_weight
        return -(-n_pairs // self.pairs) * -(-n_outputs // self.columns)


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedLayer:
    """One layer on its crossbar.

    Parameters
    ----------
    crossbar : Crossbar
        Conductances at read-out; the last `n_bias` pairs of rows are always on.
    target : ndarray of shape (polarity, row, column) [S]
        What was asked for.
    cells : Written
        What programming left behind, and since when; arrays of the shape of `target`.
    n_bias : int
        Number of always-on pairs of rows.
    unit : ndarray of shape (column,) [V]
        Nominal worth of one unit of activation on C_integ.
    gain, offset : ndarray of shape (column,)
        Measured correction, ``z = gain * z_measured + offset`` in units of activation.
    pairs_per_weight : int
        How many pairs of rows, one after the other, hold the weights of one input.
    columns : ColumnErrors or None
        What the analog terms of the chip are for these columns; None without any.
    sigma_read : float, or ndarray of shape (polarity, row, column)
        Standard deviation of each cell from step to step [S]; 0 for none.
    faults : LayerFaults or None
        Cells and neurons that do not work; None where all do.
    n_held : int
        Dummy pairs at the end of each core's rows, which no input ever drives.
    shared_columns : int
        How many columns of a core share one threshold; 0 where each has its own.
    share : float or None
        Charge of a partial spike as a share of the threshold, where it was measured for the layer;
        None for that of the chip.
    digital : ndarray of shape (shortcut,)
        Rows of the layer's weights that have no cells: shortcuts, added digitally in inference
        mode.
    """

    crossbar: Crossbar
    target: NDArray[np.float64]
    cells: Written
    n_bias: int
    unit: NDArray[np.float64]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    pairs_per_weight: int = 1
    columns: ColumnErrors | None = None
    sigma_read: Siemens | NDArray[np.float64] = 0.0
    faults: LayerFaults | None = None
    n_held: int = 0
    shared_columns: int = 0
    share: float | None = None
    digital: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))

    @property
    def written(self) -> NDArray[np.float64]:
        """Conductances just after programming, of shape (polarity, row, column) [S]."""
        return self.cells.programmed

    @property
    def n_pulses(self) -> NDArray[np.int64]:
        """Write pulses that each cell has had, of shape (polarity, row, column)."""
        return self.cells.n_pulses

    @property
    def timed_out(self) -> NDArray[np.bool_]:
        """Cells given up by write-verify, of shape (polarity, row, column)."""
        return self.cells.timed_out

    @property
    def weight_shape(self) -> tuple[int, int]:
        """Weights that the layer has room for, those of always-on and held rows among them."""
        _, rows, columns = self.target.shape
        return rows // self.pairs_per_weight, columns

    @property
    def effective_weight(self) -> NDArray[np.float64]:
        """Membrane change for one spike, summed over the pairs of a weight [V on C_i]."""
        weight: NDArray[np.float64] = (
            self.crossbar.effective_weight[self._driven]
            .reshape(-1, self.pairs_per_weight, self.crossbar.shape[1])
            .sum(axis=1)
        )
        return weight

    @property
    def _driven(self) -> NDArray[np.intp]:
        """The rows of pairs that inputs and biases drive."""
        rows = self.crossbar.conductance.shape[1]
        return driven_rows(rows, self.crossbar.pairs_per_core, self.n_held)

    def segments(self, threshold: NDArray[np.float64]) -> list[Segment]:
        """Return what each core holds of the rows, with its own normalisation.

        Parameters
        ----------
        threshold : ndarray of shape (column,)
            Thresholds of the layer, in units of activation.
        """
        driven, k = self._driven, self.pairs_per_weight
        first_bias = (driven.size - self.n_bias) // k
        total = self.target.sum(axis=(0, 1))
        found = []
        for n, rows in enumerate(self.crossbar.segments):
            place = np.flatnonzero((driven >= rows.start) & (driven < rows.stop))
            volts = self.crossbar.segment(n).effective_weight[driven[place] - rows.start]
            # Pairs of one weight lie side by side, and a cut may part them.
            held, starts = np.unique(place // k, return_index=True)
            weight = np.add.reduceat(volts, starts, axis=0)
            inputs = held < first_bias
            start = int(held[0])
            found.append(
                Segment(
                    weight=weight[inputs],
                    bias=weight[~inputs].sum(axis=0),
                    threshold=shared(
                        threshold * self.unit * total / self.target[:, rows].sum(axis=(0, 1)),
                        self.shared_columns,
                    ),
                    rows=slice(start, start + int(inputs.sum())),
                    pairs=rows.stop - rows.start,
                    always_on=int(np.count_nonzero(place >= driven.size - self.n_bias)),
                )
            )
        return found

    def nodes(
        self,
        layer: Layer,
        cores: int,
        sources: tuple[str, ...] = (),
        sums: PartialSums | None = None,
    ) -> tuple[ChargeLayer, ...]:
        """Return this layer as engines run it: in one piece, or partial neurons and a soma."""
        self._check_spikes(layer)
        how = sums or PartialSums()
        if self.share is not None:
            how = replace(how, share=self.share)
        n_segments = len(self.crossbar.segments)
        if how.kind == "ideal" or n_segments == 1:
            return (self.charge(layer, cores, sources),)
        self._check_cut(layer, how)
        nodes = cut_layer(
            replace(layer, sources=sources or layer.sources),
            self.segments(layer.threshold),
            how,
            neuron=self.crossbar.neuron,
            gain=self.gain,
            offset=self.offset,
        )
        *parts, soma = nodes
        placed = tuple(
            replace(part, cores=cores // n_segments, pairs_per_weight=self.pairs_per_weight)
            for part in parts
        )
        return (*placed, soma if self.faults is None else self.faults.of_soma(soma))

    def _check_spikes(self, layer: Layer) -> None:
        """Refuse what only inference mode has."""
        if self.digital.size:
            raise ValueError(
                f"Layer {layer.name!r} has {self.digital.size} shortcuts that are added digitally, "
                "which spikes are not. Run it with spikeram.inference.infer, or program the "
                "network with shortcuts='array'."
            )

    def _check_cut(self, layer: Layer, sums: PartialSums) -> None:
        """Refuse what partial neurons do not have."""
        strange = []
        if self.columns is not None or np.any(self.sigma_read):
            strange.append("analog terms of lines and neurons (use chip.without(*chip.terms))")
        if layer.burst > 1 or self.crossbar.neuron.burst > 1:
            strange.append("bursts")
        if strange:
            raise ValueError(
                f"Layer {layer.name!r} is cut over {len(self.crossbar.segments)} cores, whose "
                f"{sums.kind} partial sums do not have {' or '.join(strange)}. Use ideal partial "
                "sums or larger cores."
            )

    def charge(self, layer: Layer, cores: int, sources: tuple[str, ...] = ()) -> ChargeLayer:
        """Return this layer in charge quanta, for the thresholds of `layer`."""
        self._check_spikes(layer)
        weight = self.effective_weight
        if self.columns is not None:
            # Of all pairs, of which so many are driven by one input.
            share = self.columns.bit_coupling * self.pairs_per_weight / self.crossbar.shape[0]
            weight = weight - share * self.crossbar.v_read * self.crossbar.neuron.gain
        n_inputs = weight.shape[0] - self.n_bias // self.pairs_per_weight
        unit = self.unit / self.gain
        threshold = shared(layer.threshold * unit, self.shared_columns)
        column = Column(
            bias=weight[n_inputs:].sum(axis=0) + self.offset * unit,
            threshold=threshold,
            initial=layer.initial * threshold,
        )
        if self.columns is not None:
            column = with_errors(column, self.columns, self.crossbar.neuron)
        charge = charge_layer(
            layer.name,
            weight[:n_inputs] / layer.n_taps,
            bias=column.bias,
            threshold=column.threshold,
            initial=column.initial,
            scale=layer.threshold,
            slope=layer.slope,
            neuron=self.crossbar.neuron,
            rows=2 * self.crossbar.shape[0],
            cores=cores,
            always_on=self.n_bias,
            gather=layer.gather,
            sources=sources or layer.sources,
        )
        charge = replace(
            charge,
            pairs_per_weight=self.pairs_per_weight,
            read=self._read_noise(charge.quantum, n_inputs, layer),
        )
        return charge if self.faults is None else self.faults.of_neurons(charge)

    def _read_noise(self, quantum: Volt, n_inputs: int, layer: Layer) -> ReadNoise | None:
        """Return the read noise of the columns; the equation is that of `spikeram.read_noise`."""
        if not np.any(self.sigma_read):
            return None
        total = self.crossbar.conductance.sum(axis=(0, 1))
        one = self.crossbar.neuron.gain * self.crossbar.v_read / quantum
        cells = np.broadcast_to(np.square(self.sigma_read), self.target.shape).sum(axis=0)
        columns = cells.shape[1]
        variance = cells[self._driven].reshape(-1, self.pairs_per_weight, columns).sum(axis=1)
        return read_noise(
            variance[:n_inputs],
            always_on=variance[n_inputs:].sum(axis=0),
            worth=np.divide(one, total, out=np.zeros_like(total), where=total > 0) ** 2,
            gather=layer.gather,
            name=layer.name,
            limit=RAIL_LIMIT,
        )

    def head_start(self, layer: Layer, charge: ChargeLayer) -> NDArray[np.float64]:
        """Return by how much membranes begin above what was asked for, (output,) [quanta]."""
        wanted = layer.initial * layer.threshold * (self.unit / self.gain) / charge.quantum
        start: NDArray[np.float64] = np.repeat(-wanted, layer.n_positions)
        start += charge.initial
        return start

    def with_faults(self, faults: LayerFaults) -> ProgrammedLayer:
        """Return the layer with cells and neurons that do not work.

        Open cells take no pulses and count as given up.
        """
        if not (np.any(faults.open) or np.any(faults.silent)):
            return self
        cells = replace(
            self.cells,
            conductance=faults.of_cells(self.cells.conductance),
            programmed=faults.of_cells(self.cells.programmed),
            n_pulses=np.where(faults.open, 0, self.cells.n_pulses),
            n_reversals=np.where(faults.open, 0, self.cells.n_reversals),
            timed_out=self.cells.timed_out | faults.open,
        )
        return replace(self, faults=faults).with_cells(cells)

    def with_cells(self, cells: Written) -> ProgrammedLayer:
        """Return the layer with its cells as they are at another read-out."""
        g = cells.conductance if self.faults is None else self.faults.of_cells(cells.conductance)
        return replace(
            self,
            cells=replace(cells, conductance=g),
            crossbar=replace(self.crossbar, conductance=g),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedChip:
    """A chip with a network on it.

    Parameters
    ----------
    network : SpikingNetwork
        What was programmed.
    chip : Chip
        What it was programmed on.
    layers : tuple of ProgrammedLayer
        One for each layer of the network.
    mapping : Mapping
        Which cores hold what.
    delay : Second
        Time between the last programming and read-out [s].
    seed : int or numpy.random.SeedSequence
        Where the chip's random cells came from.
    index : int
        Number of the chip among those of its seed.
    recalibrated : bool
        Whether gain and offset of each column were measured.
    reprogrammed : int
        How often cells that had left the window were written again, long after programming.
    """

    network: SpikingNetwork
    chip: Chip
    layers: tuple[ProgrammedLayer, ...]
    mapping: Mapping
    delay: Second
    seed: Seed
    index: int = 0
    recalibrated: bool = False
    reprogrammed: int = 0

    def without(self, *names: str) -> ProgrammedChip:
        """Return the same cells with the named analog terms off.

        What was measured by recalibration stays: it was measured with them.
        """
        chip = self.chip.without(*names)
        layers = []
        for layer in self.layers:
            neuron, _ = switched_off(layer.crossbar.neuron, chip.analog, names)
            layers.append(
                replace(
                    layer,
                    crossbar=replace(layer.crossbar, neuron=neuron),
                    columns=None if layer.columns is None else layer.columns.of(chip.analog),
                    sigma_read=layer.sigma_read if chip.analog.read_noise else 0.0,
                )
            )
        return replace(self, chip=chip, layers=tuple(layers))

    def only(self, *names: str) -> ProgrammedChip:
        """Return the same cells with all analog terms off but the named ones."""
        self.chip.only(*names)  # refuses what is no name
        return self.without(*(name for name in self.chip.terms if name not in names))

    @property
    def dt(self) -> Second:
        """Duration of one step [s]."""
        return self.chip.neuron.dt

    @property
    def provenance(self) -> dict[str, object]:
        """What a recording says about what was run, with the energies of the chip's parts."""
        wires = {} if self.chip.wires is None else {"wires_ohm": asdict(self.chip.wires)}
        return {
            **self.network.provenance,
            **wires,
            "chip": self.chip.name,
            "chip_seed": str(self.seed),
            "chip_index": self.index,
            "pairs_per_weight": self.chip.pairs_per_weight,
            "delay_s": self.delay,
            "recalibrated": self.recalibrated,
            "analog_terms": list(self.chip.terms),
            "reprogrammed": self.reprogrammed,
            "partial_sums": asdict(self.partial_sums),
            "column_gain": self.chip.column_gain,
            "energy_model": asdict(self.chip.energy),
        }

    @property
    def cores(self) -> tuple[int, ...]:
        """Cores that each layer takes: one for each of its parts, even where parts share one."""
        parts = self.mapping.parts
        return tuple(len(parts[layer.name]) for layer in self.network.layers)

    @property
    def partial_sums(self) -> PartialSums:
        """How columns that are cut over cores are added."""
        return as_partial_sums(self.chip.partial_sums)

    def with_partial_sums(self, sums: PartialSums | Kind) -> ProgrammedChip:
        """Return the same cells with partial sums of another kind."""
        return replace(self, chip=replace(self.chip, partial_sums=sums))

    @property
    def n_cells(self) -> int:
        """Cells programmed."""
        return sum(layer.target.size for layer in self.layers)

    @property
    def mean_pulses(self) -> float:
        """Mean number of write pulses of a cell."""
        return float(np.mean(np.concatenate([layer.n_pulses.ravel() for layer in self.layers])))

    @property
    def most_pulses(self) -> int:
        """Largest number of write pulses that a cell has had."""
        return max(int(layer.n_pulses.max(initial=0)) for layer in self.layers)

    @property
    def worn(self) -> float:
        """Share of cells that have had as many pulses as they endure."""
        endured = self.chip.device.endurance
        if endured is None:
            return 0.0
        return float(np.mean(np.concatenate([x.n_pulses.ravel() for x in self.layers]) >= endured))

    @property
    def timed_out(self) -> float:
        """Share of cells that write-verify gave up."""
        return float(np.mean(np.concatenate([layer.timed_out.ravel() for layer in self.layers])))

    def charge_nodes(self) -> tuple[ChargeLayer | MaxPool, ...]:
        """Return what engines run: layers, those that are cut over cores as parts, and pools."""
        sources, wanted = self.network.wiring.sources, self._by_name
        return tuple(
            one
            for node in self.network.nodes
            for one in (
                (node,)
                if isinstance(node, MaxPool)
                else wanted[node.name][0].nodes(
                    node, wanted[node.name][1], sources[node.name], self.partial_sums
                )
            )
        )

    @property
    def _by_name(self) -> dict[str, tuple[ProgrammedLayer, int]]:
        names = (layer.name for layer in self.network.layers)
        return dict(zip(names, zip(self.layers, self.cores)))

    def charge_layers(self) -> tuple[ChargeLayer, ...]:
        """Return the programmed layers in charge quanta, each in one piece."""
        sources = self.network.wiring.sources
        return tuple(
            programmed.charge(layer, cores, sources[layer.name])
            for programmed, layer, cores in zip(self.layers, self.network.layers, self.cores)
        )
