r"""A chip, and a chip with a network programmed on it.

A trained unit of layer's activation is worth :math:`u_j` volts on the integration capacitor of
column :math:`j`; thresholds and trims carry that factor, so that every column can use the whole
conductance window and its own normalisation by the sum of conductances.

Several pairs of cells may hold one weight, side by side on rows that are driven together. A column
settles at a mean, so :math:`k` equal pairs move it as far as one does, and where each has an error
of its own the error of the weight falls as :math:`1/\sqrt k`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from spikeram import registry
from spikeram.balance import driven_rows, shared
from spikeram.charge import ChargeLayer, charge_layer
from spikeram.crossbar import Crossbar
from spikeram.device import AbstractDevice
from spikeram.energy import EnergyModel
from spikeram.network import Layer, SpikingNetwork
from spikeram.neuron import SamplingNeuron
from spikeram.partial import Kind, PartialSums, Segment, as_partial_sums, cut_layer
from spikeram.pool import MaxPool
from spikeram.units import Second, Siemens, Volt, as_si
from spikeram.write_verify import WriteVerify

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

    @property
    def pairs(self) -> int:
        """Pairs of rows that one core holds."""
        return self.rows // 2

    def cores_for(self, n_inputs: int, n_outputs: int) -> int:
        """Return the number of cores that a matrix of signed weights takes."""
        n_pairs = n_inputs * self.pairs_per_weight
        return -(-n_pairs // self.pairs) * -(-n_outputs // self.columns)


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgrammedLayer:
    """One layer on its crossbar.

    Parameters
    ----------
    crossbar : Crossbar
        Conductances at read-out; the last `n_bias` pairs of rows are always on.
    target, written : ndarray of shape (polarity, row, column) [S]
        What was asked for, and what was verified just after programming.
    n_pulses : ndarray of shape (polarity, row, column)
        Write pulses that each cell took.
    timed_out : bool ndarray of shape (polarity, row, column)
        Cells given up by write-verify.
    n_bias : int
        Number of always-on pairs of rows.
    unit : ndarray of shape (column,) [V]
        Nominal worth of one unit of activation on C_integ.
    gain, offset : ndarray of shape (column,)
        Measured correction, ``z = gain * z_measured + offset`` in units of activation.
    pairs_per_weight : int
        How many pairs of rows, one after the other, hold the weights of one input.
    n_held : int
        Dummy pairs at the end of each core's rows, which no input ever drives.
    shared_columns : int
        How many columns of a core share one threshold; 0 where each has its own.
    share : float or None
        Charge of a partial spike as a share of the threshold, where it was measured for the layer;
        None for that of the chip.
    """

    crossbar: Crossbar
    target: NDArray[np.float64]
    written: NDArray[np.float64]
    n_pulses: NDArray[np.int64]
    timed_out: NDArray[np.bool_]
    n_bias: int
    unit: NDArray[np.float64]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    pairs_per_weight: int = 1
    n_held: int = 0
    shared_columns: int = 0
    share: float | None = None

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
        how = sums or PartialSums()
        if self.share is not None:
            how = replace(how, share=self.share)
        n_segments = len(self.crossbar.segments)
        if how.kind == "ideal" or n_segments == 1:
            return (self.charge(layer, cores, sources),)
        nodes = cut_layer(
            replace(layer, sources=sources or layer.sources),
            self.segments(layer.threshold),
            how,
            neuron=self.crossbar.neuron,
            gain=self.gain,
            offset=self.offset,
        )
        return tuple(
            replace(node, cores=cores // n_segments, pairs_per_weight=self.pairs_per_weight)
            if node.part
            else node
            for node in nodes
        )

    def charge(self, layer: Layer, cores: int, sources: tuple[str, ...] = ()) -> ChargeLayer:
        """Return this layer in charge quanta, for the thresholds of `layer`."""
        weight = self.effective_weight
        n_inputs = weight.shape[0] - self.n_bias // self.pairs_per_weight
        unit = self.unit / self.gain
        threshold = shared(layer.threshold * unit, self.shared_columns)
        charge = charge_layer(
            layer.name,
            weight[:n_inputs] / layer.n_taps,
            bias=weight[n_inputs:].sum(axis=0) + self.offset * unit,
            threshold=threshold,
            initial=layer.initial * threshold,
            scale=layer.threshold,
            slope=layer.slope,
            neuron=self.crossbar.neuron,
            rows=2 * self.crossbar.shape[0],
            cores=cores,
            always_on=self.n_bias,
            gather=layer.gather,
            sources=sources or layer.sources,
        )
        return replace(charge, pairs_per_weight=self.pairs_per_weight)


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
    delay : Second
        Time between programming and read-out [s].
    seed : str
        Where the chip's random cells came from.
    index : int
        Number of the chip among those of its seed.
    recalibrated : bool
        Whether gain and offset of each column were measured.
    """

    network: SpikingNetwork
    chip: Chip
    layers: tuple[ProgrammedLayer, ...]
    delay: Second
    seed: str
    index: int = 0
    recalibrated: bool = False

    @property
    def dt(self) -> Second:
        """Duration of one step [s]."""
        return self.chip.neuron.dt

    @property
    def provenance(self) -> dict[str, object]:
        """What a recording says about what was run, with the energies of the chip's parts."""
        return {
            **self.network.provenance,
            "chip": self.chip.name,
            "chip_seed": self.seed,
            "chip_index": self.index,
            "pairs_per_weight": self.chip.pairs_per_weight,
            "delay_s": self.delay,
            "recalibrated": self.recalibrated,
            "partial_sums": asdict(self.partial_sums),
            "column_gain": self.chip.column_gain,
            "energy_model": asdict(self.chip.energy),
        }

    @property
    def cores(self) -> tuple[int, ...]:
        """Cores that each layer takes."""
        return tuple(
            len(layer.crossbar.segments) * -(-layer.target.shape[2] // self.chip.columns)
            for layer in self.layers
        )

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
