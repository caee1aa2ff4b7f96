"""Charge comes in quanta: membranes, thresholds and effective weights are integers.

The quantum of a layer is ``2**-k`` V on the integration capacitor, with k such that the largest
weight fills 12 bits. Integer addition gives the same sum in any order, and 12-bit multiples of
a power of two are exact in float64 volts, so every engine, any number of threads and Brian2
itself give the same spikes to the bit. (A leak multiplies; its result is rounded to quanta, so that
engines agree there too.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeram._kernels.rows import tiles_of
from spikeram._kernels.tables import tables_of
from spikeram.errors import CapacityError
from spikeram.gather import Gather, weighted_sums
from spikeram.groups import InputGroups
from spikeram.neuron import Reset, SamplingNeuron, Spikes, check_burst
from spikeram.read_noise import ReadNoise

WEIGHT_LIMIT = 2047
"""Largest magnitude of an effective weight, in quanta: 12 bits with sign."""

_SMALLEST = 2.0**-900

RAIL_LIMIT = 2**30
"""Largest membrane magnitude, and largest charge of one step, in quanta: int32 never wraps."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ChargeLayer:
    """One layer as every engine runs it: integers, in quanta of charge.

    Parameters
    ----------
    name : str
        The layer's name in recordings.
    weight : int16 ndarray of shape (row, column)
        Membrane change that one input spike causes [quanta]. Rows are inputs and columns
        outputs, unless there is a `gather`.
    bias : int32 ndarray of shape (output,)
        Membrane change of every step: always-on rows and trims [quanta].
    threshold, initial : int32 ndarray of shape (output,)
        Threshold, which is also the charge decrement, and membrane before the first step [quanta].
    rail : int
        The membrane is clipped at +-`rail` after each integration [quanta].
    quantum : float
        One quantum [V].
    scale : float64 ndarray of shape (output,)
        Worth of one output spike in the units of the trained network.
    spikes : {"unipolar", "ternary", "signed"}
        Whether neurons fire +1 only, +1 and -1 alike, or -1 to take spikes back; see
        `spikeram.neuron`.
    reset : {"subtract", "zero"}
        What a spike does to the membrane.
    decay : float
        Factor by which the membrane shrinks in each step, before it integrates.
    sigma_noise : float
        Standard deviation of the Gaussian charge of every step [quanta].
    kick : int
        Pseudo-random charge of every step, added or taken away [quanta].
    rows, cores, always_on : int
        Cells along one column, cores that hold the layer, and pairs of rows driven in every step
        (biases), for energy accounts.
    pairs_per_weight : int
        Pairs of rows that a spike drives for each weight, for energy accounts.
    gather : Gather or None
        The inputs at each row, position by position, where the weights are a convolution's.
    sources : tuple of str
        Names of the nodes that drive it, "input" for the network's input, in the order of its
        inputs. Empty: the node before it.
    negative : int32 ndarray of shape (output,)
        Of signed neurons, the charge of a spike whose count is below zero [quanta]; 0 where the
        count does not go below zero.
    read : ReadNoise or None
        How much the cells fluctuate from step to step; None where they do not.
    burst : int
        Most spikes of one neuron in a step.
    digits : int
        Binary digits with which each column's charge is converted anew in every step, the
        threshold being full scale: neuron ``p * lines + line`` sends digit p with the sign of the
        charge. 0 for neurons, which keep their charge. See `spikeram.partial`.
    part : int
        Which segment of a cut column the neurons read, from 1; 0 for neurons of the network.
    part_of : str
        Name of the network's layer where its columns are cut, at its partial neurons and at the
        soma that adds them up; empty for a layer in one piece.
    lines, uses : int or None
        Columns of the array, and times that it is used in each step, for energy accounts; None
        for those of the weights and of the gather.
    """

    name: str
    weight: NDArray[np.int16]
    bias: NDArray[np.int32]
    threshold: NDArray[np.int32]
    initial: NDArray[np.int32]
    rail: int
    quantum: float
    scale: NDArray[np.float64]
    spikes: Spikes = "unipolar"
    reset: Reset = "subtract"
    decay: float = 1.0
    sigma_noise: float = 0.0
    kick: int = 0
    rows: int = 0
    cores: int = 1
    always_on: int = 0
    pairs_per_weight: int = 1
    gather: Gather | None = None
    sources: tuple[str, ...] = ()
    negative: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    read: ReadNoise | None = None
    burst: int = 1
    digits: int = 0
    part: int = 0
    part_of: str = ""
    lines: int | None = None
    uses: int | None = None

    def __post_init__(self) -> None:
        if self.spikes == "signed" and (self.reset != "subtract" or self.decay != 1):
            raise ValueError(
                f"Layer {self.name!r} has signed neurons, which count charge: they expect reset "
                "'subtract' and no leak."
            )
        keeps = self.reset == "subtract" and self.decay == 1
        check_burst(f"Layer {self.name!r}", self.burst, keeps=keeps)
        if self.digits and (self.spikes != "ternary" or self.reset != "zero" or self.decay != 0):
            raise ValueError(
                f"Layer {self.name!r} converts its charge anew in every step: it expects ternary "
                "spikes, reset 'zero' and decay 0."
            )
        if not self.negative.size:
            object.__setattr__(self, "negative", np.zeros_like(self.threshold))

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return int(self.weight.shape[0]) if self.gather is None else self.gather.n_inputs

    @property
    def n_columns(self) -> int:
        """Number of columns of the crossbar."""
        return int(self.weight.shape[1])

    @property
    def n_positions(self) -> int:
        """Number of positions at which the crossbar is used in each step."""
        return 1 if self.gather is None else self.gather.n_positions

    @property
    def n_outputs(self) -> int:
        """Number of output neurons."""
        return self.n_columns * self.n_positions

    @property
    def n_lines(self) -> int:
        """Number of columns of the array that holds the layer; none of a soma's."""
        return self.n_columns if self.lines is None else self.lines

    @property
    def n_uses(self) -> int:
        """How often the array is used in each step: at every position, unless it is unrolled."""
        return self.n_positions if self.uses is None else self.uses

    @property
    def reuse(self) -> NDArray[np.int64]:
        """How many rows a spike of each input drives in one step, of shape (input,)."""
        each = np.ones(self.n_inputs, np.int64) if self.gather is None else self.gather.reuse
        if self.uses == 1:
            # All positions at once: an input stands at one row for all of them.
            each = np.minimum(each, 1)
        return self.pairs_per_weight * each

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weighted sums of values at the inputs, in float64: exact for integers.

        Parameters
        ----------
        values : ndarray of shape (sample, input)
            Levels or rates.

        Returns
        -------
        ndarray of shape (sample, output)
        """
        # The weights are those of one spike; a row takes the mean of its taps.
        taps = 1 if self.gather is None else self.gather.n_taps
        return weighted_sums(values, self.weight.astype(np.float64) * taps, self.gather)

    @cached_property
    def unrolled(self) -> ChargeLayer:
        """The same layer with a column for each output neuron, and so without a gather."""
        if self.gather is None:
            return self
        weight = np.zeros((self.n_inputs, self.n_outputs), np.int64)
        position, row, tap = np.nonzero(self.gather.index >= 0)
        inputs = self.gather.index[position, row, tap]
        for column in range(self.n_columns):
            outputs = column * self.n_positions + position
            np.add.at(weight, (inputs, outputs), self.weight[row, column])
        if np.abs(weight).max(initial=0) > WEIGHT_LIMIT:
            raise CapacityError(
                f"Layer {self.name!r} adds several weights for one input and output: unrolled, "
                "they need more than 12 bits."
            )
        return replace(self, weight=weight.astype(np.int16), gather=None)

    @property
    def noisy(self) -> bool:
        """Whether the neurons draw random numbers in each step."""
        return self.sigma_noise > 0 or self.kick != 0

    @cached_property
    def largest_charge(self) -> int:
        """The largest charge that one spike of every input could bring at once [quanta]."""
        return int(np.abs(self.weight).sum(axis=0, dtype=np.int64).max(initial=0))

    @property
    def exact_in_float32(self) -> bool:
        """Whether float32 adds any of these weights exactly: no partial sum reaches 2**24."""
        return self.largest_charge < 2**24

    @cached_property
    def tiles(self) -> NDArray[np.int16]:
        """The weights as the kernels that add rows take them; see `spikeram._kernels.rows`."""
        return tiles_of(self.weight)

    @cached_property
    def groups(self) -> InputGroups:
        """Of a convolution, its inputs in groups that choose from tables; see `spikeram.groups`."""
        if self.gather is None:
            raise ValueError(f"Layer {self.name!r} is no convolution: its inputs have no groups.")
        return self.gather.groups(self.n_columns)

    @cached_property
    def tables(self) -> NDArray[np.int16]:
        """Of a convolution, the sums of its rows in groups; see `spikeram.groups`."""
        return tables_of(self.weight, self.groups.rows)

    @cached_property
    def weight_float32(self) -> NDArray[np.float32]:
        """The weights for a matrix product, exact where `exact_in_float32`."""
        return self.weight.astype(np.float32)

    @property
    def quiet(self) -> ChargeLayer:
        """The layer without its random charge: what it does on average."""
        if not self.noisy and self.read is None:
            return self
        return replace(self, sigma_noise=0.0, kick=0, read=None)


def quantum_of(weight: ArrayLike) -> float:
    """Return the largest power of two [V] in which the largest weight fills 12 bits.

    Parameters
    ----------
    weight : array_like
        Effective weights [V].

    Examples
    --------
    >>> quantum_of([0.25, -0.5]) == 0.5 / 1024
    True
    """
    largest = float(np.max(np.abs(weight), initial=0.0))
    if not math.isfinite(largest):
        raise ValueError("Effective weights must be finite.")
    if largest < _SMALLEST:
        # Where no weight differs from zero any quantum serves; 2**-22 V is that of a full array.
        return 2.0**-22
    return 2.0 ** -math.floor(math.log2(WEIGHT_LIMIT / largest))


def quantise(volts: ArrayLike, quantum: float, limit: int, what: str) -> NDArray[np.int64]:
    """Return `volts` in whole quanta, rounded to nearest, ties to even.

    Raises
    ------
    CapacityError
        If any value exceeds `limit` quanta.
    """
    scaled = np.rint(np.asarray(volts, dtype=np.float64) / quantum)
    worst = float(np.max(np.abs(scaled), initial=0.0))
    if not worst <= limit:
        raise CapacityError(
            f"{what} reaches {worst * quantum:.4g} V, that is {worst:.0f} quanta of "
            f"{quantum:.3g} V, but only {limit} fit. Rescale the layer."
        )
    return scaled.astype(np.int64)


def charge_layer(
    name: str,
    weight: NDArray[np.float64],
    *,
    bias: NDArray[np.float64],
    threshold: NDArray[np.float64],
    initial: NDArray[np.float64],
    scale: NDArray[np.float64],
    neuron: SamplingNeuron,
    rows: int = 0,
    cores: int = 1,
    always_on: int = 0,
    gather: Gather | None = None,
    slope: NDArray[np.float64] | float = 0.0,
    sources: tuple[str, ...] = (),
) -> ChargeLayer:
    """Return a layer in whole quanta.

    Parameters
    ----------
    name : str
        The layer's name.
    weight : ndarray of shape (row, column)
        Effective weights [V].
    bias, threshold, initial : ndarray of shape (column,)
        Charge of every step, threshold and initial membrane [V on C_i].
    scale : ndarray of shape (column,)
        Worth of one output spike.
    neuron : SamplingNeuron
        Rails, kind of spikes, reset, leak and noise.
    rows, cores, always_on : int
        For energy accounts; see `ChargeLayer`.
    gather : Gather, optional
        Of a convolution: every position has the neurons of all columns.
    slope : ndarray of shape (column,) or float
        Of signed neurons, the slope of the activation below zero, 0 to 1: a spike below zero
        takes ``threshold / slope``, at most what a membrane holds.
    sources : tuple of str
        What drives the layer; see `ChargeLayer`.

    Raises
    ------
    CapacityError
        If a value does not fit its range; nothing ever wraps around later.
    """
    # A layer without weights takes its quantum from its thresholds.
    quantum = quantum_of(weight if np.any(weight) else threshold)
    q_weight = quantise(weight, quantum, WEIGHT_LIMIT, f"A weight of layer {name!r}")
    q_bias = quantise(bias, quantum, RAIL_LIMIT, f"The bias of layer {name!r}")
    q_threshold = quantise(threshold, quantum, RAIL_LIMIT, f"The threshold of layer {name!r}")
    q_initial = quantise(initial, quantum, RAIL_LIMIT, f"The initial charge of layer {name!r}")
    step = int(np.max(np.abs(q_weight).sum(axis=0) + np.abs(q_bias), initial=0))
    if step > RAIL_LIMIT:
        raise CapacityError(
            f"One step of layer {name!r} can bring {step} quanta, but only {RAIL_LIMIT} fit. "
            "Split the layer."
        )
    n_positions = 1 if gather is None else gather.n_positions
    q_threshold = np.maximum(q_threshold, 1)
    q_negative = np.zeros_like(q_threshold)
    if neuron.spikes == "signed":
        q_negative = _charge_below_zero(threshold, q_threshold, slope, quantum)
    return ChargeLayer(
        name=name,
        weight=q_weight.astype(np.int16, order="C"),
        bias=np.repeat(q_bias.astype(np.int32), n_positions),
        threshold=np.repeat(q_threshold.astype(np.int32), n_positions),
        initial=np.repeat(q_initial.astype(np.int32), n_positions),
        rail=int(min(RAIL_LIMIT, neuron.v_rail / quantum)),
        quantum=quantum,
        scale=np.repeat(np.asarray(scale, dtype=np.float64), n_positions),
        spikes=neuron.spikes,
        reset=neuron.reset,
        decay=neuron.decay(),
        sigma_noise=neuron.sigma_noise / quantum,
        kick=round(neuron.kick / quantum),
        rows=rows or 2 * weight.shape[0],
        cores=cores,
        always_on=always_on,
        gather=gather,
        sources=sources,
        negative=np.repeat(q_negative.astype(np.int32), n_positions),
        burst=neuron.burst,
    )


def _charge_below_zero(
    threshold: NDArray[np.float64],
    q_threshold: NDArray[np.int64],
    slope: NDArray[np.float64] | float,
    quantum: float,
) -> NDArray[np.int64]:
    """Return the charge of a spike below zero; 0 where the slope is 0."""
    slopes = np.broadcast_to(slope, threshold.shape)
    volts = np.divide(threshold, slopes, out=np.zeros_like(threshold), where=slopes > 0)
    # Nearly flat: a membrane never holds the charge of one such spike.
    charge = np.rint(np.minimum(volts / quantum, RAIL_LIMIT)).astype(np.int64)
    return np.where(slopes > 0, np.maximum(charge, q_threshold), 0)
